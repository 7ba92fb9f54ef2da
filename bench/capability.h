/* SPDX-License-Identifier: GPL-2.0 */
/*
 * capability.h - what the parts of measure capability share.
 *
 * A property is observed in a process of its own, on a buffer of its own: what
 * it leaves behind, or dies of, is nobody else's. It says one value: yes, no,
 * the name of an errno or of the signal that ended it, "unavailable", or what
 * the property's line in include/capability.def is about.
 */
#ifndef CAPABILITY_H
#define CAPABILITY_H

#include "bench.h"

struct cap_result {
	char value[96], detail[256];
};

struct cap {
	struct run *run;
	const struct source *src;
	struct buffer buf;
	struct cap_result *out; /* shared with the process that observes */
	char *addr; /* of the data, by cap_map() */
};

/* The result; commas and line ends become blanks */
void cap_say(struct cap *c, const char *value, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void cap_none(struct cap *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* What is shown if the next step ends this process */
void cap_stage(struct cap *c, const char *what);
/* The name of errno, and what failed */
void cap_errno(struct cap *c, const char *what);
/* value unless wrong, which is then a failed check */
void cap_verdict(struct cap *c, bool right, const char *value,
		 const char *wrong);

/* ---- the mapping: NULL if there is none, which has been said then ---- */

char *cap_map(struct cap *c, int prot, int flags);
/* Also what a mapping has ahead of its data */
char *cap_start(const struct cap *c);
size_t cap_len(const struct cap *c);
/* Where it goes: huge pages have to be aligned */
char *cap_place(void);
/* Minor faults of this process so far */
long cap_minor_faults(void);
/* Loads from every page, those ahead of the data included */
void cap_touch(const struct cap *c, const char *p);

/* ---- the bytes ---- */

/* A part of the buffer that fits into a pipe */
size_t cap_chunk(const struct cap *c);
/* len bytes that differ from the buffer's in every place; a private mapping */
char *cap_other_bytes(const struct cap *c);
bool cap_same(const struct cap *c, const void *p, size_t len);
/* The whole buffer is as `bytes`, seen another way than by this mapping */
bool cap_stored(const struct cap *c, const char *bytes);
bool cap_read_all(int fd, void *to, size_t len);
/* ... as cap_other_bytes() is, if the source lets user space store bytes at all */
void cap_check_stored(struct cap *c, const char *bytes);

/* Waits for it: 0, its exit status, or -signal */
int cap_wait(pid_t pid);

#define K2U_CAPABILITY(name, group, access, size, title) \
	void cap_##name(struct cap *c);
#include "capability.def"
#undef K2U_CAPABILITY

#endif /* CAPABILITY_H */

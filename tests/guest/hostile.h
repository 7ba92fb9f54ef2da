/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the cases of hostile.def share. A case is a function, run in a process of
 * its own for each row (method x backing x user); what it observes it hands to
 * expect(), which looks the expected result up in hostile.def.
 */
#ifndef K2U_HOSTILE_H
#define K2U_HOSTILE_H

#include <sys/types.h>

#include "guest.h"

/* What a row is: a line of hostile.def holds where all of its bits are set */
enum {
	ANY = 0,
	ROOT = 1 << 0,
	NOBODY = 1 << 1,
	CONTIG = 1 << 2,
	COPY = 1 << 3,
	MAP = 1 << 4, /* it has a mapping, and of this backing */
	REFUSED = 1 << 5, /* it has not */
	EAGER = 1 << 6, /* mapped at mmap() */
	LAZY = 1 << 7, /* mapped by faults, after mmap() */
	PAGES = 1 << 8, /* struct page behind the entries, nothing special */
	MIXEDMAP = 1 << 9, /* struct page behind the entries, VM_MIXEDMAP */
	PFNMAP = 1 << 10, /* VM_PFNMAP */
	EMPTY = 1 << 11, /* no entries: a touch is SIGBUS */
	BYTES = 1 << 12, /* not EMPTY */
	POISON = 1 << 13, /* a kernel with MEMORY_FAILURE */
	BACK = 1 << 14, /* what is dropped comes back by faults */
	LEAF = 1 << 15, /* PFNMAP or PAGES, as this kernel makes a PMD leaf */
	DMA = 1 << 16, /* of backing dma */
};

#define NOBODY_ID 65534
#define NR_FRESH 6

struct hostile {
	unsigned int is; /* the bits of the row */
	const char *name; /* of the case */
	uint32_t id; /* of the method */
	uint32_t backing;
	size_t page;
	size_t size; /* of the buffer: not whole pages */
	size_t len; /* of all of its pages */
	/* All opened by root, also for nobody */
	int fd; /* O_RDWR, its buffer filled with SEED's pattern */
	int ro, wo; /* O_RDONLY, O_WRONLY, each with such a buffer */
	int fresh[NR_FRESH]; /* O_RDWR, without a buffer yet */
};

/* The result of a process that a signal ended */
#define DIES(signal) (1000 + (signal))
#define OK 0

/* Observed: 0, an errno or DIES(); compared with the line of hostile.def. */
void expect(const struct hostile *h, const char *op, int got);

/* Where a mapping of a buffer of h's backing is, whatever method h is of */
static inline off_t hostile_view(const struct hostile *h)
{
	return (off_t)K2U_MMAP_OFFSET(h->is & DMA ? K2U_METHOD_dma :
						    K2U_METHOD_fault);
}

/* h's backing or, where fault and pfn do not map that, one that they do */
static inline uint32_t hostile_paged(const struct hostile *h)
{
	return h->is & DMA ? K2U_BACKING_CONTIG : h->backing;
}

/* errno of a call that says -1 */
#define result(call) ((call) == -1 ? errno : 0)

/* A failure that is no result of an operation; the case goes on, or ends. */
__attribute__((format(printf, 3, 4))) void
complain(const struct hostile *h, int line, const char *format, ...);
#define check(condition)                                   \
	do {                                               \
		if (!(condition))                          \
			complain(h, __LINE__, #condition); \
	} while (0)
#define need(condition)                                    \
	do {                                               \
		if (!(condition)) {                        \
			complain(h, __LINE__, #condition); \
			_exit(1);                          \
		}                                          \
	} while (0)

/* mmap() by the row's method, from its first byte; errno in *err, or need() */
void *hostile_mmap(const struct hostile *h, int fd, uint64_t offset, size_t len,
		   int prot, int flags, int *err);
char *hostile_map(const struct hostile *h, int prot);
void hostile_unmap(const struct hostile *h, void *p, size_t len);
/* A writable page that every case may scribble on, and one that is not there */
char *hostile_anon(const struct hostile *h, size_t len, int prot);

uint64_t hostile_vmas(const struct hostile *h);
uint64_t hostile_hash(const struct hostile *h, int fd);
int hostile_setup(int fd, uint32_t backing, uint64_t size);
/* The bytes through p, which maps from the buffer's byte at on, are the pattern. */
bool hostile_pattern(const struct hostile *h, const void *p, size_t at,
		     size_t len);

/* f(h, arg) in a child: its exit status, or DIES(signal) */
int hostile_child(const struct hostile *h,
		  int (*f)(const struct hostile *h, void *arg), void *arg);
pid_t hostile_fork(const struct hostile *h);
int hostile_wait(const struct hostile *h, pid_t pid);
/* Reads a byte of every page: 0 or DIES(signal) */
int hostile_touch(const struct hostile *h, void *p, size_t len, bool write);
/* From now on an unprivileged user: no capability, no group, no way back */
void hostile_drop(const struct hostile *h);

/* A case: its line is in hostile.def, or this does not compile. */
#define HOSTILE(name)                                                      \
	_Static_assert(HOSTILE_##name >= 0, "its line is in hostile.def"); \
	void case_##name(const struct hostile *h)

enum {
#define HOSTILE_CASE(name, scope, why) HOSTILE_##name,
#include "hostile.def"
};

/* One declaration for each line: without its function the program does not link. */
#define HOSTILE_CASE(name, scope, why) \
	void case_##name(const struct hostile *h);
#include "hostile.def"

#endif /* K2U_HOSTILE_H */

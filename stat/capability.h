/* SPDX-License-Identifier: GPL-2.0 */
/* capability.h - observations of what mappings are, between reading and printing. */
#ifndef CAPABILITY_H
#define CAPABILITY_H

#include "k2u-stat.h"

#define AVAILABLE "available" /* the property that a source is there at all */
#define NONE "unavailable"

enum about { IS, IO, MM, TOPICS };

struct property {
	const char *name;
	enum about topic;
	const char *title;
};

/* In the order of include/capability.def */
enum {
#define K2U_CAPABILITY(name, group, access, size, title) PROPERTY_##name,
#include "capability.def"
#undef K2U_CAPABILITY
	PROPERTIES
};
extern const struct property properties[PROPERTIES];

/* Of one run; NULL: not observed */
struct answer {
	char *value, *detail;
	bool differs; /* from boot to boot */
};

/* A source, such as k2u/fault/vmalloc; answers by run and property */
struct column {
	char *provider, *method, *backing;
	struct answer *answer;
	struct answer *there; /* by run: available */
};

struct kernel {
	const char *dir;
	char *name; /* such as 6.12 or 6.12 arm64 */
	char *release;
};

struct capability {
	struct kernel *run;
	size_t runs;
	struct column *column;
	size_t columns, room;
	/* Footnotes: why something is unavailable */
	char **note;
	size_t notes, note_room;
};

static inline struct answer *answer_of(const struct column *c, size_t run,
				       size_t property)
{
	return &c->answer[run * PROPERTIES + property];
}

/* capability_out.c; provider NULL and topic -1: all */
int capability_tables(struct capability *cap, const char *provider, int topic,
		      bool markdown);
void capability_csv(const struct capability *cap);

#endif /* CAPABILITY_H */

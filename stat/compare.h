/* SPDX-License-Identifier: GPL-2.0 */
/* compare: what compare.c finds out and compare_out.c prints */
#ifndef COMPARE_H
#define COMPARE_H

#include "k2u-stat.h"

enum side_of { BASE, NEW, SIDES };

struct side {
	char **dir; /* of its runs */
	size_t dirs, dir_room;
	struct run run; /* the first: the others have its environment */
	size_t boots;
	char **started; /* of its boots, where they are known; sorted */
	size_t starts, start_room;
};

/* A cell of either side or of both */
struct joint {
	const char *key[KEYS];
	char *text; /* that the keys point into */
	uint64_t size;
	double *value[SIDES]; /* by boot, NaN where it has none */
	size_t room[SIDES]; /* 0: not a cell of this side */
	char *flags; /* of both sides */
	double *pair[SIDES]; /* the boots that both have */
	size_t contrast; /* index + 1; 0: one side has it alone */
	bool counts; /* for the exit status */
};

struct comparison {
	struct side side[SIDES];
	struct joint *joint;
	size_t n, room;
	size_t *slot; /* hash table of index + 1 */
	size_t slots;
	struct env_changes changes;
	struct contrast *contrast;
	size_t contrasts, family, pairs;
	struct aa aa[SIDES];
	bool interleaved; /* else one side was measured after the other */
	bool withheld; /* A/A failed */
	bool same_kernel;
	double threshold;
	size_t verdicts[VERDICTS];
	int status;
	/* As text */
	bool all;
};

extern const char *const side_name[SIDES];

const struct contrast *joint_contrast(const struct comparison *cmp,
				      const struct joint *j);
/* How bad it is for NEW: ln of the ratio, less of a rate being worse */
double joint_badness(const struct comparison *cmp, const struct joint *j);

/* compare_read.c: reads the sides that are named, or says why not */
int compare_read(struct comparison *cmp);
/* Flags are names between semicolons; NULL: none */
bool flags_have(const char *flags, const char *flag, size_t len);
int flags_add(char **to, const char *flags);

/* compare_out.c */
int compare_print_text(const struct comparison *cmp);
int compare_print_json(const struct comparison *cmp);
int compare_print_csv(const struct comparison *cmp);

#endif /* COMPARE_H */

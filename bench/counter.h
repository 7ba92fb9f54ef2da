/* SPDX-License-Identifier: GPL-2.0 */
/* counter.h - events of perf_event_open(), counted by mode. */
#ifndef COUNTER_H
#define COUNTER_H

/* Brings its own <linux/perf_event.h>, which cannot be included besides */
#include <perfmon/pfmlib_perf_event.h>

#include "bench.h"

#define MAX_COUNTERS 16

struct counter {
	char name[48]; /* in metrics: letters digits ._+~- */
	char event[64]; /* as libpfm4 knows it */
	char reason[192]; /* why it is not counted; empty: it is */
	char no_kernel[192]; /* why not in the kernel's mode; empty: there, too */
	struct perf_event_attr attr;
	unsigned int users;
	int user, kernel; /* the group's leader, and its other */
};

struct counters {
	struct counter v[MAX_COUNTERS];
	unsigned int nr;
};

void counter_name(const char *event, char *name, size_t len);
int counter_open(struct counter *c);
void counter_close(struct counter *c);
int counter_window(const struct counter *c, int (*fn)(void *arg), void *arg,
		   int64_t count[2], int *counted);
int counters_find(struct counters *all, const char *list, char *why,
		  size_t len);
json_t *counters_json(const struct counters *all);

#endif /* COUNTER_H */

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * pool.h - N threads, or N processes, that do a job at the same time.
 *
 * Of threads the caller is one, so that a pool of one is an ordinary program of
 * one thread. Processes are all children, each with one thread and an address
 * space of its own, and the caller sleeps.
 */
#ifndef BENCH_POOL_H
#define BENCH_POOL_H

#include "bench.h"

/* One of the N, in memory that all of them share */
struct worker {
	unsigned int id, of; /* 0 to of - 1 */
	int cpu;
	struct use use; /* its own mapping */
	bool mapped;
	uint64_t sum; /* a job may add to it, and so may teardown */

	/* Of the last timed job */
	int err;
	uint64_t start, end; /* now() */
	int64_t on_cpu; /* ns */
	int64_t faults, voluntary, involuntary;
} __attribute__((aligned(128))); /* no cache line is two workers' */

/*
 * What of c a child sees is what was there when the pool began, so what changes
 * from job to job is in n. Returns 0 or -errno.
 */
typedef int (*job_fn)(struct worker *w, const struct cell *c, uint64_t n);

struct pool;

int pool_begin(struct pool **p, const struct options *o, unsigned int n,
	       bool processes);
void pool_end(struct pool *p);
/* Each does the job once; the first error of one */
int pool_run(struct pool *p, job_fn fn, const struct cell *c, uint64_t n);
/* The same, begun by all at once and timed */
int pool_time(struct pool *p, job_fn fn, const struct cell *c, uint64_t n);
unsigned int pool_size(const struct pool *p);
struct worker *pool_worker(struct pool *p, unsigned int i);

#endif /* BENCH_POOL_H */

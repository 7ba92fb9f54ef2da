// SPDX-License-Identifier: GPL-2.0
/*
 * measure_scale.c - the same work by one to many threads, or processes, at once.
 *
 * A figure is the time from the first one's beginning to the last one's end, per
 * operation of one thread: where nobody stands in another's way it does not
 * change with their number. (Where the clock counts instructions it counts those
 * of all CPUs, so there it is per operation of all: what is executed more than by
 * one alone.) Threads have one address space, its mmap_lock and its TLB
 * shootdowns; processes have one each and share the buffer, so that the
 * difference is the address space's part.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "pool.h"

/* Turns of a storm that a batch has */
#define STORM_TURNS 16
/* Windows of a sample in which a sleep may fall */
#define BESIDE_ROUNDS 4
/* Threads of the default list, at most */
#define MOST_THREADS 16

enum {
	TIME,
	CPU,
	VOLUNTARY,
	INVOLUNTARY,
	SHOOTDOWNS,
	FAULTS,
	NR_PARTS,
	MAPS = NR_PARTS /* of fault_beside alone: what the one in the way does */
};

/* ---- TLB shootdowns, of the whole system ---- */

/*
 * Interrupts that asked a CPU to flush (x86); or, where the kernel was built with
 * CONFIG_DEBUG_TLBFLUSH, the flushes that sent some.
 */
static bool shootdowns(int64_t *count)
{
	char line[4096], *p, *end;
	unsigned long one;
	FILE *f;

	if (read_field("/proc/interrupts", "TLB", line, sizeof(line))) {
		*count = 0;
		for (p = line;; p = end) {
			one = strtoul(p, &end, 10);
			if (end == p)
				return true;
			*count += one;
		}
	}
	f = fopen("/proc/vmstat", "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "nr_tlb_remote_flush %lu", &one) != 1)
			continue;
		*count = one;
		fclose(f);
		return true;
	}
	if (f)
		fclose(f);
	return false;
}

/* ---- the pools of the group that is running; its cells share them ---- */

static struct {
	unsigned int users;
	struct pool *threads, *processes;
	bool shootdowns; /* are counted here */
} now_running;

static int get_pools(struct cell *c)
{
	const unsigned int n = c->group->threads;
	int64_t count;
	int err;

	if (now_running.users++)
		return now_running.threads ? 0 : -EAGAIN;
	now_running.shootdowns = shootdowns(&count);
	/* A place for each, as arena.c has them */
	arena_end();
	err = arena_begin(c->buf->size, n);
	/* Processes first: they are not to begin with the other's threads */
	if (!err)
		err = pool_begin(&now_running.processes, &c->run->opt, n, true);
	if (!err)
		err = pool_begin(&now_running.threads, &c->run->opt, n, false);
	return err;
}

static void put_pools(struct cell *c)
{
	if (--now_running.users)
		return;
	if (now_running.threads)
		pool_end(now_running.threads);
	if (now_running.processes)
		pool_end(now_running.processes);
	now_running.threads = now_running.processes = NULL;
}

/*
 * One timed job, of so many operations of all workers together; the first `past`
 * of these are there to be in the way, and no part of the figures
 */
static int time_job(struct pool *p, job_fn fn, struct cell *c, uint64_t n,
		    uint64_t ops, unsigned int past, struct reading *out)
{
	const unsigned int of = pool_size(p),
			   share = c->run->opt.icount ? 1 : of - past;
	int64_t before = 0, after = 0, cpu = 0, sum[NR_PARTS] = {};
	uint64_t start = UINT64_MAX, end = 0;
	unsigned int i;
	int err;

	if (now_running.shootdowns)
		shootdowns(&before);
	err = pool_time(p, fn, c, n);
	if (err)
		return err;
	if (now_running.shootdowns)
		shootdowns(&after);
	for (i = past; i < of; i++) {
		const struct worker *w = pool_worker(p, i);

		start = w->start < start ? w->start : start;
		end = w->end > end ? w->end : end;
		cpu += w->on_cpu;
		sum[VOLUNTARY] += w->voluntary;
		sum[INVOLUNTARY] += w->involuntary;
		sum[FAULTS] += w->faults;
	}
	sum[SHOOTDOWNS] = after - before;
	/* An operation's part of the window, and of its clock: those of one worker count */
	out[TIME].elapsed += (end - start) * share;
	out[TIME].clocks += share;
	out[TIME].iters += ops;
	if (past) {
		out[MAPS].elapsed += end - start;
		out[MAPS].iters += pool_worker(p, 0)->sum;
	}
	/* A clock of instructions does not say which CPU's they were */
	if (!c->run->opt.icount) {
		out[CPU].elapsed += cpu;
		out[CPU].iters += ops;
	}
	for (i = VOLUNTARY; i < NR_PARTS; i++) {
		if (i == SHOOTDOWNS && !now_running.shootdowns)
			continue;
		out[i].elapsed += sum[i];
		out[i].iters += ops;
	}
	return 0;
}

/* ---- what a worker does ---- */

static int job_map(struct worker *w, const struct cell *c, uint64_t n)
{
	int err;

	use_init(&w->use, c->src, c->buf);
	w->sum = 0;
	err = access_of(c->src)->setup(&w->use, arena_slot(w->id));
	w->mapped = !err;
	return err;
}

static int job_touch(struct worker *w, const struct cell *c, uint64_t n)
{
	return access_of(c->src)->touch(&w->use);
}

/* All bytes of it, so that the sum tells whether they were there; and unmap */
static int job_unmap(struct worker *w, const struct cell *c, uint64_t n)
{
	const struct access_ops *acc = access_of(c->src);
	int err, err2;

	if (!w->mapped)
		return 0;
	w->mapped = false;
	err = acc->consume(&w->use, &w->sum);
	err2 = acc->teardown(&w->use);
	return err ? err : err2;
}

/* Its part of the pages of the one mapping that is in c->use */
static int job_touch_part(struct worker *w, const struct cell *c, uint64_t n)
{
	const uint64_t page = page_bytes(), pages = c->use.size / page,
		       from = pages * w->id / w->of,
		       to = pages * (w->id + 1) / w->of;
	struct use part = c->use;

	part.addr += from * page;
	part.size = (to - from) * page;
	return access_of(c->src)->touch(&part);
}

static int job_storm(struct worker *w, const struct cell *c, uint64_t n)
{
	const struct access_ops *acc = access_of(c->src);
	char *at = arena_slot(w->id);
	struct use u;
	int err = 0;

	use_init(&u, c->src, c->buf);
	for (n *= STORM_TURNS; n && !err; n--) {
		err = acc->setup(&u, at);
		if (err)
			break;
		u.size = page_bytes();
		err = acc->touch(&u);
		u.size = c->buf->size;
		err = acc->teardown(&u) ?: err;
	}
	return err;
}

/* How many are still taking faults */
static atomic_uint faulting;

/*
 * The first of several holds mmap_lock for writing as often as it can, by a
 * mapping that nobody touches; the others take faults.
 */
static int job_beside(struct worker *w, const struct cell *c, uint64_t n)
{
	const size_t page = page_bytes();
	/* Where nothing else is: between an anchor and the head of what follows */
	char *at = arena_slot(w->id) - pmd_bytes() / 2;
	int err = 0;

	if (w->id || w->of == 1) {
		err = job_touch(w, c, n);
		atomic_fetch_sub(&faulting, 1);
		return err;
	}
	for (w->sum = 0; atomic_load(&faulting) && !err; w->sum++)
		if (mmap(at, page, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
			 0) == MAP_FAILED ||
		    munmap(at, page))
			err = -errno;
	return err;
}

static int job_read(struct worker *w, const struct cell *c, uint64_t n)
{
	struct use u = c->use;
	int err = 0;

	for (w->sum = 0; n && !err; n--)
		err = access_of(c->src)->consume(&u, &w->sum);
	return err;
}

/* ---- samples ---- */

/* Of the last sample of a cell */
struct last {
	uint64_t faults, expected;
};

static void check_sums(struct pool *p, struct cell *c, unsigned int past,
		       uint64_t want)
{
	unsigned int i;

	for (i = past; i < pool_size(p); i++)
		cell_consumed(c, pool_worker(p, i)->sum, want);
}

/* Where all is mapped by mmap() there is nothing to touch */
static uint64_t faults_of(const struct cell *c)
{
	return c->src->ops->expect(c->src, c->buf->size);
}

static void keep_faults(struct cell *c, uint64_t expected,
			const struct reading *out)
{
	struct last *last = c->priv;

	last->expected = expected;
	last->faults = out[FAULTS].elapsed;
}

static int fault_own(struct cell *c, struct pool *p, job_fn touch,
		     unsigned int past, uint64_t n, struct reading *out)
{
	const unsigned int nr = pool_size(p) - past;
	const uint64_t faults = faults_of(c) * nr, rounds = n;
	struct use u;
	int err = 0, err2;

	if (!faults)
		return 0;
	while (n-- && !err) {
		err = pool_run(p, job_map, c, 0);
		atomic_store(&faulting, nr);
		if (!err)
			err = time_job(p, touch, c, 0, faults, past, out);
		err2 = pool_run(p, job_unmap, c, 0);
		err = err ? err : err2;
		use_init(&u, c->src, c->buf);
		if (!err)
			check_sums(p, c, past, u.sum);
	}
	keep_faults(c, faults * rounds, out);
	return err;
}

static int fault_shared(struct cell *c, struct pool *p, uint64_t n,
			struct reading *out)
{
	const struct access_ops *acc = access_of(c->src);
	const uint64_t faults = faults_of(c), rounds = n;
	uint64_t sum;
	int err = 0;

	if (!faults)
		return 0;
	while (n-- && !err) {
		use_init(&c->use, c->src, c->buf);
		err = acc->setup(&c->use, arena_slot(0));
		if (err)
			break;
		err = time_job(p, job_touch_part, c, 0, faults, 0, out);
		sum = 0;
		err = acc->consume(&c->use, &sum) ?: err;
		err = acc->teardown(&c->use) ?: err;
		if (!err)
			cell_consumed(c, sum, c->use.sum);
	}
	keep_faults(c, faults * rounds, out);
	return err;
}

/* What was mapped in between is gone: whether such a mapping has the bytes is seen last */
static int storm(struct cell *c, struct pool *p, uint64_t n,
		 struct reading *out)
{
	struct use u;
	int err, err2;

	err = time_job(p, job_storm, c, n, n * STORM_TURNS * pool_size(p), 0,
		       out);
	if (err || c->src->flags & SOURCE_NULL)
		return err;
	err = pool_run(p, job_map, c, 0) ?: pool_run(p, job_touch, c, 0);
	err2 = pool_run(p, job_unmap, c, 0);
	use_init(&u, c->src, c->buf);
	if (!err && !err2)
		check_sums(p, c, 0, u.sum);
	return err ? err : err2;
}

static int sample_fault_shared(struct cell *c, uint64_t n, struct reading *out)
{
	return fault_shared(c, now_running.threads, n, out);
}

static int sample_fault_own(struct cell *c, uint64_t n, struct reading *out)
{
	return fault_own(c, now_running.threads, job_touch, 0, n, out);
}

static int sample_fault_own_proc(struct cell *c, uint64_t n,
				 struct reading *out)
{
	return fault_own(c, now_running.processes, job_touch, 0, n, out);
}

static int sample_fault_beside(struct cell *c, uint64_t n, struct reading *out)
{
	struct pool *p = now_running.threads;

	return fault_own(c, p, job_beside, pool_size(p) > 1, n * BESIDE_ROUNDS,
			 out);
}

static int sample_storm(struct cell *c, uint64_t n, struct reading *out)
{
	return storm(c, now_running.threads, n, out);
}

static int sample_storm_proc(struct cell *c, uint64_t n, struct reading *out)
{
	return storm(c, now_running.processes, n, out);
}

static int begin_fault(struct cell *c)
{
	c->priv = calloc(1, sizeof(struct last));
	return get_pools(c) ?: c->priv ? 0 : -ENOMEM;
}

/*
 * More than expected are no mistake where a fault maps what is around it: it
 * passes over a page that another one holds the lock of (next_uptodate_folio(),
 * mm/filemap.c), and threads meet in one window. Fewer always are.
 */
static int finish_fault(struct cell *c)
{
	const struct last *last = c->priv;
	const uint64_t pages = c->buf->size / page_bytes();
	const bool around = faults_of(c) < pages;
	bool ok = around ? last->faults >= last->expected :
			   last->faults == last->expected;
	char expected[32], got[32];

	if (!last->expected)
		return 0;
	snprintf(expected, sizeof(expected), "%lu", last->expected);
	snprintf(got, sizeof(got), "%lu", last->faults);
	check(c, &c->probe->metric[FAULTS], "faults-expected", expected, got,
	      ok ? "pass" : "fail",
	      around ? "at least: a fault maps what is around it" : "");
	c->run->failed += !ok;
	return 0;
}

/* ---- read_shared: one mapping, read by all ---- */

/* As reuse of throughput has it */
static int begin_read(struct cell *c)
{
	return get_pools(c) ?: probe_reuse.begin(c);
}

static void end_read(struct cell *c)
{
	probe_reuse.end(c);
	put_pools(c);
}

static int sample_read(struct cell *c, uint64_t n, struct reading *out)
{
	struct pool *p = now_running.threads;
	struct reading part[MAX_METRICS] = {};
	int err;

	/* Once to warm each CPU's caches */
	err = pool_run(p, job_read, c, 1);
	if (!err)
		err = time_job(p, job_read, c, n, n * pool_size(p), 0, part);
	if (err)
		return err;
	out[TIME] = part[TIME];
	check_sums(p, c, 0, n * c->use.sum);
	return 0;
}

/* ---- plan ---- */

static uint64_t fixed_once(const struct run *r, uint64_t size)
{
	return 1;
}

#define PHASE_fault "first-touch"
#define PHASE_storm "all"

#define PARTS(kind, name, ...)                                             \
	{                                                                  \
		[TIME] = { PHASE_##kind, #name, UNIT_TIME },               \
		[CPU] = { PHASE_##kind, #name "_cpu", UNIT_TIME },         \
		[VOLUNTARY] = { PHASE_##kind, #name "_voluntary",          \
				UNIT_COUNT },                              \
		[INVOLUNTARY] = { PHASE_##kind, #name "_involuntary",      \
				  UNIT_COUNT },                            \
		[SHOOTDOWNS] = { PHASE_##kind, #name "_tlb", UNIT_COUNT }, \
		[FAULTS] = { PHASE_##kind, #name "_faults", UNIT_COUNT },  \
		__VA_ARGS__                                                \
	}

#define PROBE_FAULT(what)                           \
	static const struct probe probe_##what = {  \
		.access = K2U_ACCESS_MAP,           \
		.flags = PROBE_BYTES | PROBE_FRESH, \
		.metric = PARTS(fault, what),       \
		.begin = begin_fault,               \
		.sample = sample_##what,            \
		.end = put_pools,                   \
		.finish = finish_fault,             \
		.fixed = fixed_once,                \
	}

#define PROBE_STORM(what)                          \
	static const struct probe probe_##what = { \
		.access = K2U_ACCESS_MAP,          \
		.flags = PROBE_FRESH,              \
		.metric = PARTS(storm, what),      \
		.begin = get_pools,                \
		.sample = sample_##what,           \
		.end = put_pools,                  \
		.fixed = fixed_once,               \
	}

PROBE_FAULT(fault_shared);
PROBE_FAULT(fault_own);
PROBE_FAULT(fault_own_proc);

static const struct probe probe_fault_beside = {
	.access = K2U_ACCESS_MAP,
	.flags = PROBE_BYTES | PROBE_FRESH,
	.metric = PARTS(
		fault,
		fault_beside, [MAPS] = { "all", "fault_beside_map", UNIT_TIME }),
	.begin = begin_fault,
	.sample = sample_fault_beside,
	.end = put_pools,
	.finish = finish_fault,
	.fixed = fixed_once,
};

PROBE_STORM(storm);
PROBE_STORM(storm_proc);

static const struct probe probe_read = {
	.access = K2U_ACCESS_MAP,
	.flags = PROBE_BYTES | PROBE_SPEED,
	.metric = { { "warm", "read_shared", UNIT_RATE } },
	.begin = begin_read,
	.sample = sample_read,
	.end = end_read,
	.fixed = fixed_once,
};

/* Pages enough for all to have some, and as few for a storm as make it one of calls */
static const struct probe *const pages[] = {
	&probe_read,	       &probe_fault_shared, &probe_fault_own,
	&probe_fault_own_proc, &probe_fault_beside,
};

static const struct probe *const calls[] = { &probe_storm, &probe_storm_proc };

/* Instead of a group where there is nothing to see */
static int one_cpu(struct run *r, const struct group *g)
{
	unsigned int i;

	for (i = 0; i < r->src.nr; i++) {
		struct cell c = { .run = r, .group = g, .src = &r->src.v[i] };

		if (source_wanted(c.src, &r->opt) && source_available(c.src) &&
		    c.src->access & K2U_ACCESS_MAP)
			check(&c, NULL, "available", "", "", "unavailable",
			      "one CPU, and its clock counts instructions");
	}
	return 0;
}

static int plan_group(struct run *r, unsigned int threads, uint64_t size,
		      const struct probe *const *probes, unsigned int nr)
{
	int err = group_add(r, "scale", size, size, probes, nr);

	if (!err)
		r->groups[r->nr_groups - 1].threads = threads;
	return err;
}

static unsigned int plan_threads(const struct run *r, unsigned int *v)
{
	unsigned int nr = 0, n;

	for (n = 1; n <= env_cpus() && n <= MOST_THREADS; n *= 2)
		v[nr++] = n;
	return nr;
}

int measure_scale(struct run *r)
{
	const struct options *o = &r->opt;
	unsigned int nr = o->nr_threads, nr_sizes, i, j;
	unsigned int threads[MAX_STEPS];
	uint64_t v[MAX_SIZES];
	int err = 0;

	if (o->icount && env_cpus() == 1) {
		err = group_add(r, "scale", page_bytes(), page_bytes(), NULL,
				0);
		if (!err)
			r->groups[r->nr_groups - 1].instead = one_cpu;
		return err;
	}
	memcpy(threads, o->threads, sizeof(threads));
	if (!nr)
		nr = plan_threads(r, threads);
	for (i = 0; i < nr && !err; i++) {
		if (!o->nr_sizes) {
			err = plan_group(r, threads[i], 2 * MIB, pages,
					 ARRAY_SIZE(pages));
			if (!err)
				err = plan_group(r, threads[i], 64 * KIB, calls,
						 ARRAY_SIZE(calls));
			continue;
		}
		nr_sizes = plan_sizes(r, v);
		for (j = 0; j < nr_sizes && !err; j++) {
			err = plan_group(r, threads[i], v[j], pages,
					 ARRAY_SIZE(pages));
			if (!err)
				err = plan_group(r, threads[i], v[j], calls,
						 ARRAY_SIZE(calls));
		}
	}
	return err;
}

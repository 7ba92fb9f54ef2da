// SPDX-License-Identifier: GPL-2.0
/* measure_throughput.c - get and consume: by phase, reused, per use, end to end. */
#include "bench.h"

struct many {
	struct use *use;
	const struct access_ops *acc;
	uint64_t sum;
	unsigned int k;
};

static int op_setup(void *arg, uint64_t i)
{
	struct many *m = arg;

	return m->acc->setup(m->use, arena_slot(0));
}

static int op_first(void *arg, uint64_t i)
{
	struct many *m = arg;

	return use_first(m->use, m->acc, &m->sum);
}

static int op_consume(void *arg, uint64_t i)
{
	struct many *m = arg;

	return m->acc->consume(m->use, &m->sum);
}

static int op_teardown(void *arg, uint64_t i)
{
	struct many *m = arg;

	return m->acc->teardown(m->use);
}

/* Set up, use k times, tear down */
static int op_uses(void *arg, uint64_t i)
{
	struct many *m = arg;
	unsigned int k;
	int err, err2;

	err = op_setup(m, 0);
	if (err)
		return err;
	err = op_first(m, 0);
	for (k = 1; k < m->k && !err; k++)
		err = op_consume(m, 0);
	err2 = op_teardown(m, 0);
	return err ? err : err2;
}

/* ---- pass: each phase of getting and consuming once ---- */

enum { SETUP, FIRST, WARM, TEARDOWN };

/*
 * Warm passes timed together: many where one is short, some where it takes more
 * than the first for a cache to hold what it can hold of the bytes
 */
static unsigned int warm_passes(uint64_t size)
{
	return size <= 16 * KIB ? 16 : size <= 64 * MIB ? 4 : 1;
}

/* What a cache may hold, other cells have evicted: a use that is not timed */
static int warm_up(struct cell *c, struct use *use)
{
	struct many m = { .use = use, .acc = access_of(c->src), .k = 1 };

	return op_uses(&m, 0);
}

/*
 * One use at a time, as a program has them: side by side, the same system call
 * many times in a row, mmap and munmap are some 15 % cheaper than between uses.
 */
static int sample_pass(struct cell *c, uint64_t n, struct reading *out)
{
	const bool bytes = !(c->src->flags & SOURCE_NULL);
	const unsigned int passes = warm_passes(c->buf->size);
	struct many m = { .use = &c->use, .acc = access_of(c->src) };
	int64_t elapsed;
	int err;

	use_init(&c->use, c->src, c->buf);
	err = bytes ? warm_up(c, &c->use) : 0;
	for (n *= batch_uses(c->run, c->buf->size); n && !err; n--) {
		m.sum = 0;
		err = timed_loop(op_setup, &m, 1, &elapsed);
		if (err)
			break;
		reading_add(&out[SETUP], elapsed, 1, 1);
		if (bytes) {
			err = timed_loop(op_first, &m, 1, &elapsed);
			reading_add(&out[FIRST], elapsed, 1, 1);
		}
		if (!err) {
			err = timed_loop(op_consume, &m, passes, &elapsed);
			reading_add(&out[WARM], elapsed, passes, passes);
			cell_consumed(c, m.sum, (1 + passes) * c->use.sum);
		}
		err = timed_loop(op_teardown, &m, 1, &elapsed) ?: err;
		reading_add(&out[TEARDOWN], elapsed, 1, 1);
	}
	return err;
}

static uint64_t fixed_once(const struct run *r, uint64_t size)
{
	return 1;
}

static const struct probe probe_pass = {
	.access	= K2U_ACCESS_BOTH,
	.flags	= PROBE_FRESH | PROBE_SPEED,
	.metric	= {
		[SETUP]	   = { "setup", "pass", UNIT_TIME },
		[FIRST]	   = { "first-touch", "pass", UNIT_TIME },
		[WARM]	   = { "warm", "pass", UNIT_TIME },
		[TEARDOWN] = { "teardown", "pass", UNIT_TIME },
	},
	.sample	= sample_pass,
	.fixed	= fixed_once,
};

/* ---- reuse: set up once, use many times; copy: the same without consuming ---- */

static int begin_reuse(struct cell *c)
{
	uint64_t sum = 0;
	int err;

	use_init(&c->use, c->src, c->buf);
	err = access_of(c->src)->setup(&c->use, arena_slot(c->slot));
	if (err)
		return err;
	use_fill(&c->use);
	return access_of(c->src)->consume(&c->use, &sum);
}

static void end_reuse(struct cell *c)
{
	access_of(c->src)->teardown(&c->use);
}

static int sample_reuse(struct cell *c, uint64_t n, struct reading *out)
{
	struct many m = { .use = &c->use, .acc = access_of(c->src) };
	int64_t elapsed;
	int err;

	/* What a cache may hold, other cells have evicted: once over all of it */
	err = op_consume(&m, 0);
	m.sum = 0;
	if (!err)
		err = timed_loop(op_consume, &m, n, &elapsed);
	if (err)
		return err;
	reading_add(out, elapsed, n, n);
	cell_consumed(c, m.sum, n * c->use.sum);
	return err;
}

static int op_copy(void *arg, uint64_t i)
{
	struct many *m = arg;

	return m->acc->get(m->use);
}

/* The last chunk is what the destination holds */
static int sample_copy(struct cell *c, uint64_t n, struct reading *out)
{
	struct many m = { .use = &c->use, .acc = access_of(c->src) };
	const struct use *u = &c->use;
	int64_t elapsed;
	int err;

	err = op_copy(&m, 0) ?: timed_loop(op_copy, &m, n, &elapsed);
	if (err)
		return err;
	reading_add(out, elapsed, n, n);
	if (u->size % u->len == 0)
		cell_consumed(c, consume(u->addr, u->len),
			      consume(c->buf->contents + u->size - u->len,
				      u->len));
	return err;
}

/* Under icount: as many as give a batch of some 10^5 instructions */
static uint64_t fixed_reuse(const struct run *r, uint64_t size)
{
	return size < 256 * KIB ? 256 * KIB / size : 1;
}

const struct probe probe_reuse = {
	.access = K2U_ACCESS_BOTH,
	.flags = PROBE_BYTES | PROBE_LINEAR | PROBE_SPEED,
	.metric = { { "warm", "reuse", UNIT_RATE } },
	.begin = begin_reuse,
	.sample = sample_reuse,
	.end = end_reuse,
	.fixed = fixed_reuse,
};

const struct probe probe_copy = {
	.access = K2U_ACCESS_COPY,
	.flags = PROBE_BYTES | PROBE_LINEAR | PROBE_SPEED,
	.metric = { { "warm", "copy", UNIT_RATE } },
	.begin = begin_reuse,
	.sample = sample_copy,
	.end = end_reuse,
	.fixed = fixed_reuse,
};

/* ---- per_use, e2e_<k>: set up, use k times, tear down ---- */

static int sample_uses(struct cell *c, uint64_t n, struct reading *out)
{
	struct many m = { .use = &c->use,
			  .acc = access_of(c->src),
			  .k = c->probe->k };
	int64_t elapsed;
	int err;

	use_init(&c->use, c->src, c->buf);
	err = warm_up(c, &c->use) ?: timed_loop(op_uses, &m, n, &elapsed);
	if (err)
		return err;
	reading_add(out, elapsed, n * m.k, n);
	cell_consumed(c, m.sum, n * m.k * c->use.sum);
	return err;
}

static uint64_t fixed_uses(const struct run *r, uint64_t size)
{
	return size < 64 * KIB ? 64 * KIB / size : 1;
}

static const struct probe probe_per_use = {
	.access = K2U_ACCESS_BOTH,
	.flags = PROBE_BYTES | PROBE_LINEAR | PROBE_FRESH | PROBE_SPEED,
	.k = 1,
	.metric = { { "all", "per_use", UNIT_RATE } },
	.sample = sample_uses,
	.fixed = fixed_uses,
};

#define PROBE_E2E(uses)                                           \
	static const struct probe probe_e2e_##uses = {            \
		.access = K2U_ACCESS_BOTH,                        \
		.flags = PROBE_BYTES | PROBE_FRESH | PROBE_SPEED, \
		.k = uses,                                        \
		.metric = { { "all", "e2e_" #uses, UNIT_TIME } }, \
		.sample = sample_uses,                            \
		.fixed = fixed_uses,                              \
	}

PROBE_E2E(4);
PROBE_E2E(8);
PROBE_E2E(16);

/* ---- plan ---- */

static const struct probe *const quick[] = {
	&probe_pass,
	&probe_per_use,
	&probe_copy,
	&probe_e2e_8,
};

static const struct probe *const full[] = {
	&probe_pass, &probe_per_use, &probe_copy, &probe_e2e_4, &probe_e2e_16,
};

/* Of buffers of which a mapping pays from the second use on: the first of each list */
#define FEW_USES (16 * MIB)
#define FEW_PROBES 3

/* Without caches a prediction that holds for four uses holds for sixteen */
static const struct probe *const counted[] = {
	&probe_pass,
	&probe_per_use,
	&probe_copy,
	&probe_e2e_4,
};

/* By themselves: their mappings last, and would make those of the others cheaper */
static const struct probe *const lasting[] = { &probe_reuse };

int measure_throughput(struct run *r)
{
	const struct probe *const *list = full;
	unsigned int len = ARRAY_SIZE(full), nr, i;
	uint64_t v[MAX_SIZES];
	int err = 0;

	if (r->opt.icount) {
		list = counted;
		len = ARRAY_SIZE(counted);
	} else if (r->opt.quick) {
		list = quick;
		len = ARRAY_SIZE(quick);
	}
	/* A mebibyte tells no more where nothing is cached, and takes the most */
	nr = r->opt.icount && r->opt.quick && !r->opt.nr_sizes ?
		     size_list("4K,64K,256K", v) :
		     plan_sizes(r, v);
	for (i = 0; i < nr && !err; i++) {
		err = group_add(r, "throughput", v[i], v[i], list,
				v[i] > FEW_USES ? FEW_PROBES : len);
		if (!err)
			err = group_add(r, "throughput", v[i], v[i], lasting,
					1);
	}
	return err;
}

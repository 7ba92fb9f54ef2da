// SPDX-License-Identifier: GPL-2.0
/* measure_latency.c - what one operation costs: read, load, mmap, touch, munmap, open, close. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench.h"

#define BUFFER (64 * KIB) /* that is read, mapped one operation at a time */
#define LINE \
	64 /* a cache line, on every machine that this runs on or half of one */
#define CHASE 1024 /* loads per turn of the timed loop */
#define SINGLES 10000 /* operations timed one by one: enough for p99.9 */

/* ---- read ---- */

struct read_op {
	struct use *use;
	size_t len;
};

static int op_read(void *arg, uint64_t i)
{
	struct read_op *op = arg;
	ssize_t got = op->use->src->ops->copy(op->use, op->len, 0);

	return got == (ssize_t)op->len ? 0 : got < 0 ? -errno : -EIO;
}

static struct read_op read_of(struct cell *c)
{
	return (struct read_op){ &c->use, c->src->flags & SOURCE_NULL ?
						  0 :
						  c->group->size };
}

/* One destination for all of the cell's reads, touched by now */
static int begin_read(struct cell *c)
{
	int err;

	use_init(&c->use, c->src, c->buf);
	c->use.size = c->group->size;
	err = access_copy.setup(&c->use, arena_slot(c->slot));
	if (!err)
		memset(c->use.addr, 0, c->use.len);
	return err;
}

static void end_read(struct cell *c)
{
	if (c->use.addr != MAP_FAILED)
		access_copy.teardown(&c->use);
}

static int sample_read(struct cell *c, uint64_t n, struct reading *out)
{
	struct read_op op = read_of(c);
	int64_t elapsed;
	int err = timed_loop(op_read, &op, n, &elapsed);

	reading_add(out, elapsed, n, n);
	if (op.len)
		cell_consumed(c, consume(c->use.addr, op.len),
			      consume(c->buf->contents, op.len));
	return err;
}

static int sample_read_svc(struct cell *c, uint64_t n, struct reading *out)
{
	struct read_op op = read_of(c);
	uint64_t i, start;
	int err = 0;

	for (i = 0; i < n && !err; i++) {
		start = now();
		err = op_read(&op, 0);
		reading_add(&out[i], now() - start, 1, 0);
	}
	return err;
}

static uint64_t fixed_read(const struct run *r, uint64_t size)
{
	return 64;
}

static uint64_t fixed_svc(const struct run *r, uint64_t size)
{
	return (SINGLES + r->opt.blocks - 1) / r->opt.blocks;
}

static const struct probe probe_read = {
	.access = K2U_ACCESS_COPY,
	.flags = PROBE_LINEAR,
	.metric = { { "warm", "read", UNIT_TIME } },
	.begin = begin_read,
	.sample = sample_read,
	.end = end_read,
	.fixed = fixed_read,
};

static const struct probe probe_read_svc = {
	.access = K2U_ACCESS_COPY,
	.flags = PROBE_SINGLE,
	.metric = { { "warm", "read_svc", UNIT_TIME } },
	.begin = begin_read,
	.sample = sample_read_svc,
	.end = end_read,
	.fixed = fixed_svc,
};

/* ---- load: a chain of dependent loads through every line, in one random cycle ---- */

struct chase {
	const char *base;
	uint64_t at; /* offset of the next load */
	uint64_t loads, lines;
};

static __attribute__((noinline)) uint64_t chase(const char *base, uint64_t at,
						uint64_t loads)
{
	while (loads--)
		at = *(const volatile uint64_t *)(base + at);
	return at;
}

static int op_chase(void *arg, uint64_t i)
{
	struct chase *c = arg;

	c->at = chase(c->base, c->at, CHASE);
	return 0;
}

/* Sattolo's shuffle gives a permutation of one cycle: each line holds the offset of the next */
static int write_cycle(char *image, uint64_t lines, uint64_t seed)
{
	struct rng rng = { seed };
	uint32_t *order = malloc(lines * sizeof(*order)), t;
	uint64_t i, j;

	if (!order)
		return -ENOMEM;
	for (i = 0; i < lines; i++)
		order[i] = i;
	for (i = lines - 1; i > 0; i--) {
		j = rng_next(&rng) % i;
		t = order[i];
		order[i] = order[j];
		order[j] = t;
	}
	for (i = 0; i < lines; i++)
		*(uint64_t *)(image + (uint64_t)i * LINE) =
			(uint64_t)order[i] * LINE;
	free(order);
	return 0;
}

static int store_cycle(struct cell *c)
{
	uint64_t size = c->use.size;
	char *image;
	int err;

	if (c->src->flags & SOURCE_FRESH)
		return write_cycle(c->use.addr, size / LINE, c->buf->seed);
	image = calloc(1, size);
	if (!image)
		return -ENOMEM;
	err = write_cycle(image, size / LINE, c->buf->seed);
	if (!err)
		err = c->src->ops->store(c->buf, image, size, 0);
	free(image);
	return err;
}

static int begin_load(struct cell *c)
{
	struct chase *w;
	int err;

	use_init(&c->use, c->src, c->buf);
	err = access_map.setup(&c->use, arena_slot(c->slot));
	if (err)
		return err;
	w = c->priv = calloc(1, sizeof(*w));
	err = w ? store_cycle(c) : -ENOMEM;
	if (err)
		return err;
	w->base = c->use.addr;
	w->lines = c->use.size / LINE;
	w->at = chase(w->base, 0, w->lines); /* touches all of it */
	cell_consumed(c, w->at, 0);
	return 0;
}

static int sample_load(struct cell *c, uint64_t n, struct reading *out)
{
	struct chase *w = c->priv;
	int64_t elapsed;
	int err;

	/* What a cache may hold, other cells have evicted: once around */
	if (c->use.size <= 4 * MIB)
		w->at = chase(w->base, w->at, w->lines);
	err = timed_loop(op_chase, w, n, &elapsed);
	w->loads += n * CHASE;
	reading_add(out, elapsed, n * CHASE, n);
	return err;
}

/* The rest of the cycle leads home only if every load was made */
static void end_load(struct cell *c)
{
	struct chase *w = c->priv;

	if (!w)
		return;
	w->at = chase(w->base, w->at,
		      (w->lines - w->loads % w->lines) % w->lines);
	cell_consumed(c, w->at, 0);
	access_map.teardown(&c->use);
}

static uint64_t fixed_load(const struct run *r, uint64_t size)
{
	return 16;
}

const struct probe probe_load = {
	.access = K2U_ACCESS_MAP,
	.flags = PROBE_LINEAR | PROBE_BYTES | PROBE_STORE | PROBE_SPEED,
	.metric = { { "warm", "load", UNIT_TIME } },
	.begin = begin_load,
	.sample = sample_load,
	.end = end_load,
	.fixed = fixed_load,
};

/* ---- mmap, touch, munmap ---- */

enum { MMAP, TOUCH, MUNMAP };

static uint64_t pages(uint64_t size)
{
	return (size + page_bytes() - 1) / page_bytes();
}

static int sample_map(struct cell *c, uint64_t n, struct reading *out)
{
	bool touches = !(c->src->flags & SOURCE_NULL);
	struct batch b;
	int64_t elapsed;
	int err = 0;

	batch_init(&b, c);
	while (n-- && !err) {
		err = timed_loop(batch_setup, &b, b.k, &elapsed);
		reading_add(&out[MMAP], elapsed, b.k, b.k);
		if (touches && !err) {
			err = timed_loop(batch_touch, &b, b.k, &elapsed);
			reading_add(&out[TOUCH], elapsed,
				    b.k * pages(c->buf->size), b.k);
		}
		if (!err) {
			err = timed_loop(batch_teardown, &b, b.k, &elapsed);
			reading_add(&out[MUNMAP], elapsed, b.k, b.k);
		} else {
			timed_loop(batch_teardown, &b, b.k, &elapsed);
		}
	}
	return err;
}

/* One by one; every page is touched, a different one of each mapping is recorded */
static int sample_map_svc(struct cell *c, uint64_t n, struct reading *out)
{
	const bool write = c->src->flags & SOURCE_FRESH;
	uint64_t i, p, nr = pages(c->buf->size), start, t;
	struct use u;
	int err;

	use_init(&u, c->src, c->buf);
	for (i = 0; i < n; i++) {
		start = now();
		err = access_map.setup(&u, arena_slot(0));
		reading_add(&out[MMAP * n + i], now() - start, 1, 0);
		if (err)
			return err;
		for (p = 0; p < nr && !(c->src->flags & SOURCE_NULL); p++) {
			volatile uint64_t *word =
				(void *)(u.addr + p * page_bytes());

			start = now();
			if (write)
				*word = 1;
			else
				(void)*word;
			t = now() - start;
			if (p == i % nr)
				reading_add(&out[TOUCH * n + i], t, 1, 0);
		}
		start = now();
		err = access_map.teardown(&u);
		reading_add(&out[MUNMAP * n + i], now() - start, 1, 0);
		if (err)
			return err;
	}
	return 0;
}

/* Allocators work in bulk at every so-many-th page: average over some turns */
static uint64_t fixed_turns(const struct run *r, uint64_t size)
{
	return size < MIB ? 4 : 1;
}

static const struct probe probe_map = {
	.access	= K2U_ACCESS_MAP,
	.flags	= PROBE_LINEAR | PROBE_SETTLE,
	.metric	= {
		[MMAP]	 = { "setup", "mmap", UNIT_TIME },
		[TOUCH]	 = { "first-touch", "touch", UNIT_TIME },
		[MUNMAP] = { "teardown", "munmap", UNIT_TIME },
	},
	.sample	= sample_map,
	.fixed	= fixed_turns,
};

static const struct probe probe_map_svc = {
	.access	= K2U_ACCESS_MAP,
	.flags	= PROBE_SINGLE,
	.metric	= {
		[MMAP]	 = { "setup", "mmap_svc", UNIT_TIME },
		[TOUCH]	 = { "first-touch", "touch_svc", UNIT_TIME },
		[MUNMAP] = { "teardown", "munmap_svc", UNIT_TIME },
	},
	.sample	= sample_map_svc,
	.fixed	= fixed_svc,
};

/* ---- open, close: of a buffer of one page, what every object costs ---- */

#define OPEN_BATCH 16

enum { OPEN, CLOSE };

static int op_open(void *arg, uint64_t i)
{
	struct buffer *b = (struct buffer *)arg + i;
	const struct source_ops *ops = b->src->ops;
	int err = ops->open(b);

	/* null: the descriptor alone */
	if (err || !ops->setup || b->src->flags & SOURCE_NULL)
		return err;
	return ops->setup(b);
}

static int op_close(void *arg, uint64_t i)
{
	struct buffer *b = (struct buffer *)arg + i;

	if (b->fd >= 0)
		b->src->ops->close(b);
	return 0;
}

static struct buffer buffer_of(const struct cell *c)
{
	return (struct buffer){ .src = c->src,
				.size = c->buf->size,
				.node = c->buf->node,
				.fd = -1 };
}

static int sample_open(struct cell *c, uint64_t n, struct reading *out)
{
	struct buffer b[OPEN_BATCH];
	int64_t elapsed;
	int err = 0, i;

	while (n-- && !err) {
		for (i = 0; i < OPEN_BATCH; i++)
			b[i] = buffer_of(c);
		err = timed_loop(op_open, b, OPEN_BATCH, &elapsed);
		reading_add(&out[OPEN], elapsed, OPEN_BATCH, OPEN_BATCH);
		timed_loop(op_close, b, OPEN_BATCH, &elapsed);
		reading_add(&out[CLOSE], elapsed, OPEN_BATCH, OPEN_BATCH);
	}
	return err;
}

static int sample_open_svc(struct cell *c, uint64_t n, struct reading *out)
{
	uint64_t i, start;
	int err = 0;

	for (i = 0; i < n && !err; i++) {
		struct buffer b = buffer_of(c);

		start = now();
		err = op_open(&b, 0);
		reading_add(&out[OPEN * n + i], now() - start, 1, 0);
		start = now();
		op_close(&b, 0);
		reading_add(&out[CLOSE * n + i], now() - start, 1, 0);
	}
	return err;
}

static uint64_t fixed_opens(const struct run *r, uint64_t size)
{
	return 2;
}

static const struct probe probe_open = {
	.access	= K2U_ACCESS_BOTH,
	.flags	= PROBE_OPEN | PROBE_SETTLE,
	.metric	= {
		[OPEN]	= { "open", "open", UNIT_TIME },
		[CLOSE]	= { "close", "close", UNIT_TIME },
	},
	.sample	= sample_open,
	.fixed	= fixed_opens,
};

static const struct probe probe_open_svc = {
	.access	= K2U_ACCESS_BOTH,
	.flags	= PROBE_OPEN | PROBE_SINGLE,
	.metric	= {
		[OPEN]	= { "open", "open_svc", UNIT_TIME },
		[CLOSE]	= { "close", "close_svc", UNIT_TIME },
	},
	.sample	= sample_open_svc,
	.fixed	= fixed_svc,
};

/* ---- plan: of each list, the entry without _svc first ---- */

static const struct probe *const reads[] = { &probe_read, &probe_read_svc };
static const struct probe *const loads[] = { &probe_load };
static const struct probe *const maps[] = { &probe_map, &probe_map_svc };
static const struct probe *const opens[] = { &probe_open, &probe_open_svc };

int measure_latency(struct run *r)
{
	const struct options *o = &r->opt;
	uint64_t v[MAX_SIZES];
	unsigned int nr, i;
	int err = 0;

	for (i = 8; i <= 4096 && !err; i *= o->quick ? 8 : 2)
		err = group_add(r, "latency", i, BUFFER, reads,
				1 + (o->native &&
				     (i == 4096 || (i == 64 && !o->quick))));
	nr = size_list(o->icount ? "16K,1M" : "16K,1M,64M", v);
	for (i = 0; i < nr && !err; i++)
		err = group_add(r, "latency", v[i], v[i], loads, 1);
	nr = plan_sizes(r, v);
	for (i = 0; i < nr && !err; i++)
		err = group_add(r, "latency", v[i], v[i], maps,
				1 + (o->native && v[i] == BUFFER));
	return err ? err :
		     group_add(r, "latency", page_bytes(), page_bytes(), opens,
			       1 + (o->native && !o->quick));
}

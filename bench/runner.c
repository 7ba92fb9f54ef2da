// SPDX-License-Identifier: GPL-2.0
/*
 * runner.c - the protocol: what every measure's samples are taken by.
 *
 * A group opens one buffer per backing, calibrates one count of batches for all
 * sides of a comparison, discards a warm-up, and takes one sample of each cell
 * in every block, in an order shuffled anew. Contents are verified before and
 * after, and rows are written, outside the timed windows.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define BATCH_NS 50000.0 /* of the fastest side, at least */
#define BATCH_CAP_NS \
	8e6 /* of the slowest side: the count does not grow any more */
#define SETTLED_TURNS 4
#define SETTLED_TURNS_QUICK 2
#define LINEAR_TRIES 3
#define LINEAR_ROUNDS 3
#define LINEAR_LIMIT 0.05
#define STEADY_LIMIT 0.10
#define BIG (64 * MIB) /* a sample is long, and a mean over many pages */

volatile sig_atomic_t stop_signal;

/* The buffers and cells of the group that is running */
struct state {
	struct run *run;
	const struct group *group;
	struct buffer *buf;
	unsigned int nr_bufs;
	struct cell *cell;
	unsigned int nr_cells;
	unsigned int *order;
	char *image; /* the pattern */
	uint64_t sum, hash, seed;
	unsigned int turns; /* icount: of a sample of what has to settle */
	struct reading *out;
	unsigned int max_single; /* readings per metric that out has room for */
};

int group_add(struct run *r, const char *measure, uint64_t size, uint64_t bytes,
	      const struct probe *const *probes, unsigned int nr)
{
	struct group *g = realloc(r->groups, (r->nr_groups + 1) * sizeof(*g));

	if (!g)
		return -ENOMEM;
	r->groups = g;
	g[r->nr_groups++] = (struct group){
		.measure = measure,
		.size = size,
		.bytes = bytes,
		.threads = 1,
		.probes = probes,
		.nr_probes = nr,
	};
	return 0;
}

/* ---- rows ---- */

static void check_row(struct run *r, const struct group *g,
		      const struct source *s, const struct metric *m,
		      const char *name, const char *expected, const char *got,
		      const char *verdict, const char *note)
{
	char clean[256];
	size_t i;

	/* No value holds a comma */
	snprintf(clean, sizeof(clean), "%s", note);
	for (i = 0; clean[i]; i++)
		if (clean[i] == ',' || clean[i] == '\n')
			clean[i] = ';';
	emit_line(r->emit, EMIT_CHECKS,
		  "%s,%s,%s,%s,%s,%lu,%u,%s,%s,%s,%s,%s,%s,%s", g->measure,
		  s->provider, s->method, s->backing, s->cache, g->size,
		  r->opt.boot, m ? m->phase : "all", m ? m->name : "", name,
		  expected, got, verdict, clean);
}

void check(const struct cell *c, const struct metric *m, const char *name,
	   const char *expected, const char *got, const char *verdict,
	   const char *note)
{
	check_row(c->run, c->group, c->src, m, name, expected, got, verdict,
		  note);
}

static void unavailable(struct state *st, const struct source *s,
			const char *why)
{
	check_row(st->run, st->group, s, NULL, "available", "", "",
		  "unavailable", why);
}

/* An operation failed: say so, take no more samples of this cell */
static void cell_died(struct cell *c, int err)
{
	char note[128];

	if (c->dead)
		return;
	c->dead = true;
	c->run->failed++;
	snprintf(note, sizeof(note), "an operation failed: %s", strerror(-err));
	check(c, c->probe->metric, "available", "", "", "fail", note);
	fprintf(stderr, "k2u-bench: %s %s %lu bytes %s: %s\n",
		c->group->measure, source_label(c->src), c->group->size,
		c->probe->metric[0].name, note);
}

static unsigned int nr_metrics(const struct probe *p)
{
	unsigned int i;

	for (i = 0; i < MAX_METRICS && p->metric[i].name; i++)
		;
	return i;
}

static bool is_timed(const struct metric *m)
{
	return m->unit != UNIT_FAULTS && m->unit != UNIT_COUNT;
}

static double value_of(const struct cell *c, const struct metric *m,
		       const struct reading *out)
{
	const struct timing *t = &c->run->timing;

	switch (m->unit) {
	case UNIT_TIME:
		return timing_value(t, out);
	case UNIT_RATE:
		return timing_rate(t, out, c->group->size);
	case UNIT_EVENTS:
		return 1000 / timing_value(t, out);
	case UNIT_COUNT:
		return (double)out->elapsed / out->iters;
	default:
		return out->elapsed;
	}
}

static void sample_row(struct cell *c, const struct metric *m,
		       const struct reading *out, unsigned int block,
		       unsigned int sample)
{
	const struct run *r = c->run;
	const char *unit = m->unit == UNIT_FAULTS ? "faults" :
			   m->unit == UNIT_COUNT  ? "count" :
			   m->unit == UNIT_EVENTS ? "M/s" :
			   m->unit == UNIT_RATE	  ? r->opt.icount ? "B/insn" :
								    "GB/s" :
			   r->opt.icount	  ? "insn" :
						    "ns";

	emit_line(r->emit, EMIT_SAMPLES,
		  "%s,%s,%s,%s,%s,%lu,%u,%u,%s,%s,%s,%u,%u,%lu,%.5g,%.8g",
		  c->group->measure, c->src->provider, c->src->method,
		  c->src->backing, c->src->cache, c->group->size,
		  c->group->threads, r->opt.boot, m->phase, m->name, unit,
		  block, sample, out->iters,
		  m->unit == UNIT_TIME ? timing_overhead(&r->timing, out) : 0.0,
		  value_of(c, m, out));
}

/* ---- samples ---- */

/* To where its thread has to run. Memory of the user's own is what is measured */
static int cell_enter(const struct cell *c)
{
	const struct place *p = c->probe->place;

	return p ? place_enter(p, c->src->flags & SOURCE_FRESH) : 0;
}

static void cell_leave(const struct cell *c)
{
	if (c->probe->place && place_leave(&c->run->opt))
		fprintf(stderr, "k2u-bench: back to cpu %d: %m\n",
			c->run->opt.cpu);
}

/*
 * Where the clock counts instructions, what others left behind is most of the
 * noise: timer ticks, RCU callbacks, the state of slabs and per-CPU lists. The
 * sleep, which an emulated clock skips, lets the former run and begins a new
 * tick; as many turns that are not recorded settle the latter.
 */
static int settle(struct cell *c, uint64_t n, unsigned int turn)
{
	const struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };
	struct reading unused[MAX_METRICS] = {};
	int err;

	nanosleep(&pause, NULL);
	if (!(c->probe->flags & PROBE_SETTLE))
		return 0;
	/*
	 * What an mmap costs depends on the shape of the tree of mappings, a
	 * matter of its history. Begin it anew, with anchors for a slot more in
	 * each turn, so that the sample is a mean over shapes.
	 */
	arena_end();
	err = arena_begin(c->buf->size,
			  batch_uses(c->run, c->buf->size) + turn);
	return err ? err : c->probe->sample(c, n, unused);
}

/* A sample; what has to settle is short then, and is the mean of several */
static int cell_sample(struct state *st, struct cell *c, uint64_t n)
{
	uint64_t per = c->probe->flags & PROBE_SINGLE ? n : 1;
	bool icount = st->run->opt.icount;
	unsigned int turns = 1;
	int err = 0;

	if (icount && c->probe->flags & PROBE_SETTLE)
		turns = st->turns;

	err = cell_enter(c);
	thp_allow(c->src->flags & SOURCE_HUGE);
	memset(st->out, 0, nr_metrics(c->probe) * per * sizeof(*st->out));
	while (turns-- && !err) {
		err = icount ? settle(c, n, turns) : 0;
		if (!err)
			err = c->probe->sample(c, n, st->out);
	}
	cell_leave(c);
	if (err)
		cell_died(c, err);
	return err;
}

void cell_consumed(struct cell *c, uint64_t got, uint64_t want)
{
	c->sums++;
	if (!c->bad_sums) {
		c->got = got;
		c->want = want;
	}
	c->bad_sums += got != want;
}

static void emit_sample(struct state *st, struct cell *c, unsigned int block)
{
	const struct probe *p = c->probe;
	uint64_t per = p->flags & PROBE_SINGLE ? c->n : 1, j;
	unsigned int i;

	for (i = 0; i < nr_metrics(p); i++) {
		const struct reading *out = st->out + i * per;

		for (j = 0; j < per; j++)
			if (out[j].iters)
				sample_row(c, &p->metric[i], &out[j], block + 1,
					   j + 1);
		if (per != 1 || !out->iters)
			continue;
		c->seen[i] = true;
		c->hist[i * c->run->opt.blocks + block] =
			value_of(c, &p->metric[i], out);
	}
}

/* ---- calibration ---- */

/* The elapsed times of n batches: of the cell's fastest metric, and of all */
static int cell_times(struct state *st, struct cell *c, uint64_t n,
		      double *fastest, double *all)
{
	double one, sum = 0, least = INFINITY;
	unsigned int i;
	int err = cell_sample(st, c, n);

	for (i = 0; i < nr_metrics(c->probe) && !err; i++) {
		if (!st->out[i].iters || !is_timed(&c->probe->metric[i]))
			continue;
		one = st->out[i].elapsed;
		sum += one;
		if (one < least)
			least = one;
	}
	*fastest = least;
	*all = sum;
	return err;
}

static void calibrate(struct state *st, const struct probe *p)
{
	const struct run *r = st->run;
	double target = fmax(BATCH_NS, 1000 * r->timing.resolution), fastest,
	       slowest, one, all;
	bool fixed = r->opt.icount ||
		     p->flags & (PROBE_SINGLE | PROBE_COUNT | PROBE_FIXED);
	uint64_t n = fixed ? p->fixed(r, st->group->size) : 1;
	unsigned int i;

	while (!fixed && !stop_signal) {
		fastest = INFINITY;
		slowest = 0;
		for (i = 0; i < st->nr_cells; i++) {
			struct cell *c = &st->cell[i];

			if (c->probe != p || c->dead ||
			    cell_times(st, c, n, &one, &all))
				continue;
			fastest = fmin(fastest, one);
			slowest = fmax(slowest, all);
		}
		if (fastest >= target || slowest >= BATCH_CAP_NS)
			break;
		n *= 2;
	}
	for (i = 0; i < st->nr_cells; i++)
		if (st->cell[i].probe == p)
			st->cell[i].n = n;
}

/* time(2N) / time(N): 2, or the loop did not do what it says. The median of a few tries, */
static bool linear_round(struct state *st, struct cell *c, unsigned int tries,
			 double *ratio)
{
	const struct timing *t = &st->run->timing;
	unsigned int nr = nr_metrics(c->probe), i, j;
	double v[MAX_METRICS][LINEAR_TRIES], once[MAX_METRICS];
	bool ok = true;

	for (j = 0; j < tries; j++) {
		if (cell_sample(st, c, c->n))
			return false;
		for (i = 0; i < nr; i++)
			once[i] = st->out[i].iters ?
					  timing_value(t, &st->out[i]) :
					  0;
		if (cell_sample(st, c, 2 * c->n))
			return false;
		for (i = 0; i < nr; i++)
			v[i][j] = once[i] ? 2 * timing_value(t, &st->out[i]) /
						    once[i] :
					    2;
	}
	for (i = 0; i < nr; i++) {
		ratio[i] = median(v[i], tries);
		ok &= fabs(ratio[i] / 2 - 1) <= LINEAR_LIMIT;
	}
	return ok;
}

/* and again where noise may have been the reason */
static void check_linear(struct state *st, struct cell *c)
{
	unsigned int tries = st->run->opt.icount ? 1 : LINEAR_TRIES, i;
	const unsigned int turns = st->turns;
	double ratio[MAX_METRICS];
	char got[32];
	bool ok;

	/* Of few turns, twice as much may cross a threshold of an allocator each time */
	st->turns = SETTLED_TURNS;
	for (i = 0; i < LINEAR_ROUNDS && !stop_signal && !c->dead; i++)
		if (linear_round(st, c, tries, ratio))
			break;
	st->turns = turns;
	if (stop_signal || c->dead)
		return;
	for (i = 0; i < nr_metrics(c->probe); i++) {
		if (!st->out[i].iters)
			continue;
		ok = fabs(ratio[i] / 2 - 1) <= LINEAR_LIMIT;
		st->run->nonlinear += !ok;
		snprintf(got, sizeof(got), "%.4f", ratio[i]);
		check(c, &c->probe->metric[i], "linearity", "2", got,
		      ok ? "pass" : "fail",
		      ok ? "" :
			   "time of 2N over time of N is off by more than 5 %");
	}
}

/* ---- checks ---- */

/* The first wrong byte, -1 if there is none, or -errno - 1 */
static int64_t verify_map(struct state *st, const struct source *s,
			  struct buffer *b)
{
	struct use u;
	int64_t at;
	int err;

	use_init(&u, s, b);
	err = access_map.setup(&u, arena_slot(0));
	if (err)
		return err - 1;
	use_fill(&u);
	if (s->ops->sync && s->ops->sync(&u, true))
		return -errno - 1;
	at = bytes_differ(u.addr, b->contents, u.size);
	if (s->ops->sync && s->ops->sync(&u, false))
		at = -errno - 1;
	access_map.teardown(&u);
	return at;
}

static int64_t verify_copy(struct state *st, const struct source *s,
			   struct buffer *b)
{
	uint64_t off, len;
	int64_t at = -1;
	struct use u;
	ssize_t got;
	int err;

	use_init(&u, s, b);
	err = access_copy.setup(&u, arena_slot(0));
	if (err)
		return err - 1;
	for (off = 0; off < b->size && at == -1; off += len) {
		len = b->size - off < u.len ? b->size - off : u.len;
		memset(u.addr, 0, len);
		got = s->ops->copy(&u, len, off);
		if (got != (ssize_t)len) {
			at = (got < 0 ? -errno : -EIO) - 1;
			break;
		}
		at = bytes_differ(u.addr, b->contents + off, len);
		if (at >= 0)
			at += off;
	}
	access_copy.teardown(&u);
	return at;
}

/* Every byte, as this source's user sees it; and as the kernel sees it */
static void verify(struct state *st, const struct source *s, struct buffer *b,
		   const char *when)
{
	char expected[32], got[64], note[128];
	uint64_t hash;
	int64_t at;
	bool ok;

	/* A stream's records are looked at as they come */
	if (!(s->access & K2U_ACCESS_BOTH))
		return;
	if (!(s->flags & SOURCE_NULL)) {
		at = s->access & K2U_ACCESS_MAP ? verify_map(st, s, b) :
						  verify_copy(st, s, b);
		ok = at == -1;
		st->run->failed += !ok;
		snprintf(note, sizeof(note), "%s the samples%s%s", when,
			 at < -1 ? ": " : "",
			 at < -1 ? strerror(-(at + 1)) : "");
		if (at >= 0)
			snprintf(note, sizeof(note), "%s the samples: byte %ld",
				 when, at);
		snprintf(expected, sizeof(expected), "%lu", b->size);
		snprintf(got, sizeof(got), "%ld", ok ? (int64_t)b->size : at);
		check_row(st->run, st->group, s, NULL, "contents", expected,
			  got, ok ? "pass" : "fail", note);
	}
	if (!s->ops->hash)
		return;
	errno = -s->ops->hash(b, &hash);
	ok = !errno && hash == st->hash;
	st->run->failed += !ok;
	snprintf(note, sizeof(note), "%s the samples%s%s", when,
		 errno ? ": " : "", errno ? strerror(errno) : "");
	snprintf(expected, sizeof(expected), "%016lx", st->hash);
	snprintf(got, sizeof(got), "%016lx", errno ? 0 : hash);
	check_row(st->run, st->group, s, NULL, "kernel-hash", expected, got,
		  ok ? "pass" : "fail", note);
}

static void check_consumed(struct cell *c)
{
	char expected[32], got[32], note[64];

	if (!c->sums)
		return;
	snprintf(expected, sizeof(expected), "%016lx", c->want);
	snprintf(got, sizeof(got), "%016lx", c->got);
	snprintf(note, sizeof(note), "%lu of %lu timed sums are right",
		 c->sums - c->bad_sums, c->sums);
	check(c, c->probe->metric, "consumed", expected, got,
	      c->bad_sums ? "fail" : "pass", note);
	c->run->failed += !!c->bad_sums;
}

/* The last quarter of the blocks against the first: marked, not trimmed */
static void check_steady(struct cell *c)
{
	unsigned int q = c->blocks < 4 ? 0 : (c->blocks + 3) / 4, i, j;
	double first[64], last[64], a, b;
	char got[32];
	bool apart, ok;

	if (q > ARRAY_SIZE(first))
		q = ARRAY_SIZE(first);
	for (i = 0; i < nr_metrics(c->probe); i++) {
		const struct metric *m = &c->probe->metric[i];
		const double *v = c->hist + i * c->run->opt.blocks;

		if (!c->seen[i] || !is_timed(m))
			continue;
		if (!q) {
			check(c, m, "steady", "1", "", "unavailable",
			      "fewer than 4 blocks");
			continue;
		}
		for (j = 0; j < q; j++) {
			first[j] = v[j];
			last[j] = v[c->blocks - q + j];
		}
		a = median(first, q);
		b = median(last, q);
		/* sorted by now: no overlap, and far enough */
		apart = first[q - 1] < last[0] || last[q - 1] < first[0];
		ok = !apart || fabs(b / a - 1) <= STEADY_LIMIT;
		c->run->unsettled += !ok;
		snprintf(got, sizeof(got), "%.4f", b / a);
		check(c, m, "steady", "1", got, ok ? "pass" : "fail",
		      ok ? "" :
			   "the last quarter of the blocks is apart from the first");
	}
}

/* ---- groups ---- */

static bool same_buffer(const struct source *a, const struct source *b)
{
	return a->ops->open == b->ops->open && a->store_id == b->store_id;
}

static struct buffer *find_buffer(struct state *st, const struct source *s,
				  int node)
{
	unsigned int i;

	for (i = 0; i < st->nr_bufs; i++)
		if (same_buffer(st->buf[i].src, s) && st->buf[i].node == node)
			return &st->buf[i];
	return NULL;
}

/* Its memory from a node, by the thread's policy where the source has no say */
static int open_on(struct buffer *b, int usual)
{
	int err = b->node == usual ? 0 : place_bind(b->node), back;

	if (!err)
		err = buffer_open(b);
	back = b->node == usual ? 0 : place_bind(usual);
	if (!err && back)
		buffer_close(b);
	return err ? err : back;
}

/* Open (or share) the buffer of a source; NULL: not at this size, which is recorded */
static struct buffer *get_buffer(struct state *st, const struct source *s,
				 const struct place *place)
{
	const int usual = st->run->opt.node, node = place ? place->node : usual;
	struct buffer *b = find_buffer(st, s, node);
	char why[160];
	int err;

	if (s->ops->refuse &&
	    s->ops->refuse(s, st->group->bytes, why, sizeof(why))) {
		unavailable(st, s, why);
		return NULL;
	}
	if (b)
		return b;
	b = &st->buf[st->nr_bufs];
	*b = (struct buffer){
		.src = s,
		.size = st->group->bytes,
		.seed = st->seed,
		.sum = st->sum,
		.contents = st->image,
		.node = node,
	};
	err = open_on(b, usual);
	if (err) {
		snprintf(why, sizeof(why), "no buffer of %lu bytes%s: %s",
			 st->group->bytes, place ? " on each of the nodes" : "",
			 strerror(-err));
		unavailable(st, s, why);
		return NULL;
	}
	st->nr_bufs++;
	return b;
}

static bool probe_applies(const struct probe *p, const struct source *s)
{
	if (!(p->access & s->access))
		return false;
	if (p->flags & PROBE_BYTES && s->flags & SOURCE_NULL)
		return false;
	return !(p->flags & PROBE_OPEN) || s->ops->open;
}

static bool any_applies(const struct group *g, const struct source *s)
{
	unsigned int i;

	for (i = 0; i < g->nr_probes; i++)
		if (probe_applies(g->probes[i], s))
			return true;
	return false;
}

/*
 * What its first source's cell says of a buffer's descriptor holds for all of
 * them; null's is the descriptor alone.
 */
static bool opened(const struct state *st, const struct probe *p,
		   const struct source *s, const struct buffer *b)
{
	unsigned int i;

	for (i = 0; i < st->nr_cells; i++)
		if (st->cell[i].probe == p && st->cell[i].buf == b &&
		    !((st->cell[i].src->flags ^ s->flags) & SOURCE_NULL))
			return true;
	return false;
}

/* Why a probe that applies has nothing to say of this source; or NULL */
static const char *withheld(const struct state *st, const struct probe *p,
			    const struct source *s, char *why, size_t len)
{
	if (p->reason)
		return p->reason;
	if (p->place && s->flags & SOURCE_NODELESS)
		return "the kernel alone decides from which node its memory is";
	if (p->flags & PROBE_STORE && !(s->flags & SOURCE_FRESH) &&
	    !s->ops->store)
		return "user space cannot write these bytes";
	if (p->flags & PROBE_SPEED && st->run->opt.icount &&
	    strcmp(s->cache, "wb"))
		return "its memory is not write-back, and a load counts as one instruction whatever the type";
	if (p->flags & PROBE_FRESH && s->ops->stale &&
	    s->ops->stale(s, st->group->bytes, why, len))
		return why;
	if (p->absent && p->absent(st->run, s, st->group->size, why, len))
		return why;
	return NULL;
}

static int add_cells(struct state *st, const struct source *s)
{
	const struct group *g = st->group;
	struct run *r = st->run;
	struct buffer *b = NULL;
	const char *reason;
	char why[160];
	unsigned int i;

	for (i = 0; i < g->nr_probes; i++) {
		const struct probe *p = g->probes[i];
		struct cell *c = &st->cell[st->nr_cells];

		if (!probe_applies(p, s))
			continue;
		/* Nothing is made for what cannot be had anyway */
		if (!p->reason) {
			b = get_buffer(st, s, p->place);
			if (!b)
				return 0;
		}
		if (p->flags & PROBE_OPEN && opened(st, p, s, b))
			continue;
		reason = withheld(st, p, s, why, sizeof(why));
		if (reason) {
			check_row(r, g, s, p->metric, "available", "", "",
				  "unavailable", reason);
			continue;
		}
		*c = (struct cell){
			.run = r,
			.group = g,
			.src = s,
			.buf = b,
			.probe = p,
			.slot = MAX_BATCH + st->nr_cells,
			.hist = calloc(MAX_METRICS * r->opt.blocks,
				       sizeof(double)),
		};
		if (!c->hist)
			return -ENOMEM;
		if (p->flags & PROBE_SINGLE &&
		    p->fixed(r, g->size) > st->max_single)
			st->max_single = p->fixed(r, g->size);
		st->nr_cells++;
	}
	return 0;
}

/* Whether the group is about this source */
static bool wanted(const struct state *st, const struct source *s)
{
	const struct options *o = &st->run->opt;

	return source_wanted(s, o) && source_available(s) &&
	       (!st->group->wanted || st->group->wanted(s, o));
}

/* From how many nodes a buffer has its memory, each of its own */
static unsigned int nodes_wanted(const struct group *g)
{
	const struct probe *const *p = g->probes;
	unsigned int i, j, nr = 0;

	for (i = 0; i < g->nr_probes; i++) {
		for (j = 0; j < i; j++)
			if (p[i]->place == p[j]->place ||
			    (p[i]->place && p[j]->place &&
			     p[i]->place->node == p[j]->place->node))
				break;
		nr += j == i;
	}
	return nr;
}

static unsigned int buffers_wanted(const struct state *st)
{
	const struct source *v = st->run->src.v;
	unsigned int i, j, nr = 0;

	for (i = 0; i < st->run->src.nr; i++) {
		if (!wanted(st, &v[i]))
			continue;
		for (j = 0; j < i; j++)
			if (wanted(st, &v[j]) && same_buffer(&v[i], &v[j]))
				break;
		nr += j == i;
	}
	return nr * nodes_wanted(st->group);
}

/* Whether the machine has the memory: the buffers, the image, the user's own */
static bool memory_suffices(struct state *st)
{
	char text[64];
	const struct group *g = st->group;
	uint64_t need = g->bytes * (buffers_wanted(st) + 3 + g->threads);

	if (!read_field("/proc/meminfo", "MemAvailable", text, sizeof(text)))
		return true;
	return need / KIB < strtoull(text, NULL, 10) / 4 * 3;
}

static int group_open(struct state *st)
{
	const struct group *g = st->group;
	struct run *r = st->run;
	unsigned int i;
	int err;

	st->seed = k2u_pattern(r->opt.seed, g->bytes);
	st->buf = calloc(r->src.nr * g->nr_probes, sizeof(*st->buf));
	st->cell = calloc(r->src.nr * g->nr_probes, sizeof(*st->cell));
	st->order = calloc(r->src.nr * g->nr_probes, sizeof(*st->order));
	st->max_single = 1;
	if (!st->buf || !st->cell || !st->order)
		return -ENOMEM;
	if (!memory_suffices(st)) {
		for (i = 0; i < r->src.nr; i++)
			if (wanted(st, &r->src.v[i]))
				unavailable(
					st, &r->src.v[i],
					"the machine has not memory enough for this size");
		return 0;
	}
	st->image = map_private(NULL, g->bytes);
	if (st->image == MAP_FAILED)
		return -ENOMEM;
	pattern_fill(st->image, st->seed, g->bytes);
	st->sum = pattern_sum(st->seed, g->bytes);
	st->hash = pattern_hash(st->seed, g->bytes);
	for (i = 0; i < r->src.nr && !stop_signal; i++) {
		const struct source *s = &r->src.v[i];

		if (!wanted(st, s) || !any_applies(g, s))
			continue;
		err = add_cells(st, s);
		if (err)
			return err;
	}
	st->out = calloc(MAX_METRICS * st->max_single, sizeof(*st->out));
	return st->out ? arena_begin(g->bytes, batch_uses(r, g->bytes)) :
			 -ENOMEM;
}

static void group_close(struct state *st)
{
	unsigned int i;

	for (i = 0; i < st->nr_cells; i++) {
		free(st->cell[i].hist);
		free(st->cell[i].priv);
	}
	for (i = 0; i < st->nr_bufs; i++)
		buffer_close(&st->buf[i]);
	arena_end();
	if (st->image && st->image != MAP_FAILED)
		munmap(st->image, st->group->bytes);
	free(st->buf);
	free(st->cell);
	free(st->order);
	free(st->out);
}

/* Once per source and buffer: it has several cells */
static void verify_all(struct state *st, const char *when)
{
	unsigned int i;

	for (i = 0; i < st->nr_cells; i++)
		if (!i || st->cell[i].src != st->cell[i - 1].src ||
		    st->cell[i].buf != st->cell[i - 1].buf)
			verify(st, st->cell[i].src, st->cell[i].buf, when);
}

static void run_blocks(struct state *st, void (*tick)(struct run *, double),
		       double done)
{
	struct run *r = st->run;
	unsigned int blocks = st->group->bytes < BIG ? r->opt.blocks :
						       r->opt.big_blocks;
	unsigned int block, i;

	for (i = 0; i < st->nr_cells; i++)
		st->order[i] = i;
	for (block = 0; block < blocks; block++) {
		rng_shuffle(&r->rng, st->order, st->nr_cells);
		for (i = 0; i < st->nr_cells && !stop_signal; i++) {
			struct cell *c = &st->cell[st->order[i]];

			if (c->dead || cell_sample(st, c, c->n))
				continue;
			emit_sample(st, c, block);
			c->blocks = block + 1;
		}
		if (stop_signal)
			break;
		tick(r, done + (double)(block + 1) / blocks);
	}
}

static void measure_cells(struct state *st, void (*tick)(struct run *, double),
			  double done)
{
	unsigned int i;
	int err;

	for (i = 0; i < st->nr_cells; i++) {
		struct cell *c = &st->cell[i];

		thp_allow(c->src->flags & SOURCE_HUGE);
		err = cell_enter(c);
		if (!err && c->probe->begin)
			err = c->probe->begin(c);
		cell_leave(c);
		if (err)
			cell_died(c, err);
	}
	for (i = 0; i < st->group->nr_probes; i++)
		calibrate(st, st->group->probes[i]);
	for (i = 0; i < st->nr_cells && !stop_signal; i++) {
		struct cell *c = &st->cell[i];

		if (!c->dead && !cell_sample(st, c, c->n) &&
		    c->probe->flags & PROBE_LINEAR)
			check_linear(st, c);
	}
	run_blocks(st, tick, done);
	for (i = 0; i < st->nr_cells; i++) {
		struct cell *c = &st->cell[i];

		if (c->probe->end)
			c->probe->end(c);
		check_consumed(c);
		if (!stop_signal && !c->dead) {
			check_steady(c);
			if (c->probe->finish)
				c->probe->finish(c);
		}
	}
	/* Not in end(): sources share buffers, and each has its own end to reach */
	for (i = 0; i < st->nr_cells; i++)
		if (st->cell[i].probe->flags & PROBE_STORE)
			buffer_fill(st->cell[i].buf);
}

static int run_group(struct run *r, const struct group *g,
		     void (*tick)(struct run *, double), double done)
{
	struct state st = {
		.run = r,
		.group = g,
		.turns = r->opt.quick ? SETTLED_TURNS_QUICK : SETTLED_TURNS,
	};
	int err;

	if (g->instead)
		return g->instead(r, g);
	err = group_open(&st);
	if (!err) {
		verify_all(&st, "before");
		measure_cells(&st, tick, done);
		verify_all(&st, "after");
	}
	group_close(&st);
	return err;
}

/* ---- progress ---- */

static double started_ns;

static double eta(const struct run *r, double done)
{
	return done > 0 ?
		       (now() - started_ns) / 1e9 * (r->nr_groups / done - 1) :
		       0;
}

static void tick_terminal(struct run *r, double done)
{
	fprintf(stderr,
		"\rk2u-bench: %3.0f %%, %.0f s elapsed, about %.0f s remaining  ",
		100 * done / r->nr_groups, (now() - started_ns) / 1e9,
		eta(r, done));
}

static void tick_nothing(struct run *r, double done)
{
}

int run_groups(struct run *r)
{
	bool terminal = isatty(STDERR_FILENO);
	unsigned int i, done = 0, pass;
	int err = 0;

	started_ns = now();
	for (pass = 0; pass < 2; pass++) {
		for (i = 0; i < r->nr_groups && !err && !stop_signal; i++) {
			if (!r->groups[i].instead != !pass)
				continue;
			err = run_group(r, &r->groups[i],
					terminal ? tick_terminal : tick_nothing,
					done++);
			if (!err)
				err = emit_flush(r->emit);
			if (!err)
				err = emit_progress(r->emit, done, r->nr_groups,
						    eta(r, done));
		}
	}
	if (terminal)
		fputs("\r\033[K", stderr);
	return err;
}

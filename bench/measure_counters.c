// SPDX-License-Identifier: GPL-2.0
/*
 * measure_counters.c - what a use costs in events of the hardware: each phase of
 * getting and consuming the bytes once, by event, in user mode and in the kernel.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "counter.h"

enum { SETUP, FIRST, WARM, TEARDOWN, NR_PHASES };

static const char *const phases[] = {
	[SETUP] = "setup",
	[FIRST] = "first-touch",
	[WARM] = "warm",
	[TEARDOWN] = "teardown",
};

#define EMPTIES 11 /* empty windows, of which the median is subtracted */

/* A probe for each event */
struct counted {
	struct probe probe; /* first: a cell has no other way to the rest */
	struct counter *counter;
	char name[2][64]; /* of its metrics, by mode */
};

/* Of a cell */
struct windows {
	int64_t empty[2];
	uint64_t all, lost; /* windows; those in which it was not on the PMU */
};

static struct counter *counter_of(const struct cell *c)
{
	return ((const struct counted *)c->probe)->counter;
}

/* ---- what is counted ---- */

struct step {
	struct use *use;
	const struct access_ops *acc;
	uint64_t sum;
};

static int step_empty(void *arg)
{
	return 0;
}

static int step_setup(void *arg)
{
	struct step *s = arg;

	return s->acc->setup(s->use, arena_slot(0));
}

static int step_first(void *arg)
{
	struct step *s = arg;

	return use_first(s->use, s->acc, &s->sum);
}

static int step_consume(void *arg)
{
	struct step *s = arg;

	return s->acc->consume(s->use, &s->sum);
}

static int step_teardown(void *arg)
{
	struct step *s = arg;

	return s->acc->teardown(s->use);
}

static int (*const step[NR_PHASES])(void *arg) = {
	[SETUP] = step_setup,
	[FIRST] = step_first,
	[WARM] = step_consume,
	[TEARDOWN] = step_teardown,
};

/* ---- cells ---- */

static int begin_counted(struct cell *c)
{
	struct counter *counter = counter_of(c);
	struct windows *w = c->priv = calloc(1, sizeof(*w));
	double v[2][EMPTIES];
	int64_t count[2];
	int err = w ? counter_open(counter) : -ENOMEM, counted, i, n = 0;

	if (err) {
		free(w);
		c->priv = NULL;
		return err;
	}
	for (i = 0; i < EMPTIES; i++) {
		counter_window(counter, step_empty, NULL, count, &counted);
		if (counted)
			continue;
		v[0][n] = count[0];
		v[1][n++] = count[1];
	}
	for (i = 0; i < 2 && n; i++)
		w->empty[i] = median(v[i], n);
	return 0;
}

static void end_counted(struct cell *c)
{
	if (c->priv)
		counter_close(counter_of(c));
}

/* Add what a phase of a use was counted; the use goes on where it was not */
static int count_phase(struct cell *c, struct step *s, int phase,
		       struct reading *out)
{
	const struct counter *counter = counter_of(c);
	struct windows *w = c->priv;
	int err, counted, mode;
	int64_t count[2];

	err = counter_window(counter, step[phase], s, count, &counted);
	w->all++;
	w->lost += !!counted;
	for (mode = 0; mode < 2 && !counted; mode++) {
		if (mode && counter->kernel < 0)
			break;
		out[2 * phase + mode].elapsed += count[mode] - w->empty[mode];
		out[2 * phase + mode].iters++;
	}
	return err;
}

/* As many uses as a sample of pass has: allocators work in bulk at every so-many-th page */
static int sample_counted(struct cell *c, uint64_t n, struct reading *out)
{
	struct step s = { .use = &c->use, .acc = access_of(c->src) };
	int err, phase;

	use_init(&c->use, c->src, c->buf);
	/* What a cache may hold, other cells have evicted: a use that is not counted */
	err = step_setup(&s) ?: step_first(&s) ?: step_teardown(&s);
	for (n *= batch_uses(c->run, c->buf->size); n && !err; n--) {
		s.sum = 0;
		for (phase = 0; phase < NR_PHASES && !err; phase++)
			err = count_phase(c, &s, phase, out);
		if (!err)
			cell_consumed(c, s.sum, 2 * c->use.sum);
		else if (phase > FIRST && phase < NR_PHASES)
			step_teardown(&s);
	}
	return err;
}

/* Whether it was counted all the time; how good that makes a figure, not whether it is right */
static int finish_counted(struct cell *c)
{
	const struct counter *counter = counter_of(c);
	const struct windows *w = c->priv;
	const struct metric all_phases[] = {
		{ "all", c->probe->metric[0].name, UNIT_COUNT },
		{ "all", c->probe->metric[1].name, UNIT_COUNT },
	};
	char expected[32], got[32], note[160];

	snprintf(expected, sizeof(expected), "%lu", w->all);
	snprintf(got, sizeof(got), "%lu", w->all - w->lost);
	snprintf(
		note, sizeof(note),
		"%s; an empty window counts %ld in user mode and %ld in the kernel: subtracted",
		w->lost ?
			"in the other windows the group was not on the PMU all the time: no samples" :
			counter->event,
		w->empty[0], w->empty[1]);
	check(c, &all_phases[0], "counted", expected, got,
	      w->lost ? "unavailable" : "pass", note);
	if (counter->no_kernel[0])
		check(c, &all_phases[1], "available", "", "", "unavailable",
		      counter->no_kernel);
	return 0;
}

static uint64_t fixed_once(const struct run *r, uint64_t size)
{
	return 1;
}

/* ---- plan ---- */

static void plan_counter(struct counted *p, struct counter *counter)
{
	static const char *const mode[] = { "user", "kernel" };
	const char *reason = counter->reason[0] ? counter->reason : NULL;
	unsigned int i;

	p->counter = counter;
	p->probe = (struct probe){
		.access = K2U_ACCESS_BOTH,
		.flags = PROBE_BYTES | PROBE_COUNT | PROBE_FRESH,
		.reason = reason,
		.begin = begin_counted,
		.sample = sample_counted,
		.end = end_counted,
		.finish = finish_counted,
		.fixed = fixed_once,
	};
	for (i = 0; i < 2; i++)
		snprintf(p->name[i], sizeof(p->name[i]), "%s_%s", counter->name,
			 mode[i]);
	for (i = 0; i < 2 * NR_PHASES && !reason; i++)
		p->probe.metric[i] = (struct metric){ phases[i / 2],
						      p->name[i % 2],
						      UNIT_COUNT };
	if (reason)
		p->probe.metric[0] =
			(struct metric){ "all", counter->name, UNIT_COUNT };
}

int measure_counters(struct run *r)
{
	static struct counted probe[MAX_COUNTERS];
	static const struct probe *list[MAX_COUNTERS];
	struct counters *all = r->counters;
	const struct options *o = &r->opt;
	unsigned int nr, i, any = 0;
	uint64_t v[MAX_SIZES];
	int err = 0;

	for (i = 0; i < all->nr; i++) {
		plan_counter(&probe[i], &all->v[i]);
		list[i] = &probe[i].probe;
		any += !list[i]->reason;
	}
	/* Where there is no event at all, one reason will do: what was said of the first */
	if (!any)
		probe[0].probe.metric[0].name = "";
	nr = o->nr_sizes ? plan_sizes(r, v) :
			   size_list(o->icount || o->quick || !any ? "64K" :
								     "64K,16M",
				     v);
	for (i = 0; i < nr && !err; i++)
		err = group_add(r, "counters", v[i], v[i], list,
				any ? all->nr : 1);
	return err;
}

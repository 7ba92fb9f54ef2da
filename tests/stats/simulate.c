// SPDX-License-Identifier: GPL-2.0
/*
 * Does the statistic keep its promises? Whole comparisons of made-up boots go
 * through the very judge() and aa_check() of k2u-stat, and the rates of what comes
 * out are held against the goals. The table on stdout is that of
 * docs/METHODOLOGY.md; the lines after it are TAP.
 *
 *	build/tests/simulate [--seed=N] [--comparisons=N] [--break=blocks|holm]
 *
 * --break spoils the statistic, to see that the goals notice. Exit status: 1 if a
 * goal is missed.
 */
#include <argp.h>
#include <errno.h>
#include <gsl/gsl_cdf.h>
#include <gsl/gsl_randist.h>
#include <gsl/gsl_rng.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../stat/k2u-stat.h"

#define CELLS 120
#define BLOCKS 7
#define SAMPLES 3
#define MAX_PAIRS 60
#define SAMPLE_SD 0.003

/* Cells whose NEW is slower, in the comparisons that plant something */
enum { PLANT_1, PLANT_3, PLANTS };
static const double planted[PLANTS] = { 0.01, 0.03 };

enum broken { SOUND, POOL_BLOCKS, NO_HOLM };

enum shape {
	NORMAL, /* boots and samples */
	SKEWED, /* both lognormal */
	DRIFTING, /* AR(1) from boot to boot in time, and within a boot */
	BIMODAL, /* a boot is in one of two states */
	SHARED, /* nine tenths of a boot's deviation is that of all its cells */
	HEAVY, /* Student's t, 3 degrees of freedom */
	COUNTED, /* whole numbers that mostly are the same: icount */
};

static const struct scenario {
	const char *name;
	enum shape shape;
	double sd; /* of a boot, of what all its samples share */
	double apart; /* of the states */
	size_t pairs;
	bool sequential; /* all of BASE, then all of NEW; else ABBA */
	double step; /* of BASE at its middle, as by a neighbour that came */
	/* What is asked of it; the others are shown */
	bool rates, coverage, power;
} scenarios[] = {
	{ "normal, 0.4 %", NORMAL, 0.004, 0, 20, false, 0, true, true, true },
	{ "normal, 0.5 %", NORMAL, 0.005, 0, 20, false, 0, true, true, false },
	{ "normal, 0.5 %", NORMAL, 0.005, 0, 24, false, 0, true, true, true },
	{ "normal, 1 %", NORMAL, 0.01, 0, 20, false, 0, true, true, false },
	{ "skewed (lognormal), 0.4 %", SKEWED, 0.004, 0, 20, false, 0, true,
	  true, true },
	{ "drift (AR(1), 0.8), 0.4 %", DRIFTING, 0.004, 0, 20, false, 0, true,
	  true, true },
	{ "two states 0.8 % apart", BIMODAL, 0.001, 0.008, 20, false, 0, true,
	  true, false },
	{ "two states 5 % apart", BIMODAL, 0.001, 0.05, 20, false, 0, true,
	  true, false },
	{ "two states 5 % apart", BIMODAL, 0.001, 0.05, 60, false, 0, true,
	  true, false },
	{ "cells move together, 0.4 %", SHARED, 0.004, 0, 20, false, 0, true,
	  true, true },
	{ "heavy tails (t, 3), 0.4 %", HEAVY, 0.004, 0, 20, false, 0, true,
	  true, true },
	{ "whole numbers, mostly equal", COUNTED, 0, 0, 20, false, 0, true,
	  false, true },
	{ "normal, one after the other", NORMAL, 0.004, 0, 20, true, 0, true,
	  true, true },
	{ "drift, one after the other", DRIFTING, 0.004, 0, 20, true, 0, false,
	  false, false },
	{ "a step of 1 % within BASE", NORMAL, 0.004, 0, 20, true, 0.01, false,
	  false, false },
	{ "a step of 2 % within BASE", NORMAL, 0.004, 0, 20, true, 0.02, false,
	  false, false },
};

static struct {
	uint64_t seed;
	unsigned int comparisons;
	enum broken broken;
} opt = { .seed = 1, .comparisons = 1000 };

static gsl_rng *rng;

/* ---- boots ---- */

/* One comparison's medians, and under --break=blocks those of the blocks */
static double value[CELLS][2][MAX_PAIRS * BLOCKS];

/* Standardised, as the shape has it */
static double deviate(enum shape shape)
{
	switch (shape) {
	case SKEWED: /* exp(0.8 z), mean and variance taken off */
		return (gsl_ran_lognormal(rng, 0, 0.8) - exp(0.32)) /
		       (exp(0.32) * sqrt(exp(0.64) - 1));
	case HEAVY:
		return gsl_ran_tdist(rng, 3) / sqrt(3);
	default:
		return gsl_ran_gaussian_ziggurat(rng, 1);
	}
}

static double median_of(double *v, size_t n)
{
	double t;
	size_t i, j;

	for (i = 1; i < n; i++) {
		t = v[i];
		for (j = i; j && v[j - 1] > t; j--)
			v[j] = v[j - 1];
		v[j] = t;
	}
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* What the boot at time t adds to all samples of a cell, as ln */
static double boot_effect(const struct scenario *s, double *state, double all)
{
	double z;

	switch (s->shape) {
	case DRIFTING:
		z = gsl_ran_gaussian_ziggurat(rng, 1);
		*state = isnan(*state) ? z : 0.8 * *state + 0.6 * z;
		/* Half of the variance is the machine's */
		return s->sd * M_SQRT1_2 * (*state + all);
	case SHARED:
		return s->sd * (sqrt(0.9) * all + sqrt(0.1) * deviate(NORMAL));
	case BIMODAL:
		return s->sd * deviate(NORMAL) +
		       (gsl_rng_get(rng) & 1 ? s->apart : 0);
	case COUNTED:
		return 0;
	default:
		return s->sd * deviate(s->shape);
	}
}

/* The medians of a boot's blocks, around centre */
static void sample_blocks(const struct scenario *s, double centre,
			  double *block)
{
	double v[SAMPLES], ar = 0, e;
	size_t i, j;

	for (i = 0; i < BLOCKS; i++) {
		for (j = 0; j < SAMPLES; j++) {
			e = deviate(s->shape);
			if (s->shape == DRIFTING) {
				ar = 0.7 * ar + 0.714 * e;
				e = ar;
			}
			v[j] = centre * exp(SAMPLE_SD * e);
			/* 3000 or so, and 1 more where an interrupt fell in */
			if (s->shape == COUNTED)
				v[j] = nearbyint(centre) +
				       (gsl_rng_uniform(rng) < 0.1);
		}
		block[i] = median_of(v, SAMPLES);
	}
}

static void make_boot(const struct scenario *s, int side, size_t boot,
		      double *state, double all, bool plant)
{
	double centre, blocks[BLOCKS];
	size_t c;

	for (c = 0; c < CELLS; c++) {
		centre = 3000 * exp(boot_effect(s, &state[c], all));
		if (plant && side && c < PLANTS)
			centre *= 1 + planted[c];
		if (!side && boot >= s->pairs / 2)
			centre *= 1 + s->step;
		sample_blocks(s, centre, blocks);
		if (opt.broken == POOL_BLOCKS)
			memcpy(&value[c][side][boot * BLOCKS], blocks,
			       sizeof(blocks));
		else
			value[c][side][boot] = median_of(blocks, BLOCKS);
	}
}

static void make_boots(const struct scenario *s, bool plant)
{
	double state[CELLS], all = NAN, z;
	size_t at[2] = {}, t, i;
	int side;

	for (i = 0; i < CELLS; i++)
		state[i] = NAN;
	for (t = 0; t < 2 * s->pairs; t++) {
		if (s->sequential)
			side = t >= s->pairs;
		else
			side = (t + 1) / 2 % 2; /* A B B A A B B A */
		z = gsl_ran_gaussian_ziggurat(rng, 1);
		if (s->shape == DRIFTING && !isnan(all))
			all = 0.8 * all + 0.6 * z;
		else
			all = z;
		make_boot(s, side, at[side]++, state, all, plant);
	}
}

/* ---- comparisons ---- */

struct tally {
	double cells, reports; /* A/A: how many there were, */
	double false_cells,
		false_reports; /* and were called slower or faster */
	double withheld_false_reports; /* of these, seen by the A/A check */
	double intervals, covered;
	double aa_failed;
	double equivalent, inconclusive;
	double found[PLANTS], error2[PLANTS], near[PLANTS];
	double sum, sum2, boots; /* of ln of the boots of one cell */
};

static int judge_all(struct contrast *c, size_t n)
{
	size_t i;
	int ret = 0;

	if (opt.broken != NO_HOLM)
		return judge(c, n, THRESHOLD);
	for (i = 0; i < n && !ret; i++)
		ret = judge(&c[i], 1, THRESHOLD);
	return ret;
}

static int judge_boots_of(const struct scenario *s, struct contrast *c)
{
	size_t i, n = s->pairs;

	if (opt.broken == POOL_BLOCKS)
		n *= BLOCKS;
	for (i = 0; i < CELLS; i++)
		c[i] = (struct contrast){ .base = value[i][0],
					  .new_ = value[i][1],
					  .n = n };
	return judge_all(c, CELLS);
}

static int aa_failed(const struct scenario *s, bool *failed)
{
	const double *cell[CELLS];
	struct aa aa;
	int side, ret = 0;
	size_t i;

	*failed = false;
	for (side = 0; side < 2 && !ret; side++) {
		for (i = 0; i < CELLS; i++)
			cell[i] = value[i][side];
		ret = aa_check(&aa, cell, CELLS, s->pairs, s->sequential,
			       THRESHOLD);
		*failed |= aa.state == AA_FAILED;
	}
	return ret;
}

static bool called(const struct contrast *c)
{
	return c->verdict == SLOWER || c->verdict == FASTER;
}

static int compare_alike(const struct scenario *s, struct tally *t)
{
	struct contrast c[CELLS];
	size_t i, wrong = 0;
	bool failed;
	double v;
	int ret;

	make_boots(s, false);
	ret = judge_boots_of(s, c) ?: aa_failed(s, &failed);
	if (ret)
		return ret;
	for (i = 0; i < CELLS; i++) {
		wrong += called(&c[i]);
		t->covered += c[i].low <= 1 && c[i].high >= 1;
		t->equivalent += c[i].verdict == EQUIVALENT;
		t->inconclusive += c[i].verdict == INCONCLUSIVE;
	}
	t->cells += CELLS;
	t->intervals += CELLS;
	t->reports++;
	t->false_cells += wrong;
	t->false_reports += wrong > 0;
	t->withheld_false_reports += wrong && failed;
	t->aa_failed += failed;
	for (i = 0; i < s->pairs; i++) {
		v = log(value[CELLS - 1][1][i] / 3000);
		t->sum += v;
		t->sum2 += v * v;
		t->boots++;
	}
	return 0;
}

static int compare_planted(const struct scenario *s, struct tally *t)
{
	struct contrast c[CELLS];
	double truth, error;
	size_t i;
	int ret;

	make_boots(s, true);
	ret = judge_boots_of(s, c);
	if (ret)
		return ret;
	for (i = 0; i < PLANTS; i++) {
		truth = 1 + planted[i];
		error = c[i].ratio - truth;
		t->found[i] += c[i].verdict == SLOWER;
		t->error2[i] += error * error;
		t->near[i] += fabs(error) <= 0.003;
		t->covered += c[i].low <= truth && c[i].high >= truth;
		t->intervals++;
	}
	return 0;
}

/* ---- goals ---- */

static unsigned int tests, failures;

static void goal(bool met, const struct scenario *s, const char *what,
		 double got, double want)
{
	tests++;
	failures += !met;
	printf("%sok %u - simulate: %s, %zu pairs: %s: %.2f %%, goal %.2f %%\n",
	       met ? "" : "not ", tests, s->name, s->pairs, what, 100 * got,
	       100 * want);
}

static void check(const struct scenario *s, const struct tally *t)
{
	double n = opt.comparisons, v;

	if (s->rates) {
		v = t->false_cells / t->cells;
		goal(v <= 0.01, s, "false alarms of a cell, at most", v, 0.01);
		v = t->false_reports / t->reports;
		goal(v <= 0.05, s, "false alarms of a report, at most", v,
		     0.05);
		/* 1 % in truth; three standard errors are chance */
		v = t->aa_failed / t->reports;
		goal(v <= 0.01 + 3 * sqrt(0.01 / n), s,
		     "A/A fails though all is well, at most", v, 0.01);
	}
	v = t->covered / t->intervals;
	if (s->coverage) {
		goal(v >= 0.94, s, "coverage, at least", v, 0.94);
		goal(v <= 0.98, s, "coverage, at most", v, 0.98);
	} else if (s->rates) {
		/* Ties widen what an interval covers */
		goal(v >= 0.94, s, "coverage, at least", v, 0.94);
	}
	if (s->power) {
		v = t->found[PLANT_1] / n;
		goal(v >= 0.8, s, "+1 % found, at least", v, 0.8);
		v = t->found[PLANT_3] / n;
		goal(v >= 0.99, s, "+3 % found, at least", v, 0.99);
		v = sqrt(t->error2[PLANT_3] / n);
		goal(v <= 0.003, s, "RMS error of the size of +3 %, at most", v,
		     0.003);
	}
}

static void print_row(const struct scenario *s, const struct tally *t)
{
	double n = opt.comparisons, mean = t->sum / t->boots;

	printf("| %s | %zu | %.2f | %.3f | %.1f | %.1f | %.1f | %.1f | %.1f | %.1f | %.2f | %.1f | %.1f |\n",
	       s->name, s->pairs,
	       100 * sqrt(fmax(0, t->sum2 / t->boots - mean * mean)),
	       100 * t->false_cells / t->cells,
	       100 * t->false_reports / t->reports,
	       100 * (t->false_reports - t->withheld_false_reports) /
		       t->reports,
	       100 * t->aa_failed / t->reports, 100 * t->covered / t->intervals,
	       100 * t->found[PLANT_1] / n, 100 * t->found[PLANT_3] / n,
	       100 * sqrt(t->error2[PLANT_3] / n),
	       100 * t->equivalent / t->cells,
	       100 * t->inconclusive / t->cells);
	fflush(stdout);
}

/* ---- the sign test alone ---- */

/* One cell at 95 %, or one of five at 99 %, which is 5 % / 5 by Holm */
static int sign_test(size_t n, size_t cells, double effect, unsigned int times,
		     double *rate)
{
	static const double one[MAX_PAIRS];
	double d[MAX_PAIRS], base[MAX_PAIRS];
	struct contrast c[5];
	unsigned int i, found = 0;
	size_t j;

	for (i = 0; i < times; i++) {
		for (j = 0; j < n; j++) {
			base[j] = 1;
			d[j] = exp(effect + gsl_ran_gaussian_ziggurat(rng, 1));
		}
		for (j = 1; j < cells; j++)
			c[j] = (struct contrast){ .base = one,
						  .new_ = one,
						  .n = n };
		c[0] = (struct contrast){ .base = base, .new_ = d, .n = n };
		if (judge(c, cells, 0))
			return -ENOMEM;
		found += called(&c[0]);
	}
	*rate = (double)found / times;
	return 0;
}

static int print_sign_test(void)
{
	static const struct {
		size_t n, cells;
		double effect, alarms;
	} row[] = {
		{ 10, 1, 1.39, 0.021 },
		{ 20, 1, 0.84, 0.042 },
		{ 20, 5, 1.19, 0.002 },
		{ 30, 5, 0.87, 0.005 },
	};
	unsigned int times = 20 * opt.comparisons;
	double alarms, power;
	size_t i;

	puts("\n| pairs | interval | false alarms % | effect, SDs of the paired ln ratio | found % |");
	puts("|---:|---:|---:|---:|---:|");
	for (i = 0; i < ARRAY_SIZE(row); i++) {
		if (sign_test(row[i].n, row[i].cells, 0, times, &alarms) ||
		    sign_test(row[i].n, row[i].cells, row[i].effect, times,
			      &power))
			return -ENOMEM;
		printf("| %zu | %d %% | %.2f | %.2f | %.1f |\n", row[i].n,
		       row[i].cells == 1 ? 95 : 99, 100 * alarms, row[i].effect,
		       100 * power);
	}
	putchar('\n');
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	char *end;

	switch (key) {
	case 's':
		opt.seed = strtoull(arg, &end, 10);
		break;
	case 'n':
		opt.comparisons = strtoul(arg, &end, 10);
		if (opt.comparisons < 1 || opt.comparisons > 1000000)
			argp_error(state, "--comparisons: 1 to 1000000");
		break;
	case 'b':
		if (strcmp(arg, "blocks") && strcmp(arg, "holm"))
			argp_error(state, "--break: blocks or holm");
		opt.broken = strcmp(arg, "holm") ? POOL_BLOCKS : NO_HOLM;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	if (end == arg || *end)
		argp_error(state, "expected a number, got '%s'", arg);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "seed", 's', "N", 0, "default 1", 0 },
		{ "comparisons", 'n', "N", 0,
		  "of each kind, per scenario (default 1000)", 0 },
		{ "break", 'b', "HOW", 0,
		  "blocks: pool a boot's blocks; holm: each cell for itself",
		  0 },
		{}
	};
	static const struct argp argp = {
		options, parse, NULL, "Simulate comparisons.", NULL, NULL, NULL
	};
	static struct tally tally[ARRAY_SIZE(scenarios)];
	unsigned int i, j;

	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	rng = gsl_rng_alloc(gsl_rng_taus2);
	gsl_rng_set(rng, opt.seed);
	printf("# %u comparisons of each kind per row, %d cells, %d blocks of %d samples a boot, seed %llu\n",
	       opt.comparisons, CELLS, BLOCKS, SAMPLES,
	       (unsigned long long)opt.seed);
	puts("| boots | pairs | SD of a boot % | false alarms: cells % | reports % | not withheld % | A/A fails % | coverage % | +1 % found % | +3 % found % | RMS error of +3 %, points | equivalent % | inconclusive % |");
	puts("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
	for (i = 0; i < ARRAY_SIZE(scenarios); i++) {
		for (j = 0; j < opt.comparisons; j++)
			if (compare_alike(&scenarios[i], &tally[i]) ||
			    compare_planted(&scenarios[i], &tally[i]))
				return 2;
		print_row(&scenarios[i], &tally[i]);
	}
	if (print_sign_test())
		return 2;
	for (i = 0; i < ARRAY_SIZE(scenarios); i++)
		check(&scenarios[i], &tally[i]);
	printf("1..%u\n", tests);
	gsl_rng_free(rng);
	return failures > 0;
}

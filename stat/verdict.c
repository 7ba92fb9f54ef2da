// SPDX-License-Identifier: GPL-2.0
/*
 * What a comparison can say. The unit is the boot: a cell has one value of
 * each, its i-th of one side is paired with its i-th of the other, and only the
 * sign and the order of the paired ln ratios are used, so that nothing is assumed
 * about how they are distributed. docs/METHODOLOGY.md argues each step.
 */
#include <errno.h>
#include <gsl/gsl_cdf.h>
#include <gsl/gsl_rng.h>
#include <gsl/gsl_sort.h>
#include <gsl/gsl_statistics.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "k2u-stat.h"

#define ALPHA 0.05 /* of a report */
#define MARGIN 0.01 /* as good as equal */
#define POWER 0.8

#define AA_CELL_ALPHA 0.01
#define AA_ALPHA 0.005 /* of a side: 1 % of both */
#define AA_EXACT 12 /* pairs whose signs are flipped in all ways; else: */
#define AA_FLIPS 4096
#define AA_SEED 1

const char *const verdict_name[VERDICTS] = {
	[SLOWER] = "slower",	     [FASTER] = "faster",
	[EQUIVALENT] = "equivalent", [INCONCLUSIVE] = "inconclusive",
	[WITHHELD] = "withheld",
};

const char *const aa_name[] = {
	[AA_PASSED] = "passed",
	[AA_FAILED] = "failed",
	[AA_UNDECIDABLE] = "not decidable",
};

/* The sign alone where there is no ratio, as of a cost of 0 */
static double ln_ratio(double base, double now)
{
	if (base == now)
		return 0;
	if (base > 0 && now > 0)
		return log(now / base);
	return now > base ? INFINITY : -INFINITY;
}

/* Two-sided, of n signs of which so many dissent from the others */
static double sign_p(size_t n, size_t dissent)
{
	return fmin(1, 2 * gsl_cdf_binomial_P(dissent, 0.5, n));
}

/* Most dissent that is significant at alpha; -1: none is */
static long max_dissent(size_t n, double alpha)
{
	long low = -1, high = n / 2, mid;

	if (!n)
		return -1;
	while (low < high) {
		mid = low + (high - low + 1) / 2;
		if (sign_p(n, mid) <= alpha)
			low = mid;
		else
			high = mid - 1;
	}
	return low;
}

size_t judge_boots(size_t m)
{
	size_t n = 1;

	while (max_dissent(n, ALPHA / (m ?: 1)) < 0)
		n++;
	return n;
}

/*
 * What is the same for all cells of a report, and for all with n pairs: no cell
 * needs to find it anew
 */
#define PLANS 96

struct plan {
	double alpha; /* of Holm's first step */
	double threshold;
	double called, margin; /* as ln */
	size_t n;
	long dissent; /* for n */
	double q; /* P(dissent) that n pairs find with probability POWER */
	size_t plans; /* numbers of pairs that are looked at for boots_needed() */
	struct {
		size_t n;
		long test, equal;
	} at[PLANS];
};

static void plan_pairs(struct plan *plan, size_t n)
{
	if (plan->n == n)
		return;
	plan->n = n;
	plan->dissent = max_dissent(n, plan->alpha);
	if (plan->dissent >= 0)
		plan->q = gsl_cdf_beta_Pinv(1 - POWER, plan->dissent + 1,
					    n - plan->dissent);
}

static void plan_boots(struct plan *plan)
{
	size_t n;

	if (plan->plans)
		return;
	/* About: every number up to 20, then steps of 5 % */
	for (n = 1; n <= BOOTS_CAP && plan->plans < PLANS; n += 1 + n / 21) {
		plan->at[plan->plans].n = n;
		plan->at[plan->plans].test = max_dissent(n, plan->alpha);
		plan->at[plan->plans++].equal = max_dissent(n, 1 - CONFIDENCE);
	}
}

/* ---- one cell ---- */

/* The paired ln ratios of a cell, and what is known of their distribution */
struct sample {
	double *d; /* sorted */
	size_t n;
	struct estimate est;
	double scale; /* as a standard deviation, from deviations from the median */
	double *dev; /* these, sorted */
};

static struct estimate estimate_of(const double *v, size_t n, double *scratch)
{
	memcpy(scratch, v, n * sizeof(*v));
	return estimate_median(scratch, n);
}

static void describe(struct sample *s, const struct contrast *c)
{
	size_t i;

	s->n = c->n;
	for (i = 0; i < c->n; i++)
		s->d[i] = ln_ratio(c->base[i], c->new_[i]);
	s->est = estimate_median(s->d, s->n);
	s->scale = NAN;
	if (!c->n || !isfinite(s->est.median))
		return;
	for (i = 0; i < c->n; i++)
		s->dev[i] = fabs(s->d[i] - s->est.median);
	gsl_sort(s->dev, 1, s->n);
	s->scale = 1.4826 * gsl_stats_median_from_sorted_data(s->dev, 1, s->n);
	if (!s->scale) /* more than half are equal */
		s->scale = sqrt(M_PI / 2) * gsl_stats_mean(s->dev, 1, s->n);
}

static bool all_equal(const double *v, size_t n)
{
	size_t i;

	for (i = 1; i < n; i++)
		if (v[i] != v[0])
			return false;
	return true;
}

/* A tie dissents: then p and the interval always agree */
static double test(const struct sample *s)
{
	size_t i, below = 0, above = 0;

	for (i = 0; i < s->n; i++) {
		below += s->d[i] < 0;
		above += s->d[i] > 0;
	}
	return sign_p(s->n, s->n - (below > above ? below : above));
}

/*
 * Smallest shift whose sign test succeeds with probability POWER: so large that a
 * pair dissents with probability q, the deviations being taken as symmetric.
 */
static double detectable(const struct sample *s, struct plan *plan)
{
	double shift = 0;

	plan_pairs(plan, s->n);
	if (plan->dissent < 0 || isnan(s->scale) || !isfinite(s->dev[s->n - 1]))
		return NAN;
	if (plan->q < 0.5)
		shift = gsl_stats_quantile_from_sorted_data(s->dev, 1, s->n,
							    1 - 2 * plan->q);
	return fmax(expm1(shift), plan->threshold);
}

/* ---- boots still needed ---- */

/* P(X > x) of a normal, which may have no width */
static double tail(double x, double scale)
{
	if (scale > 0)
		return gsl_cdf_gaussian_Q(x, scale);
	return x < 0;
}

/* Probability that no more than k of n pairs dissent */
static double power_of_test(size_t n, long k, double effect, double scale)
{
	return k < 0 ? 0 :
		       gsl_cdf_binomial_P(k, 1 - tail(-fabs(effect), scale), n);
}

/* Probability that no more than k of n pairs are beyond the margin, on each side */
static double power_of_equivalence(size_t n, long k, double effect,
				   double scale, double margin)
{
	if (k < 0)
		return 0;
	return gsl_cdf_binomial_P(k, tail(margin - effect, scale), n) +
	       gsl_cdf_binomial_P(k, tail(margin + effect, scale), n) - 1;
}

static size_t boots_needed(const struct sample *s, struct plan *plan)
{
	double effect = s->est.median, scale = s->scale;
	bool test = !(fabs(effect) < plan->called),
	     equal = fabs(effect) < plan->margin;
	size_t i, n;

	/* One pair has no scale: then this is the least that could do */
	if (isnan(scale))
		scale = 0;
	plan_boots(plan);
	for (i = 0; i < plan->plans; i++) {
		n = plan->at[i].n;
		if (n <= s->n)
			continue;
		if (test &&
		    power_of_test(n, plan->at[i].test, effect, scale) >= POWER)
			return n - s->n;
		if (equal && power_of_equivalence(n, plan->at[i].equal, effect,
						  scale, plan->margin) >= POWER)
			return n - s->n;
	}
	return SIZE_MAX;
}

/* ---- all cells of a report ---- */

static bool in_family(const struct contrast *c)
{
	return c->n && !c->withheld && !c->exact;
}

static int compare_p(const void *a, const void *b)
{
	const struct contrast *x = *(struct contrast *const *)a,
			      *y = *(struct contrast *const *)b;

	return (x->p > y->p) - (x->p < y->p);
}

/* Holm (1979): the i-th smallest of m p-values, times m - i, monotonous */
static int holm(struct contrast *c, size_t n, size_t m)
{
	struct contrast **by_p = calloc(m + 1, sizeof(*by_p));
	size_t i, at = 0;
	double p = 0;

	if (!by_p)
		return out_of_memory();
	for (i = 0; i < n; i++)
		if (in_family(&c[i]))
			by_p[at++] = &c[i];
	qsort(by_p, m, sizeof(*by_p), compare_p);
	for (i = 0; i < m; i++) {
		p = fmin(1, fmax(p, (m - i) * by_p[i]->p));
		by_p[i]->p_holm = p;
	}
	free(by_p);
	return 0;
}

static enum verdict direction(const struct contrast *c, double effect)
{
	return (effect > 0) == c->more_is_better ? FASTER : SLOWER;
}

static void decide(struct contrast *c, const struct sample *s,
		   struct plan *plan)
{
	if (c->withheld) {
		c->verdict = WITHHELD;
		return;
	}
	if (c->exact) {
		c->verdict = s->est.median ? direction(c, s->est.median) :
					     EQUIVALENT;
		return;
	}
	if (s->n)
		c->mde = detectable(s, plan);
	if (c->p_holm <= ALPHA && fabs(s->est.median) >= plan->called)
		c->verdict = direction(c, s->est.median);
	else if (s->est.low >= -plan->margin && s->est.high <= plan->margin)
		c->verdict = EQUIVALENT;
	else if (c->count && s->n < 2) /* then it is known whether it varies */
		c->more = 2 - s->n;
	else
		c->more = boots_needed(s, plan);
}

int judge(struct contrast *c, size_t n, double threshold)
{
	struct plan plan = {
		.threshold = threshold,
		.called = log1p(threshold),
		.margin = log1p(fmax(threshold, MARGIN)),
	};
	size_t i, room = 1, m = 0;
	struct sample s;
	double *scratch;
	int ret;

	for (i = 0; i < n; i++)
		room = c[i].n > room ? c[i].n : room;
	scratch = calloc(2 * room, sizeof(*scratch));
	if (!scratch)
		return out_of_memory();
	s.d = scratch;
	s.dev = scratch + room;

	for (i = 0; i < n; i++) {
		describe(&s, &c[i]);
		c[i].ratio = exp(s.est.median);
		c[i].low = exp(s.est.low);
		c[i].high = exp(s.est.high);
		c[i].level = s.est.level;
		c[i].p = c[i].p_holm = c[i].mde = NAN;
		c[i].more = 0;
		c[i].verdict = INCONCLUSIVE;
		c[i].exact = c[i].count && c[i].n > 1 &&
			     all_equal(c[i].base, c[i].n) &&
			     all_equal(c[i].new_, c[i].n);
		if (in_family(&c[i])) {
			c[i].p = test(&s);
			m++;
		}
		c[i].base_est = estimate_of(c[i].base, c[i].n, s.d);
		c[i].new_est = estimate_of(c[i].new_, c[i].n, s.d);
	}
	ret = holm(c, n, m);
	plan.alpha = ALPHA / (m ?: 1);
	for (i = 0; !ret && i < n; i++) {
		describe(&s, &c[i]);
		decide(&c[i], &s, &plan);
	}
	free(scratch);
	return ret;
}

/* ---- A/A ---- */

/*
 * A side's boots split in two must not differ. Cells move together, so that how
 * many differ says nothing by itself: their evidence is held against what comes
 * out when the two boots of a pair change places, in all cells at once, which is as
 * likely if nothing but chance tells them apart (Westfall & Young 1993). Evidence
 * and not number, as that has a ceiling: cells that move as one all differ in one
 * of 100 flips, and any drift would pass.
 */
struct aa_cell {
	double *d; /* of the pairs that the cell has, in their order */
	uint64_t *above, *below; /* bit i: pair i's d > 0, < 0 */
	size_t n;
	long dissent;
};

struct aa_work {
	struct aa_cell *cell;
	size_t cells, pairs, words;
	double called;
	uint64_t *flip;
	double *scratch;
};

static bool flipped(const uint64_t *flip, size_t pair)
{
	return flip[pair / 64] >> (pair % 64) & 1;
}

/* -ln p of a cell that differs, else 0 */
static double evidence(const struct aa_work *w, const struct aa_cell *c)
{
	size_t above = 0, below = 0, dissent, i, n = 0;
	uint64_t f;

	if (c->dissent < 0)
		return 0;
	for (i = 0; i < w->words; i++) {
		f = w->flip[i];
		above += __builtin_popcountll((c->above[i] & ~f) |
					      (c->below[i] & f));
		below += __builtin_popcountll((c->below[i] & ~f) |
					      (c->above[i] & f));
	}
	dissent = c->n - (above > below ? above : below);
	if (dissent > (size_t)c->dissent)
		return 0;
	for (i = 0; i < w->pairs; i++)
		if (!isnan(c->d[i]))
			w->scratch[n++] = flipped(w->flip, i) ? -c->d[i] :
								c->d[i];
	if (!(fabs(gsl_stats_median(w->scratch, 1, n)) >= w->called))
		return 0;
	return -log(sign_p(c->n, dissent));
}

static double all_evidence(const struct aa_work *w, size_t *out)
{
	double e, sum = 0;
	size_t i;

	*out = 0;
	for (i = 0; i < w->cells; i++) {
		e = evidence(w, &w->cell[i]);
		*out += e > 0;
		sum += e;
	}
	return sum;
}

static double aa_p(const struct aa_work *w, double seen)
{
	size_t out, i, at, as_many = 0, flips;
	gsl_rng *rng;

	if (w->pairs <= AA_EXACT) {
		flips = 1UL << w->pairs;
		for (i = 0; i < flips; i++) {
			w->flip[0] = i;
			as_many += all_evidence(w, &out) >= seen;
		}
		return (double)as_many / flips;
	}
	rng = gsl_rng_alloc(gsl_rng_mt19937);
	gsl_rng_set(rng, AA_SEED);
	/* What was seen is one of the ways, too */
	for (i = 0, as_many = 1; i < AA_FLIPS; i++) {
		for (at = 0; at < w->words; at++)
			w->flip[at] = (uint64_t)gsl_rng_get(rng) << 32 |
				      gsl_rng_get(rng);
		as_many += all_evidence(w, &out) >= seen;
	}
	gsl_rng_free(rng);
	return (double)as_many / (AA_FLIPS + 1);
}

size_t aa_boots(void)
{
	size_t pairs = 1;

	/* All signs alike, or all of them the other way round */
	while (ldexp(2, -pairs) > AA_ALPHA)
		pairs++;
	return 2 * pairs;
}

static void aa_split(struct aa_cell *c, const double *value, size_t boots,
		     bool halves)
{
	size_t pairs = boots / 2, i;
	double a, b;

	for (i = 0; i < pairs; i++) {
		a = value[halves ? i : 2 * i];
		b = value[halves ? boots - pairs + i : 2 * i + 1];
		c->d[i] = isnan(a) || isnan(b) ? NAN : ln_ratio(a, b);
		if (isnan(c->d[i]))
			continue;
		c->n++;
		c->above[i / 64] |= (uint64_t)(c->d[i] > 0) << (i % 64);
		c->below[i / 64] |= (uint64_t)(c->d[i] < 0) << (i % 64);
	}
	c->dissent = max_dissent(c->n, AA_CELL_ALPHA);
}

int aa_check(struct aa *aa, const double *const *cell, size_t cells,
	     size_t boots, bool halves, double threshold)
{
	struct aa_work w = {
		.cells = cells,
		.pairs = boots / 2,
		.words = (boots / 2 + 63) / 64 ?: 1,
		.called = log1p(threshold),
	};
	struct aa_cell *c;
	uint64_t *bits;
	double *room, seen;
	size_t i;
	int ret = 0;

	w.cell = calloc(cells + 1, sizeof(*w.cell));
	room = calloc((cells + 1) * (w.pairs + 1), sizeof(*room));
	bits = calloc((2 * cells + 1) * w.words, sizeof(*bits));
	if (!w.cell || !room || !bits) {
		ret = out_of_memory();
		goto out;
	}
	w.flip = bits;
	w.scratch = room;
	for (i = 0; i < cells; i++) {
		c = &w.cell[i];
		c->d = room + (i + 1) * (w.pairs + 1);
		c->above = bits + (2 * i + 1) * w.words;
		c->below = bits + (2 * i + 2) * w.words;
		aa_split(c, cell[i], boots, halves);
	}
	*aa = (struct aa){ .pairs = w.pairs, .cells = cells, .p = NAN };
	seen = all_evidence(&w, &aa->out);
	if (boots < aa_boots()) {
		aa->state = AA_UNDECIDABLE;
		goto out;
	}
	aa->p = aa->out ? aa_p(&w, seen * (1 - 1e-9)) : 1;
	aa->state = aa->p < AA_ALPHA ? AA_FAILED : AA_PASSED;
out:
	free(w.cell);
	free(room);
	free(bits);
	return ret;
}

// SPDX-License-Identifier: GPL-2.0
/* Order statistics: medians, their distribution-free interval, percentiles. */
#include <gsl/gsl_cdf.h>
#include <gsl/gsl_sort.h>
#include <gsl/gsl_statistics.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "k2u-stat.h"

const struct percentile percentiles[PERCENTILES] = {
	[P50] = { "p50", 500 },	  [P90] = { "p90", 900 },
	[P99] = { "p99", 990 },	  [P999] = { "p999", 999 },
	[PMAX] = { "max", 1000 },
};

/*
 * As many of n independent values as a Binomial(n, 1/2) lie below the true
 * median, whatever their distribution. So [v(r), v(n + 1 - r)] misses it with
 * probability 2 P(B <= r - 1): take the largest r that leaves the level.
 */
size_t median_interval_rank(size_t n, double *level)
{
	size_t rank = 0;
	double l;

	*level = NAN;
	if (n > UINT_MAX) /* GSL's n is an unsigned int */
		n = UINT_MAX;
	while (rank < n / 2) {
		l = 1 - 2 * gsl_cdf_binomial_P(rank, 0.5, n);
		if (l < CONFIDENCE)
			break;
		*level = l;
		rank++;
	}
	return rank;
}

struct estimate estimate_median(double *v, size_t n)
{
	struct estimate est = {
		.median = NAN, .low = NAN, .high = NAN, .level = NAN, .n = n
	};
	size_t rank;

	if (!n)
		return est;
	gsl_sort(v, 1, n);
	est.median = gsl_stats_median_from_sorted_data(v, 1, n);
	rank = median_interval_rank(n, &est.level);
	if (rank) {
		est.low = v[rank - 1];
		est.high = v[n - rank];
	}
	return est;
}

int replicates_init(struct replicates *r, size_t room)
{
	r->n = 0;
	r->v = calloc(room + 1, sizeof(*r->v));
	r->boot = calloc(room + 1, sizeof(*r->boot));
	if (r->v && r->boot)
		return 0;
	replicates_free(r);
	return out_of_memory();
}

void replicates_add(struct replicates *r, uint64_t boot, double v)
{
	r->boot[r->n] = boot;
	r->v[r->n++] = v;
}

void replicates_reduce(struct replicates *r)
{
	size_t i, end, boots = 0;

	for (i = 0; i < r->n; i = end) {
		for (end = i + 1; end < r->n && r->boot[end] == r->boot[i];
		     end++)
			;
		gsl_sort(r->v + i, 1, end - i);
		r->boot[boots] = r->boot[i];
		r->v[boots++] =
			gsl_stats_median_from_sorted_data(r->v + i, 1, end - i);
	}
	r->n = boots;
}

struct estimate replicates_estimate(struct replicates *r)
{
	size_t blocks = r->n, boots = 0, i;
	struct estimate est;

	for (i = 0; i < r->n; i++)
		boots += !i || r->boot[i] != r->boot[i - 1];
	if (boots > 1)
		replicates_reduce(r);
	est = estimate_median(r->v, r->n);
	est.n = blocks;
	est.boots = boots;
	return est;
}

void replicates_free(struct replicates *r)
{
	free(r->v);
	free(r->boot);
	r->v = NULL;
	r->boot = NULL;
}

double percentile(const double *sorted, size_t n, unsigned int which)
{
	unsigned int tail = 1000 - percentiles[which].per_mille;

	if (!n)
		return NAN;
	if (!tail)
		return sorted[n - 1];
	/* n < 10 / (1 - p), in integers: 1 - 0.9 is not 0.1 */
	if (n < 10000 / tail)
		return NAN;
	return gsl_stats_quantile_from_sorted_data(
		sorted, 1, n, percentiles[which].per_mille / 1e3);
}

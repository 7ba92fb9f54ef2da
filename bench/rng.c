// SPDX-License-Identifier: GPL-2.0
/* rng.c - SplitMix64 (its output function is pattern.h's), for the order of blocks. */
#include "bench.h"

uint64_t rng_next(struct rng *r)
{
	uint64_t out = k2u_pattern(r->state, 0);

	r->state += 0x9e3779b97f4a7c15ULL;
	return out;
}

/* Fisher-Yates. 64 random bits for a handful of cells: the modulo's bias is below 2^-50 */
void rng_shuffle(struct rng *r, unsigned int *v, unsigned int n)
{
	unsigned int i, j, t;

	for (i = n; i > 1; i--) {
		j = rng_next(r) % i;
		t = v[i - 1];
		v[i - 1] = v[j];
		v[j] = t;
	}
}

// SPDX-License-Identifier: GPL-2.0
/*
 * consume.c - what every method's user does with the bytes, and the pattern
 * that a buffer holds (pattern.h).
 */
#include <endian.h>
#include <string.h>

#include "bench.h"

/* 16 bytes: what every 64-bit baseline ISA loads at once; any alignment, any type */
typedef uint64_t vec __attribute__((vector_size(16), aligned(1), may_alias));

#define LANES 8 /* independent accumulators: the adds are not a chain */

static uint64_t load_word(const char *p, size_t len)
{
	uint64_t w = 0;

	memcpy(&w, p, len);
	return le64toh(w);
}

/*
 * The sum of all 64-bit words; a tail of fewer than 8 bytes is one word padded
 * with zeros. Not inlined: the same instructions read every method's bytes, and
 * the compiler cannot drop a load whose sum is used.
 */
__attribute__((noinline)) uint64_t consume(const void *from, size_t len)
{
	const char *p = from, *end = p + len;
	vec acc[LANES] = {};
	uint64_t sum;
	unsigned int i;

	/* Unrolled, or gcc -O2 keeps the accumulators in memory: a store per load */
	for (; (size_t)(end - p) >= sizeof(acc); p += sizeof(acc)) {
#pragma GCC unroll 8
		for (i = 0; i < LANES; i++)
			acc[i] += ((const vec *)p)[i];
	}
#pragma GCC unroll 8
	for (i = 1; i < LANES; i++)
		acc[0] += acc[i];
	sum = acc[0][0] + acc[0][1];
	for (; end - p >= 8; p += 8)
		sum += load_word(p, 8);
	if (p < end)
		sum += load_word(p, end - p);
	return sum;
}

static uint64_t pattern_word(uint64_t seed, uint64_t i, uint64_t size)
{
	uint64_t w = k2u_pattern(seed, i), left = size - i * 8;

	return left < 8 ? w & ((1ULL << left * 8) - 1) : w;
}

uint64_t pattern_sum(uint64_t seed, uint64_t size)
{
	uint64_t sum = 0, i;

	for (i = 0; i * 8 < size; i++)
		sum += pattern_word(seed, i, size);
	return sum;
}

uint64_t pattern_hash(uint64_t seed, uint64_t size)
{
	uint64_t hash = 0, i;

	for (i = 0; i * 8 < size; i++)
		hash = k2u_hash(hash, pattern_word(seed, i, size));
	return hash;
}

void pattern_fill(void *to, uint64_t seed, uint64_t size)
{
	char *p = to;
	uint64_t i, w;

	for (i = 0; i * 8 < size; i++) {
		w = htole64(k2u_pattern(seed, i));
		memcpy(p + i * 8, &w, size - i * 8 < 8 ? size - i * 8 : 8);
	}
}

/* The first byte in which they differ; -1: none */
int64_t bytes_differ(const void *a, const void *b, size_t len)
{
	const char *x = a, *y = b;
	size_t i = 0;

	if (!memcmp(x, y, len))
		return -1;
	while (x[i] == y[i])
		i++;
	return i;
}

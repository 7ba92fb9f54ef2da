/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * pattern.h - the contents of a buffer, and a hash of them, for both halves.
 *
 * A buffer is an array of little-endian 64-bit words. Word i of the pattern
 * depends on i and the seed alone, so that any half can say what any byte must
 * be without having seen the others, and a page that is out of place shows.
 */
#ifndef K2U_PATTERN_H
#define K2U_PATTERN_H

#include <linux/types.h>

/* SplitMix64's output function (Steele, Lea, Flood, OOPSLA 2014) of seed + (i + 1) gamma */
static inline __u64 k2u_pattern(__u64 seed, __u64 i)
{
	__u64 z = seed + (i + 1) * 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/*
 * Polynomial hash modulo 2^64 with an odd multiplier: depends on every word
 * and on its place. Start with k2u_hash = 0 and add the words in order; a tail
 * of fewer than 8 bytes is one word padded with zeros.
 */
static inline __u64 k2u_hash(__u64 hash, __u64 word)
{
	return hash * 0x100000001b3ULL + word + 1;
}

#endif /* K2U_PATTERN_H */

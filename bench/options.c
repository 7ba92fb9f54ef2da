// SPDX-License-Identifier: GPL-2.0
/* options.c - values given on the command line. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

/* Decimal digits and nothing else, at most max */
int parse_number(const char *s, uint64_t max, uint64_t *n)
{
	char *end;

	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	*n = strtoull(s, &end, 10);
	return *end || errno || *n > max ? -EINVAL : 0;
}

/* A number of bytes, or of K, M, G: powers of 1024 */
int parse_size(const char *s, uint64_t *size)
{
	static const char units[] = "KMG";
	unsigned int shift = 0;
	const char *unit;
	char *end;

	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	*size = strtoull(s, &end, 10);
	if (errno)
		return -EINVAL;
	unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
	if (unit) {
		shift = 10 * (unit - units + 1);
		end++;
	}
	if (*end || !*size || *size > UINT64_MAX >> (shift + 16))
		return -EINVAL;
	*size <<= shift;
	return 0;
}

/* A comma list of sizes that are whole pages */
int parse_sizes(const char *list, uint64_t *v, unsigned int *nr)
{
	char one[32];
	size_t len;

	for (*nr = 0;; list += len + 1) {
		len = strcspn(list, ",");
		if (len >= sizeof(one) || *nr == MAX_SIZES)
			return -EINVAL;
		memcpy(one, list, len);
		one[len] = '\0';
		if (parse_size(one, &v[*nr]) || v[*nr] % page_bytes())
			return -EINVAL;
		(*nr)++;
		if (!list[len])
			return 0;
	}
}

/* A comma list of numbers of threads, ascending */
int parse_threads(const char *list, unsigned int *v, unsigned int *nr)
{
	uint64_t n, last = 0;
	char one[8];
	size_t len;

	for (*nr = 0;; list += len + 1) {
		len = strcspn(list, ",");
		if (len >= sizeof(one) || *nr == MAX_STEPS)
			return -EINVAL;
		memcpy(one, list, len);
		one[len] = '\0';
		if (parse_number(one, MAX_THREADS, &n) || n <= last)
			return -EINVAL;
		v[(*nr)++] = last = n;
		if (!list[len])
			return 0;
	}
}

/* METHOD:TURNS, as the module's parameter test_spin */
int parse_spin(const char *s, char *method, size_t len, uint64_t *turns)
{
	size_t n = strcspn(s, ":");

	if (!n || n >= len || !s[n] || parse_number(s + n + 1, MAX_SPIN, turns))
		return -EINVAL;
	memcpy(method, s, n);
	method[n] = '\0';
	return *turns ? 0 : -EINVAL;
}

bool in_list(const char *list, const char *name)
{
	size_t len, n = strlen(name);

	if (!list)
		return true;
	for (;; list += len + 1) {
		len = strcspn(list, ",");
		if (len == n && !strncmp(list, name, n))
			return true;
		if (!list[len])
			return false;
	}
}

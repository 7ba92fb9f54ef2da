// SPDX-License-Identifier: GPL-2.0
/* Figures for people: sizes, and values with their interval and unit. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "k2u-stat.h"

const char *format_size(uint64_t bytes, char *buf, size_t size)
{
	static const char *const unit[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	unsigned int i = 0;

	while (i + 1 < ARRAY_SIZE(unit) && bytes >= 1024 && bytes % 1024 == 0) {
		bytes /= 1024;
		i++;
	}
	snprintf(buf, size, "%llu %s", (unsigned long long)bytes, unit[i]);
	return buf;
}

/* 4096, 4K, 4KiB, 4M, 1G */
int parse_size(const char *text, uint64_t *bytes)
{
	static const char suffix[] = "KMGT";
	const char *at;
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	*bytes = strtoull(text, &end, 10);
	if (errno)
		return -errno;
	if (*end) {
		at = strchr(suffix, *end);
		if (!at || (end[1] && strcmp(end + 1, "iB")))
			return -EINVAL;
		if (__builtin_mul_overflow(
			    *bytes, 1ULL << (10 * (at - suffix + 1)), bytes))
			return -ERANGE;
	}
	return 0;
}

struct scale {
	const char *unit;
	double from, factor;
	const char *shown;
};

/* The largest first. Rates and counts are shown as they are. */
static const struct scale scales[] = {
	{ "ns", 1e9, 1e-9, "s" },	 { "ns", 1e6, 1e-6, "ms" },
	{ "ns", 1e3, 1e-3, "µs" },	 { "s", 1, 1, "s" },
	{ "s", 1e-3, 1e3, "ms" },	 { "s", 0, 1e6, "µs" },
	{ "insn", 1e9, 1e-9, "G insn" }, { "insn", 1e6, 1e-6, "M insn" },
	{ "insn", 1e4, 1e-3, "k insn" },
};

double scale_unit(double value, const char **unit)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(scales); i++) {
		if (!strcmp(scales[i].unit, *unit) &&
		    fabs(value) >= scales[i].from) {
			*unit = scales[i].shown;
			return scales[i].factor;
		}
	}
	return 1;
}

/*
 * Decimals that show two digits of the interval's width, but at least three
 * and at most five digits of the value.
 */
static int decimals(double value, double width)
{
	int lead, digits;

	if (value == 0 || !isfinite(value))
		return 0;
	lead = floor(log10(fabs(value)));
	digits = 3;
	if (width > 0 && isfinite(width))
		digits = lead - (int)floor(log10(width)) + 2;
	digits = digits < 3 ? 3 : digits > 5 ? 5 : digits;
	digits -= lead + 1;
	return digits < 0 ? 0 : digits;
}

const char *format_estimate(const struct estimate *est, const char *unit,
			    char *buf, size_t size)
{
	double factor, median, low, high;
	bool whole;
	int d;

	if (isnan(est->median)) {
		snprintf(buf, size, "%s", "–");
		return buf;
	}
	factor = scale_unit(est->median, &unit);
	whole = !strcmp(unit, "faults") || !strcmp(unit, "count") ||
		!strcmp(unit, "uses");
	if (!strcmp(unit, "uses") || !strcmp(unit, "ratio") ||
	    !strcmp(unit, "count"))
		unit = "";
	median = est->median * factor;
	low = est->low * factor;
	high = est->high * factor;
	d = whole && median == floor(median) ? 0 : decimals(median, high - low);

	/* An exact count needs no interval */
	if (isnan(low) || (whole && low == high && low == median))
		snprintf(buf, size, "%.*f%s%s", d, median, *unit ? " " : "",
			 unit);
	else
		snprintf(buf, size, "%.*f%s%s [%.*f, %.*f]", d, median,
			 *unit ? " " : "", unit, d, low, d, high);
	return buf;
}

void print_text(const char *text, bool markdown)
{
	char *copy = strdup(text), *p;

	for (p = harmless(copy); p && *p; p++) {
		/* & would begin an entity */
		if (markdown && strchr("|<>&`*_[]\\", *p))
			putchar('\\');
		putchar(*p);
	}
	free(copy);
}

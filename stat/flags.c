// SPDX-License-Identifier: GPL-2.0
/* What checks.csv says about a cell, and what the cell says about itself. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "k2u-stat.h"

/* More than this much subtracted: the correction is part of the result */
#define OVERHEAD_PCT 1.0

/* clang-format off */
enum {
	C_MEASURE, C_PROVIDER, C_METHOD, C_BACKING, C_CACHE, C_SIZE,
	C_PHASE, C_METRIC, C_CHECK, C_VERDICT
};
/* clang-format on */

static const char *const columns[] = {
	"measure", "provider", "method", "backing", "cache", "size_bytes",
	"phase",   "metric",   "check",	 "verdict", NULL,
};

static const struct {
	const char *check, *failed;
} names[] = {
	{ "contents", "contents-failed" },
	{ "kernel-hash", "kernel-hash-failed" },
	{ "consumed", "consumed-failed" },
	{ "accounted", "accounted-failed" },
	{ "faults-agree", "faults-disagree" },
	{ "faults-expected", "faults-unexpected" },
	{ "faults-module", "faults-module-disagree" },
	{ "memtype", "memtype-substituted" },
	{ "memtype-linear", "linear-memtype-substituted" },
	{ "node", "node-elsewhere" },
	{ "linearity", "nonlinear" },
	{ "steady", "unsteady" },
	{ "other", "other-check-failed" },
};

/* Bit 2i: check i failed; bit 2i + 1: it could not be made */
static uint64_t check_bit(const char *check, bool failed)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(names) - 1 && strcmp(names[i].check, check);
	     i++)
		;
	return 1ULL << (2 * i + !failed);
}

/* A check of no metric or phase in particular is one of them all */
static bool covers(const char *check, const char *cell)
{
	return !*check || !strcmp(check, "all") || !strcmp(check, cell);
}

static void flag_cells(struct cells *cells, const struct csv *csv, uint64_t bit)
{
	static const enum key keys[] = { MEASURE, PROVIDER, METHOD,
					 BACKING, CACHE,    SIZE };
	struct cell *cell;
	unsigned int i;

	for (cell = cells->cell; cell < cells->cell + cells->n; cell++) {
		for (i = 0; i < ARRAY_SIZE(keys); i++)
			if (strcmp(cell->key[keys[i]], csv_str(csv, i)))
				break;
		if (i == ARRAY_SIZE(keys) &&
		    covers(csv_str(csv, C_PHASE), cell->key[PHASE]) &&
		    covers(csv_str(csv, C_METRIC), cell->key[METRIC]))
			cell->flags |= bit;
	}
}

static int read_checks(struct cells *cells, struct csv *csv)
{
	const char *verdict;
	int ret;

	while ((ret = csv_next(csv)) > 0) {
		verdict = csv_str(csv, C_VERDICT);
		if (!strcmp(verdict, "pass"))
			continue;
		if (strcmp(verdict, "fail") && strcmp(verdict, "unavailable"))
			return csv_error(csv, C_VERDICT,
					 "pass, fail or unavailable");
		flag_cells(cells, csv,
			   check_bit(csv_str(csv, C_CHECK),
				     !strcmp(verdict, "fail")));
	}
	return ret;
}

int flags_read(struct cells *cells, const struct run *run)
{
	bool partial;
	struct csv *csv;
	char *path;
	int ret;

	csv = malloc(sizeof(*csv));
	path = run_rows_path(run, "checks.csv", &partial);
	if (!csv || !path) {
		ret = out_of_memory();
		goto out;
	}
	if (partial && !is_there(path)) {
		say("%s: note: no checks.csv: every row is flagged 'unchecked'",
		    run->dir);
		cells->unchecked = true;
		ret = 0;
		goto out;
	}
	ret = csv_open_part(csv, path, partial, columns,
			    run_rows_bytes(run, "checks.csv", partial));
	if (ret)
		goto out;
	ret = read_checks(cells, csv);
	csv_close(csv);
out:
	free(path);
	free(csv);
	return ret;
}

void flags_print(FILE *f, const struct cells *cells, uint64_t flags,
		 const struct estimate *est, double overhead_pct,
		 bool incomplete)
{
	const char *sep = "";
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (flags & 1ULL << (2 * i)) {
			fprintf(f, "%s%s", sep, names[i].failed);
			sep = ";";
		}
		if (flags & 1ULL << (2 * i + 1)) {
			fprintf(f, "%s%s-unavailable", sep, names[i].check);
			sep = ";";
		}
	}
	if (cells->unchecked) {
		fprintf(f, "%sunchecked", sep);
		sep = ";";
	}
	if (overhead_pct > OVERHEAD_PCT) {
		fprintf(f, "%soverhead>1%%", sep);
		sep = ";";
	}
	if (isnan(est->level)) {
		fprintf(f, "%sfew-%s", sep,
			est->boots > 1 ? "boots" : "blocks");
		sep = ";";
	}
	if (incomplete)
		fprintf(f, "%sincomplete", sep);
}

bool cell_is_wrong(const char *flags)
{
	static const char *const wrong[] = {
		"contents-failed",	  "kernel-hash-failed",
		"consumed-failed",	  "accounted-failed",
		"faults-disagree",	  "faults-unexpected",
		"faults-module-disagree", "other-check-failed",
	};
	unsigned int i;
	size_t len;

	for (; *flags; flags += len + (flags[len] == ';')) {
		len = strcspn(flags, ";");
		for (i = 0; i < ARRAY_SIZE(wrong); i++)
			if (strlen(wrong[i]) == len &&
			    !strncmp(wrong[i], flags, len))
				return true;
	}
	return false;
}

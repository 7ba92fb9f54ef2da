// SPDX-License-Identifier: GPL-2.0
/* summarize: samples.csv and checks.csv -> summary.csv, breakeven.csv, cost.csv, parity.csv */
#include <argp.h>
#include <errno.h>
#include <gsl/gsl_sort.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "k2u-stat.h"

static uint64_t count_boots(const struct cell *cell)
{
	uint64_t boots = 0;
	size_t i;

	for (i = 0; i < cell->blocks; i++)
		boots += !i || cell->block[i].boot != cell->block[i - 1].boot;
	return boots;
}

static void print_optional(FILE *f, double v)
{
	if (isnan(v))
		fputc(',', f);
	else
		fprintf(f, ",%.10g", v);
}

static int write_cell(FILE *f, const struct cells *cells, struct cell *cell,
		      bool incomplete)
{
	double *medians, overhead_pct;
	struct estimate est;
	size_t i;

	medians = malloc(cell->blocks * sizeof(*medians));
	if (!medians)
		return out_of_memory();
	for (i = 0; i < cell->blocks; i++)
		medians[i] = cell->block[i].median;
	est = estimate_median(medians, cell->blocks);
	free(medians);

	/* The values are not needed by block any more */
	gsl_sort(cell->value, 1, cell->n);

	overhead_pct = cell->overhead / cell->n;
	if (overhead_pct != 0)
		overhead_pct = est.median ?
				       fabs(100 * overhead_pct / est.median) :
				       INFINITY;

	for (i = 0; i < KEYS; i++)
		fprintf(f, "%s%s", i ? "," : "", cell->key[i]);
	fprintf(f, ",%llu,%zu,%zu,%.10g", (unsigned long long)count_boots(cell),
		cell->blocks, cell->n, est.median);
	print_optional(f, est.low);
	print_optional(f, est.high);
	if (isnan(est.level))
		fputc(',', f);
	else
		fprintf(f, ",%.5f", est.level);
	for (i = 0; i < PERCENTILES; i++)
		print_optional(f, percentile(cell->value, cell->n, i));
	fprintf(f, ",%.3g,", overhead_pct);
	flags_print(f, cells, cell, overhead_pct, incomplete);
	fputc('\n', f);
	return 0;
}

static int write_summary(struct cells *cells, const struct run *run)
{
	struct out out;
	size_t i;
	int ret;

	ret = out_open(&out, run->dir, "summary.csv");
	if (ret)
		return ret;
	for (i = 0; i < KEYS; i++)
		fprintf(out.f, "%s,", key_name[i]);
	fputs("boots,blocks,n,median,ci_low,ci_high,ci_level,", out.f);
	for (i = 0; i < PERCENTILES; i++)
		fprintf(out.f, "%s,", percentiles[i].name);
	fputs("overhead_pct,flags\n", out.f);
	for (i = 0; i < cells->n; i++) {
		ret = write_cell(out.f, cells, &cells->cell[i], !run->complete);
		if (ret) {
			out_abort(&out);
			return ret;
		}
	}
	return out_commit(&out);
}

int summarize(const char *dir)
{
	struct cells cells;
	struct run run;
	int ret;

	ret = run_open(&run, dir);
	if (ret)
		return ret;
	ret = cells_read(&cells, &run);
	if (ret)
		goto close;
	if (!run.env)
		say("%s: note: no env.json: venue and kernel are unknown", dir);
	if (!run.complete)
		say("%s: note: incomplete run: its rows are flagged so", dir);
	ret = write_costs(&cells, &run) ?: write_parity(&cells, &run);
	/* Last: it sorts the samples out of their blocks */
	if (!ret)
		ret = write_summary(&cells, &run);
	cells_free(&cells);
close:
	run_close(&run);
	return ret;
}

static error_t parse(int opt, char *arg, struct argp_state *state)
{
	int *ret = state->input;
	int err;

	switch (opt) {
	case ARGP_KEY_ARG:
		err = summarize(arg);
		*ret = *ret ?: err;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(
			state,
			"which run? Give a directory that holds samples.csv");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

int cmd_summarize(int argc, char **argv)
{
	static const struct argp argp = {
		.parser = parse,
		.args_doc = "RUN...",
		.doc = "Write summary.csv, breakeven.csv, cost.csv and parity.csv of each RUN from its "
		       "samples.csv (or, of a run that did not end, samples.csv.partial), "
		       "checks.csv and env.json.\v"
		       "The columns are documented in results/SCHEMA.md.",
	};
	int ret = 0;

	argp_parse(&argp, argc, argv, 0, NULL, &ret);
	return ret;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * summarize: samples.csv and checks.csv -> summary.csv, boots.csv,
 * breakeven.csv, cost.csv, parity.csv
 */
#include <argp.h>
#include <errno.h>
#include <gsl/gsl_sort.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "k2u-stat.h"

static int write_cell(FILE *f, const struct cells *cells, struct cell *cell,
		      bool incomplete)
{
	struct replicates r;
	struct estimate est;
	double overhead_pct;
	size_t i;

	if (cell_replicates(cell, &r))
		return -ENOMEM;
	est = replicates_estimate(&r);
	replicates_free(&r);

	/* The values are not needed by block any more */
	gsl_sort(cell->value, 1, cell->n);

	overhead_pct = cell_overhead_pct(cell, est.median);
	for (i = 0; i < KEYS; i++)
		fprintf(f, "%s%s", i ? "," : "", cell->key[i]);
	fprintf(f, ",%zu,%zu,%zu,%.10g", est.boots, cell->blocks, cell->n,
		est.median);
	print_figure(f, est.low);
	print_figure(f, est.high);
	if (isnan(est.level))
		fputc(',', f);
	else
		fprintf(f, ",%.5f", est.level);
	for (i = 0; i < PERCENTILES; i++)
		print_figure(f, percentile(cell->value, cell->n, i));
	fprintf(f, ",%.3g,", overhead_pct);
	flags_print(f, cells, cell->flags, &est, overhead_pct, incomplete);
	fprintf(f, ",%s\n", est.boots > 1 ? "boot" : "block");
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
	fputs("overhead_pct,flags,ci_unit\n", out.f);
	for (i = 0; i < cells->n; i++) {
		ret = write_cell(out.f, cells, &cells->cell[i], !run->complete);
		if (ret) {
			out_abort(&out);
			return ret;
		}
	}
	return out_commit(&out);
}

/* What a comparison needs where the samples are not kept */
static int write_cell_boots(FILE *f, const struct cell *cell)
{
	size_t i, first = 0, boot = 0, n = 0;
	struct replicates r;
	int k;

	if (cell_replicates(cell, &r))
		return -ENOMEM;
	replicates_reduce(&r);
	for (i = 0; i < cell->blocks; i++) {
		n += cell->block[i].n;
		if (i + 1 < cell->blocks &&
		    cell->block[i + 1].boot == cell->block[i].boot)
			continue;
		for (k = 0; k < KEYS; k++)
			fprintf(f, "%s,", cell->key[k]);
		fprintf(f, "%llu,%zu,%zu,", (unsigned long long)r.boot[boot],
			i + 1 - first, n);
		print_exact(f, r.v[boot++]);
		fputc('\n', f);
		first = i + 1;
		n = 0;
	}
	replicates_free(&r);
	return 0;
}

static int write_boots(const struct cells *cells, const struct run *run)
{
	struct out out;
	size_t i;
	int ret;

	ret = out_open(&out, run->dir, "boots.csv");
	if (ret)
		return ret;
	for (i = 0; i < KEYS; i++)
		fprintf(out.f, "%s,", key_name[i]);
	fputs("boot,blocks,n,median\n", out.f);
	for (i = 0; i < cells->n; i++) {
		ret = write_cell_boots(out.f, &cells->cell[i]);
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
	ret = write_costs(&cells, &run)		 ?:
		      write_parity(&cells, &run) ?:
						   write_boots(&cells, &run);
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
		.doc = "Write summary.csv, boots.csv, breakeven.csv, cost.csv and parity.csv of each RUN from its "
		       "samples.csv (or, of a run that did not end, samples.csv.partial), "
		       "checks.csv and env.json.\v"
		       "The columns are documented in results/SCHEMA.md.",
	};
	int ret = 0;

	argp_parse(&argp, argc, argv, 0, NULL, &ret);
	return ret;
}

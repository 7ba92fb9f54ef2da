// SPDX-License-Identifier: GPL-2.0
/* series: chosen cells as gnuplot reads them, a data set per configuration */
#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "k2u-stat.h"

enum axis { X_SIZE, X_THREADS, X_PERCENTILE };
enum print { DATA, TITLES, SIZES, NUMBERS, BOOTS, BLOCKS, SAMPLES, MAX };

static const char *const axes[] = { "size_bytes", "threads", "percentile",
				    NULL };
static const char *const prints[] = { "data",	 "titles", "sizes",
				      "threads", "boots",  "blocks",
				      "samples", "max",	   NULL };

struct args {
	const char *dir;
	struct selection sel;
	enum axis axis;
	enum print print;
	bool provider;
};

/* The same but for what is on the x axis */
static bool same_series(const struct row *a, const struct row *b,
			enum axis axis)
{
	int i;

	for (i = 0; i < KEYS; i++) {
		if ((i == SIZE && axis == X_SIZE) ||
		    (i == THREADS && axis == X_THREADS))
			continue;
		if (strcmp(a->key[i], b->key[i]))
			return false;
	}
	return true;
}

/* gnuplot takes a point with a NaN in it for no point: no interval is one of no width */
static void print_point(const struct row *row, enum axis axis)
{
	const struct estimate *est = &row->est;
	int i;

	if (axis != X_PERCENTILE) {
		printf("%s %.10g %.10g %.10g\n",
		       row->key[axis == X_SIZE ? SIZE : THREADS], est->median,
		       isnan(est->low) ? est->median : est->low,
		       isnan(est->high) ? est->median : est->high);
		return;
	}
	for (i = 0; i < PERCENTILES; i++)
		if (!isnan(row->pct[i]))
			printf("%d %.10g %.10g %.10g \"%s\"\n", i, row->pct[i],
			       row->pct[i], row->pct[i], percentiles[i].name);
}

static void print_data(const struct rows *rows, const struct args *args)
{
	bool *done = calloc(rows->n + 1, sizeof(*done));
	char title[256];
	size_t i, j;

	if (!done) {
		out_of_memory();
		return;
	}
	for (i = 0; i < rows->n; i++) {
		if (done[i])
			continue;
		printf("\"%s\"\n", row_title(&rows->row[i], args->provider,
					     title, sizeof(title)));
		for (j = i; j < rows->n; j++) {
			if (done[j] || !same_series(&rows->row[i],
						    &rows->row[j], args->axis))
				continue;
			done[j] = true;
			print_point(&rows->row[j], args->axis);
		}
		printf("\n\n");
	}
	free(done);
}

/* The titles that the same selection's data sets have, once each, for word() */
static void print_titles(const struct rows *rows, const struct args *args)
{
	char title[256], other[256];
	size_t i, j;

	for (i = 0; i < rows->n; i++) {
		row_title(&rows->row[i], args->provider, title, sizeof(title));
		for (j = 0; j < i; j++)
			if (!strcmp(title,
				    row_title(&rows->row[j], args->provider,
					      other, sizeof(other))))
				break;
		if (j == i)
			printf("\"%s\" ", title);
	}
	putchar('\n');
}

static int compare_u64(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* What is on the axis, once each */
static void print_places(const struct rows *rows, enum print what)
{
	uint64_t *size = calloc(rows->n + 1, sizeof(*size));
	size_t i;

	if (!size) {
		out_of_memory();
		return;
	}
	for (i = 0; i < rows->n; i++)
		size[i] = what == SIZES ?
				  rows->row[i].size :
				  strtoull(rows->row[i].key[THREADS], NULL, 10);
	qsort(size, rows->n, sizeof(*size), compare_u64);
	for (i = 0; i < rows->n; i++)
		if (!i || size[i] != size[i - 1])
			printf("%llu ", (unsigned long long)size[i]);
	putchar('\n');
	free(size);
}

/* "20", or "11 to 20" */
static void print_count(const struct rows *rows, enum print what)
{
	uint64_t n, low = UINT64_MAX, high = 0;
	size_t i;

	for (i = 0; i < rows->n; i++) {
		n = what == BOOTS  ? rows->row[i].boots :
		    what == BLOCKS ? rows->row[i].blocks :
				     rows->row[i].samples;
		low = n < low ? n : low;
		high = n > high ? n : high;
	}
	if (!rows->n)
		puts("0");
	else if (low == high)
		printf("%llu\n", (unsigned long long)low);
	else
		printf("%llu to %llu\n", (unsigned long long)low,
		       (unsigned long long)high);
}

/* How far an axis must reach */
static void print_max(const struct rows *rows)
{
	double max = 0;
	size_t i;

	for (i = 0; i < rows->n; i++) {
		if (isfinite(rows->row[i].est.median))
			max = fmax(max, rows->row[i].est.median);
		if (isfinite(rows->row[i].est.high))
			max = fmax(max, rows->row[i].est.high);
	}
	printf("%.10g\n", max);
}

enum { OPT_X = 256, OPT_PRINT, OPT_SHORT };

static error_t parse(int opt, char *arg, struct argp_state *state)
{
	struct args *args = state->input;

	switch (opt) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &args->sel;
		return 0;
	case OPT_X:
		args->axis = parse_name(state, "--x", axes, arg);
		return 0;
	case OPT_PRINT:
		args->print = parse_name(state, "--print", prints, arg);
		return 0;
	case OPT_SHORT:
		args->provider = false;
		return 0;
	}
	if (opt == ARGP_KEY_ARG || opt == ARGP_KEY_END)
		return parse_run(arg, state, &args->dir);
	return ARGP_ERR_UNKNOWN;
}

static const struct argp_option options[] = {
	{ "x", OPT_X, "KEY", 0, "size_bytes (default), threads or percentile",
	  2 },
	{ "print", OPT_PRINT, "WHAT", 0,
	  "data (default), or of the same cells the titles, the sizes, the numbers of threads, "
	  "the least and most boots, blocks or samples, or the largest finite value",
	  2 },
	{ "short", OPT_SHORT, NULL, 0, "Titles without the provider", 2 },
	{}
};

int cmd_series(int argc, char **argv)
{
	static const struct argp_child children[] = {
		{ &selection_argp, 0, "Which cells:", 0 }, {}
	};
	static const struct argp argp = {
		.children = children,
		.options = options,
		.parser = parse,
		.args_doc = "RUN",
		.doc = "Print chosen cells of a summarised RUN for gnuplot: a data set ('index') per "
		       "configuration, its title in quotes, then lines of x, median, low, high "
		       "(both the median where the blocks were too few for an interval).",
	};
	struct args args = { .provider = true };
	struct rows rows;
	struct run run;
	int ret;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	ret = run_open(&run, args.dir);
	if (ret)
		goto free;
	ret = rows_read(&rows, &run, &args.sel);
	if (ret)
		goto close;
	switch (args.print) {
	case DATA:
		print_data(&rows, &args);
		break;
	case TITLES:
		print_titles(&rows, &args);
		break;
	case SIZES:
	case NUMBERS:
		print_places(&rows, args.print);
		break;
	case BOOTS:
	case BLOCKS:
	case SAMPLES:
		print_count(&rows, args.print);
		break;
	case MAX:
		print_max(&rows);
		break;
	}
	rows_free(&rows);
close:
	run_close(&run);
free:
	selection_free(&args.sel);
	return ret;
}

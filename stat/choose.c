// SPDX-License-Identifier: GPL-2.0
/* choose: who is cheapest, by size and number of uses */
#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "k2u-stat.h"

struct args {
	const char *dir;
	struct selection sel;
	unsigned long lines;
};

static bool same_field(const struct row *a, const struct row *b)
{
	return a->size == b->size && !strcmp(a->key[METRIC], b->key[METRIC]) &&
	       !strcmp(a->key[PROVIDER], b->key[PROVIDER]);
}

/* Those of best's size and uses that have this verdict, in a line of their own */
static void print_others(const struct rows *rows, const struct row *best,
			 const char *verdict, const char *text)
{
	const struct row *row;
	char title[256];

	for (row = rows->row; row < rows->row + rows->n; row++) {
		if (!same_field(row, best) || strcmp(row->verdict, verdict))
			continue;
		printf("%s%s%s", text,
		       row_title(row, false, title, sizeof(title)),
		       *row->flags ? " " FLAG_MARK : "");
		text = ", ";
	}
}

/* The cheapest, who cannot be told from it, and how far behind the next is */
static void print_cell(const struct rows *rows, const struct row *best)
{
	const struct row *row, *next = NULL;
	char title[256], text[128];
	unsigned int rivals = 0;
	int d;

	printf(" **%s** %s%s", row_title(best, false, title, sizeof(title)),
	       format_estimate(&best->est, best->key[UNIT], text, sizeof(text)),
	       *best->flags ? " " FLAG_MARK : "");
	print_others(rows, best, "equal", "<br>not told apart: ");
	print_others(rows, best, "undecided",
		     best->boots > 1 ? "<br>too few boots to tell: " :
				       "<br>too few blocks to tell: ");
	for (row = rows->row; row < rows->row + rows->n; row++) {
		if (!same_field(row, best))
			continue;
		rivals += !strcmp(row->verdict, "equal") ||
			  !strcmp(row->verdict, "undecided") ||
			  !strcmp(row->verdict, "dearer");
		if (!strcmp(row->verdict, "dearer") &&
		    (!next || row->ratio.median < next->ratio.median))
			next = row;
	}
	if (!rivals)
		printf("<br>nothing measured to compare it with");
	if (next) {
		d = next->ratio.median < 1.1 ? 3 :
		    next->ratio.median < 10  ? 2 :
					       0;
		printf("<br>next: %s ×%.*f [%.*f, %.*f]",
		       row_title(next, false, title, sizeof(title)), d,
		       next->ratio.median, d, next->ratio.low, d,
		       next->ratio.high);
	}
	printf(" |");
}

static const struct row *find_best(const struct rows *rows, uint64_t size,
				   double uses)
{
	const struct row *row;

	for (row = rows->row; row < rows->row + rows->n; row++)
		if (row->size == size && row->uses == uses &&
		    !strncmp(row->key[METRIC], "uses_", 5) &&
		    !strcmp(row->verdict, "best"))
			return row;
	return NULL;
}

static int compare_f64(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Sorted, once each */
static size_t distinct(double *v, size_t n)
{
	size_t i, m = 0;

	qsort(v, n, sizeof(*v), compare_f64);
	for (i = 0; i < n; i++)
		if (!m || v[i] != v[m - 1])
			v[m++] = v[i];
	return m;
}

static int print_choice(const struct rows *rows, unsigned long lines)
{
	double *size, *uses;
	const struct row *best;
	size_t n, m, i, j, at;
	char text[64];

	size = calloc(rows->n + 1, sizeof(*size));
	uses = calloc(rows->n + 1, sizeof(*uses));
	if (!size || !uses) {
		free(size);
		free(uses);
		return out_of_memory();
	}
	for (i = 0; i < rows->n; i++) {
		size[i] = rows->row[i].size;
		uses[i] = rows->row[i].uses;
	}
	n = distinct(size, rows->n);
	m = distinct(uses, rows->n);

	printf("| size |");
	for (j = 0; j < m; j++)
		if (isinf(uses[j]))
			printf(" very many uses |");
		else
			printf(" %g use%s |", uses[j],
			       uses[j] == 1 ? "" : "s each");
	printf("\n|---|");
	for (j = 0; j < m; j++)
		printf("---|");
	putchar('\n');

	lines = n < lines ? n : lines;
	for (i = 0; i < lines; i++) {
		/* The smallest, the largest, and evenly between */
		at = lines > 1 ? (i * (n - 1) + (lines - 1) / 2) / (lines - 1) :
				 0;
		printf("| %s |", format_size(size[at], text, sizeof(text)));
		for (j = 0; j < m; j++) {
			best = find_best(rows, size[at], uses[j]);
			if (best)
				print_cell(rows, best);
			else
				printf(" – |");
		}
		putchar('\n');
	}
	free(size);
	free(uses);
	return 0;
}

static error_t parse(int opt, char *arg, struct argp_state *state)
{
	struct args *args = state->input;
	char *end;

	switch (opt) {
	case 'p':
		free(args->sel.list[PROVIDER]);
		args->sel.list[PROVIDER] = strdup(arg);
		return args->sel.list[PROVIDER] ? 0 : ENOMEM;
	case 'n':
		args->lines = strtoul(arg, &end, 10);
		if (*end || !args->lines)
			argp_error(
				state,
				"--lines: expected a number above 0, got '%s'",
				arg);
		return 0;
	case ARGP_KEY_ARG:
	case ARGP_KEY_END:
		return parse_run(arg, state, &args->dir);
	}
	return ARGP_ERR_UNKNOWN;
}

int cmd_choose(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "provider", 'p', "NAME", 0, "k2u or tree", 0 },
		{ "lines", 'n', "N", 0, "Show at most N sizes (default 5)", 0 },
		{}
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "RUN",
		.doc = "Print as a Markdown table, by size and number of uses, which method of a "
		       "provider costs least per use, from cost.csv; copies go to a destination that "
		       "the program reuses.",
	};
	struct args args = { .lines = 5 };
	struct rows rows;
	struct run run;
	int ret;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	args.sel.list[MEASURE] = strdup("cost");
	ret = args.sel.list[MEASURE] ? run_open(&run, args.dir) :
				       out_of_memory();
	if (ret)
		goto free;
	ret = rows_read(&rows, &run, &args.sel);
	if (!ret) {
		if (rows.n)
			ret = print_choice(&rows, args.lines);
		rows_free(&rows);
	}
	run_close(&run);
free:
	selection_free(&args.sel);
	return ret;
}

// SPDX-License-Identifier: GPL-2.0
/* table: chosen cells, a row per configuration */
#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "k2u-stat.h"

enum format { MARKDOWN, TEXT, DAT };
enum across { BY_SIZE, BY_THREADS, BY_METRIC, BY_PERCENTILE };

static const char *const formats[] = { "md", "text", "dat", NULL };
static const char *const acrosses[] = { "size_bytes", "threads", "metric",
					"percentile", NULL };

struct args {
	const char *dir;
	struct selection sel;
	enum format format;
	enum across across;
	bool provider;
};

struct table {
	const struct args *args;
	double resolution; /* of the clock; 0: not known */
	const struct rows *rows;
	const struct row **line, **head; /* the first of each line and column */
	size_t lines, heads;
	bool sizes; /* lines differ in size */
	bool one_metric; /* columns differ in phase only */
};

static bool is_across(const struct args *args, int key)
{
	if (args->across == BY_SIZE)
		return key == SIZE;
	if (args->across == BY_THREADS)
		return key == THREADS;
	if (args->across == BY_METRIC)
		return key == METRIC || key == PHASE || key == UNIT;
	return false;
}

static bool same(const struct args *args, const struct row *a,
		 const struct row *b, bool across)
{
	int i;

	for (i = 0; i < KEYS; i++)
		if (is_across(args, i) == across &&
		    strcmp(a->key[i], b->key[i]))
			return false;
	return true;
}

/* Where the selection lists them, columns come in that order */
static int head_rank(const struct args *args, const struct row *row)
{
	enum key key = args->across == BY_SIZE ? SIZE : METRIC;
	int rank = 0, metric = 0;

	if (args->sel.list[key])
		metric = list_find(args->sel.list[key], row->key[key]);
	if (args->across == BY_METRIC && args->sel.list[PHASE])
		rank = list_find(args->sel.list[PHASE], row->key[PHASE]);
	return metric * 1024 + rank;
}

static int compare_heads(const void *a, const void *b, void *arg)
{
	const struct row *x = *(const struct row **)a,
			 *y = *(const struct row **)b;
	const struct args *args = arg;
	int d = head_rank(args, x) - head_rank(args, y);

	if (!d && args->across == BY_SIZE)
		return (x->size > y->size) - (x->size < y->size);
	if (!d && args->across == BY_THREADS)
		d = atoi(x->key[THREADS]) - atoi(y->key[THREADS]);
	return d ?: (x > y) - (x < y);
}

static int lay_out(struct table *table)
{
	const struct rows *rows = table->rows;
	const struct row *row;
	size_t i;

	table->line = calloc(rows->n + 1, sizeof(*table->line));
	table->head = calloc(rows->n + 1, sizeof(*table->head));
	if (!table->line || !table->head)
		return out_of_memory();
	table->one_metric = true;
	for (row = rows->row; row < rows->row + rows->n; row++) {
		for (i = 0; i < table->lines &&
			    !same(table->args, row, table->line[i], false);
		     i++)
			;
		if (i == table->lines)
			table->line[table->lines++] = row;
		for (i = 0; i < table->heads &&
			    !same(table->args, row, table->head[i], true);
		     i++)
			;
		if (i == table->heads)
			table->head[table->heads++] = row;
		table->sizes |= row->size != rows->row[0].size;
		table->one_metric &=
			!strcmp(row->key[METRIC], rows->row[0].key[METRIC]);
	}
	table->sizes &= table->args->across != BY_SIZE;
	qsort_r(table->head, table->heads, sizeof(*table->head), compare_heads,
		(void *)table->args);
	return 0;
}

static const struct row *find_row(const struct table *table, size_t line,
				  size_t head)
{
	const struct row *row;

	for (row = table->rows->row; row < table->rows->row + table->rows->n;
	     row++)
		if (same(table->args, row, table->line[line], false) &&
		    same(table->args, row, table->head[head], true))
			return row;
	return NULL;
}

static const char *head_name(const struct table *table, size_t head, char *buf,
			     size_t size)
{
	const struct row *row = table->head[head];
	const char *metric = row->key[METRIC];

	if (table->args->across == BY_SIZE)
		return format_size(row->size, buf, size);
	if (table->args->across == BY_THREADS) {
		snprintf(buf, size, "%s", row->key[THREADS]);
		return buf;
	}
	/* Of reused and fresh destinations alike: the table's title says which */
	if (!strncmp(metric, "uses_", 5) || !strncmp(metric, "fresh_", 6)) {
		metric = strchr(metric, '_') + 1;
		snprintf(buf, size, "%s use%s",
			 strcmp(metric, "inf") ? metric : "very many",
			 strcmp(metric, "1") ? "s" : "");
	} else if (!strncmp(metric, "e2e_", 4)) {
		snprintf(buf, size, "%s uses", metric + 4);
	} else {
		snprintf(buf, size, "%s",
			 table->one_metric ? row->key[PHASE] : metric);
	}
	return buf;
}

static size_t columns(const struct table *table)
{
	return table->args->across == BY_PERCENTILE ? PERCENTILES :
						      table->heads;
}

/* Column 0 is the line's title, 1 its size if they differ */
static const char *cell_text(const struct table *table, size_t line, size_t col,
			     char *buf, size_t size)
{
	const struct row *row = line ? table->line[line - 1] : NULL;
	struct estimate est = { .low = NAN, .high = NAN };
	char number[64];

	if (!col && !row)
		return "method";
	if (!col)
		return row_title(row, table->args->provider, buf, size);
	col--;
	if (table->sizes && !col)
		return row ? format_size(row->size, buf, size) : "size";
	col -= table->sizes;

	if (table->args->across == BY_PERCENTILE) {
		if (!row)
			return percentiles[col].name;
		est.median = row->pct[col];
		if (!(est.median < table->resolution))
			return format_estimate(&est, row->key[UNIT], buf, size);
		/* Less than one step of the clock says no more than that */
		est.median = table->resolution;
		format_estimate(&est, row->key[UNIT], number, sizeof(number));
		snprintf(buf, size, "< %s", number);
		return buf;
	}
	if (!row)
		return head_name(table, col, buf, size);
	row = find_row(table, line - 1, col);
	if (!row)
		return "–";
	format_estimate(&row->est, row->key[UNIT], buf, size);
	if (*row->flags)
		strncat(buf, " " FLAG_MARK, size - strlen(buf) - 1);
	return buf;
}

/* Characters, not bytes */
static size_t width(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += (*text & 0xc0) != 0x80;
	return n;
}

static int print_people(const struct table *table)
{
	bool markdown = table->args->format == MARKDOWN;
	size_t cols = columns(table) + 1 + table->sizes, line, col, len;
	size_t *w = calloc(cols, sizeof(*w));
	const char *text;
	char buf[256];

	if (!w)
		return out_of_memory();
	for (col = 0; col < cols; col++) {
		w[col] = 3;
		for (line = 0; line <= table->lines; line++) {
			len = width(
				cell_text(table, line, col, buf, sizeof(buf)));
			w[col] = len > w[col] ? len : w[col];
		}
	}
	for (line = 0; line <= table->lines; line++) {
		for (col = 0; col < cols; col++) {
			text = cell_text(table, line, col, buf, sizeof(buf));
			printf(markdown ? "| " : col ? "  " : "");
			if (col && !markdown)
				printf("%*s", (int)(w[col] - width(text)), "");
			/* Our own text but for the names, which have no blanks */
			if (col)
				fputs(text, stdout);
			else
				print_text(text, markdown);
			if (!col || markdown)
				printf("%*s", (int)(w[col] - width(text)), "");
			if (markdown)
				putchar(' ');
		}
		puts(markdown ? "|" : "");
		if (!line && markdown) {
			for (col = 0; col < cols; col++)
				printf(col ? "|---:" : "|---");
			puts("|");
		}
	}
	free(w);
	return 0;
}

/* For gnuplot: title, then median, low and high of each column (as in series.c) */
static void print_dat(const struct table *table)
{
	const struct estimate *est;
	const struct row *row;
	size_t line, col;
	char buf[256];

	for (line = 0; line < table->lines; line++) {
		printf("\"%s\"",
		       row_title(table->line[line], table->args->provider, buf,
				 sizeof(buf)));
		for (col = 0; col < table->heads; col++) {
			row = find_row(table, line, col);
			if (!row) {
				printf(" NaN NaN NaN");
				continue;
			}
			est = &row->est;
			printf(" %.10g %.10g %.10g", est->median,
			       isnan(est->low) ? est->median : est->low,
			       isnan(est->high) ? est->median : est->high);
		}
		putchar('\n');
	}
}

enum { OPT_FORMAT = 256, OPT_COLS, OPT_SHORT };

static error_t parse(int opt, char *arg, struct argp_state *state)
{
	struct args *args = state->input;

	switch (opt) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &args->sel;
		return 0;
	case OPT_FORMAT:
		args->format = parse_name(state, "--format", formats, arg);
		return 0;
	case OPT_COLS:
		args->across = parse_name(state, "--cols", acrosses, arg);
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
	{ "cols", OPT_COLS, "KEY", 0,
	  "size_bytes (default), threads, metric (or phase) or percentile", 2 },
	{ "format", OPT_FORMAT, "NAME", 0,
	  "text (default), md, or dat (for gnuplot)", 2 },
	{ "short", OPT_SHORT, NULL, 0, "Titles without the provider", 2 },
	{}
};

int cmd_table(int argc, char **argv)
{
	static const struct argp_child children[] = {
		{ &selection_argp, 0, "Which cells:", 0 }, {}
	};
	static const struct argp argp = {
		.children = children,
		.options = options,
		.parser = parse,
		.args_doc = "RUN",
		.doc = "Print chosen cells of a summarised RUN as a table: a row per configuration, "
		       "median and interval in the cells.",
	};
	struct args args = { .format = TEXT, .provider = true };
	struct table table = { .args = &args };
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
	table.rows = &rows;
	table.resolution = json_number_value(
		run_env(&run, "calibration.clock_resolution"));
	ret = lay_out(&table);
	if (!ret && args.format == DAT)
		print_dat(&table);
	else if (!ret && rows.n)
		ret = print_people(&table);
	free(table.line);
	free(table.head);
	rows_free(&rows);
close:
	run_close(&run);
free:
	selection_free(&args.sel);
	return ret;
}

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * k2u-stat: from samples to summaries.
 *
 * A subcommand is one file and one line in main.c. Functions return 0 or
 * -errno after they have said on stderr what is wrong; only main() exits.
 */
#ifndef K2U_STAT_H
#define K2U_STAT_H

#include <argp.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Prefixed message on stderr */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int out_of_memory(void);
/* Make room for one more element; size doubles */
void *grow(void *array, size_t n, size_t *room, size_t elem);

/* Index of name in names, which ends with NULL; -1 if it is not there */
int find_name(const char *const *names, const char *name);

/* csv.c: the strict reader */
#define CSV_LINE_MAX 65536
#define CSV_COLUMNS 64

struct csv {
	char *path;
	int fd;
	bool partial; /* still being written: an unfinished last line is no error */
	bool eof;
	unsigned long line;
	const char *const *want; /* the columns that the caller asked for */
	unsigned int col[CSV_COLUMNS]; /* where they are */
	unsigned int columns; /* in the header */
	char *field[CSV_COLUMNS];
	size_t start, end;
	char buf[2 * CSV_LINE_MAX];
};

int csv_open(struct csv *csv, const char *path, bool partial,
	     const char *const *want);
int csv_next(struct csv *csv); /* 1: a row, 0: end, -errno */
void csv_close(struct csv *csv);
int csv_error(const struct csv *csv, unsigned int want, const char *expected);
int csv_u64(const struct csv *csv, unsigned int want, uint64_t *value);
int csv_f64(const struct csv *csv, unsigned int want, double *value);
/* "" reads as NaN, "inf" as infinity */
int csv_f64_or_none(const struct csv *csv, unsigned int want, double *value);

static inline const char *csv_str(const struct csv *csv, unsigned int want)
{
	return csv->field[csv->col[want]];
}

/* out.c: files that appear whole or not at all */
struct out {
	FILE *f;
	char *path, *tmp;
};

int out_open(struct out *out, const char *dir, const char *name);
int out_commit(struct out *out);
void out_abort(struct out *out);
/* A comma, and v unless it is NaN */
void print_figure(FILE *f, double v);

/* order.c: order statistics */
struct estimate {
	double median;
	double low, high, level; /* NaN: no interval */
	size_t n;
};

struct percentile {
	const char *name;
	unsigned int per_mille;
};

enum { P50, P90, P99, P999, PMAX, PERCENTILES };
extern const struct percentile percentiles[PERCENTILES];

#define CONFIDENCE 0.95

/* Rank r of the interval [r, n + 1 - r], and its level; 0 if n is too small */
size_t median_interval_rank(size_t n, double *level);
/* Sorts v */
struct estimate estimate_median(double *v, size_t n);
/* NaN where n < 10 / (1 - p) */
double percentile(const double *sorted, size_t n, unsigned int which);

/* run.c: a run directory */
struct run {
	const char *dir;
	json_t *env; /* NULL: no env.json */
	bool complete;
};

int run_open(struct run *run, const char *dir);
void run_close(struct run *run);
char *run_path(const struct run *run, const char *name);
char *run_rows_path(const struct run *run, const char *name, bool *partial);
/* Dotted path in env.json; NULL if it is not there */
json_t *run_env(const struct run *run, const char *path);
/* The same, as text for people; "" if it is not there. Freed by the caller */
char *run_env_text(const struct run *run, const char *path);
const char *run_venue(const struct run *run);

/* cell.c: samples by configuration and metric */
/* clang-format off */
enum key {
	MEASURE, PROVIDER, METHOD, BACKING, CACHE, SIZE, THREADS,
	PHASE, METRIC, UNIT, KEYS
};
/* clang-format on */
extern const char *const key_name[KEYS];

enum { SETUP, FIRST_TOUCH, WARM, TEARDOWN, PASS_PHASES };
extern const char *const pass_phase[PASS_PHASES];

struct block {
	uint64_t boot, block;
	size_t start, n; /* in the cell's values */
	double median;
};

struct cell {
	const char *key[KEYS];
	char *text; /* that the keys point into */
	uint64_t size;
	double *value;
	size_t n, room;
	struct block *block;
	size_t blocks, block_room;
	double overhead; /* sum over the samples */
	uint64_t flags;
};

struct cells {
	struct cell *cell;
	size_t n, room;
	size_t *slot; /* hash table of index + 1 */
	size_t slots;
	size_t last;
	bool unchecked; /* the run has no checks.csv */
};

int cells_read(struct cells *cells, const struct run *run);
void cells_free(struct cells *cells);
int compare_blocks(const void *a, const void *b);
bool is_baseline(const char *method);

/* flags.c: what checks.csv says about a cell */
int flags_read(struct cells *cells, const struct run *run);
void flags_print(FILE *f, const struct cells *cells, const struct cell *cell,
		 double overhead_pct, bool incomplete);

/* cost.c: what the phases of `pass` imply */
struct pass {
	double phase[PASS_PHASES];
};

/* Cost of k uses, per use; k may be infinite */
double pass_per_use(const struct pass *pass, double k);
/* Uses from which map costs no more than copy: 1 .. infinity */
double pass_breakeven(const struct pass *map, const struct pass *copy);
/* breakeven.csv and cost.csv */
int write_costs(const struct cells *cells, const struct run *run);

/* parity.c: parity.csv */
int write_parity(const struct cells *cells, const struct run *run);

int summarize(const char *dir);

/* row.c: rows of summary.csv, cost.csv and breakeven.csv, selected */
struct row {
	const char *key[KEYS];
	char *text;
	uint64_t size;
	double uses;
	struct estimate est;
	struct estimate ratio; /* cost.csv: to the cheapest */
	uint64_t blocks, samples;
	double pct[PERCENTILES];
	char *flags, *verdict;
};

struct rows {
	struct row *row;
	size_t n, room;
};

struct selection {
	char *list[KEYS]; /* comma-separated values; NULL: any */
};

/* --measure=, --provider= ... as a child parser; its input is the selection */
extern const struct argp selection_argp;
void selection_free(struct selection *sel);
int rows_read(struct rows *rows, const struct run *run,
	      const struct selection *sel);
void rows_free(struct rows *rows);
/* Place of value in the comma-separated list, -1 if it is not there */
int list_find(const char *list, const char *value);
/* Beside a figure whose cells have flags */
#define FLAG_MARK "†"

const char *row_title(const struct row *row, bool provider, char *buf,
		      size_t size);

/* format.c: figures for people */
const char *format_size(uint64_t bytes, char *buf, size_t size);
int parse_size(const char *text, uint64_t *bytes);
/* "1.23 ms [1.20, 1.26]" */
const char *format_estimate(const struct estimate *est, const char *unit,
			    char *buf, size_t size);
/* Text from a file, harmless in a Markdown table and on a terminal */
void print_text(const char *text, bool markdown);

/* One run directory as the only argument */
int parse_run(char *arg, struct argp_state *state, const char **dir);

/* The subcommands */
int cmd_summarize(int argc, char **argv);
int cmd_series(int argc, char **argv);
int cmd_table(int argc, char **argv);
int cmd_choose(int argc, char **argv);
int cmd_checks(int argc, char **argv);
int cmd_env(int argc, char **argv);
int cmd_hyperfine(int argc, char **argv);

#endif /* K2U_STAT_H */

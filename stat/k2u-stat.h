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
/* Text from a file, for a terminal: what would control one is blank. Returns it */
char *harmless(char *text);
/*
 * What methods, units, kernels ... are called. Names go into charts, Markdown
 * and commands, so what means something there is part of none.
 */
#define NAME_LEN_MAX 64
#define NAME_IS "a name: letters, digits and ._+~/-"
bool is_name(const char *text);
/* Make room for one more element; size doubles */
void *grow(void *array, size_t n, size_t *room, size_t elem);

/* Index of name in names, which ends with NULL; -1 if it is not there */
int find_name(const char *const *names, const char *name);

/* csv.c: the strict reader */
#define CSV_LINE_MAX 65536
#define CSV_COLUMNS 64
#define CSV_PREFIX_MAX 512

struct csv {
	char *path;
	int fd;
	bool partial; /* still being written: an unfinished last line is no error */
	bool eof;
	uint64_t left; /* bytes to be read; UINT64_MAX: all that there are */
	unsigned long line;
	const char *const *
		want; /* columns asked for; "?name": reads as "" if not there */
	unsigned int col[CSV_COLUMNS]; /* where they are */
	unsigned int columns; /* in the header */
	char *field[CSV_COLUMNS + 1]; /* the last is "" */
	unsigned int
		repeat; /* leading columns that tend to repeat; see csv_repeat() */
	bool repeated; /* they do, in this row */
	size_t prefix_len;
	char prefix[CSV_PREFIX_MAX]; /* their text in the last row ... */
	char prefix_split[CSV_PREFIX_MAX]; /* ... and as fields */
	size_t start, end;
	char buf[2 * CSV_LINE_MAX];
};

int csv_open(struct csv *csv, const char *path, bool partial,
	     const char *const *want);
/* Only so many bytes of it, which must be there */
int csv_open_part(struct csv *csv, const char *path, bool partial,
		  const char *const *want, uint64_t bytes);
/* The first n of the columns asked for are often those of the row before */
void csv_repeat(struct csv *csv, unsigned int n);
int csv_next(struct csv *csv); /* 1: a row, 0: end, -errno */
void csv_close(struct csv *csv);
int csv_error(const struct csv *csv, unsigned int want, const char *expected);
/* That it is a name */
int csv_name(const struct csv *csv, unsigned int want);
/* The same of a list of flags */
int csv_flags(const struct csv *csv, unsigned int want);
int csv_u64(const struct csv *csv, unsigned int want, uint64_t *value);
/* Decimal, finite, correctly rounded, and nothing else in text */
int parse_f64(const char *text, double *value);
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
/* With as many digits as give the same number when read */
void print_exact(FILE *f, double v);

/* order.c: order statistics */
struct estimate {
	double median;
	double low, high, level; /* NaN: no interval */
	size_t n;
	size_t boots; /* where it is one of replicates: 2 or more were its unit */
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

/* Figures of blocks, those of a boot together */
struct replicates {
	double *v;
	uint64_t *boot;
	size_t n;
};

int replicates_init(struct replicates *r, size_t room);
void replicates_add(struct replicates *r, uint64_t boot, double v);
/* One figure per boot: the median of its blocks */
void replicates_reduce(struct replicates *r);
/*
 * Blocks of one boot say nothing about the next: with two boots or more the
 * boots' medians are what is estimated from, else the blocks. Uses r up.
 */
struct estimate replicates_estimate(struct replicates *r);
void replicates_free(struct replicates *r);
/* NaN where n < 10 / (1 - p) */
double percentile(const double *sorted, size_t n, unsigned int which);

/* run.c: a run directory */
struct run {
	const char *dir;
	json_t *env; /* NULL: no env.json */
	bool complete;
};

/* -ENOENT is not said; of anything else that is wrong, file and line are */
int json_read(const char *path, json_t **root);
int run_open(struct run *run, const char *dir);
void run_close(struct run *run);
char *run_path(const struct run *run, const char *name);
/* Whatever it is: what cannot be read is not taken for nothing */
bool is_there(const char *path);
char *run_rows_path(const struct run *run, const char *name, bool *partial);
/* How much of the file are rows of boots that have joined; UINT64_MAX: all of it */
uint64_t run_rows_bytes(const struct run *run, const char *name, bool partial);
/* Dotted path in env.json; NULL if it is not there */
json_t *run_env(const struct run *run, const char *path);
/* The same, as text for people; "" if it is not there. Freed by the caller */
char *run_env_text(const struct run *run, const char *path);
const char *run_venue(const struct run *run);
/* How many it holds; 0: no env.json */
size_t run_boots(const struct run *run);

/* envdiff.c: what differs between two env.json */
enum env_class {
	ENV_IDENTITY, /* boots of one run, and runs of one side, must agree */
	ENV_INFORM, /* shown */
	ENV_VOLATILE, /* never compared */
};

struct env_change {
	char *path; /* such as cpu.mitigations.retbleed */
	const char *title; /* such as "mitigation"; "": not known to us */
	const char *key; /* such as "retbleed"; "": the title says it all */
	enum env_class class;
	char *old, *now; /* "": not recorded */
};

struct env_changes {
	struct env_change *change;
	size_t n, room;
};

int env_diff(const json_t *base, const json_t *now, struct env_changes *out);
void env_changes_free(struct env_changes *changes);
/* tool.args without what differs from boot to boot. Freed by the caller */
char *env_args(const char *args);

/* verdict.c: what a comparison of boots can say; docs/METHODOLOGY.md, Comparing */
enum verdict { SLOWER, FASTER, EQUIVALENT, INCONCLUSIVE, WITHHELD, VERDICTS };
extern const char *const verdict_name[VERDICTS];

#define THRESHOLD 0.005 /* default of the smallest difference that is called */
#define BOOTS_CAP \
	1000 /* boots still needed: not looked for further than this */

/* One cell of one comparison */
struct contrast {
	/* in: medians of n pairs of boots */
	const double *base, *new_;
	size_t n;
	bool more_is_better; /* a rate */
	bool count; /* of faults: exact where it does not vary */
	bool withheld; /* a check of it failed: no verdict */
	/* out */
	struct estimate base_est, new_est; /* over boots */
	double ratio, low, high, level; /* NEW / BASE; no interval: NaN */
	double p, p_holm; /* of the sign test; NaN: not tested */
	enum verdict verdict;
	bool exact; /* a count that is the same in all boots of a side */
	double mde; /* found with 80 % power, as ratio - 1; NaN: too few boots */
	size_t more; /* pairs of boots still needed; SIZE_MAX: beyond BOOTS_CAP */
};

/* All contrasts of one report at once: they share its 5 % of false alarms */
int judge(struct contrast *c, size_t n, double threshold);
/* Pairs of boots from which one of m tested cells can be significant at all */
size_t judge_boots(size_t m);

enum aa_state { AA_PASSED, AA_FAILED, AA_UNDECIDABLE };
extern const char *const aa_name[];

/* A side against itself */
struct aa {
	size_t pairs, cells;
	size_t out; /* cells that differ, each at 99 % and by the threshold */
	double p; /* of such evidence, by joint flips of the pairs */
	enum aa_state state;
};

/*
 * cell[i][boot] is a median, NaN where there is none. halves: the first boots
 * against the last ones; else neighbours.
 */
int aa_check(struct aa *aa, const double *const *cell, size_t cells,
	     size_t boots, bool halves, double threshold);
/* Boots of a side from which aa_check() can fail */
size_t aa_boots(void);

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
	size_t n; /* samples */
	double *value; /* of all blocks, or of the open one: see cells.medians */
	size_t held, room;
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
	bool medians; /* no value is kept beyond its cell's open block */
};

int cells_read(struct cells *cells, const struct run *run);
/* Blocks with their medians, but no values */
int cells_read_medians(struct cells *cells, const struct run *run);
/* The cell of a row whose first columns are the keys; made if it is new */
int cells_row(struct cells *cells, const struct csv *csv, struct cell **cell);
/* A further block of cell; NULL: out of memory */
struct block *cell_block(struct cell *cell, uint64_t boot, uint64_t block);
void cells_sort(struct cells *cells);
void cells_free(struct cells *cells);
/* Of the percent subtracted, against the cell's median */
double cell_overhead_pct(const struct cell *cell, double median);
/* The medians of its blocks */
int cell_replicates(const struct cell *cell, struct replicates *r);
int compare_keys(const char *const *x, const char *const *y);
int compare_blocks(const void *a, const void *b);
bool is_baseline(const char *method);
/* Whether its user gets the bytes by a system call that copies them */
bool is_copying(const char *method);
/* A comparison leaves out what is no measurement, and metrics of percentiles alone */
bool cell_is_compared(const char *const *key);
/* More of it is better */
bool cell_is_rate(const char *const *key);
/* Bytes copied by string instructions where these are counted per iteration */
bool cell_is_emulated_copy(const char *const *key);

/* flags.c: what checks.csv says about a cell */
int flags_read(struct cells *cells, const struct run *run);
void flags_print(FILE *f, const struct cells *cells, uint64_t flags,
		 const struct estimate *est, double overhead_pct,
		 bool incomplete);

/* Does a flag say that the figure, not its quality, is wrong? */
bool cell_is_wrong(const char *flags);

/* boots.c: a run by cell and boot */
struct boot_value {
	uint64_t boot;
	double median; /* of the medians of its blocks */
};

struct boot_cell {
	const char *key[KEYS];
	char *text; /* that the keys point into */
	uint64_t size;
	struct boot_value *boot; /* ascending */
	size_t boots;
	char *flags; /* as in summary.csv */
};

struct boot_cells {
	struct boot_cell *cell; /* in the order of compare_keys() */
	size_t n, room;
};

/* From samples.csv, or without it from boots.csv and summary.csv's flags */
int boots_read(struct boot_cells *cells, const struct run *run);
void boots_free(struct boot_cells *cells);

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
	uint64_t boots, blocks, samples;
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
bool selection_matches(const struct selection *sel, const char *const *key);
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
/* What to multiply a figure with for people, and the unit that it then has */
double scale_unit(double value, const char **unit);
const char *format_size(uint64_t bytes, char *buf, size_t size);
int parse_size(const char *text, uint64_t *bytes);
/* "1.23 ms [1.20, 1.26]" */
const char *format_estimate(const struct estimate *est, const char *unit,
			    char *buf, size_t size);
/* Text from a file, harmless in a Markdown table and on a terminal */
void print_text(const char *text, bool markdown);

/* An option's value by its place in names; names them all if it is none */
int parse_name(struct argp_state *state, const char *option,
	       const char *const *names, const char *arg);
/* One run directory as the only argument */
int parse_run(char *arg, struct argp_state *state, const char **dir);

/* matrix.c: 6.12 of 6.12.43-amd64; 7.3-rc1. Freed by the caller */
char *short_name(const char *release);

/* capability.c: a run that has nothing but this needs no samples */
bool has_capability(const struct run *run);

/* The subcommands */
int cmd_boots(int argc, char **argv);
int cmd_capability(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_matrix(int argc, char **argv);
int cmd_summarize(int argc, char **argv);
int cmd_series(int argc, char **argv);
int cmd_table(int argc, char **argv);
int cmd_choose(int argc, char **argv);
int cmd_checks(int argc, char **argv);
int cmd_compare(int argc, char **argv);
int cmd_env(int argc, char **argv);
int cmd_hyperfine(int argc, char **argv);
int cmd_join(int argc, char **argv);

#endif /* K2U_STAT_H */

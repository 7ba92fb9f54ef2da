// SPDX-License-Identifier: GPL-2.0
/*
 * matrix: a campaign, one run per kernel. Each cell of a kernel is judged
 * against the kernel before it that has the cell, all steps of the campaign
 * being one family; what is said of a step is verdict.c's.
 */
#include <argp.h>
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "matrix.h"

#define STEPS 10 /* shown by --steps alone */

/* ---- the kernels ---- */

/* 6.12 of 6.12.117+deb13-cloud-amd64, 7.3-rc2 of 7.3-rc2-amd64 and of 7.3~rc2 */
char *short_name(const char *release)
{
	size_t major = strspn(release, "0123456789"), len = major, rc;
	char *name;

	if (release[major] == '.')
		len += 1 + strspn(release + major + 1, "0123456789");
	if (!major || len == major)
		return strdup(release);
	if (asprintf(&name, "%.*s", (int)len, release) < 0)
		return NULL;
	if ((release[len] == '-' || release[len] == '~') &&
	    !strncmp(release + len + 1, "rc", 2)) {
		rc = strspn(release + len + 3, "0123456789");
		free(name);
		if (asprintf(&name, "%.*s-rc%.*s", (int)len, release, (int)rc,
			     release + len + 3) < 0)
			return NULL;
	}
	return name;
}

static int compare_kernels(const void *a, const void *b)
{
	const struct kernel *x = a, *y = b;

	return strverscmp(x->release, y->release);
}

/* In order; names that two would have become the releases */
int matrix_sort(struct matrix *m)
{
	struct kernel *k = m->kernel;
	size_t i, j;

	if (!m->kernels)
		return 0;
	qsort(k, m->kernels, sizeof(*k), compare_kernels);
	for (i = 0; i < m->kernels; i++) {
		k[i].name = short_name(k[i].release);
		if (!k[i].name)
			return out_of_memory();
	}
	for (i = 0; i < m->kernels; i = j) {
		for (j = i + 1; j < m->kernels && !strcmp(k[j].name, k[i].name);
		     j++)
			;
		if (j == i + 1)
			continue;
		for (; i < j; i++) {
			free(k[i].name);
			k[i].name = strdup(k[i].release);
			if (!k[i].name)
				return out_of_memory();
		}
	}
	return 0;
}

struct kernel *matrix_add_kernel(struct matrix *m, char *release)
{
	struct kernel *k;

	k = grow(m->kernel, m->kernels, &m->kernel_room, sizeof(*k));
	if (!k || !release) {
		out_of_memory();
		free(release);
		m->kernel = k ?: m->kernel;
		return NULL;
	}
	m->kernel = k;
	k += m->kernels++;
	memset(k, 0, sizeof(*k));
	k->release = release;
	return k;
}

static int add_gap(struct matrix *m, const char *kernel, const char *reason)
{
	struct gap *gap;

	gap = grow(m->gap, m->gaps, &m->gap_room, sizeof(*gap));
	if (!gap)
		return out_of_memory();
	m->gap = gap;
	gap += m->gaps++;
	gap->kernel = strdup(kernel);
	gap->reason = strdup(reason);
	return gap->kernel && gap->reason ? 0 : out_of_memory();
}

static int read_gaps(struct matrix *m, const char *dir)
{
	static const char *const columns[] = { "kernel", "reason", NULL };
	struct run at = { .dir = dir };
	struct csv *csv;
	char *path;
	int ret = 0;

	csv = malloc(sizeof(*csv));
	path = run_path(&at, "gaps.csv");
	if (!csv || !path)
		ret = out_of_memory();
	else if (is_there(path))
		ret = csv_open(csv, path, false, columns) ?: 1;
	if (ret > 0) {
		while ((ret = csv_next(csv)) > 0) {
			ret = add_gap(m, csv_str(csv, 0), csv_str(csv, 1));
			if (ret)
				break;
		}
		csv_close(csv);
	}
	free(path);
	free(csv);
	return ret;
}

/* ---- runs ---- */

static int compare_u64(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The numbers of a kernel's boots: of all of its cells together */
static int number_boots(struct kernel *k)
{
	const struct boot_cell *c;
	size_t room = 0, i;
	uint64_t *p;

	for (c = k->cells.cell; c < k->cells.cell + k->cells.n; c++) {
		for (i = 0; i < c->boots; i++) {
			/* Most cells have them all */
			if (i < k->boots && k->number[i] == c->boot[i].boot)
				continue;
			if (k->boots &&
			    bsearch(&c->boot[i].boot, k->number, k->boots,
				    sizeof(*p), compare_u64))
				continue;
			p = grow(k->number, k->boots, &room, sizeof(*p));
			if (!p)
				return out_of_memory();
			k->number = p;
			p[k->boots++] = c->boot[i].boot;
			qsort(p, k->boots, sizeof(*p), compare_u64);
		}
	}
	return 0;
}

static int add_run(struct matrix *m, const char *dir)
{
	struct kernel *k;
	struct run run;
	char *release;
	int ret;

	ret = run_open(&run, dir);
	if (ret)
		return ret;
	release = run_env_text(&run, "kernel.release");
	if (!release || !*release) {
		say("%s: env.json does not say which kernel: not one of a campaign",
		    dir);
		ret = -EINVAL;
	} else if (!run.complete) {
		ret = add_gap(m, release, "its run did not end");
		if (!ret)
			say("%s: note: incomplete run: left out", dir);
	} else {
		k = matrix_add_kernel(m, release);
		if (!k) {
			run_close(&run);
			return -ENOMEM;
		}
		k->dir = dir;
		k->run = run;
		return boots_read(&k->cells, &run) ?: number_boots(k);
	}
	free(release);
	run_close(&run);
	return ret;
}

/* Steps of something else than the kernel would be read as the kernel's */
static int check_runs(const struct matrix *m)
{
	static const char *const same[] = { "venue", "time_unit",
					    "memory.page_size", "quick" };
	const struct kernel *k = m->kernel;
	char *a, *b;
	size_t i, j;
	int ret = 0;

	if (!m->kernels) {
		say("no complete run of a kernel");
		return -ENODATA;
	}
	for (i = 1; i < m->kernels; i++) {
		if (!strcmp(k[i].release, k[i - 1].release)) {
			say("%s and %s are both of kernel %s: a campaign has one run per kernel",
			    k[i - 1].dir, k[i].dir, k[i].release);
			return -EINVAL;
		}
		for (j = 0; !ret && j < ARRAY_SIZE(same); j++) {
			a = run_env_text(&k[0].run, same[j]);
			b = run_env_text(&k[i].run, same[j]);
			if (!a || !b) {
				ret = out_of_memory();
			} else if (strcmp(a, b)) {
				say("%s and %s must not be compared: %s: %s there, %s here",
				    k[0].dir, k[i].dir, same[j], a, b);
				ret = -EINVAL;
			}
			free(a);
			free(b);
		}
	}
	return ret;
}

/* ---- cells across kernels ---- */

struct series *matrix_add_series(struct matrix *m, const char *const *key,
				 uint64_t size)
{
	struct series *s;

	s = grow(m->series, m->n, &m->room, sizeof(*s));
	if (!s) {
		out_of_memory();
		return NULL;
	}
	m->series = s;
	s += m->n++;
	memcpy(s->key, key, sizeof(s->key));
	s->size = size;
	s->entry = calloc(m->kernels, sizeof(*s->entry));
	if (!s->entry)
		out_of_memory();
	return s->entry ? s : NULL;
}

static int fill_entry(struct entry *e, const struct boot_cell *cell)
{
	double *v = calloc(cell->boots + 1, sizeof(*v));
	size_t i;

	e->flags = strdup(cell->flags);
	if (!v || !e->flags) {
		free(v);
		return out_of_memory();
	}
	for (i = 0; i < cell->boots; i++)
		v[i] = cell->boot[i].median;
	e->est = estimate_median(v, cell->boots);
	free(v);
	e->there = true;
	e->boots = cell->boots;
	e->ratio = e->low = e->high = e->p_holm = NAN;
	e->verdict = VERDICTS;
	return 0;
}

/* The kernels' cells are in one order: what is least among their next is next */
static int merge_cells(struct matrix *m)
{
	size_t *at = calloc(m->kernels, sizeof(*at)), k;
	const struct boot_cell *c, *least;
	struct series *s;
	int ret = 0;

	if (!at)
		return out_of_memory();
	for (;;) {
		for (least = NULL, k = 0; k < m->kernels; k++) {
			if (at[k] == m->kernel[k].cells.n)
				continue;
			c = &m->kernel[k].cells.cell[at[k]];
			if (!least || compare_keys(c->key, least->key) < 0)
				least = c;
		}
		if (!least)
			break;
		s = cell_is_compared(least->key) ?
			    matrix_add_series(m, least->key, least->size) :
			    NULL;
		if (!s && cell_is_compared(least->key)) {
			ret = -ENOMEM;
			break;
		}
		for (k = 0; k < m->kernels; k++) {
			c = &m->kernel[k].cells.cell[at[k]];
			if (at[k] == m->kernel[k].cells.n ||
			    (c != least && compare_keys(c->key, least->key)))
				continue;
			/* least itself is one of them: passed by at the end */
			if (s)
				ret = ret ?: fill_entry(&s->entry[k], c);
			at[k]++;
		}
	}
	free(at);
	return ret;
}

static const struct boot_cell *find_cell(const struct kernel *k,
					 const char *const *key)
{
	size_t low = 0, high = k->cells.n, mid;
	int d;

	while (low < high) {
		mid = (low + high) / 2;
		d = compare_keys(k->cells.cell[mid].key, key);
		if (!d)
			return &k->cells.cell[mid];
		if (d < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* By place among the kernel's boots, NaN where the cell has none */
static void boot_values(const struct kernel *k, const struct boot_cell *c,
			double *v)
{
	size_t i, j = 0;

	for (i = 0; i < k->boots; i++) {
		v[i] = NAN;
		if (c && j < c->boots && c->boot[j].boot == k->number[i])
			v[i] = c->boot[j++].median;
	}
}

/* The i-th boot of a kernel is paired with the i-th of the one before */
static int add_contrast(struct matrix *m, struct series *s, size_t before,
			size_t now)
{
	const struct kernel *a = &m->kernel[before], *b = &m->kernel[now];
	struct contrast *c = &m->contrast[m->contrasts];
	struct entry *e = &s->entry[now];
	size_t i;

	e->pair[0] = calloc(a->boots + 1, sizeof(double));
	e->pair[1] = calloc(b->boots + 1, sizeof(double));
	if (!e->pair[0] || !e->pair[1])
		return out_of_memory();
	boot_values(a, find_cell(a, s->key), e->pair[0]);
	boot_values(b, find_cell(b, s->key), e->pair[1]);
	for (i = 0; i < a->boots && i < b->boots; i++) {
		if (isnan(e->pair[0][i]) || isnan(e->pair[1][i]))
			continue;
		e->pair[0][c->n] = e->pair[0][i];
		e->pair[1][c->n++] = e->pair[1][i];
	}
	c->base = e->pair[0];
	c->new_ = e->pair[1];
	c->more_is_better = cell_is_rate(s->key);
	c->count = !strcmp(s->key[UNIT], "faults");
	c->withheld = cell_is_wrong(s->entry[before].flags) ||
		      cell_is_wrong(e->flags);
	e->previous = before + 1;
	e->contrast = ++m->contrasts;
	return 0;
}

static int flag_copy(const struct series *s, struct entry *e)
{
	char *flags;

	if (!cell_is_emulated_copy(s->key))
		return 0;
	if (asprintf(&flags, "%s%semulated-copy", e->flags,
		     *e->flags ? ";" : "") < 0)
		return out_of_memory();
	free(e->flags);
	e->flags = flags;
	return 0;
}

/* Boots of several kernels measured by turns: their start times change hands often */
static bool is_interleaved(const struct matrix *m)
{
	const char *last = NULL, *least, *text;
	size_t k, i, at = 0, from = 0, changes = 0, all = 0;
	json_t *boots, *boot;

	if (!strcmp(m->venue, "icount")) /* nor does its clock know the time */
		return true;
	for (k = 0; k < m->kernels; k++)
		all += m->kernel[k].boots;
	for (;; last = least, from = at) {
		least = NULL;
		for (k = 0; k < m->kernels; k++) {
			boots = run_env(&m->kernel[k].run, "boots");
			json_array_foreach(boots, i, boot)
			{
				text = json_string_value(
					json_object_get(boot, "started"));
				if (!text || (last && strcmp(text, last) <= 0))
					continue;
				if (!least || strcmp(text, least) < 0) {
					least = text;
					at = k;
				}
			}
		}
		if (!least)
			break;
		changes += last && at != from;
	}
	return changes > 1 && changes >= all / 2;
}

static int check_aa(struct matrix *m, struct kernel *k, size_t at, bool halves)
{
	const double **cell = calloc(m->n + 1, sizeof(*cell));
	double *room = calloc(m->n * k->boots + 1, sizeof(*room));
	const struct entry *e, *next;
	size_t i, j, n = 0;
	int ret = -ENOMEM;

	if (!cell || !room) {
		out_of_memory();
		goto out;
	}
	for (i = 0; i < m->n; i++) {
		e = &m->series[i].entry[at];
		if (!e->there)
			continue;
		/* An exact count and a wrong figure have no verdict by chance */
		for (next = NULL, j = at + 1; j < m->kernels && !next; j++)
			if (m->series[i].entry[j].there)
				next = &m->series[i].entry[j];
		if ((e->contrast && (m->contrast[e->contrast - 1].exact ||
				     m->contrast[e->contrast - 1].withheld)) ||
		    (next && next->contrast &&
		     (m->contrast[next->contrast - 1].exact ||
		      m->contrast[next->contrast - 1].withheld)))
			continue;
		boot_values(k, find_cell(k, m->series[i].key),
			    room + n * k->boots);
		cell[n] = room + n * k->boots;
		n++;
	}
	ret = aa_check(&k->aa, cell, n, k->boots, halves, m->threshold);
out:
	free(cell);
	free(room);
	return ret;
}

static void take_verdict(struct matrix *m, struct series *s, struct entry *e)
{
	const struct contrast *c = &m->contrast[e->contrast - 1];
	const struct entry *first = s->entry;

	while (!first->there)
		first++;
	e->first = e->est.median / first->est.median;
	if (!e->contrast)
		return;
	e->ratio = c->ratio;
	e->low = c->low;
	e->high = c->high;
	e->p_holm = c->p_holm;
	e->verdict = c->verdict;
	/* A kernel that differs from itself differs from nothing else */
	if (m->kernel[e->previous - 1].aa.state == AA_FAILED ||
	    m->kernel[e - s->entry].aa.state == AA_FAILED)
		e->verdict = WITHHELD;
	m->verdicts[e->verdict]++;
}

static int judge_steps(struct matrix *m)
{
	struct series *s;
	size_t k, before;
	bool halves;
	int ret = 0;

	m->contrast = calloc(m->n * m->kernels + 1, sizeof(*m->contrast));
	if (!m->contrast)
		return out_of_memory();
	for (s = m->series; s < m->series + m->n; s++) {
		for (before = m->kernels, k = 0; !ret && k < m->kernels; k++) {
			if (!s->entry[k].there)
				continue;
			if (before < m->kernels)
				ret = add_contrast(m, s, before, k);
			ret = ret ?: flag_copy(s, &s->entry[k]);
			before = k;
		}
	}
	ret = ret ?: judge(m->contrast, m->contrasts, m->threshold);
	halves = !is_interleaved(m);
	for (k = 0; !ret && k < m->kernels; k++)
		ret = check_aa(m, &m->kernel[k], k, halves);
	for (s = m->series; !ret && s < m->series + m->n; s++)
		for (k = 0; k < m->kernels; k++)
			if (s->entry[k].there)
				take_verdict(m, s, &s->entry[k]);
	return ret;
}

static int compute(struct matrix *m, char **dir, size_t dirs)
{
	size_t i;
	int ret = 0;

	for (i = 0; !ret && i < dirs; i++)
		ret = add_run(m, dir[i]);
	ret = ret ?: matrix_sort(m) ?: check_runs(m);
	if (ret)
		return ret;
	m->venue = run_env_text(&m->kernel[0].run, "venue");
	if (!m->venue)
		return out_of_memory();
	return merge_cells(m) ?: judge_steps(m);
}

static void matrix_free(struct matrix *m)
{
	struct series *s;
	struct kernel *k;
	size_t i;

	for (s = m->series; s < m->series + m->n; s++) {
		for (i = 0; s->entry && i < m->kernels; i++) {
			free(s->entry[i].flags);
			free(s->entry[i].pair[0]);
			free(s->entry[i].pair[1]);
		}
		free(s->entry);
	}
	free(m->series);
	for (k = m->kernel; k < m->kernel + m->kernels; k++) {
		free(k->name);
		free(k->release);
		free(k->number);
		boots_free(&k->cells);
		run_close(&k->run);
	}
	free(m->kernel);
	for (i = 0; i < m->gaps; i++) {
		free(m->gap[i].kernel);
		free(m->gap[i].reason);
	}
	free(m->gap);
	free(m->contrast);
	free(m->venue);
	cells_free(&m->cells);
}

/* ---- the command ---- */

static const char *const formats[] = { "text", "md", "csv", "dat", NULL };
static const char *const prints[] = { "kernels", "gaps",  "reasons", "titles",
				      "sizes",	 "boots", NULL };

struct args {
	char **dir;
	size_t dirs, room;
	char *campaign; /* that the runs are in; NULL: they were listed */
	struct selection sel;
	enum matrix_format format;
	int fact; /* enum matrix_fact; -1: a table */
	size_t steps;
	bool saved;
	double threshold;
};

static bool has_file(const char *dir, const char *name)
{
	struct run at = { .dir = dir };
	char *path = run_path(&at, name);
	bool there = path && is_there(path);

	free(path);
	return there;
}

static int add_dir(struct args *args, char *dir)
{
	char **p = grow(args->dir, args->dirs, &args->room, sizeof(*p));

	if (!p || !dir) {
		free(dir);
		return out_of_memory();
	}
	args->dir = p;
	p[args->dirs++] = dir;
	return 0;
}

/* The only argument may hold the runs: one per subdirectory */
static int find_runs(struct args *args)
{
	struct dirent **entry;
	struct stat st;
	int n, i, ret = 0;
	char *path;

	if (args->dirs != 1 || has_file(args->dir[0], "env.json"))
		return 0;
	args->campaign = args->dir[0];
	args->dirs = 0;
	if (args->saved)
		return 0;
	n = scandir(args->campaign, &entry, NULL, versionsort);
	if (n < 0) {
		say("%s: %s", args->campaign, strerror(errno));
		return -errno;
	}
	for (i = 0; i < n; i++) {
		if (!ret && *entry[i]->d_name != '.') {
			if (asprintf(&path, "%s/%s", args->campaign,
				     entry[i]->d_name) < 0)
				path = NULL;
			if (path && (stat(path, &st) || !S_ISDIR(st.st_mode) ||
				     !has_file(path, "env.json")))
				free(path);
			else
				ret = add_dir(args, path);
		}
		free(entry[i]);
	}
	free(entry);
	return ret;
}

enum { OPT_FORMAT = 256, OPT_STEPS, OPT_PRINT, OPT_SAVED, OPT_THRESHOLD };

static error_t parse(int opt, char *arg, struct argp_state *state)
{
	struct args *args = state->input;
	char *end;

	switch (opt) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &args->sel;
		return 0;
	case OPT_FORMAT:
		args->format = parse_name(state, "--format", formats, arg);
		return 0;
	case OPT_STEPS:
		args->steps = arg ? strtoul(arg, &end, 10) : STEPS;
		if (arg && (*end || *arg == '-' || !args->steps))
			argp_error(
				state,
				"--steps: expected a number above 0, got '%s'",
				arg);
		return 0;
	case OPT_PRINT:
		args->fact = parse_name(state, "--print", prints, arg);
		return 0;
	case OPT_SAVED:
		args->saved = true;
		return 0;
	case OPT_THRESHOLD:
		if (parse_f64(arg, &args->threshold) || args->threshold < 0 ||
		    args->threshold > 100)
			argp_error(
				state,
				"--threshold: percent from 0 to 100, not '%s'",
				arg);
		args->threshold /= 100;
		return 0;
	case ARGP_KEY_ARG:
		return add_dir(args, strdup(arg)) ? ENOMEM : 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(
			state,
			"which campaign? Give the directory that holds a run per kernel");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp_option options[] = {
	{ "format", OPT_FORMAT, "NAME", 0,
	  "text (default), md, csv, or dat (for gnuplot)", 2 },
	{ "steps", OPT_STEPS, "N", OPTION_ARG_OPTIONAL,
	  "Only the N largest steps (default 10)", 2 },
	{ "print", OPT_PRINT, "WHAT", 0,
	  "Not a table, but for gnuplot the kernels, the gaps (reasons: as Markdown, with why), or of the chosen cells the titles, "
	  "the sizes, the number of boots",
	  2 },
	{ "saved", OPT_SAVED, NULL, 0,
	  "From DIR/matrix.csv as it is, without reading the runs", 2 },
	{ "threshold", OPT_THRESHOLD, "PCT", 0,
	  "The smallest step that is called, in percent (default 0.5)", 2 },
	{}
};

static int print(const struct matrix *m, const struct args *args)
{
	if (args->fact >= 0) {
		matrix_print_fact(m, &args->sel, args->fact);
		return 0;
	}
	if (args->steps)
		return matrix_print_steps(m, &args->sel, args->format,
					  args->steps);
	switch (args->format) {
	case M_CSV:
		matrix_write(stdout, m, &args->sel);
		return 0;
	case M_DAT:
		matrix_print_dat(m, &args->sel);
		return 0;
	default:
		return matrix_print_table(m, &args->sel, args->format == M_MD);
	}
}

int cmd_matrix(int argc, char **argv)
{
	static const struct argp_child children[] = {
		{ &selection_argp, 0, "Which cells:", 0 }, {}
	};
	static const struct argp argp = {
		.children = children,
		.options = options,
		.parser = parse,
		.args_doc = "DIR\nRUN...",
		.doc = "Compare the kernels of a campaign, each with the one before it. DIR holds a run "
		       "per kernel, and gets matrix.csv; or the runs are given.\v"
		       "Verdicts are as those of compare; all steps of the campaign are one family. "
		       "DIR/gaps.csv (kernel,reason) names the kernels that could not be measured.",
	};
	struct args args = { .threshold = THRESHOLD, .fact = -1 };
	struct matrix m = {};
	size_t i;
	int ret;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	m.threshold = args.threshold;
	ret = find_runs(&args);
	if (!ret && args.saved && !args.campaign) {
		say("--saved needs the directory that holds matrix.csv");
		ret = -EINVAL;
	}
	if (!ret && args.campaign)
		ret = read_gaps(&m, args.campaign);
	if (!ret && args.saved)
		ret = matrix_load(&m, args.campaign);
	else if (!ret)
		ret = compute(&m, args.dir, args.dirs);
	if (!ret && args.campaign && !args.saved)
		ret = matrix_save(&m, args.campaign);
	if (!ret)
		ret = print(&m, &args);
	matrix_free(&m);
	for (i = 0; i < args.dirs; i++)
		free(args.dir[i]);
	free(args.dir);
	free(args.campaign);
	selection_free(&args.sel);
	return ret;
}

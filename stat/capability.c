// SPDX-License-Identifier: GPL-2.0
/*
 * capability: what each mapping is and what can be done with it, as a table of
 * properties by method; of several runs, from which kernel on.
 */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capability.h"

const struct property properties[PROPERTIES] = {
#define K2U_CAPABILITY(name, group, access, size, title) \
	{ #name, group, title },
#include "capability.def"
#undef K2U_CAPABILITY
};

enum format { TEXT, MARKDOWN, CSV };
static const char *const formats[] = { "text", "md", "csv", NULL };
static const char *const topics[] = { "is", "io", "mm", NULL };

struct args {
	const char **dir;
	size_t dirs;
	enum format format;
	const char *provider;
	int topic; /* -1: all */
};

/* ---- reading ---- */

enum { R_PROVIDER, R_METHOD, R_BACKING, R_SIZE, R_PROPERTY, R_VALUE, R_DETAIL };
static const char *const row_columns[] = {
	"provider", "method", "backing", "size_bytes",
	"property", "value",  "detail",	 NULL,
};

bool has_capability(const struct run *run)
{
	bool partial, there;
	char *path = run_rows_path(run, "capability.csv", &partial);

	there = path && is_there(path);
	free(path);
	return there;
}

/*
 * A source that only a later run has stands beside the one that had its backing
 * until then.
 */
static size_t place(const struct capability *cap, size_t run,
		    const struct csv *csv)
{
	const struct column *c = cap->column;
	size_t i;

	for (i = run ? cap->columns : 0; i; i--)
		if (!strcmp(c[i - 1].provider, csv_str(csv, R_PROVIDER)) &&
		    !strcmp(c[i - 1].backing, csv_str(csv, R_BACKING)))
			return i;
	return cap->columns;
}

static struct column *find_column(struct capability *cap, size_t run,
				  const struct csv *csv)
{
	struct column *c;
	size_t i;

	for (i = 0; i < cap->columns; i++) {
		c = &cap->column[i];
		if (!strcmp(c->provider, csv_str(csv, R_PROVIDER)) &&
		    !strcmp(c->method, csv_str(csv, R_METHOD)) &&
		    !strcmp(c->backing, csv_str(csv, R_BACKING)))
			return c;
	}
	c = grow(cap->column, cap->columns, &cap->room, sizeof(*c));
	if (!c) {
		out_of_memory();
		return NULL;
	}
	cap->column = c;
	i = place(cap, run, csv);
	c += i;
	memmove(c + 1, c, (cap->columns++ - i) * sizeof(*c));
	*c = (struct column){
		.provider = strdup(csv_str(csv, R_PROVIDER)),
		.method = strdup(csv_str(csv, R_METHOD)),
		.backing = strdup(csv_str(csv, R_BACKING)),
		.answer = calloc(cap->runs * PROPERTIES, sizeof(*c->answer)),
		.there = calloc(cap->runs, sizeof(*c->there)),
	};
	if (c->provider && c->method && c->backing && c->answer && c->there)
		return c;
	out_of_memory();
	return NULL;
}

static int read_row(struct capability *cap, size_t run, const struct csv *csv)
{
	const char *property = csv_str(csv, R_PROPERTY);
	const char *value = csv_str(csv, R_VALUE);
	struct column *c;
	struct answer *a;
	uint64_t size;
	size_t i;
	int ret;

	ret = csv_name(csv, R_PROVIDER)	       ?:
		      csv_name(csv, R_METHOD)  ?:
		      csv_name(csv, R_BACKING) ?:
						 csv_u64(csv, R_SIZE, &size);
	if (ret)
		return ret;
	c = find_column(cap, run, csv);
	if (!c)
		return -ENOMEM;
	if (!*value)
		return csv_error(csv, R_VALUE, "a value");
	for (i = 0; i < PROPERTIES && strcmp(properties[i].name, property); i++)
		;
	if (i < PROPERTIES)
		a = answer_of(c, run, i);
	else if (!strcmp(property, AVAILABLE))
		a = &c->there[run];
	else
		return csv_error(csv, R_PROPERTY,
				 "a property of include/capability.def");
	/* A further boot: the first answer counts */
	if (a->value) {
		if (strcmp(a->value, value) && !a->differs)
			say("%s:%lu: note: %s of %s/%s/%s: %s, but in an earlier boot %s",
			    csv->path, csv->line, property, c->provider,
			    c->method, c->backing, value, a->value);
		a->differs |= strcmp(a->value, value);
		return 0;
	}
	a->value = harmless(strdup(value));
	a->detail = harmless(strdup(csv_str(csv, R_DETAIL)));
	return a->value && a->detail ? 0 : out_of_memory();
}

static int read_rows(struct capability *cap, size_t at, const struct run *run)
{
	struct csv *csv = malloc(sizeof(*csv));
	bool partial;
	char *path = run_rows_path(run, "capability.csv", &partial);
	int ret;

	if (!csv || !path) {
		ret = out_of_memory();
		goto out;
	}
	if (!is_there(path)) {
		say("%s: no capability.csv: not measured (make bench MEASURES=capability)",
		    run->dir);
		ret = -ENOENT;
		goto out;
	}
	ret = csv_open_part(csv, path, partial, row_columns,
			    run_rows_bytes(run, "capability.csv", partial));
	if (ret)
		goto out;
	while ((ret = csv_next(csv)) > 0) {
		ret = read_row(cap, at, csv);
		if (ret)
			break;
	}
	csv_close(csv);
out:
	free(path);
	free(csv);
	return ret;
}

/* "6.12", or "6.12 arm64" */
static int name_kernel(struct kernel *k, const struct run *run)
{
	static const char *const arches[] = { "arm64", "riscv64", NULL };
	size_t i;
	char *name;

	k->release = run_env_text(run, "kernel.release");
	if (!k->release)
		return out_of_memory();
	if (!*k->release) {
		say("%s: env.json does not say which kernel", run->dir);
		return -EINVAL;
	}
	name = short_name(k->release);
	for (i = 0; name && arches[i] && !strstr(k->release, arches[i]); i++)
		;
	if (name && arches[i] &&
	    asprintf(&k->name, "%s %s", name, arches[i]) >= 0)
		free(name);
	else
		k->name = name;
	return k->name ? 0 : out_of_memory();
}

static int compare_kernels(const void *a, const void *b)
{
	const struct kernel *x = a, *y = b;

	return strverscmp(x->release, y->release);
}

static int read_runs(struct capability *cap, const struct args *args)
{
	struct run run;
	size_t i;
	int ret = 0, pass;

	cap->run = calloc(args->dirs, sizeof(*cap->run));
	if (!cap->run)
		return out_of_memory();
	cap->runs = args->dirs;
	for (i = 0; i < cap->runs; i++)
		cap->run[i].dir = args->dir[i];
	/* Names first: they order the runs */
	for (pass = 0; pass < 2 && !ret; pass++) {
		for (i = 0; i < cap->runs && !ret; i++) {
			ret = run_open(&run, cap->run[i].dir);
			if (ret)
				return ret;
			ret = pass ? read_rows(cap, i, &run) :
				     name_kernel(&cap->run[i], &run);
			run_close(&run);
		}
		if (!pass && !ret)
			qsort(cap->run, cap->runs, sizeof(*cap->run),
			      compare_kernels);
	}
	return ret;
}

static void capability_free(struct capability *cap)
{
	struct column *c;
	size_t i;

	for (c = cap->column; c < cap->column + cap->columns; c++) {
		for (i = 0; c->answer && i < cap->runs * PROPERTIES; i++) {
			free(c->answer[i].value);
			free(c->answer[i].detail);
		}
		for (i = 0; c->there && i < cap->runs; i++) {
			free(c->there[i].value);
			free(c->there[i].detail);
		}
		free(c->provider);
		free(c->method);
		free(c->backing);
		free(c->answer);
		free(c->there);
	}
	for (i = 0; i < cap->runs; i++) {
		free(cap->run[i].name);
		free(cap->run[i].release);
	}
	for (i = 0; i < cap->notes; i++)
		free(cap->note[i]);
	free(cap->column);
	free(cap->run);
	free(cap->note);
}

/* ---- the command ---- */

enum { OPT_FORMAT = 256, OPT_PROVIDER, OPT_GROUP };

static error_t parse(int opt, char *arg, struct argp_state *state)
{
	struct args *args = state->input;

	switch (opt) {
	case OPT_FORMAT:
		args->format = parse_name(state, "--format", formats, arg);
		return 0;
	case OPT_PROVIDER:
		args->provider = arg;
		return 0;
	case OPT_GROUP:
		args->topic = parse_name(state, "--group", topics, arg);
		return 0;
	case ARGP_KEY_ARGS:
		args->dir = (const char **)state->argv + state->next;
		args->dirs = state->argc - state->next;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(
			state,
			"which runs? Give directories that hold capability.csv");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

int cmd_capability(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "format", OPT_FORMAT, "NAME", 0,
		  "text (default), md or csv (a row per observation)", 0 },
		{ "provider", OPT_PROVIDER, "NAME", 0, "Only of k2u or of tree",
		  0 },
		{ "group", OPT_GROUP, "NAME", 0,
		  "Only: is (what a mapping is), io (its bytes used), mm (memory management)",
		  0 },
		{}
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "RUN...",
		.doc = "Print what was observed of each mapping (measure capability): properties by "
		       "method. Of several RUNs, each of another kernel, a cell says what the oldest "
		       "gave and from which one on that changed.\v"
		       "‡: boots of the run do not agree. n/a: see the note of that number. "
		       "results/SCHEMA.md has the values.",
	};
	struct args args = { .topic = -1 };
	struct capability cap = {};
	int ret;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	ret = read_runs(&cap, &args);
	if (!ret && args.format == CSV)
		capability_csv(&cap);
	else if (!ret)
		ret = capability_tables(&cap, args.provider, args.topic,
					args.format == MARKDOWN);
	capability_free(&cap);
	return ret;
}

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

#include "k2u-stat.h"

#define AVAILABLE "available" /* the property that a source is there at all */
#define NONE "unavailable"
#define SINCE ", since " /* a kernel; such a cell is marked in Markdown */

enum topic { IS, IO, MM, GROUPS };
static const char *const group_name[] = { "is", "io", "mm", NULL };
static const char *const group_title[GROUPS] = {
	[IS] = "what it is",
	[IO] = "its bytes used by the kernel, a device or another process",
	[MM] = "memory management calls on it",
};

static const struct property {
	const char *name;
	enum topic group;
	const char *title;
} properties[] = {
#define K2U_CAPABILITY(name, group, access, size, title) \
	{ #name, group, title },
#include "capability.def"
#undef K2U_CAPABILITY
};

#define PROPERTIES ARRAY_SIZE(properties)

/* Of one run; NULL: not observed */
struct answer {
	char *value, *detail;
	bool differs; /* from boot to boot */
};

/* A source, such as k2u/fault/vmalloc; answers by run and property */
struct column {
	char *provider, *method, *backing;
	struct answer *answer;
	struct answer *there; /* by run: available */
};

struct kernel {
	const char *dir;
	char *name; /* such as 6.12 or 6.12 arm64 */
	char *release;
};

struct capability {
	struct kernel *run;
	size_t runs;
	struct column *column;
	size_t columns, room;
	/* Footnotes: why something is unavailable */
	char **note;
	size_t notes, note_room;
};

enum format { TEXT, MARKDOWN, CSV };
static const char *const formats[] = { "text", "md", "csv", NULL };

struct args {
	const char **dir;
	size_t dirs;
	enum format format;
	const char *provider;
	int group; /* -1: all */
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

static struct answer *answer_of(const struct column *c, size_t run,
				size_t property)
{
	return &c->answer[run * PROPERTIES + property];
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

/* ---- cells ---- */

/* Number of the footnote that says this; 0: out of memory */
static size_t note(struct capability *cap, const char *text)
{
	char **p;
	size_t i;

	for (i = 0; i < cap->notes; i++)
		if (!strcmp(cap->note[i], text))
			return i + 1;
	p = grow(cap->note, cap->notes, &cap->note_room, sizeof(*p));
	if (!p)
		return 0;
	cap->note = p;
	p[cap->notes] = strdup(text);
	return p[cap->notes] ? ++cap->notes : 0;
}

static void print_answer(struct capability *cap, FILE *f,
			 const struct answer *a)
{
	if (strcmp(a->value, NONE))
		fputs(a->value, f);
	else
		fprintf(f, "n/a (%zu)", note(cap, a->detail));
	if (a->differs)
		fputs(" ‡", f);
}

static bool same_answer(const struct answer *a, const struct answer *b)
{
	return !strcmp(a->value, b->value) && a->differs == b->differs &&
	       (strcmp(a->value, NONE) || !strcmp(a->detail, b->detail));
}

/* "EINVAL, since 6.1 yes": by kernel, oldest first. Freed by the caller */
static char *cell(struct capability *cap, const struct column *c,
		  size_t property)
{
	const struct answer *a, *last = NULL;
	char *text = NULL;
	size_t len, i;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	for (i = 0; i < cap->runs; i++) {
		a = answer_of(c, i, property);
		if (!a->value || (last && same_answer(last, a)))
			continue;
		if (last)
			fprintf(f, SINCE "%s ", cap->run[i].name);
		print_answer(cap, f, a);
		last = a;
	}
	if (!last)
		fputs("–", f);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}

/* Whether a property was asked of it at all, in any run */
static bool asked(const struct capability *cap, const struct column *c,
		  enum topic group)
{
	size_t i, j;

	for (i = 0; i < cap->runs; i++)
		for (j = 0; j < PROPERTIES; j++)
			if (properties[j].group == group &&
			    answer_of(c, i, j)->value)
				return true;
	return false;
}

/* Kernels that have the source, if not all do: " (5.10, 6.1)" */
static void print_where(const struct capability *cap, const struct column *c,
			FILE *f)
{
	size_t i, n = 0, here = 0;

	for (i = 0; i < cap->runs; i++)
		n += c->there[i].value && strcmp(c->there[i].value, NONE);
	if (n == cap->runs)
		return;
	for (i = 0; i < cap->runs; i++)
		if (c->there[i].value && strcmp(c->there[i].value, NONE))
			fprintf(f, "%s%s", here++ ? ", " : " (",
				cap->run[i].name);
	if (here)
		fputc(')', f);
}

/* ---- tables ---- */

/* Column 0 has the titles; line 0 the methods. Columns that agree are one */
struct sheet {
	char **text; /* line by line */
	size_t lines, columns, wide;
};

static char **at(const struct sheet *s, size_t line, size_t column)
{
	return &s->text[line * s->wide + column];
}

static bool same_column(const struct sheet *s, size_t a, size_t b)
{
	size_t i;

	for (i = 1; i < s->lines; i++)
		if (strcmp(*at(s, i, a), *at(s, i, b)))
			return false;
	return true;
}

static void drop_column(struct sheet *s, size_t column)
{
	size_t i, j;

	for (i = 0; i < s->lines; i++) {
		free(*at(s, i, column));
		for (j = column; j + 1 < s->columns; j++)
			*at(s, i, j) = *at(s, i, j + 1);
		*at(s, i, s->columns - 1) = NULL;
	}
	s->columns--;
}

/* Backings of one method behave alike more often than not */
static int merge_columns(struct sheet *s, const struct column **of)
{
	size_t i = 2, j;
	char *both;

	while (i < s->columns) {
		if (strcmp(of[i]->method, of[i - 1]->method) ||
		    !same_column(s, i, i - 1)) {
			i++;
			continue;
		}
		if (asprintf(&both, "%s, %s", *at(s, 0, i - 1),
			     strchr(*at(s, 0, i), ' ') + 1) < 0)
			return out_of_memory();
		free(*at(s, 0, i - 1));
		*at(s, 0, i - 1) = both;
		drop_column(s, i);
		for (j = i; j < s->columns; j++)
			of[j] = of[j + 1];
	}
	return 0;
}

static char *head(const struct capability *cap, const struct column *c)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	fprintf(f, "%s: %s", c->method, c->backing);
	print_where(cap, c, f);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}

/* Fills one line, or says that none of these columns was asked */
static bool line_is_empty(const struct sheet *s, size_t line)
{
	size_t i;

	for (i = 1; i < s->columns; i++)
		if (strcmp(*at(s, line, i), "–"))
			return false;
	return true;
}

static size_t width(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += (*text & 0xc0) != 0x80;
	return n;
}

static void print_sheet(const struct sheet *s, bool markdown)
{
	size_t line, i, wide, w;
	const char *mark;

	for (line = 0; line < s->lines; line++) {
		for (i = 0; i < s->columns; i++) {
			const char *text = *at(s, line, i);

			mark = markdown && line && strstr(text, SINCE) ? "**" :
									 "";
			printf(markdown ? "| " : i ? "  " : "");
			fputs(mark, stdout);
			print_text(text, markdown);
			fputs(mark, stdout);
			for (wide = 0, w = 0; w < s->lines; w++)
				if (width(*at(s, w, i)) > wide)
					wide = width(*at(s, w, i));
			if (i + 1 < s->columns || markdown)
				printf("%*s", (int)(wide - width(text)), "");
			if (markdown)
				putchar(' ');
		}
		puts(markdown ? "|" : "");
		if (!line && markdown) {
			for (i = 0; i < s->columns; i++)
				printf("|---");
			puts("|");
		}
	}
}

static void sheet_free(struct sheet *s)
{
	size_t i;

	for (i = 0; s->text && i < (PROPERTIES + 1) * s->wide; i++)
		free(s->text[i]);
	free(s->text);
}

static int fill(struct capability *cap, struct sheet *s, enum topic group,
		const struct column **of)
{
	size_t i, j;

	*at(s, 0, 0) = strdup("");
	s->lines = 1;
	for (j = 0; j < PROPERTIES; j++) {
		if (properties[j].group != group)
			continue;
		*at(s, s->lines, 0) = strdup(properties[j].title);
		for (i = 1; i < s->columns; i++) {
			*at(s, s->lines, i) = cell(cap, of[i], j);
			if (!*at(s, s->lines, i))
				return out_of_memory();
		}
		s->lines++;
		if (!line_is_empty(s, s->lines - 1))
			continue;
		for (i = 0; i < s->columns; i++) {
			free(*at(s, s->lines - 1, i));
			*at(s, s->lines - 1, i) = NULL;
		}
		s->lines--;
	}
	for (i = 1; i < s->columns; i++)
		*at(s, 0, i) = head(cap, of[i]);
	return 0;
}

/* One group of one provider, of sources that map or of those that copy */
static int print_group(struct capability *cap, const char *provider,
		       enum topic group, bool copies, bool markdown)
{
	const struct column **of = calloc(cap->columns + 2, sizeof(*of));
	struct sheet s = { .columns = 1, .wide = cap->columns + 1 };
	size_t i;
	int ret;

	s.text = calloc((PROPERTIES + 1) * s.wide, sizeof(*s.text));
	if (!of || !s.text) {
		ret = out_of_memory();
		goto out;
	}
	for (i = 0; i < cap->columns; i++) {
		const struct column *c = &cap->column[i];

		/* What maps is asked what it is */
		if (!strcmp(c->provider, provider) && asked(cap, c, group) &&
		    !asked(cap, c, IS) == copies)
			of[s.columns++] = c;
	}
	ret = s.columns > 1 ? fill(cap, &s, group, of) : 0;
	if (ret || s.columns == 1)
		goto out;
	ret = merge_columns(&s, of);
	if (ret)
		goto out;
	printf("%s%s, %s:%s\n\n", markdown ? "*" : "",
	       strcmp(provider, "k2u") ? "What every kernel has (tree)" :
					 "The module",
	       copies ? "files of methods that copy" : group_title[group],
	       markdown ? "*" : "");
	print_sheet(&s, markdown);
	putchar('\n');
out:
	sheet_free(&s);
	free(of);
	return ret;
}

static void print_notes(const struct capability *cap, bool markdown)
{
	const struct column *c;
	const char *reason;
	size_t i;

	for (i = 0; i < cap->notes; i++) {
		printf(markdown ? "- (%zu) unavailable: " :
				  "(%zu) unavailable: ",
		       i + 1);
		print_text(cap->note[i], markdown);
		putchar('\n');
	}
	/* Sources that no kernel has */
	for (c = cap->column; c < cap->column + cap->columns; c++) {
		for (reason = NULL, i = 0; i < cap->runs; i++) {
			if (!c->there[i].value)
				continue;
			if (strcmp(c->there[i].value, NONE))
				break;
			reason = c->there[i].detail;
		}
		if (i < cap->runs || !reason)
			continue;
		printf(markdown ? "- " : "");
		print_text(c->provider, markdown);
		printf(" %s: %s: unavailable: ", c->method, c->backing);
		print_text(reason, markdown);
		putchar('\n');
	}
}

static void print_csv(const struct capability *cap)
{
	const struct column *c;
	const struct answer *a;
	size_t i, j;

	puts("kernel,provider,method,backing,property,value,detail");
	for (i = 0; i < cap->runs; i++) {
		for (c = cap->column; c < cap->column + cap->columns; c++) {
			for (j = 0; j <= PROPERTIES; j++) {
				a = j ? answer_of(c, i, j - 1) : &c->there[i];
				if (a->value)
					printf("%s,%s,%s,%s,%s,%s%s,%s\n",
					       cap->run[i].name, c->provider,
					       c->method, c->backing,
					       j ? properties[j - 1].name :
						   AVAILABLE,
					       a->value, a->differs ? " ‡" : "",
					       a->detail);
			}
		}
	}
}

static int print_tables(struct capability *cap, const struct args *args)
{
	static const char *const providers[] = { "k2u", "tree" };
	bool markdown = args->format == MARKDOWN;
	size_t i;
	int ret = 0, group;

	for (i = 0; i < ARRAY_SIZE(providers) && !ret; i++) {
		if (args->provider && strcmp(args->provider, providers[i]))
			continue;
		for (group = 0; group < GROUPS && !ret; group++)
			if (args->group < 0 || args->group == group)
				ret = print_group(cap, providers[i], group,
						  false, markdown);
		if (!ret && (args->group < 0 || args->group == IO))
			ret = print_group(cap, providers[i], IO, true,
					  markdown);
	}
	if (!ret)
		print_notes(cap, markdown);
	return ret;
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
		args->group = parse_name(state, "--group", group_name, arg);
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
	struct args args = { .group = -1 };
	struct capability cap = {};
	int ret;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	ret = read_runs(&cap, &args);
	if (!ret && args.format == CSV)
		print_csv(&cap);
	else if (!ret)
		ret = print_tables(&cap, &args);
	capability_free(&cap);
	return ret;
}

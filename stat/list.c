// SPDX-License-Identifier: GPL-2.0
/*
 * list: a line per run; boots: the boots that a run has.
 *
 * Neither reads samples: env.json and the number of lines of summary.csv say
 * enough of a thousand runs in a second.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "k2u-stat.h"

#define WIDTH 100 /* of a terminal */

enum format { TEXT, CSV, JSON };

static const char *const formats[] = { "text", "csv", "json", NULL };

enum column {
	NAME,
	VENUE,
	KERNEL,
	BOOTS,
	CELLS,
	STARTED,
	COMPLETE,
	QUICK,
	COLUMNS
};

static const char *const column_name[COLUMNS] = {
	[NAME] = "run",		 [VENUE] = "venue", [KERNEL] = "kernel",
	[BOOTS] = "boots",	 [CELLS] = "cells", [STARTED] = "started",
	[COMPLETE] = "complete", [QUICK] = "quick",
};

/* How wide text shows them at most (of a time the day); the name has what is left */
static const int width_max[COLUMNS] = {
	[VENUE] = 7,	[KERNEL] = 20,	[BOOTS] = 5, [CELLS] = 6,
	[STARTED] = 10, [COMPLETE] = 8, [QUICK] = 5,
};

struct line {
	char *text[COLUMNS];
};

struct list {
	enum format format;
	struct line *line;
	size_t n, room;
	bool any; /* arguments */
	int ret;
};

static bool has(const char *dir, const char *name)
{
	char *path;
	bool there;

	if (asprintf(&path, "%s/%s", dir, name) < 0)
		return false;
	there = is_there(path);
	free(path);
	return there;
}

static bool is_run(const char *dir)
{
	return has(dir, "env.json") || has(dir, "samples.csv") ||
	       has(dir, "samples.csv.partial") || has(dir, "summary.csv");
}

/* Lines behind the header; -1: there is none */
static long count_rows(const struct run *run, const char *name)
{
	char *path = run_path(run, name), buf[65536], *p;
	struct stat st;
	long rows = -1;
	ssize_t got;
	int fd;

	fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
	free(path);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return -1;
	}
	while ((got = read(fd, buf, sizeof(buf))) > 0)
		for (p = buf; (p = memchr(p, '\n', buf + got - p)); p++)
			rows++;
	close(fd);
	return rows;
}

static char *number(long n)
{
	char *text;

	if (n < 0)
		return strdup("");
	return asprintf(&text, "%ld", n) < 0 ? NULL : text;
}

static int add_run(struct list *list, const char *dir)
{
	struct line *line;
	struct run run;
	json_t *quick;
	size_t len;
	int ret, i;

	line = grow(list->line, list->n, &list->room, sizeof(*line));
	if (!line)
		return out_of_memory();
	list->line = line;
	line += list->n++;
	memset(line, 0, sizeof(*line));

	ret = run_open(&run, dir);
	line->text[NAME] = strdup(dir);
	for (len = strlen(dir);
	     line->text[NAME] && len > 1 && line->text[NAME][len - 1] == '/';
	     len--)
		line->text[NAME][len - 1] = '\0';
	line->text[VENUE] = run_env_text(&run, "venue");
	line->text[KERNEL] = run_env_text(&run, "kernel.release");
	line->text[BOOTS] = number(run.env ? (long)run_boots(&run) : -1);
	line->text[CELLS] = number(count_rows(&run, "summary.csv"));
	line->text[STARTED] = run_env_text(&run, "started");
	line->text[COMPLETE] = strdup(ret	   ? "broken" :
				      run.complete ? "yes" :
						     "no");
	quick = run_env(&run, "quick");
	line->text[QUICK] = strdup(!quick	       ? "" :
				   json_is_true(quick) ? "yes" :
							 "no");
	run_close(&run);
	for (i = 0; i < COLUMNS; i++)
		if (!line->text[i])
			return out_of_memory();
	return ret;
}

static int not_hidden(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* dir, or the runs in it down to so many levels; how many are counted in found */
static int add_dir(struct list *list, const char *dir, int levels,
		   unsigned int *found)
{
	struct dirent **entry;
	int n, i, err, ret = 0;
	struct stat st;
	char *path;

	if (is_run(dir)) {
		(*found)++;
		return add_run(list, dir);
	}
	if (!levels)
		return 0;
	n = scandir(dir, &entry, not_hidden, versionsort);
	if (n < 0) {
		say("%s: %s", dir, strerror(errno));
		return -errno;
	}
	for (i = 0; i < n; i++) {
		if (asprintf(&path, "%s%s%s", dir,
			     dir[strlen(dir) - 1] == '/' ? "" : "/",
			     entry[i]->d_name) < 0) {
			ret = out_of_memory();
		} else {
			err = !stat(path, &st) && S_ISDIR(st.st_mode) ?
				      add_dir(list, path, levels - 1, found) :
				      0;
			ret = ret ?: err;
			free(path);
		}
		free(entry[i]);
	}
	free(entry);
	return ret;
}

/* An argument must be a run or hold some */
static int add_argument(struct list *list, const char *dir)
{
	unsigned int found = 0;
	int ret = add_dir(list, *dir ? dir : ".", 2, &found);

	if (!ret && !found) {
		say("%s: no run in it", dir);
		ret = -ENOENT;
	}
	return ret;
}

/* ---- output ---- */

static void print_padded(const char *text, int width, bool right, bool last)
{
	size_t len = strlen(text), cut = len > (size_t)width ? len - width : 0;

	/* Of a path the end tells more, of anything else the beginning */
	if (cut && right)
		printf("%.*s", width, text);
	else if (cut)
		printf("..%s", text + cut + 2);
	else if (last)
		printf("%s", text);
	else
		printf("%-*s", width, text);
	if (!last)
		printf("  ");
}

static void print_list_text(const struct list *list)
{
	int width[COLUMNS], left = WIDTH - 2 * (COLUMNS - 1), i;
	const struct line *l;

	for (l = list->line; l < list->line + list->n; l++)
		harmless(l->text[NAME]);
	for (i = 0; i < COLUMNS; i++) {
		width[i] = strlen(column_name[i]);
		for (l = list->line; l < list->line + list->n; l++)
			if ((int)strlen(l->text[i]) > width[i])
				width[i] = strlen(l->text[i]);
		if (i != NAME && width[i] > width_max[i])
			width[i] = width_max[i];
		left -= i == NAME ? 0 : width[i];
	}
	if (width[NAME] > left)
		width[NAME] = left;
	for (i = 0; i < COLUMNS; i++)
		print_padded(column_name[i], width[i], i != NAME,
			     i == COLUMNS - 1);
	putchar('\n');
	for (l = list->line; l < list->line + list->n; l++) {
		for (i = 0; i < COLUMNS; i++)
			print_padded(l->text[i], width[i], i != NAME,
				     i == COLUMNS - 1);
		putchar('\n');
	}
}

/* RFC 4180: unlike a run's files, this has names that are not ours */
static void print_quoted(const char *text)
{
	if (!strpbrk(text, ",\"\r\n")) {
		fputs(text, stdout);
		return;
	}
	putchar('"');
	for (; *text; text++) {
		if (*text == '"')
			putchar('"');
		putchar(*text);
	}
	putchar('"');
}

static void print_list_csv(const struct list *list)
{
	const struct line *l;
	int i;

	for (i = 0; i < COLUMNS; i++)
		printf("%s%s", i ? "," : "", column_name[i]);
	putchar('\n');
	for (l = list->line; l < list->line + list->n; l++) {
		for (i = 0; i < COLUMNS; i++) {
			if (i)
				putchar(',');
			print_quoted(l->text[i]);
		}
		putchar('\n');
	}
}

static json_t *json_cell(enum column column, const char *text)
{
	if (!*text)
		return json_null();
	if (column == BOOTS || column == CELLS)
		return json_integer(atol(text));
	if ((column == COMPLETE || column == QUICK) && strcmp(text, "broken"))
		return json_boolean(!strcmp(text, "yes"));
	return json_string(text) ?: json_string("(not UTF-8)");
}

static int print_list_json(const struct list *list)
{
	json_t *all = json_array(), *object;
	const struct line *l;
	int i, ret = 0;

	for (l = list->line; !ret && l < list->line + list->n; l++) {
		object = json_object();
		for (i = 0; i < COLUMNS; i++)
			if (json_object_set_new(object, column_name[i],
						json_cell(i, l->text[i])))
				ret = out_of_memory();
		if (json_array_append_new(all, object))
			ret = out_of_memory();
	}
	if (!ret) {
		json_dumpf(all, stdout, JSON_INDENT(1));
		putchar('\n');
	}
	json_decref(all);
	return ret;
}

static void free_list(struct list *list)
{
	size_t i;
	int c;

	for (i = 0; i < list->n; i++)
		for (c = 0; c < COLUMNS; c++)
			free(list->line[i].text[c]);
	free(list->line);
}

static error_t parse_list(int opt, char *arg, struct argp_state *state)
{
	struct list *list = state->input;
	unsigned int found = 0;
	int ret;

	switch (opt) {
	case 'f':
		list->format = parse_name(state, "--format", formats, arg);
		return 0;
	case ARGP_KEY_ARG:
		ret = add_argument(list, arg);
		list->ret = list->ret ?: ret;
		return 0;
	case ARGP_KEY_NO_ARGS:
		list->ret = add_dir(list, "results", 2, &found);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

int cmd_list(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "format", 'f', "NAME", 0, "text (default), csv or json", 0 },
		{}
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_list,
		.args_doc = "[DIR|RUN...]",
		.doc = "Print a line for each RUN and each run in DIR or in a directory of it "
		       "(default: results).\v"
		       "boots: fresh boots (or module loads) that it holds; cells: rows of its "
		       "summary.csv, empty if it was not summarised.",
	};
	struct list list = {};
	int ret = 0;

	argp_parse(&argp, argc, argv, 0, NULL, &list);
	if (list.format == TEXT && list.n)
		print_list_text(&list);
	else if (list.format == CSV)
		print_list_csv(&list);
	else if (list.format == JSON)
		ret = print_list_json(&list);
	free_list(&list);
	return list.ret ?: ret;
}

/* ---- boots ---- */

/* The boot of the first row, as a run of one boot says it nowhere else */
static int first_boot(const struct run *run, uint64_t *boot)
{
	static const char *const columns[] = { "boot", NULL };
	static const char *const files[] = { "samples.csv", "boots.csv" };
	bool partial;
	struct csv *csv;
	unsigned int i;
	char *path;
	int ret = 0;

	*boot = 1;
	csv = malloc(sizeof(*csv));
	if (!csv)
		return out_of_memory();
	for (i = 0; !ret && i < ARRAY_SIZE(files); i++) {
		path = run_rows_path(run, files[i], &partial);
		if (path && is_there(path)) {
			ret = csv_open(csv, path, partial, columns);
			if (!ret) {
				ret = csv_next(csv);
				if (ret > 0)
					ret = csv_u64(csv, 0, boot) ?: 1;
				csv_close(csv);
			}
		}
		free(path);
	}
	free(csv);
	return ret < 0 ? ret : 0;
}

static int print_boots(const struct run *run)
{
	json_t *boots = run_env(run, "boots"), *entry, *number;
	uint64_t boot;
	size_t i;
	int ret;

	if (!boots) {
		if (!run->complete)
			return 0;
		ret = first_boot(run, &boot);
		if (!ret)
			printf("%llu\n", (unsigned long long)boot);
		return ret;
	}
	json_array_foreach(boots, i, entry)
	{
		number = json_object_get(entry, "boot");
		if (!json_is_integer(number)) {
			say("%s/env.json: boots[%zu]: expected an integer 'boot'",
			    run->dir, i);
			return -EINVAL;
		}
		if (!json_is_false(json_object_get(entry, "complete")))
			printf("%lld\n", json_integer_value(number));
	}
	return 0;
}

static error_t parse_boots(int opt, char *arg, struct argp_state *state)
{
	if (opt == ARGP_KEY_ARG || opt == ARGP_KEY_END)
		return parse_run(arg, state, state->input);
	return ARGP_ERR_UNKNOWN;
}

int cmd_boots(int argc, char **argv)
{
	static const struct argp argp = {
		.parser = parse_boots,
		.args_doc = "RUN",
		.doc = "Print the numbers of the boots that RUN has whole, one per line; nothing "
		       "if there is no such run.",
	};
	const char *dir = NULL;
	struct run run;
	int ret;

	argp_parse(&argp, argc, argv, 0, NULL, &dir);
	if (!is_there(dir) && errno == ENOENT)
		return 0;
	ret = run_open(&run, dir);
	if (ret)
		return ret;
	ret = print_boots(&run);
	run_close(&run);
	return ret;
}

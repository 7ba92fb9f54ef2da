// SPDX-License-Identifier: GPL-2.0
/* env: what env.json says, for people and for scripts */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "k2u-stat.h"

enum what { TABLE, GET, CAPTION, WARNINGS, METHODS, AGAINST };

struct args {
	const char *dir;
	enum what what;
	bool markdown; /* what is text, for GET and CAPTION */
	const char *path; /* in env.json; or the other run */
};

/* Objects are flattened to dotted names; lists have outputs of their own */
static int print_object(json_t *object, const char *prefix)
{
	const char *name;
	json_t *value;
	char *text;
	int ret = 0;

	json_object_foreach(object, name, value)
	{
		if (asprintf(&text, "%s%s%s", prefix, *prefix ? "." : "",
			     name) < 0)
			return out_of_memory();
		if (json_is_object(value)) {
			ret = print_object(value, text);
		} else if (!json_is_array(value) && !json_is_null(value)) {
			printf("| ");
			print_text(text, true);
			printf(" | ");
			free(text);
			if (json_is_string(value))
				text = strdup(json_string_value(value));
			else
				text = json_dumps(
					value, JSON_ENCODE_ANY |
						       JSON_REAL_PRECISION(6));
			if (!text)
				return out_of_memory();
			print_text(text, true);
			puts(" |");
		}
		free(text);
		if (ret)
			return ret;
	}
	return 0;
}

static int print_get(const struct run *run, const char *path, bool markdown)
{
	char *text;

	/* Whole: what env.json says, and that samples.csv is not a .partial */
	if (!strcmp(path, "complete")) {
		puts(run->complete ? "true" : "false");
		return 0;
	}
	text = run_env_text(run, path);
	if (!text)
		return out_of_memory();
	print_text(text, markdown);
	putchar('\n');
	free(text);
	return 0;
}

/* One line that says what a figure of this run is worth */
static int print_caption(const struct run *run, bool markdown)
{
	const char *venue = run_venue(run);
	char *release, *model, *id, *virt;
	int ret = 0;

	release = run_env_text(run, "kernel.release");
	model = run_env_text(run, "cpu.model");
	id = run_env_text(run, "run_id");
	virt = run_env_text(run, "virtualization");
	if (!release || !model || !id || !virt) {
		ret = out_of_memory();
		goto out;
	}
	if (!run->complete)
		printf("INCOMPLETE RUN. ");
	printf("%s", venue);
	if (!strcmp(venue, "icount"))
		printf(": instruction counts, no hardware time");
	else if (!strcmp(venue, "tcg") || !strcmp(virt, "tcg"))
		printf(": EMULATED time (TCG), not hardware");
	printf(", Linux ");
	print_text(*release ? release : "(unknown)", markdown);
	if (strcmp(venue, "icount") && strcmp(venue, "tcg")) {
		printf(", ");
		print_text(*model ? model : "unknown CPU", markdown);
	}
	if (!strcmp(venue, "native") && *virt && strcmp(virt, "none") &&
	    strcmp(virt, "tcg")) {
		printf(" (virtual machine: ");
		print_text(virt, markdown);
		putchar(')');
	}
	printf(". Run ");
	print_text(*id ? id : run->dir, markdown);
	putchar('\n');
out:
	free(release);
	free(model);
	free(id);
	free(virt);
	return ret;
}

static void print_warnings(const struct run *run)
{
	json_t *warning;
	size_t i;

	json_array_foreach(run_env(run, "warnings"), i, warning)
	{
		if (!json_is_string(warning))
			continue;
		printf("- ");
		print_text(json_string_value(warning), true);
		putchar('\n');
	}
}

static const char *member(json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name)) ?: "";
}

static void print_methods(const struct run *run)
{
	json_t *method;
	size_t i;

	puts("| provider | method | backing | what it is | here |\n|---|---|---|---|---|");
	json_array_foreach(run_env(run, "methods"), i, method)
	{
		printf("| ");
		print_text(member(method, "provider"), true);
		printf(" | ");
		print_text(member(method, "method"), true);
		printf(" | ");
		print_text(member(method, "backing"), true);
		printf(" | ");
		print_text(member(method, "via"), true);
		printf(" | ");
		if (json_is_true(json_object_get(method, "available"))) {
			printf("available%s",
			       json_is_false(
				       json_object_get(method, "default")) ?
				       "; measured where BACKINGS asks for it" :
				       "");
		} else {
			printf("unavailable: ");
			print_text(member(method, "reason"), true);
		}
		puts(" |");
	}
}

static void print_value(const char *text)
{
	if (*text)
		print_text(text, true);
	else
		printf("–"); /* not there, or not recorded */
	printf(" |");
}

static int print_against(const struct run *run, const char *dir)
{
	struct env_changes changes = {};
	const struct env_change *c;
	struct run base;
	int ret;

	ret = run_open(&base, dir);
	if (ret)
		return ret;
	ret = env_diff(base.env, run->env, &changes);
	if (!ret && changes.n)
		puts("| what | before | after |\n|---|---|---|");
	for (c = changes.change; !ret && c < changes.change + changes.n; c++) {
		printf("| ");
		print_text(*c->title ? c->title : "environment", true);
		if (*c->key) {
			putchar(' ');
			print_text(c->key, true);
		}
		printf(" | ");
		print_value(c->old);
		putchar(' ');
		print_value(c->now);
		putchar('\n');
	}
	env_changes_free(&changes);
	run_close(&base);
	return ret;
}

enum {
	OPT_GET = 256,
	OPT_CAPTION,
	OPT_MARKDOWN,
	OPT_WARNINGS,
	OPT_METHODS,
	OPT_AGAINST
};

static error_t parse(int opt, char *arg, struct argp_state *state)
{
	struct args *args = state->input;

	switch (opt) {
	case OPT_GET:
		args->what = GET;
		args->path = arg;
		return 0;
	case OPT_CAPTION:
		args->what = CAPTION;
		return 0;
	case OPT_MARKDOWN:
		args->markdown = true;
		return 0;
	case OPT_WARNINGS:
		args->what = WARNINGS;
		return 0;
	case OPT_METHODS:
		args->what = METHODS;
		return 0;
	case OPT_AGAINST:
		args->what = AGAINST;
		args->path = arg;
		return 0;
	case ARGP_KEY_ARG:
	case ARGP_KEY_END:
		return parse_run(arg, state, &args->dir);
	}
	return ARGP_ERR_UNKNOWN;
}

int cmd_env(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "get", OPT_GET, "PATH", 0,
		  "One value, by its dotted path; empty if unknown", 0 },
		{ "caption", OPT_CAPTION, NULL, 0,
		  "Venue, kernel, CPU and run id in one line", 0 },
		{ "markdown", OPT_MARKDOWN, NULL, 0,
		  "With --get and --caption: as text for Markdown", 0 },
		{ "warnings", OPT_WARNINGS, NULL, 0,
		  "What changed or never settled", 0 },
		{ "methods", OPT_METHODS, NULL, 0,
		  "What was available, and why not", 0 },
		{ "against", OPT_AGAINST, "RUN", 0,
		  "What differs from the environment of that one", 0 },
		{}
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "RUN",
		.doc = "Print the environment of RUN, a Markdown table unless told otherwise.",
	};
	struct args args = {};
	struct run run;
	int ret;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	ret = run_open(&run, args.dir);
	if (ret)
		return ret;
	switch (args.what) {
	case TABLE:
		puts("| key | value |\n|---|---|");
		ret = print_object(run.env, "");
		break;
	case GET:
		ret = print_get(&run, args.path, args.markdown);
		break;
	case CAPTION:
		ret = print_caption(&run, args.markdown);
		break;
	case WARNINGS:
		print_warnings(&run);
		break;
	case METHODS:
		print_methods(&run);
		break;
	case AGAINST:
		ret = print_against(&run, args.path);
		break;
	}
	run_close(&run);
	return ret;
}

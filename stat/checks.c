// SPDX-License-Identifier: GPL-2.0
/* checks: what was verified, and what failed or could not be */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "k2u-stat.h"

/* clang-format off */
enum {
	C_CHECK, C_PROVIDER, C_METHOD, C_BACKING, C_VERDICT, C_NOTE,
	C_EXPECTED, C_GOT, COLUMNS
};
/* clang-format on */

static const char *const columns[] = { "check",	   "provider", "method",
				       "backing",  "verdict",  "note",
				       "expected", "got",      NULL };

/* How often a check came out like this */
struct outcome {
	char *text[COLUMNS]; /* expected and got: of the first */
	uint64_t n;
};

struct outcomes {
	struct outcome *outcome;
	size_t n, room;
};

/* Passed checks are told by name only, others with what they are about */
static bool same_outcome(const struct outcome *outcome, const struct csv *csv)
{
	int i;

	if (strcmp(outcome->text[C_VERDICT], csv_str(csv, C_VERDICT)))
		return false;
	if (!strcmp(outcome->text[C_VERDICT], "pass"))
		return !strcmp(outcome->text[C_CHECK], csv_str(csv, C_CHECK));
	for (i = 0; i <= C_NOTE; i++)
		if (strcmp(outcome->text[i], csv_str(csv, i)))
			return false;
	return true;
}

static int count(struct outcomes *outcomes, const struct csv *csv)
{
	struct outcome *o;
	size_t i;
	int j;

	for (i = 0; i < outcomes->n; i++) {
		if (same_outcome(&outcomes->outcome[i], csv)) {
			outcomes->outcome[i].n++;
			return 0;
		}
	}
	o = grow(outcomes->outcome, outcomes->n, &outcomes->room, sizeof(*o));
	if (!o)
		return out_of_memory();
	outcomes->outcome = o;
	o += outcomes->n++;
	memset(o, 0, sizeof(*o));
	o->n = 1;
	for (j = 0; j < COLUMNS; j++) {
		o->text[j] = strdup(csv_str(csv, j));
		if (!o->text[j])
			return out_of_memory();
	}
	return 0;
}

static uint64_t total(const struct outcomes *outcomes, const char *check,
		      const char *verdict)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < outcomes->n; i++)
		if (!strcmp(outcomes->outcome[i].text[C_CHECK], check) &&
		    !strcmp(outcomes->outcome[i].text[C_VERDICT], verdict))
			n += outcomes->outcome[i].n;
	return n;
}

static int compare_outcomes(const void *a, const void *b)
{
	const struct outcome *x = a, *y = b;
	int i, d = 0;

	for (i = 0; !d && i <= C_NOTE; i++)
		d = strcmp(x->text[i], y->text[i]);
	return d;
}

static void print_totals(const struct outcomes *outcomes)
{
	const char *check;
	size_t i, j;

	puts("| check | passed | failed | unavailable |\n|---|---:|---:|---:|");
	for (i = 0; i < outcomes->n; i++) {
		check = outcomes->outcome[i].text[C_CHECK];
		for (j = 0; strcmp(outcomes->outcome[j].text[C_CHECK], check);
		     j++)
			;
		if (j < i)
			continue;
		printf("| ");
		print_text(check, true);
		printf(" | %llu | %llu | %llu |\n",
		       (unsigned long long)total(outcomes, check, "pass"),
		       (unsigned long long)total(outcomes, check, "fail"),
		       (unsigned long long)total(outcomes, check,
						 "unavailable"));
	}
}

/* One sentence */
static void print_brief(const struct outcomes *outcomes)
{
	uint64_t all = 0, failed = 0, unavailable = 0;
	const struct outcome *o;
	const char *sep = ": ";
	size_t i;

	for (o = outcomes->outcome; o < outcomes->outcome + outcomes->n; o++) {
		all += o->n;
		failed += strcmp(o->text[C_VERDICT], "fail") ? 0 : o->n;
		unavailable += strcmp(o->text[C_VERDICT], "unavailable") ? 0 :
									   o->n;
	}
	printf("%llu of %llu checks failed", (unsigned long long)failed,
	       (unsigned long long)all);
	for (o = outcomes->outcome, i = 0; failed && i < outcomes->n; i++) {
		if (i && !strcmp(o[i].text[C_CHECK], o[i - 1].text[C_CHECK]))
			continue;
		if (total(outcomes, o[i].text[C_CHECK], "fail")) {
			printf("%s", sep);
			print_text(o[i].text[C_CHECK], true);
			printf(" %llu",
			       (unsigned long long)total(
				       outcomes, o[i].text[C_CHECK], "fail"));
			sep = ", ";
		}
	}
	printf("; %llu could not be made.\n", (unsigned long long)unavailable);
}

/* From so many sources on that say the same, one line is for all of them */
#define MANY 6

/* The sources of which the same could not be made for the same reason; and how often */
static size_t alike(const struct outcomes *outcomes, const struct outcome *o,
		    const struct outcome **first, uint64_t *times)
{
	static const int same[] = { C_CHECK, C_VERDICT, C_NOTE };
	const struct outcome *x;
	size_t i, n = 0;

	*first = NULL;
	*times = 0;
	for (x = outcomes->outcome; x < outcomes->outcome + outcomes->n; x++) {
		for (i = 0; i < ARRAY_SIZE(same); i++)
			if (strcmp(x->text[same[i]], o->text[same[i]]))
				break;
		if (i < ARRAY_SIZE(same))
			continue;
		if (!*first)
			*first = x;
		*times += x->n;
		n++;
	}
	return n;
}

static bool one_for_all(const struct outcomes *outcomes,
			const struct outcome *o)
{
	const struct outcome *first;
	uint64_t times;
	size_t n = alike(outcomes, o, &first, &times);

	if (strcmp(o->text[C_VERDICT], "unavailable") || n < MANY)
		return false;
	if (o != first)
		return true;
	printf("- unavailable: ");
	print_text(o->text[C_CHECK], true);
	printf(" of %zu sources, %llu×", n, (unsigned long long)times);
	if (*o->text[C_NOTE]) {
		printf(": ");
		print_text(o->text[C_NOTE], true);
	}
	putchar('\n');
	return true;
}

static void print_failures(const struct outcomes *outcomes, const char *verdict)
{
	const struct outcome *o;

	for (o = outcomes->outcome; o < outcomes->outcome + outcomes->n; o++) {
		if (strcmp(o->text[C_VERDICT], verdict) ||
		    one_for_all(outcomes, o))
			continue;
		printf("- ");
		print_text(verdict, true);
		printf(": ");
		print_text(o->text[C_CHECK], true);
		printf(" of ");
		print_text(o->text[C_PROVIDER], true);
		putchar(' ');
		print_text(o->text[C_METHOD], true);
		printf(" (");
		print_text(o->text[C_BACKING], true);
		printf("), %llu×", (unsigned long long)o->n);
		if (!strcmp(verdict, "fail")) {
			printf("; the first: expected ");
			print_text(o->text[C_EXPECTED], true);
			printf(", got ");
			print_text(o->text[C_GOT], true);
		}
		if (*o->text[C_NOTE]) {
			printf(": ");
			print_text(o->text[C_NOTE], true);
		}
		putchar('\n');
	}
}

static int read_checks(struct outcomes *outcomes, const struct run *run)
{
	bool partial;
	struct csv *csv;
	char *path;
	int ret;

	csv = malloc(sizeof(*csv));
	path = run_rows_path(run, "checks.csv", &partial);
	if (!csv || !path) {
		ret = out_of_memory();
		goto out;
	}
	ret = csv_open_part(csv, path, partial, columns,
			    run_rows_bytes(run, "checks.csv", partial));
	if (ret)
		goto out;
	while ((ret = csv_next(csv)) > 0) {
		ret = count(outcomes, csv);
		if (ret)
			break;
	}
	csv_close(csv);
out:
	free(path);
	free(csv);
	return ret;
}

struct args {
	const char *dir;
	bool brief;
};

static error_t parse(int opt, char *arg, struct argp_state *state)
{
	struct args *args = state->input;

	if (opt == 'b')
		args->brief = true;
	else if (opt == ARGP_KEY_ARG || opt == ARGP_KEY_END)
		return parse_run(arg, state, &args->dir);
	else
		return ARGP_ERR_UNKNOWN;
	return 0;
}

int cmd_checks(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "brief", 'b', NULL, 0, "One sentence", 0 }, {}
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "RUN",
		.doc = "Print as Markdown how the checks of RUN came out, and each that failed or "
		       "could not be made.",
	};
	struct outcomes outcomes = {};
	struct args args = {};
	struct run run;
	size_t i;
	int ret, j;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	ret = run_open(&run, args.dir);
	if (ret)
		return ret;
	ret = read_checks(&outcomes, &run);
	if (!ret && outcomes.n) {
		qsort(outcomes.outcome, outcomes.n, sizeof(*outcomes.outcome),
		      compare_outcomes);
	}
	if (!ret && args.brief) {
		print_brief(&outcomes);
	} else if (!ret) {
		print_totals(&outcomes);
		putchar('\n');
		print_failures(&outcomes, "fail");
		print_failures(&outcomes, "unavailable");
	}
	for (i = 0; i < outcomes.n; i++)
		for (j = 0; j < COLUMNS; j++)
			free(outcomes.outcome[i].text[j]);
	free(outcomes.outcome);
	run_close(&run);
	return ret;
}

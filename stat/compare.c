// SPDX-License-Identifier: GPL-2.0
/*
 * compare: two sides, each of one or more runs, cell by cell over pairs of
 * boots. What must not be compared is refused; what is said of the rest is
 * verdict.c's.
 */
#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "compare.h"

enum { SAME = 0, WORSE = 1, FAILED = 2 };

/* ---- what is judged ---- */

static double boot_value(const struct joint *j, enum side_of side, size_t boot)
{
	return boot < j->room[side] ? j->value[side][boot] : NAN;
}

/* The boots that both sides have of this cell, as a contrast */
static int add_contrast(struct comparison *cmp, struct joint *j)
{
	struct contrast *c = &cmp->contrast[cmp->contrasts];
	bool none = false, emulated = cell_is_emulated_copy(j->key);
	double base, now;
	size_t i;

	for (i = 0; i < SIDES; i++) {
		j->pair[i] = calloc(cmp->pairs, sizeof(*j->pair[i]));
		if (!j->pair[i])
			return out_of_memory();
	}
	for (i = 0; i < cmp->pairs; i++) {
		base = boot_value(j, BASE, i);
		now = boot_value(j, NEW, i);
		if (isnan(base) || isnan(now))
			continue;
		j->pair[BASE][c->n] = base;
		j->pair[NEW][c->n++] = now;
		none |= base <= 0 || now <= 0;
	}
	c->base = j->pair[BASE];
	c->new_ = j->pair[NEW];
	c->more_is_better = cell_is_rate(j->key);
	c->count = !strcmp(j->key[UNIT], "faults");
	c->withheld = j->flags && cell_is_wrong(j->flags);
	j->counts = !emulated || cmp->same_kernel;
	j->contrast = ++cmp->contrasts;
	if (emulated && flags_add(&j->flags, "emulated-copy"))
		return -ENOMEM;
	if (none && !c->count && flags_add(&j->flags, "no-ratio"))
		return -ENOMEM;
	return 0;
}

const struct contrast *joint_contrast(const struct comparison *cmp,
				      const struct joint *j)
{
	return &cmp->contrast[j->contrast - 1];
}

double joint_badness(const struct comparison *cmp, const struct joint *j)
{
	const struct contrast *c = joint_contrast(cmp, j);
	double effect = log(c->ratio);

	if (isnan(effect))
		return 0;
	return c->more_is_better ? -effect : effect;
}

/* The cells that enter the A/A check are those whose verdict is a measurement's */
static int check_aa(struct comparison *cmp, enum side_of side)
{
	size_t boots = cmp->side[side].boots, i, b, n = 0;
	const double **cell = calloc(cmp->contrasts + 1, sizeof(*cell));
	double *room = calloc(cmp->contrasts * boots + 1, sizeof(*room)), *v;
	const struct contrast *c;
	int ret = -ENOMEM;

	if (!cell || !room) {
		out_of_memory();
		goto out;
	}
	for (i = 0; i < cmp->n; i++) {
		if (!cmp->joint[i].contrast)
			continue;
		c = joint_contrast(cmp, &cmp->joint[i]);
		if (c->withheld || c->exact)
			continue;
		v = room + n * boots;
		cell[n++] = v;
		for (b = 0; b < boots; b++)
			v[b] = boot_value(&cmp->joint[i], side, b);
	}
	ret = aa_check(&cmp->aa[side], cell, n, boots, !cmp->interleaved,
		       cmp->threshold);
out:
	free(cell);
	free(room);
	return ret;
}

static int judge_all(struct comparison *cmp)
{
	const struct contrast *c;
	struct joint *j;
	int ret = 0;

	cmp->contrast = calloc(cmp->n + 1, sizeof(*cmp->contrast));
	if (!cmp->contrast)
		return out_of_memory();
	for (j = cmp->joint; !ret && j < cmp->joint + cmp->n; j++)
		if (j->room[BASE] && j->room[NEW])
			ret = add_contrast(cmp, j);
	if (ret)
		return ret;
	if (!cmp->contrasts) {
		say("%s and %s have no cell in common: measure both with the same METHODS= and MEASURES=",
		    cmp->side[BASE].run.dir, cmp->side[NEW].run.dir);
		return -EINVAL;
	}
	ret = judge(cmp->contrast, cmp->contrasts, cmp->threshold) ?:
		      check_aa(cmp, BASE)			   ?:
		      check_aa(cmp, NEW);
	if (ret)
		return ret;

	cmp->withheld = cmp->aa[BASE].state == AA_FAILED ||
			cmp->aa[NEW].state == AA_FAILED;
	for (j = cmp->joint; !ret && j < cmp->joint + cmp->n; j++) {
		if (!j->contrast)
			continue;
		if (cmp->withheld)
			cmp->contrast[j->contrast - 1].verdict = WITHHELD;
		c = joint_contrast(cmp, j);
		cmp->verdicts[c->verdict]++;
		cmp->family += !isnan(c->p);
		if (c->verdict == SLOWER && j->counts)
			cmp->status = WORSE;
		if (c->count && !c->exact && c->n > 1)
			ret = flags_add(&j->flags, "count-varies");
	}
	if (cmp->withheld)
		cmp->status = FAILED;
	return ret;
}

static int compare(struct comparison *cmp)
{
	const struct side *s = cmp->side;
	const struct env_change *c;
	char *release;
	int ret;

	ret = compare_read(cmp);
	if (ret)
		return ret;
	ret = env_diff(s[BASE].run.env, s[NEW].run.env, &cmp->changes);
	if (ret)
		return ret;
	release = run_env_text(&s[BASE].run, "kernel.release");
	if (!release)
		return out_of_memory();
	cmp->same_kernel = *release;
	free(release);
	for (c = cmp->changes.change; c < cmp->changes.change + cmp->changes.n;
	     c++)
		if (!strcmp(c->path, "kernel.release"))
			cmp->same_kernel = false;
	return judge_all(cmp);
}

/* ---- the command ---- */

static const char *const formats[] = { "text", "json", "csv", NULL };
static int (*const printers[])(const struct comparison *) = {
	compare_print_text,
	compare_print_json,
	compare_print_csv,
};

struct args {
	struct comparison *cmp;
	int format, sides;
};

enum { OPT_FORMAT = 256, OPT_THRESHOLD, OPT_ALL };

static void parse_side(struct side *side, char *list, struct argp_state *state)
{
	char *dir, *save = NULL, **p;
	struct stat st;

	/* A directory is one run, whatever its name */
	dir = stat(list, &st) || !S_ISDIR(st.st_mode) ?
		      strtok_r(list, ", \t\n", &save) :
		      list;
	for (; dir; dir = save ? strtok_r(NULL, ", \t\n", &save) : NULL) {
		p = grow(side->dir, side->dirs, &side->dir_room, sizeof(*p));
		if (!p)
			argp_failure(state, FAILED, 0, "out of memory");
		side->dir = p;
		p[side->dirs++] = dir;
	}
	if (!side->dirs)
		argp_error(state, "an empty list of runs");
}

static error_t parse(int opt, char *arg, struct argp_state *state)
{
	struct args *args = state->input;
	char *end;

	switch (opt) {
	case OPT_FORMAT:
		args->format = parse_name(state, "--format", formats, arg);
		return 0;
	case OPT_THRESHOLD:
		args->cmp->threshold = strtod(arg, &end) / 100;
		if (end == arg || *end ||
		    strspn(arg, "0123456789.") != strlen(arg) ||
		    args->cmp->threshold > 1)
			argp_error(
				state,
				"--threshold: percent from 0 to 100, not '%s'",
				arg);
		return 0;
	case OPT_ALL:
		args->cmp->all = true;
		return 0;
	case ARGP_KEY_ARG:
		if (args->sides == SIDES)
			argp_error(
				state,
				"two sides, not '%s' too: several runs of a side are one argument: 'a b'",
				arg);
		parse_side(&args->cmp->side[args->sides++], arg, state);
		return 0;
	case ARGP_KEY_END:
		if (args->sides < SIDES)
			argp_error(state, "compare what? Give BASE and NEW");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static void free_all(struct comparison *cmp)
{
	struct side *s;
	struct joint *j;
	size_t i;

	for (s = cmp->side; s < cmp->side + SIDES; s++) {
		run_close(&s->run);
		for (i = 0; i < s->starts; i++)
			free(s->started[i]);
		free(s->started);
		free(s->dir);
	}
	for (j = cmp->joint; j < cmp->joint + cmp->n; j++) {
		for (i = 0; i < SIDES; i++) {
			free(j->value[i]);
			free(j->pair[i]);
		}
		free(j->text);
		free(j->flags);
	}
	free(cmp->joint);
	free(cmp->slot);
	free(cmp->contrast);
	env_changes_free(&cmp->changes);
}

int cmd_compare(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "format", OPT_FORMAT, "NAME", 0, "text (default), json, csv",
		  0 },
		{ "threshold", OPT_THRESHOLD, "PCT", 0,
		  "The smallest difference that is called, in percent (default 0.5)",
		  0 },
		{ "all", OPT_ALL, NULL, 0, "Equivalent cells, too (text)", 0 },
		{}
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "BASE NEW",
		.doc = "Compare two sides, cell by cell over pairs of boots. A side is a run, or several "
		       "of one environment: 'results/a results/b', or results/a,results/b.\v"
		       "Exit status: 0 nothing is slower; 1 something is; 2 they cannot be compared (also: "
		       "a side differs from itself), or the call is wrong. What a verdict means: docs/METHODOLOGY.md, "
		       "Comparing.",
	};
	struct comparison cmp = { .threshold = THRESHOLD };
	struct args args = { .cmp = &cmp };
	int (*print)(const struct comparison *cmp);
	int status = FAILED;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	print = printers[args.format];
	if (!compare(&cmp) && !print(&cmp))
		status = cmp.status;
	/* A report that was not written is not one that found something slower */
	errno = 0;
	if (fflush(stdout) || ferror(stdout)) {
		say("standard output: %s", strerror(errno ?: EIO));
		clearerr(stdout);
		status = FAILED;
	}
	free_all(&cmp);
	return status;
}

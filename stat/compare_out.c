// SPDX-License-Identifier: GPL-2.0
/* compare: the report as text for people, as JSON and as CSV. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compare.h"

#define WIDTH 100

/* ---- lines of WIDTH columns ---- */

enum color { PLAIN, RED, GREEN, YELLOW, BOLD };

static bool colored(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return !(no && *no) && isatty(STDOUT_FILENO) &&
	       (!term || strcmp(term, "dumb"));
}

static const char *color(enum color c)
{
	static const char *const code[] = { "\033[0m", "\033[31m", "\033[32m",
					    "\033[33m", "\033[1m" };

	return colored() ? code[c] : "";
}

/* Words that flow; a line that they would overrun is broken, and indented */
struct flow {
	size_t column, indent;
};

static size_t columns(const char *text, size_t len)
{
	size_t n = 0, i;

	for (i = 0; i < len; i++)
		n += (text[i] & 0xc0) != 0x80;
	return n;
}

/* Bytes of a word that take so many columns; at least one */
static size_t fitting(const char *word, size_t len, size_t room)
{
	size_t part = 0, n = 0;

	while (part < len && (n += (word[part] & 0xc0) != 0x80) <= room)
		part++;
	return part ?: 1;
}

/* Words are broken only where they are longer than a line */
static void flow_text(struct flow *f, const char *text)
{
	size_t len, w, blanks;

	while (*text) {
		blanks = strspn(text, " ");
		len = strcspn(text + blanks, " ");
		w = columns(text + blanks, len);
		if (f->column + blanks + w > WIDTH && f->column > f->indent) {
			printf("\n%*s", (int)f->indent, "");
			f->column = f->indent;
			text += blanks;
			blanks = 0;
		}
		while (f->column + blanks + w > WIDTH && len > 1) {
			size_t room = WIDTH - f->column, part;

			if (blanks >= room) {
				text += blanks;
				blanks = 0;
			}
			part = fitting(text + blanks, len, room - blanks);
			printf("%.*s\n%*s", (int)(blanks + part), text,
			       (int)f->indent, "");
			text += blanks + part;
			len -= part;
			blanks = 0;
			w = columns(text, len);
			f->column = f->indent;
		}
		printf("%.*s", (int)(blanks + len), text);
		f->column += blanks + w;
		text += blanks + len;
	}
}

static void flow(struct flow *f, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void flow(struct flow *f, const char *fmt, ...)
{
	va_list args;
	char *text;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0) {
		va_end(args);
		return;
	}
	va_end(args);
	flow_text(f, harmless(text));
	free(text);
}

static void flow_end(struct flow *f)
{
	putchar('\n');
	f->column = 0;
}

/* ---- names and figures ---- */

static const char *short_size(uint64_t bytes, char *buf, size_t size)
{
	char *p;

	format_size(bytes, buf, size);
	p = strchr(buf, ' ');
	if (p) /* "64 KiB": 64K */
		p = stpncpy(p, p + 1, 1);
	if (p)
		*p = '\0';
	return buf;
}

/* latency k2u fault/vmalloc touch 64K */
static char *cell_name(const struct joint *j)
{
	const char *const *key = j->key;
	bool backing = strcmp(key[BACKING], "none");
	bool phase = !strcmp(key[METRIC], "pass");
	bool cache = strcmp(key[CACHE], "wb") && strcmp(key[CACHE], "none");
	char size[32], *name;

	short_size(j->size, size, sizeof(size));
	if (asprintf(&name, "%s %s %s%s%s %s%s%s %s%s%s%s%s", key[MEASURE],
		     key[PROVIDER], key[METHOD], backing ? "/" : "",
		     backing ? key[BACKING] : "", key[METRIC], phase ? "/" : "",
		     phase ? key[PHASE] : "", size, cache ? " " : "",
		     cache ? key[CACHE] : "",
		     strcmp(key[THREADS], "1") ? " threads=" : "",
		     strcmp(key[THREADS], "1") ? key[THREADS] : "") < 0)
		return NULL;
	return name;
}

static char *percent(double v, char *buf, size_t size)
{
	if (v < 0.1)
		snprintf(buf, size, "%.2f %%", 100 * v);
	else
		snprintf(buf, size, "%.0f %%", 100 * v);
	return buf;
}

/* ---- text: what is compared ---- */

static void print_side(const struct comparison *cmp, enum side_of which)
{
	const struct side *s = &cmp->side[which];
	struct flow f = { .indent = 6 };
	char *release = run_env_text(&s->run, "kernel.release");

	flow(&f, "%-5s %s", side_name[which], s->dir[0]);
	if (s->dirs > 1)
		flow(&f, " and %zu more run%s", s->dirs - 1,
		     s->dirs > 2 ? "s" : "");
	flow(&f, ": %s, Linux %s, %zu boot%s", run_venue(&s->run),
	     release && *release ? release : "(unknown)", s->boots,
	     s->boots == 1 ? "" : "s");
	flow_end(&f);
	free(release);
}

static bool is_hash(const char *text)
{
	return strlen(text) == 64 &&
	       strspn(text, "0123456789abcdef") == strlen(text);
}

static void print_change(const struct env_change *c)
{
	const char *old = *c->old ? c->old : "(not recorded)",
		   *now = *c->now ? c->now : "(not recorded)";
	struct flow f = { .indent = 6 };

	printf("  ");
	f.column = 2;
	if (is_hash(old) && is_hash(now))
		flow(&f, "%s: %.12s... -> %.12s...", c->title, old, now);
	else
		flow(&f, "%s%s%s: %s -> %s", c->title,
		     *c->title && *c->key ? " " : "", c->key, old, now);
	flow_end(&f);
}

static void print_changes(const struct comparison *cmp)
{
	const struct env_changes *all = &cmp->changes;
	const struct env_change *c, *end = all->change + all->n;
	size_t n[ENV_VOLATILE + 1] = {};

	for (c = all->change; c < end; c++) {
		if (!strcmp(c->path, "kernel.release"))
			printf("%sKernel: %s -> %s%s\n", color(BOLD), c->old,
			       c->now, color(PLAIN));
		else
			n[c->class]++;
	}
	if (cmp->same_kernel)
		puts("The kernel is the same on both sides.");
	if (n[ENV_IDENTITY])
		printf("What else differs, and may be the reason (%zu):\n",
		       n[ENV_IDENTITY]);
	for (c = all->change; c < end; c++)
		if (c->class == ENV_IDENTITY &&
		    strcmp(c->path, "kernel.release"))
			print_change(c);
	if (n[ENV_INFORM])
		printf("For information (%zu):\n", n[ENV_INFORM]);
	for (c = all->change; c < end; c++)
		if (c->class == ENV_INFORM)
			print_change(c);
	if (!n[ENV_IDENTITY])
		printf("Nothing %sof the recorded environment differs that could be a reason.\n",
		       cmp->same_kernel ? "" : "else ");
}

static void print_aa(const struct comparison *cmp, enum side_of which)
{
	const struct aa *aa = &cmp->aa[which];
	enum color c = aa->state == AA_PASSED ? GREEN :
		       aa->state == AA_FAILED ? RED :
						YELLOW;
	struct flow f = { .indent = 12 };
	size_t boots = cmp->side[which].boots;

	printf("A/A %-5s   %s", side_name[which], color(c));
	f.column = 12;
	flow(&f, "%s",
	     aa->state == AA_PASSED ? "passed" :
	     aa->state == AA_FAILED ? "FAILED" :
				      "NOT DECIDABLE");
	printf("%s", color(PLAIN));
	if (aa->state == AA_UNDECIDABLE) {
		flow(&f,
		     ": %zu boot%s; whether a side agrees with itself shows from %zu on. Until then nothing says that chance alone does not do this.",
		     boots, boots == 1 ? "" : "s", aa_boots());
	} else {
		flow(&f,
		     ": %zu of %zu cells differ between %s (%zu pairs, p = %.3g)",
		     aa->out, aa->cells,
		     cmp->interleaved ? "neighbouring boots" :
					"its first and its second half",
		     aa->pairs, aa->p);
	}
	flow_end(&f);
}

static void print_order(const struct comparison *cmp)
{
	struct flow f = { .indent = 12 };

	if (cmp->interleaved)
		return;
	flow(&f,
	     "order       One side was measured after the other: what drifted in between looks like a difference.");
	flow_end(&f);
}

/* ---- text: the cells ---- */

static enum color verdict_color(const struct contrast *c)
{
	switch (c->verdict) {
	case SLOWER:
		return RED;
	case FASTER:
		return GREEN;
	case WITHHELD:
		return YELLOW;
	default:
		return PLAIN;
	}
}

static void print_ratio(const struct contrast *c, char *buf, size_t size)
{
	if (!isfinite(c->ratio))
		snprintf(buf, size, "-");
	else if (isnan(c->low) || c->exact)
		snprintf(buf, size, "%.4f", c->ratio);
	else
		snprintf(buf, size, "%.4f [%.4f, %.4f]", c->ratio, c->low,
			 c->high);
}

static int print_cell(const struct comparison *cmp, const struct joint *j)
{
	const struct contrast *c = joint_contrast(cmp, j);
	char ratio[80], a[80], b[80], mde[32], *name = cell_name(j);
	struct flow f = { .column = 38, .indent = 14 };

	if (!name)
		return out_of_memory();
	print_ratio(c, ratio, sizeof(ratio));
	printf("%s%-12s%s  %-24s", color(verdict_color(c)),
	       verdict_name[c->verdict], color(PLAIN), ratio);
	if (strlen(ratio) > 24)
		f.column += strlen(ratio) - 24;
	flow(&f, " %s", name);
	free(name);
	printf("\n%*s", (int)f.indent, "");
	f.column = f.indent;
	flow(&f, "%s -> %s, n %zu",
	     format_estimate(&c->base_est, j->key[UNIT], a, sizeof(a)),
	     format_estimate(&c->new_est, j->key[UNIT], b, sizeof(b)), c->n);
	if (!c->exact)
		flow(&f, ", MDE %s",
		     isnan(c->mde) ? "-" : percent(c->mde, mde, sizeof(mde)));
	if (c->verdict != INCONCLUSIVE)
		;
	else if (c->more == SIZE_MAX)
		flow(&f, ", more than %d boots more are needed", BOOTS_CAP);
	else if (c->more)
		flow(&f, ", %s %zu more boot%s needed",
		     c->n < 2 ? "at least" : "about", c->more,
		     c->more == 1 ? " is" : "s are");
	if (j->flags)
		flow(&f, "  " FLAG_MARK "%s", j->flags);
	flow_end(&f);
	return 0;
}

/* Slower, what may not be told, what is not known, faster, equivalent */
static int verdict_rank(enum verdict v)
{
	static const int rank[VERDICTS] = {
		[SLOWER] = 0, [WITHHELD] = 1,	[INCONCLUSIVE] = 2,
		[FASTER] = 3, [EQUIVALENT] = 4,
	};

	return rank[v];
}

static int compare_badness(const void *a, const void *b, void *arg)
{
	const struct joint *x = *(const struct joint *const *)a,
			   *y = *(const struct joint *const *)b;
	const struct comparison *cmp = arg;
	double dx = joint_badness(cmp, x), dy = joint_badness(cmp, y);
	int rank = verdict_rank(joint_contrast(cmp, x)->verdict) -
		   verdict_rank(joint_contrast(cmp, y)->verdict);

	return rank			     ?:
		       y->counts - x->counts ?:
		       (dx < dy) - (dx > dy) ?:
					       (x > y) - (x < y);
}

static int print_cells(const struct comparison *cmp)
{
	const struct joint **by = calloc(cmp->n + 1, sizeof(*by));
	const struct joint *j;
	size_t i, n = 0, hidden = 0;
	int ret = 0;

	if (!by)
		return out_of_memory();
	for (j = cmp->joint; j < cmp->joint + cmp->n; j++) {
		if (!j->contrast)
			continue;
		if (!cmp->all && !j->flags &&
		    joint_contrast(cmp, j)->verdict == EQUIVALENT)
			hidden++;
		else
			by[n++] = j;
	}
	qsort_r(by, n, sizeof(*by), compare_badness, (void *)cmp);
	if (n)
		printf("\n%-12s  %-24s %s\n", "verdict", "NEW/BASE [interval]",
		       "cell");
	for (i = 0; !ret && i < n; i++)
		ret = print_cell(cmp, by[i]);
	if (hidden)
		printf("equivalent    %zu cells more (--all shows them)\n",
		       hidden);
	free(by);
	return ret;
}

static void print_alone(const struct comparison *cmp, enum side_of side)
{
	const struct joint *j, *last = NULL;
	struct flow f = { .indent = 2 };
	size_t n = 0, listed = 0;
	char *name;

	for (j = cmp->joint; j < cmp->joint + cmp->n; j++)
		n += !j->room[!side];
	if (!n)
		return;
	flow(&f, "Only in %s: %zu cell%s:", side_name[side], n,
	     n == 1 ? "" : "s");
	for (j = cmp->joint; j < cmp->joint + cmp->n; j++) {
		if (j->room[!side])
			continue;
		if (cmp->all) {
			name = cell_name(j);
			flow(&f, "%s %s", last ? "," : "", name ?: "");
			free(name);
		} else if (!last ||
			   strcmp(last->key[PROVIDER], j->key[PROVIDER]) ||
			   strcmp(last->key[METHOD], j->key[METHOD]) ||
			   strcmp(last->key[BACKING], j->key[BACKING])) {
			if (++listed > 12)
				break;
			flow(&f, "%s %s %s/%s", last ? "," : "",
			     j->key[PROVIDER], j->key[METHOD], j->key[BACKING]);
		}
		last = j;
	}
	if (listed > 12)
		flow(&f, ", ... (--all lists them)");
	flow_end(&f);
}

static int compare_doubles(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* One sentence: what so many boots can find */
static int print_reach(const struct comparison *cmp)
{
	double *mde = calloc(cmp->contrasts + 1, sizeof(*mde));
	struct flow f = { .indent = 0 };
	char half[32], most[32];
	size_t i, n = 0, least = judge_boots(cmp->family);

	if (!mde)
		return out_of_memory();
	for (i = 0; i < cmp->contrasts; i++)
		if (!isnan(cmp->contrast[i].mde) && !cmp->contrast[i].withheld)
			mde[n++] = cmp->contrast[i].mde;
	qsort(mde, n, sizeof(*mde), compare_doubles);
	if (n)
		flow(&f,
		     "With %zu pairs of boots and %zu cells tested at once, 4 in 5 differences of %s are found in half of the cells, and of %s in 9 of 10.",
		     cmp->pairs, cmp->family,
		     percent(mde[n / 2], half, sizeof(half)),
		     percent(mde[9 * n / 10], most, sizeof(most)));
	else
		flow(&f,
		     "With %zu pair%s of boots and %zu cells tested at once no difference can be told from chance, however large: that takes %zu pairs.",
		     cmp->pairs, cmp->pairs == 1 ? "" : "s", cmp->family,
		     least);
	flow_end(&f);
	free(mde);
	return 0;
}

static int print_summary(const struct comparison *cmp)
{
	const struct side *s = cmp->side;
	struct flow f = { .indent = 0 };
	const char *sep = ": ";
	size_t i;

	print_alone(cmp, BASE);
	print_alone(cmp, NEW);
	if (s[BASE].boots != s[NEW].boots)
		printf("Of %s the last %zu boots have no partner and do not count.\n",
		       side_name[s[BASE].boots < s[NEW].boots],
		       (s[BASE].boots > s[NEW].boots ? s[BASE].boots :
						       s[NEW].boots) -
			       cmp->pairs);
	flow(&f, "%zu cells", cmp->contrasts);
	for (i = 0; i < VERDICTS; i++) {
		if (!cmp->verdicts[i])
			continue;
		flow(&f, "%s%zu %s", sep, cmp->verdicts[i], verdict_name[i]);
		sep = ", ";
	}
	flow(&f, ".");
	flow_end(&f);
	if (cmp->withheld) {
		flow(&f,
		     "A side differs from itself (A/A failed): what moves there moves the comparison as well, so no verdict is given. Measure both sides again, their boots in turn, on a machine that does nothing else.");
		flow_end(&f);
	}
	return print_reach(cmp);
}

int compare_print_text(const struct comparison *cmp)
{
	int ret;

	print_side(cmp, BASE);
	print_side(cmp, NEW);
	print_changes(cmp);
	putchar('\n');
	print_aa(cmp, BASE);
	print_aa(cmp, NEW);
	print_order(cmp);
	ret = print_cells(cmp);
	if (ret)
		return ret;
	putchar('\n');
	return print_summary(cmp);
}

/* ---- JSON ---- */

static json_t *figure(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

static json_t *side_object(const struct comparison *cmp, enum side_of which)
{
	const struct side *s = &cmp->side[which];
	json_t *runs = json_array();
	char *release = run_env_text(&s->run, "kernel.release");
	size_t i;

	for (i = 0; i < s->dirs; i++)
		json_array_append_new(runs,
				      json_string(s->dir[i]) ?: json_null());
	runs = json_pack("{s:o, s:I, s:s, s:s}", "runs", runs, "boots",
			 (json_int_t)s->boots, "venue", run_venue(&s->run),
			 "kernel", release ?: "");
	free(release);
	return runs;
}

static json_t *changes_array(const struct comparison *cmp)
{
	const struct env_changes *all = &cmp->changes;
	const struct env_change *c;
	json_t *list = json_array();

	for (c = all->change; c < all->change + all->n; c++)
		json_array_append_new(
			list, json_pack("{s:s, s:s, s:b, s:s, s:s}", "path",
					c->path, "title", c->title, "identity",
					c->class == ENV_IDENTITY, "base",
					c->old, "new", c->now));
	return list;
}

static json_t *aa_object(const struct comparison *cmp, enum side_of which)
{
	const struct aa *aa = &cmp->aa[which];

	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:o, s:I}", "side",
			 which == BASE ? "base" : "new", "result",
			 aa_name[aa->state], "split",
			 cmp->interleaved ? "neighbours" : "halves", "pairs",
			 (json_int_t)aa->pairs, "cells", (json_int_t)aa->cells,
			 "differ", (json_int_t)aa->out, "p", figure(aa->p),
			 "needs_boots", (json_int_t)aa_boots());
}

static json_t *estimate_object(const struct estimate *est)
{
	return json_pack("{s:o, s:o, s:o, s:o}", "median", figure(est->median),
			 "low", figure(est->low), "high", figure(est->high),
			 "level", figure(est->level));
}

static json_t *flags_array(const char *flags)
{
	json_t *list = json_array();
	size_t len;

	for (; flags && *flags; flags += len + (flags[len] == ';')) {
		len = strcspn(flags, ";");
		json_array_append_new(list, json_stringn(flags, len));
	}
	return list;
}

static json_t *cell_object(const struct comparison *cmp, const struct joint *j)
{
	const struct contrast *c = joint_contrast(cmp, j);
	json_t *cell = json_object(), *more;
	char *name = cell_name(j);
	int i;

	if (c->verdict != INCONCLUSIVE || c->more == SIZE_MAX)
		more = json_null();
	else
		more = json_integer(c->more);
	json_object_set_new(cell, "name", json_string(name));
	free(name);
	for (i = 0; i < KEYS; i++)
		json_object_set_new(cell, key_name[i],
				    i == SIZE ? json_integer(j->size) :
						json_string(j->key[i]));
	json_object_update_new(
		cell,
		json_pack(
			"{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:b, s:o}",
			"n", (json_int_t)c->n, "base",
			estimate_object(&c->base_est), "new",
			estimate_object(&c->new_est), "ratio", figure(c->ratio),
			"low", figure(c->low), "high", figure(c->high), "level",
			figure(c->level), "p", figure(c->p), "p_holm",
			figure(c->p_holm), "verdict", verdict_name[c->verdict],
			"mde", figure(c->mde), "boots_needed", more, "counts",
			(int)j->counts, "flags", flags_array(j->flags)));
	return cell;
}

int compare_print_json(const struct comparison *cmp)
{
	static const char *const meaning[] = {
		"nothing is slower", "something is slower",
		"the A/A check failed: verdicts are withheld"
	};
	json_t *cells = json_array(), *only[SIDES], *counts = json_object(),
	       *root;
	const struct joint *j;
	char *name;
	int i, ret;

	for (i = 0; i < SIDES; i++)
		only[i] = json_array();
	for (j = cmp->joint; j < cmp->joint + cmp->n; j++) {
		if (j->contrast) {
			json_array_append_new(cells, cell_object(cmp, j));
			continue;
		}
		name = cell_name(j);
		json_array_append_new(only[j->room[BASE] ? BASE : NEW],
				      json_string(name));
		free(name);
	}
	for (i = 0; i < VERDICTS; i++)
		json_object_set_new(counts, verdict_name[i],
				    json_integer(cmp->verdicts[i]));
	root = json_pack(
		"{s:i, s:o, s:o, s:f, s:I, s:b, s:o, s:[o, o], s:o, s:o, s:o, s:{s:I, s:I, s:o}, s:{s:i, s:s}}",
		"schema", 1, "base", side_object(cmp, BASE), "new",
		side_object(cmp, NEW), "threshold", cmp->threshold, "pairs",
		(json_int_t)cmp->pairs, "interleaved", (int)cmp->interleaved,
		"environment", changes_array(cmp), "aa", aa_object(cmp, BASE),
		aa_object(cmp, NEW), "cells", cells, "only_in_base", only[BASE],
		"only_in_new", only[NEW], "summary", "cells",
		(json_int_t)cmp->contrasts, "tested", (json_int_t)cmp->family,
		"verdicts", counts, "exit", "status", cmp->status, "meaning",
		meaning[cmp->status]);
	if (!root)
		return out_of_memory();
	ret = json_dumpf(root, stdout,
			 JSON_INDENT(1) | JSON_REAL_PRECISION(10));
	putchar('\n');
	json_decref(root);
	return ret ? -EIO : 0;
}

/* ---- CSV ---- */

static void csv_aa(const struct comparison *cmp, enum side_of which)
{
	const struct aa *aa = &cmp->aa[which];
	int i;

	printf("aa,%s", which == BASE ? "base" : "new");
	for (i = 2; i < KEYS; i++)
		putchar(',');
	printf(",%zu,,,,,,,,,,", aa->pairs);
	print_figure(stdout, aa->p);
	printf(",,%s,,,,\n", aa_name[aa->state]);
}

static void csv_cell(const struct comparison *cmp, const struct joint *j)
{
	const struct contrast *c = joint_contrast(cmp, j);
	const double v[] = { c->base_est.median,
			     c->base_est.low,
			     c->base_est.high,
			     c->new_est.median,
			     c->new_est.low,
			     c->new_est.high,
			     c->ratio,
			     c->low,
			     c->high,
			     c->level,
			     c->p,
			     c->p_holm };
	unsigned int i;

	for (i = 0; i < KEYS; i++)
		printf("%s%s", i ? "," : "", j->key[i]);
	printf(",%zu", c->n);
	for (i = 0; i < ARRAY_SIZE(v); i++)
		print_figure(stdout, v[i]);
	printf(",%s", verdict_name[c->verdict]);
	print_figure(stdout, c->mde);
	if (c->verdict != INCONCLUSIVE)
		putchar(',');
	else if (c->more == SIZE_MAX)
		printf(",inf");
	else
		printf(",%zu", c->more);
	printf(",%s,%s\n", j->counts ? "true" : "false", j->flags ?: "");
}

int compare_print_csv(const struct comparison *cmp)
{
	const struct joint *j;
	int i;

	for (i = 0; i < KEYS; i++)
		printf("%s,", key_name[i]);
	puts("n,base_median,base_low,base_high,new_median,new_low,new_high,"
	     "ratio,ratio_low,ratio_high,ci_level,p,p_holm,verdict,mde,"
	     "boots_needed,counts,flags");
	csv_aa(cmp, BASE);
	csv_aa(cmp, NEW);
	for (j = cmp->joint; j < cmp->joint + cmp->n; j++)
		if (j->contrast)
			csv_cell(cmp, j);
	return 0;
}

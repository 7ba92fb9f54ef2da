// SPDX-License-Identifier: GPL-2.0
/*
 * draw.c - comparisons drawn from the boots of measured runs, by the library
 * that k2u-stat compare uses: how often it calls what is not there, how often
 * it finds what was planted. tests/stats.sh measures the runs.
 *
 *   draw aa RUN			a run against itself, see draw_aa()
 *   draw found BASE NEW METHOD	test_spin of METHOD is planted in NEW
 *	   PROVIDER,METHOD,BACKING,SIZE,PHASE,METRIC=RATIO ...
 *
 * The draws overlap: there are far fewer boots than 20 pairs times the draws.
 * stdout: lines "key value".
 */
#include <argp.h>
#include <errno.h>
#include <gsl/gsl_randist.h>
#include <gsl/gsl_rng.h>
#include <gsl/gsl_sort.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../stat/k2u-stat.h"

static unsigned int pairs = 20, draws = 1000;
static bool shuffle;
static gsl_rng *rng;

/* A run as cells by boots */
struct side {
	struct run run;
	struct boot_cells all;
	const struct boot_cell **cell; /* those of every boot */
	double **v;
	size_t cells, boots;
};

static int side_open(struct side *s, const char *dir)
{
	size_t i, j;
	int ret = run_open(&s->run, dir);

	if (!ret)
		ret = boots_read(&s->all, &s->run);
	if (ret)
		return ret;
	s->cell = calloc(s->all.n + 1, sizeof(*s->cell));
	s->v = calloc(s->all.n + 1, sizeof(*s->v));
	if (!s->cell || !s->v)
		return out_of_memory();
	for (i = 0; i < s->all.n; i++)
		if (s->all.cell[i].boots > s->boots)
			s->boots = s->all.cell[i].boots;
	for (i = 0; i < s->all.n; i++) {
		const struct boot_cell *c = &s->all.cell[i];
		double *v;

		if (c->boots != s->boots || !cell_is_compared(c->key))
			continue;
		v = malloc(s->boots * sizeof(*v));
		if (!v)
			return out_of_memory();
		for (j = 0; j < s->boots; j++)
			v[j] = c->boot[j].median;
		s->cell[s->cells] = c;
		s->v[s->cells++] = v;
	}
	return 0;
}

static void side_close(struct side *s)
{
	size_t i;

	for (i = 0; i < s->cells; i++)
		free(s->v[i]);
	free(s->v);
	free(s->cell);
	boots_free(&s->all);
	run_close(&s->run);
}

/* One comparison: pair i is boot from[i] of base with boot to[i] of new */
struct report {
	struct contrast *c;
	double *values;
	double **aa; /* cells of one side, for its A/A row */
};

static int report_init(struct report *r, size_t cells)
{
	r->c = calloc(cells, sizeof(*r->c));
	r->values = calloc(2 * cells * pairs, sizeof(*r->values));
	r->aa = calloc(cells, sizeof(*r->aa));
	return r->c && r->values && r->aa ? 0 : out_of_memory();
}

static void report_free(struct report *r)
{
	free(r->c);
	free(r->values);
	free(r->aa);
}

static double *report_base(const struct report *r, size_t cell)
{
	return r->values + 2 * cell * pairs;
}

static int report_judge(struct report *r, const struct side *base,
			const struct side *new_, const size_t *from,
			const size_t *to)
{
	size_t i, j;

	for (i = 0; i < base->cells; i++) {
		const char *const *key = base->cell[i]->key;
		double *b = report_base(r, i), *n = b + pairs;

		for (j = 0; j < pairs; j++) {
			b[j] = base->v[i][from[j]];
			n[j] = new_->v[i][to[j]];
		}
		r->c[i] = (struct contrast){
			.base = b,
			.new_ = n,
			.n = pairs,
			.more_is_better = cell_is_rate(key),
			.count = !strcmp(key[UNIT], "faults"),
		};
	}
	return judge(r->c, base->cells, THRESHOLD);
}

/* Whether the A/A row of either side fails */
static int report_withheld(struct report *r, size_t cells, bool halves,
			   bool *withheld)
{
	struct aa aa;
	size_t i, s;
	int ret;

	*withheld = false;
	for (s = 0; s < 2; s++) {
		for (i = 0; i < cells; i++)
			r->aa[i] = report_base(r, i) + s * pairs;
		ret = aa_check(&aa, (const double *const *)r->aa, cells, pairs,
			       halves, THRESHOLD);
		if (ret)
			return ret;
		*withheld |= aa.state == AA_FAILED;
	}
	return 0;
}

static bool called(const struct contrast *c)
{
	return c->verdict == SLOWER || c->verdict == FASTER;
}

/* ---- aa ---- */

struct aa_count {
	unsigned long reports, cells; /* compared */
	unsigned long alarms, alarmed; /* cells; reports with one at least */
	unsigned long withheld, kept; /* by the A/A row; alarmed and not */
	unsigned long covered; /* cells whose interval holds 1 */
};

static int aa_add(struct aa_count *n, struct report *r, const struct side *s,
		  const size_t *from, const size_t *to, bool halves)
{
	unsigned long alarms = 0;
	bool withheld;
	size_t i;
	int ret = report_judge(r, s, s, from, to);

	if (!ret)
		ret = report_withheld(r, s->cells, halves, &withheld);
	if (ret)
		return ret;
	for (i = 0; i < s->cells; i++) {
		alarms += called(&r->c[i]);
		n->covered += !(r->c[i].low > 1 || r->c[i].high < 1);
	}
	n->reports++;
	n->cells += s->cells;
	n->alarms += alarms;
	n->alarmed += !!alarms;
	n->withheld += withheld;
	n->kept += alarms && !withheld;
	return 0;
}

static void aa_print(const char *name, const struct aa_count *n)
{
	if (!n->reports)
		return;
	printf("%s_reports %lu\n", name, n->reports);
	printf("%s_cells %lu\n", name, n->cells);
	printf("%s_cell_alarms %lu\n", name, n->alarms);
	printf("%s_cell_alarm_pct %.3f\n", name, 100.0 * n->alarms / n->cells);
	printf("%s_report_alarms %lu\n", name, n->alarmed);
	printf("%s_report_alarm_pct %.2f\n", name,
	       100.0 * n->alarmed / n->reports);
	printf("%s_withheld_pct %.2f\n", name,
	       100.0 * n->withheld / n->reports);
	printf("%s_alarm_not_withheld_pct %.2f\n", name,
	       100.0 * n->kept / n->reports);
	printf("%s_covered_pct %.2f\n", name, 100.0 * n->covered / n->cells);
}

static void sort_sizes(size_t *v, size_t n)
{
	size_t i, j, t;

	for (i = 1; i < n; i++)
		for (j = i; j && v[j - 1] > v[j]; j--) {
			t = v[j];
			v[j] = v[j - 1];
			v[j - 1] = t;
		}
}

/*
 * Four ways to take two sides of one run, whose boots are in the order of time:
 *   disjoint	neighbours, of the first 2 x 20 boots, the next ... : no overlap
 *   random	20 pairs of neighbours, which is base tossed for each pair
 *   abba	40 boots in a row, as interleaved sides are measured
 *   halves	40 boots in a row, one side after the other: what the A/A row is for
 */
static int draw_aa(const char *dir)
{
	struct aa_count disjoint = {}, random = {}, abba = {}, halves = {};
	size_t *from = calloc(pairs, sizeof(*from)),
	       *to = calloc(pairs, sizeof(*to)), *start = NULL, *all = NULL, i,
	       j, d, swap;
	struct side s = {};
	struct report r = {};
	int ret = from && to ? side_open(&s, dir) : out_of_memory();

	if (!ret && s.boots < 2 * pairs + 1) {
		say("%s: %zu boots, %u are needed", dir, s.boots,
		    2 * pairs + 1);
		ret = -EINVAL;
	}
	if (!ret)
		ret = report_init(&r, s.cells);
	start = calloc(pairs, sizeof(*start));
	all = calloc(s.boots + 1, sizeof(*all));
	if (!ret && (!start || !all))
		ret = out_of_memory();
	for (d = 0; !ret && (d + 1) * 2 * pairs <= s.boots; d++) {
		for (j = 0; j < pairs; j++) {
			swap = gsl_rng_uniform_int(rng, 2);
			from[j] = d * 2 * pairs + 2 * j + swap;
			to[j] = d * 2 * pairs + 2 * j + !swap;
		}
		ret = aa_add(&disjoint, &r, &s, from, to, false);
	}
	for (d = 0; !ret && d < draws; d++) {
		const size_t odd = gsl_rng_uniform_int(rng, 2),
			     n = (s.boots - odd) / 2;

		for (i = 0; i < n; i++)
			all[i] = odd + 2 * i;
		gsl_ran_choose(rng, start, pairs, all, n, sizeof(*all));
		sort_sizes(start, pairs);
		for (j = 0; j < pairs; j++) {
			swap = gsl_rng_uniform_int(rng, 2);
			from[j] = start[j] + swap;
			to[j] = start[j] + !swap;
		}
		ret = aa_add(&random, &r, &s, from, to, false);
	}
	for (d = 0; !ret && d + 2 * pairs <= s.boots; d++) {
		for (j = 0; j < pairs; j++) {
			from[j] = d + 2 * j + j % 2;
			to[j] = d + 2 * j + !(j % 2);
		}
		ret = aa_add(&abba, &r, &s, from, to, false);
		for (j = 0; !ret && j < pairs; j++) {
			from[j] = d + j;
			to[j] = d + pairs + j;
		}
		if (!ret)
			ret = aa_add(&halves, &r, &s, from, to, true);
	}
	if (!ret) {
		printf("boots %zu\ncells %zu\npairs %u\n", s.boots, s.cells,
		       pairs);
		aa_print("disjoint", &disjoint);
		aa_print("random", &random);
		aa_print("abba", &abba);
		aa_print("halves", &halves);
	}
	report_free(&r);
	side_close(&s);
	free(from);
	free(to);
	free(start);
	free(all);
	return ret;
}

/* ---- found ---- */

struct planted {
	size_t cell;
	double ratio; /* slowdown that was planted */
	unsigned long found, wrong; /* called slower, called faster */
	double *seen; /* slowdown that was estimated, by draw */
};

/* "k2u,fault,contig,65536,first-touch,touch" */
static void cell_name(const struct boot_cell *c, char *buf, size_t size)
{
	snprintf(buf, size, "%s,%s,%s,%s,%s,%s", c->key[PROVIDER],
		 c->key[METHOD], c->key[BACKING], c->key[SIZE], c->key[PHASE],
		 c->key[METRIC]);
}

static int planted_of(struct planted *p, const struct side *s, const char *arg)
{
	const char *ratio = strrchr(arg, '=');
	char name[256];
	size_t i;

	for (i = 0; ratio && i < s->cells; i++) {
		cell_name(s->cell[i], name, sizeof(name));
		if (strlen(name) == (size_t)(ratio - arg) &&
		    !strncmp(name, arg, ratio - arg))
			break;
	}
	if (!ratio || i == s->cells || parse_f64(ratio + 1, &p->ratio)) {
		say("%s: no such cell, or no ratio", arg);
		return -EINVAL;
	}
	p->cell = i;
	p->seen = calloc(draws, sizeof(*p->seen));
	return p->seen ? 0 : out_of_memory();
}

/*
 * Both sides have the same cells, in the same order; BASE as many boots at
 * least, and where pairs are neighbours a whole number for each of NEW.
 */
static int same_cells(const struct side *a, const struct side *b)
{
	size_t i;

	for (i = 0; i < a->cells && a->cells == b->cells; i++)
		if (compare_keys(a->cell[i]->key, b->cell[i]->key))
			break;
	if (i == a->cells && a->cells == b->cells && b->boots &&
	    a->boots >= b->boots && (shuffle || a->boots % b->boots == 0))
		return 0;
	say("%s, %s: not the same cells and boots", a->run.dir, b->run.dir);
	return -EINVAL;
}

static void print_planted(const struct side *s, const struct planted *p)
{
	char name[256];
	unsigned long close = 0;
	double worst = 0;
	unsigned int d;

	cell_name(s->cell[p->cell], name, sizeof(name));
	for (d = 0; d < draws; d++) {
		const double off = 100 * fabs(p->seen[d] - p->ratio);

		close += off <= 0.3;
		worst = off > worst ? off : worst;
	}
	gsl_sort(p->seen, 1, draws);
	printf("cell %s\n", name);
	printf("planted_pct %.3f\n", 100 * (p->ratio - 1));
	printf("found_pct %.1f\n", 100.0 * p->found / draws);
	printf("wrong_pct %.1f\n", 100.0 * p->wrong / draws);
	printf("median_pct %.3f\n", 100 * (p->seen[draws / 2] - 1));
	printf("off_points %.3f\n", 100 * fabs(p->seen[draws / 2] - p->ratio));
	printf("worst_off_points %.3f\n", worst);
	printf("within_0.3_points_pct %.1f\n", 100.0 * close / draws);
}

/*
 * Pairs: of NEW's boots some, each with the one of BASE that was measured next
 * to it (BASE may have several for each of NEW: the last one); --shuffle: with
 * any, so that under icount the two have different seeds.
 */
static void choose_pairs(size_t *from, size_t *to, size_t base_boots,
			 size_t new_boots, size_t *all)
{
	const size_t step = base_boots / new_boots;
	size_t i;

	for (i = 0; i < base_boots; i++)
		all[i] = i;
	gsl_ran_choose(rng, to, pairs, all, new_boots, sizeof(*all));
	if (shuffle) {
		gsl_ran_shuffle(rng, all, base_boots, sizeof(*all));
		memcpy(from, all, pairs * sizeof(*all));
		return;
	}
	for (i = 0; i < pairs; i++)
		from[i] = (to[i] + 1) * step - 1;
}

static int draw_found(char **arg, size_t nr)
{
	const char *method = arg[2];
	struct side base = {}, new_ = {};
	struct report r = {};
	struct planted *p = calloc(nr, sizeof(*p));
	unsigned long others = 0, alarms = 0, alarmed = 0;
	size_t *all = NULL, *from = calloc(pairs, sizeof(*from)),
	       *to = calloc(pairs, sizeof(*to)), i, k;
	const size_t nr_planted = nr - 3;
	unsigned int d;
	int ret = p && from && to ? side_open(&base, arg[0]) : out_of_memory();

	if (!ret)
		ret = side_open(&new_, arg[1]);
	if (!ret)
		ret = same_cells(&base, &new_);
	if (!ret && new_.boots < pairs) {
		say("%s: %zu boots, %u are needed", arg[1], new_.boots, pairs);
		ret = -EINVAL;
	}
	if (!ret)
		ret = report_init(&r, base.cells);
	for (i = 0; !ret && i < nr_planted; i++)
		ret = planted_of(&p[i], &base, arg[3 + i]);
	all = calloc(base.boots + 1, sizeof(*all));
	if (!ret && !all)
		ret = out_of_memory();
	for (d = 0; !ret && d < draws; d++) {
		unsigned long now = 0;

		choose_pairs(from, to, base.boots, new_.boots, all);
		ret = report_judge(&r, &base, &new_, from, to);
		if (ret)
			break;
		for (k = 0; k < nr_planted; k++) {
			const struct contrast *c = &r.c[p[k].cell];

			p[k].found += c->verdict == SLOWER;
			p[k].wrong += c->verdict == FASTER;
			p[k].seen[d] = c->more_is_better ? 1 / c->ratio :
							   c->ratio;
		}
		/* What the knob does not touch: other methods' cells */
		for (i = 0; i < base.cells; i++) {
			if (!strcmp(base.cell[i]->key[METHOD], method))
				continue;
			others++;
			now += called(&r.c[i]);
		}
		alarms += now;
		alarmed += !!now;
	}
	if (!ret) {
		printf("boots %zu\nbase_boots %zu\npairs %u\ndraws %u\n",
		       new_.boots, base.boots, pairs, draws);
		for (k = 0; k < nr_planted; k++)
			print_planted(&base, &p[k]);
		printf("others %lu\nothers_called %lu\nothers_called_pct %.3f\n",
		       others, alarms, others ? 100.0 * alarms / others : 0);
		printf("reports_with_others_called_pct %.2f\n",
		       100.0 * alarmed / draws);
	}
	for (k = 0; p && k < nr_planted; k++)
		free(p[k].seen);
	free(p);
	free(from);
	free(to);
	free(all);
	report_free(&r);
	side_close(&base);
	side_close(&new_);
	return ret;
}

/* ---- the command line ---- */

static const struct argp_option options[] = {
	{ "draws", 'd', "N", 0, "comparisons that are drawn (1000)", 0 },
	{ "pairs", 'n', "N", 0, "pairs of boots of each (20)", 0 },
	{ "shuffle", 'x', NULL, 0, "found: pair any boots", 0 },
	{ "seed", 's', "N", 0, "of the draws (1)", 0 },
	{},
};

struct args {
	char *arg[64];
	unsigned int nr;
	unsigned long seed;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct args *a = state->input;

	switch (key) {
	case 'd':
		draws = strtoul(arg, NULL, 10);
		break;
	case 'n':
		pairs = strtoul(arg, NULL, 10);
		break;
	case 'x':
		shuffle = true;
		break;
	case 's':
		a->seed = strtoul(arg, NULL, 10);
		break;
	case ARGP_KEY_ARG:
		if (a->nr == ARRAY_SIZE(a->arg))
			argp_usage(state);
		a->arg[a->nr++] = arg;
		break;
	case ARGP_KEY_END:
		if (!draws || !pairs || a->nr < 2 ||
		    (strcmp(a->arg[0], "aa") && strcmp(a->arg[0], "found")) ||
		    (!strcmp(a->arg[0], "found") && a->nr < 5))
			argp_usage(state);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "aa RUN\nfound BASE NEW METHOD CELL=RATIO...",
	};
	struct args a = { .seed = 1 };
	int ret;

	argp_parse(&argp, argc, argv, 0, NULL, &a);
	rng = gsl_rng_alloc(gsl_rng_mt19937);
	if (!rng)
		return 1;
	gsl_rng_set(rng, a.seed);
	ret = !strcmp(a.arg[0], "aa") ? draw_aa(a.arg[1]) :
					draw_found(a.arg + 1, a.nr - 1);
	gsl_rng_free(rng);
	return ret ? 1 : 0;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * What the phases of `pass` imply. With the cost of one pass split into setup,
 * first touch, warm and teardown, k uses cost
 *
 *	total(k) = setup + first + (k - 1) warm + teardown
 *
 * From that, block by block so that the sides of a comparison are paired (and,
 * of several boots, reduced to a figure per boot before anything else): the
 * k at which a mapping beats the copy, and whether the end-to-end measurement
 * agrees with the phases (breakeven.csv); what a use costs at a given k, and
 * who is cheapest (cost.csv).
 *
 * A copy needs a destination, which is not the buffer's: a program that has one
 * already (reused) pays a warm pass for each use and nothing else; one that
 * makes one for this buffer alone (fresh) pays all phases. The answer depends
 * on which it is, so both are given.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "k2u-stat.h"

/* A cost ratio whose interval ends below this is no reason to choose */
#define EQUIVALENT 1.01

enum destination { REUSED, FRESH, DESTINATIONS };

static const char *const destination_name[] = { "reused", "fresh" };

static const double cost_uses[] = { 1, 10, 100, INFINITY };

/* A configuration's phases, in the blocks that have all four */
struct config {
	const struct cell *cell, *end; /* all its cells */
	const struct cell *phase[PASS_PHASES];
	struct pass *pass;
	const struct block **id;
	size_t n;
};

struct configs {
	struct config *config;
	size_t n, room;
};

static double fixed(const struct pass *pass)
{
	return pass->phase[SETUP] + pass->phase[FIRST_TOUCH] +
	       pass->phase[TEARDOWN] - pass->phase[WARM];
}

double pass_per_use(const struct pass *pass, double k)
{
	return fixed(pass) / k + pass->phase[WARM];
}

double pass_breakeven(const struct pass *map, const struct pass *copy)
{
	double dearer = fixed(map) - fixed(copy);
	double saved = copy->phase[WARM] - map->phase[WARM];

	if (dearer <= saved) /* total(1) is no higher */
		return 1;
	return saved > 0 ? dearer / saved : INFINITY;
}

/* Walks two sequences of blocks in step: the index in b of block id, or b's end */
static size_t seek_block(const struct block *const *b, size_t at, size_t n,
			 const struct block *id)
{
	while (at < n && compare_blocks(b[at], id) < 0)
		at++;
	return at;
}

static int pair_phases(struct config *config)
{
	const struct cell *first = config->phase[SETUP], *c;
	size_t at[PASS_PHASES] = {}, i;
	unsigned int p;

	config->pass = calloc(first->blocks, sizeof(*config->pass));
	config->id = calloc(first->blocks, sizeof(*config->id));
	if (!config->pass || !config->id)
		return out_of_memory();

	for (i = 0; i < first->blocks; i++) {
		for (p = 0; p < PASS_PHASES; p++) {
			c = config->phase[p];
			while (at[p] < c->blocks &&
			       compare_blocks(&c->block[at[p]],
					      &first->block[i]) < 0)
				at[p]++;
			if (at[p] == c->blocks ||
			    compare_blocks(&c->block[at[p]], &first->block[i]))
				break;
			config->pass[config->n].phase[p] =
				c->block[at[p]].median;
		}
		if (p == PASS_PHASES)
			config->id[config->n++] = &first->block[i];
	}
	return 0;
}

/* 1: a configuration with all of `pass`, 0: not one, -errno */
static int config_init(struct config *config, const struct cell *cell,
		       const struct cell *end)
{
	unsigned int p, found = 0;
	const struct cell *c;

	memset(config, 0, sizeof(*config));
	config->cell = cell;
	config->end = end;
	if (strcmp(cell->key[MEASURE], "throughput"))
		return 0;
	for (c = cell; c < end; c++) {
		if (strcmp(c->key[METRIC], "pass"))
			continue;
		for (p = 0;
		     p < PASS_PHASES && strcmp(c->key[PHASE], pass_phase[p]);
		     p++)
			;
		if (p < PASS_PHASES && !config->phase[p]) {
			config->phase[p] = c;
			found++;
		}
	}
	if (!found)
		return 0;
	if (found < PASS_PHASES) {
		if (is_baseline(cell->key[METHOD])) /* nothing to touch */
			return 0;
		for (p = 0; config->phase[p]; p++)
			;
		say("note: %s %s (%s), %s bytes: `pass` has no phase %s: no cost, no break-even",
		    cell->key[PROVIDER], cell->key[METHOD], cell->key[BACKING],
		    cell->key[SIZE], pass_phase[p]);
		return 0;
	}
	return pair_phases(config) ?: 1;
}

static void configs_free(struct configs *configs)
{
	size_t i;

	for (i = 0; i < configs->n; i++) {
		free(configs->config[i].pass);
		free(configs->config[i].id);
	}
	free(configs->config);
}

static const char *key(const struct config *config, enum key k)
{
	return config->phase[SETUP]->key[k];
}

/* By what competitors have in common, so that they stand together */
static int compare_fields(const struct config *x, const struct config *y)
{
	static const enum key keys[] = { PROVIDER, CACHE, THREADS, UNIT };
	unsigned int i;
	int d;

	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		d = strcmp(key(x, keys[i]), key(y, keys[i]));
		if (d)
			return d;
	}
	return (x->cell->size > y->cell->size) -
	       (x->cell->size < y->cell->size);
}

static int compare_configs(const void *a, const void *b)
{
	const struct config *x = a, *y = b;
	int d = compare_fields(x, y);

	/* The cells are in order already */
	return d ? d : (x->cell > y->cell) - (x->cell < y->cell);
}

static int configs_read(struct configs *configs, const struct cells *cells)
{
	const struct cell *cell = cells->cell, *all = cell + cells->n, *end;
	void *p;
	int ret, i;

	memset(configs, 0, sizeof(*configs));
	for (; cell < all; cell = end) {
		for (end = cell + 1; end < all; end++) {
			for (i = 0;
			     i < PHASE && !strcmp(cell->key[i], end->key[i]);
			     i++)
				;
			if (i < PHASE)
				break;
		}
		p = grow(configs->config, configs->n, &configs->room,
			 sizeof(*configs->config));
		if (!p)
			return out_of_memory();
		configs->config = p;
		ret = config_init(&configs->config[configs->n], cell, end);
		if (ret)
			configs->n++; /* also half made: to be freed */
		if (ret < 0)
			return ret;
	}
	if (configs->n)
		qsort(configs->config, configs->n, sizeof(*configs->config),
		      compare_configs);
	return 0;
}

static bool is_copy(const struct config *config)
{
	return is_copying(key(config, METHOD));
}

/* The phases that block i pays where copies have that destination */
static struct pass paid(const struct config *config, size_t i,
			enum destination to)
{
	struct pass pass = config->pass[i];

	if (to == REUSED && is_copy(config)) {
		pass.phase[SETUP] = pass.phase[TEARDOWN] = 0;
		pass.phase[FIRST_TOUCH] = pass.phase[WARM];
	}
	return pass;
}

/* break-even */

/* Other attributes are no choice: what is behind a buffer asks for them */
static bool is_write_back(const struct config *config)
{
	const char *cache = key(config, CACHE);

	return strcmp(cache, "wc") && strcmp(cache, "uc");
}

/* `read` among map's competitors: of the same backing if it has that */
static const struct config *find_copy(const struct configs *configs,
				      const struct config *map)
{
	const struct config *c, *copy = NULL;

	for (c = configs->config; c < configs->config + configs->n; c++)
		if (!strcmp(key(c, METHOD), "read") && is_write_back(c) &&
		    !compare_fields(c, map) &&
		    (!copy || !strcmp(key(c, BACKING), key(map, BACKING))))
			copy = c;
	return copy;
}

static int estimate_breakeven(const struct config *map,
			      const struct config *copy, enum destination to,
			      struct estimate *k)
{
	struct replicates r;
	struct pass pass;
	size_t i, j = 0;

	if (replicates_init(&r, map->n))
		return -ENOMEM;
	for (i = 0; i < map->n; i++) {
		j = seek_block(copy->id, j, copy->n, map->id[i]);
		if (j == copy->n || compare_blocks(copy->id[j], map->id[i]))
			continue;
		pass = paid(copy, j, to);
		replicates_add(&r, map->id[i]->boot,
			       pass_breakeven(&map->pass[i], &pass));
	}
	*k = replicates_estimate(&r);
	replicates_free(&r);
	return 0;
}

/* Uses k of metric e2e_<k>; 0 if it is another metric */
static unsigned long e2e_uses(const char *metric)
{
	unsigned long k;
	char *end;

	if (strncmp(metric, "e2e_", 4) || metric[4] < '0' || metric[4] > '9')
		return 0;
	k = strtoul(metric + 4, &end, 10);
	return *end ? 0 : k;
}

/* Predicted by the phases against measured end to end, per use, paired by block */
static int print_e2e(FILE *f, const struct config *map, const struct cell *e2e,
		     unsigned long k)
{
	struct replicates predicted = {}, measured = {}, ratio = {};
	struct estimate est;
	const struct block *b;
	size_t i, j = 0;
	double p;
	int ret;

	ret = replicates_init(&predicted, map->n)	 ?:
		      replicates_init(&measured, map->n) ?:
		      replicates_init(&ratio, map->n);
	if (ret)
		goto free;
	for (i = 0; i < map->n; i++) {
		while (j < e2e->blocks &&
		       compare_blocks(&e2e->block[j], map->id[i]) < 0)
			j++;
		b = &e2e->block[j];
		if (j == e2e->blocks)
			break;
		if (compare_blocks(b, map->id[i]) || !(b->median > 0))
			continue;
		p = pass_per_use(&map->pass[i], k);
		replicates_add(&predicted, b->boot, p);
		replicates_add(&measured, b->boot, b->median);
		replicates_add(&ratio, b->boot, p / b->median);
	}
	fprintf(f, ",%lu", k);
	print_figure(f, replicates_estimate(&predicted).median);
	print_figure(f, replicates_estimate(&measured).median);
	est = replicates_estimate(&ratio);
	print_figure(f, est.median);
	print_figure(f, est.low);
	print_figure(f, est.high);
free:
	replicates_free(&predicted);
	replicates_free(&measured);
	replicates_free(&ratio);
	return ret;
}

static void print_mapping(FILE *f, const struct config *map,
			  const struct config *copy, const struct estimate *k)
{
	fprintf(f, "%s,%s,%s,%s,%s,%s,%s,%zu", key(map, SIZE),
		key(map, PROVIDER), key(map, METHOD), key(map, BACKING),
		key(copy, METHOD), key(copy, BACKING), key(map, UNIT), k->n);
	/* Uses are whole */
	print_figure(f, ceil(k->median));
	print_figure(f, ceil(k->low));
	print_figure(f, ceil(k->high));
}

/*
 * A row per end-to-end metric, or one without. Those are of the mapping alone,
 * so the second destination does not repeat them.
 */
static int print_breakeven(FILE *f, const struct configs *configs,
			   const struct config *map, enum destination to)
{
	const struct config *copy = find_copy(configs, map);
	const struct cell *c;
	struct estimate k;
	unsigned long uses;
	bool any = false;
	int ret;

	if (!copy) {
		if (to == REUSED)
			say("note: %s %s (%s), %s bytes: no read of that size to break even with",
			    key(map, PROVIDER), key(map, METHOD),
			    key(map, BACKING), key(map, SIZE));
		return 0;
	}
	ret = estimate_breakeven(map, copy, to, &k);
	for (c = map->cell; !ret && to == REUSED && c < map->end; c++) {
		uses = e2e_uses(c->key[METRIC]);
		if (!uses || strcmp(c->key[UNIT], key(map, UNIT)))
			continue;
		any = true;
		print_mapping(f, map, copy, &k);
		ret = print_e2e(f, map, c, uses);
		fprintf(f, ",%s,%zu\n", destination_name[to], k.boots);
	}
	if (!ret && !any) {
		print_mapping(f, map, copy, &k);
		fprintf(f, ",,,,,,,%s,%zu\n", destination_name[to], k.boots);
	}
	return ret;
}

static int write_breakeven(const struct configs *configs, const struct run *run)
{
	const struct config *map;
	struct out out;
	int ret;

	ret = out_open(&out, run->dir, "breakeven.csv");
	if (ret)
		return ret;
	fputs("size_bytes,provider,method,backing,base_method,base_backing,unit,blocks,"
	      "k_median,k_low,k_high,e2e_k,predicted,measured,ratio,ratio_low,ratio_high,destination,boots\n",
	      out.f);
	for (map = configs->config; map < configs->config + configs->n; map++) {
		if (is_copy(map) || is_baseline(key(map, METHOD)) ||
		    !is_write_back(map))
			continue;
		ret = print_breakeven(out.f, configs, map, REUSED) ?:
			      print_breakeven(out.f, configs, map, FRESH);
		if (ret) {
			out_abort(&out);
			return ret;
		}
	}
	return out_commit(&out);
}

/* cost per use */

/*
 * Why a configuration does not compete. Where instructions are counted, a
 * string copy counts per iteration, which says nothing about hardware.
 */
static const char *standing(const struct config *config)
{
	if (is_baseline(key(config, METHOD)))
		return "baseline";
	if (!is_write_back(config) ||
	    (is_copy(config) && !strcmp(key(config, UNIT), "insn")))
		return "excluded";
	return NULL;
}

static int estimate_cost(const struct config *config, double uses,
			 enum destination to, struct estimate *cost)
{
	struct replicates r;
	struct pass pass;
	size_t i;

	if (replicates_init(&r, config->n))
		return -ENOMEM;
	for (i = 0; i < config->n; i++) {
		pass = paid(config, i, to);
		replicates_add(&r, config->id[i]->boot,
			       pass_per_use(&pass, uses));
	}
	*cost = replicates_estimate(&r);
	replicates_free(&r);
	return 0;
}

static int estimate_ratio(const struct config *config,
			  const struct config *best, double uses,
			  enum destination to, struct estimate *ratio)
{
	struct pass ours, theirs;
	struct replicates r;
	size_t i, j = 0;

	if (replicates_init(&r, config->n))
		return -ENOMEM;
	for (i = 0; best && i < config->n; i++) {
		j = seek_block(best->id, j, best->n, config->id[i]);
		if (j == best->n || compare_blocks(best->id[j], config->id[i]))
			continue;
		ours = paid(config, i, to);
		theirs = paid(best, j, to);
		replicates_add(&r, config->id[i]->boot,
			       pass_per_use(&ours, uses) /
				       pass_per_use(&theirs, uses));
	}
	*ratio = replicates_estimate(&r);
	replicates_free(&r);
	return 0;
}

static const char *verdict(const struct config *config,
			   const struct config *best,
			   const struct estimate *ratio)
{
	if (standing(config))
		return standing(config);
	if (config == best)
		return "best";
	if (isnan(ratio->low))
		return "undecided";
	return ratio->low > 1 && ratio->high > EQUIVALENT ? "dearer" : "equal";
}

/* What is doubtful about any of the phases */
static void print_flags(FILE *f, const struct cells *cells,
			const struct config *config,
			const struct estimate *cost, bool incomplete)
{
	uint64_t flags = 0;
	unsigned int p;

	for (p = 0; p < PASS_PHASES; p++)
		flags |= config->phase[p]->flags;
	flags_print(f, cells, flags, cost, 0, incomplete);
}

/* One size, number of uses and destination: the competitors from first to end */
static int print_cost(FILE *f, const struct cells *cells, const struct run *run,
		      const struct config *first, const struct config *end,
		      double uses, enum destination to)
{
	const struct config *c, *best = NULL;
	struct estimate cost, ratio;
	double least = INFINITY;
	int ret;

	for (c = first; c < end; c++) {
		ret = estimate_cost(c, uses, to, &cost);
		if (ret)
			return ret;
		if (!standing(c) && cost.median < least) {
			least = cost.median;
			best = c;
		}
	}
	for (c = first; c < end; c++) {
		ret = estimate_cost(c, uses, to, &cost) ?:
			      estimate_ratio(c, best, uses, to, &ratio);
		if (ret)
			return ret;
		fprintf(f, "%s,%s,%s,%s,%s,%s,%g,%s,%zu", key(c, SIZE),
			key(c, PROVIDER), key(c, METHOD), key(c, BACKING),
			key(c, CACHE), key(c, THREADS), uses, key(c, UNIT),
			cost.n);
		print_figure(f, cost.median);
		print_figure(f, cost.low);
		print_figure(f, cost.high);
		print_figure(f, ratio.median);
		print_figure(f, ratio.low);
		print_figure(f, ratio.high);
		fprintf(f, ",%s,", verdict(c, best, &ratio));
		print_flags(f, cells, c, &cost, !run->complete);
		fprintf(f, ",%s,%zu\n", destination_name[to], cost.boots);
	}
	return 0;
}

static int write_cost(const struct configs *configs, const struct cells *cells,
		      const struct run *run)
{
	const struct config *first, *end, *all = configs->config + configs->n;
	struct out out;
	unsigned int u;
	int ret;

	ret = out_open(&out, run->dir, "cost.csv");
	if (ret)
		return ret;
	fputs("size_bytes,provider,method,backing,cache,threads,uses,unit,blocks,"
	      "cost,cost_low,cost_high,ratio,ratio_low,ratio_high,verdict,flags,destination,boots\n",
	      out.f);
	for (first = configs->config; first < all; first = end) {
		for (end = first + 1; end < all && !compare_fields(first, end);
		     end++)
			;
		for (u = 0; u < DESTINATIONS * ARRAY_SIZE(cost_uses); u++) {
			ret = print_cost(out.f, cells, run, first, end,
					 cost_uses[u / DESTINATIONS],
					 u % DESTINATIONS);
			if (ret) {
				out_abort(&out);
				return ret;
			}
		}
	}
	return out_commit(&out);
}

int write_costs(const struct cells *cells, const struct run *run)
{
	struct configs configs;
	int ret;

	ret = configs_read(&configs, cells);
	if (!ret)
		ret = write_breakeven(&configs, run) ?:
			      write_cost(&configs, cells, run);
	configs_free(&configs);
	return ret;
}

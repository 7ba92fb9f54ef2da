// SPDX-License-Identifier: GPL-2.0
/*
 * Samples by cell, a cell being a configuration and a metric. One pass over
 * samples.csv; what is kept of a sample is its value.
 */
#include <errno.h>
#include <gsl/gsl_sort.h>
#include <gsl/gsl_statistics.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "k2u-stat.h"
#include "k2u.h"

const char *const key_name[KEYS] = {
	"measure",    "provider", "method", "backing", "cache",
	"size_bytes", "threads",  "phase",  "metric",  "unit",
};

const char *const pass_phase[PASS_PHASES] = { "setup", "first-touch", "warm",
					      "teardown" };

/* Columns of samples.csv behind the keys */
enum { BOOT = KEYS, BLOCK, SAMPLE, OVERHEAD, VALUE };

static const char *const columns[] = {
	"measure", "provider", "method", "backing", "cache", "size_bytes",
	"threads", "phase",    "metric", "unit",    "boot",  "block",
	"sample",  "overhead", "value",	 NULL,
};

/* Life cycle first, then anything else */
static int phase_rank(const char *phase)
{
	static const char *const order[] = { "open", "setup",	 "first-touch",
					     "warm", "teardown", "close",
					     "all" };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(order) && strcmp(order[i], phase); i++)
		;
	return i;
}

int compare_keys(const char *const *x, const char *const *y)
{
	int i, d;

	for (i = 0; i < KEYS; i++) {
		if (i == PHASE)
			d = phase_rank(x[i]) - phase_rank(y[i]) ?:
				    strcmp(x[i], y[i]);
		else
			d = strverscmp(x[i], y[i]); /* numbers, too */
		if (d)
			return d;
	}
	return 0;
}

static int compare_cells(const void *a, const void *b)
{
	const struct cell *x = a, *y = b;

	return compare_keys(x->key, y->key);
}

int compare_blocks(const void *a, const void *b)
{
	const struct block *x = a, *y = b;

	if (x->boot != y->boot)
		return x->boot < y->boot ? -1 : 1;
	return (x->block > y->block) - (x->block < y->block);
}

double cell_overhead_pct(const struct cell *cell, double median)
{
	double overhead = cell->overhead / cell->n;

	if (overhead == 0)
		return 0;
	return median ? fabs(100 * overhead / median) : INFINITY;
}

int cell_replicates(const struct cell *cell, struct replicates *r)
{
	size_t i;

	if (replicates_init(r, cell->blocks))
		return -ENOMEM;
	for (i = 0; i < cell->blocks; i++)
		replicates_add(r, cell->block[i].boot, cell->block[i].median);
	return 0;
}

bool cell_is_compared(const char *const *key)
{
	size_t len = strlen(key[METRIC]);

	return (len < 4 || strcmp(key[METRIC] + len - 4, "_svc")) &&
	       strcmp(key[METRIC], "expected") && strcmp(key[UNIT], "count");
}

bool cell_is_rate(const char *const *key)
{
	return !strcmp(key[UNIT], "GB/s") || !strcmp(key[UNIT], "M/s") ||
	       !strcmp(key[UNIT], "B/insn");
}

bool is_copying(const char *method)
{
	static const struct {
		const char *name;
		unsigned int access;
	} methods[] = {
#define K2U_METHOD(id, name, access, backings, faults, title, refusal) \
	{ #name, K2U_ACCESS_##access },
#include "methods.def"
#undef K2U_METHOD
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(methods); i++)
		if (!strcmp(method, methods[i].name))
			return !(methods[i].access &
				 (K2U_ACCESS_MAP | K2U_ACCESS_MAP_OTHER));
	return false;
}

bool cell_is_emulated_copy(const char *const *key)
{
	static const char *const copying[] = { "read", "copy", "reuse",
					       "per_use", NULL };

	if (strcmp(key[UNIT], "insn") && strcmp(key[UNIT], "B/insn"))
		return false;
	if (!is_copying(key[METHOD]))
		return false;
	if (!strcmp(key[METRIC], "pass"))
		return !strcmp(key[PHASE], "first-touch") ||
		       !strcmp(key[PHASE], "warm");
	return find_name(copying, key[METRIC]) >= 0 ||
	       !strncmp(key[METRIC], "e2e_", 4);
}

bool is_baseline(const char *method)
{
	return !strcmp(method, "null") || !strcmp(method, "anon");
}

static bool same_keys(const struct cell *cell, const struct csv *csv)
{
	int i;

	/* From the right: the metric is what differs most often */
	for (i = KEYS - 1; i >= 0; i--)
		if (strcmp(cell->key[i], csv_str(csv, i)))
			return false;
	return true;
}

/* FNV-1a */
static uint64_t hash_keys(const struct csv *csv)
{
	uint64_t hash = 0xcbf29ce484222325ULL;
	const char *p;
	int i;

	for (i = 0; i < KEYS; i++) {
		for (p = csv_str(csv, i); *p; p++)
			hash = (hash ^ (unsigned char)*p) * 0x100000001b3ULL;
		hash = (hash ^ ',') * 0x100000001b3ULL;
	}
	return hash;
}

static uint64_t hash_cell(const struct cell *cell)
{
	uint64_t hash = 0xcbf29ce484222325ULL;
	const char *p;
	int i;

	for (i = 0; i < KEYS; i++) {
		for (p = cell->key[i]; *p; p++)
			hash = (hash ^ (unsigned char)*p) * 0x100000001b3ULL;
		hash = (hash ^ ',') * 0x100000001b3ULL;
	}
	return hash;
}

static int rehash(struct cells *cells)
{
	size_t slots = cells->slots ? 2 * cells->slots : 1024, i, at;
	size_t *slot = calloc(slots, sizeof(*slot));

	if (!slot)
		return out_of_memory();
	for (i = 0; i < cells->n; i++) {
		for (at = hash_cell(&cells->cell[i]) & (slots - 1); slot[at];
		     at = (at + 1) & (slots - 1))
			;
		slot[at] = i + 1;
	}
	free(cells->slot);
	cells->slot = slot;
	cells->slots = slots;
	return 0;
}

static int new_cell(struct cells *cells, const struct csv *csv)
{
	struct cell *cell;
	size_t len = 0;
	uint64_t n;
	char *p;
	int i;

	if (csv_u64(csv, SIZE, &n) || csv_u64(csv, THREADS, &n))
		return -EINVAL;
	for (i = 0; i < KEYS; i++) {
		if (csv_name(csv, i))
			return -EINVAL;
		len += strlen(csv_str(csv, i)) + 1;
	}

	cell = grow(cells->cell, cells->n, &cells->room, sizeof(*cell));
	if (!cell)
		return out_of_memory();
	cells->cell = cell;
	cell += cells->n;
	memset(cell, 0, sizeof(*cell));
	cell->text = malloc(len);
	if (!cell->text)
		return out_of_memory();
	for (i = 0, p = cell->text; i < KEYS; i++) {
		cell->key[i] = p;
		p = stpcpy(p, csv_str(csv, i)) + 1;
	}
	csv_u64(csv, SIZE, &cell->size);
	cells->n++;
	return 0;
}

int cells_row(struct cells *cells, const struct csv *csv, struct cell **cell)
{
	size_t at;
	int ret;

	/* Rows of a cell come together */
	if (cells->n &&
	    (csv->repeated || same_keys(&cells->cell[cells->last], csv))) {
		*cell = &cells->cell[cells->last];
		return 0;
	}
	if (2 * cells->n >= cells->slots) {
		ret = rehash(cells);
		if (ret)
			return ret;
	}
	for (at = hash_keys(csv) & (cells->slots - 1); cells->slot[at];
	     at = (at + 1) & (cells->slots - 1))
		if (same_keys(&cells->cell[cells->slot[at] - 1], csv))
			break;
	if (!cells->slot[at]) {
		ret = new_cell(cells, csv);
		if (ret)
			return ret;
		cells->slot[at] = cells->n;
	}
	cells->last = cells->slot[at] - 1;
	*cell = &cells->cell[cells->last];
	return 0;
}

struct block *cell_block(struct cell *cell, uint64_t boot, uint64_t block)
{
	struct block *b;

	b = grow(cell->block, cell->blocks, &cell->block_room, sizeof(*b));
	if (!b) {
		out_of_memory();
		return NULL;
	}
	cell->block = b;
	b += cell->blocks++;
	*b = (struct block){ .boot = boot,
			     .block = block,
			     .start = cell->held };
	return b;
}

static void block_median(struct cell *cell, struct block *b)
{
	gsl_sort(cell->value + b->start, 1, b->n);
	b->median = gsl_stats_median_from_sorted_data(cell->value + b->start, 1,
						      b->n);
}

static int add_sample(const struct cells *cells, struct cell *cell,
		      const struct csv *csv)
{
	uint64_t boot, block, sample;
	double value, overhead;
	struct block *b;
	void *p;

	if (csv_u64(csv, BOOT, &boot) || csv_u64(csv, BLOCK, &block) ||
	    csv_u64(csv, SAMPLE, &sample) ||
	    csv_f64(csv, OVERHEAD, &overhead) || csv_f64(csv, VALUE, &value))
		return -EINVAL;

	b = cell->blocks ? &cell->block[cell->blocks - 1] : NULL;
	if (!b || b->boot != boot || b->block != block) {
		if (b && cells->medians) {
			block_median(cell, b);
			cell->held = 0;
		}
		b = cell_block(cell, boot, block);
		if (!b)
			return -ENOMEM;
	}
	p = grow(cell->value, cell->held, &cell->room, sizeof(*cell->value));
	if (!p)
		return out_of_memory();
	cell->value = p;
	b->n++;
	cell->n++;
	cell->value[cell->held++] = value;
	cell->overhead += overhead;
	return 0;
}

/* Blocks in order, those that came in pieces joined; their medians */
static int close_cell(struct cell *cell)
{
	size_t i, n = 0, at = 0;
	struct block *b;
	double *value;

	value = malloc(cell->n * sizeof(*value));
	if (!value)
		return out_of_memory();
	qsort(cell->block, cell->blocks, sizeof(*cell->block), compare_blocks);
	for (i = 0; i < cell->blocks; i++) {
		b = &cell->block[i];
		memcpy(value + at, cell->value + b->start,
		       b->n * sizeof(*value));
		if (n && !compare_blocks(&cell->block[n - 1], b)) {
			cell->block[n - 1].n += b->n;
		} else {
			cell->block[n] = *b;
			cell->block[n++].start = at;
		}
		at += b->n;
	}
	cell->blocks = n;
	free(cell->value);
	cell->value = value;
	for (b = cell->block; b < cell->block + n; b++)
		block_median(cell, b);
	return 0;
}

/* -EAGAIN: a block came in pieces, of which only the medians are left */
static int close_medians(struct cell *cell)
{
	size_t i;

	block_median(cell, &cell->block[cell->blocks - 1]);
	free(cell->value);
	cell->value = NULL;
	cell->held = cell->room = 0;
	qsort(cell->block, cell->blocks, sizeof(*cell->block), compare_blocks);
	for (i = 1; i < cell->blocks; i++)
		if (!compare_blocks(&cell->block[i - 1], &cell->block[i]))
			return -EAGAIN;
	return 0;
}

void cells_sort(struct cells *cells)
{
	qsort(cells->cell, cells->n, sizeof(*cells->cell), compare_cells);
}

static int read_samples(struct cells *cells, const struct run *run,
			struct csv *csv)
{
	struct cell *cell;
	size_t i;
	int ret;

	while ((ret = csv_next(csv)) > 0) {
		ret = cells_row(cells, csv, &cell);
		if (!ret)
			ret = add_sample(cells, cell, csv);
		if (ret)
			return ret;
	}
	if (ret)
		return ret;
	if (!cells->n && has_capability(run))
		return 0;
	if (!cells->n) {
		say("%s: no samples", csv->path);
		return -ENODATA;
	}

	for (i = 0; i < cells->n; i++) {
		ret = cells->medians ? close_medians(&cells->cell[i]) :
				       close_cell(&cells->cell[i]);
		if (ret)
			return ret;
	}
	cells_sort(cells);
	return 0;
}

static int cells_fill(struct cells *cells, const struct run *run)
{
	bool partial;
	struct csv *csv;
	char *path;
	int ret;

	csv = malloc(sizeof(*csv));
	path = run_rows_path(run, "samples.csv", &partial);
	if (!csv || !path) {
		ret = out_of_memory();
		goto out;
	}
	if (partial && !is_there(path)) {
		say("%s: neither samples.csv nor samples.csv.partial is there",
		    run->dir);
		ret = -ENOENT;
		goto out;
	}
	if (partial)
		say("%s: note: the run did not end; this is what it kept",
		    path);

	ret = csv_open_part(csv, path, partial, columns,
			    run_rows_bytes(run, "samples.csv", partial));
	if (ret)
		goto out;
	csv_repeat(csv, KEYS);
	ret = read_samples(cells, run, csv);
	csv_close(csv);
	if (!ret)
		ret = flags_read(cells, run);
out:
	free(path);
	free(csv);
	if (ret)
		cells_free(cells);
	return ret;
}

int cells_read(struct cells *cells, const struct run *run)
{
	memset(cells, 0, sizeof(*cells));
	return cells_fill(cells, run);
}

int cells_read_medians(struct cells *cells, const struct run *run)
{
	int ret;

	memset(cells, 0, sizeof(*cells));
	cells->medians = true;
	ret = cells_fill(cells, run);
	return ret == -EAGAIN ? cells_read(cells, run) : ret;
}

void cells_free(struct cells *cells)
{
	size_t i;

	for (i = 0; i < cells->n; i++) {
		free(cells->cell[i].text);
		free(cells->cell[i].value);
		free(cells->cell[i].block);
	}
	free(cells->cell);
	free(cells->slot);
	memset(cells, 0, sizeof(*cells));
}

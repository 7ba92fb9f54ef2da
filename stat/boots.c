// SPDX-License-Identifier: GPL-2.0
/*
 * A run as a comparison sees it: by cell and boot, the median of the medians of
 * that boot's blocks. From samples.csv, of which no more is kept than the open
 * block of each cell; or, where only the summaries were kept, from boots.csv.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "k2u-stat.h"

/* Columns of boots.csv and of summary.csv behind the keys */
enum { BOOT = KEYS, BLOCKS, N, MEDIAN };
enum { FLAGS = KEYS };

static const char *const boots_columns[] = {
	"measure",    "provider", "method", "backing", "cache",
	"size_bytes", "threads",  "phase",  "metric",  "unit",
	"boot",	      "blocks",	  "n",	    "median",  NULL,
};

static const char *const flags_columns[] = {
	"measure", "provider", "method", "backing", "cache", "size_bytes",
	"threads", "phase",    "metric", "unit",    "flags", NULL,
};

/* The keys' text changes hands */
static int take_cell(struct boot_cell *to, struct cell *cell)
{
	struct replicates r;
	size_t i;

	memcpy(to->key, cell->key, sizeof(to->key));
	to->text = cell->text;
	to->size = cell->size;
	cell->text = NULL;
	if (cell_replicates(cell, &r))
		return -ENOMEM;
	replicates_reduce(&r);
	to->boot = calloc(r.n, sizeof(*to->boot));
	for (i = 0; to->boot && i < r.n; i++)
		to->boot[to->boots++] = (struct boot_value){
			.boot = r.boot[i],
			.median = r.v[i],
		};
	replicates_free(&r);
	return to->boot ? 0 : out_of_memory();
}

static int take_cells(struct boot_cells *to, struct cells *cells)
{
	size_t i;
	int ret;

	to->cell = calloc(cells->n, sizeof(*to->cell));
	if (!to->cell)
		return out_of_memory();
	to->room = cells->n;
	for (i = 0; i < cells->n; i++) {
		to->n++;
		ret = take_cell(&to->cell[i], &cells->cell[i]);
		if (ret)
			return ret;
	}
	return 0;
}

static int print_flags(struct boot_cell *to, const struct cells *cells,
		       const struct cell *cell, bool incomplete)
{
	struct replicates r;
	struct estimate est;
	size_t len;
	FILE *f;

	if (cell_replicates(cell, &r))
		return -ENOMEM;
	est = replicates_estimate(&r);
	replicates_free(&r);
	f = open_memstream(&to->flags, &len);
	if (!f)
		return out_of_memory();
	flags_print(f, cells, cell->flags, &est,
		    cell_overhead_pct(cell, est.median), incomplete);
	return fclose(f) ? out_of_memory() : 0;
}

static int read_samples(struct boot_cells *to, const struct run *run)
{
	struct cells cells;
	size_t i;
	int ret;

	ret = cells_read_medians(&cells, run);
	if (ret)
		return ret;
	ret = take_cells(to, &cells);
	for (i = 0; !ret && i < to->n; i++)
		ret = print_flags(&to->cell[i], &cells, &cells.cell[i],
				  !run->complete);
	cells_free(&cells);
	return ret;
}

/* A boot of boots.csv, as one block */
static int boots_row(struct cells *cells, const struct csv *csv)
{
	uint64_t boot, blocks, n;
	struct cell *cell;
	struct block *b;
	double median;
	int ret;

	ret = csv_u64(csv, BOOT, &boot)		    ?:
		      csv_u64(csv, BLOCKS, &blocks) ?:
		      csv_u64(csv, N, &n)	    ?:
		      csv_f64(csv, MEDIAN, &median) ?:
		      cells_row(cells, csv, &cell);
	if (ret)
		return ret;
	if (cell->blocks && cell->block[cell->blocks - 1].boot >= boot)
		return csv_error(csv, BOOT, "the boots of a cell in order");
	b = cell_block(cell, boot, 0);
	if (!b)
		return -ENOMEM;
	b->median = median;
	return 0;
}

static int compare_boot_cells(const void *a, const void *b)
{
	const struct boot_cell *x = a, *y = b;

	return compare_keys(x->key, y->key);
}

static int flags_row(struct boot_cells *to, const struct csv *csv)
{
	struct boot_cell cell, *found;
	int i;

	for (i = 0; i < KEYS; i++)
		cell.key[i] = csv_str(csv, i);
	if (csv_flags(csv, FLAGS))
		return -EINVAL;
	found = bsearch(&cell, to->cell, to->n, sizeof(cell),
			compare_boot_cells);
	/* A cell that boots.csv does not have is no cell of a comparison */
	if (!found)
		return 0;
	free(found->flags);
	found->flags = strdup(csv_str(csv, FLAGS));
	return found->flags ? 0 : out_of_memory();
}

static int read_boots(struct boot_cells *to, const struct run *run,
		      const char *boots, const char *summary)
{
	struct cells cells = {};
	struct csv *csv;
	size_t i;
	int ret;

	csv = malloc(sizeof(*csv));
	if (!csv)
		return out_of_memory();
	ret = csv_open(csv, boots, false, boots_columns);
	if (ret)
		goto free;
	while ((ret = csv_next(csv)) > 0) {
		ret = boots_row(&cells, csv);
		if (ret)
			break;
	}
	csv_close(csv);
	if (!ret && !cells.n && !has_capability(run)) {
		say("%s: no boots", boots);
		ret = -ENODATA;
	}
	if (ret || !cells.n)
		goto free;
	cells_sort(&cells);
	ret = take_cells(to, &cells) ?:
		      csv_open(csv, summary, false, flags_columns);
	if (ret)
		goto free;
	while ((ret = csv_next(csv)) > 0) {
		ret = flags_row(to, csv);
		if (ret)
			break;
	}
	csv_close(csv);
	for (i = 0; !ret && i < to->n; i++) {
		if (to->cell[i].flags)
			continue;
		say("%s: lacks a cell that %s has: summarize the run again",
		    summary, boots);
		ret = -EINVAL;
	}
free:
	cells_free(&cells);
	free(csv);
	return ret;
}

int boots_read(struct boot_cells *cells, const struct run *run)
{
	char *samples, *boots, *summary;
	bool partial;
	int ret;

	memset(cells, 0, sizeof(*cells));
	samples = run_rows_path(run, "samples.csv", &partial);
	boots = run_path(run, "boots.csv");
	summary = run_path(run, "summary.csv");
	if (!samples || !boots || !summary) {
		ret = -ENOMEM;
		goto out;
	}
	if (is_there(samples)) {
		ret = read_samples(cells, run);
	} else if (is_there(boots)) {
		ret = read_boots(cells, run, boots, summary);
	} else if (has_capability(run)) {
		ret = 0;
	} else {
		say("%s: neither samples.csv nor boots.csv is there", run->dir);
		ret = -ENOENT;
	}
out:
	free(samples);
	free(boots);
	free(summary);
	if (ret)
		boots_free(cells);
	return ret;
}

void boots_free(struct boot_cells *cells)
{
	size_t i;

	for (i = 0; i < cells->n; i++) {
		free(cells->cell[i].text);
		free(cells->cell[i].boot);
		free(cells->cell[i].flags);
	}
	free(cells->cell);
	memset(cells, 0, sizeof(*cells));
}

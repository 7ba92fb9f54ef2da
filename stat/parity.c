// SPDX-License-Identifier: GPL-2.0
/*
 * How near a warm mapping comes to plain memory: its `reuse` over that of
 * anonymous memory in 4 KiB pages, block by block (parity.csv).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "k2u-stat.h"

static bool is_reuse(const struct cell *c)
{
	return !strcmp(c->key[MEASURE], "throughput") &&
	       !strcmp(c->key[METRIC], "reuse");
}

/* Plain memory of the same size, counted in the same unit */
static const struct cell *find_anon(const struct cells *cells,
				    const struct cell *map)
{
	const struct cell *c;

	for (c = cells->cell; c < cells->cell + cells->n; c++)
		if (is_reuse(c) && !strcmp(c->key[METHOD], "anon") &&
		    !strcmp(c->key[BACKING], "4k") && c->size == map->size &&
		    !strcmp(c->key[THREADS], map->key[THREADS]) &&
		    !strcmp(c->key[UNIT], map->key[UNIT]))
			return c;
	return NULL;
}

static int print_parity(FILE *f, const struct cell *map,
			const struct cell *anon)
{
	struct estimate ratio;
	struct replicates r;
	size_t i, j = 0;

	if (replicates_init(&r, map->blocks))
		return -ENOMEM;
	for (i = 0; i < map->blocks; i++) {
		while (j < anon->blocks &&
		       compare_blocks(&anon->block[j], &map->block[i]) < 0)
			j++;
		if (j < anon->blocks &&
		    !compare_blocks(&anon->block[j], &map->block[i]) &&
		    anon->block[j].median > 0)
			replicates_add(&r, map->block[i].boot,
				       map->block[i].median /
					       anon->block[j].median);
	}
	ratio = replicates_estimate(&r);
	replicates_free(&r);
	fprintf(f, "%s,%s,%s,%s,%s,%s,%zu", map->key[SIZE], map->key[PROVIDER],
		map->key[METHOD], map->key[BACKING], map->key[CACHE],
		map->key[THREADS], ratio.n);
	print_figure(f, ratio.median);
	print_figure(f, ratio.low);
	print_figure(f, ratio.high);
	fprintf(f, ",%zu\n", ratio.boots);
	return 0;
}

int write_parity(const struct cells *cells, const struct run *run)
{
	const struct cell *c, *anon;
	struct out out;
	int ret;

	ret = out_open(&out, run->dir, "parity.csv");
	if (ret)
		return ret;
	fputs("size_bytes,provider,method,backing,cache,threads,blocks,"
	      "ratio,ratio_low,ratio_high,boots\n",
	      out.f);
	for (c = cells->cell; c < cells->cell + cells->n; c++) {
		if (!is_reuse(c) || is_baseline(c->key[METHOD]) ||
		    is_copying(c->key[METHOD]))
			continue;
		anon = find_anon(cells, c);
		if (!anon)
			continue;
		ret = print_parity(out.f, c, anon);
		if (ret) {
			out_abort(&out);
			return ret;
		}
	}
	return out_commit(&out);
}

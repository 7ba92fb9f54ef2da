// SPDX-License-Identifier: GPL-2.0
/* matrix.csv: what a campaign came to, kept and read again. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "matrix.h"

const char *const matrix_columns[] = {
	"measure",    "provider", "method",	 "backing",   "cache",
	"size_bytes", "threads",  "phase",	 "metric",    "unit",
	"kernel",     "release",  "boots",	 "median",    "ci_low",
	"ci_high",    "previous", "ratio",	 "ratio_low", "ratio_high",
	"p_holm",     "verdict",  "first_ratio", "flags",     NULL,
};

struct loaded {
	size_t cell, kernel;
	char *previous;
	struct entry e;
};

static int load_row(struct matrix *m, struct csv *csv, struct loaded *l)
{
	enum {
		NAME = KEYS,
		RELEASE,
		BOOTS,
		MEDIAN,
		LOW,
		HIGH,
		PREVIOUS,
		RATIO,
		RATIO_LOW,
		RATIO_HIGH,
		P_HOLM,
		VERDICT,
		FIRST,
		FLAGS
	};
	struct entry *e = &l->e;
	struct cell *cell;
	char *release;
	int ret, v;

	ret = cells_row(&m->cells, csv, &cell)			 ?:
		      csv_name(csv, RELEASE)			 ?:
		      csv_flags(csv, FLAGS)			 ?:
		      csv_u64(csv, BOOTS, &e->boots)		 ?:
		      csv_f64(csv, MEDIAN, &e->est.median)	 ?:
		      csv_f64_or_none(csv, LOW, &e->est.low)	 ?:
		      csv_f64_or_none(csv, HIGH, &e->est.high)	 ?:
		      csv_f64_or_none(csv, RATIO, &e->ratio)	 ?:
		      csv_f64_or_none(csv, RATIO_LOW, &e->low)	 ?:
		      csv_f64_or_none(csv, RATIO_HIGH, &e->high) ?:
		      csv_f64_or_none(csv, P_HOLM, &e->p_holm)	 ?:
		      csv_f64_or_none(csv, FIRST, &e->first);
	if (ret)
		return ret;
	for (v = 0;
	     v < VERDICTS && strcmp(verdict_name[v], csv_str(csv, VERDICT));
	     v++)
		;
	if (v == VERDICTS && *csv_str(csv, VERDICT))
		return csv_error(csv, VERDICT, "a verdict");
	e->verdict = v;
	if ((v == SLOWER || v == FASTER) &&
	    !(e->ratio > 0 && isfinite(e->ratio)))
		return csv_error(csv, RATIO,
				 "a ratio above 0 of such a verdict");
	e->there = true;
	l->cell = cell - m->cells.cell;
	for (l->kernel = 0; l->kernel < m->kernels; l->kernel++)
		if (!strcmp(m->kernel[l->kernel].release,
			    csv_str(csv, RELEASE)))
			break;
	if (l->kernel == KERNELS_MAX)
		return csv_error(csv, RELEASE,
				 "no more kernels than a campaign can have");
	if (l->kernel == m->kernels) {
		release = strdup(csv_str(csv, RELEASE));
		if (!release || !matrix_add_kernel(m, release))
			return -ENOMEM;
	}
	l->previous = strdup(csv_str(csv, PREVIOUS));
	e->flags = strdup(csv_str(csv, FLAGS));
	return l->previous && e->flags ? 0 : out_of_memory();
}

/* Into place, now that the kernels are known and in order */
static int place_rows(struct matrix *m, struct loaded *row, size_t n)
{
	char **release = calloc(m->kernels + 1, sizeof(*release));
	size_t i, k;
	int ret;

	if (!release)
		return out_of_memory();
	for (k = 0; k < m->kernels; k++)
		release[k] = m->kernel[k].release;
	ret = matrix_sort(m);
	for (i = 0; !ret && i < m->cells.n; i++)
		if (!matrix_add_series(m, m->cells.cell[i].key,
				       m->cells.cell[i].size))
			ret = -ENOMEM;
	for (i = 0; !ret && i < n; i++) {
		for (k = 0; m->kernel[k].release != release[row[i].kernel]; k++)
			;
		m->kernel[k].boots = row[i].e.boots > m->kernel[k].boots ?
					     row[i].e.boots :
					     m->kernel[k].boots;
		for (; row[i].e.previous < m->kernels; row[i].e.previous++)
			if (!strcmp(m->kernel[row[i].e.previous].name,
				    row[i].previous))
				break;
		row[i].e.previous = row[i].e.previous == m->kernels ?
					    0 :
					    row[i].e.previous + 1;
		m->verdicts[row[i].e.verdict % VERDICTS] += row[i].e.verdict <
							    VERDICTS;
		free(m->series[row[i].cell].entry[k].flags);
		m->series[row[i].cell].entry[k] = row[i].e;
		row[i].e.flags = NULL;
	}
	free(release);
	return ret;
}

int matrix_load(struct matrix *m, const char *dir)
{
	struct run at = { .dir = dir };
	struct loaded *row = NULL, *p;
	size_t n = 0, room = 0, i;
	struct csv *csv;
	char *path;
	int ret;

	m->saved = true;
	csv = malloc(sizeof(*csv));
	path = run_path(&at, "matrix.csv");
	if (!csv || !path) {
		ret = out_of_memory();
		goto out;
	}
	ret = csv_open(csv, path, false, matrix_columns);
	if (ret)
		goto out;
	while ((ret = csv_next(csv)) > 0) {
		p = grow(row, n, &room, sizeof(*row));
		if (!p) {
			ret = out_of_memory();
			break;
		}
		row = p;
		memset(&row[n], 0, sizeof(*row));
		ret = load_row(m, csv, &row[n++]);
		if (ret)
			break;
	}
	csv_close(csv);
	ret = ret ?: place_rows(m, row, n);
out:
	for (i = 0; i < n; i++) {
		free(row[i].previous);
		free(row[i].e.flags);
	}
	free(row);
	free(path);
	free(csv);
	return ret;
}

int matrix_save(const struct matrix *m, const char *dir)
{
	struct out out;
	int ret;

	ret = out_open(&out, dir, "matrix.csv");
	if (ret)
		return ret;
	matrix_write(out.f, m, NULL);
	return out_commit(&out);
}

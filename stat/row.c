// SPDX-License-Identifier: GPL-2.0
/*
 * The rows of a summarised run, of one kind whichever file they are in:
 * cost.csv is measure `cost` with a metric uses_<k> (fresh_<k> where a copy's
 * destination is fresh), breakeven.csv measure `breakeven` with the metrics k,
 * k_fresh and e2e_<k>, parity.csv measure and metric `parity`.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "k2u-stat.h"

/* Sizes as the files have them */
static char *canonical_sizes(const char *list)
{
	char *copy = strdup(list), *text, *save, *out = NULL;
	uint64_t bytes;
	size_t len;
	FILE *f;

	f = open_memstream(&out, &len);
	if (!copy || !f)
		goto out;
	for (text = strtok_r(copy, ",", &save); text;
	     text = strtok_r(NULL, ",", &save)) {
		if (parse_size(text, &bytes)) {
			say("--size: expected sizes such as 4096 or 4K, got '%s'",
			    text);
			fclose(f);
			free(out);
			free(copy);
			return NULL;
		}
		fprintf(f, "%s%llu", ftell(f) ? "," : "",
			(unsigned long long)bytes);
	}
out:
	if (f)
		fclose(f);
	free(copy);
	return out;
}

static error_t parse_selection(int opt, char *arg, struct argp_state *state)
{
	/* The selection's options have the number of their key, plus one */
	enum key key = opt - 1;
	struct selection *sel = state->input;
	char **list;

	if (opt < 1 || opt > KEYS)
		return ARGP_ERR_UNKNOWN;
	list = &sel->list[key];
	free(*list);
	*list = key == SIZE ? canonical_sizes(arg) : strdup(arg);
	if (!*list)
		argp_error(state, "--%s: no sense in '%s'",
			   key == SIZE ? "size" : key_name[key], arg);
	return 0;
}

static const struct argp_option selection_options[] = {
	{ "measure", MEASURE + 1, "NAME,...", 0,
	  "also cost (metrics uses_1, fresh_1, ...), breakeven (k, k_fresh, e2e_8, ...) and parity",
	  0 },
	{ "provider", PROVIDER + 1, "NAME,...", 0, "k2u, tree", 0 },
	{ "method", METHOD + 1, "NAME,...", 0, "", 0 },
	{ "backing", BACKING + 1, "NAME,...", 0, "", 0 },
	{ "cache", CACHE + 1, "NAME,...", 0, "", 0 },
	{ "size", SIZE + 1, "BYTES,...", 0, "such as 4096 or 4K", 0 },
	{ "threads", THREADS + 1, "N,...", 0, "", 0 },
	{ "phase", PHASE + 1, "NAME,...", 0, "", 0 },
	{ "metric", METRIC + 1, "NAME,...", 0, "", 0 },
	{ "unit", UNIT + 1, "NAME,...", 0, "", 0 },
	{}
};

const struct argp selection_argp = {
	.options = selection_options,
	.parser = parse_selection,
};

void selection_free(struct selection *sel)
{
	int i;

	for (i = 0; i < KEYS; i++)
		free(sel->list[i]);
	memset(sel, 0, sizeof(*sel));
}

int list_find(const char *list, const char *value)
{
	size_t len = strlen(value);
	int i;

	for (i = 0;; i++) {
		if (!strncmp(list, value, len) &&
		    (!list[len] || list[len] == ','))
			return i;
		list = strchr(list, ',');
		if (!list)
			return -1;
		list++;
	}
}

bool selection_matches(const struct selection *sel, const char *const *key)
{
	int i;

	for (i = 0; i < KEYS; i++)
		if (sel->list[i] && list_find(sel->list[i], key[i]) < 0)
			return false;
	return true;
}

/* A break-even is of no cache and no number of threads */
static int check_key(const struct csv *csv, enum key key, const char *text)
{
	if (is_name(text) || (!*text && (key == CACHE || key == THREADS)))
		return 0;
	say("%s:%lu: %s: expected %s, got '%.80s'", csv->path, csv->line,
	    key_name[key], NAME_IS, text);
	return -EINVAL;
}

/* A selected row with these keys; NULL in *row if it is not */
static int add_row(struct rows *rows, const struct selection *sel,
		   const struct csv *csv, const char *const key[KEYS],
		   struct row **row)
{
	size_t len = 0;
	struct row *r;
	char *p;
	int i;

	*row = NULL;
	for (i = 0; i < KEYS; i++)
		if (check_key(csv, i, key[i]))
			return -EINVAL;
	if (!selection_matches(sel, key))
		return 0;
	r = grow(rows->row, rows->n, &rows->room, sizeof(*r));
	if (!r)
		return out_of_memory();
	rows->row = r;
	r += rows->n;
	memset(r, 0, sizeof(*r));
	for (i = 0; i < KEYS; i++)
		len += strlen(key[i]) + 1;
	r->text = malloc(len);
	if (!r->text)
		return out_of_memory();
	for (i = 0, p = r->text; i < KEYS; i++) {
		r->key[i] = p;
		p = stpcpy(p, key[i]) + 1;
	}
	for (i = 0; i < PERCENTILES; i++)
		r->pct[i] = NAN;
	rows->n++;
	*row = r;
	return 0;
}

/* Made before runs had several boots: of one */
static int set_boots(struct row *row, const struct csv *csv, unsigned int want)
{
	row->boots = 1;
	return *csv_str(csv, want) ? csv_u64(csv, want, &row->boots) : 0;
}

static int set_text(char **text, const char *value)
{
	*text = strdup(value);
	return *text ? 0 : out_of_memory();
}

static int summary_row(struct rows *rows, const struct selection *sel,
		       const struct csv *csv)
{
	enum {
		BOOTS = KEYS,
		BLOCKS,
		SAMPLES,
		MEDIAN,
		LOW,
		HIGH,
		LEVEL,
		FLAGS,
		PCT
	};
	const char *key[KEYS];
	struct row *row;
	uint64_t size;
	int ret, i;

	for (i = 0; i < KEYS; i++)
		key[i] = csv_str(csv, i);
	ret = csv_u64(csv, SIZE, &size) ?: add_row(rows, sel, csv, key, &row);
	if (ret || !row)
		return ret;
	row->size = size;
	ret = csv_u64(csv, BOOTS, &row->boots)			   ?:
		      csv_u64(csv, BLOCKS, &row->blocks)	   ?:
		      csv_u64(csv, SAMPLES, &row->samples)	   ?:
		      csv_f64(csv, MEDIAN, &row->est.median)	   ?:
		      csv_f64_or_none(csv, LOW, &row->est.low)	   ?:
		      csv_f64_or_none(csv, HIGH, &row->est.high)   ?:
		      csv_f64_or_none(csv, LEVEL, &row->est.level) ?:
		      set_text(&row->flags, csv_str(csv, FLAGS));
	for (i = 0; !ret && i < PERCENTILES; i++)
		ret = csv_f64_or_none(csv, PCT + i, &row->pct[i]);
	return ret;
}

static int cost_row(struct rows *rows, const struct selection *sel,
		    const struct csv *csv)
{
	/* clang-format off */
	enum {
		C_SIZE, C_PROVIDER, C_METHOD, C_BACKING, C_CACHE,
		C_THREADS, C_USES, C_UNIT, C_BLOCKS, C_COST, C_LOW, C_HIGH,
		C_RATIO, C_RATIO_LOW, C_RATIO_HIGH, C_VERDICT, C_FLAGS,
		C_DESTINATION, C_BOOTS
	};
	/* clang-format on */
	char metric[64];
	const char *const key[KEYS] = {
		[MEASURE] = "cost",
		[PROVIDER] = csv_str(csv, C_PROVIDER),
		[METHOD] = csv_str(csv, C_METHOD),
		[BACKING] = csv_str(csv, C_BACKING),
		[CACHE] = csv_str(csv, C_CACHE),
		[SIZE] = csv_str(csv, C_SIZE),
		[THREADS] = csv_str(csv, C_THREADS),
		[PHASE] = "all",
		[METRIC] = metric,
		[UNIT] = csv_str(csv, C_UNIT),
	};
	double uses;
	struct row *row;
	uint64_t size;
	int ret;

	snprintf(metric, sizeof(metric), "%s_%s",
		 strcmp(csv_str(csv, C_DESTINATION), "fresh") ? "uses" :
								"fresh",
		 csv_str(csv, C_USES));
	ret = csv_u64(csv, C_SIZE, &size)		  ?:
		      csv_f64_or_none(csv, C_USES, &uses) ?:
		      add_row(rows, sel, csv, key, &row);
	if (ret || !row)
		return ret;
	row->size = size;
	row->uses = uses;
	row->est.level = NAN;
	return set_boots(row, csv, C_BOOTS)				    ?:
		       csv_u64(csv, C_BLOCKS, &row->blocks)		    ?:
		       csv_f64_or_none(csv, C_COST, &row->est.median)	    ?:
		       csv_f64_or_none(csv, C_LOW, &row->est.low)	    ?:
		       csv_f64_or_none(csv, C_HIGH, &row->est.high)	    ?:
		       csv_f64_or_none(csv, C_RATIO, &row->ratio.median)    ?:
		       csv_f64_or_none(csv, C_RATIO_LOW, &row->ratio.low)   ?:
		       csv_f64_or_none(csv, C_RATIO_HIGH, &row->ratio.high) ?:
		       set_text(&row->verdict, csv_str(csv, C_VERDICT))	    ?:
		       set_text(&row->flags, csv_str(csv, C_FLAGS));
}

static int breakeven_row(struct rows *rows, const struct selection *sel,
			 const struct csv *csv)
{
	/* clang-format off */
	enum {
		B_SIZE, B_PROVIDER, B_METHOD, B_BACKING, B_BLOCKS, B_K,
		B_K_LOW, B_K_HIGH, B_E2E, B_RATIO, B_RATIO_LOW,
		B_RATIO_HIGH, B_DESTINATION, B_BOOTS
	};
	/* clang-format on */
	char metric[64] = "k";
	const char *key[KEYS] = {
		[MEASURE] = "breakeven",
		[PROVIDER] = csv_str(csv, B_PROVIDER),
		[METHOD] = csv_str(csv, B_METHOD),
		[BACKING] = csv_str(csv, B_BACKING),
		[CACHE] = "",
		[SIZE] = csv_str(csv, B_SIZE),
		[THREADS] = "",
		[PHASE] = "all",
		[METRIC] = metric,
		[UNIT] = "uses",
	};
	const struct row *last = rows->n ? &rows->row[rows->n - 1] : NULL;
	struct row *row;
	uint64_t size;
	int ret;

	if (!strcmp(csv_str(csv, B_DESTINATION), "fresh"))
		strcpy(metric, "k_fresh");
	/* A configuration with several end-to-end metrics has its k in each row */
	else if (last && !strcmp(last->key[PROVIDER], key[PROVIDER]) &&
		 !strcmp(last->key[METHOD], key[METHOD]) &&
		 !strcmp(last->key[BACKING], key[BACKING]) &&
		 !strcmp(last->key[SIZE], key[SIZE]))
		goto ratio;
	ret = csv_u64(csv, B_SIZE, &size) ?: add_row(rows, sel, csv, key, &row);
	if (ret)
		return ret;
	if (row) {
		row->size = size;
		ret = set_boots(row, csv, B_BOOTS)			     ?:
			      csv_u64(csv, B_BLOCKS, &row->blocks)	     ?:
			      csv_f64_or_none(csv, B_K, &row->est.median)    ?:
			      csv_f64_or_none(csv, B_K_LOW, &row->est.low)   ?:
			      csv_f64_or_none(csv, B_K_HIGH, &row->est.high) ?:
			      set_text(&row->flags, "");
		if (ret)
			return ret;
	}
ratio:
	if (!*csv_str(csv, B_E2E))
		return 0;
	snprintf(metric, sizeof(metric), "e2e_%s", csv_str(csv, B_E2E));
	key[UNIT] = "ratio";
	ret = csv_u64(csv, B_SIZE, &size) ?: add_row(rows, sel, csv, key, &row);
	if (ret || !row)
		return ret;
	row->size = size;
	return set_boots(row, csv, B_BOOTS)				  ?:
		       csv_u64(csv, B_BLOCKS, &row->blocks)		  ?:
		       csv_f64_or_none(csv, B_RATIO, &row->est.median)	  ?:
		       csv_f64_or_none(csv, B_RATIO_LOW, &row->est.low)	  ?:
		       csv_f64_or_none(csv, B_RATIO_HIGH, &row->est.high) ?:
		       set_text(&row->flags, "");
}

static int parity_row(struct rows *rows, const struct selection *sel,
		      const struct csv *csv)
{
	/* clang-format off */
	enum {
		P_SIZE, P_PROVIDER, P_METHOD, P_BACKING, P_CACHE, P_THREADS,
		P_BLOCKS, P_RATIO, P_LOW, P_HIGH, P_BOOTS
	};
	/* clang-format on */
	const char *const key[KEYS] = {
		[MEASURE] = "parity",
		[PROVIDER] = csv_str(csv, P_PROVIDER),
		[METHOD] = csv_str(csv, P_METHOD),
		[BACKING] = csv_str(csv, P_BACKING),
		[CACHE] = csv_str(csv, P_CACHE),
		[SIZE] = csv_str(csv, P_SIZE),
		[THREADS] = csv_str(csv, P_THREADS),
		[PHASE] = "warm",
		[METRIC] = "parity",
		[UNIT] = "ratio",
	};
	struct row *row;
	uint64_t size;
	int ret;

	ret = csv_u64(csv, P_SIZE, &size) ?: add_row(rows, sel, csv, key, &row);
	if (ret || !row)
		return ret;
	row->size = size;
	return set_boots(row, csv, P_BOOTS)			       ?:
		       csv_u64(csv, P_BLOCKS, &row->blocks)	       ?:
		       csv_f64_or_none(csv, P_RATIO, &row->est.median) ?:
		       csv_f64_or_none(csv, P_LOW, &row->est.low)      ?:
		       csv_f64_or_none(csv, P_HIGH, &row->est.high)    ?:
		       set_text(&row->flags, "");
}

static const struct source {
	const char *measure; /* NULL: any other */
	const char *file;
	int (*row)(struct rows *rows, const struct selection *sel,
		   const struct csv *csv);
	const char *const columns[25];
} sources[] = {
	{ "cost",
	  "cost.csv",
	  cost_row,
	  { "size_bytes", "provider", "method", "backing", "cache", "threads",
	    "uses", "unit", "blocks", "cost", "cost_low", "cost_high", "ratio",
	    "ratio_low", "ratio_high", "verdict", "flags", "destination",
	    "?boots" } },
	{ "breakeven",
	  "breakeven.csv",
	  breakeven_row,
	  { "size_bytes", "provider", "method", "backing", "blocks", "k_median",
	    "k_low", "k_high", "e2e_k", "ratio", "ratio_low", "ratio_high",
	    "destination", "?boots" } },
	{ "parity",
	  "parity.csv",
	  parity_row,
	  { "size_bytes", "provider", "method", "backing", "cache", "threads",
	    "blocks", "ratio", "ratio_low", "ratio_high", "?boots" } },
	{ NULL,
	  "summary.csv",
	  summary_row,
	  { "measure",	  "provider", "method", "backing", "cache",
	    "size_bytes", "threads",  "phase",	"metric",  "unit",
	    "boots",	  "blocks",   "n",	"median",  "ci_low",
	    "ci_high",	  "ci_level", "flags",	"p50",	   "p90",
	    "p99",	  "p999",     "max" } },
};

int rows_read(struct rows *rows, const struct run *run,
	      const struct selection *sel)
{
	const struct source *source = sources;
	struct csv *csv;
	bool any = false;
	char *path;
	int ret;

	memset(rows, 0, sizeof(*rows));
	while (source->measure && (!sel->list[MEASURE] ||
				   strcmp(sel->list[MEASURE], source->measure)))
		source++;

	csv = malloc(sizeof(*csv));
	path = run_path(run, source->file);
	if (!csv || !path) {
		ret = out_of_memory();
		goto out;
	}
	if (!is_there(path)) {
		say("%s: not there: run 'k2u-stat summarize %s' first", path,
		    run->dir);
		ret = -ENOENT;
		goto out;
	}
	ret = csv_open(csv, path, false, source->columns);
	if (ret)
		goto out;
	while ((ret = csv_next(csv)) > 0) {
		any = true;
		ret = source->row(rows, sel, csv);
		if (ret)
			break;
	}
	/* The others have rows only if there is something to say */
	if (!ret && !any && !source->measure) {
		say("%s: no cells: summarize the run again", path);
		ret = -ENODATA;
	}
	csv_close(csv);
out:
	free(path);
	free(csv);
	if (ret)
		rows_free(rows);
	return ret;
}

void rows_free(struct rows *rows)
{
	size_t i;

	for (i = 0; i < rows->n; i++) {
		free(rows->row[i].text);
		free(rows->row[i].flags);
		free(rows->row[i].verdict);
	}
	free(rows->row);
	memset(rows, 0, sizeof(*rows));
}

const char *row_title(const struct row *row, bool provider, char *buf,
		      size_t size)
{
	const char *cache = row->key[CACHE];
	/* One word, as charts have them in lists */
	const bool named = *cache && strcmp(cache, "wb") &&
			   strcmp(cache, "none");
	const bool backing = strcmp(row->key[BACKING], "none");

	snprintf(buf, size, "%s%s%s%s%s%s%s%s",
		 provider ? row->key[PROVIDER] : "", provider ? " " : "",
		 row->key[METHOD], backing ? " (" : "",
		 backing ? row->key[BACKING] : "", backing && named ? "-" : "",
		 backing && named ? cache : "", backing ? ")" : "");
	return buf;
}

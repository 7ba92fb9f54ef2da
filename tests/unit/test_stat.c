// SPDX-License-Identifier: GPL-2.0
/* k2u-stat: known answers, bad input, failing writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <gsl/gsl_math.h>
#include <gsl/gsl_randist.h>
#include <gsl/gsl_rng.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../stat/k2u-stat.h"

#define HEADER                                                                             \
	"measure,provider,method,backing,cache,size_bytes,threads,boot,phase,metric,unit," \
	"block,sample,iters,overhead,value\n"
#define KEYS_8 "latency,tree,read,memfd,wb,8,1,1,warm,read,ns,"
#define CHECKS \
	"measure,provider,method,backing,cache,size_bytes,boot,phase,metric,check,expected,got,verdict,note\n"
#define ENV "{\"schema\": 1, \"complete\": true, \"venue\": \"native\"}\n"

/* A run directory of one test, and what went to stderr meanwhile */
struct fixture {
	char dir[64];
	char *said;
	int saved_stderr;
	FILE *err;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	strcpy(f->dir, "/tmp/k2u-test-stat.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->err = tmpfile();
	assert_non_null(f->err);
	/* Its offset is shared with stderr: write to the end wherever we read */
	fcntl(fileno(f->err), F_SETFL, O_APPEND);
	f->saved_stderr = dup(STDERR_FILENO);
	dup2(fileno(f->err), STDERR_FILENO);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	static const char *const files[] = {
		"samples.csv", "samples.csv.partial", "checks.csv", "env.json",
		"summary.csv", "breakeven.csv",	      "parity.csv", "cost.csv",
		"boots.csv",
	};
	struct fixture *f = *state;
	char path[128];
	unsigned int i;
	int left;

	dup2(f->saved_stderr, STDERR_FILENO);
	close(f->saved_stderr);
	fclose(f->err);
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", f->dir, files[i]);
		unlink(path);
	}
	/* Fails if a temporary file was left behind */
	left = rmdir(f->dir);
	free(f->said);
	free(f);
	return left;
}

static const char *said(struct fixture *f)
{
	int fd = fileno(f->err);
	struct stat st;

	fflush(stderr);
	assert_int_equal(fstat(fd, &st), 0);
	free(f->said);
	f->said = calloc(1, st.st_size + 1);
	assert_non_null(f->said);
	assert_int_equal(pread(fd, f->said, st.st_size, 0), st.st_size);
	return f->said;
}

static void assert_said(struct fixture *f, const char *text)
{
	if (strstr(said(f), text))
		return;
	dprintf(f->saved_stderr, "# expected '%s', got '%s'\n", text, f->said);
	fail();
}

static void put(struct fixture *f, const char *name, const char *text,
		size_t size)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, size, file), size);
	fclose(file);
}

static void put_text(struct fixture *f, const char *name, const char *text)
{
	put(f, name, text, strlen(text));
}

/* Freed by the caller */
static char *slurp(struct fixture *f, const char *name)
{
	char path[128], *text = NULL;
	size_t room = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	file = fopen(path, "r");
	assert_non_null(file);
	if (getdelim(&text, &room, '\0', file) < 0) {
		free(text);
		text = strdup("");
	}
	fclose(file);
	return text;
}

static void assert_file(struct fixture *f, const char *name,
			const char *expected)
{
	char *text = slurp(f, name);

	assert_string_equal(text, expected);
	free(text);
}

/* order statistics */

static void test_interval_rank(void **state)
{
	double level;

	(void)state;
	assert_int_equal(median_interval_rank(0, &level), 0);
	assert_int_equal(median_interval_rank(5, &level), 0);
	assert_true(isnan(level));
	assert_int_equal(median_interval_rank(6, &level), 1);
	assert_float_equal(level, 0.96875, 1e-12);
	assert_int_equal(median_interval_rank(8, &level), 1);
	assert_float_equal(level, 0.9921875, 1e-12);
	assert_int_equal(median_interval_rank(11, &level), 2);
	assert_float_equal(level, 0.98828125, 1e-12);
	assert_int_equal(median_interval_rank(20, &level), 6);
	assert_float_equal(level, 0.95861, 5e-6);
	assert_int_equal(median_interval_rank(100, &level), 40);
	assert_float_equal(level, 0.96480, 5e-6);
}

static void test_estimate(void **state)
{
	double v[11] = { 11, 3, 7, 1, 5, 9, 2, 10, 4, 8, 6 };
	double inf[6] = { INFINITY, 1, 2, INFINITY, INFINITY, 3 };
	double few[4] = { 4, 1, 3, 2 };
	struct estimate est;

	(void)state;
	est = estimate_median(v, 11);
	assert_float_equal(est.median, 6, 0);
	assert_float_equal(est.low, 2, 0);
	assert_float_equal(est.high, 10, 0);

	est = estimate_median(few, 4);
	assert_float_equal(est.median, 2.5, 0);
	assert_true(isnan(est.low) && isnan(est.high) && isnan(est.level));

	/* "never" in half of the blocks is never, not a number */
	est = estimate_median(inf, 6);
	assert_true(isinf(est.median) && isinf(est.high));
	assert_float_equal(est.low, 1, 0);

	assert_true(isnan(estimate_median(v, 0).median));
}

static void test_percentile_blanks(void **state)
{
	static const size_t least[] = {
		[P50] = 20, [P90] = 100, [P99] = 1000, [P999] = 10000
	};
	double *v = calloc(10000, sizeof(*v));
	size_t i;

	(void)state;
	assert_non_null(v);
	for (i = 0; i < 10000; i++)
		v[i] = i + 1;
	for (i = P50; i <= P999; i++) {
		assert_true(isnan(percentile(v, least[i] - 1, i)));
		assert_false(isnan(percentile(v, least[i], i)));
	}
	assert_float_equal(percentile(v, 21, P50), 11, 1e-9);
	assert_float_equal(percentile(v, 101, P90), 91, 1e-9);
	assert_float_equal(percentile(v, 1, PMAX), 1, 0);
	assert_float_equal(percentile(v, 10000, PMAX), 10000, 0);
	free(v);
}

/* The interval holds the true median of skewed data as often as it says */
static void test_coverage(void **state)
{
	gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);
	const double true_median = 1; /* of exp(N(0, 1)) */
	unsigned int hits = 0, trials = 4000, i, j;
	struct estimate est;
	double v[20];

	(void)state;
	assert_non_null(rng);
	gsl_rng_set(rng, 42);
	for (i = 0; i < trials; i++) {
		for (j = 0; j < ARRAY_SIZE(v); j++)
			v[j] = gsl_ran_lognormal(rng, 0, 1);
		est = estimate_median(v, ARRAY_SIZE(v));
		hits += est.low <= true_median && true_median <= est.high;
	}
	gsl_rng_free(rng);
	assert_in_range(hits, trials * 94 / 100, trials * 99 / 100);
}

/* break-even */

static void test_breakeven(void **state)
{
	const struct pass copy = { { 0, 200, 100,
				     0 } }; /* total(k) = 100 + 100 k */
	const struct pass map = { { 400, 50, 50, 50 } }; /* 450 + 50 k */
	const struct pass cheap = { { 50, 50, 50, 0 } }; /* 50 + 50 k */
	const struct pass slow = { { 400, 100, 100,
				     0 } }; /* as warm as the copy */
	const struct pass once = { { 0, 150, 150,
				     0 } }; /* dearer warm, cheaper once */
	const struct pass same = { { 100, 100, 100,
				     0 } }; /* total(1) is equal */

	(void)state;
	assert_float_equal(pass_breakeven(&map, &copy), 7, 1e-12);
	assert_float_equal(pass_breakeven(&cheap, &copy), 1, 0);
	assert_true(isinf(pass_breakeven(&slow, &copy)));
	assert_float_equal(pass_breakeven(&once, &copy), 1, 0);
	assert_float_equal(pass_breakeven(&same, &copy), 1, 0);
	/* Where they meet, they cost the same */
	assert_float_equal(pass_per_use(&map, 7), pass_per_use(&copy, 7),
			   1e-12);
	assert_float_equal(pass_per_use(&map, 1), 500, 1e-12);
	assert_float_equal(pass_per_use(&map, INFINITY), 50, 0);
}

/*
 * Six blocks in which the mapping breaks even at 7, 7, 7, 8, never, 1 uses with
 * a copy to a fresh destination, and at 9, 9, 9, 9.6, never, 1 with a reused one
 */
static void test_breakeven_file(void **state)
{
	static const struct {
		double setup, first, warm, teardown;
	} map[6] = {
		{ 400, 50, 50, 50 }, { 400, 50, 50, 50 },   { 400, 50, 50, 50 },
		{ 430, 50, 50, 50 }, { 400, 100, 100, 50 }, { 0, 50, 50, 50 },
	};
	struct fixture *f = *state;
	char *text = NULL, *got;
	size_t size;
	FILE *mem = open_memstream(&text, &size);
	int b;

	fputs(HEADER, mem);
	for (b = 0; b < 6; b++) {
		const char *fmt =
			"throughput,tree,%s,memfd,wb,4096,1,1,%s,%s,ns,%d,1,1,0,%g\n";

		fprintf(mem, fmt, "fault", "setup", "pass", b + 1,
			map[b].setup);
		fprintf(mem, fmt, "fault", "first-touch", "pass", b + 1,
			map[b].first);
		fprintf(mem, fmt, "fault", "warm", "pass", b + 1, map[b].warm);
		fprintf(mem, fmt, "fault", "teardown", "pass", b + 1,
			map[b].teardown);
		fprintf(mem, fmt, "fault", "all", "e2e_10", b + 1,
			(map[b].setup + map[b].first + 9 * map[b].warm +
			 map[b].teardown) /
				20);
		fprintf(mem, fmt, "read", "setup", "pass", b + 1, 0.0);
		fprintf(mem, fmt, "read", "first-touch", "pass", b + 1, 200.0);
		fprintf(mem, fmt, "read", "warm", "pass", b + 1, 100.0);
		fprintf(mem, fmt, "read", "teardown", "pass", b + 1, 0.0);
	}
	fclose(mem);
	put_text(f, "samples.csv", text);
	put_text(f, "checks.csv", CHECKS);
	put_text(f, "env.json", ENV);
	free(text);

	assert_int_equal(summarize(f->dir), 0);
	assert_file(
		f, "breakeven.csv",
		"size_bytes,provider,method,backing,base_method,base_backing,unit,blocks,"
		"k_median,k_low,k_high,e2e_k,predicted,measured,ratio,ratio_low,ratio_high,"
		"destination,boots\n"
		"4096,tree,fault,memfd,read,memfd,ns,6,9,1,inf,10,95,47.5,2,2,2,reused,1\n"
		"4096,tree,fault,memfd,read,memfd,ns,6,7,1,inf,,,,,,,fresh,1\n");
	got = slurp(f, "cost.csv");
	assert_non_null(strstr(
		got,
		"4096,tree,read,memfd,wb,1,1,ns,6,100,100,100,1,1,1,best,,reused,1\n"));
	assert_non_null(strstr(
		got,
		"4096,tree,read,memfd,wb,1,1,ns,6,200,200,200,1,1,1,best,,fresh,1\n"));
	assert_non_null(strstr(
		got,
		"4096,tree,fault,memfd,wb,1,inf,ns,6,50,50,100,1,1,1,best,,reused,1\n"));
	free(got);
}

/* A mapping at 0.90 ... 0.95 of plain memory that itself drifts */
static void test_parity_file(void **state)
{
	struct fixture *f = *state;
	char *text = NULL;
	size_t size;
	FILE *mem = open_memstream(&text, &size);
	int b;

	fputs(HEADER, mem);
	for (b = 0; b < 6; b++) {
		const char *fmt =
			"throughput,tree,%s,%s,wb,4096,1,1,warm,reuse,GB/s,%d,1,1,0,%g\n";

		fprintf(mem, fmt, "anon", "4k", b + 1, 10.0 * (b + 1));
		fprintf(mem, fmt, "anon", "thp", b + 1, 1.0);
		fprintf(mem, fmt, "read", "memfd", b + 1, 2.0);
		fprintf(mem, fmt, "fault", "memfd", b + 1,
			(0.9 + b * 0.01) * 10 * (b + 1));
	}
	fclose(mem);
	put_text(f, "samples.csv", text);
	put_text(f, "checks.csv", CHECKS);
	put_text(f, "env.json", ENV);
	free(text);

	assert_int_equal(summarize(f->dir), 0);
	assert_file(f, "parity.csv",
		    "size_bytes,provider,method,backing,cache,threads,blocks,"
		    "ratio,ratio_low,ratio_high,boots\n"
		    "4096,tree,fault,memfd,wb,1,6,0.925,0.9,0.95,1\n");
}

/* summary.csv */

/* Pieces of a block out of order, a failed check, an overhead of 2 % */
static void test_summary(void **state)
{
	struct fixture *f = *state;

	put_text(
		f, "samples.csv",
		HEADER KEYS_8
		"2,1,10,2,100\n" KEYS_8 "1,1,10,2,90\n" KEYS_8
		"3,1,10,2,110\n" KEYS_8 "1,2,10,2,94\n"
		"faults,k2u,fault,vmalloc,wb,4096,1,1,first-touch,minor_rusage,faults,1,1,1,0,1\n" KEYS_8
		"4,1,10,2,104\n" KEYS_8 "5,1,10,2,102\n" KEYS_8
		"6,1,10,2,98\n");
	put_text(
		f, "checks.csv",
		CHECKS
		"latency,tree,read,memfd,wb,8,1,all,,contents,8,8,pass,\n"
		"latency,tree,read,memfd,wb,8,1,warm,read,linearity,2,2.2,fail,\n"
		"latency,tree,read,memfd,wb,8,1,warm,other,steady,1,2,fail,\n"
		"faults,k2u,fault,vmalloc,wb,4096,1,all,,faults-agree,1,2,fail,\n"
		"faults,k2u,fault,vmalloc,wb,4096,1,,,faults-module,,,unavailable,none\n");
	put_text(f, "env.json", ENV);
	assert_int_equal(summarize(f->dir), 0);
	assert_file(
		f, "summary.csv",
		"measure,provider,method,backing,cache,size_bytes,threads,phase,metric,unit,"
		"boots,blocks,n,median,ci_low,ci_high,ci_level,p50,p90,p99,p999,max,"
		"overhead_pct,flags,ci_unit\n"
		"faults,k2u,fault,vmalloc,wb,4096,1,first-touch,minor_rusage,faults,"
		"1,1,1,1,,,,,,,,1,0,faults-disagree;faults-module-unavailable;few-blocks,block\n"
		"latency,tree,read,memfd,wb,8,1,warm,read,ns,"
		"1,6,7,101,92,110,0.96875,,,,,110,1.98,nonlinear;overhead>1%,block\n");
}

/* Rows of one cell, KEYS of a boot and the rest of the row from block on */
#define BOOT(boot, rest) \
	"latency,tree,read,memfd,wb,8,1," boot ",warm,read,ns," rest "\n"

/* Boots are told apart even where their blocks have the same numbers */
static void test_boots(void **state)
{
	struct fixture *f = *state;
	char *text;

	put_text(f, "samples.csv",
		 HEADER BOOT("1", "1,1,1,0,1") BOOT("2", "1,1,1,0,3"));
	put_text(f, "checks.csv", CHECKS);
	put_text(f, "env.json", ENV);
	assert_int_equal(summarize(f->dir), 0);
	text = slurp(f, "summary.csv");
	assert_non_null(
		strstr(text, ",read,ns,2,2,2,2,,,,,,,,3,0,few-boots,boot\n"));
	free(text);
}

/*
 * Six boots: the interval is of their medians 1 .. 6, however many blocks each
 * has, and a boot with many blocks weighs no more than another
 */
static void test_boots_interval(void **state)
{
	struct fixture *f = *state;
	char *text, *got = NULL;
	size_t size;
	FILE *mem = open_memstream(&got, &size);
	int boot, block;

	fputs(HEADER, mem);
	for (boot = 6; boot; boot--)
		for (block = 1; block <= (boot == 6 ? 99 : 3); block++)
			fprintf(mem, BOOT("%d", "%d,1,1,0,%g"), boot, block,
				boot + (block % 3 - 1) * 0.125);
	fclose(mem);
	put_text(f, "samples.csv", got);
	free(got);
	put_text(f, "checks.csv", CHECKS);
	put_text(f, "env.json", ENV);
	assert_int_equal(summarize(f->dir), 0);
	text = slurp(f, "summary.csv");
	assert_non_null(strstr(text, ",read,ns,6,114,114,3.5,1,6,0.96875,"));
	assert_non_null(strstr(text, ",0,,boot\n"));
	free(text);
	text = slurp(f, "boots.csv");
	assert_non_null(strstr(text, ",unit,boot,blocks,n,median\n"));
	assert_non_null(strstr(text, ",read,ns,1,3,3,1\n"));
	assert_non_null(strstr(text, ",read,ns,6,99,99,6\n"));
	free(text);
}

/* Rows behind those of the boots that have joined are no rows of the run */
static void test_joining(void **state)
{
	static const char joined[] = HEADER BOOT("1", "1,1,1,0,1");
	struct fixture *f = *state;
	char env[256], *text;

	put_text(f, "samples.csv",
		 HEADER BOOT("1", "1,1,1,0,1") BOOT("2", "1,1,"));
	put_text(f, "checks.csv", CHECKS "latency,tr");
	snprintf(
		env, sizeof(env),
		"{\"schema\": 1, \"complete\": true, \"bytes\": {\"samples.csv\": %zu, \"checks.csv\": %zu}}",
		strlen(joined), strlen(CHECKS));
	put_text(f, "env.json", env);
	assert_int_equal(summarize(f->dir), 0);
	text = slurp(f, "summary.csv");
	assert_non_null(strstr(text, ",read,ns,1,1,1,1,"));
	free(text);
	put_text(f, "samples.csv", HEADER);
	assert_int_equal(summarize(f->dir), -EINVAL);
	assert_said(f, "samples.csv:2: shorter than env.json says");
}

static void remove_file(struct fixture *f, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	assert_int_equal(unlink(path), 0);
}

static void assert_boots(const struct boot_cells *cells)
{
	const struct boot_cell *cell = cells->cell;

	assert_int_equal(cells->n, 2);
	assert_string_equal(cell[0].key[MEASURE], "faults");
	assert_int_equal(cell[0].boots, 1);
	assert_float_equal(cell[0].boot[0].median, 1, 0);
	assert_string_equal(cell[1].key[METRIC], "read");
	assert_int_equal(cell[1].size, 8);
	assert_int_equal(cell[1].boots, 2);
	assert_int_equal(cell[1].boot[0].boot, 1);
	/* Medians of blocks 1.5 and 3; of the values alone it would be 2 */
	assert_float_equal(cell[1].boot[0].median, 2.25, 0);
	assert_int_equal(cell[1].boot[1].boot, 2);
	assert_float_equal(cell[1].boot[1].median, 1.0 / 3, 0);
	assert_string_equal(cell[1].flags, "contents-failed;few-boots");
}

#define BOOTS_FAULTS \
	"faults,tree,read,memfd,wb,8,1,1,warm,minor_perf,faults,1,1,1,0,1\n"
#define BOOTS_SECOND BOOT("2", "1,1,1,0,0.33333333333333331")

/* The same from samples, whole or in pieces, and from boots.csv without them */
static void test_boots_read(void **state)
{
	static const char *const samples[] = {
		/* A block's rows together */
		HEADER BOOTS_SECOND BOOT("1", "1,1,1,0,2")
			BOOT("1", "1,2,1,0,1")
				BOOTS_FAULTS BOOT("1", "2,1,1,0,3"),
		/* Between those of another cell */
		HEADER BOOT("1", "1,1,1,0,2")
			BOOTS_FAULTS BOOT("1", "1,2,1,0,1")
				BOOT("1", "2,1,1,0,3") BOOTS_SECOND,
		/* In pieces, with another block of the cell between them */
		HEADER BOOT("1", "1,1,1,0,2")
			BOOTS_SECOND BOOT("1", "2,1,1,0,3")
				BOOTS_FAULTS BOOT("1", "1,2,1,0,1"),
	};
	struct fixture *f = *state;
	struct boot_cells cells;
	struct run run;
	unsigned int i;

	put_text(f, "checks.csv",
		 CHECKS
		 "latency,tree,read,memfd,wb,8,1,all,,contents,8,7,fail,\n");
	put_text(f, "env.json", ENV);
	for (i = 0; i < ARRAY_SIZE(samples); i++) {
		put_text(f, "samples.csv", samples[i]);
		assert_int_equal(run_open(&run, f->dir), 0);
		assert_int_equal(boots_read(&cells, &run), 0);
		assert_boots(&cells);
		boots_free(&cells);
		run_close(&run);
	}

	assert_int_equal(summarize(f->dir), 0);
	remove_file(f, "samples.csv");
	assert_int_equal(run_open(&run, f->dir), 0);
	assert_int_equal(boots_read(&cells, &run), 0);
	assert_boots(&cells);
	boots_free(&cells);

	/* Of another summary */
	put_text(f, "summary.csv",
		 "measure,provider,method,backing,cache,"
		 "size_bytes,threads,phase,metric,unit,flags\n");
	assert_int_equal(boots_read(&cells, &run), -EINVAL);
	assert_said(f, "lacks a cell");
	remove_file(f, "boots.csv");
	assert_int_equal(boots_read(&cells, &run), -ENOENT);
	assert_said(f, "neither samples.csv nor boots.csv");
	run_close(&run);
}

/* Ratios within a boot first, then over boots */
static void test_parity_boots(void **state)
{
	struct fixture *f = *state;
	char *text = NULL;
	size_t size;
	FILE *mem = open_memstream(&text, &size);
	int boot, block;

	fputs(HEADER, mem);
	for (boot = 1; boot <= 6; boot++)
		for (block = 1; block <= 5; block++) {
			const char *fmt =
				"throughput,tree,%s,%s,wb,4096,1,%d,warm,reuse,GB/s,%d,1,1,0,%g\n";

			fprintf(mem, fmt, "anon", "4k", boot, block,
				10.0 * boot);
			fprintf(mem, fmt, "fault", "memfd", boot, block,
				(boot == 1 && block > 2 ? 5 : boot) * 1.0 *
					boot);
		}
	fclose(mem);
	put_text(f, "samples.csv", text);
	put_text(f, "checks.csv", CHECKS);
	put_text(f, "env.json", ENV);
	free(text);

	assert_int_equal(summarize(f->dir), 0);
	assert_file(f, "parity.csv",
		    "size_bytes,provider,method,backing,cache,threads,blocks,"
		    "ratio,ratio_low,ratio_high,boots\n"
		    "4096,tree,fault,memfd,wb,1,30,0.45,0.2,0.6,6\n");
}

static void test_partial(void **state)
{
	struct fixture *f = *state;
	char *text;

	put_text(f, "samples.csv.partial",
		 HEADER KEYS_8 "1,1,10,0,100\n" KEYS_8 "2,1,10,0,1");
	assert_int_equal(summarize(f->dir), 0);
	assert_said(
		f, "samples.csv.partial:3: note: unfinished last line ignored");
	assert_said(f, "no env.json");
	text = slurp(f, "summary.csv");
	assert_non_null(strstr(text, ",read,ns,1,1,1,100,"));
	assert_non_null(
		strstr(text, "unchecked;few-blocks;incomplete,block\n"));
	free(text);
}

/* A column that is not known is no matter, nor is another order */
static void test_columns(void **state)
{
	struct fixture *f = *state;

	put_text(
		f, "samples.csv",
		"value,measure,provider,method,backing,cache,size_bytes,threads,boot,phase,metric,"
		"unit,block,sample,iters,overhead,new\n"
		"5,latency,tree,read,memfd,wb,8,1,1,warm,read,ns,1,1,1,0,x\n");
	assert_int_equal(summarize(f->dir), 0);
}

/* The short way to a number and strtod() agree to the last bit */
static void test_numbers(void **state)
{
	static const char *const good[] = {
		"0",
		"-0",
		"007",
		"5.",
		".5",
		"-.25",
		"1e3",
		"+1",
		"1.5E-300",
		"9007199254740993",
		"9007199254740992",
		"0.1",
		"1234567890.123456789",
		"12345678901234567890123",
		"0.000000000000000000001",
		"0.00000000000000000000012345678901234567890",
		"99999999999999999999e-5",
		"4.9e-324",
		"1e-400",
	};
	static const char *const bad[] = {
		"",    "-",	"+",	 ".",	  "-.",	 "e5",
		"nan", "inf",	"0x1p3", " 1",	  "1 ",	 "1e",
		"1e+", "1.2.3", "--1",	 "1e999", "1,5", "- 1",
	};
	gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);
	char text[64];
	unsigned int i;
	double v, w;

	(void)state;
	assert_non_null(rng);
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		w = strtod(good[i], NULL);
		assert_int_equal(parse_f64(good[i], &v), 0);
		assert_memory_equal(&v, &w, sizeof(v));
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse_f64(bad[i], &v), -EINVAL);
	for (i = 0; i < 200000; i++) {
		w = gsl_ran_flat(rng, -1, 1) *
		    gsl_pow_int(10, (int)gsl_rng_uniform_int(rng, 40) - 20);
		snprintf(text, sizeof(text), "%.*g",
			 1 + (int)gsl_rng_uniform_int(rng, 18), w);
		w = strtod(text, NULL);
		assert_int_equal(parse_f64(text, &v), 0);
		assert_memory_equal(&v, &w, sizeof(v));
	}
	gsl_rng_free(rng);
}

/* Rows whose leading columns are those of the row before are read as strictly */
static void test_repeated_rows(void **state)
{
	static const struct {
		const char *rows, *expected;
	} bad[] = {
		{ KEYS_8 "1,1,1,0,1\n" KEYS_8 "1,2,1,0\n",
		  ":3: expected 16 fields, as the header has, got 15" },
		{ KEYS_8 "1,1,1,0,1\n" KEYS_8 "1,2,1,0,1,1\n",
		  ":3: expected 16 fields, as the header has, got 17" },
		{ KEYS_8 "1,1,1,0,1\n" KEYS_8 "1,2,1,0,\"1\"\n",
		  ":3: quotes are not part" },
		{ KEYS_8 "1,1,1,0,1\n" KEYS_8 "1,2,1,0,x\n",
		  ":3: value: expected a finite number, got 'x'" },
		{ KEYS_8
		  "1,1,1,0,1\n" KEYS_8 "1,2,1,0,2\n"
		  "latency,tree,read,memfd,wb,8,1,x,warm,read,ns,1,3,1,0,2\n",
		  ":4: boot: expected an integer, got 'x'" },
		{ KEYS_8 "1,1,1,0,1\n"
			 "latency,tree,read,memfd,wb,8,1,1,warm,read\n",
		  ":3: expected 16 fields, as the header has, got 10" },
	};
	struct fixture *f = *state;
	char text[1024];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(text, sizeof(text), HEADER "%s", bad[i].rows);
		put_text(f, "samples.csv", text);
		assert_int_equal(summarize(f->dir), -EINVAL);
		assert_said(f, bad[i].expected);
	}
}

static void test_bad_csv(void **state)
{
	static const struct {
		const char *text;
		size_t size; /* 0: of the string */
		const char *says;
	} bad[] = {
		{ "", 0, "samples.csv:1: empty" },
		{ HEADER, 0, "samples.csv: no samples" },
		{ "measure,provider\n", 0,
		  "samples.csv:1: no column 'method' in the header" },
		{ HEADER KEYS_8 "1,1,10,0,5\n" KEYS_8 "1,1,10,0\n", 0,
		  "samples.csv:3: expected 16 fields, as the header has, got 15" },
		{ HEADER KEYS_8 "1,1,10,0,5,6\n", 0,
		  "samples.csv:2: expected 16 fields" },
		{ HEADER KEYS_8 "1,1,10,0,fast\n", 0,
		  "samples.csv:2: value: expected a finite number, got 'fast'" },
		{ HEADER KEYS_8 "1,1,10,0,nan\n", 0,
		  "samples.csv:2: value: expected a finite" },
		{ HEADER KEYS_8 "1,1,10,0,1e999\n", 0,
		  "samples.csv:2: value: expected a finite" },
		{ HEADER KEYS_8 "1,1,10,0, 5\n", 0,
		  "samples.csv:2: value: expected a finite" },
		{ HEADER KEYS_8 "1,1,10,0,\n", 0,
		  "samples.csv:2: value: expected a finite" },
		{ HEADER KEYS_8 "-1,1,10,0,5\n", 0,
		  "samples.csv:2: block: expected an integer" },
		{ HEADER KEYS_8 "99999999999999999999,1,10,0,5\n", 0,
		  "samples.csv:2: block: expected an integer below 2^64" },
		{ HEADER KEYS_8 "1,1,10,0,5", 0,
		  "samples.csv:2: last line has no newline" },
		{ HEADER "\n", 0, "samples.csv:2: expected 16 fields" },
		{ HEADER KEYS_8 "1,1,10,0,5\r\n", 0,
		  "samples.csv:2: value: expected a finite" },
		{ HEADER
		  "\"latency\",tree,read,memfd,wb,8,1,1,warm,read,ns,1,1,10,0,5\n",
		  0, "samples.csv:2: quotes" },
		{ HEADER ",tree,read,memfd,wb,8,1,1,warm,read,ns,1,1,10,0,5\n",
		  0, "samples.csv:2: measure: expected a name" },
		{ HEADER
		  "`id`,tree,read,memfd,wb,8,1,1,warm,read,ns,1,1,10,0,5\n",
		  0, "samples.csv:2: measure: expected a name" },
		{ "\xef\xbb\xbf" HEADER, 0,
		  "samples.csv:1: a byte order mark" },
		{ "measure,provider\r\n", 0,
		  "samples.csv:1: a carriage return" },
		{ "measure,provider,measure\n", 0,
		  "samples.csv:1: two columns 'measure'" },
		{ "measure\0\n", 9, "samples.csv:1: NUL byte" },
	};
	struct fixture *f = *state;
	unsigned int i;

	put_text(f, "env.json", ENV);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		put(f, "samples.csv", bad[i].text,
		    bad[i].size ?: strlen(bad[i].text));
		assert_true(summarize(f->dir) < 0);
		assert_said(f, bad[i].says);
		assert_int_equal(ftruncate(fileno(f->err), 0), 0);
	}
}

static void test_long_line(void **state)
{
	struct fixture *f = *state;
	char *line = malloc(3 * CSV_LINE_MAX);

	assert_non_null(line);
	memset(line, 'x', 3 * CSV_LINE_MAX);
	put(f, "samples.csv", line, 3 * CSV_LINE_MAX);
	free(line);
	assert_int_equal(summarize(f->dir), -EINVAL);
	assert_said(f, "samples.csv:1: line too long");
}

static void test_bad_verdict(void **state)
{
	struct fixture *f = *state;

	put_text(f, "samples.csv", HEADER KEYS_8 "1,1,10,0,5\n");
	put_text(f, "checks.csv",
		 CHECKS
		 "latency,tree,read,memfd,wb,8,1,,,contents,8,8,maybe,\n");
	assert_int_equal(summarize(f->dir), -EINVAL);
	assert_said(
		f,
		"checks.csv:2: verdict: expected pass, fail or unavailable, got 'maybe'");
}

static void test_bad_env(void **state)
{
	struct fixture *f = *state;

	put_text(f, "samples.csv", HEADER KEYS_8 "1,1,10,0,5\n");
	put_text(f, "env.json", "{\"schema\": 1,");
	assert_int_equal(summarize(f->dir), -EINVAL);
	assert_said(f, "env.json:1:");
	put_text(f, "env.json", "{\"schema\": 7}");
	assert_int_equal(summarize(f->dir), -EINVAL);
	assert_said(f, "env.json: schema: expected 1");
	put_text(f, "env.json", "[]");
	assert_int_equal(summarize(f->dir), -EINVAL);
}

/* writing */

/* Every write fails past the limit, as on a full disk */
static void test_full_disk(void **state)
{
	const struct rlimit small = { 0, RLIM_INFINITY };
	struct fixture *f = *state;
	struct rlimit saved;
	struct out out;
	int i, ret;

	put_text(f, "summary.csv", "old\n");
	getrlimit(RLIMIT_FSIZE, &saved);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(out_open(&out, f->dir, "summary.csv"), 0);
	for (i = 0; i < 10000; i++)
		fputs("new\n", out.f);
	/* stderr is a file here, too: lift the limit before anything is said */
	setrlimit(RLIMIT_FSIZE, &small);
	ret = fflush(out.f);
	setrlimit(RLIMIT_FSIZE, &saved);
	assert_int_not_equal(ret, 0);
	assert_true(out_commit(&out) < 0);
	assert_said(f, "summary.csv: ");
	assert_said(f, "nothing was replaced");
	assert_file(f, "summary.csv", "old\n");
}

static void test_write(void **state)
{
	struct fixture *f = *state;
	struct out out;
	struct stat st;
	char path[128];
	mode_t mask;

	put_text(f, "summary.csv", "old\n");
	assert_int_equal(out_open(&out, f->dir, "summary.csv"), 0);
	fputs("new\n", out.f);
	assert_file(f, "summary.csv", "old\n");
	assert_int_equal(out_commit(&out), 0);
	assert_file(f, "summary.csv", "new\n");

	mask = umask(0);
	umask(mask);
	snprintf(path, sizeof(path), "%s/summary.csv", f->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666 & ~mask);

	assert_int_equal(out_open(&out, "/nonexistent", "summary.csv"),
			 -ENOENT);
}

/* figures for people */

/* What cmd prints. Freed by the caller */
static char *output(struct fixture *f, int (*cmd)(int argc, char **argv),
		    int expected, char *option)
{
	char name[] = "k2u-stat", *argv[] = { name, f->dir, option, NULL };
	char path[128], *text;
	int saved;

	fflush(stdout);
	saved = dup(STDOUT_FILENO);
	snprintf(path, sizeof(path), "%s/stdout", f->dir);
	assert_non_null(freopen(path, "w", stdout));
	assert_int_equal(cmd(option ? 3 : 2, argv), expected);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	text = slurp(f, "stdout");
	unlink(path);
	return text;
}

static void assert_output(struct fixture *f, int (*cmd)(int, char **), int ret,
			  const char *expected)
{
	char *text = output(f, cmd, ret, NULL);

	assert_string_equal(text, expected);
	free(text);
}

/* What cannot be made of many sources for one reason is one line; of few, a line each */
static void test_list_checks(void **state)
{
	struct fixture *f = *state;

	put_text(
		f, "checks.csv",
		CHECKS
		"a,tree,read,memfd,wb,8,1,all,,available,,,unavailable,no PMU\n"
		"a,tree,fault,memfd,wb,8,1,all,,available,,,unavailable,no PMU\n"
		"a,tree,fault,memfd,wb,16,1,all,,available,,,unavailable,no PMU\n"
		"a,tree,anon,4k,wb,8,1,all,,available,,,unavailable,no PMU\n"
		"a,tree,anon,thp,wb,8,1,all,,available,,,unavailable,no PMU\n"
		"a,k2u,read,huge,wb,8,1,all,,available,,,unavailable,no PMU\n"
		"a,k2u,read,dma,wb,8,1,all,,available,,,unavailable,no PMU\n"
		"a,k2u,read,dma,wb,8,1,all,,available,,,unavailable,other\n");
	put_text(f, "env.json", ENV);
	assert_output(
		f, cmd_checks, 0,
		"| check | passed | failed | unavailable |\n"
		"|---|---:|---:|---:|\n"
		"| available | 0 | 0 | 8 |\n"
		"\n"
		"- unavailable: available of 6 sources, 7×: no PMU\n"
		"- unavailable: available of k2u read (dma), 1×: other\n");
}

/* The boots that need not be measured again */
static void test_list_boots(void **state)
{
	struct fixture *f = *state;

	assert_output(f, cmd_boots, 0, "");
	put_text(f, "samples.csv", HEADER BOOT("7", "1,1,1,0,2"));
	put_text(f, "env.json", ENV);
	assert_output(f, cmd_boots, 0, "7\n");
	put_text(
		f, "env.json",
		"{\"schema\": 1, \"complete\": false, \"boots\": [{\"boot\": 1},"
		"{\"boot\": 3, \"complete\": true}, {\"boot\": 4, \"complete\": false}]}");
	assert_output(f, cmd_boots, 0, "1\n3\n");
	put_text(f, "env.json",
		 "{\"schema\": 1, \"boots\": [{\"boot\": \"1\"}]}");
	assert_output(f, cmd_boots, -EINVAL, "");
	assert_said(f, "boots[0]: expected an integer 'boot'");
}

static void test_list(void **state)
{
	char format[] = "--format=csv";
	struct fixture *f = *state;
	char *text, expected[256];

	text = output(f, cmd_list, -ENOENT, NULL);
	free(text);
	assert_said(f, "no run in it");

	put_text(f, "samples.csv", HEADER KEYS_8 "1,1,1,0,2\n");
	put_text(
		f, "env.json",
		"{\"schema\": 1, \"complete\": true, \"venue\": \"native\","
		"\"kernel\": {\"release\": \"6.1\"}, \"started\": \"6,1\", \"quick\": false,"
		"\"boots\": [{\"boot\": 1}, {\"boot\": 2}]}");
	assert_int_equal(summarize(f->dir), 0);
	text = output(f, cmd_list, 0, format);
	snprintf(expected, sizeof(expected),
		 "run,venue,kernel,boots,cells,started,complete,quick\n"
		 "%s,native,6.1,2,1,\"6,1\",yes,no\n",
		 f->dir);
	assert_string_equal(text, expected);
	free(text);

	put_text(f, "env.json", "{\"schema\": 9}");
	text = output(f, cmd_list, -EINVAL, format);
	assert_non_null(strstr(text, ",broken,"));
	free(text);
}

/* A run of a campaign: 20 boots of one cell, and of another of the newer kernel */
static void put_kernel(struct fixture *f, const char *kernel, double median,
		       bool newer, bool complete)
{
	struct fixture sub = {};
	char text[512], *rows = NULL;
	size_t size;
	FILE *mem = open_memstream(&rows, &size);
	int boot;

	fprintf(mem,
		"measure,provider,method,backing,cache,size_bytes,threads,phase,metric,unit,boot,blocks,n,median\n");
	for (boot = 1; boot <= 20; boot++)
		fprintf(mem,
			"latency,k2u,pfn,contig,wb,4096,1,setup,mmap,insn,%d,5,5,%.8g\n",
			boot, median * (1 + boot % 4 * 1e-4));
	for (boot = 1; newer && boot <= 20; boot++)
		fprintf(mem,
			"latency,k2u,read,contig,wb,64,1,warm,read,insn,%d,5,5,%d\n",
			boot, 2000 + boot);
	fclose(mem);
	snprintf(sub.dir, sizeof(sub.dir), "%.40s/%.16s", f->dir, kernel);
	assert_int_equal(mkdir(sub.dir, 0755), 0);
	put_text(&sub, "boots.csv", rows);
	free(rows);
	put_text(
		&sub, "summary.csv",
		"measure,provider,method,backing,cache,size_bytes,threads,phase,metric,unit,flags\n"
		"latency,k2u,pfn,contig,wb,4096,1,setup,mmap,insn,\n"
		"latency,k2u,read,contig,wb,64,1,warm,read,insn,nonlinear\n");
	snprintf(
		text, sizeof(text),
		"{\"schema\": 1, \"complete\": %s, \"venue\": \"icount\", \"kernel\": {\"release\": \"%s.7-cloud\"}}",
		complete ? "true" : "false", kernel);
	put_text(&sub, "env.json", text);
}

static void remove_kernel(struct fixture *f, const char *kernel)
{
	static const char *const files[] = { "boots.csv", "summary.csv",
					     "env.json" };
	struct fixture sub = {};
	unsigned int i;

	snprintf(sub.dir, sizeof(sub.dir), "%.40s/%.16s", f->dir, kernel);
	for (i = 0; i < ARRAY_SIZE(files); i++)
		remove_file(&sub, files[i]);
	assert_int_equal(rmdir(sub.dir), 0);
}

/* 6.2 before 6.10: 3 % slower, then 0.2 % faster, which is no step; gaps, too */
static void test_matrix(void **state)
{
	char csv[] = "--format=csv", steps[] = "--steps", saved[] = "--saved";
	struct fixture *f = *state;
	char *text, *again;

	put_kernel(f, "6.10", 1030, true, true);
	put_kernel(f, "6.2", 1000, false, true);
	put_kernel(f, "7.0", 1028, true, true);
	put_kernel(f, "6.1", 1, false, false);
	put_text(f, "gaps.csv", "kernel,reason\n6.5,no such image\n");

	text = output(f, cmd_matrix, 0, NULL);
	assert_said(f, "incomplete run: left out");
	assert_non_null(strstr(
		text, "pfn (contig) mmap 4 KiB   insn  1000   1030▲  1028"));
	assert_non_null(strstr(
		text, "read (contig) read 64 B † insn     –   2010   2010"));
	assert_non_null(strstr(text, "3 steps: 1 slower, 2 equivalent.\n"));
	assert_non_null(strstr(text, "6.5: not measured: no such image\n"));
	assert_non_null(strstr(
		text, "6.1.7-cloud: not measured: its run did not end\n"));
	assert_non_null(strstr(text, "against itself (A/A): passed"));
	free(text);

	text = output(f, cmd_matrix, 0, csv);
	assert_non_null(strstr(
		text, ",6.2,6.2.7-cloud,20,1000.15,1000.1,1000.2,,,,,,,1,\n"));
	assert_non_null(strstr(text, ",slower,1.03,\n"));
	assert_non_null(strstr(text, ",nonlinear;emulated-copy\n"));
	again = slurp(f, "matrix.csv");
	assert_string_equal(text, again);
	free(again);
	free(text);
	text = output(f, cmd_matrix, 0, steps);
	assert_non_null(strstr(
		text,
		"▲ 6.2 → 6.10  k2u pfn (contig) mmap 4 KiB: 1000 insn → 1030 insn, ×1.0300 [1.0300, 1.0300]\n"));
	free(text);
	text = output(f, cmd_matrix, 0, saved);
	assert_non_null(strstr(text, "1000   1030▲  1028"));
	free(text);

	remove_kernel(f, "6.2");
	remove_kernel(f, "6.10");
	remove_kernel(f, "6.1");
	remove_kernel(f, "7.0");
	remove_file(f, "gaps.csv");
	remove_file(f, "matrix.csv");
	free(output(f, cmd_matrix, -ENODATA, NULL));
	assert_said(f, "no complete run of a kernel");
}

static void test_format(void **state)
{
	static const struct {
		double median, low, high;
		const char *unit, *text;
	} known[] = {
		{ 1234.5, 1200, 1260, "ns", "1.234 µs [1.200, 1.260]" },
		{ 1234.5, 1234.1, 1234.9, "ns", "1.2345 µs [1.2341, 1.2349]" },
		{ 0.5, NAN, NAN, "ns", "0.500 ns" },
		{ 2e9, NAN, NAN, "ns", "2.00 s" },
		{ 337.1, 337, 337.2, "insn", "337.10 insn [337.00, 337.20]" },
		{ 2100000, NAN, NAN, "insn", "2.10 M insn" },
		{ 12.25, 12, 12.5, "GB/s", "12.25 GB/s [12.00, 12.50]" },
		{ 4096, 4096, 4096, "faults", "4096 faults" },
		{ 7, 1, INFINITY, "uses", "7 [1, inf]" },
		{ INFINITY, INFINITY, INFINITY, "uses", "inf" },
		{ 0.002, NAN, NAN, "s", "2.00 ms" },
		{ 0, NAN, NAN, "ns", "0 ns" },
		{ NAN, NAN, NAN, "ns", "–" },
	};
	struct estimate est = {};
	char text[128];
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(known); i++) {
		est.median = known[i].median;
		est.low = known[i].low;
		est.high = known[i].high;
		assert_string_equal(format_estimate(&est, known[i].unit, text,
						    sizeof(text)),
				    known[i].text);
	}
	assert_string_equal(format_size(4096, text, sizeof(text)), "4 KiB");
	assert_string_equal(format_size(1536, text, sizeof(text)), "1536 B");
	assert_string_equal(format_size(1ULL << 20, text, sizeof(text)),
			    "1 MiB");
}

static void test_parse_size(void **state)
{
	uint64_t bytes;

	(void)state;
	assert_int_equal(parse_size("4096", &bytes), 0);
	assert_int_equal(bytes, 4096);
	assert_int_equal(parse_size("64K", &bytes), 0);
	assert_int_equal(bytes, 65536);
	assert_int_equal(parse_size("1MiB", &bytes), 0);
	assert_int_equal(bytes, 1 << 20);
	assert_int_equal(parse_size("-1", &bytes), -EINVAL);
	assert_int_equal(parse_size("4x", &bytes), -EINVAL);
	assert_int_equal(parse_size("", &bytes), -EINVAL);
	assert_int_equal(parse_size("99999999999T", &bytes), -ERANGE);
	assert_int_equal(list_find("a,bb,c", "bb"), 1);
	assert_int_equal(list_find("a,bb,c", "b"), -1);
}

#define RUN_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_interval_rank),
		cmocka_unit_test(test_estimate),
		cmocka_unit_test(test_percentile_blanks),
		cmocka_unit_test(test_coverage),
		cmocka_unit_test(test_breakeven),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_parse_size),
		RUN_TEST(test_breakeven_file),
		RUN_TEST(test_parity_file),
		RUN_TEST(test_summary),
		RUN_TEST(test_boots),
		RUN_TEST(test_boots_interval),
		RUN_TEST(test_joining),
		RUN_TEST(test_boots_read),
		RUN_TEST(test_parity_boots),
		RUN_TEST(test_list_checks),
		RUN_TEST(test_list_boots),
		RUN_TEST(test_list),
		RUN_TEST(test_matrix),
		RUN_TEST(test_partial),
		RUN_TEST(test_columns),
		RUN_TEST(test_repeated_rows),
		RUN_TEST(test_bad_csv),
		RUN_TEST(test_long_line),
		RUN_TEST(test_bad_verdict),
		RUN_TEST(test_bad_env),
		RUN_TEST(test_full_disk),
		RUN_TEST(test_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

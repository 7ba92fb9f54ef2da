// SPDX-License-Identifier: GPL-2.0
/* k2u-stat compare: environments, verdicts, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <gsl/gsl_cdf.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../stat/k2u-stat.h"

#define assert_near(a, b, eps) assert_true(fabs((a) - (b)) <= (eps))

/* ---- env_diff ---- */

static const char base_env[] =
	"{\"schema\":1,\"run_id\":\"a\",\"venue\":\"native\",\"seed\":1,"
	"\"kernel\":{\"release\":\"6.1\",\"config\":{\"CONFIG_SMP\":\"y\","
	"\"CONFIG_KASAN\":\"n\"}},"
	"\"cpu\":{\"model\":\"x\",\"mitigations\":{\"retbleed\":\"a\\u001bb\"}},"
	"\"memory\":{\"total_bytes\":100},"
	"\"tool\":{\"args\":\"--boot=1 --sizes=4K run\"},"
	"\"methods\":[{\"provider\":\"tree\",\"method\":\"fault\","
	"\"backing\":\"memfd\",\"available\":true,\"via\":\"seen\"}]}";

static json_t *parse(const char *text)
{
	json_t *env = json_loads(text, 0, NULL);

	assert_non_null(env);
	return env;
}

static const struct env_change *find_change(const struct env_changes *all,
					    const char *path)
{
	size_t i;

	for (i = 0; i < all->n; i++)
		if (!strcmp(all->change[i].path, path))
			return &all->change[i];
	fail_msg("no change of %s", path);
	return NULL;
}

static void env_same(void **state)
{
	json_t *base = parse(base_env), *now = parse(base_env);
	struct env_changes all;

	(void)state;
	json_object_set_new(now, "run_id", json_string("b"));
	json_object_set_new(now, "seed", json_integer(2));
	json_object_set_new(json_object_get(now, "tool"), "args",
			    json_string("--sizes=4K --boot=2 run"));
	assert_int_equal(env_diff(base, now, &all), 0);
	assert_int_equal(all.n, 0);
	env_changes_free(&all);
	json_decref(base);
	json_decref(now);
}

static void env_classes(void **state)
{
	json_t *base = parse(base_env), *now = parse(base_env), *config;
	const struct env_change *c;
	struct env_changes all;

	(void)state;
	config = json_object_get(json_object_get(now, "kernel"), "config");
	json_object_set_new(config, "CONFIG_KASAN", json_string("y"));
	json_object_set_new(config, "CONFIG_NEW", json_string("m"));
	/* No change: the option has another name now */
	json_object_set_new(json_object_get(json_object_get(base, "kernel"),
					    "config"),
			    "RETPOLINE", json_string("y"));
	json_object_set_new(config, "RETPOLINE", json_string("n"));
	json_object_set_new(config, "MITIGATION_RETPOLINE", json_string("y"));
	json_object_set_new(json_object_get(json_object_get(now, "cpu"),
					    "mitigations"),
			    "retbleed", json_string("c"));
	json_object_set_new(json_object_get(now, "memory"), "total_bytes",
			    json_integer(200));
	json_object_set_new(now, "future", json_true());
	json_object_set_new(json_array_get(json_object_get(now, "methods"), 0),
			    "available", json_false());
	assert_int_equal(env_diff(base, now, &all), 0);
	assert_int_equal(all.n, 6);

	c = find_change(&all, "kernel.config.CONFIG_KASAN");
	assert_int_equal(c->class, ENV_IDENTITY);
	assert_string_equal(c->title, "kernel config");
	assert_string_equal(c->key, "CONFIG_KASAN");
	assert_string_equal(c->old, "n");
	assert_string_equal(c->now, "y");
	c = find_change(&all, "kernel.config.CONFIG_NEW");
	assert_string_equal(c->old, "");
	assert_string_equal(c->now, "m");
	/* What a file says must not reach a terminal as it is */
	c = find_change(&all, "cpu.mitigations.retbleed");
	assert_int_equal(c->class, ENV_IDENTITY);
	assert_string_equal(c->old, "a b");
	c = find_change(&all, "memory.total_bytes");
	assert_int_equal(c->class, ENV_INFORM);
	c = find_change(&all, "future");
	assert_int_equal(c->class, ENV_INFORM);
	assert_string_equal(c->now, "true");
	c = find_change(&all, "methods.tree fault memfd");
	assert_int_equal(c->class, ENV_INFORM);
	assert_string_equal(c->old, "seen");
	assert_string_equal(c->now, "unavailable: ");
	env_changes_free(&all);
	json_decref(base);
	json_decref(now);
}

/* An object that one side has alone is one difference, not as many as it has keys */
static void env_object_alone(void **state)
{
	json_t *base = parse(base_env), *now = parse(base_env);
	const struct env_change *c;
	struct env_changes all;

	(void)state;
	json_object_del(json_object_get(base, "kernel"), "config");
	assert_int_equal(env_diff(base, now, &all), 0);
	assert_int_equal(all.n, 1);
	c = find_change(&all, "kernel.config");
	assert_string_equal(c->now, "2 entries");
	env_changes_free(&all);
	json_decref(base);
	json_decref(now);
}

static void env_options(void **state)
{
	static const char *const cases[][2] = {
		{ "", "" },
		{ "run", "" },
		{ "--quick run", "--quick" },
		{ "--stream=/dev/ttyS1 --run-id=x --venue=icount "
		  "--env=guest.module_compiler=gcc (Debian 14.2.0-19) 14.2.0 "
		  "--env=started=2026-11-21T09:29:13Z "
		  "--env=guest.qemu=7.2.22 (Debian 1:7.2) run",
		  "" },
		{ "--boot 3 --sizes 4K,1M --seed 5 --out d run",
		  "--sizes 4K,1M" },
		{ "--boot=3 --seed=5 --test-spin=read:10 run",
		  "--test-spin=read:10" },
		{ "--bootleg=1 run", "--bootleg=1" },
	};
	char *text;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		text = env_args(cases[i][0]);
		assert_non_null(text);
		assert_string_equal(text, cases[i][1]);
		free(text);
	}
}

/* ---- judge ---- */

#define N 20

static double base[N], now[N];

/* Pair i is exp(d[i]) apart */
static struct contrast contrast(const double *d, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		base[i] = 100 + i;
		now[i] = base[i] * exp(d[i]);
	}
	return (struct contrast){ .base = base, .new_ = now, .n = n };
}

static void fill(double *d, size_t n, double value)
{
	size_t i;

	for (i = 0; i < n; i++)
		d[i] = value;
}

static void judge_all_slower(void **state)
{
	struct contrast c;
	double d[N];

	(void)state;
	fill(d, N, log(1.03));
	c = contrast(d, N);
	assert_int_equal(judge(&c, 1, THRESHOLD), 0);
	assert_near(c.p, ldexp(1, -19), 1e-12);
	assert_near(c.p_holm, ldexp(1, -19), 1e-12);
	assert_near(c.ratio, 1.03, 1e-12);
	assert_near(c.low, 1.03, 1e-12);
	/* 1 - 2 P(B <= 5), B binomial (20, 1/2) */
	assert_near(c.level, 1 - 2 * 21700 / ldexp(1, 20), 1e-9);
	assert_int_equal(c.verdict, SLOWER);
	assert_int_equal(c.more, 0);
	assert_near(c.base_est.median, 109.5, 1e-9);
	/* A rate of 3 % more is better */
	c.more_is_better = true;
	assert_int_equal(judge(&c, 1, THRESHOLD), 0);
	assert_int_equal(c.verdict, FASTER);
	/* Not so much as is called: then it is as good as equal */
	assert_int_equal(judge(&c, 1, 0.04), 0);
	assert_int_equal(c.verdict, EQUIVALENT);
	c.withheld = true;
	assert_int_equal(judge(&c, 1, THRESHOLD), 0);
	assert_int_equal(c.verdict, WITHHELD);
	assert_true(isnan(c.p));
}

/* Significant, but too small to be called */
static void judge_small(void **state)
{
	struct contrast c;
	double d[N];

	(void)state;
	fill(d, N, log(1.004));
	c = contrast(d, N);
	assert_int_equal(judge(&c, 1, THRESHOLD), 0);
	assert_true(c.p_holm < 0.001);
	assert_int_equal(c.verdict, EQUIVALENT);
	assert_int_equal(judge(&c, 1, 0.004), 0);
	assert_int_equal(c.verdict, SLOWER);
}

/* A tie speaks against a difference: p = 2 P(B <= dissent + ties) */
static void judge_ties(void **state)
{
	struct contrast c;
	double d[N];

	(void)state;
	fill(d, N, log(1.03));
	d[0] = -0.1;
	d[1] = 0;
	c = contrast(d, N);
	assert_int_equal(judge(&c, 1, THRESHOLD), 0);
	assert_near(c.p, 2 * (1 + 20 + 190) / ldexp(1, 20), 1e-12);
	fill(d, N, 0);
	c = contrast(d, N);
	assert_int_equal(judge(&c, 1, THRESHOLD), 0);
	assert_near(c.p, 1, 0);
	assert_int_equal(c.verdict, EQUIVALENT);
	assert_near(c.mde, THRESHOLD, 1e-12);
}

/* p * m, p * (m - 1), ..., never falling */
static void judge_holm(void **state)
{
	static double far[N], near[N];
	struct contrast c[120];
	double d[N];
	size_t i;

	(void)state;
	fill(d, N, 0);
	for (i = 0; i < 120; i++)
		c[i] = contrast(d, N);
	for (i = 0; i < N; i++) {
		far[i] = base[i] * (i < 2 ? 0.98 : 1.02);
		near[i] = base[i] * (i < 3 ? 0.98 : 1.02);
	}
	c[7].new_ = far;
	c[9].new_ = near;
	c[11].withheld = true; /* not of the family */
	assert_int_equal(judge(c, 120, THRESHOLD), 0);
	/* 2 of 20 dissent: 211 / 2^19 * 119 = 0.0479; 3 of 20: not enough */
	assert_near(c[7].p_holm, 211 / ldexp(1, 19) * 119, 1e-9);
	assert_int_equal(c[7].verdict, SLOWER);
	assert_near(c[9].p_holm, 1351 / ldexp(1, 19) * 118, 1e-9);
	assert_int_equal(c[9].verdict, INCONCLUSIVE);
	assert_true(c[9].more > 0 && c[9].more < 50);
	assert_int_equal(c[11].verdict, WITHHELD);
	assert_int_equal(c[0].verdict, EQUIVALENT);
	/* In a smaller family it is enough */
	assert_int_equal(judge(c, 12, THRESHOLD), 0);
	assert_int_equal(c[9].verdict, SLOWER);
}

/* 120 cells: 2 / 2^n * 120 <= 0.05 from n = 13 on */
static void judge_least_boots(void **state)
{
	struct contrast c[120];
	double d[N];
	size_t i;

	(void)state;
	assert_int_equal(judge_boots(1), 6);
	assert_int_equal(judge_boots(120), 14 - 1);
	assert_int_equal(judge_boots(0), 6);
	fill(d, N, log(1.5));
	for (i = 0; i < 120; i++)
		c[i] = contrast(d, 12);
	assert_int_equal(judge(c, 120, THRESHOLD), 0);
	assert_int_equal(c[0].verdict, INCONCLUSIVE);
	assert_int_equal(c[0].more, 1);
	assert_true(isnan(c[0].mde));
	/* One boot: nothing is known, and so many are the least */
	for (i = 0; i < 120; i++)
		c[i] = contrast(d, 1);
	assert_int_equal(judge(c, 120, THRESHOLD), 0);
	assert_int_equal(c[0].verdict, INCONCLUSIVE);
	assert_int_equal(c[0].more, 12);
	assert_true(isnan(c[0].low));
	fill(d, N, 0);
	c[0] = contrast(d, 1);
	assert_int_equal(judge(c, 1, THRESHOLD), 0);
	assert_int_equal(c[0].verdict, INCONCLUSIVE);
	assert_int_equal(c[0].more, 5);
}

static void judge_mde(void **state)
{
	double d[N], low = 0, high = 0.5, q = 0;
	struct contrast c;
	double at, want;
	int i;

	(void)state;
	/* Deviations 0.001, 0.001, 0.002, 0.002 ... 0.010, 0.010 */
	for (i = 0; i < N / 2; i++) {
		d[2 * i] = 0.001 * (i + 1);
		d[2 * i + 1] = -0.001 * (i + 1);
	}
	c = contrast(d, N);
	assert_int_equal(judge(&c, 1, THRESHOLD), 0);
	/* Alone it may have 5 that dissent: P(Bin(20, q) <= 5) = 0.8 */
	for (i = 0; i < 100; i++) {
		q = (low + high) / 2;
		if (gsl_cdf_binomial_P(5, q, N) > 0.8)
			low = q;
		else
			high = q;
	}
	at = (1 - 2 * q) * (N - 1);
	want = 0.001 * ((int)at / 2 + 1);
	if ((int)at % 2)
		want += 0.001 * (at - (int)at);
	assert_near(c.mde, expm1(want), 1e-9);
	assert_int_equal(c.verdict, EQUIVALENT);
}

static void judge_counts(void **state)
{
	static const double few[4] = { 16, 16, 16, 16 },
			    many[4] = { 17, 17, 17, 17 },
			    some[4] = { 16, 17, 16, 16 },
			    none[4] = { 0, 0, 0, 0 };
	struct contrast c = { .base = few, .new_ = few, .n = 4, .count = true };

	(void)state;
	assert_int_equal(judge(&c, 1, THRESHOLD), 0);
	assert_int_equal(c.verdict, EQUIVALENT);
	assert_true(c.exact && isnan(c.p));
	c.new_ = many;
	assert_int_equal(judge(&c, 1, THRESHOLD), 0);
	assert_int_equal(c.verdict, SLOWER);
	c.base = many;
	c.new_ = none;
	assert_int_equal(judge(&c, 1, THRESHOLD), 0);
	assert_int_equal(c.verdict, FASTER);
	c.base = c.new_ = none;
	assert_int_equal(judge(&c, 1, THRESHOLD), 0);
	assert_int_equal(c.verdict, EQUIVALENT);
	/* One that varies is a measurement like others */
	c.base = few;
	c.new_ = some;
	assert_int_equal(judge(&c, 1, THRESHOLD), 0);
	assert_int_equal(c.verdict, INCONCLUSIVE);
	assert_false(c.exact);
	/* Of one boot it is not known whether it does */
	c.n = 1;
	assert_int_equal(judge(&c, 1, THRESHOLD), 0);
	assert_int_equal(c.verdict, INCONCLUSIVE);
	assert_int_equal(c.more, 1);
}

/* A cost of 0, or less by what was subtracted, has no ratio but an order */
static void judge_no_ratio(void **state)
{
	struct contrast c;
	double d[N];
	int i;

	(void)state;
	fill(d, N, 0);
	c = contrast(d, N);
	for (i = 0; i < N; i++)
		base[i] = 0;
	assert_int_equal(judge(&c, 1, THRESHOLD), 0);
	assert_int_equal(c.verdict, SLOWER);
	for (i = 0; i < N; i++)
		now[i] = i % 2 ? -1 : 1;
	assert_int_equal(judge(&c, 1, THRESHOLD), 0);
	assert_int_equal(c.verdict, INCONCLUSIVE);
	c.n = 0;
	assert_int_equal(judge(&c, 1, THRESHOLD), 0);
	assert_int_equal(c.verdict, INCONCLUSIVE);
	assert_int_equal(judge(&c, 0, THRESHOLD), 0);
}

/* ---- the A/A check ---- */

static void aa_states(void **state)
{
	double v[20], w[20], noise;
	const double *cell[2] = { v, w };
	struct aa aa;
	int i;

	(void)state;
	assert_int_equal(aa_boots(), 18);
	for (i = 0; i < 20; i++) {
		noise = 0.001 * ((i * 7) % 5 - 2);
		v[i] = w[i] = 100 * exp(noise);
	}
	assert_int_equal(aa_check(&aa, cell, 2, 20, false, THRESHOLD), 0);
	assert_int_equal(aa.state, AA_PASSED);
	assert_int_equal(aa.pairs, 10);
	assert_int_equal(aa.out, 0);
	assert_near(aa.p, 1, 0);
	assert_int_equal(aa_check(&aa, cell, 2, 17, false, THRESHOLD), 0);
	assert_int_equal(aa.state, AA_UNDECIDABLE);

	/* 3 % more in the second half: seen by halves, not by neighbours */
	for (i = 10; i < 20; i++)
		v[i] *= 1.03;
	assert_int_equal(aa_check(&aa, cell, 2, 20, false, THRESHOLD), 0);
	assert_int_equal(aa.state, AA_PASSED);
	assert_int_equal(aa_check(&aa, cell, 2, 20, true, THRESHOLD), 0);
	assert_int_equal(aa.state, AA_FAILED);
	assert_int_equal(aa.out, 1);
	/* Of all 2^10 ways to flip: as it is, and all the other way round */
	assert_near(aa.p, 2 / 1024.0, 1e-12);

	/* Every second one slower: the reverse */
	for (i = 0; i < 20; i++)
		v[i] = i % 2 ? 103 : 100;
	assert_int_equal(aa_check(&aa, cell, 2, 20, false, THRESHOLD), 0);
	assert_int_equal(aa.state, AA_FAILED);
	assert_int_equal(aa_check(&aa, cell, 2, 20, true, THRESHOLD), 0);
	assert_int_equal(aa.state, AA_PASSED);
	/* By less than what is called */
	assert_int_equal(aa_check(&aa, cell, 2, 20, false, 0.04), 0);
	assert_int_equal(aa.state, AA_PASSED);

	/* A cell that most boots do not have cannot differ */
	for (i = 0; i < 20; i++)
		v[i] = i < 14 ? v[i] : NAN;
	assert_int_equal(aa_check(&aa, cell, 2, 20, false, THRESHOLD), 0);
	assert_int_equal(aa.state, AA_PASSED);
}

/* More pairs than a word has bits, and flips drawn at random */
static void aa_many(void **state)
{
	enum { BOOTS = 300, CELLS = 10 };
	static double v[CELLS][BOOTS];
	const double *cell[CELLS];
	struct aa aa;
	int i, j;

	(void)state;
	for (i = 0; i < CELLS; i++) {
		cell[i] = v[i];
		for (j = 0; j < BOOTS; j++)
			v[i][j] = 100 + (j / 2 * 7 + i) % 11 +
				  ((j * 31) % 4 < 2) * 1.0;
	}
	assert_int_equal(aa_check(&aa, cell, CELLS, BOOTS, false, THRESHOLD),
			 0);
	assert_int_equal(aa.pairs, 150);
	assert_int_equal(aa.state, AA_PASSED);
	for (i = 0; i < CELLS; i++)
		for (j = 0; j < BOOTS; j += 2)
			v[i][j] *= 1.02;
	assert_int_equal(aa_check(&aa, cell, CELLS, BOOTS, false, THRESHOLD),
			 0);
	assert_int_equal(aa.state, AA_FAILED);
	assert_near(aa.p, 1 / 4097.0, 1e-12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(env_same),
		cmocka_unit_test(env_classes),
		cmocka_unit_test(env_object_alone),
		cmocka_unit_test(env_options),
		cmocka_unit_test(judge_all_slower),
		cmocka_unit_test(judge_small),
		cmocka_unit_test(judge_ties),
		cmocka_unit_test(judge_holm),
		cmocka_unit_test(judge_least_boots),
		cmocka_unit_test(judge_mde),
		cmocka_unit_test(judge_counts),
		cmocka_unit_test(judge_no_ratio),
		cmocka_unit_test(aa_states),
		cmocka_unit_test(aa_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

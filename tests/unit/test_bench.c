// SPDX-License-Identifier: GPL-2.0
/* test_bench.c - k2u-bench's arithmetic, placement and output, with known answers. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../bench/bench.h"
#include "../../bench/counter.h"
#include "../../bench/pool.h"
#include "../../bench/stream.h"

/* ---- records ---- */

static void test_records_are_accounted_for(void **state)
{
	const size_t size = 64;
	uint64_t record[9], *w = record;
	struct tally t = {};
	uint64_t seq;

	record_template(w, size, 7);
	/* struct k2u_record: 64 bytes less the head and the last word */
	assert_int_equal(w[2], 64 - 24 - 8);
	assert_int_equal(w[3], k2u_pattern(7, 3));
	assert_int_equal(w[7], 0);
	for (seq = 0; seq < 5; seq++) {
		if (seq == 2 || seq == 3)
			continue;
		w[0] = w[7] = seq;
		w[1] = 100 + seq;
		tally_record(&t, (char *)w, size);
	}
	assert_int_equal(t.records, 3);
	assert_int_equal(t.gaps, 2);
	assert_int_equal(t.torn, 0);
	assert_int_equal(t.next, 5);
	assert_int_equal(t.stamp, 104);
	assert_int_equal(t.sum, t.heads + t.records * record_body(size, 7));

	/* A byte that is another, and a last word that is another record's */
	((char *)w)[40] ^= 1;
	w[0] = 5;
	tally_record(&t, (char *)w, size);
	assert_int_not_equal(t.sum, t.heads + t.records * record_body(size, 7));
	assert_int_not_equal(t.torn, 0);

	/* perf aligns a record to 4 */
	t = (struct tally){};
	record_template(w, size, 7);
	memmove((char *)record + 4, record, size);
	tally_record(&t, (char *)record + 4, size);
	assert_int_equal(t.sum, t.heads + record_body(size, 7));
}

/* Each source that is there: in order until it is full, then dropped and counted */
static void test_streams_drop_what_finds_no_room(void **state)
{
	const uint64_t many = 20000;
	const int cpu = sched_getcpu();
	cpu_set_t before, one;
	struct sources all = {};
	uint64_t dropped, first;
	unsigned int i;
	int64_t n;

	/* Some rings are of the CPU that produces */
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_getaffinity(0, sizeof(before), &before);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_int_equal(streams_probe(&all, "/nonexistent"), 0);
	assert_true(all.nr > 4);
	for (i = 0; i < all.nr; i++) {
		const struct source *src = &all.v[i];
		const struct stream_ops *ops = src->stream;
		struct stream s = {
			.src = src,
			.record_size = 64,
			.slots = 128,
			.seed = 7,
			.cpu = cpu,
		};

		/* What can be made hands over its records */
		assert_null(strstr(src->reason, "a record"));
		if (!source_available(src) || src->flags & SOURCE_NULL)
			continue;
		assert_int_equal(ops->open(&s), 0);
		assert_int_equal(ops->consume(&s, 1), 0);
		assert_int_equal(ops->produce(&s, many, 9), 0);
		assert_int_equal(ops->dropped(&s, &dropped), 0);
		while ((n = ops->consume(&s, 100)) > 0)
			;
		assert_int_equal(n, 0);
		first = s.tally.records;
		assert_true(first >= 1 && first < many);
		if (src->access & ACCESS_STREAM)
			assert_true(first >= s.slots);
		assert_int_equal(first + dropped, many);
		assert_int_equal(s.tally.gaps, 0);
		assert_int_equal(ops->produce(&s, 1, 10), 0);
		assert_int_equal(ops->consume(&s, 100), 1);
		assert_int_equal(s.tally.next, many + 1);
		assert_int_equal(s.tally.gaps, dropped);
		assert_int_equal(s.tally.stamp, 10);
		assert_int_equal(s.tally.torn, 0);
		assert_int_equal(s.tally.sum,
				 s.tally.heads +
					 s.tally.records * record_body(64, 7));
		ops->close(&s);
	}
	sources_free(&all);
	sched_setaffinity(0, sizeof(before), &before);
}

static void test_cpu_lists(void **state)
{
	assert_true(cpu_in_list("0", 0));
	assert_true(cpu_in_list("0-3,8", 2));
	assert_true(cpu_in_list("0-3,8", 8));
	assert_true(cpu_in_list("0,32", 32));
	assert_false(cpu_in_list("0,32", 3));
	assert_false(cpu_in_list("0-3,8", 4));
	assert_false(cpu_in_list("", 0));
	assert_false(cpu_in_list("1,", 0));
}

/* ---- timing ---- */

static uint64_t fake_ns;

/* Reading it costs 20, one turn of the loop 3 */
static uint64_t fake_clock(void)
{
	return fake_ns += 20;
}

static int fake_op(void *arg, uint64_t i)
{
	fake_ns += 3 + *(uint64_t *)arg;
	return 0;
}

static int failing_op(void *arg, uint64_t i)
{
	return i == 2 ? -ENOMEM : 0;
}

static void test_overhead_is_subtracted(void **state)
{
	const struct timing t = { .clock = 20, .loop = 3 };
	struct reading r = {};
	uint64_t (*real)(void) = now, cost = 100;
	int64_t elapsed;

	now = fake_clock;
	assert_int_equal(timed_loop(fake_op, &cost, 10, &elapsed), 0);
	now = real;
	assert_int_equal(elapsed, 20 + 10 * 103);
	reading_add(&r, elapsed, 10, 10);
	assert_float_equal(timing_overhead(&t, &r), 2 + 3, 1e-9);
	assert_float_equal(timing_value(&t, &r), 100, 1e-9);
	assert_float_equal(timing_rate(&t, &r, 400), 4, 1e-9);

	/* Two windows of 10 turns, 4 operations in each turn */
	r = (struct reading){};
	reading_add(&r, elapsed, 40, 10);
	reading_add(&r, elapsed, 40, 10);
	assert_int_equal(r.clocks, 2);
	assert_float_equal(timing_value(&t, &r), 25, 1e-9);
}

static void test_loop_reports_errors(void **state)
{
	int64_t elapsed;

	assert_int_equal(timed_loop(failing_op, NULL, 2, &elapsed), 0);
	assert_int_equal(timed_loop(failing_op, NULL, 10, &elapsed), -ENOMEM);
}

static void test_calibration_leaves_nothing(void **state)
{
	struct timing t;

	timing_calibrate(&t, false);
	assert_true(t.clock > 0 && t.clock < 10000);
	assert_true(t.loop > 0 && t.loop < 1000);
	assert_true(t.residual_low <= t.residual &&
		    t.residual <= t.residual_high);
	assert_true(t.residual > -t.loop && t.residual < t.loop);
}

static void test_median(void **state)
{
	double odd[] = { 5, 1, 3 }, even[] = { 4, 1, 2, 3 };

	assert_float_equal(median(odd, 3), 3, 0);
	assert_float_equal(median(even, 4), 2.5, 0);
}

/* ---- order ---- */

static void test_rng_known_answers(void **state)
{
	/* SplitMix64 from 1234567, as published with its reference code */
	static const uint64_t want[] = {
		6457827717110365317ULL,	 3203168211198807973ULL,
		9817491932198370423ULL,	 4593380528125082431ULL,
		16408922859458223821ULL,
	};
	struct rng rng = { 1234567 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(want); i++)
		assert_int_equal(rng_next(&rng), want[i]);
}

static void test_shuffle(void **state)
{
	unsigned int a[8], b[8], count[4][4] = {}, i, j;
	struct rng rng = { 1 }, again = { 1 };

	for (i = 0; i < 8; i++)
		a[i] = b[i] = i;
	rng_shuffle(&rng, a, 8);
	rng_shuffle(&again, b, 8);
	assert_memory_equal(a, b, sizeof(a));
	rng_shuffle(&rng, b, 8);
	assert_memory_not_equal(a, b, sizeof(a));
	for (i = 0, j = 0; i < 8; i++)
		j |= 1u << a[i];
	assert_int_equal(j, 0xff);

	/* Each place equally often: 4000 shuffles, 1000 expected, 5 SD = 137 */
	for (i = 0; i < 4000; i++) {
		for (j = 0; j < 4; j++)
			a[j] = j;
		rng_shuffle(&rng, a, 4);
		for (j = 0; j < 4; j++)
			count[j][a[j]]++;
	}
	for (i = 0; i < 4; i++)
		for (j = 0; j < 4; j++)
			assert_in_range(count[i][j], 1000 - 137, 1000 + 137);
}

/* ---- contents ---- */

static uint64_t naive_sum(const unsigned char *p, size_t len)
{
	uint64_t sum = 0, word;
	size_t i, j;

	for (i = 0; i < len; i += 8) {
		for (word = 0, j = 0; j < 8 && i + j < len; j++)
			word |= (uint64_t)p[i + j] << 8 * j;
		sum += word;
	}
	return sum;
}

static void test_consume(void **state)
{
	unsigned char *p = malloc(4096 + 64);
	size_t len, shift;

	assert_non_null(p);
	pattern_fill(p, 42, 4096 + 64);
	for (len = 0; len <= 300; len++)
		for (shift = 0; shift < 17; shift++)
			assert_int_equal(consume(p + shift, len),
					 naive_sum(p + shift, len));
	assert_int_equal(consume(p + 1, 4095), naive_sum(p + 1, 4095));
	/* Every byte counts */
	for (len = 0; len < 300; len++) {
		uint64_t before = consume(p, 300);

		p[len] ^= 0x10;
		assert_int_not_equal(consume(p, 300), before);
		p[len] ^= 0x10;
	}
	free(p);
}

static void test_pattern_known_answers(void **state)
{
	unsigned char buf[20];
	uint64_t hash;

	/* Word 0 of seed 1234567 is SplitMix64's first output */
	assert_int_equal(k2u_pattern(1234567, 0), 6457827717110365317ULL);
	assert_int_equal(k2u_pattern(1234567, 1), 3203168211198807973ULL);
	pattern_fill(buf, 1234567, sizeof(buf));
	assert_int_equal(naive_sum(buf, 8), 6457827717110365317ULL);
	assert_int_equal(pattern_sum(1234567, sizeof(buf)),
			 naive_sum(buf, sizeof(buf)));
	assert_int_equal(pattern_sum(1234567, 16),
			 6457827717110365317ULL + 3203168211198807973ULL);

	hash = k2u_hash(k2u_hash(0, 1), 2);
	assert_int_equal(hash, 2 * 0x100000001b3ULL + 3);
	hash = k2u_hash(k2u_hash(k2u_hash(0, naive_sum(buf, 8)),
				 naive_sum(buf + 8, 8)),
			naive_sum(buf + 16, 4));
	assert_int_equal(pattern_hash(1234567, sizeof(buf)), hash);
}

static void test_bytes_differ(void **state)
{
	char a[100], b[100];

	pattern_fill(a, 1, sizeof(a));
	pattern_fill(b, 1, sizeof(b));
	assert_int_equal(bytes_differ(a, b, sizeof(a)), -1);
	b[99] ^= 1;
	assert_int_equal(bytes_differ(a, b, sizeof(a)), 99);
	assert_int_equal(bytes_differ(a, b, 99), -1);
	a[0] ^= 1;
	assert_int_equal(bytes_differ(a, b, sizeof(a)), 0);
}

/* ---- placement ---- */

static bool resident(char *p)
{
	unsigned char vec = 0;

	return !mincore(p, page_bytes(), &vec) && vec & 1;
}

static void test_arena(void **state)
{
	const size_t pmd = pmd_bytes(), page = page_bytes();
	const uint64_t sizes[] = { page, 16 * page, pmd, pmd + page };
	unsigned int i, s;

	for (s = 0; s < ARRAY_SIZE(sizes); s++) {
		assert_int_equal(arena_begin(sizes[s], 3), 0);
		for (i = 0; i < 3; i++) {
			char *at = arena_slot(i), *p;

			assert_int_equal((uintptr_t)at % pmd, 0);
			/* The tables above live; the head's place and the data's are free */
			assert_true(resident(at - pmd));
			p = map_private(at - page, sizes[s] + page);
			assert_ptr_equal(p, at - page);
			assert_int_equal(munmap(p, sizes[s] + page), 0);
			if (sizes[s] % pmd)
				assert_true(resident(
					at + (sizes[s] / pmd + 1) * pmd -
					page));
			if (i)
				assert_true(
					(uint64_t)(at - arena_slot(i - 1)) >=
					sizes[s] + pmd);
		}
		arena_end();
		for (i = 0; i < 3; i++)
			assert_false(resident(arena_slot(i) - pmd));
	}
}

static void test_fault_windows(void **state)
{
	const uint64_t w = 64 * KIB;

	assert_int_equal(fault_windows(0, 4096, w), 1);
	assert_int_equal(fault_windows(0, w, w), 1);
	assert_int_equal(fault_windows(0, w + 4096, w), 2);
	assert_int_equal(fault_windows(0, MIB, w), 16);
	assert_int_equal(fault_windows(w - 4096, 8192, w), 2);
	/* 8 MiB that begin inside a window: one more */
	assert_int_equal(fault_windows(4096, 8 * MIB, w), 129);
	/* fault-around off: a page each */
	assert_int_equal(fault_windows(0, MIB, 4096), 256);
}

/* ---- command line ---- */

static void test_parse_size(void **state)
{
	static const char *const bad[] = {
		"",
		"K",
		"-1",
		"+1",
		"0",
		"0K",
		"4k4",
		"4KB",
		"4.5K",
		"1e3",
		" 4K",
		"4K ",
		"0x10",
		"99999999999999999999",
		"18446744073709551615",
		"17179869184G",
	};
	uint64_t size;
	unsigned int i;

	assert_int_equal(parse_size("4096", &size), 0);
	assert_int_equal(size, 4096);
	assert_int_equal(parse_size("64K", &size), 0);
	assert_int_equal(size, 65536);
	assert_int_equal(parse_size("16m", &size), 0);
	assert_int_equal(size, 16 * MIB);
	assert_int_equal(parse_size("2G", &size), 0);
	assert_int_equal(size, 2 * GIB);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse_size(bad[i], &size), -EINVAL);
}

static void test_parse_sizes(void **state)
{
	uint64_t v[MAX_SIZES];
	char many[4 * MAX_SIZES + 8] = "1M";
	unsigned int nr, i;

	assert_int_equal(parse_sizes("64K,1M", v, &nr), 0);
	assert_int_equal(nr, 2);
	assert_int_equal(v[0], 64 * KIB);
	assert_int_equal(v[1], MIB);
	assert_int_equal(parse_sizes("", v, &nr), -EINVAL);
	assert_int_equal(parse_sizes("64K,", v, &nr), -EINVAL);
	assert_int_equal(parse_sizes(",64K", v, &nr), -EINVAL);
	assert_int_equal(parse_sizes("64K;1M", v, &nr), -EINVAL);
	assert_int_equal(parse_sizes("5000", v, &nr),
			 -EINVAL); /* not whole pages */
	for (i = 1; i < MAX_SIZES; i++)
		strcat(many, ",1M");
	assert_int_equal(parse_sizes(many, v, &nr), 0);
	strcat(many, ",1M");
	assert_int_equal(parse_sizes(many, v, &nr), -EINVAL);
}

static void test_parse_number(void **state)
{
	uint64_t n;

	assert_int_equal(parse_number("17", 20, &n), 0);
	assert_int_equal(n, 17);
	assert_int_equal(parse_number("21", 20, &n), -EINVAL);
	assert_int_equal(parse_number("-1", 20, &n), -EINVAL);
	assert_int_equal(parse_number("1x", 20, &n), -EINVAL);
	assert_int_equal(parse_number("", 20, &n), -EINVAL);
}

static void test_parse_threads(void **state)
{
	static const char *const bad[] = {
		"",
		"0",
		"1,0",
		"2,1",
		"1,1",
		"1,",
		",1",
		"65",
		"-1",
		"1;2",
		"1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17",
		"00000000001",
	};
	unsigned int v[MAX_STEPS], nr, i;

	assert_int_equal(parse_threads("1,2,16,64", v, &nr), 0);
	assert_int_equal(nr, 4);
	assert_int_equal(v[0], 1);
	assert_int_equal(v[3], 64);
	assert_int_equal(parse_threads("3", v, &nr), 0);
	assert_int_equal(nr, 1);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse_threads(bad[i], v, &nr), -EINVAL);
}

static void test_parse_spin(void **state)
{
	static const char *const bad[] = {
		"",
		"read",
		"read:",
		":5",
		"read:0",
		"read:-1",
		"read:1000001",
		"read:5x",
		"a-name-that-is-too-long:5",
	};
	char method[16];
	uint64_t turns;
	unsigned int i;

	assert_int_equal(parse_spin("vmalloc:1000000", method, sizeof(method),
				    &turns),
			 0);
	assert_string_equal(method, "vmalloc");
	assert_int_equal(turns, 1000000);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse_spin(bad[i], method, sizeof(method),
					    &turns),
				 -EINVAL);
}

/* ---- the pool of measure scale ---- */

static int job_count(struct worker *w, const struct cell *c, uint64_t n)
{
	w->sum += n;
	return 0;
}

static int job_third_fails(struct worker *w, const struct cell *c, uint64_t n)
{
	return w->id == 2 ? -EIO : 0;
}

static int job_last_dies(struct worker *w, const struct cell *c, uint64_t n)
{
	if (w->id == w->of - 1)
		_exit(0);
	return 0;
}

static void check_pool(bool processes)
{
	const struct source s = {};
	const struct cell c = { .src = &s };
	const struct options o = {};
	struct pool *p;
	unsigned int i;

	assert_int_equal(pool_begin(&p, &o, 4, processes), 0);
	assert_int_equal(pool_size(p), 4);
	assert_int_equal(pool_run(p, job_count, &c, 3), 0);
	assert_int_equal(pool_time(p, job_count, &c, 4), 0);
	for (i = 0; i < 4; i++) {
		const struct worker *w = pool_worker(p, i);

		assert_int_equal(w->id, i);
		assert_int_equal(w->sum, 7);
		assert_true(w->start && w->end >= w->start);
		assert_true(w->on_cpu >= 0);
	}
	assert_int_equal(pool_run(p, job_third_fails, &c, 0), -EIO);
	assert_int_equal(pool_run(p, job_count, &c, 1), 0);
	if (processes) {
		assert_int_equal(pool_run(p, job_last_dies, &c, 0), -ECHILD);
		assert_int_equal(pool_run(p, job_count, &c, 1), -ECHILD);
	}
	pool_end(p);
}

static void test_pool(void **state)
{
	check_pool(false);
	check_pool(true);
}

static void test_in_list(void **state)
{
	assert_true(in_list(NULL, "read"));
	assert_true(in_list("read", "read"));
	assert_true(in_list("pfn,read", "read"));
	assert_false(in_list("pfn,ready", "read"));
	assert_false(in_list("rea", "read"));
	assert_false(in_list("", "read"));
}

/* ---- env.json ---- */

static void test_env_fact(void **state)
{
	json_t *root = json_pack("{s{ss}}", "kernel", "release", "6.1");

	assert_int_equal(env_fact(root, "kernel.config_sha256=ab=c"), 0);
	assert_int_equal(env_fact(root, "guest.qemu=7.2"), 0);
	assert_int_equal(env_fact(root, "top=1"), 0);
	assert_string_equal(
		json_string_value(json_object_get(
			json_object_get(root, "kernel"), "config_sha256")),
		"ab=c");
	assert_string_equal(
		json_string_value(json_object_get(
			json_object_get(root, "kernel"), "release")),
		"6.1");
	assert_string_equal(json_string_value(json_object_get(
				    json_object_get(root, "guest"), "qemu")),
			    "7.2");
	assert_string_equal(json_string_value(json_object_get(root, "top")),
			    "1");
	assert_int_equal(env_fact(root, "novalue"), -EINVAL);
	assert_int_equal(env_fact(root, "=x"), -EINVAL);
	assert_int_equal(env_fact(root, "a.=x"), -EINVAL);
	assert_int_equal(env_fact(root, ".a=x"), -EINVAL);
	json_decref(root);
}

static void test_hypervisor_names(void **state)
{
	assert_string_equal(env_hypervisor("KVMKVMKVM"), "kvm");
	assert_string_equal(env_hypervisor("TCGTCGTCGTCG"), "tcg");
	assert_string_equal(env_hypervisor("NewOneNewOne"), "NewOneNewOne");
	assert_string_equal(env_hypervisor(""), "unknown");
}

/* ---- config.c ---- */

static json_t *config_of(const char *text, size_t len, char *why, size_t size)
{
	char path[] = "/tmp/k2u-config.XXXXXX";
	int fd = mkstemp(path);
	json_t *config;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	close(fd);
	config = config_read(path, why, size);
	unlink(path);
	return config;
}

static void test_config(void **state)
{
	static const struct {
		const char *name, *value;
	} want[] = { { "HZ", "250" },
		     { "PREEMPT_VOLUNTARY", "y" },
		     { "PREEMPT_NONE", "n" },
		     { "PREEMPT_LAZY", "n" }, /* not known to that kernel */
		     { "LSM", "yama,\"a\"" },
		     { "CC_VERSION_TEXT", "gcc-12 (Debian) 12.2.0" },
		     { "CACHEFILES", NULL } };
	static const char good[] =
		"#\n# Linux/x86 6.1.0 Kernel Configuration\n#\n\n"
		"CONFIG_CC_VERSION_TEXT=\"gcc-12 (Debian) 12.2.0\"\n"
		"# CONFIG_PREEMPT_NONE is not set\n"
		"CONFIG_PREEMPT_VOLUNTARY=y\nCONFIG_CACHEFILES=m\n"
		"CONFIG_HZ=250\nCONFIG_LSM=\"yama,\"a\"\"";
	json_t *config;
	char why[256];
	unsigned int i;

	config = config_of(good, sizeof(good) - 1, why, sizeof(why));
	assert_non_null(config);
	for (i = 0; i < ARRAY_SIZE(want); i++) {
		json_t *value = json_object_get(config, want[i].name);

		if (!want[i].value)
			assert_null(value);
		else
			assert_string_equal(json_string_value(value),
					    want[i].value);
	}
	json_decref(config);
}

static void test_config_refused(void **state)
{
	static char zeros[20000], longest[20000];
	const struct {
		const char *text, *why;
		size_t len;
	} bad[] = {
		{ "", "no CONFIG_CC_VERSION_TEXT", 0 },
		{ "CONFIG_HZ=250\n", "no CONFIG_CC_VERSION_TEXT", 14 },
		{ "# a\nset -eu\n", "line 2: not a line", 12 },
		{ "CONFIG_HZ=\n", "line 1: not a line", 11 },
		{ "CONFIG_HZ 250\n", "line 1: not a line", 14 },
		{ "CONFIG_A=\"b\n", "line 1: not a line", 12 },
		{ "CONFIG_A=y\r\n", "line 1: not a line", 12 },
		{ zeros, "line 1: not a line", sizeof(zeros) },
		{ longest, "line 1: not a line", sizeof(longest) },
	};
	char why[256];
	unsigned int i;

	memset(longest, 'x', sizeof(longest));
	memcpy(longest, "CONFIG_X=", 9);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_null(
			config_of(bad[i].text, bad[i].len, why, sizeof(why)));
		assert_non_null(strstr(why, bad[i].why));
	}
	assert_null(config_read("/nonexistent/config", why, sizeof(why)));
	assert_non_null(strstr(why, "No such file"));
	assert_null(config_read("/tmp", why, sizeof(why)));
	assert_non_null(strstr(why, "Is a directory"));
}

/* ---- why /dev/mem says no ---- */

/* A stock kernel, asked by root for RAM: what differs is said in each case */
#define STOCK                                                        \
	.ram = true, .x86 = true, .release = 6012, .devmem = 'y',    \
	.devkmem = 'n', .strict = 'y', .io_strict = 'y', .pat = 'y', \
	.known = true, .rawio = true, .lockdown = "none"
#define MMAP .opened = true, STOCK

static void test_devmem_why(void **state)
{
	/* The later of two initialisers counts, as the kernel's own tables have it */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
	static const struct {
		struct devmem_facts f;
		const char *cause, *also;
	} cases[] = {
		{ { MMAP, .err = 0 }, "", "" },
		/* At mmap() */
		{ { MMAP, .err = EPERM }, "STRICT_DEVMEM: ", "=y" },
		{ { MMAP, .err = EPERM, .strict = 0 },
		  "STRICT_DEVMEM: ",
		  "not known" },
		{ { MMAP, .err = EPERM, .nopat = true },
		  "STRICT_DEVMEM: ",
		  "EPERM" },
		{ { MMAP, .err = EPERM, .x86 = false },
		  "STRICT_DEVMEM: ",
		  "EPERM" },
		{ { MMAP, .err = EPERM, .strict = 'n' },
		  "mmap: EPERM",
		  "a security module" },
		{ { MMAP, .err = EPERM, .ram = false },
		  "IO_STRICT_DEVMEM: ",
		  "iomem=relaxed" },
		{ { MMAP, .err = EPERM, .ram = false, .io_strict = 0 },
		  "IO_STRICT_DEVMEM: ",
		  "not known" },
		{ { MMAP, .err = EPERM, .ram = false, .io_strict = 'n' },
		  "STRICT_DEVMEM: ",
		  "exclusive" },
		{ { MMAP, .err = EINVAL, .strict = 'n' },
		  "PAT: mmap of System RAM: EINVAL",
		  "boot with nopat" },
		{ { MMAP, .err = EINVAL, .strict = 0, .pat = 0 },
		  "PAT: ",
		  "not known" },
		{ { MMAP, .err = EINVAL, .strict = 'n', .release = 6015 },
		  "PAT: ",
		  "" },
		{ { MMAP, .err = EINVAL, .strict = 'n', .release = 6016 },
		  "mmap: EINVAL",
		  "no whole page" },
		{ { MMAP, .err = EINVAL, .strict = 'n', .nopat = true },
		  "mmap: EINVAL",
		  "no whole page" },
		{ { MMAP, .err = EINVAL, .strict = 'n', .x86 = false },
		  "mmap: EINVAL",
		  "no whole page" },
		{ { MMAP, .err = EINVAL, .strict = 'n', .pat = 'n' },
		  "mmap: EINVAL",
		  "no whole page" },
		{ { MMAP, .err = EINVAL, .strict = 'n', .ram = false },
		  "mmap: EINVAL",
		  "no whole page" },
		{ { MMAP, .err = EINVAL }, "mmap: EINVAL", "no whole page" },
		{ { MMAP, .err = EAGAIN },
		  "PAT: mmap: EAGAIN",
		  "memory types conflict" },
		{ { MMAP, .err = EAGAIN,
		    .said = "x86/PAT: a:1 map pfn expected" },
		  "PAT: ",
		  "x86/PAT: a:1 map pfn expected" },
		{ { MMAP, .err = EAGAIN, .nopat = true },
		  "mmap: EAGAIN",
		  "page tables" },
		{ { MMAP, .err = ENOMEM }, "mmap: ENOMEM", "" },
		/* At open() */
		{ { STOCK, .err = EPERM, .rawio = false },
		  "CAP_SYS_RAWIO: ",
		  "CapEff" },
		{ { STOCK, .err = EPERM, .rawio = false,
		    .lockdown = "integrity" },
		  "CAP_SYS_RAWIO: ",
		  "" },
		{ { STOCK, .err = EPERM, .lockdown = "integrity" },
		  "lockdown: open: EPERM",
		  "is integrity" },
		{ { STOCK, .err = EPERM, .lockdown = "confidentiality",
		    .said = "Lockdown: a: /dev/mem,kmem,port is restricted" },
		  "lockdown: ",
		  "the kernel log says so" },
		{ { STOCK, .err = EPERM, .lockdown = "",
		    .said = "Lockdown: a: /dev/mem,kmem,port is restricted" },
		  "lockdown: ",
		  "is restricted" },
		{ { STOCK, .err = EPERM }, "open: EPERM", "a device cgroup" },
		{ { STOCK, .err = EPERM, .lockdown = "" },
		  "open: EPERM",
		  "not known" },
		{ { STOCK, .err = EACCES }, "permissions: ", "run as root" },
		{ { STOCK, .err = ENOENT },
		  "missing device: open: ENOENT",
		  "mknod /dev/mem c 1 1" },
		{ { STOCK, .err = ENXIO, .devmem = 'n', .known = false },
		  "missing device: open: ENXIO",
		  "without CONFIG_DEVMEM" },
		{ { STOCK, .err = ENOENT, .devmem = 0, .known = false },
		  "missing device: ",
		  "probably not set" },
		{ { STOCK, .err = ENOENT, .known = false },
		  "missing device: ",
		  "CONFIG_DEVMEM=y: mknod" },
		{ { STOCK, .err = EMFILE }, "open: EMFILE", "" },
		/* /dev/kmem */
		{ { STOCK, .kmem = true, .err = ENOENT },
		  "missing device: /dev/kmem",
		  "removed in Linux 5.13" },
		{ { STOCK, .kmem = true, .err = ENOENT, .release = 5010 },
		  "missing device: /dev/kmem",
		  "without CONFIG_DEVKMEM" },
		{ { STOCK, .kmem = true, .err = ENOENT, .release = 5010,
		    .devkmem = 0 },
		  "missing device: /dev/kmem",
		  "probably" },
		{ { STOCK, .kmem = true, .err = EPERM, .release = 5010,
		    .rawio = false },
		  "CAP_SYS_RAWIO: ",
		  "" },
	};
#pragma GCC diagnostic pop
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		char why[256] = "x";

		devmem_why(&cases[i].f, why, sizeof(why));
		if (strncmp(why, cases[i].cause, strlen(cases[i].cause)) ||
		    !strstr(why, cases[i].also) ||
		    !cases[i].cause[0] != !why[0])
			fail_msg("case %u: \"%s\", expected \"%s\" with \"%s\"",
				 i, why, cases[i].cause, cases[i].also);
		/* All of it has room in struct source */
		assert_true(strlen(why) <
			    sizeof(((struct source *)0)->reason) - 1);
	}
}

/* ---- sources ---- */

/* The method's hooks take longer and do the same; the others are as they were */
static void test_tree_spin(void **state)
{
	struct sources s = {}, plain = {};
	const struct source *v;
	struct buffer b = { .node = K2U_NODE_ANY };
	char image[4096] = "contents", got[16] = "";
	struct use u;
	uint64_t start;
	unsigned int i;

	assert_int_equal(sources_probe(&plain, "/nonexistent/k2u", NULL), 0);
	assert_int_equal(sources_probe(&s, "/nonexistent/k2u", NULL), 0);
	tree_spin(&s, "read", MAX_SPIN);
	for (i = 0; i < s.nr; i++)
		assert_true((s.v[i].ops != plain.v[i].ops) ==
			    (!strcmp(s.v[i].provider, "tree") &&
			     !strcmp(s.v[i].method, "read")));
	v = b.src = source_find(&s, "tree/read/memfd");
	b.contents = image;
	b.size = sizeof(image);
	assert_int_equal(buffer_open(&b), 0);
	use_init(&u, v, &b);
	u.addr = got;
	start = now();
	assert_int_equal(v->ops->copy(&u, sizeof(got), 0), sizeof(got));
	/* No CPU makes more than ten turns in a nanosecond */
	assert_true(now() - start > MAX_SPIN / 10);
	assert_string_equal(got, "contents");
	buffer_close(&b);
	sources_free(&s);
	sources_free(&plain);
}

static void test_source_table(void **state)
{
	struct sources s = {};
	const struct source *v;
	json_t *rows;

	assert_int_equal(sources_probe(&s, "/nonexistent/k2u", NULL), 0);
	v = source_find(&s, "k2u/pfn/contig");
	assert_non_null(v);
	assert_false(source_available(v));
	assert_non_null(strstr(v->reason, "/nonexistent/k2u: No such file"));
	v = source_find(&s, "k2u/vmalloc/contig");
	assert_non_null(v);
	assert_string_equal(v->reason, "needs a VM_USERMAP vmalloc area");
	v = source_find(&s, "tree/read/memfd");
	assert_non_null(v);
	assert_true(source_available(v));
	assert_null(source_find(&s, "tree/read"));
	rows = sources_json(&s);
	assert_int_equal(json_array_size(rows), s.nr);
	json_decref(rows);
	sources_free(&s);
}

/* Both ways to a memfd give the pattern, and a sum that knows */
static void test_uses(void **state)
{
	const char *const names[] = { "tree/read/memfd", "tree/fault/memfd",
				      "tree/anon/4k" };
	struct sources s = {};
	const uint64_t size = 3 * CHUNK / 2;
	char *image = malloc(size);
	unsigned int i;

	assert_non_null(image);
	pattern_fill(image, 7, size);
	assert_int_equal(sources_probe(&s, "/nonexistent/k2u", NULL), 0);
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		const struct source *v = source_find(&s, names[i]);
		struct buffer b = {
			.src = v,
			.size = size,
			.seed = 7,
			.sum = pattern_sum(7, size),
			.contents = image,
		};
		const struct access_ops *acc = access_of(v);
		uint64_t sum = 0;
		struct use u;

		assert_int_equal(buffer_open(&b), 0);
		use_init(&u, v, &b);
		assert_int_equal(acc->setup(&u, NULL), 0);
		assert_int_equal(use_first(&u, acc, &sum), 0);
		/* Fresh memory: a word of 1 in each page */
		assert_int_equal(sum, v->flags & SOURCE_FRESH ?
					      size / page_bytes() :
					      b.sum);
		assert_int_equal(sum, u.sum);
		use_fill(&u);
		sum = 0;
		assert_int_equal(acc->consume(&u, &sum), 0);
		assert_int_equal(sum, b.sum);
		assert_int_equal(sum, u.sum);
		assert_int_equal(acc->teardown(&u), 0);
		buffer_close(&b);
	}
	sources_free(&s);
	free(image);
}

/* ---- emit ---- */

static char *slurp(const char *dir, const char *name)
{
	char path[256], *text;
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY);
	if (fd < 0 || fstat(fd, &st))
		return NULL;
	text = calloc(1, st.st_size + 1);
	assert_int_equal(read(fd, text, st.st_size), st.st_size);
	close(fd);
	return text;
}

static bool file_is(const char *dir, const char *name, const char *end)
{
	char *text = slurp(dir, name);
	bool ok = text && strlen(text) >= strlen(end) &&
		  !strcmp(text + strlen(text) - strlen(end), end);

	free(text);
	return ok;
}

static char *make_tmp(void)
{
	static char dir[64];

	strcpy(dir, "/tmp/k2u-test.XXXXXX");
	assert_non_null(mkdtemp(dir));
	return dir;
}

static void remove_tmp(const char *dir)
{
	static const char *const names[] = {
		"samples.csv",
		"checks.csv",
		"capability.csv",
		"env.json",
		"samples.csv.partial",
		"checks.csv.partial",
		"env.json.partial",
		"stream",
		"run/samples.csv",
		"run/checks.csv",
		"run/capability.csv",
		"run/env.json",
		"run",
	};
	char path[256];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		remove(path);
	}
	assert_int_equal(rmdir(dir), 0);
}

static void test_emit_dir(void **state)
{
	json_t *env = json_pack("{sb}", "complete", 1);
	char *dir = make_tmp(), sub[128];
	struct emit *e, *again;

	snprintf(sub, sizeof(sub), "%s/run", dir);
	assert_int_equal(emit_open(&e, sub, NULL), 0);
	/* The headers are on disk from the start, rows from a flush on */
	assert_true(
		file_is(sub, "samples.csv.partial", "iters,overhead,value\n"));
	emit_line(e, EMIT_SAMPLES, "row,%d", 1);
	assert_true(file_is(sub, "samples.csv.partial", "value\n"));
	assert_int_equal(emit_flush(e), 0);
	assert_true(file_is(sub, "samples.csv.partial", "value\nrow,1\n"));
	emit_line(e, EMIT_CHECKS, "check");
	assert_int_equal(emit_env(e, env), 0);
	assert_true(file_is(sub, "env.json", "}\n"));
	assert_int_equal(emit_finish(e, env, 0), 0);
	assert_true(file_is(sub, "samples.csv", "value\nrow,1\n"));
	assert_true(file_is(sub, "checks.csv", "verdict,note\ncheck\n"));
	assert_null(slurp(sub, "samples.csv.partial"));
	/* Without rows there is none */
	assert_null(slurp(sub, "capability.csv"));
	emit_free(e);

	/* A directory that holds a run is left alone */
	assert_int_equal(emit_open(&again, sub, NULL), -EEXIST);
	assert_non_null(strstr(emit_error(again), "samples.csv"));
	emit_free(again);
	json_decref(env);
	remove_tmp(dir);
}

static void test_emit_capability(void **state)
{
	json_t *env = json_object();
	char *dir = make_tmp(), sub[128], path[128], *text;
	struct emit *e;

	snprintf(sub, sizeof(sub), "%s/run", dir);
	assert_int_equal(emit_open(&e, sub, NULL), 0);
	emit_line(e, EMIT_CAPABILITY, "row,%d", 1);
	emit_line(e, EMIT_CAPABILITY, "row,%d", 2);
	assert_int_equal(emit_finish(e, env, 0), 0);
	assert_true(
		file_is(sub, "capability.csv", "value,detail\nrow,1\nrow,2\n"));
	emit_free(e);

	snprintf(path, sizeof(path), "%s/stream", dir);
	assert_int_equal(emit_open(&e, NULL, path), 0);
	emit_line(e, EMIT_CAPABILITY, "row");
	assert_int_equal(emit_flush(e), 0);
	emit_line(e, EMIT_CAPABILITY, "row");
	assert_int_equal(emit_finish(e, env, 0), 0);
	emit_free(e);
	text = slurp(dir, "stream");
	assert_non_null(strstr(
		text, ",detail\ncapability.csv\trow\ncapability.csv\trow\n"));
	assert_non_null(strstr(text, "\nend\t0\t1\t1\t3\n"));
	free(text);
	json_decref(env);
	remove_tmp(dir);
}

static void test_emit_stream(void **state)
{
	json_t *env = json_pack("{si}", "schema", 1);
	char *dir = make_tmp(), path[128], *text;
	struct emit *e;

	snprintf(path, sizeof(path), "%s/stream", dir);
	assert_int_equal(emit_open(&e, NULL, path), 0);
	emit_line(e, EMIT_SAMPLES, "row");
	emit_line(e, EMIT_CHECKS, "check");
	assert_int_equal(emit_flush(e), 0);
	assert_int_equal(emit_progress(e, 1, 2, 3), 0);
	assert_int_equal(emit_finish(e, env, 1), 0);
	emit_free(e);
	text = slurp(dir, "stream");
	assert_non_null(text);
	assert_non_null(strstr(text, "samples.csv\tmeasure,provider,"));
	assert_non_null(strstr(
		text,
		"\nsamples.csv\trow\nchecks.csv\tcheck\nprogress\t1\t2\t3\n"
		"env.json\t{\"schema\":1}\nend\t1\t2\t2\t0\n"));
	free(text);
	json_decref(env);
	remove_tmp(dir);
}

static void test_emit_full(void **state)
{
	struct emit *e;

	/* Every write to /dev/full is ENOSPC */
	assert_int_equal(emit_open(&e, NULL, "/dev/full"), -ENOSPC);
	assert_non_null(strstr(emit_error(e), "No space left on device"));
	/* It stays failed, and does nothing */
	emit_line(e, EMIT_SAMPLES, "row");
	assert_int_equal(emit_flush(e), -ENOSPC);
	emit_free(e);

	assert_int_equal(emit_open(&e, "/dev/full/run", NULL), -ENOTDIR);
	assert_non_null(strstr(emit_error(e), "/dev/full/run"));
	emit_free(e);
}

/* ---- counters ---- */

static void test_counter_names(void **state)
{
	static const char *const names[][2] = {
		{ "perf::PAGE-FAULTS", "page-faults" },
		{ "DTLB_LOAD_MISSES:WALK_COMPLETED",
		  "dtlb_load_misses.walk_completed" },
		{ "skl::INST_RETIRED:ANY_P:u=1", "inst_retired.any_p.u.1" },
	};
	char name[64];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		counter_name(names[i][0], name, sizeof(name));
		assert_string_equal(name, names[i][1]);
	}
	counter_name("perf::PAGE-FAULTS", name, 5);
	assert_string_equal(name, "page");
}

/* Not watched: AddressSanitizer's own memory would take a fault of its own */
__attribute__((no_sanitize_address)) static int touch_pages(void *arg)
{
	const size_t page = page_bytes();
	int i;

	for (i = 0; i < 7; i++)
		((volatile char *)arg)[i * page] = 1;
	return 42;
}

/* Seven faults are seven; the window hands on what its function returns */
static void test_counter_counts(void **state)
{
	const size_t len = 7 * page_bytes();
	struct counters all;
	int64_t count[2];
	char why[256];
	int counted;
	char *p;

	assert_int_equal(
		counters_find(&all, "perf::PAGE-FAULTS", why, sizeof(why)), 0);
	assert_int_equal(all.nr, 1);
	if (all.v[0].reason[0]) {
		print_message("# unavailable: %s\n", all.v[0].reason);
		skip();
	}
	thp_allow(false);
	assert_int_equal(counter_open(&all.v[0]), 0);
	/* Once for the pages of the code itself */
	p = map_private(NULL, len);
	assert_ptr_not_equal(p, MAP_FAILED);
	counter_window(&all.v[0], touch_pages, p, count, &counted);
	munmap(p, len);
	p = map_private(NULL, len);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(
		counter_window(&all.v[0], touch_pages, p, count, &counted), 42);
	assert_int_equal(counted, 0);
	assert_int_equal(count[0], 7);
	assert_int_equal(count[1], 0);
	/* They are there now, and a second window begins at 0 */
	counter_window(&all.v[0], touch_pages, p, count, &counted);
	assert_int_equal(counted, 0);
	assert_int_equal(count[0], 0);
	counter_close(&all.v[0]);
	munmap(p, len);
}

static void test_counter_unknown(void **state)
{
	struct counters all;
	char why[256] = "";

	assert_int_equal(counters_find(&all, "perf::PAGE-FAULTS,bogus", why,
				       sizeof(why)),
			 -EINVAL);
	assert_non_null(strstr(why, "\"bogus\""));
	assert_int_equal(counters_find(&all, "", why, sizeof(why)), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records_are_accounted_for),
		cmocka_unit_test(test_streams_drop_what_finds_no_room),
		cmocka_unit_test(test_cpu_lists),
		cmocka_unit_test(test_overhead_is_subtracted),
		cmocka_unit_test(test_loop_reports_errors),
		cmocka_unit_test(test_calibration_leaves_nothing),
		cmocka_unit_test(test_median),
		cmocka_unit_test(test_rng_known_answers),
		cmocka_unit_test(test_shuffle),
		cmocka_unit_test(test_consume),
		cmocka_unit_test(test_pattern_known_answers),
		cmocka_unit_test(test_bytes_differ),
		cmocka_unit_test(test_arena),
		cmocka_unit_test(test_fault_windows),
		cmocka_unit_test(test_parse_size),
		cmocka_unit_test(test_parse_sizes),
		cmocka_unit_test(test_parse_number),
		cmocka_unit_test(test_parse_threads),
		cmocka_unit_test(test_parse_spin),
		cmocka_unit_test(test_pool),
		cmocka_unit_test(test_in_list),
		cmocka_unit_test(test_env_fact),
		cmocka_unit_test(test_hypervisor_names),
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_config_refused),
		cmocka_unit_test(test_source_table),
		cmocka_unit_test(test_devmem_why),
		cmocka_unit_test(test_tree_spin),
		cmocka_unit_test(test_uses),
		cmocka_unit_test(test_emit_dir),
		cmocka_unit_test(test_emit_stream),
		cmocka_unit_test(test_emit_capability),
		cmocka_unit_test(test_emit_full),
		cmocka_unit_test(test_counter_names),
		cmocka_unit_test(test_counter_counts),
		cmocka_unit_test(test_counter_unknown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: GPL-2.0
/* test_spin: bad values refuse the load, and a good one slows its method alone. */
#include <sys/klog.h>
#include <time.h>

#include "guest.h"

/* Tests have the argument that all have */
#pragma GCC diagnostic ignored "-Wunused-parameter"

#define KNOB "/sys/module/k2u/parameters/test_spin"
#define READ_CLEAR 4 /* SYSLOG_ACTION_READ_CLEAR */

static char said[1 << 14];

/* The kernel's messages since the last call, out of the log */
static void take_log(void)
{
	int len = klogctl(READ_CLEAR, said, sizeof(said) - 1);

	said[len > 0 ? len : 0] = '\0';
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void op_read(int fd)
{
	char byte;

	assert_int_equal(pread(fd, &byte, 1, 0), 1);
}

static void op_map(int fd, uint32_t id)
{
	munmap(map_buffer(fd, id, page_size(), PROT_READ), page_size());
}

static void op_fault(int fd)
{
	op_map(fd, K2U_METHOD_fault);
}

static void op_pfn(int fd)
{
	op_map(fd, K2U_METHOD_pfn);
}

/* The fastest of some: a machine's noise only ever adds */
static int64_t fastest(int fd, void (*op)(int fd))
{
	int64_t best = INT64_MAX, t;

	for (int i = 0; i < 20; i++) {
		t = now_ns();
		op(fd);
		t = now_ns() - t;
		if (t < best)
			best = t;
	}
	return best;
}

static int remove_module(void **state)
{
	if (access(K2U_KO, R_OK))
		return 0;
	unload_module();
	return 0;
}

static int restore(void **state)
{
	return access(K2U_KO, R_OK) ? 0 : load_module("");
}

static void test_refusals(void **state)
{
	static const char *const bad[] = {
		"read",
		"read:",
		":5",
		"read:0",
		"read:1000001",
		"read:-1",
		"read:99999999999",
		"read:5x",
		"nosuch:5",
		"rea:5",
		"reads:5",
		"read:5:5",
	};
	char parameter[64];

	if (access(K2U_KO, R_OK))
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(parameter, sizeof(parameter), "test_spin=%s", bad[i]);
		take_log();
		assert_int_equal(load_module(parameter), EINVAL);
		take_log();
		if (!strstr(said, "must be METHOD:TURNS") ||
		    !strstr(said, parameter))
			fail_msg("%s: no message says what is wrong: %s",
				 parameter, said);
	}
	take_log();
	/* Longer than any good value: the kernel refuses it by itself */
	assert_int_not_equal(
		load_module("test_spin=read:000000000000000000000000000000005"),
		0);
	take_log();
}

static void test_off(void **state)
{
	char text[8] = "";
	int fd;

	if (access(K2U_KO, R_OK))
		skip();
	assert_int_equal(load_module(""), 0);
	fd = open(KNOB, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, text, sizeof(text)), 1);
	assert_int_equal(text[0], '\n');
	close(fd);
	unload_module();
}

/* A million turns are more than any of these costs, and than a busy host adds */
static void test_one_method(void **state)
{
	static const struct {
		const char *name;
		void (*op)(int fd);
	} ops[] = { { "read", op_read },
		    { "fault", op_fault },
		    { "pfn", op_pfn } };
	int64_t without[ARRAY_SIZE(ops)], more[ARRAY_SIZE(ops)];
	char parameter[64];
	size_t i, j;
	int fd;

	if (access(K2U_KO, R_OK))
		skip();
	assert_int_equal(load_module(""), 0);
	fd = open_buffer(K2U_BACKING_CONTIG, page_size());
	for (i = 0; i < ARRAY_SIZE(ops); i++)
		without[i] = fastest(fd, ops[i].op);
	close(fd);
	unload_module();
	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		snprintf(parameter, sizeof(parameter), "test_spin=%s:1000000",
			 ops[i].name);
		assert_int_equal(load_module(parameter), 0);
		take_log();
		if (!strstr(said, parameter))
			fail_msg("%s: the log does not say so: %s", parameter,
				 said);
		fd = open_buffer(K2U_BACKING_CONTIG, page_size());
		for (j = 0; j < ARRAY_SIZE(ops); j++)
			more[j] = fastest(fd, ops[j].op) - without[j];
		for (j = 0; j < ARRAY_SIZE(ops); j++)
			if (j == i ? more[j] < 100000 : more[j] > more[i] / 2)
				fail_msg("%s: %s took %lld ns, then %lld more",
					 parameter, ops[j].name,
					 (long long)without[j],
					 (long long)more[j]);
		close(fd);
		unload_module();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{ "spin/refusals", test_refusals, NULL, NULL, NULL },
		{ "spin/off", test_off, NULL, NULL, NULL },
		{ "spin/one-method", test_one_method, NULL, NULL, NULL },
	};

	return _cmocka_run_group_tests("spin", tests, ARRAY_SIZE(tests),
				       remove_module, restore);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Loading and unloading: nothing is left behind, a module in use stays, and bad
 * parameters are refused in words. In a guest whose module is /k2u.ko.
 *
 *	debug_load [CYCLES]	of loading, use and unloading (default 1000)
 *
 * The module is loaded at the end as it was at the start.
 */
#include <sys/syscall.h>

#include "limits.h"

static unsigned int cycles = 1000;
static char *image;
static size_t image_size;
static int kmsg;

/* KiB that may be gone after all cycles */
#define BOUND_KIB 512
#define BOUND_FREE_KIB 2048

static void read_image(void)
{
	int fd = open("/k2u.ko", O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		fail_msg("/k2u.ko: %s", strerror(errno));
	image_size = (size_t)st.st_size;
	image = malloc(image_size);
	if (!image || read(fd, image, image_size) != (ssize_t)image_size)
		fail_msg("/k2u.ko cannot be read");
	close(fd);
}

/* 0 or errno */
static int load(const char *parameters)
{
	return syscall(SYS_init_module, image, image_size, parameters) ? errno :
									 0;
}

static int unload(void)
{
	return syscall(SYS_delete_module, "k2u", O_NONBLOCK) ? errno : 0;
}

/* Whether a line of path has the word k2u in it */
static bool names_k2u(const char *path)
{
	FILE *f = fopen(path, "re");
	char line[512];
	bool found = false;

	if (!f)
		fail_msg("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f))
		found |= strstr(line, "k2u") && !strstr(line, "cgroup");
	fclose(f);
	return found;
}

/* all: also where looking takes long */
static void assert_nothing_left(bool all)
{
	static const char *const paths[] = {
		K2U_DEVICE,
		"/sys/module/k2u",
		"/sys/class/misc/k2u",
		"/sys/devices/virtual/misc/k2u",
	};
	static const char *const lists[] = { "/proc/modules", "/proc/misc",
					     "/proc/vmallocinfo",
					     "/proc/kallsyms" };
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (!lstat(paths[i], &st))
			fail_msg("%s is left behind", paths[i]);
	for (size_t i = 0; i < ARRAY_SIZE(lists) - !all; i++)
		if (names_k2u(lists[i]))
			fail_msg("%s still names k2u", lists[i]);
}

static void skip_messages(void)
{
	lseek(kmsg, 0, SEEK_END);
}

/* Whether the kernel has said text since skip_messages(); shows what it said. */
static bool said(const char *text)
{
	char record[8192], *message;
	bool found = false;
	ssize_t n;

	while ((n = read(kmsg, record, sizeof(record) - 1)) > 0) {
		record[n] = 0;
		message = strchr(record, ';');
		if (!message)
			continue;
		message[strcspn(message, "\n")] = 0;
		printf("# the kernel says: %s\n", message + 1);
		found |= text && strstr(message, text);
	}
	return found;
}

/* Of all lines since skip_messages() none is of the module or its loading. */
static void assert_quiet(void)
{
	static const char *const loud[] = { "k2u",  "module", "sysfs", "BUG",
					    "WARN", "leak",   "misc" };
	char record[8192];
	ssize_t n;

	while ((n = read(kmsg, record, sizeof(record) - 1)) > 0) {
		record[n] = 0;
		for (size_t i = 0; i < ARRAY_SIZE(loud); i++)
			if (strstr(record, loud[i]))
				fail_msg("the kernel says: %s", record);
	}
}

static void use(void)
{
	const size_t size = 4 * page_size();

	for (size_t i = 0; i < ARRAY_SIZE(backings); i++) {
		int fd = open_buffer(backings[i], size);
		const uint32_t by = backings[i] == K2U_BACKING_DMA ?
					    K2U_METHOD_dma :
				    i ? K2U_METHOD_pfn :
					K2U_METHOD_fault;
		char *p = map_buffer(fd, by, size, PROT_READ);

		assert_pattern(p, 0, size);
		munmap(p, size);
		close(fd);
	}
}

static void test_cycles(void **state)
{
	struct memory was = { 0 };
	char what[64];

	(void)state;
	assert_int_equal(unload(), 0);
	assert_nothing_left(false);
	/* What is said of the first load alone is said; caches are warm */
	for (unsigned int i = 0; i < 20 + cycles; i++) {
		if (i == 20) {
			usleep(500000);
			was = memory_now();
			skip_messages();
		}
		assert_int_equal(load(""), 0);
		use();
		assert_int_equal(unload(), 0);
		if (!(i % 100))
			assert_nothing_left(false);
	}
	assert_nothing_left(true);
	snprintf(what, sizeof(what), "%u cycles", cycles);
	assert_memory_back(what, &was, BOUND_KIB, BOUND_FREE_KIB);
	assert_quiet();
	assert_int_equal(load(""), 0);
}

/* In use: refused, and possible again after the last user. */
static void test_in_use(void **state)
{
	const size_t size = 4 * page_size();
	uint32_t served;
	int fd, copy;
	char *p, *q;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		served = method_info(methods[i].id).backings;
		if (!(methods[i].access & K2U_ACCESS_MAP) || !served)
			continue;
		fd = open_buffer(served & -served, size);
		assert_int_equal(unload(), EAGAIN);
		copy = dup(fd);
		close(fd);
		assert_int_equal(unload(), EAGAIN);
		p = map_buffer(copy, methods[i].id, size, PROT_READ);
		q = map_buffer(copy, methods[i].id, size, PROT_READ);
		close(copy);
		assert_int_equal(unload(), EAGAIN);
		munmap(p, size);
		assert_int_equal(unload(), EAGAIN);
		munmap(q, size - page_size());
		assert_int_equal(unload(), EAGAIN);
		munmap(q + size - page_size(), page_size());
		assert_int_equal(unload(), 0);
		assert_nothing_left(false);
		assert_int_equal(load(""), 0);
	}
	/* Loaded already; and what is loaded still works */
	assert_int_equal(load(""), EEXIST);
	use();
}

/* Parameters, errno, and what the kernel log must say */
static const struct bad {
	const char *parameters;
	int err;
	const char *message;
} bad[] = {
	{ "max_bytes=1", EINVAL, "max_bytes=1 must be 0 or in " },
	{ "max_bytes=1099511627777", 0, NULL }, /* a page that is not whole */
	{ "max_bytes=2199023255552", EINVAL, "must be 0 or in " },
	{ "max_bytes=18446744073709551615", EINVAL, "must be 0 or in " },
	{ "max_bytes=18446744073709551616", ERANGE, "max_bytes" },
	{ "max_bytes=-1", EINVAL, "invalid for parameter `max_bytes'" },
	{ "max_bytes=1G", EINVAL, "invalid for parameter `max_bytes'" },
	{ "max_bytes=", EINVAL, "invalid for parameter `max_bytes'" },
	{ "default_bytes=0", EINVAL, "default_bytes=0 must be in 1.." },
	{ "max_bytes=65536", EINVAL, "(max_bytes)" }, /* default_bytes: 1 MiB */
	{ "max_bytes=65536 default_bytes=65537", EINVAL,
	  "default_bytes=65537 must be in 1..65536 (max_bytes)" },
	{ "max_bytes=65536 default_bytes=65536", 0, NULL },
	{ "max_bytes=0", 0, NULL }, /* the default */
	{ "test_spin=bad", EINVAL, "test_spin=bad must be METHOD:TURNS" },
	{ "test_spin=bad:1", EINVAL, "test_spin=bad:1 must be METHOD:TURNS" },
	{ "test_spin=read:", EINVAL, "must be METHOD:TURNS" },
	{ "test_spin=read:0", EINVAL, "must be METHOD:TURNS" },
	{ "test_spin=read:1000001", EINVAL, "must be METHOD:TURNS" },
	{ "test_spin=:1", EINVAL, "must be METHOD:TURNS" },
	{ "test_spin=0123456789012345678901234567890123456789", ENOSPC,
	  "test_spin" },
};

static void test_parameters(void **state)
{
	const struct bad *row = *state;
	int err;

	assert_int_equal(unload(), 0);
	skip_messages();
	err = load(row->parameters);
	if (err != row->err)
		fail_msg("%s, expected %s", strerror(err), strerror(row->err));
	if (row->message && !said(row->message))
		fail_msg("the kernel log does not say \"%s\"", row->message);
	if (!err)
		assert_int_equal(unload(), 0);
	assert_nothing_left(false);
	assert_int_equal(load(""), 0);
}

/* As guest-init.sh loaded it */
static void reload(void)
{
	char parameters[512] = "";
	int fd = open("/job/insmod", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (read(fd, parameters, sizeof(parameters) - 1) < 0)
			parameters[0] = 0;
		close(fd);
	}
	parameters[strcspn(parameters, "\n")] = 0;
	unload();
	if (load(parameters))
		fail_msg("k2u.ko %s: %s", parameters, strerror(errno));
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[2 + ARRAY_SIZE(bad)] = {
		cmocka_unit_test(test_in_use),
		cmocka_unit_test(test_cycles),
	};
	int failed;

	if (argc > 1)
		cycles = (unsigned int)strtoul(argv[1], NULL, 10);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		tests[2 + i] = (struct CMUnitTest){ bad[i].parameters,
						    test_parameters, NULL, NULL,
						    (void *)&bad[i] };
	read_image();
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg < 0)
		fail_msg("/dev/kmsg: %s", strerror(errno));
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	reload();
	return failed;
}

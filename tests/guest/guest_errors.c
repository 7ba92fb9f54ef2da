// SPDX-License-Identifier: GPL-2.0
/* What an error, a signal or a closed file leaves behind, and what no reply shows. */
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "guest.h"

#define LEAK_BYTES (16UL << 20) /* what free memory may differ by itself */

/*
 * Free memory: MemFree, and what lies on the processors' lists, which since 6.7
 * grow to an eighth of a zone (mm/page_alloc.c, nr_pcp_high()).
 */
static size_t mem_free(void)
{
	FILE *f = fopen("/proc/zoneinfo", "re");
	size_t pages = 0, n;
	char line[256];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " pages free %zu", &n) == 1 ||
		    sscanf(line, " count: %zu", &n) == 1)
			pages += n;
	fclose(f);
	assert_int_not_equal(pages, 0);
	return pages * page_size();
}

static void assert_no_leak(size_t before)
{
	size_t now = mem_free();

	if (now + LEAK_BYTES < before)
		fail_msg("%zu KiB of memory are gone", (before - now) >> 10);
}

/* Every page of a buffer comes back, however it was handed over. */
static void test_leak(void **state)
{
	const struct row *row = *state;
	const size_t size = 1 << 20;
	size_t before = 0;

	for (int i = 0; i < 32; i++) {
		int fd = open_buffer(row->backing, size);
		volatile char *p = map_buffer(fd, row->id, size, PROT_READ);

		for (size_t at = 0; at < size; at += page_size())
			(void)p[at];
		munmap((void *)p, size);
		close(fd);
		if (i == 3) /* what the first ones make the kernel keep */
			before = mem_free();
	}
	assert_no_leak(before);
}

/* Whether the pages of a buffer have their mapping: the next is the fill. */
static bool has_area(void)
{
	FILE *f = fopen("/proc/vmallocinfo", "re");
	bool found = false;
	char line[256];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		found |= strstr(line, "[k2u]") && strstr(line, " user");
	fclose(f);
	return found;
}

/* So do those of a set-up that a signal ends while it takes or fills them. */
static void test_interrupted_leak(void **state)
{
	struct k2u_info info = { 0 };
	struct k2u_setup setup = { .backing = K2U_BACKING_VMALLOC,
				   .node = K2U_NODE_ANY };
	const size_t before = mem_free();
	int fd = open_k2u(O_RDWR);

	(void)state;
	assert_int_equal(ioctl(fd, K2U_IOC_INFO, &info), 0);
	setup.size = info.max_bytes;
	for (int i = 0; i < 5; i++) {
		const bool fill = i > 2;
		pid_t pid;

		if (fill) {
			setup.size = 16 << 20;
			setup.flags = K2U_SETUP_FILL;
		}
		pid = fork();
		assert_true(pid >= 0);
		if (!pid) {
			ioctl(fd, K2U_IOC_SETUP, &setup);
			_exit(0);
		}
		while (!waitpid(pid, NULL, WNOHANG) &&
		       (fill ? !has_area() :
			       mem_free() + 2 * LEAK_BYTES > before))
			sched_yield();
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	close(fd);
	fd = open_k2u(O_RDWR);
	assert_int_equal(ioctl(fd, K2U_IOC_INFO, &info), 0);
	assert_int_equal(info.used_bytes, 0);
	close(fd);
	assert_no_leak(before);
}

static void on_signal(int number)
{
	(void)number;
}

/*
 * A refusal leaves no lock behind: the next one comes at once. In a child, as a
 * mutex is given to the very task that has it, when a signal wakes that
 * (kernel/locking/mutex.c, __mutex_trylock_common()).
 */
static void test_refused_again(void **state)
{
	const struct sigaction action = { .sa_handler = on_signal };
	struct k2u_setup setup = { .size = 1,
				   .backing = K2U_BACKING_VMALLOC,
				   .node = K2U_NODE_ANY };
	const size_t sizes[] = { 0, 1 };
	int fd = open_k2u(O_RDWR), status;
	pid_t pid;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		if (i)
			assert_int_equal(ioctl(fd, K2U_IOC_SETUP, &setup), 0);
		setup.size = sizes[i];
		assert_int_equal(ioctl(fd, K2U_IOC_SETUP, &setup), -1);
		assert_int_equal(errno, i ? EBUSY : EINVAL);
		pid = fork();
		if (!pid) {
			sigaction(SIGALRM, &action, NULL);
			alarm(20);
			_exit(ioctl(fd, K2U_IOC_SETUP, &setup) ? errno : 0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), i ? EBUSY : EINVAL);
		setup.size = 1;
	}
	close(fd);
}

/* A reply that cannot be written is EFAULT, and not success. */
static void test_result_not_written(void **state)
{
	const unsigned long cmds[] = { K2U_IOC_CHECKSUM, K2U_IOC_COUNTERS,
				       K2U_IOC_INSPECT, K2U_IOC_INFO };
	const size_t page = page_size();
	int fd = open_buffer(K2U_BACKING_VMALLOC, page);
	void *mapping = map_buffer(fd, K2U_METHOD_fault, page, PROT_READ);
	void *arg = mmap(NULL, page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct k2u_inspect inspect = { .addr = (uintptr_t)mapping,
					     .size = page };

	(void)state;
	assert_ptr_not_equal(arg, MAP_FAILED);
	for (size_t i = 0; i < ARRAY_SIZE(cmds); i++) {
		assert_int_equal(mprotect(arg, page, PROT_READ | PROT_WRITE),
				 0);
		memset(arg, 0, page);
		if (cmds[i] == K2U_IOC_INSPECT)
			memcpy(arg, &inspect, sizeof(inspect));
		assert_int_equal(ioctl(fd, cmds[i], arg), 0);
		assert_int_equal(mprotect(arg, page, PROT_READ), 0);
		assert_int_equal(ioctl(fd, cmds[i], arg), -1);
		assert_int_equal(errno, EFAULT);
	}
	munmap(arg, page);
	munmap(mapping, page);
	close(fd);
}

/* What a reply does not use is 0 and not what the kernel's memory held. */
static void test_no_bytes_of_others(void **state)
{
	struct k2u_info info = { 0 };
	int fd = open_k2u(O_RDWR);
	size_t i;

	(void)state;
	assert_int_equal(ioctl(fd, K2U_IOC_INFO, &info), 0);
	for (i = strnlen((char *)info.version, sizeof(info.version));
	     i < sizeof(info.version); i++)
		assert_int_equal(info.version[i], 0);
	for (i = 0; i < ARRAY_SIZE(info.reserved); i++)
		assert_int_equal(info.reserved[i], 0);
	close(fd);
}

static void test_far_positions(void **state)
{
	int fd = open_buffer(K2U_BACKING_VMALLOC, 100);
	char byte = 0;

	(void)state;
	for (int shift = 7; shift < 63; shift++) {
		assert_int_equal(pread(fd, &byte, 1, 1LL << shift), 0);
		assert_int_equal(pwrite(fd, &byte, 1, 1LL << shift), -1);
		assert_int_equal(errno, ENOSPC);
	}
	for (int shift = 24; shift < 40; shift++)
		assert_mmap_fails(fd, 1ULL << shift, page_size(), PROT_READ,
				  MAP_SHARED, EINVAL);
	close(fd);
}

/* To a file that was opened without CAP_SYS_ADMIN, inspect shows no address. */
static void test_pfn_hidden(void **state)
{
	const size_t page = page_size();
	int status;
	pid_t pid;

	(void)state;
	assert_int_equal(chmod(K2U_DEVICE, 0666), 0);
	pid = fork();
	if (!pid) {
		struct k2u_inspect i = { .size = page };
		char *p;
		int fd;

		if (setresuid(65534, 65534, 65534))
			_exit(1);
		fd = open(K2U_DEVICE, O_RDWR);
		p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			 K2U_MMAP_OFFSET(K2U_METHOD_pfn));
		if (p == MAP_FAILED)
			_exit(2);
		i.addr = (uintptr_t)p;
		if (ioctl(fd, K2U_IOC_INSPECT, &i) || i.pte_pages != 1)
			_exit(3);
		_exit(i.first_pfn ? 4 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(chmod(K2U_DEVICE, 0600), 0);
	assert_int_equal(status, 0);
}

/* -leak: without test_leak, of 32 MiB a row */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_interrupted_leak),
		cmocka_unit_test(test_refused_again),
		cmocka_unit_test(test_result_not_written),
		cmocka_unit_test(test_no_bytes_of_others),
		cmocka_unit_test(test_far_positions),
		cmocka_unit_test(test_pfn_hidden),
	};
	int failed = 0;

	if (argc < 2 || strcmp(argv[1], "-leak"))
		failed += run_rows("leak", test_leak, K2U_ACCESS_MAP, 0);
	failed += cmocka_run_group_tests(tests, NULL, NULL);
	return failed;
}

// SPDX-License-Identifier: GPL-2.0
/* Buffers, files, mappings and the module, taken down in any order. */
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "guest.h"

static int delete_module(void)
{
	return (int)syscall(SYS_delete_module, "k2u", O_NONBLOCK);
}

static void assert_rmmod_refused(void)
{
	assert_int_equal(delete_module(), -1);
	assert_int_equal(errno, EAGAIN);
}

/* The mapping alone keeps buffer and module; its last unmap frees both. */
static void test_mapped(void **state)
{
	const struct row *row = *state;
	const size_t size = 8 * page_size();
	int fd = open_buffer(row->backing, size);
	char *p = map_buffer(fd, row->id, size, PROT_READ);
	struct k2u_info info = { 0 };

	assert_rmmod_refused();
	close(fd);
	assert_rmmod_refused();
	assert_pattern(p, 0, size);
	munmap(p, size);

	fd = open_k2u(O_RDWR);
	assert_int_equal(ioctl(fd, K2U_IOC_INFO, &info), 0);
	assert_int_equal(info.used_bytes, 0);
	assert_rmmod_refused();
	close(fd);
}

/* Splits, forks and moves keep the count of VMAs; growth is refused. */
static void test_vmas(void **state)
{
	const struct row *row = *state;
	const size_t page = page_size(), size = 8 * page;
	int fd = open_buffer(row->backing, size), status;
	char *p = map_buffer(fd, row->id, size, PROT_READ), *q;
	pid_t pid;

	assert_int_equal(counters(fd).vmas, 1);
	assert_int_equal(munmap(p + 3 * page, page), 0);
	assert_int_equal(counters(fd).vmas, 2);
	assert_pattern(p, 0, 3 * page);
	assert_pattern(p + 4 * page, 4 * page, 4 * page);

	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		for (size_t i = 0; i < 3 * page; i++)
			if ((uint8_t)p[i] != pattern_byte(SEED, i))
				_exit(1);
		_exit(counters(fd).vmas == 4 ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(counters(fd).vmas, 2);

	assert_ptr_equal(mremap(p, 3 * page, 4 * page, MREMAP_MAYMOVE),
			 MAP_FAILED);
	assert_int_equal(errno, EFAULT);
	q = mmap(NULL, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(q, MAP_FAILED);
	assert_ptr_equal(mremap(p, 3 * page, 3 * page,
				MREMAP_MAYMOVE | MREMAP_FIXED, q),
			 q);
	assert_pattern(q, 0, 3 * page);
	assert_int_equal(counters(fd).vmas, 2);

	munmap(q, 3 * page);
	munmap(p + 4 * page, 4 * page);
	assert_int_equal(counters(fd).vmas, 0);
	close(fd);
}

/* madvise and mlock do what they do to such a mapping, and no harm. */
static void test_advice(void **state)
{
	const struct row *row = *state;
	const size_t size = 8 * page_size();
	int fd = open_buffer(row->backing, size);
	char *p = map_buffer(fd, row->id, size, PROT_READ | PROT_WRITE);

	assert_pattern(p, 0, size);
	(void)madvise(p, size, MADV_DONTFORK);
	(void)madvise(p, size, MADV_DOFORK);
	(void)mlock(p, size);
	(void)munlock(p, size);
	(void)msync(p, size, MS_SYNC);
	assert_pattern(p, 0, size);
	munmap(p, size);
	close(fd);
}

/* A dropped page comes back by a fault; a PFN mapping does not drop. */
static void test_dontneed(void **state)
{
	const size_t size = 8 * page_size();
	int fd = open_buffer(K2U_BACKING_VMALLOC, size);
	char *p = map_buffer(fd, K2U_METHOD_fault, size, PROT_READ);

	(void)state;
	assert_pattern(p, 0, size);
	assert_int_equal(madvise(p, size, MADV_DONTNEED), 0);
	assert_pattern(p, 0, size);
	assert_int_equal(counters(fd).faults, 16);
	munmap(p, size);
	p = map_buffer(fd, K2U_METHOD_pfn, size, PROT_READ);
	assert_int_equal(madvise(p, size, MADV_DONTNEED), -1);
	assert_int_equal(errno, EINVAL);
	assert_pattern(p, 0, size);
	munmap(p, size);
	close(fd);
}

/* Touching null's mapping is SIGBUS, not a crash and not a page. */
static void test_null_touch(void **state)
{
	int fd = open_buffer(K2U_BACKING_VMALLOC, 4096), status;
	volatile char *p = map_buffer(fd, K2U_METHOD_null, 4096, PROT_READ);
	pid_t pid = fork();

	(void)state;
	if (!pid) {
		signal(SIGBUS, SIG_DFL);
		(void)*p;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
	munmap((void *)p, 4096);
	close(fd);
}

/* A signal ends a long set-up, and all that it took is given back. */
static void test_interrupted(void **state)
{
	struct k2u_info info = { 0 };
	int fd = open_k2u(O_RDWR), status;
	struct k2u_setup setup = { .backing = K2U_BACKING_VMALLOC,
				   .node = K2U_NODE_ANY,
				   .flags = K2U_SETUP_FILL };
	pid_t pid;

	(void)state;
	assert_int_equal(ioctl(fd, K2U_IOC_INFO, &info), 0);
	setup.size = info.max_bytes;
	pid = fork();
	if (!pid) {
		ioctl(fd, K2U_IOC_SETUP, &setup);
		_exit(0);
	}
	usleep(20000);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(ioctl(fd, K2U_IOC_INFO, &info), 0);
	assert_int_equal(info.size, 0);
	assert_int_equal(info.used_bytes, 0);
	close(fd);
}

static void test_cycles(void **state)
{
	struct k2u_info info = { 0 };

	(void)state;
	for (int i = 0; i < 300; i++) {
		const uint32_t backing = backings[i % ARRAY_SIZE(backings)];
		const uint32_t id = backing == K2U_BACKING_DMA ?
					    K2U_METHOD_dma :
				    i % 2 ? K2U_METHOD_pfn :
					    K2U_METHOD_fault;
		int fd = open_buffer(backing, 64 << 10);
		char *p = map_buffer(fd, id, 64 << 10, PROT_READ);

		assert_pattern(p + 4096, 4096, 64);
		if (i % 3)
			munmap(p, 64 << 10);
		close(fd);
		if (!(i % 3))
			munmap(p, 64 << 10);
	}
	int fd = open_k2u(O_RDWR);

	assert_int_equal(ioctl(fd, K2U_IOC_INFO, &info), 0);
	assert_int_equal(info.used_bytes, 0);
	close(fd);
}

/*
 * Pages in a pipe need neither their file nor the module, and are given back
 * once they are read.
 */
static void test_pipe(void **state)
{
	const uint32_t backing = *(uint32_t *)*state;
	const size_t size = 8 * page_size();
	int fd = open_buffer(backing, size), ends[2];
	struct k2u_info info = { 0 };
	loff_t at = 0;
	char *p = malloc(size);

	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(splice(fd, &at, ends[1], NULL, size, 0), size);
	assert_int_equal(at, size);
	assert_int_equal(counters(fd).read_bytes, size);
	close(fd);

	/* A buffer of a reader's own takes none of them */
	fd = open_buffer(backing, size);
	assert_int_equal(ioctl(fd, K2U_IOC_INFO, &info), 0);
	assert_int_equal(info.used_bytes, size);
	assert_int_equal(
		ioctl(fd, K2U_IOC_FILL, &(struct k2u_fill){ .seed = 1 }), 0);
	close(fd);
	if (!access(K2U_KO, R_OK))
		unload_module();
	assert_int_equal(read(ends[0], p, size), size);
	assert_pattern(p, 0, size);
	assert_int_equal(read(ends[0], p, 1), -1);
	close(ends[0]);
	close(ends[1]);
	free(p);
	if (!access(K2U_KO, R_OK))
		assert_int_equal(load_module(""), 0);
}

int main(void)
{
	static uint32_t each[] = { K2U_BACKING_VMALLOC, K2U_BACKING_CONTIG };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(test_pipe, &each[0]),
		cmocka_unit_test_prestate(test_pipe, &each[1]),
		cmocka_unit_test(test_dontneed),
		cmocka_unit_test(test_null_touch),
		cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_cycles),
	};
	int failed = 0;

	failed += run_rows("mapped", test_mapped, K2U_ACCESS_MAP, 0);
	failed += run_rows("vmas", test_vmas, K2U_ACCESS_MAP, 0);
	failed += run_rows("advice", test_advice, K2U_ACCESS_MAP, 0);
	failed += cmocka_run_group_tests(tests, NULL, NULL);
	return failed;
}

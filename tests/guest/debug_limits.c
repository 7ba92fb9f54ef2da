// SPDX-License-Identifier: GPL-2.0
/*
 * Limits by repetition: cycles of open, set-up, map, touch, unmap and close, and
 * processes that ask for memory side by side.
 *
 *	debug_limits [CYCLES]	of all methods and backings together (default 20000)
 */
#include <sched.h>

#include "limits.h"

static unsigned int cycles = 20000;
static unsigned int nr_rows;

/* KiB that may be gone after the cycles of a row, and after all of them */
#define BOUND_KIB 256
#define BOUND_FREE_KIB 1024
#define BOUND_ALL_KIB 512
#define BOUND_ALL_FREE_KIB 1536

/* Before the cycles of all rows, and of the next one */
static struct memory before_all, before;

static void cycle(const struct row *row, size_t i)
{
	const size_t page = page_size(), size = (1 + i % 16) * page;
	int fd = open_k2u(O_RDWR);
	char byte = 1;
	char *p;

	assert_int_equal(try_setup(fd, row->backing, size, 0), 0);
	if (row->access & K2U_ACCESS_MAP) {
		p = map_buffer(fd, row->id, size, PROT_READ | PROT_WRITE);
		/* A mapping of null has no pages */
		for (size_t at = 0; at < size && row->id != K2U_METHOD_null;
		     at += page)
			p[at]++;
		if (i % 2)
			munmap(p, size);
		close(fd);
		if (!(i % 2))
			munmap(p, size);
	} else {
		assert_int_equal(pread(fd, &byte, 1, (off_t)size - 1), 1);
		assert_int_equal(byte, 0);
		close(fd);
	}
}

/*
 * Freed vmalloc areas wait for each other until they are 32 MiB for each binary
 * digit of the number of processors (lazy_max_pages(), mm/vmalloc.c): have them
 * flushed, by half as much again.
 */
static void settle(void)
{
	long processors = sysconf(_SC_NPROCESSORS_CONF);
	int n = 0;

	for (; processors; processors /= 2)
		n += 6;
	while (n--) {
		int fd = open_k2u(O_RDWR);

		assert_int_equal(try_setup(fd, K2U_BACKING_VMALLOC, 8 * MIB, 0),
				 0);
		close(fd);
	}
	usleep(200000);
}

static void test_cycles(void **state)
{
	const struct row *row = *state;
	const struct memory was = before;
	char what[64];

	for (size_t i = 0; i < cycles / nr_rows + 1; i++)
		cycle(row, i);
	settle();
	/* A row that is short of memory is not so for the next */
	before = memory_now();
	snprintf(what, sizeof(what), "%u cycles %s/%s", cycles / nr_rows + 1,
		 row->method, backing_name(row->backing));
	assert_memory_back(what, &was, BOUND_KIB, BOUND_FREE_KIB);
	assert_int_equal(info_now().used_bytes, 0);
}

/* Caches are warm, and nr_rows is known. */
static void test_warm(void **state)
{
	for (size_t i = 0; i < 200; i++)
		cycle(*state, i);
	nr_rows++;
}

static void test_all(void **state)
{
	char what[64];

	(void)state;
	settle();
	snprintf(what, sizeof(what), "%u cycles of all", cycles);
	assert_memory_back(what, &before_all, BOUND_ALL_KIB,
			   BOUND_ALL_FREE_KIB);
}

#define NR_WORKERS 4
#define NR_GREEDY 2
#define SHARE 16 /* pages */

struct race {
	unsigned int done, refused, over, other;
	unsigned int greedy_done, greedy_refused;
	unsigned int stop;
};

static void count(unsigned int *n)
{
	__atomic_add_fetch(n, 1, __ATOMIC_RELAXED);
}

/* One of those that together have just enough. */
static void do_share(struct race *r, unsigned int turns)
{
	for (unsigned int i = 0; i < turns; i++) {
		int fd = open(K2U_DEVICE, O_RDWR);
		const int err = try_setup(fd, K2U_BACKING_VMALLOC,
					  SHARE * page_size(), 0);
		const struct k2u_info now = info(fd);

		if (now.used_bytes > now.max_bytes)
			count(&r->over);
		count(!err	    ? &r->done :
		      err == ENOMEM ? &r->refused :
				      &r->other);
		close(fd);
	}
}

/* One that asks for more than they leave over, and does nothing else. */
static void do_greedy(struct race *r)
{
	const size_t size = (NR_WORKERS * SHARE + 1) * page_size();
	int fd = open(K2U_DEVICE, O_RDWR);

	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		const int err = try_setup(fd, K2U_BACKING_VMALLOC, size, 0);

		if (err != ENOMEM)
			count(err ? &r->other : &r->greedy_done);
		else
			count(&r->greedy_refused);
	}
}

/*
 * At the bound in parallel: never over it, and nobody whose share is free is
 * refused because of somebody else's failing attempt.
 */
static void test_race(void **state)
{
	const struct k2u_info i = info_now();
	const size_t page = page_size();
	struct race *r = shared(sizeof(*r));
	const unsigned int turns = cycles / 10;
	pid_t pids[NR_WORKERS + NR_GREEDY];
	int base = open_k2u(O_RDWR), fd, status;

	(void)state;
	assert_int_equal(try_setup(base, K2U_BACKING_VMALLOC,
				   i.max_bytes - NR_WORKERS * SHARE * page, 0),
			 0);
	for (size_t j = 0; j < ARRAY_SIZE(pids); j++) {
		pids[j] = fork();
		if (!pids[j]) {
			if (j < NR_WORKERS)
				do_share(r, turns);
			else
				do_greedy(r);
			_exit(0);
		}
	}
	for (size_t j = 0; j < ARRAY_SIZE(pids); j++) {
		if (j == NR_WORKERS)
			r->stop = 1;
		assert_int_equal(waitpid(pids[j], &status, 0), pids[j]);
		assert_int_equal(status, 0);
	}
	printf("# %u set-ups at the bound, %u refused, %u times over it, %u others; beyond it %u, refused %u\n",
	       r->done, r->refused, r->over, r->other, r->greedy_done,
	       r->greedy_refused);
	assert_int_equal(r->done, NR_WORKERS * turns);
	assert_int_equal(r->refused + r->over + r->other + r->greedy_done, 0);
	fd = open_k2u(O_RDWR);
	assert_int_equal(try_setup(fd, K2U_BACKING_VMALLOC,
				   NR_WORKERS * SHARE * page, 0),
			 0);
	assert_int_equal(info(fd).used_bytes, i.max_bytes);
	close(fd);
	close(base);
	munmap(r, sizeof(*r));
}

#define NR_PROCESSES 8
#define NR_EACH 500

static void do_parallel(unsigned int *done, size_t j)
{
	/* That a page is enough of, and both methods serve */
	static const uint32_t small[] = { K2U_BACKING_VMALLOC,
					  K2U_BACKING_CONTIG,
					  K2U_BACKING_PAGES };
	static int fds[NR_EACH];
	static char *p[NR_EACH];
	const size_t page = page_size();

	for (int turn = 0; turn < 3; turn++) {
		for (size_t i = 0; i < NR_EACH; i++) {
			fds[i] = open(K2U_DEVICE, O_RDWR);
			if (try_setup(fds[i], small[i % ARRAY_SIZE(small)],
				      page, 0))
				_exit(1);
			p[i] = mmap(NULL, page, PROT_READ | PROT_WRITE,
				    MAP_SHARED, fds[i],
				    K2U_MMAP_OFFSET(i % 3 ? K2U_METHOD_fault :
							    K2U_METHOD_pfn));
			if (p[i] == MAP_FAILED || *p[i])
				_exit(2);
			*p[i] = (char)(i + j);
		}
		for (size_t i = 0; i < NR_EACH; i++) {
			if (*p[i] != (char)(i + j))
				_exit(3);
			close(fds[i]);
			munmap(p[i], page);
			__atomic_add_fetch(done, 1, __ATOMIC_RELAXED);
		}
	}
	_exit(0);
}

/* Many files of many processes at once; each sees its own zeroed pages. */
static void test_parallel(void **state)
{
	unsigned int *done = shared(sizeof(*done));
	pid_t pids[NR_PROCESSES];
	int status;

	(void)state;
	raise_nofile(NR_EACH + 100);
	for (size_t j = 0; j < NR_PROCESSES; j++) {
		pids[j] = fork();
		if (!pids[j])
			do_parallel(done, j);
	}
	for (size_t j = 0; j < NR_PROCESSES; j++) {
		assert_int_equal(waitpid(pids[j], &status, 0), pids[j]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(*done, 3 * NR_PROCESSES * NR_EACH);
	assert_int_equal(info_now().used_bytes, 0);
	munmap(done, sizeof(*done));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_race),
		cmocka_unit_test(test_parallel),
	};
	int failed;

	if (argc > 1)
		cycles = (unsigned int)strtoul(argv[1], NULL, 10);
	failed = run_rows("warm", test_warm, 0, ROWS_NULL);
	settle();
	before_all = before = memory_now();
	failed += run_rows("cycles", test_cycles, 0, ROWS_NULL);
	failed += cmocka_run_group_tests(tests, NULL, NULL);
	return failed;
}

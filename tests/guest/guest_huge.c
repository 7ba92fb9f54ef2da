// SPDX-License-Identifier: GPL-2.0
/* PMD leaves: which level a mapping has, what it takes, and what splits it. */
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "guest.h"

#define LEAVES 2UL

static size_t leaf;

/* What is tested: a method, and whether this kernel makes PMD leaves of it */
struct way {
	uint32_t id;
	bool leaves;
};

static struct k2u_inspect inspect(int fd, const void *p, size_t size)
{
	struct k2u_inspect i = { .addr = (uintptr_t)p, .size = size };

	assert_int_equal(ioctl(fd, K2U_IOC_INSPECT, &i), 0);
	return i;
}

/* Bytes of [p, ...) by PMD leaves, where this kernel makes them, by PTEs, absent */
static void assert_level(const struct way *way, int fd, const void *p,
			 size_t pmd, size_t pte, size_t absent)
{
	const size_t page = page_size();
	struct k2u_inspect i = inspect(fd, p, pmd + pte + absent);

	assert_int_equal(i.pmd_pages, way->leaves ? pmd / page : 0);
	assert_int_equal(i.pte_pages, (pte + (way->leaves ? 0 : pmd)) / page);
	assert_int_equal(i.absent_pages, absent / page);
	assert_int_equal(i.pud_pages, 0);
}

static int open_huge(size_t size)
{
	return open_buffer(K2U_BACKING_HUGE, size);
}

/* Until 5.18 thp_get_unmapped_area() was for DAX: who maps sees to the place */
static char *map_huge(const struct way *way, int fd, size_t size)
{
	char *room, *p;

	if (kernel_is(5, 18))
		return map_buffer(fd, way->id, size, PROT_READ | PROT_WRITE);
	room = mmap(NULL, size + leaf, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
		    -1, 0);
	assert_ptr_not_equal(room, MAP_FAILED);
	munmap(room, size + leaf);
	p = (char *)(((uintptr_t)room + leaf - 1) / leaf * leaf);
	assert_ptr_equal(mmap(p, size, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_FIXED, fd,
			      K2U_MMAP_OFFSET(way->id)),
			 p);
	return p;
}

static long minor_faults(void)
{
	struct rusage r;

	assert_int_equal(getrusage(RUSAGE_THREAD, &r), 0);
	return r.ru_minflt;
}

/* Wherever it is placed: aligned, one fault each, the bytes of the buffer. */
static void test_leaves(void **state)
{
	const struct way *way = *state;
	const size_t size = LEAVES * leaf, words = size / 8;
	int fd = open_huge(size);
	struct k2u_counters before = counters(fd), after;
	uint64_t *p = (uint64_t *)map_huge(way, fd, size);
	long faults;

	assert_int_equal((uintptr_t)p % leaf, 0);
	assert_level(way, fd, p, 0, 0, size);
	minor_faults(); /* what counting itself touches */
	faults = minor_faults();
	for (size_t i = 0; i < words; i += page_size() / 8)
		(void)*(volatile uint64_t *)&p[i];
	faults = minor_faults() - faults;
	after = counters(fd);
	assert_int_equal(faults, way->leaves ? LEAVES : size / page_size());
	assert_int_equal(after.faults - before.faults, faults);
	assert_int_equal(after.mapped_pages - before.mapped_pages,
			 way->id == K2U_METHOD_fault && way->leaves ?
				 LEAVES :
				 size / page_size());
	assert_level(way, fd, p, size, 0, 0);
	assert_pattern(p, 0, size);
	p[words - 1] = 1;
	assert_int_equal(kernel_hash(fd, size), user_hash(p, size));
	munmap(p, size);
	close(fd);
}

/* The same pages by remap_pfn_range(), whose entries are of a page. */
static void test_alias(void **state)
{
	const struct way *way = *state;
	const size_t size = LEAVES * leaf;
	int fd = open_huge(size);
	char *p = map_huge(way, fd, size);
	char *q = map_buffer(fd, K2U_METHOD_pfn, size, PROT_READ);

	for (size_t at = 0; at < size; at += leaf / 4) {
		p[at] ^= 1;
		assert_int_equal(p[at], q[at]);
		assert_int_equal(inspect(fd, p + at, page_size()).first_pfn,
				 inspect(fd, q + at, page_size()).first_pfn);
	}
	if (way->leaves)
		assert_level(way, fd, p, size, 0, 0);
	assert_int_equal(inspect(fd, q, size).pte_pages, size / page_size());
	assert_int_equal(inspect(fd, q, leaf).pfn_runs, 1);
	munmap(p, size);
	munmap(q, size);
	close(fd);
}

/* Of what a leaf does not fit, each page has its entry: nothing past the end */
static void test_tail(void **state)
{
	const struct way *way = *state;
	const size_t page = page_size(), tail = 3 * page;
	const size_t size = leaf + tail;
	int fd = open_huge(size);
	char *p = map_huge(way, fd, size);

	for (size_t at = 0; at < size; at += page)
		(void)*(volatile char *)&p[at];
	assert_level(way, fd, p, leaf, 0, 0);
	assert_level(way, fd, p + leaf, 0, tail, 0);
	assert_int_equal(counters(fd).faults,
			 (way->leaves ? 1 : leaf / page) + tail / page);
	assert_pattern(p, 0, size);
	munmap(p, size);
	assert_mmap_fails(fd, K2U_MMAP_OFFSET(way->id), size + page, PROT_READ,
			  MAP_SHARED, EINVAL);
	close(fd);
}

/* At an address, or from a page, where no leaf can lie */
static void test_misplaced(void **state)
{
	const struct way *way = *state;
	const size_t page = page_size(), size = LEAVES * leaf;
	int fd = open_huge(size);
	char *room = mmap(NULL, size + 2 * leaf, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *at = (char *)(((uintptr_t)room + leaf - 1) / leaf * leaf), *p;

	assert_ptr_not_equal(room, MAP_FAILED);
	p = mmap(at + page, size, PROT_READ, MAP_SHARED | MAP_FIXED, fd,
		 K2U_MMAP_OFFSET(way->id));
	assert_ptr_equal(p, at + page);
	assert_pattern(p, 0, size);
	assert_level(way, fd, p, 0, size, 0);

	p = mmap(at, size - page, PROT_READ, MAP_SHARED | MAP_FIXED, fd,
		 K2U_MMAP_OFFSET(way->id) + page);
	assert_ptr_equal(p, at);
	assert_pattern(p, page, size - page);
	assert_level(way, fd, p, 0, size - page, 0);

	/* From page 1 on at an address that suits it: a leaf, but for the head */
	p = mmap(at + page, size - page, PROT_READ, MAP_SHARED | MAP_FIXED, fd,
		 K2U_MMAP_OFFSET(way->id) + page);
	assert_ptr_equal(p, at + page);
	assert_pattern(p, page, size - page);
	assert_level(way, fd, p, 0, leaf - page, 0);
	assert_level(way, fd, p + leaf - page, leaf, 0, 0);
	munmap(room, size + 2 * leaf);
	close(fd);
}

/* A part of a leaf that goes, or changes: the rest is there, or comes back. */
static void test_split(void **state)
{
	const struct way *way = *state;
	const size_t page = page_size(), size = LEAVES * leaf;
	int fd = open_huge(size);
	char *p = map_huge(way, fd, size);
	uint64_t hash;

	assert_pattern(p, 0, size);
	assert_int_equal(munmap(p + page, page), 0);
	assert_pattern(p, 0, page);
	assert_pattern(p + 2 * page, 2 * page, size - 2 * page);
	assert_int_equal(inspect(fd, p, page).pmd_pages, 0);
	assert_level(way, fd, p + leaf, leaf, 0, 0);

	assert_int_equal(mprotect(p + leaf, page, PROT_READ), 0);
	p[leaf + page] ^= 1;
	hash = kernel_hash(fd, size);
	assert_int_equal(mprotect(p + leaf, page, PROT_READ | PROT_WRITE), 0);
	p[leaf] ^= 1;
	assert_int_not_equal(kernel_hash(fd, size), hash);
	munmap(p, page);
	munmap(p + 2 * page, size - 2 * page);
	assert_int_equal(counters(fd).vmas, 0);
	close(fd);
}

/* Who wants no huge pages gets none, and all bytes. */
static void test_disabled(void **state)
{
	const struct way *way = *state;
	const struct way none = { .leaves = false };
	const size_t size = leaf;
	int fd = open_huge(size);
	char *p;

	assert_int_equal(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
	p = map_huge(way, fd, size);
	assert_pattern(p, 0, size);
	assert_level(&none, fd, p, 0, size, 0);
	assert_int_equal(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0), 0);
	munmap(p, size);

	p = map_huge(way, fd, size);
	assert_int_equal(madvise(p, size, MADV_NOHUGEPAGE), 0);
	assert_pattern(p, 0, size);
	assert_level(&none, fd, p, 0, size, 0);
	munmap(p, size);
	close(fd);
}

/* What is written through it, in a child, too, is the buffer's. */
static void test_fork(void **state)
{
	const struct way *way = *state;
	int fd = open_huge(leaf), status;
	char *p = map_huge(way, fd, leaf);
	pid_t pid;

	p[0] = 1;
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		p[leaf - 1] = p[0] + 1;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(p[leaf - 1], 2);
	munmap(p, leaf);
	close(fd);
}

/* The bound counts what is taken: whole compound pages. */
static void test_taken(void **state)
{
	const uint64_t before = module_info().used_bytes;
	int fd = open_huge(1), second = open_huge(leaf + 1);

	(void)state;
	assert_int_equal(module_info().used_bytes - before, 3 * leaf);
	close(fd);
	close(second);
	assert_int_equal(module_info().used_bytes, before);
}

int main(void)
{
	static const struct {
		const char *name;
		CMUnitTestFunction test;
	} all[] = {
		{ "leaves", test_leaves }, { "alias", test_alias },
		{ "tail", test_tail },	   { "misplaced", test_misplaced },
		{ "split", test_split },   { "disabled", test_disabled },
		{ "fork", test_fork },
	};
	static struct way ways[] = { { .id = K2U_METHOD_fault },
				     { .id = K2U_METHOD_huge } };
	struct CMUnitTest tests[ARRAY_SIZE(ways) * ARRAY_SIZE(all) + 1] = {
		cmocka_unit_test(test_taken)
	};
	size_t n = 1;

	/* No leaf across i_size, which a device has not (finish_fault()) */
	ways[0].leaves = !kernel_is(6, 12);
	/* Between these releases no driver's ->huge_fault is called */
	ways[1].leaves = !kernel_is(6, 0) || kernel_is(6, 7);
	leaf = module_info().pmd_size;
	for (size_t w = 0; w < ARRAY_SIZE(ways); w++)
		for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
			char *name;

			/* do_set_pmd() does not ask in these kernels */
			if (all[i].test == test_disabled &&
			    ways[w].id == K2U_METHOD_fault)
				continue;
			if (asprintf(&name, "%s/%s", all[i].name,
				     methods[ways[w].id].name) < 0)
				abort();
			tests[n++] = (struct CMUnitTest){ name, all[i].test,
							  NULL, NULL,
							  &ways[w] };
		}
	return _cmocka_run_group_tests("huge", tests, n, NULL, NULL);
}

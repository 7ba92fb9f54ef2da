// SPDX-License-Identifier: GPL-2.0
/* What K2U_IOC_INSPECT says of a mapping is what the mapping is. */
#include "guest.h"

#define NPAGES 24

static struct k2u_inspect inspect(int fd, const void *p, size_t size)
{
	struct k2u_inspect i = { .addr = (uintptr_t)p, .size = size };

	assert_int_equal(ioctl(fd, K2U_IOC_INSPECT, &i), 0);
	return i;
}

static void assert_inspect_fails(int fd, const void *p, size_t size,
				 int expected)
{
	struct k2u_inspect i = { .addr = (uintptr_t)p, .size = size };

	assert_int_equal(ioctl(fd, K2U_IOC_INSPECT, &i), -1);
	assert_int_equal(errno, expected);
}

static void test_inspect(void **state)
{
	const struct row *row = *state;
	const bool empty = row->lazy || row->id == K2U_METHOD_null;
	const size_t page = page_size(), size = NPAGES * page;
	int fd = open_buffer(row->backing, size), other = open_k2u(O_RDWR);
	volatile char *p = map_buffer(fd, row->id, size, PROT_READ);
	const uint64_t set = K2U_VMA_READ | K2U_VMA_SHARED | K2U_VMA_MAYWRITE |
			     K2U_VMA_DONTEXPAND | K2U_VMA_DONTDUMP;
	struct k2u_inspect i = inspect(fd, (void *)p, size);

	assert_int_equal(i.method, row->id);
	assert_int_equal(i.pte_pages, empty ? 0 : NPAGES);
	assert_int_equal(i.absent_pages, empty ? NPAGES : 0);
	assert_int_equal(i.vma_flags & set, set);
	assert_int_equal(i.vma_flags & (K2U_VMA_WRITE | K2U_VMA_MAYEXEC), 0);
	/* How each tells the core what is behind its entries */
	assert_int_equal(
		i.vma_flags & (K2U_VMA_PFNMAP | K2U_VMA_MIXEDMAP),
		behind_of(row->id) == BEHIND_PFNMAP   ? K2U_VMA_PFNMAP :
		behind_of(row->id) == BEHIND_MIXEDMAP ? K2U_VMA_MIXEDMAP :
							0);

	if (row->id != K2U_METHOD_null) {
		for (size_t at = 0; at < size; at += page)
			(void)p[at];
		i = inspect(fd, (void *)p, size);
		assert_int_equal(i.pte_pages, NPAGES);
		assert_int_equal(i.pmd_pages + i.pud_pages + i.absent_pages, 0);
		assert_int_equal(i.writable_pages, 0);
		/* dma: what devices and processors agree on */
		assert_true(i.cache == K2U_MEMTYPE_WB ||
			    (row->backing == K2U_BACKING_DMA &&
			     i.cache == K2U_MEMTYPE_WC));
		if (row->backing == K2U_BACKING_CONTIG)
			assert_int_equal(i.pfn_runs, 1);
		else
			assert_in_range(i.pfn_runs, 1, NPAGES);
		assert_int_equal(
			inspect(fd, (void *)(p + page), page).pte_pages, 1);
	}

	assert_inspect_fails(fd, (void *)p, 0, EINVAL);
	assert_inspect_fails(fd, (void *)(p + 1), page, EINVAL);
	assert_inspect_fails(fd, (void *)p, size + page, EFAULT);
	assert_inspect_fails(fd, (void *)p, SIZE_MAX, EFAULT);
	assert_inspect_fails(fd, (void *)(UINTPTR_MAX - page + 1), page,
			     EFAULT);
	assert_inspect_fails(other, (void *)p, size, EFAULT);
	munmap((void *)p, size);
	assert_inspect_fails(fd, (void *)p, size, EFAULT);
	close(fd);
	close(other);
}

/* Every level of the page tables may be missing. */
static void test_absent(void **state)
{
	const size_t size = NPAGES * page_size(), gib = 1UL << 30;
	int fd = open_buffer(K2U_BACKING_VMALLOC, size);
	char *room = mmap(NULL, 4 * gib, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *near = (char *)(((uintptr_t)room + gib - 1) / gib * gib);

	(void)state;
	assert_ptr_not_equal(room, MAP_FAILED);
	/* Tables of the first pages, none half a GiB and a GiB further on */
	assert_int_equal(mprotect(near, 1, PROT_READ | PROT_WRITE), 0);
	*near = 1;
	for (int i = 0; i < 3; i++) {
		char *p = mmap(near + page_size() + i * (gib / 2), size,
			       PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);

		assert_ptr_not_equal(p, MAP_FAILED);
		assert_int_equal(inspect(fd, p, size).absent_pages, NPAGES);
	}
	munmap(room, 4 * gib);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_absent) };

	return run_rows("inspect", test_inspect, K2U_ACCESS_MAP, ROWS_NULL) +
	       cmocka_run_group_tests(tests, NULL, NULL);
}

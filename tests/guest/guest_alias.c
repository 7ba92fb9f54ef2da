// SPDX-License-Identifier: GPL-2.0
/*
 * Two mappings of a buffer by two methods, and its copies, are the same memory:
 * by their PFNs, by writes through the one that are seen through the others, and
 * by the kernel's own hash.
 */
#include "guest.h"

#define NPAGES 37
#define MAX_VIEWS ARRAY_SIZE(methods)

/*
 * Of the entry that maps p, from /proc/self/pagemap, which shows a VM_PFNMAP
 * mapping as a hole (mm/pagewalk.c), and from the module; 0 where it is a hole.
 * Documentation/admin-guide/mm/pagemap.rst: bits 0-54 PFN, bit 63 present
 */
static uint64_t pagemap_pfn(const void *p)
{
	static int fd = -1;
	uint64_t entry;

	if (fd < 0)
		fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &entry, sizeof(entry),
			       (off_t)((uintptr_t)p / page_size() * 8)),
			 8);
	return entry >> 63 ? entry & ((1ULL << 55) - 1) : 0;
}

static struct k2u_inspect inspect_page(int fd, const void *p)
{
	struct k2u_inspect i = { .addr = (uintptr_t)p, .size = page_size() };

	assert_int_equal(ioctl(fd, K2U_IOC_INSPECT, &i), 0);
	assert_int_not_equal(i.first_pfn, 0);
	return i;
}

static uint64_t inspect_pfn(int fd, const void *p)
{
	return inspect_page(fd, p).first_pfn;
}

static void test_alias(void **state)
{
	const uint32_t backing = *(const uint32_t *)*state;
	const size_t page = page_size(), size = NPAGES * page;
	int fd = open_buffer(backing, size);
	uint64_t *view[MAX_VIEWS], word, hash;
	size_t views = 0, inspected, i, v, w;

	for (i = 0; i < ARRAY_SIZE(methods); i++) {
		if (methods[i].id == K2U_METHOD_null ||
		    !(methods[i].access & K2U_ACCESS_MAP) ||
		    !(method_info(methods[i].id).backings & backing))
			continue;
		view[views++] = map_buffer(fd, methods[i].id, size,
					   PROT_READ | PROT_WRITE);
	}
	/* Of dma memory there is one method, and its copies */
	assert_true(views >= (backing == K2U_BACKING_DMA ? 1 : 2));
	/* The module does not see mappings of another file */
	inspected = views;
	for (i = 0; i < ARRAY_SIZE(methods); i++) {
		if (!(methods[i].access & K2U_ACCESS_MAP_OTHER) ||
		    !(methods[i].backings & backing))
			continue;
		view[views] = map_other(fd, methods[i].id, size,
					PROT_READ | PROT_WRITE);
		views += !!view[views];
	}

	for (i = 0; i < size / 8; i += page / 8) {
		for (v = 0; v < inspected; v++) {
			(void)*(volatile uint64_t *)&view[v][i];
			assert_int_equal(inspect_pfn(fd, &view[v][i]),
					 inspect_pfn(fd, &view[0][i]));
			if (!(inspect_page(fd, &view[v][i]).vma_flags &
			      K2U_VMA_PFNMAP))
				assert_int_equal(pagemap_pfn(&view[v][i]),
						 inspect_pfn(fd, &view[0][i]));
		}
		if (backing == K2U_BACKING_CONTIG)
			assert_int_equal(inspect_pfn(fd, &view[0][i]),
					 inspect_pfn(fd, view[0]) +
						 i / (page / 8));
	}

	for (w = 0; w < views; w++) {
		const size_t at = (w * 5 + 3) % NPAGES * page / 8 + 17;

		hash = kernel_hash(fd, size);
		view[w][at] = ~view[w][at];
		for (v = 0; v < views; v++)
			assert_int_equal(view[v][at], view[w][at]);
		assert_int_equal(pread(fd, &word, 8, (off_t)at * 8), 8);
		assert_int_equal(word, view[w][at]);
		assert_int_not_equal(kernel_hash(fd, size), hash);
		assert_int_equal(kernel_hash(fd, size),
				 user_hash(view[w], size));
	}

	word = 0x0123456789abcdef;
	assert_int_equal(pwrite(fd, &word, 8, (off_t)(7 * page)), 8);
	for (v = 0; v < views; v++)
		assert_int_equal(view[v][7 * page / 8], word);

	for (v = 0; v < views; v++)
		munmap(view[v], size);
	close(fd);
}

/* Two open files have two buffers. */
static void test_no_alias(void **state)
{
	const uint32_t backing = *(const uint32_t *)*state;
	int a = open_buffer(backing, 4096), b = open_buffer(backing, 4096);
	uint64_t *p = map_buffer(a, 0, 4096, PROT_READ | PROT_WRITE);
	uint64_t *q = map_buffer(b, 0, 4096, PROT_READ | PROT_WRITE);

	*p = 1;
	assert_int_equal(*q, k2u_pattern(SEED, 0));
	assert_int_not_equal(pagemap_pfn(p), pagemap_pfn(q));
	assert_int_not_equal(pagemap_pfn(p), 0);
	munmap(p, 4096);
	munmap(q, 4096);
	close(a);
	close(b);
}

/* A private mapping copies on write; the buffer does not change. */
static void test_private(void **state)
{
	const uint32_t backing = *(const uint32_t *)*state;
	int fd = open_buffer(backing, 4096);
	uint64_t hash = kernel_hash(fd, 4096);
	uint64_t *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd,
			   K2U_MMAP_OFFSET(K2U_METHOD_fault));

	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(*p, k2u_pattern(SEED, 0));
	*p = 0;
	assert_int_equal(p[1], k2u_pattern(SEED, 1));
	assert_int_equal(kernel_hash(fd, 4096), hash);
	munmap(p, 4096);
	close(fd);
}

int main(void)
{
	static const struct {
		const char *name;
		CMUnitTestFunction test;
		uint32_t backings;
	} all[] = {
		{ "alias", test_alias, K2U_BACKING_ALL },
		{ "no-alias", test_no_alias, K2U_BACKING_PAGED },
		{ "private", test_private, K2U_BACKING_PAGED },
	};
	struct CMUnitTest tests[ARRAY_SIZE(all) * ARRAY_SIZE(backings)];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
		const uint32_t *backing = &backings[i % ARRAY_SIZE(backings)];
		const size_t t = i / ARRAY_SIZE(backings);
		char *name;

		if (!(all[t].backings & module_info().backings & *backing))
			continue;
		if (asprintf(&name, "%s/%s", all[t].name,
			     backing_name(*backing)) < 0)
			abort();
		tests[n++] = (struct CMUnitTest){ name, all[t].test, NULL, NULL,
						  (void *)(uintptr_t)backing };
	}
	return _cmocka_run_group_tests("alias", tests, n, NULL, NULL);
}

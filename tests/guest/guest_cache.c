// SPDX-License-Identifier: GPL-2.0
/* Cache attributes: what entries really say, the kernel's own included. */
#include "guest.h"

#define NPAGES 24

static uint32_t caches;

static bool is_type(uint32_t type, uint32_t cache)
{
	switch (cache) {
	case K2U_CACHE_WB:
		return type == K2U_MEMTYPE_WB;
	case K2U_CACHE_WC:
		return type == K2U_MEMTYPE_WC;
	}
	return type == K2U_MEMTYPE_UC || type == K2U_MEMTYPE_UC_MINUS;
}

static struct k2u_inspect inspect(int fd, const void *p, size_t size)
{
	struct k2u_inspect i = { .addr = (uintptr_t)p, .size = size };

	assert_int_equal(ioctl(fd, K2U_IOC_INSPECT, &i), 0);
	return i;
}

/* Every method's mapping is of the buffer's attribute, and so is the kernel's. */
static void test_type(void **state)
{
	const struct row *row = *state;
	const size_t size = NPAGES * page_size();

	for (uint32_t cache = K2U_CACHE_WB; cache <= K2U_CACHE_UC; cache++) {
		struct k2u_inspect i;
		char *p, *q;
		int fd;

		/* test_refused() has the others of dma */
		if (!(caches & 1u << cache) ||
		    (row->backing == K2U_BACKING_DMA && cache != K2U_CACHE_WB))
			continue;
		fd = open_cached(row->backing, size, cache);
		p = map_buffer(fd, row->id, size, PROT_READ | PROT_WRITE);
		assert_pattern(p, 0, size);
		i = inspect(fd, p, size);
		/* dma: or what its device, which is not coherent, sees at once */
		if (i.cache != K2U_MEMTYPE_UNKNOWN &&
		    !is_type(i.cache, cache) &&
		    !(row->backing == K2U_BACKING_DMA &&
		      is_type(i.cache, K2U_CACHE_WC)))
			fail_msg("memory type %u of attribute %u", i.cache,
				 cache);
		if (i.linear_cache != K2U_MEMTYPE_UNKNOWN &&
		    !is_type(i.linear_cache, cache))
			fail_msg("the kernel's memory type %u of attribute %u",
				 i.linear_cache, cache);
		p[size - 1] ^= 1;
		q = malloc(size);
		assert_non_null(q);
		assert_int_equal(pread(fd, q, size, 0), size);
		assert_memory_equal(p, q, size);
		assert_int_equal(kernel_hash(fd, size), user_hash(q, size));
		free(q);
		munmap(p, size);
		close(fd);
	}
}

#define NR_AFTER 1024 /* two compound pages, or more */

/*
 * The pages of a buffer that is gone are write-back again: the page allocator
 * hands out first what came back last, and so the next buffer has some of them.
 */
static void test_restored(void **state)
{
	const uint32_t backing = *(const uint32_t *)*state;
	const size_t page = page_size(), size = NPAGES * page;
	uint64_t pfn[NPAGES], now;
	unsigned int again = 0;
	char *p;
	int fd;

	for (uint32_t cache = K2U_CACHE_WC; cache <= K2U_CACHE_UC; cache++) {
		if (!(caches & 1u << cache))
			skip();
		fd = open_cached(backing, size, cache);
		p = map_buffer(fd, K2U_METHOD_pfn, size, PROT_READ);
		for (size_t i = 0; i < NPAGES; i++)
			pfn[i] = inspect(fd, p + i * page, page).first_pfn;
		munmap(p, size);
		close(fd);

		fd = open_buffer(backing == K2U_BACKING_HUGE ?
					 backing :
					 K2U_BACKING_PAGES,
				 NR_AFTER * page);
		p = map_buffer(fd, K2U_METHOD_pfn, NR_AFTER * page, PROT_READ);
		for (size_t i = 0; i < NR_AFTER; i++) {
			const struct k2u_inspect seen =
				inspect(fd, p + i * page, page);

			assert_int_equal(seen.linear_cache, K2U_MEMTYPE_WB);
			now = seen.first_pfn;
			for (size_t k = 0; k < NPAGES; k++)
				again += now == pfn[k];
		}
		munmap(p, NR_AFTER * page);
		close(fd);
	}
	/* Or nothing was tested */
	assert_int_not_equal(again, 0);
}

/*
 * Where the kernel's own mapping cannot follow, nothing is promised; nor of dma
 * memory, whose attribute is the DMA API's.
 */
static void test_refused(void **state)
{
	struct k2u_setup setup = { .size = 1,
				   .backing = *(const uint32_t *)*state,
				   .node = K2U_NODE_ANY };
	const int other = setup.backing == K2U_BACKING_DMA ? EINVAL : 0;

	assert_true(caches & 1u << K2U_CACHE_WB);
	for (setup.cache = 0; setup.cache < 8; setup.cache++) {
		int fd = open_k2u(O_RDWR);
		const int err = ioctl(fd, K2U_IOC_SETUP, &setup) ? errno : 0;

		assert_int_equal(err, setup.cache > K2U_CACHE_UC ? EINVAL :
				      !(caches & 1u << setup.cache) ?
								   EOPNOTSUPP :
				      setup.cache ? other :
						    0);
		close(fd);
	}
}

int main(void)
{
	static uint32_t refuse[] = { K2U_BACKING_CONTIG, K2U_BACKING_DMA };
	struct CMUnitTest tests[ARRAY_SIZE(backings) + 2] = {
		cmocka_unit_test_prestate(test_refused, &refuse[0]),
		{ "refused/dma", test_refused, NULL, NULL, &refuse[1] },
	};
	size_t n = 2;

	caches = module_info().caches;
	for (size_t i = 0; i < ARRAY_SIZE(backings); i++) {
		char *name;

		/* Of dma memory the attribute is the DMA API's */
		if (!(module_info().backings & backings[i] & ~K2U_BACKING_DMA))
			continue;
		if (asprintf(&name, "restored/%s", backing_name(backings[i])) <
		    0)
			abort();
		tests[n++] =
			(struct CMUnitTest){ name, test_restored, NULL, NULL,
					     (void *)(uintptr_t)&backings[i] };
	}
	return run_rows("type", test_type, K2U_ACCESS_MAP, 0) +
	       _cmocka_run_group_tests("cache", tests, n, NULL, NULL);
}

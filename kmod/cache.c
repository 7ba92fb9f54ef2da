// SPDX-License-Identifier: GPL-2.0
/*
 * Cache attributes. All mappings of a page must agree on one, the kernel's
 * linear mapping included (SDM vol. 3, 12.12.4): that is changed first, and
 * restored before the page is freed. Only x86 lets a module do so (arm64 has no
 * set_memory_wc()).
 *
 * A large leaf of the linear mapping that is not of one attribute any more is
 * split, and stays so (__split_large_page(), arch/x86/mm/pat/set_memory.c).
 */
#include "k2u_mod.h"

#ifdef CONFIG_X86
#include <asm/set_memory.h>

const u32 k2u_caches = BIT(K2U_CACHE_WB) | BIT(K2U_CACHE_WC) |
		       BIT(K2U_CACHE_UC);

/* Contiguous pages as one, and a leaf of the linear mapping stays whole */
static int k2u_cache_set_run(u32 cache, unsigned long addr, int nr)
{
	switch (cache) {
	case K2U_CACHE_WC:
		return set_memory_wc(addr, nr);
	case K2U_CACHE_UC:
		return set_memory_uc(addr, nr);
	}
	return set_memory_wb(addr, nr);
}

static int k2u_cache_change(const struct k2u_buffer *buf, u32 cache)
{
	unsigned long i, nr;
	int err;

	if (buf->pages && buf->run == 1)
		return cache == K2U_CACHE_WC ?
			       set_pages_array_wc(buf->pages, buf->nr_pages) :
		       cache == K2U_CACHE_UC ?
			       set_pages_array_uc(buf->pages, buf->nr_pages) :
			       set_pages_array_wb(buf->pages, buf->nr_pages);
	/* contig frees what is past nr_pages; of a compound page all is ours */
	for (i = 0; i < buf->nr_pages; i += nr) {
		nr = buf->pages ? buf->run : buf->nr_pages;
		err = k2u_cache_set_run(
			cache,
			(unsigned long)page_address(k2u_buffer_page(buf, i)),
			nr);
		if (err)
			return err;
	}
	return 0;
}

/* Where it fails half-way, k2u_buffer_destroy() changes back what was changed. */
int k2u_cache_set(const struct k2u_buffer *buf)
{
	return buf->cache == K2U_CACHE_WB ? 0 :
					    k2u_cache_change(buf, buf->cache);
}

int k2u_cache_restore(const struct k2u_buffer *buf)
{
	return buf->cache == K2U_CACHE_WB ? 0 :
					    k2u_cache_change(buf, K2U_CACHE_WB);
}

pgprot_t k2u_cache_prot(u32 cache, pgprot_t prot)
{
	switch (cache) {
	case K2U_CACHE_WC:
		return pgprot_writecombine(prot);
	case K2U_CACHE_UC:
		return pgprot_noncached(prot);
	}
	return prot;
}
#else
const u32 k2u_caches = BIT(K2U_CACHE_WB);

int k2u_cache_set(const struct k2u_buffer *buf)
{
	return 0;
}

int k2u_cache_restore(const struct k2u_buffer *buf)
{
	return 0;
}

pgprot_t k2u_cache_prot(u32 cache, pgprot_t prot)
{
	return prot;
}
#endif

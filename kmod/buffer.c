// SPDX-License-Identifier: GPL-2.0
/* Buffers: their pages, their bytes, and the bound on all of them. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/log2.h>
#include <linux/nodemask.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "k2u_mod.h"
#include "pattern.h"

unsigned long k2u_max_pages;
static atomic_long_t k2u_used_pages;

#define K2U_GFP_PAGES (K2U_GFP | K2U_GFP_ACCOUNT | __GFP_ZERO)

/* Exact at any moment: an attempt that fails takes nothing from the others. */
bool k2u_reserve(unsigned long nr_pages)
{
	long used = atomic_long_read(&k2u_used_pages);

	do {
		if (nr_pages > k2u_max_pages - used)
			return false;
	} while (!atomic_long_try_cmpxchg(&k2u_used_pages, &used,
					  used + nr_pages));
	return true;
}

void k2u_unreserve(unsigned long nr_pages)
{
	atomic_long_sub(nr_pages, &k2u_used_pages);
}

/* More than the page allocator gives: the base pages of 64 KiB of arm64 */
const u32 k2u_backings_absent = PMD_SIZE > KMALLOC_MAX_SIZE ? K2U_BACKING_HUGE :
							      0;

static struct page *k2u_alloc_pages(int node, unsigned int order, gfp_t gfp)
{
	gfp |= K2U_GFP_PAGES;
	if (node == K2U_NODE_ANY) /* the caller's memory policy decides */
		return alloc_pages(gfp, order);
	return alloc_pages_node(node, gfp | __GFP_THISNODE, order);
}

static void k2u_free_array(struct k2u_buffer *buf, unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i += buf->run) {
		__free_pages(buf->pages[i], ilog2(buf->run));
		cond_resched();
	}
	kvfree(buf->pages);
}

static void k2u_free_contig(struct k2u_buffer *buf)
{
	unsigned long i;

	for (i = 0; i < buf->nr_pages; i++)
		__free_page(k2u_buffer_page(buf, i));
}

/* Compound pages, which a PMD leaf maps as one, where a run is of several. */
static int k2u_alloc_array(struct k2u_buffer *buf, int node)
{
	const unsigned int order = ilog2(buf->run);
	unsigned long i, k;
	struct page *page;

	buf->pages = kvmalloc_array(round_up(buf->nr_pages, buf->run),
				    sizeof(*buf->pages),
				    K2U_GFP | __GFP_ACCOUNT);
	if (!buf->pages)
		return -ENOMEM;

	for (i = 0; i < buf->nr_pages; i += buf->run) {
		page = signal_pending(current) ?
			       ERR_PTR(-ERESTARTSYS) :
			       k2u_alloc_pages(node, order, __GFP_COMP);
		if (IS_ERR_OR_NULL(page)) {
			k2u_free_array(buf, i);
			return page ? PTR_ERR(page) : -ENOMEM;
		}
		for (k = 0; k < buf->run; k++)
			buf->pages[i + k] = page + k;
		cond_resched();
	}
	return 0;
}

/*
 * Split, so that every page has its own reference count and may be handed to a
 * fault handler: a tail page of a higher-order allocation may not.
 */
static int k2u_alloc_contig(struct k2u_buffer *buf, int node)
{
	const unsigned int order = ilog2(buf->run);
	struct page *page = k2u_alloc_pages(node, order, 0);
	unsigned long i;

	if (!page)
		return -ENOMEM;

	split_page(page, order);
	for (i = buf->nr_pages; i < buf->run; i++)
		__free_page(page + i);
	buf->vaddr = page_address(page);
	return 0;
}

/*
 * With the pages, what vmalloc_user() makes: zeroed order-0 pages in a
 * VM_USERMAP area; but vmalloc_user() can neither charge them to the caller's
 * memory cgroup, nor place them on a node, nor be interrupted.
 */
static int k2u_map_pages(struct k2u_buffer *buf)
{
	buf->vaddr = vmap(buf->pages, buf->nr_pages, VM_MAP | VM_USERMAP,
			  k2u_cache_prot(buf->cache, PAGE_KERNEL));
	return buf->vaddr ? 0 : -ENOMEM;
}

static int k2u_check_setup(const struct k2u_setup *setup)
{
	size_t bound = k2u_max_pages << PAGE_SHIFT;

	if (!is_power_of_2(setup->backing) ||
	    (setup->backing & ~K2U_BACKINGS) || setup->cache > K2U_CACHE_UC)
		return -EINVAL;
	if (setup->backing & k2u_backings_absent ||
	    !(k2u_caches & BIT(setup->cache)))
		return -EOPNOTSUPP;
	if (!setup->size)
		return -EINVAL;
	if (setup->node != K2U_NODE_ANY &&
	    (setup->node < 0 || setup->node >= MAX_NUMNODES ||
	     !node_state(setup->node, N_MEMORY)))
		return -EINVAL;
	/* Of dma memory the DMA API decides. */
	if (setup->backing == K2U_BACKING_DMA && setup->cache != K2U_CACHE_WB)
		return -EINVAL;
	if (setup->backing & (K2U_BACKING_CONTIG | K2U_BACKING_DMA))
		bound = min_t(size_t, bound, KMALLOC_MAX_SIZE);
	return setup->size > bound ? -EFBIG : 0;
}

/* What it takes of the bound: contig alone gives back the rest of a run. */
static unsigned long k2u_buffer_taken(const struct k2u_buffer *buf)
{
	return buf->backing & (K2U_BACKING_HUGE | K2U_BACKING_DMA) ?
		       round_up(buf->nr_pages, buf->run) :
		       buf->nr_pages;
}

/* But its pages: what there is without them. */
static void k2u_buffer_free(struct k2u_buffer *buf)
{
	k2u_unreserve(k2u_buffer_taken(buf));
	free_percpu(buf->stats);
	kfree(buf);
}

static void k2u_free_pages(struct k2u_buffer *buf)
{
	if (buf->backing == K2U_BACKING_CONTIG)
		k2u_free_contig(buf);
	else if (buf->backing == K2U_BACKING_DMA)
		k2u_dma_free(buf);
	else
		k2u_free_array(buf, buf->nr_pages);
}

struct k2u_buffer *k2u_buffer_create(const struct k2u_setup *setup)
{
	struct k2u_buffer *buf;
	int err;

	err = k2u_check_setup(setup);
	if (err)
		return ERR_PTR(err);

	buf = kzalloc(sizeof(*buf), K2U_GFP | __GFP_ACCOUNT);
	if (!buf)
		return ERR_PTR(-ENOMEM);
	buf->size = setup->size;
	buf->nr_pages = DIV_ROUND_UP(setup->size, PAGE_SIZE);
	buf->backing = setup->backing;
	buf->cache = setup->cache;
	buf->run = setup->backing == K2U_BACKING_HUGE ?
			   PMD_SIZE >> PAGE_SHIFT :
		   setup->backing & (K2U_BACKING_CONTIG | K2U_BACKING_DMA) ?
			   BIT(get_order(setup->size)) :
			   1;

	err = -ENOMEM;
	if (!k2u_reserve(k2u_buffer_taken(buf))) {
		kfree(buf);
		return ERR_PTR(err);
	}
	buf->stats =
		alloc_percpu_gfp(struct k2u_stats, K2U_GFP | __GFP_ACCOUNT);
	if (!buf->stats)
		goto free_buf;

	if (buf->backing == K2U_BACKING_CONTIG)
		err = k2u_alloc_contig(buf, setup->node);
	else if (buf->backing == K2U_BACKING_DMA)
		err = k2u_dma_alloc(buf);
	else
		err = k2u_alloc_array(buf, setup->node);
	if (err)
		goto free_buf;

	err = k2u_cache_set(buf);
	if (!err && buf->backing == K2U_BACKING_VMALLOC)
		err = k2u_map_pages(buf);
	if (!err && setup->flags & K2U_SETUP_FILL)
		err = k2u_buffer_fill(buf, setup->seed);
	if (err) {
		k2u_buffer_destroy(buf);
		return ERR_PTR(err);
	}
	return buf;

free_buf:
	k2u_buffer_free(buf);
	return ERR_PTR(err);
}

void k2u_buffer_destroy(struct k2u_buffer *buf)
{
	if (!buf)
		return;
	if (buf->backing == K2U_BACKING_VMALLOC && buf->vaddr)
		vunmap(buf->vaddr);
	/* Nobody else may get pages whose mappings disagree. */
	if (k2u_cache_restore(buf))
		pr_err("%lu pages are lost: their cache attribute could not be restored\n",
		       k2u_buffer_taken(buf));
	else
		k2u_free_pages(buf);
	k2u_buffer_free(buf);
}

/* The last page is filled to its end, as mmap() shows all of it. */
int k2u_buffer_fill(struct k2u_buffer *buf, u64 seed)
{
	const size_t page_words = PAGE_SIZE / sizeof(u64);
	unsigned long page;
	size_t i, len;
	__le64 *word;

	for (page = 0; page < buf->nr_pages; page++) {
		if (signal_pending(current))
			return -ERESTARTSYS;
		cond_resched();
		len = PAGE_SIZE;
		word = k2u_buffer_at(buf, page << PAGE_SHIFT, &len);
		for (i = 0; i < page_words; i++)
			word[i] = cpu_to_le64(
				k2u_pattern(seed, page * page_words + i));
	}
	return 0;
}

int k2u_buffer_hash(const struct k2u_buffer *buf, size_t offset, size_t size,
		    u64 *hash)
{
	size_t len, i;
	__le64 word;
	u64 h = 0;
	void *at;

	for (; size; offset += len, size -= len) {
		if (signal_pending(current))
			return -ERESTARTSYS;
		cond_resched();
		len = min_t(size_t, size, PAGE_SIZE - offset_in_page(offset));
		at = k2u_buffer_at(buf, offset, &len);
		for (i = 0; i < len; i += sizeof(word)) {
			word = 0;
			memcpy(&word, at + i, min(len - i, sizeof(word)));
			h = k2u_hash(h, le64_to_cpu(word));
		}
	}
	*hash = h;
	return 0;
}

size_t k2u_buffer_used(void)
{
	return (size_t)atomic_long_read(&k2u_used_pages) << PAGE_SHIFT;
}

void k2u_buffer_stats(const struct k2u_buffer *buf, struct k2u_stats *sum)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		const struct k2u_stats *s = per_cpu_ptr(buf->stats, cpu);

		sum->faults += READ_ONCE(s->faults);
		sum->mapped_pages += READ_ONCE(s->mapped_pages);
		sum->read_bytes += READ_ONCE(s->read_bytes);
		sum->written_bytes += READ_ONCE(s->written_bytes);
	}
}

/* Where the DMA API has memory mapped anew, its pages are found by that mapping. */
struct page *k2u_buffer_find(const struct k2u_buffer *buf, unsigned long index)
{
	const void *at = buf->vaddr + (index << PAGE_SHIFT);

	return buf->backing == K2U_BACKING_DMA && is_vmalloc_addr(at) ?
		       vmalloc_to_page(at) :
		       k2u_buffer_page(buf, index);
}

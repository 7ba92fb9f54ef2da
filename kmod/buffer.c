// SPDX-License-Identifier: GPL-2.0
/* Buffers: their pages, their bytes, and the bound on all of them. */
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
static bool k2u_reserve(unsigned long nr_pages)
{
	long used = atomic_long_read(&k2u_used_pages);

	do {
		if (nr_pages > k2u_max_pages - used)
			return false;
	} while (!atomic_long_try_cmpxchg(&k2u_used_pages, &used,
					  used + nr_pages));
	return true;
}

static void k2u_unreserve(unsigned long nr_pages)
{
	atomic_long_sub(nr_pages, &k2u_used_pages);
}

static struct page *k2u_alloc_pages(int node, unsigned int order)
{
	if (node == K2U_NODE_ANY) /* the caller's memory policy decides */
		return alloc_pages(K2U_GFP_PAGES, order);
	return alloc_pages_node(node, K2U_GFP_PAGES | __GFP_THISNODE, order);
}

/*
 * What vmalloc_user() makes, which is zeroed order-0 pages in a VM_USERMAP
 * area; but vmalloc_user() can neither charge them to the caller's memory
 * cgroup, nor place them on a node, nor be interrupted. The area owns the pages
 * and the array (VM_MAP_PUT_PAGES).
 */
static int k2u_alloc_vmalloc(struct k2u_buffer *buf, int node)
{
	struct page **pages;
	unsigned long i;
	int err = -ENOMEM;

	pages = kvmalloc_array(buf->nr_pages, sizeof(*pages),
			       K2U_GFP | __GFP_ACCOUNT);
	if (!pages)
		return -ENOMEM;

	for (i = 0; i < buf->nr_pages; i++) {
		if (signal_pending(current)) {
			err = -ERESTARTSYS;
			goto free_pages;
		}
		pages[i] = k2u_alloc_pages(node, 0);
		if (!pages[i])
			goto free_pages;
		cond_resched();
	}

	buf->vaddr = vmap(pages, buf->nr_pages,
			  VM_MAP | VM_USERMAP | VM_MAP_PUT_PAGES, PAGE_KERNEL);
	if (!buf->vaddr)
		goto free_pages;
	buf->pages = pages;
	return 0;

free_pages:
	while (i--)
		__free_page(pages[i]);
	kvfree(pages);
	return err;
}

/*
 * Split, so that every page has its own reference count and may be handed to a
 * fault handler: a tail page of a higher-order allocation may not.
 */
static int k2u_alloc_contig(struct k2u_buffer *buf, int node)
{
	unsigned int order = get_order(buf->size);
	struct page *page = k2u_alloc_pages(node, order);
	unsigned long i;

	if (!page)
		return -ENOMEM;

	split_page(page, order);
	for (i = buf->nr_pages; i < 1UL << order; i++)
		__free_page(page + i);
	buf->vaddr = page_address(page);
	return 0;
}

static void k2u_free_contig(struct k2u_buffer *buf)
{
	unsigned long i;

	for (i = 0; i < buf->nr_pages; i++)
		__free_page(k2u_buffer_page(buf, i));
}

static int k2u_check_setup(const struct k2u_setup *setup)
{
	size_t bound;

	switch (setup->backing) {
	case K2U_BACKING_VMALLOC:
		bound = k2u_max_pages << PAGE_SHIFT;
		break;
	case K2U_BACKING_CONTIG:
		bound = min_t(size_t, k2u_max_pages << PAGE_SHIFT,
			      KMALLOC_MAX_SIZE);
		break;
	default:
		return -EINVAL;
	}
	if (!setup->size || setup->cache != K2U_CACHE_WB)
		return -EINVAL;
	if (setup->node != K2U_NODE_ANY &&
	    (setup->node < 0 || setup->node >= MAX_NUMNODES ||
	     !node_state(setup->node, N_MEMORY)))
		return -EINVAL;
	return setup->size > bound ? -EFBIG : 0;
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

	err = -ENOMEM;
	buf->stats =
		alloc_percpu_gfp(struct k2u_stats, K2U_GFP | __GFP_ACCOUNT);
	if (!buf->stats)
		goto free_buf;
	if (!k2u_reserve(buf->nr_pages))
		goto free_stats;

	if (buf->backing == K2U_BACKING_CONTIG)
		err = k2u_alloc_contig(buf, setup->node);
	else
		err = k2u_alloc_vmalloc(buf, setup->node);
	if (err)
		goto unreserve;

	if (setup->flags & K2U_SETUP_FILL) {
		err = k2u_buffer_fill(buf, setup->seed);
		if (err) {
			k2u_buffer_destroy(buf);
			return ERR_PTR(err);
		}
	}
	return buf;

unreserve:
	k2u_unreserve(buf->nr_pages);
free_stats:
	free_percpu(buf->stats);
free_buf:
	kfree(buf);
	return ERR_PTR(err);
}

void k2u_buffer_destroy(struct k2u_buffer *buf)
{
	if (!buf)
		return;
	if (buf->backing == K2U_BACKING_CONTIG)
		k2u_free_contig(buf);
	else
		vfree(buf->vaddr);
	k2u_unreserve(buf->nr_pages);
	free_percpu(buf->stats);
	kfree(buf);
}

/* The last page is filled to its end, as mmap() shows all of it. */
int k2u_buffer_fill(struct k2u_buffer *buf, u64 seed)
{
	const size_t words = (buf->nr_pages << PAGE_SHIFT) / sizeof(u64);
	__le64 *word = buf->vaddr;
	size_t i;

	for (i = 0; i < words; i++) {
		if (!(i % (PAGE_SIZE / sizeof(u64)))) {
			if (signal_pending(current))
				return -ERESTARTSYS;
			cond_resched();
		}
		word[i] = cpu_to_le64(k2u_pattern(seed, i));
	}
	return 0;
}

int k2u_buffer_hash(const struct k2u_buffer *buf, size_t offset, size_t size,
		    u64 *hash)
{
	const __le64 *word = buf->vaddr + offset;
	const size_t words = size / sizeof(u64), tail = size % sizeof(u64);
	__le64 last = 0;
	u64 h = 0;
	size_t i;

	for (i = 0; i < words; i++) {
		if (!(i % (PAGE_SIZE / sizeof(u64)))) {
			if (signal_pending(current))
				return -ERESTARTSYS;
			cond_resched();
		}
		h = k2u_hash(h, le64_to_cpu(word[i]));
	}
	if (tail) {
		memcpy(&last, word + words, tail);
		h = k2u_hash(h, le64_to_cpu(last));
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

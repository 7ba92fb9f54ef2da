// SPDX-License-Identifier: GPL-2.0
/*
 * dma: dma_alloc_coherent() for the misc device itself, as udmabuf has it
 * (drivers/dma-buf/udmabuf.c), and dma_mmap_coherent(). The DMA API decides where
 * such memory is and of which memory type: cached where devices are coherent, as on
 * x86, and not where they are not, as on arm64. It knows its pages alone
 * (Documentation/core-api/dma-api.rst): no other method maps them.
 */
#include <linux/dma-mapping.h>

#include "k2u_mod.h"

/* NULL: not yet, or it cannot */
static struct device *k2u_dma_dev;

/* The device may be open since it was made, so this must not fail the module. */
void k2u_dma_init(struct device *dev)
{
	if (dma_coerce_mask_and_coherent(dev, DMA_BIT_MASK(64)))
		return;
	/* Pairs with k2u_dma_alloc(): its mask is set. */
	smp_store_release(&k2u_dma_dev, dev);
}

/*
 * Zeroed, whatever the flags say. Charged to the memory cgroup where the DMA API
 * takes it from the page allocator by these flags (dma_direct_alloc(),
 * kernel/dma/direct.c), and not where it has areas of its own (CMA).
 */
int k2u_dma_alloc(struct k2u_buffer *buf)
{
	struct device *dev;

	/* Pairs with k2u_dma_init(): its mask is set. */
	dev = smp_load_acquire(&k2u_dma_dev);
	if (!dev)
		return -EOPNOTSUPP;
	buf->vaddr = dma_alloc_coherent(dev, buf->nr_pages << PAGE_SHIFT,
					&buf->dma, K2U_GFP | K2U_GFP_ACCOUNT);
	return buf->vaddr ? 0 : -ENOMEM;
}

void k2u_dma_free(const struct k2u_buffer *buf)
{
	dma_free_coherent(k2u_dma_dev, buf->nr_pages << PAGE_SHIFT, buf->vaddr,
			  buf->dma);
}

static int k2u_dma_mmap(const struct k2u_buffer *buf,
			struct vm_area_struct *vma, unsigned long first)
{
	const unsigned long pgoff = vma->vm_pgoff;
	int err;

	/* To the DMA API it is the offset in the memory; ours has the method, too. */
	vma->vm_pgoff = first;
	err = dma_mmap_coherent(k2u_dma_dev, vma, buf->vaddr, buf->dma,
				buf->nr_pages << PAGE_SHIFT);
	vma->vm_pgoff = pgoff;
	if (err)
		return err;
	this_cpu_add(buf->stats->mapped_pages, vma_pages(vma));
	return 0;
}

const struct k2u_method_ops k2u_method_dma = {
	.mmap = k2u_dma_mmap,
	.shared_only = true,
};

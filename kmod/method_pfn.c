// SPDX-License-Identifier: GPL-2.0
/*
 * pfn: remap_pfn_range() of the whole range at mmap(): one call for each run of
 * contiguous pages. Its entries are of a page, for any length and alignment
 * (remap_pte_range(), mm/memory.c).
 */
#include "k2u_mod.h"

int k2u_pfn_mmap(const struct k2u_buffer *buf, struct vm_area_struct *vma,
		 unsigned long first)
{
	const unsigned long nr = vma_pages(vma);
	unsigned long i, step;
	int err;

	for (i = 0; i < nr; i += step) {
		step = min(nr - i, k2u_buffer_run(buf, first + i));
		err = remap_pfn_range(
			vma, vma->vm_start + (i << PAGE_SHIFT),
			page_to_pfn(k2u_buffer_page(buf, first + i)),
			step << PAGE_SHIFT, vma->vm_page_prot);
		if (err)
			return err;
	}
	this_cpu_add(buf->stats->mapped_pages, nr);
	return 0;
}

const struct k2u_method_ops k2u_method_pfn = {
	.mmap = k2u_pfn_mmap,
	/* A private one would need the whole-VMA form, and shows its PFN as offset. */
	.shared_only = true,
};

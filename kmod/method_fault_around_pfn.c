// SPDX-License-Identifier: GPL-2.0
/*
 * fault_around_pfn: nothing at mmap(); a fault writes the entries of its window,
 * the window of fault_around, by apply_to_page_range(), as i915 does for its
 * objects (remap_io_sg(), drivers/gpu/drm/i915/i915_mm.c, 6.1). They are of
 * PFNs: no reference to a page, no count of its mappings, and no RSS.
 */
#include "k2u_mod.h"

struct k2u_window {
	struct vm_area_struct *vma;
	const struct k2u_buffer *buf;
	unsigned long index; /* of the next page in the buffer */
	unsigned long mapped;
};

/* Under the lock of the page table. What another thread has mapped stays. */
static int k2u_set_entry(pte_t *pte, unsigned long addr, void *data)
{
	struct k2u_window *w = data;
	const struct page *page = k2u_buffer_page(w->buf, w->index++);

	if (pte_none(ptep_get(pte))) {
		set_pte_at(w->vma->vm_mm, addr, pte,
			   k2u_pte_noexec(pte_mkspecial(pfn_pte(
				   page_to_pfn(page), w->vma->vm_page_prot))));
		w->mapped++;
	}
	return 0;
}

static vm_fault_t k2u_around_pfn_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	const struct k2u_file *f = vma->vm_private_data;
	const unsigned long index = k2u_pgoff_page(vmf->pgoff);
	const struct k2u_buffer *buf = f->buf;
	struct k2u_window w = { .vma = vma, .buf = buf };
	struct k2u_around around;
	int err;

	if (unlikely(index >= buf->nr_pages || k2u_marked(vmf)))
		return VM_FAULT_SIGBUS;

	k2u_spin(K2U_METHOD_fault_around_pfn);
	around = k2u_around(vmf);
	w.index = around.index;
	err = apply_to_page_range(vma->vm_mm, around.start,
				  around.nr << PAGE_SHIFT, k2u_set_entry, &w);
	this_cpu_add(buf->stats->mapped_pages, w.mapped);
	if (err)
		return vmf_error(err);
	this_cpu_inc(buf->stats->faults);
	return VM_FAULT_NOPAGE;
}

static const struct vm_operations_struct k2u_around_pfn_vm_ops = {
	.open = k2u_vma_open,
	.close = k2u_vma_close,
	.fault = k2u_around_pfn_fault,
	/* Served under the lock of the VMA: see fault_vma_lock */
	.map_pages = K2U_MAP_PAGES(k2u_map_no_pages),
};

const struct k2u_method_ops k2u_method_fault_around_pfn = {
	.mmap = k2u_fault_pfn_mmap,
	.vm_ops = &k2u_around_pfn_vm_ops,
	/* A store to a private one would want a page to copy, and there is none. */
	.shared_only = true,
};

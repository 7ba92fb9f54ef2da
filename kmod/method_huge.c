// SPDX-License-Identifier: GPL-2.0
/*
 * huge: nothing at mmap(); ->huge_fault hands over a compound page by one PMD
 * leaf. Where none fits, as the VMA or the buffer covers not all of it, where
 * transparent huge pages are off, or the leaf was split (mprotect() of a part),
 * ->fault does, a page each.
 *
 * From 6.0 to 6.6 the core does not ask the ->huge_fault of a driver's VMA, which
 * is VM_SPECIAL (hugepage_vma_check(), mm/huge_memory.c, 6.1): see fault.
 *
 * The leaf is of a folio or of a PFN, as the kernel has it (compat.h): pages
 * with references, or a VM_PFNMAP mapping that get_user_pages() refuses.
 */
#include "k2u_mod.h"

#ifdef CONFIG_TRANSPARENT_HUGEPAGE
static vm_fault_t k2u_huge_count(const struct k2u_buffer *buf, vm_fault_t ret,
				 unsigned long nr)
{
	if (likely(!(ret & (VM_FAULT_ERROR | VM_FAULT_FALLBACK)))) {
		this_cpu_inc(buf->stats->faults);
		this_cpu_add(buf->stats->mapped_pages, nr);
	}
	return ret;
}

static vm_fault_t k2u_huge_fault(struct vm_fault *vmf, k2u_huge_fault_t level)
{
	struct vm_area_struct *vma = vmf->vma;
	const struct k2u_file *f = vma->vm_private_data;
	const struct k2u_buffer *buf = f->buf;
	const unsigned long start = vmf->address & PMD_MASK;
	const unsigned long touched = k2u_pgoff_page(vmf->pgoff);
	const unsigned long index = round_down(touched, buf->run);

	/* The page has the place in its leaf that it has in its compound page. */
	if (level != K2U_HUGE_FAULT_PMD || start < vma->vm_start ||
	    vma->vm_end - start < PMD_SIZE ||
	    index + buf->run > buf->nr_pages ||
	    touched - index != (vmf->address - start) >> PAGE_SHIFT)
		return VM_FAULT_FALLBACK;

	k2u_spin(K2U_METHOD_huge);
	return k2u_huge_count(buf,
			      k2u_insert_pmd(vmf, k2u_buffer_page(buf, index),
					     vmf->flags & FAULT_FLAG_WRITE),
			      buf->run);
}

static vm_fault_t k2u_huge_fault_page(struct vm_fault *vmf)
{
	const struct k2u_file *f = vmf->vma->vm_private_data;
	const unsigned long index = k2u_pgoff_page(vmf->pgoff);
	const struct k2u_buffer *buf = f->buf;
	struct page *page;

	if (unlikely(index >= buf->nr_pages))
		return VM_FAULT_SIGBUS;

	k2u_spin(K2U_METHOD_huge);
	page = k2u_buffer_page(buf, index);
	if (K2U_PMD_OF_PFN && unlikely(k2u_marked(vmf)))
		return VM_FAULT_SIGBUS;
	if (K2U_PMD_OF_PFN)
		return k2u_huge_count(buf,
				      vmf_insert_pfn(vmf->vma, vmf->address,
						     page_to_pfn(page)),
				      1);
	vmf->page = page;
	get_page(page);
	return k2u_huge_count(buf, 0, 1);
}

static const struct vm_operations_struct k2u_huge_vm_ops = {
	.open = k2u_vma_open,
	.close = k2u_vma_close,
	.fault = k2u_huge_fault_page,
	.huge_fault = k2u_huge_fault,
};

static int k2u_huge_mmap(const struct k2u_buffer *buf,
			 struct vm_area_struct *vma, unsigned long first)
{
	/* VM_HUGEPAGE: what madvise() would say, as drivers/dax/device.c does */
	vm_flags_set(vma,
		     VM_HUGEPAGE | (K2U_PMD_OF_PFN ? VM_IO | VM_PFNMAP : 0));
	return 0;
}

const struct k2u_method_ops k2u_method_huge = {
	.mmap = k2u_huge_mmap,
	.vm_ops = &k2u_huge_vm_ops,
	/* As PFNs it could not be private: on no kernel, then. */
	.shared_only = true,
};
#else
const struct k2u_method_ops k2u_method_huge = {
	.absent = "this kernel is built without CONFIG_TRANSPARENT_HUGEPAGE",
};
#endif

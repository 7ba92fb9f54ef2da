// SPDX-License-Identifier: GPL-2.0
/* fault_pfn: nothing at mmap(); vmf_insert_pfn() of a page at its first touch. */
#include "k2u_mod.h"

static vm_fault_t k2u_pfn_fault(struct vm_fault *vmf)
{
	const struct k2u_file *f = vmf->vma->vm_private_data;
	const unsigned long index = k2u_pgoff_page(vmf->pgoff);
	const struct k2u_buffer *buf = f->buf;
	vm_fault_t ret;

	if (unlikely(index >= buf->nr_pages || k2u_marked(vmf)))
		return VM_FAULT_SIGBUS;

	k2u_spin(K2U_METHOD_fault_pfn);
	ret = vmf_insert_pfn(vmf->vma, vmf->address,
			     page_to_pfn(k2u_buffer_page(buf, index)));
	if (likely(ret == VM_FAULT_NOPAGE)) {
		this_cpu_inc(buf->stats->faults);
		this_cpu_inc(buf->stats->mapped_pages);
	}
	return ret;
}

static const struct vm_operations_struct k2u_pfn_vm_ops = {
	.open = k2u_vma_open,
	.close = k2u_vma_close,
	.fault = k2u_pfn_fault,
};

int k2u_fault_pfn_mmap(const struct k2u_buffer *buf, struct vm_area_struct *vma,
		       unsigned long first)
{
	/*
	 * VM_PFNMAP is what vmf_insert_pfn() insists on. VM_IO, as
	 * remap_pfn_range() sets it: but for its faults this is what pfn is.
	 */
	vm_flags_set(vma, VM_IO | VM_PFNMAP);
	return 0;
}

const struct k2u_method_ops k2u_method_fault_pfn = {
	.mmap = k2u_fault_pfn_mmap,
	.vm_ops = &k2u_pfn_vm_ops,
	/* A store to a private one would be a BUG_ON in vmf_insert_pfn(). */
	.shared_only = true,
};

// SPDX-License-Identifier: GPL-2.0
/*
 * fault: nothing at mmap(); ->fault hands over a page at its first touch. Of a
 * compound page that fits a PMD leaf the core maps all then (do_set_pmd(),
 * mm/memory.c, 5.10), but not past i_size, which a device has not, since 6.18
 * and 6.12.y (finish_fault()): see huge.
 */
#include "k2u_mod.h"

vm_fault_t k2u_fault(struct vm_fault *vmf)
{
	const struct k2u_file *f = vmf->vma->vm_private_data;
	const unsigned long index = k2u_pgoff_page(vmf->pgoff);
	const struct k2u_buffer *buf = f->buf;

	if (unlikely(index >= buf->nr_pages))
		return VM_FAULT_SIGBUS;

	/* of the methods that share it */
	k2u_spin(k2u_pgoff_method(vmf->pgoff));
	vmf->page = k2u_buffer_page(buf, index);
	get_page(vmf->page);
	this_cpu_inc(buf->stats->faults);
	this_cpu_inc(buf->stats->mapped_pages);
	return 0;
}

const struct vm_operations_struct k2u_fault_vm_ops = {
	.open = k2u_vma_open,
	.close = k2u_vma_close,
	.fault = k2u_fault,
};

int k2u_fault_mmap(const struct k2u_buffer *buf, struct vm_area_struct *vma,
		   unsigned long first)
{
	return 0;
}

const struct k2u_method_ops k2u_method_fault = {
	.mmap = k2u_fault_mmap,
	.vm_ops = &k2u_fault_vm_ops,
};

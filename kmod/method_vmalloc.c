// SPDX-License-Identifier: GPL-2.0
/* vmalloc: remap_vmalloc_range() of a VM_USERMAP area at mmap(). */
#include <linux/vmalloc.h>

#include "k2u_mod.h"

static int k2u_vmalloc_mmap(const struct k2u_buffer *buf,
			    struct vm_area_struct *vma, unsigned long first)
{
	int err = remap_vmalloc_range(vma, buf->vaddr, first);

	if (!err)
		this_cpu_add(buf->stats->mapped_pages, vma_pages(vma));
	return err;
}

const struct k2u_method_ops k2u_method_vmalloc = {
	.mmap = k2u_vmalloc_mmap,
};

// SPDX-License-Identifier: GPL-2.0
/* populate_read: the mapping of fault, which user space populates by madvise(). */
#include "k2u_mod.h"

static int k2u_populate_read_mmap(const struct k2u_buffer *buf,
				  struct vm_area_struct *vma,
				  unsigned long first)
{
	return 0;
}

const struct k2u_method_ops k2u_method_populate_read = {
	.mmap = k2u_populate_read_mmap,
	.vm_ops = &k2u_fault_vm_ops,
};

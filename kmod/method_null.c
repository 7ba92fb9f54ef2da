// SPDX-License-Identifier: GPL-2.0
/*
 * null: the baseline. Its mapping is a VMA and nothing else (a touch is
 * SIGBUS); its copy is a read of 0 bytes, which is read's own path.
 */
#include "k2u_mod.h"

static int k2u_null_mmap(const struct k2u_buffer *buf,
			 struct vm_area_struct *vma, unsigned long first)
{
	return 0;
}

const struct k2u_method_ops k2u_method_null = {
	.mmap = k2u_null_mmap,
};

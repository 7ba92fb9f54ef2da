// SPDX-License-Identifier: GPL-2.0
/* 6.3: vma->vm_flags became const, to be changed by vm_flags_set() and its kin. */
#include <linux/mm.h>

void probe(struct vm_area_struct *vma);
void probe(struct vm_area_struct *vma)
{
	vm_flags_set(vma, VM_DONTEXPAND);
}

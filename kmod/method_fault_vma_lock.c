// SPDX-License-Identifier: GPL-2.0
/*
 * fault_vma_lock: as fault, and its faults are served under the lock of the VMA
 * alone. The core takes a ->map_pages for the sign that a ->fault can do without
 * mmap_lock: without one it gives up the VMA's lock and begins the fault anew
 * (vmf_can_call_fault(), mm/memory.c, 6.7). ->fault needs no more here: the
 * buffer of an open file does not change, and the VMA holds the file.
 */
#include "k2u_mod.h"

vm_fault_t __maybe_unused k2u_map_no_pages(struct vm_fault *vmf, pgoff_t from,
					   pgoff_t to)
{
	return 0; /* ->fault comes next */
}

static const struct vm_operations_struct k2u_vma_lock_vm_ops = {
	.open = k2u_vma_open,
	.close = k2u_vma_close,
	.fault = k2u_fault,
	.map_pages = K2U_MAP_PAGES(k2u_map_no_pages),
};

const struct k2u_method_ops k2u_method_fault_vma_lock = {
	.mmap = k2u_fault_mmap,
	.vm_ops = &k2u_vma_lock_vm_ops,
};

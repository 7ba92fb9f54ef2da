// SPDX-License-Identifier: GPL-2.0
/*
 * insert: vm_insert_pages() of the whole range at mmap(). It takes the lock of
 * a page table once for eight pages; vm_map_pages() once for each, and it looks
 * for an array of the whole object and takes vm_pgoff, which has the method
 * here, for the index in it.
 */
#include "k2u_mod.h"

/* Of a buffer without an array of its pages: so many at once, on the stack */
#define K2U_INSERT_CHUNK 64

static int k2u_insert_mmap(const struct k2u_buffer *buf,
			   struct vm_area_struct *vma, unsigned long first)
{
	const unsigned long nr = vma_pages(vma);
	struct page *chunk[K2U_INSERT_CHUNK];
	unsigned long done, step, left, i;
	int err;

	/* It would find out by a trylock that this is mmap(), and set it. */
	vm_flags_set(vma, VM_MIXEDMAP);
	for (done = 0; done < nr; done += step) {
		struct page **pages = chunk, *page;

		if (buf->pages) {
			pages = buf->pages + first;
			step = nr;
		} else {
			step = min_t(unsigned long, nr - done,
				     K2U_INSERT_CHUNK);
			page = k2u_buffer_page(buf, first + done);
			for (i = 0; i < step; i++)
				chunk[i] = page + i;
		}
		left = step;
		err = vm_insert_pages(vma, vma->vm_start + (done << PAGE_SHIFT),
				      pages, &left);
		if (err) /* EFAULT: no memory for a table above the page tables */
			return err == -EFAULT ? -ENOMEM : err;
	}
	this_cpu_add(buf->stats->mapped_pages, nr);
	return 0;
}

const struct k2u_method_ops k2u_method_insert = {
	.mmap = k2u_insert_mmap,
};

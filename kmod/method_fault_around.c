// SPDX-License-Identifier: GPL-2.0
/*
 * fault_around: nothing at mmap(); a fault maps all of its window, which is
 * K2U_AROUND_BYTES aligned by address, and in the VMA and the buffer. A window
 * lies in one page table. It is ours: the core's fault_around_bytes can be
 * changed (debugfs), and holds for ->map_pages only, so for loads only.
 *
 * Since 6.7 a VMA with ->map_pages has its faults handled under its own lock,
 * without mmap_lock (vmf_can_call_fault(), mm/memory.c). vm_insert_pages() asks
 * for no more where VM_MIXEDMAP is set already.
 */
#include "k2u_mod.h"

#define K2U_AROUND_SIZE max_t(unsigned long, K2U_AROUND_BYTES, PAGE_SIZE)
#define K2U_AROUND_PAGES (K2U_AROUND_BYTES / PAGE_SIZE + 1)

struct k2u_around k2u_around(const struct vm_fault *vmf)
{
	const struct vm_area_struct *vma = vmf->vma;
	const struct k2u_file *f = vma->vm_private_data;
	const unsigned long base = ALIGN_DOWN(vmf->address, K2U_AROUND_SIZE);
	const unsigned long start = max(base, vma->vm_start);
	const unsigned long end = min(base + K2U_AROUND_SIZE, vma->vm_end);
	const unsigned long index = k2u_pgoff_page(vmf->pgoff) -
				    ((vmf->address - start) >> PAGE_SHIFT);

	return (struct k2u_around){
		.start = start,
		.index = index,
		.nr = min((end - start) >> PAGE_SHIFT,
			  f->buf->nr_pages - index),
	};
}

/* VM_FAULT_NOPAGE: the page that was touched is mapped, by us or by another */
static vm_fault_t k2u_around_window(struct vm_fault *vmf)
{
	const struct k2u_file *f = vmf->vma->vm_private_data;
	const struct k2u_around w = k2u_around(vmf);
	const struct k2u_buffer *buf = f->buf;
	struct page *page = k2u_buffer_page(buf, w.index);
	struct page *window[K2U_AROUND_PAGES];
	struct page **pages = window;
	unsigned long i, left, mapped = 0;
	int err;

	if (buf->pages)
		pages = buf->pages + w.index;
	else
		for (i = 0; i < w.nr; i++)
			window[i] = page + i;

	/* A page that is there already is passed over, and the rest goes on. */
	for (i = 0; i < w.nr; i++) {
		left = w.nr - i;
		err = vm_insert_pages(vmf->vma, w.start + (i << PAGE_SHIFT),
				      pages + i, &left);
		mapped += w.nr - i - left;
		if (err != -EBUSY)
			break;
		i = w.nr - left;
	}
	this_cpu_add(buf->stats->mapped_pages, mapped);

	if (err && err != -EBUSY && err != -EFAULT)
		return vmf_error(err);
	/* EFAULT: the page table went (CONFIG_PT_RECLAIM), and the touch is repeated. */
	if (err != -EFAULT)
		this_cpu_inc(buf->stats->faults);
	return VM_FAULT_NOPAGE;
}

static vm_fault_t k2u_around_fault(struct vm_fault *vmf)
{
	const struct k2u_file *f = vmf->vma->vm_private_data;
	const unsigned long index = k2u_pgoff_page(vmf->pgoff);
	const struct k2u_buffer *buf = f->buf;

	if (unlikely(index >= buf->nr_pages))
		return VM_FAULT_SIGBUS;

	k2u_spin(K2U_METHOD_fault_around);
	if (!vmf->cow_page && !k2u_marked(vmf))
		return k2u_around_window(vmf);

	/* A private copy is made of it; or only the core may set its entry. */
	vmf->page = k2u_buffer_page(buf, index);
	get_page(vmf->page);
	this_cpu_inc(buf->stats->faults);
	this_cpu_inc(buf->stats->mapped_pages);
	return 0;
}

/* Of a load, and if it gives 0, ->fault comes next. The window is not theirs. */
static vm_fault_t __maybe_unused k2u_around_map_pages(struct vm_fault *vmf,
						      pgoff_t from, pgoff_t to)
{
	const struct k2u_file *f = vmf->vma->vm_private_data;

	if (!k2u_may_map_pages(vmf) ||
	    unlikely(k2u_pgoff_page(vmf->pgoff) >= f->buf->nr_pages))
		return 0;
	k2u_spin(K2U_METHOD_fault_around);
	return k2u_around_window(vmf);
}

static const struct vm_operations_struct k2u_around_vm_ops = {
	.open = k2u_vma_open,
	.close = k2u_vma_close,
	.fault = k2u_around_fault,
	.map_pages = K2U_MAP_PAGES(k2u_around_map_pages),
};

static int k2u_around_mmap(const struct k2u_buffer *buf,
			   struct vm_area_struct *vma, unsigned long first)
{
	/* A fault may not: it holds no lock for that. */
	vm_flags_set(vma, VM_MIXEDMAP);
	return 0;
}

const struct k2u_method_ops k2u_method_fault_around = {
	.mmap = k2u_around_mmap,
	.vm_ops = &k2u_around_vm_ops,
};

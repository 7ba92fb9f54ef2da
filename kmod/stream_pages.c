// SPDX-License-Identifier: GPL-2.0
/*
 * K2U_STREAM_PAGES: records whose payload is whole pages that somebody else made. A slot
 * holds references to them until it is produced into again; K2U_IOC_STREAM_MAP maps
 * them into the window, which is a mapping of the stream's file.
 *
 * An entry of the window has a reference of its own, as vm_insert_pages() takes it and
 * munmap() or MADV_DONTNEED drops it: no order of their ends is special. What a slot
 * and a window may hold at most is taken of the bound on all buffers at the start.
 */
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "k2u_mod.h"
#include "stream.h"

/* Records that are looked at, and pages that are mapped, at once: with the last record's */
#define K2U_BATCH 64
#define K2U_BATCH_PAGES (K2U_BATCH + K2U_PAGES_MAX)

struct k2u_ring_pages {
	unsigned long nr; /* of held: of a window, too */
	atomic_t windows; /* VMAs: one, or what it was split into */
	struct page *held[]; /* of each slot so many, NULL behind the last */
};

static struct page **k2u_pages_held(const struct k2u_ring_state *ring,
				    u64 index)
{
	return ring->pages->held + (index & ring->mask) * K2U_PAGES_MAX;
}

int k2u_pages_start(struct k2u_ring_state *ring)
{
	const unsigned long nr = (ring->mask + 1) * K2U_PAGES_MAX;
	struct k2u_ring_pages *p;

	if (!K2U_PAGES_MAX)
		return -EOPNOTSUPP;
	if (!k2u_reserve(2 * nr))
		return -ENOMEM;
	p = kvzalloc(struct_size(p, held, nr), K2U_GFP | __GFP_ACCOUNT);
	if (!p) {
		k2u_unreserve(2 * nr);
		return -ENOMEM;
	}
	p->nr = nr;
	ring->pages = p;
	return 0;
}

/* Nothing produces any more, and no window is left: it would hold the file. */
void k2u_pages_stop(struct k2u_ring_state *ring)
{
	struct k2u_ring_pages *p = ring->pages;
	unsigned long i;

	if (!p)
		return;
	for (i = 0; i < p->nr; i++) {
		if (p->held[i])
			put_page(p->held[i]);
		cond_resched();
	}
	k2u_unreserve(2 * p->nr);
	kvfree(p);
}

/*
 * Under the ring's lock, after k2u_ring_reserve(): that slot holds these pages, and no
 * more those of the record that it had.
 */
void k2u_pages_hold(struct k2u_ring_state *ring, struct page *const *pages,
		    unsigned int nr)
{
	struct page **held = k2u_pages_held(ring, ring->producer);
	unsigned int i;

	for (i = 0; i < K2U_PAGES_MAX && (i < nr || held[i]); i++) {
		if (held[i])
			put_page(held[i]);
		held[i] = NULL;
		if (i >= nr)
			continue;
		get_page(pages[i]);
		held[i] = pages[i];
	}
}

/* ---- the window ---- */

static void k2u_window_open(struct vm_area_struct *vma)
{
	struct k2u_ring_pages *p = vma->vm_private_data;

	atomic_inc(&p->windows);
}

static void k2u_window_close(struct vm_area_struct *vma)
{
	struct k2u_ring_pages *p = vma->vm_private_data;

	atomic_dec(&p->windows);
}

/* No ->fault: touching what is not mapped is SIGBUS. */
static const struct vm_operations_struct k2u_window_vm_ops = {
	.open = k2u_window_open,
	.close = k2u_window_close,
};

int k2u_pages_mmap(const struct k2u_ring_state *ring,
		   struct vm_area_struct *vma)
{
	struct k2u_ring_pages *p = ring->pages;

	if (!p)
		return -ENODEV;
	if (vma->vm_flags & (VM_WRITE | VM_EXEC))
		return -EACCES;
	if (!(vma->vm_flags & VM_MAYSHARE) || vma->vm_pgoff ||
	    vma_pages(vma) > p->nr)
		return -EINVAL;
	if (atomic_cmpxchg(&p->windows, 0, 1))
		return -EBUSY;
	/* The pages are others' as well: their bytes are read and no more. */
	vm_flags_clear(vma, VM_MAYWRITE | VM_MAYEXEC);
	/* And what is bounded is one window, in one process. */
	vm_flags_set(vma,
		     VM_MIXEDMAP | VM_DONTEXPAND | VM_DONTCOPY | VM_DONTDUMP);
	vma->vm_private_data = p;
	vma->vm_ops = &k2u_window_vm_ops;
	return 0;
}

/*
 * References to the pages of the first of these records, so that no producer frees them
 * meanwhile. Returns how many pages; *records: of how many.
 */
static int k2u_pages_take(struct k2u_ring_state *ring, u64 first, u64 *records,
			  struct page **batch)
{
	const u64 end = first + min_t(u64, *records, K2U_BATCH);
	u64 used, index;
	struct page **held;
	unsigned int nr = 0, i;

	k2u_ring_lock(ring);
	used = k2u_ring_behind(ring, ring->producer);
	/* All of them are from consumer to producer, which may have wrapped. */
	if (ring->producer - first > used ||
	    *records > ring->producer - first) {
		k2u_ring_unlock(ring);
		return -EINVAL;
	}
	for (index = first; index != end && nr < K2U_BATCH; index++) {
		held = k2u_pages_held(ring, index);
		for (i = 0; i < K2U_PAGES_MAX && held[i]; i++) {
			get_page(held[i]);
			batch[nr++] = held[i];
		}
	}
	k2u_ring_unlock(ring);
	*records = index - first;
	return nr;
}

static int k2u_pages_insert_batch(struct vm_area_struct *vma,
				  unsigned long addr, struct page **batch,
				  unsigned long *nr)
{
	int err;

	if (*nr > (vma->vm_end - addr) >> PAGE_SHIFT)
		return -EFAULT;
	if (!*nr)
		return 0;
	/* As VM_MIXEDMAP is set, the read lock is enough. */
	err = vm_insert_pages(vma, addr, batch, nr);
	/* A page table could not be had, or went (CONFIG_PT_RECLAIM). */
	return err == -EFAULT ? -ENOMEM : err;
}

static int k2u_pages_insert(struct k2u_ring_state *ring,
			    struct vm_area_struct *vma,
			    struct k2u_stream_map *arg)
{
	struct page *batch[K2U_BATCH_PAGES];
	unsigned long addr = arg->addr, left;
	u64 done, records;
	int nr, i, err;

	for (done = 0; done < arg->records; done += records) {
		records = arg->records - done;
		nr = k2u_pages_take(ring, arg->first + done, &records, batch);
		if (nr < 0)
			return nr;
		left = nr;
		err = k2u_pages_insert_batch(vma, addr, batch, &left);
		for (i = 0; i < nr; i++)
			put_page(batch[i]);
		addr += (nr - left) << PAGE_SHIFT;
		arg->pages += nr - left;
		if (err)
			return err;
		cond_resched();
	}
	return 0;
}

long k2u_pages_map(struct file *file, struct k2u_ring_state *ring,
		   void __user *uarg)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	struct k2u_stream_map arg;
	int err;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (K2U_RESERVED(arg) || !PAGE_ALIGNED(arg.addr))
		return -EINVAL;
	if (!ring->pages)
		return -EOPNOTSUPP;
	arg.pages = 0;
	err = mmap_read_lock_killable(mm);
	if (!err) {
		vma = arg.addr < TASK_SIZE ? find_vma(mm, arg.addr) : NULL;
		err = vma && vma->vm_start <= arg.addr && vma->vm_file == file ?
			      k2u_pages_insert(ring, vma, &arg) :
			      -EFAULT;
		mmap_read_unlock(mm);
	}
	return copy_to_user(uarg, &arg, sizeof(arg)) ? -EFAULT : err;
}

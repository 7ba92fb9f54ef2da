// SPDX-License-Identifier: GPL-2.0
/*
 * What a mapping really is: its VMA's flags, and the level, the writability,
 * the memory type and the contiguity of the page-table entries behind it.
 *
 * The walk takes no page-table lock. It holds mmap_lock for reading with the
 * VMA found under it, so no upper table of the range is freed: munmap() takes
 * the VMA out of the tree under the write lock first. A PTE table can be freed
 * all the same: since 6.14 MADV_DONTNEED frees one that it has emptied, with no
 * more than the read lock (CONFIG_PT_RECLAIM, mm/pt_reclaim.c). That is done
 * after a grace period, so PTEs are read under RCU. khugepaged collapses only
 * anonymous and page-cache VMAs. Entries may change meanwhile; the result is a
 * snapshot of each entry, as of /proc/PID/pagemap.
 */
#include <linux/bitfield.h>
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/pgtable.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/user_namespace.h>

#include "k2u_mod.h"

struct k2u_walk {
	struct k2u_inspect *out;
	bool show_pfn;
	unsigned long next_pfn; /* that would continue the run; 0: none */
};

#if defined(CONFIG_X86)
static u32 k2u_memtype(u64 entry, bool leaf_above_pte)
{
	/* SDM vol. 3, table 12-10: encodings of a PAT entry */
	static const u32 types[8] = {
		[0] = K2U_MEMTYPE_UC, [1] = K2U_MEMTYPE_WC,
		[4] = K2U_MEMTYPE_WT, [5] = K2U_MEMTYPE_WP,
		[6] = K2U_MEMTYPE_WB, [7] = K2U_MEMTYPE_UC_MINUS,
	};
	const u64 pat_bit = leaf_above_pte ? _PAGE_PAT_LARGE : _PAGE_PAT;
	unsigned int index = (entry & _PAGE_PWT ? 1 : 0) |
			     (entry & _PAGE_PCD ? 2 : 0) |
			     (entry & pat_bit ? 4 : 0);

	return types[(k2u_read_pat() >> (index * 8)) & 7];
}
#elif defined(CONFIG_ARM64)
static u32 k2u_memtype(u64 entry, bool leaf_above_pte)
{
	u8 attr = read_sysreg(mair_el1) >>
		  (FIELD_GET(PTE_ATTRINDX_MASK, entry) * 8);

	if (attr == 0xff || attr == 0xf0) /* 0xf0: tagged memory, as of MTE */
		return K2U_MEMTYPE_WB;
	if (attr == 0x44)
		return K2U_MEMTYPE_WC;
	if (attr == 0xbb)
		return K2U_MEMTYPE_WT;
	return attr & 0xf0 ? K2U_MEMTYPE_UNKNOWN : K2U_MEMTYPE_UC;
}
#elif defined(_PAGE_MTMASK_SVPBMT)
static u32 k2u_memtype(u64 entry, bool leaf_above_pte)
{
	switch (entry & _PAGE_MTMASK_SVPBMT) {
	case 0: /* what the memory itself is, and buffers are in RAM */
		return K2U_MEMTYPE_WB;
	case _PAGE_NOCACHE_SVPBMT:
		return K2U_MEMTYPE_WC;
	case _PAGE_IO_SVPBMT:
		return K2U_MEMTYPE_UC;
	}
	return K2U_MEMTYPE_UNKNOWN;
}
#else
static u32 k2u_memtype(u64 entry, bool leaf_above_pte)
{
	return K2U_MEMTYPE_UNKNOWN;
}
#endif

/* Of the kernel's own mapping of what page is in, by its page tables */
static u32 k2u_linear_memtype(const struct page *page)
{
#ifdef CONFIG_X86
	unsigned int level;
	pte_t *entry =
		lookup_address((unsigned long)page_address(page), &level);

	if (entry)
		return k2u_memtype(pte_val(*entry), level != PG_LEVEL_4K);
#endif
	return K2U_MEMTYPE_UNKNOWN;
}

static void k2u_walk_present(struct k2u_walk *walk, u64 entry, bool above_pte,
			     unsigned long pfn, unsigned long nr, bool writable)
{
	struct k2u_inspect *out = walk->out;

	if (out->cache == K2U_MEMTYPE_UNKNOWN)
		out->cache = k2u_memtype(entry, above_pte);
	if (writable)
		out->writable_pages += nr;
	if (walk->show_pfn && !out->first_pfn)
		out->first_pfn = pfn;
	if (pfn != walk->next_pfn)
		out->pfn_runs++;
	walk->next_pfn = pfn + nr;
}

/* Visits the entry for addr; returns the end of what it maps, or could map. */
static unsigned long k2u_walk_entry(struct k2u_walk *walk, unsigned long addr,
				    unsigned long end)
{
	struct k2u_inspect *out = walk->out;
	pgd_t *pgd = pgd_offset(current->mm, addr);
	unsigned long next;
	p4d_t *p4d;
	pud_t *pudp, pud;
	pmd_t *pmdp, pmd;
	pte_t pte = {};

	next = pgd_addr_end(addr, end);
	if (pgd_none(*pgd))
		goto absent;
	p4d = p4d_offset(pgd, addr);
	next = p4d_addr_end(addr, end);
	if (p4d_none(*p4d))
		goto absent;

	pudp = pud_offset(p4d, addr);
	pud = READ_ONCE(*pudp);
	next = pud_addr_end(addr, end);
	if (pud_none(pud) || !pud_present(pud))
		goto absent;
	if (pud_leaf(pud)) {
		const unsigned long nr = (next - addr) >> PAGE_SHIFT;

		k2u_walk_present(walk, pud_val(pud), true,
				 pud_pfn(pud) +
					 ((addr & ~PUD_MASK) >> PAGE_SHIFT),
				 nr, pud_write(pud));
		out->pud_pages += nr;
		return next;
	}

	pmdp = pmd_offset(pudp, addr);
	/* From here until the PTE is read, the table that pmd names stays. */
	rcu_read_lock();
	pmd = READ_ONCE(*pmdp);
	if (pmd_present(pmd) && !pmd_leaf(pmd))
		pte = READ_ONCE(*pte_offset_kernel(&pmd, addr));
	rcu_read_unlock();
	next = pmd_addr_end(addr, end);
	if (pmd_none(pmd) || !pmd_present(pmd))
		goto absent;
	if (pmd_leaf(pmd)) {
		const unsigned long nr = (next - addr) >> PAGE_SHIFT;

		k2u_walk_present(walk, pmd_val(pmd), true,
				 pmd_pfn(pmd) +
					 ((addr & ~PMD_MASK) >> PAGE_SHIFT),
				 nr, pmd_write(pmd));
		out->pmd_pages += nr;
		return next;
	}

	next = addr + PAGE_SIZE;
	if (pte_none(pte) || !pte_present(pte))
		goto absent;
	k2u_walk_present(walk, pte_val(pte), false, pte_pfn(pte), 1,
			 pte_write(pte));
	out->pte_pages++;
	return next;

absent:
	out->absent_pages += (next - addr) >> PAGE_SHIFT;
	walk->next_pfn = 0;
	return next;
}

static u64 k2u_vma_flags(const struct vm_area_struct *vma)
{
	static const struct {
		unsigned long vm;
		u64 k2u;
	} map[] = {
		{ VM_READ, K2U_VMA_READ },
		{ VM_WRITE, K2U_VMA_WRITE },
		{ VM_MAYSHARE, K2U_VMA_SHARED },
		{ VM_MAYWRITE, K2U_VMA_MAYWRITE },
		{ VM_MAYEXEC, K2U_VMA_MAYEXEC },
		{ VM_IO, K2U_VMA_IO },
		{ VM_PFNMAP, K2U_VMA_PFNMAP },
		{ VM_MIXEDMAP, K2U_VMA_MIXEDMAP },
		{ VM_DONTEXPAND, K2U_VMA_DONTEXPAND },
		{ VM_DONTDUMP, K2U_VMA_DONTDUMP },
		{ VM_DONTCOPY, K2U_VMA_DONTCOPY },
	};
	u64 flags = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(map); i++)
		if (vma->vm_flags & map[i].vm)
			flags |= map[i].k2u;
	return flags;
}

int k2u_inspect(struct file *file, struct k2u_inspect *inspect)
{
	const u64 start = inspect->addr, size = inspect->size;
	/* A file with a mapping has a buffer, and the mapping lies in it. */
	const struct k2u_file *f = file->private_data;
	struct mm_struct *mm = current->mm;
	struct k2u_walk walk = {
		.out = inspect,
		.show_pfn = file_ns_capable(file, &init_user_ns, CAP_SYS_ADMIN),
	};
	struct vm_area_struct *vma;
	unsigned long addr, end;
	int err = 0;

	if (!size || !PAGE_ALIGNED(start))
		return -EINVAL;
	if (start >= TASK_SIZE || size > TASK_SIZE - start)
		return -EFAULT;
	*inspect = (struct k2u_inspect){ .addr = start, .size = size };
	end = PAGE_ALIGN(start + size);

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	vma = find_vma(mm, start);
	if (!vma || vma->vm_start > start || vma->vm_end < end ||
	    vma->vm_file != file) {
		err = -EFAULT;
		goto unlock;
	}
	inspect->vma_flags = k2u_vma_flags(vma);
	inspect->method = k2u_pgoff_method(vma->vm_pgoff);
	inspect->linear_cache = k2u_linear_memtype(k2u_buffer_find(
		f->buf, k2u_pgoff_page(vma->vm_pgoff) +
				((start - vma->vm_start) >> PAGE_SHIFT)));
	for (addr = start; addr < end; cond_resched()) {
		if (fatal_signal_pending(current)) {
			err = -EINTR;
			break;
		}
		addr = k2u_walk_entry(&walk, addr, end);
	}
unlock:
	mmap_read_unlock(mm);
	return err;
}

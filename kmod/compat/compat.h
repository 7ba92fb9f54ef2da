/* SPDX-License-Identifier: GPL-2.0 */
/*
 * All that k2u knows of differences between kernels: 5.10 to 7.3. Elsewhere in
 * kmod/ the code is written for the newest.
 */
#ifndef K2U_COMPAT_H
#define K2U_COMPAT_H

#include <linux/gfp.h>
#include <linux/hrtimer.h>
#include <linux/mm.h>
#include <linux/version.h>

#include "have.h"

#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 10, 0)
#error "k2u needs Linux 5.10 or later"
#endif

#ifndef K2U_HAVE_VM_FLAGS_SET
static inline void vm_flags_set(struct vm_area_struct *vma, unsigned long flags)
{
	vma->vm_flags |= flags;
}

static inline void vm_flags_clear(struct vm_area_struct *vma,
				  unsigned long flags)
{
	vma->vm_flags &= ~flags;
}
#endif

/*
 * ->huge_fault is asked for an order since 6.6, until then for a level; and a
 * PMD leaf is made of a folio since 6.15, until then of a PFN, which was a pfn_t
 * until 6.17. A driver's leaf of PFNs is marked special, so that get_user_pages()
 * passes it over, since 6.12 (pmd_mkspecial()); until then a fast one took a
 * reference to the page behind, which our pages are made for.
 */
#ifdef K2U_HAVE_HUGE_FAULT_ORDER
typedef unsigned int k2u_huge_fault_t;
#define K2U_HUGE_FAULT_PMD (PMD_SHIFT - PAGE_SHIFT)
#else
typedef enum page_entry_size k2u_huge_fault_t;
#define K2U_HUGE_FAULT_PMD PE_SIZE_PMD
#endif

#ifdef K2U_HAVE_VMF_INSERT_FOLIO_PMD
#define K2U_PMD_OF_PFN false
#else
#define K2U_PMD_OF_PFN true
#endif

#ifdef CONFIG_TRANSPARENT_HUGEPAGE
#ifdef K2U_HAVE_VMF_INSERT_FOLIO_PMD
static inline vm_fault_t k2u_insert_pmd(struct vm_fault *vmf, struct page *page,
					bool write)
{
	return vmf_insert_folio_pmd(vmf, page_folio(page), write);
}
#else
#include <linux/pfn_t.h>

static inline vm_fault_t k2u_insert_pmd(struct vm_fault *vmf, struct page *page,
					bool write)
{
	return vmf_insert_pfn_pmd(vmf, page_to_pfn_t(page), write);
}
#endif
#endif

/*
 * ->map_pages, which the core tries ahead of ->fault where a page is loaded. Until
 * 5.12 it returned nothing: do_fault_around() had moved vmf->address, and wanted
 * the page table back mapped and locked. There ->fault does it all.
 */
#ifdef K2U_HAVE_MAP_PAGES_RESULT
#define K2U_MAP_PAGES(handler) handler
#else
#define K2U_MAP_PAGES(handler) NULL
#endif

/*
 * Whether it may insert pages. It must not sleep (do_fault_around() holds
 * rcu_read_lock(), 6.12), so the page table must be there, and must stay: since
 * 6.14 MADV_DONTNEED of another thread takes an empty one away, under no more
 * than the lock that the fault has, too (zap_pte_range()).
 */
static inline bool k2u_may_map_pages(const struct vm_fault *vmf)
{
	return !IS_ENABLED(CONFIG_PT_RECLAIM) && !pmd_none(*vmf->pmd);
}

/*
 * Whether the entry that faulted is neither empty nor of a page, but a mark of
 * userfaultfd's: since 6.7 UFFD_FEATURE_WP_ASYNC was for every VMA, and no more
 * for such as ours since 6.12.y and 7.2. Only finish_fault() replaces it: after
 * VM_FAULT_NOPAGE the touch would be repeated for ever.
 */
static inline bool k2u_marked(const struct vm_fault *vmf)
{
#ifdef K2U_HAVE_ORIG_PTE_VALID
	return vmf->flags & FAULT_FLAG_ORIG_PTE_VALID &&
	       !pte_none(vmf->orig_pte);
#else
	return false;
#endif
}

/*
 * riscv's set_pte_at() calls flush_icache_pte(), which modules have not, for what
 * may be executed. Ours never may, and here the compiler sees it; as it sees on
 * arm64, whose mte_sync_tags() modules have not either, that an entry is special.
 */
static inline pte_t k2u_pte_noexec(pte_t pte)
{
#ifdef CONFIG_RISCV
	return __pte(pte_val(pte) & ~_PAGE_EXEC);
#else
	return pte;
#endif
}

/*
 * Until 5.11 the mark of a page that is charged to a memory cgroup (PageKmemcg)
 * was a page type, kept where a page mapped to user space has its _mapcount:
 * vm_insert_page() refuses such a page. There the buffers go uncharged.
 */
#ifdef PG_kmemcg
#define K2U_GFP_ACCOUNT 0
#else
#define K2U_GFP_ACCOUNT __GFP_ACCOUNT
#endif

/* Since 6.18 a page's flags are in a structure, memdesc_flags_t. */
static inline unsigned long k2u_page_flags(const struct page *page)
{
#ifdef K2U_HAVE_MEMDESC_FLAGS
	return page->flags.f;
#else
	return page->flags;
#endif
}

/*
 * The file's commands for io_uring: without K2U_URING_H it has none, nor where
 * one is completed by a call without flags (before 6.3, and in 6.1 by stable's).
 */
#if defined(K2U_HAVE_URING_CMD_H) || \
	(defined(K2U_HAVE_URING_CMD) && defined(K2U_HAVE_URING_CMD_FLAGS))
#define K2U_URING_CMD(handler) .uring_cmd = handler,
#ifdef K2U_HAVE_URING_CMD_H
#define K2U_URING_H "linux/io_uring/cmd.h"
#else
#define K2U_URING_H "linux/io_uring.h"
#endif
#else
#define K2U_URING_CMD(handler)
#endif

#if defined(K2U_HAVE_URING_CMD_SQE) || defined(K2U_HAVE_URING_CMD_H)
#define k2u_uring_payload(command) ((const void *)(command)->sqe->cmd)
#else
#define k2u_uring_payload(command) ((command)->cmd)
#endif

/*
 * Until 6.11 a worker does not complete what returns more than 0
 * (io_wq_submit_work(); 24dce1c538a7 "io_uring: fix lost getsockopt completions").
 * No probe sees that.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
#define k2u_uring_result(command, result, flags) (result)
#else
#define k2u_uring_result(command, result, flags) \
	(io_uring_cmd_done(command, result, 0, flags), -EIOCBQUEUED)
#endif

/* Until 6.13 the function of a timer was stored by its user. */
#ifndef K2U_HAVE_HRTIMER_SETUP
static inline void
hrtimer_setup(struct hrtimer *timer,
	      enum hrtimer_restart (*function)(struct hrtimer *),
	      clockid_t clock, enum hrtimer_mode mode)
{
	hrtimer_init(timer, clock, mode);
	timer->function = function;
}
#endif

/* Until 6.8 it was told by how much the count goes up. */
#ifdef K2U_HAVE_EVENTFD_SIGNAL_ONE
#define k2u_eventfd_signal(ctx) eventfd_signal(ctx)
#else
#define k2u_eventfd_signal(ctx) ((void)eventfd_signal(ctx, 1))
#endif

#ifdef CONFIG_X86
#include <asm/msr.h>

static inline u64 k2u_read_pat(void)
{
	u64 pat;

#ifdef K2U_HAVE_RDMSRQ
	rdmsrq(MSR_IA32_CR_PAT, pat);
#else
	rdmsrl(MSR_IA32_CR_PAT, pat);
#endif
	return pat;
}
#endif

#endif /* K2U_COMPAT_H */

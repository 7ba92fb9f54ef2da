// SPDX-License-Identifier: GPL-2.0
/* The fuzzer's madvise, mlock and msync, and the ways to pin what is mapped. */
#include <sys/uio.h>

#include "fuzz.h"

/* Where the C library is older than the kernel; asm-generic/mman-common.h */
enum advice {
	ADV_NORMAL = 0,
	ADV_RANDOM = 1,
	ADV_SEQUENTIAL = 2,
	ADV_WILLNEED = 3,
	ADV_DONTNEED = 4,
	ADV_FREE = 8,
	ADV_REMOVE = 9,
	ADV_DONTFORK = 10,
	ADV_DOFORK = 11,
	ADV_MERGEABLE = 12,
	ADV_UNMERGEABLE = 13,
	ADV_HUGEPAGE = 14,
	ADV_NOHUGEPAGE = 15,
	ADV_DONTDUMP = 16,
	ADV_DODUMP = 17,
	ADV_WIPEONFORK = 18,
	ADV_KEEPONFORK = 19,
	ADV_COLD = 20,
	ADV_PAGEOUT = 21,
	ADV_POPULATE_READ = 22,
	ADV_POPULATE_WRITE = 23,
	ADV_DONTNEED_LOCKED = 24,
	ADV_COLLAPSE = 25,
	ADV_GUARD_INSTALL = 102,
	ADV_GUARD_REMOVE = 103,
};

/* All but those that poison memory: 100 and 101 (MADV_HWPOISON, MADV_SOFT_OFFLINE) */
static const int advices[] = {
	ADV_NORMAL,	     ADV_RANDOM,	ADV_SEQUENTIAL,
	ADV_WILLNEED,	     ADV_DONTNEED,	ADV_DONTNEED,
	ADV_DONTNEED,	     ADV_FREE,		ADV_REMOVE,
	ADV_DONTFORK,	     ADV_DONTFORK,	ADV_DOFORK,
	ADV_MERGEABLE,	     ADV_UNMERGEABLE,	ADV_HUGEPAGE,
	ADV_NOHUGEPAGE,	     ADV_DONTDUMP,	ADV_DODUMP,
	ADV_WIPEONFORK,	     ADV_KEEPONFORK,	ADV_COLD,
	ADV_PAGEOUT,	     ADV_POPULATE_READ, ADV_POPULATE_WRITE,
	ADV_DONTNEED_LOCKED, ADV_COLLAPSE,	ADV_GUARD_INSTALL,
	ADV_GUARD_REMOVE,
};

/* madvise_behavior_valid() comes first, so an empty range tells. */
static bool known(int advice)
{
	return !madvise(ARENA, 0, advice);
}

/* Pages of the range: their flags, as madvise_vma_behavior() sets them */
static void set_advice(unsigned int at, unsigned int end, unsigned int set,
		       unsigned int clear, int dontcopy)
{
	struct vma *v = arena[at].vma;

	if (((v->advice & ~clear) | set) == v->advice &&
	    (dontcopy < 0 || dontcopy == v->dontcopy))
		return;
	vma_split(at);
	vma_split(end);
	v = arena[at].vma;
	v->advice = (v->advice & ~clear) | set;
	if (dontcopy >= 0)
		v->dontcopy = dontcopy;
}

static void zap(unsigned int at, unsigned int end)
{
	for (; at < end; at++) {
		arena[at].cow = false;
		if (!faults_in(arena[at].vma->method))
			arena[at].zapped = true;
	}
}

/*
 * What the advice does to [at, end) of one VMA: 0, the -errno that it must fail
 * with, or 1 where any failure is fine (populating what may not be there).
 */
static int advise_vma(unsigned int at, unsigned int end, int advice)
{
	struct vma *v = arena[at].vma;
	const bool pfn = is_pfn(v->method);

	switch (advice) {
	case ADV_NORMAL:
		set_advice(at, end, 0, ADVICE_RANDOM | ADVICE_SEQUENTIAL, -1);
		return 0;
	case ADV_RANDOM:
		set_advice(at, end, ADVICE_RANDOM, ADVICE_SEQUENTIAL, -1);
		return 0;
	case ADV_SEQUENTIAL:
		set_advice(at, end, ADVICE_SEQUENTIAL, ADVICE_RANDOM, -1);
		return 0;
	case ADV_HUGEPAGE:
		set_advice(at, end, ADVICE_HUGE, ADVICE_NOHUGE, -1);
		return 0;
	case ADV_NOHUGEPAGE:
		set_advice(at, end, ADVICE_NOHUGE, ADVICE_HUGE, -1);
		return 0;
	case ADV_DONTFORK:
		set_advice(at, end, 0, 0, true);
		return 0;
	case ADV_DOFORK:
		if (pfn) /* VM_IO */
			return -EINVAL;
		set_advice(at, end, 0, 0, false);
		return 0;
	case ADV_DONTNEED:
	case ADV_DONTNEED_LOCKED:
		if (pfn)
			return -EINVAL;
		zap(at, end);
		return 0;
	case ADV_COLD:
	case ADV_PAGEOUT:
		return pfn ? -EINVAL : 0;
	case ADV_WILLNEED:
	case ADV_MERGEABLE:
	case ADV_UNMERGEABLE:
	case ADV_DONTDUMP:
	case ADV_KEEPONFORK:
		return 0;
	case ADV_FREE:
	case ADV_DODUMP:
	case ADV_WIPEONFORK:
	case ADV_GUARD_INSTALL:
	case ADV_GUARD_REMOVE:
		return -EINVAL;
	case ADV_COLLAPSE:
	case ADV_REMOVE:
		return -EOPNOTSUPP; /* any: no page cache behind it */
	default:
		return 1;
	}
}

void op_madvise(const struct op *op)
{
	int advice = advices[op->a % ARRAY_SIZE(advices)];
	uint64_t address = (uint64_t)arena_at(op->at),
		 length = op->n * page_bytes;
	unsigned int n = op->n;
	struct expect e = { 0 };
	bool hole = false, populate;

	switch (op->b % 32) {
	case 0:
		address += 1 + op->c % (page_bytes - 1);
		break;
	case 1:
		length = n = 0;
		break;
	case 2:
		length = UINT64_MAX - op->c % (2 * page_bytes);
		break;
	case 3:
		advice = (int)(op->c | 128);
		break;
	}
	populate = advice == ADV_POPULATE_READ || advice == ADV_POPULATE_WRITE;
	must(&e, !known(advice), EINVAL);
	must(&e, address % page_bytes, EINVAL);
	must(&e, length > 1ULL << 47, EINVAL);
	for (unsigned int i = op->at; !e.n && i < op->at + n;) {
		struct vma *v = i < ARENA_PAGES ? arena[i].vma : NULL;
		unsigned int end = i + 1;
		int err;

		if (!v) {
			hole = true;
			i++;
			continue;
		}
		while (end < op->at + n && end < ARENA_PAGES &&
		       arena[end].vma == v)
			end++;
		err = advise_vma(i, end, advice);
		if (err > 0) {
			may(&e, EINVAL);
			may(&e, EFAULT);
			may(&e, ENOMEM);
		} else if (advice == ADV_COLLAPSE || advice == ADV_REMOVE) {
			must(&e, true, EINVAL);
			must(&e, true, EACCES);
			must(&e, true, ENODEV);
			must(&e, true, EBADF);
			must(&e, true, EOPNOTSUPP);
		} else {
			must(&e, err, -err);
		}
		i = end;
	}
	must(&e, hole, ENOMEM);
	judge(&e, "madvise", CALL(madvise, (void *)address, length, advice));
	if (populate)
		force_cow(op->at, n);
	check_counters(&slots[op->slot]);
}

/* A special VMA is never locked, but its pages may come in, a private one's by a copy. */
void op_mlock(const struct op *op)
{
	char *const at = arena_at(op->at);
	const uint64_t length = op->n * page_bytes;
	bool hole = false, all = true;
	struct expect e = { 0 };

	for (unsigned int i = op->at; i < op->at + op->n; i++) {
		hole |= i >= ARENA_PAGES || !arena[i].vma;
		all &= i < ARENA_PAGES &&
		       touch_expected(&arena[i], false) == TOUCH_OK;
	}
	must(&e, hole, ENOMEM);
	switch (op->a % 4) {
	case 0:
		judge(&e, "munlock", CALL(munlock, at, length));
		break;
	case 1: /* MLOCK_ONFAULT, and what is no flag */
		must(&e, op->b % 4 == 3, EINVAL);
		if (!all)
			may(&e, ENOMEM);
		judge(&e, "mlock2",
		      CALL(mlock2, at, length,
			   op->b % 4 == 3 ? 2 + op->c : op->b % 2));
		break;
	default:
		if (!all)
			may(&e, ENOMEM);
		judge(&e, "mlock", CALL(mlock, at, length));
		break;
	}
	force_cow(op->at, op->n);
	check_counters(&slots[op->slot]);
}

void op_msync(const struct op *op)
{
	static const int flags[] = { MS_ASYNC,
				     MS_INVALIDATE,
				     MS_SYNC,
				     MS_SYNC | MS_INVALIDATE,
				     MS_SYNC | MS_ASYNC,
				     8,
				     0 };
	const int flag = flags[op->a % ARRAY_SIZE(flags)];
	struct expect e = { 0 };
	bool hole = false, shared = false;

	for (unsigned int i = op->at; i < op->at + op->n; i++) {
		hole |= i >= ARENA_PAGES || !arena[i].vma;
		/* No ->fsync; VM_SHARED is clear for a read-only file. */
		shared |= i < ARENA_PAGES && arena[i].vma &&
			  arena[i].vma->shared && arena[i].vma->maywrite;
	}
	must(&e, flag == 8 || flag == (MS_SYNC | MS_ASYNC), EINVAL);
	must(&e, hole, ENOMEM);
	must(&e, (flag & MS_SYNC) && shared, EINVAL);
	judge(&e, "msync",
	      CALL(msync, arena_at(op->at), op->n * page_bytes, flag));
}

/* ---- get_user_pages() ---- */

/* Of get_user_pages(), to read: never of a PFN mapping */
static void pin_expected(struct expect *e, const struct page *p)
{
	must(e, touch_expected(p, false) != TOUCH_OK || is_pfn(p->vma->method),
	     EFAULT);
	/* Write-only: the slow path asks for VM_READ, the fast one sees an entry. */
	if (!e->n && !(p->vma->prot & PROT_READ))
		may(e, EFAULT);
}

static void check_bytes(const struct op *op, const char *what, const char *got,
			size_t at, size_t n)
{
	const uint8_t *data = page_data(&arena[op->at]);

	if (data && memcmp(got, data + at, n))
		wrong("%s of page %u at %zu: not its %zu bytes", what, op->at,
		      at, n);
}

void op_process_vm(const struct op *op)
{
	const size_t at = op->b % page_bytes, n = 1 + op->c % (page_bytes - at);
	struct iovec to = { scratch, n }, from = { arena_at(op->at) + at, n };
	struct expect e = { 0 };
	const pid_t self = getpid();

	pin_expected(&e, &arena[op->at]);
	if (judge(&e, "process_vm_readv",
		  CALL(process_vm_readv, self, &to, 1, &from, 1, 0)))
		check_bytes(op, "process_vm_readv", scratch, at, n);
}

/* Pages in a pipe outlive their mapping and their buffer. */
void op_vmsplice(const struct op *op)
{
	static int kept[2] = { -1, -1 };
	const size_t at = op->b % page_bytes, n = 1 + op->c % (page_bytes - at);
	struct iovec from = { arena_at(op->at) + at, n };
	struct expect e = { 0 };

	pin_expected(&e, &arena[op->at]);
	if (kept[0] >= 0) {
		close(kept[0]);
		close(kept[1]);
	}
	if (pipe(kept))
		wrong("pipe: %s", strerror(errno));
	if (judge(&e, "vmsplice",
		  CALL(vmsplice, kept[1], &from, 1,
		       op->a % 2 ? SPLICE_F_GIFT : 0)) &&
	    op->a & 2) {
		if (read(kept[0], scratch, n) != (ssize_t)n)
			wrong("a pipe has not the %zu bytes of the vmsplice",
			      n);
		check_bytes(op, "vmsplice", scratch, at, n);
	}
}

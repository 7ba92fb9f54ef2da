// SPDX-License-Identifier: GPL-2.0
/* The fuzzer's operations on mappings: made, taken down, moved, touched. */
#include "fuzz.h"

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08 /* since 6.11; a file's mapping cannot be */
#endif
/* mman.h of the kernel: what MAP_SHARED_VALIDATE knows without the file's help */
#define LEGACY_MAP_MASK                                                \
	(MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS |        \
	 MAP_DENYWRITE | MAP_EXECUTABLE | MAP_GROWSDOWN | MAP_LOCKED | \
	 MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_STACK |     \
	 MAP_HUGETLB)

static uint64_t mmap_length(const struct op *op)
{
	switch (op->c % 64) {
	case 0:
		return 0;
	case 1:
		return op->n * page_bytes + 1;
	case 2:
		return op->n * page_bytes - 1;
	case 3:
		return 1ULL << 40;
	case 4:
		return UINT64_MAX - page_bytes + 1;
	case 5:
		return UINT64_MAX;
	case 6:
		return 1ULL << (op->c >> 8) % 64;
	default:
		return op->n * page_bytes;
	}
}

/* Of the byte offset, in pages */
static uint64_t mmap_page(const struct op *op, const struct file *f)
{
	const uint64_t pages = f ? f->pages : 0,
		       top = (1ULL << K2U_MMAP_SHIFT) / page_bytes;

	switch (op->d % 80) {
	case 0:
		return pages;
	case 1:
		return pages - op->n;
	case 2:
		return pages - 1;
	case 3:
		return top - op->n;
	case 4:
		return top - 1;
	case 5:
		return (op->d >> 8) % top;
	case 6:
		return 1ULL << (op->d >> 8) % 28;
	case 7:
	case 8:
	case 9:
		return (op->d >> 8) % 16;
	default:
		return 0;
	}
}

static uint32_t mmap_method(const struct op *op)
{
	static const uint32_t odd[] = { 255, 256, 0xffff, 0x7fffff, 0xffffff };
	const uint64_t n = bounds.methods;

	if (op->a % 32 == 0)
		return (uint32_t)n;
	if (op->a % 32 == 1)
		return odd[(op->a >> 8) % ARRAY_SIZE(odd)];
	return (uint32_t)((op->a >> 8) % n);
}

static int mmap_flags(const struct op *op)
{
	static const int types[] = { MAP_PRIVATE, MAP_PRIVATE,
				     MAP_PRIVATE, MAP_SHARED_VALIDATE,
				     0,		  MAP_DROPPABLE,
				     MAP_TYPE };
	static const int also[] = { MAP_POPULATE,  MAP_POPULATE,  MAP_LOCKED,
				    MAP_NORESERVE, MAP_GROWSDOWN, MAP_NONBLOCK,
				    MAP_STACK,	   MAP_HUGETLB,	  MAP_SYNC };
	const unsigned int t = op->b % 40;
	int flags = t < ARRAY_SIZE(types) ? types[t] : MAP_SHARED;

	if ((op->b >> 8) % 6 == 0)
		flags |= also[(op->b >> 16) % ARRAY_SIZE(also)];
	return flags | ((op->b >> 32) % 8 ? MAP_FIXED : MAP_FIXED_NOREPLACE);
}

static bool mapped_there(unsigned int at, unsigned int n)
{
	for (unsigned int i = at; i < at + n && i < ARENA_PAGES; i++)
		if (arena[i].vma)
			return true;
	return false;
}

/* The device's part of mmap()'s errors */
static void mmap_refusals(struct expect *e, const struct file *f,
			  uint32_t method, int flags, int prot, uint64_t first,
			  uint64_t pages)
{
	const uint64_t have =
		f->size ? f->pages :
			  (bounds.default_bytes + page_bytes - 1) / page_bytes;
	const uint32_t backing = f->size ? f->backing : K2U_BACKING_VMALLOC;

	must(e, method >= bounds.methods, EINVAL);
	must(e,
	     method < bounds.methods && !is_empty(method) &&
		     !method_serves(method, backing),
	     EOPNOTSUPP);
	must(e, method < bounds.methods && !maps(method), EOPNOTSUPP);
	must(e, prot & PROT_EXEC, EACCES);
	must(e,
	     (is_pfn(method) || method == K2U_METHOD_huge) &&
		     (flags & MAP_TYPE) == MAP_PRIVATE,
	     EINVAL);
	must(e, first >= have || pages > have - first, EINVAL);
	must(e, !f->size && used_bytes() + have * page_bytes > bounds.max_bytes,
	     ENOMEM);
}

/* The core's: mm/mmap.c, do_mmap() and what it calls */
static void mmap_core(struct expect *e, const struct slot *s, uint64_t length,
		      int prot, int flags, uint64_t offset, unsigned int at)
{
	const int type = flags & MAP_TYPE;
	const uint64_t pages = length / page_bytes + !!(length % page_bytes);
	const struct file *f = s->file;

	must(e, offset % page_bytes, EINVAL);
	must(e, !f, EBADF);
	must(e, !length, EINVAL);
	must(e,
	     length > UINT64_MAX - page_bytes ||
		     pages * page_bytes > 1ULL << 46,
	     ENOMEM);
	must(e, offset / page_bytes + pages > UINT64_MAX / page_bytes,
	     EOVERFLOW);
	must(e,
	     type != MAP_SHARED && type != MAP_PRIVATE &&
		     type != MAP_SHARED_VALIDATE,
	     EINVAL);
	must(e, flags & MAP_HUGETLB, EINVAL);
	must(e, flags & MAP_GROWSDOWN, EINVAL);
	must(e,
	     type == MAP_SHARED_VALIDATE &&
		     (flags & ~(LEGACY_MAP_MASK | MAP_TYPE)),
	     EOPNOTSUPP);
	must(e,
	     (flags & MAP_FIXED_NOREPLACE) && pages <= ARENA_PAGES &&
		     mapped_there(at, (unsigned int)pages),
	     EEXIST);
	if (!f)
		return;
	must(e, !f->readable, EACCES);
	must(e, type != MAP_PRIVATE && (prot & PROT_WRITE) && !f->writable,
	     EACCES);
}

static void mmap_done(unsigned int at, unsigned int pages, struct file *f,
		      uint32_t method, int prot, int flags, uint64_t first)
{
	const bool shared = (flags & MAP_TYPE) != MAP_PRIVATE;
	struct vma *v;

	/* Its file may be kept by the very mapping that this one replaces. */
	v = vma_new(&(struct vma){ .file = f,
				   .method = method,
				   .shared = shared,
				   .maywrite = !shared || f->writable,
				   .prot = prot,
				   .advice = flags & MAP_STACK ? stack_advice :
								 0 });
	arena_drop(at, pages);
	for (unsigned int i = 0; i < pages; i++) {
		arena[at + i].vma = v;
		arena[at + i].index = first + i;
	}
	if (flags & (MAP_POPULATE | MAP_LOCKED))
		force_cow(at, pages);
}

void op_mmap(const struct op *op)
{
	static const int prots[] = { PROT_READ | PROT_WRITE,
				     PROT_READ | PROT_WRITE,
				     PROT_READ | PROT_WRITE,
				     PROT_READ,
				     PROT_READ,
				     PROT_READ | PROT_WRITE,
				     PROT_READ | PROT_WRITE,
				     PROT_READ,
				     PROT_READ | PROT_WRITE,
				     PROT_READ,
				     PROT_WRITE,
				     PROT_NONE,
				     PROT_READ | PROT_EXEC,
				     PROT_READ | PROT_WRITE | PROT_EXEC };
	const struct slot *s = &slots[op->slot];
	const int prot = prots[(op->b >> 40) % ARRAY_SIZE(prots)];
	const uint64_t length = mmap_length(op);
	const uint64_t pages = length / page_bytes + !!(length % page_bytes);
	const bool fits = pages <= ARENA_PAGES;
	const unsigned int at = !fits ? 0 :
				op->at + pages > ARENA_PAGES ?
					ARENA_PAGES - (unsigned int)pages :
					op->at;
	/* What the arena cannot hold goes where the kernel likes, and goes again. */
	const int flags =
		fits ? mmap_flags(op) :
		       (mmap_flags(op) & ~(MAP_FIXED | MAP_FIXED_NOREPLACE)) |
				MAP_NORESERVE;
	const uint64_t odd =
		(op->d >> 40) % 64 ? 0 : 1 + (op->d >> 46) % (page_bytes - 1);
	const uint64_t offset = K2U_MMAP_OFFSET(mmap_method(op)) +
				mmap_page(op, s->file) * page_bytes + odd;
	const uint32_t method = (uint32_t)(offset >> K2U_MMAP_SHIFT);
	const uint64_t first = (offset & (K2U_MMAP_OFFSET(1) - 1)) / page_bytes;
	struct expect e = { 0 };
	long rc;

	mmap_core(&e, s, length, prot, flags, offset, at);
	if (s->file)
		mmap_refusals(&e, s->file, method, flags, prot, first, pages);
	if (!fits)
		may(&e, ENOMEM);
	rc = CALL(mmap, fits ? arena_at(at) : NULL, length, prot, flags, s->fd,
		  offset);
	if (judge(&e, "mmap", rc)) {
		check_created(s);
		if (!faults_in(method) && !is_empty(method))
			s->file->mapped += pages;
		s->file->around |= faults_around(method);
		if (fits)
			mmap_done(at, (unsigned int)pages, s->file, method,
				  prot, flags, first);
		else
			munmap((void *)rc, length);
	} else {
		check_created(s);
		/* Releases differ in what is left of the mapping that was there. */
		if (fits && pages && !(flags & MAP_FIXED_NOREPLACE))
			arena_unmap(at, (unsigned int)pages);
	}
	check_counters(s);
}

void op_munmap(const struct op *op)
{
	uint64_t at = (uint64_t)arena_at(op->at), length = op->n * page_bytes;
	unsigned int n = op->n;
	struct expect e = { 0 };

	switch (op->a % 32) {
	case 0:
		at += 1 + op->b % (page_bytes - 1);
		break;
	case 1:
		length = 0;
		break;
	case 2:
		length = UINT64_MAX - op->b % (2 * page_bytes);
		break;
	case 3:
		length -= op->b % page_bytes;
		break;
	}
	must(&e, at % page_bytes, EINVAL);
	must(&e, !length, EINVAL);
	must(&e, length > 1ULL << 47, EINVAL);
	if (op->at + n > ARENA_PAGES)
		n = ARENA_PAGES - op->at;
	if (judge(&e, "munmap", CALL(munmap, (void *)at, length)))
		arena_drop(op->at, n);
	check_counters(&slots[op->slot]);
}

/* Within one VMA what mremap() does is exact; elsewhere releases differ. */
static void mremap_move(const struct op *op, unsigned int n, unsigned int to,
			unsigned int left)
{
	const bool one = range_vma(op->at, n),
		   overlap = to < op->at + n && op->at < to + left;
	struct expect e = { 0 };

	must(&e, overlap, EINVAL);
	if (!one) {
		must(&e, !arena[op->at].vma, EFAULT);
		may(&e, EFAULT);
		may(&e, EINVAL);
	}
	if (judge(&e, "mremap (move)",
		  CALL(mremap, arena_at(op->at), n * page_bytes,
		       left * page_bytes, MREMAP_MAYMOVE | MREMAP_FIXED,
		       arena_at(to))) &&
	    one) {
		arena_drop(to, left);
		/* It may have taken nothing of the source: arena_drop() keeps others */
		arena_drop(op->at + left, n - left);
		arena_move(op->at, to, left);
	} else if (!overlap) {
		arena_unmap(to, left);
		arena_unmap(op->at, n);
	}
}

static void mremap_shrink(const struct op *op, unsigned int n,
			  unsigned int left)
{
	const bool one = range_vma(op->at, n);
	struct expect e = { 0 };

	if (!one) {
		may(&e, EFAULT);
		may(&e, EINVAL);
	}
	judge(&e, "mremap (shrink)",
	      CALL(mremap, arena_at(op->at), n * page_bytes, left * page_bytes,
		   0));
	if (one)
		arena_drop(op->at + left, n - left);
	else
		arena_unmap(op->at, n);
}

static void mremap_refused(const struct op *op, unsigned int n)
{
	const struct vma *v = arena[op->at].vma;
	uint64_t at = (uint64_t)arena_at(op->at), from = n * page_bytes,
		 to = from;
	int flags = op->b & 8 ? MREMAP_MAYMOVE : 0;
	struct expect e = { 0 };

	switch (op->b % 8) {
	case 0:
	case 1:
	case 2: /* a buffer's mapping never grows */
		to += page_bytes << (op->b >> 8) % 20;
		break;
	case 3: /* of a private mapping the log would complain */
		from = v && v->shared ? 0 : from;
		to += page_bytes;
		break;
	case 4: /* MREMAP_DONTUNMAP, since 5.7 */
		flags = MREMAP_MAYMOVE | 4;
		break;
	case 5:
		at += 1 + (op->b >> 8) % (page_bytes - 1);
		break;
	case 6:
		to = 0;
		break;
	case 7:
		flags = 1 << (3 + (op->b >> 8) % 28);
		break;
	}
	must(&e, true, EFAULT);
	must(&e, true, EINVAL);
	judge(&e, "mremap", CALL(mremap, (void *)at, from, to, flags));
}

void op_mremap(const struct op *op)
{
	const unsigned int n =
		op->at + op->n > ARENA_PAGES ? ARENA_PAGES - op->at : op->n;
	const unsigned int left = op->c % 4 ? n : 1 + op->c / 4 % n;
	const unsigned int to =
		(unsigned int)(op->d % (ARENA_PAGES - left + 1));

	switch (op->a % 4) {
	case 0:
	case 1:
		mremap_move(op, n, to, left);
		break;
	case 2:
		mremap_shrink(op, n, 1 + (unsigned int)(op->c / 4 % n));
		break;
	default:
		mremap_refused(op, n);
		break;
	}
	check_counters(&slots[op->slot]);
}

/* How the entries are, as the module sees them; the fault that a touch takes is exact. */
static uint64_t absent(const struct slot *s, unsigned int at, unsigned int n)
{
	struct k2u_inspect i = { .addr = (uint64_t)arena_at(at),
				 .size = n * page_bytes };

	if (ioctl(s->fd, K2U_IOC_INSPECT, &i))
		wrong("inspect of page %u, which is mapped: %s", at,
		      strerror(errno));
	return i.absent_pages;
}

/* The pages that a touch of an absent one maps */
static uint64_t maps_around(const struct slot *s, unsigned int at, bool write)
{
	const struct vma *v = arena[at].vma;
	const unsigned int window = K2U_AROUND_BYTES / page_bytes;
	unsigned int from, to;

	if (!faults_around(v->method) || window < 2 || (write && !v->shared))
		return 1;
	from = at / window * window;
	to = from + window;
	while (arena[from].vma != v)
		from++;
	while (to > ARENA_PAGES || arena[to - 1].vma != v)
		to--;
	return absent(s, from, to - from);
}

void op_touch(const struct op *op)
{
	static const char *const names[] = { "no signal", "SIGSEGV", "SIGBUS" };
	const struct slot *s = &slots[op->slot];
	struct page *p = &arena[op->at];
	const bool write = op->a % 2;
	const size_t at = op->b % (page_bytes / 8);
	const enum touched expected = touch_expected(p, write);
	const bool count = p->vma && s->file == p->vma->file && op->a >> 8 & 1;
	const uint64_t faults = count ? (check_counters(s), s->file->faults) :
					0;
	const bool faulting = count && faults_in(p->vma->method) &&
			      expected == TOUCH_OK && absent(s, op->at, 1);
	const uint64_t mapped = faulting ? maps_around(s, op->at, write) : 0;
	const uint64_t before = count ? s->file->mapped_pages : 0;
	uint64_t word = op->c, want, *data;
	enum touched got =
		touch((uint64_t *)arena_at(op->at) + at, write, &word);

	if (got != expected)
		wrong("a %s of page %u: %s, expected %s",
		      write ? "write" : "read", op->at, names[got],
		      names[expected]);
	if (got == TOUCH_OK) {
		if (write)
			break_cow(p);
		data = (uint64_t *)page_data(p);
		if (data && write)
			data[at] = word;
		want = data ? data[at] : word;
		if (word != want)
			wrong("page %u, word %zu is %#lx, expected %#lx",
			      op->at, at, word, want);
	}
	if (count) {
		check_counters(s);
		if (s->file->faults - faults != faulting)
			wrong("a touch of page %u took %lu faults, expected %d",
			      op->at, s->file->faults - faults, faulting);
		if (s->file->mapped_pages - before != mapped)
			wrong("a touch of page %u mapped %lu pages, expected %lu",
			      op->at, s->file->mapped_pages - before, mapped);
	}
}

void op_mprotect(const struct op *op)
{
	static const int prots[] = { PROT_READ | PROT_WRITE,
				     PROT_READ,
				     PROT_NONE,
				     PROT_READ | PROT_WRITE,
				     PROT_READ | PROT_EXEC,
				     PROT_EXEC,
				     PROT_WRITE,
				     PROT_READ | PROT_WRITE | PROT_EXEC };
	unsigned int at = op->at, n = op->n;
	int prot = prots[op->a % ARRAY_SIZE(prots)];
	uint64_t address = (uint64_t)arena_at(at), length = n * page_bytes;
	struct expect e = { 0 };

	switch (op->b % 32) {
	case 0:
		address += 1 + op->c % (page_bytes - 1);
		n = 0;
		break;
	case 1:
		length = n = 0;
		break;
	case 2:
		prot |= 1 << (6 + op->c % 25); /* PROT_GROWSDOWN among them */
		n = 0;
		must(&e, true, ENOMEM);
		break;
	case 3:
		length = UINT64_MAX - op->c % (2 * page_bytes);
		n = 0;
		must(&e, true, ENOMEM);
		must(&e, true, EINVAL);
		break;
	}
	must(&e, address % page_bytes, EINVAL);
	must(&e, prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC), EINVAL);
	/* VMA by VMA, and what came before a refusal stays */
	for (unsigned int i = at; i < at + n; i++) {
		struct vma *v = i < ARENA_PAGES ? arena[i].vma : NULL;
		unsigned int end = i + 1;

		must(&e, !v, ENOMEM);
		must(&e, v && (prot & PROT_EXEC), EACCES);
		must(&e, v && (prot & PROT_WRITE) && !v->maywrite, EACCES);
		if (e.n)
			break;
		while (end < at + n && end < ARENA_PAGES && arena[end].vma == v)
			end++;
		if (v->prot != prot) {
			vma_split(i);
			vma_split(end);
			arena[i].vma->prot = prot;
		}
		i = end - 1;
	}
	judge(&e, "mprotect", CALL(mprotect, (void *)address, length, prot));
	check_counters(&slots[op->slot]);
}

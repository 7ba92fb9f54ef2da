// SPDX-License-Identifier: GPL-2.0
/* The fuzzer's ioctls: good, boundary and random arguments, anywhere in memory. */
#include "fuzz.h"

/* Where an argument lies */
enum place {
	GOOD,
	NULL_POINTER,
	KERNEL_POINTER,
	UNMAPPED,
	STRADDLES,
	READ_ONLY,
	ODD
};

/* Two pages, the second of them a hole; the first a second time, read-only */
static struct {
	char *rw, *ro;
} argument;

static void argument_init(void)
{
	int fd = memfd_create("argument", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)page_bytes))
		wrong("memfd: %s", strerror(errno));
	argument.rw = mmap(NULL, 2 * page_bytes, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	argument.ro = mmap(NULL, page_bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (argument.rw == MAP_FAILED || argument.ro == MAP_FAILED ||
	    mmap(argument.rw, page_bytes, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
		wrong("the arguments' page: %s", strerror(errno));
	close(fd);
}

static enum place place_of(const struct op *op)
{
	static const enum place places[] = { NULL_POINTER, KERNEL_POINTER,
					     UNMAPPED,	   STRADDLES,
					     READ_ONLY,	   ODD };
	const unsigned int i = (op->d >> 48) % 48;

	return i < ARRAY_SIZE(places) ? places[i] : GOOD;
}

/*
 * The ioctl with its argument at such a place: what is expected of it anyway,
 * or EFAULT. out: the command gives something back.
 */
static bool ioctl_at(const struct op *op, struct expect *e, const char *name,
		     unsigned long cmd, void *arg, size_t size, bool out)
{
	const struct slot *s = &slots[op->slot];
	const enum place place = place_of(op);
	char *p;
	bool done;

	if (!argument.rw)
		argument_init();
	p = argument.rw + 16;
	if (place == NULL_POINTER)
		p = NULL;
	else if (place == KERNEL_POINTER)
		p = (char *)(op->d & 1 ? -page_bytes : 1UL << 63 | op->d);
	else if (place == UNMAPPED)
		p = argument.rw + page_bytes;
	else if (place == STRADDLES)
		p = argument.rw + page_bytes - 1 - op->c % (size - 1);
	else if (place == READ_ONLY)
		p = argument.ro + 16;
	else if (place == ODD)
		p = argument.rw + 17;
	if (place == READ_ONLY)
		memcpy(argument.rw + 16, arg, size);
	else if (place == STRADDLES)
		memcpy(p, arg, (size_t)(argument.rw + page_bytes - p));
	else if (place == GOOD || place == ODD)
		memcpy(p, arg, size);
	must(e, !s->file, EBADF);
	must(e, place != GOOD && place != ODD && (place != READ_ONLY || out),
	     EFAULT);
	done = judge(e, name, CALL(ioctl, s->fd, cmd, p));
	if (done && (place == GOOD || place == ODD))
		memcpy(arg, p, size);
	check_created(s);
	return done;
}

/* One of them is not 0, now and then. */
static bool set_reserved(const struct op *op, void *reserved, size_t bytes)
{
	if ((op->d >> 40) % 48)
		return false;
	((uint8_t *)reserved)[op->d % bytes] =
		(uint8_t)(1u << (op->d >> 8) % 8);
	return true;
}

static uint64_t setup_size(const struct op *op)
{
	const uint64_t max = bounds.max_bytes, small = 16 * page_bytes;

	switch (op->a % 40) {
	case 0:
		return 0;
	case 1:
		return max + 1 + (op->a >> 8) % page_bytes;
	case 2:
		return UINT64_MAX - (op->a >> 8) % page_bytes;
	case 3:
		return 1ULL << (40 + (op->a >> 8) % 24);
	case 4:
		return bounds.max_contig_bytes + 1;
	case 5: /* the whole bound is quick to get only where it is small */
		return max <= 16 << 20 ? max - (op->a >> 8) % (4 * page_bytes) :
					 1;
	case 6:
	case 7:
		return 1 + (op->a >> 8) % 16;
	case 8:
	case 9:
		return page_bytes - 1 + (op->a >> 8) % 3;
	default:
		return 1 + (op->a >> 8) % small;
	}
}

void op_setup(const struct op *op)
{
	static const uint32_t odd[] = { 0, K2U_BACKING_ANY, K2U_BACKINGS + 1,
					1u << 31, UINT32_MAX };
	static const int32_t nodes[] = { 0,    1,    -2,	63,	  64,
					 1023, 1024, INT32_MAX, INT32_MIN };
	struct k2u_setup setup = {
		.size = setup_size(op),
		.backing = op->b & 1  ? K2U_BACKING_CONTIG :
			   op->b & 4  ? K2U_BACKING_VMALLOC :
			   op->b & 8  ? K2U_BACKING_PAGES :
			   op->b & 16 ? K2U_BACKING_DMA :
					K2U_BACKING_HUGE,
		.node = K2U_NODE_ANY,
		.flags = op->b & 2 ? K2U_SETUP_FILL : 0,
		.seed = op->c,
	};
	const struct slot *s = &slots[op->slot];
	struct file *f = s->file;
	struct expect e = { 0 };
	uint64_t bytes;
	bool whole;

	if ((op->b >> 8) % 48 == 0)
		setup.backing = odd[(op->b >> 16) % ARRAY_SIZE(odd)];
	if ((op->b >> 8) % 48 == 1)
		setup.cache = (uint32_t)(op->b >> 16);
	if ((op->b >> 8) % 48 == 2)
		setup.flags = (uint32_t)(op->b >> 16);
	if ((op->b >> 8) % 48 >= 45)
		setup.node = nodes[(op->b >> 16) % ARRAY_SIZE(nodes)];
	whole = setup.backing == K2U_BACKING_CONTIG ||
		setup.backing == K2U_BACKING_DMA;
	/* The model knows of no PMD leaf */
	if (setup.backing == K2U_BACKING_HUGE && setup.size <= bounds.max_bytes)
		setup.size %= bounds.pmd_size;
	must(&e, set_reserved(op, setup.reserved, sizeof(setup.reserved)),
	     EINVAL);
	must(&e, setup.flags & ~K2U_SETUP_FILL, EINVAL);
	must(&e, f && f->size, EBUSY);
	must(&e,
	     !setup.backing || setup.backing & (setup.backing - 1) ||
		     setup.backing & ~K2U_BACKINGS,
	     EINVAL);
	must(&e, !setup.size || setup.cache > K2U_CACHE_UC, EINVAL);
	must(&e, setup.node < -1, EINVAL);
	must(&e, setup.node > 0, EINVAL); /* a guest has one node */
	must(&e, setup.size > bounds.max_bytes, EFBIG);
	must(&e,
	     setup.backing == K2U_BACKING_DMA && setup.cache != K2U_CACHE_WB,
	     EINVAL);
	must(&e, whole && setup.size > bounds.max_contig_bytes, EFBIG);
	bytes = taken(setup.backing, setup.size);
	must(&e, used_bytes() + bytes > bounds.max_bytes, ENOMEM);
	if (whole && bytes > 8 * page_bytes)
		may(&e, ENOMEM); /* memory may be in pieces */
	if (setup.backing == K2U_BACKING_HUGE)
		may(&e, ENOMEM);
	if (f && !f->size &&
	    !e.n) { /* or check_created() takes it for a default one */
		struct file before = *f;

		buffer_new(f, setup.size, setup.backing);
		if (setup.flags & K2U_SETUP_FILL)
			buffer_fill(f, setup.seed);
		if (!ioctl_at(op, &e, "ioctl (SETUP)", K2U_IOC_SETUP, &setup,
			      sizeof(setup), false))
			*f = before;
	} else {
		ioctl_at(op, &e, "ioctl (SETUP)", K2U_IOC_SETUP, &setup,
			 sizeof(setup), false);
	}
	check_counters(s);
}

void op_fill(const struct op *op)
{
	const struct slot *s = &slots[op->slot];
	struct k2u_fill fill = { .seed = op->a };
	struct expect e = { 0 };
	struct file *f = s->file;

	must(&e, set_reserved(op, fill.reserved, sizeof(fill.reserved)),
	     EINVAL);
	must(&e, f && !f->writable, EBADF);
	must(&e,
	     f && !f->size &&
		     used_bytes() + bounds.default_bytes > bounds.max_bytes,
	     ENOMEM);
	if (ioctl_at(op, &e, "ioctl (FILL)", K2U_IOC_FILL, &fill, sizeof(fill),
		     false))
		buffer_fill(f, fill.seed);
}

void op_checksum(const struct op *op)
{
	const struct slot *s = &slots[op->slot];
	struct k2u_checksum sum = { .hash = op->a };
	const struct file *f = s->file;
	const uint64_t size = !f ? 0 : f->size ? f->size : bounds.default_bytes;
	struct expect e = { 0 };
	uint64_t hash = 0, word;

	sum.offset = op->b % 4 ? op->c % (size + 8) / 8 * 8 : op->c;
	sum.size = op->b % 8 ? (sum.offset < size ? size - sum.offset : 0) :
			       op->d;
	if (op->b % 8 < 6 && sum.size)
		sum.size -= op->d % sum.size;
	must(&e, set_reserved(op, sum.reserved, sizeof(sum.reserved)), EINVAL);
	must(&e,
	     sum.offset % 8 || sum.offset > size ||
		     sum.size > size - sum.offset,
	     EINVAL);
	must(&e, f && !f->size && used_bytes() + size > bounds.max_bytes,
	     ENOMEM);
	if (!ioctl_at(op, &e, "ioctl (CHECKSUM)", K2U_IOC_CHECKSUM, &sum,
		      sizeof(sum), true) ||
	    !modelled(f))
		return;
	for (uint64_t i = 0; i < sum.size; i += 8) {
		word = 0;
		memcpy(&word, shadow(f) + sum.offset + i,
		       sum.size - i < 8 ? sum.size - i : 8);
		hash = k2u_hash(hash, word);
	}
	if (sum.hash != hash)
		wrong("checksum of %llu bytes at %llu: %#llx, expected %#lx",
		      sum.size, sum.offset, sum.hash, hash);
}

static uint64_t flags_expected(const struct vma *v)
{
	uint64_t flags = K2U_VMA_DONTEXPAND | K2U_VMA_DONTDUMP;

	flags |= v->prot & PROT_READ ? K2U_VMA_READ : 0;
	flags |= v->prot & PROT_WRITE ? K2U_VMA_WRITE : 0;
	flags |= v->shared ? K2U_VMA_SHARED : 0;
	flags |= v->maywrite ? K2U_VMA_MAYWRITE : 0;
	flags |= v->dontcopy ? K2U_VMA_DONTCOPY : 0;
	flags |= is_pfn(v->method) ? K2U_VMA_PFNMAP | K2U_VMA_IO : 0;
	flags |= is_mixed(v->method) ? K2U_VMA_MIXEDMAP : 0;
	return flags;
}

void op_inspect(const struct op *op)
{
	const struct slot *s = &slots[op->slot];
	struct k2u_inspect i = { .addr = (uint64_t)arena_at(op->at),
				 .size = op->n * page_bytes };
	const struct vma *v = range_vma(op->at, op->n);
	const uint64_t pages = op->n;
	struct expect e = { 0 };
	bool all_absent;

	switch (op->a % 24) {
	case 0:
		i.addr += 1 + op->b % (page_bytes - 1);
		break;
	case 1:
		i.size = 0;
		break;
	case 2:
		i.size = UINT64_MAX - op->b % (2 * page_bytes);
		break;
	case 3:
		i.addr = -page_bytes * (op->b % 8);
		break;
	case 4:
		i.addr = 1ULL << (12 + op->b % 52);
		break;
	case 5:
		i.addr = (uint64_t)scratch;
		break;
	case 6: /* rounded up */
		i.size -= op->b % page_bytes;
		break;
	}
	must(&e, set_reserved(op, i.reserved, sizeof(i.reserved)), EINVAL);
	must(&e, !i.size || i.addr % page_bytes, EINVAL);
	must(&e,
	     i.addr != (uint64_t)arena_at(op->at) || i.size > 1ULL << 47 ||
		     !v || (s->file && v->file != s->file),
	     EFAULT);
	if (!ioctl_at(op, &e, "ioctl (INSPECT)", K2U_IOC_INSPECT, &i, sizeof(i),
		      true))
		return;
	all_absent = i.absent_pages == pages;
	if (i.method != v->method || i.vma_flags != flags_expected(v) ||
	    i.pte_pages + i.pmd_pages + i.pud_pages + i.absent_pages != pages ||
	    i.writable_pages > (v->prot & PROT_WRITE ? pages : 0) ||
	    (is_empty(v->method) && i.absent_pages != pages) ||
	    (is_pfn(v->method) && !faults_in(v->method) && i.absent_pages) ||
	    all_absent == !!i.first_pfn)
		wrong("inspect: method %u, flags %#llx, pages %llu + %llu + %llu, %llu absent, %llu writable, pfn %#llx; expected method %u, flags %#lx, %lu pages",
		      i.method, i.vma_flags, i.pte_pages, i.pmd_pages,
		      i.pud_pages, i.absent_pages, i.writable_pages,
		      i.first_pfn, v->method, flags_expected(v), pages);
}

void op_info(const struct op *op)
{
	const struct slot *s = &slots[op->slot];
	const struct file *f = s->file;
	struct k2u_info info = { .size = op->a }, want = bounds;
	struct expect e = { 0 };

	must(&e, set_reserved(op, info.reserved, sizeof(info.reserved)),
	     EINVAL);
	if (!ioctl_at(op, &e, "ioctl (INFO)", K2U_IOC_INFO, &info, sizeof(info),
		      true))
		return;
	want.used_bytes = used_bytes();
	want.size = f->size;
	want.backing = f->backing;
	want.node = f->size ? 0 : K2U_NODE_ANY;
	if (memcmp(&info, &want, sizeof(info)))
		wrong("info: size %llu, backing %u, node %d, used %llu; expected size %llu, backing %u, used %llu, and the rest as at the start",
		      info.size, info.backing, info.node, info.used_bytes,
		      want.size, want.backing, want.used_bytes);
}

/* What is no command of the device, but looks like one */
void op_ioctl(const struct op *op)
{
	static const unsigned long known[] = {
		K2U_IOC_SETUP,	  K2U_IOC_FILL,	   K2U_IOC_CHECKSUM,
		K2U_IOC_COUNTERS, K2U_IOC_INSPECT, K2U_IOC_INFO,
		K2U_IOC_COPY,	  K2U_IOC_METHOD,  K2U_IOC_EXPORT,
		K2U_IOC_STREAM
	};
	unsigned long cmd = known[op->a % ARRAY_SIZE(known)];
	struct expect e = { 0 };
	char arg[128] = { 0 };

	if (op->b % 4 == 0)
		cmd = _IOC(op->a % 4, K2U_IOC_MAGIC,
			   ARRAY_SIZE(known) + (op->a >> 8) % 249,
			   (op->a >> 16) % 256);
	else
		cmd ^= 1UL << (op->b % 4 == 1 ? 30 + (op->b >> 8) % 2 :
						(op->b >> 8) % 30);
	for (unsigned int i = 0; i < ARRAY_SIZE(known); i++)
		if (cmd == known[i])
			return;
	must(&e, !slots[op->slot].file, EBADF);
	must(&e, true, ENOTTY);
	judge(&e, "ioctl (no command)",
	      CALL(ioctl, slots[op->slot].fd, cmd,
		   op->c & 1 ? (void *)op->c : arg));
}

// SPDX-License-Identifier: GPL-2.0
/* A mapping moved, split, advised, locked and registered. */
#include <linux/userfaultfd.h>
#include <sys/syscall.h>

#include "hostile.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

/*
 * mremap() of what maps the buffer's bytes from at on: if it succeeds, they are
 * what they were. Returns what it returned.
 */
static char *try_mremap(const struct hostile *h, const char *op, char *from,
			size_t at, size_t old_len, size_t new_len, int flags,
			char *to)
{
	char *p = mremap(from, old_len, new_len, flags, to);

	expect(h, op, p == MAP_FAILED ? errno : 0);
	if (p != MAP_FAILED)
		check(hostile_pattern(h, p, at,
				      new_len < old_len ? new_len : old_len));
	return p;
}

HOSTILE(mremap)
{
	const size_t page = h->page, len = h->len;
	char *p = hostile_map(h, PROT_READ), *q, *to;

	try_mremap(h, "grow", p, 0, len, len + page, 0, NULL);
	try_mremap(h, "grow_move", p, 0, len, len + page, MREMAP_MAYMOVE, NULL);
	try_mremap(h, "grow_4g", p, 0, len, 1UL << 32, MREMAP_MAYMOVE, NULL);
	try_mremap(h, "grow_part", p + len - page, len - page, page, 2 * page,
		   MREMAP_MAYMOVE, NULL);
	/* old_size 0 duplicates a shared mapping */
	try_mremap(h, "duplicate", p, 0, 0, page, MREMAP_MAYMOVE, NULL);
	try_mremap(h, "duplicate_past_end", p, 0, 0, len + page, MREMAP_MAYMOVE,
		   NULL);
	try_mremap(h, "new_0", p, 0, len, 0, MREMAP_MAYMOVE, NULL);
	try_mremap(h, "unaligned", p + 1, 0, page, page, MREMAP_MAYMOVE, NULL);
	try_mremap(h, "unknown_flag", p, 0, page, page, 64, NULL);
	try_mremap(h, "past_end", p, 0, len + page, len + 2 * page,
		   MREMAP_MAYMOVE, NULL);
	try_mremap(h, "old_max", p, 0, -page, page, MREMAP_MAYMOVE, NULL);
	try_mremap(h, "new_max", p, 0, len, -page, MREMAP_MAYMOVE, NULL);
	try_mremap(h, "same", p, 0, len, len, 0, NULL);
	check(hostile_vmas(h) == 1);

	/* VM_DONTEXPAND, and with it DONTUNMAP's second VMA, is refused */
	q = mremap(p, len, len, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
	expect(h, "dontunmap", q == MAP_FAILED ? errno : 0);
	if (q != MAP_FAILED)
		hostile_unmap(h, q, len);

	try_mremap(h, "fixed_onto_itself", p, 0, len, len,
		   MREMAP_MAYMOVE | MREMAP_FIXED, p + page);
	to = hostile_anon(h, len, PROT_NONE);
	q = try_mremap(h, "move", p, 0, len, len, MREMAP_MAYMOVE | MREMAP_FIXED,
		       to);
	p = q == MAP_FAILED ? p : q;
	check(hostile_vmas(h) == 1);
	try_mremap(h, "shrink", p, 0, len, len - 2 * page, 0, NULL);
	check(hostile_vmas(h) == 1);
	/* a page from the middle goes elsewhere, and three VMAs are left */
	to = hostile_anon(h, page, PROT_NONE);
	try_mremap(h, "move_middle", p + page, page, page, page,
		   MREMAP_MAYMOVE | MREMAP_FIXED, to);
	check(hostile_vmas(h) == 3);
	check(hostile_pattern(h, p, 0, page));
	check(hostile_pattern(h, p + 2 * page, 2 * page, page));
	hostile_unmap(h, to, page);
	try_mremap(h, "grow_into_hole", p, 0, page, 2 * page, 0, NULL);
	/* two VMAs and the hole between them */
	to = hostile_anon(h, len, PROT_NONE);
	q = mremap(p, 3 * page, 3 * page, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	expect(h, "move_two", q == MAP_FAILED ? errno : 0);
	hostile_unmap(h, to, len);
	hostile_unmap(h, p, len - 2 * page);
	check(hostile_vmas(h) == 0);
}

/* Split by munmap and mprotect at every place: each piece counts once. */
HOSTILE(split)
{
	const size_t page = h->page, len = h->len;

	for (size_t at = 0; at < len; at += page) {
		char *p = hostile_map(h, PROT_READ);
		const unsigned int inner = at && at < len - page;

		hostile_unmap(h, p + at, page);
		check(hostile_vmas(h) == 1 + inner);
		check(hostile_pattern(h, p, 0, at));
		check(hostile_pattern(h, p + at + page, at + page,
				      len - at - page));
		if (at)
			expect(h, "touch_hole",
			       hostile_touch(h, p + at, page, false));
		hostile_unmap(h, p, len);
		check(hostile_vmas(h) == 0);

		p = hostile_map(h, PROT_READ);
		expect(h, "mprotect",
		       result(mprotect(p + at, page, PROT_READ | PROT_WRITE)));
		check(hostile_vmas(h) == 2 + inner);
		check(hostile_pattern(h, p, 0, len));
		check(!mprotect(p + at, page, PROT_READ));
		check(hostile_pattern(h, p, 0, len));
		check(!mprotect(p, len, PROT_NONE));
		hostile_unmap(h, p, len);
		check(hostile_vmas(h) == 0);
	}
	{
		char *p = hostile_map(h, PROT_READ);

		for (size_t at = page; at < len; at += 2 * page)
			hostile_unmap(h, p + at, page);
		check(hostile_vmas(h) == len / page / 2);
		for (size_t at = 0; at < len; at += 2 * page)
			check(hostile_pattern(h, p + at, at, page));
		hostile_unmap(h, p, len);
	}
}

/* Over another method's bytes, or past the end: as ->mmap says, and no other way. */
HOSTILE(remap_file_pages)
{
	const size_t page = h->page, len = h->len;
	const uint64_t base = K2U_MMAP_OFFSET(h->id);
	const uint64_t none = K2U_MMAP_OFFSET(ARRAY_SIZE(methods));
	const struct {
		const char *op;
		size_t len;
		uint64_t offset;
	} cases[] = {
		{ "last_page", page, base + len - page },
		{ "past_end", page, base + len },
		{ "fault", page, K2U_MMAP_OFFSET(K2U_METHOD_fault) },
		{ "read", page, K2U_MMAP_OFFSET(K2U_METHOD_read) },
		{ "no_method", page, none },
		{ "wraps", 2 * page, -(uint64_t)page },
		{ "whole_plus_page", len, base + page },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *p = hostile_map(h, PROT_READ | PROT_WRITE);
		int err = result(syscall(SYS_remap_file_pages, p, cases[i].len,
					 0, cases[i].offset / page, 0));

		expect(h, cases[i].op, err);
		if (!err && !strcmp(cases[i].op, "last_page"))
			check(hostile_pattern(h, p, len - page,
					      page / 8 * 8 > 1000 ? 1000 : 0));
		hostile_unmap(h, p, len);
		check(hostile_vmas(h) == 0);
	}
	{
		char *p = hostile_map(h, PROT_READ);

		expect(h, "prot",
		       result(syscall(SYS_remap_file_pages, p, page, PROT_WRITE,
				      0, 0)));
		hostile_unmap(h, p, len);
	}
}

static const struct {
	const char *op;
	int advice;
} advices[] = {
	{ "normal", 0 },
	{ "random", 1 },
	{ "sequential", 2 },
	{ "willneed", 3 },
	{ "dontneed", 4 },
	{ "unknown_7", 7 },
	{ "free", 8 },
	{ "remove", 9 },
	{ "dontfork", 10 },
	{ "dofork", 11 },
	{ "mergeable", 12 },
	{ "unmergeable", 13 },
	{ "hugepage", 14 },
	{ "nohugepage", 15 },
	{ "dontdump", 16 },
	{ "dodump", 17 },
	{ "wipeonfork", 18 },
	{ "keeponfork", 19 },
	{ "cold", 20 },
	{ "pageout", 21 },
	{ "populate_read", 22 },
	{ "populate_write", 23 },
	{ "dontneed_locked", 24 },
	{ "collapse", 25 },
	{ "unknown_99", 99 },
	/* 100 and 101 take a page from the machine: tried where it is refused */
	{ "hwpoison", 100 },
	{ "soft_offline", 101 },
	{ "guard_install", 102 },
	{ "guard_remove", 103 },
	{ "unknown_max", -1 },
};

/* Takes the entries away: only ->fault brings them back */
static bool drops(int advice)
{
	return advice == 4 || advice == 24;
}

/* Every advice there is: what it says, and the bytes are what they were. */
HOSTILE(madvise)
{
	for (size_t i = 0; i < ARRAY_SIZE(advices); i++) {
		const int advice = advices[i].advice;
		char *p;
		int err;

		if ((advice == 100 || advice == 101) && h->is & ROOT)
			continue;
		p = hostile_map(h, PROT_READ | PROT_WRITE);
		check(hostile_pattern(h, p, 0, h->len));
		err = result(madvise(p, h->len, advice));
		expect(h, advices[i].op, err);
		if (!err && drops(advice)) {
			expect(h, "touch_dropped",
			       hostile_touch(h, p, h->len, true));
		} else {
			check(hostile_pattern(h, p, 0, h->len));
			/* by a child, which has no such mapping after DONTFORK */
			expect(h,
			       advice == MADV_DONTFORK ? "touch_dontfork" :
							 "touch_after",
			       hostile_touch(h, p, h->len, true));
		}
		hostile_unmap(h, p, h->len);
		check(hostile_vmas(h) == 0);
	}
}

/* A page that DONTNEED drops comes back by a fault; a PFN mapping drops none. */
HOSTILE(dontneed)
{
	struct k2u_counters before = { 0 }, after = { 0 };
	char *p = hostile_map(h, PROT_READ);

	check(hostile_pattern(h, p, 0, h->len));
	need(!ioctl(h->fd, K2U_IOC_COUNTERS, &before));
	expect(h, "dontneed", result(madvise(p, h->len, MADV_DONTNEED)));
	expect(h, "touch", hostile_touch(h, p, h->len, false));
	need(!ioctl(h->fd, K2U_IOC_COUNTERS, &after));
	/* The child's: it inherits no entries, or those of the parent */
	check(after.faults - before.faults ==
	      (h->is & BACK ? faults_of(h->id, p, h->len) : 0));
	hostile_unmap(h, p, h->len);
}

HOSTILE(process_madvise)
{
	char *p = hostile_map(h, PROT_READ);
	struct iovec {
		void *base;
		size_t len;
	} v = { p, h->len };
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	const struct {
		const char *op;
		int advice;
	} a[] = { { "cold", 20 },
		  { "pageout", 21 },
		  { "willneed", 3 },
		  { "free", 8 },
		  { "collapse", 25 } };

	need(pidfd >= 0);
	check(hostile_pattern(h, p, 0, h->len));
	for (size_t i = 0; i < ARRAY_SIZE(a); i++) {
		expect(h, a[i].op,
		       result(syscall(440 /* process_madvise */, pidfd, &v, 1,
				      a[i].advice, 0)));
		check(hostile_pattern(h, p, 0, h->len));
	}
	hostile_unmap(h, p, h->len);
}

HOSTILE(lock)
{
	const size_t len = h->len;
	char *p = hostile_map(h, PROT_READ | PROT_WRITE);
	unsigned char vec[64];

	need(len / h->page < sizeof(vec));
	expect(h, "mincore", result(mincore(p, len, vec)));
	expect(h, "mlock2_onfault", result(syscall(SYS_mlock2, p, len, 1)));
	expect(h, "mlock2_unknown", result(syscall(SYS_mlock2, p, len, 2)));
	expect(h, "mlock", result(mlock(p, len)));
	expect(h, "msync_async", result(msync(p, len, MS_ASYNC)));
	expect(h, "msync_sync", result(msync(p, len, MS_SYNC)));
	expect(h, "msync_invalidate", result(msync(p, len, MS_INVALIDATE)));
	expect(h, "msync_both", result(msync(p, len, MS_SYNC | MS_ASYNC)));
	expect(h, "mincore_locked", result(mincore(p, len, vec)));
	expect(h, "munlock", result(munlock(p, len)));
	expect(h, "mlock_past_end", result(mlock(p, len + (1UL << 30))));
	expect(h, "mlock_wraps", result(mlock(p, -(size_t)p)));
	check(hostile_pattern(h, p, 0, len));
	hostile_unmap(h, p, len);

	/* Mappings to come are locked, that is populated, at mmap() */
	if (mlockall(MCL_FUTURE) == 0) {
		p = hostile_map(h, PROT_READ | PROT_WRITE);
		check(hostile_pattern(h, p, 0, len));
		hostile_unmap(h, p, len);
		munlockall();
	}
}

HOSTILE(userfaultfd)
{
	struct uffdio_api api = { .api = UFFD_API };
	char *p = hostile_map(h, PROT_READ | PROT_WRITE);
	const struct {
		const char *op;
		uint64_t mode;
	} modes[] = { { "missing", 1 }, { "wp", 2 }, { "minor", 4 } };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	expect(h, "create", fd < 0 ? errno : 0);
	if (fd < 0) /* user-mode faults only: unprivileged since 5.11 */
		fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | 1);
	if (fd >= 0) {
		need(!ioctl(fd, UFFDIO_API, &api));
		for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
			struct uffdio_register r = { .range = { (uintptr_t)p,
								h->len },
						     .mode = modes[i].mode };

			expect(h, modes[i].op,
			       result(ioctl(fd, UFFDIO_REGISTER, &r)));
		}
		close(fd);
	}
	check(hostile_pattern(h, p, 0, h->len));
	hostile_unmap(h, p, h->len);
}

/* Memory policy and migration of what is no memory of the process's own */
HOSTILE(numa)
{
	char *p = hostile_map(h, PROT_READ | PROT_WRITE);
	unsigned long node0 = 1;
	void *pages[1] = { p };
	int nodes[1] = { 0 }, status[1] = { 1 };

	check(hostile_pattern(h, p, 0, h->len));
	expect(h, "mbind",
	       result(syscall(SYS_mbind, p, h->len, 2 /* BIND */, &node0,
			      8 * sizeof(node0), 0)));
	expect(h, "mbind_move",
	       result(syscall(SYS_mbind, p, h->len, 2, &node0,
			      8 * sizeof(node0), 2)));
	expect(h, "mbind_strict",
	       result(syscall(SYS_mbind, p, h->len, 2, &node0,
			      8 * sizeof(node0), 1)));
	expect(h, "move_pages",
	       result(syscall(SYS_move_pages, 0, 1, pages, nodes, status, 2)));
	expect(h, "move_pages_status", status[0] < 0 ? -status[0] : status[0]);
	expect(h, "migrate_pages",
	       result(syscall(SYS_migrate_pages, 0, 8 * sizeof(node0), &node0,
			      &node0)));
	check(hostile_pattern(h, p, 0, h->len));
	hostile_unmap(h, p, h->len);
}

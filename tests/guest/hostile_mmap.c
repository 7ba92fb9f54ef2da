// SPDX-License-Identifier: GPL-2.0
/* mmap() and mprotect() with everything that must be refused. */
#include <sys/personality.h>

#include "hostile.h"

#ifndef MAP_SYNC
#define MAP_SYNC 0x80000
#endif

/* Every boundary of offset and length; no file has a VMA more for any of it. */
HOSTILE(bounds)
{
	const uint64_t page = h->page, size = h->size, len = h->len;
	const struct {
		const char *op;
		uint64_t offset, len;
	} ranges[] = {
		{ "whole", 0, len },
		{ "len_1", 0, 1 },
		{ "len_page_minus_1", 0, page - 1 },
		{ "len_size", 0, size },
		{ "len_size_plus_1", 0, size + 1 },
		{ "last_page", len - page, page },
		{ "len_0", 0, 0 },
		{ "len_plus_1", 0, len + 1 },
		{ "len_plus_page", 0, len + page },
		{ "len_2g", 0, 1ULL << 31 },
		{ "len_4g", 0, 1ULL << 32 },
		{ "len_1t", 0, 1ULL << 40 },
		{ "len_2e63", 0, 1ULL << 63 },
		{ "len_max", 0, UINT64_MAX },
		{ "len_max_page", 0, -page },
		{ "offset_1", 1, page },
		{ "offset_page_minus_1", page - 1, page },
		{ "last_page_plus_1", len - page, page + 1 },
		{ "offset_page_whole", page, len },
		{ "offset_len", len, page },
		{ "offset_len_plus_page", len + page, page },
		{ "offset_2g", 1ULL << 31, page },
		{ "offset_4g", 1ULL << 32, page },
		{ "offset_4g_minus_page", (1ULL << 32) - page, page },
		{ "offset_1t_minus_page", (1ULL << 40) - page, page },
		/* its second page is the next method's first */
		{ "across_methods", (1ULL << 40) - page, 2 * page },
	};

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		int err;
		char *p = hostile_mmap(h, h->fd, ranges[i].offset,
				       ranges[i].len, PROT_READ, MAP_SHARED,
				       &err);

		expect(h, ranges[i].op, err);
		check(hostile_vmas(h) == !err);
		if (!err)
			hostile_unmap(h, p, ranges[i].len);
	}
}

/* Offsets of no method, up to the last that there is. */
HOSTILE(no_method)
{
	const uint64_t nr = ARRAY_SIZE(methods), page = h->page;
	const struct {
		const char *op;
		uint64_t offset;
	} offsets[] = {
		{ "next", K2U_MMAP_OFFSET(nr) },
		{ "next_last_page", K2U_MMAP_OFFSET(nr + 1) - page },
		{ "method_255", K2U_MMAP_OFFSET(255) },
		{ "method_256", K2U_MMAP_OFFSET(256) },
		{ "method_65536", K2U_MMAP_OFFSET(65536) },
		{ "offset_2e63_minus_page", (1ULL << 63) - page },
		{ "method_2e23", K2U_MMAP_OFFSET(1ULL << 23) },
		{ "method_2e24_minus_1", K2U_MMAP_OFFSET((1ULL << 24) - 1) },
		{ "offset_max", -page },
	};

	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		void *p = mmap(NULL, page, PROT_READ, MAP_SHARED, h->fd,
			       (off_t)offsets[i].offset);

		expect(h, offsets[i].op, p == MAP_FAILED ? errno : 0);
		check(hostile_vmas(h) == 0);
	}
}

HOSTILE(flags)
{
	const struct {
		const char *op;
		int flags;
	} flags[] = {
		{ "shared", MAP_SHARED },
		{ "validate", MAP_SHARED_VALIDATE },
		{ "validate_unknown", MAP_SHARED_VALIDATE | 1 << 30 },
		{ "sync", MAP_SHARED_VALIDATE | MAP_SYNC },
		{ "no_type", 0 },
		{ "type_8", 8 },
		{ "hugetlb", MAP_SHARED | MAP_HUGETLB },
		{ "growsdown", MAP_SHARED | MAP_GROWSDOWN },
		{ "locked", MAP_SHARED | MAP_LOCKED },
		{ "populate", MAP_SHARED | MAP_POPULATE },
		{ "nonblock", MAP_SHARED | MAP_POPULATE | MAP_NONBLOCK },
		{ "noreserve", MAP_SHARED | MAP_NORESERVE },
		{ "stack", MAP_SHARED | MAP_STACK },
	};
	int err;
	char *p, *q;

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		p = hostile_mmap(h, h->fd, 0, h->len, PROT_READ | PROT_WRITE,
				 flags[i].flags, &err);
		expect(h, flags[i].op, err);
		check(hostile_vmas(h) == !err);
		if (err)
			continue;
		check(hostile_pattern(h, p, 0, h->len));
		hostile_unmap(h, p, h->len);
	}

	/* Over itself, over a part of itself, and where it is already */
	p = hostile_map(h, PROT_READ);
	q = mmap(p, h->len, PROT_READ, MAP_SHARED | MAP_FIXED, h->fd,
		 (off_t)K2U_MMAP_OFFSET(h->id));
	expect(h, "fixed", q == MAP_FAILED ? errno : 0);
	check(hostile_vmas(h) == 1);
	q = mmap(p + h->page, h->page, PROT_READ, MAP_SHARED | MAP_FIXED, h->fd,
		 (off_t)K2U_MMAP_OFFSET(h->id));
	expect(h, "fixed_part", q == MAP_FAILED ? errno : 0);
	check(hostile_pattern(h, p + h->page, 0, h->page));
	check(hostile_pattern(h, p + 2 * h->page, 2 * h->page, h->page));
	q = mmap(p, h->len, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, h->fd,
		 (off_t)K2U_MMAP_OFFSET(h->id));
	expect(h, "noreplace", q == MAP_FAILED ? errno : 0);
	/* A refused one over itself: no VMA is left of the pages it covers */
	q = mmap(p, h->len, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED,
		 h->fd, (off_t)K2U_MMAP_OFFSET(h->id));
	expect(h, "fixed_refused", q == MAP_FAILED ? errno : 0);
	munmap(p, h->len);
	check(hostile_vmas(h) == 0);
}

/* MAP_PRIVATE: a copy on write, or refused; never the buffer's own page. */
HOSTILE(private)
{
	const int private = MAP_PRIVATE;
	const uint64_t hash = hostile_hash(h, h->ro);
	const struct {
		const char *op;
		int fd, prot, flags;
		size_t len;
	} cases[] = {
		{ "read", h->fd, PROT_READ, private, h->len },
		{ "write", h->fd, PROT_READ | PROT_WRITE, private, h->len },
		{ "write_page", h->fd, PROT_READ | PROT_WRITE, private,
		  h->page },
		{ "write_readonly_file", h->ro, PROT_READ | PROT_WRITE, private,
		  h->len },
		{ "write_populate", h->fd, PROT_READ | PROT_WRITE,
		  private | MAP_POPULATE, h->len },
		{ "growsdown", h->fd, PROT_READ | PROT_WRITE,
		  private | MAP_GROWSDOWN, h->len },
		{ "locked", h->fd, PROT_READ | PROT_WRITE, private | MAP_LOCKED,
		  h->len },
	};
	int err;
	char *p;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		p = hostile_mmap(h, cases[i].fd, 0, cases[i].len, cases[i].prot,
				 cases[i].flags, &err);
		expect(h, cases[i].op, err);
		if (err)
			continue;
		check(hostile_pattern(h, p, 0, cases[i].len));
		if (h->is & BYTES && cases[i].prot & PROT_WRITE) {
			for (size_t at = 0; at < cases[i].len; at += h->page)
				p[at] ^= 0x55;
			check(hostile_hash(h, cases[i].fd) == hash);
		}
		hostile_unmap(h, p, cases[i].len);
	}

	/* Made writable later */
	p = hostile_mmap(h, h->fd, 0, h->len, PROT_READ, MAP_PRIVATE, &err);
	expect(h, "none_then_write", err);
	if (!err) {
		check(hostile_pattern(h, p, 0, h->len));
		expect(h, "mprotect_write",
		       result(mprotect(p, h->len, PROT_READ | PROT_WRITE)));
		expect(h, "touch_write", hostile_touch(h, p, h->len, true));
		expect(h, "mprotect_exec",
		       result(mprotect(p, h->len, PROT_READ | PROT_EXEC)));
		hostile_unmap(h, p, h->len);
	} else {
		/* so that every line is asked for on every row that has it */
		check(hostile_vmas(h) == 0);
	}
}

/* A read-only file gives no way to write, a mapping none to execute. */
HOSTILE(protection)
{
	const int w = PROT_READ | PROT_WRITE, x = PROT_READ | PROT_EXEC;
	const struct {
		const char *op;
		int fd, prot;
	} maps[] = {
		{ "exec", h->fd, x },
		{ "exec_only", h->fd, PROT_EXEC },
		{ "write_exec", h->fd, w | PROT_EXEC },
		{ "readonly_file", h->ro, PROT_READ },
		{ "readonly_file_none", h->ro, PROT_NONE },
		{ "readonly_file_write", h->ro, w },
		{ "readonly_file_write_only", h->ro, PROT_WRITE },
		{ "readonly_file_exec", h->ro, x },
		{ "writeonly_file_read", h->wo, PROT_READ },
		{ "writeonly_file_write", h->wo, PROT_WRITE },
		{ "writeonly_file_none", h->wo, PROT_NONE },
	};
	const struct {
		const char *op;
		int fd, first, then;
	} changes[] = {
		{ "then_write", h->fd, PROT_READ, w },
		{ "none_then_write", h->fd, PROT_NONE, w },
		{ "then_exec", h->fd, PROT_READ, x },
		{ "write_then_exec", h->fd, w, w | PROT_EXEC },
		{ "none_then_exec", h->fd, PROT_NONE, PROT_EXEC },
		{ "readonly_file_then_write", h->ro, PROT_READ, w },
		{ "readonly_file_then_write_only", h->ro, PROT_READ,
		  PROT_WRITE },
		{ "readonly_file_none_then_write", h->ro, PROT_NONE, w },
		{ "readonly_file_then_exec", h->ro, PROT_READ, x },
	};
	int err;
	char *p;

	for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
		p = hostile_mmap(h, maps[i].fd, 0, h->len, maps[i].prot,
				 MAP_SHARED, &err);
		expect(h, maps[i].op, err);
		if (!err)
			hostile_unmap(h, p, h->len);
	}
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		p = hostile_mmap(h, changes[i].fd, 0, h->len, changes[i].first,
				 MAP_SHARED, &err);
		need(!err);
		expect(h, changes[i].op,
		       result(mprotect(p, h->len, changes[i].then)));
		hostile_unmap(h, p, h->len);
	}

	/* The personality that turns PROT_READ into PROT_EXEC */
	need(personality(READ_IMPLIES_EXEC) >= 0);
	p = hostile_mmap(h, h->fd, 0, h->len, PROT_READ, MAP_SHARED, &err);
	expect(h, "read_implies_exec", err);
	need(personality(PER_LINUX) >= 0);
	p = hostile_map(h, PROT_READ);
	need(personality(READ_IMPLIES_EXEC) >= 0);
	expect(h, "read_implies_exec_later",
	       result(mprotect(p, h->len, PROT_READ | PROT_WRITE)));
	need(personality(PER_LINUX) >= 0);
	hostile_unmap(h, p, h->len);
	/* A write where only reads are mapped is a signal */
	p = hostile_map(h, PROT_READ);
	expect(h, "touch_read", hostile_touch(h, p, h->len, false));
	expect(h, "touch_write", hostile_touch(h, p, h->len, true));
	expect(h, "touch_end",
	       hostile_touch(h, p + h->len - h->page, h->page, false));
	hostile_unmap(h, p, h->len);
}

/* A fresh buffer has nobody's bytes, and neither has the tail of its last page. */
HOSTILE(zeroed)
{
	static const char zero[4096];
	int err, dirty;
	char *p;

	/* Pages that somebody has written are what the next buffer gets */
	for (int i = 1; i < NR_FRESH; i++) {
		struct k2u_setup setup = { .size = 16 * h->len,
					   .backing = h->backing,
					   .node = K2U_NODE_ANY,
					   .flags = K2U_SETUP_FILL,
					   .seed = SEED };

		need(!ioctl(h->fresh[i], K2U_IOC_SETUP, &setup));
	}
	for (int i = 1; i < NR_FRESH; i++)
		need(!close(h->fresh[i]));

	dirty = hostile_setup(h->fresh[0], h->backing, h->size);
	need(!dirty);
	p = hostile_mmap(h, h->fresh[0], 0, h->len, PROT_READ, MAP_SHARED,
			 &err);
	need(!err);
	for (size_t at = 0; h->is & BYTES && at < h->len; at += sizeof(zero))
		check(!memcmp(p + at, zero, sizeof(zero)));
	hostile_unmap(h, p, h->len);

	p = malloc(h->len);
	need(p);
	need(pread(h->fresh[0], p, h->len, 0) == (ssize_t)h->size);
	for (size_t at = 0; at < h->size; at++)
		if (p[at]) {
			complain(h, __LINE__, "byte %zu read is 0", at);
			break;
		}
	free(p);
}

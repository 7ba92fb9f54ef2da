// SPDX-License-Identifier: GPL-2.0
/* capability_mm.c - memory management calls on a mapping. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capability.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1; not in glibc 2.36 */
#endif

/* The usual end: the call succeeded, and the bytes are still there */
static void check_same(struct cap *c, const char *p, size_t len)
{
	cap_stage(c, "it succeeded; then a load");
	cap_verdict(c, cap_same(c, p, len), "yes",
		    "it succeeded but the bytes are not the buffer's");
}

/* ---- mmap ---- */

void cap_map_private(struct cap *c)
{
	char *other = cap_other_bytes(c);

	if (!cap_map(c, PROT_READ | PROT_WRITE, MAP_PRIVATE))
		return;
	cap_stage(c, "mmap succeeded; then a store");
	if (!cap_same(c, c->addr, c->buf.size)) {
		cap_say(c, "wrong", "a private mapping has other bytes");
		return;
	}
	memcpy(c->addr, other, c->buf.size);
	if (bytes_differ(c->addr, other, c->buf.size) >= 0)
		cap_say(c, "wrong", "a store is not seen where it was made");
	else if (!(c->src->flags & SOURCE_FRESH) &&
		 !cap_stored(c, c->buf.contents))
		cap_say(c, "no", "a private store is in the buffer");
	else
		cap_say(c, "yes", "stores stay private");
}

void cap_map_populate(struct cap *c)
{
	long n;

	/* Once before, so that our own code and data are there */
	if (!cap_map(c, PROT_READ, 0))
		return;
	cap_minor_faults();
	cap_touch(c, c->addr);
	munmap(cap_start(c), cap_len(c));
	if (!cap_map(c, PROT_READ, MAP_POPULATE))
		return;
	n = cap_minor_faults();
	cap_touch(c, c->addr);
	n = cap_minor_faults() - n;
	cap_say(c, n ? "no effect" : "yes", "%ld faults of %lu pages after it",
		n, c->buf.size / page_bytes());
}

static bool readonly(struct cap *c)
{
	int err;

	if (c->src->ops->fill && strcmp(c->src->provider, "k2u")) {
		cap_none(c, "a perf event's file is always open for writing");
		return false;
	}
	if (c->src->flags & SOURCE_FRESH) {
		cap_none(c, "there is no file");
		return false;
	}
	buffer_close(&c->buf);
	c->buf.readonly = true;
	err = buffer_open(&c->buf);
	errno = -err;
	if (err)
		cap_none(c, "no buffer on an O_RDONLY file: %m");
	return !err;
}

void cap_map_write_rdonly(struct cap *c)
{
	if (readonly(c) && cap_map(c, PROT_READ | PROT_WRITE, 0))
		cap_say(c, "yes", "a shared, writable mapping");
}

void cap_mprotect_write_rdonly(struct cap *c)
{
	if (!readonly(c) || !cap_map(c, PROT_READ, 0))
		return;
	if (mprotect(cap_start(c), cap_len(c), PROT_READ | PROT_WRITE)) {
		cap_errno(c, "mprotect");
		return;
	}
	cap_stage(c, "mprotect succeeded; then a store");
	*(volatile char *)c->addr = 1;
	cap_say(c, "yes", "mprotect; and a store");
}

/* ---- mprotect, mlock ---- */

void cap_mprotect_write(struct cap *c)
{
	char *other = cap_other_bytes(c);

	if (!cap_map(c, PROT_READ, 0))
		return;
	if (mprotect(cap_start(c), cap_len(c), PROT_READ | PROT_WRITE)) {
		cap_errno(c, "mprotect");
		return;
	}
	cap_stage(c, "mprotect succeeded; then a store");
	memcpy(c->addr, other, c->buf.size);
	cap_check_stored(c, other);
}

void cap_mprotect_exec(struct cap *c)
{
	char flags[128] = "";

	if (!cap_map(c, PROT_READ, 0))
		return;
	if (mprotect(cap_start(c), cap_len(c), PROT_READ | PROT_EXEC)) {
		cap_errno(c, "mprotect");
		return;
	}
	if (!smaps_field(cap_start(c), "VmFlags", flags, sizeof(flags)))
		cap_none(c, "mprotect succeeded; smaps has no VmFlags here");
	else
		cap_verdict(c, strstr(flags, "ex"), "yes",
			    "mprotect succeeded but smaps has no ex");
}

static uint64_t locked_kib(void)
{
	char text[64];

	return read_field("/proc/self/status", "VmLck", text, sizeof(text)) ?
		       strtoull(text, NULL, 10) :
		       0;
}

void cap_mlock(struct cap *c)
{
	uint64_t before = locked_kib(), grown;

	if (!cap_map(c, PROT_READ, 0))
		return;
	if (mlock(cap_start(c), cap_len(c))) {
		cap_errno(c, "mlock");
		return;
	}
	grown = (locked_kib() - before) * KIB;
	if (!cap_same(c, c->addr, c->buf.size))
		cap_say(c, "wrong", "the bytes are not the buffer's");
	else
		cap_say(c,
			grown == cap_len(c) ? "yes" :
			grown		    ? "partly" :
					      "no effect",
			"it succeeded; VmLck grew by %lu of %lu KiB",
			grown / KIB, cap_len(c) / KIB);
}

/* ---- fork ---- */

void cap_fork_inherit(struct cap *c)
{
	pid_t pid;
	int ended;

	if (!cap_map(c, PROT_READ, 0))
		return;
	pid = fork();
	if (!pid) {
		alarm(20);
		_exit(!cap_same(c, c->addr, c->buf.size));
	}
	ended = cap_wait(pid);
	if (ended < 0)
		cap_say(c, "no", "a load of the child ended with SIG%s",
			sigabbrev_np(-ended));
	else
		cap_verdict(c, !ended, "yes", "the child sees other bytes");
}

void cap_fork_write(struct cap *c)
{
	char *other = cap_other_bytes(c);
	pid_t pid;
	int ended;

	if (!cap_map(c, PROT_READ | PROT_WRITE, 0))
		return;
	pid = fork();
	if (!pid) {
		alarm(20);
		memcpy(c->addr, other, c->buf.size);
		_exit(bytes_differ(c->addr, other, c->buf.size) >= 0);
	}
	ended = cap_wait(pid);
	if (ended < 0)
		cap_say(c, "no", "a store of the child ended with SIG%s",
			sigabbrev_np(-ended));
	else if (ended)
		cap_say(c, "wrong", "the child does not see its own stores");
	else if (cap_same(c, c->addr, c->buf.size))
		cap_say(c, "no", "they stay the child's");
	else
		cap_check_stored(c, other);
}

/* ---- mremap ---- */

/* A free place for MREMAP_FIXED */
static char *elsewhere(const struct cap *c)
{
	return cap_place() + 64 * GIB - c->src->head;
}

void cap_mremap_move(struct cap *c)
{
	char *p;

	if (!cap_map(c, PROT_READ, 0))
		return;
	p = mremap(cap_start(c), cap_len(c), cap_len(c),
		   MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere(c));
	if (p == MAP_FAILED)
		cap_errno(c, "mremap");
	else
		check_same(c, p + c->src->head, c->buf.size);
}

void cap_mremap_shrink(struct cap *c)
{
	size_t half = c->src->head + c->buf.size / 2;
	char *p;

	if (!cap_map(c, PROT_READ, 0))
		return;
	p = mremap(cap_start(c), cap_len(c), half, 0);
	if (p == MAP_FAILED)
		cap_errno(c, "mremap");
	else
		check_same(c, p + c->src->head, c->buf.size / 2);
}

void cap_mremap_grow(struct cap *c)
{
	char *p;

	if (!cap_map(c, PROT_READ, 0))
		return;
	cap_touch(c, c->addr);
	p = mremap(cap_start(c), cap_len(c), c->src->head + 2 * c->buf.size,
		   MREMAP_MAYMOVE);
	if (p == MAP_FAILED) {
		cap_errno(c, "mremap");
		return;
	}
	p += c->src->head;
	if (!cap_same(c, p, c->buf.size)) {
		cap_say(c, "wrong", "the bytes are not the buffer's");
		return;
	}
	cap_stage(c, "it succeeded; then a load behind the end");
	(void)*(volatile char *)(p + c->buf.size);
	cap_say(c, "yes", "it can be loaded from behind the old end");
}

void cap_mremap_dontunmap(struct cap *c)
{
	char *p;

	if (!cap_map(c, PROT_READ, 0))
		return;
	cap_touch(c, c->addr);
	p = mremap(cap_start(c), cap_len(c), cap_len(c),
		   MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	if (p == MAP_FAILED)
		cap_errno(c, "mremap");
	else
		check_same(c, p + c->src->head, c->buf.size);
}

/* ---- madvise ---- */

/* Whether this kernel has the advice at all: plain memory takes it */
static bool has_advice(struct cap *c, int advice, const char *since)
{
	char *p = map_private(NULL, page_bytes());

	if (p == MAP_FAILED || !madvise(p, page_bytes(), advice) ||
	    errno != EINVAL)
		return true;
	cap_errno(c, since);
	return false;
}

static void populate(struct cap *c, int prot, int advice, const char *since)
{
	long n;

	if (!has_advice(c, advice, since) || !cap_map(c, prot, 0))
		return;
	cap_minor_faults();
	if (madvise(cap_start(c), cap_len(c), advice)) {
		cap_errno(c, "madvise");
		return;
	}
	n = cap_minor_faults();
	cap_touch(c, c->addr);
	n = cap_minor_faults() - n;
	if (!cap_same(c, c->addr, c->buf.size))
		cap_say(c, "wrong", "the bytes are not the buffer's");
	else
		cap_say(c, n > 1 ? "no effect" : "yes",
			"%ld faults of %lu pages after it", n,
			c->buf.size / page_bytes());
}

void cap_populate_read(struct cap *c)
{
	populate(c, PROT_READ, MADV_POPULATE_READ, "not known before 5.14");
}

void cap_populate_write(struct cap *c)
{
	populate(c, PROT_READ | PROT_WRITE, MADV_POPULATE_WRITE,
		 "not known before 5.14");
}

void cap_madv_dontneed(struct cap *c)
{
	size_t i;

	if (!cap_map(c, PROT_READ, 0))
		return;
	cap_touch(c, c->addr);
	if (madvise(cap_start(c), cap_len(c), MADV_DONTNEED)) {
		cap_errno(c, "madvise");
		return;
	}
	cap_stage(c, "madvise succeeded; then a load");
	if (cap_same(c, c->addr, c->buf.size)) {
		cap_say(c, "kept", "madvise succeeded");
		return;
	}
	for (i = 0; i < c->buf.size && !c->addr[i]; i++)
		;
	cap_say(c, i == c->buf.size ? "zero" : "wrong", "madvise succeeded");
}

/* Advice that is taken shows as hg */
void cap_madv_hugepage(struct cap *c)
{
	char flags[128] = "";

	if (!cap_map(c, PROT_READ | PROT_WRITE, 0))
		return;
	thp_allow(true);
	if (madvise(cap_start(c), cap_len(c), MADV_HUGEPAGE)) {
		cap_errno(c, "madvise");
		return;
	}
	smaps_field(cap_start(c), "VmFlags", flags, sizeof(flags));
	if (!cap_same(c, c->addr, c->buf.size))
		cap_say(c, "wrong", "the bytes are not the buffer's");
	else
		cap_say(c, strstr(flags, "hg") ? "accepted" : "no effect",
			"madvise succeeded; VmFlags %s", flags);
}

void cap_madv_collapse(struct cap *c)
{
	static const char *const field[] = { "AnonHugePages", "ShmemPmdMapped",
					     "FilePmdMapped" };
	uint64_t huge = 0;
	char text[64];
	size_t i;

	if (!cap_map(c, PROT_READ | PROT_WRITE, 0))
		return;
	cap_touch(c, c->addr);
	thp_allow(true);
	if (madvise(cap_start(c), cap_len(c), MADV_COLLAPSE)) {
		cap_errno(c, "madvise (known since 6.1)");
		return;
	}
	if (!cap_same(c, c->addr, c->buf.size)) {
		cap_say(c, "wrong", "the bytes are not the buffer's");
		return;
	}
	for (i = 0; i < ARRAY_SIZE(field); i++)
		if (smaps_field(cap_start(c), field[i], text, sizeof(text)))
			huge += strtoull(text, NULL, 10) * KIB;
	cap_say(c, huge ? "yes" : "no effect",
		"%lu of %lu KiB are mapped by PMDs now", huge / KIB,
		cap_len(c) / KIB);
}

/* ---- userfaultfd ---- */

/* Without the privilege only faults of user space can be handled */
static int open_userfaultfd(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		fd = syscall(SYS_userfaultfd,
			     O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	return fd >= 0 && ioctl(fd, UFFDIO_API, &api) ? -1 : fd;
}

/* The first page is taken out, and filled by UFFDIO_COPY */
void cap_userfaultfd(struct cap *c)
{
	char *other = cap_other_bytes(c);
	struct uffdio_register area = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_copy copy = { .src = (uintptr_t)other,
				    .len = page_bytes() };
	int fd = open_userfaultfd();

	if (fd < 0) {
		cap_none(c, "userfaultfd: %m");
		return;
	}
	if (!cap_map(c, PROT_READ | PROT_WRITE, 0))
		return;
	area.range.start = (uintptr_t)cap_start(c);
	area.range.len = cap_len(c);
	if (ioctl(fd, UFFDIO_REGISTER, &area)) {
		cap_errno(c, "UFFDIO_REGISTER");
		return;
	}
	if (c->buf.fd >= 0 &&
	    fallocate(c->buf.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		      c->buf.size)) {
		cap_errno(c, "registered; then a hole in the file");
		return;
	}
	madvise(cap_start(c), cap_len(c), MADV_DONTNEED);
	copy.dst = (uintptr_t)c->addr;
	if (ioctl(fd, UFFDIO_COPY, &copy)) {
		cap_errno(c, "registered; then UFFDIO_COPY");
		return;
	}
	cap_verdict(c, bytes_differ(c->addr, other, page_bytes()) < 0, "yes",
		    "UFFDIO_COPY succeeded but the bytes are others");
}

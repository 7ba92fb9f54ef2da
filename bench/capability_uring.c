// SPDX-License-Identifier: GPL-2.0
/*
 * capability_uring.c - a mapping as an io_uring fixed buffer. The three system
 * calls are made here, so that a guest needs no liburing.
 */
#include <errno.h>
#include <linux/io_uring.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "capability.h"

struct ring {
	int fd;
	struct io_uring_params p;
	char *sq, *cq;
	struct io_uring_sqe *sqe;
};

static void *map_ring(const struct ring *r, size_t len, off_t at)
{
	return mmap(NULL, len, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_POPULATE, r->fd, at);
}

static bool open_ring(struct ring *r)
{
	memset(r, 0, sizeof(*r));
	r->fd = syscall(SYS_io_uring_setup, 1, &r->p);
	if (r->fd < 0)
		return false;
	r->sq = map_ring(r, r->p.sq_off.array + r->p.sq_entries * 4,
			 IORING_OFF_SQ_RING);
	r->cq = map_ring(r,
			 r->p.cq_off.cqes +
				 r->p.cq_entries * sizeof(struct io_uring_cqe),
			 IORING_OFF_CQ_RING);
	r->sqe = map_ring(r, sizeof(*r->sqe), IORING_OFF_SQES);
	return r->sq != MAP_FAILED && r->cq != MAP_FAILED &&
	       r->sqe != MAP_FAILED;
}

/* One operation: its result, or -errno of io_uring_enter() */
static int submit(struct ring *r, const struct io_uring_sqe *sqe)
{
	unsigned int *array = (void *)(r->sq + r->p.sq_off.array);
	unsigned int *tail = (void *)(r->sq + r->p.sq_off.tail);
	unsigned int *head = (void *)(r->cq + r->p.cq_off.head);
	const struct io_uring_cqe *cqe = (void *)(r->cq + r->p.cq_off.cqes);

	r->sqe[0] = *sqe;
	array[0] = 0;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, r->fd, 1, 1, IORING_ENTER_GETEVENTS,
		    NULL, 0) < 0)
		return -errno;
	return cqe[*head & (r->p.cq_entries - 1)].res;
}

/* Registered, and written from to a file */
void cap_uring_fixed(struct cap *c)
{
	struct io_uring_sqe sqe = { .opcode = IORING_OP_WRITE_FIXED,
				    .len = c->buf.size };
	int fd = memfd_create("k2u-capability", MFD_CLOEXEC), res;
	char *got = map_private(NULL, c->buf.size);
	struct iovec iov = { .iov_len = c->buf.size };
	struct ring r;

	if (!open_ring(&r)) {
		cap_none(c, "io_uring_setup: %m%s",
			 errno == EPERM ? " (kernel.io_uring_disabled?)" : "");
		return;
	}
	if (fd < 0 || got == MAP_FAILED ||
	    !cap_map(c, PROT_READ | PROT_WRITE, 0))
		return;
	iov.iov_base = c->addr;
	if (syscall(SYS_io_uring_register, r.fd, IORING_REGISTER_BUFFERS, &iov,
		    1)) {
		cap_errno(c, "IORING_REGISTER_BUFFERS");
		return;
	}
	sqe.fd = fd;
	sqe.addr = (uintptr_t)c->addr;
	res = submit(&r, &sqe);
	if (res < 0) {
		errno = -res;
		cap_errno(c, "registered; then IORING_OP_WRITE_FIXED");
		return;
	}
	cap_verdict(c,
		    res == (int)c->buf.size &&
			    pread(fd, got, c->buf.size, 0) == res &&
			    cap_same(c, got, c->buf.size),
		    "yes",
		    "registered and written but the file has other bytes");
}

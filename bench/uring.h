/* SPDX-License-Identifier: GPL-2.0 */
/*
 * uring.h - an io_uring for one operation at a time. Its system calls are made
 * here, so that a guest needs no liburing. Functions return 0 or -errno.
 */
#ifndef URING_H
#define URING_H

#include <errno.h>
#include <linux/io_uring.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct ring {
	int fd;
	char *sq, *cq;
	size_t sq_len, cq_len, sqe_len;
	struct io_uring_sqe *sqe; /* the next one: to be written as a whole */
	const struct io_uring_cqe *cqe;
	unsigned int *sq_tail, *cq_head, *cq_tail, cq_mask;
};

static inline void *ring_map(const struct ring *r, size_t len, off_t at)
{
	return mmap(NULL, len, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_POPULATE, r->fd, at);
}

static inline void ring_close(struct ring *r)
{
	if (r->sq && r->sq != MAP_FAILED)
		munmap(r->sq, r->sq_len);
	if (r->cq && r->cq != MAP_FAILED)
		munmap(r->cq, r->cq_len);
	if (r->sqe && r->sqe != MAP_FAILED)
		munmap(r->sqe, r->sqe_len);
	close(r->fd);
	r->fd = -1;
}

/* flags: IORING_SETUP_SQE128 for commands, whose payload is behind the SQE, or 0 */
static inline int ring_open(struct ring *r, unsigned int flags)
{
	struct io_uring_params p = { .flags = flags };
	int err;

	memset(r, 0, sizeof(*r));
	r->fd = (int)syscall(SYS_io_uring_setup, 1, &p);
	if (r->fd < 0)
		return -errno;
	r->sq_len = p.sq_off.array + p.sq_entries * sizeof(unsigned int);
	r->cq_len = p.cq_off.cqes + p.cq_entries * sizeof(*r->cqe);
	r->sqe_len = sizeof(*r->sqe) << !!(flags & IORING_SETUP_SQE128);
	r->sq = ring_map(r, r->sq_len, IORING_OFF_SQ_RING);
	r->cq = ring_map(r, r->cq_len, IORING_OFF_CQ_RING);
	r->sqe = ring_map(r, r->sqe_len, IORING_OFF_SQES);
	if (r->sq == MAP_FAILED || r->cq == MAP_FAILED ||
	    r->sqe == MAP_FAILED) {
		err = -errno;
		ring_close(r);
		return err;
	}
	r->sq_tail = (void *)(r->sq + p.sq_off.tail);
	r->cq_head = (void *)(r->cq + p.cq_off.head);
	r->cq_tail = (void *)(r->cq + p.cq_off.tail);
	r->cqe = (void *)(r->cq + p.cq_off.cqes);
	r->cq_mask = p.cq_entries - 1;
	*(unsigned int *)(r->sq + p.sq_off.array) = 0; /* the only SQE */
	return 0;
}

/* Submits r->sqe and waits for it, in one system call: its result */
static inline int ring_submit(struct ring *r)
{
	const unsigned int head = *r->cq_head;
	int res;

	__atomic_store_n(r->sq_tail, *r->sq_tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, r->fd, 1, 1, IORING_ENTER_GETEVENTS,
		    NULL, 0) < 0) {
		__atomic_store_n(r->sq_tail, *r->sq_tail - 1, __ATOMIC_RELEASE);
		return -errno;
	}
	/* A signal may have ended the wait */
	while (__atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE) == head)
		if (syscall(SYS_io_uring_enter, r->fd, 0, 1,
			    IORING_ENTER_GETEVENTS, NULL, 0) < 0 &&
		    errno != EINTR)
			return -errno;
	res = r->cqe[head & r->cq_mask].res;
	__atomic_store_n(r->cq_head, head + 1, __ATOMIC_RELEASE);
	return res;
}

static inline int ring_register(const struct ring *r, unsigned int op,
				const void *arg, unsigned int nr)
{
	return syscall(SYS_io_uring_register, r->fd, op, arg, nr) ? -errno : 0;
}

#endif /* URING_H */

/* SPDX-License-Identifier: GPL-2.0 */
/* The copies that take more than pread() or an ioctl: by a pipe, by io_uring. */
#ifndef K2U_GUEST_COPY_H
#define K2U_GUEST_COPY_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../bench/uring.h"
#include "k2u.h"

/* Of this thread: nor must a child use its parent's; NULL and errno */
static inline struct ring *own_ring(unsigned int flags)
{
	static __thread struct ring rings[2] = { { .fd = -1 }, { .fd = -1 } };
	static __thread pid_t owner;
	struct ring *r = &rings[!!flags];

	if (owner != getpid())
		rings[0].fd = rings[1].fd = -1;
	owner = getpid();
	if (r->fd < 0 && ring_open(r, flags))
		return NULL;
	return r;
}

/* What a system call returns */
static inline ssize_t ring_result(struct ring *r)
{
	const int res = r ? ring_submit(r) : -errno;

	if (res >= 0)
		return res;
	errno = -res;
	return -1;
}

static inline ssize_t copy_by_uring(int fd, void *p, size_t size,
				    uint64_t offset, unsigned int flags)
{
	struct ring *r = own_ring(0);

	if (r)
		*r->sqe = (struct io_uring_sqe){ .opcode = IORING_OP_READ,
						 .flags = (uint8_t)flags,
						 .fd = fd,
						 .addr = (uintptr_t)p,
						 .len = (uint32_t)size,
						 .off = offset };
	return ring_result(r);
}

/* Both are registered for this copy alone; no buffer that is registered is empty */
static inline ssize_t copy_by_fixed(int fd, void *p, size_t size,
				    uint64_t offset, unsigned int flags)
{
	struct iovec iov = { p, size };
	struct ring *r = own_ring(0);
	ssize_t got = -1;
	int err;

	if (!r || !size)
		return r ? 0 : -1;
	err = -ring_register(r, IORING_REGISTER_BUFFERS, &iov, 1);
	if (err) {
		errno = err;
		return -1;
	}
	err = -ring_register(r, IORING_REGISTER_FILES, &fd, 1);
	if (!err) {
		*r->sqe = (struct io_uring_sqe){
			.opcode = IORING_OP_READ_FIXED,
			.flags = (uint8_t)(flags | IOSQE_FIXED_FILE),
			.addr = (uintptr_t)p,
			.len = (uint32_t)size,
			.off = offset
		};
		got = ring_result(r);
		err = got < 0 ? errno : 0;
		ring_register(r, IORING_UNREGISTER_FILES, NULL, 0);
	}
	ring_register(r, IORING_UNREGISTER_BUFFERS, NULL, 0);
	errno = err;
	return got;
}

static inline ssize_t copy_by_cmd(int fd, const struct k2u_copy *copy,
				  unsigned int flags)
{
	struct ring *r = own_ring(IORING_SETUP_SQE128);

	if (r) {
		*r->sqe = (struct io_uring_sqe){ .opcode = IORING_OP_URING_CMD,
						 .flags = (uint8_t)flags,
						 .fd = fd,
						 .cmd_op = K2U_IOC_COPY };
		*(struct k2u_copy *)r->sqe->cmd = *copy;
	}
	return ring_result(r);
}

/* What is in the pipe, to p: directly, or on by a socket */
static inline ssize_t from_pipe(int pipe, const int *sock, void *p, size_t size)
{
	ssize_t moved;

	if (sock[0] < 0)
		return read(pipe, p, size);
	moved = splice(pipe, NULL, sock[0], NULL, size, SPLICE_F_NONBLOCK);
	return moved > 0 ? recv(sock[1], p, (size_t)moved, MSG_DONTWAIT) :
			   moved;
}

static inline ssize_t copy_by_splice(int fd, char *p, size_t size,
				     uint64_t offset, bool by_socket)
{
	int ends[2], sock[2] = { -1, -1 }, err;
	loff_t at = (loff_t)offset;
	bool failed = false;
	size_t done = 0;
	ssize_t in, out;

	if (pipe2(ends, O_CLOEXEC) ||
	    (by_socket &&
	     socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock)))
		return -1;
	while (done < size && !failed) {
		in = splice(fd, &at, ends[1], NULL, size - done,
			    SPLICE_F_NONBLOCK);
		if (in <= 0) {
			failed = in < 0;
			break;
		}
		for (; in && !failed; in -= out, done += (size_t)out) {
			out = from_pipe(ends[0], sock, p + done, (size_t)in);
			if (out <= 0) {
				failed = true;
				break;
			}
		}
	}
	err = errno;
	close(ends[0]);
	close(ends[1]);
	if (by_socket) {
		close(sock[0]);
		close(sock[1]);
	}
	errno = err;
	return done || !failed ? (ssize_t)done : -1;
}

/* What pread() returns, by a method of this access */
static inline ssize_t copy_by(uint32_t access, uint32_t id, int fd, void *p,
			      size_t size, uint64_t offset)
{
	const struct k2u_copy copy = { .offset = offset,
				       .size = size,
				       .addr = (uintptr_t)p,
				       .method = id };

	switch (access) {
	case K2U_ACCESS_CALL:
		return ioctl(fd, K2U_IOC_COPY, &copy);
	case K2U_ACCESS_PIPE:
	case K2U_ACCESS_SOCKET:
		return copy_by_splice(fd, p, size, offset,
				      access == K2U_ACCESS_SOCKET);
	case K2U_ACCESS_URING:
		return copy_by_uring(fd, p, size, offset, 0);
	case K2U_ACCESS_FIXED:
		return copy_by_fixed(fd, p, size, offset, 0);
	case K2U_ACCESS_CMD:
		return copy_by_cmd(fd, &copy, 0);
	default:
		return pread(fd, p, size, (off_t)offset);
	}
}

#endif /* K2U_GUEST_COPY_H */

// SPDX-License-Identifier: GPL-2.0
/* capability_uring.c - a mapping as an io_uring fixed buffer. */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "capability.h"
#include "uring.h"

/* Registered, and written from to a file */
void cap_uring_fixed(struct cap *c)
{
	int fd = memfd_create("k2u-capability", MFD_CLOEXEC), res;
	char *got = map_private(NULL, c->buf.size);
	struct iovec iov = { .iov_len = c->buf.size };
	struct ring r;

	errno = -ring_open(&r, 0);
	if (errno) {
		cap_none(c, "io_uring_setup: %m%s",
			 errno == EPERM ? " (kernel.io_uring_disabled?)" : "");
		return;
	}
	if (fd < 0 || got == MAP_FAILED ||
	    !cap_map(c, PROT_READ | PROT_WRITE, 0))
		return;
	iov.iov_base = c->addr;
	errno = -ring_register(&r, IORING_REGISTER_BUFFERS, &iov, 1);
	if (errno) {
		cap_errno(c, "IORING_REGISTER_BUFFERS");
		return;
	}
	*r.sqe = (struct io_uring_sqe){ .opcode = IORING_OP_WRITE_FIXED,
					.fd = fd,
					.addr = (uintptr_t)c->addr,
					.len = c->buf.size };
	res = ring_submit(&r);
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

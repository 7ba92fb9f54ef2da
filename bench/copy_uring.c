// SPDX-License-Identifier: GPL-2.0
/*
 * copy_uring.c - the bytes of a file by io_uring: a read, a read by registered
 * file and buffer, a command of the file's own. One operation is submitted and
 * waited for by one system call.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>

#include "bench.h"
#include "copy.h"
#include "uring.h"

/* Opened at the first use, and kept: a program has one, whatever it reads */
static struct ring plain = { .fd = -1 }, wide = { .fd = -1 };

/* A file and a destination are registered with a ring of their own, to be used again */
struct registered {
	struct ring ring;
	struct registered *next;
};

static struct registered *unused;

static ssize_t result(int res)
{
	if (res >= 0)
		return res;
	errno = -res;
	return -1;
}

/* No entries: EINVAL where there is an io_uring and this user may have one */
bool uring_absent(char *why, size_t len)
{
	struct io_uring_params p = {};

	if (syscall(SYS_io_uring_setup, 0, &p) < 0 && errno == EINVAL)
		return false;
	snprintf(why, len, "io_uring_setup: %s%s", strerror(errno),
		 errno == EPERM ? " (sysctl kernel.io_uring_disabled?)" : "");
	return true;
}

/* Commands came with SQEs that have room for their arguments */
bool uring_cmd_absent(char *why, size_t len)
{
	struct ring r;

	if (uring_absent(why, len))
		return true;
	if (ring_open(&r, IORING_SETUP_SQE128)) {
		snprintf(why, len, "->uring_cmd needs Linux 5.19");
		return true;
	}
	ring_close(&r);
	return false;
}

/* ---- read ---- */

int uring_arm(struct use *u)
{
	return plain.fd < 0 ? ring_open(&plain, 0) : 0;
}

ssize_t uring_copy(struct use *u, size_t len, off_t off)
{
	*plain.sqe = (struct io_uring_sqe){
		.opcode = IORING_OP_READ,
		.fd = u->buf->fd,
		.addr = (uintptr_t)u->addr,
		.len = len,
		.off = off,
	};
	return result(ring_submit(&plain));
}

/* ---- read by registered file and buffer ---- */

static int take(struct registered **out)
{
	struct registered *r = unused;
	int err;

	if (r) {
		unused = r->next;
	} else {
		r = malloc(sizeof(*r));
		err = r ? ring_open(&r->ring, 0) : -ENOMEM;
		if (err) {
			free(r);
			return err;
		}
	}
	*out = r;
	return 0;
}

static void give_back(struct registered *r)
{
	r->next = unused;
	unused = r;
}

int uring_fixed_arm(struct use *u)
{
	struct iovec iov = { u->addr, u->len };
	struct registered *r;
	int err = take(&r);

	if (err)
		return err;
	err = ring_register(&r->ring, IORING_REGISTER_BUFFERS, &iov, 1);
	if (!err) {
		err = ring_register(&r->ring, IORING_REGISTER_FILES,
				    &u->buf->fd, 1);
		if (err)
			ring_register(&r->ring, IORING_UNREGISTER_BUFFERS, NULL,
				      0);
	}
	if (err)
		give_back(r);
	else
		u->armed = r;
	return err;
}

void uring_fixed_disarm(struct use *u)
{
	struct registered *r = u->armed;

	ring_register(&r->ring, IORING_UNREGISTER_FILES, NULL, 0);
	ring_register(&r->ring, IORING_UNREGISTER_BUFFERS, NULL, 0);
	give_back(r);
}

/* A file and a buffer are registered, used and given up: ns, of the fastest of some */
static uint64_t register_ns(void)
{
	static char page[64];
	struct iovec iov = { page, sizeof(page) };
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), i;
	struct timespec a, b;
	uint64_t best = 0, t;
	struct ring r;

	if (fd < 0 || ring_open(&r, 0)) {
		close(fd);
		return 0;
	}
	for (i = 0; i < 3; i++) {
		clock_gettime(CLOCK_MONOTONIC, &a);
		ring_register(&r, IORING_REGISTER_BUFFERS, &iov, 1);
		ring_register(&r, IORING_REGISTER_FILES, &fd, 1);
		*r.sqe = (struct io_uring_sqe){ .opcode = IORING_OP_READ_FIXED,
						.flags = IOSQE_FIXED_FILE,
						.addr = (uintptr_t)page,
						.len = sizeof(page) };
		ring_submit(&r);
		ring_register(&r, IORING_UNREGISTER_FILES, NULL, 0);
		ring_register(&r, IORING_UNREGISTER_BUFFERS, NULL, 0);
		clock_gettime(CLOCK_MONOTONIC, &b);
		t = (b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec;
		best = i && best < t ? best : t;
	}
	ring_close(&r);
	close(fd);
	return best;
}

/*
 * Both are registered once and kept. To give them up waited for an RCU grace
 * period (io_rsrc_ref_quiesce(), io_uring/rsrc.c, 6.1): milliseconds, in which
 * other copies are done a thousand times.
 */
bool uring_fixed_stale(const struct source *s, uint64_t size, char *why,
		       size_t len)
{
	static uint64_t ns;

	if (!ns)
		ns = register_ns();
	if (ns < 1000000)
		return false;
	snprintf(
		why, len,
		"registering file and buffer takes %lu ms on this kernel: they are kept",
		ns / 1000000);
	return true;
}

ssize_t uring_fixed_copy(struct use *u, size_t len, off_t off)
{
	struct registered *r = u->armed;

	*r->ring.sqe = (struct io_uring_sqe){
		.opcode = IORING_OP_READ_FIXED,
		.flags = IOSQE_FIXED_FILE,
		.addr = (uintptr_t)u->addr,
		.len = len,
		.off = off,
	};
	return result(ring_submit(&r->ring));
}

/* ---- command ---- */

int uring_cmd_arm(struct use *u)
{
	return wide.fd < 0 ? ring_open(&wide, IORING_SETUP_SQE128) : 0;
}

ssize_t uring_cmd_copy(struct use *u, size_t len, off_t off)
{
	struct io_uring_sqe *sqe = wide.sqe;

	*sqe = (struct io_uring_sqe){
		.opcode = IORING_OP_URING_CMD,
		.fd = u->buf->fd,
		.cmd_op = K2U_IOC_COPY,
	};
	*(struct k2u_copy *)sqe->cmd = (struct k2u_copy){
		.offset = off,
		.size = len,
		.addr = (uintptr_t)u->addr,
		.method = u->src->id,
	};
	return result(ring_submit(&wide));
}

// SPDX-License-Identifier: GPL-2.0
/* capability_io.c - the kernel, or a device, uses the bytes of a mapping. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "capability.h"

#define NO_EFFECT "it succeeded but the bytes that arrived are not the buffer's"

/* n is what a call gave that was to take len bytes; false: said */
static bool took(struct cap *c, ssize_t n, size_t len, const char *call)
{
	if (n == (ssize_t)len)
		return true;
	if (n < 0) {
		cap_errno(c, call);
		return false;
	}
	cap_say(c, "short", "%s took %zd of %zu bytes", call, n, len);
	return false;
}

static bool open_pipe(struct cap *c, int *fd)
{
	if (!pipe2(fd, O_CLOEXEC | O_NONBLOCK))
		return true;
	cap_none(c, "pipe: %m");
	return false;
}

/* The bytes that have come through, against the buffer's first ones */
static void check_pipe(struct cap *c, int fd, size_t len)
{
	char *got = map_private(NULL, len);

	cap_verdict(c,
		    got != MAP_FAILED && cap_read_all(fd, got, len) &&
			    cap_same(c, got, len),
		    "yes", NO_EFFECT);
}

/* A file in memory of the buffer's size: empty, or with these bytes */
static int open_file(struct cap *c, const char *bytes)
{
	int fd = memfd_create("k2u-capability", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, c->buf.size) ||
	    (bytes &&
	     pwrite(fd, bytes, c->buf.size, 0) != (ssize_t)c->buf.size)) {
		cap_none(c, "memfd: %m");
		return -1;
	}
	return fd;
}

static void check_file(struct cap *c, int fd)
{
	char *got = map_private(NULL, c->buf.size);

	cap_verdict(c,
		    got != MAP_FAILED && !lseek(fd, 0, SEEK_SET) &&
			    cap_read_all(fd, got, c->buf.size) &&
			    cap_same(c, got, c->buf.size),
		    "yes", NO_EFFECT);
}

/* ---- read and write ---- */

void cap_write_pipe(struct cap *c)
{
	size_t len = cap_chunk(c);
	int fd[2];

	if (open_pipe(c, fd) && cap_map(c, PROT_READ, 0) &&
	    took(c, write(fd[1], c->addr, len), len, "write"))
		check_pipe(c, fd[0], len);
}

void cap_write_file(struct cap *c)
{
	int fd = open_file(c, NULL);

	if (fd >= 0 && cap_map(c, PROT_READ, 0) &&
	    took(c, write(fd, c->addr, c->buf.size), c->buf.size, "write"))
		check_file(c, fd);
}

void cap_read_into(struct cap *c)
{
	char *other = cap_other_bytes(c);
	int fd = open_file(c, other);

	if (fd >= 0 && cap_map(c, PROT_READ | PROT_WRITE, 0) &&
	    took(c, pread(fd, c->addr, c->buf.size, 0), c->buf.size, "read"))
		cap_check_stored(c, other);
}

/* ---- O_DIRECT ---- */

/*
 * Of tmpfs (6.6) O_DIRECT is accepted, and copies: shmem_file_open() sets
 * FMODE_CAN_ODIRECT and no more. There is nothing to be learnt from it.
 */
static int open_direct(struct cap *c)
{
	const char *path = c->run->opt.direct;
	struct statfs fs;
	struct stat st;
	int fd;

	fd = path ? open(path, O_RDWR | O_DIRECT | O_CLOEXEC) :
		    open(".", O_RDWR | O_DIRECT | O_TMPFILE | O_CLOEXEC, 0600);
	if (fd < 0 && !path) {
		cap_none(
			c,
			"a file for O_DIRECT in the current directory: %m (choose another: k2u-bench --direct=FILE)");
	} else if (fd < 0) {
		cap_none(c, "%s: %m", path);
	} else if (!fstat(fd, &st) && S_ISREG(st.st_mode) &&
		   !fstatfs(fd, &fs) &&
		   (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC)) {
		cap_none(
			c,
			"O_DIRECT of a tmpfs copies (choose a file or disk: k2u-bench --direct=FILE)");
		close(fd);
		fd = -1;
	}
	return fd;
}

/* A part that any disk has room for */
static size_t direct_len(const struct cap *c)
{
	return c->buf.size < 64 * KIB ? c->buf.size : 64 * KIB;
}

void cap_direct_write(struct cap *c)
{
	size_t len = direct_len(c);
	char *got = map_private(NULL, len);
	int fd = open_direct(c);

	if (fd < 0 || got == MAP_FAILED || !cap_map(c, PROT_READ, 0) ||
	    !took(c, pwrite(fd, c->addr, len, 0), len, "O_DIRECT write"))
		return;
	if (pread(fd, got, len, 0) != (ssize_t)len)
		cap_say(c, "wrong", "what was written cannot be read: %m");
	else
		cap_verdict(c, cap_same(c, got, len), "yes", NO_EFFECT);
}

void cap_direct_read(struct cap *c)
{
	char *other = cap_other_bytes(c);
	size_t len = direct_len(c);
	int fd = open_direct(c);

	if (fd < 0)
		return;
	if (pwrite(fd, other, len, 0) != (ssize_t)len) {
		cap_none(c, "O_DIRECT write of plain memory: %m");
		return;
	}
	memcpy(other + len, c->buf.contents + len, c->buf.size - len);
	if (cap_map(c, PROT_READ | PROT_WRITE, 0) &&
	    took(c, pread(fd, c->addr, len, 0), len, "O_DIRECT read"))
		cap_check_stored(c, other);
}

/* ---- pages handed over ---- */

static void splice_from(struct cap *c, unsigned int flags)
{
	struct iovec iov = { .iov_len = cap_chunk(c) };
	int fd[2];

	if (!open_pipe(c, fd) || !cap_map(c, PROT_READ, 0))
		return;
	iov.iov_base = c->addr;
	if (took(c, vmsplice(fd[1], &iov, 1, flags | SPLICE_F_NONBLOCK),
		 iov.iov_len, "vmsplice"))
		check_pipe(c, fd[0], iov.iov_len);
}

void cap_vmsplice(struct cap *c)
{
	splice_from(c, 0);
}

void cap_vmsplice_gift(struct cap *c)
{
	splice_from(c, SPLICE_F_GIFT);
}

/* By UDP over the loopback device, which has a larger packet than this */
void cap_send_zerocopy(struct cap *c)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int in = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
	    out = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
	size_t len = cap_chunk(c) / 2;
	socklen_t room = sizeof(to);
	char *got = map_private(NULL, len);

	if (in < 0 || out < 0 || got == MAP_FAILED ||
	    bind(in, (void *)&to, room) ||
	    getsockname(in, (void *)&to, &room) ||
	    connect(out, (void *)&to, room)) {
		cap_none(c, "UDP over the loopback device: %m");
		return;
	}
	if (setsockopt(out, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on))) {
		cap_none(c, "SO_ZEROCOPY: %m");
		return;
	}
	if (!cap_map(c, PROT_READ, 0) ||
	    !took(c, send(out, c->addr, len, MSG_ZEROCOPY), len, "send"))
		return;
	cap_stage(c, "sent; it does not arrive");
	cap_verdict(c,
		    recv(in, got, len, 0) == (ssize_t)len &&
			    cap_same(c, got, len),
		    "yes", NO_EFFECT);
}

/* ---- from the file itself, of methods that copy ---- */

void cap_splice(struct cap *c)
{
	size_t len = cap_chunk(c);
	loff_t at = 0;
	int fd[2];

	if (open_pipe(c, fd) &&
	    took(c, splice(c->buf.fd, &at, fd[1], NULL, len, 0), len, "splice"))
		check_pipe(c, fd[0], len);
}

void cap_sendfile(struct cap *c)
{
	int fd = open_file(c, NULL);
	off_t at = 0;

	if (fd >= 0 && took(c, sendfile(fd, c->buf.fd, &at, c->buf.size),
			    c->buf.size, "sendfile"))
		check_file(c, fd);
}

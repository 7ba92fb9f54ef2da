// SPDX-License-Identifier: GPL-2.0
/*
 * copy_splice.c - the pages of a file to a pipe, and from there on to a socket,
 * and read from its other end: the bytes are copied only there.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"
#include "copy.h"

/* Opened at the first use, and kept; empty between two copies */
static int ends[2] = { -1, -1 };
static int sock[2] = { -1, -1 };

static void shut(int *fd)
{
	if (fd[0] >= 0) {
		close(fd[0]);
		close(fd[1]);
	}
	fd[0] = fd[1] = -1;
}

int splice_arm(struct use *u)
{
	if (ends[0] >= 0)
		return 0;
	if (pipe2(ends, O_CLOEXEC)) {
		ends[0] = -1;
		return -errno;
	}
	/*
	 * Room for a chunk that begins within a page. Where that is refused,
	 * by pipe-user-pages-soft, a copy takes several turns.
	 */
	fcntl(ends[1], F_SETPIPE_SZ, 2 * CHUNK);
	return 0;
}

bool splice_socket_absent(char *why, size_t len)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		snprintf(why, len, "socket of AF_UNIX: %s", strerror(errno));
	else
		close(fd);
	return fd < 0;
}

int splice_socket_arm(struct use *u)
{
	int err = splice_arm(u);

	if (err || sock[0] >= 0)
		return err;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock)) {
		sock[0] = -1;
		return -errno;
	}
	return 0;
}

/* What has come through is taken out, and where that fails, thrown away */
static ssize_t failed(struct use *u)
{
	const int err = errno;

	shut(ends);
	shut(sock);
	if (u->src->ops->arm(u))
		return -1;
	errno = err;
	return -1;
}

/* As much of a chunk as the pipe has room for: how many bytes */
static ssize_t fill(struct use *u, size_t len, off_t *off)
{
	return splice(u->buf->fd, off, ends[1], NULL, len < CHUNK ? len : CHUNK,
		      SPLICE_F_NONBLOCK);
}

ssize_t splice_copy(struct use *u, size_t len, off_t off)
{
	size_t done = 0;
	ssize_t in, out;

	while (done < len) {
		in = fill(u, len - done, &off);
		if (in <= 0)
			return in < 0 ? failed(u) : (ssize_t)done;
		for (; in; in -= out, done += out) {
			out = read(ends[0], u->addr + done, in);
			if (out <= 0)
				return failed(u);
		}
	}
	return done;
}

ssize_t splice_socket_copy(struct use *u, size_t len, off_t off)
{
	ssize_t in, moved, out;
	size_t done = 0;

	while (done < len) {
		in = fill(u, len - done, &off);
		if (in <= 0)
			return in < 0 ? failed(u) : (ssize_t)done;
		for (; in; in -= moved) {
			moved = splice(ends[0], NULL, sock[0], NULL, in,
				       SPLICE_F_NONBLOCK);
			if (moved <= 0)
				return failed(u);
			/* the socket has less room than the pipe: in turns */
			for (size_t left = moved; left;
			     left -= out, done += out) {
				out = recv(sock[1], u->addr + done, left, 0);
				if (out <= 0)
					return failed(u);
			}
		}
	}
	return done;
}

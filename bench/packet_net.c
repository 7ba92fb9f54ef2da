// SPDX-License-Identifier: GPL-2.0
/*
 * packet_net.c - a network namespace for each receiver of packets, and its sender.
 *
 * A thread makes it, opens all sockets in it and ends: sockets stay in the namespace
 * that they were made in, and this program never leaves its own. The link is lo, in
 * every venue: its packets go through the backlog of the CPU that sent them, as those
 * of a veth pair do, so that the receiver's part runs inside the sender's system call.
 *
 * A payload of whole pages is written to a pipe and spliced to the socket: so each
 * fragment of the packet is a page of its own, as a NIC makes them that splits headers
 * from data, and all receivers get the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "packet.h"

struct packet_batch {
	uint64_t seq[PACKET_BATCH];
	struct iovec iov[PACKET_BATCH][2];
	struct mmsghdr msg[PACKET_BATCH];
};

static int link_up(int fd)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };

	return ioctl(fd, SIOCSIFFLAGS, &lo) ? -errno : 0;
}

/* Bound to the port; of what comes all is dropped, and counted */
static int open_sink(struct packet *p, const struct sockaddr_in *to)
{
	struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog drop = { 1, &none };

	p->sink = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->sink < 0 ||
	    setsockopt(p->sink, SOL_SOCKET, SO_ATTACH_FILTER, &drop,
		       sizeof(drop)) ||
	    bind(p->sink, (const void *)to, sizeof(*to)))
		return -errno;
	return 0;
}

static int open_sender(struct packet *p, const struct sockaddr_in *to)
{
	/* All of a batch may be with the receiver before one is freed */
	const int room = 16 * MIB;
	struct packet_batch *b;
	unsigned int i;

	p->tx = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (p->tx < 0 ||
	    setsockopt(p->tx, SOL_SOCKET, SO_SNDBUFFORCE, &room,
		       sizeof(room)) ||
	    connect(p->tx, (const void *)to, sizeof(*to)))
		return -errno;
	b = p->batch = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	for (i = 0; i < PACKET_BATCH; i++) {
		b->iov[i][0] = (struct iovec){ &b->seq[i], sizeof(b->seq[i]) };
		b->iov[i][1] =
			(struct iovec){ (char *)p->contents + sizeof(b->seq[i]),
					p->size - sizeof(b->seq[i]) };
		b->msg[i].msg_hdr.msg_iov = b->iov[i];
		b->msg[i].msg_hdr.msg_iovlen = 2;
	}
	return 0;
}

/*
 * Nor is there a checksum: it is as if a NIC had verified it. Before 6.5 a packet that
 * is spliced has its sum by software, and the receiver would verify it.
 */
static int open_pipe(struct packet *p)
{
	const int on = 1;

	return pipe2(p->pipe, O_CLOEXEC | O_NONBLOCK) ||
			       setsockopt(p->tx, SOL_SOCKET, SO_NO_CHECK, &on,
					  sizeof(on)) ?
		       -errno :
		       0;
}

/* Of the thread: in a namespace of its own from here on */
static int enter(void)
{
	int fd, err;

	if (unshare(CLONE_NEWNET))
		return -errno;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	err = link_up(fd);
	close(fd);
	return err;
}

static int open_all(struct packet *p)
{
	const struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(PACKET_PORT),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int err;

	p->links = open("/proc/thread-self/net/dev", O_RDONLY | O_CLOEXEC);
	if (p->links < 0)
		return -errno;
	err = open_sink(p, &to);
	if (!err)
		err = open_sender(p, &to);
	if (!err && packet_pages(p->size))
		err = open_pipe(p);
	return err ? err : p->src->packet->open(p);
}

static void nothing_open(struct packet *p)
{
	p->tx = p->sink = p->links = p->fd = p->pipe[0] = p->pipe[1] = -1;
	p->batch = NULL;
	p->priv = NULL;
}

/* Runs fn(arg), which returns 0 or -errno, in a new namespace */
struct inside {
	int (*fn)(void *arg);
	void *arg;
	int err;
};

static void *inside_thread(void *arg)
{
	struct inside *in = arg;

	in->err = enter();
	if (!in->err)
		in->err = in->fn(in->arg);
	return NULL;
}

static int inside(int (*fn)(void *arg), void *arg)
{
	struct inside in = { fn, arg, 0 };
	pthread_t thread;
	int err = pthread_create(&thread, NULL, inside_thread, &in);

	if (err)
		return -err;
	pthread_join(thread, NULL);
	return in.err;
}

static int open_inside(void *arg)
{
	return open_all(arg);
}

/* The caller has set src, size and contents */
int packet_open(struct packet *p)
{
	int err;

	nothing_open(p);
	err = inside(open_inside, p);
	if (err)
		packet_close(p);
	return err;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void packet_close(struct packet *p)
{
	p->src->packet->close(p);
	close_fd(&p->fd);
	close_fd(&p->sink);
	close_fd(&p->tx);
	close_fd(&p->links);
	close_fd(&p->pipe[0]);
	close_fd(&p->pipe[1]);
	free(p->batch);
	p->batch = NULL;
}

static int send_pages(struct packet *p, unsigned int i)
{
	ssize_t n = writev(p->pipe[1], p->batch->iov[i], 2);

	if (n == (ssize_t)p->size)
		n = splice(p->pipe[0], NULL, p->tx, NULL, p->size, 0);
	if (n != (ssize_t)p->size)
		return n < 0 ? -errno : -EIO;
	p->sent++;
	return 0;
}

/*
 * One by sendmsg(), several by one sendmmsg(), of whole pages each by writev() and
 * splice(): all of them, or -errno
 */
int packet_send(struct packet *p, unsigned int nr)
{
	struct packet_batch *b = p->batch;
	unsigned int i;
	int n = 0;

	for (i = 0; i < nr; i++)
		b->seq[i] = p->sent + i;
	if (packet_pages(p->size)) {
		for (i = 0; i < nr && !n; i++)
			n = send_pages(p, i);
		return n;
	}
	if (nr == 1) {
		if (sendmsg(p->tx, &b->msg[0].msg_hdr, 0) < 0)
			return -errno;
		p->sent++;
		return 0;
	}
	for (i = 0; i < nr; i += n) {
		n = sendmmsg(p->tx, b->msg + i, nr - i, 0);
		if (n <= 0)
			return n ? -errno : -EIO;
		p->sent += n;
	}
	return 0;
}

/* Whether there is something to take, within so many ms: 1, 0, -errno */
int packet_wait(const struct packet *p, int ms)
{
	struct pollfd pfd = { .fd = p->fd, .events = POLLIN };
	int n = poll(&pfd, 1, ms);

	return n < 0 ? errno == EINTR ? 0 : -errno : n;
}

/* What lo itself dropped: the CPU's backlog was full, or memory */
int packet_link_dropped(const struct packet *p, uint64_t *count)
{
	char text[2048], *lo;
	ssize_t n = pread(p->links, text, sizeof(text) - 1, 0);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	lo = strstr(text, "lo:");
	/* Received: bytes, packets, errors, dropped */
	return lo && sscanf(lo, "lo: %*u %*u %*u %lu", count) == 1 ? 0 :
								     -EPROTO;
}

/* ---- the receivers that are a UDP socket: none, and recv ---- */

static int null_open(struct packet *p)
{
	return 0;
}

static void null_close(struct packet *p)
{
}

static int null_take(struct packet *p, unsigned int max)
{
	return 0;
}

static int sink_dropped(const struct packet *p, uint64_t *count)
{
	uint32_t info[SK_MEMINFO_VARS];
	socklen_t len = sizeof(info);

	if (getsockopt(p->sink, SOL_SOCKET, SO_MEMINFO, info, &len))
		return -errno;
	*count = info[SK_MEMINFO_DROPS];
	return 0;
}

const struct packet_ops packet_null = {
	.open = null_open,
	.close = null_close,
	.take = null_take,
	.dropped = sink_dropped,
};

struct recv {
	char *bytes;
	size_t len; /* of each buffer */
	struct iovec iov[PACKET_BATCH];
	struct mmsghdr msg[PACKET_BATCH];
};

static int recv_open(struct packet *p)
{
	/* The kernel doubles it; a packet counts with all of its memory */
	const int room = p->room * (p->size + 4 * KIB), off = 0;
	struct recv *r = calloc(1, sizeof(*r));
	unsigned int i;

	if (!r)
		return -ENOMEM;
	p->priv = r;
	p->fd = dup(p->sink);
	if (p->fd < 0 ||
	    setsockopt(p->fd, SOL_SOCKET, SO_DETACH_FILTER, &off,
		       sizeof(off)) ||
	    setsockopt(p->fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)))
		return -errno;
	/* A buffer holds a byte more than a packet has: what is longer is seen */
	r->len = (p->size + 1 + 63) & ~63UL;
	r->bytes = map_private(NULL, PACKET_BATCH * r->len);
	if (r->bytes == MAP_FAILED)
		return -ENOMEM;
	memset(r->bytes, 0, PACKET_BATCH * r->len);
	for (i = 0; i < PACKET_BATCH; i++) {
		r->iov[i] = (struct iovec){ r->bytes + i * r->len, r->len };
		r->msg[i].msg_hdr.msg_iov = &r->iov[i];
		r->msg[i].msg_hdr.msg_iovlen = 1;
	}
	return 0;
}

static void recv_close(struct packet *p)
{
	struct recv *r = p->priv;

	if (r && r->bytes && r->bytes != MAP_FAILED)
		munmap(r->bytes, PACKET_BATCH * r->len);
	free(r);
	p->priv = NULL;
}

/* One by recv(), several by one recvmmsg() */
static int recv_take(struct packet *p, unsigned int max)
{
	struct recv *r = p->priv;
	ssize_t len;
	int n = 1, i;

	if (max == 1) {
		len = recv(p->fd, r->bytes, r->len, 0);
		if (len < 0)
			return errno == EAGAIN ? 0 : -errno;
		packet_payload(p, r->bytes, len);
		return 1;
	}
	n = recvmmsg(p->fd, r->msg, max < PACKET_BATCH ? max : PACKET_BATCH,
		     MSG_DONTWAIT, NULL);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	for (i = 0; i < n; i++)
		packet_payload(p, r->iov[i].iov_base, r->msg[i].msg_len);
	return n;
}

const struct packet_ops packet_recv = {
	.open = recv_open,
	.close = recv_close,
	.take = recv_take,
	.dropped = sink_dropped,
};

/* ---- which of the rows work here ---- */

struct probing {
	struct source *rows;
	unsigned int nr;
	char *contents; /* a page */
};

static int probe_row(struct source *s, const char *contents)
{
	struct packet p = {
		.src = s,
		.size = s->packet->by_reference ? page_bytes() : 64,
		.contents = contents,
		.room = PACKET_BATCH,
	};
	int err;

	nothing_open(&p);
	err = open_all(&p);
	/* Whether it does come by reference */
	if (!err && s->packet->by_reference)
		err = packet_send(&p, 1) ?:
			      packet_wait(&p, 1000) > 0 ?
			      s->packet->take(&p, 1) :
			      -ETIMEDOUT;
	packet_close(&p);
	return err;
}

/* One after the other, in the same namespace */
static int probe_inside(void *arg)
{
	struct probing *pr = arg;
	unsigned int i;
	int err;

	for (i = 0; i < pr->nr; i++) {
		struct source *s = &pr->rows[i];

		if (s->reason[0])
			continue;
		err = probe_row(s, pr->contents);
		if (err < 0 && !s->reason[0])
			snprintf(s->reason, sizeof(s->reason), "%s: %s",
				 s->packet->needs, strerror(-err));
	}
	return 0;
}

void packet_probe(struct source *rows, unsigned int nr)
{
	struct probing pr = { .rows = rows,
			      .nr = nr,
			      .contents = calloc(1, page_bytes()) };
	int err = pr.contents ? inside(probe_inside, &pr) : -ENOMEM;
	unsigned int i;

	free(pr.contents);
	for (i = 0; err && i < nr; i++)
		snprintf(
			rows[i].reason, sizeof(rows[i].reason),
			"a network namespace: %s (%s)", strerror(-err),
			err == -EPERM ?
				"run as root or with CAP_SYS_ADMIN and CAP_NET_ADMIN" :
				"needs CONFIG_NET_NS");
}

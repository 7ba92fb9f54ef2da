// SPDX-License-Identifier: GPL-2.0
/*
 * stream_k2u.c - records from the module: K2U_IOC_STREAM, by its ring, whose consumer
 * waits by poll() or by an eventfd, and by read().
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stream.h"

#define READ_RECORDS 64 /* that one read() asks for, at most */

static const char *device;

struct k2u_ring_stream {
	int buffer_fd, fd;
	int eventfd; /* -1: none */
	bool broken; /* it will be signalled no more */
	struct k2u_ring *ring; /* mapped; of read(): NULL */
	size_t len;
	const char *data;
	uint64_t mask; /* slots - 1 */
	char *copy; /* of read(): where records go */
	uint64_t made; /* of all that were asked for */
};

static void k2u_close(struct stream *s)
{
	struct k2u_ring_stream *p = s->priv;

	if (p->ring && p->ring != MAP_FAILED)
		munmap(p->ring, p->len);
	if (p->fd >= 0)
		close(p->fd);
	if (p->buffer_fd >= 0)
		close(p->buffer_fd);
	if (p->eventfd >= 0)
		close(p->eventfd);
	free(p->copy);
	free(p);
	s->priv = NULL;
}

static int make_ring(struct stream *s, struct k2u_ring_stream *p)
{
	struct k2u_setup setup = {
		.size = K2U_RING_DATA(page_bytes()) + s->slots * s->record_size,
		.backing = K2U_BACKING_VMALLOC,
		.node = K2U_NODE_ANY,
	};
	struct k2u_stream stream = {
		.source = s->period_ns ? K2U_STREAM_TIMER : K2U_STREAM_CALL,
		.record_size = s->record_size,
		.seed = s->seed,
		.period_ns = s->period_ns,
	};

	if (p->eventfd >= 0) {
		stream.flags = K2U_STREAM_EVENTFD;
		stream.eventfd = p->eventfd;
	}
	p->buffer_fd = open(device, O_RDWR | O_CLOEXEC);
	if (p->buffer_fd < 0 || ioctl(p->buffer_fd, K2U_IOC_SETUP, &setup))
		return -errno;
	p->fd = ioctl(p->buffer_fd, K2U_IOC_STREAM, &stream);
	if (p->fd < 0)
		return -errno;
	p->len = setup.size;
	p->mask = stream.slots - 1;
	return 0;
}

static int k2u_open(struct stream *s, bool signals)
{
	struct k2u_ring_stream *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	s->priv = p;
	p->buffer_fd = p->fd = -1;
	p->eventfd = signals ? eventfd(0, EFD_CLOEXEC) : -1;
	err = signals && p->eventfd < 0 ? -errno : make_ring(s, p);
	if (err)
		k2u_close(s);
	return err;
}

static int mapped_open(struct stream *s, bool signals)
{
	struct k2u_ring_stream *p;
	int err = k2u_open(s, signals);

	if (err)
		return err;
	p = s->priv;
	p->ring = mmap(NULL, p->len, PROT_READ | PROT_WRITE, MAP_SHARED,
		       p->buffer_fd, K2U_MMAP_OFFSET(K2U_METHOD_vmalloc));
	if (p->ring == MAP_FAILED) {
		err = -errno;
		k2u_close(s);
		return err;
	}
	p->data = (const char *)p->ring + K2U_RING_DATA(page_bytes());
	return 0;
}

static int ring_open(struct stream *s)
{
	return mapped_open(s, false);
}

static int eventfd_open(struct stream *s)
{
	return mapped_open(s, true);
}

static int read_open(struct stream *s)
{
	struct k2u_ring_stream *p;
	int err = k2u_open(s, false);

	if (err)
		return err;
	p = s->priv;
	p->copy = malloc(READ_RECORDS * s->record_size);
	err = !p->copy				    ? -ENOMEM :
	      fcntl(p->fd, F_SETFL, O_NONBLOCK) < 0 ? -errno :
						      0;
	if (err)
		k2u_close(s);
	return err;
}

static int info_of(struct stream *s, struct k2u_stream_info *info)
{
	const struct k2u_ring_stream *p = s->priv;

	*info = (struct k2u_stream_info){};
	return ioctl(p->fd, K2U_IOC_STREAM_INFO, info) ? -errno : 0;
}

static int k2u_produce(struct stream *s, uint64_t n, uint64_t stamp)
{
	struct k2u_ring_stream *p = s->priv;
	struct k2u_produce produce = { .count = n, .stamp = stamp };
	struct k2u_stream_info info;
	int err;

	p->made += n;
	for (;;) {
		if (!ioctl(p->fd, K2U_IOC_PRODUCE, &produce))
			return 0;
		if (errno != EINTR)
			return -errno;
		err = info_of(s, &info);
		if (err || info.produced == p->made)
			return err;
		produce = (struct k2u_produce){
			.count = p->made - info.produced,
			.stamp = stamp,
		};
	}
}

static int k2u_arm(struct stream *s, uint64_t n, uint64_t due)
{
	const struct k2u_ring_stream *p = s->priv;
	struct k2u_produce produce = { .count = n, .stamp = due };

	return ioctl(p->fd, K2U_IOC_PRODUCE, &produce) ? -errno : 0;
}

/* Where the kernel has nothing to signal any more, who waits is told from here */
static int eventfd_produce(struct stream *s, uint64_t n, uint64_t stamp)
{
	struct k2u_ring_stream *p = s->priv;
	int err = k2u_produce(s, n, stamp);

	if (err) {
		__atomic_store_n(&p->broken, true, __ATOMIC_RELEASE);
		eventfd_write(p->eventfd, 1);
	}
	return err;
}

static int64_t ring_consume(struct stream *s, uint64_t max)
{
	struct k2u_ring_stream *p = s->priv;
	uint64_t end = __atomic_load_n(&p->ring->producer, __ATOMIC_ACQUIRE);
	uint64_t at = p->ring->consumer;
	uint64_t n = end - at < max ? end - at : max, i;

	for (i = 0; i < n; i++, at++)
		tally_record(&s->tally,
			     p->data + (at & p->mask) * s->record_size,
			     s->record_size);
	if (n)
		__atomic_store_n(&p->ring->consumer, at, __ATOMIC_RELEASE);
	return n;
}

static int64_t read_consume(struct stream *s, uint64_t max)
{
	struct k2u_ring_stream *p = s->priv;
	ssize_t got, i;

	got = read(p->fd, p->copy,
		   (max < READ_RECORDS ? max : READ_RECORDS) * s->record_size);
	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	got /= (ssize_t)s->record_size;
	for (i = 0; i < got; i++)
		tally_record(&s->tally, p->copy + i * s->record_size,
			     s->record_size);
	return got;
}

static int k2u_wait(struct stream *s, int timeout_ms)
{
	const struct k2u_ring_stream *p = s->priv;

	return stream_poll(p->fd, timeout_ms);
}

/* A blocking read() has no time limit: the producer's last call ends it */
static int eventfd_wait(struct stream *s, int timeout_ms)
{
	const struct k2u_ring_stream *p = s->priv;
	eventfd_t signals;

	if (__atomic_load_n(&p->broken, __ATOMIC_ACQUIRE))
		return 0;
	if (!eventfd_read(p->eventfd, &signals))
		return 1;
	return errno == EINTR ? 0 : -errno;
}

static int k2u_dropped(struct stream *s, uint64_t *dropped)
{
	struct k2u_stream_info info;
	int err = info_of(s, &info);

	*dropped = info.dropped;
	return err;
}

static int k2u_wakeups(struct stream *s, uint64_t *wakeups)
{
	struct k2u_stream_info info;
	int err = info_of(s, &info);

	*wakeups = info.wakeups;
	return err;
}

static const struct stream_ops ring_ops = {
	.open = ring_open,
	.close = k2u_close,
	.produce = k2u_produce,
	.arm = k2u_arm,
	.consume = ring_consume,
	.wait = k2u_wait,
	.dropped = k2u_dropped,
	.wakeups = k2u_wakeups,
};

/* How many of its signals woke somebody the module does not know */
static const struct stream_ops eventfd_ops = {
	.open = eventfd_open,
	.close = k2u_close,
	.produce = eventfd_produce,
	.arm = k2u_arm,
	.consume = ring_consume,
	.wait = eventfd_wait,
	.dropped = k2u_dropped,
};

static const struct stream_ops read_ops = {
	.open = read_open,
	.close = k2u_close,
	.produce = k2u_produce,
	.arm = k2u_arm,
	.consume = read_consume,
	.wait = k2u_wait,
	.dropped = k2u_dropped,
	.wakeups = k2u_wakeups,
};

static const struct source rows[] = {
	{
		.method = "ring",
		.stream = &ring_ops,
		.via = "K2U_IOC_STREAM: loads from a mapping of the ring",
	},
	{
		.method = "ring_eventfd",
		.stream = &eventfd_ops,
		.via = "K2U_IOC_STREAM: the same, its consumer woken by an eventfd",
	},
	{
		.method = "stream_read",
		.stream = &read_ops,
		.via = "K2U_IOC_STREAM: read() of whole records",
	},
};

/* As provider_k2u() found the module, unless it has no rings */
static void probe(struct source *v, const struct source *module)
{
	struct stream s = { .src = v, .record_size = 64, .slots = 2, .seed = 1 };
	int err;

	if (module && !source_available(module)) {
		snprintf(v->reason, sizeof(v->reason), "%s", module->reason);
		return;
	}
	err = v->stream->open(&s);
	if (err)
		snprintf(v->reason, sizeof(v->reason), "K2U_IOC_STREAM: %s",
			 strerror(-err));
	else
		v->stream->close(&s);
}

int stream_k2u(struct sources *s, const char *path)
{
	const struct source *module;
	unsigned int i;

	device = path;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct source *v = source_add(s, &rows[i]);

		if (!v)
			return -ENOMEM;
		v->provider = "k2u";
		v->backing = "vmalloc";
		v->cache = "wb";
		v->access = ACCESS_STREAM | ACCESS_STREAM_TIMER;
		v->ops = &stream_source;
		module = source_find(s, "k2u/vmalloc/vmalloc");
		probe(v, module);
	}
	return 0;
}

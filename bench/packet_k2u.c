// SPDX-License-Identifier: GPL-2.0
/*
 * packet_k2u.c - the module's hook at local delivery copies payloads into a ring of
 * records: read from the mapping, or by read(). Or it keeps their pages, which are
 * mapped, read and given back by the batch.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "packet.h"

static const char *device = K2U_DEVICE;

void packet_k2u_device(const char *path)
{
	device = path;
}

struct records {
	int file; /* of the buffer */
	char *map;
	size_t len;
	uint64_t mask, at; /* slots - 1; the record that comes next */
	size_t record;
	char *bytes; /* that read() goes to: of a batch */
	char *window; /* that pages are mapped to: of a batch */
};

/* room: bytes of payload in a slot */
static int set_up(struct packet *p, struct records *r, size_t room,
		  uint16_t flags)
{
	const size_t head = sizeof(struct k2u_record);
	struct k2u_stream stream = {
		.source = K2U_STREAM_UDP,
		.port = PACKET_PORT,
		.flags = flags,
	};
	struct k2u_setup setup = {
		.backing = K2U_BACKING_VMALLOC,
		.node = K2U_NODE_ANY,
	};

	r->record = (head + room + 7) & ~7UL;
	stream.record_size = r->record;
	r->len = setup.size = K2U_RING_DATA(page_bytes()) + p->room * r->record;
	r->file = open(device, O_RDWR | O_CLOEXEC);
	if (r->file < 0 || ioctl(r->file, K2U_IOC_SETUP, &setup))
		return -errno;
	p->fd = ioctl(r->file, K2U_IOC_STREAM, &stream);
	if (p->fd < 0)
		return -errno;
	r->mask = stream.slots - 1;
	return fcntl(p->fd, F_SETFL, O_RDWR | O_NONBLOCK) ? -errno : 0;
}

static struct records *records_new(struct packet *p)
{
	struct records *r = calloc(1, sizeof(*r));

	if (r)
		r->file = -1;
	p->priv = r;
	return r;
}

static void records_close(struct packet *p)
{
	struct records *r = p->priv;

	if (!r)
		return;
	if (r->map)
		munmap(r->map, r->len);
	if (r->bytes)
		munmap(r->bytes, PACKET_BATCH * r->record);
	if (r->window)
		munmap(r->window, PACKET_BATCH * p->size);
	if (r->file >= 0)
		close(r->file);
	free(r);
	p->priv = NULL;
}

static int records_dropped(const struct packet *p, uint64_t *count)
{
	struct k2u_stream_info info = {};

	if (ioctl(p->fd, K2U_IOC_STREAM_INFO, &info))
		return -errno;
	*count = info.dropped;
	return 0;
}

static int open_ring(struct packet *p, size_t room, uint16_t flags)
{
	struct records *r = records_new(p);
	int err;

	if (!r)
		return -ENOMEM;
	err = set_up(p, r, room, flags);
	if (err)
		return err;
	r->map = mmap(NULL, r->len, PROT_READ | PROT_WRITE, MAP_SHARED, r->file,
		      K2U_MMAP_OFFSET(K2U_METHOD_vmalloc));
	if (r->map != MAP_FAILED)
		return 0;
	r->map = NULL;
	return -errno;
}

static int ring_open(struct packet *p)
{
	return open_ring(p, p->size, 0);
}

static const char *slots(const struct records *r)
{
	return r->map + K2U_RING_DATA(page_bytes());
}

static const struct k2u_record *record_at(const char *data,
					  const struct records *r, uint64_t i)
{
	return (void *)(data + (i & r->mask) * r->record);
}

static int ring_take(struct packet *p, unsigned int max)
{
	struct records *r = p->priv;
	struct k2u_ring *ring = (void *)r->map;
	const char *data = slots(r);
	const uint64_t there =
		__atomic_load_n(&ring->producer, __ATOMIC_ACQUIRE) - r->at;
	unsigned int n;

	if (max > there)
		max = there;
	for (n = 0; n < max; n++) {
		const struct k2u_record *record = record_at(data, r, r->at + n);

		packet_payload(p, record + 1, record->size);
	}
	r->at += n;
	if (n)
		__atomic_store_n(&ring->consumer, r->at, __ATOMIC_RELEASE);
	return n;
}

/* In the slots nothing but heads: no packet is to be copied */
static int page_open(struct packet *p)
{
	struct records *r;
	int err = open_ring(p, K2U_RECORD_MIN - sizeof(struct k2u_record),
			    K2U_STREAM_PAGES);

	if (err)
		return err;
	r = p->priv;
	r->window = mmap(NULL, PACKET_BATCH * p->size, PROT_READ, MAP_SHARED,
			 p->fd, 0);
	if (r->window != MAP_FAILED)
		return 0;
	r->window = NULL;
	return -errno;
}

static int page_take(struct packet *p, unsigned int max)
{
	struct records *r = p->priv;
	struct k2u_ring *ring = (void *)r->map;
	const char *data = slots(r);
	const uint64_t there =
		__atomic_load_n(&ring->producer, __ATOMIC_ACQUIRE) - r->at;
	struct k2u_stream_map map = { .addr = (uintptr_t)r->window,
				      .first = r->at };
	unsigned int n;

	if (max > PACKET_BATCH)
		max = PACKET_BATCH;
	if (max > there)
		max = there;
	if (!max)
		return 0;
	map.records = max;
	if (ioctl(p->fd, K2U_IOC_STREAM_MAP, &map))
		return -errno;
	for (n = 0; n < max; n++) {
		const struct k2u_record *record = record_at(data, r, r->at + n);

		if (!(record->flags & K2U_RECORD_PAGES) ||
		    record->size != p->size)
			return -EPROTO;
		p->paged++;
		packet_payload(p, r->window + n * p->size, record->size);
	}
	if (madvise(r->window, max * p->size, MADV_DONTNEED))
		return -errno;
	r->at += n;
	__atomic_store_n(&ring->consumer, r->at, __ATOMIC_RELEASE);
	return n;
}

bool packet_page_refuse(const struct source *s, uint64_t size, char *why,
			size_t len)
{
	if (packet_pages(size))
		return false;
	snprintf(
		why, len,
		"what comes by reference are whole pages, of %lu bytes each; this is copied",
		page_bytes());
	return true;
}

static int read_open(struct packet *p)
{
	struct records *r = records_new(p);
	int err;

	if (!r)
		return -ENOMEM;
	err = set_up(p, r, p->size, 0);
	if (err)
		return err;
	r->bytes = map_private(NULL, PACKET_BATCH * r->record);
	if (r->bytes == MAP_FAILED) {
		r->bytes = NULL;
		return -ENOMEM;
	}
	memset(r->bytes, 0, PACKET_BATCH * r->record);
	return 0;
}

static int read_take(struct packet *p, unsigned int max)
{
	struct records *r = p->priv;
	ssize_t got, at;

	if (max > PACKET_BATCH)
		max = PACKET_BATCH;
	got = read(p->fd, r->bytes, max * r->record);
	if (got < 0)
		return errno == EAGAIN ? 0 : -errno;
	for (at = 0; at < got; at += r->record) {
		const struct k2u_record *record = (void *)(r->bytes + at);

		packet_payload(p, record + 1, record->size);
	}
	return got / r->record;
}

#define NEEDS \
	"K2U_IOC_STREAM of packets (needs root or CAP_NET_ADMIN, CONFIG_INET and CONFIG_NETFILTER)"

const struct packet_ops packet_k2u_ring = {
	.open = ring_open,
	.close = records_close,
	.take = ring_take,
	.dropped = records_dropped,
	.needs = NEEDS,
};

const struct packet_ops packet_k2u_read = {
	.open = read_open,
	.close = records_close,
	.take = read_take,
	.dropped = records_dropped,
	.needs = NEEDS,
};

const struct packet_ops packet_k2u_page = {
	.open = page_open,
	.close = records_close,
	.take = page_take,
	.dropped = records_dropped,
	.by_reference = true,
	.needs =
		"K2U_STREAM_PAGES (needs what a stream of packets does; that splice() to UDP copies no pages, as stable 6.1 does; before 5.11 a sender in no memory cgroup)",
};

// SPDX-License-Identifier: GPL-2.0
/*
 * packet_k2u.c - the module's hook at local delivery copies payloads into a ring of
 * records: read from the mapping, or by read().
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
};

static int set_up(struct packet *p, struct records *r)
{
	const size_t head = sizeof(struct k2u_record);
	struct k2u_stream stream = {
		.source = K2U_STREAM_UDP,
		.port = PACKET_PORT,
	};
	struct k2u_setup setup = {
		.backing = K2U_BACKING_VMALLOC,
		.node = K2U_NODE_ANY,
	};

	r->record = (head + p->size + 7) & ~7UL;
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

static int ring_open(struct packet *p)
{
	struct records *r = records_new(p);
	int err;

	if (!r)
		return -ENOMEM;
	err = set_up(p, r);
	if (err)
		return err;
	r->map = mmap(NULL, r->len, PROT_READ | PROT_WRITE, MAP_SHARED, r->file,
		      K2U_MMAP_OFFSET(K2U_METHOD_vmalloc));
	if (r->map != MAP_FAILED)
		return 0;
	r->map = NULL;
	return -errno;
}

static int ring_take(struct packet *p, unsigned int max)
{
	struct records *r = p->priv;
	struct k2u_ring *ring = (void *)r->map;
	const char *data = r->map + K2U_RING_DATA(page_bytes());
	const uint64_t there =
		__atomic_load_n(&ring->producer, __ATOMIC_ACQUIRE) - r->at;
	unsigned int n;

	if (max > there)
		max = there;
	for (n = 0; n < max; n++) {
		const struct k2u_record *record =
			(void *)(data + ((r->at + n) & r->mask) * r->record);

		packet_payload(p, record + 1, record->size);
	}
	r->at += n;
	if (n)
		__atomic_store_n(&ring->consumer, r->at, __ATOMIC_RELEASE);
	return n;
}

static int read_open(struct packet *p)
{
	struct records *r = records_new(p);
	int err;

	if (!r)
		return -ENOMEM;
	err = set_up(p, r);
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

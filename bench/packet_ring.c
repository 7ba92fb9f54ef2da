// SPDX-License-Identifier: GPL-2.0
/*
 * packet_ring.c - AF_PACKET: the rings TPACKET_V2, a frame for each packet, and
 * TPACKET_V3, blocks of them, as tcpdump and suricata use them. The kernel copies
 * the packet there; the protocol stack gets it, too.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "packet.h"

#define HEADERS 28 /* IPv4 without options, UDP */
#define FRAME_HEAD 128 /* ahead of them in a frame, at most */
#define BLOCK_V3 (256 * KIB)
/* A block is handed over after one or two of these, or ticks: so a sender that pauses fills none */
#define RETIRE_MS 1
#define SPARE_V3 16

struct ring {
	char *map;
	size_t len;
	union {
		struct tpacket_req v2;
		struct tpacket_req3 v3;
	} req;
	unsigned int at; /* the frame, or block, that comes next */
	/* V3: what is left of that block */
	struct tpacket3_hdr *packet;
	unsigned int left;
	uint64_t dropped;
};

/* UDP to our port, in one piece; the packet begins with its IP header */
static struct sock_filter flow[] = {
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x45, 0, 7),
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 5),
	BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 6),
	BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x3fff, 3, 0),
	BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 22),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_PORT, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, 0x40000),
	BPF_STMT(BPF_RET | BPF_K, 0),
};

static const struct sock_fprog filter = { ARRAY_SIZE(flow), flow };

static int ring_map(struct packet *p, struct ring *r, int version, size_t len)
{
	const struct sockaddr_ll lo = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_IP),
		.sll_ifindex = if_nametoindex("lo"),
	};
	const int yes = 1;

	/* Protocol 0: it receives nothing until it is bound */
	p->fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (p->fd < 0 ||
	    setsockopt(p->fd, SOL_PACKET, PACKET_VERSION, &version,
		       sizeof(version)) ||
	    setsockopt(p->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes,
		       sizeof(yes)) ||
	    setsockopt(p->fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter,
		       sizeof(filter)) ||
	    setsockopt(p->fd, SOL_PACKET, PACKET_RX_RING, &r->req,
		       version == TPACKET_V3 ? sizeof(r->req.v3) :
					       sizeof(r->req.v2)))
		return -errno;
	r->map = mmap(NULL, len, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_POPULATE, p->fd, 0);
	if (r->map == MAP_FAILED)
		return -errno;
	r->len = len;
	return bind(p->fd, (const void *)&lo, sizeof(lo)) ? -errno : 0;
}

static struct ring *ring_new(struct packet *p)
{
	struct ring *r = calloc(1, sizeof(*r));

	p->priv = r;
	return r;
}

static void ring_close(struct packet *p)
{
	struct ring *r = p->priv;

	if (r && r->len)
		munmap(r->map, r->len);
	free(r);
	p->priv = NULL;
}

/* The counters begin anew whenever they are read */
static int ring_dropped(const struct packet *p, uint64_t *count)
{
	struct ring *r = p->priv;
	struct tpacket_stats_v3 stats;
	socklen_t len = sizeof(stats);

	if (getsockopt(p->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len))
		return -errno;
	*count = r->dropped += stats.tp_drops;
	return 0;
}

/* ---- TPACKET_V2 ---- */

static int v2_open(struct packet *p)
{
	struct ring *r = ring_new(p);
	size_t frame = (HEADERS + FRAME_HEAD + p->size + TPACKET_ALIGNMENT) &
		       ~(TPACKET_ALIGNMENT - 1UL);
	size_t block = page_bytes();

	if (!r)
		return -ENOMEM;
	while (block < frame)
		block *= 2;
	/* Frames of a power of two: they lie one after the other across blocks */
	while (frame & (frame - 1))
		frame += frame & -frame;
	r->req.v2 = (struct tpacket_req){
		.tp_block_size = block,
		.tp_block_nr = (p->room * frame + block - 1) / block,
		.tp_frame_size = frame,
	};
	r->req.v2.tp_frame_nr = r->req.v2.tp_block_nr * (block / frame);
	return ring_map(p, r, TPACKET_V2, r->req.v2.tp_block_nr * block);
}

static int v2_take(struct packet *p, unsigned int max)
{
	struct ring *r = p->priv;
	unsigned int n;

	for (n = 0; n < max; n++) {
		struct tpacket2_hdr *h =
			(void *)(r->map +
				 (size_t)r->at * r->req.v2.tp_frame_size);

		if (!(__atomic_load_n(&h->tp_status, __ATOMIC_ACQUIRE) &
		      TP_STATUS_USER))
			break;
		packet_payload(p, (char *)h + h->tp_net + HEADERS,
			       h->tp_snaplen - HEADERS);
		__atomic_store_n(&h->tp_status, TP_STATUS_KERNEL,
				 __ATOMIC_RELEASE);
		r->at = (r->at + 1) % r->req.v2.tp_frame_nr;
	}
	return n;
}

#define NEEDS \
	"socket(AF_PACKET) and its ring (needs CONFIG_PACKET, and root or CAP_NET_RAW)"

const struct packet_ops packet_v2 = {
	.open = v2_open,
	.close = ring_close,
	.take = v2_take,
	.dropped = ring_dropped,
	.needs = NEEDS,
};

/* ---- TPACKET_V3 ---- */

static int v3_open(struct packet *p)
{
	struct ring *r = ring_new(p);
	const size_t packet = HEADERS + FRAME_HEAD + p->size,
		     blocks = p->room / (BLOCK_V3 / packet) + SPARE_V3;

	if (!r)
		return -ENOMEM;
	r->req.v3 = (struct tpacket_req3){
		.tp_block_size = BLOCK_V3,
		.tp_block_nr = blocks,
		.tp_frame_size = 2 * KIB, /* of no meaning here, but checked */
		.tp_frame_nr = blocks * (BLOCK_V3 / (2 * KIB)),
		.tp_retire_blk_tov = RETIRE_MS,
	};
	return ring_map(p, r, TPACKET_V3, blocks * BLOCK_V3);
}

static struct tpacket_block_desc *v3_block(const struct ring *r)
{
	return (void *)(r->map + (size_t)r->at * BLOCK_V3);
}

static int v3_take(struct packet *p, unsigned int max)
{
	struct ring *r = p->priv;
	struct tpacket_hdr_v1 *h;
	unsigned int n;

	for (n = 0; n < max; n++) {
		h = &v3_block(r)->hdr.bh1;
		if (!r->left) {
			if (!(__atomic_load_n(&h->block_status,
					      __ATOMIC_ACQUIRE) &
			      TP_STATUS_USER))
				break;
			r->left = h->num_pkts;
			r->packet = (void *)((char *)h -
					     offsetof(struct tpacket_block_desc,
						      hdr) +
					     h->offset_to_first_pkt);
		}
		packet_payload(p,
			       (char *)r->packet + r->packet->tp_net + HEADERS,
			       r->packet->tp_snaplen - HEADERS);
		r->packet =
			(void *)((char *)r->packet + r->packet->tp_next_offset);
		if (--r->left)
			continue;
		__atomic_store_n(&h->block_status, TP_STATUS_KERNEL,
				 __ATOMIC_RELEASE);
		r->at = (r->at + 1) % r->req.v3.tp_block_nr;
	}
	return n;
}

/* What is left of this block, and the packets of those that follow */
static unsigned int v3_ready(const struct packet *p)
{
	struct ring r = *(struct ring *)p->priv;
	const struct tpacket_hdr_v1 *h;
	unsigned int nr = r.left, i;

	if (nr)
		r.at = (r.at + 1) % r.req.v3.tp_block_nr;
	for (i = 0; i < r.req.v3.tp_block_nr; i++) {
		h = &v3_block(&r)->hdr.bh1;
		if (!(__atomic_load_n(&h->block_status, __ATOMIC_ACQUIRE) &
		      TP_STATUS_USER))
			break;
		nr += h->num_pkts;
		r.at = (r.at + 1) % r.req.v3.tp_block_nr;
	}
	return nr;
}

const struct packet_ops packet_v3 = {
	.open = v3_open,
	.close = ring_close,
	.take = v3_take,
	.dropped = ring_dropped,
	.ready = v3_ready,
	.needs = NEEDS,
};

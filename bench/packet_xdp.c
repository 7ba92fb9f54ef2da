// SPDX-License-Identifier: GPL-2.0
/*
 * packet_xdp.c - AF_XDP: a program on the link sends the flow's packets to a ring of
 * the user's own memory, ahead of the IP layer. The kernel copies them there
 * (XDP_COPY): lo has no driver that would place them, so the program is run by the
 * generic code, too.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpf.h"
#include "packet.h"

#ifndef SOL_XDP
#define SOL_XDP 283
#endif

#define HEADERS (ETH_HLEN + 28) /* IPv4 without options, UDP */
#define FRAME 4096 /* of the umem: a page at most */
#define HEADROOM 256 /* XDP_PACKET_HEADROOM, that the kernel leaves in each */

struct xdp_queue {
	char *map;
	size_t len;
	uint32_t *producer, *consumer;
	void *ring;
};

struct xdp {
	char *umem;
	struct xdp_queue fill, rx;
	uint32_t frames; /* a power of two: of each ring, too */
	int map, program, link;
};

/* Leave by the last two instructions, PASS of them away */
#define UNLESS(reg, value, away) BPF_JMP_IMM(BPF_JNE, reg, value, away)

/* bpf_redirect_map() for UDP to our port in one piece, XDP_PASS for all else */
static int load_program(int map)
{
	const struct bpf_insn insns[] = {
		BPF_MOV64_REG(6, 1),
		BPF_LDX_MEM(BPF_W, 2, 1, offsetof(struct xdp_md, data)),
		BPF_LDX_MEM(BPF_W, 3, 1, offsetof(struct xdp_md, data_end)),
		BPF_MOV64_REG(4, 2),
		BPF_ALU64_IMM(BPF_ADD, 4, HEADERS),
		BPF_JMP_REG(BPF_JGT, 4, 3, 17),
		BPF_LDX_MEM(BPF_H, 5, 2, 12),
		UNLESS(5, htons(ETH_P_IP), 15),
		BPF_LDX_MEM(BPF_B, 5, 2, ETH_HLEN),
		UNLESS(5, 0x45, 13),
		BPF_LDX_MEM(BPF_B, 5, 2, ETH_HLEN + 9),
		UNLESS(5, IPPROTO_UDP, 11),
		BPF_LDX_MEM(BPF_H, 5, 2, ETH_HLEN + 6),
		BPF_ALU64_IMM(BPF_AND, 5, htons(0x3fff)),
		UNLESS(5, 0, 8),
		BPF_LDX_MEM(BPF_H, 5, 2, ETH_HLEN + 22),
		UNLESS(5, htons(PACKET_PORT), 6),
		BPF_LD_MAP_FD(1, map),
		BPF_LDX_MEM(BPF_W, 2, 6,
			    offsetof(struct xdp_md, rx_queue_index)),
		BPF_MOV64_IMM(3, XDP_PASS),
		BPF_EMIT_CALL(redirect_map),
		BPF_EXIT_INSN(),
		BPF_MOV64_IMM(0, XDP_PASS),
		BPF_EXIT_INSN(),
	};

	return bpf_program(BPF_PROG_TYPE_XDP, BPF_XDP, insns,
			   ARRAY_SIZE(insns));
}

/* Every packet of the flow to the socket: p->fd, of queue 0 */
static int attach(struct packet *p, struct xdp *x)
{
	uint32_t queue = 0, fd = p->fd;
	union bpf_attr attr;
	int err;

	x->map = bpf_map(BPF_MAP_TYPE_XSKMAP, sizeof(queue), sizeof(fd), 1, 0);
	if (x->map < 0)
		return x->map;
	err = bpf_map_put(x->map, &queue, &fd);
	if (err)
		return err;
	x->program = load_program(x->map);
	if (x->program < 0)
		return x->program;
	memset(&attr, 0, sizeof(attr));
	attr.link_create.prog_fd = x->program;
	attr.link_create.target_ifindex = if_nametoindex("lo");
	attr.link_create.attach_type = BPF_XDP;
	attr.link_create.flags = XDP_FLAGS_SKB_MODE;
	x->link = bpf_call(BPF_LINK_CREATE, &attr);
	return x->link < 0 ? -errno : 0;
}

static int map_queue(int fd, struct xdp_queue *q, uint32_t entries, off_t at,
		     size_t entry, const struct xdp_ring_offset *off)
{
	q->len = off->desc + entries * entry;
	q->map = mmap(NULL, q->len, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_POPULATE, fd, at);
	if (q->map == MAP_FAILED) {
		q->map = NULL;
		return -errno;
	}
	q->producer = (void *)(q->map + off->producer);
	q->consumer = (void *)(q->map + off->consumer);
	q->ring = q->map + off->desc;
	return 0;
}

static int set_up_socket(struct packet *p, struct xdp *x)
{
	const struct sockaddr_xdp to = {
		.sxdp_family = AF_XDP,
		.sxdp_flags = XDP_COPY,
		.sxdp_ifindex = if_nametoindex("lo"),
	};
	struct xdp_umem_reg umem = { .len = x->frames * FRAME,
				     .chunk_size = FRAME };
	struct xdp_mmap_offsets off;
	socklen_t len = sizeof(off);
	const int entries = x->frames;
	unsigned int i;
	int err;

	x->umem = map_private(NULL, umem.len);
	if (x->umem == MAP_FAILED) {
		x->umem = NULL;
		return -ENOMEM;
	}
	umem.addr = (uintptr_t)x->umem;
	p->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (p->fd < 0 ||
	    setsockopt(p->fd, SOL_XDP, XDP_UMEM_REG, &umem, sizeof(umem)) ||
	    setsockopt(p->fd, SOL_XDP, XDP_UMEM_FILL_RING, &entries,
		       sizeof(entries)) ||
	    setsockopt(p->fd, SOL_XDP, XDP_UMEM_COMPLETION_RING, &entries,
		       sizeof(entries)) ||
	    setsockopt(p->fd, SOL_XDP, XDP_RX_RING, &entries,
		       sizeof(entries)) ||
	    getsockopt(p->fd, SOL_XDP, XDP_MMAP_OFFSETS, &off, &len))
		return -errno;
	err = map_queue(p->fd, &x->fill, x->frames, XDP_UMEM_PGOFF_FILL_RING,
			sizeof(uint64_t), &off.fr);
	if (!err)
		err = map_queue(p->fd, &x->rx, x->frames, XDP_PGOFF_RX_RING,
				sizeof(struct xdp_desc), &off.rx);
	if (err)
		return err;
	/* The kernel may have all frames */
	for (i = 0; i < x->frames; i++)
		((uint64_t *)x->fill.ring)[i] = i * FRAME;
	__atomic_store_n(x->fill.producer, x->frames, __ATOMIC_RELEASE);
	return bind(p->fd, (const void *)&to, sizeof(to)) ? -errno : 0;
}

static int xdp_open(struct packet *p)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct xdp *x = calloc(1, sizeof(*x));
	int err;

	if (!x)
		return -ENOMEM;
	x->map = x->program = x->link = -1;
	x->frames = p->room;
	p->priv = x;
	/* Before 5.11, BPF memory counts against it; a umem's does */
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	err = set_up_socket(p, x);
	return err ? err : attach(p, x);
}

static void xdp_close(struct packet *p)
{
	struct xdp *x = p->priv;

	if (!x)
		return;
	if (x->link >= 0)
		close(x->link);
	if (x->program >= 0)
		close(x->program);
	if (x->map >= 0)
		close(x->map);
	if (x->rx.map)
		munmap(x->rx.map, x->rx.len);
	if (x->fill.map)
		munmap(x->fill.map, x->fill.len);
	if (x->umem)
		munmap(x->umem, x->frames * FRAME);
	free(x);
	p->priv = NULL;
}

static int xdp_take(struct packet *p, unsigned int max)
{
	struct xdp *x = p->priv;
	const struct xdp_desc *ring = x->rx.ring;
	uint64_t *fill = x->fill.ring;
	uint32_t at = *x->rx.consumer, free = *x->fill.producer, n;
	uint32_t there = __atomic_load_n(x->rx.producer, __ATOMIC_ACQUIRE) - at;

	if (max > there)
		max = there;
	for (n = 0; n < max; n++) {
		const struct xdp_desc *d = &ring[(at + n) % x->frames];

		packet_payload(p, x->umem + d->addr + HEADERS,
			       d->len - HEADERS);
		/* Back to the kernel: there are as many places as frames */
		fill[(free + n) % x->frames] = d->addr & ~(FRAME - 1UL);
	}
	if (n) {
		__atomic_store_n(x->rx.consumer, at + n, __ATOMIC_RELEASE);
		__atomic_store_n(x->fill.producer, free + n, __ATOMIC_RELEASE);
	}
	return n;
}

static int xdp_dropped(const struct packet *p, uint64_t *count)
{
	struct xdp_statistics stats;
	socklen_t len = sizeof(stats);

	if (getsockopt(p->fd, SOL_XDP, XDP_STATISTICS, &stats, &len))
		return -errno;
	*count = stats.rx_dropped + stats.rx_ring_full;
	return 0;
}

bool packet_xdp_refuse(const struct source *s, uint64_t size, char *why,
		       size_t len)
{
	const uint64_t most = FRAME - HEADROOM - HEADERS;

	if (size <= most)
		return false;
	snprintf(
		why, len,
		"a frame of a umem is a page at most: %lu bytes of payload; larger ones take several since Linux 6.6 (XDP_USE_SG)",
		most);
	return true;
}

const struct packet_ops packet_xdp = {
	.open = xdp_open,
	.close = xdp_close,
	.take = xdp_take,
	.dropped = xdp_dropped,
	.needs =
		"socket(AF_XDP) and a program on lo (needs CONFIG_XDP_SOCKETS, CONFIG_BPF_SYSCALL, and root or CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF)",
};

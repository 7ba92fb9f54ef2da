// SPDX-License-Identifier: GPL-2.0
/* packet_source.c - the rows of who takes packets, for measure skb. */
#include <errno.h>

#include "packet.h"

static const struct source_ops no_buffer = {};
static const struct source_ops umem = { .refuse = packet_xdp_refuse };
static const struct source_ops whole_pages = { .refuse = packet_page_refuse };

static const struct source rows[] = {
	{
		.provider = "tree",
		.method = "null",
		.backing = "skb",
		.flags = SOURCE_NULL,
		.ops = &no_buffer,
		.packet = &packet_null,
		.via = "a socket whose filter drops all: the packet comes, and nobody takes it",
	},
	{
		.provider = "tree",
		.method = "recv",
		.backing = "socket",
		.ops = &no_buffer,
		.packet = &packet_recv,
		.via = "udp_recvmsg(): recv() of one, recvmmsg() of several",
	},
	{
		.provider = "tree",
		.method = "packet_v2",
		.backing = "ring",
		.ops = &no_buffer,
		.packet = &packet_v2,
		.via = "tpacket_rcv(): AF_PACKET, TPACKET_V2, a mapped ring of frames",
	},
	{
		.provider = "tree",
		.method = "packet_v3",
		.backing = "ring",
		.ops = &no_buffer,
		.packet = &packet_v3,
		.via = "tpacket_rcv(): AF_PACKET, TPACKET_V3, a mapped ring of blocks, handed over by a timer of 1 ms",
	},
	{
		.provider = "tree",
		.method = "xdp",
		.backing = "umem",
		.ops = &umem,
		.packet = &packet_xdp,
		.via = "xsk_generic_rcv(): AF_XDP, XDP_COPY, a generic program on lo",
	},
	{
		.provider = "k2u",
		.method = "ring",
		.backing = "skb",
		.ops = &no_buffer,
		.packet = &packet_k2u_ring,
		.via = "a hook at NF_INET_LOCAL_IN: skb_copy_bits() into a mapped ring",
	},
	{
		.provider = "k2u",
		.method = "read",
		.backing = "skb",
		.ops = &no_buffer,
		.packet = &packet_k2u_read,
		.via = "the same ring, by read()",
	},
	{
		.provider = "k2u",
		.method = "page",
		.backing = "skb",
		.ops = &whole_pages,
		.packet = &packet_k2u_page,
		.via = "the same hook keeps the pages of the packet: mapped by K2U_IOC_STREAM_MAP, given back by madvise()",
	},
};

int packet_sources(struct sources *s, const char *device)
{
	const unsigned int first = s->nr;
	char absent[sizeof(s->v->reason)] = "";
	unsigned int i;

	packet_k2u_device(device);
	/* The module's first row: it is missing where the module is */
	for (i = 0; i < first; i++)
		if (!strcmp(s->v[i].provider, "k2u")) {
			/* A copy: the array moves as it grows */
			snprintf(absent, sizeof(absent), "%s", s->v[i].reason);
			break;
		}
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct source row = rows[i];

		row.cache = "wb";
		row.access = ACCESS_PACKET;
		row.store_id = i;
		if (!row.reason[0] && !strcmp(row.provider, "k2u"))
			snprintf(row.reason, sizeof(row.reason), "%s", absent);
		if (!source_add(s, &row))
			return -ENOMEM;
	}
	packet_probe(s->v + first, s->nr - first);
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * packet.h - packets of one UDP flow, and who takes their payloads.
 *
 * Each receiver has a network namespace of its own, with a loopback device and a
 * sender. What it does not take ends at a socket that drops all, so that no
 * packet is answered by an ICMP error.
 */
#ifndef PACKET_H
#define PACKET_H

#include <string.h>
#include <sys/mman.h>

#include "bench.h"

#define PACKET_PORT 7
#define PACKET_BATCH 64 /* packets of a system call that takes several */

struct packet {
	const struct source *src;
	uint64_t size; /* of every payload: a sequence number, and the pattern */
	const char *contents;
	unsigned int
		room; /* packets that it can hold, at least: a power of two */

	/* packet_net.c */
	int tx; /* connected to the flow's port */
	int sink; /* bound to it */
	int pipe[2]; /* where a payload is whole pages: they go from here to tx */
	int links; /* /proc/net/dev of the namespace */
	uint64_t sent;
	struct packet_batch *batch;

	/* The receiver's: poll() says when there is something to take */
	int fd;
	void *priv;

	/* Of what was taken */
	uint64_t taken, sum, bytes;
	uint64_t next; /* the sequence number that comes if none is lost */
	uint64_t lost, wrong; /* gaps; payloads that are not what was sent */
	uint64_t paged; /* that came by reference */
	bool compare; /* every byte, besides: not in a timed window */
};

struct packet_ops {
	/* In the new namespace. fd, priv; -errno is undone by close() */
	int (*open)(struct packet *p);
	void (*close)(struct packet *p);
	/* Payloads by packet_payload(), at most max, 0 if there are none: how many */
	int (*take)(struct packet *p, unsigned int max);
	/* What this receiver dropped so far, by its own count */
	int (*dropped)(const struct packet *p, uint64_t *count);
	/*
	 * Where it is a timer that hands packets over: how many have been. Optional; one
	 * packet is nothing to ask of such a receiver.
	 */
	unsigned int (*ready)(const struct packet *p);
	bool by_reference; /* nothing but payloads of whole pages */
	const char *
		needs; /* of the system, and of who runs it: why open() may fail */
};

/*
 * The pages that a payload of so many bytes is, if it is whole ones: then it is sent
 * as such, whoever takes it; 0: it is not.
 */
static inline unsigned int packet_pages(uint64_t size)
{
	const uint64_t pages = size / page_bytes();

	return size % page_bytes() ||
			       pages > K2U_STREAM_PAGES_MAX(page_bytes()) ?
		       0 :
		       pages;
}

/* What every user does with a payload: reads all of its bytes, in place or in its buffer */
static inline void packet_payload(struct packet *p, const void *payload,
				  size_t len)
{
	uint64_t seq;

	memcpy(&seq, payload, sizeof(seq));
	p->sum += consume(payload, len);
	p->lost += seq - p->next;
	p->next = seq + 1;
	p->bytes += len;
	p->taken++;
	if (p->compare &&
	    (len != p->size ||
	     bytes_differ((const char *)payload + sizeof(seq),
			  p->contents + sizeof(seq), len - sizeof(seq)) != -1))
		p->wrong++;
}

/* packet_net.c */
int packet_open(struct packet *p);
void packet_close(struct packet *p);
int packet_send(struct packet *p, unsigned int nr);
int packet_wait(const struct packet *p, int ms);
int packet_link_dropped(const struct packet *p, uint64_t *count);
/* Of each row, whether it works here: reason */
void packet_probe(struct source *rows, unsigned int nr);

/* packet_source.c: adds the rows */
int packet_sources(struct sources *s, const char *device);

extern const struct packet_ops packet_null, packet_recv, packet_v2, packet_v3,
	packet_xdp, packet_k2u_ring, packet_k2u_read, packet_k2u_page;

/* packet_xdp.c: a frame of a umem is a page */
bool packet_xdp_refuse(const struct source *s, uint64_t size, char *why,
		       size_t len);
/* packet_k2u.c */
bool packet_page_refuse(const struct source *s, uint64_t size, char *why,
			size_t len);
void packet_k2u_device(const char *path);

#endif /* PACKET_H */

// SPDX-License-Identifier: GPL-2.0
/*
 * K2U_STREAM_UDP: payloads of one UDP port of a network namespace, copied out of the
 * packets by a hook where they are delivered locally: behind the firewall, and whole,
 * as fragments have been put together by then. Without a stream there is no hook.
 *
 * Of several streams of a port each gets a packet, the newest first, up to one that
 * steals it.
 *
 * The stream holds its namespace, as a socket does: it lives until the descriptor is
 * gone, and no order of their ends is special.
 */
#include "stream.h"

#if defined(CONFIG_INET) && defined(CONFIG_NETFILTER)

#include <linux/capability.h>
#include <linux/ip.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/nsproxy.h>
#include <linux/sched.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/udp.h>
#include <net/ip.h>
#include <net/net_namespace.h>

#include "k2u_mod.h"

struct k2u_udp {
	struct k2u_ring_state *ring;
	struct net *net;
	struct nf_hook_ops hook;
	__be16 port;
	bool steal;
};

static void k2u_udp_record(struct k2u_ring_state *ring,
			   const struct sk_buff *skb, unsigned int at,
			   unsigned int len)
{
	const unsigned int room = ring->record_size - sizeof(struct k2u_record);
	const unsigned int size = min(len, room);
	struct k2u_record *record;
	bool made;

	k2u_ring_lock(ring);
	record = k2u_ring_reserve(ring);
	/* The copy cannot fail: the packet has so many bytes. */
	made = record && !skb_copy_bits(skb, at, record + 1, size);
	if (made) {
		record->stamp = 0;
		record->size = size;
		record->flags = size < len ? K2U_RECORD_CUT : 0;
		k2u_ring_commit(ring);
	}
	k2u_ring_unlock(ring);
	k2u_ring_wake(ring, made);
}

/*
 * A train of datagrams that goes through the stack as one packet (GSO) is not ours:
 * it has no length of each. What a socket would refuse is not, either.
 */
static unsigned int k2u_udp_hook(void *priv, struct sk_buff *skb,
				 const struct nf_hook_state *state)
{
	const unsigned int at = ip_hdrlen(skb);
	const struct k2u_udp *u = priv;
	const struct udphdr *udp;
	struct udphdr head;
	unsigned int len;

	if (ip_hdr(skb)->protocol != IPPROTO_UDP ||
	    ip_is_fragment(ip_hdr(skb)) || skb_is_gso(skb))
		return NF_ACCEPT;
	udp = skb_header_pointer(skb, at, sizeof(head), &head);
	if (!udp || udp->dest != u->port)
		return NF_ACCEPT;
	len = ntohs(udp->len);
	if (len < sizeof(head) || len > skb->len - at)
		return NF_ACCEPT;
	if (udp->check && nf_ip_checksum(skb, state->hook, at, IPPROTO_UDP))
		return NF_ACCEPT;

	k2u_udp_record(u->ring, skb, at + sizeof(head), len - sizeof(head));
	if (!u->steal)
		return NF_ACCEPT;
	/* Not NF_DROP: it got where it should. */
	consume_skb(skb);
	return NF_STOLEN;
}

static int k2u_udp_start(struct k2u_ring_state *ring,
			 const struct k2u_stream *arg)
{
	struct net *net = current->nsproxy->net_ns;
	struct k2u_udp *u;
	int err;

	if (!arg->port)
		return -EINVAL;
	if (!ns_capable(net->user_ns, CAP_NET_ADMIN))
		return -EPERM;
	u = kzalloc(sizeof(*u), K2U_GFP | __GFP_ACCOUNT);
	if (!u)
		return -ENOMEM;
	u->ring = ring;
	u->net = get_net(net);
	u->port = htons(arg->port);
	u->steal = arg->flags & K2U_STREAM_STEAL;
	u->hook = (struct nf_hook_ops){
		.hook = k2u_udp_hook,
		.priv = u,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_LOCAL_IN,
		.priority = NF_IP_PRI_LAST,
	};
	ring->priv = u;
	err = nf_register_net_hook(net, &u->hook);
	if (err) {
		put_net(net);
		kfree(u);
	}
	return err;
}

static void k2u_udp_stop(struct k2u_ring_state *ring)
{
	struct k2u_udp *u = ring->priv;

	nf_unregister_net_hook(u->net, &u->hook);
	/* It does not wait for those who are in the hook. */
	synchronize_net();
	put_net(u->net);
	kfree(u);
}

#else

#include <linux/errno.h>

static int k2u_udp_start(struct k2u_ring_state *ring,
			 const struct k2u_stream *arg)
{
	return -EOPNOTSUPP;
}

static void k2u_udp_stop(struct k2u_ring_state *ring)
{
}

#endif

const struct k2u_stream_source k2u_stream_udp = {
	.start = k2u_udp_start,
	.stop = k2u_udp_stop,
};

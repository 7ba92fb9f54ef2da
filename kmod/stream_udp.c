// SPDX-License-Identifier: GPL-2.0
/*
 * K2U_STREAM_UDP: payloads of one UDP port of a network namespace, copied out of the
 * packets, or kept by their pages, by a hook where they are delivered locally: behind
 * the firewall, and whole, as fragments have been put together by then. Without a
 * stream there is no hook.
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

/*
 * Of order 0, all of it, and no file's or process's, as TCP wants it (can_map_frag(),
 * net/ipv4/tcp.c). A page whose mapping is gone, and which may have one again, is on the
 * LRU or swap-backed; one that is mapped, reserved (the zero page) or of a type has an
 * owner, too.
 */
static bool k2u_frag_is_page(const skb_frag_t *frag)
{
	const unsigned long others = PAGE_FLAGS_CHECK_AT_FREE |
				     BIT(PG_swapbacked);
	struct page *page = skb_frag_page(frag);

	return page && skb_frag_size(frag) == PAGE_SIZE &&
	       !skb_frag_off(frag) && !PageCompound(page) && !page->mapping &&
	       atomic_read(&page->_mapcount) == -1 &&
	       !(k2u_page_flags(page) & others);
}

/* The pages that are all of the payload and nothing else: how many, or 0 */
static unsigned int k2u_udp_pages(const struct sk_buff *skb, unsigned int at,
				  unsigned int len, struct page **pages)
{
	const struct skb_shared_info *info = skb_shinfo(skb);
	const unsigned int nr = len >> PAGE_SHIFT;
	unsigned int i;

	if (offset_in_page(len) ||
	    nr > min_t(unsigned int, info->nr_frags, K2U_PAGES_MAX) ||
	    at != skb_headlen(skb))
		return 0;
	for (i = 0; i < nr; i++) {
		if (!k2u_frag_is_page(&info->frags[i]))
			return 0;
		pages[i] = skb_frag_page(&info->frags[i]);
	}
	return nr;
}

static void k2u_udp_record(struct k2u_ring_state *ring,
			   const struct sk_buff *skb, unsigned int at,
			   unsigned int len)
{
	const unsigned int room = ring->record_size - sizeof(struct k2u_record);
	const unsigned int size = min(len, room);
	struct page *pages[K2U_PAGES_MAX + 1];
	struct k2u_record *record;
	unsigned int nr = 0;
	bool made;

	if (ring->pages)
		nr = k2u_udp_pages(skb, at, len, pages);
	k2u_ring_lock(ring);
	record = k2u_ring_reserve(ring);
	if (record && ring->pages)
		k2u_pages_hold(ring, pages, nr);
	/* The copy cannot fail: the packet has so many bytes. */
	made = record && (nr || !skb_copy_bits(skb, at, record + 1, size));
	if (made) {
		record->stamp = 0;
		record->size = nr ? len : size;
		record->flags = nr	   ? K2U_RECORD_PAGES :
				size < len ? K2U_RECORD_CUT :
					     0;
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

	if (!arg->port || arg->period_ns)
		return -EINVAL;
	if (!ns_capable(net->user_ns, CAP_NET_ADMIN))
		return -EPERM;
	u = kzalloc(sizeof(*u), K2U_GFP | __GFP_ACCOUNT);
	if (!u)
		return -ENOMEM;
	err = arg->flags & K2U_STREAM_PAGES ? k2u_pages_start(ring) : 0;
	if (err)
		goto free;
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
	if (!err)
		return 0;
	put_net(net);
	k2u_pages_stop(ring);
free:
	kfree(u);
	return err;
}

static void k2u_udp_stop(struct k2u_ring_state *ring)
{
	struct k2u_udp *u = ring->priv;

	nf_unregister_net_hook(u->net, &u->hook);
	/* It does not wait for those who are in the hook. */
	synchronize_net();
	put_net(u->net);
	k2u_pages_stop(ring);
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

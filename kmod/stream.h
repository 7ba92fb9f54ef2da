/* SPDX-License-Identifier: GPL-2.0 */
/* A ring of records in a buffer, for who produces them: include/k2u.h has its layout. */
#ifndef K2U_STREAM_H
#define K2U_STREAM_H

#include <linux/atomic.h>
#include <linux/eventfd.h>
#include <linux/minmax.h>
#include <linux/sizes.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>

#include "compat.h"
#include "k2u.h"

struct k2u_ring_pages;
struct k2u_stream_source;

/*
 * User space writes the buffer as it likes, so all that is believed is here, and
 * what is in the shared page of it is stored, never loaded; but for consumer.
 */
struct k2u_ring_state {
	spinlock_t lock; /* producers; with softirqs off */
	u32 record_size;
	u64 producer; /* stored with release under lock: readers take none */
	u64 limit; /* producer, when the ring would be full: as last seen */
	u64 dropped;
	u64 mask; /* slots - 1 */
	void *data;
	struct k2u_ring *shared;
	void *priv; /* the source's own */
	/* What each record of K2U_IOC_PRODUCE is but for its seq and stamp; or NULL */
	struct k2u_record *pattern;
	struct k2u_ring_pages *pages; /* K2U_STREAM_PAGES; else NULL */
	const struct k2u_stream_source *source;
	struct eventfd_ctx *eventfd; /* or NULL */
	wait_queue_head_t wait;
	atomic64_t wakeups;
};

/* One per K2U_STREAM_*, in stream.c. */
struct k2u_stream_source {
	/* Records may come from here on; it checks port, period, STEAL and PAGES of arg. */
	int (*start)(struct k2u_ring_state *ring, const struct k2u_stream *arg);
	/* K2U_IOC_PRODUCE; NULL: there is none. */
	long (*produce)(struct k2u_ring_state *ring, struct k2u_produce *arg);
	/* Where start returned 0. When it returns, nothing produces any more. */
	void (*stop)(struct k2u_ring_state *ring);
};

extern const struct k2u_stream_source k2u_stream_udp; /* stream_udp.c */
extern const struct k2u_stream_source k2u_stream_timer; /* stream_timer.c */

/* Produced with softirqs off; then others may run. */
#define K2U_PRODUCE_BYTES SZ_16K

static inline u64 k2u_produce_chunk(const struct k2u_ring_state *ring)
{
	return max_t(u64, K2U_PRODUCE_BYTES / ring->record_size, 1);
}

/* Of records that are made by a pattern: its memory, and so many of them, under the lock. */
int k2u_pattern_start(struct k2u_ring_state *ring,
		      const struct k2u_stream *arg);
void k2u_pattern_stop(struct k2u_ring_state *ring);
void k2u_pattern_produce(struct k2u_ring_state *ring, u64 count, u64 stamp);
void k2u_ring_drop(struct k2u_ring_state *ring, u64 count);

u64 k2u_ring_behind(const struct k2u_ring_state *ring, u64 producer);
bool k2u_ring_refill(struct k2u_ring_state *ring);
void k2u_ring_wake_waiters(struct k2u_ring_state *ring);

/* stream_pages.c */
#define K2U_PAGES_MAX K2U_STREAM_PAGES_MAX(PAGE_SIZE) /* of a record */

int k2u_pages_start(struct k2u_ring_state *ring);
void k2u_pages_stop(struct k2u_ring_state *ring);
void k2u_pages_hold(struct k2u_ring_state *ring, struct page *const *pages,
		    unsigned int nr);
int k2u_pages_mmap(const struct k2u_ring_state *ring,
		   struct vm_area_struct *vma);
long k2u_pages_map(struct file *file, struct k2u_ring_state *ring,
		   void __user *uarg);

/* Around reserve and commit: from process context, and from softirq. */
static inline void k2u_ring_lock(struct k2u_ring_state *ring)
	__acquires(&ring->lock)
{
	spin_lock_bh(&ring->lock);
}

static inline void k2u_ring_unlock(struct k2u_ring_state *ring)
	__releases(&ring->lock)
{
	spin_unlock_bh(&ring->lock);
}

/* Of the record that comes next, a dropped one included. */
static inline u64 k2u_ring_seq(const struct k2u_ring_state *ring)
{
	return ring->producer + ring->dropped;
}

/*
 * The next slot of record_size bytes, for k2u_ring_commit(), or without it for the
 * next call; NULL where the ring is full: the record is dropped and counted. User
 * space may write there at any time: the caller stores and does not load.
 */
static __always_inline struct k2u_record *
k2u_ring_reserve(struct k2u_ring_state *ring)
{
	struct k2u_record *record;

	if (unlikely(ring->producer == ring->limit) && !k2u_ring_refill(ring))
		return NULL;
	record = ring->data + (ring->producer & ring->mask) * ring->record_size;
	record->seq = k2u_ring_seq(ring);
	return record;
}

/* User space, and read(), see the record. */
static __always_inline void k2u_ring_commit(struct k2u_ring_state *ring)
{
	const u64 producer = ring->producer + 1;

	/* Pairs with the acquire of read() and poll(). */
	smp_store_release(&ring->producer, producer);
	/* Pairs with that of user space. */
	smp_store_release(&ring->shared->producer, producer);
}

/*
 * After all commits of a call, without the lock; committed: whether there were any.
 * No wake-up handler may call it: an eventfd's is not to signal another, and the core
 * warns and does nothing (eventfd_signal_mask(); fs/eventfd.c, since 5.6).
 */
static inline void k2u_ring_wake(struct k2u_ring_state *ring, bool committed)
{
	/* Its barrier pairs with those of wait_event() and k2u_stream_poll(). */
	if (wq_has_sleeper(&ring->wait))
		k2u_ring_wake_waiters(ring);
	/* Its lock puts the records ahead of the count, for who reads that. */
	if (unlikely(ring->eventfd) && committed)
		k2u_eventfd_signal(ring->eventfd);
}

#endif /* K2U_STREAM_H */

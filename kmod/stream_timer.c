// SPDX-License-Identifier: GPL-2.0
/*
 * K2U_STREAM_TIMER: records from a high-resolution timer, as a driver's interrupt hands
 * them over. It expires in a softirq, where the ring's lock can be taken, on the CPU that
 * asked for the records.
 */
#include <linux/atomic.h>
#include <linux/hrtimer.h>
#include <linux/math64.h>
#include <linux/slab.h>

#include "k2u_mod.h"
#include "stream.h"

struct k2u_timer {
	struct hrtimer timer;
	struct k2u_ring_state *ring;
	u32 period;
	/* Under the ring's lock: */
	u64 left; /* records to produce */
	u64 due; /* of the next one: ns, CLOCK_MONOTONIC */
};

static atomic_t k2u_timers = ATOMIC_INIT(0);

/*
 * No more than a chunk at a time, and the next one is due later than now: however late it
 * is, and whatever a record takes, others get this CPU.
 */
static enum hrtimer_restart k2u_timer_expired(struct hrtimer *timer)
{
	struct k2u_timer *t = container_of(timer, struct k2u_timer, timer);
	struct k2u_ring_state *ring = t->ring;
	const u64 now = ktime_to_ns(hrtimer_cb_get_time(timer));
	u64 before, made, late = 0, n, i;
	bool more;

	k2u_ring_lock(ring);
	before = ring->producer;
	if (now > t->due)
		late = div_u64(now - t->due, t->period);
	n = min(t->left, late + 1);
	t->left -= n;
	for (i = min(n, k2u_produce_chunk(ring)); i; i--, n--) {
		k2u_pattern_produce(ring, 1, t->due);
		t->due += t->period;
	}
	if (unlikely(n))
		k2u_ring_drop(ring, n);
	t->due += n * t->period;
	more = t->left;
	if (more)
		hrtimer_set_expires(timer, ns_to_ktime(t->due));
	made = ring->producer - before;
	k2u_ring_unlock(ring);
	k2u_ring_wake(ring, made);
	return more ? HRTIMER_RESTART : HRTIMER_NORESTART;
}

static int k2u_timer_start(struct k2u_ring_state *ring,
			   const struct k2u_stream *arg)
{
	struct k2u_timer *t;
	int err;

	if (arg->period_ns < K2U_PERIOD_MIN || arg->period_ns > K2U_PERIOD_MAX)
		return -EINVAL;
	err = k2u_pattern_start(ring, arg);
	if (err)
		return err;
	t = kzalloc(sizeof(*t), K2U_GFP | __GFP_ACCOUNT);
	if (!t) {
		err = -ENOMEM;
		goto stop;
	}
	if (!atomic_add_unless(&k2u_timers, 1, K2U_STREAM_TIMERS_MAX)) {
		err = -EUSERS;
		goto free;
	}
	t->ring = ring;
	t->period = arg->period_ns;
	hrtimer_setup(&t->timer, k2u_timer_expired, CLOCK_MONOTONIC,
		      HRTIMER_MODE_ABS_PINNED_SOFT);
	ring->priv = t;
	return 0;

free:
	kfree(t);
stop:
	k2u_pattern_stop(ring);
	return err;
}

static long k2u_timer_produce(struct k2u_ring_state *ring,
			      struct k2u_produce *arg)
{
	struct k2u_timer *t = ring->priv;
	u64 due = arg->stamp;

	if (due > KTIME_MAX)
		return -EINVAL;
	if (!arg->count)
		return 0;
	if (!due)
		due = ktime_get_ns() + t->period;
	k2u_ring_lock(ring);
	if (t->left) {
		k2u_ring_unlock(ring);
		return -EBUSY;
	}
	t->left = arg->count;
	t->due = due;
	k2u_ring_unlock(ring);
	/* Whoever else comes finds it busy, until it has expired. */
	hrtimer_start(&t->timer, ns_to_ktime(due),
		      HRTIMER_MODE_ABS_PINNED_SOFT);
	return 0;
}

static void k2u_timer_stop(struct k2u_ring_state *ring)
{
	struct k2u_timer *t = ring->priv;

	hrtimer_cancel(&t->timer);
	atomic_dec(&k2u_timers);
	kfree(t);
	k2u_pattern_stop(ring);
}

const struct k2u_stream_source k2u_stream_timer = {
	.start = k2u_timer_start,
	.produce = k2u_timer_produce,
	.stop = k2u_timer_stop,
};

// SPDX-License-Identifier: GPL-2.0
/*
 * stream_timerfd.c - the expiries of a timerfd, without records: what a wake-up from a
 * timer takes where nothing is handed over.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "stream.h"

struct expiries {
	int fd;
	uint64_t due; /* of the one that comes next */
	uint64_t left; /* that are asked for */
};

static int expiries_open(struct stream *s)
{
	struct expiries *e = calloc(1, sizeof(*e));
	int err;

	s->priv = e;
	if (!e)
		return -ENOMEM;
	e->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (e->fd >= 0)
		return 0;
	err = -errno;
	free(e);
	return err;
}

static void expiries_close(struct stream *s)
{
	struct expiries *e = s->priv;

	close(e->fd);
	free(e);
	s->priv = NULL;
}

static struct timespec timespec_of(uint64_t ns)
{
	return (struct timespec){ .tv_sec = ns / 1000000000,
				  .tv_nsec = ns % 1000000000 };
}

/* It goes on after the n-th, until it is armed with 0 */
static int expiries_arm(struct stream *s, uint64_t n, uint64_t due)
{
	struct expiries *e = s->priv;
	const struct itimerspec when = {
		.it_value = timespec_of(n ? due : 0),
		.it_interval = timespec_of(n ? s->period_ns : 0),
	};

	e->due = due;
	e->left = n;
	return timerfd_settime(e->fd, TFD_TIMER_ABSTIME, &when, NULL) ? -errno :
									0;
}

/* One, in no time */
static int expiries_produce(struct stream *s, uint64_t n, uint64_t stamp)
{
	return expiries_arm(s, n, 1);
}

/* All that there were, whatever max is */
static int64_t expiries_consume(struct stream *s, uint64_t max)
{
	struct expiries *e = s->priv;
	uint64_t n;

	if (read(e->fd, &n, sizeof(n)) != sizeof(n))
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	n = n < e->left ? n : e->left;
	e->left -= n;
	e->due += n * s->period_ns;
	s->tally.stamp = e->due - s->period_ns;
	s->tally.records += n;
	s->tally.next += n;
	return n;
}

static int expiries_wait(struct stream *s, int timeout_ms)
{
	const struct expiries *e = s->priv;

	return stream_poll(e->fd, timeout_ms);
}

static int expiries_dropped(struct stream *s, uint64_t *dropped)
{
	*dropped = 0;
	return 0;
}

const struct stream_ops stream_timerfd_ops = {
	.open = expiries_open,
	.close = expiries_close,
	.produce = expiries_produce,
	.arm = expiries_arm,
	.consume = expiries_consume,
	.wait = expiries_wait,
	.dropped = expiries_dropped,
	.needs = "the kernel lacks CONFIG_TIMERFD",
};

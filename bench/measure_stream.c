// SPDX-License-Identifier: GPL-2.0
/*
 * measure_stream.c - records that the kernel keeps producing (stream.h).
 *
 * By turns on one CPU, which is all that a count of instructions has; from one CPU
 * to another flat out, and at intended times; and woken for each on the same CPU.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "stream.h"

#define TURN 64 /* records that are produced, then consumed */
#define CHUNK_RECORDS 64 /* that a flat out producer asks for at a time */
#define RING_BYTES (256 * KIB) /* of data, but for large records */
#define RING_TURNS 4 /* flat out: so many times the ring */
#define PACE_NS 20000 /* between intended times */
#define LEAD 64 /* records ahead of those whose latency is recorded */
#define SINGLES 11000 /* enough for p99.9, though some may be dropped */
#define LAST UINT64_MAX /* stamp of the record that ends a run of them */
#define WAIT_MS 100
#define EMPTY_MAX 1000
#define TIMER_NS 50000 /* between records of a timer */
#define TIMER_LEAD_NS 100000 /* until the first of them */
#define TIMER_ICOUNT 64 /* of a sample, where instructions are counted */
#define SPINS (1 << 20) /* looks for a record; then, whether more will come */
#define WAKE_LEAD 4 /* records ahead of those that are timed */

/* Where records are produced: probe.k of two threads has one, and whether it polls */
#define PLACE_SAME 0u
#define PLACE_SIBLING 1u
#define PLACE_OTHER 2u
#define PLACE 3u
#define POLLS 4u

struct work {
	struct stream s;
	uint64_t asked; /* records */
	uint64_t samples, bad; /* in which they are not accounted for */
	/* At the end, or after the first such sample */
	struct tally seen;
	uint64_t dropped, expected;
	uint64_t wakes,
		slept; /* of a consumer that is to sleep after each record */
};

static uint64_t slots_of(uint64_t record_size)
{
	uint64_t slots = RING_BYTES / record_size;

	return slots < 2 * TURN ? 2 * TURN : slots;
}

static int place_cpu(const struct run *r, unsigned int place)
{
	return place == PLACE_SAME ?
		       r->opt.cpu :
		       stream_cpu(r->opt.cpu, place == PLACE_SIBLING);
}

static bool absent(const struct source *s, uint64_t size, char *why, size_t len)
{
	return s->stream->refuse && s->stream->refuse(size, why, len);
}

/* The ring of this cell alone, from before its first sample until after its last */
static int begin(struct cell *c, unsigned int place, bool sleeps,
		 uint32_t period_ns)
{
	struct work *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	w->s = (struct stream){
		.src = c->src,
		.record_size = c->group->size,
		.slots = slots_of(c->group->size),
		.seed = c->buf->seed,
		.cpu = place_cpu(c->run, place),
		.sleeps = sleeps,
		.period_ns = period_ns,
	};
	err = c->src->stream->open(&w->s);
	if (err)
		free(w);
	else
		c->priv = w;
	return err;
}

static void end(struct cell *c)
{
	struct work *w = c->priv;

	if (w)
		c->src->stream->close(&w->s);
}

static int produce(struct work *w, uint64_t n, uint64_t stamp)
{
	w->asked += n;
	return w->s.src->stream->produce(&w->s, n, stamp);
}

/* The ring is empty: all of a sample was consumed or dropped, and is what was made */
static int account(struct cell *c)
{
	struct work *w = c->priv;
	const struct tally *t = &w->s.tally;
	uint64_t dropped;
	int err = c->src->stream->dropped(&w->s, &dropped);

	if (err || c->src->flags & SOURCE_NULL)
		return err;
	cell_consumed(c, t->sum,
		      t->heads + t->records * record_body(w->s.record_size,
							  w->s.seed));
	w->samples++;
	if (!w->bad) {
		w->seen = *t;
		w->dropped = dropped;
		w->expected = w->asked;
	}
	w->bad += t->records + dropped != w->asked || t->gaps != dropped ||
		  t->torn;
	return 0;
}

static int finish(struct cell *c)
{
	const struct work *w = c->priv;
	char expected[32], got[32], note[160];

	if (!w || !w->samples)
		return 0;
	snprintf(expected, sizeof(expected), "%lu", w->expected);
	snprintf(got, sizeof(got), "%lu", w->seen.records + w->dropped);
	snprintf(
		note, sizeof(note),
		"%lu of %lu samples are right: %lu dropped and %lu gaps in seq%s",
		w->samples - w->bad, w->samples, w->dropped, w->seen.gaps,
		w->seen.torn ? "; a last word is not seq" : "");
	check(c, c->probe->metric, "accounted", expected, got,
	      w->bad ? "fail" : "pass", note);
	c->run->failed += !!w->bad;
	if (!w->wakes)
		return 0;
	/* Once more than it is woken for: before the first record of a sample */
	snprintf(expected, sizeof(expected), "%lu", w->wakes);
	snprintf(got, sizeof(got), "%lu", w->slept);
	check(c, c->probe->metric, "woken", expected, got,
	      w->slept < w->wakes ? "fail" : "pass",
	      "records; how often the consumer slept: once for each at least");
	c->run->failed += w->slept < w->wakes;
	return 0;
}

/* ---- by turns: so many are produced, then consumed ---- */

enum { PRODUCE, CONSUME };

static int op_produce(void *arg, uint64_t i)
{
	struct cell *c = arg;

	return produce(c->priv, c->probe->k, 0);
}

static int op_consume(void *arg, uint64_t i)
{
	struct cell *c = arg;
	struct work *w = c->priv;
	int64_t n = c->src->stream->consume(&w->s, c->probe->k);

	return n == c->probe->k ? 0 : n < 0 ? (int)n : -ENODATA;
}

static int begin_turns(struct cell *c)
{
	return begin(c, PLACE_SAME, false, 0);
}

static int sample_turns(struct cell *c, uint64_t n, struct reading *out)
{
	const unsigned int k = c->probe->k, calls = TURN / k;
	int64_t elapsed;
	int err = 0;

	while (n-- && !err) {
		err = timed_loop(op_produce, c, calls, &elapsed);
		reading_add(&out[PRODUCE], elapsed, TURN, calls);
		if (err || c->src->flags & SOURCE_NULL)
			continue;
		err = timed_loop(op_consume, c, calls, &elapsed);
		reading_add(&out[CONSUME], elapsed, TURN, calls);
	}
	return err ? err : account(c);
}

/* So many that an interrupt is little of a sample, also where it comes in each */
static uint64_t fixed_turns(const struct run *r, uint64_t size)
{
	return 8;
}

static bool absent_turns(const struct run *r, const struct source *s,
			 uint64_t size, char *why, size_t len)
{
	return absent(s, size, why, len);
}

#define PROBE_TURNS(n) \
	static const struct probe probe_turns_##n = {        \
		.access = ACCESS_STREAM | ACCESS_STREAM_NULL, \
		.flags = PROBE_LINEAR,                       \
		.k = n,                                      \
		.metric = {                                  \
			[PRODUCE] = { "same", "produce_" #n, UNIT_TIME }, \
			[CONSUME] = { "same", "consume_" #n, UNIT_TIME }, \
		},                                           \
		.begin = begin_turns,                        \
		.sample = sample_turns,                      \
		.end = end,                                  \
		.finish = finish,                            \
		.absent = absent_turns,                      \
		.fixed = fixed_turns,                        \
	}

PROBE_TURNS(1);
PROBE_TURNS(64);

/* ---- hand over hand: each is consumed at once, as one who spins would ---- */

static int op_handoff(void *arg, uint64_t i)
{
	int err = op_produce(arg, i);

	return err ? err : op_consume(arg, i);
}

static int sample_handoff(struct cell *c, uint64_t n, struct reading *out)
{
	int64_t elapsed;
	int err = 0;

	while (n-- && !err) {
		err = timed_loop(op_handoff, c, TURN, &elapsed);
		reading_add(out, elapsed, TURN, TURN);
	}
	return err ? err : account(c);
}

static const struct probe probe_handoff = {
	.access = ACCESS_STREAM | ACCESS_STREAM_FLAG,
	.flags = PROBE_LINEAR,
	.k = 1,
	.metric = { { "same", "handoff_1", UNIT_TIME } },
	.begin = begin_turns,
	.sample = sample_handoff,
	.end = end,
	.finish = finish,
	.absent = absent_turns,
	.fixed = fixed_turns,
};

/* ---- woken for each, on one CPU ---- */

/*
 * The consumer is of a real-time class: it runs as soon as it is woken, and its
 * producer goes on when it sleeps again. Nothing else has to say whose turn it is.
 */
struct consumer {
	pthread_t thread;
	struct stream *s;
	uint64_t slept; /* how often */
	int err;
	bool stop;
};

static void *consume_woken(void *arg)
{
	struct consumer *u = arg;
	const struct stream_ops *ops = u->s->src->stream;
	struct rusage before, after;
	unsigned int empty = 0;
	int64_t n;

	getrusage(RUSAGE_THREAD, &before);
	/* What says that there is a record and has none must not keep the CPU for ever */
	do {
		n = ops->consume(u->s, TURN);
		empty = n ? 0 : empty + 1;
		if (!n)
			n = empty < EMPTY_MAX ? ops->wait(u->s, -1) : -EIO;
	} while (n >= 0 && !__atomic_load_n(&u->stop, __ATOMIC_ACQUIRE));
	getrusage(RUSAGE_THREAD, &after);
	u->slept = after.ru_nvcsw - before.ru_nvcsw;
	u->err = n < 0 ? (int)n : 0;
	return NULL;
}

/* SIGINT is for the thread that looks at stop_signal */
static int start_thread(pthread_t *thread, const pthread_attr_t *attr,
			void *(*run)(void *), void *arg)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(thread, attr, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

static int start_consumer(struct consumer *u)
{
	struct sched_param priority;
	pthread_attr_t attr;
	int err;

	sched_getparam(0, &priority);
	priority.sched_priority++; /* above its producer */
	pthread_attr_init(&attr);
	pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
	pthread_attr_setschedparam(&attr, &priority);
	err = start_thread(&u->thread, &attr, consume_woken, u);
	pthread_attr_destroy(&attr);
	return err;
}

/* One record more is what ends its sleep */
static int stop_consumer(struct cell *c, struct consumer *u)
{
	int err;

	__atomic_store_n(&u->stop, true, __ATOMIC_RELEASE);
	err = produce(c->priv, 1, LAST);
	if (err)
		pthread_cancel(u->thread);
	pthread_join(u->thread, NULL);
	return err ? err : u->err;
}

static int op_wake(void *arg, uint64_t i)
{
	return produce(arg, 1, 0);
}

static int begin_wake(struct cell *c)
{
	return begin(c, PLACE_SAME, true, 0);
}

static int sample_wake(struct cell *c, uint64_t n, struct reading *out)
{
	struct work *w = c->priv;
	struct consumer u = { .s = &w->s };
	int64_t elapsed = 0, got;
	int err = start_consumer(&u), err2;

	if (err)
		return err;
	/* It has run until it slept; so it has after each record */
	err = timed_loop(op_wake, w, WAKE_LEAD, &elapsed);
	if (!err)
		err = timed_loop(op_wake, w, n, &elapsed);
	err2 = stop_consumer(c, &u);
	/* The one that ended it may have come while it was awake */
	while (!err && !err2 && (got = c->src->stream->consume(&w->s, TURN)))
		err = got < 0 ? (int)got : 0;
	err = err ? err : err2;
	if (err)
		return err;
	w->wakes += WAKE_LEAD + n;
	w->slept += u.slept;
	reading_add(out, elapsed, n, n);
	return account(c);
}

static uint64_t fixed_wake(const struct run *r, uint64_t size)
{
	return 16;
}

static bool absent_wake(const struct run *r, const struct source *s,
			uint64_t size, char *why, size_t len)
{
	const struct sched_param fifo = { .sched_priority = 1 };
	const int policy = sched_getscheduler(0);
	struct sched_param param;

	if (absent(s, size, why, len))
		return true;
	sched_getparam(0, &param);
	if (sched_setscheduler(0, SCHED_FIFO, &fifo)) {
		snprintf(
			why, len,
			"no real-time class for its consumer: %s (needs CAP_SYS_NICE)",
			strerror(errno));
		return true;
	}
	sched_setscheduler(0, policy, &param);
	return false;
}

static const struct probe probe_wake = {
	.access = ACCESS_STREAM,
	.metric = { { "same", "wake_1", UNIT_TIME } },
	.begin = begin_wake,
	.sample = sample_wake,
	.end = end,
	.finish = finish,
	.absent = absent_wake,
	.fixed = fixed_wake,
};

/* ---- from a timer of the same CPU ---- */

static uint64_t monotonic(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/*
 * The next, at once or by spinning or sleeping; 0: there will be none, or a signal came. An
 * expiry of a timer that is late drops what is too much, so the last one may not come; but
 * each gives one at least, so nobody sleeps for ever.
 */
static int64_t take_of_timer(struct work *w, bool polls, uint64_t last_due)
{
	const struct stream_ops *ops = w->s.src->stream;
	unsigned int looks = polls ? 1 : SPINS, i;
	uint64_t dropped;
	int64_t n;
	int err;

	for (;;) {
		for (i = 0; i < looks; i++) {
			n = ops->consume(&w->s, 1);
			if (n)
				return n;
		}
		if (stop_signal)
			return 0;
		if (monotonic() >= last_due) {
			err = ops->dropped(&w->s, &dropped);
			if (err || w->s.tally.records + dropped >= w->asked)
				return err;
		}
		if (polls) {
			n = ops->wait(&w->s, WAIT_MS);
			if (n < 0)
				return n;
		}
	}
}

static int sample_timer(struct cell *c, uint64_t n, struct reading *out)
{
	struct work *w = c->priv;
	struct tally *t = &w->s.tally;
	const uint64_t first = w->asked, due = monotonic() + TIMER_LEAD_NS;
	const uint64_t last_due = due + (LEAD + n - 1) * TIMER_NS;
	uint64_t seen, seq = first, at;
	int64_t got;
	int err = c->src->stream->arm(&w->s, LEAD + n, due);

	if (err)
		return err;
	w->asked += LEAD + n;
	while (t->next < w->asked) {
		got = take_of_timer(w, c->probe->k & POLLS, last_due);
		if (got < 0)
			return (int)got;
		if (!got)
			break;
		seen = monotonic();
		/* Of those that were dropped between nobody has seen any; a timerfd has all */
		if (!(c->src->flags & SOURCE_NULL))
			seq = t->next - 1;
		for (; seq < t->next; seq++) {
			at = due + (seq - first) * TIMER_NS;
			if (seq >= first + LEAD)
				reading_add(&out[seq - first - LEAD], seen - at,
					    1, 0);
		}
		t->torn |= t->stamp ^ (due + (t->next - 1 - first) * TIMER_NS);
	}
	if (stop_signal)
		return 0;
	/* No timer goes on beside what is measured next */
	err = c->src->stream->arm(&w->s, 0, 0);
	return err ? err : account(c);
}

static int begin_timer(struct cell *c)
{
	return begin(c, PLACE_SAME, c->probe->k & POLLS, TIMER_NS);
}

/* A ring has room for all, so that none is dropped but by a timer that is late */
static uint64_t fixed_timer(const struct run *r, uint64_t size)
{
	const uint64_t room = slots_of(size) - LEAD,
		       n = (SINGLES + r->opt.blocks - 1) / r->opt.blocks;

	return r->opt.icount ? TIMER_ICOUNT : n < room ? n : room;
}

#define PROBE_TIMER(how, polls)                                     \
	static const struct probe probe_timer_##how = {             \
		.access = ACCESS_STREAM_TIMER,                      \
		.flags = PROBE_SINGLE,                              \
		.k = (polls),                                       \
		.metric = { { "same", "timer_" #how, UNIT_TIME } }, \
		.begin = begin_timer,                               \
		.sample = sample_timer,                             \
		.end = end,                                         \
		.finish = finish,                                   \
		.absent = absent_turns,                             \
		.fixed = fixed_timer,                               \
	}

PROBE_TIMER(spin, 0);
PROBE_TIMER(poll, POLLS);

/* ---- from one CPU to another ---- */

struct producer {
	pthread_t thread;
	struct work *work;
	uint64_t n, chunk;
	uint64_t pace; /* ns between intended times; 0: flat out */
	uint64_t start; /* now() of the first; 0: not yet */
	bool ready, cancel, done;
	int err;
};

static bool cancelled(const struct producer *p)
{
	return __atomic_load_n(&p->cancel, __ATOMIC_RELAXED);
}

/* The last record finds room, as the consumer makes some until it has seen it */
static int produce_last(struct producer *p)
{
	struct stream *s = &p->work->s;
	const struct stream_ops *ops = s->src->stream;
	uint64_t before, after = 0;
	int err;

	do {
		err = ops->dropped(s, &before)		?:
			      produce(p->work, 1, LAST) ?:
							  ops->dropped(s, &after);
	} while (!err && after != before && !cancelled(p));
	return err;
}

static void *produce_all(void *arg)
{
	struct producer *p = arg;
	uint64_t start, at, i;
	int err = 0;

	__atomic_store_n(&p->ready, true, __ATOMIC_RELEASE);
	do
		start = __atomic_load_n(&p->start, __ATOMIC_ACQUIRE);
	while (!start && !cancelled(p));
	for (i = 0; i < p->n && !err && !cancelled(p); i += p->chunk) {
		at = p->pace ? start + i * p->pace : 0;
		/* Late for one, it is late for the next: both count from when they were due */
		while (p->pace && now() < at)
			;
		err = produce(p->work, p->chunk, at);
	}
	p->err = err ? err : produce_last(p);
	__atomic_store_n(&p->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static int start_producer(struct producer *p, int cpu)
{
	pthread_attr_t attr;
	cpu_set_t one;
	int err;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	pthread_attr_init(&attr);
	pthread_attr_setaffinity_np(&attr, sizeof(one), &one);
	err = start_thread(&p->thread, &attr, produce_all, p);
	pthread_attr_destroy(&attr);
	if (err)
		return err;
	while (!__atomic_load_n(&p->ready, __ATOMIC_ACQUIRE))
		;
	__atomic_store_n(&p->start, now() + p->pace, __ATOMIC_RELEASE);
	return 0;
}

/* Up to max records as soon as there are some; 0: the producer failed, or a signal came */
static int64_t take(struct producer *p, uint64_t max, bool polls)
{
	struct stream *s = &p->work->s;
	const struct stream_ops *ops = s->src->stream;
	bool done;
	int64_t n;

	for (;;) {
		done = __atomic_load_n(&p->done, __ATOMIC_ACQUIRE);
		n = ops->consume(s, max);
		if (n || done || stop_signal)
			return n;
		if (polls)
			n = ops->wait(s, WAIT_MS);
		if (n < 0)
			return n;
	}
}

static int end_producer(struct producer *p, int64_t n)
{
	__atomic_store_n(&p->cancel, true, __ATOMIC_RELAXED);
	pthread_join(p->thread, NULL);
	return n < 0 ? (int)n : p->err;
}

static bool absent_between(const struct run *r, const struct source *s,
			   uint64_t size, char *why, size_t len)
{
	if (absent(s, size, why, len))
		return true;
	if (stream_cpu(r->opt.cpu, false) >= 0 ||
	    stream_cpu(r->opt.cpu, true) >= 0)
		return false;
	snprintf(why, len, "two threads that spin need two CPUs");
	return true;
}

static int begin_between(struct cell *c)
{
	return begin(c, c->probe->k & PLACE, c->probe->k & POLLS, 0);
}

/* ---- flat out ---- */

enum { RATE, RECORDS, DROPPED, SLEEPS, WAKEUPS };

static void reading_of(struct reading *out, uint64_t count, uint64_t of)
{
	out->elapsed = count;
	out->iters = of;
}

static int sample_rate(struct cell *c, uint64_t n, struct reading *out)
{
	struct work *w = c->priv;
	const struct stream_ops *ops = c->src->stream;
	const struct tally before = w->s.tally;
	struct producer p = { .work = w, .n = n, .chunk = CHUNK_RECORDS };
	const bool polls = c->probe->k & POLLS;
	struct rusage use, use_after;
	uint64_t woken = 0, woken_after = 0, records;
	int64_t got, elapsed;
	int err = ops->wakeups ? ops->wakeups(&w->s, &woken) : 0;

	getrusage(RUSAGE_THREAD, &use);
	err = err ? err : start_producer(&p, w->s.cpu);
	if (err)
		return err;
	do
		got = take(&p, CHUNK_RECORDS, polls);
	while (got > 0 && w->s.tally.stamp != LAST);
	elapsed = now() - p.start;
	getrusage(RUSAGE_THREAD, &use_after);
	err = end_producer(&p, got);
	if (!err && ops->wakeups)
		err = ops->wakeups(&w->s, &woken_after);
	if (err || got <= 0)
		return err;
	w->s.tally.stamp = 0;
	records = w->s.tally.records - before.records;
	reading_add(&out[RATE], elapsed, records, 0);
	reading_add(&out[RECORDS], elapsed, records, 0);
	reading_of(&out[DROPPED], w->s.tally.gaps - before.gaps,
		   records + w->s.tally.gaps - before.gaps);
	if (polls)
		reading_of(&out[SLEEPS], use_after.ru_nvcsw - use.ru_nvcsw,
			   records);
	if (polls && ops->wakeups)
		reading_of(&out[WAKEUPS], woken_after - woken, records);
	return account(c);
}

static uint64_t fixed_rate(const struct run *r, uint64_t size)
{
	return RING_TURNS * slots_of(size);
}

#define PROBE_RATE(place, where, how, polls) \
	static const struct probe probe_rate_##where##_##how = {          \
		.access = ACCESS_STREAM,                                  \
		.flags = PROBE_FIXED,                                     \
		.k = (place) | (polls),                                   \
		.metric = {                                               \
			[RATE]	  = { #where, "rate_" #how, UNIT_RATE },  \
			[RECORDS] = { #where, "records_" #how, UNIT_EVENTS }, \
			[DROPPED] = { #where, "dropped_" #how, UNIT_COUNT }, \
			[SLEEPS]  = { #where, "sleeps_" #how, UNIT_COUNT }, \
			[WAKEUPS] = { #where, "wakeups_" #how, UNIT_COUNT }, \
		},                                                        \
		.begin = begin_between,                                   \
		.sample = sample_rate,                                    \
		.end = end,                                               \
		.finish = finish,                                         \
		.absent = absent_between,                                 \
		.fixed = fixed_rate,                                      \
	}

PROBE_RATE(PLACE_SIBLING, sibling, spin, 0);
PROBE_RATE(PLACE_SIBLING, sibling, poll, POLLS);
PROBE_RATE(PLACE_OTHER, other, spin, 0);
PROBE_RATE(PLACE_OTHER, other, poll, POLLS);

/* ---- at intended times ---- */

static int sample_latency(struct cell *c, uint64_t n, struct reading *out)
{
	struct work *w = c->priv;
	struct producer p = {
		.work = w, .n = LEAD + n, .chunk = 1, .pace = PACE_NS
	};
	const bool polls = c->probe->k & POLLS;
	const uint64_t first = w->asked + LEAD;
	uint64_t seen, seq;
	int64_t got;
	int err = start_producer(&p, w->s.cpu);

	if (err)
		return err;
	for (;;) {
		got = take(&p, 1, polls);
		seen = now();
		seq = w->s.tally.next - 1;
		if (got <= 0 || w->s.tally.stamp == LAST)
			break;
		/* A record that was dropped has no latency */
		if (seq >= first && seq - first < n)
			reading_add(&out[seq - first], seen - w->s.tally.stamp,
				    1, 0);
	}
	err = end_producer(&p, got);
	if (err || got <= 0)
		return err;
	w->s.tally.stamp = 0;
	return account(c);
}

static uint64_t fixed_latency(const struct run *r, uint64_t size)
{
	return (SINGLES + r->opt.blocks - 1) / r->opt.blocks;
}

#define PROBE_LATENCY(place, where, how, polls, kinds)                \
	static const struct probe probe_latency_##where##_##how = {   \
		.access = (kinds),                                    \
		.flags = PROBE_SINGLE,                                \
		.k = (place) | (polls),                               \
		.metric = { { #where, "latency_" #how, UNIT_TIME } }, \
		.begin = begin_between,                               \
		.sample = sample_latency,                             \
		.end = end,                                           \
		.finish = finish,                                     \
		.absent = absent_between,                             \
		.fixed = fixed_latency,                               \
	}

PROBE_LATENCY(PLACE_SIBLING, sibling, spin, 0,
	      ACCESS_STREAM | ACCESS_STREAM_FLAG);
PROBE_LATENCY(PLACE_SIBLING, sibling, poll, POLLS, ACCESS_STREAM);
PROBE_LATENCY(PLACE_OTHER, other, spin, 0, ACCESS_STREAM | ACCESS_STREAM_FLAG);
PROBE_LATENCY(PLACE_OTHER, other, poll, POLLS, ACCESS_STREAM);

/* ---- plan ---- */

static const struct probe *const turns[] = { &probe_turns_1, &probe_turns_64,
					     &probe_handoff };
static const struct probe *const wake[] = { &probe_wake };
static const struct probe *const timer[] = { &probe_timer_spin,
					     &probe_timer_poll };

/* The last two of each list are of single records, of some sizes alone */
static const struct probe *const sibling[] = {
	&probe_rate_sibling_spin,
	&probe_rate_sibling_poll,
	&probe_latency_sibling_spin,
	&probe_latency_sibling_poll,
};

static const struct probe *const other[] = {
	&probe_rate_other_spin,
	&probe_rate_other_poll,
	&probe_latency_other_spin,
	&probe_latency_other_poll,
};

static int add(struct run *r, uint64_t size, unsigned int threads,
	       const struct probe *const *probes, unsigned int nr)
{
	int err = group_add(r, "stream", size, size, probes, nr);

	if (!err)
		r->groups[r->nr_groups - 1].threads = threads;
	return err;
}

static int plan_between(struct run *r, uint64_t size)
{
	const unsigned int nr = size <= (r->opt.quick ? 64 : KIB) ? 4 : 2;
	const bool has_sibling = stream_cpu(r->opt.cpu, true) >= 0;
	int err = 0;

	if (has_sibling)
		err = add(r, size, 2, sibling, nr);
	if (!err && (!has_sibling || stream_cpu(r->opt.cpu, false) >= 0))
		err = add(r, size, 2, other, nr);
	return err;
}

int measure_stream(struct run *r)
{
	static const uint64_t sizes[] = { 64, KIB, 16 * KIB, 64 * KIB };
	const struct options *o = &r->opt;
	/* Instructions of a copy are no matter of its size */
	const unsigned int nr = o->quick  ? 2 :
				o->icount ? 3 :
					    ARRAY_SIZE(sizes);
	unsigned int i;
	int err = 0;

	for (i = 0; i < nr && !err; i++) {
		err = add(r, sizes[i], 1, turns, ARRAY_SIZE(turns));
		if (!err)
			err = add(r, sizes[i], 2, wake, ARRAY_SIZE(wake));
		/* Single records, of the smallest size alone */
		if (!err && !i)
			err = add(r, sizes[i], 1, timer, ARRAY_SIZE(timer));
		if (!err && !o->icount)
			err = plan_between(r, sizes[i]);
	}
	return err;
}

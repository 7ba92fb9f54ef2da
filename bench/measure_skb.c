// SPDX-License-Identifier: GPL-2.0
/*
 * measure_skb.c - packet payloads to user space: what sending one costs with its way
 * to the receiver, and what taking it costs; and both flat out, on a CPU each.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "packet.h"

#define WAIT_MS \
	200 /* for a packet that was sent: a timer's block, or it is lost */
#define ROOM (2 * PACKET_BATCH) /* of one thread, which takes what it sends */
#define FLOOD_ROOM 1024 /* packets, or as many as are */
#define FLOOD_ROOM_BYTES (16 * MIB)
#define FLOOD_ROOMS 6 /* sent in a sample */
#define IDLE_MS 20 /* without a packet: none comes any more */

/* What a receiver has, of a cell */
struct flow {
	struct packet p;
	uint64_t rest; /* sum of a payload's words after its sequence number */
	uint64_t sent, taken, dropped; /* where the sample that runs began */
	uint64_t samples, apart; /* sent is not taken + dropped */
	char first[96]; /* the first time that this was so */
};

static bool takes(const struct cell *c)
{
	return !(c->src->flags & SOURCE_NULL);
}

/* Packets from seq on, as packet_payload() sums them */
static uint64_t sum_of(const struct flow *f, uint64_t seq, uint64_t nr)
{
	return nr * f->rest + nr * seq + nr * (nr - 1) / 2;
}

static int dropped(const struct flow *f, uint64_t *count)
{
	uint64_t link;
	int err = f->p.src->packet->dropped(&f->p, count);

	if (!err)
		err = packet_link_dropped(&f->p, &link);
	*count += err ? 0 : link;
	return err;
}

/* Of a sample, from begin_account() on: every packet was taken or is counted as dropped */
static int begin_account(struct flow *f)
{
	f->sent = f->p.sent;
	f->taken = f->p.taken;
	f->p.sum = 0;
	return dropped(f, &f->dropped);
}

static int end_account(struct flow *f, uint64_t *lost)
{
	const uint64_t sent = f->p.sent - f->sent,
		       taken = f->p.taken - f->taken;
	int err = dropped(f, lost);

	*lost -= f->dropped;
	f->samples++;
	if (sent == taken + *lost)
		return err;
	if (!f->apart++)
		snprintf(f->first, sizeof(f->first),
			 "%lu sent %lu taken %lu dropped", sent, taken, *lost);
	return err;
}

/* Takes nr packets that have been sent; those that are not there yet are waited for */
static int take_all(struct packet *p, unsigned int nr)
{
	int n;

	while (nr) {
		n = p->src->packet->take(p, nr);
		if (n < 0)
			return n;
		nr -= n;
		if (n || !nr)
			continue;
		n = packet_wait(p, WAIT_MS);
		if (n <= 0)
			return n ? n : -ETIMEDOUT;
	}
	return 0;
}

/* Payloads byte by byte: as many as fill the ring of a receiver twice, and wrap it */
static int compare(struct cell *c, const char *when)
{
	struct flow *f = c->priv;
	struct packet *p = &f->p;
	const uint64_t want = 2 * p->room, before = p->taken;
	char expected[32], got[32];
	uint64_t i;
	bool ok;
	int err = 0;

	if (!takes(c))
		return 0;
	p->compare = true;
	p->wrong = p->lost = 0;
	p->next = p->sent;
	for (i = 0; i < want && !err; i += PACKET_BATCH) {
		err = packet_send(p, PACKET_BATCH);
		if (!err)
			err = take_all(p, PACKET_BATCH);
	}
	p->compare = false;
	ok = !err && !p->wrong && !p->lost;
	c->run->failed += !ok;
	snprintf(expected, sizeof(expected), "%lu", want);
	snprintf(got, sizeof(got), "%lu", p->taken - before - p->wrong);
	check(c, NULL, "contents", expected, got, ok ? "pass" : "fail",
	      err ? strerror(-err) : when);
	return err;
}

/* A power of two; the same for all receivers */
static unsigned int flood_room(uint64_t size)
{
	unsigned int room = FLOOD_ROOM;

	while (room * size > FLOOD_ROOM_BYTES)
		room /= 2;
	return room;
}

static int begin(struct cell *c)
{
	const struct probe *p = c->probe;
	struct flow *f;
	int err;

	if (c->src->packet->ready && p->k == 1) {
		check(c, p->metric, "available", "", "", "unavailable",
		      "a block is handed over when it is full or after a time: not a packet");
		c->dead = true;
		return 0;
	}
	f = c->priv = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->p = (struct packet){
		.src = c->src,
		.size = c->group->size,
		.contents = c->buf->contents,
		.room = c->group->threads > 1 ? flood_room(c->group->size) :
						ROOM,
	};
	f->rest = consume(c->buf->contents + sizeof(uint64_t),
			  c->group->size - sizeof(uint64_t));
	err = packet_open(&f->p);
	if (err) {
		free(f);
		c->priv = NULL;
		return err;
	}
	return compare(c, "before the samples");
}

static void end(struct cell *c)
{
	struct flow *f = c->priv;
	char expected[32], got[32];

	if (!f)
		return;
	if (!c->dead)
		compare(c, "after the samples");
	snprintf(expected, sizeof(expected), "%lu", f->samples);
	snprintf(got, sizeof(got), "%lu", f->samples - f->apart);
	check(c, NULL, "accounted", expected, got, f->apart ? "fail" : "pass",
	      f->apart ? f->first :
			 "samples in which sent is taken plus dropped");
	c->run->failed += !!f->apart;
	if (c->src->packet->by_reference) {
		snprintf(expected, sizeof(expected), "%lu", f->p.taken);
		snprintf(got, sizeof(got), "%lu", f->p.paged);
		check(c, NULL, "by_reference", expected, got,
		      f->p.paged == f->p.taken ? "pass" : "fail",
		      "packets whose record had their pages");
		c->run->failed += f->p.paged != f->p.taken;
	}
	packet_close(&f->p);
}

/* ---- one thread: so many sent, and taken ---- */

enum { SEND, TAKE, BOTH };

struct turn {
	struct packet *p;
	unsigned int nr;
};

static int op_send(void *arg, uint64_t i)
{
	struct turn *t = arg;

	return packet_send(t->p, t->nr);
}

static int op_take(void *arg, uint64_t i)
{
	struct turn *t = arg;

	return take_all(t->p, t->nr);
}

/* Where a timer hands packets over, that is waited for, and not counted */
static int wait_ready(const struct packet *p, unsigned int nr)
{
	const struct timespec pause = { .tv_nsec = 500 * 1000 };
	unsigned int i;

	if (!p->src->packet->ready)
		return 0;
	for (i = 0; i < 2 * WAIT_MS; i++) {
		if (p->src->packet->ready(p) >= nr)
			return 0;
		nanosleep(&pause, NULL);
	}
	return -ETIMEDOUT;
}

static int sample_same(struct cell *c, uint64_t n, struct reading *out)
{
	struct flow *f = c->priv;
	struct turn t = { &f->p, c->probe->k };
	const uint64_t seq = f->p.sent, all = n * t.nr;
	int64_t send, take;
	uint64_t lost;
	int err = begin_account(f);

	while (n-- && !err) {
		err = timed_loop(op_send, &t, 1, &send);
		if (err)
			break;
		reading_add(&out[SEND], send, t.nr, 1);
		if (!takes(c)) {
			reading_add(&out[BOTH], send, t.nr, 1);
			continue;
		}
		err = wait_ready(&f->p, t.nr);
		if (!err)
			err = timed_loop(op_take, &t, 1, &take);
		if (err)
			break;
		reading_add(&out[TAKE], take, t.nr, 1);
		reading_add(&out[BOTH], send + take, t.nr, 1);
		out[BOTH].clocks++;
		out[BOTH].loops++;
	}
	if (!err && takes(c))
		cell_consumed(c, f->p.sum, sum_of(f, seq, all));
	return err ? err : end_account(f, &lost);
}

static uint64_t fixed_same(const struct run *r, uint64_t size)
{
	return 4;
}

#define SAME(nr)                                                             \
	{                                                                    \
		.access = ACCESS_PACKET, .k = nr,                            \
		.metric = { [SEND] = { "same", "send_" #nr, UNIT_TIME },     \
			    [TAKE] = { "same", "take_" #nr, UNIT_TIME },     \
			    [BOTH] = { "same", "packet_" #nr, UNIT_TIME } }, \
		.begin = begin, .sample = sample_same, .end = end,           \
		.fixed = fixed_same,                                         \
	}

static const struct probe probe_1 = SAME(1), probe_64 = SAME(64);
_Static_assert(PACKET_BATCH == 64, "the metrics' names");

/* ---- two threads: one sends flat out, on the run's CPU; one takes, on the next ---- */

enum { PACKET, RATE, SEND_CPU, TAKE_CPU, DROPPED };

struct flood {
	struct flow *f;
	pthread_barrier_t ready;
	int on; /* the taker's CPU */
	bool done; /* nothing is sent any more */
	uint64_t taken; /* so far */
	int64_t cpu;
	int err;
};

static int64_t thread_cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void *taker(void *arg)
{
	struct flood *fl = arg;
	struct packet *p = &fl->f->p;
	int64_t cpu;
	int n = place_run_on(fl->on) ?: 1;

	pthread_barrier_wait(&fl->ready);
	cpu = thread_cpu();
	while (n > 0) {
		n = p->src->packet->take(p, PACKET_BATCH);
		if (n > 0) {
			__atomic_store_n(&fl->taken, p->taken,
					 __ATOMIC_RELAXED);
			continue;
		}
		if (!n) {
			n = packet_wait(p, IDLE_MS);
			if (!n && !__atomic_load_n(&fl->done, __ATOMIC_ACQUIRE))
				n = 1;
		}
	}
	fl->cpu = thread_cpu() - cpu;
	fl->err = n;
	return NULL;
}

static int sample_flood(struct cell *c, uint64_t n, struct reading *out)
{
	struct flow *f = c->priv;
	struct flood fl = { .f = f,
			    .on = env_cpu(&c->run->opt, 1),
			    .taken = f->p.taken };
	const uint64_t nr = FLOOD_ROOMS * f->p.room;
	uint64_t i, begun, lost, taken = 0;
	int64_t elapsed, cpu;
	pthread_t thread;
	int err = begin_account(f);

	if (err)
		return err;
	if (takes(c)) {
		pthread_barrier_init(&fl.ready, NULL, 2);
		err = pthread_create(&thread, NULL, taker, &fl);
		if (err)
			return -err;
		pthread_barrier_wait(&fl.ready);
	}
	cpu = thread_cpu();
	begun = now();
	for (i = 0; i < nr && !err; i += PACKET_BATCH)
		err = packet_send(&f->p, PACKET_BATCH);
	elapsed = now() - begun;
	cpu = thread_cpu() - cpu;
	taken = __atomic_load_n(&fl.taken, __ATOMIC_RELAXED) - f->taken;
	__atomic_store_n(&fl.done, true, __ATOMIC_RELEASE);
	if (takes(c)) {
		pthread_join(thread, NULL);
		pthread_barrier_destroy(&fl.ready);
		err = err ? err : fl.err;
	}
	if (!err)
		err = end_account(f, &lost);
	if (err)
		return err;
	out[SEND_CPU] = (struct reading){ .elapsed = cpu, .iters = nr };
	if (!takes(c))
		return 0;
	/* While it was sent: what the ring still had then is no more than a sixth of it */
	out[PACKET] = (struct reading){ .elapsed = elapsed, .iters = taken };
	out[RATE] = out[PACKET];
	out[TAKE_CPU] = (struct reading){ .elapsed = fl.cpu,
					  .iters = f->p.taken - f->taken };
	out[DROPPED] = (struct reading){ .elapsed = lost, .iters = nr };
	return 0;
}

static bool absent_flood(const struct run *r, const struct source *s,
			 uint64_t size, char *why, size_t len)
{
	if (env_cpus() > 1)
		return false;
	snprintf(why, len, "a sender and a receiver flat out need two CPUs");
	return true;
}

static uint64_t fixed_flood(const struct run *r, uint64_t size)
{
	return 1;
}

static const struct probe probe_flood = {
	.access = ACCESS_PACKET,
	.flags = PROBE_COUNT,
	.k = PACKET_BATCH,
	.metric = {
		[PACKET] = { "flood", "flood_packet", UNIT_TIME },
		[RATE] = { "flood", "flood", UNIT_RATE },
		[SEND_CPU] = { "flood", "flood_send_cpu", UNIT_TIME },
		[TAKE_CPU] = { "flood", "flood_take_cpu", UNIT_TIME },
		[DROPPED] = { "flood", "flood_dropped", UNIT_COUNT },
	},
	.begin = begin,
	.sample = sample_flood,
	.end = end,
	.absent = absent_flood,
	.fixed = fixed_flood,
};

/* ---- plan ---- */

static const struct probe *const same[] = { &probe_1, &probe_64 };
static const struct probe *const flood[] = { &probe_flood };

int measure_skb(struct run *r)
{
	/* A cache line, a frame of Ethernet, one page, several, what lo takes at most */
	static const struct {
		uint64_t size;
		bool quick, flood,
			quick_flood; /* of the QUICK set; for flood */
	} sizes[] = {
		{ 64, true, true, false },    { 1472, true, true, true },
		{ 4096, true, true, false },  { 32768, false, true, false },
		{ 60000, true, true, false },
	};
	const struct options *o = &r->opt;
	unsigned int i;
	int err = 0;

	for (i = 0; i < ARRAY_SIZE(sizes) && !err; i++) {
		const uint64_t size = sizes[i].size;

		if (o->quick && (!sizes[i].quick || (o->icount && size > 4096)))
			continue;
		err = group_add(r, "skb", size, size, same, 2);
		if (err || o->icount ||
		    !(o->quick ? sizes[i].quick_flood : sizes[i].flood))
			continue;
		err = group_add(r, "skb", size, size, flood, 1);
		if (!err)
			r->groups[r->nr_groups - 1].threads = 2;
	}
	return err;
}

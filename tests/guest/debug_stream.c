// SPDX-License-Identifier: GPL-2.0
/*
 * A ring of records among threads, for a kernel that watches its locks and its
 * memory (race.h).
 *
 * The threads of a round produce, read and poll one stream. In a fair round nobody
 * else stores the consumer: each record is whole, comes once and in order, and the
 * counters add up. In a wild one a timer may produce, and others write the shared page,
 * close, make the stream anew, send signals and fork: nothing but the buffer's bytes is
 * spoilt. Some streams signal an eventfd, which then ends the fair reader's sleep, and
 * the wild ones close and replace.
 */
#include <poll.h>
#include <sys/eventfd.h>

#include "race.h"

#define STREAM_FD 101
#define EVENT_FD 102
#define PRODUCERS 2
#define CALLS 400 /* of one producer, in one round */
#define WILD 6
#define OPS 300
#define PAGES 4

static uint32_t slots, record;
static bool signalled; /* of a fair round */
static struct k2u_ring *shared;
static atomic_bool over;
/* Of a fair round: records made, calls that made some, records read, the eventfd's count */
static atomic_ulong made, calls, records, signals;

static int make_event(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		return errno;
	renumber(fd, EVENT_FD);
	return 0;
}

static int make_stream(bool signalling, uint32_t period)
{
	struct k2u_stream arg = {
		.source = period ? K2U_STREAM_TIMER : K2U_STREAM_CALL,
		.record_size = record,
		.period_ns = period,
		.flags = signalling ? K2U_STREAM_EVENTFD : 0,
		.seed = SEED,
		.eventfd = signalling ? EVENT_FD : 0,
	};
	int fd = ioctl(DEVICE_FD, K2U_IOC_STREAM, &arg);

	if (fd < 0)
		return errno;
	slots = arg.slots;
	renumber(fd, STREAM_FD);
	return 0;
}

/* ---- fair ---- */

static void *produce_fairly(void *arg)
{
	struct thread *t = arg;

	for (unsigned int i = 0; i < CALLS; i++) {
		struct k2u_produce p = { .count = below(t, 40) };

		if (ioctl(STREAM_FD, K2U_IOC_PRODUCE, &p))
			wrong("produce");
		made += p.produced;
		calls += p.produced != 0;
	}
	return NULL;
}

static uint64_t count_of_event(void)
{
	uint64_t count = 0;

	if (read(EVENT_FD, &count, sizeof(count)) < 0 && errno != EAGAIN)
		wrong("eventfd");
	return count;
}

static void *read_fairly(void *arg)
{
	struct thread *t = arg;
	struct pollfd p = { signalled ? EVENT_FD : STREAM_FD, POLLIN, 0 };
	uint64_t last = UINT64_MAX;

	for (;;) {
		const size_t room = (1 + below(t, 20)) * record + below(t, 9);
		const bool finish = over;
		ssize_t n = read(STREAM_FD, t->buf, room);

		if (n < 0 && errno != EAGAIN)
			wrong("read");
		if (n < 0 && finish)
			return NULL;
		if (n < 0 && poll(&p, 1, 20) < 0)
			wrong("poll");
		if (n < 0 && p.revents & POLLIN && signalled)
			signals += count_of_event();
		for (ssize_t i = 0; i < n; i += record) {
			const uint64_t *word = (const void *)(t->buf + i);
			const size_t tail = record / 8 - 1;

			if (word[tail] != *word ||
			    word[tail - 1] != k2u_pattern(SEED, tail - 1) ||
			    (last != UINT64_MAX && *word <= last)) {
				errno = EILSEQ;
				wrong("a record");
			}
			last = *word;
			records++;
		}
	}
}

static int fair(struct thread *t)
{
	struct k2u_stream_info i = { 0 };

	fcntl(STREAM_FD, F_SETFL, O_NONBLOCK);
	pthread_create(&t[PRODUCERS].id, NULL, read_fairly, &t[PRODUCERS]);
	for (int k = 0; k < PRODUCERS; k++)
		pthread_create(&t[k].id, NULL, produce_fairly, &t[k]);
	for (int k = 0; k < PRODUCERS; k++)
		pthread_join(t[k].id, NULL);
	over = true;
	pthread_join(t[PRODUCERS].id, NULL);
	if (ioctl(STREAM_FD, K2U_IOC_STREAM_INFO, &i))
		wrong("info");
	signals += count_of_event();
	if (signalled ? signals < calls || signals > made : signals)
		return 10;
	return i.consumed == made && records == made &&
			       i.produced == made + i.dropped ?
		       0 :
		       7;
}

/* ---- wild ---- */

static void do_produce(struct thread *t)
{
	struct k2u_produce p = {
		.count = below(t, 16) ? below(t, 100) : below(t, 20000),
		.stamp = below(t, 4) ? 0 : t->state,
	};

	allow(ioctl(STREAM_FD, K2U_IOC_PRODUCE, &p), "produce");
}

static void do_read(struct thread *t)
{
	const ssize_t n = read(STREAM_FD, t->buf, (1 + below(t, 40)) * record);

	allow(n, "read");
	if (n > 0 && n % record) {
		errno = EILSEQ;
		wrong("read");
	}
}

static void do_poll(struct thread *t)
{
	struct pollfd p = { STREAM_FD, POLLIN, 0 };

	allow(poll(&p, 1, (int)below(t, 5)), "poll");
}

static void do_take(struct thread *t)
{
	const uint64_t producer =
		__atomic_load_n(&shared->producer, __ATOMIC_ACQUIRE);

	__atomic_store_n(&shared->consumer, producer - below(t, slots + 2),
			 __ATOMIC_RELEASE);
}

/* Any word of the shared page, and of the records */
static void do_tamper(struct thread *t)
{
	const uint64_t to = below(t, 4) ? below(t, 8) * 8 : below(t, 2048);
	const uint64_t values[] = { 0,
				    t->state,
				    UINT64_MAX,
				    1ULL << below(t, 64),
				    below(t, 512),
				    shared->producer + slots };

	__atomic_store_n((uint64_t *)shared + to,
			 values[below(t, ARRAY_SIZE(values))],
			 __ATOMIC_RELEASE);
}

static void do_info(struct thread *t)
{
	struct k2u_stream_info i = { 0 };
	const int err = ioctl(STREAM_FD, K2U_IOC_STREAM_INFO, &i);

	(void)t;
	allow(err, "info");
	if (!err && i.produced - i.consumed - i.dropped > slots) {
		errno = EILSEQ;
		wrong("info");
	}
}

static void do_remake(struct thread *t)
{
	if (below(t, 2))
		allow(close(STREAM_FD), "close");
	errno = make_stream(below(t, 2), below(t, 2) * K2U_PERIOD_MIN);
	allow(errno ? -1 : 0, "stream");
}

static void do_event(struct thread *t)
{
	struct pollfd p = { EVENT_FD, POLLIN, 0 };
	uint64_t count = t->state;

	switch (below(t, 8)) {
	case 0:
		allow(close(EVENT_FD), "close");
		break;
	case 1:
		errno = make_event();
		allow(errno ? -1 : 0, "eventfd");
		break;
	case 2:
		allow(write(EVENT_FD, &count, sizeof(count)), "write");
		break;
	case 3:
		allow(poll(&p, 1, (int)below(t, 5)), "poll");
		break;
	default:
		allow(read(EVENT_FD, &count, sizeof(count)), "read");
	}
}

static void do_nonblock(struct thread *t)
{
	allow(fcntl(STREAM_FD, F_SETFL, below(t, 2) ? O_NONBLOCK : 0), "fcntl");
}

static void do_fill(struct thread *t)
{
	struct k2u_fill fill = { .seed = t->state };

	allow(ioctl(DEVICE_FD, K2U_IOC_FILL, &fill), "fill");
}

static void do_fork(struct thread *t)
{
	const pid_t pid = fork_alone();

	if (!pid) {
		do_tamper(t);
		do_produce(t);
		end_child();
	}
	if (pid > 0)
		await_child(pid);
}

static void *run_wild(void *arg)
{
	for (unsigned int i = 0; i < OPS; i++)
		act(arg);
	return NULL;
}

static void on_signal(int signal)
{
	(void)signal;
}

/* Who sleeps in read() with nobody left to produce is woken by a signal */
static int wild(struct thread *t)
{
	const struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGUSR1, &action, NULL);
	for (int i = 0; i < WILD; i++)
		pthread_create(&t[i].id, NULL, run_wild, &t[i]);
	for (int i = 0; i < WILD; i++)
		while (pthread_tryjoin_np(t[i].id, NULL)) {
			for (int k = i; k < WILD; k++)
				pthread_kill(t[k].id, SIGUSR1);
			usleep(2000);
		}
	return 0;
}

/* ---- rounds ---- */

static int round_of(uint64_t number)
{
	static const uint32_t sizes[] = { 64, 72, 272, 1024 };
	static struct thread threads[WILD];
	struct thread self = { .state = number << 32 };
	const uint32_t backing = below(&self, 2) ? K2U_BACKING_VMALLOC :
						   K2U_BACKING_CONTIG;
	const size_t size = PAGES * page_size();
	int fd = open_buffer(backing, size);

	renumber(fd, DEVICE_FD);
	record = sizes[below(&self, ARRAY_SIZE(sizes))];
	signalled = below(&self, 2);
	if (make_event() || make_stream(signalled, 0))
		return 6;
	shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, DEVICE_FD,
		      (off_t)K2U_MMAP_OFFSET(below(&self, 2) ?
						     K2U_METHOD_pfn :
						     K2U_METHOD_fault));
	if (shared == MAP_FAILED)
		return 8;
	for (int i = 0; i < WILD; i++) {
		start_at(&threads[i], number, (unsigned int)i);
		threads[i].buf = malloc(41 * record);
		if (!threads[i].buf)
			return 9;
	}
	return number % 3 ? wild(threads) : fair(threads);
}

static const struct race race = {
	.name = "debug_stream",
	.rounds = 24,
	.round = round_of,
	.allowed = { EBADF, EBUSY, EAGAIN, EINTR, ENOTTY, EINVAL },
	.actions = {
		{ do_produce, 20 }, { do_read, 20 },	{ do_poll, 8 },
		{ do_take, 10 },    { do_tamper, 12 },	{ do_info, 8 },
		{ do_remake, 3 },   { do_nonblock, 4 }, { do_fill, 1 },
		{ do_fork, 1 },	    { do_event, 8 },
	},
};

int main(int argc, char **argv)
{
	return run_race(argc, argv);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * A ring of records among threads, for a kernel that watches its locks and its
 * memory (6.12-debug; tests/debug.sh).
 *
 *	debug_stream [SEED [ROUNDS]]
 *
 * Each round is a process whose threads produce, read and poll one stream. In a fair
 * one nobody else stores the consumer: each record is whole, comes once and in order,
 * and the counters add up. In a wild one others write the shared page, close, make
 * the stream anew, send signals and fork, and some are killed: nothing but the
 * buffer's bytes is spoilt. Some streams signal an eventfd, which then ends the fair
 * reader's sleep, and the wild ones close and replace. How threads meet does not
 * follow from the seed.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>

#include "guest.h"

#define DEVICE_FD 100
#define STREAM_FD 101
#define EVENT_FD 102
#define PRODUCERS 2
#define CALLS 400 /* of one producer, in one round */
#define WILD 6
#define OPS 300
#define PAGES 4

struct thread {
	pthread_t id;
	uint64_t state;
	uint64_t made, records, last; /* what PRODUCE, and what read() gave */
	uint64_t calls,
		signals; /* those that made some; what the eventfd counted */
	char *buf;
};

static uint64_t seed;
static unsigned long rounds = 24;
static uint32_t slots, record;
static bool signalled; /* of a fair round */
static struct k2u_ring *shared;
static atomic_bool over;

static uint64_t below(struct thread *t, uint64_t n)
{
	return k2u_pattern(seed, t->state++) % n;
}

static void wrong(const char *what)
{
	dprintf(STDERR_FILENO, "%s: %s\n", what, strerror(errno));
	_exit(2);
}

/* An error that none of these calls may give ends the round */
static void allow(long result, const char *what)
{
	static const int allowed[] = { EBADF, EBUSY,  EAGAIN,
				       EINTR, ENOTTY, EINVAL };

	if (result >= 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		if (errno == allowed[i])
			return;
	wrong(what);
}

static int make_event(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		return errno;
	if (fd != EVENT_FD) {
		allow(dup3(fd, EVENT_FD, O_CLOEXEC), "dup3");
		close(fd);
	}
	return 0;
}

static int make_stream(bool signals)
{
	struct k2u_stream arg = {
		.record_size = record,
		.flags = signals ? K2U_STREAM_EVENTFD : 0,
		.seed = SEED,
		.eventfd = signals ? EVENT_FD : 0,
	};
	int fd = ioctl(DEVICE_FD, K2U_IOC_STREAM, &arg);

	if (fd < 0)
		return errno;
	slots = arg.slots;
	if (fd != STREAM_FD) {
		allow(dup3(fd, STREAM_FD, O_CLOEXEC), "dup3");
		close(fd);
	}
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
		t->made += p.produced;
		t->calls += p.produced != 0;
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

	t->last = UINT64_MAX;
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
			t->signals += count_of_event();
		for (ssize_t i = 0; i < n; i += record) {
			const uint64_t *word = (const void *)(t->buf + i);
			const size_t tail = record / 8 - 1;

			if (word[tail] != *word ||
			    word[tail - 1] != k2u_pattern(SEED, tail - 1) ||
			    (t->last != UINT64_MAX && *word <= t->last)) {
				errno = EILSEQ;
				wrong("a record");
			}
			t->last = *word;
			t->records++;
		}
	}
}

static int fair(struct thread *t)
{
	struct k2u_stream_info i = { 0 };
	uint64_t made = 0, calls = 0, signals;

	fcntl(STREAM_FD, F_SETFL, O_NONBLOCK);
	pthread_create(&t[PRODUCERS].id, NULL, read_fairly, &t[PRODUCERS]);
	for (int k = 0; k < PRODUCERS; k++)
		pthread_create(&t[k].id, NULL, produce_fairly, &t[k]);
	for (int k = 0; k < PRODUCERS; k++) {
		pthread_join(t[k].id, NULL);
		made += t[k].made;
		calls += t[k].calls;
	}
	over = true;
	pthread_join(t[PRODUCERS].id, NULL);
	if (ioctl(STREAM_FD, K2U_IOC_STREAM_INFO, &i))
		wrong("info");
	signals = t[PRODUCERS].signals + count_of_event();
	if (signalled ? signals < calls || signals > made : signals)
		return 10;
	return i.consumed == made && t[PRODUCERS].records == made &&
			       i.produced == made + i.dropped ?
		       0 :
		       7;
}

/* ---- wild ---- */

static void do_produce(struct thread *t)
{
	struct k2u_produce p = { .count = below(t, 16) ? below(t, 100) :
							 below(t, 20000) };

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
	errno = make_stream(below(t, 2));
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

/* No library call: another thread may hold its locks */
static void do_fork(struct thread *t)
{
	const pid_t pid =
		(pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

	allow(pid, "fork");
	if (pid < 0)
		return;
	if (!pid) {
		do_tamper(t);
		do_produce(t);
		syscall(SYS_exit_group, 0);
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static const struct {
	void (*run)(struct thread *t);
	unsigned int weight;
} actions[] = {
	{ do_produce, 20 }, { do_read, 20 },	{ do_poll, 8 },
	{ do_take, 10 },    { do_tamper, 12 },	{ do_info, 8 },
	{ do_remake, 3 },   { do_nonblock, 4 }, { do_fill, 1 },
	{ do_fork, 1 },	    { do_event, 8 },
};

static void *run_wild(void *arg)
{
	struct thread *t = arg;

	for (unsigned int i = 0; i < OPS; i++) {
		unsigned int sum = 0, pick;
		size_t k;

		for (k = 0; k < ARRAY_SIZE(actions); k++)
			sum += actions[k].weight;
		pick = below(t, sum);
		for (k = 0; pick >= actions[k].weight; k++)
			pick -= actions[k].weight;
		actions[k].run(t);
	}
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

	if (dup3(fd, DEVICE_FD, O_CLOEXEC) < 0)
		return 5;
	close(fd);
	record = sizes[below(&self, ARRAY_SIZE(sizes))];
	signalled = below(&self, 2);
	if (make_event() || make_stream(signalled))
		return 6;
	shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, DEVICE_FD,
		      (off_t)K2U_MMAP_OFFSET(below(&self, 2) ?
						     K2U_METHOD_pfn :
						     K2U_METHOD_fault));
	if (shared == MAP_FAILED)
		return 8;
	for (int i = 0; i < WILD; i++) {
		threads[i].state = (number << 32) + ((i + 1ULL) << 24);
		threads[i].buf = malloc(41 * record);
		if (!threads[i].buf)
			return 9;
	}
	return number % 3 ? wild(threads) : fair(threads);
}

static void test_stream(void **state)
{
	struct thread self = { .state = 1ULL << 60 };
	struct k2u_info info = { 0 };
	int fd, status;

	(void)state;
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	for (unsigned long i = 0; i < rounds; i++) {
		const bool kill_it = i % 3 == 2;
		const useconds_t after = (useconds_t)below(&self, 200000);
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (!pid)
			_exit(round_of(i));
		if (kill_it) {
			usleep(after);
			kill(pid, SIGKILL);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (status && !(kill_it && status == SIGKILL))
			fail_msg("round %lu: status %#x", i, status);
		/* Its own children, which have become ours, end by themselves */
		while (waitpid(-1, NULL, 0) > 0)
			;
		fd = open_k2u(O_RDWR);
		assert_int_equal(ioctl(fd, K2U_IOC_INFO, &info), 0);
		assert_int_equal(info.used_bytes, 0);
		close(fd);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		{ "stream", test_stream, NULL, NULL, NULL },
	};

	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0);
	else if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		return 1;
	if (argc > 2)
		rounds = strtoul(argv[2], NULL, 0);
	print_message("# seed %#llx, %lu rounds\n", (unsigned long long)seed,
		      rounds);
	return _cmocka_run_group_tests("debug_stream", tests, ARRAY_SIZE(tests),
				       NULL, NULL);
}

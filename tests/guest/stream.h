/* SPDX-License-Identifier: GPL-2.0 */
/* A ring of records in a buffer of its own: how tests make one, fill it and look at it. */
#ifndef K2U_GUEST_STREAM_H
#define K2U_GUEST_STREAM_H

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "guest.h"

#define PAGES 4
#define RECORD 64u
#define STAMP 0x57a3bULL

/* A buffer, its stream and a mapping of it all */
struct flow {
	int fd, stream;
	uint32_t slots, record;
	size_t size;
	struct k2u_ring *shared;
};

static inline int try_stream(int fd, struct k2u_stream *arg)
{
	return ioctl(fd, K2U_IOC_STREAM, arg);
}

static inline void assert_stream(int fd, struct k2u_stream arg, int expected)
{
	int stream = try_stream(fd, &arg);
	const int err = stream < 0 ? errno : 0;

	if (stream >= 0)
		close(stream);
	if (err != expected)
		fail_msg(
			"stream of record_size %u, flags %#x, source %u: %s, expected %s",
			arg.record_size, arg.flags, arg.source, strerror(err),
			strerror(expected));
}

static inline struct flow open_flow(uint32_t backing, size_t size,
				    struct k2u_stream arg)
{
	struct flow r = { .record = arg.record_size, .size = size };

	r.fd = open_buffer(backing, size);
	r.stream = try_stream(r.fd, &arg);
	assert_true(r.stream >= 0);
	r.slots = arg.slots;
	r.shared = map_buffer(r.fd, K2U_METHOD_fault, size,
			      PROT_READ | PROT_WRITE);
	return r;
}

static inline struct flow open_sized(uint32_t backing, size_t size,
				     uint32_t record)
{
	const struct k2u_stream arg = { .record_size = record, .seed = SEED };

	return open_flow(backing, size, arg);
}

static inline struct flow open_ring(void)
{
	return open_sized(K2U_BACKING_VMALLOC, PAGES * page_size(), RECORD);
}

static inline void close_ring(struct flow *r)
{
	munmap(r->shared, r->size);
	close(r->stream);
	close(r->fd);
}

static inline uint64_t produce(const struct flow *r, uint64_t count)
{
	struct k2u_produce arg = { .count = count, .stamp = STAMP };

	if (ioctl(r->stream, K2U_IOC_PRODUCE, &arg))
		fail_msg("produce: %s", strerror(errno));
	assert_int_equal(arg.count, count);
	return arg.produced;
}

static inline struct k2u_stream_info info_of(const struct flow *r)
{
	struct k2u_stream_info info = { 0 };

	assert_int_equal(ioctl(r->stream, K2U_IOC_STREAM_INFO, &info), 0);
	return info;
}

/* What the ABI says of the counters, where nobody produces just now */
static inline void assert_balance(const struct flow *r)
{
	const struct k2u_stream_info i = info_of(r);
	uint64_t in = r->shared->producer - r->shared->consumer;

	if (in > r->slots)
		in = r->slots;
	if (i.produced != i.consumed + i.dropped + in)
		fail_msg(
			"produced %#llx, consumed %#llx, dropped %#llx, in the ring %#llx",
			i.produced, i.consumed, i.dropped,
			(unsigned long long)in);
}

static inline const uint64_t *slot(const struct flow *r, uint64_t index)
{
	return (const uint64_t *)((const char *)r->shared +
				  K2U_RING_DATA(page_size()) +
				  (index & (r->slots - 1)) * r->record);
}

/* The head, the pattern and the last word of a record that PRODUCE made */
static inline void check_record(const uint64_t *word, uint32_t size,
				uint64_t seq)
{
	const struct k2u_record *record = (const struct k2u_record *)word;
	const size_t n = size / 8;

	if (record->seq != seq || word[n - 1] != seq)
		fail_msg("seq %#llx .. %#llx, expected %#llx", record->seq,
			 (unsigned long long)word[n - 1],
			 (unsigned long long)seq);
	assert_int_equal(record->stamp, STAMP);
	assert_int_equal(record->size, size - sizeof(*record) - 8);
	assert_int_equal(record->flags, 0);
	for (size_t i = 3; i < n - 1; i++)
		assert_int_equal(word[i], k2u_pattern(SEED, i));
}

static inline uint64_t load_producer(const struct flow *r)
{
	return __atomic_load_n(&r->shared->producer, __ATOMIC_ACQUIRE);
}

static inline void store_consumer(const struct flow *r, uint64_t value)
{
	__atomic_store_n(&r->shared->consumer, value, __ATOMIC_RELEASE);
}

/* All that there are, by loads, which must have these numbers */
static inline uint64_t drain(const struct flow *r, uint64_t seq)
{
	const uint64_t producer = load_producer(r);
	uint64_t i, n = 0;

	for (i = r->shared->consumer; i != producer; i++, n++)
		check_record(slot(r, i), r->record, seq + n);
	store_consumer(r, i);
	return n;
}

/* ---- who sleeps ---- */

#define PATIENCE_S 20

/* A thread in read() or poll(): what became of it */
struct sleeper {
	pthread_t id;
	atomic_int tid;
	int stream;
	bool polls;
	void *to; /* NULL: buf */
	ssize_t got;
	int err;
	short revents;
	uint64_t buf[RECORD / 8];
};

static inline void *sleeper(void *arg)
{
	struct sleeper *s = arg;
	struct pollfd p = { s->stream, POLLIN, 0 };

	s->tid = (int)syscall(SYS_gettid);
	s->got = s->polls ? poll(&p, 1, -1) :
			    read(s->stream, s->to ?: s->buf, sizeof(s->buf));
	s->err = s->got < 0 ? errno : 0;
	s->revents = p.revents;
	return NULL;
}

static inline char state_of(int tid)
{
	char path[64], state = '?';
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "re");
	if (!f)
		return state;
	if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = '?';
	fclose(f);
	return state;
}

/* When it returns, the thread sleeps */
static inline void start_sleeper(struct sleeper *s, int stream, bool polls)
{
	*s = (struct sleeper){ .stream = stream, .polls = polls };
	assert_int_equal(pthread_create(&s->id, NULL, sleeper, s), 0);
	for (unsigned int tries = 0; !s->tid || state_of(s->tid) != 'S';
	     tries++) {
		assert_true(tries < 10000);
		usleep(1000);
	}
}

/* One that nobody wakes fails the test, and ends with the process */
static inline void end_sleeper(struct sleeper *s, ssize_t got, int err)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	if (pthread_timedjoin_np(s->id, NULL, &until))
		fail_msg("a thread sleeps still after %d s", PATIENCE_S);
	assert_int_equal(s->err, err);
	assert_int_equal(s->got, got);
}

#endif /* K2U_GUEST_STREAM_H */

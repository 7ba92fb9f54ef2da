// SPDX-License-Identifier: GPL-2.0
/* A ring of records: what it refuses, its order and contents, its counters, how long it lives. */
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "guest.h"

#define PAGES 4
#define RECORD 64u
#define STAMP 0x57a3bULL
#define CANARY 0xa5
#define PATIENCE_S 20

/* A buffer, its stream and a mapping of it all */
struct flow {
	int fd, stream;
	uint32_t slots, record;
	size_t size;
	struct k2u_ring *shared;
};

static int try_stream(int fd, struct k2u_stream *arg)
{
	return ioctl(fd, K2U_IOC_STREAM, arg);
}

static void assert_stream(int fd, struct k2u_stream arg, int expected)
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

static struct flow open_flow(uint32_t backing, size_t size,
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

static struct flow open_sized(uint32_t backing, size_t size, uint32_t record)
{
	const struct k2u_stream arg = { .record_size = record, .seed = SEED };

	return open_flow(backing, size, arg);
}

static struct flow open_ring(void)
{
	return open_sized(K2U_BACKING_VMALLOC, PAGES * page_size(), RECORD);
}

static void close_ring(struct flow *r)
{
	munmap(r->shared, r->size);
	close(r->stream);
	close(r->fd);
}

static uint64_t produce(const struct flow *r, uint64_t count)
{
	struct k2u_produce arg = { .count = count, .stamp = STAMP };

	if (ioctl(r->stream, K2U_IOC_PRODUCE, &arg))
		fail_msg("produce: %s", strerror(errno));
	assert_int_equal(arg.count, count);
	return arg.produced;
}

static struct k2u_stream_info info_of(const struct flow *r)
{
	struct k2u_stream_info info = { 0 };

	assert_int_equal(ioctl(r->stream, K2U_IOC_STREAM_INFO, &info), 0);
	return info;
}

/* What the ABI says of the counters, where nobody produces just now */
static void assert_balance(const struct flow *r)
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

static const uint64_t *slot(const struct flow *r, uint64_t index)
{
	return (const uint64_t *)((const char *)r->shared +
				  K2U_RING_DATA(page_size()) +
				  (index & (r->slots - 1)) * r->record);
}

/* The head, the pattern and the last word of a record that PRODUCE made */
static void check_record(const uint64_t *word, uint32_t size, uint64_t seq)
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

static uint64_t load_producer(const struct flow *r)
{
	return __atomic_load_n(&r->shared->producer, __ATOMIC_ACQUIRE);
}

static void store_consumer(const struct flow *r, uint64_t value)
{
	__atomic_store_n(&r->shared->consumer, value, __ATOMIC_RELEASE);
}

/* All that there are, by loads, which must have these numbers */
static uint64_t drain(const struct flow *r, uint64_t seq)
{
	const uint64_t producer = load_producer(r);
	uint64_t i, n = 0;

	for (i = r->shared->consumer; i != producer; i++, n++)
		check_record(slot(r, i), r->record, seq + n);
	store_consumer(r, i);
	return n;
}

/* ---- what is refused ---- */

static void test_errors(void **state)
{
	static const uint32_t sizes[] = { 0,	   8,	     56,	63,
					  65,	   68,	     65537,	65544,
					  1 << 17, 1u << 31, UINT32_MAX };
	const struct k2u_stream good = { .record_size = RECORD };
	struct k2u_stream arg = good;
	int fd = open_buffer(K2U_BACKING_VMALLOC, PAGES * page_size());
	int ro = open_k2u(O_RDONLY), wo = open_k2u(O_WRONLY);

	(void)state;
	assert_stream(ro, good, EBADF);
	assert_stream(wo, good, EBADF);
	assert_int_equal(try_stream(fd, NULL), -1);
	assert_int_equal(errno, EFAULT);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		arg.record_size = sizes[i];
		assert_stream(fd, arg, EINVAL);
	}
	for (unsigned int bit = 0; bit < 16; bit++) {
		arg = good;
		arg.flags = 1u << bit; /* STEAL is of another source */
		if (arg.flags != K2U_STREAM_EVENTFD) /* test_eventfd_errors() */
			assert_stream(fd, arg, EINVAL);
		arg = good;
		arg.port = 1u << bit;
		assert_stream(fd, arg, EINVAL);
	}
	for (unsigned int bit = 1; bit < 32; bit++) {
		arg = good;
		arg.source = 1u << bit;
		assert_stream(fd, arg, EINVAL);
	}
	for (size_t i = 0; i < sizeof(arg.reserved); i++) {
		arg = good;
		((char *)arg.reserved)[i] = 1;
		assert_stream(fd, arg, EINVAL);
	}
	assert_stream(fd, good, 0);
	close(fd);
	close(ro);
	close(wo);
}

/* The room for two records, and powers of two */
static void test_slots(void **state)
{
	const size_t page = page_size();
	const struct {
		size_t size;
		uint32_t record, slots;
	} cases[] = {
		{ 1, RECORD, 0 },
		{ page - 1, RECORD, 0 },
		{ page, RECORD, 0 },
		{ page + 2 * RECORD - 1, RECORD, 0 },
		{ page + 2 * RECORD, RECORD, 2 },
		{ page + 4 * RECORD - 1, RECORD, 2 },
		{ page + 4 * RECORD, RECORD, 4 },
		{ page + 7 * 72, 72, 4 },
		{ page + 2 * K2U_RECORD_MAX - 8, K2U_RECORD_MAX, 0 },
		{ page + 2 * K2U_RECORD_MAX, K2U_RECORD_MAX, 2 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct k2u_stream arg = { .record_size = cases[i].record };
		int fd = open_buffer(K2U_BACKING_VMALLOC, cases[i].size);
		int stream = try_stream(fd, &arg);

		if (cases[i].slots) {
			assert_true(stream >= 0);
			close(stream);
		} else {
			assert_int_equal(stream, -1);
			assert_int_equal(errno, EINVAL);
		}
		assert_int_equal(arg.slots, cases[i].slots);
		close(fd);
	}
}

static void test_backings(void **state)
{
	const uint32_t can = K2U_BACKING_VMALLOC | K2U_BACKING_CONTIG;
	const struct k2u_stream good = { .record_size = RECORD };
	const struct k2u_info info = module_info();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(backings); i++) {
		if (!(info.backings & backings[i]))
			continue;
		for (uint32_t cache = 0; cache <= K2U_CACHE_UC; cache++) {
			const bool wb = cache == K2U_CACHE_WB;
			int fd;

			if (!(info.caches & 1u << cache) ||
			    (backings[i] == K2U_BACKING_DMA && !wb))
				continue;
			fd = open_cached(backings[i], PAGES * page_size(),
					 cache);
			assert_stream(fd, good,
				      wb && backings[i] & can ? 0 : EOPNOTSUPP);
			close(fd);
		}
	}
}

/* Without a descriptor, and where slots cannot be said: then there is no ring either */
static void test_not_given(void **state)
{
	const struct k2u_stream good = { .record_size = RECORD };
	int fd = open_buffer(K2U_BACKING_VMALLOC, PAGES * page_size());
	const int free_fd = dup(fd);
	struct rlimit limit, few;
	void *p = mmap(NULL, page_size(), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_ptr_not_equal(p, MAP_FAILED);
	close(free_fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	few = limit;
	few.rlim_cur = (rlim_t)free_fd;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_stream(fd, good, EMFILE);
	assert_stream(fd, good, EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);

	memcpy(p, &good, sizeof(good));
	assert_int_equal(mprotect(p, page_size(), PROT_READ), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(try_stream(fd, p), -1);
		assert_int_equal(errno, EFAULT);
	}
	assert_int_equal(dup(fd), free_fd); /* none was left behind */
	close(free_fd);
	munmap(p, page_size());
	assert_stream(fd, good, 0);
	close(fd);
}

static void test_descriptor(void **state)
{
	struct flow r = open_ring();
	const struct k2u_stream again = { .record_size = RECORD };
	struct k2u_produce arg = { .reserved = { 0, 1 } };
	struct k2u_stream_info info = { .reserved = { 1 } };
	struct k2u_setup setup = { .size = 1 };
	char buf[RECORD];

	(void)state;
	assert_int_equal(fcntl(r.stream, F_GETFD), FD_CLOEXEC);
	assert_stream(r.fd, again, EBUSY);
	assert_int_equal(ioctl(r.stream, K2U_IOC_PRODUCE, NULL), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(ioctl(r.stream, K2U_IOC_PRODUCE, &arg), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(ioctl(r.stream, K2U_IOC_STREAM_INFO, NULL), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(ioctl(r.stream, K2U_IOC_STREAM_INFO, &info), -1);
	assert_int_equal(errno, EINVAL);
	/* Of the one file, not of the other */
	assert_int_equal(ioctl(r.stream, K2U_IOC_SETUP, &setup), -1);
	assert_int_equal(errno, ENOTTY);
	assert_int_equal(ioctl(r.stream, K2U_IOC_STREAM, &again), -1);
	assert_int_equal(errno, ENOTTY);
	assert_int_equal(ioctl(r.fd, K2U_IOC_PRODUCE, &arg), -1);
	assert_int_equal(errno, ENOTTY);
	assert_int_equal(ioctl(r.fd, K2U_IOC_STREAM_INFO, &info), -1);
	assert_int_equal(errno, ENOTTY);
	/* It only reads, and has no position */
	assert_int_equal(write(r.stream, buf, sizeof(buf)), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(lseek(r.stream, 0, SEEK_SET), -1);
	assert_int_equal(errno, ESPIPE);
	assert_int_equal(pread(r.stream, buf, sizeof(buf), 0), -1);
	assert_int_equal(errno, ESPIPE);
	assert_mmap_fails(r.stream, 0, page_size(), PROT_READ, MAP_SHARED,
			  ENODEV);
	for (size_t n = 0; n < RECORD; n++) {
		assert_int_equal(read(r.stream, buf, n), -1);
		assert_int_equal(errno, EINVAL);
	}
	close_ring(&r);
}

/* The first use of the file may be this: the default buffer */
static void test_default(void **state)
{
	const struct k2u_info info = module_info();
	struct k2u_stream arg = { .record_size = RECORD };
	const uint64_t room = (info.default_bytes - page_size()) / RECORD;
	int fd = open_k2u(O_RDWR), stream = try_stream(fd, &arg);

	(void)state;
	assert_true(stream >= 0);
	assert_true(arg.slots <= room && arg.slots > room / 2);
	close(stream);
	close(fd);
}

/* ---- records ---- */

/* By every method that maps: what was produced is seen, what is stored is believed */
static void test_methods(void **state)
{
	const uint32_t backing = *(const uint32_t *)*state;
	unsigned int n = 0;

	for (uint32_t id = 0; id < ARRAY_SIZE(methods); id++) {
		struct flow r;
		uint64_t seq = 0;

		if (!(methods[id].access & K2U_ACCESS_MAP) ||
		    id == K2U_METHOD_null || absence(id) ||
		    !serves(id, backing))
			continue;
		r = open_sized(backing, PAGES * page_size(), 136);
		munmap(r.shared, r.size);
		r.shared = map_buffer(r.fd, id, r.size, PROT_READ | PROT_WRITE);
		for (unsigned int turn = 0; turn < 5 * r.slots; turn += 7) {
			assert_int_equal(produce(&r, 7), 7);
			assert_balance(&r);
			assert_int_equal(drain(&r, seq), 7);
			seq += 7;
			assert_balance(&r);
		}
		assert_int_equal(info_of(&r).produced, seq);
		assert_int_equal(info_of(&r).consumed, seq);
		assert_int_equal(info_of(&r).dropped, 0);
		close_ring(&r);
		n++;
	}
	assert_true(n >= 3);
}

/* Every size of record that there is a way of copying for, one after the other */
static void test_sizes(void **state)
{
	static const uint32_t sizes[] = {
		64, 72, 128, 256, 264, 272, 280, 4096, 4104, K2U_RECORD_MAX
	};
	const uint32_t backing = *(const uint32_t *)*state;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct flow r = open_sized(
			backing, page_size() + 5 * sizes[i] + 8, sizes[i]);
		uint64_t *buf = malloc(4 * sizes[i]), seq = 0;

		assert_non_null(buf);
		assert_int_equal(r.slots, 4);
		for (unsigned int turn = 0; turn < 9; turn++) {
			assert_int_equal(produce(&r, 3), 3);
			if (turn % 2) {
				assert_int_equal(drain(&r, seq), 3);
				seq += 3;
				continue;
			}
			assert_int_equal(read(r.stream, buf, 4 * sizes[i]),
					 3 * sizes[i]);
			for (size_t k = 0; k < 3; k++)
				check_record(buf + k * sizes[i] / 8, sizes[i],
					     seq++);
		}
		assert_balance(&r);
		free(buf);
		close_ring(&r);
	}
}

/* read() of so many bytes: whole records, the others wait */
static void test_read(void **state)
{
	struct flow r = open_ring();
	uint64_t buf[8 * RECORD / 8], seq = 0, left = 0;

	(void)state;
	for (unsigned int turn = 0; turn < 4 * r.slots; turn++) {
		const size_t room = RECORD + turn * 13 % (7 * RECORD);
		const size_t want = room / RECORD;
		size_t n;

		if (left < 8)
			left += produce(&r, 8);
		memset(buf, CANARY, sizeof(buf));
		n = left < want ? left : want;
		assert_int_equal(read(r.stream, buf, room), n * RECORD);
		for (size_t k = 0; k < n; k++)
			check_record(buf + k * RECORD / 8, RECORD, seq++);
		for (size_t k = n * RECORD; k < sizeof(buf); k++)
			assert_int_equal(((uint8_t *)buf)[k], CANARY);
		left -= n;
		assert_int_equal(r.shared->consumer, seq);
		assert_balance(&r);
	}
	assert_int_equal(counters(r.fd).read_bytes, seq * RECORD);
	close_ring(&r);
}

/* Into memory that is in pieces, and that ends within a record */
static void test_read_pieces(void **state)
{
	struct flow r = open_ring();
	const size_t page = page_size();
	char *p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t buf[3 * RECORD / 8];
	const struct iovec iov[] = { { buf, 8 },
				     { (char *)buf + 8, RECORD + 24 },
				     { (char *)buf + RECORD + 32, RECORD } };

	(void)state;
	assert_ptr_not_equal(p, MAP_FAILED);
	munmap(p + page, page);
	assert_int_equal(produce(&r, 5), 5);
	assert_int_equal(readv(r.stream, iov, 3), 2 * RECORD);
	check_record(buf, RECORD, 0);
	check_record(buf + RECORD / 8, RECORD, 1);
	/* A record and a half */
	assert_int_equal(read(r.stream, p + page - RECORD - 24, 3 * RECORD),
			 RECORD);
	memcpy(buf, p + page - RECORD - 24, RECORD);
	check_record(buf, RECORD, 2);
	/* Less than one: nothing is taken */
	assert_int_equal(read(r.stream, p + page - 24, RECORD), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(read(r.stream, p + page, 2 * RECORD), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(r.shared->consumer, 3);
	assert_balance(&r);
	assert_int_equal(drain(&r, 3), 2);
	munmap(p, page);
	close_ring(&r);
}

/* A ring that is full: what comes is dropped, and what is there stays */
static void test_overrun(void **state)
{
	struct flow r = open_ring();
	struct k2u_stream_info i;

	(void)state;
	assert_int_equal(produce(&r, 3 * r.slots + 1), r.slots);
	i = info_of(&r);
	assert_int_equal(i.produced, 3 * r.slots + 1);
	assert_int_equal(i.dropped, 2 * r.slots + 1);
	assert_int_equal(i.consumed, 0);
	assert_int_equal(r.shared->dropped, i.dropped);
	assert_int_equal(r.shared->producer, r.slots);
	assert_balance(&r);
	assert_int_equal(drain(&r, 0), r.slots);
	assert_balance(&r);
	/* The gap shows */
	assert_int_equal(produce(&r, 2), 2);
	assert_int_equal(drain(&r, i.produced), 2);
	/* One slot is free, and then none */
	assert_int_equal(produce(&r, r.slots - 1), r.slots - 1);
	assert_int_equal(produce(&r, 2), 1);
	assert_int_equal(produce(&r, 1), 0);
	assert_int_equal(info_of(&r).dropped, i.dropped + 2);
	assert_balance(&r);
	store_consumer(&r, r.shared->consumer + 3);
	assert_int_equal(produce(&r, 5), 3);
	assert_balance(&r);
	close_ring(&r);
}

/* A producer that finds room only because somebody takes, and counts what it says */
static void test_batches(void **state)
{
	struct flow r = open_ring();
	uint64_t made = 0, asked = 0, buf[64 * RECORD / 8];

	(void)state;
	for (uint64_t count = 0; count < 3 * r.slots; count += 11) {
		made += produce(&r, count);
		asked += count;
		assert_int_equal(info_of(&r).produced, asked);
		assert_int_equal(info_of(&r).produced - info_of(&r).dropped,
				 made);
		assert_balance(&r);
		if (made != r.shared->consumer)
			assert_true(read(r.stream, buf, sizeof(buf)) > 0);
		assert_balance(&r);
	}
	close_ring(&r);
}

/* ---- user space plays with the shared page ---- */

static void test_tampered(void **state)
{
	static const uint64_t values[] = {
		0,	    1,		2,	    255,
		256,	    UINT32_MAX, 1ULL << 32, 1ULL << 62,
		1ULL << 63, INT64_MAX,	UINT64_MAX, UINT64_MAX - 1,
		-255ULL,    -256ULL,	-257ULL,    0x5555555555555555ULL
	};
	struct flow r = open_ring();
	uint64_t *all = malloc(r.size);

	(void)state;
	assert_non_null(all);
	/* From the first record on, and far into the ring's life */
	for (unsigned int turn = 0; turn < 2; turn++) {
		for (size_t i = 0; i < 3 * ARRAY_SIZE(values); i++) {
			const uint64_t producer = r.shared->producer;
			const uint64_t v = values[i / 3] +
					   (i % 3 == 1 ? producer :
					    i % 3 == 2 ? producer - r.slots :
							 0);
			const uint64_t used =
				producer - v < r.slots ? producer - v : r.slots;
			struct pollfd poll_fd = { r.stream, POLLIN, 0 };
			const uint64_t dropped = info_of(&r).dropped;
			ssize_t n;

			store_consumer(&r, v);
			assert_balance(&r);
			assert_int_equal(info_of(&r).consumed, producer - used);
			assert_int_equal(poll(&poll_fd, 1, 0), used ? 1 : 0);
			/* At most the room that was there before, or is now */
			assert_true(produce(&r, 3) <= 3);
			assert_balance(&r);
			assert_true(info_of(&r).dropped - dropped <= 3);
			fcntl(r.stream, F_SETFL, O_NONBLOCK);
			n = read(r.stream, all, r.size);
			if (n < 0)
				assert_int_equal(errno, EAGAIN);
			else
				assert_true(n % RECORD == 0 &&
					    n / RECORD <= r.slots);
			/* It has put things right */
			assert_int_equal(r.shared->consumer,
					 r.shared->producer);
			assert_int_equal(produce(&r, r.slots + 1), r.slots);
			assert_int_equal(read(r.stream, all, r.size),
					 r.slots * RECORD);
			check_record(all, RECORD,
				     info_of(&r).produced - r.slots - 1);
			assert_balance(&r);
		}
		for (unsigned int i = 0; i < 50; i++) {
			produce(&r, r.slots);
			store_consumer(&r, load_producer(&r));
		}
	}
	free(all);
	close_ring(&r);
}

/* What the kernel stores it does not load: no counter and no record follows a lie */
static void test_lies(void **state)
{
	struct flow r = open_ring();
	struct k2u_fill fill = { .seed = 1 };
	struct k2u_stream_info i;

	(void)state;
	assert_int_equal(produce(&r, 5), 5);
	r.shared->producer = 1ULL << 40;
	r.shared->dropped = 77;
	i = info_of(&r);
	assert_int_equal(i.produced, 5);
	assert_int_equal(i.dropped, 0);
	assert_int_equal(produce(&r, 1), 1);
	assert_int_equal(r.shared->producer, 6);
	assert_int_equal(drain(&r, 0), 6);
	/* All of the buffer, by the kernel's own hand */
	assert_int_equal(ioctl(r.fd, K2U_IOC_FILL, &fill), 0);
	assert_int_equal(info_of(&r).produced, 6);
	assert_int_equal(info_of(&r).consumed, 6 - (uint64_t)r.slots);
	assert_int_equal(pwrite(r.fd, &(uint64_t){ 6 }, 8, 0), 8);
	assert_int_equal(info_of(&r).consumed, 6);
	assert_int_equal(produce(&r, r.slots + 1), r.slots);
	assert_int_equal(drain(&r, 6), r.slots);
	/* A new ring is an empty one */
	memset(r.shared, CANARY, r.size);
	close(r.stream);
	r.stream = try_stream(r.fd, &(struct k2u_stream){ .record_size = RECORD,
							  .seed = SEED });
	assert_true(r.stream >= 0);
	assert_int_equal(r.shared->consumer, 0);
	assert_int_equal(r.shared->producer, 0);
	assert_int_equal(r.shared->dropped, 0);
	assert_int_equal(info_of(&r).produced, 0);
	assert_int_equal(produce(&r, 2), 2);
	assert_int_equal(drain(&r, 0), 2);
	close_ring(&r);
}

/* ---- waiting ---- */

static void assert_poll(const struct flow *r, short expected)
{
	struct pollfd p = { r->stream, POLLIN | POLLOUT | POLLPRI, 0 };

	assert_int_equal(poll(&p, 1, 0), expected ? 1 : 0);
	assert_int_equal(p.revents, expected);
}

static void test_poll(void **state)
{
	struct flow r = open_ring();
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	int ep = epoll_create1(EPOLL_CLOEXEC);
	char buf[2 * RECORD];

	(void)state;
	assert_true(ep >= 0);
	assert_int_equal(epoll_ctl(ep, EPOLL_CTL_ADD, r.stream, &event), 0);
	assert_poll(&r, 0);
	assert_int_equal(epoll_wait(ep, &event, 1, 0), 0);
	produce(&r, 0);
	assert_poll(&r, 0);
	assert_int_equal(epoll_wait(ep, &event, 1, 0), 0);
	produce(&r, 3);
	assert_poll(&r, POLLIN);
	assert_int_equal(epoll_wait(ep, &event, 1, 0), 1);
	assert_int_equal(epoll_wait(ep, &event, 1, 0), 0);
	assert_int_equal(read(r.stream, buf, sizeof(buf)), 2 * RECORD);
	assert_poll(&r, POLLIN);
	assert_int_equal(epoll_wait(ep, &event, 1, 0), 0);
	produce(&r, 1);
	assert_int_equal(epoll_wait(ep, &event, 1, 0), 1);
	assert_int_equal(drain(&r, 2), 2);
	assert_poll(&r, 0);
	close(ep);
	close_ring(&r);
}

static void test_nonblock(void **state)
{
	struct flow r = open_ring();
	char buf[RECORD];
	struct iovec iov = { buf, sizeof(buf) };

	(void)state;
	assert_int_equal(preadv2(r.stream, &iov, 1, -1, RWF_NOWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(fcntl(r.stream, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(read(r.stream, buf, sizeof(buf)), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(read(r.stream, buf, sizeof(buf) - 1), -1);
	assert_int_equal(errno, EINVAL);
	produce(&r, 2);
	assert_int_equal(preadv2(r.stream, &iov, 1, -1, RWF_NOWAIT), RECORD);
	assert_int_equal(read(r.stream, buf, sizeof(buf)), RECORD);
	assert_int_equal(read(r.stream, buf, sizeof(buf)), -1);
	assert_int_equal(errno, EAGAIN);
	assert_balance(&r);
	close_ring(&r);
}

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

static void *sleeper(void *arg)
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

static char state_of(int tid)
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
static void start_sleeper(struct sleeper *s, int stream, bool polls)
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
static void end_sleeper(struct sleeper *s, ssize_t got, int err)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	if (pthread_timedjoin_np(s->id, NULL, &until))
		fail_msg("a thread sleeps still after %d s", PATIENCE_S);
	assert_int_equal(s->err, err);
	assert_int_equal(s->got, got);
}

static void test_waits(void **state)
{
	struct flow r = open_ring();
	static struct sleeper s;

	(void)state;
	produce(&r, 1);
	store_consumer(&r, 1);
	assert_int_equal(info_of(&r).wakeups, 0); /* nobody waited */
	start_sleeper(&s, r.stream, false);
	produce(&r, 0);
	assert_int_equal(info_of(&r).wakeups, 0); /* and there was nothing */
	produce(&r, 1);
	end_sleeper(&s, RECORD, 0);
	check_record(s.buf, RECORD, 1);
	assert_int_equal(info_of(&r).wakeups, 1);
	start_sleeper(&s, r.stream, true);
	produce(&r, 3);
	end_sleeper(&s, 1, 0);
	assert_int_equal(info_of(&r).wakeups, 2);
	produce(&r, 3);
	assert_int_equal(info_of(&r).wakeups, 2);
	assert_int_equal(drain(&r, 2), 6);
	close_ring(&r);
}

static void on_signal(int signal)
{
	(void)signal;
}

/* A reader whose memory does not come holds up other readers, and nobody else */
static void test_reader_held(void **state)
{
	const struct sigaction action = { .sa_handler = on_signal };
	const int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_zeropage zero = { 0 };
	static struct sleeper held, waits;
	struct sigaction before;
	struct uffd_msg msg;
	uint64_t buf[RECORD / 8];
	struct iovec iov = { buf, sizeof(buf) };
	struct flow r;
	char *p;

	(void)state;
	if (uffd < 0)
		unavailable("userfaultfd: %s", strerror(errno));
	r = open_ring();
	p = mmap(NULL, page_size(), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	range.range.start = (uintptr_t)p;
	range.range.len = page_size();
	zero.range = range.range;
	assert_int_equal(ioctl(uffd, UFFDIO_API, &api), 0);
	assert_int_equal(ioctl(uffd, UFFDIO_REGISTER, &range), 0);
	assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);

	produce(&r, 2);
	held = (struct sleeper){ .stream = r.stream, .to = p };
	assert_int_equal(pthread_create(&held.id, NULL, sleeper, &held), 0);
	assert_int_equal(read(uffd, &msg, sizeof(msg)), sizeof(msg));
	assert_int_equal(preadv2(r.stream, &iov, 1, -1, RWF_NOWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	assert_poll(&r, POLLIN);
	start_sleeper(&waits, r.stream, false);
	pthread_kill(waits.id, SIGUSR1);
	end_sleeper(&waits, -1, EINTR);
	assert_int_equal(produce(&r, 1), 1);
	assert_balance(&r);
	assert_int_equal(ioctl(uffd, UFFDIO_ZEROPAGE, &zero), 0);
	end_sleeper(&held, RECORD, 0);
	check_record((const uint64_t *)p, RECORD, 0);
	assert_int_equal(drain(&r, 1), 2);
	sigaction(SIGUSR1, &before, NULL);
	close(uffd);
	munmap(p, page_size());
	close_ring(&r);
}

static void test_signal(void **state)
{
	struct sigaction action = { .sa_handler = on_signal }, before;
	struct flow r = open_ring();
	static struct sleeper s;

	(void)state;
	assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
	for (int polls = 0; polls < 2; polls++) {
		start_sleeper(&s, r.stream, polls);
		pthread_kill(s.id, SIGUSR1);
		end_sleeper(&s, -1, EINTR);
	}
	/* Begun anew where the handler wants that; nothing is lost */
	action.sa_flags = SA_RESTART;
	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	start_sleeper(&s, r.stream, false);
	pthread_kill(s.id, SIGUSR1);
	usleep(50 * 1000);
	produce(&r, 1);
	end_sleeper(&s, RECORD, 0);
	check_record(s.buf, RECORD, 0);
	assert_balance(&r);
	sigaction(SIGUSR1, &before, NULL);
	close_ring(&r);
}

/* Who sleeps holds the file: the ring is there until it is woken */
static void test_close_asleep(void **state)
{
	const struct sigaction action = { .sa_handler = on_signal };
	const struct k2u_stream again = { .record_size = RECORD };
	struct sigaction before;

	(void)state;
	assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
	for (int polls = 0; polls < 2; polls++) {
		struct flow r = open_ring();
		int fd = dup(r.fd), other;
		static struct sleeper s;

		start_sleeper(&s, r.stream, polls);
		close(r.stream);
		close(r.fd);
		usleep(20 * 1000);
		assert_int_equal(state_of(s.tid), 'S');
		assert_stream(fd, again, EBUSY);
		pthread_kill(s.id, SIGUSR1);
		/* poll() looks the number up again */
		end_sleeper(&s, polls ? 1 : -1, polls ? 0 : EINTR);
		assert_int_equal(s.revents, polls ? POLLNVAL : 0);
		assert_stream(fd, again, 0);
		munmap(r.shared, r.size);
		close(fd);

		/* And one that is closed, but produced for by another descriptor */
		r = open_ring();
		other = dup(r.stream);
		start_sleeper(&s, r.stream, polls);
		close(r.stream);
		close(r.fd);
		r.stream = other;
		produce(&r, 1);
		end_sleeper(&s, polls ? 1 : RECORD, 0);
		assert_int_equal(s.revents, polls ? POLLNVAL : 0);
		munmap(r.shared, r.size);
		close(other);
	}
	sigaction(SIGUSR1, &before, NULL);
}

/* A call for more than can be: a signal ends it, and it says how far it got */
static void test_endless(void **state)
{
	const struct sigaction action = { .sa_handler = on_signal };
	struct k2u_produce arg = { .count = UINT64_MAX, .stamp = STAMP };
	struct sigaction before;
	struct flow r = open_ring();
	int status;
	pid_t pid;

	(void)state;
	assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
	ualarm(200 * 1000, 0);
	assert_int_equal(ioctl(r.stream, K2U_IOC_PRODUCE, &arg), -1);
	assert_int_equal(errno, EINTR);
	assert_int_equal(arg.produced, r.slots);
	assert_true(info_of(&r).dropped > 0);
	assert_balance(&r);
	assert_int_equal(drain(&r, 0), r.slots);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		ioctl(r.stream, K2U_IOC_PRODUCE, &arg);
		_exit(1);
	}
	usleep(50 * 1000);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_balance(&r);
	sigaction(SIGALRM, &before, NULL);
	close_ring(&r);
}

/* ---- an eventfd ---- */

static int new_eventfd(int flags)
{
	int fd = eventfd(0, EFD_CLOEXEC | flags);

	assert_true(fd >= 0);
	return fd;
}

static struct k2u_stream signalled(uint32_t record, int eventfd)
{
	return (struct k2u_stream){ .record_size = record,
				    .flags = K2U_STREAM_EVENTFD,
				    .seed = SEED,
				    .eventfd = eventfd };
}

static struct flow open_signalled(size_t size, uint32_t record, int eventfd)
{
	return open_flow(K2U_BACKING_VMALLOC, size, signalled(record, eventfd));
}

/* Of one that does not block: what was signalled since it was last read */
static uint64_t count_of(int eventfd)
{
	uint64_t count;

	if (read(eventfd, &count, sizeof(count)) == sizeof(count))
		return count;
	assert_int_equal(errno, EAGAIN);
	return 0;
}

static short events_of(int fd)
{
	struct pollfd p = { fd, POLLIN, 0 };

	assert_true(poll(&p, 1, 0) >= 0);
	return p.revents;
}

static long references(void)
{
	FILE *f = fopen("/sys/module/k2u/refcnt", "re");
	long n = -1;

	assert_non_null(f);
	if (fscanf(f, "%ld", &n) != 1)
		fail_msg("/sys/module/k2u/refcnt");
	fclose(f);
	return n;
}

static void test_eventfd_errors(void **state)
{
	const int efd = new_eventfd(EFD_NONBLOCK), gone = dup(efd),
		  epoll = epoll_create1(EPOLL_CLOEXEC);
	int fd = open_buffer(K2U_BACKING_VMALLOC, PAGES * page_size());
	const struct k2u_stream good = signalled(RECORD, efd);
	struct k2u_stream arg;
	struct flow r;

	(void)state;
	close(gone);
	assert_stream(fd, signalled(RECORD, -1), EBADF);
	assert_stream(fd, signalled(RECORD, INT32_MIN), EBADF);
	assert_stream(fd, signalled(RECORD, INT32_MAX), EBADF);
	assert_stream(fd, signalled(RECORD, gone), EBADF);
	assert_stream(fd, signalled(RECORD, fd), EINVAL);
	assert_stream(fd, signalled(RECORD, epoll), EINVAL);
	/* No number is one without the flag, nor is there a flag more than these */
	for (unsigned int bit = 0; bit < 32; bit++) {
		arg = (struct k2u_stream){ .record_size = RECORD,
					   .eventfd = (int32_t)(1u << bit) };
		assert_stream(fd, arg, EINVAL);
	}
	arg = good;
	arg.flags = 0;
	assert_stream(fd, arg, EINVAL);
	for (unsigned int bit = 0; bit < 16; bit++) {
		arg = good;
		arg.flags |= 1u << bit;
		if (arg.flags != good.flags)
			assert_stream(fd, arg, EINVAL);
	}
	/* With a good one, what is refused for another reason */
	assert_stream(fd, signalled(RECORD + 4, efd), EINVAL);
	arg = good;
	arg.port = 1;
	assert_stream(fd, arg, EINVAL);
	for (int i = 0; i < 3; i++)
		assert_stream(fd, good, 0);
	close(fd);
	r = open_signalled(PAGES * page_size(), RECORD, efd);
	assert_stream(r.fd, good, EBUSY);
	assert_stream(r.fd, signalled(RECORD, -1), EBUSY);
	close_ring(&r);
	assert_int_equal(count_of(efd), 0);
	close(efd);
	close(epoll);
}

/* One for each run of records of which some found room */
static void test_eventfd_count(void **state)
{
	const int efd = new_eventfd(EFD_NONBLOCK);
	const uint64_t run = 16 * 1024 / RECORD;
	struct flow r =
		open_signalled(page_size() + 4 * run * RECORD, RECORD, efd);
	struct k2u_stream_info i;
	uint64_t seq = 0;

	(void)state;
	assert_int_equal(r.slots, 4 * run);
	produce(&r, 0);
	assert_int_equal(count_of(efd), 0);
	assert_int_equal(events_of(efd), 0);
	produce(&r, 1);
	assert_int_equal(events_of(efd), POLLIN);
	assert_int_equal(count_of(efd), 1);
	assert_int_equal(events_of(efd), 0);
	produce(&r, 3);
	produce(&r, run);
	assert_int_equal(count_of(efd), 2);
	seq += drain(&r, seq);
	produce(&r, run + 1);
	assert_int_equal(count_of(efd), 2);
	produce(&r, 2 * run);
	assert_int_equal(count_of(efd), 2);
	seq += drain(&r, seq);
	/* Full at the end of the second run, after which all are dropped */
	produce(&r, 2 * run);
	assert_int_equal(count_of(efd), 2);
	assert_int_equal(produce(&r, 4 * run), 2 * run);
	assert_int_equal(count_of(efd), 2);
	assert_int_equal(produce(&r, 3), 0);
	assert_int_equal(count_of(efd), 0);
	store_consumer(&r, seq + 1);
	assert_int_equal(produce(&r, 3), 1);
	assert_int_equal(count_of(efd), 1);
	/* Nobody slept in the stream itself */
	i = info_of(&r);
	assert_int_equal(i.wakeups, 0);
	assert_balance(&r);
	close_ring(&r);
	/* Large ones, each of them */
	r = open_signalled(page_size() + 4 * K2U_RECORD_MAX, K2U_RECORD_MAX,
			   efd);
	assert_int_equal(produce(&r, 5), 4);
	assert_int_equal(count_of(efd), 4);
	close_ring(&r);
	close(efd);
}

/* As others of its kind: one by one, and full */
static void test_eventfd_kinds(void **state)
{
	const int one = new_eventfd(EFD_NONBLOCK | EFD_SEMAPHORE),
		  full = new_eventfd(EFD_NONBLOCK);
	const uint64_t most = UINT64_MAX - 1;
	struct flow r = open_signalled(PAGES * page_size(), RECORD, one);

	(void)state;
	for (int i = 0; i < 3; i++)
		produce(&r, 2);
	for (int i = 0; i < 3; i++)
		assert_int_equal(count_of(one), 1);
	assert_int_equal(count_of(one), 0);
	close_ring(&r);
	assert_int_equal(write(full, &most, sizeof(most)), sizeof(most));
	r = open_signalled(PAGES * page_size(), RECORD, full);
	for (int i = 0; i < 3; i++) {
		produce(&r, 1);
		assert_int_equal(events_of(full), POLLIN | POLLERR);
	}
	assert_int_equal(count_of(full), UINT64_MAX);
	produce(&r, 1);
	assert_int_equal(count_of(full), 1);
	close_ring(&r);
	close(one);
	close(full);
}

/* Who sleeps in poll(), in read() and in epoll_wait() */
static void test_eventfd_waits(void **state)
{
	const int efd = new_eventfd(0), epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	struct flow r = open_signalled(PAGES * page_size(), RECORD, efd);
	static struct sleeper s, other;

	(void)state;
	start_sleeper(&s, efd, true);
	produce(&r, 0);
	usleep(20 * 1000);
	assert_int_equal(state_of(s.tid), 'S');
	produce(&r, 2);
	end_sleeper(&s, 1, 0);
	assert_int_equal(s.revents, POLLIN);
	/* Nobody has read it */
	assert_int_equal(events_of(efd), POLLIN);
	produce(&r, 1);
	assert_int_equal(read(efd, s.buf, sizeof(s.buf)), 8);
	assert_int_equal(s.buf[0], 2);
	assert_int_equal(drain(&r, 0), 3);

	/* Both at once, by one call */
	start_sleeper(&s, efd, false);
	start_sleeper(&other, r.stream, true);
	assert_int_equal(info_of(&r).wakeups, 0);
	produce(&r, 2);
	end_sleeper(&s, 8, 0);
	end_sleeper(&other, 1, 0);
	assert_int_equal(s.buf[0], 1);
	assert_int_equal(info_of(&r).wakeups, 1);
	assert_int_equal(drain(&r, 3), 2);

	assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, efd, &event), 0);
	assert_int_equal(epoll_wait(epoll, &event, 1, 0), 0);
	/* Each call is an edge, though nobody reads */
	for (int i = 0; i < 3; i++) {
		produce(&r, 1);
		assert_int_equal(epoll_wait(epoll, &event, 1, 0), 1);
		assert_int_equal(epoll_wait(epoll, &event, 1, 0), 0);
	}
	produce(&r, 0);
	assert_int_equal(epoll_wait(epoll, &event, 1, 0), 0);
	start_sleeper(&s, epoll, true);
	produce(&r, 1);
	end_sleeper(&s, 1, 0);
	close(epoll);
	close(efd);
	close_ring(&r);
}

/* In either order, and with who sleeps */
static void test_eventfd_lifetime(void **state)
{
	const long none = references();
	struct flow r, second;
	static struct sleeper s;
	int efd = new_eventfd(0);

	(void)state;
	r = open_signalled(PAGES * page_size(), RECORD, efd);
	close(efd);
	assert_int_equal(produce(&r, 3), 3);
	assert_int_equal(drain(&r, 0), 3);
	close_ring(&r);

	/* The number is another file's by now */
	efd = new_eventfd(0);
	r = open_signalled(PAGES * page_size(), RECORD, efd);
	start_sleeper(&s, efd, false);
	assert_int_equal(dup2(r.fd, efd), efd);
	produce(&r, 1);
	end_sleeper(&s, 8, 0);
	assert_int_equal(s.buf[0], 1);
	produce(&r, 1);
	close(efd);
	close_ring(&r);

	/* The stream goes: the sleeper is nobody's, and the eventfd works */
	efd = new_eventfd(0);
	r = open_signalled(PAGES * page_size(), RECORD, efd);
	second = open_signalled(PAGES * page_size(), RECORD, efd);
	start_sleeper(&s, efd, false);
	close_ring(&r);
	assert_int_equal(references(), none + 2);
	usleep(20 * 1000);
	assert_int_equal(state_of(s.tid), 'S');
	produce(&second, 1);
	end_sleeper(&s, 8, 0);
	close_ring(&second);
	assert_int_equal(references(), none);
	assert_int_equal(eventfd_write(efd, 5), 0);
	assert_int_equal(read(efd, s.buf, sizeof(s.buf)), 8);
	assert_int_equal(s.buf[0], 5);

	/* Of two streams, each counts */
	r = open_signalled(PAGES * page_size(), RECORD, efd);
	second = open_signalled(PAGES * page_size(), RECORD, efd);
	produce(&r, 1);
	produce(&second, 1);
	assert_int_equal(read(efd, s.buf, sizeof(s.buf)), 8);
	assert_int_equal(s.buf[0], 2);
	close_ring(&r);
	close_ring(&second);
	close(efd);
	assert_int_equal(module_info().used_bytes, 0);
}

#define SIGNALS 3000

static void *signaller(void *arg)
{
	const struct flow *r = arg;
	uint64_t made = 0;

	while (made < SIGNALS) {
		const uint64_t used =
			load_producer(r) -
			__atomic_load_n(&r->shared->consumer, __ATOMIC_ACQUIRE);

		if (used == r->slots)
			sched_yield();
		else
			made += produce(r, 1);
		if (made % 7 == 0)
			sched_yield();
	}
	return NULL;
}

/* Who reads it and then takes all that there is misses nothing, and sleeps else */
static void test_eventfd_loop(void **state)
{
	const int efd = new_eventfd(0);
	struct flow r = open_signalled(page_size() + 8 * RECORD, RECORD, efd);
	struct pollfd p = { efd, POLLIN, 0 };
	uint64_t seq = 0, signals = 0, count;
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, signaller, &r), 0);
	while (seq < SIGNALS) {
		if (poll(&p, 1, PATIENCE_S * 1000) != 1)
			fail_msg("%llu records, and no more are signalled",
				 (unsigned long long)seq);
		assert_int_equal(read(efd, &count, sizeof(count)),
				 sizeof(count));
		signals += count;
		seq += drain(&r, seq);
		/* Each was signalled after it was there: more cannot have been */
		assert_true(signals <= seq);
	}
	pthread_join(thread, NULL);
	if (events_of(efd)) {
		assert_int_equal(read(efd, &count, sizeof(count)),
				 sizeof(count));
		signals += count;
	}
	assert_int_equal(signals, SIGNALS);
	assert_balance(&r);
	close_ring(&r);
	close(efd);
}

/* ---- several ---- */

#define READS 500

struct reader {
	pthread_t id;
	int stream;
	atomic_uchar *seen; /* by seq */
	uint64_t last;
	bool wrong;
};

static void *reader(void *arg)
{
	struct reader *t = arg;
	uint64_t buf[3 * RECORD / 8], next = 0;
	ssize_t n;

	while ((n = read(t->stream, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < n; i += RECORD) {
			const uint64_t *word = buf + i / 8;

			if (word[RECORD / 8 - 1] != *word || *word < next)
				t->wrong = true;
			if (*word >= t->last)
				return NULL;
			next = *word + 1;
			t->seen[*word]++;
		}
	t->wrong = true;
	return NULL;
}

/* Two readers: each record goes to one of them, in order */
static void test_two_readers(void **state)
{
	struct flow r = open_ring();
	atomic_uchar *seen = calloc(READS, sizeof(*seen));
	static struct reader t[2];
	const time_t until = time(NULL) + PATIENCE_S;
	uint64_t made = 0;

	(void)state;
	assert_non_null(seen);
	for (size_t i = 0; i < 2; i++) {
		t[i] = (struct reader){ .stream = r.stream,
					.seen = seen,
					.last = READS };
		assert_int_equal(pthread_create(&t[i].id, NULL, reader, &t[i]),
				 0);
	}
	while (made < READS) {
		const uint64_t room =
			r.slots - (r.shared->producer -
				   __atomic_load_n(&r.shared->consumer,
						   __ATOMIC_ACQUIRE));

		made += produce(&r, room < READS - made ? room : READS - made);
		if (!room)
			usleep(1000);
		assert_true(time(NULL) < until);
	}
	/* What each of them ends with: the batch of one may take more */
	for (size_t i = 0; i < 2; i++)
		while (pthread_tryjoin_np(t[i].id, NULL)) {
			produce(&r, 1);
			usleep(1000);
			assert_true(time(NULL) < until);
		}
	for (size_t i = 0; i < READS; i++)
		assert_int_equal(seen[i], 1);
	assert_false(t[0].wrong || t[1].wrong);
	assert_balance(&r);
	free(seen);
	close_ring(&r);
}

/* A consumer that is killed has taken what it had stored; another goes on */
static void test_killed(void **state)
{
	struct flow r = open_ring();
	uint64_t consumer;
	int status;
	pid_t pid;

	(void)state;
	produce(&r, r.slots);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		for (uint64_t i = 0;; i++) {
			while (i == load_producer(&r))
				;
			if (*slot(&r, i) != i)
				_exit(1);
			store_consumer(&r, i + 1);
			usleep(200);
		}
	}
	usleep(30 * 1000);
	produce(&r, 3);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_balance(&r);
	consumer = r.shared->consumer;
	assert_int_equal(info_of(&r).consumed, consumer);
	for (uint64_t i = consumer; i < r.slots; i++)
		check_record(slot(&r, i), RECORD, i);
	store_consumer(&r, load_producer(&r));
	assert_int_equal(produce(&r, 1), 1);
	assert_balance(&r);
	/* And one that is killed where it sleeps */
	store_consumer(&r, load_producer(&r));
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		char buf[RECORD];

		_exit(read(r.stream, buf, sizeof(buf)) == RECORD ? 2 : 1);
	}
	usleep(30 * 1000);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_int_equal(produce(&r, 1), 1);
	assert_balance(&r);
	close_ring(&r);
}

/* The mapping and both files in two processes */
static void test_fork(void **state)
{
	const struct k2u_stream again = { .record_size = RECORD };
	struct flow r = open_ring();
	int fd = dup(r.fd), status;
	pid_t pid;

	(void)state;
	produce(&r, 2);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		struct k2u_produce arg = { .count = 1, .stamp = STAMP };

		if (*slot(&r, 0) != 0 || *slot(&r, 1) != 1)
			_exit(1);
		store_consumer(&r, 2);
		_exit(ioctl(r.stream, K2U_IOC_PRODUCE, &arg) ? 2 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(info_of(&r).consumed, 2);
	assert_int_equal(drain(&r, 2), 1);
	/* The child's descriptor alone keeps the ring */
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		pause();
		_exit(0);
	}
	close_ring(&r);
	assert_stream(fd, again, EBUSY);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_stream(fd, again, 0);
	close(fd);
}

/* ---- how long it lives ---- */

static void test_lifetime(void **state)
{
	const struct k2u_stream again = { .record_size = RECORD };
	const long none = references();
	struct flow r = open_ring();
	uint64_t buf[RECORD / 8];
	int other;

	(void)state;
	assert_int_equal(references(), none + 2); /* each of the files */
	other = dup(r.stream);
	close(r.stream);
	assert_stream(r.fd, again, EBUSY);
	r.stream = other;
	/* It outlives the file that it was made of, and the mapping, and its module stays */
	close(r.fd);
	produce(&r, 3);
	assert_int_equal(read(r.stream, buf, sizeof(buf)), RECORD);
	check_record(buf, RECORD, 0);
	assert_int_equal(drain(&r, 1), 2);
	munmap(r.shared, r.size);
	assert_int_equal(produce(&r, 2), 2);
	assert_int_equal(read(r.stream, buf, sizeof(buf)), RECORD);
	check_record(buf, RECORD, 3);
	assert_int_equal(references(), none + 2);
	assert_int_equal(syscall(SYS_delete_module, "k2u", O_NONBLOCK), -1);
	assert_int_equal(errno, EWOULDBLOCK);
	assert_true(module_info().used_bytes > 0);
	close(r.stream);
	assert_int_equal(references(), none);
	assert_int_equal(module_info().used_bytes, 0);

	/* A mapping alone does not keep the ring: one may be made again, by another file */
	r = open_ring();
	close(r.stream);
	assert_int_equal(references(), none + 1);
	for (int i = 0; i < 20; i++)
		assert_stream(r.fd, again, 0);
	close(r.fd);
	munmap(r.shared, r.size);
	assert_int_equal(references(), none);
	assert_int_equal(module_info().used_bytes, 0);
}

int main(void)
{
	static uint32_t vmalloc = K2U_BACKING_VMALLOC,
			contig = K2U_BACKING_CONTIG;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_backings),
		cmocka_unit_test(test_not_given),
		cmocka_unit_test(test_descriptor),
		cmocka_unit_test(test_default),
		{ "methods/vmalloc", test_methods, NULL, NULL, &vmalloc },
		{ "methods/contig", test_methods, NULL, NULL, &contig },
		{ "sizes/vmalloc", test_sizes, NULL, NULL, &vmalloc },
		{ "sizes/contig", test_sizes, NULL, NULL, &contig },
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_read_pieces),
		cmocka_unit_test(test_overrun),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_tampered),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_poll),
		cmocka_unit_test(test_nonblock),
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_reader_held),
		cmocka_unit_test(test_signal),
		cmocka_unit_test(test_close_asleep),
		cmocka_unit_test(test_endless),
		cmocka_unit_test(test_eventfd_errors),
		cmocka_unit_test(test_eventfd_count),
		cmocka_unit_test(test_eventfd_kinds),
		cmocka_unit_test(test_eventfd_waits),
		cmocka_unit_test(test_eventfd_lifetime),
		cmocka_unit_test(test_eventfd_loop),
		cmocka_unit_test(test_two_readers),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_lifetime),
	};

	return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}

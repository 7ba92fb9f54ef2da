// SPDX-License-Identifier: GPL-2.0
/* A ring of records: what it refuses, its order and contents, its counters, how long it lives. */
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "stream.h"

#define CANARY 0xa5

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

/* ---- two processes ---- */

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
	const long none = module_refs();
	struct flow r = open_ring();
	uint64_t buf[RECORD / 8];
	int other;

	(void)state;
	assert_int_equal(module_refs(), none + 2); /* each of the files */
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
	assert_int_equal(module_refs(), none + 2);
	assert_int_equal(syscall(SYS_delete_module, "k2u", O_NONBLOCK), -1);
	assert_int_equal(errno, EWOULDBLOCK);
	assert_true(module_info().used_bytes > 0);
	close(r.stream);
	assert_int_equal(module_refs(), none);
	assert_int_equal(module_info().used_bytes, 0);

	/* A mapping alone does not keep the ring: one may be made again, by another file */
	r = open_ring();
	close(r.stream);
	assert_int_equal(module_refs(), none + 1);
	for (int i = 0; i < 20; i++)
		assert_stream(r.fd, again, 0);
	close(r.fd);
	munmap(r.shared, r.size);
	assert_int_equal(module_refs(), none);
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
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_lifetime),
	};

	return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}

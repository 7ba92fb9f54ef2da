// SPDX-License-Identifier: GPL-2.0
/* K2U_STREAM_EVENTFD: which eventfds a ring takes, what it counts there, whom that wakes. */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

#include "stream.h"

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

static short events_of(int fd)
{
	struct pollfd p = { fd, POLLIN, 0 };

	assert_true(poll(&p, 1, 0) >= 0);
	return p.revents;
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
	const long none = module_refs();
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
	assert_int_equal(module_refs(), none + 2);
	usleep(20 * 1000);
	assert_int_equal(state_of(s.tid), 'S');
	produce(&second, 1);
	end_sleeper(&s, 8, 0);
	close_ring(&second);
	assert_int_equal(module_refs(), none);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_eventfd_errors),
		cmocka_unit_test(test_eventfd_count),
		cmocka_unit_test(test_eventfd_kinds),
		cmocka_unit_test(test_eventfd_waits),
		cmocka_unit_test(test_eventfd_lifetime),
		cmocka_unit_test(test_eventfd_loop),
	};

	return cmocka_run_group_tests_name("stream_eventfd", tests, NULL, NULL);
}

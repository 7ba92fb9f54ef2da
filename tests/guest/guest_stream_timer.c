// SPDX-License-Identifier: GPL-2.0
/* K2U_STREAM_TIMER: when records come, what an expiry that is late does, and its end. */
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>

#include "stream.h"

#define PERIOD 100000u
#define WIDE (128 * 1024) /* bytes of a buffer */
#define CHUNK (16 * 1024 / RECORD) /* that an expiry produces, at most */
#define PATIENCE_NS 20000000000u

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static struct k2u_stream timer(uint32_t period)
{
	return (struct k2u_stream){ .source = K2U_STREAM_TIMER,
				    .record_size = RECORD,
				    .seed = SEED,
				    .period_ns = period };
}

static struct flow open_timer(size_t size, uint32_t period)
{
	return open_flow(K2U_BACKING_VMALLOC, size, timer(period));
}

static int try_produce(const struct flow *r, uint64_t count, uint64_t stamp)
{
	struct k2u_produce arg = { .count = count,
				   .stamp = stamp,
				   .produced = 77 };
	const int err = ioctl(r->stream, K2U_IOC_PRODUCE, &arg) ? errno : 0;

	assert_int_equal(arg.produced, 0);
	return err;
}

/* Until at least so many have come, or were dropped */
static void await_more(const struct flow *r, uint64_t produced)
{
	const uint64_t until = clock_ns() + PATIENCE_NS;

	while (info_of(r).produced < produced) {
		assert_true(clock_ns() < until);
		usleep(200);
	}
}

static void await(const struct flow *r, uint64_t produced)
{
	await_more(r, produced);
	assert_int_equal(info_of(r).produced, produced);
}

static uint64_t stamp_of(const struct flow *r, uint64_t index)
{
	return ((const struct k2u_record *)slot(r, index))->stamp;
}

static void test_errors(void **state)
{
	static const uint32_t periods[] = { 0, K2U_PERIOD_MIN - 1,
					    K2U_PERIOD_MAX + 1, UINT32_MAX };
	int fd = open_buffer(K2U_BACKING_VMALLOC, PAGES * page_size());
	struct k2u_stream arg;
	struct flow r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(periods); i++)
		assert_stream(fd, timer(periods[i]), EINVAL);
	assert_stream(fd, timer(K2U_PERIOD_MIN), 0);
	assert_stream(fd, timer(K2U_PERIOD_MAX), 0);
	arg = timer(PERIOD);
	arg.port = 1;
	assert_stream(fd, arg, EINVAL);
	arg = timer(PERIOD);
	arg.flags = K2U_STREAM_STEAL;
	assert_stream(fd, arg, EINVAL);
	arg.flags = K2U_STREAM_PAGES;
	assert_stream(fd, arg, EINVAL);
	arg = timer(PERIOD);
	arg.source = K2U_STREAM_CALL;
	assert_stream(fd, arg, EINVAL);
	arg.source = K2U_STREAM_UDP;
	arg.port = 1;
	assert_stream(fd, arg, EINVAL);
	close(fd);

	r = open_timer(PAGES * page_size(), PERIOD);
	assert_int_equal(try_produce(&r, 1, 1ULL << 63), EINVAL);
	assert_int_equal(try_produce(&r, 1, UINT64_MAX), EINVAL);
	assert_int_equal(try_produce(&r, 0, 0), 0);
	assert_int_equal(try_produce(&r, 1, INT64_MAX), 0);
	assert_int_equal(try_produce(&r, 0, 0), 0);
	assert_int_equal(try_produce(&r, 1, 0), EBUSY);
	assert_int_equal(info_of(&r).produced, 0);
	close_ring(&r);
}

/* One each period, none before it is due, and then no more */
static void test_due(void **state)
{
	struct flow r = open_timer(PAGES * page_size(), PERIOD);
	const uint64_t before = clock_ns(), count = 100;
	uint64_t after, first, produced, buf[RECORD / 8];

	(void)state;
	assert_int_equal(try_produce(&r, count, 0), 0);
	after = clock_ns();
	for (uint64_t i = 0; i < count; i++) {
		assert_int_equal(read(r.stream, buf, sizeof(buf)), RECORD);
		if (!i)
			first = buf[1];
		assert_int_equal(buf[0], i);
		assert_int_equal(buf[1], first + i * PERIOD);
		assert_true(clock_ns() >= buf[1]);
		assert_int_equal(buf[RECORD / 8 - 1], i);
		for (size_t k = 3; k < RECORD / 8 - 1; k++)
			assert_int_equal(buf[k], k2u_pattern(SEED, k));
	}
	assert_true(first >= before + PERIOD && first <= after + PERIOD);
	usleep(5 * PERIOD / 1000);
	assert_int_equal(info_of(&r).produced, count);
	assert_balance(&r);
	/* And again */
	first = clock_ns() + 20 * PERIOD;
	assert_int_equal(try_produce(&r, 2, first), 0);
	produced = info_of(&r).produced;
	assert_true(produced == count || clock_ns() >= first);
	await(&r, count + 2);
	assert_true(clock_ns() >= first + PERIOD);
	assert_int_equal(stamp_of(&r, count), first);
	assert_int_equal(stamp_of(&r, count + 1), first + PERIOD);
	assert_balance(&r);
	close_ring(&r);
}

/* Due long ago: a bounded number is made, and nobody waits for the rest */
static void test_late(void **state)
{
	struct flow r = open_timer(WIDE, K2U_PERIOD_MIN);
	uint64_t now = clock_ns(), produced;
	struct k2u_stream_info info;

	(void)state;
	assert_true(r.slots > 2 * CHUNK);
	assert_int_equal(try_produce(&r, 1000, 1), 0);
	await(&r, 1000);
	assert_int_equal(info_of(&r).dropped, 1000 - CHUNK);
	for (uint64_t i = 0; i < CHUNK; i++)
		assert_int_equal(stamp_of(&r, i), 1 + i * K2U_PERIOD_MIN);
	assert_int_equal(load_producer(&r), CHUNK);
	assert_balance(&r);

	/* Some are late, and the others come when they are due */
	store_consumer(&r, CHUNK);
	now = clock_ns();
	assert_int_equal(
		try_produce(&r, 1000, now - 900 * (uint64_t)K2U_PERIOD_MIN), 0);
	await(&r, 2000);
	assert_true(clock_ns() >= now + 99 * K2U_PERIOD_MIN);
	info = info_of(&r);
	assert_true(info.dropped >= 1000 - CHUNK + 900 - CHUNK);
	assert_balance(&r);

	/* As late as can be, and for ever */
	store_consumer(&r, load_producer(&r));
	produced = info_of(&r).produced;
	assert_int_equal(try_produce(&r, UINT64_MAX, 1), 0);
	await_more(&r, produced + now / K2U_PERIOD_MIN);
	assert_int_equal(try_produce(&r, 1, 0), EBUSY);
	close_ring(&r);
	assert_int_equal(module_info().used_bytes, 0);
}

/* What finds no room is counted */
static void test_full(void **state)
{
	struct flow r = open_timer(PAGES * page_size(), K2U_PERIOD_MIN);

	(void)state;
	assert_int_equal(try_produce(&r, r.slots + 100ULL, 0), 0);
	await(&r, r.slots + 100ULL);
	assert_true(info_of(&r).dropped >= 100);
	assert_int_equal(info_of(&r).dropped, r.shared->dropped);
	assert_balance(&r);
	close_ring(&r);
}

static void test_wakes(void **state)
{
	struct flow r = open_timer(PAGES * page_size(), 20 * PERIOD);
	struct pollfd p = { r.stream, POLLIN, 0 };
	const uint64_t due = clock_ns() + 5000ULL * PERIOD;
	const int efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct k2u_stream arg = timer(PERIOD);

	(void)state;
	assert_int_equal(try_produce(&r, 1, due), 0);
	assert_int_equal(poll(&p, 1, 20000), 1);
	assert_true(clock_ns() >= due);
	assert_int_equal(info_of(&r).wakeups, 1);
	close_ring(&r);

	assert_true(efd >= 0);
	arg.flags = K2U_STREAM_EVENTFD;
	arg.eventfd = efd;
	r = open_flow(K2U_BACKING_VMALLOC, WIDE, arg);
	assert_int_equal(try_produce(&r, 10, 1), 0);
	p.fd = efd;
	assert_int_equal(poll(&p, 1, 20000), 1);
	assert_int_equal(info_of(&r).produced, 10);
	assert_int_equal(count_of(efd), 1); /* of one expiry */
	assert_int_equal(try_produce(&r, 3, 0), 0);
	await(&r, 13);
	assert_int_equal(poll(&p, 1, 20000), 1);
	assert_in_range(count_of(efd), 1, 3);
	close_ring(&r);
	close(efd);
}

/* It lives as long as the descriptor, and no longer */
static void test_lifetime(void **state)
{
	const long none = module_refs();
	struct flow r = open_timer(PAGES * page_size(), K2U_PERIOD_MIN);
	uint64_t produced;
	int status;
	pid_t pid;

	(void)state;
	/* Whoever asked may be gone */
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		struct k2u_produce arg = { .count = UINT64_MAX };

		_exit(ioctl(r.stream, K2U_IOC_PRODUCE, &arg) ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	produced = info_of(&r).produced;
	await_more(&r, produced + 10);
	close_ring(&r);
	assert_int_equal(module_refs(), none);
	assert_int_equal(module_info().used_bytes, 0);

	/* It ends while it runs, again and again, and while it waits for the end of time */
	for (unsigned int i = 0; i < 200; i++) {
		r = open_timer(PAGES * page_size(), K2U_PERIOD_MIN);
		assert_int_equal(try_produce(&r, UINT64_MAX,
					     i % 4 ? i % 4 : INT64_MAX),
				 0);
		usleep(i % 8 * 10);
		close_ring(&r);
	}

	/* And with a process that is killed */
	r = open_timer(PAGES * page_size(), K2U_PERIOD_MIN);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		struct flow own = open_timer(WIDE, K2U_PERIOD_MIN);

		if (try_produce(&own, UINT64_MAX, 0))
			_exit(1);
		try_produce(&r, 1, 0);
		for (;;)
			pause();
	}
	await(&r, 1);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	close_ring(&r);
	assert_int_equal(module_refs(), none);
	assert_int_equal(module_info().used_bytes, 0);
}

static void test_bound(void **state)
{
	static struct flow r[K2U_STREAM_TIMERS_MAX];
	int fd = open_buffer(K2U_BACKING_VMALLOC, PAGES * page_size());

	(void)state;
	for (unsigned int again = 0; again < 3; again++) {
		for (size_t i = 0; i < ARRAY_SIZE(r); i++) {
			r[i] = open_timer(PAGES * page_size(), PERIOD);
			assert_int_equal(try_produce(&r[i], UINT64_MAX, 0), 0);
		}
		assert_stream(fd, timer(PERIOD), EUSERS);
		assert_stream(fd, timer(0), EINVAL);
		close_ring(&r[5]);
		assert_stream(fd, timer(PERIOD), 0);
		r[5] = open_timer(PAGES * page_size(), PERIOD);
		assert_stream(fd, timer(PERIOD), EUSERS);
		for (size_t i = 0; i < ARRAY_SIZE(r); i++)
			close_ring(&r[i]);
	}
	close(fd);
	assert_int_equal(module_info().used_bytes, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors), cmocka_unit_test(test_due),
		cmocka_unit_test(test_late),   cmocka_unit_test(test_full),
		cmocka_unit_test(test_wakes),  cmocka_unit_test(test_lifetime),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests_name("stream_timer", tests, NULL, NULL);
}

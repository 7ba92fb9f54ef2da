// SPDX-License-Identifier: GPL-2.0
/*
 * A ring of records whose consumers sleep in read() or poll(): what wakes them and what
 * does not, and several of them.
 */
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "stream.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_poll),
		cmocka_unit_test(test_nonblock),
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_reader_held),
		cmocka_unit_test(test_signal),
		cmocka_unit_test(test_close_asleep),
		cmocka_unit_test(test_endless),
		cmocka_unit_test(test_two_readers),
	};

	return cmocka_run_group_tests_name("stream_wait", tests, NULL, NULL);
}

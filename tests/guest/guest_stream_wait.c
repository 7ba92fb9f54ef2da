// SPDX-License-Identifier: GPL-2.0
/*
 * A ring of records whose consumers sleep: read(), poll() and an eventfd, what wakes them
 * and what does not, and several of them.
 */
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "stream.h"

#define PATIENCE_S 20

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
		cmocka_unit_test(test_eventfd_errors),
		cmocka_unit_test(test_eventfd_count),
		cmocka_unit_test(test_eventfd_kinds),
		cmocka_unit_test(test_eventfd_waits),
		cmocka_unit_test(test_eventfd_lifetime),
		cmocka_unit_test(test_eventfd_loop),
		cmocka_unit_test(test_two_readers),
	};

	return cmocka_run_group_tests_name("stream_wait", tests, NULL, NULL);
}

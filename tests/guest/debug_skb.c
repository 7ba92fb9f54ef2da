// SPDX-License-Identifier: GPL-2.0
/*
 * Packets by reference among threads, for a kernel that watches its locks and its memory
 * (6.12-debug; tests/debug.sh).
 *
 *	debug_skb [SEED [ROUNDS]]
 *
 * In each round some threads send pages to a stream without end, so that its slots are
 * produced into again all the time, and others map records of it, look at what they
 * mapped, give it back, unmap and map the window, store any consumer, make the stream
 * anew and fork; some rounds are killed. All bytes of a page are the same, and not 0:
 * what a window shows is a page that was sent, whole, or it is SIGBUS or SIGSEGV.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>

#include "skb.h"

#define DEVICE_FD 100
#define STREAM_FD 101
#define SENDERS 2
#define WILD 4
#define OPS 600
#define RING 8 /* slots */
#define MOST K2U_STREAM_PAGES_MAX(page_size())
#define WINDOW (2 * MOST) /* pages */

struct thread {
	pthread_t id;
	uint64_t state;
	uint64_t seen, mapped; /* pages */
};

static uint64_t seed;
static unsigned long rounds = 12;
static struct k2u_ring *shared;
static char *window; /* its place, mapped or not */
static atomic_bool over;
static __thread sigjmp_buf out;

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
	static const int allowed[] = { EBADF,  EBUSY,  EINVAL, EFAULT,
				       ENOMEM, ENODEV, ENOTTY };

	if (result >= 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		if (errno == allowed[i])
			return;
	wrong(what);
}

static int make_stream(void)
{
	struct k2u_stream arg = {
		.source = K2U_STREAM_UDP,
		.record_size = K2U_RECORD_MIN,
		.port = PORT,
		.flags = K2U_STREAM_PAGES | K2U_STREAM_STEAL,
	};
	int fd = ioctl(DEVICE_FD, K2U_IOC_STREAM, &arg);

	if (fd < 0)
		return errno;
	if (fd != STREAM_FD) {
		allow(dup3(fd, STREAM_FD, O_CLOEXEC), "dup3");
		close(fd);
	}
	return 0;
}

/* ---- senders ---- */

static void *send_all(void *arg)
{
	const struct sockaddr_in to = port_of(PORT);
	struct thread *t = arg;
	const int off = 1;
	char *p = malloc(MOST * page_size());
	int ends[2], tx = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (!p || tx < 0 || pipe2(ends, O_CLOEXEC) ||
	    setsockopt(tx, SOL_SOCKET, SO_NO_CHECK, &off, sizeof(off)) ||
	    connect(tx, (const void *)&to, sizeof(to)))
		wrong("a sender");
	while (!over) {
		const size_t size = (1 + below(t, MOST)) * page_size();

		for (size_t i = 0; i < size; i += page_size())
			memset(p + i, 1 + (int)below(t, 255), page_size());
		if (write(ends[1], p, size) != (ssize_t)size)
			wrong("write");
		if (splice(ends[0], NULL, tx, NULL, size, 0) != (ssize_t)size)
			wrong("splice");
	}
	close(tx);
	close(ends[0]);
	close(ends[1]);
	free(p);
	return NULL;
}

/* ---- the others ---- */

static void leave(int signal)
{
	siglongjmp(out, signal);
}

/* Another thread may take it away meanwhile, and something else may come */
static void look_at(struct thread *t, uint64_t page)
{
	const volatile char *p = window + page * page_size();
	const size_t first = below(t, page_size());
	char c;

	if (sigsetjmp(out, 1))
		return;
	c = p[first];
	t->seen++;
	if (!c) {
		errno = EILSEQ;
		wrong("a page");
	}
}

static void do_look(struct thread *t)
{
	look_at(t, below(t, WINDOW));
}

static void do_map(struct thread *t)
{
	const uint64_t producer =
		__atomic_load_n(&shared->producer, __ATOMIC_ACQUIRE);
	const uint64_t at = below(t, WINDOW);
	struct k2u_stream_map arg = {
		.addr = (uintptr_t)window + at * page_size(),
		.first = producer - 1 - below(t, RING),
		.records = (uint32_t)(below(t, 16) ? 1 + below(t, 4) :
						     below(t, 1ULL << 32)),
	};

	allow(ioctl(STREAM_FD, K2U_IOC_STREAM_MAP, &arg), "map");
	if (arg.pages > WINDOW) {
		errno = EILSEQ;
		wrong("map");
	}
	t->mapped += arg.pages;
	if (arg.pages)
		look_at(t, at + below(t, arg.pages));
}

static void do_give_back(struct thread *t)
{
	const uint64_t from = below(t, WINDOW),
		       nr = 1 + below(t, WINDOW - from);

	allow(madvise(window + from * page_size(), nr * page_size(),
		      MADV_DONTNEED),
	      "madvise");
}

static void do_unmap(struct thread *t)
{
	const uint64_t from = below(t, 2) ? below(t, WINDOW) : 0;

	allow(munmap(window + from * page_size(),
		     (WINDOW - from) * page_size()),
	      "munmap");
}

/* Where there is one already, EBUSY; what was there is gone then, too */
static void do_window(struct thread *t)
{
	void *p;

	if (below(t, 2))
		allow(munmap(window, WINDOW * page_size()), "munmap");
	p = mmap(window, WINDOW * page_size(), PROT_READ,
		 MAP_SHARED | MAP_FIXED, STREAM_FD, 0);
	allow(p == MAP_FAILED ? -1 : 0, "mmap");
}

static void do_consume(struct thread *t)
{
	const uint64_t producer =
		__atomic_load_n(&shared->producer, __ATOMIC_ACQUIRE);

	__atomic_store_n(&shared->consumer,
			 producer - (below(t, 8) ? 0 : below(t, 3 * RING)),
			 __ATOMIC_RELEASE);
}

static void do_remake(struct thread *t)
{
	if (below(t, 2))
		allow(close(STREAM_FD), "close");
	if (below(t, 2))
		allow(munmap(window, WINDOW * page_size()), "munmap");
	errno = make_stream();
	allow(errno ? -1 : 0, "stream");
	do_window(t);
}

/* No library call: another thread may hold its locks */
static void do_fork(struct thread *t)
{
	const pid_t pid =
		(pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid < 0)
		wrong("fork");
	if (!pid) {
		do_map(t);
		syscall(SYS_exit_group, 0);
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static const struct {
	void (*run)(struct thread *t);
	unsigned int weight;
} actions[] = {
	{ do_map, 40 },	  { do_look, 40 },   { do_give_back, 16 },
	{ do_unmap, 1 },  { do_window, 16 }, { do_consume, 24 },
	{ do_remake, 1 }, { do_fork, 1 },
};

static void *run_wild(void *arg)
{
	struct thread *t = arg;

	for (unsigned int i = 0; i < OPS; i++) {
		unsigned int sum = 0, pick;
		size_t k;

		for (k = 0; k < ARRAY_SIZE(actions); k++)
			sum += actions[k].weight;
		pick = (unsigned int)below(t, sum);
		for (k = 0; pick >= actions[k].weight; k++)
			pick -= actions[k].weight;
		actions[k].run(t);
	}
	return NULL;
}

/* ---- rounds ---- */

static int round_of(uint64_t number)
{
	const size_t size = K2U_RING_DATA(page_size()) + RING * K2U_RECORD_MIN;
	static struct thread threads[SENDERS + WILD];
	uint64_t seen = 0, mapped = 0;
	int fd = open_buffer(K2U_BACKING_VMALLOC, size), sink;

	signal(SIGBUS, leave);
	signal(SIGSEGV, leave);
	if (dup3(fd, DEVICE_FD, O_CLOEXEC) < 0)
		return 5;
	close(fd);
	if (unshare(CLONE_NEWNET))
		return 6;
	link_up(65536);
	sink = bound(PORT);
	if (make_stream())
		return 7;
	shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, DEVICE_FD,
		      0);
	window = mmap(NULL, WINDOW * page_size(), PROT_READ, MAP_SHARED,
		      STREAM_FD, 0);
	if (shared == MAP_FAILED || window == MAP_FAILED)
		return 8;
	for (int i = 0; i < SENDERS + WILD; i++) {
		threads[i].state = (number << 32) + ((i + 1ULL) << 24);
		pthread_create(&threads[i].id, NULL,
			       i < SENDERS ? send_all : run_wild, &threads[i]);
	}
	for (int i = SENDERS; i < SENDERS + WILD; i++) {
		pthread_join(threads[i].id, NULL);
		seen += threads[i].seen;
		mapped += threads[i].mapped;
	}
	over = true;
	for (int i = 0; i < SENDERS; i++)
		pthread_join(threads[i].id, NULL);
	close(sink);
	dprintf(STDOUT_FILENO, "# round %llu: %llu pages mapped, %llu seen\n",
		(unsigned long long)number, (unsigned long long)mapped,
		(unsigned long long)seen);
	return mapped && seen ? 0 : 9;
}

static void test_skb(void **state)
{
	struct thread self = { .state = 1ULL << 60 };
	struct k2u_info info;
	int status;

	(void)state;
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	link_up(65536);
	if (splice_copies())
		unavailable(NO_SPLICE);
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
		info = module_info();
		assert_int_equal(info.used_bytes, 0);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		{ "skb", test_skb, NULL, NULL, NULL },
	};

	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0);
	else if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		return 1;
	if (argc > 2)
		rounds = strtoul(argv[2], NULL, 0);
	print_message("# seed %#llx, %lu rounds\n", (unsigned long long)seed,
		      rounds);
	return _cmocka_run_group_tests("debug_skb", tests, ARRAY_SIZE(tests),
				       NULL, NULL);
}

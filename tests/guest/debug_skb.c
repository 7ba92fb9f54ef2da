// SPDX-License-Identifier: GPL-2.0
/*
 * Packets by reference among threads, for a kernel that watches its locks and its memory
 * (race.h).
 *
 * In each round some threads send pages to a stream without end, so that its slots are
 * produced into again all the time, and others map records of it, look at what they
 * mapped, give it back, unmap and map the window, store any consumer, make the stream
 * anew and fork. All bytes of a page are the same, and not 0: what a window shows is a
 * page that was sent, whole, or it is SIGBUS or SIGSEGV.
 */
#include "race.h"
#include "skb.h"

#define STREAM_FD 101
#define SENDERS 2
#define WILD 4
#define OPS 600
#define RING 8 /* slots */
#define MOST K2U_STREAM_PAGES_MAX(page_size())
#define WINDOW (2 * MOST) /* pages */

static struct k2u_ring *shared;
static char *window; /* its place, mapped or not */
static atomic_bool over;
static atomic_ulong seen, mapped; /* pages */

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
	renumber(fd, STREAM_FD);
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

/* Another thread may take it away meanwhile, and something else may come */
static void look_at(struct thread *t, uint64_t page)
{
	const volatile char *p = window + page * page_size();
	const size_t first = below(t, page_size());
	char c;

	if (sigsetjmp(escape, 1))
		return;
	c = p[first];
	seen++;
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
	mapped += arg.pages;
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

static void do_fork(struct thread *t)
{
	const pid_t pid = fork_alone();

	if (!pid) {
		do_map(t);
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

/* ---- rounds ---- */

static int round_of(uint64_t number)
{
	const size_t size = K2U_RING_DATA(page_size()) + RING * K2U_RECORD_MIN;
	static struct thread threads[SENDERS + WILD];
	int fd = open_buffer(K2U_BACKING_VMALLOC, size), sink;

	catch_faults();
	renumber(fd, DEVICE_FD);
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
		start_at(&threads[i], number, (unsigned int)i);
		pthread_create(&threads[i].id, NULL,
			       i < SENDERS ? send_all : run_wild, &threads[i]);
	}
	for (int i = SENDERS; i < SENDERS + WILD; i++)
		pthread_join(threads[i].id, NULL);
	over = true;
	for (int i = 0; i < SENDERS; i++)
		pthread_join(threads[i].id, NULL);
	close(sink);
	dprintf(STDOUT_FILENO, "# round %llu: %lu pages mapped, %lu seen\n",
		(unsigned long long)number, mapped, seen);
	return mapped && seen ? 0 : 9;
}

static void prepare(void)
{
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	link_up(65536);
	if (splice_copies())
		unavailable(NO_SPLICE);
}

static const struct race race = {
	.name = "debug_skb",
	.rounds = 12,
	.prepare = prepare,
	.round = round_of,
	.allowed = { EBADF, EBUSY, EINVAL, EFAULT, ENOMEM, ENODEV, ENOTTY },
	.actions = {
		{ do_map, 40 },	  { do_look, 40 },   { do_give_back, 16 },
		{ do_unmap, 1 },  { do_window, 16 }, { do_consume, 24 },
		{ do_remake, 1 }, { do_fork, 1 },
	},
};

int main(int argc, char **argv)
{
	return run_race(argc, argv);
}

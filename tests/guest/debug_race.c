// SPDX-License-Identifier: GPL-2.0
/*
 * Threads and children on the same files and the same addresses, for a kernel
 * that watches its locks and its memory (race.h).
 *
 * The threads of a round set up, map, unmap, read, write, fork and close; some
 * rounds end by exit() among their threads. Bytes are only ever 0 or the pattern
 * of their offset.
 */
#include <sys/uio.h>

#include "race.h"

#define THREADS 4
#define OPS 150 /* of one thread, in one round */
#define FILES 2
#define SLOTS 4
/* Addresses where nothing else is; a slot is a PTE table and more */
#define ARENA ((char *)0x200000000000)
#define SLOT_SIZE (4UL << 20)
#define MAX_PAGES 24
/* Now and then: all of a PTE table, which can be freed when it is empty */
#define BIG_PAGES 600

static struct thread threads[THREADS];
static int leaver; /* which thread calls exit(), if one does */
static int leave_after;
static pthread_barrier_t barrier;
static atomic_int winners;
static int sink_fd, zero_fd, smaps_fd, pagemap_fd;

static int some_fd(struct thread *t)
{
	return DEVICE_FD + (int)below(t, FILES);
}

static size_t some_pages(struct thread *t)
{
	return below(t, 16) ? 1 + below(t, MAX_PAGES) : BIG_PAGES;
}

static char *some_slot(struct thread *t)
{
	return ARENA + below(t, SLOTS) * SLOT_SIZE;
}

static char *some_page(struct thread *t)
{
	return some_slot(t) + below(t, 8) * page_size();
}

static size_t some_size(struct thread *t)
{
	return some_pages(t) * page_size();
}

/* ---- what a thread can do ---- */

static void do_reopen(struct thread *t)
{
	int fd = open(K2U_DEVICE, O_RDWR | O_CLOEXEC);

	allow(fd, "open");
	if (fd >= 0)
		renumber(fd, some_fd(t));
}

static void do_close(struct thread *t)
{
	allow(close(some_fd(t)), "close");
}

static void do_setup(struct thread *t)
{
	struct k2u_setup setup = {
		.size = some_size(t),
		.backing = backings[below(t, ARRAY_SIZE(backings))],
		.cache = below(t, 8) ? K2U_CACHE_WB : below(t, 3),
		.node = K2U_NODE_ANY,
		.flags = below(t, 2) ? K2U_SETUP_FILL : 0,
		.seed = SEED,
	};

	allow(ioctl(some_fd(t), K2U_IOC_SETUP, &setup), "setup");
}

static void do_fill(struct thread *t)
{
	struct k2u_fill fill = { .seed = SEED };

	allow(ioctl(some_fd(t), K2U_IOC_FILL, &fill), "fill");
}

static void do_checksum(struct thread *t)
{
	struct k2u_checksum sum = { .size = some_size(t) };

	allow(ioctl(some_fd(t), K2U_IOC_CHECKSUM, &sum), "checksum");
}

static void do_inspect(struct thread *t)
{
	struct k2u_inspect in = { .addr = (uintptr_t)some_page(t),
				  .size = some_size(t) };
	const int err = ioctl(some_fd(t), K2U_IOC_INSPECT, &in);

	allow(err, "inspect");
	if (!err &&
	    (in.pte_pages + in.pmd_pages + in.pud_pages + in.absent_pages) *
			    page_size() !=
		    in.size) {
		dprintf(STDERR_FILENO, "inspect: pages are missing\n");
		_exit(2);
	}
}

static void do_counters(struct thread *t)
{
	struct k2u_counters c = { 0 };
	struct k2u_info i = { 0 };

	allow(ioctl(some_fd(t), K2U_IOC_COUNTERS, &c), "counters");
	allow(ioctl(some_fd(t), K2U_IOC_INFO, &i), "info");
}

/* n bytes of the buffer at offset: zeroed, filled, or both */
static void check_read(struct thread *t, size_t offset, ssize_t n)
{
	allow(n, "read");
	for (ssize_t i = 0; i < n; i++)
		if (t->buf[i] &&
		    (uint8_t)t->buf[i] != pattern_byte(SEED, offset + i)) {
			dprintf(STDERR_FILENO, "read: byte %zu is %#x\n",
				offset + i, (uint8_t)t->buf[i]);
			_exit(2);
		}
}

static void do_read(struct thread *t)
{
	const size_t offset = below(t, 8) * page_size();

	check_read(t, offset, pread(some_fd(t), t->buf, some_size(t), offset));
}

static void do_copy(struct thread *t)
{
	struct k2u_copy copy = {
		.offset = below(t, 8) * page_size(),
		.size = some_size(t),
		.addr = (uintptr_t)t->buf,
		.method = below(t, 2) ? K2U_METHOD_ioctl : K2U_METHOD_pin,
	};

	check_read(t, copy.offset, ioctl(some_fd(t), K2U_IOC_COPY, &copy));
}

/* By a pipe, a socket, io_uring */
static void do_way(struct thread *t)
{
	static const uint32_t ids[] = {
		K2U_METHOD_splice, K2U_METHOD_splice_socket, K2U_METHOD_uring,
		K2U_METHOD_uring_fixed, K2U_METHOD_uring_cmd
	};
	const uint32_t id = ids[below(t, ARRAY_SIZE(ids))];
	const size_t offset = below(t, 8) * page_size();

	check_read(t, offset,
		   copy_by(methods[id].access, id, some_fd(t), t->buf,
			   some_size(t), offset));
}

static void do_write(struct thread *t)
{
	const size_t offset = below(t, 8) * page_size(), size = some_size(t);

	for (size_t i = 0; i < size; i += 8)
		*(uint64_t *)(t->buf + i) = k2u_pattern(SEED, (offset + i) / 8);
	allow(pwrite(some_fd(t), t->buf, size, offset), "write");
}

static void do_mmap(struct thread *t)
{
	const uint32_t id = methods[below(t, ARRAY_SIZE(methods))].id;
	const size_t page = page_size();
	void *p = mmap(some_page(t), some_size(t),
		       below(t, 4) ? PROT_READ | PROT_WRITE : PROT_READ,
		       MAP_FIXED | (below(t, 8) ? MAP_SHARED : MAP_PRIVATE) |
			       (below(t, 8) ? 0 : MAP_POPULATE),
		       some_fd(t),
		       (off_t)(K2U_MMAP_OFFSET(id) + below(t, 4) * page));

	allow(p == MAP_FAILED ? -1 : 0, "mmap");
}

static void do_munmap(struct thread *t)
{
	allow(munmap(some_page(t), some_size(t)), "munmap");
}

static void do_mremap(struct thread *t)
{
	const size_t size = some_size(t);
	char *from = some_slot(t), *to = some_slot(t);

	allow(mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to) ==
			      MAP_FAILED ?
		      -1 :
		      0,
	      "mremap");
}

static void do_mprotect(struct thread *t)
{
	static const int prots[] = { PROT_NONE, PROT_READ,
				     PROT_READ | PROT_WRITE };

	allow(mprotect(some_page(t), some_size(t),
		       prots[below(t, ARRAY_SIZE(prots))]),
	      "mprotect");
}

static void do_madvise(struct thread *t)
{
	static const int advice[] = { MADV_DONTNEED,	  MADV_DONTNEED,
				      MADV_DONTFORK,	  MADV_DOFORK,
				      MADV_WILLNEED,	  MADV_POPULATE_READ,
				      MADV_POPULATE_WRITE };

	allow(madvise(some_page(t), some_size(t),
		      advice[below(t, ARRAY_SIZE(advice))]),
	      "madvise");
}

/* A thread's own touch; another one may have unmapped it */
static void do_touch(struct thread *t)
{
	volatile char *p = some_page(t);
	const size_t size = some_size(t);
	const bool write = below(t, 2);

	if (sigsetjmp(escape, 1))
		return;
	for (size_t i = 0; i < size; i += page_size()) {
		const char byte = p[i];

		if (write)
			p[i] = byte;
	}
}

/* The kernel's touch: out of a mapping, and zeros into it */
static void do_kernel_touch(struct thread *t)
{
	struct iovec local = { t->buf, some_size(t) };
	struct iovec remote = { some_page(t), local.iov_len };

	switch (below(t, 3)) {
	case 0:
		allow(read(zero_fd, some_page(t), some_size(t)), "zero");
		break;
	case 1:
		allow(process_vm_readv(getpid(), &local, 1, &remote, 1, 0),
		      "process_vm_readv");
		break;
	default:
		allow(write(sink_fd, some_page(t), some_size(t)), "null");
	}
}

/* What walks the page tables from outside */
static void do_proc(struct thread *t)
{
	const off_t first = (uintptr_t)some_page(t) / page_size() * 8;

	if (below(t, 4))
		allow(pread(pagemap_fd, t->buf, 8 * BIG_PAGES, first),
		      "pagemap");
	else
		allow(pread(smaps_fd, t->buf, page_size(), 0), "smaps");
}

static void do_lock(struct thread *t)
{
	if (below(t, 2))
		allow(mlock(some_page(t), some_size(t)), "mlock");
	else
		allow(munlock(some_page(t), some_size(t)), "munlock");
}

static void do_fork(struct thread *t)
{
	const pid_t pid = fork_alone();

	if (!pid) {
		do_touch(t);
		do_munmap(t);
		do_mmap(t);
		do_touch(t);
		end_child();
	}
	if (pid > 0)
		await_child(pid);
}

/* First all set up one file at once: one must win. */
static void *work(void *arg)
{
	struct thread *t = arg;
	struct k2u_setup setup = {
		.size = some_size(t),
		.backing = backings[below(t, ARRAY_SIZE(backings))],
		.node = K2U_NODE_ANY,
	};

	pthread_barrier_wait(&barrier);
	if (!ioctl(DEVICE_FD, K2U_IOC_SETUP, &setup))
		winners++;
	else if (errno != EBUSY)
		_exit(3);
	pthread_barrier_wait(&barrier);
	if (winners != 1)
		_exit(4);

	for (int i = 0; i < OPS; i++) {
		if (t - threads == leaver && i == leave_after)
			_exit(0);
		act(t);
	}
	return NULL;
}

/* A round, in a process of its own */
static int round_of(uint64_t number)
{
	struct thread self = { .state = number << 32 };

	leaver = (int)below(&self, 2 * THREADS);
	leave_after = (int)below(&self, OPS);
	catch_faults();
	zero_fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	sink_fd = memfd_create("sink", MFD_CLOEXEC);
	smaps_fd = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
	pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < FILES; i++) {
		int fd = open(K2U_DEVICE, O_RDWR | O_CLOEXEC);

		if (fd < 0)
			return 5;
		renumber(fd, DEVICE_FD + i);
	}
	pthread_barrier_init(&barrier, NULL, THREADS);
	for (int i = 0; i < THREADS; i++) {
		start_at(&threads[i], number, (unsigned int)i);
		threads[i].buf = malloc(BIG_PAGES * page_size());
		if (!threads[i].buf ||
		    pthread_create(&threads[i].id, NULL, work, &threads[i]))
			return 6;
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i].id, NULL);
	return 0;
}

static const struct race race = {
	.name = "debug_race",
	.rounds = 40,
	.round = round_of,
	/* A killed process's ring gives its files up later (io_ring_exit_work()) */
	.settle_ms = 10000,
	.allowed = { EBADF, EBUSY, EINVAL, EFAULT, ENOMEM, EAGAIN, EACCES,
		     EOPNOTSUPP, ENOSPC, EINTR },
	.actions = {
		{ do_reopen, 3 },	{ do_close, 1 },    { do_setup, 6 },
		{ do_fill, 3 },		{ do_checksum, 2 }, { do_inspect, 6 },
		{ do_counters, 2 },	{ do_read, 6 },	    { do_copy, 6 },
		{ do_write, 6 },	{ do_mmap, 16 },    { do_munmap, 6 },
		{ do_mremap, 4 },	{ do_mprotect, 4 }, { do_madvise, 8 },
		{ do_touch, 12 },	{ do_proc, 2 },	    { do_lock, 2 },
		{ do_kernel_touch, 6 }, { do_fork, 2 },	    { do_way, 6 },
	},
};

int main(int argc, char **argv)
{
	return run_race(argc, argv);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Two threads on one file. Which one wins is open; what both may see, and that
 * nothing is left of it, is not.
 */
#include <pthread.h>
#include <sched.h>

#include "hostile.h"

/* A thread that repeats turn() while the case's own loop runs */
struct rival {
	const struct hostile *h;
	void (*turn)(struct rival *r);
	pthread_t thread;
	pthread_barrier_t start;
	volatile bool stop;
	volatile int fd;
	char *p;
	int err;
	unsigned long turns;
};

static void *rival_main(void *arg)
{
	struct rival *r = arg;

	pthread_barrier_wait(&r->start);
	do {
		r->turn(r);
		r->turns++;
	} while (!r->stop);
	return NULL;
}

static void begin(struct rival *r)
{
	const struct hostile *h = r->h;

	r->stop = false;
	r->turns = 0;
	need(!pthread_barrier_init(&r->start, NULL, 2));
	need(!pthread_create(&r->thread, NULL, rival_main, r));
	pthread_barrier_wait(&r->start);
}

static void end(struct rival *r)
{
	const struct hostile *h = r->h;

	r->stop = true;
	need(!pthread_join(r->thread, NULL));
	pthread_barrier_destroy(&r->start);
	check(r->turns > 0);
}

/* Each its one turn, at the same time */
static void both(struct rival *r, void (*mine)(struct rival *r))
{
	begin(r);
	r->stop = true;
	mine(r);
	end(r);
}

#define TURNS 12

static void turn_setup(struct rival *r)
{
	r->err = hostile_setup(r->fd, r->h->backing, r->h->len);
}

/* A set-up against another: one wins, and the buffer is the winner's. */
HOSTILE(race_setup)
{
	for (int i = 0; i < NR_FRESH; i++) {
		struct rival one = { .h = h,
				     .fd = h->fresh[i],
				     .turn = turn_setup };
		struct k2u_info info = { 0 };
		int err;

		begin(&one);
		one.stop = true;
		err = hostile_setup(h->fresh[i], h->backing, 4 * h->len);
		end(&one);
		check(!err || err == EBUSY);
		check(!one.err || one.err == EBUSY);
		need(!ioctl(h->fresh[i], K2U_IOC_INFO, &info));
		check(info.size == 4 * h->len || info.size == h->len);
		check(err || info.size == 4 * h->len);
		expect(h, "after", hostile_setup(h->fresh[i], h->backing, 8));
		need(!close(h->fresh[i]));
	}
}

static void turn_map_fresh(struct rival *r)
{
	const struct hostile *h = r->h;
	int err;
	char *p =
		hostile_mmap(h, r->fd, 0, h->page, PROT_READ, MAP_SHARED, &err);

	/* by the default buffer, whose backing the method may refuse, or not */
	if (!err) {
		if (h->is & BYTES)
			check(p[8] == 0);
		hostile_unmap(h, p, h->page);
	}
	r->err = err;
}

/* A set-up against the default one that mmap() makes */
HOSTILE(race_setup_mmap)
{
	for (int i = 0; i < NR_FRESH; i++) {
		struct rival one = { .h = h,
				     .fd = h->fresh[i],
				     .turn = turn_map_fresh };
		struct k2u_info info = { 0 };
		int err;

		begin(&one);
		one.stop = true;
		err = hostile_setup(h->fresh[i], h->backing, h->len);
		end(&one);
		check(!err || err == EBUSY);
		check(!one.err ||
		      (one.err == EOPNOTSUPP &&
		       !(methods[h->id].backings & K2U_BACKING_VMALLOC)));
		need(!ioctl(h->fresh[i], K2U_IOC_INFO, &info));
		check(info.size == (err ? info.default_bytes : h->len));
		need(!close(h->fresh[i]));
	}
}

static void turn_touch(struct rival *r)
{
	const struct hostile *h = r->h;
	volatile char *p = r->p;

	for (size_t at = 0; at < h->len; at += h->page)
		if (h->is & BYTES)
			(void)p[at];
	check(hostile_pattern(h, r->p, 0, h->page));
}

/* Set up again, and every page dropped, while another thread faults them in */
HOSTILE(race_resize_fault)
{
	struct rival one = { .h = h, .turn = turn_touch };

	one.p = hostile_map(h, PROT_READ);
	begin(&one);
	for (int i = 0; i < TURNS; i++) {
		expect(h, "setup",
		       hostile_setup(h->fd, h->backing, 16 * h->len));
		if (h->is & BACK)
			check(!madvise(one.p, h->len, MADV_DONTNEED));
		check(!mprotect(one.p, h->len, PROT_READ | PROT_WRITE));
		check(!mprotect(one.p, h->len, PROT_READ));
		sched_yield();
	}
	end(&one);
	hostile_unmap(h, one.p, h->len);
}

static void turn_read(struct rival *r)
{
	const struct hostile *h = r->h;
	uint64_t word = 0;
	ssize_t n = pread(r->fd, &word, 8, 8);

	/* closed, another file by now, or the bytes */
	if (n == 8)
		check(word == k2u_pattern(SEED, 1));
	else
		check(n < 0 && errno == EBADF);
}

static int new_file(const struct hostile *h)
{
	/* dup: the same open file by another number, which is what is closed */
	int fd = fcntl(h->fd, F_DUPFD_CLOEXEC, 50);

	need(fd >= 0);
	return fd;
}

HOSTILE(race_read_close)
{
	struct rival one = { .h = h, .turn = turn_read };

	one.fd = new_file(h);
	begin(&one);
	for (int i = 0; i < TURNS; i++) {
		sched_yield();
		need(!close(one.fd));
		sched_yield();
		one.fd = new_file(h);
	}
	end(&one);
	close(one.fd);
}

static void turn_map(struct rival *r)
{
	const struct hostile *h = r->h;
	int err;
	char *p =
		hostile_mmap(h, r->fd, 0, h->len, PROT_READ, MAP_SHARED, &err);

	if (!err) {
		check(hostile_pattern(h, p, 0, h->page));
		hostile_unmap(h, p, h->len);
	} else {
		check(err == EBADF);
	}
}

HOSTILE(race_mmap_close)
{
	struct rival one = { .h = h, .turn = turn_map };

	one.fd = new_file(h);
	begin(&one);
	for (int i = 0; i < TURNS; i++) {
		sched_yield();
		need(!close(one.fd));
		sched_yield();
		one.fd = new_file(h);
	}
	end(&one);
	close(one.fd);
	check(hostile_vmas(h) == 0);
}

/* The last reference: a file closed while it is set up, read and mapped */
static void turn_use_fresh(struct rival *r)
{
	char byte;
	int err;
	char *p;

	(void)hostile_setup(r->fd, r->h->backing, r->h->len);
	(void)!pread(r->fd, &byte, 1, 0);
	p = hostile_mmap(r->h, r->fd, 0, r->h->page, PROT_READ, MAP_SHARED,
			 &err);
	if (!err)
		munmap(p, r->h->page);
}

static void close_it(struct rival *r)
{
	const struct hostile *h = r->h;

	need(!close(r->fd));
}

HOSTILE(race_last_close)
{
	for (int i = 0; i < NR_FRESH; i++) {
		struct rival one = { .h = h,
				     .fd = h->fresh[i],
				     .turn = turn_use_fresh };

		both(&one, close_it);
	}
}

static void turn_inspect(struct rival *r)
{
	const struct hostile *h = r->h;
	struct k2u_inspect v = { .addr = (uintptr_t)r->p, .size = h->len };
	int err = result(ioctl(h->fd, K2U_IOC_INSPECT, &v));

	check(!err || err == EFAULT);
	if (!err)
		check(v.pte_pages + v.absent_pages + v.pmd_pages +
			      v.pud_pages ==
		      h->len / h->page);
}

/* A walk of the page tables against those who take them down */
HOSTILE(race_inspect_munmap)
{
	struct rival one = { .h = h, .turn = turn_inspect };
	char *to = hostile_anon(h, h->len, PROT_NONE);

	one.p = hostile_map(h, PROT_READ);
	begin(&one);
	for (int i = 0; i < TURNS; i++) {
		char *p = one.p;

		check(mmap(p, h->len, PROT_READ, MAP_SHARED | MAP_FIXED, h->fd,
			   (off_t)K2U_MMAP_OFFSET(h->id)) == p);
		check(hostile_pattern(h, p, 0, h->len));
		sched_yield();
		check(mremap(p, h->len, h->len, MREMAP_MAYMOVE | MREMAP_FIXED,
			     to) == to);
		sched_yield();
		check(hostile_pattern(h, to, 0, h->len));
		hostile_unmap(h, to + h->page, h->page);
		check(mmap(to, h->len, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
			   0) == to);
	}
	end(&one);
	check(hostile_vmas(h) == 0);
	hostile_unmap(h, to, h->len);
}

/* Forks of an address space that another thread maps and unmaps in */
HOSTILE(race_fork)
{
	struct rival one = { .h = h, .turn = turn_map, .fd = h->fd };

	begin(&one);
	for (int i = 0; i < TURNS / 2; i++) {
		pid_t pid = hostile_fork(h);

		if (!pid)
			_exit(0);
		expect(h, "child", hostile_wait(h, pid));
	}
	end(&one);
}

static void turn_fill(struct rival *r)
{
	const struct hostile *h = r->h;
	struct k2u_fill fill = { .seed = SEED };

	check(!ioctl(h->fd, K2U_IOC_FILL, &fill));
}

/* The same bytes written, hashed, copied and looked at, all at once */
HOSTILE(race_fill)
{
	struct rival one = { .h = h, .turn = turn_fill };
	char *p = hostile_map(h, PROT_READ);
	const uint64_t hash = hostile_hash(h, h->ro);
	uint64_t word;

	begin(&one);
	for (int i = 0; i < TURNS; i++) {
		check(hostile_hash(h, h->fd) == hash);
		check(hostile_pattern(h, p, 0, h->len));
		check(pread(h->fd, &word, 8, 16) == 8 &&
		      word == k2u_pattern(SEED, 2));
	}
	end(&one);
	hostile_unmap(h, p, h->len);
}

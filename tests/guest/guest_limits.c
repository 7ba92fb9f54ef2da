// SPDX-License-Identifier: GPL-2.0
/*
 * What one user of the device can take: max_bytes, the memory cgroup, and time:
 * a signal ends whatever is long. Sizes follow max_bytes: in a guest with
 * max_bytes=1G these are the tests of a buffer of 1 GiB.
 */
#include <sched.h>
#include <signal.h>

#include "limits.h"

/* ---- max_bytes ---- */

#define NR_FILES 1024

/* Bounded by what the page allocator gives at once */
static bool in_one_piece(uint32_t backing)
{
	return backing & (K2U_BACKING_CONTIG | K2U_BACKING_DMA);
}

/* All files together; and all of it is given back. */
static void test_bound(void **state)
{
	const uint32_t backing = *(uint32_t *)*state;
	const struct k2u_info i = info_now();
	const size_t page = page_size();
	const uint64_t piece = in_one_piece(backing) ?
				       i.max_contig_bytes :
				       i.max_bytes / 4 / page * page;
	uint64_t left = i.max_bytes;
	static int fds[NR_FILES];
	size_t n = 0;

	assert_int_equal(i.used_bytes, 0);
	assert_true(i.max_bytes / piece < NR_FILES - 2);
	fds[n] = open_k2u(O_RDWR);
	assert_int_equal(try_setup(fds[n], backing, i.max_bytes + 1, 0), EFBIG);
	if (in_one_piece(backing))
		assert_int_equal(try_setup(fds[n], backing, piece + 1, 0),
				 EFBIG);
	n++;
	while (left) {
		uint64_t size = left < piece ? left : piece;
		int err;

		fds[n] = open_k2u(O_RDWR);
		err = try_setup(fds[n], backing, size, 0);
		n++;
		/* Contiguous pages run out before the bound does */
		if (err == ENOMEM && in_one_piece(backing))
			break;
		assert_int_equal(err, 0);
		left -= size;
		assert_int_equal(info(fds[0]).used_bytes, i.max_bytes - left);
	}
	if (!left) {
		assert_int_equal(try_setup(fds[0], backing, 1, 0), ENOMEM);
		assert_int_equal(try_setup(fds[0], backing, piece, 0), ENOMEM);
		assert_int_equal(info(fds[0]).used_bytes, i.max_bytes);
		/* One byte less in use would be one page more to have */
		close(fds[1]);
		assert_int_equal(try_setup(fds[0], backing, 1, 0), 0);
		fds[1] = open_k2u(O_RDWR);
		assert_int_equal(try_setup(fds[1], backing, piece, 0), ENOMEM);
		if (piece > page)
			assert_int_equal(
				try_setup(fds[1], backing, piece - page, 0), 0);
		assert_int_equal(info(fds[0]).used_bytes, i.max_bytes);
	}
	while (n--)
		close(fds[n]);
	assert_int_equal(info_now().used_bytes, 0);
}

/* ---- the memory cgroup ---- */

/*
 * What may stay charged: the precharge of each processor (MEMCG_CHARGE_BATCH, 64
 * pages; mm/memcontrol.c), and the slabs that the first objects took.
 */
static uint64_t slack(void)
{
	return (64 * (uint64_t)sysconf(_SC_NPROCESSORS_CONF) + 64) *
	       page_size();
}

/* What is charged once it is no more than before; page tables are freed by RCU */
static uint64_t charged_after(uint64_t before)
{
	unsigned int tries = 250;
	uint64_t now;

	while ((now = cgroup_current()) > before + slack() && tries--)
		usleep(20 * 1000);
	return now;
}

struct charge {
	uint32_t backing;
	uint64_t size;
	int err;
	uint64_t before, with, after;
};

static void do_charge(void *arg)
{
	struct charge *c = arg;
	int fd = open_k2u(O_RDWR);

	c->before = cgroup_current();
	c->err = try_setup(fd, c->backing, c->size, 0);
	c->with = cgroup_current();
	close(fd);
	c->after = charged_after(c->before);
}

/* The set-up charged so much, and at most @more: also less than before if that is 0 */
static void assert_charged(const struct charge *c, uint64_t size, uint64_t more)
{
	assert_in_range(c->with + slack(), c->before + size,
			c->before + size + more + 2 * slack());
}

static void assert_no_oom(int status)
{
	if (status)
		fail_msg("the child ended with status %#x",
			 (unsigned int)status);
	assert_int_equal(cgroup_read("memory.events", "oom"), 0);
	assert_int_equal(cgroup_read("memory.events", "oom_kill"), 0);
}

static bool accounted(void)
{
	return info_now().flags & K2U_INFO_ACCOUNTED;
}

/* 5.10 cannot charge pages that vm_insert_page() maps (kmod/compat/compat.h). */
static void test_accounted(void **state)
{
	unsigned int major = 0, minor = 0;
	FILE *f = fopen("/proc/sys/kernel/osrelease", "re");

	(void)state;
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%u.%u", &major, &minor), 2);
	fclose(f);
	assert_int_equal(accounted(), major > 5 || minor > 10);
}

/* Over the limit: ENOMEM, nobody is killed, and all of it comes back. */
static void test_cgroup(void **state)
{
	const uint32_t backing = *(uint32_t *)*state;
	struct charge *c = shared(sizeof(*c));
	const uint64_t big =
		in_one_piece(backing) ? info_now().max_contig_bytes : 64 * MIB;
	int status;

	/* Within the limit: as much as is charged, and no more */
	cgroup_make(2 * big);
	*c = (struct charge){ .backing = backing, .size = big };
	status = cgroup_run(do_charge, c);
	assert_no_oom(status);
	assert_int_equal(c->err, 0);
	assert_charged(c, accounted() ? big : 0, big / 256);
	assert_true(c->after <= c->before + slack());

	/* Over it; on 5.10 the bound of the buffers is max_bytes alone */
	cgroup_limit(big / 2);
	*c = (struct charge){ .backing = backing, .size = big };
	status = cgroup_run(do_charge, c);
	assert_no_oom(status);
	assert_int_equal(c->err, accounted() ? ENOMEM : 0);
	assert_true(c->after <= c->before + slack());
	assert_int_equal(info_now().used_bytes, 0);
	cgroup_remove();
	munmap(c, sizeof(*c));
}

/* Of a contiguous buffer the pages that its size needs, not the whole order. */
static void test_cgroup_tail(void **state)
{
	const uint64_t size = info_now().max_contig_bytes / 2 + page_size();
	struct charge *c = shared(sizeof(*c));

	(void)state;
	cgroup_make(0);
	*c = (struct charge){ .backing = K2U_BACKING_CONTIG, .size = size };
	assert_no_oom(cgroup_run(do_charge, c));
	assert_int_equal(c->err, 0);
	assert_charged(c, accounted() ? size : 0, 0);
	assert_true(c->after <= c->before + slack());
	cgroup_remove();
	munmap(c, sizeof(*c));
}

/* Not even the list of the pages fits: it is charged, too, also on 5.10. */
static void test_cgroup_list(void **state)
{
	struct charge *c = shared(sizeof(*c));
	const uint64_t max = info_now().max_bytes;
	const uint64_t list = max / page_size() * sizeof(void *);

	(void)state;
	cgroup_make(0);
	*c = (struct charge){ .backing = K2U_BACKING_VMALLOC, .size = 1 };
	assert_int_equal(cgroup_run(do_charge, c), 0);
	cgroup_limit(c->with + list / 2);
	*c = (struct charge){ .backing = K2U_BACKING_VMALLOC, .size = max };
	assert_no_oom(cgroup_run(do_charge, c));
	assert_int_equal(c->err, ENOMEM);
	assert_int_equal(info_now().used_bytes, 0);
	cgroup_remove();
	munmap(c, sizeof(*c));
}

#define NR_FULL 4000
#define NR_NOMEM 200

struct full {
	unsigned int done, nomem, other;
};

/*
 * In a full group, every allocation of a set-up comes to be the one that fails:
 * the description, the per-CPU counters, the list of pages, the pages. All else
 * that is charged, as the files, was made before.
 */
static void do_full(void *arg)
{
	static int fds[NR_FULL];
	struct full *full = arg;
	int max = open(CGROUP_ROOT "/k2u/memory.max", O_WRONLY | O_CLOEXEC);
	char text[32];

	for (size_t i = 0; i < NR_FULL; i++)
		fds[i] = open_k2u(O_RDWR);
	snprintf(text, sizeof(text), "%" PRIu64,
		 cgroup_current() + 64 * page_size());
	if (write(max, text, strlen(text)) < 0)
		_exit(98);
	for (size_t i = 0; i < NR_FULL && full->nomem < NR_NOMEM; i++) {
		const int err = try_setup(fds[i], backings[i % 2], 1, 0);

		full->done += !err;
		full->nomem += err == ENOMEM;
		full->other += err && err != ENOMEM;
	}
	if (write(max, "max", 3) < 0)
		_exit(97);
}

static void test_cgroup_full(void **state)
{
	struct full *full = shared(sizeof(*full));

	(void)state;
	raise_nofile(NR_FULL + 100);
	cgroup_make(0);
	assert_no_oom(cgroup_run(do_full, full));
	if (!full->done || full->nomem != NR_NOMEM || full->other)
		fail_msg("%u set-ups done, %u ENOMEM, %u other", full->done,
			 full->nomem, full->other);
	assert_int_equal(info_now().used_bytes, 0);
	cgroup_remove();
	munmap(full, sizeof(*full));
}

struct tables {
	const struct row *row;
	uint64_t before, with, after;
	int err;
};

/*
 * 128 page tables, which is twice what a processor is charged ahead; with few
 * pages each where a buffer may be small.
 */
#define NR_MAPS 128

static size_t tables_maps(const struct row *row)
{
	return row->backing == K2U_BACKING_HUGE ? NR_MAPS / 2 : NR_MAPS;
}

static size_t tables_size(const struct row *row)
{
	return row->backing == K2U_BACKING_HUGE ? 4 * MIB : 4 * page_size();
}

static void do_tables(void *arg)
{
	struct tables *t = arg;
	const size_t size = tables_size(t->row), maps = tables_maps(t->row);
	const size_t reach = page_size() / 8 * page_size();
	int fd = open_k2u(O_RDWR);
	char *p[NR_MAPS];

	t->err = try_setup(fd, t->row->backing, size, 0);
	t->before = cgroup_current();
	for (size_t i = 0; i < maps; i++) {
		/* Its own page tables for every mapping: aligned to their reach */
		p[i] = mmap((void *)(0x100000000000 + i * 64 * MIB), size,
			    PROT_READ, MAP_SHARED | MAP_FIXED, fd,
			    K2U_MMAP_OFFSET(t->row->id));
		if (p[i] == MAP_FAILED) {
			t->err = errno;
			break;
		}
		/* A fault makes the table of all pages in its reach */
		for (size_t j = 0; j < size; j += reach)
			(void)*(volatile char *)(p[i] + j);
	}
	t->with = cgroup_current();
	for (size_t i = 0; !t->err && i < maps; i++)
		munmap(p[i], size);
	t->after = charged_after(t->before);
}

/* The page tables of a mapping are charged to who maps. */
static void test_cgroup_tables(void **state)
{
	struct tables *t = shared(sizeof(*t));
	const uint64_t reach = page_size() / 8 * page_size();
	const struct row *row = *state;
	const uint64_t tables =
		(tables_size(row) + reach - 1) / reach * tables_maps(row);
	/* A PMD leaf has no page table below it */
	const bool leaves = row->backing == K2U_BACKING_HUGE && row->lazy;

	cgroup_make(0);
	t->row = *state;
	assert_no_oom(cgroup_run(do_tables, t));
	assert_int_equal(t->err, 0);
	/* What was charged ahead may have been given back */
	assert_in_range(t->with > t->before ? t->with - t->before : 0,
			leaves ? 0 : tables / 2 * page_size(),
			tables * 2 * page_size() + slack());
	assert_true(t->after <= t->before + slack());
	cgroup_remove();
	munmap(t, sizeof(*t));
}

/* ---- time ---- */

static volatile sig_atomic_t ticks;

static void on_tick(int sig)
{
	(void)sig;
	ticks++;
}

/* SIGALRM every 3 ms from now; never, if off */
static void tick(bool on)
{
	const struct sigaction action = { .sa_handler = on_tick };
	const struct itimerval timer = { { 0, on ? 3000 : 0 },
					 { 0, on ? 3000 : 0 } };

	ticks = 0;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

/* A buffer as large as may be. */
static int open_largest(uint64_t *size)
{
	int fd = open_k2u(O_RDWR);

	*size = info(fd).max_bytes;
	assert_int_equal(try_setup(fd, K2U_BACKING_VMALLOC, *size, 0), 0);
	return fd;
}

/* The set-up ends with EINTR, has given all back, and can be repeated. */
static void test_signal_setup(void **state)
{
	const uint32_t flags = *(uint32_t *)*state;
	const int fd = open_k2u(O_RDWR);
	const uint64_t max = info(fd).max_bytes;
	int err;

	tick(true);
	err = try_setup(fd, K2U_BACKING_VMALLOC, max, flags);
	tick(false);
	assert_int_equal(err, EINTR);
	assert_int_equal(info(fd).size, 0);
	assert_int_equal(info(fd).used_bytes, 0);
	assert_int_equal(try_setup(fd, K2U_BACKING_VMALLOC, 1, flags), 0);
	close(fd);
}

/* A fill stops where it is; a checksum, too. */
static void test_signal_use(void **state)
{
	struct k2u_fill fill = { .seed = SEED };
	struct k2u_checksum sum = { 0 };
	uint64_t size, word;
	int fd = open_largest(&size), err;

	(void)state;
	tick(true);
	err = ioctl(fd, K2U_IOC_FILL, &fill) ? errno : 0;
	tick(false);
	assert_int_equal(err, EINTR);
	assert_int_equal(pread(fd, &word, 8, 0), 8);
	assert_int_equal(word, k2u_pattern(SEED, 0));
	assert_int_equal(pread(fd, &word, 8, (off_t)size - 8), 8);
	assert_int_equal(word, 0);

	sum.size = size;
	tick(true);
	err = ioctl(fd, K2U_IOC_CHECKSUM, &sum) ? errno : 0;
	tick(false);
	assert_int_equal(err, EINTR);

	close(fd);
}

/* Undisturbed, a copy in several pieces is whole and in its place. */
static void test_pieces(void **state)
{
	const size_t size = 3 * MIB + 5, at = 12345;
	int fd = open_buffer(K2U_BACKING_VMALLOC, 4 * MIB);
	char *p = shared(4 * MIB);

	(void)state;
	assert_int_equal(pread(fd, p, size, at), size);
	assert_pattern(p, at, size);
	assert_int_equal(p[size], 0);
	close(fd);
	fd = open_k2u(O_RDWR);
	assert_int_equal(try_setup(fd, K2U_BACKING_CONTIG, 4 * MIB, 0), 0);
	assert_int_equal(pwrite(fd, p, size, at), size);
	memset(p, 0xff, 4 * MIB);
	assert_int_equal(pread(fd, p, 5 * MIB, 0), 4 * MIB);
	assert_pattern(p + at, at, size);
	for (size_t i = 0; i < 4 * MIB; i++)
		if (i < at || i >= at + size)
			assert_int_equal(p[i], 0);
	munmap(p, 4 * MIB);
	close(fd);
}

/* SIGKILL likewise: the rest of the work is not done first. */
static void test_kill(void **state)
{
	struct k2u_fill fill = { .seed = SEED };
	uint64_t size, word;
	int fd = open_k2u(O_RDWR), status;
	pid_t pid = fork();

	(void)state;
	if (!pid) {
		try_setup(fd, K2U_BACKING_VMALLOC, info(fd).max_bytes, 0);
		_exit(0);
	}
	while (!info(fd).used_bytes)
		sched_yield();
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, SIGKILL);
	assert_int_equal(info(fd).used_bytes, 0);
	assert_int_equal(info(fd).size, 0);
	close(fd);

	fd = open_largest(&size);
	pid = fork();
	if (!pid) {
		ioctl(fd, K2U_IOC_FILL, &fill);
		_exit(0);
	}
	do {
		sched_yield();
		assert_int_equal(pread(fd, &word, 8, 0), 8);
	} while (!word);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, SIGKILL);
	assert_int_equal(pread(fd, &word, 8, (off_t)size - 8), 8);
	assert_int_equal(word, 0);
	close(fd);
	assert_int_equal(info_now().used_bytes, 0);
}

/* A read and a write of a child that is killed: the rest is not copied first. */
static void test_kill_copy(void **state)
{
	const bool writes = *(bool *)*state;
	const size_t page = page_size();
	const uint64_t size = info_now().max_bytes / 2 / page * page;
	/* Between two buffers, so that all of the memory is the module's */
	int source = open_buffer(K2U_BACKING_VMALLOC, size), status;
	int target = open_k2u(O_RDWR);
	uint64_t word;
	char *p;
	pid_t pid;

	assert_int_equal(try_setup(target, K2U_BACKING_VMALLOC, size, 0), 0);
	p = map_buffer(writes ? source : target, K2U_METHOD_vmalloc, size,
		       PROT_READ | PROT_WRITE);
	pid = fork();
	if (!pid) {
		const ssize_t n = writes ? pwrite(target, p, size, 0) :
					   pread(source, p, size, 0);

		_exit(n == (ssize_t)size ? 0 : 1);
	}
	do {
		sched_yield();
		assert_int_equal(pread(target, &word, 8, 0), 8);
	} while (!word);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, SIGKILL);
	assert_int_equal(pread(target, &word, 8, (off_t)size - 8), 8);
	assert_int_equal(word, 0);
	munmap(p, size);
	close(source);
	close(target);
}

enum waiter { WAIT_SETUP, WAIT_READ, WAIT_MMAP, WAIT_FILL };

/* Who waits for another's set-up of the same file can be interrupted. */
static void test_waiter(void **state)
{
	const enum waiter waiter = *(enum waiter *)*state;
	struct k2u_fill fill = { .seed = SEED };
	int fd = open_k2u(O_RDWR), status, err = 0;
	pid_t pid = fork();
	char byte;

	if (!pid) {
		try_setup(fd, K2U_BACKING_VMALLOC, info(fd).max_bytes,
			  K2U_SETUP_FILL);
		_exit(0);
	}
	while (!info(fd).used_bytes)
		sched_yield();
	tick(true);
	switch (waiter) {
	case WAIT_SETUP:
		err = try_setup(fd, K2U_BACKING_VMALLOC, 1, 0);
		break;
	case WAIT_READ:
		err = read(fd, &byte, 1) < 0 ? errno : 0;
		break;
	case WAIT_MMAP:
		err = mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0) ==
				      MAP_FAILED ?
			      errno :
			      0;
		break;
	case WAIT_FILL:
		err = ioctl(fd, K2U_IOC_FILL, &fill) ? errno : 0;
		break;
	}
	tick(false);
	/* It is still at work: so that was no answer of a file that is set up */
	assert_int_equal(info(fd).size, 0);
	assert_int_equal(err, EINTR);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, SIGKILL);
	assert_int_equal(info(fd).used_bytes, 0);
	close(fd);
}

/* ---- many ---- */

#define NR_OPEN 5000

/* Thousands of files, each with its buffer and its mapping. */
static void test_files(void **state)
{
	const size_t page = page_size();
	static int fds[NR_OPEN];
	static char *p[NR_OPEN];

	(void)state;
	raise_nofile(NR_OPEN + 100);
	for (size_t i = 0; i < NR_OPEN; i++) {
		fds[i] = open_buffer(backings[i % 2], page);
		p[i] = map_buffer(fds[i],
				  i % 3 ? K2U_METHOD_fault : K2U_METHOD_pfn,
				  page, PROT_READ);
		assert_int_equal((uint8_t)p[i][1], pattern_byte(SEED, 1));
	}
	assert_int_equal(info(fds[0]).used_bytes, NR_OPEN * page);
	for (size_t i = 0; i < NR_OPEN; i++) {
		if (i % 2)
			close(fds[i]);
		munmap(p[i], page);
		if (!(i % 2))
			close(fds[i]);
	}
	assert_int_equal(info_now().used_bytes, 0);
}

/* What a test that failed has left behind would fail the others. */
static int clean_up(void **state)
{
	(void)state;
	tick(false);
	close_range(3, ~0U, 0);
	rmdir(CGROUP_ROOT "/k2u");
	return 0;
}

int main(void)
{
	static uint32_t vmalloc = K2U_BACKING_VMALLOC,
			contig = K2U_BACKING_CONTIG, zeroed,
			filled = K2U_SETUP_FILL;
	static bool reads, writes = true;
	static enum waiter waiters[] = { WAIT_SETUP, WAIT_READ, WAIT_MMAP,
					 WAIT_FILL };
	const struct CMUnitTest tests[] = {
		{ "bound/vmalloc", test_bound, NULL, clean_up, &vmalloc },
		{ "bound/contig", test_bound, NULL, clean_up, &contig },
		{ "accounted", test_accounted, NULL, clean_up, NULL },
		{ "cgroup/vmalloc", test_cgroup, NULL, clean_up, &vmalloc },
		{ "cgroup/contig", test_cgroup, NULL, clean_up, &contig },
		{ "cgroup/tail", test_cgroup_tail, NULL, clean_up, NULL },
		{ "cgroup/list", test_cgroup_list, NULL, clean_up, NULL },
		{ "cgroup/full", test_cgroup_full, NULL, clean_up, NULL },
		{ "signal/setup", test_signal_setup, NULL, clean_up, &zeroed },
		{ "signal/setup-fill", test_signal_setup, NULL, clean_up,
		  &filled },
		{ "signal/use", test_signal_use, NULL, clean_up, NULL },
		{ "pieces", test_pieces, NULL, clean_up, NULL },
		{ "signal/kill", test_kill, NULL, clean_up, NULL },
		{ "signal/kill-read", test_kill_copy, NULL, clean_up, &reads },
		{ "signal/kill-write", test_kill_copy, NULL, clean_up,
		  &writes },
		{ "waiter/setup", test_waiter, NULL, clean_up, &waiters[0] },
		{ "waiter/read", test_waiter, NULL, clean_up, &waiters[1] },
		{ "waiter/mmap", test_waiter, NULL, clean_up, &waiters[2] },
		{ "waiter/fill", test_waiter, NULL, clean_up, &waiters[3] },
		{ "files", test_files, NULL, clean_up, NULL },
	};
	int failed;

	failed = run_rows("cgroup-tables", test_cgroup_tables, K2U_ACCESS_MAP,
			  0);
	failed += cmocka_run_group_tests(tests, NULL, NULL);
	return failed;
}

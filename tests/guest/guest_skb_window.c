// SPDX-License-Identifier: GPL-2.0
/*
 * K2U_STREAM_PAGES: what the window is and is not, and that pages and what they take of
 * the bound are given back, in whichever order all ends.
 */
#include <sys/prctl.h>
#include <sys/wait.h>

#include "limits.h"
#include "skb_pages.h"

/* ---- the window ---- */

static void test_protection(void **state)
{
	const size_t page = page_size();
	struct view v;
	char *p;
	int mem;

	(void)state;
	v = begin_view(RECORD);
	send_pages(1, SEED);
	map_some(&v, 0, 1, 1);
	assert_int_equal(mprotect(v.window, page, PROT_READ | PROT_WRITE), -1);
	assert_int_equal(errno, EACCES);
	assert_int_equal(mprotect(v.window, page, PROT_READ | PROT_EXEC), -1);
	assert_int_equal(errno, EACCES);
	/* As a debugger writes */
	mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	assert_true(mem >= 0);
	assert_int_equal(pwrite(mem, "", 1, (off_t)(uintptr_t)v.window), -1);
	close(mem);
	assert_bytes(v.window, page, SEED);

	/* It grows by no way, and is moved with what is in it */
	p = mremap(v.window, WINDOW * page, (WINDOW + 1) * page,
		   MREMAP_MAYMOVE);
	assert_ptr_equal(p, MAP_FAILED);
	p = mremap(v.window, 0, page, MREMAP_MAYMOVE);
	assert_ptr_equal(p, MAP_FAILED);
	p = mmap(NULL, WINDOW * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
		 -1, 0);
	p = mremap(v.window, WINDOW * page, WINDOW * page,
		   MREMAP_MAYMOVE | MREMAP_FIXED, p);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(signal_of(v.window), SIGSEGV);
	v.window = p;
	assert_bytes(v.window, page, SEED);
	map_some(&v, 1, 1, 1);
	assert_bytes(v.window + page, page, SEED);
	unmap_view(&v);
}

static int window_errno(int fd, size_t pages, int prot, int flags, off_t from)
{
	void *p = mmap(NULL, pages * page_size(), prot, flags, fd, from);

	if (p == MAP_FAILED)
		return errno;
	munmap(p, pages * page_size());
	return 0;
}

/* One at a time, however it was taken apart */
static void test_window(void **state)
{
	const size_t page = page_size();
	struct view v;
	char *p;
	int fd, err;

	(void)state;
	v = begin_view(RECORD);
	fd = v.s.fd;
	assert_int_equal(window_errno(fd, 1, PROT_READ, MAP_SHARED, 0), EBUSY);
	assert_int_equal(munmap(v.window + page, page), 0);
	assert_int_equal(munmap(v.window + 3 * page, (WINDOW - 3) * page), 0);
	assert_int_equal(window_errno(fd, 1, PROT_READ, MAP_SHARED, 0), EBUSY);
	assert_int_equal(munmap(v.window, page), 0);
	assert_int_equal(window_errno(fd, 1, PROT_READ, MAP_SHARED, 0), EBUSY);
	assert_int_equal(munmap(v.window + 2 * page, page), 0);
	assert_int_equal(window_errno(fd, 1, PROT_READ, MAP_SHARED, 0), 0);
	assert_int_equal(window_errno(fd, WINDOW, PROT_READ, MAP_SHARED, 0), 0);

	assert_int_equal(window_errno(fd, WINDOW + 1, PROT_READ, MAP_SHARED, 0),
			 EINVAL);
	assert_int_equal(window_errno(fd, 1, PROT_READ, MAP_SHARED,
				      (off_t)page),
			 EINVAL);
	assert_int_equal(window_errno(fd, 1, PROT_READ, MAP_PRIVATE, 0),
			 EINVAL);
	assert_int_equal(window_errno(fd, 1, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE, 0),
			 EACCES);
	assert_int_equal(window_errno(fd, 1, PROT_READ | PROT_WRITE, MAP_SHARED,
				      0),
			 EACCES);
	err = window_errno(fd, 1, PROT_READ | PROT_EXEC, MAP_SHARED, 0);
	assert_true(err == EACCES || err == EPERM);
	/* None of which was counted */
	p = map_window(fd, 2);
	assert_ptr_not_equal(p, MAP_FAILED);
	v.window = p;
	send_pages(2, SEED);
	map_some(&v, 0, 1, 2);
	assert_bytes(p, 2 * page, SEED);
	munmap(p, 2 * page);
	close_view(&v);
}

static void test_map_errors(void **state)
{
	const size_t page = page_size();
	struct k2u_stream_map arg = { .records = 1 };
	struct view v;
	uint32_t pages;
	char *other;

	(void)state;
	v = begin_view(RECORD);
	arg.addr = (uintptr_t)v.window;
	send_pages(2, SEED);
	send_pages(3, SEED + 1);

	/* No such records */
	assert_int_equal(try_map(v.s.fd, v.window, 0, 3, &pages), EINVAL);
	assert_int_equal(pages, 0);
	assert_int_equal(try_map(v.s.fd, v.window, 2, 1, &pages), EINVAL);
	assert_int_equal(try_map(v.s.fd, v.window, UINT64_MAX, 1, &pages),
			 EINVAL);
	assert_int_equal(try_map(v.s.fd, v.window, UINT64_MAX, 2, &pages),
			 EINVAL);
	assert_int_equal(try_map(v.s.fd, v.window, 0, UINT32_MAX, &pages),
			 EINVAL);
	assert_int_equal(try_map(v.s.fd, v.window, 1ULL << 63, UINT32_MAX,
				 &pages),
			 EINVAL);
	/* No such place */
	assert_int_equal(try_map(v.s.fd, v.window + 8, 0, 1, &pages), EINVAL);
	assert_int_equal(try_map(v.s.fd, NULL, 0, 1, &pages), EFAULT);
	assert_int_equal(try_map(v.s.fd, (void *)-page, 0, 1, &pages), EFAULT);
	assert_int_equal(try_map(v.s.fd, v.window - page, 0, 1, &pages),
			 EFAULT);
	assert_int_equal(try_map(v.s.fd, v.ring, 0, 1, &pages), EFAULT);
	assert_int_equal(try_map(v.s.fd, v.window + (WINDOW - 1) * page, 0, 1,
				 &pages),
			 EFAULT);
	assert_int_equal(pages, 0);
	other = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(try_map(v.s.fd, other, 0, 1, &pages), EFAULT);
	munmap(other, page);
	assert_int_equal(ioctl(v.s.fd, K2U_IOC_STREAM_MAP, NULL), -1);
	assert_int_equal(errno, EFAULT);
	arg.reserved[3] = 1;
	assert_int_equal(ioctl(v.s.fd, K2U_IOC_STREAM_MAP, &arg), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(ioctl(v.s.file, K2U_IOC_STREAM_MAP, &arg), -1);
	assert_int_equal(errno, ENOTTY);

	/* One is there: those before it are mapped, and all can be again */
	map_some(&v, 3, 1, 2);
	assert_int_equal(try_map(v.s.fd, v.window, 0, 2, &pages), EBUSY);
	assert_int_equal(pages, 3);
	assert_bytes(v.window, 2 * page, SEED);
	assert_bytes(v.window + 3 * page, 2 * page, SEED);
	give_back(&v, 0, 5);
	map_some(&v, 0, 2, 5);
	assert_bytes(v.window, 2 * page, SEED);
	assert_bytes(v.window + 2 * page, 3 * page, SEED + 1);
	/* Consumed, they are mapped no more; what is mapped stays */
	consume(&v, 1);
	assert_int_equal(try_map(v.s.fd, v.window + 5 * page, 0, 1, &pages),
			 EINVAL);
	assert_bytes(v.window, 2 * page, SEED);
	unmap_view(&v);
}

static void test_refused(void **state)
{
	struct k2u_stream call = { .record_size = RECORD,
				   .flags = K2U_STREAM_PAGES };
	struct stream s;
	struct view v;
	uint32_t pages;
	char bytes[RECORD];
	int fd;

	(void)state;
	link_up(65536);
	need_pages();
	fd = open_buffer(K2U_BACKING_VMALLOC, 1 << 20);
	assert_int_equal(ioctl(fd, K2U_IOC_STREAM, &call), -1);
	assert_int_equal(errno, EINVAL);
	close(fd);

	s = open_stream(RECORD, 0);
	assert_int_equal(window_errno(s.fd, 1, PROT_READ, MAP_SHARED, 0),
			 ENODEV);
	assert_int_equal(try_map(s.fd, NULL, 0, 0, &pages), EOPNOTSUPP);
	close_stream(&s);

	/* Its bytes would not be in what read() gives */
	v = open_view(RECORD);
	assert_false(comes(v.s.fd, 0));
	send_pages(1, SEED);
	assert_true(comes(v.s.fd, 0));
	assert_int_equal(read(v.s.fd, bytes, sizeof(bytes)), -1);
	assert_int_equal(errno, EOPNOTSUPP);
	assert_int_equal(ioctl(v.s.fd, K2U_IOC_PRODUCE,
			       &(struct k2u_produce){ .count = 1 }),
			 -1);
	assert_int_equal(errno, EOPNOTSUPP);
	consume(&v, 1);
	assert_false(comes(v.s.fd, 0));
	unmap_view(&v);
}

/* ---- lifetimes ---- */

static void test_stays(void **state)
{
	const size_t size = 3 * page_size();
	struct view v;

	(void)state;
	v = begin_view(RECORD);
	send_pages(3, SEED);
	map_some(&v, 0, 1, 3);
	consume(&v, 1);
	for (unsigned int i = 0; i < 2 * SLOTS; i++) {
		send_pages(3, SEED + 1 + i);
		assert_next(&v, size, K2U_RECORD_PAGES);
		consume(&v, 1);
	}
	assert_bytes(v.window, size, SEED);
	/* The stream lives on in its window, and takes packets */
	close_view(&v);
	assert_bytes(v.window, size, SEED);
	for (unsigned int i = 0; i < 2 * SLOTS; i++)
		send_pages(3, SEED + 1 + i);
	assert_bytes(v.window, size, SEED);
	assert_true(module_info().used_bytes > 0);
	assert_int_equal(munmap(v.window, WINDOW * page_size()), 0);
	assert_int_equal(module_info().used_bytes, 0);
}

static void test_fork(void **state)
{
	struct view v;
	uint32_t pages;
	int status;
	pid_t pid;

	(void)state;
	v = begin_view(RECORD);
	send_pages(1, SEED);
	map_some(&v, 0, 1, 1);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		if (signal_of(v.window) != SIGSEGV)
			_exit(1);
		if (try_map(v.s.fd, v.window, 0, 1, &pages) != EFAULT)
			_exit(2);
		if (map_window(v.s.fd, 1) != MAP_FAILED || errno != EBUSY)
			_exit(3);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_bytes(v.window, page_size(), SEED);
	unmap_view(&v);
}

/* What all slots and a window may hold counts; and where that is not left, ENOMEM */
static void test_bound(void **state)
{
	const struct k2u_info is = module_info();
	const size_t page = page_size(), slots = 2 * WINDOW * page,
		     ring = K2U_RING_DATA(page) + SLOTS * RECORD;
	struct stream s;
	int fd;

	(void)state;
	link_up(65536);
	assert_int_equal(is.used_bytes, 0);
	s = open_stream(RECORD, K2U_STREAM_PAGES);
	assert_int_equal(module_info().used_bytes,
			 (ring + page - 1) / page * page + slots);
	close_stream(&s);
	assert_int_equal(module_info().used_bytes, 0);

	fd = open_k2u(O_RDWR);
	assert_int_equal(
		ioctl(fd, K2U_IOC_SETUP,
		      &(struct k2u_setup){ .size = is.max_bytes - slots,
					   .backing = K2U_BACKING_PAGES,
					   .node = K2U_NODE_ANY }),
		0);
	assert_int_equal(try_stream(&s, RECORD, SLOTS, PORT, K2U_STREAM_PAGES),
			 ENOMEM);
	assert_int_equal(module_info().used_bytes, is.max_bytes - slots);
	assert_int_equal(try_stream(&s, RECORD, SLOTS, PORT, 0), 0);
	close_stream(&s);
	close(fd);
	assert_int_equal(try_stream(&s, RECORD, SLOTS, PORT, K2U_STREAM_PAGES),
			 0);
	close_stream(&s);
	assert_int_equal(module_info().used_bytes, 0);
}

/* ---- memory ---- */

#define DRIFT (8L << 10) /* KiB, of free memory by itself */

/* What is freed of slabs may lie in KASAN's quarantine: pages that are lost do not */
static void assert_back(const char *what, const struct memory *was)
{
	struct memory is;
	long lost;
	int tries = 0;

	do {
		usleep(100000);
		is = memory_now();
		lost = was->free + was->slab - is.free - is.slab;
	} while ((lost > DRIFT || is.areas > was->areas) && tries++ < 50);
	print_message("# %s: %ld KiB are not back\n", what, lost);
	assert_true(lost <= DRIFT);
	assert_int_equal(is.areas, was->areas);
}

/* 40 MiB of packets through one stream: mapped, given back, or neither */
static void test_leak(void **state)
{
	const size_t page = page_size();
	const struct memory was = memory_now();
	struct view v;
	char *p = malloc(MOST * page);
	int ends[2], tx;

	(void)state;
	v = begin_view(RECORD);
	fill(p, MOST * page, SEED);
	assert_int_equal(pipe(ends), 0);
	tx = connected(false);
	for (unsigned int i = 0; i < (40 << 20) / (MOST * page); i++) {
		assert_int_equal(write(ends[1], p, MOST * page), MOST * page);
		assert_int_equal(splice(ends[0], NULL, tx, NULL, MOST * page,
					0),
				 MOST * page);
		if (i % 16)
			continue;
		fence();
		if (i % 32) {
			map_some(&v, 0, 1, MOST);
			give_back(&v, 0, MOST);
		}
		consume(&v, v.ring->producer - v.at);
	}
	close(tx);
	close(ends[0]);
	close(ends[1]);
	free(p);
	unmap_view(&v);
	assert_back("packets by reference", &was);
}

static void test_killed(void **state)
{
	const struct memory was = memory_now();
	int status, ready[2];
	struct view v;
	char c;
	pid_t pid;

	(void)state;
	link_up(65536);
	need_pages();
	for (unsigned int i = 0; i < 6; i++) {
		assert_int_equal(pipe(ready), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (!pid) {
			v = open_view(RECORD);
			for (unsigned int k = 0; k < SLOTS; k++)
				send_pages(MOST, SEED + k);
			map_some(&v, 0, SLOTS, WINDOW);
			if (write(ready[1], "", 1) == 1)
				pause();
			_exit(1);
		}
		close(ready[1]);
		assert_int_equal(read(ready[0], &c, 1), 1);
		close(ready[0]);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, SIGKILL);
		assert_int_equal(module_info().used_bytes, 0);
	}
	assert_back("killed with its window", &was);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_protection, setup),
		cmocka_unit_test_setup(test_window, setup),
		cmocka_unit_test_setup(test_map_errors, setup),
		cmocka_unit_test_setup(test_refused, setup),
		cmocka_unit_test_setup(test_stays, setup),
		cmocka_unit_test_setup(test_fork, setup),
		cmocka_unit_test_setup(test_bound, setup),
		cmocka_unit_test_setup(test_leak, setup),
		cmocka_unit_test_setup(test_killed, setup),
	};

	return run_pages("skb_window", tests, ARRAY_SIZE(tests));
}

// SPDX-License-Identifier: GPL-2.0
/* Faults, counted exactly: getrusage, perf and the module agree. */
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "guest.h"

#define NPAGES 64

static int perf_fd = -1;

static int open_perf(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_PAGE_FAULTS_MIN,
	};

	perf_fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
	return perf_fd < 0 ? -errno : 0;
}

struct faults {
	long rusage_minor, rusage_major;
	uint64_t perf_minor, module;
};

static struct faults faults_now(int fd)
{
	struct faults f;
	struct rusage r;

	assert_int_equal(getrusage(RUSAGE_THREAD, &r), 0);
	assert_int_equal(read(perf_fd, &f.perf_minor, 8), 8);
	f.rusage_minor = r.ru_minflt;
	f.rusage_major = r.ru_majflt;
	f.module = counters(fd).faults;
	return f;
}

static void assert_faults(int fd, const struct faults *before, uint64_t user,
			  uint64_t perf, uint64_t module)
{
	const struct faults now = faults_now(fd);

	assert_int_equal(now.rusage_major - before->rusage_major, 0);
	assert_int_equal(now.rusage_minor - before->rusage_minor, user);
	assert_int_equal(now.perf_minor - before->perf_minor, perf);
	assert_int_equal(now.module - before->module, module);
}

static void touch(volatile char *p, size_t size, bool write)
{
	for (size_t i = 0; i < size; i += page_size()) {
		if (write)
			p[i] = 1;
		else
			(void)p[i];
	}
}

static void test_map(void **state)
{
	const struct row *row = *state;
	const size_t size = NPAGES * page_size();
	int fd = open_buffer(row->backing, size);
	struct faults before;
	uint64_t expected;
	bool lazy;
	char *p;

	faults_now(fd); /* what counting itself touches */
	for (int write = 0; write <= 1; write++) {
		uint64_t mapped = counters(fd).mapped_pages;
		uint64_t served = counters(fd).faults;

		p = map_buffer(fd, row->id, size, PROT_READ | PROT_WRITE);
		assert_int_equal(counters(fd).mapped_pages - mapped,
				 row->lazy ? 0 : NPAGES);
		assert_int_equal(counters(fd).faults - served,
				 row->faults == K2U_FAULTS_POPULATE ? NPAGES :
								      0);
		lazy = row->lazy;
		if (row->faults == K2U_FAULTS_POPULATE_READ &&
		    !madvise(NULL, 0, MADV_POPULATE_READ)) {
			assert_int_equal(madvise(p, size, MADV_POPULATE_READ),
					 0);
			assert_int_equal(counters(fd).faults - served, NPAGES);
			assert_int_equal(counters(fd).mapped_pages - mapped,
					 NPAGES);
			lazy = false;
		}
		expected = lazy ? faults_of(row->id, p, size) : 0;
		before = faults_now(fd);
		touch(p, size, write);
		assert_faults(fd, &before, expected, expected, expected);
		touch(p, size, !write); /* no second one to make it writable */
		assert_faults(fd, &before, expected, expected, expected);
		assert_int_equal(counters(fd).mapped_pages - mapped, NPAGES);
		munmap(p, size);
	}
	close(fd);
}

/* A touch of page i of p is one fault, and maps so many pages; they are there. */
static void touch_window(int fd, char *p, size_t i, bool write, uint64_t pages)
{
	const struct k2u_counters before = counters(fd);
	const struct faults faults = faults_now(fd);
	struct k2u_inspect in = { .addr = (uintptr_t)p + i * page_size(),
				  .size = page_size() };

	touch(p + i * page_size(), 1, write);
	assert_faults(fd, &faults, 1, 1, 1);
	assert_int_equal(counters(fd).mapped_pages - before.mapped_pages,
			 pages);
	assert_int_equal(ioctl(fd, K2U_IOC_INSPECT, &in), 0);
	assert_int_equal(in.pte_pages, 1);
}

/*
 * One touch maps its window, and of it what is in the VMA and not there yet: at
 * the ends of a mapping, where it is cut in pieces, where pages were dropped, and
 * around a private copy.
 */
static void test_window(void **state)
{
	const struct row *row = *state;
	const size_t page = page_size(), n = K2U_AROUND_BYTES / page;
	struct k2u_fill fill = { .seed = SEED };
	int fd = open_buffer(row->backing, 4 * n * page);
	char *area, *p;

	if (row->faults != K2U_FAULTS_AROUND || n < 4) {
		close(fd);
		return;
	}
	area = mmap(NULL, 6 * n * page, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(area, MAP_FAILED);
	/* Two pages past a boundary: windows of n - 2, n, n, n and 2 pages */
	p = area + (-(uintptr_t)area & (n * page - 1)) + 2 * page;
	assert_ptr_equal(mmap(p, 4 * n * page, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_FIXED, fd,
			      (off_t)K2U_MMAP_OFFSET(row->id)),
			 p);
	touch_window(fd, p, 1, false, n - 2);
	touch_window(fd, p, 4 * n - 1, true, 2);

	assert_int_equal(mprotect(p + n * page, page, PROT_NONE), 0);
	touch_window(fd, p, n - 1, false, 2);
	touch_window(fd, p, n + 1, true, n - 3);
	assert_int_equal(mprotect(p + n * page, page, PROT_READ | PROT_WRITE),
			 0);
	touch_window(fd, p, n, false, 1);

	touch_window(fd, p, 2 * n, true, n);
	if (row->id == K2U_METHOD_fault_around_pfn) {
		/* Of PFNs nothing is dropped, and none is private */
		assert_int_equal(madvise(p + 2 * n * page, page, MADV_DONTNEED),
				 -1);
		assert_int_equal(errno, EINVAL);
		munmap(area, 6 * n * page);
		close(fd);
		return;
	}
	assert_int_equal(madvise(p + 2 * n * page, page, MADV_DONTNEED), 0);
	touch_window(fd, p, 2 * n, true, 1);
	assert_int_equal(madvise(p + (2 * n - 2) * page, page, MADV_DONTNEED),
			 0);
	assert_int_equal(madvise(p + 2 * n * page, 2 * page, MADV_DONTNEED), 0);
	touch_window(fd, p, 2 * n + 1, false, 3);

	assert_int_equal(madvise(p, 4 * n * page, MADV_DONTNEED), 0);
	touch_window(fd, p, 3 * n - 1, false, n);
	assert_int_equal(ioctl(fd, K2U_IOC_FILL, &fill), 0);

	assert_ptr_equal(mmap(p, 4 * n * page, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_FIXED, fd,
			      (off_t)K2U_MMAP_OFFSET(row->id)),
			 p);
	touch_window(fd, p, 1, true, 1);
	touch_window(fd, p, 0, false, n - 3);
	assert_int_equal(p[page], 1);
	p[page] = (char)pattern_byte(SEED, page);
	assert_pattern(p, 0, 4 * n * page);
	munmap(area, 6 * n * page);
	close(fd);
}

static sigjmp_buf out_of_touch;

static void leave_touch(int sig)
{
	siglongjmp(out_of_touch, sig);
}

/*
 * An entry that userfaultfd has marked is neither empty nor of a page. From 6.7
 * until mended that could be any mapping's; a touch that ends in nothing mapped
 * would begin anew for ever.
 */
static void test_marked(void **state)
{
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif
	const struct row *row = *state;
	const size_t size = 4 * page_size();
	int fd = open_buffer(row->backing, size), sig;
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	struct uffdio_api api = { .api = UFFD_API,
				  .features = UFFD_FEATURE_WP_ASYNC };
	char *p = map_buffer(fd, row->id, size, PROT_READ | PROT_WRITE);
	struct uffdio_register reg = { .range = { (uintptr_t)p, size },
				       .mode = UFFDIO_REGISTER_MODE_WP };
	struct uffdio_writeprotect wp = { .range = reg.range,
					  .mode = UFFDIO_WRITEPROTECT_MODE_WP };

	if (uffd >= 0 && !ioctl(uffd, UFFDIO_API, &api)) {
		if (!ioctl(uffd, UFFDIO_REGISTER, &reg)) {
			assert_int_equal(ioctl(uffd, UFFDIO_WRITEPROTECT, &wp),
					 0);
			signal(SIGALRM, leave_touch);
			signal(SIGBUS, leave_touch);
			alarm(10);
			sig = sigsetjmp(out_of_touch, 1);
			if (!sig)
				touch(p, size, true);
			alarm(0);
			signal(SIGALRM, SIG_DFL);
			signal(SIGBUS, SIG_DFL);
			print_message("# %s: marked, then %s\n", row->method,
				      sig ? strsignal(sig) : "touched");
			assert_int_not_equal(sig, SIGALRM);
		} else {
			assert_int_equal(errno, EINVAL);
		}
	}
	if (uffd >= 0)
		close(uffd);
	munmap(p, size);
	close(fd);
}

/*
 * A copy's faults are those of its fresh destination. Where it is pinned they are
 * the task's, but no event of perf: they have no registers (mm_account_fault(),
 * mm/memory.c).
 */
static void test_copy(void **state)
{
	const struct row *row = *state;
	const size_t size = NPAGES * page_size();
	const bool pins = row->id == K2U_METHOD_pin ||
			  row->access == K2U_ACCESS_FIXED;
	const uint64_t perf = pins ? 0 : NPAGES;
	int fd = open_buffer(row->backing, size);
	struct faults before;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(madvise(p, size, MADV_NOHUGEPAGE), 0);
	assert_int_equal(copy_out(row, fd, p, 0, 0), 0); /* binds pread */
	before = faults_now(fd);
	assert_int_equal(copy_out(row, fd, p, size, 0), size);
	assert_faults(fd, &before, NPAGES, perf, 0);
	assert_int_equal(copy_out(row, fd, p, size, 0), size);
	assert_faults(fd, &before, NPAGES, perf, 0);
	munmap(p, size);
	close(fd);
}

int main(void)
{
	int failed = 0;

	if (open_perf()) {
		fprintf(stderr, "perf_event_open: %s\n", strerror(errno));
		return 1;
	}
	/* Faults of the program's own pages would be counted, too. */
	if (mlockall(MCL_CURRENT)) {
		fprintf(stderr, "mlockall: %s\n", strerror(errno));
		return 1;
	}
	failed += run_rows("faults", test_map, K2U_ACCESS_MAP, 0);
	failed += run_rows("window", test_window, K2U_ACCESS_MAP, 0);
	failed += run_rows("marked", test_marked, K2U_ACCESS_MAP, 0);
	failed += run_rows("faults", test_copy, K2U_ACCESS_COPY, 0);
	return failed;
}

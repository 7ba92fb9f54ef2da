// SPDX-License-Identifier: GPL-2.0
/* Faults, counted exactly: getrusage, perf and the module agree. */
#include <linux/perf_event.h>
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
			  uint64_t module)
{
	const struct faults now = faults_now(fd);

	assert_int_equal(now.rusage_major - before->rusage_major, 0);
	assert_int_equal(now.rusage_minor - before->rusage_minor, user);
	assert_int_equal(now.perf_minor - before->perf_minor, user);
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
		expected = row->lazy ? faults_of(row->id, p, size) : 0;
		before = faults_now(fd);
		touch(p, size, write);
		assert_faults(fd, &before, expected, expected);
		touch(p, size, !write); /* no second one to make it writable */
		assert_faults(fd, &before, expected, expected);
		assert_int_equal(counters(fd).mapped_pages - mapped, NPAGES);
		munmap(p, size);
	}
	close(fd);
}

/* A copy's faults are those of its fresh destination. */
static void test_copy(void **state)
{
	const struct row *row = *state;
	const size_t size = NPAGES * page_size();
	int fd = open_buffer(row->backing, size);
	struct faults before;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(madvise(p, size, MADV_NOHUGEPAGE), 0);
	assert_int_equal(pread(fd, p, 0, 0), 0); /* binds pread */
	before = faults_now(fd);
	assert_int_equal(pread(fd, p, size, 0), size);
	assert_faults(fd, &before, NPAGES, 0);
	assert_int_equal(pread(fd, p, size, 0), size);
	assert_faults(fd, &before, NPAGES, 0);
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
	failed += run_rows("faults", test_copy, K2U_ACCESS_COPY, 0);
	return failed;
}

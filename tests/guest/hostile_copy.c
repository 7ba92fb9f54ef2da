// SPDX-License-Identifier: GPL-2.0
/* read, write, seek and their kin with hostile positions, counts and memory. */
#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "hostile.h"

/* pread() and pwrite() through the syscall: a count that the headers warn of */
static ssize_t do_pread(int fd, void *p, size_t count, uint64_t at)
{
	return syscall(SYS_pread64, fd, p, count, at);
}

static ssize_t do_pwrite(int fd, const void *p, size_t count, uint64_t at)
{
	return syscall(SYS_pwrite64, fd, p, count, at);
}

static ssize_t do_preadv(int fd, const struct iovec *v, unsigned long n,
			 int64_t at)
{
	return syscall(SYS_preadv, fd, v, n, at, 0);
}

HOSTILE(read)
{
	const size_t page = h->page, size = h->size;
	char *two = hostile_anon(h, 3 * page, PROT_READ | PROT_WRITE);
	char *ro = hostile_anon(h, page, PROT_READ);
	const struct {
		const char *op;
		uint64_t at;
		size_t count;
		ssize_t got; /* -1: fails */
	} cases[] = {
		{ "first", 0, 8, 8 },
		{ "count_0", 0, 0, 0 },
		{ "last_byte", size - 1, 8, 1 },
		{ "at_size", size, 8, 0 },
		{ "at_size_plus_1", size + 1, 8, 0 },
		{ "at_len", h->len, 8, 0 },
		{ "at_2g", 1ULL << 31, 8, 0 },
		{ "at_4g", 1ULL << 32, 8, 0 },
		{ "at_1t", 1ULL << 40, 8, 0 },
		{ "at_max_minus_8", INT64_MAX - 8, 8, 0 },
		{ "at_max", INT64_MAX, 0, 0 },
		{ "at_max_8", INT64_MAX, 8, -1 },
		{ "at_minus_1", UINT64_MAX, 8, -1 },
		{ "at_2e63", 1ULL << 63, 8, -1 },
		{ "count_max", 0, SIZE_MAX, -1 },
		{ "count_ssize_max_plus_1", 0, (size_t)SSIZE_MAX + 1, -1 },
		{ "count_ssize_max", 0, SSIZE_MAX, -1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		ssize_t got = do_pread(h->fd, two, cases[i].count, cases[i].at);

		expect(h, cases[i].op, result(got));
		check(got == cases[i].got);
	}
	expect(h, "writeonly_file", result(do_pread(h->wo, two, 8, 0)));
	expect(h, "null", result(do_pread(h->fd, NULL, 8, 0)));
	expect(h, "null_0", result(do_pread(h->fd, NULL, 0, 0)));
	expect(h, "null_past_end", result(do_pread(h->fd, NULL, 8, size)));
	expect(h, "kernel",
	       result(do_pread(h->fd, (void *)0xffffffff81000000ULL, 8, 0)));
	expect(h, "noncanonical",
	       result(do_pread(h->fd, (void *)(1ULL << 56), 8, 0)));
	expect(h, "readonly_memory", result(do_pread(h->fd, ro, 8, 0)));

	/* Memory that ends: what fits is copied, and is right */
	hostile_unmap(h, two + page, page);
	expect(h, "unmapped", result(do_pread(h->fd, two + page, 8, 0)));
	{
		ssize_t got = do_pread(h->fd, two, 2 * page, 0);

		expect(h, "partly_unmapped", result(got));
		check(got > 0 && got <= (ssize_t)page);
		check(got < 0 || hostile_pattern(h, two, 0, (size_t)got));
		got = do_pread(h->fd, two + page - 24, 4096, 8);
		expect(h, "partly_unmapped", result(got));
		check(got > 0 && got <= 24);
		check(got < 8 || hostile_pattern(h, two + page - 24, 8, 8));
	}
	/* Segments: a bad one in the middle, none, too many, too long */
	{
		struct iovec v[3] = { { two, 8 },
				      { two + page, 8 },
				      { two + 2 * page, 8 } };
		struct iovec many[1025],
			wrong[2] = { { two, 8 }, { two, SIZE_MAX } };
		struct iovec sum[2] = { { two, 8 }, { two + 8, SSIZE_MAX } };
		ssize_t got = do_preadv(h->fd, v, 3, 0);

		expect(h, "iov_bad_middle", result(got));
		check(got == 8 && hostile_pattern(h, two, 0, 8));
		v[0].iov_base = two + page;
		expect(h, "iov_bad_first", result(do_preadv(h->fd, v, 3, 0)));
		for (size_t i = 0; i < ARRAY_SIZE(many); i++)
			many[i] = (struct iovec){ two + i % 64, 1 };
		expect(h, "iov_1024", result(do_preadv(h->fd, many, 1024, 0)));
		expect(h, "iov_1025", result(do_preadv(h->fd, many, 1025, 0)));
		expect(h, "iov_0", result(do_preadv(h->fd, many, 0, 0)));
		expect(h, "iov_minus_1",
		       result(do_preadv(h->fd, many, -1UL, 0)));
		expect(h, "iov_len_max", result(do_preadv(h->fd, wrong, 2, 0)));
		/* cut to MAX_RW_COUNT, or refused for the address that it ends at */
		(void)!do_preadv(h->fd, sum, 2, 0);
		expect(h, "iov_array_null",
		       result(do_preadv(h->fd, NULL, 3, 0)));
		expect(h, "iov_at_minus_2", result(do_preadv(h->fd, v, 1, -2)));
		expect(h, "rwf_nowait",
		       result(preadv2(h->fd, many, 1, 0, RWF_NOWAIT)));
		expect(h, "rwf_nowait_no_buffer",
		       result(preadv2(h->fresh[0], many, 1, 0, RWF_NOWAIT)));
		expect(h, "rwf_unknown",
		       result(preadv2(h->fd, many, 1, 0, 1 << 30)));
	}
	hostile_unmap(h, ro, page);
	hostile_unmap(h, two, 3 * page);
}

/* Into and out of a mapping of the very buffer, its pages not there yet where faults bring them */
HOSTILE(self_copy)
{
	char *p = mmap(NULL, h->len, PROT_READ | PROT_WRITE, MAP_SHARED, h->fd,
		       hostile_view(h));

	need(p != MAP_FAILED);
	expect(h, "read_into", result(do_pread(h->fd, p, h->size, 0)));
	check(hostile_pattern(h, p, 0, h->len));
	need(h->is & DMA || !madvise(p, h->len, MADV_DONTNEED));
	expect(h, "write_from", result(do_pwrite(h->fd, p, h->size, 0)));
	check(hostile_pattern(h, p, 0, h->len));
	need(h->is & DMA || !madvise(p, h->len, MADV_DONTNEED));
	expect(h, "read_tail",
	       result(do_pread(h->fd, p + h->size - 8, 8, h->size - 8)));
	hostile_unmap(h, p, h->len);
}

static ssize_t do_call(const struct hostile *h, int fd, void *p, uint64_t count,
		       uint64_t at)
{
	struct k2u_copy copy = { .offset = at,
				 .size = count,
				 .addr = (uintptr_t)p,
				 .method = h->id };

	return ioctl(fd, K2U_IOC_COPY, &copy);
}

HOSTILE(call)
{
	const size_t page = h->page, size = h->size;
	char *all = hostile_anon(h, h->len, PROT_READ | PROT_WRITE);
	char *two = hostile_anon(h, 2 * page, PROT_READ | PROT_WRITE);
	char *ro = hostile_anon(h, page, PROT_READ);
	const struct {
		const char *op;
		uint64_t at, count;
		ssize_t got;
	} cases[] = {
		{ "first", 0, 8, 8 },
		{ "count_0", 0, 0, 0 },
		{ "odd", 3, 2 * page, 2 * page },
		{ "last_byte", size - 1, 8, 1 },
		{ "at_size", size, 8, 0 },
		{ "at_size_plus_1", size + 1, 8, 0 },
		{ "at_len", h->len, 8, 0 },
		{ "at_4g", 1ULL << 32, 8, 0 },
		{ "at_2e63", 1ULL << 63, 8, 0 },
		{ "at_max", UINT64_MAX, 8, 0 },
		{ "count_2g", 0, 1ULL << 31, size },
		{ "count_4g", 0, 1ULL << 32, size },
		{ "count_2e63", 1, 1ULL << 63, size - 1 },
		{ "count_max", 8, UINT64_MAX, size - 8 },
	};
	const uint32_t others[] = { K2U_METHOD_fault, K2U_METHOD_read,
				    K2U_METHOD_null },
		       none[] = { ARRAY_SIZE(methods), 255, 1u << 31,
				  UINT32_MAX };
	struct k2u_copy copy = { .size = 8, .addr = (uintptr_t)all };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		ssize_t got =
			do_call(h, h->fd, all, cases[i].count, cases[i].at);

		expect(h, cases[i].op, result(got));
		check(got == cases[i].got);
		if (got >= 8 && cases[i].at % 8 == 0)
			check(hostile_pattern(h, all, cases[i].at, 8));
	}
	expect(h, "writeonly_file", result(do_call(h, h->wo, all, 8, 0)));
	expect(h, "null", result(do_call(h, h->fd, NULL, 8, 0)));
	expect(h, "null_0", result(do_call(h, h->fd, NULL, 0, 0)));
	expect(h, "null_past_end", result(do_call(h, h->fd, NULL, 8, size)));
	expect(h, "kernel",
	       result(do_call(h, h->fd, (void *)0xffffffff81000000ULL, 8, 0)));
	expect(h, "noncanonical",
	       result(do_call(h, h->fd, (void *)(1ULL << 56), 8, 0)));
	expect(h, "wraps",
	       result(do_call(h, h->fd, (void *)(UINTPTR_MAX - 7), size, 0)));
	expect(h, "readonly_memory", result(do_call(h, h->fd, ro, 8, 0)));
	hostile_unmap(h, two + page, page);
	expect(h, "unmapped", result(do_call(h, h->fd, two + page, 8, 0)));
	{
		ssize_t got = do_call(h, h->fd, two, 2 * page, 0);

		expect(h, "partly_unmapped", result(got));
		check(got > 0 && got <= (ssize_t)page);
		check(got < 0 || hostile_pattern(h, two, 0, (size_t)got));
	}
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		copy.method = others[i];
		expect(h, "other_method",
		       result(ioctl(h->fd, K2U_IOC_COPY, &copy)));
	}
	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		copy.method = none[i];
		expect(h, "no_method",
		       result(ioctl(h->fd, K2U_IOC_COPY, &copy)));
	}

	/* Into the device's own mappings: PFNs cannot be pinned */
	for (size_t m = 0; m < ARRAY_SIZE(methods); m++) {
		const bool pfn = methods[m].id == K2U_METHOD_pfn;
		char *p;
		ssize_t got;

		if (methods[m].id != K2U_METHOD_fault && !pfn)
			continue;
		need(!hostile_setup(h->fresh[pfn], hostile_paged(h), page));
		p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED,
			 h->fresh[pfn], K2U_MMAP_OFFSET(methods[m].id));
		need(p != MAP_FAILED);
		got = do_call(h, h->fd, p, page, 0);
		expect(h,
		       !pfn		       ? "into_fault" :
		       h->id == K2U_METHOD_pin ? "pin_pfn" :
						 "into_pfn",
		       result(got));
		check(got < 0 || hostile_pattern(h, p, 0, page));
		hostile_unmap(h, p, page);
	}
	hostile_unmap(h, ro, page);
	hostile_unmap(h, two, page);
	hostile_unmap(h, all, h->len);
}

HOSTILE(write)
{
	const size_t page = h->page, size = h->size;
	uint64_t *two =
		(void *)hostile_anon(h, 3 * page, PROT_READ | PROT_WRITE);
	char *bad = (char *)two + page;
	const struct {
		const char *op;
		uint64_t at;
		size_t count;
		ssize_t got;
	} cases[] = {
		{ "first", 0, 8, 8 },
		{ "count_0", 0, 0, 0 },
		{ "at_size_count_0", size, 0, 0 },
		{ "at_size", size, 8, -1 },
		{ "at_size_plus_1", size + 1, 8, -1 },
		{ "at_len", h->len, 8, -1 },
		{ "at_2g", 1ULL << 31, 8, -1 },
		{ "at_4g", 1ULL << 32, 8, -1 },
		{ "at_1t", 1ULL << 40, 8, -1 },
		{ "at_max_minus_8", INT64_MAX - 8, 8, -1 },
		{ "at_max_8", INT64_MAX, 8, -1 },
		{ "at_minus_1", UINT64_MAX, 8, -1 },
		{ "at_2e63", 1ULL << 63, 8, -1 },
		{ "count_max", 0, SIZE_MAX, -1 },
		{ "count_ssize_max", 0, SSIZE_MAX, -1 },
	};
	const size_t last = size / 8 * 8;
	ssize_t got;

	for (size_t i = 0; i < page / 8; i++)
		two[i] = k2u_pattern(SEED, i);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		got = do_pwrite(h->fd, two, cases[i].count, cases[i].at);
		expect(h, cases[i].op, result(got));
		check(got == cases[i].got);
	}
	expect(h, "readonly_file", result(do_pwrite(h->ro, two, 8, 0)));
	expect(h, "null", result(do_pwrite(h->fd, NULL, 8, 0)));
	expect(h, "kernel",
	       result(do_pwrite(h->fd, (void *)0xffffffff81000000ULL, 8, 0)));
	expect(h, "noncanonical",
	       result(do_pwrite(h->fd, (void *)(1ULL << 56), 8, 0)));

	/* Short at the end, and not a byte behind it */
	two[0] = k2u_pattern(SEED, last / 8);
	two[1] = 0;
	got = do_pwrite(h->fd, two, 16, last);
	expect(h, "past_end", result(got));
	check(got == (ssize_t)(size - last));
	{
		char *p = mmap(NULL, h->len, PROT_READ, MAP_SHARED, h->fd,
			       hostile_view(h));

		need(p != MAP_FAILED);
		check(hostile_pattern(h, p, 0, h->len));
		hostile_unmap(h, p, h->len);
	}
	two[0] = k2u_pattern(SEED, 0);
	two[1] = k2u_pattern(SEED, 1);

	hostile_unmap(h, bad, page);
	expect(h, "unmapped", result(do_pwrite(h->fd, bad, 8, 0)));
	got = do_pwrite(h->fd, two, 2 * page, 0);
	expect(h, "partly_unmapped", result(got));
	check(got > 0 && got <= (ssize_t)page);
	{
		struct iovec v[3] = { { two, 8 }, { bad, 8 }, { two, 8 } };

		got = pwritev(h->fd, v, 3, 0);
		expect(h, "iov_bad_middle", result(got));
		check(got == 8);
		v[0].iov_base = bad;
		expect(h, "iov_bad_first", result(pwritev(h->fd, v, 3, 0)));
	}
	/* O_APPEND: a device has no end to append at; the position counts */
	need(!fcntl(h->fd, F_SETFL, O_APPEND));
	need(!lseek(h->fd, 0, SEEK_SET));
	expect(h, "append", result(write(h->fd, two, 8)));
	need(!fcntl(h->fd, F_SETFL, 0));
	hostile_unmap(h, two, 3 * page);
}

HOSTILE(seek)
{
	const int64_t size = (int64_t)h->size;
	const struct {
		const char *op;
		int64_t at;
		int whence;
	} cases[] = {
		{ "set_0", 0, SEEK_SET },
		{ "set_size", size, SEEK_SET },
		{ "set_size_plus_1", size + 1, SEEK_SET },
		{ "set_minus_1", -1, SEEK_SET },
		{ "set_max", INT64_MAX, SEEK_SET },
		{ "set_min", INT64_MIN, SEEK_SET },
		{ "end_0", 0, SEEK_END },
		{ "end_1", 1, SEEK_END },
		{ "end_minus_size", -size, SEEK_END },
		{ "end_before_0", -size - 1, SEEK_END },
		{ "end_max", INT64_MAX, SEEK_END },
		{ "cur_0", 0, SEEK_CUR },
		{ "cur_before_0", -size - 1, SEEK_CUR },
		{ "cur_max", INT64_MAX, SEEK_CUR },
		{ "cur_min", INT64_MIN, SEEK_CUR },
		{ "data", 0, SEEK_DATA },
		{ "hole", 0, SEEK_HOLE },
		{ "whence_5", 0, 5 },
		{ "whence_minus_1", 0, -1 },
	};
	char byte;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		/* from the end, so that a relative one can go past it */
		need(lseek(h->fd, 0, SEEK_END) == size);
		expect(h, cases[i].op,
		       lseek(h->fd, cases[i].at, cases[i].whence) < 0 ? errno :
									0);
	}
	need(lseek(h->fd, 0, SEEK_END) == size);
	check(read(h->fd, &byte, 1) == 0);
}

/* Every other thing that one does to a file */
HOSTILE(file_ops)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct pollfd poll_fd = { .fd = h->fd, .events = POLLIN | POLLOUT };
	int pipes[2], ep = epoll_create1(EPOLL_CLOEXEC), tmp;
	char path[64];
	off_t at = 0;
	loff_t in = 0;

	need(ep >= 0 && !pipe2(pipes, O_CLOEXEC | O_NONBLOCK));
	snprintf(path, sizeof(path), "/tmp/k2u-file.%d", getpid());
	tmp = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	need(tmp >= 0 && write(tmp, path, sizeof(path)) == sizeof(path));
	unlink(path);

	expect(h, "splice_from",
	       result(splice(h->fd, &in, pipes[1], NULL, 64,
			     SPLICE_F_NONBLOCK)));
	check(h->is & DMA ||
	      read(pipes[0], path, sizeof(path)) == sizeof(path));
	need(write(pipes[1], "", 1) == 1);
	in = 0;
	expect(h, "splice_to",
	       result(splice(pipes[0], NULL, h->fd, &in, 1,
			     SPLICE_F_NONBLOCK)));
	expect(h, "sendfile_from", result(sendfile(tmp, h->fd, &at, 64)));
	at = 0;
	expect(h, "sendfile_to", result(sendfile(h->fd, tmp, &at, 1)));
	in = 0;
	expect(h, "copy_file_range_from",
	       result(copy_file_range(h->fd, &in, tmp, NULL, 64, 0)));
	in = 0;
	expect(h, "copy_file_range_to",
	       result(copy_file_range(tmp, &in, h->fd, NULL, 64, 0)));
	expect(h, "ftruncate", result(ftruncate(h->fd, 0)));
	expect(h, "fallocate", result(fallocate(h->fd, 0, 0, 4096)));
	expect(h, "punch_hole", result(fallocate(h->fd, 3, 0, 4096)));
	expect(h, "fsync", result(fsync(h->fd)));
	expect(h, "sync_file_range", result(sync_file_range(h->fd, 0, 0, 7)));
	expect(h, "readahead", result(readahead(h->fd, 0, 4096)));
	tmp = posix_fadvise(h->fd, 0, 0, POSIX_FADV_DONTNEED);
	expect(h, "fadvise", tmp);
	expect(h, "poll", poll(&poll_fd, 1, 0) == 1 ? 0 : EAGAIN);
	expect(h, "epoll", result(epoll_ctl(ep, EPOLL_CTL_ADD, h->fd, &event)));
	expect(h, "flock", result(flock(h->fd, LOCK_EX | LOCK_NB)));
	expect(h, "lease", result(fcntl(h->fd, F_SETLEASE, F_WRLCK)));
	expect(h, "seals", result(fcntl(h->fd, F_ADD_SEALS, 1)));
	expect(h, "setfl_direct", result(fcntl(h->fd, F_SETFL, O_DIRECT)));
	expect(h, "setfl_async", result(fcntl(h->fd, F_SETFL, O_ASYNC)));
	need(!fcntl(h->fd, F_SETFL, 0));
	expect(h, "getdents", result(syscall(SYS_getdents64, h->fd, path, 64)));
	expect(h, "fchdir", result(fchdir(h->fd)));
}

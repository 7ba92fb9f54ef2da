// SPDX-License-Identifier: GPL-2.0
/*
 * Every way to copy out of the file, each with hostile positions, counts and
 * memory; and the calls that the ways by a pipe and by io_uring are made of.
 */
#include <signal.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include "hostile.h"

static ssize_t do_copy(const struct hostile *h, int fd, void *p, size_t size,
		       uint64_t at)
{
	return copy_by(methods[h->id].access, h->id, fd, p, size, at);
}

/* Reads and reads until it is killed */
static int copy_on(const struct hostile *h, void *arg)
{
	for (;;)
		(void)!do_copy(h, h->fd, arg, h->size, 0);
	return 0;
}

HOSTILE(way)
{
	const size_t page = h->page, size = h->size;
	const bool fixed = methods[h->id].access == K2U_ACCESS_FIXED,
		   socket = methods[h->id].access == K2U_ACCESS_SOCKET;
	char *all = hostile_anon(h, h->len, PROT_READ | PROT_WRITE);
	char *two = hostile_anon(h, 2 * page, PROT_READ | PROT_WRITE);
	char *ro = hostile_anon(h, page, PROT_READ);
	const struct {
		const char *op;
		uint64_t at;
		size_t count;
		ssize_t got;
	} cases[] = {
		{ "first", 0, 8, 8 },
		{ "count_0", 0, 0, 0 },
		{ "odd", 3, 2 * page, (ssize_t)(2 * page) },
		{ "across_pages", page - 1, 2, 2 },
		{ "last_byte", size - 1, 8, 1 },
		{ "to_the_end", 8, h->len, (ssize_t)size - 8 },
		{ "at_size", size, 8, 0 },
		{ "at_size_plus_1", size + 1, 8, 0 },
		{ "at_len", h->len, 8, 0 },
		{ "at_2g", 1ULL << 31, 8, 0 },
		{ "at_4g", 1ULL << 32, 8, 0 },
		{ "at_1t", 1ULL << 40, 8, 0 },
		{ "at_max_minus_8", INT64_MAX - 8, 8, 0 },
	};
	ssize_t got;
	pid_t pid;
	char *p;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(all, 0, h->len);
		got = do_copy(h, h->fd, all, cases[i].count, cases[i].at);
		expect(h, cases[i].op, result(got));
		check(got == cases[i].got);
		for (ssize_t n = 0; n < got; n++)
			if ((uint8_t)all[n] !=
			    pattern_byte(SEED, cases[i].at + (size_t)n)) {
				check(!"the buffer's bytes");
				break;
			}
		/* And not one more */
		check(got < 0 || got == (ssize_t)h->len || !all[got]);
	}
	expect(h, "writeonly_file", result(do_copy(h, h->wo, all, 8, 0)));
	expect(h, "readonly_file", result(do_copy(h, h->ro, all, 8, 0)));
	expect(h, "no_file", result(do_copy(h, -1, all, 8, 0)));
	expect(h, "null", result(do_copy(h, h->fd, NULL, 8, 0)));
	expect(h, "null_0", result(do_copy(h, h->fd, NULL, 0, 0)));
	expect(h, "kernel",
	       result(do_copy(h, h->fd, (void *)0xffffffff81000000ULL, 8, 0)));
	expect(h, "noncanonical",
	       result(do_copy(h, h->fd, (void *)(1ULL << 56), 8, 0)));
	expect(h, "readonly_memory", result(do_copy(h, h->fd, ro, 8, 0)));
	/* No buffer yet: the default one is made, and has nobody's bytes */
	memset(all, 1, 8);
	expect(h, "no_buffer", result(do_copy(h, h->fresh[0], all, 8, 0)));
	check(!memcmp(all, "\0\0\0\0\0\0\0", 8));

	hostile_unmap(h, two + page, page);
	expect(h, "unmapped", result(do_copy(h, h->fd, two + page, 8, 0)));
	got = do_copy(h, h->fd, two, 2 * page, 0);
	/* A registered buffer is all there, and so is what recv() takes of a socket's buffer */
	expect(h,
	       fixed  ? "partly_registered" :
	       socket ? "partly_received" :
			"partly_unmapped",
	       result(got));
	check(fixed || socket || (got > 0 && got <= (ssize_t)page));
	check(got < 8 || hostile_pattern(h, two, 0, (size_t)got));

	/* Into a mapping of the device's own */
	need(!hostile_setup(h->fresh[1], hostile_paged(h), page));
	p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, h->fresh[1],
		 K2U_MMAP_OFFSET(K2U_METHOD_fault));
	need(p != MAP_FAILED);
	got = do_copy(h, h->fd, p, page, 0);
	expect(h, fixed ? "into_registered" : "into_fault", result(got));
	check(got < 0 || hostile_pattern(h, p, 0, page));
	hostile_unmap(h, p, page);

	pid = hostile_fork(h);
	if (!pid)
		_exit(copy_on(h, all));
	usleep(20000);
	kill(pid, SIGKILL);
	expect(h, "killed", hostile_wait(h, pid));
	hostile_unmap(h, ro, page);
	hostile_unmap(h, two, page);
	hostile_unmap(h, all, h->len);
}

static ssize_t to_pipe(int fd, int pipe, size_t count, int64_t at)
{
	return syscall(SYS_splice, fd, &at, pipe, NULL, count,
		       SPLICE_F_NONBLOCK);
}

/* The pipe gives the buffer's bytes from at on, and no more */
static bool gives(const struct hostile *h, int pipe, size_t at, size_t len)
{
	char *p = hostile_anon(h, len + 8, PROT_READ | PROT_WRITE);
	bool same = read(pipe, p, len + 8) == (ssize_t)len;

	same = same && hostile_pattern(h, p, at, len);
	munmap(p, len + 8);
	return same;
}

/* A pipe with pages of a file that has been closed by now */
static void closed_file(const struct hostile *h, int *ends, int fd)
{
	uint64_t *p =
		(void *)hostile_anon(h, 2 * h->page, PROT_READ | PROT_WRITE);
	struct k2u_info info = { 0 };

	for (size_t i = 0; i < 2 * h->page / 8; i++)
		p[i] = k2u_pattern(SEED, i);
	need(!hostile_setup(fd, h->backing, 2 * h->page));
	need(pwrite(fd, p, 2 * h->page, 0) == (ssize_t)(2 * h->page));
	expect(h, "pages", result(to_pipe(fd, ends[1], 2 * h->page, 0)));
	need(!close(fd));
	need(!ioctl(h->ro, K2U_IOC_INFO, &info));
	hostile_unmap(h, p, 2 * h->page);
}

HOSTILE(splice)
{
	const size_t page = h->page, size = h->size;
	const int64_t positions[] = { (int64_t)size, (int64_t)size + 1,
				      (int64_t)h->len, 1LL << 40,
				      INT64_MAX - 8 };
	int ends[2], other[2], sock[2], file;
	char *two = hostile_anon(h, 2 * page, PROT_READ | PROT_WRITE);
	char path[64];
	loff_t at = 0;
	ssize_t got;

	signal(SIGPIPE, SIG_IGN);
	need(!pipe2(ends, O_CLOEXEC | O_NONBLOCK) &&
	     !pipe2(other, O_CLOEXEC | O_NONBLOCK));
	need(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
			 sock));

	/* Arguments */
	for (size_t i = 0; i < ARRAY_SIZE(positions); i++) {
		got = to_pipe(h->fd, ends[1], 8, positions[i]);
		expect(h, "past_end", result(got));
		check(got == 0);
	}
	expect(h, "at_minus_1", result(to_pipe(h->fd, ends[1], 8, -1)));
	expect(h, "at_min", result(to_pipe(h->fd, ends[1], 8, INT64_MIN)));
	expect(h, "count_0", result(to_pipe(h->fd, ends[1], 0, 0)));
	expect(h, "writeonly_file", result(to_pipe(h->wo, ends[1], 8, 0)));
	expect(h, "to_read_end", result(to_pipe(h->fd, ends[0], 8, 0)));
	expect(h, "to_no_pipe", result(to_pipe(h->fd, h->fd, 8, 0)));
	expect(h, "position_null",
	       result(syscall(SYS_splice, h->fd, 8, ends[1], NULL, 8, 0)));
	expect(h, "unknown_flag",
	       result(splice(h->fd, &at, ends[1], NULL, 8, 1u << 30)));
	need(!lseek(h->fd, 0, SEEK_SET));
	got = splice(h->fd, NULL, ends[1], NULL, 16, 0);
	expect(h, "by_position", result(got));
	check(got == 16 && lseek(h->fd, 0, SEEK_CUR) == 16 &&
	      gives(h, ends[0], 0, 16));
	got = to_pipe(h->fd, ends[1], 1UL << 40, 8);
	expect(h, "count_1t", result(got));
	check(got == (ssize_t)size - 8);
	while (read(ends[0], two, 2 * page) > 0)
		;

	/* No room, little room, nobody who reads */
	need(fcntl(other[1], F_SETPIPE_SZ, page) == (int)page);
	got = to_pipe(h->fd, other[1], 2 * page, 8);
	expect(h, "little_room", result(got));
	check(got == (ssize_t)page - 8);
	expect(h, "full", result(to_pipe(h->fd, other[1], 8, 0)));
	check(gives(h, other[0], 8, page - 8));
	close(other[0]);
	expect(h, "no_reader", result(to_pipe(h->fd, other[1], 8, 0)));
	close(other[1]);
	need(!pipe2(other, O_CLOEXEC | O_NONBLOCK));

	/* A page in a pipe is still the buffer's: nobody writes to it */
	need(to_pipe(h->fd, ends[1], 8, 0) == 8);
	expect(h, "append", result(write(ends[1], "appended", 8)));
	check(read(ends[0], two, 64) == 16 && hostile_pattern(h, two, 0, 8) &&
	      !memcmp(two + 8, "appended", 8));
	need(to_pipe(h->fd, ends[1], 2 * page, 0) == (ssize_t)(2 * page));
	got = tee(ends[0], other[1], 2 * page, SPLICE_F_NONBLOCK);
	expect(h, "tee", result(got));
	check(got == (ssize_t)(2 * page) && gives(h, other[0], 0, 2 * page));
	/* ... nor does a page cache take it over */
	snprintf(path, sizeof(path), "/tmp/k2u-splice.%d", getpid());
	file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	need(file >= 0);
	unlink(path);
	got = splice(ends[0], NULL, file, NULL, 2 * page,
		     SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	expect(h, "move_to_file", result(got));
	check(got == (ssize_t)(2 * page) &&
	      pread(file, two, 2 * page, 0) == (ssize_t)(2 * page) &&
	      hostile_pattern(h, two, 0, 2 * page));
	memset(two, 0xff, 2 * page);
	need(pwrite(file, two, 2 * page, 0) == (ssize_t)(2 * page));
	close(file);
	need(to_pipe(h->fd, ends[1], 8, 0) == 8);
	expect(h, "back",
	       result(splice(ends[0], NULL, h->fd, &at, 8, SPLICE_F_NONBLOCK)));
	check(gives(h, ends[0], 0, 8));

	/* On to a socket: room, no peer */
	do {
		(void)!to_pipe(h->fd, ends[1], size, 0);
		got = splice(ends[0], NULL, sock[0], NULL, size,
			     SPLICE_F_NONBLOCK);
	} while (got > 0);
	expect(h, "socket_full", result(got));
	check(recv(sock[1], two, 8, 0) == 8 && hostile_pattern(h, two, 0, 8));
	close(sock[1]);
	expect(h, "no_peer",
	       result(splice(ends[0], NULL, sock[0], NULL, 8,
			     SPLICE_F_NONBLOCK)));
	close(sock[0]);
	while (read(ends[0], two, 2 * page) > 0)
		;

	/* The pages outlive their file: whoever has memory next has other pages */
	closed_file(h, ends, h->fresh[0]);
	need(!hostile_setup(h->fresh[1], h->backing, 64 * page));
	check(gives(h, ends[0], 0, 2 * page));
	if (methods[h->id].access == K2U_ACCESS_SOCKET) {
		need(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock));
		closed_file(h, ends, h->fresh[2]);
		expect(h, "on",
		       result(splice(ends[0], NULL, sock[0], NULL, 2 * page,
				     SPLICE_F_NONBLOCK)));
		need(!hostile_setup(h->fresh[3], h->backing, 64 * page));
		check(recv(sock[1], two, 2 * page, MSG_WAITALL) ==
			      (ssize_t)(2 * page) &&
		      hostile_pattern(h, two, 0, 2 * page));
		close(sock[0]);
		close(sock[1]);
	}
	for (int i = 0; i < 2; i++) {
		close(ends[i]);
		close(other[i]);
	}
	hostile_unmap(h, two, 2 * page);
}

/* Submits and does not wait */
static int leave(const struct hostile *h, void *arg)
{
	struct ring *r = own_ring(0);

	need(r);
	*r->sqe = (struct io_uring_sqe){ .opcode = IORING_OP_READ,
					 .flags = IOSQE_ASYNC,
					 .fd = h->fd,
					 .addr = (uintptr_t)arg,
					 .len = (uint32_t)h->size };
	__atomic_store_n(r->sq_tail, *r->sq_tail + 1, __ATOMIC_RELEASE);
	need(syscall(SYS_io_uring_enter, r->fd, 1, 0, 0, NULL, 0) == 1);
	return 0;
}

static int command(int fd, uint32_t op, unsigned int flags,
		   const struct k2u_copy *copy)
{
	struct ring *r = own_ring(flags);

	if (!r)
		return errno;
	*r->sqe = (struct io_uring_sqe){ .opcode = IORING_OP_URING_CMD,
					 .fd = fd,
					 .cmd_op = op };
	/* Of an SQE that has no room for all of it: the beginning */
	memcpy(r->sqe->cmd, copy, flags ? sizeof(*copy) : 16);
	return result(ring_result(r));
}

HOSTILE(uring_cmd)
{
	char *all = hostile_anon(h, h->len, PROT_READ | PROT_WRITE);
	const unsigned int wide = IORING_SETUP_SQE128;
	const struct k2u_copy good = { .size = 8,
				       .addr = (uintptr_t)all,
				       .method = h->id };
	const struct {
		const char *op;
		uint64_t at, count;
		ssize_t got;
	} cases[] = {
		{ "at_2e63", 1ULL << 63, 8, 0 },
		{ "at_max", UINT64_MAX, 8, 0 },
		{ "count_4g", 0, 1ULL << 32, (ssize_t)h->size },
		{ "count_2e63", 1, 1ULL << 63, (ssize_t)h->size - 1 },
		{ "count_max", 8, UINT64_MAX, (ssize_t)h->size - 8 },
	};
	struct k2u_copy copy;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		copy = good;
		copy.offset = cases[i].at;
		copy.size = cases[i].count;
		ssize_t got = copy_by_cmd(h->fd, &copy, 0);

		expect(h, cases[i].op, result(got));
		check(got == cases[i].got);
	}
	expect(h, "other_command", command(h->fd, K2U_IOC_INFO, wide, &good));
	expect(h, "no_command", command(h->fd, UINT32_MAX, wide, &good));
	expect(h, "short_sqe", command(h->fd, K2U_IOC_COPY, 0, &good));
	for (size_t i = 0; i < ARRAY_SIZE(copy.reserved); i++) {
		copy = good;
		copy.reserved[i] = 1ULL << 63;
		expect(h, "reserved",
		       command(h->fd, K2U_IOC_COPY, wide, &copy));
	}
	copy = good;
	copy.flags = 1;
	expect(h, "flag", command(h->fd, K2U_IOC_COPY, wide, &copy));
	copy = good;
	copy.method = K2U_METHOD_ioctl;
	expect(h, "other_method", command(h->fd, K2U_IOC_COPY, wide, &copy));
	copy.method = ARRAY_SIZE(methods);
	expect(h, "no_method", command(h->fd, K2U_IOC_COPY, wide, &copy));
	expect(h, "worker", result(copy_by_cmd(h->fd, &good, IOSQE_ASYNC)));
	check(hostile_pattern(h, all, 0, 8));
	/* It is io_uring's alone */
	expect(h, "by_ioctl", result(ioctl(h->fd, K2U_IOC_COPY, &good)));
	hostile_unmap(h, all, h->len);
}

HOSTILE(uring)
{
	char *all = hostile_anon(h, h->len, PROT_READ | PROT_WRITE);
	const uint32_t access = methods[h->id].access;
	struct iovec iov = { all, h->len };
	struct ring *r = own_ring(0);
	ssize_t got;

	need(r);
	got = access == K2U_ACCESS_URING ?
		      copy_by_uring(h->fd, all, h->size, 0, IOSQE_ASYNC) :
		      copy_by_fixed(h->fd, all, h->size, 0, IOSQE_ASYNC);
	/* A worker copies: the same bytes */
	expect(h, "worker", result(got));
	check(got == (ssize_t)h->size && hostile_pattern(h, all, 0, 8));
	if (access == K2U_ACCESS_FIXED) {
		/* What is registered outlives its descriptor and its mapping */
		need(!ring_register(r, IORING_REGISTER_FILES, &h->fresh[0], 1));
		need(!ring_register(r, IORING_REGISTER_BUFFERS, &iov, 1));
		need(!hostile_setup(h->fresh[0], h->backing, h->page));
		need(!close(h->fresh[0]));
		*r->sqe = (struct io_uring_sqe){ .opcode = IORING_OP_READ_FIXED,
						 .flags = IOSQE_FIXED_FILE,
						 .addr = (uintptr_t)all,
						 .len = (uint32_t)h->len };
		memset(all, 1, h->page);
		got = ring_result(r);
		expect(h, "closed_file", result(got));
		check(got == (ssize_t)h->page && !all[0]);
		hostile_unmap(h, all, h->len);
		*r->sqe = (struct io_uring_sqe){ .opcode = IORING_OP_READ_FIXED,
						 .flags = IOSQE_FIXED_FILE,
						 .addr = (uintptr_t)all,
						 .len = 8 };
		expect(h, "unmapped_buffer", result(ring_result(r)));
		*r->sqe = (struct io_uring_sqe){ .opcode = IORING_OP_READ_FIXED,
						 .flags = IOSQE_FIXED_FILE,
						 .addr = (uintptr_t)all +
							 h->len - 4,
						 .len = 8 };
		expect(h, "past_buffer", result(ring_result(r)));
		*r->sqe = (struct io_uring_sqe){ .opcode = IORING_OP_READ_FIXED,
						 .flags = IOSQE_FIXED_FILE,
						 .fd = 1,
						 .addr = (uintptr_t)all,
						 .len = 8 };
		expect(h, "no_slot", result(ring_result(r)));
		need(!ring_register(r, IORING_UNREGISTER_FILES, NULL, 0));
		need(!ring_register(r, IORING_UNREGISTER_BUFFERS, NULL, 0));
		return;
	}
	/* The process ends while its read is under way */
	expect(h, "leave", hostile_child(h, leave, all));
	hostile_unmap(h, all, h->len);
}

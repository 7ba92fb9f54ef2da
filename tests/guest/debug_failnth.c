// SPDX-License-Identifier: GPL-2.0
/*
 * Every operation with its n-th allocation or user copy failing, n = 1, 2, ...
 * until none is left to fail (Documentation/fault-injection, fail-nth). After
 * each: an error that the ABI names or a result that is right, no mapping and
 * no byte too many, the contents as they were, and the same operation works.
 *
 * For a kernel with FAULT_INJECTION (6.12-debug), run by tests/debug.sh. PATTERN is of
 * tests: debug_failnth "failnth/stream*".
 */
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <sys/utsname.h>

#include "limits.h"
#include "skb.h"

/* Tests have the argument that all have */
#pragma GCC diagnostic ignored "-Wunused-parameter"

#define PAGES 8
#define GIVE_UP 5000 /* no operation here makes so many attempts */
/* Nothing is near: every level of its page tables is allocated */
#define AWAY ((char *)0x200000000000)
#define AWAY_TOO (AWAY + (1UL << 40))
/* In the same PTE table */
#define NEARBY (1UL << 20)

static int nth_fd = -1;
static bool armed, fired;

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		fail_msg("%s: %s", path, strerror(errno));
	close(fd);
}

static void arm(unsigned int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", n);

	armed = true;
	assert_int_equal(pwrite(nth_fd, text, len, 0), len);
}

/* Nothing fails from here on; sets fired, whether the n-th was reached. */
static void disarm(void)
{
	char text[16] = "";

	if (!armed)
		return;
	/* The read's own copy may be the n-th: then nothing else was */
	fired = pread(nth_fd, text, sizeof(text), 0) > 0 &&
		strtoul(text, NULL, 10) == 0;
	while (pwrite(nth_fd, "0", 1, 0) != 1)
		;
	armed = false;
}

/* What an operation works on. */
struct scene {
	const char *name;
	uint32_t id, backing;
	size_t size;
	int fd, other, watch, event;
	char *map, *buf;
	bool odd; /* the second of two forms of the operation */
	/* what it left to be undone */
	int got_fd;
	void *got_map;
};

struct op {
	const char *name;
	/* Before each attempt; NULL: nothing */
	void (*prepare)(struct scene *s);
	/* Between arm and disarm: one system call or touch; 0 or an errno */
	int (*run)(struct scene *s);
	/* After a success or, with failed, after the n-th failed */
	void (*check)(struct scene *s, bool failed);
	void (*clean)(struct scene *s);
	int errors[4];
	/* FEW: a fork takes hundreds of attempts, most of them not at our part */
	enum { ONCE, BACKINGS, ROWS, FEW } over;
	bool odd;
};

#define DONE(call) ((call) < 0 ? errno : 0)

/* ---- files ---- */

/* What the scene's buffer takes of the bound: whole compound pages, and orders */
static uint64_t taken(const struct scene *s)
{
	uint64_t bytes = page_size();

	if (s->backing == K2U_BACKING_HUGE)
		bytes = info(s->watch).pmd_size;
	while ((s->backing == K2U_BACKING_HUGE ||
		s->backing == K2U_BACKING_DMA) &&
	       bytes < s->size)
		bytes *= 2;
	return s->backing == K2U_BACKING_HUGE || s->backing == K2U_BACKING_DMA ?
		       bytes :
		       s->size;
}

static int run_open(struct scene *s)
{
	s->got_fd = open(K2U_DEVICE, O_RDWR | O_CLOEXEC);
	return s->got_fd < 0 ? errno : 0;
}

static void check_none(struct scene *s, bool failed)
{
	assert_int_equal(info(s->watch).used_bytes, 0);
}

static void clean_open(struct scene *s)
{
	if (s->got_fd >= 0)
		close(s->got_fd);
}

static void prepare_open(struct scene *s)
{
	s->fd = open_k2u(O_RDWR);
}

static void clean_close(struct scene *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

static void prepare_buffer(struct scene *s)
{
	s->fd = open_buffer(s->backing, s->size);
}

/* close never fails, whatever does */
static int run_close(struct scene *s)
{
	const int err = DONE(close(s->fd));

	s->fd = -1;
	return err;
}

/* ---- set-up ---- */

static int run_setup(struct scene *s)
{
	struct k2u_setup setup = {
		.size = s->size,
		.backing = s->backing,
		.node = K2U_NODE_ANY,
		.flags = K2U_SETUP_FILL,
		.seed = SEED,
	};

	return DONE(ioctl(s->fd, K2U_IOC_SETUP, &setup));
}

/* The whole buffer is there, or nothing of it. */
static void check_setup(struct scene *s, bool failed)
{
	assert_int_equal(info(s->watch).used_bytes, failed ? 0 : taken(s));
	assert_int_equal(info(s->fd).size, failed ? 0 : s->size);
	if (failed)
		return;
	assert_int_equal(pread(s->fd, s->buf, s->size, 0), s->size);
	assert_pattern(s->buf, 0, s->size);
}

/* The first use makes the default buffer: all of it, or the use failed */
static void check_default(struct scene *s, bool failed)
{
	const struct k2u_info i = info(s->fd);

	assert_int_equal(info(s->watch).used_bytes, i.size);
	if (i.size)
		assert_int_equal(i.size, i.default_bytes);
	else if (!failed)
		fail_msg("no buffer was made");
}

static int run_read(struct scene *s)
{
	return DONE(pread(s->fd, s->buf, s->size, 0));
}

static int run_write(struct scene *s)
{
	return DONE(pwrite(s->fd, s->buf, s->size, 0));
}

static int run_llseek(struct scene *s)
{
	return DONE(
		lseek(s->fd, s->odd ? -1 : 0, s->odd ? SEEK_END : SEEK_SET));
}

static int run_fill(struct scene *s)
{
	struct k2u_fill fill = { .seed = SEED };

	return DONE(ioctl(s->fd, K2U_IOC_FILL, &fill));
}

static int run_checksum(struct scene *s)
{
	struct k2u_checksum sum = { .size = s->size };

	return DONE(ioctl(s->fd, K2U_IOC_CHECKSUM, &sum));
}

static int run_counters(struct scene *s)
{
	struct k2u_counters c = { 0 };

	return DONE(ioctl(s->fd, K2U_IOC_COUNTERS, &c));
}

static int run_info(struct scene *s)
{
	struct k2u_info i = { 0 };

	return DONE(ioctl(s->fd, K2U_IOC_INFO, &i));
}

/* ---- a buffer and its bytes ---- */

static void prepare_bytes(struct scene *s)
{
	prepare_buffer(s);
	for (size_t i = 0; i < s->size; i++)
		s->buf[i] = (char)pattern_byte(SEED, i);
}

static void check_bytes(struct scene *s, bool failed)
{
	assert_int_equal(info(s->watch).used_bytes, taken(s));
	assert_int_equal(kernel_hash(s->fd, s->size),
			 user_hash(s->buf, s->size));
	assert_pattern(s->buf, 0, s->size);
	assert_int_equal(counters(s->fd).vmas, 0);
}

/* The whole buffer, by copy_to_user(); odd: into pinned pages */
static int run_copy(struct scene *s)
{
	struct k2u_copy copy = {
		.size = s->size,
		.addr = (uintptr_t)s->buf,
		.method = s->odd ? K2U_METHOD_pin : K2U_METHOD_ioctl,
	};

	return DONE(ioctl(s->fd, K2U_IOC_COPY, &copy));
}

static int run_readv(struct scene *s)
{
	const struct iovec iov[] = { { s->buf, 100 },
				     { s->buf + 100, s->size - 100 } };

	return DONE(preadv(s->fd, iov, 2, 0));
}

static int run_writev(struct scene *s)
{
	const struct iovec iov[] = { { s->buf, 100 },
				     { s->buf + 100, s->size - 100 } };

	return DONE(pwritev(s->fd, iov, 2, 0));
}

static int run_export(struct scene *s)
{
	struct k2u_export arg = { 0 };

	s->got_fd = ioctl(s->fd, K2U_IOC_EXPORT, &arg);
	return DONE(s->got_fd);
}

/* What has failed holds nothing of the file, which then is the last to go */
static void check_export(struct scene *s, bool failed)
{
	if (!failed)
		return;
	assert_int_equal(close(s->fd), 0);
	assert_int_equal(info(s->watch).used_bytes, 0);
	prepare_buffer(s);
}

/* ---- a ring of records ---- */

#define RECORDS 5

/* odd: one that signals an eventfd */
static struct k2u_stream stream_of(const struct scene *s)
{
	return (struct k2u_stream){ .record_size = K2U_RECORD_MIN,
				    .flags = s->odd ? K2U_STREAM_EVENTFD : 0,
				    .seed = SEED,
				    .eventfd = s->odd ? s->event : 0 };
}

static int run_stream(struct scene *s)
{
	struct k2u_stream arg = stream_of(s);

	s->got_fd = ioctl(s->fd, K2U_IOC_STREAM, &arg);
	return DONE(s->got_fd);
}

static int run_stream_timer(struct scene *s)
{
	struct k2u_stream arg = stream_of(s);

	arg.source = K2U_STREAM_TIMER;
	arg.period_ns = K2U_PERIOD_MIN;
	s->got_fd = ioctl(s->fd, K2U_IOC_STREAM, &arg);
	return DONE(s->got_fd);
}

/* Of what failed nothing is left: neither a descriptor nor the ring */
static void check_stream(struct scene *s, bool failed)
{
	struct k2u_stream arg = stream_of(s);
	struct k2u_stream_info info = { 0 };
	const int fd = ioctl(s->fd, K2U_IOC_STREAM, &arg);

	if (!failed) {
		assert_int_equal(fd, -1);
		assert_int_equal(errno, EBUSY);
		assert_int_equal(ioctl(s->got_fd, K2U_IOC_STREAM_INFO, &info),
				 0);
		return;
	}
	assert_true(fd >= 0);
	close(fd);
}

/* other: the number of the next descriptor */
static void prepare_stream(struct scene *s)
{
	prepare_buffer(s);
	s->event = s->odd ? eventfd(0, EFD_CLOEXEC) : -1;
	assert_true(!s->odd || s->event >= 0);
	s->other = dup(s->watch);
	close(s->other);
}

static void clean_default(struct scene *s)
{
	if (s->got_fd >= 0)
		close(s->got_fd);
	clean_close(s);
}

static void clean_stream(struct scene *s)
{
	if (s->got_fd >= 0)
		close(s->got_fd);
	s->got_fd = dup(s->watch);
	assert_int_equal(s->got_fd, s->other);
	clean_default(s);
	if (s->event >= 0)
		close(s->event);
}

static void prepare_ring(struct scene *s)
{
	struct k2u_stream arg = stream_of(s);

	prepare_buffer(s);
	s->other = ioctl(s->fd, K2U_IOC_STREAM, &arg);
	assert_true(s->other >= 0);
}

static void prepare_records(struct scene *s)
{
	struct k2u_produce arg = { .count = RECORDS };

	prepare_ring(s);
	assert_int_equal(ioctl(s->other, K2U_IOC_PRODUCE, &arg), 0);
	memset(s->buf, 0, s->size);
}

static void clean_ring(struct scene *s)
{
	close(s->other);
	clean_close(s);
}

static int run_produce(struct scene *s)
{
	struct k2u_produce arg = { .count = RECORDS };

	return DONE(ioctl(s->other, K2U_IOC_PRODUCE, &arg));
}

/* All of them or none, and all the counters say so */
static void check_produce(struct scene *s, bool failed)
{
	struct k2u_stream_info info = { 0 };

	assert_int_equal(ioctl(s->other, K2U_IOC_STREAM_INFO, &info), 0);
	if (info.produced != RECORDS)
		assert_true(failed && !info.produced);
	assert_int_equal(info.dropped, 0);
	assert_int_equal(info.consumed, 0);
}

static int run_stream_info(struct scene *s)
{
	struct k2u_stream_info info = { 0 };

	return DONE(ioctl(s->other, K2U_IOC_STREAM_INFO, &info));
}

static void check_records(struct scene *s, bool failed)
{
	struct k2u_stream_info info = { 0 };

	assert_int_equal(ioctl(s->other, K2U_IOC_STREAM_INFO, &info), 0);
	assert_int_equal(info.produced, RECORDS);
	assert_int_equal(info.consumed, 0);
}

static int run_take(struct scene *s)
{
	return DONE(read(s->other, s->buf, s->size));
}

/* So many are consumed as were read, whole, from the first on */
static void check_take(struct scene *s, bool failed)
{
	const struct k2u_record *record;
	struct k2u_stream_info info = { 0 };

	assert_int_equal(ioctl(s->other, K2U_IOC_STREAM_INFO, &info), 0);
	if (failed)
		assert_int_equal(info.consumed, 0);
	else
		assert_in_range(info.consumed, 1, RECORDS);
	for (uint64_t i = 0; i < info.consumed; i++) {
		record = (const void *)(s->buf + i * K2U_RECORD_MIN);
		assert_int_equal(record->seq, i);
		assert_int_equal(record->size, K2U_RECORD_MIN - 32);
	}
}

/* ---- packets by reference ---- */

#define PACKET 3 /* pages */

/* Of two slots: kvzalloc() of what a page has room for does not try again */
static int run_stream_pages(struct scene *s)
{
	const size_t room = s->size - K2U_RING_DATA(page_size());
	struct k2u_stream arg = {
		.source = K2U_STREAM_UDP,
		.record_size = (uint32_t)(room / 2 & ~7UL),
		.port = PORT,
		.flags = K2U_STREAM_PAGES | K2U_STREAM_STEAL,
	};

	s->got_fd = ioctl(s->fd, K2U_IOC_STREAM, &arg);
	return DONE(s->got_fd);
}

/* other: a stream that has a packet */
static void prepare_packet(struct scene *s)
{
	prepare_buffer(s);
	assert_int_equal(run_stream_pages(s), 0);
	s->other = s->got_fd;
	s->got_fd = -1;
	send_pages(PACKET, SEED);
	assert_true(comes(s->other, 0));
}

static int run_window(struct scene *s)
{
	s->got_map = mmap(AWAY, s->size, PROT_READ, MAP_SHARED, s->other, 0);
	return s->got_map == MAP_FAILED ? errno : 0;
}

static int run_stream_map(struct scene *s)
{
	struct k2u_stream_map arg = { .addr = (uintptr_t)AWAY, .records = 1 };

	return DONE(ioctl(s->other, K2U_IOC_STREAM_MAP, &arg));
}

/* What failed is no window, or has mapped nothing that cannot be given back */
static void check_window(struct scene *s, bool failed)
{
	if (s->got_map == MAP_FAILED)
		assert_int_equal(run_window(s), 0);
	assert_int_equal(madvise(AWAY, s->size, MADV_DONTNEED), 0);
	assert_int_equal(run_stream_map(s), 0);
	assert_pattern(AWAY, 0, PACKET * page_size());
}

static void clean_window(struct scene *s)
{
	if (s->got_map != MAP_FAILED)
		assert_int_equal(munmap(AWAY, s->size), 0);
	clean_ring(s);
}

static void prepare_window(struct scene *s)
{
	prepare_packet(s);
	assert_int_equal(run_window(s), 0);
}

/* ---- mappings ---- */

static int run_mmap(struct scene *s)
{
	s->got_map = mmap(AWAY, s->size, PROT_READ | PROT_WRITE,
			  s->odd ? MAP_PRIVATE : MAP_SHARED, s->fd,
			  (off_t)K2U_MMAP_OFFSET(s->id));
	return s->got_map == MAP_FAILED ? errno : 0;
}

static void check_mmap(struct scene *s, bool failed)
{
	assert_int_equal(counters(s->fd).vmas, failed ? 0 : 1);
	if (failed)
		return;
	assert_pattern(s->got_map, 0, s->size);
	assert_int_equal(info(s->watch).used_bytes, taken(s));
}

static void clean_mmap(struct scene *s)
{
	if (s->got_map != MAP_FAILED)
		assert_int_equal(munmap(s->got_map, s->size), 0);
	assert_int_equal(counters(s->fd).vmas, 0);
	clean_close(s);
}

static void prepare_map(struct scene *s)
{
	prepare_buffer(s);
	s->map = mmap(AWAY, s->size, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd,
		      (off_t)K2U_MMAP_OFFSET(s->id));
	assert_ptr_equal(s->map, AWAY);
	s->got_map = MAP_FAILED;
}

static void check_map(struct scene *s, bool failed)
{
	assert_int_equal(counters(s->fd).vmas, 1);
	assert_pattern(s->map, 0, s->size);
	assert_int_equal(kernel_hash(s->fd, s->size),
			 user_hash(s->map, s->size));
}

static void clean_map(struct scene *s)
{
	assert_int_equal(munmap(s->map, s->size), 0);
	assert_int_equal(counters(s->fd).vmas, 0);
	clean_close(s);
}

/* A fault that finds no memory is taken again: the program sees nothing */
static int run_touch(struct scene *s)
{
	volatile char *p = s->map;

	for (size_t i = 0; i < s->size; i += page_size())
		p[i] = p[i];
	return 0;
}

/* The kernel touches: there it is EFAULT */
static int run_kernel_reads(struct scene *s)
{
	return DONE(pwrite(s->other, s->map, s->size, 0));
}

static int run_kernel_writes(struct scene *s)
{
	return DONE(pread(s->other, s->map, s->size, 0));
}

static void prepare_two(struct scene *s)
{
	s->other = open_buffer(s->backing, s->size);
	prepare_map(s);
}

static void clean_two(struct scene *s)
{
	clean_map(s);
	close(s->other);
}

static int run_inspect(struct scene *s)
{
	struct k2u_inspect in = { .addr = (uintptr_t)s->map, .size = s->size };

	return DONE(ioctl(s->fd, K2U_IOC_INSPECT, &in));
}

static int run_fork(struct scene *s)
{
	const pid_t pid =
		(pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	int status;

	if (pid < 0)
		return errno;
	if (!pid) {
		const bool right = s->map[1] == (char)pattern_byte(SEED, 1);

		syscall(SYS_exit_group, right ? 0 : 1);
	}
	disarm();
	while (waitpid(pid, &status, 0) < 0)
		;
	assert_int_equal(status, 0);
	return 0;
}

static int run_munmap(struct scene *s)
{
	return DONE(munmap(s->map, s->size));
}

static void check_munmap(struct scene *s, bool failed)
{
	assert_int_equal(counters(s->fd).vmas, failed ? 1 : 0);
	if (failed)
		assert_pattern(s->map, 0, s->size);
}

/* So many VMAs; of what failed midway, any number of the splits */
static void check_parts(struct scene *s, bool failed, uint64_t expected)
{
	const uint64_t vmas = counters(s->fd).vmas;

	if (failed ? vmas < 1 || vmas > 3 : vmas != expected)
		fail_msg("%llu VMAs", (unsigned long long)vmas);
}

static int run_hole(struct scene *s)
{
	return DONE(munmap(s->map + page_size(), page_size()));
}

static void check_hole(struct scene *s, bool failed)
{
	const size_t page = page_size();

	check_parts(s, failed, 2);
	assert_pattern(s->map, 0, failed ? s->size : page);
	assert_pattern(s->map + 2 * page, 2 * page, s->size - 2 * page);
}

static int run_mprotect(struct scene *s)
{
	return DONE(mprotect(s->map + page_size(), page_size(), PROT_READ));
}

static int run_madvise(struct scene *s)
{
	return DONE(madvise(s->map + page_size(), page_size(), MADV_DONTFORK));
}

static void check_split(struct scene *s, bool failed)
{
	check_parts(s, failed, 3);
	assert_pattern(s->map, 0, s->size);
}

static int run_mremap(struct scene *s)
{
	s->got_map = mremap(s->map, s->size, s->size,
			    MREMAP_MAYMOVE | MREMAP_FIXED, AWAY_TOO);
	return s->got_map == MAP_FAILED ? errno : 0;
}

static void check_mremap(struct scene *s, bool failed)
{
	if (s->got_map != MAP_FAILED)
		s->map = s->got_map;
	/* Moved, but the old one could not be unmapped: "OOM: unable to split vma" */
	if (!failed && fired && counters(s->fd).vmas == 2)
		assert_int_equal(munmap(AWAY, s->size), 0);
	check_map(s, failed);
}

/* The mapping is the last that holds the buffer */
static void prepare_last(struct scene *s)
{
	prepare_map(s);
	close(s->fd);
	s->fd = -1;
}

static void check_last(struct scene *s, bool failed)
{
	assert_int_equal(info(s->watch).used_bytes, failed ? taken(s) : 0);
	if (failed)
		assert_int_equal(munmap(s->map, s->size), 0);
	assert_int_equal(info(s->watch).used_bytes, 0);
}

#define OP(name, prepare, op, check, clean, over, odd, ...)                   \
	{                                                                     \
		name, prepare, run_##op, check, clean, { __VA_ARGS__ }, over, \
			odd                                                   \
	}
/* The first use of a file makes its buffer with the defaults */
#define DEFAULT(op)                                                            \
	OP("default-" #op, prepare_open, op, check_default, clean_close, ONCE, \
	   false, ENOMEM, EFAULT)
#define BYTES(op, ...)                                                        \
	OP(#op, prepare_bytes, op, check_bytes, clean_close, BACKINGS, false, \
	   ##__VA_ARGS__)
#define MAPPED(op, check, ...) \
	OP(#op, prepare_map, op, check, clean_map, ROWS, false, ##__VA_ARGS__)

static const struct op ops[] = {
	OP("open", NULL, open, check_none, clean_open, ONCE, false, ENOMEM,
	   EFAULT),
	OP("close", prepare_buffer, close, check_none, NULL, BACKINGS, false,
	   0),
	OP("setup", prepare_open, setup, check_setup, clean_close, BACKINGS,
	   false, ENOMEM, EFAULT),
	DEFAULT(read),
	DEFAULT(copy),
	DEFAULT(write),
	DEFAULT(llseek),
	DEFAULT(fill),
	DEFAULT(checksum),
	OP("default-mmap", prepare_open, mmap, check_default, clean_mmap, ONCE,
	   false, ENOMEM),
	BYTES(read, EFAULT, ENOMEM),
	BYTES(copy, EFAULT, ENOMEM),
	OP("copy-pin", prepare_bytes, copy, check_bytes, clean_close, BACKINGS,
	   true, EFAULT, ENOMEM),
	BYTES(write, EFAULT, ENOMEM),
	BYTES(readv, EFAULT, ENOMEM),
	BYTES(writev, EFAULT, ENOMEM),
	BYTES(llseek, 0),
	BYTES(fill, EFAULT),
	BYTES(checksum, EFAULT),
	BYTES(counters, EFAULT),
	BYTES(info, EFAULT),
	OP("default-stream", prepare_open, stream, check_default, clean_default,
	   ONCE, false, ENOMEM, EFAULT),
	OP("default-export", prepare_open, export, check_default, clean_default,
	   ONCE, false, ENOMEM, EFAULT),
	/* vmalloc, the first */
	OP("export", prepare_buffer, export, check_export, clean_default, ONCE,
	   false, ENOMEM, EFAULT),
	OP("stream", prepare_stream, stream, check_stream, clean_stream, ONCE,
	   false, ENOMEM, EFAULT),
	OP("stream-eventfd", prepare_stream, stream, check_stream, clean_stream,
	   ONCE, true, ENOMEM, EFAULT),
	OP("produce", prepare_ring, produce, check_produce, clean_ring, ONCE,
	   false, EFAULT),
	OP("stream-info", prepare_records, stream_info, check_records,
	   clean_ring, ONCE, false, EFAULT),
	OP("take", prepare_records, take, check_take, clean_ring, ONCE, false,
	   EFAULT),
	OP("stream-timer", prepare_stream, stream_timer, check_stream,
	   clean_stream, ONCE, false, ENOMEM, EFAULT),
	OP("stream-pages", prepare_stream, stream_pages, check_stream,
	   clean_stream, ONCE, false, ENOMEM, EFAULT),
	OP("window", prepare_packet, window, check_window, clean_window, ONCE,
	   false, ENOMEM),
	OP("stream-map", prepare_window, stream_map, check_window, clean_window,
	   ONCE, false, ENOMEM, EFAULT),
	OP("mmap", prepare_buffer, mmap, check_mmap, clean_mmap, ROWS, false,
	   ENOMEM),
	OP("mmap-private", prepare_buffer, mmap, check_mmap, clean_mmap, ROWS,
	   true, ENOMEM),
	MAPPED(touch, check_map, 0),
	OP("kernel-reads", prepare_two, kernel_reads, check_map, clean_two,
	   ROWS, false, EFAULT, ENOMEM),
	OP("kernel-writes", prepare_two, kernel_writes, check_map, clean_two,
	   ROWS, false, EFAULT, ENOMEM),
	MAPPED(inspect, check_map, EFAULT),
	OP("fork", prepare_map, fork, check_map, clean_map, FEW, false, ENOMEM,
	   EAGAIN),
	MAPPED(mremap, check_mremap, ENOMEM),
	MAPPED(mprotect, check_split, ENOMEM),
	/* The kernel says EAGAIN where it has no memory (madvise(2)) */
	MAPPED(madvise, check_split, EAGAIN, ENOMEM),
	MAPPED(hole, check_hole, ENOMEM),
	MAPPED(munmap, check_munmap, ENOMEM),
	OP("munmap-last", prepare_last, munmap, check_last, NULL, ROWS, false,
	   ENOMEM),
};

/*
 * Until 6.16 remap_pfn_range() of a whole VMA that finds no page table warns in
 * get_pat_info() of its own: it looks for what it has just failed to map (since
 * "mm: avoid leaving partial pfn mappings around in error case", 6.11). There
 * the tables are kept in place, so that all but their allocation fails.
 */
static bool warns_without_tables(const struct scene *s)
{
	struct utsname name;
	unsigned long major, minor;
	char *end;

	uname(&name);
	major = strtoul(name.release, &end, 10);
	assert_int_equal(*end, '.');
	minor = strtoul(end + 1, NULL, 10);
	/* The pages of a compound page are one range, too */
	return ((s->id == K2U_METHOD_pfn &&
		 s->backing & (K2U_BACKING_CONTIG | K2U_BACKING_HUGE)) ||
		s->id == K2U_METHOD_dma) &&
	       (major < 6 || (major == 6 && minor < 16));
}

static void keep_tables(char *at)
{
	char *p = mmap(at + NEARBY, 1, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	assert_ptr_equal(p, at + NEARBY);
	*p = 1;
}

struct test {
	const struct op *op;
	struct scene scene;
};

/* One attempt, with the n-th failing (0: none); its error. */
static int attempt(const struct op *op, struct scene *s, unsigned int n)
{
	int err;

	s->fd = s->got_fd = -1;
	s->got_map = MAP_FAILED;
	if (op->prepare)
		op->prepare(s);
	fired = false;
	if (n)
		arm(n);
	err = op->run(s);
	disarm();
	op->check(s, err != 0);
	if (op->clean)
		op->clean(s);
	assert_int_equal(info(s->watch).used_bytes, 0);
	return err;
}

static void test_op(void **state)
{
	struct test *t = *state;
	const struct op *op = t->op;
	struct scene *s = &t->scene;
	unsigned int n = 0, failed = 0;
	bool more;

	/* What a test that failed has left */
	munmap(AWAY, 2 * NEARBY);
	munmap(AWAY_TOO, 2 * NEARBY);
	if ((op->run == run_window || op->run == run_stream_map) &&
	    splice_copies())
		unavailable(NO_SPLICE);
	if (op->run == run_export && absence(K2U_METHOD_dmabuf))
		unavailable("dma-bufs: no CONFIG_DMA_SHARED_BUFFER");
	s->watch = open_k2u(O_RDWR);
	s->buf = malloc(s->size);
	assert_non_null(s->buf);
	memset(s->buf, 0, s->size);
	s->odd = op->odd;
	if (warns_without_tables(s)) {
		keep_tables(AWAY);
		keep_tables(AWAY_TOO);
	}
	do {
		int err, again, i = 0;

		n++;
		assert_in_range(n, 1, GIVE_UP);
		err = attempt(op, s, n);
		more = fired;
		if (!err)
			continue;
		while (i < 4 && op->errors[i] != err)
			i++;
		if (!more || i == 4)
			fail_msg("n = %u: %s%s", n, strerror(err),
				 more ? "" : ", and nothing had failed");
		failed++;
		again = attempt(op, s, 0);
		if (again)
			fail_msg("after n = %u: %s", n, strerror(again));
	} while (more);
	print_message("# %s: %u injected, %u of them seen\n", s->name, n - 1,
		      failed);
	free(s->buf);
	close(s->watch);
}

/* ---- the machine ---- */

#define FAULT "/sys/kernel/debug/"

/* Small default buffers: each of their pages is an n of its own */
static int begin(void **state)
{
	char parameter[64];

	/* For packets */
	if (unshare(CLONE_NEWNET))
		return -1;
	link_up(65536);
	unload_module();
	snprintf(parameter, sizeof(parameter), "default_bytes=%zu",
		 PAGES * page_size());
	assert_int_equal(load_module(parameter), 0);
	/* Pages and objects are charged, and that can fail */
	cgroup_make(0);
	put(CGROUP_ROOT "/k2u/cgroup.procs", "0");
	put(FAULT "failslab/verbose", "0");
	put(FAULT "fail_page_alloc/verbose", "0");
	put(FAULT "fail_usercopy/verbose", "0");
	put(FAULT "failslab/ignore-gfp-wait", "N");
	put(FAULT "fail_page_alloc/ignore-gfp-wait", "N");
	put(FAULT "fail_page_alloc/ignore-gfp-highmem", "N");
	put(FAULT "fail_page_alloc/min-order", "0");
	nth_fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	assert_true(nth_fd >= 0);
	return 0;
}

static int finish(void **state)
{
	close(nth_fd);
	put(CGROUP_ROOT "/cgroup.procs", "0");
	cgroup_remove();
	unload_module();
	return load_module("");
}

/* Whether op is run on method m and backing b */
static bool wanted(const struct op *op, size_t m, size_t b)
{
	if (op->over < ROWS)
		return m == 0 && (op->over == BACKINGS || b == 0);
	if (op->over == FEW)
		return methods[m].id == K2U_METHOD_fault ?
			       backings[b] == K2U_BACKING_VMALLOC :
			       methods[m].id == K2U_METHOD_pfn &&
				       backings[b] == K2U_BACKING_CONTIG;
	return methods[m].access & K2U_ACCESS_MAP &&
	       methods[m].backings & backings[b] &&
	       methods[m].id != K2U_METHOD_null &&
	       /* A private mapping of PFNs is refused */
	       !(op->odd && behind_of(m) == BEHIND_PFNMAP);
}

/*
 * Without rseq: at a return to user space the kernel writes there, and where it
 * finds no memory for a copy of that page after a fork, it sends SIGSEGV.
 */
static void without_rseq(char **argv)
{
	static const char tunable[] = "glibc.pthread.rseq=0";
	const char *tunables = getenv("GLIBC_TUNABLES");

	if (tunables && !strcmp(tunables, tunable))
		return;
	setenv("GLIBC_TUNABLES", tunable, 1);
	execv("/proc/self/exe", argv);
	perror("exec");
	exit(1);
}

int main(int argc, char **argv)
{
	static struct test all[ARRAY_SIZE(ops) * ARRAY_SIZE(methods) *
			       ARRAY_SIZE(backings)];
	static struct CMUnitTest tests[ARRAY_SIZE(all)];
	size_t n = 0;

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	without_rseq(argv);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		const struct op *op =
			&ops[i / (ARRAY_SIZE(methods) * ARRAY_SIZE(backings))];
		const size_t m = i / ARRAY_SIZE(backings) % ARRAY_SIZE(methods);
		const size_t b = i % ARRAY_SIZE(backings);
		char *name;

		if (!wanted(op, m, b))
			continue;
		if (asprintf(&name, "failnth/%s%s%s%s%s", op->name,
			     op->over >= ROWS ? "/" : "",
			     op->over >= ROWS ? methods[m].name : "",
			     op->over == ONCE ? "" : "/",
			     op->over == ONCE ? "" :
						backing_name(backings[b])) < 0)
			abort();
		all[n] = (struct test){ op,
					{ .id = methods[m].id,
					  .backing = backings[b],
					  .size = PAGES * page_size(),
					  .name = name } };
		tests[n] = (struct CMUnitTest){ name, test_op, NULL, NULL,
						&all[n] };
		n++;
	}
	return _cmocka_run_group_tests("failnth", tests, n, begin, finish);
}

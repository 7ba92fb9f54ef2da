// SPDX-License-Identifier: GPL-2.0
/*
 * guest_skb_pages.c - K2U_STREAM_PAGES: which payloads come by reference and which are
 * copied, byte for byte; what the window is and is not; and that pages and what they
 * take of the bound are given back, in whichever order all ends.
 */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "limits.h"
#include "skb.h"

#define MOST K2U_STREAM_PAGES_MAX(page_size())
#define ROOM 65536u /* of a slot that any payload can be copied to */
#define WINDOW (SLOTS * MOST) /* pages, at most */

/* Memory that somebody has mapped */
static void send_vmspliced(const char *p, size_t size)
{
	const struct iovec iov = { (void *)p, size };
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(vmsplice(ends[1], &iov, 1, 0), size);
	splice_all(ends[0], size, false);
	close(ends[0]);
	close(ends[1]);
	fence();
}

/* ---- a stream by its mapping, and its window ---- */

struct view {
	struct stream s;
	struct k2u_ring *ring;
	size_t len;
	uint64_t at; /* the record that comes next */
	char *window;
};

static char *map_window(int fd, size_t pages)
{
	return mmap(NULL, pages * page_size(), PROT_READ, MAP_SHARED, fd, 0);
}

static struct view open_view(uint32_t record)
{
	struct view v = { .s = open_stream(record, K2U_STREAM_PAGES |
							   K2U_STREAM_STEAL) };

	v.len = K2U_RING_DATA(page_size()) + (size_t)record * SLOTS;
	v.ring = map_buffer(v.s.file, K2U_METHOD_vmalloc, v.len,
			    PROT_READ | PROT_WRITE);
	v.window = map_window(v.s.fd, WINDOW);
	assert_ptr_not_equal(v.window, MAP_FAILED);
	return v;
}

/* All but the window */
static void close_view(struct view *v)
{
	munmap(v->ring, v->len);
	close_stream(&v->s);
}

static void unmap_view(struct view *v)
{
	close_view(v);
	assert_int_equal(munmap(v->window, WINDOW * page_size()), 0);
}

static const struct k2u_record *record_of(const struct view *v, uint64_t index)
{
	return (const void *)((char *)v->ring + K2U_RING_DATA(page_size()) +
			      index % SLOTS * v->s.record);
}

static void consume(struct view *v, uint64_t nr)
{
	v->at += nr;
	__atomic_store_n(&v->ring->consumer, v->at, __ATOMIC_RELEASE);
}

static int try_map(int fd, const void *at, uint64_t first, uint32_t records,
		   uint32_t *pages)
{
	struct k2u_stream_map arg = { .addr = (uintptr_t)at,
				      .first = first,
				      .records = records,
				      .pages = 12345 };
	const int err = ioctl(fd, K2U_IOC_STREAM_MAP, &arg) ? errno : 0;

	*pages = arg.pages;
	return err;
}

/* So many records have so many pages, which are mapped at the window's page at */
static void map_some(const struct view *v, size_t at, uint32_t records,
		     uint32_t pages)
{
	uint32_t got;

	assert_int_equal(try_map(v->s.fd, v->window + at * page_size(), v->at,
				 records, &got),
			 0);
	assert_int_equal(got, pages);
}

static void give_back(const struct view *v, size_t at, size_t pages)
{
	assert_int_equal(madvise(v->window + at * page_size(),
				 pages * page_size(), MADV_DONTNEED),
			 0);
}

static void assert_bytes(const char *p, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size; i++)
		if (p[i] != (char)pattern_byte(seed, i))
			fail_msg("byte %zu: %#x, expected %#x", i,
				 (unsigned char)p[i],
				 (unsigned char)pattern_byte(seed, i));
}

/* The next record has come, by reference or copied; it stays */
static const struct k2u_record *assert_next(const struct view *v, size_t size,
					    uint32_t flags)
{
	const struct k2u_record *r = record_of(v, v->at);

	assert_int_equal(__atomic_load_n(&v->ring->producer, __ATOMIC_ACQUIRE),
			 v->at + 1);
	assert_int_equal(r->seq, v->at);
	assert_int_equal(r->stamp, 0);
	assert_int_equal(r->size, size);
	if (r->flags != flags)
		fail_msg("%zu bytes: flags %#x, expected %#x", size, r->flags,
			 flags);
	return r;
}

static void assert_copied(struct view *v, size_t size, uint64_t seed)
{
	const struct k2u_record *r = assert_next(v, size, 0);
	uint32_t pages;

	assert_bytes((const char *)(r + 1), size, seed);
	assert_int_equal(try_map(v->s.fd, v->window, v->at, 1, &pages), 0);
	assert_int_equal(pages, 0);
	consume(v, 1);
}

static sigjmp_buf out;

static void leave(int signal)
{
	siglongjmp(out, signal);
}

/* The signal of a load */
static int signal_of(const volatile char *p)
{
	int sig;

	signal(SIGBUS, leave);
	signal(SIGSEGV, leave);
	sig = sigsetjmp(out, 1);
	if (!sig)
		(void)*p;
	signal(SIGBUS, SIG_DFL);
	signal(SIGSEGV, SIG_DFL);
	return sig;
}

static void need_pages(void)
{
	if (splice_copies())
		unavailable(NO_SPLICE);
}

/* ---- by reference ---- */

/* Every number of pages, more than the ring has slots, with a checksum and without */
static void test_payload(void **state)
{
	const size_t page = page_size();
	struct view v;
	char *slot = malloc(RECORD);

	(void)state;
	link_up(65536);
	need_pages();
	v = open_view(RECORD);
	for (unsigned int turn = 0; turn < 6; turn++)
		for (unsigned int n = 1; n <= MOST; n++) {
			const struct k2u_record *r = record_of(&v, v.at);

			memcpy(slot, r, RECORD);
			send_spliced(n * page, SEED + v.at, turn % 2);
			fence();
			r = assert_next(&v, n * page, K2U_RECORD_PAGES);
			/* And no byte of it is here */
			assert_memory_equal(r + 1,
					    slot + sizeof(struct k2u_record),
					    RECORD - sizeof(struct k2u_record));
			map_some(&v, turn, 1, n);
			assert_bytes(v.window + turn * page, n * page,
				     SEED + v.at);
			give_back(&v, turn, n);
			assert_int_equal(signal_of(v.window + turn * page),
					 SIGBUS);
			consume(&v, 1);
		}
	assert_true(v.at > SLOTS);
	assert_int_equal(stream_info(&v.s).dropped, 0);
	unmap_view(&v);
	free(slot);
}

/* Many at once, one after the other, with what was copied in between */
static void test_batch(void **state)
{
	const size_t page = page_size();
	uint32_t pages = 0, at = 0;
	struct view v;

	(void)state;
	link_up(65536);
	need_pages();
	v = open_view(RECORD);
	for (unsigned int i = 0; i < SLOTS; i++) {
		const unsigned int n = i % 4 == 3 ? 0 : 1 + i % MOST;

		if (n)
			send_pages(n, SEED + i);
		else
			send_to(PORT, 100, SEED + i);
		pages += n;
	}
	map_some(&v, 0, SLOTS, pages);
	for (unsigned int i = 0; i < SLOTS; i++) {
		const unsigned int n = i % 4 == 3 ? 0 : 1 + i % MOST;

		assert_int_equal(record_of(&v, i)->flags,
				 n ? K2U_RECORD_PAGES : 0);
		if (!n)
			assert_bytes((const char *)(record_of(&v, i) + 1), 100,
				     SEED + i);
		assert_bytes(v.window + at * page, n * page, SEED + i);
		at += n;
	}
	assert_int_equal(signal_of(v.window + pages * page), SIGBUS);
	give_back(&v, 0, pages);
	/* None, and none of those: nothing */
	map_some(&v, 0, 0, 0);
	consume(&v, SLOTS);
	map_some(&v, 0, 0, 0);
	unmap_view(&v);
}

/* ---- copied ---- */

static void test_no_page(void **state)
{
	const size_t page = page_size(), sizes[] = {
		0, 1, 2048, page - 1, page + 1, 2 * page + 8, MOST * page + 1
	};
	char *p = malloc(2 * page);
	struct view v;
	int ends[2];

	(void)state;
	link_up(65536);
	v = open_view(ROOM);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		if (!sizes[i])
			send_alone(PORT, 0, SEED + i);
		else
			send_spliced(sizes[i], SEED + i, i % 2);
		fence();
		assert_copied(&v, sizes[i], SEED + i);
	}
	/* As large as a page, in two halves of two */
	assert_int_equal(pipe(ends), 0);
	fill(p, 2 * page, SEED);
	assert_int_equal(write(ends[1], p, 2 * page), 2 * page);
	assert_int_equal(read(ends[0], p, page / 2), page / 2);
	fill(p, 2 * page, SEED);
	splice_all(ends[0], page, false);
	fence();
	assert_memory_equal(assert_next(&v, page, 0) + 1, p + page / 2, page);
	consume(&v, 1);
	close(ends[0]);
	close(ends[1]);
	free(p);
	unmap_view(&v);
}

/* By send(): in the linear part, or in pages that hold more than this */
static void test_sent(void **state)
{
	struct view v;

	(void)state;
	link_up(65536);
	v = open_view(ROOM);
	for (unsigned int n = 1; n <= MOST; n++) {
		send_to(PORT, n * page_size(), SEED + n);
		assert_copied(&v, n * page_size(), SEED + n);
	}
	unmap_view(&v);
}

/* Fragments are put together as a list of packets */
static void test_fragments(void **state)
{
	struct view v;

	(void)state;
	link_up(1500);
	v = open_view(ROOM);
	send_pages(2, SEED);
	assert_copied(&v, 2 * page_size(), SEED);
	unmap_view(&v);
}

/* Pages that are, or may become, somebody's: of a file, of a process, of nobody */
static void test_owned(void **state)
{
	const size_t page = page_size(), size = 4 * page;
	struct view v;
	off_t from = 0;
	char *p;
	int file, fd;

	(void)state;
	link_up(65536);
	v = open_view(ROOM);

	file = memfd_create("k2u", MFD_CLOEXEC);
	p = malloc(size);
	fill(p, size, SEED);
	assert_int_equal(write(file, p, size), size);
	fd = connected(false);
	assert_int_equal(sendfile(fd, file, &from, size), size);
	fence();
	close(fd);
	assert_copied(&v, size, SEED);
	free(p);

	p = mmap(NULL, size, PROT_READ, MAP_SHARED, file, 0);
	send_vmspliced(p, size);
	assert_copied(&v, size, SEED);
	munmap(p, size);
	close(file);

	/* Zeros that were never written are the kernel's own page */
	p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(madvise(p, size, MADV_NOHUGEPAGE) ? errno : EINVAL,
			 EINVAL);
	assert_int_equal(*(volatile char *)p, 0);
	send_vmspliced(p, page);
	assert_null(memchr(assert_next(&v, page, 0) + 1, 1, page));
	consume(&v, 1);
	fill(p, size, SEED + 1);
	send_vmspliced(p, size);
	assert_copied(&v, size, SEED + 1);
	munmap(p, size);

	/* Of a buffer of the module: no file's, but mapped */
	fd = open_buffer(K2U_BACKING_PAGES, size);
	p = map_buffer(fd, K2U_METHOD_insert, size, PROT_READ);
	send_vmspliced(p, size);
	assert_copied(&v, size, SEED);
	munmap(p, size);
	close(fd);

	unmap_view(&v);
}

/* Nor what is in the window */
static void test_mapped(void **state)
{
	const size_t page = page_size();
	struct view v;

	(void)state;
	link_up(65536);
	need_pages();
	v = open_view(ROOM);
	send_pages(2, SEED);
	map_some(&v, 0, 1, 2);
	consume(&v, 1);
	send_vmspliced(v.window, 2 * page);
	assert_copied(&v, 2 * page, SEED);
	unmap_view(&v);
}

/* ---- the window ---- */

static void test_protection(void **state)
{
	const size_t page = page_size();
	struct view v;
	char *p;
	int mem;

	(void)state;
	link_up(65536);
	need_pages();
	v = open_view(RECORD);
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
	link_up(65536);
	need_pages();
	v = open_view(RECORD);
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
	link_up(65536);
	need_pages();
	v = open_view(RECORD);
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
	link_up(65536);
	need_pages();
	v = open_view(RECORD);
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
	link_up(65536);
	need_pages();
	v = open_view(RECORD);
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
	link_up(65536);
	need_pages();
	v = open_view(RECORD);
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

static int stream_errno(void)
{
	struct stream s;
	int err = try_stream(&s, RECORD, SLOTS, PORT, K2U_STREAM_PAGES);

	if (!err)
		close_stream(&s);
	return err;
}

static void test_absent(void **state)
{
	(void)state;
	assert_int_equal(stream_errno(), EOPNOTSUPP);
	unavailable(
		"packets by reference: no CONFIG_INET, no CONFIG_NETFILTER, or too large pages");
}

int main(void)
{
	static const struct CMUnitTest absent[] = {
		cmocka_unit_test(test_absent),
	};
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_payload, setup),
		cmocka_unit_test_setup(test_batch, setup),
		cmocka_unit_test_setup(test_no_page, setup),
		cmocka_unit_test_setup(test_sent, setup),
		cmocka_unit_test_setup(test_fragments, setup),
		cmocka_unit_test_setup(test_owned, setup),
		cmocka_unit_test_setup(test_mapped, setup),
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

	if (stream_errno() == EOPNOTSUPP)
		return cmocka_run_group_tests_name("skb_pages", absent, NULL,
						   NULL);
	return cmocka_run_group_tests_name("skb_pages", tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0 */
/* A stream of packets by reference (K2U_STREAM_PAGES), by its mapping and its window. */
#ifndef K2U_GUEST_SKB_PAGES_H
#define K2U_GUEST_SKB_PAGES_H

#include <signal.h>

#include "skb.h"

#define MOST K2U_STREAM_PAGES_MAX(page_size())
#define WINDOW (SLOTS * MOST) /* pages, at most */

/* ---- a stream by its mapping, and its window ---- */

struct view {
	struct stream s;
	struct k2u_ring *ring;
	size_t len;
	uint64_t at; /* the record that comes next */
	char *window;
};

static inline char *map_window(int fd, size_t pages)
{
	return mmap(NULL, pages * page_size(), PROT_READ, MAP_SHARED, fd, 0);
}

static inline struct view open_view(uint32_t record)
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
static inline void close_view(struct view *v)
{
	munmap(v->ring, v->len);
	close_stream(&v->s);
}

static inline void unmap_view(struct view *v)
{
	close_view(v);
	assert_int_equal(munmap(v->window, WINDOW * page_size()), 0);
}

static inline const struct k2u_record *record_of(const struct view *v,
						 uint64_t index)
{
	return (const void *)((char *)v->ring + K2U_RING_DATA(page_size()) +
			      index % SLOTS * v->s.record);
}

static inline void consume(struct view *v, uint64_t nr)
{
	v->at += nr;
	__atomic_store_n(&v->ring->consumer, v->at, __ATOMIC_RELEASE);
}

static inline int try_map(int fd, const void *at, uint64_t first,
			  uint32_t records, uint32_t *pages)
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
static inline void map_some(const struct view *v, size_t at, uint32_t records,
			    uint32_t pages)
{
	uint32_t got;

	assert_int_equal(try_map(v->s.fd, v->window + at * page_size(), v->at,
				 records, &got),
			 0);
	assert_int_equal(got, pages);
}

static inline void give_back(const struct view *v, size_t at, size_t pages)
{
	assert_int_equal(madvise(v->window + at * page_size(),
				 pages * page_size(), MADV_DONTNEED),
			 0);
}

static inline void assert_bytes(const char *p, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size; i++)
		if (p[i] != (char)pattern_byte(seed, i))
			fail_msg("byte %zu: %#x, expected %#x", i,
				 (unsigned char)p[i],
				 (unsigned char)pattern_byte(seed, i));
}

/* The next record has come, by reference or copied; it stays */
static inline const struct k2u_record *assert_next(const struct view *v,
						   size_t size, uint32_t flags)
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

static sigjmp_buf out;

static inline void leave(int signal)
{
	siglongjmp(out, signal);
}

/* The signal of a load */
static inline int signal_of(const volatile char *p)
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

static inline void need_pages(void)
{
	if (splice_copies())
		unavailable(NO_SPLICE);
}

/* A test's own link and stream, or why there is none */
static inline struct view begin_view(uint32_t record)
{
	link_up(65536);
	need_pages();
	return open_view(record);
}

static inline int stream_errno(void)
{
	struct stream s;
	int err = try_stream(&s, RECORD, SLOTS, PORT, K2U_STREAM_PAGES);

	if (!err)
		close_stream(&s);
	return err;
}

static inline void test_absent(void **state)
{
	(void)state;
	assert_int_equal(stream_errno(), EOPNOTSUPP);
	unavailable(
		"packets by reference: no CONFIG_INET, no CONFIG_NETFILTER, or too large pages");
}

/* The tests, or why there are none */
static inline int run_pages(const char *group, const struct CMUnitTest *tests,
			    size_t n)
{
	static const struct CMUnitTest absent[] = {
		cmocka_unit_test(test_absent),
	};
	const bool is = stream_errno() != EOPNOTSUPP;

	return _cmocka_run_group_tests(group, is ? tests : absent, is ? n : 1,
				       NULL, NULL);
}

#endif /* K2U_GUEST_SKB_PAGES_H */

// SPDX-License-Identifier: GPL-2.0
/* K2U_STREAM_PAGES: which payloads come by reference and which are copied, byte for byte. */
#include <sys/sendfile.h>
#include <sys/uio.h>

#include "skb_pages.h"

#define ROOM 65536u /* of a slot that any payload can be copied to */

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

/* ---- by reference ---- */

/* Every number of pages, more than the ring has slots, with a checksum and without */
static void test_payload(void **state)
{
	const size_t page = page_size();
	struct view v;
	char *slot = malloc(RECORD);

	(void)state;
	v = begin_view(RECORD);
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
	v = begin_view(RECORD);
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

static void assert_copied(struct view *v, size_t size, uint64_t seed)
{
	const struct k2u_record *r = assert_next(v, size, 0);
	uint32_t pages;

	assert_bytes((const char *)(r + 1), size, seed);
	assert_int_equal(try_map(v->s.fd, v->window, v->at, 1, &pages), 0);
	assert_int_equal(pages, 0);
	consume(v, 1);
}

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
	v = begin_view(ROOM);
	send_pages(2, SEED);
	map_some(&v, 0, 1, 2);
	consume(&v, 1);
	send_vmspliced(v.window, 2 * page);
	assert_copied(&v, 2 * page, SEED);
	unmap_view(&v);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_payload, setup),
		cmocka_unit_test_setup(test_batch, setup),
		cmocka_unit_test_setup(test_no_page, setup),
		cmocka_unit_test_setup(test_sent, setup),
		cmocka_unit_test_setup(test_fragments, setup),
		cmocka_unit_test_setup(test_owned, setup),
		cmocka_unit_test_setup(test_mapped, setup),
	};

	return run_pages("skb_pages", tests, ARRAY_SIZE(tests));
}

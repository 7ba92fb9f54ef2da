// SPDX-License-Identifier: GPL-2.0
/* Every byte of a buffer, through every method, is the kernel's. */
#include "guest.h"

int kmem_linear(uint64_t paddr, uint64_t *vaddr); /* bench/devmem.c */

static void check_copy(const struct row *row, int fd, size_t size)
{
	const size_t page = page_size();
	const size_t offsets[] = { 0, 1, 7, page - 1, page, 3 * page + 57 };
	const size_t lengths[] = { 1, 8, 63, page, 2 * page + 57, 1 << 20 };
	char *buf = malloc(1 << 20);

	for (size_t o = 0; o < ARRAY_SIZE(offsets); o++) {
		for (size_t l = 0; l < ARRAY_SIZE(lengths); l++) {
			const size_t left =
				offsets[o] < size ? size - offsets[o] : 0;
			const size_t want = lengths[l] < left ? lengths[l] :
								left;
			ssize_t got =
				copy_out(row, fd, buf, lengths[l], offsets[o]);

			assert_int_equal(got, want);
			assert_pattern(buf, offsets[o], want);
		}
	}
	free(buf);
}

/* By a method that needs another file: as pread(), or -1 where the kernel refuses it */
static ssize_t copy_other(const struct row *row, int fd, void *p, size_t size,
			  uint64_t offset)
{
	uint64_t vaddr = 0;
	ssize_t got = -1;
	int other;

	if (row->id != K2U_METHOD_kmem)
		fail_msg("no way to copy by method %s", row->method);
	other = open("/dev/kmem", O_RDONLY | O_CLOEXEC);
	if (other < 0)
		return -1;
	assert_int_equal(kmem_linear(buffer_paddr(fd), &vaddr), 0);
	lseek(other, (off_t)(vaddr + offset), SEEK_SET);
	got = read(other, p, size);
	close(other);
	return got;
}

static void check_copy_other(const struct row *row, int fd, size_t size,
			     uint64_t hash)
{
	char *p = malloc(size);
	ssize_t got = copy_other(row, fd, p, size, 0);

	if (got < 0) {
		close(fd);
		free(p);
		unavailable("method %s: %s", row->method, strerror(errno));
	}
	assert_int_equal(got, size);
	assert_int_equal(user_hash(p, size), hash);
	if (size > 57) {
		assert_int_equal(copy_other(row, fd, p, size - 57, 57),
				 size - 57);
		assert_pattern(p, 57, size - 57);
	}
	free(p);
}

static void test_contents(void **state)
{
	const size_t page = page_size();
	/* The last is more than one chunk of a copy */
	const size_t sizes[] = { 1, page - 1, page, 3 * page + 1001,
				 (1 << 20) + 1001 };
	const struct row *row = *state;

	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		const size_t size = sizes[s];
		int fd = open_buffer(row->backing, size);
		uint64_t hash = kernel_hash(fd, size);

		if (row->access & (K2U_ACCESS_MAP | K2U_ACCESS_MAP_OTHER)) {
			void *p = row->access & K2U_ACCESS_MAP_OTHER ?
					  map_other(fd, row->id, size,
						    PROT_READ) :
					  map_buffer(fd, row->id, size,
						     PROT_READ);

			if (!p) {
				close(fd);
				unavailable("method %s: %s", row->method,
					    strerror(errno));
			}
			assert_pattern(p, 0, size);
			assert_int_equal(user_hash(p, size), hash);
			munmap(p, size);
		} else if (row->access & K2U_ACCESS_COPY_OTHER) {
			check_copy_other(row, fd, size, hash);
		} else {
			char *p = malloc(size);

			check_copy(row, fd, size);
			assert_int_equal(copy_out(row, fd, p, size, 0), size);
			assert_int_equal(user_hash(p, size), hash);
			free(p);
		}
		close(fd);
	}
}

/* A mapping that starts inside the buffer, and the byte past its end. */
static void test_offset(void **state)
{
	const struct row *row = *state;
	const size_t page = page_size(), size = 4 * page;
	int fd = open_buffer(row->backing, size);

	for (size_t first = 0; first < 4; first++) {
		void *p = mmap(NULL, size - first * page, PROT_READ, MAP_SHARED,
			       fd, K2U_MMAP_OFFSET(row->id) + first * page);

		assert_ptr_not_equal(p, MAP_FAILED);
		assert_pattern(p, first * page, size - first * page);
		munmap(p, size - first * page);
	}
	close(fd);
}

static void test_default_buffer(void **state)
{
	struct k2u_info info = { 0 };
	const size_t page = page_size();
	char *p, zero[64] = { 0 }, got[64];
	int fd = open_k2u(O_RDWR);

	(void)state;
	assert_int_equal(ioctl(fd, K2U_IOC_INFO, &info), 0);
	assert_int_equal(info.abi_version, K2U_ABI_VERSION);
	assert_int_equal(info.methods, ARRAY_SIZE(methods));
	assert_int_equal(info.page_size, page);
	assert_int_equal(info.size, 0);
	p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_memory_equal(p, zero, sizeof(zero));
	assert_int_equal(ioctl(fd, K2U_IOC_INFO, &info), 0);
	assert_int_equal(info.size, info.default_bytes);
	assert_int_equal(info.backing, K2U_BACKING_VMALLOC);
	assert_int_equal(lseek(fd, 0, SEEK_END), info.default_bytes);
	assert_int_equal(
		pread(fd, got, sizeof(got), (off_t)info.default_bytes - 8), 8);
	munmap(p, page);
	close(fd);
}

/* The file position moves as that of any file. */
static void test_position(void **state)
{
	int fd = open_buffer(K2U_BACKING_VMALLOC, 100);
	char buf[64];

	(void)state;
	assert_int_equal(read(fd, buf, 60), 60);
	assert_int_equal(read(fd, buf, 60), 40);
	assert_pattern(buf, 60, 40);
	assert_int_equal(read(fd, buf, 60), 0);
	assert_int_equal(write(fd, buf, 1), -1);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(lseek(fd, 98, SEEK_SET), 98);
	assert_int_equal(write(fd, "abcd", 4), 2);
	assert_int_equal(pread(fd, buf, 64, 98), 2);
	assert_memory_equal(buf, "ab", 2);
	assert_int_equal(counters(fd).read_bytes, 102);
	assert_int_equal(counters(fd).written_bytes, 2);
	close(fd);
}

static void test_fill(void **state)
{
	int fd = open_buffer(K2U_BACKING_CONTIG, 8192);
	struct k2u_fill fill = { .seed = SEED + 1 };
	uint64_t word, *p = map_buffer(fd, K2U_METHOD_pfn, 8192, PROT_READ);

	(void)state;
	assert_int_equal(ioctl(fd, K2U_IOC_FILL, &fill), 0);
	for (size_t i = 0; i < 1024; i++)
		assert_int_equal(p[i], k2u_pattern(SEED + 1, i));
	assert_int_equal(pread(fd, &word, 8, 8), 8);
	assert_int_equal(word, k2u_pattern(SEED + 1, 1));
	munmap(p, 8192);
	close(fd);
}

/* guest_contents [METHOD] */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default_buffer),
		cmocka_unit_test(test_position),
		cmocka_unit_test(test_fill),
	};
	int failed = 0;

	if (argc > 1) {
		only_method = argv[1];
		return run_rows("contents", test_contents, 0, 0);
	}
	failed += run_rows("contents", test_contents, 0, 0);
	failed += run_rows("offset", test_offset, K2U_ACCESS_MAP, 0);
	failed += cmocka_run_group_tests(tests, NULL, NULL);
	return failed;
}

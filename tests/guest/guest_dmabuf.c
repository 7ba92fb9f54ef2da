// SPDX-License-Identifier: GPL-2.0
/* The dma-buf of a buffer: its contents, its rights, how long it lives. */
#include <linux/dma-buf.h>
#include <sys/resource.h>

#include "guest.h"

static int export_fd(int fd)
{
	struct k2u_export export = { 0 };

	return ioctl(fd, K2U_IOC_EXPORT, &export);
}

/* Or the test ends here */
static int open_dmabuf(int fd)
{
	int dmabuf = export_fd(fd);

	if (dmabuf < 0 && errno == EOPNOTSUPP) {
		close(fd);
		unavailable(
			"this kernel is built without CONFIG_DMA_SHARED_BUFFER");
	}
	assert_true(dmabuf >= 0);
	return dmabuf;
}

static void sync_dmabuf(int dmabuf, uint64_t flags, int expected)
{
	struct dma_buf_sync sync = { .flags = flags };

	assert_int_equal(ioctl(dmabuf, DMA_BUF_IOCTL_SYNC, &sync) ? errno : 0,
			 expected);
}

static void test_access(void **state)
{
	const uint32_t backing = *(const uint32_t *)*state;
	const size_t size = 5 * page_size();
	int fd = open_buffer(backing, size - 100), dmabuf = open_dmabuf(fd);
	struct rusage before, after;
	uint64_t *p, hash;

	assert_int_equal(lseek(dmabuf, 0, SEEK_END), size);
	assert_int_equal(fcntl(dmabuf, F_GETFD), FD_CLOEXEC);
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, dmabuf, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(counters(fd).mapped_pages, 5);
	sync_dmabuf(dmabuf, DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW, 0);
	getrusage(RUSAGE_THREAD, &before);
	for (size_t i = 0; i < size; i += page_size())
		(void)*(volatile char *)((char *)p + i);
	getrusage(RUSAGE_THREAD, &after);
	assert_int_equal(after.ru_minflt, before.ru_minflt);
	assert_pattern(p, 0, size);
	hash = kernel_hash(fd, size - 100);
	p[17] = ~p[17];
	sync_dmabuf(dmabuf, DMA_BUF_SYNC_END | DMA_BUF_SYNC_RW, 0);
	assert_int_not_equal(kernel_hash(fd, size - 100), hash);
	assert_int_equal(kernel_hash(fd, size - 100), user_hash(p, size - 100));
	/* No flag that says what for, and one that nobody knows */
	sync_dmabuf(dmabuf, DMA_BUF_SYNC_START, EINVAL);
	sync_dmabuf(dmabuf, DMA_BUF_SYNC_READ | 1 << 7, EINVAL);
	munmap(p, size);
	close(dmabuf);
	close(fd);
}

/* Its mapping keeps the buffer, and the module, when all files are closed. */
static void test_lifetime(void **state)
{
	const uint32_t backing = *(const uint32_t *)*state;
	const size_t size = 3 * page_size();
	int fd = open_buffer(backing, size), dmabuf = open_dmabuf(fd), again;
	struct k2u_info info = { 0 };
	const long held = module_refs();
	char *p, *q;

	assert_true(held >= 2); /* the file, and the dma-buf */
	again = open_dmabuf(fd);
	assert_int_equal(module_refs(), held + 1);
	close(again);
	close(fd);
	p = mmap(NULL, size, PROT_READ, MAP_SHARED, dmabuf, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_pattern(p, 0, size);
	close(dmabuf);
	assert_int_equal(syscall(SYS_delete_module, "k2u", O_NONBLOCK), -1);
	assert_int_equal(errno, EWOULDBLOCK);
	/* Moved, and unmapped in pieces */
	q = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(q, MAP_FAILED);
	assert_ptr_equal(
		mremap(p, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, q), q);
	assert_pattern(q, 0, size);
	assert_ptr_equal(mremap(q, size, 2 * size, MREMAP_MAYMOVE), MAP_FAILED);
	munmap(q, page_size());
	assert_pattern(q + page_size(), page_size(), size - page_size());
	munmap(q + page_size(), size);
	fd = open_k2u(O_RDONLY);
	assert_int_equal(ioctl(fd, K2U_IOC_INFO, &info), 0);
	assert_int_equal(info.used_bytes, 0);
	assert_int_equal(module_refs(), 1);
	close(fd);
	assert_int_equal(module_refs(), 0);
}

/* What the file may not, its dma-buf may not; nobody may execute. */
static void test_rights(void **state)
{
	const uint32_t backing = *(const uint32_t *)*state;
	struct k2u_setup setup = { .size = page_size(),
				   .backing = backing,
				   .node = K2U_NODE_ANY };
	const size_t page = page_size();
	int rw = open_buffer(backing, page), dmabuf = open_dmabuf(rw);
	int ro = open_k2u(O_RDONLY), wo = open_k2u(O_WRONLY);
	char *p;

	/* EPERM where files of this kind are on a noexec mount: path_noexec(), do_mmap() */
	p = mmap(NULL, page, PROT_READ | PROT_EXEC, MAP_SHARED, dmabuf, 0);
	assert_ptr_equal(p, MAP_FAILED);
	assert_true(errno == EACCES || errno == EPERM);
	assert_mmap_fails(dmabuf, 0, page, PROT_READ, MAP_PRIVATE, EINVAL);
	assert_mmap_fails(dmabuf, 0, page, PROT_READ | PROT_WRITE, MAP_PRIVATE,
			  EINVAL);
	p = mmap(NULL, page, PROT_READ, MAP_SHARED, dmabuf, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(mprotect(p, page, PROT_READ | PROT_EXEC), -1);
	assert_int_equal(errno, EACCES);
	assert_int_equal(mprotect(p, page, PROT_READ | PROT_WRITE), 0);
	munmap(p, page);
	close(dmabuf);
	close(rw);

	assert_int_equal(ioctl(ro, K2U_IOC_SETUP, &setup), 0);
	dmabuf = open_dmabuf(ro);
	assert_mmap_fails(dmabuf, 0, page, PROT_READ | PROT_WRITE, MAP_SHARED,
			  EACCES);
	p = mmap(NULL, page, PROT_READ, MAP_SHARED, dmabuf, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(mprotect(p, page, PROT_READ | PROT_WRITE), -1);
	assert_int_equal(errno, EACCES);
	munmap(p, page);
	close(dmabuf);
	close(ro);

	assert_int_equal(ioctl(wo, K2U_IOC_SETUP, &setup), 0);
	dmabuf = open_dmabuf(wo);
	assert_mmap_fails(dmabuf, 0, page, PROT_READ, MAP_SHARED, EACCES);
	close(dmabuf);
	close(wo);
}

static void test_bounds(void **state)
{
	const uint32_t backing = *(const uint32_t *)*state;
	const uint64_t page = page_size(), size = 4 * page;
	int fd = open_buffer(backing, size), dmabuf = open_dmabuf(fd);
	const struct {
		uint64_t offset, len;
		int err;
	} ranges[] = {
		{ 0, size + 1, EINVAL },
		{ page, size, EINVAL },
		{ size, page, EINVAL },
		{ size - page, 2 * page, EINVAL },
		{ 1, page, EINVAL },
		{ 0, 0, EINVAL },
		{ K2U_MMAP_OFFSET(K2U_METHOD_pfn), page, EINVAL },
		{ 1ULL << 62, page, EINVAL },
		{ -page, page, EOVERFLOW },
	};

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		void *p = mmap(NULL, ranges[i].len, PROT_READ, MAP_SHARED,
			       dmabuf, (off_t)ranges[i].offset);

		if (p != MAP_FAILED)
			fail_msg("range %zu is mapped", i);
		/* An offset past what its inode may have is another errno */
		assert_true(errno == ranges[i].err ||
			    (errno == EOVERFLOW && ranges[i].offset > size));
	}
	for (uint64_t first = 0; first < size; first += page) {
		char *p = mmap(NULL, size - first, PROT_READ, MAP_SHARED,
			       dmabuf, (off_t)first);

		assert_ptr_not_equal(p, MAP_FAILED);
		assert_pattern(p, first, size - first);
		munmap(p, size - first);
	}
	close(dmabuf);
	close(fd);
}

static void test_ioctl(void **state)
{
	struct k2u_export flags = { .flags = 1 },
			  reserved = { .reserved = { 1 } };
	const struct rlimit few = { .rlim_cur = 0, .rlim_max = 4096 };
	struct k2u_info info = { 0 };
	struct rlimit limit;
	int fd = open_k2u(O_RDWR), dmabuf;

	(void)state;
	assert_int_equal(ioctl(fd, K2U_IOC_EXPORT, NULL), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(ioctl(fd, K2U_IOC_EXPORT, &flags), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(ioctl(fd, K2U_IOC_EXPORT, &reserved), -1);
	assert_int_equal(errno, EINVAL);
	/* Of a file without a buffer: the default one */
	dmabuf = open_dmabuf(fd);
	assert_int_equal(ioctl(fd, K2U_IOC_INFO, &info), 0);
	assert_int_equal(info.size, info.default_bytes);
	assert_int_equal(lseek(dmabuf, 0, SEEK_END), info.default_bytes);
	close(dmabuf);
	/* No room for its descriptor: nothing is left of it */
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(export_fd(fd), -1);
	assert_int_equal(errno, EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	close(fd);
	assert_int_equal(module_refs(), 0);
}

int main(void)
{
	static const CMUnitTestFunction functions[] = {
		test_access, test_lifetime, test_rights, test_bounds
	};
	static const char *const names[] = { "access", "lifetime", "rights",
					     "bounds" };
	struct CMUnitTest
		tests[ARRAY_SIZE(functions) * ARRAY_SIZE(backings) + 1];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
		for (size_t b = 0; b < ARRAY_SIZE(backings); b++) {
			char *name;

			if (!(methods[K2U_METHOD_dmabuf].backings &
			      backings[b]))
				continue;
			if (asprintf(&name, "%s/%s", names[i],
				     backing_name(backings[b])) < 0)
				abort();
			tests[n++] =
				(struct CMUnitTest){ name, functions[i], NULL,
						     NULL,
						     (void *)&backings[b] };
		}
	}
	tests[n++] =
		(struct CMUnitTest){ "ioctl", test_ioctl, NULL, NULL, NULL };
	return _cmocka_run_group_tests("dmabuf", tests, n, NULL, NULL);
}

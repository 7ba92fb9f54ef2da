// SPDX-License-Identifier: GPL-2.0
/* What must be refused is refused, with the errno that k2u.h names. */
#include <limits.h>
#include <sys/stat.h>

#include "guest.h"

#define NPAGES 4

static void test_mmap(void **state)
{
	const struct row *row = *state;
	const size_t page = page_size(), size = NPAGES * page;
	const uint64_t base = K2U_MMAP_OFFSET(row->id);
	int rw = open_buffer(row->backing, size);
	const int r = PROT_READ, w = PROT_READ | PROT_WRITE, s = MAP_SHARED;
	const int no = !(row->access & K2U_ACCESS_MAP) || !row->served ?
			       EOPNOTSUPP :
			       0;
	const bool pfns = behind_of(row->id) == BEHIND_PFNMAP ||
			  behind[row->id] == BEHIND_LEAF;
	const int private = pfns && row->access & K2U_ACCESS_MAP ? EINVAL : no;
	const struct {
		uint64_t offset;
		size_t size;
		int prot, flags, err;
	} cases[] = {
		{ base, size, r, s, no },
		{ base, 1, r, s, no },
		{ base, 0, r, s, EINVAL },
		{ base + 1, page, r, s, EINVAL },
		{ base, size + 1, r, s, no ?: EINVAL },
		{ base, size + page, r, s, no ?: EINVAL },
		{ base, 1UL << 40, r, s, no ?: EINVAL },
		{ base + size - page, page, r, s, no },
		{ base + size - page, 2 * page, r, s, no ?: EINVAL },
		{ base + size, page, r, s, no ?: EINVAL },
		{ base + size + page, page, r, s, no ?: EINVAL },
		{ base + (1ULL << 40) - page, page, r, s, no ?: EINVAL },
		{ base, size, r | PROT_EXEC, s,
		  row->access & K2U_ACCESS_MAP ? EACCES : EOPNOTSUPP },
		{ base, size, w, s, no },
		/* reading is harmless, but shows PFNs in maps; a store is a bug */
		{ base, size, r, MAP_PRIVATE, private },
		{ base, size, w, MAP_PRIVATE, private },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_mmap_fails(rw, cases[i].offset, cases[i].size,
				  cases[i].prot, cases[i].flags, cases[i].err);
	assert_int_equal(counters(rw).vmas, 0);
	close(rw);
}

static void test_no_method(void **state)
{
	const size_t page = page_size();
	int fd = open_buffer(K2U_BACKING_VMALLOC, page);

	(void)state;
	assert_mmap_fails(fd, K2U_MMAP_OFFSET(ARRAY_SIZE(methods)), page,
			  PROT_READ, MAP_SHARED, EINVAL);
	assert_mmap_fails(fd, K2U_MMAP_OFFSET(255), page, PROT_READ, MAP_SHARED,
			  EINVAL);
	assert_mmap_fails(fd, K2U_MMAP_OFFSET(256), page, PROT_READ, MAP_SHARED,
			  EINVAL);
	assert_mmap_fails(fd, -(uint64_t)page, page, PROT_READ, MAP_SHARED,
			  EOVERFLOW);
	close(fd);
}

/* A read-only file gives no way to write, a mapping none to execute. */
static void test_protection(void **state)
{
	const struct row *row = *state;
	const size_t page = page_size();
	struct k2u_setup setup = { .size = page,
				   .backing = row->backing,
				   .node = K2U_NODE_ANY };
	char path[32];
	int rw = open_buffer(row->backing, page), ro;
	char *p;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", rw);
	p = map_buffer(rw, row->id, page, PROT_READ);
	assert_int_equal(mprotect(p, page, PROT_READ | PROT_EXEC), -1);
	assert_int_equal(errno, EACCES);
	assert_int_equal(mprotect(p, page, PROT_READ | PROT_WRITE), 0);
	munmap(p, page);
	close(rw);

	ro = open_k2u(O_RDONLY);
	assert_int_equal(ioctl(ro, K2U_IOC_SETUP, &setup), 0);
	assert_mmap_fails(ro, K2U_MMAP_OFFSET(row->id), page,
			  PROT_READ | PROT_WRITE, MAP_SHARED, EACCES);
	p = mmap(NULL, page, PROT_READ, MAP_SHARED, ro,
		 K2U_MMAP_OFFSET(row->id));
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(mprotect(p, page, PROT_READ | PROT_WRITE), -1);
	assert_int_equal(errno, EACCES);
	munmap(p, page);
	close(ro);
}

static void assert_setup_fails(const struct k2u_setup *setup, int expected)
{
	int fd = open_k2u(O_RDWR), rc = ioctl(fd, K2U_IOC_SETUP, setup);

	if (rc == 0 || errno != expected)
		fail_msg(
			"setup(size %#llx, backing %#x, node %d): %s, expected %s",
			(unsigned long long)setup->size, setup->backing,
			setup->node, rc ? strerror(errno) : "success",
			strerror(expected));
	close(fd);
}

static void test_setup(void **state)
{
	struct k2u_info info = { 0 };
	const struct k2u_setup good = { .size = 4096,
					.backing = K2U_BACKING_VMALLOC,
					.node = K2U_NODE_ANY };
	struct k2u_setup bad;
	int fd = open_k2u(O_RDWR);

	(void)state;
	assert_int_equal(ioctl(fd, K2U_IOC_INFO, &info), 0);
#define BAD(field, value, err) \
	(bad = good, bad.field = (value), assert_setup_fails(&bad, err))
	BAD(size, 0, EINVAL);
	BAD(size, info.max_bytes + 1, EFBIG);
	BAD(size, UINT64_MAX, EFBIG);
	BAD(size, 1ULL << 63, EFBIG);
	BAD(backing, 0, EINVAL);
	BAD(backing, K2U_BACKING_ANY, EINVAL);
	BAD(backing, 1u << 31, EINVAL);
	BAD(cache, K2U_CACHE_UC + 1, EINVAL);
	BAD(node, 1 << 20, EINVAL);
	BAD(node, -2, EINVAL);
	BAD(flags, 1u << 31, EINVAL);
	BAD(reserved[3], 1, EINVAL);
#undef BAD
	bad = good;
	bad.backing = K2U_BACKING_CONTIG;
	bad.size = info.max_contig_bytes + 1;
	assert_setup_fails(&bad, EFBIG);

	/* one buffer per file, for ever; mapped or not */
	assert_int_equal(ioctl(fd, K2U_IOC_SETUP, &good), 0);
	assert_int_equal(ioctl(fd, K2U_IOC_SETUP, &good), -1);
	assert_int_equal(errno, EBUSY);
	close(fd);

	fd = open_k2u(O_RDWR);
	bad = good;
	bad.node = 0;
	assert_int_equal(ioctl(fd, K2U_IOC_SETUP, &bad), 0);
	assert_int_equal(ioctl(fd, K2U_IOC_INFO, &info), 0);
	assert_int_equal(info.node, 0);
	close(fd);
}

/* The bound holds over all open files together. */
static void test_bound(void **state)
{
	struct k2u_info info = { 0 };
	int a = open_k2u(O_RDWR), b = open_k2u(O_RDWR);
	struct k2u_setup setup = { .backing = K2U_BACKING_VMALLOC,
				   .node = K2U_NODE_ANY };

	(void)state;
	assert_int_equal(ioctl(a, K2U_IOC_INFO, &info), 0);
	assert_int_equal(info.used_bytes, 0);
	setup.size = info.max_bytes;
	assert_int_equal(ioctl(a, K2U_IOC_SETUP, &setup), 0);
	setup.size = 1;
	assert_int_equal(ioctl(b, K2U_IOC_SETUP, &setup), -1);
	assert_int_equal(errno, ENOMEM);
	close(a);
	assert_int_equal(ioctl(b, K2U_IOC_SETUP, &setup), 0);
	assert_int_equal(ioctl(b, K2U_IOC_INFO, &info), 0);
	assert_int_equal(info.used_bytes, page_size());
	close(b);
}

static void test_ioctl(void **state)
{
	int rw = open_buffer(K2U_BACKING_VMALLOC, 100), ro = open_k2u(O_RDONLY);
	const struct {
		uint64_t offset, size;
		int err;
	} hashes[] = {
		{ 0, 100, 0 },
		{ 96, 4, 0 },
		{ 0, 0, 0 },
		{ 1, 8, EINVAL },
		{ 0, 101, EINVAL },
		{ 104, 0, EINVAL },
		{ 96, UINT64_MAX - 90, EINVAL },
		{ UINT64_MAX - 7, 8, EINVAL },
	};
	struct k2u_counters n = { .reserved = { 0, 0, 1 } };
	struct k2u_inspect i = { .reserved = { 1 } };
	struct k2u_info info = { .reserved = { 1 } };
	struct k2u_fill fill = { 0 };
	const struct {
		int fd;
		unsigned long cmd;
		void *arg;
		int err;
	} cases[] = {
		{ rw, _IO(K2U_IOC_MAGIC, 99), NULL, ENOTTY },
		{ rw, _IOW(K2U_IOC_MAGIC, 0, char), NULL, ENOTTY },
		{ rw, 0, NULL, ENOTTY },
		{ rw, K2U_IOC_SETUP, NULL, EFAULT },
		{ rw, K2U_IOC_INFO, (void *)~0xfffUL, EFAULT },
		{ rw, K2U_IOC_FILL, NULL, EFAULT },
		{ rw, K2U_IOC_CHECKSUM, NULL, EFAULT },
		{ rw, K2U_IOC_COUNTERS, NULL, EFAULT },
		{ rw, K2U_IOC_INSPECT, NULL, EFAULT },
		{ rw, K2U_IOC_COUNTERS, &n, EINVAL },
		{ rw, K2U_IOC_INSPECT, &i, EINVAL },
		{ rw, K2U_IOC_INFO, &info, EINVAL },
		{ ro, K2U_IOC_FILL, &fill, EBADF },
	};

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(cases); k++) {
		int rc = ioctl(cases[k].fd, cases[k].cmd, cases[k].arg);

		if (rc != -1 || errno != cases[k].err)
			fail_msg("ioctl %#lx (case %zu): %s, expected %s",
				 cases[k].cmd, k,
				 rc ? strerror(errno) : "success",
				 strerror(cases[k].err));
	}

	for (size_t k = 0; k < ARRAY_SIZE(hashes); k++) {
		struct k2u_checksum c = { .offset = hashes[k].offset,
					  .size = hashes[k].size };

		assert_int_equal(ioctl(rw, K2U_IOC_CHECKSUM, &c) ? errno : 0,
				 hashes[k].err);
	}
	close(rw);
	close(ro);
}

static void test_copy(void **state)
{
	const size_t size = 5000;
	int fd = open_buffer(K2U_BACKING_VMALLOC, size);
	char *p = malloc(1 << 20), *volatile nowhere = NULL;
	volatile size_t huge = INT_MAX;
	char *q = mmap(NULL, huge, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	(void)state;
	assert_ptr_not_equal(q, MAP_FAILED);
	assert_int_equal(pread(fd, nowhere, 8, 0), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(pwrite(fd, nowhere, 8, 0), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(pread(fd, p, 8, -1), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(pread(fd, p, 8, (off_t)size), 0);
	assert_int_equal(pread(fd, p, 8, INT64_MAX - 8), 0);
	assert_int_equal(pread(fd, p, 1 << 20, 0), size);
	assert_int_equal(pread(fd, q, huge, 4999), 1);
	assert_int_equal(pread(fd, p, 0, 0), 0);
	assert_int_equal(pread(fd, nowhere, 0, 0), 0);
	assert_int_equal(pwrite(fd, p, 8, (off_t)size), -1);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(pwrite(fd, p, 0, (off_t)size), 0);
	assert_int_equal(lseek(fd, -1, SEEK_SET), -1);
	assert_int_equal(errno, EINVAL);
	munmap(q, huge);
	free(p);
	close(fd);
}

static void test_unprivileged(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(stat(K2U_DEVICE, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(seteuid(65534), 0);
	assert_int_equal(open(K2U_DEVICE, O_RDONLY), -1);
	assert_int_equal(errno, EACCES);
	assert_int_equal(seteuid(0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_method),
		cmocka_unit_test(test_setup),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_ioctl),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_unprivileged),
	};
	int failed = 0;

	failed += run_rows("mmap", test_mmap, 0, ROWS_NULL | ROWS_REFUSED);
	failed += run_rows("protection", test_protection, K2U_ACCESS_MAP,
			   ROWS_NULL);
	failed += cmocka_run_group_tests(tests, NULL, NULL);
	return failed;
}

/* SPDX-License-Identifier: GPL-2.0 */
/* What the guest tests share: the registry's rows, files, mappings, contents. */
#ifndef K2U_GUEST_H
#define K2U_GUEST_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cmocka.h>

#include "copy.h"
#include "k2u.h"
#include "pattern.h"

#define SEED 0x6b3275ULL
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* A registry line on one backing: what a test of all combinations runs on. */
struct row {
	const char *method;
	uint32_t id;
	uint32_t access;
	uint32_t backing;
	bool lazy; /* its pages come by faults after mmap() */
	uint32_t faults; /* K2U_FAULTS_* */
	bool served; /* the method serves the backing here, as the module says */
};

static const struct {
	const char *name;
	uint32_t id, access, backings, faults;
} methods[] = {
#define K2U_METHOD(id, name, access, backings, faults, title, refusal) \
	{ #name, id, K2U_ACCESS_##access, K2U_BACKING_##backings,      \
	  K2U_FAULTS_##faults },
#include "methods.def"
#undef K2U_METHOD
};

/* What is behind the entries of each method, by hostile.def */
static const enum behind {
	BEHIND_PAGES,
	BEHIND_MIXEDMAP,
	BEHIND_PFNMAP,
	BEHIND_EMPTY,
	BEHIND_LEAF /* as this kernel makes a PMD leaf: see behind_of() */
} behind[] = {
/* clang-format off */
#define HOSTILE_METHOD(name, is) \
	[K2U_METHOD_##name] = BEHIND_##is,
/* clang-format on */
#include "hostile.def"
};

static const uint32_t backings[] = {
#define K2U_BACKING(bit, NAME, name) K2U_BACKING_##NAME,
#include "backings.def"
#undef K2U_BACKING
};

static inline const char *backing_name(uint32_t backing)
{
	static const struct {
		uint32_t backing;
		const char *name;
	} names[] = {
#define K2U_BACKING(bit, NAME, name) { K2U_BACKING_##NAME, #name },
#include "backings.def"
#undef K2U_BACKING
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].backing == backing)
			return names[i].name;
	return "none";
}

static inline size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/* Ends the test, which this kernel cannot have: a line that tests/tap.sh reads */
#define unavailable(...)                               \
	do {                                           \
		printf("# unavailable: " __VA_ARGS__); \
		putchar('\n');                         \
		skip();                                \
	} while (0)

static inline int open_k2u(int flags)
{
	int fd = open(K2U_DEVICE, flags | O_CLOEXEC);

	if (fd < 0)
		fail_msg("open %s: %s", K2U_DEVICE, strerror(errno));
	return fd;
}

static inline struct k2u_info module_info(void)
{
	struct k2u_info info = { 0 };
	int fd = open_k2u(O_RDWR);

	assert_int_equal(ioctl(fd, K2U_IOC_INFO, &info), 0);
	close(fd);
	return info;
}

/* What holds the module */
static inline long module_refs(void)
{
	FILE *f = fopen("/sys/module/k2u/refcnt", "re");
	long n = -1;

	assert_non_null(f);
	if (fscanf(f, "%ld", &n) != 1)
		fail_msg("/sys/module/k2u/refcnt");
	fclose(f);
	return n;
}

/* Of one that does not block: what was signalled since it was last read */
static inline uint64_t count_of(int eventfd)
{
	uint64_t count;

	if (read(eventfd, &count, sizeof(count)) == sizeof(count))
		return count;
	assert_int_equal(errno, EAGAIN);
	return 0;
}

static inline struct k2u_method_info method_info(uint32_t id)
{
	struct k2u_method_info about = { .method = id };
	int fd = open_k2u(O_RDWR);

	assert_int_equal(ioctl(fd, K2U_IOC_METHOD, &about), 0);
	close(fd);
	return about;
}

/* A file with a buffer of size bytes, filled with SEED's pattern. */
static inline int open_cached(uint32_t backing, size_t size, uint32_t cache)
{
	struct k2u_setup setup = {
		.size = size,
		.backing = backing,
		.cache = cache,
		.node = K2U_NODE_ANY,
		.flags = K2U_SETUP_FILL,
		.seed = SEED,
	};
	int fd = open_k2u(O_RDWR);

	if (ioctl(fd, K2U_IOC_SETUP, &setup))
		fail_msg("setup of %zu bytes %s: %s", size,
			 backing_name(backing), strerror(errno));
	return fd;
}

static inline int open_buffer(uint32_t backing, size_t size)
{
	return open_cached(backing, size, K2U_CACHE_WB);
}

/* What a buffer takes of max_bytes: what is of several pages is whole */
static inline uint64_t taken_of(const struct k2u_info *info, uint32_t backing,
				uint64_t size)
{
	uint64_t unit = backing == K2U_BACKING_HUGE ? info->pmd_size :
						      info->page_size;

	while (backing == K2U_BACKING_DMA && unit < size)
		unit *= 2;
	return (size + unit - 1) / unit * unit;
}

static inline enum behind behind_of(uint32_t id)
{
	if (behind[id] != BEHIND_LEAF)
		return behind[id];
	return module_info().flags & K2U_INFO_PMD_PFN ? BEHIND_PFNMAP :
							BEHIND_PAGES;
}

/* What belongs to a shared mapping by this method */
static inline int shared_flags(uint32_t id)
{
	return methods[id].faults == K2U_FAULTS_POPULATE ?
		       MAP_SHARED | MAP_POPULATE :
		       MAP_SHARED;
}

/* That release, or a later one */
static inline bool kernel_is(int major, int minor)
{
	struct utsname uts;
	int v[2], n;

	uname(&uts);
	n = sscanf(uts.release, "%d.%d", &v[0], &v[1]);
	assert_int_equal(n, 2);
	return v[0] > major || (v[0] == major && v[1] >= minor);
}

/* MADV_POPULATE_READ is for who maps to say */
static inline bool is_lazy(uint32_t id)
{
	return methods[id].faults == K2U_FAULTS_PAGE ||
	       methods[id].faults == K2U_FAULTS_AROUND ||
	       methods[id].faults == K2U_FAULTS_PMD ||
	       methods[id].faults == K2U_FAULTS_POPULATE_READ;
}

/* Why this kernel has not what the method needs; NULL: it has */
static inline const char *absence(uint32_t id)
{
	static struct k2u_method_info about[ARRAY_SIZE(methods)];

	if (about[id].method != id || !about[id].backings)
		about[id] = method_info(id);
	return about[id].absent[0] ? (const char *)about[id].absent : NULL;
}

/*
 * The faults of touching every page of a mapping by this method, none of which
 * is there; it is smaller than a PMD leaf maps
 */
static inline uint64_t faults_of(uint32_t id, const void *p, size_t size)
{
	const uintptr_t at = (uintptr_t)p;
	const size_t page = page_size(),
		     window = page > K2U_AROUND_BYTES ? page : K2U_AROUND_BYTES;

	switch (methods[id].faults) {
	case K2U_FAULTS_NONE:
		return 0;
	case K2U_FAULTS_AROUND:
		return (at + size - 1) / window - at / window + 1;
	default:
		return (size + page - 1) / page;
	}
}

static inline void *map_buffer(int fd, uint32_t id, size_t size, int prot)
{
	void *p = mmap(NULL, size, prot, shared_flags(id), fd,
		       K2U_MMAP_OFFSET(id));

	if (p == MAP_FAILED)
		fail_msg("mmap of %zu bytes by method %u: %s", size, id,
			 strerror(errno));
	return p;
}

/* What pread() returns, by the row's method of copying */
static inline ssize_t copy_out(const struct row *row, int fd, void *p,
			       size_t size, uint64_t offset)
{
	return copy_by(row->access, row->id, fd, p, size, offset);
}

/* The physical address of a buffer's first page, contiguous with the others */
static inline uint64_t buffer_paddr(int fd)
{
	struct k2u_inspect in = { .size = page_size() };
	void *p = map_buffer(fd, K2U_METHOD_pfn, page_size(), PROT_READ);

	in.addr = (uintptr_t)p;
	assert_int_equal(ioctl(fd, K2U_IOC_INSPECT, &in), 0);
	assert_int_not_equal(in.first_pfn, 0);
	munmap(p, page_size());
	return in.first_pfn * page_size();
}

/* A mapping of the buffer by a method that needs another file; NULL: the kernel refuses it */
static inline void *map_other(int fd, uint32_t id, size_t size, int prot)
{
	void *p = MAP_FAILED;
	int other = -1, err;

	if (id == K2U_METHOD_devmem) {
		const off_t at = (off_t)buffer_paddr(fd);

		other = open("/dev/mem", O_RDWR | O_CLOEXEC);
		if (other >= 0)
			p = mmap(NULL, size, prot, MAP_SHARED, other, at);
	}
	if (id == K2U_METHOD_dmabuf) {
		struct k2u_export export = { 0 };

		other = ioctl(fd, K2U_IOC_EXPORT, &export);
		if (other >= 0)
			p = mmap(NULL, size, prot, MAP_SHARED, other, 0);
	}
	err = errno;
	if (other >= 0)
		close(other);
	errno = err;
	return p == MAP_FAILED ? NULL : p;
}

static inline struct k2u_counters counters(int fd)
{
	struct k2u_counters c = { 0 };

	assert_int_equal(ioctl(fd, K2U_IOC_COUNTERS, &c), 0);
	return c;
}

static inline uint64_t kernel_hash(int fd, size_t size)
{
	struct k2u_checksum c = { .size = size };

	assert_int_equal(ioctl(fd, K2U_IOC_CHECKSUM, &c), 0);
	return c.hash;
}

static inline uint64_t user_hash(const void *p, size_t size)
{
	uint64_t hash = 0, word;

	for (size_t i = 0; i < size; i += sizeof(word)) {
		word = 0;
		memcpy(&word, (const char *)p + i,
		       size - i < sizeof(word) ? size - i : sizeof(word));
		hash = k2u_hash(hash, word);
	}
	return hash;
}

/* Byte i of the pattern. */
static inline uint8_t pattern_byte(uint64_t seed, size_t i)
{
	return (uint8_t)(k2u_pattern(seed, i / 8) >> (i % 8 * 8));
}

static inline void assert_pattern(const void *p, size_t offset, size_t size)
{
	const uint8_t *byte = p;

	for (size_t i = 0; i < size; i++)
		if (byte[i] != pattern_byte(SEED, offset + i))
			fail_msg("byte %zu is %#x, not %#x", offset + i,
				 byte[i], pattern_byte(SEED, offset + i));
}

/* mmap() must fail with this errno. */
static inline void assert_mmap_fails(int fd, uint64_t offset, size_t size,
				     int prot, int flags, int expected)
{
	void *p = mmap(NULL, size, prot, flags, fd, (off_t)offset);
	int got = p == MAP_FAILED ? errno : 0;

	if (p != MAP_FAILED)
		munmap(p, size);
	if (got != expected)
		fail_msg(
			"mmap(offset %#llx, size %#zx, prot %d, flags %#x): %s, expected %s",
			(unsigned long long)offset, size, prot, flags,
			got ? strerror(got) : "success", strerror(expected));
}

#define K2U_KO "/k2u.ko"

/* 0 or an errno */
static inline int load_module(const char *parameters)
{
	int fd = open(K2U_KO, O_RDONLY | O_CLOEXEC), err;

	assert_true(fd >= 0);
	err = syscall(SYS_finit_module, fd, parameters, 0) ? errno : 0;
	close(fd);
	return err;
}

static inline void unload_module(void)
{
	assert_int_equal(syscall(SYS_delete_module, "k2u", O_NONBLOCK), 0);
}

/* Whether the method serves the backing; of an absent one, would */
static inline bool serves(uint32_t id, uint32_t backing)
{
	return (absence(id) ? methods[id].backings : method_info(id).backings) &
	       backing;
}

#define ROWS_REFUSED 1 /* the combinations that the registry refuses, too */
#define ROWS_NULL 2 /* null, which has no bytes, too */

static inline void test_unavailable(void **state)
{
	const struct row *row = *state;

	printf("# unavailable: %s\n", absence(row->id));
	skip();
}

/* If set, run_rows() leaves out the other methods: not all kernels have what they need */
static const char *only_method;

/* Runs test on every method x backing that has all of these access bits. */
static inline int run_rows(const char *group, CMUnitTestFunction test,
			   uint32_t access, int which)
{
	static struct row rows[ARRAY_SIZE(methods) * ARRAY_SIZE(backings)];
	struct CMUnitTest tests[ARRAY_SIZE(rows)];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const size_t m = i / ARRAY_SIZE(backings);
		const uint32_t backing = backings[i % ARRAY_SIZE(backings)];
		const bool served = serves(m, backing);
		char *name;

		if ((only_method && strcmp(only_method, methods[m].name)) ||
		    (methods[m].access & access) != access ||
		    (!served && !(which & ROWS_REFUSED)) ||
		    (methods[m].id == K2U_METHOD_null && !(which & ROWS_NULL)))
			continue;
		if (asprintf(&name, "%s/%s/%s", group, methods[m].name,
			     backing_name(backing)) < 0)
			abort();
		rows[n] = (struct row){ methods[m].name,
					methods[m].id,
					methods[m].access,
					backing,
					is_lazy(methods[m].id),
					methods[m].faults,
					served };
		tests[n] =
			(struct CMUnitTest){ name, test, NULL, NULL, &rows[n] };
		if (absence(methods[m].id))
			tests[n].test_func = test_unavailable;
		n++;
	}
	return _cmocka_run_group_tests(group, tests, n, NULL, NULL);
}

#endif /* K2U_GUEST_H */

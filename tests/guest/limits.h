/* SPDX-License-Identifier: GPL-2.0 */
/* What the tests of limits share: INFO, memory cgroups, children that report. */
#ifndef K2U_LIMITS_H
#define K2U_LIMITS_H

#include <inttypes.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "guest.h"

#define MIB (1UL << 20)

static inline struct k2u_info info(int fd)
{
	struct k2u_info i = { 0 };

	if (ioctl(fd, K2U_IOC_INFO, &i))
		abort();
	return i;
}

/* INFO by a file of its own. */
static inline struct k2u_info info_now(void)
{
	int fd = open_k2u(O_RDWR);
	struct k2u_info i = info(fd);

	close(fd);
	return i;
}

/* 0 or errno */
static inline int try_setup(int fd, uint32_t backing, uint64_t size,
			    uint32_t flags)
{
	struct k2u_setup setup = { .size = size,
				   .backing = backing,
				   .node = K2U_NODE_ANY,
				   .flags = flags,
				   .seed = SEED };

	return ioctl(fd, K2U_IOC_SETUP, &setup) ? errno : 0;
}

static inline void raise_nofile(unsigned long n)
{
	struct rlimit limit = { n, n };

	if (setrlimit(RLIMIT_NOFILE, &limit))
		fail_msg("RLIMIT_NOFILE %lu: %s", n, strerror(errno));
}

/* Zeroed memory that children write their reports to. */
static inline void *shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

/* ---- the machine's memory ---- */

/*
 * What a leak would show in; KiB. VmallocUsed does not count areas that vmap()
 * made, so those of the module are counted themselves.
 */
struct memory {
	long free; /* MemFree, and what the processors keep in their lists */
	long slab, vmalloc, percpu, tables;
	long areas; /* the module's, in number */
};

/* For each line of a file of /proc */
static inline void each_line(const char *path,
			     void (*fn)(const char *line, struct memory *m),
			     struct memory *m)
{
	FILE *f = fopen(path, "re");
	char line[512];

	if (!f)
		fail_msg("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f))
		fn(line, m);
	fclose(f);
}

/* The number after name, at the line's start; value as it was on any other. */
static inline void number(const char *line, const char *name, long *value)
{
	line += strspn(line, " ");
	if (!strncmp(line, name, strlen(name)))
		*value = strtol(line + strlen(name), NULL, 10);
}

static inline void meminfo_line(const char *line, struct memory *m)
{
	number(line, "MemFree:", &m->free);
	number(line, "Slab:", &m->slab);
	number(line, "VmallocUsed:", &m->vmalloc);
	number(line, "Percpu:", &m->percpu);
	number(line, "PageTables:", &m->tables);
}

static inline void zoneinfo_line(const char *line, struct memory *m)
{
	long pages = 0;

	number(line, "count:", &pages);
	m->free += pages * (long)(page_size() / 1024);
}

static inline void vmallocinfo_line(const char *line, struct memory *m)
{
	m->areas += !!strstr(line, "k2u_");
}

static inline struct memory memory_now(void)
{
	struct memory m = { -1, -1, -1, -1, -1, 0 };

	each_line("/proc/meminfo", meminfo_line, &m);
	assert_true(m.free > 0 && m.slab >= 0 && m.vmalloc >= 0 &&
		    m.percpu >= 0 && m.tables >= 0);
	each_line("/proc/zoneinfo", zoneinfo_line, &m);
	each_line("/proc/vmallocinfo", vmallocinfo_line, &m);
	return m;
}

/*
 * Files are freed after a grace period, module and vmalloc areas by a worker:
 * what is not back at once gets time, but not for ever.
 */
static inline void assert_memory_back(const char *what,
				      const struct memory *was, long bound,
				      long free_bound)
{
	struct memory is;
	bool back;
	int tries = 0;

	do {
		usleep(100000);
		is = memory_now();
		back = was->free - is.free <= free_bound &&
		       is.slab - was->slab <= bound &&
		       is.vmalloc - was->vmalloc <= bound &&
		       is.percpu - was->percpu <= bound &&
		       is.tables - was->tables <= bound &&
		       is.areas == was->areas;
	} while (!back && tries++ < 50);
	printf("# %s: free %+ld, Slab %+ld, VmallocUsed %+ld, Percpu %+ld, PageTables %+ld KiB, areas %+ld\n",
	       what, is.free - was->free, is.slab - was->slab,
	       is.vmalloc - was->vmalloc, is.percpu - was->percpu,
	       is.tables - was->tables, is.areas - was->areas);
	if (!back)
		fail_msg(
			"more than %ld KiB (free: %ld), or an area, is not back",
			bound, free_bound);
}

/* ---- memory cgroups (v2) ---- */

#define CGROUP_ROOT "/tmp/cgroup"

static inline int cgroup_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int ok = fd >= 0 &&
		 write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	const int err = errno;

	if (fd >= 0)
		close(fd);
	return ok ? 0 : err;
}

/* The number in file of group k2u, or of its line key. */
static inline uint64_t cgroup_read(const char *file, const char *key)
{
	char path[128], line[128];
	uint64_t value = UINT64_MAX;
	FILE *f;

	snprintf(path, sizeof(path), CGROUP_ROOT "/k2u/%s", file);
	f = fopen(path, "re");
	if (!f)
		fail_msg("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		const size_t len = key ? strlen(key) : 0;

		if (!key || (!strncmp(line, key, len) && line[len] == ' '))
			value = strtoull(line + len, NULL, 10);
	}
	fclose(f);
	if (value == UINT64_MAX)
		fail_msg("%s has no number %s", path, key ?: "");
	return value;
}

static inline uint64_t cgroup_current(void)
{
	return cgroup_read("memory.current", NULL);
}

/* "max" if bytes is 0 */
static inline void cgroup_limit(uint64_t bytes)
{
	char text[32] = "max";
	int err;

	if (bytes)
		snprintf(text, sizeof(text), "%" PRIu64, bytes);
	err = cgroup_write(CGROUP_ROOT "/k2u/memory.max", text);
	if (err)
		fail_msg("memory.max = %s: %s", text, strerror(err));
}

/* Makes group k2u afresh, with a limit; a test that failed may have left it. */
static inline void cgroup_make(uint64_t bytes)
{
	struct stat st;
	int err;

	if (stat(CGROUP_ROOT "/cgroup.procs", &st)) {
		mkdir(CGROUP_ROOT, 0755);
		if (mount("k2u", CGROUP_ROOT, "cgroup2", 0, NULL))
			fail_msg("mount cgroup2: %s", strerror(errno));
	}
	err = cgroup_write(CGROUP_ROOT "/cgroup.subtree_control", "+memory");
	if (err)
		fail_msg("memory controller: %s", strerror(err));
	rmdir(CGROUP_ROOT "/k2u");
	if (mkdir(CGROUP_ROOT "/k2u", 0755))
		fail_msg("mkdir group: %s", strerror(errno));
	cgroup_limit(bytes);
}

static inline void cgroup_remove(void)
{
	if (rmdir(CGROUP_ROOT "/k2u"))
		fail_msg("rmdir group: %s", strerror(errno));
}

/*
 * Runs fn in a child that is in group k2u, its memory locked, so that what is
 * charged while it runs is the kernel's. fn must not assert: it fills in arg.
 * Returns the child's wait status.
 */
static inline int cgroup_run(void (*fn)(void *arg), void *arg)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (cgroup_write(CGROUP_ROOT "/k2u/cgroup.procs", "0") ||
		    mlockall(MCL_CURRENT))
			_exit(99);
		fn(arg);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

#endif /* K2U_LIMITS_H */

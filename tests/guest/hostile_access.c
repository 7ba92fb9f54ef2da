// SPDX-License-Identifier: GPL-2.0
/* A mapping read behind its back, and what of it is shown to whom. */
#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <linux/capability.h>
#include <linux/futex.h>

#include "hostile.h"

/* The ways that take pages, not addresses: a PFN mapping has none to give. */
HOSTILE(gup)
{
	char *p = hostile_map(h, PROT_READ | PROT_WRITE), *q;
	struct iovec mine, theirs = { p, h->len };
	uint64_t word = k2u_pattern(SEED, 0);
	uint32_t low = (uint32_t)word;
	int ends[2], fd;

	q = hostile_anon(h, h->len, PROT_READ | PROT_WRITE);
	mine = (struct iovec){ q, h->len };
	expect(h, "vm_readv",
	       result(process_vm_readv(getpid(), &mine, 1, &theirs, 1, 0)));
	mine = (struct iovec){ &word, 8 };
	theirs = (struct iovec){ p, 8 };
	expect(h, "vm_writev",
	       result(process_vm_writev(getpid(), &mine, 1, &theirs, 1, 0)));
	check(hostile_pattern(h, p, 0, 8));

	need(!pipe2(ends, O_CLOEXEC | O_NONBLOCK));
	theirs = (struct iovec){ p, h->page };
	expect(h, "vmsplice",
	       result(vmsplice(ends[1], &theirs, 1, SPLICE_F_NONBLOCK)));
	close(ends[0]);
	close(ends[1]);
	need(!pipe2(ends, O_CLOEXEC | O_NONBLOCK));
	expect(h, "write_pipe", result(write(ends[1], p, 100)));
	need(write(ends[1], &word, 8) == 8);
	expect(h, "read_pipe", result(read(ends[0], p, 8)));
	check(hostile_pattern(h, p, 0, 8));
	close(ends[0]);
	close(ends[1]);

	expect(h, "futex_wake",
	       result(syscall(SYS_futex, p, FUTEX_WAKE, 1, NULL, NULL, 0)));
	expect(h, "futex_wait",
	       result(syscall(SYS_futex, p, FUTEX_WAIT, ~low, NULL, NULL, 0)));

	fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	need(fd >= 0);
	expect(h, "proc_mem_read",
	       result(pread(fd, q, h->page, (off_t)(uintptr_t)p)));
	expect(h, "proc_mem_write",
	       result(pwrite(fd, &word, 8, (off_t)(uintptr_t)p)));
	check(hostile_pattern(h, p, 0, h->len));
	hostile_unmap(h, p, h->len);

	/* A read-only file, forced as a debugger forces a read-only page */
	{
		int err;

		p = hostile_mmap(h, h->ro, 0, h->len, PROT_READ, MAP_SHARED,
				 &err);
		need(!err);
		expect(h, "proc_mem_write_readonly",
		       result(pwrite(fd, "x", 1, (off_t)(uintptr_t)p)));
		hostile_unmap(h, p, h->len);
	}
	close(fd);
}

HOSTILE(ptrace)
{
	char *p = hostile_map(h, PROT_READ | PROT_WRITE);
	pid_t pid = hostile_fork(h);
	long word;
	int status;

	if (!pid) {
		need(!ptrace(PTRACE_TRACEME, 0, NULL, NULL));
		raise(SIGSTOP);
		_exit(0);
	}
	need(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
	errno = 0;
	word = ptrace(PTRACE_PEEKDATA, pid, p, NULL);
	expect(h, "peek", errno);
	if (!errno)
		check((uint64_t)word == k2u_pattern(SEED, 0));
	expect(h, "poke",
	       result(ptrace(PTRACE_POKEDATA, pid, p, k2u_pattern(SEED, 0))));
	need(!ptrace(PTRACE_CONT, pid, NULL, NULL));
	expect(h, "child", hostile_wait(h, pid));
	check(hostile_pattern(h, p, 0, h->len));
	hostile_unmap(h, p, h->len);
}

static int dump_core(void)
{
	const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

	if (chdir("/tmp/k2u-core") || setrlimit(RLIMIT_CORE, &all) ||
	    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0))
		return 1;
	/* everything that a filter can ask for */
	int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "0x1ff", 5) != 5)
		return 2;
	abort();
}

static bool file_holds(const char *path, const void *what, size_t len,
		       size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	bool found;
	char *p;

	*size = 0;
	if (fd < 0 || fstat(fd, &st) || !st.st_size)
		return false;
	*size = (size_t)st.st_size;
	p = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return true;
	found = memmem(p, *size, what, len);
	munmap(p, *size);
	return found;
}

/* VM_DONTDUMP: the buffer's bytes are in no core file; the process's own are. */
HOSTILE(core)
{
	char *p = hostile_map(h, PROT_READ | PROT_WRITE), path[64];
	uint64_t *own =
		(void *)hostile_anon(h, h->page, PROT_READ | PROT_WRITE);
	/* volatile: else they are constants, in the program's own text */
	volatile uint64_t seed = SEED;
	uint64_t secret[2];
	size_t size;
	pid_t pid;

	check(hostile_pattern(h, p, 0, h->len));
	own[0] = k2u_pattern(seed, 1000000);
	own[1] = k2u_pattern(seed, 1000001);
	pid = hostile_fork(h);
	if (!pid)
		_exit(dump_core());
	/* computed only now, when no copy of it can be in the core */
	secret[0] = k2u_pattern(seed, 40);
	secret[1] = k2u_pattern(seed, 41);
	expect(h, "process", hostile_wait(h, pid));
	snprintf(path, sizeof(path), "/tmp/k2u-core/core.%d", pid);
	check(file_holds(path, own, 16, &size));
	check(!file_holds(path, secret, sizeof(secret), &size));
	check(size > 0);
	unlink(path);
	hostile_unmap(h, p, h->len);
	hostile_unmap(h, own, h->page);
}

/* The entry of /proc/self/pagemap for p */
static uint64_t pagemap(const struct hostile *h, const char *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry;

	need(fd >= 0);
	need(pread(fd, &entry, 8, (off_t)((uintptr_t)p / h->page * 8)) == 8);
	close(fd);
	return entry;
}

static uint64_t first_pfn(const struct hostile *h, int fd, const char *p)
{
	struct k2u_inspect i = { .addr = (uintptr_t)p, .size = h->page };

	need(!ioctl(fd, K2U_IOC_INSPECT, &i));
	return i.first_pfn;
}

/* The offset that /proc/self/maps shows for the mapping at p */
static uint64_t maps_offset(const struct hostile *h, const char *p)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long long start, offset;
	char line[512];

	need(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%llx-%*x %*s %llx", &start, &offset) == 2 &&
		    start == (uintptr_t)p) {
			fclose(f);
			return offset;
		}
	fclose(f);
	return UINT64_MAX;
}

static void read_all(const struct hostile *h, const char *path)
{
	char text[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return; /* not in this kernel */
	need(fd >= 0);
	while (read(fd, text, sizeof(text)) > 0)
		;
	close(fd);
}

/* Root's file, opened as root without CAP_SYS_ADMIN */
static int pfn_without_cap(const struct hostile *h, void *arg)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct caps[2];
	int fd, err;
	char *p;

	(void)arg;
	need(!syscall(SYS_capget, &header, caps));
	caps[0].effective &= ~(1u << CAP_SYS_ADMIN);
	need(!syscall(SYS_capset, &header, caps));
	fd = open(K2U_DEVICE, O_RDWR | O_CLOEXEC);
	need(fd >= 0 && !hostile_setup(fd, h->backing, h->size));
	p = hostile_mmap(h, fd, 0, h->len, PROT_READ, MAP_SHARED, &err);
	need(!err);
	hostile_touch(h, p, h->len, false);
	if (h->is & BYTES)
		(void)*(volatile char *)p;
	check(first_pfn(h, fd, p) == 0);
	/* nor once it has the capability back: it is the file's */
	caps[0].effective |= 1u << CAP_SYS_ADMIN;
	need(!syscall(SYS_capset, &header, caps));
	check(first_pfn(h, fd, p) == 0);
	return 0;
}

/* No PFN, physical or kernel address for who may not see one. */
HOSTILE(shown)
{
	const uint64_t pfn_mask = (1ULL << 55) - 1, present = 1ULL << 63;
	const uint64_t base = K2U_MMAP_OFFSET(h->id);
	char *p = hostile_map(h, PROT_READ | PROT_WRITE);
	uint64_t entry;
	int err;

	check(hostile_pattern(h, p, 0, h->len));
	check(maps_offset(h, p) == base);
	entry = pagemap(h, p);
	expect(h, "pagemap_present", entry & present ? 0 : ENOENT);
	expect(h, "pagemap_pfn", entry & pfn_mask ? 0 : ENOENT);
	/* that of the file's opener, as in pagemap: here it is root */
	expect(h, "inspect_pfn", first_pfn(h, h->fd, p) ? 0 : ENOENT);
	read_all(h, "/proc/self/smaps");
	read_all(h, "/proc/self/smaps_rollup");
	read_all(h, "/proc/self/numa_maps");
	hostile_unmap(h, p, h->len);

	p = hostile_mmap(h, h->fd, h->page, h->page, PROT_READ, MAP_SHARED,
			 &err);
	need(!err);
	check(maps_offset(h, p) == base + h->page);
	hostile_unmap(h, p, h->page);
	p = hostile_mmap(h, h->fd, 0, h->len, PROT_READ, MAP_PRIVATE, &err);
	expect(h, "private", err);
	if (!err) {
		check(maps_offset(h, p) == base);
		hostile_unmap(h, p, h->len);
	}
	if (h->is & ROOT)
		expect(h, "opened_without_cap",
		       hostile_child(h, pfn_without_cap, NULL));
}

/* What the module promised of its VMAs, kept by each method */
HOSTILE(vm_flags)
{
	const uint64_t always = K2U_VMA_READ | K2U_VMA_SHARED |
				K2U_VMA_DONTEXPAND | K2U_VMA_DONTDUMP;
	const uint64_t kind = K2U_VMA_PFNMAP | K2U_VMA_MIXEDMAP;
	const int fds[] = { h->fd, h->ro };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		int err;
		char *p = hostile_mmap(h, fds[i], 0, h->len, PROT_READ,
				       shared_flags(h->id), &err);
		struct k2u_inspect v = { .addr = (uintptr_t)p, .size = h->len };

		need(!err);
		need(!ioctl(fds[i], K2U_IOC_INSPECT, &v));
		check((v.vma_flags & always) == always);
		check(!(v.vma_flags &
			(K2U_VMA_MAYEXEC | K2U_VMA_WRITE | K2U_VMA_DONTCOPY)));
		check(!(v.vma_flags & K2U_VMA_MAYWRITE) == (fds[i] == h->ro));
		check((v.vma_flags & kind) ==
		      (h->is & PFNMAP	? K2U_VMA_PFNMAP :
		       h->is & MIXEDMAP ? K2U_VMA_MIXEDMAP :
					  0));
		check(v.absent_pages ==
		      (h->is & EAGER && h->is & BYTES ? 0 : h->len / h->page));
		check(v.writable_pages == 0);
		hostile_unmap(h, p, h->len);
	}
}

/* K2U_IOC_INSPECT of ranges that are not the caller's to ask about */
HOSTILE(inspect)
{
	const uint64_t page = h->page, len = h->len;
	char *p = hostile_map(h, PROT_READ | PROT_WRITE), *q, *anon;
	struct k2u_inspect *arg;
	int err;

	check(hostile_pattern(h, p, 0, h->len));
	q = hostile_mmap(h, h->ro, 0, len, PROT_READ, MAP_SHARED, &err);
	need(!err);
	anon = hostile_anon(h, len, PROT_READ);
	const uint64_t at = (uintptr_t)p;
	const struct {
		const char *op;
		uint64_t addr, size;
	} ranges[] = {
		{ "whole", at, len },
		{ "size_1", at, 1 },
		{ "last_page", at + len - page, page },
		{ "size_0", at, 0 },
		{ "unaligned", at + 1, page },
		{ "addr_0", 0, page },
		{ "past_end", at, len + page },
		{ "past_end_1", at, len + 1 },
		{ "before", at - page, 2 * page },
		{ "behind", at + len, page },
		{ "size_max", at, UINT64_MAX },
		{ "wraps", at, -at },
		{ "wraps_past", at, UINT64_MAX - at + 2 },
		{ "addr_max", -page, page },
		{ "addr_max_wraps", -page, 2 * page },
		{ "kernel", 0xffff800000000000ULL, page },
		{ "kernel_text", 0xffffffff81000000ULL, page },
		{ "noncanonical", 1ULL << 56, page },
		{ "from_0", 0, UINT64_MAX },
		{ "other_file", (uintptr_t)q, page },
		{ "anonymous", (uintptr_t)anon, page },
		{ "stack", (uintptr_t)&p & -page, page },
	};

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		struct k2u_inspect v = { .addr = ranges[i].addr,
					 .size = ranges[i].size };

		expect(h, ranges[i].op,
		       result(ioctl(h->fd, K2U_IOC_INSPECT, &v)));
	}

	/* The argument in the very mapping, where a fault is needed to read it */
	arg = (void *)p;
	if (h->is & BYTES) {
		struct k2u_inspect saved = *arg;

		*arg = (struct k2u_inspect){ .addr = at, .size = len };
		expect(h, "into_itself",
		       result(ioctl(h->fd, K2U_IOC_INSPECT, arg)));
		*arg = saved;
	}
	/* Two VMAs */
	need(!mprotect(p + page, page, PROT_READ));
	{
		struct k2u_inspect v = { .addr = at, .size = len };

		expect(h, "three_vmas",
		       result(ioctl(h->fd, K2U_IOC_INSPECT, &v)));
		v = (struct k2u_inspect){ .addr = at + page, .size = page };
		expect(h, "middle_vma",
		       result(ioctl(h->fd, K2U_IOC_INSPECT, &v)));
	}
	hostile_unmap(h, p + page, page);
	{
		struct k2u_inspect v = { .addr = at, .size = len };

		expect(h, "over_hole",
		       result(ioctl(h->fd, K2U_IOC_INSPECT, &v)));
		v = (struct k2u_inspect){ .addr = at + page, .size = page };
		expect(h, "hole", result(ioctl(h->fd, K2U_IOC_INSPECT, &v)));
	}
	hostile_unmap(h, p, len);
	hostile_unmap(h, q, len);
	{
		struct k2u_inspect v = { .addr = at, .size = len };

		expect(h, "unmapped",
		       result(ioctl(h->fd, K2U_IOC_INSPECT, &v)));
	}
}

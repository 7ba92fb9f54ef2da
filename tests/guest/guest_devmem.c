// SPDX-License-Identifier: GPL-2.0
/*
 * The buffer through /dev/mem: what the kernel's configuration says comes true,
 * a refusal names its rule, and wrong addresses hurt nobody. Memory that is not
 * the buffer's is only read.
 *
 *	guest_devmem [works | CAUSE]	what must come, instead of what
 *					/job/config lets expect
 */
#include <linux/capability.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "guest.h"
#include "../../bench/bench.h"

#define CONFIG "/job/config"
#define NPAGES 37

static const char *wanted;
static int kmsg = -1;

static char option(const char *name)
{
	char line[256], is[80];
	FILE *f = fopen(CONFIG, "re");
	bool set = false;

	assert_non_null(f);
	snprintf(is, sizeof(is), "CONFIG_%s=y\n", name);
	while (fgets(line, sizeof(line), f))
		set |= !strcmp(line, is);
	fclose(f);
	return set ? 'y' : 'n';
}

static bool is_x86(void)
{
	struct utsname u;

	uname(&u);
	return !strcmp(u.machine, "x86_64");
}

/* drivers/char/mem.c, arch/x86/mm/pat/memtype.c: docs/DEVMEM.md */
static const char *expected(void)
{
	unsigned int major, minor;
	char cmdline[4096] = "";
	struct utsname u;

	if (wanted)
		return wanted;
	if (option("DEVMEM") != 'y')
		return "missing device";
	if (option("STRICT_DEVMEM") == 'y')
		return "STRICT_DEVMEM";
	uname(&u);
	if (sscanf(u.release, "%u.%u", &major, &minor) != 2)
		fail_msg("release %s", u.release);
	read_text("/proc/cmdline", cmdline, sizeof(cmdline));
	if (is_x86() && option("X86_PAT") == 'y' && !strstr(cmdline, "nopat") &&
	    major * 1000 + minor < 6016)
		return "PAT";
	return "works";
}

static bool works(void)
{
	return !strcmp(expected(), "works");
}

/* What bench/devmem.c says of a page of ours; "works" */
static void ask(char *why, size_t len)
{
	int fd = open_buffer(K2U_BACKING_CONTIG, page_size());
	struct devmem_facts f;

	if (devmem_try(buffer_paddr(fd), page_size(), true, CONFIG, &f))
		snprintf(why, len, "works");
	else
		devmem_why(&f, why, len);
	close(fd);
}

static void assert_cause(const char *why, const char *cause)
{
	printf("# %s\n", why);
	if (strncmp(why, cause, strlen(cause)))
		fail_msg("%s, expected %s", why, cause);
}

static void test_cause(void **state)
{
	char why[256];

	(void)state;
	ask(why, sizeof(why));
	assert_cause(why, expected());
}

/* f in a child of its own: what it changes of itself is gone afterwards */
static void in_child(void (*f)(void))
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		f();
		fflush(NULL);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void without_rawio(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct data[2];
	char why[256];

	assert_int_equal(syscall(SYS_capget, &head, data), 0);
	data[0].effective &= ~(1u << CAP_SYS_RAWIO);
	data[0].permitted &= ~(1u << CAP_SYS_RAWIO);
	assert_int_equal(syscall(SYS_capset, &head, data), 0);
	ask(why, sizeof(why));
	assert_cause(why, "CAP_SYS_RAWIO");
}

static void test_without_rawio(void **state)
{
	(void)state;
	if (option("DEVMEM") != 'y')
		unavailable("CONFIG_DEVMEM is not set");
	in_child(without_rawio);
}

/* A node that nobody made, and one whose driver is not there */
static void test_without_node(void **state)
{
	char why[256];

	(void)state;
	if (option("DEVMEM") != 'y')
		unavailable("CONFIG_DEVMEM is not set");
	assert_int_equal(rename("/dev/mem", "/dev/mem.away"), 0);
	ask(why, sizeof(why));
	assert_int_equal(mknod("/dev/mem", S_IFCHR | 0600, makedev(1, 13)), 0);
	assert_cause(why, "missing device: open: ENOENT; the kernel has it");
	ask(why, sizeof(why));
	assert_int_equal(unlink("/dev/mem"), 0);
	assert_int_equal(rename("/dev/mem.away", "/dev/mem"), 0);
	assert_cause(why, "missing device: open: ENXIO");
}

/* All of it is there by mmap(): no fault, and no page of it is the module's doing */
static void test_faults(void **state)
{
	const size_t size = NPAGES * page_size();
	int fd = open_buffer(K2U_BACKING_CONTIG, size);
	struct rusage before, after;
	volatile char *p;

	(void)state;
	if (!works()) {
		close(fd);
		unavailable("/dev/mem: %s", expected());
	}
	p = map_other(fd, K2U_METHOD_devmem, size, PROT_READ | PROT_WRITE);
	assert_non_null((void *)p);
	for (int write = 0; write <= 1; write++) {
		getrusage(RUSAGE_THREAD, &before);
		for (size_t i = 0; i < size; i += page_size()) {
			if (write)
				p[i] = 1;
			else
				(void)p[i];
		}
		getrusage(RUSAGE_THREAD, &after);
		assert_int_equal(after.ru_minflt, before.ru_minflt);
	}
	/* But for the one page that buffer_paddr() has mapped */
	assert_int_equal(counters(fd).mapped_pages, 1);
	assert_int_equal(counters(fd).vmas, 0);
	munmap((void *)p, size);
	close(fd);
}

/* Reads a byte of each page: whether that ended well, or with a signal */
static int read_pages(int fd, uint64_t at, size_t len)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		const volatile char *p;

		/* cmocka's handlers would go on with the next test */
		for (int i = 1; i < SIGSYS; i++)
			signal(i, SIG_DFL);
		p = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, (off_t)at);
		if (p == MAP_FAILED)
			_exit(errno);
		for (size_t i = 0; i < len; i += page_size())
			(void)p[i];
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return 1000 + WTERMSIG(status);
	return WEXITSTATUS(status);
}

/* The first address past the last System RAM of /proc/iomem */
static uint64_t end_of_ram(void)
{
	FILE *f = fopen("/proc/iomem", "re");
	unsigned long long from, to, end = 0;
	char line[256];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (strstr(line, "System RAM") &&
		    sscanf(line, "%llx-%llx", &from, &to) == 2)
			end = to + 1;
	fclose(f);
	assert_int_not_equal(end, 0);
	return end;
}

/*
 * Where nothing of ours is. What mmap() says differs between kernels; what must
 * not is that the kernel lives on and says nothing.
 */
static void test_wrong_addresses(void **state)
{
	const uint64_t page = page_size(), ram = end_of_ram();
	int fd = open("/dev/mem", O_RDONLY | O_CLOEXEC), freed;
	const struct {
		const char *what;
		uint64_t at, len;
	} ranges[] = {
		{ "page 0", 0, page },
		{ "page 1", page, page },
		{ "part of a page", page, 1 },
		{ "no whole page", 1, page },
		{ "the first MiB", 0, 1 << 20 },
		{ "across the first MiB", (1 << 20) - page, 2 * page },
		{ "the last page of RAM", ram - page, page },
		{ "across the end of RAM", ram - page, 2 * page },
		{ "past the end of RAM", ram, page },
		{ "64 GiB", 64ULL << 30, page },
		{ "all of RAM and more", 0, ram + (64 << 20) },
		{ "the last physical page", (1ULL << 52) - page, page },
		{ "across it", (1ULL << 52) - page, 2 * page },
		{ "past it", 1ULL << 52, page },
		{ "the last that an offset can say", -page, page },
		{ "no length", 0, 0 },
		{ "a length that wraps", page, -page },
		{ "2^62 bytes", 0, 1ULL << 62 },
	};
	uint64_t paddr;
	char byte;
	void *p;

	(void)state;
	if (fd < 0)
		unavailable("/dev/mem: %s", strerror(errno));
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		const int got = read_pages(fd, ranges[i].at, ranges[i].len);

		printf("# %s: %s\n", ranges[i].what,
		       got > 1000 ? strsignal(got - 1000) :
		       got	  ? strerrorname_np(got) :
				    "read");
		/* Where there is nothing, a load of x86 gives ones; else SIGBUS */
		assert_true(got < 1000 || (got == 1000 + SIGBUS && !is_x86()));
		/* read_mem(): what it may not, or what is not there, is an errno */
		errno = 0;
		if (pread(fd, &byte, 1, (off_t)ranges[i].at) < 0)
			assert_true(errno == EPERM || errno == EFAULT ||
				    errno == EINVAL);
	}
	/* The last page of RAM is no other than ours */
	assert_int_equal(read_pages(fd, ram - page, page),
			 works()			     ? 0 :
			 strcmp(expected(), "STRICT_DEVMEM") ? EINVAL :
							       EPERM);
	/* The 1 MiB rule of x86, devmem_is_allowed(): mapped all the same */
	if (is_x86())
		assert_int_equal(read_pages(fd, page, page), 0);
	/* mmap_mem() of every release */
	assert_int_equal(read_pages(fd, 1, page), EINVAL);
	/* arm64 adds the length before it looks (valid_mmap_phys_addr_range()) */
	if (is_x86())
		assert_int_equal(read_pages(fd, -page, page), EINVAL);
	assert_int_equal(read_pages(fd, 0, 0), EINVAL);

	/* The pages of a buffer that is gone, and of one that goes while it is mapped */
	freed = open_buffer(K2U_BACKING_CONTIG, page);
	paddr = buffer_paddr(freed);
	p = map_other(freed, K2U_METHOD_devmem, page, PROT_READ);
	close(freed);
	assert_int_equal(read_pages(fd, paddr, page) == 0, works());
	if (p) {
		(void)*(volatile char *)p;
		munmap(p, page);
	}
	close(fd);
}

/* The pattern through read() of /dev/mem, which neither mapping nor PAT bothers */
static void test_read(void **state)
{
	int mem = open("/dev/mem", O_RDONLY | O_CLOEXEC);
	const size_t size = 3 * page_size() + 1001;
	int fd = open_buffer(K2U_BACKING_CONTIG, size);
	char *bytes = malloc(size);
	ssize_t got;

	(void)state;
	if (mem < 0) {
		close(fd);
		unavailable("/dev/mem: %s", strerror(errno));
	}
	got = pread(mem, bytes, size, (off_t)buffer_paddr(fd));
	if (option("STRICT_DEVMEM") == 'y') {
		assert_int_equal(got, -1);
		assert_int_equal(errno, EPERM);
	} else {
		assert_int_equal(got, size);
		assert_pattern(bytes, 0, size);
	}
	free(bytes);
	close(mem);
	close(fd);
}

/*
 * /dev/kmem of 5.10: the pattern at the linear address, and wrong addresses. It is
 * read whatever STRICT_DEVMEM and PAT say: read_kmem(), drivers/char/mem.c.
 */
static void test_kmem(void **state)
{
	const size_t size = 3 * page_size() + 1001;
	const uint64_t wrong[] = { 0,
				   page_size(),
				   1ULL << 40,
				   0x7fffffffffffULL,
				   1ULL << 63,
				   0xffff7fffffffffffULL,
				   -(uint64_t)page_size() };
	int fd = open_buffer(K2U_BACKING_CONTIG, size), kmem;
	char *bytes = malloc(size), why[256];
	struct devmem_facts f;
	uint64_t at = 0;

	(void)state;
	if (!kmem_try(CONFIG, &f)) {
		devmem_why(&f, why, sizeof(why));
		assert_cause(why, "missing device: /dev/kmem");
		assert_non_null(strstr(why, f.release >= 5013 ?
						    "removed in Linux 5.13" :
						    "CONFIG_DEVKMEM"));
		free(bytes);
		close(fd);
		unavailable("%s", why);
	}
	kmem = kmem_open();
	assert_true(kmem >= 0);
	assert_int_equal(kmem_linear(buffer_paddr(fd), &at), 0);
	lseek(kmem, (off_t)at, SEEK_SET);
	assert_int_equal(read(kmem, bytes, size), size);
	assert_pattern(bytes, 0, size);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		lseek(kmem, (off_t)wrong[i], SEEK_SET);
		if (read(kmem, bytes, 64) < 0)
			assert_true(errno == ENXIO || errno == EFAULT ||
				    errno == EINVAL || errno == EOVERFLOW);
	}
	/* The first address past the linear mapping of RAM */
	assert_int_equal(kmem_linear(buffer_paddr(fd) & ~0xfffULL, &at), 0);
	at += end_of_ram() - buffer_paddr(fd);
	lseek(kmem, (off_t)at, SEEK_SET);
	if (read(kmem, bytes, 64) < 0)
		assert_int_equal(errno, ENXIO);
	free(bytes);
	close(kmem);
	close(fd);
}

/* Until the next boot: only where it is asked for */
static void test_lockdown(void **state)
{
	char why[256];
	int fd;

	(void)state;
	fd = open("/sys/kernel/security/lockdown", O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "integrity", 9), 9);
	close(fd);
	ask(why, sizeof(why));
	assert_cause(why, "lockdown: open: EPERM; ");
	assert_non_null(strstr(why, "integrity"));
}

/* The kernel has said nothing by itself of all this */
static void test_log(void **state)
{
	char record[1024];
	ssize_t n;

	(void)state;
	while ((n = read(kmsg, record, sizeof(record) - 1)) > 0) {
		record[n] = '\0';
		if (strstr(record, "BUG") || strstr(record, "WARNING") ||
		    strstr(record, "Oops") || strstr(record, "Call Trace"))
			fail_msg("kernel log: %s", record);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest lockdown[] = {
		cmocka_unit_test(test_lockdown),
		cmocka_unit_test(test_log),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cause),
		cmocka_unit_test(test_without_rawio),
		cmocka_unit_test(test_without_node),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_wrong_addresses),
		cmocka_unit_test(test_kmem),
		cmocka_unit_test(test_log),
	};

	wanted = argc > 1 ? argv[1] : NULL;
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg < 0 || lseek(kmsg, 0, SEEK_END) < 0) {
		perror("guest_devmem: /dev/kmsg");
		return 1;
	}
	if (wanted && !strcmp(wanted, "lockdown"))
		return cmocka_run_group_tests(lockdown, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

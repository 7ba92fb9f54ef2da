// SPDX-License-Identifier: GPL-2.0
/*
 * Hostile input: every case of hostile.def on every method, backing and user.
 *
 *	guest_hostile [CASE...]		these cases alone
 *	guest_hostile -NAME...		all but the rows of these backings and users
 *
 * Each runs in a process of its own; after it the module holds no buffer and no
 * reference, and the kernel has said nothing and is not tainted further.
 */
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "hostile.h"

#define LIMIT_MS 120000
#define NPAGES 8

enum scope {
	SCOPE_FILE,
	SCOPE_ALL,
	SCOPE_MAP,
	SCOPE_COPY,
	SCOPE_CALL,
	SCOPE_WAY,
	SCOPE_SPLICE,
	SCOPE_URING,
	SCOPE_COMMAND
};

static const struct hostile_case {
	const char *name;
	enum scope scope;
	void (*run)(const struct hostile *h);
} cases[] = {
#define HOSTILE_CASE(name, scope, why) { #name, SCOPE_##scope, case_##name },
#include "hostile.def"
};

static const struct line {
	const char *name, *op;
	unsigned int when;
	const char *since;
	int result;
	int of; /* a case that is not there does not compile */
} lines[] = {
#define HOSTILE_OP(name, op, when, since, result) \
	{ #name, #op, when, #since, result, HOSTILE_##name },
#include "hostile.def"
};
static const size_t NR_LINES = ARRAY_SIZE(lines);

/* What is behind each method's entries; a method without its line does not compile. */
enum {
#define HOSTILE_METHOD(name, is) IS_##name = (is),
#include "hostile.def"
};
static const unsigned int method_is[] = {
#define K2U_METHOD(id, name, access, backings, faults, title, refusal) \
	[id] = IS_##name,
#include "methods.def"
#undef K2U_METHOD
};
static const char *const refusals[] = {
#define K2U_METHOD(id, name, access, backings, faults, title, refusal) \
	[id] = refusal,
#include "methods.def"
#undef K2U_METHOD
};

/* A row of the table: a test */
struct test {
	const struct hostile_case *c;
	const char *method;
	struct hostile h;
};

static int report_fd = -1; /* a line here fails the case */
static unsigned char *used; /* by line, shared with the children */
static int kmsg = -1;
static unsigned long tainted;
static int release[2];

static bool has_release(const char *since)
{
	int v[2];

	if (sscanf(since, "%d.%d", &v[0], &v[1]) != 2)
		abort();
	return release[0] > v[0] || (release[0] == v[0] && release[1] >= v[1]);
}

static const char *result_name(int got)
{
	static char text[2][32];
	static int which;

	if (!got)
		return "OK";
	which = !which;
	if (got > 1000)
		snprintf(text[which], sizeof(text[which]), "SIG%s",
			 sigabbrev_np(got - 1000) ?: "?");
	else
		snprintf(text[which], sizeof(text[which]), "%s",
			 strerrorname_np(got) ?: "?");
	return text[which];
}

void expect(const struct hostile *h, const char *op, int got)
{
	const struct line *line = NULL;

	/* The last line that holds */
	for (size_t i = 0; i < NR_LINES; i++) {
		if (strcmp(lines[i].name, h->name) || strcmp(lines[i].op, op))
			continue;
		used[i] = 1;
		if ((h->is & lines[i].when) == lines[i].when &&
		    has_release(lines[i].since))
			line = &lines[i];
	}
	if (!line)
		dprintf(report_fd, "%s: %s, no line in hostile.def\n", op,
			result_name(got));
	else if (line->result != got)
		dprintf(report_fd, "%s: %s, expected %s\n", op,
			result_name(got), result_name(line->result));
}

void complain(const struct hostile *h, int line, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	dprintf(report_fd, "%s, line %d: not: %s (errno %s)\n", h->name, line,
		text, result_name(errno));
}

static int open_with_buffer(const struct hostile *h, int flags)
{
	struct k2u_setup setup = {
		.size = h->size,
		.backing = h->backing,
		.node = K2U_NODE_ANY,
		.flags = K2U_SETUP_FILL,
		.seed = SEED,
	};
	int fd = open(K2U_DEVICE, flags | O_CLOEXEC);

	need(fd >= 0);
	need(!ioctl(fd, K2U_IOC_SETUP, &setup));
	return fd;
}

/* The child's life */
static void run_case(const struct test *t)
{
	/* cmocka's handlers would go on with the next test, in this process */
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE,
				       SIGSYS };
	struct hostile own = t->h, *h = &own;
	uint64_t hash;

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		signal(signals[i], SIG_DFL);
	setpgid(0, 0);
	h->fd = open_with_buffer(h, O_RDWR);
	h->ro = open_with_buffer(h, O_RDONLY);
	h->wo = open_with_buffer(h, O_WRONLY);
	for (size_t i = 0; i < NR_FRESH; i++) {
		h->fresh[i] = open(K2U_DEVICE, O_RDWR | O_CLOEXEC);
		need(h->fresh[i] >= 0);
	}
	hash = hostile_hash(h, h->fd);
	if (h->is & NOBODY)
		hostile_drop(h);

	t->c->run(h);

	if (hostile_vmas(h))
		dprintf(report_fd, "%llu VMAs are left\n",
			(unsigned long long)hostile_vmas(h));
	if (hostile_hash(h, h->fd) != hash || hostile_hash(h, h->ro) != hash)
		dprintf(report_fd, "the buffer's bytes have changed\n");
	_exit(0);
}

static long read_number(const char *path)
{
	FILE *f = fopen(path, "re");
	long n = -1;

	if (!f || fscanf(f, "%ld", &n) != 1)
		fail_msg("%s cannot be read", path);
	fclose(f);
	return n;
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 &&
		  write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* What a kernel says by itself on an emulated machine, or of a caller's ways */
static bool is_quiet(const char *text)
{
	static const char *const quiet[] = {
		"tsc: ",
		"TSC found unstable",
		"clocksource: ",
		"random: ",
		"perf: interrupt took too long",
		"hrtimer: interrupt took",
		"sched_clock:",
		"uses deprecated remap_file_pages() syscall",
	};

	for (size_t i = 0; i < ARRAY_SIZE(quiet); i++)
		if (strstr(text, quiet[i]))
			return true;
	return false;
}

/* Whether the kernel said something since the last time: appended to text */
static void read_kmsg(char *text, size_t size)
{
	char record[1024];
	ssize_t n;

	while ((n = read(kmsg, record, sizeof(record) - 1)) > 0 ||
	       (n < 0 && errno == EPIPE)) {
		const size_t len = strlen(text);

		if (n < 0)
			continue;
		record[n] = 0;
		if (!is_quiet(record))
			snprintf(text + len, size - len, "kernel log: %s",
				 strchr(record, ';') ?: record);
	}
}

/* A ring that ends with its process gives its files up a little later, by a worker */
static long refs_left(void)
{
	long refs = module_refs();

	for (int i = 0; i < 500 && refs; i++) {
		usleep(10000);
		refs = module_refs();
	}
	return refs;
}

static void check_after(char *text, size_t size)
{
	const long refs = refs_left();
	const unsigned long now =
		(unsigned long)read_number("/proc/sys/kernel/tainted");
	struct k2u_info info = { 0 };
	size_t len;
	int fd;

	read_kmsg(text, size);
	len = strlen(text);
	fd = open_k2u(O_RDONLY);
	if (ioctl(fd, K2U_IOC_INFO, &info))
		fail_msg("K2U_IOC_INFO: %s", strerror(errno));
	close(fd);
	if (refs)
		len += (size_t)snprintf(text + len, size - len,
					"%ld references are left\n", refs);
	if (info.used_bytes && len < size)
		len += (size_t)snprintf(text + len, size - len,
					"%llu bytes are left\n",
					(unsigned long long)info.used_bytes);
	if (now != tainted && len < size)
		snprintf(text + len, size - len, "taint %lu, was %lu\n", now,
			 tainted);
	tainted = now;
}

/* The parent's part of a test */
static void run_row(void **state)
{
	const struct test *t = *state;
	char text[16384] = "";
	size_t len = 0;
	int ends[2], status;
	struct pollfd p;
	pid_t pid;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		report_fd = ends[1];
		run_case(t);
	}
	close(ends[1]);
	/* Until the last process of the case is gone */
	p = (struct pollfd){ .fd = ends[0], .events = POLLIN };
	for (;;) {
		ssize_t n;

		if (poll(&p, 1, LIMIT_MS) <= 0) {
			kill(-pid, SIGKILL);
			strcpy(text, "hangs\n");
			break;
		}
		n = read(ends[0], text + len, sizeof(text) - 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	len = strlen(text);
	if (status)
		snprintf(text + len, sizeof(text) - len,
			 "the process ended with %s %d\n",
			 WIFSIGNALED(status) ? "signal" : "status",
			 WIFSIGNALED(status) ? WTERMSIG(status) :
					       WEXITSTATUS(status));
	check_after(text, sizeof(text));
	/* cmocka cuts a message at 1 KiB, its newline too */
	text[700] = 0;
	if (text[0])
		fail_msg("%s", text);
}

/* Every line of the table was asked for */
static void test_lines(void **state)
{
	int unused = 0;

	(void)state;
	for (size_t i = 0; i < NR_LINES; i++)
		if (!used[i]) {
			print_error(
				"hostile.def: %s, %s: nothing asks for it\n",
				lines[i].name, lines[i].op);
			unused++;
		}
	assert_int_equal(unused, 0);
}

static unsigned int row_bits(size_t m, uint32_t backing, bool nobody)
{
	const bool maps = methods[m].access & K2U_ACCESS_MAP &&
			  serves(m, backing);
	unsigned int is = method_is[m] | (nobody ? NOBODY : ROOT);

	if (is & LEAF)
		is |= behind_of(methods[m].id) == BEHIND_PFNMAP ? PFNMAP :
								  PAGES;

	/* memory_failure_sysctl_init(), mm/memory-failure.c */
	if (!access("/proc/sys/vm/memory_failure_early_kill", F_OK))
		is |= POISON;
	if (backing == K2U_BACKING_CONTIG)
		is |= CONTIG;
	if (backing == K2U_BACKING_DMA)
		is |= DMA;
	if (methods[m].access & K2U_ACCESS_COPY)
		is |= COPY;
	is |= maps ? MAP : REFUSED;
	if (maps)
		is |= is_lazy(methods[m].id) ? LAZY : EAGER;
	if (maps && methods[m].faults != K2U_FAULTS_NONE && !(is & PFNMAP))
		is |= BACK;
	if (!(is & EMPTY))
		is |= BYTES;
	return is;
}

/* Why the case does not apply to method m on the backing; NULL: it does */
static const char *not_applicable(enum scope scope, size_t m, uint32_t backing)
{
	const uint32_t access = methods[m].access;

	if (scope != SCOPE_FILE && absence(methods[m].id))
		return absence(methods[m].id);
	switch (scope) {
	case SCOPE_FILE:
	case SCOPE_ALL:
		return NULL;
	case SCOPE_MAP:
		if (!(methods[m].access & K2U_ACCESS_MAP))
			return "has no mapping";
		return serves(m, backing) ? NULL : refusals[m];
	case SCOPE_COPY:
		if (access & ~K2U_ACCESS_BOTH)
			return "copies by other calls, or is as read";
		return access & K2U_ACCESS_COPY ? NULL : "copies nothing";
	case SCOPE_CALL:
		return access == K2U_ACCESS_CALL ? NULL : "has no K2U_IOC_COPY";
	case SCOPE_WAY:
		if ((access & K2U_ACCESS_BOTH) != K2U_ACCESS_COPY)
			return "copies no bytes of the device's file";
		return serves(m, backing) ? NULL : refusals[m];
	case SCOPE_SPLICE:
		if (access != K2U_ACCESS_PIPE && access != K2U_ACCESS_SOCKET)
			return "copies not by splice()";
		return serves(m, backing) ? NULL : refusals[m];
	case SCOPE_URING:
		return access == K2U_ACCESS_URING ||
				       access == K2U_ACCESS_FIXED ?
			       NULL :
			       "reads not by io_uring";
	case SCOPE_COMMAND:
		return access == K2U_ACCESS_CMD ? NULL :
						  "has no command of io_uring";
	}
	return NULL;
}

static struct test *new_test(const struct hostile_case *c, const char *method,
			     uint32_t id, unsigned int is, uint32_t backing)
{
	struct test *t = calloc(1, sizeof(*t));

	if (!t)
		abort();
	t->c = c;
	t->method = method;
	t->h = (struct hostile){
		.is = is,
		.name = c->name,
		.id = id,
		.backing = backing,
		.page = page_size(),
		.size = (NPAGES - 1) * page_size() + 1001,
		.len = NPAGES * page_size(),
		.fd = -1,
		.ro = -1,
		.wo = -1,
	};
	return t;
}

/* plan CASE: its tests from tests[n] on; returns the new n */
static char **words; /* of the command line */

static bool is_said(const char *prefix, const char *name)
{
	const size_t len = strlen(prefix);

	for (char **word = words; *word; word++)
		if (!strncmp(*word, prefix, len) && !strcmp(*word + len, name))
			return true;
	return false;
}

static size_t plan(const struct hostile_case *c, struct CMUnitTest *tests,
		   size_t n)
{
	/* A case of the file itself has one row for all methods */
	const size_t nr = c->scope == SCOPE_FILE ? 1 : ARRAY_SIZE(methods);
	const size_t first = n;

	for (size_t i = 0; i < nr * ARRAY_SIZE(backings) * 2; i++) {
		const bool nobody = i % 2;
		const uint32_t backing = backings[i / 2 % ARRAY_SIZE(backings)];
		const size_t m = i / 2 / ARRAY_SIZE(backings);
		const char *method = c->scope == SCOPE_FILE ? "file" :
							      methods[m].name;
		const char *user = nobody ? "nobody" : "root";
		const char *why = not_applicable(c->scope, m, backing);
		char *name;

		if (is_said("-", user) || is_said("-", backing_name(backing)))
			continue;
		if (asprintf(&name, "hostile/%s/%s/%s/%s", c->name, method,
			     backing_name(backing), user) < 0)
			abort();
		if (why) {
			printf("# does not apply: %s: %s\n", name, why);
			free(name);
			continue;
		}
		tests[n++] = (struct CMUnitTest){
			name, run_row, NULL, NULL,
			new_test(c, method, methods[m].id,
				 row_bits(m, backing, nobody), backing)
		};
	}
	/* This kernel has nothing that the case is of: its lines are not asked for */
	for (size_t i = 0; i < NR_LINES && n == first; i++)
		if (!strcmp(lines[i].name, c->name))
			used[i] = 1;
	return n;
}

int main(int argc, char **argv)
{
	static struct CMUnitTest tests[ARRAY_SIZE(cases) * ARRAY_SIZE(methods) *
					       ARRAY_SIZE(backings) * 2 +
				       1];
	struct utsname uts;
	size_t n = 0;

	words = argv + 1;
	uname(&uts);
	if (sscanf(uts.release, "%d.%d", &release[0], &release[1]) != 2)
		return 1;
	used = mmap(NULL, NR_LINES, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (used == MAP_FAILED || kmsg < 0 || lseek(kmsg, 0, SEEK_END) < 0) {
		perror("guest_hostile");
		return 1;
	}
	if (mkdir("/tmp/k2u-core", 0777) || chmod("/tmp/k2u-core", 0777) ||
	    !write_file("/proc/sys/kernel/core_pattern", "core.%p") ||
	    !write_file("/proc/sys/kernel/core_uses_pid", "0")) {
		perror("guest_hostile: core files");
		return 1;
	}
	tainted = (unsigned long)read_number("/proc/sys/kernel/tainted");

	for (size_t c = 0; c < ARRAY_SIZE(cases); c++) {
		if (argc == 1 || argv[1][0] == '-' ||
		    is_said("", cases[c].name))
			n = plan(&cases[c], tests, n);
	}
	if (!n) {
		fprintf(stderr, "guest_hostile: no such case in hostile.def\n");
		return 1;
	}
	if (argc == 1)
		tests[n++] = (struct CMUnitTest){ "hostile/lines", test_lines,
						  NULL, NULL, NULL };
	return _cmocka_run_group_tests("hostile", tests, n, NULL, NULL);
}

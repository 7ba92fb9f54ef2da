// SPDX-License-Identifier: GPL-2.0
/*
 * A fuzzer for /dev/k2u. Every operation is drawn from the seed and its number
 * alone (most are then moved to where the model has a mapping), so that a run
 * can be repeated. A model of the device (fuzz_model.c) knows what each must
 * return, and what memory must hold.
 */
#include <argp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <time.h>

#include "fuzz.h"

#define LAST 20 /* operations that a failure shows */
#define CHILD_OPS 12

static const struct {
	const char *name;
	void (*run)(const struct op *op);
	unsigned int weight;
	bool aimed; /* at what is mapped, mostly */
} kinds[] = {
	{ "open", op_open, 40, false },
	{ "close", op_close, 20, false },
	{ "dup", op_dup, 10, false },
	{ "misc", op_misc, 20, false },
	{ "mmap", op_mmap, 160, false },
	{ "munmap", op_munmap, 25, true },
	{ "mremap", op_mremap, 60, true },
	{ "touch", op_touch, 200, true },
	{ "mprotect", op_mprotect, 60, true },
	{ "madvise", op_madvise, 60, true },
	{ "mlock", op_mlock, 20, true },
	{ "msync", op_msync, 10, true },
	{ "read", op_read, 60, false },
	{ "write", op_write, 60, false },
	{ "copy", op_copy, 40, false },
	{ "vector", op_vector, 40, false },
	{ "lseek", op_lseek, 30, false },
	{ "contents", op_contents, 2, false },
	{ "splice", op_splice, 10, true },
	{ "vmsplice", op_vmsplice, 20, true },
	{ "process_vm", op_process_vm, 20, true },
	{ "setup", op_setup, 60, false },
	{ "fill", op_fill, 10, false },
	{ "checksum", op_checksum, 15, false },
	{ "inspect", op_inspect, 50, true },
	{ "info", op_info, 20, false },
	{ "ioctl", op_ioctl, 20, false },
};
static unsigned int weights, of_child;
static uint64_t done[ARRAY_SIZE(kinds)], succeeded[ARRAY_SIZE(kinds)], calls,
	refused, forks;

/* The last calls, what a failure shows */
static struct {
	uint64_t number;
	unsigned int child; /* in a child: which of its operations, from 1 */
	const char *kind, *name;
	uint64_t args[6];
	unsigned int nargs;
	long rc;
	int err;
} last[LAST];

static struct {
	uint64_t seed, from, ops;
	unsigned int fork_every;
	bool verbose, strict;
} options = { .seed = 1, .ops = 100000, .fork_every = 1000 };

static struct op current;
static sigjmp_buf touched;
static volatile sig_atomic_t touching;

static void show_last(void)
{
	for (uint64_t i = calls > LAST ? calls - LAST : 0; i < calls; i++) {
		const unsigned int k = i % LAST;

		printf("# %lu", last[k].number);
		if (last[k].child)
			printf(".%u", last[k].child);
		printf(" %s: %s(", last[k].kind, last[k].name);
		for (unsigned int a = 0; a < last[k].nargs; a++)
			printf("%s%#lx", a ? ", " : "", last[k].args[a]);
		printf(") = %ld%s%s\n", last[k].rc, last[k].err ? " " : "",
		       last[k].err ? strerrorname_np(last[k].err) : "");
	}
}

void wrong(const char *format, ...)
{
	va_list ap;

	show_last();
	printf("not ok 1 - seed %lu, operation %lu", options.seed,
	       current.number);
	if (of_child)
		printf(".%u", of_child);
	printf(" (%s): ", kinds[current.kind].name);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	printf("\n# repeat: debug_fuzz --seed=%lu --from=%lu --ops=%lu --fork-every=%u\n1..1\n",
	       options.seed, options.from, current.number + 1 - options.from,
	       options.fork_every);
	fflush(stdout);
	_exit(1);
}

long record(const char *name, long rc, unsigned int nargs, const uint64_t *args)
{
	const int err = errno;
	const unsigned int k = calls++ % LAST;

	last[k].number = current.number;
	last[k].child = of_child;
	last[k].kind = kinds[current.kind].name;
	last[k].name = name;
	memcpy(last[k].args, args, nargs * sizeof(*args));
	last[k].nargs = nargs;
	last[k].rc = rc;
	last[k].err = rc == -1 ? err : 0;
	if (rc != -1)
		succeeded[current.kind]++;
	errno = err;
	return rc;
}

/* The call must fail, with this errno or that of another violation. */
void must(struct expect *e, bool violated, int err)
{
	if (violated && e->n < ARRAY_SIZE(e->err))
		e->err[e->n++] = err;
}

/* The call may fail so, but need not; 0: it may succeed whatever must() says. */
void may(struct expect *e, int err)
{
	if (e->soft < ARRAY_SIZE(e->also))
		e->also[e->soft++] = err;
}

/* Whether the call succeeded; does not return if that, or its errno, is wrong */
bool judge(const struct expect *e, const char *what, long rc)
{
	const int err = rc == -1 ? errno : 0;
	char list[256] = "";

	if (err)
		refused++;
	if (!err && !e->n)
		return true;
	for (unsigned int i = 0; i < e->soft; i++)
		if (err == e->also[i])
			return !err;
	for (unsigned int i = 0; i < e->n; i++) {
		if (err == e->err[i])
			return false;
		strcat(strcat(list, i ? " or " : ""),
		       strerrorname_np(e->err[i]));
	}
	wrong("%s: %s, expected %s", what,
	      err ? strerrorname_np(err) : "success", e->n ? list : "success");
}

static void on_signal(int number)
{
	if (!touching)
		wrong("signal %d outside of a touch", number);
	touching = 0;
	siglongjmp(touched, number);
}

/* Reads the word, or writes it: one access */
enum touched touch(volatile uint64_t *p, bool write, uint64_t *word)
{
	/* Without the mask: SA_NODEFER leaves it as it is, and saves two calls. */
	const int number = sigsetjmp(touched, 0);

	if (number)
		return number == SIGBUS ? TOUCH_BUS : TOUCH_SEGV;
	touching = 1;
	if (write)
		*p = *word;
	else
		*word = *p;
	touching = 0;
	return TOUCH_OK;
}

/* Private pages that may have been copied by now are copied. */
void force_cow(unsigned int at, unsigned int n)
{
	for (unsigned int i = at; i < at + n && i < ARENA_PAGES; i++) {
		volatile uint64_t *p = (uint64_t *)arena_at(i);
		uint64_t word;

		if (!arena[i].vma || arena[i].vma->shared || arena[i].cow ||
		    touch_expected(&arena[i], true) != TOUCH_OK)
			continue;
		if (touch(p, false, &word) || touch(p, true, &word))
			wrong("page %u, which is mapped, cannot be written", i);
		break_cow(&arena[i]);
	}
}

/* A buffer that the last call made, by default, is one of the model's. */
void check_created(const struct slot *s)
{
	struct k2u_info info = { 0 };

	if (!s->file || s->file->size)
		return;
	if (ioctl(s->fd, K2U_IOC_INFO, &info))
		wrong("info: %s", strerror(errno));
	if (!info.size)
		return;
	if (info.size != bounds.default_bytes ||
	    info.backing != K2U_BACKING_VMALLOC)
		wrong("a default buffer has %llu bytes, backing %u", info.size,
		      info.backing);
	buffer_new(s->file, info.size, info.backing);
}

void check_counters(const struct slot *s)
{
	const uint64_t window = K2U_AROUND_BYTES / page_bytes;
	struct k2u_counters c = { 0 };
	struct file *f = s->file;
	uint64_t most;

	if (!f)
		return;
	if (ioctl(s->fd, K2U_IOC_COUNTERS, &c))
		wrong("counters: %s", strerror(errno));
	/* A page for each fault, or up to a window of them */
	most = f->mapped + c.faults * (f->around && window ? window : 1);
	if (c.vmas != vmas_of(f) || c.read_bytes != f->read_bytes ||
	    c.written_bytes != f->written_bytes ||
	    c.mapped_pages < f->mapped + c.faults || c.mapped_pages > most ||
	    c.faults < f->faults)
		wrong("counters: %llu VMAs, %llu read, %llu written, %llu pages mapped, %llu faults; expected %u, %lu, %lu, %lu to %lu and at least %lu",
		      c.vmas, c.read_bytes, c.written_bytes, c.mapped_pages,
		      c.faults, vmas_of(f), f->read_bytes, f->written_bytes,
		      f->mapped + (uint64_t)c.faults, most, f->faults);
	f->faults = c.faults;
	f->mapped_pages = c.mapped_pages;
}

static void check_all(void)
{
	for (unsigned int i = 0; i < NSLOTS; i++)
		check_counters(&slots[i]);
}

static void draw(uint64_t base, uint64_t number, struct op *op)
{
	const uint64_t d = k2u_pattern(base, 0);
	unsigned int pick = (unsigned int)(d % weights), kind = 0;

	while (pick >= kinds[kind].weight)
		pick -= kinds[kind++].weight;
	*op = (struct op){
		.number = number,
		.kind = kind,
		.slot = (d >> 20) % NSLOTS,
		.at = (d >> 30) % ARENA_PAGES,
		.n = 1 + (d >> 40) % ((d >> 50) % 4 ? 6 : 24),
		.a = k2u_pattern(base, 1),
		.b = k2u_pattern(base, 2),
		.c = k2u_pattern(base, 3),
		.d = k2u_pattern(base, 4),
	};
}

/* At a mapping, within it, by a descriptor of its file: else most would miss */
static void aim(struct op *op)
{
	unsigned int at = op->at, n = 1;

	for (unsigned int i = 0; i < ARENA_PAGES && !arena[at].vma; i++)
		at = (at + 1) % ARENA_PAGES;
	if (!arena[at].vma)
		return;
	while (n < op->n && at + n < ARENA_PAGES &&
	       arena[at + n].vma == arena[at].vma)
		n++;
	op->at = at;
	op->n = n;
	for (unsigned int i = 0; i < NSLOTS; i++)
		if (slots[i].file == arena[at].vma->file)
			op->slot = i;
}

static void run_one(uint64_t base, uint64_t number)
{
	draw(base, number, &current);
	if (kinds[current.kind].aimed && base >> 62)
		aim(&current);
	kinds[current.kind].run(&current);
	if (options.strict)
		check_all();
	done[current.kind]++;
}

/* A child that does a few operations to its copy and ends, one way or another */
static void fork_one(uint64_t base, uint64_t number)
{
	pid_t pid;
	int status;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		wrong("fork: %s", strerror(errno));
	if (!pid) {
		model_fork();
		check_all();
		for (of_child = 1; of_child <= base % CHILD_OPS; of_child++)
			run_one(k2u_pattern(~base, of_child), number);
		if (base >> 60 & 1)
			kill(getpid(), SIGKILL);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid)
		wrong("waitpid: %s", strerror(errno));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 1)
		_exit(1); /* it has said why */
	if (status != (base >> 60 & 1 ? SIGKILL : 0))
		wrong("a child ended with status %#x", status);
	current = (struct op){ .number = number };
	check_all();
	forks++;
}

static void run(void)
{
	const time_t began = time(NULL);
	struct k2u_info info = { 0 };
	int fd;

	for (uint64_t i = options.from; i < options.from + options.ops; i++) {
		const uint64_t base = k2u_pattern(options.seed, i);

		run_one(base, i);
		if (options.fork_every &&
		    k2u_pattern(base, 9) % options.fork_every == 0)
			fork_one(k2u_pattern(base, 10), i);
		if (options.verbose && i % 10000 == 9999) {
			printf("# %lu operations, %ld s\n", i + 1,
			       time(NULL) - began);
			fflush(stdout);
		}
	}
	for (unsigned int i = 0; i < NSLOTS; i++)
		op_contents(&(struct op){ .slot = i });
	for (unsigned int i = 0; i < NSLOTS; i++)
		op_close(&(struct op){ .slot = i });
	arena_unmap(0, ARENA_PAGES);
	fd = open(K2U_DEVICE, O_RDWR);
	if (fd < 0 || ioctl(fd, K2U_IOC_INFO, &info))
		wrong("open and info: %s", strerror(errno));
	if (info.used_bytes != bounds.used_bytes)
		wrong("%llu bytes are still in use",
		      info.used_bytes - bounds.used_bytes);
	close(fd);
	printf("ok 1 - seed %lu: %lu operations, %lu calls of which %lu were refused, %lu children, %ld s\n1..1\n",
	       options.seed, options.ops, calls, refused, forks,
	       time(NULL) - began);
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++)
		printf("# ok - %s: %lu, %lu calls succeeded\n", kinds[i].name,
		       done[i], succeeded[i]);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	char *end = "";
	uint64_t value = 0;

	if (arg && key != ARGP_KEY_ARG) {
		errno = 0;
		value = strtoull(arg, &end, 0);
		if (errno || *end || end == arg || *arg == '-')
			argp_error(state, "%s is not a number", arg);
	}
	switch (key) {
	case 's':
		options.seed = value;
		return 0;
	case 'n':
		options.ops = value;
		return 0;
	case 'f':
		options.from = value;
		return 0;
	case 'k':
		options.fork_every = (unsigned int)value;
		return 0;
	case 'x':
		options.strict = true;
		return 0;
	case 'v':
		options.verbose = true;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

int main(int argc, char **argv)
{
	static const struct argp_option argp_options[] = {
		{ "seed", 's', "N", 0, "what all operations are drawn from (1)",
		  0 },
		{ "ops", 'n', "N", 0, "operations to run (100000)", 0 },
		{ "from", 'f', "N", 0, "number of the first of them (0)", 0 },
		{ "fork-every", 'k', "N", 0, "on average; 0: never (1000)", 0 },
		{ "strict", 'x', NULL, 0,
		  "compare every open file's counters after each operation, and not only those of its own: slower, and nearer to the cause",
		  0 },
		{ "verbose", 'v', NULL, 0, "progress, every 10000 operations",
		  0 },
		{ 0 }
	};
	static const struct argp argp = {
		argp_options,
		parse,
		NULL,
		"Fuzz " K2U_DEVICE " and compare it with a model.",
		NULL,
		NULL,
		NULL
	};
	const struct sigaction action = { .sa_handler = on_signal,
					  .sa_flags = SA_NODEFER };
	int fd;

	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	model_init();
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++)
		weights += kinds[i].weight;
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	fd = open(K2U_DEVICE, O_RDWR | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, K2U_IOC_INFO, &bounds)) {
		printf("not ok 1 - %s: %s\n1..1\n", K2U_DEVICE,
		       strerror(errno));
		return 1;
	}
	close(fd);
	run();
	return 0;
}

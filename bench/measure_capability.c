// SPDX-License-Identifier: GPL-2.0
/*
 * measure_capability.c - what each mapping is, and what can be done with it:
 * observed by doing it, and by looking at the bytes afterwards. The properties
 * are those of include/capability.def, their code is in capability_*.c.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capability.h"

#define SMALL_BYTES (64 * KIB)
#define PATIENCE_S 60 /* a property that takes longer hangs */

#define DIED_OF 128 /* exit status: and the signal's number, as of a shell */

enum { SMALL, PMD };

static const struct property {
	const char *name;
	unsigned int access, size;
	void (*observe)(struct cap *c);
} properties[] = {
#define K2U_CAPABILITY(name, group, access, size, title) \
	{ #name, K2U_ACCESS_##access, size, cap_##name },
#include "capability.def"
#undef K2U_CAPABILITY
};

/* ---- results ---- */

/* No value of a CSV holds a comma */
static void clean(char *text)
{
	for (; *text; text++)
		if (*text == ',' || *text == '\n')
			*text = *text == ',' ? ';' : ' ';
}

static void say(struct cap *c, const char *value, const char *fmt, va_list args)
{
	snprintf(c->out->value, sizeof(c->out->value), "%s", value);
	vsnprintf(c->out->detail, sizeof(c->out->detail), fmt, args);
	clean(c->out->value);
	clean(c->out->detail);
}

void cap_say(struct cap *c, const char *value, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(c, value, fmt, args);
	va_end(args);
}

void cap_none(struct cap *c, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(c, "unavailable", fmt, args);
	va_end(args);
}

void cap_stage(struct cap *c, const char *what)
{
	snprintf(c->out->detail, sizeof(c->out->detail), "%s", what);
}

void cap_errno(struct cap *c, const char *what)
{
	const char *name = strerrorname_np(errno);
	char number[16];

	snprintf(number, sizeof(number), "errno %d", errno);
	cap_say(c, name ? name : number, "%s", what);
}

void cap_verdict(struct cap *c, bool right, const char *value,
		 const char *wrong)
{
	cap_say(c, right ? value : "wrong", "%s", right ? "" : wrong);
}

int cap_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) != pid)
		if (errno != EINTR)
			return DIED_OF;
	if (WIFSIGNALED(status))
		return -WTERMSIG(status);
	status = WEXITSTATUS(status);
	return status > DIED_OF ? DIED_OF - status : status;
}

/* A signal that is not handled would be a line of the kernel log (exception-trace) */
static void die(int sig)
{
	_exit(DIED_OF + sig);
}

/* ---- the mapping ---- */

size_t cap_len(const struct cap *c)
{
	return c->buf.size + c->src->head;
}

char *cap_start(const struct cap *c)
{
	return c->addr - c->src->head;
}

static char *map_anon(struct cap *c, char *at, int prot, int flags)
{
	char *p = mmap(at, c->buf.size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS |
			       (flags & ~(MAP_SHARED | MAP_PRIVATE)),
		       -1, 0);

	if (p == MAP_FAILED)
		return p;
	if (c->src->flags & SOURCE_HUGE)
		madvise(p, c->buf.size, MADV_HUGEPAGE);
	if (!(flags & MAP_POPULATE))
		memcpy(p, c->buf.contents, c->buf.size);
	if (!(prot & PROT_WRITE))
		mprotect(p, c->buf.size, prot);
	return p;
}

static char *map_at(struct cap *c, char *at, int prot, int flags)
{
	off_t offset = c->src->offset;
	int fd = c->buf.fd;
	char *p;

	if (!(flags & MAP_PRIVATE))
		flags |= MAP_SHARED;
	if (c->src->flags & SOURCE_FRESH)
		return map_anon(c, at, prot, flags);
	if (c->src->ops->where) {
		fd = c->src->ops->where(c->src, &c->buf, &offset);
		if (fd < 0)
			return MAP_FAILED;
	}
	p = mmap(at ? at - c->src->head : NULL, cap_len(c), prot,
		 flags | c->src->map_flags, fd, offset);
	return p == MAP_FAILED ? p : p + c->src->head;
}

char *cap_place(void)
{
	return (char *)ARENA_BASE + pmd_bytes();
}

char *cap_map(struct cap *c, int prot, int flags)
{
	c->addr = map_at(c, cap_place(), prot, flags | MAP_FIXED_NOREPLACE);
	if (c->addr != MAP_FAILED)
		return c->addr;
	cap_errno(c, flags & MAP_PRIVATE ? "mmap; MAP_PRIVATE" :
		     prot & PROT_WRITE	 ? "mmap; MAP_SHARED with PROT_WRITE" :
					   "mmap");
	return NULL;
}

long cap_minor_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

void cap_touch(const struct cap *c, const char *p)
{
	const char *end = p + c->buf.size;

	for (p -= c->src->head; p < end; p += page_bytes())
		(void)*(volatile const char *)p;
}

/* ---- the bytes ---- */

size_t cap_chunk(const struct cap *c)
{
	return c->buf.size < SMALL_BYTES / 2 ? c->buf.size : SMALL_BYTES / 2;
}

char *cap_other_bytes(const struct cap *c)
{
	char *p = map_private(NULL, c->buf.size);
	size_t i;

	if (p == MAP_FAILED)
		_exit(1);
	for (i = 0; i < c->buf.size; i++)
		p[i] = ~c->buf.contents[i];
	return p;
}

bool cap_same(const struct cap *c, const void *p, size_t len)
{
	return bytes_differ(p, c->buf.contents, len) < 0;
}

bool cap_read_all(int fd, void *to, size_t len)
{
	ssize_t got;

	for (; len; to = (char *)to + got, len -= got) {
		got = read(fd, to, len);
		if (got <= 0)
			return false;
	}
	return true;
}

bool cap_stored(const struct cap *c, const char *bytes)
{
	struct cap again = *c;
	char *copy, *p;
	bool same = false;

	if (c->src->flags & SOURCE_FRESH)
		return bytes_differ(c->addr, bytes, c->buf.size) < 0;
	if (c->src->ops->copy) {
		copy = map_private(NULL, c->buf.size);
		same = copy != MAP_FAILED &&
		       pread(c->buf.fd, copy, c->buf.size, 0) ==
			       (ssize_t)c->buf.size &&
		       bytes_differ(copy, bytes, c->buf.size) < 0;
		return same;
	}
	p = map_at(&again, NULL, PROT_READ, 0);
	if (p != MAP_FAILED)
		same = bytes_differ(p, bytes, c->buf.size) < 0;
	return same;
}

void cap_check_stored(struct cap *c, const char *bytes)
{
	cap_verdict(c, cap_stored(c, bytes), "yes",
		    "it succeeded but the bytes are not in the buffer");
}

/* ---- one property ---- */

/* In a process of its own */
static void observe(struct cap *c, const struct property *p)
{
	const struct rlimit none = {};
	char *copy;
	int err;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGSEGV, die);
	signal(SIGBUS, die);
	setrlimit(RLIMIT_CORE, &none);
	thp_allow(c->src->flags & SOURCE_HUGE);
	alarm(PATIENCE_S);
	err = buffer_open(&c->buf);
	if (err) {
		errno = -err;
		cap_none(c, "no buffer of %lu bytes: %m", c->buf.size);
		return;
	}
	/* Bytes of the provider's own mapping: it need not survive a fork */
	copy = map_private(NULL, c->buf.size);
	if (copy == MAP_FAILED)
		return;
	memcpy(copy, c->buf.contents, c->buf.size);
	c->buf.contents = copy;
	p->observe(c);
}

static void row(struct run *r, const struct source *s, uint64_t size,
		const char *property, const struct cap_result *out)
{
	emit_line(r->emit, EMIT_CAPABILITY, "%s,%s,%s,%lu,%u,%s,%s,%s",
		  s->provider, s->method, s->backing, size, r->opt.boot,
		  property, out->value, out->detail);
}

static void attempt(struct cap *c, const struct property *p)
{
	struct cap_result *out = c->out;
	const char *name;
	pid_t pid;
	int ended;

	memset(out, 0, sizeof(*out));
	if (c->src->ops->refuse &&
	    c->src->ops->refuse(c->src, c->buf.size, out->detail,
				sizeof(out->detail))) {
		snprintf(out->value, sizeof(out->value), "unavailable");
		clean(out->detail);
		row(c->run, c->src, c->buf.size, p->name, out);
		return;
	}
	pid = fork();
	if (!pid) {
		observe(c, p);
		_exit(0);
	}
	ended = pid < 0 ? -SIGKILL : cap_wait(pid);
	if (ended == -SIGALRM) {
		snprintf(out->value, sizeof(out->value), "hangs");
	} else if (ended < 0) {
		name = sigabbrev_np(-ended);
		snprintf(out->value, sizeof(out->value), "SIG%s",
			 name ? name : "?");
	} else if (!out->value[0]) {
		snprintf(out->value, sizeof(out->value), "wrong");
		snprintf(out->detail, sizeof(out->detail),
			 "the observer ended with status %d", ended);
	}
	row(c->run, c->src, c->buf.size, p->name, out);
}

static uint64_t size_of(const struct source *s, const struct property *p)
{
	char why[128];

	if (p->size == PMD && pmd_bytes() < 4 * MIB)
		return 4 * MIB;
	if (p->size == PMD || s->flags & SOURCE_HUGE)
		return pmd_bytes();
	/* Of compound pages there is no smaller buffer */
	return s->ops->refuse && s->ops->refuse(s, SMALL_BYTES, why,
						sizeof(why)) ?
		       pmd_bytes() :
		       SMALL_BYTES;
}

/* A value that is wrong, or none, fails the run as a wrong byte does */
static bool is_wrong(const struct cap_result *out)
{
	return !strcmp(out->value, "wrong") || !strcmp(out->value, "hangs");
}

static void judge(struct run *r, const struct group *g, const struct source *s,
		  unsigned int asked, unsigned int answered, const char *first)
{
	const struct cell cell = { .run = r, .group = g, .src = s };
	bool ok = asked == answered;
	char want[16], got[16];

	snprintf(want, sizeof(want), "%u", asked);
	snprintf(got, sizeof(got), "%u", answered);
	check(&cell, NULL, "observed", want, got, ok ? "pass" : "fail", first);
	r->failed += !ok;
}

/* The properties of a source, each on a buffer of its own with these bytes */
static void observe_source(struct run *r, const struct group *g,
			   const struct source *s, struct cap_result *out,
			   const char *image, uint64_t seed)
{
	unsigned int asked = 0, answered = 0, i;
	char first[sizeof(*out) + 32] = "";

	for (i = 0; i < ARRAY_SIZE(properties) && !stop_signal; i++) {
		const struct property *p = &properties[i];
		struct cap c = { .run = r, .src = s, .out = out };

		if (!(p->access & s->access))
			continue;
		c.buf = (struct buffer){
			.src = s,
			.size = size_of(s, p),
			.seed = seed,
			.sum = pattern_sum(seed, size_of(s, p)),
			.contents = image,
			.node = r->opt.node,
		};
		attempt(&c, p);
		asked++;
		answered += !is_wrong(out);
		if (is_wrong(out) && !first[0])
			snprintf(first, sizeof(first), "%s: %s: %s", p->name,
				 out->value, out->detail);
	}
	judge(r, g, s, asked, answered, first);
}

static int observe_all(struct run *r, const struct group *g)
{
	struct cap_result *out = mmap(NULL, sizeof(*out),
				      PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t seed = k2u_pattern(r->opt.seed, g->bytes);
	char *image = map_private(NULL, g->bytes);
	unsigned int i;

	if (out == MAP_FAILED || image == MAP_FAILED)
		return -ENOMEM;
	pattern_fill(image, seed, g->bytes);
	for (i = 0; i < r->src.nr; i++) {
		const struct source *s = &r->src.v[i];

		if (!source_wanted(s, &r->opt) || s->flags & SOURCE_NULL ||
		    strcmp(s->cache, "wb") ||
		    /* What is asked of copies is asked of the file: of read */
		    (s->access != K2U_ACCESS_COPY &&
		     !(s->access & K2U_ACCESS_MAP)))
			continue;
		snprintf(out->value, sizeof(out->value), "%s",
			 source_available(s) ? "yes" : "unavailable");
		snprintf(out->detail, sizeof(out->detail), "%s", s->reason);
		clean(out->detail);
		row(r, s, 0, "available", out);
		if (source_available(s))
			observe_source(r, g, s, out, image, seed);
	}
	munmap(image, g->bytes);
	munmap(out, sizeof(*out));
	return 0;
}

int measure_capability(struct run *r)
{
	uint64_t most = 4 * MIB > pmd_bytes() ? 4 * MIB : pmd_bytes();
	int err = group_add(r, "capability", SMALL_BYTES, most, NULL, 0);

	if (!err)
		r->groups[r->nr_groups - 1].instead = observe_all;
	return err;
}

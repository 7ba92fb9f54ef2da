// SPDX-License-Identifier: GPL-2.0
/* capability_process.c - another process gets at the bytes of a mapping. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capability.h"

#define CORE "/tmp/k2u-core"
#define CORE_PATTERN "/proc/sys/kernel/core_pattern"

#define LOST "it succeeded but the bytes are not the buffer's"

/*
 * A child looks into us, who made the mapping: a child need not have inherited
 * it (VM_DONTCOPY). What it says goes into c->out, which is shared.
 */
static void let_child(struct cap *c, void (*look)(struct cap *c, pid_t pid))
{
	pid_t pid = getpid(), child;

	/* Where Yama lets only parents look into their children */
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		look(c, pid);
		_exit(0);
	}
	if (child < 0)
		cap_none(c, "fork: %m");
	else if (cap_wait(child))
		cap_say(c, "wrong", "the process that looked has died");
}

static void check_got(struct cap *c, ssize_t n, const char *got,
		      const char *call)
{
	if (n < 0)
		cap_errno(c, call);
	else if (n != (ssize_t)c->buf.size)
		cap_say(c, "short", "%s gave %zd of %zu bytes", call, n,
			c->buf.size);
	else
		cap_verdict(c, cap_same(c, got, c->buf.size), "yes", LOST);
}

static void look_readv(struct cap *c, pid_t pid)
{
	struct iovec here = { map_private(NULL, c->buf.size), c->buf.size };
	struct iovec there = { c->addr, c->buf.size };

	check_got(c, process_vm_readv(pid, &here, 1, &there, 1, 0),
		  here.iov_base, "process_vm_readv");
}

void cap_process_vm_readv(struct cap *c)
{
	if (cap_map(c, PROT_READ, 0))
		let_child(c, look_readv);
}

static void look_writev(struct cap *c, pid_t pid)
{
	struct iovec here = { cap_other_bytes(c), c->buf.size };
	struct iovec there = { c->addr, c->buf.size };
	ssize_t n = process_vm_writev(pid, &here, 1, &there, 1, 0);

	if (n < 0)
		cap_errno(c, "process_vm_writev");
	else
		cap_say(c, n == (ssize_t)c->buf.size ? "" : "short",
			"process_vm_writev gave %zd of %zu bytes", n,
			c->buf.size);
}

void cap_process_vm_writev(struct cap *c)
{
	char *other = cap_other_bytes(c);

	if (!cap_map(c, PROT_READ | PROT_WRITE, 0))
		return;
	let_child(c, look_writev);
	if (c->out->value[0])
		return;
	if (bytes_differ(c->addr, other, c->buf.size) >= 0)
		cap_say(c, "wrong",
			"it succeeded but the mapping has other bytes");
	else
		cap_check_stored(c, other);
}

static void look_ptrace(struct cap *c, pid_t pid)
{
	long word = 0, got;

	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) ||
	    ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) ||
	    waitpid(pid, NULL, __WALL) != pid) {
		cap_none(c, "PTRACE_SEIZE: %m");
		return;
	}
	memcpy(&word, c->buf.contents, sizeof(word));
	errno = 0;
	got = ptrace(PTRACE_PEEKDATA, pid, c->addr, NULL);
	if (errno)
		cap_errno(c, "PTRACE_PEEKDATA");
	else
		cap_verdict(c, got == word, "yes", LOST);
}

void cap_ptrace_peek(struct cap *c)
{
	if (cap_map(c, PROT_READ, 0))
		let_child(c, look_ptrace);
}

static void look_mem(struct cap *c, pid_t pid)
{
	char *got = map_private(NULL, c->buf.size), path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		cap_none(c, "%s: %m", path);
	else
		check_got(c, pread(fd, got, c->buf.size, (uintptr_t)c->addr),
			  got, "pread");
}

void cap_proc_mem(struct cap *c)
{
	if (cap_map(c, PROT_READ, 0))
		let_child(c, look_mem);
}

/* ---- core dump ---- */

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 &&
		  write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* What of the mapping is in the core, in bytes from its start */
static void look_into_core(struct cap *c, int fd)
{
	uint64_t addr = (uintptr_t)c->addr;
	char *got = map_private(NULL, c->buf.size);
	Elf64_Ehdr head;
	Elf64_Phdr seg;
	size_t i;

	if (got == MAP_FAILED ||
	    pread(fd, &head, sizeof(head), 0) != sizeof(head) ||
	    memcmp(head.e_ident, ELFMAG, SELFMAG) || head.e_type != ET_CORE) {
		cap_say(c, "wrong", "the core is no ELF core");
		return;
	}
	for (i = 0; i < head.e_phnum; i++) {
		if (pread(fd, &seg, sizeof(seg),
			  head.e_phoff + i * sizeof(seg)) != sizeof(seg))
			break;
		if (seg.p_type != PT_LOAD || addr < seg.p_vaddr ||
		    addr - seg.p_vaddr >= seg.p_memsz)
			continue;
		if (addr - seg.p_vaddr + c->buf.size > seg.p_filesz)
			cap_say(c, "no", "%lu of %lu bytes of its segment",
				seg.p_filesz, seg.p_memsz);
		else if (pread(fd, got, c->buf.size,
			       seg.p_offset + (addr - seg.p_vaddr)) !=
			 (ssize_t)c->buf.size)
			cap_say(c, "wrong", "the core is cut short");
		else
			cap_verdict(c, cap_same(c, got, c->buf.size), "yes",
				    "the core has other bytes");
		return;
	}
	cap_say(c, "no", "it has no segment");
}

/* Every kind of memory selected (core(5)), so that what is missing was left out for its flags */
static int dump_core(struct cap *c)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	pid_t pid = fork();
	int status;

	if (!pid) {
		/* Mapped here: a child need not inherit it (VM_DONTCOPY) */
		if (!write_text("/proc/self/coredump_filter", "0x7f") ||
		    setrlimit(RLIMIT_CORE, &unlimited) ||
		    !cap_map(c, PROT_READ, 0))
			_exit(1);
		cap_touch(c, c->addr);
		signal(SIGABRT, SIG_DFL);
		abort();
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -errno;
	return WIFSIGNALED(status) && WCOREDUMP(status) ? 0 : -ENODATA;
}

void cap_core_dump(struct cap *c)
{
	char before[128];
	int fd = -1, err;

	/* The pattern is the whole machine's */
	if (c->run->opt.native) {
		cap_none(
			c,
			"looked at in guests only: core_pattern is the whole machine's");
		return;
	}
	if (!read_text(CORE_PATTERN, before, sizeof(before)) ||
	    !write_text(CORE_PATTERN, CORE)) {
		cap_none(c, CORE_PATTERN ": %m");
		return;
	}
	unlink(CORE);
	c->addr = cap_place();
	err = dump_core(c);
	if (!err)
		fd = open(CORE, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		cap_say(c, "wrong", "no core was dumped: %s",
			strerror(err ? -err : errno));
	else
		look_into_core(c, fd);
	unlink(CORE);
	write_text(CORE_PATTERN, before);
}

// SPDX-License-Identifier: GPL-2.0
/* What the hostile cases do again and again: mappings, children, contents. */
#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <linux/capability.h>

#include "hostile.h"

void *hostile_mmap(const struct hostile *h, int fd, uint64_t offset, size_t len,
		   int prot, int flags, int *err)
{
	void *p = mmap(NULL, len, prot, flags, fd,
		       (off_t)(K2U_MMAP_OFFSET(h->id) + offset));

	*err = p == MAP_FAILED ? errno : 0;
	return p;
}

char *hostile_map(const struct hostile *h, int prot)
{
	int err;
	char *p = hostile_mmap(h, h->fd, 0, h->len, prot, shared_flags(h->id),
			       &err);

	need(p != MAP_FAILED);
	return p;
}

void hostile_unmap(const struct hostile *h, void *p, size_t len)
{
	check(munmap(p, len) == 0);
}

char *hostile_anon(const struct hostile *h, size_t len, int prot)
{
	char *p = mmap(NULL, len, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	need(p != MAP_FAILED);
	return p;
}

uint64_t hostile_vmas(const struct hostile *h)
{
	struct k2u_counters c = { 0 };

	need(!ioctl(h->fd, K2U_IOC_COUNTERS, &c));
	return c.vmas;
}

uint64_t hostile_hash(const struct hostile *h, int fd)
{
	struct k2u_checksum c = { .size = h->size };

	need(!ioctl(fd, K2U_IOC_CHECKSUM, &c));
	return c.hash;
}

int hostile_setup(int fd, uint32_t backing, uint64_t size)
{
	struct k2u_setup setup = { .size = size,
				   .backing = backing,
				   .node = K2U_NODE_ANY };

	return result(ioctl(fd, K2U_IOC_SETUP, &setup));
}

bool hostile_pattern(const struct hostile *h, const void *p, size_t at,
		     size_t len)
{
	const uint64_t *word = p;

	if (h->is & EMPTY)
		return true;
	for (size_t i = 0; i < len / 8; i++)
		if (word[i] != k2u_pattern(SEED, at / 8 + i))
			return false;
	return true;
}

pid_t hostile_fork(const struct hostile *h)
{
	pid_t pid = fork();

	need(pid >= 0);
	return pid;
}

int hostile_wait(const struct hostile *h, pid_t pid)
{
	int status;

	need(waitpid(pid, &status, 0) == pid);
	return WIFSIGNALED(status) ? DIES(WTERMSIG(status)) :
				     WEXITSTATUS(status);
}

int hostile_child(const struct hostile *h,
		  int (*f)(const struct hostile *h, void *arg), void *arg)
{
	pid_t pid = hostile_fork(h);

	if (!pid)
		_exit(f(h, arg));
	return hostile_wait(h, pid);
}

struct touch {
	volatile char *p;
	size_t len;
	bool write;
};

static int do_touch(const struct hostile *h, void *arg)
{
	const struct touch *t = arg;

	for (size_t i = 0; i < t->len; i += h->page) {
		char c = t->p[i];

		if (t->write)
			t->p[i] = c;
	}
	return 0;
}

int hostile_touch(const struct hostile *h, void *p, size_t len, bool write)
{
	struct touch t = { p, len, write };

	return hostile_child(h, do_touch, &t);
}

void hostile_drop(const struct hostile *h)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct none[2] = { 0 };

	need(!setgroups(0, NULL));
	need(!setresgid(NOBODY_ID, NOBODY_ID, NOBODY_ID));
	need(!setresuid(NOBODY_ID, NOBODY_ID, NOBODY_ID));
	need(!syscall(SYS_capset, &header, none));
	need(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	/* else /proc/self is root's */
	need(!prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

// SPDX-License-Identifier: GPL-2.0
/* Files, processes and the module: who may open, and what outlives what. */
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "hostile.h"

static int try_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC), err = fd < 0 ? errno : 0;

	if (fd >= 0)
		close(fd);
	return err;
}

static int in_userns(const struct hostile *h, void *arg)
{
	(void)arg;
	expect(h, "unshare", result(unshare(CLONE_NEWUSER)));
	expect(h, "open_in_userns", try_open(K2U_DEVICE, O_RDONLY));
	return 0;
}

/* The node is 0600, and there is no way round it. */
HOSTILE(open)
{
	char own[64], path[64];
	struct stat st;
	int fd;

	need(!stat(K2U_DEVICE, &st));
	check((st.st_mode & 07777) == 0600);
	check(st.st_uid == 0 && st.st_gid == 0);
	expect(h, "rdonly", try_open(K2U_DEVICE, O_RDONLY));
	expect(h, "wronly", try_open(K2U_DEVICE, O_WRONLY));
	expect(h, "rdwr", try_open(K2U_DEVICE, O_RDWR));
	expect(h, "append", try_open(K2U_DEVICE, O_WRONLY | O_APPEND));
	expect(h, "trunc", try_open(K2U_DEVICE, O_RDWR | O_TRUNC));
	expect(h, "excl", try_open(K2U_DEVICE, O_RDWR | O_CREAT | O_EXCL));
	expect(h, "direct", try_open(K2U_DEVICE, O_RDWR | O_DIRECT));
	expect(h, "directory", try_open(K2U_DEVICE, O_RDONLY | O_DIRECTORY));
	/* A file that was passed gives what it has, and is no way to the node */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", h->fd);
	expect(h, "reopen", try_open(path, O_RDWR));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", h->ro);
	expect(h, "reopen_to_write", try_open(path, O_RDWR));
	expect(h, "chmod", result(fchmod(h->fresh[0], 0600)));

	fd = open(K2U_DEVICE, O_PATH | O_CLOEXEC);
	expect(h, "path", fd < 0 ? errno : 0);
	if (fd >= 0) {
		struct k2u_info info = { 0 };
		void *p = mmap(NULL, h->page, PROT_READ, MAP_SHARED, fd, 0);

		expect(h, "path_mmap", p == MAP_FAILED ? errno : 0);
		expect(h, "path_ioctl", result(ioctl(fd, K2U_IOC_INFO, &info)));
		expect(h, "path_read", result(read(fd, own, 1)));
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		expect(h, "path_reopen", try_open(path, O_RDWR));
		close(fd);
	}

	snprintf(own, sizeof(own), "/tmp/k2u-node.%d", getpid());
	expect(h, "mknod", result(mknod(own, S_IFCHR | 0666, st.st_rdev)));
	unlink(own);
	(void)hostile_child(h, in_userns, NULL);
}

/* rmmod while a file is open, or only mapped, or open elsewhere */
HOSTILE(rmmod)
{
	char *p = hostile_map(h, PROT_READ);
	const int fds[] = { h->ro,	 h->wo,	      h->fresh[0], h->fresh[1],
			    h->fresh[2], h->fresh[3], h->fresh[4], h->fresh[5] };
	struct hostile own = *h;

	expect(h, "open",
	       result(syscall(SYS_delete_module, "k2u", O_NONBLOCK)));
	/* The forced one only where it is no risk */
	if (h->is & NOBODY)
		expect(h, "forced",
		       result(syscall(SYS_delete_module, "k2u",
				      O_NONBLOCK | O_TRUNC)));
	own.fd = dup(h->fd);
	need(own.fd >= 0);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		need(!close(fds[i]));
	need(!close(h->fd));
	need(!close(own.fd));
	/* The mapping alone is left */
	expect(h, "mapped",
	       result(syscall(SYS_delete_module, "k2u", O_NONBLOCK)));
	check(hostile_pattern(h, p, 0, h->len));
	expect(h, "touch", hostile_touch(h, p, h->len, false));
	hostile_unmap(h, p, h->len);
	_exit(0); /* the files that the check at the end wants are gone */
}

static void send_fd(const struct hostile *h, int socket, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} u = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)),
			    .cmsg_level = SOL_SOCKET,
			    .cmsg_type = SCM_RIGHTS } };
	struct iovec v = { "", 1 };
	struct msghdr m = { .msg_iov = &v,
			    .msg_iovlen = 1,
			    .msg_control = u.space,
			    .msg_controllen = sizeof(u.space) };

	memcpy(CMSG_DATA(&u.header), &fd, sizeof(fd));
	need(sendmsg(socket, &m, 0) == 1);
}

static int receive_fd(const struct hostile *h, int socket)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} u;
	char byte;
	struct iovec v = { &byte, 1 };
	struct msghdr m = { .msg_iov = &v,
			    .msg_iovlen = 1,
			    .msg_control = u.space,
			    .msg_controllen = sizeof(u.space) };
	int fd;

	need(recvmsg(socket, &m, MSG_CMSG_CLOEXEC) == 1);
	need(m.msg_controllen >= sizeof(u.header));
	memcpy(&fd, CMSG_DATA(&u.header), sizeof(fd));
	return fd;
}

/* The sender of the file dies; the receiver's mapping lives on. */
HOSTILE(passed)
{
	int ends[2], inner[2], fd, other = h->fresh[0];
	struct hostile own = *h;
	char *p, byte;
	pid_t pid;

	need(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
	need(!pipe2(inner, O_CLOEXEC));
	pid = hostile_fork(h);
	if (!pid) {
		struct k2u_setup setup = { .size = h->size,
					   .backing = h->backing,
					   .node = K2U_NODE_ANY,
					   .flags = K2U_SETUP_FILL,
					   .seed = SEED };

		need(!ioctl(other, K2U_IOC_SETUP, &setup));
		/* A mapping here, too, which goes with the process */
		own.fd = other;
		(void)hostile_map(&own, PROT_READ);
		send_fd(h, ends[1], other);
		close(other);
		need(read(inner[0], &byte, 1) == 1);
		raise(SIGKILL);
	}
	close(other); /* the parent's own; the buffer is the child's doing */
	fd = receive_fd(h, ends[0]);
	p = mmap(NULL, h->len, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		 (off_t)K2U_MMAP_OFFSET(h->id));
	expect(h, "map", p == MAP_FAILED ? errno : 0);
	need(p != MAP_FAILED);
	own.fd = fd;
	check(hostile_vmas(&own) == 2);
	need(write(inner[1], "", 1) == 1);
	expect(h, "sender", hostile_wait(h, pid));
	check(hostile_vmas(&own) == 1);
	check(hostile_pattern(h, p, 0, h->len));
	expect(h, "setup", hostile_setup(fd, h->backing, h->size));
	close(fd);
	check(hostile_pattern(h, p, 0, h->len));
	expect(h, "touch", hostile_touch(h, p, h->len, true));
	hostile_unmap(h, p, h->len);

	/* In flight when both ends go: the file goes with the socket */
	send_fd(h, ends[1], h->fresh[1]);
	need(!close(h->fresh[1]));
	close(ends[0]);
	close(ends[1]);
	close(inner[0]);
	close(inner[1]);
}

/* Parent and child take mappings and files down in every order. */
HOSTILE(fork)
{
	enum {
		CHILD_UNMAPS,
		CHILD_EXITS,
		CHILD_DIES,
		CHILD_EXECS,
		CHILD_FORKS,
		PARENT_UNMAPS,
		PARENT_PARTLY,
		ORDERS
	};

	for (int order = 0; order < ORDERS; order++) {
		char *p = hostile_map(h, PROT_READ | PROT_WRITE), byte = 0;
		const bool parent_first = order >= PARENT_UNMAPS;
		int go[2], over[2];
		pid_t pid;

		check(hostile_pattern(h, p, 0, h->page));
		need(!pipe2(go, O_CLOEXEC) && !pipe2(over, O_CLOEXEC));
		pid = hostile_fork(h);
		if (!pid) {
			need(read(go[0], &byte, 1) == 1);
			check(hostile_pattern(h, p, 0, h->len));
			switch (order) {
			case CHILD_UNMAPS:
				hostile_unmap(h, p, h->len);
				check(hostile_vmas(h) == 1);
				break;
			case CHILD_DIES:
				raise(SIGKILL);
				break;
			case CHILD_EXECS:
				execl("/bin/true", "true", NULL);
				break;
			case CHILD_FORKS:
				pid = hostile_fork(h);
				if (!pid) {
					check(hostile_vmas(h) == 3);
					hostile_unmap(h, p + h->page, h->page);
					check(hostile_vmas(h) == 4);
					_exit(0);
				}
				hostile_wait(h, pid);
				check(hostile_vmas(h) == 2);
				/* and one that outlives this process */
				if (!hostile_fork(h)) {
					usleep(20000);
					hostile_unmap(h, p, h->len);
					need(write(over[1], "", 1) == 1);
					_exit(0);
				}
				hostile_unmap(h, p, h->len);
				break;
			case PARENT_UNMAPS:
				check(hostile_vmas(h) == 1);
				break;
			case PARENT_PARTLY:
				check(hostile_vmas(h) == 3);
				break;
			}
			_exit(0);
		}
		check(hostile_vmas(h) == 2);
		if (order == PARENT_UNMAPS)
			hostile_unmap(h, p, h->len);
		else if (order == PARENT_PARTLY)
			hostile_unmap(h, p + 3 * h->page, h->page);
		need(write(go[1], "", 1) == 1);
		expect(h, order == CHILD_DIES ? "killed" : "child",
		       hostile_wait(h, pid));
		if (order == CHILD_FORKS)
			need(read(over[0], &byte, 1) == 1);
		check(hostile_vmas(h) == (order == PARENT_UNMAPS ? 0 :
					  order == PARENT_PARTLY ? 2 :
								   1));
		if (!parent_first)
			check(hostile_pattern(h, p, 0, h->len));
		hostile_unmap(h, p, h->len);
		check(hostile_vmas(h) == 0);
		close(go[0]);
		close(go[1]);
		close(over[0]);
		close(over[1]);
	}
	{
		/* DONTFORK: the child has no mapping; DOFORK: it has one again */
		char *p = hostile_map(h, PROT_READ);
		pid_t pid;

		need(!madvise(p, h->len, MADV_DONTFORK));
		pid = hostile_fork(h);
		if (!pid) {
			check(hostile_vmas(h) == 1);
			_exit(0);
		}
		expect(h, "child", hostile_wait(h, pid));
		expect(h, "dontfork_touch", hostile_touch(h, p, h->len, false));
		hostile_unmap(h, p, h->len);
	}
}

/* A limit of the caller's own: a refusal, and nothing is left of the try. */
HOSTILE(limits)
{
	const struct rlimit tiny = { h->page, h->page };
	struct rlimit old;
	char *p, *all[64];
	size_t n;
	int err;

	/* many mappings of a file, and then none */
	for (n = 0; n < ARRAY_SIZE(all); n++)
		all[n] = hostile_map(h, PROT_READ);
	check(hostile_vmas(h) == n);
	while (n)
		hostile_unmap(h, all[--n], h->len);
	check(hostile_vmas(h) == 0);

	need(!setrlimit(RLIMIT_MEMLOCK, &tiny));
	p = hostile_mmap(h, h->fd, 0, h->len, PROT_READ,
			 MAP_SHARED | MAP_LOCKED, &err);
	expect(h, "memlock", err);
	if (!err)
		hostile_unmap(h, p, h->len);
	need(!getrlimit(RLIMIT_AS, &old));
	old.rlim_cur = h->page;
	need(!setrlimit(RLIMIT_AS, &old));
	p = hostile_mmap(h, h->fd, 0, h->len, PROT_READ, MAP_SHARED, &err);
	expect(h, "as", err);
	if (!err)
		hostile_unmap(h, p, h->len);
	check(hostile_vmas(h) == 0);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * provider_tree.c - kernel memory that every kernel lets a process copy or
 * map, without the module. What a mapping really is differs between releases,
 * so it is looked at, not looked up: a small one is made, its VMA flags and the
 * faults that it takes say which code made it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"
#include "bpf.h"

enum { STORE_MEMFD, STORE_BPF, STORE_PERF, STORE_ANON, STORE_NULL };

static uint64_t fault_around = 64 * KIB; /* the default of mm/memory.c */

static uint64_t pages_of(uint64_t size)
{
	return (size + page_bytes() - 1) / page_bytes();
}

static void fd_close(struct buffer *b)
{
	if (b->hold)
		munmap(b->hold, b->hold_len);
	b->hold = NULL;
	close(b->fd);
}

static char *fd_map(const struct source *s, struct buffer *b, char *at)
{
	return mmap(at, b->size, PROT_READ,
		    MAP_SHARED | (at ? MAP_FIXED_NOREPLACE : 0), b->fd, 0);
}

static ssize_t fd_copy(struct use *u, size_t len, off_t off)
{
	return pread(u->buf->fd, u->addr, len, off);
}

static uint64_t expect_none(const struct source *s, uint64_t size)
{
	return 0;
}

static uint64_t expect_pages(const struct source *s, uint64_t size)
{
	return pages_of(size);
}

/* memfd: shmem pages; read and mapped */

static int memfd_readonly(struct buffer *b)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", b->fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	close(b->fd);
	b->fd = fd;
	return fd < 0 ? -errno : 0;
}

static int memfd_open(struct buffer *b)
{
	int err;

	b->fd = memfd_create("k2u", MFD_CLOEXEC);
	if (b->fd < 0)
		return -errno;
	/*
	 * Allocates the pages, as the other objects do when they are made. It ends
	 * where a signal is pending, and so it looks while work that an io_uring
	 * left behind waits for its task (TIF_NOTIFY_SIGNAL).
	 */
	do
		err = fallocate(b->fd, 0, 0, b->size) ? errno : 0;
	while (err == EINTR);
	if (!err)
		return b->readonly ? memfd_readonly(b) : 0;
	close(b->fd);
	return -err;
}

static int memfd_store(struct buffer *b, const void *from, size_t len,
		       off_t off)
{
	ssize_t put;

	for (; len; from = (const char *)from + put, len -= put, off += put) {
		put = pwrite(b->fd, from, len, off);
		if (put <= 0)
			return put ? -errno : -EIO;
	}
	return 0;
}

/*
 * do_fault_around() maps what is in the page cache of the naturally aligned
 * window around the address: a fault for each window that the mapping overlaps.
 */
uint64_t fault_windows(uint64_t addr, uint64_t size, uint64_t window)
{
	return (addr + size + window - 1) / window - addr / window;
}

static uint64_t memfd_expect(const struct source *s, uint64_t size)
{
	return fault_windows(
		0, size,
		fault_around); /* the arena's slots are aligned to more */
}

static const struct source_ops memfd_ops = {
	.open = memfd_open,
	.close = fd_close,
	.store = memfd_store,
	.map = fd_map,
	.copy = fd_copy,
	.expect = memfd_expect,
};

/* BPF array: vmalloc memory, mapped by array_map_mmap() */

static int bpf_array_open(struct buffer *b)
{
	b->fd = bpf_map(BPF_MAP_TYPE_ARRAY, 4, 8, (b->size + 7) / 8,
			BPF_F_MMAPABLE | (b->readonly ? BPF_F_RDONLY : 0));
	return b->fd < 0 ? b->fd : 0;
}

/*
 * By a mapping that is gone afterwards: pages that are mapped already are cheaper
 * to map (__folio_add_rmap() of mm/rmap.c counts the first mapping alone), and
 * k2u's are not.
 */
static int bpf_array_store(struct buffer *b, const void *from, size_t len,
			   off_t off)
{
	char *p = mmap(NULL, b->size, PROT_READ | PROT_WRITE, MAP_SHARED, b->fd,
		       0);

	if (p == MAP_FAILED)
		return -errno;
	memcpy(p + off, from, len);
	return munmap(p, b->size) ? -errno : 0;
}

static const struct source_ops bpf_array_ops = {
	.open = bpf_array_open,
	.close = fd_close,
	.store = bpf_array_store,
	.map = fd_map,
	.expect = expect_none,
};

static const struct source_ops bpf_array_fault_ops = {
	.open = bpf_array_open,
	.close = fd_close,
	.store = bpf_array_store,
	.map = fd_map,
	.expect = expect_pages,
};

/*
 * perf ring buffer: a header page, then 2^n data pages that only the kernel
 * writes. The first mapping makes it and the last one frees it, so one is held;
 * later mappings of that size share it.
 */

static int perf_open(struct buffer *b)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_DUMMY,
		.size = sizeof(attr),
		.exclude_kernel = 1,
		.exclude_hv = 1,
		.comm = 1,
		.sample_id_all = 1,
		.disabled = 1,
		.sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_TIME |
			       PERF_SAMPLE_ID | PERF_SAMPLE_STREAM_ID |
			       PERF_SAMPLE_CPU | PERF_SAMPLE_IDENTIFIER,
	};
	int err;

	b->fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1,
			PERF_FLAG_FD_CLOEXEC);
	if (b->fd < 0)
		return -errno;
	b->hold_len = b->size + page_bytes();
	/* Not PROT_WRITE: then the kernel overwrites the oldest records and needs no reader */
	b->hold = mmap(NULL, b->hold_len, PROT_READ, MAP_SHARED, b->fd, 0);
	if (b->hold != MAP_FAILED)
		return 0;
	err = -errno;
	b->hold = NULL;
	close(b->fd);
	return err;
}

/* User space cannot write the data pages; the kernel's records of our own renamings do */
static int perf_fill(struct buffer *b)
{
	const volatile struct perf_event_mmap_page *head = (void *)b->hold;
	const uint64_t *word = (void *)(b->hold + page_bytes());
	uint64_t last = 0, i;
	char name[16];
	int err = 0;

	b->contents = (void *)word;
	prctl(PR_GET_NAME, name);
	ioctl(b->fd, PERF_EVENT_IOC_ENABLE, 0);
	for (i = 0; head->data_head < b->size && !err; i++) {
		prctl(PR_SET_NAME, name);
		/* a record each time, so that this ends */
		if (head->data_head == last)
			err = -ENODATA;
		last = head->data_head;
	}
	ioctl(b->fd, PERF_EVENT_IOC_DISABLE, 0);
	for (b->sum = 0, i = 0; i < b->size / 8; i++)
		b->sum += word[i];
	return err;
}

static char *perf_map(const struct source *s, struct buffer *b, char *at)
{
	char *p = mmap(at ? at - s->head : NULL, b->size + s->head, PROT_READ,
		       MAP_SHARED | (at ? MAP_FIXED_NOREPLACE : 0), b->fd, 0);

	return p == MAP_FAILED ? p : p + s->head;
}

static bool perf_refuse(const struct source *s, uint64_t size, char *why,
			size_t len)
{
	if (!(size & (size - 1)) && size >= page_bytes())
		return false;
	snprintf(why, len, "a perf ring has 2^n pages");
	return true;
}

static const struct source_ops perf_ops = {
	.open = perf_open,
	.close = fd_close,
	.fill = perf_fill,
	.map = perf_map,
	.expect = expect_none,
	.refuse = perf_refuse,
};

static const struct source_ops perf_fault_ops = {
	.open = perf_open,
	.close = fd_close,
	.fill = perf_fill,
	.map = perf_map,
	.expect = expect_pages,
	.refuse = perf_refuse,
};

/* anon: the user's own memory, what a mapping of the kernel's is compared with */

static char *anon_map(const struct source *s, struct buffer *b, char *at)
{
	return map_private(at, b->size);
}

static char *thp_map(const struct source *s, struct buffer *b, char *at)
{
	char *p = map_private(at, b->size);

	if (p != MAP_FAILED)
		madvise(p, b->size, MADV_HUGEPAGE);
	return p;
}

static uint64_t thp_expect(const struct source *s, uint64_t size)
{
	return size / pmd_bytes();
}

static bool thp_refuse(const struct source *s, uint64_t size, char *why,
		       size_t len)
{
	if (size % pmd_bytes() == 0)
		return false;
	snprintf(why, len, "not a multiple of a huge page (%zu bytes)",
		 pmd_bytes());
	return true;
}

static const struct source_ops anon_ops = {
	.map = anon_map,
	.expect = expect_pages,
};

static const struct source_ops thp_ops = {
	.map = thp_map,
	.expect = thp_expect,
	.refuse = thp_refuse,
};

/* null: system calls of the same kind that hand over nothing */

static char *null_map(const struct source *s, struct buffer *b, char *at)
{
	return mmap(at, b->size, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS |
			    (at ? MAP_FIXED_NOREPLACE : 0),
		    -1, 0);
}

static const struct source_ops null_ops = {
	.open = memfd_open,
	.close = fd_close,
	.store = memfd_store,
	.map = null_map,
	.copy = fd_copy,
	.expect = expect_none,
};

/*
 * What a mapping of 16 pages shows: its VMA flags, and the minor faults of
 * touching it. The second one is counted: the first may fault in our own code.
 */
static int look(struct source *s, char *flags, size_t len, long *faults)
{
	struct buffer b = { .src = s,
			    .size = 16 * page_bytes(),
			    .node = K2U_NODE_ANY };
	const struct access_ops *acc = &access_map;
	struct rusage before, after;
	struct use u;
	int err = s->ops->open(&b), i;

	if (err)
		return err;
	use_init(&u, s, &b);
	for (i = 0; i < 2 && !err; i++) {
		err = acc->setup(&u, NULL);
		if (err)
			break;
		getrusage(RUSAGE_THREAD, &before);
		acc->touch(&u);
		getrusage(RUSAGE_THREAD, &after);
		*faults = after.ru_minflt - before.ru_minflt;
		if (!smaps_field(u.addr - s->head, "VmFlags", flags, len))
			snprintf(flags, len, "unreadable");
		acc->teardown(&u);
	}
	s->ops->close(&b);
	return err;
}

static void probe_bpf(struct source *s)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	char flags[128] = "";
	long faults = 0;
	int err;

	/* Before 5.11, BPF memory counts against it */
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	err = look(s, flags, sizeof(flags), &faults);
	if (err) {
		snprintf(s->reason, sizeof(s->reason),
			 "BPF_MAP_CREATE of an mmapable array: %s (%s)",
			 strerror(-err),
			 err == -EPERM ? "run as root or with CAP_BPF" :
					 "needs CONFIG_BPF_SYSCALL, Linux 5.5");
		return;
	}
	if (faults) {
		s->method = "fault";
		s->ops = &bpf_array_fault_ops;
	}
	snprintf(
		s->via, sizeof(s->via),
		"array_map_mmap(): %s, on vmalloc memory (seen: %ld faults for 16 pages, VmFlags %s)",
		faults ? "->fault" : "remap_vmalloc_range()", faults, flags);
}

static void probe_perf(struct source *s)
{
	char flags[128] = "";
	long faults = 0;
	int err = look(s, flags, sizeof(flags), &faults);
	bool pfnmap = strstr(flags, "pf"); /* flags are two letters each */

	if (err) {
		snprintf(
			s->reason, sizeof(s->reason),
			"perf_event_open() and mmap of its ring: %s (%s)",
			strerror(-err),
			err == -EACCES ?
				"run as root, or lower kernel.perf_event_paranoid" :
			err == -EPERM ?
				"run as root, or raise kernel.perf_event_mlock_kb" :
				"needs CONFIG_PERF_EVENTS");
		return;
	}
	if (!pfnmap) {
		s->method = "fault";
		s->ops = &perf_fault_ops;
	}
	snprintf(s->via, sizeof(s->via),
		 "perf_mmap(): %s (seen: %ld faults for 16 pages, VmFlags %s)",
		 pfnmap ? "remap_pfn_range()" : "perf_mmap_fault()", faults,
		 flags);
}

static const struct source rows[] = {
	{
		.method = "read",
		.backing = "memfd",
		.access = K2U_ACCESS_COPY,
		.store_id = STORE_MEMFD,
		.ops = &memfd_ops,
		.via = "shmem_file_read_iter(): copy_page_to_iter()",
	},
	{
		.method = "fault",
		.backing = "memfd",
		.access = K2U_ACCESS_MAP,
		.store_id = STORE_MEMFD,
		.ops = &memfd_ops,
		.via = "filemap_map_pages(): fault-around",
	},
	{
		.method = "vmalloc",
		.backing = "bpf-array",
		.access = K2U_ACCESS_MAP,
		.store_id = STORE_BPF,
		.ops = &bpf_array_ops,
		.via = "array_map_mmap()",
	},
	{
		.method = "pfn",
		.backing = "perf-ring",
		.access = K2U_ACCESS_MAP,
		.flags = SOURCE_NODELESS,
		.store_id = STORE_PERF,
		.ops = &perf_ops,
		.via = "perf_mmap()",
	},
	{
		.method = "anon",
		.backing = "4k",
		.access = K2U_ACCESS_MAP,
		.flags = SOURCE_FRESH,
		.store_id = STORE_ANON,
		.ops = &anon_ops,
		.via = "do_anonymous_page(): plain memory of the process",
	},
	{
		.method = "anon",
		.backing = "thp",
		.access = K2U_ACCESS_MAP,
		.flags = SOURCE_FRESH | SOURCE_HUGE,
		.store_id = STORE_ANON,
		.ops = &thp_ops,
		.via = "do_huge_pmd_anonymous_page(): plain memory, MADV_HUGEPAGE",
	},
	{
		.method = "null",
		.backing = "none",
		.access = K2U_ACCESS_BOTH,
		.flags = SOURCE_NULL,
		.store_id = STORE_NULL,
		.ops = &null_ops,
		.via = "pread of 0 bytes of a memfd; mmap of PROT_NONE, not touched",
	},
};

/*
 * --test-spin: a method's map() and copy() with a loop before them. Its sources
 * get other hooks, so that nothing is paid where the option is not given.
 */
struct spun {
	struct source_ops ops;
	const struct source_ops *real;
};

static struct spun spun[ARRAY_SIZE(rows)];
static uint64_t spin_turns;

static void spin(void)
{
	uint64_t turns;

	/* Opaque, so that no turn is elided or merged */
	for (turns = spin_turns; turns; turns--)
		asm volatile("" : "+r"(turns));
}

static char *spin_map(const struct source *s, struct buffer *b, char *at)
{
	const struct spun *p = (const struct spun *)s->ops;

	spin();
	return p->real->map(s, b, at);
}

static ssize_t spin_copy(struct use *u, size_t len, off_t off)
{
	const struct spun *p = (const struct spun *)u->src->ops;

	spin();
	return p->real->copy(u, len, off);
}

void tree_spin(struct sources *s, const char *method, uint64_t turns)
{
	struct spun *p = spun;
	unsigned int i;

	spin_turns = turns;
	for (i = 0; i < s->nr; i++) {
		struct source *v = &s->v[i];

		if (strcmp(v->provider, "tree") || strcmp(v->method, method))
			continue;
		*p = (struct spun){ *v->ops, v->ops };
		if (v->ops->map)
			p->ops.map = spin_map;
		if (v->ops->copy)
			p->ops.copy = spin_copy;
		v->ops = &p->ops;
		p++;
	}
}

int provider_tree(struct sources *s)
{
	unsigned int i;
	char text[32];

	if (read_text("/sys/kernel/debug/fault_around_bytes", text,
		      sizeof(text)))
		fault_around = strtoull(text, NULL, 10);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct source *v = source_add(s, &rows[i]);

		if (!v)
			return -ENOMEM;
		v->provider = "tree";
		v->cache = "wb";
		if (v->ops == &perf_ops)
			v->head = page_bytes();
		if (v->store_id == STORE_BPF)
			probe_bpf(v);
		else if (v->store_id == STORE_PERF)
			probe_perf(v);
		else if (v->flags & SOURCE_HUGE)
			thp_absent(v->reason, sizeof(v->reason));
	}
	return 0;
}

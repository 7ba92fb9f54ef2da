// SPDX-License-Identifier: GPL-2.0
/* provider_k2u.c - the module's methods (methods.def), through /dev/k2u. */
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"
#include "copy.h"

static const struct {
	unsigned int id;
	const char *name;
	unsigned int access, backings, faults;
	const char *title, *refusal;
} methods[] = {
#define K2U_METHOD(id, name, access, backings, faults, title, refusal) \
	{ id,                                                          \
	  #name,                                                       \
	  K2U_ACCESS_##access,                                         \
	  K2U_BACKING_##backings,                                      \
	  K2U_FAULTS_##faults,                                         \
	  title,                                                       \
	  refusal },
#include "methods.def"
#undef K2U_METHOD
};

static const struct {
	unsigned int bit;
	const char *name;
} backings[] = {
	{ K2U_BACKING_VMALLOC, "vmalloc" },
	{ K2U_BACKING_CONTIG, "contig" },
};

static const char *device;
static struct k2u_info info;

const char *k2u_module_version(void)
{
	return (const char *)info.version;
}

static int k2u_open(struct buffer *b)
{
	b->fd = open(device, (b->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	return b->fd < 0 ? -errno : 0;
}

static void k2u_close(struct buffer *b)
{
	close(b->fd);
}

static int k2u_setup(struct buffer *b)
{
	struct k2u_setup setup = {
		.size = b->size,
		.backing = b->src->store_id,
		.cache = K2U_CACHE_WB,
		.node = b->node,
	};

	return ioctl(b->fd, K2U_IOC_SETUP, &setup) ? -errno : 0;
}

static int k2u_fill(struct buffer *b)
{
	struct k2u_fill fill = { .seed = b->seed };

	return ioctl(b->fd, K2U_IOC_FILL, &fill) ? -errno : 0;
}

static int k2u_store(struct buffer *b, const void *from, size_t len, off_t off)
{
	ssize_t put;

	for (; len; from = (const char *)from + put, len -= put, off += put) {
		put = pwrite(b->fd, from, len, off);
		if (put <= 0)
			return put ? -errno : -EIO;
	}
	return 0;
}

static int k2u_hash_kernel(struct buffer *b, uint64_t *hash)
{
	struct k2u_checksum sum = { .size = b->size };

	if (ioctl(b->fd, K2U_IOC_CHECKSUM, &sum))
		return -errno;
	*hash = sum.hash;
	return 0;
}

static int k2u_faults(struct buffer *b, uint64_t *count)
{
	struct k2u_counters counters = {};

	if (ioctl(b->fd, K2U_IOC_COUNTERS, &counters))
		return -errno;
	*count = counters.faults;
	return 0;
}

static char *k2u_map(const struct source *s, struct buffer *b, char *at)
{
	return mmap(at, b->size, PROT_READ,
		    MAP_SHARED | (at ? MAP_FIXED_NOREPLACE : 0) | s->map_flags,
		    b->fd, s->offset);
}

static int mem_where(const struct source *s, struct buffer *b, off_t *offset)
{
	static int fd[2] = { -1, -1 };
	int err = devmem_locate(b);

	if (fd[b->readonly] < 0)
		fd[b->readonly] = devmem_open(b->readonly);
	if (err)
		errno = -err;
	*offset = (off_t)b->paddr;
	return err ? -1 : fd[b->readonly];
}

/* What is timed is the mmap(): the first one, which looks for the file, is not */
static char *other_map(const struct source *s, struct buffer *b, char *at)
{
	off_t offset;
	int fd = s->ops->where(s, b, &offset);

	if (fd < 0)
		return MAP_FAILED;
	return mmap(at, b->size, PROT_READ,
		    MAP_SHARED | (at ? MAP_FIXED_NOREPLACE : 0), fd, offset);
}

static int dmabuf_where(const struct source *s, struct buffer *b, off_t *offset)
{
	struct k2u_export export = {};

	if (b->dmabuf < 0)
		b->dmabuf = ioctl(b->fd, K2U_IOC_EXPORT, &export);
	*offset = 0;
	return b->dmabuf;
}

static int dmabuf_sync(const struct use *u, bool begin)
{
	struct dma_buf_sync sync = { .flags = DMA_BUF_SYNC_READ |
					      (begin ? DMA_BUF_SYNC_START :
						       DMA_BUF_SYNC_END) };

	return ioctl(u->buf->dmabuf, DMA_BUF_IOCTL_SYNC, &sync) ? -errno : 0;
}

/* lseek() and read(): pread() takes no negative position (ksys_pread64(), fs/read_write.c) */
static ssize_t kmem_copy(struct use *u, size_t len, off_t off)
{
	struct buffer *b = u->buf;
	static int fd = -1;
	int err = b->vaddr ? 0 : kmem_locate(b);

	if (fd < 0)
		fd = kmem_open();
	if (err)
		errno = -err;
	if (err || fd < 0)
		return -1;
	lseek(fd, (off_t)(b->vaddr + off), SEEK_SET);
	return read(fd, u->addr, len);
}

static char *k2u_map_populate_read(const struct source *s, struct buffer *b,
				   char *at)
{
	char *p = k2u_map(s, b, at);

	if (p == MAP_FAILED || !madvise(p, b->size, MADV_POPULATE_READ))
		return p;
	munmap(p, b->size);
	return MAP_FAILED;
}

/* Of no range: only whether there is such advice */
static bool populate_read_absent(char *why, size_t len)
{
	if (!madvise(NULL, 0, MADV_POPULATE_READ))
		return false;
	snprintf(why, len, "MADV_POPULATE_READ needs Linux 5.14");
	return true;
}

static ssize_t k2u_copy(struct use *u, size_t len, off_t off)
{
	return pread(u->buf->fd, u->addr, len, off);
}

static ssize_t k2u_call(struct use *u, size_t len, off_t off)
{
	struct k2u_copy copy = { .offset = off,
				 .size = len,
				 .addr = (uintptr_t)u->addr,
				 .method = u->src->id };

	return ioctl(u->buf->fd, K2U_IOC_COPY, &copy);
}

/* The registry is sorted by id: an id is an index. A slot is aligned to a PMD. */
static uint64_t k2u_expect(const struct source *s, uint64_t size)
{
	const unsigned int kind = methods[s->id].faults;
	uint64_t window = info.page_size;

	if (kind == K2U_FAULTS_AROUND && window < K2U_AROUND_BYTES)
		window = K2U_AROUND_BYTES;
	return kind == K2U_FAULTS_PAGE || kind == K2U_FAULTS_AROUND ?
		       (size + window - 1) / window :
		       0;
}

static bool k2u_refuse(const struct source *s, uint64_t size, char *why,
		       size_t len)
{
	if (size > info.max_bytes)
		snprintf(why, len, "over the module's max_bytes of %llu",
			 info.max_bytes);
	else if (s->store_id == K2U_BACKING_CONTIG &&
		 size > info.max_contig_bytes)
		snprintf(
			why, len,
			"over the largest contiguous buffer of %llu bytes (max_contig_bytes)",
			info.max_contig_bytes);
	else
		return false;
	return true;
}

static const struct source_ops k2u_ops = {
	.open = k2u_open,
	.close = k2u_close,
	.setup = k2u_setup,
	.fill = k2u_fill,
	.store = k2u_store,
	.hash = k2u_hash_kernel,
	.faults = k2u_faults,
	.map = k2u_map,
	.copy = k2u_copy,
	.expect = k2u_expect,
	.refuse = k2u_refuse,
};

/* Its time would be that of zeroing what nobody uses */
static bool huge_stale(const struct source *s, uint64_t size, char *why,
		       size_t len)
{
	snprintf(why, len, "a fresh huge page (%zu bytes) for less than that",
		 pmd_bytes());
	return size % pmd_bytes();
}

static bool dmabuf_absent(char *why, size_t len)
{
	const struct source src = { .store_id = K2U_BACKING_VMALLOC,
				    .ops = &k2u_ops };
	struct buffer b = { .src = &src,
			    .size = page_bytes(),
			    .node = K2U_NODE_ANY };
	off_t offset;
	int fd;

	if (buffer_open(&b))
		return false; /* for a reason that others say */
	fd = dmabuf_where(&src, &b, &offset);
	if (fd < 0 && errno == EOPNOTSUPP)
		snprintf(
			why, len,
			"the kernel is built without CONFIG_DMA_SHARED_BUFFER");
	else if (fd < 0)
		snprintf(why, len, "K2U_IOC_EXPORT: %m");
	buffer_close(&b);
	return fd < 0;
}

/* What is particular to an access or a kind of faults: no branch where it is timed */
static const struct way {
	unsigned int access, faults; /* of the registry's line */
	struct source_ops ops; /* in place of those of k2u_ops */
	unsigned int flags; /* SOURCE_* */
	/* Optional: whether this system has not what it needs, and why */
	bool (*absent)(char *why, size_t len);
} ways[] = {
	{ .access = K2U_ACCESS_CALL, .ops = { .copy = k2u_call } },
	{ .access = K2U_ACCESS_PIPE,
	  .ops = { .copy = splice_copy, .arm = splice_arm } },
	{ .access = K2U_ACCESS_SOCKET,
	  .ops = { .copy = splice_socket_copy, .arm = splice_socket_arm },
	  .absent = splice_socket_absent },
	{ .access = K2U_ACCESS_URING,
	  .ops = { .copy = uring_copy, .arm = uring_arm },
	  .absent = uring_absent },
	{ .access = K2U_ACCESS_FIXED,
	  .ops = { .copy = uring_fixed_copy,
		   .arm = uring_fixed_arm,
		   .disarm = uring_fixed_disarm,
		   .stale = uring_fixed_stale },
	  .flags = SOURCE_ARMS,
	  .absent = uring_absent },
	{ .access = K2U_ACCESS_CMD,
	  .ops = { .copy = uring_cmd_copy, .arm = uring_cmd_arm },
	  .absent = uring_cmd_absent },
	{ .access = K2U_ACCESS_HUGE,
	  .ops = { .stale = huge_stale },
	  .flags = SOURCE_HUGE,
	  .absent = thp_absent },
	{ .access = K2U_ACCESS_MAP_OTHER,
	  .ops = { .map = other_map, .where = mem_where } },
	{ .access = K2U_ACCESS_DMABUF,
	  .ops = { .map = other_map,
		   .where = dmabuf_where,
		   .sync = dmabuf_sync },
	  .absent = dmabuf_absent },
	{ .access = K2U_ACCESS_COPY_OTHER, .ops = { .copy = kmem_copy } },
	{ .access = K2U_ACCESS_MAP,
	  .faults = K2U_FAULTS_POPULATE_READ,
	  .ops = { .map = k2u_map_populate_read },
	  .absent = populate_read_absent },
};

static struct source_ops way_ops[ARRAY_SIZE(methods)];

/* The ops of method m; and of which way it is, or NULL */
static const struct way *way_of(unsigned int m)
{
	const struct way *w = NULL;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ways) && !w; i++)
		if (ways[i].access == methods[m].access &&
		    ways[i].faults == methods[m].faults)
			w = &ways[i];
	way_ops[m] = k2u_ops;
	if (w) {
		way_ops[m].map = w->ops.map ?: k2u_ops.map;
		way_ops[m].copy = w->ops.copy ?: k2u_ops.copy;
		way_ops[m].where = w->ops.where;
		way_ops[m].sync = w->ops.sync;
		way_ops[m].arm = w->ops.arm;
		way_ops[m].disarm = w->ops.disarm;
		way_ops[m].stale = w->ops.stale;
	}
	return w;
}

/* Whether the module is there and speaks this ABI; else why not, and the mend */
static void k2u_probe(char *reason, size_t len)
{
	int fd = open(device, O_RDWR | O_CLOEXEC);

	memset(&info, 0, sizeof(info));
	if (fd < 0) {
		snprintf(reason, len, "%s: %m (%s)", device,
			 errno == EACCES || errno == EPERM ?
				 "run as root" :
				 "load the module: insmod kmod/k2u.ko");
		return;
	}
	if (ioctl(fd, K2U_IOC_INFO, &info))
		snprintf(reason, len,
			 "%s: K2U_IOC_INFO: %m (not the k2u module's device?)",
			 device);
	else if (info.abi_version != K2U_ABI_VERSION)
		snprintf(
			reason, len,
			"%s: ABI version %u where %u is wanted (rebuild and reload k2u.ko)",
			device, info.abi_version, K2U_ABI_VERSION);
	close(fd);
}

static int add(struct sources *s, unsigned int m, unsigned int backing,
	       const char *name, const char *absent)
{
	struct source row = {
		.provider = "k2u",
		.method = methods[m].name,
		.backing = name,
		.access = methods[m].access,
		.id = methods[m].id,
		.offset = K2U_MMAP_OFFSET(methods[m].id),
		.map_flags = methods[m].faults == K2U_FAULTS_POPULATE ?
				     MAP_POPULATE :
				     0,
		.store_id = backing,
		.ops = &way_ops[m],
		.flags = methods[m].id == K2U_METHOD_null ? SOURCE_NULL :
			 methods[m].id == K2U_METHOD_pin  ? SOURCE_PINS :
							    0,
	};
	const struct way *way = way_of(m);

	if (way)
		row.flags |= way->flags;

	if (row.access & K2U_ACCESS_MAP_OTHER)
		row.access |= K2U_ACCESS_MAP;
	if (row.access & K2U_ACCESS_COPY_OTHER)
		row.access |= K2U_ACCESS_COPY;
	snprintf(row.via, sizeof(row.via), "%s", methods[m].title);
	if (!(methods[m].backings & backing))
		snprintf(row.reason, sizeof(row.reason), "%s",
			 methods[m].refusal);
	else if (absent[0])
		snprintf(row.reason, sizeof(row.reason), "%s", absent);
	else if (!(info.backings & backing))
		snprintf(row.reason, sizeof(row.reason),
			 "this kernel gives modules no such memory");
	else if (way && way->absent)
		way->absent(row.reason, sizeof(row.reason));
	return source_add(s, &row) ? 0 : -ENOMEM;
}

/*
 * Why /dev/mem, and /dev/kmem, are not for us: asked of a page of the module's or,
 * if that is not there, of the device alone
 */
static void mem_probe(const char *config, const char *absent, char *mem,
		      char *kmem, size_t len)
{
	const struct source src = { .store_id = K2U_BACKING_CONTIG,
				    .ops = &k2u_ops };
	struct buffer b = { .src = &src,
			    .size = page_bytes(),
			    .node = K2U_NODE_ANY };
	struct devmem_facts f;
	int err = absent[0] ? -ENODEV : buffer_open(&b);

	snprintf(mem, len, "%s", err ? absent : "");
	snprintf(kmem, len, "%s", mem);
	if (!kmem_try(config, &f))
		devmem_why(&f, kmem, len);
	if (err) {
		if (!devmem_try(0, page_bytes(), false, config, &f) &&
		    !f.opened)
			devmem_why(&f, mem, len);
		return;
	}
	err = devmem_locate(&b);
	if (err)
		snprintf(mem, len,
			 "its physical address: %s (K2U_IOC_INSPECT as root)",
			 strerror(-err));
	else if (!devmem_try(b.paddr, b.size, true, config, &f))
		devmem_why(&f, mem, len);
	err = kmem[0] ? 0 : kmem_locate(&b);
	if (err)
		snprintf(kmem, len, "its linear address: /proc/kcore: %s",
			 strerror(-err));
	buffer_close(&b);
}

int provider_k2u(struct sources *s, const char *path, const char *config)
{
	char absent[160] = "", mem[256], kmem[256];
	const char *why;
	unsigned int m, i;
	int err = 0;

	device = path;
	k2u_probe(absent, sizeof(absent));
	mem_probe(config, absent, mem, kmem, sizeof(mem));
	for (m = 0; m < ARRAY_SIZE(methods) && !err; m++) {
		if (methods[m].id == K2U_METHOD_null) {
			err = add(s, m, K2U_BACKING_VMALLOC, "none", absent);
			continue;
		}
		why = methods[m].id == K2U_METHOD_devmem ? mem :
		      methods[m].id == K2U_METHOD_kmem	 ? kmem :
							   absent;
		for (i = 0; i < ARRAY_SIZE(backings) && !err; i++)
			err = add(s, m, backings[i].bit, backings[i].name, why);
	}
	return err;
}

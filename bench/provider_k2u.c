// SPDX-License-Identifier: GPL-2.0
/* provider_k2u.c - the module's methods (methods.def), through /dev/k2u. */
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/utsname.h>
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
#define K2U_BACKING(bit, NAME, name) { K2U_BACKING_##NAME, #name },
#include "backings.def"
#undef K2U_BACKING
};

static const char *const caches[] = { [K2U_CACHE_WB] = "wb",
				      [K2U_CACHE_WC] = "wc",
				      [K2U_CACHE_UC] = "uc" };

/* A buffer is of one backing and one cache attribute */
#define STORE(backing, cache) ((backing) | (cache) << 16)
#define STORE_BACKING(store) ((store)&0xffff)
#define STORE_CACHE(store) ((store) >> 16)

static const char *device;
static struct k2u_info info;
static struct k2u_method_info about[ARRAY_SIZE(methods)];

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
		.backing = STORE_BACKING(b->src->store_id),
		.cache = STORE_CACHE(b->src->store_id),
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

static int k2u_node(struct buffer *b)
{
	struct k2u_info its = { .node = K2U_NODE_ANY };

	return ioctl(b->fd, K2U_IOC_INFO, &its) ? -errno : its.node;
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
	const uint64_t page = info.page_size, leaf = info.pmd_size,
		       window = page < K2U_AROUND_BYTES ? K2U_AROUND_BYTES :
							  page;

	if (s->flags & SOURCE_HUGE)
		return size / leaf + (size % leaf + page - 1) / page;
	switch (methods[s->id].faults) {
	case K2U_FAULTS_PAGE:
		return (size + page - 1) / page;
	case K2U_FAULTS_AROUND:
		return (size + window - 1) / window;
	}
	return 0;
}

/* Of a copy there is the kernel's own mapping: null's VMA is its handle */
static int k2u_inspect(const struct use *u, struct k2u_inspect *seen)
{
	const struct source *s = u->src;
	const bool map = s->access == K2U_ACCESS_MAP;
	void *at = map ? u->addr :
			 mmap(NULL, info.page_size, PROT_READ, MAP_SHARED,
			      u->buf->fd, K2U_MMAP_OFFSET(K2U_METHOD_null));
	int err = 0;

	if (at == MAP_FAILED)
		return -errno;
	*seen = (struct k2u_inspect){ .addr = (uintptr_t)at,
				      .size = map ? u->size : info.page_size };
	if (ioctl(u->buf->fd, K2U_IOC_INSPECT, seen))
		err = -errno;
	if (!map)
		munmap(at, info.page_size);
	return err;
}

static bool k2u_refuse(const struct source *s, uint64_t size, char *why,
		       size_t len)
{
	if (size > info.max_bytes)
		snprintf(why, len, "over the module's max_bytes of %llu",
			 info.max_bytes);
	else if (STORE_BACKING(s->store_id) &
			 (K2U_BACKING_CONTIG | K2U_BACKING_DMA) &&
		 size > info.max_contig_bytes)
		snprintf(
			why, len,
			"over the largest contiguous buffer of %llu bytes (max_contig_bytes)",
			info.max_contig_bytes);
	else if (STORE_BACKING(s->store_id) == K2U_BACKING_HUGE &&
		 size < info.pmd_size)
		snprintf(
			why, len,
			"less than the compound page of %llu bytes that it takes",
			info.pmd_size);
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
	.node = k2u_node,
	.map = k2u_map,
	.copy = k2u_copy,
	.expect = k2u_expect,
	.inspect = k2u_inspect,
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
		   .sync = dmabuf_sync } },
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
	unsigned int m;

	memset(&info, 0, sizeof(info));
	memset(about, 0, sizeof(about));
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
	else
		for (m = 0; m < ARRAY_SIZE(methods) && !reason[0]; m++) {
			about[m].method = methods[m].id;
			if (ioctl(fd, K2U_IOC_METHOD, &about[m]))
				snprintf(reason, len,
					 "%s: method %s: K2U_IOC_METHOD: %m",
					 device, methods[m].name);
		}
	close(fd);
}

/* Why a combination is not available, into row->reason */
static void judge(struct source *row, unsigned int m, unsigned int backing,
		  unsigned int cache, const char *absent)
{
	const size_t len = sizeof(row->reason);

	if (!(methods[m].backings & backing))
		snprintf(row->reason, len, "%s", methods[m].refusal);
	else if (absent[0])
		snprintf(row->reason, len, "%s", absent);
	else if (about[m].absent[0])
		snprintf(row->reason, len, "%s", about[m].absent);
	else if (!(about[m].backings & backing))
		snprintf(row->reason, len,
			 "this kernel gives modules no such memory");
	else if (way_of(m) && way_of(m)->absent)
		way_of(m)->absent(row->reason, len);
	else if (!(info.caches & 1u << cache))
		snprintf(
			row->reason, len,
			"on this architecture a module cannot change the attribute of the kernel's own mapping");
}

/* Whether a mapping gets a PMD leaf in fact: else its reason, as it is known */
static void try_leaf(struct source *row)
{
	struct buffer b = { .src = row, .size = info.pmd_size, .node = -1 };
	struct k2u_inspect seen = { .pmd_pages = 0 };
	struct use u = {
		.src = row, .buf = &b, .addr = MAP_FAILED, .size = b.size
	};
	struct utsname uts;
	char *at;
	int err, v[2] = { 0 };

	err = k2u_open(&b);
	if (err)
		return;
	err = k2u_setup(&b);
	if (err)
		snprintf(row->reason, sizeof(row->reason),
			 "a compound page of %lu bytes: %s", b.size,
			 strerror(-err));
	/* A place that suits a leaf, and is free */
	at = map_private(NULL, 2 * b.size);
	if (!err && at != MAP_FAILED) {
		munmap(at, 2 * b.size);
		at += -(uintptr_t)at & (b.size - 1);
		u.addr = k2u_map(row, &b, at);
	}
	if (u.addr != MAP_FAILED) {
		thp_allow(true);
		(void)*(volatile char *)u.addr;
		thp_allow(false);
		err = k2u_inspect(&u, &seen);
		munmap(u.addr, u.size);
	}
	k2u_close(&b);
	if (row->reason[0] || seen.pmd_pages)
		return;
	if (row->id == K2U_METHOD_fault) { /* a page each, then */
		row->flags &= ~SOURCE_HUGE;
		return;
	}
	uname(&uts);
	if (sscanf(uts.release, "%d.%d", &v[0], &v[1]) != 2)
		v[0] = 0;
	snprintf(
		row->reason, sizeof(row->reason),
		"its entries became such of a page, not PMD leaves: %s",
		v[0] == 6 && v[1] < 7 ?
			"Linux 6.0 to 6.6 do not ask a driver's ->huge_fault (mended in 6.7)" :
			"see /sys/kernel/mm/transparent_hugepage/enabled");
}

/*
 * A method is measured on vmalloc memory, or on what it is for. Of its further
 * backings on those where the kernel's path is another: a range mapped by one
 * remap_pfn_range(), a leaf; and read() stands for all copies. `pages` has the
 * pages of vmalloc.
 */
static bool on_demand(unsigned int m, unsigned int backing)
{
	const unsigned int id = methods[m].id;

	if (backing == K2U_BACKING_PAGES)
		return true;
	if (backing == K2U_BACKING_VMALLOC ||
	    !(methods[m].backings & K2U_BACKING_VMALLOC) ||
	    !(methods[m].backings & backing))
		return false;
	if (id == K2U_METHOD_fault)
		return backing != K2U_BACKING_HUGE;
	return id != K2U_METHOD_read && id != K2U_METHOD_pfn;
}

static int add(struct sources *s, unsigned int m, unsigned int backing,
	       const char *name, unsigned int cache, const char *absent)
{
	struct source row = {
		.provider = "k2u",
		.method = methods[m].name,
		.backing = name,
		.cache = caches[cache],
		.access = methods[m].access,
		.id = methods[m].id,
		.offset = K2U_MMAP_OFFSET(methods[m].id),
		.map_flags = methods[m].faults == K2U_FAULTS_POPULATE ?
				     MAP_POPULATE :
				     0,
		.store_id = STORE(backing, cache),
		.ops = &way_ops[m],
	};
	const struct way *way = way_of(m);

	if (way)
		row.flags |= way->flags;
	if (methods[m].id == K2U_METHOD_null)
		row.flags |= SOURCE_NULL;
	if (methods[m].id == K2U_METHOD_pin)
		row.flags |= SOURCE_PINS;
	if (backing == K2U_BACKING_DMA)
		row.flags |= SOURCE_NODELESS;
	if (methods[m].faults == K2U_FAULTS_PMD ||
	    (methods[m].faults == K2U_FAULTS_PAGE &&
	     backing == K2U_BACKING_HUGE))
		row.flags |= SOURCE_HUGE;
	if (on_demand(m, backing))
		row.flags |= SOURCE_ASKED;
	if (row.access & K2U_ACCESS_MAP_OTHER)
		row.access |= K2U_ACCESS_MAP;
	if (row.access & K2U_ACCESS_COPY_OTHER)
		row.access |= K2U_ACCESS_COPY;
	snprintf(row.via, sizeof(row.via), "%s", methods[m].title);
	judge(&row, m, backing, cache, absent);
	if (row.flags & SOURCE_HUGE && row.access & K2U_ACCESS_MAP &&
	    source_available(&row))
		try_leaf(&row);
	return source_add(s, &row) ? 0 : -ENOMEM;
}

/*
 * Attributes other than write-back are offered where drivers have them: on
 * contiguous memory, as device memory is, mapped by PFN; and read() beside it.
 */
static bool takes_caches(unsigned int id, unsigned int backing)
{
	return backing == K2U_BACKING_CONTIG &&
	       (id == K2U_METHOD_pfn || id == K2U_METHOD_read);
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
	unsigned int m, i, c, nr;
	int err = 0;

	device = path;
	k2u_probe(absent, sizeof(absent));
	mem_probe(config, absent, mem, kmem, sizeof(mem));
	for (m = 0; m < ARRAY_SIZE(methods) && !err; m++) {
		if (methods[m].id == K2U_METHOD_null) {
			err = add(s, m, K2U_BACKING_VMALLOC, "none",
				  K2U_CACHE_WB, absent);
			continue;
		}
		why = methods[m].id == K2U_METHOD_devmem ? mem :
		      methods[m].id == K2U_METHOD_kmem	 ? kmem :
							   absent;
		for (i = 0; i < ARRAY_SIZE(backings); i++) {
			nr = takes_caches(methods[m].id, backings[i].bit) ?
				     ARRAY_SIZE(caches) :
				     1;
			for (c = 0; c < nr && !err; c++)
				err = add(s, m, backings[i].bit,
					  backings[i].name, c, why);
		}
	}
	return err;
}

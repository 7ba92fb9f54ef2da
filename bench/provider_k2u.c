// SPDX-License-Identifier: GPL-2.0
/* provider_k2u.c - the module's methods (methods.def), through /dev/k2u. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

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

static ssize_t k2u_copy(const struct source *s, struct buffer *b, void *to,
			size_t len, off_t off)
{
	return pread(b->fd, to, len, off);
}

static ssize_t k2u_call(const struct source *s, struct buffer *b, void *to,
			size_t len, off_t off)
{
	struct k2u_copy copy = { .offset = off,
				 .size = len,
				 .addr = (uintptr_t)to,
				 .method = s->id };

	return ioctl(b->fd, K2U_IOC_COPY, &copy);
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

/* The same but for the copy: no branch where that is timed */
static struct source_ops k2u_call_ops;

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
		.ops = methods[m].access == K2U_ACCESS_CALL ? &k2u_call_ops :
							      &k2u_ops,
		.flags = methods[m].id == K2U_METHOD_null ? SOURCE_NULL :
			 methods[m].id == K2U_METHOD_pin  ? SOURCE_PINS :
							    0,
	};

	snprintf(row.via, sizeof(row.via), "%s", methods[m].title);
	if (!(methods[m].backings & backing))
		snprintf(row.reason, sizeof(row.reason), "%s",
			 methods[m].refusal);
	else if (absent[0])
		snprintf(row.reason, sizeof(row.reason), "%s", absent);
	else if (!(info.backings & backing))
		snprintf(row.reason, sizeof(row.reason),
			 "this kernel gives modules no such memory");
	return source_add(s, &row) ? 0 : -ENOMEM;
}

int provider_k2u(struct sources *s, const char *path)
{
	char absent[160] = "";
	unsigned int m, i;
	int err = 0;

	device = path;
	k2u_call_ops = k2u_ops;
	k2u_call_ops.copy = k2u_call;
	k2u_probe(absent, sizeof(absent));
	for (m = 0; m < ARRAY_SIZE(methods) && !err; m++) {
		if (methods[m].id == K2U_METHOD_null) {
			err = add(s, m, K2U_BACKING_VMALLOC, "none", absent);
			continue;
		}
		for (i = 0; i < ARRAY_SIZE(backings) && !err; i++)
			err = add(s, m, backings[i].bit, backings[i].name,
				  absent);
	}
	return err;
}

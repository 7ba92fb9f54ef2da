/* SPDX-License-Identifier: GPL-2.0 */
/* What the module's own files share. */
#ifndef K2U_MOD_H
#define K2U_MOD_H

#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/jump_label.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/types.h>

#include "compat.h"
#include "k2u.h"

/*
 * Fails rather than have the OOM killer, the machine's or a memory cgroup's, or
 * the log pay for a request: try_charge() of mm/memcontrol.c gives up, too.
 */
#define K2U_GFP (GFP_KERNEL | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

/* Of a large copy; then others may run, and a process that was killed ends. */
#define K2U_COPY_CHUNK SZ_1M

/* Per CPU: exact under concurrency, and one unlocked add in a measured path. */
struct k2u_stats {
	u64 faults;
	u64 mapped_pages;
	u64 read_bytes;
	u64 written_bytes;
};

/* Immutable once published in k2u_file.buf, but for its bytes and stats. */
struct k2u_buffer {
	void *vaddr; /* kernel mapping of it all; NULL: each run has its own */
	struct page **pages; /* contig, dma: NULL */
	size_t size; /* bytes, as asked for */
	unsigned long nr_pages;
	unsigned long run; /* pages that were allocated as one: a power of two */
	dma_addr_t dma; /* dma: where devices have it */
	u32 backing;
	u32 cache;
	struct k2u_stats __percpu *stats;
};

/*
 * Lifetime: every system call and every VMA holds the file, and the buffer goes
 * with the file (release). So a buffer that was seen once needs no reference,
 * and the paths that are measured take no lock.
 */
struct k2u_file {
	struct k2u_buffer *buf; /* NULL, then set once: release store */
	struct mutex lock; /* creation of buf; taken inside mmap_lock */
	atomic_t vmas;
	unsigned long flags; /* bits: K2U_FILE_* */
};

#define K2U_FILE_STREAM 0 /* the buffer has its ring of records */

/* What kmod/method_<name>.c defines as k2u_method_<name>. */
struct k2u_method_ops {
	/*
	 * Maps pages [first, first + vma_pages(vma)) of buf; the core has
	 * checked the range, the backing and the flags. NULL: no mapping.
	 */
	int (*mmap)(const struct k2u_buffer *buf, struct vm_area_struct *vma,
		    unsigned long first);
	/*
	 * Copies count bytes, at least 1 and inside buf, from byte pos on to
	 * user space: how many, or an errno if none. NULL: not by K2U_IOC_COPY.
	 */
	ssize_t (*copy)(const struct k2u_buffer *buf, size_t pos,
			void __user *to, size_t count);
	/* NULL: k2u_vm_ops. Others have k2u_vma_open and k2u_vma_close. */
	const struct vm_operations_struct *vm_ops;
	/* The pages have no struct page in the PTE's eyes: no private COW. */
	bool shared_only;
	/* Why this kernel has it not; NULL: it has. Then there are no hooks. */
	const char *absent;
};

struct k2u_method {
	const struct k2u_method_ops *ops;
	u32 backings;
};

/* One declaration per registry line: k2u_method_<name>. */
#define K2U_METHOD(id, name, access, backings, faults, title, refusal) \
	extern const struct k2u_method_ops k2u_method_##name;
#include "methods.def"
#undef K2U_METHOD

/* core.c */
extern const struct k2u_method k2u_methods[];
extern const unsigned int k2u_nr_methods;
extern const struct vm_operations_struct k2u_vm_ops;

#define K2U_PGOFF_BITS (K2U_MMAP_SHIFT - PAGE_SHIFT)

static inline unsigned long k2u_pgoff_method(unsigned long pgoff)
{
	return pgoff >> K2U_PGOFF_BITS;
}

static inline unsigned long k2u_pgoff_page(unsigned long pgoff)
{
	return pgoff & (BIT(K2U_PGOFF_BITS) - 1);
}

/* Whether user space left a reserved field non-zero. */
#define K2U_RESERVED(arg) \
	(!!memchr_inv((arg).reserved, 0, sizeof((arg).reserved)))

void k2u_vma_open(struct vm_area_struct *vma);
void k2u_vma_close(struct vm_area_struct *vma);
struct k2u_buffer *k2u_file_buffer(struct k2u_file *f);

/* f's buffer, or NULL. */
static inline struct k2u_buffer *k2u_file_peek(struct k2u_file *f)
{
	/* Pairs with the release in k2u_file_setup(): buf's fields are set. */
	return smp_load_acquire(&f->buf);
}

/* The same as k2u_file_buffer(), but a caller that must not wait may have to. */
static inline struct k2u_buffer *k2u_file_buffer_nowait(struct k2u_file *f,
							bool nowait)
{
	struct k2u_buffer *buf = k2u_file_peek(f);

	if (likely(buf))
		return buf;
	return nowait ? ERR_PTR(-EAGAIN) : k2u_file_buffer(f);
}

/* buffer.c */
extern unsigned long k2u_max_pages;
extern const u32 k2u_backings_absent;

bool k2u_reserve(unsigned long nr_pages);
void k2u_unreserve(unsigned long nr_pages);
struct k2u_buffer *k2u_buffer_create(const struct k2u_setup *setup);
void k2u_buffer_destroy(struct k2u_buffer *buf);
int k2u_buffer_fill(struct k2u_buffer *buf, u64 seed);
int k2u_buffer_hash(const struct k2u_buffer *buf, size_t offset, size_t size,
		    u64 *hash);
size_t k2u_buffer_used(void);
void k2u_buffer_stats(const struct k2u_buffer *buf, struct k2u_stats *sum);

struct page *k2u_buffer_find(const struct k2u_buffer *buf, unsigned long index);

/* Of dma memory there may be none: that is what k2u_buffer_find() is for. */
static inline struct page *k2u_buffer_page(const struct k2u_buffer *buf,
					   unsigned long index)
{
	return buf->pages ? buf->pages[index] :
			    virt_to_page(buf->vaddr + (index << PAGE_SHIFT));
}

/* So many pages from this one on are physically contiguous for sure. */
static inline unsigned long k2u_buffer_run(const struct k2u_buffer *buf,
					   unsigned long index)
{
	return min(buf->nr_pages - index, buf->run - (index & (buf->run - 1)));
}

/* Where the kernel has byte pos; *len is cut to what follows it there. */
static inline void *k2u_buffer_at(const struct k2u_buffer *buf, size_t pos,
				  size_t *len)
{
	const size_t run = buf->run << PAGE_SHIFT;

	if (likely(buf->vaddr))
		return buf->vaddr + pos;
	*len = min(*len, run - (pos & (run - 1)));
	return page_address(buf->pages[pos >> PAGE_SHIFT]) +
	       offset_in_page(pos);
}

/* cache.c */
extern const u32 k2u_caches;

int k2u_cache_set(const struct k2u_buffer *buf);
int k2u_cache_restore(const struct k2u_buffer *buf);
pgprot_t k2u_cache_prot(u32 cache, pgprot_t prot);

/* inspect.c */
int k2u_inspect(struct file *file, struct k2u_inspect *inspect);

/* spin.c */
DECLARE_STATIC_KEY_FALSE(k2u_spin_on);
extern unsigned int k2u_spin_method;
extern unsigned int k2u_spin_turns;

int k2u_spin_init(void);

/*
 * At the start of every operation of a method: mmap (core.c has it for all),
 * a ->fault, a copy.
 */
static __always_inline void k2u_spin(unsigned int method)
{
	unsigned int turns;

	if (!static_branch_unlikely(&k2u_spin_on))
		return;
	if (method != k2u_spin_method)
		return;
	/* Opaque, so that no turn is elided or merged: a decrement and a jump. */
	for (turns = k2u_spin_turns; turns; turns--)
		asm volatile("" : "+r"(turns));
}

/* stream.c */
long k2u_stream_open(struct file *file, void __user *uarg);

/* method_fault.c */
extern const struct vm_operations_struct k2u_fault_vm_ops;
vm_fault_t k2u_fault(struct vm_fault *vmf);
int k2u_fault_mmap(const struct k2u_buffer *buf, struct vm_area_struct *vma,
		   unsigned long first);

/* method_fault_around.c: the window that a fault maps; nr pages from start on */
struct k2u_around {
	unsigned long start;
	unsigned long index; /* of its first page in the buffer */
	unsigned long nr;
};

struct k2u_around k2u_around(const struct vm_fault *vmf);

/* method_fault_pfn.c */
int k2u_fault_pfn_mmap(const struct k2u_buffer *buf, struct vm_area_struct *vma,
		       unsigned long first);

/* method_fault_vma_lock.c */
vm_fault_t k2u_map_no_pages(struct vm_fault *vmf, pgoff_t from, pgoff_t to);

/* method_ioctl.c */
ssize_t k2u_copy_to_user(const struct k2u_buffer *buf, size_t pos,
			 void __user *to, size_t count);

/* method_pfn.c */
int k2u_pfn_mmap(const struct k2u_buffer *buf, struct vm_area_struct *vma,
		 unsigned long first);

/* method_dma.c */
void k2u_dma_init(struct device *dev);
int k2u_dma_alloc(struct k2u_buffer *buf);
void k2u_dma_free(const struct k2u_buffer *buf);

/* method_dmabuf.c */
int k2u_dmabuf_export(struct file *file, const struct k2u_buffer *buf);

/* method_read.c */
ssize_t k2u_read_iter(struct kiocb *iocb, struct iov_iter *to);
ssize_t k2u_write_iter(struct kiocb *iocb, struct iov_iter *from);

/* method_splice.c */
ssize_t k2u_splice_read(struct file *in, loff_t *ppos,
			struct pipe_inode_info *pipe, size_t count,
			unsigned int flags);

/* method_uring_cmd.c: where the kernel has such commands */
struct io_uring_cmd;
int k2u_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags);

#endif /* K2U_MOD_H */

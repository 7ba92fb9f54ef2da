/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * k2u.h - the ABI of /dev/k2u, for both halves.
 *
 * An open file owns at most one buffer. K2U_IOC_SETUP creates it; without
 * that, the first read, write, lseek, mmap, fill, checksum or copy creates a
 * zeroed one of the default size (module parameter default_bytes) and backing
 * K2U_BACKING_VMALLOC. A buffer is never resized or replaced: it lives until
 * the last reference to the open file, mappings included, is gone.
 *
 * read, write, pread, pwrite copy at the file position: short at the end, 0
 * (read) or ENOSPC (write) past it. mmap() maps the bytes at
 *
 *	K2U_MMAP_OFFSET(method) + byte offset	(byte offset page aligned)
 *
 * with MAP_SHARED. Offset 0 is the fault method: a program that knows nothing
 * of k2u just maps the file.
 *
 * mmap() fails with
 *	EINVAL		no such method; the range ends past the buffer; a
 *			MAP_PRIVATE mapping by a method that maps PFNs
 *	EOVERFLOW	offset + length wraps (found by the core)
 *	EOPNOTSUPP	the method has no mapping, or not of this backing
 *	EACCES		PROT_EXEC, or PROT_WRITE on an O_RDONLY file
 *	ENOMEM		page tables, or the default buffer, could not be had
 *	EINTR		a signal came while the default buffer was being made
 *
 * Every ioctl fails with ENOTTY (unknown command), EFAULT (bad pointer) or
 * EINVAL (a reserved field or an unknown flag is set).
 */
#ifndef K2U_H
#define K2U_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* clang-format off */

#define K2U_ABI_VERSION		6
#define K2U_DEVICE		"/dev/k2u"

/* mmap offset: method in bits 40..47, byte offset below: buffers up to 1 TiB */
#define K2U_MMAP_SHIFT		40
#define K2U_MMAP_OFFSET(method)	((__u64)(method) << K2U_MMAP_SHIFT)

enum k2u_method_id {
#define K2U_METHOD(id, name, access, backings, faults, title, refusal) \
	K2U_METHOD_##name = (id),
#include "methods.def"
#undef K2U_METHOD
};

/* How the user half reaches the bytes (bits) */
#define K2U_ACCESS_COPY		(1u << 0)	/* a system call copies them */
#define K2U_ACCESS_MAP		(1u << 1)	/* loads from a mapping */
#define K2U_ACCESS_BOTH		(K2U_ACCESS_COPY | K2U_ACCESS_MAP)
#define K2U_ACCESS_CALL		(K2U_ACCESS_COPY | 1u << 2)	/* ... which is K2U_IOC_COPY */
#define K2U_ACCESS_PIPE		(K2U_ACCESS_COPY | 1u << 3)	/* splice() to a pipe, read() */
#define K2U_ACCESS_SOCKET	(K2U_ACCESS_COPY | 1u << 4)	/* ... and on to a socket, recv() */
#define K2U_ACCESS_URING	(K2U_ACCESS_COPY | 1u << 5)	/* io_uring: a read */
#define K2U_ACCESS_FIXED	(K2U_ACCESS_COPY | 1u << 6)	/* ... file, buffer registered */
#define K2U_ACCESS_CMD		(K2U_ACCESS_COPY | 1u << 7)	/* ... K2U_IOC_COPY as a command */
#define K2U_ACCESS_HUGE		(K2U_ACCESS_COPY | 1u << 8)	/* read() into a huge page */
#define K2U_ACCESS_COPY_OTHER	(1u << 16)	/* a copy from another file than the device */
#define K2U_ACCESS_MAP_OTHER	(1u << 17)	/* loads from a mapping of another file */
#define K2U_ACCESS_DMABUF	(K2U_ACCESS_MAP_OTHER | 1u << 18)	/* ... by K2U_IOC_EXPORT */

/* How the pages of a buffer were obtained (bits; a buffer has exactly one) */
enum k2u_backing {
#define K2U_BACKING(bit, NAME, name) K2U_BACKING_##NAME = 1u << (bit),
#include "backings.def"
#undef K2U_BACKING
	K2U_BACKINGS = 0
#define K2U_BACKING(bit, NAME, name) | 1u << (bit)
#include "backings.def"
#undef K2U_BACKING
};

/* Sets of them, for methods.def */
#define K2U_BACKING_ALL		K2U_BACKINGS
#define K2U_BACKING_ANY		(K2U_BACKING_VMALLOC | K2U_BACKING_CONTIG | K2U_BACKING_PAGES)
#define K2U_BACKING_PAGED	(K2U_BACKING_ANY | K2U_BACKING_HUGE)	/* its pages are ours */

/*
 * Cache attribute of a buffer: of its mappings to user space and, changed ahead
 * of them and restored before its pages are freed, of the kernel's own.
 * inspect tells what each became.
 */
#define K2U_CACHE_WB		0u		/* write-back */
#define K2U_CACHE_WC		1u		/* write-combining */
#define K2U_CACHE_UC		2u		/* uncached (x86: UC-, as of pgprot_noncached()) */

/* The faults that touching every page of a fresh mapping takes */
#define K2U_FAULTS_NONE		0u		/* all pages are mapped at mmap time */
#define K2U_FAULTS_PAGE		1u		/* one for each page; of a compound one as PMD */
#define K2U_FAULTS_AROUND	2u		/* one for each window of K2U_AROUND_BYTES */
#define K2U_FAULTS_POPULATE	3u		/* none: MAP_POPULATE takes one for each page */
#define K2U_FAULTS_POPULATE_READ 4u		/* none: MADV_POPULATE_READ takes them */
#define K2U_FAULTS_PMD		5u		/* one for each PMD leaf, and page without one */

/* The window, aligned by address: 64 KiB, and a page where that is more */
#define K2U_AROUND_BYTES	65536u

#define K2U_NODE_ANY		(-1)

/*
 * K2U_IOC_SETUP: create the buffer.
 *	EBUSY		the file has its buffer already: open the device again
 *	EFBIG		size over the bound (info.max_bytes, or for contig
 *			and dma info.max_contig_bytes)
 *	ENOMEM		the pages, or what max_bytes leaves over all open
 *			files, do not suffice
 *	EINVAL		size 0; no such backing, cache attribute or node; dma with
 *			another than K2U_CACHE_WB: the DMA API decides of it
 *	EOPNOTSUPP	not on this kernel: see backings and caches of k2u_info
 *	EINTR		a signal came while pages were being allocated
 */
struct k2u_setup {
	__u64 size;		/* bytes, 1 .. info.max_bytes */
	__u32 backing;		/* one K2U_BACKING_* bit */
	__u32 cache;		/* K2U_CACHE_* */
	__s32 node;		/* NUMA node, or K2U_NODE_ANY; dma: the DMA API decides */
	__u32 flags;		/* K2U_SETUP_* */
	__u64 seed;		/* of the fill, with K2U_SETUP_FILL */
	__u64 reserved[4];	/* must be 0 */
};

#define K2U_SETUP_FILL		(1u << 0)	/* fill with seed; else zeroed */

/*
 * K2U_IOC_FILL: write the pattern of pattern.h.
 *	EBADF		file not open for writing
 *	EINTR		a signal came; the bytes up to some page are written
 */
struct k2u_fill {
	__u64 seed;
	__u64 reserved[3];	/* must be 0 */
};

/*
 * K2U_IOC_CHECKSUM: k2u_hash() of pattern.h over the bytes as the kernel sees them.
 *	EINVAL		offset not a multiple of 8; the range ends past the buffer
 *	EINTR		a signal came
 */
struct k2u_checksum {
	__u64 offset;		/* bytes, a multiple of 8 */
	__u64 size;		/* bytes */
	__u64 hash;		/* out */
	__u64 reserved[3];	/* must be 0 */
};

/*
 * K2U_IOC_COUNTERS: what this open file was asked for so far. Monotonic, but
 * for vmas. A fault is counted where ->fault returned the page or mapped it, so
 * a fault that the core repeats (VM_FAULT_RETRY before ->fault) counts once.
 */
struct k2u_counters {
	__u64 faults;		/* out: faults served by ->fault or ->map_pages */
	__u64 mapped_pages;	/* out: pages mapped at mmap time or by a fault; of a compound */
				/* page that ->fault returned the core may map all: 1 */
	__u64 read_bytes;	/* out: copied to user space */
	__u64 written_bytes;	/* out: copied from user space */
	__u64 vmas;		/* out: VMAs of this file alive now */
	__u64 reserved[3];	/* must be 0 */
};

/*
 * K2U_IOC_INSPECT: what the caller's mapping at addr really is, read from its
 * VMA and page tables at this moment. Only mappings of this very open file.
 *	EINVAL		size 0, or addr not page aligned
 *	EFAULT		addr .. addr + size is not inside one VMA of this file
 */
struct k2u_inspect {
	__u64 addr;		/* user address, page aligned */
	__u64 size;		/* bytes */
	__u64 vma_flags;	/* out: K2U_VMA_* */
	__u32 method;		/* out: enum k2u_method_id */
	__u32 cache;		/* out: K2U_MEMTYPE_* of the first present entry */
	__u64 pte_pages;	/* out: base pages present through PTEs */
	__u64 pmd_pages;	/* out: base pages present through PMD leaves */
	__u64 pud_pages;	/* out: base pages present through PUD leaves */
	__u64 absent_pages;	/* out: base pages without an entry */
	__u64 writable_pages;	/* out: present base pages whose entry allows writes */
	__u64 pfn_runs;		/* out: runs of contiguous PFNs among them */
	__u64 first_pfn;	/* out: of the first present page, if the file was */
				/* opened with CAP_SYS_ADMIN (as in pagemap); else 0 */
	__u32 linear_cache;	/* out: K2U_MEMTYPE_* of the kernel's linear mapping of the */
				/* buffer's page at addr; UNKNOWN but on x86 */
	__u32 reserved[5];	/* must be 0 */
};

#define K2U_VMA_READ		(1u << 0)
#define K2U_VMA_WRITE		(1u << 1)
#define K2U_VMA_SHARED		(1u << 2)
#define K2U_VMA_MAYWRITE	(1u << 3)
#define K2U_VMA_MAYEXEC		(1u << 4)
#define K2U_VMA_IO		(1u << 5)
#define K2U_VMA_PFNMAP		(1u << 6)
#define K2U_VMA_MIXEDMAP	(1u << 7)
#define K2U_VMA_DONTEXPAND	(1u << 8)
#define K2U_VMA_DONTDUMP	(1u << 9)
#define K2U_VMA_DONTCOPY	(1u << 10)

/* The memory type that the entry selects (x86: PAT MSR; arm64: MAIR_EL1; riscv: Svpbmt) */
#define K2U_MEMTYPE_UNKNOWN	0u		/* nothing present, or not decoded on this arch */
#define K2U_MEMTYPE_WB		1u
#define K2U_MEMTYPE_WC		2u		/* arm64: Normal non-cacheable */
#define K2U_MEMTYPE_UC		3u		/* arm64: Device */
#define K2U_MEMTYPE_UC_MINUS	4u
#define K2U_MEMTYPE_WT		5u
#define K2U_MEMTYPE_WP		6u

/* K2U_IOC_INFO: the module's bounds, and this file's buffer, which it never creates */
struct k2u_info {
	__u32 abi_version;	/* out: K2U_ABI_VERSION */
	__u32 methods;		/* out: number of methods in the registry */
	__u32 backings;		/* out: K2U_BACKING_* bits this kernel can give */
	__u32 page_size;	/* out: bytes */
	__u64 max_bytes;	/* out: bound over all open files */
	__u64 used_bytes;	/* out: of which in use now */
	__u64 max_contig_bytes;	/* out: largest contig or dma buffer */
	__u64 default_bytes;	/* out: size of a buffer made without K2U_IOC_SETUP */
	__u64 pmd_size;		/* out: bytes that one PMD leaf maps: a page of K2U_BACKING_HUGE */
	__u64 size;		/* out: of this file's buffer, bytes; 0: none yet */
	__u32 backing;		/* out */
	__u32 cache;		/* out */
	__s32 node;		/* out: NUMA node of its first page */
	__u32 flags;		/* out: K2U_INFO_* */
	__u8 version[32];	/* out: module version, NUL terminated */
	__u32 caches;		/* out: 1 << K2U_CACHE_* this kernel can give */
	__u32 reserved[7];	/* must be 0 */
};

#define K2U_INFO_ACCOUNTED	(1u << 0)	/* pages are charged to the memory cgroup */
#define K2U_INFO_PMD_PFN	(1u << 1)	/* a PMD leaf is of PFNs, not of a folio */

/*
 * K2U_IOC_COPY: copy bytes of the buffer to user memory, by a method of access
 * CALL. Returns how many were copied, as pread() does: fewer at the end of the
 * buffer, where memory ends, or when a signal kills; 0 past the end.
 *	EBADF		file not open for reading
 *	EINVAL		no such method
 *	EOPNOTSUPP	the method has no such copy
 *	EFAULT		nothing could be written to addr
 *	ENOMEM		no memory for the user's page, or the default buffer
 *	EINTR		a signal came while the default buffer was being made
 */
struct k2u_copy {
	__u64 offset;		/* bytes */
	__u64 size;		/* bytes; of more than 2 GiB - page_size so many */
	__u64 addr;		/* user address */
	__u32 method;		/* enum k2u_method_id */
	__u32 flags;		/* must be 0 */
	__u64 reserved[4];	/* must be 0 */
};

/*
 * K2U_IOC_METHOD: what a method can do on this kernel. It never creates a buffer.
 *	EINVAL		no such method
 */
struct k2u_method_info {
	__u32 method;		/* enum k2u_method_id */
	__u32 backings;		/* out: K2U_BACKING_* bits that it serves; absent: 0 */
	__u8 absent[112];	/* out: why this kernel has it not, NUL terminated; or "" */
	__u64 reserved[4];	/* must be 0 */
};

/*
 * K2U_IOC_EXPORT: a dma-buf of the buffer, which is mapped by its own mmap() and
 * holds the open file. Returns its file descriptor, close-on-exec and open as the
 * file is. No device can be attached to it.
 *	EOPNOTSUPP	not on this kernel, or not of this backing
 *	EMFILE		the process has too many files
 *	ENOMEM		no memory for it, or the default buffer
 *	EINTR		a signal came while the default buffer was being made
 */
struct k2u_export {
	__u64 flags;		/* must be 0 */
	__u64 reserved[3];	/* must be 0 */
};

/*
 * K2U_IOC_STREAM: make a ring of records in the buffer. The kernel produces
 * them, one at a time consumes them: by read() of the file descriptor that this
 * returns (close-on-exec; it holds the open file), or by loads from a mapping of
 * the buffer, by any method, and a store to struct k2u_ring. The ring begins empty.
 *	EBADF		file not open for reading and writing; eventfd not open
 *	EBUSY		the buffer has its ring already: until the descriptor is gone
 *	EINVAL		record_size not a multiple of 8 in K2U_RECORD_MIN ..
 *			K2U_RECORD_MAX; the buffer has no room for two records; no such
 *			source; port 0 or a flag that the source has not; eventfd is
 *			none, or is set without K2U_STREAM_EVENTFD; period_ns out of
 *			range, or set for another source than K2U_STREAM_TIMER
 *	EOPNOTSUPP	the buffer has no kernel mapping of all of it (backings vmalloc
 *			and contig have), or is not write-back; K2U_STREAM_UDP on a
 *			kernel without CONFIG_INET or CONFIG_NETFILTER; K2U_STREAM_PAGES
 *			where a page is larger than a datagram
 *	ENOSYS		K2U_STREAM_EVENTFD on a kernel without CONFIG_EVENTFD
 *	ENOMEM		K2U_STREAM_PAGES: max_bytes leaves less than twice the pages that
 *			all slots can hold
 *	EPERM		K2U_STREAM_UDP: needs CAP_NET_ADMIN in the caller's network namespace
 *	EUSERS		there are K2U_STREAM_TIMERS_MAX streams of K2U_STREAM_TIMER already
 *	EMFILE, ENOMEM, EINTR	as for K2U_IOC_EXPORT
 *
 * Of the descriptor:
 *	read()		whole records, oldest first, as many as there are and fit; waits
 *			for one unless O_NONBLOCK (EAGAIN). EINVAL: not room for one;
 *			EOPNOTSUPP: K2U_STREAM_PAGES
 *	poll()		POLLIN while there is a record
 *	mmap()		K2U_STREAM_PAGES: the window of K2U_IOC_STREAM_MAP; else ENODEV
 *	ioctl()		K2U_IOC_PRODUCE, K2U_IOC_STREAM_INFO, K2U_IOC_STREAM_MAP
 *
 * With K2U_STREAM_EVENTFD the count of an eventfd(2) goes up by one (until it is full)
 * after each packet that became a record, after each expiry of a timer, and within
 * K2U_IOC_PRODUCE after each 16 KiB of records, or one that is larger, and the rest: where
 * at least one of them found room, and whether or not somebody waits. The records are
 * there before it does. So who reads the eventfd and then takes all records that there are
 * misses none, though at times there are none. The stream keeps it, whatever becomes of its
 * descriptors; poll() and read() of the stream are as without.
 *
 * With K2U_STREAM_PAGES (K2U_STREAM_UDP only) a packet whose payload is whole pages, in
 * fragments of one such page each, behind headers that lie elsewhere, is not copied. Its
 * record is flagged K2U_RECORD_PAGES, and its slot holds the pages until the kernel
 * writes a record there again, or the stream ends. Such a page has no bytes but the
 * payload's: it is of order 0, no file's or process's, mapped nowhere, of no type and not
 * reserved. Any other packet is copied as without the flag. Who sent a page and has it
 * still may write to it, as with what TCP_ZEROCOPY_RECEIVE maps.
 */
struct k2u_stream {
	__u32 source;		/* K2U_STREAM_* */
	__u32 record_size;	/* bytes of a slot, struct k2u_record included */
	__u32 slots;		/* out: a power of two */
	__u16 port;		/* K2U_STREAM_UDP: IPv4 destination, host byte order; else 0 */
	__u16 flags;		/* K2U_STREAM_STEAL, K2U_STREAM_EVENTFD, K2U_STREAM_PAGES */
	__u64 seed;		/* of the payload of K2U_IOC_PRODUCE, a timer's too */
	__s32 eventfd;		/* with K2U_STREAM_EVENTFD; else 0 */
	__u32 period_ns;	/* K2U_STREAM_TIMER: between two records; else 0 */
	__u32 reserved[6];	/* must be 0 */
};

#define K2U_STREAM_CALL		0u		/* K2U_IOC_PRODUCE produces */
#define K2U_STREAM_UDP		1u		/* UDP payloads to a port of this net namespace */
#define K2U_STREAM_TIMER	2u		/* K2U_IOC_PRODUCE lets a timer produce */
#define K2U_STREAM_STEAL	(1u << 0)	/* no socket gets such a packet: it ends here */
#define K2U_STREAM_EVENTFD	(1u << 1)	/* any source: records are signalled on eventfd */

#define K2U_STREAM_PAGES	(1u << 2)	/* UDP: whole pages are held, not copied */

/* Of one record: what a datagram of IPv4 has room for */
#define K2U_STREAM_PAGES_MAX(page_size) (65507 / (page_size))	/* info.page_size */

/* K2U_STREAM_TIMER: period_ns, and how many there can be at a time on a machine */
#define K2U_PERIOD_MIN		10000u
#define K2U_PERIOD_MAX		1000000000u
#define K2U_STREAM_TIMERS_MAX	16u

#define K2U_RECORD_MIN		64u
#define K2U_RECORD_MAX		65536u

/*
 * The first page of a ring's buffer. Indices run freely; record i is at byte
 * K2U_RING_DATA + (i & (slots - 1)) * record_size. Records [consumer, producer)
 * are there: load producer with acquire, store consumer with release. The kernel
 * keeps its own producer and dropped, takes a consumer that is not behind
 * producer by 0 .. slots for a full ring, and never waits for user space.
 */
struct k2u_ring {
	__u64 consumer;		/* stored by user space, or by read() */
	__u64 pad[7];
	__u64 producer;		/* stored by the kernel */
	__u64 dropped;		/* stored by the kernel: the ring was full */
	__u64 pad2[6];
};

#define K2U_RING_DATA(page_size) (page_size)	/* info.page_size */

/*
 * Of K2U_IOC_PRODUCE, word i of the n words of a record, 3 <= i < n - 1, is
 * k2u_pattern(stream.seed, i), and the last one is seq again; size is record_size
 * less this head and the last word. Of a packet, size bytes of payload follow; of
 * one that is flagged K2U_RECORD_PAGES none, whatever the slot's size: size says how
 * many K2U_IOC_STREAM_MAP maps.
 */
struct k2u_record {
	__u64 seq;		/* from 0; those dropped are counted, so that a gap shows */
	__u64 stamp;		/* of K2U_IOC_PRODUCE; of a timer when it was due; of a packet 0 */
	__u32 size;		/* bytes of payload, after this head */
	__u32 flags;		/* K2U_RECORD_* */
};

#define K2U_RECORD_CUT		(1u << 0)	/* the payload was larger than its slot */
#define K2U_RECORD_PAGES	(1u << 1)	/* the payload is size / page_size pages */

/*
 * K2U_IOC_PRODUCE: produce count records, in the caller's context, and wake who
 * waits. Those that find the ring full are dropped and counted. Returns 0.
 *
 * K2U_STREAM_TIMER: returns at once, with 0 produced, and a high-resolution timer
 * (HRTIMER_MODE_PINNED_SOFT) of the caller's CPU produces them in a softirq, one each
 * period_ns, whether or not the process lives, until the descriptor is gone. The stamp of
 * each is when it was due, in ns of CLOCK_MONOTONIC: the first at stamp, which may have
 * passed, or where that is 0 one period from now. An expiry that is late produces all
 * that are due, but no more than 16 KiB of them, or one that is larger; the rest are
 * dropped and counted.
 *	EOPNOTSUPP	the source is K2U_STREAM_UDP
 *	EINTR		a signal came: produced says how far it got
 *	EBUSY		the timer has records to produce still: K2U_IOC_STREAM_INFO
 *			counts what it has
 *	EINVAL		stamp is over 2^63 - 1 for a timer
 */
struct k2u_produce {
	__u64 count;
	__u64 stamp;		/* of each of these records; of a timer: of the first */
	__u64 produced;		/* out: dropped ones not included */
	__u64 reserved[2];	/* must be 0 */
};

/* K2U_IOC_STREAM_INFO: produced = consumed + dropped + what is in the ring, modulo 2^64 */
struct k2u_stream_info {
	__u64 produced;		/* out: seq of the next record: dropped ones are included */
	__u64 dropped;		/* out */
	__u64 consumed;		/* out: by read() and by user space, as the kernel believes it */
	__u64 wakeups;		/* out: how often a waiter of the descriptor was woken */
	__u64 reserved[4];	/* must be 0 */
};

/*
 * K2U_IOC_STREAM_MAP: map the pages of those of the records first .. first + records - 1
 * that are flagged K2U_RECORD_PAGES, one record's after the other's, from addr on in the
 * window: a mapping of the stream's descriptor at offset 0, MAP_SHARED and PROT_READ. It
 * takes no record from the ring. A failure says how many pages were mapped, and loses
 * none: the slots have them still.
 *	EBUSY		something is mapped there: MADV_DONTNEED gives pages back
 *	EFAULT		addr, or where the pages end, is in no window of this stream
 *	EINVAL		addr is not page aligned; a record is not between consumer and
 *			producer, as the kernel believes them
 *	EINTR		a signal kills
 *	ENOMEM		a page table could not be had, or was taken away by another
 *			thread's MADV_DONTNEED: then the rest can be mapped again
 *	EOPNOTSUPP	the stream is not K2U_STREAM_PAGES
 *
 * What is mapped is a page's own reference: it stays, with its bytes, when its slot has
 * another record or the descriptor is closed, until MADV_DONTNEED or munmap(). After
 * that, touching it is SIGBUS, as where nothing has been mapped. A window holds the
 * stream as its descriptors do; a stream has one (and so has what munmap() leaves of it);
 * a child of fork() has none.
 *
 * mmap() fails with
 *	EACCES		PROT_WRITE or PROT_EXEC (of anonymous inodes some kernels say EPERM)
 *	EBUSY		the stream has its window
 *	EINVAL		MAP_PRIVATE; not offset 0; more pages than all slots can hold
 *	ENODEV		the stream is not K2U_STREAM_PAGES
 */
struct k2u_stream_map {
	__u64 addr;		/* user address, page aligned, in the window */
	__u64 first;		/* index of a record */
	__u32 records;
	__u32 pages;		/* out: mapped */
	__u64 reserved[4];	/* must be 0 */
};

#define K2U_IOC_MAGIC		0xb5
#define K2U_IOC_SETUP		_IOW(K2U_IOC_MAGIC, 0, struct k2u_setup)
#define K2U_IOC_FILL		_IOW(K2U_IOC_MAGIC, 1, struct k2u_fill)
#define K2U_IOC_CHECKSUM	_IOWR(K2U_IOC_MAGIC, 2, struct k2u_checksum)
#define K2U_IOC_COUNTERS	_IOWR(K2U_IOC_MAGIC, 3, struct k2u_counters)
#define K2U_IOC_INSPECT		_IOWR(K2U_IOC_MAGIC, 4, struct k2u_inspect)
#define K2U_IOC_INFO		_IOWR(K2U_IOC_MAGIC, 5, struct k2u_info)
#define K2U_IOC_COPY		_IOW(K2U_IOC_MAGIC, 6, struct k2u_copy)
#define K2U_IOC_METHOD		_IOWR(K2U_IOC_MAGIC, 7, struct k2u_method_info)
#define K2U_IOC_EXPORT		_IOW(K2U_IOC_MAGIC, 8, struct k2u_export)
#define K2U_IOC_STREAM		_IOWR(K2U_IOC_MAGIC, 9, struct k2u_stream)
#define K2U_IOC_PRODUCE		_IOWR(K2U_IOC_MAGIC, 10, struct k2u_produce)
#define K2U_IOC_STREAM_INFO	_IOWR(K2U_IOC_MAGIC, 11, struct k2u_stream_info)
#define K2U_IOC_STREAM_MAP	_IOWR(K2U_IOC_MAGIC, 12, struct k2u_stream_map)

#endif /* K2U_H */

// SPDX-License-Identifier: GPL-2.0
/*
 * K2U_IOC_STREAM: a ring of records in a buffer, which the kernel produces. They are
 * consumed through a mapping of the buffer, or by read() of the file that is made here.
 *
 * The file holds that of the device, and with it the buffer. A mapping of the buffer
 * does not hold the ring: with the stream's last file it is just bytes again.
 */
#include <linux/anon_inodes.h>
#include <linux/bitops.h>
#include <linux/err.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include "k2u_mod.h"
#include "pattern.h"
#include "stream.h"

/* Of more, memcpy() is faster than a loop. */
#define K2U_COPY_WORDS 32

struct k2u_stream_file {
	struct k2u_ring_state ring;
	struct mutex
		reading; /* of consumer by read(); over copies to user space */
	struct file *file; /* of the device */
	struct k2u_buffer *buf;
};

/* How many records are in a ring of this producer; any other consumer: it is full. */
u64 k2u_ring_behind(const struct k2u_ring_state *ring, u64 producer)
{
	/* Pairs with the release of who has read the records before. */
	const u64 used = producer - smp_load_acquire(&ring->shared->consumer);

	return min(used, ring->mask + 1);
}

static u64 k2u_ring_used(const struct k2u_ring_state *ring)
{
	/* Pairs with k2u_ring_commit(). */
	return k2u_ring_behind(ring, smp_load_acquire(&ring->producer));
}

/* Under the ring's lock: so many records that nobody will see. */
void k2u_ring_drop(struct k2u_ring_state *ring, u64 count)
{
	ring->dropped += count;
	WRITE_ONCE(ring->shared->dropped, ring->dropped);
}

/* Where the ring was full when last seen: whether it still is. */
bool k2u_ring_refill(struct k2u_ring_state *ring)
{
	const u64 producer = ring->producer;

	ring->limit =
		producer + ring->mask + 1 - k2u_ring_behind(ring, producer);
	if (likely(ring->limit != producer))
		return true;
	k2u_ring_drop(ring, 1);
	return false;
}

void k2u_ring_wake_waiters(struct k2u_ring_state *ring)
{
	atomic64_inc(&ring->wakeups);
	wake_up_interruptible_poll(&ring->wait, EPOLLIN | EPOLLRDNORM);
}

/* ---- records that are made by a pattern ---- */

int k2u_pattern_start(struct k2u_ring_state *ring, const struct k2u_stream *arg)
{
	const u32 words = ring->record_size / sizeof(u64);
	struct k2u_record *record;
	__le64 *word;
	u32 i;

	if (arg->port || arg->flags & (K2U_STREAM_STEAL | K2U_STREAM_PAGES))
		return -EINVAL;
	record = kvzalloc(ring->record_size, K2U_GFP | __GFP_ACCOUNT);
	if (!record)
		return -ENOMEM;
	record->size = ring->record_size - sizeof(*record) - sizeof(u64);
	word = (__le64 *)record;
	for (i = sizeof(*record) / sizeof(u64); i < words - 1; i++)
		word[i] = cpu_to_le64(k2u_pattern(arg->seed, i));
	ring->pattern = record;
	return 0;
}

void k2u_pattern_stop(struct k2u_ring_state *ring)
{
	kvfree(ring->pattern);
}

/* Or fewer, where the ring is full. */
void k2u_pattern_produce(struct k2u_ring_state *ring, u64 count, u64 stamp)
{
	const u32 first = offsetof(struct k2u_record, size) / sizeof(u64);
	const u32 last = ring->record_size / sizeof(u64) - 1;
	const u64 *from = (const u64 *)ring->pattern;
	struct k2u_record *record;
	u64 *to;
	u32 i;

	for (; count; count--) {
		record = k2u_ring_reserve(ring);
		if (!record)
			continue;
		record->stamp = stamp;
		to = (u64 *)record;
		if (last <= K2U_COPY_WORDS)
			for (i = first; i < last; i++)
				to[i] = from[i];
		else
			memcpy(to + first, from + first,
			       (last - first) * sizeof(*to));
		to[last] = k2u_ring_seq(ring);
		k2u_ring_commit(ring);
	}
}

/* ---- K2U_STREAM_CALL ---- */

static int k2u_call_start(struct k2u_ring_state *ring,
			  const struct k2u_stream *arg)
{
	return arg->period_ns ? -EINVAL : k2u_pattern_start(ring, arg);
}

static long k2u_call_produce(struct k2u_ring_state *ring,
			     struct k2u_produce *arg)
{
	const u64 chunk = k2u_produce_chunk(ring);
	u64 left, n, before, made;

	for (left = arg->count; left; left -= n) {
		n = min(left, chunk);
		k2u_ring_lock(ring);
		before = ring->producer;
		k2u_pattern_produce(ring, n, arg->stamp);
		made = ring->producer - before;
		k2u_ring_unlock(ring);
		arg->produced += made;
		k2u_ring_wake(ring, made);
		if (n == left)
			break;
		/* Not restarted: what was produced would be once more. */
		if (signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

static const struct k2u_stream_source k2u_stream_call = {
	.start = k2u_call_start,
	.produce = k2u_call_produce,
	.stop = k2u_pattern_stop,
};

/* ---- the stream's file ---- */

static const struct k2u_stream_source *const k2u_stream_sources[] = {
	[K2U_STREAM_CALL] = &k2u_stream_call,
	[K2U_STREAM_UDP] = &k2u_stream_udp,
	[K2U_STREAM_TIMER] = &k2u_stream_timer,
};

static long k2u_stream_produce(struct k2u_ring_state *ring, void __user *uarg)
{
	struct k2u_produce arg;
	long err;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (K2U_RESERVED(arg))
		return -EINVAL;
	if (!ring->source->produce)
		return -EOPNOTSUPP;
	arg.produced = 0;
	err = ring->source->produce(ring, &arg);
	return copy_to_user(uarg, &arg, sizeof(arg)) ? -EFAULT : err;
}

/* Up to room records to user space: how many bytes, 0 where there is no record. */
static ssize_t k2u_stream_take(struct k2u_stream_file *s, struct iov_iter *to,
			       u64 room)
{
	struct k2u_ring_state *ring = &s->ring;
	const size_t size = ring->record_size;
	/* Pairs with k2u_ring_commit(). */
	const u64 producer = smp_load_acquire(&ring->producer);
	const u64 used = k2u_ring_behind(ring, producer);
	const u64 count = min(used, room);
	u64 next = producer - used, done = 0, n;
	size_t copied;

	if (!count)
		return 0;
	do {
		n = min3(count - done, ring->mask + 1 - (next & ring->mask),
			 (u64)(K2U_COPY_CHUNK / size));
		copied = copy_to_iter(ring->data + (next & ring->mask) * size,
				      n * size, to);
		next += copied / size;
		done += copied / size;
		if (copied < n * size) {
			iov_iter_revert(to, copied % size);
			break;
		}
		if (done == count)
			break;
		cond_resched();
	} while (!fatal_signal_pending(current));
	if (!done)
		return -EFAULT;
	/* The producer may write there again. */
	smp_store_release(&ring->shared->consumer, next);
	this_cpu_add(s->buf->stats->read_bytes, done * size);
	return done * size;
}

static ssize_t k2u_stream_read(struct kiocb *iocb, struct iov_iter *to)
{
	struct k2u_stream_file *s = iocb->ki_filp->private_data;
	struct k2u_ring_state *ring = &s->ring;
	const u64 room = iov_iter_count(to) / ring->record_size;
	const bool nowait = iocb->ki_flags & IOCB_NOWAIT;
	ssize_t n;

	/* Payloads would be missing. */
	if (ring->pages)
		return -EOPNOTSUPP;
	if (!room)
		return -EINVAL;
	do {
		if (!k2u_ring_used(ring)) {
			if (nowait || iocb->ki_filp->f_flags & O_NONBLOCK)
				return -EAGAIN;
			if (wait_event_interruptible(ring->wait,
						     k2u_ring_used(ring)))
				return -ERESTARTSYS;
		}
		if (nowait) {
			if (!mutex_trylock(&s->reading))
				return -EAGAIN;
		} else if (mutex_lock_interruptible(&s->reading)) {
			return -ERESTARTSYS;
		}
		n = k2u_stream_take(s, to, room);
		mutex_unlock(&s->reading);
		/* Another reader was faster, again and again where user space plays. */
	} while (!n && !signal_pending(current));
	return n ?: -ERESTARTSYS;
}

static __poll_t k2u_stream_poll(struct file *file, poll_table *wait)
{
	struct k2u_stream_file *s = file->private_data;

	poll_wait(file, &s->ring.wait, wait);
	/* Pairs with k2u_ring_wake(): poll_wait() has none of its own until 6.13. */
	smp_mb();
	return k2u_ring_used(&s->ring) ? EPOLLIN | EPOLLRDNORM : 0;
}

static long k2u_stream_info(struct k2u_stream_file *s, void __user *uarg)
{
	struct k2u_ring_state *ring = &s->ring;
	struct k2u_stream_info arg;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (K2U_RESERVED(arg))
		return -EINVAL;
	k2u_ring_lock(ring);
	arg.produced = k2u_ring_seq(ring);
	arg.dropped = ring->dropped;
	arg.consumed = ring->producer - k2u_ring_used(ring);
	k2u_ring_unlock(ring);
	arg.wakeups = atomic64_read(&ring->wakeups);
	return copy_to_user(uarg, &arg, sizeof(arg)) ? -EFAULT : 0;
}

static int k2u_stream_mmap(struct file *file, struct vm_area_struct *vma)
{
	const struct k2u_stream_file *s = file->private_data;

	return k2u_pages_mmap(&s->ring, vma);
}

static long k2u_stream_ioctl(struct file *file, unsigned int cmd,
			     unsigned long arg)
{
	struct k2u_stream_file *s = file->private_data;
	void __user *uarg = (void __user *)arg;

	switch (cmd) {
	case K2U_IOC_PRODUCE:
		return k2u_stream_produce(&s->ring, uarg);
	case K2U_IOC_STREAM_INFO:
		return k2u_stream_info(s, uarg);
	case K2U_IOC_STREAM_MAP:
		return k2u_pages_map(file, &s->ring, uarg);
	default:
		return -ENOTTY;
	}
}

/* The buffer may have another ring, once nothing uses this one. */
static void k2u_stream_free(struct k2u_stream_file *s)
{
	struct k2u_file *f = s->file->private_data;

	if (s->ring.eventfd)
		eventfd_ctx_put(s->ring.eventfd);
	mutex_destroy(&s->reading);
	kfree(s);
	clear_bit_unlock(K2U_FILE_STREAM, &f->flags);
}

static int k2u_stream_release(struct inode *inode, struct file *file)
{
	struct k2u_stream_file *s = file->private_data;
	struct file *device = s->file;

	s->ring.source->stop(&s->ring);
	k2u_stream_free(s);
	fput(device);
	return 0;
}

static const struct file_operations k2u_stream_fops = {
	.owner = THIS_MODULE,
	.release = k2u_stream_release,
	.read_iter = k2u_stream_read,
	.poll = k2u_stream_poll,
	.mmap = k2u_stream_mmap,
	.unlocked_ioctl = k2u_stream_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static int k2u_stream_slots(const struct k2u_buffer *buf, u32 record_size,
			    u32 *slots)
{
	size_t room;

	if (record_size % sizeof(u64) || record_size < K2U_RECORD_MIN ||
	    record_size > K2U_RECORD_MAX ||
	    buf->size < K2U_RING_DATA(PAGE_SIZE))
		return -EINVAL;
	room = (buf->size - K2U_RING_DATA(PAGE_SIZE)) / record_size;
	if (room < 2)
		return -EINVAL;
	*slots = rounddown_pow_of_two(min_t(size_t, room, BIT(31)));
	return 0;
}

/* An empty ring, which the buffer cannot have twice. */
static struct k2u_stream_file *k2u_stream_alloc(struct file *file,
						struct k2u_buffer *buf,
						const struct k2u_stream *arg)
{
	struct k2u_file *f = file->private_data;
	struct eventfd_ctx *eventfd = NULL;
	struct k2u_stream_file *s;
	struct k2u_ring_state *ring;
	int err = -ENOMEM;

	if (test_and_set_bit_lock(K2U_FILE_STREAM, &f->flags))
		return ERR_PTR(-EBUSY);
	s = kzalloc(sizeof(*s), K2U_GFP | __GFP_ACCOUNT);
	if (!s)
		goto clear;
	if (arg->flags & K2U_STREAM_EVENTFD)
		eventfd = eventfd_ctx_fdget(arg->eventfd);
	if (IS_ERR(eventfd)) {
		err = PTR_ERR(eventfd);
		goto free;
	}
	s->file = file;
	s->buf = buf;
	mutex_init(&s->reading);
	ring = &s->ring;
	spin_lock_init(&ring->lock);
	init_waitqueue_head(&ring->wait);
	ring->source = k2u_stream_sources[arg->source];
	ring->eventfd = eventfd;
	ring->record_size = arg->record_size;
	ring->mask = arg->slots - 1;
	ring->limit = arg->slots;
	ring->shared = buf->vaddr;
	ring->data = buf->vaddr + K2U_RING_DATA(PAGE_SIZE);
	memset(ring->shared, 0, sizeof(*ring->shared));
	return s;

free:
	kfree(s);
clear:
	clear_bit_unlock(K2U_FILE_STREAM, &f->flags);
	return ERR_PTR(err);
}

/* Returns the file descriptor, which nobody has seen before all has succeeded. */
long k2u_stream_open(struct file *file, void __user *uarg)
{
	struct k2u_stream_file *s;
	struct k2u_buffer *buf;
	struct k2u_stream arg;
	struct file *stream;
	int fd, err;

	if ((file->f_mode & (FMODE_READ | FMODE_WRITE)) !=
	    (FMODE_READ | FMODE_WRITE))
		return -EBADF;
	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (K2U_RESERVED(arg) ||
	    arg.flags & ~(K2U_STREAM_STEAL | K2U_STREAM_EVENTFD |
			  K2U_STREAM_PAGES) ||
	    (arg.eventfd && !(arg.flags & K2U_STREAM_EVENTFD)) ||
	    arg.source >= ARRAY_SIZE(k2u_stream_sources) ||
	    !k2u_stream_sources[arg.source])
		return -EINVAL;
	buf = k2u_file_buffer(file->private_data);
	if (IS_ERR(buf))
		return PTR_ERR(buf);
	if (!(buf->backing & (K2U_BACKING_VMALLOC | K2U_BACKING_CONTIG)) ||
	    buf->cache != K2U_CACHE_WB)
		return -EOPNOTSUPP;
	err = k2u_stream_slots(buf, arg.record_size, &arg.slots);
	if (err)
		return err;

	s = k2u_stream_alloc(file, buf, &arg);
	if (IS_ERR(s))
		return PTR_ERR(s);
	err = s->ring.source->start(&s->ring, &arg);
	if (err)
		goto free;
	fd = get_unused_fd_flags(O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		err = fd;
		goto stop;
	}
	stream = anon_inode_getfile("[k2u-stream]", &k2u_stream_fops, s,
				    O_RDONLY);
	if (IS_ERR(stream)) {
		err = PTR_ERR(stream);
		goto put_fd;
	}
	/* From here on k2u_stream_release() undoes it all. */
	get_file(file);
	stream->f_mode |= FMODE_NOWAIT;
	if (copy_to_user(uarg, &arg, sizeof(arg))) {
		put_unused_fd(fd);
		fput(stream);
		return -EFAULT;
	}
	fd_install(fd, stream);
	return fd;

put_fd:
	put_unused_fd(fd);
stop:
	s->ring.source->stop(&s->ring);
free:
	k2u_stream_free(s);
	return err;
}

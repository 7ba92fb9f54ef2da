// SPDX-License-Identifier: GPL-2.0
/* read: the file's read_iter and write_iter copy at the file position. */
#include <linux/err.h>
#include <linux/sched/signal.h>
#include <linux/uio.h>

#include "k2u_mod.h"

ssize_t k2u_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	const struct k2u_buffer *buf = k2u_file_buffer_nowait(
		iocb->ki_filp->private_data, iocb->ki_flags & IOCB_NOWAIT);
	const loff_t pos = iocb->ki_pos;
	size_t count = iov_iter_count(to), copied = 0, chunk, n;
	const void *from;

	if (IS_ERR(buf))
		return PTR_ERR(buf);
	if (!count || pos >= buf->size)
		return 0;

	k2u_spin(K2U_METHOD_read);
	count = min_t(size_t, count, buf->size - pos);
	do {
		chunk = min_t(size_t, count - copied, K2U_COPY_CHUNK);
		from = k2u_buffer_at(buf, pos + copied, &chunk);
		n = copy_to_iter(from, chunk, to);
		copied += n;
		if (n < chunk || copied == count)
			break;
		cond_resched();
	} while (!fatal_signal_pending(current));
	if (!copied)
		return -EFAULT;
	iocb->ki_pos = pos + copied;
	this_cpu_add(buf->stats->read_bytes, copied);
	return copied;
}

ssize_t k2u_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	const struct k2u_buffer *buf = k2u_file_buffer_nowait(
		iocb->ki_filp->private_data, iocb->ki_flags & IOCB_NOWAIT);
	const loff_t pos = iocb->ki_pos;
	size_t count = iov_iter_count(from), copied = 0, chunk, n;
	void *to;

	if (IS_ERR(buf))
		return PTR_ERR(buf);
	if (!count)
		return 0;
	if (pos >= buf->size)
		return -ENOSPC;

	count = min_t(size_t, count, buf->size - pos);
	do {
		chunk = min_t(size_t, count - copied, K2U_COPY_CHUNK);
		to = k2u_buffer_at(buf, pos + copied, &chunk);
		n = copy_from_iter(to, chunk, from);
		copied += n;
		if (n < chunk || copied == count)
			break;
		cond_resched();
	} while (!fatal_signal_pending(current));
	if (!copied)
		return -EFAULT;
	iocb->ki_pos = pos + copied;
	this_cpu_add(buf->stats->written_bytes, copied);
	return copied;
}

const struct k2u_method_ops k2u_method_read = {};

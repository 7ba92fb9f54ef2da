// SPDX-License-Identifier: GPL-2.0
/* ioctl: K2U_IOC_COPY copies by copy_to_user(), without iterator and position. */
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "k2u_mod.h"

ssize_t k2u_copy_to_user(const struct k2u_buffer *buf, size_t pos,
			 void __user *to, size_t count)
{
	size_t copied = 0, chunk, left;
	const void *from;

	do {
		chunk = min_t(size_t, count - copied, K2U_COPY_CHUNK);
		from = k2u_buffer_at(buf, pos + copied, &chunk);
		left = copy_to_user(to + copied, from, chunk);
		copied += chunk - left;
		if (left || copied == count)
			break;
		cond_resched();
	} while (!fatal_signal_pending(current));
	if (!copied)
		return -EFAULT;
	this_cpu_add(buf->stats->read_bytes, copied);
	return copied;
}

const struct k2u_method_ops k2u_method_ioctl = {
	.copy = k2u_copy_to_user,
};

// SPDX-License-Identifier: GPL-2.0
/*
 * pin: K2U_IOC_COPY pins the user's pages and the kernel writes into them, as a
 * device would (Documentation/core-api/pin_user_pages.rst, case 2).
 */
#include <linux/highmem.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "k2u_mod.h"

/* At a time, on the stack */
#define K2U_PIN_PAGES 32

static ssize_t k2u_pin_copy(const struct k2u_buffer *buf, size_t pos,
			    void __user *to, size_t count)
{
	struct page *pages[K2U_PIN_PAGES];
	size_t copied = 0, part;
	const void *from;
	unsigned long at;
	int i, nr = 0;

	/* So that no sum of an address and a length wraps */
	if (!access_ok(to, count))
		return -EFAULT;
	do {
		at = (unsigned long)to + copied;
		part = offset_in_page(at) + count - copied;
		nr = pin_user_pages_fast(at & PAGE_MASK,
					 min_t(size_t, K2U_PIN_PAGES,
					       DIV_ROUND_UP(part, PAGE_SIZE)),
					 FOLL_WRITE, pages);
		if (nr <= 0)
			break;
		/* A part ends where a page of the user's does, or a run of ours. */
		for (i = 0; i < nr && copied < count; at += part) {
			part = min_t(size_t, count - copied,
				     PAGE_SIZE - offset_in_page(at));
			from = k2u_buffer_at(buf, pos + copied, &part);
			memcpy(page_address(pages[i]) + offset_in_page(at),
			       from, part);
			copied += part;
			if (offset_in_page(at + part) && copied < count)
				continue;
			flush_dcache_page(pages[i++]);
		}
		unpin_user_pages_dirty_lock(pages, nr, true);
		cond_resched();
	} while (copied < count && !fatal_signal_pending(current));
	if (!copied)
		return nr ?: -EFAULT;
	this_cpu_add(buf->stats->read_bytes, copied);
	return copied;
}

const struct k2u_method_ops k2u_method_pin = {
	.copy = k2u_pin_copy,
};

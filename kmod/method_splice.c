// SPDX-License-Identifier: GPL-2.0
/*
 * splice: the file's splice_read hands references to the buffer's pages to a
 * pipe. Nothing is copied until they are read from there, or from where they
 * went on to: who reads late reads what the buffer has by then.
 *
 * A page in a pipe has a reference of its own. It outlives the buffer, as one
 * that was taken from a mapping does (vmsplice(2)), and the module: what the
 * pipe calls is the core's (nosteal_pipe_buf_ops, fs/splice.c), not ours. From
 * the file's end on it is no part of max_bytes, but of the pipe's bounds
 * (fs.pipe-max-size, fs.pipe-user-pages-soft) and still of the memory cgroup
 * that it was charged to.
 *
 * Those operations have no ->try_steal: SPLICE_F_MOVE copies a page rather than
 * move it into a page cache, and no flag of the buffer lets write(2) append to
 * the page (PIPE_BUF_FLAG_CAN_MERGE; CVE-2022-0847).
 */
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/mutex.h>
#include <linux/pipe_fs_i.h>
#include <linux/splice.h>

#include "k2u_mod.h"

/* The caller holds the pipe's lock, and has waited for room. */
ssize_t k2u_splice_read(struct file *in, loff_t *ppos,
			struct pipe_inode_info *pipe, size_t count,
			unsigned int flags)
{
	const struct k2u_buffer *buf = k2u_file_buffer(in->private_data);
	const loff_t pos = *ppos;
	size_t given = 0;
	ssize_t n = 0;

	if (IS_ERR(buf))
		return PTR_ERR(buf);
	/*
	 * The references of its pages are not ours to give. As of a file without
	 * splice_read, so that who can do without falls back to read(2).
	 */
	if (buf->backing == K2U_BACKING_DMA)
		return -EINVAL;
	if (!count || pos >= buf->size)
		return 0;

	k2u_spin(K2U_METHOD_splice);
	count = min_t(size_t, count, buf->size - pos);
	while (given < count) {
		const size_t at = pos + given;
		struct pipe_buffer part = {
			.ops = &nosteal_pipe_buf_ops,
			.page = k2u_buffer_page(buf, at >> PAGE_SHIFT),
			.offset = offset_in_page(at),
			.len = min_t(size_t, count - given,
				     PAGE_SIZE - offset_in_page(at)),
		};

		get_page(part.page);
		/* Where there is no room, or no reader, it drops the reference. */
		n = add_to_pipe(pipe, &part);
		if (n < 0)
			break;
		given += n;
	}
	if (!given)
		return n;
	*ppos = pos + given;
	this_cpu_add(buf->stats->read_bytes, given);
	return given;
}

const struct k2u_method_ops k2u_method_splice = {};

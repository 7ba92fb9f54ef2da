// SPDX-License-Identifier: GPL-2.0
/* 6.8: what a file's io_uring commands need is in a header of its own. */
#include <linux/io_uring/cmd.h>

struct file *probe(const struct io_uring_cmd *cmd);
struct file *probe(const struct io_uring_cmd *cmd)
{
	return cmd->file;
}

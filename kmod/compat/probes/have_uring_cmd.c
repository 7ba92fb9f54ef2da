// SPDX-License-Identifier: GPL-2.0
/* 5.19: ->uring_cmd, by which a file has io_uring commands of its own. */
#include <linux/fs.h>

int probe(const struct file_operations *ops, struct io_uring_cmd *cmd);
int probe(const struct file_operations *ops, struct io_uring_cmd *cmd)
{
	return ops->uring_cmd(cmd, 0);
}

// SPDX-License-Identifier: GPL-2.0
/* 6.3, 6.1.y: io_uring_cmd_done() is told the flags. From 6.8 on: have_uring_cmd_h. */
#include <linux/io_uring.h>

void probe(struct io_uring_cmd *cmd);
void probe(struct io_uring_cmd *cmd)
{
	io_uring_cmd_done(cmd, 0, 0, 0);
}

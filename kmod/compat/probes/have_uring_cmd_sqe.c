// SPDX-License-Identifier: GPL-2.0
/* 6.5: a command has its SQE; until then it had the SQE's payload alone. */
#include <linux/io_uring.h>

const void *probe(const struct io_uring_cmd *cmd);
const void *probe(const struct io_uring_cmd *cmd)
{
	return cmd->sqe->cmd;
}

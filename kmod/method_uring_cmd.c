// SPDX-License-Identifier: GPL-2.0
/*
 * uring_cmd: K2U_IOC_COPY as a command of io_uring. Its argument is not pointed
 * to but in the SQE, which has 128 bytes for that, as those of NVMe have
 * (nvme_uring_cmd_io(), drivers/nvme/host/ioctl.c).
 */
#include "k2u_mod.h"

#ifdef K2U_URING_H
#include K2U_URING_H

/* Shared with user space, which may write it at any time: each field is read once. */
static int k2u_uring_arg(const struct k2u_copy *sqe, struct k2u_copy *arg)
{
	const u32 method = READ_ONCE(sqe->method);
	unsigned int i;

	if (READ_ONCE(sqe->flags) || method >= k2u_nr_methods)
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(sqe->reserved); i++)
		if (READ_ONCE(sqe->reserved[i]))
			return -EINVAL;
	if (method != K2U_METHOD_uring_cmd)
		return -EOPNOTSUPP;
	arg->offset = READ_ONCE(sqe->offset);
	arg->size = READ_ONCE(sqe->size);
	arg->addr = READ_ONCE(sqe->addr);
	return 0;
}

int k2u_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	struct k2u_file *f = cmd->file->private_data;
	const struct k2u_buffer *buf;
	struct k2u_copy arg;
	ssize_t n;
	int err;

	if (cmd->cmd_op != K2U_IOC_COPY)
		return -ENOTTY;
	if (!(issue_flags & IO_URING_F_SQE128))
		return -EINVAL;
	if (!(cmd->file->f_mode & FMODE_READ))
		return -EBADF;
	err = k2u_uring_arg(k2u_uring_payload(cmd), &arg);
	if (err)
		return err;

	buf = k2u_file_buffer_nowait(f, issue_flags & IO_URING_F_NONBLOCK);
	/* There is no system call here that could be restarted */
	if (IS_ERR(buf))
		return PTR_ERR(buf) == -ERESTARTSYS ? -EINTR : PTR_ERR(buf);
	if (!arg.size || arg.offset >= buf->size)
		return 0;
	k2u_spin(K2U_METHOD_uring_cmd);
	n = k2u_copy_to_user(buf, arg.offset, u64_to_user_ptr(arg.addr),
			     min3(arg.size, buf->size - arg.offset,
				  (u64)MAX_RW_COUNT));
	return k2u_uring_result(cmd, n, issue_flags);
}

const struct k2u_method_ops k2u_method_uring_cmd = {};
#else
const struct k2u_method_ops k2u_method_uring_cmd = {
	.absent =
		"->uring_cmd needs Linux 5.19, and io_uring_cmd_done() of 6.3",
};
#endif

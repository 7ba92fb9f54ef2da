// SPDX-License-Identifier: GPL-2.0
/*
 * uring: the read_iter of read, called by io_uring: within io_uring_enter(), as
 * the file is FMODE_NOWAIT. Else a worker thread would do it (io_read(),
 * io_uring/rw.c).
 */
#include "k2u_mod.h"

const struct k2u_method_ops k2u_method_uring = {};

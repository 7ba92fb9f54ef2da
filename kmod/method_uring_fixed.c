// SPDX-License-Identifier: GPL-2.0
/*
 * uring_fixed: the read_iter of read, called by io_uring for a registered file
 * and with the pages of a registered buffer (a bvec) to copy to.
 */
#include "k2u_mod.h"

const struct k2u_method_ops k2u_method_uring_fixed = {};

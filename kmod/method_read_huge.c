// SPDX-License-Identifier: GPL-2.0
/* read_huge: the read_iter of read; what it copies to is in a huge page. */
#include "k2u_mod.h"

const struct k2u_method_ops k2u_method_read_huge = {};

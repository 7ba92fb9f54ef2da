// SPDX-License-Identifier: GPL-2.0
/*
 * kmem: user space reads /dev/kmem, which 5.13 removed, at the buffer's address in
 * the linear mapping, known from its physical one. All of that is bench/devmem.c.
 */
#include "k2u_mod.h"

const struct k2u_method_ops k2u_method_kmem = {};

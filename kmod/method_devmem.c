// SPDX-License-Identifier: GPL-2.0
/*
 * devmem: user space maps the buffer's physical address through /dev/mem, which
 * K2U_IOC_INSPECT tells it. All of that is bench/devmem.c; the module does nothing,
 * and does not know of such a mapping: its pages may be freed beneath it.
 */
#include "k2u_mod.h"

const struct k2u_method_ops k2u_method_devmem = {};

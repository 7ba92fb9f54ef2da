// SPDX-License-Identifier: GPL-2.0
/*
 * 6.6: ->huge_fault is asked for an order, until then for a level. An enum and
 * an unsigned int are one type to a compiler: the enum itself went then.
 */
#include <linux/mm.h>

enum page_entry_size { K2U_PE_SIZE };

// SPDX-License-Identifier: GPL-2.0
/* 5.19: a fault says whether vmf->orig_pte is what it was taken of. */
#include <linux/mm.h>

unsigned int probe(void);
unsigned int probe(void)
{
	return FAULT_FLAG_ORIG_PTE_VALID;
}

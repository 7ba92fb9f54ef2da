// SPDX-License-Identifier: GPL-2.0
/* 6.18: the flags of a page are in a structure, so that only their own functions see them. */
#include <linux/mm_types.h>

unsigned long probe(const struct page *page);
unsigned long probe(const struct page *page)
{
	return page->flags.f;
}

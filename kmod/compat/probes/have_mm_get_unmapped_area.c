// SPDX-License-Identifier: GPL-2.0
/* 6.10: a function instead of mm->get_unmapped_area */
#include <linux/mm.h>
#include <linux/sched/mm.h>

unsigned long probe(struct mm_struct *mm, struct file *file);
unsigned long probe(struct mm_struct *mm, struct file *file)
{
	return mm_get_unmapped_area(mm, file, 0, PAGE_SIZE, 0, 0);
}

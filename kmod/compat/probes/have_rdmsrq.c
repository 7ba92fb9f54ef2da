// SPDX-License-Identifier: GPL-2.0
/* 6.16: rdmsrl() was renamed rdmsrq(). */
#ifdef CONFIG_X86
#include <asm/msr.h>

u64 probe(void);
u64 probe(void)
{
	u64 value;

	rdmsrq(MSR_IA32_CR_PAT, value);
	return value;
}
#else
#error x86 only
#endif

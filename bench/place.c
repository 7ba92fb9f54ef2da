// SPDX-License-Identifier: GPL-2.0
/* place.c - the CPU of this thread, and the NUMA node of what it allocates. */
#include <errno.h>
#include <numa.h>
#include <numaif.h>
#include <sched.h>

#include "bench.h"

int place_run_on(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return sched_setaffinity(0, sizeof(one), &one) ? -errno : 0;
}

/*
 * MPOL_BIND, which takes no page of another node and is none of the policies that
 * automatic balancing moves pages under. set_mempolicy(), as numa_set_membind()
 * does not return what went wrong.
 */
int place_bind(int node)
{
	struct bitmask *one = numa_allocate_nodemask();
	int err;

	if (!one)
		return -ENOMEM;
	numa_bitmask_setbit(one, node);
	err = set_mempolicy(MPOL_BIND, one->maskp, one->size + 1) ? -errno : 0;
	numa_free_nodemask(one);
	return err;
}

/*
 * There, with memory (page tables, the destination of a copy) as a program has it:
 * of the CPU's node. own: it makes the memory that is measured.
 */
int place_enter(const struct place *p, bool own)
{
	int err = place_run_on(p->cpu);

	return err ? err : place_bind(own ? p->node : p->memory);
}

int place_leave(const struct options *o)
{
	int err = place_run_on(o->cpu);

	return place_bind(o->node) ?: err;
}

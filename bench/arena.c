// SPDX-License-Identifier: GPL-2.0
/*
 * arena.c - where mappings under test go.
 *
 * How many page tables a mapping must make depends on where it lies, and with
 * ASLR that differs from run to run and from method to method. So each has a
 * place of its own, a slot at a fixed address, aligned to what one PMD covers:
 *
 *	| anchor        head | data ...                  anchor |
 *	|<-- PMD --------->|<-- size, rounded up to a PMD --->|
 *
 * The anchors are resident pages that keep the tables alive which a small
 * mapping shares with its neighbours in an ordinary process: those above the
 * PMD always, the page table of the last PMD where the data do not fill it. A
 * mapping of a PMD or more pays for the page tables that it fills itself. head
 * is what a method has ahead of its data (the header page of a perf ring).
 */
#include <errno.h>
#include <sys/mman.h>

#include "bench.h"

static struct {
	uint64_t size, stride;
	unsigned int slots;
} arena;

static uint64_t round_up(uint64_t x, uint64_t to)
{
	return (x + to - 1) / to * to;
}

char *arena_slot(unsigned int slot)
{
	return (char *)ARENA_BASE + slot * arena.stride + pmd_bytes();
}

static int anchor(char *at)
{
	volatile char *p = map_private(at, page_bytes());

	if (p == MAP_FAILED)
		return -errno;
	*p = 1;
	return 0;
}

int arena_begin(uint64_t size, unsigned int slots)
{
	uint64_t pmd = pmd_bytes(), span = round_up(size, pmd);
	unsigned int i;
	int err = 0;

	arena.size = size;
	arena.stride = pmd + span;
	arena.slots = slots;
	for (i = 0; i < slots && !err; i++) {
		err = anchor(arena_slot(i) - pmd);
		if (!err && span != size && span - size >= page_bytes())
			err = anchor(arena_slot(i) + span - page_bytes());
	}
	return err;
}

void arena_end(void)
{
	uint64_t pmd = pmd_bytes();
	unsigned int i;

	for (i = 0; i < arena.slots; i++) {
		munmap(arena_slot(i) - pmd, page_bytes());
		if (arena.stride - pmd != arena.size)
			munmap(arena_slot(i) + arena.stride - pmd -
				       page_bytes(),
			       page_bytes());
	}
	arena.slots = 0;
}

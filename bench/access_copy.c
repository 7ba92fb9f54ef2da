// SPDX-License-Identifier: GPL-2.0
/*
 * access_copy.c - a system call copies the bytes to the user's memory, chunk
 * by chunk into a destination that stays in the cache, and the user loads them
 * from there.
 */
#include <errno.h>
#include <sys/mman.h>

#include "bench.h"

/*
 * A place in the arena ends with an anchor (arena.c), where a huge page has no
 * room: those have as many places, further up.
 */
#define HUGE_AWAY (1UL << 42)

static size_t mapped(const struct use *u)
{
	return u->src->flags & SOURCE_HUGE ? pmd_round_up(u->len) : u->len;
}

static char *destination(const struct use *u, char *at)
{
	char *p;

	if (u->src->flags & SOURCE_HUGE)
		at = (at ? at : (char *)ARENA_BASE) + HUGE_AWAY;
	p = map_private(at, mapped(u));
	if (p != MAP_FAILED && u->src->flags & SOURCE_HUGE)
		madvise(p, mapped(u), MADV_HUGEPAGE);
	return p;
}

static int copy_setup(struct use *u, char *at)
{
	const struct source_ops *ops = u->src->ops;
	int err;

	u->len = u->whole || u->size < CHUNK ? u->size : CHUNK;
	u->addr = destination(u, at);
	if (u->addr == MAP_FAILED)
		return -errno;
	err = ops->arm ? ops->arm(u) : 0;
	if (err) {
		munmap(u->addr, mapped(u));
		u->addr = MAP_FAILED;
	}
	return err;
}

static int copy_chunk(struct use *u, uint64_t off, uint64_t *len)
{
	ssize_t got;

	*len = u->size - off < u->len ? u->size - off : u->len;
	got = u->src->ops->copy(u, *len, off);
	if (got < 0)
		return -errno;
	return (uint64_t)got == *len ? 0 : -EIO;
}

static int copy_get(struct use *u)
{
	uint64_t off, len;
	int err = 0;

	for (off = 0; off < u->size && !err; off += len)
		err = copy_chunk(u, off, &len);
	return err;
}

static int copy_consume(struct use *u, uint64_t *sum)
{
	uint64_t off, len;
	int err;

	for (off = 0; off < u->size; off += len) {
		err = copy_chunk(u, off, &len);
		if (err)
			return err;
		*sum += consume(u->addr, len);
	}
	return 0;
}

static int copy_teardown(struct use *u)
{
	if (u->src->ops->disarm)
		u->src->ops->disarm(u);
	return munmap(u->addr, mapped(u)) ? -errno : 0;
}

const struct access_ops access_copy = {
	.setup = copy_setup,
	.get = copy_get,
	.consume = copy_consume,
	.touch = copy_get,
	.teardown = copy_teardown,
};

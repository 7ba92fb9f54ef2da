// SPDX-License-Identifier: GPL-2.0
/*
 * access_copy.c - a system call copies the bytes to the user's memory, chunk
 * by chunk into a destination that stays in the cache, and the user loads them
 * from there.
 */
#include <errno.h>
#include <sys/mman.h>

#include "bench.h"

static int copy_setup(struct use *u, char *at)
{
	u->len = u->whole || u->size < CHUNK ? u->size : CHUNK;
	u->addr = map_private(at, u->len);
	return u->addr == MAP_FAILED ? -errno : 0;
}

static int copy_chunk(struct use *u, uint64_t off, uint64_t *len)
{
	ssize_t got;

	*len = u->size - off < u->len ? u->size - off : u->len;
	got = u->src->ops->copy(u->src, u->buf, u->addr, *len, off);
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
	return munmap(u->addr, u->len) ? -errno : 0;
}

const struct access_ops access_copy = {
	.setup = copy_setup,
	.get = copy_get,
	.consume = copy_consume,
	.touch = copy_get,
	.teardown = copy_teardown,
};

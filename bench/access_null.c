// SPDX-License-Identifier: GPL-2.0
/*
 * access_null.c - the floor of both ways: a mapping that is never touched, and
 * the system calls of a copy that copies nothing.
 */
#include <errno.h>
#include <sys/mman.h>

#include "bench.h"

static int null_setup(struct use *u, char *at)
{
	u->addr = u->src->ops->map(u->src, u->buf, at);
	u->len = u->size;
	return u->addr == MAP_FAILED ? -errno : 0;
}

static int null_get(struct use *u)
{
	uint64_t off;

	for (off = 0; off < u->size; off += CHUNK)
		if (u->src->ops->copy(u, 0, off) < 0)
			return -errno;
	return 0;
}

static int null_consume(struct use *u, uint64_t *sum)
{
	return null_get(u);
}

static int null_touch(struct use *u)
{
	return 0;
}

static int null_teardown(struct use *u)
{
	return munmap(u->addr, u->len) ? -errno : 0;
}

const struct access_ops access_null = {
	.setup = null_setup,
	.get = null_get,
	.consume = null_consume,
	.touch = null_touch,
	.teardown = null_teardown,
};

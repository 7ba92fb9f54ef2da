// SPDX-License-Identifier: GPL-2.0
/* access_map.c - the user maps the bytes and loads them in place. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "bench.h"

/* The user's own memory at a place of our choosing */
char *map_private(char *at, size_t len)
{
	return mmap(at, len, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS |
			    (at ? MAP_FIXED_NOREPLACE : 0),
		    -1, 0);
}

void use_init(struct use *u, const struct source *s, struct buffer *b)
{
	*u = (struct use){ .src = s, .buf = b, .size = b->size, .sum = b->sum };
	if (s->flags & SOURCE_FRESH)
		u->sum = (b->size + page_bytes() - 1) / page_bytes();
	if (s->flags & SOURCE_NULL)
		u->sum = 0;
}

/* The first use; fresh memory is written first, as a load would only map the zero page */
int use_first(struct use *u, const struct access_ops *acc, uint64_t *sum)
{
	if (u->src->flags & SOURCE_FRESH)
		acc->touch(u);
	return acc->consume(u, sum);
}

/* Give the user's own memory the contents that the other sources' buffers have */
void use_fill(struct use *u)
{
	if (!(u->src->flags & SOURCE_FRESH))
		return;
	memcpy(u->addr, u->buf->contents, u->size);
	u->sum = u->buf->sum;
}

static int map_setup(struct use *u, char *at)
{
	u->addr = u->src->ops->map(u->src, u->buf, at);
	u->len = u->size;
	return u->addr == MAP_FAILED ? -errno : 0;
}

static int map_consume(struct use *u, uint64_t *sum)
{
	*sum += consume(u->addr, u->size);
	return 0;
}

static int map_touch(struct use *u)
{
	char *p = u->addr, *end = p + u->size;
	const size_t page = page_bytes();

	if (u->src->flags & SOURCE_FRESH)
		for (; p < end; p += page)
			*(volatile uint64_t *)p = 1;
	else
		for (; p < end; p += page)
			(void)*(volatile uint64_t *)p;
	return 0;
}

static int map_teardown(struct use *u)
{
	return munmap(u->addr - u->src->head, u->len + u->src->head) ? -errno :
								       0;
}

const struct access_ops access_map = {
	.setup = map_setup,
	.consume = map_consume,
	.touch = map_touch,
	.teardown = map_teardown,
};

/* ---- with a beginning and an end ---- */

static int sync_consume(struct use *u, uint64_t *sum)
{
	int (*sync)(const struct use *u, bool begin) = u->src->ops->sync;
	int err = sync(u, true);

	if (err)
		return err;
	*sum += consume(u->addr, u->size);
	return sync(u, false);
}

static int sync_touch(struct use *u)
{
	int (*sync)(const struct use *u, bool begin) = u->src->ops->sync;
	int err = sync(u, true);

	if (err)
		return err;
	map_touch(u);
	return sync(u, false);
}

const struct access_ops access_sync = {
	.setup = map_setup,
	.consume = sync_consume,
	.touch = sync_touch,
	.teardown = map_teardown,
};

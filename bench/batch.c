// SPDX-License-Identifier: GPL-2.0
/*
 * batch.c - K uses side by side, each in its slot of the arena, so that a phase
 * is timed over all of them between two reads of the clock.
 */
#include "bench.h"

/*
 * As many as 4 MiB hold, but 1 to MAX_BATCH. Under icount so few that a sample
 * ends before the next timer tick (4 million instructions with HZ=250), which
 * would run the callbacks by which RCU frees what the sample left.
 */
unsigned int batch_uses(const struct run *r, uint64_t size)
{
	uint64_t k = (r->opt.icount ? 256 * KIB : 4 * MIB) / size,
		 max = r->opt.icount ? 16 : MAX_BATCH;

	return k < 1 ? 1 : k > max ? max : k;
}

void batch_init(struct batch *b, struct cell *c)
{
	unsigned int i;

	b->acc = access_of(c->src);
	b->k = batch_uses(c->run, c->buf->size);
	for (i = 0; i < b->k; i++)
		use_init(&b->use[i], c->src, c->buf);
}

int batch_setup(void *arg, uint64_t i)
{
	struct batch *b = arg;

	return b->acc->setup(&b->use[i], arena_slot(i));
}

int batch_touch(void *arg, uint64_t i)
{
	struct batch *b = arg;

	return b->acc->touch(&b->use[i]);
}

int batch_teardown(void *arg, uint64_t i)
{
	struct batch *b = arg;

	return b->acc->teardown(&b->use[i]);
}

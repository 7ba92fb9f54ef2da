// SPDX-License-Identifier: GPL-2.0
/* measures.c - registry 2 as a table, and the sizes that measures share. */
#include "bench.h"

const struct measure measures[] = {
#define K2U_MEASURE(name, title) { #name, title, measure_##name },
#include "measures.def"
#undef K2U_MEASURE
};

const unsigned int nr_measures = ARRAY_SIZE(measures);

/* Of our own lists; sizes below a page of this machine are left out */
unsigned int size_list(const char *list, uint64_t *v)
{
	uint64_t size;
	unsigned int nr = 0;
	char one[8];
	int used;

	for (; sscanf(list, "%7[^,]%n", one, &used) == 1;
	     list += used + (list[used] == ','))
		if (!parse_size(one, &size) && size >= page_bytes())
			v[nr++] = size;
	return nr;
}

unsigned int plan_sizes(const struct run *r, uint64_t *v)
{
	const struct options *o = &r->opt;
	unsigned int i;

	for (i = 0; i < o->nr_sizes; i++)
		v[i] = o->sizes[i];
	if (o->nr_sizes)
		return o->nr_sizes;
	if (o->icount)
		return size_list(o->quick ? "4K,64K,1M" : "4K,64K,1M,4M", v);
	return size_list(o->quick ? "4K,64K,1M,16M" :
				    "4K,16K,64K,256K,1M,4M,16M,64M,256M",
			 v);
}

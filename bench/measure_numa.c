// SPDX-License-Identifier: GPL-2.0
/*
 * measure_numa.c - latency and throughput of a buffer on one NUMA node to a thread
 * on a CPU of another, for each pair of them; and where its pages really are.
 */
#include <errno.h>
#include <numa.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench.h"

#define MAX_NODES 64 /* of which there are MAX_NODES^2 pairs */

/* A probe of another measure, at a pair of nodes */
struct placed {
	struct probe probe; /* first: a cell has no other way to the rest */
	const struct probe *of;
	struct place place;
	char name[32];
};

/* ---- where the pages are ---- */

struct found {
	uint64_t pages;
	uint64_t there; /* on the node that was asked for */
	uint64_t silent; /* without struct pages, of which move_pages() does not tell */
	int elsewhere; /* the node of the first that is not there */
};

#define ASK 1024 /* pages at a time */

static int find_pages(char *at, uint64_t size, int node, struct found *f)
{
	const size_t page = page_bytes();
	void *address[ASK];
	int status[ASK];
	uint64_t off;
	int n, i;

	*f = (struct found){ .elsewhere = -1 };
	for (off = 0; off < size; f->pages += n) {
		for (n = 0; n < ASK && off < size; n++, off += page) {
			address[n] = at + off;
			(void)*(volatile char *)(at + off);
		}
		/* Without nodes to move them to, it says where they are */
		if (numa_move_pages(0, n, address, NULL, status, 0))
			return -errno;
		for (i = 0; i < n; i++) {
			if (status[i] == node)
				f->there++;
			else if (status[i] < 0)
				f->silent++;
			else if (f->elsewhere < 0)
				f->elsewhere = status[i];
		}
	}
	return 0;
}

/* In the cell's mapping; of a source of copies in one that is made for it */
static int find_buffer(const struct cell *c, struct found *f)
{
	const bool map = c->src->access & K2U_ACCESS_MAP;
	const struct buffer *b = c->buf;
	char *at = map ? c->use.addr :
			 mmap(NULL, b->size, PROT_READ, MAP_SHARED, b->fd, 0);
	int err;

	if (at == MAP_FAILED)
		return -errno;
	err = find_pages(at, b->size, b->node, f);
	if (!map)
		munmap(at, b->size);
	return err;
}

/* After the samples: what was measured is what is there now */
static void check_node(struct cell *c)
{
	const int node = c->buf->node;
	const char *verdict = "pass";
	char expected[16], got[16] = "", note[128];
	struct found f;
	int err = find_buffer(c, &f), first;

	snprintf(expected, sizeof(expected), "%d", node);
	if (err) {
		verdict = "unavailable";
		snprintf(note, sizeof(note), "move_pages: %s", strerror(-err));
	} else if (f.silent < f.pages) {
		first = f.elsewhere < 0 ? node : f.elsewhere;
		snprintf(got, sizeof(got), "%d", first);
		snprintf(note, sizeof(note), "%lu of %lu pages by move_pages",
			 f.there, f.pages);
		if (f.there != f.pages)
			verdict = "fail";
	} else if (c->src->ops->node) {
		first = c->src->ops->node(c->buf);
		snprintf(got, sizeof(got), "%d", first);
		snprintf(
			note, sizeof(note),
			"its first page by the module: it has no struct pages");
		if (first != node)
			verdict = "fail";
	} else {
		verdict = "unavailable";
		snprintf(note, sizeof(note),
			 "move_pages does not tell of pages of this kind");
	}
	c->run->failed += !strcmp(verdict, "fail");
	check(c, c->probe->metric, "node", expected, got, verdict, note);
}

/* ---- a probe at a pair ---- */

static const struct probe *inner(const struct cell *c)
{
	return ((const struct placed *)c->probe)->of;
}

static void end_placed(struct cell *c)
{
	if (!c->dead)
		check_node(c);
	inner(c)->end(c);
}

static void put(struct placed *p, const struct probe *of, struct place at,
		int cpu_node)
{
	p->probe = *of;
	p->of = of;
	p->place = at;
	snprintf(p->name, sizeof(p->name), "%s_c%dm%d", of->metric[0].name,
		 cpu_node, at.node);
	p->probe.metric[0].name = p->name;
	p->probe.place = &p->place;
	p->probe.end = end_placed;
}

/* The probes of a group, which live as long as the program */
struct list {
	struct list *next;
	const struct probe **probe;
	unsigned int nr;
	struct placed placed[];
};

static struct list *lists;

static struct list *new_list(unsigned int room)
{
	struct list *l = calloc(1, sizeof(*l) + room * sizeof(*l->placed));
	unsigned int i;

	if (!l)
		return NULL;
	l->next = lists;
	lists = l;
	l->probe = calloc(room, sizeof(*l->probe));
	for (i = 0; i < room && l->probe; i++)
		l->probe[i] = &l->placed[i].probe;
	return l->probe ? l : NULL;
}

/* ---- plan ---- */

/* The last CPU of a node that this process may use; of the run's node the run's; -1: none */
static int cpu_of(int node, const struct options *o)
{
	struct bitmask *cpus = numa_allocate_cpumask();
	int cpu = -1;
	unsigned int i;

	if (cpus && !numa_node_to_cpus(node, cpus))
		for (i = 0; i < cpus->size; i++)
			/* As they were before this thread was bound to one */
			if (numa_bitmask_isbitset(cpus, i) &&
			    numa_bitmask_isbitset(numa_all_cpus_ptr, i))
				cpu = i;
	if (cpu >= 0 && numa_bitmask_isbitset(cpus, o->cpu))
		cpu = o->cpu;
	numa_free_cpumask(cpus);
	return cpu;
}

/* Every node, and what it lacks: such pairs are not there, and that is said */
static struct {
	int node[MAX_NODES], cpu[MAX_NODES];
	bool memory[MAX_NODES];
	unsigned int nr;
	char reason[MAX_NODES][128];
} nodes;

static void find_nodes(const struct options *o)
{
	int node;

	nodes.nr = 0;
	for (node = 0; node <= numa_max_node() && nodes.nr < MAX_NODES;
	     node++) {
		if (!numa_bitmask_isbitset(numa_nodes_ptr, node))
			continue;
		nodes.node[nodes.nr] = node;
		nodes.cpu[nodes.nr] = cpu_of(node, o);
		/* As it was before its memory was bound to the run's node */
		nodes.memory[nodes.nr] =
			numa_bitmask_isbitset(numa_all_nodes_ptr, node) &&
			numa_node_size64(node, NULL) > 0;
		nodes.nr++;
	}
}

/* A few that differ: a copy, entries of struct pages, of PFNs; and what every kernel has */
static bool few(const struct source *s, const struct options *o)
{
	static const char *const label[] = {
		"k2u/read/vmalloc", "k2u/vmalloc/vmalloc", "k2u/pfn/contig",
		"tree/read/memfd",  "tree/fault/memfd",	   "tree/anon/4k",
	};
	unsigned int i;

	if (o->methods || o->backings)
		return true;
	for (i = 0; i < ARRAY_SIZE(label); i++)
		if (!strcmp(source_label(s), label[i]))
			return true;
	return false;
}

static int add_list(struct run *r, uint64_t size, const struct list *l)
{
	int err = group_add(r, "numa", size, size, l->probe, l->nr);

	if (!err)
		r->groups[r->nr_groups - 1].wanted = few;
	return err;
}

/* The pairs of one or two probes, those of a node's memory side by side */
static int add_pairs(struct run *r, uint64_t size, const struct probe *one,
		     const struct probe *two)
{
	struct list *l = new_list(2 * nodes.nr * nodes.nr);
	unsigned int c, m;

	if (!l)
		return -ENOMEM;
	for (m = 0; m < nodes.nr; m++) {
		for (c = 0; c < nodes.nr && nodes.memory[m]; c++) {
			const int cpu_node = nodes.node[c],
				  node = nodes.node[m];
			const struct place at = {
				.cpu = nodes.cpu[c],
				.memory = nodes.memory[c] ? cpu_node : node,
				.node = node,
			};

			if (at.cpu < 0)
				continue;
			put(&l->placed[l->nr++], one, at, cpu_node);
			if (two)
				put(&l->placed[l->nr++], two, at, cpu_node);
		}
	}
	return l->nr ? add_list(r, size, l) : 0;
}

/* In place of pairs that there are none of */
static int add_reason(struct run *r, uint64_t size, const char *reason)
{
	struct list *l = new_list(1);
	struct probe *none;

	if (!l)
		return -ENOMEM;
	none = &l->placed[l->nr++].probe;
	*none = probe_reuse;
	none->metric[0] = (struct metric){ "all", "", UNIT_RATE };
	none->reason = reason;
	return add_list(r, size, l);
}

static int say_missing(struct run *r, uint64_t size)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < nodes.nr && !err; i++) {
		const char *lacks = !nodes.memory[i] && nodes.cpu[i] < 0 ?
					    "neither memory nor a CPU" :
				    !nodes.memory[i] ? "no memory" :
						       "no CPU";

		if (nodes.memory[i] && nodes.cpu[i] >= 0)
			continue;
		snprintf(
			nodes.reason[i], sizeof(nodes.reason[i]),
			"node %d has %s for this process: it has no such pairs",
			nodes.node[i], lacks);
		err = add_reason(r, size, nodes.reason[i]);
	}
	return err;
}

int measure_numa(struct run *r)
{
	const struct options *o = &r->opt;
	uint64_t v[MAX_SIZES];
	unsigned int nr, i;
	int err;

	/* What a cache holds, and what the last one does not */
	nr = o->nr_sizes ? plan_sizes(r, v) :
			   size_list(o->icount ? "64K,1M" : "64K,64M", v);
	if (numa_available() >= 0)
		find_nodes(o);
	if (nodes.nr < 2)
		return add_reason(
			r, v[0],
			numa_available() < 0 ?
				"this kernel has no NUMA (CONFIG_NUMA)" :
				"the machine has one NUMA node");
	err = say_missing(r, v[0]);
	for (i = 0; i < nr && !err; i++) {
		err = add_pairs(r, v[i], &probe_load, NULL);
		if (!err)
			err = add_pairs(r, v[i], &probe_reuse, &probe_copy);
	}
	return err;
}

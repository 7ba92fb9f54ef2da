// SPDX-License-Identifier: GPL-2.0
/*
 * measure_faults.c - the faults of touching every page of a fresh mapping (or
 * of copying into fresh memory), by three counters that must agree exactly,
 * and what one costs.
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

enum {
	EXPECTED,
	MINOR_RUSAGE,
	MAJOR_RUSAGE,
	MINOR_PERF,
	MAJOR_PERF,
	MINOR_MODULE,
	NR_COUNTS
};

static uint64_t expected_faults(const struct source *s, uint64_t size)
{
	if (s->access & K2U_ACCESS_MAP)
		return s->ops->expect(s, size);
	/* Of the destination */
	if (s->flags & SOURCE_ARMS)
		return 0;
	if (s->flags & SOURCE_HUGE)
		return pmd_round_up(size) / pmd_bytes();
	return (size + page_bytes() - 1) / page_bytes();
}

/* The module serves the faults on its mappings, not those on a copy's destination */
static uint64_t expected_module(const struct source *s, uint64_t size)
{
	return s->access & K2U_ACCESS_MAP ? s->ops->expect(s, size) : 0;
}

/* ---- counters ---- */

/*
 * Open only while they count: a software event on faults makes each fault
 * dearer, for all cells alike.
 */
static struct {
	unsigned int users;
	int minor, major;
	int err;
} perf = { .minor = -1, .major = -1 };

static int perf_open(uint64_t config)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.config = config,
		.size = sizeof(attr),
		.exclude_hv = 1,
	};
	int fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1,
			 PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static void perf_get(void)
{
	if (perf.users++)
		return;
	perf.minor = perf_open(PERF_COUNT_SW_PAGE_FAULTS_MIN);
	perf.major = perf_open(PERF_COUNT_SW_PAGE_FAULTS_MAJ);
	perf.err = perf.minor < 0 ? perf.minor :
		   perf.major < 0 ? perf.major :
				    0;
}

static void perf_put(void)
{
	if (--perf.users)
		return;
	if (perf.minor >= 0)
		close(perf.minor);
	if (perf.major >= 0)
		close(perf.major);
}

static int read_counts(struct buffer *b, uint64_t *count)
{
	struct rusage usage;
	int err = 0;

	if (!perf.err && (read(perf.minor, &count[MINOR_PERF], 8) != 8 ||
			  read(perf.major, &count[MAJOR_PERF], 8) != 8))
		return -EIO;
	if (b->src->ops->faults)
		err = b->src->ops->faults(b, &count[MINOR_MODULE]);
	getrusage(RUSAGE_THREAD, &usage);
	count[MINOR_RUSAGE] = usage.ru_minflt;
	count[MAJOR_RUSAGE] = usage.ru_majflt;
	return err;
}

/* ---- count ---- */

struct counts {
	uint64_t last[NR_COUNTS];
	bool agree, expected, module; /* in every sample */
	bool not_huge; /* a mapping of huge pages got small ones */
	unsigned int memtype, linear; /* as inspected; 0: not */
};

static int begin_count(struct cell *c)
{
	struct counts *n = c->priv = calloc(1, sizeof(*n));

	perf_get();
	if (!n)
		return -ENOMEM;
	n->agree = n->expected = n->module = true;
	return 0;
}

static void end_count(struct cell *c)
{
	perf_put();
}

/* What the mapping became, by the page tables where the source shows them */
static void look(const struct use *u, struct counts *all)
{
	struct k2u_inspect seen = { .pmd_pages = 0 };
	char text[64];
	bool huge;

	if (u->src->ops->inspect && !u->src->ops->inspect(u, &seen)) {
		all->memtype = seen.cache;
		all->linear = seen.linear_cache;
	}
	if (!(u->src->flags & SOURCE_HUGE))
		return;
	if (u->src->access & K2U_ACCESS_MAP && u->src->ops->inspect)
		huge = seen.pmd_pages * page_bytes() ==
		       u->size / pmd_bytes() * pmd_bytes();
	else
		huge = smaps_field(u->addr, "AnonHugePages", text,
				   sizeof(text)) &&
		       strtoull(text, NULL, 10) * KIB == pmd_round_up(u->size);
	if (!huge)
		all->not_huge = true;
}

static uint64_t perf_sees(const struct source *s, uint64_t faults)
{
	return s->flags & SOURCE_PINS ? 0 : faults;
}

static int sample_count(struct cell *c, uint64_t n, struct reading *out)
{
	const struct access_ops *acc = access_of(c->src);
	uint64_t before[NR_COUNTS] = {}, count[NR_COUNTS] = {};
	struct counts *all = c->priv;
	struct use u;
	int err, i;

	use_init(&u, c->src, c->buf);
	u.whole = true;
	err = acc->setup(&u, arena_slot(0));
	if (err)
		return err;
	err = read_counts(c->buf, before);
	if (!err)
		err = acc->touch(&u);
	if (!err)
		err = read_counts(c->buf, count);
	if (!err)
		look(&u, all);
	acc->teardown(&u);
	if (err)
		return err;
	for (i = 0; i < NR_COUNTS; i++)
		count[i] -= before[i];
	count[EXPECTED] = expected_faults(c->src, c->buf->size);
	for (i = 0; i < NR_COUNTS; i++)
		if (!((i == MINOR_PERF || i == MAJOR_PERF) && perf.err) &&
		    !(i == MINOR_MODULE && !c->src->ops->faults))
			out[i] = (struct reading){ .elapsed = count[i],
						   .iters = 1 };

	memcpy(all->last, count, sizeof(count));
	if (!perf.err &&
	    (count[MINOR_PERF] != perf_sees(c->src, count[MINOR_RUSAGE]) ||
	     count[MAJOR_PERF] != perf_sees(c->src, count[MAJOR_RUSAGE])))
		all->agree = false;
	if (count[MINOR_RUSAGE] + count[MAJOR_RUSAGE] != count[EXPECTED])
		all->expected = false;
	if (c->src->ops->faults &&
	    count[MINOR_MODULE] != expected_module(c->src, c->buf->size))
		all->module = false;
	return 0;
}

static void check_count(struct cell *c, int metric, const char *name,
			uint64_t expected, uint64_t got, bool ok,
			const char *unavailable)
{
	char e[32], g[32];

	snprintf(e, sizeof(e), "%lu", expected);
	snprintf(g, sizeof(g), "%lu", got);
	check(c, &c->probe->metric[metric], name, e, g,
	      unavailable ? "unavailable" :
	      ok	  ? "pass" :
			    "fail",
	      unavailable ? unavailable : "");
	if (!ok && !unavailable)
		c->run->failed++;
}

/*
 * The memory type of an entry, against what the buffer was asked for. Another
 * one is no error of ours and no reason to trust the figures: it is said. Of dma
 * memory none can be asked for: which it is, the DMA API says.
 */
static void check_memtype(struct cell *c, const char *name, unsigned int got)
{
	static const char *const type[] = {
		[K2U_MEMTYPE_WB] = "wb", [K2U_MEMTYPE_WC] = "wc",
		[K2U_MEMTYPE_UC] = "uc", [K2U_MEMTYPE_UC_MINUS] = "uc-",
		[K2U_MEMTYPE_WT] = "wt", [K2U_MEMTYPE_WP] = "wp",
	};
	const char *want = c->src->cache, *is;
	bool ok;

	if (got == K2U_MEMTYPE_UNKNOWN || got >= ARRAY_SIZE(type))
		return;
	is = type[got];
	if (!strcmp(c->src->backing, "dma")) {
		check(c, NULL, name, "any", is, "pass",
		      "none was asked for: the DMA API decides");
		return;
	}
	ok = !strcmp(is, want) || (!strcmp(want, "uc") && !strcmp(is, "uc-"));
	check(c, NULL, name, want, is, ok ? "pass" : "fail",
	      ok ? "" :
		   "the hardware uses another memory type than was asked for");
}

static int finish_count(struct cell *c)
{
	struct counts *n = c->priv;
	const uint64_t *v = n->last;
	const char *small =
		n->not_huge ?
			"4 KiB entries: the kernel made no PMD leaves for all of it" :
			NULL;
	char no_perf[128];

	snprintf(
		no_perf, sizeof(no_perf),
		"perf_event_open of page faults: %s (run as root, or kernel.perf_event_paranoid <= 1)",
		strerror(-perf.err));
	check_count(c, MINOR_PERF, "faults-agree",
		    perf_sees(c->src, v[MINOR_RUSAGE] + v[MAJOR_RUSAGE]),
		    v[MINOR_PERF] + v[MAJOR_PERF], n->agree,
		    perf.err ? no_perf : NULL);
	check_count(c, MINOR_RUSAGE, "faults-expected", v[EXPECTED],
		    v[MINOR_RUSAGE] + v[MAJOR_RUSAGE], n->expected, small);
	if (c->src->ops->faults)
		check_count(c, MINOR_MODULE, "faults-module",
			    expected_module(c->src, c->buf->size),
			    v[MINOR_MODULE], n->module, small);
	check_memtype(c, "memtype", n->memtype);
	check_memtype(c, "memtype-linear", n->linear);
	return 0;
}

static uint64_t fixed_once(const struct run *r, uint64_t size)
{
	return 1;
}

static const struct probe probe_count = {
	.access	= K2U_ACCESS_BOTH,
	.flags	= PROBE_COUNT,
	.metric	= {
		[EXPECTED]	= { "first-touch", "expected", UNIT_FAULTS },
		[MINOR_RUSAGE]	= { "first-touch", "minor_rusage", UNIT_FAULTS },
		[MAJOR_RUSAGE]	= { "first-touch", "major_rusage", UNIT_FAULTS },
		[MINOR_PERF]	= { "first-touch", "minor_perf", UNIT_FAULTS },
		[MAJOR_PERF]	= { "first-touch", "major_perf", UNIT_FAULTS },
		[MINOR_MODULE]	= { "first-touch", "minor_module", UNIT_FAULTS },
	},
	.begin	= begin_count,
	.sample	= sample_count,
	.end	= end_count,
	.finish	= finish_count,
	.fixed	= fixed_once,
};

/* ---- fault: first pass over all pages, minus a warm one ---- */

static int sample_fault(struct cell *c, uint64_t n, struct reading *out)
{
	uint64_t faults = expected_faults(c->src, c->buf->size);
	int64_t first = 0, warm = 0, elapsed;
	struct batch b;
	unsigned int i;
	int err = 0;

	if (!faults)
		return 0;
	batch_init(&b, c);
	for (i = 0; i < b.k; i++)
		b.use[i].whole = true;
	while (n-- && !err) {
		err = timed_loop(batch_setup, &b, b.k, &elapsed);
		if (!err)
			err = timed_loop(batch_touch, &b, b.k, &first);
		if (!err)
			err = timed_loop(batch_touch, &b, b.k, &warm);
		timed_loop(batch_teardown, &b, b.k, &elapsed);
		/* the clock and the loop are in both: nothing to subtract */
		out->elapsed += first - warm;
		out->iters += b.k * faults;
	}
	return err;
}

static const struct probe probe_fault = {
	.access = K2U_ACCESS_BOTH,
	.flags = PROBE_BYTES | PROBE_FRESH,
	.metric = { { "first-touch", "fault", UNIT_TIME } },
	.sample = sample_fault,
	.fixed = fixed_once,
};

/* Two groups: the counters are not open while a fault's cost is taken */
static const struct probe *const counts[] = { &probe_count };
static const struct probe *const costs[] = { &probe_fault };

int measure_faults(struct run *r)
{
	uint64_t v[MAX_SIZES];
	unsigned int nr, i;
	int err = 0;

	nr = r->opt.nr_sizes ?
		     plan_sizes(r, v) :
		     size_list(r->opt.icount ? r->opt.quick ? "64K" : "64K,1M" :
			       r->opt.quick  ? "64K,1M" :
					       "64K,1M,16M",
			       v);
	for (i = 0; i < nr && !err; i++) {
		err = group_add(r, "faults", v[i], v[i], counts, 1);
		if (!err)
			err = group_add(r, "faults", v[i], v[i], costs, 1);
	}
	return err;
}

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * bench.h - the parts of k2u-bench.
 *
 *   source    one row of "k2u-bench list": a provider's way to hand over bytes
 *   buffer    the kernel object that holds them; sources of a backing share it
 *   use       a user half at work: a mapping, or the destination of a copy
 *   probe     one thing that can be timed or counted on a source
 *   cell      source x probe x size: a row of summary.csv per metric
 *   group     the cells of one measure and size, sampled in shuffled blocks
 *
 * Functions return 0 or -errno; only main() exits.
 */
#ifndef BENCH_H
#define BENCH_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <jansson.h>

#include "k2u.h"
#include "pattern.h"

/* A hook has the arguments that all of its kind have */
#pragma GCC diagnostic ignored "-Wunused-parameter"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define KIB (1UL << 10)
#define MIB (1UL << 20)
#define GIB (1UL << 30)

/* A copy goes through a buffer of at most this size, which an L2 cache holds */
#define CHUNK (128 * KIB)

enum {
	STATUS_OK = 0,
	STATUS_CHECK = 1, /* contents, a count or a sum was wrong */
	STATUS_USAGE = 2,
	STATUS_NONE = 3, /* nothing that was asked for is available */
	STATUS_OUTPUT = 4, /* output could not be written */
	STATUS_SIGNAL = 130,
};

/* ---- source.c: sources and their buffers ---- */

struct source;
struct packet_ops;
struct stream_ops;
struct use;

struct buffer {
	const struct source *src; /* of the sources that share it, the first */
	uint64_t size, seed;
	uint64_t sum; /* of its words: what consume() must find */
	int node;
	bool readonly; /* wanted: a file that is open for reading only */
	int fd;
	char *hold; /* the provider's own mapping of it */
	size_t hold_len;
	const char *contents; /* its bytes, for storing and comparing them */
	uint64_t paddr,
		vaddr; /* of its pages, where devmem.c was asked; or 0 */
	int dmabuf; /* a dma-buf of it, where one was asked for; or -1 */
};

/*
 * Hooks return 0 or -errno, but map() and copy(), which are timed: these return
 * what their system call does.
 */
struct source_ops {
	/* The buffer. Required, but where the memory is the user's own (anon) */
	int (*open)(struct buffer *b); /* b->fd */
	void (*close)(struct buffer *b);
	/* Optional: b->size bytes of memory, if open() gave none */
	int (*setup)(struct buffer *b);
	/* One of them. fill(): the pattern, or what it can hold (sets sum, contents) */
	int (*fill)(struct buffer *b);
	int (*store)(struct buffer *b, const void *from, size_t len, off_t off);
	/* Optional: k2u_hash() as the kernel sees the bytes; the provider's own count of faults */
	int (*hash)(struct buffer *b, uint64_t *hash);
	int (*faults)(struct buffer *b, uint64_t *count);
	/* Optional: the NUMA node of its first page, for mappings without struct pages */
	int (*node)(struct buffer *b);

	/* Ways to the bytes, by access: map() at a place or anywhere (NULL), PROT_READ; */
	char *(*map)(const struct source *s, struct buffer *b, char *at);
	/* len bytes from off on to u->addr, as pread() does; */
	ssize_t (*copy)(struct use *u, size_t len, off_t off);
	/* Optional: what copies to u->addr need ahead of the first; its opposite */
	int (*arm)(struct use *u);
	void (*disarm)(struct use *u);
	/* Optional: the beginning, or the end, of an access to a mapping */
	int (*sync)(const struct use *u, bool begin);
	/* Optional: the file that a mapping is of, and where; else b->fd, source.offset */
	int (*where)(const struct source *s, struct buffer *b, off_t *offset);
	/* Optional: whether a fresh destination for each copy is nothing to measure, and why */
	bool (*stale)(const struct source *s, uint64_t size, char *why,
		      size_t len);
	/* Required with map(): faults that touching every page of a fresh mapping takes */
	uint64_t (*expect)(const struct source *s, uint64_t size);
	/* Optional: what a mapping is, and the kernel's own of its buffer */
	int (*inspect)(const struct use *u, struct k2u_inspect *seen);
	/* Optional: whether this size cannot be had, and why */
	bool (*refuse)(const struct source *s, uint64_t size, char *why,
		       size_t len);
};

/*
 * NULL	hands over no bytes: the floor
 * FRESH	a mapping begins empty: its user writes it
 * HUGE	wants transparent huge pages, which are off for all others: its
 *	mapping, or the destination of its copies
 * ASKED	only where its backing is asked for: it says what another one says
 * PINS	faults of its destination are no event of perf (they have no
 *	registers: mm_account_fault(), mm/memory.c)
 * ARMS	its destination is there, pinned, once it is armed: no faults later
 * NODELESS	the kernel alone decides from which NUMA node its memory is
 */
#define SOURCE_NULL (1u << 0)
#define SOURCE_FRESH (1u << 1)
#define SOURCE_HUGE (1u << 2)
#define SOURCE_PINS (1u << 3)
#define SOURCE_ARMS (1u << 4)
#define SOURCE_ASKED (1u << 5)
#define SOURCE_NODELESS (1u << 6)

/*
 * Sources that hand over no still buffer, besides K2U_ACCESS_* in source.access:
 * records, or packets, as they come. Only the measures of that name ask for them.
 */
#define ACCESS_STREAM (1u << 24)
#define ACCESS_PACKET (1u << 25)
/* Baselines of records: their production without them; a flag between threads */
#define ACCESS_STREAM_NULL (1u << 26)
#define ACCESS_STREAM_FLAG (1u << 27)
/* Records that a timer of the kernel makes; or its expiries alone */
#define ACCESS_STREAM_TIMER (1u << 28)
#define ACCESS_STREAMS                                             \
	(ACCESS_STREAM | ACCESS_STREAM_NULL | ACCESS_STREAM_FLAG | \
	 ACCESS_STREAM_TIMER)

struct source {
	const char *provider, *method, *backing;
	const char *cache; /* attribute of the buffer's mappings */
	unsigned int access; /* K2U_ACCESS_* */
	unsigned int flags; /* SOURCE_* */
	unsigned int id; /* provider's own; k2u: enum k2u_method_id */
	/* Sources of a provider with the same one share a buffer; k2u: see STORE() */
	unsigned int store_id;
	size_t head; /* bytes that a mapping has ahead of the data */
	uint64_t offset; /* of the file at which a mapping begins */
	int map_flags; /* of mmap(), besides */
	const struct source_ops *ops;
	const struct stream_ops *stream; /* ACCESS_STREAM: stream.h */
	const struct packet_ops *packet; /* ACCESS_PACKET: packet.h */
	char via[192]; /* the kernel code that it exercises */
	char reason[256]; /* why it is not available; empty: it is */
};

struct sources {
	struct source *v;
	unsigned int nr;
};

struct source *source_add(struct sources *s, const struct source *row);
int sources_probe(struct sources *s, const char *device, const char *config);
void sources_free(struct sources *s);
const struct source *source_find(const struct sources *s, const char *name);
json_t *sources_json(const struct sources *s);
void sources_print(const struct sources *s, FILE *f);
struct options;
bool source_wanted(const struct source *s, const struct options *o);
const char *source_label(const struct source *s);
static inline bool source_available(const struct source *s)
{
	return !s->reason[0];
}

int buffer_open(struct buffer *b);
int buffer_fill(struct buffer *b);
void buffer_close(struct buffer *b);

/* provider_k2u.c, provider_tree.c: add their rows */
int provider_k2u(struct sources *s, const char *device, const char *config);
int provider_tree(struct sources *s);
void tree_spin(struct sources *s, const char *method, uint64_t turns);
const char *k2u_module_version(void);
uint64_t fault_windows(uint64_t addr, uint64_t size, uint64_t window);

/* ---- devmem.c: a buffer through /dev/mem and /dev/kmem ---- */

/* What decides whether that is allowed. An option is 'y', 'n', or 0: not known */
struct devmem_facts {
	bool kmem; /* it is about /dev/kmem */
	bool opened; /* it was mmap() that failed */
	int err; /* errno; 0: it is allowed */
	bool ram; /* the range is System RAM */
	bool x86;
	unsigned int release; /* 6.12 is 6012 */
	char devmem, devkmem, strict, io_strict, pat; /* CONFIG_* */
	bool nopat; /* on the kernel's command line */
	bool known; /* the kernel has the device, whether or not there is a node */
	bool rawio; /* CAP_SYS_RAWIO is effective */
	char lockdown[20]; /* of securityfs; empty: not known */
	char said[96]; /* the kernel log, about it */
};

/* The rule that forbids it comes first: STRICT_DEVMEM, PAT, lockdown ... */
void devmem_why(const struct devmem_facts *f, char *why, size_t len);
/* Whether len bytes at paddr can be mapped for reading; else the facts of why not */
bool devmem_try(uint64_t paddr, size_t len, bool ram, const char *config,
		struct devmem_facts *f);
bool kmem_try(const char *config, struct devmem_facts *f);
int devmem_open(bool readonly);
int kmem_open(void);
/* Sets b->paddr; b->vaddr, too */
int devmem_locate(struct buffer *b);
int kmem_locate(struct buffer *b);
int kmem_linear(uint64_t paddr, uint64_t *vaddr);

/* ---- sys.c: what the system says ---- */

size_t page_bytes(void);
size_t pmd_bytes(void);
bool read_text(const char *path, char *buf, size_t len);
bool read_field(const char *path, const char *key, char *value, size_t len);
bool smaps_field(const void *addr, const char *key, char *value, size_t len);
void thp_allow(bool allow);
bool thp_absent(char *why, size_t len);
size_t pmd_round_up(size_t len);

/* ---- arena.c: where mappings under test go ---- */

#ifndef ARENA_BASE /* sanitizers need another */
#define ARENA_BASE \
	(1UL       \
	 << 36) /* far below libraries and stack, far above the program's own break */
#endif

int arena_begin(uint64_t size, unsigned int slots);
void arena_end(void);
char *arena_slot(unsigned int slot);

/* ---- access_copy.c, access_map.c, access_null.c: the user halves ---- */

struct use {
	const struct source *src;
	struct buffer *buf;
	char *addr;
	uint64_t len; /* bytes at addr */
	uint64_t size; /* bytes to get */
	uint64_t sum; /* that consuming them must give */
	bool whole; /* copies: destination of the whole size, not a chunk */
	void *armed; /* the source's own, from arm() to disarm() */
};

struct access_ops {
	int (*setup)(struct use *u, char *at);
	int (*get)(struct use *u); /* copies: copy, do not consume */
	/* get the bytes, add their sum */
	int (*consume)(struct use *u, uint64_t *sum);
	int (*touch)(struct use *u); /* map: first access to each page */
	int (*teardown)(struct use *u);
};

/* sync: a mapping whose every access has a beginning and an end */
extern const struct access_ops access_copy, access_map, access_null,
	access_sync;

static inline const struct access_ops *access_of(const struct source *s)
{
	if (s->flags & SOURCE_NULL)
		return &access_null;
	return !(s->access & K2U_ACCESS_MAP) ? &access_copy :
	       s->ops->sync		     ? &access_sync :
					       &access_map;
}

char *map_private(char *at, size_t len);
void use_init(struct use *u, const struct source *s, struct buffer *b);
int use_first(struct use *u, const struct access_ops *acc, uint64_t *sum);
void use_fill(struct use *u);

/* ---- consume.c ---- */

uint64_t consume(const void *p, size_t len);
uint64_t pattern_sum(uint64_t seed, uint64_t size);
void pattern_fill(void *p, uint64_t seed, uint64_t size);
int64_t bytes_differ(const void *a, const void *b, size_t len);
uint64_t pattern_hash(uint64_t seed, uint64_t size);

/* ---- timing.c ---- */

struct timing {
	double clock; /* one read of the clock */
	double loop; /* one turn of timed_loop() */
	/* An empty operation, both subtracted: median and its 95 % interval */
	double residual, residual_low, residual_high;
	double resolution; /* smallest step of the clock that was seen */
	bool vdso; /* it is read without a system call */
};

/* What was measured: elapsed holds `clocks` reads of the clock and `loops` turns */
struct reading {
	int64_t elapsed;
	uint64_t iters; /* 0: this metric does not apply to the source */
	uint64_t clocks, loops;
};

typedef int (*op_fn)(void *arg, uint64_t i);

extern uint64_t (*now)(void); /* CLOCK_MONOTONIC_RAW; tests replace it */
int timed_loop(op_fn op, void *arg, uint64_t n, int64_t *elapsed);
void timing_calibrate(struct timing *t, bool icount);
double timing_overhead(const struct timing *t, const struct reading *r);
double timing_value(const struct timing *t, const struct reading *r);
double timing_rate(const struct timing *t, const struct reading *r,
		   uint64_t bytes);
double median(double *v, unsigned int n);

/* ---- rng.c: the order of blocks ---- */

struct rng {
	uint64_t state;
};

uint64_t rng_next(struct rng *r);
void rng_shuffle(struct rng *r, unsigned int *v, unsigned int n);

/* ---- emit.c ---- */

enum emit_file { EMIT_SAMPLES, EMIT_CHECKS, EMIT_CAPABILITY, EMIT_NR };

struct emit;

int emit_open(struct emit **e, const char *dir, const char *stream);
void emit_line(struct emit *e, enum emit_file f, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int emit_flush(struct emit *e);
int emit_env(struct emit *e, json_t *env);
int emit_progress(struct emit *e, unsigned int done, unsigned int total,
		  double eta);
bool emit_any(const struct emit *e);
int emit_finish(struct emit *e, json_t *env, int status);
const char *emit_error(const struct emit *e);
void emit_free(struct emit *e);

struct options;

/* ---- place.c: the CPU of a thread, and the node of what it allocates ---- */

struct place {
	int cpu;
	int memory; /* node of what the thread needs besides: the CPU's, if it has memory */
	int node; /* of the memory that is measured */
};

/* This thread alone; 0 or -errno */
int place_run_on(int cpu);
int place_bind(int node);
int place_enter(const struct place *p, bool own);
int place_leave(const struct options *o);

/* ---- options ---- */

#define MAX_SIZES 32
#define MAX_STEPS 16 /* of threads, to measure with */
#define MAX_THREADS 64
#define MAX_SPIN 1000000 /* as K2U_SPIN_MAX of kmod/spin.c */
#define MAX_FACTS 32

struct options {
	const char *out, *stream, *device, *venue, *run_id;
	const char *config; /* file of the kernel's configuration, or NULL */
	const char *measures, *methods, *providers; /* comma lists; NULL: all */
	const char *backings; /* NULL: all but those of SOURCE_ASKED */
	const char *counters; /* events; NULL: the usual ones */
	uint64_t sizes[MAX_SIZES];
	unsigned int nr_sizes;
	unsigned int threads[MAX_STEPS]; /* measure scale */
	unsigned int nr_threads;
	const char *facts[MAX_FACTS]; /* --env=KEY=VALUE */
	unsigned int nr_facts;
	bool quick, icount, native, seeded;
	uint64_t seed;
	unsigned int boot, blocks;
	unsigned int big_blocks; /* at most blocks: of large buffers */
	int cpu, node;
	const char *
		direct; /* measure capability: O_DIRECT writes go here; or NULL */
	/* --test-spin as given, and taken apart; spin_turns 0: off */
	const char *spin;
	char spin_method[32];
	uint64_t spin_turns;
	char args[512]; /* the command line, for env.json */
};

int parse_size(const char *s, uint64_t *size);
int parse_sizes(const char *list, uint64_t *v, unsigned int *nr);
int parse_threads(const char *list, unsigned int *v, unsigned int *nr);
int parse_number(const char *s, uint64_t max, uint64_t *n);
int parse_spin(const char *s, char *method, size_t len, uint64_t *turns);
bool in_list(const char *list, const char *name);

/* ---- config.c: what can move a figure, of a kernel's configuration ---- */

json_t *config_read(const char *path, char *why, size_t len);

/* ---- env.c ---- */

struct env {
	json_t *root;
	uint64_t started; /* now() */
};

struct run;

int env_place(struct options *o, char *why, size_t len);
/* CPUs that we were allowed when env_place() chose one; the i-th, which it chose the 0th */
unsigned int env_cpus(void);
int env_cpu(const struct options *o, unsigned int i);
bool env_allows(int cpu);
int env_begin(struct run *r);
void env_end(struct run *r, bool complete, const char *error);
int env_fact(json_t *root, const char *fact);
const char *env_hypervisor(const char *signature);

/* ---- runner.c ---- */

/*
 * LINEAR	check time(2N) / time(N)
 * BYTES	not for sources without bytes
 * STORE	replaces the contents: only where they can be replaced
 * SINGLE	n readings of one operation each
 * COUNT	counts, does not time: n is 1
 * OPEN	only for sources that are opened
 * SETTLE	icount: as many turns that are not recorded before each sample
 * FRESH	maps, or has a fresh destination, in every turn
 * SPEED	how fast the bytes come, which a memory type decides: not asked of
 *		others than write-back where the clock counts instructions
 * FIXED	n is fixed() everywhere: an amount of work, not a time
 */
#define PROBE_LINEAR (1u << 0)
#define PROBE_BYTES (1u << 1)
#define PROBE_STORE (1u << 2)
#define PROBE_SINGLE (1u << 3)
#define PROBE_COUNT (1u << 4)
#define PROBE_OPEN (1u << 5)
#define PROBE_SETTLE (1u << 6)
#define PROBE_FRESH (1u << 7)
#define PROBE_SPEED (1u << 8)
#define PROBE_FIXED (1u << 9)

/* FAULTS: in all; COUNT: of anything, per operation; EVENTS: so many per microsecond */
enum unit { UNIT_TIME, UNIT_RATE, UNIT_FAULTS, UNIT_COUNT, UNIT_EVENTS };

struct metric {
	const char *phase, *name;
	enum unit unit;
};

#define MAX_METRICS 8

struct cell;
struct run;

struct probe {
	unsigned int access; /* of the sources that it is for: K2U_ACCESS_* */
	unsigned int flags; /* PROBE_* */
	unsigned int k; /* uses (e2e) */
	const struct place *place; /* optional: else the run's CPU and node */
	const char *reason; /* optional: why it can be had of no source here */
	struct metric metric[MAX_METRICS]; /* up to the first without a name */

	int (*begin)(struct cell *c); /* optional: before the first sample */
	/* required: n batches; out[i] for metric i (PROBE_SINGLE: out[i * n + j]) */
	int (*sample)(struct cell *c, uint64_t n, struct reading *out);
	void (*end)(struct cell *c); /* optional: after the last */
	int (*finish)(struct cell *c); /* optional: checks over all samples */
	/* Optional: whether this machine cannot have it, and why */
	bool (*absent)(const struct run *r, const struct source *s,
		       uint64_t size, char *why, size_t len);
	/* required: n under icount, where it must not depend on timing; SINGLE, FIXED: n */
	uint64_t (*fixed)(const struct run *r, uint64_t size);
};

struct group {
	const char *measure;
	uint64_t size; /* the key size_bytes */
	uint64_t bytes; /* of the buffers */
	unsigned int threads; /* the key threads; group_add() says 1 */
	const struct probe *const *probes;
	unsigned int nr_probes;
	/* Optional: which of the sources that were asked for */
	bool (*wanted)(const struct source *s, const struct options *o);
	/*
	 * Optional: all of the work, instead of buffers, blocks and samples. Such
	 * groups come last, as what they do is no part of what is timed.
	 */
	int (*instead)(struct run *r, const struct group *g);
};

struct cell {
	struct run *run;
	const struct group *group;
	const struct source *src;
	struct buffer *buf;
	const struct probe *probe;
	unsigned int slot; /* its own in the arena, for a use that lasts */
	uint64_t n; /* batches per sample */
	struct use use;
	void *priv;
	double *hist; /* metric x block */
	unsigned int blocks; /* in hist */
	bool seen[MAX_METRICS];
	bool dead; /* an operation failed: no more samples */
	uint64_t sums, bad_sums, want, got; /* consumed check */
};

struct run {
	struct options opt;
	struct sources src;
	struct timing timing;
	struct emit *emit;
	struct env env;
	json_t *config; /* of --config, or NULL */
	struct counters *counters; /* counter.h */
	struct rng rng;
	struct group *groups;
	unsigned int nr_groups;
	unsigned int failed; /* checks of correctness */
	unsigned int unsettled,
		nonlinear; /* marks of quality: steady, linearity */
};

extern volatile sig_atomic_t
	stop_signal; /* set by SIGINT, SIGTERM: stop at the next batch */

int group_add(struct run *r, const char *measure, uint64_t size, uint64_t bytes,
	      const struct probe *const *probes, unsigned int nr);
int run_groups(struct run *r);
void check(const struct cell *c, const struct metric *m, const char *name,
	   const char *expected, const char *got, const char *verdict,
	   const char *note);
void cell_consumed(struct cell *c, uint64_t got, uint64_t want);

/* the K uses of one batch: every phase is timed over all of them */
#define MAX_BATCH 64

struct batch {
	struct use use[MAX_BATCH];
	const struct access_ops *acc;
	unsigned int k;
};

unsigned int batch_uses(const struct run *r, uint64_t size);
void batch_init(struct batch *b, struct cell *c);
int batch_setup(void *arg, uint64_t i);
int batch_touch(void *arg, uint64_t i);
int batch_teardown(void *arg, uint64_t i);
static inline void reading_add(struct reading *r, int64_t elapsed,
			       uint64_t iters, uint64_t loops)
{
	r->elapsed += elapsed;
	r->iters += iters;
	r->clocks++;
	r->loops += loops;
}

/* ---- measure_<name>.c ---- */

struct measure {
	const char *name, *title;
	int (*plan)(struct run *r); /* add its groups */
};

extern const struct measure measures[];
extern const unsigned int nr_measures;

#define K2U_MEASURE(name, title) int measure_##name(struct run *r);
#include "measures.def"
#undef K2U_MEASURE

/* For a measure that takes them somewhere else */
extern const struct probe probe_load, probe_reuse, probe_copy;

unsigned int size_list(const char *list, uint64_t *v);
unsigned int plan_sizes(const struct run *r, uint64_t *v);

#endif /* BENCH_H */

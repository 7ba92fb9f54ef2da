// SPDX-License-Identifier: GPL-2.0
/*
 * stream_tree.c - records from what every kernel has: the BPF ring buffer, the perf
 * ring buffer and that of tracing (stream_trace.c), and what they are held against.
 * relay is none of them: it has no user in the tree that a program can ask for records.
 *
 * A BPF program makes them, run by BPF_PROG_TEST_RUN in the caller's context: of a
 * template in a mapped array it sets seq and the last word, and outputs it.
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bpf.h"
#include "stream.h"

static uint64_t power_of_two(uint64_t n)
{
	uint64_t p = 1;

	while (p < n)
		p *= 2;
	return p;
}

/* ---- the program ---- */

enum output { OUTPUT_RINGBUF, OUTPUT_PERF, OUTPUT_NOTHING };

/* The value of the array: shared with the program, and mapped */
struct control {
	uint64_t dropped;
	uint64_t pad[7];
	uint64_t record[]; /* the template */
};

#define RECORD offsetof(struct control, record)

struct bpf_stream {
	int control_fd, ring_fd, prog_fd, event_fd;
	struct control *control;
	size_t control_len;
	char *ring, *ring2; /* what was mapped */
	size_t ring_len, ring2_len;
	char *data;
	uint64_t mask; /* of the data: bytes - 1 */
	uint64_t made; /* of all that were asked for */
	char *bounce; /* perf: a record that wraps */
};

/* r7: the value, r8: the record's last word; seq is the template's first word */
#define NEXT_SEQ                                                         \
	BPF_LDX_MEM(BPF_DW, 1, 7, RECORD), BPF_ALU64_IMM(BPF_ADD, 1, 1), \
		BPF_STX_MEM(BPF_DW, 7, 1, RECORD),                       \
		BPF_STX_MEM(BPF_DW, 8, 1, 0)

/* r0: what the output returned; not 0: there was no room */
#define COUNT_DROPS                                                         \
	BPF_JMP_IMM(BPF_JEQ, 0, 0, 3), BPF_LDX_MEM(BPF_DW, 1, 7, 0),        \
		BPF_ALU64_IMM(BPF_ADD, 1, 1), BPF_STX_MEM(BPF_DW, 7, 1, 0), \
		BPF_MOV64_IMM(0, 0), BPF_EXIT_INSN()

static int load(const struct bpf_insn *insn, unsigned int nr)
{
	return bpf_program(BPF_PROG_TYPE_SCHED_CLS, 0, insn, nr);
}

static int load_program(struct bpf_stream *p, const struct stream *s,
			enum output to)
{
	const size_t size = s->record_size, last = RECORD + size - 8;
	const int control = p->control_fd;
	const struct bpf_insn ringbuf[] = {
		BPF_LD_MAP_VALUE(7, control, 0),
		BPF_LD_MAP_VALUE(8, control, last),
		NEXT_SEQ,
		BPF_LD_MAP_FD(1, p->ring_fd),
		BPF_MOV64_REG(2, 7),
		BPF_ALU64_IMM(BPF_ADD, 2, RECORD),
		BPF_MOV64_IMM(3, size),
		/* Where nobody waits, nobody is woken */
		BPF_MOV64_IMM(4, s->sleeps ? 0 : BPF_RB_NO_WAKEUP),
		BPF_EMIT_CALL(ringbuf_output),
		COUNT_DROPS,
	};
	const struct bpf_insn perf[] = {
		BPF_MOV64_REG(6, 1),
		BPF_LD_MAP_VALUE(7, control, 0),
		BPF_LD_MAP_VALUE(8, control, last),
		NEXT_SEQ,
		BPF_MOV64_REG(1, 6),
		BPF_LD_MAP_FD(2, p->ring_fd),
		BPF_MOV64_IMM(3, 0), /* the index in the map */
		BPF_MOV64_REG(4, 7),
		BPF_ALU64_IMM(BPF_ADD, 4, RECORD),
		BPF_MOV64_IMM(5, size),
		BPF_EMIT_CALL(perf_event_output),
		COUNT_DROPS,
	};
	const struct bpf_insn nothing[] = {
		BPF_LD_MAP_VALUE(7, control, 0),
		BPF_LD_MAP_VALUE(8, control, last),
		NEXT_SEQ,
		BPF_MOV64_IMM(0, 0),
		COUNT_DROPS,
	};

	p->prog_fd = to == OUTPUT_RINGBUF ? load(ringbuf, ARRAY_SIZE(ringbuf)) :
		     to == OUTPUT_PERF	  ? load(perf, ARRAY_SIZE(perf)) :
					    load(nothing, ARRAY_SIZE(nothing));
	return p->prog_fd < 0 ? p->prog_fd : 0;
}

static int bpf_produce(struct stream *s, uint64_t n, uint64_t stamp)
{
	struct bpf_stream *p = s->priv;
	volatile uint64_t *record = p->control->record;
	static char packet[64]; /* the program is of packets: it needs one */
	union bpf_attr attr;
	int err = 0;

	record[1] = stamp;
	p->made += n;
	/* A signal ends it early: the template says how far it came */
	do {
		memset(&attr, 0, sizeof(attr));
		attr.test.prog_fd = p->prog_fd;
		attr.test.data_in = (uintptr_t)packet;
		attr.test.data_size_in = sizeof(packet);
		attr.test.repeat = p->made - (record[0] + 1);
		err = bpf_call(BPF_PROG_TEST_RUN, &attr) ? errno : 0;
	} while (err == EINTR && record[0] + 1 != p->made);
	return err == EINTR ? 0 : -err;
}

static int bpf_dropped(struct stream *s, uint64_t *dropped)
{
	const struct bpf_stream *p = s->priv;

	*dropped = *(const volatile uint64_t *)&p->control->dropped;
	return 0;
}

static int bpf_wait(struct stream *s, int timeout_ms)
{
	const struct bpf_stream *p = s->priv;

	return stream_poll(p->event_fd >= 0 ? p->event_fd : p->ring_fd,
			   timeout_ms);
}

static void unmap(void *p, size_t len)
{
	if (p && p != MAP_FAILED)
		munmap(p, len);
}

static void bpf_close(struct stream *s)
{
	struct bpf_stream *p = s->priv;
	const int fd[] = { p->prog_fd, p->ring_fd, p->event_fd, p->control_fd };
	unsigned int i;

	unmap(p->control, p->control_len);
	unmap(p->ring, p->ring_len);
	unmap(p->ring2, p->ring2_len);
	for (i = 0; i < ARRAY_SIZE(fd); i++)
		if (fd[i] >= 0)
			close(fd[i]);
	free(p->bounce);
	free(p);
	s->priv = NULL;
}

/* The template and the program; ring() makes what it outputs to */
static int bpf_open(struct stream *s, enum output to,
		    int (*ring)(struct stream *s, struct bpf_stream *p))
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	const size_t value = RECORD + s->record_size;
	struct bpf_stream *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	s->priv = p;
	p->ring_fd = p->prog_fd = p->event_fd = -1;
	/* Before 5.11, BPF memory counts against it */
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	p->control_fd =
		bpf_map(BPF_MAP_TYPE_ARRAY, 4, value, 1, BPF_F_MMAPABLE);
	err = p->control_fd < 0 ? p->control_fd : 0;
	if (!err) {
		p->control_len = (value + page_bytes() - 1) / page_bytes() *
				 page_bytes();
		p->control = mmap(NULL, p->control_len, PROT_READ | PROT_WRITE,
				  MAP_SHARED, p->control_fd, 0);
		err = p->control == MAP_FAILED ? -errno : 0;
	}
	if (!err) {
		record_template(p->control->record, s->record_size, s->seed);
		p->control->record[0] = -1ULL; /* it is incremented first */
	}
	if (!err && ring)
		err = ring(s, p);
	if (!err)
		err = load_program(p, s, to);
	if (err)
		bpf_close(s);
	return err;
}

#define BPF_NEEDS "needs CONFIG_BPF_SYSCALL and CONFIG_PERF_EVENTS, Linux 5.8"

/* ---- BPF ring buffer ---- */

#define RINGBUF_HEAD BPF_RINGBUF_HDR_SZ

static int ringbuf_make(struct stream *s, struct bpf_stream *p)
{
	const size_t page = page_bytes();
	uint64_t bytes =
		power_of_two(s->slots * (s->record_size + RINGBUF_HEAD));

	if (bytes < page)
		bytes = page;
	p->mask = bytes - 1;
	p->ring_fd = bpf_map(BPF_MAP_TYPE_RINGBUF, 0, 0, bytes, 0);
	if (p->ring_fd < 0)
		return p->ring_fd;
	p->ring_len = page;
	p->ring = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED,
		       p->ring_fd, 0);
	/* Its data are there twice in a row: nothing wraps */
	p->ring2_len = page + 2 * bytes;
	p->ring2 = mmap(NULL, p->ring2_len, PROT_READ, MAP_SHARED, p->ring_fd,
			page);
	p->data = p->ring2 + page;
	return p->ring == MAP_FAILED || p->ring2 == MAP_FAILED ? -errno : 0;
}

static int ringbuf_open(struct stream *s)
{
	return bpf_open(s, OUTPUT_RINGBUF, ringbuf_make);
}

static int64_t ringbuf_consume(struct stream *s, uint64_t max)
{
	struct bpf_stream *p = s->priv;
	unsigned long *consumer = (void *)p->ring, at = *consumer;
	const unsigned long *producer = (void *)p->ring2;
	unsigned long end = __atomic_load_n(producer, __ATOMIC_ACQUIRE);
	int64_t n = 0;

	while (at < end && n < (int64_t)max) {
		const char *record = p->data + (at & p->mask);
		uint32_t len = __atomic_load_n((const uint32_t *)record,
					       __ATOMIC_ACQUIRE);

		if (len & BPF_RINGBUF_BUSY_BIT)
			break;
		tally_record(&s->tally, record + RINGBUF_HEAD, s->record_size);
		at += (len + RINGBUF_HEAD + 7) / 8 * 8;
		n++;
	}
	if (n)
		__atomic_store_n(consumer, at, __ATOMIC_RELEASE);
	return n;
}

static const struct stream_ops ringbuf_ops = {
	.open = ringbuf_open,
	.close = bpf_close,
	.produce = bpf_produce,
	.consume = ringbuf_consume,
	.wait = bpf_wait,
	.dropped = bpf_dropped,
	.needs = BPF_NEEDS,
};

/* ---- perf ring buffer ---- */

/* A record: its head, the size of what follows, and padding to 8 */
#define PERF_HEAD (sizeof(struct perf_event_header) + 4)

static int perf_make(struct stream *s, struct bpf_stream *p)
{
	const size_t page = page_bytes();
	uint64_t bytes =
		power_of_two(s->slots * (s->record_size + PERF_HEAD + 4));
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_BPF_OUTPUT,
		.size = sizeof(attr),
		.sample_type = PERF_SAMPLE_RAW,
		.sample_period = 1,
		.wakeup_events = 1,
	};
	const uint32_t key = 0;

	if (bytes < page)
		bytes = page;
	if (!s->sleeps) {
		attr.watermark = 1;
		attr.wakeup_watermark = bytes;
	}
	p->mask = bytes - 1;
	p->bounce = malloc(s->record_size);
	p->event_fd = syscall(SYS_perf_event_open, &attr, -1, s->cpu, -1,
			      PERF_FLAG_FD_CLOEXEC);
	if (!p->bounce || p->event_fd < 0)
		return p->bounce ? -errno : -ENOMEM;
	p->ring_len = page + bytes;
	/* Before 6.14 its pages come by faults, which are no cost of records */
	p->ring = mmap(NULL, p->ring_len, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_POPULATE, p->event_fd, 0);
	if (p->ring == MAP_FAILED)
		return -errno;
	p->data = p->ring + page;
	p->ring_fd = bpf_map(BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 1, 0);
	return p->ring_fd < 0 ? p->ring_fd :
				bpf_map_put(p->ring_fd, &key, &p->event_fd);
}

static int perf_open(struct stream *s)
{
	return bpf_open(s, OUTPUT_PERF, perf_make);
}

/* Of size bytes at a place of the ring; copied only where they wrap */
static const char *perf_at(const struct bpf_stream *p, uint64_t at, size_t size)
{
	size_t first = p->mask + 1 - (at & p->mask);

	if (first >= size)
		return p->data + (at & p->mask);
	memcpy(p->bounce, p->data + (at & p->mask), first);
	memcpy(p->bounce + first, p->data, size - first);
	return p->bounce;
}

static int64_t perf_consume(struct stream *s, uint64_t max)
{
	struct bpf_stream *p = s->priv;
	struct perf_event_mmap_page *page = (void *)p->ring;
	uint64_t end = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);
	uint64_t at = page->data_tail;
	int64_t n = 0;

	while (at < end && n < (int64_t)max) {
		/* Aligned to 8, as it is: it does not wrap */
		const struct perf_event_header *head =
			(void *)(p->data + (at & p->mask));

		/* Others say that records were lost, which seq does, too */
		if (head->type == PERF_RECORD_SAMPLE) {
			tally_record(&s->tally,
				     perf_at(p, at + PERF_HEAD, s->record_size),
				     s->record_size);
			n++;
		}
		at += head->size;
	}
	__atomic_store_n(&page->data_tail, at, __ATOMIC_RELEASE);
	return n;
}

static bool perf_refuse(size_t record_size, char *why, size_t len)
{
	if (record_size + PERF_HEAD + 4 <= UINT16_MAX)
		return false;
	snprintf(
		why, len,
		"the size of a perf record is of 16 bits (struct perf_event_header)");
	return true;
}

static const struct stream_ops perf_ops = {
	.open = perf_open,
	.close = bpf_close,
	.produce = bpf_produce,
	.consume = perf_consume,
	.wait = bpf_wait,
	.dropped = bpf_dropped,
	.refuse = perf_refuse,
	.needs = BPF_NEEDS,
};

/* ---- baselines ---- */

static int nothing_open(struct stream *s)
{
	return bpf_open(s, OUTPUT_NOTHING, NULL);
}

static int64_t nothing_consume(struct stream *s, uint64_t max)
{
	return 0;
}

static const struct stream_ops nothing_ops = {
	.open = nothing_open,
	.close = bpf_close,
	.produce = bpf_produce,
	.consume = nothing_consume,
	.dropped = bpf_dropped,
	.needs = BPF_NEEDS,
};

/* One record in a cache line, and a word in another that says it was taken */
struct flag {
	uint64_t record[8];
	uint64_t taken; /* seq of the next one that is wanted */
	uint64_t pad[7];
	uint64_t made, put,
		dropped; /* the producer's own; put: seq after the last */
};

static int flag_open(struct stream *s)
{
	struct flag *f = aligned_alloc(64, 3 * 64);

	s->priv = f;
	if (!f)
		return -ENOMEM;
	memset(f, 0, sizeof(*f));
	record_template(f->record, sizeof(f->record), s->seed);
	f->record[0] = -1ULL;
	return 0;
}

static void flag_close(struct stream *s)
{
	free(s->priv);
	s->priv = NULL;
}

static int flag_produce(struct stream *s, uint64_t n, uint64_t stamp)
{
	struct flag *f = s->priv;

	for (; n; n--) {
		const uint64_t seq = f->made++;

		if (__atomic_load_n(&f->taken, __ATOMIC_ACQUIRE) != f->put) {
			f->dropped++;
			continue;
		}
		f->put = seq + 1;
		f->record[1] = stamp;
		f->record[7] = seq;
		__atomic_store_n(&f->record[0], seq, __ATOMIC_RELEASE);
	}
	return 0;
}

static int64_t flag_consume(struct stream *s, uint64_t max)
{
	struct flag *f = s->priv;
	uint64_t seq = __atomic_load_n(&f->record[0], __ATOMIC_ACQUIRE);

	if (seq == s->tally.next - 1)
		return 0;
	tally_record(&s->tally, (const char *)f->record, sizeof(f->record));
	__atomic_store_n(&f->taken, seq + 1, __ATOMIC_RELEASE);
	return 1;
}

static int flag_dropped(struct stream *s, uint64_t *dropped)
{
	*dropped = ((const struct flag *)s->priv)->dropped;
	return 0;
}

static bool flag_refuse(size_t record_size, char *why, size_t len)
{
	if (record_size == 64)
		return false;
	snprintf(why, len, "a flag is one cache line");
	return true;
}

static const struct stream_ops flag_ops = {
	.open = flag_open,
	.close = flag_close,
	.produce = flag_produce,
	.consume = flag_consume,
	.dropped = flag_dropped,
	.refuse = flag_refuse,
	.needs = "out of memory",
};

/* ---- rows ---- */

static const struct source rows[] = {
	{
		.method = "ring",
		.backing = "bpf-ringbuf",
		.access = ACCESS_STREAM,
		.stream = &ringbuf_ops,
		.via = "bpf_ringbuf_output() of a program run by BPF_PROG_TEST_RUN",
	},
	{
		.method = "ring",
		.backing = "perf-ring",
		.access = ACCESS_STREAM,
		.stream = &perf_ops,
		.via = "bpf_perf_event_output() of a program run by BPF_PROG_TEST_RUN",
	},
	{
		.method = "stream_read",
		.backing = "trace-pipe",
		.access = ACCESS_STREAM,
		.stream = &stream_trace_ops,
		.via = "trace_marker_raw: a write() for each record, copied from user space; trace_pipe_raw: read() of a page",
	},
	{
		.method = "null",
		.backing = "bpf-run",
		.access = ACCESS_STREAM_NULL,
		.flags = SOURCE_NULL,
		.stream = &nothing_ops,
		.via = "BPF_PROG_TEST_RUN of the same program without output",
	},
	{
		.method = "null",
		.backing = "timerfd",
		.access = ACCESS_STREAM_TIMER,
		.flags = SOURCE_NULL,
		.stream = &stream_timerfd_ops,
		.via = "read() of a timerfd: how often it expired",
	},
	{
		.method = "flag",
		.backing = "shm",
		.access = ACCESS_STREAM_FLAG,
		.stream = &flag_ops,
		.via = "a cache line that two threads share: no kernel",
	},
};

/* A row is there if its ring can be made, and a record comes through */
static void probe(struct source *v)
{
	struct stream s = { .src = v, .record_size = 64, .slots = 2, .seed = 1 };
	const struct stream_ops *ops = v->stream;
	const char *what = "making it";
	sigset_t all, signals;
	cpu_set_t cpus;
	int err;

	/* A ring of one CPU has what is produced there; close() has something to clear up */
	s.cpu = sched_getcpu();
	sched_getaffinity(0, sizeof(cpus), &cpus);
	place_run_on(s.cpu);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &signals);
	err = ops->open(&s);
	if (!err) {
		what = "producing a record";
		err = ops->produce(&s, 1, 0);
		if (!err && ops->consume(&s, 1) != 1 &&
		    !(v->flags & SOURCE_NULL))
			err = -ENODATA;
		ops->close(&s);
	}
	sigprocmask(SIG_SETMASK, &signals, NULL);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	if (err)
		snprintf(v->reason, sizeof(v->reason), "%s: %s (%s)", what,
			 strerror(-err),
			 err == -EPERM || err == -EACCES ? "run as root" :
							   ops->needs);
}

int stream_tree(struct sources *s)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct source *v = source_add(s, &rows[i]);

		if (!v)
			return -ENOMEM;
		v->provider = "tree";
		v->cache = "wb";
		v->ops = &stream_source;
		if (source_available(v))
			probe(v);
	}
	return 0;
}

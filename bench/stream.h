/* SPDX-License-Identifier: GPL-2.0 */
/*
 * stream.h - a kernel that keeps producing records, and user space that consumes
 * them. The records of all sources are those of struct k2u_record (k2u.h): seq and
 * stamp, the words of the pattern, seq again in the last word.
 */
#ifndef STREAM_H
#define STREAM_H

#include <string.h>

#include "bench.h"

/* What a consumer has seen. It reads every word of every record */
struct tally {
	uint64_t records;
	uint64_t gaps; /* records that were never seen: by their seq */
	uint64_t torn; /* bits in which the last word is not seq */
	uint64_t sum; /* of all words */
	uint64_t heads; /* of seq, stamp and the last word */
	uint64_t next; /* seq of the next record */
	uint64_t stamp; /* of the last record */
};

struct stream {
	const struct source *src;
	size_t record_size; /* bytes, head and last word included */
	size_t slots; /* it must have room for, at least */
	uint64_t seed; /* of the words between */
	int cpu; /* records are produced here */
	bool sleeps; /* its consumer waits for wake-ups */
	uint32_t period_ns; /* of a timer that produces; 0: produce() does */
	struct tally tally;
	void *priv; /* the source's own */
};

struct stream_ops {
	/* An empty ring; and its end */
	int (*open)(struct stream *s);
	void (*close)(struct stream *s);
	/* n records, in the caller's context; sees to what comes next if they are dropped */
	int (*produce)(struct stream *s, uint64_t n, uint64_t stamp);
	/*
	 * ACCESS_STREAM_TIMER: n records from a timer of this CPU, one each period_ns,
	 * the first at due (ns, CLOCK_MONOTONIC), which is its stamp; 0 of them end it.
	 * With room for n each expiry gives one at least
	 */
	int (*arm)(struct stream *s, uint64_t n, uint64_t due);
	/* Up to max records, which go into s->tally; how many */
	int64_t (*consume)(struct stream *s, uint64_t max);
	/* Until there is a record; 0: there is none yet */
	int (*wait)(struct stream *s, int timeout_ms);
	/* Of all that were asked for, how many found no room */
	int (*dropped)(struct stream *s, uint64_t *dropped);
	/* Optional: how often the source woke who waited */
	int (*wakeups)(struct stream *s, uint64_t *wakeups);
	/* Optional: whether there are no such records, and why */
	bool (*refuse)(size_t record_size, char *why, size_t len);
	/* What is wanting where open() fails, but for privileges */
	const char *needs;
};

/* The sources of records; provider_k2u() and provider_tree() were asked before */
int streams_probe(struct sources *s, const char *device);
int stream_k2u(struct sources *s, const char *device);
int stream_tree(struct sources *s);

extern const struct source_ops stream_source;
extern const struct stream_ops stream_trace_ops, stream_timerfd_ops;

/* ---- what is made, what is seen ---- */

static inline uint64_t stream_word(const char *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof(w)); /* perf aligns to 4 */
	return w;
}

static inline void tally_record(struct tally *t, const char *p, size_t size)
{
	const uint64_t seq = stream_word(p), last = stream_word(p + size - 8);

	t->sum += consume(p, size);
	t->stamp = stream_word(p + 8);
	t->heads += seq + t->stamp + last;
	t->torn |= seq ^ last;
	t->gaps += seq - t->next;
	t->next = seq + 1;
	t->records++;
}

/* A CPU that this process may use besides cpu: its SMT sibling, or none such; or -1 */
int stream_cpu(int cpu, bool sibling);
bool cpu_in_list(const char *list, int cpu);

/* Until fd is readable; 0: it is not yet */
int stream_poll(int fd, int timeout_ms);

void record_template(void *record, size_t size, uint64_t seed);
uint64_t record_body(size_t size, uint64_t seed);

#endif /* STREAM_H */

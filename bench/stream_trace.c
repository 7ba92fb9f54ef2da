// SPDX-License-Identifier: GPL-2.0
/*
 * stream_trace.c - records in the ring buffer of tracing: written to trace_marker_raw,
 * read as its pages are from trace_pipe_raw.
 *
 * An instance of tracefs for each stream, so that the machine's own tracing goes on
 * untouched; it is gone when the stream is. Where a page has its fields tracefs says;
 * pages are taken apart here by hand, as libtraceevent would for more than one event.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "stream.h"

/* include/linux/ring_buffer.h, enum ring_buffer_type: never changed, and compared below */
#define EVENT_LONG 0u /* the first word is the length, its own included */
#define EVENT_LEN_MAX 28u /* up to it: words of data */
#define EVENT_PADDING 29u
#define EVENT_TIME_EXTEND 30u
#define EVENT_TIME_STAMP 31u
#define EVENT_TYPE(head) ((head)&31) /* type_len:5, time_delta:27 */
static const char *const event_format[] = {
	"padding     : type == 29",
	"time_extend : type == 30",
	"time_stamp : type == 31",
	"data max type_len  == 28",
};

/* Of the commit word: the flags of a page before which events were lost */
#define COMMIT_BYTES 0x3fffffffu

/* What tracing_mark_raw_write() cuts a write to, before Linux 6.8 (TRACE_BUF_SIZE) */
#define MARKER_MAX KIB
#define SLACK 24 /* of an event besides its record, at most */

struct trace_stream {
	int tracefs, dir; /* all of it, and the instance */
	char name[48]; /* of the instance, in tracefs; empty: none */
	int marker, pipe, stats;
	unsigned int commit, data,
		page_len; /* offsets in a page, and its end */
	unsigned int type,
		id; /* of a raw_data event: its number, where its id is */
	/* The producer's */
	uint64_t *record __attribute__((aligned(64)));
	uint64_t made; /* of all that were asked for */
	/* The consumer's: a page, and the events of it that are still to be seen */
	char *page __attribute__((aligned(64)));
	const char *at, *end;
};

static uint32_t half(const char *p)
{
	uint32_t w;

	memcpy(&w, p, sizeof(w));
	return w;
}

/* ---- tracefs ---- */

static bool is_tracefs(int fd)
{
	struct statfs fs;

	return fd >= 0 && !fstatfs(fd, &fs) && fs.f_type == TRACEFS_MAGIC;
}

/* Of this process alone, which no path leads to */
static int tracefs_mount(void)
{
	int fs = syscall(SYS_fsopen, "tracefs", FSOPEN_CLOEXEC);
	int mount = -1, err;

	if (fs < 0)
		return -errno;
	if (!syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		mount = syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
				MOUNT_ATTR_NOEXEC);
	err = errno;
	close(fs);
	return mount < 0 ? -err : mount;
}

/*
 * A mount that is there comes first: before Linux 6.0 another one resets its options.
 * Not that in debugfs: looking for it would make one, and newer kernels log that.
 */
static int tracefs_open(void)
{
	int fd =
		open("/sys/kernel/tracing", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (is_tracefs(fd))
		return fd;
	if (fd >= 0)
		close(fd);
	return tracefs_mount();
}

static int text_get(int dir, const char *path, char *text, size_t len)
{
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, len - 1);
	int err = n < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	text[n < 0 ? 0 : n] = '\0';
	return err;
}

static int text_put(int dir, const char *path, const char *text)
{
	int fd = openat(dir, path, O_WRONLY | O_CLOEXEC);
	int err = fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return err;
}

/* The number after a word of text */
static bool number(const char *text, const char *word, unsigned long *value)
{
	const char *at = strstr(text, word);

	return at && sscanf(at + strlen(word), "%lu", value) == 1;
}

/* A line "field: <type> <name>;	offset:<n>;	size:<n>;" */
static bool field(const char *text, const char *name, unsigned int *offset,
		  unsigned int *size)
{
	const char *at = strstr(text, name);

	return at && sscanf(at + strlen(name), "; offset:%u; size:%u", offset,
			    size) == 2;
}

static int formats_get(struct trace_stream *p)
{
	char text[2048];
	unsigned long type;
	unsigned int i, size;
	int err = text_get(p->dir, "events/header_page", text, sizeof(text));

	if (err)
		return err;
	if (!field(text, " commit", &p->commit, &size) ||
	    !field(text, " data", &p->data, &size))
		return -EPROTO;
	p->page_len = p->data + size;
	err = text_get(p->dir, "events/header_event", text, sizeof(text));
	for (i = 0; i < ARRAY_SIZE(event_format) && !err; i++)
		err = strstr(text, event_format[i]) ? 0 : -EPROTO;
	if (!err)
		err = text_get(p->tracefs, "events/ftrace/raw_data/format",
			       text, sizeof(text));
	if (!err && (!number(text, "ID: ", &type) ||
		     !field(text, " id", &p->id, &size)))
		err = -EPROTO;
	p->type = type;
	return err;
}

/* ---- an instance ---- */

/* What processes that were killed have left; none is removed that is in use */
static void instances_sweep(int tracefs)
{
	int fd = openat(tracefs, "instances",
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	int pid;

	while (dir && (entry = readdir(dir)))
		if (sscanf(entry->d_name, "k2u-%d-", &pid) == 1 && pid > 0 &&
		    (pid == getpid() || (kill(pid, 0) && errno == ESRCH)))
			unlinkat(fd, entry->d_name, AT_REMOVEDIR);
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
}

static int instance_make(struct trace_stream *p)
{
	static unsigned int nr; /* streams are opened by one thread */

	if (!nr)
		instances_sweep(p->tracefs);
	snprintf(p->name, sizeof(p->name), "instances/k2u-%d-%u", getpid(),
		 nr++);
	if (mkdirat(p->tracefs, p->name, 0700)) {
		p->name[0] = '\0';
		return -errno;
	}
	p->dir =
		openat(p->tracefs, p->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return p->dir < 0 ? -errno : 0;
}

/* Full, it drops what comes, and a waiter is woken by one event */
static int instance_set(struct stream *s, struct trace_stream *p)
{
	const size_t events =
		(p->page_len - p->data) / (s->record_size + SLACK);
	char kb[24];
	int err;

	/* One page more: the one that is being read is full until all of it was */
	snprintf(kb, sizeof(kb), "%zu",
		 ((s->slots + events - 1) / events + 1) * p->page_len / KIB);
	err = text_put(p->dir, "options/overwrite", "0");
	if (!err)
		err = text_put(p->dir, "buffer_percent", "0");
	return err ? err : text_put(p->dir, "buffer_size_kb", kb);
}

static int cpu_file(const struct stream *s, const char *name, int flags)
{
	const struct trace_stream *p = s->priv;
	char path[64];

	snprintf(path, sizeof(path), "per_cpu/cpu%d/%s", s->cpu, name);
	return openat(p->dir, path, flags | O_CLOEXEC);
}

static void trace_close(struct stream *s)
{
	struct trace_stream *p = s->priv;
	const int fd[] = { p->marker, p->pipe, p->stats, p->dir };
	unsigned int i;

	/* An instance whose files are open stays */
	for (i = 0; i < ARRAY_SIZE(fd); i++)
		if (fd[i] >= 0)
			close(fd[i]);
	if (p->name[0] && unlinkat(p->tracefs, p->name, AT_REMOVEDIR))
		fprintf(stderr, "k2u-bench: tracefs: %s stays: %m\n", p->name);
	if (p->tracefs >= 0)
		close(p->tracefs);
	free(p->record);
	free(p->page);
	free(p);
	s->priv = NULL;
}

static int trace_make(struct stream *s, struct trace_stream *p)
{
	int err;

	p->tracefs = tracefs_open();
	if (p->tracefs < 0)
		return p->tracefs;
	err = instance_make(p);
	if (!err)
		err = formats_get(p);
	if (!err)
		err = instance_set(s, p);
	if (err)
		return err;
	p->marker = openat(p->dir, "trace_marker_raw", O_WRONLY | O_CLOEXEC);
	p->pipe = cpu_file(s, "trace_pipe_raw", O_RDONLY | O_NONBLOCK);
	p->stats = cpu_file(s, "stats", O_RDONLY);
	if (p->marker < 0 || p->pipe < 0 || p->stats < 0)
		return -errno;
	p->record = malloc(s->record_size);
	p->page = aligned_alloc(64, (p->page_len + 63) / 64 * 64);
	if (!p->record || !p->page)
		return -ENOMEM;
	/* No page is touched first by a record */
	record_template(p->record, s->record_size, s->seed);
	memset(p->page, 0, p->page_len);
	return 0;
}

static int trace_open(struct stream *s)
{
	struct trace_stream *p = aligned_alloc(64, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	memset(p, 0, sizeof(*p));
	s->priv = p;
	p->tracefs = p->dir = p->marker = p->pipe = p->stats = -1;
	err = trace_make(s, p);
	if (err)
		trace_close(s);
	return err;
}

/* ---- records ---- */

/*
 * An event's data are the record: its first half word is the tag that each write to
 * trace_marker_raw begins with.
 */
static int trace_produce(struct stream *s, uint64_t n, uint64_t stamp)
{
	struct trace_stream *p = s->priv;
	const size_t size = s->record_size;
	ssize_t put;

	p->record[1] = stamp;
	for (; n; n--) {
		p->record[0] = p->record[size / 8 - 1] = p->made++;
		put = write(p->marker, p->record, size);
		/* EBADF: there was no room, which the kernel counts */
		if (put != (ssize_t)size && (put >= 0 || errno != EBADF))
			return put < 0 ? -errno : -EMSGSIZE;
	}
	return 0;
}

/* The next page, if events are there; it ends where the producer is */
static int page_read(struct trace_stream *p)
{
	ssize_t n = read(p->pipe, p->page, p->page_len);
	uint32_t bytes;

	if (n <= 0)
		return !n || errno == EAGAIN || errno == EINTR ? 0 : -errno;
	bytes = half(p->page + p->commit) & COMMIT_BYTES;
	if (n != (ssize_t)p->page_len || bytes > p->page_len - p->data)
		return -EPROTO;
	p->at = p->page + p->data;
	p->end = p->at + bytes;
	return 1;
}

/* The data of the next event of the page, NULL where it is none of data; p->at goes on */
static const char *event_next(struct trace_stream *p, size_t *len)
{
	const char *data = p->at + 4;
	const uint32_t head = half(p->at), type = EVENT_TYPE(head);

	*len = type * 4;
	switch (type) {
	case EVENT_TIME_EXTEND:
	case EVENT_TIME_STAMP:
		p->at = data + 4;
		return NULL;
	case EVENT_PADDING:
		/* Without a time: nothing more in this page */
		p->at = head >> 5 ? data + half(data) : p->end;
		return NULL;
	case EVENT_LONG:
		*len = half(data) - 4;
		data += 4;
	}
	p->at = data + *len;
	return data;
}

static int64_t trace_consume(struct stream *s, uint64_t max)
{
	struct trace_stream *p = s->priv;
	const size_t size = s->record_size;
	int64_t n = 0, err;
	const char *data;
	uint16_t type;
	size_t len;

	while (n < (int64_t)max) {
		if (p->at == p->end) {
			err = page_read(p);
			if (err <= 0)
				return err ? err : n;
			continue;
		}
		data = event_next(p, &len);
		if (p->at > p->end)
			return -EPROTO;
		if (!data)
			continue;
		memcpy(&type, data, sizeof(type)); /* of struct trace_entry */
		if (type != p->type)
			continue;
		if (len < p->id + size)
			return -EPROTO;
		tally_record(&s->tally, data + p->id, size);
		n++;
	}
	return n;
}

static int trace_wait(struct stream *s, int timeout_ms)
{
	return stream_poll(((const struct trace_stream *)s->priv)->pipe,
			   timeout_ms);
}

/* By the kernel's own count */
static int trace_dropped(struct stream *s, uint64_t *dropped)
{
	static const char *const counts[] = {
		"\noverrun: ", "\ncommit overrun: ", "\ndropped events: "
	};
	const struct trace_stream *p = s->priv;
	char text[512];
	ssize_t n = pread(p->stats, text, sizeof(text) - 1, 0);
	unsigned long value;
	unsigned int i;

	if (n < 0)
		return -errno;
	text[n] = '\0';
	for (*dropped = 0, i = 0; i < ARRAY_SIZE(counts); i++) {
		if (!number(text, counts[i], &value))
			return -EPROTO;
		*dropped += value;
	}
	return 0;
}

static bool trace_refuse(size_t record_size, char *why, size_t len)
{
	if (record_size <= MARKER_MAX)
		return false;
	snprintf(
		why, len,
		"trace_marker_raw takes a page at most and before Linux 6.8 1 KiB (tracing_mark_raw_write())");
	return true;
}

const struct stream_ops stream_trace_ops = {
	.open = trace_open,
	.close = trace_close,
	.produce = trace_produce,
	.consume = trace_consume,
	.wait = trace_wait,
	.dropped = trace_dropped,
	.refuse = trace_refuse,
	.needs =
		"needs CONFIG_TRACING and an instance in tracefs: mount -t tracefs nodev /sys/kernel/tracing",
};

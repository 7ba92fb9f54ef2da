// SPDX-License-Identifier: GPL-2.0
/*
 * emit.c - where results go (results/SCHEMA.md).
 *
 * Lines gather in memory while something is timed and are written and synced
 * by emit_flush(), between groups. A directory gets <file>.partial, which is
 * renamed when it is whole. A stream, such as a guest's serial port, gets every
 * line with the file's name and a tab ahead of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"

#define KEYS "measure,provider,method,backing,cache,size_bytes,"

static const struct {
	const char *name, *header;
	bool optional; /* there is none without rows */
} files[EMIT_NR] = {
	[EMIT_SAMPLES] = { "samples.csv", KEYS
			   "threads,boot,phase,metric,unit,block,sample,iters,overhead,value" },
	[EMIT_CHECKS] = { "checks.csv", KEYS
			  "boot,phase,metric,check,expected,got,verdict,note" },
	/* Only where that is measured */
	[EMIT_CAPABILITY] = { "capability.csv",
			      "provider,method,backing,size_bytes,boot,property,value,detail",
			      .optional = true },
};

struct emit {
	char *dir; /* NULL: a stream */
	int dirfd;
	int fd[EMIT_NR]; /* a stream: all the same */
	FILE *mem[EMIT_NR];
	char *buf[EMIT_NR];
	size_t len[EMIT_NR];
	unsigned long lines[EMIT_NR]; /* written, header included */
	unsigned long pending[EMIT_NR];
	int err; /* the first; nothing is written after it */
	char error[512];
};

static int fail(struct emit *e, int err, const char *what)
{
	unsigned long kept = 0;
	int i;

	if (e->err)
		return e->err;
	for (i = 0; i < EMIT_NR; i++)
		kept += e->lines[i];
	snprintf(e->error, sizeof(e->error), "%s%s%s: %s%s",
		 e->dir ? e->dir : "", e->dir ? "/" : "", what, strerror(-err),
		 err == -ENOSPC ? ": free some space, or choose another place" :
				  "");
	if (kept)
		snprintf(
			e->error + strlen(e->error),
			sizeof(e->error) - strlen(e->error),
			" (kept: %lu lines of samples.csv and %lu of checks.csv)",
			e->lines[EMIT_SAMPLES], e->lines[EMIT_CHECKS]);
	return e->err = err;
}

const char *emit_error(const struct emit *e)
{
	return e->error;
}

static int write_all(int fd, const char *p, size_t len, size_t *done)
{
	ssize_t n;

	for (*done = 0; *done < len; *done += n) {
		n = write(fd, p + *done, len - *done);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n < 0)
			return -errno;
	}
	return 0;
}

static int sync_fd(int fd)
{
	/* A serial port and a pipe have nothing to sync */
	return fsync(fd) && errno != EINVAL && errno != EROFS &&
			       errno != ENOTTY ?
		       -errno :
		       0;
}

static int mem_reset(struct emit *e, int f)
{
	if (e->mem[f])
		fclose(e->mem[f]);
	free(e->buf[f]);
	e->buf[f] = NULL;
	e->pending[f] = 0;
	e->mem[f] = open_memstream(&e->buf[f], &e->len[f]);
	return e->mem[f] ? 0 : -ENOMEM;
}

static void partial_name(char *name, size_t len, int f)
{
	snprintf(name, len, "%s.partial", files[f].name);
}

static int make_dir(const char *path)
{
	char *copy = strdup(path), *p;
	int err = 0;

	if (!copy)
		return -ENOMEM;
	for (p = copy + 1; *p && !err; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		err = mkdir(copy, 0777) && errno != EEXIST ? -errno : 0;
		*p = '/';
	}
	if (!err)
		err = mkdir(copy, 0777) && errno != EEXIST ? -errno : 0;
	free(copy);
	return err;
}

static int open_file(struct emit *e, int f)
{
	char name[64];

	partial_name(name, sizeof(name), f);
	e->fd[f] = openat(e->dirfd, name,
			  O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	return e->fd[f] < 0 ? fail(e, -errno, name) : 0;
}

static int open_dir(struct emit *e, const char *dir)
{
	int f, err;

	err = make_dir(dir);
	e->dirfd = err ? -1 : open(dir, O_DIRECTORY | O_CLOEXEC);
	if (e->dirfd < 0)
		return fail(e, err ? err : -errno, "");
	for (f = 0; f < EMIT_NR; f++) {
		if (!faccessat(e->dirfd, files[f].name, F_OK, 0))
			return fail(e, -EEXIST, files[f].name);
		if (!files[f].optional && open_file(e, f))
			return e->err;
	}
	return 0;
}

static void put_header(struct emit *e, int f)
{
	fprintf(e->mem[f], "%s%s%s\n", e->dir ? "" : files[f].name,
		e->dir ? "" : "\t", files[f].header);
	e->pending[f]++;
}

int emit_open(struct emit **out, const char *dir, const char *stream)
{
	struct emit *e = calloc(1, sizeof(*e));
	int f, err = 0;

	*out = e;
	if (!e)
		return -ENOMEM;
	e->dirfd = -1;
	for (f = 0; f < EMIT_NR; f++)
		e->fd[f] = -1;
	if (dir) {
		e->dir = strdup(dir);
		err = e->dir ? open_dir(e, dir) : -ENOMEM;
	} else {
		e->fd[0] = open(stream,
				O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY |
					O_CLOEXEC,
				0666);
		if (e->fd[0] < 0)
			return fail(e, -errno, stream);
		for (f = 1; f < EMIT_NR; f++)
			e->fd[f] = e->fd[0];
	}
	for (f = 0; f < EMIT_NR && !err; f++) {
		err = mem_reset(e, f);
		if (!err && !files[f].optional)
			put_header(e, f);
	}
	return err ? err : emit_flush(e);
}

void emit_line(struct emit *e, enum emit_file f, const char *fmt, ...)
{
	va_list args;

	if (!e->mem[f])
		return;
	if (files[f].optional && !e->lines[f] && !e->pending[f])
		put_header(e, f);
	if (!e->dir)
		fprintf(e->mem[f], "%s\t", files[f].name);
	va_start(args, fmt);
	vfprintf(e->mem[f], fmt, args);
	va_end(args);
	putc('\n', e->mem[f]);
	e->pending[f]++;
}

/* What did not fit ends in a torn line: cut it off, count the whole ones */
static void keep_whole_lines(struct emit *e, int f, size_t done)
{
	off_t end;
	size_t whole = done;

	while (whole && e->buf[f][whole - 1] != '\n')
		whole--;
	end = lseek(e->fd[f], 0, SEEK_CUR);
	if (end >= 0 && whole != done &&
	    !ftruncate(e->fd[f], end - (done - whole)))
		lseek(e->fd[f], 0, SEEK_END);
	for (done = 0; done < whole; done++)
		e->lines[f] += e->buf[f][done] == '\n';
}

int emit_flush(struct emit *e)
{
	size_t done;
	int f, err = 0;

	for (f = 0; f < EMIT_NR && !e->err; f++) {
		if (!e->pending[f])
			continue;
		if (e->fd[f] < 0 && open_file(e, f))
			return e->err;
		if (fflush(e->mem[f]))
			return fail(e, -ENOMEM, files[f].name);
		err = write_all(e->fd[f], e->buf[f], e->len[f], &done);
		if (!err)
			err = sync_fd(e->fd[f]);
		if (err) {
			keep_whole_lines(e, f, done);
			return fail(e, err, files[f].name);
		}
		e->lines[f] += e->pending[f];
		err = mem_reset(e, f);
		if (err)
			return fail(e, err, files[f].name);
	}
	return e->err;
}

static int emit_tagged(struct emit *e, const char *tag, const char *text)
{
	char *line;
	size_t done;
	int err, n;

	n = asprintf(&line, "%s\t%s\n", tag, text);
	if (n < 0)
		return fail(e, -ENOMEM, tag);
	err = write_all(e->fd[0], line, n, &done);
	free(line);
	return err ? fail(e, err, tag) : 0;
}

static int write_env_file(struct emit *e, const char *text)
{
	size_t done;
	int fd, err;

	fd = openat(e->dirfd, "env.json.partial",
		    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return -errno;
	err = write_all(fd, text, strlen(text), &done);
	if (!err)
		err = write_all(fd, "\n", 1, &done);
	if (!err)
		err = sync_fd(fd);
	close(fd);
	if (!err)
		err = renameat(e->dirfd, "env.json.partial", e->dirfd,
			       "env.json") ?
			      -errno :
			      0;
	if (err)
		unlinkat(e->dirfd, "env.json.partial", 0);
	return err;
}

/* There is one from the start, so that a run that is killed can be read */
int emit_env(struct emit *e, json_t *env)
{
	char *text = json_dumps(env, e->dir ? JSON_INDENT(2) : JSON_COMPACT);
	int err;

	if (!text)
		return fail(e, -ENOMEM, "env.json");
	if (!e->dir) {
		err = emit_tagged(e, "env.json", text);
	} else {
		/* Tried even after an error: it says why the run is not complete */
		err = write_env_file(e, text);
		if (err)
			fail(e, err, "env.json");
	}
	free(text);
	return err ? e->err : 0;
}

int emit_progress(struct emit *e, unsigned int done, unsigned int total,
		  double eta)
{
	char text[64];

	if (e->dir || e->err)
		return e->err;
	snprintf(text, sizeof(text), "%u\t%u\t%.0f", done, total, eta);
	return emit_tagged(e, "progress", text);
}

static int finish_dir(struct emit *e, json_t *env)
{
	char name[64];
	int f;

	for (f = 0; f < EMIT_NR; f++) {
		if (e->fd[f] < 0)
			continue;
		partial_name(name, sizeof(name), f);
		if (renameat(e->dirfd, name, e->dirfd, files[f].name))
			return fail(e, -errno, name);
	}
	if (emit_env(e, env))
		return e->err;
	return fsync(e->dirfd) && errno != EINVAL ? fail(e, -errno, "") : 0;
}

static int finish_stream(struct emit *e, json_t *env, int status)
{
	char end[96];

	if (emit_env(e, env))
		return e->err;
	snprintf(end, sizeof(end), "%d\t%lu\t%lu\t%lu", status,
		 e->lines[EMIT_SAMPLES], e->lines[EMIT_CHECKS],
		 e->lines[EMIT_CAPABILITY]);
	return emit_tagged(e, "end", end);
}

/* Whether there is a sample, or what stands for one */
bool emit_any(const struct emit *e)
{
	/* The first line of samples.csv is its header */
	return e->lines[EMIT_SAMPLES] > 1 || e->lines[EMIT_CAPABILITY];
}

int emit_finish(struct emit *e, json_t *env, int status)
{
	if (emit_flush(e))
		return e->err;
	return e->dir ? finish_dir(e, env) : finish_stream(e, env, status);
}

void emit_free(struct emit *e)
{
	int f;

	if (!e)
		return;
	for (f = 0; f < EMIT_NR; f++) {
		if (e->mem[f])
			fclose(e->mem[f]);
		free(e->buf[f]);
		if (e->fd[f] >= 0 && (e->dir || !f))
			close(e->fd[f]);
	}
	if (e->dirfd >= 0)
		close(e->dirfd);
	free(e->dir);
	free(e);
}

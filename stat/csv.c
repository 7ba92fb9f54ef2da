// SPDX-License-Identifier: GPL-2.0
/*
 * The CSV of results/SCHEMA.md: a header, commas, no quotes. Anything else is
 * an error that names file, line and what was expected: a figure from a file
 * that was half understood would be worse than none.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "k2u-stat.h"

static int malformed(const struct csv *csv, const char *what)
{
	say("%s:%lu: %s", csv->path, csv->line, what);
	return -EINVAL;
}

/* The next line, without its newline: 1, 0 at the end, -errno */
static int next_line(struct csv *csv, char **line)
{
	char *text, *newline;
	ssize_t got;

	for (;;) {
		text = csv->buf + csv->start;
		newline = memchr(text, '\n', csv->end - csv->start);
		if (newline || csv->eof)
			break;
		if (csv->end - csv->start >= CSV_LINE_MAX) {
			csv->line++;
			return malformed(csv, "line too long");
		}
		memmove(csv->buf, text, csv->end - csv->start);
		csv->end -= csv->start;
		csv->start = 0;
		got = read(csv->fd, csv->buf + csv->end,
			   sizeof(csv->buf) - csv->end);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			say("%s: %s", csv->path, strerror(errno));
			return -errno;
		}
		csv->eof = !got;
		csv->end += got;
	}

	if (!newline && csv->start == csv->end)
		return 0;
	csv->line++;
	if (!newline && csv->partial) {
		say("%s:%lu: note: unfinished last line ignored", csv->path,
		    csv->line);
		csv->start = csv->end;
		return 0;
	}
	if (!newline)
		return malformed(
			csv,
			"last line has no newline: the file was cut short");
	if (newline - text >= CSV_LINE_MAX)
		return malformed(csv, "line too long");
	if (memchr(text, '\0', newline - text))
		return malformed(csv, "NUL byte: not a text file");
	*newline = '\0';
	csv->start = newline + 1 - csv->buf;
	*line = text;
	return 1;
}

/* Fields of a line, in place; more than there is room for: CSV_COLUMNS + 1 */
static unsigned int split(struct csv *csv, char *line)
{
	unsigned int n = 0;
	char *comma;

	for (; n < CSV_COLUMNS; line = comma + 1) {
		csv->field[n++] = line;
		comma = strchr(line, ',');
		if (!comma)
			return n;
		*comma = '\0';
	}
	return CSV_COLUMNS + 1;
}

static int read_header(struct csv *csv)
{
	unsigned int i, j;
	char *line;
	int ret;

	ret = next_line(csv, &line);
	if (ret < 0)
		return ret;
	if (!ret) {
		csv->line = 1;
		return malformed(csv, "empty: expected a header line");
	}
	csv->columns = split(csv, line);
	if (csv->columns > CSV_COLUMNS)
		return malformed(csv, "too many columns");

	for (i = 0; csv->want[i]; i++) {
		for (j = 0;
		     j < csv->columns && strcmp(csv->field[j], csv->want[i]);
		     j++)
			;
		if (j == csv->columns) {
			say("%s:%lu: no column '%s' in the header", csv->path,
			    csv->line, csv->want[i]);
			return -EINVAL;
		}
		csv->col[i] = j;
	}
	return 0;
}

int csv_open(struct csv *csv, const char *path, bool partial,
	     const char *const *want)
{
	struct stat st;
	int ret;

	memset(csv, 0, offsetof(struct csv, buf));
	csv->fd = -1;
	csv->partial = partial;
	csv->want = want;
	csv->path = strdup(path);
	if (!csv->path)
		return out_of_memory();

	/* O_NONBLOCK: a FIFO of that name must not hang us */
	csv->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (csv->fd < 0 || fstat(csv->fd, &st)) {
		ret = -errno;
		say("%s: %s", path, strerror(errno));
		goto err;
	}
	if (!S_ISREG(st.st_mode)) {
		say("%s: not a regular file", path);
		ret = -EINVAL;
		goto err;
	}
	ret = read_header(csv);
	if (ret)
		goto err;
	return 0;
err:
	csv_close(csv);
	return ret;
}

void csv_close(struct csv *csv)
{
	if (csv->fd >= 0)
		close(csv->fd);
	csv->fd = -1;
	free(csv->path);
	csv->path = NULL;
}

int csv_next(struct csv *csv)
{
	unsigned int n;
	char *line;
	int ret;

	ret = next_line(csv, &line);
	if (ret <= 0)
		return ret;
	if (strchr(line, '"'))
		return malformed(csv, "quotes are not part of this format");
	n = split(csv, line);
	if (n != csv->columns) {
		say("%s:%lu: expected %u fields, as the header has, got %s%u",
		    csv->path, csv->line, csv->columns,
		    n > CSV_COLUMNS ? "more than " : "",
		    n > CSV_COLUMNS ? CSV_COLUMNS : n);
		return -EINVAL;
	}
	return 1;
}

int csv_error(const struct csv *csv, unsigned int want, const char *expected)
{
	say("%s:%lu: %s: expected %s, got '%.80s'", csv->path, csv->line,
	    csv->want[want], expected, csv_str(csv, want));
	return -EINVAL;
}

int csv_u64(const struct csv *csv, unsigned int want, uint64_t *value)
{
	const char *text = csv_str(csv, want), *p;
	uint64_t v = 0;

	for (p = text; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, *p - '0', &v))
			return csv_error(csv, want, "an integer below 2^64");
	if (*p || p == text)
		return csv_error(csv, want, "an integer");
	*value = v;
	return 0;
}

int csv_f64(const struct csv *csv, unsigned int want, double *value)
{
	const char *text = csv_str(csv, want);
	char *end;

	/* strtod() alone would take "nan", "0x1p3" and leading blanks */
	*value = strtod(text, &end);
	if (end == text || *end ||
	    strspn(text, "0123456789.eE+-") != (size_t)(end - text) ||
	    !isfinite(*value))
		return csv_error(csv, want, "a finite number");
	return 0;
}

int csv_f64_or_none(const struct csv *csv, unsigned int want, double *value)
{
	const char *text = csv_str(csv, want);

	if (!*text)
		*value = NAN;
	else if (!strcmp(text, "inf"))
		*value = INFINITY;
	else
		return csv_f64(csv, want, value);
	return 0;
}

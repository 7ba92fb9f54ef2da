// SPDX-License-Identifier: GPL-2.0
/*
 * The CSV of results/SCHEMA.md: a header, commas, no quotes. Anything else is
 * an error that names file, line and what was expected: a figure from a file
 * that was half understood would be worse than none.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <float.h>
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
	size_t want;

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
		want = sizeof(csv->buf) - csv->end;
		if (want > csv->left)
			want = csv->left;
		got = read(csv->fd, csv->buf + csv->end, want);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			say("%s: %s", csv->path, strerror(errno));
			return -errno;
		}
		if (!got && want && csv->left != UINT64_MAX) {
			csv->line++;
			return malformed(
				csv,
				"shorter than env.json says: the file was cut short");
		}
		if (csv->left != UINT64_MAX)
			csv->left -= got;
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

/* Fields from n on, in place; more than there is room for: CSV_COLUMNS + 1 */
static unsigned int split(struct csv *csv, unsigned int n, char *line)
{
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

/* What other programs leave in a CSV that they have saved */
static int check_header(const struct csv *csv, const char *line)
{
	if (!strncmp(line, "\xef\xbb\xbf", 3))
		return malformed(
			csv,
			"a byte order mark: save it as plain UTF-8, without one");
	if (strchr(line, '\r'))
		return malformed(
			csv,
			"a carriage return: lines must end with a newline alone");
	if (strchr(line, '"'))
		return malformed(csv, "quotes are not part of this format");
	return 0;
}

static int read_header(struct csv *csv)
{
	const char *name;
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
	ret = check_header(csv, line);
	if (ret)
		return ret;
	csv->columns = split(csv, 0, line);
	if (csv->columns > CSV_COLUMNS) {
		say("%s:%lu: more than %d columns", csv->path, csv->line,
		    CSV_COLUMNS);
		return -EINVAL;
	}
	for (i = 1; i < csv->columns; i++) {
		for (j = 0; j < i; j++) {
			if (strcmp(csv->field[i], csv->field[j]))
				continue;
			say("%s:%lu: two columns '%.80s' in the header",
			    csv->path, csv->line, csv->field[i]);
			return -EINVAL;
		}
	}

	csv->field[CSV_COLUMNS] = "";
	for (i = 0; csv->want[i]; i++) {
		name = csv->want[i] + (*csv->want[i] == '?');
		for (j = 0; j < csv->columns && strcmp(csv->field[j], name);
		     j++)
			;
		if (j == csv->columns && name != csv->want[i]) {
			j = CSV_COLUMNS;
		} else if (j == csv->columns) {
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
	return csv_open_part(csv, path, partial, want, UINT64_MAX);
}

int csv_open_part(struct csv *csv, const char *path, bool partial,
		  const char *const *want, uint64_t bytes)
{
	struct stat st;
	int ret;

	memset(csv, 0, offsetof(struct csv, buf));
	csv->fd = -1;
	csv->partial = partial;
	csv->want = want;
	csv->left = bytes;
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

void csv_repeat(struct csv *csv, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		if (csv->col[i] >= csv->repeat)
			csv->repeat = csv->col[i] + 1;
	if (csv->repeat >= csv->columns) /* nothing behind them */
		csv->repeat = 0;
}

/* The leading fields stay where they are until a row has others */
static void keep_prefix(struct csv *csv)
{
	char *line = csv->field[0];
	unsigned int i;

	csv->prefix_len = csv->field[csv->repeat] - line;
	if (csv->prefix_len > CSV_PREFIX_MAX) {
		csv->prefix_len = 0;
		return;
	}
	memcpy(csv->prefix, line, csv->prefix_len);
	memcpy(csv->prefix_split, line, csv->prefix_len);
	for (i = 0; i < csv->repeat; i++) {
		csv->prefix[csv->field[i + 1] - line - 1] = ',';
		csv->field[i] = csv->prefix_split + (csv->field[i] - line);
	}
}

int csv_next(struct csv *csv)
{
	unsigned int n;
	char *line;
	int ret;

	ret = next_line(csv, &line);
	if (ret <= 0)
		return ret;
	csv->repeated = csv->prefix_len &&
			!strncmp(line, csv->prefix, csv->prefix_len);
	if (csv->repeated)
		line += csv->prefix_len;
	if (strchr(line, '"'))
		return malformed(csv, "quotes are not part of this format");
	n = split(csv, csv->repeated ? csv->repeat : 0, line);
	if (n != csv->columns) {
		say("%s:%lu: expected %u fields, as the header has, got %s%u",
		    csv->path, csv->line, csv->columns,
		    n > CSV_COLUMNS ? "more than " : "",
		    n > CSV_COLUMNS ? CSV_COLUMNS : n);
		return -EINVAL;
	}
	if (csv->repeat && !csv->repeated)
		keep_prefix(csv);
	return 1;
}

int csv_error(const struct csv *csv, unsigned int want, const char *expected)
{
	say("%s:%lu: %s: expected %s, got '%.80s'", csv->path, csv->line,
	    csv->want[want], expected, csv_str(csv, want));
	return -EINVAL;
}

int csv_name(const struct csv *csv, unsigned int want)
{
	return is_name(csv_str(csv, want)) ? 0 : csv_error(csv, want, NAME_IS);
}

int csv_flags(const struct csv *csv, unsigned int want)
{
	const char *p;

	for (p = csv_str(csv, want); *p; p++)
		if (!isascii(*p) ||
		    (!isalnum((unsigned char)*p) && !strchr("-;>%", *p)))
			return csv_error(csv, want,
					 "flags: names, semicolons between");
	return 0;
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

/*
 * An integer of at most 53 bits and a power of ten up to 10^22 are doubles both,
 * so one operation on them rounds correctly (Clinger 1990). That is every figure
 * that is written with up to 15 digits; any other text is strtod()'s.
 */
static bool parse_short(const char *text, double *value)
{
	static const double power[] = {
		1e0,  1e1,  1e2,  1e3,	1e4,  1e5,  1e6,  1e7,
		1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
		1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
	};
	bool minus = *text == '-', point = false;
	const char *p = text + minus;
	int digits = 0, scale = 0;
	uint64_t m = 0;

	for (; digits < 19; p++) {
		if (*p >= '0' && *p <= '9') {
			m = 10 * m + (*p - '0');
			digits++;
			scale -= point;
		} else if (*p == '.' && !point) {
			point = true;
		} else {
			break;
		}
	}
	/* An extended precision would round twice */
	if (FLT_EVAL_METHOD || *p || !digits || m > 1ULL << 53)
		return false;
	*value = m / power[-scale];
	if (minus)
		*value = -*value;
	return true;
}

int parse_f64(const char *text, double *value)
{
	char *end;

	if (parse_short(text, value))
		return 0;
	/* strtod() alone would take "nan", "0x1p3" and leading blanks */
	*value = strtod(text, &end);
	if (end == text || *end ||
	    strspn(text, "0123456789.eE+-") != (size_t)(end - text) ||
	    !isfinite(*value))
		return -EINVAL;
	return 0;
}

int csv_f64(const struct csv *csv, unsigned int want, double *value)
{
	if (parse_f64(csv_str(csv, want), value))
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

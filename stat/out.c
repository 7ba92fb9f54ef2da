// SPDX-License-Identifier: GPL-2.0
/* Files that appear whole or not at all: temporary name, fsync, rename. */
#include <errno.h>
#include <math.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "k2u-stat.h"

static int fail(struct out *out, int err)
{
	say("%s: %s; nothing was replaced", out->path, strerror(err));
	out_abort(out);
	return -err;
}

int out_open(struct out *out, const char *dir, const char *name)
{
	mode_t mask;
	int fd;

	memset(out, 0, sizeof(*out));
	if (asprintf(&out->path, "%s/%s", dir, name) < 0 ||
	    asprintf(&out->tmp, "%s/.%s.XXXXXX", dir, name) < 0)
		return out_of_memory();

	fd = mkostemp(out->tmp, O_CLOEXEC);
	if (fd < 0) {
		free(out->tmp);
		out->tmp = NULL;
		return fail(out, errno);
	}
	/* mkstemp() makes it 0600; give it what open() would have */
	mask = umask(0);
	umask(mask);
	fchmod(fd, 0666 & ~mask);
	out->f = fdopen(fd, "w");
	if (!out->f) {
		int err = errno;

		close(fd);
		return fail(out, err);
	}
	return 0;
}

int out_commit(struct out *out)
{
	FILE *f = out->f;
	int fd, err = 0;

	errno = 0;
	if (ferror(f) || fflush(f) || fsync(fileno(f)))
		err = errno ?: EIO;
	out->f = NULL;
	if (fclose(f) && !err)
		err = errno;
	if (!err && rename(out->tmp, out->path))
		err = errno;
	if (err)
		return fail(out, err);

	/* The name, too, must survive a crash */
	fd = open(dirname(out->tmp), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	free(out->tmp);
	out->tmp = NULL;
	out_abort(out);
	return 0;
}

void out_abort(struct out *out)
{
	if (out->f)
		fclose(out->f);
	if (out->tmp)
		unlink(out->tmp);
	free(out->tmp);
	free(out->path);
	memset(out, 0, sizeof(*out));
}

void print_exact(FILE *f, double v)
{
	static const int digits[] = { 10, 15, 16, 17 };
	char text[32];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(digits); i++) {
		snprintf(text, sizeof(text), "%.*g", digits[i], v);
		if (strtod(text, NULL) == v)
			break;
	}
	fputs(text, f);
}

void print_figure(FILE *f, double v)
{
	if (isnan(v))
		fputc(',', f);
	else
		fprintf(f, ",%.10g", v);
}

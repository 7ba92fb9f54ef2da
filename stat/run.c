// SPDX-License-Identifier: GPL-2.0
/* A run directory and its env.json. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "k2u-stat.h"

#define SCHEMA 1
/* A thousand times the largest that was seen */
#define JSON_BYTES_MAX (32L << 20)

char *run_path(const struct run *run, const char *name)
{
	char *path;

	if (asprintf(&path, "%s/%s", run->dir, name) < 0) {
		out_of_memory();
		return NULL;
	}
	return path;
}

bool is_there(const char *path)
{
	return !access(path, F_OK) || errno != ENOENT;
}

/* The file, or what a run that did not end has left of it */
char *run_rows_path(const struct run *run, const char *name, bool *partial)
{
	char *path = run_path(run, name), *left;

	*partial = path && !is_there(path);
	if (!*partial)
		return path;
	if (asprintf(&left, "%s.partial", path) < 0) {
		out_of_memory();
		left = NULL;
	}
	free(path);
	return left;
}

uint64_t run_rows_bytes(const struct run *run, const char *name, bool partial)
{
	json_t *bytes = json_object_get(run_env(run, "bytes"), name);

	/* What is behind them was left by a boot that was to join */
	if (partial || !json_is_integer(bytes))
		return UINT64_MAX;
	return json_integer_value(bytes);
}

int json_read(const char *path, json_t **root)
{
	json_error_t error;
	struct stat st;
	int fd, ret;

	*root = NULL;
	/* O_NONBLOCK: a FIFO of that name must not hang us */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) ||
	    st.st_size > JSON_BYTES_MAX) {
		ret = fd < 0 ? -errno : -EINVAL;
		say("%s: cannot be read: %s", path,
		    fd < 0		? strerror(errno) :
		    S_ISREG(st.st_mode) ? "too large to be one of k2u's" :
					  "not a regular file");
		if (fd >= 0)
			close(fd);
		return ret;
	}
	*root = json_loadfd(fd, JSON_REJECT_DUPLICATES, &error);
	close(fd);
	if (!*root) {
		say("%s:%d:%d: %s", path, error.line, error.column, error.text);
		return -EINVAL;
	}
	return 0;
}

/* These go into charts and commands */
static int check_names(const struct run *run, const char *path)
{
	static const char *const named[] = { "venue", "time_unit",
					     "kernel.release", "tool.git",
					     "tool.version" };
	const char *text;
	json_t *value;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(named); i++) {
		value = run_env(run, named[i]);
		text = json_string_value(value);
		if (!value || json_is_null(value) ||
		    (text && (!*text || is_name(text))))
			continue;
		say("%s: %s: expected %s, got '%.80s'", path, named[i], NAME_IS,
		    text ?: "no text");
		return -EINVAL;
	}
	return 0;
}

static int read_env(struct run *run, const char *path)
{
	json_t *schema;
	int ret;

	ret = json_read(path, &run->env);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	if (!json_is_object(run->env)) {
		say("%s: expected one JSON object", path);
		return -EINVAL;
	}
	schema = json_object_get(run->env, "schema");
	if (!json_is_integer(schema) || json_integer_value(schema) != SCHEMA) {
		say("%s: schema: expected %d: made by another version of k2u-bench",
		    path, SCHEMA);
		return -EINVAL;
	}
	return check_names(run, path);
}

int run_open(struct run *run, const char *dir)
{
	char *path, *samples, *partial;
	struct stat st;
	int ret;

	memset(run, 0, sizeof(*run));
	run->dir = dir;
	if (stat(dir, &st) || !S_ISDIR(st.st_mode)) {
		say("%s: no such run directory", dir);
		return -ENOENT;
	}
	path = run_path(run, "env.json");
	samples = run_path(run, "samples.csv");
	partial = run_path(run, "samples.csv.partial");
	if (!path || !samples || !partial) {
		ret = -ENOMEM;
		goto out;
	}
	ret = read_env(run, path);
	if (ret)
		goto out;
	run->complete = json_is_true(run_env(run, "complete")) &&
			(is_there(samples) || !is_there(partial));
out:
	free(path);
	free(samples);
	free(partial);
	if (ret)
		run_close(run);
	return ret;
}

void run_close(struct run *run)
{
	json_decref(run->env);
	run->env = NULL;
}

json_t *run_env(const struct run *run, const char *path)
{
	json_t *at = run->env;
	const char *dot;
	char name[64];

	for (; at; path = dot + 1) {
		dot = strchrnul(path, '.');
		if ((size_t)(dot - path) >= sizeof(name))
			return NULL;
		memcpy(name, path, dot - path);
		name[dot - path] = '\0';
		at = json_object_get(at, name);
		if (!*dot)
			return at;
	}
	return NULL;
}

char *run_env_text(const struct run *run, const char *path)
{
	json_t *at = run_env(run, path);
	char *text;

	if (!at || json_is_null(at))
		return strdup("");
	if (json_is_string(at))
		text = strdup(json_string_value(at));
	else
		text = json_dumps(at, JSON_ENCODE_ANY | JSON_COMPACT |
					      JSON_REAL_PRECISION(6));
	return harmless(text);
}

const char *run_venue(const struct run *run)
{
	return json_string_value(run_env(run, "venue")) ?: "unknown";
}

size_t run_boots(const struct run *run)
{
	json_t *boots = run_env(run, "boots");

	if (!run->env)
		return 0;
	return json_array_size(boots) ?: 1;
}

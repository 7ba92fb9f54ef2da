// SPDX-License-Identifier: GPL-2.0
/*
 * join: a boot's rows into the run that it belongs to.
 *
 * The run's env.json says which boots count and how long its files are with
 * them (`boots`, `bytes`), and is replaced as a whole when the rows are safe. What
 * lies behind that length was left by a join that did not end, and is cut off.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "k2u-stat.h"

static const char *const rows_files[] = { "samples.csv", "checks.csv",
					  "capability.csv" };

/* Of a measure that not every run has */
static bool is_optional(const char *name)
{
	return !strcmp(name, "capability.csv");
}

/* What one boot may differ in from the next, kept for each */
static const char *const boot_keys[] = { "started", "duration_s", "seed", "os",
					 "calibration" };

static int io_error(const char *path)
{
	int err = errno ?: EIO;

	say("%s: %s", path, strerror(err));
	return -err;
}

/* ---- the boot that is to join ---- */

/* The boot of a file's rows, of which there are `rows` so far */
static int read_number(const struct run *boot, const char *name,
		       uint64_t *number, uint64_t *rows)
{
	static const char *const want[] = { "boot", NULL };
	struct csv *csv = malloc(sizeof(*csv));
	char *path = run_path(boot, name);
	uint64_t n;
	int ret;

	if (!csv || !path) {
		ret = out_of_memory();
		goto out;
	}
	ret = csv_open(csv, path, false, want);
	if (ret)
		goto out;
	while ((ret = csv_next(csv)) > 0) {
		ret = csv_u64(csv, 0, &n);
		if (ret)
			break;
		if ((*rows)++ && n != *number) {
			ret = csv_error(csv, 0, "rows of one boot");
			break;
		}
		*number = n;
	}
	csv_close(csv);
out:
	free(path);
	free(csv);
	return ret;
}

/* That its rows are whole, and of which boot they are */
static int read_boot(const struct run *boot, uint64_t *number)
{
	uint64_t rows = 0;
	int ret;

	if (!boot->env || !boot->complete) {
		say("%s: that boot did not end: measure it again", boot->dir);
		return -EINVAL;
	}
	ret = read_number(boot, "samples.csv", number, &rows);
	if (!ret && has_capability(boot))
		ret = read_number(boot, "capability.csv", number, &rows);
	if (!ret && !rows) {
		say("%s/samples.csv: no samples", boot->dir);
		ret = -ENODATA;
	}
	return ret;
}

static json_t *boot_entry(const struct run *boot, uint64_t number)
{
	json_t *entry = json_pack("{s:I}", "boot", (json_int_t)number), *value;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(boot_keys); i++) {
		value = json_object_get(boot->env, boot_keys[i]);
		if (value)
			json_object_set(entry, boot_keys[i], value);
	}
	return entry;
}

/* ---- the run ---- */

/* Whether it may: 0, or what differs is said */
static int same_environment(const struct run *run, const json_t *env,
			    const char *name)
{
	struct env_changes changes = {};
	const struct env_change *c;
	unsigned int differ = 0;
	int ret;

	ret = env_diff(run->env, env, &changes);
	for (c = changes.change; !ret && c < changes.change + changes.n; c++) {
		if (c->class != ENV_IDENTITY)
			continue;
		if (!differ++)
			say("%s: not measured as %s was, so no boot of it:",
			    name, run->dir);
		say("  %s%s%s: %s there, %s here", c->title, *c->key ? " " : "",
		    c->key, *c->old ? c->old : "nothing",
		    *c->now ? c->now : "nothing");
	}
	env_changes_free(&changes);
	if (differ) {
		say("Measure into a new run (another OUT), and compare the two.");
		return -EINVAL;
	}
	return ret;
}

static bool has_boot(const struct run *run, uint64_t number)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(run->env, "boots"), i, entry)
	{
		if (json_integer_value(json_object_get(entry, "boot")) ==
		    (json_int_t)number)
			return true;
	}
	return false;
}

/* What lies behind these lengths is cut off: nothing may be taken for 0 */
static int check_bytes(const struct run *run)
{
	json_t *bytes = json_object_get(run->env, "bytes"), *n;
	bool any = json_array_size(json_object_get(run->env, "boots"));
	size_t i;

	if (!json_is_object(bytes)) {
		say("%s/env.json: bytes: expected an object", run->dir);
		return -EINVAL;
	}
	for (i = 0; i < ARRAY_SIZE(rows_files); i++) {
		n = json_object_get(bytes, rows_files[i]);
		if ((!n && (!any || is_optional(rows_files[i]))) ||
		    (json_is_integer(n) && json_integer_value(n) >= 0))
			continue;
		say("%s/env.json: bytes.%s: expected how long it is", run->dir,
		    rows_files[i]);
		return -EINVAL;
	}
	return 0;
}

/* A run that was measured before there were several boots to one */
static int number_boots(struct run *run)
{
	json_t *boots = json_object_get(run->env, "boots");
	uint64_t number;
	json_t *bytes;
	struct stat st;
	char *path;
	size_t i;
	int ret;

	if (boots && !json_is_array(boots)) {
		say("%s/env.json: boots: expected an array", run->dir);
		return -EINVAL;
	}
	if (boots)
		return check_bytes(run);
	ret = read_boot(run, &number);
	if (ret)
		return ret;
	bytes = json_object();
	for (i = 0; i < ARRAY_SIZE(rows_files); i++) {
		path = run_path(run, rows_files[i]);
		if (path && !stat(path, &st))
			json_object_set_new(bytes, rows_files[i],
					    json_integer(st.st_size));
		free(path);
	}
	json_object_set_new(run->env, "bytes", bytes);
	json_object_set_new(run->env, "boots",
			    json_pack("[o]", boot_entry(run, number)));
	return 0;
}

static int write_env(const struct run *run)
{
	struct out out;
	int ret;

	ret = out_open(&out, run->dir, "env.json");
	if (ret)
		return ret;
	if (json_dumpf(run->env, out.f,
		       JSON_INDENT(2) | JSON_REAL_PRECISION(15)) ||
	    fputc('\n', out.f) == EOF) {
		out_abort(&out);
		return out_of_memory();
	}
	return out_commit(&out);
}

/* A directory without a run in it becomes that of this boot, with no boot yet */
static int begin_run(struct run *run, const struct run *boot)
{
	static const char *const taken[] = { "samples.csv",
					     "samples.csv.partial",
					     "summary.csv", "boots.csv" };
	char *path;
	size_t i;
	int there;

	for (i = 0; i < ARRAY_SIZE(taken); i++) {
		path = run_path(run, taken[i]);
		there = path ? is_there(path) : 0;
		free(path);
		if (there) {
			say("%s: holds %s but no env.json: not a run that a boot can join",
			    run->dir, taken[i]);
			return -EINVAL;
		}
	}
	run->env = json_deep_copy(boot->env);
	if (!run->env)
		return out_of_memory();
	json_object_set_new(run->env, "complete", json_false());
	json_object_set_new(run->env, "boots", json_array());
	json_object_set_new(run->env, "bytes", json_object());
	json_object_set_new(run->env, "duration_s", json_integer(0));
	json_object_set_new(run->env, "warnings", json_array());
	return write_env(run);
}

/* ---- rows ---- */

/* Not from a FIFO, which would be waited for */
static FILE *open_rows(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	FILE *f;

	if (fd < 0)
		return NULL;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode)) {
		f = fdopen(fd, "r");
		if (f)
			return f;
	} else {
		errno = EINVAL;
	}
	close(fd);
	return NULL;
}

static int copy_rows(FILE *from, int to, bool header)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t len;
	FILE *f = fdopen(to, "a");
	int ret = 0;

	if (!f) {
		ret = -errno;
		close(to);
		return ret;
	}
	errno = 0;
	while ((len = getline(&line, &room, from)) > 0) {
		if (header && fwrite(line, 1, len, f) != (size_t)len)
			break;
		header = true;
	}
	free(line);
	if (ferror(from) || ferror(f) || fflush(f) || fsync(fileno(f)))
		ret = -(errno ?: EIO);
	if (fclose(f) && !ret)
		ret = -errno;
	return ret;
}

static bool same_header(FILE *boot, int fd)
{
	char *line = NULL, *old;
	size_t room = 0;
	ssize_t len;
	bool same;

	len = getline(&line, &room, boot);
	rewind(boot);
	old = len > 0 ? malloc(len) : NULL;
	same = old && pread(fd, old, len, 0) == len && !memcmp(line, old, len);
	free(old);
	free(line);
	return same;
}

/* Those of the boot behind those of the run, which are `bytes` long */
static int join_rows(const struct run *run, const struct run *boot,
		     const char *name)
{
	json_t *bytes = json_object_get(run->env, "bytes");
	off_t have = json_integer_value(json_object_get(bytes, name));
	char *to = run_path(run, name), *from = run_path(boot, name);
	struct stat st;
	FILE *f = NULL;
	int fd = -1, ret;

	if (!to || !from) {
		ret = -ENOMEM;
		goto out;
	}
	f = open_rows(from);
	if (!f && errno == ENOENT && is_optional(name)) {
		ret = 0;
		goto out;
	}
	if (!f) {
		ret = io_error(from);
		goto out;
	}
	fd = open(to, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK,
		  0666);
	if (fd < 0 || fstat(fd, &st)) {
		ret = io_error(to);
		goto out;
	}
	if (st.st_size < have) {
		say("%s: %lld bytes, but env.json says %lld: the rows of this run were not kept, so no boot can join it",
		    to, (long long)st.st_size, (long long)have);
		ret = -EINVAL;
		goto out;
	}
	if (ftruncate(fd, have)) {
		ret = io_error(to);
		goto out;
	}
	if (have && !same_header(f, fd)) {
		say("%s: other columns than %s has: made by another version of k2u-bench",
		    from, to);
		ret = -EINVAL;
		goto out;
	}
	ret = copy_rows(f, fd, !have);
	fd = -1;
	if (ret) {
		say("%s: %s; the run is as it was", to, strerror(-ret));
		truncate(to, have);
		goto out;
	}
	if (stat(to, &st))
		ret = io_error(to);
	else
		json_object_set_new(bytes, name, json_integer(st.st_size));
out:
	if (fd >= 0)
		close(fd);
	if (f)
		fclose(f);
	free(to);
	free(from);
	return ret;
}

/* The kernel log is read by people: a heading, and no more care than that */
static void join_dmesg(const struct run *run, const struct run *boot,
		       const char *heading)
{
	char *to = run_path(run, "dmesg.txt"),
	     *from = run_path(boot, "dmesg.txt");
	FILE *in = from ? open_rows(from) : NULL;
	int fd = in && to ? open(to,
				 O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC |
					 O_NONBLOCK,
				 0666) :
			    -1;

	if (fd >= 0) {
		if (*heading)
			dprintf(fd, "%s\n", heading);
		copy_rows(in, fd, true);
	}
	if (in)
		fclose(in);
	free(to);
	free(from);
}

static void join_warnings(json_t *env, const struct run *boot,
			  const char *heading)
{
	json_t *all = json_object_get(env, "warnings");
	const json_t *warning;
	size_t i;

	json_array_foreach(json_object_get(boot->env, "warnings"), i, warning)
		json_array_append_new(
			all,
			json_sprintf("%s%s%s", heading, *heading ? " " : "",
				     json_string_value(warning) ?: ""));
}

static int join_boot(struct run *run, const char *dir)
{
	char heading[32] = "";
	struct run boot;
	uint64_t number;
	json_t *boots;
	size_t i;
	int ret;

	ret = run_open(&boot, dir);
	if (ret)
		return ret;
	ret = read_boot(&boot, &number);
	if (!ret && !run->env)
		ret = begin_run(run, &boot);
	if (!ret)
		ret = number_boots(run) ?: same_environment(run, boot.env, dir);
	if (!ret && has_boot(run, number)) {
		say("%s: %s has its boot %llu already", dir, run->dir,
		    (unsigned long long)number);
		ret = -EEXIST;
	}
	for (i = 0; !ret && i < ARRAY_SIZE(rows_files); i++)
		ret = join_rows(run, &boot, rows_files[i]);
	if (ret)
		goto close;

	boots = json_object_get(run->env, "boots");
	if (json_array_size(boots)) /* a run of one boot is not numbered */
		snprintf(heading, sizeof(heading),
			 "boot %llu:", (unsigned long long)number);
	json_array_append_new(boots, boot_entry(&boot, number));
	join_warnings(run->env, &boot, heading);
	json_object_set_new(
		run->env, "duration_s",
		json_real(json_number_value(run_env(run, "duration_s")) +
			  json_number_value(run_env(&boot, "duration_s"))));
	json_object_set_new(run->env, "complete", json_true());
	ret = write_env(run);
	if (!ret)
		join_dmesg(run, &boot, heading);
close:
	run_close(&boot);
	return ret;
}

/* ---- the command ---- */

static int check_env(const struct run *run, const char *path)
{
	json_t *env;
	int ret;

	if (!run->env) /* nothing to differ from */
		return 0;
	ret = json_read(path, &env);
	if (ret == -ENOENT)
		say("%s: %s", path, strerror(ENOENT));
	if (ret)
		return ret;
	ret = same_environment(run, env, "this machine, now");
	json_decref(env);
	return ret;
}

struct args {
	const char *dir, *env;
	char **boot;
	int boots;
};

static error_t parse(int opt, char *arg, struct argp_state *state)
{
	struct args *args = state->input;

	switch (opt) {
	case 'c':
		args->env = arg;
		return 0;
	case ARGP_KEY_ARGS:
		args->dir = state->argv[state->next];
		args->boot = state->argv + state->next + 1;
		args->boots = state->argc - state->next - 1;
		return 0;
	case ARGP_KEY_END:
		if (!args->dir || (!args->boots && !args->env))
			argp_error(
				state,
				"which run, and which boots? Give directories, or --check=ENV.JSON");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

int cmd_join(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "check", 'c', "ENV.JSON", 0,
		  "only say whether a boot of this environment could join RUN",
		  0 },
		{}
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "RUN [BOOT...]",
		.doc = "Append the rows of BOOT, a run of one boot, to RUN, and note the boot in "
		       "RUN's env.json. RUN is made if it is not there.\v"
		       "Refused, and nothing changed, if BOOT did not end, if RUN has a boot of "
		       "that number, or if the two were not measured in the same environment; "
		       "what differs is said.",
	};
	struct args args = {};
	struct run run;
	int fd, i, ret;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	if (args.boots && mkdir(args.dir, 0777) && errno != EEXIST)
		return io_error(args.dir);
	/* Boots of a campaign end side by side */
	fd = open(args.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && args.env)
		return 0;
	if (fd < 0 || flock(fd, LOCK_EX)) {
		ret = io_error(args.dir);
		goto out;
	}
	ret = run_open(&run, args.dir);
	if (ret)
		goto out;
	if (args.env)
		ret = check_env(&run, args.env);
	for (i = 0; !ret && i < args.boots; i++)
		ret = join_boot(&run, args.boot[i]);
	run_close(&run);
out:
	if (fd >= 0)
		close(fd);
	return ret;
}

// SPDX-License-Identifier: GPL-2.0
/* What differs between two environments (env.json), and what that means. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "k2u-stat.h"

/*
 * The first that fits counts; "x.*" is every key below x. A key that is not
 * listed is shown and changes nothing: a newer k2u-bench may record more.
 */
static const struct env_key {
	const char *path, *title;
	enum env_class class;
} keys[] = {
	{ "schema", "schema", ENV_IDENTITY },
	{ "venue", "venue", ENV_IDENTITY },
	{ "time_unit", "unit of time", ENV_IDENTITY },
	{ "virtualization", "virtualization", ENV_IDENTITY },
	{ "quick", "quick set", ENV_IDENTITY },
	{ "kernel.release", "kernel", ENV_IDENTITY },
	{ "kernel.version", "kernel build", ENV_IDENTITY },
	{ "kernel.cmdline", "kernel command line", ENV_IDENTITY },
	{ "kernel.config_sha256", "kernel config hash", ENV_IDENTITY },
	{ "kernel.config.*", "kernel config", ENV_IDENTITY },
	{ "cpu.model", "CPU", ENV_IDENTITY },
	{ "cpu.microcode", "microcode", ENV_IDENTITY },
	{ "cpu.online", "CPUs online", ENV_IDENTITY },
	{ "cpu.pinned", "CPU used", ENV_IDENTITY },
	{ "cpu.governor", "governor", ENV_IDENTITY },
	{ "cpu.turbo", "turbo", ENV_IDENTITY },
	{ "cpu.smt", "SMT", ENV_IDENTITY },
	{ "cpu.clocksource", "clock source", ENV_IDENTITY },
	{ "cpu.mitigations.*", "mitigation", ENV_IDENTITY },
	{ "cpu.*", "CPU", ENV_IDENTITY },
	{ "memory.page_size", "page size", ENV_IDENTITY },
	{ "memory.thp", "transparent huge pages", ENV_IDENTITY },
	{ "memory.numa_nodes", "NUMA nodes", ENV_IDENTITY },
	{ "memory.numa_distances.*", "NUMA distances", ENV_IDENTITY },
	{ "memory.node", "NUMA node used", ENV_IDENTITY },
	/* The kernel's own size comes off it */
	{ "memory.total_bytes", "memory", ENV_INFORM },
	{ "memory.*", "memory", ENV_IDENTITY },
	{ "os.aslr", "ASLR", ENV_IDENTITY },
	{ "os.perf_event_paranoid", "perf_event_paranoid", ENV_INFORM },
	{ "os.steal_ticks_before", "", ENV_VOLATILE },
	{ "os.steal_ticks_after", "", ENV_VOLATILE },
	{ "os.loadavg_before", "", ENV_VOLATILE },
	{ "tool.version", "k2u-bench", ENV_IDENTITY },
	{ "tool.git", "k2u's revision", ENV_IDENTITY },
	{ "tool.compiler", "compiler of k2u-bench", ENV_IDENTITY },
	{ "tool.module_version", "module", ENV_IDENTITY },
	{ "tool.args", "options", ENV_IDENTITY },
	{ "tool.test_spin", "planted slowdown", ENV_IDENTITY },
	{ "tool.*", "tool", ENV_IDENTITY },
	{ "guest.qemu", "QEMU", ENV_IDENTITY },
	{ "guest.module_compiler", "compiler of the module", ENV_IDENTITY },
	{ "guest.*", "guest", ENV_IDENTITY },
	{ "counters.*", "event", ENV_INFORM },
	{ "methods.*", "method", ENV_INFORM },
	/* What a run is, how it went, and what the boots of one differ in */
	{ "run_id", "", ENV_VOLATILE },
	{ "started", "", ENV_VOLATILE },
	{ "duration_s", "", ENV_VOLATILE },
	{ "complete", "", ENV_VOLATILE },
	{ "error", "", ENV_VOLATILE },
	{ "seed", "", ENV_VOLATILE },
	{ "calibration", "", ENV_VOLATILE },
	{ "warnings", "", ENV_VOLATILE },
	{ "boots", "", ENV_VOLATILE },
	{ "bytes", "", ENV_VOLATILE },
};

/* Options of k2u-bench that say which boot it is or where its rows go */
static const char *const boot_options[] = {
	"--boot",   "--seed", "--run-id", "--out",
	"--stream", "--env",  "--config", "--venue",
};

/* The key's part that a "*" stands for goes to *rest: "" if there is none */
static const struct env_key *find_key(const char *path, const char **rest)
{
	const struct env_key *key;
	size_t len;

	for (key = keys; key < keys + ARRAY_SIZE(keys); key++) {
		len = strlen(key->path);
		*rest = path + strlen(path);
		if (!strcmp(key->path, path))
			return key;
		if (key->path[len - 1] == '*' &&
		    !strncmp(key->path, path, len - 1)) {
			*rest = path + len - 1;
			return key;
		}
	}
	return NULL;
}

static bool is_boot_option(const char *word)
{
	size_t i, len = strcspn(word, "=");

	for (i = 0; i < ARRAY_SIZE(boot_options); i++)
		if (len == strlen(boot_options[i]) &&
		    !strncmp(word, boot_options[i], len))
			return true;
	return false;
}

/*
 * What was asked for: without the options of the boot, and without the
 * subcommand. A value may hold blanks (--env=guest.qemu=7.2 (Debian ...)), so
 * that all words up to the next option are taken for its value.
 */
char *env_args(const char *args)
{
	char *copy = strdup(args), *out = malloc(strlen(args) + 1);
	char *word, *save = NULL, *p = out;
	bool skip = false;

	if (!copy || !out) {
		free(copy);
		free(out);
		return NULL;
	}
	*p = '\0';
	for (word = strtok_r(copy, " ", &save); word;
	     word = strtok_r(NULL, " ", &save)) {
		if (!strncmp(word, "--", 2))
			skip = is_boot_option(word);
		if (!skip && strcmp(word, "run"))
			p += sprintf(p, "%s%s", p == out ? "" : " ", word);
	}
	free(copy);
	return out;
}

/* As people read it; harmless on a terminal */
static char *value_text(const json_t *value, const char *path)
{
	char *text, *p;

	if (!value || json_is_null(value))
		text = strdup("");
	else if (json_is_string(value) && !strcmp(path, "tool.args"))
		text = env_args(json_string_value(value));
	else if (json_is_string(value))
		text = strdup(json_string_value(value));
	else if (json_is_object(value))
		text = asprintf(&p, "%zu entries", json_object_size(value)) <
				       0 ?
			       NULL :
			       p;
	else
		text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT |
						 JSON_REAL_PRECISION(6));
	return harmless(text);
}

static int add_change(struct env_changes *out, const char *path,
		      const json_t *old, const json_t *now)
{
	struct env_change *c, change = {};
	const struct env_key *key;
	const char *rest;

	key = find_key(path, &rest);
	if (key && key->class == ENV_VOLATILE)
		return 0;
	change.old = value_text(old, path);
	change.now = value_text(now, path);
	change.path = strdup(path);
	if (!change.old || !change.now || !change.path)
		goto no_memory;
	if (!strcmp(change.old, change.now)) {
		free(change.old);
		free(change.now);
		free(change.path);
		return 0;
	}
	c = grow(out->change, out->n, &out->room, sizeof(*c));
	if (!c)
		goto no_memory;
	change.class = key ? key->class : ENV_INFORM;
	change.title = key ? key->title : "";
	change.key = key ? change.path + (rest - path) : change.path;
	out->change = c;
	out->change[out->n++] = change;
	return 0;
no_memory:
	free(change.old);
	free(change.now);
	free(change.path);
	return out_of_memory();
}

static const char *member(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name)) ?: "";
}

/* The list as an object: what each method is here, or why it is not there */
static json_t *methods_object(const json_t *list)
{
	json_t *object = json_object(), *method;
	bool available;
	char *name;
	size_t i;

	json_array_foreach(list, i, method)
	{
		if (asprintf(&name, "%s %s %s", member(method, "provider"),
			     member(method, "method"),
			     member(method, "backing")) < 0)
			continue;
		available = json_is_true(json_object_get(method, "available"));
		json_object_set_new(
			object, name,
			json_sprintf("%s%s", available ? "" : "unavailable: ",
				     member(method,
					    available ? "via" : "reason")));
		free(name);
	}
	return object;
}

/* Options of a kernel by the names that they have now */
static json_t *config_object(const json_t *config)
{
	static const char *const renamed[][2] = {
#define K2U_CONFIG(name, why)
#define K2U_CONFIG_WAS(older, name) { #older, #name },
#include "../bench/config.def"
#undef K2U_CONFIG
#undef K2U_CONFIG_WAS
	};
	json_t *object = json_copy((json_t *)config), *older;
	const char *value;
	size_t i;

	for (i = 0; object && i < ARRAY_SIZE(renamed); i++) {
		older = json_object_get(object, renamed[i][0]);
		value = json_string_value(older);
		if (value && strcmp(value, "n"))
			json_object_set(object, renamed[i][1], older);
		json_object_del(object, renamed[i][0]);
	}
	return object;
}

static int diff(struct env_changes *out, const char *path, const json_t *old,
		const json_t *now);

static int diff_member(struct env_changes *out, const char *path,
		       const char *name, const json_t *old, const json_t *now)
{
	char *below;
	int ret;

	if (asprintf(&below, "%s%s%s", path, *path ? "." : "", name) < 0)
		return out_of_memory();
	ret = diff(out, below, old, now);
	free(below);
	return ret;
}

static int diff_objects(struct env_changes *out, const char *path,
			const json_t *old, const json_t *now)
{
	const char *name;
	json_t *value;
	int ret = 0;

	/* Not modified: the macro wants it so */
	json_object_foreach((json_t *)old, name, value)
	{
		ret = diff_member(out, path, name, value,
				  json_object_get(now, name));
		if (ret)
			return ret;
	}
	json_object_foreach((json_t *)now, name, value)
	{
		if (json_object_get(old, name))
			continue;
		ret = diff_member(out, path, name, NULL, value);
		if (ret)
			return ret;
	}
	return ret;
}

static int diff(struct env_changes *out, const char *path, const json_t *old,
		const json_t *now)
{
	const char *rest;
	const struct env_key *key = find_key(path, &rest);
	json_t *a, *b;
	int ret;

	if (key && key->class == ENV_VOLATILE)
		return 0;
	if (!strcmp(path, "methods") && json_is_array(old) &&
	    json_is_array(now)) {
		a = methods_object(old);
		b = methods_object(now);
		ret = diff_objects(out, path, a, b);
		json_decref(a);
		json_decref(b);
		return ret;
	}
	if (!strcmp(path, "kernel.config") && json_is_object(old) &&
	    json_is_object(now)) {
		a = config_object(old);
		b = config_object(now);
		ret = a && b ? diff_objects(out, path, a, b) : out_of_memory();
		json_decref(a);
		json_decref(b);
		return ret;
	}
	/* Of an object that one side has alone, that is all there is to say */
	if (json_is_object(old) && json_is_object(now))
		return diff_objects(out, path, old, now);
	return add_change(out, path, old, now);
}

int env_diff(const json_t *base, const json_t *now, struct env_changes *out)
{
	int ret;

	memset(out, 0, sizeof(*out));
	ret = diff(out, "", base, now);
	if (ret)
		env_changes_free(out);
	return ret;
}

void env_changes_free(struct env_changes *changes)
{
	size_t i;

	for (i = 0; i < changes->n; i++) {
		free(changes->change[i].path);
		free(changes->change[i].old);
		free(changes->change[i].now);
	}
	free(changes->change);
	memset(changes, 0, sizeof(*changes));
}

// SPDX-License-Identifier: GPL-2.0
/* config.c - of a kernel's configuration, what can move a figure (config.def). */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "bench.h"

static const char *const options[] = {
#define K2U_CONFIG(name, why) #name,
#define K2U_CONFIG_WAS(older, name) #older,
#include "config.def"
#undef K2U_CONFIG
#undef K2U_CONFIG_WAS
};

#define LINE_MAX_BYTES 8192 /* ten times the longest that was seen */

static size_t name_len(const char *s)
{
	size_t n = 0;

	while (isalnum((unsigned char)s[n]) || s[n] == '_')
		n++;
	return n;
}

/*
 * One line: CONFIG_NAME=value, "# CONFIG_NAME is not set", another comment, or
 * blank. Options that are not in the list are parsed as well, so that a wrong
 * file is seen.
 */
static int take_line(char *line, json_t *config)
{
	char *value, *end;
	size_t n;

	if (line[0] == '#' || line[0] == '\0')
		return 0;
	if (strncmp(line, "CONFIG_", 7))
		return -EINVAL;
	line += 7;
	n = name_len(line);
	if (!n || line[n] != '=')
		return -EINVAL;
	line[n] = '\0';
	value = line + n + 1;
	end = value + strlen(value);
	if (*value == '"') {
		if (end - value < 2 || end[-1] != '"')
			return -EINVAL;
		end[-1] = '\0';
		value++;
	} else if (!*value || strpbrk(value, " \t\r\"")) {
		return -EINVAL;
	}
	if (json_object_get(config, line) &&
	    json_object_set_new(config, line, json_string(value)))
		return -EINVAL; /* not UTF-8 */
	return 0;
}

/* 0 or -errno; *at: the line that is wrong, 0 if it is the file */
static int take_file(FILE *f, json_t *config, unsigned int *at)
{
	char line[LINE_MAX_BYTES];
	size_t n;
	int err;

	for (*at = 1; fgets(line, sizeof(line), f); ++*at) {
		n = strlen(line);
		if (n && line[n - 1] == '\n')
			line[n - 1] = '\0';
		else if (!n || !feof(f))
			return -EINVAL; /* NUL bytes, or too long */
		err = take_line(line, config);
		if (err)
			return err;
	}
	*at = 0;
	return ferror(f) ? -errno : 0;
}

/*
 * The object OPTION -> "y", "m", "n" (not set, or not known to this kernel) or
 * text; NULL and why if the file cannot be read or is no kernel's configuration.
 */
json_t *config_read(const char *path, char *why, size_t len)
{
	json_t *config = json_object();
	FILE *f = fopen(path, "re");
	unsigned int at = 0, i;
	const char *cc;
	int err;

	for (i = 0; i < ARRAY_SIZE(options); i++)
		json_object_set_new(config, options[i], json_string("n"));
	err = f ? take_file(f, config, &at) : -errno;
	if (f)
		fclose(f);
	/* Every whole configuration has it since 4.18; of a part, "n" would lie */
	cc = json_string_value(json_object_get(config, "CC_VERSION_TEXT"));
	if (!err && strcmp(cc, "n"))
		return config;
	if (at)
		snprintf(why, len,
			 "%s: line %u: not a line of a kernel's configuration",
			 path, at);
	else if (err)
		snprintf(why, len, "%s: %s", path, strerror(-err));
	else
		snprintf(
			why, len,
			"%s: not a kernel's whole configuration: it has no CONFIG_CC_VERSION_TEXT",
			path);
	json_decref(config);
	return NULL;
}

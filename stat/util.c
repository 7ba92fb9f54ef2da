// SPDX-License-Identifier: GPL-2.0
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "k2u-stat.h"

char *harmless(char *text)
{
	char *p;

	for (p = text; p && *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
		else if (p[0] == (char)0xc2 && (unsigned char)p[1] >= 0x80 &&
			 (unsigned char)p[1] < 0xa0)
			p[0] = p[1] = ' ';
	return text;
}

bool is_name(const char *text)
{
	static const char other[] = "._+~/-";
	const char *p;

	for (p = text; *p; p++)
		if (!isascii(*p) || !(isalnum((unsigned char)*p) ||
				      (p > text && strchr(other, *p))))
			return false;
	return p > text && p - text <= NAME_LEN_MAX;
}

void say(const char *fmt, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, fmt);
	len = vasprintf(&text, fmt, args);
	va_end(args);
	if (len < 0)
		return;
	fprintf(stderr, "k2u-stat: %s\n", harmless(text));
	free(text);
}

int out_of_memory(void)
{
	say("out of memory");
	return -ENOMEM;
}

void *grow(void *array, size_t n, size_t *room, size_t elem)
{
	size_t want = n ? 2 * n : 16;
	void *p;

	if (n < *room)
		return array;
	p = reallocarray(array, want, elem);
	if (p)
		*room = want;
	return p;
}

int find_name(const char *const *names, const char *name)
{
	int i;

	for (i = 0; names[i]; i++)
		if (!strcmp(names[i], name))
			return i;
	return -1;
}

int parse_name(struct argp_state *state, const char *option,
	       const char *const *names, const char *arg)
{
	int found = find_name(names, arg);
	char *all = NULL;
	size_t len, i;
	FILE *f;

	if (found >= 0)
		return found;
	f = open_memstream(&all, &len);
	for (i = 0; f && names[i]; i++)
		fprintf(f, "%s%s", i ? ", " : "", names[i]);
	if (f)
		fclose(f);
	argp_error(state, "%s: one of %s, not '%s'", option, all ?: "them",
		   arg);
	free(all);
	return 0;
}

int parse_run(char *arg, struct argp_state *state, const char **dir)
{
	if (!arg && !*dir)
		argp_error(state, "which run? Give its directory");
	else if (arg && *dir)
		argp_error(state, "one run at a time, not '%s' too", arg);
	else if (arg)
		*dir = arg;
	return 0;
}

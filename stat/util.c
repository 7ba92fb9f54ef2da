// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "k2u-stat.h"

void say(const char *fmt, ...)
{
	va_list args;

	fputs("k2u-stat: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
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

// SPDX-License-Identifier: GPL-2.0
/* What the fuzz targets share. */
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

#define WORDS 8

static char root[64];

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_root(void)
{
	nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *fuzz_path(const char *path)
{
	static char text[256];

	if (!*root) {
		strcpy(root, access("/dev/shm", W_OK) ?
				     "/tmp/k2u-fuzz.XXXXXX" :
				     "/dev/shm/k2u-fuzz.XXXXXX");
		fuzz_must(mkdtemp(root));
		atexit(remove_root);
	}
	snprintf(text, sizeof(text), "%s/%s", root, path);
	return text;
}

void fuzz_put(const char *path, const void *data, size_t size)
{
	char *slash = strchr(path, '/');
	int fd;

	if (slash) {
		char *dir = strndup(path, slash - path);

		mkdir(fuzz_path(dir), 0700);
		free(dir);
	}
	fd = open(fuzz_path(path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
		  0600);
	fuzz_must(fd >= 0);
	fuzz_must(write(fd, data, size) == (ssize_t)size);
	close(fd);
}

void fuzz_remove(const char *path)
{
	unlink(fuzz_path(path));
}

/* The next line that begins a file; end if there is none */
static const uint8_t *next_mark(const uint8_t *at, const uint8_t *end)
{
	for (; at + 3 < end; at++) {
		if (!memcmp(at, "@@ ", 3))
			return at;
		at = memchr(at, '\n', end - at);
		if (!at)
			return end;
	}
	return end;
}

void fuzz_unpack(const char *const *names, const uint8_t *data, size_t size)
{
	const uint8_t *end = data + size, *at = next_mark(data, end);
	const uint8_t *line, *next;
	bool there[16] = {};
	size_t i, len;

	while (at < end) {
		at += 3;
		line = memchr(at, '\n', end - at);
		if (!line)
			break;
		len = line - at;
		next = next_mark(line + 1, end);
		for (i = 0; names[i]; i++) {
			if (there[i] || strlen(names[i]) != len ||
			    memcmp(names[i], at, len))
				continue;
			fuzz_put(names[i], line + 1, next - line - 1);
			there[i] = true;
		}
		at = next;
	}
	for (i = 0; names[i]; i++)
		if (!there[i])
			fuzz_remove(names[i]);
}

int fuzz_call(int (*command)(int argc, char **argv), const char *words)
{
	char *argv[WORDS + 2] = { strdup("fuzz") }, *kept[WORDS + 1];
	int argc = 1, i, ret;
	size_t len;

	for (; *words; words += len + (words[len] == ' ')) {
		char word[64];

		len = strcspn(words, " ");
		fuzz_must(len < sizeof(word) && argc <= WORDS);
		memcpy(word, words, len);
		word[len] = '\0';
		argv[argc++] =
			strdup(*word == '/' ? fuzz_path(word + 1) : word);
	}
	/* argp puts options first */
	memcpy(kept, argv, sizeof(kept));
	ret = command(argc, argv);
	for (i = 0; i < argc; i++)
		free(kept[i]);
	return ret;
}

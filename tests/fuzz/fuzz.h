/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the fuzz targets share: the input as files in a directory, and calls of
 * k2u-stat's subcommands over them. An input of several files is
 *
 *	@@ NAME
 *	contents
 *	@@ NAME
 *	...
 *
 * with names that the target lists; what precedes the first is ignored.
 */
#ifndef K2U_FUZZ_H
#define K2U_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A directory in memory, emptied at exit; PATH in it, valid until the next call */
const char *fuzz_path(const char *path);
void fuzz_put(const char *path, const void *data, size_t size);
void fuzz_remove(const char *path);
/* Files that the input has, of names; others of them are removed. NULL ends names */
void fuzz_unpack(const char *const *names, const uint8_t *data, size_t size);
/* A word that begins with / stands for that path in the directory */
int fuzz_call(int (*command)(int argc, char **argv), const char *words);

/* A property of the code, in every build */
#define fuzz_must(x)                      \
	do {                              \
		if (!(x))                 \
			__builtin_trap(); \
	} while (0)

#endif /* K2U_FUZZ_H */

// SPDX-License-Identifier: GPL-2.0
/* sys.c - what the running system says of itself and of this process. */
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "bench.h"

size_t page_bytes(void)
{
	static size_t page;

	if (!page)
		page = sysconf(_SC_PAGESIZE);
	return page;
}

/* What one PMD covers; where the kernel does not say: a page full of 8-byte entries */
size_t pmd_bytes(void)
{
	static size_t pmd;
	char text[32];

	if (pmd)
		return pmd;
	if (read_text("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size",
		      text, sizeof(text)))
		pmd = strtoul(text, NULL, 10);
	if (!pmd)
		pmd = page_bytes() / 8 * page_bytes();
	return pmd;
}

/* The first line of a file, without its end */
bool read_text(const char *path, char *buf, size_t len)
{
	FILE *f = fopen(path, "re");
	bool ok;

	if (!f)
		return false;
	ok = fgets(buf, len, f);
	fclose(f);
	if (ok)
		buf[strcspn(buf, "\n")] = '\0';
	return ok;
}

static bool line_field(const char *line, const char *key, char *value,
		       size_t len)
{
	size_t n = strlen(key);

	if (strncmp(line, key, n))
		return false;
	line += n;
	line += strspn(line, " \t");
	if (*line != ':')
		return false;
	line += 1 + strspn(line + 1, " \t");
	snprintf(value, len, "%.*s", (int)strcspn(line, "\n"), line);
	return true;
}

/* The value of the first "key : value" line */
bool read_field(const char *path, const char *key, char *value, size_t len)
{
	char line[1024];
	FILE *f = fopen(path, "re");
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = line_field(line, key, value, len);
	if (f)
		fclose(f);
	return found;
}

/* The same in /proc/self/smaps, of the mapping that begins at addr */
bool smaps_field(const void *addr, const char *key, char *value, size_t len)
{
	unsigned long start, end;
	char line[1024];
	FILE *f = fopen("/proc/self/smaps", "re");
	bool here = false, found = false;

	while (f && !found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = start == (unsigned long)addr;
		else if (here)
			found = line_field(line, key, value, len);
	}
	if (f)
		fclose(f);
	return found;
}

/*
 * Huge pages are off for the whole process, not mapping by mapping with
 * madvise(): that call would be part of what is timed.
 */
void thp_allow(bool allow)
{
	static int allowed = -1;

	if (allowed != allow)
		prctl(PR_SET_THP_DISABLE, !allow, 0, 0, 0);
	allowed = allow;
}

/* Whether a program cannot have huge pages, and why */
bool thp_absent(char *why, size_t len)
{
	char mode[64];

	if (!read_text("/sys/kernel/mm/transparent_hugepage/enabled", mode,
		       sizeof(mode)))
		snprintf(why, len, "this kernel has no transparent huge pages");
	else if (strstr(mode, "[never]"))
		snprintf(
			why, len,
			"transparent huge pages are off (echo madvise >/sys/kernel/mm/transparent_hugepage/enabled)");
	else
		return false;
	return true;
}

size_t pmd_round_up(size_t len)
{
	return (len + pmd_bytes() - 1) / pmd_bytes() * pmd_bytes();
}

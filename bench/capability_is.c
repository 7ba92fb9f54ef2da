// SPDX-License-Identifier: GPL-2.0
/*
 * capability_is.c - what a mapping is. The module reads the page tables
 * (K2U_IOC_INSPECT); of other mappings smaps and pagemap say what they do.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "capability.h"

#define PAGEMAP_PRESENT \
	(1ULL << 63) /* Documentation/admin-guide/mm/pagemap.rst */
#define PAGEMAP_PFN ((1ULL << 55) - 1)

/* Whether the module can look: not into a mapping of another file */
static bool is_k2u(const struct cap *c)
{
	return !strcmp(c->src->provider, "k2u") &&
	       !(c->src->access & K2U_ACCESS_MAP_OTHER);
}

static bool field(const struct cap *c, const char *key, char *text, size_t len)
{
	return smaps_field(cap_start(c), key, text, len);
}

static uint64_t field_bytes(const struct cap *c, const char *key)
{
	char text[64];

	return field(c, key, text, sizeof(text)) ?
		       strtoull(text, NULL, 10) * KIB :
		       0;
}

/* Two letters each, set off by blanks */
static bool has_flag(const char *flags, const char *flag)
{
	const char *at;

	for (at = flags; (at = strstr(at, flag)); at++)
		if ((at == flags || at[-1] == ' ') && (!at[2] || at[2] == ' '))
			return true;
	return false;
}

/* A mapping of which every page was loaded from, and what the module sees of it */
static bool map_and_inspect(struct cap *c, struct k2u_inspect *seen)
{
	if (!cap_map(c, PROT_READ, 0))
		return false;
	cap_touch(c, c->addr);
	*seen = (struct k2u_inspect){ .addr = (uintptr_t)c->addr,
				      .size = c->buf.size };
	if (!is_k2u(c) || !ioctl(c->buf.fd, K2U_IOC_INSPECT, seen))
		return true;
	cap_errno(c, "K2U_IOC_INSPECT");
	return false;
}

static void level(struct cap *c, uint64_t pte, uint64_t pmd, uint64_t pud,
		  uint64_t absent)
{
	unsigned int levels = !!pte + !!pmd + !!pud;

	cap_say(c,
		levels != 1 || absent ? "mixed" :
		pte		      ? "PTE" :
		pmd		      ? "PMD" :
					"PUD",
		"base pages by PTE %lu; PMD %lu; PUD %lu; absent %lu", pte, pmd,
		pud, absent);
}

void cap_level(struct cap *c)
{
	struct k2u_inspect seen;
	uint64_t rss, huge;

	if (!map_and_inspect(c, &seen))
		return;
	if (is_k2u(c)) {
		level(c, seen.pte_pages, seen.pmd_pages, seen.pud_pages,
		      seen.absent_pages);
		return;
	}
	rss = field_bytes(c, "Rss");
	huge = field_bytes(c, "AnonHugePages") +
	       field_bytes(c, "ShmemPmdMapped") +
	       field_bytes(c, "FilePmdMapped");
	if (rss < cap_len(c))
		cap_none(
			c,
			"smaps counts %lu of %lu KiB of this mapping; only the module reads page tables",
			rss / KIB, cap_len(c) / KIB);
	else
		level(c, (rss - huge) / page_bytes(), huge / page_bytes(), 0,
		      0);
}

void cap_memtype(struct cap *c)
{
	static const char *const names[] = {
		[K2U_MEMTYPE_UNKNOWN] = "unknown", [K2U_MEMTYPE_WB] = "WB",
		[K2U_MEMTYPE_WC] = "WC",	   [K2U_MEMTYPE_UC] = "UC",
		[K2U_MEMTYPE_UC_MINUS] = "UC-",	   [K2U_MEMTYPE_WT] = "WT",
		[K2U_MEMTYPE_WP] = "WP",
	};
	struct k2u_inspect seen;

	if (!is_k2u(c)) {
		cap_none(c, "only the module reads page-table entries");
		return;
	}
	if (map_and_inspect(c, &seen))
		cap_say(c,
			seen.cache < ARRAY_SIZE(names) ? names[seen.cache] :
							 "unknown",
			strcmp(c->src->backing, "dma") ?
				"asked for: write-back" :
				"the DMA API decides");
}

void cap_kind(struct cap *c)
{
	const uint64_t kinds = K2U_VMA_PFNMAP | K2U_VMA_MIXEDMAP;
	struct k2u_inspect seen;
	uint64_t kind;
	char flags[128];

	if (!map_and_inspect(c, &seen))
		return;
	if (!field(c, "VmFlags", flags, sizeof(flags))) {
		cap_none(c, "smaps has no VmFlags here");
		return;
	}
	kind = (has_flag(flags, "pf") ? K2U_VMA_PFNMAP : 0) |
	       (has_flag(flags, "mm") ? K2U_VMA_MIXEDMAP : 0);
	if (is_k2u(c) && (seen.vma_flags & kinds) != kind)
		cap_say(c, "wrong", "smaps says %s; the module sees %llx",
			flags, seen.vma_flags);
	else
		cap_say(c,
			kind == K2U_VMA_PFNMAP	 ? "VM_PFNMAP" :
			kind == K2U_VMA_MIXEDMAP ? "VM_MIXEDMAP" :
			kind			 ? "both" :
						   "ordinary",
			"%s",
			is_k2u(c) ? "smaps and the module agree" : "smaps");
}

/* sd, soft-dirty, is a mark of time and not of the mapping */
void cap_vm_flags(struct cap *c)
{
	char flags[128], rest[128] = "", *word, *save;

	if (!cap_map(c, PROT_READ, 0))
		return;
	if (!field(c, "VmFlags", flags, sizeof(flags))) {
		cap_none(c, "smaps has no VmFlags here");
		return;
	}
	for (word = strtok_r(flags, " ", &save); word;
	     word = strtok_r(NULL, " ", &save))
		if (strcmp(word, "sd"))
			snprintf(rest + strlen(rest),
				 sizeof(rest) - strlen(rest), "%s%s",
				 rest[0] ? " " : "", word);
	cap_say(c, rest, "mapped PROT_READ");
}

/* The second time around: the first may fault in our own code */
void cap_faults(struct cap *c)
{
	uint64_t before = 0, after = 0;
	struct use u;
	char text[32];
	int err = 0, i;
	long n = 0;

	use_init(&u, c->src, &c->buf);
	for (i = 0; i < 2 && !err; i++) {
		err = access_map.setup(&u, cap_place());
		if (err)
			break;
		if (c->src->ops->faults)
			c->src->ops->faults(&c->buf, &before);
		n = cap_minor_faults();
		access_map.touch(&u);
		n = cap_minor_faults() - n;
		if (c->src->ops->faults)
			c->src->ops->faults(&c->buf, &after);
		access_map.teardown(&u);
	}
	if (err) {
		errno = -err;
		cap_errno(c, "mmap");
		return;
	}
	snprintf(text, sizeof(text), "%ld for %lu", n,
		 c->buf.size / page_bytes());
	if (c->src->ops->faults)
		cap_say(c, after - before == (uint64_t)n ? text : "wrong",
			"pages; by getrusage; the module counts %lu",
			after - before);
	else
		cap_say(c, text, "pages; by getrusage");
}

/* The entries of pagemap for the mapping; NULL: not to be had, which is said */
static uint64_t *read_pagemap(struct cap *c)
{
	size_t n = c->buf.size / page_bytes();
	uint64_t *entry = calloc(n, sizeof(*entry));
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	off_t at = (uintptr_t)c->addr / page_bytes() * sizeof(*entry);

	if (!entry || fd < 0 ||
	    pread(fd, entry, n * sizeof(*entry), at) !=
		    (ssize_t)(n * sizeof(*entry))) {
		cap_none(c, "/proc/self/pagemap: %m");
		free(entry);
		entry = NULL;
	}
	if (fd >= 0)
		close(fd);
	return entry;
}

static void runs(struct cap *c, uint64_t n, const char *who)
{
	cap_say(c, n == 1 ? "yes" : "no", "%lu runs of frames in %lu pages; %s",
		n, c->buf.size / page_bytes(), who);
}

void cap_contiguous(struct cap *c)
{
	struct k2u_inspect seen;
	uint64_t *entry, n = 0, last = 0, pfn;
	size_t i;

	if (!map_and_inspect(c, &seen))
		return;
	if (is_k2u(c)) {
		runs(c, seen.pfn_runs, "K2U_IOC_INSPECT");
		return;
	}
	entry = read_pagemap(c);
	if (!entry)
		return;
	for (i = 0; i < c->buf.size / page_bytes(); i++) {
		pfn = entry[i] & PAGEMAP_PRESENT ? entry[i] & PAGEMAP_PFN : 0;
		if (!pfn) {
			cap_none(
				c,
				"pagemap shows no frames (it needs CAP_SYS_ADMIN; and has nothing on VM_PFNMAP)");
			return;
		}
		n += pfn != last + 1;
		last = pfn;
	}
	runs(c, n, "pagemap");
}

void cap_rss(struct cap *c)
{
	struct k2u_inspect seen;
	uint64_t rss;

	if (!map_and_inspect(c, &seen))
		return;
	rss = field_bytes(c, "Rss");
	cap_say(c,
		rss == cap_len(c) ? "yes" :
		rss		  ? "partly" :
				    "no",
		"%lu of %lu KiB", rss / KIB, cap_len(c) / KIB);
}

void cap_pagemap(struct cap *c)
{
	struct k2u_inspect seen;
	uint64_t *entry;
	size_t i, n = 0, pages = c->buf.size / page_bytes();

	if (!map_and_inspect(c, &seen))
		return;
	entry = read_pagemap(c);
	if (!entry)
		return;
	for (i = 0; i < pages; i++)
		n += !!(entry[i] & PAGEMAP_PRESENT);
	cap_say(c,
		n == pages ? "yes" :
		n	   ? "partly" :
			     "no",
		"%zu of %zu pages present", n, pages);
}

void cap_thp_eligible(struct cap *c)
{
	char text[16];

	if (!cap_map(c, PROT_READ, 0))
		return;
	thp_allow(true);
	if (field(c, "THPeligible", text, sizeof(text)))
		cap_say(c, text[0] == '1' ? "yes" : "no", "without madvise");
	else
		cap_none(c, "smaps has no THPeligible here");
}

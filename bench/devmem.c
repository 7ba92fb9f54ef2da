// SPDX-License-Identifier: GPL-2.0
/*
 * devmem.c - a buffer's physical pages through /dev/mem and, until 5.12, its
 * linear address through /dev/kmem: where they are, whether the kernel lets us,
 * and else which of its rules forbids it. docs/DEVMEM.md is the table.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bench.h"

/* ---- why not: the rules in the order in which the kernel asks them ---- */

/*
 * memory_open() and open_port() of drivers/char/mem.c: the device, then the
 * capability, then lockdown, from 5.10 to 7.3
 */
static void why_open(const struct devmem_facts *f, char *why, size_t len)
{
	const bool locked = strstr(f->said, "Lockdown:") ||
			    (f->lockdown[0] && strcmp(f->lockdown, "none"));

	const bool missing = f->err == ENOENT || f->err == ENXIO ||
			     f->err == ENODEV;

	if (missing && f->kmem)
		snprintf(
			why, len, "missing device: /dev/kmem%s",
			f->release >= 5013 ?
				" was removed in Linux 5.13" :
			f->devkmem == 'n' ?
				": the kernel is built without CONFIG_DEVKMEM" :
				": CONFIG_DEVKMEM is probably not set");
	else if (missing)
		snprintf(why, len, "missing device: open: %s; %s",
			 strerrorname_np(f->err),
			 f->devmem == 'n' ?
				 "the kernel is built without CONFIG_DEVMEM" :
			 f->known ? "the kernel has it: mknod /dev/mem c 1 1" :
			 f->devmem == 'y' ?
				    "CONFIG_DEVMEM=y: mknod /dev/mem c 1 1" :
				    "CONFIG_DEVMEM is probably not set");
	else if (f->err == EPERM && !f->rawio)
		snprintf(
			why, len,
			"CAP_SYS_RAWIO: open: EPERM; CapEff of /proc/self/status is without it: run as root, in no container");
	else if (f->err == EPERM && locked)
		snprintf(
			why, len,
			"lockdown: open: EPERM; %s%s%s: boot without lockdown= (and Secure Boot)",
			f->lockdown[0] ? "/sys/kernel/security/lockdown is " :
					 "the kernel log: ",
			f->lockdown[0] ? f->lockdown : f->said,
			f->lockdown[0] && f->said[0] ?
				" and the kernel log says so" :
				"");
	else if (f->err == EPERM)
		snprintf(
			why, len,
			"open: EPERM, with CAP_SYS_RAWIO and lockdown %s: a user namespace or a device cgroup",
			f->lockdown[0] ? f->lockdown : "not known");
	else if (f->err == EACCES)
		snprintf(
			why, len,
			"permissions: open: EACCES; /dev/mem is root's: run as root");
	else
		snprintf(why, len, "open: %s", strerrorname_np(f->err));
}

/*
 * mmap_mem(): range_is_allowed() is EPERM, and nothing but STRICT_DEVMEM makes it
 * ask. phys_mem_access_prot_allowed() is EINVAL: until 6.15 x86 with PAT asks
 * devmem_is_allowed() there where STRICT_DEVMEM has not. A range past what the CPU
 * addresses is EINVAL as well. What remap_pfn_range() fails of becomes EAGAIN.
 */
static void why_mmap(const struct devmem_facts *f, char *why, size_t len)
{
	static const char *const set[] = { ['y'] = "=y", ['n'] = "=n" };
	const char *strict = f->strict ? set[(int)f->strict] : " not known";
	const bool pat = f->x86 && f->pat != 'n' && !f->nopat;
	const bool aliasing = pat && f->strict != 'y' && f->release < 6016;

	if (f->err == EPERM && f->strict == 'n')
		snprintf(
			why, len,
			"mmap: EPERM, although CONFIG_STRICT_DEVMEM=n: a security module");
	else if (f->err == EPERM && f->ram)
		snprintf(
			why, len,
			"STRICT_DEVMEM: mmap of System RAM: EPERM; CONFIG_STRICT_DEVMEM%s: only a kernel without it maps this",
			strict);
	else if (f->err == EPERM && f->io_strict == 'n')
		snprintf(
			why, len,
			"STRICT_DEVMEM: mmap: EPERM; CONFIG_STRICT_DEVMEM%s and the range is exclusive in /proc/iomem: unbind its driver",
			strict);
	else if (f->err == EPERM)
		snprintf(
			why, len,
			"IO_STRICT_DEVMEM: mmap: EPERM; CONFIG_IO_STRICT_DEVMEM%s and a driver has the range (/proc/iomem): unbind it or boot with iomem=relaxed",
			f->io_strict ? "=y" : " not known");
	else if (f->err == EINVAL && f->ram && aliasing)
		snprintf(
			why, len,
			"PAT: mmap of System RAM: EINVAL; CONFIG_STRICT_DEVMEM%s, CONFIG_X86_PAT%s and no nopat: boot with nopat",
			strict, f->pat ? "=y" : " not known");
	else if (f->err == EINVAL)
		snprintf(
			why, len,
			"mmap: EINVAL: an offset that is no whole page, or a range past the physical addresses of this CPU");
	else if (f->err == EAGAIN && pat)
		snprintf(
			why, len,
			"PAT: mmap: EAGAIN, as remap_pfn_range() failed: memory types conflict, or RAM and other memory in one range%s%s",
			f->said[0] ? "; the kernel log: " : "", f->said);
	else if (f->err == EAGAIN)
		snprintf(
			why, len,
			"mmap: EAGAIN, as remap_pfn_range() failed: no memory for page tables");
	else
		snprintf(why, len, "mmap: %s", strerrorname_np(f->err));
}

void devmem_why(const struct devmem_facts *f, char *why, size_t len)
{
	if (!f->err)
		why[0] = '\0';
	else if (f->opened)
		why_mmap(f, why, len);
	else
		why_open(f, why, len);
}

/* ---- the facts ---- */

static char option(const json_t *config, const char *name)
{
	const char *value =
		config ? json_string_value(json_object_get(config, name)) :
			 NULL;

	return !value ? 0 : value[0] == 'y' ? 'y' : 'n';
}

/* /sys/kernel/security/lockdown: "none [integrity] confidentiality" */
static void read_lockdown(char *word, size_t len)
{
	char text[64], *open, *close;

	word[0] = '\0';
	if (!read_text("/sys/kernel/security/lockdown", text, sizeof(text)))
		return;
	open = strchr(text, '[');
	close = open ? strchr(open, ']') : NULL;
	if (close)
		snprintf(word, len, "%.*s", (int)(close - open - 1), open + 1);
}

static bool has_rawio(void)
{
	char text[32];

	return read_field("/proc/self/status", "CapEff", text, sizeof(text)) &&
	       strtoull(text, NULL, 16) >> CAP_SYS_RAWIO & 1;
}

static bool has_word(const char *path, const char *word)
{
	char text[4096], *at, *rest;

	if (!read_text(path, text, sizeof(text)))
		return false;
	for (at = strtok_r(text, " ", &rest); at;
	     at = strtok_r(NULL, " ", &rest))
		if (!strcmp(at, word))
			return true;
	return false;
}

/* What the kernel has said of this since the log was opened: the last of it */
static void read_log(int log, char *said, size_t len)
{
	char record[1024], *text;
	ssize_t n;

	while ((n = read(log, record, sizeof(record) - 1)) > 0 ||
	       (n < 0 && errno == EPIPE)) {
		if (n < 0)
			continue;
		record[n] = '\0';
		text = strchr(record, ';');
		if (!text ||
		    !(strstr(text, "/dev/mem") || strstr(text, "x86/PAT")))
			continue;
		text[strcspn(text, "\n")] = '\0';
		snprintf(said, len, "%s", text + 1);
	}
}

/* What is asked only where something was refused */
static void look_around(struct devmem_facts *f, const char *path)
{
	char text[256];
	json_t *config = path ? config_read(path, text, sizeof(text)) : NULL;
	unsigned int major, minor;
	struct utsname u;

	f->devmem = option(config, "DEVMEM");
	f->devkmem = option(config, "DEVKMEM");
	f->strict = option(config, "STRICT_DEVMEM");
	f->io_strict = option(config, "IO_STRICT_DEVMEM");
	f->pat = option(config, "X86_PAT");
	json_decref(config);
	if (!uname(&u)) {
		f->x86 = !strcmp(u.machine, "x86_64");
		if (sscanf(u.release, "%u.%u", &major, &minor) == 2)
			f->release = major * 1000 + minor;
	}
	f->nopat = has_word("/proc/cmdline", "nopat");
	f->known = !access("/sys/class/mem/mem", F_OK);
	f->rawio = has_rawio();
	read_lockdown(f->lockdown, sizeof(f->lockdown));
}

int devmem_open(bool readonly)
{
	return open("/dev/mem", (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
}

bool devmem_try(uint64_t paddr, size_t len, bool ram, const char *config,
		struct devmem_facts *f)
{
	int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC), fd;
	void *p;

	if (log >= 0)
		lseek(log, 0, SEEK_END);
	fd = devmem_open(true);
	*f = (struct devmem_facts){ .opened = fd >= 0, .ram = ram };
	if (fd < 0) {
		f->err = errno;
	} else {
		p = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, (off_t)paddr);
		f->err = p == MAP_FAILED ? errno : 0;
		if (p != MAP_FAILED)
			munmap(p, len);
		close(fd);
	}
	if (f->err) {
		if (log >= 0)
			read_log(log, f->said, sizeof(f->said));
		look_around(f, config);
	}
	if (log >= 0)
		close(log);
	return !f->err;
}

int kmem_open(void)
{
	return open("/dev/kmem", O_RDONLY | O_CLOEXEC);
}

bool kmem_try(const char *config, struct devmem_facts *f)
{
	int fd = kmem_open();

	*f = (struct devmem_facts){ .kmem = true };
	if (fd >= 0) {
		close(fd);
		return true;
	}
	f->err = errno;
	look_around(f, config);
	return false;
}

/* ---- where a buffer is ---- */

int devmem_locate(struct buffer *b)
{
	struct k2u_inspect in = { .size = page_bytes() };
	void *p;
	int err;

	if (b->paddr)
		return 0;
	p = mmap(NULL, page_bytes(), PROT_READ, MAP_SHARED, b->fd,
		 (off_t)K2U_MMAP_OFFSET(K2U_METHOD_pfn));
	if (p == MAP_FAILED)
		return -errno;
	in.addr = (uintptr_t)p;
	err = ioctl(b->fd, K2U_IOC_INSPECT, &in) ? -errno : 0;
	munmap(p, page_bytes());
	/* Only a file that was opened with CAP_SYS_ADMIN is told */
	if (!err && !in.first_pfn)
		err = -EPERM;
	if (!err)
		b->paddr = in.first_pfn * page_bytes();
	return err;
}

/*
 * Where the kernel has physical memory in its linear mapping: a program header
 * of /proc/kcore has both addresses (elf_kcore_store_hdr(), fs/proc/kcore.c).
 */
int kmem_linear(uint64_t paddr, uint64_t *vaddr)
{
	int fd = open("/proc/kcore", O_RDONLY | O_CLOEXEC), err = -ESRCH;
	Elf64_Phdr p;
	Elf64_Ehdr e;
	unsigned int i;

	if (fd < 0)
		return -errno;
	if (pread(fd, &e, sizeof(e), 0) != sizeof(e))
		e.e_phnum = 0;
	for (i = 0; i < e.e_phnum && err; i++) {
		if (pread(fd, &p, sizeof(p), e.e_phoff + i * sizeof(p)) !=
		    sizeof(p))
			break;
		if (p.p_type != PT_LOAD || paddr < p.p_paddr ||
		    paddr - p.p_paddr >= p.p_memsz)
			continue;
		*vaddr = p.p_vaddr + (paddr - p.p_paddr);
		err = 0;
	}
	close(fd);
	return err;
}

int kmem_locate(struct buffer *b)
{
	int err = devmem_locate(b);

	return err ? err : kmem_linear(b->paddr, &b->vaddr);
}

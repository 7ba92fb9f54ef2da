// SPDX-License-Identifier: GPL-2.0
/* The ioctls: commands, pointers, fields and sizes that there are not. */
#include <limits.h>
#include <linux/fs.h>
#include <sys/wait.h>
#include <termios.h>

#include "hostile.h"

static const struct command {
	const char *name;
	unsigned long cmd;
	size_t size;
	size_t reserved; /* where the reserved words begin */
	bool writes_back;
} commands[] = {
#define COMMAND(name, type, back)                             \
	{                                                     \
#name, K2U_IOC_##name, sizeof(struct type),   \
			offsetof(struct type, reserved), back \
	}
	COMMAND(SETUP, k2u_setup, false),
	COMMAND(FILL, k2u_fill, false),
	COMMAND(CHECKSUM, k2u_checksum, true),
	COMMAND(COUNTERS, k2u_counters, true),
	COMMAND(INSPECT, k2u_inspect, true),
	COMMAND(INFO, k2u_info, true),
	COMMAND(COPY, k2u_copy, false),
	COMMAND(METHOD, k2u_method_info, true),
};

HOSTILE(ioctl_unknown)
{
	uint64_t arg[64] = { 0 };

	for (unsigned int nr = 0; nr < 256; nr++) {
		/* the numbers that there are, with another size or direction */
		const size_t size = nr < ARRAY_SIZE(commands) ? 1 : 8;

		expect(h, "number",
		       result(ioctl(h->fd,
				    _IOC(_IOC_READ | _IOC_WRITE, K2U_IOC_MAGIC,
					 nr, size),
				    arg)));
		expect(h, "magic",
		       result(ioctl(h->fd,
				    _IOC(_IOC_WRITE, K2U_IOC_MAGIC ^ (nr ?: 1),
					 0, sizeof(struct k2u_setup)),
				    arg)));
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		const unsigned long cmd = commands[i].cmd;

		expect(h, "size", result(ioctl(h->fd, cmd + (1 << 16), arg)));
		expect(h, "size", result(ioctl(h->fd, cmd - (1 << 16), arg)));
		expect(h, "size_0",
		       result(ioctl(h->fd,
				    cmd & ~((unsigned long)_IOC_SIZEMASK << 16),
				    arg)));
		expect(h, "direction",
		       result(ioctl(h->fd, cmd ^ (1UL << 31), arg)));
	}
	expect(h, "zero", result(ioctl(h->fd, 0, arg)));
	expect(h, "all_ones", result(ioctl(h->fd, UINT_MAX, arg)));
	expect(h, "tcgets", result(ioctl(h->fd, TCGETS, arg)));
	expect(h, "fionread", result(ioctl(h->fd, FIONREAD, arg)));
	expect(h, "fioasync", result(ioctl(h->fd, FIOASYNC, &(int){ 1 })));
	expect(h, "fibmap", result(ioctl(h->fd, FIBMAP, arg)));
	expect(h, "figetbsz", result(ioctl(h->fd, FIGETBSZ, arg)));
	expect(h, "ficlone", result(ioctl(h->fd, FICLONE, h->ro)));
	expect(h, "getflags", result(ioctl(h->fd, FS_IOC_GETFLAGS, arg)));
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		expect(h, "unused_file",
		       result(ioctl(h->fresh[0], _IO(K2U_IOC_MAGIC, i), arg)));
}

static int call(const struct command *c, int fd, void *arg)
{
	return result(ioctl(fd, c->cmd, arg));
}

/* A good argument of the command */
static void good(const struct hostile *h, const struct command *c, void *arg)
{
	memset(arg, 0, c->size);
	switch (c->cmd) {
	case K2U_IOC_SETUP:
		*(struct k2u_setup *)arg =
			(struct k2u_setup){ .size = h->page,
					    .backing = h->backing,
					    .node = K2U_NODE_ANY };
		break;
	case K2U_IOC_FILL:
		((struct k2u_fill *)arg)->seed = SEED;
		break;
	case K2U_IOC_COPY:
		((struct k2u_copy *)arg)->method = K2U_METHOD_ioctl;
		break;
	}
}

/* Each command with each kind of pointer */
HOSTILE(ioctl_pointer)
{
	char *two = hostile_anon(h, 2 * h->page, PROT_READ | PROT_WRITE);
	char *map = mmap(NULL, h->page, PROT_READ | PROT_WRITE, MAP_SHARED,
			 h->fresh[5], 0);

	need(map != MAP_FAILED);
	hostile_unmap(h, two + h->page, h->page);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		const struct command *c = &commands[i];
		int fd = h->fd;
		char tmp[512];
		struct {
			const char *op;
			void *p;
		} bad[] = {
			{ "null", NULL },
			{ "one", (void *)1 },
			{ "max", (void *)UINTPTR_MAX },
			{ "last_page", (void *)-h->page },
			{ "kernel", (void *)0xffffffff81000000ULL },
			{ "noncanonical", (void *)(1ULL << 56) },
			{ "straddles", two + h->page - 8 },
			{ "unmapped", two + h->page },
		};

		for (size_t k = 0; k < ARRAY_SIZE(bad); k++)
			expect(h, bad[k].op, call(c, fd, bad[k].p));

		/* its good call needs a mapping of h->fd: see inspect */
		if (c->cmd == K2U_IOC_INSPECT)
			continue;
		if (c->cmd == K2U_IOC_SETUP)
			fd = h->fresh[0];
		good(h, c, two);
		need(!mprotect(two, h->page, PROT_NONE));
		expect(h, "no_access", call(c, fd, two));
		need(!mprotect(two, h->page, PROT_READ));
		expect(h, c->writes_back ? "readonly_out" : "readonly_in",
		       call(c, fd, two));
		need(!mprotect(two, h->page, PROT_READ | PROT_WRITE));
		if (c->cmd == K2U_IOC_SETUP)
			fd = h->fresh[1];
		good(h, c, tmp);
		memcpy(two + 3, tmp, c->size);
		expect(h, "unaligned", call(c, fd, two + 3));
		/* flush with the end of what is mapped */
		if (c->cmd == K2U_IOC_SETUP)
			fd = h->fresh[2];
		memcpy(two + h->page - c->size, tmp, c->size);
		expect(h, "flush", call(c, fd, two + h->page - c->size));
		/* in a mapping of the device, not yet faulted in */
		if (c->cmd == K2U_IOC_SETUP)
			fd = h->fresh[3];
		need(!madvise(map, h->page, MADV_DONTNEED));
		need(pwrite(h->fresh[5], tmp, c->size, 0) == (ssize_t)c->size);
		expect(h, "in_mapping", call(c, fd, map));
	}
	hostile_unmap(h, map, h->page);
	hostile_unmap(h, two, h->page);
}

/* Each reserved byte, and each unknown flag, of each command */
HOSTILE(ioctl_reserved)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		const struct command *c = &commands[i];
		const int fd = c->cmd == K2U_IOC_SETUP ? h->fresh[0] : h->fd;
		char arg[512];

		for (size_t at = c->reserved; at < c->size; at++) {
			good(h, c, arg);
			arg[at] = 1;
			expect(h, "reserved", call(c, fd, arg));
			arg[at] = (char)0x80;
			expect(h, "reserved", call(c, fd, arg));
		}
	}
	for (int bit = 1; bit < 32; bit++) {
		struct k2u_setup s = { .size = h->page,
				       .backing = h->backing,
				       .node = K2U_NODE_ANY,
				       .flags = 1u << bit };

		struct k2u_copy copy = { .method = K2U_METHOD_ioctl,
					 .flags = 1u << bit };

		expect(h, "flag",
		       result(ioctl(h->fresh[0], K2U_IOC_SETUP, &s)));
		expect(h, "flag", result(ioctl(h->fd, K2U_IOC_COPY, &copy)));
	}
	{
		struct k2u_info info = { 0 };

		need(!ioctl(h->fresh[0], K2U_IOC_INFO, &info));
		check(info.size == 0);
	}
}

HOSTILE(setup)
{
	const uint64_t page = h->page;
	struct k2u_info info = { 0 };
	const struct k2u_setup ok = { .size = page,
				      .backing = h->backing,
				      .node = K2U_NODE_ANY };
	int fd = h->fresh[0];

	need(!ioctl(fd, K2U_IOC_INFO, &info));
	const uint64_t bound = h->is & (CONTIG | DMA) ? info.max_contig_bytes :
							info.max_bytes;
	const struct {
		const char *op;
		uint64_t size;
	} sizes[] = {
		{ "size_0", 0 },
		{ "size_bound_plus_1", bound + 1 },
		{ "size_bound_plus_page", bound + page },
		{ "size_max_bytes_plus_1", info.max_bytes + 1 },
		{ "size_4g", 1ULL << 32 },
		{ "size_4g_plus_page", (1ULL << 32) + page },
		{ "size_1t_minus_page", (1ULL << 40) - page },
		{ "size_1t", 1ULL << 40 },
		{ "size_1t_plus_page", (1ULL << 40) + page },
		{ "size_2e44", 1ULL << 44 },
		{ "size_2e44_plus_page", (1ULL << 44) + page },
		{ "size_2e63", 1ULL << 63 },
		{ "size_2e63_minus_1", (1ULL << 63) - 1 },
		{ "size_max", UINT64_MAX },
		{ "size_max_minus_page", -page },
		{ "size_max_minus_page_plus_2", -page + 2 },
	};
	const struct {
		const char *op;
		int32_t node;
	} nodes[] = { { "node_minus_2", -2 }, { "node_min", INT_MIN },
		      { "node_1", 1 },	      { "node_1023", 1023 },
		      { "node_1024", 1024 },  { "node_65536", 65536 },
		      { "node_max", INT_MAX } };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		expect(h, sizes[i].op,
		       hostile_setup(fd, h->backing, sizes[i].size));
	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
		struct k2u_setup s = ok;

		s.node = nodes[i].node;
		expect(h, nodes[i].op, result(ioctl(fd, K2U_IOC_SETUP, &s)));
	}
	for (int bit = 0; bit < 32; bit++) {
		const uint32_t backing = 1u << bit;

		if (!(backing & K2U_BACKINGS))
			expect(h, "backing", hostile_setup(fd, backing, page));
	}
	expect(h, "backing_0", hostile_setup(fd, 0, page));
	expect(h, "backing_any", hostile_setup(fd, K2U_BACKING_ANY, page));
	expect(h, "backing_ones", hostile_setup(fd, UINT_MAX, page));
	for (int bit = 2; bit < 32; bit++) {
		struct k2u_setup s = ok;

		s.cache = 1u << bit;
		expect(h, "cache", result(ioctl(fd, K2U_IOC_SETUP, &s)));
		s.cache = (1u << bit) - 1; /* UC is the last that there is */
		expect(h, "cache", result(ioctl(fd, K2U_IOC_SETUP, &s)));
	}

	/* After all of this the file is as good as new */
	need(!ioctl(fd, K2U_IOC_INFO, &info));
	check(info.size == 0);
	expect(h, "size_1", hostile_setup(fd, h->backing, 1));
	expect(h, "size_page_minus_1",
	       hostile_setup(h->fresh[1], h->backing, page - 1));
	expect(h, "size_page", hostile_setup(h->fresh[2], h->backing, page));
	expect(h, "size_page_plus_1",
	       hostile_setup(h->fresh[3], h->backing, page + 1));
	{
		const uint64_t want[] = { 1, page - 1, page, page + 1 };
		char byte[2];

		for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
			need(!ioctl(h->fresh[i], K2U_IOC_INFO,
				    (info = (struct k2u_info){ 0 }, &info)));
			check(info.size == want[i]);
			check(info.backing == h->backing);
			check(pread(h->fresh[i], byte, 2, (off_t)want[i] - 1) ==
			      1);
		}
	}
}

static int again(const struct hostile *h, void *fd)
{
	return hostile_setup(*(int *)fd, h->backing, h->page);
}

/* One buffer per file for ever: a second set-up is refused at every stage. */
HOSTILE(setup_again)
{
	int fd = h->fresh[0], used = h->fresh[1], byte;
	struct k2u_info info = { 0 };
	char *p;

	expect(h, "first", hostile_setup(fd, h->backing, h->page));
	expect(h, "same", hostile_setup(fd, h->backing, h->page));
	expect(h, "larger", hostile_setup(fd, h->backing, 2 * h->page));
	expect(h, "bad_size", hostile_setup(fd, h->backing, UINT64_MAX));
	expect(h, "other_backing",
	       hostile_setup(fd,
			     h->backing == K2U_BACKING_CONTIG ?
				     K2U_BACKING_VMALLOC :
				     K2U_BACKING_CONTIG,
			     h->page));
	p = mmap(NULL, h->page, PROT_READ, MAP_SHARED, fd, hostile_view(h));
	need(p != MAP_FAILED);
	expect(h, "mapped", hostile_setup(fd, h->backing, h->page));
	expect(h, "in_child", hostile_child(h, again, &fd));
	hostile_unmap(h, p, h->page);
	expect(h, "unmapped", hostile_setup(fd, h->backing, h->page));

	/* Once made by default, it is set up */
	need(read(used, &byte, 1) == 1);
	expect(h, "default_made", hostile_setup(used, h->backing, h->page));
	need(!ioctl(fd, K2U_IOC_INFO, &info));
	check(info.size == h->page && info.backing == h->backing);
}

HOSTILE(checksum)
{
	const uint64_t size = h->size;
	const struct {
		const char *op;
		uint64_t offset, size;
	} ranges[] = {
		{ "whole", 0, size },
		{ "none", 0, 0 },
		{ "last_word", size / 8 * 8, size % 8 },
		{ "end", size / 8 * 8, 0 },
		{ "offset_1", 1, 8 },
		{ "size_plus_1", 0, size + 1 },
		{ "to_len", 0, h->len },
		{ "offset_past_end", size / 8 * 8 + 8, 0 },
		{ "offset_len", h->len, 0 },
		{ "size_max", 0, UINT64_MAX },
		{ "wraps_to_0", 8, UINT64_MAX - 7 },
		{ "wraps_inside", size / 8 * 8, UINT64_MAX - 64 },
		{ "offset_max", UINT64_MAX - 7, 8 },
		{ "offset_max_wraps", UINT64_MAX - 7, 16 },
		{ "offset_2e63", 1ULL << 63, 1ULL << 63 },
		{ "offset_1t", 1ULL << 40, 8 },
	};
	struct k2u_fill fill = { .seed = 1 };
	struct k2u_checksum c;

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		c = (struct k2u_checksum){ .offset = ranges[i].offset,
					   .size = ranges[i].size };
		expect(h, ranges[i].op,
		       result(ioctl(h->fd, K2U_IOC_CHECKSUM, &c)));
	}
	/* Who may not write may not fill */
	expect(h, "fill_readonly", result(ioctl(h->ro, K2U_IOC_FILL, &fill)));
	fill.seed = SEED;
	expect(h, "fill_writeonly", result(ioctl(h->wo, K2U_IOC_FILL, &fill)));
}

/* All buffers together are bounded; what is refused takes nothing. */
HOSTILE(bound)
{
	struct k2u_info info = { 0 };
	uint64_t taken, left;
	int n;

	need(!ioctl(h->fd, K2U_IOC_INFO, &info));
	/* h->fd, h->ro and h->wo */
	taken = 3 * taken_of(&info, h->backing, h->len);
	check(info.used_bytes == taken);
	expect(h, "more_than_left",
	       hostile_setup(h->fresh[0], K2U_BACKING_VMALLOC,
			     info.max_bytes - info.used_bytes + 1));
	expect(h, "all",
	       hostile_setup(h->fresh[0], K2U_BACKING_VMALLOC, info.max_bytes));
	need(!ioctl(h->fd, K2U_IOC_INFO, &info));
	check(info.used_bytes == taken);
	left = info.max_contig_bytes;
	for (n = 0; n < NR_FRESH; n++)
		if (hostile_setup(h->fresh[n], h->backing, left / 2 + 1))
			break;
	need(!ioctl(h->fd, K2U_IOC_INFO, &info));
	check(info.used_bytes <= info.max_bytes);
	while (n--)
		need(!close(h->fresh[n]));
	need(!ioctl(h->fd, K2U_IOC_INFO, &info));
	check(info.used_bytes == taken);
}

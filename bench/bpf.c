// SPDX-License-Identifier: GPL-2.0
/* bpf.c - maps and programs, by bpf() itself. */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bpf.h"

int bpf_call(enum bpf_cmd cmd, union bpf_attr *attr)
{
	return syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

int bpf_map(enum bpf_map_type type, uint32_t key, uint32_t value,
	    uint32_t entries, uint32_t flags)
{
	union bpf_attr attr;
	int fd;

	/* Its holes must be 0, too */
	memset(&attr, 0, sizeof(attr));
	attr.map_type = type;
	attr.key_size = key;
	attr.value_size = value;
	attr.max_entries = entries;
	attr.map_flags = flags;
	fd = bpf_call(BPF_MAP_CREATE, &attr);
	return fd < 0 ? -errno : fd;
}

int bpf_map_put(int map, const void *key, const void *value)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.map_fd = map;
	attr.key = (uintptr_t)key;
	attr.value = (uintptr_t)value;
	return bpf_call(BPF_MAP_UPDATE_ELEM, &attr) ? -errno : 0;
}

int bpf_program(enum bpf_prog_type type, enum bpf_attach_type attach,
		const struct bpf_insn *insns, unsigned int nr)
{
	union bpf_attr attr;
	int fd;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = type;
	attr.expected_attach_type = attach;
	attr.insns = (uintptr_t)insns;
	attr.insn_cnt = nr;
	attr.license = (uintptr_t) "GPL";
	fd = bpf_call(BPF_PROG_LOAD, &attr);
	return fd < 0 ? -errno : fd;
}

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * bpf.h - bpf() for the sources that need it: a map, a program of a dozen
 * instructions. For so little, libbpf would be one more library to have. The
 * instructions have the names of the kernel's own (include/linux/filter.h).
 */
#ifndef BPF_H
#define BPF_H

#include <linux/bpf.h>
#include <stdint.h>

/* As bpf(2) returns: errno is set */
int bpf_call(enum bpf_cmd cmd, union bpf_attr *attr);
/* A file descriptor, or -errno; the program is of license GPL */
int bpf_map(enum bpf_map_type type, uint32_t key, uint32_t value,
	    uint32_t entries, uint32_t flags);
int bpf_program(enum bpf_prog_type type, enum bpf_attach_type attach,
		const struct bpf_insn *insns, unsigned int nr);
/* 0 or -errno */
int bpf_map_put(int map, const void *key, const void *value);

#define BPF_RAW_INSN(op, dst, src, offset, value) \
	((struct bpf_insn){ .code = (op),         \
			    .dst_reg = (dst),     \
			    .src_reg = (src),     \
			    .off = (offset),      \
			    .imm = (int32_t)(value) })
#define BPF_MOV64_REG(dst, src) \
	BPF_RAW_INSN(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0)
#define BPF_MOV64_IMM(dst, value) \
	BPF_RAW_INSN(BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, value)
#define BPF_ALU64_IMM(op, dst, value) \
	BPF_RAW_INSN(BPF_ALU64 | BPF_OP(op) | BPF_K, dst, 0, 0, value)
#define BPF_LDX_MEM(size, dst, src, offset) \
	BPF_RAW_INSN(BPF_LDX | BPF_MEM | BPF_SIZE(size), dst, src, offset, 0)
#define BPF_STX_MEM(size, dst, src, offset) \
	BPF_RAW_INSN(BPF_STX | BPF_MEM | BPF_SIZE(size), dst, src, offset, 0)
#define BPF_JMP_IMM(op, dst, value, offset) \
	BPF_RAW_INSN(BPF_JMP | BPF_OP(op) | BPF_K, dst, 0, offset, value)
#define BPF_JMP_REG(op, dst, src, offset) \
	BPF_RAW_INSN(BPF_JMP | BPF_OP(op) | BPF_X, dst, src, offset, 0)
#define BPF_EMIT_CALL(function) \
	BPF_RAW_INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_##function)
#define BPF_EXIT_INSN() BPF_RAW_INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
/* Two instructions: a map, or the address of a byte of its only value */
#define BPF_LD_MAP_FD(dst, fd)                                             \
	BPF_RAW_INSN(BPF_LD | BPF_DW | BPF_IMM, dst, BPF_PSEUDO_MAP_FD, 0, \
		     fd),                                                  \
		BPF_RAW_INSN(0, 0, 0, 0, 0)
#define BPF_LD_MAP_VALUE(dst, fd, byte)                                       \
	BPF_RAW_INSN(BPF_LD | BPF_DW | BPF_IMM, dst, BPF_PSEUDO_MAP_VALUE, 0, \
		     fd),                                                     \
		BPF_RAW_INSN(0, 0, 0, 0, byte)

#endif /* BPF_H */

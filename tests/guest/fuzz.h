/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The device fuzzer: operations drawn from a seed, run against the device and
 * against a model of it. debug_fuzz.c draws and runs, fuzz_model.c is the
 * model, fuzz_map.c, fuzz_advise.c, fuzz_copy.c and fuzz_ioctl.c the operations.
 */
#ifndef K2U_FUZZ_H
#define K2U_FUZZ_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "k2u.h"
#include "pattern.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define NSLOTS 8 /* descriptors */
#define NFILES 64 /* open files alive, those that only a mapping keeps too */
#define ARENA_PAGES 64 /* where all mappings are made */
/* No power of two: with these inspect is tried, and must find nothing there */
#define ARENA ((char *)0x280000000UL)
#define SHADOW_BYTES \
	(1UL << 20) /* contents of larger buffers are not modelled */

/* An operation: all of it comes from the seed and its number. */
struct op {
	uint64_t number;
	unsigned int kind;
	unsigned int slot;
	unsigned int at, n; /* pages of the arena */
	uint64_t a, b, c, d; /* what else its kind needs */
};

/* An open file; in shared memory, as what a child does to it lasts. */
struct file {
	bool used;
	unsigned int fds; /* descriptors of the parent */
	bool readable, writable;
	uint64_t pos;
	uint64_t size; /* of its buffer; 0: none yet */
	uint64_t pages;
	uint32_t backing;
	uint64_t read_bytes, written_bytes, faults; /* its counters */
	uint64_t mapped; /* pages, at mmap(); by now, with those by faults: */
	uint64_t mapped_pages;
	bool around; /* a fault may have mapped more than a page */
};

/* A VMA of the arena. None of them is ever merged: VM_DONTEXPAND is in VM_SPECIAL. */
struct vma {
	bool used;
	struct file *file;
	uint32_t method;
	bool shared, maywrite, dontcopy;
	int prot;
	unsigned int advice; /* ADVICE_* */
};

#define ADVICE_RANDOM 1u
#define ADVICE_SEQUENTIAL 2u
#define ADVICE_HUGE 4u
#define ADVICE_NOHUGE 8u

/* A page of the arena */
struct page {
	struct vma *vma; /* NULL: nothing is mapped */
	uint64_t index; /* of the buffer's page */
	bool cow; /* a private copy, of these bytes: */
	bool zapped; /* dropped, and its method has no ->fault */
	uint8_t *copy;
};

/* What a call may return; see must(). */
struct expect {
	unsigned int n, soft;
	int err[32], also[8];
};

/* What a touch of a byte of the arena does */
enum touched { TOUCH_OK, TOUCH_SEGV, TOUCH_BUS };

struct slot {
	int fd;
	struct file *file; /* NULL: closed, or O_PATH */
};

extern struct slot slots[NSLOTS];
extern struct page arena[ARENA_PAGES];
extern struct file *files;
extern struct k2u_info bounds; /* the module's, at the start */
extern size_t page_bytes;
extern bool in_child;
extern unsigned int base_vmas[NFILES]; /* of the parent, in a child */
extern char *scratch; /* SHADOW_BYTES */
extern unsigned int stack_advice; /* of a mapping with MAP_STACK */

/* fuzz_model.c */
void model_init(void);
uint8_t *shadow(const struct file *f);
bool modelled(const struct file *f);
unsigned int vmas_of(const struct file *f);
uint64_t taken(uint32_t backing, uint64_t size);
uint64_t used_bytes(void);
struct file *file_new(bool readable, bool writable);
void file_put(struct file *f);
void buffer_new(struct file *f, uint64_t size, uint32_t backing);
void buffer_fill(struct file *f, uint64_t seed);
struct vma *vma_new(const struct vma *like);
struct vma *range_vma(unsigned int at, unsigned int n);
void vma_split(unsigned int at);
void arena_drop(unsigned int at, unsigned int n);
void arena_move(unsigned int from, unsigned int to, unsigned int n);
void arena_unmap(unsigned int at, unsigned int n);
uint8_t *page_data(const struct page *p);
enum touched touch_expected(const struct page *p, bool write);
void break_cow(struct page *p);
bool method_serves(uint32_t method, uint32_t backing);
bool maps(uint32_t method);
bool is_pfn(uint32_t method);
bool is_mixed(uint32_t method);
bool is_empty(uint32_t method);
bool faults_in(uint32_t method);
bool faults_around(uint32_t method);
void model_fork(void);

/* debug_fuzz.c */
void wrong(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));
long record(const char *name, long rc, unsigned int nargs,
	    const uint64_t *args);
void must(struct expect *e, bool violated, int err);
void may(struct expect *e, int err);
bool judge(const struct expect *e, const char *what, long rc);
enum touched touch(volatile uint64_t *p, bool write, uint64_t *word);
void check_counters(const struct slot *s);
void check_created(const struct slot *s);
void force_cow(unsigned int at, unsigned int n);

/* The call, with its arguments kept for the report of a failure */
#define CALL(function, ...)                                                   \
	({                                                                    \
		const uint64_t call_args[] = { CALL_ARGS(__VA_ARGS__) };      \
		long call_rc;                                                 \
		errno = 0;                                                    \
		call_rc = (long)function(__VA_ARGS__);                        \
		record(#function, call_rc, ARRAY_SIZE(call_args), call_args); \
	})
#define CALL_ARGS(...)                                                      \
	CALL_N(__VA_ARGS__, CALL_6, CALL_5, CALL_4, CALL_3, CALL_2, CALL_1) \
	(__VA_ARGS__)
#define CALL_N(a, b, c, d, e, f, n, ...) n
#define CALL_1(a) (uint64_t)(a)
#define CALL_2(a, ...) (uint64_t)(a), CALL_1(__VA_ARGS__)
#define CALL_3(a, ...) (uint64_t)(a), CALL_2(__VA_ARGS__)
#define CALL_4(a, ...) (uint64_t)(a), CALL_3(__VA_ARGS__)
#define CALL_5(a, ...) (uint64_t)(a), CALL_4(__VA_ARGS__)
#define CALL_6(a, ...) (uint64_t)(a), CALL_5(__VA_ARGS__)

static inline char *arena_at(unsigned int page)
{
	return ARENA + page * page_bytes;
}

/* The operations */
void op_open(const struct op *op);
void op_close(const struct op *op);
void op_dup(const struct op *op);
void op_misc(const struct op *op);
void op_mmap(const struct op *op);
void op_munmap(const struct op *op);
void op_mremap(const struct op *op);
void op_touch(const struct op *op);
void op_mprotect(const struct op *op);
void op_madvise(const struct op *op);
void op_mlock(const struct op *op);
void op_msync(const struct op *op);
void op_read(const struct op *op);
void op_write(const struct op *op);
void op_copy(const struct op *op);
void op_vector(const struct op *op);
void op_lseek(const struct op *op);
void op_contents(const struct op *op);
void op_splice(const struct op *op);
void op_vmsplice(const struct op *op);
void op_process_vm(const struct op *op);
void op_setup(const struct op *op);
void op_fill(const struct op *op);
void op_checksum(const struct op *op);
void op_inspect(const struct op *op);
void op_info(const struct op *op);
void op_ioctl(const struct op *op);

#endif /* K2U_FUZZ_H */

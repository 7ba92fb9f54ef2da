// SPDX-License-Identifier: GPL-2.0
/* The fuzzer's model: open files with their buffers, and the arena's pages. */
#include "fuzz.h"

struct slot slots[NSLOTS];
struct page arena[ARENA_PAGES];
struct file *files;
struct k2u_info bounds;
size_t page_bytes;
bool in_child;
unsigned int base_vmas[NFILES];
char *scratch;
unsigned int stack_advice;

static struct vma vmas[ARENA_PAGES + 1];
static uint8_t *shadows;

static void *get_memory(size_t size, int flags)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       flags | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED) {
		printf("# mmap of %zu bytes: %s\n", size, strerror(errno));
		exit(1);
	}
	return p;
}

/* Since 6.7 MAP_STACK is VM_NOHUGEPAGE (calc_vm_flag_bits(), linux/mman.h) */
static unsigned int advice_of_stacks(void)
{
	const uintptr_t p =
		(uintptr_t)get_memory(page_bytes, MAP_PRIVATE | MAP_STACK);
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned int advice = 0;
	unsigned long start, end;
	bool inside = false;
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = start <= p && p < end;
		else if (inside && !strncmp(line, "VmFlags:", 8) &&
			 strstr(line, " nh"))
			advice = ADVICE_NOHUGE;
	}
	if (f)
		fclose(f);
	return advice;
}

void model_init(void)
{
	uint8_t *copies;

	page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	stack_advice = advice_of_stacks();
	files = get_memory(NFILES * sizeof(*files), MAP_SHARED);
	shadows = get_memory(NFILES * SHADOW_BYTES, MAP_SHARED);
	scratch = get_memory(SHADOW_BYTES, MAP_PRIVATE);
	copies = get_memory(ARENA_PAGES * page_bytes, MAP_PRIVATE);
	for (unsigned int i = 0; i < ARENA_PAGES; i++)
		arena[i].copy = copies + i * page_bytes;
	for (unsigned int i = 0; i < NSLOTS; i++)
		slots[i].fd = -1;
}

/* ---- files ---- */

uint8_t *shadow(const struct file *f)
{
	return shadows + (size_t)(f - files) * SHADOW_BYTES;
}

bool modelled(const struct file *f)
{
	return f->size && f->pages * page_bytes <= SHADOW_BYTES;
}

/* Of f's counter: in a child, those of its parent too */
unsigned int vmas_of(const struct file *f)
{
	unsigned int n = base_vmas[f - files];

	for (unsigned int i = 0; i < ARRAY_SIZE(vmas); i++)
		n += vmas[i].used && vmas[i].file == f;
	return n;
}

/* What a buffer takes of the bound: what is of several pages is whole */
uint64_t taken(uint32_t backing, uint64_t size)
{
	uint64_t unit = backing == K2U_BACKING_HUGE ? bounds.pmd_size :
						      page_bytes;

	while (backing == K2U_BACKING_DMA && unit < size &&
	       size <= bounds.max_bytes)
		unit *= 2;
	return (size + unit - 1) / unit * unit;
}

uint64_t used_bytes(void)
{
	uint64_t pages = 0;

	for (unsigned int i = 0; i < NFILES; i++)
		if (files[i].used)
			pages += taken(files[i].backing,
				       files[i].pages * page_bytes) /
				 page_bytes;
	return pages * page_bytes;
}

struct file *file_new(bool readable, bool writable)
{
	for (unsigned int i = 0; i < NFILES; i++)
		if (!files[i].used) {
			files[i] = (struct file){ .used = true,
						  .readable = readable,
						  .writable = writable };
			return &files[i];
		}
	return NULL;
}

/* Forgets f if nothing holds it any more. */
void file_put(struct file *f)
{
	if (!f->fds && !vmas_of(f))
		f->used = false;
}

void buffer_new(struct file *f, uint64_t size, uint32_t backing)
{
	f->size = size;
	f->pages = (size + page_bytes - 1) / page_bytes;
	f->backing = backing;
	if (modelled(f))
		memset(shadow(f), 0, f->pages * page_bytes);
}

void buffer_fill(struct file *f, uint64_t seed)
{
	uint64_t *word = (uint64_t *)shadow(f);

	if (modelled(f))
		for (uint64_t i = 0; i < f->pages * page_bytes / 8; i++)
			word[i] = k2u_pattern(seed, i);
}

/* ---- VMAs and pages ---- */

struct vma *vma_new(const struct vma *like)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(vmas); i++)
		if (!vmas[i].used) {
			vmas[i] = *like;
			vmas[i].used = true;
			return &vmas[i];
		}
	wrong("the model has no VMA left");
}

/* The one VMA that has all of the range, or NULL */
struct vma *range_vma(unsigned int at, unsigned int n)
{
	for (unsigned int i = at; i < at + n; i++)
		if (i >= ARENA_PAGES || arena[i].vma != arena[at].vma)
			return NULL;
	return n ? arena[at].vma : NULL;
}

/* A VMA begins at this page. */
void vma_split(unsigned int at)
{
	struct vma *old, *new;

	if (!at || at >= ARENA_PAGES || !arena[at].vma ||
	    arena[at - 1].vma != arena[at].vma)
		return;
	old = arena[at].vma;
	new = vma_new(old);
	for (; at < ARENA_PAGES && arena[at].vma == old; at++)
		arena[at].vma = new;
}

static void vma_put(struct vma *v)
{
	for (unsigned int i = 0; i < ARENA_PAGES; i++)
		if (arena[i].vma == v)
			return;
	v->used = false;
	file_put(v->file);
}

/* What munmap() does to the model */
void arena_drop(unsigned int at, unsigned int n)
{
	if (!n)
		return;
	vma_split(at);
	vma_split(at + n);
	for (unsigned int i = at; i < at + n && i < ARENA_PAGES; i++) {
		struct vma *v = arena[i].vma;

		arena[i].vma = NULL;
		arena[i].cow = false;
		arena[i].zapped = false;
		if (v)
			vma_put(v);
	}
}

/* What mremap() does with the pages of one VMA; the ranges do not overlap. */
void arena_move(unsigned int from, unsigned int to, unsigned int n)
{
	struct vma *new = vma_new(arena[from].vma);

	for (unsigned int i = 0; i < n; i++) {
		uint8_t *copy = arena[to + i].copy;

		memcpy(copy, arena[from + i].copy, page_bytes);
		arena[to + i] = arena[from + i];
		arena[to + i].copy = copy;
		arena[to + i].vma = new;
	}
	arena_drop(from, n);
}

/* Where the state of a range after a failure is the kernel's own business */
void arena_unmap(unsigned int at, unsigned int n)
{
	if (at + n > ARENA_PAGES)
		n = ARENA_PAGES - at;
	if (munmap(arena_at(at), n * page_bytes))
		wrong("munmap of %u pages at %u: %s", n, at, strerror(errno));
	arena_drop(at, n);
}

/* The bytes that the page must show, or NULL where they are not modelled */
uint8_t *page_data(const struct page *p)
{
	if (!modelled(p->vma->file))
		return NULL;
	if (p->cow)
		return p->copy;
	return shadow(p->vma->file) + p->index * page_bytes;
}

bool method_serves(uint32_t method, uint32_t backing)
{
	static const uint32_t served[] = {
#define K2U_METHOD(id, name, access, backings, faults, title, refusal) \
	[id] = K2U_BACKING_##backings,
#include "methods.def"
#undef K2U_METHOD
	};

	return method < ARRAY_SIZE(served) && (served[method] & backing);
}

bool maps(uint32_t method)
{
	static const uint32_t access[] = {
#define K2U_METHOD(id, name, access, backings, faults, title, refusal) \
	[id] = K2U_ACCESS_##access,
#include "methods.def"
#undef K2U_METHOD
	};

	return method < ARRAY_SIZE(access) && (access[method] & K2U_ACCESS_MAP);
}

/* What the registries say of a method */
static const enum {
	PAGES,
	MIXEDMAP,
	PFNMAP,
	EMPTY,
	LEAF
} behind[] = {
/* clang-format off */
#define HOSTILE_METHOD(name, is) \
	[K2U_METHOD_##name] = is,
/* clang-format on */
#include "hostile.def"
};

static const uint32_t fault_kinds[] = {
#define K2U_METHOD(id, name, access, backings, faults, title, refusal) \
	[id] = K2U_FAULTS_##faults,
#include "methods.def"
#undef K2U_METHOD
};

/* No struct page in the eyes of its entries: VM_PFNMAP */
bool is_pfn(uint32_t method)
{
	return method < ARRAY_SIZE(behind) &&
	       (behind[method] == PFNMAP ||
		(behind[method] == LEAF && bounds.flags & K2U_INFO_PMD_PFN));
}

bool is_mixed(uint32_t method)
{
	return method < ARRAY_SIZE(behind) && behind[method] == MIXEDMAP;
}

bool is_empty(uint32_t method)
{
	return method < ARRAY_SIZE(behind) && behind[method] == EMPTY;
}

/* Has a ->fault */
bool faults_in(uint32_t method)
{
	return fault_kinds[method] != K2U_FAULTS_NONE;
}

bool faults_around(uint32_t method)
{
	return fault_kinds[method] == K2U_FAULTS_AROUND;
}

enum touched touch_expected(const struct page *p, bool write)
{
	if (!p->vma || p->vma->prot == PROT_NONE ||
	    (write && !(p->vma->prot & PROT_WRITE)))
		return TOUCH_SEGV;
	if (is_empty(p->vma->method) || p->zapped)
		return TOUCH_BUS;
	return TOUCH_OK;
}

/* What a write to a private page does */
void break_cow(struct page *p)
{
	const uint8_t *data = page_data(p);

	if (p->vma->shared || p->cow)
		return;
	if (data)
		memcpy(p->copy, data, page_bytes);
	p->cow = true;
}

/* What fork() does to the child's model */
void model_fork(void)
{
	for (unsigned int i = 0; i < NFILES; i++)
		base_vmas[i] = files[i].used ? vmas_of(&files[i]) : 0;
	in_child = true;
	for (unsigned int i = 0; i < ARENA_PAGES; i++)
		if (arena[i].vma && arena[i].vma->dontcopy)
			arena_drop(i, 1);
}

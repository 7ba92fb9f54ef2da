/* SPDX-License-Identifier: GPL-2.0 */
/* matrix: what matrix.c finds out, matrix_csv.c keeps and matrix_out.c prints */
#ifndef MATRIX_H
#define MATRIX_H

#include "k2u-stat.h"

/* There is an entry for each cell of each: room that a file must not ask for */
#define KERNELS_MAX 256

/* A kernel of the campaign, the oldest first */
struct kernel {
	char *name; /* short: 6.12; the release where that names two */
	char *release;
	const char *dir; /* of its run; NULL: read from matrix.csv */
	struct run run;
	struct boot_cells cells;
	uint64_t *number; /* of its boots, ascending */
	size_t boots;
	struct aa aa;
};

/* A cell of one kernel */
struct entry {
	bool there;
	uint64_t boots;
	struct estimate est; /* over boots */
	size_t previous; /* 1 + the kernel before that has the cell; 0: none */
	double ratio, low, high, p_holm; /* to it; NaN: not tested */
	enum verdict verdict; /* VERDICTS: nothing before it */
	double first; /* ratio to the oldest kernel that has the cell */
	char *flags;
	double *pair[2]; /* boots that both have: previous, this */
	size_t contrast; /* index + 1 */
};

struct series {
	const char *key[KEYS];
	uint64_t size;
	struct entry *entry; /* by kernel */
};

struct gap {
	char *kernel, *reason;
};

struct matrix {
	struct kernel *kernel;
	size_t kernels, kernel_room;
	struct series *series;
	size_t n, room;
	struct cells
		cells; /* what the keys point into, if read from matrix.csv */
	struct contrast *contrast;
	size_t contrasts;
	size_t verdicts[VERDICTS];
	struct gap *gap;
	size_t gaps, gap_room;
	char *venue;
	double threshold;
	bool saved; /* read from matrix.csv: no A/A */
};

/* matrix.c: NULL, or -errno, after it was said why. The kernel keeps release */
struct kernel *matrix_add_kernel(struct matrix *m, char *release);
struct series *matrix_add_series(struct matrix *m, const char *const *key,
				 uint64_t size);
int matrix_sort(struct matrix *m);

/* matrix_csv.c */
int matrix_load(struct matrix *m, const char *dir);
int matrix_save(const struct matrix *m, const char *dir);

/* matrix_out.c */
enum matrix_format { M_TEXT, M_MD, M_CSV, M_DAT };

extern const char *const matrix_columns[];

void matrix_write(FILE *f, const struct matrix *m, const struct selection *sel);
int matrix_print_table(const struct matrix *m, const struct selection *sel,
		       bool markdown);
int matrix_print_steps(const struct matrix *m, const struct selection *sel,
		       enum matrix_format format, size_t most);
/* For gnuplot */
void matrix_print_dat(const struct matrix *m, const struct selection *sel);
enum matrix_fact { F_KERNELS, F_GAPS, F_REASONS, F_TITLES, F_SIZES, F_BOOTS };

/* Titles: one for each data set, in their order */
void matrix_print_fact(const struct matrix *m, const struct selection *sel,
		       enum matrix_fact fact);

#endif /* MATRIX_H */

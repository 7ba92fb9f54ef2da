// SPDX-License-Identifier: GPL-2.0
/* matrix: its figures as CSV, as tables for people, and for gnuplot. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "matrix.h"

#define UP "▲"
#define DOWN "▼"

static bool is_selected(const struct series *s, const struct selection *sel)
{
	return !sel || selection_matches(sel, s->key);
}

/* ---- CSV ---- */

static void write_entry(FILE *f, const struct matrix *m, const struct series *s,
			size_t k)
{
	const struct entry *e = &s->entry[k];
	int i;

	for (i = 0; i < KEYS; i++)
		fprintf(f, "%s,", s->key[i]);
	fprintf(f, "%s,%s,%llu", m->kernel[k].name, m->kernel[k].release,
		(unsigned long long)e->boots);
	print_figure(f, e->est.median);
	print_figure(f, e->est.low);
	print_figure(f, e->est.high);
	fprintf(f, ",%s", e->previous ? m->kernel[e->previous - 1].name : "");
	print_figure(f, e->ratio);
	print_figure(f, e->low);
	print_figure(f, e->high);
	print_figure(f, e->p_holm);
	fprintf(f, ",%s",
		e->verdict < VERDICTS ? verdict_name[e->verdict] : "");
	/* 0 of 0 is no ratio, n of 0 none that a reader could use */
	print_figure(f, isfinite(e->first) ? e->first : NAN);
	fprintf(f, ",%s\n", e->flags);
}

static void write_header(FILE *f)
{
	int i;

	for (i = 0; matrix_columns[i]; i++)
		fprintf(f, "%s%s", i ? "," : "", matrix_columns[i]);
	fputc('\n', f);
}

void matrix_write(FILE *f, const struct matrix *m, const struct selection *sel)
{
	const struct series *s;
	size_t k;

	write_header(f);
	for (s = m->series; s < m->series + m->n; s++)
		for (k = 0; is_selected(s, sel) && k < m->kernels; k++)
			if (s->entry[k].there)
				write_entry(f, m, s, k);
}

/* ---- names ---- */

static const char *title(const struct series *s, bool provider, char *buf,
			 size_t size)
{
	struct row row;

	memcpy(row.key, s->key, sizeof(row.key));
	return row_title(&row, provider, buf, size);
}

/* "pfn (contig) mmap 1 MiB", and by how many threads where not by one */
static const char *cell_name(const struct series *s, bool provider, char *buf,
			     size_t size)
{
	bool pass = !strcmp(s->key[METRIC], "pass"),
	     many = strcmp(s->key[THREADS], "1");
	char method[128], bytes[32];

	snprintf(buf, size, "%s %s%s%s %s%s%s",
		 title(s, provider, method, sizeof(method)), s->key[METRIC],
		 pass ? " " : "", pass ? s->key[PHASE] : "",
		 format_size(s->size, bytes, sizeof(bytes)), many ? " by " : "",
		 many ? s->key[THREADS] : "");
	return buf;
}

/* For people the sizes of a metric stand together */
static int compare_display(const void *a, const void *b)
{
	const struct series *x = *(const struct series *const *)a,
			    *y = *(const struct series *const *)b;
	const char *p[KEYS], *q[KEYS];

	memcpy(p, x->key, sizeof(p));
	memcpy(q, y->key, sizeof(q));
	p[SIZE] = q[SIZE] = "";
	return compare_keys(p, q) ?: (x->size > y->size) - (x->size < y->size);
}

/* The chosen ones, in that order. Freed by the caller */
static const struct series **choose(const struct matrix *m,
				    const struct selection *sel, size_t *n)
{
	const struct series **chosen = calloc(m->n + 1, sizeof(*chosen)), *s;

	*n = 0;
	if (!chosen) {
		out_of_memory();
		return NULL;
	}
	for (s = m->series; s < m->series + m->n; s++)
		if (is_selected(s, sel))
			chosen[(*n)++] = s;
	qsort(chosen, *n, sizeof(*chosen), compare_display);
	return chosen;
}

/* Characters, not bytes */
static int width(const char *text)
{
	int n = 0;

	for (; *text; text++)
		n += (*text & 0xc0) != 0x80;
	return n;
}

static void pad(const char *text, int to, bool right)
{
	if (right)
		printf("%*s%s", to - width(text), "", text);
	else
		printf("%s%*s", text, to - width(text), "");
}

static bool has_flag(const char *flags, const char *flag)
{
	size_t len = strlen(flag);

	for (; flags && *flags; flags += *flags == ';') {
		if (strcspn(flags, ";") == len && !strncmp(flags, flag, len))
			return true;
		flags += strcspn(flags, ";");
	}
	return false;
}

/* Other than how many blocks or boots there are, which the footer says */
static bool is_flagged(const struct entry *e)
{
	return *e->flags && strcmp(e->flags, "few-boots") &&
	       strcmp(e->flags, "few-blocks");
}

/* ---- a row per cell, a column per kernel ---- */

/* Four digits; e has the mark of its step */
static const char *entry_text(const struct entry *e, double factor, char *buf,
			      size_t size)
{
	double v = e->est.median * factor;
	const char *mark = "";
	int d;

	if (!e->there)
		return "– ";
	d = v == floor(v) && fabs(v) < 1e4 ? 0 :
	    fabs(v) >= 1000		   ? 0 :
	    fabs(v) >= 100		   ? 1 :
	    fabs(v) >= 10		   ? 2 :
					     3;
	if (e->verdict == SLOWER)
		mark = UP;
	else if (e->verdict == FASTER)
		mark = DOWN;
	else if (e->verdict == WITHHELD)
		mark = "?";
	snprintf(buf, size, "%.*f%s", d, v, *mark ? mark : " ");
	return buf;
}

/* One unit for a row: that of its largest figure */
static double row_factor(const struct matrix *m, const struct series *s,
			 const char **unit)
{
	double max = 0;
	size_t k;

	for (k = 0; k < m->kernels; k++)
		if (s->entry[k].there)
			max = fmax(max, fabs(s->entry[k].est.median));
	*unit = s->key[UNIT];
	return scale_unit(max, unit);
}

static void print_gaps(const struct matrix *m, bool markdown)
{
	size_t i;

	for (i = 0; i < m->gaps; i++) {
		printf("%s", markdown ? "- " : "");
		print_text(m->gap[i].kernel, markdown);
		printf(": not measured: ");
		print_text(m->gap[i].reason, markdown);
		putchar('\n');
	}
}

static void print_kernels(const struct matrix *m, bool markdown)
{
	const struct kernel *k;

	for (k = m->kernel; k < m->kernel + m->kernels; k++) {
		printf("%s%s: ", markdown ? "- " : "", k->name);
		print_text(k->release, markdown);
		printf(", %zu boot%s", k->boots, k->boots == 1 ? "" : "s");
		if (m->saved) {
			putchar('\n');
			continue;
		}
		printf("; against itself (A/A): %s", aa_name[k->aa.state]);
		if (k->aa.state == AA_UNDECIDABLE)
			printf(", needs %zu boots", aa_boots());
		else
			printf(" (p = %.2g, %zu of %zu cells differ)", k->aa.p,
			       k->aa.out, k->aa.cells);
		if (k->aa.state == AA_FAILED)
			printf(": no verdict on the steps to and from it");
		putchar('\n');
	}
}

/* Where no step can be called, however large */
static void print_few(const struct matrix *m)
{
	size_t tested = 0, i, need, few = 0;

	for (i = 0; i < m->contrasts; i++)
		tested += !isnan(m->contrast[i].p);
	need = judge_boots(tested);
	for (i = 0; i < m->kernels; i++)
		few += m->kernel[i].boots < need;
	if (tested && few)
		printf("Over %zu tested steps none can be called with fewer than %zu boots: %zu kernel%s too few.\n",
		       tested, need, few, few == 1 ? " has" : "s have");
}

static void print_foot(const struct matrix *m, bool markdown)
{
	const char *sep = "";
	size_t all = 0, v;

	for (v = 0; v < VERDICTS; v++)
		all += m->verdicts[v];
	if (markdown)
		putchar('\n');
	printf(UP
	       " slower, " DOWN
	       " faster than the kernel before%s: sign test over pairs of boots, Holm over all\n"
	       "steps of the campaign at 5 %%. %zu steps: ",
	       m->verdicts[WITHHELD] ? ", ? verdict withheld" : "", all);
	for (v = 0; v < VERDICTS; v++) {
		if (!m->verdicts[v])
			continue;
		printf("%s%zu %s", sep, m->verdicts[v], verdict_name[v]);
		sep = ", ";
	}
	puts(".");
	print_few(m);
	if (markdown)
		putchar('\n');
	print_kernels(m, markdown);
	print_gaps(m, markdown);
}

int matrix_print_table(const struct matrix *m, const struct selection *sel,
		       bool markdown)
{
	const struct series **chosen, *s;
	int *w = calloc(2 + m->kernels, sizeof(*w)), name = 4;
	bool provider = false, flags = false, mark, copies = false;
	const char *unit;
	char buf[256];
	size_t k, n, i;
	double factor;

	chosen = choose(m, sel, &n);
	if (!chosen || !w) {
		free(chosen);
		free(w);
		return -ENOMEM;
	}
	w[0] = w[1] = 4;
	for (k = 0; k < m->kernels; k++)
		w[2 + k] = width(m->kernel[k].name) + 1;
	for (i = 0; i < n; i++)
		provider |= strcmp(chosen[i]->key[PROVIDER],
				   chosen[0]->key[PROVIDER]);
	for (i = 0; i < n; i++) {
		s = chosen[i];
		name = width(cell_name(s, provider, buf, sizeof(buf))) + 2;
		w[0] = name > w[0] ? name : w[0];
		factor = row_factor(m, s, &unit);
		w[1] = width(unit) > w[1] ? width(unit) : w[1];
		for (k = 0; k < m->kernels; k++) {
			name = width(entry_text(&s->entry[k], factor, buf,
						sizeof(buf)));
			w[2 + k] = name > w[2 + k] ? name : w[2 + k];
		}
	}
	if (!n)
		goto out;

	printf(markdown ? "| " : "");
	pad("cell", w[0], false);
	printf(markdown ? " | " : " ");
	pad("unit", w[1], false);
	for (k = 0; k < m->kernels; k++) {
		printf(markdown ? " | " : "  ");
		snprintf(buf, sizeof(buf), "%s ", m->kernel[k].name);
		pad(buf, w[2 + k], true);
	}
	puts(markdown ? " |" : "");
	for (k = 0; markdown && k < 2 + m->kernels; k++)
		printf(k < 2 ? "|---" : "|---:");
	if (markdown)
		puts("|");
	for (i = 0; i < n; i++) {
		s = chosen[i];
		factor = row_factor(m, s, &unit);
		for (mark = false, k = 0; k < m->kernels; k++)
			mark |= s->entry[k].there && is_flagged(&s->entry[k]);
		flags |= mark;
		copies |= cell_is_emulated_copy(s->key);
		cell_name(s, provider, buf, sizeof(buf) - 8);
		if (mark)
			strcat(buf, " " FLAG_MARK);
		printf(markdown ? "| " : "");
		pad(buf, w[0], false);
		printf(markdown ? " | " : " ");
		pad(unit, w[1], false);
		for (k = 0; k < m->kernels; k++) {
			printf(markdown ? " | " : "  ");
			pad(entry_text(&s->entry[k], factor, buf, sizeof(buf)),
			    w[2 + k], true);
		}
		puts(markdown ? " |" : "");
	}
	print_foot(m, markdown);
	if (flags)
		printf("%s" FLAG_MARK
		       " flagged: see the column flags of matrix.csv%s\n",
		       markdown ? "\n" : "",
		       copies ?
			       "; copies: string instructions count per iteration" :
			       "");
out:
	free(chosen);
	free(w);
	return 0;
}

/* ---- the largest steps ---- */

struct step {
	const struct series *s;
	size_t kernel;
	double size; /* |ln ratio| */
	size_t more; /* sizes of the same cell with this step, too */
};

static int compare_steps(const void *a, const void *b)
{
	const struct step *x = a, *y = b;

	if (x->size != y->size)
		return x->size < y->size ? 1 : -1;
	return compare_keys(x->s->key, y->s->key);
}

/* The same but for how many bytes */
static bool same_step(const struct step *a, const struct step *b)
{
	int i;

	for (i = 0; i < KEYS; i++)
		if (i != SIZE && strcmp(a->s->key[i], b->s->key[i]))
			return false;
	return a->kernel == b->kernel &&
	       a->s->entry[a->kernel].verdict == b->s->entry[b->kernel].verdict;
}

static void print_step(const struct matrix *m, const struct step *step,
		       bool markdown)
{
	const struct entry *e = &step->s->entry[step->kernel];
	const struct entry *before = &step->s->entry[e->previous - 1];
	const char *unit = step->s->key[UNIT];
	char name[256], from[64], to[64];
	struct estimate a = { .low = NAN, .high = NAN }, b = a;
	int d;

	a.median = before->est.median;
	b.median = e->est.median;
	cell_name(step->s, true, name, sizeof(name));
	format_estimate(&a, unit, from, sizeof(from));
	format_estimate(&b, unit, to, sizeof(to));
	d = e->ratio < 1.1 && e->ratio > 0.9 ? 4 : e->ratio < 10 ? 3 : 1;
	if (markdown)
		printf("| %s %s → %s | %s%s | %s → %s | ",
		       e->verdict == SLOWER ? UP : DOWN,
		       m->kernel[e->previous - 1].name,
		       m->kernel[step->kernel].name, name,
		       is_flagged(e) ? " " FLAG_MARK : "", from, to);
	else
		printf("%s %s → %s  %s%s: %s → %s, ",
		       e->verdict == SLOWER ? UP : DOWN,
		       m->kernel[e->previous - 1].name,
		       m->kernel[step->kernel].name, name,
		       is_flagged(e) ? " " FLAG_MARK : "", from, to);
	printf("×%.*f", d, e->ratio);
	if (!isnan(e->low))
		printf(" [%.*f, %.*f]", d, e->low, d, e->high);
	if (markdown)
		printf(" | ");
	if (step->more)
		printf("%s%zu more size%s", markdown ? "" : "; and ",
		       step->more, step->more == 1 ? "" : "s");
	puts(markdown ? " |" : "");
}

int matrix_print_steps(const struct matrix *m, const struct selection *sel,
		       enum matrix_format format, size_t most)
{
	struct step *step = calloc(m->n * m->kernels + 1, sizeof(*step));
	const struct series *s;
	const struct entry *e;
	size_t n = 0, i, j, k, copies = 0, shown = 0;

	if (!step)
		return out_of_memory();
	for (s = m->series; s < m->series + m->n; s++) {
		for (k = 0; is_selected(s, sel) && k < m->kernels; k++) {
			e = &s->entry[k];
			if (!e->there || !e->previous || e->verdict > FASTER)
				continue;
			if (has_flag(e->flags, "emulated-copy")) {
				copies++;
				continue;
			}
			step[n++] =
				(struct step){ s, k, fabs(log(e->ratio)), 0 };
		}
	}
	qsort(step, n, sizeof(*step), compare_steps);
	if (format == M_CSV)
		write_header(stdout);
	if (format == M_MD && n)
		puts("| step | cell | from → to | ratio | also |\n|---|---|---:|---:|---|");
	for (i = 0; i < n && shown < most; i++) {
		if (!step[i].s)
			continue;
		for (j = i + 1; j < n; j++) {
			if (!step[j].s || !same_step(&step[i], &step[j]))
				continue;
			step[i].more++;
			step[j].s = NULL;
		}
		shown++;
		if (format == M_CSV)
			write_entry(stdout, m, step[i].s, step[i].kernel);
		else
			print_step(m, &step[i], format == M_MD);
	}
	if (format != M_CSV) {
		if (format == M_MD)
			putchar('\n');
		if (!n)
			puts("No step is called.");
		if (copies)
			printf("Not shown: %zu step%s of copies, whose string instructions are counted per iteration.\n",
			       copies, copies == 1 ? "" : "s");
		print_gaps(m, format == M_MD);
	}
	free(step);
	return 0;
}

/* ---- gnuplot ---- */

/* Place of the kernel, median, low, high, these to the oldest's, slower, faster */
static void print_point(const struct series *s, size_t k)
{
	const struct entry *e = &s->entry[k];
	double median = e->est.median;
	double low = isnan(e->est.low) ? median : e->est.low;
	double high = isnan(e->est.high) ? median : e->est.high;
	double scale = median ? e->first / median : NAN;

	printf("%zu %.10g %.10g %.10g", k + 1, median, low, high);
	if (isfinite(scale))
		printf(" %.10g %.10g %.10g", e->first, low * scale,
		       high * scale);
	else
		printf(" NaN NaN NaN");
	printf(" %d %d\n", e->verdict == SLOWER, e->verdict == FASTER);
}

void matrix_print_dat(const struct matrix *m, const struct selection *sel)
{
	const struct series *s;
	char buf[256];
	size_t k;

	for (s = m->series; s < m->series + m->n; s++) {
		if (!is_selected(s, sel))
			continue;
		printf("\"%s\"\n", title(s, false, buf, sizeof(buf)));
		for (k = 0; k < m->kernels; k++)
			if (s->entry[k].there)
				print_point(s, k);
		printf("\n\n");
	}
}

static void print_titles(const struct matrix *m, const struct selection *sel)
{
	const struct series *s;
	char buf[256];

	for (s = m->series; s < m->series + m->n; s++)
		if (is_selected(s, sel))
			printf("\"%s\" ", title(s, false, buf, sizeof(buf)));
}

/* Ascending, once each */
static void print_sizes(const struct matrix *m, const struct selection *sel)
{
	const struct series *s;
	uint64_t last = 0, next;
	bool any = true, first;

	for (first = true; any; first = false, last = next) {
		any = false;
		next = UINT64_MAX;
		for (s = m->series; s < m->series + m->n; s++) {
			if (!is_selected(s, sel) || s->size > next ||
			    (!first && s->size <= last))
				continue;
			next = s->size;
			any = true;
		}
		if (any)
			printf("%llu ", (unsigned long long)next);
	}
}

/* "20", or "11 to 20" */
static void print_boots(const struct matrix *m, const struct selection *sel)
{
	uint64_t low = UINT64_MAX, high = 0;
	const struct series *s;
	size_t k;

	for (s = m->series; s < m->series + m->n; s++) {
		for (k = 0; is_selected(s, sel) && k < m->kernels; k++) {
			if (!s->entry[k].there)
				continue;
			low = s->entry[k].boots < low ? s->entry[k].boots : low;
			high = s->entry[k].boots > high ? s->entry[k].boots :
							  high;
		}
	}
	if (low < high)
		printf("%llu to ", (unsigned long long)low);
	printf("%llu", (unsigned long long)high);
}

void matrix_print_fact(const struct matrix *m, const struct selection *sel,
		       enum matrix_fact fact)
{
	size_t i;

	switch (fact) {
	case F_KERNELS:
		for (i = 0; i < m->kernels; i++)
			printf("%s ", m->kernel[i].name);
		break;
	case F_GAPS:
		for (i = 0; i < m->gaps; i++) {
			print_text(m->gap[i].kernel, false);
			putchar(' ');
		}
		break;
	case F_REASONS:
		for (i = 0; i < m->gaps; i++) {
			printf("- ");
			print_text(m->gap[i].kernel, true);
			printf(": ");
			print_text(m->gap[i].reason, true);
			putchar('\n');
		}
		return;
	case F_TITLES:
		print_titles(m, sel);
		break;
	case F_SIZES:
		print_sizes(m, sel);
		break;
	case F_BOOTS:
		print_boots(m, sel);
		break;
	}
	putchar('\n');
}

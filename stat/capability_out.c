// SPDX-License-Identifier: GPL-2.0
/*
 * Tables of capability: properties by method. Backings of a method that agree
 * are one column; a cell of several kernels says since which one it is so.
 */
#include <stdlib.h>
#include <string.h>

#include "capability.h"

#define SINCE ", since " /* a kernel; such a cell is marked in Markdown */

static const char *const title[TOPICS] = {
	[IS] = "what it is",
	[IO] = "its bytes used by the kernel, a device or another process",
	[MM] = "memory management calls on it",
};

/* ---- cells ---- */

/* Number of the footnote that says this; 0: out of memory */
static size_t note(struct capability *cap, const char *text)
{
	char **p;
	size_t i;

	for (i = 0; i < cap->notes; i++)
		if (!strcmp(cap->note[i], text))
			return i + 1;
	p = grow(cap->note, cap->notes, &cap->note_room, sizeof(*p));
	if (!p)
		return 0;
	cap->note = p;
	p[cap->notes] = strdup(text);
	return p[cap->notes] ? ++cap->notes : 0;
}

static void print_answer(struct capability *cap, FILE *f,
			 const struct answer *a)
{
	if (strcmp(a->value, NONE))
		fputs(a->value, f);
	else
		fprintf(f, "n/a (%zu)", note(cap, a->detail));
	if (a->differs)
		fputs(" ‡", f);
}

static bool same_answer(const struct answer *a, const struct answer *b)
{
	return !strcmp(a->value, b->value) && a->differs == b->differs &&
	       (strcmp(a->value, NONE) || !strcmp(a->detail, b->detail));
}

/* "EINVAL, since 6.1 yes": by kernel, oldest first. Freed by the caller */
static char *cell(struct capability *cap, const struct column *c,
		  size_t property)
{
	const struct answer *a, *last = NULL;
	char *text = NULL;
	size_t len, i;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	for (i = 0; i < cap->runs; i++) {
		a = answer_of(c, i, property);
		if (!a->value || (last && same_answer(last, a)))
			continue;
		if (last)
			fprintf(f, SINCE "%s ", cap->run[i].name);
		print_answer(cap, f, a);
		last = a;
	}
	if (!last)
		fputs("–", f);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}

/* Whether a property was asked of it at all, in any run */
static bool asked(const struct capability *cap, const struct column *c,
		  enum about topic)
{
	size_t i, j;

	for (i = 0; i < cap->runs; i++)
		for (j = 0; j < PROPERTIES; j++)
			if (properties[j].topic == topic &&
			    answer_of(c, i, j)->value)
				return true;
	return false;
}

/* Kernels that have the source, if not all do: " (5.10, 6.1)" */
static void print_where(const struct capability *cap, const struct column *c,
			FILE *f)
{
	size_t i, n = 0, here = 0;

	for (i = 0; i < cap->runs; i++)
		n += c->there[i].value && strcmp(c->there[i].value, NONE);
	if (n == cap->runs)
		return;
	for (i = 0; i < cap->runs; i++)
		if (c->there[i].value && strcmp(c->there[i].value, NONE))
			fprintf(f, "%s%s", here++ ? ", " : " (",
				cap->run[i].name);
	if (here)
		fputc(')', f);
}

/* ---- tables ---- */

/* Column 0 has the titles; line 0 the methods. Columns that agree are one */
struct sheet {
	char **text; /* line by line */
	size_t lines, columns, wide;
};

static char **at(const struct sheet *s, size_t line, size_t column)
{
	return &s->text[line * s->wide + column];
}

static bool same_column(const struct sheet *s, size_t a, size_t b)
{
	size_t i;

	for (i = 1; i < s->lines; i++)
		if (strcmp(*at(s, i, a), *at(s, i, b)))
			return false;
	return true;
}

static void drop_column(struct sheet *s, size_t column)
{
	size_t i, j;

	for (i = 0; i < s->lines; i++) {
		free(*at(s, i, column));
		for (j = column; j + 1 < s->columns; j++)
			*at(s, i, j) = *at(s, i, j + 1);
		*at(s, i, s->columns - 1) = NULL;
	}
	s->columns--;
}

/* Backings of one method behave alike more often than not */
static int merge_columns(struct sheet *s, const struct column **of)
{
	size_t i = 2, j;
	char *both;

	while (i < s->columns) {
		if (strcmp(of[i]->method, of[i - 1]->method) ||
		    !same_column(s, i, i - 1)) {
			i++;
			continue;
		}
		if (asprintf(&both, "%s, %s", *at(s, 0, i - 1),
			     strchr(*at(s, 0, i), ' ') + 1) < 0)
			return out_of_memory();
		free(*at(s, 0, i - 1));
		*at(s, 0, i - 1) = both;
		drop_column(s, i);
		for (j = i; j < s->columns; j++)
			of[j] = of[j + 1];
	}
	return 0;
}

static char *head(const struct capability *cap, const struct column *c)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	fprintf(f, "%s: %s", c->method, c->backing);
	print_where(cap, c, f);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}

/* Fills one line, or says that none of these columns was asked */
static bool line_is_empty(const struct sheet *s, size_t line)
{
	size_t i;

	for (i = 1; i < s->columns; i++)
		if (strcmp(*at(s, line, i), "–"))
			return false;
	return true;
}

static size_t width(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += (*text & 0xc0) != 0x80;
	return n;
}

static void print_sheet(const struct sheet *s, bool markdown)
{
	size_t line, i, wide, w;
	const char *mark;

	for (line = 0; line < s->lines; line++) {
		for (i = 0; i < s->columns; i++) {
			const char *text = *at(s, line, i);

			mark = markdown && line && strstr(text, SINCE) ? "**" :
									 "";
			printf(markdown ? "| " : i ? "  " : "");
			fputs(mark, stdout);
			print_text(text, markdown);
			fputs(mark, stdout);
			for (wide = 0, w = 0; w < s->lines; w++)
				if (width(*at(s, w, i)) > wide)
					wide = width(*at(s, w, i));
			if (i + 1 < s->columns || markdown)
				printf("%*s", (int)(wide - width(text)), "");
			if (markdown)
				putchar(' ');
		}
		puts(markdown ? "|" : "");
		if (!line && markdown) {
			for (i = 0; i < s->columns; i++)
				printf("|---");
			puts("|");
		}
	}
}

static void sheet_free(struct sheet *s)
{
	size_t i;

	for (i = 0; s->text && i < (PROPERTIES + 1) * s->wide; i++)
		free(s->text[i]);
	free(s->text);
}

static int fill(struct capability *cap, struct sheet *s, enum about topic,
		const struct column **of)
{
	size_t i, j;

	*at(s, 0, 0) = strdup("");
	s->lines = 1;
	for (j = 0; j < PROPERTIES; j++) {
		if (properties[j].topic != topic)
			continue;
		*at(s, s->lines, 0) = strdup(properties[j].title);
		for (i = 1; i < s->columns; i++) {
			*at(s, s->lines, i) = cell(cap, of[i], j);
			if (!*at(s, s->lines, i))
				return out_of_memory();
		}
		s->lines++;
		if (!line_is_empty(s, s->lines - 1))
			continue;
		for (i = 0; i < s->columns; i++) {
			free(*at(s, s->lines - 1, i));
			*at(s, s->lines - 1, i) = NULL;
		}
		s->lines--;
	}
	for (i = 1; i < s->columns; i++)
		*at(s, 0, i) = head(cap, of[i]);
	return 0;
}

/* One group of one provider, of sources that map or of those that copy */
static int print_group(struct capability *cap, const char *provider,
		       enum about topic, bool copies, bool markdown)
{
	const struct column **of = calloc(cap->columns + 2, sizeof(*of));
	struct sheet s = { .columns = 1, .wide = cap->columns + 1 };
	size_t i;
	int ret;

	s.text = calloc((PROPERTIES + 1) * s.wide, sizeof(*s.text));
	if (!of || !s.text) {
		ret = out_of_memory();
		goto out;
	}
	for (i = 0; i < cap->columns; i++) {
		const struct column *c = &cap->column[i];

		/* What maps is asked what it is */
		if (!strcmp(c->provider, provider) && asked(cap, c, topic) &&
		    !asked(cap, c, IS) == copies)
			of[s.columns++] = c;
	}
	ret = s.columns > 1 ? fill(cap, &s, topic, of) : 0;
	if (ret || s.columns == 1)
		goto out;
	ret = merge_columns(&s, of);
	if (ret)
		goto out;
	printf("%s%s, %s:%s\n\n", markdown ? "*" : "",
	       strcmp(provider, "k2u") ? "What every kernel has (tree)" :
					 "The module",
	       copies ? "files of methods that copy" : title[topic],
	       markdown ? "*" : "");
	print_sheet(&s, markdown);
	putchar('\n');
out:
	sheet_free(&s);
	free(of);
	return ret;
}

static void print_notes(const struct capability *cap, bool markdown)
{
	const struct column *c;
	const char *reason;
	size_t i;

	for (i = 0; i < cap->notes; i++) {
		printf(markdown ? "- (%zu) unavailable: " :
				  "(%zu) unavailable: ",
		       i + 1);
		print_text(cap->note[i], markdown);
		putchar('\n');
	}
	/* Sources that no kernel has */
	for (c = cap->column; c < cap->column + cap->columns; c++) {
		for (reason = NULL, i = 0; i < cap->runs; i++) {
			if (!c->there[i].value)
				continue;
			if (strcmp(c->there[i].value, NONE))
				break;
			reason = c->there[i].detail;
		}
		if (i < cap->runs || !reason)
			continue;
		printf(markdown ? "- " : "");
		print_text(c->provider, markdown);
		printf(" %s: %s: unavailable: ", c->method, c->backing);
		print_text(reason, markdown);
		putchar('\n');
	}
}

void capability_csv(const struct capability *cap)
{
	const struct column *c;
	const struct answer *a;
	size_t i, j;

	puts("kernel,provider,method,backing,property,value,detail");
	for (i = 0; i < cap->runs; i++) {
		for (c = cap->column; c < cap->column + cap->columns; c++) {
			for (j = 0; j <= PROPERTIES; j++) {
				a = j ? answer_of(c, i, j - 1) : &c->there[i];
				if (a->value)
					printf("%s,%s,%s,%s,%s,%s%s,%s\n",
					       cap->run[i].name, c->provider,
					       c->method, c->backing,
					       j ? properties[j - 1].name :
						   AVAILABLE,
					       a->value, a->differs ? " ‡" : "",
					       a->detail);
			}
		}
	}
}

int capability_tables(struct capability *cap, const char *provider, int topic,
		      bool markdown)
{
	static const char *const providers[] = { "k2u", "tree" };
	size_t i;
	int ret = 0, t;

	for (i = 0; i < ARRAY_SIZE(providers) && !ret; i++) {
		if (provider && strcmp(provider, providers[i]))
			continue;
		for (t = 0; t < TOPICS && !ret; t++)
			if (topic < 0 || topic == t)
				ret = print_group(cap, providers[i], t, false,
						  markdown);
		if (!ret && (topic < 0 || topic == IO))
			ret = print_group(cap, providers[i], IO, true,
					  markdown);
	}
	if (!ret)
		print_notes(cap, markdown);
	return ret;
}

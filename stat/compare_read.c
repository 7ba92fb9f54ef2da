// SPDX-License-Identifier: GPL-2.0
/* compare: the cells of both sides, and what must not be compared. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "compare.h"

const char *const side_name[SIDES] = { "BASE", "NEW" };

/* ---- cells by their keys ---- */

static uint64_t hash_keys(const char *const key[KEYS])
{
	uint64_t hash = 0xcbf29ce484222325ULL; /* FNV-1a */
	const char *p;
	int i;

	for (i = 0; i < KEYS; i++) {
		for (p = key[i]; *p; p++)
			hash = (hash ^ (unsigned char)*p) * 0x100000001b3ULL;
		hash = (hash ^ ',') * 0x100000001b3ULL;
	}
	return hash;
}

static bool same_keys(const char *const a[KEYS], const char *const b[KEYS])
{
	int i;

	for (i = KEYS - 1; i >= 0; i--)
		if (strcmp(a[i], b[i]))
			return false;
	return true;
}

static size_t find_slot(const struct comparison *cmp,
			const char *const key[KEYS])
{
	size_t at = hash_keys(key) & (cmp->slots - 1);

	while (cmp->slot[at] &&
	       !same_keys(cmp->joint[cmp->slot[at] - 1].key, key))
		at = (at + 1) & (cmp->slots - 1);
	return at;
}

static int rehash(struct comparison *cmp)
{
	size_t i;

	cmp->slots = cmp->slots ? 2 * cmp->slots : 1024;
	free(cmp->slot);
	cmp->slot = calloc(cmp->slots, sizeof(*cmp->slot));
	if (!cmp->slot)
		return out_of_memory();
	for (i = 0; i < cmp->n; i++)
		cmp->slot[find_slot(cmp, cmp->joint[i].key)] = i + 1;
	return 0;
}

/* The cell's keys change hands if it is new */
static int find_joint(struct comparison *cmp, struct boot_cell *cell,
		      struct joint **joint)
{
	struct joint *j;
	size_t at;
	int ret;

	if (2 * cmp->n >= cmp->slots) {
		ret = rehash(cmp);
		if (ret)
			return ret;
	}
	at = find_slot(cmp, cell->key);
	if (!cmp->slot[at]) {
		j = grow(cmp->joint, cmp->n, &cmp->room, sizeof(*j));
		if (!j)
			return out_of_memory();
		cmp->joint = j;
		j += cmp->n;
		memset(j, 0, sizeof(*j));
		memcpy(j->key, cell->key, sizeof(j->key));
		j->text = cell->text;
		j->size = cell->size;
		cell->text = NULL;
		cmp->slot[at] = ++cmp->n;
	}
	*joint = &cmp->joint[cmp->slot[at] - 1];
	return 0;
}

static int set_value(struct joint *j, enum side_of side, size_t boot, double v)
{
	size_t room = j->room[side];
	double *p;

	if (boot >= room) {
		room = 2 * boot + 32;
		p = reallocarray(j->value[side], room, sizeof(*p));
		if (!p)
			return out_of_memory();
		j->value[side] = p;
		while (j->room[side] < room)
			p[j->room[side]++] = NAN;
	}
	j->value[side][boot] = v;
	return 0;
}

bool flags_have(const char *flags, const char *flag, size_t len)
{
	for (; flags && *flags; flags += *flags == ';') {
		if (strcspn(flags, ";") == len && !strncmp(flags, flag, len))
			return true;
		flags += strcspn(flags, ";");
	}
	return false;
}

int flags_add(char **to, const char *flags)
{
	char *joined;
	size_t len;

	for (; *flags; flags += len + (flags[len] == ';')) {
		len = strcspn(flags, ";");
		if (!len || flags_have(*to, flags, len))
			continue;
		if (asprintf(&joined, "%s%s%.*s", *to ?: "", *to ? ";" : "",
			     (int)len, flags) < 0)
			return out_of_memory();
		free(*to);
		*to = joined;
	}
	return 0;
}

/* ---- one run ---- */

static int compare_u64(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The numbers of the run's boots, in order */
static int boot_numbers(const struct boot_cells *cells, uint64_t **numbers,
			size_t *n)
{
	const struct boot_cell *c;
	uint64_t *p = NULL, *q;
	size_t room = 0, i;

	*n = 0;
	for (c = cells->cell; c < cells->cell + cells->n; c++) {
		for (i = 0; i < c->boots; i++) {
			/* Most cells have them all */
			if (i < *n && p[i] == c->boot[i].boot)
				continue;
			if (*n && bsearch(&c->boot[i].boot, p, *n, sizeof(*p),
					  compare_u64))
				continue;
			q = grow(p, *n, &room, sizeof(*p));
			if (!q) {
				free(p);
				return out_of_memory();
			}
			p = q;
			p[(*n)++] = c->boot[i].boot;
			qsort(p, *n, sizeof(*p), compare_u64);
		}
	}
	*numbers = p;
	return 0;
}

static int add_cells(struct comparison *cmp, enum side_of side,
		     struct boot_cells *cells)
{
	uint64_t *numbers = NULL, *at;
	struct boot_cell *c;
	struct joint *j = NULL;
	size_t n, i;
	int ret;

	ret = boot_numbers(cells, &numbers, &n);
	if (ret)
		return ret;
	for (c = cells->cell; !ret && c < cells->cell + cells->n; c++) {
		if (!cell_is_compared(c->key))
			continue;
		ret = find_joint(cmp, c, &j) ?: flags_add(&j->flags, c->flags);
		for (i = 0; !ret && i < c->boots; i++) {
			at = bsearch(&c->boot[i].boot, numbers, n,
				     sizeof(*numbers), compare_u64);
			ret = set_value(j, side,
					cmp->side[side].boots + (at - numbers),
					c->boot[i].median);
		}
	}
	cmp->side[side].boots += n;
	free(numbers);
	return ret;
}

static int add_start(struct side *side, const json_t *started)
{
	char **p;

	if (!json_is_string(started))
		return 0;
	p = grow(side->started, side->starts, &side->start_room, sizeof(*p));
	if (!p)
		return out_of_memory();
	side->started = p;
	p[side->starts] = strdup(json_string_value(started));
	return p[side->starts++] ? 0 : out_of_memory();
}

static int add_starts(struct side *side, const struct run *run)
{
	json_t *boots = run_env(run, "boots"), *boot;
	size_t i;
	int ret = 0;

	if (!json_array_size(boots))
		return add_start(side, run_env(run, "started"));
	json_array_foreach(boots, i, boot)
	{
		ret = ret ?: add_start(side, json_object_get(boot, "started"));
	}
	return ret;
}

static bool boots_complete(const struct run *run)
{
	json_t *boot;
	size_t i;

	json_array_foreach(run_env(run, "boots"), i, boot)
	{
		if (json_is_false(json_object_get(boot, "complete")))
			return false;
	}
	return true;
}

static int check_run(const struct run *run)
{
	if (!run->env) {
		say("%s: no env.json: nobody knows where it was measured, so it is compared with nothing: measure again",
		    run->dir);
		return -EINVAL;
	}
	if (!run->complete || !boots_complete(run)) {
		say("%s: incomplete run: finish it by the same command that began it, or measure again",
		    run->dir);
		return -EINVAL;
	}
	return 0;
}

/* Runs of one side are replicates: what they were measured on must be the same */
static int check_side(const struct side *side, const struct run *run)
{
	const struct env_change *c, *first = NULL;
	struct env_changes changes;
	size_t n = 0;
	int ret;

	ret = env_diff(side->run.env, run->env, &changes);
	if (ret)
		return ret;
	for (c = changes.change; c < changes.change + changes.n; c++) {
		if (c->class != ENV_IDENTITY)
			continue;
		first = first ?: c;
		n++;
	}
	if (first) {
		say("%s: not of one environment with %s: %s%s%s: '%.60s' there, '%.60s' here%s: give runs of one environment per side",
		    run->dir, side->run.dir, first->title,
		    *first->key ? " " : "", first->key, first->old, first->now,
		    n > 1 ? ", and more" : "");
		ret = -EINVAL;
	}
	env_changes_free(&changes);
	return ret;
}

static int add_run(struct comparison *cmp, enum side_of side, const char *dir)
{
	struct side *s = &cmp->side[side];
	struct boot_cells cells;
	struct run run;
	int ret;

	ret = run_open(&run, dir);
	if (ret)
		return ret;
	ret = check_run(&run);
	if (!ret && s->run.env)
		ret = check_side(s, &run);
	if (!ret)
		ret = boots_read(&cells, &run);
	if (!ret) {
		ret = add_cells(cmp, side, &cells) ?: add_starts(s, &run);
		boots_free(&cells);
	}
	if (!s->run.env && !ret)
		s->run = run;
	else
		run_close(&run);
	return ret;
}

/* ---- the two sides ---- */

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int check_twice(const struct side *side)
{
	struct stat *st = calloc(side->dirs + 1, sizeof(*st));
	size_t i, j;
	int ret = 0;

	if (!st)
		return out_of_memory();
	for (i = 0; i < side->dirs; i++) {
		stat(side->dir[i], &st[i]); /* read_side() has opened it */
		for (j = 0; j < i && !ret; j++) {
			if (st[i].st_dev != st[j].st_dev ||
			    st[i].st_ino != st[j].st_ino)
				continue;
			say("%s: twice on one side: its boots would count double: give it once",
			    side->dir[i]);
			ret = -EINVAL;
		}
	}
	free(st);
	return ret;
}

static int read_side(struct comparison *cmp, enum side_of which)
{
	struct side *side = &cmp->side[which];
	size_t i;
	int ret;

	for (i = 0; i < side->dirs; i++) {
		ret = add_run(cmp, which, side->dir[i]);
		if (ret)
			return ret;
	}
	if (side->starts)
		qsort(side->started, side->starts, sizeof(*side->started),
		      compare_strings);
	return check_twice(side);
}

static int check_same(const struct comparison *cmp, const char *path,
		      const char *what, const char *mend)
{
	const struct side *s = cmp->side;
	char *a = run_env_text(&s[BASE].run, path),
	     *b = run_env_text(&s[NEW].run, path);
	int ret = 0;

	if (!a || !b) {
		ret = out_of_memory();
	} else if (strcmp(a, b)) {
		say("%s and %s must not be compared: %s: %s there, %s here: %s",
		    s[BASE].run.dir, s[NEW].run.dir, what, *a ? a : "unknown",
		    *b ? b : "unknown", mend);
		ret = -EINVAL;
	}
	free(a);
	free(b);
	return ret;
}

/* A size of a method that both sides have of this measure */
struct size_of {
	const char *const *key;
	uint64_t size;
	unsigned int sides;
};

static int compare_methods(const void *a, const void *b)
{
	const struct size_of *x = a, *y = b;

	return strcmp(x->key[MEASURE], y->key[MEASURE])		  ?:
		       strcmp(x->key[PROVIDER], y->key[PROVIDER]) ?:
		       strcmp(x->key[METHOD], y->key[METHOD]);
}

static int compare_sizes(const void *a, const void *b)
{
	const struct size_of *x = a, *y = b;

	return strcmp(x->key[MEASURE], y->key[MEASURE]) ?:
		       (x->size > y->size) - (x->size < y->size);
}

/* Elements of one group, which are neighbours, have the sides of all of them */
static void join_sides(struct size_of *s, size_t n,
		       int (*compare)(const void *, const void *))
{
	unsigned int sides;
	size_t i, j, k;

	qsort(s, n, sizeof(*s), compare);
	for (i = 0; i < n; i = j) {
		sides = 0;
		for (j = i; j < n && !compare(&s[i], &s[j]); j++)
			sides |= s[j].sides;
		for (k = i; k < j; k++)
			s[k].sides = sides;
	}
}

static int check_sizes(const struct comparison *cmp)
{
	struct size_of *s = calloc(cmp->n + 1, sizeof(*s));
	unsigned int *had;
	size_t i, n = 0;
	char size[32];
	int ret = 0;

	had = calloc(cmp->n + 1, sizeof(*had));
	if (!s || !had) {
		ret = out_of_memory();
		goto out;
	}
	for (i = 0; i < cmp->n; i++) {
		had[i] = (cmp->joint[i].room[BASE] ? 1 : 0) |
			 (cmp->joint[i].room[NEW] ? 2 : 0);
		s[i] = (struct size_of){ cmp->joint[i].key, cmp->joint[i].size,
					 had[i] };
	}
	join_sides(s, cmp->n, compare_methods);
	for (i = 0; i < cmp->n; i++)
		if (s[i].sides == 3)
			s[n++] = s[i];
	/* From the methods' sides back to each cell's own */
	for (i = 0; i < n; i++)
		s[i].sides = had[cmp->slot[find_slot(cmp, s[i].key)] - 1];
	join_sides(s, n, compare_sizes);
	for (i = 0; i < n && !ret; i++) {
		if (s[i].sides == 3)
			continue;
		say("%s and %s must not be compared: %s was measured at other sizes: %s is in %s alone: measure both with the same SIZES= and QUICK=",
		    cmp->side[BASE].run.dir, cmp->side[NEW].run.dir,
		    s[i].key[MEASURE],
		    format_size(s[i].size, size, sizeof(size)),
		    side_name[s[i].sides == 1 ? BASE : NEW]);
		ret = -EINVAL;
	}
out:
	free(s);
	free(had);
	return ret;
}

/* Sides measured at a time change places often; else one came after the other */
static bool is_interleaved(const struct comparison *cmp)
{
	const struct side *a = &cmp->side[BASE], *b = &cmp->side[NEW];
	size_t i = 0, j = 0, changes = 0;
	int last = -1, now;

	while (i < a->starts || j < b->starts) {
		if (j == b->starts)
			now = BASE;
		else if (i == a->starts)
			now = NEW;
		else
			now = strcmp(a->started[i], b->started[j]) <= 0 ? BASE :
									  NEW;
		changes += last >= 0 && now != last;
		last = now;
		i += now == BASE;
		j += now == NEW;
	}
	return changes >= cmp->pairs / 2 && changes > 1;
}

static int compare_joints(const void *a, const void *b)
{
	const struct joint *x = a, *y = b;

	return compare_keys(x->key, y->key);
}

int compare_read(struct comparison *cmp)
{
	static const char venue_mend[] =
		"measure both in the same venue (VENUE=)";
	const struct side *s = cmp->side;
	int ret;

	ret = read_side(cmp, BASE) ?: read_side(cmp, NEW);
	if (ret)
		return ret;
	ret = check_same(cmp, "venue", "venue", venue_mend);
	if (!ret)
		ret = check_same(cmp, "time_unit", "unit of time", venue_mend);
	if (!ret)
		ret = check_sizes(cmp);
	if (ret)
		return ret;
	cmp->pairs = s[BASE].boots < s[NEW].boots ? s[BASE].boots :
						    s[NEW].boots;
	/* A clock that counts instructions does not know what time of day it is */
	cmp->interleaved = !strcmp(run_venue(&s[BASE].run), "icount") ||
			   is_interleaved(cmp);
	/* The hash table has their places */
	free(cmp->slot);
	cmp->slot = NULL;
	if (cmp->n)
		qsort(cmp->joint, cmp->n, sizeof(*cmp->joint), compare_joints);
	return 0;
}

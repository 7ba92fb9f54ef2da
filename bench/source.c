// SPDX-License-Identifier: GPL-2.0
/* source.c - the table of sources, and the buffers that they read. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

struct source *source_add(struct sources *s, const struct source *row)
{
	struct source *v = realloc(s->v, (s->nr + 1) * sizeof(*v));

	if (!v)
		return NULL;
	s->v = v;
	v[s->nr] = *row;
	return &v[s->nr++];
}

int sources_probe(struct sources *s, const char *device, const char *config)
{
	int err = provider_k2u(s, device, config);

	return err ? err : provider_tree(s);
}

void sources_free(struct sources *s)
{
	free(s->v);
	*s = (struct sources){};
}

/* provider/method/backing, and the cache attribute where it is not write-back */
const char *source_label(const struct source *s)
{
	static char label[64];
	const bool plain = !strcmp(s->cache, "wb");

	snprintf(label, sizeof(label), "%s/%s/%s%s%s", s->provider, s->method,
		 s->backing, plain ? "" : "/", plain ? "" : s->cache);
	return label;
}

const struct source *source_find(const struct sources *s, const char *label)
{
	unsigned int i;

	for (i = 0; i < s->nr; i++)
		if (!strcmp(source_label(&s->v[i]), label))
			return &s->v[i];
	return NULL;
}

bool source_wanted(const struct source *s, const struct options *o)
{
	return in_list(o->methods, s->method) &&
	       in_list(o->providers, s->provider) &&
	       (o->backings ? in_list(o->backings, s->backing) :
			      !(s->flags & SOURCE_ASKED));
}

static const char *access_name(unsigned int access)
{
	static const char *const name[] = { "none", "copy", "map", "copy+map" };

	if (access & ACCESS_STREAMS)
		return "stream";
	if (access & ACCESS_PACKET)
		return "packet";
	return name[access & K2U_ACCESS_BOTH];
}

json_t *sources_json(const struct sources *s)
{
	json_t *rows = json_array();
	unsigned int i;

	for (i = 0; i < s->nr; i++) {
		const struct source *v = &s->v[i];
		json_t *row = json_object();

		json_object_set_new(row, "provider", json_string(v->provider));
		json_object_set_new(row, "method", json_string(v->method));
		json_object_set_new(row, "backing", json_string(v->backing));
		json_object_set_new(row, "cache", json_string(v->cache));
		json_object_set_new(row, "access",
				    json_string(access_name(v->access)));
		json_object_set_new(row, "available",
				    json_boolean(source_available(v)));
		json_object_set_new(row, "default",
				    json_boolean(!(v->flags & SOURCE_ASKED)));
		json_object_set_new(row, "reason", json_string(v->reason));
		json_object_set_new(row, "via", json_string(v->via));
		json_array_append_new(rows, row);
	}
	return rows;
}

void sources_print(const struct sources *s, FILE *f)
{
	unsigned int i;

	fprintf(f, "%-8s  %-16s  %-9s  %-5s  %-8s  %-9s  %-7s  %s\n",
		"PROVIDER", "METHOD", "BACKING", "CACHE", "ACCESS", "AVAILABLE",
		"DEFAULT", "VIA");
	for (i = 0; i < s->nr; i++) {
		const struct source *v = &s->v[i];

		fprintf(f, "%-8s  %-16s  %-9s  %-5s  %-8s  %-9s  %-7s  %s\n",
			v->provider, v->method, v->backing, v->cache,
			access_name(v->access),
			source_available(v) ? "yes" : "no",
			v->flags & SOURCE_ASKED ? "no" : "yes", v->via);
		if (!source_available(v))
			fprintf(f, "%75sunavailable: %s\n", "", v->reason);
	}
}

/* Give it its contents (again) */
int buffer_fill(struct buffer *b)
{
	const struct source_ops *ops = b->src->ops;

	if (ops->fill)
		return ops->fill(b);
	return ops->store ? ops->store(b, b->contents, b->size, 0) : 0;
}

/* The caller has set src, size, seed, sum, contents and node */
int buffer_open(struct buffer *b)
{
	const struct source_ops *ops = b->src->ops;
	int err;

	b->fd = -1;
	b->paddr = b->vaddr = 0;
	b->dmabuf = -1;
	if (!ops->open)
		return 0;
	err = ops->open(b);
	if (err)
		return err;
	if (ops->setup)
		err = ops->setup(b);
	if (!err && !b->readonly)
		err = buffer_fill(b);
	if (err)
		buffer_close(b);
	return err;
}

void buffer_close(struct buffer *b)
{
	if (b->src->ops->close)
		b->src->ops->close(b);
	b->fd = -1;
	if (b->dmabuf >= 0)
		close(b->dmabuf);
	b->dmabuf = -1;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * get.c - k2u-get PROVIDER/METHOD/BACKING SIZE: start, open, get the bytes once
 * by that method, consume them, print their sum, exit: the whole command that
 * hyperfine times.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench.h"

static int get(const struct source *s, uint64_t size, uint64_t *sum)
{
	const struct access_ops *acc = access_of(s);
	struct buffer b = {
		.src = s, .size = size, .seed = 1, .node = K2U_NODE_ANY
	};
	char *image = NULL;
	struct use u;
	int err, err2;

	if (!s->ops->fill && s->ops->store) {
		image = malloc(size);
		if (!image)
			return -1;
		pattern_fill(image, b.seed, size);
		b.contents = image;
	}
	err = buffer_open(&b);
	free(image);
	if (err)
		return err;
	use_init(&u, s, &b);
	err = acc->setup(&u, NULL);
	if (!err) {
		err = use_first(&u, acc, sum);
		err2 = acc->teardown(&u);
		err = err ? err : err2;
	}
	buffer_close(&b);
	return err;
}

int main(int argc, char **argv)
{
	const char *device = getenv("K2U_DEVICE");
	const struct source *s;
	struct sources all = {};
	uint64_t size, sum = 0;
	char why[128];
	int err;

	if (argc != 3) {
		fprintf(stderr,
			"usage: k2u-get PROVIDER/METHOD/BACKING SIZE (see k2u-bench list)\n");
		return STATUS_USAGE;
	}
	if (parse_size(argv[2], &size)) {
		fprintf(stderr, "k2u-get: %s: not a size such as 64K\n",
			argv[2]);
		return STATUS_USAGE;
	}
	if (sources_probe(&all, device ? device : K2U_DEVICE, NULL))
		return STATUS_NONE;
	s = source_find(&all, argv[1]);
	if (!s) {
		fprintf(stderr,
			"k2u-get: %s: no such source (see k2u-bench list)\n",
			argv[1]);
		return STATUS_USAGE;
	}
	if (!source_available(s)) {
		fprintf(stderr, "k2u-get: %s is unavailable: %s\n", argv[1],
			s->reason);
		return STATUS_NONE;
	}
	if (s->ops->refuse && s->ops->refuse(s, size, why, sizeof(why))) {
		fprintf(stderr, "k2u-get: %s of %s: %s\n", argv[1], argv[2],
			why);
		return STATUS_NONE;
	}
	err = get(s, size, &sum);
	if (err)
		fprintf(stderr, "k2u-get: %s of %s: %s\n", argv[1], argv[2],
			strerror(-err));
	else
		printf("%016lx\n", sum);
	sources_free(&all);
	return err ? STATUS_CHECK : STATUS_OK;
}

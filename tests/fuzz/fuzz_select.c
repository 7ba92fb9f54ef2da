// SPDX-License-Identifier: GPL-2.0
/* k2u-stat's options: sizes, lists, names, numbers. */
#include <argp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../stat/k2u-stat.h"
#include "fuzz.h"

static unsigned int errors;

/* argp's own would exit; it returns where ARGP_NO_EXIT is set, as here */
void argp_error(const struct argp_state *state, const char *fmt, ...)
{
	(void)state;
	(void)fmt;
	errors++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const formats[] = { "text", "json", "csv", NULL };
	struct selection sel = {};
	struct argp_state state = { .input = &sel };
	uint64_t bytes;
	char *text, *args;
	unsigned int key;
	double v;
	int i;

	if (!size)
		return 0;
	text = strndup((const char *)data + 1, size - 1);
	key = data[0] % KEYS;
	errors = 0;
	selection_argp.parser(key + 1, text, &state);
	fuzz_must(errors || sel.list[key]);
	if (key == SIZE && sel.list[key])
		fuzz_must(strspn(sel.list[key], "0123456789,") ==
			  strlen(sel.list[key]));
	selection_free(&sel);
	errors = 0;
	i = parse_name(&state, "--format", formats, text);
	fuzz_must(errors || !strcmp(formats[i], text));
	if (!parse_f64(text, &v))
		fuzz_must(isfinite(v));
	if (!parse_size(text, &bytes))
		fuzz_must(text[0] >= '0' && text[0] <= '9');
	list_find(text, "read");
	list_find("read,fault", text);
	args = env_args(text);
	fuzz_must(!args || strlen(args) <= strlen(text));
	free(args);
	free(text);
	return 0;
}

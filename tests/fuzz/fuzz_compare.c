// SPDX-License-Identifier: GPL-2.0
/* Two runs as their summaries leave them, compared. */
#include "../../stat/k2u-stat.h"
#include "fuzz.h"

static const char *const names[] = {
	"a/env.json", "a/boots.csv", "a/summary.csv",
	"b/env.json", "b/boots.csv", "b/summary.csv",
	NULL,
};

static const char *const calls[] = {
	"/a /b",
	"--all /b /a",
	"--format=json /a /b",
	"--format=csv --threshold=2 /a /b",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int i;
	int status;

	fuzz_put("a/.there", "", 0);
	fuzz_put("b/.there", "", 0);
	fuzz_unpack(names, data, size);
	for (i = 0; i < ARRAY_LEN(calls); i++) {
		status = fuzz_call(cmd_compare, calls[i]);
		fuzz_must(status >= 0 && status <= 2);
	}
	return 0;
}

// SPDX-License-Identifier: GPL-2.0
/* A campaign: its matrix.csv and gaps.csv, and two runs of it. */
#include "../../stat/k2u-stat.h"
#include "fuzz.h"

static const char *const names[] = {
	"matrix.csv",  "gaps.csv",	"a/env.json",
	"a/boots.csv", "a/summary.csv", "b/env.json",
	"b/boots.csv", "b/summary.csv", NULL,
};

static const char *const calls[] = {
	"--saved /",
	"--saved --format=md /",
	"--saved --format=csv /",
	"--saved --format=dat /",
	"--saved --steps --format=md /",
	"--saved --print=kernels /",
	"--saved --print=titles /",
	"--saved --print=sizes /",
	"--saved --print=reasons /",
	"--steps=3 /a /b",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int i;

	fuzz_put("a/.there", "", 0);
	fuzz_put("b/.there", "", 0);
	fuzz_unpack(names, data, size);
	for (i = 0; i < ARRAY_LEN(calls); i++)
		fuzz_call(cmd_matrix, calls[i]);
	/* It writes matrix.csv, and must read that */
	if (!fuzz_call(cmd_matrix, "/"))
		fuzz_must(!fuzz_call(cmd_matrix, "--saved /"));
	return 0;
}

// SPDX-License-Identifier: GPL-2.0
/* Samples and checks. What summarize makes of them it must be able to read. */
#include "../../stat/k2u-stat.h"
#include "fuzz.h"

static const char *const names[] = {
	"r/env.json", "r/samples.csv", "r/checks.csv", "r/samples.csv.partial",
	NULL,
};

static const char *const made[] = {
	"r/summary.csv", "r/cost.csv",	    "r/parity.csv",
	"r/boots.csv",	 "r/breakeven.csv",
};

static const char *const reads[] = {
	"/r",
	"--measure=cost /r",
	"--measure=breakeven /r",
	"--measure=parity /r",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int i;

	fuzz_put("r/.there", "", 0);
	fuzz_unpack(names, data, size);
	if (!summarize(fuzz_path("r"))) {
		for (i = 0; i < ARRAY_LEN(reads); i++)
			fuzz_must(!fuzz_call(cmd_table, reads[i]));
		fuzz_must(!fuzz_call(cmd_choose, "/r"));
		fuzz_call(cmd_compare, "--format=json /r /r");
		/* As from a run whose samples were not kept */
		fuzz_remove("r/samples.csv");
		fuzz_remove("r/samples.csv.partial");
		fuzz_call(cmd_compare, "/r /r");
	}
	for (i = 0; i < ARRAY_LEN(made); i++)
		fuzz_remove(made[i]);
	return 0;
}

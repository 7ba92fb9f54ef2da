// SPDX-License-Identifier: GPL-2.0
/* What a summarised run holds, by every subcommand that prints it. */
#include "../../stat/k2u-stat.h"
#include "fuzz.h"

static const char *const names[] = {
	"r/env.json",	    "r/summary.csv",	"r/cost.csv",	"r/parity.csv",
	"r/boots.csv",	    "r/breakeven.csv",	"r/checks.csv", "r/samples.csv",
	"r/hyperfine.json", "r/capability.csv", NULL,
};

static const struct {
	int (*command)(int argc, char **argv);
	const char *words;
} calls[] = {
	{ cmd_table, "/r" },
	{ cmd_table, "--format=md --cols=percentile --measure=latency /r" },
	{ cmd_table, "--format=dat --cols=metric --measure=cost /r" },
	{ cmd_table, "--measure=breakeven --size=4K /r" },
	{ cmd_table, "--measure=parity /r" },
	{ cmd_series, "--x=threads /r" },
	{ cmd_series, "--x=percentile /r" },
	{ cmd_series, "--print=max --measure=breakeven /r" },
	{ cmd_series, "--print=titles /r" },
	{ cmd_choose, "/r" },
	{ cmd_checks, "/r" },
	{ cmd_checks, "--brief /r" },
	{ cmd_env, "/r" },
	{ cmd_env, "--caption --markdown /r" },
	{ cmd_env, "--methods /r" },
	{ cmd_boots, "/r" },
	{ cmd_list, "--format=json /r" },
	{ cmd_list, "/r" },
	{ cmd_hyperfine, "/r" },
	{ cmd_compare, "/r /r" },
	{ cmd_capability, "--format=md /r" },
	{ cmd_capability, "--format=csv /r /r" },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int i;

	fuzz_put("r/.there", "", 0);
	fuzz_unpack(names, data, size);
	for (i = 0; i < ARRAY_LEN(calls); i++)
		fuzz_call(calls[i].command, calls[i].words);
	return 0;
}

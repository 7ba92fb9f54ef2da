// SPDX-License-Identifier: GPL-2.0
/* A boot that joins a run. What is refused leaves the run as it was. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../../stat/k2u-stat.h"
#include "fuzz.h"

static const char *const names[] = {
	"r/env.json",	    "r/samples.csv",	"r/checks.csv",
	"b/env.json",	    "b/samples.csv",	"b/checks.csv",
	"r/capability.csv", "b/capability.csv", NULL,
};

static off_t size_of(const char *path)
{
	struct stat st;

	return stat(fuzz_path(path), &st) ? -1 : st.st_size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run run;
	off_t bytes = 0;
	bool counted = false;
	json_t *n;

	fuzz_put("r/.there", "", 0);
	fuzz_put("b/.there", "", 0);
	fuzz_unpack(names, data, size);
	if (!run_open(&run, fuzz_path("r"))) {
		n = run.env ? json_object_get(json_object_get(run.env, "bytes"),
					      "samples.csv") :
			      NULL;
		counted = json_is_integer(n) && json_integer_value(n) > 0;
		bytes = counted ? json_integer_value(n) : 0;
		counted &= bytes <= size_of("r/samples.csv");
		run_close(&run);
	}
	fuzz_call(cmd_join, "/r /b");
	/* Rows that count are never cut off */
	fuzz_must(!counted || size_of("r/samples.csv") >= bytes);
	fuzz_call(cmd_boots, "/r");
	fuzz_remove("r/dmesg.txt");
	return 0;
}

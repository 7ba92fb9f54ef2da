// SPDX-License-Identifier: GPL-2.0
/* The reader of a kernel's configuration. */
#include <string.h>

#include "../../bench/bench.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[256] = "";
	json_t *config;

	fuzz_put("config", data, size);
	config = config_read(fuzz_path("config"), why, sizeof(why));
	fuzz_must(config ? !*why : *why && strlen(why) < sizeof(why));
	json_decref(config);
	return 0;
}

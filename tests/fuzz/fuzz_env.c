// SPDX-License-Identifier: GPL-2.0
/* env.json of two runs, and what differs between them. */
#include <string.h>

#include "../../stat/k2u-stat.h"
#include "fuzz.h"

static const char *const names[] = { "a/env.json", "b/env.json", NULL };

static const char *const calls[] = {
	"/a",
	"--get=kernel.release /a",
	"--get=cpu.mitigations --markdown /a",
	"--caption --markdown /a",
	"--warnings /a",
	"--methods /a",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct env_changes changes;
	struct run a, b;
	unsigned int i;
	char *text;

	fuzz_put("a/.there", "", 0);
	fuzz_put("b/.there", "", 0);
	fuzz_unpack(names, data, size);
	for (i = 0; i < ARRAY_LEN(calls); i++)
		fuzz_call(cmd_env, calls[i]);
	fuzz_call(cmd_list, "--format=csv /");
	if (run_open(&a, fuzz_path("a")))
		return 0;
	text = run_env_text(&a, "kernel.release");
	/* It is a word of commands and a part of paths */
	fuzz_must(!text || !*text || is_name(text));
	free(text);
	if (!run_open(&b, fuzz_path("b"))) {
		if (!env_diff(a.env, b.env, &changes)) {
			env_changes_free(&changes);
			/* In either order the same */
			fuzz_must(!env_diff(b.env, a.env, &changes));
			env_changes_free(&changes);
		}
		if (!env_diff(a.env, a.env, &changes))
			fuzz_must(!changes.n);
		env_changes_free(&changes);
		run_close(&b);
	}
	run_close(&a);
	return 0;
}

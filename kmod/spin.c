// SPDX-License-Identifier: GPL-2.0
/*
 * test_spin=METHOD:TURNS: every operation of METHOD makes so many turns of a
 * loop more. A slowdown of known size, for the proof that a comparison finds
 * one (docs/METHODOLOGY.md). A static key: nothing is paid where it is off.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/string.h>

#include "k2u_mod.h"

/* About a millisecond: an operation stays far below the lockup detectors. */
#define K2U_SPIN_MAX 1000000

static char test_spin[32];
module_param_string(test_spin, test_spin, sizeof(test_spin), 0400);
MODULE_PARM_DESC(
	test_spin,
	"METHOD:TURNS: a planted slowdown, to test comparisons with: each operation of METHOD makes TURNS (1..1000000) more turns of a loop (default: none)");

DEFINE_STATIC_KEY_FALSE(k2u_spin_on);
unsigned int k2u_spin_method __ro_after_init;
unsigned int k2u_spin_turns __ro_after_init;

static const char *const k2u_spin_names[] __initconst = {
#define K2U_METHOD(id, name, access, backings, faults, title, refusal) \
	[id] = #name,
#include "methods.def"
#undef K2U_METHOD
};

int __init k2u_spin_init(void)
{
	const char *turns = strchr(test_spin, ':');
	size_t len = turns ? turns - test_spin : 0;
	unsigned int id;

	if (!test_spin[0])
		return 0;
	for (id = 0; id < ARRAY_SIZE(k2u_spin_names); id++)
		if (strlen(k2u_spin_names[id]) == len &&
		    !strncmp(k2u_spin_names[id], test_spin, len))
			break;
	if (id == ARRAY_SIZE(k2u_spin_names) ||
	    kstrtouint(turns + 1, 10, &k2u_spin_turns) || !k2u_spin_turns ||
	    k2u_spin_turns > K2U_SPIN_MAX) {
		pr_err("test_spin=%s must be METHOD:TURNS, a method's name and 1..%u\n",
		       test_spin, K2U_SPIN_MAX);
		return -EINVAL;
	}
	k2u_spin_method = id;
	static_branch_enable(&k2u_spin_on);
	pr_info("test_spin=%s: a slowdown is planted\n", test_spin);
	return 0;
}

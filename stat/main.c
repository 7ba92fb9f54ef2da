// SPDX-License-Identifier: GPL-2.0
/* k2u-stat: the command line. A subcommand is one file and one line here. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "git.h"
#include "k2u-stat.h"
#include "version.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *doc;
} commands[] = {
	{ "boots", cmd_boots, "the boots that a run has" },
	{ "capability", cmd_capability,
	  "what each mapping is, and what can be done with it" },
	{ "checks", cmd_checks, "how the checks of a run came out" },
	{ "choose", cmd_choose, "which method costs least, by size and uses" },
	{ "compare", cmd_compare, "what is slower or faster than before" },
	{ "env", cmd_env, "what a run was measured on" },
	{ "hyperfine", cmd_hyperfine, "whole-command cost" },
	{ "join", cmd_join, "a boot's rows into its run" },
	{ "list", cmd_list, "a line per run" },
	{ "matrix", cmd_matrix, "a campaign, kernel against kernel" },
	{ "series", cmd_series, "chosen cells for gnuplot" },
	{ "summarize", cmd_summarize, "samples to medians and intervals" },
	{ "table", cmd_table, "chosen cells for people" },
};

const char *argp_program_version = "k2u-stat " K2U_VERSION " (" K2U_GIT ")";

struct call {
	const struct command *command;
	int argc;
	char **argv;
};

static error_t parse(int opt, char *arg, struct argp_state *state)
{
	struct call *call = state->input;
	unsigned int i;

	switch (opt) {
	case ARGP_KEY_ARG:
		for (i = 0;
		     i < ARRAY_SIZE(commands) && strcmp(commands[i].name, arg);
		     i++)
			;
		if (i == ARRAY_SIZE(commands))
			argp_error(state,
				   "no subcommand '%s'; --help lists them",
				   arg);
		call->command = &commands[i];
		call->argc = state->argc - state->next + 1;
		call->argv = state->argv + state->next - 1;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which subcommand? --help lists them");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static char *help(int key, const char *text, void *input)
{
	char *out = NULL;
	unsigned int i;
	size_t len;
	FILE *f;

	(void)input;
	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)text;
	f = open_memstream(&out, &len);
	if (!f)
		return NULL;
	fputs("Subcommands:\n", f);
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(f, "  %-12s%s\n", commands[i].name, commands[i].doc);
	fputs("\n'k2u-stat SUBCOMMAND --help' says more. Exit status: 0, 1 if an input could not "
	      "be used or an output not written, 2 if the call is wrong; compare has its own.",
	      f);
	fclose(f);
	return out;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		.parser = parse,
		.args_doc = "SUBCOMMAND [ARG...]",
		.doc = "Statistics of k2u runs.\v",
		.help_filter = help,
	};
	struct call call = {};
	char *name;
	int ret;

	/* A file that must not grow further is an error like others: EFBIG */
	signal(SIGXFSZ, SIG_IGN);
	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &call);
	/* For the subcommand's messages and help */
	if (asprintf(&name, "k2u-stat %s", call.command->name) < 0)
		return EXIT_FAILURE;
	call.argv[0] = name;
	ret = call.command->run(call.argc, call.argv);
	free(name);

	errno = 0;
	if (fflush(stdout) || ferror(stdout)) {
		say("standard output: %s", strerror(errno ?: EIO));
		return EXIT_FAILURE;
	}
	/* -errno, or an exit status of the subcommand's own */
	return ret < 0 ? EXIT_FAILURE : ret;
}

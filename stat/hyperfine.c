// SPDX-License-Identifier: GPL-2.0
/* hyperfine: its JSON as a table, with our interval of the median */
#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "k2u-stat.h"

static double number(json_t *result, const char *name)
{
	json_t *value = json_object_get(result, name);

	return json_is_number(value) ? json_number_value(value) : NAN;
}

static int print_result(json_t *result)
{
	const char *command =
		json_string_value(json_object_get(result, "command"));
	json_t *times = json_object_get(result, "times"), *time;
	size_t n = json_array_size(times), i, m = 0;
	static const char *const plain[] = { "mean", "stddev", "user",
					     "system" };
	struct estimate est;
	char text[128];
	double *v;

	v = calloc(n + 1, sizeof(*v));
	if (!v)
		return out_of_memory();
	for (i = 0; i < n; i++) {
		time = json_array_get(times, i);
		if (json_is_number(time))
			v[m++] = json_number_value(time);
	}
	est = estimate_median(v, m);
	free(v);

	printf("| ");
	print_text(command ?: "?", true);
	printf(" | %s |", format_estimate(&est, "s", text, sizeof(text)));
	for (i = 0; i < ARRAY_SIZE(plain); i++) {
		est = (struct estimate){ .median = number(result, plain[i]),
					 .low = NAN };
		printf(" %s |", format_estimate(&est, "s", text, sizeof(text)));
	}
	printf(" %zu |\n", m);
	return 0;
}

static error_t parse(int opt, char *arg, struct argp_state *state)
{
	if (opt == ARGP_KEY_ARG || opt == ARGP_KEY_END)
		return parse_run(arg, state, state->input);
	return ARGP_ERR_UNKNOWN;
}

int cmd_hyperfine(int argc, char **argv)
{
	static const struct argp argp = {
		.parser = parse,
		.args_doc = "RUN",
		.doc = "Print hyperfine.json of RUN as a Markdown table.",
	};
	const char *dir = NULL;
	json_t *root, *result, *results;
	struct run run;
	char *path;
	size_t i;
	int ret;

	argp_parse(&argp, argc, argv, 0, NULL, &dir);
	ret = run_open(&run, dir);
	if (ret)
		return ret;
	path = run_path(&run, "hyperfine.json");
	run_close(&run);
	if (!path)
		return -ENOMEM;
	ret = json_read(path, &root);
	if (ret == -ENOENT)
		say("%s: %s", path, strerror(ENOENT));
	if (ret)
		goto out;
	results = json_object_get(root, "results");
	if (!json_is_array(results)) {
		say("%s: results: expected an array", path);
		ret = -EINVAL;
		goto out;
	}
	puts("| command | median | mean | std. dev. | user | system | runs |\n"
	     "|---|---:|---:|---:|---:|---:|---:|");
	json_array_foreach(results, i, result)
	{
		ret = print_result(result);
		if (ret)
			break;
	}
out:
	json_decref(root);
	free(path);
	return ret;
}

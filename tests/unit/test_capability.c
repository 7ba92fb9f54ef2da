// SPDX-License-Identifier: GPL-2.0
/* k2u-stat capability: the table, what changes from kernel to kernel, bad input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../stat/k2u-stat.h"

#define HEADER "provider,method,backing,size_bytes,boot,property,value,detail\n"
#define FAULT(backing, rest) "k2u,fault," backing "," rest "\n"
#define THERE(backing) FAULT(backing, "0,1,available,yes,")

struct fixture {
	char dir[64];
	int out, err;
	char *text;
};

/* Both streams go to files of the test's directory meanwhile */
static int redirect(int fd, const char *dir, const char *name)
{
	char path[128];
	int kept = dup(fd), to;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	to = open(path, O_RDWR | O_CREAT | O_APPEND, 0600);
	assert_true(kept >= 0 && to >= 0);
	dup2(to, fd);
	close(to);
	return kept;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	strcpy(f->dir, "/tmp/k2u-test-capability.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	*state = f;
	return 0;
}

static void remove_file(const struct fixture *f, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	remove(path);
}

static int teardown(void **state)
{
	static const char *const files[] = {
		"old/env.json",
		"old/capability.csv",
		"old",
		"new/env.json",
		"new/capability.csv",
		"new",
		"out",
		"err",
	};
	struct fixture *f = *state;
	unsigned int i;
	int left;

	for (i = 0; i < ARRAY_SIZE(files); i++)
		remove_file(f, files[i]);
	left = rmdir(f->dir);
	free(f->text);
	free(f);
	return left;
}

static void put(const struct fixture *f, const char *run, const char *name,
		const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", f->dir, run);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/%s/%s", f->dir, run, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

/* NULL for rows: there is no capability.csv */
static void put_run(const struct fixture *f, const char *run,
		    const char *release, const char *rows)
{
	char env[256];

	snprintf(
		env, sizeof(env),
		"{\"schema\": 1, \"complete\": true, \"venue\": \"tcg\", \"kernel\": {\"release\": \"%s\"}}",
		release);
	put(f, run, "env.json", env);
	if (rows)
		put(f, run, "capability.csv", rows);
}

static const char *slurp(struct fixture *f, const char *name)
{
	char path[128];
	size_t room = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	file = fopen(path, "r");
	assert_non_null(file);
	free(f->text);
	f->text = NULL;
	if (getdelim(&f->text, &room, '\0', file) < 0) {
		free(f->text);
		f->text = strdup("");
	}
	fclose(file);
	return f->text;
}

/* What the command returns; its output is in the files out and err */
static int run(struct fixture *f, const char *option, const char *first,
	       const char *second)
{
	char a[128], b[128], *argv[5];
	int ret;

	snprintf(a, sizeof(a), "%s/%s", f->dir, first);
	snprintf(b, sizeof(b), "%s/%s", f->dir, second ? second : "");
	argv[0] = strdup("capability");
	argv[1] = strdup(option);
	argv[2] = a;
	argv[3] = second ? b : NULL;
	argv[4] = NULL;
	remove_file(f, "out");
	remove_file(f, "err");
	fflush(stdout);
	f->out = redirect(STDOUT_FILENO, f->dir, "out");
	f->err = redirect(STDERR_FILENO, f->dir, "err");
	ret = cmd_capability(second ? 4 : 3, argv);
	free(argv[0]);
	free(argv[1]);
	fflush(stdout);
	fflush(stderr);
	dup2(f->out, STDOUT_FILENO);
	dup2(f->err, STDERR_FILENO);
	close(f->out);
	close(f->err);
	return ret;
}

static void assert_has(const char *text, const char *part)
{
	if (strstr(text, part))
		return;
	print_error("expected '%s' in:\n%s\n", part, text);
	fail();
}

static void assert_lacks(const char *text, const char *part)
{
	if (!strstr(text, part))
		return;
	print_error("did not expect '%s' in:\n%s\n", part, text);
	fail();
}

/* ---- tables ---- */

static void test_table(void **state)
{
	struct fixture *f = *state;
	const char *text;

	put_run(f, "old", "6.1.0-9-amd64",
		HEADER THERE("vmalloc") THERE(
			"contig") FAULT("vmalloc", "65536,1,kind,ordinary,x")
			FAULT("contig", "65536,1,kind,ordinary,y")
				FAULT("vmalloc", "65536,1,mlock,no effect,")
					FAULT("contig", "65536,1,mlock,yes,"));
	assert_int_equal(run(f, "--format=text", "old", NULL), 0);
	text = slurp(f, "out");
	/* Backings that agree are one column, others are two */
	assert_has(
		text,
		"The module, what it is:\n\n             fault: vmalloc, contig\n"
		"Kind of VMA  ordinary\n");
	assert_has(
		text,
		"fault: vmalloc  fault: contig\nmlock  no effect       yes\n");
	/* Nothing was asked of that */
	assert_lacks(text, "core dump");
	assert_lacks(text, "since");
}

static void test_kernels(void **state)
{
	struct fixture *f = *state;
	const char *text;

	put_run(f, "old", "5.10.0-46-amd64",
		HEADER THERE("vmalloc") FAULT("vmalloc",
					      "65536,1,kind,ordinary,")
			FAULT("vmalloc", "65536,1,populate_read,EINVAL,madvise")
				FAULT("vmalloc",
				      "65536,1,direct_write,unavailable,no disk"));
	put_run(f, "new", "6.12.1-amd64",
		HEADER THERE("vmalloc") THERE(
			"contig") FAULT("vmalloc", "65536,1,kind,ordinary,")
			FAULT("contig", "65536,1,kind,ordinary,") FAULT(
				"vmalloc", "65536,1,populate_read,yes,")
				FAULT("vmalloc", "65536,1,direct_write,yes,")
					FAULT("contig",
					      "65536,1,populate_read,yes,"));
	/* In the order of the kernels, not of the arguments */
	assert_int_equal(run(f, "--format=md", "new", "old"), 0);
	text = slurp(f, "out");
	assert_has(
		text,
		"| MADV\\_POPULATE\\_READ | **EINVAL, since 6.12 yes** | yes");
	assert_has(text, "| **n/a (1), since 6.12 yes** |");
	assert_has(text, "- (1) unavailable: no disk\n");
	/* What not all kernels have says which do */
	assert_has(text, "| fault: vmalloc");
	assert_has(text, "fault: contig (6.12)");

	assert_int_equal(run(f, "--format=csv", "new", "old"), 0);
	text = slurp(f, "out");
	assert_has(text,
		   "\n5.10,k2u,fault,vmalloc,populate_read,EINVAL,madvise\n");
	assert_has(text, "\n6.12,k2u,fault,vmalloc,populate_read,yes,\n");
}

static void test_absent(void **state)
{
	struct fixture *f = *state;

	put_run(f, "old", "6.1",
		HEADER FAULT("vmalloc",
			     "0,1,available,unavailable,no |device|"));
	assert_int_equal(run(f, "--format=md", "old", NULL), 0);
	assert_has(slurp(f, "out"),
		   "- k2u fault: vmalloc: unavailable: no \\|device\\|\n");
}

static void test_boots_disagree(void **state)
{
	struct fixture *f = *state;

	put_run(f, "old", "6.1",
		HEADER THERE("vmalloc")
			FAULT("vmalloc", "65536,1,kind,ordinary,")
				FAULT("vmalloc", "65536,2,kind,VM_PFNMAP,"));
	assert_int_equal(run(f, "--format=text", "old", NULL), 0);
	assert_has(slurp(f, "out"), "ordinary ‡");
	assert_has(
		slurp(f, "err"),
		"kind of k2u/fault/vmalloc: VM_PFNMAP, but in an earlier boot ordinary");
}

/* ---- bad input ---- */

static void test_bad_input(void **state)
{
	static const struct {
		const char *rows, *said;
	} bad[] = {
		{ HEADER FAULT("vmalloc", "65536,1,levitation,yes,"),
		  "capability.csv:2: property: expected a property of include/capability.def" },
		{ HEADER FAULT("vmalloc", "65536,1,kind,,"),
		  "capability.csv:2: value: expected a value" },
		{ HEADER FAULT("vmalloc", "-1,1,kind,yes,"),
		  "capability.csv:2: size_bytes: expected" },
		{ HEADER "k2u,fault,vmalloc,65536,1,kind,ordin",
		  "capability.csv:2: " },
		{ "provider,method\n", "capability.csv:1: " },
		{ "", "capability.csv:1: empty" },
		{ NULL, "no capability.csv: not measured" },
	};
	struct fixture *f = *state;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		put_run(f, "old", "6.1", bad[i].rows);
		if (!bad[i].rows)
			remove_file(f, "old/capability.csv");
		assert_true(run(f, "--format=text", "old", NULL) < 0);
		assert_has(slurp(f, "err"), bad[i].said);
	}
	put(f, "old", "env.json", "{\"schema\": 1}\n");
	assert_true(run(f, "--format=text", "old", NULL) < 0);
	assert_has(slurp(f, "err"), "does not say which kernel");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_table, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kernels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_absent, setup, teardown),
		cmocka_unit_test_setup_teardown(test_boots_disagree, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_bad_input, setup,
						teardown),
	};

	return cmocka_run_group_tests_name("k2u-stat capability", tests, NULL,
					   NULL);
}

// SPDX-License-Identifier: GPL-2.0
/* main.c - k2u-bench: the command line, and the only exit. */
#include <argp.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "counter.h"
#include "git.h"
#include "packet.h"
#include "stream.h"
#include "version.h"

const char *argp_program_version = "k2u-bench " K2U_VERSION " (" K2U_GIT ")";

static const char doc[] =
	"Measure the ways from kernel memory to user space.\v"
	"Exit status: 0; 1 contents, a count or a sum was wrong (data are kept; "
	"whether figures settled is marked in checks.csv and env.json, and does "
	"not count here); 2 usage; 3 nothing that was asked for is available; "
	"4 output could not be written (what was recorded is kept); "
	"130 interrupted (likewise).";

enum {
	OPT_OUT = 256,
	OPT_STREAM,
	OPT_QUICK,
	OPT_MEASURES,
	OPT_METHODS,
	OPT_PROVIDERS,
	OPT_BACKINGS,
	OPT_COUNTERS,
	OPT_SIZES,
	OPT_THREADS,
	OPT_SEED,
	OPT_VENUE,
	OPT_BOOT,
	OPT_BLOCKS,
	OPT_CPU,
	OPT_NODE,
	OPT_DEVICE,
	OPT_RUN_ID,
	OPT_ENV,
	OPT_CONFIG,
	OPT_TEST_SPIN,
	OPT_DIRECT,
	OPT_JSON
};

#define BIG_BLOCKS 11

#define OPTION(n, k, a, d)                              \
	{                                               \
		.name = n, .key = k, .arg = a, .doc = d \
	}

static const struct argp_option options[] = {
	{ .doc = "list: the sources of this machine, and why one is not available",
	  .group = 1 },
	OPTION("json", OPT_JSON, NULL, "as JSON"),
	{ .doc = "run: measure (--out or --stream is needed); env: print the env.json that such a run would begin with, measure nothing",
	  .group = 2 },
	OPTION("out", OPT_OUT, "DIR",
	       "write samples.csv, checks.csv and env.json into DIR"),
	OPTION("stream", OPT_STREAM, "FILE",
	       "write all three as tagged lines to FILE (a serial port)"),
	OPTION("quick", OPT_QUICK, NULL, "fewer sizes and blocks"),
	OPTION("measures", OPT_MEASURES, "LIST",
	       "of: capability, counters, faults, latency, numa, scale, skb, stream, throughput (default: all)"),
	OPTION("methods", OPT_METHODS, "LIST",
	       "methods of \"k2u-bench list\" (default: all)"),
	OPTION("providers", OPT_PROVIDERS, "LIST",
	       "of: k2u, tree (default: all)"),
	OPTION("backings", OPT_BACKINGS, "LIST",
	       "backings of \"k2u-bench list\" (default: its column DEFAULT)"),
	OPTION("counters", OPT_COUNTERS, "LIST",
	       "measure counters: events by libpfm4's names, as perf::CYCLES,perf::PAGE-FAULTS (default: cycles, instructions, misses, page walks)"),
	OPTION("sizes", OPT_SIZES, "LIST",
	       "of throughput, faults, scale, mmap and munmap, as 4K,1M"),
	OPTION("threads", OPT_THREADS, "LIST",
	       "of scale, as 1,2,8 (default: powers of two up to the CPUs that are allowed, at most 16)"),
	OPTION("blocks", OPT_BLOCKS, "N",
	       "randomised blocks (default 21, of 64 MiB and more 11; quick 11; icount 11 and 6)"),
	OPTION("seed", OPT_SEED, "N",
	       "of contents and of the order within blocks (default: random)"),
	OPTION("cpu", OPT_CPU, "N",
	       "run on this CPU (default: the last one allowed)"),
	OPTION("node", OPT_NODE, "N",
	       "memory from this NUMA node (default: the CPU's)"),
	OPTION("venue", OPT_VENUE, "NAME",
	       "native, kvm, tcg or icount: what the clock counts (default native)"),
	OPTION("boot", OPT_BOOT, "N", "number of this replicate (default 1)"),
	OPTION("run-id", OPT_RUN_ID, "ID", "name of the run in env.json"),
	OPTION("env", OPT_ENV, "KEY=VALUE",
	       "store VALUE at the dotted path KEY of env.json (repeatable)"),
	OPTION("config", OPT_CONFIG, "FILE",
	       "the kernel's configuration (text): what of it can move a figure goes into env.json"),
	OPTION("direct", OPT_DIRECT, "FILE",
	       "measure capability: a file or disk of 1 MiB that O_DIRECT may overwrite (default: one of its own in the current directory)"),
	OPTION("test-spin", OPT_TEST_SPIN, "METHOD:TURNS",
	       "plant a slowdown, to test comparisons with: TURNS more turns of a loop in each operation of METHOD of provider tree (k2u: the module's parameter test_spin)"),
	{ .doc = "all:", .group = 3 },
	OPTION("device", OPT_DEVICE, "PATH",
	       "of the module (default " K2U_DEVICE ")"),
	{}
};

struct command {
	struct options opt;
	const char *name;
	bool json;
};

static uint64_t number(struct argp_state *state, const char *name, char *arg,
		       uint64_t max)
{
	uint64_t n = 0;

	if (parse_number(arg, max, &n))
		argp_error(state, "--%s=%s: not a number from 0 to %lu", name,
			   arg, max);
	return n;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct command *c = state->input;
	struct options *o = &c->opt;

	switch (key) {
	case OPT_OUT:
		o->out = arg;
		break;
	case OPT_STREAM:
		o->stream = arg;
		break;
	case OPT_QUICK:
		o->quick = true;
		break;
	case OPT_MEASURES:
		o->measures = arg;
		break;
	case OPT_METHODS:
		o->methods = arg;
		break;
	case OPT_PROVIDERS:
		o->providers = arg;
		break;
	case OPT_BACKINGS:
		o->backings = arg;
		break;
	case OPT_COUNTERS:
		o->counters = arg;
		break;
	case OPT_DEVICE:
		o->device = arg;
		break;
	case OPT_RUN_ID:
		o->run_id = arg;
		break;
	case OPT_DIRECT:
		o->direct = arg;
		break;
	case OPT_JSON:
		c->json = true;
		break;
	case OPT_BOOT:
		o->boot = number(state, "boot", arg, 1000000);
		break;
	case OPT_BLOCKS:
		o->blocks = number(state, "blocks", arg, 1000);
		break;
	case OPT_CPU:
		o->cpu = number(state, "cpu", arg, 4095);
		break;
	case OPT_NODE:
		o->node = number(state, "node", arg, 1023);
		break;
	case OPT_SEED:
		o->seed = number(state, "seed", arg, (1ULL << 53) - 1);
		o->seeded = true;
		break;
	case OPT_SIZES:
		if (parse_sizes(arg, o->sizes, &o->nr_sizes))
			argp_error(
				state,
				"--sizes=%s: at most %d sizes such as 4K,1M, each a multiple of the page (%zu)",
				arg, MAX_SIZES, page_bytes());
		break;
	case OPT_THREADS:
		if (parse_threads(arg, o->threads, &o->nr_threads))
			argp_error(
				state,
				"--threads=%s: at most %d numbers from 1 to %d, ascending, such as 1,2,8",
				arg, MAX_STEPS, MAX_THREADS);
		break;
	case OPT_VENUE:
		if (!in_list("native,kvm,tcg,icount", arg))
			argp_error(
				state,
				"--venue=%s: not one of native, kvm, tcg, icount",
				arg);
		o->venue = arg;
		break;
	case OPT_CONFIG:
		o->config = arg;
		break;
	case OPT_TEST_SPIN:
		if (parse_spin(arg, o->spin_method, sizeof(o->spin_method),
			       &o->spin_turns))
			argp_error(
				state,
				"--test-spin=%s: not METHOD:TURNS, with TURNS from 1 to %d",
				arg, MAX_SPIN);
		o->spin = arg;
		break;
	case OPT_ENV:
		if (o->nr_facts == MAX_FACTS || !strchr(arg, '=') ||
		    arg[0] == '=')
			argp_error(
				state,
				"--env=%s: not KEY=VALUE, or more than %d of them",
				arg, MAX_FACTS);
		o->facts[o->nr_facts++] = arg;
		break;
	case ARGP_KEY_ARG:
		if (c->name)
			argp_error(state, "%s: one command at a time", arg);
		c->name = arg;
		break;
	case ARGP_KEY_END:
		if (!c->name || !in_list("env,list,run", c->name))
			argp_error(state,
				   "%s%sa command is needed: env, list or run",
				   c->name ? c->name : "", c->name ? ": " : "");
		if (!strcmp(c->name, "run") && !o->out == !o->stream)
			argp_error(
				state,
				"run: either --out=DIR or --stream=FILE is needed");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "env|list|run",
	.doc = doc,
};

static void on_signal(int sig)
{
	stop_signal = sig;
}

/* Every name of a comma list must be one that is known; else say which are */
static bool known_names(const char *option, const char *list, const char *known)
{
	char *copy, *name, *rest;
	bool ok = true;

	if (!list)
		return true;
	copy = rest = strdup(list);
	while (copy && ok && (name = strsep(&rest, ","))) {
		ok = *name && in_list(known, name);
		if (!ok)
			fprintf(stderr,
				"k2u-bench: --%s: \"%s\" is none of: %s\n",
				option, name, known);
	}
	free(copy);
	return ok;
}

static void join(char *list, size_t len, const char *name)
{
	if (list[0] && in_list(list, name))
		return;
	snprintf(list + strlen(list), len - strlen(list), "%s%s",
		 list[0] ? "," : "", name);
}

static bool names_valid(const struct run *r)
{
	char method[512] = "", provider[64] = "", backing[256] = "";
	char measure[256] = "";
	unsigned int i;

	for (i = 0; i < r->src.nr; i++) {
		join(method, sizeof(method), r->src.v[i].method);
		join(provider, sizeof(provider), r->src.v[i].provider);
		join(backing, sizeof(backing), r->src.v[i].backing);
	}
	for (i = 0; i < nr_measures; i++)
		join(measure, sizeof(measure), measures[i].name);
	return known_names("methods", r->opt.methods, method) &&
	       known_names("test-spin", r->opt.spin ? r->opt.spin_method : NULL,
			   method) &&
	       known_names("providers", r->opt.providers, provider) &&
	       known_names("backings", r->opt.backings, backing) &&
	       known_names("measures", r->opt.measures, measure);
}

/* Whether any source that was asked for is there; else why each is not */
static bool any_available(const struct run *r)
{
	const struct source *s;
	unsigned int i, pass;

	for (pass = 0; pass < 2; pass++) {
		for (i = 0; i < r->src.nr; i++) {
			s = &r->src.v[i];
			if (!source_wanted(s, &r->opt))
				continue;
			if (source_available(s))
				return true;
			if (pass)
				fprintf(stderr,
					"k2u-bench: %s is unavailable: %s\n",
					source_label(s), s->reason);
		}
	}
	fprintf(stderr, "k2u-bench: nothing that was asked for is available\n");
	return false;
}

/* What a mapping is does not vary: unless nothing else is asked for, the first boot says it */
static bool measure_wanted(const struct measure *m, const struct options *o)
{
	const bool alone = o->measures && !strchr(o->measures, ',');

	return in_list(o->measures, m->name) &&
	       (alone || o->boot == 1 || strcmp(m->name, "capability"));
}

static int plan(struct run *r)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < nr_measures && !err; i++)
		if (measure_wanted(&measures[i], &r->opt))
			err = measures[i].plan(r);
	return err;
}

static int end_stdout(void)
{
	if (!fflush(stdout))
		return STATUS_OK;
	fprintf(stderr, "k2u-bench: stdout: %m\n");
	return STATUS_OUTPUT;
}

static int print_json(const json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2));
	putchar('\n');
	return end_stdout();
}

static int list(struct run *r, bool json)
{
	json_t *rows;
	int status;

	if (json) {
		rows = sources_json(&r->src);
		status = print_json(rows);
		json_decref(rows);
		return status;
	}
	sources_print(&r->src, stdout);
	return end_stdout();
}

static int output_failed(const struct run *r)
{
	fprintf(stderr, "k2u-bench: %s\n",
		r->emit ? emit_error(r->emit) : "out of memory");
	return STATUS_OUTPUT;
}

/* Measure, and finish the files whatever ended it */
static int measure(struct run *r)
{
	int err = env_begin(r), status;

	if (!err)
		err = plan(r);
	if (err) {
		fprintf(stderr, "k2u-bench: %s\n", strerror(-err));
		return STATUS_OUTPUT;
	}
	if (emit_env(r->emit, r->env.root))
		return output_failed(r);
	err = run_groups(r);
	status = stop_signal	   ? STATUS_SIGNAL :
		 r->failed	   ? STATUS_CHECK :
		 emit_any(r->emit) ? STATUS_OK :
				     STATUS_NONE;
	if (emit_error(r->emit)[0]) {
		env_end(r, false, emit_error(r->emit));
		emit_env(r->emit, r->env.root);
		return output_failed(r);
	}
	env_end(r, !err && !stop_signal,
		stop_signal ? "interrupted" :
		err	    ? strerror(-err) :
			      NULL);
	if (err) {
		fprintf(stderr, "k2u-bench: %s\n", strerror(-err));
		status = STATUS_CHECK;
	}
	if (emit_finish(r->emit, r->env.root, status))
		return output_failed(r);
	if (status == STATUS_NONE)
		fprintf(stderr,
			"k2u-bench: nothing that was asked for can be measured here: see \"unavailable\" in checks.csv\n");
	if (r->failed)
		fprintf(stderr,
			"k2u-bench: %u checks failed: see \"fail\" in checks.csv\n",
			r->failed);
	if (stop_signal)
		fprintf(stderr,
			"k2u-bench: interrupted; what was measured is kept\n");
	return status;
}

/* What a run has to have before it begins: nothing is written yet */
static int prepare(struct run *r)
{
	char why[256];

	if (!names_valid(r))
		return STATUS_USAGE;
	if (!any_available(r))
		return STATUS_NONE;
	if (env_place(&r->opt, why, sizeof(why))) {
		fprintf(stderr, "k2u-bench: %s\n", why);
		return STATUS_USAGE;
	}
	if (r->opt.config) {
		r->config = config_read(r->opt.config, why, sizeof(why));
		if (!r->config) {
			fprintf(stderr, "k2u-bench: --config: %s\n", why);
			return STATUS_USAGE;
		}
	}
	if (counters_find(r->counters, r->opt.counters, why, sizeof(why))) {
		fprintf(stderr, "k2u-bench: --counters: %s\n", why);
		return STATUS_USAGE;
	}
	mallopt(M_MMAP_MAX,
		0); /* no mappings that come and go beside those under test */
	thp_allow(false);
	if (r->opt.spin)
		tree_spin(&r->src, r->opt.spin_method, r->opt.spin_turns);
	timing_calibrate(&r->timing, r->opt.icount);
	return STATUS_OK;
}

static int run(struct run *r)
{
	struct sigaction sa = { .sa_handler = on_signal };
	int status = prepare(r);

	if (status)
		return status;
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN); /* EPIPE is reported as any other failure */
	r->rng.state = r->opt.seed;
	status = emit_open(&r->emit, r->opt.out, r->opt.stream) ?
			 output_failed(r) :
			 measure(r);
	emit_free(r->emit);
	free(r->groups);
	return status;
}

/* The env.json that a run would begin with, on stdout */
static int print_env(struct run *r)
{
	int status = prepare(r);

	if (status)
		return status;
	if (env_begin(r))
		return STATUS_OUTPUT;
	return print_json(r->env.root);
}

/* The configuration of the running kernel, where distributions put it */
static const char *kernel_config(const struct options *o)
{
	static char path[sizeof(struct utsname)];
	struct utsname u;

	if (o->config)
		return o->config;
	if (uname(&u))
		return NULL;
	snprintf(path, sizeof(path), "/boot/config-%s", u.release);
	return access(path, R_OK) ? NULL : path;
}

/* name: the command. What env prints has the line of the run that it is about */
static void defaults(struct options *o, const char *name, int argc, char **argv)
{
	size_t used = 0;
	int i;

	for (i = 1; i < argc && used < sizeof(o->args); i++)
		used += snprintf(o->args + used, sizeof(o->args) - used, "%s%s",
				 i > 1 ? " " : "",
				 argv[i] == name ? "run" : argv[i]);
	if (!o->device)
		o->device = K2U_DEVICE;
	if (!o->venue)
		o->venue = "native";
	o->native = !strcmp(o->venue, "native");
	o->icount = !strcmp(o->venue, "icount");
	if (!o->boot)
		o->boot = 1;
	o->big_blocks = o->blocks ?: BIG_BLOCKS;
	if (!o->blocks)
		o->blocks = o->icount ? (o->quick ? 6 : 11) :
					(o->quick ? 11 : 21);
	if (o->big_blocks > o->blocks)
		o->big_blocks = o->blocks;
	/* A count of instructions can be repeated exactly: so it is, by default */
	if (!o->seeded && o->icount) {
		o->seed = o->boot;
	} else if (!o->seeded) {
		if (getrandom(&o->seed, sizeof(o->seed), 0) != sizeof(o->seed))
			o->seed = now();
		o->seed &= (1ULL << 53) -
			   1; /* what every JSON reader keeps exactly */
	}
}

/*
 * Where the clock counts instructions, the address space is laid out the same
 * in every run: how many steps a walk of its mappings takes depends on it.
 */
static void fix_layout(char **argv)
{
	int persona = personality(0xffffffff);

	if (persona < 0 || persona & ADDR_NO_RANDOMIZE ||
	    personality(persona | ADDR_NO_RANDOMIZE) < 0)
		return;
	execv("/proc/self/exe", argv);
}

int main(int argc, char **argv)
{
	struct command c = { .opt = { .cpu = -1, .node = -1 } };
	struct counters counters = { .nr = 0 };
	struct run r = { .counters = &counters };
	int status;

	argp_err_exit_status = STATUS_USAGE;
	argp_parse(&argp, argc, argv, 0, NULL, &c);
	defaults(&c.opt, c.name, argc, argv);
	if (c.opt.icount)
		fix_layout(argv);
	r.opt = c.opt;
	if (sources_probe(&r.src, r.opt.device, kernel_config(&r.opt)) ||
	    streams_probe(&r.src, r.opt.device) ||
	    packet_sources(&r.src, r.opt.device)) {
		fprintf(stderr, "k2u-bench: out of memory\n");
		return STATUS_NONE;
	}
	status = !strcmp(c.name, "list") ? list(&r, c.json) :
		 !strcmp(c.name, "env")	 ? print_env(&r) :
					   run(&r);
	json_decref(r.env.root);
	json_decref(r.config);
	sources_free(&r.src);
	return status;
}

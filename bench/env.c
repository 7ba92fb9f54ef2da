// SPDX-License-Identifier: GPL-2.0
/* env.c - where, when and with what was measured (env.json), and where this process runs. */
#include <dirent.h>
#include <errno.h>
#include <numa.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#ifdef __x86_64__
#include <cpuid.h>
#endif

#include "bench.h"
#include "git.h"
#include "version.h"

#define CPU0	"/sys/devices/system/cpu/"

/* ---- placement ---- */

/* One CPU (default: the last that we may use), memory on its node */
int env_place(struct options *o, char *why, size_t len)
{
	struct bitmask *mems;
	cpu_set_t allowed, one;
	bool ours;
	int cpu;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return snprintf(why, len, "sched_getaffinity: %m"), -errno;
	if (o->cpu < 0)
		for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
			if (CPU_ISSET(cpu, &allowed))
				o->cpu = cpu;
	CPU_ZERO(&one);
	if (o->cpu >= CPU_SETSIZE || !CPU_ISSET(o->cpu, &allowed)) {
		snprintf(why, len, "cpu %d is not among those that this process may use (taskset -p %d)",
			 o->cpu, getpid());
		return -EINVAL;
	}
	CPU_SET(o->cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		return snprintf(why, len, "cpu %d: %m", o->cpu), -errno;
	if (numa_available() < 0) {
		if (o->node > 0)
			return snprintf(why, len, "node %d: this kernel has no NUMA", o->node), -EINVAL;
		o->node = 0;
		return 0;
	}
	if (o->node < 0)
		o->node = numa_node_of_cpu(o->cpu);
	mems = numa_get_mems_allowed();
	ours = o->node <= numa_max_node() && numa_bitmask_isbitset(mems, o->node);
	if (ours) {
		numa_bitmask_clearall(mems);
		numa_bitmask_setbit(mems, o->node);
		numa_set_membind(mems);
	}
	numa_bitmask_free(mems);
	if (ours)
		return 0;
	snprintf(why, len, "node %d is not there, or not ours to use (numactl --show)", o->node);
	return -EINVAL;
}

/* ---- facts ---- */

static json_t *text_of(const char *path)
{
	char text[512];

	return json_string(read_text(path, text, sizeof(text)) ? text : "unknown");
}

static json_t *field_of(const char *path, const char *key)
{
	char text[512];

	return json_string(read_field(path, key, text, sizeof(text)) ? text : "unknown");
}

/* "always [madvise] never": the chosen one */
static json_t *chosen_of(const char *path)
{
	char text[256], *open, *close;

	if (!read_text(path, text, sizeof(text)))
		return json_string("unknown");
	open = strchr(text, '[');
	close = open ? strchr(open, ']') : NULL;
	return close ? json_stringn(open + 1, close - open - 1) : json_string(text);
}

static json_t *mitigations(void)
{
	json_t *all = json_object();
	struct dirent *entry;
	char path[512];
	DIR *dir = opendir(CPU0 "vulnerabilities");

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), CPU0 "vulnerabilities/%s", entry->d_name);
		json_object_set_new(all, entry->d_name, text_of(path));
	}
	if (dir)
		closedir(dir);
	return all;
}

static json_t *turbo(void)
{
	char text[8];

	if (read_text(CPU0 "intel_pstate/no_turbo", text, sizeof(text)))
		return json_string(text[0] == '0' ? "on" : "off");
	if (read_text(CPU0 "cpufreq/boost", text, sizeof(text)))
		return json_string(text[0] == '1' ? "on" : "off");
	return json_string("unknown");
}

/* The names that hypervisors give themselves in CPUID leaf 0x40000000 */
const char *env_hypervisor(const char *signature)
{
	static const char *const known[][2] = {
		{ "KVMKVMKVM", "kvm" }, { "TCGTCGTCGTCG", "tcg" }, { "VMwareVMware", "vmware" },
		{ "Microsoft Hv", "hyperv" }, { "XenVMMXenVMM", "xen" }, { "bhyve bhyve ", "bhyve" },
		{ "ACRNACRNACRN", "acrn" }, { "VBoxVBoxVBox", "virtualbox" },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(known); i++)
		if (!strcmp(signature, known[i][0]))
			return known[i][1];
	return signature[0] ? signature : "unknown";
}

static json_t *virtualization(void)
{
#ifdef __x86_64__
	unsigned int a, b, c, d;
	char signature[13] = "";

	__cpuid(1, a, b, c, d);
	if (!(c & (1u << 31)))
		return json_string("none");
	__cpuid(0x40000000, a, b, c, d);
	memcpy(signature, &b, 4);
	memcpy(signature + 4, &c, 4);
	memcpy(signature + 8, &d, 4);
	return json_string(env_hypervisor(signature));
#else
	char text[64];

	if (read_text("/sys/hypervisor/type", text, sizeof(text)) ||
	    read_text("/proc/device-tree/hypervisor/compatible", text, sizeof(text)))
		return json_string(text);
	return json_string("unknown");
#endif
}

static json_t *cpu_facts(const struct options *o)
{
	char governor[128];

	snprintf(governor, sizeof(governor), CPU0 "cpu%d/cpufreq/scaling_governor", o->cpu);
	return json_pack("{so so so si so so so so so}",
		"model", field_of("/proc/cpuinfo", "model name"),
		"microcode", field_of("/proc/cpuinfo", "microcode"),
		"online", text_of(CPU0 "online"), "pinned", o->cpu,
		"governor", text_of(governor), "turbo", turbo(), "smt", text_of(CPU0 "smt/control"),
		"clocksource", text_of("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
		"mitigations", mitigations());
}

static json_t *kernel_facts(void)
{
	struct utsname u;

	uname(&u);
	return json_pack("{ss ss so ss}", "release", u.release, "version", u.version,
		"cmdline", text_of("/proc/cmdline"), "config_sha256", "unknown");
}

static json_t *memory_facts(const struct options *o)
{
	return json_pack("{sI so si si sI}", "page_size", (json_int_t)page_bytes(),
		"thp", chosen_of("/sys/kernel/mm/transparent_hugepage/enabled"),
		"numa_nodes", numa_available() < 0 ? 1 : numa_num_configured_nodes(), "node", o->node,
		"total_bytes", (json_int_t)sysconf(_SC_PHYS_PAGES) * page_bytes());
}

static uint64_t steal_ticks(void)
{
	unsigned long steal = 0;
	char line[256];

	if (read_text("/proc/stat", line, sizeof(line)))
		sscanf(line, "cpu %*u %*u %*u %*u %*u %*u %*u %lu", &steal);
	return steal;
}

static json_t *os_facts(void)
{
	return json_pack("{so so sI so}", "aslr", text_of("/proc/sys/kernel/randomize_va_space"),
		"perf_event_paranoid", text_of("/proc/sys/kernel/perf_event_paranoid"),
		"steal_ticks_before", (json_int_t)steal_ticks(), "loadavg_before", text_of("/proc/loadavg"));
}

/* JSON numbers carry %.6g of a double, not 17 digits of noise */
static json_t *number(double x)
{
	char text[32];

	snprintf(text, sizeof(text), "%.6g", x);
	return json_real(strtod(text, NULL));
}

static json_t *calibration(const struct timing *t)
{
	return json_pack("{so so so so so so sb}", "clock_ns", number(t->clock), "loop_ns", number(t->loop),
		"residual_ns", number(t->residual), "residual_low", number(t->residual_low),
		"residual_high", number(t->residual_high), "clock_resolution", number(t->resolution),
		"clock_vdso", t->vdso);
}

/* KEY=VALUE: the string VALUE at the dotted path KEY */
int env_fact(json_t *root, const char *fact)
{
	const char *value = strchr(fact, '=');
	size_t len;

	if (!value || value == fact || fact[0] == '.' || value[-1] == '.')
		return -EINVAL;
	while ((len = strcspn(fact, ".=")), fact[len] == '.') {
		char *key = strndup(fact, len);
		json_t *sub = json_object_get(root, key);

		if (!json_is_object(sub)) {
			sub = json_object();
			json_object_set_new(root, key, sub);
		}
		free(key);
		root = sub;
		fact += len + 1;
	}
	if (!len)
		return -EINVAL;
	return json_object_setn_new_nocheck(root, fact, len, json_string(value + 1)) ? -EINVAL : 0;
}

static void warn(struct run *r, const char *fmt, ...)
{
	json_t *all = json_object_get(r->env.root, "warnings");
	va_list args;

	va_start(args, fmt);
	json_array_append_new(all, json_vsprintf(fmt, args));
	va_end(args);
}

int env_begin(struct run *r)
{
	const struct options *o = &r->opt;
	char started[32];
	time_t t = time(NULL);
	unsigned int i;

	strftime(started, sizeof(started), "%Y-%m-%dT%H:%M:%SZ", gmtime(&t));
	r->env.started = now();
	r->env.root = json_pack("{si ss ss sf sb ss ss so so so so so s{ss ss ss ss ss} sI sb so so s[]}",
		"schema", 1, "run_id", o->run_id ? o->run_id : started, "started", started,
		"duration_s", 0.0, "complete", 0, "venue", o->venue, "time_unit", o->icount ? "insn" : "ns",
		"virtualization", virtualization(), "kernel", kernel_facts(), "cpu", cpu_facts(o),
		"memory", memory_facts(o), "os", os_facts(),
		"tool", "version", K2U_VERSION, "git", K2U_GIT, "compiler", "gcc " __VERSION__,
			"module_version", k2u_module_version(), "args", o->args,
		"seed", (json_int_t)o->seed, "quick", o->quick,
		"calibration", calibration(&r->timing), "methods", sources_json(&r->src), "warnings");
	if (!r->env.root)
		return -ENOMEM;
	for (i = 0; i < o->nr_facts; i++)
		env_fact(r->env.root, o->facts[i]);
	if (!r->timing.vdso)
		warn(r, "reading the clock is a system call here: its source is not one that the vDSO reads");
	return 0;
}

static void warn_changed(struct run *r, const char *what, json_t *after)
{
	json_t *before = json_object_get(r->env.root, what);
	const char *key;
	json_t *value;

	json_object_foreach(after, key, value) {
		json_t *old = json_object_get(before, key);

		if (json_equal(old, value))
			continue;
		if (json_is_string(value))
			warn(r, "%s.%s changed during the run: %s before, %s after", what, key,
			     json_string_value(old), json_string_value(value));
		else
			warn(r, "%s.%s changed during the run", what, key);
	}
	json_decref(after);
}

void env_end(struct run *r, bool complete, const char *error)
{
	double duration = (now() - r->env.started) / 1e9, lost;
	json_t *root = r->env.root, *os = json_object_get(root, "os");
	uint64_t steal = steal_ticks();

	json_object_set_new(root, "duration_s", number(duration));
	json_object_set_new(root, "complete", json_boolean(complete));
	if (error)
		json_object_set_new(root, "error", json_string(error));
	json_object_set_new(os, "steal_ticks_after", json_integer(steal));
	lost = (double)(steal - json_integer_value(json_object_get(os, "steal_ticks_before"))) /
	       sysconf(_SC_CLK_TCK);
	if (lost > 0.01 * duration)
		warn(r, "the hypervisor took %.1f s of CPU time away during the run", lost);
	warn_changed(r, "cpu", cpu_facts(&r->opt));
	warn_changed(r, "memory", memory_facts(&r->opt));
	if (r->unsettled)
		warn(r, "%u metrics did not settle: see steady in checks.csv", r->unsettled);
	if (r->nonlinear)
		warn(r, "%u metrics are not linear in their count: see linearity in checks.csv", r->nonlinear);
}

// SPDX-License-Identifier: GPL-2.0
/* env.c - where, when and with what was measured (env.json), and where this process runs. */
#include <dirent.h>
#include <errno.h>
#include <glob.h>
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

#include "counter.h"
#include "git.h"
#include "version.h"

#define CPU0 "/sys/devices/system/cpu/"
#define CLOCKSOURCE \
	"/sys/devices/system/clocksource/clocksource0/current_clocksource"
#define MODULE_SPIN "/sys/module/k2u/parameters/test_spin"
#define THP_ENABLED "/sys/kernel/mm/transparent_hugepage/enabled"
#define FAULT_AROUND "/sys/kernel/debug/fault_around_bytes"

#ifdef __clang__
#define COMPILER "" /* its __VERSION__ begins with its name */
#else
#define COMPILER "gcc "
#endif

/* ---- placement ---- */

static cpu_set_t allowed; /* before we chose one of them */

unsigned int env_cpus(void)
{
	return CPU_COUNT(&allowed);
}

bool env_allows(int cpu)
{
	return CPU_ISSET(cpu, &allowed);
}

int env_cpu(const struct options *o, unsigned int i)
{
	unsigned int nr = env_cpus();
	int cpu = o->cpu;

	/* From ours on, round and round */
	for (i = nr ? i % nr : 0; i; i--)
		do
			cpu = (cpu + 1) % CPU_SETSIZE;
		while (!CPU_ISSET(cpu, &allowed));
	return cpu;
}

/* One CPU (default: the last that we may use), memory on its node */
int env_place(struct options *o, char *why, size_t len)
{
	struct bitmask *mems;
	bool ours;
	int cpu;

	if (sched_getaffinity(0, sizeof(allowed), &allowed)) {
		snprintf(why, len, "sched_getaffinity: %m");
		return -EINVAL;
	}
	if (o->cpu < 0)
		for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
			if (CPU_ISSET(cpu, &allowed))
				o->cpu = cpu;
	if (o->cpu >= CPU_SETSIZE || !CPU_ISSET(o->cpu, &allowed)) {
		snprintf(why, len, "cpu %d is not ours to use (taskset -p %d)",
			 o->cpu, getpid());
		return -EINVAL;
	}
	if (place_run_on(o->cpu)) {
		snprintf(why, len, "cpu %d: %m", o->cpu);
		return -EINVAL;
	}
	if (numa_available() < 0) {
		if (o->node > 0) {
			snprintf(why, len, "node %d: this kernel has no NUMA",
				 o->node);
			return -EINVAL;
		}
		o->node = 0;
		return 0;
	}
	if (o->node < 0)
		o->node = numa_node_of_cpu(o->cpu);
	if (o->node < 0) /* no /sys to tell: all memory is node 0's */
		o->node = 0;
	mems = numa_get_mems_allowed();
	ours = o->node <= numa_max_node() &&
	       numa_bitmask_isbitset(mems, o->node);
	if (ours) {
		numa_bitmask_clearall(mems);
		numa_bitmask_setbit(mems, o->node);
		numa_set_membind(mems);
	}
	numa_bitmask_free(mems);
	if (ours)
		return 0;
	snprintf(why, len,
		 "node %d is not there, or not ours to use (numactl --show)",
		 o->node);
	return -EINVAL;
}

/* ---- facts ---- */

static json_t *text_of(const char *path)
{
	char text[512];

	return json_string(read_text(path, text, sizeof(text)) ? text :
								 "unknown");
}

static json_t *field_of(const char *path, const char *key)
{
	char text[512];

	return json_string(
		read_field(path, key, text, sizeof(text)) ? text : "unknown");
}

/* "always [madvise] never": the chosen one */
static json_t *chosen_of(const char *path)
{
	char text[256], *open, *close;

	if (!read_text(path, text, sizeof(text)))
		return json_string("unknown");
	open = strchr(text, '[');
	close = open ? strchr(open, ']') : NULL;
	return close ? json_stringn(open + 1, close - open - 1) :
		       json_string(text);
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
		snprintf(path, sizeof(path), CPU0 "vulnerabilities/%s",
			 entry->d_name);
		json_object_set_new(all, entry->d_name, text_of(path));
	}
	if (dir)
		closedir(dir);
	return all;
}

/*
 * Of the kernel's command line, what can move a figure. The rest may say more
 * of a machine than its owner wants to publish.
 */
static json_t *cmdline(void)
{
	static const char *const prefixes[] = {
		"mitigations",
		"spec",
		"nospec",
		"pti",
		"nopti",
		"l1tf",
		"mds",
		"tsx",
		"srbds",
		"retbleed",
		"gather_data",
		"nosmt",
		"maxcpus",
		"nr_cpus",
		"isolcpus",
		"nohz",
		"rcu",
		"irqaffinity",
		"intel_",
		"amd_",
		"cpufreq",
		"cpuidle",
		"idle",
		"processor",
		"clocksource",
		"tsc",
		"transparent_hugepage",
		"huge",
		"default_huge",
		"numa",
		"nopat",
		"mtrr",
		"init_on_",
		"page_poison",
		"slub",
		"slab",
		"debug_pagealloc",
		"kasan",
		"kfence",
		"kmemleak",
		"lockdown",
		"module",
		"nomodule",
		"nokaslr",
		"norandmaps",
		"preempt",
		"threadirqs",
		"audit",
		"selinux",
		"apparmor",
		"mem",
		"cgroup",
		"psi",
		"nowatchdog",
		"nmi_watchdog",
		"nosoftlockup",
		"no5lvl",
		"iommu",
		"swiotlb",
		"haltpoll",
		"cpuidle_haltpoll",
	};
	char text[4096], kept[1024] = "", *word, *rest;
	size_t i, used = 0;

	if (!read_text("/proc/cmdline", text, sizeof(text)))
		return json_string("unknown");
	for (word = strtok_r(text, " ", &rest); word;
	     word = strtok_r(NULL, " ", &rest)) {
		if (!strcmp(word, "--")) /* what follows is for init */
			break;
		for (i = 0; i < ARRAY_SIZE(prefixes); i++)
			if (!strncmp(word, prefixes[i], strlen(prefixes[i])))
				break;
		if (i < ARRAY_SIZE(prefixes) &&
		    used + strlen(word) + 2 < sizeof(kept))
			used += sprintf(kept + used, "%s%s", used ? " " : "",
					word);
	}
	return json_string(kept);
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
		{ "KVMKVMKVM", "kvm" },	      { "TCGTCGTCGTCG", "tcg" },
		{ "VMwareVMware", "vmware" }, { "Microsoft Hv", "hyperv" },
		{ "XenVMMXenVMM", "xen" },    { "bhyve bhyve ", "bhyve" },
		{ "ACRNACRNACRN", "acrn" },   { "VBoxVBoxVBox", "virtualbox" },
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
	glob_t found;

	if (read_text("/sys/hypervisor/type", text, sizeof(text)) ||
	    read_text("/proc/device-tree/hypervisor/compatible", text,
		      sizeof(text)))
		return json_string(text);
	/* Of the device tree, or of the firmware's tables */
	if (!glob("/proc/device-tree/fw-cfg@*", 0, NULL, &found)) {
		globfree(&found);
		return json_string("qemu");
	}
	return text_of("/sys/class/dmi/id/sys_vendor");
#endif
}

/* riscv64 may name none but its extensions; Arm, its registers' numbers */
static json_t *cpu_model(void)
{
	static const char *const keys[] = { "CPU implementer", "CPU part",
					    "CPU variant", "CPU revision" };
	char value[256], text[512] = "";
	size_t i, used = 0;

	if (read_field("/proc/cpuinfo", "model name", value, sizeof(value)) ||
	    read_field("/proc/cpuinfo", "uarch", value, sizeof(value)) ||
	    read_field("/proc/cpuinfo", "isa", value, sizeof(value)))
		return json_string(value);
	for (i = 0; i < ARRAY_SIZE(keys); i++)
		if (read_field("/proc/cpuinfo", keys[i], value, 32))
			used += snprintf(text + used, sizeof(text) - used,
					 "%s%s %s", used ? ", " : "", keys[i],
					 value);
	return json_string(used ? text : "unknown");
}

static void put(json_t *object, const char *key, json_t *value)
{
	json_object_set_new(object, key, value);
}

static json_t *cpu_facts(const struct options *o)
{
	json_t *cpu = json_object();
	char governor[128];

	snprintf(governor, sizeof(governor),
		 CPU0 "cpu%d/cpufreq/scaling_governor", o->cpu);
	put(cpu, "model", cpu_model());
	put(cpu, "microcode", field_of("/proc/cpuinfo", "microcode"));
	put(cpu, "online", text_of(CPU0 "online"));
	put(cpu, "allowed", json_integer(env_cpus()));
	put(cpu, "pinned", json_integer(o->cpu));
	put(cpu, "governor", text_of(governor));
	put(cpu, "turbo", turbo());
	put(cpu, "smt", text_of(CPU0 "smt/control"));
	put(cpu, "clocksource", text_of(CLOCKSOURCE));
	put(cpu, "mitigations", mitigations());
	return cpu;
}

static json_t *kernel_facts(void)
{
	json_t *kernel = json_object();
	struct utsname u;

	uname(&u);
	put(kernel, "release", json_string(u.release));
	put(kernel, "version", json_string(u.version));
	put(kernel, "cmdline", cmdline());
	put(kernel, "config_sha256", json_string("unknown"));
	return kernel;
}

/* As the firmware says (ACPI: SLIT), by node; of one node there is nothing to say */
static json_t *numa_distances(void)
{
	json_t *all = json_object();
	char path[64], name[16];
	int node;

	for (node = 0; node <= numa_max_node(); node++) {
		if (!numa_bitmask_isbitset(numa_nodes_ptr, node))
			continue;
		snprintf(path, sizeof(path),
			 "/sys/devices/system/node/node%d/distance", node);
		snprintf(name, sizeof(name), "node%d", node);
		put(all, name, text_of(path));
	}
	return all;
}

static json_t *memory_facts(const struct options *o)
{
	json_t *memory = json_object();
	bool numa = numa_available() >= 0;

	put(memory, "page_size", json_integer(page_bytes()));
	put(memory, "thp", chosen_of(THP_ENABLED));
	/* Where it can be changed, it can be read */
	put(memory, "fault_around_bytes", chosen_of(FAULT_AROUND));
	put(memory, "numa_nodes",
	    json_integer(numa ? numa_num_configured_nodes() : 1));
	put(memory, "node", json_integer(o->node));
	if (numa && numa_num_configured_nodes() > 1)
		put(memory, "numa_distances", numa_distances());
	put(memory, "total_bytes",
	    json_integer(sysconf(_SC_PHYS_PAGES) * page_bytes()));
	return memory;
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
	json_t *os = json_object();

	put(os, "aslr", text_of("/proc/sys/kernel/randomize_va_space"));
	put(os, "perf_event_paranoid",
	    text_of("/proc/sys/kernel/perf_event_paranoid"));
	put(os, "steal_ticks_before", json_integer(steal_ticks()));
	put(os, "loadavg_before", text_of("/proc/loadavg"));
	return os;
}

/*
 * The planted slowdown, if any: the module's knob and the option's. In a planted
 * run they are the same; where they are not, it says which is whose.
 */
static json_t *test_spin(const struct options *o)
{
	char module[64];

	if (!read_text(MODULE_SPIN, module, sizeof(module)))
		module[0] = '\0';
	if (!module[0])
		return o->spin ? json_string(o->spin) : NULL;
	if (o->spin && strcmp(module, o->spin))
		return json_sprintf("k2u %s, tree %s", module, o->spin);
	return json_string(module);
}

static json_t *tool_facts(const struct options *o)
{
	json_t *tool = json_object(), *planted = test_spin(o);

	put(tool, "version", json_string(K2U_VERSION));
	put(tool, "git", json_string(K2U_GIT));
	put(tool, "compiler", json_string(COMPILER __VERSION__));
	put(tool, "module_version", json_string(k2u_module_version()));
	put(tool, "args", json_string(o->args));
	if (planted)
		put(tool, "test_spin", planted);
	return tool;
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
	json_t *c = json_object();

	put(c, "clock_ns", number(t->clock));
	put(c, "loop_ns", number(t->loop));
	put(c, "residual_ns", number(t->residual));
	put(c, "residual_low", number(t->residual_low));
	put(c, "residual_high", number(t->residual_high));
	put(c, "clock_resolution", number(t->resolution));
	put(c, "clock_vdso", json_boolean(t->vdso));
	return c;
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
			put(root, key, sub);
		}
		free(key);
		root = sub;
		fact += len + 1;
	}
	if (!len)
		return -EINVAL;
	if (json_object_setn_new_nocheck(root, fact, len,
					 json_string(value + 1)))
		return -EINVAL;
	return 0;
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
	json_t *root = json_object(), *planted;
	char started[32];
	time_t t = time(NULL);
	unsigned int i;

	if (!root)
		return -ENOMEM;
	strftime(started, sizeof(started), "%Y-%m-%dT%H:%M:%SZ", gmtime(&t));
	r->env.started = now();
	r->env.root = root;
	put(root, "schema", json_integer(1));
	put(root, "run_id", json_string(o->run_id ? o->run_id : started));
	put(root, "started", json_string(started));
	put(root, "duration_s", json_real(0));
	put(root, "complete", json_false());
	put(root, "venue", json_string(o->venue));
	put(root, "time_unit", json_string(o->icount ? "insn" : "ns"));
	put(root, "virtualization", virtualization());
	put(root, "kernel", kernel_facts());
	if (r->config)
		json_object_set(json_object_get(root, "kernel"), "config",
				r->config);
	put(root, "cpu", cpu_facts(o));
	put(root, "memory", memory_facts(o));
	put(root, "os", os_facts());
	put(root, "tool", tool_facts(o));
	put(root, "seed", json_integer(o->seed));
	put(root, "quick", json_boolean(o->quick));
	put(root, "calibration", calibration(&r->timing));
	put(root, "counters", counters_json(r->counters));
	put(root, "methods", sources_json(&r->src));
	put(root, "warnings", json_array());
	for (i = 0; i < o->nr_facts; i++)
		env_fact(root, o->facts[i]);
	planted = json_object_get(json_object_get(root, "tool"), "test_spin");
	if (planted)
		warn(r,
		     "planted: test_spin=%s makes a method slower than it is; this is a test of comparisons, not a measurement",
		     json_string_value(planted));
	if (!r->timing.vdso)
		warn(r, "the clock's source (%s) needs a system call",
		     json_string_value(json_object_get(
			     json_object_get(root, "cpu"), "clocksource")));
	return 0;
}

static void warn_changed(struct run *r, const char *what, json_t *after)
{
	json_t *before = json_object_get(r->env.root, what);
	const char *key;
	json_t *value;

	json_object_foreach(after, key, value)
	{
		json_t *old = json_object_get(before, key);

		if (json_equal(old, value))
			continue;
		if (json_is_string(value))
			warn(r,
			     "%s.%s changed during the run: %s before, %s after",
			     what, key, json_string_value(old),
			     json_string_value(value));
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

	put(root, "duration_s", number(duration));
	put(root, "complete", json_boolean(complete));
	if (error)
		put(root, "error", json_string(error));
	put(os, "steal_ticks_after", json_integer(steal));
	steal -= json_integer_value(json_object_get(os, "steal_ticks_before"));
	lost = (double)steal / sysconf(_SC_CLK_TCK);
	if (lost > 0.01 * duration)
		warn(r,
		     "the hypervisor took %.1f s of CPU time away during the run",
		     lost);
	warn_changed(r, "cpu", cpu_facts(&r->opt));
	warn_changed(r, "memory", memory_facts(&r->opt));
	if (r->unsettled)
		warn(r, "%u metrics did not settle: see steady in checks.csv",
		     r->unsettled);
	if (r->nonlinear)
		warn(r,
		     "%u metrics are not linear in their count: see linearity in checks.csv",
		     r->nonlinear);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * counter.c - events of perf_event_open(), by the names that libpfm4 has for them.
 *
 * An event is counted in user mode and in the kernel by two counters of one pinned
 * group: it is on the PMU as a whole all the time that it is enabled, or in error, and
 * then that is said. Nothing is multiplexed, and no figure is scaled.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "counter.h"

/* The default: what a use costs a core, and its way to memory; the first that is known */
static const struct {
	const char *name, *event[8];
} usual[] = {
	{ "cycles", { "perf::CYCLES" } },
	{ "instructions", { "perf::INSTRUCTIONS" } },
	{ "dtlb_load_misses", { "perf::DTLB-LOAD-MISSES" } },
	{ "llc_load_misses",
	  { "perf::LLC-LOAD-MISSES", "perf::CACHE-MISSES" } },
	/* Intel since Haswell, before, Atom; AMD (reloads that missed the L2 TLB); Arm */
	{ "page_walks",
	  { "DTLB_LOAD_MISSES:WALK_COMPLETED",
	    "DTLB_LOAD_MISSES:MISS_CAUSES_A_WALK", "PAGE_WALKS:D_SIDE_WALKS",
	    "L1_DTLB_MISS:TLB_RELOAD_4K_L2_MISS", "DTLB_WALK" } },
};

/* ---- names ---- */

/* perf::PAGE-FAULTS is page-faults: what a CSV and a selection take */
void counter_name(const char *event, char *name, size_t len)
{
	const char *colons = strstr(event, "::");
	size_t i;

	snprintf(name, len, "%s", colons ? colons + 2 : event);
	for (i = 0; name[i]; i++)
		name[i] = isalnum((unsigned char)name[i]) ?
				  tolower((unsigned char)name[i]) :
			  strchr("._+~-", name[i]) ? name[i] :
						     '.';
}

static int encode(const char *event, struct counter *c)
{
	pfm_perf_encode_arg_t arg = { .attr = &c->attr, .size = sizeof(arg) };
	char *full = NULL;
	int ret;

	memset(&c->attr, 0, sizeof(c->attr));
	c->attr.size = sizeof(c->attr);
	arg.fstr = &full;
	ret = pfm_get_os_event_encoding(event, PFM_PLM0 | PFM_PLM3,
					PFM_OS_PERF_EVENT, &arg);
	snprintf(c->event, sizeof(c->event), "%s", event);
	if (ret != PFM_SUCCESS)
		snprintf(c->reason, sizeof(c->reason), "libpfm4: %s",
			 pfm_strerror(ret));
	free(full);
	return ret == PFM_SUCCESS ? 0 : -ENOENT;
}

/* ---- a window in which it counts ---- */

static int open_one(const struct counter *c, bool kernel, int leader)
{
	struct perf_event_attr attr = c->attr;

	attr.read_format = PERF_FORMAT_GROUP | PERF_FORMAT_TOTAL_TIME_ENABLED |
			   PERF_FORMAT_TOTAL_TIME_RUNNING;
	attr.disabled = leader < 0;
	attr.pinned = leader < 0;
	attr.exclude_hv = 1;
	attr.exclude_user = kernel;
	attr.exclude_kernel = !kernel;
	leader = perf_event_open(&attr, 0, -1, leader, PERF_FLAG_FD_CLOEXEC);
	return leader < 0 ? -errno : leader;
}

void counter_close(struct counter *c)
{
	if (--c->users)
		return;
	if (c->kernel >= 0)
		close(c->kernel);
	close(c->user);
	c->user = c->kernel = -1;
}

/* Open only while cells count: an open event on faults makes each fault dearer */
int counter_open(struct counter *c)
{
	if (c->users) {
		c->users++;
		return 0;
	}
	c->user = open_one(c, false, -1);
	if (c->user < 0)
		return c->user;
	c->kernel = open_one(c, true, c->user);
	c->users = 1;
	return 0;
}

struct values {
	uint64_t nr, enabled, running, count[2];
};

/* -ENODATA: in error, which reads as the end of a file; or not on the PMU all the time */
static int read_values(const struct counter *c, struct values *v)
{
	const size_t len = sizeof(*v) - (c->kernel < 0 ? 8 : 0);
	ssize_t got = read(c->user, v, len);

	if (got < 0)
		return -errno;
	if (got != (ssize_t)len || v->enabled != v->running)
		return -ENODATA;
	if (c->kernel < 0)
		v->count[1] = 0;
	return 0;
}

/* What fn did: its return value, and by mode what was counted (-ENODATA: it was not) */
int counter_window(const struct counter *c, int (*fn)(void *arg), void *arg,
		   int64_t count[2], int *counted)
{
	struct values before, after;
	int err;

	*counted = read_values(c, &before);
	/* Also brings a group in error back, for another try */
	if (ioctl(c->user, PERF_EVENT_IOC_ENABLE, PERF_IOC_FLAG_GROUP))
		*counted = -errno;
	err = fn(arg);
	if (ioctl(c->user, PERF_EVENT_IOC_DISABLE, PERF_IOC_FLAG_GROUP))
		*counted = -errno;
	if (!*counted)
		*counted = read_values(c, &after);
	if (*counted)
		return err;
	count[0] = after.count[0] - before.count[0];
	count[1] = after.count[1] - before.count[1];
	return err;
}

/* ---- which there are ---- */

/* Whether there is a PMU, and it is an event that it has not */
static bool pmu_is_there(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_HARDWARE,
		.config = PERF_COUNT_HW_CPU_CYCLES,
		.size = sizeof(attr),
		.disabled = 1,
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};
	int fd = perf_event_open(&attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0 || (errno != ENOENT && errno != EOPNOTSUPP);
}

static void why_not(struct counter *c, int err)
{
	char paranoid[16], hint[160] = "";

	switch (-err) {
	case ENOENT:
	case ENODEV:
	case EOPNOTSUPP:
		snprintf(
			hint, sizeof(hint), ": %s",
			pmu_is_there() ?
				"this machine's PMU does not count it" :
				"no hardware PMU (a virtual machine has one only where its host lends it)");
		break;
	case EACCES:
	case EPERM:
		if (!read_text("/proc/sys/kernel/perf_event_paranoid", paranoid,
			       sizeof(paranoid)))
			snprintf(paranoid, sizeof(paranoid), "not known");
		snprintf(
			hint, sizeof(hint),
			": kernel.perf_event_paranoid is %s (run as root or with CAP_PERFMON; or set it to 1)",
			paranoid);
		break;
	case ENODATA:
		snprintf(
			c->reason, sizeof(c->reason),
			"its pinned group does not get on the PMU: others hold the counters (the NMI watchdog: sysctl kernel.nmi_watchdog=0)");
		return;
	}
	snprintf(c->reason, sizeof(c->reason), "perf_event_open: %s%s",
		 strerror(-err), hint);
}

static int nothing(void *arg)
{
	return 0;
}

/* Opened once, to see; c->reason says why that cannot be */
static void try(struct counter *c)
{
	int64_t count[2];
	int err, counted;

	if (c->reason[0])
		return;
	err = counter_open(c);
	if (err) {
		why_not(c, err);
		return;
	}
	if (c->kernel < 0)
		snprintf(
			c->no_kernel, sizeof(c->no_kernel),
			"perf_event_open of the kernel's part: %s (run as root or with CAP_PERFMON; or kernel.perf_event_paranoid <= 1)",
			strerror(-c->kernel));
	counter_window(c, nothing, NULL, count, &counted);
	if (counted)
		why_not(c, counted);
	counter_close(c);
}

static int by_name(struct counters *all, const char *list, char *why,
		   size_t len)
{
	char *copy = strdup(list), *rest = copy, *event;
	struct counter *c;
	int err = copy ? 0 : -ENOMEM;

	while (!err && (event = strsep(&rest, ","))) {
		if (all->nr == MAX_COUNTERS) {
			snprintf(why, len, "more than %d", MAX_COUNTERS);
			err = -EINVAL;
			break;
		}
		c = &all->v[all->nr++];
		counter_name(event, c->name, sizeof(c->name));
		err = encode(event, c);
		if (err)
			snprintf(
				why, len,
				"\"%s\": %s (names: showevtinfo of libpfm4, as perf::CYCLES)",
				event, c->reason);
	}
	free(copy);
	return err;
}

static void by_default(struct counters *all)
{
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(usual); i++) {
		struct counter *c = &all->v[all->nr++];

		snprintf(c->name, sizeof(c->name), "%s", usual[i].name);
		for (j = 0; usual[i].event[j]; j++) {
			c->reason[0] = '\0';
			if (!encode(usual[i].event[j], c))
				break;
		}
		if (j && !usual[i].event[j])
			snprintf(
				c->reason, sizeof(c->reason),
				"libpfm4 has no such event of this CPU: dtlb_load_misses is the nearest");
	}
}

/* list: events, NULL: the usual ones. -EINVAL and why where one of the list is unknown */
int counters_find(struct counters *all, const char *list, char *why, size_t len)
{
	int ret = pfm_initialize();
	unsigned int i;

	*all = (struct counters){ .nr = 0 };
	if (ret != PFM_SUCCESS) {
		snprintf(why, len, "libpfm4: %s", pfm_strerror(ret));
		return -EINVAL;
	}
	if (!list)
		by_default(all);
	else if (by_name(all, list, why, len))
		return -EINVAL;
	for (i = 0; i < all->nr; i++)
		try(&all->v[i]);
	return 0;
}

/* By name: the event, or why it is not counted */
json_t *counters_json(const struct counters *all)
{
	json_t *object = json_object();
	unsigned int i;

	for (i = 0; i < all->nr; i++) {
		const struct counter *c = &all->v[i];

		json_object_set_new(object, c->name,
				    c->reason[0] ?
					    json_sprintf("unavailable: %s",
							 c->reason) :
					    json_string(c->event));
	}
	return object;
}

// SPDX-License-Identifier: GPL-2.0
/* stream.c - what the sources of records share. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>

#include "stream.h"

/* No still buffer: records come and go */
const struct source_ops stream_source;

static uint64_t record_word(size_t size, uint64_t seed, size_t i)
{
	const struct k2u_record head = {
		.size = size - sizeof(struct k2u_record) - 8,
	};
	uint64_t w[sizeof(head) / 8];

	memcpy(w, &head, sizeof(head));
	return i < ARRAY_SIZE(w) ? w[i] : k2u_pattern(seed, i);
}

/* seq, stamp and the last word are 0 */
void record_template(void *record, size_t size, uint64_t seed)
{
	uint64_t *w = record;
	size_t i;

	for (i = 0; i < size / 8; i++)
		w[i] = i == size / 8 - 1 ? 0 : record_word(size, seed, i);
}

/* The sum of the words that are the same in each record */
uint64_t record_body(size_t size, uint64_t seed)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < size / 8 - 1; i++)
		sum += record_word(size, seed, i);
	return sum;
}

/* Of a list of the kernel's, as 0-3,8 */
bool cpu_in_list(const char *list, int cpu)
{
	char *end;
	long first, last;

	for (;; list = end + 1) {
		first = last = strtol(list, &end, 10);
		if (end == list)
			return false;
		if (*end == '-')
			last = strtol(end + 1, &end, 10);
		if (first <= cpu && cpu <= last)
			return true;
		if (*end != ',')
			return false;
	}
}

static bool topology_has(int cpu, const char *what, int other)
{
	char path[96], list[256];

	snprintf(path, sizeof(path),
		 "/sys/devices/system/cpu/cpu%d/topology/%s", cpu, what);
	return read_text(path, list, sizeof(list)) && cpu_in_list(list, other);
}

int stream_cpu(int cpu, bool sibling)
{
	int other, far = -1;

	for (other = 0; other < CPU_SETSIZE; other++) {
		if (other == cpu || !env_allows(other) ||
		    topology_has(cpu, "thread_siblings_list", other) != sibling)
			continue;
		if (sibling || topology_has(cpu, "package_cpus_list", other) ||
		    topology_has(cpu, "core_siblings_list", other))
			return other;
		if (far < 0)
			far = other;
	}
	return far;
}

int stream_poll(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n = poll(&p, 1, timeout_ms);

	return n >= 0 ? n : errno == EINTR ? 0 : -errno;
}

int streams_probe(struct sources *s, const char *device)
{
	int err = stream_k2u(s, device);

	return err ? err : stream_tree(s);
}

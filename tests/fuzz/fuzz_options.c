// SPDX-License-Identifier: GPL-2.0
/* k2u-bench's options: numbers, sizes, threads, lists, --test-spin. */
#include <stdlib.h>
#include <string.h>

#include "../../bench/bench.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);
	uint64_t n, sizes[MAX_SIZES];
	char method[16];
	unsigned int threads[MAX_STEPS], i, nr;

	if (!parse_number(text, 4095, &n))
		fuzz_must(n <= 4095);
	if (!parse_size(text, &n))
		fuzz_must(n && n <= UINT64_MAX >> 16);
	if (!parse_sizes(text, sizes, &nr)) {
		fuzz_must(nr && nr <= MAX_SIZES);
		for (i = 0; i < nr; i++)
			fuzz_must(sizes[i] && sizes[i] % page_bytes() == 0);
	}
	if (!parse_threads(text, threads, &nr)) {
		fuzz_must(nr && nr <= MAX_STEPS && threads[0]);
		for (i = 0; i < nr; i++)
			fuzz_must(threads[i] <= MAX_THREADS &&
				  (!i || threads[i] > threads[i - 1]));
	}
	if (!parse_spin(text, method, sizeof(method), &n))
		fuzz_must(n && n <= MAX_SPIN &&
			  strlen(method) < sizeof(method));
	in_list(text, "read");
	in_list("read,fault", text);
	free(text);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0
/* The reader of CSV: its lines, fields and numbers. */
#include <math.h>
#include <string.h>

#include "../../stat/k2u-stat.h"
#include "fuzz.h"

static const char *const want[] = { "a", "b", "?c", NULL };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct csv csv;
	uint64_t n;
	double v;
	int i, ret;

	if (size < 2)
		return 0;
	fuzz_put("x.csv", data + 2, size - 2);
	ret = csv_open_part(&csv, fuzz_path("x.csv"), data[0] & 1, want,
			    data[0] & 2 ? data[1] : UINT64_MAX);
	if (ret)
		return 0;
	if (data[0] & 4)
		csv_repeat(&csv, 1 + data[1] % 3);
	while ((ret = csv_next(&csv)) > 0) {
		for (i = 0; i < 3; i++) {
			fuzz_must(!strpbrk(csv_str(&csv, i), ",\n"));
			csv_name(&csv, i);
			csv_flags(&csv, i);
			csv_u64(&csv, i, &n);
			if (!csv_f64(&csv, i, &v))
				fuzz_must(isfinite(v));
			csv_f64_or_none(&csv, i, &v);
		}
	}
	csv_close(&csv);
	return 0;
}

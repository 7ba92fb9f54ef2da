#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The summary of many samples is quick, and holds 8 bytes of each.
#
#	tests/scale.sh [ROWS]	TAP on stdout; exit status 1 if a test failed
#
# ROWS is rounded to what 1,000 cells in 20 boots of 5 blocks have: 1,000,000
# unless told otherwise. Time and address space are bounded in proportion, so
# that 10,000,000 have 10 s and 500 MB.
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"
tap_name=scale
# shellcheck source=tests/tap.sh
. "$top/tests/tap.sh"

CELLS=1000
BOOTS=20
BLOCKS=5
samples=$((${1:-1000000} / (CELLS * BOOTS * BLOCKS)))
[ "$samples" -gt 0 ] || die "at least $((CELLS * BOOTS * BLOCKS)) rows, not $1"
rows=$((CELLS * BOOTS * BLOCKS * samples))
# What it takes before the first row, and for each row
limit_s=$((2 + rows * 8 / 10000000))
limit_kb=$((60000 + rows * 44 / 1000))

run=$(mktemp -d "${TMPDIR:-/tmp}/k2u-scale.XXXXXX")
trap 'rm -rf -- "$run"' EXIT
trap 'exit 130' INT TERM

# As k2u-bench writes them: by boot, by block, in it cell by cell in some order
awk -v cells="$CELLS" -v boots="$BOOTS" -v blocks="$BLOCKS" -v samples="$samples" '
	BEGIN {
		srand(1)
		printf "measure,provider,method,backing,cache,size_bytes,threads,boot,"
		print "phase,metric,unit,block,sample,iters,overhead,value"
		methods = split("read fault pfn vmalloc anon", method, " ")
		backings = split("memfd bpf-array contig 4k", backing, " ")
		for (i = 0; i < cells; i++) {
			head[i] = "throughput,tree," method[i % methods + 1] "," \
				backing[int(i / methods) % backings + 1] ",wb," \
				4096 * 2 ^ int(i / 20 % 10) ",1,"
			tail[i] = ",all,e2e_" int(i / 200) + 1 ",ns,"
			base[i] = 10 * exp(14 * rand())
		}
		for (boot = 1; boot <= boots; boot++)
			for (block = 1; block <= blocks; block++)
				for (j = 0; j < cells; j++) {
					i = (7 * j + 13 * block) % cells
					for (s = 1; s <= samples; s++)
						printf "%s%d%s%d,%d,64,21.4,%.*g\n",
							head[i], boot, tail[i], block, s,
							6 + s % 5, base[i] * (1 + 0.1 * rand())
				}
	}' >"$run/samples.csv"

# The bound on address space is stricter than one on resident memory
status=0
began=$(date +%s)
(
	# shellcheck disable=SC3045 # not POSIX, but dash, bash and busybox have it
	ulimit -v "$limit_kb"
	timeout "$((limit_s * 10))" "$top/build/k2u-stat" summarize "$run"
) >"$run/log" 2>&1 || status=$?
took=$(($(date +%s) - began))
wrong=
[ "$status" -eq 0 ] || wrong="expected status 0 within $limit_kb kB, got $status: $(tail -n 1 "$run/log")"
expect "$rows samples are summarised in $limit_kb kB" "$wrong"

# Other tests run beside this one
wrong=
[ "$took" -le "$((2 * limit_s))" ] || wrong="expected at most $((2 * limit_s)) s, took $took s"
expect "$rows samples are summarised in $((2 * limit_s)) s" "$wrong"

wrong=$(awk -F, -v cells="$CELLS" -v n="$((rows / CELLS))" '
	NR > 1 { rows++; odd += $13 != n || $11 != 20 || $14 + 0 <= 0 }
	END {
		if (rows != cells || odd)
			printf "expected %d cells of %d samples, got %d, of which %d wrong", cells, n, rows, odd
	}' "$run/summary.csv" 2>&1) || :
expect "every cell has all of its samples" "$wrong"
tap_end

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# make matrix: a guest that is killed, a Ctrl-C, a kernel that cannot be had; the
# same command goes on and repeats nothing. And a boot that does not belong to
# a run stays out of it.
#
#	tests/matrix.sh		TAP on stdout; exit status 1 if a test failed
# shellcheck disable=SC2317 # functions that until_true calls
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"
tap_name=matrix
# shellcheck source=tests/tap.sh
. "$top/tests/tap.sh"

HAVE='6.1 6.12'
MISSING=6.17
BOOTS=3

for kernel in $HAVE; do
	status=0
	"$top/scripts/kernel.sh" "$kernel" >/dev/null 2>&1 || status=$?
	if [ "$status" -eq "$K2U_UNAVAILABLE" ]; then
		skip 'a matrix of two kernels' "kernel $kernel cannot be had"
		tap_end
	fi
done
tmp=$(mktemp -d "${TMPDIR:-/tmp}/k2u-matrix-test.XXXXXX")
trap 'rm -rf -- "$tmp"' EXIT
trap 'exit 130' INT TERM
# shellcheck source=tests/copy.sh
. "$top/tests/copy.sh"

# A cache with these kernels alone, and nowhere to get another from
mkdir -p "$tmp/cache/k2u/kernel"
for kernel in $HAVE; do
	ln -s "$K2U_CACHE/kernel/$kernel" "$tmp/cache/k2u/kernel/$kernel"
	# Its lock, too: other tests build in there at the same time
	ln -s "$K2U_CACHE/kernel/$kernel.lock" "$tmp/cache/k2u/kernel/$kernel.lock"
done
for memo in "$K2U_CACHE"/kvm-*; do
	[ ! -e "$memo" ] || cp -- "$memo" "$tmp/cache/k2u/"
done
export XDG_CACHE_HOME="$tmp/cache" K2U_MIRROR=http://127.0.0.1:9/none \
	K2U_MIRROR_SECURITY=http://127.0.0.1:9/none
out=$tmp/out/matrix

matrix() {
	start matrix "KERNELS=6.1 $MISSING 6.12" "BOOTS=$BOOTS" QUICK=1 MEASURES=latency METHODS=fault \
		SIZES=4K "OUT=$out"
}

# boots: "KERNEL BOOT STARTED" of all boots that have joined
boots() {
	for kernel in $HAVE; do
		[ ! -e "$out/$kernel/env.json" ] || tr -d '\n' <"$out/$kernel/env.json" |
			grep -oE '"boot": [0-9]+,  *"started": "[^"]*"' |
			sed "s/\"boot\": \([0-9]*\), *\"started\": /$kernel \1 /"
	done | sort
}
joined() {
	[ "$(boots | wc -l)" -ge "$1" ]
}
guests() {
	for process in /proc/[0-9]*; do
		if grep -qsxzF "TMPDIR=$tmp/tmp" "$process/environ" &&
			[ "$(cat "$process/comm" 2>/dev/null)" = qemu-system-x86 ]; then
			echo "${process#/proc/}"
		fi
	done
}
guest_runs() {
	[ -n "$(guests)" ]
}

# ---- interrupted ----

matrix
until_true joined 1 || :
until_true guest_runs || :
# shellcheck disable=SC2046 # a list
kill -KILL $(guests | head -n 1) 2>>"$tmp/log" || :
until_true joined 2 || :
boots >"$tmp/before"
interrupt
expect 'Ctrl-C: some boots are there, others are not' "$(
	n=$(wc -l <"$tmp/before")
	if [ "$n" -lt 2 ] || [ "$n" -ge $((2 * BOOTS)) ]; then
		echo "$n of $((2 * BOOTS)) boots"
		tail -n 20 "$tmp/log"
	fi
	[ "$status" -ne 0 ] || echo "exit status 0"
	grep -q 'the same command goes on' "$tmp/log" || tail -n 5 "$tmp/log"
)"
expect 'Ctrl-C: nothing is left behind' "$(left_behind)"

matrix
status=0
wait "$pid" || status=$?
boots >"$tmp/after"
expect 'the same command measures the rest' "$(
	[ "$status" -eq 0 ] || {
		echo "status $status"
		tail -n 20 "$tmp/log"
	}
	[ "$(wc -l <"$tmp/after")" -eq $((2 * BOOTS)) ] || cat "$tmp/after"
	for kernel in $HAVE; do
		[ "$(build/k2u-stat boots "$out/$kernel" | sort -n | tr '\n' ' ')" = "$(seq "$BOOTS" | tr '\n' ' ')" ] ||
			echo "$kernel: boots $(build/k2u-stat boots "$out/$kernel" | tr '\n' ' ')"
	done
)"
expect 'what was measured before is not measured again' "$(comm -23 "$tmp/before" "$tmp/after")"
expect 'no boot is there twice, and each is whole' "$(
	for kernel in $HAVE; do
		awk -F , -v kernel="$kernel" '
			NR == 1 { for (i = 1; i <= NF; i++) c[$i] = i; next }
			{ n[$c["boot"]]++ }
			END {
				for (boot in n)
					rows[n[boot]]
				for (count in rows)
					counts++
				if (counts != 1)
					print kernel ": boots of different length"
			}' "$out/$kernel/samples.csv"
	done
)"
expect 'a kernel that cannot be had is a named gap' "$(
	grep -qE "^$MISSING,.+" "$out/gaps.csv" || cat "$out/gaps.csv"
	grep -q "unavailable: kernel $MISSING" "$tmp/log" || echo "nothing about $MISSING is said"
)"
expect 'table, charts and report' "$(
	for file in "$out/matrix.csv" "$out/6.1/boots.csv" "$out/6.12/summary.csv"; do
		[ -s "$file" ] || echo "$file is not there"
	done
	[ -n "$(find "$out/plots" -name '*.png' -size +1k)" ] || echo "no chart"
	grep -q "$MISSING" REPORT.md || echo "REPORT.md does not name the gap"
	left_behind
)"

matrix
status=0
wait "$pid" || status=$?
boots >"$tmp/again"
expect 'a third time there is nothing to do' "$(
	[ "$status" -eq 0 ] || echo "status $status"
	grep -q "has its $BOOTS boots" "$tmp/log" || tail -n 5 "$tmp/log"
	cmp "$tmp/after" "$tmp/again"
)"

# ---- a boot that does not belong ----

sha256sum "$out/6.1/samples.csv" "$out/6.1/env.json" >"$tmp/sums"
start bench "OUT=$out/6.1" VENUE=vm KERNEL=6.12 QUICK=1 MEASURES=latency METHODS=fault SIZES=4K
status=0
wait "$pid" || status=$?
expect 'a boot of another kernel stays out, and what differs is said' "$(
	[ "$status" -ne 0 ] || echo "exit status 0"
	grep -qE 'kernel: 6\.1\..* there, 6\.12\..* here' "$tmp/log" || tail -n 10 "$tmp/log"
	sha256sum --quiet --check "$tmp/sums" 2>&1
)"
start bench "OUT=$out/6.1" VENUE=vm KERNEL=6.1 QUICK=1 MEASURES=latency METHODS=fault SIZES=4K
status=0
wait "$pid" || status=$?
expect 'make bench OUT= of a run adds a boot' "$(
	[ "$status" -eq 0 ] || {
		echo "status $status"
		tail -n 10 "$tmp/log"
	}
	build/k2u-stat boots "$out/6.1" | grep -qx $((BOOTS + 1)) || echo "no boot $((BOOTS + 1))"
)"
tap_end

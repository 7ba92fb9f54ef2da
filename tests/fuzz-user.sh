#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The fuzz targets of what reads text from users and from results: their seeds,
# the inputs that once failed (tests/fuzz/regress), and a bounded number of
# mutations from a fixed seed, under ASan, UBSan and LSan.
#
#	tests/fuzz-user.sh [TARGET...]		TAP on stdout; exit status 1 if one failed
#
# RUNS=N mutations of each (default: as many as take some seconds); SEED=N
# another order; TARGET=csv one target. What fails is kept in build/fuzz; repeat
# it by build/fuzz/tests/fuzz_TARGET FILE.
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"
tap_name='fuzz-user'
# shellcheck source=tests/tap.sh
. "$top/tests/tap.sh"
cd -- "$top"

RUNS=${RUNS:-} SEED=${SEED:-1}
fuzz=build/fuzz
[ $# -gt 0 ] || [ -z "${TARGET:-}" ] || set -- "$TARGET"
tmp=$(mktemp -d "${TMPDIR:-/tmp}/k2u-fuzz.XXXXXX")
trap 'rm -rf -- "$tmp"' EXIT
trap 'exit 130' INT TERM

have clang || die "clang is not there: as root, run scripts/deps.sh --for=check"
make --no-print-directory -j 2 fuzzers >"$tmp/make" 2>&1 || {
	tail -n 5 "$tmp/make" >&2
	die "make fuzzers failed"
}

# runs TARGET: a target that writes files is slower than one that reads a string
runs() {
	case $1 in
	options | select) echo 30000 ;;
	csv | config) echo 5000 ;;
	env) echo 200 ;;
	*) echo 500 ;;
	esac
}

if [ $# -eq 0 ]; then
	for source in tests/fuzz/fuzz_*.c; do
		name=${source##*/fuzz_}
		set -- "$@" "${name%.c}"
	done
fi
# Where ptrace is forbidden LeakSanitizer cannot stop the process to look at it
leaks=1
printf 'int main(void) { return 0; }\n' >"$tmp/nothing.c"
if ! { clang -fsanitize=address -o "$tmp/nothing" "$tmp/nothing.c" && "$tmp/nothing"; } >"$tmp/leaks" 2>&1; then
	leaks=0
	skip "leaks" "LeakSanitizer does not work here: $(grep -v '^$' "$tmp/leaks" | tail -n 1)"
fi

for target; do
	program=$fuzz/tests/fuzz_$target
	[ -x "$program" ] || die "no fuzz target '$target'"
	rm -f -- "$fuzz/$target-"*
	mkdir "$tmp/$target"
	cp -- "$fuzz/seeds/$target"/* "$tmp/$target"
	set -- "$tmp/$target"
	[ ! -d "tests/fuzz/regress/$target" ] || set -- "$@" "tests/fuzz/regress/$target"
	n=${RUNS:-$(runs "$target")}
	status=0
	ASAN_OPTIONS=detect_leaks=$leaks UBSAN_OPTIONS=print_stacktrace=1 \
		"$program" -seed="$SEED" -runs="$n" -max_len=16384 -timeout=300 -detect_leaks=0 -close_fd_mask=3 \
		-dict=tests/fuzz/k2u.dict -artifact_prefix="$fuzz/$target-" "$@" \
		>"$tmp/out" 2>&1 </dev/null || status=$?
	done=$(sed -n 's/^stat::number_of_executed_units: //p; s/^Done \([0-9]*\) runs.*/\1/p' "$tmp/out" | tail -n 1)
	if [ "$status" -eq 0 ] && [ "${done:-0}" -ge "$n" ]; then
		ok "$target: $done inputs"
	else
		{
			echo "status $status after ${done:-?} of $n inputs; repeat: $program $(ls "$fuzz/$target-"* 2>/dev/null)"
			grep -E 'ERROR|runtime error|^ *#[0-9] .* in |SUMMARY' "$tmp/out" | head -n 20
		} >"$tmp/why"
		not_ok "$target" <"$tmp/why"
	fi
done
tap_end

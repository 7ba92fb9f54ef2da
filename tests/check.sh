#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# make check: install what the tests need, build, run every fast test.
#
#	tests/check.sh [TEST...]	these instead, as "tests/guest.sh 6.1"
#
# KERNELS="6.1 6.12" chooses the guests' kernels. The output of each test is
# kept in build/check. The last line is "N passed, N failed, N skipped"; exit
# status 1 if a test failed or none ran.
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"
cd -- "$top"
# Of "make check", not of the makes that run below
unset MAKEFLAGS MFLAGS MAKELEVEL

# The kernels that the module must always work on, one of another architecture
KERNELS=${KERNELS:-5.10 6.1 6.12 6.12-arm64 newest}
# A test is stopped after so many seconds, the set-up of its kernel included
LIMIT_S=2600
results=build/check

# run_one COMMAND: run it, count its TAP, print what did not pass, and tables (#|)
run_one() {
	file=$results/$(printf '%s' "$1" | tr '/ ' '__')
	began=$(date +%s)
	status=0
	# shellcheck disable=SC2086 # a command and its arguments
	CMOCKA_MESSAGE_OUTPUT=TAP timeout --foreground -k 10 "$LIMIT_S" $1 \
		>"$file.tap" 2>"$file.err" </dev/null || status=$?
	awk -v command="$1" -v status="$status" -v seconds="$(($(date +%s) - began))" \
		-v counts="$file.counts" -v err="$file.err" '
		/^#\|/ { print "  " substr($0, 4); next }
		/^#/ { if (show) print "  " $0; next }
		/^1\.\.[0-9]+/ { plan += substr($0, 4); plans++; next }
		/^ok .*# SKIP/ { skipped++; show = 0; sub(/^ok [0-9]+/, "skip"); print; next }
		/^ok / { passed++; show = 0; next }
		/^not ok / { failed++; show = 1; sub(/ok [0-9]+/, "ok"); print; next }
		END {
			got = passed + failed + skipped
			if (status && !failed)
				why = "ended with status " status (status == 124 ? " (too slow)" : "")
			else if (!plans || got < plan)
				why = "ended early: " got + 0 " of " plan + 0 " tests"
			if (why) {
				failed++
				print "not ok - " command ": " why
				while ((getline line < err) > 0)
					print "  # " line
			}
			if (failed)
				print "  repeat: " command
			printf "%s: %d passed, %d failed, %d skipped (%d s)\n",
				command, passed, failed, skipped, seconds
			print passed + 0, failed + 0, skipped + 0 > counts
		}' "$file.tap"
}

if [ "${1-}" = --one ]; then
	run_one "$2"
	exit 0
fi
began=$(date +%s)
rm -rf -- "$results"
mkdir -p -- "$results"
trap 'exit 130' INT TERM

if ! { scripts/deps.sh --for=check && make --no-print-directory -j "$(nproc)" programs tests >"$results/make" 2>&1; }; then
	grep -A 5 -E 'error|Error|undefined' "$results/make" 2>/dev/null || :
	echo "not ok - set-up and build"
	echo "0 passed, 1 failed, 0 skipped"
	exit 1
fi

if [ $# -gt 0 ]; then
	printf '%s\n' "$@"
else
	# What takes longest is first, so that both lanes end together
	for kernel in $KERNELS; do
		echo "tests/guest.sh $kernel"
	done
	echo tests/limits.sh
	# They link to a kernel that is there
	echo tests/matrix.sh
	echo tests/style.sh
	echo tests/bench-errors.sh
	echo tests/unprivileged.sh
	echo tests/sanitize.sh
	echo tests/scale.sh
	echo tests/fuzz-user.sh
	echo tests/hostile-files.sh
	echo tests/numa.sh
	echo tests/counters.sh
	echo tests/sign.sh
	echo tests/compare.sh
	echo tests/join.sh
	echo tests/registry.sh
	for program in build/tests/test_*; do
		case $program in *.d | *.o | *'*') ;; *) echo "$program" ;; esac
	done
fi >"$results/list"

# Two at a time: a guest has one processor
xargs -P 2 -I '{}' "$0" --one '{}' <"$results/list"

echo "$(($(date +%s) - began)) s"
cat "$results"/*.counts | awk '
	{ passed += $1; failed += $2; skipped += $3 }
	END {
		printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
		exit (failed || !passed)
	}'

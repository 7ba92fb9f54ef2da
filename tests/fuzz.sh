#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The device fuzzer in a guest: COUNT operations, all drawn from SEED.
#
#	tests/fuzz.sh [SEED [COUNT [KERNEL]]]	default: 1 100000 6.12
#
# The same three give the same operations again. The guest has a small bound
# (max_bytes), which a buffer can reach, and a default buffer that ends within
# a page. TAP on stdout; exit status 1 if the model, or the kernel's log, says
# that something is wrong.
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"
[ $# -le 3 ] || die "usage: fuzz.sh [SEED [COUNT [KERNEL]]]"
seed=${1:-1} count=${2:-100000} kernel=${3:-6.12}
for number in "$seed" "$count"; do
	case $number in '' | *[!0-9]*) die "$number is not a number" ;; esac
done
tap_name="fuzz $kernel"
# shellcheck source=tests/tap.sh
. "$top/tests/tap.sh"

# Operations that an emulated guest makes in a second, where it checks all it does
SLOWEST=500
# What a kernel says by itself while it runs, on an emulated machine
QUIET='tsc: |clocksource: |random: |perf: interrupt took too long|hrtimer: interrupt took|sched_clock:'

tmp=$(mktemp -d "${TMPDIR:-/tmp}/k2u-fuzz.XXXXXX")
trap 'rm -rf -- "$tmp"' EXIT
trap 'exit 130' INT TERM

[ -e "$top/build/tests/debug_fuzz" ] || make -C "$top" --no-print-directory tests >"$tmp/make" 2>&1 ||
	die "the tests do not build: run make tests"
status=0
"$top/scripts/vm.sh" "--kernel=$kernel" --job=tests "--out=$tmp/out" "--timeout=$((300 + count / SLOWEST))" \
	--insmod='max_bytes=8388608 default_bytes=20000' -- \
	"debug_fuzz --seed=$seed --ops=$count" >"$tmp/vm" 2>&1 || status=$?
if [ "$status" -eq "$K2U_UNAVAILABLE" ]; then
	skip "$count operations of seed $seed" "$(sed -n 's/^unavailable: //p' "$tmp/vm")"
	tap_end
fi
program=$(sed -n 's/^debug_fuzz	//p' "$tmp/out/tap" 2>/dev/null)
printf '%s\n' "$program" | sed -n 's/^# ok - /# /p'
if [ "$status" -eq 0 ] && printf '%s\n' "$program" | grep -q '^ok 1 '; then
	ok "$(printf '%s\n' "$program" | sed -n 's/^ok 1 - //p')"
else
	not_ok "$count operations of seed $seed (status $status)" <<-END
		$(printf '%s\n' "$program" | grep -vE '^(1\.\.1|# ok )')
		$(cat "$tmp/vm")
		repeat: tests/fuzz.sh $seed $count $kernel
	END
fi
expect "the kernel's log stays as it was" \
	"$(printf '%s\n' "$program" | sed -n 's/^dmesg	//p' | grep -vE "$QUIET")"
tap_end

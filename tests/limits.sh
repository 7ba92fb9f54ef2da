#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Limits, accounting, loading: guest_limits on buffers of 1 GiB, and the cycles of
# debug_limits and debug_load, in a guest with two processors.
#
#	tests/limits.sh [KERNEL]	TAP on stdout; exit status 1 if a test failed
#
# CYCLES=N of open, set-up, map, touch, unmap and close (20000), LOADS=N of
# loading and unloading (200). What is counted against which bound is printed.
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"
[ $# -le 1 ] || die "usage: limits.sh [KERNEL]"
kernel=${1:-6.12}
tap_name="limits $kernel"
# shellcheck source=tests/tap.sh
. "$top/tests/tap.sh"

CYCLES=${CYCLES:-20000}
LOADS=${LOADS:-200}
for count in "$CYCLES" "$LOADS"; do
	case $count in '' | 0* | *[!0-9]*) die "CYCLES=$CYCLES LOADS=$LOADS: use numbers from 1" ;; esac
done
# Seconds: as many as 100 times what the emulated guest needs for a cycle
LIMIT_S=$((600 + CYCLES / 100 + LOADS))
# What debug_load makes the kernel say, and looks for itself
REFUSED='k2u: .* must be |invalid for parameter|too large for parameter|fit in [0-9]* chars'

tmp=$(mktemp -d "${TMPDIR:-/tmp}/k2u-limits.XXXXXX")
trap 'rm -rf -- "$tmp"' EXIT
trap 'exit 130' INT TERM

status=0
"$top/scripts/vm.sh" "--kernel=$kernel" --job=tests "--out=$tmp/tests" "--timeout=$LIMIT_S" \
	--smp=2 --memory=3G "--insmod=max_bytes=$((1 << 30))" \
	-- guest_limits "debug_limits $CYCLES" "debug_load $LOADS" >"$tmp/vm" 2>&1 || status=$?
if [ "$status" -eq "$K2U_UNAVAILABLE" ]; then
	skip "tests" "$(sed -n 's/^unavailable: //p' "$tmp/vm")"
	tap_end
fi
[ ! -s "$tmp/tests/tap" ] || guest_tap "$tmp/tests/tap" "$QUIET|$REFUSED"
if [ "$status" -eq 0 ]; then
	ok "the guest tests run to their end, and the module is unloaded"
else
	not_ok "the guest tests run to their end, and the module is unloaded (status $status)" <"$tmp/vm"
fi
tap_end

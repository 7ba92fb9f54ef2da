#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# make check-devmem: /dev/mem and /dev/kmem where a kernel allows them, and the rule
# that forbids them elsewhere (docs/DEVMEM.md). Two kernels are built from Debian's
# source without STRICT_DEVMEM, once (tests/devmem/config).
#
#	tests/devmem.sh		TAP on stdout; exit status 1 if a test failed
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"
[ $# -eq 0 ] || die "usage: devmem.sh"
tap_name=devmem
# shellcheck source=tests/tap.sh
. "$top/tests/tap.sh"

# The stock kernel that is locked down
STOCK=6.12
# What the kernel says of the lockdown itself, and of whom it refuses
LOCKED='Kernel is locked down from securityfs|Lockdown: guest_devmem: '

tmp=$(mktemp -d "${TMPDIR:-/tmp}/k2u-devmem.XXXXXX")
trap 'rm -rf -- "$tmp"' EXIT
trap 'exit 130' INT TERM

# provided KERNEL: it and the module for it are there
provided() {
	status=0
	began=$(date +%s)
	"$top/scripts/kernel.sh" "$1" >"$tmp/kernel" 2>"$tmp/err" || status=$?
	if [ "$status" -eq "$K2U_UNAVAILABLE" ]; then
		skip "$1" "$(sed -n 's/^unavailable: //p' "$tmp/err")"
		return 1
	elif [ "$status" -ne 0 ]; then
		not_ok "$1 and the module for it build" <"$tmp/err"
		return 1
	fi
	ok "$1 and the module for it build"
	echo "# in $(($(date +%s) - began)) s"
}

# guest NAME KERNEL WORDS QUIET COMMAND...: the programs end well in such a guest
guest() {
	name=$1 kernel=$2 words=$3 quiet=$4
	shift 4
	rm -rf -- "$tmp/tests"
	status=0
	"$top/scripts/vm.sh" "--kernel=$kernel" --job=tests "--out=$tmp/tests" --timeout=300 \
		"--append=$words" -- "$@" >"$tmp/vm" 2>&1 || status=$?
	tap_name="devmem $name"
	[ ! -s "$tmp/tests/tap" ] || guest_tap "$tmp/tests/tap" "$QUIET${quiet:+|$quiet}"
	if [ "$status" -eq 0 ]; then
		ok "the tests run to their end, and the module is unloaded"
	else
		not_ok "the tests run to their end, and the module is unloaded (status $status)" <"$tmp/vm"
	fi
	tap_name=devmem
}

# measured KERNEL WORDS METHOD...: these are measured beside pfn and read, and right
measured() {
	kernel=$1 words=$2
	shift 2
	status=0
	"$top/scripts/vm.sh" "--kernel=$kernel" --job=bench --accel=icount "--out=$tmp/run" --timeout=400 \
		"--append=$words" -- --quick --measures=faults,latency --sizes=64K --blocks=5 \
		"--methods=$(printf '%s\n' "$@" pfn read null | paste -s -d ,)" >"$tmp/vm" 2>&1 || status=$?
	if [ "$status" -ne 0 ]; then
		not_ok "$kernel: a short measurement ends (status $status)" <"$tmp/vm"
		return 0
	fi
	ok "$kernel: a short measurement ends"
	expect "$kernel: all of its checks pass, and there are some" "$(
		awk -F , 'NR == 1 { for (i = 1; i <= NF; i++) c[$i] = i; next }
			$c["verdict"] == "fail" && $c["check"] != "steady"
			END { if (NR < 2) print "no checks" }' "$tmp/run/checks.csv" | head -n 20)"
	"$top/build/k2u-stat" summarize "$tmp/run" 2>>"$tmp/vm"
	for method in "$@"; do
		expect "$kernel: $method has a latency" "$(
			grep -q "^latency,k2u,$method,contig," "$tmp/run/summary.csv" || cat "$tmp/vm")"
	done
	awk -F , -v kernel="$kernel" '
		NR == 1 { for (i = 1; i <= NF; i++) c[$i] = i; next }
		$c["measure"] == "latency" && $c["provider"] == "k2u" && $c["backing"] == "contig" && $c["cache"] == "wb" &&
		(($c["size_bytes"] == 65536 && $c["metric"] ~ /^(mmap|touch|munmap)$/) ||
		 ($c["size_bytes"] == 64 && $c["metric"] == "read")) {
			printf "#| %-12s %-8s %6d bytes %-8s %8.0f instructions\n", kernel, $c["method"],
				$c["size_bytes"], $c["metric"], $c["median"]
		}' "$tmp/run/summary.csv"
	rm -rf -- "$tmp/run"
}

if provided 6.12-devmem; then
	guest "6.12-devmem nopat" 6.12-devmem nopat '' "guest_devmem works" "guest_contents devmem" guest_alias
	guest "6.12-devmem" 6.12-devmem '' '' "guest_devmem PAT"
	measured 6.12-devmem nopat devmem
fi
if provided 5.10-devmem; then
	guest "5.10-devmem nopat" 5.10-devmem nopat '' "guest_devmem works" "guest_contents devmem" \
		"guest_contents kmem" guest_alias
	guest "5.10-devmem" 5.10-devmem '' '' "guest_devmem PAT" "guest_contents kmem"
	measured 5.10-devmem nopat devmem kmem
fi
# Locked down once the module is there: that of nobody's signing is not loaded afterwards
if provided "$STOCK"; then
	guest "$STOCK" "$STOCK" '' "$LOCKED" "guest_devmem STRICT_DEVMEM" "guest_devmem lockdown"
	guest "$STOCK nopat" "$STOCK" nopat '' "guest_devmem STRICT_DEVMEM"
fi
tap_end

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Measure scale, to 16 threads and processes, in a guest with four processors
# whose kernel watches it (KASAN, lockdep ...): all checks pass and the kernel
# says nothing.
#
#	tests/threads.sh [KERNEL]	TAP on stdout; exit status 1 if a test failed
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"
[ $# -le 1 ] || die "usage: threads.sh [KERNEL]"
kernel=${1:-6.12-debug}
tap_name="threads $kernel"
# shellcheck source=tests/tap.sh
. "$top/tests/tap.sh"

THREADS=4,16
LIMIT_S=400

tmp=$(mktemp -d "${TMPDIR:-/tmp}/k2u-threads.XXXXXX")
trap 'rm -rf -- "$tmp"' EXIT
trap 'exit 130' INT TERM

# A fault a page, under mmap_lock; around, under the lock of the VMA
status=0
"$top/scripts/vm.sh" "--kernel=$kernel" --job=bench --accel=tcg "--out=$tmp/run" "--timeout=$LIMIT_S" \
	--smp=4 --memory=2G -- --measures=scale "--threads=$THREADS" --providers=k2u \
	--methods=fault,fault_around --backings=vmalloc --sizes=16K \
	--quick --blocks=1 >"$tmp/vm" 2>&1 || status=$?
if [ "$status" -eq "$K2U_UNAVAILABLE" ]; then
	skip "all" "$(sed -n 's/^unavailable: //p' "$tmp/vm")"
	tap_end
fi
if [ "$status" -eq 0 ]; then
	ok "it runs to its end, and the module is unloaded"
else
	not_ok "it runs to its end, and the module is unloaded (status $status)" <<-END
		$(cat "$tmp/vm")
		$(tail -n 100 "$tmp/run/console" 2>/dev/null)
	END
	tap_end
fi
# vm.sh ends with 1 where there is a splat
expect "the kernel says nothing" "$(grep -vE \
	"$QUIET|loading out-of-tree module taints|module verification failed|\] version magic: " "$tmp/run/dmesg.txt")"

# One block does not say whether a figure is steady
expect "every check passes" "$(awk -F , 'NR > 1 && $10 != "steady" && $13 != "pass"' "$tmp/run/checks.csv")"
for check in contents kernel-hash consumed faults-expected; do
	expect "$check is checked" "$(grep -q ",$check,.*,pass," "$tmp/run/checks.csv" || echo "no such row")"
done
expect "every number of threads has every metric" "$(awk -F , '
	NR > 1 { seen[$7 " " $10]; methods[$3]; }
	END {
		split("4 16", threads, " ")
		split("read_shared fault_shared fault_own fault_own_proc fault_beside storm storm_proc", metric, " ")
		for (i in threads)
			for (j in metric)
				if (!((threads[i] " " metric[j]) in seen))
					print "no " metric[j] " of " threads[i]
	}' "$tmp/run/samples.csv")"
expect "sixteen threads on four processors wait for one" "$(awk -F , '
	$7 == 16 && $10 == "fault_beside_involuntary" || $7 == 16 && $10 ~ /_voluntary$/ { sum += $NF }
	END { if (!sum) print "no context switch" }' "$tmp/run/samples.csv")"
tap_end

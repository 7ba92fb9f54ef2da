#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Measure numa in a guest of two nodes: all pairs, memory where it was asked for,
# and the distances of its firmware. On a machine of one node there is none of it.
#
#	tests/numa.sh [KERNEL]	TAP on stdout; exit status 1 if a test failed
# shellcheck disable=SC2016 # awk expands them
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"
tap_name=numa
# shellcheck source=tests/tap.sh
. "$top/tests/tap.sh"

kernel=${1:-6.12}
# What the machine is given: nobody's default
DISTANCE=23
tmp=$(mktemp -d "${TMPDIR:-/tmp}/k2u-numa.XXXXXX")
trap 'rm -rf -- "$tmp"' EXIT
trap 'exit 130' INT TERM

# measure DIR [OPTION...]: a short run in a guest with these options; sets $status
measure() {
	dir=$1
	shift
	status=0
	"$top/scripts/vm.sh" "--kernel=$kernel" --job=bench --accel=icount "--out=$dir" --timeout=120 "$@" \
		-- --quick --measures=numa --sizes=64K --blocks=2 >"$tmp/vm" 2>&1 || status=$?
	if [ "$status" -eq "$K2U_UNAVAILABLE" ]; then
		skip "nodes of a guest" "$(sed -n 's/^unavailable: //p' "$tmp/vm")"
		tap_end
	fi
}

# rows FILE CONDITION ACTION: of a CSV, with columns by name in c
rows() {
	awk -F , "NR == 1 { for (i = 1; i <= NF; i++) c[\$i] = i; next }
		$2 { $3 }" "$1"
}

# lists NAME WANT GOT: the same lines
lists() {
	if [ "$2" = "$3" ]; then
		ok "$1"
	else
		not_ok "$1" <<-END
			expected:
			$2
			got:
			$3
		END
	fi
}

measure "$tmp/two" "--numa=2:$DISTANCE"
expect "a guest of two nodes is measured" "$([ "$status" -eq 0 ] || {
	echo "status $status"
	tail -n 5 "$tmp/vm"
})"
[ -e "$tmp/two/samples.csv" ] || tap_end

# The pairs of each source, in the order of their names
for source in k2u/read/vmalloc k2u/vmalloc/vmalloc k2u/pfn/contig tree/read/memfd tree/fault/memfd tree/anon/4k; do
	case $source in
	*/read/*) metrics='copy reuse' ;;
	*) metrics='load reuse' ;;
	esac
	lists "$source: all pairs of two nodes" \
		"$(for metric in $metrics; do
			printf '%s\n' "${metric}_c0m0" "${metric}_c0m1" "${metric}_c1m0" "${metric}_c1m1"
		done)" \
		"$(rows "$tmp/two/samples.csv" \
			"\$c[\"provider\"] \"/\" \$c[\"method\"] \"/\" \$c[\"backing\"] == \"$source\"" \
			'print $c["metric"]' | LC_ALL=C sort -u)"
	lists "$source: its pages are on the node of each pair" \
		"$(for metric in $metrics; do
			printf '%s\n' "${metric}_c0m0 0 0 pass" "${metric}_c0m1 1 1 pass" \
				"${metric}_c1m0 0 0 pass" "${metric}_c1m1 1 1 pass"
		done)" \
		"$(rows "$tmp/two/checks.csv" \
			"\$c[\"check\"] == \"node\" && \$c[\"provider\"] \"/\" \$c[\"method\"] \"/\" \$c[\"backing\"] == \"$source\"" \
			'print $c["metric"], $c["expected"], $c["got"], $c["verdict"]' | LC_ALL=C sort)"
done
expect "no check failed but of how good a figure is" "$(rows "$tmp/two/checks.csv" \
	'$c["verdict"] == "fail" && $c["check"] !~ /^(linearity|steady)$/' print)"
for node in 0 1; do
	lists "env.json has the distances of node $node" \
		"$([ "$node" -eq 0 ] && echo "10 $DISTANCE" || echo "$DISTANCE 10")" \
		"$("$top/build/k2u-stat" env "--get=memory.numa_distances.node$node" "$tmp/two")"
done

measure "$tmp/one"
expect "in a guest of one node nothing that was asked for can be measured" "$([ "$status" -eq 3 ] || {
	echo "status $status"
	tail -n 5 "$tmp/vm"
})"
lists "each source says why there are no pairs" "unavailable the machine has one NUMA node" \
	"$(rows "$tmp/one/checks.csv" '$c["measure"] == "numa"' 'print $c["verdict"], $c["note"]' | sort -u)"
expect "and there are no samples" "$(sed 1d "$tmp/one/samples.csv")"
tap_end

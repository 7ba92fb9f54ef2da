#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Measure counters: what it counts is so, and where nothing can be counted it says why.
# The hardware's own counters have a witness in an arm64 guest, whose emulated PMU
# counts the instructions that the clock of icount counts.
#
#	tests/counters.sh [KERNEL]	TAP on stdout; exit status 1 if a test failed
# shellcheck disable=SC2016 # awk expands them
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"
tap_name=counters
# shellcheck source=tests/tap.sh
. "$top/tests/tap.sh"

kernel=${1:-6.12-arm64}
bench=$top/build/k2u-bench
tmp=$(mktemp -d "${TMPDIR:-/tmp}/k2u-counters.XXXXXX")
trap 'rm -rf -- "$tmp"' EXIT
trap 'exit 130' INT TERM

# rows FILE PROGRAM: of a CSV, with columns by name in c
rows() {
	awk -F , "NR == 1 { for (i = 1; i <= NF; i++) c[\$i] = i; next } $2" "$1"
}

# measured NAME DIR: a run whose $status is there
measured() {
	expect "$1" "$([ "$status" -eq 0 ] || {
		echo "status $status"
		tail -n 5 "$tmp/log"
	})"
}

# ---- the usual events, on this machine ----

status=0
"$bench" run "--out=$tmp/usual" --quick --measures=counters --providers=tree --blocks=2 >"$tmp/log" 2>&1 || status=$?
reason=$("$top/build/k2u-stat" env --get=counters.cycles "$tmp/usual")
case $reason in
unavailable:*)
	expect "the usual events: nothing that was asked for can be measured" "$([ "$status" -eq 3 ] || {
		echo "status $status"
		tail -n 5 "$tmp/log"
	})"
	expect "env.json and each source say why there are none ($reason)" "$(
		rows "$tmp/usual/checks.csv" '$c["check"] == "available" && $c["metric"] == "" { print $c["verdict"] ": " $c["note"] }' |
			sort -u | grep -vxF "$(printf '%s' "$reason" | tr , ';')"
		[ "$(sed 1d "$tmp/usual/checks.csv" | wc -l)" -ge 3 ] || cat "$tmp/usual/checks.csv")"
	expect "and there are no samples" "$(sed 1d "$tmp/usual/samples.csv")"
	;;
*)
	measured "the usual events"
	expect "each sample was counted all the time, and is more than 0 where bytes are consumed" "$(
		rows "$tmp/usual/checks.csv" '$c["check"] == "counted" && $c["verdict"] != "pass"'
		rows "$tmp/usual/samples.csv" '$c["phase"] == "warm" && $c["metric"] == "instructions_user" {
				n++
				if ($c["value"] < $c["size_bytes"] / 16)
					print
			}
			END { if (!n) print "no instructions" }')"
	;;
esac

# ---- an event that is known exactly ----

status=0
"$bench" run "--out=$tmp/faults" --quick --measures=counters,faults --providers=tree --sizes=64K --blocks=3 \
	--counters=perf::PAGE-FAULTS >"$tmp/log" 2>&1 || status=$?
measured "events by name"
expect "page faults of the first touch, in both modes, are those that measure faults expects" "$(
	rows "$tmp/faults/samples.csv" '{ source = $c["method"] "/" $c["backing"] " block " $c["block"] }
		$c["metric"] == "expected" && $c["method"] != "null" { want[source] = $c["value"] }
		$c["phase"] == "first-touch" && $c["metric"] ~ /^page-faults_/ { got[source] += $c["value"]; modes[source]++ }
		END {
			for (source in want) {
				if (modes[source] != 2 || got[source] != want[source])
					print source ": expected " want[source] ", got " got[source] + 0 " of " modes[source] + 0 " modes"
				n += want[source]
			}
			if (!n)
				print "no faults at all"
		}')"
expect "and a warm use takes none" "$(
	rows "$tmp/faults/samples.csv" '$c["phase"] == "warm" && $c["metric"] ~ /^page-faults_/ && $c["value"] != 0')"
status=0
"$bench" run "--out=$tmp/unknown" --counters=perf::NO-SUCH-THING >"$tmp/log" 2>&1 || status=$?
expect "an unknown event is refused by name" "$(
	[ "$status" -eq 2 ] || echo "status $status"
	grep -q '"perf::NO-SUCH-THING": libpfm4: ' "$tmp/log" || cat "$tmp/log")"

# ---- a PMU that counts what the clock does ----

status=0
"$top/scripts/vm.sh" "--kernel=$kernel" --job=bench --accel=icount "--out=$tmp/guest" --timeout=200 \
	-- --quick --measures=counters --sizes=64K --blocks=4 --counters=perf::INSTRUCTIONS,perf::TASK-CLOCK \
	--methods=read,fault,vmalloc,anon --backings=vmalloc,memfd,4k >"$tmp/log" 2>&1 || status=$?
if [ "$status" -eq "$K2U_UNAVAILABLE" ]; then
	skip "instructions of a PMU" "$(sed -n 's/^unavailable: //p' "$tmp/log")"
	tap_end
fi
measured "a guest with a PMU is measured"
# A task's clock knows no modes. The least of the blocks: a tick of the timer only adds
expect "its instructions in both modes are the nanoseconds of the clock that counts instructions, to 1 % or 100" "$(
	rows "$tmp/guest/samples.csv" '
		function least(of, key, value) {
			if (!(key in of) || value < of[key])
				of[key] = value
		}
		{
			cell = $c["provider"] "/" $c["method"] "/" $c["backing"] " " $c["phase"]
			metric = $c["metric"]
		}
		metric == "task-clock_user" { least(clock, cell, $c["value"]) }
		metric == "instructions_user" { least(user, cell, $c["value"]) }
		metric == "instructions_kernel" { least(kernel, cell, $c["value"]) }
		END {
			for (cell in clock) {
				n++
				all = user[cell] + kernel[cell]
				off = all > clock[cell] ? all - clock[cell] : clock[cell] - all
				line = sprintf("%-34s  clock %6d  PMU %6d: user %5d, kernel %5d", cell, clock[cell], all, user[cell], kernel[cell])
				print line >"'"$tmp/cells"'"
				if (off > 100 && off > 0.01 * clock[cell])
					print line
			}
			if (n != 24)
				print n + 0 " phases of sources, not 24"
		}')"
[ ! -s "$tmp/cells" ] || sort "$tmp/cells" | sed 's/^/#| /'
expect "user mode consumes as many instructions by each mapping" "$(
	rows "$tmp/guest/samples.csv" '$c["phase"] == "warm" && $c["metric"] == "instructions_user" &&
		$c["method"] != "read" { print $c["value"] }' | sort -u | sed 1d)"
tap_end

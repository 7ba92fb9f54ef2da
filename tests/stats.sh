#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# make check-stats: the proof that comparisons can be trusted, with simulated
# boots, with real ones against themselves, and with slowdowns of known size.
#
#	tests/stats.sh		TAP on stdout; exit status 1 if a test failed
#
# K2U_STATS_FULL=1: the whole proof, half an hour on an idle machine; its table is that of
# docs/METHODOLOGY.md, Proof. K2U_STATS_BOOTS=N: native boots of the A/A part.
# K2U_STATS_DIR=DIR: measure there; what is in DIR is not measured again.
# KERNEL=6.12: of the guests.
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"
tap_name=stats
# shellcheck source=tests/tap.sh
. "$top/tests/tap.sh"
cd -- "$top"

KERNEL=${KERNEL:-6.1}
FULL=${K2U_STATS_FULL:-}
if [ -n "$FULL" ]; then
	BOOTS=${K2U_STATS_BOOTS:-240}	# native
	BASE_BOOTS=42 SPUN_BOOTS=20	# of guests; a comparison has 20 pairs
	DRAWS=1000 COMPARISONS=1000
else
	BOOTS=${K2U_STATS_BOOTS:-60}
	BASE_BOOTS=12 SPUN_BOOTS=12
	DRAWS=300 COMPARISONS=200
fi
KNOB_BOOTS=5
GUEST_S=300
# A guest has one processor
JOBS=$(nproc)
[ "$JOBS" -le 4 ] || JOBS=4

tmp=$(mktemp -d "${TMPDIR:-/tmp}/k2u-stats.XXXXXX")
simulation=''
trap '[ -z "$simulation" ] || kill "$simulation" 2>/dev/null || :; rm -rf -- "$tmp"' EXIT
trap 'exit 130' INT TERM
out=${K2U_STATS_DIR:-$tmp/runs}
mkdir -p -- "$out/bin"
# Copies: a build in the meantime must not change the tools of a run
for program in build/k2u-bench build/k2u-stat build/tests/draw build/tests/simulate; do
	[ -e "$out/bin/${program##*/}" ] || cp -- "$program" "$out/bin/"
done
bench=$out/bin/k2u-bench stat=$out/bin/k2u-stat
: >"$tmp/table"

# row TEXT: of the table
row() {
	printf '| %s |\n' "$*" >>"$tmp/table"
}

# figure KEY FILE: of a file of lines "key value"
figure() {
	sed -n "s/^$1 //p" "$2"
}

# at_most A B, at_least A B: of decimal numbers
# shellcheck disable=SC2317 # all() calls them
at_most() {
	awk -v a="$1" -v b="$2" 'BEGIN { exit !(a != "" && a + 0 <= b + 0) }'
}
# shellcheck disable=SC2317
at_least() {
	awk -v a="$1" -v b="$2" 'BEGIN { exit !(a != "" && a + 0 >= b + 0) }'
}

# calc EXPRESSION
calc() {
	awk "BEGIN { printf \"%.9g\", $1 }"
}

# rows RUN FILE CELL: the medians in RUN's summary or boots; CELL is
# provider,method,backing,size,phase,metric
rows() {
	"$stat" summarize "$1" >"$tmp/summarize" 2>&1
	awk -F , -v cell="$3" '
		NR == 1 { for (i = 1; i <= NF; i++) c[$i] = i; next }
		cell == $c["provider"] "," $c["method"] "," $c["backing"] "," $c["size_bytes"] \
			"," $c["phase"] "," $c["metric"] { print $c["median"] }' "$1/$2.csv"
}

# median RUN CELL: of all boots
median() {
	rows "$1" summary "$2"
}

# least RUN CELL: of the boots' medians
least() {
	rows "$1" boots "$2" | sort -g | sed -n 1p
}

# boots RUN: the numbers of those that it has
boots() {
	[ ! -e "$1/env.json" ] || "$stat" boots "$1"
}

# ---- a: simulation, on a processor that the native boots do not need ----

"$out/bin/simulate" "--comparisons=$COMPARISONS" >"$tmp/simulate" 2>"$tmp/simulate.err" &
simulation=$!

# ---- b, d: the tree provider on this machine ----

# native_boot RUN BOOT [ARGUMENT...]: half a second; a fresh process and its memory
native_boot() {
	run=$1
	boot=$2
	shift 2
	! boots "$run" | grep -qx "$boot" || return 0
	rm -rf -- "${out:?}/boot"
	"$bench" run "--out=$out/boot" "--boot=$boot" --providers=tree --quick \
		--measures=throughput --sizes=4K,64K --blocks=7 --methods=read,fault,pfn,vmalloc \
		"$@" >"$tmp/log" 2>&1 &&
		"$stat" join "$run" "$out/boot" >>"$tmp/log" 2>&1 || return 1
	rm -rf -- "${out:?}/boot"
}

# The cell that is planted: it varies least from boot to boot
NATIVE_CELL=tree,read,memfd,65536,warm,copy

# turn_cost: ns of a turn, from one boot with many; and the turns that are 1 % and 3 %
turn_cost() {
	native_boot "$out/native-cal0" 1 && native_boot "$out/native-cal1" 1 --test-spin=read:100000 || return 1
	# GB/s is bytes per ns
	plain=$(calc "65536 / $(median "$out/native-cal0" $NATIVE_CELL)")
	ns=$(calc "(65536 / $(median "$out/native-cal1" $NATIVE_CELL) - $plain) / 100000")
	turns_1=$(calc "int($plain * 0.01 / $ns + 0.5)")
	turns_3=$(calc "int($plain * 0.03 / $ns + 0.5)")
}

# native: rounds of two base boots and one of each knob, whose order changes about
native() {
	turn_cost || return 1
	# Taken up again: the knobs stay as they were
	[ -e "$out/native-turns" ] || echo "$turns_1 $turns_3 $ns" >"$out/native-turns"
	read -r turns_1 turns_3 ns <"$out/native-turns"
	for round in $(seq $((BOOTS / 2))); do
		native_boot "$out/native" $((2 * round - 1)) &&
			native_boot "$out/native" $((2 * round)) || return 1
		order='1 3'
		[ $((round % 2)) -eq 0 ] || order='3 1'
		for percent in $order; do
			turns=$turns_1
			[ "$percent" -eq 1 ] || turns=$turns_3
			native_boot "$out/native-$percent" "$round" "--test-spin=read:$turns" || return 1
		done
	done
}

# aa NAME RUN PAIRS: a run against itself
aa() {
	if ! "$out/bin/draw" aa "--draws=$DRAWS" "--pairs=$3" "$2" >"$tmp/aa" 2>"$tmp/err"; then
		not_ok "$1: comparisons can be drawn" <"$tmp/err"
		return 0
	fi
	cells=$(figure random_cell_alarm_pct "$tmp/aa")
	reports=$(figure random_report_alarm_pct "$tmp/aa")
	sed 's/^/# /' "$tmp/aa"
	expect "$1: $DRAWS comparisons with itself: false alarms in $cells % of cells, goal 1 %" \
		"$(at_most "$cells" 1 || cat "$tmp/aa")"
	expect "$1: $DRAWS comparisons with itself: a false alarm in $reports % of reports, goal 5 %" \
		"$(at_most "$reports" 5 || cat "$tmp/aa")"
	for way in disjoint random abba halves; do
		[ -n "$(figure "${way}_reports" "$tmp/aa")" ] || continue
		row "$1, A/A, $way | $(figure boots "$tmp/aa") | $(figure "${way}_reports" "$tmp/aa") of $3 pairs, $(figure cells "$tmp/aa") cells | $(figure "${way}_cell_alarm_pct" "$tmp/aa") % of cells, $(figure "${way}_report_alarm_pct" "$tmp/aa") % of reports; withheld $(figure "${way}_withheld_pct" "$tmp/aa") %; interval holds 1 in $(figure "${way}_covered_pct" "$tmp/aa") %"
	done
}

# found NAME BASE NEW METHOD PAIRS [OPTION] CELL=RATIO...: leaves $tmp/found
found() {
	name=$1
	shift
	if ! found_by "$@" >"$tmp/found" 2>"$tmp/err"; then
		not_ok "$name: comparisons can be drawn" <"$tmp/err"
		return 1
	fi
	sed 's/^/# /' "$tmp/found"
	awk -v name="$name" '
		{ v[$1] = $2 }
		/^within_0\.3/ {
			printf "| %s: `%s` +%.2f %% | %s, %s | %s of %s pairs | found %s %%; size: %.2f %% (median), %.2f points off at worst, within 0.3 points in %s %% |\n",
				name, v["cell"], v["planted_pct"], v["base_boots"], v["boots"], v["draws"], v["pairs"],
				v["found_pct"], v["median_pct"], v["worst_off_points"], $2
		}' "$tmp/found" >>"$tmp/table"
}

found_by() {
	from=$1 to=$2 spun_method=$3 nr=$4
	shift 4
	"$out/bin/draw" found "--draws=$DRAWS" "--pairs=$nr" "$from" "$to" "$spun_method" "$@"
}

# all KEY OPERATOR NUMBER: every figure of $tmp/found with this key
all() {
	for value in $(figure "$1" "$tmp/found"); do
		"$2" "$value" "$3" || echo "$1 is $value, the goal is $(echo "$2" | tr _ ' ') $3"
	done
}

if native; then
	ok "$BOOTS native boots, and as many with a knob"
	aa "native, tree" "$out/native" 20
	plain=$(calc "65536 / $(median "$out/native" $NATIVE_CELL)")
	for percent in 1 3; do
		turns=$turns_1
		[ "$percent" -eq 1 ] || turns=$turns_3
		ratio=$(calc "1 + $turns * $ns / $plain")
		for n in 20 50; do
			# All of the pairs can be drawn in one way only
			[ "$n" -lt $((BOOTS / 2)) ] || continue
			found "native, tree, +$percent %" "$out/native" "$out/native-$percent" read "$n" \
				"$NATIVE_CELL=$ratio" || continue
			# How many are found is the machine's noise; what is called must be true
			expect "native, +$percent %, $n pairs: found in $(figure found_pct "$tmp/found") % of comparisons, never called faster" \
				"$(all wrong_pct at_most 0)"
		done
	done
else
	not_ok "native boots" <"$tmp/log"
fi

# The simulation's TAP, with our numbers
wait "$simulation" || :
simulation=''
grep -q '^1\.\.' "$tmp/simulate" || not_ok "the simulation runs to its end" <"$tmp/simulate.err"
while read -r line; do
	case $line in
	ok*) ok "${line#* - }" ;;
	'not ok'*) not_ok "${line#* - }" </dev/null ;;
	esac
done <"$tmp/simulate"

# ---- c: the module, in guests whose clock counts instructions ----

# guests RUN KNOB FIRST LAST: boots, side by side
guests() {
	for boot in $(seq "$3" "$4"); do
		printf '%s\t%s\t%s\n' "$out/$1" "$KERNEL" "$boot"
	done >"$tmp/queue"
	scripts/guests.sh "--timeout=$GUEST_S" "--jobs=$JOBS" ${2:+"--insmod=test_spin=$2"} "$tmp/queue" -- \
		--providers=k2u --quick --measures=latency --sizes=64K,1M --blocks=5 \
		--methods=fault,read,pfn --backings=vmalloc,contig >"$tmp/log" 2>&1
}

# knob METHOD CELL: $fixed and $turn instructions, those of the knob and of a
# turn, from boots with some 10 % and 30 % against those without. With far more
# the timer's interrupts would count as turns. The least of some boots: boots
# have states (in one of three a fault on 6.1 takes 8 instructions more), and the
# lowest is in every set.
knob() {
	plain=$(least "$out/guest" "$2")
	few=$(calc "int($plain / 20)")
	many=$((3 * few))
	guests "guest-$1-few" "$1:$few" 1 "$KNOB_BOOTS" &&
		guests "guest-$1-many" "$1:$many" 1 "$KNOB_BOOTS" || return 1
	low=$(least "$out/guest-$1-few" "$2")
	high=$(least "$out/guest-$1-many" "$2")
	turn=$(calc "($high - $low) / ($many - $few)")
	fixed=$(calc "$low - $plain - $few * $turn")
	echo "# knob of $1: $turn instructions a turn, and $fixed"
}

# compared BASE NEW: k2u-stat compare as text and CSV; sets $status
compared() {
	status=0
	"$stat" compare "$1" "$2" >"$tmp/compare" 2>"$tmp/err" || status=$?
	"$stat" compare --format=csv "$1" "$2" >"$tmp/csv" 2>/dev/null || :
}

# verdict_of CELL: "verdict ratio low high" in $tmp/csv, the last two its interval
verdict_of() {
	awk -F , -v cell="$1" '
		NR == 1 { for (i = 1; i <= NF; i++) c[$i] = i; next }
		cell == $c["provider"] "," $c["method"] "," $c["backing"] "," $c["size_bytes"] \
			"," $c["phase"] "," $c["metric"] {
			print $c["verdict"], $c["ratio"], $c["ratio_low"], $c["ratio_high"]
		}' "$tmp/csv"
}

# others_called METHOD: cells of other methods that are called slower or faster
others_called() {
	awk -F , -v method="$1" '
		NR == 1 { for (i = 1; i <= NF; i++) c[$i] = i; next }
		$c["measure"] != "aa" && $c["method"] != method && $c["verdict"] ~ /^(slower|faster)$/' "$tmp/csv"
}

# planted METHOD PERCENT CELL...: of the first cell; by the figures of knob()
planted() {
	method=$1 percent=$2
	shift 2
	# A tenth of a percent beyond: what is within 1 % is equivalent by definition
	turns=$(calc "int(($(median "$base" "$1") * ($percent + 0.1) / 100 - $fixed) / $turn + 1)")
	spun=$out/guest-$method-$percent
	what="$method:$turns, +$percent %"
	if ! guests "${spun##*/}" "$method:$turns" 1 "$SPUN_BOOTS"; then
		not_ok "$what: $SPUN_BOOTS boots" <"$tmp/log"
		return 0
	fi
	compared "$base" "$spun"
	expect "$what: exit status 1" "$([ "$status" -eq 1 ] || { echo "it is $status"; cat "$tmp/err" "$tmp/compare"; })"
	set -- "$@" --
	while [ "$1" != -- ]; do
		ratio=$(calc "1 + ($fixed + $turns * $turn) / $(median "$base" "$1")")
		read -r verdict seen low high <<-END
			$(verdict_of "$1")
		END
		expect "$what: $1 is slower by $(calc "100 * ($seen - 1)") %, planted are $(calc "100 * ($ratio - 1)")" "$(
			[ "$verdict" = slower ] || echo "the verdict is '$verdict'"
			# Boots in states make the interval wide, and it must hold the truth
			off=$(calc "100 * ($seen - $ratio)")
			at_most "${off#-}" 0.3 || { at_least "$ratio" "$low" && at_most "$ratio" "$high"; } ||
				echo "off by $off points, the interval is $low to $high"
		)"
		expect "$what: the text names $1 as slower" "$(
			named=$(echo "$1" | awk -F , '{ print " " $2 "/" $3 " " $6 " " }')
			grep '^slower' "$tmp/compare" | grep -qF "$named" || cat "$tmp/compare"
		)"
		set -- "$@" "$1=$ratio"
		shift
	done
	shift
	expect "$what: cells of other methods are not called" "$(others_called "$method")"
	[ -n "$FULL" ] || return 0
	# Boots of any two seeds make a pair
	found "icount, k2u, $what" "$base" "$spun" "$method" "$SPUN_BOOTS" --shuffle "$@" || return 0
	goal=80
	[ "$percent" -eq 1 ] || goal=99
	expect "$what: found in $goal % of comparisons" "$(all found_pct at_least "$goal")"
	expect "$what: its size within 0.3 points" "$(all off_points at_most 0.3)"
	expect "$what: other cells are called in 5 % of reports at most" \
		"$(all reports_with_others_called_pct at_most 5)"
}

base=$out/guest
status=0
scripts/kernel.sh "$KERNEL" >/dev/null 2>"$tmp/err" || status=$?
if [ "$status" -eq "$K2U_UNAVAILABLE" ]; then
	skip "a slowdown in the module" "$(sed -n 's/^unavailable: //p' "$tmp/err")"
elif ! guests guest '' 1 "$BASE_BOOTS"; then
	not_ok "$BASE_BOOTS boots without a knob" <"$tmp/log"
else
	ok "$BASE_BOOTS boots without a knob"
	compared "$base" "$base"
	expect "the base against itself: exit status 0, nothing is called" "$(
		[ "$status" -eq 0 ] || echo "it is $status"
		others_called ''
	)"
	if [ -e "$out/native/env.json" ]; then
		compared "$base" "$out/native"
		expect "icount against native: exit status 2, and the reason" "$(
			[ "$status" -eq 2 ] || echo "it is $status"
			grep -q venue "$tmp/err" || cat "$tmp/err"
		)"
	fi
	[ -z "$FULL" ] || aa "icount, k2u" "$base" 20
	for method in fault ${FULL:+pfn}; do
		case $method in
		fault) set -- k2u,fault,vmalloc,65536,first-touch,touch k2u,fault,contig,65536,first-touch,touch ;;
		pfn) set -- k2u,pfn,vmalloc,1048576,setup,mmap ;;
		esac
		if ! knob "$method" "$1"; then
			not_ok "a boot with the knob" <"$tmp/log"
			continue
		fi
		planted "$method" 1 "$@"
		# What finds 1 % finds 3 %
		[ -z "$FULL" ] || planted "$method" 3 "$@"
	done
fi

sed 's/^/# /' "$tmp/table"
[ -z "${K2U_STATS_DIR:-}" ] || cp -- "$tmp/table" "$out/table.md"
tap_end

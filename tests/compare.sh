#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# k2u-stat compare: what it says, what it refuses and why, its exit status.
#
#	tests/compare.sh	TAP on stdout; exit status 1 if a test failed
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
tap_name=compare
# shellcheck source=tests/tap.sh
. "$top/tests/tap.sh"
stat=$top/build/k2u-stat
tmp=$(mktemp -d)
trap 'rm -rf -- "$tmp"' EXIT
trap 'exit 130' INT TERM
cd "$tmp"

# make_run DIR [SETTING=VALUE]...: a run as its summaries leave it. The boots of
# even cells vary by some 0.2 %; sizes, unit, metric: of its cells; slower: of
# cell 2, in percent; drift: of the second half of the boots
make_run() {
	dir=$1
	shift
	boots=20 cells=8 unit=ns venue=native release=6.1 slower=0 drift=0 seed=1 sizes='4096 65536'
	flags='' metric=touch method=read measure=latency complete=true second=0 schema=1 model=x extra=''
	for setting; do
		# shellcheck disable=SC2163 # NAME=VALUE
		eval "${setting%%=*}=\${setting#*=}"
	done
	mkdir -p "$dir"
	awk -v dir="$dir" -v boots="$boots" -v cells="$cells" -v unit="$unit" -v slower="$slower" \
		-v drift="$drift" -v seed="$seed" -v sizes="$sizes" -v flags="$flags" \
		-v metric="$metric" -v method="$method" -v measure="$measure" '
		BEGIN {
			srand(seed)
			n = split(sizes, size, " ")
			keys = "measure,provider,method,backing,cache,size_bytes,threads,phase,metric,unit"
			print keys ",boot,blocks,n,median" >(dir "/boots.csv")
			print keys ",flags" >(dir "/summary.csv")
			for (i = 0; i < cells; i++) {
				key = measure ",k2u," method ",b" int(i / n) ",wb," size[i % n + 1] ",1,warm," metric "," unit
				print key "," (i == 2 ? flags : "") >(dir "/summary.csv")
				for (b = 1; b <= boots; b++) {
					v = 1000 * (i + 1) * (1 + 0.004 * (rand() - 0.5))
					if (unit == "faults")
						v = 16
					if (i == 2)
						v *= 1 + slower / 100
					if (b > boots / 2)
						v *= 1 + drift / 100
					printf "%s,%d,11,11,%.10g\n", key, b, v >(dir "/boots.csv")
				}
			}
		}'
	{
		printf '{"schema":%s,"complete":%s,"venue":"%s","time_unit":"%s","kernel":{"release":"%s"},"cpu":{"model":"%s"},' \
			"$schema" "$complete" "$venue" "${unit#B/}" "$release" "$model"
		printf '%s"boots":[' "$extra"
		sep=''
		for boot in $(seq "$boots"); do
			printf '%s{"boot":%d,"started":"2026-01-01T00:%02d:%02dZ"}' "$sep" "$boot" "$boot" "$second"
			sep=,
		done
		echo ']}'
	} >"$dir/env.json"
}

# says NAME STATUS PATTERN ARGUMENT...: exit status, and a line of what is said
says() {
	name=$1 want=$2 pattern=$3
	shift 3
	status=0
	TERM=xterm "$stat" compare "$@" >out 2>err </dev/null || status=$?
	if [ "$status" -ne "$want" ]; then
		echo "status $status, not $want: compare $*: $(head -n 3 err)" >said
	elif ! cat out err | grep -qE "$pattern"; then
		{ echo "no '$pattern' in what compare $* says:"; cat err out; } >said
	else
		: >said
	fi
	expect "$name" "$(cat said)"
}

make_run a
make_run b seed=2 second=30
make_run slow seed=3 second=30 slower=3 release=6.12
make_run fast seed=3 second=30 slower=-3

says "two sides that are alike" 0 '^8 cells: 8 equivalent' a b
says "a side and itself" 0 '^8 cells: 8 equivalent' a a
says "a slower cell: status 1" 1 '^slower +1\.0[23][0-9]* .* latency k2u read/b1 touch 4K$' a slow
says "another kernel is said first" 1 '^Kernel: 6\.1 -> 6\.12$' a slow
says "a faster cell: status 0" 0 '^faster ' a fast
says "not called below the threshold" 0 '^8 cells: 8 equivalent' --threshold=5 a slow
says "all cells" 0 '^equivalent +.*read/b3 touch 64K' --all a b
says "several runs of a side, by blanks" 0 '^BASE  a and 1 more run: .* 40 boots' 'a b' a
says "several runs of a side, by commas" 0 '^BASE  a and 1 more run: .* 40 boots' a,b a
says "boots without a partner do not count" 0 'last 20 boots have no partner' a,b a

make_run drift second=30 drift=2
sed -i 's/2026-01-01/2026-01-02/g' drift/env.json
says "a side that drifts: withheld, status 2" 2 '^A/A NEW +FAILED: 8 of 8' a drift
says "a side that drifts: no verdict is given" 2 '^8 cells: 8 withheld' a drift
says "one side after the other: said" 2 'One side was measured after the other' a drift
make_run few boots=5
make_run one boots=1 slower=30
says "A/A with too few boots says so" 0 '^A/A NEW +NOT DECIDABLE' a few
says "one boot each: inconclusive, and how many it takes" 0 '^8 cells: 8 inconclusive' one one
says "one boot each: what it would take" 0 'at least 5 more boots' one one

make_run wrong seed=2 second=30 slower=3 flags='contents-failed;unsteady'
says "wrong contents: withheld" 0 '^withheld ' a wrong
says "wrong contents: the flag is shown" 0 '†contents-failed;unsteady' a wrong

make_run copies unit=insn venue=icount metric=copy
make_run copies2 unit=insn venue=icount metric=copy slower=3
make_run copies3 unit=insn venue=icount metric=copy slower=3 release=6.12
says "an emulated copy counts on one kernel" 1 'emulated-copy' copies copies2
says "an emulated copy does not count across kernels" 0 '^slower .*' copies copies3
make_run rate unit=GB/s
make_run rate2 unit=GB/s slower=3 second=30
sed -i 's,"time_unit":"GB/s","time_unit":"ns",' rate/env.json rate2/env.json
says "more of a rate is faster" 0 '^faster +1\.0[23]' rate rate2
make_run counts unit=faults metric=minor_perf measure=faults
make_run counts2 unit=faults metric=minor_perf measure=faults slower=6.25
sed -i 's,"time_unit":"faults","time_unit":"ns",' counts/env.json counts2/env.json
says "more faults are slower" 1 '^slower +1\.0625 ' counts counts2
make_run svc metric=touch_svc

says "refused: another venue" 2 'venue: native there, icount here: measure both' a copies
make_run insn unit=insn
says "refused: another unit" 2 'unit of time: ns there, insn here' a insn
make_run sizes sizes='4096 65536 1048576' cells=9
says "refused: another size set" 2 'latency was measured at other sizes: 1 MiB is in NEW alone' a sizes
make_run partial complete=false
says "refused: an incomplete run" 2 'partial: incomplete run: finish it' a partial
make_run cut
sed -i 's/"boot":3,/"boot":3,"complete":false,/' cut/env.json
says "refused: a boot that did not end" 2 'cut: incomplete run' a cut
make_run old schema=0
says "refused: another schema" 2 'schema: expected 1' a old
make_run noenv
rm noenv/env.json
says "refused: no environment" 2 'noenv: no env.json' a noenv
make_run other method=pfn
says "refused: no cell in common" 2 'no cell in common' a other
says "refused: only what is not compared" 2 'no cell in common' svc svc
make_run cpu model=y
says "refused: runs of one side from two machines" 2 "cpu: not of one environment with a: CPU: 'x' there, 'y' here" a,cpu a
says "two machines, a side each: said, not refused" 0 'CPU: x -> y' a cpu
says "refused: a run twice on one side" 2 'twice on one side' a,./a b
mkdir empty
cp a/env.json empty
says "refused: no samples" 2 'neither samples.csv nor boots.csv' a empty
says "refused: no such run" 2 'nowhere: no such run' a nowhere
make_run ugly
sed -i "s/,b1,/,b$(printf '\033')[31m,/" ugly/boots.csv ugly/summary.csv
says "refused: a name that is none" 2 'boots.csv:42: backing: expected a name: .* got .b .31m' a ugly
make_run escape extra='"future":"\u001b[31m\u009b31m",'
says "text from a file cannot steer a terminal" 0 'future: .* ->  +\[31m +31m$' a escape

says "wrong call: one side" 2 'Give BASE and NEW' a
says "wrong call: three sides" 2 "several runs of a side are one argument" a b a
says "wrong call: an empty side" 2 'an empty list' '' a
says "wrong call: a format" 2 "text, json, csv, not 'xml'" --format=xml a b
for threshold in x -1 1e9 '' nan 1.2.3; do
	says "wrong call: a threshold of '$threshold'" 2 'percent from 0 to 100' "--threshold=$threshold" a b
done
status=0
"$stat" compare a b >/dev/full 2>err || status=$?
expect "a report that cannot be written: status 2" "$([ "$status" -eq 2 ] && grep -q 'standard output' err || echo "status $status: $(cat err)")"

# ---- formats ----

make_run long unit=insn venue=icount measure=throughput metric=pass extra='"tool":{"args":"--methods=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa run"},'
make_run long2 unit=insn venue=icount measure=throughput metric=pass drift=2 slower=5 flags='nonlinear;unsteady;linearity-unavailable;overhead>1%;consumed-unavailable'
LC_ALL=C "$stat" compare --all long long2 >out || :
expect "no line is wider than 100 columns" "$(LC_ALL=C sed 's/[\x80-\xbf]//g' out | LC_ALL=C awk 'length($0) > 100')"
expect "no colour but on a terminal" "$(LC_ALL=C grep -c "$(printf '\033')" out | grep -vx 0)"
if why=$(script -qec true /dev/null 2>&1 </dev/null); then
	TERM=xterm script -qec "'$stat' compare a slow" /dev/null >out </dev/null 2>&1 || :
	expect "colour on a terminal" "$(grep -q "$(printf '\033\\[31mslower')" out || cat out)"
	NO_COLOR=1 TERM=xterm script -qec "'$stat' compare a slow" /dev/null >out </dev/null 2>&1 || :
	expect "NO_COLOR is honoured" "$(
		grep -q '^slower' out || cat out
		LC_ALL=C grep "$(printf '\033')" out
	)"
else
	skip "colour on a terminal" "no terminal to be had from script(1): $why"
fi

"$stat" compare --format=csv a slow >csv || :
expect "CSV: every line has the header's columns" "$(awk -F, 'NR == 1 { n = NF } NF != n' csv)"
expect "CSV: a row per cell, and the two A/A rows" "$([ "$(grep -c ^latency csv)/$(grep -c ^aa, csv)" = 8/2 ] || cat csv)"
for pair in "a slow" "a b" "a drift"; do
	# shellcheck disable=SC2086
	set -- $pair
	case $2 in
	slow) want='1 1 8 2 1 1' ;;
	b) want='0 0 8 2 0 0' ;;
	drift) want='2 2 8 2 0 0' ;;
	esac
	status=0
	mkdir -p json
	"$stat" compare --format=json "$1" "$2" >json/env.json || status=$?
	# Our own reader of env.json takes any object with that schema
	got="$status $("$stat" env --get exit.status json) $(grep -c '"p_holm"' json/env.json) $(grep -c '"split"' json/env.json)"
	got="$got $("$stat" env --get summary.verdicts.slower json) $(grep -c '"verdict": "slower"' json/env.json || :)"
	expect "JSON: $1 against $2: status, cells, A/A rows, verdicts" "$([ "$got" = "$want" ] || echo "expected $want, got $got")"
done
tap_end

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# k2u-stat join: what becomes part of a run, what is refused, and that a run is
# never left half-joined.
#
#	tests/join.sh	TAP on stdout; exit status 1 if a test failed
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
tap_name='join'
# shellcheck source=tests/tap.sh
. "$top/tests/tap.sh"
stat=$top/build/k2u-stat
tmp=$(mktemp -d)
trap 'rm -rf -- "$tmp"' EXIT
trap 'exit 130' INT TERM
cd "$tmp"

# make_boot DIR BOOT [GOVERNOR [COMPLETE]]
make_boot() {
	mkdir -p "$1"
	cat >"$1/env.json" <<-END
		{"schema": 1, "run_id": "x", "started": "2026-01-01T00:00:0$2Z", "duration_s": 2.5,
		 "complete": ${4:-true}, "venue": "native", "time_unit": "ns", "seed": $2,
		 "kernel": {"release": "6.1"}, "cpu": {"governor": "${3:-performance}"},
		 "tool": {"args": "run --out=$1 --boot=$2 --quick"},
		 "warnings": ["warning of boot $2"]}
	END
	echo 'measure,provider,method,backing,cache,size_bytes,threads,boot,phase,metric,unit,block,sample,iters,overhead,value' \
		>"$1/samples.csv"
	echo 'measure,provider,method,backing,cache,size_bytes,boot,phase,metric,check,expected,got,verdict,note' \
		>"$1/checks.csv"
	for block in 1 2 3; do
		echo "latency,k2u,read,vmalloc,wb,64,1,$2,warm,read,ns,$block,1,8,0,$2$block" >>"$1/samples.csv"
		echo "latency,k2u,read,vmalloc,wb,64,$2,warm,read,contents,0,0,pass," >>"$1/checks.csv"
	done
	echo "message of boot $2" >"$1/dmesg.txt"
}

# says NAME STATUS PATTERN ARGUMENT...: exit status, and a line of what is said
says() {
	name=$1 want=$2 pattern=$3
	shift 3
	status=0
	"$stat" join "$@" >log 2>&1 || status=$?
	expect "$name" "$(
		[ "$status" -eq "$want" ] || echo "status $status, expected $want"
		[ -z "$pattern" ] || grep -qE -e "$pattern" log || {
			echo "nothing like: $pattern; but:"
			cat log
		}
	)"
}

# has RUN BOOT...: exactly these boots, as rows and in env.json
has() {
	run=$1
	shift
	want=$(printf '%s\n' "$@")
	[ "$("$stat" boots "$run" | sort -n)" = "$want" ] || echo "env.json: boots $("$stat" boots "$run" | tr '\n' ' ')"
	for file in samples.csv checks.csv; do
		column=$(sed -n 1p "$run/$file" | tr , '\n' | grep -nx boot | cut -d : -f 1)
		[ "$(sed 1d "$run/$file" | cut -d , -f "$column" | sort -n | uniq)" = "$want" ] ||
			echo "$file: boots $(sed 1d "$run/$file" | cut -d , -f "$column" | uniq | tr '\n' ' ')"
		[ "$(grep -c '^measure,' "$run/$file")" -eq 1 ] || echo "$file: not one header"
		[ "$(wc -l <"$run/$file")" -eq $((3 * $# + 1)) ] || echo "$file: $(wc -l <"$run/$file") lines"
	done
}

for boot in 1 2 3 4; do
	make_boot "b$boot" "$boot"
done
says 'two boots make a run' 0 '' run b2 b1
expect 'it has both' "$(has run 1 2)"
says 'a third joins' 0 '' run b3
expect 'it has three' "$(has run 1 2 3)"
expect 'the run is complete, and as long as its boots together' "$(
	[ "$("$stat" env --get=complete run)" = true ] || echo "not complete"
	[ "$("$stat" env --get=duration_s run)" = 7.5 ] || "$stat" env --get=duration_s run
)"
expect 'warnings and messages say of which boot they are' "$(
	"$stat" env --warnings run | grep -q 'boot 3: warning of boot 3' || "$stat" env --warnings run
	grep -q 'boot 3:' run/dmesg.txt || cat run/dmesg.txt
)"
expect 'summarize takes the boots for the unit' "$(
	"$stat" summarize run 2>&1
	grep -q '^latency,k2u,read,vmalloc,wb,64,1,warm,read,ns,3,9,9,22,' run/summary.csv || cat run/summary.csv
)"

# ---- refused, and nothing changed ----

cp -a run before
unchanged() {
	for file in env.json samples.csv checks.csv; do
		cmp "run/$file" "before/$file" 2>&1 || :
	done
}
says 'a boot that is there already' 1 'run has its boot 2 already' run b2
make_boot other 5 powersave
says 'another environment, and what differs' 1 'governor: performance there, powersave here' run other
make_boot cut 6 performance false
says 'a boot that did not end' 1 'cut: that boot did not end: measure it again' run cut
make_boot mixed 7
sed -i '$s/,7,/,8,/' mixed/samples.csv
says 'rows of two boots' 1 'mixed/samples.csv:4: boot: expected rows of one boot' run mixed
make_boot torn 8
printf 'latency,k2u' >>torn/samples.csv
says 'a file that was cut short' 1 'torn/samples.csv:5: .*cut short' run torn
make_boot columns 9
sed -i '1s/,value/,value,more/; 2,$s/$/,1/' columns/samples.csv
says 'other columns' 1 'other columns than run/samples.csv' run columns
says 'a boot that is not there' 1 'nowhere: no such run directory' run nowhere
expect 'the run is as it was' "$(unchanged)"
mkdir kept
cp before/env.json before/checks.csv kept/
says 'a run without its rows' 1 'the rows of this run were not kept' kept b4
mkdir foreign
echo x >foreign/samples.csv
says 'a directory that holds something else' 1 'foreign: holds samples.csv but no env.json' foreign b4
says 'no boot' 2 'which run, and which boots' run

# ---- a join that was cut off ----

sed 1d b4/samples.csv >>run/samples.csv
printf 'latency,k' >>run/checks.csv
says 'what an unfinished join left is cut off' 0 '' run b4
expect 'each boot is there once' "$(has run 1 2 3 4)"

# ---- a run of one boot, from before there were several ----

make_boot old 1
says 'a run of one boot takes another' 0 '' old b2
expect 'and has both' "$(has old 1 2)"

# ---- what mappings are ----

# add_capability DIR BOOT VALUE
add_capability() {
	printf '%s\n' 'provider,method,backing,size_bytes,boot,property,value,detail' \
		"tree,fault,memfd,65536,$2,write_pipe,$3," >"$1/capability.csv"
}
for boot in 1 2 3; do
	make_boot "c$boot" "$boot"
	add_capability "c$boot" "$boot" yes
done
# Nothing else: no sample of any boot
sed -i 1q c1/samples.csv c2/samples.csv
says 'boots that have nothing but capability' 0 '' capable c1 c2
expect 'it has the rows of both, under one header' "$(
	[ "$("$stat" boots capable | sort -n | tr '\n' ' ')" = '1 2 ' ] || "$stat" boots capable
	[ "$(cut -d , -f 5 capable/capability.csv | tr '\n' ' ')" = 'boot 1 2 ' ] || cat capable/capability.csv
	"$stat" summarize capable 2>&1
)"
add_capability c3 4 yes
says 'rows of two boots' 1 'c3/capability.csv:2: boot: expected rows of one boot' capable c3
add_capability c3 3 EFAULT
sed -i 1q c3/samples.csv
says 'a boot that saw something else joins' 0 '' capable c3
expect 'and is told apart' "$(
	"$stat" capability capable >log 2>&1 || echo "status $?"
	grep -q 'EFAULT, but in an earlier boot yes' log || cat log
	grep -q 'yes ‡' log || cat log
)"

# ---- before anything is measured ----

says '--check: the same environment' 0 '' --check=b4/env.json run
says '--check: another one' 1 'governor: performance there, powersave here' --check=other/env.json run
says '--check: no run yet' 0 '' --check=other/env.json nowhere
[ ! -e nowhere ] || not_ok '--check makes nothing' </dev/null

# ---- side by side ----

for boot in $(seq 11 30); do
	make_boot "s$boot" "$boot"
	"$stat" join side "s$boot" 2>>side.log &
done
wait
# shellcheck disable=SC2046 # a list
expect 'twenty joins at once' "$(has side $(seq 11 30); cat side.log)"
tap_end

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# What the fuzz targets begin with, cut from the checked-in runs.
#
#	tests/fuzz/seeds.sh DIR		a directory per target in DIR
# shellcheck disable=SC2016 # backquotes are data
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
out=$1
ref=$top/results/reference-tree
old=$top/results/reference-matrix/5.10
new=$top/results/reference-matrix/6.1

# put TARGET NAME: stdin is an input of that target
put() {
	mkdir -p -- "$out/$1"
	cat >"$out/$1/$2"
}

# rows FILE: stdin, a header and what was cut from FILE; without a row it is no seed. A
# pipe hides its writer's status, so a file says so.
rows() {
	awk -v file="$1" -v none="$out/none.tmp" '
		{ print }
		END { if (NR < 2) print "seeds.sh: " file ": no such rows" >none }'
}

# part NAME FILE FROM TO: these lines behind the header
part() {
	printf '@@ %s\n' "$1"
	sed -n "1p;$3,$4p" "$2" | rows "$2"
}

# whole NAME FILE
whole() {
	printf '@@ %s\n' "$1"
	cat -- "$2"
}

# short_env NAME VENUE KERNEL MORE
short_env() {
	printf '@@ %s\n{"schema":1,"complete":true,"venue":"%s","time_unit":"ns","kernel":{"release":"%s"}%s}\n' \
		"$1" "$2" "$3" "$4"
}

# of METRIC FILE: the header and the rows of one method and metric
of() {
	sed -n "1p;/,pfn,.*,$1,/p" "$2" | head -n 7 | rows "$2"
}

printf '\004\001a,b,c\n1,2.5,x\n1,2.5,y\n1,inf,\n' | put csv small
printf '\001\001c,b,a\nread,-1e9,9\nfault,0.25,18446744073709551615\npart' | put csv partial
{ printf '\002\377'; head -n 4 "$ref/summary.csv" | cut -c 1-200 | sed 's/measure/a/; s/provider/b/'; } | put csv summary

{
	short_env r/env.json native 6.1.0 ''
	printf '@@ r/capability.csv\nprovider,method,backing,size_bytes,boot,property,value,detail\n'
	for source in k2u,pfn,vmalloc k2u,pfn,contig tree,read,memfd; do
		printf '%s,65536,1,available,yes,\n' "$source"
		sed -n 's/^K2U_CAPABILITY(\([a-z0-9_]*\),.*/\1/p' "$top/include/capability.def" | head -n 12 |
			sed "s/.*/$source,65536,1,&,yes,/; 3s/yes,/unavailable,no | such/"
	done
} | put run capability

# As long as what is kept of the last row, or a little longer
for n in 500 530 600; do
	awk -v n="$n" 'BEGIN {
		printf "\004\001a,b,c\n"
		for (x = ""; length(x) < n; )
			x = x "x"
		for (i = 0; i < 3; i++)
			printf "%s,%d,%d\n", x, i, i
	}' | put csv "long-$n"
done

for file in cost breakeven parity checks boots summary; do
	{
		short_env r/env.json native 6.1.0 ''
		part "r/$file.csv" "$ref/$file.csv" 6 10
	} | put run "$file"
done
{
	short_env r/env.json native 6.1.0 ',"boots":[{"boot":1},{"boot":2}],"warnings":["one"]'
	part r/summary.csv "$ref/summary.csv" 2 6
	part r/boots.csv "$ref/boots.csv" 2 6
	part r/cost.csv "$ref/cost.csv" 2 5
} | put run several
{
	short_env r/env.json native 6.1.0 ''
	whole r/hyperfine.json "$ref/hyperfine.json" | head -c 3000
	printf '\n'
	printf '@@ r/hyperfine.json\n{"results":[{"command":"a|b","mean":0.01,"stddev":null,"user":1e-3,"system":0,"times":[0.01,0.02,0.03]}]}\n'
} | put run hyperfine
printf '@@ r/hyperfine.json\n{"results":[{"command":"a|b","mean":0.01,"stddev":null,"user":1e-3,"system":0,"times":[0.01,0.02,0.03]}]}\n' |
	put run hyperfine-small

samples=$top/tests/fuzz/samples.csv
{
	short_env r/env.json native 6.1.0 ''
	part r/samples.csv "$samples" 2 20
	part r/checks.csv "$ref/checks.csv" 2 4
} | put samples first
{
	short_env r/env.json native 6.1.0 ''
	part r/samples.csv "$samples" 32 47
} | put samples pass
{
	printf '@@ r/samples.csv.partial\n'
	sed -n '1p;21,31p' "$samples"
	printf 'latency,tree,re'
} | put samples partial

whole a/env.json "$old/env.json" >"$out/env.tmp"
whole b/env.json "$new/env.json" >>"$out/env.tmp"
put env campaign <"$out/env.tmp"
{
	short_env a/env.json native 6.1.0 ',"warnings":["a`b"],"methods":[{"provider":"tree","method":"read","backing":"memfd","available":true,"via":"x"}],"bytes":{"a":1},"tool":{"args":"run --out=x --methods=a b","git":"abc"}'
	short_env b/env.json icount 5.10.0 ',"boots":[],"cpu":{"mitigations":{"retbleed":"no"}},"kernel":{"config":{"HZ":"250"}}'
} | sed 's/,"kernel":{"release":"5.10.0"}//' | put env small

boots='"boots":[{"boot":1,"started":"2026-01-01"},{"boot":2,"started":"2026-01-02"}]'
{
	short_env a/env.json native 6.1.0 ",$boots"
	printf '@@ a/boots.csv\n'
	of mmap "$old/boots.csv"
	printf '@@ a/summary.csv\n'
	of mmap "$old/summary.csv"
	short_env b/env.json native 6.12.0 ",$boots"
	printf '@@ b/boots.csv\n'
	of mmap "$new/boots.csv"
	printf '@@ b/summary.csv\n'
	of mmap "$new/summary.csv"
} >"$out/two.tmp"
put compare two <"$out/two.tmp"
put matrix two <"$out/two.tmp"
{
	part matrix.csv "$top/results/reference-matrix/matrix.csv" 2 9
	printf '@@ gaps.csv\nkernel,reason\n5.4,no | such `kernel`\n'
} | put matrix saved

{
	short_env b/env.json native 6.1.0 ',"started":"2026-01-02","duration_s":1.5,"warnings":["x"]'
	part b/samples.csv "$samples" 2 5
	part b/checks.csv "$ref/checks.csv" 2 4
} >"$out/boot.tmp"
put join begin <"$out/boot.tmp"
{
	cat "$out/boot.tmp"
	short_env r/env.json native 6.1.0 ',"boots":[{"boot":7}],"bytes":{"samples.csv":111,"checks.csv":106},"duration_s":3,"warnings":[]'
	sed -n '1p' "$samples" | sed 's/^/@@ r\/samples.csv\n/'
	sed -n '1p' "$ref/checks.csv" | sed 's/^/@@ r\/checks.csv\n/'
} | put join second
if [ -e "$out/none.tmp" ]; then
	cat -- "$out/none.tmp" >&2
	exit 1
fi
rm -f -- "$out"/*.tmp

for text in '04K,1M' '05pfn' '164,4096' '3tree,k2u' '91.5e3' '0json'; do
	printf '%s' "$text" | put select "$text"
done
for text in 4096 4K,1M 1,2,16 pfn:1000 read,fault 17179869183G; do
	printf '%s' "$text" | put options "$text"
done
printf 'CONFIG_CC_VERSION_TEXT="gcc 12"\n# CONFIG_KASAN is not set\nCONFIG_HZ=250\nCONFIG_SMP=y\n\n# end\n' |
	put config small

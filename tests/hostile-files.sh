#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Results that are broken, huge or meant to do harm, and paths with everything
# that a shell, gnuplot or Markdown could take for its own: a message that names
# file and line, the documented exit status, nothing half written, no data run.
#
#	tests/hostile-files.sh	TAP on stdout; exit status 1 if a test failed
# shellcheck disable=SC2016 # what must not be expanded
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"
tap_name=hostile-files
# shellcheck source=tests/tap.sh
. "$top/tests/tap.sh"

stat=$top/build/k2u-stat
tmp=$(mktemp -d "${TMPDIR:-/tmp}/k2u-hostile.XXXXXX")
trap 'rm -rf -- "$tmp"' EXIT
trap 'exit 130' INT TERM
cd -- "$tmp"
chmod 755 .
# What runs data leaves this behind
CANARY=$tmp/CANARY
export CANARY

keys=measure,provider,method,backing,cache,size_bytes,threads,phase,metric,unit
env='{"schema":1,"complete":true,"venue":"native","time_unit":"ns","kernel":{"release":"6.1.0"}}'

# samples: six blocks of a copy and a mapping, their phases and more
samples() {
	awk -v keys="$keys" 'BEGIN {
		print keys ",boot,block,sample,overhead,value"
		split("setup first-touch warm teardown", phase, " ")
		for (block = 1; block <= 6; block++)
			for (m = 0; m < 2; m++) {
				method = m ? "pfn,perf-ring" : "read,memfd"
				for (p = 1; p <= 4; p++)
					printf "throughput,tree,%s,wb,4096,1,%s,pass,ns,1,%d,1,0,%d\n", method, phase[p], block, 100 * p + block
				printf "latency,tree,%s,wb,4096,1,warm,touch,ns,1,%d,1,0,%d\n", method, block, 50 + block
			}
	}'
}

# fresh: a good run in ./run, as it is measured
fresh() {
	chmod -R u+rwx run 2>/dev/null || :
	rm -rf run
	mkdir run
	cp good/samples.csv good/checks.csv good/env.json run
}

# refused NAME STATUS PATTERN COMMAND...: it ends with this status and says that
# (or anything, if it is empty); no signal, no temporary file
refused() {
	name=$1
	want=$2
	pattern=$3
	shift 3
	status=0
	timeout 60 "$@" >out 2>err </dev/null || status=$?
	{
		[ "$status" -eq "$want" ] || echo "status $status instead of $want: $*"
		[ -z "$pattern" ] || grep -qE -e "$pattern" err || echo "no '$pattern' in what $* says: $(head -c 500 err)"
		find . -name '.*.??????' ! -name .
		[ ! -e "$CANARY" ] || echo "data were run"
	} >wrong 2>&1
	expect "$name" "$(cat wrong)"
}

# unsummarised NAME PATTERN: so is run by summarize, which writes nothing then
unsummarised() {
	refused "$1" 1 "$2" "$stat" summarize run
	expect "$1: nothing written" "$(find run -name '*.csv' ! -name samples.csv ! -name checks.csv)"
}

mkdir good
samples >good/samples.csv
echo "$keys" | sed 's/threads,//; s/,unit//; s/.*/measure,provider,method,backing,cache,size_bytes,boot,phase,metric,check,expected,got,verdict,note/' >good/checks.csv
echo "$env" >good/env.json
fresh
refused "a good run is summarised" 0 '' "$stat" summarize run
mkdir sum
cp run/*.csv run/env.json sum
rm sum/samples.csv

# ---- cut short ----

# cut_everywhere FILE LINES COMMAND...: at every byte; good only where a line ends
# and there are so many, or where just the last newline is missing
cut_everywhere() {
	file=$1
	least=$2
	shift 2
	bytes=$(wc -c <"$file")
	cp "$file" whole
	n=0
	: >wrong
	while [ "$n" -lt "$bytes" ]; do
		head -c "$n" whole >"$file"
		status=0
		"$@" >out 2>err || status=$?
		ends=$(tail -c 1 "$file" | od -An -c | tr -d ' ')
		lines=$(wc -l <"$file")
		case $status,$ends in
		0,*) [ "$n" -eq $((bytes - 1)) ] && [ "$least" -eq 1 ] ||
			{ [ "$ends" = '\n' ] && [ "$lines" -ge "$least" ]; } || echo "byte $n: taken for whole" ;;
		1,*) grep -q "^k2u-stat: .*${file##*/}:*[0-9:]*: " err || echo "byte $n: no file named: $(cat err)" ;;
		*) echo "byte $n: status $status: $(cat err)" ;;
		esac
		n=$((n + 1))
	done >>wrong
	cp whole "$file"
	expect "$file cut at each of $bytes bytes" "$(head -n 5 wrong)"
}

fresh
head -n 3 good/samples.csv >run/samples.csv
cut_everywhere run/samples.csv 2 "$stat" summarize run
cut_everywhere run/env.json 1 "$stat" env run
cp -R sum cut
head -n 3 sum/summary.csv >cut/summary.csv
cut_everywhere cut/summary.csv 2 "$stat" table cut

# ---- text ----

# text NAME PATTERN SED: samples.csv changed so
text() {
	fresh
	sed "$3" good/samples.csv >run/samples.csv
	unsummarised "$1" "$2"
}

text "CRLF" 'samples.csv:1: a carriage return' 's/$/\r/'
text "CRLF in one row" 'samples.csv:5: value: expected a finite number' '5s/$/\r/'
text "a byte order mark" 'samples.csv:1: a byte order mark' '1s/^/\xef\xbb\xbf/'
text "quotes" 'samples.csv:2: quotes' '2s/read/"read"/'
text "a column less" "samples.csv:1: no column 'unit'" '1s/,unit//'
text "a column twice" "samples.csv:1: two columns 'phase'" '1s/unit/phase/'
text "a field less" 'samples.csv:7: expected 15 fields.* got 14' '7s/,[^,]*$//'
text "a field more" 'samples.csv:7: expected 15 fields.* got 16' '7s/$/,1/'
text "an empty line" 'samples.csv:4: expected 15 fields' '4s/.*//'
text "an empty name" 'samples.csv:2: method: expected a name' '2s/,read,/,,/'
for bad in nan NaN inf -inf 1e999 0x10 '' ' 5' 5ns 1,5 --5; do
	text "the value '$bad'" 'samples.csv:3: (value: expected a finite number|expected 15 fields)' "3s/[^,]*\$/$bad/"
done
for bad in -1 99999999999999999999 1e3 0x10 '' 1.0; do
	text "the size '$bad'" 'samples.csv:2: size_bytes: expected (an integer|a name)' "2,\$s/,4096,/,$bad,/"
	text "the boot '$bad'" 'samples.csv:9: boot: expected an integer' "9s/,ns,1,/,ns,$bad,/"
done
fresh
sed '2s/[^,]*$/-0/' good/samples.csv >run/samples.csv
refused "the value -0 is a number" 0 '' "$stat" summarize run
fresh
printf 'measure\0,x\n' >run/samples.csv
unsummarised "a NUL byte" 'samples.csv:1: NUL byte'
head -c 100000 /dev/urandom >run/samples.csv
unsummarised "noise" 'samples.csv:1: '
{ cat good/samples.csv && head -c 10000000 /dev/zero | tr '\0' x; } >run/samples.csv
unsummarised "a line of 10 MB" 'samples.csv:62: line too long'
awk 'BEGIN { for (i = 0; i < 100000; i++) printf "c%d,", i; print "x" }' >run/samples.csv
unsummarised "100,000 columns" 'samples.csv:1: (line too long|more than 64 columns)'
awk 'BEGIN { for (i = 0; i < 2000; i++) printf "c%d,", i; print "x" }' >run/samples.csv
unsummarised "2,000 columns" 'samples.csv:1: more than 64 columns'
: >run/samples.csv
unsummarised "an empty file" 'samples.csv:1: empty'
head -n 1 good/samples.csv >run/samples.csv
unsummarised "a header alone" 'samples.csv: no samples'
printf '[] %s\n' "$keys" >run/checks.csv
cp good/samples.csv run
unsummarised "another file for checks.csv" "checks.csv:1: no column"

# A summary of another run
cp -R sum mixed
sed -i 's/,pfn,/,vmalloc,/' mixed/summary.csv
refused "the summary of another run" 2 'summary.csv: lacks a cell' "$stat" compare mixed sum
cp -R sum other
echo "$env" | sed 's/"ns"/"insn"/' >other/env.json
refused "another unit" 2 'unit of time: ns there, insn here' "$stat" compare sum other
awk -F , -v OFS=, 'NR == 1 { print; next } { for (i = 1; i <= 3000; i++) { $6 = i; print } exit }' sum/summary.csv >other/summary.csv
refused "a table of 3,000 sizes" 0 '' "$stat" table other

# ---- env.json ----

# env_is NAME PATTERN: ./new is env.json
env_is() {
	fresh
	mv new run/env.json
	unsummarised "env.json $1" "$2"
}

printf '%100000s' '' | tr ' ' '[' >new
env_is "nested 100,000 deep" 'env.json:1:[0-9]*: maximum parsing depth'
{ printf '{"schema":1,"x":"' && head -c 34000000 /dev/zero | tr '\0' x && printf '"}'; } >new
env_is "of 34 MB" 'env.json: cannot be read: too large'
echo '{"schema":1,"venue":"native","venue":"kvm"}' >new
env_is "with a key twice" 'env.json:1:.*duplicate'
echo '[1]' >new
env_is "that is a list" 'env.json: expected one JSON object'
echo '{"schema":"1"}' >new
env_is "with a schema of text" 'env.json: schema: expected 1'
echo '{"schema":1,"venue":5}' >new
env_is "with a venue that is a number" 'env.json: venue: expected a name.*no text'
echo '{"schema":1,"kernel":{"release":"6.1`touch $CANARY`"}}' >new
env_is "with a command for a kernel" 'kernel.release: expected a name'
echo '{"schema":1,"kernel":{"release":"../../etc"}}' >new
env_is "with a path for a kernel" 'kernel.release: expected a name'
printf '{"schema":1,"x":"\377"}' >new
env_is "not in UTF-8" 'env.json:1:.*unable to decode'
printf '{"schema":1,"x":"\\u0000"}' >new
env_is "with a NUL" 'env.json:1:'
printf '{"schema":1}\0' >new
env_is "with a NUL behind it" 'env.json:1:'
echo '{"schema":1,"kernel":[],"boots":7,"bytes":"x","warnings":{},"methods":3}' >run/env.json
rm -f run/summary.csv
for what in '' --caption --warnings --methods; do
	# shellcheck disable=SC2086
	refused "env.json of wrong types: env $what" 0 '' "$stat" env $what run
done
refused "env.json of wrong types: boots" 0 '' "$stat" boots run
refused "env.json of wrong types: join" 1 'env.json: boots: expected an array' "$stat" join run good
echo '{"schema":1,"complete":true,"venue":"native","time_unit":"ns","kernel":{"release":"6.1.0"},"boots":[{"boot":5}]}' >run/env.json
refused "join to a run of unknown length" 1 'env.json: bytes: expected an object' "$stat" join run good
expect "its rows are there still" "$(cmp run/samples.csv good/samples.csv 2>&1)"
fresh
rm run/env.json
refused "no env.json: said" 0 'no env.json' "$stat" summarize run

# ---- what is no file ----

# instead KIND PATH: something else at this place
instead() {
	rm -rf -- "$2"
	case $1 in
	directory) mkdir "$2" ;;
	FIFO) mkfifo "$2" ;;
	loop) ln -s "${2##*/}" "$2" ;;
	dangling) ln -s nowhere "$2" ;;
	device) ln -s /dev/zero "$2" ;;
	esac
}

for kind in directory FIFO loop device; do
	for file in samples.csv checks.csv env.json; do
		fresh
		instead "$kind" "run/$file"
		refused "a $kind as $file" 1 "$file: (cannot be read: )?(not a regular file|Too many levels)|neither samples.csv" "$stat" summarize run
	done
	cp -R sum kind
	instead "$kind" kind/summary.csv
	refused "a $kind as summary.csv" 1 'summary.csv: ' "$stat" table kind
	refused "a $kind as summary.csv, listed" 0 '' "$stat" list kind
	instead "$kind" kind/hyperfine.json
	refused "a $kind as hyperfine.json" 1 'hyperfine.json: ' "$stat" hyperfine kind
	rm -rf kind
	fresh
	instead "$kind" run/checks.csv
	refused "join a boot with a $kind as checks.csv" 1 'run/checks.csv: ' "$stat" join joined run
	rm -rf joined
done
fresh
instead dangling run/samples.csv
refused "a file that went away" 1 'neither samples.csv' "$stat" summarize run
refused "a run that is a file" 1 'no such run directory' "$stat" table run/env.json
refused "a run that is not there" 1 'no such run directory' "$stat" table nowhere
if is_root; then
	as_nobody="setpriv --reuid=65534 --regid=65534 --clear-groups"
else
	as_nobody=
fi
fresh
chmod 755 run
chmod 000 run/samples.csv
# shellcheck disable=SC2086
{
	refused "a file that may not be read" 1 'samples.csv: Permission denied' $as_nobody "$stat" summarize run
	chmod 644 run/samples.csv
	chmod 555 run
	refused "a run that may not be written" 1 'cost.csv|breakeven.csv: .*nothing was replaced' $as_nobody "$stat" summarize run
}
chmod 755 run

# ---- output ----

fresh
"$stat" summarize run
cp run/summary.csv before
refused "a disk that is full" 1 'File too large; nothing was replaced' sh -c 'ulimit -f 1; exec "$0" summarize run' "$stat"
expect "a disk that is full: what was there stays" "$(cmp run/summary.csv before 2>&1)"
if [ -c /dev/full ]; then
	for what in 'table run' 'series run' 'choose --provider=tree run' 'checks run' 'env run' 'list run' 'matrix run'; do
		# shellcheck disable=SC2086
		refused "$what to a full device" 1 'standard output: No space' sh -c 'exec "$0" "$@" >/dev/full' "$stat" $what
	done
fi

# ---- names and text that mean something elsewhere ----

evil='$(touch "$CANARY")`touch $CANARY`'"'"'"; touch $CANARY; <script>|x|*_[a](b)%s%n'
for column in 1 2 3 4 5 8 9 10; do
	fresh
	awk -F , -v OFS=, -v c="$column" -v with='`touch $CANARY`' 'NR == 3 { $c = with } { print }' good/samples.csv >run/samples.csv
	unsummarised "a command in column $column of samples.csv" 'samples.csv:3: [a-z_]*: expected a name'
	rm -rf cells
	cp -R sum cells
	awk -F , -v OFS=, -v c="$column" -v with='`touch $CANARY`' 'NR == 3 { $c = with } { print }' sum/summary.csv >cells/summary.csv
	refused "a command in column $column of summary.csv" 1 'summary.csv:3: [a-z_]*: expected a name' "$stat" table cells
done
mkdir campaign
{
	echo "$keys,kernel,release,boots,median,ci_low,ci_high,previous,ratio,ratio_low,ratio_high,p_holm,verdict,first_ratio,flags"
	echo 'latency,k2u,pfn,x);touch${IFS}$CANARY,wb,4096,1,all,mmap,ns,6.1,6.1.0,1,5,,,,,,,,,1,'
} >campaign/matrix.csv
refused "a command for a backing in matrix.csv" 1 'matrix.csv:2: backing: expected a name' "$stat" matrix --saved campaign
sed -i 's/x);touch[^,]*,/contig,/; s/,6.1.0,/,$(touch $CANARY),/' campaign/matrix.csv
refused "a command for a kernel in matrix.csv" 1 'matrix.csv:2: release: expected a name' "$stat" matrix --saved campaign
sed -i 's/,$(touch $CANARY),/,6.1.0,/; s/,$/,`x`/' campaign/matrix.csv
refused "a command for a flag in matrix.csv" 1 'matrix.csv:2: flags: expected flags' "$stat" matrix --saved campaign

# The scripts, in a checkout of their own whose path is no better
copy="$tmp/a copy \$(touch \$CANARY) 'x'"
mkdir -p "$copy/build" "$tmp/a tmp" "$tmp/a home"
cp -R "$top/scripts" "$top/plots" "$top/docs" "$top/Makefile" "$top/include" "$copy"
cp "$stat" "$copy/build"
run="$copy/results/a b \$(touch \$CANARY)\`touch \$CANARY\` '\"<i>%s"
mkdir -p "$run"
cp good/samples.csv good/checks.csv "$run"
ln -s "$run" "$copy/-x"
awk -v evil="$evil" 'BEGIN {
	gsub(/["\\]/, "\\\\&", evil)
	printf "{\"schema\":1,\"complete\":true,\"venue\":\"native\",\"time_unit\":\"ns\",\"kernel\":{\"release\":\"6.1.0\"},"
	printf "\"run_id\":\"%s\",\"virtualization\":\"%s\",\"started\":\"%s\",\"error\":\"%s\",\"seed\":\"%s\",", evil, evil, evil, evil, evil
	printf "\"cpu\":{\"model\":\"%s\"},\"tool\":{\"args\":\"%s\",\"version\":\"1\",\"git\":\"abc\"},\"warnings\":[\"%s\"],", evil, evil, evil
	printf "\"methods\":[{\"provider\":\"%s\",\"method\":\"x\",\"backing\":\"y\",\"via\":\"%s\"}],\"%s\":\"%s\"}\n", evil, evil, evil, evil
}' >"$run/env.json"
printf '{"results":[{"command":"%s","times":[1,2]}]}\n' '<script>`touch $CANARY`|' >"$run/hyperfine.json"
echo 'throughput,tree,read,memfd,wb,4096,1,warm,pass,contents,`touch $CANARY`,<script>|,fail,$(touch $CANARY)' >>"$run/checks.csv"
refused "a report of it" 0 'REPORT.md: written' env "TMPDIR=$tmp/a tmp" "HOME=$tmp/a home" \
	"$copy/scripts/report.sh" "$run"
# Outside of code, markup is escaped; in code, nothing is
sed 's/`[^`]*`//g' "$copy/REPORT.md" | grep -nE '(^|[^\\])<(script|i>)|(^|[^\\])`touch|\|x\|' >wrong || :
expect "no text of it is markup in REPORT.md" "$(head -n 3 wrong)"
expect "nothing of it was run" "$(ls "$CANARY" 2>/dev/null)"
expect "its charts are drawn, and are XML" "$(for chart in "$run"/plots/*.svg; do
	perl -0ne 'exit(m{^<\?xml.*</svg>\s*$}s && !/<script>|<i>/ ? 0 : 1)' "$chart" || echo "$chart"
done)"
expect "TMPDIR is empty again" "$(ls -A "$tmp/a tmp")"
refused "a report of a run with a leading dash" 0 'REPORT.md: written' "$copy/scripts/report.sh" -x
refused "a report of a run with a line break" 1 'a line break or a tab' "$copy/scripts/report.sh" "$run
x"
refused "a report of no run" 1 'nowhere: no such run' "$copy/scripts/report.sh" nowhere
refused "OUT with a line break" 1 'a line break or a tab' env "OUT=a
b" "$copy/scripts/bench.sh"
refused "OUT with a tab, of a matrix" 1 'a line break or a tab' env "OUT=a	b" "$copy/scripts/matrix.sh"
refused "HOME with a space" 0 '' env -u XDG_CACHE_HOME "HOME=$tmp/a home" "$copy/scripts/kernel.sh" --size
rm -rf "sum a" -- "-s"
cp -R sum "sum a"
cp -R sum ./-s
refused "compare of a run with a space" 0 '' "$stat" compare "sum a" sum
refused "compare of a run with a leading dash" 0 '' "$stat" compare -- -s ./-s

# gnuplot, were a name to get through
cat >fake <<'END'
#!/bin/sh
case "$*" in
*--caption*) echo '`touch $CANARY`' ;;
*--get=venue*) echo native ;;
*--print=kernels*) echo '6.1 $(touch${IFS}$CANARY)' ;;
*--print=titles*) echo '"pfn (x;touch${IFS}$CANARY;)" "`touch${IFS}$CANARY`" "@a %s"' ;;
*--print=sizes*) echo '4096 65536' ;;
*--print=*) echo 2 ;;
*--format=dat*) printf '"pfn"\n1 1 1 1 1 1 1 0 0\n2 2 2 2 1 1 1 0 0\n\n\n' ;;
series*) printf '"%s"\n1 1 1 1\n\n\n' 1 2 3 ;;
*) echo 1 ;;
esac
END
chmod +x fake
for chart in matrix_ratio matrix_scale; do
	status=0
	(cd -- "$copy" && K2U_STAT=$tmp/fake K2U_RUN=x K2U_MATRIX=x K2U_PROVIDER=k2u K2U_METHODS=read K2U_TERM=svg K2U_OUT=$tmp/chart.svg \
		timeout 60 gnuplot plots/fig_$chart.gp) >out 2>err || status=$?
	expect "names in the commands of chart $chart are quoted" "$([ "$status" -eq 0 ] || cat err; ls "$CANARY" 2>/dev/null)"
done

tap_end

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The programs under AddressSanitizer, UndefinedBehaviorSanitizer and
# LeakSanitizer (make SANITIZE=1): unit tests, a short measurement, and every
# subcommand of k2u-stat over it and over the checked-in runs.
#
#	tests/sanitize.sh	TAP on stdout; exit status 1 if a test failed
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"
tap_name=sanitize
# shellcheck source=tests/tap.sh
. "$top/tests/tap.sh"
cd -- "$top"

asan=$top/build/asan
tmp=$(mktemp -d "${TMPDIR:-/tmp}/k2u-sanitize.XXXXXX")
trap 'rm -rf -- "$tmp"' EXIT
trap 'exit 130' INT TERM
# A status that none of the programs has
REPORTED=99
ASAN_OPTIONS=exitcode=$REPORTED:detect_leaks=1
UBSAN_OPTIONS=print_stacktrace=1
export ASAN_OPTIONS UBSAN_OPTIONS

make --no-print-directory SANITIZE=1 programs unit-tests >"$tmp/make" 2>&1 ||
	die "make SANITIZE=1 failed: $(tail -n 3 "$tmp/make")"

# ---- that reports are seen at all ----

# seen NAME STATEMENT: a program that does this is stopped with a report
seen() {
	printf '#include <stdlib.h>\nint main(int argc, char **argv)\n{\n\t(void)argv;\n\t%s\n}\n' "$2" >"$tmp/wrong.c"
	gcc -g -fsanitize=address,undefined -fno-sanitize-recover=all -o "$tmp/wrong" "$tmp/wrong.c" 2>/dev/null
	status=0
	"$tmp/wrong" >/dev/null 2>"$tmp/report" || status=$?
	# UBSan aborts, or ends by a status of its own
	[ "$status" -ne 0 ] && grep -qE 'ERROR: (Address|Leak)Sanitizer|runtime error' "$tmp/report"
}

# shellcheck disable=SC2016
if seen overflow 'char *p = malloc(argc); return p[argc];' &&
	seen undefined 'return argc << (argc + 31);'; then
	ok "an overflow and an undefined shift are reported"
else
	not_ok "an overflow and an undefined shift are reported" <"$tmp/report"
fi
# LeakSanitizer stops the process by ptrace, which a container may forbid
if seen leak 'volatile char *p = malloc(argc); p = NULL; return p != NULL;'; then
	ok "a leak is reported"
else
	skip "leaks" "LeakSanitizer does not work here (ptrace): $(grep -v '^$' "$tmp/report" | tail -n 1)"
	ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0
fi

# ---- the programs ----

# clean NAME STATUS COMMAND...: no report, and this status
clean() {
	name=$1
	want=$2
	shift 2
	status=0
	timeout 120 "$@" >"$tmp/out" 2>"$tmp/err" || status=$?
	if [ "$status" -eq "$want" ] && ! grep -qE 'Sanitizer|runtime error' "$tmp/err"; then
		ok "$name"
	else
		{
			echo "status $status instead of $want: $*"
			# The unit tests have stderr in a file of their own
			[ -s "$tmp/err" ] || echo "nothing on stderr: gdb -batch -ex 'b _exit' -ex run -ex bt $1"
			tail -n 30 "$tmp/err"
		} >"$tmp/why"
		not_ok "$name" <"$tmp/why"
	fi
}

for test in "$asan"/tests/test_*; do
	case $test in *.d | *.o) continue ;; esac
	clean "${test##*/}" 0 "$test"
done

run=$tmp/run
clean "k2u-bench list" 0 "$asan/k2u-bench" list
clean "k2u-bench env" 0 "$asan/k2u-bench" env --providers=tree
# Sanitizers shift what a loop costs: of figures that do not settle it is not told
clean "k2u-bench run" 0 "$asan/k2u-bench" run --providers=tree --quick --blocks=6 --sizes=4K,64K "--out=$run"
clean "k2u-get" 0 "$asan/k2u-get" tree/fault/memfd 64K

stat=$asan/k2u-stat
cp -R results/reference "$tmp/reference"
cp -R results/reference-tree "$tmp/reference-tree"
cp -R results/reference-matrix "$tmp/reference-matrix"
clean "summarize" 0 "$stat" summarize "$run"
for dir in "$run" "$tmp/reference" "$tmp/reference-tree"; do
	of=${dir##*/}
	for what in table 'table --format=md --cols=percentile --measure=latency' \
		'table --measure=cost --cols=metric' 'table --measure=breakeven --format=dat' \
		choose 'choose --provider=tree' checks 'checks --brief' env 'env --caption --markdown' 'env --methods' \
		'env --warnings' 'env --get=kernel.release' boots series \
		'series --print=titles' 'series --x=percentile' list 'list --format=json'; do
		# shellcheck disable=SC2086 # a command and its options
		clean "$what of $of" 0 "$stat" $what "$dir"
	done
done
clean "hyperfine" 0 "$stat" hyperfine "$tmp/reference"
clean "env --against" 0 "$stat" env "--against=$tmp/reference" "$tmp/reference-tree"
for what in '' --saved '--saved --format=md' '--saved --format=dat' '--saved --format=csv' \
	'--saved --steps --format=md' '--saved --print=titles' '--saved --print=reasons'; do
	# shellcheck disable=SC2086
	clean "matrix${what:+ }$what" 0 "$stat" matrix $what "$tmp/reference-matrix"
done
for format in text json csv; do
	clean "compare --format=$format" 1 "$stat" compare --all "--format=$format" \
		"$tmp/reference-matrix/5.10" "$tmp/reference-matrix/6.1"
done
clean "join: a boot that is there already" 1 "$stat" join "$run" "$run"
clean "join" 0 "$stat" join "$tmp/joined" "$run"
clean "join --check" 0 "$stat" join "--check=$run/env.json" "$tmp/joined"

tap_end

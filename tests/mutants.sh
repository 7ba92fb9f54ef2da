#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Seeded bugs: every patch of tests/mutants makes the module wrong in a way that
# drivers of this kind have been wrong, and a test must say so.
#
#	tests/mutants.sh [NAME...]	all, or these; TAP on stdout
#	tests/mutants.sh --table	the table of tests/mutants/README.md
#
# A patch is applied to a copy of the checkout, the module built and the tests
# that the patch names (Run:) run in a guest of the kernel that it names
# (Kernel:, Append:). One of its Caught-by: lines must come true:
#
#	PROGRAM: TEST	this test fails
#	dmesg: REGEX	the kernel says so
#
# It failed otherwise, or nothing did: the mutant survived. Before that the
# module as it is must pass the same tests; and a mutant that changes nothing
# must be found to survive.
# shellcheck disable=SC2016,SC2317 # backquotes of a table; a function that a trap calls
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"
tap_name=mutants
# shellcheck source=tests/tap.sh
. "$top/tests/tap.sh"

LANES=2
LIMIT_S=800	# of a guest: the module as it is runs all of their tests under KASAN
# On a machine under load the kernel does not find its emulated timer in time, and
# RCU has to wait. An oops may leave mmap_lock held: then the guest would hang.
WORDS='no_timer_check rcupdate.rcu_cpu_stall_suppress=1 oops=panic ignore_loglevel'

# header KEY FILE: the values of a patch's header lines
header() {
	sed -n "/^---\$/q; s/^$1: //p" "$2"
}

table() {
	echo '| mutant | what is wrong | known from | caught by | kernel |'
	echo '|---|---|---|---|---|'
	for patch in "$top"/tests/mutants/*.patch; do
		name=${patch##*/}
		printf '| %s | %s | %s | %s | %s |\n' "${name%.patch}" "$(header What "$patch")" \
			"$(header Class "$patch")" \
			"$(header Caught-by "$patch" | sed 's/|/\\|/g; s/.*/`&`/' | paste -sd , - | sed 's/,`/, `/g')" \
			"$(header Kernel "$patch")"
	done
}
if [ "${1-}" = --table ]; then
	table
	exit
fi

tmp=$(mktemp -d "${TMPDIR:-/tmp}/k2u-mutants.XXXXXX")
lanes=''
cleanup() {
	trap '' INT TERM
	for lane in $lanes; do
		kill -TERM "$lane" 2>/dev/null || :
	done
	wait
	rm -rf -- "$tmp"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# A mutant is a line or two in one file of many
export K2U_INCREMENTAL=1
# copy.sh goes to the copy
# shellcheck source=tests/copy.sh
(. "$top/tests/copy.sh")
mkdir "$tmp/results"
lane=1
while [ "$lane" -lt "$LANES" ]; do
	cp -r -- "$tmp/a copy" "$tmp/copy $lane"
	lane=$((lane + 1))
done
mv -- "$tmp/a copy" "$tmp/copy 0"

# The patches, and one that changes nothing
mkdir "$tmp/patches"
[ $# -gt 0 ] || set -- "$top"/tests/mutants/*.patch
for name; do
	name=${name##*/}
	name=${name%.patch}
	[ -e "$top/tests/mutants/$name.patch" ] || die "there is no tests/mutants/$name.patch"
	cp -- "$top/tests/mutants/$name.patch" "$tmp/patches/$name"
done
sed 's|misc device|&|; 2s|^|/* the same */ |' "$top/kmod/method_null.c" >"$tmp/same.c"
{
	printf 'What: nothing\nClass: none\nKernel: 6.12\nRun: guest_inspect\nCaught-by: guest_inspect: inspect\n---\n'
	diff -u --label a/kmod/method_null.c --label b/kmod/method_null.c "$top/kmod/method_null.c" "$tmp/same.c" || :
} >"$tmp/patches/=nothing"

# guest DIR NAME KERNEL APPEND PROGRAM...: its output in $tmp/results/NAME.*;
# sets $status, which is 0 where all of it passed.
guest() {
	dir=$1 name=$2 kernel=$3 append=$4
	shift 4
	# A guest that ends before it has loaded the module is tried again: that is
	# the emulator's doing
	for _ in 1 2 3; do
		status=0
		"$dir/scripts/vm.sh" "--kernel=$kernel" --job=tests "--out=$tmp/results/$name.out" "--timeout=$LIMIT_S" \
			--append="$WORDS${append:+ $append}" -- "$@" \
			>"$tmp/results/$name.log" 2>&1 </dev/null || status=$?
		[ ! -e "$tmp/results/$name.out/tap" ] || break
		[ "$status" -ne "$K2U_UNAVAILABLE" ] || break
		! grep -q 'does not build' "$tmp/results/$name.log" || break
		! grep -q 'k2u: loading out-of-tree module' "$tmp/results/$name.out/console" 2>/dev/null || break
	done
	cat "$tmp/results/$name.out/console" >>"$tmp/results/$name.log" 2>/dev/null || :
	if [ -e "$tmp/results/$name.out/tap" ]; then
		cat "$tmp/results/$name.out/tap" >>"$tmp/results/$name.log"
		[ "$status" -ne 0 ] || ! grep -qE '	status [^0]|	status 0.' "$tmp/results/$name.log" || status=1
	fi
	echo "$status" >"$tmp/results/$name.status"
}

# mutant DIR NAME: its verdict in $tmp/results/NAME, "caught by ..." or why not
mutant() {
	patch=$tmp/patches/$2
	log=$tmp/results/$2.log
	rm -rf -- "$1/kmod"
	cp -r -- "$top/kmod" "$1/kmod"
	if ! patch -p1 -s -f -d "$1" <"$patch" >"$log" 2>&1; then
		echo "the patch does not apply" >"$tmp/results/$2"
		return
	fi
	header Run "$patch" | tr ' ' '\n' >"$tmp/results/$2.run"
	set -- "$1" "$2" "$(header Kernel "$patch")" "$(header Append "$patch")"
	while read -r program; do
		set -- "$@" "$program"
	done <"$tmp/results/$2.run"
	guest "$@"
	header Caught-by "$patch" >"$tmp/results/$2.by"
	if [ "$status" -eq "$K2U_UNAVAILABLE" ]; then
		sed -n 's/^unavailable: /unavailable: /p' "$log"
	elif [ "$status" -eq 0 ]; then
		echo "it survived: all tests passed"
	elif grep -q 'k2u.ko does not build' "$log"; then
		echo "it does not build"
	else
		while read -r by; do
			case $by in
			dmesg:*) ! grep -qE -- "${by#dmesg: }" "$log" || echo "caught by $by" ;;
			*) ! grep -qE "^${by%%: *}	not ok [0-9]+ - ${by#*: }\$" "$log" || echo "caught by $by" ;;
			esac
		done <"$tmp/results/$2.by" | sed -n 1p | grep . ||
			echo "it survived: something failed, but none of: $(paste -sd ';' "$tmp/results/$2.by")"
	fi >"$tmp/results/$2"
}

# Fewer guests than patches: one for each kernel and what is appended to its command line
for patch in "$tmp"/patches/*; do
	printf '%s\t%s\n' "$(header Kernel "$patch")" "$(header Append "$patch")"
done | sort -u >"$tmp/baselines"

lane=0
while [ "$lane" -lt "$LANES" ]; do
	(
		n=0
		while IFS='	' read -r kernel append; do
			n=$((n + 1))
			[ $((n % LANES)) -eq "$lane" ] || continue
			set --
			for patch in "$tmp"/patches/*; do
				[ "$(header Kernel "$patch")" = "$kernel" ] || continue
				[ "$(header Append "$patch")" = "$append" ] || continue
				for program in $(header Run "$patch"); do
					case " $* " in *" $program "*) ;; *) set -- "$@" "$program" ;; esac
				done
			done
			guest "$tmp/copy $lane" "=baseline $n" "$kernel" "$append" "$@"
		done <"$tmp/baselines"
		n=0
		for patch in "$tmp"/patches/*; do
			n=$((n + 1))
			[ $((n % LANES)) -ne "$lane" ] || mutant "$tmp/copy $lane" "${patch##*/}"
		done
	) &
	lanes="$lanes $!"
	lane=$((lane + 1))
done
# shellcheck disable=SC2086 # process ids
wait $lanes
lanes=''

n=0
while IFS='	' read -r kernel append; do
	n=$((n + 1))
	name="the module as it is passes on $kernel${append:+ ($append)}"
	case $(cat "$tmp/results/=baseline $n.status" 2>/dev/null) in
	0) ok "$name" ;;
	"$K2U_UNAVAILABLE") skip "$name" "$(sed -n 's/^unavailable: //p' "$tmp/results/=baseline $n.log")" ;;
	*) grep -vE '	(ok|# ok) |	1\.\.' "$tmp/results/=baseline $n.log" | tail -n 40 | not_ok "$name" ;;
	esac
done <"$tmp/baselines"
for patch in "$tmp"/patches/*; do
	name=${patch##*/}
	verdict=$(cat "$tmp/results/$name" 2>/dev/null || echo "no verdict")
	case $name.$verdict in
	=nothing.'it survived: all tests passed') ok "a mutant that changes nothing is found to survive" ;;
	=*) not_ok "a mutant that changes nothing is found to survive" <"$tmp/results/$name.log" ;;
	*.'caught by '*) ok "$name is $verdict" ;;
	*.unavailable:*) skip "$name is caught" "${verdict#unavailable: }" ;;
	*)
		{
			printf '%s: %s\nrepeat: tests/mutants.sh %s\n' "$name" "$verdict" "$name"
			grep -E '	not ok |	status |dmesg|^[^	]*$' "$tmp/results/$name.log" | tail -n 30
		} | not_ok "$name is caught"
		;;
	esac
done
expect "tests/mutants/README.md has their table, as tests/mutants.sh --table prints it" "$(
	sed -n '/^| mutant /,/^$/p' "$top/tests/mutants/README.md" | grep . >"$tmp/readme" || :
	table | diff - "$tmp/readme" || :
)"
tap_end

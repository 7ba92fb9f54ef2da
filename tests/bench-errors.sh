#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# What make bench does when something is wrong: a message that names it, an exit
# status that is not 0, the samples kept, nothing left behind.
#
#	tests/bench-errors.sh	TAP on stdout; exit status 1 if a test failed
# shellcheck disable=SC2317 # functions that until_true calls
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"
tap_name=bench-errors
# shellcheck source=tests/tap.sh
. "$top/tests/tap.sh"

KERNEL=6.1
tmp=$(mktemp -d "${TMPDIR:-/tmp}/k2u-errors.XXXXXX")
trap 'rm -rf -- "$tmp"' EXIT
trap 'exit 130' INT TERM
# shellcheck source=tests/copy.sh
. "$top/tests/copy.sh"

# verdict NAME PATTERN: of the run whose $status and $tmp/log are there
verdict() {
	{
		[ "$status" -ne 0 ] || echo "exit status 0"
		grep -qE -e "$2" "$tmp/log" || {
			echo "no message like: $2; but:"
			tail -n 5 "$tmp/log"
		}
		left_behind
	} >"$tmp/wrong" 2>&1
	expect "$1" "$(cat "$tmp/wrong")"
}

# fails NAME PATTERN VARIABLE=VALUE...: make bench with these settings
fails() {
	name=$1
	pattern=$2
	shift 2
	status=0
	TMPDIR="$tmp/tmp" timeout --foreground 120 make bench "$@" >"$tmp/log" 2>&1 </dev/null || status=$?
	verdict "$name" "$pattern"
}

# as_nobody COMMAND...
as_nobody() {
	if is_root; then
		setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
	else
		"$@"
	fi
}

# ---- settings ----

fails 'an unknown method' "METHODS: no 'nosuch'; there are: .*read" METHODS=read,nosuch "OUT=$tmp/out/run"
fails 'an unknown measure' "MEASURES: no 'nosuch'; there are: .*latency" MEASURES=nosuch "OUT=$tmp/out/run"
fails 'a bad number of threads' "THREADS: '0' is no number" THREADS=1,0 "OUT=$tmp/out/run"
fails 'a bad size' "SIZES: '4Q' is no size" SIZES=4K,4Q "OUT=$tmp/out/run"
fails 'an unknown venue' 'VENUE=moon: use auto, native or vm' VENUE=moon "OUT=$tmp/out/run"
fails 'an unknown kernel' "KERNEL: no '9.9'; there are: .*6.12" KERNEL=9.9 "OUT=$tmp/out/run"
fails 'a bad seed' 'SEED=x: use a decimal number' SEED=x "OUT=$tmp/out/run"
fails 'processors that are no number' 'CPUS=x: use a number of processors' CPUS=x VENUE=vm "OUT=$tmp/out/run"
fails 'processors of this machine' 'CPUS=4 is of a guest: use it with VENUE=vm' CPUS=4 "OUT=$tmp/out/run"
expect 'no directory is left by these' "$(ls -A "$tmp/out")"

# refuses NAME PATTERN ARGUMENT...: k2u-bench itself with a bad argument
refuses() {
	name=$1
	pattern=$2
	shift 2
	status=0
	timeout --foreground 60 build/k2u-bench "$@" >"$tmp/log" 2>&1 </dev/null || status=$?
	verdict "$name" "$pattern"
}
refuses 'a knob without its turns' '--test-spin=read: not METHOD:TURNS' run --test-spin=read "--out=$tmp/out/run"
refuses 'a knob out of bounds' 'TURNS from 1 to 1000000' run --test-spin=read:0 "--out=$tmp/out/run"
refuses 'a knob of no method' '--test-spin: "nosuch" is none of: .*read' run --test-spin=nosuch:1 "--out=$tmp/out/run"
refuses 'a configuration that is not there' '--config: /nowhere/config: No such file' \
	run --config=/nowhere/config "--out=$tmp/out/run"
refuses 'a configuration that is none' '--config: README.md: line [0-9]+: not a line of a kernel' \
	run --config=README.md "--out=$tmp/out/run"
refuses 'part of a configuration' 'no CONFIG_CC_VERSION_TEXT' env --config=/dev/null
status=0
build/k2u-bench env "--out=$tmp/out/run" >/dev/full 2>"$tmp/log" || status=$?
verdict 'an environment that cannot be written' 'stdout: No space left'
expect 'no directory is left by these either' "$(ls -A "$tmp/out")"

# ---- OUT ----

: >"$tmp/out/file"
fails 'a file in the way of OUT' 'cannot create .*/out/file/run: Not a directory' "OUT=$tmp/out/file/run"
fails 'OUT exists' 'exists already' "OUT=$tmp/out"
mkdir "$tmp/out/closed"
chmod 555 "$tmp/out/closed"
status=0
OUT="$tmp/out/closed/run" TMPDIR="$tmp/tmp" as_nobody scripts/bench.sh >"$tmp/log" 2>&1 </dev/null || status=$?
verdict 'OUT may not be written' 'cannot create .*/closed/run: Permission denied'

# ---- tools, headers ----

# A PATH without gnuplot and without a package tool
mkdir "$tmp/bin"
printf '%s\n' "$PATH" | tr : '\n' | while read -r dir; do
	for file in "$dir"/*; do
		case ${file##*/} in gnuplot* | apt-get | '*') continue ;; esac
		[ -e "$tmp/bin/${file##*/}" ] || ln -s "$file" "$tmp/bin/${file##*/}"
	done
done
status=0
OUT="$tmp/out/run" TMPDIR="$tmp/tmp" PATH="$tmp/bin" scripts/bench.sh >"$tmp/log" 2>&1 </dev/null || status=$?
verdict 'gnuplot is missing' 'missing: gnuplot-nox'
if have apt-get; then
	ln -s "$(command -v apt-get)" "$tmp/bin/apt-get"
	status=0
	OUT="$tmp/tmp/run" TMPDIR="$tmp/tmp" PATH="$tmp/bin" as_nobody scripts/bench.sh \
		>"$tmp/log" 2>&1 </dev/null || status=$?
	verdict 'gnuplot is missing, and this is not root' 'as root, run: apt-get update && apt-get install .*gnuplot-nox'
fi
# Which reason comes first depends on this machine
fails 'a kernel without headers' \
	'VENUE=native: .*(no kernel headers in /nowhere.*KDIR=|CONFIG_MODULES|needs root|locked down|sig_enforce|switched off)' \
	VENUE=native KDIR=/nowhere "OUT=$tmp/out/run"
expect 'none of these measured anything' "$(find "$tmp/out" -mindepth 1 ! -name file ! -name closed)"

# ---- in the middle ----

# has_samples DIR...: a row was written there
has_samples() {
	for dir; do
		[ ! -e "$dir/samples.csv.partial" ] || [ "$(wc -l <"$dir/samples.csv.partial")" -le 1 ] || return 0
	done
	return 1
}

# kept DIR: rows and an env.json that says incomplete, in it or in DIR-tree
kept() {
	cat "$1"/samples.csv* "$1-tree"/samples.csv* 2>/dev/null | grep -qE ',(k2u|tree),' ||
		echo "no samples are kept in $1 or $1-tree"
	grep -qsE '"complete": *false' "$1/env.json" "$1-tree/env.json" ||
		echo "no env.json says that the run is incomplete"
}

start bench QUICK=0 "KERNEL=$KERNEL" "OUT=$tmp/out/interrupted"
until_true has_samples "$tmp/out/interrupted" "$tmp/out/interrupted-tree" || :
interrupt
verdict 'Ctrl-C while measuring natively' 'what was measured is in .*interrupted'
expect 'Ctrl-C while measuring natively: the samples are kept' "$(kept "$tmp/out/interrupted")"

# guest_has_samples: rows have come over the port of the guest
guest_has_samples() {
	grep -q "^samples.csv	[a-z]*,k2u," "$tmp"/tmp/k2u-vm.*/port
}
status=0
scripts/kernel.sh "$KERNEL" >/dev/null 2>"$tmp/log" || status=$?
if [ "$status" -eq "$K2U_UNAVAILABLE" ]; then
	skip 'Ctrl-C while a guest measures' "$(sed -n 's/^unavailable: //p' "$tmp/log")"
else
	start bench QUICK=0 "KERNEL=$KERNEL" VENUE=vm "OUT=$tmp/out/guest"
	until_true guest_has_samples || :
	interrupt
	verdict 'Ctrl-C while a guest measures' 'what was measured is in .*/out/guest'
	expect 'Ctrl-C while a guest measures: the samples are kept' "$(kept "$tmp/out/guest")"
fi

# ---- a full disk ----

if with_private_mounts true 2>/dev/null; then
	mkdir "$tmp/disk"
	status=0
	# shellcheck disable=SC2016 # expanded by the inner shell
	TMPDIR="$tmp/tmp" with_private_mounts sh -c '
		mount -t tmpfs -o size=1m k2u "$1" && OUT="$1/run" exec scripts/bench.sh' sh "$tmp/disk" \
		>"$tmp/log" 2>&1 </dev/null || status=$?
	verdict 'too little room for a run' 'KiB left, a run needs'

	status=0
	# Full as soon as there are samples; what is kept must be seen from within
	# shellcheck disable=SC2016
	TMPDIR="$tmp/tmp" QUICK=0 KERNEL="$KERNEL" with_private_mounts sh -c '
		mount -t tmpfs -o size=96m k2u "$1" || exit 0
		{
			while ! grep -qs "^[a-z]*,tree," "$1"/run*/samples.csv.partial; do
				sleep 0.2
			done
			cat /dev/zero >"$1/fill"
		} 2>/dev/null &
		status=0
		OUT="$1/run" scripts/bench.sh || status=$?
		kill $! 2>/dev/null
		cat "$1"/run*/samples.csv.partial >"$2"
		exit "$status"' sh "$tmp/disk" "$tmp/kept" \
		>"$tmp/log" 2>&1 </dev/null || status=$?
	verdict 'the disk fills up while measuring' 'No space left on device'
	expect 'the disk fills up while measuring: the samples are kept' \
		"$(grep -q ',tree,' "$tmp/kept" || echo 'no rows are kept')"
else
	skip 'a full disk' 'no private mounts here: run as root'
fi
tap_end

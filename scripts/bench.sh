#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# make bench: measure, draw, report. All settings come from the environment.
#
#	QUICK=1			the short set
#	OUT=DIR			the run's directory (default results/<run id>)
#	METHODS=a,b MEASURES=a,b SIZES=4K,1M	a part of it
#	VENUE=auto|native|vm	auto: the module natively if it can be loaded here;
#				else the tree provider natively into OUT-tree and
#				the module in a guest into OUT
#	KERNEL=6.12		the guest's kernel
#	SEED=N KDIR=DIR		order of the blocks; the running kernel's headers
#
# Exit status: 0; 1 an error or a failed check (said on stderr); 130 interrupted
# (what was measured is kept).
# shellcheck disable=SC2317 # functions that traps call
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"
cd -- "$top"
# The settings of "make bench" are not settings of the makes that run below
unset MAKEFLAGS MFLAGS MAKELEVEL

QUICK=${QUICK:-} OUT=${OUT:-} METHODS=${METHODS:-} MEASURES=${MEASURES:-}
SIZES=${SIZES:-} VENUE=${VENUE:-auto} KERNEL=${KERNEL:-} SEED=${SEED:-}
KDIR=${KDIR:-/lib/modules/$(uname -r)/build}
# A guest is stopped after so many seconds: the short set, the full set
GUEST_QUICK_S=600
GUEST_S=5400
# KiB that a run's directory must have room for
ROOM_KIB=65536

# ---- settings ----

# known LIST WORDS: the first entry of a comma list that is not among WORDS
unknown() {
	printf '%s\n' "$1" | tr , '\n' | while read -r word; do
		case " $2 " in
		*" $word "*) [ -n "$word" ] || echo "(empty)" ;;
		*) echo "$word" ;;
		esac
	done | sed -n 1p
}

check_list() {
	bad=$(unknown "$2" "$3")
	[ -z "$bad" ] || die "$1: no '$bad'; there are: $3"
}

check_settings() {
	case $QUICK in '' | 0 | 1) ;; *) die "QUICK=$QUICK: use QUICK=1, or leave it out for the full set" ;; esac
	case $VENUE in auto | native | vm) ;; *) die "VENUE=$VENUE: use auto, native or vm" ;; esac
	case $SEED in *[!0-9]*) die "SEED=$SEED: use a decimal number" ;; esac
	methods=$(sed -n 's/^K2U_METHOD([0-9]*, \([a-z0-9_]*\),.*/\1/p' include/methods.def | tr '\n' ' ')
	measures=$(sed -n 's/^K2U_MEASURE(\([a-z0-9_]*\),.*/\1/p' bench/measures.def | tr '\n' ' ')
	[ -z "$METHODS" ] || check_list METHODS "$METHODS" "${methods}anon"
	[ -z "$MEASURES" ] || check_list MEASURES "$MEASURES" "${measures% }"
	[ -z "$KERNEL" ] || check_list KERNEL "$KERNEL" "$(scripts/kernel.sh --list)"
	bad=$(printf '%s\n' "$SIZES" | tr , '\n' | grep -vxE '[1-9][0-9]*[KMG]?' | sed -n 1p)
	[ -z "$SIZES" ] || [ -z "$bad" ] || die "SIZES: '$bad' is no size; write 64, 4K, 1M ..."
	[ -r /proc/self/stat ] || die "/proc is not mounted: mount -t proc proc /proc"
}

# check_dir DIR: it can become a run's directory; nothing of it stays
check_dir() {
	[ ! -e "$1" ] || die "$1 exists already: choose another OUT, or remove it"
	above=$1
	while [ ! -e "$above" ]; do
		first=$above
		above=$(dirname -- "$above")
	done
	made=yes
	mkdir -p -- "$1" 2>"$tmp/mkdir" || made=no
	room=$(df -Pk -- "$above" | awk 'NR == 2 { print $4 }')
	[ ! -d "$first" ] || find "$first" -depth -type d -empty -delete
	[ "$made" = yes ] ||
		die "cannot create $1: $(sed 's/.*: //' "$tmp/mkdir"): choose another OUT"
	[ "$room" -ge "$ROOM_KIB" ] ||
		die "$1: its disk has $room KiB left, a run needs $ROOM_KIB: free some space, or choose another OUT"
}

# ---- what to undo ----

tmp=$(mktemp -d "${TMPDIR:-/tmp}/k2u-bench.XXXXXX")
child=''	# process id of the part that runs now
loaded=''	# the module is loaded, by us

unload() {
	[ -n "$loaded" ] || return 0
	rmmod k2u || return
	loaded=''
}

cleanup() {
	status=$?
	trap '' INT TERM
	unload || say "$K2U_ME: k2u could not be unloaded: rmmod k2u"
	rm -rf -- "$tmp"
	exit "$status"
}

interrupted() {
	trap '' INT TERM
	if [ -n "$child" ]; then
		kill -TERM "$child" 2>/dev/null || :
		wait "$child" 2>/dev/null || :
	fi
	for run in ${tree:+"$tree"} ${out:+"$out"}; do
		[ ! -e "$run" ] || say "interrupted: what was measured is in $run"
	done
	exit 130
}
trap cleanup EXIT
trap interrupted INT TERM

# part COMMAND...: run it so that an interrupt reaches us at once; sets $status
part() {
	status=0
	"$@" &
	child=$!
	wait "$child" || status=$?
	child=''
	[ "$status" -ne 130 ] || interrupted
}

# ---- the module, natively ----

# signed: the module that was built last has a signature (whose, insmod will see)
signed() {
	tail -c 28 kmod/k2u.ko 2>/dev/null | grep -aq 'Module signature appended'
}

# refusal: why it cannot be loaded here, and the mend; nothing if it can
refusal() {
	if [ ! -e /proc/modules ]; then
		echo "this kernel has no loadable modules (CONFIG_MODULES is off): boot a distribution's kernel"
	elif ! is_root; then
		echo "loading a module needs root: sudo make bench"
	elif [ "$(cat /proc/sys/kernel/modules_disabled 2>/dev/null)" = 1 ]; then
		echo "loading modules was switched off (kernel.modules_disabled = 1): reboot without that setting"
	elif ! signed && grep -qE '\[(integrity|confidentiality)\]' /sys/kernel/security/lockdown 2>/dev/null; then
		echo "the kernel is locked down (Secure Boot): sign kmod/k2u.ko (Secure Boot in README.md), or switch Secure Boot off in the firmware"
	elif ! signed && [ "$(cat /sys/module/module/parameters/sig_enforce 2>/dev/null)" = Y ]; then
		echo "the kernel takes signed modules only (module.sig_enforce): sign kmod/k2u.ko (Secure Boot in README.md), or boot without it"
	elif [ -e /sys/module/k2u ]; then
		echo "a k2u module is loaded already: rmmod k2u"
	elif [ ! -e "$KDIR/Makefile" ]; then
		echo "there are no kernel headers in $KDIR: apt-get install linux-headers-$(uname -r), or pass KDIR="
	fi
}

# headers: fetch them where that alone is missing and apt has them
headers() {
	package=linux-headers-$(uname -r)
	case $(refusal) in
	"there are no kernel headers in /lib/modules/$(uname -r)/build"*)
		have apt-get || return 0
		apt-get --simulate install "$package" >/dev/null 2>&1 ||
			{ apt-get update && apt-get --simulate install "$package"; } >/dev/null 2>&1 ||
			return 0
		say "installing: $package"
		DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
			"$package" >"$tmp/apt" 2>&1 </dev/null || grep '^E:' "$tmp/apt" >&2 || :
		;;
	esac
}

load() {
	dmesg >"$tmp/dmesg.before" 2>/dev/null || :
	if ! make --no-print-directory module "KDIR=$KDIR" >build/module.log 2>&1; then
		grep -i error build/module.log >&2 || :
		reason="k2u.ko does not build for $(uname -r): see build/module.log"
	elif ! insmod kmod/k2u.ko 2>"$tmp/insmod"; then
		reason="insmod: $(cat "$tmp/insmod"); the kernel says: $(new_messages | tail -n 1)"
	else
		loaded=1
		return 0
	fi
	return 1
}

# new_messages: the kernel log since load
new_messages() {
	dmesg 2>/dev/null | awk -v last="$(tail -n 1 "$tmp/dmesg.before")" '
		{ line[NR] = $0; if ($0 == last) from = NR }
		END { for (i = from + 1; i <= NR; i++) print line[i] }'
}

# ---- measuring ----

# native DIR RUN_ID [ARGUMENT...]: measure here; leaves $status 0, or 3 if
# nothing of what was asked for is available
native() {
	dir=$1
	id=$2
	shift 2
	[ -n "$loaded" ] || dmesg >"$tmp/dmesg.before" 2>/dev/null || :
	config=/boot/config-$(uname -r)
	if [ -r "$config" ]; then
		set -- "$@" "--env=kernel.config_sha256=$(sha256 "$config")"
	elif [ -r /proc/config.gz ]; then
		zcat /proc/config.gz >"$tmp/config"
		set -- "$@" "--env=kernel.config_sha256=$(sha256 "$tmp/config")"
	fi
	part build/k2u-bench run "--out=$dir" "--run-id=$id" --venue=native "$@"
	[ "$status" -ne 3 ] || return 0
	measured "$dir"
	part scripts/hyperfine.sh build "$tmp/hyperfine.json" "$METHODS" --warmup=5 --runs=50 \
		>"$tmp/hyperfine" 2>&1
	if [ "$status" -ne 0 ]; then
		cat "$tmp/hyperfine" >&2
		die "hyperfine failed"
	fi
	sed -n 's/^k2u-get: /unavailable: whole-command cost: /p' "$tmp/hyperfine" >&2
	mv -- "$tmp/hyperfine.json" "$dir/hyperfine.json"
	if dmesg >/dev/null 2>&1; then
		new_messages >"$dir/dmesg.txt"
	else
		echo "unavailable: dmesg needs root here" >"$dir/dmesg.txt"
	fi
}

# measured DIR: judge k2u-bench's (or the guest's) exit status
measured() {
	case $status in
	0) ;;
	1)
		failed=1
		say "$K2U_ME: a check of $1 failed: see $1/checks.csv"
		;;
	*) exit 1 ;;
	esac
}

guest() {
	dir=$1
	id=$2
	shift 2
	limit=$GUEST_S
	[ "$QUICK" != 1 ] || limit=$GUEST_QUICK_S
	part scripts/vm.sh "--kernel=$KERNEL" --job=bench "--out=$dir" "--timeout=$limit" \
		"--hyperfine=$METHODS" -- "--run-id=$id" "$@" >"$tmp/vm"
	measured "$dir"
}

# version RELEASE: its leading numbers, for the name of a run
version() {
	printf '%s' "${1%%[!0-9.]*}"
}

# ---- the job ----

check_settings
if [ -n "$OUT" ]; then
	check_dir "$OUT"
	[ "$VENUE" = native ] || check_dir "$OUT-tree"
fi

scripts/deps.sh --for=bench
if [ "$VENUE" != vm ] && is_root; then
	headers
fi
why=$(refusal)
[ "$VENUE" != native ] || [ -z "$why" ] || die "VENUE=native: $why"
make --no-print-directory -j "$(nproc)" programs >"$tmp/make" 2>&1 || {
	cat "$tmp/make" >&2
	die "k2u does not build here"
}

started=$(date -u +%Y%m%dT%H%M%SZ)
set --
[ "$QUICK" != 1 ] || set -- "$@" --quick
[ -z "$METHODS" ] || set -- "$@" "--methods=$METHODS"
[ -z "$MEASURES" ] || set -- "$@" "--measures=$MEASURES"
[ -z "$SIZES" ] || set -- "$@" "--sizes=$SIZES"
[ -z "$SEED" ] || set -- "$@" "--seed=$SEED"

failed=0 out='' tree='' reason=''
here=$started-$(version "$(uname -r)")-native
if [ "$VENUE" != vm ] && [ -z "$why" ] && load; then
	out=${OUT:-results/$here}
	say "measuring on this kernel, $(uname -r), into $out"
	native "$out" "$here" "$@"
	[ "$status" -ne 3 ] || exit 1
	unload
else
	why=${reason:-$why}
	[ "$VENUE" != native ] || die "VENUE=native: $why"
	[ "$VENUE" = vm ] || say "unavailable: the module on this kernel: $why"
	if [ -z "$KERNEL" ]; then
		KERNEL=6.12
		say "the guest's kernel is $KERNEL; KERNEL= chooses another"
	fi
	# Fetched and built before anything is measured beside it
	status=0
	scripts/deps.sh --for=guest || status=$?
	if [ "$status" -eq 0 ]; then
		part scripts/vm.sh "--kernel=$KERNEL" --job=probe >"$tmp/guest"
	fi
	if [ "$status" -eq 0 ]; then
		there=$started-$(version "$(field release "$tmp/guest")")-$(field venue "$tmp/guest")
		out=${OUT:-results/$there}
	elif [ "$VENUE" = vm ]; then
		exit 1
	else
		say "unavailable: the module in a guest: see above"
		failed=1
	fi
	if [ "$VENUE" = auto ]; then
		tree=${OUT:-results/${there:-$here}}-tree
		say "measuring what this kernel, $(uname -r), has in-tree, into $tree"
		native "$tree" "$here" --providers=tree "$@"
		if [ "$status" -eq 3 ]; then
			tree=
			[ -n "$out" ] || exit 1
		fi
	fi
	if [ -n "$out" ]; then
		say "measuring the module in a guest, $(field release "$tmp/guest"), venue $(field venue "$tmp/guest"), into $out"
		guest "$out" "$there" "$@"
	fi
fi

set -- ${out:+"$out"} ${tree:+"$tree"}
build/k2u-stat summarize "$@"
scripts/report.sh "$@"
for run; do
	say "done: $run/summary.csv"
done
exit "$failed"

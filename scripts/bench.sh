#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# make bench: measure, draw, report. All settings come from the environment.
#
#	QUICK=1			the short set
#	OUT=DIR			the run's directory (default results/<run id>). If it
#				is there, a boot is added to it, provided that the
#				environment is the same
#	BOOTS=N			measure until the run has N boots (a boot: a guest
#				booted, or natively the module loaded and a process
#				started, afresh); what is there is not repeated
#	METHODS=a,b BACKINGS=a,b MEASURES=a,b SIZES=4K,1M	a part of it
#	THREADS=1,2,8		of measure scale
#	VENUE=auto|native|vm	auto: the module natively if it can be loaded here;
#				else the tree provider natively into OUT-tree and
#				the module in a guest into OUT
#	KERNEL=6.12 CPUS=4	the guest's kernel; its processors (1). Where KVM is not,
#				several are emulated in real time, and no hardware's
#	SEED=N KDIR=DIR		order of the blocks; the running kernel's headers
#	TEST_SPIN=METHOD:TURNS	plant a slowdown (docs/METHODOLOGY.md, Proof)
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

QUICK=${QUICK:-} OUT=${OUT:-} METHODS=${METHODS:-} BACKINGS=${BACKINGS:-} MEASURES=${MEASURES:-}
SIZES=${SIZES:-} THREADS=${THREADS:-} VENUE=${VENUE:-auto} KERNEL=${KERNEL:-} CPUS=${CPUS:-} SEED=${SEED:-}
KDIR=${KDIR:-/lib/modules/$(uname -r)/build} BOOTS=${BOOTS:-} TEST_SPIN=${TEST_SPIN:-}
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
	case $BOOTS in *[!0-9]* | 0*) die "BOOTS=$BOOTS: use a number of boots, from 1" ;; esac
	case $CPUS in *[!0-9]* | 0* | ???*) die "CPUS=$CPUS: use a number of processors of the guest, 1 to 99" ;; esac
	[ -z "$CPUS" ] || [ "$VENUE" = vm ] || die "CPUS=$CPUS is of a guest: use it with VENUE=vm"
	# Of the module; and the rows of streams, packets and what the kernel has
	methods=$({
		sed -n 's/^K2U_METHOD([0-9]*, \([a-z0-9_]*\),.*/\1/p' include/methods.def
		sed -n 's/^		\.method = "\([a-z0-9_]*\)",$/\1/p' bench/*.c
	} | awk '!seen[$0]++' | tr '\n' ' ')
	measures=$(sed -n 's/^K2U_MEASURE(\([a-z0-9_]*\),.*/\1/p' bench/measures.def | tr '\n' ' ')
	[ -z "$METHODS" ] || check_list METHODS "$METHODS" "${methods% }"
	[ -z "$MEASURES" ] || check_list MEASURES "$MEASURES" "${measures% }"
	[ -z "$KERNEL" ] || check_list KERNEL "$KERNEL" "$(scripts/kernel.sh --list)"
	bad=$(printf '%s\n' "$SIZES" | tr , '\n' | grep -vxE '[1-9][0-9]*[KMG]?' | sed -n 1p)
	[ -z "$SIZES" ] || [ -z "$bad" ] || die "SIZES: '$bad' is no size; write 64, 4K, 1M ..."
	bad=$(printf '%s\n' "$THREADS" | tr , '\n' | grep -vxE '[1-9][0-9]?' | sed -n 1p)
	[ -z "$THREADS" ] || [ -z "$bad" ] || die "THREADS: '$bad' is no number of threads; write 1,2,8"
	[ -r /proc/self/stat ] || die "/proc is not mounted: mount -t proc proc /proc"
}

# check_dir DIR: it is a run that boots can be added to, or can become a run's
# directory, and then nothing of it stays
check_dir() {
	above=$1
	first=$1
	if [ -e "$1" ]; then
		is_run "$1" || [ -n "$(find "$1" -maxdepth 1 -name 'boot-[0-9]*' 2>/dev/null)" ] ||
			die "$1 exists already and is no run: choose another OUT, or remove it"
		! is_run "$1" || grep -q '"complete": *true' "$1/env.json" ||
			die "$1 exists already and holds a run that did not end: choose another OUT, or remove it"
	fi
	while [ ! -e "$above" ]; do
		first=$above
		above=$(dirname -- "$above")
	done
	made=yes
	mkdir -p -- "$1" 2>"$tmp/mkdir" || made=no
	room=$(df -Pk -- "$above" | awk 'NR == 2 { print $4 }')
	[ "$first" = "$above" ] || find "$first" -depth -type d -empty -delete 2>/dev/null || :
	[ "$made" = yes ] ||
		die "cannot create $1: $(sed 's/.*: //' "$tmp/mkdir"): choose another OUT"
	[ "$room" -ge "$ROOM_KIB" ] ||
		die "$1: its disk has $room KiB left, a run needs $ROOM_KIB: free some space, or choose another OUT"
}

is_run() {
	[ -e "$1/env.json" ]
}

# boots_to_do DIR: the numbers of the boots that it still needs
boots_to_do() {
	build/k2u-stat boots "$1" >"$tmp/boots"
	if [ -n "$BOOTS" ]; then
		seq "$BOOTS" | grep -vxF -f "$tmp/boots" || :
	else
		echo $(($(sort -n "$tmp/boots" | tail -n 1) + 1))
	fi
}

# ---- what to undo ----

tmp=$(mktemp -d "${TMPDIR:-/tmp}/k2u-bench.XXXXXX")
loaded=''	# the module is loaded, by us
used=''	# and a boot was measured since

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
	end_part
	for run in ${tree:+"$tree"} ${out:+"$out"}; do
		[ ! -e "$run" ] || say "interrupted: what was measured is in $run"
	done
	[ -z "$BOOTS" ] || [ -z "$out" ] || say "The boots that are missing: the same with OUT=$out"
	exit 130
}
trap cleanup EXIT
trap interrupted INT TERM

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
	elif ! insmod kmod/k2u.ko ${TEST_SPIN:+"test_spin=$TEST_SPIN"} 2>"$tmp/insmod"; then
		reason="insmod: $(cat "$tmp/insmod"); the kernel says: $(new_messages | tail -n 1)"
	else
		loaded=1
		return 0
	fi
	return 1
}

# reload: a boot of the module is a fresh load
reload() {
	[ -n "$loaded" ] || return 0
	if [ -n "$used" ]; then
		unload || die "k2u could not be unloaded between two boots"
		load || die "$reason"
	fi
	used=1
}

# new_messages: the kernel log since load
new_messages() {
	dmesg 2>/dev/null | awk -v last="$(tail -n 1 "$tmp/dmesg.before")" '
		{ line[NR] = $0; if ($0 == last) from = NR }
		END { for (i = from + 1; i <= NR; i++) print line[i] }'
}

# ---- measuring ----

# native DIR RUN_ID [ARGUMENT...]: measure the boots that DIR needs, here;
# leaves $status 0, or 3 if nothing of what was asked for is available
native() {
	run=$1
	id=$2
	shift 2
	config=/boot/config-$(uname -r)
	if [ ! -r "$config" ] && [ -r /proc/config.gz ]; then
		config=$tmp/config
		zcat /proc/config.gz >"$config"
	fi
	[ ! -r "$config" ] ||
		set -- "$@" "--config=$config" "--env=kernel.config_sha256=$(sha256 "$config")"
	set -- "--run-id=$id" --venue=native ${TEST_SPIN:+"--test-spin=$TEST_SPIN"} "$@"
	if is_run "$run"; then
		build/k2u-bench env "$@" >"$tmp/env.json"
		build/k2u-stat join "--check=$tmp/env.json" "$run" || exit 1
	fi
	boots=$(boots_to_do "$run")
	[ -n "$boots" ] || say "$run has its $BOOTS boots"
	status=0
	for boot in $boots; do
		[ -z "$BOOTS" ] || say "boot $boot"
		reload
		# A run of one boot is that boot
		if [ -z "$BOOTS" ] && ! is_run "$run"; then
			native_boot "$run" "$boot" "$@"
			[ "$status" -ne 3 ] || return 0
			continue
		fi
		rm -rf -- "$run/boot-$boot"
		native_boot "$run/boot-$boot" "$boot" "$@"
		if [ "$status" -eq 3 ]; then
			[ ! -d "$run" ] || rmdir --ignore-fail-on-non-empty -- "$run"
			return 0
		fi
		build/k2u-stat join "$run" "$run/boot-$boot" || exit 1
		[ ! -e "$run/boot-$boot/hyperfine.json" ] ||
			mv -- "$run/boot-$boot/hyperfine.json" "$run/hyperfine.json"
		rm -rf -- "$run/boot-$boot"
	done
}

# native_boot DIR BOOT [ARGUMENT...]
native_boot() {
	dir=$1
	boot=$2
	shift 2
	[ -n "$loaded" ] || dmesg >"$tmp/dmesg.before" 2>/dev/null || :
	part build/k2u-bench run "--out=$dir" "--boot=$boot" "$@"
	[ "$status" -ne 3 ] || return 0
	measured "$dir"
	if dmesg >/dev/null 2>&1; then
		new_messages >"$dir/dmesg.txt"
	else
		echo "unavailable: dmesg needs root here" >"$dir/dmesg.txt"
	fi
	# The command as a whole: once per run
	[ ! -e "$run/hyperfine.json" ] || return 0
	part scripts/hyperfine.sh build "$tmp/hyperfine.json" "$METHODS:$BACKINGS" --warmup=5 --runs=50 \
		>"$tmp/hyperfine" 2>&1
	if [ "$status" -ne 0 ]; then
		cat "$tmp/hyperfine" >&2
		die "hyperfine failed"
	fi
	sed -n 's/^k2u-get: /unavailable: whole-command cost: /p' "$tmp/hyperfine" >&2
	mv -- "$tmp/hyperfine.json" "$dir/hyperfine.json"
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

# guest DIR RUN_ID [ARGUMENT...]: measure the boots that DIR needs, in guests
guest() {
	run=$1
	id=$2
	shift 2
	limit=$GUEST_S
	[ "$QUICK" != 1 ] || limit=$GUEST_QUICK_S
	boots=$(boots_to_do "$run")
	if [ -z "$boots" ]; then
		say "$run has its $BOOTS boots"
		return
	fi
	if [ -z "$BOOTS" ] && ! is_run "$run"; then
		part scripts/vm.sh "--kernel=$KERNEL" --job=bench "--out=$run" "--timeout=$limit" "--smp=${CPUS:-1}" \
			${TEST_SPIN:+"--insmod=test_spin=$TEST_SPIN"} "--hyperfine=$METHODS:$BACKINGS" \
			-- "--run-id=$id" ${TEST_SPIN:+"--test-spin=$TEST_SPIN"} "$@" >"$tmp/vm"
		measured "$run"
		return
	fi
	for boot in $boots; do
		printf '%s\t%s\t%s\n' "$run" "$KERNEL" "$boot"
	done >"$tmp/queue"
	part scripts/guests.sh "--timeout=$limit" "--jobs=$(guest_jobs "$(field venue "$tmp/guest")")" "--smp=${CPUS:-1}" \
		${TEST_SPIN:+"--insmod=test_spin=$TEST_SPIN"} "--hyperfine=$METHODS:$BACKINGS" "$tmp/queue" \
		-- "--run-id=$id" ${TEST_SPIN:+"--test-spin=$TEST_SPIN"} "$@"
	[ "$status" -eq 0 ] || failed=1
	is_run "$run" || exit 1
}

# version RELEASE: its leading numbers, for the name of a run
version() {
	printf '%s' "${1%%[!0-9.]*}"
}

# ---- the job ----

check_settings
OUT=$(plain_path OUT "$OUT")
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
[ -z "$BACKINGS" ] || set -- "$@" "--backings=$BACKINGS"
[ -z "$MEASURES" ] || set -- "$@" "--measures=$MEASURES"
[ -z "$SIZES" ] || set -- "$@" "--sizes=$SIZES"
[ -z "$THREADS" ] || set -- "$@" "--threads=$THREADS"
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
		part scripts/vm.sh "--kernel=$KERNEL" --job=probe "--smp=${CPUS:-1}" >"$tmp/guest"
	fi
	if [ "$status" -eq 0 ]; then
		there=$started-$(version "$(field release "$tmp/guest")")
		case $KERNEL in *-*) there=$there-${KERNEL#*-} ;; esac
		there=$there-$(field venue "$tmp/guest")
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

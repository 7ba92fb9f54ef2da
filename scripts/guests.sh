#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Boot guests one after the other, or side by side, and join each boot to its run.
#
#	scripts/guests.sh --timeout=S [--jobs=N] [--insmod=PARAMETERS]
#		[--hyperfine=METHODS:BACKINGS] [--smp=N] QUEUE [-- ARGUMENT...]
#
# QUEUE is a file of lines "RUN<tab>KERNEL<tab>BOOT", taken in their order by N
# workers (default 1). A boot is measured into RUN/boot-BOOT and, when it is
# whole, joined to RUN; one that RUN has already is passed over, so an
# interrupted queue is taken up by the same call. --hyperfine is measured in a
# run's first boot. ARGUMENTs are k2u-bench's.
#
# Exit status: 0; 1 a check failed, or a boot did not end (the others go on);
# 130 interrupted.
# shellcheck disable=SC2317 # functions that traps call
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"

limit='' jobs=1 insmod='' hyperfine=no smp=1
while [ $# -gt 0 ]; do
	case $1 in
	--timeout=*) limit=${1#*=} ;;
	--jobs=*) jobs=${1#*=} ;;
	--insmod=*) insmod=${1#*=} ;;
	--hyperfine=*) hyperfine=${1#*=} ;;
	--smp=*) smp=${1#*=} ;;
	*) break ;;
	esac
	shift
done
if [ $# -eq 0 ] || [ -z "$limit" ]; then
	die "usage: guests.sh --timeout=S [--jobs=N] [--insmod=PARAMETERS] [--hyperfine=METHODS:BACKINGS] [--smp=N] QUEUE [-- ARGUMENT...]"
fi
queue=$1
shift
[ $# -eq 0 ] || shift

tmp=$(mktemp -d "${TMPDIR:-/tmp}/k2u-guests.XXXXXX")
workers='' child=''

# stop PROCESS...: end them, and be there until they have put away what they had
stop() {
	[ $# -gt 0 ] || return 0
	kill -TERM "$@" 2>/dev/null || :
	wait "$@" 2>/dev/null || :
}

cleanup() {
	status=$?
	trap '' INT TERM
	# shellcheck disable=SC2086 # a list of processes
	stop $workers
	rm -rf -- "$tmp"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# locked COMMAND...: one worker at a time
locked() {
	(
		flock 8
		"$@"
	) 8>"$tmp/lock"
}

# take: print the next line of the queue, number first
take() {
	next=$(($(cat "$tmp/next") + 1))
	echo "$next" >"$tmp/next"
	sed -n "${next}{s/^/$next	/;p}" "$queue"
}

# told KERNEL BOOT SECONDS
told() {
	done=$(($(cat "$tmp/done") + 1))
	echo "$done" >"$tmp/done"
	[ "$total" -gt 1 ] || return 0
	left=$((($(date +%s) - began) * (total - done) / done))
	say "$1, boot $2: $3 s; $done of $total done, about $(((left + 59) / 60)) min left"
}

# measure NUMBER RUN KERNEL BOOT [ARGUMENT...]
measure() {
	number=$1 run=$2 kernel=$3 boot=$4
	shift 4
	stage=$run/boot-$boot
	! "$top/build/k2u-stat" boots "$run" | grep -qx "$boot" || return 0
	rm -rf -- "$stage"
	whole=no
	[ "$hyperfine" = no ] || [ -e "$run/hyperfine.json" ] || [ "$boot" -ne 1 ] || whole=$hyperfine
	since=$(date +%s)
	status=0
	# With one boot to do, its progress is for the terminal
	log=$tmp/log.$number
	[ "$total" -gt 1 ] || log=/dev/stderr
	"$top/scripts/vm.sh" "--kernel=$kernel" --job=bench "--out=$stage" "--timeout=$limit" \
		"--boot=$boot" "--insmod=$insmod" "--hyperfine=$whole" "--smp=$smp" -- "$@" \
		>"$tmp/out.$number" 2>>"$log" &
	child=$!
	wait "$child" || status=$?
	child=''
	if [ "$status" -le 1 ] && [ -e "$stage/samples.csv" ]; then
		[ "$status" -eq 0 ] ||
			echo "$kernel, boot $boot: a check failed (checks.csv), or its kernel complained (above)" >>"$tmp/failed"
		if "$top/build/k2u-stat" join "$run" "$stage" 2>>"$log"; then
			[ ! -e "$stage/hyperfine.json" ] || mv -- "$stage/hyperfine.json" "$run/hyperfine.json"
			rm -rf -- "$stage"
			locked told "$kernel" "$boot" "$(($(date +%s) - since))"
			# What a guest has to say when all is well is the same in all boots
			if [ "$total" -gt 1 ] && { [ "$boot" -eq 1 ] || [ "$status" -ne 0 ]; }; then
				cat "$log" >&2
			fi
			return 0
		fi
		# Every further boot would be refused for the same reason
		: >"$tmp/refused"
	fi
	[ "$status" -ne 130 ] || exit 130
	[ "$total" -eq 1 ] || cat "$log" >&2
	echo "$kernel, boot $boot: not measured (status $status); the same command tries it again" >>"$tmp/failed"
}

worker() {
	workers=''
	trap - EXIT
	trap 'trap "" INT TERM; [ -z "$child" ] || stop "$child"; exit 130' INT TERM
	while [ ! -e "$tmp/refused" ]; do
		line=$(locked take)
		[ -n "$line" ] || break
		IFS='	' read -r number run kernel boot <<-END
			$line
		END
		measure "$number" "$run" "$kernel" "$boot" "$@"
	done
}

total=$(wc -l <"$queue")
began=$(date +%s)
echo 0 >"$tmp/next"
echo 0 >"$tmp/done"
for _ in $(seq "$jobs"); do
	worker "$@" &
	workers="$workers $!"
done
status=0
for process in $workers; do
	ended=0
	wait "$process" || ended=$?
	[ "$ended" -eq 0 ] || status=$ended
done
workers=''
[ "$status" -eq 0 ] || exit "$status"
if [ -s "$tmp/failed" ]; then
	sort "$tmp/failed" | sed "s/^/$K2U_ME: /" >&2
	exit 1
fi

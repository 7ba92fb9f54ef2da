#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# make matrix: the same measurement in a guest of each kernel, then the
# comparison across them. All settings come from the environment.
#
#	KERNELS="5.10 6.1 ..."	the guests' kernels (scripts/kernel.sh --list)
#	BOOTS=N			boots of each (default 20)
#	OUT=DIR			a run per kernel in it (default results/matrix); what
#				is there is not measured again
#	MEASURES=a,b		default: capability,faults,latency,throughput. Of the others
#				a campaign of its own is made, as MEASURES=stream,skb
#	QUICK=1 METHODS= BACKINGS= SIZES= THREADS= CPUS= SEED= TEST_SPIN=	as of make bench
#
# The boots go round the kernels in balanced order, so that a drift of this
# machine hits all of them alike. A kernel that cannot be had becomes a line of
# DIR/gaps.csv. Exit status: 0; 1 an error, a failed check or a boot that did
# not end (said on stderr); 130 interrupted: the same command goes on.
# shellcheck disable=SC2317 # functions that traps call
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"
cd -- "$top"
unset MAKEFLAGS MFLAGS MAKELEVEL

KERNELS=${KERNELS:-5.10 6.1 6.12 6.18 7.0 7.2 7.3}
BOOTS=${BOOTS:-20} OUT=${OUT:-results/matrix} QUICK=${QUICK:-}
METHODS=${METHODS:-} BACKINGS=${BACKINGS:-} MEASURES=${MEASURES:-capability,faults,latency,throughput} SIZES=${SIZES:-} SEED=${SEED:-}
TEST_SPIN=${TEST_SPIN:-} THREADS=${THREADS:-} CPUS=${CPUS:-}
GUEST_QUICK_S=600
GUEST_S=5400

known=$(scripts/kernel.sh --list)
seen=
for kernel in $KERNELS; do
	case " $known " in *" $kernel "*) ;; *) die "KERNELS: no '$kernel'; there are: $known" ;; esac
	case " $seen " in *" $kernel "*) die "KERNELS: '$kernel' is there twice" ;; esac
	seen="$seen $kernel"
done
case $BOOTS in '' | *[!0-9]* | 0*) die "BOOTS=$BOOTS: use a number of boots, from 1" ;; esac
case $CPUS in *[!0-9]* | 0* | ???*) die "CPUS=$CPUS: use a number of processors of a guest, 1 to 99" ;; esac
case $QUICK in '' | 0 | 1) ;; *) die "QUICK=$QUICK: use QUICK=1, or leave it out for the full set" ;; esac
OUT=$(plain_path OUT "$OUT")
[ ! -e "$OUT/env.json" ] || die "$OUT is a run, not a matrix of runs: choose another OUT"
mkdir -p -- "$OUT" || die "cannot create $OUT: choose another OUT"

tmp=$(mktemp -d "${TMPDIR:-/tmp}/k2u-matrix.XXXXXX")
cleanup() {
	status=$?
	trap '' INT TERM
	rm -rf -- "$tmp"
	exit "$status"
}
interrupted() {
	trap '' INT TERM
	end_part
	say "interrupted: the boots that were measured are in $OUT; the same command goes on"
	exit 130
}
trap cleanup EXIT
trap interrupted INT TERM

# settings: what must be the same in a run that goes on
settings() {
	[ "$QUICK" != 1 ] || echo --quick
	[ -z "$METHODS" ] || echo "--methods=$METHODS"
	[ -z "$BACKINGS" ] || echo "--backings=$BACKINGS"
	echo "--measures=$MEASURES"
	[ -z "$SIZES" ] || echo "--sizes=$SIZES"
	[ -z "$THREADS" ] || echo "--threads=$THREADS"
	[ -z "$SEED" ] || echo "--seed=$SEED"
	[ -z "$TEST_SPIN" ] || echo "--test-spin=$TEST_SPIN"
}

# round N: the kernels in the order of this round. Reversed in every other one,
# and begun one further on in every other pair: over 2k rounds of k kernels each
# has been at each place twice, and behind each neighbour as often as ahead.
round() {
	printf '%s\n' "$have" | tr ' ' '\n' | awk -v round="$1" '
		{ kernel[NR - 1] = $0 }
		END {
			for (i = 0; i < NR; i++) {
				at = round % 2 ? NR - 1 - i : i
				print kernel[(at + int(round / 2)) % NR]
			}
		}'
}

scripts/deps.sh --for=matrix
make --no-print-directory -j "$(nproc)" programs >"$tmp/make" 2>&1 || {
	cat "$tmp/make" >&2
	die "k2u does not build here"
}

failed=0 have='' jobs=''
echo kernel,reason >"$tmp/gaps"
for kernel in $KERNELS; do
	part scripts/vm.sh "--kernel=$kernel" --job=probe "--smp=${CPUS:-1}" >"$tmp/probe" 2>"$tmp/err"
	if [ "$status" -eq 0 ]; then
		have="$have${have:+ }$kernel"
		jobs=$(guest_jobs "$(field venue "$tmp/probe")")
		continue
	fi
	[ "$status" -eq "$K2U_UNAVAILABLE" ] || failed=1
	cat "$tmp/err" >&2
	# No commas in our CSV
	reason=$(grep -E '^unavailable: |^[a-z.]*\.sh: ' "$tmp/err" | tail -n 1 |
		sed 's/^unavailable: //; s/^[a-z.]*\.sh: //; s/[,"]/;/g')
	printf '%s,%s\n' "$kernel" "${reason:-status $status of scripts/vm.sh}" >>"$tmp/gaps"
done
mv -- "$tmp/gaps" "$OUT/gaps.csv"
[ -n "$have" ] || die "none of these kernels can be had: $KERNELS"

for n in $(seq "$BOOTS"); do
	round $((n - 1)) | while read -r kernel; do
		build/k2u-stat boots "$OUT/$kernel" | grep -qx "$n" ||
			printf '%s\t%s\t%s\n' "$OUT/$kernel" "$kernel" "$n"
	done
done >"$tmp/queue"
# Boots left half-done by an interrupted matrix
find "$OUT" -mindepth 2 -maxdepth 2 -name 'boot-[0-9]*' -exec rm -rf -- {} +
if [ -s "$tmp/queue" ]; then
	say "$(wc -l <"$tmp/queue") boots to measure into $OUT"
	limit=$GUEST_S
	[ "$QUICK" != 1 ] || limit=$GUEST_QUICK_S
	settings >"$tmp/settings"
	set --
	while read -r setting; do
		set -- "$@" "$setting"
	done <"$tmp/settings"
	part scripts/guests.sh "--timeout=$limit" "--jobs=$jobs" "--smp=${CPUS:-1}" ${TEST_SPIN:+"--insmod=test_spin=$TEST_SPIN"} \
		"$tmp/queue" -- "--run-id=${OUT##*/}" "$@"
	[ "$status" -eq 0 ] || failed=1
else
	say "$OUT has its $BOOTS boots of each kernel"
fi

runs=''
for kernel in $KERNELS; do
	[ ! -e "$OUT/$kernel/env.json" ] || runs="$runs $kernel"
done
[ -n "$runs" ] || die "no boot ended: see above"
for kernel in $runs; do
	build/k2u-stat summarize "$OUT/$kernel"
done
build/k2u-stat matrix "$OUT" >/dev/null
scripts/report.sh "$OUT"
say "done: $OUT/matrix.csv"
exit "$failed"

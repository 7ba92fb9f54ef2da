#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The module under a kernel that watches it: KASAN, UBSAN, lockdep, kmemleak,
# page-table and page-poison checks, panic_on_warn (tests/debug/config).
#
#	tests/debug.sh KERNEL	6.12-debug, 6.1-debug; with -gcov also the lines of
#				kmod/ that ran; TAP on stdout
#
# In one guest with two processors: every guest_*, every operation with its n-th
# allocation or user copy failing (debug_failnth), races (debug_race, debug_stream, debug_skb), bad
# parameters (debug_load) and the fuzzer. SEED=N repeats races and the fuzzer. FUZZ=N operations (20000).
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"
[ $# -eq 1 ] || die "usage: debug.sh KERNEL"
kernel=$1
tap_name="debug $kernel"
# shellcheck source=tests/tap.sh
. "$top/tests/tap.sh"

SEED=${SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
FUZZ=${FUZZ:-20000}
for number in "$SEED" "$FUZZ"; do
	case $number in '' | *[!0-9]*) die "SEED=$SEED FUZZ=$FUZZ: use numbers" ;; esac
done
# Lines of kmod/ that must have run, of a hundred
COVERED=95
# What the module leaves in use: the records of lockdep, kmemleak and the stack
# depot; tests/limits.sh is exact
LEFT_KB=32768
# Taints of a module from outside the tree, and unsigned (TAINT_OOT_MODULE,
# TAINT_UNSIGNED_MODULE, include/linux/panic.h)
TAINTS=$((4096 + 8192))
# What the kernel says, or leaves out by its rate limit, where a page fault, or
# kmemleak itself, was made to fail
INJECTED='Huh VM_FAULT_OOM leaked|pagefault_out_of_memory: [0-9]* callbacks suppressed|kmemleak: Cannot allocate a scan area'
# What debug_load makes the kernel say, and looks for itself
REFUSED='k2u: .* must be |invalid for parameter|too large for parameter|fit in [0-9]* chars'

tmp=$(mktemp -d "${TMPDIR:-/tmp}/k2u-debug.XXXXXX")
trap 'rm -rf -- "$tmp"' EXIT
trap 'exit 130' INT TERM

status=0
"$top/scripts/kernel.sh" "$kernel" >"$tmp/kernel" 2>"$tmp/err" || status=$?
if [ "$status" -eq "$K2U_UNAVAILABLE" ]; then
	skip "all" "$(sed -n 's/^unavailable: //p' "$tmp/err")"
	tap_end
elif [ "$status" -ne 0 ]; then
	not_ok "the kernel and the module build" <"$tmp/err"
	tap_end
fi
ok "the kernel and the module build"
expect "the module builds without warnings" "$(grep -i 'warning:' "$(field log "$tmp/kernel")")"

programs=$(field programs "$tmp/kernel")/tests
set --
for program in "$programs"/guest_*; do
	case $program in
	*.d | *.o) ;;
	# Rows of the same code as others': no checks of the kernel differ, and
	# here each takes most of a second
	*/guest_hostile) set -- "$@" "guest_hostile -nobody -contig -pages -dma" ;;
	# Half a million page faults, so that free memory says whether their pages came
	# back: that it does on the other kernels
	*/guest_errors) set -- "$@" "guest_errors -leak" ;;
	*) set -- "$@" "${program##*/}" ;;
	esac
done
echo "# seed $SEED"
status=0
"$top/scripts/vm.sh" "--kernel=$kernel" --job=tests "--out=$tmp/out" --smp=2 --memory=2G \
	--timeout=2000 -- "$@" debug_failnth "debug_race $SEED" "debug_stream $SEED" "debug_skb $SEED" "debug_load 1" \
	"debug_fuzz --seed=$SEED --ops=$FUZZ" >"$tmp/vm" 2>&1 || status=$?
[ ! -s "$tmp/out/tap" ] || guest_tap "$tmp/out/tap" "$QUIET|$INJECTED|$REFUSED"
if [ "$status" -eq 0 ]; then
	ok "the tests run to their end, and the module is unloaded"
else
	not_ok "the tests run to their end, and the module is unloaded (status $status)" <<-END
		$(cat "$tmp/vm")
		$(tail -n 200 "$tmp/out/console" 2>/dev/null)
		repeat: SEED=$SEED FUZZ=$FUZZ tests/$K2U_ME $kernel
	END
	tap_end
fi

# ---- what the module leaves behind ----

expect "loading and unloading say only that the module is not of this kernel's tree" \
	"$(grep -vE "$QUIET|loading out-of-tree module taints|module verification failed|\] version magic: " \
		"$tmp/out/dmesg.txt" 2>/dev/null)"
state=$tmp/out/state
before=$(field taint_before "$state")
after=$(field taint_after "$state")
expect "the kernel is tainted by the load alone" "$(
	[ "$((before | TAINTS))" -eq "$after" ] || echo "taint $after, before $before")"
# What the boot has lost, before there was a process, is not ours: 6.1 keeps the
# caches of an ACPI that it gives up (sysfs_slab_release(), mm/slub.c)
expect "kmemleak finds nothing" "$(
	[ -n "$after" ] || echo "it was not asked"
	sed -n 's/^kmemleak_after=//p' "$state" | awk '
		/^unreferenced object/ {
			object = $0
			getline
			boot = /comm "swapper\/0", pid 0,/
			if (!boot)
				print object
		}
		!boot')"
before=$(field free_kb_before "$state")
after=$(field free_kb_after "$state")
echo "# MemFree $before kB before, $after kB after"
expect "memory is free again" "$(
	[ "$((before - after))" -le "$LEFT_KB" ] || echo "$((before - after)) kB are not")"

# ---- which lines ran ----

# coverage LISTED GCOV...: "file<tab>lines<tab>covered" lines, then what is wrong
# with LISTED after "!": each line there is a file, the text of one line that
# does not run, and the reason, between tabs; "at times: " ahead of it where it may run
coverage() {
	awk -F '\t' -v least="$COVERED" '
		function trim(text) {
			gsub(/[ \t]+/, " ", text)
			gsub(/^ | $/, "", text)
			return text
		}
		FILENAME == ARGV[1] {
			if ($0 ~ /^(#|$)/)
				next
			if (NF != 3)
				print "!" FILENAME ":" FNR ": not a file, a text and a reason"
			listed[$1 "\t" trim($2)]++
			if ($3 ~ /^at times: /)
				may_run[$1 "\t" trim($2)] = 1
			next
		}
		{
			count = $0
			sub(/:.*/, "", count)
			number = $0
			sub(/^[^:]*:/, "", number)
			text = number
			sub(/:.*/, "", number)
			sub(/^[^:]*:/, "", text)
			count = trim(count)
			number += 0
		}
		count == "-" && !number && text ~ /^Source:/ {
			file = substr(text, 8)
			ours = file ~ /^kmod\// && file !~ /have\.h$|\.mod\.c$/
		}
		!ours || !number || count == "-" { next }
		# Once for each function that it was compiled into
		{
			where = file "\t" number
			if (!(where in ran)) {
				lines[file]++
				ran[where] = 0
				texts[where] = trim(text)
			}
			if (count !~ /^[#=%]+$/)
				ran[where] = 1
		}
		END {
			for (where in ran) {
				split(where, part, "\t")
				if (ran[where]) {
					covered[part[1]]++
					continue
				}
				key = part[1] "\t" texts[where]
				if (listed[key] > 0)
					listed[key]--
				else
					print "!" part[1] ":" part[2] " did not run and is not listed: " texts[where]
			}
			for (key in listed)
				if (listed[key] > 0 && !(key in may_run))
					print "!is listed, but runs or is gone: " key
			for (file in lines) {
				print file "\t" lines[file] "\t" covered[file] + 0
				all += lines[file]
				run += covered[file]
			}
			if (!all || run * 100 < all * least)
				print "!" run + 0 " of " all + 0 " lines ran, which is less than " least " %"
		}' "$@"
}

case $kernel in
*-gcov)
	mkdir "$tmp/gcov"
	if ! { tar -xf "$tmp/out/gcov.tar" -C "$tmp/gcov" &&
		"$top/scripts/kernel.sh" --gcov "$kernel" "$tmp/gcov"; } 2>"$tmp/err"; then
		not_ok "the lines that ran are counted" <"$tmp/err"
		tap_end
	fi
	coverage "$top/tests/debug/uncovered" "$tmp/gcov"/*.gcov >"$tmp/coverage"
	grep -v '^!' "$tmp/coverage" | sort | awk -F '\t' '
		{ printf "#| %-24s %4d of %4d lines ran, %5.1f %%\n", $1, $3, $2, 100 * $3 / $2 }
		{ lines += $2; covered += $3 }
		END { if (lines) printf "#| %-24s %4d of %4d lines ran, %5.1f %%\n", "all", covered, lines, 100 * covered / lines }'
	expect "the lines of kmod/ run, but for those that are listed with a reason" \
		"$(sed -n 's/^!//p' "$tmp/coverage" | sort)"
	;;
esac
tap_end

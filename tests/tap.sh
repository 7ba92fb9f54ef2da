# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0
# TAP for the tests that are shell scripts. Sourced; set $tap_name first.

: "${tap_name:?}"
tap_n=0
tap_failed=0

ok() {
	tap_n=$((tap_n + 1))
	printf 'ok %d - %s: %s\n' "$tap_n" "$tap_name" "$*"
}

# not_ok NAME: what was expected and what came instead on stdin
not_ok() {
	tap_n=$((tap_n + 1))
	tap_failed=1
	printf 'not ok %d - %s: %s\n' "$tap_n" "$tap_name" "$*"
	sed 's/^/# /'
}

# skip NAME REASON
skip() {
	tap_n=$((tap_n + 1))
	printf 'ok %d - %s: %s # SKIP unavailable: %s\n' "$tap_n" "$tap_name" "$1" "$2"
}

# expect NAME WRONG: a test that passed if WRONG is empty
expect() {
	if [ -z "$2" ]; then
		ok "$1"
	else
		not_ok "$1" <<-END
			$2
		END
	fi
}

tap_end() {
	echo "1..$tap_n"
	exit "$tap_failed"
}

# What a kernel says by itself while it runs, on an emulated machine
# shellcheck disable=SC2034 # the scripts that source this use it
QUIET='tsc: |clocksource: |random: |perf: interrupt took too long|hrtimer: interrupt took|sched_clock:'
# Its fair server's, where the host gave it no CPU (replenish_dl_entity(), kernel/sched/deadline.c)
QUIET=$QUIET'|sched: DL replenish lagged too much'
# guest_hostile uses remap_file_pages()
QUIET=$QUIET'|TSC found unstable|uses deprecated remap_file_pages\(\) syscall'

# guest_lines FILE QUIET: "ok|not ok|skip|#<tab>program<tab>text" of what the
# programs of a guest said (scripts/vm.sh --job=tests)
guest_lines() {
	awk -F '\t' -v quiet="$2" '
		function result(verdict, name, text) {
			printf "%s\t%s\t%s\n", verdict, name, text
			if (verdict == "not ok")
				bad = 1
		}
		$2 ~ /^status / {
			if ($2 != "status 0" && !bad)
				result("not ok", $1, "ended with " $2)
			seen[$1] = 1
			bad = 0
			next
		}
		$2 == "dmesg" {
			if ($3 !~ quiet) {
				said[$1] = 1
				printf "#\t%s\t%s\n", $1, $3
			}
			next
		}
		# Until 1.1.6 cmocka says "not ok" of a test that is skipped; why was said before
		$2 ~ /^# unavailable: / { why = substr($2, 16); next }
		$2 ~ /^(not )?ok [0-9]+ # SKIP / {
			result("skip", $1, substr($2, index($2, "SKIP ") + 5) " # SKIP " why)
			next
		}
		$2 ~ /^ok / && $2 ~ /# SKIP/ { result("skip", $1, substr($2, index($2, "- ") + 2)); next }
		$2 ~ /^ok / { result("ok", $1, substr($2, index($2, "- ") + 2)); next }
		$2 ~ /^not ok / { result("not ok", $1, substr($2, index($2, "- ") + 2)); next }
		$2 !~ /^(TAP version [0-9]+|[0-9]+\.\.[0-9]+|# ok - .*)$/ { printf "#\t%s\t%s\n", $1, $2 }
		END {
			for (name in seen)
				result(name in said ? "not ok" : "ok", name, "adds nothing to the kernel log")
		}' "$1"
}

# guest_tap FILE QUIET: the same as our TAP; kernel messages that match QUIET
# are nobody's fault
guest_tap() {
	guest_lines "$1" "$2" >"$1.results"
	while IFS='	' read -r verdict name text; do
		case $verdict in
		ok) ok "$name: $text" ;;
		'not ok') not_ok "$name: $text" </dev/null ;;
		skip) skip "$name: ${text%% # SKIP*}" "${text#*# SKIP }" ;;
		*) printf '# %s: %s\n' "$name" "$text" ;;
		esac
	done <"$1.results"
}

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

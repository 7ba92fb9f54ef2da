# shellcheck shell=sh disable=SC2034,SC2154 # the caller sets top and tmp, and uses status
# SPDX-License-Identifier: GPL-2.0
# For tests that run the scripts as a user does: a copy of the checkout, so that
# REPORT.md stays as it is, and what a run leaves behind. Sourced, with $top and
# an empty directory $tmp; goes to the copy, whose path has a space.

# Seconds until something that must happen is given up
PATIENCE=240

chmod 755 "$tmp"
mkdir "$tmp/a copy" "$tmp/tmp" "$tmp/out"
tar --create --directory="$top" --exclude=./.git --exclude='./results/*/*' --exclude=./build/check \
	--exclude=./build/asan --exclude=./build/fuzz --exclude=./build/native . | tar --extract --directory="$tmp/a copy" --no-same-owner
chmod 1777 "$tmp/tmp"
cd -- "$tmp/a copy" || exit

# left_behind: processes, mounts, the module, temporary files of the last run
left_behind() {
	for process in /proc/[0-9]*; do
		# What a run starts has its TMPDIR; the test has not
		if grep -qsxzF "TMPDIR=$tmp/tmp" "$process/environ"; then
			printf 'process: %s\n' "$(grep -sao '[[:print:]]*' "$process/cmdline" | tr '\n' ' ')"
		fi
	done
	grep -F "$tmp" /proc/mounts || :
	[ ! -e /sys/module/k2u ] || echo "the module is loaded"
	ls -A "$tmp/tmp"
}

# start TARGET VARIABLE=VALUE...: make it in a session of its own, with $pid
start() {
	TMPDIR="$tmp/tmp" env --default-signal=INT setsid make "$@" >"$tmp/log" 2>&1 </dev/null &
	pid=$!
}

# until_true COMMAND...: wait for it while the run lasts; status 1 if it ended first
until_true() {
	patience=$PATIENCE
	while ! "$@" 2>/dev/null; do
		kill -0 "$pid" 2>/dev/null || return 1
		[ "$patience" -gt 0 ] || return 1
		patience=$((patience - 1))
		sleep 1
	done
}

# interrupt: Ctrl-C to what start began; sets $status
interrupt() {
	kill -s INT -- "-$pid" 2>>"$tmp/log" || :
	status=0
	wait "$pid" 2>/dev/null || status=$?
}

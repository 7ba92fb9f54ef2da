# shellcheck shell=sh disable=SC2034 # the scripts that source this use the names
# SPDX-License-Identifier: GPL-2.0
# What the scripts share. Sourced, after `top` was set to the checkout's root.

# Exit status of "cannot be had here", as in the kernel's selftests and automake
K2U_UNAVAILABLE=77
K2U_CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/k2u
K2U_ME=${0##*/}

say() {
	printf '%s\n' "$*" >&2
}

die() {
	say "$K2U_ME: $*"
	exit 1
}

unavailable() {
	say "unavailable: $*"
	exit "$K2U_UNAVAILABLE"
}

have() {
	command -v "$1" >/dev/null 2>&1
}

is_root() {
	[ "$(id -u)" -eq 0 ]
}

# plain_path NAME PATH: the path, which no program takes for an option. What lists
# of runs are split at is refused.
plain_path() {
	case $2 in
	*'
'* | *'	'*) die "$1: a line break or a tab in '$2': choose another name" ;;
	-*) printf './%s' "$2" ;;
	*) printf '%s' "$2" ;;
	esac
}

# field KEY FILE: the value of a key=value line
field() {
	sed -n "s/^$1=//p" "$2"
}

# sha256 FILE: the digest alone
sha256() {
	sha256sum <"$1" | cut -d ' ' -f 1
}

# with_private_mounts COMMAND...: what COMMAND mounts is seen by nobody else and
# goes with its last process, however that ends.
with_private_mounts() {
	if ! is_root; then
		unshare --map-root-user --mount "$@"
	elif unshare --mount true 2>/dev/null; then
		unshare --mount "$@"
	else
		# In a chroot "/" is no mount point, so unshare cannot set its
		# propagation; joining our own namespace resets the root to one.
		# shellcheck disable=SC2016 # expanded by the inner shell
		unshare --mount --propagation unchanged sh -c '
			nsenter --mount=/proc/self/ns/mnt mount --make-rprivate / &&
			exec "$@"' sh "$@"
	fi
}

# part COMMAND...: run it so that an interrupt reaches us at once; sets $status.
# The caller's interrupted() is called where COMMAND was interrupted, and calls
# end_part where we were.
part_process=''
part() {
	status=0
	"$@" &
	part_process=$!
	wait "$part_process" || status=$?
	part_process=''
	[ "$status" -ne 130 ] || interrupted
}

end_part() {
	[ -n "$part_process" ] || return 0
	kill -TERM "$part_process" 2>/dev/null || :
	wait "$part_process" 2>/dev/null || :
}

# guest_jobs VENUE: how many guests may run side by side. Where the clock counts
# instructions they cannot disturb each other.
guest_jobs() {
	if [ "$1" = icount ]; then nproc; else echo 1; fi
}

# Kernel log lines that mean that something is broken
K2U_SPLAT='Kernel panic|Oops|BUG:|WARNING:|INFO: (rcu|task)|Call Trace|KASAN|KFENCE|KMSAN|UBSAN|general protection|possible recursive|circular locking|unregister_|refcount_t:'

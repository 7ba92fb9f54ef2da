#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Style: clang-format, checkpatch, sparse, shellcheck.
#
#	tests/style.sh		TAP on stdout; exit status 1 if a test failed
#
# checkpatch.pl comes from Debian's linux-source package and is kept in the
# cache; sparse checks the module against the headers of Debian's 6.1.
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"
cd "$top"

SOURCE=linux-source-6.1
checkpatch=$K2U_CACHE/checkpatch/checkpatch.pl
tmp=$(mktemp -d)
trap 'rm -rf -- "$tmp"' EXIT
trap 'exit 130' INT TERM

# fetch_checkpatch: 0 if $checkpatch is there, else the reason in $tmp/reason
fetch_checkpatch() {
	[ -s "$checkpatch" ] && return 0
	have apt-get || { echo "no apt-get to fetch $SOURCE with" >"$tmp/reason"; return 1; }
	mkdir -p "$tmp/deb" "$tmp/checkpatch" "$K2U_CACHE"
	# A download as root is done by user _apt, who must be able to write here.
	chmod 755 "$tmp"
	! is_root || chown _apt "$tmp/deb"
	if ! (cd "$tmp/deb" && apt-get download -qq "$SOURCE") >"$tmp/log" 2>&1; then
		echo "apt-get download $SOURCE: $(grep -m 1 '^E:' "$tmp/log" || tail -n 1 "$tmp/log")" \
			>"$tmp/reason"
		return 1
	fi
	dpkg-deb --fsys-tarfile "$tmp"/deb/*.deb |
		tar -xO "./usr/src/$SOURCE.tar.xz" |
		tar -xJ -C "$tmp/checkpatch" --strip-components=2 \
			"$SOURCE/scripts/checkpatch.pl" "$SOURCE/scripts/spelling.txt" \
			"$SOURCE/scripts/const_structs.checkpatch" 2>"$tmp/log" || :
	if [ ! -s "$tmp/checkpatch/checkpatch.pl" ]; then
		echo "checkpatch.pl of $SOURCE: $(head -n 1 "$tmp/log")" >"$tmp/reason"
		return 1
	fi
	mv -- "$tmp/checkpatch" "$K2U_CACHE/checkpatch.new"
	rm -rf -- "$K2U_CACHE/checkpatch"
	mv -- "$K2U_CACHE/checkpatch.new" "$K2U_CACHE/checkpatch"
}

n=0
failed=0
# report NAME STATUS: the output is in $tmp/out
report() {
	n=$((n + 1))
	if [ "$2" -eq 0 ]; then
		echo "ok $n - style: $1"
	else
		failed=1
		echo "not ok $n - style: $1"
		head -n 60 "$tmp/out" | sed 's/^/# /'
	fi
}
skip() {
	n=$((n + 1))
	echo "ok $n - style: $1 # SKIP unavailable: $2"
}
# run NAME COMMAND...
run() {
	name=$1
	shift
	status=0
	"$@" >"$tmp/out" 2>&1 || status=1
	report "$name" "$status"
}

# What checkpatch asks of the kernel alone: its types, its wrappers of compiler
# attributes, no volatile, strings that grep finds whole; and what clang-format
# settles (checkpatch takes the minus of 1e-9 for an operator)
USER_SPACE=PREFER_KERNEL_TYPES,PREFER_DEFINED_ATTRIBUTE_MACRO,VOLATILE,SPLIT_STRING
USER_SPACE=$USER_SPACE,LONG_LINE_STRING,MULTIPLE_ASSIGNMENTS,EMBEDDED_FUNCTION_NAME,CAMELCASE
USER_SPACE=$USER_SPACE,SPACING,PARENTHESIS_ALIGNMENT,LONG_LINE

# c_files DIR...
c_files() {
	find "$@" -name '*.[ch]' ! -name '*.mod.c' ! -name have.h | sort
}
sh_files() {
	find scripts tests -name '*.sh' | sort
	echo .ci/run
}

if have clang-format; then
	# shellcheck disable=SC2046 # our own names have no spaces
	run clang-format clang-format --dry-run --Werror $(c_files kmod include bench stat tests)
else
	skip clang-format "clang-format is not installed: run scripts/deps.sh --for=check"
fi

if have shellcheck; then
	# shellcheck disable=SC2046
	run shellcheck shellcheck -x $(sh_files)
else
	skip shellcheck "shellcheck is not installed: run scripts/deps.sh --for=check"
fi

if fetch_checkpatch; then
	# shellcheck disable=SC2046
	run "checkpatch, kernel" "$checkpatch" --terse --no-summary -f $(c_files kmod include)
	# shellcheck disable=SC2046
	run "checkpatch, user space" "$checkpatch" --terse --no-summary --ignore "$USER_SPACE" \
		-f $(c_files bench stat tests)
else
	skip "checkpatch, kernel" "$(cat "$tmp/reason")"
	skip "checkpatch, user space" "$(cat "$tmp/reason")"
fi

if have sparse; then
	status=0
	scripts/kernel.sh --sparse 6.1 >"$tmp/out" 2>&1 || status=$?
	if [ "$status" -eq "$K2U_UNAVAILABLE" ]; then
		skip sparse "$(sed -n 's/^unavailable: //p' "$tmp/out")"
	else
		report sparse "$status"
	fi
else
	skip sparse "sparse is not installed: run scripts/deps.sh --for=check"
fi
echo "1..$n"
exit "$failed"

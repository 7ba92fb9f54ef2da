#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# What docs/PRIVILEGES.md says needs no root, as uid nobody in a checkout of
# nobody's own; and what does need it, that it says so.
#
#	tests/unprivileged.sh	TAP on stdout; exit status 1 if a test failed
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"
tap_name=unprivileged
# shellcheck source=tests/tap.sh
. "$top/tests/tap.sh"

KERNEL=6.1
tmp=$(mktemp -d "${TMPDIR:-/tmp}/k2u-nobody.XXXXXX")
trap 'rm -rf -- "$tmp"' EXIT
trap 'exit 130' INT TERM
cache=$K2U_CACHE
# shellcheck source=tests/copy.sh
. "$top/tests/copy.sh"
copy=$PWD
mkdir "$tmp/a home" "$tmp/cache" "$tmp/cache/k2u" "$tmp/cache/k2u/kernel"

# nobody COMMAND...
nobody() {
	if is_root; then
		setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
	else
		"$@"
	fi
}

# The kernel's files are ours and are read; its directories are nobody's, who
# builds the module there. Linked: they are 500 MB
warm=no
if [ -e "$cache/kernel/$KERNEL/rootfs/k2u/release" ] &&
	cp -al -- "$cache/kernel/$KERNEL" "$tmp/cache/k2u/kernel/" 2>/dev/null; then
	warm=yes
fi
if is_root; then
	chown -R 65534:65534 "$copy" "$tmp/a home" "$tmp/out" "$tmp/tmp"
	find "$tmp/cache" -type d -exec chown 65534:65534 {} +
fi

# as_nobody NAME STATUS PATTERN COMMAND...
as_nobody() {
	name=$1
	want=$2
	pattern=$3
	shift 3
	status=0
	nobody env "HOME=$tmp/a home" "XDG_CACHE_HOME=$tmp/cache" "TMPDIR=$tmp/tmp" LC_ALL=C.UTF-8 \
		timeout 300 "$@" >"$tmp/log" 2>&1 </dev/null || status=$?
	{
		[ "$status" -eq "$want" ] || echo "status $status instead of $want: $*"
		[ -z "$pattern" ] || grep -qE -e "$pattern" "$tmp/log" || echo "no '$pattern' in what $* says"
	} >"$tmp/wrong"
	[ ! -s "$tmp/wrong" ] || tail -n 5 "$tmp/log" >>"$tmp/wrong"
	expect "$name" "$(cat "$tmp/wrong")"
}

# ---- no root needed ----

as_nobody "make programs" 0 '' make programs unit-tests
for test in build/tests/test_*; do
	case $test in *.d | *.o) continue ;; esac
	as_nobody "${test##*/}" 0 '' "$test"
done
as_nobody "k2u-bench list" 0 '^tree +read +memfd +wb +copy +yes' build/k2u-bench list
as_nobody "k2u-bench run" 0 '' build/k2u-bench run --providers=tree --methods=read,fault --measures=throughput \
	--quick --blocks=6 --sizes=4K "--out=$tmp/out/run"
as_nobody "summarize" 0 '' build/k2u-stat summarize "$tmp/out/run"
as_nobody "make compare" 0 'The kernel is the same' make compare "BASE=$tmp/out/run" "NEW=$tmp/out/run"
as_nobody "make report" 0 'REPORT.md: written' make report "RUNS=$tmp/out/run"
as_nobody "deps.sh where nothing is missing" 0 '' scripts/deps.sh --for=bench
if [ "$warm" = no ]; then
	skip "a guest" "no kernel $KERNEL in $cache to link to"
elif ! nobody unshare --map-root-user --mount true 2>/dev/null; then
	as_nobody "a guest, without user namespaces" 1 'unshare' scripts/vm.sh "--kernel=$KERNEL" --job=probe
else
	as_nobody "a guest" 0 '^venue=' scripts/vm.sh "--kernel=$KERNEL" --job=tests "--out=$tmp/out/guest" \
		--timeout=240 -- guest_alias
fi

# ---- root needed: said, with the reason ----

as_nobody "make bench VENUE=native" 2 'VENUE=native: .*(loading a module needs root: sudo make bench|no loadable modules)' \
	make bench VENUE=native QUICK=1 "OUT=$tmp/out/native"
mkdir "$tmp/bin"
for program in sh dirname sed cut tr grep id cat printf env gcc; do
	ln -s "$(command -v "$program")" "$tmp/bin/"
done
printf '#!/bin/sh\n' >"$tmp/bin/apt-get"
chmod 755 "$tmp/bin" "$tmp/bin/apt-get"
as_nobody "deps.sh where something is missing" 1 'as root, run: apt-get update && apt-get install' \
	env "PATH=$tmp/bin" scripts/deps.sh --for=guest
if grep -q "^$(nobody id -un):" /etc/subuid 2>/dev/null; then
	skip "a kernel's root is made" "this user has subordinate ids, so it would be fetched"
else
	as_nobody "a kernel's root without uidmap" 77 'be root, or install uidmap and have a line in /etc/subuid' \
		env "XDG_CACHE_HOME=$tmp/out" scripts/kernel.sh "$KERNEL"
fi
expect "nothing is left behind" "$(left_behind)"
tap_end

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# make install and make uninstall: run as root in a system that is thrown away, with
# dkms and a kernel's headers (tests/native.sh does). TAP on stdout; exit status 1
# if a test failed.
#
#	tests/install.sh --load [ARCHIVE]	for the running kernel: installed by DKMS, or
#				from ARCHIVE; loaded
#	tests/install.sh --upgrade RELEASE DIR ARCHIVE	not loaded, so it may be a chroot:
#				without DKMS, and with it for kernel RELEASE, which goes
#				to ARCHIVE as it is installed; then the kernel is
#				upgraded to that whose headers' packages are in DIR (its
#				name in the file release)
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"
case ${1-}.$# in
--load.[12]) release=$(uname -r) load=yes other='' archive=${2-} ;;
--upgrade.4) release=$2 load=no other=$3 archive=$4 ;;
*) die "usage: install.sh --load [ARCHIVE] | --upgrade RELEASE DIR ARCHIVE: in a system that is thrown away, it installs and removes packages" ;;
esac
# What scripts/install.sh installs for, and by itself if it runs
[ "$load" = yes ] || export KRELEASE="$release"
tap_name=install
# shellcheck source=tests/tap.sh
. "$top/tests/tap.sh"
cd -- "$top"

tmp=$(mktemp -d "${TMPDIR:-/tmp}/k2u-install.XXXXXX")
trap 'rm -rf -- "$tmp"' EXIT
trap 'exit 130' INT TERM
version=$(sed -n 's/^#define K2U_VERSION "\(.*\)"/\1/p' include/version.h)
dkms=$(command -v dkms)

# snapshot FILE: what there is where an installation writes, but the headers
# themselves, and DKMS's own key, which it makes at its first build
snapshot() {
	find /lib/modules /usr/src /var/lib/dkms /etc -xdev \
		\( -path '/usr/src/linux-*' -o -path /var/lib/dkms/mok.key -o -path /var/lib/dkms/mok.pub \) -prune \
		-o -printf '%y %m %u %p %l\n' | sort >"$1"
}

# job NAME ARGUMENT...: make ARGUMENT... succeeds; what it said is in $tmp/said
job() {
	name=$1
	shift
	began=$(date +%s)
	status=0
	make --no-print-directory "$@" >"$tmp/said" 2>&1 || status=$?
	expect "$name" "$([ "$status" -eq 0 ] || { echo "status $status"; cat "$tmp/said"; })"
	echo "# make $1 took $(($(date +%s) - began)) s"
}

# says TEXT: the last job said it
says() {
	expect "it says: $1" "$(grep -qF -- "$1" "$tmp/said" || cat "$tmp/said")"
}

# found FILE: it is what modprobe loads; where that can be, it does, and it works
found() {
	expect "modprobe finds $1" "$(
		[ "$(modinfo -k "$release" -n k2u 2>&1)" = "$1" ] || modinfo -k "$release" -n k2u 2>&1
	)"
	[ "$load" = yes ] || return 0
	expect "it is loaded, and works" "$(
		modprobe k2u 2>&1
		[ -c /dev/k2u ] || echo "there is no /dev/k2u"
		[ "$(head -c 8 /dev/k2u | wc -c)" -eq 8 ] || echo "it cannot be read"
	)"
}

# built_for RELEASE: the module that is installed for it is of it
built_for() {
	expect "the module of $1 is built for it" "$(
		found=$(modinfo -k "$1" -F vermagic k2u 2>&1)
		[ "${found%% *}" = "$1" ] || echo "vermagic: $found"
	)"
}

nothing_left() {
	snapshot "$tmp/after"
	expect "make uninstall leaves nothing: $(wc -l <"$tmp/before") files and directories as before" \
		"$(diff "$tmp/before" "$tmp/after" | grep '^[<>]' | head -n 20)"
}

# The index of modules is there before, as on any system
depmod "$release"
snapshot "$tmp/before"

# ---- refusals ----

status=0
setpriv --reuid=65534 --regid=65534 --clear-groups scripts/install.sh install >"$tmp/said" 2>&1 || status=$?
expect "who is not root is told what needs root" "$(
	[ "$status" -eq 1 ] || echo "status $status"
	grep -qF 'make install needs root: it writes to /usr/src' "$tmp/said" || cat "$tmp/said"
)"
status=0
make --no-print-directory install KRELEASE=5.9.0-none >"$tmp/said" 2>&1 || status=$?
expect "a kernel without headers is named, with the package" "$(
	[ "$status" -ne 0 ] || echo "it succeeds"
	grep -qF 'apt-get install linux-headers-5.9.0-none' "$tmp/said" || cat "$tmp/said"
)"

# ---- without DKMS ----

if [ "$load" = no ]; then
	mv -- "$dkms" "$dkms.off"
	job "make install without dkms" install
	says "after an upgrade of the kernel make install is due again"
	found "/lib/modules/$release/updates/k2u.ko"
	built_for "$release"
	job "make uninstall without dkms" uninstall
	nothing_left
	mv -- "$dkms.off" "$dkms"
fi

# ---- with DKMS ----

if [ "$load" = yes ] && [ -n "$archive" ]; then
	# Which is how it was built for this kernel elsewhere. Here it would take minutes
	build=/lib/modules/$release/build
	mv -- "$build" "$build.off"
	status=0
	make --no-print-directory install >"$tmp/said" 2>&1 || status=$?
	expect "make install is for the running kernel" "$(
		[ "$status" -ne 0 ] || echo "without headers it succeeds"
		grep -qF "there are no kernel headers of $release:" "$tmp/said" || cat "$tmp/said"
	)"
	mv -- "$build.off" "$build"
	expect "an installation for it by DKMS is put in place" "$(tar -xf "$archive" -C / 2>&1)"
else
	job "make install with dkms" install
	says "by DKMS, which builds it for later kernels, too"
	[ -z "$archive" ] || (cd / && tar -cf "$archive" "usr/src/k2u-$version" var/lib/dkms \
		"lib/modules/$release/updates" "lib/modules/$release"/modules.*)
fi
found "/lib/modules/$release/updates/dkms/k2u.ko"
built_for "$release"
expect "dkms status says installed" "$(
	dkms status "k2u/$version" -k "$release" 2>&1 | grep -q ': installed$' || dkms status 2>&1
)"
if [ "$load" = yes ]; then
	exec 4</dev/k2u
	status=0
	make --no-print-directory uninstall >"$tmp/said" 2>&1 || status=$?
	exec 4<&-
	expect "make uninstall refuses while the device is open, and removes nothing" "$(
		[ "$status" -ne 0 ] || echo "it succeeds"
		grep -qF 'k2u is in use' "$tmp/said" || cat "$tmp/said"
		[ -e "/lib/modules/$release/updates/dkms/k2u.ko" ] || echo "the module is gone"
	)"
elif [ ! -e "$other/release" ]; then
	skip "the kernel is upgraded" "the packages of no other kernel's headers could be had"
else
	upgrade=$(cat "$other/release")
	began=$(date +%s)
	status=0
	DEBIAN_FRONTEND=noninteractive dpkg --install "$other"/*.deb >"$tmp/said" 2>&1 || status=$?
	echo "# installing the headers of $upgrade took $(($(date +%s) - began)) s"
	expect "the headers of $upgrade are installed, and DKMS is run by that" "$(
		[ "$status" -eq 0 ] || cat "$tmp/said"
		[ -e "/lib/modules/$upgrade/updates/dkms/k2u.ko" ] || cat "$tmp/said"
	)"
	built_for "$upgrade"
	expect "$release has its own still" "$(
		modinfo -k "$release" -n k2u 2>&1 | grep -vxF "/lib/modules/$release/updates/dkms/k2u.ko")"
fi
job "make uninstall with dkms" uninstall
expect "the module is unloaded" "$([ ! -e /sys/module/k2u ] || echo "it is still loaded")"
if [ -n "${upgrade-}" ]; then
	expect "nothing of it is left for $upgrade" "$(find "/lib/modules/$upgrade" -name 'k2u*' -o -name updates)"
	dpkg --purge "linux-headers-$upgrade" "$(dpkg-deb -f "$other"/*common*.deb Package)" >"$tmp/said" 2>&1 || cat "$tmp/said"
	# depmod made an index for it
	[ ! -d "/lib/modules/$upgrade" ] || rm -r "/lib/modules/$upgrade"
fi
nothing_left
job "make uninstall where nothing is installed" uninstall
says "k2u is not installed"
tap_end

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Install the module into this system, by DKMS where that is; take it out again.
#
#	scripts/install.sh install	make install
#	scripts/install.sh uninstall	make uninstall
#
# With DKMS the sources go to /usr/src/k2u-VERSION, and every kernel that is
# installed later gets its module. Without, the module of the running kernel goes
# to /lib/modules/RELEASE/updates. Nothing is loaded: modprobe k2u.
# KRELEASE=RELEASE is another kernel than the running one.
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"
cd -- "$top"
unset MAKEFLAGS MFLAGS MAKELEVEL
PATH=$PATH:/usr/sbin:/sbin
KRELEASE=${KRELEASE:-$(uname -r)}
version=$(sed -n 's/^#define K2U_VERSION "\(.*\)"/\1/p' include/version.h)

tmp=$(mktemp -d "${TMPDIR:-/tmp}/k2u-install.XXXXXX")
trap 'rm -rf -- "$tmp"' EXIT
trap 'exit 130' INT TERM

# sources DIR: what the module is built from, without what a build left
sources() {
	mkdir -p -- "$1"
	tar --create --owner=0 --group=0 --mode=u=rwX,go=rX \
		--exclude='*.o' --exclude='*.ko' --exclude='*.mod' --exclude='*.mod.c' \
		--exclude='.*.cmd' --exclude='.tmp_versions' --exclude=Module.symvers \
		--exclude=modules.order --exclude='kmod/compat/have.h' \
		kmod include dkms.conf LICENSE | tar --extract --directory="$1"
}

# run WHAT COMMAND...: its output is shown only if it fails
run() {
	what=$1
	shift
	"$@" >"$tmp/log" 2>&1 </dev/null || {
		status=$?
		cat "$tmp/log" >&2
		die "$what failed (status $status); what it says is above"
	}
}

# remove: all versions, for all kernels; sets $removed
remove() {
	removed=''
	if have dkms; then
		for state in /var/lib/dkms/k2u/*/source; do
			[ -L "$state" ] || continue
			state=${state%/source}
			run "dkms remove" dkms remove "k2u/${state##*/}" --all
			# Without /dev/fd it does nothing, and says that with status 0
			if [ -e "$state" ]; then
				cat "$tmp/log" >&2
				die "dkms remove k2u/${state##*/} has left $state; what it says is above"
			fi
			removed="$removed k2u/${state##*/} of DKMS,"
		done
	elif [ -e /var/lib/dkms/k2u ]; then
		die "k2u was installed by DKMS, which is gone: apt-get install dkms, then make uninstall"
	fi
	for dir in /usr/src/k2u-[0-9]*; do
		[ -e "$dir/kmod/k2u_mod.h" ] || continue
		rm -rf -- "$dir"
		removed="$removed $dir,"
	done
	for ko in /lib/modules/*/updates/k2u.ko*; do
		[ -e "$ko" ] || continue
		rm -- "$ko"
		dir=${ko%/updates/*}
		depmod "${dir##*/}"
		removed="$removed $ko,"
	done
	# Of the directories those that hold nothing else
	for dir in /lib/modules/*/updates/dkms /lib/modules/*/updates; do
		[ ! -d "$dir" ] || rmdir --ignore-fail-on-non-empty -- "$dir"
	done
}

install() {
	[ -e "/lib/modules/$KRELEASE/build/Makefile" ] ||
		die "there are no kernel headers of $KRELEASE: apt-get install linux-headers-$KRELEASE"
	for command in make gcc depmod; do
		have "$command" || die "$command is not installed: apt-get install make gcc kmod"
	done
	grep -q "^PACKAGE_VERSION=\"$version\"\$" dkms.conf || die "dkms.conf is not of version $version"
	remove
	[ -z "$removed" ] || say "replacing:${removed%,}"
	if have dkms; then
		sources "/usr/src/k2u-$version"
		dkms install "k2u/$version" -k "$KRELEASE" >"$tmp/log" 2>&1 </dev/null || {
			status=$?
			cat "$tmp/log" >&2
			cat "/var/lib/dkms/k2u/$version/build/make.log" >&2 2>/dev/null || :
			remove
			die "dkms install failed (status $status), and was undone; what it says is above"
		}
		say "k2u $version is installed for $KRELEASE by DKMS, which builds it for later kernels, too"
	else
		sources "$tmp/src"
		run "the build" make -C "/lib/modules/$KRELEASE/build" "M=$tmp/src/kmod" modules
		run "the installation" make -C "/lib/modules/$KRELEASE/build" "M=$tmp/src/kmod" \
			INSTALL_MOD_DIR=updates modules_install
		run depmod depmod "$KRELEASE"
		say "k2u $version is installed for $KRELEASE alone: dkms is not installed, so after an upgrade of the kernel make install is due again (or apt-get install dkms, and make install once more)"
	fi
	say "load it: modprobe k2u"
}

uninstall() {
	if [ -e /sys/module/k2u ]; then
		rmmod k2u || die "k2u is in use: end what has /dev/k2u open or mapped, and try again"
	fi
	remove
	if [ -n "$removed" ]; then
		say "removed:${removed%,}"
	else
		say "k2u is not installed"
	fi
}

case ${1-} in install | uninstall) ;; *) die "usage: install.sh install | uninstall" ;; esac
is_root || die "make $1 needs root: it writes to /usr/src, /var/lib/dkms and /lib/modules (sudo make $1)"
"$1"

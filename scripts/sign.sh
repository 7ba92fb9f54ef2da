#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Sign k2u.ko for a kernel that takes signed modules only (Secure Boot).
#
#	scripts/sign.sh [--key=FILE --cert=FILE] [--sign-file=PROGRAM] [MODULE]
#
# MODULE	the module (default kmod/k2u.ko: run "make module" first); a signature
#		that it has already is replaced
# --key, --cert	private key (PEM, or a pkcs11: URI) and its certificate (X.509, DER
#		or PEM). Without them those of ${XDG_DATA_HOME:-~/.local/share}/k2u are
#		used: mok.key, mok.der, which are made if they are not there
# --sign-file	the kernel's scripts/sign-file (default: of the kernel headers in KDIR,
#		or /lib/modules/$(uname -r)/build)
#
# A key's passphrase is taken from KBUILD_SIGN_PIN. Needs no root, unless the key
# is root's. Enrolling the certificate does: docs/INSTALL.md, Secure Boot.
set -eu
umask 077
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"

MARKER='~Module signature appended~'

usage() {
	die "usage: sign.sh [--key=FILE --cert=FILE] [--sign-file=PROGRAM] [MODULE]"
}

key='' cert='' sign_file='' module=''
while [ $# -gt 0 ]; do
	case $1 in
	--key=?*) key=${1#*=} ;;
	--cert=?*) cert=${1#*=} ;;
	--sign-file=?*) sign_file=${1#*=} ;;
	-*) usage ;;
	*)
		[ -z "$module" ] || usage
		module=$1
		;;
	esac
	shift
done
module=${module:-$top/kmod/k2u.ko}
kdir=${KDIR:-/lib/modules/$(uname -r)/build}
sign_file=${sign_file:-$kdir/scripts/sign-file}

# is_signed FILE: struct module_signature and the marker are its end
# (include/linux/module_signature.h)
is_signed() {
	[ "$(tail -c 28 -- "$1" | tr -d '\0')" = "$MARKER" ]
}

# signature_size FILE: the bytes of its signature, all of it
signature_size() {
	# sig_len is big-endian, the last member
	tail -c 32 -- "$1" | head -c 4 | od -An -tu1 |
		awk '{ print (($1 * 256 + $2) * 256 + $3) * 256 + $4 + 12 + 28 }'
}

make_key() {
	have openssl || die "openssl is not installed, and there is no key yet: apt-get install openssl, or pass --key= and --cert="
	mkdir -p -- "$(dirname -- "$key")"
	# 1.3.6.1.4.1.2312.16.1.2: for modules alone; shim boots nothing by it
	openssl req -new -x509 -newkey rsa:2048 -nodes -sha256 -days 3650 \
		-subj "/CN=k2u module signing key of $(uname -n)/" \
		-addext "extendedKeyUsage=codeSigning,1.3.6.1.4.1.2312.16.1.2" \
		-addext "basicConstraints=critical,CA:FALSE" -addext "keyUsage=digitalSignature" \
		-keyout "$key.new" -outform DER -out "$cert" 2>"$tmp/openssl" || {
		cat "$tmp/openssl" >&2
		die "openssl made no key"
	}
	# Last: a key that is there has its certificate
	mv -- "$key.new" "$key"
	say "made $key and $cert: keep the key to yourself"
}

tmp=$(mktemp -d "${TMPDIR:-/tmp}/k2u-sign.XXXXXX")
trap 'rm -rf -- "$tmp"' EXIT
trap 'exit 130' INT TERM

[ -f "$module" ] || die "there is no module $module: run make module"
[ "$(head -c 4 -- "$module" | od -An -tx1 | tr -d ' ')" = 7f454c46 ] ||
	die "$module is no kernel module (a compressed one: unpack it first)"
[ -x "$sign_file" ] ||
	die "there is no $sign_file: apt-get install linux-headers-$(uname -r), or pass KDIR= or --sign-file="
{ [ -z "$key" ] && [ -z "$cert" ]; } || { [ -n "$key" ] && [ -n "$cert" ]; } ||
	die "--key= and --cert= belong together: pass both, or neither"
if [ -z "$key" ]; then
	key=${XDG_DATA_HOME:-${HOME:-/root}/.local/share}/k2u/mok.key
	cert=${key%.key}.der
	[ -e "$key" ] || make_key
fi
for file in "$key" "$cert"; do
	case $file in pkcs11:*) continue ;; esac
	[ -r "$file" ] || die "cannot read $file: does it exist, and is it yours?"
done

cp -- "$module" "$tmp/module"
while is_signed "$tmp/module"; do
	size=$(signature_size "$tmp/module")
	[ "$size" -lt "$(stat -c %s -- "$tmp/module")" ] || die "$module: its signature is broken: build it again"
	truncate -s "-$size" -- "$tmp/module"
done
"$sign_file" sha256 "$key" "$cert" "$tmp/module" 2>"$tmp/err" ||
	die "$sign_file failed: $(tr '\n' ' ' <"$tmp/err")"
is_signed "$tmp/module" || die "$sign_file left no signature"
if have modinfo || [ -x /usr/sbin/modinfo ]; then
	mv -- "$tmp/module" "$tmp/k2u.ko"
	PATH=$PATH:/usr/sbin:/sbin modinfo "$tmp/k2u.ko" >"$tmp/modinfo"
	signer=$(sed -n 's/^signer: *//p' "$tmp/modinfo")
	hash=$(sed -n 's/^sig_hashalgo: *//p' "$tmp/modinfo")
	[ -n "$signer" ] || hash=""
	[ "$hash" = sha256 ] || die "modinfo sees no signature in what $sign_file made"
	mv -- "$tmp/k2u.ko" "$tmp/module"
else
	signer='unavailable: modinfo is not installed'
fi
cat -- "$tmp/module" >"$module"
say "signed $module; signer: $signer"
# 0 is "is already enrolled" of --test-key of old versions, too: read what it says
if have mokutil && mokutil --test-key "$cert" 2>&1 | grep -q 'already enrolled'; then
	say "its certificate is enrolled on this machine"
else
	say "once, as root: mokutil --import $cert; then reboot, and confirm it (docs/INSTALL.md, Secure Boot)"
fi

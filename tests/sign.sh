#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# scripts/sign.sh, and what a kernel that enforces signatures does with its work:
# a stock kernel refuses the unsigned module, one of a foreign key and a corrupted
# one; a kernel whose key signed it takes it.
#
#	tests/sign.sh [KERNEL]	TAP on stdout; exit status 1 if a test failed
#
# KERNEL (default 6.12): a ...-debug kernel is one whose key we have.
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"
[ $# -le 1 ] || die "usage: sign.sh [KERNEL]"
kernel=${1:-6.12}
tap_name="sign $kernel"
# shellcheck source=tests/tap.sh
. "$top/tests/tap.sh"

tmp=$(mktemp -d "${TMPDIR:-/tmp}/k2u-sign.XXXXXX")
trap 'rm -rf -- "$tmp"' EXIT
trap 'exit 130' INT TERM

# A copy, because its k2u.ko becomes a signed one
copy=$tmp/k2u
mkdir "$copy"
tar --create --directory="$top" --exclude=./.git --exclude=./results --exclude=./build/check \
	--exclude=./build/native . | tar --extract --directory="$copy"

# provide KERNEL: what kernel.sh says of it in $tmp/KERNEL; skips all if it is not to be had
provide() {
	status=0
	"$copy/scripts/kernel.sh" "$1" >"$tmp/$1" 2>"$tmp/err" || status=$?
	if [ "$status" -eq "$K2U_UNAVAILABLE" ]; then
		skip "signing" "$(sed -n 's/^unavailable: //p' "$tmp/err")"
		tap_end
	elif [ "$status" -ne 0 ]; then
		not_ok "the module builds" <"$tmp/err"
		tap_end
	fi
}
provide "$kernel"
ko=$(field ko "$tmp/$kernel")
build=$(field build "$tmp/$kernel")

# root_of KERNEL: the root that has its headers
root_of() {
	vmlinuz=$(field vmlinuz "$tmp/$1")
	echo "${vmlinuz%/k2u/vmlinuz}"
}

# One that runs on this system: all append the same kind of signature
sign_file=''
[ "$kernel" = 6.1 ] || provide 6.1
for program in "$build/scripts/sign-file" "$(root_of "$kernel")"/usr/lib/linux-kbuild-*/scripts/sign-file \
	"$(root_of 6.1)"/usr/lib/linux-kbuild-*/scripts/sign-file; do
	# Its usage, by exit status 2; a program of a newer libc has another
	status=0
	"$program" >/dev/null 2>&1 </dev/null || status=$?
	[ "$status" -ne 2 ] || { sign_file=$program && break; }
done
if [ -z "$sign_file" ]; then
	skip "signing" "no sign-file of kernel $kernel or 6.1 runs on this system"
	tap_end
fi

# sign ARGUMENT...: sets $status; what it said is in $tmp/said
sign() {
	status=0
	XDG_DATA_HOME=$tmp/data "$copy/scripts/sign.sh" "--sign-file=$sign_file" "$@" >"$tmp/said" 2>&1 || status=$?
}

# refused NAME TEXT ARGUMENT...
refused() {
	name=$1
	text=$2
	shift 2
	sign "$@"
	expect "$name" "$(
		[ "$status" -eq 1 ] || echo "status $status, expected 1"
		grep -qF -- "$text" "$tmp/said" || { echo "expected: $text; got:"; cat "$tmp/said"; }
	)"
}

# ---- the script ----

plain=$(sha256 "$ko")
refused "no such module" "there is no module $tmp/none.ko: run make module" "$tmp/none.ko"
refused "something else than a module" "README.md is no kernel module" "$copy/README.md"
refused "half a key" "--key= and --cert= belong together" "--key=$copy/README.md" "$ko"
refused "a key that is not there" "cannot read $tmp/none.key" "--key=$tmp/none.key" "--cert=$copy/README.md" "$ko"
refused "a key that is none" "sign-file failed" "--key=$copy/README.md" "--cert=$copy/README.md" "$ko"
refused "an unknown option" "usage: sign.sh" --sign=x "$ko"
refused "no sign-file" "there is no $tmp/none" "--sign-file=$tmp/none" "$ko"
expect "what was refused has changed nothing" "$(
	[ "$(sha256 "$ko")" = "$plain" ] || echo "$ko is another"
	[ ! -e "$tmp/data" ] || find "$tmp/data"
)"

sign "$ko"
size=$(stat -c %s "$ko")
expect "a key is made, and the module signed with it" "$(
	[ "$status" -eq 0 ] || cat "$tmp/said"
	PATH=$PATH:/usr/sbin:/sbin modinfo -F signer "$ko" | grep -q '^k2u module signing key of ' || echo "no signer"
	[ "$(stat -c %a "$tmp/data/k2u/mok.key")" = 600 ] || stat "$tmp/data/k2u/mok.key"
)"
key=$(sha256 "$tmp/data/k2u/mok.key")
sign "$ko"
expect "signing again replaces the signature, by the same key" "$(
	[ "$status" -eq 0 ] || cat "$tmp/said"
	[ "$(stat -c %s "$ko")" -eq "$size" ] || echo "$size bytes became $(stat -c %s "$ko")"
	[ "$(sha256 "$tmp/data/k2u/mok.key")" = "$key" ] || echo "another key"
)"

# ---- the kernel ----

case $kernel in
*-debug)
	how=trusted
	sign "--key=$build/certs/signing_key.pem" "--cert=$build/certs/signing_key.x509" "$ko"
	expect "the module is signed with the kernel's key" "$([ "$status" -eq 0 ] || cat "$tmp/said")"
	;;
*) how=foreign ;;
esac
status=0
"$copy/scripts/vm.sh" "--kernel=$kernel" --job=tests "--out=$tmp/tests" --timeout=300 \
	"--append=$([ "$how" = foreign ] || echo module.sig_enforce=1)" \
	-- "debug_sign $how" >"$tmp/vm" 2>&1 || status=$?
# What it says of the refused, and of the one that was loaded before
[ ! -s "$tmp/tests/tap" ] ||
	guest_tap "$tmp/tests/tap" "$QUIET|is rejected|PKCS#7|Invalid|bad|module verification failed"
if [ "$status" -eq 0 ]; then
	ok "the guest tests run to their end"
else
	not_ok "the guest tests run to their end (status $status)" <"$tmp/vm"
fi
expect "a trusted signature is the difference: taint E at loading" "$(
	found=$(grep -c 'module verification failed' "$tmp/tests/dmesg.txt" || :)
	case $how$found in trusted0 | foreign1) ;; *) cat "$tmp/tests/dmesg.txt" ;; esac
)"
if [ "$how" = trusted ]; then
	# The kernel refuses it already where guest-init.sh loads it
	sign "$ko"
	status=0
	"$copy/scripts/vm.sh" "--kernel=$kernel" --job=tests "--out=$tmp/foreign" --timeout=300 \
		--append=module.sig_enforce=1 -- "debug_sign $how" >"$tmp/vm" 2>&1 || status=$?
	expect "insmod of one signed with another key fails" "$(
		[ "$status" -ne 0 ] || echo "it was loaded"
		grep -q 'insmod k2u.ko failed' "$tmp/vm" || cat "$tmp/vm"
		grep -q 'rejected' "$tmp/foreign/dmesg.txt" || cat "$tmp/foreign/dmesg.txt"
	)"
fi
tap_end

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# make check-native: what README.md tells a user of Debian 12 to do, in a guest
# that is a whole Debian 12 with its kernel, headers and compiler: a clean copy
# of HEAD, "make bench QUICK=1", the module loaded and unloaded natively there; and
# make install by DKMS, through an upgrade of the kernel (tests/install.sh).
#
#	tests/native.sh		TAP on stdout; exit status 1 if a test failed
#
# No network in the guest; KVM where it boots this kernel, else emulation with
# two processors. The run is brought out into build/native.
# shellcheck disable=SC2317 # functions that traps call
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"
tap_name=native
# shellcheck source=tests/tap.sh
. "$top/tests/tap.sh"
cd -- "$top"

KERNEL=6.1
LIMIT_S=2200
# A copy and a mapping, and small: emulated, all of it takes over twenty minutes;
# tests/guest.sh has the other methods
METHODS='read vmalloc'
SIZES=4K,64K
out=build/native

guest=''
tmp=$(mktemp -d "${TMPDIR:-/tmp}/k2u-native.XXXXXX")
cleanup() {
	status=$?
	trap '' INT TERM
	[ -z "$guest" ] || kill -TERM "$guest" 2>/dev/null || :
	wait
	rm -rf -- "$tmp"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

scripts/deps.sh --for=check-native
status=0
# shellcheck disable=SC2046 # package names
scripts/kernel.sh --system "$KERNEL" git dkms $(scripts/deps.sh --list=bench) >"$tmp/kernel" 2>"$tmp/err" || status=$?
if [ "$status" -eq "$K2U_UNAVAILABLE" ]; then
	skip "make bench in a whole Debian" "$(sed -n 's/^unavailable: //p' "$tmp/err")"
	tap_end
elif [ "$status" -ne 0 ]; then
	not_ok "a whole Debian can be set up" <"$tmp/err"
	tap_end
fi

# The job: a clean copy, and the README's command
mkdir "$tmp/job"
if git rev-parse --verify --quiet HEAD >/dev/null 2>&1; then
	[ -z "$(git status --porcelain --untracked-files=no)" ] ||
		echo "# note: this tests HEAD; uncommitted changes are not part of it"
	git clone --quiet --depth=1 "file://$top" "$tmp/job/k2u"
else
	mkdir "$tmp/job/k2u"
	tar --create --exclude=./build --exclude='*.o' --exclude='*.ko' . |
		tar --extract --directory="$tmp/job/k2u"
fi
cat >"$tmp/job/run" <<'END'
#!/bin/sh
# Runs as root in the guest; the third disk takes an archive of /job/out
# dkms reads its lists through it, and there is no udev to make it
ln -s /proc/self/fd /dev/fd
mkdir /job/out
cd /job/k2u
began=$(date +%s)
make bench QUICK=1 "METHODS=$(cat /job/methods)" "SIZES=$(cat /job/sizes)" >/job/out/log 2>&1
echo "$?" >/job/out/status
echo "make bench took $(($(date +%s) - began)) s" >/job/out/seconds
[ ! -e /job/built ] || find build kmod \( -name '*.o' -o -name '*.ko' -o -name 'k2u-*' \) -newer /job/built >/job/out/rebuilt
if [ -e /sys/module/k2u ]; then echo yes; else echo no; fi >/job/out/loaded
cp -r results REPORT.md /job/out/
installed=''
[ ! -e /job/installed ] || installed=/job/installed
tests/install.sh --load $installed >/job/out/install 2>&1
dmesg >/job/out/dmesg
tar -cf /dev/nvme0n3 -C /job/out .
END
printf '%s\n' "$METHODS null anon" | tr ' ' , >"$tmp/job/methods"
echo "$SIZES" >"$tmp/job/sizes"
chmod 755 "$tmp/job/run"
truncate -s 256M "$tmp/out"

# relay FILE: tests/install.sh's TAP as ours
relay() {
	while IFS= read -r line; do
		case $line in
		'ok '*'# SKIP unavailable: '*)
			name=${line#* - }
			skip "${name%% # SKIP*}" "${name#*# SKIP unavailable: }"
			;;
		'ok '*) ok "${line#* - }" ;;
		'not ok '*) not_ok "${line#* - }" </dev/null ;;
		*) printf '# %s\n' "${line#\# }" ;;
		esac
	done <"$1"
	expect "tests/install.sh ran to its end" "$(grep -q '^1\.\.[1-9]' "$1" || echo 'it has no plan')"
}

# What is compiled is compiled in the guest's own system, but in a chroot, where it is a
# matter of seconds: what make bench makes first, and the module again and again by
# make install and an upgrade of the kernel. Measuring and loading are the guest's.
if is_root; then
	mkdir "$tmp/system"
	debugfs -R "rdump / \"$tmp/system\"" "$(field image "$tmp/kernel")" >/dev/null 2>&1
	mkdir "$tmp/system/job"
	mv "$tmp/job/k2u" "$tmp/system/job/k2u"
	began=$(date +%s)
	# shellcheck disable=SC2016 # expanded by the inner shells
	with_private_mounts sh -c '
		mount --rbind /proc "$1/proc" && mount --rbind /dev "$1/dev" &&
		exec chroot "$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C sh -c "$3" sh "$2"
		' sh "$tmp/system" "$(field release "$tmp/kernel")" '
		cd /job/k2u
		tests/install.sh --upgrade "$1" /k2u/other /job/installed >/job/upgrade 2>&1
		make -j "$(nproc)" programs module "KDIR=/lib/modules/$1/build" >/job/build 2>&1
		echo "$?" >/job/status
		' >"$tmp/err" 2>&1 </dev/null || :
	echo "# the chroot took $(($(date +%s) - began)) s"
	cp "$tmp/err" "$tmp/upgrade"
	[ ! -e "$tmp/system/job/upgrade" ] || mv "$tmp/system/job/upgrade" "$tmp/upgrade"
	relay "$tmp/upgrade"
	if [ "$(cat "$tmp/system/job/status" 2>/dev/null)" = 0 ]; then
		ok "a clean copy builds there"
	else
		{ grep -iE 'error' "$tmp/system/job/build" || tail -n 20 "$tmp/system/job/build" "$tmp/err"; } >"$tmp/errors" 2>&1
		not_ok "a clean copy builds there" <"$tmp/errors"
		tap_end
	fi
	mv "$tmp/system/job/k2u" "$tmp/job/k2u"
	[ ! -e "$tmp/system/job/installed" ] || mv "$tmp/system/job/installed" "$tmp/job/installed"
	touch "$tmp/job/built"
	rm -rf -- "$tmp/system"
else
	skip "make install through an upgrade of the kernel" "dpkg in a chroot needs root"
fi
tar --create --owner=0 --group=0 --file="$tmp/in" --directory="$tmp/job" .

accel='-accel tcg,thread=multi -cpu max'
if [ "$(scripts/vm.sh --kernel="$KERNEL" --job=probe 2>/dev/null | sed -n 's/^venue=//p')" = kvm ]; then
	accel='-accel kvm -cpu host'
fi
# no_timer_check: an emulated timer that is late on a busy machine is not a broken one
began=$(date +%s)
# shellcheck disable=SC2086 # options
setpriv --pdeathsig TERM timeout -k 5 "$LIMIT_S" qemu-system-x86_64 $accel -smp 2 -m 2G \
	-no-reboot -nodefaults -no-user-config -display none \
	-kernel "$(field vmlinuz "$tmp/kernel")" \
	-append 'console=ttyS0 panic=-1 quiet no_timer_check root=/dev/nvme0n1 rw init=/k2u/init' \
	-chardev "file,id=console,path=$tmp/console" -serial chardev:console \
	-device nvme,id=nvme,serial=k2u \
	-drive "if=none,id=system,format=raw,snapshot=on,file=$(field image "$tmp/kernel")" \
	-drive "if=none,id=in,format=raw,readonly=on,file=$tmp/in" \
	-drive "if=none,id=out,format=raw,file=$tmp/out" \
	-device nvme-ns,drive=system,nsid=1 -device nvme-ns,drive=in,nsid=2 \
	-device nvme-ns,drive=out,nsid=3 </dev/null >"$tmp/qemu" 2>&1 &
guest=$!
status=0
wait "$guest" 2>/dev/null || status=$?
guest=''
echo "# the guest ran $(($(date +%s) - began)) s"

rm -rf -- "$out"
mkdir -p -- "$out"
if [ "$status" -ne 0 ] || ! tar --extract --file="$tmp/out" --directory="$out" --no-same-owner 2>/dev/null; then
	[ "$status" -ne 124 ] || echo "it was stopped after $LIMIT_S s" >>"$tmp/qemu"
	tail -n 20 "$tmp/console" >>"$tmp/qemu"
	not_ok "the guest does its job (status $status)" <"$tmp/qemu"
	tap_end
fi
ok "the guest does its job"

relay "$out/install"

echo "# $(cat "$out/seconds")"
if [ "$(cat "$out/status")" = 0 ]; then
	ok "make bench QUICK=1 succeeds"
else
	tail -n 30 "$out/log" >"$tmp/err"
	not_ok "make bench QUICK=1 succeeds (status $(cat "$out/status"))" <"$tmp/err"
fi
# Compiled once is enough, and in the guest it takes many minutes
[ ! -e "$tmp/job/built" ] || expect "make bench finds all built that is" "$(
	cat "$out/rebuilt" || echo 'it was not looked at')"
# One run is new, because the module was loaded natively; others came with HEAD
run=$(find "$out/results" -name env.json | while read -r env; do
	dir=${env%/env.json}
	[ -e "results/${dir#"$out/results/"}" ] || echo "$dir"
done)
expect "there is one new run" "$([ "$(printf '%s\n' "$run" | grep -c .)" -eq 1 ] || echo "runs: $run")"
[ -d "$run" ] || tap_end
expect "its venue is native, and it is complete" "$(
	grep -qE '"venue": *"native"' "$run/env.json" || grep '"venue"' "$run/env.json" || echo 'no venue'
	grep -qE '"complete": *true' "$run/env.json" || echo 'not complete'
)"
for method in $METHODS; do
	expect "summary.csv has method $method of the module" "$(
		grep -qs "^[a-z]*,k2u,$method," "$run/summary.csv" || echo "no row of k2u $method"
	)"
done
# On an emulated machine time is not steady; contents and counts are exact
expect "no check of contents or counts failed" "$(
	[ -s "$run/checks.csv" ] || echo 'no checks'
	grep ',fail,' "$run/checks.csv" | grep -vE ',(linearity|steady),' | head -n 10
)"
expect "REPORT.md is of this run" "$(
	grep -qs "${run##*/}" "$out/REPORT.md" || echo "REPORT.md does not name ${run##*/}"
)"
expect "the run has hyperfine.json, dmesg.txt and charts" "$(
	for name in hyperfine.json dmesg.txt plots; do
		[ -e "$run/$name" ] || echo "no $name"
	done
)"
expect "the module is unloaded" "$([ "$(cat "$out/loaded")" = no ] || echo 'it is still loaded')"
expect "the kernel reports no error" "$(grep -E "$K2U_SPLAT" "$out/dmesg" | head -n 10)"
tap_end

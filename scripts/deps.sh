#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Install what k2u needs, or say exactly what is missing.
#
#	scripts/deps.sh [--for=GROUP[,GROUP...]]
#	scripts/deps.sh --list=GROUP	names of a group's packages
#
# Groups: build, bench (build, charts, hyperfine), guest (kernels in QEMU),
# arm64, riscv64 (such guests), check (all of these and the test tools), check-native, matrix. The default is
# bench. Where nothing is missing, no package tool is called: no network, no
# root needed. Otherwise root gets the packages installed, and anybody else the
# command to run.
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"

# Package (Debian's name), how to see that it is there, the groups that need it
packages() {
	cat <<-'END'
	gcc			command:gcc			build
	make			command:make			build
	libc6-dev		header:stdio.h			build
	libnuma-dev		header:numa.h			build
	libpfm4-dev		header:perfmon/pfmlib_perf_event.h	build
	libjansson-dev		header:jansson.h		build
	libgsl-dev		header:gsl/gsl_cdf.h		build
	gnuplot-nox		command:gnuplot			bench
	hyperfine		command:hyperfine		bench
	kmod			command:insmod			bench
	qemu-system-x86		command:qemu-system-x86_64	guest
	mmdebstrap		command:mmdebstrap		guest
	debian-archive-keyring	file:/usr/share/keyrings/debian-archive-keyring.gpg	guest
	cpio			command:cpio			guest
	busybox-static		static:busybox			guest
	qemu-system-arm		command:qemu-system-aarch64	arm64
	binutils		command:readelf			arm64
	qemu-system-misc	command:qemu-system-riscv64	riscv64
	opensbi			file:/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin	riscv64
	binutils		command:readelf			riscv64
	libcmocka-dev		header:cmocka.h			check
	shellcheck		command:shellcheck		check
	sparse			command:sparse			check
	clang-format		command:clang-format		check
	clang			command:clang			check
	libclang-rt-dev		fuzzer:clang			check
	perl			command:perl			check
	xz-utils		command:xz			check
	patch			command:patch			check
	git			command:git			check
	e2fsprogs		command:mke2fs			check-native
	END
}

# The groups that a group brings with it
expand() {
	case $1 in
	build) echo build ;;
	bench) echo build bench ;;
	guest | matrix) echo build bench guest ;;
	arm64 | riscv64) echo "build bench guest $1" ;;
	check) echo build bench guest arm64 check ;;
	check-native) echo build bench guest arm64 check check-native ;;
	*) die "no such group '$1'; groups: build, bench, guest, arm64, riscv64, check, check-native, matrix" ;;
	esac
}

is_there() {
	case $1 in
	command:*) have "${1#*:}" || [ -x "/usr/sbin/${1#*:}" ] || [ -x "/sbin/${1#*:}" ] ;;
	header:*) printf '#include <%s>\n' "${1#*:}" | gcc -E - >/dev/null 2>&1 ;;
	fuzzer:*) printf 'int LLVMFuzzerTestOneInput(void) { return 0; }\n' |
		"${1#*:}" -fsanitize=fuzzer -x c -o /dev/null - >/dev/null 2>&1 ;;
	file:*) [ -e "${1#*:}" ] ;;
	# ldd fails on a static program
	static:*) have "${1#*:}" && ! ldd "$(command -v "${1#*:}")" >/dev/null 2>&1 ;;
	esac
}

# missing GROUP...: "package probe" lines
missing() {
	packages | while read -r package probe group; do
		case " $* " in
		*" $group "*) is_there "$probe" || echo "$package $probe" ;;
		esac
	done
}

groups=bench
case ${1-} in
'') ;;
--for=*) groups=$(printf '%s' "${1#--for=}" | tr , ' ') ;;
--list=*)
	want=$(expand "${1#--list=}")
	packages | while read -r package _ group; do
		case " $want " in *" $group "*) echo "$package" ;; esac
	done
	exit
	;;
*) die "usage: deps.sh [--for=GROUP | --list=GROUP]; groups: build, bench, guest, arm64, riscv64, check, check-native, matrix" ;;
esac

want=
for group in $groups; do
	more=$(expand "$group")
	want="$want $more"
done

# shellcheck disable=SC2046,SC2086 # lists of words
set -- $(missing $want | cut -d ' ' -f 1)
[ $# -gt 0 ] || exit 0

install="apt-get update && apt-get install --yes --no-install-recommends $*"
if ! have apt-get; then
	say "$K2U_ME: missing: $*"
	die "this is not a Debian or Ubuntu system: install your distribution's equivalents of these packages and try again"
fi
if ! is_root; then
	say "$K2U_ME: missing: $*"
	die "as root, run: $install"
fi

say "installing: $*"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT TERM
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update && apt-get install --yes --no-install-recommends "$@"; } >"$log" 2>&1 </dev/null; then
	grep -E '^(E|W):' "$log" >&2 || tail -n 5 "$log" >&2
	die "could not install: $*; mend what apt-get says above and try again"
fi

# shellcheck disable=SC2086
left=$(missing $want | sed 's/\([^ ]*\) [^:]*:\(.*\)/\2 (of package \1)/')
[ -z "$left" ] || die "installed, but still not found: $left; is PATH right?"

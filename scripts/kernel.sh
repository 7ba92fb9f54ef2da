#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Provide a Debian kernel for a guest, and k2u.ko built for it.
#
#	scripts/kernel.sh KERNEL	5.10, 6.1, 6.12 ... or newest; 6.12-arm64 for
#				another architecture, 6.12-arm64-16k with its larger pages;
#				6.12-debug with the sanitizers of tests/debug/config,
#				6.12-debug-gcov with a module that counts its lines;
#				6.12-devmem and 5.10-devmem without STRICT_DEVMEM
#				(tests/devmem/config)
#	scripts/kernel.sh --sparse KERNEL	what sparse says of the module
#	scripts/kernel.sh --system KERNEL [PACKAGE...]	a whole system to boot from a
#				disk (release, vmlinuz, image); see image() for its jobs
#	scripts/kernel.sh --gcov KERNEL DIR	DIR/*.gcda, from a guest of KERNEL (a
#				...-gcov), as DIR/*.gcov
#	scripts/kernel.sh --list	the kernels that it knows
#	scripts/kernel.sh --size	what the cache takes
#	scripts/kernel.sh --clean	remove the cache
#
# The headers and their compiler are installed into a minimal root of the
# kernel's own suite, never into this system, because linux-kbuild of a new kernel needs a newer libc
# than this system may have. Roots are kept in ${XDG_CACHE_HOME:-~/.cache}/k2u,
# the module in build/kernel/KERNEL. For another architecture the root has its
# cross-compiler and libraries, and the guest's programs are built there, too.
# With K2U_INCREMENTAL=1 objects are kept, and only what changed since is compiled, and
# warned of: for many modules one after the other (tests/mutants.sh).
# A kernel of ours is built in its root, from the distribution's source; of that
# only what builds modules is kept, and the key that signs them.
# stdout: key=value lines (kernel, release, arch, vmlinuz, config,
# config_sha256, compiler, ko, log; programs: the directory of the guest's
# programs; of another architecture: libraries and tools, where its shared
# libraries and Debian's programs for it are; of a kernel of ours: build, the
# directory that modules are built against). Exit status 77: this kernel
# cannot be had here, the reason is on stderr.
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"

MIRROR=${K2U_MIRROR:-http://deb.debian.org/debian}
MIRROR_SECURITY=${K2U_MIRROR_SECURITY:-http://security.debian.org/debian-security}
KERNELS='5.10 6.1 6.12 6.16 6.17 6.18 6.19 7.0 7.1 7.2 7.3 newest'
DEBUG_KERNELS='6.1 6.12'
DEVMEM_KERNELS='5.10 6.12'
FLAVOUR=cloud-amd64
# "newest" is looked up again after so many days
NEWEST_DAYS=7

usage() {
	die "usage: kernel.sh [--sparse] KERNEL | --system KERNEL [PACKAGE...] | --gcov KERNEL DIR | --list | --size | --clean; KERNEL is one of: $(list)"
}

# suite_of KERNEL: the suite that has it
suite_of() {
	case ${1%%-*} in
	5.10) echo bullseye ;;
	6.1) echo bookworm ;;
	6.12) echo trixie ;;
	6.1[6-9] | 7.[0-3]) echo trixie-backports ;;
	newest) echo sid ;;
	*) return 1 ;;
	esac
}

# set_arch KERNEL: sets arch (as Debian says) and, for a foreign one, flavour (of
# the kernel's packages), triplet and kbuild_arch; own where it is built here, from
# tests/<own>/config
set_arch() {
	triplet='' own=no
	case $1 in
	*-debug | *-debug-gcov) arch=amd64 own=debug ;;
	*-devmem) arch=amd64 own=devmem ;;
	*-arm64-16k) arch=arm64 flavour=arm64-16k ;;
	*-arm64) arch=arm64 flavour=cloud-arm64 ;;
	*-riscv64) arch=riscv64 flavour=riscv64 ;;
	*-*) return 1 ;;
	*) arch=amd64 ;;
	esac
	case $arch in
	arm64) triplet=aarch64-linux-gnu kbuild_arch=arm64 ;;
	riscv64) triplet=riscv64-linux-gnu kbuild_arch=riscv ;;
	esac
}

# list: the kernels that there are
list() {
	printf '%s' "$KERNELS"
	for known in $KERNELS; do
		printf ' %s-arm64' "$known"
		case $known in 5.* | 6.1) ;; *) printf ' %s-arm64-16k %s-riscv64' "$known" "$known" ;; esac
	done
	for known in $DEBUG_KERNELS; do
		printf ' %s-debug %s-debug-gcov' "$known" "$known"
	done
	for known in $DEVMEM_KERNELS; do
		printf ' %s-devmem' "$known"
	done
	echo
}

# sources_of SUITE: sources.list
sources_of() {
	case $1 in
	sid) echo "deb $MIRROR sid main" ;;
	*-backports)
		sources_of "${1%-backports}"
		echo "deb $MIRROR $1 main"
		;;
	*)
		echo "deb $MIRROR $1 main"
		echo "deb $MIRROR_SECURITY $1-security main"
		;;
	esac
}

# other_headers ROOT RELEASE IMAGES: the packages of another kernel's headers, for
# an upgrade in a system without a network: /k2u/other, with the name in release.
# No reason to fail: it is for one test.
other_headers() {
	for image in $3; do
		[ "${image#linux-image-}" != "$2" ] || continue
		# shellcheck disable=SC2016 # expanded by the inner shell
		! chroot "$1" sh -eu -c '
			rm -rf /k2u/other
			mkdir /k2u/other
			cd /k2u/other
			apt-get download "linux-headers-$1" $(apt-cache depends "linux-headers-$1" |
				sed -n "s/^ *Depends: \(linux-headers-.*-common\)\$/\1/p")
			printf "%s\n" "$1" >release
			' sh "${image#linux-image-}" || return 0
	done
}

# install_kernel ROOT: mmdebstrap's customize hook. Everything that changes
# packages runs inside ROOT: apt outside would call this system's dpkg.
# The packages are found by name and not through linux-image-cloud-amd64:
# backports hold several kernels, and a metapackage may be gone from a mirror
# that still has what it depends on. Backports keep the images of kernels whose
# headers have left the index: those are in the pool still, and must have the
# sum that is kept here.
install_kernel() {
	set_arch "$K2U_KERNEL"
	if [ "$own" != no ]; then
		install_own "$1"
		return
	elif [ -n "$triplet" ]; then
		install_foreign "$1"
		return
	fi
	case $K2U_KERNEL in
	newest) pattern='[0-9][0-9.]*' ;;
	*) pattern=$(printf '%s' "$K2U_KERNEL" | sed 's/\./\\./g') ;;
	esac
	found=$(chroot "$1" apt-cache search --names-only "^linux-image-$pattern([-.+~].*)?-$FLAVOUR\$" |
		cut -d ' ' -f 1 | grep -v -e '-rt-' -e '-dbg' | sort -rV)
	[ "$K2U_KERNEL" != newest ] || found=$(printf '%s\n' "$found" | grep -v '[-~]rc[0-9]')
	mkdir "$1/k2u"
	cp -- "$top/scripts/kernel.sums" "$1/k2u/sums"
	for image in $found; do
		release=${image#linux-image-}
		# shellcheck disable=SC2016 # expanded by the inner shell
		if chroot "$1" sh -eu -c '
			cd /k2u
			if apt-cache show "linux-headers-$1" >/dev/null 2>&1; then
				apt-get install --yes --no-install-recommends "linux-headers-$1"
			else
				version=$(apt-cache show "linux-image-$1" | sed -n "s/^Version: //p" | sed -n 1p)
				common=${1%-'"$FLAVOUR"'}
				# Before 6.18 there is no linux-base-RELEASE
				for deb in "linux-headers-${1}_${version}_amd64.deb" \
					"linux-headers-$common-common_${version}_all.deb" \
					"linux-base-${1}_${version}_amd64.deb" \
					"linux-kbuild-${common}_${version}_amd64.deb"
				do
					sum=$(sed -n "s/^\([0-9a-f]*\)  $deb\$/\1/p" sums)
					[ -n "$sum" ] || case $deb in
					linux-base-*) continue ;;
					*)
						echo "E: $deb has left the index, and scripts/kernel.sums has no sum of it"
						exit 1
						;;
					esac
					/usr/lib/apt/apt-helper download-file "$2/pool/main/l/linux/$deb" "$deb" "SHA256:$sum"
				done
				# What kbuild needs, but the kernel packages among it
				apt-get install --yes --no-install-recommends $(dpkg-deb -f "$deb" Depends |
					sed "s/([^)]*)//g; s/:any//g" | tr -d " " | tr , "\n" | grep -v "^linux-")
				for deb in linux-*.deb; do
					# /lib is a link, and stays one
					dpkg-deb --fsys-tarfile "$deb" |
						tar --extract --keep-directory-symlink --directory=/
				done
				mkdir image
				[ ! -e "/boot/config-$1" ] || mv "/boot/config-$1" image/
				rm -- linux-*.deb
			fi
			# Its files alone: no initramfs, no boot loader. Since 7.2 they
			# are in packages that linux-image depends on.
			apt-get download "linux-image-$1" $(apt-cache depends "linux-image-$1" |
				sed -n "s/^ *Depends: \(linux-\(base\|binary\)-.*\)/\1/p")
			for deb in *.deb; do
				dpkg-deb -x "$deb" image
			done
			mv "$(find image -name vmlinuz -o -name "vmlinuz-$1")" vmlinuz
			mv "$(find image -type f -name config -o -name "config-$1")" config
			rm -rf image ./*.deb sums
			printf "%s\n" "$1" >release
			' sh "$release" "$MIRROR"
		then
			[ "$K2U_JOB" != system ] || other_headers "$1" "$release" "$found"
			return 0
		fi
		say "E: the packages of $release could not be installed"
	done
	[ -n "$found" ] || say "E: there is no package linux-image-$K2U_KERNEL*-$FLAVOUR"
	return 1
}

# install_foreign ROOT: the same for another architecture. apt would bring the
# headers with a compiler that does not run here, so they are unpacked; what
# they need of their source package runs here, or has no architecture.
install_foreign() {
	version=${K2U_KERNEL%%-*}
	case $version in
	newest) pattern='[0-9][0-9.]*' ;;
	*) pattern=$(printf '%s' "$version" | sed 's/\./\\./g') ;;
	esac
	found=$(chroot "$1" apt-cache search --names-only "^linux-headers-${pattern}[-.+~].*$flavour\$" |
		cut -d ' ' -f 1 | grep -E "^linux-headers-[^-]*(-[0-9]+)?-$flavour\$" | sort -rV)
	[ "$version" != newest ] || found=$(printf '%s\n' "$found" | grep -v '[-~]rc[0-9]')
	mkdir "$1/k2u" "$1/k2u/top"
	for headers in $found; do
		release=${headers#linux-headers-}
		# shellcheck disable=SC2016 # expanded by the inner shell
		if chroot "$1" sh -eu -c '
			release=$1
			arch=$2
			triplet=$3
			cd /k2u
			needs() {
				apt-cache depends "$1:$arch" | sed -n "s/^ *|*Depends: <*\([^>:]*\).*/\1/p"
			}
			# A compiler is named as gcc-12, linux-compiler-gcc-12-arm64, gcc-15-for-host
			apt-get install --yes --no-install-recommends $(needs "linux-headers-$release" |
				sed -n "/^linux-headers-.*-common/p; /^linux-kbuild-/p
					s/^\(linux-compiler-\)*\(gcc-[0-9]*\).*/\2-$triplet/p")
			apt-get download "linux-headers-$release:$arch"
			for deb in *.deb; do
				dpkg-deb --fsys-tarfile "$deb" |
					tar --extract --keep-directory-symlink --directory=/
			done
			rm ./*.deb
			apt-get download "linux-image-$release:$arch" $(needs "linux-image-$release" |
				sed -n "/^linux-\(base\|binary\)-./s/\$/:$arch/p")
			for deb in *.deb; do
				dpkg-deb -x "$deb" image
			done
			mv "$(find image -name "vmlinu[xz]" -o -name "vmlinu[xz]-$release")" vmlinuz
			mv "$(find image -type f -name config -o -name "config-$release")" config
			rm -rf image ./*.deb
			apt-get download "busybox-static:$arch" "hyperfine:$arch"
			for deb in *.deb; do
				dpkg-deb -x "$deb" unpacked
			done
			mkdir tools
			for tool in busybox hyperfine; do
				mv "$(find unpacked -type f -name "$tool" -perm -1)" tools
			done
			rm -rf unpacked ./*.deb
			printf "%s\n" "$release" >release
			' sh "$release" "$arch" "$triplet"
		then
			return 0
		fi
		say "E: the packages of $release could not be installed"
	done
	[ -n "$found" ] || say "E: there is no package linux-headers-$version*-$flavour"
	return 1
}

# fragment KERNEL: what a kernel of ours is configured with
fragment() {
	cat -- "$top/tests/$own/config"
	[ ! -e "$top/tests/$own/config-${1%%-*}" ] || cat -- "$top/tests/$own/config-${1%%-*}"
}

# install_own ROOT: build the kernel from Debian's source. What is not in the
# fragment is off where it can be (allnoconfig), and what is in it must come true:
# kconfig drops an option silently whose dependencies are not met.
install_own() {
	version=${K2U_KERNEL%%-*}
	mkdir "$1/k2u"
	fragment "$K2U_KERNEL" >"$1/k2u/fragment"
	# shellcheck disable=SC2016 # expanded by the inner shell
	chroot "$1" sh -eu -c '
		version=$1
		jobs=$2
		cd /usr/src
		tar -xf "linux-source-$version.tar.xz"
		rm "linux-source-$version.tar.xz"
		mv "linux-source-$version" linux
		cd linux
		make KCONFIG_ALLCONFIG=/k2u/fragment allnoconfig
		lost=$(awk "
			NR == FNR { config[\$0] = 1; split(\$0, word, \"=\"); set[word[1]] = 1; next }
			/^CONFIG_/ && !(\$0 in config) { print }
			/^# CONFIG_.* is not set\$/ && (\$2 in set) { print \$2 \"=n\" }" \
			.config /k2u/fragment)
		if [ -n "$lost" ]; then
			echo "E: Linux $version cannot be configured with" $lost
			exit 1
		fi
		make -j "$jobs" bzImage modules
		make -s kernelrelease >/k2u/release.new
		cp arch/x86/boot/bzImage /k2u/vmlinuz
		cp .config /k2u/config
		# What is left of a build directory in linux-headers and linux-kbuild
		find . -type f ! -name "Makefile*" ! -name "Kbuild*" ! -name "Kconfig*" \
			! -path "./include/*" ! -path "./arch/x86/include/*" \
			! -path "./scripts/*" ! -path "./.config" ! -path "./Module.symvers" \
			! -path ./tools/objtool/objtool ! -path "./certs/signing_key.*" -delete
		find . -name "*.o" -delete
		find . -depth -type d -empty -delete
		find arch -mindepth 1 -maxdepth 1 ! -name x86 ! -name Kconfig -exec rm -rf {} +
		mkdir -p "/lib/modules/$(cat /k2u/release.new)"
		ln -s /usr/src/linux "/lib/modules/$(cat /k2u/release.new)/build"
		mv /k2u/release.new /k2u/release
		' sh "$version" "$(nproc)"
}

# provision KERNEL NEW PACKAGES: a root with the kernel and a comma list of
# packages in directory NEW
provision() {
	suite=$(suite_of "$1")
	new=$2
	include=$3
	export K2U_HOOK="$top/scripts/kernel.sh" K2U_KERNEL="$1" K2U_JOB="$job"
	rm -rf -- "$new"
	mkdir -p -- "$new"
	sources_of "$suite" >"$new/sources.list"
	# shellcheck disable=SC2016 # the hook is expanded by mmdebstrap's shell
	set -- --quiet ${triplet:+"--architectures=amd64,$arch"} --variant=minbase --include="$include" \
		--aptopt='Acquire::Check-Valid-Until "false"' \
		--aptopt='Acquire::Languages "none"' \
		--aptopt='APT::Install-Recommends "false"' \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--customize-hook='"$K2U_HOOK" --hook "$1"' "${suite%-backports}"
	if is_root; then
		# mmdebstrap mounts /proc in the root: not where others see it
		with_private_mounts timeout -k 10 "$limit" mmdebstrap --mode=root "$@" \
			"$new/rootfs" "$new/sources.list"
	else
		# Through an archive, so that the files are ours and not a subordinate user's
		timeout -k 10 "$limit" mmdebstrap "$@" "$new/rootfs.tar" "$new/sources.list" &&
			mkdir "$new/rootfs" &&
			tar --extract --no-same-owner --exclude='./dev/*' \
				--directory="$new/rootfs" --file="$new/rootfs.tar" &&
			rm "$new/rootfs.tar"
	fi
}

# ensure KERNEL PACKAGES: $cache has it, with these (in $cache/packages, with
# the fragment of a kernel of ours), when this returns
ensure() {
	key=$2 limit=900 what="fetching kernel $1 from Debian $(suite_of "$1") (once; about 400 MB in $K2U_CACHE)"
	if [ "$own" != no ]; then
		fragment "$1" >"$cache.fragment"
		key="$2 $(sha256 "$cache.fragment")"
		rm -- "$cache.fragment"
		limit=2400 what="building kernel $1 from Debian's source (once; minutes, and about 400 MB in $K2U_CACHE)"
	fi
	if [ -e "$cache/rootfs/k2u/release" ] && [ "$(cat "$cache/packages" 2>/dev/null)" = "$key" ]; then
		[ "${1%%-*}" = newest ] || return 0
		[ -n "$(find "$cache/rootfs/k2u/release" -mtime "+$NEWEST_DAYS")" ] || return 0
	fi
	have mmdebstrap || unavailable "kernel $1: mmdebstrap is not installed: run scripts/deps.sh --for=guest"
	log=$cache.log
	say "$what"
	if ! provision "$1" "$cache.new" "$2" >"$log" 2>&1 9>&-; then
		reason=$(grep -m 1 -E '^(E:|unshare:)' "$log" || tail -n 1 "$log")
		is_root || reason="$reason; be root, or install uidmap and have a line in /etc/subuid and /etc/subgid"
		rm -rf -- "$cache.new"
		if [ -e "$cache/rootfs/k2u/release" ]; then
			say "$K2U_ME: kernel $1 could not be looked up again, the cached one is used: $reason"
			return 0
		fi
		unavailable "kernel $1: not to be had from Debian $(suite_of "$1"): $reason (all of it: $log)"
	fi
	printf '%s\n' "$key" >"$cache.new/packages"
	rm -rf -- "$cache"
	mv -- "$cache.new" "$cache"
}

# in_root COMMAND...: run it in the kernel's root, with /proc (objtool of 7.2
# and later reads it) and, where mknod was not allowed, the devices; and with
# this checkout where the root has a place for it
in_root() {
	# shellcheck disable=SC2016 # expanded by the inner shell
	with_private_mounts sh -c '
		root=$1
		top=$2
		shift 2
		mount --rbind /proc "$root/proc" || exit
		[ -c "$root/dev/null" ] || mount --rbind /dev "$root/dev" || exit
		[ ! -d "$root/k2u/top" ] || mount --bind "$top" "$root/k2u/top" || exit
		exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/ LC_ALL=C "$@"
		' sh "$cache/rootfs" "$top" "$@"
}

# stage: kmod/ and include/ in $scratch of the kernel's root, as src.tar and files
stage() {
	scratch=$cache/rootfs/k2u/$staged
	rm -rf -- "$cache/rootfs/k2u/src"
	if [ "$staged" = src ]; then
		stage_in "$scratch"
		return
	fi
	# What differs is new, and so are its objects; what has gone takes its own along
	stage_in "$scratch.new"
	[ -d "$scratch" ] || mkdir -- "$scratch"
	(cd -- "$scratch" && find . -name '*.[ch]' ! -name '*.mod.c' ! -name have.h) | while read -r file; do
		[ -e "$scratch.new/$file" ] || rm -- "$scratch/$file"
	done
	(cd -- "$scratch.new" && find . -type f) | while read -r file; do
		cmp -s -- "$scratch.new/$file" "$scratch/$file" && continue
		mkdir -p -- "$(dirname -- "$scratch/$file")"
		cp -- "$scratch.new/$file" "$scratch/$file"
	done
	rm -rf -- "$scratch.new"
}

# stage_in DIR
stage_in() {
	rm -rf -- "$1"
	mkdir -- "$1"
	# What a native build left in kmod/ stays behind
	tar --create --directory="$top" --sort=name --mtime=@0 --owner=0 --group=0 \
		--exclude='*.o' --exclude='*.ko' --exclude='*.mod' --exclude='*.mod.c' \
		--exclude='.*.cmd' --exclude='.tmp_versions' --exclude=Module.symvers \
		--exclude=modules.order --exclude='kmod/compat/have.h' \
		--file="$1/src.tar" kmod include
	tar --extract --directory="$1" --file="$1/src.tar" --no-same-owner
}

# module LOG ARGUMENT...: build what was staged
module() {
	log=$1
	shift
	in_root timeout -k 10 600 make -C "/lib/modules/$release/build" "M=/k2u/$staged/kmod" \
		${triplet:+"ARCH=$kbuild_arch" "CROSS_COMPILE=$triplet-"} -j "$(nproc)" "$@" modules >"$log" 2>&1 </dev/null 9>&- && return
	grep -iE 'error|^(sh|mount|unshare):' "$log" >&2 || tail -n 20 "$log" >&2
	die "k2u.ko does not build for $release: see $log"
}

# build KERNEL: $out/k2u.ko, unless it is there from the same sources
build() {
	out=$top/build/kernel/$1
	mkdir -p -- "$out"
	stage
	key="$release $(sha256 "$cache/rootfs/k2u/vmlinuz") $(sha256 "$scratch/src.tar")"
	if [ ! -e "$out/k2u.ko" ] || [ "$(cat "$out/key" 2>/dev/null)" != "$key" ]; then
		rm -f -- "$out/key" "$out/k2u.ko"
		case $1 in
		*-gcov)
			module "$out/build.log" W=1 GCOV_PROFILE=y
			cp -- "$scratch"/kmod/*.gcno "$out"
			;;
		*) module "$out/build.log" W=1 ;;
		esac
		cp -- "$scratch/kmod/k2u.ko" "$out/k2u.ko"
		printf '%s\n' "$key" >"$out/key"
	fi
	[ "$staged" != src ] || rm -rf -- "$scratch"
}

# gcov KERNEL DIR: what the lines of $out/k2u.ko were counted to, for all its objects together
gcov() {
	stage
	cp -- "$top/build/kernel/$1"/*.gcno "$2"/*.gcda "$scratch/kmod"
	rm -f -- "$2"/*.gcov
	# shellcheck disable=SC2016 # expanded by the inner shell
	in_root sh -eu -c 'cd /k2u/src/kmod && gcov --source-prefix=/k2u/src --relative-only ./*.gcda' >"$2/gcov.log" 2>&1 </dev/null ||
		die "gcov failed: see $2/gcov.log"
	mv -- "$scratch"/kmod/*.gcov "$2"
	rm -rf -- "$scratch"
}

# programs: the guest's programs for a foreign architecture, in $out/user
programs() {
	in_root timeout -k 10 600 make --no-print-directory -C /k2u/top -j "$(nproc)" \
		"CC=$triplet-gcc" "BUILD=build/kernel/$kernel/user" \
		"GIT=$(git -C "$top" describe --always --dirty 2>/dev/null || echo unknown)" \
		guest-programs >"$out/user.log" 2>&1 </dev/null 9>&- && return
	grep -E 'error|undefined' "$out/user.log" >&2 || tail -n 20 "$out/user.log" >&2
	die "the guest's programs do not build for $arch: see $out/user.log"
}

# run_sparse KERNEL: what sparse says of our files, against this kernel's headers
run_sparse() {
	have sparse || unavailable "sparse is not installed: run scripts/deps.sh --for=check"
	log=$cache/rootfs/k2u/sparse.log
	cp -- "$(command -v sparse)" "$cache/rootfs/k2u/sparse"
	in_root /k2u/sparse --version >/dev/null 2>&1 ||
		unavailable "this system's sparse does not run in the root of kernel $1"
	stage
	module "$log" C=2 CHECK=/k2u/sparse
	rm -rf -- "$scratch"
	! sed -n 's|^/k2u/src/\(.*\)|\1|p' "$log" | grep -E ': (warning|error):'
}

# image: the root as a file system that a guest can boot from, $cache/image
image() {
	[ ! -e "$cache/image" ] || return 0
	have mke2fs || unavailable "mke2fs is not installed: run scripts/deps.sh --for=check-native"
	# PID 1: the job comes on the second disk, as an archive
	cat >"$cache/rootfs/k2u/init" <<-'END'
		#!/bin/sh
		PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
		export PATH HOME
		mount -t proc proc /proc
		mount -t sysfs sysfs /sys
		mount -t devtmpfs devtmpfs /dev 2>/dev/null
		mount -t debugfs debugfs /sys/kernel/debug
		mount -t tmpfs tmpfs /tmp
		mkdir /job
		tar -xf /dev/nvme0n2 -C /job
		/job/run
		sync
		echo o >/proc/sysrq-trigger
		sleep 60
	END
	chmod 755 "$cache/rootfs/k2u/init"
	rm -f -- "$cache/image.new"
	truncate -s 6G "$cache/image.new"
	mke2fs -q -t ext4 -E root_owner=0:0,lazy_itable_init=0 -d "$cache/rootfs" "$cache/image.new" >&2
	mv -- "$cache/image.new" "$cache/image"
	# The image has it all; of the directory only vmlinuz is read again
	find "$cache/rootfs" -mindepth 1 -maxdepth 1 ! -name k2u -exec rm -rf -- {} +
}

[ $# -ge 1 ] || usage
case $1 in
--hook)
	install_kernel "$2"
	exit
	;;
--list)
	list
	exit
	;;
--size)
	if [ -d "$K2U_CACHE" ]; then du -sh -- "$K2U_CACHE"; else printf '0\t%s\n' "$K2U_CACHE"; fi
	exit
	;;
--clean)
	rm -rf --one-file-system -- "$K2U_CACHE"
	exit
	;;
--sparse)
	job=sparse
	shift
	;;
--gcov)
	job=gcov
	shift
	;;
--system)
	job=system
	shift
	;;
*) job=build ;;
esac

[ $# -ge 1 ] || usage
kernel=$1
shift
case $job in
system) ;;
gcov)
	case $kernel in *-gcov) ;; *) usage ;; esac
	[ $# -eq 1 ] || usage
	[ -d "$1" ] || die "there is no directory $1"
	gcov_dir=$1
	shift
	;;
*) [ $# -eq 0 ] || usage ;;
esac
case " $(list) " in *" $kernel "*) ;; *) usage ;; esac
set_arch "$kernel"
[ "$(uname -m)" = x86_64 ] || unavailable "kernel $kernel: guests need an x86-64 host, this one is $(uname -m)"

# Where the module is built in the root. What is built for gcov tells the paths
staged=src
[ -z "${K2U_INCREMENTAL:-}" ] || [ "$job" != build ] || case $kernel in *-gcov) ;; *) staged=kept ;; esac

cache=$K2U_CACHE/kernel/${kernel%-gcov}
[ "$job" != system ] || [ "$triplet$own" = no ] || unavailable "kernel $kernel: only of Debian's x86-64 kernels a system is made"
[ "$job" != system ] || cache=$K2U_CACHE/kernel/system-$kernel
mkdir -p -- "$K2U_CACHE/kernel" ||
	die "cannot create the cache $K2U_CACHE: set XDG_CACHE_HOME to a directory that you can write"
# One at a time per kernel; the lock goes with the process
exec 9>"$cache.lock"
flock 9
trap 'exit 130' INT TERM

# perl: scripts/kernel-doc, which W=1 runs on every file
packages=make,gcc,libc6-dev,perl
if [ -n "$triplet" ]; then
	packages=make,perl,tar,gcc-$(printf '%s' "$triplet" | tr _ -)
	for package in libc6-dev libnuma-dev libpfm4-dev libjansson-dev libcmocka-dev; do
		packages=$packages,$package:$arch
	done
fi
if [ "$own" != no ]; then
	packages=$packages,flex,bison,bc,libelf-dev,libssl-dev,openssl,xz-utils,linux-source-${kernel%%-*}
fi
for package; do
	packages=$packages,$package
done
ensure "$kernel" "$packages"
release=$(cat "$cache/rootfs/k2u/release")
if [ "$job" = sparse ]; then
	run_sparse "$kernel"
	exit
elif [ "$job" = system ]; then
	image
	cat <<-END
		release=$release
		vmlinuz=$cache/rootfs/k2u/vmlinuz
		image=$cache/image
	END
	exit
fi
build "$kernel"
if [ "$job" = gcov ]; then
	gcov "$kernel" "$gcov_dir"
	exit
fi
[ -z "$triplet" ] || programs
compiler=$(in_root "${triplet:+$triplet-}gcc" --version) ||
	die "the compiler of kernel $kernel cannot be asked for its version: see above"
cat <<END
kernel=$(printf '%s' "$release" | sed 's/^\([0-9]*\.[0-9]*\).*/\1/')
release=$release
arch=$arch
vmlinuz=$cache/rootfs/k2u/vmlinuz
config=$cache/rootfs/k2u/config
config_sha256=$(sha256 "$cache/rootfs/k2u/config")
compiler=${compiler%%"
"*}
ko=$out/k2u.ko
log=$out/build.log
END
if [ -n "$triplet" ]; then
	cat <<-END
		programs=$out/user
		libraries=$cache/rootfs/usr/lib/$triplet
		tools=$cache/rootfs/k2u/tools
	END
else
	echo "programs=$top/build"
fi
[ "$own" = no ] || echo "build=$cache/rootfs/usr/src/linux"

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Boot one throw-away guest for one job and bring its results out.
#
#	scripts/vm.sh --kernel=KERNEL --job=bench|tests --out=DIR [--timeout=S]
#		      [--accel=auto|tcg|icount] [--boot=N] [--insmod=PARAMETERS]
#		      [--hyperfine=METHODS:BACKINGS] [--smp=N] [--memory=SIZE] [--append=WORDS]
#		      [--fault-around=BYTES] [--numa=NODES[:DISTANCE]] [-- ARGUMENT...]
#	scripts/vm.sh --kernel=KERNEL --job=probe [--smp=N]
#
# probe only says what bench would use. bench runs "k2u-bench run ARGUMENT..." and with
# --hyperfine scripts/hyperfine.sh (comma lists, see there); tests
# runs build/tests/guest_*, or where there are ARGUMENTs just these, each a
# program of build/tests and its own arguments. WORDS are added to the kernel's
# command line. BYTES is set as the kernel's fault_around_bytes.
# With --numa memory and CPUs are shared out evenly among so many nodes, DISTANCE (20)
# from each other, and there is a CPU for each at least.
#
# The guest has an initramfs and two serial ports, no disk and no network. Its lines
# "<tag>\t<text>" on the second port become files in DIR (see split): of tests tap, state (what the guest was like before and
# after the module, key=value) and gcov.tar; text that it sends is never executed.
#
# N numbers the boot (default 1) and, under icount, seeds all that differs from
# boot to boot: where the kernel lies, its random numbers, the order of the
# blocks. The same N gives the same boot again.
#
# auto (of bench): KVM where a guest of this very kernel has been seen to boot
# under it, else icount, where time counts instructions; with several processors
# plain emulation, as icount lets them run by turns. auto of tests: KVM or plain
# emulation. stdout: key=value lines (venue, kernel, release).
# Exit status: that of the job; 77 no such kernel; 124 timeout; 130 interrupted.
# shellcheck disable=SC2317 # functions that traps call
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"

PROBE_S=10

usage() {
	die "usage: vm.sh --kernel=KERNEL --job=bench|tests --out=DIR [--timeout=S] [--accel=auto|tcg|icount] [--boot=N] [--insmod=PARAMETERS] [--hyperfine=METHODS:BACKINGS] [--smp=N] [--memory=SIZE] [--append=WORDS] [--fault-around=BYTES] [--numa=NODES[:DISTANCE]] [-- ARGUMENT...]"
}

kernel='' job='' out='' limit=900 accel=auto boot=1 insmod='' hyperfine=no smp=1 memory=1G append='' around='' numa='' megabytes=''
while [ $# -gt 0 ]; do
	case $1 in
	--kernel=*) kernel=${1#*=} ;;
	--job=*) job=${1#*=} ;;
	--out=*) out=${1#*=} ;;
	--timeout=*) limit=${1#*=} ;;
	--accel=*) accel=${1#*=} ;;
	--boot=*) boot=${1#*=} ;;
	--insmod=*) insmod=${1#*=} ;;
	--hyperfine=*) hyperfine=${1#*=} ;;
	--smp=*) smp=${1#*=} ;;
	--memory=*) memory=${1#*=} ;;
	--append=*) append=${1#*=} ;;
	--fault-around=*) around=${1#*=} ;;
	--numa=*) numa=${1#*=} ;;
	--)
		shift
		break
		;;
	*) usage ;;
	esac
	shift
done
[ -n "$kernel" ] || usage
case $job in
bench | tests) [ -n "$out" ] || usage ;;
probe) ;;
*) usage ;;
esac
case $accel in auto | tcg | icount) ;; *) usage ;; esac
case $boot in '' | 0* | *[!0-9]*) usage ;; esac
case $smp in '' | 0* | *[!0-9]*) usage ;; esac
nodes=${numa%%:*} distance=20
case $numa in *:*) distance=${numa#*:} ;; esac
case $nodes in 0* | *[!0-9]*) usage ;; esac
case $distance in '' | 0* | *[!0-9]*) usage ;; esac
[ "$smp" -ge "${nodes:-1}" ] || smp=$nodes
case ${numa:+$memory} in
'') ;;
*[0-9]G) megabytes=$((${memory%G} * 1024)) ;;
*[0-9]M) megabytes=${memory%M} ;;
*) die "--memory=$memory: with --numa a number and M or G" ;;
esac

disk=''	# the guest has one
guest=''	# process id of a running guest
tmp=$(mktemp -d "${TMPDIR:-/tmp}/k2u-vm.XXXXXX")

cleanup() {
	status=$?
	trap '' INT TERM
	stop_guest
	rm -rf -- "$tmp"
	exit "$status"
}

stop_guest() {
	[ -n "$guest" ] || return 0
	kill -TERM "$guest" 2>/dev/null || :
	wait "$guest" 2>/dev/null || :
	guest=''
}

interrupted() {
	trap '' INT TERM
	stop_guest
	if [ -s "$tmp/port" ]; then
		split no || :
	fi
	exit 130
}
trap cleanup EXIT
trap interrupted INT TERM

# needed FILE: "library<tab>its path in the guest" of those that FILE needs;
# nothing for a script or a static program
needed() {
	libraries=$(field libraries "$tmp/kernel")
	if [ -z "$libraries" ]; then
		{ ldd "$1" 2>/dev/null || :; } | sed -n 's/^[^/]*\(\/[^ ]*\) (0x.*/\1	\1/p'
		return
	fi
	# A foreign program cannot be run to say so
	{ readelf -lW "$1" 2>/dev/null || :; } |
		sed -n "s|.*program interpreter: \(.*/\)\(.*\)\].*|$libraries/\2	\1\2|p"
	{ readelf -dW "$1" 2>/dev/null || :; } |
		sed -n "s|.*(NEEDED).*\[\(.*\)\].*|$libraries/\1	/lib/${libraries##*/}/\1|p"
}

# add FILE PATH: FILE and the libraries that it needs into the initramfs
add() {
	mkdir -p -- "$tmp/rootfs/$(dirname -- "$2")"
	cp -L -- "$1" "$tmp/rootfs/$2"
	needed "$1" | while IFS='	' read -r library path; do
		[ -e "$tmp/rootfs$path" ] || add "$library" "${path#/}"
	done
}

# tool NAME: the program NAME for the guest, this system's if that can be
tool() {
	tools=$(field tools "$tmp/kernel")
	if [ -z "$tools" ]; then command -v "$1"; else echo "$tools/$1"; fi
}

# initramfs JOB [ARGUMENT...]: $tmp/JOB.cpio
initramfs() {
	name=$1
	shift
	rm -rf -- "$tmp/rootfs"
	mkdir -p -- "$tmp/rootfs/bin" "$tmp/rootfs/job"
	add "$(tool busybox)" bin/busybox
	ln -s busybox "$tmp/rootfs/bin/sh"
	add "$top/scripts/guest-init.sh" init
	chmod 755 "$tmp/rootfs/init"
	cp -- "$(field ko "$tmp/kernel")" "$tmp/rootfs/k2u.ko"
	echo "$name" >"$tmp/rootfs/job/name"
	echo "$port" >"$tmp/rootfs/job/port"
	: >"$tmp/rootfs/job/args"
	[ $# -eq 0 ] || printf '%s\n' "$@" >"$tmp/rootfs/job/args"
	printf '%s\n' "$insmod" >"$tmp/rootfs/job/insmod"
	[ -z "$around" ] || printf '%s\n' "$around" >"$tmp/rootfs/job/fault_around"
	cp -- "$(field config "$tmp/kernel")" "$tmp/rootfs/job/config"
	case $name in
	bench)
		add "$programs/k2u-bench" bin/k2u-bench
		if [ "$hyperfine" != no ]; then
			add "$programs/k2u-get" bin/k2u-get
			add "$(tool hyperfine)" bin/hyperfine
			add "$top/scripts/hyperfine.sh" bin/k2u-hyperfine
			printf '%s\n' "$hyperfine" >"$tmp/rootfs/job/hyperfine"
		fi
		;;
	tests)
		for program in "$programs"/tests/guest_* "$programs"/tests/debug_*; do
			case $program in *.d | *.o) continue ;; esac
			[ -f "$program" ] || continue
			add "$program" "tests/${program##*/}"
		done
		[ -e "$tmp/rootfs/tests" ] || die "there are no guest tests in $programs/tests: run make tests"
		;;
	esac
	find "$tmp/rootfs" -exec touch -h -d @0 {} +
	(cd "$tmp/rootfs" && find . | LC_ALL=C sort |
		cpio --quiet --create --format=newc --owner=0:0 --reproducible) >"$tmp/$name.cpio"
	rm -rf -- "$tmp/rootfs"
}

# topology: QEMU's words for the nodes, with CPUs in the order of their numbers
topology() {
	i=0
	while [ "$i" -lt "${nodes:-0}" ]; do
		echo "-object memory-backend-ram,id=node$i,size=$((megabytes / nodes))M"
		echo "-numa node,nodeid=$i,memdev=node$i,cpus=$((i * smp / nodes))-$(((i + 1) * smp / nodes - 1))"
		j=0
		while [ "$j" -lt "$i" ]; do
			echo "-numa dist,src=$j,dst=$i,val=$distance"
			j=$((j + 1))
		done
		i=$((i + 1))
	done
}

# start JOB VENUE SECONDS: start the guest; its ports go to $tmp/port and $tmp/console
start() {
	words=$append
	case $2 in
	kvm) set -- "$@" -accel kvm -cpu host ;;
	icount)
		# Nothing of the host's time or entropy gets in: a run can be repeated
		set -- "$@" -accel tcg,thread=single -icount shift=0,sleep=off -cpu "$cpu" \
			-seed "$boot" -rtc base=2020-01-01,clock=vm
		;;
	tcg)
		set -- "$@" -accel tcg -cpu "$cpu"
		words="$words $tcg_words"
		;;
	esac
	cpio=$tmp/$1.cpio
	seconds=$3
	shift 3
	: >"$tmp/port"
	# shellcheck disable=SC2046 # a list of words
	[ -z "$numa" ] || set -- "$@" $(topology)
	[ -z "$disk" ] || set -- "$@" -drive "file=$tmp/disk,format=raw,if=none,id=disk" -device nvme,drive=disk,serial=k2u
	# The guest must not outlive this script, even if that is killed
	# shellcheck disable=SC2086 # $machine and $port_device are lists of words
	setpriv --pdeathsig TERM timeout -k 5 "$seconds" "$qemu" $machine "$@" \
		-smp "$smp" -m "${megabytes:-$memory}" -no-reboot -nodefaults -no-user-config -display none \
		-kernel "$(field vmlinuz "$tmp/kernel")" -initrd "$cpio" \
		-append "console=$console panic=-1 quiet nowatchdog${words:+ $words}" \
		-chardev "file,id=console,path=$tmp/console" -serial chardev:console \
		-chardev "file,id=port,path=$tmp/port" $port_device \
		</dev/null >"$tmp/qemu" 2>&1 &
	guest=$!
}

# finish: wait for the guest, showing progress on a terminal; sets $status
finish() {
	while [ -t 2 ] && kill -0 "$guest" 2>/dev/null; do
		sleep 1
		tail -n 20 "$tmp/port" | awk -F '\t' -v start="$started" -v now="$(date +%s)" '
			$1 == "progress" && NF == 4 { done = $2; total = $3; left = $4 }
			END {
				if (total)
					printf "\r  guest: %d/%d, %d s elapsed, about %d s left   ",
						done, total, now - start, left
			}' >&2
	done
	status=0
	wait "$guest" 2>/dev/null || status=$?
	guest=''
	[ ! -t 2 ] || printf '\r%60s\r' '' >&2
}

# kvm_boots: whether this kernel reaches its init under KVM, within PROBE_S
# seconds. /dev/kvm may exist and still not run a stock kernel. Remembered until
# this machine is booted again.
kvm_boots() {
	[ "$qemu" = "qemu-system-$(uname -m)" ] || return 1
	[ -r /dev/kvm ] && [ -w /dev/kvm ] || return 1
	memo=$K2U_CACHE/kvm-$(field release "$tmp/kernel")
	boot_id=$(cat /proc/sys/kernel/random/boot_id)
	case $(cat "$memo" 2>/dev/null) in
	"$boot_id yes") return 0 ;;
	"$boot_id no") return 1 ;;
	esac
	initramfs probe
	start probe kvm "$PROBE_S"
	wait "$guest" 2>/dev/null || :
	guest=''
	verdict=no
	! grep -q '^bye	0' "$tmp/port" || verdict=yes
	echo "$boot_id $verdict" >"$memo"
	[ "$verdict" = yes ] || say "KVM does not boot $(field release "$tmp/kernel") here: emulating"
	[ "$verdict" = yes ]
}

# split yes|no: the lines of the port into files of $out, whole (yes) or what
# has come so far (no). A name that is not listed here is not written.
split() {
	# A line that was cut off is dropped
	if [ -n "$(tail -c 1 "$tmp/port")" ]; then
		head -n -1 "$tmp/port" >"$tmp/port.cut"
		mv -- "$tmp/port.cut" "$tmp/port"
	fi
	mkdir -p -- "$out"
	K2U_SPLIT=$tmp/split awk '
		BEGIN {
			split("samples.csv checks.csv capability.csv env.json dmesg.txt hyperfine.json tap log state gcov", names, " ")
			for (i in names)
				known[names[i]] = 1
			dir = ENVIRON["K2U_SPLIT"]
		}
		{
			tab = index($0, "\t")
			tag = substr($0, 1, tab - 1)
			if (!(tag in known))
				next
			if (tag == "env.json")	# sent early, and again when complete
				env = substr($0, tab + 1)
			else
				print substr($0, tab + 1) > (dir "." tag)
		}
		END {
			if (env != "")
				print env > (dir ".env.json")
		}' "$tmp/port"
	for name in samples.csv checks.csv capability.csv env.json dmesg.txt hyperfine.json; do
		[ -e "$tmp/split.$name" ] || continue
		target=$out/$name
		case $1.$name in no.samples.csv | no.checks.csv | no.capability.csv) target=$target.partial ;; esac
		if ! { cp -- "$tmp/split.$name" "$out/$name.new" && sync -- "$out/$name.new" &&
			mv -- "$out/$name.new" "$target"; }; then
			say "$K2U_ME: cannot write $target: the disk is full or it may not be written"
			return 1
		fi
	done
	[ ! -s "$tmp/split.log" ] || sed 's/^/guest: /' "$tmp/split.log" >&2
	[ "$job" = tests ] || return 0
	for name in tap state; do
		[ ! -e "$tmp/split.$name" ] || cp -- "$tmp/split.$name" "$out/$name"
	done
	[ ! -e "$tmp/split.gcov" ] || base64 -d "$tmp/split.gcov" >"$out/gcov.tar"
}

# running: which command the guest was at
running() {
	sed -n 's/^running	\(.*\)/, at: \1/p' "$tmp/port" | tail -n 1
}

# ended: the guest said goodbye, and every line that it counted has arrived
ended() {
	awk -F '\t' -v job="$job" '
		$1 == "samples.csv" { samples++ }
		$1 == "checks.csv" { checks++ }
		$1 == "capability.csv" { capability++ }
		$1 == "end" { end = 1; ok = ($3 == samples + 0 && $4 == checks + 0 && $5 == capability + 0) }
		$1 == "bye" { bye = 1 }
		END { exit !(bye && (job != "bench" || (end && ok))) }' "$tmp/port"
}

# set_machine: what is the architecture's: the emulator, its CPU, the two serial
# ports, and what its kernel must be told where it is emulated in real time
set_machine() {
	machine='' cpu=max console=ttyS0 port=ttyS1 port_device='-serial chardev:port' tcg_words=''
	case $(field arch "$tmp/kernel") in
	amd64)
		# Where the host is busy the kernel sees no tick in time, and panics:
		# check_timer(), arch/x86/kernel/apic/io_apic.c of 5.10 and 6.1
		qemu=qemu-system-x86_64 group=guest tcg_words=no_timer_check
		;;
	arm64)
		# The machine has one port; pauth-impdef: a pointer's signature costs
		# QEMU less, and the guest the same
		group=arm64 qemu=qemu-system-aarch64 machine='-machine virt' cpu=max,pauth-impdef=on,cntfrq=1000000000
		console=ttyAMA0 port=ttyS0 port_device='-device pci-serial,chardev=port'
		;;
	riscv64)
		group=riscv64 qemu=qemu-system-riscv64 machine='-machine virt' cpu=rv64
		port=ttyS1 port_device='-device pci-serial,chardev=port'
		;;
	esac
	[ "$group" = guest ] || have readelf || die "readelf is not installed: run scripts/deps.sh --for=$group"
	have "$qemu" || unavailable "kernel $kernel: $qemu is not installed: run scripts/deps.sh --for=$group"
}

for command in cpio busybox setpriv; do
	have "$command" || die "$command is not installed: run scripts/deps.sh --for=guest"
done
"$top/scripts/kernel.sh" "$kernel" >"$tmp/kernel"
release=$(field release "$tmp/kernel")
programs=$(field programs "$tmp/kernel")
set_machine

# Alone, capability is no matter of time, and O_DIRECT needs a disk; a disk's
# interrupts would come at the host's time
case " $* " in
*' --measures=capability '*)
	truncate -s 1M "$tmp/disk"
	set -- "$@" --direct=/dev/nvme0n1
	disk=1
	;;
esac

venue=$accel
if [ "$accel" = auto ]; then
	if kvm_boots; then
		venue=kvm
	elif [ -n "$disk" ] || [ "$smp" -gt 1 ]; then
		venue=tcg
	elif [ "$job" = tests ]; then
		venue=tcg
	else
		venue=icount
	fi
fi
printf 'venue=%s\nkernel=%s\nrelease=%s\n' "$venue" "$(field kernel "$tmp/kernel")" "$release"
[ "$job" != probe ] || exit 0

if [ "$job" = bench ]; then
	initramfs bench "$@" "--venue=$venue" "--boot=$boot" \
		"--env=kernel.config_sha256=$(field config_sha256 "$tmp/kernel")" \
		"--env=guest.module_compiler=$(field compiler "$tmp/kernel")" \
		"--env=started=$(date -u +%Y-%m-%dT%H:%M:%SZ)" \
		"--env=guest.qemu=$("$qemu" --version | sed -n '1s/.*version //p')"
else
	initramfs tests "$@"
fi

started=$(date +%s)
start "$job" "$venue" "$limit"
finish

if grep -nE "$K2U_SPLAT" "$tmp/console" >"$tmp/splat" || grep -E "^(dmesg\.txt|tap)	.*($K2U_SPLAT)" "$tmp/port" >"$tmp/splat"; then
	say "$K2U_ME: the guest's kernel $release reported:"
	head -n 20 "$tmp/splat" >&2
	broken=1
else
	broken=0
fi

if ! ended; then
	split no
	if [ "$status" -eq 124 ]; then
		say "$K2U_ME: the guest was stopped: its job took more than $limit s$(running)"
		exit 124
	fi
	tail -n 5 "$tmp/qemu" "$tmp/console" >&2
	cp -- "$tmp/console" "$out/console"
	die "the guest $release ended before its job did$(running); what has arrived is in $out"
fi
split yes
[ "$broken" -eq 0 ] || exit 1
exit "$(sed -n 's/^bye	\([0-9]*\)$/\1/p' "$tmp/port")"

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# PID 1 of a guest (busybox sh). Does the job of /job/name and switches off.
#
# Results leave through the serial port that /job/port names as lines "<tag>\t<text>", the
# last one being "bye\t<status>"; scripts/vm.sh takes them apart.

PATH=/bin
export PATH

/bin/busybox mkdir -p /proc /sys /dev /tmp /root
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mount -t debugfs debugfs /sys/kernel/debug
mount -t securityfs securityfs /sys/kernel/security 2>/dev/null
mount -t tmpfs tmpfs /tmp
mkdir -p /dev/shm
mount -t tmpfs tmpfs /dev/shm
ip link set lo up 2>/dev/null

# Messages go to the log, which is read here, and not to the slow console
dmesg -n 1
port=/dev/$(cat /job/port)
stty -F "$port" raw -echo
exec 3>"$port"

tagged() {
	sed "s/^/$1	/" >&3
}

log() {
	printf 'log\t%s\n' "$*" >&3
}

bye() {
	printf 'bye\t%s\n' "$1" >&3
	exec 3>&-
	sync
	# Ends QEMU (-no-reboot), and needs no ACPI
	reboot -f
}

load() {
	dmesg -c >/dev/null
	# shellcheck disable=SC2046 # several parameters
	insmod /k2u.ko $(cat /job/insmod) && return
	log "insmod k2u.ko failed"
	dmesg | tagged dmesg.txt
	bye 1
}

unload() {
	rmmod k2u || log "rmmod k2u failed"
	[ ! -e /sys/module/k2u ] || status=1
}

# state before|after: what the module may not change, as "state\t<key>=<value>"
state() {
	if [ -e /sys/kernel/debug/kmemleak ]; then
		# An object younger than 5 s is not looked at, and one that changed
		# since the last scan is not reported
		sleep 6
		echo scan >/sys/kernel/debug/kmemleak
		echo scan >/sys/kernel/debug/kmemleak
		sed "s/^/kmemleak_$1=/" /sys/kernel/debug/kmemleak | tagged state
		echo clear >/sys/kernel/debug/kmemleak
	fi
	echo 3 >/proc/sys/vm/drop_caches
	if [ -e /sys/kernel/debug/kmemleak ]; then
		# KASAN keeps back what was freed, up to a 32nd of the memory
		for cache in /sys/kernel/slab/*/shrink; do
			echo 1 >"$cache"
		done
	fi
	sed "s/^/taint_$1=/" /proc/sys/kernel/tainted | tagged state
	sed -n "s/^MemFree: *\([0-9]*\) kB/free_kb_$1=\1/p" /proc/meminfo | tagged state
}

bench() {
	# Let what the boot has put off happen now; under icount idle time is free
	sleep 2
	if [ -e /job/fault_around ] && ! cat /job/fault_around >/sys/kernel/debug/fault_around_bytes; then
		log "fault_around_bytes cannot be set"
		bye 1
	fi
	load
	k2u-bench run "--stream=$port" --config=/job/config "$@" 2>/tmp/stderr
	status=$?
	tagged log </tmp/stderr
	if [ -e /job/hyperfine ] && [ "$status" -le 1 ]; then
		if k2u-hyperfine /bin /tmp/hyperfine.json "$(cat /job/hyperfine)" \
			--warmup=2 --runs=10 >/tmp/stderr 2>&1; then
			tagged hyperfine.json </tmp/hyperfine.json
			sed -n 's/^k2u-get: /unavailable: whole-command cost: /p' /tmp/stderr | tagged log
		else
			tagged log </tmp/stderr
			status=1
		fi
	fi
	unload
	dmesg | tagged dmesg.txt
}

# tests [COMMAND...]: every guest_* or these, each a program and its arguments.
# TAP lines as "<program>\t<line>"; then the program's status and what it made
# the kernel say
tests() {
	status=0
	# A program that is meant to die of a signal is no message (riscv64)
	echo 0 >/proc/sys/debug/exception-trace
	state before
	load
	dmesg -c | tagged dmesg.txt
	cd /tests || bye 1
	[ $# -gt 0 ] || set -- guest_*
	for command; do
		name=${command%% *}
		printf 'running\t%s\n' "$command" >&3
		read -r began _ </proc/uptime
		# shellcheck disable=SC2086 # a program and its arguments
		CMOCKA_MESSAGE_OUTPUT=TAP ./$command >/tmp/out 2>&1 </dev/null
		rc=$?
		read -r now _ </proc/uptime
		tagged "tap	$name" </tmp/out
		printf 'tap\t%s\t# took %s s\n' "$name" $((${now%.*} - ${began%.*})) >&3
		printf 'tap\t%s\tstatus %s\n' "$name" "$rc" >&3
		dmesg -c | tagged "tap	$name	dmesg"
	done
	unload
	dmesg -c | tagged dmesg.txt
	state after
	if [ -d /sys/kernel/debug/gcov/k2u ]; then
		# Their size is said to be 0, and tar believes it
		mkdir /tmp/gcov
		for data in /sys/kernel/debug/gcov/k2u/src/kmod/*.gcda; do
			cat "$data" >"/tmp/gcov/${data##*/}"
		done
		tar -C /tmp/gcov -c . | base64 | tagged gcov
	fi
}

set --
while read -r arg; do
	set -- "$@" "$arg"
done </job/args

status=0
case $(cat /job/name) in
bench) bench "$@" ;;
tests) tests "$@" ;;
probe) ;;
esac
bye "$status"

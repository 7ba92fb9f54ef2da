#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The registries and the files behind them agree, and disagreement is seen.
#
#	tests/registry.sh	TAP on stdout; exit status 1 if a test failed
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

# methods TREE: "id name" of every line of registry 1
methods() {
	sed -n 's/^K2U_METHOD(\([0-9]*\), \([a-z0-9_]*\),.*/\1 \2/p' "$1/include/methods.def"
}

# measures TREE: the name of every line of registry 2
measures() {
	sed -n 's/^K2U_MEASURE(\([a-z0-9_]*\),.*/\1/p' "$1/bench/measures.def"
}

# files DIR PREFIX: <name> of every DIR/PREFIX_<name>.c
files() {
	find "$1" -maxdepth 1 -name "$2_*.c" | sed "s|.*/$2_\(.*\)\.c\$|\1|" | sort
}

# disagreements TREE: one line for each
disagreements() {
	lines=$(grep -c '^K2U_METHOD(' "$1/include/methods.def")
	[ "$(methods "$1" | wc -l)" -eq "$lines" ] ||
		echo "include/methods.def: a line is not K2U_METHOD(id, name, ...)"
	[ "$(methods "$1" | cut -d ' ' -f 1)" = "$(seq 0 $((lines - 1)))" ] ||
		echo "include/methods.def: ids are not 0, 1, 2 ... in order"

	for name in $(methods "$1" | cut -d ' ' -f 2); do
		if [ ! -e "$1/kmod/method_$name.c" ]; then
			echo "include/methods.def: $name has no kmod/method_$name.c"
		elif ! grep -q "^const struct k2u_method_ops k2u_method_$name = {" \
			"$1/kmod/method_$name.c"; then
			echo "kmod/method_$name.c: does not define k2u_method_$name"
		fi
	done
	for name in $(files "$1/kmod" method); do
		methods "$1" | grep -q " $name\$" ||
			echo "kmod/method_$name.c: not in include/methods.def"
	done

	measures "$1" | sort -c 2>/dev/null || echo "bench/measures.def: not sorted"
	for name in $(measures "$1"); do
		[ -e "$1/bench/measure_$name.c" ] ||
			echo "bench/measures.def: $name has no bench/measure_$name.c"
		grep -q "\`$name\`" "$1/results/SCHEMA.md" ||
			echo "results/SCHEMA.md: measure $name is not described"
	done
	for name in $(files "$1/bench" measure); do
		measures "$1" | grep -qx "$name" ||
			echo "bench/measure_$name.c: not in bench/measures.def"
	done

	grep -n '^HOSTILE_' "$1/tests/guest/hostile.def" |
		grep -vE ':HOSTILE_(METHOD|CASE|OP)\(.*\)$' |
		sed 's|^|tests/guest/hostile.def: not one whole line: |'
	[ "$(sed '1,/^<!-- hostile.def:/d' "$1/docs/SAFETY.md")" = \
		"$(K2U_TREE=$1 "$top/tests/hostile-table.sh" --expected)" ] ||
		echo "docs/SAFETY.md: its table is not that of tests/hostile-table.sh --expected"

	for name in $(files "$1/kmod/compat/probes" have | tr '[:lower:]' '[:upper:]'); do
		grep -q "K2U_HAVE_$name" "$1/kmod/compat/compat.h" ||
			echo "kmod/compat/probes: compat.h does not use K2U_HAVE_$name"
	done
	grep -nE 'LINUX_VERSION_CODE|KERNEL_VERSION|K2U_HAVE_' "$1"/kmod/*.[ch] "$1"/kmod/Kbuild |
		sed "s|^$1/||; s|\$| (version knowledge outside kmod/compat/)|"
}

# struct_fields FILE NAME: the fields of a structure, of C or of syzlang
struct_fields() {
	sed -n "/^\(struct \)*$2 {/,/^}/p" "$1" |
		sed -n -e 's/^	__[us][0-9]* \([a-z_]*\)[[;].*/\1/p' -e 's/^	\([a-z_][a-z_]*\)	.*/\1/p'
}

# undescribed TREE: what of the ABI tests/syzkaller/k2u.txt has not, or otherwise
undescribed() {
	abi=$1/include/k2u.h
	text=$1/tests/syzkaller/k2u.txt
	{
		sed -n 's/^#define \(K2U_\(IOC\|CACHE\|SETUP\)_[A-Z]*\)[^A-Z].*/\1/p' "$abi" | grep -v MAGIC
		sed -n 's/^K2U_BACKING([0-9]*, \([A-Z0-9_]*\), .*/K2U_BACKING_\1/p' "${abi%/*}/backings.def"
	} | while read -r name; do
		grep -qw "$name" "$text" || echo "tests/syzkaller/k2u.txt: no $name"
		grep -q "^$name = " "$text.const" || echo "tests/syzkaller/k2u.txt.const: no $name"
	done
	sed -n 's/^struct \(k2u_[a-z]*\) {/\1/p' "$abi" | while read -r name; do
		[ "$(struct_fields "$abi" "$name")" = "$(struct_fields "$text" "$name")" ] ||
			echo "tests/syzkaller/k2u.txt: $name has other fields"
	done
	methods "$1" | while read -r id name; do
		from=$(printf '0x%x' $((id << 40)))
		to=$(printf '0x%x' $(((id << 40) + (1 << 20))))
		grep -q "^mmap\$K2U_$name(.* int64\[$from:$to, " "$text" ||
			echo "tests/syzkaller/k2u.txt: no mmap\$K2U_$name at method $id"
	done
	{
		echo '#include <k2u.h>'
		sed -n 's/^\(K2U_[A-Z_]*\) = \([0-9]*\)$/_Static_assert(\1 == \2, "\1");/p' "$text.const"
	} | "${CC:-cc}" -I"$1/include" -fsyntax-only -x c - 2>&1 |
		sed -n 's/.*static assertion failed: "\(.*\)"/tests\/syzkaller\/k2u.txt.const: \1 has another value/p'
}

# unapplied TREE: the seeded bugs whose patch does not fit
unapplied() {
	for patch in "$top"/tests/mutants/*.patch; do
		patch -p1 -s -f --dry-run -d "$1" <"$patch" >/dev/null 2>&1 ||
			echo "${patch#"$top/"} does not apply"
	done
}

n=0
failed=0
# report NAME WRONG: a test, which passed if WRONG is empty
report() {
	n=$((n + 1))
	if [ -z "$2" ]; then
		echo "ok $n - registry: $1"
	else
		failed=1
		echo "not ok $n - registry: $1"
		printf '%s\n' "$2" | sed 's/^/# /'
	fi
}

report "files and lines agree" "$(disagreements "$top")"
report "syzkaller has the whole ABI" "$(undescribed "$top")"
report "every mutant's patch applies" "$(unapplied "$top")"

# The check itself: each of these must be found.
tmp=$(mktemp -d)
trap 'rm -rf -- "$tmp"' EXIT
trap 'exit 130' INT TERM
mkdir "$tmp/tree" "$tmp/tree/results" "$tmp/tree/docs" "$tmp/tree/tests"
# seen WHAT COMMAND...: after COMMAND in a copy of the tree there is a disagreement
seen() {
	what=$1
	shift
	rm -rf -- "$tmp/tree/include" "$tmp/tree/kmod" "$tmp/tree/bench" "$tmp/tree/tests"
	mkdir "$tmp/tree/tests"
	cp -r -- "$top/tests/syzkaller" "$tmp/tree/tests/"
	cp -r -- "$top/include" "$top/kmod" "$top/bench" "$tmp/tree/"
	cp -- "$top/results/SCHEMA.md" "$tmp/tree/results/"
	cp -- "$top/docs/SAFETY.md" "$tmp/tree/docs/"
	rm -rf -- "$tmp/tree/tests/guest"
	cp -r -- "$top/tests/guest" "$tmp/tree/tests/"
	(cd "$tmp/tree" && "$@")
	wrong=
	[ -n "$(disagreements "$tmp/tree" && undescribed "$tmp/tree" && unapplied "$tmp/tree")" ] || wrong="not found: $what"
	report "$what is found" "$wrong"
}
seen "a method's file without its line" touch kmod/method_bogus.c
seen "a method's line without its file" rm kmod/method_pfn.c
seen "a measure's file without its line" touch bench/measure_bogus.c
seen "a measure's line without its file" rm bench/measure_faults.c
seen "an id twice" sed -i 's/^K2U_METHOD(2,/K2U_METHOD(1,/' include/methods.def
seen "a version check outside compat" sh -c 'echo "#if K2U_HAVE_X" >>kmod/core.c'
seen "a hostile expectation that the page lacks" \
	sed -i 's/^HOSTILE_OP(mremap, grow, ANY, 5.10, EFAULT)/HOSTILE_OP(mremap, grow, ANY, 5.10, OK)/' \
	tests/guest/hostile.def
seen "a hostile case that is cut in two" \
	sed -i 's/^\(HOSTILE_CASE(core, MAP,\) /\1\n/' tests/guest/hostile.def
seen "an ioctl that syzkaller does not know" sh -c 'echo "#define K2U_IOC_NEW _IO(0, 9)" >>include/k2u.h'
seen "a field that syzkaller does not know" sed -i '/^struct k2u_fill {/a\	__u32 new;' include/k2u.h
seen "a constant that is another" sed -i 's/^K2U_IOC_INFO = .*/K2U_IOC_INFO = 1/' tests/syzkaller/k2u.txt.const
seen "a method that syzkaller does not know" sed -i 's/^mmap.K2U_pfn(.*//' tests/syzkaller/k2u.txt
seen "code that a mutant's patch does not find" sed -i 's/get_net(/get_network(/' kmod/stream_udp.c
echo "1..$n"
exit "$failed"

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The hostile cases as tables, and whether a row of them is missing.
#
#	tests/hostile-table.sh KERNEL=FILE...	Markdown: case x kernel, from the file
#						"tap" of scripts/vm.sh for each kernel
#	tests/hostile-table.sh --expected	Markdown: what hostile.def expects
#
# A row is a case on a method, a backing and a user (a case of the file itself
# has no method). It must have passed, or be declared not to apply, with the
# reason. Exit status 1 if one failed or is missing.
set -eu
top=${K2U_TREE:-$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)}
def=$top/tests/guest/hostile.def

usage() {
	echo "usage: hostile-table.sh KERNEL=FILE... | --expected" >&2
	exit 2
}

# cases: "name<tab>scope<tab>why" of each
cases() {
	sed -n 's/^HOSTILE_CASE(\([a-z0-9_]*\), \([A-Z]*\), "\(.*\)")$/\1	\2	\3/p' "$def"
}

# operations: "case<tab>operation<tab>when<tab>since<tab>result" of each line
operations() {
	sed -n 's/^HOSTILE_OP(\([^,]*\), \([^,]*\), \([^,]*\), \([^,]*\), \(.*\))$/\1	\2	\3	\4	\5/p' "$def"
}

# rows: every name that a result must have
rows() {
	methods=$(sed -n 's/^K2U_METHOD([0-9]*, \([a-z0-9_]*\),.*/\1/p' "$top/include/methods.def")
	backings=$(sed -n 's/^K2U_BACKING([0-9]*, [A-Z0-9_]*, \([a-z0-9_]*\))$/\1/p' "$top/include/backings.def")
	cases | while IFS='	' read -r name scope _; do
		if [ "$scope" = FILE ]; then of="file"; else of=$methods; fi
		for method in $of; do
			for backing in $backings; do
				printf 'hostile/%s/%s/%s/%s\n' "$name" "$method" "$backing" root \
					"$name" "$method" "$backing" nobody
			done
		done
	done
}

expected() {
	{ cases | sed 's/^/C	/'; operations | sed 's/^/O	/'; } | awk -F '\t' '
		$1 == "C" { order[++n] = $2; scope[$2] = $3; why[$2] = $4; next }
		{
			at = $2 SUBSEP $6 SUBSEP $4 SUBSEP $5
			if (!(at in ops)) {
				lines[$2]++
				line[$2, lines[$2]] = at
				ops[at] = $3
				result[at] = $6; when[at] = $4; since[at] = $5
			} else
				ops[at] = ops[at] ", " $3
		}
		END {
			text["FILE"] = "the file"
			text["ALL"] = "every method"
			text["MAP"] = "every mapping"
			text["COPY"] = "every copy by read() and write()"
			text["CALL"] = "every copy by K2U_IOC_COPY"
			text["WAY"] = "every copy"
			text["SPLICE"] = "every copy by splice()"
			text["URING"] = "every read by io_uring"
			text["COMMAND"] = "every command of io_uring"
			for (i = 1; i <= n; i++) {
				c = order[i]
				printf "\n**%s** (%s): %s\n", c, text[scope[c]], why[c]
				if (!lines[c])
					continue
				print "\n| result | where | since | operations |\n|---|---|---|---|"
				for (k = 1; k <= lines[c]; k++) {
					at = line[c, k]
					w = when[at]
					gsub(/ \| /, "+", w)
					printf "| %s | %s | %s | %s |\n", result[at], w, since[at], ops[at]
				}
			}
		}'
}

[ $# -gt 0 ] || usage
if [ "$1" = --expected ]; then
	[ $# -eq 1 ] || usage
	expected
	exit 0
fi

tmp=$(mktemp -d "${TMPDIR:-/tmp}/k2u-hostile.XXXXXX")
trap 'rm -rf -- "$tmp"' EXIT
trap 'exit 130' INT TERM
rows >"$tmp/rows"
: >"$tmp/results"
kernels=''
for arg; do
	case $arg in ?*=?*) ;; *) usage ;; esac
	kernel=${arg%%=*}
	file=${arg#*=}
	[ -r "$file" ] || { echo "hostile-table.sh: cannot read $file" >&2; exit 2; }
	kernels="$kernels $kernel"
	awk -v kernel="$kernel" '
		{ sub(/^guest_hostile\t/, "") }
		/^not ok [0-9]+ - hostile\// { print kernel "\t" $NF "\tfailed"; next }
		/^ok [0-9]+ - hostile\// { print kernel "\t" $NF "\tok"; next }
		/^# does not apply: hostile\/[^ ]*: ./ {
			sub(/:$/, "", $5)
			print kernel "\t" $5 "\tn/a"
		}' "$file" >>"$tmp/results"
done

awk -F '\t' -v kernels="$kernels" '
	FILENAME ~ /rows$/ {
		row[++rows] = $1
		split($1, part, "/")
		if (!(part[2] in seen)) {
			seen[part[2]] = 1
			order[++n] = part[2]
		}
		next
	}
	{ verdict[$1, $2] = $3 }
	END {
		nr = split(kernels, k, " ")
		printf "| case |"
		for (i = 1; i <= nr; i++)
			printf " %s |", k[i]
		printf "\n|---|"
		for (i = 1; i <= nr; i++)
			printf "---|"
		print ""
		for (r = 1; r <= rows; r++) {
			split(row[r], part, "/")
			for (i = 1; i <= nr; i++) {
				v = verdict[k[i], row[r]]
				if (v == "")
					v = "missing"
				count[part[2], i, v]++
				total[i, v]++
				if (v == "missing" || v == "failed") {
					bad = 1
					print k[i] ": " row[r] ": " v > "/dev/stderr"
				}
			}
		}
		for (c = 1; c <= n + 1; c++) {
			name = c > n ? "all" : order[c]
			printf "| %s |", name
			for (i = 1; i <= nr; i++) {
				cell = ""
				for (v = 1; v <= 4; v++) {
					w = substr("ok     n/a    failed missing", v * 7 - 6, 7)
					sub(/ +$/, "", w)
					got = c > n ? total[i, w] : count[name, i, w]
					if (got)
						cell = cell (cell == "" ? "" : ", ") got " " w
				}
				printf " %s |", cell
			}
			print ""
		}
		exit bad
	}' "$tmp/rows" "$tmp/results"

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The cost of a whole command per available row of "k2u-bench list": start, open,
# get the bytes, consume them, exit. Runs on the host and (busybox sh) in a guest.
#
#	scripts/hyperfine.sh BIN JSON METHODS:BACKINGS OPTION...
#
# BIN: where k2u-bench and k2u-get are; METHODS, BACKINGS: comma lists, empty for all
# methods and for the backings of column DEFAULT; OPTION: of hyperfine.
set -eu
SIZE=64K

bin=$1 json=$2 methods=${3%%:*} backings=${3#*:}
shift 3
# Of huge there is no buffer of this size
rows=$("$bin/k2u-bench" list | awk -v methods="$methods" -v backings="$backings" '
	$4 == "wb" && $5 ~ /copy|map/ && $6 == "yes" && $3 != "huge" && (backings == "" ? $7 == "yes" : index("," backings ",", "," $3 ",")) && (methods == "" || index("," methods ",", "," $2 ",")) { print $1 "/" $2 "/" $3 }')

n=0
for row in $rows; do
	# What cannot be had at this size says why
	"$bin/k2u-get" "$row" "$SIZE" >/dev/null || continue
	set -- "$@" --command-name "k2u-get $row $SIZE" "$bin/k2u-get $row $SIZE"
	n=$((n + 1))
done
if [ "$n" -eq 0 ]; then
	echo "unavailable: whole-command cost: no row of k2u-bench list can be had" >&2
	exit 3
fi
exec hyperfine --shell=none --style=none "--export-json=$json" "$@"

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Count the instructions of hot kernels at fixed input, and compare with the counts on record.
#
#	callgrind.sh BENCH-COUNT COUNTS COMPILER [--record]
#
# Fails where a kernel takes over 10 % more instructions per row than COUNTS says. The counts hold for one
# compiler, named in COUNTS; with another one, or without valgrind, the exit status is 77 (skipped). After a
# change that is meant: the same command with --record, and commit COUNTS.

set -u
program=$1 record=$2 compiler=$3 mode=${4:-compare}
tolerance=10
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

command -v valgrind >/dev/null || { echo "skipped: no valgrind"; exit 77; }
if [ "$mode" != --record ]; then
	wanted=$(sed -n 's/^compiler: //p' "$record")
	[ "$compiler" = "$wanted" ] || { echo "skipped: built by '$compiler', the counts are of '$wanted'"; exit 77; }
fi

# count PLUGIN: appends "PLUGIN CASE... INSTRUCTIONS-PER-ROW" to $work/counts
count()
{
	valgrind --tool=callgrind --collect-atstart=no --toggle-collect=counted --dump-after=counted \
		--callgrind-out-file="$work/$1.%p" "$program" "$1" >"$work/$1.cases" 2>"$work/$1.log"
	status=$?
	if [ $status -ne 0 ]; then
		[ $status -eq 77 ] && { echo "$1: absent or not for this CPU"; return; }
		cat "$work/$1.log"
		exit 1
	fi
	n=0
	while read -r plugin operation dim bits queries rows; do
		n=$((n + 1))
		total=$(sed -n 's/^\(totals\|summary\): *//p' "$work/$1".*."$n" | head -1)
		[ "${total:-0}" -gt 0 ] || { echo "$plugin $operation: nothing was counted"; exit 1; }
		echo "$plugin $operation $dim $bits $queries $((total / rows))" >>"$work/counts"
	done <"$work/$1.cases"
}

count scalar
count avx2
if [ "$mode" = --record ]; then
	{
		echo "# Instructions per row (all queries together), counted by callgrind.sh; see there"
		echo "compiler: $compiler"
		cat "$work/counts"
	} >"$record"
	exit 0
fi
awk -v tolerance=$tolerance '
	/^#|^compiler:/ { next }
	{ key = $1 " " $2 " " $3 " " $4 " " $5 }
	NR == FNR { was[key] = $6; next }
	!(key in was) { print key ": not on record"; failed++; next }
	{
		change = 100 * ($6 / was[key] - 1)
		worse = change > tolerance
		printf "%-45s %8d %8d %+6.1f %%%s\n", key, was[key], $6, change, worse ? "  MORE THAN " tolerance " % UP" : ""
		failed += worse
		better += change < -tolerance
		seen++
	}
	END {
		if (better) print better " took over 10 % fewer: record anew"
		printf "%d passed, %d failed\n", seen - failed, failed
		exit failed > 0 || !seen
	}' "$record" "$work/counts"

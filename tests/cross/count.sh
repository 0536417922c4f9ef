#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Count the instructions that a driver executes per row, by an emulator that writes each of them down: everything
# between the call of the driver and its return, C library included.
#
#	count.sh BUILD PLUGIN "EMULATOR" DRIVER...
#	count.sh build-arm neon "qemu-aarch64-static -L sysroot -cpu max" score-neon score-dotprod score-i8mm
#
# Prints "DRIVER OPERATION d=D bits=B queries=Q INSTRUCTIONS", all queries together, over 256 rows.

set -u
program=$1/tests/cross/count so=$1/plugins/$2/tq-$2.so emulator=$3
shift 3
rows=256
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT

one()
{
	# shellcheck disable=SC2086
	$emulator "$program" "$so" "$@" $rows >"$out" || exit 1
	mark=$(sed -n 's/^mark 0x//p' "$out")
	ranges=$(sed -n 's/^range //p' "$out" | tr '\n' ',')
	# shellcheck disable=SC2086
	$emulator -singlestep -d exec,nochain -dfilter "${ranges}0x$mark+0x8" "$program" "$so" "$@" $rows 2>&1 |
		awk -v mark="$mark" -v rows=$rows -v what="$1 $2 d=$3 bits=$4 queries=$5" '
			!/^Trace/ { next }
			$0 ~ "/0*" mark "/" { marks++; next }
			marks == 1 { n++ }
			END {
				if (!n) { print what ": nothing was counted"; exit 1 }
				printf "%s %d\n", what, n / rows
			}' || exit 1
}

for driver in "$@"; do
	case $driver in
	quantize-radix-*)
		for bits in 1.6 2.33 2.5 3.5 4.5; do one "$driver" dequantize 128 $bits 1; done
		;;
	score-radix-*)
		for bits in 1.6 2.33 2.5 3.5 4.5; do one "$driver" score 128 $bits 1; done
		for bits in 1.6 2.33 2.5 3.5 4.5; do one "$driver" score 128 $bits 8; done
		;;
	score-*)
		for bits in 4 2 1 3 8; do one "$driver" score 128 $bits 1; done
		one "$driver" score 96 4 1
		one "$driver" score 1536 4 1
		one "$driver" score 128 4 8
		one "$driver" score 128 1 8
		one "$driver" score 1536 4 8
		one "$driver" score 1536 4 64
		;;
	*)
		operation=${driver%%-*}
		one "$driver" "$operation" 128 4 1
		one "$driver" "$operation" 128 2 1
		one "$driver" "$operation" 96 4 1
		one "$driver" "$operation" 1536 4 1
		;;
	esac
done

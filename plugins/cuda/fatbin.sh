#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The kernels' compiled form, which the repository ships for machines without a toolkit.
#
#	fatbin.sh ship [NVCC]				make the fatbins, each with its .sum, where sources have changed
#	fatbin.sh check [NVCC]				is the shipped form that of these sources
#
# NAME.sum names the compiler and the checksums of NAME.cu with all that it includes, and of NAME.fatbin. check
# without a compiler, or with another one than that, compares the checksums alone; with the same one it compiles
# and compares bytes.

set -eu
export LC_ALL=C
cd "$(dirname "$0")"
modules='kernels kv tcq radix warp'

# compile NVCC NAME OUTPUT
compile()
{
	"$1" -std=c++17 -O3 -fmad=false -fatbin -Xfatbin -compress-all \
		-gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=sm_90 \
		-gencode arch=compute_90,code=compute_90 "$2.cu" -o "$3"
}

version()
{
	"$1" --version | sed -n 's/.*release .*, //p'
}

# closure FILE...: these and the files of this directory that they include
closure()
{
	# shellcheck disable=SC2046
	all=$(printf '%s\n' "$@" $(sed -n 's/^#include "\(.*\)"/\1/p' "$@") | sort -u)
	# shellcheck disable=SC2086
	if [ "$all" = "$(printf '%s\n' "$@")" ]; then
		echo "$all"
	else
		closure $all
	fi
}

# sum FILE...
sum()
{
	cat "$@" | sha256sum | cut -d' ' -f1
}

# sources NAME: the checksum
sources()
{
	# shellcheck disable=SC2046
	sum $(closure "$1.cu")
}

# read_sum NAME WHAT
read_sum()
{
	sed -n "s/^$2 //p" "$1.sum"
}

# is_shipped NAME: do the checksums hold
is_shipped()
{
	[ -e "$1.sum" ] && [ "$(read_sum "$1" sources)" = "$(sources "$1")" ] &&
		[ "$(read_sum "$1" fatbin)" = "$(sum "$1.fatbin")" ]
}

nvcc=${2:-nvcc}
case ${1:-} in
ship)
	for name in $modules; do
		is_shipped "$name" && [ "$(read_sum "$name" nvcc)" = "$(version "$nvcc")" ] && continue
		compile "$nvcc" "$name" "$name.fatbin"
		printf 'nvcc %s\nsources %s\nfatbin %s\n' "$(version "$nvcc")" "$(sources "$name")" \
			"$(sum "$name.fatbin")" >"$name.sum"
	done
	;;
check)
	made=$(mktemp)
	trap 'rm -f "$made"' EXIT
	for name in $modules; do
		is_shipped "$name" || {
			echo "$name.fatbin or its sources are not those of $name.sum: run plugins/cuda/fatbin.sh ship"
			exit 1
		}
		if ! command -v "$nvcc" >/dev/null || [ "$(read_sum "$name" nvcc)" != "$(version "$nvcc")" ]; then
			echo "$name: sources and fatbin match; not compiled again: nvcc $(read_sum "$name" nvcc) is not here"
			continue
		fi
		compile "$nvcc" "$name" "$made"
		cmp "$made" "$name.fatbin"
		echo "$name: compiled again: the same bytes"
	done
	;;
*)
	sed -n '4,11s/^# \{0,1\}//p' "$0"
	exit 2
	;;
esac

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The kernels' compiled form, which the repository ships for machines without a toolkit.
#
#	fatbin.sh ship [NVCC]				make kernels.fatbin, kv.fatbin and their kernels.sum
#	fatbin.sh check [NVCC]				is the shipped form that of these sources
#
# kernels.sum names the compiler and the checksums of sources and fatbins. check without a compiler, or
# with another one than that, compares the checksums alone; with the same one it compiles and compares bytes.

set -eu
here=$(cd "$(dirname "$0")" && pwd)

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

sources()
{
	cat kernels.cu kv.cu ./*.cuh kernel_list.h device_plan.h | sha256sum | cut -d' ' -f1
}

fatbins()
{
	cat kernels.fatbin kv.fatbin | sha256sum | cut -d' ' -f1
}

case ${1:-} in
ship)
	cd "$here"
	nvcc=${2:-nvcc}
	for name in kernels kv; do
		compile "$nvcc" $name $name.fatbin
	done
	printf 'nvcc %s\nsources %s\nfatbin %s\n' "$(version "$nvcc")" "$(sources)" "$(fatbins)" >kernels.sum
	;;
check)
	cd "$here"
	read_sum() { sed -n "s/^$1 //p" kernels.sum; }
	[ "$(read_sum sources)" = "$(sources)" ] ||
		{ echo "kernels.fatbin is older than the kernels: run plugins/cuda/fatbin.sh ship"; exit 1; }
	[ "$(read_sum fatbin)" = "$(fatbins)" ] || { echo "kernels.fatbin or kv.fatbin is not the one of kernels.sum"; exit 1; }
	nvcc=${2:-nvcc}
	if ! command -v "$nvcc" >/dev/null || [ "$(read_sum nvcc)" != "$(version "$nvcc")" ]; then
		echo "sources and fatbin match; not compiled again: nvcc $(read_sum nvcc) is not here"
		exit 0
	fi
	made=$(mktemp)
	trap 'rm -f "$made"' EXIT
	for name in kernels kv; do
		compile "$nvcc" $name "$made"
		cmp "$made" $name.fatbin
	done
	echo "compiled again: the same bytes"
	;;
*)
	sed -n '4,10s/^# \{0,1\}//p' "$0"
	exit 2
	;;
esac

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The kernels' compiled form, which the repository ships for machines without a toolkit.
#
#	fatbin.sh ship [NVCC]				make kernels.fatbin and its kernels.sum
#	fatbin.sh check [NVCC]				is the shipped form that of these sources
#
# kernels.sum names the compiler and the checksum of sources and fatbin. check without a compiler, or
# with another one than that, compares the checksums alone; with the same one it compiles and compares bytes.

set -eu
here=$(cd "$(dirname "$0")" && pwd)

# compile NVCC OUTPUT
compile()
{
	"$1" -std=c++17 -O3 -fmad=false -fatbin -Xfatbin -compress-all \
		-gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=sm_90 \
		-gencode arch=compute_90,code=compute_90 kernels.cu -o "$2"
}

version()
{
	"$1" --version | sed -n 's/.*release .*, //p'
}

sources()
{
	cat kernels.cu ./*.cuh kernel_list.h device_plan.h | sha256sum | cut -d' ' -f1
}

sum()
{
	sha256sum "$1" | cut -d' ' -f1
}

case ${1:-} in
ship)
	cd "$here"
	nvcc=${2:-nvcc}
	compile "$nvcc" kernels.fatbin
	printf 'nvcc %s\nsources %s\nfatbin %s\n' "$(version "$nvcc")" "$(sources)" "$(sum kernels.fatbin)" >kernels.sum
	;;
check)
	cd "$here"
	read_sum() { sed -n "s/^$1 //p" kernels.sum; }
	[ "$(read_sum sources)" = "$(sources)" ] ||
		{ echo "kernels.fatbin is older than the kernels: run plugins/cuda/fatbin.sh ship"; exit 1; }
	[ "$(read_sum fatbin)" = "$(sum kernels.fatbin)" ] || { echo "kernels.fatbin is not the one of kernels.sum"; exit 1; }
	nvcc=${2:-nvcc}
	if ! command -v "$nvcc" >/dev/null || [ "$(read_sum nvcc)" != "$(version "$nvcc")" ]; then
		echo "sources and fatbin match; not compiled again: nvcc $(read_sum nvcc) is not here"
		exit 0
	fi
	made=$(mktemp)
	trap 'rm -f "$made"' EXIT
	compile "$nvcc" "$made"
	cmp "$made" kernels.fatbin && echo "compiled again: the same bytes"
	;;
*)
	sed -n '4,10s/^# \{0,1\}//p' "$0"
	exit 2
	;;
esac

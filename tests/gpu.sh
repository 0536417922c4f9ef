#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What needs an NVIDIA GPU, in one call: build, then every byte of the CUDA plugin against scalar.
#
#	sh tests/gpu.sh			needs gcc, meson, ninja, nvcc and the driver

set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/local/cuda/bin
export PATH
dir=build-gpu
[ -d $dir ] || meson setup $dir -Dtests=disabled >/dev/null
ninja -C $dir >$dir/build.log 2>&1 || { tail -20 $dir/build.log; exit 1; }
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
TQ_PLUGIN_PATH=$PWD/$dir/plugins/cuda
export TQ_PLUGIN_PATH
gcc -O2 -D_GNU_SOURCE -Iinclude -Icore tests/cross/backends.c core/crc32c.c -o $dir/backends -L$dir/core -ltq \
	"-Wl,-rpath,$PWD/$dir/core"
compute-sanitizer --tool memcheck --error-exitcode 9 $dir/tools/tq-probe \
	--explain "bits=3 correction=qjl:rht effort=1 center=both" --dim 100 --driver cuda | tail -1
$dir/backends cuda

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What needs an NVIDIA GPU, in one call: build; the device calls against the host, the host path and OpenCL
# against scalar, compute-sanitizer, PyTorch on the same device; then the figures of docs/BENCHMARKS.md.
#
#	sh tests/gpu.sh [check] [index] [host] [opencl] [sanitize] [torch] [time]
#
# needs gcc, meson, ninja, nvcc, the driver; for opencl also CL/cl.h and libOpenCL.so.1
#
# Without arguments all of it. The last line is "N passed, N failed".

set -u
cd "$(dirname "$0")/.." || exit 2
PATH=$PATH:/usr/local/cuda/bin
export PATH
dir=build-gpu
[ -d $dir ] || meson setup $dir -Dtests=disabled >/dev/null
ninja -C $dir >$dir/build.log 2>&1 || { tail -20 $dir/build.log; exit 1; }
TQ_PLUGIN_PATH=$PWD/$dir/plugins/cuda
LD_LIBRARY_PATH=$PWD/$dir/core${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export TQ_PLUGIN_PATH LD_LIBRARY_PATH
[ $# -gt 0 ] || set -- check index host opencl sanitize torch time
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
nvcc -std=c++17 -O2 -arch=native -Iinclude tests/gpu/bench.cu -o $dir/bench -L$dir/core -ltq || exit 1
passed=0 failed=0

# run NAME COMMAND...: its last line is "N passed, N failed"
run()
{
	name=$1
	shift
	start=$(date +%s)
	"$@" >"$dir/$name.log" 2>&1
	status=$?
	tail -60 "$dir/$name.log"
	# shellcheck disable=SC2046
	set -- $(tail -1 "$dir/$name.log" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p')
	if [ $# -ne 2 ] || { [ $status -ne 0 ] && [ "$2" -eq 0 ]; }; then
		echo "$name: status $status"
		set -- 0 1
	fi
	passed=$((passed + $1)) failed=$((failed + $2))
	echo "== $name: $1 passed, $2 failed, $(($(date +%s) - start)) s"
}

backends()
{
	gcc -O2 -D_GNU_SOURCE -Iinclude -Icore tests/cross/backends.c core/crc32c.c -o $dir/backends -L$dir/core -ltq ||
		exit 1
}

for what in "$@"; do
	case $what in
	check)
		run device $dir/bench check
		;;
	index)
		gcc -O2 -Iinclude tests/gpu/index.c -o $dir/index -L$dir/core -ltq || exit 1
		run index env TQ_PLUGIN_PATH="$TQ_PLUGIN_PATH:$PWD/$dir/plugins/avx2:$PWD/$dir/plugins/avx512" $dir/index check
		;;
	opencl)
		if [ ! -e $dir/plugins/opencl/tq-opencl.so ]; then
			echo "== opencl: not built, CL/cl.h is missing"
			failed=$((failed + 1))
			continue
		fi
		backends
		# GPUs come first; the gate's table names the one that serves
		TQ_PLUGIN_PATH="$PWD/$dir/plugins/opencl" $dir/tools/tq-probe --selftest >$dir/probe.log
		grep 'score-opencl .*NVIDIA' $dir/probe.log || {
			echo "== opencl: no device of NVIDIA"
			failed=$((failed + 1))
			continue
		}
		run opencl env TQ_PLUGIN_PATH="$PWD/$dir/plugins/opencl" XDG_CACHE_HOME="$PWD/$dir" \
			$dir/backends --max-dim 1536 --sparse 4 opencl
		;;
	host)
		backends
		run host $dir/backends --max-dim 256 --sparse 4 cuda
		;;
	sanitize)
		for tool in memcheck racecheck; do
			run $tool sh -c "compute-sanitizer --log-file $dir/$tool.out --tool $tool --error-exitcode 9 $dir/bench check-brief; s=\$?; tail -3 $dir/$tool.out; [ \$s -eq 0 ] && echo 1 passed, 0 failed || echo 0 passed, 1 failed"
		done
		;;
	torch)
		run torch python3 tests/gpu/torch_check.py $dir/core/libtq.so
		;;
	time)
		$dir/bench time
		;;
	esac
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]

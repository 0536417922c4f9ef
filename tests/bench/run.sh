#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Build libtq for speed and measure it; every table of docs/BENCHMARKS.md comes from here.
#
#	sh tests/bench/run.sh			all of it, about 10 minutes
#	sh tests/bench/run.sh --quick		fewer sizes and samples, about 2 minutes
#	sh tests/bench/run.sh --threads-only	how cost falls with threads, 1 to 16
#	sh tests/bench/run.sh --only NAME...	score, encode, growth, top_k, attend, peers
#	options before these: --no-peers, --out DIR (the JSON; default build-bench/json), --render (then put
#	the tables into docs/BENCHMARKS.md and the pictures into docs/bench/)
#
# Needs gcc, meson, ninja and hwloc; libconfig and Check are used where they are. The peers are installed
# from PyPI into build-bench/venv; without a network they are left out, and the tables say so.

set -u
cd "$(dirname "$0")/../.." || exit 2
root=$(pwd)
build=$root/build-bench
out=$build/json
what="score encode growth top_k attend peers" args='' render=no peers=yes
export LC_ALL=C HWLOC_PLUGINS_PATH=/nonexistent XDG_CONFIG_HOME=/nonexistent

usage()
{
	sed -n '4,12s/^#	*//p' "$0" >&2
	exit 2
}

while [ $# -gt 0 ]; do
	case $1 in
	--quick) args=--quick ;;
	--threads-only) what=threads ;;
	--no-peers) peers=no ;;
	--render) render=yes ;;
	--out) [ $# -gt 1 ] || usage; shift; out=$1 ;;
	--only) shift; [ $# -gt 0 ] || usage; what=$*; break ;;
	*) usage ;;
	esac
	shift
done

say()
{
	printf '%s %s\n' "$(date +%H:%M:%S)" "$*"
}

mkdir -p "$build" "$out" || exit 1
[ -f "$build/build.ninja" ] || meson setup "$build" "$root" -Dbuildtype=release >"$build/setup.log" 2>&1 || {
	tail -20 "$build/setup.log"
	exit 1
}
targets="bench-score bench-encode bench-growth bench-top_k bench-attend"
for plugin in avx2 avx512 neon; do
	[ -f "plugins/$plugin/meson.build" ] || continue
	ninja -C "$build" -t targets all | grep -q "^plugins/$plugin/tq-$plugin.so:" || continue
	targets="$targets plugins/$plugin/tq-$plugin.so"
	TQ_PLUGIN_PATH=${TQ_PLUGIN_PATH:+$TQ_PLUGIN_PATH:}$build/plugins/$plugin
done
export TQ_PLUGIN_PATH
for target in $targets; do
	case $target in
	bench-*) list="${list:-} tests/bench/$target" ;;
	*) list="${list:-} $target" ;;
	esac
done
say "building in $build"
# shellcheck disable=SC2086
ninja -C "$build" $list >"$build/build.log" 2>&1 || {
	tail -30 "$build/build.log"
	exit 1
}

# bench NAME PROGRAM ARGUMENTS...: the table to the terminal and NAME.txt, the JSON to NAME.json
bench()
{
	name=$1 program=$2
	shift 2
	say "$name"
	# shellcheck disable=SC2086
	"$build/tests/bench/bench-$program" $args --json "$out/$name.json.new" "$@" >"$out/$name.txt" || return 1
	mv "$out/$name.json.new" "$out/$name.json"
	cat "$out/$name.txt"
}

failed=0
for w in $what; do
	case $w in
	score | encode | top_k | attend) bench "$w" "$w" || failed=1 ;;
	growth) bench growth growth || failed=1 ;;
	threads) bench threads growth --only threads || failed=1 ;;
	peers)
		[ $peers = yes ] || continue
		[ -f tests/bench/peers/run.sh ] || continue
		say peers
		# shellcheck disable=SC2086
		sh tests/bench/peers/run.sh --build "$build" --out "$out" $args || failed=1
		;;
	*) usage ;;
	esac
done
if [ $render = yes ]; then
	python3 tests/bench/render.py "$out" docs/BENCHMARKS.md || failed=1
	[ ! -f tests/bench/plot.sh ] || sh tests/bench/plot.sh docs/bench || failed=1
fi
say "done; the JSON is in $out"
exit $failed

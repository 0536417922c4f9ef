#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Build libtq for speed and make every measured table and the pictures of docs/METHODS.md again, from nothing
# but this repository.
#
#	sh tests/lab.sh			put the tables into docs/METHODS.md and draw docs/lab/*.svg; some minutes
#	sh tests/lab.sh --check		say where the page and a run differ (figures of time are not compared)
#	sh tests/lab.sh --check --quick	the same of a part of the rows, in seconds
#	sh tests/lab.sh --print		print the tables
#	options: --build DIR (default build-lab), then names of tables, for these alone
#
# Needs gcc, meson, ninja, hwloc and numpy. Which tables there are, and how near a run must come: tests/lab/*.py.

set -u
cd "$(dirname "$0")/.." || exit 2
build=build-lab what=--write quick=''
export LC_ALL=C HWLOC_PLUGINS_PATH=/nonexistent XDG_CONFIG_HOME=/nonexistent

while [ $# -gt 0 ]; do
	case $1 in
	--check) what=--check ;;
	--print) what='' ;;
	--quick) quick=--quick ;;
	--build)
		[ $# -gt 1 ] || exit 2
		build=$2
		shift
		;;
	-*)
		sed -n '4,14s/^#	*//p' "$0" >&2
		exit 2
		;;
	*) break ;;
	esac
	shift
done
if [ "$what$quick" = --write--quick ]; then
	echo "lab.sh: --quick is for --check and --print: the page has full runs" >&2
	exit 2
fi

mkdir -p "$build" || exit 1
[ -f "$build/build.ninja" ] || meson setup "$build" -Dbuildtype=release >"$build/setup.log" 2>&1 || {
	tail -20 "$build/setup.log" >&2
	exit 1
}
library=$(ninja -C "$build" -t targets all | sed -n 's/^\(core\/libtq\.so\.[0-9.]*\): .*/\1/p')
targets=$library TQ_PLUGIN_PATH=''
for plugin in avx2 avx512 neon blocks; do
	if ninja -C "$build" -t targets all | grep -q "^plugins/$plugin/tq-$plugin.so:"; then
		targets="$targets plugins/$plugin/tq-$plugin.so"
		TQ_PLUGIN_PATH=${TQ_PLUGIN_PATH:+$TQ_PLUGIN_PATH:}$PWD/$build/plugins/$plugin
	fi
done
export TQ_PLUGIN_PATH
# shellcheck disable=SC2086
ninja -C "$build" $targets >"$build/build.log" 2>&1 || {
	tail -30 "$build/build.log" >&2
	exit 1
}
# shellcheck disable=SC2086
exec /usr/bin/python3 tests/lab/lab.py "$build/$library" $what $quick "$@"

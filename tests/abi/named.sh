#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# named.sh BUILD: TQ_PLUGIN_PATH of BUILD's tests names the directory of every CPU plugin that was built
# and none that is not there.
bad=0
path=$(meson introspect --tests "$1" | grep -o '"TQ_PLUGIN_PATH": "[^"]*"' | sed 's/.*: "//; s/"$//' |
	tr ':' '\n' | sort -u | grep .)
for so in "$1"/plugins/*/tq-*.so; do
	case $so in */tq-cuda.so | */tq-opencl.so | *'*'*) continue ;; esac
	dir=$(cd "$(dirname "$so")" && pwd)
	echo "$path" | grep -qxF "$dir" || { echo "$so was built, its tests do not see it: set NAME_plugin"; bad=1; }
done
for dir in $path; do
	ls "$dir"/tq-*.so >/dev/null || { echo "no plugin is in $dir"; bad=1; }
done
exit $bad

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh DIR: install the library into a prefix below DIR; then, with pkg-config alone, build and run
# program.c, and build and install plugins/example, whose rotation is then used by name in a spec.
set -e
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
rm -rf "$1"
mkdir -p "$1"
cd "$1"
top=$(pwd)
prefix=$top/prefix

meson setup build "$root" --prefix "$prefix" -Dtests=disabled -Dwerror=true
ninja -C build
meson install -C build --no-rebuild
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name tq.pc)")
export PKG_CONFIG_PATH
unset TQ_PLUGIN_PATH TQ_DRIVER
export XDG_CONFIG_HOME=/nonexistent HWLOC_PLUGINS_PATH=/nonexistent
lib=$(pkg-config --variable=libdir tq)
[ "${lib#"$prefix"}" != "$lib" ]

# shellcheck disable=SC2046
cc -std=c11 -Wall -Wextra -Wpedantic -Werror -o program "$here/program.c" $(pkg-config --cflags --libs tq) -lm
LD_LIBRARY_PATH=$lib ./program
# shellcheck disable=SC2046
cc -std=c11 -Wall -Wextra -Wpedantic -Werror -o kv "$here/kv.c" $(pkg-config --cflags --libs tq) -lm
LD_LIBRARY_PATH=$lib ./kv
# shellcheck disable=SC2046
cc -std=c11 -Wall -Wextra -Wpedantic -Werror -o index "$here/index.c" $(pkg-config --cflags --libs tq)
LD_LIBRARY_PATH=$lib ./index
mkdir sqlite
(cd sqlite && LD_LIBRARY_PATH=$lib sh "$here/sqlite/run.sh" "$prefix/bin/tq")

# The installed tools find the installed plugins.
LD_LIBRARY_PATH=$lib "$prefix/bin/tq-probe" >probe
cat probe
for so in "$(pkg-config --variable=plugindir tq-plugin)"/tq-*.so; do
	[ ! -e "$so" ] || grep -q "$(basename "$so" .so | sed 's/^tq-//')" probe
done

# A rotation that is a plugin of its own, by its word in a spec.
LD_LIBRARY_PATH=$lib ./program "rotation=blocks:4 bits=4 correction=ls" >used
grep -q blocks used

# The example: out of tree, knows the headers only.
cp -r "$root/plugins/example" example
meson setup example-build example --prefix "$prefix" -Dwerror=true
ninja -C example-build
meson install -C example-build --no-rebuild
[ -e "$(pkg-config --variable=plugindir tq-plugin)/tq-example.so" ]
sh "$root/tests/abi/plugin.sh" "$(pkg-config --variable=plugindir tq-plugin)/tq-example.so"
LD_LIBRARY_PATH=$lib "$prefix/bin/tq-probe" | grep example
name=$(LD_LIBRARY_PATH=$lib "$prefix/bin/tq-probe" | sed -n '/example/s/.*rotate(\([a-z0-9_-]*\)).*/\1/p' | head -1)
[ -n "$name" ]
LD_LIBRARY_PATH=$lib ./program "rotation=$name bits=4 correction=ls" >used
cat used
grep -q example used

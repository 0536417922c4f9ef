#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Show libtq on real vectors: build into build/, list the drivers, measure specs on sentence embeddings
# and on the keys and values of a language model's attention, beside the theory.
#
#	sh tools/demo.sh
#
# Runs on a bare Debian 12: missing packages are installed, which needs root. Leaves build/demo/*.svg.

set -eu
umask 022
cd "$(dirname "$0")/.."
build=$(pwd)/build
vectors=tests/data/vectors
packages="gcc libc6-dev meson ninja-build pkg-config libhwloc-dev libconfig-dev"

say()
{
	printf '\n== %s\n' "$*"
}

missing=
for p in $packages; do
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)" = installed ] ||
		missing="$missing $p"
done
if [ -n "$missing" ]; then
	if [ "$(id -u)" -ne 0 ]; then
		echo "demo.sh: packages are missing; as root: apt-get install$missing" >&2
		exit 1
	fi
	say "Installing$missing"
	export DEBIAN_FRONTEND=noninteractive
	apt-get -q update
	# shellcheck disable=SC2086
	apt-get -q install -y --no-install-recommends $missing
fi

say "Building into build/"
[ -f "$build/build.ninja" ] || meson setup "$build" -Dbuildtype=release -Dtests=disabled
ninja -C "$build"
mkdir -p "$build/demo"

# the plugins of this build, none of the machine's
TQ_PLUGIN_PATH=
for plugin in "$build"/plugins/*/tq-*.so; do
	[ -f "$plugin" ] && TQ_PLUGIN_PATH="$TQ_PLUGIN_PATH${TQ_PLUGIN_PATH:+:}$(dirname "$plugin")"
done
export TQ_PLUGIN_PATH HWLOC_PLUGINS_PATH=/nonexistent
tq=$build/tools/tq

# brief ARGUMENTS...: tq eval without the legend, which the first table has
brief()
{
	"$tq" eval "$@" >"$build/demo/table.txt"
	sed '/^bits\/c/,$d' "$build/demo/table.txt"
}

say "Drivers: what is there, what runs on this machine, and why not the others"
"$build/tools/tq-probe"

say "Sentence embeddings (all-MiniLM-L6-v2), every method at every useful width"
"$tq" eval "$vectors/minilm-base.npy" --queries "$vectors/minilm-query.npy" --svg "$build/demo/minilm.svg"

for what in l00-h0 l14-h1 l29-h2; do
	say "Keys and queries of SmolLM2-135M, layer and head $what"
	brief "$vectors/smollm2-$what-key.npy" --queries "$vectors/smollm2-$what-query.npy" \
		--spec 'bits=2' --spec 'bits=3' --spec 'bits=4' \
		--spec 'bits=2 center=data' --spec 'bits=3 center=data' --spec 'bits=4 center=data' \
		--spec 'preset=turboquant_prod bits=3' \
		--svg "$build/demo/smollm2-$what-key.svg"
done
say "Values of SmolLM2-135M, layer 14, head 1"
brief "$vectors/smollm2-l14-h1-value.npy" \
	--spec 'bits=2' --spec 'bits=3' --spec 'bits=4' --spec 'bits=8'

say "A file: encoded, described, decoded"
"$tq" encode "$vectors/minilm-base.npy" "$build/demo/minilm.tq" --spec 'bits=4 correction=unbiased center=both effort=1'
"$tq" info "$build/demo/minilm.tq"
"$tq" decode "$build/demo/minilm.tq" "$build/demo/minilm.npy" --type f16

say "Pictures of distortion against bits, with Shannon's bound:"
ls -l "$build"/demo/*.svg

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Install the peers from PyPI into BUILD/venv and measure them beside the libtq of BUILD (or, without --build,
# the installed one):
#	sh tests/bench/peers/run.sh --out FOLDER [--build BUILD] [--quick] [-- peers.py's options]
# Writes FOLDER/peers.json. Exit status 0 and no file where PyPI cannot be reached.

set -u
here=$(cd "$(dirname "$0")" && pwd)
build='' out='' quick=''
while [ $# -gt 0 ]; do
	case $1 in
	--build) shift; build=$(cd "$1" && pwd) ;;
	--out) shift; out=$1 ;;
	--quick) quick=--quick ;;
	--) shift; break ;;
	*) echo "usage: peers/run.sh --out FOLDER [--build BUILD] [--quick]" >&2; exit 2 ;;
	esac
	shift
done
[ -n "$out" ] || { echo "peers/run.sh: --out is missing" >&2; exit 2; }
venv=${build:-$out}/venv

if [ ! -x "$venv/bin/python" ]; then
	python3 -m venv "$venv" || { echo "peers: skipped: no python3-venv"; rm -rf "$venv"; exit 0; }
fi
"$venv/bin/pip" install -q --disable-pip-version-check numpy faiss-cpu turbovec rabitqlib simsimd numkong wordllama || {
	echo "peers: skipped: the packages cannot be installed"
	exit 0
}

# sentence embeddings: WordNet of Debian, through a model that comes with its package
if [ ! -f "$venv/data/sentences256-query.npy" ]; then
	mkdir -p "$venv/data" &&
		(cd "$venv/data" && apt-get -q download wordnet-base && dpkg -x wordnet-base*.deb wordnet) >"$venv/data/log" 2>&1 &&
		"$venv/bin/python" "$here/sentences.py" "$venv/data" ||
		echo "peers: no sentence embeddings: $(tail -1 "$venv/data/log")"
fi
if [ -n "$build" ]; then
	TQ_LIBRARY=$build/core/libtq.so
	TQ_PLUGIN_PATH=
	for plugin in avx2 avx512 neon; do
		[ -d "$build/plugins/$plugin" ] || continue
		TQ_PLUGIN_PATH=${TQ_PLUGIN_PATH:+$TQ_PLUGIN_PATH:}$build/plugins/$plugin
	done
	export TQ_LIBRARY TQ_PLUGIN_PATH
fi
export HWLOC_PLUGINS_PATH=/nonexistent XDG_CONFIG_HOME=/nonexistent
exec "$venv/bin/python" "$here/peers.py" --json "$out/peers.json" --shared "$here/../../../../shared/data" $quick "$@"

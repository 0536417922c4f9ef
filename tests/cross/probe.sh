#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# probe.sh "EMULATOR" BUILD: on a CPU without AVX, tq-probe shows avx2 as not present and says what is missing,
# and every scalar driver passes the gate there.
[ -e "$2/plugins/avx2/tq-avx2.so" ] || { echo "no tq-avx2.so"; exit 1; }
out=$(TQ_PLUGIN_PATH="$2/plugins/avx2" $1 "$2/tools/tq-probe" --selftest) || { echo "tq-probe failed: $out"; exit 1; }
echo "$out"
echo "$out" | grep avx2 | grep -qi 'not present' || { echo "avx2 is not 'not present'"; exit 1; }
echo "$out" | grep avx2 | grep -qi 'x86-64-v3' || { echo "no reason"; exit 1; }
! echo "$out" | grep -e '-scalar ' | grep -v selectable || { echo "a scalar driver is not selectable"; exit 1; }
echo "$out" | grep -e '-scalar ' | grep -q selectable

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# plugin.sh FILE.so: one exported symbol, const; nothing that runs at load time, as the loader demands (so
# plugins are linked with -nostartfiles); libtq not linked. Not for sanitized builds, whose compilers add
# constructors.
so=$1
bad=0
symbols=$(nm -D --defined-only "$so" | awk '{ print $3 }')
[ "$symbols" = tq_plugin_v1 ] || { echo "exports: $symbols"; bad=1; }
nm -D --defined-only "$so" | grep -q ' [RD] tq_plugin_v1' || { echo "tq_plugin_v1 is no data"; bad=1; }
section=$(readelf -W --dyn-syms "$so" | awk '$8 == "tq_plugin_v1" { print $7 }')
readelf -W -S "$so" | grep -E "^ *\[ *$section\] \.(data\.rel\.ro|rodata)" >/dev/null ||
	{ echo "tq_plugin_v1 is not const"; bad=1; }
readelf -W -d "$so" | awk '$2 ~ /^\((INIT|FINI)\)$/ || $2 ~ /^\((PREINIT|INIT|FINI)_ARRAYSZ\)$/ && $3 > 0 {
	print "code runs at load time:", $2, $3; bad = 1 } END { exit bad }' || bad=1
nm "$so" | grep -E ' (_GLOBAL__sub_I|.*_constructor)' && { echo "a constructor"; bad=1; }
readelf -W -d "$so" | grep NEEDED | grep -q libtq && { echo "links libtq"; bad=1; }
exit $bad

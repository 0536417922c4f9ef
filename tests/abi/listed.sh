#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# listed.sh BUILD: every tests/unit/test_NAME.c was made a test of BUILD.
missing=0
tests=$(meson introspect --tests "$1") || exit 1
for f in tests/unit/test_*.c; do
	name=$(basename "$f" .c)
	echo "$tests" | grep -q "tests/unit/$name\"" || { echo "$f is not in tests/unit/meson.build"; missing=1; }
done
exit $missing

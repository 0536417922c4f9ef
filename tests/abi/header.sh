#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# header.sh HEADER STANDARD: the header compiles alone, by every compiler there is, and says nothing.
name=${1#include/}
strict="-Wall -Wextra -Wpedantic -Wshadow -Wundef -Wpointer-arith -Wcast-qual -Werror -Iinclude -fsyntax-only"
case $2 in
c++*) lang=c++ compilers="g++ clang++-14" ;;
*) lang=c compilers="gcc clang-14" strict="$strict -Wstrict-prototypes -Wmissing-prototypes" ;;
esac
tried=0
for cc in $compilers; do
	command -v "$cc" >/dev/null || continue
	tried=1
	# shellcheck disable=SC2086
	printf '#include "%s"\n' "$name" | "$cc" -x $lang -std="$2" $strict - || exit 1
done
[ $tried = 1 ]

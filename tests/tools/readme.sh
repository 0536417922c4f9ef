#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The C example of README.md compiles without a warning, links and encodes.
# usage: readme.sh SOURCE-ROOT BUILD-ROOT CC

set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
{
	echo '#include <stdlib.h>'
	echo '#include <tq/tq.h>'
	echo 'int main(void) {'
	echo 'static float x[3 * 128]; size_t n = 3; x[5] = 1; void *codes = calloc(3, 4096);'
	sed -n '/^```c$/,/^```$/p' "$1/README.md" | sed '/^```/d'
	echo 'int ok = *(unsigned *)codes != 0; free(codes);'
	echo 'tq_quantizer_destroy(q); tq_context_destroy(ctx); return !ok; }'
} >"$dir/example.c"
[ "$(sed -n '/^```c$/,/^```$/p' "$1/README.md" | sed '/^```/d' | wc -l)" -eq 5 ]
$3 -std=c11 -Wall -Wextra -Werror -I"$1/include" "$dir/example.c" -L"$2/core" -ltq -Wl,-rpath,"$2/core" -o "$dir/example"
"$dir/example"

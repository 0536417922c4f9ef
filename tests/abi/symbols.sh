#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# symbols.sh BUILD: libtq.so exports exactly the functions that the public headers mark TQ_API.
dir=$1
cat include/tq/*.h | sed '/^#/d' | tr '\n' ' ' | grep -o 'TQ_API [^;(]*(' | grep -v __attribute__ | sed 's/.*[ *]\(tq_[a-z0-9_]*\)($/\1/' |
	sort -u >"$dir/declared"
nm -D --defined-only "$dir/core/libtq.so" | awk '{ print $3 }' | grep -vE '^(__bss_start|_edata|_end|_init|_fini)$' | sed 's/@.*//' | sort -u >"$dir/exported"
[ -s "$dir/declared" ] && diff "$dir/declared" "$dir/exported" && wc -l <"$dir/exported"

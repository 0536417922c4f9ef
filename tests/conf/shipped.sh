#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shipped.sh TQ-PROBE CONF-DIR: conf/tq.conf is what the program prints, its examples are valid settings, and
# every shipped file is read without an error and its settings are in force.
probe=$1 dir=$2 failed=0
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
unset TQ_PLUGIN_PATH

fail()
{
	echo "FAILED: $*"
	failed=1
}

"$probe" --dump-config >"$tmp/tq.conf"
diff -u "$dir/tq.conf" "$tmp/tq.conf" || fail "conf/tq.conf is out of date: tq-probe --dump-config >conf/tq.conf"

sed -n 's/^#   //p' "$dir/tq.conf" >"$tmp/examples.conf"
[ "$(grep -c '=' "$tmp/examples.conf")" -ge 10 ] || fail "tq.conf shows hardly any example"
"$probe" --config "$tmp/examples.conf" --show-config >"$tmp/out" || fail "the examples of tq.conf are refused"
grep -q 'memory_limit = .*examples.conf' "$tmp/out" || fail "the examples of tq.conf are not in force"

n=0
for file in "$dir"/*.conf; do
	n=$((n + 1))
	"$probe" --config "$file" --show-config >"$tmp/out" || fail "$file is refused"
	[ "$file" = "$dir/tq.conf" ] && continue
	# every setting of the file is shown with the line it stands in
	grep -nE '^[a-z_]+ = [^{]*;|^  [a-z0-9]+ +=' "$file" | sed 's/:.*//' | while read -r line; do
		grep -q "# $file:$line\$" "$tmp/out" || echo "$line"
	done >"$tmp/lost"
	[ -s "$tmp/lost" ] && fail "$file: lines that set nothing: $(tr '\n' ' ' <"$tmp/lost")"
	sed 's/^profile = .*/profil = "x";/; s/^threads = .*/thread = 1;/' "$file" >"$tmp/bad.conf"
	"$probe" --config "$tmp/bad.conf" --show-config >"$tmp/out" 2>&1
	[ $? -eq 2 ] && grep -q 'bad.conf:[0-9]*: .*did you mean' "$tmp/out" || fail "$file: a wrong key passes"
done
[ "$n" -ge 5 ] || fail "only $n files in $dir"
[ $failed -eq 0 ] && echo "$n files"
exit $failed

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh TQ: build the extension in this folder's place against the installed library (pkg-config finds it), and
# ask the sqlite3 shell. TQ: the installed tq.
set -e
here=$(cd "$(dirname "$0")" && pwd)
tq=$1
# shellcheck disable=SC2046
cc -std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror -fPIC -shared -o tq_search.so "$here/tq_search.c" \
	$(pkg-config --cflags --libs tq)

# Row i is i in the first coordinate and 1 in the others; ids are 10 i.
python3 - <<'END'
import struct
with open("rows.fvecs", "wb") as f, open("ids.ivecs", "wb") as g, open("setup.sql", "w") as sql:
    print("CREATE TABLE docs(id INTEGER PRIMARY KEY, title TEXT, v BLOB);", file=sql)
    for i in range(50):
        row = struct.pack("<8f", i, *[1.0] * 7)
        f.write(struct.pack("<i", 8) + row)
        g.write(struct.pack("<ii", 1, 10 * i))
        print("INSERT INTO docs VALUES(%d, 'doc %d', x'%s');" % (10 * i, i, row.hex()), file=sql)
END
"$tq" index build rows.fvecs rows.tq --metric l2 --spec bits=8 --ids ids.ivecs

ask()
{
	sqlite3 -batch docs.db ".load ./tq_search" "$1"
}

expect()
{
	[ "$2" = "$3" ] || { echo "sqlite: $1: '$2' is not '$3'" >&2; exit 1; }
}

rm -f docs.db
sqlite3 -batch docs.db <setup.sql
query="(SELECT v FROM docs WHERE title = 'doc 20')"
expect nearest "$(ask "SELECT group_concat(id) FROM tq_search('rows.tq', $query, 3)")" "200,190,210"
expect "its distance" "$(ask "SELECT round(score, 0) + 0.0 FROM tq_search('rows.tq', $query, 1)")" "0.0"
expect join "$(ask "SELECT group_concat(title) FROM tq_search('rows.tq', $query, 2) s JOIN docs d ON d.id = s.id")" \
	"doc 20,doc 19"
expect "a query for each row" \
	"$(ask "SELECT count(*) FROM docs d JOIN tq_search('rows.tq', d.v, 1) s ON s.id = d.id")" "50"
expect "ten by default" "$(ask "SELECT count(*) FROM tq_search('rows.tq', $query)")" "10"
# what is added to the log is found by the next statement
"$tq" index add rows.tq rows.fvecs --log
expect "added rows" "$(ask "SELECT count(*) FROM tq_search('rows.tq', $query, 1000)")" "100"
for wrong in "'rows.tq', x'0000'" "'none.tq', $query" "'rows.tq', $query, 0" "'rows.tq'"; do
	if ask "SELECT * FROM tq_search($wrong)" >out 2>&1; then
		echo "sqlite: tq_search($wrong) was accepted" >&2
		exit 1
	fi
	grep -q "tq_search: " out
done
echo "sqlite: ok"

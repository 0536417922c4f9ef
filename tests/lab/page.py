# SPDX-License-Identifier: Apache-2.0
"""Tables of a page, between "<!-- table NAME -->" and "<!-- end -->": written, read, compared."""

import math
import re
from collections import namedtuple

#: make(lab) gives the head and the rows; the first @keys cells of a row name it; figures of a run agree with the
#: page's within @within, of a quick one, which may have fewer rows, within @quick. None: they are those of a machine,
#: and not compared. @slow: not in a quick run.
Table = namedtuple("Table", "make keys within quick slow")
TABLES = {}
NUMBER = re.compile(r"(?<![\w.])-?\d*\.?\d+(?![\w.])")


def table(name, keys=1, within=.03, quick=.1, slow=False):
    def keep(make):
        TABLES[name] = Table(make, keys, within, quick, slow)
        return make
    return keep


def number(v, digits=3):
    """So many significant digits, no zero before the point."""
    if not v:
        return "0"
    text = "%.*f" % (max(0, digits - 1 - math.floor(math.log10(abs(v)) + 1e-9)), v)
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def ticked(text):
    return "`%s`" % text


def markdown(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def mark(name):
    return re.compile(r"(<!-- table %s -->\n)(.*?)(\n<!-- end -->)" % re.escape(name), re.S)


def names(page):
    return re.findall(r"<!-- table ([\w-]+) -->", page)


def read(page, name):
    """Head and rows of a table of the page."""
    found = mark(name).search(page)
    if not found:
        raise SystemExit("the page has no table " + name)
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in found[2].splitlines() if line[:1] == "|"]
    return (lines[0], lines[2:]) if lines else ([], [])


def write(page, name, head, rows):
    return mark(name).sub(lambda m: m[1] + markdown(head, rows) + m[3], page)


def same(old, new, within):
    """Do two cells have the same words, and figures as near as @within and their last digit."""
    if NUMBER.sub("#", old) != NUMBER.sub("#", new):
        return False
    for a, b in zip(NUMBER.findall(old), NUMBER.findall(new)):
        last = max(10.0 ** -len(n.partition(".")[2]) for n in (a, b))
        if abs(float(a) - float(b)) > within * max(abs(float(a)), abs(float(b))) + last:
            return False
    return True


def compare(page, name, head, rows, quick):
    """What differs between the page's table and a run's, as lines."""
    t, (old_head, old_rows) = TABLES[name], read(page, name)
    within = t.quick if quick else t.within
    key = lambda row: tuple(row[:t.keys])  # noqa: E731
    old, new, bad = {key(r): r for r in old_rows}, {key(r): r for r in rows}, []
    if old_head != head:
        bad.append("%s: the page's columns are %s" % (name, old_head))
    if not quick and list(old) != list(new):
        bad.append("%s: the page's rows are %s" % (name, ", ".join(" ".join(k) for k in old)))
    for k, row in new.items():
        if k not in old:
            bad.append("%s: the page has no row %s" % (name, " ".join(k)))
        elif within is not None:
            bad += ["%s, %s, %s: the page says %s, this run %s" % (name, " ".join(k), h, a, b)
                    for h, a, b in zip(head, old[k], row) if not same(a, b, within)]
    return bad

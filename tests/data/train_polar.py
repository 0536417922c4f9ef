#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compute the tables of the polar codes: tests/data/polar.txt and core/polar_tables.h. FORMAT.md section 3 describes them.

    train_polar.py             compute them and write both files
    train_polar.py --check     compare the header with what polar.txt gives

The angle of a pair at level l of a normal block has a density like sin(2 psi)^(2^(l-1) - 1) on a quarter turn,
the norm of 16 normal numbers that of chi with 16 degrees of freedom (PolarQuant, arXiv 2502.02617). Both get the
levels of Lloyd and Max. What this script computes depends on the machine's sin and cos; what is shipped does not.
"""

import os
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
TEXT, HEADER = os.path.join(HERE, "polar.txt"), os.path.join(HERE, "..", "..", "core", "polar_tables.h")
CELLS, UNIT = 400000, 512


def lloyd_max(x, f, n, rounds=20000):
    """Levels of least squared error for density f at the points x."""
    F, G = np.concatenate([[0], np.cumsum(f)]), np.concatenate([[0], np.cumsum(f * x)])
    edges = np.concatenate([x - (x[1] - x[0]) / 2, [x[-1] + (x[1] - x[0]) / 2]])
    c = np.interp((np.arange(n) + 0.5) / n * F[-1], F, edges)
    for _ in range(rounds):
        t = np.concatenate([[edges[0]], (c[1:] + c[:-1]) / 2, [edges[-1]]])
        new = np.diff(np.interp(t, edges, G)) / np.diff(np.interp(t, edges, F))
        if np.max(np.abs(new - c)) < 1e-13:
            break
        c = new
    return c


def bits(values):
    return " ".join("%08x" % v for v in np.asarray(values, np.float32).view(np.uint32))


def lines():
    out = []
    for level in range(1, 5):
        psi = (np.arange(CELLS) + 0.5) / CELLS * np.pi / 2
        c = lloyd_max(psi, np.sin(2 * psi) ** (2 ** (level - 1) - 1), 4)
        c = (c + np.pi / 2 - c[::-1]) / 2
        edge = np.tan((c[0] + c[1]) / 2)
        out += ["bound %d %s" % (level, bits([edge, 1, 1 / edge])), "cosine %d %s" % (level, bits(np.cos(c)))]
    r = (np.arange(CELLS) + 0.5) / CELLS * 12
    f = np.exp(15 * np.log(r) - r * r / 2 - 14)
    for width in (4, 5, 6):
        c = np.rint(lloyd_max(r, f, 1 << width) * UNIT).astype(int)
        out.append("radius %d %s" % (width, " ".join(map(str, c))))
    return out


HEAD = """/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_POLAR_TABLES_H
#define TQ_POLAR_TABLES_H

/*
 * Angles and radii of the polar codes. Written by tests/data/train_polar.py from tests/data/polar.txt; do not edit.
 */

#include <stdint.h>

"""


def floats(words):
    return ", ".join(float(np.array([int(w, 16)], np.uint32).view(np.float32)[0]).hex() + "f" for w in words)


def header(text):
    got = {}
    for line in text:
        name, number, *words = line.split()
        got[name, int(number)] = words
    out = [HEAD]
    for name, count, what in (("bound", 3, "Tangents of the angles between cells, by level less 1"),
                              ("cosine", 4, "Cosines of the cells' angles; the sines are these backwards")):
        rows = ",\n\t".join("{ %s }" % floats(got[name, level]) for level in range(1, 5))
        out.append("/* %s */\nstatic const float polar_%s[4][%d] = {\n\t%s,\n};\n\n" % (what, name, count, rows))
    for width in (4, 5, 6):
        r = got["radius", width]
        out.append("static const uint16_t polar_radius_%d[%d] = {\n" % (width, len(r)))
        out += ["\t%s,\n" % ", ".join(r[i:i + 16]) for i in range(0, len(r), 16)] + ["};\n\n"]
    return "".join(out) + "#endif\n"


def main(argv):
    if argv[1:] not in ([], ["--check"]):
        sys.stderr.write(__doc__)
        return 2
    if not argv[1:]:
        with open(TEXT, "w") as f:
            f.write("# name, level (radius: bits), numbers (floats as their bits): train_polar.py\n")
            f.write("\n".join(lines()) + "\n")
    with open(TEXT) as f:
        made = header([line for line in f if not line.startswith("#")])
    if argv[1:]:
        with open(HEADER) as f:
            if f.read() != made:
                sys.exit("polar_tables.h differs from what polar.txt gives")
        return 0
    with open(HEADER, "w") as f:
        f.write(made)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))

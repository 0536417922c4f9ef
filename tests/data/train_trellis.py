#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Train the level tables of the trellis codes and write core/trellis_tables.h. FORMAT.md section 3 describes them.

    train_trellis.py             train all eight tables (minutes) and write the header
    train_trellis.py W B         train one (window of W bits, B bits per coordinate), print its distortion

Levels are odd: that of the complement of a state is that of the state, negated; so a table has half as many
numbers as states. They are fitted like those of Lloyd and Max: fresh normal numbers (stream SEED, role 0x300
of reference.py) are quantized by the Viterbi algorithm, then each level becomes the mean of what its state was
used for; several random starts compete. At last they are rounded to odd multiples of a half step.
"""

import os
import sys

import numpy as np

import reference as ref

HERE = os.path.dirname(os.path.abspath(__file__))
SEED, ROLE = 20261127, 0x300
LENGTH = 256


class Source:
    """Normal numbers, each used once."""

    def __init__(self, window, bits):
        self.sub, self.at = 16 * window + bits, 0

    def rows(self, n):
        x = ref.normals(SEED, ROLE, self.sub, self.at, n * LENGTH)
        self.at += n * LENGTH
        return x.reshape(n, LENGTH).astype(np.float32)


def viterbi(x, level, bits):
    """The states of least squared error for each row, with free ends: [LENGTH][rows]."""
    n, length = x.shape
    states, fan = len(level), 1 << bits
    groups = states // fan
    t = level.astype(np.float32).reshape(fan, groups, 1)
    best = np.zeros((length + 1, groups, n), np.float32)
    cost = np.empty((fan, groups, n), np.float32)
    for i in range(length):
        np.subtract(x[None, None, :, i], t, out=cost)
        np.multiply(cost, cost, out=cost)
        cost += best[i][None]
        by_group = cost.reshape(groups, fan, n)
        np.minimum(by_group[:, 0], by_group[:, 1], out=best[i + 1])
        for c in range(2, fan):
            np.minimum(best[i + 1], by_group[:, c], out=best[i + 1])
    path = np.empty((length, n), np.int32)
    flat = level.astype(np.float32)
    column = np.arange(n)
    group = np.argmin(best[length], axis=0)
    for i in range(length - 1, -1, -1):
        s = group[:, None] * fan + np.arange(fan)[None]
        error = x[:, i, None] - flat[s]
        choice = np.argmin(best[i][s % groups, column[:, None]] + error * error, axis=1)
        path[i] = s[column, choice]
        group = path[i] % groups
    return path


def distortion(x, path, level):
    error = x.T - level[path]
    return float(np.mean(error[32:-32].astype(np.float64) ** 2))


def all_states(half):
    return np.concatenate([half, -half[::-1]])


def improve(half, bits, x):
    """One round: the means, old levels where nothing was seen, and the distortion before it."""
    level = all_states(half)
    path = viterbi(x, level, bits)
    count = np.bincount(path.ravel(), minlength=len(level)).astype(np.float64)
    total = np.bincount(path.ravel(), weights=x.T.ravel().astype(np.float64), minlength=len(level))
    count = count[:len(half)] + count[:len(half) - 1:-1]
    total = total[:len(half)] - total[:len(half) - 1:-1]
    return np.where(count > 0, total / np.maximum(count, 1), half), distortion(x, path, level)


def train(window, bits, starts=6, first=8, rounds=16, rows=128):
    source, best = Source(window, bits), None
    size = 1 << (window - 1)
    for start in range(starts):
        half = ref.normals(SEED, ROLE + 1, 16 * window + bits, size * start, size)
        for _ in range(first):
            half, error = improve(half, bits, source.rows(rows // 2))
        if best is None or error < best[0]:
            best = (error, half)
    half = best[1]
    for _ in range(rounds):
        half, error = improve(half, bits, source.rows(rows))
    for _ in range(4):
        half, error = improve(half, bits, source.rows(3 * rows))
    return (error, *to_grid(half, bits, source.rows(3 * rows)))


def to_grid(half, bits, x):
    """Distortion, half step and whole numbers of the best of some half steps."""
    largest = np.max(np.abs(half))
    best = None
    for share in (1.0, 0.97, 0.94, 0.91, 0.88, 0.85, 0.82):
        h = np.float32(share * largest / 127.5)
        odd = np.clip(2 * np.floor(half / (2.0 * h)).astype(int) + 1, -127, 127)
        level = all_states(odd * float(h))
        got = distortion(x, viterbi(x, level, bits), level)
        if best is None or got < best[0]:
            best = (got, h, odd)
    return best


HEAD = """/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_TRELLIS_TABLES_H
#define TQ_TRELLIS_TABLES_H

/*
 * Levels of the trellis codes, by states. Written by tests/data/train_trellis.py (which has the seed) from
 * tests/data/trellis.txt; do not edit.
 */

#include "plan.h"

"""
TEXT = "# window, bits, bits of the half step (float), levels of the first half of the states: train_trellis.py\n"


def header(lines):
    out, names = [HEAD], {}
    for line in lines:
        window, bits, h, *half = line.split()
        odd = all_states(np.array(half, int))
        names[int(window), int(bits)] = h
        out.append("static const int8_t odd_%s_%s[%d] = {\n" % (window, bits, len(odd)))
        for i in range(0, len(odd), 16):
            out.append("\t" + " ".join("%d," % v for v in odd[i:i + 16]) + "\n")
        out.append("};\n\n")
    out.append("/* By window less 8, bits less 1 */\nstatic const struct tq_trellis tables[2][4] = {\n")
    for window in (8, 9):
        row = []
        for bits in range(1, 5):
            h = np.array([int(names[window, bits], 16)], np.uint32).view(np.float32)[0]
            row.append("{ %d, %sf, odd_%d_%d }" % (window, float(h).hex(), window, bits))
        out.append("\t{ " + ",\n\t  ".join(row) + " },\n")
    out.append("};\n\n#endif\n")
    return "".join(out)


def main(argv):
    text, table = os.path.join(HERE, "trellis.txt"), os.path.join(HERE, "..", "..", "core", "trellis_tables.h")
    if argv[1:] in ([], ["--check"]) or len(argv) == 3:
        pass
    else:
        sys.stderr.write(__doc__)
        return 2
    if argv[1:] != ["--check"]:
        kinds = [(int(argv[1]), int(argv[2]))] if len(argv) == 3 else [(w, b) for w in (8, 9) for b in range(1, 5)]
        lines = []
        for window, bits in kinds:
            error, grid, h, half = train(window, bits)
            print("# window %d, %d bits: %.5f, on the grid %.5f" % (window, bits, error, grid), file=sys.stderr)
            lines.append(" ".join(map(str, (window, bits, "%08x" % h.view(np.uint32), *half))))
        if len(argv) == 3:
            print("\n".join(lines), flush=True)
            return 0
        with open(text, "w") as f:
            f.write(TEXT + "\n".join(lines) + "\n")
    with open(text) as f:
        made = header([line for line in f if not line.startswith("#")])
    if argv[1:] == ["--check"]:
        with open(table) as f:
            if f.read() != made:
                sys.exit("trellis_tables.h differs from what trellis.txt gives")
        return 0
    with open(table, "w") as f:
        f.write(made)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))

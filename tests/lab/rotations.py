# SPDX-License-Identifier: Apache-2.0
"""Tables of rotations: rows that a rotation may be bad for."""

import numpy as np

from codec import optimum
from page import number, table, ticked

def outliers(rng, n, d):
    """Rows of seven classes that a rotation may be bad for; the third has one element, the last all alike."""
    x = rng.standard_normal((7, n, d))
    x[1] = np.exp(x[1])
    at = np.argsort(rng.random((n, d)), axis=1)[:, :4]
    row, few = np.arange(n)[:, None], rng.standard_normal((n, 4))
    for kind, values in (2, np.array([[2.0]])), (3, np.array([[2.0, 1.0]])), (4, few):
        x[kind] = 0
        x[kind][row, at[:, :values.shape[1]]] = values
    x[5][row, at[:, :2]] = [100, -70]
    x[6] = 1
    return x


def worst(lab, spec, d, seeds=64, rows=16):
    """The mean error of the worst class, over so many rotations; and that of normal rows."""
    rng, sums = np.random.default_rng([11, d]), np.zeros(7)
    for seed in range(seeds):
        x = outliers(rng, rows, d)
        coded = lab.through("%s seed=%d" % (spec, 500 + seed), x.reshape(-1, d)).reshape(x.shape)
        sums += (((x - coded) ** 2).sum(axis=2) / (x ** 2).sum(axis=2)).mean(axis=1)
    return sums.max() / seeds, sums[0] / seeds


@table("classes")
def classes(lab):
    dims = lab.some((64, 96, 100, 128, 200, 250, 500, 1000, 1023), (64, ))
    return (["d", "`rht:1`", "`rht:2`", "`rht:3`", "theory"],
            [[str(d)] + [number(worst(lab, "rotation=rht:%d bits=2 correction=none" % r, d)[0]) for r in (1, 2, 3)] +
             [number(optimum(2, d))] for d in dims])


@table("outliers", within=.05)
def rotations(lab):
    rotation = lab.some(["rht:1", "rht:2", "rht:3", "haar"] + ["givens:%d" % n for n in (1, 4, 8, 12, 16, 20, 24, 32)] +
                        ["blocks:2", "blocks:3", "blocks:4", "none"], ["givens:16"])
    ways = ["bits=2 correction=none", "bits=3 correction=none", "bits=4 correction=ls"]
    rows = []
    for r in rotation:
        got = [worst(lab, "rotation=%s %s" % (r, way), 128) for way in ways]
        rows.append([ticked(r)] + [number(w) for w, _ in got] + [number(got[0][1])])
    return ["rotation"] + [ticked(w) for w in ways] + ["normal rows, 2 bits"], rows

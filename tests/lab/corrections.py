# SPDX-License-Identifier: Apache-2.0
"""Tables of corrections: error, bias and variance on the sphere, divergence under a softmax."""

import numpy as np

from codec import error, kl, log_softmax, lognormal, moments, normal, optimum
from page import number, table, ticked

ALL = ("none", "norm", "ls", "unbiased", "qjl:ortho", "qjl:gauss")


def of(lab, correction, bits, d, n):
    """moments() of normal rows, over four rotations."""
    got = [moments(x, lab.through("bits=%d correction=%s seed=%d" % (bits, correction, seed), x))
           for seed, x in enumerate(np.split(normal(n, d), 4))]
    return np.mean(got, axis=0)


@table("errors", within=.02, quick=.06)
def errors(lab):
    """Lognormal rows share a large mean: a rotation for every 128 of them."""
    x, rows = lognormal(lab.some(20480, 2048), 128), []
    for b in lab.some(range(1, 9), (4, )):
        rows.append([str(b)] + [number(np.mean([error(part, lab.through("bits=%d correction=%s seed=%d" % (b, c, i), part))
                                                for i, part in enumerate(np.split(x, len(x) // 128))])) for c in ALL[:4]])
    return ["bits"] + [ticked(c) for c in ALL[:4]], rows


@table("slopes", within=.004, quick=.01)
def slopes(lab):
    n = lab.some(16000, 2000)
    return (["bits"] + [ticked(c) for c in ALL], [[str(b)] + ["%.4f" % of(lab, c, b, 256, n)[1] for c in ALL]
                                                  for b in lab.some((1, 2, 3, 4, 5, 6), (2, ))])


@table("variance", within=.02, quick=.05)
def variance(lab):
    n, rows, d_b = lab.some(16000, 2000), [], [1.0] + [optimum(b) for b in range(1, lab.some(9, 3))]
    for b in lab.some(range(1, 9), (2, )):
        theory = {"qjl:gauss": np.pi / 2 * d_b[b - 1], "qjl:ortho": (np.pi / 2 - 1) * d_b[b - 1],
                  "unbiased": d_b[b] / (1 - d_b[b])}
        rows.append([str(b)] + ["%s / %s" % (number(t), number(of(lab, c, b, 256, n)[2])) for c, t in theory.items()])
    return ["bits", "`qjl:gauss`: `(pi/2) D_(b-1)`", "`qjl:ortho`: `(pi/2 - 1) D_(b-1)`", "`unbiased`: `D_b / (1 - D_b)`"], rows


def attention(kind, d=128, keys=512, queries=64):
    """Keys and queries: flat and steep logits of deviation 1 and 3; peaky: eight keys share a query's direction."""
    rng = np.random.default_rng([21, len(kind)])
    k, q = rng.standard_normal((keys, d)), rng.standard_normal((queries, d))
    if kind != "peaky":
        return k, q * {"flat": 1, "steep": 3}[kind] / np.sqrt(d)
    q /= np.sqrt((q * q).sum(axis=1, keepdims=True))
    return k + np.sqrt(d) * np.repeat(q, keys // queries, axis=0), q * 14 / np.sqrt(d)


@table("softmax", keys=2, within=.05, quick=.25)
def softmax(lab):
    rows, seeds = [], lab.some(16, 4)
    for kind in lab.some(("flat", "steep", "peaky"), ("flat", )):
        k, q = attention(kind)
        true = log_softmax(q @ k.T)
        for b in lab.some((2, 3, 4), (4, )):
            rows.append([kind, str(b)] + [number(np.mean([kl(true, log_softmax(lab.score(
                "bits=%d correction=%s query=s16 seed=%d" % (b, c, seed), k, q))) for seed in range(seeds)]))
                for c in ("none", "ls", "unbiased", "qjl:ortho", "qjl:gauss")])
    return ["logits", "bits", "`none`", "`ls`", "`unbiased`", "`qjl:ortho`", "`qjl:gauss`"], rows

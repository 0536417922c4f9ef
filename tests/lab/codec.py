# SPDX-License-Identifier: Apache-2.0
"""The library's codes as functions of rows, and what is measured of them, in float64."""

import contextlib
import ctypes
import glob
import os
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
sys.path[:0] = [os.path.join(ROOT, "tests", "conform"), os.path.join(ROOT, "tests", "bench", "baselines")]
from compare import Library, aligned  # noqa: E402

VECTORS = os.path.join(ROOT, "tests", "data", "vectors")
TOKENS = 128  # whose queries there are


def load(name):
    return np.load(os.path.join(VECTORS, name)).astype(np.float64)


class Lab:
    """Codes by their specs. @quick: tables draw fewer rows, and have fewer."""

    def __init__(self, path, quick=False):
        self.library, self.quick = Library(path, None), quick

    def some(self, everything, few):
        return few if self.quick else everything

    @contextlib.contextmanager
    def quantizer(self, spec, d, centre=None):
        q = self.library.quantizer(spec, d, centre)
        try:
            yield q
        finally:
            self.library.lib.tq_quantizer_destroy(q)

    def bytes(self, spec, d):
        with self.quantizer(spec, d) as q:
            return self.library.lib.tq_code_size(q)

    def levels(self, spec, d):
        levels = np.zeros(256, np.float32)
        with self.quantizer(spec, d) as q:
            n = self.library.lib.tq_codebook_levels(q, ctypes.c_void_p(levels.ctypes.data))
        return levels[:n].astype(np.float64)

    def encode(self, q, x):
        code = np.zeros((len(x), self.library.lib.tq_code_size(q)), np.uint8)
        self.library.call("tq_encode", q, x, x.shape[1], len(x), code)
        return code

    def through(self, spec, x, centred=False):
        """What rows decode to; @centred: coded less their mean, as keys are."""
        x = np.ascontiguousarray(x, np.float32)
        centre = x.mean(axis=0, dtype=np.float64).astype(np.float32) if centred else None
        out = np.zeros_like(x)
        with self.quantizer(spec + (" center=data" if centred else ""), x.shape[1], centre) as q:
            self.library.call("tq_decode", q, self.encode(q, x), len(x), out, x.shape[1])
        return out.astype(np.float64)

    def score(self, spec, x, queries, centre=None):
        x, queries = (np.ascontiguousarray(a, np.float32) for a in (x, queries))
        out = np.zeros((len(queries), len(x)), np.float32)
        with self.quantizer(spec, x.shape[1], centre) as q:
            rows, prepared = self.encode(q, x), aligned(len(queries) * self.library.lib.tq_query_size(q))
            self.library.call("tq_query_prepare", q, queries, x.shape[1], len(queries), prepared)
            self.library.call("tq_score", q, prepared, len(queries), rows, len(x), out, len(x))
        return out.astype(np.float64)

    def heads(self):
        """Keys, values and queries of the nine heads; three where it shall be quick."""
        for path in sorted(glob.glob(os.path.join(VECTORS, "*-key.npy")))[::4 if self.quick else 1]:
            base = os.path.basename(path)[:-len("key.npy")]
            yield load(base + "key.npy"), load(base + "value.npy"), load(base + "query.npy")


def normal(n, d, seed=7):
    return np.random.default_rng([seed, d]).standard_normal((n, d))


def lognormal(n, d):
    return np.exp(normal(n, d, 8))


def error(x, coded):
    """vNMSE: mean of |x^ - x|^2 / |x|^2 over rows."""
    return float(np.mean(((x - coded) ** 2).sum(axis=1) / (x ** 2).sum(axis=1)))


def relative(x, coded):
    """Of all rows together, as errors of real values add up."""
    return float(((x - coded) ** 2).sum() / (x ** 2).sum())


def moments(x, coded):
    """vNMSE, slope <x^, x> / <x, x>, and d times the variance of <x^, q> over unit q orthogonal to x."""
    d, xx, xz, zz = x.shape[1], (x * x).sum(axis=1), (x * coded).sum(axis=1), (coded * coded).sum(axis=1)
    return (float(np.mean((xx - 2 * xz + zz) / xx)), float(np.mean(xz / xx)),
            float(np.mean((zz - xz * xz / xx) / xx) * d / (d - 1)))


def log_softmax(logits):
    logits = logits - logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def kl(p, r):
    """Mean Kullback-Leibler divergence of two arrays of log probabilities."""
    return float(np.mean((np.exp(p) * (p - r)).sum(axis=1)))


def seen(key, query):
    """Log of the attention weights: each of the last TOKENS tokens' queries sees the keys up to it."""
    token = len(key) - TOKENS + np.arange(len(query)) % TOKENS
    hidden = np.where(np.arange(len(key))[None] <= token[:, None], 0.0, -1e30)
    return log_softmax(query @ key.T / np.sqrt(key.shape[1]) + hidden)


def density(d):
    """Points and the density of a coordinate of the sphere times sqrt(d); d = 0: of the unit normal."""
    x = (np.arange(400000) + 0.5) / 400000 * 20 - 10
    if not d:
        return x, np.exp(-x * x / 2)
    return x, np.exp((d - 3) / 2 * np.log(np.maximum(1 - x * x / d, 1e-300)))


def distortion(levels, x, f):
    """Of the nearest of @levels, under density @f at the points @x."""
    c = levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, x)]
    return float((f * (x - c) ** 2).sum() / f.sum())


def lloyd_max(x, f, n, rounds=4000):
    """Levels of least squared error for density @f at the points @x, from those of many levels, f^(1/3)."""
    mass, moment, start = (np.concatenate([[0], np.cumsum(v)]) for v in (f, f * x, np.cbrt(f)))
    edges = np.concatenate([x - (x[1] - x[0]) / 2, [x[-1] + (x[1] - x[0]) / 2]])
    c = np.interp((np.arange(n) + 0.5) / n * start[-1], start, edges)
    for _ in range(rounds):
        t = np.concatenate([[edges[0]], (c[1:] + c[:-1]) / 2, [edges[-1]]])
        new = np.diff(np.interp(t, edges, moment)) / np.diff(np.interp(t, edges, mass))
        if np.max(np.abs(new - c)) < 1e-9:
            break
        c = new
    return c


def optimum(bits, d=0):
    """The distortion of Lloyd and Max."""
    x, f = density(d)
    return distortion(lloyd_max(x, f, 2 ** bits), x, f)

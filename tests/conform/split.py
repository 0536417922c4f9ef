#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Splits of channels on the real keys of tests/data/vectors, against one codec at the same bytes.

    split.py LIBTQ.SO [--table]

Channels (and scales) are chosen from the first half of the keys (and every other query), and measured on the rest: see
given.py. Exits 1 if a split's scores are not those of its decoded keys, or if splits do better or worse than
docs/METHODS.md says. --table prints the table there.
"""

import ctypes
import sys

import numpy as np

from compare import Library, Spec, aligned
from given import DIM, figures, give, load, scales_of

HEADS = [(layer, number) for layer in (0, 14, 29) for number in range(3)]


class Split:
    """The channels of most energy of `known` at one spec, the rest at another."""

    def __init__(self, lib, first, rest, n, known):
        self.lib, self.at = lib, ctypes.c_void_p()
        spec = (Spec * 2)()
        for s, text in zip(spec, (first, rest)):
            lib.lib.tq_spec_init(ctypes.byref(s))
            lib.call("tq_spec_parse", ctypes.byref(s), text.encode())
        self.channels = np.zeros(n, np.uint32)
        lib.call("tq_split_choose", lib.ctx, known, DIM, len(known), ctypes.c_uint32(DIM), None, ctypes.c_uint32(n),
                 self.channels)
        lib.call("tq_split_create", lib.ctx, spec, ctypes.c_uint32(DIM), self.channels, ctypes.c_uint32(n), None,
                 ctypes.byref(self.at))
        for name in ("code", "query", "scratch"):
            size = getattr(lib.lib, "tq_split_%s_size" % name)
            size.restype = ctypes.c_size_t
            setattr(self, name, size(self.at))
        self.room = aligned(self.scratch)

    def decoded(self, keys):
        codes, back = aligned(len(keys) * self.code), np.zeros_like(keys)
        self.lib.call("tq_split_encode", self.at, keys, ctypes.c_int(0), DIM, len(keys), codes, self.room)
        self.lib.call("tq_split_decode", self.at, codes, len(keys), back, ctypes.c_int(0), DIM, self.room)
        return codes, back

    def scores(self, queries, codes, n):
        prepared, scores = aligned(len(queries) * self.query), np.zeros((len(queries), n), np.float32)
        self.lib.call("tq_split_query_prepare", self.at, queries, DIM, len(queries), prepared, self.room)
        self.lib.call("tq_split_score", self.at, prepared, len(queries), codes, n, scores, n, self.room)
        return scores

    def close(self):
        self.lib.lib.tq_split_destroy(self.at)


def split_of(lib, first, rest, n, known, keys, queries):
    s = Split(lib, first, rest, n, known)
    codes, back = s.decoded(keys)
    want = queries.astype(float) @ back.T
    off = ((s.scores(queries, codes, len(keys)) - want)**2).mean() / want.var()
    s.close()
    return (s.code, ) + figures(keys, back, queries), off


def one(lib, text, keys, queries):
    q = lib.quantizer(text, DIM, None)
    size = lib.lib.tq_code_size(q)
    codes, back = aligned(len(keys) * size), np.zeros_like(keys)
    lib.call("tq_encode", q, keys, DIM, len(keys), codes)
    lib.call("tq_decode", q, codes, len(keys), back, DIM)
    lib.lib.tq_quantizer_destroy(q)
    return (size, ) + figures(keys, back, queries)


def spec(bits, more="correction=ls"):
    return "bits=%s scale=f16 %s" % (bits, more)


def ways_of(lib, known, asked, table):
    """Each way's name, and what it takes: a spec, or two, how many channels and the rows they are chosen from."""
    ways = {"%d bits" % b: (spec(b), ) for b in (2, 3, 4)}
    for n, a, b in ((16, 3, 2), (8, 4, 2)) + ((32, 3, 2), (16, 4, 3), (32, 4, 3)) * table:
        ways["%d at %d, %d at %d" % (n, a, DIM - n, b)] = (spec(a), spec(b), n, known)
    if not table:
        return ways
    ways.update({b + " bits": (spec(b), ) for b in ("2.5", "3.5")})
    none = "correction=none"
    ways["2 bits, none"] = (spec(2, none), )
    ways["16 at 3, 48 at 2, none"] = (spec(3, none), spec(2, none), 16, known)
    ways["16 at 4, 48 at 3, none"] = (spec(4, none), spec(3, none), 16, known)
    ways["16 at 3, 48 at 2, for scores"] = (spec(3), spec(2), 16, known * np.sqrt((asked**2).mean(0)))
    ways["16 at 3, 48 at 2, any"] = (spec(3), spec(2), 16, (np.arange(DIM) % 4 == 0).astype(np.float32)[None])
    scales = give(lib, scales_of(known, asked), rotation="rht:2")
    for b in (2, 3):
        ways["%d bits, scales" % b] = (spec(b, "correction=ls rotation=" + scales), )
    return ways


def head(lib, layer, number, centred, table):
    known, keys, asked, queries = load(layer, number, centred)
    got, worst = {}, 0
    for way, what in ways_of(lib, known, asked, table).items():
        if len(what) == 1:
            got[way] = one(lib, *what, keys, queries)
        else:
            got[way], off = split_of(lib, *what, keys, queries)
            worst = max(worst, off)
    return got, worst


def line(got, size):
    """What `size` bytes would give on the line between whole bits, of the logarithms."""
    low = got["2 bits" if size < got["3 bits"][0] else "3 bits"]
    high = got["3 bits" if size < got["3 bits"][0] else "4 bits"]
    part = (size - low[0]) / (high[0] - low[0])
    return np.exp((1 - part) * np.log(low[1:]) + part * np.log(high[1:]))


def main():
    lib, bad, table = Library(sys.argv[1], None), [], "--table" in sys.argv
    for centred in (False, True):
        heads = [head(lib, *h, centred, table) for h in HEADS]
        got = {way: np.mean([h[0][way] for h in heads], 0) for way in heads[0][0]}
        over = {way: v[1:] / line(got, v[0]) for way, v in got.items()}
        worst = max(h[1] for h in heads)
        print("keys %s: bytes; error of keys, of scores, KL divergence; over the line between whole bits at these bytes" %
              ("less their mean" if centred else "as they are"))
        for way, v in got.items():
            print("  %-28s %3d  %.4f %.4f %.3f  %.2f %.2f %.2f" % ((way, ) + tuple(v) + tuple(over[way])))
        if worst > 2e-4:
            bad.append("scores are off by %.1e of their variance, 8 bits of query are 1e-4" % worst)
        papers, steep = over["16 at 3, 48 at 2"], over["8 at 4, 56 at 2"]
        if not (papers[0] > 1.15 and papers[2] > 1.15 if centred else .8 < papers[0] < .95 and steep[2] < .85):
            bad.append("the papers' split is %s of the line, 8 channels at 4 bits %s" % (papers, steep))
    print("\n".join(bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

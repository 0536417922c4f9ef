#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Given rotations on the real keys of tests/data/vectors: scales of channels, pairs chosen from calibration rows.

    given.py LIBTQ.SO [--table]

Tables and scales are made from the first half of the keys and every other query, and measured on the rest: relative
error of keys, error of scores over their variance, KL divergence under softmax (of <query, key> / 8), means of nine
heads. Exits 1 if scales or chosen pairs bring less than docs/METHODS.md says. --table prints all of it.
"""

import ctypes
import os
import sys

import numpy as np

from compare import Library, aligned

VECTORS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "vectors")
DIM = 64


class Given(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("dim", ctypes.c_uint32), ("scales", ctypes.c_void_p),
                ("matrix", ctypes.c_void_p), ("layers", ctypes.c_uint32), ("npairs", ctypes.c_uint32),
                ("pairs", ctypes.c_void_p), ("angles", ctypes.c_void_p), ("rotation", ctypes.c_char_p)]


def give(lib, scales=None, pairs=None, angles=None, rotation=None):
    layers, npairs = (0, 0) if pairs is None else pairs.shape[:2]
    at = [None if a is None else np.ascontiguousarray(a, t) for a, t in
          ((scales, np.float32), (pairs, np.uint32), (angles, np.float32))]
    scales, pairs, angles = [None if a is None else a.ctypes.data for a in at]
    given = Given(ctypes.sizeof(Given), DIM, scales, None, layers, npairs, pairs, angles,
                  rotation.encode() if rotation else None)
    sum_ = ctypes.c_uint32()
    lib.call("tq_given_add", lib.ctx, ctypes.byref(given), ctypes.byref(sum_))
    return "given:%u" % sum_.value


def choose_pairs(rows, layers):
    """In each layer the largest channel with the smallest, the next with the next, turned until both are equal."""
    moment, pairs, angles = rows.T.astype(float) @ rows / len(rows), [], []
    for _ in range(layers):
        order = np.argsort(-np.diag(moment))
        layer = np.stack([order[:DIM // 2], order[::-1][:DIM // 2]], 1)
        turn, angle = np.eye(DIM), []
        for i, j in layer:
            a = 0.5 * np.arctan2(moment[i, i] - moment[j, j], 2 * moment[i, j])
            turn[i, i] = turn[j, j] = np.cos(a)
            turn[i, j], turn[j, i] = -np.sin(a), np.sin(a)
            angle.append(a)
        moment = turn @ moment @ turn.T
        pairs.append(layer)
        angles.append(angle)
    return {"pairs": np.array(pairs), "angles": np.array(angles)}


def log_softmax(a):
    a = a / np.sqrt(DIM)
    a = a - a.max(1, keepdims=True)
    return a - np.log(np.exp(a).sum(1, keepdims=True))


def figures(keys, back, queries):
    s, t = queries @ keys.T, queries @ back.T
    p, r = log_softmax(s), log_softmax(t)
    return ((back - keys)**2).sum() / (keys**2).sum(), ((s - t)**2).mean() / s.var(), (np.exp(p) * (p - r)).sum(1).mean()


def measure(lib, rotation, bits, keys, queries):
    q = lib.quantizer("rotation=%s bits=%d correction=ls" % (rotation, bits), DIM, None)
    codes, back = aligned(len(keys) * lib.lib.tq_code_size(q)), np.zeros_like(keys)
    lib.call("tq_encode", q, keys, DIM, len(keys), codes)
    lib.call("tq_decode", q, codes, len(keys), back, DIM)
    lib.lib.tq_quantizer_destroy(q)
    return figures(keys, back, queries)


def load(layer, number, centred):
    """Keys to learn from and to measure, queries likewise."""
    name = os.path.join(VECTORS, "smollm2-l%02d-h%d-" % (layer, number))
    keys, queries = [np.load(name + part + ".npy").astype(np.float32) for part in ("key", "query")]
    if centred:
        keys = keys - keys[:512].mean(0)
    return [np.ascontiguousarray(a) for a in (keys[:512], keys[512:], queries[::2], queries[1::2])]


def scales_of(known, asked):
    scales = np.sqrt(np.sqrt((known**2).mean(0) / (asked**2).mean(0)))
    return scales / np.exp(np.log(scales).mean())


def head(lib, layer, number, centred, bits):
    known, keys, asked, queries = load(layer, number, centred)
    scales = scales_of(known, asked)
    ways = {r: r for r in ("rht:2", "givens:4", "givens:16", "blocks:4", "none")}
    for n in (1, 2, 4, 8):
        ways["%d chosen layers" % n] = give(lib, **choose_pairs(known, n))
    ways["scales, rht:2"] = give(lib, scales, rotation="rht:2")
    ways["scales, 4 chosen layers"] = give(lib, scales, **choose_pairs(known / scales, 4))
    return {way: measure(lib, r, bits, keys, queries) for way, r in ways.items()}


def table(lib, centred, bits):
    heads = [head(lib, layer, number, centred, bits) for layer in (0, 14, 29) for number in range(3)]
    return {way: np.mean([h[way] for h in heads], 0) for way in heads[0]}


def main():
    lib, bad = Library(sys.argv[1], None), []
    for bits in (3, 4) if "--table" in sys.argv else (4,):
        for centred in (False, True):
            got = table(lib, centred, bits)
            print("%d bits, keys %s: error of keys, of scores, KL divergence" % (bits, "less their mean" if centred else "as they are"))
            for way, v in got.items():
                print("  %-24s %.4f %.4f %.4f" % ((way, ) + tuple(v)))
            if bits != 4:
                continue
            better = got["scales, rht:2"] / got["rht:2"]
            if not (better[1] < .75 and better[2] < .8):
                bad.append("scales bring %.2f of the error of scores, %.2f of the KL divergence" % tuple(better[1:]))
            if not got["4 chosen layers"][0] < .95 * got["givens:4"][0] or not got["4 chosen layers"][0] < 1.1 * got["rht:2"][0]:
                bad.append("four chosen layers: %.4f, four random ones %.4f, rht:2 %.4f" % tuple(
                    got[w][0] for w in ("4 chosen layers", "givens:4", "rht:2")))
    print("\n".join(bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

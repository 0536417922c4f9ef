# SPDX-License-Identifier: Apache-2.0
"""Tables on real vectors: keys, values and queries of nine heads of SmolLM2, sentence embeddings, GloVe."""

import ctypes
import os
import sys

import numpy as np

from codec import ROOT, Lab, kl, load, relative, seen
from page import number, table, ticked
import formats
import given
import split

sys.path.insert(0, os.path.join(ROOT, "tests", "llm"))
from caches import KvOptions  # noqa: E402

D = 64
FORMATS = {name: (key, value, bits) for name, key, value, bits in formats.FORMATS}
SPLITS = {"2.5 bits as published: 16 channels of 3 bits, 48 of 2": (3, 2), "3.5 bits likewise: 16 of 4, 48 of 3": (4, 3)}


def own(lab, spec, centred=True):
    """Bits of a coordinate, code of keys, code of values."""
    spec += " scale=f16"
    return lab.bytes(spec, D) * 8 / D, lambda x: lab.through(spec, x, centred), lambda x: lab.through(spec, x)


def halves(lab, bits):
    """The quarter of the channels with most energy has a bit more."""
    def code(x, centred):
        centre = x.mean(axis=0) if centred else 0
        x = np.ascontiguousarray(x - centre, np.float32)
        s = split.Split(lab.library, *["bits=%d scale=f16" % b for b in bits], D // 4, x)
        back = s.decoded(x)[1]
        s.close()
        return back + centre
    size = sum(lab.bytes("bits=%d scale=f16" % b, d) for b, d in zip(bits, (D // 4, D - D // 4)))
    return size * 8 / D, lambda x: code(x, True), lambda x: code(x, False)


def methods(lab):
    """Every method by name."""
    found = {name: (bits(D), key, value) for name, key, value, bits in formats.FORMATS}
    for spec in ["bits=%d" % b for b in (1, 2, 3, 4, 5, 6, 8)] + \
            ["bits=" + b for b in ("1.6", "2.33", "2.5", "3.5", "4.5")] + \
            ["bits=%d effort=%d" % (b, e) for b in (2, 3, 4) for e in (1, 2)] + \
            ["code=tcq bits=%d" % b for b in (1, 2, 3, 4)] + ["code=tcq:8 bits=3", "code=polar:4", "code=polar"] + \
            ["bits=%d correction=%s" % (b, c) for c in ("none", "unbiased", "qjl:ortho") for b in (2, 4)]:
        found[ticked(spec)] = own(lab, spec)
    for spec in "bits=4", "bits=4 effort=1", "code=tcq bits=4":
        found[ticked(spec) + ", keys not centred"] = own(lab, spec, False)
    for name, bits in SPLITS.items():
        found[name] = halves(lab, bits)
    return found


def attention(lab, cache={}):
    """The heads, and the log of their weights."""
    if lab not in cache:
        cache[lab] = [(k, v, q, seen(k, q)) for k, v, q in lab.heads()]
    return cache[lab]


def measure(lab, key, value):
    """Relative error of keys and of values, divergence of the attention's weights, relative error of its output."""
    got = []
    for k, v, q, p in attention(lab):
        k2, v2 = key(k), value(v)
        r = seen(k2, q)
        # PQ learns from even rows and is judged by odd ones
        got.append((relative(k[1::2], k2[1::2]), relative(v[1::2], v2[1::2]), kl(p, r),
                    relative(np.exp(p) @ v, np.exp(r) @ v2)))
    return np.mean(got, axis=0)


@table("equal-bytes", within=.05, quick=.05, slow=True)
def equal_bytes(lab):
    found = sorted(methods(lab).items(), key=lambda m: m[1][0])
    return (["method", "bits, d = 64", "error of keys", "of values", "KL of weights", "error of attention's output"],
            [[name, "%.2f" % bits] + [number(v) for v in measure(lab, key, value)] for name, (bits, key, value) in found])


def profile_specs(lab):
    """Every profile that the library has, with its specs for keys and values."""
    lab.library.lib.tq_kv_profile_name.restype = ctypes.c_char_p
    for i in range(100):
        name = lab.library.lib.tq_kv_profile_name(lab.library.ctx, i)
        if not name:
            return
        o = KvOptions()
        lab.library.lib.tq_kv_options_init(ctypes.byref(o))
        lab.library.call("tq_kv_options_profile", lab.library.ctx, name, ctypes.byref(o))
        yield name.decode(), (o.key_spec.decode(), o.value_spec.decode())


@table("profiles", keys=2, within=.05, quick=.05, slow=True)
def profiles(lab):
    """What the shipped profiles use, and other specs of the same bytes: the mean of four rotations."""
    rows, others = [], ["%s scale=bf16" % s for s in (
        "bits=4", "bits=4 effort=2", "code=tcq bits=4", "bits=3", "bits=3 effort=2", "bits=2", "bits=2 effort=2")]
    for name, pair in list(profile_specs(lab)) + [("", (s, s)) for s in others]:
        size, got = sum(lab.bytes(s, D) for s in pair) * 4 / D, []
        for seed in range(1, 5):
            key, value = (lambda x, s=s, c=c: lab.through("%s seed=%d" % (s, seed), x, c)
                          for s, c in zip(pair, (True, False)))
            got.append(measure(lab, key, value))
        rows.append([name, ticked(" / ".join(dict.fromkeys(s.replace(" scale=bf16", "") for s in pair))), "%.2f" % size] +
                    [number(v) for v in np.mean(got, axis=0)])
    rows.sort(key=lambda r: -float(r[2]))
    return ["profile", "spec", "bits, d = 64", "error of keys", "of values", "KL of weights", "error of attention's output"], rows


def found(got, true, k=10):
    """Part of the true best that are among the best of the scores."""
    best = [np.argpartition(-s, k, axis=1)[:, :k] for s in (true, got)]
    return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(*best)]))


@table("corrections", keys=2, within=.05, quick=.05)
def corrections(lab):
    """Which correction for what: search, and the softmax of three heads, side by side."""
    x, q, rows = load("minilm-base.npy"), load("minilm-query.npy"), []
    true, heads = q @ x.T, list(Lab.heads(lab))[::1 if lab.quick else 4]
    for bits in lab.some((1, 2, 3, 4), (4, )):
        for name in lab.some(("none", "ls", "unbiased", "qjl:ortho", "qjl:gauss"), ("ls", "qjl:ortho")):
            text = "bits=%d correction=%s" % (bits, name)
            got = lab.score(text + " query=s16", x, q)
            rows.append([str(bits), ticked(name), number(x.shape[1] * np.mean((got - true) ** 2)),
                         "%.3f" % ((got * true).sum() / (true * true).sum()), "%.3f" % found(got, true),
                         number(np.mean([kl(seen(k, w), seen(lab.through(text, k, True), w)) for k, _, w in heads]))])
    return ["bits", "correction", "search: d x error^2", "slope", "recall 10@10", "keys: KL"], rows


WAYS = (("`correction=none`", "correction=none"), ("`correction=unbiased`", "correction=unbiased"),
        ("`correction=qjl:ortho`", "correction=qjl:ortho"), ("`unbiased effort=1`", "correction=unbiased effort=1"),
        ("`unbiased effort=1 center=both`", "correction=unbiased effort=1 center=both"),
        ("`code=tcq correction=unbiased`", "code=tcq correction=unbiased"))


def recall(lab, x, q, ways, all_bits):
    true, rows, centre = q @ x.T, [], x.mean(axis=0).astype(np.float32)
    for name, spec in ways:
        rows.append([name] + ["%.3f" % found(lab.score("%s bits=%d query=s16" % (spec, b), x, q,
                                             centre if "center" in spec else None), true) for b in all_bits])
    return ["spec"] + ["%d bit%s" % (b, "s" if b > 1 else "") for b in all_bits], rows


@table("recall", within=.02, quick=.02, slow=True)
def recall_embeddings(lab):
    return recall(lab, load("minilm-base.npy"), load("minilm-query.npy"), WAYS, (1, 2, 3, 4))


@table("given", within=.02, quick=.02, slow=True)
def given_rotations(lab):
    both = [given.table(lab.library, centred, 4) for centred in (False, True)]
    return (["rotation, 4 bits", "keys as they are", "less their mean"],
            [[way.replace("scales, ", "scales, then ")] + [" / ".join(map(number, got[way])) for got in both] for way in both[0]])


@table("splits", within=.02, quick=.02, slow=True)
def splits(lab):
    """As tests/conform/split.py measures them."""
    both = []
    for centred in (False, True):
        heads = [split.head(lab.library, *h, centred, True)[0] for h in split.HEADS]
        both.append({way: np.mean([h[way] for h in heads], axis=0) for way in heads[0]})
    return ["way", "bytes", "keys as they are", "less their mean"], [
        [way, "%d" % size] + ["%s (%s)" % (" / ".join(map(number, got[way][1:])), " ".join(
            "%.2f" % v for v in got[way][1:] / split.line(got, got[way][0]))) for got in both]
        for way, (size, *_) in both[0].items()]

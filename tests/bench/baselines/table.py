#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The measured tables of docs/METHODS.md, from nothing but this repository and its build.

    table.py LIBTQ.SO            print them
    table.py LIBTQ.SO --write    put them into docs/METHODS.md, between the marks
    table.py LIBTQ.SO --check    are those there what this script gives, within 5 %

Data: normal
numbers, and tests/data/vectors: keys, values and queries of nine heads of SmolLM2 (d = 64), and the sentence
embeddings (d = 384).
"""

import glob
import os
import re
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..", "..")
sys.path[:0] = [HERE, os.path.join(ROOT, "tests", "conform")]
import formats  # noqa: E402
from compare import Library, aligned  # noqa: E402

VECTORS = os.path.join(ROOT, "tests", "data", "vectors")
D, TOKENS = 64, 128


def load(name):
    return np.load(os.path.join(VECTORS, name)).astype(np.float64)


def heads():
    for path in sorted(glob.glob(os.path.join(VECTORS, "*-key.npy"))):
        base = os.path.basename(path)[:-len("key.npy")]
        yield load(base + "key.npy"), load(base + "value.npy"), load(base + "query.npy")


class Lab:
    """The library's codes as functions of rows."""

    def __init__(self, path):
        self.library = Library(path, None)

    def encode(self, spec, x, centre=None):
        x = np.ascontiguousarray(x, np.float32)
        q = self.library.quantizer(spec, x.shape[1], centre)
        code = np.zeros((len(x), self.library.lib.tq_code_size(q)), np.uint8)
        self.library.call("tq_encode", q, x, x.shape[1], len(x), code)
        return q, code

    def codec(self, spec, centred=False):
        """What rows decode to; keys are centred on their mean."""
        def code(x):
            n, d = x.shape
            centre = x.mean(axis=0).astype(np.float32) if centred else None
            q, rows = self.encode(spec + (" center=data" if centred else "") + " scale=f16", x, centre)
            out = np.zeros((n, d), np.float32)
            self.library.call("tq_decode", q, rows, n, out, d)
            self.library.lib.tq_quantizer_destroy(q)
            return out.astype(np.float64)
        return code

    def score(self, spec, x, queries):
        q, rows = self.encode(spec, x)
        queries = np.ascontiguousarray(queries, np.float32)
        prepared = aligned(len(queries) * self.library.lib.tq_query_size(q))
        out = np.zeros((len(queries), len(x)), np.float32)
        self.library.call("tq_query_prepare", q, queries, x.shape[1], len(queries), prepared)
        self.library.call("tq_score", q, prepared, len(queries), rows, len(x), out, len(x))
        self.library.lib.tq_quantizer_destroy(q)
        return out.astype(np.float64)


def log_softmax(logits):
    logits = logits - logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def divergence(key, coded, query):
    """Mean KL of the softmax over the keys that each of the last 128 tokens' queries sees."""
    token = len(key) - TOKENS + np.arange(len(query)) % TOKENS
    hidden = np.where(np.arange(len(key))[None] <= token[:, None], 0.0, -1e30)
    p = log_softmax(query @ key.T / 8 + hidden)
    return float(np.mean((np.exp(p) * (p - log_softmax(query @ coded.T / 8 + hidden))).sum(axis=1)))


def relative(x, coded):
    return float(np.mean((x - coded) ** 2) / np.mean(x ** 2))


def number(v):
    text = "%.*f" % (5 if v < 0.01 else 4 if v < 0.1 else 3, v)
    return text[1:] if text.startswith("0.") else text


def equal_bytes(lab):
    """Every method: error on normal rows and on real values, KL on real keys, by stored bits."""
    lines = []
    ours = [("`%s`" % text, lab.codec(text, True), lab.codec(text), bits + 16 / D) for text, bits in
            [("code=lm bits=%d" % b, b) for b in (2, 3, 4)] + [("code=tcq bits=%d" % b, b) for b in (2, 3, 4)] +
            [("code=polar:4", 3.125), ("code=polar", 3.875)] +
            [("bits=%d correction=none" % b, b) for b in (2, 4)]]
    theirs = [(name, key, value, bits(D)) for name, key, value, bits in formats.FORMATS]
    data = list(heads())
    normal = np.random.default_rng(7).standard_normal((2000, 128))
    for name, key, value, bits in sorted(theirs + ours, key=lambda m: m[3]):
        # PQ learns from even rows and is judged by odd ones
        gauss = float(np.mean((value(normal) - normal)[1::2] ** 2))
        kl = np.mean([divergence(k, key(k), q) for k, _, q in data])
        error = np.mean([relative(v[1::2], value(v)[1::2]) for _, v, _ in data])
        lines.append("| %s | %.2f | %s | %s | %s |" % (name, bits, number(gauss), number(error), number(kl)))
    return ["| method | bits, d = 64 | normal | values | keys: KL |", "|---|---|---|---|---|"] + lines


def search(lab, text, x, q):
    """d times the variance of inner products of unit rows, their slope, and how many of the best ten are found."""
    got = lab.score(text + " query=s16", x, q)
    true = q @ x.T
    best, found = np.argsort(-true, axis=1)[:, :10], np.argsort(-got, axis=1)[:, :10]
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(best, found)])
    return x.shape[1] * float(np.mean((got - true) ** 2)), float((got * true).sum() / (true * true).sum()), recall


def corrections(lab):
    """What settles which correction is for what: search, and the softmax of three heads, side by side."""
    x, q = load("minilm-base.npy"), load("minilm-query.npy")
    data = list(heads())[::4]
    lines = []
    for bits in (1, 2, 3, 4):
        for name in ("none", "ls", "unbiased", "qjl:ortho", "qjl:gauss"):
            text = "bits=%d correction=%s" % (bits, name)
            variance, slope, recall = search(lab, text, x, q)
            kl = np.mean([divergence(k, lab.codec(text, True)(k), q) for k, _, q in data])
            lines.append("| %d | `%s` | %s | %s | %.3f | %s |" % (bits, name, number(variance), number(slope), recall, number(kl)))
    return ["| bits | correction | search: d x error^2 | slope | recall 10@10 | keys: KL |", "|---|---|---|---|---|---|"] + lines


TABLES = {"equal-bytes": equal_bytes, "corrections": corrections}


def numbers(text):
    return [float(n) for n in re.findall(r"(?<=\| )\d*\.\d+(?= \|)", text)]


def main(argv):
    if len(argv) not in (2, 3) or argv[2:] not in ([], ["--write"], ["--check"]):
        sys.stderr.write(__doc__)
        return 2
    path, lab = os.path.join(ROOT, "docs", "METHODS.md"), Lab(argv[1])
    with open(path, encoding="utf-8") as f:
        page = f.read()
    for name, make in TABLES.items():
        table = "\n".join(make(lab))
        mark = re.compile(r"(<!-- %s -->\n).*?(\n<!-- end -->)" % name, re.S)
        if not argv[2:]:
            print(table + "\n")
        elif argv[2] == "--write":
            page = mark.sub(lambda m: m[1] + table + m[2], page)
        else:
            old, new = numbers(mark.search(page)[0]), numbers(table)
            if len(old) != len(new) or any(abs(a - b) > 0.05 * abs(b) + 2e-5 for a, b in zip(old, new)):
                sys.exit("METHODS.md: table %s is not what this script gives" % name)
    if argv[2:] == ["--write"]:
        with open(path, "w", encoding="utf-8") as f:
            f.write(page)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))

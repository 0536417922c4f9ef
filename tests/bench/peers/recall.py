#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Recall of libtq and its peers at the same bits, without clocks: full scans over unit rows, inner products.

    recall.py [--shared FOLDER] [--bits 1,2,3,4] [--queries N] [--data NAMES]

Prints a table for docs/BENCHMARKS.md: bytes per vector, the part of the true ten nearest among the ten found
(10@10) and how often the true nearest is among them (1@10); true neighbours in f64. Pairs of sparse sets,
sparse1032 and sparse1024, sparse300 and sparse256: rows of few large coordinates, and the same rows with the last
coordinates left out. sentences256 is made by peers/run.sh, whose virtual environment this is run in.
"""
import argparse
import os
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import data
import methods

K = data.K


def sparse(cut, rows=20000, queries=500, seed=5):
    """Rows of 5 % of the coordinates, of lognormal size, as word counts give them; queries of the same topics."""
    rng, dim = np.random.default_rng(seed), 1032 if cut > 300 else 300
    topics = rng.standard_normal((200, dim)) * (rng.random((200, dim)) < .05)
    out = []
    for n in (rows, queries):
        x = topics[rng.integers(0, len(topics), n)] * rng.lognormal(0, .7, (n, dim))
        x += rng.standard_normal((n, dim)) * (rng.random((n, dim)) < .02) * .7
        out.append(data.unit(x[:, :cut]))
    return out


def load(name, shared, nq):
    if name.startswith("sparse"):
        return sparse(int(name[6:]))
    found = data.read(name, shared)
    return found and (found[0], found[1][:nq])


def truth_of(base, queries):
    out = np.empty((len(queries), K), np.int64)
    for i, q in enumerate(queries):
        scores = base @ q
        near = np.argpartition(-scores, 4 * K)[:4 * K]
        out[i] = near[np.argsort(-(base[near].astype(np.float64) @ q.astype(np.float64)), kind="stable")[:K]]
    return out


def measure(make, base, queries, truth):
    m = make()
    if "PQ" in m.label or m.label == "libtq avx2":  # training takes minutes; the same bytes as libtq
        return None
    add, ask = (m.prepare(base), m.prepare(queries)) if hasattr(m, "prepare") else (base, queries)
    m.add(add)
    found = m.search(ask, K)
    first = np.mean([t[0] in set(map(int, f)) for f, t in zip(found, truth)])
    return m.label, m.row_bytes, data.recall(found, truth), float(first)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--shared", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../../shared/data"))
    p.add_argument("--bits", default="1,2,3,4", type=lambda s: [int(b) for b in s.split(",")])
    p.add_argument("--queries", default=2000, type=int)
    p.add_argument("--data", default="glove100,lsa512,sentences256,sparse256,sparse300,sparse1024,sparse1032", type=lambda s: s.split(","))
    args = p.parse_args()
    methods.set_threads(os.cpu_count())
    print("| data | bits | method | bytes | 10@10 | 1@10 |\n|---|---|---|---|---|---|")
    for name in args.data:
        loaded = load(name, args.shared, args.queries)
        if loaded is None:
            print(f"{name}: no data in {args.shared}", file=sys.stderr)
            continue
        base, queries = loaded
        truth = truth_of(base, queries)
        for bits in args.bits:
            for make in methods.methods(base.shape[1], bits, 2):
                try:
                    got = measure(make, base, queries, truth)
                except Exception as error:  # a peer may refuse a dimension or a number of bits
                    print(f"{name} {bits}: {str(error).splitlines()[0][:120]}", file=sys.stderr)
                    continue
                if got:
                    print(f"| {name} | {bits} | {got[0]} | {got[1] or '-'} | {got[2]:.4f} | {got[3]:.4f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""The data sets of the comparison, unit rows, with the true neighbours by brute force."""
import os
import sys

import numpy as np

K = 10
QUERIES = 256


def unit(x):
    x = np.asarray(x, np.float32)
    return np.ascontiguousarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-20))


def synthetic(rows, dim=1536, seed=1):
    """
    Rows as an embedding model gives them: variance of the k-th direction falls as 1/k, in a random basis,
    around a common mean; 2000 topics, so that neighbours are near. Queries are new rows of the same topics.
    """
    rng = np.random.default_rng(seed)
    spectrum = (1.0 / np.sqrt(np.arange(1, dim + 1))).astype(np.float32)
    basis = np.linalg.qr(rng.standard_normal((dim, dim)))[0].astype(np.float32)
    topics = rng.standard_normal((2000, dim), dtype=np.float32)
    out = []
    for n in (rows, QUERIES):
        z = topics[rng.integers(0, len(topics), n)] + 1.2 * rng.standard_normal((n, dim), dtype=np.float32)
        z *= spectrum
        z[:, 0] += 1.0
        out.append(unit(z @ basis))
    return out


def read(name, shared):
    """(base, queries) of a set in files, or None: in @shared, or where peers/run.sh has made it"""
    for folder in (shared, os.path.join(sys.prefix, "data")):
        paths = [os.path.join(folder, f"{name}-{part}.npy") for part in ("base", "query")]
        if all(map(os.path.exists, paths)):
            return tuple(unit(np.load(p)) for p in paths)
    return None


def load(name, shared, quick):
    """(base, queries) or None where the files are absent. synthetic512, synthetic1536: 100,000 rows made here"""
    if name.startswith("synthetic"):
        return synthetic(20000 if quick else 100000, int(name[9:]))
    found = read(name, shared)
    return found and (found[0][:20000] if quick else found[0], found[1][:QUERIES])


def true_neighbours(base, queries):
    return np.argsort(-(queries.astype(np.float64) @ base.T.astype(np.float64)), axis=1)[:, :K] \
        if len(base) * base.shape[1] < 2e7 else exact_blocks(base, queries)


def exact_blocks(base, queries):
    """The same in blocks of rows: candidates by float32, order by float64."""
    scores = queries @ base.T
    near = np.argpartition(-scores, 4 * K, axis=1)[:, :4 * K]
    out = np.empty((len(queries), K), np.int64)
    for i, ids in enumerate(near):
        exact = base[ids].astype(np.float64) @ queries[i].astype(np.float64)
        out[i] = ids[np.argsort(-exact)[:K]]
    return out


def recall(found, truth):
    return float(np.mean([len(set(map(int, f)) & set(map(int, t))) / K for f, t in zip(found, truth)]))

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Sentence embeddings for the comparison: sentences256-base.npy and sentences256-query.npy in FOLDER.

    sentences.py FOLDER

Rows: "word: definition" of every synset of WordNet 3.0 (unpacked by peers/run.sh as FOLDER/wordnet), 117,659 of them;
queries: the first example sentence of 2,000 synsets. By WordLlama, whose 256-d model comes with its PyPI package.
"""
import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../data"))
from make_vectors import read_wordnet

QUERIES = 2000


def main(folder):
    import wordllama
    # the package looks for its tokenizer in the cache only: let that be the package
    model = wordllama.WordLlama.load(cache_dir=os.path.dirname(wordllama.__file__), disable_download=True)
    synsets = read_wordnet(folder)
    order = np.random.Generator(np.random.Philox(1)).permutation(len(synsets))
    asked = [i for i in order if synsets[i][1]][:QUERIES]
    base = model.embed([definition for definition, _ in synsets], norm=True).astype(np.float32)
    query = model.embed([synsets[i][1] for i in asked], norm=True).astype(np.float32)
    hits = np.mean([(base @ q > q @ base[i]).sum() < 10 for i, q in zip(asked, query)])
    print(f"{base.shape[0]} x {base.shape[1]}; an example finds its own definition among the first 10: {hits:.2f}")
    assert hits > 0.1 and np.isfinite(base).all()
    for name, x in (("base", base), ("query", query)):
        np.save(os.path.join(folder, f"sentences256-{name}.npy"), x)


if __name__ == "__main__":
    main(sys.argv[1])

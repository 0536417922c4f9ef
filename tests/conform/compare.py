#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The library against the numpy reference, bit for bit, on random specs, dimensions and rows.

    compare.py LIBTQ.SO [COUNT [SEED [DRIVER]]]

Prints the spec and the seed of the first difference and exits 1. DRIVER pins a driver or plugin.
"""

import ctypes
import os
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "data"))
import reference as ref  # noqa: E402

RANGE = -4


class Spec(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("rotation", ctypes.c_char * 32)] + \
               [(n, ctypes.c_uint32) for n in "rotation_arg code bits correction effort center scale query".split()] + \
               [("seed", ctypes.c_uint64)]


class Options(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("driver", ctypes.c_char_p), ("centre", ctypes.c_void_p)]


class Library:
    def __init__(self, path, driver):
        self.lib, self.ctx = ctypes.CDLL(path), ctypes.c_void_p()
        self.driver = driver.encode() if driver else None
        self.lib.tq_error_text.restype = ctypes.c_char_p
        for name in ("tq_code_size", "tq_query_size"):
            getattr(self.lib, name).restype = ctypes.c_size_t
        self.call("tq_context_create", None, ctypes.byref(self.ctx))

    def call(self, name, *args):
        fixed = [ctypes.c_size_t(a) if isinstance(a, int) else
                 ctypes.c_void_p(a.ctypes.data) if isinstance(a, np.ndarray) else a for a in args]
        ret = getattr(self.lib, name)(*fixed)
        if ret:
            raise RuntimeError(ret, "%s: %s" % (name, self.lib.tq_error_text().decode()))

    def quantizer(self, text, d, centre):
        spec, q = Spec(), ctypes.c_void_p()
        self.lib.tq_spec_init(ctypes.byref(spec))
        self.call("tq_spec_parse", ctypes.byref(spec), text.encode())
        opt = Options(ctypes.sizeof(Options), self.driver, None if centre is None else centre.ctypes.data)
        self.call("tq_quantizer_create", self.ctx, ctypes.byref(spec), ctypes.c_uint32(d), ctypes.byref(opt),
                  ctypes.byref(q))
        return q


def aligned(size):
    block = np.zeros(size + 64, np.uint8)
    return block[-block.ctypes.data % 64:][:size]


def random_case(rng):
    correction = rng.choice("none norm ls unbiased qjl:gauss qjl:ortho qjl:rht".split(), p=[.1, .1, .2, .3, .1, .1, .1])
    words = dict(rotation=rng.choice(["rht:1", "rht:2", "rht:2", "rht:3", "haar", "givens:%d" % rng.integers(1, 6), "none"]),
                 code=rng.choice(["lm", "lm", "lm", "uniform"]), bits=rng.integers(1, 9), correction=correction,
                 effort=rng.choice(3, p=[.6, .25, .15]), center=rng.choice(["off", "off", "data", "both"]),
                 scale=rng.choice(["f32", "f32", "f16", "bf16"]), query=rng.choice(["auto", "s8", "s16", "f32"]),
                 seed=int(rng.integers(0, 2 ** 63)))
    if words["bits"] <= 4 and not correction.startswith("qjl") and rng.random() < .08:
        words.update(code=rng.choice(["tcq:8", "tcq:9"]), effort=0)
    elif not correction.startswith("qjl") and rng.random() < .06:
        words.update(code=rng.choice(["polar", "polar:4", "polar:5", "polar:6"]), bits=4, effort=0)
    elif not correction.startswith("qjl") and rng.random() < .06:
        words["code"] = rng.choice(["lm:1.6", "lm:2.33", "lm:2.5", "lm:3.5", "lm:4.5"])
        words["bits"] = int(np.ceil(float(words["code"][3:])))
    if words["code"] == "lm" and words["bits"] == 1 and not correction.startswith("qjl") and rng.random() < .4:
        words["code"] = "sign"
    d = int(rng.choice([rng.integers(1, 9), rng.integers(9, 70), rng.integers(70, 300)]))
    if d > 100 and (words["rotation"] == "haar" or correction in ("qjl:gauss", "qjl:ortho")):
        d = int(rng.integers(1, 100))
    if words["code"].startswith("tcq"):
        d = 9 + d % 90  # the reference walks all states at every coordinate
    return " ".join("%s=%s" % w for w in words.items()), d


def random_rows(rng, n, d, dtype, top):
    x = rng.standard_normal((n, d))
    x[0] = np.exp(x[0] * 2)
    x[1, :] = 0
    x[1, rng.integers(d)] = rng.standard_normal()
    x[2] = np.rint(x[2])
    x[3] *= 10.0 ** rng.uniform(-15, 0, d)
    x[4:] *= 10.0 ** rng.uniform(-top - 8, top, (n - 4, 1))
    if dtype == "bf16":
        return ref.to_bf16(x.astype(np.float32))
    return x.astype(np.float16 if dtype == "f16" else np.float32)


def same(what, got, want):
    got, want = np.ascontiguousarray(got), np.ascontiguousarray(want)
    a, b = (v.view({1: np.uint8, 2: np.uint16, 4: np.uint32}[v.itemsize]) for v in (got, want))
    bad = a != b
    if got.dtype == np.float32:
        bad &= ~(np.isnan(got) & np.isnan(want))
    if np.any(bad):
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        raise RuntimeError(0, "%s differ in %d of %d places; at %s %r, reference %r" %
                           (what, bad.sum(), bad.size, at, got[at], want[at]))


def words(spec):
    return dict(ref.DEFAULTS, **dict(w.split("=") for w in spec.split()))


def describe(lib, q, text, codec, d):
    """The codec's description, read as FORMAT.md section 7 has it."""
    size = ctypes.c_size_t(0)
    lib.call("tq_describe", q, None, ctypes.byref(size))
    data = np.zeros(size.value, np.uint8)
    lib.call("tq_describe", q, data, ctypes.byref(size))
    version, dim, book, length, floats = (int(v) for v in data[4:24].view("<u4"))
    end = 24 + (length + 3) // 4 * 4
    if bytes(data[:4]) != b"TQCD" or (version, dim) != (1, d) or book != ref.codebook_hash(codec.book) or \
            floats != (0 if codec.center == "off" else d) or len(data) != end + 4 * floats + 4 or data[24 + length:end].any():
        raise RuntimeError(0, "the description's frame is not that of FORMAT.md")
    same("centres", data[end:-4].view("<f4"), np.zeros(0, "<f4") if codec.center == "off" else codec.m[0])
    same("checksums", data[-4:].view("<u4"), np.array([ref.crc32c(bytes(data[:-4]))], "<u4"))
    if words(bytes(data[24:24 + length]).decode()) != words(text):
        raise RuntimeError(0, "the description has another spec")


def compare(lib, text, d, rng):
    dtype = ("f32", "f16", "bf16")[rng.choice(3, p=[.6, .2, .2])]
    kind = ctypes.c_int(("f32", "f16", "bf16").index(dtype))
    top = 3 if dtype == "f16" or "scale=f16" in text and rng.random() < .9 else 30
    x, n, nq = random_rows(rng, 9, d, dtype, top), 9, 3
    centre = None if "center=off" in text else (rng.standard_normal(d) * rng.choice([.1, 3])).astype(np.float32)
    queries = (rng.standard_normal((nq, d)) * 10.0 ** rng.uniform(-12, 6, (nq, 1))).astype(np.float32)
    codec = ref.Codec(text, d, centre)
    q = lib.quantizer(text, d, centre)
    try:
        code = np.zeros((n, codec.row_bytes), np.uint8)
        assert lib.lib.tq_code_size(q) == codec.row_bytes
        describe(lib, q, text, codec, d)
        try:
            lib.call("tq_encode_as", q, x, kind, d, n, code)
        except RuntimeError as e:
            if e.args[0] != RANGE or codec.encode(x, dtype) is not None:
                raise
            return 0
        want = codec.encode(x, dtype)
        if want is None:
            raise RuntimeError(0, "a scale beyond f16 was not refused")
        same("codes", code, want)
        out = np.zeros((n, d), np.float32)
        lib.call("tq_decode", q, code, n, out, d)
        same("decoded values", out, codec.decode(code))
        prepared = aligned(nq * lib.lib.tq_query_size(q))
        lib.call("tq_query_prepare", q, queries, d, nq, prepared)
        scores = np.zeros((nq, n), np.float32)
        lib.call("tq_score", q, prepared, nq, code, n, scores, n)
        same("scores", scores, codec.score(codec.query(queries), code))
        if codec.bits and codec.center != "data":
            pairs = np.zeros((n, n), np.float32)
            lib.call("tq_score_pairs", q, code, n, code, n, pairs, n)
            same("pair scores", pairs, codec.pairs(code, code))
    finally:
        lib.lib.tq_quantizer_destroy(q)
    return 1


def main(argv):
    count, seed = int(argv[2]) if len(argv) > 2 else 200, int(argv[3]) if len(argv) > 3 else 1
    lib = Library(argv[1], argv[4] if len(argv) > 4 else None)
    np.seterr(over="ignore", invalid="ignore", under="ignore")
    done = 0
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        text, d = random_case(rng)
        try:
            done += compare(lib, text, d, rng)
        except RuntimeError as e:
            print("not ok: %s dim=%d (seed %d, case %d): %s" % (text, d, seed, i, e.args[1]))
            return 1
    print("%d specs: codes, decoded values and scores equal the reference's bit for bit (%d refused by both)" %
          (done, count - done))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))

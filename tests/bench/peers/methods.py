# SPDX-License-Identifier: Apache-2.0
"""
One class per way to code and scan. Each has label, row_bytes, add(base), search(queries, k) -> ids, and
note, what a reader must know. All scan every row; none may re-rank with the floats.
"""
import os

import numpy as np

import libtq

try:
    import faiss
except ImportError:
    faiss = None
try:
    import turbovec
except ImportError:
    turbovec = None
try:
    import rabitqlib
except ImportError:
    rabitqlib = None
try:
    import numkong
except ImportError:
    numkong = None
try:
    import simsimd
except ImportError:
    simsimd = None

BOUNDED = "staged: refines only rows that the first bit and a bound let through; cannot be turned off"


class Libtq:
    fast = True

    def __init__(self, dim, bits, threads, driver=None):
        self.label = "libtq" + (f" {driver}" if driver else "")
        self.args = (f"bits={bits} correction=unbiased center=both effort=1", dim)
        self.driver = driver

    def add(self, base):
        self.codec = libtq.Codec(*self.args, base.mean(axis=0), self.driver)
        self.codec.add(base)
        self.row_bytes = self.codec.row_bytes
        self.note = f"{self.codec.driver(3)}, {self.codec.driver(4) or self.codec.driver(2)}, " + (
            "tq_top_k" if self.codec.has_top_k else "tq_score + numpy partition")

    def search(self, queries, k):
        return self.codec.search(queries, k)


class LibtqIndex(Libtq):
    def __init__(self, dim, bits, threads, driver=None, exactness=1.0):
        super().__init__(dim, bits, threads, driver)
        self.exactness = exactness
        self.label = "libtq index" + (f" {driver}" if driver else "") + (f" {exactness:g}" if exactness < 1 else "")

    def add(self, base):
        self.codec = libtq.Index(*self.args, base.mean(axis=0), self.driver, self.exactness)
        self.codec.add(base)
        self.row_bytes = self.codec.row_bytes + 8
        self.note = "tq_index_search, rows in blocks; 8 of the bytes are the id"
        if self.exactness < 1:
            self.note = "tq_index_search of one query in two stages; beside the bytes of a row its signs"


class Faiss:
    """An index made by @make(dim); @rotate: data and queries are rotated outside the clock, as FAISS asks for."""

    def __init__(self, label, make, dim, threads, rotate=False, fast=False, note=""):
        self.label, self.threads, self.fast, self.note = label, threads, fast, note
        self.index = make(dim)
        self.rotation = rotate and np.linalg.qr(np.random.default_rng(3).standard_normal((dim, dim)))[0].astype(
            np.float32)

    def prepare(self, x):
        return np.ascontiguousarray(x @ self.rotation) if self.rotation is not False else x

    def add(self, base):
        self.index.train(base)
        self.index.add(base)
        self.row_bytes = self.index.sa_code_size() if hasattr(self.index, "sa_code_size") else 0

    def search(self, queries, k):
        return self.index.search(queries, k)[1]


class Turbovec:
    """Staging is off with TURBOVEC_2BIT_PLANES=0 and TURBOVEC_4BIT_PLANES=0, set before it is imported."""
    fast = True

    def __init__(self, dim, bits, threads):
        self.label, self.pad = "turbovec", -dim % 8
        self.note = "staging " + ("off" if "TURBOVEC_4BIT_PLANES" in os.environ else "on") + (
            f", {self.pad} zeros added per row: it needs a multiple of 8" if self.pad else "")
        self.index = turbovec.TurboQuantIndex(dim=dim + self.pad, bit_width=bits)
        self.row_bytes = (dim + self.pad) * bits // 8 + 4

    def prepare(self, x):
        return np.ascontiguousarray(np.pad(x, ((0, 0), (0, self.pad)))) if self.pad else x

    def add(self, base):
        self.index.add(base)
        self.index.prepare()

    def search(self, queries, k):
        return self.index.search(queries, k)[1]


class Rabitqlib:
    """IVF with one list, so that every row is scanned."""
    fast = True

    def __init__(self, dim, bits, threads):
        self.label, self.bits, self.dim, self.threads = "rabitqlib IVF, 1 list", bits, dim, threads
        self.note = BOUNDED if bits > 1 else ""
        self.row_bytes = 0

    def add(self, base):
        self.index = rabitqlib.IvfIndex(self.dim, len(base), 1, self.bits, "ip")
        self.index.build(base, base.mean(axis=0, keepdims=True), np.zeros(len(base), np.uint32), self.threads)

    def search(self, queries, k):
        return self.index.search(queries, k, 1, None, self.threads)[0]


class Dots:
    """Not a quantizer of these bits but the plain thing: products of rows of 8 bits, all written, none selected."""
    fast = True
    note = "8 bits per coordinate; all products written, none selected"

    def __init__(self, dim, label, pack, dots):
        self.label, self.row_bytes, self.pack, self.dots = label, dim, pack, dots

    @staticmethod
    def prepare(x):
        return np.round(x * (127 / np.abs(x).max())).astype(np.int8)

    def add(self, base):
        self.rows = self.pack(base)

    def scan(self, queries, k):
        return self.dots(queries, self.rows)

    def search(self, queries, k):
        return np.argpartition(-np.asarray(self.scan(queries, k), np.float32), k, axis=1)[:, :k]


def dots_methods(dim):
    if numkong:
        yield lambda: Dots(dim, "NumKong dots_packed, int8", numkong.dots_pack, numkong.dots_packed)
    if simsimd:
        yield lambda: Dots(dim, "SimSIMD cdist, int8", lambda rows: rows,
                           lambda queries, rows: simsimd.cdist(queries, rows, metric="dot"))


def faiss_methods(dim, bits, threads):
    ip, sq = faiss.METRIC_INNER_PRODUCT, faiss.ScalarQuantizer
    subs = dim * bits // 4
    if dim * bits % 4 == 0 and subs and dim % subs == 0:
        yield lambda: Faiss(f"FAISS IndexPQFastScan, M={subs}", lambda d: faiss.IndexPQFastScan(d, subs, 4, ip),
                            dim, threads, fast=True, note="trained on the data")
    bound = BOUNDED if bits > 1 else ""
    yield lambda: Faiss("FAISS IndexRaBitQFastScan", lambda d: faiss.IndexRaBitQFastScan(d, ip, 32, bits), dim, threads,
                        rotate=True, fast=True, note=bound)
    if bits == 1:  # the fast scan has the same codes and recall, and is faster
        yield lambda: Faiss("FAISS IndexRaBitQ", lambda d: faiss.IndexRaBitQ(d, ip, bits), dim, threads,
                            rotate=True)
    yield lambda: Faiss("FAISS IndexEDEN", lambda d: faiss.IndexEDEN(d, ip, bits), dim, threads, rotate=True)
    for kind, name in (("tqmse", "TurboQuant_mse"), ("tq", "TurboQuant")):
        kind = getattr(sq, f"QT_{bits}bit_{kind}", None)
        if kind is not None:
            yield lambda kind=kind, name=name: Faiss(f"FAISS ScalarQuantizer {name}",
                                                     lambda d: faiss.IndexScalarQuantizer(d, kind, ip), dim, threads,
                                                     rotate=True)


def libtq_drivers(isa):
    """What libtq takes by itself, and AVX2 beside it where it would take more."""
    return (None,) if isa else (None, "avx2")


def staged_methods(dim, bits, threads, isa):
    """Full and staged scans of indexes, beside the peers that have one or the other."""
    for driver in libtq_drivers(isa):
        yield lambda driver=driver: LibtqIndex(dim, bits, threads, driver)
        yield lambda driver=driver: LibtqIndex(dim, bits, threads, driver, .999)
    if faiss:
        yield next(faiss_methods(dim, bits, threads))
    if turbovec:
        yield lambda: Turbovec(dim, bits, threads)
    if rabitqlib:
        yield lambda: Rabitqlib(dim, bits, threads)


def methods(dim, bits, threads, isa):
    """Constructors of everything that can code rows of this dimension with so many bits."""
    for method in Libtq, LibtqIndex:
        for driver in libtq_drivers(isa):
            yield lambda method=method, driver=driver: method(dim, bits, threads, driver)
    if faiss:
        yield from faiss_methods(dim, bits, threads)
    if turbovec and bits in (2, 4):
        yield lambda: Turbovec(dim, bits, threads)
    if rabitqlib:
        yield lambda: Rabitqlib(dim, bits, threads)
    if bits == 4 and threads == 1:
        yield from dots_methods(dim)


def check_isa(isa):
    """Raises where CPUID still has AVX-512 though @isa has not."""
    from numpy._core._multiarray_umath import __cpu_features__ as features
    if isa and features.get("AVX512F"):
        raise RuntimeError(f"--isa {isa}: CPUID still says AVX-512")


def set_threads(n):
    if faiss:
        faiss.omp_set_num_threads(n)


def versions():
    found = {"numpy": np.__version__}
    if faiss:
        found["faiss-cpu"] = faiss.__version__
    for name, module in (("turbovec", turbovec), ("rabitqlib", rabitqlib), ("numkong", numkong),
                         ("simsimd", simsimd)):
        if module:
            import importlib.metadata
            found[name] = importlib.metadata.version(name)
    return found

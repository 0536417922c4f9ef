# SPDX-License-Identifier: Apache-2.0
"""libtq through ctypes: as much of it as the comparison needs."""
import ctypes
import os

import numpy as np

#: more than the library's option structs hold; what it does not know stays zero
OPTIONS_ROOM = 256


class QuantizerOptions(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("driver", ctypes.c_char_p), ("centre", ctypes.c_void_p),
                ("rest", ctypes.c_char * OPTIONS_ROOM)]


class IndexOptions(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("metric", ctypes.c_uint32), ("nlist", ctypes.c_uint32),
                ("reserved", ctypes.c_uint32), ("driver", ctypes.c_char_p), ("refine", ctypes.c_void_p),
                ("flags", ctypes.c_uint32)]


class SearchOptions(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("nprobe", ctypes.c_uint32), ("filter", ctypes.c_void_p),
                ("filter_bits", ctypes.c_uint64), ("allow", ctypes.c_void_p), ("allow_arg", ctypes.c_void_p),
                ("rerank", ctypes.c_size_t), ("fetch", ctypes.c_void_p), ("fetch_arg", ctypes.c_void_p),
                ("exactness", ctypes.c_float)]


STAGED = 1 << 2


def load():
    """The library that TQ_LIBRARY names, or the installed one."""
    return ctypes.CDLL(os.environ.get("TQ_LIBRARY", "libtq.so"))


def pointer(array):
    return ctypes.c_void_p(array.ctypes.data)


class Codec:
    """Rows of one data set, coded; threads and plugins come from the environment (TQ_THREADS, TQ_PLUGIN_PATH)."""

    def __init__(self, spec, dim, centre, driver=None):
        self.lib, self.dim, self.rows = load(), dim, 0
        self.lib.tq_error_text.restype = ctypes.c_char_p
        self.lib.tq_quantizer_driver.restype = ctypes.c_char_p
        for name in ("tq_code_size", "tq_query_size"):
            getattr(self.lib, name).restype = ctypes.c_size_t
        self.ctx, self.q = ctypes.c_void_p(), ctypes.c_void_p()
        self.check(self.lib.tq_context_create(None, ctypes.byref(self.ctx)))
        spec_room = ctypes.create_string_buffer(4096)
        self.lib.tq_spec_init(spec_room)
        self.check(self.lib.tq_spec_parse(spec_room, spec.encode()))
        centre = np.ascontiguousarray(centre, np.float32)
        options = QuantizerOptions(ctypes.sizeof(QuantizerOptions), driver.encode() if driver else None,
                                   centre.ctypes.data)
        self.check(self.lib.tq_quantizer_create(self.ctx, spec_room, ctypes.c_uint32(dim), ctypes.byref(options),
                                                ctypes.byref(self.q)))
        self.row_bytes = self.lib.tq_code_size(self.q)
        self.query_bytes = self.lib.tq_query_size(self.q)
        self.has_top_k = hasattr(self.lib, "tq_top_k")

    def check(self, status):
        if status:
            raise RuntimeError(self.lib.tq_error_text().decode())

    def driver(self, stage):
        return self.lib.tq_quantizer_driver(self.q, stage).decode()

    def encode(self, x):
        codes = np.empty(len(x) * self.row_bytes, np.uint8)
        self.check(self.lib.tq_encode(self.q, pointer(x), ctypes.c_size_t(self.dim), ctypes.c_size_t(len(x)),
                                      pointer(codes)))
        return codes

    def add(self, x):
        self.codes, self.rows = self.encode(x), len(x)

    def prepare(self, queries):
        room = np.empty(len(queries) * self.query_bytes + 64, np.uint8)
        prepared = room[-room.ctypes.data % 64:]
        self.check(self.lib.tq_query_prepare(self.q, pointer(queries), ctypes.c_size_t(self.dim),
                                             ctypes.c_size_t(len(queries)), pointer(prepared)))
        return prepared

    def search(self, queries, k):
        """Best k rows of each query."""
        nq, prepared = len(queries), self.prepare(queries)
        if self.has_top_k:
            ids, scores = np.empty((nq, k), np.int64), np.empty((nq, k), np.float32)
            self.check(self.lib.tq_top_k(self.q, pointer(prepared), ctypes.c_size_t(nq), pointer(self.codes),
                                         ctypes.c_size_t(self.rows), ctypes.c_size_t(k), None, pointer(ids),
                                         pointer(scores)))
            return ids
        scores = np.empty((nq, self.rows), np.float32)
        self.check(self.lib.tq_score(self.q, pointer(prepared), ctypes.c_size_t(nq), pointer(self.codes),
                                     ctypes.c_size_t(self.rows), pointer(scores), ctypes.c_size_t(self.rows)))
        best = np.argpartition(-scores, k, axis=1)[:, :k]
        return best


class Index(Codec):
    """
    The same rows as a flat index of the library: in memory it has them in the order of its scans. @exactness below 1:
    scanned in two stages.
    """

    def __init__(self, spec, dim, centre, driver=None, exactness=1.0):
        super().__init__(spec, dim, centre, driver)
        self.options = SearchOptions(struct_size=ctypes.sizeof(SearchOptions), exactness=exactness)
        spec_room, self.index = ctypes.create_string_buffer(4096), ctypes.c_void_p()
        self.lib.tq_spec_init(spec_room)
        self.check(self.lib.tq_spec_parse(spec_room, spec.encode()))
        options = IndexOptions(ctypes.sizeof(IndexOptions), 0, 0, 0, driver.encode() if driver else None, None,
                               STAGED if exactness < 1 else 0)
        self.check(self.lib.tq_index_create(self.ctx, spec_room, ctypes.c_uint32(dim), ctypes.byref(options),
                                            ctypes.byref(self.index)))

    def add(self, x):
        n, dim = ctypes.c_size_t(len(x)), ctypes.c_size_t(self.dim)
        self.check(self.lib.tq_index_train(self.index, pointer(x), dim, n))
        self.check(self.lib.tq_index_add(self.index, pointer(x), dim, n, None))

    def search(self, queries, k):
        nq = len(queries)
        ids, scores = np.empty((nq, k), np.int64), np.empty((nq, k), np.float32)
        self.check(self.lib.tq_index_search(self.index, pointer(queries), ctypes.c_size_t(self.dim), ctypes.c_size_t(nq),
                                            ctypes.c_size_t(k), ctypes.byref(self.options), pointer(ids),
                                            pointer(scores)))
        return ids

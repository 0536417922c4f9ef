# SPDX-License-Identifier: Apache-2.0
"""What attention sees of keys and values: 16-bit caches and ggml's types here, libtq's through its public ABI.

All have the same schedule: tokens come in chunks of CHUNK, the first SINKS and at least the last WINDOW are kept
in 16 bits, and behind them whole pages of PAGE tokens are rounded into codes. A query's chunk is in the cache
when it is asked.
"""
import ctypes as c

import numpy as np

from smollm2 import DIM, GROUP, HEADS, KV_HEADS, LAYERS, causal

CHUNK, SINKS, WINDOW, PAGE = 64, 4, 64, 64
F32, F16 = 0, 1
CENTER_OFF, CENTER_GIVEN, CENTER_LEARN = 0, 1, 2


def coded_end(tokens, sinks=SINKS, window=WINDOW):
    """One past the last token in codes once @tokens are there."""
    return sinks + max(tokens - sinks - window, 0) // PAGE * PAGE


def f16(x):
    return x.astype(np.float16).astype(np.float32)


def hadamard(n):
    h = np.ones((1, 1), np.float32)
    while len(h) < n:
        h = np.block([[h, h], [h, -h]])
    return h / np.float32(np.sqrt(n))


def ggml(name, rotate):
    """Rows through a ggml type as gguf's quants do it, between two Hadamard matrices where @rotate."""
    import gguf
    kind = gguf.GGMLQuantizationType[name]
    h = hadamard(DIM)

    def through(x):
        x = x @ h if rotate else x
        x = gguf.quants.dequantize(gguf.quants.quantize(np.ascontiguousarray(x, np.float32), kind), kind)
        return (x @ h if rotate else x).astype(np.float32)
    return through


class Numpy:
    """A 16-bit cache whose pages behind the window went through @key and @value."""

    def __init__(self, key=None, value=None):
        self.through = key, value

    def __call__(self, layer, q, k, v):
        raw = [f16(x) for x in (k, v)]
        old = [t(x) if t else x for t, x in zip(self.through, raw)]
        seen = [np.array(x) for x in raw]
        out = np.empty_like(q)
        done = SINKS
        for first in range(0, q.shape[1], CHUNK):
            end = coded_end(min(first + CHUNK, q.shape[1]))
            for s, o in zip(seen, old):
                s[:, done:end] = o[:, done:end]
            done = max(done, end)
            out[:, first:first + CHUNK] = causal(q[:, first:first + CHUNK], *seen, first)
        return out


# ---- libtq ----

class Override(c.Structure):
    _fields_ = [(n, c.c_uint32) for n in ("first_layer", "last_layer", "first_head", "last_head")] + \
        [("key_spec", c.c_char_p), ("value_spec", c.c_char_p)]


class KvOptions(c.Structure):
    _fields_ = [(n, c.c_uint32) for n in ("struct_size", "layers", "kv_heads", "query_heads", "key_dim",
                                          "key_raw_dim", "value_dim")] + \
        [("key_spec", c.c_char_p), ("value_spec", c.c_char_p), ("overrides", c.POINTER(Override)),
         ("noverrides", c.c_size_t)] + \
        [(n, c.c_uint32) for n in ("raw_type", "sinks", "window", "page_tokens")] + \
        [("byte_limit", c.c_uint64), ("center", c.c_uint32), ("center_tokens", c.c_uint32),
         ("centre", c.c_void_p), ("driver", c.c_char_p)]


class KvBytes(c.Structure):
    _fields_ = [(n, c.c_uint64) for n in ("token", "raw", "coded", "window", "total", "plain")]


class KvRows(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("tokens", c.c_uint32), ("dtype", c.c_int),
                ("keys", c.c_void_p), ("key_stride", c.c_size_t), ("values", c.c_void_p),
                ("value_stride", c.c_size_t)]


class KvCall(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("tokens", c.c_uint32), ("position", c.c_uint64),
                ("dtype", c.c_int), ("query", c.c_void_p), ("query_stride", c.c_size_t), ("out", c.c_void_p),
                ("out_stride", c.c_size_t), ("scale", c.c_float), ("softcap", c.c_float), ("causal", c.c_int),
                ("window", c.c_uint64), ("keep_sinks", c.c_int), ("sink_logits", c.c_void_p),
                ("lse", c.c_void_p), ("page_mass", c.c_void_p), ("scratch", c.c_void_p),
                ("scratch_bytes", c.c_size_t)]


class Library:
    """libtq, loaded from @path, and one context."""

    def __init__(self, path):
        self.so = c.CDLL(path)
        self.so.tq_error_text.restype = c.c_char_p
        self.so.tq_kv_attend_scratch.restype = c.c_size_t
        self.so.tq_kv_attend_scratch.argtypes = [c.c_void_p, c.c_uint64]
        self.so.tq_kv_seq_drop.argtypes = self.so.tq_kv_destroy.argtypes = [c.c_void_p]
        self.so.tq_kv_append.argtypes = self.so.tq_kv_attend.argtypes = [c.c_void_p, c.c_uint32, c.c_void_p]
        self.so.tq_kv_seq_create.argtypes = [c.c_void_p, c.c_void_p]
        self.context = c.c_void_p()
        self.check(self.so.tq_context_create(None, c.byref(self.context)))

    def check(self, status):
        if status:
            raise RuntimeError(self.so.tq_error_text().decode())


def most_energy(library, x, n, centre):
    """The n channels of most energy of rows of one head, as text for a split; less their mean where @centre."""
    x = np.ascontiguousarray(x, np.float32)
    mean = np.ascontiguousarray(x.mean(0), np.float32)
    channels = np.empty(n, np.uint32)
    library.check(library.so.tq_split_choose(library.context, c.c_void_p(x.ctypes.data), c.c_size_t(x.shape[1]),
                                             c.c_size_t(len(x)), c.c_uint32(x.shape[1]),
                                             c.c_void_p(mean.ctypes.data if centre else None), c.c_uint32(n),
                                             c.c_void_p(channels.ctypes.data)))
    return ",".join(map(str, channels))


class Tq:
    """A cache of libtq. @options: members of struct tq_kv_options; @profile: of the configuration."""

    def __init__(self, library, profile=None, **options):
        self.lib, so = library, library.so
        o = KvOptions()
        so.tq_kv_options_init(c.byref(o))
        o.layers, o.kv_heads, o.query_heads, o.key_dim, o.value_dim = LAYERS, KV_HEADS, HEADS, DIM, DIM
        o.sinks, o.window, o.page_tokens, o.raw_type = SINKS, WINDOW, PAGE, F16
        self.keep = []
        if profile:
            library.check(so.tq_kv_options_profile(library.context, profile.encode(), c.byref(o)))
        for name, value in options.items():
            if name == "centre":
                value = np.ascontiguousarray(value, np.float32)
                assert value.shape == (LAYERS, KV_HEADS, DIM)
                self.keep.append(value)
                o.center, value = CENTER_GIVEN, value.ctypes.data
            if name == "overrides":  # [layer, spec of keys or None, spec of values or None, KV head unless all]
                self.keep += [(Override * len(value))(*[
                    Override(n, n, *(head * 2 or (0, KV_HEADS - 1)), *[s and s.encode() for s in (key, of_values)])
                    for n, key, of_values, *head in value])]
                o.noverrides, value = len(value), self.keep[-1]
            setattr(o, name, value.encode() if isinstance(value, str) else value)
        size = KvBytes()
        library.check(so.tq_kv_size(library.context, c.byref(o), c.c_uint64(0), c.c_uint64(1), c.byref(size)))
        self.bytes = size.token
        self.kv, self.seq = c.c_void_p(), c.c_void_p()
        library.check(so.tq_kv_create(library.context, c.byref(o), c.byref(self.kv)))
        library.check(so.tq_kv_seq_create(self.kv, c.byref(self.seq)))

    def close(self):
        self.lib.so.tq_kv_seq_drop(self.seq)
        self.lib.so.tq_kv_destroy(self.kv)

    def __call__(self, layer, q, k, v):
        q, k, v = (np.ascontiguousarray(x.transpose(1, 0, 2), np.float32) for x in (q, k, v))
        out = np.empty_like(q)
        size = self.lib.so.tq_kv_attend_scratch(self.seq, len(q))
        space = np.empty(size + 64, np.uint8)
        scratch = space.ctypes.data + -space.ctypes.data % 64
        for first in range(0, len(q), CHUNK):
            n = min(CHUNK, len(q) - first)
            rows = KvRows(c.sizeof(KvRows), n, F32, k[first:].ctypes.data, KV_HEADS * DIM,
                          v[first:].ctypes.data, KV_HEADS * DIM)
            self.lib.check(self.lib.so.tq_kv_append(self.seq, layer, c.byref(rows)))
            call = KvCall(struct_size=c.sizeof(KvCall), tokens=n, position=first, dtype=F32,
                          query=q[first:].ctypes.data, query_stride=HEADS * DIM, out=out[first:].ctypes.data,
                          out_stride=HEADS * DIM, causal=1, scratch=scratch, scratch_bytes=size)
            self.lib.check(self.lib.so.tq_kv_attend(self.seq, layer, c.byref(call)))
        return out.transpose(1, 0, 2)

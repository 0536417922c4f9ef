#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Write the golden vectors: tests/data/golden.bin (every byte) and core/golden.h (sums for the gate).

Both come from reference.py alone. `make_golden.py --check` compares with the files instead.

golden.bin, little-endian, every item padded to 4 bytes:
  "TQGOLD1\\0", u32 sets, u32 cases
  set:  u32 dim, rows, queries; f32 x[rows][dim]; f16 x[rows][dim]; bf16 x[rows][dim]; f32 centre[dim];
        f32 q[queries][dim]
  case: u32 set, dtype (0 f32, 1 f16, 2 bf16), rows, row_bytes, codebook hash, pairs, spec length; spec;
        u8 code[rows][row_bytes]; u32 CRC32C of each decoded f32 row; u32 CRC32C of all rows decoded to f16,
        to bf16; f32 score[queries][rows]; f32 pair[pairs][rows] of the first rows with all
"""

import os
import struct
import sys

import numpy as np

import reference as ref
from reference import F4, crc32c

HERE = os.path.dirname(os.path.abspath(__file__))
ROLE, SEED = 0x200, 7

# The gate tests a driver with the first four that it has a part in before first use, with all when asked to be thorough.
# So those that every driver of rht and of the grid shares come first: a plan takes a millisecond or two to make.
GATE = [
    ("rotation=rht:2 bits=4 correction=ls", 128, 5),
    ("rotation=rht:3 bits=3 correction=unbiased effort=1", 100, 5),
    ("rotation=rht:1 bits=2 correction=norm", 96, 5),
    ("rotation=rht:2 code=sign bits=1 correction=unbiased", 200, 5),
    ("rotation=haar bits=1 correction=unbiased", 40, 5),
    ("rotation=givens:16 bits=5 correction=none", 80, 5),
    ("rotation=none bits=8 correction=unbiased", 33, 5),
    ("rotation=rht:2 code=uniform bits=6 correction=ls scale=bf16", 130, 5),
    ("rotation=rht:2 bits=7 correction=ls query=f32", 75, 5),
    ("rotation=rht:2 bits=4 correction=qjl:gauss", 37, 5),
    ("rotation=rht:2 bits=3 correction=qjl:ortho seed=9", 48, 5),
    ("rotation=rht:2 bits=1 correction=qjl:rht", 64, 5),
    ("rotation=rht:2 bits=4 correction=unbiased effort=2 scale=f16", 72, 5),
    ("rotation=rht:2 bits=4 correction=unbiased query=s16", 7, 5),
    ("rotation=rht:2 bits=2 correction=ls", 1, 5),
    ("rotation=rht:3 code=tcq:9 bits=4 correction=ls", 128, 5),
    ("rotation=rht:3 code=tcq:9 bits=3 correction=unbiased", 200, 5),
    ("rotation=rht:2 code=tcq:8 bits=2 correction=norm scale=f16", 96, 5),
    ("rotation=rht:3 code=tcq:9 bits=1 correction=ls", 64, 5),
    ("rotation=none code=tcq:8 bits=3 correction=none query=f32", 37, 5),
    ("rotation=rht:2 code=polar bits=4 correction=none", 128, 5),
    ("rotation=rht:2 code=polar:4 bits=4 correction=ls", 100, 5),
    ("rotation=rht:2 code=polar:5 bits=4 correction=unbiased query=f32", 64, 5),
    ("rotation=none code=polar:6 bits=4 correction=norm scale=f16 query=s16", 33, 5),
    ("rotation=rht:2 code=lm:1.6 bits=2 correction=unbiased", 128, 5),
    ("rotation=rht:2 code=lm:2.33 bits=3 correction=ls effort=1", 100, 5),
    ("rotation=none code=lm:2.5 bits=3 correction=ls query=f32", 37, 5),
    ("rotation=rht:2 code=lm:3.5 bits=4 correction=ls", 128, 5),
    ("rotation=rht:3 code=lm:4.5 bits=5 correction=norm effort=2 scale=f16", 33, 5),
]

DIMS = [1, 2, 3, 7, 64, 80, 96, 100, 128, 200]
# rows 0..13 are safe for every scale type; the last two need a wide one
PLAIN, ALL = 14, 16

CASES = [("rotation=rht:2 bits=%d correction=ls" % b, d, "f32", ALL) for b in range(1, 9) for d in (7, 100, 128)] + [
    ("rotation=%s bits=%d correction=unbiased" % (r, b), d, "f32", ALL)
    for r, b, d in (("rht:1", 4, 64), ("rht:3", 3, 200), ("haar", 4, 64), ("haar", 2, 7), ("givens:16", 4, 96),
                    ("givens:3", 3, 7), ("none", 4, 80), ("rht:1", 1, 80), ("rht:3", 8, 96), ("haar", 5, 3))] + [
    ("bits=%d correction=%s" % (b, c), d, "f32", ALL)
    for c, b, d in (("none", 4, 128), ("none", 1, 96), ("norm", 3, 100), ("norm", 6, 80), ("unbiased", 1, 128),
                    ("unbiased", 2, 200), ("unbiased", 7, 64), ("qjl:gauss", 4, 64), ("qjl:gauss", 1, 80),
                    ("qjl:ortho", 3, 80), ("qjl:ortho", 1, 64), ("qjl:rht", 2, 100), ("qjl:rht", 1, 200),
                    ("qjl:rht", 8, 96), ("qjl:gauss", 6, 7), ("qjl:ortho", 2, 3), ("qjl:rht", 4, 1))] + [
    ("bits=%d correction=%s effort=%d" % (b, c, e), d, "f32", ALL)
    for b, c, e, d in ((1, "unbiased", 1, 100), (2, "unbiased", 1, 128), (4, "unbiased", 1, 100), (5, "ls", 1, 80),
                       (3, "ls", 2, 96), (8, "norm", 2, 64), (4, "unbiased", 2, 200), (4, "qjl:rht", 1, 64))] + [
    ("code=uniform bits=%d correction=%s" % (b, c), d, "f32", ALL)
    for b, c, d in ((1, "ls", 64), (3, "unbiased", 100), (7, "ls", 96), (8, "none", 128))] + [
    ("code=sign bits=1 correction=%s" % c, d, "f32", ALL) for c, d in (("unbiased", 128), ("none", 7), ("norm", 200))] + [
    ("bits=4 correction=unbiased center=%s query=%s" % (c, q), d, "f32", ALL)
    for c, q, d in (("data", "auto", 128), ("both", "auto", 100), ("both", "s16", 64), ("both", "f32", 80),
                    ("data", "f32", 7))] + [
    ("bits=3 correction=qjl:rht center=both scale=bf16", 96, "f32", ALL),
    ("bits=2 correction=qjl:gauss center=data query=f32", 64, "f32", ALL),
    ("bits=1 correction=qjl:ortho query=s16 scale=f16", 64, "f32", PLAIN),
    ("bits=4 correction=ls scale=bf16", 128, "f32", ALL),
    ("bits=4 correction=ls scale=f16", 80, "f32", PLAIN),
    ("bits=6 correction=unbiased query=s8", 128, "f32", ALL),
    ("bits=2 correction=ls query=f32", 200, "f32", ALL),
    ("bits=4 correction=ls", 128, "f16", ALL),
    ("bits=4 correction=ls", 100, "bf16", ALL),
    ("bits=3 correction=unbiased center=both effort=1 scale=f16", 96, "f16", PLAIN),
    ("bits=5 correction=qjl:rht center=data scale=bf16", 80, "bf16", ALL),
    ("bits=4 correction=ls seed=18446744073709551615", 128, "f32", ALL),
    ("rotation=haar bits=3 correction=unbiased seed=4294967297", 80, "f32", ALL),
    ("bits=1 correction=ls", 1, "f32", ALL), ("bits=8 correction=unbiased", 1, "f32", ALL),
    ("bits=4 correction=none", 1, "f32", ALL), ("bits=3 correction=ls", 2, "f32", ALL),
    ("rotation=haar bits=4 correction=norm", 2, "f32", ALL), ("bits=5 correction=unbiased", 3, "f32", ALL),
] + [
    ("code=tcq:%d bits=%d correction=%s" % (w, b, c), d, "f32", ALL)
    for w, b, c, d in ((9, 1, "ls", 128), (9, 2, "unbiased", 128), (9, 3, "ls", 128), (9, 4, "ls", 128),
                       (8, 1, "unbiased", 80), (8, 2, "ls", 200), (8, 3, "norm", 100), (8, 4, "none", 128),
                       (9, 3, "ls", 3), (9, 4, "ls", 7), (8, 2, "ls", 7), (9, 1, "ls", 100))] + [
    ("code=tcq:9 bits=4 correction=unbiased center=both scale=bf16", 96, "f16", ALL),
    ("code=tcq:8 bits=3 correction=ls center=data query=s16", 64, "bf16", ALL),
    ("code=tcq:9 bits=2 correction=ls query=f32 scale=f16", 200, "f32", PLAIN),
    ("rotation=haar code=tcq:9 bits=4 correction=ls seed=9", 64, "f32", ALL),
] + [
    ("code=%s correction=%s" % (p, c), d, "f32", ALL)
    for p, c, d in (("polar", "none", 128), ("polar", "ls", 100), ("polar", "norm", 1), ("polar", "unbiased", 200),
                    ("polar:4", "ls", 128), ("polar:5", "unbiased", 96), ("polar:6", "ls", 64), ("polar:5", "norm", 7))] + [
    ("code=polar:6 correction=unbiased center=both scale=bf16", 80, "f16", ALL),
    ("code=polar correction=none center=data query=s16 scale=f16", 96, "bf16", PLAIN),
    ("rotation=none code=polar:4 correction=ls query=f32", 100, "f32", ALL),
] + [
    ("code=lm:%s bits=%d correction=%s effort=%d" % (w, b, c, e), d, "f32", ALL)
    for w, b, c, e, d in (("1.6", 2, "ls", 0, 128), ("1.6", 2, "norm", 1, 7), ("2.33", 3, "unbiased", 0, 200),
                          ("2.33", 3, "none", 0, 1), ("2.5", 3, "ls", 0, 100), ("2.5", 3, "unbiased", 2, 7),
                          ("3.5", 4, "ls", 0, 128), ("3.5", 4, "unbiased", 1, 100), ("3.5", 4, "ls", 2, 96),
                          ("4.5", 5, "ls", 0, 128), ("4.5", 5, "norm", 0, 3), ("4.5", 5, "unbiased", 1, 80))] + [
    ("code=lm:3.5 bits=4 correction=unbiased center=both scale=bf16", 80, "f16", ALL),
    ("code=lm:1.6 bits=2 correction=ls center=data query=s16 scale=f16", 96, "bf16", PLAIN),
]


def vectors(d, first, n):
    return ref.normals(SEED, ROLE, 0, first * d, n * d).reshape(n, d).astype(F4)


def special_rows(d):
    """16 rows: Gaussian, large, outliers, zeros, -0, ties, tiny elements, denormals, 1e-30, 1e30, 1e36."""
    g = vectors(d, 0, 16)
    x = g.copy()
    x[4] = np.exp(g[4].astype(np.float64)).astype(F4) * F4(37)
    x[5] = 0
    x[5, d // 2] = 3
    x[6] = 1
    x[7] = 0
    x[8] = -0.0
    x[9] = np.where(g[9] > 0, F4(-0.0), g[9])
    x[10] = g[10] * F4(1e-13)
    x[10, d - 1] = 1
    x[11] = np.where(np.arange(d) % 2 == 0, F4(1e-41), F4(-3e-39))
    x[12] = g[12] * F4(1e-30)
    x[13, 0] = F4(-1000)
    x[14] = g[14] * F4(1e30)
    x[15] = F4(1e36) * np.where(g[15] > 0, F4(1), F4(-1))
    half = x.astype(np.float64)
    half[11] = np.where(np.arange(d) % 2 == 0, 6e-8, -3e-6)
    half[14] = g[14].astype(np.float64) * 1e-3
    half[15] = 65504.0 * np.sign(half[15])
    return x, half.astype(np.float16), ref.to_bf16(x)


def u4(*values):
    return struct.pack("<%dI" % len(values), *[int(v) for v in values])


def raw(array):
    data = np.ascontiguousarray(array)
    data = data.astype(data.dtype.newbyteorder("<")).tobytes()
    return data + b"\0" * (-len(data) % 4)


def golden_bin():
    out = [b"TQGOLD1\0", u4(len(DIMS), len(CASES))]
    sets = {}
    for d in DIMS:
        x = special_rows(d)
        centre, q = vectors(d, 16, 1)[0], vectors(d, 17, 3)
        q[1] = q[1] * F4(1e-20)
        sets[d] = (dict(zip(("f32", "f16", "bf16"), x)), centre, q)
        out += [u4(d, 16, 3)] + [raw(v) for v in (*x, centre, q)]
    for spec, d, dtype, rows in CASES:
        xs, centre, q = sets[d]
        c = ref.Codec(spec, d, centre)
        code = c.encode(xs[dtype][:rows], dtype)
        scores = c.score(c.query(q), code)
        decoded = [c.decode(code, t) for t in ("f32", "f16", "bf16")]
        pairs = np.zeros((0, rows), F4)
        if c.bits and c.center != "data":
            pairs = c.pairs(code[:4], code)
        for name, a in (("decoded", decoded[0]), ("scores", scores), ("pairs", pairs)):
            assert not np.any(np.isnan(a)), (name, spec, d)
        text = spec.encode()
        out += [u4(DIMS.index(d), ("f32", "f16", "bf16").index(dtype), rows, c.row_bytes,
                   ref.codebook_hash(c.book), len(pairs), len(text)), text + b"\0" * (-len(text) % 4), raw(code),
                u4(*[crc32c(row.astype("<f4").tobytes()) for row in decoded[0]]),
                u4(*[crc32c(raw(v)) for v in decoded[1:]]), raw(scores), raw(pairs)]
    return b"".join(out)


HEAD = """/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_GOLDEN_H
#define TQ_GOLDEN_H

/*
 * Golden results for the gate. Written by tests/data/make_golden.py from the numpy reference; do not edit.
 *
 * Value i of vector v is (float)normal number v * dim + i of the stream (seed 7, role 0x200, sub 0).
 * Vectors 0 .. rows-1 are encoded, decoded and scored; vectors rows .. rows+queries-1 are the queries.
 * The sums are CRC32C over the row bytes, over the decoded floats [row][dim], and over the scores
 * [query][row]; floats as their little-endian bytes.
 */

#include <stdint.h>

struct tq_golden {
	const char *spec;
	uint32_t dim, rows, queries;
	uint32_t codes_crc, decoded_crc, scores_crc;
};

static const struct tq_golden tq_goldens[] = {
"""


def golden_h():
    lines = []
    for spec, d, rows in GATE:
        x = vectors(d, 0, rows + 3)
        c = ref.Codec(spec, d)
        code = c.encode(x[:rows])
        sums = [crc32c(raw(v)[:v.nbytes]) for v in (code, c.decode(code), c.score(c.query(x[rows:]), code))]
        lines.append('\t{ "%s",\n\t  %d, %d, 3, 0x%08xu, 0x%08xu, 0x%08xu },\n' % (spec, d, rows, *sums))
    return (HEAD + "".join(lines) + "};\n\n#endif\n").encode()


def main(argv):
    files = ((os.path.join(HERE, "golden.bin"), golden_bin()),
             (os.path.join(HERE, "..", "..", "core", "golden.h"), golden_h()))
    for path, data in files:
        if argv[1:] == ["--check"]:
            with open(path, "rb") as f:
                if f.read() != data:
                    sys.exit("%s differs from what reference.py gives" % os.path.basename(path))
        else:
            with open(path, "wb") as f:
                f.write(data)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))

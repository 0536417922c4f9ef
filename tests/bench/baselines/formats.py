# SPDX-License-Identifier: Apache-2.0
"""What others quantize with, in numpy, for tables at equal bytes. Nothing here is part of the library.

Each takes rows (float, n x d) and returns what they decode to. FORMATS says what it stores per coordinate,
all scales and offsets counted, a codebook that all rows share not.
"""

import numpy as np

F2, F4 = np.float16, np.float32


def blocks(x, size):
    """Rows as blocks of @size coordinates; the last one of a row is filled with zeros."""
    n, d = x.shape
    x = np.concatenate([x, np.zeros((n, -d % size))], axis=1)
    return x.reshape(n, -1, size)


def rows(b, d):
    return b.reshape(len(b), -1)[:, :d]


def half(x):
    return x.astype(F2).astype(np.float64)


def inverse(x):
    return np.where(x == 0, 0.0, 1.0 / np.where(x == 0, 1.0, x))


def q8_0(x):
    """ggml: 32 coordinates, one fp16 scale, 8 bits."""
    b = blocks(x, 32)
    step = np.abs(b).max(axis=2, keepdims=True) / 127
    return rows(np.rint(b * inverse(step)) * half(step), x.shape[1])


def q4_0(x):
    """ggml: 32 coordinates, one fp16 scale that the largest magnitude sets, levels -8 .. 7."""
    b = blocks(x, 32)
    at = np.abs(b).argmax(axis=2)[:, :, None]
    step = np.take_along_axis(b, at, axis=2) / -8
    q = np.clip(np.floor(b * inverse(step) + 8.5), 0, 15)
    return rows((q - 8) * half(step), x.shape[1])


IQ4_NL = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], float)


def nearest(levels, x):
    return levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, x)]


def iq4_nl(x):
    """ggml, as it writes a cache: 32 coordinates, 16 unequal levels set by the largest, then one fp16 scale fitted."""
    b = blocks(x, 32)
    at = np.abs(b).argmax(axis=2)[:, :, None]
    top = np.take_along_axis(b, at, axis=2)
    q, weight = nearest(IQ4_NL, b * inverse(top) * IQ4_NL[0]), b * b
    step = (weight * q * b).sum(axis=2, keepdims=True) * inverse((weight * q * q).sum(axis=2, keepdims=True))
    return rows(nearest(IQ4_NL, b * inverse(step)) * half(step), x.shape[1])


NF4 = np.array([-1.0, -0.6961928, -0.52507305, -0.39491749, -0.28444138, -0.18477343, -0.09105004, 0.0, 0.0795803,
                0.1609302, 0.2461123, 0.33791524, 0.44070983, 0.562617, 0.72295684, 1.0])


def nf4(x):
    """QLoRA: 64 coordinates, one scale (fp16 here), 16 quantiles of the normal."""
    b = blocks(x, 64)
    top = half(np.abs(b).max(axis=2, keepdims=True))
    return rows(nearest(NF4, b * inverse(top)) * top, x.shape[1])


def min_max(x, bits, axis):
    low, high = x.min(axis=axis, keepdims=True), x.max(axis=axis, keepdims=True)
    step = half((high - low) / (2 ** bits - 1))
    return np.clip(np.rint((x - half(low)) * inverse(step)), 0, 2 ** bits - 1) * step + half(low)


def per_token(bits):
    """Whole rows, an fp16 minimum and an fp16 step each."""
    return lambda x: min_max(x, bits, 1)


def kivi_key(bits, group=32):
    """KIVI's keys: each channel over 32 rows, an fp16 minimum and an fp16 step each."""
    def code(x):
        n = len(x)
        filled = np.concatenate([x, np.repeat(x[-1:], -n % group, axis=0)])
        return min_max(filled.reshape(-1, group, x.shape[1]), bits, 1).reshape(filled.shape)[:n]
    return code


def kivi_value(bits, group=32):
    """KIVI's values: each row over 32 channels."""
    return lambda x: rows(min_max(blocks(x, group), bits, 2), x.shape[1])


def product(bits, seed=1, rounds=12):
    """Product quantization: 256 centroids per 8 / bits coordinates by k-means on the even rows, for the odd ones."""
    width = 8 // bits

    def code(x):
        rng, out = np.random.default_rng(seed), np.empty_like(x)
        for at in range(0, x.shape[1], width):
            part = x[:, at:at + width]
            train = part[::2]
            centre = train[rng.choice(len(train), 256, replace=False)]
            for _ in range(rounds):
                near = assign(train, centre)
                count = np.bincount(near, minlength=256)[:, None]
                total = np.stack([np.bincount(near, weights=c, minlength=256) for c in train.T], axis=1)
                centre = np.where(count > 0, total / np.maximum(count, 1), centre)
            out[:, at:at + width] = centre[assign(part, centre)]
        return out
    return code


def assign(x, centre):
    return np.argmin((centre * centre).sum(axis=1) - 2 * x @ centre.T, axis=1)


# name, function for keys, for values, bits per coordinate at d
FORMATS = [
    ("q8_0", q8_0, q8_0, lambda d: 8.5),
    ("q4_0", q4_0, q4_0, lambda d: 4.5),
    ("iq4_nl", iq4_nl, iq4_nl, lambda d: 4.5),
    ("NF4, blocks of 64", nf4, nf4, lambda d: 4.25),
] + [
    ("min-max per token, %d bits" % b, per_token(b), per_token(b), lambda d, b=b: b + 32 / d) for b in (2, 3, 4)
] + [
    ("KIVI, %d bits, groups of 32" % b, kivi_key(b), kivi_value(b), lambda d, b=b: b + 1.0) for b in (2, 4)
] + [
    ("PQ, %d bits" % b, product(b), product(b), lambda d, b=b: float(b)) for b in (2, 4)
]

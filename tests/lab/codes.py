# SPDX-License-Identifier: Apache-2.0
"""Tables of codes: their distortion on normal rows, beside theory and beside what others use."""

import numpy as np

from codec import density, distortion, error, lognormal, normal, optimum
from page import number, table, ticked
import formats

SCALE = 16  # bits of a row's scale
FORMATS = {name: (value, bits) for name, _, value, bits in formats.FORMATS}


@table("levels", within=.002, quick=.002)
def levels(lab):
    printed, rows, (x, f) = {1: ".36", 2: ".117", 3: ".03", 4: ".009"}, [], density(0)
    for b in range(1, lab.some(9, 4)):
        least = optimum(b)
        own = distortion(lab.levels("rotation=none bits=%d" % b, 65536), x, f)
        rows.append([str(b), number(least, 5), number(4 ** b * least, 5), number(own, 5), "%.2f %%" % (100 * own / least - 100),
                     printed.get(b, "")])
    return ["bits", "`D_b`, unit normal", "`4^b D_b` (Shannon: 1)", "levels on the grid", "cost of the grid",
            "printed in the TurboQuant paper"], rows


@table("trellis", within=.01, quick=.03)
def trellis(lab):
    x, rows = normal(lab.some(256, 32), 2048), []
    for b in lab.some((1, 2, 3, 4), (2, )):
        got = {c: error(x, lab.through("rotation=none correction=none code=%s bits=%d" % (c, b), x))
               for c in ("tcq:8", "tcq:9", "lm")}
        rows.append([str(b)] + [number(v) for v in got.values()] +
                    [number(4.0 ** -b), "%.2f" % (np.log2(got["lm"] / got["tcq:9"]) / 2)])
    return ["bits", "`tcq:8`", "`tcq:9`", "`lm`", "Shannon", "bits that `tcq:9` is worth"], rows


@table("polar", within=.01, quick=.03)
def polar(lab):
    d, ways, rows = 1024, ("none", "norm", "ls", "unbiased"), []
    x = normal(lab.some(2000, 100), d)
    for code in lab.some(("polar", "polar:4", "polar:5", "polar:6"), ("polar:4", )):
        spec = "rotation=rht:2 code=%s correction=" % code
        rows.append([ticked(code), "%.4g" % (8 * (lab.bytes(spec + "ls", d) - 4) / d)] +
                    [number(error(x, lab.through(spec + way, x))) for way in ways])
    lm = [[error(x, lab.through("bits=%d correction=%s" % (b, way), x)) for way in ways] for b in (3, 4)]
    for bits in lab.some((3.125, 3.875), ()):
        rows.append(["`lm`, on the line between 3 and 4 bits (log error)", "%.4g" % bits] +
                    [number(a ** (4 - bits) * b ** (bits - 3)) for a, b in zip(*lm)])
    return ["code", "bits"] + [ticked(way) for way in ways], rows


@table("sphere", within=.01, quick=.02)
def sphere(lab):
    rows = []
    for d in lab.some((64, 96, 128, 256, 1536), (96, )):
        x = normal(lab.some(2560000, 200000) // d, d)
        rows.append([str(d)] + ["%s / %s" % (number(optimum(b, d)), number(error(x, lab.through(
            "bits=%d correction=none" % b, x)))) for b in (1, 2, 3, 4)])
    return ["d"] + ["%d bit%s" % (b, "s" if b > 1 else "") for b in (1, 2, 3, 4)], rows


@table("fractions", within=.01, quick=.03)
def fractions(lab):
    """Beside a mix of the whole widths at the same rate, whose error is on the straight line between theirs."""
    x, whole, rows = normal(lab.some(2000, 100), 960), [1.0] + [optimum(b) for b in range(1, 6)], []
    for text in lab.some(("1.6", "2.33", "2.5", "3.5", "4.5"), ("2.5", )):
        bits = 7 / 3 if text == "2.33" else float(text)
        low, part = int(bits), bits - int(bits)
        rows.append(["`bits=%s`" % text, number(error(x, lab.through("bits=%s correction=none" % text, x))),
                     number((1 - part) * whole[low] + part * whole[low + 1]), number(4 ** -bits)])
    return ["spec", "error", "mix of two whole widths", "Shannon"], rows


@table("effort", within=.01, quick=.03)
def effort(lab):
    x, rows = lognormal(lab.some(10000, 1000), 128), []
    for b in lab.some((1, 2, 3, 4, 5, 6), (3, )):
        rows.append([str(b)] + [number(error(x, lab.through("bits=%d effort=%d seed=3" % (b, e), x))) for e in (0, 1, 2)])
    return ["bits", "`effort=0`", "`effort=1`", "`effort=2`"], rows


def entropy_coded(bits):
    """Equal steps whose indices have an entropy of @bits: their distortion of the unit normal."""
    x, f = density(0)
    f, low, high = f / f.sum(), 1e-3, 4.0
    for _ in range(40):
        step = (low + high) / 2
        cell = np.rint(x / step).astype(int)
        mass = np.bincount(cell - cell[0], weights=f)
        mean = np.bincount(cell - cell[0], weights=f * x) / np.maximum(mass, 1e-300)
        entropy = -(mass * np.log2(np.maximum(mass, 1e-300))).sum()
        low, high = (step, high) if entropy > bits else (low, step)
    return float((f * (x - mean[cell - cell[0]]) ** 2).sum())


def series(lab):
    """Name, bits of a coordinate at d = 128 with everything that a row stores, function of rows."""
    d, found = 128, []

    def own(name, spec):
        spec += " scale=f16"
        found.append((name, lab.bytes(spec, d) * 8 / d, lambda x: lab.through(spec, x)))
    for b in range(1, 9):
        own(ticked("code=lm"), "bits=%d" % b)
    for b in ("1.6", "2.33", "2.5", "3.5", "4.5"):
        own("fractions of a bit", "bits=" + b)
    for b in range(1, 7):
        own(ticked("code=lm effort=1"), "bits=%d effort=1" % b)
    for b in range(1, 7):
        own(ticked("code=uniform"), "code=uniform bits=%d" % b)
    for code in ("tcq:8", "tcq:9"):
        for b in (1, 2, 3, 4):
            own(ticked("code=" + code), "code=%s bits=%d" % (code, b))
    for code in ("polar:4", "polar:5", "polar:6", "polar"):
        own("`code=polar`, radii of 4, 5, 6, 16 bits", "rotation=rht:2 code=" + code)
    for b in (1, 2, 3, 4, 5):
        own(ticked("correction=qjl:gauss"), "bits=%d correction=qjl:gauss" % b)
    for b in (2, 3, 4):
        found.append(("equal steps, entropy coded (not offered)", b + SCALE / d, b))
    for name, what in (("q4_0", "q4_0"), ("iq4_nl", "iq4_nl"), ("NF4, blocks of 64", "NF4"), ("q8_0", "q8_0")) + tuple(
            ("min-max per token, %d bits" % b, "min-max per token") for b in (2, 3, 4)) + tuple(
            ("KIVI, %d bits, groups of 32" % b, "KIVI, groups of 32") for b in (2, 4)) + tuple(
            ("PQ, %d bits" % b, "PQ") for b in (2, 4)):
        value, bits = FORMATS[name]
        found.append((what, bits(d), value))
    return found


@table("distortion", keys=2, within=.02, quick=.06, slow=True)
def distortions(lab):
    x, rows = normal(4000, 128), []
    for name, bits, code in series(lab):
        # PQ learns from even rows and is judged by odd ones
        got = entropy_coded(code) if isinstance(code, int) else error(x[1::2], code(x)[1::2])
        rows.append([name, "%.4g" % bits, number(got), number(4 ** bits * got)])
    return ["code", "bits, all counted", "vNMSE", "times `4^bits` (Shannon: 1)"], rows

# SPDX-License-Identifier: Apache-2.0
"""The table of systems: what each is as a spec, what its authors say, what comes out here."""

import numpy as np

import given
from codec import error, load, moments, normal
from page import number, table
from real import D, FORMATS, found, halves, measure, own


def rows_of(lab, spec, bits, which=0):
    """Errors (0), slopes (1) or variances (2) at these bits, d = 128."""
    x = normal(lab.some(16000, 2000), 128)
    return " ".join(number(moments(x, lab.through(spec + (" bits=%d" % b if b else ""), x))[which]) for b in bits)


def errors(lab, spec, bits=(1, 2, 3, 4)):
    return "vNMSE " + rows_of(lab, spec, bits)


def variances(lab, spec, bits=(1, 2, 3, 4)):
    return "variance " + rows_of(lab, spec, bits, 2)


def baseline(lab, name):
    key, value = FORMATS[name][:2]
    x = normal(lab.some(4000, 1000), 128)
    return "normal rows %s; keys: KL %s" % (number(error(x, value(x))), number(measure(lab, key, value)[2]))


def of_keys(lab, way):
    bits, key, value = way
    got = measure(lab, key, value)
    return "%.4g bits, d = %d: keys %s, KL %s" % (bits, D, number(got[0]), number(got[2]))


def turn(lab, way, centred=False):
    if not hasattr(lab, "given"):
        lab.given = [given.table(lab.library, c, 4) for c in (False, True)]
    got, plain = lab.given[centred][way], lab.given[centred]["rht:2"]
    return "keys %s, scores %s, KL %s; `rht:2` %s, %s, %s" % tuple(map(number, list(got) + list(plain)))


def recall(lab, spec):
    x, q = load("minilm-base.npy"), load("minilm-query.npy")
    got = [found(lab.score(spec + " bits=%d query=s16" % b, x, q, x.mean(axis=0).astype(np.float32)), q @ x.T) for b in (1, 2, 4)]
    return "recall 10@10 of 4,096 sentences at 1, 2, 4 bits " + " ".join("%.3f" % v for v in got)


# system, spec, what its paper says, what is measured (a function of the lab), misprints and definitions, what it rests on
SYSTEMS = [
    ("TurboQuant_mse (2504.19874)", "`preset=turboquant_mse`", "distortion .36 .117 .03 .009 at 1 to 4 bits",
     lambda lab: errors(lab, "preset=turboquant_mse"),
     "the printed .03 and .009 are truncated: no scalar code of 3 and 4 bits reaches them", "DRIVE, EDEN; Lloyd and Max"),
    ("TurboQuant_prod", "`preset=turboquant_prod`", "unbiased; variance falls as the distortion of one bit less",
     lambda lab: "slope %s; %s" % (rows_of(lab, "preset=turboquant_prod", (2, 4), 1), variances(lab, "preset=turboquant_prod")),
     "the claim holds; `unbiased` has the least variance from two bits on: *Correction*", "QJL; DRIVE and EDEN for the unbiased scale"),
    ("TurboQuant at 2.5 bits", "`bits=3` on a quarter of the channels, `bits=2` on the rest: `tq/split.h`, `split=` in caches", "2.5 bits",
     lambda lab: of_keys(lab, halves(lab, (3, 2))),
     "(32 * 3 + 96 * 2) / 128 is 2.25; with two 16-bit scales 2.5 at d = 128. Released code: the levels of the whole "
     "dimension in both groups, 3.9 to 7 times worse in the smaller", "outlier channels apart, as in LLM.int8() (2208.07339)"),
    ("TurboQuant at 3.5 bits", "`bits=4` and `bits=3` likewise", "3.5 bits, as good as 16",
     lambda lab: of_keys(lab, halves(lab, (4, 3))), "numbers of channels not given; a quarter makes 3.25 and two scales", ""),
    ("QJL (2406.03482)", "`preset=qjl`", "variance at most pi/2 at one bit a coordinate",
     lambda lab: variances(lab, "preset=qjl", (0, )), "", "random-hyperplane hashing (Charikar 2002) with the norm kept"),
    ("DRIVE (2105.08339)", "`preset=drive`", "vNMSE pi/2 - 1 = .571 with the unbiased scale",
     lambda lab: errors(lab, "preset=drive", (0, )),
     "two rounds of rotation here for its one: with one, rows of few elements are biased", "sign codes under a random rotation"),
    ("EDEN, biased (2108.08842)", "`preset=eden_biased`", "`D_b`", lambda lab: errors(lab, "preset=eden_biased"), "", "DRIVE; Lloyd and Max"),
    ("EDEN, unbiased", "`preset=eden_unbiased`", "`D_b / (1 - D_b)`", lambda lab: errors(lab, "preset=eden_unbiased"), "", "DRIVE"),
    ("RaBitQ (2405.12497)", "`preset=rabitq`", "unbiased, error O(1/sqrt d)",
     lambda lab: variances(lab, "preset=rabitq center=off", (0, )) + "; " + recall(lab, "correction=unbiased center=both"), "",
     "the same estimate as DRIVE's unbiased scale; centroids"),
    ("extended RaBitQ (2409.09913)", "`correction=unbiased effort=1 center=both`", "best per-row scaling of the grid",
     lambda lab: recall(lab, "correction=unbiased effort=1 center=both"),
     "`effort` tries a fixed set of multipliers, the paper all breakpoints", "RaBitQ"),
    ("QTIP (2406.11235)", "`code=tcq`", "normal error .069 at 2 bits with 2^16 states",
     lambda lab: errors(lab, "code=tcq"), "2^9 states, no side bits: a table fits the registers of a CPU",
     "Marcellin and Fischer (1990): trellis-coded quantization"),
    ("Hadamard caches in the manner of llama.cpp", "`rotation=rht:1 correction=norm`", "",
     lambda lab: errors(lab, "rotation=rht:1 correction=norm"), "one round: see *Rotation* for what it does to outliers", "QuIP#, QuaRot"),
    ("KIVI (2402.02750)", "baseline", "2 bits: \"tuning-free\", accuracy nearly kept", lambda lab: baseline(lab, "KIVI, 2 bits, groups of 32"),
     "2 bits are 3 with the scale and the minimum of groups of 32", "per-channel min-max"),
    ("q4_0 (ggml)", "baseline", "", lambda lab: baseline(lab, "q4_0"), "4.5 bits", "block formats"),
    ("iq4_nl (ggml)", "baseline", "", lambda lab: baseline(lab, "iq4_nl"), "4.5 bits", "NF4-like levels in blocks"),
    ("NF4 (QLoRA, 2305.14314)", "baseline", "optimal for normal weights", lambda lab: baseline(lab, "NF4, blocks of 64"),
     "equal probabilities, not least error: Lloyd-Max has less", "quantile quantization"),
    ("q8_0 (ggml)", "baseline", "", lambda lab: baseline(lab, "q8_0"), "8.5 bits", ""),
    ("product quantization", "baseline", "", lambda lab: baseline(lab, "PQ, 4 bits"), "the codebooks are not counted", "Jegou et al. 2011"),
    ("MLA latents (2405.04434)", "`tq/kv.h`, value size 512, 64 raw", "93 % smaller caches before any quantization",
     lambda lab: "%d bytes a token at 4 bits, bf16 has %d" % (lab.bytes("bits=4 scale=bf16", 512) + 128, 2 * 576), "", ""),
    ("PolarQuant (2502.02617)", "`preset=polarquant`", "3.875 bits, 4.2 times smaller than 16 bits, no scale to store",
     lambda lab: errors(lab, "preset=polarquant", (0, )), "16 bits of radius carry next to nothing: `polar:4` has the same at 3.125",
     "polar quantization of pairs (Pearlman 1979)"),
    ("ParoQuant (2511.10645)", "`rotation=given:SUM`, layers of pairs", "accuracy of models with 4-bit weights",
     lambda lab: turn(lab, "4 chosen layers"), "pairs chosen without training", "Givens rotations; SpinQuant"),
    ("SmoothQuant (2211.10438)", "`rotation=given:SUM` with scales", "8-bit weights and activations without loss",
     lambda lab: turn(lab, "scales, rht:2", True), "exponent one half is the optimum for inner products", ""),
    ("SpinQuant (2405.16406), learned matrices", "`rotation=given:SUM` with a matrix", "accuracy of models",
     lambda lab: "bytes of `haar` for `haar`'s matrix (`tests/unit/test_given.c`)", "", "QuIP, QuaRot"),
    ("plane, rotor and quaternion rotations of blocks", "`rotation=blocks:K` (plugin)", "",
     lambda lab: turn(lab, "blocks:4"), "an outlier stays in its block: not for use", "block-diagonal rotations"),
]
QUICK = ("EDEN, biased (2108.08842)", "MLA latents (2405.04434)")


@table("systems", keys=1, within=.06, quick=.06)
def systems(lab):
    return (["system", "spec", "its paper", "measured here", "misprint or definition", "rests on"],
            [[name, spec, claim, measured(lab), note, prior] for name, spec, claim, measured, note, prior in SYSTEMS
             if not lab.quick or name in QUICK])

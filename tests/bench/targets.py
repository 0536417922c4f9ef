# SPDX-License-Identifier: Apache-2.0
"""What the CPU backends are meant to reach, as formulas over the results."""

PLAIN = "bits={} correction=ls"


def score(res, plugin, bits=4, dim=128, queries=1, place="memory"):
    return res.one("score", driver=plugin, bits=bits, dim=dim, queries=queries, place=place)


def codec(res, what, plugin, dim=128, bits=4, dtype="f32"):
    return res.one(what, driver=plugin, dim=dim, bits=bits, dtype=dtype, spec=PLAIN.format(bits))


def ratio(a, b):
    return a / b if a and b else None


def get(row, key):
    return row[key] if row else None


def score_targets(res, p):
    one = score(res, p)
    yield ("score 4 bits d=128, one query, against an fp16 dot product", ">=", 3.0,
           one and ratio(one["fp16_ns"], one["ns"]), "x")
    yield ("score 4 bits d=128, one query: share of the speed of reading the code bytes", ">=", 85.0,
           one and 100 * ratio(one["stream_ns"], one["ns"]), "%")
    yield ("8 grouped queries: time per query against one query", "<=", 0.333,
           ratio(get(score(res, p, queries=8), "ns"), get(one, "ns")), "x")
    yield ("2 bits against 4 bits, rows per second", ">=", 1.6,
           ratio(get(one, "ns"), get(score(res, p, bits=2), "ns")), "x")
    yield ("1 bit against 4 bits, rows per second", ">=", 2.5,
           ratio(get(one, "ns"), get(score(res, p, bits=1), "ns")), "x")
    for dim in (768, 1536):
        rows = [res.one("batch", driver=p, bits=4, dim=dim, queries=q) for q in (1, 64)]
        yield (f"batch of 64, 4 bits, d={dim}, 100,000 rows: rows x queries per second against one query",
               ">=", 3.0, ratio(get(rows[0], "ns"), get(rows[1], "ns")), "x")


def codec_targets(res, p):
    for dim in (128, 1536):
        row = codec(res, "encode", p, dim)
        yield (f"encode 4 bits rht:2 d={dim}, f32: ns per coordinate", "<=", 0.8, row and row["ns"] / dim, "ns")
        yield (f"encode d={dim}: share of a memcpy of the input", ">=", 25.0,
               row and 100 * ratio(row["copy_ns"], row["ns"]), "%")
        yield (f"decode against encode, d={dim}: speed", ">=", 1.0,
               ratio(get(row, "ns"), get(codec(res, "decode", p, dim), "ns")), "x")
        yield (f"encode d={dim}: avx2's rate against avx512's", ">=", 0.6,
               ratio(get(codec(res, "encode", "avx512", dim), "ns"), get(codec(res, "encode", "avx2", dim), "ns")),
               "x")


def per_coordinate(row):
    return row["ns"] / row["dim"] if row else None


def shape_targets(res, p):
    for dim, near in ((96, 128), (768, 1024), (1536, 1024)):
        yield (f"score 4 bits d={dim}: rate per coordinate against d={near}", ">=", 0.75,
               ratio(per_coordinate(score(res, p, dim=near)), per_coordinate(score(res, p, dim=dim))), "x")
        yield (f"encode 4 bits d={dim}: rate per coordinate against d={near}", ">=", 0.75,
               ratio(per_coordinate(codec(res, "encode", p, near)), per_coordinate(codec(res, "encode", p, dim))),
               "x")


def scalar_targets(res):
    row = codec(res, "encode", "avx2")
    yield ("avx2 against scalar, encode 4 bits d=128", ">=", 8.0, row and ratio(row["scalar_ns"], row["ns"]), "x")
    row = score(res, "avx2")
    yield ("avx2 against scalar, score 4 bits d=128", ">=", 10.0, row and ratio(row["scalar_ns"], row["ns"]), "x")


#: names of FAISS's quantizers begin with this
FAISS = "FAISS"


#: scores of rows as they are stored, and the search of an index, which keeps them in blocks
OWN = ("libtq", "libtq index")


def peer_pairs(res):
    """(data, bits, key of the figure, what it is, goal, libtq, the fastest of the peers it is held against)."""
    def fast(r):
        return r["method"].startswith(FAISS)

    def turbo(r):
        return r["method"] == "turbovec"
    for data in ("glove100", "lsa512", "synthetic1536"):
        for bits, single, batch in ((4, 2.0, 2.0), (3, 2.0, 2.0), (2, 1.0, 1.5), (1, 2.0, 2.0)):
            rows = res.pick("peer", data=data, bits=bits, threads=1)
            ours = [r for r in rows if r["method"] in OWN]
            for key, goal, text in (("single_ns", single, "one query"), ("batch_ns", batch, "batch of 64")):
                for of, goal_of in ((fast, goal), (turbo, 1.1)):
                    others = [r for r in rows if of(r)]
                    if ours and others:
                        def time(r, k=key):
                            return r[k]
                        yield data, bits, key, text, goal_of, min(ours, key=time), min(others, key=time)


def peer_text(data, bits, text, own, best):
    """libtq's rate against a peer's, unless the peer finds more than libtq."""
    more = "" if own["recall"] >= best["recall"] - 0.002 else f", which finds more: {best['recall']:.3f}"
    return (f"{data}, {bits} bits, {text}: {own['method']}'s rate against {best['method']}{more} "
            f"(recall {own['recall']:.3f})")


def peer_targets(res):
    for data, bits, key, text, goal, own, best in peer_pairs(res):
        yield ("libtq", peer_text(data, bits, text, own, best), ">=", goal, best[key] / own[key], "x")


#: why a peer is faster, by the bits and by whether queries come alone
ALONE = {
    4: "the peer adds rounded tables of bytes, libtq multiplies every level exactly: a multiplication for four "
       "dimensions of 16 rows against a look-up for two of 32",
    3: "a third field per code has to be joined before the look-up; the peer's codes are 4 bits of 4/3 dimensions",
    2: "the peer looks up two dimensions at once in a rounded table of bytes, libtq multiplies each level exactly",
    1: "the peer looks up four dimensions at once in a rounded table of bytes; exact sums of four take two look-ups "
       "or, from 129 dimensions on, a product per bit",
}
TOGETHER = ("decoding 16 rows and ending each score stay beside the products, and are paid again every 64 queries; the "
            "peer adds bytes of rounded tables")


def at_memory_speed(res, own):
    """Why a peer cannot be left behind: the codes come as fast as the core reads memory. None if they do not."""
    reads = res.one("stream", driver="read", place="memory")
    if not reads:
        return None
    most, speed = reads["row_bytes"] / reads["ns"], own["row_bytes"] / own["single_ns"]
    if not .8 * most <= speed <= 1.2 * most:
        return None
    return (f"the codes are read from memory at {speed:.1f} GB/s, of {most:.1f} that this core reads: nothing is left "
            "to gain at these bytes")


def why_lost(res, bits, key, own):
    if key != "single_ns":
        return TOGETHER
    return at_memory_speed(res, own) or ALONE[bits]


def peer_losses(res):
    """(what, how many times the peer's rate, target, why) of each target that was missed."""
    for data, bits, key, text, goal, own, best in peer_pairs(res):
        if best[key] < goal * own[key]:
            yield peer_text(data, bits, text, own, best), best[key] / own[key], goal, why_lost(res, bits, key, own)


def all_targets(res):
    """(plugin, text, relation, target, measured or None, unit)"""
    for part in (score_targets, codec_targets, shape_targets):
        for target in part(res, "avx512"):
            yield ("avx512", *target)
    for target in scalar_targets(res):
        yield ("avx2", *target)
    yield from peer_targets(res)


def verdict(relation, target, measured):
    if measured is None:
        return "not measured"
    met = measured >= target if relation == ">=" else measured <= target
    return "met" if met else "**missed**"

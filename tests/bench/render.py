#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Put the tables of a benchmark run into a document, and the figures of the pictures beside it.

    render.py JSON-FOLDER docs/BENCHMARKS.md

What stands between "<!-- table NAME -->" and "<!-- end -->" is replaced where the folder has the results
for NAME, and left alone where it has not; so are the rows of programs that did not run in the tables of machines and
targets, which have rows of all. The pictures' data go to bench/*.csv beside the document.
"""
import os
import re
import sys

import targets
from results import Results

TABLES = {}
OTHERS = ("llm", "llm-short")  # tests/llm/llm.py --render writes these


def table(name):
    def keep(function):
        TABLES[name] = function
        return function
    return keep


def markdown(head, rows):
    if not rows:
        return None
    lines = ["| " + " | ".join(map(str, head)) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines)


def num(value, digits=2):
    return "-" if value is None else f"{value:.{digits}f}"


def short(value):
    """Three significant digits."""
    return "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def cells(line):
    return [c.strip() for c in line.strip().strip("|").split("|")]


def of_target(row):
    """The program that a row of the table of targets is from."""
    return "peers" if row[0] == "libtq" else "encode" if "encode" in row[1] else "score"


#: tables with rows of several programs -> (columns that name a row, its program)
SHARED = {"machine": (1, lambda row: row[0]), "targets": (2, of_target)}


def with_rows_left(name, old, new, ran):
    """The table @new, with the rows that @old has of programs that are not among @ran."""
    columns, program = SHARED[name]
    left = {tuple(cells(line)[:columns]): line for line in old.splitlines()[2:] if program(cells(line)) not in ran}
    lines = new.splitlines()
    lines = lines[:2] + [left.pop(tuple(cells(line)[:columns]), line) for line in lines[2:]]
    return "\n".join(lines + list(left.values()))


@table("machine")
def machine(res):
    rows = []
    for program, data in res.files.items():
        m = data["machine"]
        rows.append([program, m["cpu"], m["cores"], f"{m['l2_kb']} / {m['l3_kb']} KB", m["compiler"],
                     data["date"], "quick" if data["quick"] else "full"])
    return markdown(["program", "CPU as reported", "cores", "L2 / L3", "compiler", "date", "run"], rows)


@table("targets")
def target_table(res):
    rows = [[plugin, text, f"{'at least' if rel == '>=' else 'at most'} {short(goal)} {unit}",
             f"{short(measured)} {unit}" if measured is not None else "-", targets.verdict(rel, goal, measured)]
            for plugin, text, rel, goal, measured, unit in targets.all_targets(res)]
    return markdown(["plugin", "what", "target", "measured", "verdict"], rows)


@table("stream")
def stream(res):
    rows = [[r["driver"], f"{r['rows'] * r['row_bytes'] / 1024:.0f} KB", num(r["row_bytes"] / r["ns"], 1)]
            for r in res.pick("stream")]
    return markdown(["what", "data", "GB/s"], rows)


def matrix(res, name, cell, **keys):
    """Dimensions down, bits across, a block per plugin."""
    out = []
    for plugin in res.plugins(name):
        dims = res.values(name, "dim", driver=plugin, **keys)
        bits = res.values(name, "bits", driver=plugin, **keys)
        rows = []
        for dim in dims:
            found = [res.one(name, driver=plugin, dim=dim, bits=b, **keys) for b in bits]
            rows.append([dim] + [cell(r) if r else "-" for r in found])
        text = markdown([f"{plugin}, d"] + [f"{b} bit{'s' if b > 1 else ''}" for b in bits], rows)
        if text:
            out.append(text)
    return "\n\n".join(out) or None


def percent(a, b):
    return f"{100 * a / b:.0f} %" if a and b else "-"


def speed(r):
    return f"{short(r['ns'])} ({percent(r['stream_ns'], r['ns'])})"


@table("score-memory")
def score_memory(res):
    return matrix(res, "score", speed, queries=1, place="memory")


@table("score-cache")
def score_cache(res):
    return matrix(res, "score", lambda r: short(r["ns"]), queries=1, place="cache")


@table("score-fp16")
def score_fp16(res):
    return matrix(res, "score", lambda r: f"{num(r['fp16_ns'] / r['ns'], 1)} x", queries=1, place="memory")


@table("score-scalar")
def score_scalar(res):
    return matrix(res, "score", lambda r: f"{r['scalar_ns'] / r['ns']:.0f} x", queries=1, place="memory")


@table("score-grouped")
def score_grouped(res):
    def cell(r):
        one = res.one("score", driver=r["driver"], dim=r["dim"], bits=r["bits"], queries=1, place="memory")
        return f"{short(r['ns'])} ({num(r['ns'] / one['ns'])})"
    return matrix(res, "score", cell, queries=8, place="memory")


@table("batch")
def batch(res):
    def cell(r):
        one = res.one("batch", driver=r["driver"], dim=r["dim"], bits=r["bits"], queries=1)
        return f"{short(r['ns'])} ({num(one['ns'] / r['ns'], 1)} x)"
    return matrix(res, "batch", cell, queries=64)


def codec(res, name):
    out = []
    for plugin in res.plugins(name):
        rows = [r for r in res.pick(name, driver=plugin, dtype="f32") if r["spec"].count("=") == 2
                and "correction=ls" in r["spec"]]
        bits = sorted({r["bits"] for r in rows})
        lines = []
        for dim in sorted({r["dim"] for r in rows}):
            at = {r["bits"]: r for r in rows if r["dim"] == dim}
            half = res.one(name, driver=plugin, dim=dim, dtype="bf16")
            lines.append([dim] + [f"{num(at[b]['ns'] / dim)} ({percent(at[b]['copy_ns'], at[b]['ns'])})"
                                  for b in bits] + [num(half["ns"] / dim) if half else "-"])
        out.append(markdown([f"{plugin}, d"] + [f"{b} bits" for b in bits] + ["4 bits, bf16"], lines))
    return "\n\n".join(t for t in out if t) or None


@table("encode")
def encode(res):
    return codec(res, "encode")


@table("decode")
def decode(res):
    return codec(res, "decode")


@table("specs")
def specs(res):
    rows = []
    for r in res.pick("encode", dtype="f32"):
        if r["driver"] != "scalar" and (r["spec"].count("=") > 2 or "correction=ls" not in r["spec"]):
            rows.append([f"`{r['spec']}`", r["dim"], r["driver"], num(r["ns"] / r["dim"]),
                         percent(r["copy_ns"], r["ns"]), f"{r['scalar_ns'] / r['ns']:.1f} x"])
    return markdown(["spec", "d", "plugin", "encode, ns per coordinate", "of a memcpy", "against scalar"], rows)


def growth(res, name, key, base="stream_ns", unit="rows"):
    rows = []
    for plugin in res.plugins(name):
        for r in sorted(res.pick(name, driver=plugin), key=lambda r: (r["dim"], r["bits"], r[key])):
            per_read = r[base] / r["queries"] if base == "stream_ns" else r[base]
            rows.append([plugin, r["dim"], r["bits"], f"{r[key]:,}", short(r["ns"]), num(1e3 / r["ns"], 1),
                         percent(per_read, r["ns"])])
    against = "of reading the codes" if base == "stream_ns" else "of a memcpy"
    return markdown(["plugin", "d", "bits", key, "ns per row" + (" and query" if unit != "rows" else ""),
                     "million per second", against], rows)


@table("growth-rows")
def growth_rows(res):
    return growth(res, "rows", "rows")


@table("growth-dims")
def growth_dims(res):
    return growth(res, "dims", "dim")


@table("growth-bits")
def growth_bits(res):
    return growth(res, "bits", "bits")


@table("growth-queries")
def growth_queries(res):
    return growth(res, "queries", "queries", unit="queries")


@table("growth-threads")
def growth_threads(res):
    parts = [growth(res, "threads", "threads"), growth(res, "threads-batch", "threads", unit="queries"),
             growth(res, "threads-encode", "threads", base="copy_ns")]
    titles = ["One query:", "Batch of 64:", "Encode:"]
    return "\n\n".join(f"{t}\n\n{p}" for t, p in zip(titles, parts) if p) or None


@table("attend")
def attend(res):
    rows = []
    for plugin in res.plugins("attend"):
        for r in sorted(res.pick("attend", driver=plugin), key=lambda r: -r["bits"]):
            rows.append([plugin, r["bits"], short(r["ns"]), percent(r["stream_ns"] / r["queries"], r["ns"]),
                         f"{r['fp16_ns'] / r['ns']:.2f} x", f"{r['fp32_ns'] / r['ns']:.2f} x" if r["fp32_ns"] else "-"])
    return markdown(["plugin", "bits", "ns per token and query head", "of reading the codes",
                     "times faster than an fp16 cache", "than decoding first"], rows)


PEER_DATA = {"glove100": "GloVe, 100,000 x 100", "lsa512": "LSA, 12,000 x 512",
             "synthetic1536": "synthetic, 100,000 x 1536"}


def peer_rows(res, data, bits, threads):
    """Lines of one table: libtq first, then the peers, fastest first, and how many times libtq is faster."""
    rows = res.pick("peer", data=data, bits=bits, threads=threads)
    own = next((r for r in rows if r["method"] == "libtq"), None)
    lines = []
    for r in sorted(rows, key=lambda r: (r is not own, r["single_ns"])):
        def cell(key):
            return short(r[key]) + (f" ({num(r[key] / own[key], 2)} x)" if own and r is not own else "")
        lines.append([bits, f"**{r['method']}**" if r is own else r["method"], r["row_bytes"] or "?",
                      num(r["recall"], 3), cell("single_ns"), cell("batch_ns"),
                      f"{r['encode_ns'] / 1e3:.1f}" if r["encode_ns"] else "-", r["note"]])
    return lines


@table("peers")
def peers(res):
    out = []
    for data, title in PEER_DATA.items():
        for threads in res.values("peer", "threads", data=data):
            lines = []
            for bits in (4, 3, 2, 1):
                lines += peer_rows(res, data, bits, threads)
            rows = {r["rows"] for r in res.pick("peer", data=data)}
            text = markdown(["bits", "method", "bytes", "recall 10@10", "one query, ns per row",
                             "batch, ns per row and query", "encode, us per row", ""], lines)
            if text:
                note = "" if rows == {100000} or data == "lsa512" else f" (first {rows.pop():,} rows)"
                out.append(f"**{title}**{note}, {threads} thread{'s' if threads > 1 else ''}\n\n{text}")
    return "\n\n".join(out) or None


@table("peer-losses")
def peer_losses(res):
    if "peers" not in res.files:
        return None
    rows = [[what, f"{num(measured, 2)} x", f"{num(goal, 2)} x", why]
            for what, measured, goal, why in targets.peer_losses(res)]
    return rows and markdown(["what", "measured", "target", "why"], rows)


@table("peer-versions")
def peer_versions(res):
    found = res.files.get("peers", {}).get("versions")
    return found and "Versions: " + ", ".join(f"{k} {v}" for k, v in found.items()) + "."


#: picture -> (name of the results, key of the x axis)
PICTURES = {"rows": "rows", "dims": "dim", "bits": "bits", "queries": "queries", "threads": "threads"}


def write_pictures(res, folder):
    """One CSV per picture: a block per plugin (and dimension), separated by blank lines."""
    for name, key in PICTURES.items():
        if not res.pick(name):
            continue
        os.makedirs(folder, exist_ok=True)
        series = sorted({(r["driver"], 0 if key == "dim" else r["dim"]) for r in res.pick(name)})
        with open(os.path.join(folder, name + ".csv"), "w", encoding="utf-8") as f:
            f.write(f"# {key},ns per row and query,ns to read the same bytes\n")
            for driver, dim in series:
                f.write(f"{driver}{f' d={dim}' if dim else ''}\n")
                keys = {"driver": driver} | ({"dim": dim} if dim else {})
                for r in sorted(res.pick(name, **keys), key=lambda r: r[key]):
                    f.write(f"{r[key]},{r['ns']:.4g},{r['stream_ns'] / r['queries']:.4g}\n")
                f.write("\n\n")


def main(folder, document):
    res = Results(folder)
    with open(document, encoding="utf-8") as f:
        text = f.read()

    def fill(match):
        if match[2] in OTHERS:
            return match[0]
        if match[2] not in TABLES:
            raise SystemExit(f"{document}: no table is called {match[2]}")
        new = TABLES[match[2]](res)
        if new and match[2] in SHARED:
            new = with_rows_left(match[2], match[3], new, res.files)
        return match[0] if new is None else f"{match[1]}\n{new}\n{match[4]}"
    text = re.sub(r"(<!-- table ([\w-]+) -->)\n(.*?)(<!-- end -->)", fill, text, flags=re.S)
    with open(document, "w", encoding="utf-8") as f:
        f.write(text)
    write_pictures(res, os.path.join(os.path.dirname(document), "bench"))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])

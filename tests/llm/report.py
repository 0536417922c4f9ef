# SPDX-License-Identifier: Apache-2.0
"""The table and the picture of llm.py."""
import math
import os
import re

HEAD = ["cache", "bits a value", "perplexity", "mean KLD", "x q4_0 + Hadamard's", "99.9 % KLD", "same top token"]
BASE = "q4_0 + Hadamard"


def line(r):
    return (f"{r['name']:30s} {r['bits']:6.3f} bits  ppl {r['perplexity']:.4f}  kld {r['kld']:.6f}  "
            f"99.9 % {r['kld999']:.4f}  top {r['same_top']:.4f}")


def markdown(facts, rows):
    base = next((r["kld"] for r in rows if r["name"] == BASE), None)
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    for r in rows:
        ratio = f"{r['kld'] / base:.2f}" if base and r["kld"] else "-"
        lines.append("| " + " | ".join([r["name"], f"{r['bits']:.2f}", f"{r['perplexity']:.3f}", f"{r['kld']:.5f}", ratio,
                                        f"{r['kld999']:.4f}", f"{100 * r['same_top']:.1f} %"]) + " |")
    return "\n".join(lines)


def colour(r):
    return {"fp16": "#4d4d4d", "ggml": "#d1495b", "tq": "#1b6ca8", "plan": "#2e8b57"}[r["what"]["kind"]]


def svg(facts, rows):
    """Mean KLD on a logarithmic axis, one bar for each cache, in the order of the table."""
    rows = [r for r in rows if r["kld"] > 1e-9]
    low, high = -6, 0
    left, width, step = 440, 560, 22
    height = 70 + step * len(rows)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="1110" height="{height}" font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="20" y="24" font-size="15">SmolLM2-135M, {facts["tokens"]} tokens: mean KLD against a 16-bit cache</text>']
    for e in range(low, high + 1):
        x = left + width * (e - low) / (high - low)
        out.append(f'<line x1="{x:.0f}" y1="38" x2="{x:.0f}" y2="{height - 28}" stroke="#dddddd"/>'
                   f'<text x="{x:.0f}" y="{height - 12}" text-anchor="middle">1e{e}</text>')
    for i, r in enumerate(rows):
        y = 42 + step * i
        w = width * (math.log10(min(max(r["kld"], 1.05e-6), 1)) - low) / (high - low)
        name = r["name"].replace("&", "&amp;").replace("<", "&lt;")
        out.append(f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{name}</text>'
                   f'<rect x="{left}" y="{y + 2}" width="{w:.1f}" height="{step - 6}" fill="{colour(r)}"/>'
                   f'<text x="{left + w + 6:.1f}" y="{y + 13}">{r["kld"]:.5f} at {r["bits"]:.2f} bits</text>')
    return "\n".join(out + ["</svg>\n"])


def render(path, facts, rows):
    """The table "llm" of @path, and bench/llm.svg beside it; of short runs the table "llm-short"."""
    name = "llm" if facts["tokens"] >= 4000 else "llm-short"
    with open(path, encoding="utf-8") as f:
        text = f.read()
    new, n = re.subn(rf"(<!-- table {name} -->\n).*?(<!-- end -->)", lambda m: m[1] + markdown(facts, rows) + "\n" + m[2],
                     text, flags=re.S)
    assert n == 1, f"{path} has no table {name}"
    with open(path, "w", encoding="utf-8") as f:
        f.write(new)
    if name != "llm":
        return
    folder = os.path.join(os.path.dirname(path), "bench")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "llm.svg"), "w", encoding="utf-8") as f:
        f.write(svg(facts, rows))

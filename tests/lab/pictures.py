# SPDX-License-Identifier: Apache-2.0
"""The four pictures of docs/METHODS.md, drawn from its tables alone: the same page gives the same bytes."""

import math
import re
from xml.sax.saxutils import escape

from page import read

COLOURS = ["#1b6ca8", "#d1495b", "#2e8b57", "#8e5ea2", "#c77f0a", "#00838f", "#a0522d", "#6b8e23", "#e377c2", "#4d4d4d",
           "#17becf", "#7f3b08", "#542788", "#b2182b", "#35978f", "#999933"]
LEFT, RIGHT, TOP, BOTTOM = 70, 600, 50, 470


def plain(cell):
    return cell.replace("`", "")


def frame(title, x_name, y_name, height=520):
    return ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 920 %d" font-family="sans-serif" font-size="12">' % height,
            '<rect width="920" height="%d" fill="white"/>' % height,
            '<text x="%d" y="26" font-size="16">%s</text>' % (LEFT, escape(title)),
            '<text x="%d" y="%d" text-anchor="middle">%s</text>' % ((LEFT + RIGHT) / 2, height - 12, escape(x_name)),
            '<text transform="translate(18 %d) rotate(-90)" text-anchor="middle">%s</text>' % (height / 2, escape(y_name))]


def curves(title, x_name, y_name, series, x_range, decades, dashed=()):
    """Points and lines of (name, points); y is logarithmic, over powers of ten from decades[0] to decades[1]."""
    def at(x, y):
        y = min(max(math.log10(y), decades[0]), decades[1])
        return (LEFT + (RIGHT - LEFT) * (x - x_range[0]) / (x_range[1] - x_range[0]),
                BOTTOM - (BOTTOM - TOP) * (y - decades[0]) / (decades[1] - decades[0]))
    out = frame(title, x_name, y_name)
    for x in range(x_range[0], x_range[1] + 1):
        out.append('<path d="M%.1f %d V%d" stroke="#e4e4e4"/><text x="%.1f" y="%d" text-anchor="middle">%d</text>' % (
            at(x, 1)[0], TOP, BOTTOM, at(x, 1)[0], BOTTOM + 18, x))
    for e in range(decades[0], decades[1] + 1):
        y = at(0, 10.0 ** e)[1]
        out.append('<path d="M%d %.1f H%d" stroke="#e4e4e4"/><text x="%d" y="%.1f" text-anchor="end">1e%d</text>' % (
            LEFT, y, RIGHT, LEFT - 6, y + 4, e))
    for i, (name, points) in enumerate(series):
        colour, points = COLOURS[i % len(COLOURS)], [at(*p) for p in sorted(points)]
        line, y = " L".join("%.1f %.1f" % p for p in points), TOP + 6 + 20 * i
        style = ' stroke-dasharray="7 5"' if name in dashed else ""
        out.append('<path d="M%s" fill="none" stroke="%s" stroke-width="1.6"%s/>' % (line, colour, style))
        # colours come again in squares
        shape = ('<circle cx="%.1f" cy="%.1f" r="3.6" fill="%s"/>' if i < len(COLOURS) else
                 '<path d="M%.1f %.1f m-3.5 -3.5 h7 v7 h-7 z" fill="%s"/>')
        if not style:
            out += [shape % (p + (colour, )) for p in points]
        out.append('<path d="M%d %d h18" stroke="%s" stroke-width="4"%s/><text x="%d" y="%d" font-size="11">%s</text>' % (
            RIGHT + 16, y, colour, style, RIGHT + 40, y + 4, escape(name)))
    return "\n".join(out + ["</svg>", ""])


def grouped(pairs):
    found = {}
    for name, point in pairs:
        found.setdefault(plain(name), []).append(point)
    return list(found.items())


def distortion(page):
    rows = [(r[0], (float(r[1]), float(r[2]))) for r in read(page, "distortion")[1]]
    bound = [("Shannon's bound, 2^-2b", [(x / 2, 4.0 ** (-x / 2)) for x in range(1, 17)])]
    return curves("Distortion of normal rows, d = 128, against bits", "bits of a coordinate, everything stored counted",
                  "mean of |error|^2 / |row|^2", bound + grouped(rows), (0, 9), (-5, 0), (bound[0][0], ))


def bias(page):
    head, rows = read(page, "slopes")
    series = [(plain(name), [(int(r[0]), max(abs(1 - float(r[i])), 1e-4)) for r in rows])
              for i, name in enumerate(head) if i]
    return curves("Bias of inner products with a row's own direction, d = 256", "bits",
                  "|1 - slope|; below 1e-3 is the noise of the measurement", series, (0, 7), (-4, 0))


def family(name):
    """A method's name without its bits; points of one family are joined."""
    name, comma, rest = plain(name).partition(",")
    if re.fullmatch(r"bits=\d\.\d+", name):
        return "fractions of a bit"
    name = re.sub(r" ?\bbits=\d+ ?", " ", name).strip()
    name = name if "=" not in name or "code=" in name else "code=lm " + name
    return (name or "code=lm") + re.sub(r",? \d bits\b", "", comma + rest)


def divergence(page):
    rows = [(r[0], (float(r[1]), float(r[4]))) for r in read(page, "equal-bytes")[1] if "effort=2" not in r[0]]
    names = [(("TurboQuant's split" if "published" in n or "likewise" in n else family(n)), p) for n, p in rows]
    return curves("KL divergence of attention weights, real keys, d = 64", "bits of a coordinate, everything stored counted",
                  "mean KL divergence", grouped(names), (0, 9), (-5, 1))


def times(page):
    """Two bars for each row of the table of times, on a logarithmic axis."""
    head, rows = read(page, "speed")
    height, low, span = 90 + 26 * len(rows), 0, 5
    out = frame("Time per vector, d = 128", "ns per row: encode (above), score of one query (below)", "", height)

    def width(v):
        return 430 * (math.log10(max(v, 1)) - low) / span
    for e in range(low, low + span + 1):
        x = 330 + width(10.0 ** e)
        out.append('<path d="M%.1f 44 V%d" stroke="#e4e4e4"/><text x="%.1f" y="%d" text-anchor="middle">%d</text>' % (
            x, height - 44, x, height - 30, 10 ** e))
    for i, row in enumerate(rows):
        y = 48 + 26 * i
        out.append('<text x="322" y="%d" text-anchor="end" font-size="11">%s</text>' % (y + 14, escape(plain(row[0]))))
        for j, (cell, colour) in enumerate(((row[1], COLOURS[0]), (row[2], COLOURS[1]))):
            if cell != "-":
                out.append('<rect x="330" y="%d" width="%.1f" height="9" fill="%s"/><text x="%.1f" y="%d" font-size="9">%s</text>'
                           % (y + 2 + 10 * j, width(float(cell)), colour, 336 + width(float(cell)), y + 10 + 10 * j, cell))
    return "\n".join(out + ["</svg>", ""])


PICTURES = {"distortion": distortion, "bias": bias, "divergence": divergence, "times": times}

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The measured tables and the pictures of docs/METHODS.md, from nothing but this repository and its build.

    lab.py LIBTQ.SO [--quick] [--check | --write] [TABLE...]

Without --check and --write, prints the tables (all, or those named). --write puts them into docs/METHODS.md and
draws docs/lab/*.svg from the page. --check says where page and run differ, and whether the pictures are the page's;
exits 1 if so. --quick: fewer rows, for a check of seconds.
"""

import argparse
import os
import sys
import time

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
import codes  # noqa: E402, F401
import corrections  # noqa: E402, F401
import page  # noqa: E402
import real  # noqa: E402, F401
import pictures  # noqa: E402
import rotations  # noqa: E402, F401
import speed  # noqa: E402, F401
import systems  # noqa: E402, F401
from codec import ROOT, Lab  # noqa: E402

PAGE = os.path.join(ROOT, "docs", "METHODS.md")


def arguments():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("library")
    for option in ("--quick", "--check", "--write"):
        p.add_argument(option, action="store_true")
    p.add_argument("tables", nargs="*", metavar="TABLE")
    return p.parse_intermixed_args()


def main():
    args, bad = arguments(), []
    with open(PAGE, encoding="utf-8") as f:
        text = f.read()
    lab = Lab(args.library, args.quick)
    unknown = set(page.names(text)) ^ set(page.TABLES)
    if unknown:
        bad.append("only the page or only the lab has: " + " ".join(sorted(unknown)))
    for name in args.tables or page.TABLES:
        if args.quick and page.TABLES[name].slow:
            continue
        start = time.process_time()
        head, rows = page.TABLES[name].make(lab)
        sys.stderr.write("%s: %.2f s\n" % (name, time.process_time() - start))
        if args.check:
            bad += page.compare(text, name, head, rows, args.quick)
        elif args.write:
            text = page.write(text, name, head, rows)
        else:
            print("%s\n\n%s\n" % (name, page.markdown(head, rows)))
    for name, draw in pictures.PICTURES.items() if args.write or args.check else ():
        path = os.path.join(ROOT, "docs", "lab", name + ".svg")
        if args.write:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as f:
                f.write(draw(text))
        elif not os.path.exists(path) or open(path, encoding="utf-8").read() != draw(text):
            bad.append("docs/lab/%s.svg is not drawn from the page" % name)
    if args.write:
        with open(PAGE, "w", encoding="utf-8") as f:
            f.write(text)
    for line in bad if args.check else ():
        print(line)
    return 1 if args.check and bad else 0


if __name__ == "__main__":
    sys.exit(main())

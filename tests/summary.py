#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Add up what the test programs themselves report.

    summary.py LOG.json COUNTS STAGE

reads meson's log of one run, prints a line per program - Check's own summary or "N passed, N failed"
where there is one - and appends "STAGE PASSED FAILED SKIPPED" to COUNTS. Exit status 1 if anything failed or nothing ran.
"""
import json
import re
import sys

CHECK = re.compile(r"^(\d+)%: Checks: (\d+), Failures: (\d+), Errors: (\d+)", re.M)
PLAIN = re.compile(r"^(\d+) passed, (\d+) failed$", re.M)


def judge(test):
    """(passed, failed, skipped, text) of one program."""
    result, out = test["result"], test.get("stdout", "")
    lines = list(CHECK.finditer(out))
    if result == "SKIP":
        return 0, 0, 1, "skipped: " + (out.strip().splitlines() or [""])[-1]
    plain = PLAIN.findall(out)
    if plain and not lines:
        passed, failed = map(int, plain[-1])
        return passed, failed or int(result != "OK"), 0, f"{passed} passed, {failed} failed ({result})"
    if result in ("OK", "EXPECTEDFAIL") and not lines:
        return 1, 0, 0, "ok"
    if not lines:
        return 0, 1, 0, result
    checks = sum(int(m[2]) for m in lines)
    failed = sum(int(m[3]) + int(m[4]) for m in lines)
    text = "; ".join(m[0] for m in lines)
    if checks == 0 or (result != "OK" and failed == 0):
        return checks, 1, 0, f"{text} ({result}, status {test.get('returncode')})"
    return checks - failed, failed, 0, text


def main(log, counts, stage):
    total = [0, 0, 0]
    with open(log, encoding="utf-8") as f:
        for test in map(json.loads, f):
            *numbers, text = judge(test)
            total = [a + b for a, b in zip(total, numbers)]
            print(f"{stage}: {test['name']}: {text} [{test['duration']:.1f} s]")
    with open(counts, "a", encoding="utf-8") as f:
        print(stage, *total, file=f)
    print(f"{stage}: {total[0]} passed, {total[1]} failed, {total[2]} skipped", flush=True)
    return 1 if total[1] or not total[0] else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

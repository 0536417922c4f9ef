# SPDX-License-Identifier: Apache-2.0
"""What codes cost in time on this machine: the best of several, by the thread's clock."""

import os
import re
import time

import numpy as np

from codec import aligned, normal
from page import number, table, ticked

SPECS = ["bits=%s" % b for b in ("1", "1.6", "2", "2.33", "2.5", "3", "3.5", "4", "4.5", "5", "8")] + [
    "bits=4 effort=1", "bits=4 effort=2", "bits=4 correction=unbiased", "bits=4 correction=qjl:ortho",
    "bits=4 correction=qjl:gauss", "bits=4 rotation=haar", "bits=4 code=uniform", "code=tcq:8 bits=4",
    "code=tcq bits=2", "code=tcq bits=3", "code=tcq bits=4", "code=polar:4", "code=polar"]


def best(what, rows, budget=.2, least=9):
    times, end = [], time.perf_counter() + budget
    while len(times) < least or time.perf_counter() < end:
        start = time.thread_time_ns()
        what()
        times.append(time.thread_time_ns() - start)
    return min(times) / rows


@table("speed", within=None, quick=None, slow=True)
def speed(lab):
    n, d, rows = 2000, 128, []
    x, query = normal(n, d).astype(np.float32), normal(1, d, 9).astype(np.float32)
    call, lib = lab.library.call, lab.library.lib
    for spec in SPECS:
        with lab.quantizer(spec, d) as q:
            code, out = np.zeros((n, lib.tq_code_size(q)), np.uint8), np.zeros((1, n), np.float32)
            prepared = aligned(lib.tq_query_size(q))
            call("tq_query_prepare", q, query, d, 1, prepared)
            rows.append([ticked(spec), number(best(lambda: call("tq_encode", q, x, d, n, code), n)),
                         number(best(lambda: call("tq_score", q, prepared, 1, code, n, out, n), n)), str(code.shape[1])])
    copy, product = np.empty_like(x), np.empty(n, np.float32)
    rows.append(["floats: memcpy; BLAS", number(best(lambda: np.copyto(copy, x), n)),
                 number(best(lambda: np.dot(x, query[0], out=product), n)), "512"])
    return ["spec", "encode, ns per row", "score, ns per row", "bytes of a row"], rows


@table("lab-machine", within=None, quick=None, slow=True)
def machine(lab):
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        cpu = re.search(r"model name\s*: (.*)", f.read())
    plugins = [os.path.basename(p) for p in os.environ.get("TQ_PLUGIN_PATH", "").split(":") if p]
    return ["times measured on", ""], [["CPU as reported", cpu[1].strip() if cpu else "?"],
                                       ["plugins there", ", ".join(plugins) or "none"]]

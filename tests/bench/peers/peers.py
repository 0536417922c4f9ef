#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
libtq and its peers on the same data, in one run: full scans for the best 10, one query and batches.

    peers.py --json FILE [--quick] [--shared FOLDER] [--bits 4,3,2,1] [--data NAMES] [--threads 1,2] [--staged]
             [--isa avx2|avxvnni] [--rounds N]

Each number of threads is a process of its own, since some peers read it once. Within it all methods of one data
set and number of bits are built first, then timed in turn; a figure is the median of the rounds. With one thread
the clock is the process's CPU time, with several the wall. More than one thread: 4 bits and 1 bit, and only the
methods that are meant to be fast; --quick: those too. --staged: 4 and 2 bits, staged scans beside full ones, and those
peers that stage do so. --isa: every library of the workers takes the CPU for one without AVX-512 (cpuid.c): with
AVX2, or with AVX-VNNI too.
"""
import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

SETS = ("glove100", "lsa512", "synthetic1536")
ROUNDS = 5
SINGLE_SECONDS, BATCH_SECONDS = 0.05, 0.5
BATCH, ENCODE_ROWS = 64, 4096


def median_time(call, seconds, clock):
    """Median seconds of calls that last about so long in all, at least one."""
    times, start = [], clock()
    while not times or (clock() - start < seconds and len(times) < 50):
        begin = clock()
        call(len(times))
        times.append(clock() - begin)
    return statistics.median(times)


def build(make, base, queries, data, truth, threads, quick):
    """A method with its data, ready to search; None where it cannot serve, with the reason printed."""
    import methods
    try:
        encode_seconds = None
        small = make()
        if not small.fast and (threads > 1 or quick):
            return None
        part = small.prepare(base[:ENCODE_ROWS]) if hasattr(small, "prepare") else base[:ENCODE_ROWS]
        methods.set_threads(threads)
        begin = time.perf_counter()
        if "PQ" not in small.label:  # its training would be most of the time
            small.add(part)
            encode_seconds = time.perf_counter() - begin
        method = make()
        method.x = method.prepare(base) if hasattr(method, "prepare") else base
        method.y = method.prepare(queries) if hasattr(method, "prepare") else queries
        methods.set_threads(os.cpu_count())
        begin = time.perf_counter()
        method.add(method.x)
        method.build_seconds = time.perf_counter() - begin
        del method.x
        methods.set_threads(threads)
        begin = time.perf_counter()
        method.search(method.y[:1], data.K)
        method.search(method.y[:1], data.K)
        once = (time.perf_counter() - begin) / 2
        method.asked = max(24, min(len(queries), int(1.0 / once)))
        found = method.search(method.y[:method.asked], data.K)
        method.recall = data.recall(found, truth)
        method.encode_ns = encode_seconds and 1e9 * encode_seconds / ENCODE_ROWS
        method.batch = max(8, min(BATCH, int(BATCH_SECONDS / once)))
        method.times = {"single": [], "batch": []}
        return method
    except Exception as error:  # a peer may refuse a dimension or a number of bits: say so and go on
        print(f"    {getattr(locals().get('small'), 'label', '?')}: {str(error).splitlines()[0][:150]}", flush=True)
        return None


def measure(built, data, rounds, clock):
    for turn in range(rounds):
        for m in built:
            if turn >= 2 and not m.fast:
                continue
            run = getattr(m, "scan", m.search)
            m.times["single"].append(median_time(lambda i: run(m.y[i % 64:i % 64 + 1], data.K), SINGLE_SECONDS, clock))
            m.times["batch"].append(median_time(lambda i: run(m.y[:m.batch], data.K), 0, clock) / m.batch)


def worker(args):
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import data
    import methods
    methods.check_isa(args.isa)
    threads, results = args.worker, []
    # one thread: what the process computes, so that neighbours do not count; several: the wall clock
    clock = time.process_time if threads == 1 else time.perf_counter
    for name in args.data:
        loaded = data.load(name, args.shared, args.quick)
        if loaded is None:
            print(f"  {name}: skipped: no data in {args.shared}", flush=True)
            continue
        base, queries = loaded
        truth = data.true_neighbours(base, queries)
        for bits in args.bits:
            if threads > 1 and bits not in (4, 1) and not args.staged:
                continue
            built = []
            for make in (methods.staged_methods if args.staged else methods.methods)(base.shape[1], bits, threads, args.isa):
                m = build(make, base, queries, data, truth, threads, args.quick)
                if m:
                    built.append(m)
            measure(built, data, args.rounds or (2 if args.quick else ROUNDS), clock)
            for m in built:
                single, batch = (statistics.median(m.times[k]) / len(base) * 1e9 for k in ("single", "batch"))
                results.append(dict(name="peer", data=name, method=m.label, bits=bits, dim=base.shape[1],
                                    rows=len(base), threads=threads, row_bytes=m.row_bytes, recall=m.recall,
                                    recall_queries=m.asked, single_ns=single, batch_ns=batch, batch=m.batch,
                                    encode_ns=m.encode_ns, build_s=m.build_seconds, note=m.note))
                r = results[-1]
                print(f"  {name:14s} {bits} bits {threads} thr {m.label:32s} {m.row_bytes:5d} B  recall {m.recall:.3f}"
                      f"  one {single:8.2f}  batch {batch:8.2f} ns/row  encode {(r['encode_ns'] or 0):9.0f} ns",
                      flush=True)
    with open(args.json, "w", encoding="utf-8") as f:
        json.dump({"results": results, "versions": methods.versions()}, f)


def limit_isa(isa, folder):
    """Environment of processes that shall take this CPU for a lesser one."""
    library = os.path.join(folder, "cpuid.so")
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cpuid.c")
    subprocess.run(["cc", "-O2", "-fPIC", "-shared", "-o", library, source], check=True)
    return dict(LD_PRELOAD=library, PEERS_ISA=isa)


def run_worker(args, threads, path):
    env = dict(os.environ, TQ_THREADS=str(threads), RAYON_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads))
    if args.isa:
        env.update(limit_isa(args.isa, os.path.dirname(path)))
    if not args.staged:
        env.update(TURBOVEC_2BIT_PLANES="0", TURBOVEC_4BIT_PLANES="0")
    command = [sys.executable, os.path.abspath(__file__), "--worker", str(threads), "--json", path, "--shared", args.shared,
               "--bits", ",".join(map(str, args.bits)), "--data", ",".join(args.data), "--rounds", str(args.rounds)]
    command += ["--quick"] * args.quick + ["--staged"] * args.staged + (["--isa", args.isa] if args.isa else [])
    subprocess.run(command, env=env, check=True)
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        names = [line.split(":", 1)[1].strip() for line in f if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--json", required=True)
    p.add_argument("--quick", action="store_true")
    p.add_argument("--shared", default="../shared/data")
    p.add_argument("--bits", default="4,3,2,1", type=lambda s: [int(b) for b in s.split(",")])
    p.add_argument("--data", default=",".join(SETS), type=lambda s: s.split(","))
    p.add_argument("--threads", default="1,2", type=lambda s: [int(t) for t in s.split(",")])
    p.add_argument("--staged", action="store_true")
    p.add_argument("--isa", choices=("avx2", "avxvnni"))
    p.add_argument("--rounds", type=int, default=0, help="instead of 5, or 2 with --quick")
    p.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.staged:
        args.bits = [b for b in args.bits if b in (4, 2)]
    if args.worker:
        return worker(args)
    report = {"schema": "tq-bench/1", "program": "peers", "quick": args.quick, "isa": args.isa or "all",
              "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
              "machine": {"cpu": cpu_model(), "cores": os.cpu_count(), "l2_kb": 0, "l3_kb": 0, "compiler": "wheels"},
              "results": []}
    with tempfile.TemporaryDirectory() as folder:
        for threads in args.threads:
            part = run_worker(args, threads, os.path.join(folder, "part.json"))
            report["results"] += part["results"]
            report["versions"] = part["versions"]
    with open(args.json, "w", encoding="utf-8") as f:
        json.dump(report, f, indent=1)
        f.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tq index build and search on 1, 2 and 4 ranks of mpirun give the bytes of one process. usage: test_mpi.py TQ MPIRUN"""
import os
import random
import struct
import subprocess
import sys
import tempfile
import unittest

MPIRUN = sys.argv.pop(2)
TQ = os.path.abspath(sys.argv.pop(1))
ROWS, DIM = 301, 20
# in one container, as root perhaps, without ssh and without ptrace
ENV = dict(os.environ, OMPI_MCA_plm="isolated", OMPI_MCA_btl="self,vader", OMPI_MCA_btl_vader_single_copy_mechanism="none",
           OMPI_MCA_rmaps_base_oversubscribe="1", OMPI_MCA_hwloc_base_binding_policy="none", OMPI_MCA_mpi_yield_when_idle="1")
ENV.pop("HWLOC_PLUGINS_PATH", None)


def run(ranks, *args):
    command = [TQ, "index", *args]
    if ranks:
        command = [MPIRUN, "--oversubscribe", "--allow-run-as-root", "-n", str(ranks)] + command
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=ENV)


def read(name):
    with open(name, "rb") as f:
        return f.read()


class Ranks(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        os.chdir(self.dir.name)
        r = random.Random(7)
        # whole numbers: many rows of equal score; and each row twice
        rows = [[float(r.randrange(-3, 4)) for _ in range(DIM)] for _ in range(ROWS // 2 + 1)]
        rows = (rows + rows)[:ROWS]
        for name, some in ("base.fvecs", rows), ("q.fvecs", rows[:9]):
            with open(name, "wb") as f:
                f.write(b"".join(struct.pack("<i%df" % DIM, DIM, *x) for x in some))
        with open("ids.ivecs", "wb") as f:
            f.write(b"".join(struct.pack("<ii", 1, (i * 97) % ROWS * 5) for i in range(ROWS)))

    def tearDown(self):
        os.chdir("/")
        self.dir.cleanup()

    def ok(self, ranks, *args):
        r = run(ranks, *args)
        self.assertEqual(r.returncode, 0, r)
        return r.stdout

    def test_results_are_those_of_one_process(self):
        for metric, more in ("l2", []), ("cos", ["--ivf", "6"]), ("ip", ["--ids", "ids.ivecs"]):
            for ranks in 0, 1, 2, 4:
                self.ok(ranks, "build", "base.fvecs", "i%d.tq" % ranks, "--metric", metric, "--spec", "bits=2", *more)
                for k in "7", "400":
                    out = "%d-%s" % (ranks, k)
                    self.ok(ranks, "search", "i%d.tq" % ranks, "q.fvecs", "-k", k, "--nprobe", "3", "--out", out + ".npy",
                            "--scores", out + "-s.npy")
                    self.assertEqual(read(out + ".npy"), read("0-%s.npy" % k), (metric, ranks, k))
                    self.assertEqual(read(out + "-s.npy"), read("0-%s-s.npy" % k), (metric, ranks, k))
            self.assertEqual(sorted(f for f in os.listdir(".") if f.startswith("i4")), ["i4-%d-of-4.tq" % r for r in range(4)])
            self.assertEqual(read("i1.tq"), read("i0.tq"))
            printed = self.ok(2, "search", "i2.tq", "q.fvecs", "-k", "3", "--nprobe", "3")
            self.assertEqual(printed, self.ok(0, "search", "i0.tq", "q.fvecs", "-k", "3", "--nprobe", "3"))

    def test_one_rank_that_fails_fails_all(self):
        self.ok(2, "build", "base.fvecs", "i.tq")
        os.remove("i-1-of-2.tq")
        r = run(2, "search", "i.tq", "q.fvecs", "--out", "o.npy")
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("i-1-of-2.tq", r.stderr)
        self.assertFalse(os.path.exists("o.npy"))
        for args in ["info", "i.tq"], ["search", "i.tq", "q.fvecs", "--rerank", "20"]:
            r = run(2, *args)
            self.assertNotEqual(r.returncode, 0)
            self.assertIn("several ranks", r.stderr)


unittest.main(verbosity=0)

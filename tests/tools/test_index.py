#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tq index from outside: built, added to, searched, measured. usage: test_index.py TQ"""
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import unittest

try:
    import h5py
    import numpy
except ImportError:
    h5py = None

TQ = os.path.abspath(sys.argv.pop(1))
ROWS, DIM = 500, 24


def run(*args):
    return subprocess.run([TQ, "index", *args], capture_output=True, text=True, timeout=300)


def npy(data, descr, shape):
    text = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (descr, shape)
    text += " " * (-(len(text) + 11) % 64) + "\n"
    code = {"<f4": "f", "<i8": "q", "<i4": "i"}[descr]
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode() + struct.pack("<%d%s" % (len(data), code), *data)


def read_npy(name, code):
    with open(name, "rb") as f:
        data = f.read()
    body = data[10 + struct.unpack("<H", data[8:10])[0]:]
    return list(struct.unpack("<%d%s" % (len(body) // struct.calcsize(code), code), body))


def nearest(rows, q, k):
    """by squared distance"""
    return sorted(range(len(rows)), key=lambda i: (sum((a - b) ** 2 for a, b in zip(rows[i], q)), i))[:k]


class Index(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        os.chdir(self.dir.name)
        r = random.Random(3)
        centres = [[r.gauss(0, 2) for _ in range(DIM)] for _ in range(10)]
        self.rows = [[c + r.gauss(0, 1) for c in centres[i % 10]] for i in range(ROWS)]
        self.write("base.npy", npy(sum(self.rows, []), "<f4", "(%d, %d)" % (ROWS, DIM)))
        self.write("q.npy", npy(sum(self.rows[:20], []), "<f4", "(20, %d)" % DIM))

    def tearDown(self):
        os.chdir("/")
        self.dir.cleanup()

    def write(self, name, data):
        with open(name, "wb") as f:
            f.write(data)

    def ok(self, *args):
        r = run(*args)
        self.assertEqual((r.returncode, r.stderr), (0, ""), r)
        return r.stdout

    def refused(self, code, words, *args):
        before = sorted(os.listdir("."))
        r = run(*args)
        self.assertEqual((r.returncode, r.stderr.count("\n")), (code, 1), r)
        for word in words:
            self.assertIn(word, r.stderr)
        self.assertEqual(sorted(os.listdir(".")), before)

    def test_what_is_built_is_found(self):
        for ivf in [], ["--ivf", "8"]:
            self.ok("build", "base.npy", "i.tq", "--metric", "l2", "--spec", "bits=8", *ivf)
            self.ok("search", "i.tq", "q.npy", "-k", "5", "--nprobe", "8", "--out", "ids.npy", "--scores", "s.npy")
            ids, scores = read_npy("ids.npy", "q"), read_npy("s.npy", "f")
            self.assertEqual(len(ids), 100)
            same = 0
            for i in range(20):
                found = ids[5 * i:5 * i + 5]
                self.assertEqual(found[0], i)
                same += len(set(found) & set(nearest(self.rows, self.rows[i], 5)))
                true = sum((a - b) ** 2 for a, b in zip(self.rows[found[4]], self.rows[i]))
                self.assertAlmostEqual(scores[5 * i + 4], true, delta=0.05 * true)
            self.assertGreater(same, 95)
        info = json.loads(self.ok("info", "i.tq", "--json"))
        self.assertEqual((info["rows"], info["dim"], info["metric"], info["partitions"]), (ROWS, DIM, "l2", 8))
        self.assertIn("bits=8 correction=unbiased effort=1 seed=1 center=both", info["spec"])

    def test_second_codes(self):
        args = ["build", "base.npy", "i.tq", "--metric", "l2", "--spec", "bits=1"]
        plain = json.loads(self.ok(*args, "--json"))
        refined = json.loads(self.ok(*args, "--refine", "bits=6", "--json"))
        self.assertEqual((plain["refine"], plain["refine_bytes"]), ("", 0))
        self.assertIn("bits=6", refined["refine"])
        self.assertEqual(refined["bytes_per_row"], plain["bytes_per_row"] + refined["refine_bytes"])
        right = []
        for more in [], ["--rerank", "100"]:
            self.ok("search", "i.tq", "q.npy", "-k", "5", *more, "--out", "ids.npy")
            ids = read_npy("ids.npy", "q")
            right.append(sum(len(set(ids[5 * i:5 * i + 5]) & set(nearest(self.rows, self.rows[i], 5))) for i in range(20)))
        self.assertGreater(right[1], max(90, right[0] + 10))
        evals = [json.loads(self.ok("eval", "base.npy", "q.npy", "--metric", "l2", "--spec", "bits=1", "--json", *more))
                 ["results"][0]["recall_k_at_k"] for more in ([], ["--rerank", "100"], ["--rerank", "100", "--refine", "bits=4"])]
        self.assertGreaterEqual(evals[1], evals[2])
        self.assertGreater(evals[2], evals[0] + 0.1)
        self.refused(2, ["--refine", "bitz"], "build", "base.npy", "x.tq", "--refine", "bitz=2")
        self.ok(*args)
        self.refused(2, ["second codes"], "search", "i.tq", "q.npy", "--rerank", "50")

    def test_exactness(self):
        self.ok("build", "base.npy", "i.tq", "--metric", "l2")
        found = [self.ok("search", "i.tq", "q.npy", "-k", "5", *more)
                 for more in ([], ["--exactness", "1"], ["--exactness", ".999"])]
        self.assertEqual(found[0], found[1])
        self.assertEqual(found[0], found[2])
        told = json.loads(self.ok("eval", "base.npy", "q.npy", "--exactness", ".99", "--json"))
        self.assertAlmostEqual(told["exactness"], .99, places=6)
        for wrong in "0", "1.01", "x", "nan":
            self.refused(2, ["--exactness"], "search", "i.tq", "q.npy", "--exactness", wrong)
        self.refused(2, ["no option of this command"], "build", "base.npy", "o.tq", "--exactness", ".9")

    def test_device(self):
        self.ok("build", "base.npy", "i.tq", "--ivf", "3")
        for wrong in "-1", "x", "2147483648":
            self.refused(2, ["--device"], "search", "i.tq", "q.npy", "--device", wrong)
        for more in ["--nprobe", "2"], ["--rerank", "20"], ["--exactness", ".9"]:
            self.refused(2, ["--device", more[0]], "search", "i.tq", "q.npy", "--device", "0", *more)
        self.refused(2, ["no option of this command"], "eval", "base.npy", "q.npy", "--device", "0")

    def test_threads_and_order_do_not_change_the_file(self):
        self.ok("build", "base.npy", "a.tq", "--ivf", "5", "--threads", "1")
        self.ok("build", "base.npy", "b.tq", "--ivf", "5", "--threads", "4")
        with open("a.tq", "rb") as a, open("b.tq", "rb") as b:
            self.assertEqual(a.read(), b.read())

    def test_ids_of_a_file_and_more_rows(self):
        ids = [7 * i + 3 for i in range(ROWS)]
        self.write("ids.npy", npy(ids, "<i8", "(%d,)" % ROWS))
        self.write("ids.ivecs", b"".join(struct.pack("<ii", 1, i) for i in ids))
        self.ok("build", "base.npy", "a.tq", "--ids", "ids.npy")
        self.ok("build", "base.npy", "b.tq", "--ids", "ids.ivecs")
        with open("a.tq", "rb") as a, open("b.tq", "rb") as b:
            self.assertEqual(a.read(), b.read())
        self.refused(2, ["base.npy", "row 0"], "add", "a.tq", "base.npy", "--ids", "ids.npy")
        self.ok("add", "a.tq", "q.npy")
        self.ok("add", "b.tq", "q.npy", "--log")
        self.assertTrue(os.path.exists("b.tq.log"))
        for name in "a.tq", "b.tq":
            self.assertEqual(json.loads(self.ok("info", name, "--json"))["rows"], ROWS + 20)
            self.ok("search", name, "q.npy", "-k", "1000", "--out", name + ".npy")
        found = read_npy("a.tq.npy", "q")
        self.assertEqual(found, read_npy("b.tq.npy", "q"))
        self.assertEqual(found[ROWS + 20:1000], [-1] * (1000 - ROWS - 20))
        self.assertEqual(sorted(found[:ROWS + 20]), sorted(ids + [ids[-1] + 1 + i for i in range(20)]))
        self.ok("search", "a.tq", "q.npy", "-k", "3", "--out", "o.ivecs")
        with open("o.ivecs", "rb") as f:
            first = struct.unpack("<4i", f.read(16))
        self.assertEqual(first, (3, *found[:3]))

    def test_bytes_are_vectors_too(self):
        r = random.Random(5)
        rows = [[r.randrange(256) for _ in range(9)] for _ in range(40)]
        self.write("b.bvecs", b"".join(struct.pack("<i9B", 9, *x) for x in rows))
        self.write("f.fvecs", b"".join(struct.pack("<i9f", 9, *x) for x in rows))
        for name in "b.bvecs", "f.fvecs":
            self.ok("build", name, name + ".tq", "--metric", "l2")
        with open("b.bvecs.tq", "rb") as a, open("f.fvecs.tq", "rb") as b:
            self.assertEqual(a.read(), b.read())
        self.write("one.bvecs", b"".join(struct.pack("<iB", 1, x[0]) for x in rows))
        self.write("one.fvecs", b"".join(struct.pack("<if", 1, x[0]) for x in rows))
        for name in "one.bvecs", "one.fvecs":
            self.ok("build", name, name + ".tq")
        with open("one.bvecs.tq", "rb") as a, open("one.fvecs.tq", "rb") as b:
            self.assertEqual(a.read(), b.read())

    def test_bytes_are_written(self):
        r = random.Random(6)
        rows = [[float(r.randrange(256)) for _ in range(16)] for _ in range(30)]
        self.write("b.fvecs", b"".join(struct.pack("<i16f", 16, *x) for x in rows))
        for args in ["encode", "b.fvecs", "b.tq", "--spec", "bits=8"], ["decode", "b.tq", "b.npy"], ["decode", "b.tq", "b.bvecs"]:
            r = subprocess.run([TQ, *args], capture_output=True, text=True, timeout=300)
            self.assertEqual((r.returncode, r.stderr), (0, ""), r)
        decoded = read_npy("b.npy", "f")
        with open("b.bvecs", "rb") as f:
            data = f.read()
        self.assertEqual(len(data), 30 * 20)
        for i in range(30):
            dim, *got = struct.unpack("<i16B", data[20 * i:20 * i + 20])
            self.assertEqual((dim, got), (16, [min(255, max(0, round(x))) for x in decoded[16 * i:16 * i + 16]]))

    @unittest.skipIf(os.environ.get("TQ_HAVE_HDF5"), "HDF5 is there")
    def test_hdf5_is_refused_without_the_library(self):
        self.refused(1, ["a.hdf5", "without HDF5"], "build", "a.hdf5", "x.tq")
        self.ok("build", "base.npy", "i.tq")
        self.refused(1, ["o.hdf5", "without HDF5"], "search", "i.tq", "q.npy", "--out", "o.hdf5")

    @unittest.skipUnless(os.environ.get("TQ_HAVE_HDF5") and h5py, "no HDF5 or no h5py")
    def test_hdf5_of_ann_benchmarks(self):
        gt = [nearest(self.rows, q, 10) for q in self.rows[:20]]
        with h5py.File("a.hdf5", "w") as f:
            f["train"] = numpy.array(self.rows, "f4")
            f.create_dataset("test", data=numpy.array(self.rows[:20], "f8"), chunks=(3, 7), compression="gzip")
            f["neighbors"] = numpy.array(gt, "i4")
            f["ids"] = numpy.arange(ROWS, dtype="i8") * 3
            f["flat"], f["cube"] = numpy.zeros(5, "f4"), numpy.zeros((2, 2, 2), "f4")
            f["words"], f["wide"] = numpy.array([[b"ab"]]), numpy.zeros((2, 70000), "i1")
            bad = numpy.array(self.rows[:3], "f4")
            bad[2, 5] = numpy.nan
            f["bad"] = bad
        for metric in "ip", "cos", "l2":
            self.ok("build", "a.hdf5", "h.tq", "--metric", metric)
            self.ok("build", "base.npy", "n.tq", "--metric", metric)
            with open("h.tq", "rb") as a, open("n.tq", "rb") as b:
                self.assertEqual(a.read(), b.read())
            self.ok("search", "h.tq", "a.hdf5", "-k", "7", "--out", "o.hdf5", "--scores", "s.h5")
            self.ok("search", "h.tq", "q.npy", "-k", "7", "--out", "o.npy", "--scores", "s.npy")
            with h5py.File("o.hdf5") as f, h5py.File("s.h5") as s:
                scores = numpy.array(read_npy("s.npy", "f"), "f4").reshape(20, 7)
                self.assertEqual(f["neighbors"][:].tolist(), numpy.load("o.npy").tolist())
                self.assertEqual((f["neighbors"].dtype, f["distances"].dtype), ("int64", "float32"))
                self.assertEqual(s["scores"][:].tolist(), scores.tolist())
                want = {"ip": -scores, "cos": 1 - scores, "l2": numpy.sqrt(numpy.maximum(scores, 0))}[metric]
                self.assertEqual(f["distances"][:].tolist(), want.tolist())
        own = json.loads(self.ok("eval", "base.npy", "q.npy", "--metric", "l2", "--spec", "bits=2", "--json"))
        given = json.loads(self.ok("eval", "a.hdf5", "a.hdf5", "--gt", "a.hdf5", "--metric", "l2", "--spec", "bits=2", "--json"))
        self.assertEqual(own["results"][0]["recall_k_at_k"], given["results"][0]["recall_k_at_k"])
        self.ok("build", "a.hdf5:train", "i.tq", "--ids", "a.hdf5")
        self.assertEqual(json.loads(self.ok("info", "i.tq", "--json"))["next_id"], 3 * ROWS - 2)
        self.assertIn(b"500 rows of 24", subprocess.run([TQ, "info", "a.hdf5"], capture_output=True).stdout)
        for args in ["encode", "a.hdf5:test", "c.tq"], ["decode", "c.tq", "c.hdf5"], ["decode", "c.tq", "c.npy"]:
            self.assertEqual(subprocess.run([TQ, *args], capture_output=True).returncode, 0)
        with h5py.File("c.hdf5") as f:
            self.assertEqual(f["train"][:].tolist(), numpy.load("c.npy").tolist())
        self.write("no.hdf5", b"no such thing")
        for name, word in [("nowhere.hdf5", "cannot open"), ("no.hdf5", "is not an HDF5 file"), ("a.hdf5:none", "is not there"),
                           ("a.hdf5:flat", "two dimensions"), ("a.hdf5:cube", "two dimensions"), ("a.hdf5:words", "not numbers"),
                           ("a.hdf5:wide", "70000"), ("a.hdf5:bad", "row 2")]:
            self.refused(2, [name, word], "build", name, "x.tq")
        self.refused(2, ["a.hdf5:distances", "is not there"], "eval", "base.npy", "q.npy", "--gt", "a.hdf5:distances")
        self.refused(2, ["a.hdf5:train", "integers"], "eval", "base.npy", "q.npy", "--gt", "a.hdf5:train")
        self.refused(2, ["o.hdf5:x", "dataset"], "search", "i.tq", "q.npy", "--out", "o.hdf5:x")
        self.refused(2, ["same.npy"], "search", "i.tq", "q.npy", "--out", "same.npy", "--scores", "same.npy")

    def test_eval_measures_recall(self):
        gt = sum((nearest(self.rows, q, 10) for q in self.rows[:20]), [])
        self.write("gt.npy", npy(gt, "<i4", "(20, 10)"))
        args = ["eval", "base.npy", "q.npy", "--metric", "l2", "--spec", "bits=1", "--spec", "bits=8", "--json"]
        own, given = json.loads(self.ok(*args)), json.loads(self.ok(*args, "--gt", "gt.npy"))
        recall = [r["recall_k_at_k"] for r in own["results"]]
        self.assertEqual(recall, [r["recall_k_at_k"] for r in given["results"]])
        self.assertGreater(recall[1], 0.97)
        self.assertLess(recall[0], 0.9)
        self.assertGreater(recall[0], 0.2)
        self.assertEqual(own["results"][1]["recall_1_at_k"], 1)
        probes = json.loads(self.ok("eval", "base.npy", "q.npy", "--ivf", "10", "--nprobe", "1", "--nprobe", "10",
                                    "--metric", "cos", "--svg", "p.svg", "--json"))["results"]
        self.assertLessEqual(probes[0]["recall_k_at_k"], probes[1]["recall_k_at_k"])
        with open("p.svg", encoding="utf-8") as f:
            self.assertEqual(f.read().count("<title>"), 2)

    def test_what_is_wrong_is_said(self):
        self.ok("build", "base.npy", "i.tq")
        self.write("short.npy", npy([1, 2], "<i8", "(2,)"))
        self.write("float.npy", npy([1.0] * ROWS, "<f4", "(%d, 1)" % ROWS))
        self.write("three.fvecs", struct.pack("<i3f", 3, 1, 2, 3))
        self.refused(2, ["short.npy", "2 ids"], "build", "base.npy", "x.tq", "--ids", "short.npy")
        self.refused(2, ["float.npy", "<i8"], "build", "base.npy", "x.tq", "--ids", "float.npy")
        self.refused(2, ["short.npy", "integers"], "build", "short.npy", "x.tq")
        self.refused(2, ["x.np", ".tq"], "build", "base.npy", "x.np")
        self.refused(2, ["--metric", "l3"], "build", "base.npy", "x.tq", "--metric", "l3")
        self.refused(2, ["center=data"], "build", "base.npy", "x.tq", "--spec", "center=data")
        self.refused(2, ["501", "few"], "build", "base.npy", "x.tq", "--ivf", "501")
        self.refused(2, ["three.fvecs"], "search", "i.tq", "three.fvecs")
        self.refused(2, ["base.npy"], "search", "base.npy", "q.npy")
        self.refused(2, ["--log"], "search", "i.tq", "q.npy", "--log")
        self.refused(2, ["usage"], "grow")


unittest.main(verbosity=0)

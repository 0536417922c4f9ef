#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tq encode, decode, info and eval from outside. usage: test_tq.py TQ"""
import json
import math
import os
import random
import resource
import struct
import subprocess
import sys
import tempfile
import unittest

TQ = os.path.abspath(sys.argv.pop(1))
PROBE = os.path.join(os.path.dirname(TQ), "tq-probe")


def run(*args, program=TQ, **kwargs):
    return subprocess.run([program, *args], capture_output=True, text=True, timeout=300, **kwargs)


def npy(rows, descr="<f4", version=1, header=None):
    text = header or "{'descr': '%s', 'fortran_order': False, 'shape': (%d, %d), }" % (descr, len(rows), len(rows[0]))
    size = "<H" if version == 1 else "<I"
    text += " " * (-(len(text) + 9 + struct.calcsize(size)) % 64) + "\n"
    data = b"".join(struct.pack("<%d%s" % (len(r), "e" if descr == "<f2" else "f"), *r) for r in rows)
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack(size, len(text)) + text.encode() + data


def gauss(n, d, seed=1):
    r = random.Random(seed)
    return [[r.gauss(0, 1) for _ in range(d)] for _ in range(n)]


class Tq(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        os.chdir(self.dir.name)

    def tearDown(self):
        os.chdir("/")
        self.dir.cleanup()

    def write(self, name, data):
        with open(name, "wb") as f:
            f.write(data)
        return name

    def read(self, name):
        with open(name, "rb") as f:
            return f.read()

    def ok(self, *args):
        r = run(*args)
        self.assertEqual((r.returncode, r.stderr), (0, ""), r)
        return r.stdout

    def refused(self, code, words, *args, **kwargs):
        before = sorted(os.listdir("."))
        r = run(*args, **kwargs)
        self.assertEqual(r.returncode, code, r)
        self.assertEqual(r.stderr.count("\n"), 1, r.stderr)
        for word in words:
            self.assertIn(word, r.stderr)
        self.assertEqual(sorted(os.listdir(".")), before)

    def codes(self, rows=20, dim=24, spec="bits=3 center=both"):
        self.write("in.npy", npy(gauss(rows, dim)))
        self.ok("encode", "in.npy", "c.tq", "--spec", spec)
        return self.read("c.tq")

    def test_all_input_kinds_give_the_same_file(self):
        rows = [[float(int(x * 64)) / 16 for x in r] for r in gauss(30, 20)]
        flat = b"".join(struct.pack("<20f", *r) for r in rows)
        self.write("a.npy", npy(rows))
        self.write("b.npy", npy(rows, version=2))
        self.write("c.npy", npy(rows, version=3))
        self.write("d.npy", npy(rows, "<f2"))
        self.write("e.fvecs", b"".join(struct.pack("<i20f", 20, *r) for r in rows))
        self.write("f.f32", flat)
        self.write("g.bin", flat)
        for name in sorted(os.listdir(".")):
            self.ok("encode", name, name + ".tq", *(["--dim", "20"] if name[0] in "fg" else []))
            self.assertEqual(self.read(name + ".tq"), self.read("a.npy.tq"), name)

    def test_all_output_kinds_hold_the_same_numbers(self):
        self.codes()
        self.ok("decode", "c.tq", "o.npy")
        self.ok("decode", "c.tq", "o.f32")
        self.ok("decode", "c.tq", "o.fvecs")
        raw = self.read("o.f32")
        self.assertEqual(len(raw), 20 * 24 * 4)
        self.assertEqual(self.read("o.npy")[-len(raw):], raw)
        self.assertEqual(self.read("o.fvecs"), b"".join(
            struct.pack("<i", 24) + raw[i:i + 96] for i in range(0, len(raw), 96)))
        self.ok("decode", "c.tq", "h.npy", "--type", "f16")
        half = struct.unpack("<480e", self.read("h.npy")[-960:])
        self.assertEqual(half, tuple(struct.unpack("<e", struct.pack("<e", x))[0]
                                     for x in struct.unpack("<480f", raw)))

    def test_decoding_is_close_and_decoded_npy_is_read_again(self):
        self.codes(spec="bits=8")
        self.ok("decode", "c.tq", "o.npy")
        self.ok("encode", "o.npy", "again.tq")
        x = struct.unpack("<480f", self.read("in.npy")[-1920:])
        y = struct.unpack("<480f", self.read("o.npy")[-1920:])
        error = sum((a - b) ** 2 for a, b in zip(x, y)) / sum(a * a for a in x)
        self.assertLess(error, 1e-4)
        self.assertGreater(error, 0)

    def test_threads_do_not_change_the_file(self):
        first = self.codes(rows=3000)
        for n in "1", "2", "7", "auto":
            self.ok("encode", "in.npy", "c.tq", "--spec", "bits=3 center=both", "--threads", n)
            self.assertEqual(self.read("c.tq"), first)

    def test_no_rows_are_a_file_too(self):
        self.write("in.npy", npy([], header="{'descr': '<f4', 'fortran_order': False, 'shape': (0, 5), }"))
        self.ok("encode", "in.npy", "c.tq")
        self.ok("decode", "c.tq", "o.npy")
        self.assertEqual(json.loads(self.ok("info", "o.npy", "--json"))["rows"], 0)

    def test_nan_in_row_17_says_row_17_and_leaves_no_file(self):
        for bad in float("nan"), float("inf"):
            rows = gauss(40, 16)
            rows[17][3] = bad
            self.write("in.npy", npy(rows))
            self.refused(2, ["in.npy", "row 17:"], "encode", "in.npy", "c.tq")
            self.refused(2, ["in.npy", "row 17:"], "encode", "in.npy", "c.tq", "--spec", "center=data")
            self.refused(2, ["in.npy", "row 17:"], "eval", "in.npy")

    def test_nan_in_a_late_batch_names_the_row_of_the_file(self):
        self.write("in.f32", b"\0\0\x80\x3f" * (16 * 200000 - 1) + struct.pack("<f", float("nan")))
        self.refused(2, ["in.f32", "row 199999:"], "encode", "in.f32", "c.tq", "--dim", "16")

    def test_a_full_disk_leaves_no_file(self):
        self.write("in.npy", npy(gauss(400, 64)))
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
        self.refused(1, ["c.tq", "File too large"], "encode", "in.npy", "c.tq", preexec_fn=limit)
        self.ok("encode", "in.npy", "c.tq")
        for name in "o.npy", "o.fvecs", "o.f32":
            self.refused(1, [name, "File too large"], "decode", "c.tq", name, preexec_fn=limit)
        kept = self.read("c.tq")
        self.refused(1, ["c.tq"], "encode", "in.npy", "c.tq", "--spec", "bits=8", preexec_fn=limit)
        self.assertEqual(self.read("c.tq"), kept)
        with open("/dev/full", "w") as full:
            r = subprocess.run([TQ, "info", "c.tq"], stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(r.returncode, 1)
        self.assertIn("No space left", r.stderr)

    def test_outputs_that_are_no_files_are_refused(self):
        self.write("in.npy", npy(gauss(3, 4)))
        os.symlink("/dev/null", "null.tq")
        self.refused(1, ["null.tq"], "encode", "in.npy", "null.tq")
        self.refused(1, ["no/c.tq"], "encode", "in.npy", "no/c.tq")
        os.mkdir("dir.tq")
        self.refused(1, ["dir.tq"], "encode", "in.npy", "dir.tq")

    def test_codes_do_not_go_into_files_of_vectors(self):
        self.write("in.npy", npy(gauss(3, 4)))
        before = self.read("in.npy")
        for name in "in.npy", "c.npy", "c", ".tq", "/dev/null":
            self.refused(2, ["does not end in .tq"], "encode", "in.npy", name)
        self.codes()
        for name in "c.tq", "c", "in.tq":
            self.refused(2, [name, "does not end in .npy"], "decode", "c.tq", name)
        self.write("in.npy", before)
        self.refused(2, ["does not end in .tq"], "encode", "in.npy", "in.npy")
        self.assertEqual(self.read("in.npy"), before)

    def test_eval_looks_at_all_specs_before_it_measures(self):
        self.write("in.npy", npy(gauss(20, 7)))
        r = run("eval", "in.npy", "--spec", "bits=4", "--spec", "bits=9")
        self.assertEqual((r.returncode, r.stdout), (2, ""))
        self.write("big.f32", struct.pack("<f", 1.5) * (4 * 8193))
        args = ["eval", "big.f32", "--dim", "8193", "--nq", "1"]
        r = run(*args, "--spec", "bits=4", "--spec", "bits=2 correction=qjl:gauss")
        self.assertEqual((r.returncode, r.stdout), (1, ""))
        self.assertIn("limited to 8192 dimensions", r.stderr)
        given = [r["given"] for r in json.loads(self.ok(*args, "--json"))["results"]]
        self.assertIn("bits=8 correction=ls", given)
        self.assertNotIn("bits=2 correction=qjl:gauss", given)

    def test_eval_of_numbers_has_no_orthogonal_query(self):
        self.write("in.npy", npy(gauss(20, 1)))
        measured = json.loads(self.ok("eval", "in.npy", "--spec", "bits=4", "--json"))["results"][0]["measured"]
        self.assertIsNone(measured["d_variance"])
        self.assertAlmostEqual(measured["slope"], 1, 5)
        self.assertIn(" nan ", self.ok("eval", "in.npy", "--spec", "bits=4"))

    def test_wrong_npy_files_are_refused_with_the_place(self):
        good = npy(gauss(4, 4))
        header = "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }"
        cases = [
            (good[:-1], "bytes of data"), (good + b"\0", "bytes of data"), (good[:5], "not a .npy"), (b"", "not a .npy"),
            (good[:40], "cut short"), (b"\x93NUMPY\x04" + good[7:], "version 4.0"),
            (npy(gauss(4, 4), header=header % ("<f8", "False", "(4, 4)")), "'<f8'"),
            (npy(gauss(4, 4), header=header % (">f4", "False", "(4, 4)")), "'>f4'"),
            (npy(gauss(4, 4), header=header % ("<f4", "True", "(4, 4)")), "Fortran"),
            (npy(gauss(4, 4), header=header % ("<f4", "False", "(16,)")), "one dimension"),
            (npy(gauss(4, 4), header=header % ("<f4", "False", "(4, 2, 2)")), "more than two"),
            (npy(gauss(4, 4), header=header % ("<f4", "False", "(4, 0)")), "rows of 0"),
            (npy(gauss(4, 4), header=header % ("<f4", "False", "(4, 65537)")), "65537"),
            (npy(gauss(4, 4), header=header % ("<f4", "False", "(4611686018427387905, 4)")), "bytes of data"),
            (npy(gauss(4, 4), header=header % ("<f4", "False", "(99999999999999999999, 4)")), "too large"),
            (npy(gauss(4, 4), header="{'descr': '<f4', 'shape': (4, 4), }"), "lacks a key"),
            (npy(gauss(4, 4), header="{'descr': '<f4', 'descr': '<f4', 'shape': (4, 4), }"), "second key"),
            (npy(gauss(4, 4), header="{'descr': '<f4', 'x': 1, 'shape': (4, 4), }"), "unknown key"),
        ]
        for data, word in cases:
            self.write("x.npy", data)
            self.refused(2, ["x.npy", word], "info", "x.npy")
            self.refused(2, ["x.npy", word], "encode", "x.npy", "c.tq")

    def test_wrong_fvecs_and_raw_files_are_refused(self):
        row = struct.pack("<i4f", 4, 1, 2, 3, 4)
        self.write("x.fvecs", row + row[:-1])
        self.refused(2, ["x.fvecs"], "encode", "x.fvecs", "c.tq")
        self.write("x.fvecs", row + struct.pack("<i4f", 3, 1, 2, 3, 4))
        self.refused(2, ["x.fvecs", "row 1:"], "encode", "x.fvecs", "c.tq")
        self.write("x.fvecs", struct.pack("<i", -1) + row)
        self.refused(2, ["x.fvecs", "byte 0"], "encode", "x.fvecs", "c.tq")
        self.write("x.f32", b"\0" * 20)
        self.refused(2, ["x.f32", "--dim"], "encode", "x.f32", "c.tq")
        self.refused(2, ["x.f32"], "encode", "x.f32", "c.tq", "--dim", "3")
        self.write("x.npy", npy(gauss(2, 4)))
        self.refused(2, ["x.npy", "5"], "encode", "x.npy", "c.tq", "--dim", "5")

    def test_a_file_cut_at_any_length_is_refused(self):
        data = self.codes()
        for size in list(range(0, 400)) + list(range(400, len(data), 37)) + [len(data) - 1]:
            self.write("x.tq", data[:size])
            self.refused(2, ["x.tq: "], "info", "x.tq")
            self.refused(2, ["x.tq: "], "decode", "x.tq", "o.npy")
        self.write("x.tq", data + b"\0")
        self.refused(2, ["x.tq: "], "info", "x.tq")

    def test_a_wrong_configuration_is_one_error_with_path_and_line(self):
        self.write("in.npy", npy(gauss(4, 8)))
        path = os.path.abspath("tq.conf")
        env = dict(os.environ, TQ_CONFIG=path)
        self.write("tq.conf", b"")
        if "libconfig" in run("info", "in.npy", env=env).stderr:
            self.skipTest("built without libconfig")
        cases = [
            ('threads = 1;\nlogg = "debug";\n', 2, ['"logg"', 'did you mean "log"']),
            ("# one\n\n\nplugin-path = [];\n", 4, ['did you mean "plugin_path"']),
            ("log = 3;\n", 1, ["log"]),
            ('threads = 1;\nthreads = "many";\n', 2, []),
            ('\nthreads = "many";\n', 2, ['"many"', "number"]),
            ("threads = -5;\n", 1, ["-5", "range 0..4096"]),
            ("threads = 4097;\n", 1, ["4097", "range 0..4096"]),
            ("profiles = {\n a = \"bits=4\";\n b = \"bots=4\"; };\n", 3, ["profile b", "did you mean 'bits'"]),
            ('profiles = { kv4 = "bits=4"; };\nprofile = "kv5";\n', 2, ['no profile "kv5"', 'did you mean "kv4"']),
            ('profile = "kv4";\n', 1, ['no profile "kv4"']),
            ("threads = 1;\nlog = {;\n", 2, ["syntax error"]),
        ]
        for text, line, words in cases:
            self.write("tq.conf", text.encode())
            words = ["%s:%d: " % (path, line), *words]
            self.refused(2, words, "encode", "in.npy", "c.tq", env=env)
            self.refused(2, words, "eval", "in.npy", env=env)
            self.refused(2, words, program=PROBE, env=env)
        os.remove("tq.conf")
        self.refused(2, [path], "encode", "in.npy", "c.tq", env=env)
        self.write("tq.conf", b'profiles = { mine = "bits=7"; };\nprofile = "mine";\n')
        r = run("encode", "in.npy", "c.tq", "--json", env=env)
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        self.assertIn("bits=7", json.loads(r.stdout)["spec"])

    def test_a_file_with_any_byte_changed_is_refused(self):
        data = self.codes(rows=3, dim=5)
        r = random.Random(3)
        for at in range(len(data)):
            bad = bytearray(data)
            bad[at] ^= 1 << r.randrange(8)
            self.write("x.tq", bad)
            self.refused(2, ["x.tq: "], "decode", "x.tq", "o.npy")
        bad = bytearray(data)
        bad[-1] ^= 1
        self.write("x.tq", bad)
        self.refused(2, ["x.tq: "], "info", "x.tq")

    def test_foreign_files_are_refused(self):
        for data in b"", b"x" * 63, b"x" * 5000, b"\0" * 4096, npy(gauss(9, 9)), self.read(TQ):
            self.write("x.tq", data)
            self.refused(2, ["x.tq"], "info", "x.tq")
            self.refused(2, ["x.tq"], "decode", "x.tq", "o.npy")
        self.refused(2, ["none.tq"], "info", "none.tq")
        os.mkfifo("pipe.tq")
        self.refused(2, ["pipe.tq"], "info", "pipe.tq")

    def test_json_is_valid_and_says_what_is_there(self):
        self.codes(rows=200)
        info = json.loads(self.ok("info", "c.tq", "--json"))
        self.assertEqual((info["rows"], info["dim"]), (200, 24))
        self.assertEqual([s["name"] for s in info["sections"]], ["spec", "centre", "codes"])
        self.assertEqual(info["bytes_per_row"] * 200, info["sections"][2]["bytes"])
        self.assertIn("bits=3", json.loads(self.ok("encode", "in.npy", "c.tq", "--json", "--spec", "bits=3"))["spec"])
        self.assertEqual(json.loads(self.ok("decode", "c.tq", "o.npy", "--json"))["rows"], 200)
        odd = 'a"\\\xe9\n.npy'
        os.rename("in.npy", odd)
        self.assertEqual(json.loads(self.ok("info", odd, "--json"))["file"], odd)

    def test_eval_measures_what_theory_says(self):
        self.write("in.npy", npy(gauss(1500, 64)))
        self.write("q.npy", npy(gauss(40, 64, 2)))
        specs = ["bits=%d correction=%s" % (b, c) for c in ("none", "norm", "ls", "unbiased", "qjl:gauss", "qjl:ortho",
                                                            "qjl:rht") for b in (1, 2, 4)]
        specs += ["bits=4 code=uniform", "code=sign bits=1 correction=none", "bits=2 center=both correction=unbiased",
                  "bits=2 center=data correction=unbiased", "bits=2 rotation=haar", "bits=2 rotation=givens:20"]
        args = [a for s in specs for a in ("--spec", s)]
        out = json.loads(self.ok("eval", "in.npy", "--queries", "q.npy", "--json", "--svg", "p.svg", *args))
        self.assertEqual([r["given"] for r in out["results"]], specs)
        for r in out["results"]:
            m, t = r["measured"], r["theory"]
            self.assertLess(abs(m["vnmse"] / t["vnmse"] - 1), .05, r)
            self.assertLess(abs(m["d_variance"] / t["d_variance"] - 1), .08, r)
            self.assertLess(abs(m["slope"] - t["slope"]), .05, r)
        self.assertAlmostEqual(out["results"][2]["theory"]["vnmse"], .009132, delta=.009132 * .005)
        self.assertAlmostEqual(out["results"][0]["theory"]["vnmse"], .358387, delta=.358387 * .001)
        self.assertIn("</svg>", self.read("p.svg").decode())

    def test_eval_has_no_theory_for_trellises_and_angles(self):
        self.write("in.npy", npy(gauss(200, 64)))
        args = ["eval", "in.npy", "--spec", "code=tcq bits=3", "--spec", "code=polar", "--svg", "p.svg"]
        for r in json.loads(self.ok(*args, "--json"))["results"]:
            self.assertEqual(r["theory"], {"vnmse": None, "slope": None, "d_variance": None})
            self.assertLess(r["measured"]["vnmse"], .035)
        self.assertEqual(self.ok(*args).count(" - |"), 6)
        self.assertNotIn("nan", self.read("p.svg").decode())

    def test_eval_with_held_out_queries_and_few_rows(self):
        for n in 2, 3, 25:
            self.write("in.npy", npy(gauss(n, 7)))
            self.assertIn("held out", self.ok("eval", "in.npy", "--spec", "bits=4"))
        self.write("in.npy", npy(gauss(1, 7)))
        self.refused(2, ["in.npy", "too few"], "eval", "in.npy")

    def test_sizes_of_a_cache(self):
        mla = json.loads(self.ok("kv", "size", "--layers", "1", "--kv-heads", "1", "--head-dim", "512", "--value-dim", "0",
                                 "--raw-dim", "64", "--tokens", "1280", "--spec", "bits=4 scale=bf16", "--json"))["sizes"][0]
        self.assertEqual((mla["bytes_per_token"], mla["total_bytes"], mla["plain_bytes"]), (386, 386 * 1280, 1152 * 1280))
        kv = ["kv", "size", "--layers", "2", "--kv-heads", "2", "--head-dim", "64", "--tokens", "1000", "--sinks", "4",
              "--window", "100", "--sequences", "3", "--json", "--spec"]
        both = json.loads(self.ok(*kv, "bits=4 / bits=2"))["sizes"][0]
        self.assertEqual(both["bytes_per_token"], 2 * 2 * (36 + 20))
        self.assertEqual(both["total_bytes"], both["coded_bytes"] + both["window_bytes"])
        split = "split=1,40-46 bits=4 scale=bf16 / bits=2 scale=bf16"  # 8 channels at 4 bits, 56 at 2: 6 + 16 bytes
        for spec, of_heads in (split, 22 + 22), (f"bits=3 / {split}", 28 + 22), (f"{split} / bits=3", 22 + 28):
            self.assertEqual(json.loads(self.ok(*kv, spec))["sizes"][0]["bytes_per_token"], 2 * 2 * of_heads)
        self.refused(2, ["bots", "bits"], *kv, "bots=4")
        self.refused(2, ["key_spec", "channel 64, where there are 64"], *kv, "split=64 bits=3 / bits=2")
        kv[-1] = "--profile"
        self.write("tq.conf", b'kv = { mine = { key = "bits=4"; value = "bits=2"; window = 9; overrides = '
                              b'( { layers = -1; value = "raw"; } ); }; wide = { overrides = ( { heads = 2; } ); }; };')
        os.environ["TQ_CONFIG"] = os.path.abspath("tq.conf")
        try:
            mine = json.loads(self.ok(*kv, "mine"))["sizes"][0]
            every = json.loads(self.ok("kv", "size", "--json"))["sizes"]
            self.refused(2, ["no KV profile", "did you mean"], *kv, "mien")
            self.refused(2, ["overrides[0]", "heads 2..2 of 2, 2"], *kv, "wide")
        finally:
            del os.environ["TQ_CONFIG"]
        self.assertEqual(mine["bytes_per_token"], 2 * (36 + 20) + 2 * (36 + 128))
        self.assertEqual([s.get("profile", s.get("spec")) for s in every], ["raw", "mine", "wide", "kv8", "kv4", "kv3", "kv2",
                                                                         "kv4-fine", "kv3-fine", "kv2-fine"])
        self.refused(2, ["--head-dim"], "kv", "size", "--head-dim", "0")
        self.refused(2, ["usage"], "kv", "grow")

    def dump(self, layers, kv_heads, heads, tokens, queries, d, dv, seed=3):
        """Keys with an offset; layer 0 looks sharply, the last one hardly."""
        r = random.Random(seed)

        def array(name, a, b, c, w, make):
            rows = [[make(i, j, x) for x in range(w)] for i in range(a) for j in range(b) for _ in range(c)]
            head = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d, %d, %d), }" % (a, b, c, w)
            self.write(name, npy(rows, header=head))
            return rows
        keys = array("k.npy", layers, kv_heads, tokens, d, lambda i, j, x: r.gauss(4.0 if x == 0 else 0.0, 1))
        values = array("v.npy", layers, kv_heads, tokens, dv, lambda i, j, x: r.gauss(0, 1))
        query = array("q.npy", layers, heads, queries, d, lambda i, j, x: r.gauss(0, 3.0 if i == 0 else 0.1))
        return keys, values, query

    def test_what_specs_do_to_attention(self):
        layers, kv_heads, heads, tokens, queries, d, dv = 2, 2, 4, 64, 3, 16, 8
        keys, values, query = self.dump(layers, kv_heads, heads, tokens, queries, d, dv)
        out = json.loads(self.ok("kv", "eval", "k.npy", "v.npy", "q.npy", "--spec", "raw", "--spec", "bits=2", "--spec",
                                 "bits=4", "--spec", "raw / bits=4", "--spec", "bits=3", "--center-tokens", "0", "--json", "--svg", "h.svg"))
        shapes = [out[k] for k in ("layers", "kv_heads", "query_heads", "tokens", "query_tokens", "key_dim", "value_dim")]
        self.assertEqual(shapes, [layers, kv_heads, heads, tokens, queries, d, dv])
        raw, two, four, values_only, three = out["results"]
        self.assertLess(raw["kl_mean"], 1e-5)
        self.assertLess(raw["output_error"], 1e-2)
        self.assertLess(four["kl_mean"], three["kl_mean"])
        self.assertLess(three["kl_mean"], two["kl_mean"])
        self.assertLess(three["kl_mean"], three["kl_999"])
        self.assertEqual(values_only["kl_mean"], raw["kl_mean"])
        self.assertGreater(values_only["output_error"], 5 * raw["output_error"])
        self.assertGreater(two["cells"][0]["kl_mean"], 10 * two["cells"][-1]["kl_mean"], "a sharp head loses more")
        self.assertTrue(self.read("h.svg").endswith(b"</svg>\n"))
        self.assertEqual(self.read("h.svg").count(b"<title>"), 5 * layers * kv_heads)
        # the keys of one head through tq encode and decode, and attention here
        self.write("k0.npy", npy([[struct.unpack("<e", struct.pack("<e", x))[0] for x in row] for row in keys[:tokens]]))
        self.ok("encode", "k0.npy", "k0.tq", "--spec", "bits=2")
        self.ok("decode", "k0.tq", "k0d.npy")
        flat = struct.unpack("<%df" % (tokens * d), self.read("k0d.npy")[-4 * tokens * d:])
        kl = []
        for h in range(heads // kv_heads):
            for i in range(queries):
                q = query[h * queries + i]
                seen = tokens - queries + i + 1
                a = [sum(x * y for x, y in zip(q, keys[t])) / math.sqrt(d) for t in range(seen)]
                b = [sum(x * y for x, y in zip(q, flat[t * d:])) / math.sqrt(d) for t in range(seen)]
                la, lb = (math.log(sum(math.exp(x) for x in v)) for v in (a, b))
                kl.append(sum(math.exp(x - la) * (x - la - y + lb) for x, y in zip(a, b)))
        want = sum(kl) / len(kl)
        self.assertAlmostEqual(two["cells"][0]["kl_mean"] / want, 1, places=3)
        other = ["code=tcq bits=3", "code=tcq:8 bits=4 / code=tcq bits=2", "code=polar", "code=polar:5 / raw", "code=uniform bits=3",
                 "bits=4 correction=qjl:rht / code=sign"]
        out = json.loads(self.ok("kv", "eval", "k.npy", "v.npy", "q.npy", "--center-tokens", "0", "--json",
                                 *(a for s in other for a in ("--spec", s))))["results"]
        self.assertEqual([r["spec"] for r in out], other)
        self.assertLess(out[0]["kl_mean"], three["kl_mean"])
        for r in out:
            self.assertTrue(raw["kl_mean"] < r["kl_mean"] < two["kl_mean"], r)
        self.refused(2, ["key_spec", "tcq", "1..4"], "kv", "eval", "k.npy", "v.npy", "q.npy", "--center-tokens", "0", "--spec",
                     "code=tcq bits=5")
        self.refused(2, ["q3.npy", "3 query heads"], "kv", "eval", "k.npy", "v.npy", self.write("q3.npy", npy(gauss(6, d), header=
                     "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 1, %d), }" % d)))
        self.refused(2, ["v.npy", "1 layers"], "kv", "eval", "k.npy", self.write("v.npy", npy(gauss(5, 8))), "q.npy")
        self.refused(2, ["learned from 128"], "kv", "eval", "k.npy", "k.npy", "q.npy")
        self.refused(2, ["more than 4"], "kv", "eval", self.write("k5.npy", npy(gauss(1, 8), header=
                     "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 1, 8), }")), "v.npy", "q.npy")

    def test_a_plan_is_a_profile_that_loads_and_keeps_its_budget(self):
        self.dump(2, 2, 4, 80, 4, 64, 64)
        plan = ["kv", "plan", "k.npy", "v.npy", "q.npy", "--center-tokens", "32", "--page", "64", "--output", "plan.conf", "--json"]
        before = None
        for budget in 8 * 20, 8 * 30, 8 * 38, 8 * 66:
            made = json.loads(self.ok(*plan, "--budget", str(budget), "--name", "mine"))
            os.environ["TQ_CONFIG"] = os.path.abspath("plan.conf")
            try:
                size = json.loads(self.ok("kv", "size", "--layers", "2", "--kv-heads", "2", "--head-dim", "64", "--profile", "mine",
                                          "--json"))["sizes"][0]
            finally:
                del os.environ["TQ_CONFIG"]
            self.assertEqual(size["bytes_per_token"], made["bytes_per_token"])
            self.assertLessEqual(made["bytes_per_token"], budget)
            cost = made["key_cost"] + made["value_cost"]
            if before:
                self.assertLess(cost, before)
            before = cost
            if budget == 8 * 30:
                bits = [int(c["key"].split("bits=")[1][0]) for c in made["cells"]]
                self.assertGreater(min(bits[:2]), max(bits[2:]), "keys that are looked at sharply get more")
        self.assertEqual({c["key"].split()[0] for c in made["cells"]}, {"bits=8"})
        once = self.read("plan.conf")
        self.ok(*plan, "--budget", str(8 * 66), "--name", "mine")
        self.assertEqual(self.read("plan.conf"), once)
        # other codes than the usual: a trellis has less error at the same bytes, so it is chosen wherever both are given
        specs = ["bits=2 effort=1", "code=tcq bits=2", "code=tcq bits=3", "bits=3", "code=polar:4", "bits=5"]
        made = json.loads(self.ok(*plan, "--budget", str(8 * 32), "--name", "mine", *(a for s in specs for a in ("--spec", s + " scale=bf16"))))
        chosen = {c[k] for c in made["cells"] for k in ("key", "value")}
        self.assertIn("code=tcq bits=2 scale=bf16", chosen)
        self.assertFalse(chosen & {"bits=2 effort=1 scale=bf16", "bits=3 scale=bf16"}, chosen)
        os.environ["TQ_CONFIG"] = os.path.abspath("plan.conf")
        try:
            out = json.loads(self.ok("kv", "eval", "k.npy", "v.npy", "q.npy", "--profile", "mine", "--spec", "bits=1 scale=bf16",
                                     "--center-tokens", "32", "--json"))["results"]
        finally:
            del os.environ["TQ_CONFIG"]
        self.assertEqual(out[0]["bytes_per_token"], made["bytes_per_token"])
        self.assertLess(out[0]["output_error"], out[1]["output_error"] / 2)
        self.refused(1, ["--budget"], *plan, "--budget", "70")
        self.refused(2, ["--budget is missing"], *plan)
        self.refused(2, ["threes"], *plan, "k.npy", "--budget", "300")
        self.refused(2, ["--name"], *plan, "--budget", "300", "--name", "a b")

    def test_usage_errors_exit_with_2_and_unmet_requests_with_1(self):
        self.write("in.npy", npy(gauss(4, 8)))
        self.refused(2, ["'nosuch'"], "nosuch")
        self.refused(2, [])
        self.refused(2, ["too few"], "encode", "in.npy")
        self.refused(2, ["one argument too many"], "info", "in.npy", "x")
        self.refused(2, ["--nosuch"], "info", "--nosuch", "in.npy")
        self.refused(2, ["--threads"], "info", "--threads", "0", "in.npy")
        self.refused(2, ["bots"], "encode", "in.npy", "c.tq", "--spec", "bots=4")
        self.refused(2, ["c.xyz"], "encode", "c.xyz", "c.tq")
        self.refused(1, ["nosuch"], "encode", "in.npy", "c.tq", "--driver", "nosuch")
        self.codes()
        self.refused(2, ["o.xyz"], "decode", "c.tq", "o.xyz")
        self.refused(2, ["o.f32"], "decode", "c.tq", "o.f32", "--type", "f16")
        self.refused(2, ["f64"], "decode", "c.tq", "o.npy", "--type", "f64")
        for command in [], ["encode"], ["decode", "c.tq"], ["info"], ["eval", "--spec", "bits=4"], ["kv", "size"]:
            self.assertIn("usage: tq COMMAND", self.ok(*command, "--help"))
        self.assertIn("tq ", self.ok("--version"))

    def test_a_given_rotation_codes_and_decodes_with_its_files_only(self):
        d, r = 16, random.Random(4)
        rows = gauss(40, d)
        self.write("in.npy", npy(rows))
        for name in ("turn", "pairs", "scales", "bad", "none"):
            os.mkdir(name)
        turn = [[1.0 - 2.0 / d if i == j else -2.0 / d for j in range(d)] for i in range(d)]
        self.write("turn/matrix.npy", npy(turn))
        self.write("pairs/angles.npy", npy([[r.uniform(-3, 3) for _ in range(5)] for _ in range(3)]))
        order = [i for _ in range(3) for i in r.sample(range(d), 10)]
        head = "{'descr': '<i4', 'fortran_order': False, 'shape': (3, 10), }"
        self.write("pairs/pairs.npy", npy([[]], header=head) + struct.pack("<30i", *order))
        self.write("pairs/scales.npy", npy([[0.5 + i for i in range(d)]]))
        self.write("scales/scales.npy", npy([[0.5 + i for i in range(d)]]))
        for name in ("turn", "pairs", "scales"):
            out = self.ok("encode", "in.npy", "c.tq", "--given", name, "--spec", "rotation=given bits=8")
            self.assertRegex(out, r"rotation=given:\d+ ")
            self.ok("decode", "c.tq", "out.npy", "--given", name)
            back = self.read("out.npy")[-4 * 40 * d:]
            back = struct.unpack("<%df" % (40 * d), back)
            worst = max(abs(a - b) for a, b in zip(back, (v for row in rows for v in row)))
            self.assertLess(worst, 1.0 if "scales.npy" in os.listdir(name) else 0.1, name)
            self.ok("eval", "in.npy", "--given", name, "--spec", "rotation=given bits=3", "--nq", "4")
            self.refused(2, ["no such numbers"], "decode", "c.tq", "other.npy")
        turn[2][5] += 0.01
        self.write("bad/matrix.npy", npy(turn))
        self.refused(2, ["bad: given.matrix: not orthogonal"], "encode", "in.npy", "d.tq", "--given", "bad")
        self.write("bad/matrix.npy", npy(turn[:5]))
        self.refused(2, ["bad/matrix.npy: 5 x 16 is not square"], "encode", "in.npy", "d.tq", "--given", "bad")
        self.refused(2, ["no matrix.npy"], "encode", "in.npy", "d.tq", "--given", "none")
        os.remove("pairs/scales.npy")
        self.refused(2, ["--dim does"], "encode", "in.npy", "d.tq", "--given", "pairs")
        os.remove("pairs/angles.npy")
        self.refused(2, ["pairs.npy and angles.npy"], "encode", "in.npy", "d.tq", "--given", "pairs")

    def test_two_groups_of_channels_have_a_spec_each(self):
        n, d, large = 300, 64, [3, 8, 21, 22, 40, 41, 50, 63]
        rows = [[v * (12 if i in large else 1) for i, v in enumerate(row)] for row in gauss(n, d)]
        self.write("in.npy", npy(rows))
        two = ("--spec", "bits=4 correction=none / bits=2 correction=none")
        self.assertIn("(3.250 bits per coordinate)", self.ok("encode", "in.npy", "c.tq", *two, "--split", "8"))
        info = json.loads(self.ok("info", "c.tq", "--json"))
        self.assertEqual(info["channels"], large)
        self.assertEqual(info["bytes_per_row"], 4 + 8 // 2 + 4 + 56 // 4)
        self.assertIn("bits=4 correction=none", info["spec"].split(" / ")[0])
        self.assertIn("channels 3 8 21", self.ok("info", "c.tq"))
        self.ok("decode", "c.tq", "out.npy")
        back = struct.unpack("<%df" % (n * d), self.read("out.npy")[-4 * n * d:])
        error, energy = [0, 0], [0, 0]
        for at, (a, b) in enumerate(zip(back, (v for row in rows for v in row))):
            error[at % d not in large] += (a - b)**2
            energy[at % d not in large] += b * b
        self.assertLess(abs(error[1] / energy[1] / .1142 - 1), .03)
        self.assertLess(error[0] / energy[0], .0095)
        # the list of a file, in any order, makes the same file
        head = "{'descr': '<i8', 'fortran_order': False, 'shape': (8,), }"
        self.write("list.npy", npy([[]], header=head) + struct.pack("<8q", *large[::-1]))
        self.ok("encode", "in.npy", "d.tq", *two, "--split-channels", "list.npy", "--threads", "3")
        self.assertEqual(self.read("c.tq"), self.read("d.tq"))
        got = json.loads(self.ok("eval", "in.npy", *two, "--spec", "bits=3", "--split", "8", "--nq", "5", "--json"))
        split, plain = got["results"]
        self.assertLess(split["measured"]["vnmse"], .6 * plain["measured"]["vnmse"])
        self.assertLess(abs(split["measured"]["vnmse"] / split["theory"]["vnmse"] - 1), .06)
        self.assertIsNone(split["theory"]["slope"])
        self.assertGreater(abs(split["measured"]["slope"]), .95)
        centred = ("--spec", "bits=3 center=both / bits=2 center=both", "--nq", "5")
        self.assertAlmostEqual(json.loads(self.ok("eval", "in.npy", *centred, "--split", "8", "--json"))["results"][0][
            "measured"]["slope"], 1, delta=.06)
        self.refused(2, ["two groups"], "encode", "in.npy", "e.tq", *two)
        self.refused(2, ["need a --spec for each group"], "encode", "in.npy", "e.tq", "--split", "8")
        self.refused(2, ["exclude"], "encode", "in.npy", "e.tq", *two, "--split", "8", "--split-channels", "list.npy")
        self.refused(2, ["--split: 64 of 64"], "encode", "in.npy", "e.tq", *two, "--split", "64")
        self.refused(2, ["--split"], "encode", "in.npy", "e.tq", *two, "--split", "0")
        self.refused(2, ["same center"], "encode", "in.npy", "e.tq", "--split", "8", "--spec", "bits=3 / center=both")
        self.refused(2, ["'bots"], "encode", "in.npy", "e.tq", "--split", "8", "--spec", "bits=3 / bots=2")
        self.refused(2, ["'bots"], "eval", "in.npy", "--split", "8", "--spec", "bits=3 / bots=2")
        self.refused(2, ["--split belongs"], "decode", "c.tq", "o.npy", "--split", "8")
        self.write("list.npy", npy([[]], header=head) + struct.pack("<8q", *large[:7], 64))
        self.refused(2, ["is 64, of 64 channels"], "encode", "in.npy", "e.tq", *two, "--split-channels", "list.npy")
        self.write("list.npy", npy([[]], header=head) + struct.pack("<8q", *large[:7], -1))
        self.refused(2, ["-1 is no coordinate"], "encode", "in.npy", "e.tq", *two, "--split-channels", "list.npy")
        rows[7][5] = float("nan")
        self.write("nan.npy", npy(rows))
        self.refused(2, ["nan.npy", "row 7"], "encode", "nan.npy", "e.tq", *two, "--split", "8")

    def test_the_centre_is_the_mean_or_the_file(self):
        rows = [[int(x * 64) / 16 + 50 for x in r] for r in gauss(64, 8)]
        self.write("in.npy", npy(rows))
        self.write("m.npy", npy([[sum(r[j] for r in rows) / 64 for j in range(8)]]))
        self.ok("encode", "in.npy", "a.tq", "--spec", "center=data")
        self.ok("encode", "in.npy", "b.tq", "--spec", "center=data", "--centre", "m.npy")
        self.assertEqual(self.read("a.tq"), self.read("b.tq"))
        self.refused(2, ["in.npy", "64 rows"], "encode", "in.npy", "c.tq", "--spec", "center=data", "--centre", "in.npy")
        self.refused(2, ["m.npy", "center=off"], "encode", "in.npy", "c.tq", "--centre", "m.npy")


if __name__ == "__main__":
    unittest.main(verbosity=2)

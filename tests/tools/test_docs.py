#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/TOOLS.md has every option of --help and every key of --json, and no others. usage: test_docs.py TQ PROBE MD"""
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import unittest

MD = open(sys.argv.pop(3), encoding="utf-8").read()
PROBE = os.path.abspath(sys.argv.pop(2))
TQ = os.path.abspath(sys.argv.pop(1))
OPTION = re.compile(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*")


def section(name):
    return re.search(r"^## %s$(.*?)(?=^## |\Z)" % name, MD, re.M | re.S)[1]


def out(*args):
    r = subprocess.run(args, capture_output=True, text=True, timeout=300)
    if r.returncode:
        raise AssertionError("%s: %d: %s" % (args, r.returncode, r.stderr))
    return r.stdout


def keys(value):
    if isinstance(value, dict):
        return set(value).union(*map(keys, value.values()))
    return set().union(*map(keys, value)) if isinstance(value, list) else set()


class Docs(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        os.chdir(self.dir.name)
        rows = [[((i * 37 + j * 11) % 29) - 14.0 for j in range(16)] for i in range(40)]
        with open("v.fvecs", "wb") as f:
            for r in rows:
                f.write(struct.pack("<i16f", 16, *r))

    def tearDown(self):
        os.chdir("/")
        self.dir.cleanup()

    def options(self, program, name):
        said, done = set(OPTION.findall(section(name))), set(OPTION.findall(out(program, "--help")))
        self.assertGreater(len(done), 8)
        self.assertEqual(done - said, set(), "options that TOOLS.md lacks")
        self.assertEqual(said - done, set(), "options that only TOOLS.md has")

    def test_options_of_tq(self):
        self.options(TQ, "tq")

    def test_options_of_tq_probe(self):
        self.options(PROBE, "tq-probe")

    def documented(self, name, *args):
        for key in keys(json.loads(out(*args))):
            self.assertRegex(section(name), r"`(\w+\.)?%s[.`]" % re.escape(key), "JSON key of %s" % " ".join(args[1:]))

    def test_json_keys(self):
        self.documented("tq", TQ, "encode", "v.fvecs", "v.tq", "--json")
        self.documented("tq", TQ, "info", "v.tq", "--json")
        self.documented("tq", TQ, "info", "v.fvecs", "--json")
        out(TQ, "encode", "v.fvecs", "s.tq", "--spec", "bits=3 / bits=2", "--split", "4")
        self.documented("tq", TQ, "info", "s.tq", "--json")
        self.documented("tq", TQ, "decode", "v.tq", "w.npy", "--json")
        self.documented("tq", TQ, "eval", "v.fvecs", "--spec", "bits=2", "--json")
        self.documented("tq", TQ, "kv", "size", "--json")
        self.documented("tq", TQ, "index", "build", "v.fvecs", "i.tq", "--json")
        self.documented("tq", TQ, "index", "search", "i.tq", "v.fvecs", "--json")
        self.documented("tq", TQ, "index", "eval", "v.fvecs", "v.fvecs", "--json")
        for name in "kvq":
            head = "{'descr': '<f4', 'fortran_order': False, 'shape': (40, 16), }"
            head += " " * (-(len(head) + 11) % 64) + "\n"
            with open(name + ".npy", "wb") as f:
                f.write(b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head.encode())
                f.write(struct.pack("<640f", *[((i * 31 + ord(name)) % 23) - 11.0 for i in range(640)]))
        self.documented("tq", TQ, "kv", "eval", "k.npy", "v.npy", "q.npy", "--center-tokens", "16", "--json")
        self.documented("tq", TQ, "kv", "plan", "k.npy", "v.npy", "q.npy", "--center-tokens", "16", "--budget", "40", "--json",
                        "--output", "p.conf")
        self.documented("tq-probe", PROBE, "--json")
        self.documented("tq-probe", PROBE, "--explain", "", "--dim", "16", "--json")
        json.loads(out(PROBE, "--machine", "--json"))

    def test_profile_stands_where_no_spec_is_given(self):
        with open("tq.conf", "w", encoding="utf-8") as f:
            f.write('profile = "p"; profiles = { p = "bits=2 correction=norm"; };')
        os.environ["TQ_CONFIG"] = os.path.abspath("tq.conf")
        try:
            spec = json.loads(out(TQ, "encode", "v.fvecs", "p.tq", "--json"))["spec"]
            given = json.loads(out(TQ, "encode", "v.fvecs", "p.tq", "--spec", "bits=3", "--json"))["spec"]
        finally:
            del os.environ["TQ_CONFIG"]
        self.assertIn("bits=2 correction=norm", spec)
        self.assertIn("bits=3 correction=ls", given)

    def test_exit_codes(self):
        for code, args in [(2, [TQ, "info", "missing.tq"]), (2, [TQ, "encode", "v.fvecs", "x.tq", "--spec", "bitz=2"]),
                           (1, [TQ, "encode", "v.fvecs", "x.tq", "--driver", "nobody"]), (2, [PROBE, "--explain", ""]),
                           (1, [PROBE, "--explain", "", "--dim", "16", "--driver", "nobody"]),
                           (2, [PROBE, "--dump-config", "--json"]), (2, [PROBE, "--isolate"])]:
            r = subprocess.run(args, capture_output=True, text=True, timeout=60)
            self.assertEqual((r.returncode, r.stderr.count("\n")), (code, 1), (args, r))


unittest.main(verbosity=0)

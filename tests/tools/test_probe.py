#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tq-probe from outside: lists, reasons, exit codes, plugins under test. usage: test_probe.py PROBE ZOO CRASH"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

CRASH = os.path.abspath(sys.argv.pop(3))
ZOO = os.path.abspath(sys.argv.pop(2))
PROBE = os.path.abspath(sys.argv.pop(1))


def run(*args):
    return subprocess.run([PROBE, *args], capture_output=True, text=True, timeout=100)


class Probe(unittest.TestCase):
    def ok(self, *args):
        r = run(*args)
        self.assertEqual((r.returncode, r.stderr), (0, ""), r)
        return r.stdout

    def refused(self, code, words, *args):
        r = run(*args)
        self.assertEqual(r.returncode, code, r)
        self.assertEqual(r.stderr.count("\n"), 1, r.stderr)
        for word in words:
            self.assertIn(word, r.stderr)
        return r.stdout

    def test_a_line_for_each_driver_and_the_same_as_json(self):
        text, drivers = self.ok(), json.loads(self.ok("--json"))["drivers"]
        lines = [line.split()[:2] for line in text.split("\n\n")[0].split("\n")[1:]]
        self.assertEqual(lines, [[d["name"], d["driver"]] for d in drivers])
        self.assertIn(["rotate(rht)", "rht-scalar"], lines)
        verbose = self.ok("-v").split("\n\n")[0]
        self.assertEqual(len(verbose.split("\n")), 1 + 2 * len(lines))
        self.assertIn("plugin scalar ", verbose)
        for d in drivers:
            self.assertIn(d["state"], ("capable", "not present", "deferred"), d)
            self.assertNotEqual(d["reason"], "", d)
        self.assertIn("architecture: ", text)
        self.assertIn("topology", text)
        self.assertIn("architecture", json.loads(self.ok("--machine", "--json")))

    def test_explain_gives_each_candidate_a_reason(self):
        d = json.loads(self.ok("--explain", "bits=3", "--dim", "100", "--driver", "scalar", "--json"))
        self.assertEqual((d["dim"], d["bytes_per_row"]), (100, 42))
        self.assertEqual(d["drivers"]["rotate"], "rht-scalar")
        self.assertIn("rotate(rht) rht-scalar: chosen: pinned", d["reasons"])
        text = self.ok("--explain", "center=both correction=qjl:rht", "--dim", "1")
        for stage in "rotate", "sketch", "quantize", "score":
            self.assertRegex(text, r"(?m)^%s +\w+-\w+$" % stage)
        self.assertRegex(text, r"(?m)^score\(grid\) \S+: chosen: ")

    def test_what_cannot_be_explained(self):
        self.refused(2, ["--dim"], "--explain", "bits=3")
        for dim in "0", "65537", "-1", "x", "":
            self.refused(2, ["--dim"], "--explain", "bits=3", "--dim", dim)
        self.refused(2, ["'bots'", "did you mean 'bits'"], "--explain", "bots=3", "--dim", "8")
        self.refused(1, ["no driver or plugin", "nosuch"], "--explain", "", "--dim", "8", "--driver", "nosuch")
        self.refused(1, ["rotate(housholder): no usable driver has this rotation"], "--explain",
                     "rotation=housholder:3", "--dim", "8", "--driver", "scalar")
        self.refused(1, ["8192"], "--explain", "rotation=haar", "--dim", "8193")

    def test_options_that_would_be_ignored_are_mistakes(self):
        for args in (["--driver", "avx2"], ["--dim", "8"], ["--isolate"], ["--output", "x"], ["--json", "--dump-config"],
                     ["--selftest", "--machine"], ["--machine", "--show-config"], ["-v", "--machine"],
                     ["--config", "x", "--dump-config"], ["--explain", "", "--dim", "8", "--selftest"], ["x"], ["--nosuch"],
                     ["--conform"], ["--explain", "", "--dim", "8", "--conform", "x.so"]):
            self.refused(2, [], *args)

    def test_a_configuration_that_is_not_there(self):
        self.refused(2, ["/nonexistent/tq.conf"], "--config", "/nonexistent/tq.conf")
        self.assertIn("#threads = 1;", self.ok("--dump-config"))
        self.assertIn("# default", self.ok("--show-config"))

    def conform(self, name, *args):
        return self.refused(1, [name], "--conform", os.path.join(ZOO, "tq-%s.so" % name), *args)

    def test_a_good_plugin_conforms(self):
        for args in [], ["--isolate"]:
            self.assertIn("selectable   passed", self.ok("--conform", os.path.join(ZOO, "tq-good.so"), *args))
        self.assertEqual(json.loads(self.ok("--conform", os.path.join(ZOO, "tq-good.so"), "--json"))["failed"], 0)

    def test_a_wrong_plugin_does_not(self):
        for name, state, reason in (("wrong", "failed test", "golden vectors"), ("pastend", "failed test", "past the end"),
                                    ("constructor", "rejected", "constructor"), ("magic", "rejected", "magic"),
                                    ("scalar", "rejected", "taken")):
            for args in [], ["--isolate"]:
                d = json.loads(self.conform(name, "--json", *args))
                self.assertEqual(d["failed"], 1)
                self.assertEqual(d["drivers"][0]["state"], state)
                self.assertIn(reason, d["drivers"][0]["reason"])

    def test_a_crash_is_a_result_in_a_process_of_its_own(self):
        self.assertEqual(self.refused(1, ["tq-crash.so", "crashed with signal"], "--conform", CRASH, "--isolate"), "")
        d = json.loads(self.refused(1, ["crashed"], "--conform", CRASH, "--isolate", "--json"))
        self.assertEqual((d["file"], d["drivers"], d["failed"]), (CRASH, [], 1))

    def test_what_is_no_plugin(self):
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(os.path.join(ZOO, "tq-good.so"), os.path.join(folder, "good.so"))
            for name, data in ("tq-text.so", "text"), ("notes.txt", "text"):
                with open(os.path.join(folder, name), "w") as f:
                    f.write(data)
            for name, reason in (("good.so", "plugin files are called tq-NAME.so"), ("tq-text.so", "no ELF magic"),
                                 ("notes.txt", "plugin files are called tq-NAME.so")):
                path = os.path.join(folder, name)
                d = json.loads(self.refused(1, [name], "--conform", path, "--json"))
                self.assertIn(reason, d["drivers"][0]["reason"])
        self.refused(2, ["no such file"], "--conform", "/nonexistent/tq-x.so")

    def test_a_profile_that_cannot_be_written_is_found_before_the_measuring(self):
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "missing", "profile")
            self.assertEqual(self.refused(2, [path], "--calibrate", "--output", path), "")
        self.assertLess(time.monotonic() - start, 20)


if __name__ == "__main__":
    unittest.main(verbosity=2)

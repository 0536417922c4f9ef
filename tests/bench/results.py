# SPDX-License-Identifier: Apache-2.0
"""The benchmarks' JSON files (schema tq-bench/1) as one list to pick from."""
import json
import os

PROGRAMS = ("score", "encode", "top_k", "attend", "growth", "threads", "peers")
#: widest first: the plugin that the tables put in front
SIMD = ("avx512", "neon", "avx2")


class Results:
    def __init__(self, folder):
        self.files, self.rows = {}, []
        for program in PROGRAMS:
            path = os.path.join(folder, program + ".json")
            if not os.path.exists(path):
                continue
            with open(path, encoding="utf-8") as f:
                data = json.load(f)
            if data["schema"] != "tq-bench/1":
                raise SystemExit(f"{path}: schema {data['schema']} is not tq-bench/1")
            self.files[program] = data
        for program, data in self.files.items():
            for row in data["results"]:
                # a run of the threads alone stands for the same part of growth
                if program == "growth" and "threads" in self.files and row["name"].startswith("threads"):
                    continue
                self.rows.append(row)

    def pick(self, name, **keys):
        """All rows of this name whose fields equal the keys."""
        return [r for r in self.rows if r["name"] == name and all(r.get(k) == v for k, v in keys.items())]

    def one(self, name, **keys):
        """The only row, or None."""
        rows = self.pick(name, **keys)
        return rows[0] if rows else None

    def plugins(self, name):
        """SIMD plugins that have results of this name, widest first."""
        there = {r["driver"] for r in self.pick(name)}
        return [p for p in SIMD if p in there]

    def values(self, name, key, **keys):
        return sorted({r[key] for r in self.pick(name, **keys)})

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Crash the log for hours: log_crash_test of a release build, batch after batch of seeds, each kind its equal share.

    crash.py BUILD FOLDER [--points N] [--seconds S]

FOLDER/batches has a line for each batch that went well: kind, first and last seed, points, processor seconds, commit. A run
that is stopped goes on there when it is started again; the kind with the fewest points is next. Ends with N points in all
(1e8), after S seconds, or with the first failure, whose output is FOLDER/failed. --points 0 only says how far it is.
"""
import argparse
import collections
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
KINDS = {"short": 400, "recovery": 500, "long": 160, "segments": 100, "disks": 500}  # seeds a batch: some ten seconds


def read(path):
    """Points and processor seconds of each kind so far, and its last seed."""
    points, seconds, last = collections.Counter(), collections.Counter(), collections.Counter()
    for line in path.read_text().splitlines() if path.exists() else []:
        kind, _, to, n, took = line.split()[:5]
        points[kind] += int(n)
        seconds[kind] += float(took)
        last[kind] = max(last[kind], int(to))
    return points, seconds, last


def run(program, kind, first, last):
    """Points, processor seconds; or the output of a failure."""
    env = {**os.environ, "GW_SIM_FIRST": str(first), "GW_SIM_SEEDS": str(last)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([program, kind + "*"], env=env, cwd=ROOT, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    n = re.search(r": (\d+) crash points", done.stdout)
    if done.returncode or not n:
        return None, done.stdout[-20000:] + done.stderr[-20000:]
    return int(n[1]), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def say(points, seconds):
    for kind in KINDS:
        print(f"{kind:9} {points[kind]:12,} points, {points[kind] / max(seconds[kind], 0.01):8,.0f} a second of a core")
    n, s = sum(points.values()), sum(seconds.values())
    print(f"{'in all':9} {n:12,} points, {n / max(s, 0.01):8,.0f} a second of a core, nothing acknowledged was lost", flush=True)


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("build", type=pathlib.Path)
    p.add_argument("folder", type=pathlib.Path)
    p.add_argument("--points", type=float, default=1e8)
    p.add_argument("--seconds", type=float, default=1e9)
    a = p.parse_args()
    a.folder.mkdir(parents=True, exist_ok=True)
    batches, program, until = a.folder / "batches", a.folder / "log_crash_test", time.monotonic() + a.seconds
    points, seconds, last = read(batches)
    if a.points:
        shutil.copy2(a.build / "log_crash_test", program)  # builds go on meanwhile
    commit = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    while sum(points.values()) < a.points and time.monotonic() < until:
        kind = min(KINDS, key=lambda k: points[k])
        first, to = last[kind] + 1, last[kind] + KINDS[kind]
        n, took = run(program.resolve(), kind, first, to)
        if n is None:
            (a.folder / "failed").write_text(f"{kind} {first} {to} {commit}\n{took}")
            sys.exit(f"{kind}, seeds {first} to {to}: failed, see {a.folder}/failed")
        with batches.open("a") as f:
            f.write(f"{kind} {first} {to} {n} {took:.2f} {commit}\n")
        points[kind] += n
        seconds[kind] += took
        last[kind] = to
        print(f"{sum(points.values()):,} points: {kind}, seeds {first} to {to}, {n} in {took:.1f} s", flush=True)
    say(points, seconds)


main()

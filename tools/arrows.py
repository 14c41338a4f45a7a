#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Check every #include "room/..." against docs/arrows.txt.   arrows.py ROOT [--dot]

With --dot: print the real arrows as a graph instead.
"""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
allowed = {}
for line in (root / "docs/arrows.txt").read_text().splitlines():
    if line and not line.startswith("#"):
        room, _, others = line.partition(":")
        allowed[room.strip()] = set(others.split())

bad, real = 0, set()
for room in allowed:
    for path in sorted((root / room).rglob("*.[ch]")):
        for n, line in enumerate(path.read_text().splitlines(), 1):
            m = re.match(r'\s*#include "([a-z0-9_-]+)/', line)
            if not m or m[1] == room or m[1] not in allowed:
                continue
            real.add((room, m[1]))
            if "*" not in allowed[room] and m[1] not in allowed[room]:
                print(f"{path.relative_to(root)}:{n}: {room} may not include {m[1]}")
                bad += 1
if "--dot" in sys.argv:
    print("digraph house {", *(f'  "{a}" -> "{b}";' for a, b in sorted(real) if a not in ("tests", "bench")), "}", sep="\n")
else:
    print(f"{len(real)} arrows, {bad} forbidden")
sys.exit(1 if bad else 0)

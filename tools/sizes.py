#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Print the sizes of files and functions; fail on a function of over 100 lines without `/* long: why */` above it.

    sizes.py ROOT [--top N]
"""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
top = int(sys.argv[sys.argv.index("--top") + 1]) if "--top" in sys.argv else 0
rooms = ("core batch otlp-proto net pipeline queue receivers processors connectors extensions exporters config runtime"
         " log state values ottl series tools").split()
files, functions, bad = [], [], 0


def quantiles(values):
    values = sorted(values) or [0]
    return " / ".join(str(values[min(len(values) - 1, int(len(values) * q))]) for q in (0.5, 0.9, 1))


for room in rooms:
    for path in sorted((root / room).rglob("*.[ch]")):
        lines = path.read_text().splitlines()
        files.append((len(lines), path))
        start = None
        for n, line in enumerate(lines):
            if line == "{" and n and lines[n - 1][:1] not in ("}", "#", ""):
                start = n
            elif line.startswith("}") and start is not None:
                size = n - start + 1
                name = " ".join(lines[max(0, start - 3):start])
                functions.append((size, path, start))
                why = any("/* long:" in x for x in lines[max(0, start - 8):start])
                if size > 100 and not why:
                    print(f"{path.relative_to(root)}:{start + 1}: a function of {size} lines must say why: /* long: … */")
                    bad += 1
                start = None
print(f"{len(files)} files, lines p50/p90/max {quantiles([f[0] for f in files])}")
print(f"{len(functions)} functions, lines p50/p90/max {quantiles([f[0] for f in functions])}")
for size, path, start in sorted(functions, key=lambda f: -f[0])[:top]:
    print(f"{size:5} {path.relative_to(root)}:{start + 1}")
sys.exit(1 if bad else 0)

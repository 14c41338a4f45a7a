#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# with-file.sh BUILD TARGET FILE COPY PROGRAM: link TARGET of a build as PROGRAM, with COPY compiled in the place of FILE.
# The same commands as for the real one; the linker takes what it has before it looks into libraries.
set -euo pipefail
build=$(cd "$1" && pwd) target=$2 file=$PWD/$3 copy=$4 program=$5
cd "$build"
bash -e <<<"$(python3 - "$file" "$copy" "$program.o" <<'PY'
import json, shlex, sys
source, copy, out = sys.argv[1:]
words = next(shlex.split(c["command"]) for c in json.load(open("compile_commands.json")) if c["file"] == source)
words[words.index(source)] = copy
words[words.index("-o") + 1] = out
print(shlex.join(words))
PY
)"
link=$(ninja -t commands "$target" | tail -n 1)
bash -ec "${link/ -o $target / $program.o -o $program }"

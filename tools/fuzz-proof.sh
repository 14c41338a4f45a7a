#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fuzz-proof.sh BUILD [TARGET...]: does the fuzzer find what it is for? Each tests/fuzz/planted/<target>.patch makes the
# code read one byte too far, or write what it must not. It is applied to a copy of its file below BUILD/proof, the
# target is linked with that, and must find it within 10 seconds from the kept corpus. One line a target.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[ $# -ge 1 ] && [ -d "$1" ] || { sed -n '3,5p' "$0"; exit 64; }
build=$(cd "$1" && pwd)
shift
cd "$root"
[ $# -gt 0 ] || set -- $(basename -s .patch tests/fuzz/planted/*.patch)

# plant WHAT: BUILD/proof/WHAT/fuzz_WHAT
plant() {
    local what=$1 dir=$build/proof/$1 file
    file=$(sed -n 's,^+++ b/,,p' "tests/fuzz/planted/$what.patch")
    rm -rf "$dir"
    mkdir -p "$dir/$(dirname "$file")"
    cp "$file" "$dir/$file"
    (cd "$dir" && GIT_CEILING_DIRECTORIES=$build/proof git apply "$root/tests/fuzz/planted/$what.patch") ||
        { echo "$what: $file has changed: plant its mistake anew"; return 1; }
    # The same commands as for the real one, with another file; the linker takes what it has before it looks into libraries.
    (cd "$build" && bash -e <<<"$(python3 - "$root/$file" "$dir/$file" "$dir/planted.o" <<'PY'
import json, shlex, sys
source, copy, target = sys.argv[1:]
words = next(shlex.split(c["command"]) for c in json.load(open("compile_commands.json")) if c["file"] == source)
words[words.index(source)] = copy
words[words.index("-o") + 1] = target
print(shlex.join(words))
PY
)"
        link=$(ninja -t commands "fuzz_$what" | tail -n 1)
        bash -ec "${link/ -o fuzz_$what / proof/$what/planted.o -o proof/$what/fuzz_$what }")
}

# prove WHAT
prove() {
    local what=$1 dir=$build/proof/$1 from=${EPOCHREALTIME/./} ms
    mkdir -p "$dir/corpus"
    if (cd "$dir" && "./fuzz_$what" -seed=1 -max_total_time=10 -rss_limit_mb=1024 -close_fd_mask=1 -detect_leaks=0 -artifact_prefix="$dir/" \
        corpus "$root/tests/fuzz/corpus/$what") >"$dir/log" 2>&1; then
        printf '%-11s the planted mistake was NOT found in 10 s, log %s\n' "$what" "$dir/log"
        return 1
    fi
    ms=$(((${EPOCHREALTIME/./} - from) / 1000))
    printf '%-11s planted mistake found in %d.%03d s: %s\n' "$what" $((ms / 1000)) $((ms % 1000)) \
        "$(grep -o -m 1 'AddressSanitizer: [a-z-]*\|_fuzz: .*\|libFuzzer: .*' "$dir/log" | head -n 1)"
}
bad=
for t in "$@"; do plant "$t" && prove "$t" || bad=1; done
[ -z "$bad" ]

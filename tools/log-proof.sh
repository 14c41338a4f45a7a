#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# log-proof.sh BUILD [MISTAKE...]: does the crash harness find what it is for? Each tests/log/planted/<mistake>.patch puts
# one of the classical mistakes of logs into a copy of its file below BUILD/proof; log_crash_test is linked with that, and
# must fail. One line a mistake: how many crashes it took.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[ $# -ge 1 ] && [ -d "$1" ] || { sed -n '3,5p' "$0"; exit 64; }
build=$(cd "$1" && pwd)
shift
cd "$root"
[ $# -gt 0 ] || set -- $(basename -s .patch tests/log/planted/*.patch)

# plant MISTAKE: BUILD/proof/log-MISTAKE/test
plant() {
    local dir=$build/proof/log-$1 file
    file=$(sed -n 's,^+++ b/,,p' "tests/log/planted/$1.patch")
    rm -rf "$dir"
    mkdir -p "$dir/$(dirname "$file")"
    cp "$file" "$dir/$file"
    (cd "$dir" && GIT_CEILING_DIRECTORIES=$build/proof git apply "$root/tests/log/planted/$1.patch") ||
        { echo "$1: $file has changed: plant its mistake anew"; return 1; }
    tools/with-file.sh "$build" log_crash_test "$file" "$dir/$file" "$dir/test"
}

# prove MISTAKE
prove() {
    local log=$build/proof/log-$1/output kind
    for kind in 'short*' 'recovery*' 'segments*' 'disks*'; do
        GW_SIM_SEEDS=30 timeout 120 "$build/proof/log-$1/test" "$kind" >"$log" 2>&1 && continue
        printf '%-20s found: %s\n' "$1" "$(grep -a -o -m 1 '[a-z]*, seed .*' "$log" || echo 'a crash or an assertion, see '"$log")"
        return 0
    done
    printf '%-20s was NOT found, log %s\n' "$1" "$log"
    return 1
}
bad=
for m in "$@"; do plant "$m" && prove "$m" || bad=1; done
[ -z "$bad" ]

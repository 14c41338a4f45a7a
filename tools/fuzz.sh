#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fuzz.sh BUILD SECONDS [TARGET...]: run each fuzz target for SECONDS, two at a time, from its kept corpus. New inputs go
# to BUILD/corpus/<what>, crashes to BUILD/crash-*; one line a target.
set -euo pipefail
build=$1 seconds=$2
shift 2
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[ $# -gt 0 ] || for f in "$build"/fuzz_*; do [ -x "$f" ] && [ -f "$f" ] && set -- "$@" "$(basename "$f")"; done
one() {
    local t=$1 what=${1#fuzz_} log="$build/$1.log"
    mkdir -p "$build/corpus/$what"
    if "$build/$t" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -close_fd_mask=1 \
        -artifact_prefix="$build/crash-$what-" "$build/corpus/$what" "$root/tests/fuzz/corpus/$what" >"$log" 2>&1; then
        printf '%-24s %s inputs run, coverage %s\n' "$what" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
            "$(grep -o 'cov: [0-9]*' "$log" | tail -n 1)"
    else
        tail -n 40 "$log"
        printf '%-24s FAILED, log %s\n' "$what" "$log"
        return 1
    fi
}
export -f one
export build seconds root
printf '%s\n' "$@" | xargs -P2 -I{} bash -c 'one {}'

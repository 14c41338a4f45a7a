#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fuzz.sh BUILD SECONDS [TARGET...]: run each fuzz target for SECONDS, two at a time, from its kept corpus. New inputs go
# to BUILD/corpus/<what>, emptied first; crashes to BUILD/crash-*; one line a target.
#
# FUZZ_SEED (random when unset, printed) decides everything that comes: the kept inputs are handed over in the order of
# their names, nothing of an earlier run is read, addresses (libFuzzer learns from all numbers that are compared) are the
# same each time. One seed tries the same inputs in the same order everywhere; a faster machine only gets further.
# FUZZ_JOBS (2) targets run at a time.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[ $# -ge 2 ] && [ -d "$1" ] || { sed -n '3,9p' "$0"; exit 64; }
build=$(cd "$1" && pwd) seconds=$2 seed=${FUZZ_SEED:-$((1 + RANDOM * 32768 + RANDOM))}
shift 2
[ $# -gt 0 ] || for f in "$build"/fuzz_*; do [ -x "$f" ] && [ -f "$f" ] && set -- "$@" "$(basename "$f")"; done
# Without random addresses, where the container allows it.
fixed=; setarch -R true 2>/dev/null && fixed="setarch -R"
one() {
    local t=$1 what=${1#fuzz_} log="$build/$1.log"
    cd "$build"
    rm -rf "corpus/$what" "inputs/$what"
    mkdir -p "corpus/$what" inputs
    ln -s "$root/tests/fuzz/corpus/$what" "inputs/$what"
    cp "$root/tests/lsan.supp" "inputs/$what.supp"
    # libFuzzer sorts by size alone; among equals the folder's order, which differs between machines, would decide.
    find "inputs/$what/" -type f | LC_ALL=C sort | paste -sd, >"inputs/$what.list"
    # Arguments and environment lie on the stack: no word of them may depend on the place or the user.
    if env -i ASAN_OPTIONS=detect_leaks=1 LSAN_OPTIONS="suppressions=inputs/$what.supp:print_suppressions=0" \
        UBSAN_OPTIONS=print_stacktrace=1 PATH=/usr/bin:/bin $fixed "./$t" -seed="$seed" -max_total_time="$seconds" \
        -timeout=30 -rss_limit_mb=1024 -print_final_stats=1 -reload=0 -close_fd_mask=1 -artifact_prefix="crash-$what-" -seed_inputs="@inputs/$what.list" "corpus/$what" >"$log" 2>&1; then
        printf '%-24s %s inputs run, coverage %s\n' "$what" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
            "$(grep -o 'cov: [0-9]*' "$log" | tail -n 1)"
    else
        tail -n 40 "$log"
        printf '%-24s FAILED with seed %s, log %s; again: FUZZ_SEED=%s tools/fuzz.sh %s %s %s\n' \
            "$what" "$seed" "$log" "$seed" "${build#"$root"/}" "$seconds" "$t"
        return 1
    fi
}
export -f one
export build seconds root seed fixed
echo "seed $seed"
printf '%s\n' "$@" | xargs -P"${FUZZ_JOBS:-2}" -I{} bash -c 'one {}'

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# coverage.sh: line coverage of what the fuzz targets are for, by their kept corpus. Fails below 95 %.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=build-cov
cmake -S . -B $build -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_COMPILER=clang \
    "-DCMAKE_C_FLAGS=-fprofile-instr-generate -fcoverage-mapping" >/dev/null
# what: the files whose lines count
targets="decode:otlp-proto/decode.c,otlp-proto/decode_logs.c,otlp-proto/decode_metrics.c,otlp-proto/decode_points.c,otlp-proto/decode_traces.c,otlp-proto/decode_value.c,otlp-proto/canon.c,otlp-proto/wire.c,otlp-proto/utf8.c
json:otlp-proto/json_read.c,otlp-proto/json_text.c,otlp-proto/json_fields.c
grpc_frame:net/grpc_frame.c
http1:net/http1.c
yaml:config/yaml.c"
bad=0
for t in $targets; do
    what=${t%%:*} files=${t#*:}
    ninja -C $build "fuzz_$what" >/dev/null || { bad=1; continue; }
    LLVM_PROFILE_FILE=$build/$what.profraw $build/fuzz_$what tests/fuzz/corpus/$what >/dev/null
    llvm-profdata-14 merge -sparse $build/$what.profraw -o $build/$what.profdata
    # shellcheck disable=SC2086
    line=$(llvm-cov-14 export -summary-only -instr-profile=$build/$what.profdata $build/fuzz_$what ${files//,/ } |
        python3 -c 'import json,sys; t=json.load(sys.stdin)["data"][0]["totals"]["lines"]; print(t["covered"], t["count"], round(100*t["covered"]/t["count"],1))')
    echo "$what: lines covered $line %"
    awk -v p="${line##* }" 'BEGIN { exit p < 95 }' || bad=1
done
exit $bad

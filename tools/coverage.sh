#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# coverage.sh [--check] [TARGET...]: line coverage of the code that the fuzz targets are for, by their kept corpus.
# Prints the lines that no input reaches, too; --check prints one line a file and fails when one is below 95 %, or below what
# stands behind its name.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
check=
[ "${1:-}" != --check ] || { check=1; shift; }
export build=build-cov check least=95
declare -A files=(
    [bulk]="exporters/elasticsearch/attributes.c exporters/elasticsearch/as_string.c exporters/common/go_json.c exporters/elasticsearch/keys.c
        exporters/elasticsearch/ecs.c exporters/elasticsearch/fields.c exporters/elasticsearch/fields_write.c exporters/elasticsearch/flat.c
        exporters/elasticsearch/group.c exporters/elasticsearch/ids.c exporters/elasticsearch/metrics.c
        exporters/elasticsearch/mode.c exporters/elasticsearch/otel.c exporters/elasticsearch/points.c
        exporters/elasticsearch/route.c exporters/elasticsearch/value.c exporters/elasticsearch/write.c"
    [bulk_answer]="exporters/elasticsearch/answer.c exporters/elasticsearch/object.c exporters/elasticsearch/remedy.c"
    [compress]="net/compress.c"
    [decode]="otlp-proto/decode.c otlp-proto/decode_logs.c otlp-proto/decode_metrics.c otlp-proto/decode_points.c
        otlp-proto/decode_traces.c otlp-proto/decode_value.c otlp-proto/decode_pass.c otlp-proto/outline.c=70 otlp-proto/canon.c otlp-proto/splice.c otlp-proto/wire.c
        otlp-proto/encode_rows.c otlp-proto/utf8.c"
    [grpc_frame]="net/grpc_frame.c"
    [http1]="net/http1.c"
    [log]="log/format.c log/lookup.c=90 log/positions.c=90 log/replay.c=75 log/rows.c=90 log/scan.c=85 log/state.c=80"
    [json]="otlp-proto/json_read.c otlp-proto/json_text.c"
    [ottl]="ottl/compare.c=92 ottl/compile.c=92 ottl/enums.c=83 ottl/eval.c=78 ottl/fields.c=79 ottl/functions.c=87
        ottl/functions_parse.c=71 ottl/functions_pattern.c=79 ottl/functions_text.c=77 ottl/functions_time.c=94
        ottl/functions_types.c=80 ottl/letters.c=86 ottl/lexer.c=93 ottl/math.c ottl/ottl.c=88 ottl/pairs.c=92
        ottl/parser.c=90 ottl/paths.c ottl/strptime.c=87 ottl/time.c=86 ottl/trace_state.c=70 ottl/types.c=84"
    [policy]="processors/tail_sampling/predicates.c=94 processors/tail_sampling/build_leaves.c=77
        processors/tail_sampling/votes.c=46 processors/tail_sampling/policy.c=47"
    [yaml]="config/yaml.c config/yaml_write.c config/expand.c config/scalar.c config/load.c"
)
[ $# -gt 0 ] || set -- bulk bulk_answer compress decode grpc_frame http1 json log ottl policy yaml
mkdir -p $build
cmake -S . -B $build -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_COMPILER=clang \
    "-DCMAKE_C_FLAGS=-fprofile-instr-generate -fcoverage-mapping" >$build/configure.log 2>&1 || { cat $build/configure.log; exit 1; }
ninja -C $build "${@/#/fuzz_}" >$build/ninja.log 2>&1 || { grep -E -A12 'error|FAILED' $build/ninja.log | head -n 60; exit 1; }

# of WHAT FILE...: "file covered lines", a line each; after them the lines not reached
of() {
    local what=$1 of="-instr-profile=$build/$1.profdata $build/fuzz_$1"
    shift
    LLVM_PROFILE_FILE=$build/$what.profraw $build/fuzz_"$what" tests/fuzz/corpus/"$what" >/dev/null
    llvm-profdata-14 merge -sparse $build/"$what".profraw -o $build/"$what".profdata
    for f in "$@"; do
        local need=$least
        case $f in *=*) need=${f#*=} f=${f%=*} ;; esac
        # shellcheck disable=SC2086
        llvm-cov-14 export -summary-only $of "$f" | python3 -c '
import json, os, sys
t = json.load(sys.stdin)["data"][0]["totals"]["lines"]
share = 100 * t["covered"] / t["count"]
print("%-11s %-28s %5.1f %%  %4d of %4d lines" % (sys.argv[1], sys.argv[2], share, t["covered"], t["count"]))
sys.exit(bool(os.environ["check"]) and share < float(sys.argv[3]))' "$what" "$f" "$need" || bad=1
        # shellcheck disable=SC2086
        [ -n "$check" ] || llvm-cov-14 show $of "$f" | grep -E '^ +[0-9]+\| +0\|' || true
    done
}
bad=
for t in "$@"; do
    # shellcheck disable=SC2086
    of "$t" ${files[$t]}
done
[ -z "$bad" ] || { echo "below $least %: keep an input that reaches the rest (tools/coverage.sh shows the lines)"; exit 1; }

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Side by side: build/staunch, the OpenTelemetry Collector and the floor, in one run, with the same payloads.
#
#   bench/run.sh                  every row; prints the table and writes bench/results/table.md
#   bench/run.sh ROW...           some rows (bench/run.sh --list names them)
#   SECONDS_PER_ROW=5  PEERS="staunch floor otelcol"
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
../tools/install.sh check >&2
python=$(../tools/python.sh)
mkdir -p results build
for c in load floor; do
    [ build/$c -nt $c.c ] || gcc -O2 -D_GNU_SOURCE -o build/$c $c.c -lnghttp2 -lssl -lcrypto -lz
done
[ build/sink -nt sink.c ] || gcc -O2 -D_GNU_SOURCE -o build/sink sink.c -lsnappy -ldeflate
[ -x ../build/staunch ] || { cmake -S .. -B ../build -G Ninja >/dev/null && ninja -C ../build staunch; } >&2
[ -e payloads/.done -a -d payloads/deltas1000 ] || { "$python" gen_payloads.py payloads >&2 && touch payloads/.done; }
exec "$python" run.py "$@"

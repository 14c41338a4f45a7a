#!/usr/bin/env bash
# victoriametrics.sh - VictoriaMetrics, one node, as a remote write receiver (POST /api/v1/write) with
# Prometheus' query API. It takes 1.0, and answers 204 to 2.0 without reading it.
#
#   victoriametrics.sh install   from Go modules, once
#   victoriametrics.sh start | stop | status | wipe
#
# Port: VICTORIA_PORT (27428). Memory: VICTORIA_MEM (256MiB of caches).
REAL_NAME=victoriametrics
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

VERSION=v0.0.0-20250718125606-9d9bea03485e   # the Go module has no usable release tags
PORT=${VICTORIA_PORT:-27428}
DATA="$REAL_RUN/victoriametrics"

install() { go_source_tool victoria-metrics "github.com/VictoriaMetrics/VictoriaMetrics@$VERSION" ./app/victoria-metrics; }

case ${1:-} in
    install) install ;;
    start)   install
             if ! alive victoriametrics; then free "$PORT"; fi
             launch victoriametrics "$REAL_CACHE/bin/victoria-metrics" -httpListenAddr="127.0.0.1:$PORT" \
                 -storageDataPath="$DATA" -memory.allowedBytes="${VICTORIA_MEM:-256MiB}" -retentionPeriod=100y \
                 -search.latencyOffset=0s -inmemoryDataFlushInterval=1s
             ready victoriametrics 60 http_ok "http://127.0.0.1:$PORT/health" ;;
    stop)    halt victoriametrics ;;
    status)  report victoriametrics ;;
    wipe)    slay victoriametrics; rm -rf "$DATA" ;;
    *)       sed -n '2,9p' "$0"; exit 2 ;;
esac

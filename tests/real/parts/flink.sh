#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flink.sh - Apache Flink in one process (its mini cluster), for a job that computes windows of its own accord.
#
#   flink.sh install              jars from Maven Central (about 60 MB), once
#   flink.sh run CLASS ARGS...    the job in java/CLASS.java, compiled when it has changed
REAL_NAME=flink
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

VERSION=${FLINK_VERSION:-1.20.1}
LIBS="$REAL_CACHE/flink-$VERSION"

install() {
    need javac "Debian package openjdk-17-jdk-headless"
    maven_libs "$LIBS" "org.apache.flink:flink-streaming-java:$VERSION" "org.apache.flink:flink-clients:$VERSION" \
        "org.slf4j:slf4j-simple:1.7.36"
}

run() { # run CLASS ARGS...
    local class=$1; shift
    install
    if [ "$REAL_HERE/java/$class.java" -nt "$LIBS/classes/$class.class" ]; then
        mkdir -p "$LIBS/classes"
        javac -nowarn -Xlint:none -cp "$LIBS/*" -d "$LIBS/classes" "$REAL_HERE/java/$class.java"
    fi
    # Java 17 keeps its inside from Flink's serializers otherwise
    "$(jre 17)" -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=error \
        --add-opens=java.base/java.util=ALL-UNNAMED --add-opens=java.base/java.lang=ALL-UNNAMED \
        -cp "$LIBS/classes:$LIBS/*" "$class" "$@"
}

case ${1:-} in
    install) install ;;
    run)     shift; run "$@" ;;
    *)       sed -n '3,6p' "$0"; exit 2 ;;
esac

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Print the path of a Python with opentelemetry-proto, protobuf, grpcio and its health client, and snappy (cramjam), installed
# once into the cache.
set -euo pipefail
version=1.45.2
dir=${REAL_CACHE:-$HOME/.cache/staunch-real}/oracle-$version-3
if [ ! -e "$dir/.done" ]; then
    rm -rf "$dir"
    python3 -m venv "$dir"
    "$dir/bin/pip" install -q --disable-pip-version-check "opentelemetry-proto==$version" "grpcio>=1.66" \
        "grpcio-health-checking>=1.66" "cramjam>=2.8" >&2
    touch "$dir/.done"
fi
echo "$dir/bin/python"

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# reference.sh BUILD_DIR [--check]: writes docs/reference from the tables of build/describe; with --check it only
# compares, and fails when the docs are stale.
set -euo pipefail
build=$1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT
"$build/describe" "$new"
if [ "${2:-}" = --check ]; then
    diff -ru "$root/docs/reference" "$new" || { echo "docs/reference is stale: run ninja -C build reference"; exit 1; }
    python3 -m json.tool "$new/schema.json" >/dev/null
else
    rm -rf "$root/docs/reference"
    mkdir -p "$root/docs/reference"
    cp "$new"/* "$root/docs/reference/"
fi

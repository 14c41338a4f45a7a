#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Our .proto files define what the published opentelemetry-proto package defines.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
find otlp-proto/opentelemetry -name '*.proto' | xargs protoc -I otlp-proto --include_imports --descriptor_set_out="$work/ours.desc"
"$(tools/python.sh)" tools/check-proto-descriptors.py "$work/ours.desc" --allow-missing

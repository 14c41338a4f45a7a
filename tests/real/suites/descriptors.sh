#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Our .proto files define what the published opentelemetry-proto package defines.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
"$(tools/python.sh)" tools/check-proto-descriptors.py --allow-missing

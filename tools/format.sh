#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# format.sh [--check]: clang-format over all of our C.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
git ls-files '*.c' '*.h' | grep -v '^components.def' >/tmp/staunch-format.$$
trap 'rm -f /tmp/staunch-format.$$' EXIT
if [ "${1:-}" = --check ]; then
    xargs -a /tmp/staunch-format.$$ clang-format --dry-run -Werror 2>&1 | head -n 40
    exit "${PIPESTATUS[0]}"
fi
xargs -a /tmp/staunch-format.$$ clang-format -i

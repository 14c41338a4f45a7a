#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# example.sh STAUNCH FILE: the example is valid, without a warning.
set -uo pipefail
out=$("$1" validate --config="$2" 2>&1)
rc=$?
echo "$out"
[ $rc = 0 ] && ! grep -qE '(warning|error): ' <<<"$out"

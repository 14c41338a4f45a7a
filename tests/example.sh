#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# example.sh STAUNCH FILE: the example is valid, without a warning. 77 (skipped) when this binary lacks one of its components.
set -uo pipefail
out=$("$1" validate --config="$2" 2>&1)
rc=$?
echo "$out"
if [ $rc = 0 ]; then
    ! grep -q ' warning: ' <<<"$out"
    exit
fi
grep ' error: ' <<<"$out" | grep -vqE 'unknown [a-z]+ type' && exit 1
exit 77

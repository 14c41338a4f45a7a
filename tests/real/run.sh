#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh [SUITE...]: the suites against real servers and SDKs. Each is a program in suites/; exit 0 is a pass. A server that
# cannot be had is a failure, not a skip. Logs: $REAL_RUN/<suite>.log
set -u
cd "$(dirname "${BASH_SOURCE[0]}")"
export REAL_RUN=${REAL_RUN:-/tmp/staunch-real} STAUNCH=${STAUNCH:-$PWD/../../build/staunch} PARTS=$PWD/parts
mkdir -p "$REAL_RUN"
[ $# -gt 0 ] || set -- $(cd suites && ls | sed -n 's/\.\(sh\|py\)$//p')
passed=0 failed=0
for suite in "$@"; do
    t0=$SECONDS
    if [ -f "suites/$suite.py" ]; then run=("$(../../tools/python.sh)" "suites/$suite.py"); else run=(bash "suites/$suite.sh"); fi
    if timeout 900 "${run[@]}" >"$REAL_RUN/$suite.log" 2>&1; then
        passed=$((passed + 1)); echo "pass  $suite ($((SECONDS - t0)) s)"
    else
        failed=$((failed + 1)); echo "FAIL  $suite ($((SECONDS - t0)) s)"; tail -n 40 "$REAL_RUN/$suite.log"
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# headers.sh ROOT BUILD: every header compiles alone, and no room exports a symbol that does not begin with gw_.
set -u
root=$1 build=$2 bad=0
cd "$root" || exit 1
pb=$(find "$build" -name '*.pb-c.h' -printf '%h\n' 2>/dev/null | sort -u | sed 's/^/-I/')
includes=$(pkg-config --cflags libh2o-evloop libnghttp2 libssl libcurl rdkafka libfyaml libprotobuf-c 2>/dev/null)
for h in core/*.h batch/*.h net/*.h pipeline/*.h config/*.h otlp-proto/*.h queue/*.h runtime/*.h; do
    [ -e "$h" ] || continue
    # shellcheck disable=SC2086
    printf '#include "%s"\n' "$h" | ${CC:-gcc} -std=gnu17 -D_GNU_SOURCE -DH2O_USE_LIBUV=0 -Wall -Wextra -Werror -I. \
        -isystem /usr/include/h2o $pb $includes -fsyntax-only -x c - || { echo "$h does not compile alone"; bad=1; }
done
for lib in "$build"/libgw_*.a; do
    case $lib in *libgw_*_pb.a | *libgw_harness.a) continue ;; esac
    names=$(nm -g --defined-only "$lib" 2>/dev/null | awk 'NF==3 && $2 ~ /[TDBR]/ {print $3}' | grep -vE '^(gw_|__|_|asan|LLVM)' || true)
    [ -z "$names" ] || { echo "$lib exports names without gw_:"; echo "$names"; bad=1; }
done
exit $bad

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# install.sh [build|check|real]: install the Debian packages that are missing. Prints nothing when none are.
set -euo pipefail
build="gcc libc6-dev cmake ninja-build pkg-config ccache protobuf-c-compiler protobuf-compiler python3
 libnghttp2-dev libprotobuf-c-dev libgrpc-dev zlib1g-dev librdkafka-dev libh2o-evloop-dev libfyaml-dev
 libcurl4-openssl-dev libssl-dev libdeflate-dev libisal-dev libzstd-dev libsnappy-dev liblz4-dev libxxhash-dev
 libpcre2-dev libcrypt-dev libcmocka-dev"
check="mold clang clang-format llvm libclang-rt-14-dev openssl curl python3-venv git"
real="openjdk-17-jdk-headless maven kcat nghttp2-client"
want=$build
case ${1:-build} in check) want="$build $check" ;; real) want="$build $check $real" ;; esac
missing=
for p in $want; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
echo "installing:$missing"
sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null 2>&1 ||
    { $sudo apt-get update -qq && $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null; }

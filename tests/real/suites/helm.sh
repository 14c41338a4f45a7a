#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The chart lints, every way of using it renders to manifests that Kubernetes' own schemas accept, and the configuration
# inside is one that the gateway accepts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
parts=tests/real/parts
"$parts/gotools.sh" install helm
helm() { "$parts/gotools.sh" run helm "$@"; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
helm lint --strict helm
n=0
for values in "" helm/examples/gateway-values.yaml helm/examples/agent-values.yaml; do
    n=$((n + 1))
    helm template t helm ${values:+-f "$values"} >"$work/$n.yaml"
    sed -n '/^  staunch.yaml: |$/,/^---$/{s/^    //p}' "$work/$n.yaml" >"$work/$n.conf.yaml"
    POD_IP=127.0.0.1 GATEWAY=http://127.0.0.1:4318 KAFKA=127.0.0.1:9092 "$STAUNCH" validate --config="$work/$n.conf.yaml"
done
cp helm/examples/sidecar.yaml "$work/"
"$parts/k8s-schemas.sh" check "$work"/[0-9].yaml "$work/sidecar.yaml"
# A wrong mode must not render.
! helm template t helm --set mode=both 2>/dev/null
echo "helm: $n renderings checked"

# SPDX-License-Identifier: Apache-2.0
"""Random requests through build/otlp_json, judged by Python's protobuf: json_oracle.py OTLP_JSON [REQUESTS]

    protobuf -> our JSON -> our protobuf      equals the request, but for what JSON cannot say (-0, ids of zeros, {} written)
    protobuf -> Python's JSON -> our protobuf equals the request: json_format's own spelling (enum names, snake_case) is read too
"""
import base64
import json
import pathlib
import subprocess
import sys

from google.protobuf import json_format

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from random_otlp import REQUESTS, Maker  # noqa: E402

ALWAYS = {"ResourceSpans": ["resource"], "ResourceMetrics": ["resource"], "ResourceLogs": ["resource"], "ScopeSpans": ["scope"],
          "ScopeMetrics": ["scope"], "ScopeLogs": ["scope"], "Span": ["status"], "LogRecord": ["body"], "KeyValue": ["value"],
          "ExponentialHistogramDataPoint": ["positive", "negative"]}
IDS = ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id")


def ours(tool, signal, to, data):
    p = subprocess.run([tool, signal, to], input=data, capture_output=True)
    if p.returncode:
        sys.exit(f"FAIL: {signal} to {to}: {p.stderr.decode()}\n{data[:2000]!r}")
    return p.stdout


def normal(m, filled):
    """The message as JSON can say it; `filled`: with the empty messages that the Collector's JSON always has."""
    for name in ALWAYS.get(m.DESCRIPTOR.name, []) if filled else []:
        getattr(m, name).SetInParent()
    for f, v in m.ListFields():
        if f.type == f.TYPE_BYTES and f.name in IDS and not any(v):
            m.ClearField(f.name)
        elif f.type == f.TYPE_DOUBLE and not f.is_repeated and not f.has_presence and v == 0:
            m.ClearField(f.name)
        elif f.message_type:
            for x in v if f.is_repeated else [v]:
                normal(x, filled)
    return m


def hex_ids(node):
    """json_format writes ids as base64: OTLP wants hexadecimal."""
    if isinstance(node, list):
        return [hex_ids(x) for x in node]
    if not isinstance(node, dict):
        return node
    return {k: base64.b64decode(v).hex().upper() if k in IDS and isinstance(v, str) else hex_ids(v) for k, v in node.items()}


def same(signal, i, how, got, want):
    parsed = REQUESTS[signal]()
    parsed.ParseFromString(got)
    a, b = (m.SerializeToString(deterministic=True) for m in (parsed, want))
    if a != b:
        sys.exit(f"FAIL: {signal} {i} {how}:\n{parsed}\n--- instead of\n{want}"[:20000])


def main():
    tool, n = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 60
    for signal in REQUESTS:
        make = Maker(5)
        for i in range(n):
            request = make.request(signal)
            body = request.SerializeToString()
            line = ours(tool, signal, "json", body)
            json.loads(line)
            same(signal, i, "through our JSON", ours(tool, signal, "proto", line),
                 normal(REQUESTS[signal].FromString(body), True))
            for snake in (False, True):
                text = json.dumps(hex_ids(json_format.MessageToDict(request, preserving_proto_field_name=snake)))
                same(signal, i, "from Python's JSON", normal(REQUESTS[signal].FromString(
                    ours(tool, signal, "proto", text.encode())), False).SerializeToString(),
                    normal(REQUESTS[signal].FromString(body), False))
    print(f"{n} requests of each signal agree with Python's protobuf")


main()

# SPDX-License-Identifier: Apache-2.0
"""Bad input against a running gateway, over HTTP and gRPC: a clear error with the right status, no crash, memory within the
budget, and honest clients served all the while.
"""
import gzip
import json
import pathlib
import struct
import sys
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403

import grpc  # noqa: E402
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest  # noqa: E402
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: E402

CONFIG = """
receivers:
  otlp:
    protocols:
      grpc: {{ endpoint: "127.0.0.1:{grpc}", max_recv_msg_size_mib: 4 }}
      http: {{ endpoint: "127.0.0.1:{http}", max_request_body_size: 4194304 }}
processors: {{ memory_limiter: {{ check_interval: 1s, limit_mib: 256, spike_limit_mib: 64 }} }}
exporters: {{ nop: }}
service:
  telemetry: {{ metrics: {{ readers: [ {{ pull: {{ exporter: {{ prometheus: {{ host: 127.0.0.1, port: {metrics} }} }} }} }} ] }} }}
  pipelines:
    traces: {{ receivers: [otlp], processors: [memory_limiter], exporters: [nop] }}
    logs: {{ receivers: [otlp], processors: [memory_limiter], exporters: [nop] }}
"""
PB, JSON = "application/x-protobuf", "application/json"


def length(tag, body):
    """A length-delimited field."""
    n, out = len(body), bytes([tag << 3 | 2])
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n]) + body


def good(n=1):
    q = ExportTraceServiceRequest()
    s = q.resource_spans.add().scope_spans.add()
    for i in range(n):
        span = s.spans.add(name="GET /", trace_id=b"\x01" * 16, span_id=struct.pack(">Q", i + 1))
        span.attributes.add(key="k").value.string_value = "v"
    return q.SerializeToString()


def http_table():
    body = good()
    deep = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":' + b'{"arrayValue":{"values":[' * 100000
    return [
        # what, path, content type, extra headers, body, status
        ("a good request", "/v1/traces", PB, {}, body, 200),
        ("an empty request", "/v1/traces", PB, {}, b"", 200),
        ("an empty JSON request", "/v1/traces", JSON, {}, b"{}", 200),
        ("truncated protobuf", "/v1/traces", PB, {}, body[:-3], 400),
        ("a lying length", "/v1/traces", PB, {}, b"\x0a\xff\xff\xff\xff\x0f" + body, 400),
        ("a wrong wire type", "/v1/traces", PB, {}, b"\x08\x01", 400),
        ("a group", "/v1/traces", PB, {}, b"\x0b" * 100, 400),
        ("invalid UTF-8", "/v1/traces", PB, {}, body.replace(b"GET /", b"GE\xff /"), 400),
        ("nesting of 100,000", "/v1/logs", PB, {}, deep_proto(), 400),
        ("malformed JSON", "/v1/traces", JSON, {}, b'{"resourceSpans":[', 400),
        ("text behind JSON", "/v1/traces", JSON, {}, b"{} x", 400),
        ("JSON nesting of 100,000", "/v1/logs", JSON, {}, deep, 400),
        ("JSON with invalid UTF-8", "/v1/traces", JSON, {}, b'{"resourceSpans":[{"schemaUrl":"\xff"}]}', 400),
        ("a wrong content type", "/v1/traces", "text/plain", {}, body, 415),
        ("no content type", "/v1/traces", "", {}, body, 415),
        ("an unknown path", "/v1/nothing", PB, {}, body, 404),
        ("a signal without a pipeline", "/v1/metrics", PB, {}, b"", 404),
        ("an unknown encoding", "/v1/traces", PB, {"Content-Encoding": "br"}, body, 400),
        ("damaged gzip", "/v1/traces", PB, {"Content-Encoding": "gzip"}, gzip.compress(body)[:-9] + b"123456789", 400),
        ("truncated gzip", "/v1/traces", PB, {"Content-Encoding": "gzip"}, gzip.compress(body)[:-9], 400),
        ("a body over the limit", "/v1/traces", PB, {}, b"\x0a" + bytes(4194304 + 1), 413),
        ("a gzip bomb", "/v1/traces", PB, {"Content-Encoding": "gzip"}, gzip.compress(bytes(200 << 20)), 413),
        ("a deflate bomb", "/v1/traces", PB, {"Content-Encoding": "deflate"}, zlib.compress(bytes(100 << 20)), 413),
    ]


def deep_proto(levels=100000):
    """100,000 nested levels, made from the inside out without quadratic copying: lengths first."""
    sizes, n = [], 0
    for _ in range(levels):
        inner = 1 + varint_len(n) + n        # values: AnyValue
        n = 1 + varint_len(inner) + inner    # array_value
        sizes.append((n, inner))
    out = bytearray()
    for total, inner in reversed(sizes):
        out += b"\x2a" + varint(inner) + b"\x0a" + varint(inner - 1 - varint_len_of(inner))
    body = length(5, bytes(out))
    return length(1, length(2, length(2, body)))


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def varint_len(n):
    return len(varint(n))


def varint_len_of(inner):
    """Length of the varint k such that 1 + len(varint(k)) + k == inner."""
    for w in range(1, 6):
        if varint_len(inner - 1 - w) == w:
            return w
    return 1


def raw(text):
    """One request byte by byte; what came back until the server closed or 2 s passed."""
    with socket.create_connection(("127.0.0.1", HTTP), timeout=2) as s:
        s.sendall(text)
        out = b""
        try:
            while chunk := s.recv(65536):
                out += chunk
        except TimeoutError:
            pass
        return out


SMUGGLING = [
    ("Content-Length with Transfer-Encoding", b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\nHost: x\r\n", b"0\r\n\r\n"),
    ("two Content-Lengths", b"Content-Length: 0\r\nContent-Length: 5\r\nHost: x\r\n", b"hello"),
    ("no Host", b"Content-Length: 0\r\n", b""),
    ("two Hosts", b"Host: a\r\nHost: b\r\nContent-Length: 0\r\n", b""),
    ("a folded header", b"Host: x\r\nX-A: b\r\n c\r\nContent-Length: 0\r\n", b""),
    ("a negative length", b"Host: x\r\nContent-Length: -1\r\n", b""),
    ("a list of lengths", b"Host: x\r\nContent-Length: 5, 5\r\n", b"hello"),
    ("an unknown transfer coding", b"Host: x\r\nTransfer-Encoding: xchunked\r\n", b"0\r\n\r\n"),
    ("a space before the colon", b"Host: x\r\nContent-Length : 0\r\n", b""),
]


def grpc_status(method, body, **how):
    with grpc.insecure_channel(f"127.0.0.1:{GRPC}") as ch:
        call = ch.unary_unary(method, request_serializer=None, response_deserializer=None)
        try:
            call(body, timeout=10, **how)
            return "OK"
        except grpc.RpcError as e:
            return e.code().name


TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
METRICS_METHOD = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"


def grpc_table():
    return [
        ("a good request", TRACES, good(), "OK"),
        ("an empty request", TRACES, b"", "OK"),
        ("truncated protobuf", TRACES, good()[:-3], "INVALID_ARGUMENT"),
        ("over the limit", TRACES, bytes(5 << 20), "RESOURCE_EXHAUSTED"),
        ("a signal without a pipeline", METRICS_METHOD, b"", "UNIMPLEMENTED"),
        ("profiles", "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export", b"", "UNIMPLEMENTED"),
        ("an unknown service", "/a.B/C", b"", "UNIMPLEMENTED"),
    ]


def rss_mib(gw):
    for line in pathlib.Path(f"/proc/{gw.p.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024


def main():
    with Gateway(CONFIG.format(grpc=GRPC, http=HTTP, metrics=METRICS)) as gw:
        for what, path, kind, extra, body, want in http_table():
            status, headers, answer = post(f"http://127.0.0.1:{HTTP}{path}", body, {"Content-Type": kind, **extra})
            equal(status, want, what)
            if status == 400 and kind == JSON:
                check(json.loads(answer)["message"], f"{what}: no message in {answer!r}")
            if status == 400 and kind == PB:
                check(answer, f"{what}: no Status in the answer")
            equal(post(f"http://127.0.0.1:{HTTP}/v1/traces", good(), {"Content-Type": PB})[0], 200, f"a good request after: {what}")
        for what, head, body in SMUGGLING:
            answer = raw(b"POST /v1/traces HTTP/1.1\r\nContent-Type: application/x-protobuf\r\n" + head + b"\r\n" + body)
            check(answer.startswith(b"HTTP/1.1 400"), f"{what}: {answer[:80]!r}")
            equal(answer.count(b"HTTP/1.1"), 1, f"answers to {what}")
        for what, method, body, want in grpc_table():
            equal(grpc_status(method, body), want, f"gRPC: {what}")
            equal(grpc_status(TRACES, good()), "OK", f"gRPC: a good request after: {what}")
        equal(grpc_status(TRACES, good(), compression=grpc.Compression.Gzip), "OK", "gRPC: gzip")
        # 1000 idle connections, then one more client that is served.
        idle = [socket.create_connection(("127.0.0.1", HTTP if i % 2 else GRPC)) for i in range(1000)]
        equal(post(f"http://127.0.0.1:{HTTP}/v1/traces", good(), {"Content-Type": PB})[0], 200, "a request beside 1000 idle connections")
        equal(grpc_status(TRACES, good()), "OK", "gRPC beside 1000 idle connections")
        # A client that stops in mid-body.
        slow = socket.create_connection(("127.0.0.1", HTTP))
        slow.sendall(b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 4000000\r\n\r\nabc")
        equal(post(f"http://127.0.0.1:{HTTP}/v1/traces", good(), {"Content-Type": PB})[0], 200, "a request beside a stopped client")
        for s in [*idle, slow]:
            s.close()
        check(rss_mib(gw) < 256 + 64, f"peak memory {rss_mib(gw):.0f} MiB is over the budget")
        print(f"bad_input: peak memory {rss_mib(gw):.0f} MiB")
        gw.stop()


main()

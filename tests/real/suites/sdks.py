# SPDX-License-Identifier: Apache-2.0
"""The SDKs of Python, JavaScript, Java and Go, over every protocol they have, through the gateway into Kafka, the Collector
(over OTLP/HTTP and OTLP/gRPC) and a file: every span and every log record arrives everywhere, once, with its values.
"""
import collections
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403

from google.protobuf import json_format  # noqa: E402
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest  # noqa: E402
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest  # noqa: E402
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: E402

N = 100
PAIRS = [("python", "grpc"), ("python", "http/protobuf"), ("js", "grpc"), ("js", "http/protobuf"), ("js", "http/json"),
         ("java", "grpc"), ("java", "http/protobuf"), ("go", "grpc"), ("go", "http/protobuf")]
CONFIG = """
extensions: {{ health_check: {{ endpoint: "127.0.0.1:{health}" }} }}
receivers:
  otlp:
    protocols:
      grpc: {{ endpoint: "127.0.0.1:{grpc}" }}
      http: {{ endpoint: "127.0.0.1:{http}" }}
processors:
  memory_limiter: {{ check_interval: 1s, limit_mib: 512, spike_limit_mib: 100 }}
  batch: {{ timeout: 200ms, send_batch_size: 512 }}
exporters:
  kafka: {{ brokers: ["{broker}"] }}
  otlp_http: {{ endpoint: "http://127.0.0.1:14318", tls: {{ insecure: true }} }}
  otlp_grpc: {{ endpoint: "127.0.0.1:14317", tls: {{ insecure: true }} }}
  file: {{ path: "{file}" }}
service:
  extensions: [health_check]
  telemetry: {{ metrics: {{ readers: [ {{ pull: {{ exporter: {{ prometheus: {{ host: 127.0.0.1, port: {metrics} }} }} }} }} ] }} }}
  pipelines:
    traces: {{ receivers: [otlp], processors: [memory_limiter, batch], exporters: [kafka, otlp_http, otlp_grpc, file] }}
    metrics: {{ receivers: [otlp], processors: [memory_limiter, batch], exporters: [kafka, otlp_http, otlp_grpc, file] }}
    logs: {{ receivers: [otlp], processors: [memory_limiter, batch], exporters: [kafka, otlp_http, otlp_grpc, file] }}
"""


def plain(value):
    """An AnyValue with numbers as numbers: 1 and 1.0 are the same double."""
    return sorted((k, float(v) if k == "doubleValue" else v) for k, v in value.items())


def attributes(items):
    return tuple(sorted((a.get("key"), repr(plain(a.get("value", {})))) for a in items or []))


def spans_of(documents):
    """Counter of what identifies and describes each span, from OTLP/JSON documents."""
    out = collections.Counter()
    for d in documents:
        for r in d.get("resourceSpans", []):
            resource = attributes(r.get("resource", {}).get("attributes"))
            for s in r.get("scopeSpans", []):
                for span in s.get("spans", []):
                    out[(resource, span["traceId"].lower(), span["spanId"].lower(), span.get("parentSpanId", "").lower(), span["name"],
                         str(span["startTimeUnixNano"]), str(span["endTimeUnixNano"]), attributes(span.get("attributes")),
                         tuple((e.get("name"), attributes(e.get("attributes"))) for e in span.get("events", [])),
                         tuple((x["traceId"].lower(), attributes(x.get("attributes"))) for x in span.get("links", [])),
                         repr(sorted(span.get("status", {}).items())))] += 1
    return out


def logs_of(documents):
    out = collections.Counter()
    for d in documents:
        for r in d.get("resourceLogs", []):
            resource = attributes(r.get("resource", {}).get("attributes"))
            for s in r.get("scopeLogs", []):
                for rec in s.get("logRecords", []):
                    out[(resource, repr(sorted(rec.get("body", {}).items())), str(rec.get("timeUnixNano", "0")),
                         str(rec.get("observedTimeUnixNano", "0")), rec.get("severityNumber"), rec.get("severityText"),
                         attributes(rec.get("attributes")), rec.get("traceId", "").lower(), rec.get("spanId", "").lower())] += 1
    return out


def points_of(documents):
    out = collections.Counter()
    for d in documents:
        for r in d.get("resourceMetrics", []):
            for s in r.get("scopeMetrics", []):
                for m in s.get("metrics", []):
                    for kind in ("gauge", "sum", "histogram", "exponentialHistogram", "summary"):
                        for p in m.get(kind, {}).get("dataPoints", []):
                            out[(m["name"], kind, attributes(p.get("attributes")), str(p.get("timeUnixNano")),
                                 str(p.get("asInt", p.get("asDouble", p.get("count")))))] += 1
    return out


def decoded(broker, topic, message):
    """Kafka's messages as OTLP/JSON documents, by Python's protobuf; ids as hex, as OTLP/JSON has them."""
    out = []
    for _, _, value in kafka_messages(broker, topic):
        doc = json_format.MessageToDict(message.FromString(value), use_integers_for_enums=True)
        hex_ids(doc)
        out.append(doc)
    return out


def hex_ids(node):
    import base64
    if isinstance(node, list):
        for x in node:
            hex_ids(x)
    elif isinstance(node, dict):
        for k, v in node.items():
            if k in ("traceId", "spanId", "parentSpanId") and isinstance(v, str):
                node[k] = base64.b64decode(v).hex()
            else:
                hex_ids(v)


def service(item):
    """service.name from the resource part of a counter's key."""
    return dict(item[0]).get("service.name", "")


def main():
    part("clients/client.sh", "install")
    with kafka() as broker, collector() as folder:
        file = RUN / "sdks.jsonl"
        file.unlink(missing_ok=True)
        config = CONFIG.format(grpc=GRPC, http=HTTP, health=HEALTH, metrics=METRICS, broker=broker, file=file)
        with Gateway(config) as gw:
            for sdk, protocol in PAIRS:
                port = GRPC if protocol == "grpc" else HTTP
                print(sdk, protocol, client(sdk, protocol, N, f"http://127.0.0.1:{port}"), flush=True)
            accepted = {k: metric(f"otelcol_receiver_accepted_{k}", receiver="otlp") for k in ("spans", "log_records", "metric_points")}
            equal(accepted["spans"], len(PAIRS) * (N + 1), "accepted spans in the self-metrics")
            equal(accepted["log_records"], len(PAIRS) * N, "accepted log records in the self-metrics")
            gw.stop()  # drains: everything is at the sinks afterwards
        got = {
            "kafka": (spans_of(decoded(broker, "otlp_spans", ExportTraceServiceRequest)), logs_of(decoded(broker, "otlp_logs", ExportLogsServiceRequest)),
                      points_of(decoded(broker, "otlp_metrics", ExportMetricsServiceRequest))),
            "file": (spans_of(json_lines(file)), logs_of(json_lines(file)), points_of(json_lines(file))),
        }
        wait_for("the Collector's files", 10, lambda: sum(spans_of(json_lines(folder / "traces.jsonl")).values()) >= 2 * len(PAIRS) * (N + 1)
                 and sum(logs_of(json_lines(folder / "logs.jsonl")).values()) >= 2 * len(PAIRS) * N)
        theirs = (spans_of(json_lines(folder / "traces.jsonl")), logs_of(json_lines(folder / "logs.jsonl")),
                  points_of(json_lines(folder / "metrics.jsonl")))
    for sink, (spans, logs, points) in got.items():
        equal(sum(spans.values()), len(PAIRS) * (N + 1), f"spans in {sink}")
        equal(sum(logs.values()), len(PAIRS) * N, f"log records in {sink}")
        equal(sum(points.values()), int(accepted["metric_points"]), f"data points in {sink}")
        for sdk in ("python", "js", "java", "go"):
            pairs = sum(1 for s, _ in PAIRS if s == sdk)
            mine = {k: v for k, v in spans.items() if f"gateway-client-{sdk}" in repr(k[0])}
            equal(sum(mine.values()), pairs * (N + 1), f"spans of {sdk} in {sink}")
            equal(len({k[2] for k in mine}), N + 1, f"distinct span ids of {sdk} in {sink}")
    # The Collector had everything twice, over HTTP and over gRPC; its own writer and ours must tell the same story.
    for i, what in enumerate(("spans", "log records", "data points")):
        ours = got["file"][i]
        equal({k: v * 2 for k, v in ours.items()}, dict(theirs[i]), f"{what}: the Collector's file and ours")
    for i, what in enumerate(("spans", "log records")):
        equal(sum((got["kafka"][i] - got["file"][i]).values()), 0, f"{what} in Kafka but not in the file")
    print("sdks: every record arrived everywhere")


main()

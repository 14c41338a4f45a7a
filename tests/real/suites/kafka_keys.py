# SPDX-License-Identifier: Apache-2.0
"""The same telemetry through the gateway's kafka exporter and through the Collector's, for every way of making a key and both
hashers: each key of one is a key of the other, in the same partition, and stands for the same rows.

    here ─► gateway ─┬─► kafka: ours-*
                     └─► OTLP/gRPC ─► Collector ─► kafka: theirs-*
"""
import collections
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest  # noqa: E402
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest  # noqa: E402
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: E402

N = 60  # traces, and resources
WAYS = {  # name: (signal, settings)
    "traces-id": ("traces", {"partition_traces_by_id": True}),
    "traces-id-java": ("traces", {"partition_traces_by_id": True, "record_partitioner": {"sticky_key": {"hasher": "murmur2"}}}),
    "metrics-resource": ("metrics", {"partition_metrics_by_resource_attributes": True}),
    "logs-resource": ("logs", {"partition_logs_by_resource_attributes": True}),
    "logs-id": ("logs", {"partition_logs_by_trace_id": True}),
    "logs-resource-java": ("logs", {"partition_logs_by_resource_attributes": True,
                                    "record_partitioner": {"sticky_key": {"hasher": "murmur2"}}}),
}
MESSAGES = {"traces": ExportTraceServiceRequest, "metrics": ExportMetricsServiceRequest, "logs": ExportLogsServiceRequest}


def exporters(prefix, broker):
    return {f"kafka/{name}": {"brokers": [broker], **settings, signal: {"topic": f"{prefix}-{name}"}}
            for name, (signal, settings) in WAYS.items()}


def pipelines(more):
    return {s: {"receivers": ["otlp"], "exporters": [f"kafka/{n}" for n, (signal, _) in WAYS.items() if signal == s] + more}
            for s in MESSAGES}


def ours(broker):
    return json.dumps({
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{HTTP}"}}}},
        "exporters": {**exporters("ours", broker), "otlp_grpc": {"endpoint": "http://127.0.0.1:14317"}},
        "service": {"telemetry": {"metrics": {"level": "none"}}, "pipelines": pipelines(["otlp_grpc"])},
    })


def theirs(broker):
    return json.dumps({
        "extensions": {"health_check": {"endpoint": f"127.0.0.1:{COLLECTOR_HEALTH}"}},
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": "127.0.0.1:14317"}}}},
        "exporters": exporters("theirs", broker),
        "service": {"extensions": ["health_check"], "telemetry": {"metrics": {"level": "none"}}, "pipelines": pipelines([])},
    })


def resource(i):
    """Attributes of every type, in an order that depends on i."""
    values = [("service.name", {"stringValue": f"shop-{i % 7}"}), ("pod", {"stringValue": f"pod-{i}"}), ("n", {"intValue": str(-i)}),
              ("ratio", {"doubleValue": i / 3}), ("ok", {"boolValue": i % 2 == 0}), ("empty", {}), ("none", {"stringValue": ""}),
              ("raw", {"bytesValue": "AP8Q9A=="}), ("ünïcode", {"stringValue": "é"}),
              ("list", {"arrayValue": {"values": [{"intValue": str(i)}, {"stringValue": "x"}, {}]}}),
              ("map", {"kvlistValue": {"values": [{"key": "b", "value": {"intValue": "1"}}, {"key": "a", "value": {"stringValue": str(i)}}]}})]
    turn = i % len(values)
    return {"attributes": [{"key": k, "value": v} for k, v in values[turn:] + values[:turn]]}


def trace_id(i):
    return f"{i * 2654435761 % 2**64:016x}{i * 40503 + 1:016x}"


def request(signal):
    t = {"timeUnixNano": "1700000000000000000"}
    if signal == "traces":
        rows = [[{"traceId": trace_id((i * 7 + k) % N), "spanId": f"{i * 10 + k + 1:016x}", "name": f"s{k}", "kind": 1,
                  "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000000000000001"} for k in range(4)] for i in range(N)]
        return {"resourceSpans": [{"resource": resource(i), "scopeSpans": [{"scope": {"name": "t"}, "spans": rows[i]}]} for i in range(N)]}
    if signal == "logs":
        rows = [[{**t, "body": {"stringValue": f"l{k}"}, "severityNumber": 9, **({"traceId": trace_id(i), "spanId": f"{i + 1:016x}"} if k else {})}
                 for k in range(3)] for i in range(N)]
        return {"resourceLogs": [{"resource": resource(i), "scopeLogs": [{"logRecords": rows[i]}]} for i in range(N)]}
    return {"resourceMetrics": [{"resource": resource(i), "scopeMetrics": [{"metrics": [
        {"name": "m", "unit": "1", "gauge": {"dataPoints": [{**t, "asInt": str(i)}, {**t, "asDouble": 0.5}]}}]}]} for i in range(N)]}


def rows_of(signal, value):
    """Counter of what tells rows apart, with their resource."""
    out, message = collections.Counter(), MESSAGES[signal].FromString(value)
    for r in getattr(message, {"traces": "resource_spans", "logs": "resource_logs", "metrics": "resource_metrics"}[signal]):
        pod = {a.key: a.value.string_value for a in r.resource.attributes}["pod"]
        for s in getattr(r, {"traces": "scope_spans", "logs": "scope_logs", "metrics": "scope_metrics"}[signal]):
            if signal == "traces":
                out.update((pod, x.span_id) for x in s.spans)
            elif signal == "logs":
                out.update((pod, x.body.string_value) for x in s.log_records)
            else:
                out.update((pod, repr(p)) for m in s.metrics for p in m.gauge.data_points)
    return out


def by_key(broker, topic, signal):
    """{key: (partitions, rows)}; rows without a key, which go anywhere, stand under None without partitions."""
    partitions, rows = collections.defaultdict(set), collections.defaultdict(collections.Counter)
    for partition, key, value in kafka_messages(broker, topic):
        if key is not None:
            partitions[key].add(partition)
        rows[key].update(rows_of(signal, value))
    return {k: (partitions[k], rows[k]) for k in rows}


def main():
    with kafka() as broker, collector(theirs(broker)), Gateway(ours(broker), ports=(HTTP,)) as gw:
        for signal in MESSAGES:
            status, _, body = post(f"http://127.0.0.1:{HTTP}/v1/{signal}", json.dumps(request(signal)).encode(),
                                   {"Content-Type": "application/json"})
            equal(status, 200, f"{signal}: {body!r}")
        expected = {"traces": 4 * N, "logs": 3 * N, "metrics": 2 * N}

        def count(prefix, name, signal):
            try:
                return sum(sum(rows.values()) for _, rows in by_key(broker, f"{prefix}-{name}", signal).values())
            except subprocess.CalledProcessError:  # the topic is just being created
                return 0

        for name, (signal, _) in WAYS.items():
            for prefix in ("ours", "theirs"):
                wait_for(f"{prefix}-{name}", 40, lambda: count(prefix, name, signal) >= expected[signal])
        gw.stop()
        for name, (signal, _) in WAYS.items():
            a, b = by_key(broker, f"ours-{name}", signal), by_key(broker, f"theirs-{name}", signal)
            equal(set(a), set(b), f"{name}: keys")
            check(all(len(p) == 1 for k, (p, _) in a.items() if k is not None), f"{name}: a key in two partitions")
            for k in a:
                check(set(a[k][1].values()) == {1}, f"{name}: rows of key {k!r} more than once: {a[k][1]!r}")
                # The Collector's producer is not idempotent: when a broker is slow it writes a batch again.
                equal((a[k][0], set(a[k][1])), (b[k][0], set(b[k][1])), f"{name}: partition and rows of key {k!r}")
            used = set().union(*(p for p, _ in a.values()))
            check(len(used) > 2, f"{name}: everything in {used}")
            print(f"kafka_keys: {name}: {len(a)} keys in {len(used)} partitions, as the Collector's")


main()

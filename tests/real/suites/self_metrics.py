# SPDX-License-Identifier: Apache-2.0
"""The Collector and the gateway with the same configuration and the same requests, at each level of self-metrics: every metric
that the Collector shows of itself is shown by the gateway, with the same type, labels and, where it counts items, value.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403

CONFIG = """
extensions: {{ health_check: {{ endpoint: "127.0.0.1:{health}" }} }}
receivers:
  otlp: {{ protocols: {{ http: {{ endpoint: "127.0.0.1:{http}" }} }} }}
  otlp/self: {{ protocols: {{ grpc: {{ endpoint: "127.0.0.1:{grpc}" }} }} }}
processors:
  memory_limiter: {{ check_interval: 1s, limit_mib: 400 }}
  attributes: {{ actions: [ {{ key: a, value: b, action: upsert }} ] }}
  resource: {{ attributes: [ {{ key: a, value: b, action: upsert }} ] }}
  probabilistic_sampler: {{ sampling_percentage: 100, attribute_source: record, from_attribute: a }}
  batch: {{ timeout: 100ms, send_batch_size: 3, metadata_keys: [x-tenant] }}
exporters:
  nop:
  debug: {{ use_internal_logger: false, output_paths: ["{dir}/debug.txt"] }}
  file: {{ path: "{dir}/file.jsonl" }}
  otlp_http/away: {{ endpoint: "http://127.0.0.1:1", retry_on_failure: {{ enabled: false }}, sending_queue: {{ batch: {{ flush_timeout: 50ms }} }} }}
  otlp_grpc/self: {{ endpoint: "127.0.0.1:{grpc}", tls: {{ insecure: true }} }}
service:
  extensions: [health_check]
  telemetry:
    metrics: {{ level: {level}, readers: [ {{ pull: {{ exporter: {{ prometheus: {{ host: 127.0.0.1, port: {metrics} }} }} }} }} ] }}
  pipelines:
    traces: {{ receivers: [otlp], processors: [memory_limiter, attributes, resource, probabilistic_sampler, batch], exporters: [nop, debug, file, otlp_http/away, otlp_grpc/self] }}
    traces/self: {{ receivers: [otlp/self], exporters: [nop] }}
    metrics: {{ receivers: [otlp], processors: [memory_limiter, attributes, resource, batch], exporters: [debug, otlp_http/away] }}
    logs: {{ receivers: [otlp], processors: [memory_limiter, attributes, resource, probabilistic_sampler, batch], exporters: [debug, otlp_http/away] }}
"""
# The Collector fails each batch at once; here they would wait for the next probe of a sink that is away.
OURS = CONFIG.replace("retry_on_failure: {{ enabled: false }},", "retry_on_failure: {{ enabled: false }}, circuit_breaker: {{ enabled: false }},")
BODIES = {
    "traces": '{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"x","startTimeUnixNano":"1","endTimeUnixNano":"2"}]}]}]}',
    "metrics": '{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"x","gauge":{"dataPoints":[{"timeUnixNano":"1","asInt":"1"}]}}]}]}]}',
    "logs": '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1","body":{"stringValue":"x"}}]}]}]}',
}
# What the gateway shows in another way, and means to.
LEFT_OUT = {
    "otelcol_process_runtime_total_alloc_bytes": "only a collected heap knows it",
    "otelcol_exporter_in_flight_requests": "nop, debug and file have no queue here, and swallow or write at once",
}
# Labels of the Collector that the gateway does not have: the destination is the exporter's own endpoint, and reasons are labels of
# staunch_dropped_items.
LABELS_LEFT_OUT = {"error_permanent", "error_type", "server_address", "server_port", "url_path"}
VALUES = ("otelcol_receiver_accepted_", "otelcol_exporter_sent_", "otelcol_processor_incoming_items", "otelcol_processor_outgoing_items",
          "otelcol_processor_memory_limiter_accepted_", "otelcol_processor_probabilistic_sampler_count_")


def families(text):
    """({name: type}, {name: {labels: value}}) of otelcol_, http_ and rpc_ metrics; histograms as their _count."""
    types, series = {}, {}
    for line in text.splitlines():
        if line.startswith(("# TYPE otelcol_", "# TYPE http_", "# TYPE rpc_")):
            _, _, name, kind = line.split()
            types[name] = kind
        elif line.startswith(("otelcol_", "http_", "rpc_")):
            head, _, value = line.rpartition(" ")
            name, _, labels = head.partition("{")
            if name.endswith(("_bucket", "_sum")) and name.rsplit("_", 1)[0] in types:
                continue
            name = name.removesuffix("_count") if name.removesuffix("_count") in types else name
            pairs = frozenset(p for p in labels.rstrip("}").split(",") if p and p.split("=")[0] not in LABELS_LEFT_OUT)
            series.setdefault(name, {}).setdefault(pairs, 0.0)
            series[name][pairs] += float(value)
    return types, series


def keys(series):
    return {frozenset(p.split("=")[0] for p in labels) for labels in series}


def compare(level):
    folders = {name: RUN / f"metrics-{name}" for name in ("theirs", "ours")}
    for folder in folders.values():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    their_port = 18888
    with collector(CONFIG.format(health=COLLECTOR_HEALTH, http=14318, grpc=14317, metrics=their_port, level=level, dir=folders["theirs"])), \
            Gateway(OURS.format(health=HEALTH, http=HTTP, grpc=GRPC, metrics=METRICS, level=level, dir=folders["ours"]), ports=(HTTP, METRICS)):
        for _ in range(4):
            for s, body in BODIES.items():
                for port in (14318, HTTP):
                    status = post(f"http://127.0.0.1:{port}/v1/{s}", body.encode(), {"Content-Type": "application/json"})[0]
                    equal(status, 200, f"status of {s} at {port}")
        for port in (their_port, METRICS):
            for item in ("spans", "metric_points", "log_records"):
                wait_for(f"failed {item} at {port}", 10, lambda: metric(f"otelcol_exporter_send_failed_{item}", port=port) >= 4)
                wait_for(f"{item} at {port}", 10, lambda: metric(f"otelcol_exporter_sent_{item}", port=port, exporter="debug") >= 4)
            wait_for(f"calls at {port}", 10, lambda: metric("otelcol_exporter_sent_spans", port=port, exporter="otlp_grpc/self") >= 4)
            wait_for(f"the file at {port}", 10, lambda: metric("otelcol_exporter_sent_spans", port=port, exporter="file") >= 4)
        (types, theirs), (our_types, ours) = (families(get(f"http://127.0.0.1:{port}/metrics")) for port in (their_port, METRICS))
    n = 0
    for name, kind in types.items():
        if name in LEFT_OUT:
            continue
        check(name in ours, f"level {level}: {name} is not shown")
        equal(our_types[name], kind, f"level {level}: type of {name}")
        check(keys(theirs[name]) <= keys(ours[name]), f"level {level}: labels of {name}: {keys(ours[name])}, not {keys(theirs[name])}")
        n += 1
        if not name.startswith(VALUES):
            continue
        for labels, value in theirs[name].items():
            equal(ours[name].get(labels), value, f"level {level}: {name}{sorted(labels)}")
    for name in our_types:  # what the Collector leaves out at this level, and has at detailed
        if name in DETAILED:
            check(name in types, f"level {level}: {name} is shown")
    print(f"{level}: {n} metrics")
    return types


DETAILED = {}
DETAILED = compare("detailed")
compare("normal")
compare("basic")

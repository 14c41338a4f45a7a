# SPDX-License-Identifier: Apache-2.0
"""The Collector as client: every compression and encoding that its OTLP exporters have, into the gateway, into a file. What the
Collector's own file exporter wrote of the same data and what arrived through the gateway are equal, once per exporter.
"""
import collections
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403

WAYS = {
    "otlp_grpc/none": {"endpoint": f"127.0.0.1:{GRPC}", "compression": "none"},
    "otlp_grpc/gzip": {"endpoint": f"127.0.0.1:{GRPC}", "compression": "gzip"},
    "otlp_grpc/zstd": {"endpoint": f"127.0.0.1:{GRPC}", "compression": "zstd"},
    "otlp_grpc/snappy": {"endpoint": f"127.0.0.1:{GRPC}", "compression": "snappy"},
    "otlp_http/none": {"endpoint": f"http://127.0.0.1:{HTTP}", "compression": "none"},
    "otlp_http/gzip": {"endpoint": f"http://127.0.0.1:{HTTP}", "compression": "gzip"},
    "otlp_http/zstd": {"endpoint": f"http://127.0.0.1:{HTTP}", "compression": "zstd"},
    "otlp_http/snappy": {"endpoint": f"http://127.0.0.1:{HTTP}", "compression": "snappy"},
    "otlp_http/deflate": {"endpoint": f"http://127.0.0.1:{HTTP}", "compression": "deflate"},
    "otlp_http/json": {"endpoint": f"http://127.0.0.1:{HTTP}", "encoding": "json", "compression": "none"},
    "otlp_http/json_gzip": {"endpoint": f"http://127.0.0.1:{HTTP}", "encoding": "json", "compression": "gzip"},
}
OURS = """
receivers: {{ otlp: {{ protocols: {{ grpc: {{ endpoint: "127.0.0.1:{grpc}" }}, http: {{ endpoint: "127.0.0.1:{http}" }} }} }} }}
exporters: {{ file: {{ path: "{file}" }} }}
service:
  telemetry: {{ metrics: {{ readers: [ {{ pull: {{ exporter: {{ prometheus: {{ host: 127.0.0.1, port: {metrics} }} }} }} }} ] }} }}
  pipelines:
    traces: {{ receivers: [otlp], exporters: [file] }}
    metrics: {{ receivers: [otlp], exporters: [file] }}
    logs: {{ receivers: [otlp], exporters: [file] }}
"""


def theirs(folder):
    exporters = {name: {**way, "tls": {"insecure": True}, "sending_queue": {"enabled": False}} for name, way in WAYS.items()}
    exporters["file"] = {"path": str(folder / "all.jsonl"), "flush_interval": "100ms"}
    pipeline = {"receivers": ["otlp"], "exporters": list(exporters)}
    return json.dumps({
        "extensions": {"health_check": {"endpoint": f"127.0.0.1:{COLLECTOR_HEALTH}"}},
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": "127.0.0.1:14317"}}}},
        "exporters": exporters,
        "service": {"extensions": ["health_check"], "telemetry": {"metrics": {"level": "none"}},
                    "pipelines": {s: pipeline for s in ("traces", "metrics", "logs")}},
    })


def canonical(path):
    """Each exported document, as text without the order of keys; a counter."""
    return collections.Counter(json.dumps(d, sort_keys=True) for d in json_lines(path))


def main():
    part("gotools.sh", "install", "telemetrygen")
    file, folder = RUN / "collector-ours.jsonl", RUN / "otelcol"
    file.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    with Gateway(OURS.format(grpc=GRPC, http=HTTP, metrics=METRICS, file=file)) as gw:
        with collector(theirs(folder)):
            folder.mkdir(parents=True, exist_ok=True)
            for kind, flags in (("traces", ["--traces", "50", "--child-spans", "3", "--status-code", "Error"]),
                                ("logs", ["--logs", "50", "--body", 'quotes " and \\ and ünïcode']),
                                ("metrics", ["--metrics", "20", "--metric-type", "Histogram"]),
                                ("metrics", ["--metrics", "20", "--metric-type", "ExponentialHistogram"]),
                                ("metrics", ["--metrics", "20", "--metric-type", "Sum"])):
                r = subprocess.run([CACHE / "bin/telemetrygen", kind, "--otlp-insecure", "--otlp-endpoint", "127.0.0.1:14317", "--workers", "1",
                                    "--rate", "0", "--telemetry-attributes", 'a="1"', *flags], capture_output=True, text=True)
                equal(r.returncode, 0, f"telemetrygen {kind}: {r.stderr[-800:]}")
        equal(metric("otelcol_receiver_refused_spans") + metric("otelcol_receiver_refused_log_records"), 0, "refused records")
        gw.stop()
    sent, got = canonical(folder / "all.jsonl"), canonical(file)
    equal({k: v * len(WAYS) for k, v in sent.items()}, dict(got), "documents, each as often as there are ways")
    print(f"collector: {sum(sent.values())} documents over {len(WAYS)} ways, all equal")


main()

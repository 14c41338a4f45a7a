# SPDX-License-Identifier: Apache-2.0
"""The gateway's OTLP exporters into the real Collector: every compression and encoding, gRPC and HTTP. What the Collector writes
of it equals what it writes when it is sent the same directly. Then the Collector goes away while data comes in, and comes back:
all of it arrives, through every way, once.
"""
import collections
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403

WAYS = {f"otlp_grpc/{c}": {"endpoint": "http://127.0.0.1:14317", "compression": c} for c in ("none", "gzip", "zstd", "snappy")}
WAYS |= {f"otlp_http/{c}": {"endpoint": "http://127.0.0.1:14318", "compression": c}
         for c in ("none", "gzip", "zstd", "zlib", "deflate", "snappy", "x-snappy-framed", "lz4")}
WAYS |= {f"otlp_http/json_{c}": {"endpoint": "http://127.0.0.1:14318", "encoding": "json", "compression": c} for c in ("none", "gzip")}
SIGNALS = ("traces", "metrics", "logs")


def ours():
    return json.dumps({
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{HTTP}"}}}},
        "exporters": {name: {**way, "retry_on_failure": {"initial_interval": "200ms", "max_interval": "1s", "max_elapsed_time": 0}}
                      for name, way in WAYS.items()},
        "service": {"telemetry": {"metrics": {"level": "none"}},
                    "pipelines": {s: {"receivers": ["otlp"], "exporters": list(WAYS)} for s in SIGNALS}},
    })


def theirs(folder):
    return json.dumps({
        "extensions": {"health_check": {"endpoint": f"127.0.0.1:{COLLECTOR_HEALTH}"}},
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": "127.0.0.1:14317"}, "http": {"endpoint": "127.0.0.1:14318"}}}},
        "exporters": {"file": {"path": str(folder / "all.jsonl"), "append": True, "flush_interval": "100ms"}},
        "service": {"extensions": ["health_check"], "telemetry": {"metrics": {"level": "none"}},
                    "pipelines": {s: {"receivers": ["otlp"], "exporters": ["file"]} for s in SIGNALS}},
    })


def request(signal, i):
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": f"shöp-{i}"}}, {"key": "n", "value": {"intValue": str(i)}}]}
    t = {"timeUnixNano": str(1700000000000000000 + i)}
    if signal == "traces":
        spans = [{"traceId": f"{i + 1:032x}", "spanId": f"{i * 100 + k + 1:016x}", "name": f"span {k}", "kind": 2,
                  "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000000000000007",
                  "attributes": [{"key": "k" * 20, "value": {"stringValue": "v" * 300}}]} for k in range(20)]
        return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "s"}, "spans": spans}]}]}
    if signal == "logs":
        rows = [{**t, "severityNumber": 9, "severityText": "INFO", "body": {"stringValue": f"line {k}"}} for k in range(20)]
        return {"resourceLogs": [{"resource": resource, "scopeLogs": [{"scope": {}, "logRecords": rows}]}]}
    points = [{**t, "asDouble": k / 3, "attributes": [{"key": "k", "value": {"intValue": str(k)}}]} for k in range(20)]
    return {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"scope": {}, "metrics": [{"name": "m", "gauge": {"dataPoints": points}}]}]}]}


def send(port, signal, i):
    status, _, body = post(f"http://127.0.0.1:{port}/v1/{signal}", json.dumps(request(signal, i)).encode(),
                           {"Content-Type": "application/json"})
    equal(status, 200, f"{signal}: {body!r}")


def documents(path):
    """Counter of what the Collector wrote, one a request; the last line may be half written."""
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return collections.Counter(json.dumps(json.loads(line), sort_keys=True) for line in lines)


def main():
    folder = RUN / "otelcol"
    file = folder / "all.jsonl"
    file.unlink(missing_ok=True)
    with collector(theirs(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        with Gateway(ours(), ports=(HTTP,)) as gw:
            for signal in SIGNALS:
                for i in range(3):
                    send(14318, signal, i)
                    send(HTTP, signal, i)
            want = 9 * (len(WAYS) + 1)
            wait_for("all ways", 30, lambda: sum(documents(file).values()) >= want)
            got = documents(file)
            equal(set(got.values()), {len(WAYS) + 1}, "each document once per way, and once directly")
            print(f"exporters: {len(got)} documents, each over {len(WAYS)} ways as it is")

            part("otelcol.sh", "stop")
            for i in range(10, 40):
                send(HTTP, "traces", i)
            before = sum(got.values())
            part("otelcol.sh", "start", str(RUN / "otelcol-test.yaml"))
            wait_for("what came in meanwhile", 60, lambda: sum(documents(file).values()) >= before + 30 * len(WAYS))
            gw.stop()
            late = documents(file) - got
            equal((len(late), set(late.values())), (30, {len(WAYS)}), "documents of the outage, each once per way")
            print("exporters: 30 requests of an outage arrived, each once per way")


main()

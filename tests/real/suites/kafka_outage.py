# SPDX-License-Identifier: Apache-2.0
"""The kafka exporter and a broker that misbehaves. Its own limit is far below ours: long messages are cut until they pass, a
single row that cannot pass does not take the others with it. Then it is killed while data comes in, and comes back: every
span is there.
"""
import collections
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest  # noqa: E402
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: E402

LIMIT = 50000
SPANS = 200  # a request


def ours(broker):
    return json.dumps({
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{HTTP}"}}}},
        "exporters": {"kafka": {"brokers": [broker], "timeout": "3s",
                                "retry_on_failure": {"initial_interval": "200ms", "max_interval": "1s", "max_elapsed_time": 0}}},
        "service": {"telemetry": {"metrics": {"level": "none"}},
                    "pipelines": {s: {"receivers": ["otlp"], "exporters": ["kafka"]} for s in ("traces", "logs")}},
    })


def send(signal, body):
    status, _, answer = post(f"http://127.0.0.1:{HTTP}/v1/{signal}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    equal(status, 200, f"{signal}: {answer!r}")


def spans(i):
    rows = [{"traceId": f"{i + 1:032x}", "spanId": f"{i * SPANS + k + 1:016x}", "name": "n" * 600, "kind": 1,
             "startTimeUnixNano": "1", "endTimeUnixNano": "2"} for k in range(SPANS)]
    return {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"scope": {}, "spans": rows}]}]}


def logs():
    bodies = ["a", "x" * (2 * LIMIT), "b", "c"]
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": b}} for b in bodies]}]}]}


def messages(broker, topic):
    try:
        return kafka_messages(broker, topic)
    except subprocess.CalledProcessError:  # no topic yet, or no broker
        return []


def span_ids(broker):
    out = collections.Counter()
    for _, _, value in messages(broker, "otlp_spans"):
        check(len(value) <= LIMIT, f"a message of {len(value)} bytes")
        out.update(s.span_id for r in ExportTraceServiceRequest.FromString(value).resource_spans for sc in r.scope_spans for s in sc.spans)
    return out


def bodies(broker):
    return sorted(x.body.string_value for _, _, value in messages(broker, "otlp_logs")
                  for r in ExportLogsServiceRequest.FromString(value).resource_logs for s in r.scope_logs for x in s.log_records)


def main():
    os.environ["KAFKA_EXTRA"] = f"message.max.bytes={LIMIT}"
    with kafka() as broker, Gateway(ours(broker), ports=(HTTP,)) as gw:
        send("traces", spans(0))
        send("logs", logs())
        wait_for("the first request", 40, lambda: len(span_ids(broker)) == SPANS)
        wait_for("the short records", 20, lambda: bodies(broker) == ["a", "b", "c"])
        equal(set(span_ids(broker).values()), {1}, "each span once")
        print(f"kafka_outage: {SPANS} spans of 600 bytes through a limit of {LIMIT}; one long record lost no other")

        part("kafka.sh", "kill", "1")
        for i in range(1, 21):
            send("traces", spans(i))
        part("kafka.sh", "start")
        wait_for("what came in meanwhile", 90, lambda: len(span_ids(broker)) == 21 * SPANS)
        gw.stop()
        again = sum(n - 1 for n in span_ids(broker).values())
        print(f"kafka_outage: {21 * SPANS} spans there after a killed broker, {again} of them more than once")


main()

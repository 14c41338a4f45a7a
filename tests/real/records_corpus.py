# SPDX-License-Identifier: Apache-2.0
"""Log records, spans and points as services send them, for documents: logs(), traces() and metrics() give a request each."""
import random

from metrics_corpus import BASE_NS, DELTA, KINDS, Maker, key_values
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SERVICES = [{"service.name": "shop", "service.namespace": "eu", "service.version": "1.2", "host.name": "h1", "deployment.environment": "prod"},
            {"service.name": "cart", "service.instance.id": "i-2", "k8s.pod.name": "cart-0", "telemetry.sdk.language": "java", "os.type": "linux"},
            {"service.name": "näme \"quoted\"\n", "cloud.region": "eu-1", "process.pid": 5, "data_stream.dataset": "Own/Set", "data_stream.namespace": "Team A"}]
ATTRIBUTES = [{}, {"http.request.method": "GET", "url.path": "/a?b=c", "http.response.status_code": 200}, {"user": {"name": "ann", "age": 5}, "tags": ["a", "b"]},
              {"ratio": 0.5, "ok": True, "text": "quotes \" \\ <b> \u2028 😀", "raw": b"\x00\xff"},
              {"exception.type": "Oops", "exception.message": "it\nbroke", "exception.stacktrace": "at a\nat b"}]


def where(add, i):
    r = add()
    r.resource.attributes.extend(key_values(SERVICES[i % len(SERVICES)]))
    r.resource.dropped_attributes_count = i % 2
    r.schema_url = "https://opentelemetry.io/schemas/1.30.0" if i % 2 else ""
    return r


def scope_of(s, i):
    s.scope.name, s.scope.version = ("", "lib", "io.opentelemetry.otelcol/receiver/hostmetricsreceiver")[i % 3], ("", "1.0")[i % 2]
    if i % 3:
        s.scope.attributes.extend(key_values({"scope.kind": "lib"}))


def logs(bodies="text", seed=3, n=40):
    r, q = random.Random(seed), ExportLogsServiceRequest()
    for i in range(len(SERVICES)):
        s = where(q.resource_logs.add, i).scope_logs.add()
        scope_of(s, i)
        for k in range(n):
            x = s.log_records.add(time_unix_nano=BASE_NS + k * 1_234_567 if k % 5 else 0, observed_time_unix_nano=BASE_NS + k, severity_number=r.randint(0, 24),
                                  severity_text=r.choice(["", "INFO", "warn"]), flags=k % 2, dropped_attributes_count=k % 3)
            x.attributes.extend(key_values(ATTRIBUTES[k % len(ATTRIBUTES)]))
            if k % 2:
                x.trace_id, x.span_id = r.randbytes(16), r.randbytes(8)
            if k % 7 == 3:
                x.event_name = "event.of.mine"
            if bodies == "map":
                x.body.kvlist_value.values.extend(key_values({"message": f"m {k}", "n": k, "in": {"deep": [1, 2]}, "@timestamp": "2025-11-24T16:00:00Z"}))
            elif bodies == "mixed" and k % 3 == 0:
                x.body.kvlist_value.values.extend(key_values({"message": f"m {k}", "n": k}))
            elif bodies == "mixed" and k % 3 == 1:
                x.body.array_value.values.extend(v.value for v in key_values({"a": f"t{k}", "b": "u"}))
            else:
                x.body.string_value = f"text {k} \"q\" \t<&> ü😀"
    return q


def traces(seed=4, n=25):
    r, q = random.Random(seed), ExportTraceServiceRequest()
    for i in range(len(SERVICES)):
        s = where(q.resource_spans.add, i).scope_spans.add()
        scope_of(s, i)
        for k in range(n):
            x = s.spans.add(trace_id=r.randbytes(16), span_id=r.randbytes(8), name=f"GET /{k} \"x\"", kind=k % 6, start_time_unix_nano=BASE_NS + k * 1000,
                            end_time_unix_nano=BASE_NS + k * 1000 + r.randint(0, 10**9), trace_state="a=b" if k % 2 else "", dropped_events_count=k % 2)
            x.attributes.extend(key_values(ATTRIBUTES[k % len(ATTRIBUTES)]))
            if k % 3:
                x.parent_span_id = r.randbytes(8)
            x.status.code, x.status.message = k % 3, "bad" if k % 3 == 2 else ""
            for e in range(k % 3):
                ev = x.events.add(name=("exception", "note")[e % 2], time_unix_nano=BASE_NS + k * 1000 + e)
                ev.attributes.extend(key_values(ATTRIBUTES[4 if e % 2 == 0 else 1]))
            if k % 4 == 0:
                x.links.add(trace_id=r.randbytes(16), span_id=r.randbytes(8)).attributes.extend(key_values({"link": k}))
    return q


def metrics(seed=5):
    make = Maker(seed)
    q = None
    for i, service in enumerate(SERVICES):
        if q is None:
            q, sm = make.request(service)
        else:
            sm = make.scope(q, service)
        for kind in KINDS:
            for k in range(3):
                data = make.metric(sm, kind, f"{kind}.{k}", "s", temporality=DELTA)
                for route in ("/a", "/b"):
                    make.point(data, kind, {"http.route": route}, time=BASE_NS + i * 1000, plain=True)
    return q

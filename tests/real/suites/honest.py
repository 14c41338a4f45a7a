# SPDX-License-Identifier: Apache-2.0
"""Honest clients are never cut: telemetrygen, the Go SDK and the Collector each send one span a request at full rate over
OTLP/gRPC on one connection, for 60 s: to a healthy gateway, to one whose queue is full, and to one without memory, which
answers before it has read a body. After a GOAWAY these clients connect again: so each has opened one connection, has it at
the end, and the gateway has cut none. What the client was told, refused or accepted, is what the gateway says.

    telemetrygen ───────────────────────────────┐
    SDK, 4 requests open ───────────────────────┼─► gateway ─► nothing, or a sink that is not there
    here ─► Collector, 10 requests of one span ─┘
"""
import concurrent.futures
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: E402

SECONDS = int(os.environ.get("HONEST_SECONDS", "60"))
THEIR_METRICS = 18888
NOP, DEAD = {"nop": {}}, {"otlp_http": {"endpoint": "http://127.0.0.1:1"}}


class House:
    """A gateway, and the ports around it."""

    def __init__(self, n, exporters, queue=None, memory=None):
        self.grpc, self.http, self.metrics, self.feed = (base + n for base in (25400, 25410, 25420, 25430))
        exporter = next(iter(exporters))
        if queue:
            exporters = {exporter: {**exporters[exporter], "sending_queue": queue}}
        self.config = json.dumps({
            "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"127.0.0.1:{self.grpc}"}, "http": {"endpoint": f"127.0.0.1:{self.http}"}}}},
            "processors": {"memory_limiter": memory} if memory else {},
            "exporters": exporters,
            "service": {
                "runtime": {"drain_timeout": "1s"},
                "telemetry": {"metrics": {"readers": [{"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": self.metrics}}}}]}},
                "pipelines": {"traces": {"receivers": ["otlp"], "processors": ["memory_limiter"] if memory else [], "exporters": [exporter]}}},
        })

    def metric(self, name, **labels):
        return int(metric(name, self.metrics, **labels))

    def on_grpc(self, name, **labels):
        return self.metric(name, endpoint=f"127.0.0.1:{self.grpc}", **labels)


HOUSES = {
    "healthy": House(0, NOP),
    # A queue of one request in front of a sink that is not there: nearly every request is refused, when it was decoded.
    "full": House(1, DEAD, queue={"queue_size": 1, "num_consumers": 1}),
    # Requests that cannot leave hold the memory: every other one is refused at the door.
    "no_memory": House(2, DEAD, queue={"queue_size": 1000}, memory={"check_interval": "1s", "limit_mib": 8, "spike_limit_mib": 7}),
}


def spans(n, name):
    q = ExportTraceServiceRequest()
    rows = q.resource_spans.add().scope_spans.add().spans
    for i in range(n):
        rows.add(name=name, trace_id=b"\x01" * 16, span_id=(i + 1).to_bytes(8, "big"), start_time_unix_nano=1, end_time_unix_nano=2)
    return q.SerializeToString()


def put(port, body):
    return post(f"http://127.0.0.1:{port}/v1/traces", body, {"Content-Type": "application/x-protobuf"})[0]


# ---- the clients: each gives how its spans ended, as it was told

def unheard(text, who):
    for word in ("goaway", "enhance_your_calm", "too_many_pings", "connection reset", "broken pipe", "transient_failure"):
        check(word not in text.lower(), f"{who} speaks of {word}: {text[-1500:]}")


def telemetrygen(house, timeout):
    """Waits before it sends a refused span again, until the time-out: against a refusing gateway it is a slow client."""
    r = subprocess.run([CACHE / "bin/telemetrygen", "traces", "--otlp-insecure", "--otlp-endpoint", f"127.0.0.1:{house.grpc}", "--rate", "0",
                        "--workers", "1", "--child-spans", "1", "--batch=false", "--allow-export-failures", "--timeout", timeout,
                        "--duration", f"{SECONDS}s"], capture_output=True, text=True,
                       env={**os.environ, "GRPC_GO_LOG_SEVERITY_LEVEL": "info", "GRPC_GO_LOG_VERBOSITY_LEVEL": "99"})
    text = r.stdout + r.stderr
    equal(r.returncode, 0, f"telemetrygen ({text[-1500:]})")
    unheard(text, "telemetrygen")
    check("READY" in text, f"gRPC logs nothing any more: {text[-500:]}")
    return {"spans": 2 * int(re.search(r'traces generated.*"traces": (\d+)', text).group(1))}


def go_sdk(house):
    said = client("go", "steady", SECONDS, f"http://127.0.0.1:{house.grpc}")
    equal((said["begun"], said["ended"]), (1, 0), f"connections that the SDK opened and lost ({said['last']})")
    print(f"the SDK's slowest request: {said['slowest_ms']} ms", flush=True)
    return said["ends"]


def collector_client(house, name):
    """Feeds the Collector, which takes only what its queue has room for; waits until all has been sent."""
    body, fed, end = spans(100, "one"), 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        equal(put(house.feed, body), 200, "the Collector's answer")
        fed += 100

    def sent(what):
        return int(metric(f"otelcol_exporter_{what}_spans", THEIR_METRICS, exporter=f"otlp_grpc/{name}"))

    wait_for("the Collector's queue", 30, lambda: sent("sent") + sent("send_failed") >= fed)
    equal(sent("sent") + sent("send_failed"), fed, "spans that the Collector sent, of those it took")
    return {"OK": sent("sent"), "refused": sent("send_failed")}


def collector_config(names):
    queue = {"queue_size": 1000, "sizer": "items", "block_on_overflow": True, "num_consumers": 10,
             "batch": {"min_size": 1, "max_size": 1, "flush_timeout": "100ms"}}
    houses = {n: HOUSES[n] for n in names}
    return json.dumps({
        "extensions": {"health_check": {"endpoint": f"127.0.0.1:{COLLECTOR_HEALTH}"}},
        "receivers": {f"otlp/{n}": {"protocols": {"http": {"endpoint": f"127.0.0.1:{h.feed}"}}} for n, h in houses.items()},
        "exporters": {f"otlp_grpc/{n}": {"endpoint": f"127.0.0.1:{h.grpc}", "compression": "none", "tls": {"insecure": True}, "timeout": "30s",
                                         "retry_on_failure": {"enabled": False}, "sending_queue": queue} for n, h in houses.items()},
        "service": {"extensions": ["health_check"],
                    "telemetry": {"logs": {"disable_stacktrace": True}, "metrics": {"readers": [{"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": THEIR_METRICS}}}}]}},
                    "pipelines": {f"traces/{n}": {"receivers": [f"otlp/{n}"], "exporters": [f"otlp_grpc/{n}"]} for n in names}},
    })


# ---- one gateway

def fill_memory(house):
    """Smaller and smaller requests, until there is no room for the smallest."""
    for size in (100000, 10000, 1000, 1):
        for n in range(1000):
            if put(house.http, spans(1, "x" * size)) != 200:
                break
        check(0 < n < 999 or size < 100000, f"{n} requests of {size} bytes found room")


def judge(name, house, connections, generated, ends):
    cut = {r: house.on_grpc("staunch_net_cut", reason=r) for r in ("attack", "timeout", "max_connections", "tls")}
    equal(sum(cut.values()), 0, f"{name}: connections cut ({cut})")
    equal(house.on_grpc("staunch_net_accepted") - connections, 3, f"{name}: connections of three clients")
    for who, codes in ends.items():
        equal(set(codes) - {"OK", "refused", "Unavailable"}, set(), f"{name}: answers to {who}: {codes}")
        check(sum(codes.values()) > 30 * SECONDS, f"{name}: {who} sent only {codes} in {SECONDS} s")
    took = house.metric("otelcol_receiver_accepted_spans", transport="grpc")
    refused = house.metric("otelcol_receiver_requests", transport="grpc", outcome="refused")
    told = sum(codes.get("OK", 0) for codes in ends.values())
    told_no = sum(n for codes in ends.values() for code, n in codes.items() if code != "OK")
    print(f"{name}: telemetrygen {generated}, {ends}; the gateway took {took} and refused {refused}", flush=True)
    equal(house.metric("otelcol_receiver_requests", transport="grpc", outcome="failure"), 0, f"{name}: failed requests")
    if name == "healthy":
        equal((took, refused), (told + generated, 0), f"{name}: accepted spans, refused requests")
        check(generated > 30 * SECONDS, f"telemetrygen sent only {generated} spans")
    else:
        check(told <= took <= told + 3, f"{name}: accepted {took}, told {told}")
        check(refused > told_no, f"{name}: refused {refused}, without telemetrygen {told_no}")


def run(name, connections):
    house = HOUSES[name]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        generated = pool.submit(telemetrygen, house, "30s" if name == "healthy" else "100ms")
        jobs = {"the SDK": pool.submit(go_sdk, house), "the Collector": pool.submit(collector_client, house, name)}
        ends = {who: job.result() for who, job in jobs.items()}
    judge(name, house, connections, generated.result()["spans"], ends)


def main():
    part("gotools.sh", "install", "telemetrygen")
    part("clients/client.sh", "install", "go")
    for names in (["healthy"], ["full", "no_memory"]):
        with contextlib.ExitStack() as stack:
            for name in names:
                house = HOUSES[name]
                stack.enter_context(Gateway(house.config, ports=(house.grpc, house.http), name=name))
                if name == "no_memory":
                    fill_memory(house)
            before = {name: HOUSES[name].on_grpc("staunch_net_accepted") for name in names}
            stack.enter_context(collector(collector_config(names)))
            with concurrent.futures.ThreadPoolExecutor() as pool:
                for job in [pool.submit(run, name, before[name]) for name in names]:
                    job.result()
            unheard((RUN / "otelcol.log").read_text(), "the Collector")
    print("honest: nobody was cut")


main()

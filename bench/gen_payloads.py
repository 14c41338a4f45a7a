#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Payloads for the benchmarks: OUT/<kind>/<nnn>.pb, N distinct requests of each kind, the same bytes on every run.

    "$(tools/python.sh)" bench/gen_payloads.py OUT [-n 64] [kind...]

What a fleet of shops sends: kinds traces100 (100 spans of ten traces, four resources), logs500 (two resources),
metrics1000 (points: 45 % sums, 35 % gauges, 20 % histograms of 11 buckets), and traces1, logs1, metrics1.
"""
import argparse
import pathlib
import random

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

EPOCH_NS = 1_790_000_000 * 1_000_000_000
ROUTES = ["/api/v1/orders/{id}", "/api/v1/cart", "/api/v1/users/{id}/profile", "/api/v1/payments", "/healthz", "/api/v2/search"]
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"
NOUNS = ("order payment cart user session token cache upstream shard replica partition offset commit latency budget queue"
         " worker thread pool request response header body checksum").split()
VERBS = "miss retry timeout connect reset exceeded fetched updated inserted deleted rejected accepted failed succeeded".split()
BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]


class Shop:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def hex(self, n):
        return "".join(self.r.choice("0123456789abcdef") for _ in range(n))

    def attributes(self, to, pairs):
        for key, value in pairs.items():
            a = to.add(key=key)
            if isinstance(value, int):
                a.value.int_value = value
            else:
                a.value.string_value = value

    def resource(self, to, i):
        self.attributes(to.attributes, {
            "service.name": f"checkout-{i}", "service.version": f"2.14.{i % 7}", "service.instance.id": self.hex(32),
            "service.namespace": "shop", "deployment.environment.name": "production",
            "host.name": f"ip-10-0-{i}-{self.r.randrange(255)}", "k8s.pod.name": f"checkout-{self.hex(9)}-{self.hex(5)}",
            "k8s.namespace.name": "shop", "cloud.region": "eu-central-1", "telemetry.sdk.language": "java",
            "telemetry.sdk.name": "opentelemetry", "telemetry.sdk.version": "1.45.0"})

    def sentence(self, n):
        words = ""
        while len(words) < n:
            words += self.r.choice(NOUNS) + (f"={self.hex(6)} " if self.r.random() < 0.15 else f" {self.r.choice(VERBS)} ")
        return words[:n]

    def span(self, s, i, trace, parent):
        r = self.r
        route = r.choice(ROUTES)
        failed = r.random() < 0.02
        s.trace_id, s.span_id, s.parent_span_id = trace, r.randbytes(8), parent
        s.name, s.kind, s.flags = "GET " + route, 2 + i % 2, 0x101
        s.start_time_unix_nano = EPOCH_NS + i * 1000
        s.end_time_unix_nano = s.start_time_unix_nano + 300_000 + int(r.expovariate(1 / 40e6))
        self.attributes(s.attributes, {
            "http.request.method": "GET", "http.route": route, "http.response.status_code": 500 if failed else 200,
            "url.scheme": "https", "url.path": route.replace("{id}", str(r.randrange(10**7))),
            "server.address": "checkout.shop.svc.cluster.local", "server.port": 8443, "network.protocol.version": "1.1",
            "client.address": f"10.{r.randrange(255)}.{r.randrange(255)}.{r.randrange(255)}", "user_agent.original": AGENT,
            "thread.id": r.randrange(400), "thread.name": f"http-nio-8443-exec-{r.randrange(200)}"})
        for name in ("exception", "message") if i % 5 == 0 else ():
            e = s.events.add(name=name, time_unix_nano=s.start_time_unix_nano + 150_000)
            self.attributes(e.attributes, {"message.id": r.randrange(10**6), "message.type": "RECEIVED"})
        if failed:
            s.status.code, s.status.message = 2, "upstream connect error"

    def traces(self, n):
        q = ExportTraceServiceRequest()
        scopes = []
        for i in range(min(4, n)):
            rs = q.resource_spans.add()
            self.resource(rs.resource, i)
            scopes.append(rs.scope_spans.add())
            scopes[-1].scope.name, scopes[-1].scope.version = "io.opentelemetry.tomcat-10.0", "2.10.0"
        trace = parent = b""
        for i in range(n):
            if i % 10 == 0:
                trace, parent = self.r.randbytes(16), b""
            s = scopes[i % len(scopes)].spans.add()
            self.span(s, i, trace, parent)
            parent = s.span_id
        return q

    def logs(self, n):
        q, r = ExportLogsServiceRequest(), self.r
        scopes = []
        for i in range(min(2, n)):
            rl = q.resource_logs.add()
            self.resource(rl.resource, i)
            scopes.append(rl.scope_logs.add())
            scopes[-1].scope.name = "com.shop.checkout.OrderService"
        for i in range(n):
            level = r.choice([9, 9, 9, 13, 17])
            record = scopes[i % len(scopes)].log_records.add(
                time_unix_nano=EPOCH_NS + i * 10_000, observed_time_unix_nano=EPOCH_NS + i * 10_000 + 5000,
                severity_number=level, severity_text={9: "INFO", 13: "WARN", 17: "ERROR"}[level])
            record.body.string_value = self.sentence(200)
            if i % 2 == 0:
                record.trace_id, record.span_id, record.flags = r.randbytes(16), r.randbytes(8), 1
            self.attributes(record.attributes, {
                "thread.id": r.randrange(400), "thread.name": f"http-nio-8443-exec-{r.randrange(200)}",
                "code.namespace": "com.shop.checkout.OrderService", "code.function": "placeOrder",
                "code.lineno": r.randrange(900), "enduser.id": f"u-{r.randrange(10**7)}", "order.id": self.hex(16),
                "tenant.id": f"tenant-{r.randrange(50)}"})
        return q

    def point(self, p, j):
        p.start_time_unix_nano, p.time_unix_nano = EPOCH_NS - 60 * 10**9, EPOCH_NS
        self.attributes(p.attributes, {
            "http.request.method": "GET", "http.route": ROUTES[j % 6], "http.response.status_code": 200 + j,
            "server.address": f"checkout-{j % 4}", "network.protocol.version": "1.1"})

    def metric(self, m, i, n_points):
        r, kind = self.r, i % 20
        word = "requests" if kind < 9 else "active" if kind < 16 else "duration"
        m.name, m.unit = f"http.server.{word}.{i}", "1" if kind < 16 else "s"
        m.description = "Number or duration of HTTP server requests"
        if kind < 9:
            m.sum.aggregation_temporality, m.sum.is_monotonic = 2, True
        elif kind >= 16:
            m.histogram.aggregation_temporality = 2
        points = m.sum.data_points if kind < 9 else m.gauge.data_points if kind < 16 else m.histogram.data_points
        for j in range(n_points):
            p = points.add()
            self.point(p, j)
            if kind < 9:
                p.as_int = r.randrange(10**6)
            elif kind < 16:
                p.as_double = r.random() * 1000
            else:
                p.bucket_counts.extend(r.randrange(300) for _ in range(11))
                p.explicit_bounds.extend(BOUNDS)
                p.count, p.sum, p.min, p.max = sum(p.bucket_counts), r.random() * 1e4, 0.001, 7.5

    def deltas(self, n):
        q = self.metrics(n)
        for m in (m for rm in q.resource_metrics for sm in rm.scope_metrics for m in sm.metrics):
            kind = m.WhichOneof("data")
            if kind != "gauge":
                getattr(m, kind).aggregation_temporality = 1
        return q

    def metrics(self, n):
        q = ExportMetricsServiceRequest()
        scopes = []
        for i in range(2 if n > 1 else 1):
            rm = q.resource_metrics.add()
            self.resource(rm.resource, i)
            scopes.append(rm.scope_metrics.add())
            scopes[-1].scope.name = "io.opentelemetry.runtime-metrics"
        for i in range((n + 9) // 10):
            self.metric(scopes[i % len(scopes)].metrics.add(), i, min(10, n - 10 * i))
        return q


KINDS = {"traces100": ("traces", 100), "logs500": ("logs", 500), "metrics1000": ("metrics", 1000), "deltas1000": ("deltas", 1000),
         "traces1": ("traces", 1), "logs1": ("logs", 1), "metrics1": ("metrics", 1)}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("out", type=pathlib.Path)
    ap.add_argument("-n", type=int, default=64)
    ap.add_argument("kinds", nargs="*", default=list(KINDS))
    args = ap.parse_args()
    for kind in args.kinds:
        signal, rows = KINDS[kind]
        folder = args.out / kind
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(args.n):
            request = getattr(Shop(f"{kind} {i}"), signal)(rows)
            (folder / f"{i:03}.pb").write_bytes(request.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()

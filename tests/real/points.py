# SPDX-License-Identifier: Apache-2.0
"""A processor of metrics, the Collector's and the gateway's beside each other: same_points(kind, cases, bodies) runs a pipeline per case in one
process of each, sends both the same requests by one connection, and compares what each series came to, point by point in order. A case is a name,
the settings of both, and, if there are any, those of the gateway alone.
"""
import collections
import http.client
import json
import random
import shutil
import struct
import time

from derived import PORTS, attributes, documents
from gateway import HTTP, RUN, Gateway, check, collector, equal, wait_for
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from metrics_corpus import DELTA, CUMULATIVE, key_values

S = 1_000_000_000


def config(side, kind, cases, folder):
    port, health = PORTS[side]
    n = range(len(cases))
    return json.dumps({
        "extensions": {"health_check": {"endpoint": f"127.0.0.1:{health}"}},
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
        "processors": {f"{kind}/{k}": {**settings, **(ours[0] if ours and side == "ours" else {})} for k, (_, settings, *ours) in enumerate(cases)},
        "exporters": {f"file/{k}": {"path": str(folder / f"{k}.bin"), "format": "proto", "flush_interval": "100ms"} for k in n},
        "service": {"extensions": ["health_check"], "telemetry": {"metrics": {"level": "none"}},
                    "pipelines": {f"metrics/{k}": {"receivers": ["otlp"], "processors": [f"{kind}/{k}"], "exporters": [f"file/{k}"]} for k in n}},
    })


def bits(x):
    return "NaN" if x != x else struct.pack("<d", x + 0.0).hex() if isinstance(x, float) else x


def fields(kind, p):
    if kind in ("sum", "gauge"):
        which = p.WhichOneof("value")
        return (which, bits(getattr(p, which)) if which else None)
    if kind == "summary":
        return (p.count, bits(p.sum), tuple((bits(q.quantile), bits(q.value)) for q in p.quantile_values))
    common = (p.count, *(bits(getattr(p, f)) if p.HasField(f) else None for f in ("sum", "min", "max")))
    if kind == "histogram":
        return (*common, tuple(p.bucket_counts), tuple(map(bits, p.explicit_bounds)))
    sides = tuple(tuple((b.offset + i, n) for i, n in enumerate(b.bucket_counts) if n) for b in (p.positive, p.negative))
    return (*common, p.scale, p.zero_count, bits(p.zero_threshold), sides)


def points(path):
    """{series: [its points, in order]}"""
    out = collections.defaultdict(list)
    for document in documents(path):
        for rm in document.resource_metrics:
            for sm in rm.scope_metrics:
                for m in sm.metrics:
                    kind = m.WhichOneof("data")
                    data = getattr(m, kind)
                    name = (m.name, m.unit, m.description, kind, getattr(data, "aggregation_temporality", 0), getattr(data, "is_monotonic", None))
                    for p in data.data_points:
                        key = (attributes(rm.resource.attributes), rm.schema_url, sm.scope.name, sm.scope.version, name, attributes(p.attributes))
                        out[key].append((p.start_time_unix_nano, p.time_unix_nano, p.flags, fields(kind, p)))
    return out


def send(port, bodies):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for body in bodies:
        connection.request("POST", "/v1/metrics", body, {"Content-Type": "application/x-protobuf"})
        response = connection.getresponse()
        equal((response.status, len(response.read()) < 16), (200, True), f"answer of {port}")
    connection.close()


def at_rest(folder):
    """All files have what they had a second ago, and that is something."""
    sizes = [f.stat().st_size for f in folder.glob("*.bin")]
    time.sleep(1)
    return sum(sizes) > 0 and sizes == [f.stat().st_size for f in folder.glob("*.bin")]


def run(side, kind, cases, bodies, pause):
    folder = RUN / f"{kind}-{side}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    text = config(side, kind, cases, folder)
    with Gateway(text, ports=(HTTP,)) if side == "ours" else collector(text):
        send(PORTS[side][0], bodies() if callable(bodies) else bodies)
        time.sleep(pause)
        wait_for(f"the files of {side}", 30, lambda: at_rest(folder))
    return [points(folder / f"{k}.bin") for k in range(len(cases))]


def same_points(kind, cases, bodies, pause=0):
    """cases: [(name, settings)]; bodies: a list, or what makes one once a side has started."""
    theirs, ours = (run(side, kind, cases, bodies, pause) for side in ("theirs", "ours"))
    faults = []
    for (name, *_), want, got in zip(cases, theirs, ours):
        n = sum(map(len, want.values()))
        print(f"{kind}: {name}: {n} points of {len(want)} series", flush=True)
        check(n > 100, f"{name}: only {n} points")
        wrong = [f"{k}:\n  {got.get(k)}\n  not {want.get(k)}" for k in sorted(want.keys() | got.keys(), key=repr) if got.get(k) != want.get(k)]
        faults += [f"{name}: {len(wrong)} series differ, like {w[:3000]}" for w in wrong[:2]]
    check(not faults, "\n".join(faults))


class Walk:
    """One series whose points go on from each other, and sometimes not."""

    def __init__(self, r, kind, start, temporality, flags=0.03, least_scale=-4):
        self.flags, self.least_scale = flags, least_scale
        self.r, self.kind, self.start, self.time, self.temporality = r, kind, start, start + r.randrange(2) * S, temporality
        self.value, self.scale, self.threshold = r.randrange(100), 3, 0.0
        self.bounds, self.counts, self.sides = [1.0, 5.0, 25.0], [0] * 4, ({}, {})
        self.total = 0.0

    def step(self):
        r = self.r
        self.time += r.choice([S, S, S, S, 5 * S, 0, -S])
        if r.random() < 0.05:  # begins anew, and says so
            self.start = self.time
            self.reset()
        if r.random() < 0.05 or self.temporality == DELTA:  # or does not
            self.reset()
        self.value += r.randrange(20)
        for _ in range(r.randrange(6)):
            self.observe(r.choice([1, 1, 1, -1]) * 2.0 ** r.uniform(-3, 6))
        if r.random() < 0.04:
            self.bounds = r.choice([[1.0, 5.0, 25.0], [1.0, 6.0, 25.0], [2.0], []])
            self.counts = [sum(self.counts[:1])] * (len(self.bounds) + 1) if self.bounds or r.random() < 0.5 else []
        if r.random() < 0.08:
            self.coarsen()
        if r.random() < 0.05:
            self.threshold = r.choice([0.0, 0.125, 0.3, 1.0])

    def reset(self):
        self.value = self.r.randrange(5)
        self.counts, self.sides, self.total = [0] * len(self.counts), ({}, {}), 0.0

    def observe(self, x):
        import math
        self.total += x
        if self.counts:
            self.counts[sum(b < x for b in self.bounds)] += 1
        side = self.sides[x < 0]
        index = math.ceil(math.log2(abs(x)) * 2 ** self.scale) - 1
        side[index] = side.get(index, 0) + 1

    def coarsen(self):
        by = self.r.choice([1, 1, 2, -1])
        if self.scale - by > 10 or self.scale - by < self.least_scale:
            return
        self.scale -= by
        sides = []
        for side in self.sides:
            out = collections.Counter()
            for i, n in side.items():
                out[i >> by if by > 0 else i << -by] += n
            sides.append(dict(out))
        self.sides = tuple(sides)

    def add(self, m):
        """A point of the metric m."""
        r = self.r
        data = getattr(m, "sum" if self.kind in ("int", "double", "updown") else self.kind)
        if self.kind not in ("gauge", "summary"):
            data.aggregation_temporality = self.temporality
        if self.kind in ("int", "double"):
            data.is_monotonic = True
        p = data.data_points.add(start_time_unix_nano=self.start, time_unix_nano=self.time, flags=int(r.random() < self.flags))
        if self.kind in ("int", "updown", "gauge"):
            p.as_int = self.value
        elif self.kind == "double":
            p.as_double = float("nan") if r.random() < 0.03 else self.value / 7
        elif self.kind == "summary":
            p.count, p.sum = self.value, self.value / 3
            p.quantile_values.add(quantile=0.5, value=self.value / 2)
        else:
            p.count = sum(self.counts) if self.kind == "histogram" else sum(sum(s.values()) for s in self.sides) + self.value
            if r.random() < 0.95:
                p.sum = float("nan") if r.random() < 0.03 else self.total
            if r.random() < 0.5:
                p.min, p.max = -8.0, 64.0
            if self.kind == "histogram":
                p.explicit_bounds.extend(self.bounds)
                p.bucket_counts.extend(self.counts)
            else:
                p.scale, p.zero_count, p.zero_threshold = self.scale, self.value, self.threshold
                for side, to in zip(self.sides, (p.positive, p.negative)):
                    if side:
                        to.offset = min(side)
                        to.bucket_counts.extend(side.get(i, 0) for i in range(min(side), max(side) + 1))
        return p


KINDS = ["int", "double", "updown", "histogram", "exponential_histogram", "gauge", "summary"]


def requests(seed, now_ns, temporality=CUMULATIVE, n_requests=120, kinds=KINDS, **odd):
    """Series of two resources and scopes, attributes in any order; start times an hour ago, and an hour ahead."""
    r = random.Random(seed)
    out = []
    walks = []
    for resource in ({"service.name": "shop", "host.name": "a"}, {"service.name": "shop", "host.name": "b"}):
        for scope in (("lib", "1"), ("lib", "2")):
            for kind in kinds:
                for attrs in ({}, {"route": "/a", "code": 200}, {"route": "/b", "ok": True, "list": [1, "x"]}):
                    start = now_ns + r.choice([-3600, 3600]) * S
                    t = temporality if r.random() < 0.9 else CUMULATIVE + DELTA - temporality
                    walks.append((resource, scope, kind, attrs, Walk(r, kind, start, t, **odd)))
    for _ in range(n_requests):
        q = ExportMetricsServiceRequest()
        for resource, scope, kind, attrs, w in r.sample(walks, 12):
            rm = q.resource_metrics.add(schema_url="https://example.org/1")
            rm.resource.attributes.extend(sorted(key_values(resource), key=lambda _: r.random()))
            sm = rm.scope_metrics.add()
            sm.scope.name, sm.scope.version = scope
            m = sm.metrics.add(name=f"m.{kind}", unit="s", description="d")
            for _ in range(r.choice([1, 1, 2])):
                w.step()
                w.add(m).attributes.extend(sorted(key_values(attrs), key=lambda _: r.random()))
        out.append(q.SerializeToString())
    return out

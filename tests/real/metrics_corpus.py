# SPDX-License-Identifier: Apache-2.0
"""Metrics of every type, temporality and oddity, the same ones for the same seed: requests(seed) gives a list of
(name, ExportMetricsServiceRequest)."""
import random

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

BASE_NS = 1_764_000_000_000_000_000
DELTA, CUMULATIVE = 1, 2
INF, NAN = float("inf"), float("nan")
MAX_NS = 2**63 - 1  # in the year 2262
KINDS = ["gauge", "sum", "updown", "histogram", "exponential", "summary"]


def any_value(v):
    a = AnyValue()
    if isinstance(v, bool):
        a.bool_value = v
    elif isinstance(v, int):
        a.int_value = v
    elif isinstance(v, float):
        a.double_value = v
    elif isinstance(v, str):
        a.string_value = v
    elif isinstance(v, bytes):
        a.bytes_value = v
    elif isinstance(v, list):
        a.array_value.SetInParent()
        a.array_value.values.extend(any_value(x) for x in v)
    elif isinstance(v, dict):
        a.kvlist_value.SetInParent()
        a.kvlist_value.values.extend(key_values(v))
    return a  # None: no value


def key_values(d):
    return [KeyValue(key=k, value=any_value(v)) for k, v in d.items()]


NAMES = ["http.server.request.duration", "requests", "requests_total", "a b-c/d", "1st.metric", "ünï.cödé", "metric😀", "up:down", "__a__", "_x",
         "x__y", "CamelCase", "process.cpu.time", "a..b", "memory_bytes", "x_ratio", "n" * 300, "...", "😀", "-", "trailing.", "total", "_total",
         "http_2xx", "per_second_rate", "ctrl\x01\n", 'quo"te\\', "a.total.b", "seconds", "m.s.seconds.total"]
UNITS = ["", "s", "ms", "By", "KiBy", "1", "{request}", "By/s", "%", "m/s", "{x}/s", "us", "d", "Cel", "1/s", "foo", "{a}{b}", "By/{op}", "h/mo", "/s",
         "s/", "a b", "°C", "GHz", "m²", "bar_baz", "seconds", "__", "MBy/m", "mo", "/", "s/s/s"]
ATTRIBUTES = [
    {}, {"a": "x"}, {"a": "x", "b": "y", "c": "z"}, {"empty": ""}, {"int": 5, "big": 2**63 - 1, "small": -2**63},
    {"double": 1.5, "whole": 3.0, "tiny": 1e-9, "huge": 1e21, "20": 1e20, "minus": -0.0}, {"nan": NAN, "inf": INF, "minf": -INF},
    {"true": True, "false": False}, {"bytes": b"\x00\xff+/", "none": b""}, {"list": ["a", 1, 2.5, True, None, {"k": "v"}], "no": []},
    {"map": {"k": "v", "a": 1, "z": [1, {"q": None}]}, "emptymap": {}}, {"null": None}, {"dot.ted": "x", "da-sh": "y", "1digit": "z"},
    {"_under": "1", "__two": "2", "__reserved__": "3", "a__b": "4"}, {"a.b": "1", "a_b": "2", "a-b": "3"}, {"a.b": "same", "a_b": "same"},
    {"job": "mine", "instance": "own"}, {"le": "1", "quantile": "0.5"}, {"__name__": "other"}, {"ünï": "cödé", "😀": "😀"},
    {"quote": 'a"b\\c\nd', "ctrl": "\x01\x7f"}, {"long": "v" * 10240}, {"k" * 1000: "long key"}, {"": "no key"}, {"...": "dots"}, {"_": "one"},
    {"sp ace": "x", "ta\tb": "y"}, {"otel_scope_name": "fake", "otel.scope.version": "fake"}, {"html": "<a>&amp;</a>", "list": ["<", "\u2028", "\x7f"]},
    {f"k{i}": f"v{i}" for i in range(64)}, {"é": "1", "e": "2", "É.é": "3"}, {"service.name": "point"}, {"a.": "1", "a_": "2", ".a": "3"},
]
RESOURCES = [
    {}, {"service.name": "shop"}, {"service.name": "shop", "service.namespace": "eu", "service.instance.id": "i-1"},
    {"service.name": "shop", "service.instance.id": "i-1", "host.name": "h", "os.type": "linux", "cloud.region": ""},
    {"service.namespace": "eu", "host.name": "h"}, {"service.instance.id": "i-2", "k8s.pod.name": "p", "a.b": "1", "a_b": "2"},
    {"service.name": "", "x": "y"}, {"service.name": 7, "service.namespace": 8, "service.instance.id": 9, "list": [1, 2]},
    {"host.name": "only"}, {"service.name": "shop", "job": "own job", "instance": "own instance", "_private": "p", "1st": "n", "a__b": "two"},
    {"service.name": "näme", "ünï": "cödé", "...": "dots"}, {"service.name": "shop", "service.namespace": "", "z": "1"},
]
SCOPES = [("", "", {}), ("lib", "", {}), ("lib", "1.2.3", {}), ("", "9", {}), ("lib", "1", {"a": "x", "n": 5, "name": "no", "version": "no", "schema_url": "no"}),
          ("go.opentelemetry.io/otel 😀", "v0", {"dot.ted": "d", "empty": "", "list": [1]})]
TIMES = [0, 1, 999_999, 1_000_000, BASE_NS, BASE_NS + 1_999_999, MAX_NS]
DOUBLES = [0.0, -0.0, 1.0, -1.5, 1e308, 5e-324, 1e-300, NAN, INF, -INF, 123456789.123456789, 0.1]
INTS = [0, 1, -1, 2**53, 2**53 + 1, 2**63 - 1, -2**63]


class Maker:
    """Requests of its own random numbers; a point is at most step_ms later than the one before."""

    def __init__(self, seed, base_ns=BASE_NS, step_ms=5000):
        self.r, self.base, self.step_ms = random.Random(seed), base_ns, step_ms
        self.now = base_ns

    def request(self, resource=None, scope=None):
        q = ExportMetricsServiceRequest()
        return q, self.scope(q, resource or {"service.name": "shop"}, scope)

    def scope(self, q, resource, scope=None):
        rm = q.resource_metrics.add()
        rm.resource.attributes.extend(key_values(resource))
        name, version, attributes = scope or SCOPES[2]
        sm = rm.scope_metrics.add()
        sm.scope.name, sm.scope.version = name, version
        sm.scope.attributes.extend(key_values(attributes))
        return sm

    def metric(self, sm, kind, name, unit="", temporality=CUMULATIVE, description="what it is"):
        m = sm.metrics.add(name=name, unit=unit, description=description)
        if kind == "gauge":
            m.gauge.SetInParent()
            return m.gauge
        if kind in ("sum", "updown"):
            m.sum.is_monotonic, m.sum.aggregation_temporality = kind == "sum", temporality
            return m.sum
        if kind == "summary":
            m.summary.SetInParent()
            return m.summary
        data = m.histogram if kind == "histogram" else m.exponential_histogram
        data.aggregation_temporality = temporality
        return data

    def point(self, data, kind, attributes=None, time=None, flags=0, plain=False):
        """One more point, later than all before; plain: no oddities."""
        self.now += 1_000_000 * self.r.randint(1, self.step_ms)
        p = data.data_points.add(time_unix_nano=self.now if time is None else time, start_time_unix_nano=self.base - 60_000_000_000, flags=flags)
        p.attributes.extend(key_values(attributes or {}))
        getattr(self, {"sum": "number", "gauge": "number", "updown": "number"}.get(kind, kind))(p, plain)
        return p

    def number(self, p, plain=False):
        if self.r.random() < 0.5:
            p.as_int = self.r.choice([self.r.randint(0, 1000)] if plain else INTS + [self.r.randint(0, 1000)])
        else:
            p.as_double = self.r.choice([self.r.uniform(0, 100)] if plain else DOUBLES + [self.r.uniform(-100, 100)])
        if self.r.random() < 0.3:
            self.exemplar(p)

    def exemplar(self, p, value=None, attributes=None, ids=3, time=None):
        e = p.exemplars.add(time_unix_nano=self.now if time is None else time)
        if value is None:
            value = self.r.choice([self.r.randint(0, 50), self.r.uniform(0, 50)])
        if isinstance(value, int):
            e.as_int = value
        else:
            e.as_double = value
        if ids & 1:
            e.trace_id = self.r.randbytes(16)
        if ids & 2:
            e.span_id = self.r.randbytes(8)
        e.filtered_attributes.extend(key_values(attributes if attributes is not None else self.r.choice(ATTRIBUTES[:5])))

    def histogram(self, p, plain=False, bounds=None, counts=None):
        bounds = bounds if bounds is not None else self.r.choice([[], [1.0], [0.5, 1, 10], [-5, 0, 5], [0.001, 0.25, 1e6], [1e-10, 1e21, 1e22]])
        counts = counts if counts is not None else ([self.r.randint(0, 9) for _ in range(len(bounds) + 1)] if bounds or self.r.random() < 0.5 else [])
        p.explicit_bounds.extend(bounds)
        p.bucket_counts.extend(counts)
        p.count = sum(counts) % 2**64
        if plain or self.r.random() < 0.8:
            p.sum = self.r.uniform(0, 100)
            p.min, p.max = 0.0, 99.0
        for _ in range(self.r.choice([0, 0, 1, 3])):
            self.exemplar(p)

    def exponential(self, p, plain=False, scale=None):
        p.scale = scale if scale is not None else self.r.choice([0, 3] if plain else range(-4, 21))
        for side, likely in ((p.positive, 0.9), (p.negative, 0.4)):
            if self.r.random() < likely:
                side.offset = self.r.randint(-20, 20)
                side.bucket_counts.extend(self.r.choice([0, 0, 1, 5, 100]) for _ in range(self.r.randint(1, 40)))
        p.zero_count = self.r.choice([0, 0, 4])
        p.zero_threshold = self.r.choice([0.0, 0.0, 1e-6])
        p.count = sum(p.positive.bucket_counts) + sum(p.negative.bucket_counts) + p.zero_count
        if plain or self.r.random() < 0.9:
            p.sum = self.r.uniform(-10, 100)
        if self.r.random() < 0.3:
            self.exemplar(p)

    def summary(self, p, plain=False):
        p.count, p.sum = self.r.randint(0, 100), self.r.uniform(0, 100)
        for q in self.r.choice([[], [0.5], [0.0, 0.5, 0.9, 0.99, 1.0]]):
            p.quantile_values.add(quantile=q, value=self.r.uniform(0, 10))


def names_and_units(mk):
    q, sm = mk.request()
    for i, name in enumerate(NAMES):
        for kind in KINDS:
            data = mk.metric(sm, kind, name, mk.r.choice(UNITS), description=mk.r.choice(["", "say \"it\"\n", "ünï"]))
            mk.point(data, kind, {"case": f"{kind}{i}"})
    for i, unit in enumerate(UNITS):
        for kind in ("gauge", "sum", "histogram"):
            mk.point(mk.metric(sm, kind, f"unit.{i}", unit), kind, {"kind": kind})
    return q


def attributes(mk):
    q, sm = mk.request({"service.name": "shop", "service.instance.id": "i-1", "host.name": "h"})
    for i, attrs in enumerate(ATTRIBUTES):
        for kind in KINDS:
            mk.point(mk.metric(sm, kind, f"attributes.{kind}.{i}", "s"), kind, attrs)
    return q


def resources_and_scopes(mk):
    q = ExportMetricsServiceRequest()
    for i, resource in enumerate(RESOURCES):
        for j, scope in enumerate(SCOPES):
            sm = mk.scope(q, resource, scope)
            for kind in ("gauge", "sum", "histogram", "exponential"):
                mk.point(mk.metric(sm, kind, f"where.{kind}"), kind, {"resource": str(i), "scope": str(j)})
    return q


def values_and_times(mk):
    q, sm = mk.request()
    for kind in ("gauge", "sum", "updown"):
        data = mk.metric(sm, kind, f"values.{kind}")
        for i, v in enumerate(DOUBLES + INTS):
            p = mk.point(data, kind, {"i": i})
            if isinstance(v, int):
                p.as_int = v
            else:
                p.as_double = v
        p = mk.point(data, kind, {"i": "none"})
        p.ClearField("as_int"), p.ClearField("as_double")
    for kind in KINDS:
        data = mk.metric(sm, kind, f"times.{kind}")
        for i, t in enumerate(TIMES):
            mk.point(data, kind, {"i": i}, time=t)
        stale = mk.metric(sm, kind, f"stale.{kind}")
        mk.point(stale, kind, {}, flags=1)
        same = mk.metric(sm, kind, f"series.{kind}")
        for _ in range(5):
            mk.point(same, kind, {"one": "series"})
    return q


def temporalities(mk):
    """What a delta exporter sends; and temporality 0, which means nothing."""
    q, sm = mk.request({"service.name": "shop", "service.instance.id": "d", "host.name": "h"})
    for t in (0, DELTA, CUMULATIVE):
        for kind in ("sum", "updown", "histogram", "exponential"):
            data = mk.metric(sm, kind, f"temporality.{t}.{kind}", temporality=t)
            mk.point(data, kind, {"a": "x"})
            mk.point(data, kind, {"a": "x"})
    for kind in KINDS:
        mk.metric(sm, kind, f"no.points.{kind}")
    sm.metrics.add(name="no.data", unit="s", description="d")
    return q


def histograms(mk):
    q, sm = mk.request()
    shapes = [([], []), ([], [5]), ([1, 2], []), ([1, 2], [1, 2]), ([1, 2], [1, 2, 3]), ([1, 2], [1, 2, 3, 4]), ([1], [1, 2, 3]), ([INF], [1, 2]),
              ([1, INF], [1, 2, 3]), ([-INF, 0], [1, 2, 3]), ([2, 1], [1, 2, 3]), ([1, 1], [1, 2, 3]), ([NAN], [1, 2]), ([0.1 + 0.2, 1e21, 1e-7], [1, 1, 1, 1]),
              ([-0.0, 0.0], [1, 0, 2]), ([5e-324, 1.7976931348623157e308], [1, 1, 1]), ([1], [2**63, 2**63]), ([float(i) for i in range(200)], [1] * 201)]
    for i, (bounds, counts) in enumerate(shapes):
        for off in (0, 7, -1):
            data = mk.metric(sm, "histogram", f"shape.{i}")
            p = data.data_points.add(time_unix_nano=mk.base + i, start_time_unix_nano=mk.base - 1)
            p.attributes.extend(key_values({"off": off}))
            mk.histogram(p, bounds=bounds, counts=[c % 2**64 for c in counts])
            p.count = max(0, sum(counts) + off) % 2**64
    data = mk.metric(sm, "histogram", "exemplars")
    for i, (v, attrs, ids) in enumerate([(0.5, {}, 3), (1.0, {"a": "x"}, 0), (99.0, {"a": 1, "b.c": True, "empty": ""}, 1), (5, {"long": "é" * 200}, 3),
                                        (NAN, {"a": "x"}, 2), (INF, {"x": "y" * 70}, 3), (-1, {f"k{j}": "v" for j in range(20)}, 3)]):
        p = data.data_points.add(time_unix_nano=mk.base + i * 10**6)
        p.attributes.extend(key_values({"i": i}))
        p.explicit_bounds.extend([1.0, 10.0])
        p.bucket_counts.extend([1, 1, 1])
        p.count, p.sum = 3, 5.0
        mk.exemplar(p, v, attrs, ids, time=[0, mk.base, MAX_NS][i % 3])
    return q


def exponentials(mk):
    q, sm = mk.request()
    for scale in range(-10, 21):
        data = mk.metric(sm, "exponential", f"scale.{scale}")
        for i in range(4):
            p = mk.point(data, "exponential", {"i": i})
            p.scale = scale
    for i, (offset, counts) in enumerate([(10**9, [1, 2]), (-10**9, [1, 0, 0, 0, 0, 2]), (0, []), (5, [0]), (5, [0, 0, 0]), (-1, [0, 0, 0, 0, 5]), (0, [3] + [0] * 5000 + [4]),
                                          (-3, [1, 0, 0, 1, 0, 0, 0, 1, 0]), (0, [2**63 - 1]), (2, [1] * 160)]):
        for scale in (0, 8, 10):
            data = mk.metric(sm, "exponential", f"layout.{i}")
            p = data.data_points.add(time_unix_nano=mk.base + i, scale=scale, zero_count=i, count=sum(counts) + i, sum=1.5)
            p.attributes.extend(key_values({"scale": scale}))
            p.positive.offset = p.negative.offset = offset
            p.positive.bucket_counts.extend(counts)
            if i % 2:
                p.negative.bucket_counts.extend(counts)
    data = mk.metric(sm, "exponential", "threshold")
    for i, (z, n) in enumerate([(0.0, 1), (1e-128, 1), (0.5, 3), (5e-324, 1), (INF, 1), (NAN, 1)]):
        p = mk.point(data, "exponential", {"i": i})
        p.zero_threshold, p.zero_count = z, n
    return q


def summaries(mk):
    q, sm = mk.request()
    for i, quantiles in enumerate([[], [0.0], [0.5, 0.5], [1.0], [NAN], [INF], [0.99, 0.5, 0.1], [1e-9], [-1.0], [0.1 + 0.2]]):
        data = mk.metric(sm, "summary", f"summary.{i}", "ms")
        p = data.data_points.add(time_unix_nano=mk.base + i, count=i, sum=NAN if i == 3 else i * 1.5)
        for k in quantiles:
            p.quantile_values.add(quantile=k, value=INF if i == 4 else k * 10)
    return q


def steady(mk):
    """What a service sends every interval: the same series again and again, nothing odd."""
    q = ExportMetricsServiceRequest()
    for pod in range(3):
        sm = mk.scope(q, {"service.name": "shop", "service.instance.id": f"i-{pod}", "host.name": f"h{pod}"})
        for i in range(4):
            for kind in KINDS:
                data = mk.metric(sm, kind, f"steady.{kind}.{i}", "s")
                for route in ("/a", "/b"):
                    mk.point(data, kind, {"http.route": route, "n": i}, plain=True)
    return q


def mixed(mk):
    q = ExportMetricsServiceRequest()
    for _ in range(3):
        sm = mk.scope(q, mk.r.choice(RESOURCES), mk.r.choice(SCOPES))
        for _ in range(12):
            kind = mk.r.choice(KINDS)
            data = mk.metric(sm, kind, mk.r.choice(NAMES), mk.r.choice(UNITS), mk.r.choice([CUMULATIVE, CUMULATIVE, CUMULATIVE, DELTA]))
            for _ in range(mk.r.randint(0, 4)):
                mk.point(data, kind, mk.r.choice(ATTRIBUTES), flags=int(mk.r.random() < 0.05))
    return q


def requests(seed=1, base_ns=BASE_NS, step_ms=5000, n_steady=4, n_mixed=20):
    mk = Maker(seed, base_ns, step_ms)
    odd = (names_and_units, attributes, resources_and_scopes, values_and_times, temporalities, histograms, exponentials, summaries)
    out = [(f"steady{i}", steady(mk)) for i in range(n_steady)]
    out += [(f.__name__, f(mk)) for f in odd]
    return out + [(f"mixed{i}", mixed(mk)) for i in range(n_mixed)]

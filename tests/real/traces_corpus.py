# SPDX-License-Identifier: Apache-2.0
"""Traces of every shape, the same ones for the same seed: requests(n, seed) gives a list of ExportTraceServiceRequest in which the
spans of many traces are interleaved, as they come from many services.

What a decision may look at is drawn once a trace, so that a rule that keeps half of the traces' values keeps half of the traces
whatever their size is; single spans then differ from it.
"""
import collections
import random

from metrics_corpus import BASE_NS, key_values
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, TracesData

MS = 1_000_000
HOUR = 3600 * 1000 * MS
SPLIT = 300  # requests that one trace comes in
THRESHOLDS_MS = (100, 500, 1000)
SERVICES = ("front", "cart", "stock", "payment", "mail", "")
ROUTES = ("/", "/cart", "/cart/{id}", "/health", "/pay", "/ünï")
# W3C trace states: with `ot`, with other vendors, with both, and what no parser takes.
STATES = ("", "", "", "vendor=one", "vendor=two,other=x", "tenant@acme=gold,vendor=one", "ot=th:8", "ot=th:4;rv:c0ffee00c0ffee",
          "ot=rv:10000000000000", "ot=rv:ffffffffffffff,vendor=two", "vendor=one,vendor=two", "bad state", "UPPER=x", "vendor=", "=x", "ot=th:xyz",
          "ot=th:0;k:v", "vendor=one, other=y ,", "a=1," * 33 + "z=1")
FLAGS = (0, 0, 0x100, 0x101, 1, 3, 0x301, 2)


def sizes(r):
    """Spans of a trace: mostly few."""
    x = r.random()
    return r.randint(1, 3) if x < 0.45 else r.randint(2, 7) if x < 0.85 else r.randint(5, 15) if x < 0.995 else r.randint(30, 300)


def duration_ns(r):
    """Around the thresholds, to the nanosecond, and everything between 1 ms and 10 s."""
    if r.random() < 0.5:
        return int(10 ** r.uniform(0, 4) * MS)
    return r.choice(THRESHOLDS_MS) * MS + r.choice((-MS, -1, 0, 1, MS - 1, MS, MS + 1))


def trace_id(r, i):
    x = r.random()
    if x < 0.7:
        return r.randbytes(16)
    return (i + 1).to_bytes(16, "big") if x < 0.9 else bytes(8) + r.randbytes(8)


def status_of(r, trace):
    x = r.random()
    return 2 if x < trace["errors"] else 1 if x < trace["errors"] + 0.3 else 0


def mixed(r):
    """A key of which the type differs from span to span."""
    return r.choice(("text", "", 7, -3, 0, 2.5, True, False, b"\x00\xff", ["a", 1], {"k": "v"}, None))


class Trace:
    """One trace: span(k) makes its k-th span, resource(k) where it comes from."""

    def __init__(self, r, i):
        self.r, self.id, self.n = r, trace_id(r, i), sizes(r)
        self.base = BASE_NS + i * 17 * MS
        self.facts = {"errors": r.choice((0, 0, 0, 0.02, 0.5)), "tier": r.choice(("gold", "silver", "bronze", "tin")), "code": r.choice((200, 204, 404, 500, 503)),
                      "retry": r.random() < 0.3, "state": r.choice(STATES), "flags": r.choice(FLAGS), "route": r.choice(ROUTES), "events": r.random() < 0.3}
        self.duration = duration_ns(r)
        self.skew = r.choice((0,) * 9 + (HOUR, -HOUR, 3 * MS, -3 * MS))
        self.odd_times = r.random() < 0.02
        self.root = r.choice(("first", "first", "first", "last", "none", "two"))
        self.services = r.sample(SERVICES, r.randint(1, 4))
        self.tenant = r.choice(("a", "b", "c", ""))
        zero = 0 if r.random() < 0.01 else 1  # the first of small ids
        self.ids = [r.randbytes(8) if r.random() < 0.9 else (k + zero).to_bytes(8, "big") for k in range(self.n)]

    def resource(self, k):
        service = self.services[k % len(self.services)]
        attributes = {"service.name": service, "tenant": self.tenant, "replica": k % 3, "canary": self.facts["tier"] == "tin"}
        if service in ("cart", "mail"):
            attributes |= {"zones": ["eu", "us"], "limits": {"cpu": 2, "ratio": 0.5}, "raw": b"\x01\x02", "mixed": 5 if self.tenant == "a" else "five"}
        if service == "":
            attributes = {"tenant": self.tenant}
        return Resource(attributes=key_values(attributes), dropped_attributes_count=k % 2)

    def times(self, k):
        """The first span has all of the duration, the others lie inside; some services' clocks are wrong."""
        start, end = self.base, self.base + self.duration
        if k:
            start += self.r.randint(0, self.duration)
            end = start + self.r.randint(0, self.base + self.duration - start)
        if k % len(self.services) == 1:
            start, end = start + self.skew, end + self.skew
        if self.odd_times and k % 3 == 1:
            start, end = self.r.choice(((0, end), (start, 0), (0, 0), (end, start), (2**63 + 5, 2**64 - 1), (start, 2**63 - 1)))
        return start, end

    def parent(self, k):
        is_root = (k == 0 and self.root in ("first", "two")) or (k == self.n - 1 and self.root in ("last", "two"))
        return b"" if is_root else self.ids[self.r.randrange(k)] if k else b"\x07" * 8

    def span(self, k):
        r, f = self.r, self.facts
        start, end = self.times(k)
        x = Span(trace_id=self.id, span_id=self.ids[k], parent_span_id=self.parent(k), name=f"{r.choice(('GET', 'POST', 'db'))} {f['route']}", kind=r.randint(0, 5),
                 start_time_unix_nano=start, end_time_unix_nano=end, trace_state=f["state"] if r.random() < 0.9 else r.choice(STATES),
                 flags=f["flags"], dropped_attributes_count=k % 4)
        attributes = {"http.route": f["route"], "tier": f["tier"], "http.response.status_code": f["code"] if r.random() < 0.8 else 200, "retry": f["retry"],
                      "load": r.random(), "items": r.randint(-5, 5)}
        if r.random() < 0.2:
            attributes |= {"mixed": mixed(r), "list": ["a", 1, None], "map": {"k": "v"}, "none": None, "empty": "", "bytes": r.randbytes(3)}
        x.attributes.extend(key_values(attributes))
        if r.random() < 0.05:
            x.attributes.extend(key_values({"tier": "twice", "retry": not f["retry"]}))  # the same key again
        x.status.code = status_of(r, f)
        x.status.message = "failed" if x.status.code == 2 else ""
        if f["events"] and r.random() < 0.5:
            self.events(x, start)
        if r.random() < 0.1:
            x.links.add(trace_id=r.randbytes(16), span_id=r.randbytes(8), trace_state="vendor=one", flags=0x301).attributes.extend(key_values({"why": "batch"}))
        return x

    def events(self, x, start):
        for _ in range(self.r.randint(1, 2)):
            e = x.events.add(time_unix_nano=start, name=self.r.choice(("exception", "retry", "log")))
            e.attributes.extend(key_values({"exception.type": self.r.choice(("Timeout", "IO", "Oops")), "attempt": self.r.randint(0, 3)}))


def arrivals(traces, r, n_requests):
    """[(request, span, resource, scope)]: the spans of a trace come in their order, over a few requests close by, one trace over SPLIT."""
    out = []
    for i, t in enumerate(traces):
        at = r.randrange(n_requests)
        wide = t.n >= SPLIT or r.random() < 0.05
        for k in range(t.n):
            span = t.span(k)
            place = k * n_requests // t.n if wide else min(at + k * r.randint(0, 1) // 2, n_requests - 1)
            scope = InstrumentationScope(name=("", "lib.http", "lib.db")[k % 3], version="1.2" if k % 2 else "")
            scope.attributes.extend(key_values({"scope.kind": "lib"} if k % 5 == 3 else {}))
            for _ in range(2 if r.random() < 0.01 else 1):  # a span that comes twice
                out.append((place, i, span, t.resource(k), scope))
    out.sort(key=lambda x: x[0])
    return out


def make(n, seed, zero):
    r = random.Random(seed)
    traces = [Trace(r, i) for i in range(n)]
    traces[0].n = SPLIT
    traces[0].ids = [r.randbytes(8) for _ in range(SPLIT)]
    if zero:
        traces[1].n, traces[1].id, traces[1].ids = 1, bytes(16), [bytes(8)]
    return traces, r


def requests(n=2200, seed=1, n_requests=SPLIT, zero=True):
    """zero: one of the traces has ids of zero."""
    traces, r = make(n, seed, zero)
    out, key = [], None
    groups = {}
    for place, i, span, resource, scope in arrivals(traces, r, n_requests):
        if place != key:
            key, groups, q = place, {}, ExportTraceServiceRequest()
            out.append(q)
        where = resource.SerializeToString(deterministic=True)
        if where not in groups or r.random() < 0.1:  # the same resource may come twice in a request
            groups[where] = (q.resource_spans.add(resource=resource), {})
        rs, scopes = groups[where]
        name = scope.SerializeToString(deterministic=True)
        if name not in scopes:
            scopes[name] = rs.scope_spans.add(scope=scope)
        scopes[name].spans.append(span)
    return out


def spans_of(request):
    """(resource, scope, span) of each span; ids of zero as the Collector writes them."""
    for rs in request.resource_spans:
        for ss in rs.scope_spans:
            for span in ss.spans:
                for name in ("trace_id", "span_id", "parent_span_id"):
                    if not any(getattr(span, name)):
                        span.ClearField(name)
                yield rs.resource, ss.scope, span


def parts_of(request):
    """[(trace id, ResourceSpans)]: a request taken apart as the Collector does it, which leaves out schema URLs."""
    for rs in request.resource_spans:
        parts = {}
        for ss in rs.scope_spans:
            scopes = {}
            for span in ss.spans:
                part = parts.setdefault(span.trace_id, ResourceSpans(resource=rs.resource))
                if span.trace_id not in scopes:
                    scopes[span.trace_id] = part.scope_spans.add(scope=ss.scope)
                scopes[span.trace_id].spans.append(span)
        yield from parts.items()


def book_of(corpus):
    """(spans, bytes, has a root) of each trace. Its bytes are those of the message that holds it alone, where the Collector writes
    each id, also one that is empty."""
    spans, sizes, roots = collections.Counter(), collections.Counter(), set()
    for request in corpus:
        for _, _, span in spans_of(request):
            spans[span.trace_id] += 1
            sizes[span.trace_id] += 2 * sum(not x for x in (span.trace_id, span.span_id, span.parent_span_id))
            if not span.parent_span_id:
                roots.add(span.trace_id)
        for trace, part in parts_of(request):
            sizes[trace] += TracesData(resource_spans=[part]).ByteSize()
    return spans, sizes, roots

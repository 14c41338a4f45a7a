# SPDX-License-Identifier: Apache-2.0
"""Traces through a gateway whose tail_sampling stands behind a journal, and that is stopped again and again. What must leave it follows from
when each span was acknowledged:

    trace      is decided `WAIT_S` after its first span was journaled; both moments are known within an interval
    copy       one span in one attempt of a request. Its record id is the attempt's alone: so what came of an attempt that
               had no answer is told apart from what came of the next one
    expected   copies of kept traces, each once (a span that is twice in a request: twice); of an attempt without an answer all or none;
               of a trace whose decision falls beside one of its spans all or none

Each policy looks at single spans (or the id), so that more spans never make a trace less worth keeping.
"""
import collections
import dataclasses
import heapq
import http.client
import json
import pathlib
import random
import signal
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import faultcheck  # noqa: E402
import kill  # noqa: E402
from gateway import STAUNCH, check, equal  # noqa: E402
from metrics_corpus import key_values  # noqa: E402
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse  # noqa: E402
from opentelemetry.proto.common.v1.common_pb2 import KeyValue  # noqa: E402
from opentelemetry.proto.trace.v1.trace_pb2 import Span  # noqa: E402

S, MS = 10 ** 9, 10 ** 6
WAIT_S = 1.5
# A decision is made at a step of a tenth of a second, of frames whose stamps are taken between the client's two.
EARLY, LATE = 150 * MS, 350 * MS
LATE_AFTER_S = WAIT_S + 1.0
ANSWER = 20 * MS  # the sink may find that it has answered when the gateway is gone already
SENDERS, PARTS_A_REQUEST = 4, 10
POLICIES = [{"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
            {"name": "slow", "type": "latency", "latency": {"threshold_ms": 500}},
            {"name": "gold", "type": "string_attribute", "string_attribute": {"key": "tier", "values": ["gold"]}},
            {"name": "some", "type": "probabilistic", "probabilistic": {"sampling_percentage": 10}}]
SPEAK_FOR = ("errors", "slow", "gold")  # of single spans


def share_holds(trace_id, percent):
    """The Collector's: FNV-1a of salt and id."""
    h = 0xcbf29ce484222325
    for c in b"default-hash-seed" + trace_id:
        h = (h ^ c) * 0x100000001b3 & (1 << 64) - 1
    return h <= int(percent / 100 * ((1 << 64) - 1))


@dataclasses.dataclass
class Copy:
    """A span in an attempt: when it may have come into the journal."""
    at: int
    until: int
    says: frozenset
    times: int  # in the request
    attempt: "Attempt"
    record: int


@dataclasses.dataclass
class Attempt:
    at: int
    until: int = 0
    outcome: str = "?"  # A: acknowledged, U: nobody knows
    copies: list = dataclasses.field(default_factory=list)


class Trace:
    """parts: [(seconds behind the first one, [span])]."""

    def __init__(self, r, number):
        self.id = r.randbytes(8) + number.to_bytes(8, "big")
        self.copies = []
        base = 1_700_000_000 * S + number * MS
        self.kind = r.choices(("whole", "split", "many", "late"), (50, 30, 1, 19))[0]
        n = {"whole": r.randint(1, 8), "split": r.randint(2, 12), "many": 60, "late": r.randint(2, 8)}[self.kind]
        root = r.choices(("first", "last", "none"), (40, 35, 25))[0]
        wants = r.choices((None, *SPEAK_FOR), (70, 10, 10, 10))[0]
        spans = [self.span(r, base, k, root == ("last" if k == n - 1 else "first" if k == 0 else "")) for k in range(n)]
        if wants:  # one span says why the trace is kept
            self.make(spans[r.randrange(n)], wants, base)
        self.parts = self.cut(r, spans)

    def span(self, r, base, k, is_root):
        start = base + r.randint(0, 100 * MS)
        x = Span(trace_id=self.id, span_id=r.randbytes(8), parent_span_id=b"" if is_root else r.randbytes(8), name=f"step {k}",
                 start_time_unix_nano=start, end_time_unix_nano=start + r.randint(0, 100 * MS))
        tier = r.choice(("silver", "tin"))
        x.attributes.extend(key_values({"tier": tier, "text": "x" * r.randint(0, 200)}))
        return [x, frozenset((tier,))]

    def make(self, span, wants, base):
        span[1] |= {wants}
        if wants == "errors":
            span[0].status.code = 2
        elif wants == "slow":
            span[0].end_time_unix_nano = base + 900 * MS
        else:
            span[0].attributes[0].value.string_value = "gold"
            span[1] = frozenset((wants,))

    def cut(self, r, spans):
        """Into parts; one in twenty spans comes twice: beside itself, or with the last part."""
        n = len(spans)
        if self.kind == "whole":
            parts = [(0, spans)]
        elif self.kind == "late":
            k = r.randint(1, n - 1)
            parts = [(0, spans[:k]), (LATE_AFTER_S, spans[k:])]
        else:
            parts = [(r.random() * 0.4, [s]) for s in spans]
        for s in spans:
            if r.random() < 0.05:
                next((p for p in (parts if r.random() < 0.5 else [parts[-1]]) if s in p[1]), parts[-1])[1].append(s)
        return parts


class Load:
    """Traces at a steady rate; each part is sent until it is acknowledged, a late one when the first is."""

    def __init__(self, port, seed, per_second):
        self.port, self.r, self.per_second = port, random.Random(seed), per_second
        self.lock, self.traces, self.attempts, self.due, self.n = threading.Lock(), [], [], [], 0
        self.next_record, self.ended, self.wrong = 1, False, []
        self.begun = time.monotonic()
        self.threads = [threading.Thread(target=self.send, daemon=True) for _ in range(SENDERS)]
        for t in self.threads:
            t.start()

    def put(self, when, trace, spans):
        self.n += 1
        heapq.heappush(self.due, (when, self.n, trace, spans))

    def make_traces(self, now):
        """What is not sent yet does not pile up."""
        while not self.ended and len(self.traces) < (now - self.begun) * self.per_second:
            if len(self.due) > 2000:
                self.begun = now - len(self.traces) / self.per_second
                break
            t = Trace(self.r, len(self.traces) + 1)
            self.traces.append(t)
            for after, spans in t.parts[:1] if t.kind == "late" else t.parts:
                self.put(now + after, t, spans)
            t.waiting = t.parts[1:] if t.kind == "late" else []

    def take(self):
        """Parts for a request, or None."""
        now, out = time.monotonic(), []
        with self.lock:
            self.make_traces(now)
            while self.due and self.due[0][0] <= now and len(out) < PARTS_A_REQUEST:
                out.append(heapq.heappop(self.due)[2:])
        return out

    def request(self, parts):
        """(attempt, body); each span has its attempt's own record id."""
        q, a = ExportTraceServiceRequest(), Attempt(time.time_ns())
        with self.lock:
            first, self.next_record = self.next_record, self.next_record + sum(len(s) for _, s in parts)
        for i, (trace, spans) in enumerate(parts):
            rs = q.resource_spans.add()
            rs.resource.attributes.extend(key_values({"service.name": f"service-{i % 3}"}))
            to, seen = rs.scope_spans.add().spans, {}
            for span, says in spans:
                c = seen.get(span.span_id)
                if not c:
                    c = seen[span.span_id] = Copy(a.at, 0, says, 0, a, first)
                    a.copies.append((trace, c))
                    first += 1
                c.times += 1
                x = to.add()
                x.CopyFrom(span)
                x.attributes.append(KeyValue(key="rec.id", value={"string_value": str(c.record)}))
        return a, q.SerializeToString()

    def tell(self, a, parts, outcome):
        """One attempt is over."""
        a.outcome, a.until = outcome, time.time_ns()
        with self.lock:
            if outcome in "AU":
                self.attempts.append(a)
                for trace, c in a.copies:
                    c.until = a.until
                    trace.copies.append(c)
            if outcome == "A":
                for trace, _ in parts:
                    for after, spans in trace.waiting:
                        self.put(time.monotonic() + after, trace, spans)
                    trace.waiting = []
            else:
                for trace, spans in parts:
                    self.put(time.monotonic() + 0.05, trace, spans)

    def post(self, connection, body):
        """A, R: refused, U: nobody knows."""
        try:
            connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
            with connection.getresponse() as r:
                answer = r.read()
        except (OSError, http.client.HTTPException):
            return "U"
        if r.status == 200 and not ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans:
            return "A"
        if r.status not in (429, 503):
            self.wrong.append(f"{r.status} {answer[:200]}")
        return "R"

    def send(self):
        connection = None
        while True:
            parts = self.take()
            if not parts:
                if self.ended and not self.due:
                    return
                time.sleep(0.005)
                continue
            if not connection:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                try:
                    connection.connect()
                except OSError:
                    connection = None
                    with self.lock:
                        for trace, spans in parts:
                            self.put(time.monotonic() + 0.03, trace, spans)
                    time.sleep(0.02)
                    continue
            a, body = self.request(parts)
            outcome = self.post(connection, body)
            if outcome == "U":
                connection.close()
                connection = None
            self.tell(a, parts, outcome)

    def stop(self):
        self.ended = True
        for t in self.threads:
            t.join(30)
            check(not t.is_alive(), "some parts are never acknowledged")
        check(not self.wrong, f"answers: {self.wrong[:3]}")


@dataclasses.dataclass
class Era:
    """From one start of the gateway to the next: what keeps a trace."""
    at: int  # when the gateway before was told to end: decisions before are the other's
    since: int = 0  # when it ran: decisions behind are its own
    speak: tuple = SPEAK_FOR
    percent: float = 10


class Model:
    def __init__(self, load, eras):
        self.load, self.eras = load, eras

    def decided(self, trace):
        """(from, to) of the decision; None: nothing of it was acknowledged."""
        first = min(c.at for c in trace.copies)
        sure = min((c.until for c in trace.copies if c.attempt.outcome == "A"), default=None)
        return None if sure is None else (first + int(WAIT_S * S) - EARLY, sure + int(WAIT_S * S) + LATE)

    def eras_of(self, d):
        """Those in which it may be decided."""
        out = [e for e, after in zip(self.eras, self.eras[1:] + [None]) if d[1] >= e.at and (after is None or d[0] < (after.since or after.at))]
        return out or self.eras[-1:]

    def outcome(self, trace):
        """True: kept, False: not, None: either, but all of it."""
        d = self.decided(trace)
        inside = [c for c in trace.copies if c.attempt.outcome == "A" and c.until < d[0]]
        maybe = [c for c in trace.copies if c.at <= d[1]]
        said = set()
        for era in self.eras_of(d):
            lucky = share_holds(trace.id, era.percent)
            said.add(lucky or any(c.says & set(era.speak) for c in inside))
            said.add(lucky or any(c.says & set(era.speak) for c in maybe))
        return said.pop() if len(said) == 1 else None


@dataclasses.dataclass
class Result:
    traces: int = 0
    kept: int = 0
    either: int = 0  # whose decision nobody can tell from outside
    spans: int = 0   # at the sink
    late: int = 0    # spans that followed a decision
    unanswered: int = 0
    resent: int = 0
    missing: list = dataclasses.field(default_factory=list)
    twice: list = dataclasses.field(default_factory=list)
    unwanted: list = dataclasses.field(default_factory=list)
    split: list = dataclasses.field(default_factory=list)  # in part kept, in part not
    halves: list = dataclasses.field(default_factory=list)  # attempts without an answer that came in part

    def wrong(self):
        return "; ".join(f"{len(x)} {name}: {x[:4]}" for name, x in (("missing", self.missing), ("twice", self.twice), ("unwanted", self.unwanted),
                                                                 ("traces split", self.split), ("attempts halved", self.halves)) if x)

    def __str__(self):
        return (f"{self.traces} traces, {self.kept} kept, {self.either} either way; {self.spans} spans, {self.late} late; {self.unanswered} attempts without an "
                f"answer, {self.resent} bodies sent again; {self.wrong() or 'nothing missing, nothing twice'}")


def is_explained(first, second, journal, kills):
    """Of a second copy. An answer that was sent up to ANSWER after the signal may be lost, too; the next start may be quicker than that."""
    return any(faultcheck.why_twice(first, second, journal, times, kill.WINDOW_S * S) != "unexplained" for times in (kills, [t + ANSWER for t in kills]))


def delivered(journal, kills, ret):
    """{record: how often}. A body that comes again because the answer to it may be lost counts once."""
    bodies = collections.defaultdict(list)
    for number, copies in journal.copies.items():
        for c in copies:
            if c[1]:
                bodies[c[0]].append((number, c))
    seen, out = {}, collections.Counter()
    for exchange in sorted(bodies, key=int):
        body = bodies[exchange]
        key = tuple(sorted((number, c[4]) for number, c in body))
        if key in seen and kills and is_explained(seen[key], body[0][1], journal, kills):
            ret.resent += 1
        else:
            out.update(number for number, _ in body)
        seen[key] = body[0][1]
    return out


def judge_trace(model, trace, got, ret, came):
    outcome = model.outcome(trace)
    sure = [c for c in trace.copies if c.attempt.outcome == "A"]
    n = [got.get(c.record, 0) for c in sure]
    ret.kept += outcome is True
    ret.either += outcome is None
    end = model.decided(trace)[1]
    if outcome is None:
        outcome = any(n)
        if not all(n) and any(n):
            ret.split.append((trace.id.hex(), [(c.record, k) for c, k in zip(sure, n)]))
    for c in trace.copies:
        k = got.get(c.record, 0)
        if c.attempt.outcome == "U" and outcome:
            came[id(c.attempt)].append(k > 0)
        elif c.attempt.outcome == "A" and outcome and k < c.times:
            ret.missing.append((c.record, trace.kind, k))
        if not outcome and k:
            ret.unwanted.append((c.record, trace.kind, k))
        elif k > c.times:
            ret.twice.append((c.record, trace.kind, k))
        elif c.attempt.outcome == "U" and 0 < k < c.times:
            ret.halves.append((c.record, k))
        ret.late += outcome and k > 0 and c.at > end


def judge(load, eras, journal, kills=(), of=Model):
    """kills: only where the sink was there; none: nothing may come twice."""
    ret = Result(unanswered=sum(a.outcome == "U" for a in load.attempts))
    got = delivered(journal, kills, ret)
    ret.spans = sum(got.values())
    model, came = of(load, eras), collections.defaultdict(list)
    for trace in load.traces:
        if not any(c.attempt.outcome == "A" for c in trace.copies):
            continue
        ret.traces += 1
        judge_trace(model, trace, got, ret, came)
    ret.halves += [x for x in came.values() if any(x) and not all(x)]
    known = {c.record for t in load.traces for c in t.copies}
    ret.unwanted += [(n, "nobody sent it", k) for n, k in got.items() if n not in known]
    return ret


def open_at(load, wall_ns):
    """Traces that were acknowledged and certainly not decided at that time."""
    n = 0
    for t in load.traces:
        sure = [c.until for c in t.copies if c.attempt.outcome == "A"]
        n += bool(sure) and min(sure) < wall_ns < min(c.at for c in t.copies) + WAIT_S * S - EARLY
    return n


class TailLeg(kill.Leg):
    """One storage, many stops; before a sink that is away until the end (nothing is sent twice for want of an answer), or that is there."""

    has_books = False
    still_s = WAIT_S + 2
    sinks = ("http",)
    model, processor = Model, "tail_sampling"

    def __init__(self, folder, seed, away, longest=1.5, per_second=150, workers=(2,), binary=None):
        """workers: of the first start, the second, and so on round and round."""
        self.of_starts, self.workers, self.policies, self.away, self.seed, self.per_second = workers, workers[0], POLICIES, away, seed, per_second
        self.binary = str(binary or STAUNCH)
        super().__init__(folder, seed, longest=longest)
        self.phases = [p for p in kill.PHASES if p != "told in part" and (not away or p not in kill.BY_SINK)]  # what a sink rejects is not missing
        self.walls, self.eras, self.load = [], [], None

    def settings(self):
        return {"decision_wait": f"{WAIT_S}s", "policies": self.policies}

    def config(self):
        c = json.loads(kill.config(self.folder, self.sink, "page_cache", direct_io=len(self.starts) % 3 > 0))
        queue = {"queue_size": 100000, "num_consumers": 4, "storage": "file_storage"}  # no batch: a request is a body, also when it comes again
        return json.dumps({
            "extensions": c["extensions"], "receivers": c["receivers"],
            "connectors": {"journal/x": {"storage": "file_storage", "partition_by": "trace_id", "head_bytes": 200000, "in_flight_bytes": 400000}},
            "processors": {self.processor: self.settings()},
            "exporters": {"otlp_http": {**c["exporters"]["otlp_http"], "sending_queue": queue}},
            "service": {"extensions": ["file_storage"], "telemetry": c["service"]["telemetry"], "runtime": {"workers": self.workers, "drain_timeout": "300ms"},
                        "pipelines": {"traces/in": {"receivers": ["otlp"], "exporters": ["journal/x"]},
                                      "traces/out": {"receivers": ["journal/x"], "processors": [self.processor], "exporters": ["otlp_http"]}}}})

    def changed(self, mask, until):
        self.watched = self.random.choice(("journal", "queue"))
        return super().changed(mask, until)

    def start(self):
        if len(self.of_starts) > 1:
            self.workers = self.of_starts[len(self.starts) % len(self.of_starts)]
        self.file.write_text(self.config())
        super().start()

    def begin(self):
        if self.away:
            self.sink.script("http", "mix 1000 status=503")
        else:
            self.sink.script("http", "mix 300 delay_ms=30", "mix 30 status=503")
        self.start()
        self.eras.append(Era(0))
        self.load = Load(kill.HTTP, self.seed, self.per_second)

    def killed(self, phase):
        super().killed(phase)
        self.walls.append(time.time_ns())

    def terminate(self):
        """SIGTERM; then the configuration may be another."""
        at = time.time_ns()
        self.p.send_signal(signal.SIGTERM)
        equal(self.p.wait(20), 0, f"exit code: {self.text()}")
        self.walls.append(at)
        return at

    def again(self, at, policies, **rules):
        """With other policies; rules: what the model must know of them."""
        self.policies = policies
        self.file.write_text(self.config())
        self.start()
        self.eras.append(Era(at, time.time_ns(), **rules))

    def end(self):
        self.load.stop()
        time.sleep(WAIT_S)
        self.drain()

    def result(self):
        times = [t for t, _ in self.kills]
        (self.folder / "kills").write_text("".join(f"{t} {p}\n" for t, p in self.kills))
        r = judge(self.load, self.eras, faultcheck.Journal(self.sink.journal, "http"), [] if self.away else times, self.model)
        still_open = [open_at(self.load, t) for t in self.walls]
        return r, sum(n > 0 for n in still_open) / max(1, len(still_open)), collections.Counter(p for _, p in self.kills)

    def close(self):
        if self.load:
            self.load.ended = True
            with self.load.lock:
                self.load.due.clear()
        super().close()

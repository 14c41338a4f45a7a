# SPDX-License-Identifier: Apache-2.0
"""kill -9 under load of a gateway whose tail_sampling stands behind a journal, with what depends on other traces: limits per second, links, small
caches, full houses of traces and of bytes, too long traces, early decisions, spans judged as they come; with giant traces, spans without a trace id and
duplicates among them; every third one with two passes. Then a gateway that is never killed reads a copy of the same journal: both keep the same
spans, each as often.
LEGS: how many configurations, 3; KILLS: of each, 6; SEED: the first one.
"""
import collections
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
import faultcheck  # noqa: E402
import kill  # noqa: E402
import tail_kill  # noqa: E402
from metrics_corpus import key_values  # noqa: E402
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: E402
from sinks.fault import FaultSink  # noqa: E402

LEGS, KILLS, SEED = (int(os.environ.get(k, d)) for k, d in (("LEGS", "3"), ("KILLS", "6"), ("SEED", "1")))
GIANT = 9000  # spans: more than a batch

LIMITS = [
    [{"name": "rate", "type": "rate_limiting", "rate_limiting": {"spans_per_second": 150}}],
    [{"name": "bytes", "type": "bytes_limiting", "bytes_limiting": {"bytes_per_second": 40000, "burst_capacity": 60000}}],
    [{"name": "both", "type": "composite", "composite": {
        "max_total_spans_per_second": 200, "policy_order": ["errors", "all"],
        "composite_sub_policy": [tail_kill.POLICIES[0], {"name": "all", "type": "always_sample"}],
        "rate_allocation": [{"policy": "errors", "percent": 60}, {"policy": "all", "percent": 30}]}}],
]


def settings(r, seed):
    """What tail_sampling is like; one thing surely, others by chance."""
    sure = (seed - 1) % 4
    out = {"decision_wait": f"{tail_kill.WAIT_S}s", "policies": tail_kill.POLICIES, "reason_attribute": "why"}
    if sure == 0 or r.random() < 0.4:
        out["policies"] = r.choice(LIMITS) + tail_kill.POLICIES[:1] * (r.random() < 0.5)
    elif r.random() < 0.3:
        out["sampling_strategy"] = "span-ingest"
    if sure == 1 or r.random() < 0.4:
        out.update(follow_links=True, max_links=r.choice((50, 10000)))
    if sure == 1 or r.random() < 0.4:
        out["decision_cache"] = {"sampled_cache_size": r.choice((0, 20, 1000)), "non_sampled_cache_size": r.choice((0, 20, 1000))}
    if sure == 2 or r.random() < 0.3:
        out["max_bytes"] = 1 << 20
    if sure == 3 or r.random() < 0.3:
        out["num_traces"] = r.choice((40, 100))
    if r.random() < 0.3:
        out["overflow"] = "drop"
    if r.random() < 0.4:
        out["max_spans_per_trace"] = 6
    if r.random() < 0.3 and "sampling_strategy" not in out:
        out["decide_early"] = True
    if seed % 3 == 0:
        out["mode"] = "two_pass"
    return out


class WildLoad(tail_kill.Load):
    """Also giant traces, links to traces of the last seconds, spans without a trace id, and long texts."""

    def __init__(self, port, seed, per_second, text):
        self.wild, self.recent, self.text, self.giants = random.Random(seed), collections.deque(maxlen=200), "x" * text, 0
        super().__init__(port, seed, per_second)

    def more(self, q, parts):
        """Changes the request; with the lock: records are numbered."""
        r = self.wild
        for rs, (trace, _) in zip(q.resource_spans, parts):
            self.recent.append(trace.id)
            spans = rs.scope_spans[0].spans
            for x in spans:
                x.attributes.extend(key_values({"more": self.text}))
                if r.random() < 0.2:
                    x.links.add(trace_id=r.choice(self.recent), span_id=b"linkspan")
            if r.random() < 0.01:
                self.add(spans, spans[0], trace_id=b"")
            if self.giants < 2 and r.random() < 0.002:
                self.giants += 1
                for _ in range(GIANT):
                    self.add(spans, spans[0])

    def add(self, spans, like, **other):
        x = spans.add()
        x.trace_id, x.span_id, x.name = other.get("trace_id", like.trace_id), self.wild.randbytes(8), "more"
        x.attributes.extend(key_values({"rec.id": str(self.next_record)}))
        self.next_record += 1

    def request(self, parts):
        a, body = super().request(parts)
        q = ExportTraceServiceRequest.FromString(body)
        with self.lock:
            self.more(q, parts)
        return a, q.SerializeToString()


class SameLeg(tail_kill.TailLeg):
    def __init__(self, folder, seed, tail):
        self.tail = tail
        super().__init__(folder, seed, away=True, longest=0.8, workers=(2,))

    def config(self):
        c = json.loads(super().config())
        c["processors"]["tail_sampling"] = self.tail
        return json.dumps(c)

    def begin(self):
        self.sink.script("http", "mix 1000 status=503")
        self.start()
        self.load = WildLoad(kill.HTTP, self.seed, self.per_second, 2000 if "max_bytes" in self.tail else 0)

    def delivered(self):
        return counts(self.sink)


def counts(sink):
    """{record: how often}: the sink was away until the gateway was killed no more."""
    journal = faultcheck.Journal(sink.journal, "http")
    return collections.Counter({number: n for number, copies in journal.copies.items() if (n := sum(c[1] for c in copies))})


class ThroughLeg(SameLeg):
    """Never killed; a pipeline of another name reads the other's journal from its begin."""

    def __init__(self, folder, other):
        super().__init__(folder, other.seed, other.tail)
        self.storage.mkdir()
        shutil.copytree(other.storage / "journal", self.storage / "journal")

    def config(self):
        c = json.loads(super().config())
        pipelines = c["service"]["pipelines"]
        pipelines["traces/again"] = pipelines.pop("traces/out")
        return json.dumps(c)

    def through(self):
        self.well()
        self.start()
        self.drain()


def leg(seed):
    tail = settings(random.Random(seed), seed)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tail-same-"))
    (folder / "through").mkdir()
    with SameLeg(folder, seed, tail) as one:
        one.run(KILLS)
        kept, sent, n = one.delivered(), one.load.next_record, len(one.kills)
    with ThroughLeg(folder / "through", one) as other:
        other.through()
        must = other.delivered()
    what = {k: v for k, v in tail.items() if k not in ("policies", "decision_wait", "reason_attribute")}
    print(f"seed {seed}: {n} kills, {sent} spans sent, {sum(kept.values())} kept; policies {[p['name'] for p in tail['policies']]}, {what}", flush=True)
    wrong = {k: (kept[k], must[k]) for k in kept.keys() | must.keys() if kept[k] != must[k]}
    equal(dict(list(wrong.items())[:8]), {}, f"{len(wrong)} spans: how often kept, how often without kills; {folder}")
    check(sum(kept.values()) > 20 * KILLS and len(kept) < sent, f"too little happened: {folder}")
    shutil.rmtree(folder)
    return n


def main():
    print(f"{sum(leg(SEED + i) for i in range(LEGS))} kills: the same as without them", flush=True)


main()

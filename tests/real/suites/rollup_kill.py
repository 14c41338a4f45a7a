# SPDX-License-Identifier: Apache-2.0
"""kill -9 under load of a gateway whose rollup stands behind a journal: what leaves says what a computation over what was acknowledged says, once. Legs
go through the ways to tell results: final, eager, delta, retract; but for delta with sessions. Then the same with gateways that forget what they told, and
how often: they must be found.
    attempt    points of one series at one time: all of them are in, or none. Acknowledged: they are; without an answer: either
    window     its result is the sum over the acknowledged, and over some of the others
    session    so is its; no two are closer than the gap; every acknowledged attempt is in one
    revisions  count from 0; one is taken back as it was told; what stands in the end is the window's (delta: all of them together)
KILLS: how many, 44; SEED: the first of the legs of 11. Half of the legs with a sink that is away until the end (nothing comes twice), half with one that is
slow and refuses (a body may come again whose answer was lost: then to the last bit).
"""
import collections
import itertools
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
import kill  # noqa: E402
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest  # noqa: E402
from sinks.http_sink import Answer, HttpSink  # noqa: E402

KILLS, SEED, LEG = int(os.environ.get("KILLS", "44")), int(os.environ.get("SEED", "1")), 11
S = 10 ** 9
WINDOWS = {"1s": S, "3s": 3 * S}
GAP = S * 12 // 100
SESSION = "session 120ms"
MODES = ("final", "eager", "delta", "retract")
FUNCTIONS = ("count", "sum", "max")
DELAY_S, LATENESS_S = 1, 3
SLOW_S = 2
PATH = "/v1/metrics"


def attributes(run):
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in run}


class Sink(HttpSink):
    """Away, troubled or well; results: {(service, item, window, start): {(revision, is taken back): {function: [(number, end, is final)]}}}."""

    state, seed = "away", random.Random(1)

    def own(self, request):
        if self.state == "away" or (self.state == "troubled" and self.seed.random() < 0.1):
            return Answer(503, {"Retry-After": "0"})
        return Answer(200, {"Content-Type": "application/x-protobuf"}, delay=0.05 if self.state == "troubled" else 0)

    def script(self, *_):
        pass

    def results(self):
        out = collections.defaultdict(lambda: collections.defaultdict(lambda: collections.defaultdict(list)))
        for r in self.of(PATH):
            for resource in ExportMetricsServiceRequest.FromString(r.body).resource_metrics:
                service = attributes(resource.resource.attributes)["service.name"]
                for m in (m for s in resource.scope_metrics for m in s.metrics):
                    for p in (m.sum if m.HasField("sum") else m.gauge).data_points:
                        a = attributes(p.attributes)
                        told = out[service, a["i"], a["rollup.window"], p.start_time_unix_nano][a.get("rollup.revision", 0), "rollup.retracts" in a]
                        number = p.as_int if p.HasField("as_int") else p.as_double
                        told[m.name.removeprefix("v.")].append((number, p.time_unix_nano, a.get("rollup.is_final", True)))
        return out


class Load(kill.MetricsLoad):
    """Attempts at a steady rate, over a few connections."""

    slow_s = SLOW_S

    def requests(self, _, r):
        while True:
            at = time.time_ns() - r.randrange(S // 2)
            one = {"cell": (f"service-{r.randrange(6)}", r.randrange(3)), "at": at, "values": [r.randrange(1, 1_000_000) for _ in range(r.randint(1, 5))]}
            q = ExportMetricsServiceRequest()
            rm = q.resource_metrics.add()
            kill.put(rm.resource.attributes, "service.name", one["cell"][0])
            m = rm.scope_metrics.add().metrics.add(name="v")
            for v in one["values"]:
                p = m.gauge.data_points.add(time_unix_nano=at, as_int=v)
                kill.put(p.attributes, "i", one["cell"][1])
                kill.put(p.attributes, "noise", "x" * r.randint(0, 100))
            yield one, q


class RollupLeg(kill.JournalLeg):
    def __init__(self, folder, seed, away, binary=STAUNCH, longest=0.9, mode=None):
        self.mode, self.away, self.as_connector = mode or MODES[seed % len(MODES)], away, seed // 2 % 2 == 0
        super().__init__(folder, seed, Sink(), binary, longest)
        self.sink.state = "away" if away else "troubled"

    def parts(self):
        sessions = [{"type": "session", "gap": f"{GAP // 1000000}ms"}] if self.mode != "delta" else []
        emit = {"mode": self.mode} | ({"interval": "200ms"} if self.mode != "final" else {})
        rollup = {"keys": {"resource": ["service.name"], "attributes": ["i"]}, "windows": [{"size": w} for w in WINDOWS] + sessions, "aggregates": list(FUNCTIONS), "emit": emit,
                  "time": {"bounded_delay": f"{DELAY_S}s"}, "allowed_lateness": f"{LATENESS_S}s", "checkpoint_interval": self.random.choice(("0s", "300ms", "5s"))}
        if self.as_connector:
            return {}, {"rollup": rollup}, {"metrics/a": {"receivers": ["journal/x"], "exporters": ["rollup"]},
                                            "metrics/b": {"receivers": ["rollup"], "exporters": ["otlp_http"]}}
        return {"rollup": rollup}, {}, {"metrics/b": {"receivers": ["journal/x"], "processors": ["rollup"], "exporters": ["otlp_http"]}}

    def begin(self):
        self.start()
        self.load = Load(kill.HTTP, self.seed)

    def end(self):
        time.sleep(0.5)
        self.load.stop()
        self.sink.state = "well"
        last = max(a["at"] for a in self.load.attempts) // max(WINDOWS.values()) * max(WINDOWS.values()) + max(WINDOWS.values())
        until = last / S + DELAY_S + LATENESS_S + 1
        n, since = -1, 0
        while time.time() < until or time.monotonic() - since < 1:
            if len(self.sink.of(PATH)) != n:
                n, since = len(self.sink.of(PATH)), time.monotonic()
            time.sleep(0.1)
        self.p.send_signal(signal.SIGTERM)
        equal(self.p.wait(20), 0, f"exit code: {self.text()}")

    def stands(self, told, wrong):
        """(count, sum, max), end: what is left in the end of what was told of a window."""
        for (revision, _), of in told.items():
            wrong["twice"] += self.away and any(len(t) > 1 for t in of.values())
            wrong["differently"] += any(len(set(t)) > 1 for t in of.values()) or len(of) < len(FUNCTIONS)
        values = {n: tuple(of[f][0][0] if f in of else None for f in FUNCTIONS) for n, of in told.items()}
        ends = {n: next(iter(of.values()))[0][1] for n, of in told.items()}
        last = max(revision for revision, _ in told)
        wrong["revisions"] += any((n, False) not in told for n in range(last + 1))
        wrong["taken back otherwise"] += any(back and (values[n, True], ends[n, True]) != (values.get((n, False)), ends.get((n, False))) for n, back in told)
        wrong["two stand"] += self.mode == "retract" and any((n, True) not in told for n in range(last))
        if self.mode == "delta":
            return (sum(v[0] for v in values.values()), sum(v[1] for v in values.values()), max(v[2] for v in values.values())), ends[last, False]
        if (last, True) in told or (last, False) not in told:
            return None, None
        wrong["not final"] += self.mode != "retract" and not told[last, False]["count"][0][2]
        return values[last, False], ends[last, False]

    def is_of(self, value, inside):
        """A value of those attempts: of all acknowledged, and some of the others."""
        one = {k: [(len(a["values"]), sum(a["values"]), max(a["values"])) for a in inside if a["is"] == k] for k in "AU"}
        for n in range(min(len(one["U"]), 12) + 1):
            for some in itertools.combinations(one["U"], n):
                all_ = one["A"] + list(some)
                if value == (sum(x[0] for x in all_), sum(x[1] for x in all_), max((x[2] for x in all_), default=0)):
                    return True
        return False

    def judge_sessions(self, attempts, found, wrong):
        """Of one series."""
        last = None
        for start, told in sorted(found):
            value, end = self.stands(told, wrong)
            if value is None:
                continue
            inside = [a for a in attempts if start <= a["at"] <= end - GAP]
            wrong["sessions that touch"] += last is not None and start - last <= GAP
            wrong["other numbers"] += not self.is_of(value, inside) or start not in {a["at"] for a in inside} or end - GAP not in {a["at"] for a in inside}
            last = end - GAP
            attempts = [a for a in attempts if not start <= a["at"] <= end - GAP]
        wrong["missing"] += sum(a["is"] == "A" for a in attempts)

    def judge(self):
        """(windows, wrong): what is not as it must be."""
        series, windows, wrong = collections.defaultdict(list), collections.defaultdict(list), collections.Counter()
        for a in (a for a in self.load.attempts if a["is"] != "R"):
            series[a["cell"]].append(a)
            for text, size in WINDOWS.items():
                windows[*a["cell"], text, a["at"] // size * size].append(a)
        found = self.sink.results()
        n = len(found)
        for key, inside in windows.items():
            value, _ = self.stands(found.pop(key), wrong) if key in found else (None, None)
            sure = any(a["is"] == "A" for a in inside)
            wrong["missing"] += sure and value is None
            wrong["other numbers"] += value is not None and not self.is_of(value, inside)
        for cell, attempts in series.items():
            own = [(key[3], found.pop(key)) for key in list(found) if key[:3] == (*cell, SESSION)]
            if self.mode != "delta":
                self.judge_sessions(attempts, own, wrong)
        wrong["nobody sent"] += len(found)
        return n, {k: n for k, n in wrong.items() if n}


def leg(seed, kills, away, **options):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rollup-kill-"))
    with RollupLeg(folder, seed, away, **options) as one:
        one.run(kills)
        cells, wrong = one.judge()
    how = "connector" if one.as_connector else "processor"
    n = collections.Counter(a["is"] for a in one.load.attempts)
    print(f"{kills} kills, {one.mode}, {how}, {'no sink until the end' if away else 'a troubled sink'}, seed {seed}: {cells} windows, attempts {dict(n)}; {wrong or 'each once'}; "
          f"by phase {dict(collections.Counter(p for _, p in one.kills))}; starts {max(one.starts) * 1000:.0f} ms at most", flush=True)
    return folder, cells, wrong, n


def main():
    done = 0
    for i in range((KILLS + LEG - 1) // LEG):
        n = min(LEG, KILLS - done)
        folder, cells, wrong, attempts = leg(SEED + i, n, i % 2 == 0)
        equal(wrong, {}, f"{folder}")
        check(cells > 50 and attempts["A"] > 20 * n, f"too little happened: {cells} windows, {attempts}")
        shutil.rmtree(folder)
        done += n
    for name, mode, how in (("rollup_tells_again", "final", "twice"), ("rollup_counts_anew", "eager", "differently")):
        folder, _, wrong, _ = leg(1, 8, True, binary=kill.planted(name), longest=3, mode=mode)
        check(how in wrong or "twice" in wrong, f"{name} was not found: {folder}: {wrong}")
        shutil.rmtree(folder)
    print(f"{done} kills", flush=True)


main()

# SPDX-License-Identifier: Apache-2.0
"""prometheus_remote_write and servers that are slow, rude or wrong. A server whose shards answer at different speeds, and now and
then with 500 or 429, gets every series in order and never two requests of one series at once. Then each trouble has a server of
its own: what can be delivered is there once and exactly, what cannot is a dead letter, and the gateway's count adds up.
"""
import collections
import pathlib
import random
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
from metrics_corpus import Maker, steady  # noqa: E402
from rw_cases import V2, send  # noqa: E402
from sinks.http_sink import OK, Answer  # noqa: E402
from sinks.remote_write import WRITTEN, RemoteWriteSink  # noqa: E402

REJECTS = RUN / "rw_trouble-rejects.jsonl"
RETRY = {"initial_interval": "50ms", "max_interval": "200ms"}


def config(exporters):
    named = {f"prometheus_remote_write/{k}": {"retry_on_failure": RETRY, "timeout": "20s", "ports": {"dead_letter": ["file/rejects"]}, **e}
             for k, e in exporters.items()}
    return json.dumps({
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{HTTP}"}}}},
        "exporters": {**named, "file/rejects": {"path": str(REJECTS)}},
        "service": {"telemetry": {"metrics": {"readers": [{"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": METRICS}}}}]}},
                    "runtime": {"drain_timeout": "60s"},
                    "pipelines": {"metrics": {"receivers": ["otlp"], "exporters": list(named)}}},
    })


class Watched(RemoteWriteSink):
    """Notes which series are in a request that has no answer yet."""

    def __init__(self):
        self.under_way, self.twice, self.now, self.most = collections.Counter(), [], 0, 0
        self.guard = threading.Lock()
        super().__init__()

    def take(self, *args):
        request, a = super().take(*args)
        if request:
            with self.guard:
                keys = {k for k, _ in request.data.series}
                self.twice += [k for k in keys if self.under_way[k]]
                self.under_way.update(keys)
                self.now += 1
                self.most = max(self.most, self.now)
        return request, a

    def settle(self, request):
        with self.guard:
            self.under_way.subtract({k for k, _ in request.data.series})
            self.now -= 1
        super().settle(request)


def order():
    r = random.Random(4)
    make = Maker(4)
    what = [(f"steady{i}", steady(make)) for i in range(60)]

    def moody(request):
        delay = r.choice([0, 0.001, 0.005, 0.03, 0.1])
        return r.choices([Answer(delay=delay), Answer(500, delay=delay), Answer(429, {"Retry-After": "0"}, delay=delay)], [90, 7, 3])[0]

    with Watched() as sink, RemoteWriteSink() as calm:
        sink.script("/moody", moody)
        exporters = {"moody": {"endpoint": sink.url("/moody"), "max_batch_request_parallelism": 8, "max_batch_size_bytes": 20000},
                     "calm": {"endpoint": calm.url("/calm")}}
        with Gateway(config(exporters), ports=(HTTP,)) as gw:
            send(HTTP, what)
            gw.stop(90)
        last = {}
        for request in sink.of("/moody"):
            for key, times in request.data.series:
                check(times[0] >= last.get(key, 0), f"out of order: {key}: {times[0]} behind {last.get(key)}")
                last[key] = times[-1]
        equal(collections.Counter(sink.records("/moody")), collections.Counter(calm.records("/calm")), "what arrived, each once")
        check(not sink.twice, f"two requests of one series at once: {sink.twice[:1]}")
        check(sink.most >= 4, f"no more than {sink.most} requests at once")
        n = len(sink.of("/moody", stored=False))
        print(f"order: {len(last)} series in order through {n} requests, {sink.most} at once", flush=True)


BAD = {"__name__": "steady_gauge_2_seconds", "instance": "i-1", "http_route": "/a"}


def is_bad(labels):
    return all(dict(labels).get(k) == v for k, v in BAD.items())


def text_of(labels):
    return "{" + ", ".join(f'{k}="{v}"' for k, v in labels) + "}"


def bad_series(request):
    return next((k for k, _ in request.data.series if is_bad(k)), None)


def names_the_sample(request):
    bad = bad_series(request)
    return Answer(400, {}, f"out of order sample for series {text_of(bad)}\n".encode()) if bad else None


def names_none(request):
    """As Prometheus does it with 1.0: nothing is stored, and which sample it was stands in its own log."""
    return Answer(400, {}, b"out of bounds\n") if bad_series(request) else None


def never_takes_it(request):
    return Answer(500, {}, b"too old sample\n") if bad_series(request) else None


def writes_the_rest(request):
    """As Prometheus does it with 2.0: what is good is stored."""
    bad = bad_series(request)
    if not bad:
        return None
    counts = request.data.written()
    counts[WRITTEN.format("Samples")] = str(int(counts[WRITTEN.format("Samples")]) - 1)
    return Answer(400, counts, f"out of bounds for series {text_of(bad)}\n".encode(), store=True)


def only_1_0(answer):
    return lambda request: answer if request.data.version == 2 else None


def at_most(n):
    return lambda request: Answer(413, {}, b"too large") if len(request.data.series) > n else None


def in_turn(*answers):
    return list(answers)


# name: (settings, script, what becomes of the data: all, good (all but the bad series), none, or twice (all, some more than once))
TROUBLES = {
    "retry_after": ({}, in_turn(Answer(429, {"Retry-After": "1"}), Answer(429, {"Retry-After": "1"})), "all"),
    "http_500": ({}, in_turn(*[Answer(500, {}, b"oops")] * 4), "all"),
    "http_503_html": ({}, in_turn(*[Answer(503, {"Content-Type": "text/html"}, b"<html><body>" + b"x" * 5000)] * 3), "all"),
    "http_200_html": ({}, in_turn(Answer(200, {"Content-Type": "text/html"}, b"<html>hello</html>")), "all"),
    "not_written": (V2, only_1_0(Answer(204, store=False)), "all"),
    "http_415": (V2, only_1_0(Answer(415, {}, b"unknown remote write protobuf message")), "all"),
    "redirect": ({}, lambda request: Answer(307, {"Location": "/elsewhere"}), "none"),
    "stall": ({"timeout": "1s"}, in_turn(Answer(stall=True)), "twice"),  # on a machine that is busy a second passes, too
    "close_after_applying": ({}, in_turn(*[Answer(close=True, store=True)] * 2), "twice"),
    "half_an_answer": ({}, in_turn(*[Answer(raw=b"HTTP/1.1 20")] * 2), "all"),
    "not_http": ({}, in_turn(*[Answer(raw=b"220 ftp ready\r\n")] * 2), "all"),
    "written_nonsense": (V2, in_turn(*[Answer(204, {WRITTEN.format("Samples"): x, WRITTEN.format("Histograms"): x}, store=True)
                                       for x in ("-5", "99999999999999999999999", "many", "1e9")]), "twice"),  # as if they were not there
    "names_the_sample": ({}, names_the_sample, "good"),
    "names_the_sample_v2": (V2, names_the_sample, "good"),
    "names_none": ({}, names_none, "good"),
    "http_400": ({}, lambda request: Answer(400, {}, b"go away"), "none"),
    "never_takes_it": ({"retry_on_failure": {**RETRY, "max_elapsed_time": "2s"}}, never_takes_it, "good"),
    "writes_the_rest": (V2, writes_the_rest, "good"),
    "http_413": ({}, at_most(20), "all"),
}


def points(q):
    return sum(len(getattr(m, m.WhichOneof("data")).data_points) for r in q.resource_metrics for s in r.scope_metrics for m in s.metrics)


def judge(name, kept, records, want, falls_back):
    """Whether what a server took is what it was to have. Exemplars of gauges exist in 2.0 alone: a server that gets both has some."""
    if falls_back:
        records, want = ([r for r in side if r[0] != "exemplar"] for side in (records, want))
    got, want = (collections.Counter((*r[:4], r[4] if r[0] == "exemplar" else None) for r in side) for side in (records, want))
    good = collections.Counter({r: n for r, n in want.items() if not is_bad(r[1])})
    if kept == "good":
        got, want = collections.Counter({r: n for r, n in got.items() if not is_bad(r[1])}), good
    elif kept == "none":
        want = collections.Counter()
    elif kept == "twice":
        got = collections.Counter(set(got))
    missing, more = want - got, got - want
    check(not missing and not more, f"{name}: {sum(missing.values())} missing, {sum(more.values())} too much; {list(missing)[:1]} {list(more)[:1]}")


def troubles():
    make = Maker(5)
    what = [(f"steady{i}", steady(make)) for i in range(8)]
    n = sum(points(q) for _, q in what)
    REJECTS.unlink(missing_ok=True)
    with RemoteWriteSink() as sink:
        exporters = {"well": {"endpoint": sink.url("/well")}, "well_v2": {"endpoint": sink.url("/well_v2"), **V2}}
        for name, (settings, script, _) in TROUBLES.items():
            exporters[name] = {"endpoint": sink.url(f"/{name}"), **settings}
            sink.script(f"/{name}", script) if callable(script) else sink.script(f"/{name}", *script, OK)
        with Gateway(config(exporters), ports=(HTTP,)) as gw:
            send(HTTP, what)

            def settled(name):
                who = f"prometheus_remote_write/{name}"
                return (metric("otelcol_exporter_sent_metric_points", exporter=who), metric("otelcol_exporter_send_failed_metric_points", exporter=who))

            for name in exporters:
                wait_for(lambda: f"{name}: {settled(name)} of {n} points", 60, lambda: sum(settled(name)) >= n)
            for name in exporters:
                kept = TROUBLES.get(name, (0, 0, "all"))[2]
                equal(settled(name), {"all": (n, 0), "twice": (n, 0), "none": (0, n)}.get(kept, (n - len(what), len(what))), f"{name}: sent and failed points")
            gw.stop(90)
        for name, (settings, _, kept) in TROUBLES.items():
            v2 = settings.get("protobuf_message")
            answers = collections.Counter(r.answer.status for r in sink.of(f"/{name}", stored=False))
            falls_back = {r.data.version for r in sink.of(f"/{name}", stored=False)} == {1, 2}
            judge(f"{name} ({dict(answers)})", kept, sink.records(f"/{name}"), sink.records("/well_v2" if v2 else "/well"), falls_back)
            print(f"{name}: {kept}, in {len(sink.of(f'/{name}', stored=False))} requests", flush=True)
        equal(len(sink.of("/elsewhere", stored=False)), 0, "requests where the redirect points")
        waits = [r.at for r in sink.of("/retry_after", stored=False)]
        check(waits[-1] - waits[0] >= 0.95, f"Retry-After was not waited for: {[round(w - waits[0], 2) for w in waits[:5]]}")


def main():
    order()
    troubles()


main()

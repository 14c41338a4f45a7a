# SPDX-License-Identifier: Apache-2.0
"""prometheus_remote_write into real servers. Prometheus 3 gets the corpus by 1.0 and by 2.0, and then has both times what a
recording sink got, sample by sample, histograms and exemplars too: what it refuses (samples of the year 1970, histograms that do
not add up) is a dead letter and takes no neighbour with it. Debian's Prometheus 2.42 and VictoriaMetrics answer 204 to 2.0 and
store nothing, so 2.0 falls back to 1.0 before anything is lost; 2.42 answers 500 to one old sample, which is then found alone. A
server that is not there, or killed, gets everything in order when it is back.
"""
import collections
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
import prometheus_api as prometheus  # noqa: E402
from metrics_corpus import DELTA, Maker, requests, steady  # noqa: E402
from rw_cases import V2, send  # noqa: E402
from sinks.remote_write import RemoteWriteSink, number  # noqa: E402

PROMETHEUS, VICTORIA = "http://127.0.0.1:27090", "http://127.0.0.1:27428"
REJECTS = RUN / "rw_servers-rejects.jsonl"


def config(exporters):
    named = {f"prometheus_remote_write/{k}": {**e, "retry_on_failure": {"max_interval": "500ms"}, "ports": {"dead_letter": ["file/rejects"]}}
             for k, e in exporters.items()}
    return json.dumps({
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{HTTP}"}}}},
        "exporters": {**named, "file/rejects": {"path": str(REJECTS)}},
        "service": {"telemetry": {"metrics": {"readers": [{"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": METRICS}}}}]}},
                    "runtime": {"drain_timeout": "60s"},
                    "pipelines": {"metrics": {"receivers": ["otlp"], "exporters": list(named)}}},
    })


def rejects():
    """(exporter, reason, message) of each dead letter."""
    return [(d.get("component"), d.get("reason"), d.get("message")) for d in dead_letters(REJECTS)]


def through(exporters, what):
    REJECTS.unlink(missing_ok=True)
    with Gateway(config(exporters), ports=(HTTP,)) as gw:
        send(HTTP, what)
        gw.stop(90)


def same(got, want, text):
    got, want = collections.Counter(got), collections.Counter(want)
    missing, more = want - got, got - want
    for word, left in (("missing", missing), ("too much", more)):
        for x in sorted(left, key=repr)[:10]:
            print(f"{text}: {word}: {str(x)[:500]}")
    check(not missing and not more, f"{text}: {sum(missing.values())} missing, {sum(more.values())} too much, of {sum(want.values())}")


def prometheus_3(now):
    url = f"{PROMETHEUS}/api/v1/write"
    part("prometheus.sh", "wipe")
    part("prometheus.sh", "start")
    try:
        with RemoteWriteSink() as sink:
            settings = {1: {}, 2: V2}
            exporters = {f"{where}{n}": {"endpoint": address, "external_labels": {"wire": str(n)}, **more}
                         for n, more in settings.items() for where, address in (("sink", sink.url(f"/{n}")), ("server", url))}
            through(exporters, requests(base_ns=int((now - 900) * 1e9), step_ms=100))
            sunk = {n: sink.records(f"/{n}") for n in settings}
        end = time.time()
        got = {n: prometheus.samples(PROMETHEUS, end, f'{{wire="{n}"}}', without=("wire",)) for n in settings}
        want = {n: prometheus.expected(sunk[n], now, without=("wire",)) for n in settings}
        for n, (floats, _) in got.items():
            same(floats, want[n], f"samples by {n}.0")
        same(*({x: n for x, n in got[k][0].items() if ("__name__", "target_info") not in x[0]} for k in settings), "samples by 1.0, and by 2.0")
        same(got[1][1], got[2][1], "histograms by 1.0, and by 2.0")
        n_histograms = sum(got[1][1].values())
        same({(*x[:2], None): n for x, n in got[1][1].items()}, prometheus.expected(sunk[1], now, "histogram", without=("wire",)), "histograms")
        found = {n: prometheus.exemplars(PROMETHEUS, end, f'{{wire="{n}"}}', without=("wire",)) for n in settings}
        for n in settings:
            known = {(tuple(x for x in r[1] if x[1] and x[0] != "wire"), r[2], tuple(sorted(x for x in r[4] if x[1])), r[3]) for r in sunk[n] if r[0] == "exemplar"}
            check(len(found[n]) > 100 and not set(found[n]) - known, f"{n}.0: {len(found[n])} exemplars, of others {list(set(found[n]) - known)[:2]}")
        said = rejects()
        for exporter in ("server1", "server2"):
            check(any(c.endswith(f"/{exporter}") and "out of bounds" in (m or "") for c, _, m in said), f"{exporter}: {said[:3]}")
        print(f"Prometheus 3: {sum(want[1].values())} samples, {n_histograms} histograms, {sum(found[1].values())} exemplars by 1.0 and by 2.0; "
              f"{len(said)} dead letters", flush=True)
    finally:
        part("prometheus.sh", "wipe")


def falls_back(name, now, what, read, alike=lambda x: x):
    """2.0 is asked for; the server only knows 1.0. alike: what becomes of samples in it."""
    with RemoteWriteSink() as sink:
        through({"sink": {"endpoint": sink.url("/sink")}, "server": {"endpoint": f"{name[1]}/api/v1/write", **V2}}, what)
        want = prometheus.expected(sink.records("/sink"), now)
    same(alike(read()), alike(want), name[0])
    print(f"{name[0]}: {sum(want.values())} samples by 2.0 fallen back to 1.0; {len(rejects())} dead letters", flush=True)


def one_is_old(now):
    """Points of one request, and of one of its series a month ago."""
    make = Maker(9, int((now - 60) * 1e9), step_ms=10)
    q, scope = make.request()
    data = make.metric(scope, "gauge", "old.and.new")
    for i in range(50):
        make.point(data, "gauge", {"i": i}, time=int((now - 30 * 86400) * 1e9) if i == 17 else None, plain=True)
    return q


def without_native(q):
    for scope in (s for r in q.resource_metrics for s in r.scope_metrics):
        kept = [m for m in scope.metrics if m.WhichOneof("data") != "exponential_histogram"]
        del scope.metrics[:]
        scope.metrics.extend(kept)
    return q


def prometheus_2(now):
    """Without what is too much for it: it takes a sample of the year 2262, and then nothing else ever, and panics over native histograms
    of one series whose buckets change."""
    what = [(name, without_native(q)) for name, q in requests(base_ns=int((now - 900) * 1e9), step_ms=100) if name != "values_and_times"]
    what.append(("one_is_old", one_is_old(now)))
    part("prometheus.sh", "wipe")
    part("prometheus.sh", "start", env={"PROMETHEUS": "debian", "PROMETHEUS_OOO": "30m"})
    try:
        falls_back(("Prometheus 2.42", PROMETHEUS), now, what, lambda: prometheus.samples(PROMETHEUS, time.time())[0])
        said = rejects()
        alone = [d for d in dead_letters(REJECTS) if d["reason"] == "http_500"]
        equal(sum(int(d["rows"]) for d in alone), 1, f"samples that were found alone ({sorted({d[1] for d in said})})")
        check("too old sample" in alone[0]["message"], alone[0]["message"])
    finally:
        part("prometheus.sh", "wipe")


def rounded(samples):
    """VictoriaMetrics keeps some digits."""
    return collections.Counter((labels, t, f"{number(v):.6g}") for labels, t, v in samples.elements())


def victoria_samples():
    out = collections.Counter()
    get(f"{VICTORIA}/internal/force_flush")
    now = time.time()
    for line in get(f"{VICTORIA}/api/v1/export?match[]=%7B__name__!%3D%22%22%7D&start={now - 7200}&end={now + 600}").splitlines():
        series = json.loads(line)
        out.update((prometheus.key(series["metric"]), t, prometheus.bits(float(v))) for v, t in zip(series["values"], series["timestamps"])
                   if v is not None)
    return out


def victoria(now):
    part("victoriametrics.sh", "wipe")
    part("victoriametrics.sh", "start")
    what = [x for x in requests(base_ns=int((now - 900) * 1e9), step_ms=100, n_steady=12) if x[0].startswith("steady")]
    try:
        falls_back(("VictoriaMetrics", VICTORIA), now, what, victoria_samples, rounded)
    finally:
        part("victoriametrics.sh", "wipe")


def outage(now):
    """The server is not there when the gateway starts, and is killed when half of the data is in: no sample is lost or out of order."""
    make = Maker(12, int((now - 300) * 1e9), step_ms=20)
    what = [(f"steady{i}", steady(make)) for i in range(30)]
    part("prometheus.sh", "wipe")
    try:
        with RemoteWriteSink() as sink, Gateway(config({"sink": {"endpoint": sink.url("/sink")}, "server": {"endpoint": f"{PROMETHEUS}/api/v1/write"}}),
                                                ports=(HTTP,)) as gw:
            send(HTTP, what[:10])
            part("prometheus.sh", "start")
            wait_for("the first samples", 20, lambda: metric("otelcol_exporter_sent_metric_points", exporter="prometheus_remote_write/server") > 0)
            send(HTTP, what[10:20])
            part("prometheus.sh", "kill")
            send(HTTP, what[20:])
            part("prometheus.sh", "start")
            gw.stop(90)
            want = prometheus.expected(sink.records("/sink"), now)
        same(prometheus.samples(PROMETHEUS, time.time())[0], want, "samples after two outages")
        print(f"{sum(want.values())} samples through a start without a server and a kill", flush=True)
    finally:
        part("prometheus.sh", "wipe")


def deltas(now):
    """What a delta exporter sends, with `cumulative`: counters that grow."""
    make = Maker(13, int((now - 120) * 1e9), step_ms=20)
    what = []
    for i in range(1, 11):
        q, scope = make.request()
        make.point(make.metric(scope, "sum", "delta.requests", temporality=DELTA), "sum", {"a": "x"}).as_int = i
        p = make.point(make.metric(scope, "histogram", "delta.time", "s", temporality=DELTA), "histogram", {"a": "x"})
        del p.explicit_bounds[:], p.bucket_counts[:]
        p.explicit_bounds.append(1.0)
        p.bucket_counts.extend([i, 1])
        p.count, p.sum = i + 1, i * 0.5
        what.append((f"deltas{i}", q))
    part("prometheus.sh", "wipe")
    part("prometheus.sh", "start")
    try:
        through({"server": {"endpoint": f"{PROMETHEUS}/api/v1/write", "cumulative": True}}, what)
        for query, want in (("delta_requests_total", 55), ("delta_time_seconds_count", 65), ("delta_time_seconds_sum", 27.5),
                            ('delta_time_seconds_bucket{le="1"}', 55), ("resets(delta_requests_total[1h])", 0), ("count_over_time(delta_requests_total[1h])", 10)):
            found = prometheus.api(PROMETHEUS, "query", query=query, time=now)["result"]
            equal([float(x["value"][1]) for x in found], [want], query)
        print("deltas summed up", flush=True)
    finally:
        part("prometheus.sh", "wipe")


def main():
    now = time.time()
    prometheus_3(now)
    prometheus_2(now)
    victoria(now)
    outage(now)
    deltas(now)


main()

# SPDX-License-Identifier: Apache-2.0
"""Rollups in a real Prometheus and a real OpenSearch: windows of shuffled records, computed here, are asked of both. The same records a second
time, through another process, change nothing: OpenSearch knows each final result by its id. Of retractions what stands is the same."""
import collections
import pathlib
import random
import sys

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
import prometheus_api as prometheus  # noqa: E402
from search_api import everything  # noqa: E402

PROMETHEUS = "http://127.0.0.1:27090"
SIZE, N_WINDOWS = 10000, 12  # ms


def config(search):
    own_id = {"id": "elasticsearch.document_id"}
    rollup = {"keys": {"attributes": ["key"]}, "aggregates": ["count", "sum", "max"], "windows": [{"size": "10s"}], "allowed_lateness": "30s",
              "time": {"watermark": "event", "bounded_delay": "2s", "idle_timeout": "1h"}}
    return json.dumps({
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{HTTP}"}}}},
        "processors": {"delta_to_cumulative": {}},
        "connectors": {"rollup/plain": rollup, "rollup/final": {**rollup, "emit": own_id}, "rollup/retract": {**rollup, "emit": {"mode": "retract", "interval": "5s", **own_id}}},
        "exporters": {"prometheus_remote_write": {"endpoint": f"{PROMETHEUS}/api/v1/write", "add_metric_suffixes": False},
                      **{f"elasticsearch/{n}": {"endpoint": search, "metrics_index": n, "metrics_dynamic_id": {"enabled": True}}
                         for n in ("final", "retract")}},
        "service": {"pipelines": {"metrics": {"receivers": ["otlp"], "exporters": ["rollup/plain", "rollup/final", "rollup/retract"]},
                                  "metrics/plain": {"receivers": ["rollup/plain"], "processors": ["delta_to_cumulative"], "exporters": ["prometheus_remote_write"]},
                                  **{f"metrics/{n}": {"receivers": [f"rollup/{n}"], "exporters": [f"elasticsearch/{n}"]} for n in ("final", "retract")}}},
    })


def records(rnd, base):
    """[(time in ms, key, value)], in an order that is within the bound: 2 s, or 30 s more."""
    out = [(base + rnd.randrange(SIZE * N_WINDOWS), f"k{rnd.randrange(3)}", rnd.randrange(1000)) for _ in range(600)]
    return sorted(out, key=lambda r: r[0] + rnd.choice((0, 1500, 28000)) * rnd.random())


def play(search, what):
    with Gateway(config(search), ports=(HTTP,)) as gw:
        for i in range(0, len(what), 5):
            q = ExportMetricsServiceRequest()
            gauge = q.resource_metrics.add().scope_metrics.add().metrics.add(name="v").gauge
            for at, key, value in what[i:i + 5]:
                gauge.data_points.add(time_unix_nano=at * 1000000, as_int=value).attributes.add(key="key").value.string_value = key
            status, _, answer = post(f"http://127.0.0.1:{HTTP}/v1/metrics", q.SerializeToString(), {"Content-Type": "application/x-protobuf"})
            equal(status, 200, f"the answer {answer!r}")
            if i % 100 == 0:
                time.sleep(0.15)  # windows are told in between
        gw.stop()


def computed(what):
    """{(key, end): (count, sum, max)}."""
    windows = collections.defaultdict(list)
    for at, key, value in what:
        windows[key, at // SIZE * SIZE + SIZE].append(value)
    return {at: (len(v), sum(v), max(v)) for at, v in windows.items()}


def in_prometheus(now, expected):
    """Counts and sums go on from window to window there; the greatest value is the window's."""
    found = collections.defaultdict(dict)
    for fn in ("count", "sum", "max"):
        for series in prometheus.api(PROMETHEUS, "query", query='{__name__="v_%s"}[2h]' % fn, time=now)["result"]:
            before = 0
            for t, value in series["values"]:
                found[series["metric"]["key"], round(t * 1000)][fn] = int(float(value)) - (before if fn != "max" else 0)
                before = int(float(value))
    equal({at: (v["count"], v["sum"], v["max"]) for at, v in found.items()}, expected, "windows in Prometheus")


def flat(document, prefix=""):
    out = {}
    for k, v in document.items():
        out.update(flat(v, f"{prefix}{k}.") if isinstance(v, dict) else {prefix + k: v})
    return out


def in_opensearch(search, index, expected):
    """Of each window what is told and not taken back; every document of a known id."""
    standing, ids, back = collections.defaultdict(dict), set(), 0
    documents = [(h["_id"], flat(h["_source"])) for h in everything(search, index)]
    for retracts in (False, True):
        for name, d in documents:
            if bool(d.get("attributes.rollup.retracts")) is not retracts:
                continue
            fn = next(fn for fn in ("count", "sum", "max") if f"metrics.v.{fn}" in d)
            at = (d["attributes.key"], d["@timestamp"], fn)
            ids.add(name)
            if retracts:
                back += 1
                equal(standing[at].pop(d.get("attributes.rollup.revision"), None), d[f"metrics.v.{fn}"], f"{at}: what is taken back")
            else:
                standing[at][d.get("attributes.rollup.revision")] = d[f"metrics.v.{fn}"]
    equal(len(ids), len(documents), "ids")
    check(all(len(v) == 1 for v in standing.values()), "one result of each window stands")
    check(back > 20 or index == "final", f"{back} results were taken back: too few")
    found = collections.Counter((key, fn, int(*v.values())) for (key, _, fn), v in standing.items())
    want = collections.Counter((key, fn, value) for (key, _), values in expected.items() for fn, value in zip(("count", "sum", "max"), values))
    equal(found - want, collections.Counter(), "windows in OpenSearch, that are none")
    equal(want - found, collections.Counter(), "windows that are not in OpenSearch")
    return len(documents)


def main():
    now = time.time()
    what = records(random.Random(3), int(now * 1000) // SIZE * SIZE - SIZE * (N_WINDOWS + 6))
    expected = computed(what)
    part("prometheus.sh", "wipe")
    part("prometheus.sh", "start")
    try:
        with opensearch() as search:
            play(search, what)
            in_prometheus(now + 60, expected)
            n = in_opensearch(search, "final", expected), in_opensearch(search, "retract", expected)
            play(search, what)
            equal(in_opensearch(search, "final", expected), n[0], "documents after the same records again")
    finally:
        part("prometheus.sh", "wipe")
    print(f"rollup_sinks: {len(expected)} windows in Prometheus and OpenSearch, {n[0]} results by their ids, {n[1]} with revisions")


main()

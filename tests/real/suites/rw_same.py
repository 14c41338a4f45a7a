# SPDX-License-Identifier: Apache-2.0
"""prometheus_remote_write beside the Collector's: metrics of every type, temporality and oddity, under every setting, by 1.0 and
2.0, into the same recording sink. Every sample, histogram and exemplar is equal, labels, time and value to the bit; and every
request of ours is in order: labels sorted, none empty, symbols once. Where we mean to differ, MEANT says how and why.
"""
import base64
import collections
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
from metrics_corpus import requests  # noqa: E402
from rw_cases import CASES, by_the_collector, exporters, send  # noqa: E402
from sinks.remote_write import RemoteWriteSink  # noqa: E402

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest  # noqa: E402

REJECTS = RUN / "rw_same-rejects.jsonl"


def ours(url):
    named = exporters(url, {"timeout": "60s"})
    for e in named.values():
        e["ports"] = {"dead_letter": ["file/rejects"]}
    return json.dumps({
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{HTTP}"}}}},
        "exporters": {**named, "file/rejects": {"path": str(REJECTS)}},
        "service": {"telemetry": {"metrics": {"level": "none"}},
                    "pipelines": {"metrics": {"receivers": ["otlp"], "exporters": list(named)}}},
    })


def plain(records):
    """Without what the Collector never writes: the start of a sample, and labels without a value, which are no labels. Of a name that
    stands twice the Collector's order is chance."""
    return collections.Counter((r[0], tuple(sorted(x for x in r[1] if x[1] != "")), r[2], r[3], r[4] if r[0] == "exemplar" else None) for r in records)


def name(record):
    return dict(record[1]).get("__name__", "")


# What ours refuses beside what the Collector drops too, each with a dead letter that says so. The Collector sends broken series.
REFUSED = {
    "label_taken": "le or quantile beside an attribute of that name, and so a label twice",
    "histogram_bounds": "bounds that do not ascend: the same bucket twice, or a count that falls",
    "histogram_count": "a native histogram whose buckets do not add up to its count",
    "summary_quantiles": "a quantile twice, and so a series with two values at one time",
}
DROPPED_BY_BOTH = ("delta", "histogram_scale", "metric_name", "label_name")


def refused():
    """{case: requests}: the dead letters as the requests that they hold."""
    out, reasons = {case: [] for case in CASES}, collections.Counter()
    for d in dead_letters(REJECTS):
        q = ExportMetricsServiceRequest.FromString(base64.b64decode(d["body"]))
        out[d["component"].split("/")[1]].append((d["reason"], q))
        reasons[d["reason"]] += int(d["rows"])
    print("refused:", dict(reasons), flush=True)
    unknown = set(reasons) - {*REFUSED, *DROPPED_BY_BOTH}
    check(not unknown, f"refused for reasons that nobody means: {unknown}")
    return out


def minus_zero(theirs, ours):
    """The Collector's encoder takes -0.0 for nothing, and so for 0.0; ours keeps it."""
    for record in [r for r in ours if r[0] != "histogram" and r[3] == "8000000000000000"]:
        plus = (*record[:3], "0000000000000000", record[4])
        if theirs[plus] == ours[record]:
            del theirs[plus], ours[record]


def two_names(theirs, ours):
    """An attribute __name__ gives way to the metric's name; the Collector's histograms and summaries have both, which no server takes."""
    for record in [r for r in theirs if sum(k == "__name__" for k, _ in r[1]) > 1]:
        for i, (k, _) in enumerate(record[1]):
            single = (record[0], record[1][:i] + record[1][i + 1:], *record[2:])
            if k == "__name__" and ours[single] >= theirs[record]:
                ours[single] -= theirs.pop(record)
                break


def twice_at_one_time(theirs, ours):
    """A bound or a quantile that stands twice in one point is one series with two values: ours writes the last one."""
    have = {(tuple((k, "0" if v == "-0" else v) for k, v in r[1]), r[2]) for r in ours if r[0] == "sample"}
    for record in [r for r in theirs if r[0] == "sample" and {"le", "quantile"} & {k for k, _ in r[1]}]:
        if (tuple((k, "0" if v == "-0" else v) for k, v in record[1]), record[2]) in have:
            del theirs[record]


def differences(case, theirs, refused, ours, what):
    """What is left of either side when what is meant is taken out. target_info is of the resource and refused with no row of it."""
    all_of_ours = ours
    theirs = theirs - collections.Counter({r: n for r, n in refused.items() if not name(r).endswith("target_info")})
    theirs, ours = theirs - ours, ours - theirs
    minus_zero(theirs, ours)
    two_names(theirs, ours)
    twice_at_one_time(theirs, all_of_ours)
    fallen_together(theirs, ours, what)
    if case.endswith("_v2"):  # exemplars of classic histograms by 2.0 as by 1.0: the Collector's 2.0 leaves them out
        ours = collections.Counter({r: n for r, n in ours.items() if not (r[0] == "exemplar" and name(r).endswith("_bucket"))})
    return {"theirs": +theirs, "ours": +ours}


def buckets(record, sign):
    """{index: count} of a native histogram; empty ones left out."""
    h, out, index, count = dict(record[3]), {}, 0, 0
    deltas = iter(h.get(f"{sign}_deltas", ()))
    for offset, length in h.get(f"{sign}_spans", ()):
        index += offset
        for _ in range(length):
            count += next(deltas)
            out[index] = count
            index += 1
    return {i: n for i, n in out.items() if n}


def merged(run, scale):
    """The same of a run of OTLP, brought down to scale 8."""
    out = collections.Counter()
    for i, n in enumerate(run.bucket_counts):
        out[((i + run.offset) >> max(scale - 8, 0)) + 1] += n
    return {i: n for i, n in out.items() if n}


def fallen_together(theirs, ours, what):
    """Buckets of scales over 8 fall together. Where empty ones stand before such, the Collector writes those apart, a bucket too low.
    What ours has is what its point has, added up here once more."""
    points = collections.defaultdict(list)
    for _, q in what:
        for p in (p for rm in q.resource_metrics for sm in rm.scope_metrics for m in sm.metrics for p in m.exponential_histogram.data_points):
            points[p.time_unix_nano // 1_000_000, p.count].append((merged(p.negative, p.scale), merged(p.positive, p.scale)))
    rest = lambda r: (r[:3], tuple(x for x in r[3] if not x[0].endswith(("_deltas", "_spans"))))
    for record in [r for r in ours if r[0] == "histogram" and dict(r[3])["schema"] == 8]:
        pair = next((t for t in theirs if t[0] == "histogram" and rest(t) == rest(record) and theirs[t] >= ours[record]), None)
        if pair and (buckets(record, "negative"), buckets(record, "positive")) in points[record[2], dict(record[3])["count_int"]]:
            theirs[pair] -= ours.pop(record)


def families(records):
    """Names of series, and of the metrics that they may be of."""
    out = {name(r) for r in records}
    return out | {n.removesuffix(x) for n in out for x in ("_bucket", "_count", "_sum")}


def bare(metric_name):
    return metric_name.removeprefix("ns_").removeprefix("x_")


def metadata_left(case, sink):
    """Ours is of series that exist, and the Collector's of every metric that came. A series of two metrics has the metadata of one."""
    theirs, ours = (set(sink.metadata(f"/{who}/{case}")) for who in ("theirs", "ours"))
    exist = families(sink.records(f"/ours/{case}"))
    every = theirs | set(sink.metadata("/theirs/metadata"))  # by 1.0 all metrics are named
    of_two = {k for k, n in collections.Counter(k for k, *_ in {(bare(m[0]), *m[1:]) for m in every}).items() if n > 1}
    return {"theirs": collections.Counter(m for m in theirs - ours if m[0] in exist and bare(m[0]) not in of_two),
            "ours": collections.Counter(m for m in ours - theirs if bare(m[0]) not in of_two)}


def show(case, left):
    """A line for each kind and name of record, with one of them."""
    for side, records in left.items():
        groups = collections.defaultdict(list)
        for r in sorted(records, key=repr):
            groups[(r[0], name(r)) if isinstance(r[1], tuple) else r[:2]].append(r)
        print(f"{case}: {sum(records.values())} only in {side}")
        for group, found in list(groups.items())[:8]:
            print(f"    {len(found)} of {' '.join(map(str, group))[:80]}: {repr(found[0])[:300]}")


def compare(case, sink, what):
    """True when nothing differs but what is meant."""
    theirs, again, ours = (sink.records(f"/{who}/{case}") for who in ("theirs", "refused", "ours"))
    if case == "small_requests_v2":  # the Collector loses series where it cuts requests of 2.0
        theirs, again = sink.records("/theirs/default_v2"), sink.records("/refused/default_v2")
    left = differences(case, plain(theirs), plain(again), plain(ours), what)
    meta = metadata_left(case, sink) if case != "small_requests_v2" else {}
    wrong = sink.wrong(f"/ours/{case}")
    if any(left.values()):
        show(case, left)
    if any(meta.values()):
        show(f"{case}: metadata", meta)
    if wrong:
        print(f"{case}: {len(wrong)} times: {wrong[0][:300]}")
    if any(left.values()) or any(meta.values()) or wrong:
        return False
    print(f"{case}: {len(ours)} samples, histograms and exemplars equal, {len(again)} refused", flush=True)
    return True


def main():
    what = requests()
    REJECTS.unlink(missing_ok=True)
    with RemoteWriteSink() as sink:
        by_the_collector(sink, what)
        with Gateway(ours(sink.url("/ours")), ports=(HTTP,)) as gw:
            send(HTTP, what)
            gw.stop(120)
        by_the_collector(sink, refused(), "/refused")
        bad = [case for case in CASES if not compare(case, sink, what)]
    check(not bad, f"different: {bad}")


main()

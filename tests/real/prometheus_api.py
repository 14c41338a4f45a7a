# SPDX-License-Identifier: Apache-2.0
"""What a Prometheus has, read back by its query API."""
import collections
import json
import urllib.parse

from gateway import get
from sinks.remote_write import STALE, bits

FAR_MS = 3_600_000  # of now, either way


def api(base, path, **parameters):
    return json.loads(get(f"{base}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"))["data"]


def key(labels, without=()):
    return tuple(sorted((k, v) for k, v in labels.items() if k not in without))


def samples(base, now, selector='{__name__!=""}', without=(), hours=2):
    """(floats, histograms): counters of (labels, time in ms, value); a histogram's value is its text. Stale markers do not show."""
    floats, histograms = collections.Counter(), collections.Counter()
    for series in api(base, "query", query=f"{selector}[{hours}h]", time=now)["result"]:
        labels = key(series["metric"], without)
        floats.update((labels, round(t * 1000), bits(float(v))) for t, v in series.get("values", []))
        histograms.update((labels, round(t * 1000), json.dumps(h, sort_keys=True)) for t, h in series.get("histograms", []))
    return floats, histograms


def exemplars(base, now, selector='{__name__!=""}', without=(), hours=2):
    out = collections.Counter()
    for series in api(base, "query_exemplars", query=selector, start=now - hours * 3600, end=now + 60):
        labels = key(series["seriesLabels"], without)
        out.update((labels, round(e["timestamp"] * 1000), key(e["labels"]), bits(float(e["value"]))) for e in series["exemplars"])
    return out


def nan_alike(value):
    """Every NaN is one when it comes as text."""
    return bits(float("nan")) if value[:3] in ("7ff", "fff") and value not in ("7ff0000000000000", "fff0000000000000") else value


def stale(record):
    return STALE in (record[3], dict(record[3]).get("sum") if record[0] == "histogram" else None)


def expected(records, now, kind="sample", without=()):
    """What a server shows of a sink's records: what is neither stale nor far from now, and labels that have a value. A counter of
    (labels, time, value); a histogram's value is left out."""
    return collections.Counter((tuple(x for x in r[1] if x[1] and x[0] not in without), r[2], nan_alike(r[3]) if kind == "sample" else None)
                               for r in records if r[0] == kind and not stale(r) and abs(r[2] - now * 1000) < FAR_MS)

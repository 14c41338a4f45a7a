# SPDX-License-Identifier: Apache-2.0
"""Metrics that a connector makes of spans, the Collector's and the gateway's beside each other: same(cases, ...) runs a connector per
case in one process of each, sends both the same requests, and compares what each series came to, whenever it was flushed.
"""
import dataclasses
import http.client
import math

from gateway import COLLECTOR_HEALTH, HEALTH, HTTP, RUN, Gateway, check, collections, collector, equal, json, shutil, time, wait_for
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

CUMULATIVE = 2
PORTS = {"theirs": (14318, COLLECTOR_HEALTH), "ours": (HTTP, HEALTH)}


@dataclasses.dataclass
class Case:
    name: str
    settings: dict  # for both
    ours: dict = dataclasses.field(default_factory=dict)  # for the gateway alone
    gates: str = ""  # the Collector's
    exemplars: bool = True  # compare them
    told: object = None  # told(key): by what series are told apart, where the gateway means to differ in the rest


def config(side, kind, cases, folder):
    port, health = PORTS[side]
    n = range(len(cases))
    return json.dumps({
        "extensions": {"health_check": {"endpoint": f"127.0.0.1:{health}"}},
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
        "connectors": {f"{kind}/{k}": {**c.settings, **(c.ours if side == "ours" else {})} for k, c in enumerate(cases)},
        "exporters": {f"file/{k}": {"path": str(folder / f"{k}.bin"), "format": "proto", "flush_interval": "100ms"} for k in n},
        "service": {"extensions": ["health_check"], "telemetry": {"metrics": {"level": "none"}},
                    "pipelines": {**{f"traces/{k}": {"receivers": ["otlp"], "exporters": [f"{kind}/{k}"]} for k in n},
                                  **{f"metrics/{k}": {"receivers": [f"{kind}/{k}"], "exporters": [f"file/{k}"]} for k in n}}},
    })


def send(port, bodies):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for body in bodies:
        connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
        response = connection.getresponse()
        equal((response.status, len(response.read()) < 16), (200, True), f"answer of {port}")
    connection.close()


def documents(path):
    data, at = path.read_bytes() if path.exists() else b"", 0
    while at + 4 <= len(data):
        n = int.from_bytes(data[at:at + 4], "big")
        if at + 4 + n > len(data):
            return  # still being written
        yield MetricsData.FromString(data[at + 4:at + 4 + n])
        at += 4 + n


def attributes(pairs):
    return tuple(sorted((a.key, a.value.SerializeToString(deterministic=True)) for a in pairs))


def add(a, b):
    """Points of one series, one after the other, each with what came since the last."""
    out = {}
    for key, y in b.items():
        x = a[key]
        out[key] = x if key == "bounds" else x + y if not isinstance(x, (tuple, dict)) else \
            {k: x.get(k, 0) + y.get(k, 0) for k in x | y} if isinstance(x, dict) else tuple(p + q for p, q in zip(x, y))
    out["min"], out["max"] = min(a.get("min", 0), b.get("min", 0)), max(a.get("max", 0), b.get("max", 0))
    return {k: v for k, v in out.items() if k in b}


def downscale(buckets, by):
    out = collections.Counter()
    for index, n in buckets.items():
        out[index >> by] += n
    return dict(out)


def rescaled(a, b):
    """Both at the smaller of their scales."""
    scale = min(a["scale"], b["scale"])
    return [{**x, "scale": scale, **{k: downscale(x[k], x["scale"] - scale) for k in ("positive", "negative")}} for x in (a, b)]


def value_of(kind, p):
    if kind in ("sum", "gauge"):
        return {"value": p.as_int if p.WhichOneof("value") == "as_int" else p.as_double}
    v = {"count": p.count, "sum": p.sum}
    if p.HasField("min"):
        v |= {"min": p.min, "max": p.max}
    if kind == "histogram":
        return v | {"bounds": tuple(p.explicit_bounds), "buckets": tuple(p.bucket_counts)}
    sides = {name: {b.offset + i: n for i, n in enumerate(b.bucket_counts) if n} for name, b in (("positive", p.positive), ("negative", p.negative))}
    return v | {"scale": p.scale, "zero_count": p.zero_count, **sides}


def series(path):
    """{(resource, scope, metric, attributes): value}, where value is what it came to, and {same key: exemplars as bytes without their time}."""
    out, exemplars = {}, collections.defaultdict(set)
    for document in documents(path):
        for rm in document.resource_metrics:
            for sm in rm.scope_metrics:
                for m in sm.metrics:
                    kind = m.WhichOneof("data")
                    data = getattr(m, kind)
                    temporality = getattr(data, "aggregation_temporality", 0)
                    name = (m.name, m.unit, kind, temporality, getattr(data, "is_monotonic", None))
                    for p in data.data_points:
                        key = (attributes(rm.resource.attributes), sm.scope.name, name, attributes(p.attributes))
                        v = value_of(kind, p)
                        if temporality != CUMULATIVE and key in out:
                            a, b = rescaled(out[key], v) if kind == "exponential_histogram" else (out[key], v)
                            v = {**add(a, b), **({"scale": a["scale"]} if "scale" in a else {})}
                        out[key] = v
                        exemplars[key] |= {(e.trace_id, e.span_id, round(e.as_double or e.as_int, 6)) for e in p.exemplars}
    return out, exemplars


def close(a, b):
    """Values alike; sums of floating-point numbers in any order."""
    if a.keys() != b.keys():
        return False
    return all(math.isclose(a[k], b[k], rel_tol=1e-9, abs_tol=1e-9) if isinstance(a[k], float) or isinstance(b[k], float) else a[k] == b[k] for k in a)


def joined(values, told):
    """Series that told() does not tell apart, added up."""
    out = {}
    for key, v in values.items():
        out[told(key)] = add(out[told(key)], v) if told(key) in out else v
    return out


def differences(want, got):
    out = [f"missing {k}: {want[k]}" for k in want.keys() - got.keys()] + [f"too much {k}: {got[k]}" for k in got.keys() - want.keys()]
    return out + [f"{k}: {got[k]}, not {want[k]}" for k in want.keys() & got.keys() if not close(want[k], got[k])]


def flushed(path):
    """Documents in a file, complete ones."""
    data, at, n = path.read_bytes() if path.exists() else b"", 0, 0
    while at + 4 <= len(data):
        at += 4 + int.from_bytes(data[at:at + 4], "big")
        n += at <= len(data)
    return n


def run(side, kind, cases, bodies, more):
    folder = RUN / f"{kind}-{side}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    text = config(side, kind, cases, folder)
    with Gateway(text, ports=(HTTP,)) if side == "ours" else collector(text, gates=cases[0].gates):
        send(PORTS[side][0], bodies)
        n = flushed(folder / "0.bin")  # all connectors flush when the first does, each worker of the gateway by itself
        time.sleep(more + 0.5)
        wait_for(f"{more} flushes of {side}", 30, lambda: flushed(folder / "0.bin") >= n + more)
    return [series(folder / f"{k}.bin") for k in range(len(cases))]


def same(kind, cases, bodies, more=3, sides=("theirs", "ours")):
    """more: how often the first case, which is cumulative, is to flush before all is there."""
    faults = []
    for gates in dict.fromkeys(c.gates for c in cases):
        group = [c for c in cases if c.gates == gates]
        results = {side: run(side, kind, group, bodies, more) for side in sides}
        for k, case in enumerate(group):
            want, exemplars = results["theirs"][k]
            names = sorted({key[2][0] for key in want})
            print(f"{kind}: {case.name}: {len(want)} series of {', '.join(names)}, {sum(map(len, exemplars.values()))} exemplars", flush=True)
            if "ours" not in results:
                continue
            got, ours = results["ours"][k]
            wrong = differences(*(joined(x, case.told) if case.told else x for x in (want, got)))
            if not wrong and case.exemplars:
                wrong = [f"exemplars of {key}: {sorted(ours[key])[:3]}, not {sorted(exemplars[key])[:3]}" for key in want if exemplars[key] != ours[key]]
            faults += [f"{case.name}: {len(wrong)} differences, like {w[:1500]}" for w in wrong[:2]]
    check(not faults, "\n".join(faults))

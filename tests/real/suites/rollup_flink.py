# SPDX-License-Identifier: Apache-2.0
"""Windows of the gateway and of an Apache Flink job over the same records, in the order in which they came: every window has the same values,
the same records are too late. A third of the records is out of order, one in thirty later than allowed, one of two sources falls silent,
and one clock is an hour ahead. What Flink says without lateness, and without an end of it, is something else."""
import collections
import http.client
import json
import pathlib
import random
import shutil
import sys
import tempfile
import time

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import HTTP, Gateway, check, equal, part  # noqa: E402

DELAY, LATENESS, MAX_FUTURE, IDLE = 2000, 8000, 10000, 5000  # ms
PORTS = {"a": HTTP, "b": HTTP + 10}
WINDOWS = {"tumbling": "{ size: 10s }", "hopping": "{ type: hopping, size: 20s, slide: 5s }", "session": "{ type: session, gap: 3s }"}
MODES = ("eager", "delta", "retract")  # of the tumbling ones


def config(folder):
    rollups = {f"{name}": (window, "") for name, window in WINDOWS.items()}
    rollups.update({mode: (WINDOWS["tumbling"], f"emit: {{ mode: {mode}, interval: 4s }}") for mode in MODES})
    text = "receivers:\n" + "".join(f"  otlp/{s}: {{ protocols: {{ http: {{ endpoint: '127.0.0.1:{p}' }} }} }}\n" for s, p in PORTS.items())
    text += "connectors:\n" + "".join(f"""  rollup/{name}:
    keys: {{ attributes: [key] }}
    aggregates: [count, sum, min, max]
    windows: [ {window} ]
    allowed_lateness: {LATENESS}ms
    time: {{ watermark: event, bounded_delay: {DELAY}ms, max_future: {MAX_FUTURE}ms, idle_timeout: {IDLE}ms }}
    {emit}
    ports: {{ late: [file/late_{name}] }}
""" for name, (window, emit) in rollups.items())
    text += "exporters:\n" + "".join(f"  file/{name}: {{ path: {folder}/{name}.json }}\n  file/late_{name}: {{ path: {folder}/late_{name}.json }}\n"
                                     for name in rollups)
    text += "service:\n  pipelines:\n    metrics: { receivers: [otlp/a, otlp/b], exporters: [" + ", ".join(f"rollup/{n}" for n in rollups) + "] }\n"
    return text + "".join(f"    metrics/{n}: {{ receivers: [rollup/{n}], exporters: [file/{n}] }}\n" for n in rollups)


def records(rnd, base):
    """[(came, source, time, key, value)] in ms, as they come: bursts of a key, some delayed, some by much more than allowed."""
    out = []
    for key in range(24):
        at = rnd.randrange(20000)
        while at < 240000:
            for _ in range(rnd.randrange(1, 12)):
                late = rnd.choices((0, 1500, DELAY + LATENESS, 90000), (60, 25, 12, 4))[0]
                late = rnd.randrange(60000, late) if late > 60000 else rnd.randrange(late + 1)
                # the second source sends no more in the second half
                source = "b" if at < 120000 and key % 4 == 0 else "a"
                out.append((base + at + late, source, base + at, f"k{key}", rnd.randrange(-500, 1000)))
                at += rnd.randrange(2500)
            at += rnd.randrange(3500, 25000)
    return sorted(out)


def requests(rnd, all_records):
    """Neighbours of one source in one request."""
    now = []
    for r in all_records:
        if now and (now[-1][1] != r[1] or len(now) >= rnd.randrange(1, 9)):
            yield now
            now = []
        now.append(r)
    yield now


class Sender:
    """Posts requests one after the other, and writes down what it posted, as the job reads it."""

    def __init__(self, file):
        self.log = open(file, "w")
        self.connections = {s: http.client.HTTPConnection("127.0.0.1", p, timeout=30) for s, p in PORTS.items()}
        self.n, self.seen, self.longest = 0, time.monotonic(), 0.0

    def send(self, source, points):
        q = ExportMetricsServiceRequest()
        gauge = q.resource_metrics.add().scope_metrics.add().metrics.add(name="v").gauge
        came = time.time_ns() // 1000000
        for at, key, value in points:
            point = gauge.data_points.add(time_unix_nano=at * 1000000, as_int=value)
            point.attributes.add(key="key").value.string_value = key
            self.log.write(f"{self.n},{source},{came},{at},{key},{value}\n")
        c = self.connections[source]
        c.request("POST", "/v1/metrics", q.SerializeToString(), {"Content-Type": "application/x-protobuf"})
        answer = c.getresponse()
        answer.read()
        check(answer.status in (200, 400), f"answer {answer.status}")
        self.n += 1
        if source == "a":
            self.longest = max(self.longest, time.monotonic() - self.seen)
            self.seen = time.monotonic()

    def idle(self, source, top):
        """The other one goes on, without getting any further, until this one is idle."""
        end = time.monotonic() + IDLE / 1000 + 1
        while time.monotonic() < end:
            self.send("a", [(top, "meanwhile", 1)])
            time.sleep(0.1)
        self.log.write(f"{self.n},{source},idle\n")
        self.n += 1


def play(rnd, folder):
    base = time.time_ns() // 1000000 // 60000 * 60000 - 600000
    all_records = records(rnd, base)
    last_b = max(i for i, r in enumerate(all_records) if r[1] == "b")
    s, top, share = Sender(folder / "input"), {"a": 0, "b": 0}, collections.Counter()
    s.send("b", [(base, "first", 0)])
    s.send("a", [(base, "first", 0)])
    for half in (all_records[:last_b + 1], all_records[last_b + 1:]):
        for request in requests(rnd, half):
            source = request[0][1]
            s.send(source, [r[2:] for r in request])
            for r in request:
                share["out of order"] += r[2] < top[source]
                top[source] = max(top[source], r[2])
            if rnd.randrange(40) == 0:  # a clock that is an hour ahead
                s.send("a", [(time.time_ns() // 1000000 + 3600000, "ahead", 1)])
        if half[-1][1] == "b":
            s.idle("b", top["a"])
    s.log.close()
    check(s.longest < IDLE / 1000, f"the sender stood still for {s.longest:.1f} s: nothing can be compared")
    return {k: n / len(all_records) for k, n in share.items()}


def attrs(p):
    return {a["key"]: next(iter(a["value"].values())) for a in p.get("attributes", [])}


def points(path):
    """(metric's name, key, start, end, attributes, value) of a file, times in ms."""
    for line in path.read_text().splitlines() if path.exists() else []:
        for m in (m for r in json.loads(line)["resourceMetrics"] for s in r["scopeMetrics"] for m in s["metrics"]):
            for p in (m.get("sum") or m.get("gauge"))["dataPoints"]:
                a = attrs(p)
                yield (m["name"], a["key"], int(p.get("startTimeUnixNano", 0)) // 1000000, int(p["timeUnixNano"]) // 1000000, a,
                       int(p.get("asInt", p.get("asDouble", 0))))


def told(path):
    """What a file of results comes to: {(key, start, end): {aggregate: value}}."""
    out, standing = collections.defaultdict(dict), {}
    for name, key, start, end, a, value in points(path):
        at, fn, revision = (key, start, end), name.split(".")[1], int(a.get("rollup.revision", -1))
        if path.stem == "delta":
            before = out[at].get(fn, 0 if fn in ("count", "sum") else value)
            out[at][fn] = {"min": min, "max": max}.get(fn, lambda x, y: x + y)(before, value)
        elif a.get("rollup.retracts"):
            equal(standing.pop((at, fn), None), (revision, value), f"{path.stem} {at} {fn}: what is taken back")
            del out[at][fn]
        else:
            check(path.stem == "eager" or (at, fn) not in standing, f"{path.stem} {at} {fn}: told twice")
            standing[at, fn] = (revision, value)
            out[at][fn] = value
    return {at: values for at, values in out.items() if values}


def judged(path):
    """What the job says: {(window, lateness): ({(key, start, end): …}, records too late)}. What fired last counts."""
    out = collections.defaultdict(lambda: ({}, collections.Counter()))
    for line in path.read_text().splitlines():
        window, lateness, *rest = line.split(",")
        if rest[0] == "late":
            out[window, lateness][1][tuple(rest[1:])] += 1
        else:
            key, *numbers = rest
            start, end, *values = map(int, numbers)
            told = out[window, lateness][0]
            told.pop((key, start, end), None)  # in the order in which they fired last
            told[key, start, end] = dict(zip(("count", "sum", "min", "max"), values))
    return out


def merged(results):
    """Flink tells a session again when it has grown: what a later one covers is no session any more."""
    out = {}
    for (key, start, end), values in results.items():
        mine = out.setdefault(key, {})
        for s, e in [(s, e) for s, e in mine if start <= s and e <= end]:
            del mine[s, e]
        mine[start, end] = values
    return {(key, *span): values for key, spans in out.items() for span, values in spans.items()}


def differences(a, b):
    return [(k, a.get(k), b.get(k)) for k in sorted({*a, *b}) if a.get(k) != b.get(k)]


def compare(folder, job):
    late = collections.Counter()
    for name in (*WINDOWS, *MODES):
        window = name if name in WINDOWS else "tumbling"
        found, (expected, too_late) = told(folder / f"{name}.json"), job[window, str(LATENESS)]
        expected = merged(expected) if window == "session" else expected
        check(len(expected) > 200, f"{window}: {len(expected)} windows are too few")
        equal(differences(found, expected)[:3], [], f"{name}: {len(found)} windows, Flink has {len(expected)}")
        late[name] = sum(1 for _ in points(folder / f"late_{name}.json"))
        equal(collections.Counter((key, str(at), str(v)) for _, key, _, at, _, v in points(folder / f"late_{name}.json")), too_late, f"{name}: late")
        for other in ("0", "1000000000"):  # the comparison would notice
            wrong = job[window, other][0]
            n = len(differences(found, merged(wrong) if window == "session" else wrong))
            check(n > 20, f"{name}: a lateness of {other} ms makes {n} windows different")
        print(f"rollup_flink: {name}: {len(found)} windows as Flink has them, {late[name]} records too late", flush=True)
    return late["tumbling"]


def main():
    folder, rnd = pathlib.Path(tempfile.mkdtemp()), random.Random(7)
    part("flink.sh", "install")
    with Gateway(config(folder), tuple(PORTS.values())) as gw:
        share = play(rnd, folder)
        gw.stop()
    t0 = time.monotonic()
    part("flink.sh", "run", "Windows", str(folder / "input"), str(folder / "judged"), str(DELAY), str(MAX_FUTURE), str(LATENESS), "0", "1000000000")
    n = sum("idle" not in line for line in open(folder / "input"))
    late = compare(folder, judged(folder / "judged"))
    check(share["out of order"] >= 0.2 and late >= 0.02 * n, f"{share} out of order, {late} of {n} late: too little to compare")
    print(f"rollup_flink: {n} records, {share['out of order']:.0%} out of order, {late / n:.1%} too late; Flink took {time.monotonic() - t0:.0f} s")
    shutil.rmtree(folder)


main()

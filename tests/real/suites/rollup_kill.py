# SPDX-License-Identifier: Apache-2.0
"""kill -9 under load of a gateway whose rollup stands behind a journal: each window of each series leaves once, and says what a computation over
what was acknowledged says. Then the same with a gateway that forgets which windows it told: it must be found.
    attempt    points of one series at one time: all of them are in, or none. Acknowledged: they are; without an answer: either
    cell       a series' window: its result is the sum over the acknowledged, and over some of the others
KILLS: how many, 44; SEED: the first of the legs of 25. Half of the legs with a sink that is away until the end (nothing comes twice), half with one that is
slow and refuses (a body may come again whose answer was lost: then to the last bit).
"""
import collections
import http.client
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
import kill  # noqa: E402
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest, ExportMetricsServiceResponse  # noqa: E402
from sinks.http_sink import Answer, HttpSink  # noqa: E402

KILLS, SEED, LEG = int(os.environ.get("KILLS", "44")), int(os.environ.get("SEED", "1")), 25
ROOT = HERE.parent.parent
BUILD = pathlib.Path(STAUNCH).resolve().parent
S = 10 ** 9
WINDOWS = {"1s": S, "3s": 3 * S}
DELAY_S, LATENESS_S = 1, 3
SLOW_S = 2  # an attempt that took longer may have come late
PATH = "/v1/metrics"


def put(attributes, key, value):
    a = attributes.add(key=key)
    if isinstance(value, int):
        a.value.int_value = value
    else:
        a.value.string_value = value


def attributes(run):
    return {a.key: a.value.int_value if a.value.HasField("int_value") else a.value.string_value for a in run}


class Sink(HttpSink):
    """Away, troubled or well; results: {(service, item, window, end, name): [number]}."""

    state, seed = "away", random.Random(1)

    def own(self, request):
        if self.state == "away" or (self.state == "troubled" and self.seed.random() < 0.1):
            return Answer(503, {"Retry-After": "0"})
        return Answer(200, {"Content-Type": "application/x-protobuf"}, delay=0.05 if self.state == "troubled" else 0)

    def script(self, *_):
        pass

    def results(self):
        out = collections.defaultdict(list)
        for r in self.of(PATH):
            for resource in ExportMetricsServiceRequest.FromString(r.body).resource_metrics:
                service = attributes(resource.resource.attributes)["service.name"]
                for m in (m for s in resource.scope_metrics for m in s.metrics):
                    for p in (m.sum if m.HasField("sum") else m.gauge).data_points:
                        a = attributes(p.attributes)
                        out[service, a["i"], a["rollup.window"], p.time_unix_nano, m.name].append(p.as_int if p.HasField("as_int") else p.as_double)
        return out


class Load:
    """Attempts at a steady rate, over a few connections."""

    def __init__(self, port, seed, threads=4):
        self.port, self.attempts, self.ended, self.lock = port, [], False, threading.Lock()
        self.wrong = []
        self.threads = [threading.Thread(target=self.send, args=(random.Random(seed * 100 + i),), daemon=True) for i in range(threads)]
        for t in self.threads:
            t.start()

    def make(self, r):
        at = time.time_ns() - r.randrange(S // 2)
        one = {"cell": (f"service-{r.randrange(6)}", r.randrange(3)), "at": at, "values": [r.randrange(1, 1_000_000) for _ in range(r.randint(1, 5))]}
        q = ExportMetricsServiceRequest()
        rm = q.resource_metrics.add()
        put(rm.resource.attributes, "service.name", one["cell"][0])
        m = rm.scope_metrics.add().metrics.add(name="v")
        for v in one["values"]:
            p = m.gauge.data_points.add(time_unix_nano=at, as_int=v)
            put(p.attributes, "i", one["cell"][1])
            put(p.attributes, "noise", "x" * r.randint(0, 100))
        return one, q.SerializeToString()

    def send(self, r):
        connection = None
        while not self.ended:
            try:
                if not connection:
                    connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                    connection.connect()
            except OSError:
                connection = None
                time.sleep(0.02)
                continue
            one, body = self.make(r)
            begun = time.monotonic()
            try:
                connection.request("POST", PATH, body, {"Content-Type": "application/x-protobuf"})
                with connection.getresponse() as answer:
                    text = answer.read()
            except (OSError, http.client.HTTPException):
                connection, one["is"] = None, "U"
            else:
                one["is"] = "A" if answer.status == 200 else "R"
                if answer.status not in (200, 503) or (answer.status == 200 and ExportMetricsServiceResponse.FromString(text).partial_success.rejected_data_points):
                    self.wrong.append(f"{answer.status} {text[:200]}")
            if one["is"] == "A" and time.monotonic() - begun > SLOW_S:
                one["is"] = "U"
            with self.lock:
                self.attempts.append(one)
            time.sleep(r.random() * 0.02)

    def stop(self):
        self.ended = True
        for t in self.threads:
            t.join(20)
        check(not self.wrong, f"answers: {self.wrong[:3]}")


class RollupLeg(kill.Leg):
    """Kills over one storage."""

    phases = ("anytime",) * 4 + ("append",) * 4 + ("sync",)

    def __init__(self, folder, seed, away, binary=STAUNCH, longest=0.9):
        self.folder, self.level, self.longest, self.seed, self.binary = pathlib.Path(folder), "page_cache", longest, seed, str(binary)
        self.random, self.preload, self.away = random.Random(seed), False, away
        self.storage, self.file = self.folder / "storage", self.folder / "config.json"
        self.kills, self.starts, self.p, self.senders, self.deck = [], [], None, [], []
        self.sink = Sink()
        self.sink.state = "away" if away else "troubled"
        self.as_connector, self.workers = seed % 2 == 0, 2
        self.file.write_text(self.config())

    def config(self):
        rollup = {"keys": {"resource": ["service.name"], "attributes": ["i"]}, "windows": [{"size": w} for w in WINDOWS], "aggregates": ["count", "sum", "max"],
                  "time": {"bounded_delay": f"{DELAY_S}s"}, "allowed_lateness": f"{LATENESS_S}s", "checkpoint_interval": self.random.choice(("0s", "300ms", "5s"))}
        retry = {"initial_interval": "20ms", "max_interval": "200ms", "max_elapsed_time": "0s"}
        c = {"extensions": {"file_storage": {"directory": str(self.storage), "create_directory": True, "segment_size_mib": 1, "reserve_mib": 1}},
             "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{kill.HTTP}"}, "grpc": {"endpoint": f"127.0.0.1:{kill.GRPC}"}}}},
             "exporters": {"otlp_http": {"endpoint": self.sink.url("").rstrip("/"), "compression": "none", "retry_on_failure": retry, "timeout": "1s",
                                         "circuit_breaker": {"initial_interval": "50ms", "max_interval": "300ms"},
                                         "sending_queue": {"queue_size": 100000, "num_consumers": 4, "storage": "file_storage"}}},
             "connectors": {"journal/x": {"storage": "file_storage", "partition_by": "service", "head_bytes": 100000, "in_flight_bytes": 200000}},
             "service": {"extensions": ["file_storage"], "runtime": {"workers": self.workers, "drain_timeout": "300ms"},
                         "telemetry": {"metrics": {"readers": [{"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": kill.SELF}}}}]}},
                         "pipelines": {"metrics/in": {"receivers": ["otlp"], "exporters": ["journal/x"], "durability": "page_cache"}}}}
        if self.as_connector:
            c["connectors"]["rollup"] = rollup
            c["service"]["pipelines"].update({"metrics/a": {"receivers": ["journal/x"], "exporters": ["rollup"]},
                                              "metrics/b": {"receivers": ["rollup"], "exporters": ["otlp_http"]}})
        else:
            c["processors"] = {"rollup": rollup}
            c["service"]["pipelines"]["metrics/b"] = {"receivers": ["journal/x"], "processors": ["rollup"], "exporters": ["otlp_http"]}
        return json.dumps(c)

    def start(self):
        self.workers = 1 + len(self.starts) % 2
        self.file.write_text(self.config())
        super().start()

    def changed(self, mask, until):
        self.watched = self.random.choice([d for d in ("journal", "queue", "decisions") if (self.storage / d).is_dir()])
        return super().changed(mask, until)

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

    def judge(self):
        """(cells, wrong): what is not as it must be."""
        cells, wrong = collections.defaultdict(lambda: ([], [])), collections.Counter()
        for a in self.load.attempts:
            for text, size in WINDOWS.items():
                if a["is"] != "R":
                    cells[*a["cell"], text, a["at"] // size * size + size][a["is"] == "U"].append((len(a["values"]), sum(a["values"]), max(a["values"])))
        found = self.sink.results()
        for (service, i, window, end), (sure, maybe) in cells.items():
            told = [found.pop((service, i, window, end, f"v.{fn}"), []) for fn in ("count", "sum", "max")]
            wrong["twice"] += self.away and any(len(t) > 1 for t in told)
            wrong["differently"] += any(len(set(t)) > 1 for t in told)
            may = {(sum(x[0] for x in all_), sum(x[1] for x in all_), max((x[2] for x in all_), default=0))
                   for n in range(min(len(maybe), 12) + 1) for some in itertools.combinations(maybe, n) for all_ in [sure + list(some)]}
            is_ = tuple(t[0] if t else 0 for t in told)
            wrong["missing"] += bool(sure) and not told[0]
            wrong["other numbers"] += bool(told[0] or sure) and is_ not in may
        wrong["nobody sent"] += len(found)
        return len(cells), {k: n for k, n in wrong.items() if n}

    def close(self):
        super().close()


def leg(seed, kills, away, **options):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rollup-kill-"))
    with RollupLeg(folder, seed, away, **options) as one:
        one.run(kills)
        cells, wrong = one.judge()
    how = "connector" if one.as_connector else "processor"
    n = collections.Counter(a["is"] for a in one.load.attempts)
    print(f"{kills} kills, {how}, {'no sink until the end' if away else 'a troubled sink'}, seed {seed}: {cells} windows, attempts {dict(n)}; {wrong or 'each once'}; "
          f"by phase {dict(collections.Counter(p for _, p in one.kills))}; starts {max(one.starts) * 1000:.0f} ms at most", flush=True)
    return folder, cells, wrong, n


def planted(name):
    """A gateway with a mistake of tests/real/planted."""
    patch = HERE / f"planted/{name}.patch"
    where = BUILD / "proof" / name
    file = next(line[6:] for line in patch.read_text().splitlines() if line.startswith("+++ b/"))
    shutil.rmtree(where, ignore_errors=True)
    (where / file).parent.mkdir(parents=True)
    shutil.copy(ROOT / file, where / file)
    subprocess.run(["git", "apply", str(patch)], cwd=where, check=True, env={**os.environ, "GIT_CEILING_DIRECTORIES": str(BUILD / "proof")})
    subprocess.run([str(ROOT / "tools/with-file.sh"), str(BUILD), "staunch", file, str(where / file), str(where / "staunch")], cwd=ROOT, check=True)
    return where / "staunch"


def main():
    done = 0
    for i in range((KILLS + LEG - 1) // LEG):
        n = min(LEG, KILLS - done)
        folder, cells, wrong, attempts = leg(SEED + i, n, i % 2 == 0)
        equal(wrong, {}, f"{folder}")
        check(cells > 50 and attempts["A"] > 20 * n, f"too little happened: {cells} windows, {attempts}")
        shutil.rmtree(folder)
        done += n
    folder, _, wrong, _ = leg(1, 8, True, binary=planted("rollup_tells_again"), longest=3)
    check("twice" in wrong, f"it was not found: {folder}: {wrong}")
    shutil.rmtree(folder)
    print(f"{done} kills", flush=True)


main()

# SPDX-License-Identifier: Apache-2.0
"""kill -9 under load of a gateway that makes deltas of totals and totals of those again, behind a journal, with another number of workers at every
start: what leaves of each series is what came in, each acknowledged point once. Then the same with a gateway that does not write down what has
changed: it must be found.
KILLS: how many, 20; SEED.
"""
import collections
import os
import pathlib
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

KILLS, SEED = int(os.environ.get("KILLS", "20")), int(os.environ.get("SEED", "1"))
PATH = "/v1/metrics"
S = 10 ** 9


class Sink(HttpSink):
    """Away, or well."""

    away = True

    def own(self, request):
        return Answer(503, {"Retry-After": "0"}) if self.away else Answer(200, {"Content-Type": "application/x-protobuf"})

    def script(self, *_):
        pass

    def points(self):
        """{(service, item, time): [total]}"""
        out = collections.defaultdict(list)
        for r in self.of(PATH):
            for resource in ExportMetricsServiceRequest.FromString(r.body).resource_metrics:
                service = resource.resource.attributes[0].value.string_value
                for m in (m for s in resource.scope_metrics for m in s.metrics):
                    for p in m.sum.data_points:
                        out[service, p.attributes[0].value.int_value, p.time_unix_nano].append(p.as_int)
        return out


class Load(kill.MetricsLoad):
    """Totals that grow, of one service a thread, so that those of a series come in order."""

    def requests(self, i, r):
        totals, last = collections.Counter(), 0
        while True:
            q = ExportMetricsServiceRequest()
            rm = q.resource_metrics.add()
            one = {"service": f"service-{i}", "points": []}
            kill.put(rm.resource.attributes, "service.name", one["service"])
            m = rm.scope_metrics.add().metrics.add(name="v").sum
            m.aggregation_temporality, m.is_monotonic = 2, True
            for item in r.sample(range(5), 3):
                totals[item] += r.randrange(1, 1000)
                last = max(time.time_ns(), last + 1)
                kill.put(m.data_points.add(start_time_unix_nano=S, time_unix_nano=last, as_int=totals[item]).attributes, "i", item)
                one["points"].append((item, last, totals[item]))
            yield one, q


class StreamsLeg(kill.JournalLeg):
    def __init__(self, folder, seed, binary=STAUNCH, longest=0.9):
        super().__init__(folder, seed, Sink(), binary, longest)

    def parts(self):
        return ({"cumulative_to_delta": {"initial_value": "keep"}, "delta_to_cumulative": {}}, {},
                {"metrics/out": {"receivers": ["journal/x"], "processors": ["cumulative_to_delta", "delta_to_cumulative"], "exporters": ["otlp_http"]}})

    def begin(self):
        self.start()
        self.load = Load(kill.HTTP, self.seed)

    def end(self):
        time.sleep(0.5)
        self.load.stop()
        self.sink.away = False
        n, since = -1, time.monotonic()
        while time.monotonic() - since < 2:
            if len(self.sink.of(PATH)) != n:
                n, since = len(self.sink.of(PATH)), time.monotonic()
            time.sleep(0.1)
        self.p.send_signal(signal.SIGTERM)
        equal(self.p.wait(20), 0, f"exit code: {self.text()}")

    def judge(self):
        """(points, wrong): what is not as it must be."""
        found, wrong = self.sink.points(), collections.Counter()
        n = len(found)
        for a in self.load.attempts:
            for i, at, total in a["points"]:
                told = found.pop((a["service"], i, at), [])
                wrong["missing"] += a["is"] == "A" and not told
                wrong["twice"] += len(told) > 1
                wrong["other totals"] += any(t != total for t in told)
        wrong["nobody sent"] += len(found)
        return n, {k: v for k, v in wrong.items() if v}


def leg(seed, kills, **options):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="streams-kill-"))
    with StreamsLeg(folder, seed, **options) as one:
        one.run(kills)
        points, wrong = one.judge()
    n = collections.Counter(a["is"] for a in one.load.attempts)
    print(f"{kills} kills, seed {seed}: {points} points, attempts {dict(n)}; {wrong or 'each once, as it came'}; "
          f"by phase {dict(collections.Counter(p for _, p in one.kills))}; starts {max(one.starts) * 1000:.0f} ms at most", flush=True)
    return folder, points, wrong


def main():
    folder, points, wrong = leg(SEED, KILLS)
    equal(wrong, {}, f"{folder}")
    check(points > 100 * KILLS, f"too little happened: {points} points")
    shutil.rmtree(folder)
    folder, _, wrong = leg(1, 4, binary=kill.planted("streams_forget"))
    check("other totals" in wrong, f"it was not found: {folder}: {wrong}")
    shutil.rmtree(folder)
    print(f"{KILLS} kills", flush=True)


main()

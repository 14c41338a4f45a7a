#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of a gateway under load, in front of fault sinks: nothing that was accepted may be lost, and every second copy is explained.

    kill.py [--kills 1000] [--leg 50] [--seed 1] [--level page_cache] [--state FILE] [--longest 5]

A leg is so many kills over one storage, and a check at its end. --state keeps what was done: run it again to go on. Where a
kill falls is told by those who see it: the sink kills the gateway itself while a request comes (send), when it is applied
(applied), in the middle of its answer (partial reply) or behind it (told); a watch kills it when a file of a log was written
(append) or appears (segment roll), or inside of fdatasync (sync); anytime is a moment drawn between 0 and --longest seconds.
"""
import argparse
import collections
import ctypes
import http.client
import json
import os
import pathlib
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import faultcheck  # noqa: E402
from gateway import STAUNCH, booked, check, ledger, port_open, wait_for  # noqa: E402
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse  # noqa: E402
from sinks.fault import BUILD, FaultSink, Sender  # noqa: E402

GRPC, HTTP, SELF = 25617, 25618, 25688
SINKS = ("http", "bulk", "rw")
EXPORTERS = ("otlp_http", "elasticsearch", "prometheus_remote_write")
# What the sinks do to one exchange in so many of a thousand.
TROUBLE = {
    "http": ("mix 400 delay_ms=60", "mix 60 status=503", "mix 40 cut_out=0", "mix 30 body=half", "mix 30 cut_in=700 how=rst", "mix 20 stall",
             "mix 40 reject=11", "mix 10 conn cut_in=0", "mix 10 body=garbage apply=1"),
    "bulk": ("mix 400 delay_ms=60", "mix 60 status=503", "mix 40 cut_out=0", "mix 30 body=half", "mix 30 cut_in=700 how=rst", "mix 20 stall",
             "mix 60 reject=3 item=429", "mix 30 reject=7 item=400", "mix 20 claim=-1"),
    "rw": ("mix 400 delay_ms=60", "mix 60 status=503", "mix 40 cut_out=0", "mix 30 cut_in=300 how=rst", "mix 20 stall", "mix 30 status=429 retry_after=0"),
}
BY_SINK = {"send": "cut_in=400 how=kill", "applied": "kill=applied", "partial reply": "body=half how=kill", "told": "kill=told", "told in part": "reject=5 kill=told"}
# Requests of one attempt are settled together: what one of them was told waits for the time-out of another.
WINDOW_S = 3
CHANGES = {"append": 0x2, "segment roll": 0x100 | 0x80}  # IN_MODIFY; IN_CREATE, IN_MOVED_TO
LIBC = ctypes.CDLL(None, use_errno=True)
PHASES = ("anytime",) * 6 + ("append",) * 3 + ("sync", "segment roll") + tuple(BY_SINK)


def config(folder, sink, level, direct_io=False):
    """level None: no storage at all."""
    retry = {"initial_interval": "20ms", "max_interval": "200ms", "max_elapsed_time": "0s"}
    queue = {"queue_size": 100000, "num_consumers": 4, "batch": {"flush_timeout": "20ms", "min_size": 200}}
    if level:
        queue["storage"] = "file_storage"
    common = {"retry_on_failure": retry, "timeout": "1s", "sending_queue": queue, "circuit_breaker": {"initial_interval": "50ms", "max_interval": "500ms"}}
    out = {
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"127.0.0.1:{GRPC}"}, "http": {"endpoint": f"127.0.0.1:{HTTP}"}}}},
        "exporters": {
            "otlp_http": {"endpoint": sink.url("http"), "compression": "none", **common},
            "elasticsearch": {"endpoint": sink.url("bulk"), "document_id": "record", **common, "retry": {"initial_interval": "20ms", "max_interval": "200ms"}},
            "prometheus_remote_write": {"endpoint": sink.url("rw") + "/api/v1/write", **common},
        },
        "service": {"telemetry": {"metrics": {"readers": [{"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": SELF}}}}]}},
                    "pipelines": {"logs": {"receivers": ["otlp"], "exporters": ["otlp_http", "elasticsearch"]},
                                  "metrics": {"receivers": ["otlp"], "exporters": ["prometheus_remote_write"]}}},
    }
    del out["exporters"]["elasticsearch"]["retry_on_failure"]
    rw = out["exporters"]["prometheus_remote_write"]
    rw["remote_write_queue"] = {"queue_size": 100000, "num_consumers": 4}
    if level:
        out["extensions"] = {"file_storage": {"directory": str(folder / "storage"), "create_directory": True, "segment_size_mib": 1, "reserve_mib": 1, "direct_io": direct_io}}
        out["service"]["extensions"] = ["file_storage"]
        for p in out["service"]["pipelines"].values():
            p["durability"] = level
    return json.dumps(out)


class Leg:
    """Kills over one storage; result() judges."""

    watched = "queue"  # folder of the storage
    has_books = True  # of its exporters, over all kills
    still_s = 4  # without a sign of life at the sinks nothing is under way any more
    sinks, phases, binary = SINKS, PHASES, STAUNCH

    def __init__(self, folder, seed, level="page_cache", preload=False, longest=5.0, rate=150):
        self.folder, self.level, self.longest, self.rate = pathlib.Path(folder), level, longest, rate
        self.random, self.preload = random.Random(seed), preload
        self.storage = self.folder / "storage"
        self.kills, self.starts, self.p, self.senders, self.deck = [], [], None, [], []
        self.sink = FaultSink(self.folder, SINKS, args=("--seed", seed))
        self.direct_io = seed % 2 == 1 and not preload
        self.file = self.folder / "config.json"
        self.file.write_text(self.config())

    def config(self):
        return config(self.folder, self.sink, self.level, direct_io=self.direct_io)

    def start(self):
        env = dict(os.environ)
        if self.preload:
            check((BUILD / "liblate_writes.so").exists(), f"liblate_writes.so is not in {BUILD}: the loader would start the gateway without it")
            env.update(LD_PRELOAD=str(BUILD / "liblate_writes.so"), LATE_WRITES=str(self.storage))
        t0 = time.monotonic()
        with open(self.folder / "gateway.log", "ab") as log:
            self.p = subprocess.Popen([self.binary, f"--config={self.file}"], stdout=log, stderr=log, env=env)
        for port in (GRPC, HTTP):
            wait_for(lambda: f"the gateway after {len(self.kills)} kills: {self.text()}", 20, lambda: self.p.poll() is not None or port_open(port))
        check(self.p.poll() is None, f"the gateway ended while starting, after {len(self.kills)} kills: {self.text()}")
        self.starts.append(time.monotonic() - t0)

    def text(self):
        return (self.folder / "gateway.log").read_text(errors="replace")[-3000:]

    def in_sync(self, until):
        """Wait until a thread stands in fsync or fdatasync."""
        tasks = [f"/proc/{self.p.pid}/task/{t}/syscall" for t in os.listdir(f"/proc/{self.p.pid}/task")]
        while time.monotonic() < until:
            for t in tasks:
                with open(t) as f:
                    if f.read(3) in ("74 ", "75 "):
                        return True
        return False

    def changed(self, mask, until):
        """Wait until something of a log changes so."""
        with open(LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as watch:
            for d in (self.storage / self.watched).iterdir():
                LIBC.inotify_add_watch(watch.fileno(), bytes(d), mask)
            return bool(select.select([watch], [], [], max(0, until - time.monotonic()))[0])

    def kill(self):
        """One kill; where it fell."""
        if not self.deck:
            self.deck = self.random.sample(self.phases, len(self.phases))
        phase = self.deck.pop()
        if not self.level and phase in ("append", "sync", "segment roll"):
            phase = "anytime"
        time.sleep(self.longest * self.random.random() ** 3)
        until = time.monotonic() + 1.5
        if phase in BY_SINK:
            name = self.random.choice(self.sinks[:2])
            self.sink.script(name, f"pid {self.p.pid}", f"next {BY_SINK[phase]}")
            try:
                self.p.wait(1.5)
                return phase
            except subprocess.TimeoutExpired:
                phase = "anytime"
        elif phase == "sync":
            phase = phase if self.in_sync(until) else "anytime"
        elif phase in CHANGES:
            phase = phase if self.changed(CHANGES[phase], until) else "anytime"
        self.p.send_signal(signal.SIGKILL)
        return phase

    def begin(self, trouble=TROUBLE, text=100):
        """The gateway and the load."""
        self.logs = [self.folder / "sent.logs", self.folder / "sent.metrics"]
        for name in SINKS:
            self.sink.script(name, *trouble[name])
        self.start()
        self.senders = [Sender(self.logs[0], GRPC, proto="grpc", rate=self.rate, rows=20, conns=2, timeout=5, text=text),
                        Sender(self.logs[1], HTTP, proto="h1", signal="metrics", rate=self.rate / 3, rows=10, conns=2, timeout=5)]

    def killed(self, phase):
        self.p.wait()
        self.kills.append((time.monotonic_ns(), phase))

    def run(self, n):
        self.begin()
        for _ in range(n):
            self.killed(self.kill())
            self.sink.script("http", "pid 0")
            self.start()
        time.sleep(0.3)
        self.end()

    def end(self):
        self.told = [s.stop() for s in self.senders]
        self.drain()
        self.sent = [faultcheck.Sent([f]) for f in self.logs]
        if self.level and self.has_books and not self.preload:
            for name, sent in zip(EXPORTERS, (self.sent[0], self.sent[0], self.sent[1])):
                booked(self.books, name, len(sent.accepted))

    def well(self):
        for name in self.sinks:
            self.sink.script(name, "clear")

    def drain(self):
        """The sinks are well again; everything leaves, and the gateway ends as it should."""
        self.well()
        seen, since = None, time.monotonic()
        while time.monotonic() - since < self.still_s:
            now = self.sink.stats()
            if now != seen:
                seen, since = now, time.monotonic()
            time.sleep(0.1)
        self.books = ledger(SELF)
        self.p.send_signal(signal.SIGTERM)
        check(self.p.wait(40) == 0, f"exit code {self.p.returncode}: {self.text()}")

    def dead_letters(self):
        """Ids of the records in the dead letter store: bodies are the original bytes."""
        out = self.folder / "dead-letters"
        done = subprocess.run([STAUNCH, "dlq", "export", "--directory", str(self.storage), "--format", "otlp", "--output", str(out)], capture_output=True, text=True)
        check(done.returncode == 0, f"staunch dlq export: {done.stderr}")
        raw = out.read_bytes()
        return {int(raw[m.end():m.end() + m[1][0]]) for m in re.finditer(rb"rec\.id\x12.\x0a(.)", raw, re.DOTALL)}

    def result(self):
        """({sink: Verdict}, share of kills with something undelivered, {phase: kills})."""
        times = [t for t, _ in self.kills]
        verdicts, open_at = {}, [0] * len(times)
        for name in SINKS:
            journal, sent = faultcheck.Journal(self.sink.journal, name), self.sent[name == "rw"]
            verdicts[name] = faultcheck.judge(sent, journal, times, WINDOW_S)
            open_at = [a + b for a, b in zip(open_at, faultcheck.undelivered_at(sent, journal, times))]
        if self.level:  # what OTLP's partial success counts has no names: it is counted, and no dead letter
            letters = self.dead_letters()
            verdicts["bulk"].unburied = [i for i in verdicts["bulk"].refused if i not in letters]
        return verdicts, sum(n > 0 for n in open_at) / max(1, len(times)), collections.Counter(p for _, p in self.kills)

    def close(self):
        if self.p and self.p.poll() is None:
            self.p.kill()
            self.p.wait()
        for s in self.senders:
            s.p.kill()
            s.p.wait()
        self.sink.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def wrong(verdicts):
    return "; ".join(f"{name}: {w}" for name, v in verdicts.items() if (w := v.wrong(duplicates=name != "bulk")))


class MetricsLoad:
    """Threads that post one request after the other over HTTP, and never a second time. What became of each is in `attempts`: A acknowledged,
    R refused, U nobody knows."""

    path, threads, slow_s = "/v1/metrics", 4, float("inf")  # slow_s: an attempt that took longer may have come late

    def __init__(self, port, seed):
        self.port, self.attempts, self.ended, self.lock, self.wrong = port, [], False, threading.Lock(), []
        self.running = [threading.Thread(target=self.send, args=(i, random.Random(seed * 100 + i)), daemon=True) for i in range(self.threads)]
        for t in self.running:
            t.start()

    def requests(self, i, r):
        """Of thread i: (what it is, as a dict; the message), one after the other."""
        raise NotImplementedError

    def send(self, i, r):
        connection, requests = None, self.requests(i, r)
        while not self.ended:
            connection = connection or self.connect()
            if not connection:
                continue
            one, q = next(requests)  # of now: the gateway may have been away for long
            begun, body = time.monotonic(), q.SerializeToString()
            try:
                connection.request("POST", self.path, body, {"Content-Type": "application/x-protobuf"})
                with connection.getresponse() as answer:
                    text = answer.read()
            except (OSError, http.client.HTTPException):
                connection, one["is"] = None, "U"
            else:
                one["is"] = "A" if answer.status == 200 else "R"
                if answer.status not in (200, 503) or (answer.status == 200 and ExportMetricsServiceResponse.FromString(text).partial_success.rejected_data_points):
                    self.wrong.append(f"{answer.status} {text[:200]}")
            if one["is"] == "A" and time.monotonic() - begun > self.slow_s:
                one["is"] = "U"
            with self.lock:
                self.attempts.append(one)
            time.sleep(r.random() * 0.02)

    def connect(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.connect()
        except OSError:
            time.sleep(0.02)
            return None
        return connection

    def stop(self):
        self.ended = True
        for t in self.running:
            t.join(20)
        check(not self.wrong, f"answers: {self.wrong[:3]}")


def put(attributes, key, value):
    """An attribute more."""
    a = attributes.add(key=key)
    if isinstance(value, int):
        a.value.int_value = value
    else:
        a.value.string_value = value


class JournalLeg(Leg):
    """Of metrics that something keeps behind a journal, with another number of workers at every start, before a sink of the suite's own."""

    phases = ("anytime",) * 4 + ("append",) * 4 + ("sync",)

    def __init__(self, folder, seed, sink, binary, longest):
        self.folder, self.level, self.longest, self.seed, self.binary = pathlib.Path(folder), "page_cache", longest, seed, str(binary)
        self.random, self.preload, self.sink = random.Random(seed), False, sink
        self.storage, self.file = self.folder / "storage", self.folder / "config.json"
        self.kills, self.starts, self.p, self.senders, self.deck = [], [], None, [], []

    def parts(self):
        """(processors, connectors, pipelines behind the journal)"""
        raise NotImplementedError

    def config(self):
        processors, connectors, pipelines = self.parts()
        retry = {"initial_interval": "20ms", "max_interval": "200ms", "max_elapsed_time": "0s"}
        return json.dumps({
            "extensions": {"file_storage": {"directory": str(self.storage), "create_directory": True, "segment_size_mib": 1, "reserve_mib": 1,
                                            "direct_io": len(self.starts) % 3 > 0}},
            "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{HTTP}"}, "grpc": {"endpoint": f"127.0.0.1:{GRPC}"}}}},
            "processors": processors,
            "exporters": {"otlp_http": {"endpoint": self.sink.url("").rstrip("/"), "compression": "none", "retry_on_failure": retry, "timeout": "1s",
                                        "circuit_breaker": {"initial_interval": "50ms", "max_interval": "300ms"},
                                        "sending_queue": {"queue_size": 100000, "num_consumers": 4, "storage": "file_storage"}}},
            "connectors": {"journal/x": {"storage": "file_storage", "partition_by": "service", "head_bytes": 100000, "in_flight_bytes": 200000}, **connectors},
            "service": {"extensions": ["file_storage"], "runtime": {"workers": 1 + len(self.starts) % 2, "drain_timeout": "300ms"},
                        "telemetry": {"metrics": {"readers": [{"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": SELF}}}}]}},
                        "pipelines": {"metrics/in": {"receivers": ["otlp"], "exporters": ["journal/x"], "durability": "page_cache"}, **pipelines}}})

    def start(self):
        self.file.write_text(self.config())
        super().start()

    def changed(self, mask, until):
        self.watched = self.random.choice([d for d in ("journal", "queue", "decisions") if (self.storage / d).is_dir()])
        return super().changed(mask, until)


def planted(name):
    """A gateway with a mistake of planted/, built beside the one under test."""
    root, build = HERE.parent.parent, pathlib.Path(STAUNCH).resolve().parent
    patch, where = HERE / f"planted/{name}.patch", build / "proof" / name
    file = next(line[6:] for line in patch.read_text().splitlines() if line.startswith("+++ b/"))
    shutil.rmtree(where, ignore_errors=True)
    (where / file).parent.mkdir(parents=True)
    shutil.copy(root / file, where / file)
    subprocess.run(["git", "apply", str(patch)], cwd=where, check=True, env={**os.environ, "GIT_CEILING_DIRECTORIES": str(build / "proof")})
    subprocess.run([str(root / "tools/with-file.sh"), str(build), "staunch", file, str(where / file), str(where / "staunch")], cwd=root, check=True)
    return where / "staunch"


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--kills", type=int, default=1000)
    a.add_argument("--leg", type=int, default=50)
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--level", default="page_cache")
    a.add_argument("--longest", type=float, default=5)
    a.add_argument("--state", type=pathlib.Path, default=pathlib.Path("kill-state.json"))
    o = a.parse_args()
    done = json.loads(o.state.read_text()) if o.state.exists() else {"kills": 0, "legs": 0, "open": 0.0, "accepted": 0, "phases": {}, "copies": {}}
    while done["kills"] < o.kills:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="kill-"))
        with Leg(folder, o.seed + done["legs"], o.level, longest=o.longest) as leg:
            leg.run(min(o.leg, o.kills - done["kills"]))
            verdicts, share, phases = leg.result()
        if wrong(verdicts):
            sys.exit(f"seed {o.seed + done['legs']}, kept in {folder}: {wrong(verdicts)}")
        done["open"] += share * len(leg.kills)
        done["kills"] += len(leg.kills)
        done["legs"] += 1
        done["accepted"] += sum(len(s.accepted) for s in leg.sent)
        done["phases"] = collections.Counter(done["phases"]) + phases
        done["copies"] = collections.Counter(done["copies"]) + sum((v.copies for v in verdicts.values()), collections.Counter())
        o.state.write_text(json.dumps(done))
        shutil.rmtree(folder)
        print(f"{done['kills']} kills, {done['accepted']} accepted, 0 lost, at {100 * done['open'] / done['kills']:.0f} % something was undelivered; "
              f"by phase {dict(done['phases'])}; second copies {dict(done['copies'])}; start {max(leg.starts):.2f} s at most", flush=True)


if __name__ == "__main__":
    main()

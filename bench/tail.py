# SPDX-License-Identifier: Apache-2.0
"""The rows of tail sampling: CPU from receiving over gRPC to re-emission, and memory of the spans that wait. Started by run.py.

Spans come at a steady rate (TAIL_RATE, 50000 a second, which the Collector takes on one core) for TAIL_SECONDS (20), ten a trace, with trace ids that were never seen. Servers run
by turns, TAIL_RUNS (3) times, and the least of each counts: what else the machine or its host does only adds. CPU is counted until the last decision is made, and between the moments at which the buffer is full and the generator ends ("once full": of a server that runs for days); the buffer holds the rate times the wait, and memory is the highest RSS less that of the idle
server. tail-cold is tail-whole with `compress: lz4` and COLD_WAIT_S, so that most of what waits is packed. tail-big (TAIL_BIG_TRACES, 1000000, of ten spans each in 8 GiB), tail-journal, tail-restore and tail-dynamic run only when they are named.
"""
import os
import pathlib
import re
import shutil
import threading
import time
import urllib.request

WAIT_S, COLD_WAIT_S = 5, 30  # decision_wait
RATE, RUN_S = (float(os.environ.get(k, v)) for k, v in (("TAIL_RATE", "50000"), ("TAIL_SECONDS", "20")))
RUNS = int(os.environ.get("TAIL_RUNS", "3"))
BIG_TRACES, BUDGET = int(os.environ.get("TAIL_BIG_TRACES", "1000000")), 8 << 30
SPANS_A_TRACE, SPANS_A_REQUEST = 10, 100
SHAPES = {"tail-whole": ["--fresh-ids"], "tail-interleaved": ["--interleave", "10000"]}
GIANT_SPANS = 100000
ROWS, BY_NAME = (*SHAPES, "tail-cold", "tail-giant"), ("tail-big", "tail-journal", "tail-restore", "tail-dynamic")
RESTORE_SPANS = int(os.environ.get("TAIL_RESTORE_SPANS", "1500000"))  # 30 s at 50,000 a second
SELF = 24888
WAITING = re.compile(r"^otelcol_processor_tail_sampling_sampling_traces_on_memory(?:_total)?(?:\{.*\})? (\S+)$", re.M)


class Peer:
    """A server with the sink behind it, warm; a context manager."""

    def __init__(self, bench, peer, rig="tail", wait_s=WAIT_S):
        self.bench, self.peer, self.wait_s = bench, peer, wait_s
        self.sink = bench.start_sink(rig)
        shutil.rmtree(bench.durable.STORAGE, ignore_errors=True)
        env = {**bench.environment(), "DECISION_WAIT": f"{wait_s}s", "BUDGET_BYTES": str(BUDGET), "STORAGE": str(bench.durable.STORAGE), "SELF_PORT": str(SELF)}
        self.server = bench.Server(bench.SERVER_CORE, bench.peer_argv(peer, rig), bench.GRPC, env, peer)

    def load(self, *how):
        return self.bench.load(self.bench.GRPC, "traces100", "grpc", [], *how)

    def settle(self):
        """Until all is decided and gone."""
        time.sleep(self.wait_s + 2)
        self.server.idle()

    def rss_kib(self, key="VmRSS"):
        return self.bench.status_kib(self.server.pid, key)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.stop()
        self.sink.stop()
        shutil.rmtree(self.bench.durable.STORAGE, ignore_errors=True)


class Steady:
    """CPU seconds a second of a process between two moments from now on."""

    def __init__(self, bench, pid, begin_s, end_s):
        self.seen, t0 = [], time.monotonic()
        self.thread = threading.Thread(target=self.watch, args=(bench, pid, [t0 + s for s in (begin_s, end_s)] if end_s > begin_s + 1 else []))
        self.thread.start()

    def watch(self, bench, pid, moments):
        for at in moments:
            time.sleep(max(0, at - time.monotonic()))
            self.seen.append((time.monotonic(), bench.cpu_s(pid)))

    def cpu_a_second(self):
        self.thread.join()
        return (self.seen[1][1] - self.seen[0][1]) / (self.seen[1][0] - self.seen[0][0]) if self.seen else float("nan")


def measure(bench, peer, shape, rig="tail", wait_s=WAIT_S, run_s=RUN_S):
    with Peer(bench, peer, rig, wait_s) as p:
        time.sleep(0.3)
        idle = p.rss_kib()
        p.load("--seconds", "1", "--rate", str(RATE / SPANS_A_REQUEST / 4), *shape)
        p.settle()
        c0, sunk = bench.cpu_s(p.server.pid), bench.sink_stats()
        steady = Steady(bench, p.server.pid, wait_s + 1, run_s - 0.5)
        r = p.load("--seconds", str(run_s), "--rate", str(RATE / SPANS_A_REQUEST), *shape)
        p.settle()
        spans = r["ok"] * SPANS_A_REQUEST
        r["cpu"] = (bench.cpu_s(p.server.pid) - c0) / spans * 1e6
        r["rate"] = spans / r["wall_s"]
        r["steady"] = steady.cpu_a_second() / r["rate"] * 1e6
        r["waiting"] = r["rate"] * wait_s
        r["bytes_a_span"] = (p.rss_kib("VmHWM") - idle) * 1024 / r["waiting"]
        now = bench.sink_stats()
        r["kept"] = (now["items"] - sunk["items"]) / spans
        r["requests"] = now["requests"] - sunk["requests"]
        return r


def tail_rows(bench, names):
    print("| row | peer | spans/s | CPU s / M spans | once full | RSS bytes a waiting span | p50 / p99 of the ack ms | kept | requests out | bad |\n|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for name in names:
        runs = {p: [] for p in bench.PEERS if p != "floor"}
        for peer in list(runs) * RUNS:
            r = measure(bench, peer, SHAPES[name])
            runs[peer].append(r)
            print(f"| {name} | {peer} | {r['rate']:.0f} | {r['cpu']:.2f} | {r['steady']:.2f} | {r['bytes_a_span']:.0f} | {r['p50_us'] / 1000:.1f} / {r['p99_us'] / 1000:.1f} | {r['kept']:.1%} | "
                  f"{r['requests']} | {r['bad']} |", flush=True)
        sum_up(name, {p: {key: min(r[key] for r in rs) for key in ("cpu", "steady", "bytes_a_span")} for p, rs in runs.items()})
    if some_floor := min((floor(bench) for _ in range(RUNS if "floor" in bench.PEERS else 0)), default=None):
        print(f"floor: to read such requests at this rate, and to answer, costs {some_floor:.2f} CPU s / M spans on this machine (least of {RUNS})", flush=True)


def floor(bench):
    """CPU s a million spans of a server that does nothing else: what the rate costs, and the machine."""
    s = bench.Server(bench.SERVER_CORE, bench.peer_argv("floor", "tail"), bench.GRPC, bench.environment(), "tail-floor")
    try:
        c0 = bench.cpu_s(s.pid)
        r = bench.load(bench.GRPC, "traces100", "grpc", [], "--seconds", "5", "--rate", str(RATE / SPANS_A_REQUEST), "--fresh-ids")
        return (bench.cpu_s(s.pid) - c0) / (r["ok"] * SPANS_A_REQUEST) * 1e6
    finally:
        s.stop()


def sum_up(name, least):
    for peer, r in least.items():
        print(f"{name}: {peer}: least of {RUNS}: {r['cpu']:.2f} CPU s / M spans, once the buffer is full {r['steady']:.2f}, {r['bytes_a_span']:.0f} bytes of RSS a waiting span", flush=True)
    if "staunch" in least and "otelcol" in least:
        s, c = least["staunch"], least["otelcol"]
        print(f"{name}: CPU {c['cpu'] / s['cpu']:.1f} times less, once the buffer is full {c['steady'] / s['steady']:.1f} times (pass 10, aim 15), memory {c['bytes_a_span'] / s['bytes_a_span']:.1f} times less (pass 6); "
              "Staunch alone: pass 1.0 CPU s, aim 0.75; pass 800 bytes, aim 700", flush=True)


def tail_cold(bench):
    r = measure(bench, "staunch", SHAPES["tail-whole"], "tail_cold", COLD_WAIT_S, COLD_WAIT_S + 5)
    print(f"tail-cold: compress: lz4, decision_wait {COLD_WAIT_S} s: {r['rate']:.0f} spans/s, {r['bytes_a_span']:.0f} bytes of RSS a waiting span (pass 300, aim 150), "
          f"{r['cpu']:.2f} CPU s / M spans, p50 / p99 of the ack {r['p50_us'] / 1000:.1f} / {r['p99_us'] / 1000:.1f} ms, kept {r['kept']:.1%}, bad {r['bad']}", flush=True)


def tail_giant(bench):
    """p99 of the ack while one trace of GIANT_SPANS comes among normal ones and is decided, and without it."""
    for peer in [p for p in bench.PEERS if p != "floor"]:
        p99 = {}
        for name, giant in (("without", []), ("with", ["--giant", str(GIANT_SPANS)])):
            with Peer(bench, peer) as p:
                p.load("--seconds", "1", "--rate", str(RATE / SPANS_A_REQUEST / 4), "--fresh-ids")
                r = p.load("--seconds", str(RUN_S), "--rate", str(RATE / SPANS_A_REQUEST), "--fresh-ids", *giant)
                p99[name] = r["p99_us"] / 1000
                bad = r["bad"]
        print(f"tail-giant: {peer} p99 of the ack {p99['with']:.2f} ms with a trace of {GIANT_SPANS} spans, {p99['without']:.2f} without: "
              f"{p99['with'] / p99['without']:.1f} times (pass 3, aim 1.5), bad {bad}", flush=True)


def tail_big(bench):
    with Peer(bench, "staunch", "tail_big") as p:
        time.sleep(0.3)
        idle = p.rss_kib()
        r = p.load("--requests", str(BIG_TRACES * SPANS_A_TRACE // SPANS_A_REQUEST), "--fresh-ids")
        spans, used = r["ok"] * SPANS_A_REQUEST, (p.rss_kib("VmHWM") - idle) * 1024
        print(f"tail-big: {spans // SPANS_A_TRACE} open traces of {SPANS_A_TRACE} spans, {r['bytes'] / spans:.0f} bytes of payload a span: RSS {used / 2**30:.2f} GiB "
              f"({used / spans:.0f} bytes a span, {used / r['bytes']:.2f} times the payload) of {BUDGET / 2**30:.0f}; {spans / r['wall_s']:.0f} spans/s, "
              f"p99 of the ack {r['p99_us'] / 1000:.1f} ms, bad {r['bad']}", flush=True)


def waiting():
    """Traces that wait now."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{SELF}/metrics", timeout=20) as r:
            return sum(float(v) for v in WAITING.findall(r.read().decode()))
    except OSError:
        return 0


def busiest(pid):
    """(seconds on a core, seconds of waiting for one) of the thread that ran most."""
    stats = [p.read_text().split() for p in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return max((int(run) / 1e9, int(wait) / 1e9) for run, wait, _ in stats)


def restore(bench, cores):
    """Traces are waiting behind a journal, the gateway is killed, and starts again: from the start until all of them wait again, what comes next is new."""
    storage = bench.durable.STORAGE
    shutil.rmtree(storage, ignore_errors=True)
    env = {**bench.environment(), "STORAGE": str(storage), "SELF_PORT": str(SELF), "BUDGET_BYTES": str(BUDGET), "DECISION_WAIT": "1h"}
    start = lambda log: bench.Server(cores, bench.peer_argv("staunch", "tail_journal"), bench.GRPC, env, log)  # noqa: E731
    s = start("tail-journal")
    try:
        r = bench.load(bench.GRPC, "traces100", "grpc", [], "--requests", str(RESTORE_SPANS // SPANS_A_REQUEST), "--fresh-ids", "--rate", str(RATE / SPANS_A_REQUEST))
        s.idle()
        before = waiting()
        s.p.kill()
        s.p.wait()
        t0 = time.monotonic()
        s = start("tail-restore")
        while waiting() < before:
            if time.monotonic() - t0 > 120:
                return {"failed": f"{waiting():.0f} of {before:.0f} traces wait again"}
            time.sleep(0.02)
        took, thread = time.monotonic() - t0, busiest(s.pid)
        return {"s": took, "thread": thread, "cpu": bench.cpu_s(s.pid), "traces": before, "spans": r["ok"] * SPANS_A_REQUEST, "bytes": r["bytes"],
                "rss": bench.status_kib(s.pid, "VmHWM") / 2**20, "bad": r["bad"]}
    finally:
        s.p.kill()
        s.p.wait()
        shutil.rmtree(storage, ignore_errors=True)


def tail_journal(bench):
    """What it costs that nothing is lost: from the door into a journal, out of its head into the sampler, kept spans through a queue on disk; against the rig of tail-whole."""
    cpu = {}
    for rig in ("tail", "tail_queued", "tail_journal"):
        r = measure(bench, "staunch", SHAPES["tail-whole"], rig)
        cpu[rig] = r["cpu"]
        print(f"tail-journal: rig {rig}: {r['rate']:.0f} spans/s, {r['cpu']:.2f} CPU s / M spans, p99 of the ack {r['p99_us'] / 1000:.1f} ms, kept {r['kept']:.1%}, bad {r['bad']}", flush=True)
    more = {rig: cpu["tail_journal"] / cpu[rig] * 100 - 100 for rig in ("tail", "tail_queued")}
    print(f"tail-journal: {more['tail']:.0f} % more CPU than from memory through memory, {more['tail_queued']:.0f} % more than from memory through a queue on disk (pass 40, aim 25)", flush=True)


def tail_restore(bench):
    for cores in dict.fromkeys((bench.SERVER_CORE, f"{bench.LOAD_CORE},{bench.SERVER_CORE}")):
        r = restore(bench, cores)
        if "failed" in r:
            print(f"tail-restore: FAILED: {r['failed']}", flush=True)
            continue
        print(f"tail-restore: {r['spans']} spans of {r['bytes'] / r['spans']:.0f} bytes in {r['traces']:.0f} open traces, after kill -9 with {len(cores.split(','))} core(s): "
              f"{r['s']:.2f} s from the start to the head of the journal (pass 3, aim 1), of which its busiest thread ran {r['thread'][0]:.2f} and waited for a core {r['thread'][1]:.2f}; {r['cpu']:.2f} CPU s, RSS {r['rss']:.2f} GiB, bad {r['bad']}", flush=True)


def tail_dynamic(bench):
    """dynamic_sampling (an error is kept, of the rest a share by service and route) beside tail_sampling, ours and the Collector's: the peer in kind, Refinery, is not here."""
    for peer, rig, what in (("staunch", "tail_dynamic", "Staunch's dynamic_sampling"), ("staunch", "tail", "Staunch's tail_sampling"), ("otelcol", "tail", "the Collector's tail_sampling")):
        if peer not in bench.PEERS:
            continue
        r = measure(bench, peer, SHAPES["tail-whole"], rig)
        print(f"tail-dynamic: {what}: {r['rate']:.0f} spans/s, {r['cpu']:.2f} CPU s / M spans, {r['bytes_a_span']:.0f} bytes of RSS a span of {WAIT_S} s, "
              f"p50 / p99 of the ack {r['p50_us'] / 1000:.1f} / {r['p99_us'] / 1000:.1f} ms, kept {r['kept']:.1%}, bad {r['bad']}", flush=True)


def rows(bench, names):
    some = [n for n in SHAPES if n in names]
    if some:
        tail_rows(bench, some)
    if "tail-cold" in names:
        tail_cold(bench)
    if "tail-giant" in names:
        tail_giant(bench)
    if "tail-big" in names:
        tail_big(bench)
    if "tail-journal" in names:
        tail_journal(bench)
    if "tail-restore" in names:
        tail_restore(bench)
    if "tail-dynamic" in names:
        tail_dynamic(bench)

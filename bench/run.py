#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure the rows of bench/README.md: CPU seconds per million records, peers side by side in one run.

The server under test runs on the last core, load generator, sinks and brokers on the first. CPU is utime + stime of all
threads of the server from the first request until it is idle again. Trust ratios of one run, not absolutes.
"""
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import time
import urllib.request

import durable
import tail

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("REAL_CACHE", pathlib.Path.home() / ".cache/staunch-real"))
SECONDS = float(os.environ.get("SECONDS_PER_ROW", "4"))
REPEATS = int(os.environ.get("REPEATS", "3"))
PEERS = os.environ.get("PEERS", "staunch otelcol floor").split()
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = str(CORES[-1]), str(CORES[0])
GRPC, HTTP, SINK = 24317, 24318, 24400
TICK = os.sysconf("SC_CLK_TCK")
SERVICE = "/opentelemetry.proto.collector.{0}.v1.{1}Service/Export"
PATHS = {
    ("grpc", "traces"): SERVICE.format("trace", "Trace"),
    ("grpc", "logs"): SERVICE.format("logs", "Logs"),
    ("grpc", "metrics"): SERVICE.format("metrics", "Metrics"),
    ("h1", "traces"): "/v1/traces", ("h1", "logs"): "/v1/logs", ("h1", "metrics"): "/v1/metrics",
}
PAYLOADS = {"traces100": ("traces", 100), "logs500": ("logs", 500), "metrics1000": ("metrics", 1000), "deltas1000": ("metrics", 1000), "traces1": ("traces", 1)}

# name: (rig, payload, protocol, extra arguments of load, pass ratio, stretch); a mark that is a text stands for itself
ROWS = {
    "discard-spans-grpc": ("discard", "traces100", "grpc", [], 5.5, 8),
    "discard-spans-http": ("discard", "traces100", "h1", [], 6.5, 8),
    "discard-logs-grpc": ("discard", "logs500", "grpc", [], 4.5, 7),
    "discard-logs-http": ("discard", "logs500", "h1", [], 4.5, 7),
    "discard-points-grpc": ("discard", "metrics1000", "grpc", [], 7, 10),
    "discard-points-http": ("discard", "metrics1000", "h1", [], 7, 10),
    "deltas-points": ("deltas", "metrics1000", "h1", [], 8, 12),
    "totals-points": ("totals", "deltas1000", "h1", ["--advance"], 8, 12),
    "interval-points": ("interval", "metrics1000", "h1", ["--advance"], 8, 12),
    "gzip-spans": ("discard", "traces100", "grpc", ["--gzip"], 5, 7),
    "gzip-logs": ("discard", "logs500", "grpc", ["--gzip"], 5, 7),
    "gzip-points": ("discard", "metrics1000", "grpc", ["--gzip"], 6, 7),
    "tls-spans-grpc": ("discard_tls", "traces100", "grpc", ["--tls"], 3, 4),
    "one-span-grpc": ("discard", "traces1", "grpc", ["--streams", "16"], 6, 9),
    "one-span-http": ("discard", "traces1", "h1", [], 4, 5),
    "forward-spans": ("forward", "traces100", "h1", [], 5, 8),
    "forward-logs": ("forward", "logs500", "h1", [], 4, 6),
    "kafka-spans": ("kafka", "traces100", "h1", [], 5, 7),
    "kafka-logs": ("kafka", "logs500", "h1", [], 4, 5),
    "kafka-lz4-spans": ("kafka_lz4", "traces100", "h1", [], 5, 7),
    "kafka-lz4-logs": ("kafka_lz4", "logs500", "h1", [], 4, 5),
    "rw1-points": ("rw1", "metrics1000", "h1", [], 7, 12),
    "rw2-points": ("rw2", "metrics1000", "h1", [], "as rw1", "as rw1"),
    "bulk-logs-gzip": ("bulk_gzip", "logs500", "h1", [], "≤ 1.2", "0.9"),
    "bulk-logs": ("bulk", "logs500", "h1", [], "≤ 0.8", "0.6"),
}
# What stands behind a rig: floor for OTLP, sink for the rest.
SINKS = {"forward": "floor", "queued": "floor", "durable": "floor", "attributes": "floor", "rw1": "sink", "rw2": "sink", "rw_stopped": "sink", "bulk": "sink", "bulk_gzip": "sink", "tail": "sink", "tail_cold": "sink", "tail_dynamic": "sink", "tail_big": "sink", "tail_queued": "sink", "tail_journal": "sink"}
STOPPED = "rw-stopped-sink"
STOPPED_QUEUE = 256  # requests, as rigs/rw_stopped.yaml says
GATES = {"rw2": ["--feature-gates=exporter.prometheusremotewritexporter.enableSendingRW2"]}


def cpu_s(pid):
    """utime + stime of the whole process."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def status_kib(pid, key):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    return 0


def port_open(port):
    import socket
    with socket.socket() as s:
        s.settimeout(0.2)
        return s.connect_ex(("127.0.0.1", port)) == 0


class Server:
    """A process on a core, up when its port answers."""

    def __init__(self, core, argv, port, env=None, log=None):
        self.log = open(HERE / "results" / f"{log or pathlib.Path(argv[0]).name}.log", "w")
        t0 = time.monotonic()
        self.p = subprocess.Popen(["taskset", "-c", core, *argv], env={**os.environ, **(env or {})}, stdout=self.log,
                                  stderr=self.log)
        while not port_open(port):
            if self.p.poll() is not None or time.monotonic() - t0 > 30:
                sys.exit(f"{argv[0]} did not start: see {self.log.name}")
            time.sleep(0.002)
        self.start_ms = (time.monotonic() - t0) * 1000
        self.pid = self.p.pid

    def idle(self):
        """Wait until it uses no CPU any more; what it still does belongs to the row."""
        quiet, last = 0, cpu_s(self.pid)
        for _ in range(60):
            time.sleep(0.25)
            now = cpu_s(self.pid)
            quiet = quiet + 1 if now - last <= 1 / TICK else 0
            last = now
            if quiet >= 3:
                return

    def stop(self):
        self.p.send_signal(signal.SIGTERM)
        try:
            self.p.wait(20)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()


def peer_argv(peer, rig):
    if peer == "floor":
        return [str(HERE / "build/floor"), str(GRPC)]
    binary = HERE.parent / "build/staunch" if peer == "staunch" else CACHE / "bin/real-otelcol"
    gates = GATES.get(rig, []) if peer == "otelcol" else []
    return [str(binary), *gates, f"--config={HERE}/rigs/common.yaml", f"--config={HERE}/rigs/{rig}.yaml"]


def peers_of(rig):
    """The floor receives and no more; our build of the Collector has no elasticsearch exporter."""
    without = {"floor"} if rig != "discard" else set()
    return [p for p in PEERS if p not in without | ({"otelcol"} if rig.startswith("bulk") else set())]


def load(port, payload, proto, extra, *how):
    signal_name, _ = PAYLOADS[payload]
    argv = ["taskset", "-c", LOAD_CORE, str(HERE / "build/load"), "--proto", proto, "--port", str(port), "--payloads",
            str(HERE / "payloads" / payload), "--path", PATHS[proto, signal_name], *extra, *how]
    r = subprocess.run(argv, capture_output=True, text=True)
    if not r.stdout:
        sys.exit(f"load failed: {r.stderr}")
    return json.loads(r.stdout)


def certificate():
    crt, key = HERE / "results/cert.pem", HERE / "results/key.pem"
    if not crt.exists():
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                        key, "-out", crt, "-days", "3650", "-subj", "/CN=localhost"], check=True, capture_output=True)
    return {"CERT": str(crt), "KEY": str(key)}


def sink_stats():
    with urllib.request.urlopen(f"http://127.0.0.1:{SINK}/stats") as r:
        return json.load(r)


def start_sink(rig):
    return Server(LOAD_CORE, [str(HERE / "build" / SINKS[rig]), str(SINK)], SINK, log="sink") if rig in SINKS else None


def environment():
    return {"GRPC_PORT": str(GRPC), "HTTP_PORT": str(HTTP), "SINK_PORT": str(SINK), **certificate(),
            "KAFKA": os.environ.get("KAFKA", "127.0.0.1:27092")}


def measure(peer, row, half_load=False):
    rig, payload, proto, extra, _, _ = ROWS[row]
    env = environment()
    sink = start_sink(rig)
    port = GRPC if proto == "grpc" or peer == "floor" else HTTP
    server = None
    try:
        server = Server(SERVER_CORE, peer_argv(peer, rig), port, env, peer)
        time.sleep(0.3)
        idle_kib = status_kib(server.pid, "VmRSS")
        warm = load(port, payload, proto, extra, "--seconds", "1")
        server.idle()
        best = None
        for _ in range(REPEATS):
            c0, sunk = cpu_s(server.pid), sink_stats() if sink else {}
            r = load(port, payload, proto, extra, "--seconds", str(SECONDS))
            server.idle()
            r["records"] = r["ok"] * PAYLOADS[payload][1]
            r["cpu_s_per_million"] = (cpu_s(server.pid) - c0) / r["records"] * 1e6 if r["records"] else float("inf")
            if sink and r["records"]:
                r["sink"] = {k: v - sunk[k] for k, v in sink_stats().items()}
            if best is None or r["cpu_s_per_million"] < best["cpu_s_per_million"]:
                best = r
        best["rss_mib"] = status_kib(server.pid, "VmHWM") / 1024
        best["idle_mib"] = idle_kib / 1024
        best["start_ms"] = server.start_ms
        if half_load:
            rate = warm["ok"] / warm["wall_s"] / 2
            best["p99_half_us"] = load(port, payload, proto, extra, "--seconds", str(SECONDS), "--rate", str(rate))["p99_us"]
        return best
    finally:
        if server:
            server.stop()
        if sink:
            sink.stop()


def stopped(peer):
    """Highest RSS with a sink that never answers, and what idled before, in MiB."""
    sink = start_sink("rw_stopped")
    server = Server(SERVER_CORE, peer_argv(peer, "rw_stopped"), GRPC, environment(), peer)
    try:
        time.sleep(0.3)
        idle = status_kib(server.pid, "VmRSS") / 1024
        r = load(GRPC, "metrics1000", "grpc", [], "--seconds", str(max(SECONDS, 10)))  # HTTP/1.1 closes with each refusal
        return {"idle_mib": idle, "rss_mib": status_kib(server.pid, "VmHWM") / 1024, "taken": r["ok"], "refused": r["bad"],
                "bytes": r["bytes"] / max(1, r["ok"] + r["bad"])}
    finally:
        server.p.kill()  # what it still has nobody takes
        server.p.wait()
        sink.stop()


def print_stopped():
    for peer in peers_of("rw_stopped"):
        r = stopped(peer)
        print(f"{STOPPED}: {peer} RSS {r['rss_mib']:.0f} MiB, idle {r['idle_mib']:.0f}, {r['taken']} requests taken, {r['refused']} refused; "
              f"a queue of {STOPPED_QUEUE} requests holds {STOPPED_QUEUE * r['bytes'] / 2**20:.0f} MiB")


def print_sunk(results):
    """What a record weighs on the wire, before compression in brackets."""
    for name, peers in results.items():
        for peer, r in peers.items():
            if r.get("sink", {}).get("raw_bytes"):
                sunk = r["sink"]
                print(f"{name}: {peer} sent {sunk['requests']} requests, {sunk['bytes'] / r['records']:.1f} bytes a record "
                      f"({sunk['raw_bytes'] / r['records']:.1f})")


def kafka(action):
    subprocess.run([HERE.parent / "tests/real/parts/kafka.sh", action], check=True, stdout=subprocess.DEVNULL)


def main():
    names = [a for a in sys.argv[1:] if not a.startswith("--")] or [*ROWS, STOPPED, *durable.ROWS, *tail.ROWS]
    if "--list" in sys.argv:
        print(*ROWS, STOPPED, *durable.ROWS, *tail.ROWS, *tail.BY_NAME, sep="\n")
        return
    rows = [n for n in names if n in ROWS]
    if any(n.startswith("kafka") for n in names):
        kafka("start")
    durable.rows(sys.modules[__name__], names)
    tail.rows(sys.modules[__name__], names)
    if not rows and STOPPED not in names:
        return
    out = ["| row | Staunch | Collector | ratio | pass | floor | × floor | RSS MiB | bad |", "|---|---|---|---|---|---|---|---|---|"]
    print(*out, sep="\n", flush=True)
    results = {}
    for name in rows:
        r = {}
        for peer in peers_of(ROWS[name][0]):
            r[peer] = measure(peer, name, half_load=name == "discard-spans-grpc")
        results[name] = r
        s, c, f = (r.get(p, {}).get("cpu_s_per_million") for p in ("staunch", "otelcol", "floor"))
        cell = lambda v, form="{:.3f}": form.format(v) if v else "-"
        line = (f"| {name} | {cell(s)} | {cell(c)} | {cell(c / s if c and s else None, '{:.1f}')} | {ROWS[name][4]} / {ROWS[name][5]} | "
                f"{cell(f)} | {cell(s / f if s and f else None, '{:.1f}')} | "
                f"{cell(r.get('staunch', {}).get('rss_mib'), '{:.0f}')} | {sum(x['bad'] for x in r.values())} |")
        out.append(line)
        print(line, flush=True)
    (HERE / "results/table.md").write_text("\n".join(out) + "\n")
    (HERE / "results/raw.json").write_text(json.dumps(results, indent=1))
    print_sunk(results)
    if STOPPED in names:
        print_stopped()
    first = results.get("discard-spans-grpc", {})
    for peer, r in first.items():
        print(f"{peer}: idle RSS {r['idle_mib']:.1f} MiB, start to listening {r['start_ms']:.0f} ms, "
              f"p99 at half load {r['p99_half_us']} us")
    if any(n.startswith("kafka") for n in names):
        kafka("stop")


if __name__ == "__main__":
    main()

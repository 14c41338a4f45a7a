# SPDX-License-Identifier: Apache-2.0
"""The rows of durable queues: what the log costs, how fast a synced one is, and what a large backlog needs. Started by run.py.

STORAGE (bench/results/storage) is the folder of the logs: it should lie on the disk that is to be measured. BACKLOG_GIB (5) and
RESTART_GIB (10) are the sizes of the last two rows.
"""
import os
import pathlib
import shutil
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
STORAGE = pathlib.Path(os.environ.get("STORAGE", HERE / "results/storage"))
GIB = 1 << 30
BACKLOG_BYTES, RESTART_BYTES = (int(float(os.environ.get(k, v)) * GIB) for k, v in (("BACKLOG_GIB", "5"), ("RESTART_GIB", "10")))
# (protocol, requests a second, more of load's arguments): far from what either peer can do, so that the page cache is never made to
# wait for the disk; small requests many at once, as otherwise each of them wakes two threads.
LOADS = {"logs500": ("h1", 200, []), "traces100": ("h1", 800, []), "traces1": ("grpc", 20000, ["--streams", "16"])}
NS_A_BYTE, US_A_REQUEST = 0.35, 1.0  # the mark
ROWS = ("durable-cost", "durable-fsync", "durable-backlog")


def cpu_ns(pid):
    """Of all threads that live, to the ns."""
    total = 0
    for t in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((t / "schedstat").read_text().split()[0])
    return total


class Storage:
    """An empty folder, gone at the end."""

    def __enter__(self):
        shutil.rmtree(STORAGE, ignore_errors=True)
        return self

    def __exit__(self, *_):
        shutil.rmtree(STORAGE, ignore_errors=True)


def server(bench, peer, rig, fsync=False):
    env = {**bench.environment(), "STORAGE": str(STORAGE), "FSYNC": str(fsync).lower()}
    return bench.Server(bench.SERVER_CORE, bench.peer_argv(peer, rig), bench.HTTP, env, peer)


def cost(bench, peer, rig, payload):
    """(CPU in us, bytes) of one request."""
    proto, rate, extra = LOADS[payload]
    load = lambda seconds: bench.load(bench.HTTP if proto == "h1" else bench.GRPC, payload, proto, extra, "--seconds", str(seconds), "--rate", str(rate))  # noqa: E731
    sink = bench.start_sink("forward")
    with Storage():
        s = server(bench, peer, rig)
        try:
            load(1)
            s.idle()
            best = None
            for _ in range(bench.REPEATS):
                c0 = cpu_ns(s.pid)
                r = load(bench.SECONDS)
                s.idle()
                us = (cpu_ns(s.pid) - c0) / 1000 / max(1, r["ok"])
                best = min(best or us, us)
            return best, r["bytes"] / max(1, r["ok"] + r["bad"])
        finally:
            s.stop()
            sink.stop()


def kernel_us(n_bytes, seconds):
    """CPU of the kernel alone for a request: pwritev into a file made in advance, fdatasync ten times a second."""
    size, n, spent, synced = 64 << 20, 0, 0, time.monotonic()
    block = [os.urandom(max(1 << 16, int(n_bytes)))]  # a group of small ones is one write
    with Storage():
        STORAGE.mkdir(parents=True)
        fd = os.open(STORAGE / "control", os.O_WRONLY | os.O_CREAT)
        os.posix_fallocate(fd, 0, size)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            t = time.thread_time_ns()
            os.pwritev(fd, block, n * len(block[0]) % (size - len(block[0])))
            if time.monotonic() - synced > 0.1:
                os.fdatasync(fd)
                synced = time.monotonic()
            spent += time.thread_time_ns() - t
            n += 1
            time.sleep(0.004)
        os.close(fd)
    return spent / 1000 / n * n_bytes / len(block[0])


def durable_cost(bench):
    print("| durable-cost | in memory µs | durable µs | log µs | mark µs | kernel alone µs | Collector, file_storage µs | ratio (mark 5) |\n|---|---|---|---|---|---|---|---|", flush=True)
    for payload in LOADS:
        memory, n = cost(bench, "staunch", "queued", payload)
        durable, _ = cost(bench, "staunch", "durable", payload)
        other = cost(bench, "otelcol", "durable", payload)[0] if "otelcol" in bench.PEERS else None
        print(f"| {payload}, {n / 1000:.1f} KB | {memory:.1f} | {durable:.1f} | {durable - memory:.1f} | {NS_A_BYTE * n / 1000 + US_A_REQUEST:.1f} | "
              f"{kernel_us(n, bench.SECONDS):.1f} | "
              + (f"{other:.1f} | {other / durable:.1f} |" if other else "- | - |"), flush=True)


def control(seconds):
    """writev and fdatasync of 4 MiB blocks in a file made in advance: (bytes a second, p99 of fdatasync in us)."""
    block, size = [os.urandom(1 << 20)] * 4, 256 << 20
    STORAGE.mkdir(parents=True, exist_ok=True)
    path, times, n = STORAGE / "control", [], 0
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        os.posix_fallocate(fd, 0, size)
        os.fsync(fd)
        t0 = time.monotonic()
        while time.monotonic() - t0 < seconds:
            if n % size == 0:
                os.lseek(fd, 0, os.SEEK_SET)
            n += os.writev(fd, block)
            t = time.monotonic()
            os.fdatasync(fd)
            times.append(time.monotonic() - t)
        rate = n / (time.monotonic() - t0)
    finally:
        os.close(fd)
        path.unlink()
    return rate, sorted(times)[len(times) * 99 // 100] * 1e6


def durable_fsync(bench):
    sink = bench.start_sink("forward")
    with Storage():
        before, p99_before = control(bench.SECONDS)
        s = server(bench, "staunch", "durable", fsync=True)
        try:
            load = lambda *how: bench.load(bench.GRPC, "logs500", "grpc", ["--streams", "8"], "--seconds", str(bench.SECONDS), *how)  # noqa: E731
            load()
            full = load()
            rate = full["bytes"] / full["wall_s"]
            half = load("--rate", str(full["ok"] / full["wall_s"] / 2))
        finally:
            s.stop()
            sink.stop()
        after, p99_after = control(bench.SECONDS)
    mean, p99 = (before + after) / 2, max(p99_before, p99_after)
    print(f"durable-fsync: {rate / 1e6:.0f} MB/s, {rate / mean:.0%} of the control's {before / 1e6:.0f} and {after / 1e6:.0f} (mark 60 %); at half load "
          f"p99 ack {half['p99_us'] / 1000:.1f} ms, {half['p99_us'] / p99:.1f} × the control's fdatasync p99 of {p99 / 1000:.1f} ms (mark 4); "
          f"bad {full['bad'] + half['bad']}", flush=True)


def fill(bench, s, until):
    """Requests until the storage has so many bytes."""
    while (have := sum(f.stat().st_blocks * 512 for f in STORAGE.rglob("*") if f.is_file())) < until:
        if s.p.poll() is not None:
            sys.exit("the server ended while its storage was filled")
        r = bench.load(bench.HTTP, "logs500", "h1", [], "--requests", str(max(100, min(4000, (until - have) // 250000))))
        if r["ok"] == 0:
            sys.exit(f"the server takes nothing at a backlog of {have / GIB:.1f} GiB: {r['first_bad']}")


def durable_backlog(bench):
    """No sink at all: RSS with a backlog, and the time until a killed server takes the first request with a larger one."""
    with Storage():
        s = server(bench, "staunch", "durable")
        time.sleep(0.3)
        idle = bench.status_kib(s.pid, "VmRSS") / 1024
        try:
            fill(bench, s, BACKLOG_BYTES)
            rss, peak = (bench.status_kib(s.pid, k) / 1024 for k in ("VmRSS", "VmHWM"))
            print(f"durable-backlog: RSS {rss:.0f} MiB, {peak:.0f} at most, with {BACKLOG_BYTES / GIB:.1f} GiB waiting; idle {idle:.0f} "
                  "(mark: the queue's max_memory_bytes + 64 MiB)", flush=True)
            fill(bench, s, RESTART_BYTES)
            s.p.kill()
            s.p.wait()
            os.sync()
            t0 = time.monotonic()
            s = server(bench, "staunch", "durable")
            bench.load(bench.HTTP, "traces1", "h1", [], "--requests", "1", "--conns", "1")
            ms = (time.monotonic() - t0) * 1000
            print(f"durable-restart: {ms:.0f} ms from a start with {RESTART_BYTES / GIB:.1f} GiB to the first accepted request (mark 2000), RSS "
                  f"{bench.status_kib(s.pid, 'VmHWM') / 1024:.0f} MiB", flush=True)
        finally:
            s.p.kill()
            s.p.wait()


def rows(bench, names):
    for name, what in zip(ROWS, (durable_cost, durable_fsync, durable_backlog)):
        if name in names:
            what(bench)

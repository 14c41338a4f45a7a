# SPDX-License-Identifier: Apache-2.0
"""Pipelines behind a journal come and go by SIGHUP under load, with sinks that fail and hesitate: every record that was accepted reaches
both, whichever of them was there when. Then one is taken out while its sink is away, and released in the running gateway.
RELOADS: how many, 24.
"""
import json
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import faultcheck  # noqa: E402
from gateway import *  # noqa: E402,F403
from sinks.fault import FaultSink, Sender  # noqa: E402

RELOADS = int(os.environ.get("RELOADS", "24"))
SETS = ("ab", "a", "ab", "b", "", "ab", "b", "a")


def config(folder, sink, behind, timeout=4):
    one = lambda name, queue: {"endpoint": sink.url(name), "timeout": f"{timeout}s", "tls": {"insecure": True}, "sending_queue": queue,  # noqa: E731
                               "retry_on_failure": {"initial_interval": "100ms", "max_interval": "300ms"}}
    return json.dumps({
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"127.0.0.1:{GRPC}"}}}},
        "exporters": {"otlp_http/a": one("a", {"queue_size": 10000}), "otlp_http/b": one("b", {"queue_size": 10000, "wait_for_result": True})},
        "extensions": {"file_storage": {"directory": str(folder / "storage"), "create_directory": True}},
        "connectors": {"journal/j": {"storage": "file_storage", "partition_by": "trace_id", "head_bytes": 200000, "in_order": True}},
        "service": {
            "extensions": ["file_storage"], "runtime": {"workers": 2},
            "telemetry": {"metrics": {"readers": [{"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": METRICS}}}}]}},
            "pipelines": {"logs/in": {"receivers": ["otlp"], "exporters": ["journal/j"]},
                          **{f"logs/{x}": {"receivers": ["journal/j"], "exporters": [f"otlp_http/{x}"]} for x in behind}}}})


def take(gw, text):
    before = metric("staunch_reload", outcome="success")
    gw.config.write_text(text)
    gw.p.send_signal(signal.SIGHUP)
    wait_for(lambda: f"a reload: {gw.text()[-1500:]}", 10, lambda: metric("staunch_reload", outcome="success") > before)


def settled():
    return metric("staunch_reload_leaving") == 0


def release(folder):
    return subprocess.run([STAUNCH, "queue", "release", "journal/j", "logs/b", "--directory", str(folder / "storage")], capture_output=True, text=True)


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="journal-reload-"))
    with FaultSink(folder, names=("a", "b")) as sink, Gateway(config(folder, sink, "ab"), ports=(GRPC, METRICS)) as gw:
        sink.script("a", "mix 200 delay_ms=20", "mix 50 status=503")
        sink.script("b", "mix 200 delay_ms=30", "mix 50 status=503")
        sender = Sender(folder / "sent", GRPC, proto="grpc", signal="logs", conns=4, streams=4, rate=300, rows=10, timeout=20)
        for n in range(RELOADS):
            wait_for("few enough are leaving", 20, lambda: metric("staunch_reload_leaving") < 12)
            take(gw, config(folder, sink, SETS[(n + 1) % len(SETS)], timeout=4 + n % 2))
            time.sleep(0.3)
        take(gw, config(folder, sink, "ab", timeout=9))
        counts = sender.stop()
        for name in "ab":
            sink.script(name, "clear")
        lag = lambda: [metric("staunch_journal_lag_items", pipeline=f"logs/{x}") for x in "ab"]  # noqa: E731
        wait_for(lambda: f"all is read: {lag()} {gw.text()[-1500:]}", 30, lambda: lag() == [0, 0])
        wait_for("nothing is leaving", 20, settled)

        done = release(folder)
        equal(done.returncode, 75, f"who reads is not released: {done.stdout}{done.stderr}")
        sink.script("b", "mix 1000 status=503 retry_after=1")
        Sender(folder / "more", GRPC, proto="grpc", signal="logs", rate=100, seconds=1, first=1 << 40, rows=10).wait()
        take(gw, config(folder, sink, "a", timeout=9))
        wait_for(lambda: f"what b had goes back: {gw.text()[-1500:]}", 20, settled)
        done = release(folder)
        equal(done.returncode, 0, f"{done.stdout}{done.stderr}")
        check("released logs/b: " in done.stdout and " 0 rows" not in done.stdout, done.stdout)
        gw.stop()
    check(counts["accepted"] > RELOADS * 300, f"it was a load ({counts})")
    for name in "ab":
        v = faultcheck.judge(faultcheck.Sent([folder / "sent"]), faultcheck.Journal(folder / "journal", name))
        equal([len(v.lost), len(v.broken)], [0, 0], f"{name}: lost, changed ({v}): {folder}")
        print(f"  {name}: {v}")
    print(f"{RELOADS} reloads under load: {counts['accepted']} records at both; one pipeline with {done.stdout.strip()}")
    shutil.rmtree(folder)


main()

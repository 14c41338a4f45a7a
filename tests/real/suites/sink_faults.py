# SPDX-License-Identifier: Apache-2.0
"""Sinks of every protocol that go wrong in every way that the fault sink knows, and connections that end after each byte of a request
and of an answer. All is delivered that can be, once unless the answer was lost, what cannot is a dead letter, and no answer, be it a GiB,
takes memory.
"""
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
import faultcheck  # noqa: E402
from sinks.fault import FaultSink, Sender  # noqa: E402

REQUESTS, ROWS, TIMES = 12, 10, 2  # of each signal; how often a sink goes wrong before it is well
RSS_MIB = 256  # of the whole gateway: 92 exporters, 64 MiB of an answer, and grpc's
ANY = {  # name: (fault, what becomes of the records: sent; or none, of a sink that never says anything else; or None, either)
    "stall": ("stall", "sent"),
    "stall_applied": ("stall apply=1", "sent"),
    "late": ("delay_ms=1500", "sent"),
    "slow_read": ("slow_read=3000", "sent"),
    "applied_and_gone": ("cut_out=0", "sent"),
    "applied_and_reset": ("cut_out=0 how=rst", "sent"),
    "half_closed": ("cut_in=200 how=half", "sent"),
    "reset": ("cut_in=200 how=rst", "sent"),
    "accepted_and_dropped": ("conn cut_in=0", "sent"),
    "http_503": ("status=503", "sent"),
    "http_429_wait": ("status=429 retry_after=1", "sent"),
}
HTTP_ONLY = {
    "one_byte": ("cut_out=1", "sent"),
    "first_line": ("apply=0 cut_out=20", "sent"),  # "200 OK", of what was not taken
    "redirect": ("status=307 location=http://127.0.0.1:1/", "none"),
    "http_400": ("status=400", "none"),
    "http_502": ("status=502", "sent"),
    "gib_of_503": ("status=503 body=garbage bytes=1073741824", "sent"),
}
FAULTS = {
    "http": {**ANY, **HTTP_ONLY, "half": ("body=half", "sent"), "garbage": ("body=garbage apply=1", None), "gib": ("body=garbage bytes=1073741824", None),
             "too_many_rejected": ("claim=100000", None), "fewer_than_none": ("claim=-5", None), "in_part": ("reject=4", None)},
    "grpc": {**ANY, "no_trailers": ("no_trailers", None), "garbage": ("body=garbage bytes=400", None), "gib": ("body=garbage bytes=1073741824", None),
             "too_many_rejected": ("claim=100000", None), "in_part": ("reject=4", None), "http_status": ("status=500", None),
             **{f"code_{n}": (f"grpc={n}", "sent" if n in (1, 4, 10, 11, 14, 15) else "none") for n in range(1, 17)},
             "unavailable_wait": ("grpc=14 retry_after=1", "sent"), "exhausted_wait": ("grpc=8 retry_after=0", "sent")},
    "bulk": {**ANY, **HTTP_ONLY, "half": ("body=half", "sent"), "garbage": ("body=garbage", "sent"), "empty": ("body=empty", "sent"),
             "gib": ("body=garbage bytes=1073741824", "sent"), "item_too_few": ("claim=-1", "sent"), "item_too_many": ("claim=1", "sent"),
             "items_429": ("reject=3 item=429", "sent"), "items_503": ("reject=3 item=503", "sent"), "items_400": ("reject=4", None)},
    "rw": {**ANY, **{k: v for k, v in HTTP_ONLY.items()}},
}


def exporter(kind, url, pause):
    common = {"timeout": "1s", "retry_on_failure": {"initial_interval": pause, "max_interval": pause, "max_elapsed_time": "0s"},
              "circuit_breaker": {"enabled": False}, "sending_queue": {"queue_size": 10000, "num_consumers": 2}}
    if kind == "rw":
        return {"endpoint": f"{url}/api/v1/write", **common, "remote_write_queue": {"queue_size": 10000, "num_consumers": 1}}
    if kind == "bulk":
        del common["retry_on_failure"]
        return {"endpoint": url, "document_id": "content", **common, "retry": {"initial_interval": pause, "max_interval": pause, "max_retries": 1000},
                "sending_queue": {"queue_size": 10000, "batch": {"flush_timeout": "20ms", "min_size": 1}}}
    return {"endpoint": url, "compression": "none", "tls": {"insecure": True}, **common}


TYPES = {"http": "otlp_http", "grpc": "otlp_grpc", "bulk": "elasticsearch", "rw": "prometheus_remote_write"}


def config(names, sink, pause="20ms"):
    named = {f"{TYPES[n.split('-')[0]]}/{n}": exporter(n.split("-")[0], sink.url(n), pause) for n in names}
    metrics = [e for e in named if e.startswith(TYPES["rw"])]
    return json.dumps({
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"127.0.0.1:{GRPC}"}, "http": {"endpoint": f"127.0.0.1:{HTTP}"}}}},
        "exporters": named,
        "service": {"telemetry": {"metrics": {"readers": [{"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": METRICS}}}}]}},
                    "pipelines": {"logs": {"receivers": ["otlp"], "exporters": [e for e in named if e not in metrics]},
                                  "metrics": {"receivers": ["otlp"], "exporters": metrics}}},
    })


def settled(n):
    rows = "metric_points" if n.startswith("rw") else "log_records"
    return tuple(int(metric(f"otelcol_exporter_{what}_{rows}", exporter=f"{TYPES[n.split('-')[0]]}/{n}")) for what in ("sent", "send_failed"))


def rss_mib(pid):
    return int(next(x for x in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmHWM")).split()[1]) / 1024


def send(folder):
    """The same number of records of both signals; what was accepted."""
    logs = {"logs": folder / "sent.logs", "metrics": folder / "sent.metrics"}
    for signal, log in logs.items():
        got = Sender(log, HTTP, signal=signal, rate=100, rows=ROWS, seconds=REQUESTS / 100, conns=1).wait()
        equal(got["accepted"], ROWS * got["requests"], f"{signal}: accepted")
    return {signal: faultcheck.Sent([log]) for signal, log in logs.items()}


def every_fault(folder):
    names = {f"{kind}-{n}": fault for kind, faults in FAULTS.items() for n, fault in faults.items()}
    with FaultSink(folder, names) as sink:
        for n, (fault, _) in names.items():
            sink.script(n, *([f"mix 1000 {fault}"] if names[n][1] == "none" else [f"next {fault}"] * TIMES))
        with Gateway(config(names, sink)) as gw:
            sent = send(folder)
            for n, (fault, end) in names.items():
                mine = sent["metrics" if n.startswith("rw") else "logs"].accepted
                wait_for(lambda: f"{n}: {settled(n)} of {len(mine)}", 60, lambda: sum(settled(n)) >= len(mine))
                equal(sum(settled(n)), len(mine), f"{n}: sent and failed")
                check(end != "sent" or settled(n)[1] == 0, f"{n}: {settled(n)} of {len(mine)} sent and failed")
                check(end != "none" or settled(n)[0] == 0, f"{n}: {settled(n)}: something was sent")
                equal(sink.stats(n)["script_left"], 0, f"{n}: faults that did not happen")
            ledger()
            rss = rss_mib(gw.p.pid)
            gw.stop()
        check(rss < RSS_MIB, f"RSS {rss:.0f} MiB")
        copies = 0
        for n, (fault, end) in names.items():
            v = faultcheck.judge(sent["metrics" if n.startswith("rw") else "logs"], faultcheck.Journal(sink.journal, n))
            equal(v.wrong(duplicates=not n.startswith("bulk")), "", f"{n} ({fault}): {v}")
            copies += sum(v.copies.values())
            check(end != "sent" or v.delivered == v.accepted, f"{n}: {v}")
    print(f"{len(names)} sinks, each with a fault of its own, {TIMES} times: all accounted for, {copies} second copies, RSS {rss:.0f} MiB at most", flush=True)


def every_byte(folder):
    """Connections that end after byte n of a request, and of an answer, for every n."""
    kinds = {"http": 700, "bulk": 700, "rw": 350}  # bytes of a request, about
    with FaultSink(folder, kinds) as sink:
        with Gateway(config(kinds, sink, "1ms")) as gw:
            for k in kinds:
                sink.script(k, *(f"next cut_in={n}" for n in range(kinds[k])))
                sink.script(k, *(f"next cut_out={n} how={('close', 'rst')[n % 2]}" for n in range(150)))
            sent = {}
            for signal in ("logs", "metrics"):
                log = folder / f"sent.{signal}"
                Sender(log, HTTP, signal=signal, rows=5, rate=150, seconds=1, conns=1).wait()  # a status of 200 is an answer, however it ends
                sent[signal] = faultcheck.Sent([log])
            for k in kinds:
                wait_for(lambda: f"{k}: {sink.stats(k)}", 80, lambda: sink.stats(k)["script_left"] == 0)
                mine = sent["metrics" if k == "rw" else "logs"].accepted
                wait_for(lambda: f"{k}: {settled(k)}", 20, lambda: sum(settled(k)) >= len(mine))
                equal(settled(k), (len(mine), 0), f"{k}: sent and failed")
            gw.stop()
        for k in kinds:
            v = faultcheck.judge(sent["metrics" if k == "rw" else "logs"], faultcheck.Journal(sink.journal, k))
            equal(v.wrong(duplicates=k != "bulk"), "", f"{k}: {v}")
            print(f"{k}: {sink.stats(k)['faults']} connections cut, {v}", flush=True)


def main():
    for part_of in [globals()[n] for n in sys.argv[1:]] or (every_fault, every_byte):
        folder, t0 = pathlib.Path(tempfile.mkdtemp(prefix="sink-faults-")), time.monotonic()
        part_of(folder)
        shutil.rmtree(folder)
        print(f"  {time.monotonic() - t0:.1f} s", flush=True)


main()

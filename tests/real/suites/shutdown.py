# SPDX-License-Identifier: Apache-2.0
"""SIGTERM with 1,000 requests under way, over gRPC, HTTP/1.1 and both, each waiting for a sink that takes its time: every one of them is
answered, none is refused or cut off, what was accepted is delivered, and the process ends with 0. Clients heed GOAWAY and `Connection:
close` and connect again. A second SIGTERM ends it at once.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import faultcheck  # noqa: E402
from gateway import *  # noqa: E402,F403
from sinks.fault import FaultSink, Sender  # noqa: E402

ROUNDS, IN_FLIGHT = 5, 1000


def config(sink):
    return f"""
receivers:
  otlp: {{ protocols: {{ grpc: {{ endpoint: "127.0.0.1:{GRPC}" }}, http: {{ endpoint: "127.0.0.1:{HTTP}" }} }} }}
exporters:
  otlp_http:
    endpoint: {sink.url()}
    tls: {{ insecure: true }}
    sending_queue: {{ queue_size: 100000, num_consumers: 64, wait_for_result: true }}
extensions: {{ health_check: {{ endpoint: "127.0.0.1:{HEALTH}" }} }}
service:
  extensions: [health_check]
  telemetry: {{ metrics: {{ readers: [ {{ pull: {{ exporter: {{ prometheus: {{ host: 127.0.0.1, port: {METRICS} }} }} }} }} ] }} }}
  pipelines: {{ logs: {{ receivers: [otlp], exporters: [otlp_http] }}, traces: {{ receivers: [otlp], exporters: [otlp_http] }} }}
"""


def health():
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{HEALTH}/", timeout=5).read()
        return 200
    except urllib.error.HTTPError as e:
        return e.code


def a_round(folder, n):
    """Over gRPC, HTTP/1.1, and half of each."""
    share = {"grpc": ((1000, 0), (0, 1000), (500, 500))[n % 3][0], "h1": ((1000, 0), (0, 1000), (500, 500))[n % 3][1]}
    with FaultSink(folder) as sink, Gateway(config(sink), ports=(GRPC, HTTP, HEALTH)) as gw:
        sink.script("sink", "mix 1000 delay_ms=400")
        senders = {}
        for proto, count in share.items():
            conns, streams = (count // 50, 50) if proto == "grpc" else (count, 1)
            if count:
                senders[proto] = Sender(folder / proto, GRPC if proto == "grpc" else HTTP, proto=proto, signal="logs" if proto == "grpc" else "traces",
                                        conns=conns, streams=streams, rows=2, timeout=60, first=1 if proto == "grpc" else 1 << 40)
        time.sleep(2.3 + 0.11 * n)
        began = time.monotonic()
        gw.p.send_signal(signal.SIGTERM)
        wait_for("readiness is off", 5, lambda: gw.p.poll() is not None or health() == 503)
        equal(gw.p.wait(35), 0, f"exit code ({gw.text()[-1000:]})")
        took = time.monotonic() - began
        counts = {p: s.stop() for p, s in senders.items()}
        check("undelivered" not in gw.text(), gw.text()[-1000:])
    for p, c in counts.items():
        equal((c["unknown"], c["refused"], c["in_part"]), (0, 0, 0), f"round {n}, {p}: {c}")
        check(c["requests"] > share[p], f"round {n}, {p}: so many were under way ({c})")
    v = faultcheck.judge(faultcheck.Sent([folder / p for p in senders]), faultcheck.Journal(folder / "journal", "sink"))
    equal(v.wrong(duplicates=False), "", f"round {n}: {v}")
    return v.accepted, took


def at_once(folder):
    with FaultSink(folder) as sink, Gateway(config(sink), ports=(GRPC, HTTP)) as gw:
        sink.script("sink", "mix 1000 stall")
        sender = Sender(folder / "sent", GRPC, proto="grpc", conns=2, streams=4, timeout=60)
        time.sleep(1)
        began = time.monotonic()
        gw.p.send_signal(signal.SIGTERM)
        time.sleep(1)
        check(gw.p.poll() is None, "it waits for the sink")
        gw.p.send_signal(signal.SIGTERM)
        equal(gw.p.wait(10), 0, "exit code")
        check(time.monotonic() - began < 8, "at once")
        sender.stop()


def main():
    accepted, took = 0, []
    for n in range(ROUNDS):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="shutdown-"))
        a, t = a_round(folder, n)
        accepted, took = accepted + a, [*took, t]
        shutil.rmtree(folder)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="shutdown-"))
    at_once(folder)
    shutil.rmtree(folder)
    print(f"{ROUNDS} times SIGTERM with {IN_FLIGHT} requests under way: {accepted} records accepted and delivered once, every request answered; "
          f"the way out takes at most {max(took):.1f} s")


main()

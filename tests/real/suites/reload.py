# SPDX-License-Identifier: Apache-2.0
"""Another configuration every second while requests come over gRPC and HTTP, from clients that heed GOAWAY and `Connection: close`:
nothing refused, nobody turned away, nothing lost; threads and descriptors as before. Then a wrong file, and the end of a pipeline that
has a backlog. RELOAD_SECONDS: how long, 30.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import faultcheck  # noqa: E402
from gateway import *  # noqa: E402,F403
from sinks.fault import FaultSink, Sender  # noqa: E402

SECONDS = int(os.environ.get("RELOAD_SECONDS", "30"))


def config(sink, n=0, pipelines="logs, traces"):
    """The n-th of seven: each differs from the one before in another part."""
    address = "0.0.0.0" if n == 5 else "127.0.0.1"
    processors = {3: "[attributes]", 4: "[batch]", 6: "[batch, attributes]"}.get(n, "[]")
    second = f", otlp_grpc/second: {{ endpoint: '127.0.0.1:{sink.port['second']}', tls: {{ insecure: true }} }}" if n in (4, 5) else ""
    to = "[otlp_http, otlp_grpc/second]" if second else "[otlp_http]"
    wanted = {p: f"{{ receivers: [otlp], processors: {processors}, exporters: {to} }}" for p in pipelines.split(", ")}
    return f"""
receivers:
  otlp:
    protocols:
      grpc: {{ endpoint: "{address}:{GRPC}", max_recv_msg_size_mib: {16 if n == 2 else 32} }}
      http: {{ endpoint: "{address}:{HTTP}" }}
processors: {{ attributes: {{ actions: [ {{ key: reloaded, value: "{n}", action: upsert }} ] }}, batch: {{ timeout: {n + 1}ms }} }}
exporters:
  otlp_http:
    endpoint: {sink.url()}
    timeout: {4 + (n in (1, 6))}s
    tls: {{ insecure: true }}
    sending_queue: {{ queue_size: 100000 }}
  {second[2:]}
extensions: {{ health_check: {{ endpoint: "127.0.0.1:{HEALTH}", path: "/{'h' if n == 6 else ''}" }} }}
service:
  extensions: [health_check]
  runtime: {{ workers: 2 }}
  telemetry: {{ metrics: {{ readers: [ {{ pull: {{ exporter: {{ prometheus: {{ host: 127.0.0.1, port: {METRICS} }} }} }} }} ] }} }}
  pipelines: {json.dumps(wanted).replace('"', '')}
"""


def metric(name, **labels):
    want = "{" + ",".join(f'{k}="{v}"' for k, v in labels.items()) + "}" if labels else ""
    for line in get(f"http://127.0.0.1:{METRICS}/metrics").splitlines():
        if line.startswith(name + want + " "):
            return float(line.split()[-1])
    return 0


def take(gw, text, outcome="success"):
    """Write the file, SIGHUP, wait for what comes of it; the ms that it took by its own account."""
    before = metric("staunch_reload", outcome=outcome)
    gw.config.write_text(text)
    gw.p.send_signal(signal.SIGHUP)
    wait_for(lambda: f"a reload that ends as {outcome}: {gw.text()[-1500:]}", 10, lambda: metric("staunch_reload", outcome=outcome) > before)
    done = [line for line in gw.text().splitlines() if "SIGHUP: done in" in line]
    return float(done[-1].split("done in ")[1].split()[0]) if outcome == "success" else 0


def size(gw):
    """(threads, descriptors that are not connections)"""
    fds = [os.readlink(f) if os.path.islink(f) else "" for f in pathlib.Path(f"/proc/{gw.p.pid}/fd").iterdir()]
    return len(list(pathlib.Path(f"/proc/{gw.p.pid}/task").iterdir())), len(fds)


def settled():
    return metric("staunch_reload_leaving") == 0


def under_load(folder):
    with FaultSink(folder, names=("sink", "second")) as sink, Gateway(config(sink), ports=(GRPC, HTTP, METRICS)) as gw:
        sink.script("sink", "mix 200 delay_ms=20")
        senders = {p: Sender(folder / p, GRPC if p == "grpc" else HTTP, proto=p, signal=s, conns=8, streams=8, rate=400, first=f, rows=10, timeout=20)
                   for p, s, f in (("grpc", "logs", 1), ("h1", "traces", 1 << 40))}
        time.sleep(1)
        took, n = [], 0
        for n in range(SECONDS):
            took.append(take(gw, config(sink, (n + 1) % 7)))
            time.sleep(max(0, 1 - took[-1] / 1000))
        check(metric("staunch_reload", outcome="success") == SECONDS, "each second a configuration")
        take(gw, config(sink)) if (n + 1) % 7 else None
        counts = {p: s.stop() for p, s in senders.items()}
        wait_for("nothing is leaving", 20, settled)
        idle = size(gw)
        for i in (1, 2, 3, 4, 5, 6, 0):
            take(gw, config(sink, i))
        wait_for("nothing is leaving", 20, settled)
        wait_for(lambda: f"as many threads and descriptors as before: {size(gw)}, not {idle}", 20, lambda: size(gw) <= idle)
        gw.stop()
    v = faultcheck.judge(faultcheck.Sent([folder / p for p in senders]), faultcheck.Journal(folder / "journal", "sink"))
    for p, c in counts.items():
        for what in ("refused", "unknown", "in_part", "not_connected"):
            equal(c[what], 0, f"{p}: {what} ({c})")
        check(c["accepted"] > SECONDS * 2000, f"{p}: it was a load ({c})")
    equal(v.lost, [], f"lost ({v})")
    print(f"{SECONDS} reloads under load: {v.accepted} records accepted and delivered, none refused, lost or unknown; "
          f"a reload takes {sorted(took)[len(took) // 2]} ms, at most {max(took)} ms")


def a_wrong_file(folder):
    with FaultSink(folder, names=("sink", "second")) as sink, Gateway(config(sink), ports=(GRPC, HTTP, METRICS)) as gw:
        sender = Sender(folder / "sent", GRPC, proto="grpc", conns=2, rate=200)
        taken = socket.create_server(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        for text, said in ((config(sink).replace("exporters: [otlp_http]", "exporters: [otlp_htp]"), 'config.yaml:'), ("{", "config.yaml:"),
                           (config(sink, 2).replace(str(HTTP), str(port)), f"127.0.0.1:{port}"),
                           (config(sink, 2).replace(str(HEALTH), str(port)), f"127.0.0.1:{port}")):
            time.sleep(0.5)
            take(gw, text, "failure")
            check(said in gw.text(), f"{said} in {gw.text()[-1500:]}")
        taken.close()
        equal(metric("staunch_reload", outcome="success"), 0, "nothing is taken")
        counts = sender.stop()
        wait_for("nothing is leaving", 20, settled)
        gw.stop()
    equal((counts["refused"], counts["unknown"], counts["not_connected"]), (0, 0, 0), f"{counts}")
    v = faultcheck.judge(faultcheck.Sent([folder / "sent"]), faultcheck.Journal(folder / "journal", "sink"))
    equal(v.wrong(duplicates=False), "", f"{v}")
    print(f"four wrong files: {v.accepted} records delivered meanwhile")


def the_end_of_a_pipeline(folder):
    with FaultSink(folder, names=("sink", "second")) as sink, Gateway(config(sink), ports=(GRPC, HTTP, METRICS)) as gw:
        sink.script("sink", "mix 1000 status=503 retry_after=1")
        counts = Sender(folder / "sent", HTTP, proto="h1", signal="traces", rate=200, seconds=2).wait()
        backlog = metric("otelcol_exporter_queue_size", data_type="traces", exporter="otlp_http")
        check(backlog > 50, f"there is a backlog ({backlog})")
        take(gw, config(sink, pipelines="logs").replace("timeout: 4s", "timeout: 7s"))
        equal(post(f"http://127.0.0.1:{HTTP}/v1/traces", b"", {"Content-Type": "application/x-protobuf"})[0], 404, "traces have no pipeline")
        time.sleep(1)
        equal(metric("staunch_reload_leaving"), 1, "the backlog is there")
        sink.script("sink", "clear")
        wait_for(lambda: f"the backlog goes: {gw.text()[-1000:]}", 60, settled)
        gw.stop()
    equal(counts["refused"] + counts["unknown"], 0, f"{counts}")
    v = faultcheck.judge(faultcheck.Sent([folder / "sent"]), faultcheck.Journal(folder / "journal", "sink"))
    equal(v.wrong(), "", f"{v}")
    print(f"a pipeline that ends with a backlog of {backlog:.0f}: {v.accepted} records delivered")


def main():
    for test in (under_load, a_wrong_file, the_end_of_a_pipeline):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="reload-"))
        test(folder)
        shutil.rmtree(folder)


main()

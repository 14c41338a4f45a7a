# SPDX-License-Identifier: Apache-2.0
"""Every example configuration runs as it is: a trace, a metric and a log record go in, and come out where its comment says."""
import base64
import http.server
import pathlib
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
from sinks.bulk import BulkSink  # noqa: E402

from sinks.remote_write import RemoteWriteSink, bits  # noqa: E402

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest  # noqa: E402
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest  # noqa: E402
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: E402

EXAMPLES = HERE.parent.parent / "config/examples"
NOW = time.time_ns()


def bodies():
    t = ExportTraceServiceRequest()
    r = t.resource_spans.add()
    r.resource.attributes.add(key="service.name").value.string_value = "example"
    r.scope_spans.add().spans.add(name="example-span", trace_id=b"\x01" * 16, span_id=b"\x02" * 8, start_time_unix_nano=NOW,
                                  end_time_unix_nano=NOW + 1)
    m = ExportMetricsServiceRequest()
    r = m.resource_metrics.add()
    r.resource.attributes.add(key="service.name").value.string_value = "example"
    m1 = r.scope_metrics.add().metrics.add(name="example.metric", unit="1")
    m1.gauge.data_points.add(time_unix_nano=NOW, as_int=7)
    q = ExportLogsServiceRequest()
    r = q.resource_logs.add()
    r.resource.attributes.add(key="service.name").value.string_value = "example"
    r.scope_logs.add().log_records.add(time_unix_nano=NOW, observed_time_unix_nano=NOW, severity_number=9,
                                       trace_id=b"\x01" * 16).body.string_value = "example-log"
    return {"traces": t.SerializeToString(), "metrics": m.SerializeToString(), "logs": q.SerializeToString()}


def send(signals=("traces", "metrics", "logs"), headers=None, base="http://127.0.0.1:4318"):
    for s in signals:
        status, _, answer = post(f"{base}/v1/{s}", bodies()[s], {"Content-Type": "application/x-protobuf", **(headers or {})})
        equal(status, 200, f"{s}: {answer!r}")


class Example(Gateway):
    def __init__(self, name, env=None, ports=(4317, 4318)):
        os.environ.update(env or {})
        super().__init__((EXAMPLES / name).read_text(), ports=ports, name=name)


def contains(path, text):
    return lambda: pathlib.Path(path).exists() and text in pathlib.Path(path).read_text()


def to_the_collector(name, env):
    with collector() as folder, Example(name, env) as gw:
        send()
        for file, text in (("traces", "example-span"), ("metrics", "example.metric"), ("logs", "example-log")):
            wait_for(f"{name}: {file} at the Collector", 10, contains(folder / f"{file}.jsonl", text))
        gw.stop()


def agent():
    to_the_collector("agent.yaml", {"GATEWAY": "127.0.0.1:14317"})


def forward():
    to_the_collector("forward.yaml", {"NEXT_GRPC": "127.0.0.1:14317", "NEXT_HTTP": "http://127.0.0.1:14318"})


def file_archive():
    d = pathlib.Path(tempfile.mkdtemp())
    with Example("file-archive.yaml", {"ARCHIVE_DIR": str(d / "archive")}) as gw:
        send()
        gw.stop()
        for s, text in (("traces", "example-span"), ("metrics", "example.metric"), ("logs", "example-log")):
            check(contains(d / f"archive/{s}.jsonl", text)(), f"{s} in the archive")
        check("Traces" in gw.text(), "the summary on the terminal")
    shutil.rmtree(d)


def gateway_kafka():
    with kafka() as broker, Example("gateway-kafka.yaml", {"KAFKA_BROKERS": broker}) as gw:
        send()
        gw.stop()
        for topic, text in (("otlp_spans", b"example-span"), ("otlp_metrics", b"example.metric"), ("otlp_logs", b"example-log")):
            values = [v for _, _, v in kafka_messages(broker, topic)]
            check(any(text in v and b"gateway.name" in v for v in values), f"{topic}: {values!r}")


def prometheus_remote_write():
    d = pathlib.Path(tempfile.mkdtemp())
    env = {"REMOTE_WRITE": "http://127.0.0.1:25402/api/v1/write", "ARCHIVE_DIR": str(d)}
    with RemoteWriteSink(25402) as sink, Example("prometheus-remote-write.yaml", env) as gw:
        send(("metrics",))
        gw.stop()
        records = sink.records("/api/v1/write")
        equal([(dict(r[1])["__name__"], dict(r[1])["gateway"], r[3]) for r in records], [("example_metric_ratio", "staunch", bits(7.0))], "what was written")
        equal(sink.wrong("/api/v1/write"), [], "what is wrong with it")
    shutil.rmtree(d)


def elasticsearch():
    with BulkSink() as sink, Example("elasticsearch.yaml", {"ES_URL": sink.url("")}) as gw:
        send()
        gw.stop()
        for index, text in (("traces-", "example-span"), ("metrics-", "example.metric"), ("logs-", "example-log")):
            check(any(d.index.startswith(index) and text in d.line.decode() for d in sink.kept), f"{index}: {[d.index for d in sink.kept]}")


def rollup():
    d = pathlib.Path(tempfile.mkdtemp())
    with Example("rollup.yaml", {"ROLLUPS": str(d / "rollups.json"), "LATE": str(d / "late.json")}) as gw:
        send()
        wait_for("rollup.yaml: what is not selected", 10, contains(d / "rollups.json", "example.metric"))
        gw.stop()  # what is open is told
    check(contains(d / "rollups.json", "latency.count")() or contains(d / "late.json", "example-span")(), "the span is somewhere")
    check(contains(d / "rollups.json", "rollup.revision")() or contains(d / "late.json", "example-span")(), "and in a session")
    shutil.rmtree(d)


def rollup_journal():
    """What was in an open window when the gateway was killed is told by the next one, once; what was sent again after that counts once."""
    d = pathlib.Path(tempfile.mkdtemp())
    m = ExportMetricsServiceRequest()
    r = m.resource_metrics.add()
    r.resource.attributes.add(key="service.name").value.string_value = "example"
    m1 = r.scope_metrics.add().metrics.add(name="rolled.metric")
    m1.gauge.data_points.add(time_unix_nano=time.time_ns(), as_int=7)
    env = {"STORAGE": str(d), "NEXT_HOP": "127.0.0.1:14318", "WINDOW": "2s", "DELAY": "1s", "LATENESS": "2s"}
    with collector() as folder:
        with Example("rollup-journal.yaml", env) as gw:
            equal(post("http://127.0.0.1:4318/v1/metrics", m.SerializeToString(), {"Content-Type": "application/x-protobuf"})[0], 200, "status")
            gw.p.kill()
            gw.p.wait()
        with Example("rollup-journal.yaml", env) as gw:
            equal(post("http://127.0.0.1:4318/v1/metrics", m.SerializeToString(), {"Content-Type": "application/x-protobuf"})[0], 200, "status")
            wait_for("the window", 15, contains(folder / "metrics.jsonl", "rolled.metric.sum"))
            gw.stop()
        told = (folder / "metrics.jsonl").read_text()
        equal(told.count("rolled.metric.sum"), 1, "times that it was told")
        check('"asInt":"7"' in told and '"asInt":"14"' not in told, f"the sum: {told}")
    shutil.rmtree(d)


def temporality_journal():
    """A sum of two totals, the second one of which came to another process, which knows the first one."""
    d = pathlib.Path(tempfile.mkdtemp())
    env = {"STORAGE": str(d), "NEXT_HOP": "127.0.0.1:14318", "WINDOW": "1s", "DELAY": "1s", "LATENESS": "1s"}
    start = time.time_ns()

    def total(n):
        m = ExportMetricsServiceRequest()
        r = m.resource_metrics.add()
        r.resource.attributes.add(key="service.name").value.string_value = "example"
        s = r.scope_metrics.add().metrics.add(name="calls").sum
        s.aggregation_temporality, s.is_monotonic = 2, True
        s.data_points.add(start_time_unix_nano=start, time_unix_nano=time.time_ns(), as_int=n)
        equal(post("http://127.0.0.1:4318/v1/metrics", m.SerializeToString(), {"Content-Type": "application/x-protobuf"})[0], 200, "status")

    with collector() as folder:
        out = folder / "metrics.jsonl"
        with Example("temporality-journal.yaml", env) as gw:
            total(7)
            wait_for("the first window", 15, contains(out, '"asInt":"7"'))
            gw.p.kill()
            gw.p.wait()
        with Example("temporality-journal.yaml", env) as gw:
            total(12)
            wait_for("7, and the 5 that came since", 15, contains(out, '"asInt":"12"'))
            gw.stop()
    shutil.rmtree(d)


def span_metrics():
    d = pathlib.Path(tempfile.mkdtemp())
    env = {"NEXT_HTTP": "http://127.0.0.1:14318", "METRICS": str(d / "metrics.json"), "FLUSH_INTERVAL": "1s"}
    with collector() as folder, Example("span-metrics.yaml", env) as gw:
        send(("traces", "logs"))
        wait_for("span-metrics.yaml: the span", 10, contains(folder / "traces.jsonl", "example-span"))
        wait_for("span-metrics.yaml: its metrics", 10, contains(d / "metrics.json", "traces.span.metrics.duration"))
        check(contains(d / "metrics.json", "example-span")(), "a dimension is its name")
        wait_for("span-metrics.yaml: the record, counted", 10, contains(d / "metrics.json", "log.record.count"))
        gw.stop()
    shutil.rmtree(d)


def anomaly():
    d = pathlib.Path(tempfile.mkdtemp())
    q = ExportMetricsServiceRequest()
    data = q.resource_metrics.add().scope_metrics.add().metrics.add(name="queue.length").gauge
    for i in range(60):
        data.data_points.add(time_unix_nano=NOW + i, as_int=100 + i % 7 if i != 50 else 4711)
    with Example("anomaly.yaml", {"METRICS": str(d / "metrics.json"), "EVENTS": str(d / "events.json")}) as gw:
        status, _, answer = post("http://127.0.0.1:4318/v1/metrics", q.SerializeToString(), {"Content-Type": "application/x-protobuf"})
        equal(status, 200, f"anomaly.yaml: {answer!r}")
        wait_for("anomaly.yaml: a score", 10, contains(d / "metrics.json", "anomaly.score"))
        equal((d / "metrics.json").read_text().count("anomaly.score"), 1, "anomaly.yaml: points with a score")
        wait_for("anomaly.yaml: an event", 10, contains(d / "events.json", "queue.length is 4711"))
        gw.stop()
    shutil.rmtree(d)


def anomalous_traces():
    """Two services; one of them becomes slow, and its traces are kept: those of the slow window, too, and not the others'."""
    d = pathlib.Path(tempfile.mkdtemp())
    n = 0

    def spans(name, ms):
        nonlocal n
        n += 1
        q = ExportTraceServiceRequest()
        r = q.resource_spans.add()
        r.resource.attributes.add(key="service.name").value.string_value = name
        end = time.time_ns()
        # ids whose hash is above a hundredth: the other policy takes none of them
        r.scope_spans.add().spans.add(name=f"{name}-{ms}ms", trace_id=n.to_bytes(16, "big"), span_id=b"\x02" * 8, start_time_unix_nano=end - ms * 1000000, end_time_unix_nano=end)
        equal(post("http://127.0.0.1:4318/v1/traces", q.SerializeToString(), {"Content-Type": "application/x-protobuf"})[0], 200, "status")

    env = {"METRICS": str(d / "metrics.json"), "TRACES": str(d / "traces.json"), "WINDOW": "200ms", "DELAY": "100ms", "DECISION_WAIT": "3s"}
    with Example("anomalous-traces.yaml", env) as gw:
        begin = time.time()
        while time.time() < begin + 4:
            slow = time.time() > begin + 3.4
            spans("cart", 60 if slow else 2)
            spans("front", 2)
            time.sleep(0.04)
        wait_for("anomalous-traces.yaml: a score", 10, contains(d / "metrics.json", "anomaly.score"))
        wait_for("anomalous-traces.yaml: a slow trace", 10, contains(d / "traces.json", "cart-60ms"))
        gw.stop()
    kept = (d / "traces.json").read_text()
    check(kept.count("cart-60ms") >= 8, f"slow traces that were kept: {kept.count('cart-60ms')}")
    check("slow-now" in kept, "by the policy")
    check(kept.count("cart-2ms") <= 20, f"traces from before that were kept: {kept.count('cart-2ms')}")
    check(kept.count("front-2ms") <= 8, f"traces of the other service: {kept.count('front-2ms')}")
    shutil.rmtree(d)


def temporality():
    d = pathlib.Path(tempfile.mkdtemp())
    q = ExportMetricsServiceRequest()
    data = q.resource_metrics.add().scope_metrics.add().metrics.add(name="requests").sum
    data.aggregation_temporality, data.is_monotonic = 2, True
    for value in (5, 12):
        data.data_points.add(time_unix_nano=NOW + value, as_int=value)
    deltas = q.resource_metrics[0].scope_metrics[0].metrics.add(name="errors").sum
    deltas.CopyFrom(data)
    deltas.aggregation_temporality = 1
    with Example("temporality.yaml", {"METRICS": str(d / "metrics.json"), "TOTALS": str(d / "totals.json")}) as gw:
        status, _, answer = post("http://127.0.0.1:4318/v1/metrics", q.SerializeToString(), {"Content-Type": "application/x-protobuf"})
        equal(status, 200, f"temporality.yaml: {answer!r}")
        wait_for("temporality.yaml: the difference", 10, contains(d / "metrics.json", '"asInt":"7"'))
        check(contains(d / "metrics.json", '"aggregationTemporality":1')(), "temporality.yaml: a delta")
        gw.stop()
        check(contains(d / "totals.json", '"asInt":"17"')(), "temporality.yaml: the total, of the last interval")
        check(not contains(d / "totals.json", '"asInt":"5"')(), "temporality.yaml: the total before it")
    shutil.rmtree(d)


def sampling():
    d = pathlib.Path(tempfile.mkdtemp())
    with Example("sampling.yaml", {"ARCHIVE_DIR": str(d), "SAMPLING_PERCENTAGE": "100"}) as gw:
        send(("traces", "logs"))
        gw.stop()
        check(contains(d / "kept.jsonl", "sampled.by")(), "the kept span, marked, in the file")
    shutil.rmtree(d)


def tail_sampling():
    """A trace with an error is there when it is decided, and says why; one that waits at the end is there after the next start."""
    d = pathlib.Path(tempfile.mkdtemp())
    failed = ExportTraceServiceRequest()
    s = failed.resource_spans.add().scope_spans.add().spans.add()
    s.trace_id, s.span_id, s.name, s.status.code = b"\1" * 16, b"\2" * 8, "failed-span", 2
    env = {"ARCHIVE_DIR": str(d), "DECISION_WAIT": "1s", "STAUNCH_DATA": str(d / "data")}
    with Example("tail-sampling.yaml", env) as gw:
        status, _, answer = post("http://127.0.0.1:4318/v1/traces", failed.SerializeToString(), {"Content-Type": "application/x-protobuf"})
        equal(status, 200, f"{answer!r}")
        wait_for("the decision", 10, contains(d / "traces.jsonl", "failed-span"))
        check(contains(d / "traces.jsonl", "staunch.sampling.policy")(), "the span says which policy kept it")
        s.trace_id, s.name = b"\3" * 16, "waiting-span"
        equal(post("http://127.0.0.1:4318/v1/traces", failed.SerializeToString(), {"Content-Type": "application/x-protobuf"})[0], 200, "status")
        gw.stop()
        check(not contains(d / "traces.jsonl", "waiting-span")(), "it waits on disk")
    with Example("tail-sampling.yaml", env) as gw:
        wait_for("the decision after the start", 10, contains(d / "traces.jsonl", "waiting-span"))
        gw.stop()


def tail_sampling_journal(name="tail-sampling-journal.yaml"):
    """What waited when the gateway was killed is kept by the next one."""
    d = pathlib.Path(tempfile.mkdtemp())
    failed = ExportTraceServiceRequest()
    failed.resource_spans.add().scope_spans.add().spans.add(name="failed-span", trace_id=b"\4" * 16, span_id=b"\2" * 8, status={"code": 2})
    env = {"STORAGE": str(d), "NEXT_HOP": "127.0.0.1:14318", "DECISION_WAIT": "1s"}
    with collector() as folder:
        with Example(name, env) as gw:
            equal(post("http://127.0.0.1:4318/v1/traces", failed.SerializeToString(), {"Content-Type": "application/x-protobuf"})[0], 200, "status")
            gw.p.kill()
            gw.p.wait()
        with Example(name, env) as gw:
            wait_for("the decision", 10, contains(folder / "traces.jsonl", "failed-span"))
            gw.stop()
    shutil.rmtree(d)


def group_by_trace():
    """Spans of two traces by turns: each trace leaves in one piece, at the latest when the gateway stops."""
    d = pathlib.Path(tempfile.mkdtemp())
    t = ExportTraceServiceRequest()
    for trace, name in ((b"\x03", "span-a"), (b"\x02", "span-b"), (b"\x03", "span-c")):
        t.resource_spans.add().scope_spans.add().spans.add(name=name, trace_id=trace * 16, span_id=b"\x02" * 8, start_time_unix_nano=NOW,
                                                           end_time_unix_nano=NOW + 1)
    with Example("group-by-trace.yaml", {"ARCHIVE_DIR": str(d), "WAIT": "1s"}) as gw:
        equal(post("http://127.0.0.1:4318/v1/traces", t.SerializeToString(), {"Content-Type": "application/x-protobuf"})[0], 200, "status")
        check(not contains(d / "traces.jsonl", "span-a")(), "it waits")
        wait_for("the traces are in the file", 5, lambda: contains(d / "traces.jsonl", "span-b")() and contains(d / "traces.jsonl", "span-c")())
        send(("traces",))
        gw.stop()
        text = (d / "traces.jsonl").read_text()
        check(text.index("span-a") < text.index("span-c") < text.index("example-span"), f"what was written: {text}")
        check("span-b" not in text[text.index("span-a"):text.index("span-c")], f"the trace is not in one piece: {text}")
    shutil.rmtree(d)


def validation():
    d = pathlib.Path(tempfile.mkdtemp())
    bad = ExportTraceServiceRequest()
    r = bad.resource_spans.add()
    r.resource.attributes.add(key="service.name").value.string_value = "example"
    r.scope_spans.add().spans.add(name="bad-span", trace_id=b"\x01" * 4, span_id=b"\x02" * 8)
    with Example("validation.yaml", {"ARCHIVE_DIR": str(d)}) as gw:
        send(("traces",))
        status, _, answer = post("http://127.0.0.1:4318/v1/traces", bad.SerializeToString(), {"Content-Type": "application/x-protobuf"})
        equal(status, 200, "partial success is a success")
        check(b"trace" in answer, f"the answer names no reason: {answer!r}")
        gw.stop()
        check(any("dlq." in p.read_text() for p in d.rglob("*") if p.is_file()), "no dead letter was written")
    shutil.rmtree(d)


class Next(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen = []

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        Next.seen.append((self.path, self.headers.get("Authorization")))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def auth_tls():
    d = pathlib.Path(tempfile.mkdtemp())
    run = lambda *a: subprocess.run(["openssl", *a], check=True, capture_output=True, cwd=d)
    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.crt")
    run("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr")
    (d / "san").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    run("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30", "-extfile", "san", "-out",
        "server.crt")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 25401), Next)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    env = {"TLS_DIR": str(d), "NEXT_HTTP": "http://127.0.0.1:25401", "NEXT_TOKEN": "sesame", "OTLP_USER": "alice", "OTLP_PASSWORD": "wonder"}
    with Example("auth-tls.yaml", env) as gw:
        context = ssl.create_default_context(cafile=d / "ca.crt")
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
        urllib.request.install_opener(opener)
        word = base64.b64encode(b"alice:wonder").decode()
        send(headers={"Authorization": f"Basic {word}"}, base="https://localhost:4318")
        equal(post("https://localhost:4318/v1/traces", b"", {"Content-Type": "application/x-protobuf"})[0], 401, "without a password")
        gw.stop()
    equal(sorted(Next.seen), [(f"/v1/{s}", "Bearer sesame") for s in ("logs", "metrics", "traces")], "what the next server saw")
    server.shutdown()
    shutil.rmtree(d)


def durable():
    """Nobody is there; kill -9; then the next servers are, and each gets what it is due, once."""
    d = pathlib.Path(tempfile.mkdtemp())
    env = {"STAUNCH_DATA": str(d / "data"), "NEXT_HTTP": "http://127.0.0.1:25402", "SECOND_HTTP": "http://127.0.0.1:25403"}
    with Example("durable.yaml", env) as gw:
        send()
        gw.p.kill()
        gw.p.wait()
    due = {25402: ["/v1/logs", "/v1/metrics", "/v1/traces"], 25403: ["/v1/logs", "/v1/traces"]}
    seen = {port: [] for port in due}

    def handler(port):
        class Server(Next):
            def do_POST(self):
                seen[port].append(self.path)
                super().do_POST()
        return Server

    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", port), handler(port)) for port in due]
    for s in servers:
        threading.Thread(target=s.serve_forever, daemon=True).start()
    with Example("durable.yaml", env) as gw:
        for port, paths in due.items():
            wait_for(f"what waited on disk, at {port}: {seen}", 10, lambda: sorted(seen[port]) == paths)
        queues = subprocess.run([STAUNCH, "queue", "ls", "--directory", str(d / "data")], capture_output=True, text=True, check=True).stdout
        check("otlp_http/second" in queues, f"staunch queue ls: {queues}")
        gw.stop()
    for s in servers:
        s.shutdown()
    equal({p: sorted(v) for p, v in seen.items()}, due, "nothing came twice")
    shutil.rmtree(d)


def journal():
    """The archive gets what was answered, although there is no broker."""
    d = pathlib.Path(tempfile.mkdtemp())
    with Example("journal.yaml", {"STORAGE": str(d / "storage"), "ARCHIVE": str(d / "spans.json"), "KAFKA": "127.0.0.1:1"}) as gw:
        send(signals=("traces",))
        wait_for("the archive of a journal", 10, contains(d / "spans.json", "example-span"))
        gw.p.kill()
        gw.p.wait()
    shutil.rmtree(d)


def service_graph():
    """A client's span on one connection, its server's on another: one request, written to Prometheus."""
    d = pathlib.Path(tempfile.mkdtemp())
    env = {"REMOTE_WRITE": "http://127.0.0.1:25402/api/v1/write", "ARCHIVE_DIR": str(d), "FLUSH_INTERVAL": "200ms"}
    with RemoteWriteSink(25402) as sink, Example("service-graph.yaml", env) as gw:
        for service, kind, span, parent in (("shop", 3, b"\x02" * 8, b""), ("stock", 2, b"\x03" * 8, b"\x02" * 8)):
            t = ExportTraceServiceRequest()
            r = t.resource_spans.add()
            r.resource.attributes.add(key="service.name").value.string_value = service
            r.scope_spans.add().spans.add(name=service, trace_id=b"\x01" * 16, span_id=span, parent_span_id=parent, kind=kind,
                                          start_time_unix_nano=NOW, end_time_unix_nano=NOW + 1)
            equal(post("http://127.0.0.1:4318/v1/traces", t.SerializeToString(), {"Content-Type": "application/x-protobuf"})[0], 200, service)
        gw.stop()
        totals = [(dict(r[1])["client"], dict(r[1])["server"], r[3]) for r in sink.records("/api/v1/write")
                  if dict(r[1])["__name__"] == "traces_service_graph_request_total"]
        check(totals and totals[-1] == ("shop", "stock", bits(1.0)), f"what was written: {totals}")
        check("stock" in (d / "spans.jsonl").read_text(), "the spans are kept, too")
    shutil.rmtree(d)


def dynamic_sampling():
    d = pathlib.Path(tempfile.mkdtemp())
    with Example("dynamic-sampling.yaml", {"ARCHIVE_DIR": str(d), "DECISION_DELAY": "100ms", "INITIAL_RATE": "1"}) as gw:
        send(("traces",))
        wait_for("a kept trace", 10, contains(d / "kept.jsonl", "example-span"))
        text = (d / "kept.jsonl").read_text()
        check('"stringValue":"routes"' in text and '"traceState":"ot=th:0"' in text, f"rule and rate are on it: {text}")
        gw.stop()
    shutil.rmtree(d)


TESTS = {"anomaly.yaml": anomaly, "anomalous-traces.yaml": anomalous_traces, "rollup.yaml": rollup, "rollup-journal.yaml": rollup_journal, "temporality-journal.yaml": temporality_journal, "temporality.yaml": temporality, "span-metrics.yaml": span_metrics, "dynamic-sampling.yaml": dynamic_sampling, "service-graph.yaml": service_graph, "durable.yaml": durable, "journal.yaml": journal, "agent.yaml": agent, "forward.yaml": forward, "file-archive.yaml": file_archive, "gateway-kafka.yaml": gateway_kafka,
         "prometheus-remote-write.yaml": prometheus_remote_write, "elasticsearch.yaml": elasticsearch,
         "sampling.yaml": sampling, "tail-sampling.yaml": tail_sampling, "tail-sampling-journal.yaml": tail_sampling_journal,
         "tail-sampling-two-pass.yaml": lambda: tail_sampling_journal("tail-sampling-two-pass.yaml"), "group-by-trace.yaml": group_by_trace,
         "validation.yaml": validation, "auth-tls.yaml": auth_tls}
ELSEWHERE = ["prometheus-and-opensearch.yaml", "dead-letters.yaml"]  # in suites of their own: example_e2e, dead_letters


def main():
    names = sorted(p.name for p in EXAMPLES.glob("*.yaml"))
    equal(names, sorted([*TESTS, *ELSEWHERE]), "examples and their tests")
    for name in sorted(TESTS):
        TESTS[name]()
        print(f"examples: {name} runs", flush=True)


main()

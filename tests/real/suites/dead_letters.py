# SPDX-License-Identifier: Apache-2.0
"""config/examples/dead-letters.yaml: every way to give up on a record ends in the store, a kill -9 keeps it, and `staunch dlq` shows it, exports
it, sends it again and forgets it. A second gateway on the folder is refused, and so is a folder with a real Collector's queue, which stays
as it is."""
import hashlib
import http.server
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest  # noqa: E402
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: E402

EXAMPLE = HERE.parent.parent / "config/examples/dead-letters.yaml"
PROTO = {"Content-Type": "application/x-protobuf"}


class Sink(http.server.BaseHTTPRequestHandler):
    """The OTLP server behind: 400 to everything while `refuses`, else it keeps the logs' bodies."""
    protocol_version = "HTTP/1.1"
    refuses = True
    kept = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            import gzip
            body = gzip.decompress(body)
        if not Sink.refuses and self.path == "/v1/logs":
            q = ExportLogsServiceRequest.FromString(body)
            Sink.kept += [x.body.string_value for r in q.resource_logs for s in r.scope_logs for x in s.log_records]
        self.send_response(400 if Sink.refuses else 200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def logs(*texts):
    q = ExportLogsServiceRequest()
    s = q.resource_logs.add().scope_logs.add()
    for t in texts:
        s.log_records.add(time_unix_nano=time.time_ns(), severity_number=9).body.string_value = t
    return q.SerializeToString()


def bad_span():
    q = ExportTraceServiceRequest()
    q.resource_spans.add().scope_spans.add().spans.add(name="bad", trace_id=b"\x01" * 4, span_id=b"\x02" * 8)
    return q.SerializeToString()


def dlq(gw, *args, code=0):
    p = subprocess.run([STAUNCH, "dlq", *args, f"--config={gw.config}"], capture_output=True, text=True)
    equal(p.returncode, code, f"dlq {args}: {p.stdout}{p.stderr}")
    return p.stdout


def rows(gw, *args):
    return [json.loads(line) for line in dlq(gw, "ls", "--format", "json", *args).splitlines()]


def start(data):
    os.environ["STAUNCH_DATA"] = str(data)
    os.environ["NEXT_HTTP"] = "http://127.0.0.1:25403"
    return Gateway(EXAMPLE.read_text(), ports=(4317, 4318))


def give_up(gw):
    equal(post("http://127.0.0.1:4318/v1/logs", b"\x0a\x7fnope", PROTO)[0], 400, "what is no protobuf")
    equal(post("http://127.0.0.1:4318/v1/traces", b'{"resourceSpans": oops}', {"Content-Type": "application/json"})[0], 400, "what is no JSON")
    equal(post("http://127.0.0.1:4318/v1/traces", bad_span(), PROTO)[0], 200, "a bad span alone")
    for text in ("one", "two", "three"):
        equal(post("http://127.0.0.1:4318/v1/logs", logs(text), PROTO)[0], 200, text)
    wait_for("six letters", 10, lambda: len(rows(gw)) == 6)


def the_story(data):
    with start(data) as gw:
        give_up(gw)
        found = {}
        for r in rows(gw):
            found[r["dlq.class"]] = found.get(r["dlq.class"], 0) + 1
        equal(found, {"decode": 2, "schema": 1, "sink_rejected": 3}, "letters by class")
        gw.p.kill()
        gw.p.wait()
    second = start(data)
    with second as gw:
        equal(len(rows(gw)), 6, "letters after kill -9")
        p = subprocess.run([STAUNCH, "run", f"--config={gw.config}", "--set=receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0"], capture_output=True, text=True,
                           timeout=20)
        check(p.returncode != 0 and str(data) in p.stderr and "in use by another process" in p.stderr, f"a second gateway: {p.returncode} {p.stderr}")
        one = rows(gw, "--class", "schema")[0]
        check('"traceId":"01010101"' in dlq(gw, "show", one["dlq.id"]), "the span is not shown")
        equal(one["dlq.pipeline"], "traces", "where the span came from")
        Sink.refuses = False
        check("3" in dlq(gw, "stats", "--by", "class"), "stats")
        check("replayed 3 letters (3 rows" in dlq(gw, "replay", "--component", "otlp_http"), "replay")
        wait_for("the rows at the sink", 10, lambda: sorted(Sink.kept) == ["one", "three", "two"])
        equal(sorted(r["dlq.class"] for r in rows(gw)), ["decode", "decode", "schema"], "what is left")
        check("replayed 1 letters (1 rows, 1 of them rejected again)" in dlq(gw, "replay", "--class", "schema"), "a bad span again")
        wait_for("the span's new letter", 10, lambda: [r.get("dlq.chain") for r in rows(gw, "--class", "schema")] == [one["dlq.id"]])
        file = data / "exported"
        dlq(gw, "export", "--class", "decode", "--output", str(file))
        equal(len(json_lines(file)), 2, "exported letters")
        check("purged 2 letters" in dlq(gw, "purge", "--class", "decode"), "purge")
        equal([r["dlq.class"] for r in rows(gw)], ["schema"], "what is left at the end")
        check("validate" in dlq(gw, "recent"), "the span that was rejected last")
        gw.stop()
        equal(len(rows(gw)), 1, "what is left, without a gateway")
        for path in data.rglob("*"):
            mode = path.stat().st_mode & 0o777
            check(mode == (0o700 if path.is_dir() else 0o600) or path == file, f"{path} has mode {mode:o}")


def digest(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def a_collectors_folder(data):
    """A queue of the real Collector that could not be sent."""
    data.mkdir()
    config = f"""
extensions: {{ file_storage: {{ directory: {data} }} }}
receivers: {{ otlp: {{ protocols: {{ http: {{ endpoint: 127.0.0.1:14318 }} }} }} }}
exporters: {{ otlphttp: {{ endpoint: "http://127.0.0.1:1", sending_queue: {{ storage: file_storage }} }} }}
service:
  extensions: [file_storage]
  telemetry: {{ metrics: {{ level: none }} }}
  pipelines: {{ logs: {{ receivers: [otlp], exporters: [otlphttp] }} }}
"""
    file = RUN / "otelcol-queue.yaml"
    file.write_text(config)
    p = subprocess.Popen([str(CACHE / "bin/real-otelcol"), f"--config={file}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for("the Collector", 20, lambda: port_open(14318) or p.poll() is not None)
    equal(post("http://127.0.0.1:14318/v1/logs", logs("theirs"), PROTO)[0], 200, "the Collector takes it")
    p.kill()
    p.wait()
    before = digest(data)
    check(before, "the Collector has made no file")
    os.environ["STAUNCH_DATA"] = str(data)
    (data.parent / "g.yaml").write_text(EXAMPLE.read_text())
    q = subprocess.run([STAUNCH, "run", f"--config={data.parent / 'g.yaml'}"], capture_output=True, text=True, timeout=20)
    check(q.returncode != 0 and "holds a Collector's queue" in q.stderr and str(data) in q.stderr, f"a Collector's folder: {q.returncode} {q.stderr}")
    equal(digest(data), before, "the Collector's files")


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 25403), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    d = pathlib.Path(tempfile.mkdtemp())
    the_story(d / "data")
    print("dead_letters: every way to give up, kill -9, show, replay, export, purge", flush=True)
    part("otelcol.sh", "install")
    a_collectors_folder(d / "collector")
    print("dead_letters: a Collector's folder is left as it is", flush=True)
    shutil.rmtree(d)


main()

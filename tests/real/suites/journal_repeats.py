# SPDX-License-Identifier: Apache-2.0
"""Requests that their senders repeat before a journal with dedup: what SDKs send again when the answer was lost on its way, and what a client sends
again until it is answered while the gateway is killed, lies in the journal once; without dedup it does not.
"""
import http.client
import http.server
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: E402

SDKS, N, KILLS = ("python", "js", "java", "go"), 60, 8
PROXY = 25555
CONFIG = """
extensions: {{ file_storage: {{ directory: "{dir}", create_directory: true }} }}
receivers: {{ otlp: {{ protocols: {{ http: {{ endpoint: "127.0.0.1:{http}" }} }} }} }}
exporters: {{ nop: {{}} }}
connectors:
  journal/spans: {{ storage: file_storage{dedup} }}
  journal/logs: {{ storage: file_storage{dedup} }}
service:
  extensions: [file_storage]
  telemetry: {{ metrics: {{ readers: [ {{ pull: {{ exporter: {{ prometheus: {{ host: 127.0.0.1, port: {metrics} }} }} }} }} ] }} }}
  pipelines:
    traces/in: {{ receivers: [otlp], exporters: [journal/spans] }}
    logs/in: {{ receivers: [otlp], exporters: [journal/logs] }}
    metrics: {{ receivers: [otlp], exporters: [nop] }}
"""


class Lossy:
    """Hands requests on; of each body that comes for the first time it loses the answer, but for every third, and says 503."""

    def __init__(self):
        self.seen, self.lost, self.lock = set(), 0, threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.read()
                status, answer, kind = outer.forward(self.path, body, self.headers)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def read(self):
                if self.headers.get("Transfer-Encoding", "") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length", "0")))
                body = b""
                while n := int(self.rfile.readline(), 16):
                    body += self.rfile.read(n)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", PROXY), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def forward(self, path, body, headers):
        c = http.client.HTTPConnection("127.0.0.1", HTTP, timeout=20)
        c.request("POST", path, body, {k: v for k, v in headers.items() if k.lower() in ("content-type", "content-encoding")})
        r = c.getresponse()
        answer, kind = r.read(), r.headers.get("Content-Type", "")
        c.close()
        with self.lock:
            loses = body not in self.seen and len(self.seen) % 3 != 2 and r.status == 200
            self.seen.add(body)
            self.lost += loses and path != "/v1/metrics"
        return (503, b"", kind) if loses else (r.status, answer, kind)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def gateway(folder, dedup):
    return Gateway(CONFIG.format(dir=folder / "storage", http=HTTP, metrics=METRICS, dedup=", dedup: { window: 10m }" if dedup else ""), ports=(HTTP,))


def rows(gw, journal):
    """That lie in it."""
    out = subprocess.run([STAUNCH, "replay", f"--config={gw.config}", "--journal", journal, "--dry-run"], capture_output=True, text=True, check=True).stdout
    return sum(int(n) for n in re.findall(r"(\d+) (?:rows|spans|log records|items)", out)), out


def repeated():
    return sum(float(line.split()[-1]) for line in get(f"http://127.0.0.1:{METRICS}/metrics").splitlines() if line.startswith("staunch_journal_repeated_requests"))


def sdks(dedup):
    """(rows that lie there too often, answers that were lost)."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="journal-repeats-"))
    proxy = Lossy()
    with gateway(folder, dedup) as gw:
        env = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{PROXY}"}
        for sdk in SDKS:
            subprocess.run([str(PARTS / "clients/client.sh"), "run", sdk, "http/protobuf", str(N)], env=env, check=True, timeout=120, capture_output=True)
        n = repeated()
        if dedup:
            check(n >= proxy.lost > len(SDKS), f"{n} were found to be repeated, {proxy.lost} answers were lost")
        gw.stop()
        (spans, said), (logs, also) = rows(gw, "journal/spans"), rows(gw, "journal/logs")
        too_often = spans - len(SDKS) * (N + 1) + logs - len(SDKS) * N
        check(too_often >= 0, f"there are less than were sent: {said} {also}")
    proxy.close()
    shutil.rmtree(folder)
    return too_often, proxy.lost


def request(i):
    q = ExportTraceServiceRequest()
    r = q.resource_spans.add()
    r.resource.attributes.add(key="service.name").value.string_value = f"s{i % 5}"
    r.scope_spans.add().spans.add(name=f"span-{i}", trace_id=i.to_bytes(16, "big"), span_id=(i + 1).to_bytes(8, "big"), start_time_unix_nano=time.time_ns())
    return q.SerializeToString()


def kills(dedup):
    """(spans that lie there too often, requests that were sent again)."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="journal-repeats-"))
    done, again, stop = [0], [0], threading.Event()

    def client(first):
        i, r = first, random.Random(first)
        while not stop.is_set():
            i, body, tries = i + 4, request(i + 4), 0
            while True:
                tries += 1
                try:
                    c = http.client.HTTPConnection("127.0.0.1", HTTP, timeout=5)
                    c.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
                    if r.random() < 0.1:  # it hangs up before it hears
                        c.close()
                        continue
                    ok = c.getresponse().status == 200
                    c.close()
                    if ok:
                        break
                except (OSError, http.client.HTTPException):
                    time.sleep(0.01)
            done[0] += 1
            again[0] += tries > 1

    gw = gateway(folder, dedup)
    clients = [threading.Thread(target=client, args=(k,)) for k in range(4)]
    for c in clients:
        c.start()
    for k in range(KILLS):
        time.sleep(0.2 + random.Random(k).random() * 0.4)
        gw.p.kill()
        gw.p.wait()
        gw = gateway(folder, dedup)
    stop.set()
    for c in clients:
        c.join()
    gw.stop()
    n, _ = rows(gw, "journal/spans")
    shutil.rmtree(folder)
    return n - done[0], again[0]


def main():
    for name, run in (("SDKs behind a proxy that loses answers", sdks), ("a client and kill -9", kills)):
        too_often, again = run(True)
        equal(too_often, 0, f"{name}: rows that lie there too often")
        without, _ = run(False)
        check(without > 0, f"{name}: without dedup all lay there once")
        print(f"{name}: {again} were sent again, none lies there twice; {without} rows without dedup", flush=True)


main()

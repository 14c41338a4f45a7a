# SPDX-License-Identifier: Apache-2.0
"""SIGTERM under load: what was accepted is delivered. Twenty rounds; each ends the gateway at another moment, with a sink that
takes its time. The sink's record ids are compared with those of the answered requests: none missing, none twice.
"""
import collections
import http.server
import itertools
import pathlib
import struct
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: E402

ROUNDS, SINK = 20, 25400
CONFIG = """
receivers: {{ otlp: {{ protocols: {{ http: {{ endpoint: "127.0.0.1:{http}" }} }} }} }}
processors: {{ batch: {{ timeout: 50ms, send_batch_size: 100 }} }}
exporters: {{ otlp_http: {{ endpoint: "http://127.0.0.1:{sink}", compression: none, tls: {{ insecure: true }} }} }}
service:
  runtime: {{ drain_timeout: 120s }} # the sink answers; on a busy machine it may take its time
  telemetry: {{ metrics: {{ level: none }} }}
  pipelines: {{ traces: {{ receivers: [otlp], processors: [batch], exporters: [otlp_http] }} }}
"""


class Sink(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen, lock, calls = collections.Counter(), threading.Lock(), itertools.count()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        call = next(self.calls)
        if call % 7 == 3:  # not now: the gateway has to come again
            return self.answer(503)
        time.sleep(0.002 * (call % 5))
        with self.lock:
            for r in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.seen.update(s.span_id for sc in r.scope_spans for s in sc.spans)
        self.answer(200)

    def answer(self, status):
        self.send_response(status)
        if status == 503:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def request(ids):
    q = ExportTraceServiceRequest()
    spans = q.resource_spans.add().scope_spans.add().spans
    for i in ids:
        spans.add(name="x", trace_id=b"\x01" * 16, span_id=struct.pack(">Q", i))
    return q.SerializeToString()


def sender(ids, accepted, ended):
    import http.client
    while not ended.is_set():
        mine = list(itertools.islice(ids, 5))
        try:
            conn = http.client.HTTPConnection("127.0.0.1", HTTP, timeout=10)
            while True:
                conn.request("POST", "/v1/traces", request(mine), {"Content-Type": "application/x-protobuf"})
                r = conn.getresponse()
                r.read()
                if r.status == 200:
                    accepted.update(struct.pack(">Q", i) for i in mine)
                mine = list(itertools.islice(ids, 5))
                if r.status != 200:
                    break
        except (OSError, http.client.HTTPException):
            time.sleep(0.01)


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", SINK), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ids, total = itertools.count(1), 0
    for n in range(ROUNDS):
        accepted, ended = set(), threading.Event()
        Sink.seen.clear()
        with Gateway(CONFIG.format(http=HTTP, sink=SINK), ports=(HTTP,)) as gw:
            threads = [threading.Thread(target=sender, args=(ids, accepted, ended)) for _ in range(4)]
            for t in threads:
                t.start()
            time.sleep(0.2 + 0.037 * n)
            gw.stop(150)
            ended.set()
            for t in threads:
                t.join()
            log = gw.text()
        missing = [i for i in accepted if not Sink.seen[i]]
        equal(len(missing), 0, f"round {n}: accepted and not delivered, of {len(accepted)} (log: {log[-1500:]})")
        equal([i for i, k in Sink.seen.items() if k > 1], [], f"round {n}: delivered twice")
        check(accepted, f"round {n}: nothing was accepted")
        total += len(accepted)
    print(f"drain: {total} accepted records in {ROUNDS} rounds, all delivered once")


main()

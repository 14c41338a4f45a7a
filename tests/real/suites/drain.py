# SPDX-License-Identifier: Apache-2.0
"""SIGTERM under load: what was accepted is delivered. Twenty rounds; each ends the gateway at another moment, with a sink that
takes its time. The sink's record ids are compared with those of the answered requests: none missing, none twice.

A round is mostly the second after which the sink wants to be asked again; so four run at a time, each in a process of its own
with a sink and a gateway of its own.
"""
import collections
import http.server
import itertools
import multiprocessing
import pathlib
import struct
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: E402

ROUNDS, LANES, SINK, DOOR = 20, 4, 25400, 25410
CONFIG = """
receivers: {{ otlp: {{ protocols: {{ http: {{ endpoint: "127.0.0.1:{http}" }} }} }} }}
processors: {{ batch: {{ timeout: 50ms, send_batch_size: 100 }} }}
# what the sink took and answered too late comes again, and counts twice: on a machine that stands still it may be long
exporters: {{ otlp_http: {{ endpoint: "http://127.0.0.1:{sink}", timeout: 120s, compression: none, tls: {{ insecure: true }} }} }}
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


def sender(port, ids, accepted, ended):
    import http.client
    while not ended.is_set():
        mine = list(itertools.islice(ids, 5))
        try:
            conn = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
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


def one_round(n, port, sink, ids):
    """How many records were accepted."""
    accepted, ended = set(), threading.Event()
    Sink.seen.clear()
    with Gateway(CONFIG.format(http=port, sink=sink), ports=(port,)) as gw:
        threads = [threading.Thread(target=sender, args=(port, ids, accepted, ended)) for _ in range(4)]
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
    return len(accepted)


def lane(number, results):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", SINK + number), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ids = itertools.count(1)
    results.put([one_round(n, DOOR + number, SINK + number, ids) for n in range(number, ROUNDS, LANES)])


def main():
    results = multiprocessing.SimpleQueue()
    lanes = [multiprocessing.Process(target=lane, args=(i, results)) for i in range(LANES)]
    for p in lanes:
        p.start()
    for p in lanes:
        p.join()
    equal([p.exitcode for p in lanes], [0] * LANES, "exit codes of the lanes, which said why above")
    rounds = [n for _ in range(LANES) for n in results.get()]
    equal(len(rounds), ROUNDS, "rounds")
    print(f"drain: {sum(rounds)} accepted records in {ROUNDS} rounds, all delivered once")


main()

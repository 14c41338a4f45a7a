# SPDX-License-Identifier: Apache-2.0
"""The fault sink and its checker, each judged by somebody else: requests are built from the published messages and sent with Python's
own HTTP and grpcio, and the journal must say what we know.   sink_test.py FAULTSINK FAULTSEND
"""
import collections
import gzip
import http.client
import json
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/real"))
import cramjam  # noqa: E402
import grpc  # noqa: E402
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse  # noqa: E402
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest  # noqa: E402

import faultcheck  # noqa: E402
from sinks.fault import FaultSink, Sender  # noqa: E402
from sinks.remote_write import V1, V2, V2_TYPE  # noqa: E402

SINK, SEND = sys.argv[1], sys.argv[2]
PB = {"Content-Type": "application/x-protobuf"}


def equal(got, want, text):
    if got != want:
        sys.exit(f"FAIL: {text}: {got!r}, not {want!r}")


def logs(ids, text="x"):
    q = ExportLogsServiceRequest()
    scope = q.resource_logs.add().scope_logs.add()
    for i in ids:
        r = scope.log_records.add(time_unix_nano=i)
        r.body.string_value = text
        r.attributes.add(key="other").value.string_value = "no id"
        r.attributes.add(key="rec.id").value.string_value = str(i)
    return q.SerializeToString()


def post(port, path, body, headers=PB, timeout=5):
    """(status, headers in lower case, body), or the name of what went wrong."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        c.request("POST", path, body, headers)
        r = c.getresponse()
        return r.status, {k.lower(): v for k, v in r.getheaders()}, r.read()
    except (OSError, http.client.HTTPException) as e:
        return type(e).__name__, {}, b""
    finally:
        c.close()


def export(port, body, timeout=5):
    """(code, RetryInfo seconds or None, response) of a gRPC call."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/opentelemetry.proto.collector.logs.v1.LogsService/Export", lambda b: b, ExportLogsServiceResponse.FromString)
        try:
            return 0, None, call(body, timeout=timeout)
        except grpc.RpcError as e:
            details = dict(e.trailing_metadata() or ()).get("grpc-status-details-bin")
            return e.code().value[0], details[-1] if details else None, None


class Case:
    """A sink with a journal of its own."""

    def __init__(self, *script):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="faultsink-"))
        self.sink = FaultSink(self.folder, binary=SINK, args=("--seed", 7))
        self.port = self.sink.port["sink"]
        if script:
            self.sink.script("sink", *script)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sink.stop()
        shutil.rmtree(self.folder)

    def flags(self):
        """id: [flags of each copy, with T for told and U for untold], once no exchange is open."""
        end = time.monotonic() + 5
        while self.sink.stats("sink")["open"] and time.monotonic() < end:
            time.sleep(0.01)
        j = faultcheck.Journal(self.sink.journal)
        return {i: [("a" if c[1] else "-") + c[2] + c[3] + ("T" if j.exchanges[c[0]].told else "U") for c in copies] for i, copies in j.copies.items()}


def http_faults():
    """What each fault does to one request of OTLP/HTTP with ids 1 and 2: what the client sees, and what the journal says."""
    table = {
        "status=200": (200, "a?yT"),
        "status=503 retry_after=2": (503, "-?rT"),
        "status=503 apply=1": (503, "a?rT"),
        "status=400": (400, "-?nT"),
        "status=500": (500, "-?nT"),  # OTLP: not among the four that may come again
        "status=429": (429, "-?rT"),
        "status=307 location=/elsewhere": (307, "-??T"),
        "delay_ms=50": (200, "a?yT"),
        "body=garbage": (200, "a??T"),
        "body=half": ("IncompleteRead", "a??U"),
        "claim=5": (200, "a??T"),
        "cut_out=0 apply=1": ("RemoteDisconnected", "a?yU"),
        "cut_out=1": ("BadStatusLine", "a?yU"),
        "cut_out=0 how=rst": ("ConnectionResetError", "a?yU"),
        "cut_in=1": ("RemoteDisconnected|ConnectionResetError|BrokenPipeError", None),
        "cut_in=100 how=rst": ("ConnectionResetError|BrokenPipeError", None),
        "cut_in=100 how=half": ("RemoteDisconnected", None),
        "conn cut_in=0": ("RemoteDisconnected|ConnectionResetError|BrokenPipeError", None),
    }
    for fault, (seen, flags) in table.items():
        with Case(f"next {fault}") as c:
            status, headers, body = post(c.port, "/v1/logs", logs([1, 2]))
            if status not in str(seen).split("|") and status != seen:
                sys.exit(f"FAIL: {fault}: the client saw {status}, not {seen}")
            equal(c.flags(), {1: [flags], 2: [flags]} if flags else {}, fault)
            equal(headers.get("retry-after"), "2" if "retry_after" in fault else None, fault)
            equal(headers.get("location"), "/elsewhere" if "location" in fault else None, fault)
            equal(post(c.port, "/v1/logs", logs([3]))[0], 200, f"{fault}: the one after it")
    return len(table)


def partial():
    with Case("next reject=3", "next reject=3") as c:
        _, _, body = post(c.port, "/v1/logs", logs(range(1, 8)))
        equal(ExportLogsServiceResponse.FromString(body).partial_success.rejected_log_records, 2, "rejected, HTTP")
        code, _, answer = export(c.port, logs(range(11, 18)))
        equal((code, answer.partial_success.rejected_log_records), (0, 2), "rejected, gRPC")
        flags = c.flags()
        equal({i for i, f in flags.items() if f == ["-?nT"]}, {3, 6, 12, 15}, "refused")
        equal({i for i, f in flags.items() if f == ["a?yT"]}, {1, 2, 4, 5, 7, 11, 13, 14, 16, 17}, "applied")


def grpc_faults():
    for code in range(17):
        with Case(f"next grpc={code} retry_after=9") as c:
            got, retry, _ = export(c.port, logs([1]))
            equal((got, retry), (code, 9 if code else None), "code and RetryInfo")
            said = "y" if code == 0 else "r" if code in (1, 4, 8, 10, 11, 14, 15) else "n"
            equal(c.flags(), {1: [("a" if code == 0 else "-") + f"?{said}T"]}, f"code {code}")
    for fault, codes, flags in (("no_trailers", (2, 13), "a??T"), ("status=503", (14,), "-??T"), ("stall", (4,), "-?yU"), ("stall apply=1", (4,), "a?yU"),
                                ("cut_out=0", (14,), "a?yU"), ("cut_in=30 how=rst", (14,), None), ("body=garbage bytes=70000", (2, 8, 12, 13), "a??T"),
                                ("body=half", (14, 2, 13), "a??U"), ("grpc=8", (8,), "-?nT")):
        with Case(f"next {fault}") as c:
            code = export(c.port, logs([1]), 0.5 if "stall" in fault else 5)[0]
            if code not in codes:
                sys.exit(f"FAIL: {fault}: code {code}")
            equal(c.flags(), {1: [flags]} if flags else {}, fault)


def compressed():
    with Case() as c:
        equal(post(c.port, "/v1/logs", gzip.compress(logs([1])), {**PB, "Content-Encoding": "gzip"})[0], 200, "gzip")
        equal(post(c.port, "/v1/logs", b"\xff\xff\xff")[0], 400, "no protobuf")
        equal(post(c.port, "/v1/logs", logs([2])[:-1])[0], 400, "a cut message")
        equal(c.flags(), {1: ["a?yT"]}, "journal")


def series(ids):
    one, two = V1(), V2(symbols=["", "__name__", "rec_value", "rec_id"])
    for i in ids:
        value = float((i * 0x9e3779b97f4a7c15 & (1 << 64) - 1) >> 12)
        s = one.timeseries.add()
        s.labels.add(name="__name__", value="rec_value")
        s.labels.add(name="rec_id", value=str(i))
        s.samples.add(value=value, timestamp=i)
        two.symbols.append(str(i))
        s = two.timeseries.add(labels_refs=[1, 2, 3, len(two.symbols) - 1])
        s.samples.add(value=value + (i == 5) - (i == 6), timestamp=i)  # 5 and 6 are wrong in 2.0
    return [bytes(cramjam.snappy.compress_raw(m.SerializeToString())) for m in (one, two)]


def remote_write():
    v2 = {"Content-Type": V2_TYPE, "Content-Encoding": "snappy"}
    written = "x-prometheus-remote-write-samples-written"
    one, two = series(range(1, 7))
    with Case() as c:
        equal(post(c.port, "/api/v1/write", one)[0], 204, "1.0")
        status, headers, _ = post(c.port, "/api/v1/write", two, v2)
        equal((status, headers[written]), (204, "6"), "2.0")
        equal(c.flags(), {i: ["aiyT", "a!yT" if i in (5, 6) else "aiyT"] for i in range(1, 7)}, "journal")
        c.sink.script("sink", "next reject=2", "next no_written", "next status=500", "next claim=-6")
        status, headers, _ = post(c.port, "/api/v1/write", two, v2)
        equal((status, headers[written]), (400, "3"), "2.0 in part")
        status, headers, _ = post(c.port, "/api/v1/write", two, v2)
        equal((status, headers.get(written)), (204, None), "without Written headers")
        equal(post(c.port, "/api/v1/write", one)[0], 500, "500")
        equal(post(c.port, "/api/v1/write", two, v2)[1][written], "0", "a count that lies")
        flags = c.flags()
        equal((flags[2][2:], flags[3][2:]), (["-inT", "ai?T", "-irT", "ai?T"], ["aiyT", "ai?T", "-irT", "ai?T"]), "journal of both")


def documents(ids, op="create"):
    return "".join(json.dumps({op: {"_index": "logs", "_id": f"k{i}"}}, separators=(",", ":")) + "\n"
                   + json.dumps({"body": {"text": "x"}, "attributes": {"rec.id": str(i)}}, separators=(",", ":")) + "\n" for i in ids).encode()


def bulk():
    def items(body):
        return [next(iter(x.values()))["status"] for x in json.loads(body)["items"]]

    with Case() as c:
        json_ = {"Content-Type": "application/x-ndjson"}
        equal(items(post(c.port, "/_bulk", documents([1, 2]), json_)[2]), [201, 201], "new")
        equal(items(post(c.port, "/_bulk", documents([2, 3]), json_)[2]), [409, 201], "one is there")
        c.sink.script("sink", "next reject=2 item=429", "next status=429", "next apply=1 cut_out=0", "next claim=-1")
        equal(items(post(c.port, "/_bulk", documents([4, 5]), json_)[2]), [429, 201], "item status")
        equal(post(c.port, "/_bulk", documents([4]), json_)[0], 429, "of the request")
        equal(post(c.port, "/_bulk", documents([4]), json_)[0], "RemoteDisconnected", "applied, and gone")
        equal(len(items(post(c.port, "/_bulk", documents([4, 6]), json_)[2])), 1, "an item too few")
        equal(c.flags(), {1: ["a?yT"], 2: ["a?yT", "-?yT"], 3: ["a?yT"], 4: ["-?rT", "-?rT", "a?yU", "-??T"], 5: ["a?yT"], 6: ["a??T"]}, "journal")
        equal(post(c.port, "/_bulk", b"{}\n", json_)[0], 400, "no bulk request")


def rss_kib(pid):
    return int(next(x for x in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmRSS")).split()[1])


def slow_and_huge():
    with Case("next slow_read=20000", "next body=garbage bytes=50000000") as c:
        t0 = time.monotonic()
        equal(post(c.port, "/v1/logs", logs(range(1, 11), "x" * 1000))[0], 200, "slow")
        if time.monotonic() - t0 < 0.4:
            sys.exit("FAIL: 10 kB were read at more than 20 kB/s")
        before = rss_kib(c.sink.p.pid)
        equal(len(post(c.port, "/v1/logs", logs([20]))[2]), 50000000, "bytes of garbage")
        if rss_kib(c.sink.p.pid) - before > 20000:
            sys.exit("FAIL: a large answer is kept in memory")


def every_byte():
    """Cut after each byte of the request, and of the answer: a connection that ends, the next one works, the journal is right."""
    body = logs([1])
    head = (f"POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: {len(body)}\r\n\r\n").encode()
    whole = head + body

    def ask(port):
        with socket.create_connection(("127.0.0.1", port), 5) as s:
            out = b""
            try:
                s.sendall(whole)
                s.shutdown(socket.SHUT_WR)
                while data := s.recv(4096):
                    out += data
            except OSError:
                pass
            return out

    with Case() as c:
        c.sink.script("sink", *(f"next cut_in={n}" for n in range(len(whole))))
        for n in range(len(whole)):
            equal(ask(c.port), b"", f"cut after byte {n} of the request")
        equal(c.flags(), {}, "nothing applied")
        answer = b"HTTP/1.1 200 Status\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n"
        c.sink.script("sink", *(f"next cut_out={n}" for n in range(len(answer) + 1)))
        for n in range(len(answer) + 1):
            equal(ask(c.port), answer[:n], f"cut after byte {n} of the answer")
        equal(collections.Counter(c.flags()[1]), {"a?yU": len(answer), "a?yT": 1}, "applied each time, told once")
        c.sink.script("sink", f"next cut_out={len(answer)} how=rst")
        ask(c.port)
        equal(c.flags()[1][-1], "a?yU", "a reset may throw away what was sent")
    return len(whole) + len(answer) + 1


def seeded():
    """The same seed gives the same faults, and a mix is what its weights say."""
    def run(seed):
        with Case() as c:
            c.sink.stop()
            sink = FaultSink(c.folder, binary=SINK, args=("--seed", seed))
            sink.script("sink", "mix 300 status=503", "mix 200 status=400")
            out = [post(sink.port["sink"], "/v1/logs", logs([i]))[0] for i in range(200)]
            c.sink = sink
            return out
    a, b, other = run(1), run(1), run(2)
    equal(a, b, "two runs of a seed")
    if a == other or not (35 <= a.count(503) <= 85 and 20 <= a.count(400) <= 60):
        sys.exit(f"FAIL: mix of 300 and 200 per mille: {collections.Counter(a)}")


def scripts():
    with Case() as c:
        for bad in ("next status=", "next statu=1", "mix 1001 stall", "mix x stall", "nix", "next how=never", "next stall=1"):
            try:
                c.sink.script("sink", bad)
            except ValueError:
                continue
            sys.exit(f"FAIL: {bad!r} was taken")
        c.sink.script("sink", "next status=503", "clear")
        equal(post(c.port, "/v1/logs", logs([1]))[0], 200, "after clear")


def kills():
    """pid names who is killed, where, and the journal says so."""
    for fault, where, flags in (("kill=applied", "applied", "a?yT"), ("kill=told", "told", "a?yT"), ("cut_in=100 how=kill", "send", None),
                                ("body=half how=kill", "answer", "a??U")):
        with Case(f"next {fault}") as c, subprocess.Popen(["sleep", "60"]) as victim:
            c.sink.script("sink", f"pid {victim.pid}")
            post(c.port, "/v1/logs", logs([1]))
            equal(victim.wait(5), -9, fault)
            equal(c.flags(), {1: [flags]} if flags else {}, fault)
            equal([w for _, w in faultcheck.Journal(c.sink.journal).kills], [where], fault)


def sender():
    """faultsend over both transports and three signals: told, refused, in part, unknown; all records intact."""
    for proto in ("h1", "grpc"):
        for n, signal in enumerate(("logs", "traces", "metrics")):
            with Case("next status=503" if proto == "h1" else "next grpc=14", "next cut_out=0", "next reject=2", "next stall") as c:
                log = c.folder / "sent"
                got = Sender(log, c.port, binary=SEND, proto=proto, signal=signal, rate=100, seconds=0.6, timeout=0.3, rows=5, conns=1, streams=1).wait()
                sent, journal = faultcheck.Sent([log]), faultcheck.Journal(c.sink.journal)
                equal((sent.counts["R"], sent.counts["U"], sent.counts["P"]), (5, 10, 5), f"{proto} {signal}: told otherwise")
                equal(sent.counts["A"], got["accepted"], f"{proto} {signal}: accepted")
                v = faultcheck.judge(sent, journal)
                equal((v.wrong(), v.delivered, v.unsure), ("", got["accepted"], 5 + (3 if 15 % 2 else 2)), f"{proto} {signal}: {v}")
                equal({c[2] for copies in journal.copies.values() for c in copies}, {"i"}, "content")
                equal({journal.exchanges[c[0]].fault for c in journal.copies[1]}, {"status=503" if proto == "h1" else "grpc=14"}, "name of the fault")


def checker():
    """Verdicts on journals written by hand."""
    folder = pathlib.Path(tempfile.mkdtemp())
    sent, journal = folder / "sent", folder / "journal"

    def verdict(s, j, kills=(), window=1.0):
        sent.write_text(s)
        journal.write_text(j)
        return faultcheck.judge(faultcheck.Sent([sent]), faultcheck.Journal(journal), kills, window)

    a1, r1 = "A 1 100 s bulk l -\nR 1 1 aa {}\n", "A 2 900 s bulk l -\nR 2 1 aa aiy\n"
    cases = (
        ("A 50 1 1\n", "", (), "1 lost: [1]", {}),
        ("A 50 1 1\n", a1.format("aiy") + "E 1 200 told\n", (), "", {}),
        ("A 50 1 1\n", a1.format("-iy") + "E 1 200 told\n", (), "", {}),  # a document that is there
        ("A 50 1 1\n", a1.format("-ir") + "E 1 200 told\n", (), "1 lost: [1]", {}),
        ("A 50 1 1\n", a1.format("-in") + "E 1 200 told\n", (), "", {}),
        ("A 50 1 1\n", a1.format("-in") + "E 1 200 untold\n", (), "1 lost: [1]", {}),
        ("A 50 1 1\n", a1.format("a!y"), (), "1 broken: [1]", {}),
        ("R 50 1 1 503\n", a1.format("aiy"), (), "", {}),
        ("A 50 2 1\n", a1.format("aiy") + "R 1 2 bb aiy\n", (), "1 phantom: [1]", {}),
        ("A 50 1 1\n", a1.format("aiy") + r1, (), "", {"untold": 1}),
        ("A 50 1 1\n", a1.format("aiy") + "E 1 200 told\n" + r1, (), "1 unexplained duplicates: [1]", {"unexplained": 1}),
        ("A 50 1 1\n", a1.format("air") + "E 1 200 told\n" + r1, (), "", {"denied": 1}),
        ("A 50 1 1\n", a1.format("aiy") + "E 1 200 told\n" + r1, (300,), "", {"crash": 1}),
        ("A 50 1 1\n", a1.format("aiy") + "E 1 200 told\n" + r1, (150,), "1 unexplained duplicates: [1]", {"unexplained": 1}),
        ("A 50 1 1\n", a1.format("aiy") + "E 1 200 told\n" + r1.replace("aa", "ab"), (300,), "1 broken: [1]", {"crash": 1}),
    )
    for n, (s, j, kills_, wrong, copies) in enumerate(cases):
        v = verdict(s, j, kills_)
        equal((v.wrong(), dict(v.copies)), (wrong, copies), f"case {n}")
    equal(verdict(cases[12][0], cases[12][1], (300,), 0.00000005).wrong(), "1 unexplained duplicates: [1]", "outside of the window")
    verdict("A 50 1 1\nA 300 2 1\n", a1.format("aiy"))
    equal(faultcheck.undelivered_at(faultcheck.Sent([sent]), faultcheck.Journal(journal), [40, 60, 200, 400]), [0, 1, 0, 1], "open at a kill")
    shutil.rmtree(folder)
    return len(cases)


for test in (checker, scripts, http_faults, partial, grpc_faults, compressed, remote_write, bulk, slow_and_huge, every_byte, seeded, kills, sender):
    t0 = time.monotonic()
    n = test()
    print(f"{test.__name__}{f' ({n})' if n else ''}: {time.monotonic() - t0:.2f} s", flush=True)

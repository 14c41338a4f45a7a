# SPDX-License-Identifier: Apache-2.0
"""elasticsearch and servers that are slow, rude or wrong, each trouble at a path of its own: what can be delivered is there exactly
once, what cannot is a dead letter with the server's words, and the gateway's count adds up.
"""
import collections
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
from metrics_corpus import key_values  # noqa: E402
from sinks.bulk import JSON, BulkSink  # noqa: E402
from sinks.http_sink import OK, Answer  # noqa: E402

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest  # noqa: E402

REJECTS = RUN / "es_trouble-rejects.jsonl"
N, REQUESTS, BAD = 600, 6, 7  # records, in how many requests, and every how many-th some servers never take
WORDS = "failed to parse field [attributes.seq] of type [long]"


def is_bad(seq):
    return seq % 100 == BAD


def seq(d):
    return d.source["attributes"]["seq"]


def has_bad(request):
    return any(is_bad(seq(d)) for d in request.data)


def at_most(n):
    return lambda request: Answer(413, JSON, b"{}") if len(request.data) > n else None


def items(n, status=201):
    return json.dumps({"took": 1, "errors": False, "items": [{"create": {"status": status}}] * n}).encode()


def counts_wrong(by):
    """All is applied, and the first answers tell of more or fewer documents than there were."""
    return lambda request: Answer(200, JSON, items(len(request.data) + by), store=True) if request.number < 2 else None


def poison(request):
    return Answer(400, JSON, b'{"error":{"type":"illegal_argument_exception","reason":"no"},"status":400}') if has_bad(request) else None


HTML = {"Content-Type": "text/html"}
PAGE = b"<html><body>" + b"x" * 5000
# name: (script of requests, what becomes of the records: all, good (all but the bad ones) or none)
TROUBLES = {
    "retry_after": ([Answer(429, {"Retry-After": "1"}, b"{}")] * 2, "all"),
    "http_500": ([Answer(500, {}, b"oops")] * 3, "all"),
    "http_503_html": ([Answer(503, HTML, PAGE)] * 3, "all"),
    "http_200_html": ([Answer(200, HTML, PAGE, store=False)] * 3, "all"),
    "empty_200": ([Answer(200, JSON, b"")] * 2, "all"),
    "redirect": (lambda request: Answer(307, {"Location": "/elsewhere/_bulk"}), "none"),
    "http_400": (lambda request: Answer(400, JSON, b"{}"), "none"),
    "stall": ([Answer(stall=True)], "all"),
    "close_after_applying": ([Answer(close=True, store=True)] * 2, "all"),
    "half_an_answer": ([Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + items(1)[:40], store=True)] * 2, "all"),
    "fewer_items": (counts_wrong(-1), "all"),
    "more_items": (counts_wrong(1), "all"),
    "http_413": (at_most(17), "all"),
    "poison": (poison, "good"),
    "items_429": ([], "all"),
    "items_503": ([], "all"),
    "items_400": ([], "good"),
}


class Items:
    """What single documents are told: a refusal for a while, a third of them each time; or for good."""

    def __init__(self):
        self.tries = collections.Counter()

    def __call__(self, d):
        name = d.path.split("/")[1]
        if name == "items_400" and is_bad(seq(d)):
            return 400, "mapper_parsing_exception", WORDS
        if name in ("items_429", "items_503"):
            self.tries[name, seq(d)] += 1
            if (seq(d) + self.tries[name, seq(d)]) % 3 and self.tries[name, seq(d)] < 3:
                return int(name[-3:]), "es_rejected_execution_exception", "rejected execution"
        return None


def config(names, url):
    common = {"document_id": "record", "timeout": "20s", "retry": {"initial_interval": "50ms", "max_interval": "200ms"},
              "sending_queue": {"batch": {"flush_timeout": "50ms", "min_size": 1}}, "ports": {"dead_letter": ["file/rejects"]}}
    named = {f"elasticsearch/{n}": {"endpoint": f"{url}/{n}", **common, **({"timeout": "1s"} if n == "stall" else {})} for n in names}
    return json.dumps({
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{HTTP}"}}}},
        "exporters": {**named, "file/rejects": {"path": str(REJECTS)}},
        "service": {"telemetry": {"metrics": {"readers": [{"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": METRICS}}}}]}},
                    "pipelines": {"logs": {"receivers": ["otlp"], "exporters": list(named)}}},
    })


def request(numbers):
    q = ExportLogsServiceRequest()
    scope = q.resource_logs.add().scope_logs.add()
    for i in numbers:
        x = scope.log_records.add(time_unix_nano=1_764_000_000_000_000_000 + i)
        x.body.string_value = f"record {i}"
        x.attributes.extend(key_values({"seq": i}))
    return q.SerializeToString()


def settled(name):
    return tuple(int(metric(f"otelcol_exporter_{what}_log_records", exporter=f"elasticsearch/{name}")) for what in ("sent", "send_failed"))


def main():
    REJECTS.unlink(missing_ok=True)
    n_bad = sum(is_bad(i) for i in range(N))
    ends = {"all": (N, 0), "good": (N - n_bad, n_bad), "none": (0, N)}
    with BulkSink() as sink:
        sink.item = Items()
        for name, (script, _) in TROUBLES.items():
            sink.script(f"/{name}/_bulk", *([script] if callable(script) else [*script, OK]))
        with Gateway(config(TROUBLES, sink.url("")), ports=(HTTP,)) as gw:
            for i in range(0, N, N // REQUESTS):
                status, _, answer = post(f"http://127.0.0.1:{HTTP}/v1/logs", request(range(i, i + N // REQUESTS)), {"Content-Type": "application/x-protobuf"})
                equal(status, 200, f"{answer!r}")
            for name, (_, kept) in TROUBLES.items():
                wait_for(lambda: f"{name}: {settled(name)} of {N} records", 60, lambda: sum(settled(name)) >= N)
                equal(settled(name), ends[kept], f"{name}: sent and failed records")
            gw.stop()
        check(not sink.wrong(), f"{sink.wrong()[:1]}")
        equal(sink.of("/elsewhere/_bulk", stored=False), [], "requests where the redirect points")
        for name, (_, kept) in TROUBLES.items():
            found = collections.Counter(seq(d) for d in sink.kept if d.path == f"/{name}/_bulk")
            want = collections.Counter(i for i in range(N) if kept == "all" or (kept == "good" and not is_bad(i)))
            missing, more = want - found, found - want
            check(not missing and not more, f"{name}: {sum(missing.values())} missing, {sum(more.values())} too much: {list(missing + more)[:5]}")
            letters = [d for d in dead_letters(REJECTS) if d["component"] == f"elasticsearch/{name}"]
            equal(sum(int(d["rows"]) for d in letters), ends[kept][1], f"{name}: records in dead letters")
            check(name != "items_400" or all(WORDS in d["message"] for d in letters), f"{name}: {letters[:1]}")
            print(f"{name}: {kept}, in {len(sink.of(f'/{name}/_bulk', stored=False))} requests, {len(letters)} dead letters", flush=True)
        waits = [r.at for r in sink.of("/retry_after/_bulk", stored=False)]
        check(waits[-1] - waits[0] >= 0.95, "Retry-After was not waited for")


main()

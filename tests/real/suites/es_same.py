# SPDX-License-Identifier: Apache-2.0
"""Documents of every mapping mode in a real OpenSearch: log records, spans with events and points go to the server and to a recording
sink. The server takes every document, has the fields that were sent, in the indices they were sent to; what has no document in a
mode, such as a body that is no map in bodymap, is a dead letter with a reason. And nothing that a record brings, in names, values,
indices or data sets, breaks its neighbours.
"""
import collections
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
import records_corpus as records  # noqa: E402
from metrics_corpus import ATTRIBUTES, BASE_NS, key_values  # noqa: E402
from search_api import ask, everything  # noqa: E402
from sinks.bulk import OPENSEARCH, BulkSink  # noqa: E402

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest  # noqa: E402

REJECTS = RUN / "es_same-rejects.jsonl"
# mode: what is sent
MODES = {
    "otel": {"logs": records.logs("mixed"), "traces": records.traces(), "metrics": records.metrics()},
    "ecs": {"logs": records.logs(), "traces": records.traces(), "metrics": records.metrics()},
    "raw": {"logs": records.logs(), "traces": records.traces()},
    "none": {"logs": records.logs(), "traces": records.traces(), "metrics": records.metrics()},
    "bodymap": {"logs": records.logs("map")},
}


def config(exporters, signals):
    return json.dumps({
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{HTTP}"}}}},
        "exporters": {**exporters, "file/rejects": {"path": str(REJECTS)}},
        "service": {"telemetry": {"metrics": {"level": "none"}},
                    "pipelines": {s: {"receivers": ["otlp"], "exporters": list(exporters)} for s in signals}},
    })


def text(source):
    return json.dumps(source, sort_keys=True, ensure_ascii=False)


def where(index):
    """The data stream of a backing index."""
    return index.removeprefix(".ds-").rsplit("-", 1)[0] if index.startswith(".ds-") else index


def one(mode, what, url):
    REJECTS.unlink(missing_ok=True)
    with BulkSink(about=OPENSEARCH) as sink:
        common = {"mapping": {"allowed_modes": [mode]}, "sending_queue": {"batch": {"flush_timeout": "100ms"}}, "ports": {"dead_letter": ["file/rejects"]}}
        exporters = {"elasticsearch/server": {"endpoint": url, **common}, "elasticsearch/sink": {"endpoint": sink.url(""), **common}}
        with Gateway(config(exporters, what), ports=(HTTP,)) as gw:
            for signal, q in what.items():
                status, _, answer = post(f"http://127.0.0.1:{HTTP}/v1/{signal}", q.SerializeToString(), {"Content-Type": "application/x-protobuf"})
                equal(status, 200, f"{mode} {signal}: {answer!r}")
            gw.stop()
        check(not sink.wrong(), f"{mode}: {sink.wrong()[:1]}")
        sent = collections.Counter((d.index, text(d.source)) for d in sink.kept)
    have = collections.Counter((where(h["_index"]), text(h["_source"])) for h in everything(url, "*"))
    letters = dead_letters(REJECTS)
    refused = [d for d in letters if d["component"] == "elasticsearch/server"]
    for d in refused[:5]:
        print(f"{mode}: refused: {d['reason']} {d['message'][:300]}")
    check(sum(sent.values()) > 50, f"{mode}: {sum(sent.values())} documents; {letters[:1]}")
    equal(len(refused), sum(d["component"] == "elasticsearch/sink" for d in letters), f"{mode}: dead letters of the server, and of a sink that takes all")
    for a, b, word in ((sent, have, "missing"), (have, sent, "too much")):
        left = a - b
        check(not left, f"{mode}: {sum(left.values())} {word}: {list(left)[:2]}")
    print(f"{mode}: {sum(sent.values())} documents in {len({i for i, _ in sent})} indices, {len(letters)} dead letters", flush=True)
    ask(f"{url}/logs-*,traces-*,metrics-*", method="DELETE")


INDICES = ['{"create":{}}', "../up", "a/b", "UPPER", "*", "a b", "", "x" * 10240, "logs-own-\u2028", '"', "\\", "#", ":", ".hidden", "-minus", "a,b", "😀", "\n{}\n"]
DATASETS = ['"},{"x":"', "../../x", "A B", "ü", "d" * 500, "a-b-c", "*,?", "\x00\x1f"]


def odd_records():
    """Every second record is an ordinary one, the others bring every oddity of names, values, indices and data sets."""
    q = ExportLogsServiceRequest()
    oddities = [*ATTRIBUTES, {"a": {"b": {"c": {"d": 1}}}}, {"a.b": 1}, {f"k{i}": i for i in range(2000)}, {"..": 1}, {".": 1}, {"a.": 1}, {".a": 1}, {" ": 1}]
    oddities += [{"elasticsearch.index": x} for x in INDICES] + [{"data_stream.dataset": x, "data_stream.namespace": x} for x in DATASETS]
    scope = q.resource_logs.add().scope_logs.add()
    for i, attributes in enumerate(oddities):
        for good in (True, False):
            x = scope.log_records.add(time_unix_nano=BASE_NS + i)
            x.body.string_value = f"good {i}" if good else f"odd {i}"
            x.attributes.extend(key_values({"n": i} if good else attributes))
    return q, len(oddities)


def odd(mode, url):
    """Nothing that a record brings breaks its neighbours: each is stored, or a dead letter with a reason."""
    REJECTS.unlink(missing_ok=True)
    q, n = odd_records()
    exporter = {"endpoint": url, "mapping": {"allowed_modes": [mode]}, "sending_queue": {"batch": {"flush_timeout": "100ms"}},
                "ports": {"dead_letter": ["file/rejects"]}, "document_id": "record"}
    with Gateway(config({"elasticsearch": exporter}, ["logs"]), ports=(HTTP,)) as gw:
        status, _, answer = post(f"http://127.0.0.1:{HTTP}/v1/logs", q.SerializeToString(), {"Content-Type": "application/x-protobuf"})
        equal(status, 200, f"odd records: {answer!r}")
        gw.stop()
    body = {"otel": lambda s: s["body"]["text"], "ecs": lambda s: s["message"], "raw": lambda s: s["Body"], "none": lambda s: s["Body"]}[mode]
    stored = collections.Counter(body(h["_source"]) for h in everything(url, "*"))
    letters = dead_letters(REJECTS)
    refused = sum(int(d["rows"]) for d in letters)
    for i in range(n):
        equal(stored[f"good {i}"], 1, f"{mode}: the neighbour of oddity {i} ({collections.Counter(d['reason'] for d in letters)})")
    equal(sum(stored.values()) + refused, 2 * n, f"{mode}: records stored and refused")
    check(all(d["reason"] and d["message"] for d in letters), f"{letters[:1]}")
    print(f"{mode}: {n} oddities: {sum(stored.values()) - n} stored, {refused} refused: {dict(collections.Counter(d['reason'] for d in letters))}", flush=True)
    ask(f"{url}/*", method="DELETE")


def main():
    with opensearch() as url:
        for mode in ("otel", "ecs", "raw", "none"):
            odd(mode, url)
        for mode, what in MODES.items():
            one(mode, what, url)


main()

# SPDX-License-Identifier: Apache-2.0
"""Documents of every mapping mode in a real OpenSearch: log records, spans with events and points go to the server and to a recording
sink. The server takes every document, has the fields that were sent, in the indices they were sent to; what has no document in a
mode, such as a body that is no map in bodymap, is a dead letter with a reason.
"""
import collections
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
import records_corpus as records  # noqa: E402
from search_api import ask, everything  # noqa: E402
from sinks.bulk import OPENSEARCH, BulkSink  # noqa: E402

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


def main():
    with opensearch() as url:
        for mode, what in MODES.items():
            one(mode, what, url)


main()

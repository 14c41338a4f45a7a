# SPDX-License-Identifier: Apache-2.0
"""elasticsearch into a real OpenSearch that has no easy day: 100,000 records while whole requests get 429 (its indexing pressure),
then it is killed, then comes back and single documents get 429 (its write queue). With document_id: record every record is there
once, records of the same content too. What a mapping refuses is a dead letter with the server's type and reason; a rule can
make it fit.
"""
import collections
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
from metrics_corpus import key_values  # noqa: E402
from search_api import ask, everything  # noqa: E402

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest  # noqa: E402

N, PER_REQUEST, CONFLICTS, TWINS = 100_000, 500, 100, 50
REJECTS = RUN / "es_delivery-rejects.jsonl"
WHOLE = "indexing_pressure.memory.limit=400kb"                     # two requests at once are too much
SINGLE = "thread_pool.write.queue_size=1 thread_pool.write.size=1"  # and here some of a request's documents
TEMPLATE = {
    "index_patterns": ["logs-*-*"], "data_stream": {}, "priority": 200,
    "template": {"settings": {"number_of_replicas": 0, "number_of_shards": 2},
                 "mappings": {"properties": {"@timestamp": {"type": "date_nanos", "format": "epoch_millis||strict_date_optional_time_nanos"},
                                             "attributes": {"properties": {"code": {"type": "long"}, "seq": {"type": "long"}, "word": {"type": "keyword"}}}}}},
}


def config(url, **more):
    exporter = {"endpoint": url, "document_id": "record", "max_request_bytes": 250_000, "timeout": "10s",
                "retry": {"initial_interval": "50ms", "max_interval": "500ms"}, "retry_on_failure": {"max_elapsed_time": 0},
                "sending_queue": {"num_consumers": 8, "queue_size": 100, "block_on_overflow": True,
                                  "batch": {"flush_timeout": "100ms", "min_size": 200_000, "max_size": 500_000, "sizer": "bytes"}},
                "ports": {"dead_letter": ["file/rejects"]}, **more}
    return json.dumps({
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{HTTP}"}}}},
        "exporters": {"elasticsearch": exporter, "file/rejects": {"path": str(REJECTS)}},
        "service": {"telemetry": {"metrics": {"readers": [{"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": METRICS}}}}]}},
                    "runtime": {"drain_timeout": "60s"},
                    "pipelines": {"logs": {"receivers": ["otlp"], "exporters": ["elasticsearch"]}}},
    })


def request(numbers, code=lambda i: i, word=lambda i: "w"):
    q = ExportLogsServiceRequest()
    r = q.resource_logs.add()
    r.resource.attributes.extend(key_values({"service.name": "delivery"}))
    scope = r.scope_logs.add()
    for i in numbers:
        x = scope.log_records.add(time_unix_nano=1_764_000_000_000_000_000 + i * 1_000_000, severity_number=9)
        x.body.string_value = f"record {i}"
        x.attributes.extend(key_values({"seq": i, "code": code(i), "word": word(i)}))
    return q.SerializeToString()


def send(body):
    for _ in range(100):
        status, _, answer = post(f"http://127.0.0.1:{HTTP}/v1/logs", body, {"Content-Type": "application/x-protobuf"})
        if status == 200:
            return
        check(status in (429, 503), f"status {status}: {answer!r}")
        time.sleep(0.2)
    check(False, "never taken")


def settled():
    return metric("otelcol_exporter_sent_log_records") + metric("otelcol_exporter_send_failed_log_records")


def restart(settings):
    part("opensearch.sh", "kill")
    part("opensearch.sh", "start", env={"OPENSEARCH_SETTINGS": settings})


def delivery(url):
    half = N // 2
    with Gateway(config(url), ports=(HTTP,)) as gw:
        for i in range(0, half, PER_REQUEST):
            send(request(range(i, i + PER_REQUEST)))
        wait_for("documents before the restart", 60, lambda: settled() > half // 4)
        whole = metric("otelcol_elasticsearch_docs_retried_http_request")
        check(whole > 0, "no request was refused as a whole")
        restart(SINGLE)
        single = metric("otelcol_elasticsearch_docs_retried")
        for i in range(half, N, PER_REQUEST):
            send(request(range(i, i + PER_REQUEST)))
        for _ in range(2):  # the same twice, and both are meant
            send(request([N] * TWINS))
        send(request(range(N + 1, N + 1 + CONFLICTS), code=lambda i: f"text {i}" if i % 2 else i))
        wait_for(lambda: f"all settled ({settled()} are)", 200, lambda: settled() >= N + 2 * TWINS + CONFLICTS)
        single = metric("otelcol_elasticsearch_docs_retried") - single
        check(single > 0, "no document was refused alone")
        equal(metric("otelcol_exporter_send_failed_log_records"), CONFLICTS // 2, "failed records")
        gw.stop(60)
    found = collections.Counter(h["_source"]["attributes"]["seq"] for h in everything(url, "logs-*"))
    want = collections.Counter({**{i: 1 for i in range(N)}, N: 2 * TWINS, **{i: 1 for i in range(N + 1, N + 1 + CONFLICTS) if i % 2 == 0}})
    missing, more = want - found, found - want
    check(not missing and not more, f"{sum(missing.values())} missing {list(missing)[:5]}, {sum(more.values())} too much {list(more)[:5]}")
    letters = dead_letters(REJECTS)
    equal(sum(int(d["rows"]) for d in letters), CONFLICTS // 2, f"records in dead letters ({letters[:1]})")
    for d in letters:
        check("mapper_parsing_exception" in d["message"] and "attributes.code" in d["message"], f"dead letter without the server's words: {d}")
    print(f"{sum(found.values())} records once each; {whole:.0f} tries in requests refused whole, {single:.0f} of documents alone; "
          f"{CONFLICTS // 2} conflicts in {len(letters)} dead letters", flush=True)


def remedies(url):
    """Rules make documents fit the mapping that refused them: a map as a text, a text under a name of its own."""
    first, n = 2_000_000, 10
    rules = [{"field": "attributes.code", "action": "rename"}, {"field": "attributes.word", "action": "stringify"}]
    with Gateway(config(url, remedies=rules), ports=(HTTP,)) as gw:
        send(request(range(first, first + n), code=lambda i: f"text {i}"))
        send(request(range(first + n, first + 2 * n), word=lambda i: {"k": i}))
        wait_for("the records", 20, lambda: settled() >= 2 * n)
        gw.stop()
    found = {h["_source"]["attributes"]["seq"]: h["_source"]["attributes"] for h in everything(url, "logs-*")}
    for i in range(n):
        renamed, as_text = (found.get(first + k, {}) for k in (i, n + i))
        equal((renamed.get("code"), renamed.get("code_string")), (None, f"text {first + i}"), "a text where a number is mapped, renamed")
        equal(as_text.get("word"), json.dumps({"k": first + n + i}, separators=(",", ":")), "a map where a word is mapped, as a text")
    print(f"{2 * n} documents made to fit", flush=True)


def main():
    REJECTS.unlink(missing_ok=True)
    with opensearch(WHOLE) as url:
        ask(f"{url}/_index_template/logs", TEMPLATE, "PUT")
        delivery(url)
        remedies(url)


main()

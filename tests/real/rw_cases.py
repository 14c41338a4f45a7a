# SPDX-License-Identifier: Apache-2.0
"""The settings of prometheus_remote_write under which Staunch and the Collector are compared, and the Collector's side of it:

    rw_cases.py OUT     sends the corpus to the Collector, and writes OUT/requests/NN-NAME.pb and OUT/CASE.txt, one sorted record a line
"""
import json
import pathlib
import sys

from gateway import COLLECTOR_HEALTH, check, collector, equal, post, wait_for
from metrics_corpus import requests
from sinks.remote_write import RemoteWriteSink

V2 = {"protobuf_message": "io.prometheus.write.v2.Request"}
SETTINGS = {
    "default": {},
    "namespace": {"namespace": "ns"},
    "namespace_odd": {"namespace": "1 odd.näme"},
    "no_suffixes": {"add_metric_suffixes": False},
    "with_suffixes": {"add_metric_suffixes": False, "translation_strategy": "UnderscoreEscapingWithSuffixes"},
    "without_suffixes": {"translation_strategy": "UnderscoreEscapingWithoutSuffixes", "namespace": "ns"},
    "resource": {"resource_to_telemetry_conversion": {"enabled": True}},
    "resource_not_service": {"resource_to_telemetry_conversion": {"enabled": True, "exclude_service_attributes": True}},
    "no_scope": {"disable_scope_info": True},
    "no_target": {"target_info": {"enabled": False}},
    "external": {"external_labels": {"region": "eu", "a.b": "outer", "job": "outer job", "1st": "x", "_private": "y", "__replica__": "r"}},
    "metadata": {"send_metadata": True, "namespace": "ns"},
    "nhcb": {"convert_explicit_histograms_to_nhcb": True},
    "nhcb_classic": {"convert_explicit_histograms_to_nhcb": True, "keep_classic_histograms": True},
    "small_requests": {"max_batch_size_bytes": 2000},
    "together": {"namespace": "x", "external_labels": {"region": "eu"}, "disable_scope_info": True, "send_metadata": True,
                 "resource_to_telemetry_conversion": {"enabled": True}, "convert_explicit_histograms_to_nhcb": True},
}
ONLY_V2 = {  # the Collector refuses them with 1.0
    "utf8_with_suffixes": {"translation_strategy": "NoUTF8EscapingWithSuffixes", "namespace": "n s"},
    "utf8_untranslated": {"translation_strategy": "NoTranslation", "external_labels": {"a.b": "outer"}},
}
CASES = {**SETTINGS, **{f"{k}_v2": {**v, **V2} for k, v in {**SETTINGS, **ONLY_V2}.items()}}


def exporters(url, more=None, cases=None):
    return {f"prometheus_remote_write/{k}": {"endpoint": f"{url}/{k}", **v, **(more or {})} for k, v in (cases or CASES).items()}


def collector_config(url, cases, ports):
    """ports: of a case, or of None: of all."""
    # Answered when all is sent: what is still in the Collector's queue when it stops gets one try.
    named = exporters(url, {"remote_write_queue": {"enabled": False}, "timeout": "60s"}, cases)
    to = lambda case: list(named) if case is None else [f"prometheus_remote_write/{case}"]  # noqa: E731
    return json.dumps({
        "extensions": {"health_check": {"endpoint": f"127.0.0.1:{COLLECTOR_HEALTH}"}},
        "receivers": {f"otlp/{port}": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}} for port in ports.values()},
        "exporters": named,
        "service": {"extensions": ["health_check"], "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn"}},
                    "pipelines": {f"metrics/{port}": {"receivers": [f"otlp/{port}"], "exporters": to(case)} for case, port in ports.items()}},
    })


def send(port, what):
    for name, q in what:
        status, _, answer = post(f"http://127.0.0.1:{port}/v1/metrics", q.SerializeToString(), {"Content-Type": "application/x-protobuf"})
        equal(status, 200, f"{name} to port {port}: {answer!r}")


def by_the_collector(sink, what, path="/theirs", cases=None):
    """what: for all cases alike, or a list for each. Returns when the Collector has stopped."""
    each = what if isinstance(what, dict) else {None: what}
    ports = {case: 14400 + i for i, case in enumerate(each)}
    with collector(collector_config(sink.url(path), cases, ports), gates="exporter.prometheusremotewritexporter.enableSendingRW2"):
        for case, port in ports.items():
            send(port, each[case])


def text(records):
    return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in sorted(records, key=repr))


def main():
    out = pathlib.Path(sys.argv[1])
    (out / "requests").mkdir(parents=True, exist_ok=True)
    what = requests()
    with RemoteWriteSink() as sink:
        by_the_collector(sink, what)
        for i, (name, q) in enumerate(what):
            (out / f"requests/{i:02}-{name}.pb").write_bytes(q.SerializeToString())
        for case in CASES:
            records = sink.records(f"/theirs/{case}")
            check(records, f"nothing of {case}")
            (out / f"{case}.txt").write_text(text(records))
            (out / f"{case}.metadata.txt").write_text(text(sink.metadata(f"/theirs/{case}")))
            print(case, len(records), "records", len(sink.metadata(f"/theirs/{case}")), "metadata", len(sink.wrong(f"/theirs/{case}")), "oddities")


if __name__ == "__main__":
    main()

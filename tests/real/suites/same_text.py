# SPDX-License-Identifier: Apache-2.0
"""The Collector and the gateway with the same configuration and the same requests over OTLP/HTTP, protobuf and JSON: the files
and the text of the debug exporter are equal, byte for byte, and so are the answers to odd JSON, but for what ODD lists as meant.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "otlp-proto"))
from gateway import *  # noqa: E402,F403
from random_otlp import REQUESTS, Maker  # noqa: E402

CONFIG = """
extensions: {{ health_check: {{ endpoint: "127.0.0.1:{health}" }} }}
receivers: {{ otlp: {{ protocols: {{ http: {{ endpoint: "127.0.0.1:{http}" }} }} }} }}
exporters:
  file/traces: {{ path: "{dir}/traces.jsonl", flush_interval: 100ms }}
  file/metrics: {{ path: "{dir}/metrics.jsonl", flush_interval: 100ms }}
  file/logs: {{ path: "{dir}/logs.jsonl", flush_interval: 100ms }}
  file/proto: {{ path: "{dir}/all.bin", format: proto, flush_interval: 100ms }}
  debug/basic: {{ verbosity: basic, use_internal_logger: false, output_paths: ["{dir}/basic.txt"], sampling_initial: 1000000 }}
  debug/normal: {{ verbosity: normal, use_internal_logger: false, output_paths: ["{dir}/normal.txt"], sampling_initial: 1000000 }}
  debug/detailed: {{ verbosity: detailed, use_internal_logger: false, output_paths: ["{dir}/detailed.txt"], sampling_initial: 1000000 }}
service:
  extensions: [health_check]
  telemetry: {{ metrics: {{ level: none }} }}
  pipelines:
    traces: {{ receivers: [otlp], exporters: [file/traces, file/proto, debug/basic, debug/normal, debug/detailed] }}
    metrics: {{ receivers: [otlp], exporters: [file/metrics, file/proto, debug/basic, debug/normal, debug/detailed] }}
    logs: {{ receivers: [otlp], exporters: [file/logs, file/proto, debug/basic, debug/normal, debug/detailed] }}
"""


def span(members):
    return "traces", '{"resourceSpans":[{"scopeSpans":[{"spans":[{"spanId":"0102030405060708",%s}]}]}]}' % members


def value(member):
    return span('"attributes":[{"key":"k","value":{%s}}]' % member)


def point(members):
    return "metrics", ('{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","histogram":{"dataPoints":[{"timeUnixNano":"1",%s}]}}'
                       ']}]}]}' % members)


def log(members):
    return "logs", '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1",%s}]}]}]}' % members


# The same answer from both, and the same line in the file.
SAME = [("traces", t) for t in (
    "", "null", "[]", "{}", '{"resourceSpans":null}', '{"resourceSpans":[null]}', '{"resourceSpans":{}}', '{"resourceSpans":[],}')]
SAME += [span(m) for m in (
    '"name":null', '"startTimeUnixNano":"007"', '"startTimeUnixNano":007', '"startTimeUnixNano":-1', '"startTimeUnixNano":true',
    '"startTimeUnixNano":18446744073709551616', '"startTimeUnixNano":""', '"kind":2', '"kind":"SPAN_KIND_SERVER"', '"kind":"server"',
    '"kind":99', '"traceId":""', '"traceId":"AABBCCDDEEFF00112233445566778899"', '"traceId":"zz"', '"traceId":"AAECAwQFBgcICQoLDA0ODw=="',
    '"name":"a","name":"b"', '"attributes":[{"key":"a"}],"attributes":[{"key":"b"}]', '"attributes":[null]',
    '"attributes":[{"value":{"intValue":5},"key":"late"}]', '"flags":4294967296', '"flags":"257"', '"droppedAttributesCount":-1',
    '"name":"\\ud83d\\ude00"', '"name":"a\\u0000b"', '"name":"tab\there"', '"name":"\\x"', '"name":5', '"name":{}',
    '"trace_state":"ts","start_time_unix_nano":"7"', '"unknown":[[[{}]]]', '"unknown":tru', '"name":"x" "kind":1', '"name" "x"',
    "'name':'x'", '"status":[]', '"events":{}', '"events":[1]', '"links":["x"]', '/**/"name":"x"')]
SAME += [value(m) for m in (
    '"stringValue":"x","intValue":"5"', '"bytesValue":"+/8="', '"bytesValue":"!"', '"arrayValue":{"values":[null,{}]}',
    '"boolValue":"true"', '"boolValue":1', '"doubleValue":"1.5"', '"doubleValue":"NaN"', '"doubleValue":"-Infinity"',
    '"doubleValue":"inf"', '"doubleValue":1e999', '"doubleValue":NaN', '"doubleValue":1e-400', '"doubleValue":01', '"doubleValue":1.')]
SAME += [point(m) for m in (
    '"bucketCounts":["1",2]', '"bucketCounts":[null]', '"bucketCounts":null', '"bucketCounts":[1],"bucketCounts":[2]',
    '"explicitBounds":[1,2.5,"3"]', '"explicitBounds":[1,]', '"sum":0', '"min":"Infinity"', '"count":"5"', '"count":5.5')]
SAME += [log(m) for m in (
    '"severityNumber":"SEVERITY_NUMBER_INFO"', '"body":"text"', '"body":null', '"body":{}', '"body":{"unknownValue":1}',
    '"body":{"kvlistValue":{"values":[{"key":"a","value":{"intValue":1}}]}}')]

# Where the gateway differs and means to: what it answers, and why.
ODD = [
    (span('"kind":null'), 200, "null is as if the key were not there, in every field"),
    (span('"startTimeUnixNano":null'), 200, "null"),
    (point('"sum":null'), 200, "null"),
    (span('"startTimeUnixNano":1e3'), 200, "a whole number may have an exponent"),
    (span('"startTimeUnixNano":1.0'), 200, "a whole number may have a fraction of zero"),
    (span('"startTimeUnixNano":"+5"'), 200, "a sign in a string"),
    (span('"kind":"2"'), 200, "an enum's number in a string"),
    (span('"traceId":"0102"'), 200, "ids of a wrong length are kept and marked, as in protobuf"),
    (log('"severityNumber":"SEVERITY_NUMBER_TRACE"'), 200, "the Collector misspells this name"),
    (value('"bytesValue":"-_8="'), 200, "URL-safe base64"),
    (value('"bytesValue":"+\\/8="'), 200, "an escaped slash is a slash"),
    (value('"bytesValue":"+/8"'), 200, "base64 without padding"),
    (("traces", "{}x"), 400, "text behind the request"),
    (("traces", "{} {}"), 400, "text behind the request"),
    (span('"name":"\\ud83d"'), 400, "half of a surrogate pair"),
    (("traces", b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"\xff"}]}]}]}'), 400, "not UTF-8"),
]


def escape(text):
    """Control characters as the gateway shows them; line feed and tab stay."""
    return "".join(f"\\u{ord(c):04x}" if (ord(c) < 32 and c not in "\n\t") or 0x7f <= ord(c) < 0xa0 else c for c in text)


def messages(path):
    """How many stand in a file of format proto, each behind its length."""
    data, at, n = path.read_bytes(), 0, 0
    while at < len(data):
        at += 4 + int.from_bytes(data[at:at + 4], "big")
        n += 1
    equal(at, len(data), f"end of {path}")
    return n


def send(port, signal, body, kind):
    body = body if isinstance(body, bytes) else body.encode()
    return post(f"http://127.0.0.1:{port}/v1/{signal}", body, {"Content-Type": f"application/{kind}"})[0]


def main():
    folders = {name: RUN / f"same-{name}" for name in ("theirs", "ours")}
    for folder in folders.values():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    make = {s: Maker(11) for s in REQUESTS}
    with collector(CONFIG.format(health=COLLECTOR_HEALTH, http=14318, dir=folders["theirs"])), \
            Gateway(CONFIG.format(health=HEALTH, http=HTTP, dir=folders["ours"]), ports=(HTTP,)) as gateway:
        n = 0
        for i in range(150):
            for s in REQUESTS:
                body = make[s].request(s).SerializeToString()
                for port in (14318, HTTP):
                    equal(send(port, s, body, "x-protobuf"), 200, f"status of random {s} {i} at {port}")
                n += 1
        for s, text in SAME:
            theirs = send(14318, s, text, "json")
            # Some numbers out of range make the Collector answer 500; bad JSON is always the client's fault.
            equal(send(HTTP, s, text, "json"), 400 if theirs == 500 else theirs, f"status of {text[:200]}")
        for name in ("traces.jsonl", "metrics.jsonl", "logs.jsonl"):
            size = (folders["ours"] / name).stat().st_size
            wait_for(f"the Collector's {name}", 5, lambda: (folders["theirs"] / name).stat().st_size >= size)
        time.sleep(0.3)
        equal(messages(folders["ours"] / "all.bin"), messages(folders["theirs"] / "all.bin"), "messages with their lengths")
        for name in ("traces.jsonl", "metrics.jsonl", "logs.jsonl", "basic.txt", "normal.txt", "detailed.txt"):
            theirs, ours = ((folders[k] / name).read_bytes().decode() for k in ("theirs", "ours"))
            if name.endswith(".txt"):
                theirs = escape(theirs)
            for number, (a, b) in enumerate(zip(theirs.split("\n"), ours.split("\n")), 1):
                equal(b[:4000], a[:4000], f"{name}:{number}")
            equal(len(ours), len(theirs), f"length of {name}")
            print(f"{name}: {len(ours)} characters, equal")
        for (s, text), status, why in ODD:
            equal(send(HTTP, s, text, "json"), status, f"{why}: status of {text[:200]}")
        check("ERROR" not in gateway.text(), gateway.text())
    print(f"{n} random requests, {len(SAME)} JSON texts equal, {len(ODD)} meant to differ")


main()

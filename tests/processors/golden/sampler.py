#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes sampler_spans.txt and sampler_logs.txt: what the Collector's probabilistic_sampler does.

    sampler.py OTELCOL DIR

The same request, full of odd cases, goes through one pipeline per configuration; a golden file holds the request and,
for each configuration, the records that were kept with their trace state or attributes. Run again only to add cases.
"""
import json, os, random, subprocess, sys, tempfile, time, urllib.request

SPAN_CONFIGS = [
    "sampling_percentage: 0", "sampling_percentage: 0.001", "sampling_percentage: 10", "sampling_percentage: 33.3",
    "sampling_percentage: 99.999", "sampling_percentage: 100", "sampling_percentage: 250",
    "{sampling_percentage: 50, hash_seed: 22}", "{sampling_percentage: 50, fail_closed: false}",
    "{sampling_percentage: 0, fail_closed: false}",
    "{sampling_percentage: 25, mode: equalizing}", "{sampling_percentage: 25, mode: equalizing, fail_closed: false}",
    "{sampling_percentage: 33.3, mode: equalizing, sampling_precision: 1}",
    "{sampling_percentage: 33.3, mode: equalizing, sampling_precision: 14}",
    "{sampling_percentage: 99.9, mode: equalizing}", "{sampling_percentage: 100, mode: equalizing}",
    "{sampling_percentage: 0.01, mode: equalizing}",
    "{sampling_percentage: 50, mode: proportional}", "{sampling_percentage: 50, mode: proportional, fail_closed: false}",
    "{sampling_percentage: 12.345, mode: proportional, sampling_precision: 6}",
    "{sampling_percentage: 100, mode: proportional}", "{sampling_percentage: 0.000001, mode: proportional}",
]
LOG_CONFIGS = [
    "sampling_percentage: 0", "sampling_percentage: 30", "{sampling_percentage: 30, hash_seed: 7}",
    "{sampling_percentage: 30, fail_closed: false}", "{sampling_percentage: 0, fail_closed: false}",
    "{sampling_percentage: 30, attribute_source: record, from_attribute: id}",
    "{sampling_percentage: 30, from_attribute: id}", "{sampling_percentage: 30, from_attribute: id, fail_closed: false}",
    "{sampling_percentage: 10, sampling_priority: priority}",
    "{sampling_percentage: 10, mode: equalizing, sampling_priority: priority}",
    "{sampling_percentage: 0, sampling_priority: priority}",
    "{sampling_percentage: 30, mode: equalizing}", "{sampling_percentage: 30, mode: equalizing, fail_closed: false}",
    "{sampling_percentage: 40, mode: proportional}",
    "{sampling_percentage: 40, mode: proportional, fail_closed: false, sampling_precision: 2}",
    "{sampling_percentage: 100}",
]
STATES = [
    "", "", "", "", "ot=th:8", "ot=th:c", "ot=th:0", "ot=th:fffff", "ot=rv:ffffffffffffff", "ot=rv:00000000000001",
    "ot=rv:abcdefabcdefab;th:8", "ot=th:8;rv:10000000000000", "ot=rv:ABCDEFabcdefab;th:4", "ot=rv:abc", "ot=th:123456789012345",
    "ot=th:zz", "vendor=x", "vendor=x,ot=th:4", "ot=th:4;foo:bar,vendor=x, other = y", "ot=foo:bar;baz:", "ot=",
    "UPPER=x", "a@b=c,ot=rv:fedcba98765432", "a=" + "x" * 256, "a=" + "x" * 257, ",,ot=th:2,,", "ot=th:2;", "ot=:x", "ot=th:",
    ",".join("k%d=v" % i for i in range(31)), ",".join("k%d=v" % i for i in range(32)), "ot=th:8,ot=th:c", "ot=th:.", "x",
    "1a@sys=v", "ot=a:" + "b" * 254, "ot=a:" + "b" * 255, "a=b c", "a=b ,c=d", "ot=th:8;th:c", "ot=rv:fffffffffffffe;u:1;v:2",
]
PRIORITIES = [None] * 8 + [{"intValue": "0"}, {"intValue": "1"}, {"intValue": "-1"}, {"doubleValue": 0.0},
                           {"doubleValue": 2.5}, {"stringValue": "1"}, {"stringValue": "0"}, {"stringValue": "x"},
                           {"boolValue": True}, {"stringValue": "-3"}, {"stringValue": "1e2"}]


def attribute(key, value):
    return {"key": key, "value": value}


def spans():
    rng = random.Random(1)
    out = []
    for i in range(300):
        trace = rng.randbytes(16) if i % 17 else bytes(16)
        span = {"traceId": trace.hex() if any(trace) else "", "spanId": "%016x" % (i + 1), "name": "s",
                "traceState": STATES[i % len(STATES)], "attributes": []}
        priority = rng.choice(PRIORITIES)
        if priority:
            span["attributes"].append(attribute("sampling.priority", priority))
        out.append(span)
    return out


def logs():
    rng = random.Random(2)
    ids = [None, {"stringValue": "a"}, {"stringValue": ""}, {"intValue": "12"}, {"doubleValue": 1.5}, {"boolValue": True},
           {"bytesValue": "AQID"}, {"arrayValue": {"values": [{"intValue": "1"}]}}]
    thresholds = [None] * 5 + ["8", "c", "0", "zz", "fffff", "123456789012345"]
    rvs = [None] * 5 + ["ffffffffffffff", "00000000000001", "abc"]
    priorities = [None] * 4 + [{"intValue": "50"}, {"doubleValue": 99.9}, {"intValue": "0"}, {"intValue": "-5"},
                               {"intValue": "200"}, {"stringValue": "50"}, {"doubleValue": 0.5}, {"intValue": "100"}]
    out = []
    for i in range(300):
        trace = rng.randbytes(16) if i % 5 else bytes(16)
        record = {"traceId": trace.hex() if any(trace) else "", "body": {"stringValue": str(i)}, "attributes": []}
        for key, choices in (("id", ids), ("priority", priorities)):
            value = rng.choice(choices)
            if value is not None:
                record["attributes"].append(attribute(key, value))
        for key, choices in (("sampling.threshold", thresholds), ("sampling.randomness", rvs)):
            value = rng.choice(choices)
            if value is not None:
                record["attributes"].append(attribute(key, {"stringValue": value}))
        out.append(record)
    return out


def run(otelcol, folder, signal, configs, request):
    lines = ["receivers: {otlp: {protocols: {http: {endpoint: 127.0.0.1:14318}}}}", "processors:"]
    lines += ["  probabilistic_sampler/%d: %s" % (i, c if c.startswith("{") else "{%s}" % c) for i, c in enumerate(configs)]
    lines += ["exporters:"] + ["  file/%d: {path: %s/%d.json}" % (i, folder, i) for i in range(len(configs))]
    lines += ["service:", "  telemetry: {metrics: {level: none}}", "  pipelines:"]
    lines += ["    %s/%d: {receivers: [otlp], processors: [probabilistic_sampler/%d], exporters: [file/%d]}" % (signal, i, i, i)
              for i in range(len(configs))]
    with open(folder + "/config.yaml", "w") as f:
        f.write("\n".join(lines))
    process = subprocess.Popen([otelcol, "--config", folder + "/config.yaml"], stderr=open(folder + "/log", "w"))
    for _ in range(100):
        try:
            urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:14318/v1/" + signal, request.encode(),
                                                          {"Content-Type": "application/json"}))
            break
        except OSError:
            time.sleep(0.1)
    else:
        sys.exit(open(folder + "/log").read())
    time.sleep(1)
    process.terminate()
    process.wait()


def main():
    otelcol, where = sys.argv[1:]
    for signal, configs, records in (("traces", SPAN_CONFIGS, spans()), ("logs", LOG_CONFIGS, logs())):
        spans_here = signal == "traces"
        if spans_here:
            body = {"resourceSpans": [{"scopeSpans": [{"spans": records}]}]}
        else:
            body = {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}
        request = json.dumps(body, separators=(",", ":"))
        with tempfile.TemporaryDirectory() as folder:
            run(otelcol, folder, signal, configs, request)
            with open(os.path.join(where, "sampler_%s.txt" % ("spans" if spans_here else "logs")), "w") as out:
                out.write("request\t%s\n" % request)
                for i, config in enumerate(configs):
                    out.write("config\t%s\n" % config)
                    text = open("%s/%d.json" % (folder, i)).read().strip()
                    if not text:
                        continue
                    answer = json.loads(text)
                    if spans_here:
                        for s in answer["resourceSpans"][0]["scopeSpans"][0]["spans"]:
                            out.write("%d\t%s\n" % (int(s["spanId"], 16) - 1, s.get("traceState", "")))
                    else:
                        for r in answer["resourceLogs"][0]["scopeLogs"][0]["logRecords"]:
                            found = {a["key"]: a["value"].get("stringValue", "?") for a in r.get("attributes", [])}
                            out.write("%d\t%s %s\n" % (int(r["body"]["stringValue"]), found.get("sampling.threshold", "-"),
                                                       found.get("sampling.randomness", "-")))


if __name__ == "__main__":
    main()

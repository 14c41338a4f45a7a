#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes attributes.txt: what the Collector's attributes and resource processors make of odd values.

    attributes.py OTELCOL DIR

The file holds the request and, for each configuration, the whole answer as the Collector's file exporter writes it.
"""
import json, os, subprocess, sys, tempfile, time, urllib.request

CONFIGS = [
    ("attributes", "actions: [{key: v, action: convert, converted_type: string}]"),
    ("attributes", "actions: [{key: v, action: convert, converted_type: int}]"),
    ("attributes", "actions: [{key: v, action: convert, converted_type: double}]"),
    ("attributes", "actions: [{key: v, action: hash}]"),
    ("attributes", "actions: [{pattern: '^[vk]', action: hash}]"),
    ("attributes", "actions: [{pattern: '^k.*[0-9]$', action: delete}, {key: k3, action: delete}]"),
    ("attributes", "actions: [{key: v, pattern: '^(?P<sign>[+-]?)(?P<digits>\\d+)(?P<k1>\\.\\d*)?', action: extract}]"),
    ("attributes", "actions: [{key: v, pattern: '(?P<word>\\w+)\\s*(?P<rest>.*)$', action: extract}]"),
    ("attributes", "actions: [{key: copy, from_attribute: v, action: insert}, {key: v, value: 1, action: update}]"),
    ("attributes", "actions: [{key: k1, value: [1, two, 2.5, true, {a: b}], action: upsert}]"),
    ("attributes", "actions: [{key: n, value: 1e3, action: upsert}, {key: o, value: 0x10, action: upsert}, {key: p, value: -0.0, action: upsert}]"),
    ("attributes", "{actions: [{key: hit, value: 1, action: insert}], include: {match_type: regexp, attributes: [{key: v, value: '^[0-9.+-eE]+$'}]}}"),
    ("attributes", "{actions: [{key: hit, value: 1, action: insert}], exclude: {match_type: strict, attributes: [{key: v, value: 1}]}}"),
    ("attributes", "{actions: [{key: hit, value: 1, action: insert}], include: {match_type: regexp, attributes: [{key: v, value: '(?i)^nan|INF|true$'}]}}"),
    ("attributes", "{actions: [{key: hit, value: 1, action: insert}], include: {match_type: strict, attributes: [{key: v, value: [1, a]}]}}"),
    ("resource", "attributes: [{key: host, action: hash}, {key: n, action: convert, converted_type: string}, {key: new, from_attribute: n, action: insert}]"),
]
TEXTS = ["", "a", "1", "-1", "+7", "007", "0x10", "1_000", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
         " 1", "1 ", "1.5", ".5", "5.", "1e3", "1E-3", "1e400", "-1e400", "0x1p-2", "0x1", "inf", "-Inf", "+Infinity", "nan", "NaN",
         "-nan", "infinit", "true", "1,5", "caf\u00e9 au lait", "line\nbreak", "tab\there", "\u2028", "\ud83d\ude00 x", "42.5.1", "<&>\"\\"]
NUMBERS = [0.0, 1.0, -1.0, 1.5, 0.1, 1e21, 1e20, 123456789012345680000.0, 1e-6, 1e-7, -2.5e-9, 1.7976931348623157e308, 5e-324,
           9007199254740993.0, 2.9, -2.9, 9.3e18, "Infinity", "-Infinity"]
OTHERS = [{"intValue": "0"}, {"intValue": "1"}, {"intValue": "-9223372036854775808"}, {"boolValue": True}, {"boolValue": False}, {},
          {"bytesValue": ""}, {"bytesValue": "AP8Q"}, {"arrayValue": {}}, {"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "a"}]}},
          {"arrayValue": {"values": [{"doubleValue": 1e-7}, {"boolValue": True}, {}, {"bytesValue": "AQI="}, {"stringValue": "<\u2028\b\f\">"}]}},
          {"kvlistValue": {"values": [{"key": "z", "value": {"intValue": "1"}}, {"key": "a", "value": {"kvlistValue": {"values": [
              {"key": "n", "value": {"doubleValue": 2.0}}]}}}]}}, {"kvlistValue": {}}]


def request():
    values = [{"stringValue": t} for t in TEXTS] + [{"doubleValue": n} for n in NUMBERS] + OTHERS
    spans = []
    for i, value in enumerate(values):
        spans.append({"traceId": "%032x" % (i + 1), "spanId": "%016x" % (i + 1), "name": "s", "attributes": [
            {"key": "k1", "value": {"stringValue": "one"}}, {"key": "v", "value": value}, {"key": "k3", "value": {"intValue": "3"}}]})
    resource = {"attributes": [{"key": "host", "value": {"stringValue": "h"}}, {"key": "n", "value": {"doubleValue": 2.0}}]}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}, separators=(",", ":"))


def main():
    otelcol, where = sys.argv[1:]
    body = request()
    with tempfile.TemporaryDirectory() as folder:
        lines = ["receivers: {otlp: {protocols: {http: {endpoint: 127.0.0.1:14319}}}}", "processors:"]
        lines += ["  %s/%d: %s" % (name, i, c if c.startswith("{") else "{%s}" % c) for i, (name, c) in enumerate(CONFIGS)]
        lines += ["exporters:"] + ["  file/%d: {path: %s/%d.json}" % (i, folder, i) for i in range(len(CONFIGS))]
        lines += ["service:", "  telemetry: {metrics: {level: none}}", "  pipelines:"]
        lines += ["    traces/%d: {receivers: [otlp], processors: [%s/%d], exporters: [file/%d]}" % (i, name, i, i)
                  for i, (name, _) in enumerate(CONFIGS)]
        with open(folder + "/config.yaml", "w") as f:
            f.write("\n".join(lines))
        process = subprocess.Popen([otelcol, "--config", folder + "/config.yaml"], stderr=open(folder + "/log", "w"))
        for _ in range(100):
            try:
                urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:14319/v1/traces", body.encode(),
                                                              {"Content-Type": "application/json"}))
                break
            except OSError:
                time.sleep(0.1)
        else:
            sys.exit(open(folder + "/log").read())
        time.sleep(1)
        process.terminate()
        process.wait()
        with open(os.path.join(where, "attributes.txt"), "w") as out:
            out.write("request\t%s\n" % body)
            for i, (name, config) in enumerate(CONFIGS):
                out.write("%s\t%s\n%s\n" % (name, config, open("%s/%d.json" % (folder, i)).read().strip()))


if __name__ == "__main__":
    main()

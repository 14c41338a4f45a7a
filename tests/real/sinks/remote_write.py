# SPDX-License-Identifier: Apache-2.0
"""A remote write receiver, 1.0 and 2.0, that keeps every sample, histogram and exemplar and says what is wrong with a request.

A record is a tuple (kind, labels, time, value): labels a tuple of (name, value), value exact: the bits of a double as hex.
"""
import os
import pathlib
import struct
import subprocess
import tempfile

import cramjam
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from .http_sink import Answer, HttpSink

PROTO = pathlib.Path(os.environ.get("RW_PROTO", pathlib.Path(__file__).resolve().parents[3] / "exporters/prometheus_remote_write/proto"))
V2_TYPE = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
WRITTEN = "X-Prometheus-Remote-Write-{}-Written"
STALE = "7ff0000000000002"


def messages():
    """WriteRequest of 1.0 and Request of 2.0, from the .proto files of the exporter."""
    with tempfile.TemporaryDirectory() as d:
        out = pathlib.Path(d) / "set"
        files = sorted(PROTO.rglob("*.proto"))
        subprocess.run(["protoc", f"-I{PROTO}", f"--descriptor_set_out={out}", *map(str, files)], check=True)
        pool = descriptor_pool.DescriptorPool()
        for f in descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file:
            pool.Add(f)
    get = lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name))  # noqa: E731
    return get("prometheus.WriteRequest"), get("io.prometheus.write.v2.Request")


V1, V2 = messages()


def bits(x):
    return struct.pack(">d", x).hex()


def number(hexed):
    return struct.unpack(">d", bytes.fromhex(hexed))[0]


def histogram(h):
    """Everything but the time, with the names of the message; doubles exact."""
    out = {"reset_hint": h.reset_hint}  # 0, unknown, is said as well
    for field, value in h.ListFields():
        if field.name in ("timestamp", "start_timestamp", "reset_hint"):
            continue
        if field.name.endswith("_spans"):
            value = tuple((s.offset, s.length) for s in value)
        elif field.name in ("negative_counts", "positive_counts", "custom_values"):
            value = tuple(bits(x) for x in value)
        elif field.name.endswith("_deltas"):
            value = tuple(value)
        elif isinstance(value, float):
            value = bits(value)
        out[field.name] = value
    return tuple(sorted(out.items()))


class Write:
    """One request, decoded: records, metadata by (name or labels), and what is wrong with it."""

    def __init__(self, version, body):
        self.version, self.records, self.metadata, self.wrong, self.series = version, [], [], [], []
        self.raw = bytes(cramjam.snappy.decompress_raw(body))
        if version == 1:
            m = V1.FromString(self.raw)
            for s in m.timeseries:
                self.one(s, [(x.name, x.value) for x in s.labels], lambda e: [(x.name, x.value) for x in e.labels])
            self.metadata = [(x.metric_family_name, x.type, x.help, x.unit) for x in m.metadata]
        else:
            self.v2(V2.FromString(self.raw))

    def v2(self, m):
        if not m.symbols or m.symbols[0] != "":
            self.wrong.append("the first symbol is not empty")
        if len(set(m.symbols)) != len(m.symbols):
            self.wrong.append("a symbol stands twice")

        def labels(refs):
            if len(refs) % 2:
                self.wrong.append("an odd number of label references")
            return [(m.symbols[a], m.symbols[b]) for a, b in zip(refs[::2], refs[1::2])]

        for s in m.timeseries:
            name = self.one(s, labels(s.labels_refs), lambda e: labels(e.labels_refs))
            self.metadata.append((name, s.metadata.type, m.symbols[s.metadata.help_ref], m.symbols[s.metadata.unit_ref]))

    def one(self, s, labels, of_exemplar):
        names = [k for k, _ in labels]
        if names != sorted(names) or len(set(names)) != len(names):
            self.wrong.append(f"labels not in order, or twice: {labels}")
        if "" in names or any(v == "" for _, v in labels) or "__name__" not in names:
            self.wrong.append(f"an empty label, or no name: {labels}")
        if not s.samples and not s.histograms:
            self.wrong.append(f"nothing in {labels}")
        times = [x.timestamp for x in s.samples] + [x.timestamp for x in s.histograms]
        if not s.histograms and times != sorted(times):
            self.wrong.append(f"times not in order: {labels} {times}")
        key = tuple(labels)
        self.series.append((key, times))
        start = lambda x: getattr(x, "start_timestamp", 0)  # noqa: E731
        self.records += [("sample", key, x.timestamp, bits(x.value), start(x)) for x in s.samples]
        self.records += [("histogram", key, x.timestamp, histogram(x), start(x)) for x in s.histograms]
        self.records += [("exemplar", key, x.timestamp, bits(x.value), tuple(of_exemplar(x))) for x in s.exemplars]
        return dict(labels).get("__name__")

    def count(self, kind):
        return sum(r[0] == kind for r in self.records)

    def written(self):
        """The headers of a receiver of 2.0 that took all of it."""
        return {WRITTEN.format(k.capitalize() + "s"): str(self.count(k)) for k in ("sample", "histogram", "exemplar")}


class RemoteWriteSink(HttpSink):
    """Answers 204, and to 2.0 with the Written headers; 400 to what is no request."""

    def read(self, request):
        version = 2 if "io.prometheus.write.v2.Request" in request.headers.get("content-type", "") else 1
        try:
            return Write(version, request.body)
        except Exception as e:  # what is wrong with it is what it says
            return f"not a request: {e}"

    def own(self, request):
        if isinstance(request.data, str):
            return Answer(400, {}, request.data.encode())
        return Answer(204, request.data.written() if request.data.version == 2 else {})

    def records(self, path):
        return [x for r in self.of(path) for x in r.data.records]

    def metadata(self, path):
        return [x for r in self.of(path) for x in r.data.metadata]

    def wrong(self, path):
        return [x for r in self.of(path, stored=False) for x in ([r.data] if isinstance(r.data, str) else r.data.wrong)]

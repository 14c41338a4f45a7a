# SPDX-License-Identifier: Apache-2.0
"""Random OTLP requests from the published descriptors: every field, extremes included. One seed, one sequence."""
import random
import struct

from google.protobuf.descriptor import FieldDescriptor as F
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

REQUESTS = {"traces": ExportTraceServiceRequest, "metrics": ExportMetricsServiceRequest, "logs": ExportLogsServiceRequest}

STRINGS = ["", "a", "http.method", "GET /users/{id}", "caf\u00e9", "\u65e5\u672c\u8a9e", "\U0001f600 smile", 'say "hi"', "back\\slash",
           "line\nfeed\ttab\rreturn", "\x00\x01\x1f\x7f", "\u2028\u2029", "<html>&amp;'", "x" * 15, "y" * 16, "z" * 17,
           "q" * 130, "\u00fc" * 40, "0123456789abcde\"", "0123456789abcdef\\g", "/slash/"]
DOUBLES = [0.0, -0.0, 1.0, -1.0, 0.1, 1 / 3, 1e21, 1e20, 999999999999999900000.0, 1e-6, 9.99e-7, 1e-7, 1e22, 1e23, 5e-324,
           2.2250738585072014e-308, 1.7976931348623157e308, float("nan"), float("inf"), float("-inf"), 123456789.125,
           9007199254740993.0, 4.35, 1e100, 1.5e-10, 100.0, 1e15, 12345678901234567890.0]
INTS = {
    F.TYPE_INT32: [0, 1, -1, 2**31 - 1, -2**31], F.TYPE_SINT32: [0, 1, -1, 2**31 - 1, -2**31, 20, -64],
    F.TYPE_UINT32: [0, 1, 127, 128, 2**32 - 1], F.TYPE_FIXED32: [0, 1, 0x301, 2**32 - 1],
    F.TYPE_INT64: [0, 1, -1, 42, 2**53 + 1, 2**63 - 1, -2**63], F.TYPE_SFIXED64: [0, 1, -1, 2**63 - 1, -2**63],
    F.TYPE_UINT64: [0, 1, 127, 128, 300, 2**64 - 1], F.TYPE_FIXED64: [0, 1, 1700000000123456789, 2**64 - 1],
}


class Maker:
    def __init__(self, seed, bad_ids=False):
        self.r = random.Random(seed)
        self.bad_ids = bad_ids

    def double(self):
        if self.r.random() < 0.5:
            return self.r.choice(DOUBLES)
        if self.r.random() < 0.5:
            return round(self.r.uniform(-1e6, 1e6), self.r.randrange(8))
        return struct.unpack("<d", struct.pack("<Q", self.r.getrandbits(64)))[0]

    def scalar(self, f):
        r = self.r
        if f.type == F.TYPE_STRING:
            return r.choice(STRINGS)
        if f.type == F.TYPE_BYTES:
            if f.name.endswith("trace_id") or f.name.endswith("span_id"):
                n = 16 if f.name.endswith("trace_id") else 8
                return r.choice([b"", bytes(n), r.randbytes(n), r.randbytes(n)])
            return r.randbytes(r.randrange(9))
        if f.type == F.TYPE_BOOL:
            return r.random() < 0.5
        if f.type == F.TYPE_DOUBLE:
            return self.double()
        if f.type == F.TYPE_ENUM:
            return r.choice([v.number for v in f.enum_type.values] + [77])
        return r.choice(INTS[f.type])

    def fill(self, m, depth=0):
        d, r = m.DESCRIPTOR, self.r
        skip = {f.name for o in d.oneofs if len(o.fields) > 1 for f in o.fields}
        for o in d.oneofs:
            if len(o.fields) > 1 and r.random() < 0.93:
                skip.discard(r.choice(o.fields).name)
        for f in d.fields:
            if f.name in skip or r.random() < 0.25:
                continue
            value_depth = depth + (d.name in ("AnyValue",))
            if value_depth > 4 and f.message_type:
                continue
            if f.is_repeated:
                for _ in range(r.choice([0, 1, 1, 2, 3])):
                    if f.message_type:
                        self.fill(getattr(m, f.name).add(), value_depth)
                    else:
                        getattr(m, f.name).append(self.scalar(f))
            elif f.message_type:
                getattr(m, f.name).SetInParent()
                self.fill(getattr(m, f.name), value_depth)
            else:
                setattr(m, f.name, self.scalar(f))
        return m

    def request(self, signal):
        return self.fill(REQUESTS[signal]())

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The decoder's columns against Python protobuf: every field of three kinds of random requests.

    "$(tools/python.sh)" tests/otlp-proto/oracle.py BUILD/otlp-proto_decode_test

Usual requests (random_otlp.py), unusual encodings of the C generator (merged messages and values, split runs, …), and
mutations, of which only "both accept, or both refuse" is asked, with the differences that are wanted.
"""
import pathlib
import random
import subprocess
import sys
import tempfile

from google.protobuf.message import DecodeError

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from random_otlp import REQUESTS, Maker  # noqa: E402

# We refuse what protobuf lets pass: a known field of another wire type (the Collector refuses it too), values nested
# deeper than our limit, keys that do not fit.
STRICTER = ("wire type", "nested too deeply", "key longer", "more memory", "length over")


def is_any(m):
    return m.DESCRIPTOR.name == "AnyValue"


def normalize(m):
    """What the columns leave out goes; absent messages are empty ones; an id of zeros is none."""
    name = m.DESCRIPTOR.name
    if name in ("Resource", "InstrumentationScope"):
        m.ClearField("dropped_attributes_count")
    if name == "Resource":
        m.ClearField("entity_refs")
    if name == "KeyValue":
        m.ClearField("key_strindex")
    if is_any(m):
        m.ClearField("string_value_strindex")
    for f in m.DESCRIPTOR.fields:
        value = getattr(m, f.name)
        if f.message_type is None:
            if f.type == f.TYPE_STRING and not f.is_repeated and "\0" in value:
                setattr(m, f.name, value.split("\0")[0])  # the C side's strings end there
            elif f.type == f.TYPE_DOUBLE and not f.is_repeated and not f.has_presence and value == 0:
                m.ClearField(f.name)  # protobuf-c takes -0.0 for the default
            elif f.name.endswith(("trace_id", "span_id")):
                size = 16 if f.name.endswith("trace_id") else 8
                if len(value) != size or value == bytes(size):
                    m.ClearField(f.name)
            elif f.type == f.TYPE_ENUM and not f.is_repeated and not 0 <= value <= 255:
                setattr(m, f.name, 255)
        elif f.is_repeated:
            for item in value:
                normalize(item)
        elif m.HasField(f.name) or (not f.containing_oneof):
            value.SetInParent()
            normalize(value)


def canonical(cls, data):
    m = cls.FromString(data)
    m.DiscardUnknownFields()
    normalize(m)
    return m.SerializeToString(deterministic=True)


def rebuild(program, folder):
    for signal in REQUESTS:
        files = sorted(str(p) for p in folder.glob(f"{signal}-*.in"))
        if files:
            subprocess.run([program, "--rebuild", signal, *files], check=True)


def main():
    program, bad, n, refused = sys.argv[1], 0, 0, 0
    with tempfile.TemporaryDirectory() as d:
        folder = pathlib.Path(d)
        subprocess.run([program, "--random", d, "250"], check=True)
        for signal, cls in REQUESTS.items():
            for seed in range(100):
                m = cls()
                Maker(seed).fill(m)
                (folder / f"{signal}-u{seed}.in").write_bytes(m.SerializeToString())
        r = random.Random(1)
        for path in sorted(folder.glob("*.in")):
            data = bytearray(path.read_bytes())
            if len(data) > 8:
                for k in range(3):
                    at = r.randrange(len(data))
                    data[at:at + r.randrange(3)] = r.randbytes(r.randrange(3))
                path.with_name(path.stem + "m.in").write_bytes(data)
        rebuild(program, folder)
        for path in sorted(folder.glob("*.in")):
            cls = REQUESTS[path.name.split("-")[0]]
            out, err = path.with_name(path.name + ".out"), path.with_name(path.name + ".err")
            n += 1
            try:
                theirs = canonical(cls, path.read_bytes())
            except DecodeError:
                theirs = None
            if theirs is None or err.exists():
                refused += 1
                reason = err.read_text() if err.exists() else "nothing wrong"
                if theirs is None and not err.exists() or theirs is not None and not any(s in reason for s in STRICTER):
                    print(f"{path.name}: protobuf {'refuses' if theirs is None else 'accepts'}, we say: {reason}")
                    bad += 1
            elif canonical(cls, out.read_bytes()) != theirs:
                print(f"{path.name}: columns differ")
                bad += 1
    print(f"{n} requests, {refused} refused, {bad} differences")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Our .proto files against the published ones, as the opentelemetry-proto package carries them.

    $(tools/python.sh) tools/check-proto-descriptors.py [--allow-missing]

Every message, field (number, type, label, type name, oneof, optional, packed, deprecated), reserved range and
name, enum value and service method of opentelemetry.proto is compared, both ways; in which file a definition
stands does not matter. --allow-missing: a message, enum or service that we do not have at all (profiles) is
counted, not reported. Exit 0 equal, 1 differences (a line each), 2 cannot compare.
"""
import argparse
import importlib
import pathlib
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2

PACKAGE = "opentelemetry.proto"
FIELD = descriptor_pb2.FieldDescriptorProto
NEVER_PACKED = {FIELD.TYPE_STRING, FIELD.TYPE_BYTES, FIELD.TYPE_MESSAGE, FIELD.TYPE_GROUP}


def published():
    import opentelemetry.proto as root

    # by files: some folders of the package have no __init__.py, so pkgutil does not see them
    top = pathlib.Path(list(root.__path__)[0])
    for path in sorted(top.rglob("*_pb2.py")):
        name = ".".join((root.__name__, *path.relative_to(top).with_suffix("").parts))
        file = descriptor_pb2.FileDescriptorProto()
        importlib.import_module(name).DESCRIPTOR.CopyToProto(file)
        yield file


def ours(folder):
    files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*.proto"))
    with tempfile.NamedTemporaryFile(suffix=".desc") as out:
        subprocess.run(
            ["protoc", "-I", ".", "--include_imports", f"--descriptor_set_out={out.name}", *files], cwd=folder, check=True
        )
        return descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(out.name).read_bytes()).file


def field_facts(message, f):
    oneof = ""
    if f.HasField("oneof_index") and not f.proto3_optional:
        oneof = message.oneof_decl[f.oneof_index].name
    repeated = f.label == FIELD.LABEL_REPEATED
    unpacked = f.options.HasField("packed") and not f.options.packed
    return {
        "number": f.number,
        "type": FIELD.Type.Name(f.type),
        "label": FIELD.Label.Name(f.label),
        "type name": f.type_name,
        "oneof": oneof,
        "optional": f.proto3_optional,
        "packed": repeated and f.type not in NEVER_PACKED and not unpacked,
        "deprecated": f.options.deprecated,
    }


def definitions(files):
    """{full name: (kind, container's full name or None, facts)}"""
    out = {}

    def add_enum(scope, container, e):
        name = f"{scope}.{e.name}"
        out[name] = ("enum", container, {})
        for v in e.value:
            out[f"{name}.{v.name}"] = ("enum value", name, {"number": v.number})

    def add_message(scope, container, m):
        name = f"{scope}.{m.name}"
        out[name] = ("message", container, {})
        for f in m.field:
            out[f"{name}.{f.name}"] = ("field", name, field_facts(m, f))
        for r in m.reserved_range:
            out[f"{name} reserved {r.start}..{r.end - 1}"] = ("reserved range", name, {})
        for r in m.reserved_name:
            out[f"{name} reserved {r}"] = ("reserved name", name, {})
        for e in m.enum_type:
            add_enum(name, name, e)
        for n in m.nested_type:
            add_message(name, name, n)

    for file in files:
        if not (file.package + ".").startswith(PACKAGE + "."):
            continue
        for m in file.message_type:
            add_message(file.package, None, m)
        for e in file.enum_type:
            add_enum(file.package, None, e)
        for s in file.service:
            name = f"{file.package}.{s.name}"
            out[name] = ("service", None, {})
            for m in s.method:
                facts = {
                    "input": m.input_type,
                    "output": m.output_type,
                    "streams": (m.client_streaming, m.server_streaming),
                }
                out[f"{name}.{m.name}"] = ("method", name, facts)
    return out


def root_of(name, definition):
    """The outermost message, enum or service that a definition stands in."""
    while definition[name][1] is not None:
        name = definition[name][1]
    return name


def main():
    ap = argparse.ArgumentParser(description="compare our .proto files with opentelemetry-proto")
    ap.add_argument("--allow-missing", action="store_true")
    args = ap.parse_args()

    theirs = definitions(published())
    here = definitions(ours(pathlib.Path(__file__).resolve().parent.parent / "otlp-proto"))
    if not here or not theirs:
        print("nothing to compare", file=sys.stderr)
        return 2
    differences, absent = [], 0
    for name in sorted(theirs.keys() | here.keys()):
        if name not in here:
            if args.allow_missing and root_of(name, theirs) not in here:
                absent += 1
            else:
                differences.append(f"missing here: {theirs[name][0]} {name}")
        elif name not in theirs:
            differences.append(f"only here: {here[name][0]} {name}")
        elif here[name] != theirs[name]:
            for fact, value in here[name][2].items():
                other = theirs[name][2].get(fact)
                if value != other:
                    differences.append(f"differs: {name}: {fact} is {value} here, {other} there")
    for d in differences:
        print(d)
    print(f"{len(here)} definitions here, {len(theirs)} published, {len(differences)} differences, {absent} absent")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())

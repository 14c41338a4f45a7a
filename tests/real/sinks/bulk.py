# SPDX-License-Identifier: Apache-2.0
"""An Elasticsearch that takes _bulk requests, keeps the documents and answers for each as a test says.

    sink.item = lambda d: (400, "mapper_parsing_exception", "no") if d.source.get("bad") else None      None: by itself

By itself an item is 201, and 409 when its _id is there.
"""
import dataclasses
import gzip
import json

from .http_sink import Answer, HttpSink

ELASTICSEARCH = {"name": "sink", "version": {"number": "8.17.0", "build_flavor": "default"}, "tagline": "You Know, for Search"}
OPENSEARCH = {"name": "sink", "version": {"distribution": "opensearch", "number": "3.8.0"}, "tagline": "The OpenSearch Project: https://opensearch.org/"}
JSON = {"Content-Type": "application/json", "X-Elastic-Product": "Elasticsearch"}


@dataclasses.dataclass
class Document:
    op: str        # create or index
    action: dict   # what the action line says of it
    source: dict
    line: bytes    # source as it was sent
    path: str      # of the request
    status: int = 0

    @property
    def index(self):
        return self.action.get("_index", "")

    @property
    def id(self):
        return self.action.get("_id")


def documents(body, path):
    lines = body.split(b"\n")
    if lines.pop() != b"":
        raise ValueError("the last line has no end")
    if len(lines) % 2:
        raise ValueError("an odd number of lines")
    out = []
    for action, source in zip(lines[::2], lines[1::2]):
        (op, meta), = json.loads(action).items()
        out.append(Document(op, meta, json.loads(source), source, path))
    return out


class BulkSink(HttpSink):
    def __init__(self, port=0, about=ELASTICSEARCH):
        self.about, self.item, self.kept, self.ids = about, None, [], {}
        super().__init__(port)

    def get(self, path, command):
        return Answer(200, JSON, json.dumps(self.about).encode())

    def read(self, request):
        try:
            body = gzip.decompress(request.body) if request.headers.get("content-encoding") == "gzip" else request.body
            return documents(body, request.path)
        except Exception as e:  # what is wrong with it is what it says
            return f"not a bulk request: {e}"

    def judge(self, d):
        """(status, type, reason) of one document."""
        said = self.item(d) if self.item else None
        if said:
            return said
        if d.id is not None and (d.path, d.index, d.id) in self.ids and d.op == "create":
            return 409, "version_conflict_engine_exception", f"[{d.id}]: version conflict, document already exists (current version [1])"
        return 201, None, None

    def own(self, request):
        if isinstance(request.data, str):
            return Answer(400, JSON, json.dumps({"error": {"type": "illegal_argument_exception", "reason": request.data}, "status": 400}).encode())
        items = []
        with self.lock:
            for d in request.data:
                status, kind, reason = self.judge(d)
                d.status = status
                item = {"_index": d.index, "_id": d.id or "AZnHcYkB", "status": status}
                if kind:
                    item["error"] = {"type": kind, "reason": reason}
                elif status // 100 == 2:
                    self.kept.append(d)
                    self.ids[d.path, d.index, d.id] = d
                items.append({d.op: item})
        return Answer(200, JSON, json.dumps({"took": 1, "errors": any(d.status // 100 != 2 for d in request.data), "items": items}).encode())

    def wrong(self):
        return [r.data for r in self.requests if isinstance(r.data, str)]

# SPDX-License-Identifier: Apache-2.0
"""Questions to an Elasticsearch or OpenSearch."""
import json
import urllib.error
import urllib.request


def ask(url, body=None, method=None):
    data = json.dumps(body).encode() if body is not None else None
    rq = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method or ("POST" if data else "GET"))
    with urllib.request.urlopen(rq, timeout=60) as r:
        return json.loads(r.read())


def everything(base, index):
    """All hits of an index pattern, a page at a time, in the order of the index."""
    ask(f"{base}/{index}/_refresh", method="POST")
    page = ask(f"{base}/{index}/_search?scroll=1m&ignore_unavailable=true", {"size": 5000, "sort": ["_doc"]})
    while page["hits"]["hits"]:
        yield from page["hits"]["hits"]
        page = ask(f"{base}/_search/scroll", {"scroll": "1m", "scroll_id": page["_scroll_id"]})

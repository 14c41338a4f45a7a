# SPDX-License-Identifier: Apache-2.0
"""service_graph of the Collector and of the gateway with the same settings over the same traces: every series comes to the same."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from derived import Case, same  # noqa: E402
from metrics_corpus import key_values  # noqa: E402
from traces_corpus import requests, spans_of  # noqa: E402

USUAL = {"metrics_flush_interval": "1s", "store": {"ttl": "3s", "max_items": 100000}, "store_expiration_loop": "500ms"}
CASES = [
    Case("usual", {}),
    Case("dimensions", {"dimensions": ["tier", "tenant", "nowhere"]}),
    Case("buckets", {"latency_histogram_buckets": ["10ms", "100ms", "1s"]}),
    Case("exponential", {"exponential_histogram_max_size": 40}),
    Case("virtual_label", {"virtual_node_extra_label": True}),
    Case("peers", {"virtual_node_peer_attributes": ["http.route", "peer.service"], "database_name_attributes": ["db.namespace"]}),
]


def with_peers(corpus):
    """Some clients say whom they call, some call databases. A trace calls either by requests or by messages: what a client and a consumer
    make together differs, and is meant to (docs/service-graph.md)."""
    for request in corpus:
        for _, _, span in spans_of(request):
            n = int.from_bytes(span.span_id, "big")  # a span that comes twice is the same
            span.start_time_unix_nano = min(span.start_time_unix_nano, span.end_time_unix_nano)  # nor does a request take 585 years here
            span.kind = ({4: 3, 5: 2} if span.trace_id[-1:] < b"\x80" else {3: 4, 2: 5}).get(span.kind, span.kind)
            if span.kind in (3, 4) and n % 5 == 0:
                span.attributes.extend(key_values({"peer.service": f"peer-{n % 3}"} if n % 2 else {"db.name": "orders", "db.namespace": "ns", "db.system": "pg"}))
    return corpus


def main():
    bodies = [q.SerializeToString() for q in with_peers(requests(n=600, seed=4, n_requests=20))]
    cases = [Case(**{**vars(c), "settings": {**USUAL, **c.settings}}) for c in CASES]
    same("service_graph", cases, bodies, more=5, sides=("theirs",) if "--theirs" in sys.argv else ("theirs", "ours"))


main()

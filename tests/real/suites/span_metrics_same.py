# SPDX-License-Identifier: Apache-2.0
"""span_metrics of the Collector and of the gateway with the same settings over the same traces: every series comes to the same."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from derived import Case, same  # noqa: E402
from traces_corpus import requests, spans_of  # noqa: E402

ROUTE, TIER, CODE = {"name": "http.route"}, {"name": "tier"}, {"name": "http.response.status_code"}
USUAL = {"metrics_flush_interval": "1s", "resource_metrics_cache_size": 100000, "exclude_dimensions": ["collector.instance.id"]}
DELTA = {"aggregation_temporality": "AGGREGATION_TEMPORALITY_DELTA"}


def without_scope(key):
    """The Collector's series has the scope of its first span."""
    resource, scope, metric, attributes = key
    return resource, scope, metric, tuple(a for a in attributes if not a[0].startswith("span.instrumentation.scope."))


CASES = [
    Case("usual", {}),
    Case("delta", DELTA),
    Case("dimensions", {"dimensions": [ROUTE, {"name": "tenant", "default": "nobody"}, {"name": "nowhere"}], "namespace": "shop"}),
    Case("own_dimensions", {"calls_dimensions": [TIER], "histogram": {"unit": "s", "dimensions": [CODE], "explicit": {"buckets": ["1ms", "100ms", "1s"]}}}),
    Case("exponential", {"histogram": {"exponential": {"max_size": 20}}}),
    Case("exponential_delta", {**DELTA, "histogram": {"exponential": {"max_size": 160}, "unit": "s"}}),
    Case("no_histogram", {"histogram": {"disable": True}, "exclude_dimensions": ["collector.instance.id", "status.code", "span.kind"]}),
    Case("events", {"events": {"enabled": True, "dimensions": [{"name": "exception.type"}, {"name": "attempt"}]}}),
    Case("resource_key", {"resource_metrics_key_attributes": ["service.name"]}),
    Case("scope", {"include_instrumentation_scope": ["lib.http", "lib.db"]}, told=without_scope),
    Case("method", {"enable_metrics_sampling_method": True}),
    Case("exemplars", {"exemplars": {"enabled": True, "max_per_data_point": 1000}}),
    Case("exemplars_delta", {**DELTA, "exemplars": {"enabled": True, "max_per_data_point": 1000}, "histogram": {"exponential": {"max_size": 10}}}),
    Case("globs", {"dimensions": [{"glob": "http.*"}, {"glob": "ten?nt"}]}),
]


def whole_counts(corpus):
    """What stands for a fraction of spans is counted by chance: thresholds that stand for 4."""
    for request in corpus:
        for _, _, span in spans_of(request):
            span.trace_state = span.trace_state.replace("th:4", "th:c")
    return corpus


def main():
    bodies = [q.SerializeToString() for q in whole_counts(requests(n=250, seed=3, n_requests=40))]
    cases = [Case(**{**vars(c), "settings": {**USUAL, **c.settings}}) for c in CASES]
    same("span_metrics", cases, bodies, sides=("theirs",) if "--theirs" in sys.argv else ("theirs", "ours"))


main()

# SPDX-License-Identifier: Apache-2.0
"""count of the Collector and of the gateway with the same settings over the same traces: every sum comes to the same."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from derived import Case, same  # noqa: E402
from traces_corpus import requests  # noqa: E402

CASES = [
    Case("usual", {}),
    Case("conditions", {"spans": {"errors": {"description": "failed", "conditions": ["status.code == STATUS_CODE_ERROR", 'attributes["tier"] == "tin"']}},
                        "spanevents": {"exceptions": {"conditions": ['name == "exception"']}}}),
    Case("attributes", {"spans": {"by.tier": {"attributes": [{"key": "tier"}, {"key": "tenant", "default_value": "nobody"}]},
                                  "by.mixed": {"attributes": [{"key": "mixed"}]},
                                  "slow.by.route": {"conditions": ['attributes["load"] > 0.5'], "attributes": [{"key": "http.route"}, {"key": "retry", "default_value": True}]}},
                        "spanevents": {"by.type": {"attributes": [{"key": "exception.type"}, {"key": "attempt", "default_value": 7}]}}}),
]


def main():
    bodies = [q.SerializeToString() for q in requests(n=500, seed=5, n_requests=50)]
    same("count", CASES, bodies, more=0, sides=("theirs",) if "--theirs" in sys.argv else ("theirs", "ours"))


main()

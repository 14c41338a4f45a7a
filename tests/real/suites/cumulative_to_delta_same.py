# SPDX-License-Identifier: Apache-2.0
"""cumulative_to_delta of the Collector and of the gateway with the same settings over the same points: every series comes to the same points."""
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from points import requests, same_points  # noqa: E402

CASES = [
    ("usual", {}),
    ("keep", {"initial_value": "keep"}),
    ("drop", {"initial_value": "drop", "max_staleness": "0"}),
    ("names", {"include": {"metrics": ["m.int", "m.histogram"], "match_type": "strict"}, "initial_value": "keep"}),
    ("patterns", {"include": {"metrics": ["^m\\."], "match_type": "regexp"}, "exclude": {"metrics": ["gram$"], "match_type": "regexp"}}),
    ("types", {"include": {"metric_types": ["sum", "ExponentialHistogram"]}, "exclude": {"metric_types": ["sum"]}, "initial_value": "keep"}),
]


def main():
    now = time.time_ns()
    bodies = [b for seed in range(4) for b in requests(seed, now)]
    same_points("cumulative_to_delta", CASES, bodies)


main()

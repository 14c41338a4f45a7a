# SPDX-License-Identifier: Apache-2.0
"""interval of the Collector and of the gateway over the same points: every series comes to the same points. What waits leaves at the end of the
process, with all that came, so that it does not matter at which request an interval ends.
"""
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from points import requests, same_points  # noqa: E402

CASES = [
    ("usual", {"interval": "1h"}),
    ("gauges pass", {"interval": "1h", "pass_through": {"gauge": True}}),
    ("summaries pass", {"interval": "1h", "pass_through": {"summary": True, "gauge": False}}),
]


def main():
    now = time.time_ns()
    same_points("interval", CASES, [b for seed in range(4) for b in requests(seed, now, 2 - seed % 2)])


main()

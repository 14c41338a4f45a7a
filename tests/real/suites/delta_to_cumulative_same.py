# SPDX-License-Identifier: Apache-2.0
"""delta_to_cumulative of the Collector and of the gateway over the same points: every series comes to the same points. Flags stay out, which the
Collector takes of the first point of a series for ever, and so do negative scales, at which a zero threshold that is a power of two ends it.
"""
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from metrics_corpus import DELTA  # noqa: E402
from points import requests, same_points  # noqa: E402

# The Collector of this version takes the points of a request as they come.
CASES = [("usual", {}, {"sort_points": False}), ("settings", {"max_stale": "1h", "max_streams": 10**18}, {"sort_points": False})]


def main():
    now = time.time_ns()
    same_points("deltatocumulative", CASES, [b for seed in range(6) for b in requests(seed, now, DELTA, flags=0, least_scale=0)])


main()

# SPDX-License-Identifier: Apache-2.0
"""SIGTERM under load of a gateway whose tail_sampling stands behind a journal, and a start with another number of workers, or with other policies:
traces that wait go on waiting, decisions stay, and each trace is decided by the policies of its time, once. STOPS: how many, 8.
"""
import os
import pathlib
import random
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
import tail_kill  # noqa: E402

STOPS = int(os.environ.get("STOPS", "8"))
WORKERS = (2, 1, 2, 2)  # in turn
FEWER = [p for p in tail_kill.POLICIES if p["name"] not in ("slow", "some")] + [
    {"name": "some", "type": "probabilistic", "probabilistic": {"sampling_percentage": 50}}]
RULES = ((tail_kill.POLICIES, {}), (tail_kill.POLICIES, {}), (FEWER, {"speak": ("errors", "gold"), "percent": 50}))


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tail-restarts-"))
    r = random.Random(1)
    with tail_kill.TailLeg(folder, 1, away=True, workers=WORKERS) as one:
        one.begin()
        for i in range(STOPS):
            time.sleep(0.3 + 1.7 * r.random())
            at = one.terminate()
            policies, rules = RULES[(i + 1) % len(RULES)]
            one.again(at, policies, **rules)
        time.sleep(0.5)
        one.end()
        result, share, _ = one.result()
    print(f"{STOPS} stops: {result}; traces open at {share:.0%}; starts {max(one.starts) * 1000:.0f} ms at most", flush=True)
    equal(result.wrong(), "", f"{folder}")
    check(share >= 0.8 and result.kept > 20 * STOPS and result.late > STOPS, "too little happened")
    check(result.either < result.traces / 4, f"of too many traces nobody knows what they must be: {result}")
    shutil.rmtree(folder)


main()

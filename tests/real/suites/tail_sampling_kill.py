# SPDX-License-Identifier: Apache-2.0
"""kill -9 under load of a gateway whose tail_sampling stands behind a journal: what is kept is what an uninterrupted run keeps, span by span,
nothing missing and nothing twice. Then the same rig with gateways that forget how far they had come: it must find them.
KILLS: how many, 44; SEED: the first of the legs of 25.
"""
import os
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
import kill  # noqa: E402
import tail_kill  # noqa: E402

KILLS, SEED, LEG = int(os.environ.get("KILLS", "44")), int(os.environ.get("SEED", "1")), 25


def leg(seed, kills, away, **options):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tail-kill-"))
    with tail_kill.TailLeg(folder, seed, away, **options) as one:
        one.run(kills)
        result, share, phases = one.result()
    return folder, result, share, phases, one


def must_hold(seed, kills, away):
    folder, result, share, phases, one = leg(seed, kills, away, **({} if away else {"workers": (2, 1)}))
    where = "no sink until the end" if away else "a sink that is slow and refuses, 2 and 1 workers in turn"
    print(f"{kills} kills, {where}, seed {seed}: {result}; traces open at {share:.0%}; by phase {dict(phases)}; starts {max(one.starts) * 1000:.0f} ms at most", flush=True)
    equal(result.wrong(), "", f"{folder}")
    check(result.kept >= 10 * kills and result.traces - result.kept >= 10 * kills and result.late >= kills, f"too little happened: {result}")
    check(result.either < result.traces / 5, f"of too many traces nobody knows what they must be: {result}")
    shutil.rmtree(folder)
    return share * kills


def must_find(name, count):
    folder, result, _, _, _ = leg(1, 4, True, binary=kill.planted(name), longest=0.8, per_second=100)
    print(f"{name}: {result}", flush=True)
    check(count(result), f"{name} was not found: {folder}: {result}")
    shutil.rmtree(folder)


def main():
    done, still_open = 0, 0
    for i in range((KILLS + LEG - 1) // LEG):
        n = min(LEG, KILLS - done)
        still_open += must_hold(SEED + i, n, i % 2 == 0)
        done += n
    check(still_open >= 0.8 * done, f"only at {still_open / done:.0%} of the kills traces were open")
    print(f"{done} kills, at {still_open / done:.0%} traces were open", flush=True)
    must_find("keep_rows_again", lambda r: r.twice)
    must_find("keep_no_low", lambda r: r.missing)


main()

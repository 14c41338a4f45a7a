# SPDX-License-Identifier: Apache-2.0
"""kill -9 at `durability: fsync` (tests/real/kill.py): one kill of every kind, inside of fdatasync among them. What was acknowledged was
synced, and so nothing is lost; and the same rig finds the loss in a gateway whose syncs wait for nothing.
"""
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
import kill  # noqa: E402

kill.WINDOW_S = 6  # a request that is stalled twice holds back the others of its attempt for so long


def leg(seed, kills, **options):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kill9-fsync-"))
    with kill.Leg(folder, seed, level="fsync", **options) as one:
        one.run(kills)
        verdicts, share, phases = one.result()
        for name, v in verdicts.items():
            print(f"  {name}: {v}", flush=True)
    if not kill.wrong(verdicts):
        shutil.rmtree(folder)
    return verdicts, share, phases, one


def main():
    print("syncs that wait for nothing:", flush=True)
    verdicts, _, _, _ = leg(1, 2, preload=True, longest=0.5)
    check(sum(len(v.lost) for v in verdicts.values()), "nothing was lost, so that the rig would not find it")
    print("fsync:", flush=True)
    verdicts, share, phases, one = leg(3, len(kill.PHASES), longest=0.7)
    equal(kill.wrong(verdicts), "", f"{one.folder}")
    check(phases["sync"], f"no kill fell into a sync: {dict(phases)}")
    check(share >= 0.6, f"at {share:.0%} of the kills alone something was accepted and not delivered")
    check(max(one.starts) < 2, f"a start took {max(one.starts):.2f} s")
    print(f"{len(one.kills)} kills, at {share:.0%} something was undelivered, by phase {dict(phases)}; starts {max(one.starts) * 1000:.0f} ms at most")


main()

# SPDX-License-Identifier: Apache-2.0
"""kill -9 under load with troubled sinks (tests/real/kill.py): 40 kills of a gateway with durable queues lose nothing. The same rig
finds losses where there must be some: without a storage, and in a gateway that acknowledges before it writes.
"""
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
import kill  # noqa: E402


def leg(seed, kills, **options):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kill9-"))
    with kill.Leg(folder, seed, **options) as one:
        one.run(kills)
        verdicts, share, phases = one.result()
        for name, v in verdicts.items():
            print(f"  {name}: {v}", flush=True)
    if not kill.wrong(verdicts):
        shutil.rmtree(folder)
    return verdicts, share, phases, one


def must_lose(what, **options):
    print(f"{what}:", flush=True)
    verdicts, _, _, _ = leg(1, 3, longest=0.5, **options)
    lost = {name: len(v.lost) for name, v in verdicts.items()}
    check(sum(lost.values()), f"{what}: nothing was lost, so that the rig would not find it: {lost}")


def main():
    must_lose("no storage", level=None)
    must_lose("acknowledged before it is written", level="page_cache", preload=True)
    print("page_cache:", flush=True)
    verdicts, share, phases, one = leg(1, 40, level="page_cache", longest=2)
    equal(kill.wrong(verdicts), "", f"{one.folder}")
    for exporter, sent in zip(kill.EXPORTERS, (one.sent[0], one.sent[0], one.sent[1])):
        booked(one.books, exporter, len(sent.accepted), sum(b - a for a, b in sent.spans))
    check(share >= 0.8, f"at {share:.0%} of the kills alone something was accepted and not delivered")
    check(max(one.starts) < 2, f"a start took {max(one.starts):.2f} s")
    print(f"{len(one.kills)} kills, at {share:.0%} something was undelivered, by phase {dict(phases)}; starts {max(one.starts) * 1000:.0f} ms at most")


main()

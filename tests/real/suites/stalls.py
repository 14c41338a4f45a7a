# SPDX-License-Identifier: Apache-2.0
"""A gateway that stands still under load (SIGSTOP, SIGCONT: a machine that is paged out, a virtual machine that is moved), for less and for
longer than its time-outs, in front of sinks that are well, once with queues on disk and once in memory. Nothing is lost, nothing becomes a
dead letter, what the sinks told it while it stood is heard, and it is at work again at once: no time that passed while it slept is held
against anybody.
"""
import pathlib
import shutil
import signal
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
import faultcheck  # noqa: E402
import kill  # noqa: E402

STOPS_S = (0.3, 2.5, 1.2)  # time-outs of an attempt are 1 s, a breaker opens after five failures
WELL = {"http": ("mix 400 delay_ms=60",), "bulk": ("mix 400 delay_ms=60",), "rw": ("mix 400 delay_ms=60",)}


def applied(leg):
    return {name: faultcheck.Journal(leg.sink.journal, name).exchanges for name in kill.SINKS}


def stand_still(leg, seconds, woken):
    """When each sink was asked first after it."""
    leg.p.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    since = time.monotonic_ns()
    leg.p.send_signal(signal.SIGCONT)
    woken.append(since)
    time.sleep(1.2)
    out = {}
    for name, exchanges in applied(leg).items():
        after = [e.at for e in exchanges.values() if e.at > since]
        check(after, f"{name} was not asked within 1.2 s after {seconds} s of standing still")
        out[name] = (min(after) - since) / 1e6
    return out


def sent_twice(leg, name, woken):
    """Of exchanges that a sink had told the end of, and that came again. What had its time-out behind it before its request was out, when
    the gateway woke, is no news."""
    journal = faultcheck.Journal(leg.sink.journal, name)
    pairs = [(journal.exchanges[a[0]], journal.exchanges[b[0]]) for copies in journal.copies.values() for a, b in zip(copies, copies[1:])]
    return [(a.at, a.told, b.at) for a, b in pairs if a.told and a.told < b.at and not any(0 <= a.at - w < 5e8 for w in woken)]


def run(level):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="stalls-"))
    with kill.Leg(folder, 5, level=level) as leg:
        woken = []
        leg.begin(WELL)
        time.sleep(1)
        late = [stand_still(leg, s, woken) for s in STOPS_S]
        leg.end()
        verdicts, _, _ = leg.result()
        if level:
            (folder / "dead-letters").unlink()
        letters = leg.dead_letters() if level else set()
        twice = {name: sent_twice(leg, name, woken) for name in kill.SINKS}
    for name, v in verdicts.items():
        print(f"  {name}: {v}; asked again after {max(x[name] for x in late):.0f} ms at most", flush=True)
        v.unexplained = []
    equal(kill.wrong(verdicts), "", f"{folder}")
    check(not any(twice.values()), f"{folder}: told, and sent again: {[(k, x[:4]) for k, x in twice.items() if x]}")
    check(not letters, f"{len(letters)} dead letters, of sinks that were well")
    shutil.rmtree(folder)


def main():
    for level in ("page_cache", None):
        print(level or "in memory", flush=True)
        run(level)


main()

# SPDX-License-Identifier: Apache-2.0
"""tail_sampling of the Collector and of the gateway with the same configurations over the same requests: the kept spans are the same,
byte for byte, but where a limit per second decides, where both lie between the same bounds. Prints the matrix; a configuration that
keeps or drops less than a tenth of the traces shows nothing and is a failure.

Many configurations run at once, each a pipeline behind the one receiver. decision_wait is long and the end of the process decides: how
fast this machine is has no part in it.
"""
import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
from tail_cases import CASES, Book, difference, kept, named, send  # noqa: E402
from traces_corpus import book_of, requests, spans_of  # noqa: E402

AT_ONCE = 18  # configurations in a process; the Collector holds a copy of all spans for each
LEAST = 0.1  # of the traces
WORKERS = 2  # of the gateway: rows go to the one that has the trace
PORTS = {"theirs": (14318, COLLECTOR_HEALTH), "ours": (HTTP, HEALTH)}


def config(side, cases, folder):
    """Read by both, but for what a case says of the gateway alone."""
    port, health = PORTS[side]
    names = range(len(cases))
    return json.dumps({
        "extensions": {"health_check": {"endpoint": f"127.0.0.1:{health}"}},
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
        "processors": {f"tail_sampling/{k}": {"decision_wait": "1h", "policies": named(case.policies), **case.options, **(case.ours if side == "ours" else {})}
                       for k, case in enumerate(cases)},
        "exporters": {f"file/{k}": {"path": str(folder / f"{k}.bin"), "format": "proto"} for k in names},
        "service": {"extensions": ["health_check"], "telemetry": {"metrics": {"level": "none"}}, **({"runtime": {"workers": WORKERS}} if side == "ours" else {}),
                    "pipelines": {f"traces/{k}": {"receivers": ["otlp"], "processors": [f"tail_sampling/{k}"], "exporters": [f"file/{k}"]} for k in names}},
    })


def run(side, cases, bodies, states):
    """What each of the cases kept, and how long the deciding took at most."""
    folder = RUN / f"tail-{side}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    text = config(side, cases, folder)
    t0 = time.monotonic()
    with Gateway(text, ports=(HTTP,)) if side == "ours" else collector(text, gates=cases[0].gates):
        send(PORTS[side][0], bodies)
        t1 = time.monotonic()
    t2 = time.monotonic()
    print(f"{side}: {len(cases)} configurations, {t1 - t0:.1f} s to send, {t2 - t1:.1f} s to decide", flush=True)
    return [kept(folder / f"{k}.bin", states if side == "theirs" and case.gates else None) for k, case in enumerate(cases)], t2 - t1


class Matrix:
    def __init__(self, book):
        self.book, self.faults, self.rows = book, [], []
        self.theirs = {}  # what the Collector kept, case by case

    def fault(self, case, what):
        self.faults.append(f"{case.type}/{case.name}: {what}")

    def bounds(self, case, side, kept_traces, seconds):
        ours = side == "ours"
        wrong = case.judge(self.book.of_gateway(WORKERS) if ours else self.book, kept_traces.keys() - ({b""} if ours else set()), seconds)
        if wrong:
            self.fault(case, f"{side}: {wrong}")
        return not wrong

    def compare(self, case, theirs, ours):
        check(ours.pop(b"", None), f"{case.type}/{case.name}: the gateway passes spans without a trace id")
        theirs.pop(b"", None)
        want = self.theirs[case.meant] if case.meant else theirs
        if case.meant:
            want, ours = ({t: x for t, x in side.items() if t not in self.book.odd} for side in (want, ours))
        wrong = difference(want, ours)
        if wrong:
            self.fault(case, wrong)
            return "FAIL"
        return f"meant: {len(theirs.keys() - ours.keys())} fewer, {len(ours.keys() - theirs.keys())} more" if case.meant else "equal"

    def add(self, case, results):
        """results: {side: (what it kept, seconds)}"""
        theirs, seconds = results["theirs"]
        n, total = len(theirs), len(self.book.spans)
        if not LEAST <= n / total <= 1 - LEAST:
            self.fault(case, f"the Collector keeps {n} of {total} traces")
        verdict = ""
        if case.judge:
            verdict = "bounds" if all([self.bounds(case, side, *r) for side, r in results.items()]) else "FAIL"
        elif "ours" in results:
            verdict = self.compare(case, theirs, results["ours"][0])
        self.theirs[f"{case.type}/{case.name}"] = theirs
        self.rows.append((case.type, case.name, n, total - n, len(results["ours"][0]) if "ours" in results else "-", verdict))

    def print(self):
        print("| policy | configuration | kept | not kept | kept by the gateway | |\n|---|---|---|---|---|---|")
        for row in self.rows:
            print("| " + " | ".join(map(str, row)) + " |")


def odd_times(corpus):
    """Traces with a time of zero, one after the year 2262, or an end before its start."""
    return {span.trace_id for request in corpus for _, _, span in spans_of(request)
            if not 0 < span.start_time_unix_nano <= span.end_time_unix_nano < 2**63 - 1}


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--theirs", action="store_true", help="the Collector alone")
    args.add_argument("only", nargs="*", help="types or type/name")
    args = args.parse_args()
    corpus = requests()
    bodies = [q.SerializeToString() for q in corpus]
    states = {(span.trace_id, span.span_id, span.start_time_unix_nano): span.trace_state for q in corpus for _, _, span in spans_of(q)}
    matrix = Matrix(Book(*book_of(corpus), odd_times(corpus)))
    cases = [c for c in CASES if not args.only or c.type in args.only or f"{c.type}/{c.name}" in args.only]
    print(f"{len(matrix.book.spans)} traces, {sum(matrix.book.spans.values())} spans, {len(bodies)} requests, {len(cases)} configurations")
    for gates in dict.fromkeys(c.gates for c in cases):
        group = [c for c in cases if c.gates == gates]
        for at in range(0, len(group), AT_ONCE):
            some = group[at:at + AT_ONCE]
            done = {side: run(side, some, bodies, states) for side in (("theirs",) if args.theirs else ("theirs", "ours"))}
            for k, case in enumerate(some):
                matrix.add(case, {side: (results[k], seconds) for side, (results, seconds) in done.items()})
    matrix.print()
    check(not matrix.faults, "\n".join(matrix.faults))


main()

# SPDX-License-Identifier: Apache-2.0
"""Time in tail_sampling and groupbytrace, the Collector's and the gateway's beside each other: half of the corpus comes, is decided by the
clock, and then comes the rest: new traces, and late spans of decided ones. What is kept is the same, span by span, and so are the
counters by policy.
"""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
from tail_cases import ALWAYS, ERRORS, GOLD, LATENCY, RETRY, chance, difference, kept, named, send, sub  # noqa: E402
from traces_corpus import book_of, requests  # noqa: E402

WAIT_S = 5
WAIT = f"{WAIT_S}s"
PORTS = {"theirs": (14318, COLLECTOR_HEALTH, 18888), "ours": (HTTP, HEALTH, METRICS)}
CACHE_ALL = {"decision_cache": {"sampled_cache_size": 100000, "non_sampled_cache_size": 100000}}
USUAL = [LATENCY, ERRORS, *chance(10)]
CASES = {
    "late": {"decision_wait": WAIT, "policies": USUAL},
    "cached": {"decision_wait": WAIT, "policies": USUAL, **CACHE_ALL},
    "dropped": {"decision_wait": WAIT, "policies": [ALWAYS, sub("drop", RETRY)], **CACHE_ALL},
    "end": {"decision_wait": WAIT, "policies": [GOLD, ERRORS], "drop_pending_traces_on_shutdown": True},
    "root": {"decision_wait": "1h", "decision_wait_after_root_received": "1s", "policies": [ALWAYS], "drop_pending_traces_on_shutdown": True},
}
GROUPED = {"wait_duration": "3s", "num_traces": 1000000}
COUNTERS = re.compile(r'^(otelcol_processor_tail_sampling_(?:count_traces_sampled|sampling_policy_execution_count)\w*)\{(.*)\} (\S+)$', re.M)


def config(side, folder):
    port, health, metrics = PORTS[side]
    names = [*CASES, "grouped"]
    processors = {f"tail_sampling/{name}": {**c, "policies": named(c["policies"])} for name, c in CASES.items()} | {"groupbytrace/grouped": GROUPED}
    return json.dumps({
        "extensions": {"health_check": {"endpoint": f"127.0.0.1:{health}"}},
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
        "processors": processors,
        "exporters": {f"file/{n}": {"path": str(folder / f"{n}.bin"), "format": "proto"} for n in names},
        "service": {"extensions": ["health_check"],
                    "telemetry": {"metrics": {"level": "normal", "readers": [{"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": metrics}}}}]}},
                    "pipelines": {f"traces/{n.split('/')[1]}": {"receivers": ["otlp"], "processors": [n], "exporters": [f"file/{n.split('/')[1]}"]} for n in processors}},
    })


def counters(port):
    """{(name, policy, sampled, decision): value} of what is counted by policy."""
    out = {}
    for name, labels, value in COUNTERS.findall(get(f"http://127.0.0.1:{port}/metrics")):
        labels = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        key = (name.removesuffix("_total"), *(labels.get(k, "") for k in ("policy", "sampled", "decision")))
        out[key] = out.get(key, 0) + float(value)
    return out


def send_all(sides, bodies):
    t0 = time.monotonic()
    for side in sides:
        send(PORTS[side][0], bodies)
    return time.monotonic() - t0


def main():
    sides = ("theirs",) if "--theirs" in sys.argv else ("theirs", "ours")
    corpus = requests(n=1200, seed=7, n_requests=200, zero=False)
    bodies = [q.SerializeToString() for q in corpus]
    spans, _, roots = book_of(corpus)
    folders = {side: RUN / f"late-{side}" for side in sides}
    for folder in folders.values():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(collector(config("theirs", folders["theirs"])))
        if "ours" in sides:
            stack.enter_context(Gateway(config("ours", folders["ours"]), ports=(HTTP, METRICS)))
        took = send_all(sides, bodies[:100])
        check(took < WAIT_S - 1, f"the first half took {took:.1f} s: this machine is too busy to tell late spans from others")
        time.sleep(WAIT_S + 2.5)  # the Collector decides up to two of its ticks after the wait
        send_all(sides, bodies[100:])
        time.sleep(3.5)  # what the root's wait is for
        counts = {side: counters(PORTS[side][2]) for side in sides}
    faults = []
    for name in (*CASES, "grouped"):
        results = {side: kept(folders[side] / f"{name}.bin") for side in sides}
        n = len(results["theirs"])
        print(f"{name}: {n} of {len(spans)} traces, {sum(map(len, results['theirs'].values()))} of {sum(spans.values())} spans kept")
        if "ours" in results and (wrong := difference(results["theirs"], results["ours"])):
            faults.append(f"{name}: {wrong}")
    for key, value in counts["theirs"].items():
        print(f"  {key}: {value:.0f}")
        if "ours" in counts and counts["ours"].get(key) != value:
            faults.append(f"{key}: {counts['ours'].get(key)}, not {value}")
    check(not faults, "\n".join(faults))


main()

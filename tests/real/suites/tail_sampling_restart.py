# SPDX-License-Identifier: Apache-2.0
"""tail_sampling with a storage, ended by SIGTERM twice in the middle of its waiting and started again with other numbers of workers: what is
kept is what a gateway keeps that was never ended, span by span; traces that wait over both ends, and late spans of traces that were decided
before them.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
from tail_cases import ERRORS, LATENCY, chance, difference, kept, named, send  # noqa: E402
from traces_corpus import book_of, requests  # noqa: E402

SOON_S, LATE_S = 2, 9  # waits: of those that are decided before the first end, and of those that wait over both
PORTS = {"whole": (14318, 18888), "cut": (HTTP, METRICS)}
WAITS = {"decided": SOON_S, "waiting": LATE_S}


def config(side, folder, life, workers):
    port, metrics = PORTS[side]
    processors = {f"tail_sampling/{name}": {"decision_wait": f"{s}s", "policies": named([LATENCY, ERRORS, *chance(10)]), "storage": "file_storage"}
                  for name, s in WAITS.items()}
    return json.dumps({
        "extensions": {"file_storage": {"directory": str(folder / "storage"), "create_directory": True}},
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
        "processors": processors,
        "exporters": {f"file/{n}": {"path": str(folder / f"{n}-{life}.bin"), "format": "proto"} for n in WAITS},
        "service": {"extensions": ["file_storage"], "runtime": {"workers": workers},
                    "telemetry": {"metrics": {"level": "normal", "readers": [{"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": metrics}}}}]}},
                    "pipelines": {f"traces/{n}": {"receivers": ["otlp"], "processors": [f"tail_sampling/{n}"], "exporters": [f"file/{n}"]} for n in WAITS}},
    })


def value(port, name, **labels):
    """The sum of a counter's series that have these labels."""
    lines = (x for x in get(f"http://127.0.0.1:{port}/metrics").splitlines() if x.startswith(name))
    return sum(float(x.rsplit(" ", 1)[1]) for x in lines if all(f'{k}="{v}"' in x for k, v in labels.items()))


def spools(folder):
    return sorted(p.name for p in (folder / "storage/spool").glob("*/*"))


def all_kept(folder, name):
    out = {}
    for path in sorted(folder.glob(f"{name}-*.bin")):
        for trace, spans in kept(path).items():
            out[trace] = sorted(out.get(trace, []) + spans)
    return out


def live(folder, life, workers, do, n_spools):
    """One life; what is on disk after it."""
    with Gateway(config("cut", folder, life, workers), ports=PORTS["cut"]) as gw:
        do()
        equal(value(METRICS, "staunch_ledger_mismatch"), 0, f"life {life}: rows that are not accounted for")
        taken = value(METRICS, "staunch_spool_spans", what="taken_up")
        gw.stop()
        text = gw.text()
    equal([name.rsplit(".", 1)[1] for name in spools(folder)], ["spool"] * n_spools, f"life {life}: files")
    check("damaged" not in text, text[-2000:])
    return taken


def until_waiting(port, some):
    wait_for("some wait" if some else "all are decided", 30, lambda: (value(port, "otelcol_processor_tail_sampling_sampling_traces_on_memory") > 0) == some)


def main():
    corpus = requests(n=1200, seed=11, n_requests=200, zero=False)
    bodies = [q.SerializeToString() for q in corpus]
    spans, _, _ = book_of(corpus)
    folders = {side: RUN / f"restart-{side}" for side in PORTS}
    for folder in folders.values():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    with Gateway(config("whole", folders["whole"], 0, 2), ports=PORTS["whole"]) as whole:
        send(PORTS["whole"][0], bodies[:100])
        taken = [live(folders["cut"], 0, 2, lambda: (send(HTTP, bodies[:100]), time.sleep(SOON_S + 1)), 4)]
        send(PORTS["whole"][0], bodies[100:])
        taken.append(live(folders["cut"], 1, 3, lambda: send(HTTP, bodies[100:]), 6))
        taken.append(live(folders["cut"], 2, 1, lambda: (until_waiting(METRICS, True), until_waiting(METRICS, False)), 2))
        until_waiting(PORTS["whole"][1], False)
        whole.stop()
    equal(taken[0], 0, "spans taken up at first")
    check(taken[1] > 1000 and taken[2] > taken[1], f"spans taken up: {taken}")
    for name in WAITS:
        want, got = (all_kept(folders[side], name) for side in ("whole", "cut"))
        print(f"{name}: {len(want)} of {len(spans)} traces, {sum(map(len, want.values()))} of {sum(spans.values())} spans kept")
        check(50 < len(want) < len(spans) - 50, f"{name}: {len(want)} traces are kept")
        wrong = difference(want, got)
        check(not wrong, f"{name}: {wrong}")


main()

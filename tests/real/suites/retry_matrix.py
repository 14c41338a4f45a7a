# SPDX-License-Identifier: Apache-2.0
"""Every answer of a sink, and every way to get none, against every exporter: docs/retries.md says in its tables what becomes of the rows,
and this reads them. Each cell is an exporter and a server of its own, which goes wrong twice and is well then.
"""
import dataclasses
import pathlib
import re
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
import faultcheck  # noqa: E402
from sinks.fault import FaultSink, Sender  # noqa: E402

DOC = pathlib.Path(__file__).resolve().parents[3] / "docs/retries.md"
HTTP_STATUSES = {200, 201, 202, 204, 301, 302, 307, 308, 400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 500, 501, 502, 503, 504, 507}
GRPC_CODES = set(range(17))
COLUMNS = {"`otlp_http`": ("http",), "`otlp_grpc`": ("grpc", "zstd"), "`elasticsearch`": ("bulk",), "`prometheus_remote_write`": ("rw1", "rw2"),
           "`prometheus_remote_write` 1.0": ("rw1",), "`prometheus_remote_write` 2.0": ("rw2",)}
TYPES = {"http": "otlp_http", "grpc": "otlp_grpc", "zstd": "otlp_grpc", "bulk": "elasticsearch", "rw1": "prometheus_remote_write",
         "rw2": "prometheus_remote_write"}
REFUSED = "refused"  # nobody listens
TRANSPORT = {
    "nobody listens": REFUSED,
    "reset before the request": "conn cut_in=0 how=rst",
    "reset inside the request": "cut_in=40 how=rst",
    "reset behind the request": "apply=1 cut_out=0 how=rst",
    "closed behind the request": "apply=1 cut_out=0",
    "the answer's head is cut": "apply=0 cut_out=9",
    "a success whose body is cut": "status=200 body=half",
    "a success whose body is garbage": "status=200 body=garbage",
    "a success without a body": "status=200 body=empty",
    "no HTTP": "apply=0 noise",
    "no answer in `timeout`": "stall",
    "no trailers": "no_trailers",
}
WAIT_S = 1  # what a Retry-After says
PORTS = {1: HTTP, 4: GRPC}  # of OTLP over HTTP: requests of one row, and of four
LATE_PORT = 26000  # and those behind it: where nobody listens at first


@dataclasses.dataclass
class Case:
    kind: str
    name: str
    fault: str
    want: str
    rows: int = 1
    wait_s: int = 0
    buried: bool = True  # else there is no port for dead letters

    @property
    def times(self):
        return 1 if self.rows > 1 or self.want == AS_1 else 2

    @property
    def asks_first(self):
        """Who the server is, on the same connection."""
        return self.kind == "bulk" and self.fault != REFUSED and not self.fault.startswith("conn")


# ---- the tables ------------------------------------------------------------------------------------------------------

AS_1, DELIVERED, AGAIN, HALVES = "at once as 1.0", "delivered", "again", "halves; alone "


def tables():
    """[(first column's head, heads, [cells])] of the document."""
    out = []
    for line in DOC.read_text().splitlines():
        cells = [c.strip() for c in line.strip("|").split("|")] if line.startswith("|") else None
        if cells is None:
            heads = None
        elif heads is None:
            heads = cells
            out.append((heads, []))
        elif not set(line) <= set("|-"):
            out[-1][1].append(cells)
    return {heads[0]: (heads[1:], rows) for heads, rows in out}


def cells(table, every):
    """(name in the first column, kind, cell) of a table, which must tell of every one once."""
    heads, rows = tables()[table]
    seen = [name for row in rows for name in row[0].split(", ")]
    equal(sorted(seen, key=str), sorted(map(str, every)), f"{DOC.name}: the rows of \"{table}\"")
    for row in rows:
        for head, cell in zip(heads, row[1:]):
            for name in row[0].split(", "):
                for kind in COLUMNS.get(head, ()):
                    if cell != "-":
                        yield name, kind, cell


def http_cases():
    for n, kind, cell in cells("HTTP", HTTP_STATUSES):
        where = " location=http://127.0.0.1:1/elsewhere" if n[0] == "3" else ""
        want = cell.replace("_N`", f"_{n}`").replace("the server's `type`", "`sink_exception`")
        yield Case(kind, f"{kind}-{n}", f"status={n}{where}", want)
        yield Case(kind, f"{kind}-{n}-4", f"status={n}{where}", want, rows=4)
        if "`" in want:
            yield Case(kind, f"{kind}-{n}-drop", f"status={n}{where}", want, buried=False)
        if n[0] != "2" and TYPES[kind] != "otlp_grpc" and cell != AS_1:  # grpc's client does not show the header
            yield Case(kind, f"{kind}-{n}-wait", f"status={n} retry_after={WAIT_S}{where}", want, wait_s=WAIT_S)


def grpc_cases():
    heads, rows = tables()["gRPC"]
    equal({int(r[0].split()[0]) for r in rows}, GRPC_CODES, f"{DOC.name}: codes of gRPC")
    for row in rows:
        n = row[0].split()[0]
        for kind in COLUMNS["`otlp_grpc`"]:
            yield Case(kind, f"{kind}-c{n}", f"grpc={n}", row[1])
            yield Case(kind, f"{kind}-c{n}-4", f"grpc={n}", row[1], rows=4)
            if "`" in row[1]:
                yield Case(kind, f"{kind}-c{n}-drop", f"grpc={n}", row[1], buried=False)
            if row[2] != "-":
                yield Case(kind, f"{kind}-c{n}-wait", f"grpc={n} retry_after={WAIT_S}", row[2], wait_s=WAIT_S)


def transport_cases():
    for i, (what, kind, cell) in enumerate(cells("what happens", TRANSPORT)):
        yield Case(kind, f"{kind}-t{list(TRANSPORT).index(what)}", TRANSPORT[what], cell)


# ---- a gateway with all exporters of a kind ----------------------------------------------------------------------------

def exporter(case, url):
    pause = {"initial_interval": "20ms", "max_interval": "20ms", "max_elapsed_time": "0s"}
    common = {"timeout": "1s", "circuit_breaker": {"enabled": False}, "sending_queue": {"num_consumers": 1}, "ports": {"dead_letter": ["file/rejects"] if case.buried else []}}
    if case.kind.startswith("rw"):
        return {"endpoint": f"{url}/api/v1/write", **common, "retry_on_failure": pause, "remote_write_queue": {"num_consumers": 1},
                "protobuf_message": {"rw1": "prometheus.WriteRequest", "rw2": "io.prometheus.write.v2.Request"}[case.kind], "target_info": {"enabled": False}}
    if case.kind == "bulk":
        return {"endpoint": url, "document_id": "content", **common, "retry": {"initial_interval": "20ms", "max_interval": "20ms", "max_retries": 1000},
                "sending_queue": {"batch": {"flush_timeout": "20ms", "min_size": 1}}}
    return {"endpoint": url, "compression": "zstd" if case.kind == "zstd" else "none", "tls": {"insecure": True}, "retry_on_failure": pause, **common}


def exporter_id(case):
    return f"{TYPES[case.kind]}/{case.name}"


def config(cases, url, rejects):
    named = {exporter_id(c): exporter(c, url(c)) for c in cases}
    signal = signal_of(cases[0])
    pipes = {f"{signal}/{rows}": {"receivers": [f"otlp/{rows}"], "exporters": [exporter_id(c) for c in cases if c.rows == rows]} for rows in PORTS}
    pipes = {k: v for k, v in pipes.items() if v["exporters"]}
    used = {r: {"protocols": {"http": {"endpoint": f"127.0.0.1:{PORTS[int(r[-1])]}"}}} for p in pipes.values() for r in p["receivers"]}
    return json.dumps({
        "receivers": used,
        "exporters": {**named, "file/rejects": {"path": str(rejects)}},
        "service": {"telemetry": {"metrics": {"readers": [{"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": METRICS}}}}]}}, "pipelines": pipes},
    }), [PORTS[int(r[-1])] for r in used]


def signal_of(case):
    return "metrics" if case.kind.startswith("rw") else "logs"


def counted(what, case, page):
    rows = {"metrics": "metric_points", "logs": "log_records"}[signal_of(case)]
    return page.get((f"otelcol_exporter_{what}_{rows}_total", exporter_id(case)), 0)


def scrape():
    out = {}
    for line in get(f"http://127.0.0.1:{METRICS}/metrics").splitlines():
        found = re.match(r'(otelcol_exporter_\w+)\{.*?exporter="([^"]*)".*\} (\S+)$', line)
        lost = re.match(r'staunch_dropped_items(?:_total)?\{.*?component="([^"]*)".*reason="([^"]*)".* (\S+)$', line)
        if lost:
            out[lost[1], lost[2]] = int(float(lost[3]))
        if found:
            key = found[1] if found[1].endswith("_total") else found[1] + "_total", found[2]
            out[key] = out.get(key, 0) + int(float(found[3]))
    return out


def unsettled(cases):
    page = scrape()
    return [c.name for c in cases if counted("sent", c, page) + counted("send_failed", c, page) < c.rows]


# ---- what became of it -------------------------------------------------------------------------------------------------

def observed(case, stats, letters, journal, page):
    """In the words of the tables; of what is dropped the class is not known."""
    sent, failed, hits = counted("sent", case, page), counted("send_failed", case, page), stats["faults"] - case.asks_first
    mine = [x for x in letters if x["component"] == exporter_id(case)]
    at = sorted(e.at for e in journal.exchanges.values())
    if failed and not case.buried:
        equal(mine, [], f"{case.name}: letters")
        return " and ".join(f"`{reason}`" for (name, reason), rows in page.items() if name == exporter_id(case) and rows == failed)
    if failed:
        check(sum(int(x["rows"]) for x in mine) == failed, f"{case.name}: {failed} rows failed, letters: {mine}")
        word = " and ".join(sorted({f"`{x['reason']}`" if x["class"] == "sink_rejected" else f"`{x['class']}` `{x['reason']}`" for x in mine}))
        return word if not sent and hits == 1 else f"{word}, {sent} sent, {hits} faults"
    if case.rows > 1:
        return {1: DELIVERED, 2: AGAIN, 3: HALVES}.get(len(at), f"{len(at)} requests")
    return DELIVERED if hits == 1 and stats["script_left"] == 1 else AGAIN if hits == case.times else f"{hits} faults"


def reason_of(case):
    """What a row that is alone is given up for."""
    word = case.want.removeprefix(HALVES)
    return word if case.buried else word.split(" ")[-1]


def same(case, got):
    """Whether that is what the table says."""
    if case.want.startswith(HALVES):
        return got == (HALVES if case.rows > 1 else reason_of(case))
    if case.want == AS_1:
        return got == AGAIN
    return got == (case.want if case.buried else reason_of(case))


def waited(case, journal):
    """Whether every later exchange came so long after the answer to the one before; '' or what came instead."""
    all_ = sorted((e for e in journal.exchanges.values()), key=lambda e: e.at)
    gaps = [(b.at - (a.told or a.at)) / 1e9 for a, b in zip(all_, all_[1:])]
    return "" if all(g >= case.wait_s - 0.002 for g in gaps) else f"{case.name}: told to come back after {case.wait_s} s, asked again after {gaps}"


def run(kind, cases, folder):
    """All cases of one kind in one gateway. What is wrong, as texts."""
    rejects = folder / "rejects.jsonl"
    late = {c.name: LATE_PORT + i for i, c in enumerate(x for x in cases if x.fault == REFUSED)}
    with FaultSink(folder, [c.name for c in cases if c.name not in late]) as sink:
        for c in cases:
            if c.name not in late:
                sink.script(c.name, *["next apply=1"] * c.asks_first, *[f"next {c.fault}"] * c.times)
        text, ports = config(cases, lambda c: f"http://127.0.0.1:{late[c.name]}" if c.name in late else sink.url(c.name), rejects)
        with Gateway(text, ports=ports) as gw:
            sent = {}
            for rows in {c.rows for c in cases}:
                log = folder / f"sent.{rows}"
                equal(Sender(log, PORTS[rows], signal=signal_of(cases[0]), rate=1, rows=rows, seconds=0.1, conns=1).wait()["accepted"], rows, f"{kind}: accepted")
                sent[rows] = faultcheck.Sent([log])
            if late:
                wait_for("tries while nobody listens", 10, lambda: gw.text().count("Will retry") >= 3 * len(late))
                (folder / "late").mkdir()
                with FaultSink(folder / "late", list(late), list(late.values())) as other:
                    wait_for(lambda: f"{kind}: {unsettled(cases)}", 30, lambda: not unsettled(cases))
                    return verdicts(kind, cases, sink, other, gw, sent, rejects)
            wait_for(lambda: f"{kind}: {unsettled(cases)}", 30, lambda: not unsettled(cases))
            return verdicts(kind, cases, sink, None, gw, sent, rejects)


def verdicts(kind, cases, sink, late, gw, sent, rejects):
    page, stats = scrape(), sink.stats()["sinks"]
    ledger()
    gw.stop()
    letters, wrong = dead_letters(rejects), []
    for c in cases:
        where = late if c.fault == REFUSED else sink
        journal = faultcheck.Journal(where.journal, c.name)
        mine = stats.get(c.name, {"faults": c.times, "script_left": 0})
        got = observed(c, mine, letters, journal, page)
        if not same(c, got):
            wrong.append(f"{c.name} ({c.fault}, {c.rows} rows): {got}, not {c.want}")
            continue
        if c.wait_s and got == AGAIN and waited(c, journal):
            wrong.append(waited(c, journal))
        v = faultcheck.judge(sent[c.rows], journal)
        if v.wrong(duplicates="apply=1" in c.fault or "body" in c.fault or "trailers" in c.fault):
            wrong.append(f"{c.name} ({c.fault}): {v.wrong()}: {v}")
    return wrong


def main():
    every, wrong = [*http_cases(), *grpc_cases(), *transport_cases()], []
    for kind in sys.argv[1:] or TYPES:
        folder, t0, cases = pathlib.Path(tempfile.mkdtemp(prefix="retry-matrix-")), time.monotonic(), [c for c in every if c.kind == kind]
        found = run(kind, cases, folder)
        shutil.rmtree(folder)
        print(f"{kind}: {len(cases)} answers, {len(found)} not as documented, {time.monotonic() - t0:.1f} s", flush=True)
        wrong += found
    check(not wrong, "\n".join(wrong))


main()

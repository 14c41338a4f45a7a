# SPDX-License-Identifier: Apache-2.0
"""What the suites share: starting the gateway and the real parts, reading back what arrived."""
import collections
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
PARTS = HERE / "parts"
STAUNCH = os.environ.get("STAUNCH", str(HERE.parent.parent / "build/staunch"))
CACHE = pathlib.Path(os.environ.get("REAL_CACHE", pathlib.Path.home() / ".cache/staunch-real"))
RUN = pathlib.Path(os.environ.get("REAL_RUN", "/tmp/staunch-real"))
GRPC, HTTP, HEALTH, METRICS = 25317, 25318, 25133, 25888
# The Collector's health port is ours too in the examples: it moves.
COLLECTOR_HEALTH = os.environ.setdefault("OTELCOL_HEALTH", "23133")


def check(condition, text):
    if not condition:
        sys.exit(f"FAIL: {text}")


def equal(got, want, text):
    check(got == want, f"{text}: {got!r}, not {want!r}")


def wait_for(what, seconds, test):
    """Poll until test() is true; these are other people's processes, which have no clock of ours. what: a text, or what gives it."""
    end = time.monotonic() + seconds
    while not test():
        if time.monotonic() >= end:
            check(False, f"{what() if callable(what) else what}: not within {seconds} s")
        time.sleep(0.05)


def port_open(port):
    with socket.socket() as s:
        s.settimeout(0.3)
        return s.connect_ex(("127.0.0.1", port)) == 0


def get(url):
    with urllib.request.urlopen(url, timeout=20) as r:
        return r.read().decode()


def post(url, body, headers):
    """(status, headers, body) whatever the status is."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers, method="POST"), timeout=60) as r:
            return r.status, dict(r.headers), r.read()
    except urllib.error.HTTPError as e:
        return e.code, dict(e.headers), e.read()


class Gateway:
    """build/staunch with a configuration text; a context manager. stop() is SIGTERM and must end with 0."""

    def __init__(self, config, ports=(GRPC, HTTP), name="staunch", args=()):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="staunch-"))
        self.config = self.dir / "config.yaml"
        self.config.write_text(config)
        self.log = self.dir / "log"
        self.out = open(self.log, "wb")
        self.p = subprocess.Popen([STAUNCH, f"--config={self.config}", *args], stdout=self.out, stderr=self.out)
        for port in ports:
            wait_for(f"{name} on port {port} (log: {self.text()})", 10, lambda: self.p.poll() is not None or port_open(port))
            check(self.p.poll() is None, f"{name} ended while starting: {self.text()}")

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def stop(self, seconds=40):
        self.p.send_signal(signal.SIGTERM)
        try:
            code = self.p.wait(seconds)
        except subprocess.TimeoutExpired:
            self.p.kill()
            sys.exit(f"FAIL: the gateway did not drain within {seconds} s: {self.text()[-2000:]}")
        equal(code, 0, f"exit code ({self.text()[-2000:]})")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.p.poll() is None:
            if kind:
                self.p.kill()
                print(self.text()[-4000:])
            else:
                self.stop()
        self.out.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class Certificates:
    """Two CAs, `ca` and `other`, in a folder of their own, and what make() signs: NAME.pem, NAME.key, NAME.both."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="certificates-"))
        for ca in ("ca", "other"):
            self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", f"/CN={ca}",
                          "-keyout", self / f"{ca}.key", "-out", self / f"{ca}.pem")

    def __truediv__(self, name):
        return self.dir / name

    def _openssl(self, *args):
        subprocess.run(["openssl", *args], check=True, capture_output=True)

    def make(self, name, ca="ca", san="DNS:localhost", days=30):
        """days may be negative: expired."""
        new = self / f"{name}.new"
        (self / "san").write_text(f"subjectAltName={san}\n")
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout",
                      self / f"{name}.key.new", "-out", self / f"{name}.csr")
        self._openssl("x509", "-req", "-in", self / f"{name}.csr", "-CA", self / f"{ca}.pem", "-CAkey", self / f"{ca}.key", "-set_serial", "7",
                      "-days", str(days), "-extfile", self / "san", "-out", new)
        (self / f"{name}.both").write_bytes((self / f"{name}.key.new").read_bytes() + new.read_bytes())
        (self / f"{name}.key.new").rename(self / f"{name}.key")
        new.rename(self / f"{name}.pem")

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)


def part(script, *args, env=None, capture=False):
    return subprocess.run(["bash", str(PARTS / script), *args], check=True, env={**os.environ, **(env or {})},
                          stdout=subprocess.PIPE if capture else None, text=True).stdout


@contextlib.contextmanager
def kafka():
    """A real broker with nothing in it; gives its address."""
    part("kafka.sh", "wipe")
    part("kafka.sh", "start")
    try:
        yield "127.0.0.1:" + os.environ.get("KAFKA_PORT", "27092")
    finally:
        part("kafka.sh", "wipe")


@contextlib.contextmanager
def opensearch(settings=""):
    """A real OpenSearch with nothing in it; gives its URL."""
    part("opensearch.sh", "wipe")
    part("opensearch.sh", "start", env={"OPENSEARCH_SETTINGS": settings})
    try:
        yield "http://127.0.0.1:" + os.environ.get("OPENSEARCH_PORT", "27200")
    finally:
        part("opensearch.sh", "wipe")


def dead_letters(path):
    """The attributes of each dead letter in a file, without the dlq. of their names; body: its bytes, or its text."""
    out = []
    for line in json_lines(path) if pathlib.Path(path).exists() else []:
        for record in (x for r in line["resourceLogs"] for s in r["scopeLogs"] for x in s["logRecords"]):
            out.append({a["key"].removeprefix("dlq."): next(iter(a["value"].values())) for a in record["attributes"]})
            out[-1]["body"] = next(iter(record.get("body", {"": None}).values()))
    return out


@contextlib.contextmanager
def collector(config=None, gates=""):
    """The real Collector, by default writing {traces,metrics,logs}.jsonl; gives the folder. gates: its --feature-gates."""
    folder = RUN / "otelcol"
    shutil.rmtree(folder, ignore_errors=True)
    path = []
    if config:
        file = RUN / "otelcol-test.yaml"
        file.write_text(config)
        path = [str(file)]
    part("otelcol.sh", "start", *path, env={"OTELCOL_GATES": gates})
    try:
        yield folder
    finally:
        part("otelcol.sh", "stop")


def kafka_messages(broker, topic):
    """[(partition, key or None, value)] of all that stands in a topic now."""
    raw = subprocess.run(["kcat", "-C", "-b", broker, "-t", topic, "-e", "-q", "-o", "beginning", "-X", "fetch.wait.max.ms=10", "-f", "%p %K %S\n%k%s"],
                         check=True, capture_output=True).stdout
    out, at = [], 0
    while at < len(raw):
        line_end = raw.index(b"\n", at)
        partition, n_key, n_value = (int(x) for x in raw[at:line_end].split())
        at = line_end + 1
        key = raw[at:at + n_key] if n_key >= 0 else None
        at += max(n_key, 0)
        out.append((partition, key, raw[at:at + n_value]))
        at += n_value
    return out


def ledger(port=METRICS):
    """Every row that came into the gateway is somewhere, says `staunch ledger`. The exporters' books: {name: entries}, over all pipelines."""
    done = subprocess.run([STAUNCH, "ledger", "--endpoint", f"127.0.0.1:{port}", "--format", "json"], capture_output=True, text=True, timeout=60)
    equal(done.returncode, 0, f"staunch ledger: {done.stdout}{done.stderr}")
    out = collections.defaultdict(collections.Counter)
    for book in json.loads(done.stdout)["books"]:
        if book["book"] == "exporter":
            out[book["component"]].update({k: v for k, v in book.items() if isinstance(v, int)})
    return out


def booked(books, exporter, at_least, at_most=None):
    """The book of an exporter whose queue is on disk: nothing waits any more, and it had so many rows since its queue was made, over all kills."""
    entries = books[exporter]
    equal(entries["held"], 0, f"{exporter}: {dict(entries)}")
    had = entries["in"] - entries["refused"]
    check(had >= at_least, f"{exporter}: of {at_least} accepted rows only {had} are in its book: {dict(entries)}")
    check(at_most is None or had <= at_most, f"{exporter}: {had} rows are in its book, and only {at_most} were sent: {dict(entries)}")


def json_lines(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines() if line.strip()]


def client(sdk, protocol, n, endpoint):
    """One run of an SDK client; what it says it sent."""
    out = part("clients/client.sh", "run", sdk, protocol, str(n), env={"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}, capture=True)
    return json.loads(out.strip().splitlines()[-1])


def metric(name, port=METRICS, **labels):
    """Sum of the series of that name (with or without _total) with these labels."""
    total = 0.0
    for line in get(f"http://127.0.0.1:{port}/metrics").splitlines():
        head, _, value = line.rpartition(" ")
        if head.split("{")[0] in (name, name + "_total") and all(f'{k}="{v}"' in head for k, v in labels.items()):
            total += float(value)
    return total

# SPDX-License-Identifier: Apache-2.0
"""The OTLP exporters to a Collector that wants to know who we are (mutual TLS), over gRPC and HTTP: certificates from files and as
text, another name on the server's certificate with and without looking at it. Then what must not pass: a CA we do not trust, another
name, no certificate, an expired one. The log says why, nothing is sent and nothing lost: with the files put right, it arrives.
"""
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403

D = Certificates()
PORTS = {"otlp_grpc": (14317, 14417), "otlp_http": (14318, 14418)}  # a certificate of localhost, one of collector.example
CA = {"ca_file": str(D / "ca.pem")}
CLIENT = {"cert_file": str(D / "client.pem"), "key_file": str(D / "client.key")}
AGAIN = {"reload_interval": "1s"}
GOOD = {  # name: (which port, tls)
    "files": (0, {**CA, **CLIENT}),
    "text": (0, {f"{k}_pem": "${file:%s}" % (D / f) for k, f in (("ca", "ca.pem"), ("cert", "client.pem"), ("key", "client.key"))}),
    "unseen": (1, {**CLIENT, "insecure_skip_verify": True}),
    "renamed": (1, {**CA, **CLIENT, "server_name_override": "collector.example"}),
}
BAD = {
    "no_ca": (0, CLIENT),
    "name": (1, {**CA, **CLIENT}),
    "no_cert": (0, CA),
    "stranger": (0, {"ca_file": str(D / "trusted-later.pem"), **CLIENT, **AGAIN}),
    "expired": (0, {**CA, "cert_file": str(D / "expired.pem"), "key_file": str(D / "expired.key"), **AGAIN}),
}
UNKNOWN_CA = ("unable to get local issuer certificate", "certificate verify failed")
GONE = "the server closed the connection at once"  # as curl sees it, half of the time
WORDS = {"no_ca": UNKNOWN_CA, "stranger": UNKNOWN_CA, "no_cert": ("alert certificate required", GONE), "expired": ("alert certificate expired", GONE),
         "name": ("no alternative certificate subject name matches", "Hostname Verification Check failed", "peer name localhost is not in peer certificate")}
MENDED = ("stranger", "expired")
# By grpc core TLS is what it is; what zstd goes by can be told a version.
NEWEST = {f"{kind}/newest": (kind, 0, {**CA, **CLIENT, "min_version": "1.3"}, "zstd") for kind in PORTS}
WAYS = dict(NEWEST)
WAYS |= {f"{kind}/{name}": (kind, port, tls) for kind in PORTS for name, (port, tls) in {**GOOD, **BAD}.items()}


def of(names):
    return {f"{kind}/{name}" for kind in PORTS for name in names}


def exporter(kind, port, tls, compression="gzip"):
    host = f"localhost:{PORTS[kind][port]}"
    return {"endpoint": host if kind == "otlp_grpc" else f"https://{host}", "tls": tls, "timeout": "3s", "compression": compression,
            "retry_on_failure": {"initial_interval": "200ms", "max_interval": "1s", "max_elapsed_time": 0}}


def ours():
    return json.dumps({
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{HTTP}"}}}},
        "exporters": {name: exporter(*way) for name, way in WAYS.items()},
        "service": {"runtime": {"drain_timeout": "1s"},
                    "telemetry": {"metrics": {"readers": [{"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": METRICS}}}}]}},
                    "pipelines": {"traces": {"receivers": ["otlp"], "exporters": list(WAYS)}}},
    })


def theirs():
    def otlp(i, name):
        tls = {"cert_file": str(D / f"{name}.pem"), "key_file": str(D / f"{name}.key"), "client_ca_file": str(D / "ca.pem")}
        return {"protocols": {p: {"endpoint": f"127.0.0.1:{PORTS[f'otlp_{p}'][i]}", "tls": tls} for p in ("grpc", "http")}}

    return json.dumps({
        "extensions": {"health_check": {"endpoint": f"127.0.0.1:{COLLECTOR_HEALTH}"}},
        "receivers": {"otlp": otlp(0, "server"), "otlp/renamed": otlp(1, "renamed")},
        "exporters": {"file": {"path": str(RUN / "otelcol/tls.jsonl"), "flush_interval": "100ms"}},
        "service": {"extensions": ["health_check"], "telemetry": {"metrics": {"level": "none"}},
                    "pipelines": {"traces": {"receivers": ["otlp", "otlp/renamed"], "exporters": ["file"]}}},
    })


def send(i):
    span = {"traceId": f"{i:032x}", "spanId": f"{i:016x}", "name": f"n{i}", "kind": 1, "startTimeUnixNano": "1", "endTimeUnixNano": "2"}
    status, _, answer = post(f"http://127.0.0.1:{HTTP}/v1/traces", json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode(),
                             {"Content-Type": "application/json"})
    equal(status, 200, f"{answer!r}")


def sent(name):
    return int(metric("otelcol_exporter_sent_spans", exporter=name))


def logged(gw, name):
    return [line for line in gw.text().splitlines() if f'"{name}"' in line and "Exporting failed" in line]


def play(gw, file):
    send(1)
    good, bad, mended = of(GOOD) | set(NEWEST), of(BAD), of(MENDED)
    wait_for(lambda: f"one span by each of {[n for n in good if sent(n) < 1]}: {[logged(gw, n)[:2] for n in good]}", 20,
             lambda: all(sent(n) == 1 for n in good))
    wait_for(lambda: f"a complaint by each of {[n for n in bad if not logged(gw, n)]}", 20, lambda: all(logged(gw, n) for n in bad))
    for name in sorted(bad):
        print(f"exporters_tls: {name}: {logged(gw, name)[0][25:280]}", flush=True)
        kind, case = name.split("/")
        # grpc core tells the connection's end to us, and its cause only to stderr.
        said = "\n".join(logged(gw, name)) if kind == "otlp_http" else gw.text()
        check(any(w in said for w in WORDS[case]), f"{name} does not say {WORDS[case]}: {said[-2000:]}")
        equal((sent(name), metric("staunch_dropped_items", component=name)), (0, 0), f"{name}: sent, dropped")
    shutil.copy(D / "ca.pem", D / "trusted-later.pem")
    D.make("expired")
    wait_for(lambda: f"the span by each of {[n for n in mended if sent(n) < 1]}: {[logged(gw, n)[-1] for n in mended]}", 30,
             lambda: all(sent(n) == 1 for n in mended))
    equal({n: sent(n) for n in bad - mended}, {n: 0 for n in bad - mended}, "what was never put right")
    want = len(good) + len(mended)
    wait_for(lambda: f"{want} documents of {len(json_lines(file))}", 10, lambda: len(json_lines(file)) >= want)
    equal(len(json_lines(file)), want, "documents at the Collector")


def main():
    D.make("server")
    D.make("renamed", san="DNS:collector.example")
    D.make("client")
    D.make("expired", days=-1)
    shutil.copy(D / "other.pem", D / "trusted-later.pem")
    with collector(theirs()) as folder, Gateway(ours(), ports=(HTTP,)) as gw:
        play(gw, folder / "tls.jsonl")
        gw.stop()
    print("exporters_tls: every case as it should be")


try:
    main()
finally:
    D.remove()

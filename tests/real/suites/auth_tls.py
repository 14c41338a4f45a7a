# SPDX-License-Identifier: Apache-2.0
"""Each endpoint with no, wrong and right credentials, basic and bearer; TLS and mutual TLS, a certificate replaced while running."""
import base64
import pathlib
import shutil
import ssl
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403

import grpc  # noqa: E402

METHODS = {"traces": "trace.v1.TraceService", "metrics": "metrics.v1.MetricsService", "logs": "logs.v1.LogsService"}
CONFIG = """
extensions:
  basicauth: {{ htpasswd: {{ inline: "alice:wonder" }} }}
  bearertokenauth: {{ tokens: [one, two] }}
receivers:
  otlp:
    protocols:
      grpc: {{ endpoint: "127.0.0.1:{grpc}", auth: {{ authenticator: {auth} }} {tls} }}
      http: {{ endpoint: "127.0.0.1:{http}", auth: {{ authenticator: {auth} }} {tls} }}
exporters: {{ nop: }}
service:
  extensions: [basicauth, bearertokenauth]
  telemetry: {{ metrics: {{ level: none }} }}
  pipelines:
    traces: {{ receivers: [otlp], exporters: [nop] }}
    metrics: {{ receivers: [otlp], exporters: [nop] }}
    logs: {{ receivers: [otlp], exporters: [nop] }}
"""
basic = lambda user, word: "Basic " + base64.b64encode(f"{user}:{word}".encode()).decode()
CASES = {
    "basicauth": [(None, False), (basic("alice", "wrong"), False), (basic("bob", "wonder"), False), ("Basic ???", False),
                  ("Bearer one", False), (basic("alice", "wonder"), True)],
    "bearertokenauth": [(None, False), ("Bearer three", False), ("Bearer on", False), ("Bearer onee", False), ("one", False),
                        ("Bearer one", True), ("Bearer two", True)],
}


def grpc_code(channel, signal_name, token):
    call = channel.unary_unary(f"/opentelemetry.proto.collector.{METHODS[signal_name]}/Export", request_serializer=None,
                               response_deserializer=None)
    try:
        call(b"", timeout=10, metadata=[("authorization", token)] if token else None)
        return "OK"
    except grpc.RpcError as e:
        return e.code().name


def credentials():
    for auth, cases in CASES.items():
        with Gateway(CONFIG.format(grpc=GRPC, http=HTTP, auth=auth, tls="")) as gw:
            for token, right in cases:
                for signal_name in METHODS:
                    headers = {"Content-Type": "application/x-protobuf", **({"Authorization": token} if token else {})}
                    status, _, _ = post(f"http://127.0.0.1:{HTTP}/v1/{signal_name}", b"", headers)
                    equal(status, 200 if right else 401, f"HTTP {signal_name} with {auth} and {token}")
                    with grpc.insecure_channel(f"127.0.0.1:{GRPC}") as ch:
                        equal(grpc_code(ch, signal_name, token), "OK" if right else "UNAUTHENTICATED", f"gRPC {signal_name} with {token}")
            check("wonder" not in gw.text() and "wrong" not in gw.text(), "a password stands in the log")


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, capture_output=True)


def make_certificates(d, serial):
    """A CA, a server certificate with this serial, a client certificate, and a client certificate of another CA."""
    for ca in ("ca", "other"):
        if not (d / f"{ca}.pem").exists():
            openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", f"/CN={ca}",
                    "-keyout", d / f"{ca}.key", "-out", d / f"{ca}.pem")
    (d / "san").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for name, ca in (("server", "ca"), ("client", "ca"), ("stranger", "other")):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout",
                d / f"{name}.key.new", "-out", d / f"{name}.csr")
        openssl("x509", "-req", "-in", d / f"{name}.csr", "-CA", d / f"{ca}.pem", "-CAkey", d / f"{ca}.key", "-set_serial", str(serial),
                "-days", "30", "-extfile", d / "san", "-out", d / f"{name}.pem.new")
        (d / f"{name}.key.new").rename(d / f"{name}.key")
        (d / f"{name}.pem.new").rename(d / f"{name}.pem")


def serial_of(port, context):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as s, context.wrap_socket(s, server_hostname="localhost") as t:
        return int(t.getpeercert()["serialNumber"], 16)


def tls_grpc(d, cert=None):
    creds = grpc.ssl_channel_credentials((d / "ca.pem").read_bytes(), *(((d / f"{cert}.key").read_bytes(), (d / f"{cert}.pem").read_bytes())
                                                                        if cert else ()))
    with grpc.secure_channel(f"localhost:{GRPC}", creds) as ch:
        return grpc_code(ch, "traces", "Bearer one")


def encrypted():
    d = pathlib.Path(tempfile.mkdtemp())
    make_certificates(d, 1001)
    files = f'cert_file: "{d}/server.pem", key_file: "{d}/server.key", reload_interval: 1s'
    context = ssl.create_default_context(cafile=d / "ca.pem")
    with Gateway(CONFIG.format(grpc=GRPC, http=HTTP, auth="bearertokenauth", tls=f", tls: {{ {files} }}")):
        equal(tls_grpc(d), "OK", "gRPC over TLS")
        for version in ("--http1.1", "--http2"):
            out = subprocess.run(["curl", "-s", version, "--cacert", d / "ca.pem", "-H", "Authorization: Bearer one", "-H",
                                  "Content-Type: application/x-protobuf", "--data-binary", "", "-o", "/dev/null", "-w", "%{http_code} %{http_version}",
                                  f"https://localhost:{HTTP}/v1/traces"], capture_output=True, text=True).stdout
            equal(out, "200 2" if version == "--http2" else "200 1.1", f"curl {version} over TLS")
        equal(serial_of(HTTP, context), 1001, "serial of the first certificate")
        make_certificates(d, 1002)
        wait_for("the new certificate", 10, lambda: serial_of(HTTP, context) == 1002)
        (d / "server.pem").write_text("not a certificate")
        equal(tls_grpc(d), "OK", "gRPC while the file on disk is broken")
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        try:
            serial_of(HTTP, old)
            check(False, "TLS 1.1 was accepted")
        except (ssl.SSLError, OSError):
            pass
    make_certificates(d, 1003)
    with Gateway(CONFIG.format(grpc=GRPC, http=HTTP, auth="bearertokenauth", tls=f', tls: {{ {files}, client_ca_file: "{d}/ca.pem" }}')):
        equal(tls_grpc(d, "client"), "OK", "mutual TLS with the right certificate")
        equal(tls_grpc(d, "stranger"), "UNAVAILABLE", "mutual TLS with a stranger's certificate")
        equal(tls_grpc(d), "UNAVAILABLE", "mutual TLS without a certificate")
    shutil.rmtree(d)


credentials()
encrypted()
print("auth_tls: every case as it should be")

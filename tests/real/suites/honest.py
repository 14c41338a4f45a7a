# SPDX-License-Identifier: Apache-2.0
"""Honest clients are never cut: telemetrygen (grpc-go), the Go SDK and the Collector send one span a request at full rate on
one connection, for 60 s, against a healthy gateway and against one that refuses everything. No GOAWAY, no reset.
"""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403

SECONDS = int(os.environ.get("HONEST_SECONDS", "60"))
HEALTHY = """
receivers: {{ otlp: {{ protocols: {{ grpc: {{ endpoint: "127.0.0.1:{grpc}" }}, http: {{ endpoint: "127.0.0.1:{http}" }} }} }} }}
exporters: {{ nop: }}
service:
  telemetry: {{ metrics: {{ readers: [ {{ pull: {{ exporter: {{ prometheus: {{ host: 127.0.0.1, port: {metrics} }} }} }} }} ] }} }}
  pipelines: {{ traces: {{ receivers: [otlp], exporters: [nop] }} }}
"""
# A queue of one request in front of a sink that is not there: nearly every request is refused.
REFUSING = HEALTHY.replace("exporters: {{ nop: }}", 'exporters: {{ otlp_http: {{ endpoint: "http://127.0.0.1:1", '
                           "sending_queue: {{ queue_size: 1, num_consumers: 1 }} }} }}").replace("exporters: [nop]", "exporters: [otlp_http]")


def telemetrygen(seconds):
    exe = CACHE / "bin/telemetrygen"
    return subprocess.run([exe, "traces", "--otlp-insecure", "--otlp-endpoint", f"127.0.0.1:{GRPC}", "--rate", "0", "--workers", "1",
                           "--child-spans", "1", "--batch=false", "--allow-export-failures", "--timeout", "1s", "--duration", f"{seconds}s"], capture_output=True, text=True,
                          env={**os.environ, "GRPC_GO_LOG_SEVERITY_LEVEL": "info", "GRPC_GO_LOG_VERBOSITY_LEVEL": "2"})


def main():
    part("gotools.sh", "install", "telemetrygen")
    for name, config in (("healthy", HEALTHY), ("refusing", REFUSING)):
        with Gateway(config.format(grpc=GRPC, http=HTTP, metrics=METRICS)) as gw:
            r = telemetrygen(SECONDS)
            text = r.stdout + r.stderr
            for word in ("GOAWAY", "goaway", "ENHANCE_YOUR_CALM", "too_many_pings", "connection reset"):
                check(word not in text.replace("Connection closed", ""), f"{name}: telemetrygen saw {word}: {text[-1500:]}")
            accepted = metric("otelcol_receiver_accepted_spans")
            refused = metric("otelcol_receiver_requests", outcome="refused")
            print(f"{name}: accepted {accepted:.0f}, refused requests {refused:.0f}", flush=True)
            if name == "healthy":
                check(accepted > 1000 * SECONDS, f"only {accepted} spans in {SECONDS} s")
                equal(refused, 0, "refused requests of a healthy gateway")
            else:
                check(refused > 0, "the refusing gateway refused nothing")
            gw.stop()
    print("honest: nobody was cut")


main()

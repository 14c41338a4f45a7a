# SPDX-License-Identifier: Apache-2.0
"""grpc.health.v1 as grpcio's own client speaks it: Check, List, and Watch from a serving gateway to the end of its drain."""
import pathlib
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403

import grpc  # noqa: E402
from grpc_health.v1 import health_pb2 as pb  # noqa: E402
from grpc_health.v1 import health_pb2_grpc  # noqa: E402

TRACES = "opentelemetry.proto.collector.trace.v1.TraceService"
CONFIG = """
receivers: {{ otlp: {{ protocols: {{ grpc: {{ endpoint: "127.0.0.1:{grpc}" }} }} }} }}
exporters: {{ nop: }}
service:
  telemetry: {{ metrics: {{ level: none }} }}
  pipelines: {{ traces: {{ receivers: [otlp], exporters: [nop] }} }}
"""
SERVING, NOT_SERVING, UNKNOWN = (pb.HealthCheckResponse.SERVING, pb.HealthCheckResponse.NOT_SERVING,
                                 pb.HealthCheckResponse.SERVICE_UNKNOWN)


class Watch(threading.Thread):
    """Reads one Watch to its end."""

    def __init__(self, stub, service):
        super().__init__(daemon=True)
        self.call = stub.Watch(pb.HealthCheckRequest(service=service))
        self.heard, self.code = [], None
        self.start()

    def run(self):
        try:
            for m in self.call:
                self.heard.append(m.status)
        except grpc.RpcError as e:
            self.code = e.code()


def main():
    with Gateway(CONFIG.format(grpc=GRPC), ports=(GRPC,)) as gw, grpc.insecure_channel(f"127.0.0.1:{GRPC}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        equal(stub.Check(pb.HealthCheckRequest()).status, SERVING, "Check of the whole")
        equal(stub.Check(pb.HealthCheckRequest(service=TRACES)).status, SERVING, "Check of traces")
        try:
            stub.Check(pb.HealthCheckRequest(service="nobody"))
            check(False, "Check of nobody was answered")
        except grpc.RpcError as e:
            equal(e.code(), grpc.StatusCode.NOT_FOUND, "Check of nobody")
        equal({k: v.status for k, v in stub.List(pb.HealthListRequest()).statuses.items()}, {"": SERVING, TRACES: SERVING}, "List")
        whole, nobody, left = Watch(stub, ""), Watch(stub, "nobody"), Watch(stub, TRACES)
        wait_for("first messages", 5, lambda: whole.heard and nobody.heard and left.heard)
        left.call.cancel()
        left.join(5)
        equal(left.code, grpc.StatusCode.CANCELLED, "a cancelled watch")
        gw.stop(seconds=5)  # open watches do not hold it up
        for w in (whole, nobody):
            w.join(5)
            equal(w.code, grpc.StatusCode.UNAVAILABLE, "the end of a watch")
        equal(whole.heard, [SERVING, NOT_SERVING], "what the whole's watch heard")
        equal(nobody.heard, [UNKNOWN], "what nobody's watch heard")
    print("health: Check, List, Watch")


main()

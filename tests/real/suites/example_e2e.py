# SPDX-License-Identifier: Apache-2.0
"""config/examples/prometheus-and-opensearch.yaml from end to end, as the README shows it: SDKs of Python, JavaScript and Go send to
the gateway; Prometheus then answers a query with their numbers, and OpenSearch has every span and every log record once.
"""
import collections
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
import prometheus_api as prometheus  # noqa: E402
from search_api import everything  # noqa: E402

N = 100
EXAMPLE = HERE.parent.parent / "config/examples/prometheus-and-opensearch.yaml"
SDKS = (("python", "grpc"), ("js", "http/json"), ("go", "http/protobuf"))
PROMETHEUS = "http://127.0.0.1:27090"


def value(name, job):
    """The one series of that name and job, or None."""
    found = prometheus.api(PROMETHEUS, "query", query=f'{{__name__="{name}",job="{job}"}}')["result"]
    return float(found[0]["value"][1]) if len(found) == 1 and "value" in found[0] else None


def main():
    part("clients/client.sh", "install")
    folder = pathlib.Path(tempfile.mkdtemp())
    part("prometheus.sh", "wipe")
    part("prometheus.sh", "start")
    try:
        with opensearch() as search:
            os.environ.update({"PROMETHEUS_URL": PROMETHEUS, "OPENSEARCH_URL": search, "ARCHIVE_DIR": str(folder)})
            with Gateway(EXAMPLE.read_text(), ports=(4317, 4318)) as gw:
                for sdk, protocol in SDKS:
                    print(sdk, protocol, client(sdk, protocol, N, f"http://127.0.0.1:{4317 if protocol == 'grpc' else 4318}"), flush=True)
                gw.stop()
            refused = dead_letters(folder / "refused.jsonl")
            check(not refused, f"refused: {refused[:2]}")
            for sdk, _ in SDKS:
                job = f"gateway-client-{sdk}"
                equal(value("test_counter_total", job), N, f"{job}: counter")
                equal(value("test_gauge", job), 42.5, f"{job}: gauge")
                equal(value("test_hist_milliseconds_count", job), N, f"{job}: count of the histogram")
            hits = collections.Counter()
            for h in everything(search, "logs-*,traces-*"):
                service = h["_source"]["resource"]["attributes"]["service.name"]
                hits[h["_index"].split("-")[0], service] += 1
            for sdk, _ in SDKS:
                equal(hits["traces", f"gateway-client-{sdk}"], N + 1, f"{sdk}: spans in OpenSearch")
                equal(hits["logs", f"gateway-client-{sdk}"], 2 * N, f"{sdk}: log records and span events in OpenSearch")
            print(dict(hits), flush=True)
    finally:
        part("prometheus.sh", "wipe")
        shutil.rmtree(folder)


main()

# SPDX-License-Identifier: Apache-2.0
"""Prometheus, OpenSearch and Kafka are stopped and started in turn under load, and the gateway before them is killed and restarted
in the midst of it. At the end each of them holds exactly what the gateway had accepted: OpenSearch once, thanks to _ids of ours,
Prometheus once, because equal samples are one, and Kafka at least once.
"""
import collections
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
import faultcheck  # noqa: E402
import prometheus_api as prometheus  # noqa: E402
from search_api import everything  # noqa: E402
from sinks.fault import Sender  # noqa: E402

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest  # noqa: E402

PROMETHEUS = "http://127.0.0.1:27090"
AWAY = 2  # seconds between the steps


def config(folder, broker, search):
    queue = {"storage": "file_storage", "queue_size": 1000000, "batch": {"flush_timeout": "200ms", "min_size": 2000}}
    retry = {"initial_interval": "100ms", "max_interval": "1s"}
    common = {"sending_queue": queue, "circuit_breaker": {"max_interval": "2s"}}
    return json.dumps({
        "extensions": {"file_storage": {"directory": str(folder / "storage"), "create_directory": True, "segment_size_mib": 4}},
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"127.0.0.1:{GRPC}"}, "http": {"endpoint": f"127.0.0.1:{HTTP}"}}}},
        "exporters": {
            "prometheus_remote_write": {"endpoint": f"{PROMETHEUS}/api/v1/write", "retry_on_failure": retry, **common},
            "elasticsearch": {"endpoint": search, "document_id": "record", "retry": retry, **common},
            "kafka": {"brokers": [broker], "timeout": "3s", "retry_on_failure": retry, **common},
        },
        "service": {"extensions": ["file_storage"],
                    "telemetry": {"metrics": {"readers": [{"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": METRICS}}}}]}},
                    "pipelines": {"logs": {"receivers": ["otlp"], "exporters": ["elasticsearch", "kafka"], "durability": "page_cache"},
                                  "metrics": {"receivers": ["otlp"], "exporters": ["prometheus_remote_write"], "durability": "page_cache"}}},
    })


def record_id(attributes):
    return int(next(a.value.string_value for a in attributes if a.key == "rec.id"))


def in_kafka(broker):
    try:
        messages = kafka_messages(broker, "otlp_logs")
    except subprocess.CalledProcessError:  # no topic yet
        return collections.Counter()
    return collections.Counter(record_id(x.attributes) for _, _, value in messages
                               for r in ExportLogsServiceRequest.FromString(value).resource_logs for s in r.scope_logs for x in s.log_records)


def in_search(url):
    return collections.Counter(int(h["_source"]["attributes"]["rec.id"]) for h in everything(url, "logs-*"))


def in_prometheus():
    """Ids by how many samples they have; each value is the one that follows from the id."""
    out = collections.Counter()
    for s in prometheus.api(PROMETHEUS, "query", query='{rec_id!=""}[1h]')["result"]:
        number = int(s["metric"]["rec_id"])
        for _, value in s["values"]:
            equal(float(value), float((number * 0x9e3779b97f4a7c15 & (1 << 64) - 1) >> 12), f"value of {number}")
            out[number] += 1
    return out


class Story:
    def __init__(self, folder, text):
        self.folder, self.file, self.p, self.kills = folder, folder / "config.json", None, 0
        self.file.write_text(text)
        self.start()

    def text(self):
        return (self.folder / "gateway.log").read_text(errors="replace")[-3000:]

    def start(self):
        with open(self.folder / "gateway.log", "ab") as log:
            self.p = subprocess.Popen([STAUNCH, f"--config={self.file}"], stdout=log, stderr=log)
        wait_for(lambda: f"the gateway: {self.text()}", 20, lambda: self.p.poll() is not None or (port_open(GRPC) and port_open(HTTP)))
        check(self.p.poll() is None, f"the gateway ended: {self.text()}")

    def kill(self):
        self.p.kill()
        self.p.wait()
        self.kills += 1
        self.start()

    def restart(self):
        self.stop()
        self.start()

    def stop(self):
        self.p.terminate()
        equal(self.p.wait(40), 0, f"exit code ({self.text()})")


def turns(story):
    """Each server goes; the gateway is killed without it and once more when it is back; at last it is restarted as one should."""
    for script in ("prometheus.sh", "opensearch.sh", "kafka.sh"):
        time.sleep(AWAY)
        part(script, "stop")
        time.sleep(AWAY)
        story.kill()
        time.sleep(AWAY)
        part(script, "start")
        story.kill()
        time.sleep(1)
        story.restart()
        print(f"{script}: was away, {story.kills} kills so far", flush=True)


def compare(what, found, sent, twice):
    """Lost: none. Not accepted and there: only what the sender had no answer for. Twice: as many as allowed."""
    lost = [i for i in sent.accepted if i not in found]
    strange = [i for i in found if not sent.knows(i)]
    again = sum(n - 1 for n in found.values())
    print(f"{what}: accepted {len(sent.accepted)}, there {len(found)}, second copies {again}", flush=True)
    equal(lost[:5], [], f"{what}: {len(lost)} lost")
    equal(strange[:5], [], f"{what}: nobody sent these")
    check(twice or not again, f"{what}: {again} second copies")


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="story-"))
    sent = [folder / "logs", folder / "metrics"]
    part("prometheus.sh", "wipe")
    part("prometheus.sh", "start")
    try:
        with kafka() as broker, opensearch() as search:
            story = Story(folder, config(folder, broker, search))
            senders = [Sender(sent[0], GRPC, proto="grpc", rate=60, rows=20, conns=2), Sender(sent[1], HTTP, proto="h1", signal="metrics", rate=10, rows=10, conns=1)]
            turns(story)
            told = [s.stop() for s in senders]
            print(told, flush=True)
            logs, metrics = (faultcheck.Sent([f]) for f in sent)
            wait_for("Prometheus", 60, lambda: len(in_prometheus()) >= len(metrics.accepted))
            wait_for("OpenSearch", 60, lambda: len(in_search(search)) >= len(logs.accepted))
            wait_for("Kafka", 60, lambda: len(in_kafka(broker)) >= len(logs.accepted))
            books = ledger()
            for exporter, rows in (("elasticsearch", logs), ("kafka", logs), ("prometheus_remote_write", metrics)):
                booked(books, exporter, len(rows.accepted))
            story.stop()
            compare("Prometheus", in_prometheus(), metrics, twice=False)
            compare("OpenSearch", in_search(search), logs, twice=False)
            compare("Kafka", in_kafka(broker), logs, twice=True)
    finally:
        part("prometheus.sh", "wipe")
    shutil.rmtree(folder)


main()

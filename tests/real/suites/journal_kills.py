# SPDX-License-Identifier: Apache-2.0
"""kill -9 under load with troubled sinks behind journals: queues in memory, for which nobody waits, and nothing that was
accepted is lost.
"""
import collections
import json
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
import kill  # noqa: E402


class JournalLeg(kill.Leg):
    watched = "journal"
    has_books = False  # of exporters without a queue on disk: they end with the process

    def config(self):
        c = json.loads(kill.config(self.folder, self.sink, None))
        c["extensions"] = {"file_storage": {"directory": str(self.storage), "create_directory": True, "segment_size_mib": 1, "reserve_mib": 1}}
        c["connectors"] = {f"journal/{s}": {"storage": "file_storage", "head_bytes": 100000, "in_flight_bytes": 200000} for s in ("logs", "metrics")}
        c["service"]["extensions"] = ["file_storage"]
        c["service"]["pipelines"] = {
            "logs/in": {"receivers": ["otlp"], "exporters": ["journal/logs"], "durability": "page_cache"},
            "metrics/in": {"receivers": ["otlp"], "exporters": ["journal/metrics"], "durability": "page_cache"},
            "logs/http": {"receivers": ["journal/logs"], "exporters": ["otlp_http"]},
            "logs/bulk": {"receivers": ["journal/logs"], "exporters": ["elasticsearch"]},
            "metrics/rw": {"receivers": ["journal/metrics"], "exporters": ["prometheus_remote_write"]}}
        return json.dumps(c)


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="journal-kills-"))
    with JournalLeg(folder, 1, longest=1) as one:
        one.run(15)
        verdicts, share, phases = one.result()
    for name, v in verdicts.items():
        print(f"  {name}: {v}", flush=True)
        equal([len(v.lost), len(v.phantom), len(v.broken)], [0, 0, 0], f"{name}: lost, never sent, changed: {folder}")
        check(v.accepted > 1000, f"{name}: only {v.accepted} were accepted")
    check(share >= 0.5, f"at {share:.0%} of the kills alone something was accepted and not delivered")
    print(f"{len(one.kills)} kills, at {share:.0%} something was undelivered, by phase {dict(collections.Counter(phases))}")
    shutil.rmtree(folder)


main()

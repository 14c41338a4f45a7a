# SPDX-License-Identifier: Apache-2.0
"""The fault sink and the sender with ids as objects: tests/faultsink says what they do."""
import json
import os
import pathlib
import subprocess
import urllib.error
import urllib.request

BUILD = pathlib.Path(os.environ.get("STAUNCH", pathlib.Path(__file__).resolve().parents[3] / "build/staunch")).parent


class FaultSink:
    """sink.port["NAME"]; sink.script("NAME", "next status=503", ...) changes what NAME does from now on."""

    def __init__(self, folder, names=("sink",), ports=(), binary=None, args=()):
        self.folder = pathlib.Path(folder)
        self.journal = self.folder / "journal"
        listen = [x for i, n in enumerate(names) for x in ("--listen", f"{n}={ports[i] if i < len(ports) else 0}")]
        self.p = subprocess.Popen([str(binary or BUILD / "faultsink"), "--journal", str(self.journal), *listen, "--control", "0", *map(str, args)],
                                  stdout=subprocess.PIPE, text=True)
        line = self.p.stdout.readline().split()
        if not line or line[-1] != "ready":
            raise SystemExit("FAIL: the fault sink did not start")
        self.port = {k: int(v) for k, v in (x.split("=") for x in line[:-1])}

    def url(self, name="sink"):
        return f"http://127.0.0.1:{self.port[name]}"

    def script(self, name, *lines):
        try:
            urllib.request.urlopen(urllib.request.Request(f"{self.url('control')}/{name}", "\n".join(lines).encode()), timeout=20).read()
        except urllib.error.HTTPError as e:
            raise ValueError(e.read().decode()) from None

    def stats(self, name=None):
        with urllib.request.urlopen(self.url("control"), timeout=20) as r:
            all_ = json.load(r)
        return all_["sinks"][name] if name else all_

    def stop(self):
        self.p.terminate()
        self.p.wait()
        self.p.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Sender:
    """faultsend in the background; stop() gives what it counted."""

    def __init__(self, log, port, binary=None, **options):
        args = [x for k, v in options.items() for x in (f"--{k}", str(v))]
        self.p = subprocess.Popen([str(binary or BUILD / "faultsend"), "--log", str(log), "--port", str(port), *args], stdout=subprocess.PIPE, text=True)

    def wait(self):
        out, _ = self.p.communicate(timeout=900)
        return json.loads(out)

    def stop(self):
        self.p.terminate()
        return self.wait()

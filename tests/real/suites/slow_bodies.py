# SPDX-License-Identifier: Apache-2.0
"""A thousand HTTP/2 connections that send a body each, without an end and without telling its length, as fast as their
windows allow, to a gateway with a budget of 64 MiB: what the process really holds stays within the budget and what every
process needs (64 MiB), honest clients hear an answer at once all the while, and all of it is given back.
"""
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403

CLIENTS, SECONDS, BUDGET_MIB, PIECE = 1000, 8, 64, 8192
CONFIG = """
receivers: {{ otlp: {{ protocols: {{ http: {{ endpoint: "127.0.0.1:{http}" }} }} }} }}
exporters: {{ nop: }}
service:
  runtime: {{ memory_limit_mib: {budget} }}
  telemetry: {{ metrics: {{ level: none }} }}
  pipelines: {{ traces: {{ receivers: [otlp], exporters: [nop] }} }}
"""
DATA, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE = 0, 1, 3, 4, 8


def frame(kind, flags, stream, body):
    return struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body


def literal(index, value):
    """A header without indexing (RFC 7541, 6.2.2), its name from the static table."""
    return (bytes([index]) if index < 15 else bytes([15, index - 15])) + bytes([len(value)]) + value


HEAD = b"\x83\x86" + literal(4, b"/v1/traces") + literal(1, b"g") + literal(31, b"application/x-protobuf")


class Client:
    """Keeps to its windows, and to nothing else."""

    def __init__(self):
        self.s = socket.create_connection(("127.0.0.1", HTTP))
        self.s.setblocking(False)
        self.s.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b"") + frame(HEADERS, 4, 1, HEAD))
        self.windows, self.unread, self.sent, self.over = [65535, 65535], b"", 0, False

    def read(self):
        try:
            while True:
                got = self.s.recv(65536)
                if not got:
                    self.over = True
                    return
                self.unread += got
        except BlockingIOError:
            pass
        except OSError:
            self.over = True
        while len(self.unread) >= 9:
            n, kind = int.from_bytes(self.unread[:3], "big"), self.unread[3]
            if len(self.unread) < 9 + n:
                return
            if kind == WINDOW_UPDATE:
                self.windows[self.unread[8] & 1] += int.from_bytes(self.unread[9:13], "big")
            self.over |= kind in (HEADERS, RST_STREAM)
            self.unread = self.unread[9 + n:]

    def step(self):
        self.read()
        n = min(PIECE, *self.windows)
        if self.over or n == 0:
            return
        try:
            self.s.send(frame(DATA, 0, 1, bytes(n)))
        except OSError:
            return
        self.windows = [w - n for w in self.windows]
        self.sent += n


def resident_mib(gw):
    text = pathlib.Path(f"/proc/{gw.p.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def main():
    with Gateway(CONFIG.format(http=HTTP, budget=BUDGET_MIB), ports=(HTTP,)) as gw:
        clients, most, answers = [Client() for _ in range(CLIENTS)], 0, []
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for c in clients:
                c.step()
            most = max(most, resident_mib(gw))
            t0 = time.monotonic()
            answers.append((post(f"http://127.0.0.1:{HTTP}/v1/traces", b"", {"Content-Type": "application/x-protobuf"})[0],
                            time.monotonic() - t0))
        print(f"slow_bodies: {sum(c.sent for c in clients) >> 20} MiB came, {sum(c.over for c in clients)} of {CLIENTS} refused, "
              f"at most {most:.0f} MiB resident, slowest honest answer {max(a[1] for a in answers):.3f} s", flush=True)
        check(most < BUDGET_MIB + 64, f"{most:.0f} MiB resident with a budget of {BUDGET_MIB} MiB")
        # Refusals begin at the soft mark, 65 % of the budget; how far past it the bodies come is a matter of who was quicker.
        check(sum(c.sent for c in clients) > 0.65 * (BUDGET_MIB << 20), "the clients have not sent enough to say anything")
        check(any(c.over for c in clients), "nobody was refused")
        check({a[0] for a in answers} <= {200, 503}, f"answers beside them: {answers}")
        for c in clients:
            c.s.close()
        wait_for("an honest client after them", 10,
                 lambda: post(f"http://127.0.0.1:{HTTP}/v1/traces", b"", {"Content-Type": "application/x-protobuf"})[0] == 200)
        gw.stop()


main()

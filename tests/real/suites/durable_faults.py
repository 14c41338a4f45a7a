# SPDX-License-Identifier: Apache-2.0
"""What happens to a gateway with durable queues whose machine fails it: its disk is full, its file system becomes read-only, it has no
file descriptors left, it is stopped for a while. Under load each time; what cannot be kept is refused with a time to come again,
nothing that was accepted is lost, and when the trouble is over new records arrive within 5 s without anybody's help.
"""
import ctypes
import pathlib
import resource
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
import faultcheck  # noqa: E402
import kill  # noqa: E402

CLONE_NEWNS = 0x20000
AWAY = {name: ("mix 1000 status=503",) for name in kill.SINKS}
WELL = {name: () for name in kill.SINKS}


def sh(*args):
    subprocess.run(args, check=True, stdout=subprocess.DEVNULL)


class Case(kill.Leg):
    def __init__(self, name, **options):
        super().__init__(tempfile.mkdtemp(prefix=f"durable-{name}-"), 1, **options)
        self.name, self.stops = name, []
        self.storage.mkdir(mode=0o700)

    def told(self, kind):
        """Rows of the logs' sender so far."""
        return faultcheck.Sent([self.logs[0]]).counts[kind] if self.logs[0].exists() else 0

    def until_refused(self):
        before = self.told("R")
        wait_for(lambda: f"{self.name}: nothing is refused: {self.text()}", 60, lambda: self.told("R") > before or self.p.poll() is not None)
        check(self.p.poll() is None, f"{self.name}: the gateway ended: {self.text()}")

    def until_refused_no_more(self):
        accepted, t0 = self.told("A"), time.monotonic()
        wait_for(lambda: f"{self.name}: still refused: {self.text()}", 10, lambda: self.told("A") > accepted)
        return time.monotonic() - t0

    def refusal(self):
        """What a client hears: once refused, 503 and when to come again."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            status, headers, body = post(f"http://127.0.0.1:{kill.HTTP}/v1/logs", LOGS, {"Content-Type": "application/json"})
            if status != 200:
                equal(status, 503, f"{self.name}: refused with {body!r}")
                check(int({k.lower(): v for k, v in headers.items()}.get("retry-after", 0)) >= 1, f"{self.name}: no Retry-After: {headers}")
                return
        check(False, f"{self.name}: HTTP is not refused")

    def until_fresh(self):
        """Something that is accepted from now on is delivered."""
        def fresh():
            journal = self.sink.stats("http")["applied"]
            return self.told("A") > accepted and journal > applied
        accepted, applied, t0 = self.told("A"), self.sink.stats("http")["applied"], time.monotonic()
        wait_for(lambda: f"{self.name}: nothing new arrives: {self.text()}", 20, fresh)
        took = time.monotonic() - t0
        check(took < 5, f"{self.name}: {took:.1f} s until something new arrived")
        return took

    def judge(self, note):
        self.end()
        verdicts = {}
        times = [t for t, _ in self.kills] + self.stops
        for name in kill.SINKS:
            verdicts[name] = faultcheck.judge(self.sent[name == "rw"], faultcheck.Journal(self.sink.journal, name), times, window_s=3)
        equal(kill.wrong(verdicts), "", f"{self.name} ({self.folder})")
        refused = sum(s.counts["R"] for s in self.sent)
        print(f"{self.name}: accepted {sum(v.accepted for v in verdicts.values())}, refused at the door {refused}; {note}", flush=True)
        return refused

    def done(self):
        sh("umount", str(self.storage))


LOGS = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "x" * 100000}}]}]}]}).encode()


def disk_full():
    """The queues fill the disk; killed and started on the full disk; the sinks come back and everything drains."""
    with Case("disk_full", rate=200) as c:
        sh("mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "none", str(c.storage))
        c.begin(AWAY, text=2000)
        c.until_refused()
        c.refusal()
        c.p.kill()
        c.killed("full")
        c.start()
        c.until_refused()
        c.well()
        took = c.until_fresh()
        check(c.judge(f"new ones after {took:.1f} s"), "nothing was refused")
        c.done()



def disk_freed():
    """Somebody else takes the disk's room, and gives it back."""
    with Case("disk_freed", rate=200) as c:
        sh("mount", "-t", "tmpfs", "-o", "size=64m,mode=0700", "none", str(c.storage))
        c.begin(WELL, text=2000)
        c.until_fresh()
        with open(c.storage / "somebody-elses", "wb", buffering=0) as f, contextlib.suppress(OSError):
            while f.write(bytes(1 << 16)):
                pass
        for name in kill.SINKS:
            c.sink.script(name, "mix 1000 status=503")
        c.until_refused()
        c.refusal()
        (c.storage / "somebody-elses").unlink()
        took = c.until_refused_no_more()
        c.well()
        c.judge(f"accepted again {took:.1f} s after there was room")
        c.done()


def read_only():
    """The file system gives up, as ext4 does after an error. What was synced is there when it is mounted again."""
    with Case("read_only", rate=100, level="fsync") as c:
        image = c.folder / "image"
        with open(image, "wb") as f:
            f.truncate(128 << 20)
        sh("mkfs.ext4", "-q", str(image))
        sh("mount", "-o", "loop", str(image), str(c.storage))
        c.begin(AWAY)
        wait_for("accepted records", 20, lambda: c.told("A") > 500)
        # Between the end of its journal and being read-only ext4 (of Linux 6.18) answers fdatasync with success for what it then
        # does not keep: nothing is on its way at that moment.
        for s in c.senders:
            s.p.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        sh("mount", "-o", "remount,abort", str(c.storage))
        for s in c.senders:
            s.p.send_signal(signal.SIGCONT)
        c.until_refused()
        c.refusal()
        c.p.kill()
        c.killed("read-only")
        sh("umount", str(c.storage))
        sh("mount", "-o", "loop", str(image), str(c.storage))
        c.start()
        c.well()
        took = c.until_fresh()
        c.judge(f"new ones {took:.1f} s after it was mounted again")
        c.done()


def descriptors():
    """No file or socket can be opened any more: those that are open go on, and it recovers when there are some again."""
    with Case("descriptors") as c:
        c.begin(WELL)
        c.until_fresh()
        for spare in (0, 1, 3):
            _, hard = resource.prlimit(c.p.pid, resource.RLIMIT_NOFILE)
            n = max(int(x) for x in os.listdir(f"/proc/{c.p.pid}/fd"))
            resource.prlimit(c.p.pid, resource.RLIMIT_NOFILE, (n + 1 + spare, hard))
            sockets = [socket.create_connection(("127.0.0.1", kill.HTTP)) for _ in range(20)]
            for name in kill.SINKS:
                c.sink.script(name, "clear", "mix 300 cut_out=0 how=rst")
            time.sleep(1.5)
            check(c.p.poll() is None, f"descriptors: the gateway ended: {c.text()}")
            for s in sockets:
                s.close()
            resource.prlimit(c.p.pid, resource.RLIMIT_NOFILE, (hard, hard))
            c.well()
            took = c.until_fresh()
        c.judge(f"new ones after {took:.1f} s")


def stopped():
    """SIGSTOP and SIGCONT: longer than every time-out of its own."""
    with Case("stopped") as c:
        c.begin()
        for i in range(4):
            time.sleep(0.7)
            c.p.send_signal(signal.SIGSTOP)
            time.sleep(0.5 + 0.5 * i)
            c.p.send_signal(signal.SIGCONT)
            c.stops.append(time.monotonic_ns())  # an answer that came meanwhile was seen behind the time-out
        c.until_fresh()
        c.judge(f"{len(c.stops)} stops")


def main():
    check(ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) == 0, "no mount namespace of our own: are we root?")
    sh("mount", "--make-rprivate", "/")
    for case in [globals()[n] for n in sys.argv[1:]] or (stopped, descriptors, disk_full, disk_freed, read_only):
        t0 = time.monotonic()
        case()
        print(f"  {time.monotonic() - t0:.1f} s", flush=True)


main()

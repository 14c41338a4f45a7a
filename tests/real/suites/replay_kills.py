# SPDX-License-Identifier: Apache-2.0
"""kill -9 while `staunch dlq replay` runs under load: of the gateway, and of the command. No row of a letter is lost: each is at the sink, or its
letter is still there, and the next replay goes on with that. Killing the command replays nothing twice; killing the gateway what was under way.
"""
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
import faultcheck  # noqa: E402
import kill  # noqa: E402
from sinks.fault import Sender  # noqa: E402

LETTERS, ROWS, KILLS, STOPS = 1000, 5, 10, 5
UNDER_WAY = 64  # letters that a replay has in the pipeline before it says so in the store (docs/dead-letters.md)
OVER, NO_GATEWAY, BUSY = 0, 69, 75  # exit codes of the command
SLOW = "mix 1000 delay_ms=20"  # something is always under way
PHASES = ("anytime", "letter", "queue", "applied", "told")


class ReplayLeg(kill.Leg):
    """With letters in the store that are replayed at a level: when rows are in the queue on disk, or at the sink."""

    has_books = False  # only logs
    still_s = 1  # no sink is away

    def __init__(self, folder, seed, level, rate):
        super().__init__(folder, seed, "page_cache")
        self.replayed_at, self.options = level, ("--rate", rate) if rate else ()

    def config(self, durability="page_cache"):
        c = json.loads(kill.config(self.folder, self.sink, "page_cache"))
        c["exporters"] = {"otlp_http": c["exporters"]["otlp_http"]}
        del c["exporters"]["otlp_http"]["sending_queue"]["batch"]  # a letter is a request
        if durability == "sink":
            c["exporters"]["otlp_http"]["sending_queue"] = {"num_consumers": 4, "wait_for_result": True}
        c["service"]["pipelines"] = {"logs": {"receivers": ["otlp"], "exporters": ["otlp_http"], "durability": durability}}
        return json.dumps(c)

    def dlq(self, *args):
        return subprocess.Popen([STAUNCH, "dlq", *args, f"--config={self.file}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def kept(self):
        """How many letters are in the store."""
        out, _ = (p := self.dlq("ls", "--format", "json")).communicate(timeout=20)
        equal(p.returncode, 0, f"dlq ls: {out}")
        return len(out.splitlines())

    def refuse(self):
        """Requests that the sink refuses: each is a letter."""
        self.sink.script("http", "mix 1000 status=401")
        self.start()
        self.buried = self.folder / "sent.buried"
        got = Sender(self.buried, HTTP_PORT, rate=LETTERS, rows=ROWS, seconds=1, conns=4).wait()
        equal(got["accepted"], got["requests"] * ROWS, "accepted")
        wait_for(lambda: f"{self.kept()} of {got['requests']} letters", 20, lambda: self.kept() == got["requests"])
        self.p.send_signal(signal.SIGTERM)
        equal(self.p.wait(20), 0, f"exit code: {self.text()}")
        self.file.write_text(self.config(self.replayed_at))
        self.well()
        self.sink.script("http", SLOW)
        self.start()
        self.load = self.folder / "sent.load"
        self.senders = [Sender(self.load, HTTP_PORT, rate=100, rows=ROWS, first=10 ** 7, conns=2, timeout=5)]
        return got["requests"]

    def replay(self):
        return self.dlq("replay", "--everything", *self.options)

    def kill_gateway(self, phase):
        """In the middle of a replay; where it fell. False: the replay was over before."""
        command = self.replay()
        until = time.monotonic() + 1
        if phase in ("applied", "told"):
            time.sleep(0.2 * self.random.random())
            self.sink.script("http", f"pid {self.p.pid}", f"next kill={phase}")
            self.p.wait(5)
        else:
            time.sleep(0.2 * self.random.random())
            if phase != "anytime":
                self.watched = {"letter": "dead_letters", "queue": "queue"}[phase]
                self.changed(kill.CHANGES["append"], until)
            self.p.send_signal(signal.SIGKILL)
        out, _ = command.communicate(timeout=20)
        check(command.returncode in (OVER, NO_GATEWAY), f"the command says {command.returncode}: {out}")
        self.killed(phase)
        self.sink.script("http", "pid 0")
        self.start()
        return command.returncode != OVER

    def kill_command(self):
        command = self.replay()
        time.sleep(0.05 + 0.1 * self.random.random())
        command.kill()
        command.communicate(timeout=20)

    def replay_the_rest(self):
        """Again and again, while the one before still winds up; how many letters were left."""
        left, end = self.kept(), time.monotonic() + 60
        self.well()
        while True:
            out, _ = (p := self.replay()).communicate(timeout=60)
            check(p.returncode in (OVER, BUSY), f"replay: {p.returncode} {out}")
            if p.returncode == OVER:
                break
            check(time.monotonic() < end, f"replay: {out}")
            time.sleep(0.02)
        equal(self.kept(), 0, "letters that are left")
        return left

    def judged(self):
        for s in self.senders:
            s.stop()
        self.drain()
        journal = faultcheck.Journal(self.sink.journal, "http")
        times = [t for t, _ in self.kills]
        return faultcheck.judge(faultcheck.Sent([self.buried, self.load]), journal, times, kill.WINDOW_S)


HTTP_PORT = kill.HTTP


def leg(what, seed, test, level, rate=None):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="replay-kills-"))
    with ReplayLeg(folder, seed, level, rate) as one:
        letters = one.refuse()
        text = test(one, letters)
        v = one.judged()
        check(sum(v.copies.values()) <= len(one.kills) * (UNDER_WAY + 4) * ROWS, f"{what}: too many rows twice: {folder}: {v}")
        v.unexplained = []  # a letter whose rows were in the queue on disk already: both copies come after the kill
        equal(v.wrong(), "", f"{what}: {folder}: {v}")
        equal(len(v.refused), 0, f"{what}: rows that are nowhere: {folder}")
        print(f"{what}: {letters} letters, {text}; {v}", flush=True)
    shutil.rmtree(folder)


def of_the_gateway(one, letters):
    seen, inside = [letters], 0
    for i in range(KILLS):
        inside += one.kill_gateway(PHASES[i % len(PHASES)])
        seen.append(one.kept())
    check(all(a >= b for a, b in zip(seen, seen[1:])), f"letters come back: {seen}")
    check(inside >= KILLS / 2, f"only {inside} kills fell into a replay: {seen}")
    left = one.replay_the_rest()
    return f"{KILLS} kills, {inside} of them in a replay, letters left after each {seen[1:]}, at last {left}"


def of_the_command(one, letters):
    for _ in range(STOPS):
        one.kill_command()
    left = one.replay_the_rest()
    check(0 < left < letters, f"{left} of {letters} letters left: no command was killed in the middle")
    return f"{STOPS} commands killed, {left} letters left"


def main():
    for level, rate in (("page_cache", "600/s"), ("sink", None)):
        t0 = time.monotonic()
        leg(f"the gateway killed, replayed at {level}", 1, of_the_gateway, level, rate)
        leg(f"the command killed, replayed at {level}", 2, of_the_command, level, rate)
        print(f"  {time.monotonic() - t0:.1f} s", flush=True)


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turn the branch conditions of log/, of what settles rows, of tail sampling, or of rollup round one by one; tests must notice.

    mutate.py BUILD log|settling|policies|sampler|keeps|rollup [--sample N] [--seed S] [--again OUTPUT] [--jobs N] [--least PERCENT] [--tests] [FILE...]

Each condition of an if, while, for or ?: gets a number in copies of the files below BUILD/mutants, and the test programs of
a release build are linked with those once: which condition is turned round is an environment variable (tools/mutant.c). The
tests run first as they are, which tells what each costs and which conditions it comes by; then, for each condition, those
that come by it, quick ones first, until one fails (crashes and hangs count). One line for each condition that nobody missed
and what tests saw of it, then the share that was caught; fails below PERCENT (95). Conditions that may be turned round
without harm are listed with the reason in tests/log/equivalent.txt (file: condition), and left out.
--sample N: only N of them, drawn by the seed (1). --again OUTPUT: only those that were missed then. --tests: who caught what, too.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import random
import re
import resource
import shlex
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
MAX = 1 << 16  # tools/mutant.c
SEEN = {0: "nobody comes by", 1: "seen false only", 2: "seen true only", 3: "seen both"}


def log_files():
    return {str(f.relative_to(ROOT)): None for f in sorted((ROOT / "log").glob("*.c"))}


def settling_files():
    """Whole files, or of a file the functions that settle."""
    some = {"edge.c": {"gw_edge_put_bytes", "gw_edge_reencode", "gw_edge_is_settled", "gw_edge_close"},
            "sender.c": {"finish", "stays", "give_up", "keep_left", "keep_partial", "delivered", "on_taken", "row_name",
                         "bury_pending", "gw_sender_drop_oldest", "gw_sender_cut"},
            "suspects.c": {"bury"}}
    files = {"batch/settle.c": None, "batch/ticket.c": None}
    for f in sorted((ROOT / "queue").glob("*.c")):
        if f.name in some or re.match(r"(places|feed|burial|graves|tries|chunk|wal)", f.name):
            files[f"queue/{f.name}"] = some.get(f.name)
    return files


def policy_files():
    names = ("build", "build_leaves", "limits", "policy", "predicates", "settled", "votes")
    return {f"processors/tail_sampling/{n}.c": None for n in names}


def sampler_files():
    """tail_sampling but for its policies."""
    names = ["adopt", "group", "links", "metrics", "reasons", "release", "sampler", "tail_sampling", "take"]
    return {"processors/common/traces_pieces.c": None, **{f"processors/tail_sampling/{n}.c": None for n in names}}


def keeps_files():
    """What survives a crash behind a journal."""
    names = ["runtime/keep", "runtime/keep_commit", "runtime/keep_restore", "queue/stage", "connectors/journal/keep", "processors/common/kept",
             "processors/common/slots", "processors/common/due", "processors/tail_sampling/kept", "processors/tail_sampling/step"]
    return {f"{n}.c": None for n in names}


def rollup_files():
    return {str(f.relative_to(ROOT)): None for f in sorted((ROOT / "processors/rollup").glob("*.c"))}


def rollup_tests():
    files = [f for d in ("processors", "connectors") for f in sorted((ROOT / f"tests/{d}").glob("rollup*_test.c")) + sorted((ROOT / f"tests/{d}/rollup").glob("*_test.c"))]
    return [(str(f.relative_to(ROOT / "tests"))[:-2].replace("/", "_"), [], {}) for f in files]


# files, tests: program, arguments, environment
GROUPS = {
    "log": (log_files, [
        ("log_contract_test", [], {"GW_SIM_SEEDS": "12"}),
        ("log_crash_test", ["short*"], {"GW_SIM_SEEDS": "4"}),
        ("log_files_test", [], {}),
        ("log_recover_test", [], {}),
        ("log_retain_test", [], {}),
        ("log_faults_test", [], {}),
        ("log_access_test", [], {}),
        ("log_rows_test", [], {}),
        ("log_format_test", [], {}),
        ("log_sim_test", [], {}),
        ("log_damage_test", [], {"GW_SIM_SEEDS": "6"}),
        ("log_malloc_test", [], {}),
        ("log_state_test", [], {}),
        ("log_seldom_test", [], {}),
        ("log_spare_test", [], {}),
        ("log_here_test", [], {}),
        ("log_stage_test", [], {}),
        ("log_flight_test", [], {}),
        ("log_crash_test", ["segments*"], {"GW_SIM_SEEDS": "8"}),
        ("log_crash_test", ["long*"], {"GW_SIM_SEEDS": "8"}),
        ("log_crash_test", ["disks*"], {"GW_SIM_SEEDS": "60"}),
    ]),
    "settling": (settling_files, [
        ("queue_places_test", [], {}),
        ("queue_durable_test", [], {}),
        ("queue_wal_test", [], {}),
        ("queue_feed_test", [], {}),
        ("queue_noting_test", [], {}),
        ("queue_durable_malloc_test", [], {}),
        ("queue_settling_test", [], {}),
        ("queue_stored_test", [], {}),
        ("queue_settling_malloc_test", [], {}),
        ("queue_edge_test", [], {}),
        ("queue_batch_test", [], {}),
        ("queue_tries_test", [], {}),
        ("queue_trial_test", [], {}),
        ("queue_dead_letter_test", [], {}),
        ("queue_gate_test", [], {}),
        ("batch_ticket_test", [], {}),
        ("batch_settle_test", [], {}),
        ("sim_durable_sim_test", [], {}),
        ("sim_pipeline_sim_test", [], {}),
        ("sim_poison_sim_test", [], {}),
        ("queue_effects_test", [], {}),
        ("runtime_durability_test", [], {}),
        ("runtime_reload_durable_test", [], {}),
        ("runtime_dead_letters_test", [], {}),
        ("runtime_ledger_durable_test", [], {}),
        ("runtime_reload_rollback_test", [], {}),
        ("runtime_rot_test", [], {}),
        ("runtime_crash_test", [], {}),
    ]),
    "policies": (policy_files, [(f"processors_tail_sampling_{t}_test", [], {})
                                for t in ("policy", "limits", "mistakes", "conditions", "policy_malloc", "settled")]),
    "sampler": (sampler_files, [
        ("processors_tail_sampling_test", [], {}),
        ("processors_tail_sampling_group_test", [], {}),
        ("processors_tail_sampling_sampler_malloc_test", [], {}),
        ("processors_tail_sampling_sampler_adopt_test", [], {}),
        ("processors_tail_sampling_sampler_sim_test", [], {}),
        ("processors_tail_sampling_sampler_engine_test", [], {}),
    ]),
    "keeps": (keeps_files, [
        ("connectors_journal_keep_test", [], {}),
        ("processors_common_traces_order_test", [], {}),
        ("processors_common_traces_test", [], {}),
        ("processors_tail_sampling_kept_test", [], {}),
        ("processors_tail_sampling_step_test", [], {}),
        ("queue_stage_test", [], {}),
        ("runtime_keep_test", [], {}),
        ("sim_tail_crash_sim_test", [], {"GW_SIM_SEEDS": "6"}),
        ("sim_tail_oracle_sim_test", [], {"GW_SIM_SEEDS": "12"}),
    ]),
    "rollup": (rollup_files, rollup_tests()),
}


def closing(text, at):
    """The place of the parenthesis that closes the one at `at`."""
    depth = 0
    for i in range(at, len(text)):
        depth += (text[i] == "(") - (text[i] == ")")
        if depth == 0:
            return i
    return -1


def split_for(text, begin, end):
    """[from, to) of a for's condition, or None."""
    parts, depth = [], 0
    for i in range(begin + 1, end):
        depth += (text[i] == "(") - (text[i] == ")")
        if text[i] == ";" and depth == 0:
            parts.append(i)
    return (parts[0] + 1, parts[1]) if len(parts) == 2 and text[parts[0] + 1:parts[1]].strip() else None


def blanked(text):
    """Without comments, strings and directives; everything else is where it was."""
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|^#(?:[^\n\\]|\\\n|\\.)*',
                  lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.S | re.M)


def conditions(blank):
    """[from, to) of every condition."""
    for m in re.finditer(r"\b(if|while|for)\s*\(", blank):
        begin = m.end() - 1
        end = closing(blank, begin)
        if m[1] == "for":
            part = split_for(blank, begin, end)
            if part:
                yield part
        elif end > 0:
            yield begin + 1, end
    for m in re.finditer(r"\s\? ", blank):  # back to where the condition of a ?: begins
        depth, i = 0, m.start()
        while i > 0:
            c = blank[i - 1]
            depth += (c in ")]") - (c in "([")
            if depth < 0 or (depth == 0 and (c in ",;{}?:" or re.search(r"(return|[^=!<>]=)\s*$", blank[max(0, i - 8):i]))):
                break
            i -= 1
        if blank[i:m.start()].strip():
            yield i, m.start()


def function_at(blank, at):
    heads = list(re.finditer(r"^[a-z][^;{}=]*?\b(\w+)\([^;{}]*\)\s*\n\{", blank[:at], re.M))
    return heads[-1][1] if heads else ""


class Mutant:
    def __init__(self, file, text, begin, end):
        self.file, self.begin, self.end = file, begin, end
        while text[self.begin].isspace():
            self.begin += 1
        self.words = " ".join(text[begin:end].split())
        self.lines = [text.count("\n", 0, at) + 1 for at in (self.begin, end)]
        self.what = f"{file}:{self.lines[0]}: {self.words}"
        self.number = 0


def find_mutants(group, only):
    """All of a group, numbered: numbers do not depend on what is left out."""
    listed = ROOT / "tests/log/equivalent.txt"
    equivalent = {line.split("  #")[0].strip() for line in listed.read_text().splitlines()} if listed.exists() else set()
    mutants, unused = [], set(equivalent)
    for file, functions in group().items():
        text = (ROOT / file).read_text()
        blank = blanked(text)
        for begin, end in sorted(conditions(blank)):
            if functions is not None and function_at(blank, begin) not in functions:
                continue
            m = Mutant(file, text, begin, end)
            m.number = len(mutants)
            m.wanted = f"{file}: {m.words}" not in equivalent and (not only or file in only)
            unused.discard(f"{file}: {m.words}")
            mutants.append(m)
    return mutants, sorted(u for u in unused if u.split(":")[0] in group())


def write_copy(folder, file, mutants):
    text = (ROOT / file).read_text()
    edits = []  # place, order at that place, what: inner ones end first, outer ones begin first
    for m in mutants:
        edits.append((m.begin, 1, m.begin - m.end, f"gw_mutant_at({m.number}, !!("))
        edits.append((m.end, 0, -m.begin, "))"))
    out, at = [f'#include "tools/mutant.h"\n#line 1 "{file}"\n'], 0
    for place, _, _, what in sorted(edits):
        out += [text[at:place], what]
        at = place
    copy = folder / file
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text("".join(out) + text[at:])
    return copy


def compile_copy(build, folder, commands, file, mutants):
    """The object. Conditions that the compiler needs to know are left as they are."""
    obj = folder / (file + ".o")
    while True:
        copy = write_copy(folder, file, mutants)
        words = list(commands[str(ROOT / file)])
        words[words.index(str(ROOT / file))] = str(copy)
        words[words.index("-o") + 1] = str(obj)
        done = subprocess.run(words + ["-w", "-O1"], cwd=build, capture_output=True, text=True)
        if done.returncode == 0:
            return obj, mutants
        lines = {int(n) for n in re.findall(rf"^{re.escape(file)}:(\d+):\d+: error", done.stderr, re.M)}
        left = [m for m in mutants if not any(m.lines[0] <= n <= m.lines[1] for n in lines)]
        if len(left) == len(mutants):
            sys.exit(f"{copy} does not compile:\n{done.stderr[:2000]}")
        mutants = left


def link(build, folder, tests, objects):
    subprocess.run(["ninja", "-C", str(build)] + sorted({t[0] for t in tests}), check=True, capture_output=True)
    mine = " ".join(str(o) for o in objects)
    for name in sorted({t[0] for t in tests}):
        out = subprocess.run(["ninja", "-C", str(build), "-t", "commands", name], capture_output=True, text=True, check=True)
        command = out.stdout.strip().splitlines()[-1]
        subprocess.run(command.replace(f" -o {name} ", f" {mine} -o {folder / name} "), cwd=build, shell=True, check=True)


class Test:
    def __init__(self, folder, index, name, args, env):
        self.program, self.args, self.env = str(folder / name), args, env
        self.name = " ".join([name] + args)
        self.folder = folder / f"run.{index}"
        self.cpu = self.wall = 1.0
        self.seen = b""

    def run(self, extra):
        """True: it passed. Its limits follow from what it takes."""
        def limits():
            resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            seconds = 2 + int(4 * self.cpu)
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        try:
            done = subprocess.run([self.program] + self.args, env={**os.environ, **self.env, **extra}, cwd=ROOT,
                                  capture_output=True, timeout=30 + 20 * self.cpu, preexec_fn=limits)
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def learn(self):
        """What it takes, and by which conditions it comes."""
        path = pathlib.Path(str(self.folder) + ".seen")
        path.write_bytes(bytes(MAX))
        self.cpu = 60.0
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        if not self.run({"GW_MUTANT_SEEN": str(path)}):
            sys.exit(f"{self.name} fails as it is")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        self.wall = time.monotonic() - began
        self.seen = path.read_bytes()


def try_one(tests, m):
    """The name of the test that noticed, or None."""
    for t in tests:
        if t.seen[m.number] and not t.run({"GW_MUTANT": str(m.number)}):
            return t.name
    return None


def prepare(build, name):
    """Programs and tests of a group, learned; and its mutants that the compiler took."""
    files, tests = GROUPS[name]
    folder = build / "mutants" / name
    folder.mkdir(parents=True, exist_ok=True)
    commands = {c["file"]: shlex.split(c["command"]) for c in json.load(open(build / "compile_commands.json"))}
    mutants, unused = find_mutants(files, None)
    objects, taken = [], []
    for file in files():
        obj, mine = compile_copy(build, folder, commands, file, [m for m in mutants if m.file == file])
        objects.append(obj)
        taken += mine
    chooser = folder / "mutant.o"
    subprocess.run(["cc", "-O1", "-I", str(ROOT), "-c", str(ROOT / "tools/mutant.c"), "-o", str(chooser)], check=True)
    link(build, folder, tests, objects + [chooser])
    ready = [Test(folder, i, *t) for i, t in enumerate(tests)]
    for t in ready:
        t.learn()
    return sorted(ready, key=lambda t: t.wall), taken, unused


def judge(tests, todo, jobs, tell):
    """How many were caught. Those that nobody missed are printed."""
    by = collections.Counter()
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for m, who in zip(todo, pool.map(lambda m: try_one(tests, m), todo)):
            by[who] += 1
            if who is None:
                seen = 0
                for t in tests:
                    seen |= t.seen[m.number]
                print(f"missed {m.what} ({SEEN[seen]})", flush=True)
            elif tell:
                print(f"caught {m.what} by {who}", flush=True)
    if tell:
        for t in tests:
            print(f"{by[t.name]:5} {t.wall:6.2f} s {t.name}")
    return len(todo) - by[None]


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("build", type=pathlib.Path)
    p.add_argument("group", choices=GROUPS)
    p.add_argument("--sample", type=int)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("--least", type=float, default=95)
    p.add_argument("--tests", action="store_true")
    p.add_argument("--again", type=pathlib.Path)
    p.add_argument("files", nargs="*")
    a = p.parse_intermixed_args()
    from_s = time.monotonic()
    tests, mutants, unused = prepare(a.build.resolve(), a.group)
    if unused:
        sys.exit("not a condition (tests/log/equivalent.txt): " + unused[0])
    todo = [m for m in mutants if m.wanted and (not a.files or m.file in a.files)]
    if a.again:
        missed = {(m[1], m[2]) for m in re.finditer(r"^missed (.*?):\d+: (.*) \([^()]*\)$", a.again.read_text(), re.M)}
        todo = [m for m in todo if (m.file, m.words) in missed]
    if a.sample and a.sample < len(todo):
        random.seed(a.seed)
        todo = random.sample(todo, a.sample)
    caught = judge(tests, todo, a.jobs, a.tests)
    share = 100 * caught / max(1, len(todo))
    print(f"{a.group}: {caught} of {len(todo)} conditions turned round were caught: {share:.1f} % "
          f"({time.monotonic() - from_s:.0f} s)")
    sys.exit(share < a.least)


main()

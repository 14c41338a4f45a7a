#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Negate the branch conditions of log/ one by one; the log's tests must notice.

    mutate.py BUILD [--sample N] [--seed S] [--jobs N] [--least PERCENT] [FILE...]

Each condition of an if, while, for or ?: becomes its opposite in a copy of its file below BUILD/mutants. The test programs
of a release build are linked with that and run, quick ones first, until one fails (crashes and hangs count). One line for
each condition that nobody missed, then the share that was caught; fails below PERCENT (95). Conditions that may be turned
round without harm are listed with the reason in tests/log/equivalent.txt (file: condition), and left out.
--sample N: only N of them, drawn by the seed (1).
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import random
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# program, arguments, environment: in the order of how much they find a second
TESTS = [
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
    ("log_crash_test", ["segments*"], {"GW_SIM_SEEDS": "3"}),
    ("log_crash_test", ["disks*"], {"GW_SIM_SEEDS": "25"}),
]


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


def conditions(text):
    """[from, to) of every condition, outside of comments and strings."""
    blank = re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|^#(?:[^\n\\]|\\\n|\\.)*',
                   lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.S | re.M)
    for m in re.finditer(r"\b(if|while|for)\s*\(", blank):
        begin = m.end() - 1
        end = closing(blank, begin)
        if m[1] == "for":
            part = split_for(blank, begin, end)
            if part:
                yield part
        elif end > 0:
            yield begin + 1, end
    for m in re.finditer(r" \? ", blank):  # back to where the condition of a ?: begins
        depth, i = 0, m.start()
        while i > 0:
            c = blank[i - 1]
            depth += (c in ")]") - (c in "([")
            if depth < 0 or (depth == 0 and (c in ",;{}?:" or re.search(r"(return|[^=!<>]=)\s*$", blank[max(0, i - 8):i]))):
                break
            i -= 1
        if blank[i:m.start()].strip():
            yield i, m.start()


def link_commands(build):
    commands = {}
    for name in {t[0] for t in TESTS}:
        out = subprocess.run(["ninja", "-C", str(build), "-t", "commands", name], capture_output=True, text=True, check=True)
        commands[name] = out.stdout.strip().splitlines()[-1]
    return commands


def run_one(build, commands, links, path, text, begin, end, number):
    """The name of the test that noticed, "build" when it does not compile, or None."""
    folder = build / "mutants" / str(number)
    folder.mkdir(parents=True, exist_ok=True)
    copy, obj = folder / path.name, folder / "mutant.o"
    condition = text[begin:end].strip()
    copy.write_text(text[:begin] + "!(" + condition + ")" + text[end:])
    words = list(commands[str(path)])
    words[words.index(str(path))] = str(copy)
    words[words.index("-o") + 1] = str(obj)
    words += ["-w", "-O1"]
    if subprocess.run(words, cwd=build, capture_output=True).returncode:
        return "build"
    linked = {}
    try:
        for name, args, env in TESTS:
            if name not in linked:
                program = folder / name
                link = links[name].replace(f" -o {name} ", f" {obj} -o {program} ")
                if subprocess.run(link, cwd=build, shell=True, capture_output=True).returncode:
                    return "build"
                linked[name] = program
            try:
                done = subprocess.run([linked[name]] + args, env={**os.environ, **env}, cwd=ROOT, capture_output=True,
                                      timeout=60, preexec_fn=limit_memory)
            except subprocess.TimeoutExpired:
                return name + " (hangs)"
            if done.returncode:
                return name
        return None
    finally:
        subprocess.run(["rm", "-rf", str(folder)])


def limit_memory():
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("build", type=pathlib.Path)
    p.add_argument("--sample", type=int)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("--least", type=float, default=95)
    p.add_argument("files", nargs="*")
    a = p.parse_args()
    build = a.build.resolve()
    commands = {c["file"]: shlex.split(c["command"]) for c in json.load(open(build / "compile_commands.json"))}
    subprocess.run(["ninja", "-C", str(build)] + sorted({t[0] for t in TESTS}), check=True, capture_output=True)
    links = link_commands(build)
    listed = ROOT / "tests/log/equivalent.txt"
    equivalent = {line.split("  #")[0].strip() for line in listed.read_text().splitlines()} if listed.exists() else set()
    todo = []
    for f in a.files or sorted(str(f.relative_to(ROOT)) for f in (ROOT / "log").glob("*.c")):
        text = (ROOT / f).read_text()
        for begin, end in conditions(text):
            words = " ".join(text[begin:end].split())
            if f"{f}: {words}" not in equivalent:
                todo.append((ROOT / f, text, begin, end, f"{f}:{text.count(chr(10), 0, begin) + 1}: {words}"))
    if a.sample and a.sample < len(todo):
        random.seed(a.seed)
        todo = random.sample(todo, a.sample)
    caught = missed = 0
    with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
        jobs = {pool.submit(run_one, build, commands, links, path, text, begin, end, n): what
                for n, (path, text, begin, end, what) in enumerate(todo)}
        for job in concurrent.futures.as_completed(jobs):
            by = job.result()
            if by is None:
                print("missed", jobs[job], flush=True)
                missed += 1
            elif by != "build":
                caught += 1
    share = 100 * caught / max(1, caught + missed)
    print(f"{caught} of {caught + missed} negated conditions caught: {share:.1f} %")
    sys.exit(share < a.least)


main()

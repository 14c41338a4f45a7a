#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Judge what a fault sink wrote down against what a sender was told: lost, delivered, twice and why, changed on the way.

    faultcheck.py --sent LOG... --journal JOURNAL [--sink NAME] [--kill NS]... [--window S]       exit 1: something is wrong

The formats are told in tests/faultsink/sender.c and exchange.c. A second copy is explained by what came between it and the first:
  untold   the sink never gave (all of) the answer to the first, or not before it was asked again
  denied   the answer to the first spoke against it: it lied
  crash    the gateway died within the window after the answer, so that it could not keep it
"""
import argparse
import bisect
import collections
import dataclasses
import sys


class Sent:
    """What the sender was told, by id."""

    def __init__(self, paths):
        self.accepted, self.other, self.spans = {}, 0, []  # id: when it was told so
        self.counts = collections.Counter()
        for path in paths:
            with open(path) as f:
                for line in f:
                    if not line.endswith("\n"):
                        break  # being written
                    kind, t, first, n = line.split()[:4]
                    first, n = int(first), int(n)
                    self.spans.append((first, first + n))
                    self.counts[kind] += n
                    if kind == "A":
                        self.accepted.update(dict.fromkeys(range(first, first + n), int(t)))
        self.spans.sort()

    def knows(self, number):
        i = bisect.bisect_right(self.spans, (number, 1 << 70)) - 1
        return i >= 0 and self.spans[i][0] <= number < self.spans[i][1]


@dataclasses.dataclass
class Exchange:
    at: int
    sink: str
    fault: str
    told: int = None


class Journal:
    """copies: id: [(exchange, applied, intact, said, hash)] of one sink (or of all), in the order of the journal."""

    def __init__(self, path, sink=None):
        self.exchanges, self.copies, self.kills, self.anonymous = {}, collections.defaultdict(list), [], 0
        with open(path) as f:
            for line in f:
                kind, number, rest = line.split(" ", 2)
                if kind == "R":
                    if number in self.exchanges:
                        name, digest, flags = rest.split()
                        if name == "-":
                            self.anonymous += 1
                        else:
                            self.copies[int(name)].append((number, flags[0] == "a", flags[1], flags[2], digest))
                elif kind == "A":
                    at, name, _, _, fault = rest.rstrip("\n").split(" ", 4)
                    if sink in (None, name):
                        self.exchanges[number] = Exchange(int(at), name, fault)
                elif kind == "E":
                    at, how = rest.split()
                    if number in self.exchanges and how == "told":
                        self.exchanges[number].told = int(at)
                elif kind == "K":
                    at, where = rest.split()
                    self.kills.append((int(at), where))


@dataclasses.dataclass
class Verdict:
    accepted: int = 0
    delivered: int = 0  # of what was accepted, at least once
    lost: list = dataclasses.field(default_factory=list)
    refused: list = dataclasses.field(default_factory=list)  # the sink said no: these belong into dead letters
    unburied: list = dataclasses.field(default_factory=list)  # of these, what is in no dead letter, where somebody has looked
    broken: list = dataclasses.field(default_factory=list)   # content is not what was sent, or two copies differ
    phantom: list = dataclasses.field(default_factory=list)  # nobody sent these
    unsure: int = 0  # delivered, and never accepted: the sender had no answer, or a refusal
    copies: collections.Counter = dataclasses.field(default_factory=collections.Counter)  # second ones, by reason
    unexplained: list = dataclasses.field(default_factory=list)

    def wrong(self, duplicates=True):
        """What is wrong, as a text; '' when nothing is. duplicates: whether explained ones are allowed."""
        out = [f"{len(ids)} {name}: {sorted(ids)[:8]}" for name, ids in
               (("lost", self.lost), ("refused, and in no dead letter", self.unburied), ("broken", self.broken), ("phantom", self.phantom), ("unexplained duplicates", self.unexplained)) if ids]
        if not duplicates and sum(self.copies.values()):
            out.append(f"{sum(self.copies.values())} duplicates: {dict(self.copies)}")
        return "; ".join(out)

    def __str__(self):
        return (f"accepted {self.accepted}, delivered {self.delivered}, refused by the sink {len(self.refused)}, lost {len(self.lost)}, "
                f"unsure and delivered {self.unsure}, second copies {dict(self.copies) or 0}")


def why_twice(first, second, journal, kills, window_ns):
    """Why there is a second copy behind a first one: both entries of Journal.copies."""
    told, again = journal.exchanges[first[0]].told, journal.exchanges[second[0]].at
    if told is None or told >= again:
        return "untold"
    if first[3] != "y":
        return "denied"
    i = bisect.bisect_left(kills, told)
    return "crash" if i < len(kills) and kills[i] <= again and kills[i] - told <= window_ns else "unexplained"


def judge(sent, journal, kills=(), window_s=1.0):
    v, kills = Verdict(accepted=len(sent.accepted)), sorted(kills)
    for number, copies in journal.copies.items():
        applied = [c for c in copies if c[1]]
        if number not in sent.accepted:
            if not sent.knows(number):
                v.phantom.append(number)
            v.unsure += bool(applied)
        elif applied:
            v.delivered += 1
        if any(c[2] == "!" for c in copies) or len({c[4] for c in copies}) > 1:
            v.broken.append(number)
        for first, second in zip(applied, applied[1:]):
            reason = why_twice(first, second, journal, kills, window_s * 1e9)
            v.copies[reason] += 1
            if reason == "unexplained":
                v.unexplained.append(number)
    for number in sent.accepted:
        copies = journal.copies.get(number, ())
        if not any(c[1] or (c[3] == "y" and journal.exchanges[c[0]].told) for c in copies):
            no = any(c[3] in "n?" and journal.exchanges[c[0]].told for c in copies)
            (v.refused if no else v.lost).append(number)
    return v


def undelivered_at(sent, journal, kills):
    """Of each kill, whether an accepted record was not yet applied."""
    kills, marks = sorted(kills), [0] * (len(kills) + 1)
    for number, accepted in sent.accepted.items():
        times = [journal.exchanges[c[0]].at for c in journal.copies.get(number, ()) if c[1]]
        marks[bisect.bisect_left(kills, accepted)] += 1
        marks[bisect.bisect_left(kills, max(min(times), accepted)) if times else len(kills)] -= 1
    out, depth = [], 0
    for m in marks[:-1]:
        depth += m
        out.append(depth)
    return out


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--sent", nargs="+", required=True)
    a.add_argument("--journal", required=True)
    a.add_argument("--sink")
    a.add_argument("--kill", type=int, action="append", default=[])
    a.add_argument("--window", type=float, default=1.0)
    o = a.parse_args()
    journal = Journal(o.journal, o.sink)
    v = judge(Sent(o.sent), journal, o.kill + [t for t, _ in journal.kills], o.window)
    print(v)
    if v.wrong():
        sys.exit(v.wrong())


if __name__ == "__main__":
    main()

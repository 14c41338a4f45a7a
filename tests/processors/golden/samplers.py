#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes samplers.txt: calls and the rates that dynsampler-go's formulas answer, worked out here a second time.

Plain dictionaries, one per interval, as the papers of the formulas have them; nothing is shared with
processors/common/samplers.c. A line is a configuration, or a call: time in ms, key, events, rate."""
import collections
import math
import pathlib
import random

SECOND = 1000  # time in ms


def shared_out(averages, goal):
    logs = {k: math.log10(max(1.0, v)) for k, v in averages.items()}
    log_sum = 0.0
    for k in sorted(averages):
        log_sum += logs[k]
    rates, extra, left = {}, 0.0, len(averages)
    for k in sorted(averages):
        count = max(1.0, averages[k])
        mine = max(1.0, logs[k] * (goal / log_sum)) if log_sum else 1.0
        part = extra / left
        mine, extra, left = mine + part, extra - part, left - 1
        rates[k] = 1 if count <= mine else math.ceil(count / mine)
        extra += mine - (count if rates[k] == 1 and count <= mine else count / rates[k])
    return rates


class Ema:
    def __init__(self, goal, by_percentage, interval, weight, multiple, delay, initial, max_keys, share):
        self.__dict__.update(locals())
        self.counts, self.averages, self.rates, self.known = {}, {}, {}, False
        self.next, self.intervals, self.burst, self.limit = interval, 0, 0.0, 0.0

    def update(self):
        if not self.counts:
            return
        new = {}
        for k in set(self.counts) | set(self.averages):
            a = self.counts.get(k, 0.0) * self.weight + (1.0 - self.weight) * self.averages.get(k, 0.0)
            if a >= self.weight:
                new[k] = a
        self.averages, self.counts, self.burst, self.known = new, {}, 0.0, True
        total = 0.0
        for k in sorted(new):
            total += max(1.0, new[k])
        self.limit = total * self.multiple
        goal = total / self.goal if self.by_percentage else self.goal * self.share * self.interval / SECOND
        self.rates = shared_out(new, goal)

    def rate(self, now, key, n):
        while now >= self.next:
            self.update()
            self.intervals += 1
            self.next += self.interval
        if key in self.counts or len(self.counts) < self.max_keys:
            self.counts[key] = self.counts.get(key, 0.0) + n
            self.burst += n
        answer = self.rates.get(key, 1) if self.known else self.initial
        if self.limit > 0 and self.burst >= self.limit and self.intervals >= self.delay:
            self.update()
            self.next = now + self.interval
        return answer


class Total:
    def __init__(self, goal, interval, max_keys, share):
        self.__dict__.update(locals())
        self.counts, self.rates, self.next = {}, {}, interval

    def rate(self, now, key, n):
        while now >= self.next:
            each = int(max(1.0, self.goal * self.share * self.interval / SECOND / len(self.counts))) if self.counts else 1
            self.rates = {k: int(max(1.0, v / each)) for k, v in self.counts.items()}
            self.counts, self.next = {}, self.next + self.interval
        if key in self.counts or len(self.counts) < self.max_keys:
            self.counts[key] = self.counts.get(key, 0) + n
        return self.rates.get(key, 1)


class Windowed:
    def __init__(self, goal, interval, lookback, max_keys, share):
        self.__dict__.update(locals())
        self.blocks, self.rates, self.at = collections.defaultdict(dict), {}, 0

    def seen(self):
        n = collections.Counter()
        for i, counts in self.blocks.items():
            if self.at - self.lookback // self.interval <= i < self.at:
                n.update(counts)
        return n

    def rate(self, now, key, n):
        if now // self.interval != self.at:
            self.at = now // self.interval
            seen = self.seen()
            each = max(1.0, self.goal * self.share * self.lookback / SECOND / len(seen)) if seen else 1.0
            self.rates = {k: int(max(1.0, v / each)) for k, v in seen.items()}
        keys = set(self.seen()) | set(self.blocks[self.at])
        if key in keys or len(keys) < self.max_keys:
            counts = self.blocks[self.at]
            counts[key] = counts.get(key, 0) + n
        return self.rates.get(key, 1)


def calls(rng, n, step):
    """Keys of very different frequency, a quiet time, a burst of one key, and keys that are seen once."""
    now = 0
    for i in range(n):
        now += rng.randrange(step) if i % 41 else rng.randrange(60 * step)
        burst = n // 2 < i < n // 2 + n // 8
        key = "burst" if burst and i % 4 else f"k{int(rng.paretovariate(0.8)) % 40}" if i % 17 else f"once{i}"
        yield now, key, rng.randrange(1, 400 if burst else 30)


def main():
    rng = random.Random(7)
    out = ["# Written by samplers.py."]
    for name, sampler in (
            ("ema_percentage goal=10 interval=15000 weight=0.5 multiple=2 delay=3 initial=10 max_keys=500 share=1",
             Ema(10.0, True, 15 * SECOND, 0.5, 2.0, 3, 10, 500, 1.0)),
            ("ema_percentage goal=3 interval=5000 weight=0.9 multiple=-1 delay=3 initial=3 max_keys=12 share=1",
             Ema(3.0, True, 5 * SECOND, 0.9, -1.0, 3, 3, 12, 1.0)),
            ("ema_throughput goal=20 interval=15000 weight=0.5 multiple=2 delay=1 initial=7 max_keys=500 share=1",
             Ema(20.0, False, 15 * SECOND, 0.5, 2.0, 1, 7, 500, 1.0)),
            ("ema_throughput goal=20 interval=15000 weight=0.5 multiple=2 delay=3 initial=7 max_keys=500 share=0.25",
             Ema(20.0, False, 15 * SECOND, 0.5, 2.0, 3, 7, 500, 0.25)),
            ("total_throughput goal=5 interval=10000 max_keys=30 share=0.5", Total(5.0, 10 * SECOND, 30, 0.5)),
            ("windowed_throughput goal=4 interval=1000 lookback=30000 max_keys=20 share=1", Windowed(4.0, SECOND, 30 * SECOND, 20, 1.0)),
            ("windowed_throughput goal=0.2 interval=2000 lookback=10000 max_keys=500 share=1", Windowed(0.2, 2 * SECOND, 10 * SECOND, 500, 1.0))):
        out.append(name)
        for now, key, n in calls(rng, 700, 600):
            out.append(f"{now} {key} {n} {sampler.rate(now, key, n)}")
    pathlib.Path(__file__).with_name("samplers.txt").write_text("\n".join(out) + "\n")


main()

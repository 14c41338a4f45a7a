# SPDX-License-Identifier: Apache-2.0
"""kill -9 and SIGTERM under load of a gateway whose groupbytrace, or dynamic_sampling, stands behind a journal: each span that was acknowledged
leaves once, or with the whole of its trace never. STOPS: of each, 5.
"""
import os
import pathlib
import random
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403
import tail_kill  # noqa: E402

STOPS = int(os.environ.get("STOPS", "5"))
KEY = ['resource.attributes["service.name"]']


class AllLeave(tail_kill.Model):
    def outcome(self, trace):
        return True


class Grouped(tail_kill.TailLeg):
    model, processor = AllLeave, "groupbytrace"

    def settings(self):
        return {"wait_duration": f"{tail_kill.WAIT_S}s", "compress": "lz4"}


class ByRules(tail_kill.Model):
    """By the first rule that is met; whether the last one keeps a trace, nobody can tell from outside: all of it or nothing."""

    def decided(self, trace):
        d = super().decided(trace)  # half a second sooner, and up to a second later: seconds are its ticks
        return d and (d[0] - tail_kill.S // 2, d[1] + tail_kill.S // 2)

    def outcome(self, trace):
        d = self.decided(trace)
        inside = [c for c in trace.copies if c.attempt.outcome == "A" and c.until < d[0]]
        maybe = [c for c in trace.copies if c.at <= d[1]]
        for word, kept in (("errors", True), ("gold", True), ("silver", False)):
            if any(word in c.says for c in inside):
                return kept
            if any(word in c.says for c in maybe):
                return None
        return None


class Sampled(tail_kill.TailLeg):
    model, processor = ByRules, "dynamic_sampling"
    still_s = tail_kill.TailLeg.still_s + 1

    def settings(self):
        always = {"type": "always_sample"}
        rules = [{"name": "errors", "conditions": ["status.code == STATUS_CODE_ERROR"], "sampler": always},
                 {"name": "gold", "conditions": ['attributes["tier"] == "gold"'], "sampler": always},
                 {"name": "silver", "conditions": ['attributes["tier"] == "silver"'], "sampler": {"type": "probabilistic", "sampling_percentage": 0.001}},  # ids begin low
                 {"name": "rest", "sampler": {"type": "dynamic_throughput", "goal_throughput": 20, "adjustment_interval": "2s", "fingerprint_attributes": KEY}}]
        return {"trace_timeout": f"{tail_kill.WAIT_S - 1}s", "decision_delay": "500ms", "root_span_condition": 'attributes["never"] == true', "rules": rules}


def run(kind, seed):
    folder, r = pathlib.Path(tempfile.mkdtemp(prefix=f"{kind.processor}-")), random.Random(seed)
    with kind(folder, seed, away=True, workers=(2, 1), longest=0.8, per_second=100) as one:
        one.begin()
        for i in range(STOPS):
            if i % 3 == 2:
                time.sleep(0.3 + r.random())
                one.terminate()
            else:
                one.killed(one.kill())
            one.start()
        time.sleep(0.5)
        one.end()
        result, share, phases = one.result()
    print(f"{kind.processor}, {STOPS} stops: {result}; traces open at {share:.0%}; by phase {dict(phases)}", flush=True)
    equal(result.wrong(), "", f"{folder}")
    check(result.traces > 50 * STOPS / 5 and result.kept > 10 and result.late > 0 and share >= 0.6, "too little happened")
    check(kind is Grouped or (result.kept < result.traces - result.either and result.either < result.traces * 0.6), f"rules say too little: {result}")
    shutil.rmtree(folder)


run(Grouped, 1)
run(Sampled, 2)

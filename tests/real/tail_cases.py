# SPDX-License-Identifier: Apache-2.0
"""The configurations of tail_sampling under which Staunch and the Collector are compared, over the traces of traces_corpus.py."""
import collections
import dataclasses
import http.client

from gateway import equal
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from traces_corpus import spans_of

# The Collector's feature gates that change decisions or spans, and what the gateway calls them.
TRACE_STATE = "processor.tailsamplingprocessor.usetracestate"
RECORD = "processor.tailsamplingprocessor.recordpolicy"


@dataclasses.dataclass
class Case:
    type: str  # the policy type that it is about
    name: str
    policies: list  # without names
    options: dict = dataclasses.field(default_factory=dict)  # beside policies, for both
    gates: str = ""  # the Collector's
    ours: dict = dataclasses.field(default_factory=dict)  # beside policies, for the gateway alone
    judge: object = None  # None: identical; else judge(Book, kept, seconds) gives what is wrong, or ""
    meant: str = ""  # where the gateway differs and means to: TYPE/NAME of the case that tells what it keeps


def policy(kind, block=None):
    return {"type": kind, **({kind: block} if block is not None else {})}


def named(policies, word="policy"):
    """Each with a name of its own."""
    return [{**p, "name": f"{word}-{i}"} for i, p in enumerate(policies)]


def sub(kind, *policies):
    return policy(kind, {f"{kind}_sub_policy": named(policies)})


def no(p):
    return policy("not", {"not_sub_policy": {**p, "name": "inner"}})


def composite(total, order, allocation, *policies):
    return policy("composite", {"max_total_spans_per_second": total, "policy_order": [f"sub-{i}" for i in order], "composite_sub_policy": named(policies, "sub"),
                                "rate_allocation": [{"policy": f"sub-{i}", "percent": p} for i, p in allocation]})


ALWAYS = policy("always_sample")
LATENCY = policy("latency", {"threshold_ms": 500})
ERRORS = policy("status_code", {"status_codes": ["ERROR"]})
GOLD = policy("string_attribute", {"key": "tier", "values": ["gold"]})
SILVER = policy("string_attribute", {"key": "tier", "values": ["silver"]})
RETRY = policy("boolean_attribute", {"key": "retry", "value": True})
SERVER_ERRORS = policy("numeric_attribute", {"key": "http.response.status_code", "min_value": 500, "max_value": 599})
HALF = policy("probabilistic", {"sampling_percentage": 50})
SMALL = policy("span_count", {"min_spans": 1, "max_spans": 4})


def latency(threshold, upper=0):
    return [policy("latency", {"threshold_ms": threshold, **({"upper_threshold_ms": upper} if upper else {})})]


def numeric(key, low=None, high=None, **more):
    return [policy("numeric_attribute", {"key": key, **({} if low is None else {"min_value": low}), **({} if high is None else {"max_value": high}), **more})]


def text(key, *values, **more):
    return [policy("string_attribute", {"key": key, "values": list(values), **more})]


def truth(key, value, **more):
    return [policy("boolean_attribute", {"key": key, "value": value, **more})]


def ottl(spans=(), events=(), **more):
    return [policy("ottl_condition", {**({"span": list(spans)} if spans else {}), **({"spanevent": list(events)} if events else {}), **more})]


def chance(percent, salt=None):
    return [policy("probabilistic", {"sampling_percentage": percent, **({"hash_salt": salt} if salt else {})})]


def asks(*span, events=(), **more):
    return [policy("ottl_condition", {**more, **({"span": list(span)} if span else {}), **({"spanevent": list(events)} if events else {})})]


SHORT = 'Substring(attributes["tier"], 0, 5) == "silve"'  # fails for gold and tin


@dataclasses.dataclass
class Book:
    """What was sent, trace by trace."""
    spans: collections.Counter
    bytes: collections.Counter
    roots: set  # traces that have one
    odd: set  # traces with times that no clock gives

    workers: int = 1  # each has a part of the bucket

    def of_gateway(self, workers):
        """It passes what has no trace id."""
        spans, sizes = ({t: n for t, n in d.items() if t} for d in (self.spans, self.bytes))
        return Book(spans, sizes, self.roots, self.odd, workers)


def bucket(what, burst, per_second):
    """A token bucket that starts full: no trace larger than it; in all not more than it (and for each worker what a trace had more than its part) and what flowed
    in, and so much that the smallest trace that was refused did not fit in any more, with any of them."""
    def judge(book, kept, seconds):
        weights = getattr(book, what)
        largest, total = max((weights[t] for t in kept), default=0), sum(weights[t] for t in kept)
        least = burst - book.workers * min((n for t, n in weights.items() if t not in kept), default=0)
        if largest > burst:
            return f"a trace of {largest} {what} is larger than the bucket of {burst}"
        most = burst + book.workers * max(0, largest - burst / book.workers) + per_second * seconds
        if not least <= total <= most:
            return f"{total} {what}, not between {least} and {most:.0f} ({seconds:.1f} s)"
        return ""
    return judge


def larger_never(what, burst):
    """The bucket fills faster than it can be emptied: what is larger than it is not kept, and of the rest most is."""
    def judge(book, kept, seconds):
        weights = getattr(book, what)
        fitting = {t for t, n in weights.items() if n <= burst}
        if kept - fitting:
            return f"{len(kept - fitting)} traces are larger than the bucket of {burst}"
        return "" if kept else "nothing kept"
    return judge


def per_second(limits):
    """A composite's counters: each wall second that the decisions touch may keep as much as the sub-policies have."""
    def judge(book, kept, seconds):
        total, most = sum(book.spans[t] for t in kept), sum(limits) * (int(seconds) + 2)
        return "" if max(limits) * 0.8 <= total <= most else f"{total} spans, not between {max(limits) * 0.8:.0f} and {most}"
    return judge


AS_THEIRS = {"composite_fall_through": False}
INGEST = {"sampling_strategy": "span-ingest"}

CASES = [
    Case("always_sample", "but_dropped", [ALWAYS, sub("drop", GOLD)]),
    Case("always_sample", "and_errors", [sub("and", ALWAYS, ERRORS)]),
    Case("always_sample", "first_match", [ALWAYS, sub("drop", RETRY)], {"sample_on_first_match": True}),
    Case("always_sample", "composite", [composite(10**9, [0, 1], [(0, 100), (1, 0)], sub("and", ALWAYS, RETRY), sub("and", ALWAYS, GOLD))]),

    Case("latency", "100ms", latency(100)),
    Case("latency", "500ms", latency(500)),
    Case("latency", "1s", latency(1000)),
    Case("latency", "999ms", latency(999)),
    Case("latency", "upper", latency(100, 500), ours={"running_latency": True}),
    Case("latency", "upper_1s", latency(200, 1000), ours={"running_latency": True}),
    # Of the whole trace, as the gateway does it by itself, latency is a window between two of them.
    Case("latency", "window", [sub("and", *latency(100), no(*latency(500)))]),
    Case("latency", "upper_of_the_whole", latency(100, 500), meant="latency/window"),

    Case("numeric_attribute", "range", numeric("http.response.status_code", 400, 599)),
    Case("numeric_attribute", "min_only", numeric("items", 4)),
    Case("numeric_attribute", "max_negative", numeric("items", -5, -4)),
    Case("numeric_attribute", "zero_is_unset", numeric("items", 0, -5)),
    Case("numeric_attribute", "other_types_are_zero", numeric("mixed", -1, 1)),
    Case("numeric_attribute", "resource", numeric("replica", 2, 2)),
    Case("numeric_attribute", "invert", numeric("http.response.status_code", 500, 599, invert_match=True)),
    Case("numeric_attribute", "invert_resource", numeric("replica", 1, 1, invert_match=True)),

    Case("probabilistic", "50", chance(50)),
    Case("probabilistic", "15", chance(15)),
    Case("probabilistic", "salt", chance(50, "pepper")),
    Case("probabilistic", "33.3", chance(33.3, "ünï")),
    Case("probabilistic", "two_salts", [*chance(20, "a"), *chance(20, "b")]),

    Case("status_code", "error", [ERRORS]),
    Case("status_code", "ok", [policy("status_code", {"status_codes": ["OK"]})]),
    Case("status_code", "unset", [sub("and", policy("status_code", {"status_codes": ["UNSET"]}), HALF)]),
    Case("status_code", "two", [policy("status_code", {"status_codes": ["ERROR", "OK"]})]),

    Case("string_attribute", "two_values", text("tier", "gold", "twice", "")),
    Case("string_attribute", "resource", text("tenant", "a")),
    Case("string_attribute", "regex", text("http.route", "^/cart", "ü", enabled_regex_matching=True, cache_max_size=2)),
    Case("string_attribute", "invert", text("tier", "tin", invert_match=True)),
    Case("string_attribute", "invert_regex", text("tenant", "^[ab]$", enabled_regex_matching=True, invert_match=True)),
    Case("string_attribute", "empty_resource", text("tenant", "^$", enabled_regex_matching=True)),
    Case("string_attribute", "empty_span", text("empty", "^$", enabled_regex_matching=True) + [GOLD]),
    Case("string_attribute", "other_types", text("mixed", "^$|^t", enabled_regex_matching=True)),
    Case("string_attribute", "no_such_key_inverted", [sub("and", *text("absent", "x", invert_match=True), SILVER)]),

    Case("boolean_attribute", "true", truth("retry", True)),
    Case("boolean_attribute", "resource", truth("canary", True)),
    Case("boolean_attribute", "invert", truth("retry", True, invert_match=True)),
    Case("boolean_attribute", "other_types_are_false", truth("mixed", False)),

    Case("trace_state", "vendor", [policy("trace_state", {"key": "vendor", "values": ["one", "three"]})]),
    Case("trace_state", "two", [policy("trace_state", {"key": "vendor", "values": ["two", "one"]})]),
    Case("trace_state", "tenant", [policy("trace_state", {"key": "tenant@acme", "values": ["gold", ""]}), SILVER]),
    Case("trace_state", "ot", [policy("trace_state", {"key": "ot", "values": ["th:8", "th:4;rv:c0ffee00c0ffee", "th:xyz"]})]),
    Case("trace_state", "empty_value", [policy("trace_state", {"key": "a", "values": ["", "1"]}), RETRY]),

    Case("trace_flags", "sampled", [policy("trace_flags")]),
    Case("trace_flags", "not", [no(policy("trace_flags"))]),
    Case("trace_flags", "and", [sub("and", policy("trace_flags"), HALF)]),
    Case("trace_flags", "drop", [ALWAYS, sub("drop", policy("trace_flags"))]),

    Case("ottl_condition", "span", asks('attributes["tier"] == "gold"', 'attributes["http.response.status_code"] >= 500 and status.code == STATUS_CODE_ERROR')),
    Case("ottl_condition", "resource_and_name", asks('IsMatch(resource.attributes["tenant"], "^[ab]$") and IsMatch(span.name, "^GET /(cart|pay)")')),
    Case("ottl_condition", "events_io", asks(events=['name == "exception" and attributes["exception.type"] == "IO"', 'spanevent.attributes["attempt"] == 3'])),
    Case("ottl_condition", "both_attributes", asks('attributes["retry"] == true and attributes["items"] > 0', 'IsString(attributes["mixed"])', events=['IsMatch(spanevent.name, "^ret")'])),
    Case("ottl_condition", "default_mode", asks(SHORT, 'attributes["retry"] == true')),
    Case("ottl_condition", "ignore", asks(SHORT, 'attributes["retry"] == true', error_mode="ignore")),
    Case("ottl_condition", "propagate", asks(SHORT, 'attributes["retry"] == true', error_mode="propagate")),
    Case("ottl_condition", "propagate_inside", [sub("drop", asks(SHORT, error_mode="propagate")[0]), no(asks('attributes["items"] > 4', SHORT, error_mode="propagate")[0])]),
    Case("ottl_condition", "root_and_time", asks('IsRootSpan() and end_time_unix_nano - start_time_unix_nano > 500000000')),
    Case("ottl_condition", "types_mixed", asks('attributes["mixed"] == 7 or attributes["mixed"] == true or Int(attributes["items"]) == 5 and trace_state["vendor"] != nil')),
    Case("rate_limiting", "burst", [policy("rate_limiting", {"spans_per_second": 10, "burst_capacity": 4000})], judge=bucket("spans", 4000, 10)),
    Case("rate_limiting", "burst_default", [policy("rate_limiting", {"spans_per_second": 2500})], judge=bucket("spans", 5000, 2500)),
    Case("rate_limiting", "small_burst", [policy("rate_limiting", {"spans_per_second": 10**9, "burst_capacity": 4})], judge=larger_never("spans", 4)),
    Case("rate_limiting", "never_empty", [sub("and", policy("rate_limiting", {"spans_per_second": 10**6, "burst_capacity": 10**9}), GOLD)]),

    Case("bytes_limiting", "burst", [policy("bytes_limiting", {"bytes_per_second": 1000, "burst_capacity": 2_000_000})], judge=bucket("bytes", 2_000_000, 1000)),
    Case("bytes_limiting", "burst_default", [policy("bytes_limiting", {"bytes_per_second": 1_000_000})], judge=bucket("bytes", 2_000_000, 1_000_000)),
    Case("bytes_limiting", "small_burst", [policy("bytes_limiting", {"bytes_per_second": 10**12, "burst_capacity": 1500})], judge=larger_never("bytes", 1500)),
    Case("bytes_limiting", "never_empty", [sub("and", policy("bytes_limiting", {"bytes_per_second": 10**9, "burst_capacity": 10**12}), GOLD)]),

    Case("span_count", "min", [policy("span_count", {"min_spans": 6})]),
    Case("span_count", "range", [SMALL]),
    Case("span_count", "one", [policy("span_count", {"min_spans": 2, "max_spans": 3})]),
    Case("span_count", "large", [policy("span_count", {"min_spans": 3, "max_spans": 300}), policy("latency", {"threshold_ms": 5000})]),

    Case("ottl_condition", "attributes", ottl(['span.attributes["tier"] == "gold"', 'span.attributes["http.response.status_code"] >= 500 and span.kind == SPAN_KIND_SERVER'])),
    Case("ottl_condition", "resource", ottl(['resource.attributes["tenant"] == "a" or resource.attributes["service.name"] == "mail"'])),
    Case("ottl_condition", "events", ottl(events=['spanevent.name == "exception" and spanevent.attributes["exception.type"] != "Oops"'])),
    Case("ottl_condition", "both", ottl(['span.status.code == STATUS_CODE_ERROR and span.attributes["retry"] == true'], ['spanevent.attributes["attempt"] > 2'])),
    Case("ottl_condition", "functions", ottl(['IsMatch(span.name, "^(GET|POST) /cart")', 'Len(span.name) > 9'])),
    Case("ottl_condition", "not", ottl(['not (span.attributes["load"] < 0.8) and IsString(span.attributes["tier"])'])),
    Case("ottl_condition", "null", ottl(['span.attributes["mixed"] != nil and span.attributes["none"] == nil'])),
    Case("ottl_condition", "times", ottl(['span.end_time_unix_nano - span.start_time_unix_nano > 500000000'])),
    Case("ottl_condition", "ids", ottl(['IsRootSpan() and span.trace_state["vendor"] == "one"', 'instrumentation_scope.version == "1.2" and span.dropped_attributes_count == 3'])),
    Case("ottl_condition", "strings", ottl(['Concat([span.attributes["tier"], resource.attributes["tenant"]], "-") == "gold-a"', 'Split(span.name, "/")[1] == "pay"'])),
    Case("ottl_condition", "case", ottl(['ToUpperCase(span.attributes["tier"]) == "GOLD" and Substring(span.name, 0, 3) != "GET"', 'HasSuffix(span.name, "{id}")'])),
    Case("ottl_condition", "numbers", ottl(['Double(span.attributes["items"]) * 2.5 - 1 > 9', 'Int(span.attributes["load"]) == 1 or String(span.attributes["items"]) == "-5"'])),
    Case("ottl_condition", "hash", ottl(['SHA256(span.attributes["tier"]) == "5a4ae4fe9ccb7e40ba8bcf5ac40f4faee3e97a45b9ad4d4f4e7a1aa2b0c4f3f0" or FNV(span.attributes["tier"]) == FNV("tin")'])),
    Case("ottl_condition", "id_text", ottl(['span.trace_id.string < "8" and span.trace_id.string > "0"', 'span.parent_span_id == SpanID(0x0707070707070707)'])),
    Case("ottl_condition", "inside", ottl(['span.attributes["map"]["k"] == "v" and span.attributes["list"][1] == 1', 'resource.attributes["limits"]["cpu"] == 2 and resource.attributes["zones"][0] == "us"'])),
    Case("ottl_condition", "clock", ottl(['UnixMilli(span.start_time) > 1764000020000 and span.start_time < Time("2025-11-24T17:30:00Z", "%Y-%m-%dT%H:%M:%SZ")'])),
    Case("ottl_condition", "duration", ottl(['span.end_time - span.start_time > Duration("700ms")', 'Milliseconds(span.end_time - span.start_time) == 99'])),
    Case("ottl_condition", "types", ottl(['IsMap(resource.attributes["limits"]) and resource.attributes["raw"] == 0x0102', 'IsBool(span.attributes["mixed"]) or IsDouble(span.attributes["mixed"])'])),
    Case("ottl_condition", "words", ottl(['span.kind.string == "Server" and span.status.message == "failed"', 'span.flags == 257 and span.kind == SPAN_KIND_CLIENT'])),
    Case("ottl_condition", "event_and_span", ottl(events=['spanevent.attributes["attempt"] == span.attributes["items"]', 'spanevent.time == span.start_time and resource.attributes["tenant"] == "b"'])),
    Case("ottl_condition", "json", ottl(['ParseJSON("{\\"a\\": [1, {\\"b\\": \\"gold\\"}]}")["a"][1]["b"] == span.attributes["tier"]'])),
    Case("ottl_condition", "error_ignored", ottl(['span.attributes["mixed"] != nil and HasPrefix(span.attributes["mixed"], "no")', 'span.attributes["items"] == 5'], error_mode="ignore")),
    Case("ottl_condition", "error_propagated", ottl(['span.attributes["mixed"] != nil and HasPrefix(span.attributes["mixed"], "no")', 'span.attributes["items"] == 5'], error_mode="propagate")),
    Case("ottl_condition", "error_and_next", ottl(['span.attributes["mixed"] != nil and HasPrefix(span.attributes["mixed"], "no")'], error_mode="propagate") + [LATENCY, no(GOLD)]),

    Case("and", "two", [sub("and", LATENCY, RETRY)]),
    Case("and", "three", [sub("and", policy("latency", {"threshold_ms": 100}), SMALL, HALF)]),
    Case("and", "not_inside", [sub("and", LATENCY, no(ERRORS))]),
    Case("and", "or", [sub("and", ERRORS, SERVER_ERRORS), sub("and", GOLD, HALF)]),

    Case("not", "latency", [no(LATENCY)]),
    Case("not", "string", [no(GOLD)]),
    Case("not", "probabilistic", [no(HALF)]),
    Case("not", "error", [no(ERRORS)]),
    Case("not", "inverted", [no(*text("tier", "tin", invert_match=True))]),

    Case("drop", "over_sample", [LATENCY, sub("drop", RETRY), GOLD]),
    Case("drop", "two", [ALWAYS, sub("drop", policy("latency", {"threshold_ms": 100}), HALF)]),
    Case("drop", "not_inside", [ALWAYS, sub("drop", no(ERRORS), no(GOLD))]),
    Case("drop", "last_of_list", [LATENCY, GOLD, sub("drop", policy("span_count", {"min_spans": 1, "max_spans": 2})), sub("drop", SERVER_ERRORS)]),
    Case("drop", "over_not", [no(LATENCY), sub("drop", GOLD)]),

    Case("composite", "never_full", [composite(10**9, [0, 1], [(0, 50), (1, 50)], LATENCY, GOLD)], ours=AS_THEIRS),
    Case("composite", "order_is_of_the_list", [composite(10**9, [1, 0], [(0, 50), (1, 50)], ERRORS, sub("and", SILVER, HALF))], ours=AS_THEIRS),
    Case("composite", "unlisted_has_nothing", [composite(10**9, [0, 1], [(1, 50)], GOLD, LATENCY)], ours=AS_THEIRS),
    Case("composite", "fall_through", [composite(10**9, [0, 1], [(1, 50)], GOLD, LATENCY)], meant="latency/500ms"),
    Case("composite", "percent_zero_is_a_share", [composite(10**9, [0, 1], [(0, 0), (1, 0)], GOLD, RETRY)]),
    Case("composite", "full", [composite(4000, [0, 1], [(0, 50), (1, 50)], LATENCY, ALWAYS)], ours=AS_THEIRS, judge=per_second([2000, 2000])),

    Case("precedence", "drop_before_all", [ALWAYS, no(GOLD), sub("drop", GOLD, LATENCY)]),
    Case("precedence", "invert_and_sample", [GOLD, *text("tenant", "a", invert_match=True)]),
    Case("precedence", "first_match", [LATENCY, ERRORS, *chance(5)], {"sample_on_first_match": True}),
    Case("strategy", "span_ingest_error", [ERRORS], INGEST),
    Case("strategy", "span_ingest_and", [sub("and", LATENCY, RETRY), SERVER_ERRORS], INGEST),
    Case("strategy", "span_ingest_usual", [LATENCY, ERRORS, *chance(10)], INGEST),
    Case("strategy", "span_ingest_not", [sub("and", no(GOLD), *truth("retry", True, invert_match=True))], INGEST),
    Case("strategy", "maximum_trace_size", [ALWAYS], {"maximum_trace_size_bytes": 1500}),

    Case("precedence", "usual", [LATENCY, ERRORS, *chance(10)]),
    Case("precedence", "all_kinds", [sub("and", GOLD, no(RETRY)), SERVER_ERRORS, *numeric("replica", 1, 1, invert_match=True), sub("drop", SMALL, HALF)]),

    Case("gates", "probabilistic", chance(50), gates=TRACE_STATE, ours={"use_trace_state": True}),
    Case("gates", "probabilistic_low", chance(25, "pepper"), gates=TRACE_STATE, ours={"use_trace_state": True}),
    Case("gates", "two_thresholds", [*chance(20), *chance(60), SILVER], gates=TRACE_STATE, ours={"use_trace_state": True}),
    Case("gates", "and", [sub("and", *chance(70), *chance(40, "x"))], gates=TRACE_STATE, ours={"use_trace_state": True}),
    Case("gates", "latency_writes_0", [LATENCY, *chance(10)], gates=TRACE_STATE, ours={"use_trace_state": True}),
    Case("gates", "drop_and_not", [sub("drop", GOLD), no(*chance(50))], gates=TRACE_STATE, ours={"use_trace_state": True}),
]


def send(port, bodies):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for body in bodies:
        connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
        response = connection.getresponse()
        equal((response.status, len(response.read()) < 16), (200, True), f"answer of {port}")  # no partial success
    connection.close()


def is_consistent(span):
    """A threshold of the trace state is not above the randomness that passed it."""
    ot = dict(part.split(":", 1) for part in span.trace_state.partition("ot=")[2].split(",")[0].split(";") if ":" in part)
    threshold, randomness = int(ot.get("th", "0").ljust(14, "0"), 16), int(ot["rv"], 16) if "rv" in ot else int.from_bytes(span.trace_id[9:], "big")
    return threshold <= randomness


def kept(path, states=None):
    """The spans in a file of format proto: {trace id: [resource, scope and span as bytes, sorted]}. states: trace states as they came, by ids
    and start, for spans that have got a threshold by which they would not have been kept: a hash kept them; the gateway writes no such."""
    out, data, at = collections.defaultdict(list), path.read_bytes(), 0
    while at < len(data):
        n = int.from_bytes(data[at:at + 4], "big")
        for where in spans_of(TracesData.FromString(data[at + 4:at + 4 + n])):
            span = where[2]
            if states and "th:" in span.trace_state and "th:xyz" not in span.trace_state and not is_consistent(span):
                span.trace_state = states[span.trace_id, span.span_id, span.start_time_unix_nano]
            out[span.trace_id].append(b"|".join(m.SerializeToString(deterministic=True) for m in where))
        at += 4 + n
    return {trace: sorted(spans) for trace, spans in out.items()}


def difference(want, got):
    """In words, of two dicts of traces, or ""."""
    less, more = want.keys() - got.keys(), got.keys() - want.keys()
    if less or more:
        return f"{len(less)} traces not kept and {len(more)} kept wrongly: {sorted(t.hex() for t in less)[:3]} {sorted(t.hex() for t in more)[:3]}"
    for trace, spans in want.items():
        if got[trace] != spans:
            a, b = collections.Counter(spans), collections.Counter(got[trace])
            return f"trace {trace.hex()}: of {len(spans)} spans: missing {list((a - b).items())[:1]}, instead {list((b - a).items())[:1]}"
    return ""

# SPDX-License-Identifier: Apache-2.0
"""The same configurations to the Collector's `validate` and to ours: the same verdict, but for the ones named below."""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from gateway import CACHE, STAUNCH, check, part  # noqa: E402

R = "receivers: {otlp: {protocols: {grpc: }}}\n"
E = "exporters: {debug: }\n"
S = "service: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n"
CASES = {
    "base": R + E + S,
    "null exporter section": R + "exporters:\n" + S,
    "no service": R + E,
    "empty": "",
    "protocols empty": "receivers: {otlp: }\n" + E + S,
    "protocols {}": "receivers: {otlp: {protocols: {}}}\n" + E + S,
    "protocols null": "receivers: {otlp: {protocols: }}\n" + E + S,
    "http null": "receivers: {otlp: {protocols: {http: }}}\n" + E + S,
    "http {}": "receivers: {otlp: {protocols: {http: {}}}}\n" + E + S,
    "grpc enabled false": "receivers: {otlp: {protocols: {grpc: {enabled: false}, http: }}}\n" + E + S,
    "unknown key": "receivers: {otlp: {protocols: {grpc: {endpiont: x}}}}\n" + E + S,
    "quoted int": "receivers: {otlp: {protocols: {grpc: {max_recv_msg_size_mib: '4'}}}}\n" + E + S,
    "env int": "receivers: {otlp: {protocols: {grpc: {max_recv_msg_size_mib: \"${env:N}\"}}}}\n" + E + S,
    "neg int": "receivers: {otlp: {protocols: {grpc: {max_recv_msg_size_mib: -4}}}}\n" + E + S,
    "verbosity upper": R + "exporters: {debug: {verbosity: Detailed}}\n" + S,
    "verbosity bad": R + "exporters: {debug: {verbosity: loud}}\n" + S,
    "duration bare": R + "exporters: {otlp_http: {endpoint: 'http://x', timeout: 5}, debug: }\n" + S,
    "duration bad": R + "exporters: {otlp_http: {endpoint: 'http://x', timeout: 5 seconds}, debug: }\n" + S,
    "otlp_http no endpoint": R + "exporters: {otlp_http: , debug: }\n" + S,
    "otlp_grpc no endpoint": R + "exporters: {otlp_grpc: , debug: }\n" + S,
    "otlp alias": R + "exporters: {otlp: {endpoint: 'x:1'}, debug: }\n" + S,
    "otlphttp alias": R + "exporters: {otlphttp: {endpoint: 'http://x'}, debug: }\n" + S,
    "queue num_consumers 0": R + "exporters: {otlp_http: {endpoint: 'http://x', sending_queue: {num_consumers: 0}}, debug: }\n" + S,
    "queue null": R + "exporters: {otlp_http: {endpoint: 'http://x', sending_queue: }, debug: }\n" + S,
    "queue enabled false bad size": R + "exporters: {otlp_http: {endpoint: 'http://x', sending_queue: {enabled: false, queue_size: 0}}, debug: }\n" + S,
    "batch {}": R + "exporters: {otlp_http: {endpoint: 'http://x', sending_queue: {batch: {}}}, debug: }\n" + S,
    "batch sizer requests": R + "exporters: {otlp_http: {endpoint: 'http://x', sending_queue: {batch: {sizer: requests}}}, debug: }\n" + S,
    "retry bad": R + "exporters: {otlp_http: {endpoint: 'http://x', retry_on_failure: {randomization_factor: 2}}, debug: }\n" + S,
    "pipeline no exporters": R + E + "service: {pipelines: {traces: {receivers: [otlp]}}}\n",
    "pipeline dup receiver": R + E + "service: {pipelines: {traces: {receivers: [otlp, otlp], exporters: [debug]}}}\n",
    "pipeline dup exporter": R + E + "service: {pipelines: {traces: {receivers: [otlp], exporters: [debug, debug]}}}\n",
    "pipeline scalar": R + E + "service: {pipelines: {traces: {receivers: otlp, exporters: debug}}}\n",
    "bad signal": R + E + "service: {pipelines: {trace: {receivers: [otlp], exporters: [debug]}}}\n",
    "signal name": R + E + "service: {pipelines: {traces/a b: {receivers: [otlp], exporters: [debug]}}}\n",
    "connector one side": R + E + "connectors: {forward: }\nservice: {pipelines: {traces: {receivers: [otlp], exporters: [debug, forward]}}}\n",
    "connector unused": R + E + "connectors: {forward: }\n" + S,
    "connector signal": R + E + "connectors: {forward: }\nservice: {pipelines: {traces: {receivers: [otlp], exporters: [forward]}, logs: {receivers: [forward], exporters: [debug]}}}\n",
    "connector ok": R + E + "connectors: {forward: }\nservice: {pipelines: {traces: {receivers: [otlp], exporters: [forward]}, traces/2: {receivers: [forward], exporters: [debug]}}}\n",
    "connector cycle": R + E + "connectors: {forward: , forward/2: }\nservice: {pipelines: {traces: {receivers: [otlp, forward/2], exporters: [forward]}, traces/2: {receivers: [forward], exporters: [debug, forward/2]}}}\n",
    "unused broken": R + E + "processors: {batch: {timout: 1}}\n" + S,
    "unused unknown type": R + E + "processors: {nope: }\n" + S,
    "ext not listed": R + E + "extensions: {health_check: }\n" + S,
    "ext unknown ref": R + E + "service: {extensions: [nope], pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n",
    "ids with slash": "receivers: {otlp/a/b: {protocols: {grpc: }}}\n" + E + "service: {pipelines: {traces: {receivers: [otlp/a/b], exporters: [debug]}}}\n",
    "id trailing slash": "receivers: {otlp/: {protocols: {grpc: }}}\n" + E + "service: {pipelines: {traces: {receivers: [otlp/], exporters: [debug]}}}\n",
    "root unknown": R + E + S + "foo: 1\n",
    "service unknown": R + E + "service: {foo: 1, pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n",
    "telemetry address": R + E + "service: {telemetry: {metrics: {address: ':8888'}}, pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n",
    "telemetry level": R + E + "service: {telemetry: {metrics: {level: loud}}, pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n",
    "telemetry logs": R + E + "service: {telemetry: {logs: {level: DEBUG, encoding: json, initial_fields: {a: b}, sampling: {enabled: false}, output_paths: [stdout]}}, pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n",
    "telemetry resource": R + E + "service: {telemetry: {resource: {service.name: x, a: }}, pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n",
    "telemetry readers": R + E + "service: {telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {host: h, port: 1}}}}]}}, pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n",
    "telemetry reader v1": R + E + "service: {telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {host: h, port: 1, with_resource_constant_labels: {included: [a]}}}}}]}}, pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n",
    "telemetry traces": R + E + "service: {telemetry: {traces: {level: none, propagators: [tracecontext]}}, pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n",
    "dup keys": R + R + E + S,
    "anchor": "x: &a {endpoint: 'h:1'}\n" + R + E + S,
    "merge key": "receivers: {otlp: {protocols: {grpc: &g {endpoint: 'h:1'}, http: {<<: *g, endpoint: 'h:2'}}}}\n" + E + S,
    "env unset string": "receivers: {otlp: {protocols: {grpc: {endpoint: \"${env:NOPE}\"}}}}\n" + E + S,
    "env unset int": "receivers: {otlp: {protocols: {grpc: {max_recv_msg_size_mib: \"${env:NOPE}\"}}}}\n" + E + S,
    "env bad name": "receivers: {otlp: {protocols: {grpc: {endpoint: \"${env:A-B}\"}}}}\n" + E + S,
    "flattened": "receivers::otlp::protocols::grpc::endpoint: h:1\n" + E + S,
    "bool yes": R + "exporters: {debug: {use_internal_logger: yes}}\n" + S,
    "headers list": R + "exporters: {otlp_http: {endpoint: 'http://x', headers: [{name: a, value: b}]}, debug: }\n" + S,
    "headers int": R + "exporters: {otlp_http: {endpoint: 'http://x', headers: {a: 1}}, debug: }\n" + S,
    "cors": "receivers: {otlp: {protocols: {http: {cors: {allowed_origins: '*, http://x'}}}}}\n" + E + S,
    "tls missing file": "receivers: {otlp: {protocols: {grpc: {tls: {cert_file: /nope, key_file: /nope}}}}}\n" + E + S,
    "tls half": "receivers: {otlp: {protocols: {grpc: {tls: {cert_file: /nope}}}}}\n" + E + S,
    "profiles": R + E + "service: {pipelines: {profiles: {receivers: [otlp], exporters: [debug]}}}\n",
    "auth unknown": "receivers: {otlp: {protocols: {grpc: {auth: {authenticator: nope}}}}}\n" + E + S,
    "two docs": R + E + S + "---\nfoo: 1\n",
    "no pipelines": R + E + "service: {pipelines: {}}\n",
    "list root": "- a\n",
}
# case: ours is valid. A difference that is not listed here is a failure, and so is a listed one that is gone.
DIFFERENT = {
    "quoted int": True,  # we read what can only mean one thing
    "pipeline scalar": True,
    "headers int": True,
    "signal name": True,
    "telemetry address": True,  # older files have it: read with a warning
    "queue enabled false bad size": False,  # we check what is switched off, too
    "auth unknown": False,  # the Collector finds out when it starts
}


def verdict(program, file):
    env = dict(os.environ, N="4")
    env.pop("NOPE", None)
    r = subprocess.run([program, "validate", f"--config={file}"], capture_output=True, text=True, env=env)
    check(r.returncode in (0, 1, 78), f"{program} ended with {r.returncode}: {r.stderr}")
    return r.returncode == 0


part("otelcol.sh", "install")
wrong = []
for name, text in CASES.items():
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
        f.write(text)
        f.flush()
        theirs, ours = verdict(str(CACHE / "bin/real-otelcol"), f.name), verdict(STAUNCH, f.name)
    want = DIFFERENT[name] if name in DIFFERENT else theirs
    if ours != want or (name in DIFFERENT and ours == theirs):
        wrong.append(f"{name}: the Collector says {theirs}, we {ours}")
check(not wrong, "; ".join(wrong))
print(f"{len(CASES)} configurations, {len(CASES) - len(DIFFERENT)} verdicts alike, {len(DIFFERENT)} different on purpose")

# SPDX-License-Identifier: Apache-2.0
"""The kafka exporter and brokers that ask who is there: mutual TLS, and over TLS the logins PLAIN, SCRAM-SHA-256, SCRAM-SHA-512
and OAUTHBEARER, whose tokens are short-lived. (SCRAM at a broker of 3.9: from 4.0 on it takes a librdkafka of 2.6.1 or later.) Then what goes wrong: a wrong password, a user who comes later, a CA that we do not
trust, another host's certificate, no client certificate and an expired one, a token that the broker does not take. Each is said in
the log with the broker's name, counted, and nothing is lost: what can be put right is put right, and the data arrives.
"""
import base64
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from gateway import *  # noqa: E402,F403

MTLS, SASL, NAMED = 27292, 27293, 27294  # ports of the listeners beside the plain one
OLD, OLD_SASL = 27392, 27592  # the older broker's
LIBRDKAFKA = tuple(int(x) for x in re.search(r"librdkafka (\d+)\.(\d+)\.(\d+)", subprocess.run(["kcat", "-V"], capture_output=True, text=True).stdout).groups())
D = Certificates()


# ---- certificates, tokens, the broker

def make_certificates():
    D.make("broker")
    D.make("elsewhere", san="DNS:elsewhere.example")
    D.make("client")
    D.make("expired", days=-1)
    shutil.copy(D / "other.pem", D / "trusted-later.pem")


def token(seconds, user="alice"):
    """An unsigned JSON Web Token, as Kafka's own validator for tests takes it."""
    now = time.time()
    part_of = lambda d: base64.urlsafe_b64encode(json.dumps(d).encode()).rstrip(b"=").decode()
    return f'{part_of({"alg": "none"})}.{part_of({"sub": user, "iat": now, "exp": now + seconds})}.'


def broker_settings(plain, controller, listeners, mechanisms):
    """listeners: {name: (protocol, port)}."""
    all_of = {"PLAINTEXT": ("PLAINTEXT", plain), "CONTROLLER": ("PLAINTEXT", controller), **listeners}
    at = {name: f"{name}://{'localhost' if name in listeners else '127.0.0.1'}:{port}" for name, (_, port) in all_of.items()}
    lines = [
        f"listeners={','.join(at.values())}",
        f"advertised.listeners={','.join(a for name, a in at.items() if name != 'CONTROLLER')}",
        f"listener.security.protocol.map={','.join(f'{name}:{protocol}' for name, (protocol, _) in all_of.items())}",
        "ssl.keystore.type=PEM", f"ssl.keystore.location={D / 'broker.both'}", "ssl.truststore.type=PEM", f"ssl.truststore.location={D / 'ca.pem'}",
        "listener.name.ssl.ssl.client.auth=required",
        "listener.name.named.ssl.keystore.type=PEM", f"listener.name.named.ssl.keystore.location={D / 'elsewhere.both'}",
        f"listener.name.sasl_ssl.sasl.enabled.mechanisms={','.join(mechanisms)}",
        "listener.name.sasl_ssl.oauthbearer.connections.max.reauth.ms=60000"]
    modules = {"PLAIN": 'plain.PlainLoginModule required user_alice="wonder"',
               "SCRAM-SHA-256": "scram.ScramLoginModule required", "SCRAM-SHA-512": "scram.ScramLoginModule required",
               "OAUTHBEARER": 'oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker"'}
    lines += [f"listener.name.sasl_ssl.{m.lower()}.sasl.jaas.config=org.apache.kafka.common.security.{modules[m]};" for m in mechanisms]
    return "\n".join(lines)


SCRAM = ["SCRAM-SHA-256", "SCRAM-SHA-512"]
USERS = " ".join(f"--add-scram {m}=[name=alice,password=wonder]" for m in SCRAM)


@contextlib.contextmanager
def older_broker():
    env = {"KAFKA_VERSION": "3.9.1", "KAFKA_PORT": str(OLD), "REAL_RUN": str(RUN / "older"), "KAFKA_FORMAT": USERS,
           "KAFKA_EXTRA": broker_settings(OLD, OLD + 100, {"SASL_SSL": ("SASL_SSL", OLD_SASL)}, SCRAM)}
    part("kafka.sh", "wipe", env=env)
    part("kafka.sh", "start", env=env)
    try:
        yield lambda name, word: part("kafka.sh", "configs", "--alter", "--entity-type", "users", "--entity-name", name, "--add-config",
                                      f"SCRAM-SHA-512=[password={word}]", env=env)
    finally:
        part("kafka.sh", "wipe", env=env)


# ---- the ways

CA, CLIENT = {"ca_file": str(D / "ca.pem")}, {"cert_file": str(D / "client.pem"), "key_file": str(D / "client.key")}
login = lambda mechanism, user="alice", word="wonder": {"sasl": {"mechanism": mechanism, "username": user, "password": word}}
bearer = lambda source: {"sasl": {"mechanism": "OAUTHBEARER", "oauthbearer_token_source": f"bearertokenauth/{source}"}}
GOOD = {
    "mtls": (MTLS, {**CA, **CLIENT}, None),
    "mtls_text": (MTLS, {"ca_pem": "${file:%s}" % (D / "ca.pem"), "cert_pem": "${file:%s}" % (D / "client.pem"), "key_pem": "${file:%s}" % (D / "client.key")}, None),
    "any_name": (NAMED, {"insecure_skip_verify": True}, None),
    "plain": (SASL, CA, login("PLAIN")),
    "scram256": (OLD_SASL, CA, login("SCRAM-SHA-256")),
    "scram512": (OLD_SASL, CA, login("SCRAM-SHA-512")),
    "token": (SASL, CA, bearer("good")),
    "opaque_any_ca": (SASL, {"insecure_skip_verify": True}, login("PLAIN")),
}
# kind of the counter, words of the log beside the broker's address
BAD = {
    "password": ((SASL, CA, login("PLAIN", word="wrong")), "authentication", "Invalid username or password"),
    "later": ((OLD_SASL, CA, login("SCRAM-SHA-512", "bob", "builder")), "authentication", "invalid credentials"),
    "stranger": ((MTLS, {"ca_file": str(D / "trusted-later.pem"), **CLIENT}, None), "tls", "unable to get local issuer certificate"),
    "name": ((NAMED, CA, None), "tls", "hostname mismatch"),
    "no_cert": ((MTLS, CA, None), "tls", "the broker does not accept our certificate"),
    "expired": ((MTLS, {**CA, "cert_file": str(D / "expired.pem"), "key_file": str(D / "expired.key")}, None), "tls", "the broker does not accept our certificate"),
    "bad_token": ((SASL, CA, bearer("bad")), "authentication", "invalid_token"),
}
SCRAM_OF_TODAY = (SASL, CA, login("SCRAM-SHA-256"))
if LIBRDKAFKA < (2, 6, 1):
    BAD["scram_today"] = (SCRAM_OF_TODAY, "authentication", "only librdkafka 2.6.1 or later can log in with SCRAM")
else:
    GOOD["scram_today"] = SCRAM_OF_TODAY
MENDED = ("later", "stranger", "expired", "bad_token")


def exporter(way, topic):
    port, tls, auth = way
    return {"brokers": [f"localhost:{port}"], "tls": tls, **({"auth": auth} if auth else {}), "timeout": "2s", "traces": {"topic": topic},
            "retry_on_failure": {"initial_interval": "200ms", "max_interval": "1s", "max_elapsed_time": 0}}


def ours():
    ways = {**GOOD, **{name: way for name, (way, _, _) in BAD.items()}}
    return json.dumps({
        "extensions": {f"bearertokenauth/{n}": {"filename": str(D / f"{n}.token")} for n in ("good", "bad")},
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{HTTP}"}}}},
        "exporters": {f"kafka/{name}": exporter(way, f"auth-{name}") for name, way in ways.items()},
        "service": {"extensions": ["bearertokenauth/good", "bearertokenauth/bad"],
                    "runtime": {"drain_timeout": "2s"},
                    "telemetry": {"metrics": {"readers": [{"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": METRICS}}}}]}},
                    "pipelines": {"traces": {"receivers": ["otlp"], "exporters": [f"kafka/{n}" for n in ways]}}},
    })


def send(i):
    span = {"traceId": f"{i:032x}", "spanId": f"{i:016x}", "name": f"n{i}", "kind": 1, "startTimeUnixNano": "1", "endTimeUnixNano": "2"}
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    status, _, answer = post(f"http://127.0.0.1:{HTTP}/v1/traces", json.dumps(body).encode(), {"Content-Type": "application/json"})
    equal(status, 200, f"{answer!r}")


def arrived(name):
    port = {**GOOD, **{n: way for n, (way, _, _) in BAD.items()}}[name][0]
    try:
        return len(kafka_messages(f"127.0.0.1:{OLD if port == OLD_SASL else 27092}", f"auth-{name}"))
    except subprocess.CalledProcessError:  # no topic yet
        return 0


def errors(name, kind):
    return int(metric("staunch_kafka_errors", component=f"kafka/{name}", kind=kind))


def all_arrived(gw, names, n, seconds):
    late, end = set(names), time.monotonic() + seconds
    while late:
        late -= {name for name in late if arrived(name) >= n}
        if time.monotonic() >= end:
            check(False, f"{n} messages of each of {sorted(late)}: not within {seconds} s: {[logged(gw, name) for name in late]}")
        time.sleep(0.1)


def logged(gw, name):
    return [line for line in gw.text().splitlines() if f'"kafka/{name}"' in line]


def complaint(gw, name, words):
    """The line of the log in which this exporter names its broker and what is wrong."""
    return next((line for line in logged(gw, name) if f"localhost:{BAD[name][0][0]}" in line and words in line), None)


def play(gw, add_user, fresh):
    """fresh: when the first token ends."""
    send(1)
    all_arrived(gw, GOOD, 1, 40)
    print("kafka_auth: every right way is open", flush=True)
    for name, (_, kind, words) in BAD.items():
        said = lambda: f"{name}: {kind} error, '{words}': {logged(gw, name)}"
        wait_for(said, 20, lambda: errors(name, kind) > 0 and complaint(gw, name, words))
        print(f"kafka_auth: {name}: {complaint(gw, name, words)[:300]}", flush=True)
        equal(metric("staunch_dropped_items", component=f"kafka/{name}"), 0, f"{name}: dropped")

    # The broker ends a login with its token: the next one must be a token of today.
    (D / "good.token").write_text(token(3600))
    add_user("bob", "builder")
    shutil.copy(D / "ca.pem", D / "trusted-later.pem")
    D.make("expired")
    (D / "bad.token").write_text(token(3600))
    all_arrived(gw, MENDED, 1, 40)
    print(f"kafka_auth: arrived when it was put right: {', '.join(MENDED)}", flush=True)
    wait_for("the first token's end", 20, lambda: time.monotonic() > fresh)
    send(2)
    all_arrived(gw, [*GOOD, *MENDED], 2, 20)
    equal(errors("token", "authentication"), 0, "refused tokens, of those that were renewed in time")
    gw.stop()
    check("wonder" not in gw.text() and "builder" not in gw.text(), "a password stands in the log")
    stuck = [n for n in BAD if n not in MENDED]
    equal({n: arrived(n) for n in stuck}, {n: 0 for n in stuck}, "what was never put right")


def main():
    make_certificates()
    (D / "bad.token").write_text("nobody-knows-this-token")
    os.environ["KAFKA_EXTRA"] = broker_settings(27092, 27192, {"SSL": ("SSL", MTLS), "SASL_SSL": ("SASL_SSL", SASL), "NAMED": ("SSL", NAMED)},
                                                ["PLAIN", *SCRAM, "OAUTHBEARER"])
    os.environ["KAFKA_FORMAT"] = USERS
    with older_broker() as add_user, kafka():
        (D / "good.token").write_text(token(15))
        fresh = time.monotonic() + 15
        with Gateway(ours(), ports=(HTTP,)) as gw:
            play(gw, add_user, fresh)
    print("kafka_auth: all ways as they should be")


try:
    main()
finally:
    D.remove()

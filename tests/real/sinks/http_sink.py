# SPDX-License-Identifier: Apache-2.0
"""A server on a port of its own that records what is posted to it and answers as a test says, path by path.

    sink.script("/a", Answer(429, {"Retry-After": "1"}), Answer(500), OK)   these in turn, then what the sink answers by itself
    sink.script("/a", rule)                                                 rule(request) gives an Answer, or None: by itself
"""
import dataclasses
import http.server
import socket
import threading
import time


@dataclasses.dataclass
class Answer:
    status: int = 0  # 0: what the sink answers by itself
    headers: dict = dataclasses.field(default_factory=dict)
    body: bytes = b""
    delay: float = 0.0     # seconds until it answers
    store: bool = None     # whether the content counts as applied; by default, of a 2xx alone
    stall: bool = False    # no answer, as long as the sink lives
    close: bool = False    # the connection ends without an answer
    raw: bytes = None      # these bytes, and the connection ends

    def stored(self):
        return self.store if self.store is not None else not self.stall and not self.close and self.raw is None and self.status // 100 == 2


OK = Answer()


@dataclasses.dataclass
class Request:
    path: str
    query: str
    headers: dict      # names in lower case
    body: bytes
    number: int        # of this path, from 0
    client: tuple      # address and port
    at: float          # when it had arrived
    answer: Answer = None
    data: object = None  # what the sink made of the body


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 120

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_message(self, *_):
        pass

    def read_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        out = b""
        while n := int(self.rfile.readline().split(b";")[0], 16):
            out += self.rfile.read(n)
            self.rfile.readline()
        self.rfile.readline()
        return out

    def reply(self, a):
        text = f"HTTP/1.1 {a.status} Status\r\n" + "".join(f"{k}: {v}\r\n" for k, v in a.headers.items())
        if a.status != 204:
            text += f"Content-Length: {len(a.body)}\r\n"
        self.wfile.write(text.encode() + b"\r\n" + a.body)
        self.wfile.flush()

    def handle_one(self):
        sink = self.server.sink
        body = self.read_body()
        path, _, query = self.path.partition("?")
        request, a = sink.take(self.command, path, query, {k.lower(): v for k, v in self.headers.items()}, body, self.client_address)
        if a.delay:
            sink.ended.wait(a.delay)
        if a.stall:
            sink.ended.wait()
        if request:
            sink.settle(request)
        if a.stall or a.close or a.raw is not None:
            self.wfile.write(a.raw or b"")
            self.wfile.flush()
            self.close_connection = True
            return
        self.reply(a)

    do_GET = do_HEAD = do_POST = do_PUT = handle_one


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_):
        pass  # clients go as they like


class HttpSink:
    """read(request) gives request.data and own(request) the answer of a sink that is well; a subclass fills them in."""

    def __init__(self, port=0):
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.requests = []  # as they were answered
        self.scripts, self.counts = {}, {}
        self.server = Server(("127.0.0.1", port), Handler)
        self.server.sink = self
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.port}{path}"

    def script(self, path, *answers):
        with self.lock:
            self.scripts[path] = answers[0] if len(answers) == 1 and callable(answers[0]) else list(answers)

    def read(self, request):
        return None

    def own(self, request):
        return Answer(200)

    def get(self, path, command):
        return Answer(200)

    def take(self, command, path, query, headers, body, client):
        if command != "POST":
            return None, self.get(path, command)
        with self.lock:
            number = self.counts[path] = self.counts.get(path, -1) + 1
        request = Request(path, query, headers, body, number, client, time.monotonic())
        request.data = self.read(request)
        with self.lock:
            script = self.scripts.get(path)
            a = script.pop(0) if isinstance(script, list) and script else None
        if callable(script):
            a = script(request)
        plain = a is None or (a.status == 0 and not (a.stall or a.close or a.raw is not None))
        if plain or a.store:
            own = self.own(request)
        if plain:
            a = dataclasses.replace(own, delay=a.delay, store=a.store, headers={**own.headers, **a.headers}) if a else own
        request.answer = a
        return request, a

    def settle(self, request):
        with self.lock:
            self.requests.append(request)

    def of(self, path, stored=True):
        """The requests of a path in the order in which they were applied."""
        with self.lock:
            return [r for r in self.requests if r.path == path and (not stored or r.answer.stored())]

    def stop(self):
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

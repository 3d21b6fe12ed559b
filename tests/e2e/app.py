# SPDX-License-Identifier: MIT
"""The applications that the tests put to sleep. They know nothing of doze.

usage: app.py [--trap STATUS] SERVICE...

Several services may be in one process. http:PORT is an HTTP/1.1 server with keep-alive, bound to
every address of both families; http:PORT@ADDRESS is bound to that one alone:
  GET  /          200, and who asks: {"client": "192.0.2.1", "pid": 17}
  GET  /healthz   503 during the first 300 ms after the start and after every thaw, then 200
  GET  /once      200 the first time, 503 ever after: an application that never gets ready again
  GET  /exit/7    200, then the process exits with 7
  POST /upload    200, and what came: {"length": 1048576, "sha256": "..."}
  GET  /compute/7   200, after seven seconds in steps of 10 ms, each of which has to be run
  GET  /big/7       200, and seven MiB of zeros
  GET  /drip/7      200, and a byte at once and each 300 ms: seven of them
  GET  /burn/7      200, and a byte at once; then seven seconds of computing, and a byte
  GET  /work/7      200, and a byte at once; after a second seven seconds of computing, as the
                    clock has it, with a byte each 300 ms
  GET  /ask/9091/7  200, and a byte at once; then a byte when 127.0.0.1:9091 has answered /compute/7

echo:PORT sends every byte back. banner:PORT speaks first: "hello\n", then it echoes.
ticker:PORT sends a byte at once and each 300 ms, for as long as anybody is there.
lazy:PORT accepts, and never reads. brief:PORT is as http, and closes a connection that has been
silent for a second. udp:PORT sends every datagram back.

--trap STATUS: SIGTERM, SIGINT and SIGHUP are each reported on stdout; when no more of them come,
the process exits with STATUS.
"""
import contextlib
import hashlib
import json
import os
import signal
import socket
import sys
import threading
import time

UNREADY_S = 0.3
TICK_S = 0.02
THAW_GAP_S = 0.08  # nobody else stops us for that long, and being unready once more does no harm
LAST_SIGNAL_S = 0.2
STEP_S = 0.01
DRIP_S = 0.3
BRIEF_S = 1
MIB = 1 << 20
BACKLOG = 1024
REASONS = {200: "OK", 404: "Not Found", 503: "Service Unavailable"}


class Readiness:
    """Tells a thaw from the gap that it leaves in the clock."""

    def __init__(self):
        self.lock = threading.Lock()
        self.seen_s = self.awake_s = time.monotonic()

    def is_ready(self):
        with self.lock:
            now_s = time.monotonic()
            if now_s - self.seen_s > THAW_GAP_S:
                self.awake_s = now_s
            self.seen_s = now_s
            return now_s - self.awake_s > UNREADY_S

    def tick_for_ever(self):
        while True:
            self.is_ready()
            time.sleep(TICK_S)


readiness = Readiness()
once = threading.Semaphore(1)


def answer(method, path, body, peer):
    if method == "POST" and path == "/upload":
        return 200, {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    if path == "/healthz":
        return (200 if readiness.is_ready() else 503), {}
    if path == "/once":
        return (200 if once.acquire(blocking=False) else 503), {}
    if path.startswith("/compute/"):
        return 200, {"steps": compute(int(path.removeprefix("/compute/")))}
    if path == "/" or path.startswith("/exit/"):
        return 200, {"client": peer.removeprefix("::ffff:"), "pid": os.getpid()}
    return 404, {}


def compute(seconds):
    steps = round(seconds / STEP_S)
    for _ in range(steps):
        time.sleep(STEP_S)
    return steps


def burn(seconds):
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        sum(range(10000))


def work(connection, seconds):
    """Its length is not known before."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n.")
    time.sleep(1)
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        burn(DRIP_S)
        connection.sendall(b".")


def ask(port, seconds):
    with socket.create_connection(("127.0.0.1", port)) as upstream:
        upstream.sendall(b"GET /compute/%d HTTP/1.1\r\nConnection: close\r\n\r\n" % seconds)
        while upstream.recv(4096):
            pass


def begin_early(connection, kind, numbers):
    """What packets tell is that it was answered."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n.")
    {"burn": burn, "ask": ask}[kind](*numbers)
    connection.sendall(b".")


def stream(connection, path):
    """An answer that takes its time; False: it is not such a path."""
    kind, _, number = path.removeprefix("/").partition("/")
    if kind in ("burn", "ask"):
        begin_early(connection, kind, [int(text) for text in number.split("/")])
        return True
    if kind == "work":
        work(connection, int(number))
        connection.shutdown(socket.SHUT_WR)
        return True
    if kind not in ("big", "drip"):
        return False
    length = int(number) * (MIB if kind == "big" else 1)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
    for left in range(int(number), 0, -1):
        connection.sendall(bytes(MIB) if kind == "big" else b".")
        if kind == "drip" and left > 1:
            time.sleep(DRIP_S)
    return True


def read_request(file):
    """The method, the path, the body, and whether it is the last one; None at the end."""
    line = file.readline()
    if not line:
        return None
    method, path, _ = line.decode().split(" ", 2)
    length, is_last = 0, False
    while (header := file.readline()) not in (b"\r\n", b""):
        name, value = header.decode().split(":", 1)
        if name.lower() == "content-length":
            length = int(value)
        if name.lower() == "connection":
            is_last = value.strip().lower() == "close"
    return method, path, file.read(length), is_last


def send_json(connection, status, content):
    text = json.dumps(content).encode()
    connection.sendall(b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n"
                       b"Content-Length: %d\r\n\r\n%s"
                       % (status, REASONS[status].encode(), len(text), text))


def talk_http(connection, peer):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    file = connection.makefile("rb")
    while (request := read_request(file)) is not None:
        method, path, body, is_last = request
        if not stream(connection, path):
            send_json(connection, *answer(method, path, body, peer))
        if path.startswith("/exit/"):
            os._exit(int(path.removeprefix("/exit/")))
        if is_last:
            break
    connection.close()


def talk_http_quietly(connection, peer):
    try:
        talk_http(connection, peer)
    except (OSError, ValueError):
        connection.close()  # a client that went away in the middle


def listen(port, address):
    if not address:
        return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True,
                                    backlog=BACKLOG)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, port), family=family, backlog=BACKLOG)


def serve_http(listener, silence_s=None):
    while True:
        connection, peer = listener.accept()
        connection.settimeout(silence_s)
        start_thread(talk_http_quietly, connection, peer[0])


def serve_briefly(listener):
    serve_http(listener, BRIEF_S)


def talk_echo(connection, greeting):
    with contextlib.suppress(OSError):
        connection.sendall(greeting)
        while data := connection.recv(65536):
            connection.sendall(data)
    connection.close()


def serve_echo(listener, greeting=b""):
    while True:
        start_thread(talk_echo, listener.accept()[0], greeting)


def serve_banner(listener):
    serve_echo(listener, b"hello\n")


def talk_ticks(connection):
    with contextlib.suppress(OSError), connection:
        while True:
            connection.sendall(b".")
            time.sleep(DRIP_S)


def serve_ticker(listener):
    while True:
        start_thread(talk_ticks, listener.accept()[0])


def serve_lazily(listener):
    kept = []
    while True:
        kept.append(listener.accept()[0])


def bind_udp(port, _):
    server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.bind(("::", port))
    return server


def serve_udp(server):
    while True:
        data, peer = server.recvfrom(65536)
        server.sendto(data, peer)


SERVICES = {"http": (listen, serve_http), "echo": (listen, serve_echo),
            "banner": (listen, serve_banner), "lazy": (listen, serve_lazily),
            "ticker": (listen, serve_ticker), "brief": (listen, serve_briefly), "udp": (bind_udp, serve_udp)}


def open_service(argument):
    protocol, where = argument.split(":", 1)
    port, _, address = where.partition("@")
    open_socket, serve = SERVICES[protocol]
    return serve, open_socket(int(port), address)


def start_thread(function, *arguments):
    threading.Thread(target=function, args=arguments, daemon=True).start()


def report_signals(trapped, status):
    number = signal.sigwait(trapped)
    while number is not None:
        print(f"signal {int(number)}", flush=True)
        more = signal.sigtimedwait(trapped, LAST_SIGNAL_S)
        number = more.si_signo if more else None
    os._exit(status)


def main(arguments):
    trapped, status = set(), 0
    if arguments[0] == "--trap":
        trapped, status = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}, int(arguments[1])
        arguments = arguments[2:]
    else:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, trapped)
    start_thread(readiness.tick_for_ever)
    # In the order given: who can connect to the last service knows that all are there.
    services = [open_service(argument) for argument in arguments]
    print("serving", flush=True)
    for serve, sock in services:
        start_thread(serve, sock)
    if trapped:
        report_signals(trapped, status)
    while True:
        signal.pause()


if __name__ == "__main__":
    main(sys.argv[1:])

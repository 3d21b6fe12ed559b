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

udp:PORT sends every datagram back.

--trap STATUS: SIGTERM, SIGINT and SIGHUP are each reported on stdout; when no more of them come,
the process exits with STATUS.
"""
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
    if path == "/" or path.startswith("/exit/"):
        return 200, {"client": peer.removeprefix("::ffff:"), "pid": os.getpid()}
    return 404, {}


def read_request(file):
    """The method, the path and the body; None at the end of the connection."""
    line = file.readline()
    if not line:
        return None
    method, path, _ = line.decode().split(" ", 2)
    length = 0
    while (header := file.readline()) not in (b"\r\n", b""):
        name, value = header.decode().split(":", 1)
        if name.lower() == "content-length":
            length = int(value)
    return method, path, file.read(length)


def talk_http(connection, peer):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    file = connection.makefile("rb")
    while (request := read_request(file)) is not None:
        method, path, body = request
        status, content = answer(method, path, body, peer)
        text = json.dumps(content).encode()
        connection.sendall(b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n"
                           b"Content-Length: %d\r\n\r\n%s"
                           % (status, REASONS[status].encode(), len(text), text))
        if path.startswith("/exit/"):
            os._exit(int(path.removeprefix("/exit/")))
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


def serve_http(listener):
    while True:
        connection, peer = listener.accept()
        start_thread(talk_http_quietly, connection, peer[0])


def bind_udp(port, _):
    server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.bind(("::", port))
    return server


def serve_udp(server):
    while True:
        data, peer = server.recvfrom(65536)
        server.sendto(data, peer)


SERVICES = {"http": (listen, serve_http), "udp": (bind_udp, serve_udp)}


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

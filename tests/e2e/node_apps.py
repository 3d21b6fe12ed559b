#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The applications of a node's pods: one process each, forked from this one, so that hundreds start
quickly and share their memory.

Reads a line of JSON for each: {"netns": name, "ports": [...], "procs": [files of cgroups],
"uid": number}; answers with {"pid": ...} once it listens. They end with this process.

Each answers every request with the client's address; "/work/N" after computing for N ms of CPU.
"/once" only the first time, and 503 ever after. "/ask/ADDRESS/PORT" gets the head of its answer at once, and the rest when a server there has said
something.
"""
import ctypes
import json
import os
import selectors
import signal
import socket
import sys
import time

PR_SET_PDEATHSIG = 1
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def compute(ms):
    until_s = time.process_time() + ms / 1000
    while time.process_time() < until_s:
        pass


class Once:
    def __init__(self):
        self.has_been = False

    def add_first(self):
        self.has_been, before = True, self.has_been
        return not before


was_asked = Once()


def ask(address, port):
    with socket.create_connection((address, int(port))) as upstream:
        upstream.send(b"?")
        upstream.recv(1)


def answer(conn):
    try:
        text = conn.recv(65536).decode("latin-1")
        host, port = conn.getpeername()[:2]
        if not text:
            return
        path = text.split(" ", 2)[1]
        if path.startswith("/work/"):
            compute(int(path.removeprefix("/work/")))
        body = f"{host}:{port}"
        if path == "/once" and not was_asked.add_first():
            conn.send(b"HTTP/1.0 503 Service Unavailable\r\n\r\n")
            return
        head = f"HTTP/1.0 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
        if path.startswith("/ask/"):
            conn.send(head.encode())
            ask(*path.removeprefix("/ask/").split("/"))
            head = ""
        conn.send((head + body).encode())  # in one piece: clients read once
    except OSError:
        pass


def serve(listeners):
    poll = selectors.DefaultSelector()
    for listener in listeners:
        poll.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in poll.select():
            if key.fileobj in listeners:
                conn, _ = key.fileobj.accept()
                poll.register(conn, selectors.EVENT_READ)
                continue
            answer(key.fileobj)
            poll.unregister(key.fileobj)
            key.fileobj.close()


def begin(app):
    """In the child: its namespace, its sockets, its cgroups."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with open(f"/run/netns/{app['netns']}", encoding="ascii") as namespace:
        if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    listeners = [socket.create_server(("0.0.0.0", port), backlog=512) for port in app["ports"]]
    for procs in app["procs"]:
        with open(procs, "w", encoding="ascii") as file:
            file.write(str(os.getpid()))
    if app["uid"]:
        os.setgid(app["uid"])
        os.setuid(app["uid"])
    return listeners


def main():
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        app = json.loads(line)
        done_read, done_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(done_read)
            os.close(0)
            listeners = begin(app)
            os.write(done_write, b"1")
            os.close(done_write)
            serve(listeners)
        os.close(done_write)
        is_ready = os.read(done_read, 1) == b"1"
        os.close(done_read)
        print(json.dumps({"pid": pid if is_ready else None}), flush=True)


if __name__ == "__main__":
    main()

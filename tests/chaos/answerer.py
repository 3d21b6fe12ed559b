#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The application that chaos puts to sleep: it answers each request with the request's own number,
and says how often that number has come. One thread, so that it is cheap at a hundredth of a CPU.

usage: answerer.py [FILE-OF-A-CGROUP...]      joins those cgroups, then prints "serving"

8080  GET /short/N     HTTP/1.1: the body is "N TIMES". A connection that is silent for IDLE_S after
                       an answer is closed, as servers do it.
      GET /           a readiness probe's: 200
      GET /drip/N/K    K pieces "N.0 ", "N.1 " and so on, with DRIP_S between two
8081  push N K         a line; then K lines "N.0" and so on come by themselves, PUSH_S apart
8082  N                a datagram, answered with "N TIMES"
"""
import collections
import heapq
import itertools
import os
import selectors
import socket
import sys
import time

HTTP_PORT, PUSH_PORT, UDP_PORT = 8080, 8081, 8082
IDLE_S = 1.5
DRIP_S = 0.25
PUSH_S = 0.35
BACKLOG = 1024
REMEMBERED = 200_000

poll = selectors.DefaultSelector()
times = collections.OrderedDict()  # number → how often it has come
due = []  # a heap of (when, a number that makes it unique, function)
unique = itertools.count()


def count(number):
    times[number] = times.get(number, 0) + 1
    if len(times) > REMEMBERED:
        times.popitem(last=False)
    return times[number]


def call_at(when_s, function):
    heapq.heappush(due, (when_s, next(unique), function))


class Connection:
    """Of TCP. Its timer comes before its data, as in many a server that was not written for us."""

    def __init__(self, sock):
        self.sock = sock
        self.text = b""
        self.is_open = True
        self.is_busy = False  # an answer is on its way in pieces
        self.used_s = time.monotonic()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poll.register(sock, selectors.EVENT_READ, self.on_data)

    def close(self):
        if self.is_open:
            self.is_open = False
            poll.unregister(self.sock)
            self.sock.close()

    def send(self, data):
        """A client that went away in the middle is no reason to stop."""
        self.used_s = time.monotonic()
        try:
            self.sock.sendall(data)
        except OSError:
            self.close()

    def on_data(self):
        if not self.is_open:  # its timer was first
            return
        try:
            data = self.sock.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self.text += data
        self.used_s = time.monotonic()
        self.take()

    def send_pieces(self, pieces, gap_s, done):
        if not self.is_open:
            return
        self.send(pieces[0])
        if len(pieces) == 1:
            done()
        else:
            call_at(time.monotonic() + gap_s, lambda: self.send_pieces(pieces[1:], gap_s, done))


class Http(Connection):
    def __init__(self, sock):
        super().__init__(sock)
        self.has_timer = False

    def look_later(self):
        call_at(self.used_s + IDLE_S, self.close_if_idle)

    def close_if_idle(self):
        if self.is_busy:
            self.used_s = time.monotonic()
        if time.monotonic() - self.used_s >= IDLE_S:
            self.close()
        elif self.is_open:
            self.look_later()

    def take(self):
        while self.is_open and not self.is_busy and b"\r\n\r\n" in self.text:
            head, _, self.text = self.text.partition(b"\r\n\r\n")
            self.answer(head.split(b" ", 2)[1].decode().split("/")[1:])
            if not self.has_timer:
                self.has_timer = True
                self.look_later()

    def answer(self, parts):
        kind, number = (parts + [""])[:2]
        if kind == "drip":
            pieces = [f"{number}.{i} ".encode() for i in range(int(parts[2]))]
            self.is_busy = True
            pieces[0] = self.head(sum(map(len, pieces))) + pieces[0]
            self.send_pieces(pieces, DRIP_S, self.on_drip_end)
            return
        body = f"{number} {count(number)}".encode() if kind == "short" else b"ready"
        self.send(self.head(len(body)) + body)

    def on_drip_end(self):
        self.is_busy = False
        self.take()

    @staticmethod
    def head(length):
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length


class Push(Connection):
    def take(self):
        while b"\n" in self.text:
            line, _, self.text = self.text.partition(b"\n")
            _, number, pieces = line.decode().split()
            self.send_pieces([f"{number}.{i}\n".encode() for i in range(int(pieces))], PUSH_S,
                             lambda: None)


def accept(listener, kind):
    sock, _ = listener.accept()
    kind(sock)


def listen(port, kind):
    listener = socket.create_server(("0.0.0.0", port), backlog=BACKLOG)
    poll.register(listener, selectors.EVENT_READ, lambda: accept(listener, kind))


def answer_datagram(server):
    try:
        data, peer = server.recvfrom(65536)
        server.sendto(b"%s %d" % (data, count(data.decode())), peer)
    except OSError:
        pass  # an ICMP error of an earlier datagram, or no way back


def serve_datagrams():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("0.0.0.0", UDP_PORT))
    poll.register(server, selectors.EVENT_READ, lambda: answer_datagram(server))


def run_timers():
    while due and due[0][0] <= time.monotonic():
        heapq.heappop(due)[2]()


def main():
    for path in sys.argv[1:]:
        with open(path, "w", encoding="ascii") as file:
            file.write(str(os.getpid()))
    serve_datagrams()
    listen(PUSH_PORT, Push)
    listen(HTTP_PORT, Http)
    print("serving", flush=True)
    while True:
        wait_s = max(due[0][0] - time.monotonic(), 0) if due else None
        ready = poll.select(wait_s)
        run_timers()
        for key, _ in ready:
            key.data()


if __name__ == "__main__":
    main()

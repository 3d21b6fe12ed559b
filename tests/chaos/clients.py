# SPDX-License-Identifier: MIT
"""Clients: each sends numbered requests for as long as the tide flows, and tells the ledger how each
of them went. Their retries are those that clients have: the kernel's, and a pool's."""
import itertools
import socket
import threading
import time

import answerer

LIMIT_S = 90          # of one request; much longer than the ledger allows
RACE_S = 0.5          # so long before the server's idle timeout a pool's request may cross its FIN
PAUSE_S = (0.002, 0.04)

numbers = itertools.count(1)
CLOSED = (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)


class Closed(Exception):
    """The connection ended before the answer did."""


class Tide:
    """Whether the clients call now."""

    def __init__(self):
        self.flows = threading.Event()
        self.is_over = threading.Event()
        self.hang_ups = 0  # how often they were told to close what they keep

    def wait(self):
        """True when it flows, False at the end."""
        while not self.is_over.is_set():
            if self.flows.wait(0.1):
                return not self.is_over.is_set()
        return False

    def end(self):
        self.is_over.set()
        self.flows.set()


def outcome_of(error):
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, CLOSED):
        return "reset"
    if isinstance(error, Closed):
        return "closed"
    if isinstance(error, (TimeoutError, socket.timeout)):
        return "no answer"
    if isinstance(error, OSError) and error.errno in (101, 113):  # ENETUNREACH, EHOSTUNREACH
        return "unreachable"
    return "wrong"


class Client:
    """open_socket(kind): one in the client's namespace; address(): where to, now."""

    def __init__(self, kind, dice, target, tide, ledger):
        self.kind, self.dice, self.target = kind, dice, target
        self.tide, self.ledger = tide, ledger

    def run(self):
        while self.tide.wait():
            self.ask()
            time.sleep(self.dice.uniform(*PAUSE_S))
        self.hang_up()

    def hang_up(self):
        pass

    def connect(self, port):
        sock = self.target.socket(socket.SOCK_STREAM)
        sock.settimeout(LIMIT_S)
        try:
            sock.connect((self.target.address(), port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            sock.close()
            raise
        return sock

    def number(self):
        return f"{self.kind}-{next(numbers)}"

    def settle(self, request, exchange):
        """Calls exchange(), which returns what is wrong with the answer, and accounts for it."""
        try:
            wrong = exchange()
        except Exception as error:  # whatever it is, the request must be accounted for
            self.ledger.end(request, outcome_of(error), repr(error))
            return False
        self.ledger.end(request, "wrong answer" if wrong else "answered", wrong or "")
        return not wrong


def receive(sock, is_whole):
    """What is received until is_whole(it)."""
    text = b""
    while not is_whole(text):
        data = sock.recv(65536)
        if not data:
            raise Closed(f"after {text!r}")
        text += data
    return text


def body_length(text):
    """Of an HTTP answer: the length of head and body, or None while the head is not there."""
    head, end, _ = text.partition(b"\r\n\r\n")
    if not end:
        return None
    return len(head) + 4 + int(head.rpartition(b"Content-Length: ")[2])


def is_http_whole(text):
    length = body_length(text)
    return length is not None and len(text) >= length


def get(sock, path):
    """The body, and whatever comes with it."""
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: target\r\n\r\n".encode())
    return receive(sock, is_http_whole).partition(b"\r\n\r\n")[2].decode()


def wrong_in(body, number):
    """None, or what is wrong: another number, or not the first time."""
    return None if body == f"{number} 1" else f"{body!r} to {number}"


class Short(Client):
    """One connection for each request; what is lost the kernel sends again."""

    def ask(self):
        number = self.number()
        request = self.ledger.begin(self.kind, number)

        def exchange():
            with self.connect(answerer.HTTP_PORT) as sock:
                return wrong_in(get(sock, f"/short/{number}"), number)
        self.settle(request, exchange)


KINDS = {"short": Short}


def start(seed_dice, target, tide, ledger, many):
    """many: kind → how many of them. The threads."""
    threads = []
    for kind in sorted(many):
        for index in range(many[kind]):
            client = KINDS[kind](kind, seed_dice(kind, index), target, tide, ledger)
            threads.append(threading.Thread(target=client.run, name=f"{kind}-{index}",
                                            daemon=True))
    for thread in threads:
        thread.start()
    return threads

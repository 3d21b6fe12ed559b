# SPDX-License-Identifier: MIT
"""Clients: each sends numbered requests for as long as the tide flows, and tells the ledger how each
of them went. Their retries are those that clients have: the kernel's, and a pool's."""
import contextlib
import dataclasses
import itertools
import select
import socket
import struct
import threading
import time

import answerer
import netns

LIMIT_S = 90          # of one request; much longer than the ledger allows
DATAGRAM_LIMIT_S = 20
RACE_S = 0.5          # so long before the server's idle timeout a pool's request may cross its FIN
LATE_S = 1.5          # so late a server on a busy machine may look at its timers
PAUSE_S = (0.002, 0.04)
JOINS, JOINS_ELSE = {"drip": 0.2, "push": 0.2}, 0.6  # how often

numbers = itertools.count(1)
CLOSED = (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)


class Closed(Exception):
    """The connection ended before the answer did."""


class Tide:
    """Whether the clients call now."""

    def __init__(self):
        self.flows = threading.Event()
        self.is_over = threading.Event()
        self.number = 0    # of this one
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


@dataclasses.dataclass
class Place:
    """A way to a target: from an address to another one, and the interfaces on that way."""
    name: str
    address: str
    target_namespace: str
    client_address: str
    client_namespace: str
    other_end: tuple  # (namespace, interface): the peer of the target's
    interface: str = "eth0"
    client_interface: str = "eth0"

    def socket(self, kind):
        with netns.inside(self.client_namespace):
            return socket.socket(socket.AF_INET, kind)

    def dropped_datagrams(self):
        return netns.dropped_datagrams(self.target_namespace)


class Client:
    def __init__(self, kind, dice, place, tide, ledger):
        self.kind, self.dice, self.place = kind, dice, place
        self.tide, self.ledger = tide, ledger
        self.tide_number, self.has_joined = -1, False

    def run(self):
        while self.tide.wait():
            if self.joins():
                self.ask()
            time.sleep(self.dice.uniform(*PAUSE_S))
        self.hang_up()

    def joins(self):
        """Whether it calls in this tide: what takes long does so in few, lest nothing ever sleeps."""
        if self.tide_number != self.tide.number:
            self.tide_number = self.tide.number
            self.has_joined = self.dice.random() < JOINS.get(self.kind, JOINS_ELSE)
        return self.has_joined

    def hang_up(self):
        pass

    def connect(self, port):
        sock = self.place.socket(socket.SOCK_STREAM)
        sock.settimeout(LIMIT_S)
        try:
            sock.connect((self.place.address, port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            sock.close()
            raise
        return sock

    def number(self):
        return f"{self.kind}-{next(numbers)}"

    def begin(self, number, **fields):
        return self.ledger.begin(self.kind, number, self.place.name, **fields)

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
        request = self.begin(number)

        def exchange():
            with self.connect(answerer.HTTP_PORT) as sock:
                return wrong_in(get(sock, f"/short/{number}"), number)
        self.settle(request, exchange)


class Keeper(Client):
    """Keeps its connection from one request to the next, until the tide says to hang up."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.sock = None
        self.connected_s = self.used_s = 0.0
        self.hung_up = 0

    def hang_up(self):
        if self.sock:
            self.sock.close()
        self.sock = None

    def connect_anew(self, port):
        self.connected_s = time.monotonic()
        self.sock = self.connect(port)

    def ask(self):
        if self.hung_up != self.tide.hang_ups:
            self.hung_up = self.tide.hang_ups
            self.hang_up()
        if not self.ask_on_it():
            self.hang_up()


class Pool(Keeper):
    """HTTP. A connection that the server has closed is not used again. A request that crosses the end
    of its connection, because the server's timer was just due, is sent again, once, on a new one: a
    pool does that awake, too."""

    def ask_on_it(self):
        number = self.number()
        request = self.begin(number)
        return self.settle(request, lambda: self.exchange(request, number))

    def exchange(self, request, number):
        if self.has_ended():
            self.hang_up()
        if self.sock:
            request.connected_s = self.connected_s
            try:
                return self.get(number)
            except (*CLOSED, Closed) as error:
                self.hang_up()
                request.has_retried = self.why_closed(request, error)
                if not request.has_retried:
                    raise
                number += "-again"
        self.connect_anew(answerer.HTTP_PORT)
        request.connected_s = self.connected_s
        return self.get(number)

    def get(self, number):
        wrong = wrong_in(get(self.sock, f"/short/{number}"), number)
        self.used_s = time.monotonic()
        return wrong

    def has_ended(self):
        """Nobody says anything unasked but the end."""
        return self.sock and select.select([self.sock], [], [], 0)[0]

    def why_closed(self, request, error):
        """By the server's own timer; or its end has come meanwhile, and the next connection tells.
        Empty: for no such reason. One that was frozen closes all of its connections at the thaw."""
        if isinstance(error, Closed) and str(error) != "after b''":
            return ""
        idle_s = request.start_s - self.used_s
        if answerer.IDLE_S - RACE_S <= idle_s <= answerer.IDLE_S + LATE_S:
            return "idle"
        return self.ledger.disturbance(self.place.name, self.connected_s, time.monotonic()) or ""


class Drip(Client):
    """An answer in pieces, with longer pauses than the target needs to fall asleep."""

    def ask(self):
        number, pieces = self.number(), self.dice.randint(2, 6)
        request = self.begin(number, least_s=(pieces - 1) * answerer.DRIP_S)

        def exchange():
            with self.connect(answerer.HTTP_PORT) as sock:
                body = get(sock, f"/drip/{number}/{pieces}")
            wanted = "".join(f"{number}.{i} " for i in range(pieces))
            return None if body == wanted else f"{body!r} to {number}"
        self.settle(request, exchange)


class Push(Keeper):
    """As over a WebSocket: it says what it wants, and is sent messages from then on."""

    def ask_on_it(self):
        number, pieces = self.number(), self.dice.randint(2, 5)
        request = self.begin(number, least_s=(pieces - 1) * answerer.PUSH_S)
        return self.settle(request, lambda: self.exchange(request, number, pieces))

    def exchange(self, request, number, pieces):
        if not self.sock:
            self.connect_anew(answerer.PUSH_PORT)
        request.connected_s = self.connected_s
        self.sock.sendall(f"push {number} {pieces}\n".encode())
        text = receive(self.sock, lambda text: text.count(b"\n") >= pieces).decode()
        wanted = "".join(f"{number}.{i}\n" for i in range(pieces))
        return None if text == wanted else f"{text!r} to {number}"


class Datagrams(Client):
    """Some at once; the answers come in any order. Nobody sends one again."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.sock = self.place.socket(socket.SOCK_DGRAM)
        self.sock.settimeout(LIMIT_S)
        self.drops = self.place.dropped_datagrams()

    def hang_up(self):
        self.sock.close()

    def ask(self):
        waiting = {}
        for _ in range(self.dice.randint(1, 4)):
            number = self.number()
            waiting[number] = self.begin(number)
            self.send(number)
        until_s = time.monotonic() + DATAGRAM_LIMIT_S
        while waiting and time.monotonic() < until_s:
            self.take(waiting, until_s)
        drops = self.new_drops() if waiting else 0
        for request in waiting.values():
            self.ledger.end(request, "datagram dropped" if drops else "datagram lost")

    def send(self, number):
        """An error here is the answer to an earlier one."""
        for _ in range(2):
            try:
                self.sock.sendto(number.encode(), (self.place.address, answerer.UDP_PORT))
                return
            except OSError:
                continue

    def take(self, waiting, until_s):
        self.sock.settimeout(max(until_s - time.monotonic(), 0.001))
        try:
            number, _, seen = self.sock.recv(2048).decode().partition(" ")
        except OSError:
            return
        request = waiting.pop(number, None)
        if request and seen == "1":
            self.ledger.end(request, "answered")
        elif request or seen != "1":
            request = request or self.begin(number)
            self.ledger.end(request, "wrong answer", f"{number} came {seen} times")

    def new_drops(self):
        """By the kernel, because the buffer of the application's socket was full."""
        before, self.drops = self.drops, self.place.dropped_datagrams()
        return self.drops - before


class Quitter(Client):
    """Connects, and gives up at some moment: with RST, with FIN, before or after its request. Nobody
    waits for its answers, and so it is in no ledger."""

    def ask(self):
        sock = self.place.socket(socket.SOCK_STREAM)
        sock.setblocking(False)
        if self.dice.random() < 0.6:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.connect_ex((self.place.address, answerer.HTTP_PORT))
        time.sleep(self.dice.choice((0, 0.001, 0.01, 0.1)))
        with contextlib.suppress(OSError):
            sock.send(f"GET /short/{self.number()} HTTP/1.1\r\n\r\n".encode())
        sock.close()
        time.sleep(0.1)


KINDS = {"short": Short, "pool": Pool, "drip": Drip, "push": Push, "datagram": Datagrams,
         "quitter": Quitter}
MANY = {"short": 2, "pool": 3, "drip": 1, "push": 2, "datagram": 1, "quitter": 1}


def start(dice_of, target, tide, ledger):
    """The threads. Each client calls one place of the target."""
    threads = []
    for kind in MANY:
        for index in range(MANY[kind]):
            place = target.places[len(threads) % len(target.places)]
            client = KINDS[kind](kind, dice_of(kind, index), place, tide, ledger)
            threads.append(threading.Thread(target=client.run, daemon=True))
    for thread in threads:
        thread.start()
    return threads

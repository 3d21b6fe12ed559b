# SPDX-License-Identifier: MIT
"""The view of a scenario's clients: what each step has shown them, as one text. It has no times."""
import contextlib
import errno
import hashlib
import select
import socket
import ssl
import struct
import time

LIMIT_S = 60  # how long a client waits for anything; longer than the wake timeout
SLOW_BUFFER = 32 << 10
AT_ONCE = 1 << 20
PORTS = {"served": 8080, "watched": 8081, "unwatched": 8082}
SHOWN = 72
SILENCE = f"nothing for {LIMIT_S} s"


def shown(data):
    """Bytes as text; of many their beginning, and what tells them from others."""
    if len(data) <= 2 * SHOWN:
        return repr(bytes(data))
    digest = hashlib.sha256(data).hexdigest()[:12]
    return f"{bytes(data[:SHOWN])!r}... {len(data)} bytes, sha256 {digest}"


def error_name(error):
    if isinstance(error, TimeoutError):
        return SILENCE
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason}"
    return {errno.ECONNREFUSED: "refused", errno.ECONNRESET: "RST"}.get(
        error.errno, errno.errorcode.get(error.errno, str(error)))


class Connection:
    def __init__(self, sock, protocol):
        self.sock = sock
        self.protocol = protocol
        self.unread = bytearray()
        self.end = None  # "FIN", "RST", ...

    def read(self, length_of, most=AT_ONCE):
        """What has come, up to the length that length_of(data) tells, or to the end."""
        length, seen = self._wait(length_of, most)
        del self.unread[:length]
        return seen

    def look(self, length_of, most=AT_ONCE):
        """The same, and it stays to be read."""
        return self._wait(length_of, most)[1]

    def _wait(self, length_of, most):
        until_s = time.monotonic() + LIMIT_S
        while (length := length_of(self.unread)) is None and not self.end:
            self._receive(until_s, most)
        end = f", then {self.end}" if length is None else ""
        length = len(self.unread) if length is None else length
        return length, shown(self.protocol.normalised(bytes(self.unread[:length]))) + end

    def _receive(self, until_s, most):
        try:
            self.sock.settimeout(max(until_s - time.monotonic(), 0.001))
            data = self.sock.recv(most)
            self.unread += data
            if not data:
                self.end = "FIN"
        except OSError as error:
            self.end = error_name(error)

    def look_at_bytes(self, count):
        return self.look(lambda data: count if len(data) >= count else None,
                         max(count - len(self.unread), 1))

    def look_until(self, text):
        def length_of(data):
            at = data.find(text)
            return None if at < 0 else at + len(text)
        return self.look(length_of)

    def drain(self):
        """What is there already."""
        self.sock.setblocking(False)
        with contextlib.suppress(OSError):
            while data := self.sock.recv(AT_ONCE):
                self.unread += data
        return shown(self.protocol.normalised(bytes(self.unread)))


class View:
    """All connections of one scenario to one server."""

    def __init__(self, net, server):
        self.net = net
        self.server = server
        self.connections = {}

    def close(self):
        for connection in self.connections.values():
            connection.sock.close()

    def step(self, step):
        """What each client of the step saw, in their order."""
        if step.verb == "connect":
            return self._connect(step.clients, step.words)
        if step.verb == "knock":
            return [self._knock() for _ in step.clients]
        act = getattr(self, "_" + step.verb.replace("-", "_"))
        return [self._try(act, self.connections[client], step.words) for client in step.clients]

    @staticmethod
    def _try(act, connection, words):
        try:
            return act(connection, *words)
        except OSError as error:
            return error_name(error)

    def _connect(self, clients, words):
        """All at once, as a browser does."""
        path = self.net.path("lo" if "lo" in words else "eth0", 6 if "ipv6" in words else 4)
        port = next((PORTS[word] for word in words if word in PORTS), PORTS["served"])
        socks = []
        for client in clients:
            sock = path.socket()
            if "slow" in words:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setblocking(False)
            sock.connect_ex((path.server, port))
            self.connections[client] = Connection(sock, self.server.protocol)
            socks.append(sock)
        return [self._connected(sock) for sock in socks]

    def _knock(self):
        path = self.net.path()
        with path.socket() as sock:
            sock.setblocking(False)
            sock.connect_ex((path.server, PORTS["served"]))
        return "gone"

    @staticmethod
    def _connected(sock):
        poll = select.poll()
        poll.register(sock, select.POLLOUT)
        if not poll.poll(LIMIT_S * 1000):
            return SILENCE
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return error_name(OSError(error, "")) if error else "connected"

    def _begin(self, connection):
        connection.sock.settimeout(LIMIT_S)
        if self.server.tls and not isinstance(connection.sock, ssl.SSLSocket):
            connection.sock = self.server.tls.wrap_socket(connection.sock)

    def _login(self, connection):
        self._begin(connection)
        if not self.server.protocol.login:
            return "nothing to say"
        connection.sock.sendall(self.server.protocol.login)
        return self._expect(connection, "answer")

    def _send(self, connection, *words):
        words = list(words)
        half = words.pop() if words[-1] in ("1/2", "2/2") else None
        data = b"".join(self.server.messages()[word] for word in words)
        middle = len(data) // 2
        data = {"1/2": data[:middle], "2/2": data[middle:], None: data}[half]
        self._begin(connection)
        connection.sock.sendall(data)
        return f"sent {len(data)} bytes"

    def _expect(self, connection, what, argument=None):
        if what == "answer":
            return connection.read(self.server.protocol.answer_length)
        if what == "message":
            return connection.read(self.server.protocol.message_length)
        if what == "bytes":
            return connection.look_at_bytes(int(argument))
        if what == "until":
            return connection.look_until(argument.encode())
        return connection.read(lambda data: None)

    @staticmethod
    def _half_close(connection):
        socket.socket.shutdown(connection.sock, socket.SHUT_WR)  # that of TLS ends reading, too
        return "FIN sent"

    @staticmethod
    def _close(connection):
        left = connection.drain()
        connection.sock.close()
        return f"closed, unread {left}"

    @staticmethod
    def _reset(connection):
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sock.close()
        return "RST sent"

    @staticmethod
    def _keepalive(connection):
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1),
                              (socket.TCP_KEEPCNT, 3)):
            connection.sock.setsockopt(socket.IPPROTO_TCP, option, value)
        return "set"

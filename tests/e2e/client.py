# SPDX-License-Identifier: MIT
"""Clients: HTTP on one connection that is kept, and what the kernel knows of that connection."""
import contextlib
import hashlib
import http.client
import json
import os
import socket
import struct
import time

LIMIT_S = 30
TCP_ESTABLISHED = 1
TCP_FIN_WAIT1 = 4


class TcpInfo:
    """The fields of struct tcp_info (linux/tcp.h) that the tests look at."""

    def __init__(self, sock):
        data = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
        self.state = data[0]
        self.retransmits = struct.unpack_from("=I", data, 8 + 23 * 4)[0]
        self.segments_in = struct.unpack_from("=I", data, 140)[0]


class Http:
    """Connects at once; connect_s is how long that took."""

    def __init__(self, path, port=8080, limit_s=LIMIT_S):
        self.sock = path.socket()
        self.sock.settimeout(limit_s)
        self.connection = http.client.HTTPConnection(path.server, port)
        self.connection.auto_open = 0  # a connection that was lost stays lost
        start = time.monotonic()
        try:
            self.sock.connect((path.server, port))
        except OSError:
            self.sock.close()
            raise
        self.connect_s = time.monotonic() - start
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection.sock = self.sock

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def get(self, path="/"):
        """The JSON of the answer."""
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise AssertionError(f"GET {path} was answered with {answer.status}")
        return json.loads(body)

    def upload(self, length):
        """True: what arrived is what was sent."""
        body = os.urandom(length)
        self.connection.request("POST", "/upload", body)
        answer = json.loads(self.connection.getresponse().read())
        return answer == {"length": length, "sha256": hashlib.sha256(body).hexdigest()}

    def info(self):
        return TcpInfo(self.sock)


def get(path, port=8080, url="/"):
    with Http(path, port) as client:
        return client.get(url)


class Udp:
    def __init__(self, path, port):
        self.sock = path.socket(socket.SOCK_DGRAM)
        self.sock.settimeout(LIMIT_S)
        self.sock.connect((path.server, port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def poke(self):
        """Sends what nobody need answer."""
        with contextlib.suppress(ConnectionRefusedError):  # that of an earlier poke
            self.sock.send(b"wake up")

    def echo(self, *datagrams):
        """Sends all of them, then returns as many answers."""
        for datagram in datagrams:
            self.sock.send(datagram)
        return [self.sock.recv(65536) for _ in datagrams]

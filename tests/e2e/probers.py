# SPDX-License-Identifier: MIT
"""The kubelet's four probes, as its sources and a packet capture have them (pkg/probe; Go's net/http
and grpc-go): each opens a connection of its own, from wherever the path comes from.

    probe = HttpProbe(path, 8080, "/healthz")
    probe()         raises ProbeFailure, as the kubelet would count a failure
"""
import ctypes
import socket
import ssl
import struct
import threading
import time

TIMEOUT_S = 1.0  # timeoutSeconds, by default
AGENT = "kube-probe/1.36"
GRPC_AGENT = "kube-probe/1.36 grpc-go/1.72.2"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, GOAWAY, WINDOW_UPDATE = 0, 1, 4, 7, 8
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1


class ProbeFailure(AssertionError):
    pass


class TcpProbe:
    """tcpSocket: connect, close."""
    kind = "tcp"

    def __init__(self, path, port):
        self.path, self.port = path, port

    def connect(self):
        sock = self.path.socket()
        sock.settimeout(TIMEOUT_S)
        sock.connect((self.path.server, self.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as Go does
        return sock

    def __call__(self):
        try:
            with self.connect() as sock:
                self.ask(sock)
        except OSError as why:
            raise ProbeFailure(f"{self.kind}: {why!r}") from why

    def ask(self, sock):
        pass


class HttpProbe(TcpProbe):
    """httpGet: the headers in the order in which Go writes them."""
    kind = "http"

    def __init__(self, path, port, url="/healthz", agent=AGENT):
        super().__init__(path, port)
        self.url, self.agent = url, agent
        self.answer = b""

    def request(self):
        host = f"[{self.path.server}]" if ":" in self.path.server else self.path.server
        return (f"GET {self.url} HTTP/1.1\r\nHost: {host}:{self.port}\r\n"
                f"User-Agent: {self.agent}\r\nAccept: */*\r\nConnection: close\r\n\r\n").encode()

    def ask(self, sock):
        sock.sendall(self.request())
        self.answer = read_all(sock)
        code = int(self.answer.split(b" ", 2)[1] or 0) if self.answer else 0
        if not 200 <= code < 400:
            raise ProbeFailure(f"{self.kind}: answered with {self.answer[:60]!r}")


class HttpsProbe(HttpProbe):
    """httpGet with scheme HTTPS: whatever the certificate, no server name."""
    kind = "https"

    def connect(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["h2", "http/1.1"])
        sock = super().connect()
        try:
            return context.wrap_socket(sock)
        except OSError:
            sock.close()
            raise


class GrpcProbe(TcpProbe):
    """grpc: waits for the server's SETTINGS before it calls, as grpc-go does."""
    kind = "grpc"

    def ask(self, sock):
        sock.sendall(PREFACE + frame(SETTINGS, 0, 0))
        reader = sock.makefile("rb")
        kind, flags, _ = read_frame(reader)
        if (kind, flags) != (SETTINGS, 0):
            raise ProbeFailure(f"grpc: the server began with a frame of type {kind}")
        sock.sendall(frame(SETTINGS, ACK, 0))
        sock.sendall(frame(HEADERS, END_HEADERS, 1, self.headers())
                     + frame(DATA, END_STREAM, 1, b"\0\0\0\0\0"))
        message = b""
        while True:
            kind, flags, payload = read_frame(reader)
            if kind == DATA:
                message += payload
            if flags & END_STREAM and kind in (DATA, HEADERS):
                break
        if message != b"\0\0\0\0\2\x08\x01":
            raise ProbeFailure(f"grpc: answered with {message!r}, not with SERVING")
        sock.sendall(frame(GOAWAY, 0, 0, bytes(8)))

    def headers(self):
        return Hpack().encode([
            (":method", "POST"), (":scheme", "http"), (":path", "/grpc.health.v1.Health/Check"),
            (":authority", f"{self.path.server}:{self.port}"),
            ("content-type", "application/grpc"), ("user-agent", GRPC_AGENT),
            ("te", "trailers"), ("grpc-timeout", "999851u")])


def read_all(sock):
    data = b""
    while more := sock.recv(65536):
        data += more
    return data


def frame(kind, flags, stream, payload=b""):
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def read_frame(reader):
    header = reader.read(9)
    if len(header) < 9:
        raise ProbeFailure("grpc: closed in the middle")
    return header[3], header[4], reader.read(int.from_bytes(header[:3], "big"))


class _Pair(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("value", ctypes.c_char_p),
                ("namelen", ctypes.c_size_t), ("valuelen", ctypes.c_size_t),
                ("flags", ctypes.c_uint8)]


class Hpack:
    """nghttp2's, with Huffman codes where they are shorter: as every client has it."""

    def __init__(self):
        self.library = ctypes.CDLL("libnghttp2.so.14")
        self.deflater = ctypes.c_void_p()
        self.library.nghttp2_hd_deflate_new(ctypes.byref(self.deflater), ctypes.c_size_t(4096))

    def encode(self, headers):
        pairs = (_Pair * len(headers))(*(
            _Pair(n.encode(), v.encode(), len(n), len(v), 0) for n, v in headers))
        out = ctypes.create_string_buffer(4096)
        n = self.library.nghttp2_hd_deflate_hd(
            self.deflater, out, ctypes.c_size_t(len(out)), pairs, ctypes.c_size_t(len(pairs)))
        self.library.nghttp2_hd_deflate_del(self.deflater)
        if n <= 0:
            raise RuntimeError(f"nghttp2_hd_deflate_hd: {n}")
        return out.raw[:n]


class Kubelet:
    """Asks every probe each period, all of them at the same time, until it is stopped."""

    def __init__(self, *probes, period_s=1.0):
        self.probes, self.period_s = probes, period_s
        self.failures, self.passed = [], 0
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._ask, args=(p,), daemon=True)
                        for p in probes]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def _ask(self, probe):
        due_s = time.monotonic()
        while not self.stopping.is_set():
            try:
                probe()
                self.passed += 1
            except ProbeFailure as why:
                self.failures.append(str(why))
            due_s += self.period_s
            self.stopping.wait(max(0, due_s - time.monotonic()))


def silent_connection(path, port):
    sock = path.socket()
    sock.settimeout(30)
    sock.connect((path.server, port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock

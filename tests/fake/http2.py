# SPDX-License-Identifier: MIT
"""HTTP/2 in front of a handler of HTTP/1.1, by the library h2 (Debian: python3-h2).

Each stream becomes one request on a socket pair, at whose other end a handler runs in a thread of
its own. What it writes is sent on at once: as HEADERS, as DATA within the windows, and as an
RST_STREAM if it ends too early. Client certificates do not reach the handler.
"""
import selectors
import socket
import sys
import threading

try:
    import h2.config
except ImportError:  # pure Python, so that a Python that is not Debian's can use it as well
    sys.path.append("/usr/lib/python3/dist-packages")
try:
    import h2.config
    import h2.connection
    import h2.errors
    import h2.events
    import h2.exceptions
    IS_THERE = True
except ImportError:
    IS_THERE = False

PIECE = 65536
OF_THE_CONNECTION = ("connection", "transfer-encoding", "keep-alive")  # RFC 9113, 8.2.2


class _Answer:
    """An answer of HTTP/1.1 as it comes: its head, the body's bytes, and whether it is complete."""

    def __init__(self, is_head_only):
        self.headers = None  # [(name, value), ...] once the head is complete
        self.is_complete = False
        self._is_head_only = is_head_only
        self._bytes, self._left, self._is_chunked = b"", 0, False

    def take(self, data):
        """The bytes of the body that have become known."""
        self._bytes += data
        if self.headers is None and not self._take_head():
            return b""
        return self._take_chunks() if self._is_chunked else self._take_rest()

    def _take_head(self):
        head, end, rest = self._bytes.partition(b"\r\n\r\n")
        if not end:
            return False
        first, *rows = head.decode("latin-1").split("\r\n")
        pairs = [(name.lower(), value.strip()) for name, _, value in
                 (row.partition(":") for row in rows)]
        fixed = dict(pairs)
        self._is_chunked = "chunked" in fixed.get("transfer-encoding", "")
        self._left = 0 if self._is_head_only else int(fixed.get("content-length", 0))
        self._bytes = rest
        self.headers = [(":status", first.split()[1])] + [
            pair for pair in pairs if pair[0] not in OF_THE_CONNECTION]
        return True

    def _take_rest(self):
        body, self._bytes = self._bytes[:self._left], b""
        self._left -= len(body)
        self.is_complete = self._left == 0
        return body

    def _take_chunks(self):
        body = b""
        while not self.is_complete:
            size, end, rest = self._bytes.partition(b"\r\n")
            if not end or len(rest) < int(size, 16) + 2:
                break
            body += rest[:int(size, 16)]
            self._bytes = rest[int(size, 16) + 2:]
            self.is_complete = int(size, 16) == 0
        return body


class _Stream:
    def __init__(self, number, headers):
        self.number, self.headers = number, [(str(n), str(v)) for n, v in headers]
        self.sent = b""  # by the client
        self.pair, self.handlers = socket.socketpair()
        self.answer = _Answer(dict(self.headers)[":method"] == "HEAD")
        self.waiting, self.has_headers = bytearray(), False

    def request(self):
        fixed = dict(self.headers)
        rows = [f"{fixed[':method']} {fixed[':path']} HTTP/1.1", f"Host: {fixed[':authority']}",
                "Connection: close", f"Content-Length: {len(self.sent)}"]
        rows += [f"{name}: {value}" for name, value in self.headers
                 if not name.startswith(":") and name != "content-length"]
        return ("\r\n".join(rows) + "\r\n\r\n").encode("latin-1") + self.sent


class Connection:
    """handle(socket) answers one request there, and returns."""

    def __init__(self, tls, handle):
        self.tls, self.handle = tls, handle
        self.streams = {}
        self.machine = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.ready = selectors.DefaultSelector()

    def serve(self):
        """Until the client goes, or the socket is shut."""
        self.machine.initiate_connection()
        self.ready.register(self.tls, selectors.EVENT_READ)
        try:
            while True:
                self.tls.sendall(self.machine.data_to_send())
                for key, _ in self.ready.select():
                    if key.data:
                        self._read_stream(key.data)
                    elif not self._read_client():
                        return
        except h2.exceptions.ProtocolError:
            pass
        finally:
            for stream in list(self.streams.values()):
                self._drop(stream)
            self.ready.close()

    def _read_client(self):
        while data := self.tls.recv(PIECE):
            for event in self.machine.receive_data(data):
                self._take(event)
            if not self.tls.pending():
                return True
        return False

    def _take(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.RequestReceived):
            self.streams[event.stream_id] = _Stream(event.stream_id, event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self.machine.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if stream:
                stream.sent += event.data
        elif isinstance(event, h2.events.StreamEnded) and stream:
            self._begin(stream)
        elif isinstance(event, h2.events.StreamReset) and stream:
            self._drop(stream)
        elif isinstance(event, h2.events.WindowUpdated):
            for one in list(self.streams.values()):
                self._send(one)

    def _begin(self, stream):
        stream.pair.sendall(stream.request())
        self.ready.register(stream.pair, selectors.EVENT_READ, stream)
        threading.Thread(target=self._run, args=(stream.handlers,), daemon=True).start()

    def _run(self, handlers):
        try:
            self.handle(handlers)
        except OSError:  # the stream is gone
            pass
        finally:
            handlers.close()

    def _read_stream(self, stream):
        try:
            data = stream.pair.recv(PIECE)
        except OSError:
            data = b""
        stream.waiting += stream.answer.take(data)
        if stream.answer.headers and not stream.has_headers:
            self.machine.send_headers(stream.number, stream.answer.headers)
            stream.has_headers = True
        self._send(stream)
        if not data and stream.number in self.streams:
            if not stream.answer.is_complete:
                self.machine.reset_stream(stream.number, h2.errors.ErrorCodes.INTERNAL_ERROR)
                self._drop(stream)
            else:
                self.ready.unregister(stream.pair)  # what waits is sent as the window opens

    def _send(self, stream):
        while stream.waiting:
            room = min(self.machine.local_flow_control_window(stream.number),
                       self.machine.max_outbound_frame_size, len(stream.waiting))
            if room <= 0:
                return
            self.machine.send_data(stream.number, bytes(stream.waiting[:room]))
            del stream.waiting[:room]
        if stream.answer.is_complete:
            self.machine.end_stream(stream.number)
            self._drop(stream)

    def _drop(self, stream):
        del self.streams[stream.number]
        if stream.pair in self.ready.get_map():
            self.ready.unregister(stream.pair)
        stream.pair.close()

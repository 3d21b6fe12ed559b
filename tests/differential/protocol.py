# SPDX-License-Identifier: MIT
"""What a client says to a server, where the answer ends, and what of it may vary from one start of
the server to the next (dates, numbers of processes).

    messages             what a scenario names: send request
    login                what opens a connection, b"" if nothing does
    answer_length(data)  how long the first answer in data is; None: it is not complete
    normalised(data)     data without what may vary
"""
import re
import struct

UPLOAD_LENGTH = 300000
BIG_LENGTH = 8 << 20  # more than what the kernel's buffers of both ends take


class Http:
    @staticmethod
    def _ask(method, path, *headers, body=b""):
        lines = [f"{method} {path} HTTP/1.1", "Host: server", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode() + body

    login = b""

    def __init__(self):
        ask = self._ask
        self.messages = {
            "request": ask("GET", "/small"),
            "last-request": ask("GET", "/small", "Connection: close"),
            "upload": ask("POST", "/upload", body=b"u" * UPLOAD_LENGTH),
            "announced-upload": ask("POST", "/upload", "Expect: 100-continue",
                                    f"Content-Length: {UPLOAD_LENGTH}"),
            "body": b"u" * UPLOAD_LENGTH,
            "old-request": b"GET /small HTTP/1.0\r\n\r\n",
            "nonsense": b"\x00\x01nonsense\r\n\r\n",
            "big": ask("GET", "/big"),
            "drip": ask("GET", "/drip"),
            "push": ask("GET", "/push"),
            "later": ask("GET", "/later"),
            "pooled": ask("GET", "/pooled"),
            "reused": ask("GET", "/reused"),
            "checked": ask("GET", "/checked"),
        }

    def answer_length(self, data):
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return None
        head, start = bytes(data[:end]).lower(), end + 4
        if re.match(rb"http/1\.1 1\d\d ", head):
            return start
        if b"transfer-encoding: chunked" in head:
            return self._chunked_end(data, start)
        length = re.search(rb"content-length: *(\d+)", head)
        if not length:
            return None  # until it is closed
        end = start + int(length.group(1))
        return end if len(data) >= end else None

    @staticmethod
    def _chunked_end(data, start):
        while (line_end := data.find(b"\r\n", start)) >= 0:
            size = int(bytes(data[start:line_end]).split(b";")[0], 16)
            start = line_end + 2 + size + 2
            if len(data) < start:
                return None
            if size == 0:
                return start
        return None

    @staticmethod
    def normalised(data):
        """Neither the date nor in which pieces a chunked body came: that is latency."""
        data = re.sub(rb"(?im)^(date|last-modified|etag): .*\r$", rb"\1: *\r", data)
        head, separator, body = data.partition(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in head.lower():
            body = re.sub(rb"(^|\r\n)[0-9a-fA-F]+\r\n", b"", body)
        return head + separator + body


class Redis:
    login = b""
    messages = {
        "request": b"PING\r\n",
        "last-request": b"QUIT\r\n",
        # An inline command may have 64 kB at most.
        "upload": b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$%d\r\n%s\r\n"
                  % (UPLOAD_LENGTH, b"u" * UPLOAD_LENGTH),
        "nonsense": b"NONSENSE\r\n",
        "big": b"EVAL \"return string.rep('b', %d)\" 0\r\n" % BIG_LENGTH,
        "later": b"BLPOP nothing 2\r\n",
        # The server's own timers say when each key expires, and that is pushed.
        "push": b"".join(b"SET tick-%d x PX %d\r\n" % (n, 700 * n) for n in range(1, 11))
                + b"SUBSCRIBE __keyevent@0__:expired\r\n",
        "begin": b"MULTI\r\n",
        "change": b"INCR counter\r\n",
        "commit": b"EXEC\r\n",
        "block": b"BLPOP queue 0\r\n",
        "feed": b"RPUSH queue x\r\n",
        "brief-key": b"SET brief x PX 1000\r\n",
        "read-brief-key": b"GET brief\r\n",
    }

    def answer_length(self, data, start=0):
        line_end = data.find(b"\r\n", start)
        if line_end < 0:
            return None
        kind, text, end = data[start:start + 1], bytes(data[start + 1:line_end]), line_end + 2
        if kind == b"$" and int(text) >= 0:
            end += int(text) + 2
        for _ in range(int(text) if kind == b"*" else 0):
            end = self.answer_length(data, end)
            if end is None:
                return None
        return end if len(data) >= end else None

    @staticmethod
    def normalised(data):
        return data


class Postgresql:
    login = struct.pack("!ii", 41, 196608) + b"user\0postgres\0database\0postgres\0\0"

    @staticmethod
    def _query(sql):
        return b"Q" + struct.pack("!i", len(sql) + 5) + sql.encode() + b"\0"

    def __init__(self):
        query = self._query
        ticks = ("DO $$ BEGIN FOR i IN 1..%d LOOP RAISE NOTICE 'tick-%%', i; PERFORM pg_sleep(0.7);"
                 " END LOOP; END $$")
        self.messages = {
            "request": query("SELECT 1"),
            "last-request": b"X" + struct.pack("!i", 4),
            "upload": query("SELECT length('" + "u" * UPLOAD_LENGTH + "')"),
            "nonsense": query("NONSENSE"),
            "big": query(f"SELECT repeat('b', {BIG_LENGTH})"),
            "later": query("SELECT pg_sleep(2)"),
            "drip": query(ticks % 4),
            "push": query(ticks % 10),
            "begin": query("BEGIN"),
            "change": query("CREATE TEMPORARY TABLE IF NOT EXISTS t (n int);"
                            "INSERT INTO t VALUES (1); SELECT count(*) FROM t"),
            "commit": query("COMMIT"),
            "listen": query("LISTEN bell"),
            "notify": query("NOTIFY bell, 'ring'"),
            "cancelled": query("SET statement_timeout = 1500; SELECT pg_sleep(60)"),
        }

    @staticmethod
    def _parts(data):
        """(kind, start, end) of each whole message."""
        start = 0
        while start + 5 <= len(data):
            end = start + 1 + struct.unpack_from("!i", data, start + 1)[0]
            if end > len(data) or end <= start:
                return
            yield data[start:start + 1], start, end
            start = end

    def answer_length(self, data):
        return next((end for kind, _, end in self._parts(data) if kind == b"Z"), None)

    def message_length(self, data):
        return next((end for _, _, end in self._parts(data)), None)

    def normalised(self, data):
        """Without the key to cancel it by, and the number of the process that notifies."""
        data = bytearray(data)
        for kind, start, end in self._parts(data):
            if kind == b"K":
                data[start + 5:end] = bytes(end - start - 5)
            if kind == b"A":
                data[start + 5:start + 9] = bytes(4)
        return bytes(data)

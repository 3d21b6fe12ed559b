#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A health endpoint for tests, in as few lines as will do.

usage: healthd.py grpc|https PORT READY_FILE [CERTIFICATE KEY]

It is healthy while READY_FILE exists. grpc: the health protocol (grpc.health.v1) over HTTP/2 without
TLS; of HTTP/2 just what an answer to one call needs. https: 200 or 503; GET /drip gets a byte each
300 ms until the client closes. It prints each question.
"""
import os
import socket
import ssl
import struct
import sys
import threading
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
STATUS_200 = b"\x88"  # RFC 7541, appendix A: index 8
CONTENT_TYPE = b"\x0f\x10\x10application/grpc"  # index 31, as a literal
GRPC_STATUS_0 = b"\x00\x0bgrpc-status\x010"
SERVING, NOT_SERVING = 1, 2
DRIP_S = 0.3


def frame(kind, flags, stream, payload=b""):
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def read_exactly(reader, count):
    got = reader.read(count)
    if len(got) < count:
        raise ConnectionError("closed")
    return got


def answer_grpc(connection, is_ready):
    reader = connection.makefile("rb")
    if read_exactly(reader, len(PREFACE)) != PREFACE:
        raise ConnectionError("no HTTP/2")
    connection.sendall(frame(SETTINGS, 0, 0))
    question = b""
    while True:
        header = read_exactly(reader, 9)
        length, kind, flags = int.from_bytes(header[:3], "big"), header[3], header[4]
        stream = int.from_bytes(header[5:], "big")
        payload = read_exactly(reader, length)
        if kind == SETTINGS and not flags & ACK:
            connection.sendall(frame(SETTINGS, ACK, 0))
        if kind == DATA:
            question += payload
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            break
    print(f"grpc {question[7:].decode()}", flush=True)
    message = bytes([0x08, SERVING if is_ready() else NOT_SERVING])
    connection.sendall(
        frame(HEADERS, END_HEADERS, stream, STATUS_200 + CONTENT_TYPE)
        + frame(DATA, 0, stream, b"\0" + struct.pack("!I", len(message)) + message)
        + frame(HEADERS, END_HEADERS | END_STREAM, stream, GRPC_STATUS_0))
    reader.read()  # until the client closes


def answer_https(connection, is_ready):
    request = connection.recv(65536).decode("latin-1")
    print("https " + request.split("\r\n")[0], flush=True)
    if request.startswith("GET /drip "):
        connection.sendall(b"HTTP/1.1 200 -\r\n\r\n")
        while True:
            connection.sendall(b".")
            time.sleep(DRIP_S)
    code = 200 if is_ready() else 503
    connection.sendall(f"HTTP/1.1 {code} -\r\nContent-Length: 0\r\n\r\n".encode())


def talk(connection, tls, ready_file):
    connection.settimeout(5)
    try:
        if tls:
            connection = tls.wrap_socket(connection, server_side=True)
        answer = answer_https if tls else answer_grpc
        answer(connection, lambda: os.path.exists(ready_file))
    except OSError:
        pass
    finally:
        connection.close()


def main():
    kind, port, ready_file = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    tls = None
    if kind == "https":
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(sys.argv[4], sys.argv[5])
    listener = socket.create_server(("0.0.0.0", port), backlog=128)
    print("listening", flush=True)
    while True:
        threading.Thread(target=talk, args=(listener.accept()[0], tls, ready_file),
                         daemon=True).start()


if __name__ == "__main__":
    main()

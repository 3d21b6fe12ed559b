# SPDX-License-Identifier: MIT
"""The application of gunicorn; as a program the upstream of proxies: wsgi_app.py PORT POOL-PORT

On the second port it keeps connections, until they have been silent for a second.
"""
import socketserver
import sys
import threading
import time
from http import server as http_server
from wsgiref import simple_server

BIG_LENGTH = 8 << 20
TICK_S = 0.7


def ticks(count):
    for number in range(1, count + 1):
        yield b"tick-%d\n" % number
        time.sleep(TICK_S)


def body_of(environ):
    path = environ["PATH_INFO"]
    if path == "/drip":
        return ticks(4)
    if path == "/push":
        return ticks(10)
    if path == "/big":
        return [b"b" * BIG_LENGTH]
    if path == "/later":
        time.sleep(2)
    if path == "/upload":
        data = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        return [b"%d of u\n" % data.count(b"u")]
    return [b"small\n"]


def application(environ, start_response):
    body = body_of(environ)
    length = [("Content-Length", str(len(body[0])))] if isinstance(body, list) else []
    start_response("200 OK", [("Content-Type", "text/plain"), *length])
    return body


class Upstream(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    daemon_threads = True
    request_queue_size = 128  # as many as a proxy asks at once


class QuietHandler(simple_server.WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # else it does not say "100 Continue"

    def log_message(self, *_):
        pass


class KeepingServer(http_server.ThreadingHTTPServer):
    request_queue_size = 128


class KeepingHandler(http_server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 1

    def do_GET(self):  # its name is http.server's
        self.send_response(200)
        self.send_header("Content-Length", "7")
        self.end_headers()
        self.wfile.write(b"pooled\n")

    def log_message(self, *_):
        pass


def main(port, pool_port):
    pool = KeepingServer(("", pool_port), KeepingHandler)
    threading.Thread(target=pool.serve_forever, daemon=True).start()
    simple_server.make_server("", port, application, Upstream, QuietHandler).serve_forever()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

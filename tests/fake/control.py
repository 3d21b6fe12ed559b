# SPDX-License-Identifier: MIT
"""Steers the test API server from other processes: plain HTTP on 127.0.0.1, JSON in and out.

    GET  /requests /pods /events /faults /resizes
    POST /faults/add        {"match": "PATCH /resize", "kind": 503, "times": 2}   → {"id": 1, ...}
    POST /faults/remove     {"id": 1}        POST /faults/clear
    POST /kubelet           {"actuate_ms": 200}, or with "namespace" and "name" for one pod
    POST /pods/add          {"pod": {...}, "cgroups": {"app": "/sys/fs/cgroup/..."}}
    POST /pods/delete       {"name": "web", "grace_s": 30}, then {"name": "web", "remove": true}
    POST /pods/restart      {"name": "web", "container": "app"}
    POST /pods/ready        {"name": "web", "container": "app", "is_ready": false}
    POST /pods/grant        {"name": "web"}
    POST /token/rotate /token/expire /ca/rotate /connections/drop /down /up /watches/end
    POST /watches/compact   /requests/clear
    POST /admission         {"quota": ..., "limit_range": ..., "own_pod_only": true}
    POST /allow             {"rules": [["get", "pods"]]}
Arguments are those of the Python method of the same meaning.
"""
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def _set_admission(server, **settings):
    for name, value in settings.items():
        setattr(server.admission, name, value)


def _queries(server):
    return {
        "/requests": lambda: [r.as_json() for r in server.requests],
        "/pods": lambda: server.store.list("pods"),
        "/events": lambda: server.store.list("events"),
        "/faults": lambda: [f.as_json() for f in server.faults.all()],
        "/resizes": lambda: [r.as_json() for r in server.kubelet.resizes],
    }


def _commands(server):
    return {
        "/faults/add": lambda **a: server.faults.add(**a).as_json(),
        "/faults/remove": lambda id: server.faults.remove(id),
        "/faults/clear": server.faults.clear,
        "/kubelet": server.kubelet.configure,
        "/pods/add": server.add_pod,
        "/pods/delete": server.delete_pod,
        "/pods/restart": lambda **a: server.restart_container(**a),
        "/pods/ready": server.set_ready,
        "/pods/grant": server.grant,
        "/token/rotate": server.rotate_token,
        "/token/expire": server.expire_token,
        "/ca/rotate": server.rotate_ca,
        "/connections/drop": server.drop_connections,
        "/down": server.go_down,
        "/up": server.come_back,
        "/watches/end": server.end_watches,
        "/watches/compact": server.store.compact,
        "/requests/clear": server.requests.clear,
        "/admission": lambda **a: _set_admission(server, **a),
        "/allow": server.allow_only,
    }


def start(server, port):
    queries, commands = _queries(server), _commands(server)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self._reply(queries.get(self.path), {})

        def do_POST(self):
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._reply(commands.get(self.path), json.loads(raw or b"{}"))

        def log_message(self, *_):
            pass

        def _reply(self, function, arguments):
            code, result = 404, {"error": f"no {self.path}"}
            if function:
                try:
                    code, result = 200, function(**arguments)
                except Exception as error:  # the caller is another process: it is told
                    code, result = 400, {"error": f"{type(error).__name__}: {error}"}
            body = json.dumps(result).encode() + b"\n"
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    http.daemon_threads = True
    threading.Thread(target=http.serve_forever, daemon=True).start()
    return http


def stop(http):
    http.socket.shutdown(socket.SHUT_RDWR)  # wakes serve_forever, which looks every 0.5 s
    http.shutdown()
    http.server_close()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A Kubernetes API server for tests, with a kubelet that writes real cgroups.

    with FakeApiServer() as server:
        server.add_pod(pods.burstable("web"), cgroups={"app": "/sys/fs/cgroup/cpu/web"})
        server.faults.add("PATCH /resize", 503, times=2)
        ... start doze with server.environment("web") ...
        server.requests.wait(lambda r: r.is_resize and r.status == 200)

It answers like the recordings (test_recordings.py compares), over TLS, HTTP/1.1; with is_http2=True
over HTTP/2, which a client may decline. As a program it
prints one line when it is ready: its URL, and the one of its control endpoint (see control.py).
"""
import argparse
import json
import os
import select
import signal
import socket
import sys
import tempfile
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler

import control
import faults
import installation
import http2
import listening
import objects
import pods
import requestlog
import tls
import validation
from admission import Admission
from api import Account, Api
from clock import Clock
from kubelet import Kubelet
from store import Store
from watch import HalfLine, Watch, gone_line

CHUNKED_FROM = 2048  # as Go's net/http: longer bodies are sent without a Content-Length
HANDSHAKE_S = 30
TOKEN_SUCCESS_S = 10
DEFAULT_ADDRESSES = ("127.0.0.1", "::1")
ROLE_OF_DOZE = (("get", "pods"), ("patch", "pods/resize"), ("create", "events"))


class ConnectionOver(Exception):
    """Nothing more is to be read from or written to this connection."""


class Handler(BaseHTTPRequestHandler):
    """One connection: requests in, answers out, faults in between."""
    protocol_version = "HTTP/1.1"

    def setup(self):
        self.timeout = self.server.idle_close_s
        super().setup()

    def handle(self):
        try:
            super().handle()
        except (ConnectionOver, OSError, ValueError):
            self.close_connection = True

    def log_message(self, *_):
        pass

    def do_any(self):
        raw = self._read_body()
        request = requestlog.read(self.command, self.path, self.headers, raw)
        request.client = self.client_address
        fake = self.server
        fake.requests.add(request)
        try:
            account = fake.authenticate(self.headers, self.connection)
            request.user = account.user
        except objects.ApiError as error:
            account = error
        request.size = fake.api.size_of(request)
        found = fake.faults.of_answer(request)
        request.faults = [str(fault.kind) for fault in found]
        self._answer(request, account, found)

    do_GET = do_PATCH = do_PUT = do_POST = do_DELETE = do_HEAD = do_any

    def _answer(self, request, account, found):
        last = next((f for f in found if f.kind != "delay"), None)
        for when in ("before", "after"):
            for fault in found:
                if fault.option("when", "before") == when:
                    self._interrupt(fault)
            if last and isinstance(last.kind, int) and last.option("when", "before") == when:
                answer = faults.error(last, request, account)
            elif when == "before":
                answer = self._ask(request, account)
        if isinstance(answer, objects.ApiError):
            self._send(request, answer.code, answer.body, answer.headers, last)
        elif isinstance(answer[1], Watch):
            self._stream(request, answer[1])
        else:
            self._send(request, *answer, {}, last)

    def _ask(self, request, account):
        if isinstance(account, objects.ApiError):
            return account
        try:
            return self.server.api.handle(request, account)
        except objects.ApiError as error:
            return error
        except (KeyError, TypeError, AttributeError) as error:  # JSON of another shape
            return objects.bad_request(f"cannot read this object: {error!r}")

    def _interrupt(self, fault):
        if fault.kind == "delay":
            fault.removed.wait(fault.option("ms", 100) / 1000)
        elif fault.kind == "hang":
            self._hang(fault)
        elif fault.kind == "reset" and fault.option("at", "before") == "before":
            listening.reset(self.connection)
            raise ConnectionOver

    def _hang(self, fault):
        """Until the fault is removed (then an RST), or the client gives up, or we stop."""
        while not fault.removed.is_set() and not self.server.stopping.is_set():
            if select.select([self.connection], [], [], 0.02)[0]:
                break
        listening.reset(self.connection)
        raise ConnectionOver

    def _read_body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    # Answers

    def _head(self, code, content_type, headers):
        reason = self.responses.get(code, ("",))[0]
        fixed = {"Audit-Id": str(uuid.uuid4()), "Cache-Control": "no-cache, private",
                 "Content-Type": content_type, **self.server.flow_headers,
                 "Date": self.date_time_string(), **headers}
        rows = [f"HTTP/1.1 {code} {reason}"] + [f"{name}: {text}" for name, text in fixed.items()]
        return ("\r\n".join(rows) + "\r\n\r\n").encode()

    def _send(self, request, code, document, headers, fault):
        kind = fault.kind if fault else None
        if kind == "wrong-uid":
            document = objects.with_other_uid(document)
        if isinstance(document, str):
            body, content_type = document.encode(), "text/plain; charset=utf-8"
        else:
            body, content_type = (objects.compact(document) + "\n").encode(), "application/json"
        if kind == "garbage":
            code, body = 200, b"<html><body>502 Bad Gateway</body></html>\n"
        elif kind == "half-json":
            body = body[:len(body) // 2]
        headers = dict(headers)
        if kind == "close":
            headers["Connection"] = "close"
            self.close_connection = True
        framed = self._framed(body, headers, kind)
        head = self._head(code, content_type, headers)
        self._write(request, code, head, b"" if self.command == "HEAD" else framed, fault)

    def _framed(self, body, headers, kind):
        if len(body) > CHUNKED_FROM and kind != "truncate":
            headers["Transfer-Encoding"] = "chunked"
            return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        headers["Content-Length"] = str(len(body))
        return body

    def _write(self, request, code, head, body, fault):
        """The log knows of an answer before the client can: what a test reads there is final."""
        kind = fault.kind if fault else None
        if kind == "slow-body":
            self._write_slowly(request, code, head, body, fault)
            return
        if kind == "reset":
            body = body[:len(body) // 2] if fault.option("at") == "body" else b""
        elif kind == "truncate":
            body = body[:len(body) // 2]
        self.server.requests.answered(request, code)
        self.connection.sendall(head + body)
        if kind == "reset":
            listening.reset(self.connection)
        if kind in ("reset", "truncate"):
            raise ConnectionOver

    def _write_slowly(self, request, code, head, body, fault):
        self.connection.sendall(head)
        step = len(body) // 10 + 1
        for start in range(0, len(body), step):
            fault.removed.wait(fault.option("ms", 100) / 1000)
            if start + step >= len(body):
                self.server.requests.answered(request, code)
            self.connection.sendall(body[start:start + step])

    def _stream(self, request, watch):
        self.server.api.watches.add(watch)
        try:
            self.server.requests.answered(request, 200)
            self.connection.sendall(self._head(200, "application/json",
                                               {"Transfer-Encoding": "chunked"}))
            for line in watch.lines(time.monotonic):
                self._send_chunk(line.encode() + b"\n")
            self.connection.sendall(b"0\r\n\r\n")
        except HalfLine as half:
            line = str(half).encode()
            self._send_chunk(line[:len(line) // 2])
            listening.reset(self.connection)
            raise ConnectionOver from None
        finally:
            self.server.api.watches.discard(watch)


    def _send_chunk(self, data):
        self.connection.sendall(b"%x\r\n%s\r\n" % (len(data), data))


class FakeApiServer:
    """version: "1.27" to "1.36". in_place: the feature gate; None for that version's default, but
    on from 1.27 to 1.31, where it allows PATCH of the pod itself. clock: clock.ManualClock() to
    decide by hand when the kubelet acts. directory: None for a temporary one, removed at stop()."""

    def __init__(self, directory=None, version="1.36", in_place=None, addresses=None, port=0,
                 netns=None, clock=None, namespace="default", service_account="doze",
                 control_port=0, is_http2=False):
        self._temporary = tempfile.TemporaryDirectory(prefix="fake-api-") if not directory else None
        self.directory = os.path.abspath(directory or self._temporary.name)
        os.makedirs(self.directory, exist_ok=True)
        self.account_directory = os.path.join(self.directory, "serviceaccount")
        self.namespace = namespace
        self.minor = int(version.split(".")[1])
        self.addresses = list(addresses or DEFAULT_ADDRESSES)
        self._optional = () if addresses else ("::1",)
        self.port, self.netns, self.control_port = port, netns, control_port
        self.is_http2 = is_http2
        self.store = Store()
        self.clock = clock or Clock()
        self.kubelet = Kubelet(self.store, self.clock, self.minor)
        self.admission = Admission(self.minor)
        self.faults = faults.Faults()
        self.requests = requestlog.RequestLog()
        self.api = Api(self.store, self.kubelet, self.admission, self.faults, self.minor, in_place)
        self.account = Account(f"system:serviceaccount:{namespace}:{service_account}")
        self.accounts = {}  # by the user of a client certificate
        self.idle_close_s = 90
        self.stopping = threading.Event()
        self.flow_headers = {"X-Kubernetes-Pf-Flowschema-Uid": objects.new_uid(),
                             "X-Kubernetes-Pf-Prioritylevel-Uid": objects.new_uid()}
        self._tokens = {}  # text → (account, end in monotonic seconds or None)
        self._listeners, self._connections, self._isolated = [], set(), []
        self._lock = threading.Lock()
        self._control = None
        self.add_node()

    # Life

    def start(self):
        self._make_certificates()
        self.token = self.new_token()
        self.write_account()
        self.clock.start()
        self.come_back()
        self._control = control.start(self, self.control_port)
        return self

    def stop(self):
        self.stopping.set()
        self.faults.clear()
        self.end_watches()
        self.go_down()
        for connection in self._isolated:
            listening.reset(connection)
        self.clock.stop()
        if self._control:
            control.stop(self._control)
        if self._temporary:
            self._temporary.cleanup()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    @property
    def url(self):
        return self.url_of(self.addresses[0])

    def url_of(self, address):
        return f"https://{'[' + address + ']' if ':' in address else address}:{self.port}"

    @property
    def control_url(self):
        return f"http://127.0.0.1:{self._control.server_address[1]}"

    def environment(self, pod_name=None, address=None):
        """The variables that a container finds: where the API is, and with a name, which pod."""
        variables = {"KUBERNETES_SERVICE_HOST": address or self.addresses[0],
                     "KUBERNETES_SERVICE_PORT": str(self.port),
                     "KUBERNETES_SERVICE_PORT_HTTPS": str(self.port)}
        if pod_name:
            variables.update(POD_NAME=pod_name, POD_NAMESPACE=self.namespace)
        return variables

    # Pods and nodes

    def add_node(self, name="node1", cpu="2", memory="4Gi"):
        self.store.put("nodes", pods.node(name, cpu, memory))

    def add_pod(self, pod, cgroups=None, cgroup_version=None, pod_cgroup=None):
        """cgroups: container name → directory, which gets the container's size now and from now
        on; pod_cgroup: the directory above, of the whole pod. cgroup_version: 1 or 2 where the
        directory itself does not show it."""
        pod = pods.complete(objects.copy_of(pod), self.minor)
        validation.canonicalise(pod, pod, True)
        with self.store.lock:
            self.kubelet.adopt(pod, cgroups, cgroup_version, pod_cgroup)
            return self.store.put("pods", pod)

    def pod(self, name, namespace=None):
        """The pod now, or None."""
        return self.store.get("pods", namespace or self.namespace, name)

    def delete_pod(self, name, namespace=None, grace_s=None, remove=False):
        """Terminating from now on; gone with grace_s=0, or with a second call and remove=True."""
        namespace = namespace or self.namespace
        if remove:
            self.api.remove_pod(namespace, name)
        else:
            self.api.delete_pod(namespace, name, grace_s)

    def restart_container(self, name, container, namespace=None, **options):
        self.kubelet.restart((namespace or self.namespace, name), container, **options)

    def set_ready(self, name, container, is_ready, namespace=None):
        self.kubelet.set_ready((namespace or self.namespace, name), container, is_ready)

    def grant(self, name, namespace=None):
        """Ends the Deferred of a pod: the kubelet carries the resize out."""
        self.kubelet.grant(namespace or self.namespace, name)

    def events(self, reason=None):
        return [e for e in self.store.list("events") if reason in (None, e["reason"])]

    def wait(self, condition, timeout_s=10):
        """Until condition() is true, asked again after every change in the store; its value."""
        deadline = time.monotonic() + timeout_s
        with self.store.lock:
            while not (value := condition()) and time.monotonic() < deadline:
                self.store.changed.wait(deadline - time.monotonic())
            return value

    # Who may

    def new_token(self, account=None, lifetime_s=None):
        token = f"fake.{uuid.uuid4().hex}.{uuid.uuid4().hex}"
        end = None if lifetime_s is None else time.monotonic() + lifetime_s
        self._tokens[token] = (account or self.account, end)
        return token

    def rotate_token(self, old_lifetime_s=0, write=True):
        """A new token, in the directory too; the old one is good for old_lifetime_s more."""
        old, self.token = self.token, self.new_token()
        self.expire_token(old, old_lifetime_s)
        if write:
            self.write_account()
        return self.token

    def install(self):
        """What deploy/node applies: from now on the account's rights are as long as it is there."""
        self.account.installation = installation.Installation(self.store)
        return self.account.installation

    def expire_token(self, token=None, after_s=0):
        token = token or self.token
        account, _ = self._tokens[token]
        self._tokens[token] = (account, time.monotonic() + after_s)

    def allow_only(self, rules=ROLE_OF_DOZE, account=None):
        """The account may do these (verb, resource) pairs and nothing else; None: everything."""
        (account or self.account).rules = None if rules is None else {tuple(r) for r in rules}

    def _is_there(self, account):
        """A token that was good is taken for good for ten seconds: TokenSuccessCacheTTL (k8s.io/
        kubernetes pkg/kubeapiserver/options/authentication.go)."""
        if not account.installation or account.installation.has_account():
            account.seen_s = time.monotonic()
        return time.monotonic() - account.seen_s < TOKEN_SUCCESS_S

    def authenticate(self, headers, connection):
        kind, _, token = headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer":
            account, end = self._tokens.get(token.strip(), (None, None))
            if account and self._is_there(account) and (end is None or time.monotonic() < end):
                return account
            raise objects.unauthorized()
        get_certificate = getattr(connection, "getpeercert", dict)  # a stream of HTTP/2 has none
        subject = (get_certificate() or {}).get("subject", ())
        user = next((value for part in subject for name, value in part if name == "commonName"), "")
        if not user:
            raise objects.unauthorized()
        return self.accounts.setdefault(user, Account(user))

    # Files and certificates

    def write_account(self, directory=None, token=None, namespace=None):
        """The directory of a service account; also a second one, with another token."""
        tls.write_account(directory or self.account_directory, token or self.token,
                          self.authority.pem(), namespace or self.namespace)

    def write_kubeconfig(self, path, with_certificate=False, inline=True, address=None):
        """with_certificate: a client certificate of the user "admin", or else the token."""
        pair = self.authority.client("admin", "system:masters") if with_certificate else None
        tls.write_kubeconfig(path, self.url_of(address or self.addresses[0]),
                             self.authority.certificate, self.namespace,
                             None if pair else self.token, pair, inline)
        return path

    def rotate_ca(self, write=True):
        """Another CA signs from now on. write=False: clients are not told of it yet."""
        self._make_certificates()
        if write:
            self.write_account()

    def _make_certificates(self):
        names = list(dict.fromkeys([*self.addresses, "127.0.0.1", "::1", "localhost",
                                    "kubernetes.default.svc"]))
        self.authority = tls.Authority(self.directory)
        self._context = tls.server_context(self.authority.server(names), self.authority,
                                           self.is_http2)
        self._names = names

    def _context_for(self, fault):
        if fault is None:
            return self._context
        if fault.kind == "tls-untrusted":
            return tls.server_context(tls.Authority(self.directory).server(self._names))
        return tls.server_context(self.authority.server(["wrong.example"]))

    # Connections

    def come_back(self):
        """Listens, on the same port as before."""
        self._listeners, self.port = listening.listen(self.addresses, self.port, self.netns,
                                                      self._optional)
        for listener in self._listeners:
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def go_down(self):
        """Refuses connections, and resets those there are."""
        for listener in self._listeners:
            listening.close_listener(listener)
        self._listeners = []
        self.drop_connections()

    def drop_connections(self):
        """Resets every connection; the server goes on."""
        with self._lock:
            connections, self._connections = self._connections, set()
        for connection in connections:
            listening.shut(connection)

    def isolate_connections(self):
        """Every connection is dead, in both directions, and nobody is told: the server has lost its
        power, or a translation of addresses has forgotten them. New ones are answered."""
        with self._lock:
            connections, self._connections = self._connections, set()
        self._isolated += [listening.isolate(connection) for connection in connections]

    def end_watches(self, with_410=False):
        """Every watch ends: cleanly, or with the ERROR event of a version that is too old."""
        for watch in list(self.api.watches):
            watch.end(gone_line(self.store) if with_410 else None)

    def _accept(self, listener):
        while True:
            try:
                connection, address = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection, address), daemon=True).start()

    def _serve(self, connection, address):
        with self._lock:
            self._connections.add(connection)
        raw = connection
        try:
            fault = self.faults.of_connection()
            if fault and fault.kind == "tls-close":
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(HANDSHAKE_S)
            connection = self._context_for(fault).wrap_socket(connection, server_side=True)
            with self._lock:
                self._connections.discard(raw)
                self._connections.add(connection)
            if connection.selected_alpn_protocol() == "h2":
                http2.Connection(connection, lambda pair: Handler(pair, address, self)).serve()
            else:
                Handler(connection, address, self)
        except OSError:  # a client that does not trust us, or went away
            pass
        finally:
            with self._lock:
                self._connections.discard(raw)
                self._connections.discard(connection)
            listening.close(connection)


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dir", help="where serviceaccount/ and the certificates go")
    parser.add_argument("--pod", action="append", default=[], metavar="FILE.json",
                        help="a pod, or a list of pods; may be repeated")
    parser.add_argument("--cgroup", action="append", default=[], metavar="POD/CONTAINER=DIR")
    parser.add_argument("--listen", action="append", metavar="ADDRESS")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control-port", type=int, default=0)
    parser.add_argument("--netns", help="a name below /run/netns, or a path")
    parser.add_argument("--version", default="1.36")
    parser.add_argument("--namespace", default="default")
    parser.add_argument("--kubeconfig", metavar="FILE", help="write one, with the token")
    parser.add_argument("--actuate-ms", type=float)
    parser.add_argument("--status-ms", type=float)
    return parser.parse_args()


def _read_pods(paths):
    for path in paths:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
        yield from document["items"] if "items" in document else [document]


def _cgroups_of(name, options):
    found = {}
    for option in options:
        target, _, path = option.partition("=")
        pod, _, container = target.partition("/")
        if pod == name:
            found[container] = path
    return found


def main():
    arguments = _arguments()
    server = FakeApiServer(arguments.dir, arguments.version, addresses=arguments.listen,
                           port=arguments.port, netns=arguments.netns,
                           namespace=arguments.namespace, control_port=arguments.control_port)
    delays = {"actuate_ms": arguments.actuate_ms, "status_ms": arguments.status_ms}
    server.kubelet.configure(**{k: v for k, v in delays.items() if v is not None})
    for pod in _read_pods(arguments.pod):
        server.add_pod(pod, _cgroups_of(pod["metadata"]["name"], arguments.cgroup))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stopping.set())
    with server:
        if arguments.kubeconfig:
            server.write_kubeconfig(arguments.kubeconfig)
        print(server.url, server.control_url, flush=True)
        server.stopping.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: MIT
"""Every request that came, for assertions: what it was, what it got, and what became of it."""
import dataclasses
import json
import threading
import time
import urllib.parse

_RESOURCES = {("api", "v1"): ("pods", "events", "nodes", "namespaces", "serviceaccounts"),
              ("apis", "apps", "v1"): ("daemonsets",),
              ("apis", "rbac.authorization.k8s.io", "v1"): ("clusterroles", "clusterrolebindings")}


@dataclasses.dataclass
class Request:
    """Times are CLOCK_MONOTONIC seconds: they compare with those of other processes."""
    method: str
    path: str  # as sent, with the query
    headers: dict
    raw: bytes
    time_s: float
    body: object = None  # JSON if it is that, else text; None for no body
    client: tuple = None  # address and port: another one is another connection
    user: str = None
    size: str = None  # of a resize: "up" or "down" where a CPU limit changes
    status: int = None  # what was answered; None for no answer
    answered_s: float = None  # just before the last byte was given to the kernel
    faults: list = dataclasses.field(default_factory=list)  # the kinds that struck
    resize: object = None  # kubelet.Resize, if one began

    def __post_init__(self):
        parts = urllib.parse.urlsplit(self.path)
        self.route = urllib.parse.unquote(parts.path)
        self.query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        self.namespace = self.resource = self.name = None
        self._find_resource([part for part in self.route.split("/") if part])
        self.verb = self._verb()

    def _find_resource(self, parts):
        group = tuple(parts[:2] if parts[:1] == ["api"] else parts[:3])
        parts = parts[len(group):]
        if len(parts) > 2 and parts[0] == "namespaces":
            self.namespace, parts = parts[1], parts[2:]
        if not parts or parts[0] not in _RESOURCES.get(group, ()) or len(parts) > 3:
            return
        self.resource = parts[0]
        if len(parts) > 1:
            self.name = parts[1]
        if len(parts) > 2:
            self.resource += "/" + parts[2]

    def _verb(self):
        if self.method == "GET" and self.resource and not self.name:
            return "watch" if self.query.get("watch") in ("1", "true") else "list"
        return {"GET": "get", "PATCH": "patch", "PUT": "update", "POST": "create",
                "DELETE": "delete"}.get(self.method, self.method.lower())

    @property
    def pod_name(self):
        return self.name if self.resource and self.resource.startswith("pods") else None

    @property
    def is_resize(self):
        return self.resize is not None or (
            self.resource == "pods/resize" and self.verb in ("patch", "update"))

    @property
    def is_dry_run(self):
        return "All" in self.query.get("dryRun", "")

    @property
    def actuated_s(self):
        """When the cgroup was written; None if it was not, or not yet."""
        return self.resize.actuated_s if self.resize else None

    def as_json(self):
        return {"method": self.method, "path": self.path, "body": self.body, "user": self.user,
                "time_s": self.time_s, "status": self.status, "answered_s": self.answered_s,
                "size": self.size, "faults": self.faults,
                "resize": self.resize.as_json() if self.resize else None}


def read(method, path, headers, raw):
    request = Request(method, path, headers, raw, time.monotonic())
    if raw:
        try:
            request.body = json.loads(raw)
        except ValueError:
            request.body = raw.decode("utf-8", "replace")
    return request


class RequestLog:
    """A list that can be waited on."""

    def __init__(self):
        self._requests = []
        self._changed = threading.Condition()

    def add(self, request):
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()

    def answered(self, request, status):
        with self._changed:
            request.status, request.answered_s = status, time.monotonic()
            self._changed.notify_all()

    def clear(self):
        with self._changed:
            self._requests.clear()

    def select(self, method=None, path=None, where=None):
        """Those of this method, with this in the path, for which where(request) is true."""
        with self._changed:
            return [r for r in self._requests
                    if method in (None, r.method) and (path is None or path in r.path)
                    and (where is None or where(r))]

    def resizes(self, size=None):
        """The real resizes (no dry runs), of one size ("up", "down") or of all."""
        return self.select(where=lambda r: r.is_resize and not r.is_dry_run
                           and size in (None, r.size))

    def wait(self, where, timeout_s=10, count=1):
        """Until count requests match; the count-th, or None when the time is over."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                found = [r for r in self._requests if where(r)]
                left = deadline - time.monotonic()
                if len(found) >= count:
                    return found[count - 1]
                if left <= 0:
                    return None
                self._changed.wait(left)

    def __iter__(self):
        return iter(self.select())

    def __len__(self):
        return len(self._requests)

    def __getitem__(self, index):
        return self._requests[index]

# SPDX-License-Identifier: MIT
"""What goes wrong, when, and how often.

    server.faults.add("PATCH /resize", 409, times=2)
    server.faults.add({"method": "PATCH", "body": '"limits":.*"cpu": *"1"'}, "hang", when="after")
    server.faults.add(kind="reset", at="body", times=1)

match: "METHOD", "/part of the path" or both in one string, or a dict of method, path, body, user
(regular expressions that are searched for; body in the compact form of JSON), and size: "up" or
"down", a resize that raises or lowers some CPU limit. None matches every request.
times: how often it strikes, None for always, until remove(). after: requests to let pass first.

kind                     options
a status code            401 403 404 409 422 429 500 503 ...: retry_after_s, message, why
                         why, of 403: rbac (default) capacity quota limitrange; of 404: pod path
delay                    ms, when
hang                     when: no answer, until the client gives up or the fault is removed
reset                    at: before (default; then also when), headers, body. A TCP RST
truncate                 a body shorter than its Content-Length, then a clean end
half-json                a whole answer, but half of its JSON
garbage                  200 and a body that is no JSON
wrong-uid                a whole answer, of another object of the same name
slow-body                ms: the body comes in ten pieces with this much between two
close                    a good answer, with Connection: close
deferred infeasible      the resize is accepted, the kubelet says this; message. grant() ends the
                         Deferred
never stuck slow         the kubelet never notices; notices, but never acts; acts late (ms)
watch-410 watch-end      a watch: an ERROR event, or a clean end, instead of what comes next
watch-half               a watch: half of the line that comes next, then an RST
tls-close tls-untrusted tls-name
                         for the next connections: no handshake; a certificate of another CA; of
                         another name. match is not looked at
when: "before" the request is carried out (default) or "after": the client does not learn of it
Delays add up; otherwise the first fault that matches strikes.
"""
import itertools
import json
import re
import threading

import objects

TLS_KINDS = ("tls-close", "tls-untrusted", "tls-name")
KUBELET_KINDS = ("deferred", "infeasible", "never", "stuck", "slow")
WATCH_KINDS = ("watch-410", "watch-end", "watch-half")
ANSWER_KINDS = ("delay", "hang", "reset", "truncate", "half-json", "garbage", "wrong-uid",
                "slow-body", "close")
OPTIONS = {"ms", "when", "at", "retry_after_s", "message", "why"}

_ids = itertools.count(1)


class Fault:
    def __init__(self, match, kind, times, after, options):
        self.id = next(_ids)
        self.match, self.kind, self.times, self.skip = _parse_match(match), kind, times, after
        self.options = options
        self.hits = 0
        self.removed = threading.Event()

    def option(self, name, default=None):
        return self.options.get(name, default)

    def remove(self):
        """Also ends what hangs or waits because of it."""
        self.removed.set()

    @property
    def is_used_up(self):
        return self.times is not None and self.hits >= self.times

    def strikes(self, request):
        """True, and counted, if it applies to this request now."""
        if self.removed.is_set() or self.is_used_up or not self._matches(request):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.hits += 1
        return True

    def _matches(self, request):
        if request is None:
            return True
        facts = {"method": request.method, "path": request.path, "user": request.user or "",
                 "body": _body_text(request.body), "size": request.size or ""}
        return all(re.search(wanted, facts[name]) for name, wanted in self.match.items())

    def as_json(self):
        return {"id": self.id, "match": self.match, "kind": self.kind, "times": self.times,
                "hits": self.hits, **self.options}


class Faults:
    def __init__(self):
        self._faults = []
        self._lock = threading.Lock()

    def add(self, match=None, kind=None, times=None, after=0, **options):
        _check(kind, options)
        fault = Fault(match, kind, times, after, options)
        with self._lock:
            self._faults.append(fault)
        return fault

    def remove(self, fault_id):
        for fault in self.all():
            if fault.id == fault_id:
                fault.remove()

    def clear(self):
        for fault in self.all():
            fault.remove()

    def all(self):
        with self._lock:
            self._faults = [f for f in self._faults if not f.removed.is_set()]
            return list(self._faults)

    def of_connection(self):
        return self._first(TLS_KINDS, None)

    def of_kubelet(self, request):
        return self._first(KUBELET_KINDS, request)

    def of_watch(self, request):
        return self._first(WATCH_KINDS, request)

    def of_answer(self, request):
        """The delays, and the first of the others, that strike this request."""
        found = []
        with self._lock:
            for fault in self._faults:
                if fault.kind not in ANSWER_KINDS and not isinstance(fault.kind, int):
                    continue
                if fault.kind != "delay" and any(f.kind != "delay" for f in found):
                    continue
                if fault.strikes(request):
                    found.append(fault)
        return found

    def _first(self, kinds, request):
        with self._lock:
            return next((f for f in self._faults if f.kind in kinds and f.strikes(request)), None)


def kubelet_overrides(fault):
    """What a fault changes of one resize, in the terms of Kubelet.resize()."""
    if fault is None:
        return {}
    if fault.kind == "slow":
        return {"actuate_ms": fault.option("ms", 1000)}
    return {"forced": fault.kind, "message": fault.option("message")}


def error(fault, request, account):
    """The ApiError of a status code. account: anything without a user for a stranger."""
    name, code = request.pod_name or "", fault.kind
    retry_after_s = fault.option("retry_after_s", 1)
    makers = {
        401: objects.unauthorized,
        403: lambda: _forbidden(fault, request, account),
        404: lambda: (objects.no_such_path() if fault.option("why") == "path"
                      else objects.not_found("pods", name)),
        409: lambda: objects.conflict("pods", name),
        422: lambda: objects.invalid("Pod", name, [objects.forbidden_field(
            "spec", fault.option("message", "only cpu and memory resources are mutable"))]),
        429: lambda: objects.too_many_requests(retry_after_s),
        500: objects.server_error,
        503: lambda: objects.unavailable(retry_after_s),
    }
    made = makers.get(code, lambda: objects.failure(code, None, f"fault {code}"))()
    if "message" in fault.options and isinstance(made.body, dict):
        made.body["message"] = fault.option("message")
    if "retry_after_s" in fault.options:
        made.headers["Retry-After"] = str(retry_after_s)
    return made


def _forbidden(fault, request, account):
    name, why = request.pod_name or "", fault.option("why", "rbac")
    if why == "rbac":
        return rbac_refusal(account, request)
    if why == "capacity":
        return objects.forbidden("pods", name, "node didn't have enough allocatable resources: "
                                 "cpu, requested: 64000, allocatable: 2000",
                                 [{"reason": "NodeCapacity"}])
    if why == "quota":
        return objects.forbidden("pods", name, "exceeded quota: compute, requested: "
                                 "limits.cpu=1990m, used: limits.cpu=3, limited: limits.cpu=4")
    return objects.forbidden("pods", name,
                             "minimum cpu usage per Container is 50m, but request is 1m")


def rbac_refusal(account, request):
    user = getattr(account, "user", "system:anonymous")
    if request.resource is None:
        path = request.path.split("?")[0]
        return objects.failure(403, "Forbidden", f'forbidden: User "{user}" cannot {request.verb} '
                               f'path "{path}"', {})
    where = (f'in the namespace "{request.namespace}"' if request.namespace
             else "at the cluster scope")
    return objects.forbidden(request.resource.split("/")[0], request.name,
                             f'User "{user}" cannot {request.verb} resource "{request.resource}" '
                             f'in API group "" {where}')


def _check(kind, options):
    known = TLS_KINDS + KUBELET_KINDS + WATCH_KINDS + ANSWER_KINDS
    if not (isinstance(kind, int) and 300 <= kind <= 599) and kind not in known:
        raise ValueError(f"fault: {kind!r} is not a kind; there are status codes, "
                         f"{', '.join(known)}")
    unknown = set(options) - OPTIONS
    if unknown:
        raise ValueError(f"fault: no option {', '.join(sorted(unknown))}")


def _parse_match(match):
    if match is None:
        return {}
    if isinstance(match, dict):
        unknown = set(match) - {"method", "path", "body", "user", "size"}
        if unknown:
            raise ValueError(f"fault: cannot match by {', '.join(sorted(unknown))}")
        return match
    parts = {}
    for word in match.split():
        part = "path" if word.startswith("/") else "method"
        if part in parts:
            raise ValueError(f"fault: {match!r} has more than one {part}")
        parts[part] = word
    return parts


def _body_text(body):
    return body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))

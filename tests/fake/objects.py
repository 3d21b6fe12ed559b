# SPDX-License-Identifier: MIT
"""What the API server says: Status bodies, times, and small questions about a Pod."""
import copy
import datetime
import json
import secrets

import quantity

RESTARTABLE = "Always"  # an init container with this restartPolicy is a native sidecar


def compact(document):
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def now_text(offset_s=0):
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=offset_s)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def new_uid():
    text = secrets.token_hex(16)
    return "-".join((text[:8], text[8:12], "4" + text[13:16], "a" + text[17:20], text[20:]))


def with_other_uid(document):
    """The same, of another object. What has no uid stays as it is."""
    document = copy_of(document)
    if "uid" in document.get("metadata", {}):
        document["metadata"]["uid"] = new_uid()
    return document


class ApiError(Exception):
    """An answer that is not a success. The body is a Status, or text for the few that are not."""

    def __init__(self, code, body, headers=None):
        super().__init__(body)
        self.code, self.body, self.headers = code, body, headers or {}


def failure(code, reason, message, details=None, headers=None):
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message}
    if reason:
        body["reason"] = reason
    if details is not None:
        body["details"] = details
    body["code"] = code
    return ApiError(code, body, headers)


def bad_request(message):
    return failure(400, "BadRequest", message)


def unauthorized():
    return failure(401, "Unauthorized", "Unauthorized")


def forbidden(kind, name, why, causes=None):
    details = {"name": name, "kind": kind} if name else {"kind": kind}
    if causes:
        details["causes"] = causes
    what = f'{kind} "{name}" is forbidden' if name else f"{kind} is forbidden"
    return failure(403, "Forbidden", f"{what}: {why}", details)


def not_found(kind, name):
    return failure(404, "NotFound", f'{kind} "{name}" not found', {"name": name, "kind": kind})


def no_such_path():
    return failure(404, "NotFound", "the server could not find the requested resource", {})


def not_allowed():
    return failure(405, "MethodNotAllowed",
                   "the server does not allow this method on the requested resource", {})


def already_exists(kind, name):
    return failure(409, "AlreadyExists", f'{kind} "{name}" already exists',
                   {"name": name, "kind": kind})


def conflict(kind, name, why="the object has been modified; please apply your changes to the "
                             "latest version and try again"):
    return failure(409, "Conflict", f'Operation cannot be fulfilled on {kind} "{name}": {why}',
                   {"name": name, "kind": kind})


def unsupported_media_type():
    return failure(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})


def too_many_requests(retry_after_s):
    return ApiError(429, "Too many requests, please try again later.\n",
                    {"Retry-After": str(retry_after_s)})


def server_error(message="etcdserver: request timed out"):
    return failure(500, None, message)


def unavailable(retry_after_s=1):
    return failure(503, "ServiceUnavailable", "apiserver is shutting down",
                   headers={"Retry-After": str(retry_after_s)})


class Cause:
    """One field error. kind: Invalid, Forbidden, Required."""

    def __init__(self, kind, field, text):
        self.kind, self.field, self.text = kind, field, text

    def message(self):
        return f"{self.field}: {self.text}"

    def cause(self):
        return {"reason": "FieldValue" + self.kind, "message": self.text, "field": self.field}


def invalid_value(field, shown, why):
    return Cause("Invalid", field, f'Invalid value: "{shown}": {why}')


def forbidden_field(field, why):
    return Cause("Forbidden", field, f"Forbidden: {why}")


def required_field(field):
    return Cause("Required", field, "Required value")


def invalid(kind, name, causes):
    messages = list(dict.fromkeys(cause.message() for cause in causes))
    text = messages[0] if len(messages) == 1 else "[" + ", ".join(messages) + "]"
    details = {"name": name, "kind": kind} if name else {}
    details["causes"] = [cause.cause() for cause in causes]
    return failure(422, "Invalid", f'{kind} "{name}" is invalid: {text}', details)


def go_map(value):
    """A JSON value as Go's %v prints it: the server quotes an undecodable patch like this."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{k}:{go_map(value[k])}" for k in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(go_map(item) for item in value) + "]"
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


# About a Pod

def key_of(pod):
    return pod["metadata"]["namespace"], pod["metadata"]["name"]


def is_sidecar(container):
    return container.get("restartPolicy") == RESTARTABLE


def long_running(pod):
    """The containers that run as long as the pod: its containers and its native sidecars."""
    spec = pod["spec"]
    sidecars = [c for c in spec.get("initContainers") or [] if is_sidecar(c)]
    return sidecars + list(spec.get("containers") or [])


def resources_of(container):
    """A copy of {requests: {...}, limits: {...}}, with both keys."""
    own = container.get("resources") or {}
    return {kind: dict(own.get(kind) or {}) for kind in ("requests", "limits")}


def without_empty(resources):
    return {kind: dict(resources[kind]) for kind in ("limits", "requests") if resources.get(kind)}


def resources_by_name(pod):
    return {c["name"]: resources_of(c) for c in long_running(pod)}


def total(by_name, kind, name):
    """The sum over containers of one resource; None if a limit is missing, or every request."""
    found = [r[kind][name] for r in by_name.values() if name in r[kind]]
    if not found or (kind == "limits" and len(found) != len(by_name)):
        return None
    amount = found[0]
    for more in found[1:]:
        amount = quantity.add(amount, more)
    return amount


def _counted(resources):
    return {n: quantity.value(q) for n, q in resources.items()
            if n in ("cpu", "memory") and quantity.value(q) > 0}


def qos_class(pod):
    """Guaranteed, Burstable or BestEffort, as Kubernetes computes it: a zero counts as absent."""
    containers = (pod["spec"].get("containers") or []) + (pod["spec"].get("initContainers") or [])
    has_any, is_guaranteed = False, True
    for container in containers:
        resources = resources_of(container)
        requests, limits = _counted(resources["requests"]), _counted(resources["limits"])
        has_any = has_any or bool(requests or limits)
        if set(limits) != {"cpu", "memory"} or requests != limits:
            is_guaranteed = False
    if not has_any:
        return "BestEffort"
    return "Guaranteed" if is_guaranteed else "Burstable"


def find(containers, name):
    return next((c for c in containers or [] if c.get("name") == name), None)


def copy_of(document):
    return copy.deepcopy(document)

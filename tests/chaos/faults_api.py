# SPDX-License-Identifier: MIT
"""The API server and the kubelet refuse, break off, are late, or are away. That costs a request no
more than the wake timeout."""
import json

from faults_process import pause
from ledger import NOTE, STALL

UP, DOWN = {"method": "PATCH", "size": "up"}, {"method": "PATCH", "size": "down"}
WATCH, POD = {"path": "watch=1"}, {"method": "GET", "path": "/pods/"}
PATCH = {"method": "PATCH"}
MATCHES = (None, UP, DOWN, PATCH, POD, WATCH)

# name of the fault: (kind, options, what it may strike) of tests/fake/faults.py
ANSWERS = {
    "api_401": (401, {}, MATCHES),
    "api_403_rbac": (403, {}, MATCHES),
    "api_403_capacity": (403, {"why": "capacity"}, (UP, DOWN, PATCH)),
    "api_403_quota": (403, {"why": "quota"}, (UP, DOWN, PATCH)),
    "api_404_path": (404, {"why": "path"}, (UP, DOWN, PATCH)),
    "api_409": (409, {}, (UP, DOWN, PATCH)),
    "api_422": (422, {}, (UP, DOWN, PATCH)),
    "api_429": (429, {"retry_after_s": 1}, MATCHES),
    "api_500": (500, {}, MATCHES),
    "api_503": (503, {"retry_after_s": 1}, MATCHES),
    "api_slow": ("delay", {"ms": 600}, MATCHES),
    "api_slow_after": ("delay", {"ms": 600, "when": "after"}, (UP, DOWN, PATCH)),
    "api_slow_body": ("slow-body", {"ms": 60}, MATCHES),
    "api_hang": ("hang", {}, MATCHES),
    "api_hang_after": ("hang", {"when": "after"}, (UP, DOWN, PATCH)),
    "api_reset": ("reset", {}, MATCHES),
    "api_reset_after": ("reset", {"when": "after"}, (UP, DOWN, PATCH)),
    "api_reset_headers": ("reset", {"at": "headers"}, MATCHES),
    "api_reset_body": ("reset", {"at": "body"}, MATCHES),
    "api_truncated": ("truncate", {}, MATCHES),
    "api_half_json": ("half-json", {}, MATCHES),
    "api_garbage": ("garbage", {}, MATCHES),
    "api_wrong_uid": ("wrong-uid", {}, (None, POD, PATCH)),
    "api_tls_close": ("tls-close", {}, (None,)),
    "api_tls_untrusted": ("tls-untrusted", {}, (None,)),
    "api_watch_410": ("watch-410", {}, (WATCH,)),
    "api_watch_end": ("watch-end", {}, (WATCH,)),
    "api_watch_half_line": ("watch-half", {}, (WATCH,)),
    "kubelet_deferred": ("deferred", {}, (UP, DOWN, PATCH)),
    "kubelet_infeasible": ("infeasible", {}, (UP, DOWN, PATCH)),
    "kubelet_never": ("never", {}, (UP, DOWN, PATCH)),
    "kubelet_stuck": ("stuck", {}, (UP, DOWN, PATCH)),
    "kubelet_slow": ("slow", {"ms": 1500}, (UP, DOWN, PATCH)),
}
# A watch is told, and has to break, for such a fault to be seen.
OF_WATCH = ("api_watch_410", "api_watch_end", "api_watch_half_line")


def answer_badly(target, step):
    kind, options, matches = ANSWERS[step.kind]
    match = matches[int(step.chance * len(matches))]
    server = target.host.server
    with target.ledger.window(NOTE, f"{step.kind} {json.dumps(match)}"):
        fault = server.faults.add(match, kind, **options)
        if match == WATCH and step.kind not in OF_WATCH:
            server.end_watches()
        pause(step)
        fault.remove()
        catch_up(server)


def catch_up(server):
    """What a kubelet does in the end with a resize that it has not noticed, or has put off."""
    with server.store.lock:
        for pod in server.store.list("pods"):
            server.grant(pod["metadata"]["name"])
            server.kubelet.resize(pod)


def api_404(target, step):
    """Who is told that his pod is gone leaves, and is started anew."""
    with target.ledger.window(STALL, step.kind):
        fault = target.host.server.faults.add(POD if step.chance < 0.5 else PATCH, 404)
        pause(step)
        fault.remove()


def api_away(target, step):
    with target.ledger.window(NOTE, step.kind):
        target.host.server.go_down()
        pause(step)
        target.host.server.come_back()


def api_drops_connections(target, _):
    target.host.server.drop_connections()


def api_dead_connections(target, _):
    target.host.server.isolate_connections()


def api_watches_end(target, step):
    target.host.server.end_watches(with_410=step.chance < 0.5)


def api_token_expired(target, step):
    with target.ledger.window(NOTE, step.kind):
        target.host.server.expire_token()
        pause(step)
        target.host.server.rotate_token()


def kubelet_late(target, step):
    """All of it, for a while."""
    with target.ledger.window(NOTE, step.kind):
        target.host.server.kubelet.configure(allocate_ms=300, actuate_ms=900, status_ms=300)
        pause(step)
        target.host.server.kubelet.configure(allocate_ms=20, actuate_ms=50, status_ms=60)


KINDS = {**dict.fromkeys(ANSWERS, answer_badly), **{kind.__name__: kind for kind in (
    api_404, api_away, api_drops_connections, api_dead_connections, api_watches_end,
    api_token_expired, kubelet_late)}}

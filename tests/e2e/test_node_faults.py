#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`doze node`: an API server or a kubelet that refuses, breaks off or is away.

usage: test_node_faults.py [PART-OF-A-NAME]      prints TAP; exit status 1 if a test failed
"""
import json
import os
import subprocess
import uuid

from harness import check, equal, main, test
from node import ASLEEP_QUOTA_US, LONG_MS, asleep_pod, doze_binary, make_node, wait_until
from pod import PROMPT_MS, over_http2, pods


# --- a resize that is refused ---


@test([("rbac",), ("limitrange",)])
def pod_that_the_api_server_refuses_to_resize_sleeps_by_its_cgroup(t, why):
    node = make_node(t)
    pod = node.add_pod("web", {})
    node.server.faults.add({"method": "PATCH", "path": "/resize"}, 403, why=why)
    node.start_doze()
    pod.wait_asleep()
    equal(pod.quota_us(), ASLEEP_QUOTA_US, "the quota asleep")
    equal(pod.size(), pod.full, "its spec")
    wait_until(lambda: pod.events("ResizeRefused"), "an event")
    pod.expect_answer(PROMPT_MS)
    pod.until_full()


@test()
def pod_of_a_server_without_resize_sleeps_by_its_cgroup(t):
    node = make_node(t)
    pod = node.add_pod("web", {})
    node.server.faults.add({"method": "PATCH", "path": "/resize"}, 404, why="path")
    node.start_doze()
    pod.wait_asleep()
    equal(pod.quota_us(), ASLEEP_QUOTA_US, "the quota asleep")
    event = wait_until(lambda: pod.events("ResizeRefused"), "an event")[0]
    check("1.33 or newer is needed" in event["message"], event["message"])
    pod.expect_answer(PROMPT_MS)
    pod.until_full()


@test([("infeasible",), ("deferred",)])
def pod_that_the_kubelet_refuses_to_resize_sleeps_by_its_cgroup(t, kind):
    node = make_node(t)
    pod = node.add_pod("web", {}, pods.guaranteed("web"))
    node.server.faults.add({"method": "PATCH", "size": "down"}, kind)
    node.start_doze()
    pod.wait_asleep()
    equal(pod.quota_us(), ASLEEP_QUOTA_US, "the quota asleep")
    wait_until(lambda: pod.size() == pod.full, "its spec is full again")
    event = wait_until(lambda: pod.events("ResizeRefused"), "an event")[0]
    check(kind.capitalize() in event["message"], event["message"])
    pod.expect_answer(PROMPT_MS)
    pod.until_full()
    pod.wait_asleep()
    # Whoever calls while the refusal is being undone has the size asked for once more.
    asked = len(node.server.requests.resizes())
    pod.expect_answer(PROMPT_MS)
    pod.wait_asleep()
    equal(pod.quota_us(), ASLEEP_QUOTA_US, "the quota asleep again")
    equal(len(node.server.requests.resizes()), asked, "requests to resize it, after the refusal")


@test()
def node_whose_pods_it_may_not_see_is_not_ready(t):
    """For a rollout, which goes on with the next node when this one is ready."""
    node = make_node(t)
    socket = os.path.join(node.directory, "doze.sock")

    def is_ready():
        return subprocess.run([doze_binary(), "status", "--ready", socket], check=False,
                              capture_output=True).returncode == 0
    fault = node.server.faults.add({"method": "GET", "path": "/pods"}, 403, why="rbac")
    doze = node.launch_doze()
    doze.lines.wait("cannot watch the pods")
    told = subprocess.run([doze_binary(), "status", socket], check=True, capture_output=True,
                          text=True).stdout
    check("cannot see the pods of the node" in told, told)
    check(not is_ready(), "it is ready")
    fault.remove()
    doze.lines.wait("the pods of the node are known")
    wait_until(is_ready, "it is ready")


# --- a resize that is not granted ---


@test([("deferred",), (503,), (409,), ("hang",), ("rbac",), ("quota",)])
def pod_keeps_its_cpu_when_the_api_server_does_not_grant_it(t, kind):
    node, pod = asleep_pod(t)
    what = {"kind": 403, "why": kind} if kind in ("rbac", "quota") else {"kind": kind}
    fault = node.server.faults.add({"method": "PATCH", "size": "up"}, **what)
    for _ in range(5):
        pod.expect_answer(PROMPT_MS)
        equal(pod.quota_us(), pod.full_quota_us, "the quota")
    fault.remove()
    if kind == "deferred":
        node.server.grant("web")

    def full():
        pod.expect_answer(PROMPT_MS)
        return pod.is_full
    wait_until(full, "the full size", limit_s=40)


@test()
def pending_resize_is_an_event(t):
    node, pod = asleep_pod(t, manifest=pods.guaranteed("web"))
    node.server.faults.add({"method": "PATCH", "size": "up"}, "deferred")
    pod.expect_answer(PROMPT_MS)
    wait_until(lambda: pod.events("ResizePending"), "an event")


@test()
def api_server_that_is_away_delays_no_wake(t):
    node, pod = asleep_pod(t, {"asleep": "freeze"})
    node.server.go_down()
    for _ in range(3):
        pod.expect_answer(PROMPT_MS)
    node.server.come_back()
    wait_until(lambda: pod.request().is_ok and pod.is_full, "the full size", limit_s=40)


@test()
def pod_of_the_same_name_on_another_node_is_left_alone(t):
    """As of a StatefulSet that has moved, before the watch tells of it."""
    node = make_node(t)
    pod = node.add_pod("web", {"idle-after": "1s", "idle-max": "1s"})
    node.start_doze()
    pod.wait_log("watching")
    node.server.faults.add({"path": "watch=1"}, 500)
    node.server.end_watches()
    node.doze.lines.wait("cannot watch the pods")  # before that it may tell of the move
    moved = json.loads(json.dumps(pod.object()))
    moved["metadata"]["uid"] = str(uuid.uuid4())
    moved["spec"]["nodeName"] = "node2"
    node.server.store.put("pods", moved)
    node.doze.lines.wait("the pod is gone or going", "default/web")
    equal(node.server.requests.resizes(), [], "resizes")


# --- the watch ---


@test([("watch-end", None), ("watch-410", None), ("reset", "headers"), ("half-json", None),
       ("truncate", None), (500, None)])
def watch_that_breaks_loses_no_pod(t, kind, at):
    break_watch(make_node(t), kind, at)


@test([("watch-end", None), ("reset", "headers")])
def watch_over_http2_that_breaks_loses_no_pod(t, kind, at):
    break_watch(make_node(t, **over_http2()), kind, at)


def break_watch(node, kind, at):
    node.server.faults.add({"path": "watch=1"}, kind, times=3, **({"at": at} if at else {}))
    node.start_doze()
    pod = node.add_pod("web", {})
    pod.wait_asleep()
    node.server.end_watches()
    pod.annotate(enabled=None)
    pod.until_full()


@test()
def pod_sleeps_and_wakes_over_http2_on_the_connection_of_the_watch(t):
    node, pod = asleep_pod(t, **over_http2())
    pod.expect_answer(LONG_MS)
    pod.until_full()
    pod.wait_asleep()
    equal(len({r.client for r in node.server.requests if r.verb in ("watch", "patch")}), 1,
          "connections")


@test()
def connection_that_is_dead_is_replaced(t):
    """As after a server has lost its power: over HTTP/2, where the watch is on it as well."""
    node, pod = asleep_pod(t, **over_http2())
    node.server.isolate_connections()
    other = node.add_pod("other", {})
    pod.expect_answer(LONG_MS)
    pod.until_full()
    other.wait_asleep()


@test()
def role_without_watch_is_said_and_asked_again(t):
    node = make_node(t)
    pod = node.add_pod("web", {})
    node.server.allow_only((("get", "pods"),))
    node.launch_doze()
    node.doze.lines.wait("level=error", "cannot watch the pods of node 'node1'")
    node.server.allow_only((("get", "pods"), ("list", "pods"), ("watch", "pods"),
                            ("patch", "pods/resize"), ("get", "nodes"), ("create", "events")))
    pod.wait_asleep()


@test()
def node_that_is_not_there_is_said(t):
    node = make_node(t)
    doze = node.launch_doze(NODE_NAME="node7")
    equal(doze.wait(), 1, "status")
    check(doze.lines.matching("there is no node 'node7'"), "the log does not say so")


if __name__ == "__main__":
    main()

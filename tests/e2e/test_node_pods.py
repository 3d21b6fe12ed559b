#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`doze node`: which pods it takes, and what it does with those that change, end or go.

usage: test_node_pods.py [PART-OF-A-NAME]      prints TAP; exit status 1 if a test failed
"""
import json
import os
import signal

import netns
import node as nodes
from harness import check, equal, main, test
from node import ASLEEP_QUOTA_US, asleep_pod, expect_full_cgroups, make_node, wait_until
from pod import PROMPT_MS, pods


# --- who is taken in ---


@test([(None,), ("false",)])
def pod_that_is_not_ours_is_left_alone(t, enabled):
    node = make_node(t)
    pod = node.add_pod("web", None if enabled is None else {"enabled": enabled})
    other = node.add_pod("other", {})
    node.start_doze()
    other.wait_asleep()
    equal(node.doze.lines.matching("default/web"), [], "lines about it")
    check(pod.is_full, "it was touched")


@test([({"enabled": "yes"}, "'yes'"), ({"idle-after": "soon"}, "'soon'"),
       ({"idle-after": ""}, "''"), ({"idle-after": "1"}, "'1'"), ({"port": "http"}, "'http'"),
       ({"port": "70000"}, "'70000'"), ({"asleep": "deeply"}, "'deeply'"),
       ({"asleep-cpu": "15m"}, "'15m'"), ({"containers": "nope"}, "'nope'"),
       ({"stay-awake": "always"}, "'always'"), ({"ignore-source": "10.0.0.0/33"}, "'10.0.0.0/33'"),
       ({"group": "a b"}, "'a b'"), ({"idle-afte": "5m"}, "'5m'"),
       ({"probe-port": "0"}, "'0'"), ({"reclaim-after": "-1s"}, "'-1s'"),
       ({"wake-timeout": "24h"}, "'86400000ms'")])
def annotation_that_is_wrong_is_an_event_and_the_pod_is_left_alone(t, annotations, quoted):
    node = make_node(t)
    pod = node.add_pod("web", annotations)
    other = node.add_pod("other", {})
    node.start_doze()
    other.wait_asleep()
    event = wait_until(lambda: pod.events("InvalidAnnotation"), "an event")[0]
    check(quoted in event["message"], f"the value is not quoted: {event['message']}")
    check(next(iter(annotations)) in event["message"], f"nor its name: {event['message']}")
    equal(event["type"], "Warning", "type")
    check(pod.is_full, "it was touched")


@test()
def pod_with_more_ports_than_its_share_is_left_alone(t):
    """The gate's table is all pods'."""
    node = make_node(t)
    pod = node.add_pod("web", {"port": ",".join(str(port) for port in range(8000, 8017))})
    other = node.add_pod("other", {})
    node.start_doze()
    other.wait_asleep()
    event = wait_until(lambda: pod.events("CannotSleep"), "an event")[0]
    check("'17' ports" in event["message"], event["message"])
    check(pod.is_full, "it was touched")


@test()
def container_that_is_told_to_end_while_it_is_frozen_ends(t):
    """As by a kubelet whose reason the API server does not show, such as a failed liveness probe."""
    node, pod = asleep_pod(t, {"asleep": "freeze"})
    wait_until(lambda: pod.is_frozen, "it is frozen")

    def has_ended():
        try:
            with open(f"/proc/{pod.pid}/cmdline", "rb") as file:
                return not file.read()  # a zombie has none
        except FileNotFoundError:
            return True
    os.kill(pod.pid, signal.SIGTERM)
    wait_until(has_ended, "it has ended")
    check(node.doze.lines.matching("is told to end"), "it was not said")


@test()
def annotation_that_is_mended_counts_without_a_restart(t):
    node = make_node(t)
    pod = node.add_pod("web", {"idle-after": "soon"})
    node.start_doze()
    wait_until(lambda: pod.events("InvalidAnnotation"), "an event")
    pod.annotate(idle_after="300ms")
    pod.wait_asleep()


@test()
def annotation_that_changes_counts_without_a_restart(t):
    node = make_node(t)
    pod = node.add_pod("web", {"idle-after": "1h", "idle-max": "1h"})
    node.start_doze()
    pod.wait_log("watching")
    pod.annotate(idle_after="300ms", idle_max="300ms")
    pod.wait_asleep()
    pod.annotate(asleep="freeze")
    wait_until(lambda: pod.is_frozen, "it is frozen")
    pod.expect_answer(PROMPT_MS)


@test([("enabled", None), ("enabled", "false"), ("idle_after", "never")])
def pod_that_is_no_longer_ours_gets_its_full_size(t, name, value):
    node, pod = asleep_pod(t, {"asleep": "freeze"})
    pod.annotate(**{name: value})
    pod.until_full()
    wait_until(lambda: not node.state(), "nothing is kept of it")
    pod.expect_answer(PROMPT_MS)


@test()
def pod_that_is_not_ready_is_taken_when_it_is(t):
    node = make_node(t)
    manifest = pods.burstable("web")
    pod = node.add_pod("web", {}, manifest)
    node.server.set_ready("web", "app", False)
    node.start_doze()
    equal(node.doze.lines.matching('msg="watching"', "default/web"), [], "it was taken")
    node.server.set_ready("web", "app", True)
    pod.wait_asleep()


@test()
def pod_that_appears_later_is_taken(t):
    node = make_node(t)
    node.start_doze()
    pod = node.add_pod("web", {})
    pod.wait_asleep()
    pod.expect_answer(PROMPT_MS)


@test([("best_effort",), ("requests_only",)])
def pod_that_the_api_server_cannot_resize_sleeps_by_its_cgroup(t, kind):
    node, pod = asleep_pod(t, manifest=getattr(pods, kind)("web"))
    equal(pod.quota_us(), ASLEEP_QUOTA_US, "the quota asleep")
    pod.expect_answer(PROMPT_MS)
    equal(pod.quota_us(), -1, "the quota awake")
    equal(node.server.requests.resizes(), [], "requests to resize it")
    wait_until(lambda: node.state() == [f"{pod.uid}.pod"], "nothing is kept of its size")


@test([("cri-o://",), ("",), ("docker://../../etc",)])
def container_id_that_names_no_cgroup_is_an_event(t, identifier):
    node = make_node(t)
    pod = node.add_pod("web", None)
    other = node.add_pod("other", {})
    with node.server.store.lock:
        found = pod.object()
        found["status"]["containerStatuses"][0]["containerID"] = identifier or "x://" + "0" * 64
        node.server.store.put("pods", found)
    pod.annotate(enabled="true")
    node.start_doze()
    other.wait_asleep()
    event = wait_until(lambda: pod.events("CannotSleep"), "an event")[0]
    check("no cgroup" in event["message"], event["message"])


@test()
def pod_whose_namespace_has_not_its_address_is_an_event_and_tried_again(t):
    node = make_node(t)
    pod = node.add_pod("web", {})
    netns.ip("-n", pod.netns, "address", "delete", f"{pod.address}/{nodes.PREFIX_LEN}", "dev",
             "eth0")
    node.start_doze()
    event = wait_until(lambda: pod.events("CannotSleep"), "an event")[0]
    check(f"'{pod.address}'" in event["message"], event["message"])
    check(pod.is_full, "it was touched")
    netns.ip("-n", pod.netns, "address", "add", f"{pod.address}/{nodes.PREFIX_LEN}", "dev", "eth0")
    pod.wait_asleep()


# --- containers and pods that end ---


@test([("throttle",), ("freeze",)])
def pod_that_is_deleted_asleep_gets_its_cpu_at_once(t, depth):
    node, pod = asleep_pod(t, {"asleep": depth})
    pod.delete(grace_s=30)
    wait_until(lambda: pod.quota_us() == pod.full_quota_us and not pod.is_frozen,
               "the full size of its cgroup")
    pod.expect_answer(PROMPT_MS)
    pod.delete(remove=True)
    wait_until(lambda: not node.state(), "nothing is kept of it")


@test()
def pod_that_ends_asleep_is_let_go(t):
    """Evicted: the object stays, and the kubelet resizes it no more."""
    node, pod = asleep_pod(t, {"asleep": "freeze"}, flags=("--on-exit=wake",))
    with node.server.store.lock:
        found = json.loads(json.dumps(pod.object()))
        found["status"]["phase"] = "Failed"
        node.server.store.put("pods", found)
    wait_until(lambda: pod.quota_us() == pod.full_quota_us and not pod.is_frozen,
               "the full size of its cgroup")
    wait_until(lambda: not node.state(), "nothing is kept of it")
    equal(node.stop_doze(), 0, "status")
    equal(pod.size()[1], "10m", "the spec's limit")


@test()
def pod_that_vanishes_is_forgotten_and_its_name_may_come_again(t):
    node, pod = asleep_pod(t)
    pod.delete(grace_s=0)
    wait_until(lambda: not node.state(), "nothing is kept of it")
    again = node.add_pod("web", {})
    wait_until(lambda: len(node.doze.lines.matching('msg="watching"', "default/web")) == 2,
               "the new one is taken")
    again.expect_answer(PROMPT_MS)


@test()
def container_that_starts_anew_while_asleep_gets_the_full_size(t):
    node, pod = asleep_pod(t)
    node.server.restart_container("web", "app")
    pod.until_full()


@test([("deferred",), (403,), ("hang",)])
def container_that_starts_anew_is_not_left_at_the_asleep_size_by(t, kind):
    """Its cgroup is another, which the kubelet has made as small as the pod is by now."""
    node, pod = asleep_pod(t)
    node.server.faults.add({"method": "PATCH", "size": "up"}, kind)
    for _ in range(2):
        pod.restart(ready_ms=None)
        expect_full_cgroups(pod)


def reach(moment, node, pod):
    """Until the pod is in that moment; what must be waited for afterwards."""
    if moment == "awake":
        pod.wait_log("watching")
    elif moment == "shrinking":
        node.server.requests.wait(lambda r: r.is_resize, 10)
    else:
        pod.wait_asleep()
    return pod.begin_request() if moment == "growing" else None


ACTIONS = {
    "deleted": lambda pod: pod.delete(grace_s=30),
    "disabled": lambda pod: pod.annotate(enabled=None),
    "changed": lambda pod: pod.annotate(idle_after="1h", idle_max="1h"),
    "spoiled": lambda pod: pod.annotate(asleep="deeply"),
}


@test([(moment, action) for moment in ("awake", "shrinking", "asleep", "growing")
       for action in ACTIONS])
def pod_gets_its_full_size_whenever_it_is(t, moment, action):
    node = make_node(t)
    pod = node.add_pod("web", {"asleep": "freeze"})
    node.start_doze()
    answer = reach(moment, node, pod)
    ACTIONS[action](pod)
    if answer:
        check(answer().is_ok, f"lost: {answer()}")
    wait_until(lambda: pod.quota_us() == pod.full_quota_us and not pod.is_frozen,
               "the full size of its cgroup")
    if action != "deleted":  # the kubelet resizes no pod that is being deleted
        pod.until_full()
    pod.expect_answer(PROMPT_MS)


if __name__ == "__main__":
    main()

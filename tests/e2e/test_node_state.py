#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`doze node`: doze ends or is killed, and the next one goes on with what it finds.

usage: test_node_state.py [PART-OF-A-NAME]      prints TAP; exit status 1 if a test failed
"""
import fcntl
import json
import os
import signal
import socket

import netns
import node as nodes
from harness import check, equal, main, test
from node import ASLEEP_QUOTA_US, asleep_pod, expect_full_cgroups, make_node, wait_until
from pod import PROMPT_MS, pods

KEPT = ("pod", "quota", "size")  # the state files of a pod, by what comes after its uid


def kept(pod, kind):
    return os.path.join(pod.node.state_directory, f"{pod.uid}.{kind}")


def lose(pod, *kinds):
    """Those of its state files, or all."""
    for kind in kinds or KEPT:
        if os.path.exists(kept(pod, kind)):
            os.unlink(kept(pod, kind))


@test()
def pod_left_asleep_that_cannot_be_watched_gets_its_full_size(t):
    node, pod = asleep_pod(t)
    node.doze.kill()
    with netns.inside(pod.netns):
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with lock:
        lock.bind(f"\0doze/port/{nodes.PORT}/tcp")
        node.start_doze()
        pod.until_full()
        wait_until(lambda: pod.events("CannotSleep"), "an event")
    pod.wait_asleep()


@test([("SIGTERM",), ("SIGKILL",)])
def container_that_starts_anew_between_two_dozes_gets_the_full_size(t, how):
    node, pod = asleep_pod(t)
    node.doze.signal(getattr(signal, how))
    node.doze.wait()
    node.server.faults.add({"method": "PATCH", "size": "up"}, "hang")
    pod.restart(ready_ms=None)
    equal(pod.quota_us(), ASLEEP_QUOTA_US, "the quota in between")
    node.start_doze()
    expect_full_cgroups(pod)


@test([("throttle", "SIGTERM"), ("freeze", "SIGTERM"), ("throttle", "SIGKILL"),
       ("freeze", "SIGKILL")])
def next_doze_finds_the_pod_asleep_and_wakes_nothing(t, depth, how):
    node, pod = asleep_pod(t, {"asleep": depth, "idle-after": "300ms"})
    node.doze.signal(getattr(signal, how))
    node.doze.wait()
    equal(pod.quota_us(), ASLEEP_QUOTA_US, "the quota in between")
    wait_until(lambda: not pod.is_frozen, "thawed, with nobody else to do it")
    node.start_doze()
    pod.wait_log("watching", "asleep=yes")
    equal(pod.quota_us(), ASLEEP_QUOTA_US, "the quota afterwards")
    wait_until(lambda: depth == "throttle" or pod.is_frozen, "as deep as it was")
    pod.expect_answer(PROMPT_MS)
    pod.until_full()


@test([("SIGTERM",), ("SIGKILL",)])
def who_calls_in_between_is_answered_slowly(t, how):
    node, pod = asleep_pod(t, {"asleep": "freeze"})
    node.doze.signal(getattr(signal, how))
    node.doze.wait()
    check(pod.request().is_ok, "lost, although it is only slow")


@test()
def pod_that_the_watchdog_has_thawed_is_frozen_again_when_doze_goes_on(t):
    node, pod = asleep_pod(t, {"asleep": "freeze"})
    node.doze.signal_daemon(signal.SIGSTOP)
    wait_until(lambda: not pod.is_frozen, "the watchdog has thawed it")
    node.doze.signal_daemon(signal.SIGCONT)
    wait_until(lambda: pod.is_frozen, "it is frozen again")
    pod.expect_answer(PROMPT_MS)


@test([("throttle",), ("freeze",)])
def daemon_that_is_killed_six_times_is_started_anew_each_time(t, depth):
    """By its supervisor: the runtime, which would wait longer each time, sees nothing of it."""
    node, pod = asleep_pod(t, {"asleep": depth})
    for kills in range(1, 7):
        node.doze.signal_daemon(signal.SIGKILL)
        check(pod.request().is_ok, f"lost after kill {kills}")
        pod.wait_log("watching", count=kills + 1)
        pod.expect_answer(PROMPT_MS)
        pod.wait_asleep()
    check(node.doze.is_alive, "the supervisor has ended")
    equal(node.stop_doze(), 0, "status")


@test([("throttle",), ("freeze",)])
def quota_that_somebody_writes_meanwhile_is_the_full_one_from_then_on(t, depth):
    node, pod = asleep_pod(t, {"asleep": depth})
    larger_us = pod.full_quota_us + 10000
    for path in (pod.pod_path, pod.container_path):
        pod.write_quota_us(path, larger_us)
    wait_until(lambda: pod.quota_us() == ASLEEP_QUOTA_US, "throttled again")
    wait_until(lambda: depth == "throttle" or pod.is_frozen, "as deep as it was")
    equal(node.doze.lines.matching('msg="awake"'), [], "wakes")
    pod.expect_answer(PROMPT_MS)
    wait_until(lambda: pod.quota_us() == larger_us, "what was written is full")


def resize_by_somebody(pod, request, limit):
    server = pod.node.server
    with server.store.lock:
        found = json.loads(json.dumps(pod.object()))
        found["spec"]["containers"][0]["resources"]["requests"]["cpu"] = request
        found["spec"]["containers"][0]["resources"]["limits"]["cpu"] = limit
        found["metadata"]["generation"] += 1
        server.kubelet.resize(server.store.put("pods", found))


@test([("throttle",), ("freeze",)])
def last_size_that_somebody_asks_for_meanwhile_is_the_full_one_from_then_on(t, depth):
    node, pod = asleep_pod(t, {"asleep": depth})
    asleep = pod.size()
    for size in (("300m", "1500m"), ("260m", "1200m"), ("280m", "1300m")):
        resize_by_somebody(pod, *size)
        wait_until(lambda: pod.quota_us() == ASLEEP_QUOTA_US and pod.size() == asleep,
                   "asleep again")
    equal(node.doze.lines.matching('msg="awake"'), [], "wakes")
    pod.expect_answer(PROMPT_MS)
    wait_until(lambda: pod.size() == ("280m", "1300m") and pod.quota_us() == 130000,
               "what was asked for last is full")


@test()
def size_that_somebody_asks_for_while_doze_is_away_is_the_full_one_from_then_on(t):
    """What was kept of the pod is older."""
    node, pod = asleep_pod(t)
    node.doze.kill()
    resize_by_somebody(pod, "300m", "1500m")
    wait_until(lambda: pod.quota_us() == 150000, "the kubelet has done it")
    before = len(node.server.requests.resizes("up"))
    node.start_doze()
    pod.wait_asleep()
    pod.expect_answer(PROMPT_MS)
    wait_until(lambda: pod.size() == ("300m", "1500m") and pod.quota_us() == 150000,
               "what was asked for is full")
    asked = [r.body["spec"]["containers"][0]["resources"]["limits"]["cpu"]
             for r in node.server.requests.resizes("up")[before:]]
    check(set(asked) <= {"1500m"}, f"asked for: {asked}")


@test()
def who_calls_in_between_is_found_by_the_next_doze(t):
    """When its supervisor was killed as well, as with the container."""
    node, pod = asleep_pod(t, {"asleep": "freeze"})
    node.doze.kill()
    answer = pod.begin_request()
    node.start_doze()
    check(answer().is_ok, "lost")
    pod.wait_log("awake", "reason=called_meanwhile")


@test()
def on_exit_wake_gives_everything_back(t):
    node, pod = asleep_pod(t, {"asleep": "freeze"}, flags=("--on-exit=wake",))
    equal(node.stop_doze(), 0, "status")
    check(pod.is_full, f"left at {pod.size()}, quota {pod.quota_us()}")
    equal(node.state(), [], "state")


@test([("SIGTERM",), ("SIGKILL",)])
def uninstall_gives_everything_back(t, how):
    node = make_node(t)
    all_pods = [node.add_pod(f"web{i}", {"asleep": depth})
                for i, depth in enumerate(("throttle", "freeze", "throttle"))]
    bare = node.add_pod("bare", {"asleep": "freeze"}, pods.best_effort("bare"))
    awake = node.add_pod("awake", {"idle-after": "1h", "idle-max": "1h"})
    node.start_doze()
    for pod in (*all_pods, bare):
        pod.wait_asleep()
    awake.wait_log("watching")
    node.doze.signal(getattr(signal, how))
    node.doze.wait()
    all_pods[2].annotate(enabled=None)
    doze = node.launch_doze("--uninstall")
    equal(doze.wait(), 0, "status")
    for pod in (*all_pods, bare):
        check(pod.is_full, f"{pod.name} left at {pod.size()}, quota {pod.quota_us()}")
    equal(node.state(), [], "state")


@test([(), ("--uninstall",)])
def second_doze_on_a_node_says_that_there_is_one(t, *flags):
    node, pod = asleep_pod(t)
    second = node.spare_doze(*flags)
    second.lines.wait("another doze node is at work here", node.state_directory)
    equal(second.wait(), 1, "status")
    equal(pod.quota_us(), ASLEEP_QUOTA_US, "the quota")


@test()
def doze_waits_for_the_end_of_one_that_was_killed(t):
    """With many gates that takes the kernel seconds."""
    node, pod = asleep_pod(t)
    node.doze.kill()
    held = os.open(node.state_directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        node.launch_doze().lines.wait("waiting for its end")
    finally:
        os.close(held)
    node.doze.lines.wait("the pods of the node are known")
    pod.expect_answer(PROMPT_MS)


@test()
def pod_deleted_while_nobody_watched_is_forgotten(t):
    node, pod = asleep_pod(t)
    node.stop_doze()
    check(node.state(), "no state is kept")
    pod.delete(grace_s=0)
    pod.end()
    node.start_doze()
    wait_until(lambda: not node.state(), "the state is gone")


@test()
def list_without_a_pod_that_has_a_cgroup_here_is_no_reason_to_forget_it(t):
    """As that of another node or another cluster is."""
    node, pod = asleep_pod(t)
    node.stop_doze()
    state = node.state()
    node.server.add_node("node2")  # doze ends when there is none, maybe before it has the list
    node.start_doze(NODE_NAME="node2")
    node.stop_doze()
    equal(node.state(), state, "state")
    node.start_doze()
    pod.expect_answer(PROMPT_MS)
    pod.until_full()


@test()
def pod_that_is_disabled_while_nobody_watched_gets_its_full_size(t):
    node, pod = asleep_pod(t, {"asleep": "freeze"})
    node.doze.kill()
    pod.annotate(enabled=None)
    node.start_doze()
    pod.until_full()
    wait_until(lambda: not node.state(), "the state is gone")


@test()
def pod_that_is_disabled_while_nobody_watched_and_awake_is_forgotten(t):
    node = make_node(t)
    pod = node.add_pod("web", {"idle-after": "1h", "idle-max": "1h"})
    node.start_doze()
    pod.wait_log("watching")
    wait_until(node.state, "some state is kept")
    node.doze.kill()
    pod.annotate(enabled=None)
    node.start_doze()
    wait_until(lambda: not node.state(), "the state is gone")
    equal(pod.events(), [], "events")


@test([("10m", "20m"), ("20m", "10m")])
def pod_that_fell_asleep_at_another_size_gets_its_full_size(t, then, now):
    node, pod = asleep_pod(t, {"asleep-cpu": then, "idle-after": "300ms"})
    equal(pod.size()[1], then, "the limit asleep")
    node.doze.kill()
    pod.annotate(asleep_cpu=now, idle_after="1h", idle_max="1h")
    node.start_doze()
    pod.until_full()


@test()
def container_that_has_ended_meanwhile_leaves_no_other_asleep(t):
    node = make_node(t)
    pod = node.add_pod("web", {"asleep": "freeze"}, log="containers")
    node.start_doze()
    pod.wait_asleep()
    node.doze.kill()
    pod.remove_log_cgroup()
    node.start_doze()
    pod.until_full()


@test([("containers", {"containers": "app"}), ("initContainers", {"enabled": None})])
def container_that_is_no_longer_chosen_gets_its_full_size(t, where, then):
    node = make_node(t)
    pod = node.add_pod("web", {"containers": "app,log"}, log=where)
    node.start_doze()
    pod.wait_asleep()
    equal(pod.log_quota_us(), ASLEEP_QUOTA_US, "the quota asleep")
    node.doze.kill()
    pod.annotate(idle_after="1h", idle_max="1h", **then)
    node.start_doze()
    pod.until_full()
    wait_until(lambda: pod.log_quota_us() == pod.full_quota_us, "the other one's, too")
    limits = [c["resources"]["limits"]["cpu"] for c in pod.object()["spec"][where]]
    check("10m" not in limits, f"limits are {limits}")


@test()
def pod_whose_full_size_is_lost_keeps_its_cgroups(t):
    node, pod = asleep_pod(t, {"asleep": "freeze"})
    node.doze.kill()
    lose(pod, "size", "pod")
    node.start_doze()
    wait_until(lambda: pod.quota_us() == pod.full_quota_us and not pod.is_frozen,
               "the full size of its cgroup")
    event = wait_until(lambda: pod.events("CannotSleep"), "an event")[0]
    check("doze.dev/full" in event["message"], event["message"])
    check("delete it" in event["message"], event["message"])
    equal(pod.size()[1], "10m", "the spec's limit")
    pod.expect_answer(PROMPT_MS)


@test([(True,), (False,)])
def full_size_that_an_annotation_says_is_given_when_it_is_granted(t, is_granted):
    """The cgroups never get more than the API server allows: anybody may write an annotation."""
    node, pod = asleep_pod(t)
    node.doze.kill()
    lose(pod)
    pod.annotate(full='{"app":{"request":"250m","limit":"' + ("1" if is_granted else "64") + '"}}')
    if not is_granted:
        node.server.faults.add({"method": "PATCH", "size": "up"}, 403, why="quota")
    node.start_doze()
    check(pod.request().is_ok, "lost")
    if is_granted:
        pod.until_full()
        return
    node.doze.lines.wait("the cluster does not grant the full size", "exceeded quota")
    equal((pod.quota_us(), pod.pod_quota_us()), (ASLEEP_QUOTA_US, ASLEEP_QUOTA_US), "the quotas")


@test([("truncated",), ("garbage",), ("of another pod",)])
def state_that_is_damaged_loses_no_request(t, how):
    node, pod = asleep_pod(t)
    node.doze.kill()
    path = os.path.join(node.state_directory, f"{pod.uid}.quota")
    with open(path, encoding="ascii") as file:
        text = file.read()
    with open(path, "w", encoding="ascii") as file:
        file.write({"truncated": text[:20], "garbage": "\0\1{]", "of another pod":
                    text.replace("cri-containerd", "cri-x")}[how])
    node.start_doze()
    answer = pod.request()
    check(answer.is_ok, f"lost: {answer}")
    pod.until_full()


# --- the API server is away when the next doze starts ---


def start_without_server(node, how="SIGKILL"):
    """The next doze, of a node whose pods sleep."""
    node.doze.signal(getattr(signal, how))
    node.doze.wait()
    node.server.go_down()
    node.launch_doze()
    node.doze.lines.wait("cannot watch the pods")  # which it tries when all gates are closed


@test([("throttle", "SIGKILL", "burstable"), ("freeze", "SIGTERM", "burstable"),
       ("throttle", "SIGTERM", "guaranteed"), ("freeze", "SIGKILL", "best_effort")])
def sleeper_has_its_gate_and_wakes_before_the_api_server_is_back(t, depth, how, qos):
    node, pod = asleep_pod(t, {"asleep": depth}, getattr(pods, qos)("web"))
    size_asleep = pod.size()
    start_without_server(node, how)
    pod.wait_asleep()
    equal(pod.quota_us(), ASLEEP_QUOTA_US, "the quota")
    wait_until(lambda: depth == "throttle" or pod.is_frozen, "as deep as it was")
    pod.expect_answer(PROMPT_MS)
    equal(pod.quota_us(), pod.full_quota_us, "the quota of the cgroup")
    equal(pod.size(), size_asleep, "the spec")
    node.server.come_back()
    pod.until_full(limit_s=60)
    node.doze.lines.wait("the pods of the node are known", limit_s=60)
    pod.expect_answer(PROMPT_MS)
    pod.wait_asleep(limit_s=60)


@test()
def name_of_the_node_is_looked_at_once_the_api_server_is_back(t):
    """With a wrong one the list of pods would be empty for ever."""
    node = make_node(t)
    node.server.go_down()
    doze = node.launch_doze(NODE_NAME="node7")
    doze.lines.wait("cannot watch the pods")
    node.server.come_back()
    equal(doze.wait(limit_s=60), 1, "status")
    check(doze.lines.matching("there is no node 'node7'"), "the log does not say so")


@test()
def sleeper_sleeps_on_when_the_api_server_comes_back(t):
    node, pod = asleep_pod(t, {"asleep": "freeze"})
    asked = len(node.server.requests.resizes())
    start_without_server(node)
    pod.wait_asleep()
    node.server.come_back()
    node.doze.lines.wait("the pods of the node are known", limit_s=60)
    equal(node.doze.lines.matching('msg="awake"'), [], "wakes")
    equal(len(node.server.requests.resizes()), asked, "resizes")
    pod.expect_answer(PROMPT_MS)
    pod.until_full()


@test([(True,), (False,)])
def sleeper_that_is_deleted_while_the_api_server_is_away_is_forgotten(t, has_ended):
    """What the kubelet has not ended yet has its CPU to end by itself."""
    node, pod = asleep_pod(t)
    start_without_server(node)
    pod.wait_asleep()
    pod.delete(grace_s=0)
    if has_ended:
        pod.end()
    node.server.come_back()
    if not has_ended:
        expect_full_cgroups(pod)
        return
    wait_until(lambda: not node.state(), "the state is gone", limit_s=60)


@test()
def sleeper_that_another_pod_has_replaced_is_forgotten(t):
    node, pod = asleep_pod(t)
    start_without_server(node)
    pod.wait_asleep()
    pod.delete(grace_s=0)
    pod.end()
    other = node.add_pod("web", {})
    node.server.come_back()
    wait_until(lambda: {name.partition(".")[0] for name in node.state()} == {other.uid},
               "the state is the other's", limit_s=60)
    other.expect_answer(PROMPT_MS)
    other.wait_asleep()
    other.expect_answer(PROMPT_MS)


@test()
def sleeper_whose_annotations_change_while_the_api_server_is_away_goes_on_with_the_new_ones(t):
    node, pod = asleep_pod(t)
    start_without_server(node)
    pod.wait_asleep()
    pod.annotate(enabled=None)
    node.server.come_back()
    pod.until_full(limit_s=60)
    wait_until(lambda: not node.state(), "the state is gone")


@test([("pod",), ("quota",), ("size",), ("pod", "size"), ("quota", "size")])
def sleeper_of_which_a_part_is_lost_is_full_before_the_api_server_is_back(t, *kinds):
    node, pod = asleep_pod(t, {"asleep": "freeze"})
    node.doze.kill()
    lose(pod, *kinds)
    node.server.go_down()
    node.launch_doze()
    node.doze.lines.wait("cannot watch the pods")
    if kinds == ("size",):  # then all is known by the others, and it sleeps on
        pod.wait_asleep()
        pod.expect_answer(PROMPT_MS)
    wait_until(lambda: (pod.quota_us(), pod.pod_quota_us()) == 2 * (pod.full_quota_us,),
               "the full quotas")
    if "quota" not in kinds:  # which has the weights
        expect_full_cgroups(pod)
    pod.expect_answer(PROMPT_MS)
    node.server.come_back()
    if kinds == ("pod", "size"):
        wait_until(lambda: pod.events("CannotSleep"), "an event", limit_s=60)
        return
    pod.until_full(limit_s=60)
    equal(pod.events("CannotSleep"), [], "events")


@test()
def container_that_starts_anew_while_nobody_watches_is_said_before_the_api_server_is_back(t):
    node, pod = asleep_pod(t)
    node.doze.kill()
    pod.restart(ready_ms=None)
    node.server.go_down()
    node.launch_doze().lines.wait("leaving the pod 'default/web' alone", "started anew",
                                  "delete the pod")
    check(pod.request().is_ok, "lost")
    node.server.come_back()
    expect_full_cgroups(pod)


@test([("truncated",), ("of another version",), ("of another pod",)])
def pod_file_that_cannot_be_used_is_said(t, how):
    node, pod = asleep_pod(t)
    node.doze.kill()
    with open(kept(pod, "pod"), encoding="utf-8") as file:
        text = file.read()
    with open(kept(pod, "pod"), "w", encoding="utf-8") as file:
        file.write({"truncated": text[:99], "of another version": text.replace("1", "2", 1),
                    "of another pod": text.replace(pod.uid, "0000")}[how])
    node.server.go_down()
    doze = node.launch_doze()
    doze.lines.wait("cannot use the state file", f"{pod.uid}.pod")
    expect_full_cgroups(pod)
    pod.expect_answer(PROMPT_MS)


# --- state that is lost, with the API server there ---


@test([("size",), ("quota",), ("pod",), ("quota", "pod"), ("quota", "size")])
def sleeper_of_which_a_part_is_lost_is_mended(t, *kinds):
    node, pod = asleep_pod(t, {"asleep": "freeze"})
    node.doze.kill()
    lose(pod, *kinds)
    node.start_doze()
    pod.expect_answer(PROMPT_MS)
    pod.until_full()
    equal(pod.events("CannotSleep"), [], "events")


@test()
def sleeper_whose_size_is_lost_and_whose_container_starts_anew_is_mended(t):
    node, pod = asleep_pod(t)
    node.doze.kill()
    lose(pod, "size")
    pod.restart(ready_ms=None)
    node.start_doze()
    pod.until_full()
    equal(pod.events("CannotSleep"), [], "events")


@test([("freeze", True), ("freeze", False), ("throttle", True), ("throttle", False)])
def cgroup_that_is_asleep_although_nothing_was_kept_gets_what_its_spec_says(t, depth, is_ready):
    """Frozen, it cannot answer its probes, and would never be ready again."""
    node, pod = asleep_pod(t, {"asleep": depth}, pods.best_effort("web"))
    node.doze.kill()
    lose(pod)
    equal(pod.is_frozen, depth == "freeze", "frozen, as it was left")
    if not is_ready:
        node.server.set_ready("web", "app", False)
    node.start_doze()
    expect_full_cgroups(pod)
    check(not pod.is_frozen, "still frozen")
    pod.expect_answer(PROMPT_MS)


@test()
def sleeper_whose_object_cannot_be_read_any_more_has_its_full_cgroups_and_is_said(t):
    node, pod = asleep_pod(t)
    node.doze.kill()
    with node.server.store.lock:
        found = json.loads(json.dumps(pod.object()))
        first = found["spec"]["containers"][0]
        found["spec"]["containers"] += [{**first, "name": f"c{n}"} for n in range(256)]
        node.server.store.put("pods", found)
    node.start_doze()
    expect_full_cgroups(pod)
    told = node.status()
    check("default/web: left alone: it has more than 256 containers" in told, told)


@test([("burstable", '{"app":{"request":"250m","limit":"1"}}'),
       ("guaranteed", '{"app":{"limit":"1"}}')])
def sleeper_of_which_nothing_is_known_is_said_with_the_cure(t, qos, full):
    node, pod = asleep_pod(t, {"asleep": "freeze"}, getattr(pods, qos)("web"))
    node.doze.kill()
    lose(pod)
    check(pod.is_frozen, "it was thawed")
    node.start_doze()
    event = wait_until(lambda: pod.events("CannotSleep"), "an event")[0]
    check("delete it" in event["message"], event["message"])
    wait_until(lambda: not pod.is_frozen, "it is thawed")
    check(pod.request().is_ok, "lost")
    told = node.status()
    check("default/web: left alone: container 'app' is asleep already" in told, told)
    pod.annotate(full=full)
    wait_until(lambda: pod.size()[1] != "10m", "the annotation is the other cure")


if __name__ == "__main__":
    main()

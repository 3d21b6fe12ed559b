#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`doze sidecar` against an API server that answers well, badly, late or not at all.

usage: test_sidecar.py [PART-OF-A-NAME]      prints TAP; exit status 1 if a test failed

Pods share nothing, and most of a test is waiting, so that several run at a time; the tests of one
lane follow each other in one pod.
"""
import collections
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback

import netns
from probers import HttpProbe, Kubelet
from pod import (ASLEEP_QUOTA_US, CLIENT_ADDRESS, EXEC_QUOTA_US, PORT, Failed, Pod, Skip, check, close_all, over_http2, pods,
                 reason_to_skip, wait_until)

WORKERS = 6
WAKE_TIMEOUT_MS = 3000  # what Pod.launch_doze() sets
MARGIN_MS = 1500
PROMPT_MS = 1000  # sooner than a client's kernel sends a SYN again
GUARANTEED, BURSTABLE = "guaranteed", "burstable"

tests = []  # (name, function, arguments, lane)


def shown_part(part):
    """How a row's part is shown in the test's name; None: not at all."""
    part = getattr(part, "name", part)
    return str(part) if isinstance(part, (str, int)) else None


def test(rows=((),), lane=None):
    """Registers a function as one test, or as one for each row. lane: a function of the row."""
    def register(function):
        for row in rows:
            shown = [f"[{text}]" for text in map(shown_part, row) if text]
            name = " ".join([function.__name__.replace("_", " "), *shown])
            tests.append((name, function, row, lane(*row) if lane else None))
        return function
    return register


def manifest(kind, probe="http"):
    return pods.with_probe(getattr(pods, kind)("web"), probe)


class Lane:
    """Keeps one pod of a kind for as many tests as it is good for."""

    def __init__(self, idle):
        self.idle = idle
        self.pod = None

    def take(self, kind):
        if self.pod and not (self.pod.doze.is_alive and self.pod.kind == kind):
            self.drop()
        if not self.pod:
            self.pod = Pod(manifest(kind))
            self.pod.kind = kind
            self.pod.start_doze(idle=self.idle)
        return self.pod

    def drop(self):
        if self.pod:
            self.pod.close()
        self.pod = None


current = threading.local()  # .lane, .pods: of the worker


def new_pod(kind=BURSTABLE, probe="http", **options):
    """A pod of this test alone, closed after it."""
    pod = Pod(options.pop("of", None) or manifest(kind, probe), **options)
    current.pods.append(pod)
    return pod


def sleeping_pod(kind=BURSTABLE, **options):
    pod = new_pod(kind)
    pod.start_doze(**options)
    pod.wait_asleep()
    return pod


# --- the kubelet's probes ---

NODE_ADDRESS = "10.88.255.1"  # status.hostIPs, as the API server of the recordings had it


def probed_pod(**options):
    """Asked for readiness and liveness over HTTP, and the node that asks."""
    wanted = pods.with_probe(manifest(BURSTABLE), "http", kind="livenessProbe")
    pod = new_pod(of=wanted, **options)
    return pod, pod.net.add_node(NODE_ADDRESS)


@test()
def a_pod_whose_kubelet_asks_again_and_again_sleeps_and_no_probe_fails():
    pod, node = probed_pod()
    with Kubelet(HttpProbe(node, PORT, "/"), HttpProbe(node, PORT, "/"), period_s=0.2) as kubelet:
        pod.start_doze()
        pod.wait_asleep()
        time.sleep(10)  # the time that is claimed
        check(not pod.doze.lines.matching('msg="awake"'), "woken by a probe")
        pod.expect_answer(PROMPT_MS)
        pod.wait_asleep()
    check(not kubelet.failures, f"probes that failed: {kubelet.failures}")
    check(kubelet.passed > 80, f"only {kubelet.passed} probes")


@test()
def doze_may_have_as_many_files_as_there_are():
    """Clients that it carries on must not take those of probes."""
    pod = sleeping_pod()
    with open(f"/proc/{pod.doze.pid}/limits", encoding="ascii") as limits:
        soft, hard = next(line for line in limits if line.startswith("Max open files")).split()[3:5]
    check(soft == hard, f"{soft} files of {hard}")


@test()
def the_nodes_default_gateway_is_known_as_well():
    pod, _ = probed_pod()
    gateway = pod.net.add_node("10.88.0.1")
    netns.ip("-n", pod.net.server, "route", "add", "default", "via", "10.88.0.1")
    pod.start_doze()
    pod.wait_asleep()
    probe = HttpProbe(gateway, PORT, "/")
    probe()
    check(b"X-Doze: asleep" in probe.answer, f"answered by the application: {probe.answer}")
    check(not pod.doze.lines.matching('msg="awake"'), "woken by a probe")


@test()
def a_probe_with_a_user_agent_of_its_own_is_one():
    spec = {"httpGet": {"path": "/", "port": PORT, "httpHeaders": [
        {"name": "user-agent", "value": "my-check/1.0"}]}}
    pod = new_pod(of=pods.with_probe(manifest(BURSTABLE), spec, kind="livenessProbe"))
    node = pod.net.add_node(NODE_ADDRESS)
    probe = HttpProbe(node, PORT, "/", agent="my-check/1.0")
    with Kubelet(probe, period_s=0.1) as kubelet:
        pod.start_doze()
        pod.wait_asleep()
        passed = kubelet.passed
        wait_until(lambda: kubelet.passed > passed + 3, "it is asked while asleep")
    check(not kubelet.failures, f"probes that failed: {kubelet.failures}")
    check(b"X-Doze: asleep" in probe.answer, f"answered by the application: {probe.answer}")
    check(not pod.doze.lines.matching('msg="awake"'), "woken by a probe")


@test()
def a_client_on_the_node_wakes_the_pod():
    pod, node = probed_pod()
    pod.start_doze()
    pod.wait_asleep()
    with node.socket() as sock:
        sock.settimeout(10)
        sock.connect((node.server, PORT))
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: ingress/1.0\r\n\r\n")
        check(b" 200 " in sock.recv(4096), "no answer")
    pod.doze.lines.wait('msg="awake"', "reason=handed_over")


# --- the cycle ---

ASLEEP_SIZE = {BURSTABLE: ("1m", "10m"), GUARANTEED: ("10m", "10m")}


@test([(BURSTABLE,), (GUARANTEED,)])
def an_idle_pod_is_throttled_and_its_first_syn_gives_the_cpu_back(kind):
    pod = sleeping_pod(kind)
    check(pod.size() == ASLEEP_SIZE[kind], f"asleep at {pod.size()}")
    answer = pod.expect_answer(PROMPT_MS)
    check(answer.retransmitted == 0, f"the SYN was sent again: {answer}")
    check(answer.seen_address == answer.own_address, f"another address was seen: {answer}")
    check(answer.own_address.startswith(CLIENT_ADDRESS), str(answer))
    pod.until_full()
    pod.wait_asleep()
    check(pod.size() == ASLEEP_SIZE[kind], f"asleep again at {pod.size()}")


@test()
def many_connections_at_once_wake_it_and_none_is_lost():
    pod = sleeping_pod()
    for result in [pod.begin_request() for _ in range(50)]:
        answer = pod.expect_answer(PROMPT_MS, answer=result())
        check(answer.seen_address == answer.own_address, f"another address: {answer}")
    pod.until_full()


@test()
def an_established_connection_wakes_it_with_its_next_payload():
    pod = sleeping_pod()
    with pod.connect() as client:
        pod.wait_asleep()
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        check(b" 200 " in client.recv(4096), "no answer")
    pod.until_full()


# --- faults ---

Fault = collections.namedtuple("Fault", "name kind options times within_ms logged")
Moment = collections.namedtuple("Moment", "name kind is_shrink match after")

FAULTS = [
    Fault("401 then a good token", 401, {}, 1, PROMPT_MS, None),
    Fault("403 of RBAC", 403, {}, 2, PROMPT_MS, "Role lacks the rule"),
    Fault("403 NodeCapacity", 403, {"why": "capacity"}, 2, PROMPT_MS, "allocatable resources"),
    Fault("403 quota", 403, {"why": "quota"}, 2, PROMPT_MS, "exceeded quota"),
    Fault("404", 404, {}, None, PROMPT_MS, "gone or going"),
    Fault("409", 409, {}, 2, PROMPT_MS, None),
    Fault("429 with Retry-After", 429, {"retry_after_s": 1}, 1, 2500, None),
    Fault("500", 500, {}, 2, PROMPT_MS, None),
    Fault("503", 503, {"retry_after_s": 1}, 1, 2500, None),
    Fault("slow answer", "delay", {"ms": 700}, 1, 2000, None),
    Fault("hang", "hang", {}, 1, WAKE_TIMEOUT_MS + MARGIN_MS, None),
    Fault("reset", "reset", {}, 2, PROMPT_MS, None),
    Fault("half of a JSON", "half-json", {}, 2, PROMPT_MS, None),
]

GET = {"method": "GET", "path": "/pods/web$"}
UP, DOWN = {"method": "PATCH", "size": "up"}, {"method": "PATCH", "size": "down"}
REQUEST = {"method": "PATCH", "body": '"cpu":"250m"'}
MOMENTS = [
    Moment("shrink GET", BURSTABLE, True, GET, 0),
    Moment("shrink PATCH", BURSTABLE, True, DOWN, 0),
    Moment("shrink check", BURSTABLE, True, GET, 1),
    Moment("grow PATCH", BURSTABLE, False, UP, 0),
    Moment("grow PATCH of a Guaranteed", GUARANTEED, False, UP, 0),
    Moment("grow grant of a Guaranteed", GUARANTEED, False, GET, 0),
    Moment("restore GET", BURSTABLE, False, GET, 0),
    Moment("restore PATCH", BURSTABLE, False, REQUEST, 0),
]
GROWS = ("grow PATCH", "grow PATCH of a Guaranteed", "grow grant of a Guaranteed")


def lane_of(moment, _fault):
    return moment.name


def add_fault(pod, moment, fault, times):
    return pod.server.faults.add(moment.match, fault.kind, times=times, after=moment.after,
                                 **fault.options)


def wait_for_hit(fault):
    wait_until(lambda: fault.hits, f"the fault {fault.kind} strikes")


def check_retry_after(pod, fault):
    """Nothing of that kind was asked before the server wanted it."""
    struck = [r for r in pod.server.requests if str(fault.kind) in r.faults][-1]
    later = [r.time_s for r in pod.server.requests
             if r.time_s > struck.time_s and r.method == struck.method]
    wait_s = (later[0] - struck.answered_s) if later else fault.options["retry_after_s"]
    check(wait_s >= fault.options["retry_after_s"] - 0.01,
          f"asked again after {wait_s:.3f} s, though told to wait")


def check_recovery(pod, limit_s=20, **options):
    """With the fault gone: full size while there is traffic, and then sleep."""
    pod.until_full(limit_s)
    pod.wait_asleep(limit_s, **options)


def check_left(pod):
    """After a 404: doze has left, with the gate open. Started again, it mends all."""
    status = pod.doze.wait(5)
    check(status == 0, f"exit status {status}")
    pod.doze.lines.wait("gone or going")
    pod.expect_answer(PROMPT_MS)
    pod.server.faults.clear()
    pod.start_doze(idle=current.lane.idle)
    check_recovery(pod)


@test([(moment, fault) for moment in MOMENTS for fault in FAULTS], lane=lane_of)
def no_connection_is_lost_or_hangs_when_a_fault_strikes_at(moment, fault):
    pod = current.lane.take(moment.kind)
    if moment.is_shrink:
        pod.until_settled()
        added = add_fault(pod, moment, fault, fault.times)
        wait_for_hit(added)
        pod.expect_answer(PROMPT_MS)
    else:
        pod.wait_asleep()
        pod.server.requests.clear()
        added = add_fault(pod, moment, fault, fault.times)
        pod.expect_answer(fault.within_ms if moment.name in GROWS else PROMPT_MS)
        wait_for_hit(added)
    if fault.kind == 404:
        check_left(pod)
        return
    if fault.logged and (fault.kind != 403 or moment.match != GET or "RBAC" in fault.name):
        pod.doze.lines.wait(fault.logged, limit_s=5)
    if "retry_after_s" in fault.options and not moment.is_shrink:
        pod.until_full()
        check_retry_after(pod, added)
    added.remove()
    check_recovery(pod)


LASTING = [f for f in FAULTS if f.kind not in (401, 404, "delay", "half-json")]


# Half of the answer to a PATCH is enough; a GET is no conflict and needs no quota.
LASTING_OF_PATCH = [*LASTING, Fault("422", 422, {}, None, None, None)]
LASTING_OF_GET = [f for f in FAULTS if f.name in ("403 of RBAC", "429 with Retry-After", "500",
                                                  "hang", "half of a JSON")]


@test([(moment, fault) for moment in MOMENTS if moment.name in GROWS
       for fault in (LASTING_OF_GET if moment.match == GET else LASTING_OF_PATCH)],
      lane=lambda moment, fault: moment.name + ", lasting")
def the_gate_opens_at_the_wake_timeout_while_a_fault_lasts_at(moment, fault):
    pod = current.lane.take(moment.kind)
    pod.wait_asleep()
    pod.server.requests.clear()
    added = add_fault(pod, moment, fault, None)
    answer = pod.expect_answer(WAKE_TIMEOUT_MS + MARGIN_MS)
    check(answer.elapsed_ms > WAKE_TIMEOUT_MS - 100, f"the fault had no effect: {answer}")
    pod.doze.lines.wait("not ready in time")
    asked = len(pod.server.requests)
    check(asked < 40, f"{asked} requests to a server that refuses")
    added.remove()
    check_recovery(pod)


@test([(moment,) for moment in MOMENTS if moment.is_shrink],
      lane=lambda *_: "429 while falling asleep")
def a_429_while_falling_asleep_is_heeded_at(moment):
    pod = current.lane.take(BURSTABLE)
    pod.until_settled()
    pod.server.faults.add(moment.match, 429, times=1, after=moment.after, retry_after_s=2)
    struck = pod.server.requests.wait(lambda r: "429" in r.faults and r.answered_s)
    later = pod.server.requests.wait(lambda r: r.time_s > struck.time_s)
    check(later.time_s - struck.answered_s >= 1.99,
          f"asked again after {later.time_s - struck.answered_s:.3f} s: {later.method}")
    pod.server.requests.clear()
    check_recovery(pod)


@test()
def requests_that_a_quota_refuses_are_not_forgotten_by_the_next_sleep():
    pod = sleeping_pod()
    fault = pod.server.faults.add(REQUEST, 403, why="quota")
    pod.expect_answer(PROMPT_MS)
    wait_for_hit(fault)
    pod.wait_asleep()
    fault.remove()
    check_recovery(pod)


# --- the cluster says no ---

def granted(pod):
    conditions = pod.server.pod("web")["status"]["conditions"]
    return not any(c["type"] == "PodResizePending" for c in conditions)


@test([("deferred",), ("infeasible",)])
def a_guaranteed_pod_is_let_through_at_the_wake_timeout_when_growing_is(kind):
    pod = sleeping_pod(GUARANTEED)
    pod.server.faults.add(UP, kind, times=1)
    answer = pod.expect_answer(WAKE_TIMEOUT_MS + MARGIN_MS)
    check(answer.elapsed_ms > WAKE_TIMEOUT_MS - 100, f"too early: {answer}")
    pod.doze.lines.wait(f"reason={kind.capitalize()}")
    pod.doze.lines.wait("not ready in time")
    pod.expect_answer(PROMPT_MS)
    if kind == "deferred":
        pod.server.grant("web")
        check_recovery(pod)
        check(granted(pod), "still pending")


@test()
def a_pod_that_the_kubelet_refuses_to_shrink_stays_full_and_is_not_asked_again():
    pod = new_pod(GUARANTEED)
    pod.server.faults.add(DOWN, "infeasible")
    pod.start_doze()
    pod.doze.lines.wait("refuses to shrink the pod", "Infeasible")
    pod.expect_answer(PROMPT_MS)
    wait_until(lambda: pod.is_full, "the full size")
    asked = len(pod.server.requests.resizes())
    pod.doze.lines.wait("from=shrinking to=growing", count=3)
    check(len(pod.server.requests.resizes()) == asked, "it is asked again and again")
    pod.expect_answer(PROMPT_MS)


@test()
def a_guaranteed_pod_that_is_granted_in_time_wakes_then():
    pod = sleeping_pod(GUARANTEED)
    pod.server.faults.add(UP, "deferred", times=1)
    result = pod.begin_request()
    pod.doze.lines.wait("reason=Deferred")
    pod.server.grant("web")
    answer = pod.expect_answer(WAKE_TIMEOUT_MS, answer=result())
    check(not pod.doze.lines.matching("not ready in time"), f"not because of the grant: {answer}")
    check_recovery(pod)


@test()
def a_burstable_pod_wakes_at_once_on_a_full_node_and_gets_its_request_when_there_is_room():
    pod = sleeping_pod(idle="1s")
    pod.server.add_pod(pods.burstable("other", {"requests": {"cpu": "1900m"}}))
    answer = pod.expect_answer(PROMPT_MS)
    check(answer.retransmitted == 0, f"the SYN was sent again: {answer}")
    pod.doze.lines.wait("reason=Deferred")
    check(pod.quota_us() == pod.full_quota_us, f"quota {pod.quota_us()}")
    pod.server.delete_pod("other", remove=True)
    pod.until_full()
    wait_until(lambda: granted(pod), "the request is granted")
    check_recovery(pod)


# --- superseding ---

Race = collections.namedtuple("Race", "name match options")
RACES = [
    Race("the GET before it", GET, {"ms": 300}),
    Race("its PATCH, carried out late", DOWN, {"ms": 300}),
    Race("its PATCH, answered late", DOWN, {"ms": 300, "when": "after"}),
]


def lane_of_kind(kind, *_):
    return "superseding " + kind


@test([(kind, race) for kind in (BURSTABLE, GUARANTEED) for race in RACES], lane=lane_of_kind)
def a_syn_overtakes_a_shrink_that_is_in_flight(kind, race):
    pod = current.lane.take(kind)
    pod.until_settled()
    pod.server.requests.clear()
    fault = pod.server.faults.add(race.match, "delay", times=1, **race.options)
    wait_for_hit(fault)
    pod.expect_answer(290)  # less than the delay: it does not wait for that
    pod.server.requests.wait(lambda r: "delay" in r.faults and (r.answered_s or r.method == "GET"))
    pod.until_settled()
    check_recovery(pod)


@test([(kind, state) for kind in (BURSTABLE, GUARANTEED) for state in ("asked", "actuated")],
      lane=lane_of_kind)
def a_syn_overtakes_a_shrink_that_is(kind, state):
    pod = current.lane.take(kind)
    pod.until_settled()
    pod.server.requests.clear()
    pod.server.kubelet.configure(actuate_ms=150, status_ms=150)
    down = pod.server.requests.wait(lambda r: r.size == "down" and r.status == 200)
    if state == "actuated":
        wait_until(lambda: down.actuated_s, "the kubelet has written the cgroup")
    pod.expect_answer(2000)
    pod.server.kubelet.configure(actuate_ms=50, status_ms=60)
    pod.until_settled()
    check_recovery(pod)


@test([(kind,) for kind in (BURSTABLE, GUARANTEED)], lane=lane_of_kind)
def a_syn_at_any_time_from_the_start_of_a_shrink_leaves_the_full_size(kind):
    pod = current.lane.take(kind)
    for delay_ms in (0, 10, 20, 25, 30, 40, 60, 90, 120, 150, 180):
        count = len(pod.doze.lines.matching("to=shrinking"))
        pod.doze.lines.wait("to=shrinking", count=count + (0 if delay_ms == 0 else 1))
        time.sleep(delay_ms / 1000)  # to vary the time, not to wait for anything
        pod.expect_answer(PROMPT_MS)
        pod.until_full()
    pod.until_settled()
    check_recovery(pod)


@test()
def a_shrink_that_the_server_carries_out_long_after_doze_gave_it_up_is_undone():
    pod = new_pod()
    pod.start_doze(idle="1s")
    pod.server.faults.add(DOWN, "delay", times=1, ms=6000)
    struck = pod.server.requests.wait(lambda r: "delay" in r.faults)

    def called():
        pod.expect_answer(5000)
        return struck.answered_s
    wait_until(called, "the patch is carried out")
    check(struck.resize, f"it was not: {struck.status}")
    pod.until_full()


# --- crash, restart, end ---

@test([(kind,) for kind in (BURSTABLE, GUARANTEED)])
def a_sidecar_that_was_killed_asleep_takes_over_and_loses_no_connection(kind):
    pod = sleeping_pod(kind)
    pod.doze.kill()
    check(pod.size() == ASLEEP_SIZE[kind], f"the size is {pod.size()}")
    while_dead = pod.begin_request()
    pod.launch_doze(idle="2s")
    pod.expect_answer(2500, answer=while_dead())
    pod.doze.lines.wait('msg="watching"')
    wait_until(lambda: pod.is_full, "the pod is grown without any traffic")
    pod.expect_answer(PROMPT_MS)
    pod.wait_asleep()


@test([("20m",), ("10m",)])
def a_sidecar_that_was_killed_asleep_takes_over_with_another_size_than(size):
    pod = new_pod()
    pod.start_doze(f"--asleep-cpu={size}")
    wait_until(lambda: pod.size() == ("1m", size), "the pod is asleep")
    pod.doze.kill()
    pod.start_doze(f"--asleep-cpu={30 - int(size[:2])}m", idle="2s")
    wait_until(lambda: pod.is_full, "the pod is grown")


@test([("quota",), ("capacity",)])
def a_sidecar_that_was_killed_asleep_takes_over_though_growing_is_refused_at_first(why):
    pod = sleeping_pod()
    pod.doze.kill()
    fault = pod.server.faults.add({"method": "PATCH", "size": "up"}, 403, why=why)
    pod.launch_doze(idle="2s")
    wait_for_hit(fault)
    pod.expect_answer(2500)
    pod.doze.lines.wait('msg="watching"')
    pod.expect_answer(2500)
    fault.remove()
    pod.until_full()


@test()
def a_sidecar_killed_between_limit_and_request_still_knows_the_request():
    pod = sleeping_pod()
    fault = pod.server.faults.add(REQUEST, 403, why="quota")
    pod.expect_answer(PROMPT_MS)
    wait_for_hit(fault)
    pod.doze.kill()
    fault.remove()
    check(pod.size() == ("1m", "1"), f"the size is {pod.size()}")
    pod.start_doze(idle="2s")
    wait_until(lambda: pod.is_full, "the request is given back")


@test([(kind,) for kind in (BURSTABLE, GUARANTEED)])
def sigterm_while_asleep_opens_the_gate_and_gives_the_full_size_back(kind):
    pod = sleeping_pod(kind)
    begun_s = time.monotonic()
    status = pod.stop_doze()
    took_s = time.monotonic() - begun_s
    check(status == 0, f"exit status {status}")
    check(took_s < 2, f"took {took_s:.1f} s")
    check(pod.size() == pod.full, f"the size is {pod.size()}")
    pod.expect_answer(PROMPT_MS)
    wait_until(lambda: pod.is_full, "the full size")


@test()
def sigterm_while_the_api_server_hangs_ends_within_six_seconds():
    pod = sleeping_pod()
    pod.server.faults.add({"method": "PATCH"}, "hang")
    begun_s = time.monotonic()
    pod.doze.signal(signal.SIGTERM)
    pod.expect_answer(2500)  # the gate is open meanwhile
    check(pod.doze.wait() == 0, "exit status")
    check(time.monotonic() - begun_s < 6, "too late")


@test()
def sigterm_while_awake_leaves_at_once():
    pod = new_pod()
    pod.start_doze(idle="30s")
    begun_s = time.monotonic()
    check(pod.stop_doze() == 0, "exit status")
    check(time.monotonic() - begun_s < 1, "too late")
    check(not pod.server.requests.resizes(), "it resized the pod")


@test()
def an_application_that_restarts_asleep_is_grown_at_once_and_not_put_to_sleep_before_it_is_ready():
    pod = sleeping_pod()
    pod.app.kill()
    pod.start_app()
    pod.server.restart_container("web", "app", ready_ms=None)
    wait_until(lambda: pod.is_full, "the full size, without any traffic", 8)
    pod.doze.lines.wait("started anew")
    pod.server.requests.clear()
    # Idle again and again: each time it reads the pod, and sees that it is not ready.
    check(pod.server.requests.wait(lambda r: r.method == "GET", count=2), "it does not look")
    check(not pod.server.requests.resizes("down"), "put to sleep before it was ready")
    pod.server.set_ready("web", "app", True)
    check(pod.server.requests.wait(lambda r: r.size == "down" and r.status == 200),
          "never put to sleep again")


@test()
def a_pod_that_is_deleted_asleep_ends_the_sidecar_with_the_gate_open():
    pod = sleeping_pod()
    pod.server.delete_pod("web")
    check(pod.doze.wait(8) == 0, "exit status")
    pod.doze.lines.wait("gone or going")
    pod.expect_answer(PROMPT_MS)


# --- who we are, whom we trust ---

@test([(grace_s,) for grace_s in (0, 3600)])
def a_rotated_token_is_read_again_and_the_old_one_is_good_for(grace_s):
    pod = sleeping_pod()
    old = pod.server.token
    pod.server.rotate_token(old_lifetime_s=grace_s)
    pod.server.requests.clear()
    pod.expect_answer(PROMPT_MS)
    pod.until_full()
    used = {r.headers.get("Authorization") for r in pod.server.requests}
    check(f"Bearer {old}" not in used, "the old token is still sent")
    pod.wait_asleep()


@test()
def a_token_that_expired_before_the_file_was_replaced_is_asked_for_again():
    pod = sleeping_pod()
    pod.server.rotate_token(write=False)
    result = pod.begin_request()
    pod.server.requests.wait(lambda r: r.status == 401)
    pod.server.write_account()
    pod.expect_answer(WAKE_TIMEOUT_MS, answer=result())
    check_recovery(pod)


@test()
def a_pod_sleeps_and_wakes_over_http2():
    pod = new_pod(**over_http2())
    pod.start_doze()
    pod.wait_asleep()
    pod.expect_answer(WAKE_TIMEOUT_MS + MARGIN_MS)
    check_recovery(pod)
    pod.server.drop_connections()
    pod.expect_answer(WAKE_TIMEOUT_MS + MARGIN_MS)
    check_recovery(pod)


@test()
def a_rotated_ca_is_read_again():
    pod = sleeping_pod()
    pod.server.rotate_ca()
    pod.server.drop_connections()
    pod.expect_answer(PROMPT_MS)
    check_recovery(pod)


@test()
def a_ca_that_is_written_after_the_server_has_changed_is_found_then():
    pod = sleeping_pod()
    pod.server.rotate_ca(write=False)
    pod.server.drop_connections()
    result = pod.begin_request()
    pod.doze.lines.wait("certificate")
    pod.server.write_account()
    pod.expect_answer(WAKE_TIMEOUT_MS + MARGIN_MS, answer=result())
    check_recovery(pod)


@test()
def an_api_server_that_was_away_is_found_again():
    pod = sleeping_pod()
    pod.server.go_down()
    answer = pod.expect_answer(WAKE_TIMEOUT_MS + MARGIN_MS)
    check(answer.elapsed_ms > WAKE_TIMEOUT_MS - 100, f"too early: {answer}")
    pod.server.come_back()
    check_recovery(pod)


@test([(what, inline) for what in ("token", "certificate") for inline in ("inline", "by path")])
def a_kubeconfig_is_enough_with_a(what, inline):
    pod = new_pod()
    path = os.path.join(pod.directory, "config")
    pod.server.write_kubeconfig(path, with_certificate=what == "certificate",
                                inline=inline == "inline")
    pod.start_doze("--kubeconfig", path, KUBERNETES_SERVICE_HOST=None,
                   KUBERNETES_SERVICE_PORT=None, KUBERNETES_SERVICE_PORT_HTTPS=None,
                   DOZE_SERVICE_ACCOUNT_DIR="/nowhere")
    pod.wait_asleep()
    pod.expect_answer(PROMPT_MS)
    check_recovery(pod)
    users = {r.user for r in pod.server.requests}
    check(users == {"admin" if what == "certificate" else pod.server.account.user}, str(users))


# --- rights and versions ---

@test()
def the_role_of_the_manifests_is_enough():
    pod = new_pod()
    pod.server.allow_only()
    pod.start_doze()
    pod.wait_asleep()
    pod.expect_answer(PROMPT_MS)
    check_recovery(pod)
    refused = pod.server.requests.select(where=lambda r: r.status == 403)
    check(not refused, f"refused: {[(r.method, r.path) for r in refused]}")


VERSIONS = [(version, kind) for version in ("1.30", "1.33", "1.34")
            for kind in (BURSTABLE, GUARANTEED)]


@test(VERSIONS)
def it_works_with_kubernetes(version, kind):
    pod = new_pod(kind, version=version)
    pod.start_doze()
    pod.wait_asleep()
    answer = pod.expect_answer(PROMPT_MS)
    check(answer.retransmitted == 0, f"the SYN was sent again: {answer}")
    check_recovery(pod)
    paths = {r.route for r in pod.server.requests if r.method == "PATCH"}
    wanted = "/api/v1/namespaces/default/pods/web" + ("" if version == "1.30" else "/resize")
    check(paths == {wanted}, f"patched {paths}")
    is_said = bool(pod.doze.lines.matching("no pods/resize"))
    check(is_said == (version == "1.30"), "what the log says of pods/resize")


# --- readiness ---

def probes_seen(pod):
    return [json.loads(line) for line in pod.app.lines.matching('"request"')]


@test()
def readiness_is_asked_with_the_probes_path_headers_and_named_port():
    probe = {"httpGet": {"path": "/healthz?full=1", "port": "health", "scheme": "HTTP",
                         "httpHeaders": [{"name": "X-Probe", "value": "1"},
                                         {"name": "Host", "value": "web.example"}]}}
    of = pods.with_ports(manifest(BURSTABLE, probe), ("http", PORT, "TCP"), ("health", 8081, "TCP"))
    pod = new_pod(of=of, app={"ports": [PORT, 8081], "wants": "X-Probe: 1"})
    pod.start_doze()
    pod.wait_asleep()
    before = len(probes_seen(pod))
    pod.expect_answer(PROMPT_MS)
    check_recovery(pod)
    seen = probes_seen(pod)
    check(len(seen) > before, "readiness was not asked")
    for one in seen:
        check(one["port"] == 8081, f"asked on another port: {one}")
        check(one["request"].startswith("GET /healthz?full=1 "), str(one))
        check("X-Probe: 1\r\n" in one["request"], str(one))
        check("Host: web.example\r\n" in one["request"], str(one))


@test()
def an_application_that_never_gets_ready_again_is_let_through_at_the_wake_timeout():
    pod = new_pod(app={"unready_after": 1})
    pod.start_doze(wake_timeout="1s")
    pod.wait_asleep()
    answer = pod.expect_answer(1000 + MARGIN_MS)
    check(answer.elapsed_ms > 900, f"too early: {answer}")
    pod.doze.lines.wait("not ready in time")


@test()
def an_application_that_is_not_ready_at_the_start_is_not_put_to_sleep():
    pod = new_pod(app={"wants": "nothing sends this"})
    pod.start_doze(wake_timeout="1s")
    wait_until(lambda: len(probes_seen(pod)) > 10, "it asks again and again")
    pod.expect_answer(PROMPT_MS)
    check(not pod.server.requests.resizes(), "put to sleep before it was ready")


@test([("tcp",), ("exec",), ("none",)])
def readiness_is_a_tcp_connection_when_the_probe_is(kind):
    pod = new_pod(probe=None if kind == "none" else kind)
    pod.start_doze()
    quota_us = EXEC_QUOTA_US if kind == "exec" else ASLEEP_QUOTA_US
    pod.wait_asleep(quota_us=quota_us)
    pod.expect_answer(PROMPT_MS)
    check_recovery(pod, quota_us=quota_us)
    check(not probes_seen(pod), f"HTTP was spoken: {probes_seen(pod)}")


# --- bad input ---

BAD = collections.namedtuple("Bad", "name status said flags changes prepare of")


def bad(name, status, said, *flags, prepare=None, of=None, **changes):
    return BAD(name, status, said, flags, changes, prepare, of)


def without_ca(pod):
    os.unlink(os.path.join(pod.server.account_directory, "ca.crt"))


def with_asleep_spec():
    return pods.asleep(manifest(BURSTABLE))


def truncate_state(pod):
    with open(pod.state_file, "w", encoding="ascii") as file:
        file.write('{"version":1,"podUID":"' + pod.server.pod("web")["metadata"]["uid"] + '","con')


def write_state_of_another(pod):
    with open(pod.state_file, "w", encoding="ascii") as file:
        json.dump({"version": 1, "podUID": "another", "containers": [
            {"name": "app", "requestMillicpu": 250, "limitMillicpu": 1000}]}, file)


def allow_nothing(pod):
    pod.server.allow_only(())


def allow_reading(pod):
    pod.server.allow_only((("get", "pods"),))


BAD_INPUTS = [
    bad("no POD_NAME", 2, "POD_NAME", POD_NAME=None),
    bad("no namespace", 2, "POD_NAMESPACE", POD_NAMESPACE=None),
    bad("a namespace that cannot be one", 2, "POD_NAMESPACE", POD_NAMESPACE="Not/This"),
    bad("no service account", 1, "/nowhere/ca.crt", DOZE_SERVICE_ACCOUNT_DIR="/nowhere"),
    bad("no CA", 1, "ca.crt", prepare=without_ca),
    bad("no address of the API server", 1, "KUBERNETES_SERVICE_HOST",
        KUBERNETES_SERVICE_HOST=None),
    bad("a kubeconfig that is not there", 1, "/nowhere", "--kubeconfig", "/nowhere"),
    bad("a container that the pod does not have", 1, "'nobody'", "--containers", "nobody"),
    bad("a pod that the server does not have", 1, "nobody", POD_NAME="nobody"),
    bad("a probe on a port that the container does not have", 1, "'missing'",
        of=lambda: manifest(BURSTABLE, "no-such-port")),
    bad("a BestEffort pod", 1, "BestEffort", of=lambda: pods.best_effort("web")),
    bad("no CPU limit", 1, "no CPU limit", of=lambda: pods.requests_only("web")),
    bad("no right to read the pod", 1, "resources: [pods], verbs: [get]", prepare=allow_nothing),
    bad("no right to resize the pod", 1, "resources: [pods/resize], verbs: [patch]",
        prepare=allow_reading),
    bad("a sleeping pod and no state file", 1, "doze.dev/full", of=with_asleep_spec),
    bad("a sleeping pod and a state file of another", 1, "doze.dev/full", of=with_asleep_spec,
        prepare=write_state_of_another),
    bad("a sleeping pod and a truncated state file", 1, "doze.dev/full", of=with_asleep_spec,
        prepare=truncate_state),
    bad("an idle time that is none", 2, "'5 parsecs'", "--idle-after", "5 parsecs"),
    bad("an unknown flag", 2, "'--nonsense'", "--nonsense"),
]


def errors_of(doze):
    return [line for line in doze.lines.all() if "level=error" in line or line.startswith("doze ")]


@test([(one,) for one in BAD_INPUTS])
def one_clear_line_and_an_untouched_target_for(one):
    pod = new_pod(of=one.of() if one.of else None)
    if one.prepare:
        one.prepare(pod)
    before = pod.resources(), pod.quota_us()
    pod.launch_doze(*one.flags, level="info", **one.changes)
    status = pod.doze.wait()
    check(status == one.status, f"exit status {status}")
    errors = errors_of(pod.doze)
    check(len([line for line in errors if one.said in line]) == 1, f"said: {errors}")
    check(len(errors) == 1 or "truncated" in one.name, f"more than one line: {errors}")
    check((pod.resources(), pod.quota_us()) == before, "the target was touched")
    check(not pod.server.requests.resizes(), "a resize was asked for")
    if before[1] == pod.full_quota_us:
        pod.expect_answer(2500)


@test([("truncated", truncate_state, "cannot use the state file"),
       ("of another pod", write_state_of_another, "of another pod")])
def a_state_file_is_not_needed_while_awake_and_replaced_when_it_is(_name, prepare, said):
    pod = new_pod()
    prepare(pod)
    pod.start_doze()
    check(len(pod.doze.lines.matching(said)) == 1, "the state file is not mentioned once")
    pod.wait_asleep()
    with open(pod.state_file, encoding="ascii") as file:
        state = json.load(file)
    check(state["podUID"] == pod.server.pod("web")["metadata"]["uid"], str(state))
    pod.expect_answer(PROMPT_MS)
    check_recovery(pod)


def break_ca(pod):
    with open(os.path.join(pod.server.account_directory, "ca.crt"), "w", encoding="ascii") as file:
        file.write("no certificate\n")


@test([("an unusable CA", break_ca, {}),
       ("a wrong address", None, {"KUBERNETES_SERVICE_HOST": "192.0.2.77"}),
       ("a wrong port", None, {"KUBERNETES_SERVICE_PORT_HTTPS": "1"}),
       ("an untrusted server", lambda pod: pod.server.faults.add(kind="tls-untrusted"), {}),
       ("a server of another name", lambda pod: pod.server.faults.add(kind="tls-name"), {})])
def the_server_is_asked_again_and_the_target_is_left_alone_with(_name, prepare, changes):
    pod = new_pod()
    if prepare:
        prepare(pod)
    pod.launch_doze(level="info", **changes)
    pod.doze.lines.wait("level=error", "cannot read the pod")
    pod.doze.lines.wait("asking the API server again")
    check(len(errors_of(pod.doze)) <= 2, f"said: {errors_of(pod.doze)}")
    check(pod.is_full and not pod.server.requests.resizes(), "the target was touched")
    pod.expect_answer(PROMPT_MS)
    begun_s = time.monotonic()
    check(pod.stop_doze() == 0, "exit status")
    check(time.monotonic() - begun_s < 1, "it does not end at once")


@test()
def an_api_server_that_comes_late_is_waited_for():
    pod = new_pod()
    pod.server.go_down()
    pod.launch_doze()
    pod.doze.lines.wait("asking the API server again")
    pod.server.come_back()
    pod.wait_asleep()
    pod.expect_answer(PROMPT_MS)


@test()
def a_sleeping_pod_without_a_state_file_is_grown_by_its_annotation():
    of = with_asleep_spec()
    full = {"app": {"request": "250m", "limit": "1"}}
    of["metadata"]["annotations"] = {"doze.dev/full": json.dumps(full)}
    pod = new_pod(of=of)
    pod.start_doze(idle="2s")
    wait_until(lambda: pod.size() == ("250m", "1"), "the annotated size")


@test()
def of_several_containers_the_sidecars_are_left_alone_and_the_others_share_one_patch():
    resources = {"requests": {"cpu": "100m", "memory": "32Mi"},
                 "limits": {"cpu": "500m", "memory": "64Mi"}}
    of = pods.with_sidecar(pods.with_container(manifest(BURSTABLE), "log", resources))
    pod = new_pod(of=of)
    pod.start_doze()
    pod.wait_asleep()
    check(pod.size("log") == ("1m", "10m"), f"log is at {pod.size('log')}")
    check(len(pod.server.requests.resizes("down")) == 1, "more than one patch")
    for request in pod.server.requests.resizes():
        check("initContainers" not in request.body["spec"], f"a sidecar is in {request.body}")
    pod.expect_answer(PROMPT_MS)
    pod.until_full()
    wait_until(lambda: pod.size("log") == ("100m", "500m"), "the other's full size")


# --- running ---

def chosen_tests():
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    return [one for one in tests if part in one[0]]


def batches(chosen):
    """The tests of a lane are one batch, the others one each; the longest first."""
    lanes, alone = collections.OrderedDict(), []
    for one in chosen:
        if one[3]:
            lanes.setdefault(one[3], []).append(one)
        else:
            alone.append([one])
    return sorted(lanes.values(), key=len, reverse=True) + alone


class Tap:
    def __init__(self, count):
        self.lock = threading.Lock()
        self.number = self.failed = 0
        print(f"1..{count}", flush=True)

    def tell(self, name, notes="", is_failed=False, skipped=None):
        with self.lock:
            self.number += 1
            self.failed += is_failed
            for line in notes.splitlines():
                print("# " + line)
            end = f" # SKIP {skipped}" if skipped else ""
            print(f"{'not ' if is_failed else ''}ok {self.number} - {name}{end}", flush=True)


def run_one(tap, one):
    name, function, row, _ = one
    begun_s = time.monotonic()
    current.pods = []
    try:
        function(*row)
        tap.tell(name, f"{time.monotonic() - begun_s:.1f} s")
    except Skip as why:
        tap.tell(name, skipped=why)
    except Exception:  # whatever it is, the test has failed
        notes = traceback.format_exc()
        for pod in current.pods + ([current.lane.pod] if current.lane.pod else []):
            notes += pod.report()
        tap.tell(name, notes, is_failed=True)
        current.lane.drop()
    finally:
        for pod in current.pods:
            pod.close()


def work(tap, waiting):
    while True:
        try:
            batch = waiting.get_nowait()
        except queue.Empty:
            return
        # Long enough for a shrink not to begin before a test is ready for it.
        current.lane = Lane("500ms" if batch[0][3] and "grow" not in batch[0][3] else "300ms")
        for one in batch:
            run_one(tap, one)
        current.lane.drop()


def main():
    chosen = chosen_tests()
    tap = Tap(len(chosen))
    why = reason_to_skip()
    if why:
        for one in chosen:
            tap.tell(one[0], skipped=why)
        return 0
    waiting = queue.Queue()
    for batch in batches(chosen):
        waiting.put(batch)
    workers = [threading.Thread(target=work, args=(tap, waiting), daemon=True)
               for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return 1 if tap.failed else 0


def interrupted(*_):
    raise SystemExit(1)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupted)
    try:
        EXIT_STATUS = main()
    finally:
        close_all()
    sys.exit(EXIT_STATUS)

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`doze sidecar`: a pod sleeps and wakes, also in the middle of a shrink, and when it is ready.

usage: test_sidecar_wake.py [PART-OF-A-NAME]      prints TAP; exit status 1 if a test failed
"""
import collections
import json
import time

from pod import (ASLEEP_QUOTA_US, CLIENT_ADDRESS, EXEC_QUOTA_US, PORT, PROMPT_MS, check, pods,
                 wait_until)
from sidecar import (ASLEEP_SIZE, BURSTABLE, DOWN, GET, GUARANTEED, MARGIN_MS, check_recovery,
                     current, main, manifest, new_pod, sleeping_pod, test, wait_for_hit)


# --- the cycle ---


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


# --- several containers ---


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


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`doze sidecar`: doze ends or is killed, the application starts anew, and the next doze goes on.

usage: test_sidecar_state.py [PART-OF-A-NAME]      prints TAP; exit status 1 if a test failed
"""
import json
import signal
import time

import sanitized
from pod import DOZE, PROMPT_MS, check, wait_until
from sidecar import (ASLEEP_SIZE, BURSTABLE, GUARANTEED, REQUEST, check_recovery, main, new_pod,
                     sleeping_pod, test, truncate_state, wait_for_hit, with_asleep_spec,
                     write_state_of_another)


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


@test()
def a_daemon_that_is_killed_is_started_anew_by_its_supervisor():
    pod = sleeping_pod()
    for kills in range(1, 4):
        pod.doze.signal_daemon(signal.SIGKILL)
        pod.doze.lines.wait('msg="watching"', count=kills + 1)
        wait_until(lambda: pod.is_full, "the pod is grown without any traffic")
        pod.expect_answer(PROMPT_MS)
        pod.wait_asleep()
    check(pod.doze.is_alive, "the supervisor has ended")
    check(pod.stop_doze() == 0, "exit status")


@test()
def a_sidecar_that_knows_its_uid_puts_its_own_pod_to_sleep():
    pod = new_pod()
    pod.start_doze(POD_UID=pod.server.pod("web")["metadata"]["uid"])
    pod.wait_asleep()
    pod.expect_answer(2500)


@test()
def a_size_that_somebody_asks_for_meanwhile_is_the_full_one_from_then_on():
    pod = sleeping_pod()
    with pod.server.store.lock:
        found = json.loads(json.dumps(pod.server.pod(pod.name)))
        app = next(c for c in found["spec"]["containers"] if c["name"] == "app")
        app["resources"]["limits"]["cpu"] = "1500m"
        app["resources"]["requests"]["cpu"] = "300m"
        found["metadata"]["generation"] += 1
        pod.server.kubelet.resize(pod.server.store.put("pods", found))
    wait_until(lambda: pod.size() == ASLEEP_SIZE[BURSTABLE], "asleep again")
    check(not pod.doze.lines.matching('msg="awake"'), "it was woken")
    pod.expect_answer(2500)
    wait_until(lambda: pod.size() == ("300m", "1500m"), "what was asked for is full")


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
    check(time.monotonic() - begun_s < 6 + sanitized.end_slack_s(DOZE), "too late")


@test()
def sigterm_while_awake_leaves_at_once():
    pod = new_pod()
    pod.start_doze(idle="30s")
    begun_s = time.monotonic()
    check(pod.stop_doze() == 0, "exit status")
    check(time.monotonic() - begun_s < 1 + sanitized.end_slack_s(DOZE), "too late")
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


# --- the state file ---


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


@test()
def a_sleeping_pod_without_a_state_file_is_grown_by_its_annotation():
    of = with_asleep_spec()
    full = {"app": {"request": "250m", "limit": "1"}}
    of["metadata"]["annotations"] = {"doze.dev/full": json.dumps(full)}
    pod = new_pod(of=of)
    pod.start_doze(idle="2s")
    wait_until(lambda: pod.size() == ("250m", "1"), "the annotated size")


if __name__ == "__main__":
    main()

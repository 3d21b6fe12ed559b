#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`doze sidecar` against an API server or a cluster that refuses, breaks off or is late.

usage: test_sidecar_faults.py [PART-OF-A-NAME]      prints TAP; exit status 1 if a test failed
"""
import collections

from pod import PROMPT_MS, check, pods, stamp, wait_until
from sidecar import (BURSTABLE, DOWN, GET, GUARANTEED, MARGIN_MS, REQUEST, UP, WAKE_TIMEOUT_MS,
                     check_recovery, current, errors_of, main, new_pod, sleeping_pod, test,
                     wait_for_hit)

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


def check_retry_after(pod, fault):
    """Nothing of that kind was asked before the server wanted it."""
    struck = [r for r in pod.server.requests if str(fault.kind) in r.faults][-1]
    later = [r.time_s for r in pod.server.requests
             if r.time_s > struck.time_s and r.method == struck.method]
    wait_s = (later[0] - struck.answered_s) if later else fault.options["retry_after_s"]
    check(wait_s >= fault.options["retry_after_s"] - 0.01,
          f"asked again after {wait_s:.3f} s, though told to wait")


def said_since(pod, begun, text):
    return [line for line in pod.doze.lines.matching(text) if line > begun]


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


# Waiting does not cure these.
REFUSALS_OF_PATCH = [*(f for f in FAULTS if f.kind in (401, 403)),
                     Fault("422", 422, {}, None, None, None)]
REFUSALS_OF_GET = [f for f in FAULTS if f.name in ("401 then a good token", "403 of RBAC")]

# Half of the answer to a PATCH is enough; a GET is no conflict.
LASTING_OF_PATCH = [f for f in FAULTS if f.kind not in (401, 403, 404, "delay", "half-json")]
LASTING_OF_GET = [f for f in FAULTS if f.name in ("429 with Retry-After", "500", "hang",
                                                  "half of a JSON")]


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


@test([(moment, fault) for moment in MOMENTS if moment.name in GROWS
       for fault in (REFUSALS_OF_GET if moment.match == GET else REFUSALS_OF_PATCH)],
      lane=lambda moment, fault: moment.name + ", refused")
def the_gate_opens_at_once_and_the_full_size_follows_when_it_is_refused_at(moment, fault):
    pod = current.lane.take(moment.kind)
    pod.wait_asleep()
    pod.server.requests.clear()
    added = add_fault(pod, moment, fault, None)
    begun = stamp()
    pod.expect_answer(PROMPT_MS)
    pod.doze.lines.wait("letting the traffic through at the size that it has", after=begun)
    check(not pod.doze.lines.matching("not ready in time"), "it waited for the wake timeout")
    hits = added.hits
    wait_until(lambda: pod.expect_answer(5000) and added.hits > hits + 2,
               "it is asked again while somebody calls")
    check(len(said_since(pod, begun, "does not grant")) <= 1, "said again and again")
    added.remove()
    check_recovery(pod)


@test()
def a_full_size_that_is_refused_is_asked_for_again_also_when_nobody_calls():
    pod = sleeping_pod()
    pod.server.admission.quota = {"name": "compute", "hard": {"limits.cpu": "500m"}}
    pod.expect_answer(PROMPT_MS)
    pod.server.requests.wait(lambda r: r.size == "up" and r.status == 403, count=3)
    pod.server.admission.quota = None
    wait_until(lambda: pod.is_full, "the full size")
    pod.wait_asleep()


@test()
def limit_and_request_are_asked_for_together_where_the_limit_alone_is_refused():
    pod = new_pod()
    pod.server.admission.limit_range = {"maxLimitRequestRatio": {"cpu": "10"}}
    pod.start_doze()
    pod.wait_asleep()
    check(not errors_of(pod.doze), f"said: {errors_of(pod.doze)}")
    pod.expect_answer(PROMPT_MS)
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
def a_guaranteed_pod_is_let_through_without_the_wake_timeout_when_growing_is(kind):
    pod = sleeping_pod(GUARANTEED, wake_timeout="60s")
    pod.server.faults.add(UP, kind, times=1)
    pod.expect_answer(20000)
    pod.doze.lines.wait(f"reason={kind.capitalize()}")
    pod.doze.lines.wait("letting the traffic through at the size that it has")
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


if __name__ == "__main__":
    main()

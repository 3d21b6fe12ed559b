#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`doze sidecar`: what it cannot do is one clear line, and the pod is left alone. Flags that are wrong
end it. Whatever else is wrong may be mended, and a sidecar that ends keeps its pod from being Ready:
it stays, with the gate open, and tries again.

usage: test_sidecar_input.py [PART-OF-A-NAME]      prints TAP; exit status 1 if a test failed
"""
import collections
import contextlib
import http.client
import json
import os
import socket

from pod import check, pods, wait_until
from sidecar import (BURSTABLE, errors_of, main, manifest, new_pod, test, truncate_state,
                     with_asleep_spec, write_state_of_another)

STAYS = None  # no exit status

BAD = collections.namedtuple("Bad", "name status said flags changes prepare of")


def bad(name, status, said, *flags, prepare=None, of=None, **changes):
    return BAD(name, status, said, flags, changes, prepare, of)


def without_ca(pod):
    os.unlink(os.path.join(pod.server.account_directory, "ca.crt"))


class Connection(http.client.HTTPConnection):
    """To the socket of a pod's doze."""

    def __init__(self, pod):
        super().__init__("doze")
        self.path = os.path.join(pod.directory, "doze.sock")

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def get(pod, path):
    with contextlib.closing(Connection(pod)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def status_of(pod):
    return json.loads(get(pod, "/status")[1])


def healthz_of(pod):
    return get(pod, "/healthz")


def allow_nothing(pod):
    pod.server.allow_only(())


def allow_reading(pod):
    pod.server.allow_only((("get", "pods"),))


def container_of(**changes):
    pod = manifest(BURSTABLE)
    pod["spec"]["containers"][0].update(changes)
    return pod


def crowded():
    pod = manifest(BURSTABLE)
    first = pod["spec"]["containers"][0]
    pod["spec"]["containers"] += [{**first, "name": f"c{n}"} for n in range(256)]
    return pod


BAD_INPUTS = [
    bad("no POD_NAME", 2, "POD_NAME", POD_NAME=None),
    bad("no namespace", 2, "POD_NAMESPACE", POD_NAMESPACE=None),
    bad("a namespace that cannot be one", 2, "POD_NAMESPACE", POD_NAMESPACE="Not/This"),
    bad("no service account", STAYS, "/nowhere/ca.crt", DOZE_SERVICE_ACCOUNT_DIR="/nowhere"),
    bad("no CA", STAYS, "ca.crt", prepare=without_ca),
    bad("no address of the API server", STAYS, "KUBERNETES_SERVICE_HOST",
        KUBERNETES_SERVICE_HOST=None),
    bad("a kubeconfig that is not there", STAYS, "/nowhere", "--kubeconfig", "/nowhere"),
    bad("a container that the pod does not have", STAYS, "'nobody'", "--containers", "nobody"),
    bad("a pod that the server does not have", STAYS, "nobody", POD_NAME="nobody"),
    bad("a pod of the same name with another uid", STAYS, "another pod has its name by now",
        POD_UID="5c6eb96d-0661-4fee-80ea-26a9aba51a06"),
    bad("another pod of that name, which sleeps", STAYS, "another pod has its name by now",
        POD_UID="5c6eb96d-0661-4fee-80ea-26a9aba51a06", of=with_asleep_spec),
    bad("a uid that cannot be one", 2, "POD_UID", POD_UID="A/B"),
    bad("a pod with too many containers", STAYS, "more than 256 containers", of=crowded),
    bad("a probe on a port that the container does not have", STAYS, "'missing'",
        of=lambda: manifest(BURSTABLE, "no-such-port")),
    bad("a BestEffort pod", STAYS, "BestEffort", of=lambda: pods.best_effort("web")),
    bad("no CPU limit", STAYS, "no CPU limit", of=lambda: pods.requests_only("web")),
    bad("no limit above the asleep size", STAYS, "asleep already",
        of=lambda: pods.burstable("web", {"requests": {"cpu": "1m"}, "limits": {"cpu": "10m"}})),
    bad("a container that a resize starts anew", STAYS, "RestartContainer",
        of=lambda: container_of(resizePolicy=[{"resourceName": "cpu",
                                               "restartPolicy": "RestartContainer"}])),
    bad("no ports", STAYS, "port", of=lambda: container_of(ports=[])),
    bad("no right to read the pod", STAYS, "resources: [pods], verbs: [get]", prepare=allow_nothing),
    bad("no right to resize the pod", STAYS, "resources: [pods/resize], verbs: [patch]",
        prepare=allow_reading),
    bad("a sleeping pod and no state file", STAYS, "doze.dev/full", of=with_asleep_spec),
    bad("a sleeping pod and a state file of another", STAYS, "doze.dev/full", of=with_asleep_spec,
        prepare=write_state_of_another),
    bad("a sleeping pod and a truncated state file", STAYS, "doze.dev/full", of=with_asleep_spec,
        prepare=truncate_state),
    bad("an idle time that is none", 2, "'5 parsecs'", "--idle-after", "5 parsecs"),
    bad("an unknown flag", 2, "'--nonsense'", "--nonsense"),
]


@test([(one,) for one in BAD_INPUTS])
def one_clear_line_and_an_untouched_target_for(one):
    pod = new_pod(of=one.of() if one.of else None)
    if one.prepare:
        one.prepare(pod)
    before = pod.resources(), pod.quota_us()
    pod.launch_doze(*one.flags, level="info", **one.changes)
    if one.status is STAYS:
        pod.doze.lines.wait(one.said)
        pod.doze.lines.wait("its traffic passes")
        check(one.said in status_of(pod)["problem"], f"the status: {status_of(pod)}")
        check(pod.doze.is_alive, "it has ended")
    else:
        status = pod.doze.wait()
        check(status == one.status, f"exit status {status}")
    errors = errors_of(pod.doze)
    check(len([line for line in errors if one.said in line]) == 1, f"said: {errors}")
    check(len(errors) == 1 or "truncated" in one.name, f"more than one line: {errors}")
    check((pod.resources(), pod.quota_us()) == before, "the target was touched")
    check(not pod.server.requests.resizes(), "a resize was asked for")
    if before[1] == pod.full_quota_us:
        pod.expect_answer(2500)


def give_all_rights(pod):
    pod.server.allow_only(None)


def write_account(pod):
    pod.server.write_account()


def lift_limits(pod):
    pod.server.admission.limit_range = None


def forbid_small(pod):
    pod.server.admission.limit_range = {"min": {"cpu": "50m"}}


def annotate_full(pod):
    with pod.server.store.lock:
        found = json.loads(json.dumps(pod.server.pod("web")))
        found["metadata"].setdefault("annotations", {})["doze.dev/full"] = \
            '{"app":{"request":"250m","limit":"1"}}'
        pod.server.store.put("pods", found)


MENDED = [
    ("a LimitRange", forbid_small, lift_limits, None),
    ("a right that is missing", allow_reading, give_all_rights, None),
    ("a CA that is missing", without_ca, write_account, None),
    ("an unknown full size", lambda pod: None, annotate_full, with_asleep_spec),
]


@test(MENDED)
def a_sidecar_that_could_not_begin_is_said_once_and_begins_when_it_is_mended(_name, prepare, mend,
                                                                             of):
    pod = new_pod(of=of() if of else None)
    prepare(pod)
    pod.launch_doze(level="info")
    pod.doze.lines.wait("its traffic passes")
    asked = len(pod.server.requests)
    if prepare is not without_ca:
        pod.server.requests.wait(lambda r: r.method == "GET", count=4)
    else:
        check(asked == 0, "the API server was asked")
    check(len(errors_of(pod.doze)) == 1, f"said: {errors_of(pod.doze)}")
    mend(pod)
    pod.doze.lines.wait('msg="watching"')
    pod.wait_asleep()
    check(status_of(pod)["problem"] == "", "the status still has the problem")
    pod.expect_answer(2500)


@test()
def a_pod_that_cannot_sleep_has_an_event():
    pod = new_pod()
    forbid_small(pod)
    pod.server.allow_only()
    pod.launch_doze(level="info")
    wait_until(lambda: [e for e in pod.server.events("CannotSleep")
                        if "minimum cpu" in e["message"] and e["involvedObject"]["uid"] == pod.server.pod("web")["metadata"]["uid"]],
               "an event")
    code, text = healthz_of(pod)
    check(code == 200 and "minimum cpu" in text, f"healthz: {code} {text}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`doze sidecar`: wrong input is one clear line, and the pod is left alone.

usage: test_sidecar_input.py [PART-OF-A-NAME]      prints TAP; exit status 1 if a test failed
"""
import collections
import os

from pod import check, pods
from sidecar import (BURSTABLE, errors_of, main, manifest, new_pod, test, truncate_state,
                     with_asleep_spec, write_state_of_another)

BAD = collections.namedtuple("Bad", "name status said flags changes prepare of")


def bad(name, status, said, *flags, prepare=None, of=None, **changes):
    return BAD(name, status, said, flags, changes, prepare, of)


def without_ca(pod):
    os.unlink(os.path.join(pod.server.account_directory, "ca.crt"))


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


if __name__ == "__main__":
    main()

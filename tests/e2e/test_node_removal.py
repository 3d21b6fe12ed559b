#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`doze node` as the DaemonSet of deploy/node: it is replaced, or it is removed with all its rights.

usage: test_node_removal.py [PART-OF-A-NAME]      prints TAP; exit status 1 if a test failed
"""
import signal

from harness import check, equal, main, note, test
from node import ASLEEP_QUOTA_US, make_node, pods, wait_until
import installation  # those of tests/fake, which node.py makes known
import objects

FINALIZERS = [["doze.dev/pods-awake"]] * 3


def doze_pod(node, name):
    """Of another node: this one's doze does not watch it."""
    manifest = pods.burstable(name)
    manifest["metadata"]["namespace"] = installation.NAMESPACE
    manifest["spec"].update(serviceAccountName=installation.ACCOUNT, nodeName="node2")
    node.server.add_pod(manifest)


def installed(t, name="doze-a", others=(), **server):
    """A node whose doze is installed by the manifests, with two pods that sleep."""
    node = make_node(t, **server)
    found = node.server.install()
    node.server.add_node("node2")
    for each in (name, *others):
        doze_pod(node, each)
    sleepers = [node.add_pod(f"web-{depth}", {"asleep": depth}) for depth in ("throttle", "freeze")]
    node.start_doze(POD_NAME=name, POD_NAMESPACE=installation.NAMESPACE,
                    DOZE_DAEMONSET=installation.DAEMONSET)
    wait_until(lambda: found.finalizers() == FINALIZERS, "its rights are kept")
    for pod in sleepers:
        pod.wait_asleep()
    return node, found, sleepers


def expect_all_full(node, sleepers):
    for pod in sleepers:
        check(pod.is_full, f"{pod.name} left at {pod.size()}, quota {pod.quota_us()}")
    equal(node.state(), [], "state")


@test([(), ("namespaces",), ("daemonsets",)])
def every_pod_has_its_full_size_after_doze_was_removed(t, *what):
    """With nothing named: all at once, as kubectl delete -k does it."""
    node, found, sleepers = installed(t)
    found.delete(*what)
    equal(node.stop_doze(), 0, "status")
    expect_all_full(node, sleepers)
    equal(found.finalizers(), [None] * 3, "finalizers: kubectl delete would wait for ever")
    if not what:
        left = [resource for resource, _, _ in installation.OBJECTS[1:] if found.get(resource)]
        equal(left, [], "left of what was installed")


@test()
def rights_are_given_free_on_one_connection(t):
    """Of HTTP/2, as real servers have it: none of the three requests is too late."""
    node, found, sleepers = installed(t, is_http2=True)
    found.delete()
    equal(node.stop_doze(), 0, "status")
    expect_all_full(node, sleepers)
    equal(found.finalizers(), [None] * 3, "finalizers")
    freed = node.server.requests.select("PATCH", where=lambda r: "$deleteFrom" in r.raw.decode())
    equal([r.status for r in freed], [200] * 3, "answers")
    equal(len({r.client for r in freed}), 1, "connections")


@test()
def doze_that_is_replaced_wakes_nobody(t):
    node, found, sleepers = installed(t)
    equal(node.stop_doze(), 0, "status")
    for pod in sleepers:
        equal(pod.quota_us(), ASLEEP_QUOTA_US, f"the quota of {pod.name}")
    equal(found.finalizers(), FINALIZERS, "finalizers")


@test()
def doze_whose_rights_were_taken_gives_the_cgroups_back(t):
    node, found, sleepers = installed(t)
    found.delete(force=True)
    node.doze.signal(signal.SIGTERM)
    for pod in sleepers:
        wait_until(lambda pod=pod: pod.quota_us() == pod.full_quota_us and not pod.is_frozen,
                   f"{pod.name} has the full size of its cgroups")
    equal(node.doze.wait(120), 0, "status")
    for pod in sleepers:
        equal(pod.quota_us(), pod.full_quota_us, f"the quota of {pod.name} afterwards")
    check(node.state(), "what full is was forgotten: the next doze could not mend the spec")


@test()
def first_doze_by_name_stays_until_the_others_have_ended(t):
    node, found, sleepers = installed(t, "doze-a", ["doze-b"])
    found.delete()
    node.doze.signal(signal.SIGTERM)
    for pod in sleepers:
        pod.until_full()
    listed = len(node.server.requests.select(path="serviceAccountName"))
    node.server.requests.wait(lambda r: "serviceAccountName" in r.path, count=listed + 2)
    equal(found.finalizers(), FINALIZERS, "finalizers, while another doze is at work")
    node.server.delete_pod("doze-b", installation.NAMESPACE, grace_s=0)
    equal(node.doze.wait(60), 0, "status")
    equal(found.finalizers(), [None] * 3, "finalizers")


@test()
def any_other_doze_ends_at_once(t):
    node, found, sleepers = installed(t, "doze-b", ["doze-a"])
    found.delete()
    equal(node.stop_doze(), 0, "status")
    expect_all_full(node, sleepers)
    equal(found.finalizers(), FINALIZERS, "finalizers, which doze-a needs")


@test([("its node is down",), ("its node is gone",), ("it does not run",)])
def doze_that_cannot_end_holds_nothing_up(t, why):
    """Its pod is the first by its name, and nobody else would take the finalizers away."""
    node, found, sleepers = installed(t, "doze-b", ["doze-a"])
    store = node.server.store
    first = store.get("pods", installation.NAMESPACE, "doze-a")
    if why == "its node is down":
        down = objects.copy_of(store.get("nodes", None, "node2"))
        down["status"]["conditions"][0]["status"] = "Unknown"
        store.put("nodes", down)
    elif why == "its node is gone":
        store.remove("nodes", None, "node2")
    else:
        waiting = objects.copy_of(first)
        for container in waiting["status"]["containerStatuses"]:
            container["state"] = {"waiting": {"reason": "ImagePullBackOff"}}
        store.put("pods", waiting)
    found.delete()
    equal(node.stop_doze(), 0, "status")
    expect_all_full(node, sleepers)
    equal(found.finalizers(), [None] * 3, "finalizers")


@test()
def api_server_that_says_nothing_makes_pods_full(t):
    """Whether doze is removed cannot be known: the cgroups are given back."""
    node, _, sleepers = installed(t)
    node.server.go_down()
    node.doze.signal(signal.SIGTERM)
    for pod in sleepers:
        wait_until(lambda pod=pod: pod.quota_us() == pod.full_quota_us and not pod.is_frozen,
                   f"{pod.name} has the full size of its cgroups")
    node.server.come_back()
    node.doze.wait(120)
    note(f"sizes afterwards: {[pod.size() for pod in sleepers]}")


if __name__ == "__main__":
    main()

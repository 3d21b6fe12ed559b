#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of the test API server itself: validation beyond the recordings, each fault, watches, the
kubelet and its cgroups, tokens, certificates, and the control endpoint."""
import contextlib
import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import objects
import patching
import pods
import quantity
import recordings
import tap
import test_recordings
from apiserver import FakeApiServer
from client import Client
from clock import ManualClock
from kubelet_cgroups import Cgroup
from tap import check, equal

HERE = os.path.dirname(os.path.abspath(__file__))
WEB = "/api/v1/namespaces/default/pods/web"
CPU_CONTROLLER = "/sys/fs/cgroup/cpu"


@contextlib.contextmanager
def served(*several, **options):
    """(server, client); several: pods, or (pod, cgroups) pairs."""
    with FakeApiServer(**options) as server:
        for one in several:
            server.add_pod(*one) if isinstance(one, tuple) else server.add_pod(one)
        client = Client(server)
        try:
            yield server, client
        finally:
            client.close()


@contextlib.contextmanager
def by_hand(*several, **options):
    """(server, client, clock): the kubelet acts when the clock is advanced."""
    clock = ManualClock()
    with served(*several, clock=clock, **options) as (server, client):
        yield server, client, clock


@contextlib.contextmanager
def directory(version=1):
    """A directory that stands in for a cgroup."""
    with tempfile.TemporaryDirectory(prefix="fake-cgroup-") as path:
        files = {1: {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000", "cpu.shares": "1024"},
                 2: {"cpu.max": "max 100000", "cpu.weight": "100"}}[version]
        for name, text in files.items():
            with open(os.path.join(path, name), "w", encoding="ascii") as file:
                file.write(text)
        yield path


def raises(kinds, function):
    try:
        function()
    except kinds as error:
        return error
    raise tap.Check("nothing was raised")


# Quantities, patches

def test_quantities_are_written_as_kubernetes_writes_them():
    for given, wanted in (("1000m", "1"), ("0.5", "500m"), ("1024Mi", "1Gi"), ("1.5Gi", "1536Mi"),
                          ("100Mi", "100Mi"), ("0", "0"), ("0m", "0"), ("1500m", "1500m"),
                          ("2k", "2k"), ("1000k", "1M"), ("1e3", "1e3"), ("64Ki", "64Ki"),
                          ("0.5Ki", "512"), (1, "1"), ("+1", "1"), (".5", "500m"),
                          ("9007199254740988Ki", "9007199254740988Ki"), ("-1", "-1")):
        equal(quantity.canonical(given), wanted, str(given))
    for bad in ("ten", "", "1 m", "1mm", "1.2.3", "--1", None, True, "1e", [], "."):
        raises(quantity.BadQuantity, lambda bad=bad: quantity.canonical(bad))


def test_strategic_merge_keeps_other_containers_and_the_patch_decides_the_order():
    original = {"containers": [{"name": "a", "x": 1}, {"name": "b"}, {"name": "c"}]}
    for names, wanted in ((["b"], "abc"), (["a", "c"], "abc"), (["c", "a"], "bca"),
                          (["new"], "newabc"), (["a", "new"], "anewbc")):
        patch = {"containers": [{"name": name, "y": 2} for name in names]}
        result = patching.strategic(original, patch)["containers"]
        equal("".join(c["name"] for c in result), wanted)
        check(all(("y" in c) == (c["name"] in names) for c in result))
    equal(patching.strategic(original, {"containers": [{"name": "a", "$patch": "delete"}]}),
          {"containers": [{"name": "b"}, {"name": "c"}]})


def test_merge_patch_replaces_lists_and_json_patch_tests():
    equal(patching.merge({"a": [1, 2], "b": {"c": 1}}, {"a": [3], "b": {"c": None}}),
          {"a": [3], "b": {}})
    equal(patching.json_patch({"a": [1]}, [{"op": "add", "path": "/a/-", "value": 2},
                                           {"op": "test", "path": "/a/1", "value": 2},
                                           {"op": "remove", "path": "/a/0"}]), {"a": [2]})
    raises(patching.PatchRefused, lambda: patching.json_patch(
        {"a": 1}, [{"op": "test", "path": "/a", "value": 2}]))


# Resizes

def test_what_a_resize_may_be():
    """pod, requests, limits → status, and a word of the message or the stored cpu."""
    table = (
        (pods.guaranteed(), "10m", "10m", 200, "10m/10m"),
        (pods.guaranteed(), "0", "0", 422, "QOS"),
        (pods.guaranteed(), "10m", None, 422, "QOS"),
        (pods.burstable(), "1m", "10m", 200, "1m/10m"),
        (pods.burstable(), "0.1m", "10m", 200, "1m/10m"),
        (pods.burstable(), "1500u", "10m", 200, "2m/10m"),
        (pods.burstable(), "0", "1000m", 200, "0/1"),
        (pods.burstable(), None, "10m", 422, "less than or equal to cpu limit of 10m"),
        (pods.burstable(), {"cpu": None}, None, 200, "1/1"),
        (pods.burstable(), "-1", "1", 422, "greater than or equal to 0"),
        (pods.burstable(), {"ephemeral-storage": "1Gi"}, None, 422, "only cpu and memory"),
        (pods.requests_only(), {"cpu": None}, None, 422, "QOS"),
        (pods.requests_only(), "1m", None, 200, "1m/None"),
        (pods.best_effort(), None, "10m", 422, "QOS"),
    )
    for pod, requests, limits, status, wanted in table:
        with served(pod) as (server, client):
            answer = client.resize("web", requests, limits)
            equal(answer.status, status, f"{requests} {limits} {answer.raw}")
            resources = objects.resources_of(server.pod("web")["spec"]["containers"][0])
            stored = "/".join(str(resources[k].get("cpu")) for k in ("requests", "limits"))
            check(wanted == stored if status == 200 else wanted in answer.json["message"],
                  f"{wanted}: {stored} {answer.raw}")


def test_a_resize_of_several_containers_must_keep_their_order():
    pod = pods.with_container(pods.burstable(), "log", {"limits": {"cpu": "100m"}})
    for order, status in ((("app", "log"), 200), (("log", "app"), 422)):
        with served(pod) as (_, client):
            body = {"spec": {"containers": [
                {"name": name, "resources": {"requests": {"cpu": "1m"}, "limits": {"cpu": "10m"}}}
                for name in order]}}
            answer = client.patch("web", body)
            equal(answer.status, status)
            check(status == 200 or "renamed or reordered" in answer.json["message"])


def test_guards_of_identity():
    with by_hand(pods.burstable()) as (server, client, _):
        pod = server.pod("web")
        equal(client.resize("web", "1m", "10m", uid="other").status, 422)
        answer = client.resize("web", "1m", "10m", uid=pod["metadata"]["uid"])
        equal(answer.status, 200)
        stale = pod["metadata"]["resourceVersion"]
        equal(client.resize("web", "1m", "20m", resourceVersion=stale).status, 409)
        put = {**answer.json, "metadata": {**answer.json["metadata"], "uid": "other"}}
        equal(client.ask("PUT", WEB + "/resize", put, "application/json").status, 409)
        pod = server.pod("web")
        pod = objects.copy_of(pod)
        pod["spec"]["containers"][0]["resources"]["limits"]["cpu"] = "500m"
        pod["metadata"]["labels"]["dropped"] = "silently"
        answer = client.ask("PUT", WEB + "/resize", pod, "application/json")
        equal((answer.status, answer.json["metadata"]["labels"]), (200, {"app": "web"}))
        equal(server.pod("web")["spec"]["containers"][0]["resources"]["limits"]["cpu"], "500m")


def test_static_pods_and_old_nodes_are_refused():
    static, old = pods.burstable(), pods.burstable()
    static["metadata"]["annotations"] = {"kubernetes.io/config.source": "file"}
    del old["status"]["containerStatuses"][0]["resources"]
    for pod, word in ((static, "static pods"), (old, "node without support")):
        with served(pod) as (_, client):
            answer = client.resize("web", "1m", "10m")
            equal(answer.status, 422)
            check(word in answer.json["message"], answer.raw)


def test_a_dry_run_answers_like_the_real_one_and_changes_nothing():
    with served(pods.burstable()) as (server, client):
        before = server.pod("web")
        query = "?dryRun=All&fieldManager=doze&fieldValidation=Strict"
        answer = client.resize("web", "1m", "10m", query=query)
        equal((answer.status, answer.json["metadata"]["generation"]), (200, 2))
        equal(client.resize("web", "2", "1", query=query).status, 422)
        equal(server.pod("web"), before)
        equal(server.kubelet.resizes, [])
        equal(len(server.requests.resizes()), 0)


def test_a_resize_to_the_same_size_writes_nothing():
    with served(pods.burstable()) as (server, client):
        before = server.store.version
        answer = client.resize("web", "0.25", "1000m")
        equal((answer.status, answer.json["metadata"]["generation"]), (200, 1))
        equal(server.store.version, before)


def test_merge_patch_and_a_partial_answer():
    with served(pods.burstable()) as (server, client):
        containers = objects.copy_of(server.pod("web")["spec"]["containers"])
        containers[0]["resources"]["limits"]["cpu"] = "2"
        answer = client.ask("PATCH", WEB + "/resize", {"spec": {"containers": containers}},
                            patching.MERGE + "; charset=utf-8",
                            {"Accept": "application/json;as=PartialObjectMetadata;"
                                       "g=meta.k8s.io;v=v1"})
        equal((answer.status, answer.json["kind"], "spec" in answer.json),
              (200, "PartialObjectMetadata", False))
        equal(answer.json["metadata"]["generation"], 2)


def test_sidecars_are_resized_only_when_named():
    pod = pods.with_sidecar(pods.guaranteed())
    equal(objects.qos_class(pod), "Guaranteed")
    with by_hand(pod) as (server, client, clock):
        equal(client.resize("web", "10m", "10m").status, 200)
        clock.advance(1000)
        status = server.pod("web")["status"]
        equal(status["initContainerStatuses"][0]["resources"]["limits"]["cpu"], "10m")
        equal(status["allocatedResources"]["cpu"], "20m")
        body = {"spec": {"initContainers": [{"name": "doze", "resources": {
            "requests": {"cpu": "20m"}, "limits": {"cpu": "20m"}}}]}}
        equal(client.patch("web", body).status, 200)


def test_other_paths_and_methods():
    with served(pods.burstable()) as (_, client):
        for method, path, status in (("GET", "/apis/none", 404), ("GET", "/api/v1/none", 404),
                                     ("POST", WEB + "/resize", 405), ("GET", WEB + "/none", 404),
                                     ("GET", "/api", 200), ("GET", "/readyz", 200),
                                     ("GET", "/api/v1/nodes/node1", 200),
                                     ("GET", "/api/v1/nodes", 200), ("GET", WEB + "/resize", 200),
                                     ("GET", "/api/v1/nodes/none", 404)):
            equal(client.ask(method, path).status, status, f"{method} {path}")
        equal(client.get("/apis/none").json["details"], {})


# Versions

def test_before_1_32_the_pod_itself_is_patched():
    with served(pods.burstable(), version="1.31") as (server, client):
        equal(client.get("/version").json["minor"], "31")
        names = [r["name"] for r in client.get("/api/v1").json["resources"]]
        check("pods" in names and "pods/resize" not in names)
        answer = client.resize("web", "1m", "10m")
        equal((answer.status, answer.json["details"]), (404, {}))
        body = {"spec": {"containers": [{"name": "app", "resources": {
            "requests": {"cpu": "1m"}, "limits": {"cpu": "10m"}}}]}}
        answer = client.ask("PATCH", WEB, body, patching.STRATEGIC)
        equal((answer.status, "generation" in answer.json["metadata"]), (200, False))
        check(server.wait(lambda: server.pod("web")["status"].get("resize") == "InProgress"))
        check(server.wait(lambda: "resize" not in server.pod("web")["status"]))
        status = server.pod("web")["status"]
        equal(status["containerStatuses"][0]["resources"]["limits"]["cpu"], "10m")
        check("observedGeneration" not in status and "resources" not in status)


def test_without_the_feature_gate_there_is_no_way():
    body = {"spec": {"containers": [{"name": "app", "resources": {"limits": {"cpu": "2"}}}]}}
    for version, in_place in (("1.31", False), ("1.32", None)):
        with served(pods.burstable(), version=version, in_place=in_place) as (_, client):
            equal(client.resize("web", "1m", "10m").status, 404)
            answer = client.ask("PATCH", WEB, body, patching.STRATEGIC)
            equal(answer.status, 422)
            check("pod updates may not change fields" in answer.json["message"])


def test_a_memory_limit_cannot_shrink_on_1_33():
    for version, status in (("1.33", 422), ("1.34", 200)):
        with served(pods.burstable(), version=version) as (_, client):
            answer = client.resize("web", None, {"memory": "100Mi"})
            equal(answer.status, status)
            check(status == 200 or "memory limits cannot be decreased" in answer.json["message"])


def test_too_much_for_the_node_is_403_since_1_36_and_infeasible_before():
    with served(pods.burstable(), version="1.35") as (server, client):
        equal(client.resize("web", "64", "64").status, 200)
        check(server.wait(lambda: _condition(server, "PodResizePending")))
        condition = _condition(server, "PodResizePending")
        equal(condition["reason"], "Infeasible")
        equal(condition["message"],
              "Node didn't have enough capacity: cpu, requested: 64000, capacity: 2000")


def test_metadata_of_a_pod_can_be_patched_and_nothing_is_resized_by_it():
    with served(pods.burstable()) as (server, client):
        noted = {"doze.dev/full": "1"}
        answer = client.ask("PATCH", WEB, {"metadata": {"annotations": noted}}, patching.MERGE)
        equal((answer.status, answer.json["metadata"]["annotations"]), (200, noted))
        equal((answer.json["metadata"]["generation"], server.kubelet.resizes), (1, []))


def _condition(server, kind, name="web"):
    return next((c for c in server.pod(name)["status"]["conditions"] if c["type"] == kind), None)


# The kubelet

def test_actuation_writes_the_cgroup_late_and_the_status_later():
    with directory() as path:
        with by_hand((pods.burstable(), {"app": path})) as (server, client, clock):
            cgroup = Cgroup(path)
            equal(cgroup.quota(), 100000, "at the start")
            client.resize("web", "1m", "10m")
            clock.advance(20)
            equal(cgroup.quota(), 100000, "at 20 ms")
            check(_condition(server, "PodResizeInProgress"))
            status = server.pod("web")["status"]
            equal(status["containerStatuses"][0]["allocatedResources"]["cpu"], "1m")
            equal(status["containerStatuses"][0]["resources"]["limits"]["cpu"], "1")
            clock.advance(30)
            equal(cgroup.quota(), 1000, "at 50 ms")
            with open(os.path.join(path, "cpu.shares"), encoding="ascii") as file:
                equal(file.read(), "2")
            check(_condition(server, "PodResizeInProgress"))
            clock.advance(60)
            equal(_condition(server, "PodResizeInProgress"), None)
            status = server.pod("web")["status"]
            equal(status["containerStatuses"][0]["resources"]["limits"]["cpu"], "10m")
            equal((status["observedGeneration"], status["resources"]), (2, {
                "limits": {"memory": "128Mi"}, "requests": {"memory": "64Mi"}}))
            equal([e["reason"] for e in server.events()], ["ResizeStarted", "ResizeCompleted"])
            resize = server.requests.resizes("down")[0].resize
            equal((resize.allocated_s, resize.actuated_s, round(resize.status_s, 6)),
                  (0.02, 0.05, 0.11))


def test_a_v2_cgroup_is_written_as_well():
    with directory(2) as path:
        with by_hand((pods.guaranteed(), {"app": path})) as (_, client, clock):
            for size, text in (("10m", "1000 100000"), ("2", "200000 100000"),
                               ("1m", "1000 100000"), ("500m", "50000 100000")):
                equal(client.resize("web", size, size).status, 200)
                clock.advance(1000)
                with open(os.path.join(path, "cpu.max"), encoding="ascii") as file:
                    equal(file.read(), text)


def test_a_zero_limit_leaves_the_quota_that_was_there():
    with directory() as path:
        with by_hand((pods.burstable(), {"app": path})) as (server, client, clock):
            equal(client.resize("web", "0", "0").status, 200)
            clock.advance(1000)
            equal(Cgroup(path).quota(), 100000)
            equal(server.requests.resizes()[0].resize.outcome, "actuated")


def test_a_real_v1_cgroup_is_throttled():
    path = os.path.join(CPU_CONTROLLER, f"fake-test-{os.getpid()}")
    if os.geteuid() or not os.path.exists(os.path.join(CPU_CONTROLLER, "cpu.cfs_quota_us")):
        raise tap.Skip("needs root and the cgroup v1 cpu controller")
    try:
        os.mkdir(path)
    except OSError as error:
        raise tap.Skip(f"no cgroup can be made: {error}") from None
    try:
        with served((pods.burstable(), {"app": path})) as (server, client):
            equal(Cgroup(path).quota(), 100000)
            client.resize("web", "1m", "10m")
            request = server.requests.resizes("down")[0]
            check(server.wait(lambda: request.actuated_s))
            equal(Cgroup(path).quota(), 1000)
            late_ms = (request.actuated_s - request.time_s) * 1000
            check(50 <= late_ms < 1000, f"{late_ms} ms")
            check(server.wait(lambda: request.resize.status_s))
            check(request.resize.status_s - request.actuated_s >= 0.06)
    finally:
        os.rmdir(path)


def test_a_grow_that_follows_a_shrink_still_sees_the_dip():
    """ms      cgroup
       0       full, down is patched
       10      up is patched
       50      asleep: the first is worked through
       80      full again"""
    with directory() as path:
        with by_hand((pods.burstable(), {"app": path})) as (server, client, clock):
            seen = []
            client.resize("web", "1m", "10m")
            clock.advance(10)
            client.resize("web", "250m", "1")
            for ms in (39, 1, 29, 1):
                clock.advance(ms)
                seen.append(Cgroup(path).quota())
            equal(seen, [100000, 1000, 1000, 100000])
            clock.advance(1000)
            equal(_condition(server, "PodResizeInProgress"), None)
            equal(server.pod("web")["status"]["containerStatuses"][0]["resources"]["limits"]["cpu"],
                  "1")
            equal([r.outcome for r in server.kubelet.resizes], ["actuated"] * 2)


def test_superseding_at_every_moment_ends_full():
    for moment_ms in range(0, 130, 10):
        with directory() as path:
            with by_hand((pods.burstable(), {"app": path})) as (server, client, clock):
                client.resize("web", "1m", "10m")
                clock.advance(moment_ms)
                client.resize("web", "250m", "1")
                actuated_ms = []
                clock.advance(500)
                actuated_ms = [round(r.actuated_s * 1000) for r in server.kubelet.resizes]
                equal(actuated_ms, [50, max(80, moment_ms + 50)], str(moment_ms))
                equal(Cgroup(path).quota(), 100000)
                equal(_condition(server, "PodResizeInProgress"), None)


def test_delays_are_set_per_pod_and_at_run_time():
    with by_hand(pods.burstable(), pods.burstable("other")) as (server, client, clock):
        server.kubelet.configure(actuate_ms=100)
        server.kubelet.configure("default", "other", actuate_ms=5, status_ms=0)
        for name in ("web", "other"):
            client.resize(name, "1m", "10m")
        clock.advance(1000)
        equal([(r.name, round(r.actuated_s * 1000)) for r in server.kubelet.resizes],
              [("web", 100), ("other", 5)])


def test_deferred_until_another_pod_shrinks():
    big = pods.guaranteed("big", {"requests": {"cpu": "1", "memory": "64Mi"},
                                  "limits": {"cpu": "1", "memory": "64Mi"}})
    with by_hand(pods.burstable(), big) as (server, client, clock):
        client.resize("web", "1500m", "1500m")
        clock.advance(1000)
        equal(_condition(server, "PodResizePending")["message"],
              "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000")
        equal(client.resize("big", "10m", "10m").status, 200)
        clock.advance(1000)
        equal(_condition(server, "PodResizePending"), None)
        equal(server.kubelet.resizes[0].outcome, "actuated")


def test_a_limit_alone_is_never_deferred():
    big = pods.guaranteed("big", {"requests": {"cpu": "1900m", "memory": "64Mi"},
                                  "limits": {"cpu": "1900m", "memory": "64Mi"}})
    with by_hand(pods.asleep(pods.burstable()), big) as (server, client, clock):
        client.resize("web", None, "1")
        clock.advance(1000)
        equal(server.kubelet.resizes[0].outcome, "actuated")
        client.resize("web", "250m", "1")
        clock.advance(1000)
        equal(_condition(server, "PodResizePending")["reason"], "Deferred")


def test_forced_outcomes():
    """kind → its condition, and whether the cgroup changes."""
    for kind, condition, quota in (("deferred", "PodResizePending", 100000),
                                   ("infeasible", "PodResizePending", 100000),
                                   ("never", None, 100000),
                                   ("stuck", "PodResizeInProgress", 100000),
                                   ("slow", None, 1000)):
        with directory() as path:
            with by_hand((pods.burstable(), {"app": path})) as (server, client, clock):
                server.faults.add("PATCH /resize", kind, times=1)
                equal(client.resize("web", "1m", "10m").status, 200)
                clock.advance(900)
                equal(Cgroup(path).quota(), 100000, kind)
                clock.advance(900)
                equal(Cgroup(path).quota(), quota, kind)
                found = [c["type"] for c in server.pod("web")["status"]["conditions"]
                         if c["type"].startswith("PodResize")]
                equal(found, [condition] if condition else [], kind)
                client.resize("web", "1m", "20m")
                clock.advance(1000)
                equal(Cgroup(path).quota(), 2000, "the next one is not touched")


def test_a_forced_deferred_ends_when_it_is_granted():
    with by_hand(pods.burstable()) as (server, client, clock):
        server.faults.add({"size": "up"}, "deferred", message="no room")
        client.resize("web", "500m", "2")
        clock.advance(5000)
        equal(_condition(server, "PodResizePending")["message"], "no room")
        server.grant("web")
        clock.advance(110)
        equal(_condition(server, "PodResizePending"), None)
        equal(server.kubelet.resizes[0].outcome, "actuated")


def test_a_restarted_container_starts_with_the_allocated_size():
    with directory() as old, directory() as new:
        with by_hand((pods.burstable(), {"app": old})) as (server, client, clock):
            client.resize("web", "1m", "10m")
            clock.advance(1000)
            before = server.pod("web")["status"]["containerStatuses"][0]
            server.restart_container("web", "app", cgroup=new, ready_ms=100)
            after = server.pod("web")["status"]["containerStatuses"][0]
            equal((after["restartCount"], after["ready"], after["started"]), (1, False, False))
            check(after["containerID"] != before["containerID"])
            equal(after["lastState"]["terminated"]["containerID"], before["containerID"])
            equal(Cgroup(new).quota(), 1000)
            equal(_condition(server, "Ready")["status"], "False")
            clock.advance(100)
            equal(_condition(server, "Ready")["status"], "True")
            client.resize("web", "250m", "1")
            clock.advance(1000)
            equal((Cgroup(old).quota(), Cgroup(new).quota()), (1000, 100000))


def test_a_terminating_pod_is_not_resized_and_then_gone():
    with directory() as path:
        with by_hand((pods.burstable(), {"app": path})) as (server, client, clock):
            client.resize("web", "1m", "10m")
            server.delete_pod("web", grace_s=30)
            clock.advance(1000)
            equal(Cgroup(path).quota(), 100000)
            equal(client.resize("web", "1m", "20m").status, 200)
            clock.advance(1000)
            equal([r.outcome for r in server.kubelet.resizes], ["terminating"] * 2)
            check("deletionTimestamp" in client.pod("web").json["metadata"])
            server.delete_pod("web", remove=True)
            equal((client.pod("web").status, client.resize("web", "1m", "10m").status), (404, 404))


def test_memory_below_usage_blocks_the_cpu_of_the_same_resize():
    with directory() as path:
        with by_hand((pods.burstable(), {"app": path})) as (server, client, clock):
            client.resize("web", {"cpu": "1m", "memory": "64Ki"}, {"cpu": "10m", "memory": "64Ki"})
            clock.advance(9000)
            check("reason" not in _condition(server, "PodResizeInProgress"))
            clock.advance(2000)
            equal(_condition(server, "PodResizeInProgress")["reason"], "Error")
            equal(Cgroup(path).quota(), 100000)
            client.resize("web", {"cpu": "1m", "memory": "64Mi"}, {"cpu": "10m", "memory": "128Mi"})
            clock.advance(20000)
            equal(_condition(server, "PodResizeInProgress"), None)
            equal(Cgroup(path).quota(), 1000)


def test_a_cgroup_that_has_gone_does_not_stop_the_kubelet():
    with directory() as path:
        with by_hand((pods.burstable(), {"app": path}), pods.burstable("b")) as (
                server, client, clock):
            os.unlink(os.path.join(path, "cpu.shares"))
            os.rename(path, path + ".away")
            try:
                client.resize("web", "1m", "10m")
                client.resize("b", "1m", "10m")
                clock.advance(1000)
            finally:
                os.rename(path + ".away", path)
            outcomes = [r.outcome for r in server.kubelet.resizes]
            check(outcomes[0].startswith("cgroup: "))
            equal(outcomes[1], "actuated")


# Admission

def test_quota_limit_range_and_the_policy():
    with served(pods.burstable(), pods.burstable("other")) as (server, client):
        server.admission.quota = {"name": "compute", "hard": {"limits.cpu": "2500m"}}
        answer = client.resize("web", "250m", "2")
        equal((answer.status, answer.json["message"]), (
            403, 'pods "web" is forbidden: exceeded quota: compute, requested: limits.cpu=1, '
            "used: limits.cpu=2, limited: limits.cpu=2500m"))
        equal(client.resize("web", "1m", "10m").status, 200)
        server.admission.quota = None
        server.admission.limit_range = {"min": {"cpu": "50m"}}
        answer = client.resize("web", "1m", "20m")
        equal((answer.status, answer.json["message"]), (
            403, 'pods "web" is forbidden: [minimum cpu usage per Container is 50m, but request is '
            "1m, minimum cpu usage per Container is 50m, but limit is 20m]"))
        server.admission.limit_range, server.admission.own_pod_only = None, True
        server.account.pod_name = "web"
        equal([client.resize(name, "1m", "30m").status for name in ("web", "other")], [200, 422])


# Lists and watches

def _lines(response):
    """The events of a watch, as they come."""
    while line := response.readline():
        yield json.loads(line)


def test_lists_select_and_page():
    with served(pods.burstable("a"), pods.burstable("b", node="node2"),
                pods.burstable("c", namespace="x")) as (server, client):
        def names(path):
            return [p["metadata"]["name"] for p in client.get(path).json["items"]]
        equal(names("/api/v1/pods"), ["a", "b", "c"])
        equal(names("/api/v1/namespaces/x/pods"), ["c"])
        equal(names("/api/v1/pods?fieldSelector=spec.nodeName%3Dnode1,status.phase!%3DFailed"),
              ["a", "c"])
        equal(names("/api/v1/pods?fieldSelector=metadata.name%3Db"), ["b"])
        equal(names("/api/v1/pods?labelSelector=app%3Da"), ["a"])
        equal(client.get("/api/v1/pods?fieldSelector=spec.volumes%3Dx").status, 400)
        page = client.get("/api/v1/pods?limit=2").json
        token = page["metadata"]["continue"]
        equal((len(page["items"]), page["metadata"]["remainingItemCount"]), (2, 1))
        equal(names("/api/v1/pods?limit=2&continue=" + token), ["c"])
        server.store.compact()
        equal(client.get("/api/v1/pods?limit=2&continue=" + token).status, 410)
        answer = client.get(f"/api/v1/pods?resourceVersion={server.store.version + 99}")
        equal((answer.status, answer.headers["Retry-After"]), (504, "1"))


def test_a_watch_without_a_version_begins_with_what_is_there():
    with served(pods.burstable(), pods.burstable("b")) as (server, client):
        events = _lines(client.send("GET", "/api/v1/namespaces/default/pods?watch=1&"
                                    "fieldSelector=metadata.name%3Dweb&sendInitialEvents=true"))
        first, initial = next(events), next(events)
        equal((first["type"], first["object"]["metadata"]["name"]), ("ADDED", "web"))
        equal((initial["type"], initial["object"]["metadata"]["annotations"]),
              ("BOOKMARK", {"k8s.io/initial-events-end": "true"}))
        server.set_ready("b", "app", False)
        server.set_ready("web", "app", False)
        changed = next(events)
        equal((changed["type"], changed["object"]["metadata"]["name"]), ("MODIFIED", "web"))
        server.delete_pod("web", grace_s=0)
        equal([next(events)["type"], next(events)["type"]], ["MODIFIED", "DELETED"])
        server.end_watches()
        equal(list(events), [])


def test_a_watch_sends_bookmarks_and_ends_in_time():
    with served(pods.burstable()) as (server, client):
        server.api.bookmark_s = 0.05
        version = server.store.version
        events = list(_lines(client.send("GET", f"/api/v1/pods?watch=1&resourceVersion={version}&"
                                         "allowWatchBookmarks=true&timeoutSeconds=0.2")))
        equal({e["type"] for e in events}, {"BOOKMARK"})
        check(len(events) >= 2)
        equal(events[-1]["object"]["metadata"]["resourceVersion"], str(version))


def test_a_watch_from_too_long_ago_is_answered_410():
    with served(pods.burstable()) as (server, client):
        version = server.store.version
        server.store.compact()
        events = list(_lines(client.send("GET", f"/api/v1/pods?watch=1&resourceVersion={version}")))
        equal([(e["type"], e["object"]["code"], e["object"]["reason"]) for e in events],
              [("ERROR", 410, "Expired")])


def test_watches_end_and_expire_on_demand():
    for act, wanted in ((lambda s: s.end_watches(), []),
                        (lambda s: s.end_watches(with_410=True), ["ERROR"]),
                        (lambda s: _fault_watch(s, "watch-410"), ["ERROR"]),
                        (lambda s: _fault_watch(s, "watch-end"), [])):
        with served(pods.burstable()) as (server, client):
            version = server.store.version
            response = client.send("GET", f"/api/v1/pods?watch=1&resourceVersion={version}")
            act(server)
            equal([e["type"] for e in _lines(response)], wanted)


def test_a_watch_breaks_off_within_a_line():
    with served(pods.burstable()) as (server, client):
        version = server.store.version
        response = client.send("GET", f"/api/v1/pods?watch=1&resourceVersion={version}")
        _fault_watch(server, "watch-half")
        raises((ConnectionError, http.client.HTTPException, ssl.SSLError, ValueError),
               lambda: list(_lines(response)))


def test_an_answer_may_be_of_another_object():
    with served(pods.burstable()) as (server, client):
        server.faults.add("GET", "wrong-uid", times=1)
        check(client.pod("web").json["metadata"]["uid"] != server.pod("web")["metadata"]["uid"])
        equal(client.pod("web").json, server.pod("web"))


def _fault_watch(server, kind):
    server.faults.add("GET /pods", kind, times=1)
    server.set_ready("web", "app", False)


# Events

def test_events_are_created_and_patched():
    with served(pods.burstable()) as (server, client):
        path = "/api/v1/namespaces/default/events"
        body = {"metadata": {"name": "web.1"}, "reason": "Asleep", "message": "m", "count": 1,
                "involvedObject": {"kind": "Pod", "namespace": "default", "name": "web"}}
        equal(client.ask("POST", path, body, "application/json").status, 201)
        equal(client.ask("POST", path, body, "application/json").status, 409)
        answer = client.ask("PATCH", path + "/web.1", {"count": 2}, patching.STRATEGIC)
        equal((answer.status, answer.json["count"]), (200, 2))
        body["involvedObject"]["namespace"] = "other"
        equal(client.ask("POST", path, body, "application/json").status, 422)
        equal([e["reason"] for e in server.events("Asleep")], ["Asleep"])


# Who may

def test_a_rotated_token_replaces_the_old_one():
    with served(pods.burstable()) as (server, client):
        old = server.token
        path = os.path.join(server.account_directory, "token")
        server.rotate_token()
        with open(path, encoding="ascii") as file:
            new = file.read()
        check(new != old)
        equal(client.pod("web").status, 401)
        client.token = new
        equal(client.pod("web").status, 200)
        server.rotate_token(old_lifetime_s=60)
        equal(client.pod("web").status, 200)
        server.expire_token(client.token)
        equal(client.pod("web").status, 401)
        equal(sorted(os.listdir(server.account_directory))[-3:], ["ca.crt", "namespace", "token"])
        equal(os.readlink(path), "..data/token")


def test_no_token_is_401_and_a_role_is_enough_or_403():
    with served(pods.burstable()) as (server, client):
        server.allow_only()
        equal(client.pod("web").status, 200)
        equal(client.resize("web", "1m", "10m").status, 200)
        answer = client.get("/api/v1/pods")
        equal((answer.status, answer.json["message"]), (
            403, 'pods is forbidden: User "system:serviceaccount:default:doze" cannot list '
            'resource "pods" in API group "" at the cluster scope'))
        client.token = ""
        equal(client.pod("web").status, 401)


def test_a_client_certificate_is_an_account():
    with served(pods.burstable()) as (server, _):
        client = Client(server, token="", pair=server.authority.client("admin"))
        equal(client.pod("web").status, 200)
        equal(server.requests[-1].user, "admin")
        client.close()


def test_kubeconfigs_are_complete():
    with served(pods.burstable()) as (server, _):
        for with_certificate, inline in ((False, True), (True, True), (True, False)):
            path = os.path.join(server.directory, "kubeconfig")
            server.write_kubeconfig(path, with_certificate, inline)
            with open(path, encoding="ascii") as file:
                text = file.read()
            check(server.url in text and ("certificate-authority-data" in text) == inline)
            check(("token: " in text) != with_certificate)
            check(("client-certificate" in text) == with_certificate)


# Certificates and connections

def test_another_ca_is_trusted_only_when_it_is_read_again():
    with served(pods.burstable()) as (server, client):
        old = Client(server)
        server.rotate_ca()
        equal(client.connection.sock, None)
        raises(ssl.SSLError, lambda: old.pod("web"))
        new = Client(server)
        equal(new.pod("web").status, 200)
        new.close()


def test_tls_faults():
    for kind, error in (("tls-close", (ssl.SSLError, ConnectionError, EOFError)),
                        ("tls-untrusted", ssl.SSLCertVerificationError),
                        ("tls-name", ssl.SSLCertVerificationError)):
        with served(pods.burstable()) as (server, client):
            server.faults.add(kind=kind, times=1)
            raises(error, lambda: client.pod("web"))
            client.close()
            equal(client.pod("web").status, 200)


def test_it_goes_down_and_comes_back_on_the_same_port():
    with served(pods.burstable()) as (server, client):
        equal(client.pod("web").status, 200)
        port = server.port
        server.go_down()
        raises((OSError, http.client.HTTPException), lambda: client.pod("web"))
        client.close()
        raises(ConnectionRefusedError, lambda: client.pod("web"))
        client.close()
        server.come_back()
        equal(server.port, port)
        equal(client.pod("web").status, 200)


def test_dropped_connections_are_noticed_at_once():
    with served(pods.burstable()) as (server, client):
        equal(client.pod("web").status, 200)
        server.drop_connections()
        raises((OSError, http.client.HTTPException), lambda: client.pod("web"))
        client.close()
        equal(client.pod("web").status, 200)


def test_one_connection_carries_many_requests():
    with served(pods.burstable()) as (_, client):
        client.pod("web")
        socket = client.connection.sock
        for _ in range(20):
            client.resize("web", "1m", "10m")
        check(client.connection.sock is socket)


def test_ipv6_answers_as_well():
    with served(pods.burstable()) as (server, _):
        if len(server._listeners) < 2:
            raise tap.Skip("no IPv6 here")
        client = Client(server, address="::1")
        equal(client.pod("web").status, 200)
        client.close()


def test_it_listens_in_another_network_namespace():
    if os.geteuid() or not shutil.which("ip"):
        raise tap.Skip("needs root and ip")
    name = f"fake-test-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if made.returncode:
        raise tap.Skip("no network namespace can be made")
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        subprocess.run(["ip", "-n", name, "addr", "add", "192.0.2.1/32", "dev", "lo"], check=True)
        with served(pods.burstable(), netns=name, addresses=["192.0.2.1"]) as (server, _):
            program = ("import ssl, urllib.request, sys; print(urllib.request.urlopen("
                       "urllib.request.Request(sys.argv[1] + '/version', headers={"
                       "'Authorization': 'Bearer ' + sys.argv[2]}), context="
                       "ssl.create_default_context(cafile=sys.argv[3])).status)")
            done = subprocess.run(
                ["ip", "netns", "exec", name, sys.executable, "-c", program, server.url,
                 server.token, os.path.join(server.account_directory, "ca.crt")],
                capture_output=True, text=True, check=False)
            equal(done.stdout, "200\n", done.stderr)
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


# Faults of answers

def test_each_status_code_looks_like_the_real_one():
    table = (({"kind": 401}, 401, "Unauthorized", None),
             ({"kind": 403}, 403, 'cannot patch resource "pods/resize"', None),
             ({"kind": 403, "why": "capacity"}, 403, "allocatable", None),
             ({"kind": 403, "why": "quota"}, 403, "exceeded quota", None),
             ({"kind": 403, "why": "limitrange"}, 403, "minimum cpu usage", None),
             ({"kind": 404}, 404, 'pods \\"web\\" not found', None),
             ({"kind": 404, "why": "path"}, 404, "could not find the requested resource", None),
             ({"kind": 409}, 409, "the object has been modified", None),
             ({"kind": 422}, 422, "only cpu and memory", None),
             ({"kind": 429}, 429, "Too many requests", "1"),
             ({"kind": 429, "retry_after_s": 7}, 429, "Too many requests", "7"),
             ({"kind": 500}, 500, "etcdserver", None),
             ({"kind": 503}, 503, "shutting down", "1"),
             ({"kind": 504}, 504, "fault 504", None))
    with served(pods.burstable()) as (server, client):
        for options, status, text, retry_after in table:
            fault = server.faults.add("PATCH /resize", times=1, **options)
            answer = client.resize("web", "1m", "10m")
            equal(answer.status, status)
            check(text in answer.raw.decode().replace('\\"pods/resize\\"', '"pods/resize"'),
                  answer.raw)
            equal(answer.headers["Retry-After"], retry_after)
            equal(answer.headers["Content-Type"], "text/plain; charset=utf-8" if status == 429
                  else "application/json")
            equal(fault.hits, 1)
        equal(server.kubelet.resizes, [])
        equal(client.resize("web", "1m", "10m").status, 200)


def test_a_fault_counts_skips_and_ends():
    with served(pods.burstable()) as (server, client):
        fault = server.faults.add("GET /pods/web", 503, times=2, after=1)
        equal([client.pod("web").status for _ in range(4)], [200, 503, 503, 200])
        equal([r.faults for r in server.requests], [[], ["503"], ["503"], []])
        always = server.faults.add(kind=500)
        equal([client.pod("web").status for _ in range(3)], [500] * 3)
        always.remove()
        equal((client.pod("web").status, fault.hits), (200, 2))
        for bad in ({"kind": "nonsense"}, {"kind": 200}, {"kind": 503, "nonsense": 1},
                    {"kind": 503, "match": {"nonsense": "x"}}):
            raises(ValueError, lambda bad=bad: server.faults.add(**bad))


def test_a_fault_can_choose_the_size_or_the_body():
    with served(pods.burstable()) as (server, client):
        server.faults.add({"size": "^up$"}, 503)
        equal(client.resize("web", "1m", "10m").status, 200)
        equal(client.resize("web", "250m", "1").status, 503)
        server.faults.clear()
        server.faults.add({"body": '"limits":{"cpu":"1"}'}, 500)
        equal(client.resize("web", "1m", "20m").status, 200)
        equal(client.resize("web", "250m", "1").status, 500)
        equal([r.size for r in server.requests.resizes()], ["down", "up", "up", "up"])


def test_after_means_that_it_was_done_although_the_client_does_not_know():
    for when, done in (("before", 0), ("after", 1)):
        for kind in (503, "reset"):
            with served(pods.burstable()) as (server, client):
                server.faults.add("PATCH", kind, times=1, when=when)
                if kind == 503:
                    equal(client.resize("web", "1m", "10m").status, 503)
                else:
                    raises((ConnectionError, http.client.HTTPException),
                           lambda: client.resize("web", "1m", "10m"))
                equal(len(server.kubelet.resizes), done, f"{kind} {when}")


def test_resets_and_short_answers():
    broken = (ConnectionError, http.client.HTTPException, ssl.SSLError)
    for options, error in (({"kind": "reset"}, broken),
                           ({"kind": "reset", "at": "headers"}, broken),
                           ({"kind": "reset", "at": "body"}, broken),
                           ({"kind": "truncate"}, broken),
                           ({"kind": "half-json"}, ValueError),
                           ({"kind": "garbage"}, ValueError)):
        with served(pods.burstable()) as (server, client):
            server.faults.add("GET", times=1, **options)
            raises(error, lambda: client.pod("web").json)
            client.close()
            equal(client.pod("web").status, 200, str(options))


def test_an_answer_is_there_half_when_the_body_is_cut():
    for kind in ("truncate", "reset"):
        with served(pods.burstable()) as (server, client):
            server.faults.add(kind=kind, at="body", times=1)
            response = client.send("GET", WEB)
            equal(response.status, 200)
            raises((ConnectionError, http.client.HTTPException), response.read)


def test_delays_and_slow_bodies_last():
    with served(pods.burstable()) as (server, client):
        for options, least_s in (({"kind": "delay", "ms": 60}, 0.06),
                                 ({"kind": "delay", "ms": 60, "when": "after"}, 0.06),
                                 ({"kind": "slow-body", "ms": 10}, 0.09)):
            server.faults.add("GET", times=1, **options)
            start_s = time.monotonic()
            equal(client.pod("web").status, 200)
            check(time.monotonic() - start_s >= least_s)
        server.faults.add(kind="delay", ms=60, times=1)
        server.faults.add(kind=503, times=1)
        start_s = time.monotonic()
        equal(client.pod("web").status, 503)
        check(time.monotonic() - start_s >= 0.06)


def test_a_hang_lasts_until_the_client_gives_up_or_the_fault_is_removed():
    with served(pods.burstable()) as (server, _):
        fault = server.faults.add(kind="hang")
        client = Client(server, timeout_s=0.1)
        raises(TimeoutError, lambda: client.pod("web"))
        client.close()
        patient = Client(server)
        patient.connection.request("GET", "/version", headers={})
        check(server.requests.wait(lambda r: r.path == "/version"))
        fault.remove()
        raises((ConnectionError, http.client.HTTPException), patient.connection.getresponse)


def test_a_closing_answer_is_a_good_one():
    with served(pods.burstable()) as (server, client):
        server.faults.add(kind="close", times=1)
        answer = client.pod("web")
        equal((answer.status, answer.headers["Connection"]), (200, "close"))
        equal(client.pod("web").status, 200)


# The log, the control endpoint, the program

def test_requests_are_recorded_with_their_times():
    with directory() as path:
        with served((pods.burstable(), {"app": path})) as (server, client):
            start_s = time.monotonic()
            client.resize("web", "1m", "10m")
            request = server.requests.wait(lambda r: r.is_resize and r.status == 200)
            check(server.wait(lambda: request.actuated_s))
            check(start_s <= request.time_s <= request.answered_s <= request.actuated_s)
            equal((request.method, request.path, request.size), ("PATCH", WEB + "/resize", "down"))
            equal(request.body["spec"]["containers"][0]["name"], "app")
            equal(request.user, "system:serviceaccount:default:doze")


def _post(url, path, **arguments):
    request = urllib.request.Request(url + path, json.dumps(arguments).encode())
    return json.load(urllib.request.urlopen(request))


def test_other_processes_can_steer_it():
    with served(pods.burstable()) as (server, client):
        url = server.control_url
        made = _post(url, "/faults/add", match="GET /pods", kind=503, times=1)
        equal((client.pod("web").status, client.pod("web").status), (503, 200))
        equal(json.load(urllib.request.urlopen(url + "/faults"))[0]["hits"], 1)
        _post(url, "/faults/remove", id=made["id"])
        equal(json.load(urllib.request.urlopen(url + "/faults")), [])
        _post(url, "/kubelet", actuate_ms=1)
        equal(server.kubelet.settings.actuate_ms, 1)
        _post(url, "/pods/add", pod=pods.burstable("more"))
        _post(url, "/pods/restart", name="web", container="app")
        _post(url, "/pods/delete", name="more", grace_s=0)
        equal([p["metadata"]["name"] for p in json.load(urllib.request.urlopen(url + "/pods"))],
              ["web"])
        client.token = _post(url, "/token/rotate")
        equal(client.pod("web").status, 200)
        log = json.load(urllib.request.urlopen(url + "/requests"))
        equal([r["status"] for r in log], [503, 200, 200])
        raises(urllib.error.HTTPError, lambda: _post(url, "/faults/add", kind="nonsense"))


def test_it_runs_as_a_program():
    with tempfile.TemporaryDirectory(prefix="fake-test-") as where, directory() as cgroup:
        path = os.path.join(where, "web.json")
        with open(path, "w", encoding="utf-8") as file:
            pod = pods.burstable()
            json.dump({"metadata": {"name": "web"}, "spec": pod["spec"]}, file)
        process = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "apiserver.py"), "--dir", where, "--pod", path,
             "--cgroup", f"web/app={cgroup}", "--kubeconfig", os.path.join(where, "kubeconfig"),
             "--actuate-ms", "5"], stdout=subprocess.PIPE, text=True)
        try:
            url, control_url = process.stdout.readline().split()
            account = os.path.join(where, "serviceaccount")
            with open(os.path.join(account, "token"), encoding="ascii") as file:
                headers = {"Authorization": "Bearer " + file.read()}
            context = ssl.create_default_context(cafile=os.path.join(account, "ca.crt"))
            answer = json.load(urllib.request.urlopen(urllib.request.Request(
                url + WEB, headers=headers), context=context))
            equal(answer["status"]["qosClass"], "Burstable")
            equal(Cgroup(cgroup).quota(), 100000)
            equal(len(json.load(urllib.request.urlopen(control_url + "/requests"))), 1)
        finally:
            process.send_signal(signal.SIGTERM)
            equal(process.wait(10), 0)
            process.stdout.close()


def test_sample_pods_are_consistent():
    for pod, qos in ((pods.burstable(), "Burstable"), (pods.guaranteed(), "Guaranteed"),
                     (pods.requests_only(), "Burstable"), (pods.best_effort(), "BestEffort"),
                     (pods.with_sidecar(pods.burstable()), "Burstable"),
                     (pods.with_sidecar(pods.guaranteed()), "Guaranteed"),
                     (pods.asleep(pods.burstable()), "Burstable")):
        with served(pod) as (_, client):
            shown = client.pod("web").json
            equal(shown["status"]["qosClass"], qos)
            equal(objects.qos_class(shown), qos)
            names = [c["name"] for c in objects.long_running(shown)]
            equal([s["name"] for s in (shown["status"].get("initContainerStatuses") or [])
                   + shown["status"]["containerStatuses"]], names)
    for name in pods.PROBES:
        probe = pods.with_probe(pods.burstable(), name)["spec"]["containers"][0]["readinessProbe"]
        equal(probe["failureThreshold"], 3)
    check("readinessProbe" not in pods.with_probe(pods.burstable(), None)["spec"]["containers"][0])


def test_the_comparison_of_recordings_notices_a_difference():
    recorded = recordings.load("resize-down-200")["response"]
    headers = {**recorded["headers"], "Audit-Id": "x"}

    def found(change):
        body = objects.copy_of(recorded["body"])
        change(body)

        class Answer:
            status, raw = recorded["status"], json.dumps(body).encode()
        Answer.headers = headers
        return test_recordings.differences(recorded, Answer)
    equal(found(lambda b: b["metadata"].update(uid="x", resourceVersion="1")), [])
    equal(len(found(lambda b: b["metadata"].update(generation=9))), 1)
    equal(len(found(lambda b: b["status"].pop("qosClass"))), 1)
    equal(len(found(lambda b: b["status"]["conditions"].pop())), 1)


if __name__ == "__main__":
    tap.main(dict(globals()))

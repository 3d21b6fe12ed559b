#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`doze node`: pods of a node come, sleep, wake, change and go, whatever the API server says.

usage: test_node.py [PART-OF-A-NAME]      prints TAP; exit status 1 if a test failed
"""
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time

import netns
import node as nodes
from harness import Skip, check, equal, main, note, test
from node import ASLEEP_QUOTA_US, NODE, Node, PodPath, wait_until
from pod import EXEC_QUOTA_US, in_background, over_http2, pods, stamp
from probers import GrpcProbe, HttpProbe, TcpProbe

MANY = 250
OTHER_ADDRESS = "10.244.15.1"  # of the node
USED_PORT = 20001  # below those that the kernel gives out
PROMPT_MS = 1000  # sooner than a client's kernel sends a SYN again
LONG_MS = 10000  # where it is not the time that matters


def make_node(t, **options):
    why = nodes.reason_to_skip()
    if why:
        raise Skip(why)
    node = t.stack.enter_context(Node(**options))

    def show(kind, *_):
        if kind:
            note(node.report())
    t.stack.push(show)
    return node


def asleep_pod(t, annotations=None, manifest=None, flags=(), **options):
    """A node with one pod, which sleeps."""
    node = make_node(t, **options)
    pod = node.add_pod("web", annotations or {}, manifest)
    node.start_doze(*flags)
    pod.wait_asleep()
    return node, pod


# --- where pods are found ---


@test([("systemd", "containerd", "burstable"), ("systemd", "cri-o", "burstable"),
       ("cgroupfs", "containerd", "burstable"), ("cgroupfs", "cri-o", "guaranteed"),
       ("systemd", "containerd", "guaranteed")])
def pod_sleeps_and_wakes_with_the_cgroups_of(t, driver, runtime, kind):
    _, pod = asleep_pod(t, manifest=getattr(pods, kind)("web"), driver=driver, runtime=runtime)
    equal(pod.size()[1], "10m", "the limit asleep")
    equal(pod.quota_us(), ASLEEP_QUOTA_US, "the quota asleep")
    answer = pod.expect_answer(PROMPT_MS)
    equal(answer.seen_address, answer.own_address, "the client's address")
    equal(answer.retransmitted, 0, "SYNs sent again")
    pod.until_full()


@test()
def pod_with_an_exec_probe_keeps_some_cpu_for_it(t):
    node = make_node(t)
    pod = node.add_pod("web", {}, pods.with_probe(pods.burstable("web"), "exec"))
    node.start_doze()
    pod.wait_asleep()
    equal(pod.size()[1], "100m", "the limit asleep")
    equal(pod.quota_us(), EXEC_QUOTA_US, "the quota asleep")
    pod.expect_answer(PROMPT_MS)
    pod.until_full()


@test()
def quota_is_full_before_the_api_server_has_been_asked(t):
    node, pod = asleep_pod(t)
    node.server.faults.add({"method": "PATCH", "size": "up"}, "hang")
    pod.expect_answer(PROMPT_MS)
    equal(pod.quota_us(), pod.full_quota_us, "the quota, awake")
    equal(pod.pod_quota_us(), pod.full_quota_us, "the pod's quota, awake")
    equal(pod.weights(), pod.full_weights, "the weights, awake")
    equal(pod.size()[1], "10m", "the spec's limit meanwhile")


def on_port(name, port):
    return pods.with_ports(pods.burstable(name), ("http", port, "TCP"))


@test()
def host_network_pod_is_watched_by_its_port(t):
    node = make_node(t)
    pod = node.add_pod("edge", {}, on_port("edge", 9090), ports=(9090,), host_network=True)
    node.start_doze()
    pod.wait_asleep()
    pod.expect_answer(PROMPT_MS)
    pod.until_full()


def outside(t, node):
    """A namespace whose packets the node forwards to its pods."""
    name = node.tag + "-outside"
    netns.ip("netns", "add", name)
    t.stack.callback(netns.ip, "netns", "delete", name)
    netns.ip("-n", name, "link", "set", "lo", "up")
    netns.ip("-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", "uplink",
             "netns", node.namespace)
    for where, device, address in ((node.namespace, "uplink", "198.51.100.1/24"),
                                   (name, "eth0", "198.51.100.2/24")):
        netns.ip("-n", where, "link", "set", device, "addrgenmode", "none", "up")
        netns.ip("-n", where, "address", "add", address, "dev", device)
    netns.ip("-n", name, "route", "add", "default", "via", "198.51.100.1")
    with netns.inside(node.namespace), open("/proc/sys/net/ipv4/ip_forward", "w",
                                            encoding="ascii") as file:
        file.write("1")
    return name


@test()
def what_the_node_forwards_is_not_held_for_a_host_network_pod(t):
    """Its port is that of a pod, and of a server that is no pod at all."""
    node = make_node(t)
    far = outside(t, node)
    edge = node.add_pod("edge", {}, on_port("edge", 9090), ports=(9090,), host_network=True)
    web = node.add_pod("web", {}, on_port("web", 9090), ports=(9090,))
    with netns.inside(node.client):
        server = t.stack.enter_context(socket.create_server((nodes.CLIENT_ADDRESS, 9090)))
    node.start_doze()
    for pod in (edge, web):
        pod.wait_asleep()
    answer = web.expect_answer(PROMPT_MS, namespace=far)
    equal(answer.retransmitted, 0, "SYNs sent again")
    edge.wait_asleep()
    with netns.inside(far):
        client = t.stack.enter_context(socket.socket())
    os.kill(node.doze.pid, signal.SIGSTOP)  # nobody would deliver what is held
    client.settimeout(0.9)
    client.connect((nodes.CLIENT_ADDRESS, 9090))
    os.kill(node.doze.pid, signal.SIGCONT)
    server.accept()[0].close()


@test()
def two_host_network_pods_with_one_port_are_said(t):
    node = make_node(t)
    first = node.add_pod("edge", {}, on_port("edge", 9090), ports=(9090,), host_network=True)
    node.start_doze()
    first.wait_asleep()
    second = node.add_pod("other", {}, on_port("other", 9090), ports=(9091,), host_network=True)
    wait_until(lambda: second.events("CannotSleep"), "an event on the second pod")
    first.expect_answer(PROMPT_MS)
    first.delete(grace_s=0)
    second.wait_log("watching")  # although nobody tells anything of it


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


@test([("127.0.0.1",), (None,)])
def who_calls_from_inside_the_pod_wakes_it(t, address):
    """As kubectl port-forward and the proxies of a mesh do."""
    node = make_node(t)
    web, other = node.add_pod("web", {"asleep": "freeze"}), node.add_pod("other", {})
    node.start_doze()
    web.wait_asleep()
    other.wait_asleep()
    web.expect_answer(PROMPT_MS, namespace=web.netns, address=address)
    web.wait_log("awake")
    check(not node.doze.lines.matching('msg="awake"', "default/other"), "the other pod woke")


@test()
def pods_with_the_same_port_are_told_apart(t):
    node = make_node(t)
    all_pods = [node.add_pod(f"web{i}", {}) for i in range(3)]
    node.start_doze()
    for pod in all_pods:
        pod.wait_asleep()
    all_pods[1].expect_answer(PROMPT_MS)
    for pod in (all_pods[0], all_pods[2]):
        equal(pod.quota_us(), ASLEEP_QUOTA_US, f"the quota of {pod.name}")


@test()
def pod_that_waits_for_somebody_elses_answer_is_not_put_to_sleep(t):
    """Although its own answer has begun, and it uses no CPU."""
    node, pod = asleep_pod(t)
    with netns.inside(node.client):
        upstream = t.stack.enter_context(socket.create_server((nodes.CLIENT_ADDRESS, 0)))
    client = t.stack.enter_context(pod.socket())
    client.connect((pod.address, pod.ports[0]))
    path = f"/ask/{nodes.CLIENT_ADDRESS}/{upstream.getsockname()[1]}"
    client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    connection = t.stack.enter_context(upstream.accept()[0])
    pod.wait_log("idle, but busy", "reason=upstream")
    equal(pod.quota_us(), pod.full_quota_us, "the quota meanwhile")
    connection.send(b"!")
    answer = b"".join(iter(lambda: client.recv(4096), b""))
    check(answer.endswith(b"%d" % client.getsockname()[1]), f"the answer was cut: {answer}")
    pod.wait_asleep()


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
       ({"probe-port": "0"}, "'0'"), ({"reclaim-after": "-1s"}, "'-1s'")])
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
    wait_until(lambda: not node.state(), "nothing is kept of it")


@test([("rbac",), ("limitrange",)])
def pod_that_the_api_server_refuses_to_resize_sleeps_by_its_cgroup(t, why):
    node = make_node(t)
    pod = node.add_pod("web", {})
    node.server.faults.add({"method": "PATCH", "path": "/resize"}, 403, why=why)
    node.start_doze()
    pod.wait_asleep()
    equal(pod.quota_us(), ASLEEP_QUOTA_US, "the quota asleep")
    equal(pod.size(), pod.full, "its spec")
    wait_until(lambda: pod.events("ResizeRefused"), "an event")
    pod.expect_answer(PROMPT_MS)
    pod.until_full()


@test([("infeasible",), ("deferred",)])
def pod_that_the_kubelet_refuses_to_resize_sleeps_by_its_cgroup(t, kind):
    node = make_node(t)
    pod = node.add_pod("web", {}, pods.guaranteed("web"))
    node.server.faults.add({"method": "PATCH", "size": "down"}, kind)
    node.start_doze()
    pod.wait_asleep()
    equal(pod.quota_us(), ASLEEP_QUOTA_US, "the quota asleep")
    wait_until(lambda: pod.size() == pod.full, "its spec is full again")
    event = wait_until(lambda: pod.events("ResizeRefused"), "an event")[0]
    check(kind.capitalize() in event["message"], event["message"])
    pod.expect_answer(PROMPT_MS)
    pod.until_full()
    asked = len(node.server.requests.resizes())
    pod.wait_asleep()
    equal(pod.quota_us(), ASLEEP_QUOTA_US, "the quota asleep again")
    equal(len(node.server.requests.resizes()), asked, "requests to resize it, after the refusal")


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


# --- depth ---


@test([("freeze",), ("reclaim",)])
def frozen_pod_wakes(t, depth):
    _, pod = asleep_pod(t, {"asleep": depth})
    check(pod.is_frozen, "it is not frozen")
    used = pod._read(pod.container_path, "cpuacct.usage", 1) if pod.node.version == 1 else None
    time.sleep(0.3)  # to give it time to do the wrong thing
    if used is not None:
        equal(pod._read(pod.container_path, "cpuacct.usage", 1), used, "CPU used while frozen")
    pod.expect_answer(PROMPT_MS)
    pod.until_full()


@test([("throttle",), ("freeze",)])
def hundred_clients_at_once_are_all_answered(t, depth):
    _, pod = asleep_pod(t, {"asleep": depth})
    answers = [answer() for answer in [pod.begin_request() for _ in range(100)]]
    for answer in answers:
        check(answer.is_ok, f"lost: {answer}")


# --- two speeds ---


@test([(delay,) for delay in (0, 5, 10, 20, 30, 40, 50, 60, 70, 80, 100, 130)])
def both_ends_agree_when_a_wake_comes_so_long_after_the_patch_down(t, delay_ms):
    """The kubelet works through both sizes, in their order."""
    node = make_node(t)
    pod = node.add_pod("web", {})
    node.start_doze()
    node.server.requests.wait(lambda r: r.is_resize, 10)
    time.sleep(delay_ms / 1000)  # to vary the time, not to wait for anything
    pod.expect_answer(PROMPT_MS)

    def agree():
        pod.expect_answer(PROMPT_MS)
        return pod.is_full and pod.pod_quota_us() == pod.full_quota_us
    wait_until(agree, "the full size, for the API server and the cgroups")


@test()
def size_that_the_kubelet_still_writes_after_a_wake_is_overwritten(t):
    node = make_node(t)
    node.server.kubelet.configure(actuate_ms=400, status_ms=50)
    pod = node.add_pod("web", {})
    node.start_doze()
    node.server.requests.wait(lambda r: r.is_resize, 10)
    pod.expect_answer(PROMPT_MS)
    low_s = 0
    until_s = time.monotonic() + 1.5
    while time.monotonic() < until_s:
        low_s += 0.002 if pod.quota_us() < pod.full_quota_us else 0
        pod.request()
    check(low_s < 0.2, f"it was slow for {low_s:.3f} s")
    pod.until_full()


@test([("deferred",), (503,), (409,), ("hang",)])
def pod_keeps_its_cpu_when_the_api_server_does_not_grant_it(t, kind):
    node, pod = asleep_pod(t)
    fault = node.server.faults.add({"method": "PATCH", "size": "up"}, kind)
    for _ in range(5):
        pod.expect_answer(PROMPT_MS)
        equal(pod.quota_us(), pod.full_quota_us, "the quota")
    fault.remove()
    if kind == "deferred":
        node.server.grant("web")

    def full():
        pod.expect_answer(PROMPT_MS)
        return pod.is_full
    wait_until(full, "the full size", limit_s=40)


@test()
def pending_resize_is_an_event(t):
    node, pod = asleep_pod(t, manifest=pods.guaranteed("web"))
    node.server.faults.add({"method": "PATCH", "size": "up"}, "deferred")
    pod.expect_answer(PROMPT_MS)
    wait_until(lambda: pod.events("ResizePending"), "an event")


@test()
def api_server_that_is_away_delays_no_wake(t):
    node, pod = asleep_pod(t, {"asleep": "freeze"})
    node.server.go_down()
    for _ in range(3):
        pod.expect_answer(PROMPT_MS)
    node.server.come_back()
    wait_until(lambda: pod.request().is_ok and pod.is_full, "the full size", limit_s=40)


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


def expect_full_cgroups(pod):
    wait_until(lambda: (pod.quota_us(), pod.pod_quota_us(), pod.weights())
               == (pod.full_quota_us, pod.full_quota_us, pod.full_weights),
               "the full size of its cgroups")


@test([("deferred",), (403,), ("hang",)])
def container_that_starts_anew_is_not_left_at_the_asleep_size_by(t, kind):
    """Its cgroup is another, which the kubelet has made as small as the pod is by now."""
    node, pod = asleep_pod(t)
    node.server.faults.add({"method": "PATCH", "size": "up"}, kind)
    for _ in range(2):
        pod.restart(ready_ms=None)
        expect_full_cgroups(pod)


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


# --- the watch ---


@test([("watch-end", None), ("watch-410", None), ("reset", "headers"), ("half-json", None),
       ("truncate", None), (500, None)])
def watch_that_breaks_loses_no_pod(t, kind, at):
    break_watch(make_node(t), kind, at)


@test([("watch-end", None), ("reset", "headers")])
def watch_over_http2_that_breaks_loses_no_pod(t, kind, at):
    break_watch(make_node(t, **over_http2()), kind, at)


def break_watch(node, kind, at):
    node.server.faults.add("GET watch=1", kind, times=3, **({"at": at} if at else {}))
    node.start_doze()
    pod = node.add_pod("web", {})
    pod.wait_asleep()
    node.server.end_watches()
    pod.annotate(enabled=None)
    pod.until_full()


@test()
def pod_sleeps_and_wakes_over_http2_on_the_connection_of_the_watch(t):
    node, pod = asleep_pod(t, **over_http2())
    pod.expect_answer(LONG_MS)
    pod.until_full()
    pod.wait_asleep()
    equal(len({r.client for r in node.server.requests if r.verb in ("watch", "patch")}), 1,
          "connections")


@test()
def connection_that_is_dead_is_replaced(t):
    """As after a server has lost its power: over HTTP/2, where the watch is on it as well."""
    node, pod = asleep_pod(t, **over_http2())
    node.server.isolate_connections()
    other = node.add_pod("other", {})
    pod.expect_answer(LONG_MS)
    pod.until_full()
    other.wait_asleep()


@test()
def role_without_watch_is_said_and_asked_again(t):
    node = make_node(t)
    pod = node.add_pod("web", {})
    node.server.allow_only((("get", "pods"),))
    node.launch_doze()
    node.doze.lines.wait("level=error", "cannot watch the pods of node 'node1'")
    node.server.allow_only((("get", "pods"), ("list", "pods"), ("watch", "pods"),
                            ("patch", "pods/resize"), ("get", "nodes"), ("create", "events")))
    pod.wait_asleep()


@test()
def node_that_is_not_there_is_said(t):
    node = make_node(t)
    doze = node.launch_doze(NODE_NAME="node7")
    equal(doze.wait(), 1, "status")
    check(doze.lines.matching("there is no node 'node7'"), "the log does not say so")


# --- groups and the wake queue ---


@test()
def group_wakes_together(t):
    node = make_node(t)
    shop = [node.add_pod(f"shop{i}", {"group": "shop"}) for i in range(3)]
    other = node.add_pod("other", {"group": "blog"})
    node.start_doze()
    for pod in (*shop, other):
        pod.wait_asleep()
    shop[0].expect_answer(PROMPT_MS)
    for pod in shop[1:]:
        pod.wait_log("awake", "reason=group")
    check(not node.doze.lines.matching('msg="awake"', "default/other"), "another group woke")


@test()
def group_sleeps_on_when_one_of_it_cannot_fall_asleep(t):
    node = make_node(t)
    web, other = (node.add_pod(name, {"group": "shop"}) for name in ("web", "other"))
    node.server.faults.add({"method": "PATCH", "path": "/pods/other/", "size": "down"}, 500)
    node.start_doze("--max-wakes=1")
    web.wait_asleep()
    other.wait_log("state", "from=shrinking to=growing", after=stamp())
    other.wait_log("state", "from=unready to=awake", after=stamp())
    check(not node.doze.lines.matching('msg="awake"', "default/web"), "woken by a failure")
    web.expect_answer(PROMPT_MS)


@test()
def wakes_beyond_the_limit_wait_and_are_all_answered(t):
    node = make_node(t)
    manifests = [pods.burstable(f"web{i}") for i in range(6)]
    for i, manifest in enumerate(manifests):
        manifest["spec"]["priority"] = i
    all_pods = [node.add_pod(f"web{i}", {}, m) for i, m in enumerate(manifests)]
    node.start_doze("--max-wakes=1")
    for pod in all_pods:
        pod.wait_asleep()
    answers = [pod.begin_request() for pod in all_pods]
    for answer in answers:
        check(answer().is_ok, "lost")


@test()
def pod_that_never_gets_ready_gives_its_turn_back(t):
    node = make_node(t)
    wanted = pods.with_probe(pods.burstable("never"),
                             {"httpGet": {"path": "/once", "port": nodes.PORT}})
    never, web = node.add_pod("never", {}, wanted), node.add_pod("web", {})
    node.start_doze("--max-wakes=1", "--wake-timeout=25s")
    never.wait_asleep()
    web.wait_asleep()
    waits = never.begin_request()
    never.wait_log("state", "from=growing to=unready")
    web.expect_answer(20000)
    never.annotate(enabled="false")  # opens its gate
    check(waits().is_ok, "the other's client was lost")


# --- the end of doze, and the next one ---


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
    node.doze.signal(signal.SIGSTOP)
    wait_until(lambda: not pod.is_frozen, "the watchdog has thawed it")
    node.doze.signal(signal.SIGCONT)
    wait_until(lambda: pod.is_frozen, "it is frozen again")
    pod.expect_answer(PROMPT_MS)


@test()
def who_calls_in_between_is_found_by_the_next_doze(t):
    """When its watchdog was killed as well, as by the out-of-memory killer."""
    node, pod = asleep_pod(t, {"asleep": "freeze"})
    with open(f"/proc/{node.doze.pid}/task/{node.doze.pid}/children", encoding="ascii") as file:
        watchdog = int(file.read())
    os.kill(watchdog, signal.SIGKILL)
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
    node.start_doze()
    for pod in (*all_pods, bare):
        pod.wait_asleep()
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
    os.unlink(os.path.join(node.state_directory, f"{pod.uid}.size"))
    node.start_doze()
    wait_until(lambda: pod.quota_us() == pod.full_quota_us and not pod.is_frozen,
               "the full size of its cgroup")
    event = wait_until(lambda: pod.events("CannotSleep"), "an event")[0]
    check("doze.dev/full" in event["message"], event["message"])
    equal(pod.size()[1], "10m", "the spec's limit")
    pod.expect_answer(PROMPT_MS)


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


# --- probes ---


def until_asleep(pod, probe):
    """At the kubelet's pace, or rather faster, and through all of the time it is awake."""
    pod.wait_log("watching")
    wait_until(lambda: probe() or pod.node.doze.lines.matching('msg="asleep"'), "it sleeps")


@test()
def probes_of_the_kubelet_neither_wake_nor_fail(t):
    node = make_node(t)
    pod = node.add_pod("web", {"asleep": "freeze"})
    node.start_doze()
    pod.wait_asleep()
    probe = HttpProbe(PodPath(node, pod), nodes.PORT, "/")
    for _ in range(20):
        probe()
    equal(len(node.doze.lines.matching('msg="awake"')), 0, "wakes")
    pod.expect_answer(PROMPT_MS)


@test()
def client_on_the_node_is_a_client(t):
    """A host-network ingress controller has the address that probes come from."""
    node, pod = asleep_pod(t, {"asleep": "freeze"})
    pod.expect_answer(3000, namespace=node.namespace)
    pod.wait_log("awake")


class KubeletCgroup:
    """A cgroup v2 that the kubelet is in; this process is, within inside()."""

    def __init__(self, t, node):
        self.root = next((r for r in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")
                          if os.path.exists(os.path.join(r, "cgroup.controllers"))), None)
        if not self.root:
            raise Skip("no cgroup v2 is mounted")
        # Alone in a tree of its own, so that another doze that searches does not find it.
        self.top = node.roots[0] if node.version == 2 else os.path.join(self.root, node.tag)
        self.path = os.path.join(self.top, "kubelet.service")
        self.program = os.path.join(node.directory, "kubelet")
        os.makedirs(self.path)
        t.stack.callback(self._remove_all)

    def _remove_all(self):
        for path in (self.path, self.top):
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(path)

    def remove(self):
        """Its last process may have ended, and not have left it yet."""
        wait_until(lambda: nodes.remove_tree(self.path), "the kubelet's cgroup can be removed")

    def make(self):
        os.mkdir(self.path)

    def enter(self, path=None):
        with open(os.path.join(path or self.path, "cgroup.procs"), "w", encoding="ascii") as file:
            file.write("0")

    @contextlib.contextmanager
    def inside(self):
        with open("/proc/self/cgroup", encoding="ascii") as file:
            before = next(line for line in file if line.startswith("0::"))[3:].strip()
        self.enter()
        try:
            yield
        finally:
            self.enter(self.root + before)

    def start(self, t):
        """A process that is called kubelet."""
        shutil.copy("/bin/sleep", self.program)
        process = subprocess.Popen([self.program, "600"],  # pylint: disable=consider-using-with
                                   preexec_fn=self.enter)
        t.stack.callback(process.wait)
        t.stack.callback(process.kill)
        return process

    @property
    def alone(self):
        """Before a command: it sees no other cgroup v2."""
        return ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"',
                self.top, self.root)


@test([("throttle",), ("freeze",)])
def probes_are_known_by_the_cgroup_of_the_kubelet(t, depth):
    node = make_node(t)
    pod = node.add_pod("web", {"asleep": depth})
    kubelet = KubeletCgroup(t, node)
    node.start_doze(f"--kubelet-cgroup={kubelet.path}")
    node.doze.lines.wait("the kubelet's connections are known")
    probe = HttpProbe(PodPath(node, pod), nodes.PORT, "/")
    with kubelet.inside():
        for _ in range(20):
            probe()
            time.sleep(0.05)  # the kubelet's pace
        pod.wait_asleep()
        for _ in range(20):
            probe()
    equal(len(node.doze.lines.matching('msg="awake"')), 0, "wakes")
    # The very same request, but from another process of the node: a client.
    answer = pod.expect_answer(PROMPT_MS, namespace=node.namespace)
    equal(answer.seen_address, answer.own_address, "the client's address")
    pod.wait_log("awake", "reason=hold_syn")
    pod.wait_asleep()
    probe()
    pod.wait_log("awake", "reason=hold_syn", count=2)


@test([("an address of the node",), ("another",)])
def every_probe_is_known_wherever_the_kubelet_sends_it_from(t, which):
    """Another: neither in status.hostIPs nor a gateway of the pod, as network plugins have it."""
    node = make_node(t)
    pod = node.add_pod("web", {"asleep": "freeze"})
    kubelet = KubeletCgroup(t, node)
    address = nodes.BRIDGE_ADDRESS
    if which == "another":
        address = OTHER_ADDRESS
        netns.ip("-n", node.namespace, "address", "add", f"{address}/{nodes.PREFIX_LEN}",
                 "dev", "cni0")
    path = PodPath(node, pod, address)
    node.start_doze(f"--kubelet-cgroup={kubelet.path}")
    with kubelet.inside():
        until_asleep(pod, HttpProbe(path, nodes.PORT, "/"))
        for kind in (HttpProbe, TcpProbe, GrpcProbe):
            for _ in range(3):
                kind(path, nodes.PORT)()
    equal(len(node.doze.lines.matching('msg="awake"')), 0, "wakes")
    HttpProbe(path, nodes.PORT, "/")()
    pod.wait_log("awake", "reason=hold_syn")


@test()
def client_from_a_port_that_the_kubelet_has_used_is_a_client(t):
    node = make_node(t)
    pod = node.add_pod("web", {"asleep": "freeze"})
    kubelet = KubeletCgroup(t, node)
    node.start_doze(f"--kubelet-cgroup={kubelet.path}")
    probe = HttpProbe(PodPath(node, pod, nodes.BRIDGE_ADDRESS, port=USED_PORT), nodes.PORT, "/")
    with kubelet.inside():
        until_asleep(pod, HttpProbe(PodPath(node, pod), nodes.PORT, "/"))
        probe()
    equal(len(node.doze.lines.matching('msg="awake"')), 0, "wakes")
    probe()
    pod.wait_log("awake", "reason=hold_syn")


@test()
def probes_of_the_kubelet_to_the_lo_of_the_node_neither_wake_nor_fail(t):
    """host: 127.0.0.1, of a pod in the node's network."""
    node = make_node(t)
    pod = node.add_pod("web", {"asleep": "freeze"}, host_network=True)
    kubelet = KubeletCgroup(t, node)
    path = PodPath(node, pod, server="127.0.0.1")
    node.start_doze(f"--kubelet-cgroup={kubelet.path}")
    with kubelet.inside():
        until_asleep(pod, HttpProbe(path, nodes.PORT, "/"))
        for kind in (HttpProbe, TcpProbe, GrpcProbe):
            kind(path, nodes.PORT)()
    equal(len(node.doze.lines.matching('msg="awake"')), 0, "wakes")
    HttpProbe(path, nodes.PORT, "/")()
    pod.wait_log("awake", "reason=hold_syn")


@test()
def kubelet_that_gets_another_cgroup_is_known_again(t):
    """systemctl restart kubelet: the cgroup is removed, and made anew."""
    node = make_node(t)
    pod = node.add_pod("web", {"asleep": "freeze"})
    kubelet = KubeletCgroup(t, node)
    probe = HttpProbe(PodPath(node, pod), nodes.PORT, "/")
    node.start_doze(f"--kubelet-cgroup={kubelet.path}")
    pod.wait_asleep()
    kubelet.remove()
    node.doze.lines.wait("the kubelet's cgroup is gone")
    probe()
    kubelet.make()
    node.doze.lines.wait("the kubelet's connections are known", count=2)
    with kubelet.inside():
        for _ in range(3):
            probe()
    equal(len(node.doze.lines.matching('msg="awake"')), 0, "wakes")
    probe()
    pod.wait_log("awake", "reason=hold_syn")


@test()
def kubelet_is_found_whenever_it_starts(t):
    node = make_node(t)
    pod = node.add_pod("web", {"asleep": "freeze"})
    kubelet = KubeletCgroup(t, node)
    probe = HttpProbe(PodPath(node, pod), nodes.PORT, "/")
    node.start_doze(wrap=kubelet.alone)
    node.doze.lines.wait("no kubelet with a cgroup v2 of its own")
    process = kubelet.start(t)
    node.doze.lines.wait("the kubelet's connections are known")
    pod.wait_asleep()
    process.kill()
    process.wait()
    node.doze.lines.wait("the kubelet has ended")
    with kubelet.inside():  # the next one, which nobody has found yet
        probe()
    probe()
    kubelet.remove()
    kubelet.make()
    kubelet.start(t)
    node.doze.lines.wait("the kubelet's connections are known", count=2)
    with kubelet.inside():
        probe()
    equal(len(node.doze.lines.matching('msg="awake"')), 0, "wakes")
    probe()
    pod.wait_log("awake", "reason=hold_syn")


@test()
def client_in_the_cgroup_of_the_kubelet_is_a_client(t):
    """A k3s server calls the webhooks that run in pods."""
    node = make_node(t)
    pod = node.add_pod("web", {"asleep": "freeze"})
    kubelet = KubeletCgroup(t, node)
    node.start_doze(f"--kubelet-cgroup={kubelet.path}")
    pod.wait_asleep()
    with kubelet.inside():
        pod.expect_answer(3000, namespace=node.namespace)
    pod.wait_log("awake", "reason=handed_over")


@test()
def cgroup_that_is_no_kubelets_is_said_and_done_without(t):
    node = make_node(t)
    pod = node.add_pod("web", {})
    node.start_doze("--kubelet-cgroup=/sys/fs/cgroup/none")
    node.doze.lines.wait("level=warn", "cannot tell the kubelet's connections")
    pod.wait_asleep()
    HttpProbe(PodPath(node, pod), nodes.PORT, "/")()
    equal(len(node.doze.lines.matching('msg="awake"')), 0, "wakes")


# --- flags ---


@test([("", "no node: set NODE_NAME"), ("no/node", "no node: set NODE_NAME")])
def node_name_that_is_wrong_is_said(t, name, text):
    node = make_node(t)
    doze = node.launch_doze(NODE_NAME=name)
    equal(doze.wait(), 2, "status")
    check(doze.lines.matching(text), f"said: {doze.lines.all()}")


@test([("--cgroup-root=/nowhere", 1, "'/nowhere'"), ("--max-wakes=many", 2, "'many'"),
       ("--on-exit=stay", 2, "'stay'"), ("--asleep=snore", 2, "'snore'"),
       ("--state-dir=relative", 2, "'relative'"), ("--state-dir=/proc/none/at/all", 1, "/proc/none"),
       ("--group=x", 2, "--group"), ("--asleep-cpu=15m", 2, "'15m'"),
       ("--node-name=a/b", 2, "'a/b'"), ("extra", 2, "takes no command")])
def flag_that_is_wrong_is_said(t, flag, status, text):
    node = make_node(t)
    doze = node.launch_doze(flag)
    equal(doze.wait(), status, "status")
    check(doze.lines.matching(text), f"said: {doze.lines.all()}")


CAPABILITIES = "bpf,perfmon,net_admin,net_raw,sys_admin,sys_ptrace"  # of deploy/node


@test()
def capabilities_of_the_daemonset_suffice(t):
    node = make_node(t)
    pod = node.add_pod("web", {"asleep": "freeze"}, uid=65534)
    kept = ",".join(f"+{name}" for name in CAPABILITIES.split(","))
    node.start_doze(wrap=("setpriv", "--no-new-privs", f"--bounding-set=-all,{kept}",
                          f"--inh-caps=-all,{kept}"))
    pod.wait_asleep()
    HttpProbe(PodPath(node, pod), nodes.PORT, "/")()
    pod.expect_answer(PROMPT_MS, namespace=pod.netns)
    pod.wait_asleep()
    pod.expect_answer(PROMPT_MS)
    pod.until_full()


@test([("net_admin",), ("sys_admin",), ("sys_ptrace",)])
def capability_that_is_missing_is_said(t, name):
    node = make_node(t)
    doze = node.launch_doze(wrap=("setpriv", f"--bounding-set=-{name}", f"--inh-caps=-{name}"))
    equal(doze.wait(), 1, "status")
    check(doze.lines.matching(f"CAP_{name.upper()}"), f"said: {doze.lines.all()}")


@test()
def status_tells_of_each_pod(t):
    node = make_node(t)
    first, second = node.add_pod("web", {}), node.add_pod("api", {"idle-after": "1h",
                                                                  "idle-max": "1h"})
    node.start_doze()
    first.wait_asleep()
    second.wait_log("watching")
    socket = os.path.join(node.directory, "doze.sock")
    told = subprocess.run([nodes.doze_binary(), "status", socket], check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    for text in ("default/web", "asleep", "default/api", "awake"):
        check(text in told, f"'{text}' is not told:\n{told}")


# --- many ---


@test()
def many_pods_are_woken_at_once(t):
    if not shutil.which("nsenter"):
        raise Skip("nsenter is not installed")
    node = make_node(t)
    node.server.add_node(cpu="256")  # else their requests are not granted again
    annotations = {"idle-after": "2s", "idle-max": "2s"}
    all_pods = [node.add_pod(f"web{i}", {**annotations, "asleep": ["throttle", "freeze"][i % 2]})
                for i in range(MANY)]
    node.start_doze("--max-wakes=50", level="info")
    for pod in all_pods:
        pod.wait_asleep(limit_s=90)
    answers = [in_background(pod.request) for pod in all_pods]
    for pod, answer in zip(all_pods, answers):
        check(answer().is_ok, f"{pod.name}: {answer()}")
    equal(node.stop_doze(), 0, "status")
    equal(node.launch_doze("--uninstall", level="info").wait(limit_s=60), 0, "status")
    for pod in all_pods:
        check(pod.is_full, f"{pod.name} left at {pod.size()}, quota {pod.quota_us()}")


if __name__ == "__main__":
    main()

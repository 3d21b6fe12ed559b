#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`doze node`: pods sleep and wake, alone, in groups, and hundreds at once.

usage: test_node_wake.py [PART-OF-A-NAME]      prints TAP; exit status 1 if a test failed
"""
import os
import shutil
import signal
import socket
import time

import netns
import node as nodes
from harness import Skip, check, equal, main, test
from node import ASLEEP_QUOTA_US, asleep_pod, make_node, wait_until
from pod import EXEC_QUOTA_US, PROMPT_MS, in_background, pods, stamp

MANY = 250


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
    netns.add(name)
    t.stack.callback(netns.ip, "netns", "delete", name)
    netns.ip("-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", "uplink",
             "netns", node.namespace)
    for where, device, address in ((node.namespace, "uplink", "198.51.100.1/24"),
                                   (name, "eth0", "198.51.100.2/24")):
        netns.ip("-n", where, "link", "set", device, "addrgenmode", "none", "up")
        netns.ip("-n", where, "address", "add", address, "dev", device)
    netns.ip("-n", name, "route", "add", "default", "via", "198.51.100.1")
    netns.set_here(node.namespace, "ipv4/ip_forward", "1")
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
    node.doze.signal_daemon(signal.SIGSTOP)  # nobody would deliver what is held
    client.settimeout(0.9)
    client.connect((nodes.CLIENT_ADDRESS, 9090))
    node.doze.signal_daemon(signal.SIGCONT)
    server.accept()[0].close()


@test([("port", False), ("containerPort", False), ("probe-port", False),
       ("port", True), ("containerPort", True), ("probe-port", True)])
def host_network_pod_takes_no_port_of_the_node(t, said_by, is_there):
    """Its annotations and its spec are written by anybody: who listens is what counts."""
    node = make_node(t)
    with netns.inside(node.namespace):
        if is_there:
            t.stack.enter_context(socket.create_server((nodes.BRIDGE_ADDRESS, 10250)))
    manifest = on_port("edge", 10250 if said_by == "containerPort" else 9090)
    pod = node.add_pod("edge", {} if said_by == "containerPort" else {said_by: "10250"}, manifest,
                       ports=(9090,), host_network=True)
    node.start_doze()
    event = wait_until(lambda: pod.events("CannotSleep"), "an event")[0]
    check("10250/tcp" in event["message"], event["message"])
    check(("somebody else listens" if is_there else "no process of its containers listens")
          in event["message"], event["message"])
    check(not node.doze.lines.matching('msg="watching" pod=default/edge'), "it is watched")
    if said_by == "containerPort":
        return  # its readinessProbe goes there as well
    pod.annotate(port="9090", probe_port=None)
    pod.wait_asleep()
    pod.expect_answer(PROMPT_MS)


@test()
def host_network_pod_that_listens_later_is_watched_then(t):
    node = make_node(t)
    pod = node.add_pod("edge", {}, on_port("edge", 9090), ports=(9090,), starts=False,
                       host_network=True)
    pod.ports = (9091,)
    node.start_app(pod)
    node.start_doze()
    wait_until(lambda: pod.events("CannotSleep"), "an event")
    pod.ports = (9090,)
    node.start_app(pod)
    pod.wait_asleep()  # although nobody tells anything of it
    pod.expect_answer(PROMPT_MS)


@test([("none",), ("80,9000-9089",)])
def administrator_says_which_ports_of_the_node_are_watched(t, listed):
    node = make_node(t)
    pod = node.add_pod("edge", {}, on_port("edge", 9090), ports=(9090,), host_network=True)
    web = node.add_pod("web", {}, on_port("web", 9090), ports=(9090,))
    node.start_doze(DOZE_HOST_PORTS=listed)
    web.wait_asleep()
    event = wait_until(lambda: pod.events("CannotSleep"), "an event")[0]
    check("9090/tcp" in event["message"] and "--host-ports" in event["message"], event["message"])
    node.doze.kill()
    node.start_doze("--host-ports=80", "--host-ports=9000-9090")
    pod.wait_asleep()
    pod.expect_answer(PROMPT_MS)


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
    first.end()
    second.ports = (9090,)
    node.start_app(second)
    second.wait_log("watching")  # although nobody tells anything of it


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


@test([("freeze",), ("reclaim",)])
def pod_with_a_client_is_throttled_and_frozen_when_that_has_gone(t, depth):
    _, pod = asleep_pod(t, {"asleep": depth})
    client = t.stack.enter_context(pod.socket())
    client.connect((pod.address, pod.ports[0]))
    pod._answered = stamp()
    pod.wait_asleep()
    check(not pod.is_frozen, "frozen with a client")
    equal(pod.quota_us(), ASLEEP_QUOTA_US, "the quota asleep")
    client.close()
    wait_until(lambda: pod.is_frozen, "it is frozen")
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


# --- groups and the wake queue ---


@test()
def group_wakes_together(t):
    node = make_node(t)
    shop = [node.add_pod(f"shop{i}", {"group": "shop"}) for i in range(3)]
    other = node.add_pod("other", {"group": "blog"})
    # Somebody else's group may have the same name.
    stranger = node.add_pod("stranger", {"group": "shop"}, pods.burstable("stranger", namespace="x"))
    node.start_doze()
    for pod in (*shop, other):
        pod.wait_asleep()
    node.doze.lines.wait('msg="asleep"', "x/stranger")
    shop[0].expect_answer(PROMPT_MS)
    for pod in shop[1:]:
        pod.wait_log("awake", "reason=group")
    for pod in ("default/other", "x/stranger"):
        check(not node.doze.lines.matching('msg="awake"', pod), f"{pod} woke")


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

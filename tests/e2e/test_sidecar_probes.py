#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`doze sidecar`: probes of the kubelet, and clients on the node.

usage: test_sidecar_probes.py [PART-OF-A-NAME]      prints TAP; exit status 1 if a test failed
"""
import time

import netns
from pod import PORT, PROMPT_MS, check, pods, wait_until
from probers import HttpProbe, Kubelet
from sidecar import BURSTABLE, main, manifest, new_pod, sleeping_pod, test

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
    with open(f"/proc/{pod.doze.daemon_pid}/limits", encoding="ascii") as limits:
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


if __name__ == "__main__":
    main()

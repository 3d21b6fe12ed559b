#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A long time of probes: a pod with doze as its sidecar and a frozen pod of doze node, each
asked for readiness and liveness over HTTP every second. Both must sleep all the time, and no probe
may fail; at the end a client calls each.

usage: soak_probes.py [SECONDS]       600 by default; exit status 1 if a probe failed or woke one
"""
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
# pylint: disable=wrong-import-position
import node as nodes  # noqa: E402
from figures import shown  # noqa: E402
from pod import Pod, pods  # noqa: E402
from probers import HttpProbe, Kubelet  # noqa: E402

SECONDS = 600
NODE_ADDRESS = "10.88.255.1"  # status.hostIPs of the sidecar's pod


class Timed:
    """A probe, and how long each took."""

    def __init__(self, probe):
        self.probe, self.took_ms = probe, []

    def __call__(self):
        start_s = time.perf_counter()
        self.probe()
        self.took_ms.append((time.perf_counter() - start_s) * 1000)


def report(name, kubelet, wakes, answer):
    took_ms = [ms for probe in kubelet.probes for ms in probe.took_ms]
    print(f"{name}: {kubelet.passed} probes, {len(kubelet.failures)} failed, {wakes} wakes; "
          f"{shown(took_ms)}; "
          f"then a client: {answer.elapsed_ms:.1f} ms, "
          f"{'answered' if answer.is_ok else answer.error}", flush=True)
    for failure in kubelet.failures[:5]:
        print(f"  {failure}")
    return not kubelet.failures and not wakes and answer.is_ok


def soak(name, path, pod, doze, seconds):
    """pod sleeps under doze; path: from where the kubelet asks."""
    with Kubelet(*(Timed(HttpProbe(path, nodes.PORT, "/")) for _ in range(2))) as kubelet:
        pod.wait_asleep()
        time.sleep(seconds)  # what is measured
        wakes = len(doze.lines.matching('msg="awake"'))
        answer = pod.request()
    return report(name, kubelet, wakes, answer)


def soak_sidecar(seconds):
    wanted = pods.with_probe(pods.with_probe(pods.burstable("web"), "http"), "http",
                             kind="livenessProbe")
    with Pod(wanted) as pod:
        pod.start_doze()
        return soak("doze sidecar", pod.net.add_node(NODE_ADDRESS), pod, pod.doze, seconds)


def soak_node(seconds):
    with nodes.Node() as node:
        pod = node.add_pod("ice", {"asleep": "freeze"})
        node.start_doze(level="info")
        return soak("doze node, frozen", nodes.PodPath(node, pod), pod, node.doze, seconds)


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    children = []
    for function in (soak_sidecar, soak_node):
        child = os.fork()
        if child == 0:
            os._exit(0 if function(seconds) else 1)
        children.append(child)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    sys.exit(1 if any(statuses) else 0)


if __name__ == "__main__":
    main()

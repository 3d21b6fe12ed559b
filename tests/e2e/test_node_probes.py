#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`doze node`: probes of the kubelet, and clients that look like them.

usage: test_node_probes.py [PART-OF-A-NAME]      prints TAP; exit status 1 if a test failed
"""
import contextlib
import os
import shutil
import signal
import subprocess
import time

import netns
import node as nodes
from harness import Skip, equal, main, test
from node import PodPath, asleep_pod, make_node, wait_until
from pod import PROMPT_MS
from probers import GrpcProbe, HttpProbe, ProbeFailure, TcpProbe

OTHER_ADDRESS = "10.244.15.1"  # of the node
USED_PORT = 20001  # below those that the kernel gives out


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


def who_answers(probe):
    try:
        probe()
    except ProbeFailure:
        return "nobody"
    return "doze" if b"X-Doze" in probe.answer else "application"


@test([("throttle",), ("freeze",)])
def probe_that_passed_while_doze_hung_wakes_nobody_when_it_goes_on(t, depth):
    node, pod = asleep_pod(t, {"asleep": depth})
    probe = HttpProbe(PodPath(node, pod), nodes.PORT, "/")
    node.doze.signal_daemon(signal.SIGSTOP)
    wait_until(lambda: who_answers(probe) == "application", "the gate has let it through")
    node.doze.signal_daemon(signal.SIGCONT)
    wait_until(lambda: who_answers(probe) == "doze", "doze goes on")
    equal(node.doze.lines.matching('msg="awake"'), [], "wakes")
    wait_until(lambda: depth == "throttle" or pod.is_frozen, "as deep as it was")


@test()
def client_that_passed_while_doze_hung_wakes_when_it_goes_on(t):
    """From the address of probes."""
    node, pod = asleep_pod(t, {"asleep": "throttle"})
    node.doze.signal_daemon(signal.SIGSTOP)
    wait_until(lambda: who_answers(HttpProbe(PodPath(node, pod), nodes.PORT, "/", "curl/8.0"))
               == "application", "the gate has let it through")
    node.doze.signal_daemon(signal.SIGCONT)
    pod.wait_log("awake")


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


if __name__ == "__main__":
    main()

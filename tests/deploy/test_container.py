#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""doze as the containers that deploy/ describes: their image, capabilities, mounts, namespaces and limits
are enough for pods to sleep and to wake.

usage: test_container.py [PART-OF-A-NAME]      prints TAP; exit status 1 if a test failed
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.normpath(os.path.join(HERE, "..", ".."))
sys.path[:0] = [os.path.join(ROOT, "tests", "e2e"), os.path.join(ROOT, "tests", "fake")]

import container as containers
import node as nodes
import yaml
from confined import differences
from harness import Skip, check, equal, main, note, test
from node import NODE, Node
from pod import Pod, Process, doze_binary, wait_until

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
START_LIMIT_S = 60 # the sidecar's limit of CPU is small
RESTLESS = ["--min-awake=0s", "--idle-max=300ms"]


def spec_of(manifest):
    """The pod in a manifest of deploy/."""
    with open(os.path.join(ROOT, "deploy", manifest), encoding="utf-8") as file:
        spec = yaml.safe_load(file)["spec"]
    return spec["template"]["spec"] if "template" in spec else spec


def run(t, directory, spec, server, **options):
    """A container of doze's, and its process; its API server is given as a kubelet does."""
    why = containers.reason_to_skip() or nodes.reason_to_skip()
    if why:
        raise Skip(why)
    given = {name: value for name, value in server.environment().items()
             if name.startswith("KUBERNETES_")}
    environment = {**given, **options.pop("environment")}
    container = t.stack.enter_context(containers.Container(
        directory, spec, environment=environment, doze=doze_binary(), **options))
    return container, Process(container.command(), "stderr")


def start_node(t, node):
    sources = {"cgroup": "/sys/fs/cgroup", "state": node.state_directory,
               "run": os.path.join(node.directory, "run")}
    for directory in sources.values():
        os.makedirs(directory, exist_ok=True)
    container, node.doze = run(
        t, os.path.join(node.directory, f"{node.tag}-container"),
        spec_of("node/base/daemonset.yaml"), node.server, sources=sources, netns=node.namespace,
        more_mounts=[(node.server.account_directory, ACCOUNT, True)],
        environment={"NODE_NAME": NODE, "POD_NAME": "doze-0", "POD_NAMESPACE": "doze",
                     "DOZE_IDLE_AFTER": "300ms"})
    node.doze.lines.wait("the pods of the node are known", limit_s=START_LIMIT_S)
    return container


def start_sidecar(t, pod, manifest):
    volume = os.path.join(pod.directory, "volume")
    for path in ("state", "run"):
        os.makedirs(os.path.join(volume, path))
    container, pod.doze = run(
        t, os.path.join(pod.directory, f"{pod.tag}-container"), spec_of(manifest), pod.server,
        sources={"doze": volume, "doze-token": pod.server.account_directory},
        netns=pod.net.server, flags=["--idle-after=300ms", *RESTLESS],
        environment={"POD_NAME": pod.name, "POD_NAMESPACE": "default"})
    pod.doze.lines.wait('msg="watching"', limit_s=START_LIMIT_S)
    return container


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


def check_confined(container, name):
    """Both processes have what the page says, of what the manifest gives."""
    supervisor = container.pid()
    for pid in (supervisor, *children_of(supervisor)):
        equal(differences(pid, name), [], f"pid {pid}")


@test()
def pods_sleep_and_wake_by_a_doze_in_the_container_of_the_daemonset(t):
    node = t.stack.enter_context(Node())
    t.stack.push(lambda kind, *_: note(node.report()) if kind else None)
    slow = node.add_pod("slow", {"asleep": "throttle"})
    frozen = node.add_pod("frozen", {"asleep": "freeze"}, uid=65534)
    installed = node.server.install()
    container = start_node(t, node)
    check_confined(container, "doze node")
    for pod in (slow, frozen):
        pod.wait_asleep()
    check(frozen.is_frozen, "it is not frozen")
    for pod in (slow, frozen):
        answer = pod.expect_answer()
        equal(answer.retransmitted, 0, f"SYNs of {pod.name} sent again")
        pod.until_full()
    for probe in ("readinessProbe", "livenessProbe"):
        asked = container.execute(*container.doze[probe]["exec"]["command"])
        equal(asked.returncode, 0, asked.stderr)
        check("default/slow" in asked.stdout, asked.stdout)
    wait_until(lambda: all(installed.finalizers()), "its rights are kept")
    slow.wait_asleep()
    # As kubectl port-forward does: over lo, and so by a raw socket.
    slow.expect_answer(namespace=slow.netns, address="127.0.0.1")
    frozen.wait_asleep()
    installed.delete()
    node.stop_doze()
    for pod in (slow, frozen):
        check(pod.is_full, f"{pod.name} left at {pod.size()}")
    equal(installed.finalizers(), [None] * 3, "finalizers")


@test()
def pod_sleeps_and_wakes_by_a_doze_in_its_sidecar(t):
    """Those of the deployments are the same (test_manifests.py)."""
    pod = t.stack.enter_context(Pod())
    check_confined(start_sidecar(t, pod, "pod.yaml"), "doze sidecar")
    pod.wait_asleep()
    pod.expect_answer()
    pod.until_settled()
    pod.wait_asleep()


if __name__ == "__main__":
    main()

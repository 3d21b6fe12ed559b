#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""deploy/node as a container: its image, its capabilities, its mounts and namespaces are enough for
pods to sleep and to wake.

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
from harness import Skip, check, equal, main, note, test
from node import NODE, Node
from pod import Process, doze_binary

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
START_LIMIT_S = 30


def pod_of_the_daemon():
    with open(os.path.join(ROOT, "deploy/node/base/daemonset.yaml"), encoding="utf-8") as file:
        return yaml.safe_load(file)["spec"]["template"]["spec"]


def start(t, node):
    """doze of the DaemonSet, in node's place of it."""
    why = containers.reason_to_skip() or nodes.reason_to_skip()
    if why:
        raise Skip(why)
    run = os.path.join(node.directory, "run")
    for directory in (run, node.state_directory):
        os.makedirs(directory, exist_ok=True)
    given = {name: value for name, value in node.server.environment().items()
             if name.startswith("KUBERNETES_")}
    container = t.stack.enter_context(containers.Container(
        os.path.join(node.directory, f"{node.tag}-container"), pod_of_the_daemon(),
        sources={"cgroup": "/sys/fs/cgroup", "state": node.state_directory, "run": run},
        environment={**given, "NODE_NAME": NODE, "DOZE_IDLE_AFTER": "300ms"},
        netns=node.namespace, doze=doze_binary(),
        more_mounts=[(node.server.account_directory, ACCOUNT, True)]))
    node.doze = Process(container.command(), "stderr")
    node.doze.lines.wait("the pods of the node are known", limit_s=START_LIMIT_S)
    return container


@test()
def pods_sleep_and_wake_by_a_doze_in_the_container_of_the_daemonset(t):
    node = t.stack.enter_context(Node())
    t.stack.push(lambda kind, *_: note(node.report()) if kind else None)
    slow = node.add_pod("slow", {"asleep": "throttle"})
    frozen = node.add_pod("frozen", {"asleep": "freeze"}, uid=65534)
    container = start(t, node)
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
    slow.wait_asleep()
    # As kubectl port-forward does: over lo, and so by a raw socket.
    slow.expect_answer(namespace=slow.netns, address="127.0.0.1")


if __name__ == "__main__":
    main()

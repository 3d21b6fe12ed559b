#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`doze node`: flags, rights, and what `doze status` tells.

usage: test_node_flags.py [PART-OF-A-NAME]      prints TAP; exit status 1 if a test failed
"""
import json

import node as nodes
from confined import differences
from harness import check, equal, main, test
from node import PodPath, make_node, wait_until
from pod import PROMPT_MS, pods
from probers import HttpProbe


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


@test()
def node_and_its_supervisor_keep_what_the_page_says(t):
    node = make_node(t)
    doze = node.start_doze()
    supervisor = "supervisor of doze node"
    equal(differences(doze.daemon_pid, "doze node", parent=supervisor), [], "daemon")
    equal(differences(doze.pid, supervisor), [], "supervisor")


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
    third = node.add_pod("cold", {"asleep": "freeze"})
    node.start_doze()
    first.wait_asleep()
    third.wait_asleep()
    second.wait_log("watching")
    depths = {target["name"]: target["depth"]
              for target in json.loads(node.status("--json"))["targets"]}
    equal(depths, {"default/web": "throttled", "default/api": "", "default/cold": "frozen"},
          "depths")
    told = node.status()
    for text in ("default/web", "asleep", "default/api", "awake"):
        check(text in told, f"'{text}' is not told:\n{told}")


def crowded(name, annotations):
    """With more containers than doze takes, and no process."""
    pod = pods.burstable(name)
    first = pod["spec"]["containers"][0]
    pod["metadata"]["annotations"] = annotations
    pod["spec"]["containers"] += [{**first, "name": f"c{n}"} for n in range(256)]
    return pod


@test()
def status_tells_which_pods_are_left_alone_and_why(t):
    node = make_node(t)
    wrong = node.add_pod("wrong", {"idle-after": "soon"})
    node.server.add_pod(crowded("crowd", {"doze.dev/enabled": "true"}))
    node.server.add_pod(crowded("not-ours", {"example.com/a": '"doze.dev/enabled":"true"'}))
    uid = node.server.pod("crowd")["metadata"]["uid"]
    node.start_doze()
    wait_until(lambda: [e for e in node.server.store.list("events")
                        if e["involvedObject"]["uid"] == uid and e["reason"] == "Unreadable"
                        and "more than 256 containers" in e["message"]], "an event")
    why = "it has more than 256 containers"
    told = node.status()
    check(f"default/crowd: left alone: {why}" in told, told)
    check("default/wrong: left alone: doze.dev/idle-after: 'soon'" in told, told)
    check("not-ours" not in told, told)
    refused = {one["pod"]: one["reason"] for one in json.loads(node.status("--json"))["refused"]}
    equal(refused, {"default/wrong": "InvalidAnnotation", "default/crowd": "Unreadable"}, "JSON")
    check('doze_pods_refused{reason="Unreadable"} 1\n' in node.metrics(), node.metrics())
    wrong.annotate(idle_after="300ms")
    wrong.wait_asleep()
    node.server.delete_pod("crowd", grace_s=0)
    wait_until(lambda: "left alone" not in node.status(), "none is left alone")


if __name__ == "__main__":
    main()

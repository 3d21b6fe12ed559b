#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Includes point one way: main, then target, then edges and core, then ground.

A module may include what is in a layer below its own, and its siblings only where SIBLINGS says
so. The core includes no system header that does I/O. bpf/ includes only include/ and itself.
"""
import pathlib
import re
import sys

LAYERS = [
    ["main"],
    ["cmd_node", "cmd_run", "cmd_sidecar", "cmd_status"],
    ["node"],
    ["node_plan", "resident"],
    ["pod_target"],
    ["seat", "target_config"],
    ["daemon"],
    ["target"],
    ["checks"],
    ["activity", "backend_pod", "heart", "hours", "kubelet", "steer"],
    ["addresses", "backend_cgroup", "backend_kube", "datapath", "gateways", "interfaces", "portlock", "probe",
     "pod_cgroups", "privilege", "process", "reclaim", "replay", "responder", "server", "sockdiag"],
    ["kube_event", "kubeconfig", "pod_watch"],
    ["kube"],
    ["answered", "backend", "cgroup", "cgroup_file", "clsact", "doomed", "driver", "http", "kernel_types", "kubelet_place", "netns", "pod_place", "relay",
     "selfcert", "watchdog"],
    ["kube_size", "watch_line"],
    ["callers", "computing", "config", "config_set", "metrics", "status_json", "story"],
    ["busy", "caller", "checksum", "cidr", "hidden", "hold", "kube_pod", "quantity", "reply",
     "scaler", "schedule", "status", "wake_queue"],
    ["address", "file", "log", "util", "version"],
]
SIBLINGS = {("file", "util"), ("log", "util"), ("kube_pod", "quantity"), ("config", "config_set"),
            ("config_set", "config"), ("resident", "node_plan")}

# The core decides, and has no way to do.
CORE = ["address", "busy", "caller", "callers", "checksum", "cidr", "computing", "hidden", "hold",
        "kube_pod", "kube_size", "metrics", "quantity", "reply", "scaler", "schedule", "status",
        "status_json", "story", "wake_queue", "watch_line"]
IO_HEADERS = re.compile(r"^(sys/(socket|epoll|mman)|bpf/|event2/|curl/|fcntl|unistd|time)")
# A calendar needs the rules of time zones; it is still given the time.
ALLOWED = {("schedule", "time.h")}


def layer_of(module):
    for depth, modules in enumerate(LAYERS):
        if module in modules:
            return depth
    return None


def included(path, marks):
    return re.findall(r"^#include [%s]([^\">]+)[\">]" % marks, path.read_text(), re.MULTILINE)


def check_userspace(path):
    module = path.stem
    depth = layer_of(module)
    if depth is None:
        yield f"{path}: '{module}' is in no layer of {sys.argv[0]}"
        return
    for name in included(path, '"'):
        other = name.removesuffix(".h")
        below = layer_of(other)
        if other == module or name == "gate.h" or name.endswith(".skel.h"):
            continue
        if below is None or (below <= depth and (module, other) not in SIBLINGS):
            yield f"{path}: includes {name}, which is not below it"
    if module in CORE:
        for name in included(path, "<"):
            if IO_HEADERS.match(name) and (module, name) not in ALLOWED:
                yield f"{path}: the core includes <{name}>"


def check_bpf(path):
    for name in included(path, '"'):
        if name not in ("gate.h", "vmlinux.h", "parse.h", "decide.h", "maps.h"):
            yield f"{path}: includes {name}: bpf/ includes only include/ and itself"


def main():
    wrong = [w for p in sorted(pathlib.Path("userspace").glob("*.[ch]")) for w in check_userspace(p)]
    wrong += [w for p in sorted(pathlib.Path("bpf").glob("*.[ch]")) for w in check_bpf(p)]
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: MIT
"""What must be so at the end: nothing is attached, doze uses no more than at the start, and nothing is
left on the machine."""
import collections
import glob
import os

import netns
from harness import marked_pids_that_stay

MORE_DESCRIPTORS = 8
MORE_KB = 4096

Usage = collections.namedtuple("Usage", "descriptors memory_kb")


def usage_of(pid):
    """What it has open, and its own memory."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        [line] = [line for line in file if line.startswith("RssAnon:")]
    return Usage(len(os.listdir(f"/proc/{pid}/fd")), int(line.split()[1]))


def is_within(now, start):
    return now.descriptors <= start.descriptors + MORE_DESCRIPTORS and \
        now.memory_kb <= start.memory_kb + MORE_KB


def attached(namespace):
    """The gates and the steering programs of a namespace."""
    net = netns.Net("")
    net.server = namespace
    # A qdisc is not a gate: one that a killed doze has left does nothing.
    found = [f"{kind} on {link}" for link, kind in net.gates() if kind != "clsact"]
    return found + ["sk_lookup"] * netns.count_steers(namespace)


def left_on_the_machine():
    prefix = netns.PREFIX.removesuffix("-")
    return [f"process {pid}" for pid in marked_pids_that_stay()] + \
        [f"namespace {name}" for name in netns.leftover_namespaces()] + \
        [f"cgroup {path}" for path in glob.glob(f"/sys/fs/cgroup/*/{prefix}*")] + \
        [f"directory {path}" for path in glob.glob(f"/tmp/{prefix}*")
         if not path.startswith(f"/tmp/{prefix}-bin-")]

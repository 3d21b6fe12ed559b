#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`doze node`: what a wake costs, and what hundreds of sleeping pods cost.

usage: bench_node.py [PODS]      250 by default

Each figure beside its baseline from the same run: a wake beside a request to the pod awake, many
pods beside one.
"""
import concurrent.futures
import os
import statistics
import sys
import time

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
# pylint: disable=wrong-import-position
import node as nodes  # noqa: E402
from figures import shown  # noqa: E402
from node import Node  # noqa: E402
from rig import Client, end  # noqa: E402

REQUESTS = 100
QUIET_S = 20
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def status_of(pid, field):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field + ":"))


def private_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private_"))


def cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def measure_wakes():
    print(f"first byte, {REQUESTS} requests each:")
    for depth in ("throttle", "freeze"):
        with Node() as node:
            pod = node.add_pod("web", {"asleep": depth, "idle-after": "100ms", "idle-max": "100ms"})
            client = Client(node.client, pod.address, pod.ports[0])
            node.start_doze(level="info")
            asleep = []
            for i in range(REQUESTS):
                pod.wait_log("asleep", count=i + 1)
                asleep.append(client.try_once())
            pod.annotate(idle_after="1h", idle_max="1h")
            pod.wait_log("watching", count=2)
            awake = [client.try_once() for _ in range(REQUESTS)]
            end(client.process)
            ratio = statistics.median(asleep) / statistics.median(awake)
            print(f"  {depth:8}  asleep {shown(asleep)}   awake {shown(awake)}   x{ratio:.1f}")


def measure_quiet(node, text):
    pid = node.doze.daemon_pid
    before, used_s = status_of(pid, "voluntary_ctxt_switches"), cpu_s(pid)
    time.sleep(QUIET_S)  # the time that is measured
    wakeups = (status_of(pid, "voluntary_ctxt_switches") - before) / QUIET_S
    print(f"  {text:>4} asleep  resident {status_of(pid, 'VmRSS') / 1024:5.1f} MB, of it private "
          f"{private_kb(pid) / 1024:5.1f} MB   {wakeups:4.1f} wake-ups/s   "
          f"{(cpu_s(pid) - used_s) / QUIET_S * 1000:.1f} ms CPU/s   "
          f"{len(os.listdir(f'/proc/{pid}/fd'))} files")


def measure_storm(node):
    pid = node.doze.daemon_pid
    used_s, begun_s = cpu_s(pid), time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(len(node.pods)) as pool:
        answers = list(pool.map(lambda pod: pod.request(), node.pods))
    ended = [a for a in answers if a.is_ok]
    print(f"  {len(node.pods)} woken at once: {len(ended)} answered, the last after "
          f"{(time.monotonic() - begun_s) * 1000:.0f} ms, {shown([a.elapsed_ms for a in ended])}, "
          f"{sum(a.retransmitted or 0 for a in ended)} SYNs sent again, "
          f"{cpu_s(pid) - used_s:.2f} s of doze's CPU until then")


def measure_many(count):
    print("all asleep, nobody calls:")
    with Node() as node:
        node.server.add_node(cpu="256")
        node.start_doze(level="info")
        annotations = {"idle-after": "1s", "idle-max": "1s"}
        for wanted in (1, 100, count):
            while len(node.pods) < wanted:
                node.add_pod(f"web{len(node.pods)}", annotations)
            for pod in node.pods:
                pod.wait_asleep(limit_s=120)
            measure_quiet(node, str(wanted))
        measure_storm(node)


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 250
    why = nodes.reason_to_skip()
    if why:
        print(f"skipped: {why}")
        return
    try:
        measure_wakes()
        measure_many(count)
    finally:
        nodes.close_all()


if __name__ == "__main__":
    main()

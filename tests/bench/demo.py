#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Shows an HTTP server falling asleep and waking on a real SYN, with its latencies.

A client and a server live in network namespaces of their own, joined by a veth pair, so that
nothing of this machine's network is touched. The server is python3 -m http.server, unchanged.
"""
import re
import shutil
import signal
import statistics
import sys
import tempfile
import time

from rig import HTTP_PORT, LIMIT_S, SERVER_ADDRESS, Client, Doze, Network, progress

IDLE_S = 1.0
MORE_WAKES = 10
AWAKE_REQUESTS = 20


def say(text):
    print(text, flush=True)


def served(network, directory, *flags):
    """`doze run` around the server."""
    return Doze(network, HTTP_PORT,
                [sys.executable, "-m", "http.server", str(HTTP_PORT), "--directory", directory],
                "--idle-after", f"{IDLE_S}s", "--min-awake", "0s", "--idle-max", f"{IDLE_S}s", *flags)


def cpu_used_us(pid):
    """What the kernel has charged to the cgroup of pid, v1 or v2."""
    with open(f"/proc/{pid}/cgroup") as text:
        paths = dict(line.rstrip().split(":", 2)[1:] for line in text)
    for controllers, path in paths.items():
        if "cpuacct" in controllers.split(","):
            with open(f"/sys/fs/cgroup/{controllers}{path}/cpuacct.usage") as usage:
                return int(usage.read()) // 1000
    with open(f"/sys/fs/cgroup{paths['']}/cpu.stat") as stat:
        return int(re.search(r"usage_usec (\d+)", stat.read()).group(1))


class Demo:
    def __init__(self, network, directory):
        self.network = network
        self.directory = directory
        self.lost = 0

    def request(self, client):
        """The time until the first byte of the answer in ms; None: lost."""
        took_ms = client.try_once()
        if took_ms is None:
            self.lost += 1
        return took_ms

    def requests(self, client, count):
        return [took_ms for took_ms in (self.request(client) for _ in range(count)) if took_ms]

    def show_awake(self, doze, client):
        doze.wait_for("gate attached")
        watching = doze.wait_for("watching")
        self.wait_until_served(client)
        awake = statistics.median(self.requests(client, AWAKE_REQUESTS))
        say(f"awake    http.server on {SERVER_ADDRESS}:{HTTP_PORT}, first byte after {awake:.2f} ms "
            f"(median of {AWAKE_REQUESTS})")
        return awake, watching["pid"]

    @staticmethod
    def wait_until_served(client):
        until = time.monotonic() + LIMIT_S
        while client.try_once() is None:
            if time.monotonic() > until:
                raise RuntimeError("the server does not answer")

    @staticmethod
    def show_asleep(doze, pid):
        doze.wait_for("asleep", waiting=f"idle     for {IDLE_S:.0f} s without a request")
        say(f"idle     for {IDLE_S:.0f} s: nobody calls, the gate closes")
        before_us, start = cpu_used_us(pid), time.monotonic()
        while time.monotonic() < start + IDLE_S:
            progress(f"asleep   ({time.monotonic() - start:.1f} s)")
            time.sleep(0.1)
        progress("")
        say(f"asleep   used {cpu_used_us(pid) - before_us} us of CPU in {IDLE_S:.0f} s, "
            "by its cgroup")

    def show_wake(self, doze, client):
        took_ms = self.request(client)
        woke = doze.wait_for("awake")
        say(f"SYN      from {woke['client']} at 0 ms")
        for phase, what in (("held", "copied by the gate, and taken out of the way"),
                            ("resized", "the process has its CPU back"),
                            ("ready", "somebody listens: it can serve"),
                            ("replayed", "the gate is open, the SYN delivered")):
            say(f"  {phase:<9}{float(woke[phase + '_ms']):7.2f} ms   {what}")
        say(f"  {'answer':<9}{took_ms or 0:7.2f} ms   first byte at the client, "
            "from its connect()")
        return took_ms

    def more_wakes(self, doze, client, count):
        took = []
        for number in range(1, count + 1):
            doze.wait_for("asleep", number, f"wake     {number} of {count}")
            took.append(self.request(client))
            doze.wait_for("awake", number)
        return took

    def with_replay(self):
        with served(self.network, self.directory) as doze, Client(self.network.client) as client:
            awake_ms, pid = self.show_awake(doze, client)
            self.show_asleep(doze, pid)
            first_ms = self.show_wake(doze, client)
            without_ms = self.without_replay()
            more = self.more_wakes(doze, client, MORE_WAKES)
        return awake_ms, without_ms, [took_ms for took_ms in [first_ms, *more] if took_ms]

    def without_replay(self):
        """A second server beside the first would want its port: it gets a network of its own."""
        with Network("demo2") as network, Client(network.client) as client, \
                served(network, self.directory, "--replay=off") as doze:
            doze.wait_for("asleep", waiting="the same with --replay=off: falling asleep")
            took_ms = self.request(client)
        say(f"without  replay the same wake takes {took_ms or 0:.0f} ms: "
            "the client's kernel sends its SYN again")
        return took_ms


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    directory = tempfile.mkdtemp(prefix="doze-demo-")
    try:
        with Network("demo") as network:
            demo = Demo(network, directory)
            awake_ms, without_ms, asleep = demo.with_replay()
    finally:
        shutil.rmtree(directory)
    if not asleep or without_ms is None:
        say(f"demo: {demo.lost} requests lost")
        return 1
    say(f"demo: {len(asleep)} wakes, median first byte from asleep "
        f"{statistics.median(asleep):.2f} ms (awake {awake_ms:.2f} ms), "
        f"without replay {without_ms:.0f} ms, {demo.lost} requests lost")
    return 1 if demo.lost else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Shows an HTTP server falling asleep and waking on a real SYN, with its latencies.

A client and a server live in network namespaces of their own, joined by a veth pair, so that
nothing of this machine's network is touched. The server is python3 -m http.server, unchanged.
"""
import ctypes
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

DOZE = os.path.join(os.path.dirname(__file__), "..", "..", "doze")
SERVER_ADDRESS, CLIENT_ADDRESS, PORT = "192.0.2.2", "192.0.2.1", 8080
IDLE_S = 1.0
MORE_WAKES = 10
AWAKE_REQUESTS = 20
LIMIT_S = 30
CLONE_NEWNET = 0x40000000


def say(text):
    print(text, flush=True)


def progress(text):
    """A line that the next one overwrites; on no terminal, nothing."""
    if sys.stdout.isatty():
        print("\r\033[K" + text, end="", flush=True)


def progress_end():
    if sys.stdout.isatty():
        print("\r\033[K", end="", flush=True)


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


class Network:
    """Two namespaces and the veth pair between them."""

    def __init__(self):
        self.server = f"doze-demo-{os.getpid()}-server"
        self.client = f"doze-demo-{os.getpid()}-client"

    def __enter__(self):
        try:
            self.make()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_):
        self.remove()

    def make(self):
        for name in (self.server, self.client):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", self.server, "link", "add", "eth0", "type", "veth",
           "peer", "name", "eth0", "netns", self.client)
        for name, address in ((self.server, SERVER_ADDRESS), (self.client, CLIENT_ADDRESS)):
            ip("-n", name, "address", "add", address + "/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")

    def remove(self):
        for name in (self.server, self.client):
            subprocess.run(["ip", "netns", "delete", name], stderr=subprocess.DEVNULL, check=False)

    def client_socket(self):
        """A socket that belongs to the client's namespace; this process stays in its own."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/self/ns/net") as home, open(f"/run/netns/{self.client}") as client:
            if libc.setns(client.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            try:
                return socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            finally:
                libc.setns(home.fileno(), CLONE_NEWNET)


class Doze:
    """`doze run` around the server, and the lines of its log."""

    def __init__(self, network, directory, *flags):
        # nsenter, not ip netns exec: that would hide this machine's /sys/fs/cgroup.
        self.process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{network.server}", DOZE, "run", "-p", str(PORT),
             "--idle-after", f"{IDLE_S}s", "--min-awake", "0s",
             "--idle-max", f"{IDLE_S}s", *flags, "--",
             sys.executable, "-m", "http.server", str(PORT), "--directory", directory],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.lines = []
        self.changed = threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(LIMIT_S)

    def read(self):
        for line in self.process.stderr:
            with self.changed:
                self.lines.append(line.rstrip())
                self.changed.notify_all()

    def wait_for(self, message, since=0, waiting=None):
        """The fields of the first such line at or after line number `since`, and the next number."""
        start = time.monotonic()
        while time.monotonic() < start + LIMIT_S:
            with self.changed:
                for number in range(since, len(self.lines)):
                    if f'msg="{message}"' in self.lines[number]:
                        progress_end()
                        return dict(re.findall(r"(\w+)=(\S+)", self.lines[number])), number + 1
                self.changed.wait(0.1)
            if self.process.poll() is not None:
                raise RuntimeError("doze has ended:\n" + "\n".join(self.lines))
            if waiting:
                progress(f"{waiting} ({time.monotonic() - start:.1f} s)")
        raise RuntimeError(f"no '{message}' in {LIMIT_S} s:\n" + "\n".join(self.lines))


def request_ms(network):
    """Connect, ask, and the time until the first byte of the answer; None: lost."""
    with network.client_socket() as client:
        client.settimeout(LIMIT_S)
        start = time.perf_counter()
        try:
            client.connect((SERVER_ADDRESS, PORT))
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            first = client.recv(1)
        except OSError:
            first = b""
        return (time.perf_counter() - start) * 1000 if first else None


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

    def request(self):
        took_ms = request_ms(self.network)
        if took_ms is None:
            self.lost += 1
        return took_ms

    def requests(self, count):
        return [took_ms for took_ms in (self.request() for _ in range(count)) if took_ms]

    def show_awake(self, doze):
        _, line = doze.wait_for("gate attached")
        watching, line = doze.wait_for("watching", line)
        self.wait_until_served()
        awake = statistics.median(self.requests(AWAKE_REQUESTS))
        say(f"awake    http.server on {SERVER_ADDRESS}:{PORT}, first byte after {awake:.2f} ms "
            f"(median of {AWAKE_REQUESTS})")
        return awake, watching["pid"], line

    def wait_until_served(self):
        until = time.monotonic() + LIMIT_S
        while request_ms(self.network) is None:
            if time.monotonic() > until:
                raise RuntimeError("the server does not answer")

    def show_asleep(self, doze, pid, line):
        _, line = doze.wait_for("asleep", line, f"idle     for {IDLE_S:.0f} s without a request")
        say(f"idle     for {IDLE_S:.0f} s: nobody calls, the gate closes")
        before_us, start = cpu_used_us(pid), time.monotonic()
        while time.monotonic() < start + IDLE_S:
            progress(f"asleep   ({time.monotonic() - start:.1f} s)")
            time.sleep(0.1)
        progress_end()
        say(f"asleep   used {cpu_used_us(pid) - before_us} us of CPU in {IDLE_S:.0f} s, "
            "by its cgroup")
        return line

    def show_wake(self, doze, line):
        took_ms = self.request()
        woke, line = doze.wait_for("awake", line)
        say(f"SYN      from {woke['client']} at 0 ms")
        for phase, what in (("held", "copied by the gate, and taken out of the way"),
                            ("resized", "the process has its CPU back"),
                            ("ready", "our probe was answered"),
                            ("replayed", "the gate is open, the SYN delivered")):
            say(f"  {phase:<9}{float(woke[phase + '_ms']):7.2f} ms   {what}")
        say(f"  {'answer':<9}{took_ms or 0:7.2f} ms   first byte at the client, "
            "from its connect()")
        return took_ms, line

    def more_wakes(self, doze, line, count):
        took = []
        for number in range(count):
            _, line = doze.wait_for("asleep", line, f"wake     {number + 1} of {count}")
            took.append(self.request())
            _, line = doze.wait_for("awake", line)
        return took

    def with_replay(self):
        with Doze(self.network, self.directory) as doze:
            awake_ms, pid, line = self.show_awake(doze)
            line = self.show_asleep(doze, pid, line)
            first_ms, line = self.show_wake(doze, line)
            without_ms = self.without_replay()
            more = self.more_wakes(doze, line, MORE_WAKES)
        return awake_ms, without_ms, [took_ms for took_ms in [first_ms, *more] if took_ms]

    def without_replay(self):
        """A second server beside the first would want its port: it gets a network of its own."""
        with Network2() as network, Doze(network, self.directory, "--replay=off") as doze:
            aside = Demo(network, self.directory)
            doze.wait_for("asleep", 0, "the same with --replay=off: falling asleep")
            took_ms = aside.request()
            self.lost += aside.lost
        say(f"without  replay the same wake takes {took_ms or 0:.0f} ms: "
            "the client's kernel sends its SYN again")
        return took_ms


class Network2(Network):
    def __init__(self):
        super().__init__()
        self.server += "2"
        self.client += "2"


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    directory = tempfile.mkdtemp(prefix="doze-demo-")
    try:
        with Network() as network:
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

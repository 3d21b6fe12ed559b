# SPDX-License-Identifier: MIT
"""What the demo and the benchmarks are made of: two network namespaces, doze around a server in one
of them, and a client in the other. Nothing of this machine's network is touched."""
import os
import re
import subprocess
import sys
import threading
import time

TOP = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
DOZE = os.path.join(TOP, "doze")
CLIENT = os.path.join(TOP, "build", "tests", "bench", "client")
SERVER_ADDRESS, CLIENT_ADDRESS, HTTP_PORT = "192.0.2.2", "192.0.2.1", 8080
LIMIT_S = 30


def progress(text):
    """A line that the next one overwrites; on no terminal, nothing."""
    if sys.stderr.isatty():
        print("\r\033[K" + text, end="", file=sys.stderr, flush=True)


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


class Network:
    """Two namespaces and the veth pair between them."""

    def __init__(self, name):
        self.server = f"doze-{name}-{os.getpid()}-server"
        self.client = f"doze-{name}-{os.getpid()}-client"

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


def inside(namespace, *command):
    """nsenter, not ip netns exec: that would hide this machine's /sys/fs/cgroup."""
    return ["nsenter", f"--net=/run/netns/{namespace}", *command]


def end(process):
    """A process of ours, by its own id."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Doze:
    """A server under `doze run`, and the lines of doze's log."""

    def __init__(self, network, port, command, *flags):
        self.process = subprocess.Popen(
            inside(network.server, DOZE, "run", "-p", str(port), *flags, "--", *command),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.lines = []
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process)
        self.reader.join(LIMIT_S)

    def read(self):
        for line in self.process.stderr:
            with self.changed:
                self.lines.append(line.rstrip())
                self.changed.notify_all()

    def fields(self, message):
        """What each line with this message says, oldest first."""
        with self.changed:
            return [dict(re.findall(r"(\w+)=(\S+)", line)) for line in self.lines
                    if f'msg="{message}"' in line]

    def count(self, message):
        return len(self.fields(message))

    def wait_for(self, message, more_than=0, waiting=None):
        """Until there are more than so many such lines: what the first one more says."""
        start = time.monotonic()
        while self.count(message) <= more_than:
            if self.process.poll() is not None:
                raise RuntimeError("doze has ended:\n" + "\n".join(self.lines))
            if time.monotonic() > start + LIMIT_S:
                raise RuntimeError(f"no '{message}' in {LIMIT_S} s:\n" + "\n".join(self.lines))
            if waiting:
                progress(f"{waiting} ({time.monotonic() - start:.1f} s)")
            with self.changed:
                self.changed.wait(0.05)
        progress("")
        return self.fields(message)[more_than]

    @property
    def hook(self):
        for attached in self.fields("gate attached"):
            if attached["interface"] == "eth0":
                return attached["hook"]
        return None

    def gated_packets(self):
        """Once it has ended: how many packets of its target the gate saw while it was open."""
        return sum(int(counter["packets"]) for counter in self.fields("gate counter")
                   if counter["verdict"] == "pass_open")


class Client:
    """client.c in a namespace. A process of its own: what else this one does keeps no request
    waiting."""

    def __init__(self, namespace, address=SERVER_ADDRESS, port=HTTP_PORT):
        self.process = subprocess.Popen(
            inside(namespace, CLIENT, address, str(port)), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, bufsize=1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process)

    def try_once(self):
        """Milliseconds until the first byte; None: failed."""
        self.process.stdin.write("try\n")
        answer = self.process.stdout.readline().split()
        return int(answer[1]) / 1e6 if answer and answer[0].isdigit() else None

# SPDX-License-Identifier: MIT
"""Two network namespaces, a client's and a server's, and sockets inside them.

        client                        server
    192.0.2.1   eth0 ----veth---- eth0   192.0.2.2      and IPv6; lo is up in both
"""
import collections
import contextlib
import ctypes
import json
import os
import platform
import socket
import subprocess

PREFIX = f"doze-test-{os.getpid()}-"
CLONE_NEWNET = 0x40000000
TCP_LISTEN = "0A"  # in /proc/net/tcp6

Addresses = collections.namedtuple("Addresses", "client server prefix_len")
ADDRESSES = {
    ("eth0", 4): Addresses("192.0.2.1", "192.0.2.2", 26),
    ("eth0", 6): Addresses("2001:db8::1", "2001:db8::2", 64),
    ("eth1", 4): Addresses("192.0.2.65", "192.0.2.66", 26),
    ("eth1", 6): Addresses("2001:db8:1::1", "2001:db8:1::2", 64),
    ("eth0.5", 4): Addresses("192.0.2.129", "192.0.2.130", 26),
    ("eth0.5", 6): Addresses("2001:db8:5::1", "2001:db8:5::2", 64),
    ("lo", 4): Addresses("127.0.0.1", "127.0.0.1", 8),
    ("lo", 6): Addresses("::1", "::1", 128),
}

_libc = ctypes.CDLL(None, use_errno=True)


def _setns(fd):
    # os.setns() is Python 3.12's.
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def inside(namespace):
    """The calling thread is in the namespace; what it opens there stays there."""
    with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{namespace}") as there:
        _setns(there.fileno())
        try:
            yield
        finally:
            _setns(home.fileno())


def ip(*arguments):
    return subprocess.run(["ip", *arguments], check=True, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE).stdout


# What a new namespace inherits from the machine: one that runs containers forwards. The tests of
# bpf/ do the same (tests/lib/isolate.h).
SETTINGS = [(f"{family}/conf/{interface}/{name}", "0") for family, name in
            (("ipv4", "forwarding"), ("ipv4", "rp_filter"), ("ipv6", "forwarding"),
             ("ipv6", "disable_ipv6")) for interface in ("all", "default", "lo")]
# Else the frames of bridges are given to iptables, where that module is loaded.
SETTINGS += [(f"bridge/bridge-nf-call-{tables}", "0") for tables in ("iptables", "ip6tables")]


def set_here(namespace, setting, text):
    """sysctl net.SETTING. A kernel that has no such setting (no IPv6) is left as it is."""
    with inside(namespace), contextlib.suppress(FileNotFoundError), \
            open(f"/proc/sys/net/{setting}", "w", encoding="ascii") as file:
        file.write(text)


def add(namespace):
    """The same on every machine; lo is up."""
    ip("netns", "add", namespace)
    for setting, text in SETTINGS:
        set_here(namespace, setting, text)
    ip("-n", namespace, "link", "set", "lo", "up")


def has_ipv6():
    return os.path.exists("/proc/sys/net/ipv6")


class Unsupported(Exception):
    """The test cannot run on this kernel."""


class Path:
    """A way from a client to the server: over which link, in which family."""

    def __init__(self, net, link, family):
        # Only the server itself reaches its lo.
        self.namespace = net.server if link == "lo" else net.client
        self.client, self.server, _ = ADDRESSES[link, family]
        self.family = socket.AF_INET if family == 4 else socket.AF_INET6
        if family == 6 and not has_ipv6():
            raise Unsupported("this kernel has no IPv6")

    def socket(self, kind=socket.SOCK_STREAM):
        with inside(self.namespace):
            return socket.socket(self.family, kind)


class NodePath(Path):
    """From another address of the client's, such as a pod's node has."""

    def __init__(self, net, address):
        super().__init__(net, "eth0", 4)
        self.client = address

    def socket(self, kind=socket.SOCK_STREAM):
        sock = super().socket(kind)
        sock.bind((self.client, 0))
        return sock


class Net:
    def __init__(self, name):
        self.server = f"{PREFIX}{name}-server"
        self.client = f"{PREFIX}{name}-client"

    def make(self):
        for namespace in (self.server, self.client):
            add(namespace)
        self.add_veth("eth0")

    def remove(self):
        for namespace in (self.server, self.client):
            subprocess.run(["ip", "netns", "delete", namespace], check=False,
                           stderr=subprocess.DEVNULL)

    def add_veth(self, name):
        ip("-n", self.server, "link", "add", name, "type", "veth",
           "peer", "name", name, "netns", self.client)
        self._set_up(name)

    def add_vlan(self, tag):
        """An interface for tagged frames over eth0, on both sides."""
        for namespace in (self.server, self.client):
            ip("-n", namespace, "link", "add", "link", "eth0", "name", f"eth0.{tag}",
               "type", "vlan", "id", str(tag))
        self._set_up(f"eth0.{tag}")

    def add_node(self, address):
        """The way from that address to the server, which has no route to it yet."""
        ip("-n", self.client, "address", "add", f"{address}/32", "dev", "eth0")
        ip("-n", self.server, "route", "add", address, "dev", "eth0")
        return NodePath(self, address)

    def _set_up(self, name):
        for namespace in (self.server, self.client):
            # No link-local address, which would have to wait for duplicate address detection.
            ip("-n", namespace, "link", "set", name, "addrgenmode", "none", "up")
            for family in (4, 6) if has_ipv6() else (4,):
                addresses = ADDRESSES[name, family]
                address = addresses.server if namespace == self.server else addresses.client
                ip("-n", namespace, "address", "add", f"{address}/{addresses.prefix_len}",
                   "dev", name, *(["nodad"] if family == 6 else []))

    def path(self, link="eth0", family=4):
        return Path(self, link, family)

    def gates(self):
        """What is attached to the server's interfaces: {("eth0", "tcx"), ("lo", "clsact"), ...}."""
        found = set()
        for link in json.loads(ip("-json", "-n", self.server, "link", "show")):
            if "xdp" in link:
                found.add((link["ifname"], "xdp"))
            with inside(self.server):
                if _count_tcx(link["ifindex"]):
                    found.add((link["ifname"], "tcx"))
            if self._tc_filters(link["ifname"]):
                found.add((link["ifname"], "tc"))
        for qdisc in json.loads(self._tc("qdisc", "show") or "[]"):
            if qdisc["kind"] == "clsact":
                found.add((qdisc["dev"], "clsact"))
        return found

    def _tc(self, *arguments):
        return subprocess.run(["tc", "-json", "-n", self.server, *arguments], check=False,
                              text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL).stdout.strip()

    def _tc_filters(self, name):
        return json.loads(self._tc("filter", "show", "dev", name, "ingress") or "[]")

    def listens(self, port):
        """Whether a process of the server listens on the TCP port, for IPv6 or both families."""
        with inside(self.server), open("/proc/thread-self/net/tcp6") as table:
            rows = [line.split() for line in table.readlines()[1:]]
        return any(row[1].endswith(f":{port:04X}") and row[3] == TCP_LISTEN for row in rows)


BPF_PROG_QUERY, BPF_TCX_INGRESS, BPF_SK_LOOKUP = 16, 46, 36
BPF_SYSCALL = {"x86_64": 321, "aarch64": 280}


class _BpfQuery(ctypes.Structure):
    """The part of union bpf_attr that BPF_PROG_QUERY uses (linux/bpf.h)."""
    _fields_ = [("target", ctypes.c_uint32), ("attach_type", ctypes.c_uint32),
                ("query_flags", ctypes.c_uint32), ("attach_flags", ctypes.c_uint32),
                ("prog_ids", ctypes.c_uint64), ("prog_count", ctypes.c_uint32),
                ("pad", ctypes.c_uint32 * 11)]


def _count_programs(target, attach_type):
    """target: an interface, or the descriptor of a network namespace."""
    query = _BpfQuery(target=target, attach_type=attach_type)
    number = BPF_SYSCALL.get(platform.machine())
    if number is None:
        return 0
    failed = _libc.syscall(number, BPF_PROG_QUERY, ctypes.byref(query), ctypes.sizeof(query))
    return 0 if failed else query.prog_count


def _count_tcx(ifindex):
    """bpftool and ip of Debian 12 do not know tcx. A kernel that does not either has none."""
    return _count_programs(ifindex, BPF_TCX_INGRESS)


def count_steers(namespace):
    """Programs that give new connections of the namespace to somebody else (sk_lookup)."""
    with open(f"/run/netns/{namespace}") as there:
        return _count_programs(there.fileno(), BPF_SK_LOOKUP)


def dropped_datagrams(namespace):
    """Those for which a socket of the namespace had no room."""
    with inside(namespace), open("/proc/thread-self/net/snmp") as table:
        names, numbers = [line.split() for line in table if line.startswith("Udp:")]
    return int(numbers[names.index("RcvbufErrors")])


def leftover_namespaces():
    return [name for name in os.listdir("/run/netns") if name.startswith(PREFIX)] \
        if os.path.isdir("/run/netns") else []

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Links without an Ethernet header: a tun device on either side, and a relay between them."""
import fcntl
import os
import selectors
import signal
import socket
import struct
import threading

import netns
from client import Http
from harness import Skip, check, equal, main, test

TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x1001
PACKET_MAX = 65536

# family → client, server, length of the prefix
ADDRESSES = {
    4: ("198.51.100.1", "198.51.100.2", 24),
    6: ("2001:db8:7::1", "2001:db8:7::2", 64),
}


class TunPath:
    """What client.Http wants of a path."""

    def __init__(self, net, family):
        self.namespace = net.client
        self.client, self.server, _ = ADDRESSES[family]
        self.family = socket.AF_INET if family == 4 else socket.AF_INET6

    def socket(self, kind=socket.SOCK_STREAM):
        with netns.inside(self.namespace):
            return socket.socket(self.family, kind)


class Tunnel:
    """tun0 in both namespaces; a thread carries the packets, until closed."""

    def __init__(self, net):
        self.ends = [self._open(net.client, 0), self._open(net.server, 1)]
        self.wake, self.stop = os.pipe()
        self.thread = threading.Thread(target=self._relay)
        self.thread.start()

    def _open(self, namespace, side):
        with netns.inside(namespace):
            fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"tun0", IFF_TUN_NO_PI))
        for family, addresses in ADDRESSES.items():
            netns.ip("-n", namespace, "address", "add", f"{addresses[side]}/{addresses[2]}",
                     "dev", "tun0", *(["nodad"] if family == 6 else []))
        netns.ip("-n", namespace, "link", "set", "tun0", "up")
        return fd

    def _relay(self):
        with selectors.DefaultSelector() as selector:
            selector.register(self.wake, selectors.EVENT_READ)
            for fd, other in (self.ends, reversed(self.ends)):
                selector.register(fd, selectors.EVENT_READ, other)
            while True:
                for key, _ in selector.select():
                    if key.fd == self.wake:
                        return
                    os.write(key.data, os.read(key.fd, PACKET_MAX))

    def close(self):
        os.write(self.stop, b"x")
        self.thread.join()
        for fd in (*self.ends, self.wake, self.stop):
            os.close(fd)


def tunnel(t):
    if not os.path.exists("/dev/net/tun"):
        raise Skip("no /dev/net/tun")
    net = t.net()
    opened = Tunnel(net)
    t.stack.callback(opened.close)
    return net


@test([(hook, family) for hook in ("auto", "tcx", "tc") for family in (4, 6)])
def syn_over_a_link_without_ethernet_is_replayed(t, hook, family):
    if hook == "tcx":
        t.needs_kernel(6, 6, "tcx")
    t.needs_replay()
    net = tunnel(t)
    path = TunPath(net, family)
    doze = t.doze(net, f"--hook={hook}")
    doze.wait_asleep()
    with Http(path) as connection:
        answer = connection.get()
        equal(doze.wait_awake()["replayed"], "1", "frames replayed")
        equal(connection.info().retransmits, 0, "retransmissions of the client")
    equal(answer["client"], path.client, "the client that the application sees")
    equal(doze.stop(), 128 + signal.SIGTERM, "exit status")


@test()
def xdp_is_refused_there(t):
    net = tunnel(t)
    doze = t.plain_doze(net, "run", "-p", "8080", "--hook=xdp", "--interface=tun0", "--", "true")
    equal(doze.wait(), 1, "exit status")
    equal(len(doze.stderr.lines), 1, "lines on stderr")
    check("'tun0'" in doze.stderr.lines[0], "the interface is not named")


if __name__ == "__main__":
    main()

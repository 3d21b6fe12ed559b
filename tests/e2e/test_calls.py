#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What is a call, and wakes, and what is not: packets that no client's TCP would send, ports that
nobody listens on, ways that the gate does not see."""
import contextlib
import errno
import shutil
import socket
import time

import netns
import packets
from client import get
from harness import Skip, check, equal, main, test
from packets import ACK, FIN, PSH, SYN, URG

CLIENT, SERVER = netns.ADDRESSES["eth0", 4][:2]
HEARTBEAT_S = 1.0
SOON_S = 5.0  # far below --wake-timeout, which is what it takes if it goes wrong


def nothing_comes_of_it(doze, before):
    """Neither at once nor with a heartbeat."""
    time.sleep(1.5 * HEARTBEAT_S)  # not to be right, but to have something to look at
    equal(doze.count("awake"), before, "wakes")


def refused_at_once(path, port):
    start = time.monotonic()
    with path.socket() as sock:
        sock.settimeout(30)
        equal(sock.connect_ex((path.server, port)), errno.ECONNREFUSED, "connect()")
    check(time.monotonic() - start < SOON_S, "the refusal took its time")


STRAYS = {
    "pass_stray": [(ACK | PSH, {"payload": b"hello"}), (ACK | FIN, {"payload": b"hello"})],
    "pass_quiet": [(0, {"payload": b"hello"}), (FIN | PSH | URG, {"payload": b"hello"})],
    "pass_martian": [(SYN, {"source": "0.0.0.0"}), (SYN, {"source": "127.0.0.1"}),
                     (SYN, {"source": "224.0.0.1"})],
    # Held at first, and then left to the kernel.
    "hold_syn": [(SYN, {"is_damaged": True}), (SYN, {"destination": "192.0.2.9"}),
                 (SYN, {"source": SERVER})],
}


@test()
def what_no_client_sends_wakes_nobody(t):
    t.needs_replay()
    net = t.net()
    doze = t.doze(net)
    doze.wait_asleep()
    before = doze.count("awake")
    for port, (flags, how) in enumerate(s for kind in STRAYS.values() for s in kind):
        how = {"source": CLIENT, "destination": SERVER, "client_port": 5000 + port, **how}
        source, destination = how.pop("source"), how.pop("destination")
        packets.send(net, packets.tcp(source, destination, flags, **how))
    nothing_comes_of_it(doze, before)
    packets.send(net, packets.tcp(CLIENT, SERVER, SYN))  # made the same way, and a call
    equal(doze.wait_awake()["reason"], "hold_syn", "reason")
    doze.stop()
    counters = doze.counters()
    for verdict, kinds in STRAYS.items():
        check(counters[verdict] >= len(kinds), f"{verdict}: {counters[verdict]}")


@test()
def who_never_answers_the_handshake_is_nobody(t):
    """One spoofed SYN: the kernel tries for a minute, and the target does not wait for it."""
    t.needs_replay()
    net = t.net()
    netns.ip("-n", net.server, "route", "add", "203.0.113.0/24", "via", CLIENT)
    netns.ip("-n", net.client, "route", "add", "blackhole", "203.0.113.0/24")
    doze = t.doze(net)
    doze.wait_asleep()
    packets.send(net, packets.tcp("203.0.113.9", SERVER, SYN))
    equal(doze.wait_awake()["client"], "203.0.113.9:4321", "client")
    doze.wait_asleep()


@test([(4,), (6,)])
def a_port_that_nobody_listens_on_holds_nobody_up(t, family):
    t.needs_replay()
    net = t.net()
    path = net.path(family=family)
    doze = t.doze(net, ports=("8080", "9090", "9091/udp"))
    doze.wait_asleep()
    before = doze.count("awake")
    refused_at_once(path, 9090)
    with path.socket(socket.SOCK_DGRAM) as sock:
        sock.settimeout(30)
        sock.connect((path.server, 9091))
        sock.send(b"anybody?")
        with contextlib.suppress(ConnectionRefusedError):
            check(not sock.recv(1), "an answer of nobody")
    nothing_comes_of_it(doze, before)
    start = time.monotonic()
    get(path)
    check(time.monotonic() - start < SOON_S, "the client of the other port waited")
    equal(doze.wait_awake()["reason"], "hold_syn", "reason")
    doze.stop()
    equal(doze.counters()["pass_no_listener"], 2, "refused")


@test()
def readiness_is_asked_on_its_own_port_whoever_calls(t):
    """The port that is called would answer 404 there."""
    t.needs_replay()
    net = t.net()
    doze = t.doze(net, "--ready=http:/healthz", command=("http:8080", "echo:9090"),
                  ports=("8080", "9090"))
    doze.wait_asleep()
    start = time.monotonic()
    with net.path().socket() as sock:
        sock.connect((SERVER, 9090))
        sock.sendall(b"hello\n")
        equal(sock.recv(100), b"hello\n", "answer")
    check(time.monotonic() - start < SOON_S, "the client waited")


@test([(4,), (6,)])
def what_comes_by_an_interface_without_a_gate_wakes_with_the_next_heartbeat(t, family):
    net = t.net()
    doze = t.doze(net, "--interface=eth0")
    doze.wait_asleep()
    get(net.path("lo", family))
    equal(doze.wait_awake()["reason"], "unseen", "reason")


@test([(("--probe-source=127.0.0.1", "--probes=pass"),),
       (("--ignore-source=127.0.0.1", "--probes=pass"),)])
def client_where_probes_come_from_wakes_by_a_way_without_a_gate_as_well(t, flags):
    net = t.net()
    doze = t.doze(net, "--interface=eth0", *flags)
    doze.wait_asleep()
    get(net.path("lo"))
    equal(doze.wait_awake()["reason"], "unseen", "reason")


@test()
def what_is_redirected_to_the_port_wakes_with_the_next_heartbeat(t):
    """An address that is translated in the same namespace: the gate sees it before."""
    if not shutil.which("nft"):
        raise Skip("there is no nft")
    net = t.net()
    rules = ("add table ip doze; add chain ip doze pre { type nat hook prerouting priority -100; };"
             "add rule ip doze pre tcp dport 9121 redirect to :8080;"
             "add rule ip doze pre ip daddr 192.0.2.9 tcp dport 8080 redirect to :8080")
    t.process(*t.in_server(net, "nft", rules)).wait()
    netns.ip("-n", net.client, "neigh", "add", "192.0.2.9", "lladdr", packets.server_mac(net),
             "dev", "eth0")
    for address, port in ((SERVER, 9121), ("192.0.2.9", 8080)):
        doze = t.doze(net)
        doze.wait_asleep()
        with net.path().socket() as sock:
            sock.settimeout(30)
            sock.connect((address, port))
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            check(sock.recv(100).startswith(b"HTTP/1."), "no answer")
        doze.stop()


@test()
def an_interface_needs_no_address_of_its_own(t):
    """The address of the service is on lo, as load balancers with direct return have it."""
    t.needs_replay()
    net, service = t.net(), "198.51.100.9"
    netns.ip("-n", net.server, "address", "flush", "dev", "eth0")
    netns.ip("-n", net.server, "address", "add", f"{service}/32", "dev", "lo")
    netns.ip("-n", net.server, "route", "add", CLIENT, "dev", "eth0", "src", service)
    netns.ip("-n", net.client, "route", "add", service, "dev", "eth0")
    doze = t.doze(net)
    doze.wait_asleep()
    with net.path().socket() as sock:
        sock.settimeout(30)
        sock.connect((service, 8080))
    equal(doze.wait_awake()["reason"], "hold_syn", "reason")


@test()
def a_server_of_one_connection_gets_the_clients(t):
    """No connection of doze's own goes to an application whose listener tells enough."""
    t.needs_replay()
    net = t.net()
    one_shot = ["python3", "-c", "import socket\n"
                "server = socket.create_server(('', 8080))\n"
                "sock, _ = server.accept()\n"
                "sock.sendall(b'yours')"]
    doze = t.doze(net, command=one_shot)
    doze.wait_asleep()
    with net.path().socket() as sock:
        sock.settimeout(30)
        sock.connect((SERVER, 8080))
        equal(sock.recv(100), b"yours", "answer")
    equal(doze.wait(), 0, "exit status")


@test()
def who_is_not_named_by_wake_from_neither_wakes_nor_waits_for_doze(t):
    t.needs_replay()
    net = t.net()
    named = net.add_node("198.51.100.7")
    doze = t.doze(net, "--wake-from=198.51.100.0/24")
    doze.wait_asleep()
    before = doze.count("awake")
    with net.path().socket() as outsider:
        outsider.settimeout(30)
        outsider.connect((SERVER, 8080))
        outsider.sendall(b"GET / HTTP/1.0\r\n\r\n")
        nothing_comes_of_it(doze, before)
        get(named)
        equal(doze.wait_awake()["client"].rsplit(":", 1)[0], "198.51.100.7", "client")
        check(outsider.recv(100).startswith(b"HTTP/1."), "no answer while awake")
    doze.stop()
    check(doze.counters()["pass_outside"] >= 2, "pass_outside")


if __name__ == "__main__":
    main()

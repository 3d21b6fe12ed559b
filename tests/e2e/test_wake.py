#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The main job: an idle application sleeps, and wakes on the first packet."""
import os
import resource
import selectors
import signal
import socket
import struct
import subprocess
import tempfile
import time

import client
import netns
from client import Http, Udp
from harness import (Failure, Skip, app, check, equal, main, starve_of_descriptors, test,
                     wait_until)

HOOKS = ("auto", "tcx", "tc", "xdp")
PATHS = [(link, family) for link in ("eth0", "lo") for family in (4, 6)]
RETRANSMISSION_S = 1.0  # when TCP sends a SYN again (RFC 6298)
ASLEEP_WINDOW_S = 0.2
ASLEEP_CPU_MAX_US = 500  # the accounting of a tick, at most


def needs_hook(t, hook):
    if hook == "tcx":
        t.needs_kernel(6, 6, "tcx")


def uses_no_cpu(cgroup):
    before_us = cgroup.usage_us()
    time.sleep(ASLEEP_WINDOW_S)  # not to be right, but to have something to look at
    used_us = cgroup.usage_us() - before_us
    check(used_us <= ASLEEP_CPU_MAX_US, f"{used_us} us of CPU used while asleep")


def was_replayed(connection, awake):
    """The SYN was delivered, not sent again."""
    equal(awake["replayed"], "1", "frames replayed")
    equal(connection.info().retransmits, 0, "retransmissions of the client")
    check(connection.connect_s < RETRANSMISSION_S, f"connect took {connection.connect_s:.3f} s")


# --- one SYN ---


@test([(hook, *path) for hook in HOOKS for path in PATHS])
def syn_to_a_frozen_application_is_replayed(t, hook, link, family):
    needs_hook(t, hook)
    t.needs_replay()
    net = t.net()
    path = net.path(link, family)
    doze = t.doze(net, f"--hook={hook}")
    doze.wait_asleep()
    check(doze.cgroup.is_frozen(), "asleep, but not frozen")
    uses_no_cpu(doze.cgroup)
    with Http(path) as connection:
        answer = connection.get()
        was_replayed(connection, doze.wait_awake())
    equal(answer["client"], path.client, "the client that the application sees")
    equal(doze.stop(), 128 + signal.SIGTERM, "exit status")
    equal(doze.counters()["hold_syn"], 1, "SYNs held")


@test()
def syn_is_sent_again_when_replay_is_off(t):
    """All at the same time: without replay a target is awake for 4 s before it sleeps."""
    rows = [("auto", "eth0", 4), ("auto", "lo", 6), ("tc", "eth0", 6), ("xdp", "eth0", 4),
            ("xdp", "lo", 4)]
    started = []
    for hook, link, family in rows:
        net = t.net()
        started.append((net.path(link, family), t.doze(net, f"--hook={hook}", "--replay=off")))
    for path, doze in started:
        doze.wait_asleep()
        with Http(path) as connection:
            connection.get()
            doze.wait_awake()
            check(connection.info().retransmits >= 1, "no retransmission")
            check(connection.connect_s > 0.9 * RETRANSMISSION_S, "connected without it")
    for _, doze in started:
        doze.stop()
        check(doze.counters()["drop_no_replay"] >= 1, "no SYN dropped")
        equal(doze.counters()["hold_syn"], 0, "SYNs held")


@test()
def syn_is_replayed_when_the_cgroup_is_of_version_2(t):
    t.needs_replay()
    net = t.net()
    # Where v1 is mounted as well, doze would take that: take it away from doze.
    wrap = ("unshare", "--mount", "sh", "-c", 'umount -a -t cgroup; exec "$@"', "sh")
    doze = t.doze(net, wrap=wrap)
    try:
        cgroup = type(doze.cgroup)(f"doze/run-{doze.pid}", version=2)
    except TypeError:
        raise Skip("no cgroup v2 is mounted") from None
    doze.cgroup = cgroup
    doze.wait_asleep()
    check(cgroup.is_frozen(), "asleep, but not frozen")
    with Http(net.path()) as connection:
        connection.get()
        was_replayed(connection, doze.wait_awake())


@test([("auto", "eth0", "eth0.5"), ("auto", "eth0.5", "eth0.5"), ("xdp", "eth0", "eth0.5"),
       ("xdp", "eth0.5", "eth0.5")])
def syn_with_a_vlan_tag_is_replayed(t, hook, interface, link):
    t.needs_replay()
    net = t.net()
    try:
        net.add_vlan(5)
    except subprocess.CalledProcessError:
        raise Skip("this kernel has no VLAN interfaces (CONFIG_VLAN_8021Q)") from None
    for family in (4, 6):
        doze = t.doze(net, f"--hook={hook}", f"--interface={interface}")
        doze.wait_asleep()
        with Http(net.path(link, family)) as connection:
            connection.get()
            was_replayed(connection, doze.wait_awake())
        doze.stop()


# --- throttled instead of frozen ---


@test()
def throttled_application_has_its_quota_back_when_awake(t):
    net = t.net()
    doze = t.doze(net, "--asleep=throttle")
    before_us = doze.wait_log("cgroup") and doze.cgroup.quota_us()
    doze.wait_asleep()
    equal(doze.cgroup.quota_us(), 1000, "quota asleep")
    with Http(net.path()) as connection:
        connection.get()
        was_replayed(connection, doze.wait_awake())
    equal(before_us, -1, "quota before")
    doze.wait_asleep()
    with Http(net.path()) as connection:
        equal(doze.wait_awake() and doze.cgroup.quota_us(), before_us, "quota awake")
        connection.get()


# --- UDP ---

# With a TCP port beside it, on which readiness can be asked: an application may need longer to
# start than these tests need to put it to sleep.
UDP = {"command": ("udp:5353", "http:8080"), "ports": ("8080", "5353/udp")}


@test([(hook, *path) for hook in ("auto", "xdp") for path in PATHS])
def datagrams_to_a_frozen_application_all_arrive_in_order(t, hook, link, family):
    """The buffer of its socket keeps them, as it would if the application were slow."""
    net = t.net()
    doze = t.doze(net, f"--hook={hook}", **UDP)
    doze.wait_asleep()
    with Udp(net.path(link, family), 5353) as udp:
        sent = [b"%03d" % number for number in range(150)]
        equal(udp.echo(*sent), sent, "answers")
        equal(doze.wait_awake()["reason"], "wake_datagram", "reason")


@test()
def datagram_passes_and_wakes_when_replay_is_off(t):
    started = []
    for family in (4, 6):
        net = t.net()
        started.append((net.path(family=family),
                        t.doze(net, "--replay=off", **UDP)))
    for path, doze in started:
        doze.wait_asleep()
        with Udp(path, 5353) as udp:
            equal(udp.echo(b"alone"), [b"alone"], "answer")
        equal(doze.wait_awake()["reason"], "wake_datagram", "reason")


@test()
def application_with_udp_alone_sleeps_and_wakes(t):
    """Nobody can be asked whether it is ready: it may fall asleep before it has started."""
    net = t.net()
    doze = t.doze(net, command=("udp:5353",), ports=("5353/udp",))
    doze.wait_asleep()
    with Udp(net.path(), 5353) as udp:
        while not doze.stdout.matching("serving"):
            udp.poke()
            doze.wait_asleep()
    with Udp(net.path(), 5353) as udp:
        equal(udp.echo(b"a", b"b"), [b"a", b"b"], "answers")
    equal(doze.wait_awake()["reason"], "wake_datagram", "reason")


@test(PATHS)
def long_datagrams_pass_and_wake(t, link, family):
    """In fragments on veth, whole on lo, whose packets are long."""
    net = t.net()
    doze = t.doze(net, **UDP)
    doze.wait_asleep()
    with Udp(net.path(link, family), 5353) as udp:
        for length in (5000, 60000):
            datagram = os.urandom(length)
            equal(udp.echo(datagram), [datagram], "answer")
            equal(doze.wait_awake()["reason"], "wake_datagram", f"reason for {length} bytes")
            doze.wait_asleep()


@test()
def one_target_has_two_tcp_ports_and_a_udp_port(t):
    t.needs_replay()
    net = t.net()
    doze = t.doze(net, command=("udp:5353", "http:8081", "http:8080"),
                  ports=("8080", "8081", "5353/udp"))
    for port in (8080, 8081):
        doze.wait_asleep()
        with Http(net.path(), port) as connection:
            connection.get()
            was_replayed(connection, doze.wait_awake())
    doze.wait_asleep()
    with Udp(net.path(), 5353) as udp:
        equal(udp.echo(b"a", b"b"), [b"a", b"b"], "answers")
    doze.wait_awake()


# --- connections that live longer than the wake ---


@test(PATHS)
def request_on_an_established_connection_wakes(t, link, family):
    net = t.net()
    doze = t.doze(net)
    doze.wait_asleep()
    with Http(net.path(link, family)) as connection:
        first = connection.get()
        doze.wait_awake()
        for _ in range(3):
            doze.wait_asleep()
            equal(connection.get(), first, "the answer on the same connection")
            equal(doze.wait_awake()["reason"], "wake_payload", "reason")


@test([(link,) for link in ("eth0", "lo")])
def upload_to_a_frozen_application_loses_nothing(t, link):
    net = t.net()
    doze = t.doze(net)
    doze.wait_asleep()
    with Http(net.path(link)) as connection:
        connection.get()
        for _ in range(3):
            doze.wait_asleep()
            check(connection.upload(1 << 20), "the upload arrived damaged")


@test()
def fin_rst_and_keepalives_do_not_wake(t):
    net = t.net()
    path = net.path()
    doze = t.doze(net)
    with wait_until(lambda: try_http(path), "the application listens") as kept, \
            Http(path) as finished, Http(path) as reset:
        for connection in (kept, finished, reset):
            connection.get()
        doze.wait_asleep()
        kept.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
        kept.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        kept.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        segments = kept.info().segments_in

        finished.sock.shutdown(socket.SHUT_WR)
        # The application may have closed its end as well, since it is not frozen.
        wait_until(lambda: finished.info().state not in (client.TCP_ESTABLISHED,
                                                         client.TCP_FIN_WAIT1),
                   "the FIN is taken")
        reset.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        reset.sock.close()
        wait_until(lambda: kept.info().segments_in > segments, "the keep-alive is answered")

        equal(doze.cgroup.quota_us(), 1000, "quota")
        check(doze.cgroup.is_thawed(), "frozen although a client is connected")
        equal(doze.count("awake"), 0, "wakes")
    doze.stop()
    check(doze.counters()["pass_quiet"] >= 3, f"counters: {doze.counters()}")


def try_http(path, port=8080):
    try:
        return Http(path, port)
    except ConnectionRefusedError:
        return None


# --- many ---


@test([("eth0", 4), ("lo", 6)])
def two_hundred_clients_wake_it_once(t, link, family):
    t.needs_replay()
    net = t.net()
    path = net.path(link, family)
    doze = t.doze(net, idle="1s")
    doze.wait_asleep()
    sockets = [path.socket() for _ in range(200)]
    try:
        for sock in sockets:
            sock.setblocking(False)
            sock.connect_ex((path.server, 8080))
        answered = ask_all(sockets)
        equal(answered, 200, "clients answered")
        doze.wait_awake()
        equal(doze.count("awake"), 1, "wakes")
    finally:
        for sock in sockets:
            sock.close()


def ask_all(sockets):
    """Sends a request on each socket once it is connected; how many were answered with 200."""
    answered, until_s = 0, time.monotonic() + client.LIMIT_S
    with selectors.DefaultSelector() as selector:
        for sock in sockets:
            selector.register(sock, selectors.EVENT_WRITE)
        while selector.get_map():
            check(time.monotonic() < until_s, f"only {answered} were answered in time")
            for key, events in selector.select(1):
                if events & selectors.EVENT_WRITE:
                    key.fileobj.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
                    selector.modify(key.fileobj, selectors.EVENT_READ)
                else:
                    answered += key.fileobj.recv(4096).startswith(b"HTTP/1.1 200 ")
                    selector.unregister(key.fileobj)
    return answered


@test([("eth0",), ("lo",)])
def fifty_sleeps_and_wakes_lose_no_connection(t, link):
    t.needs_replay()
    net = t.net()
    doze = t.doze(net)
    for _ in range(50):
        doze.wait_asleep()
        with Http(net.path(link)) as connection:
            connection.get()
            was_replayed(connection, doze.wait_awake())


# Closing the gate is a race, so clients come just before, while and just after it closes: nobody
# calls for 100 ms, by a clock that may lag 4 ms; then the gate settles for 20 ms.
DEADLINE_TENTHS_MS = range(960, 1320, 6)


def around_the_idle_deadline(act):
    for tenths_ms in DEADLINE_TENTHS_MS:
        start_s = time.monotonic()
        act(f"{tenths_ms / 10} ms after the last one")
        time.sleep(max(0, start_s + tenths_ms / 10000 - time.monotonic()))


@test()
def connections_around_the_idle_deadline_are_all_answered(t):
    t.needs_replay()
    net = t.net()
    path = net.path()
    doze = t.doze(net)
    doze.wait_asleep()

    def connect(when):
        with Http(path) as connection:
            connection.get()
            equal(connection.info().retransmits, 0, f"retransmissions {when}")

    around_the_idle_deadline(connect)


@test()
def requests_around_the_idle_deadline_are_all_answered(t):
    """On one connection: payload is never held."""
    net = t.net()
    doze = t.doze(net)
    doze.wait_asleep()
    with Http(net.path()) as connection:
        around_the_idle_deadline(lambda _: connection.get())


@test()
def datagrams_around_the_idle_deadline_are_all_answered(t):
    t.needs_replay()
    net = t.net()
    doze = t.doze(net, **UDP)
    doze.wait_asleep()
    with Udp(net.path(), 5353) as udp:
        around_the_idle_deadline(lambda when: equal(udp.echo(b"ping"), [b"ping"], when))


# --- readiness ---


SUPERVISOR = ["sh", "-c", 'while :; do "$@"; done', "supervisor", *app("http:8080")]


@test([(4,), (6,)])
def syn_waits_until_the_application_says_that_it_is_ready(t, family):
    t.needs_replay()
    net = t.net()
    doze = t.doze(net, "--ready=http:/healthz")
    doze.wait_asleep()
    uses_no_cpu(doze.cgroup)  # long enough for the application to notice
    with Http(net.path(family=family)) as connection:
        connection.get()
        awake = doze.wait_awake()
        was_replayed(connection, awake)
        check(float(awake["ready_ms"]) >= 250, f"ready after {awake['ready_ms']} ms")


@test([("192.0.2.2", "eth0", 4), ("2001:db8::2", "eth0", 6), ("127.0.0.1", "lo", 4),
       ("::1", "lo", 6)])
def application_that_is_bound_to_one_address_wakes(t, address, link, family):
    t.needs_replay()
    net = t.net()
    doze = t.doze(net, command=(f"http:8080@{address}",))
    doze.wait_asleep()
    with Http(net.path(link, family)) as connection:
        connection.get()
        was_replayed(connection, doze.wait_awake())


@test([("tcp",), ("http:/healthz",)])
def application_that_restarts_while_frozen_answers_the_syn(t, ready):
    t.needs_replay()
    net = t.net()
    path = net.path()
    doze = t.doze(net, f"--ready={ready}", command=SUPERVISOR)
    doze.wait_asleep()
    for _ in range(3):
        before = client.get(path)["pid"]
        doze.wait_asleep()
        os.kill(before, signal.SIGKILL)  # v1 delivers it at the thaw, v2 at once
        with Http(path) as connection:
            check(connection.get()["pid"] != before, "answered by the old process")


@test()
def application_that_fell_asleep_before_it_listened_again_is_woken_by_who_calls(t):
    """It is started anew, which takes longer than the idle time. Nobody is refused for good."""
    net = t.net()
    gate = os.path.join(t.stack.enter_context(tempfile.TemporaryDirectory()), "gate")
    os.mkfifo(gate)
    doze = t.doze(net, command=["sh", "-c", f'"$@"; read -r go <{gate}; exec "$@"', "sh",
                                *app("http:8080")])
    doze.wait_asleep()
    client.get(net.path(), url="/exit/7")
    with open(gate, "w", encoding="ascii") as starter:
        doze.wait_asleep()
        starter.write("go\n")
        starter.flush()
        wait_until(lambda: answers(net.path()), "it answers")


def answers(path):
    try:
        return "pid" in client.get(path)
    except OSError:
        return False


@test()
def application_that_restarts_while_throttled_answers_the_syn(t):
    t.needs_replay()
    net = t.net()
    path = net.path()
    doze = t.doze(net, "--asleep=throttle", command=SUPERVISOR)
    doze.wait_asleep()
    before = client.get(path)["pid"]
    doze.wait_asleep()
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: not net.listens(8080), "the old process has ended")
    with Http(path) as connection:
        check(connection.get()["pid"] != before, "answered by the old process")
    equal(doze.wait_awake()["replayed"], "1", "frames replayed")


@test()
def gate_opens_after_the_wake_timeout_come_what_may(t):
    t.needs_replay()
    net = t.net()
    doze = t.doze(net, "--ready=http:/once", "--wake-timeout=300ms")
    doze.wait_asleep()
    with Http(net.path()) as connection:
        connection.get()
        was_replayed(connection, doze.wait_awake())
        equal(doze.wait_log("not ready in time")["wake_timeout_ms"], "300", "timeout")
        check(connection.connect_s >= 0.29, f"connect took {connection.connect_s:.3f} s only")


@test()
def syn_that_is_sent_again_while_held_is_replayed_once(t):
    t.needs_replay()
    net = t.net()
    doze = t.doze(net, "--ready=http:/once", "--wake-timeout=1500ms")
    doze.wait_asleep()
    with Http(net.path()) as connection:
        connection.get()
        equal(doze.wait_awake()["replayed"], "1", "frames replayed")
        # The third would come 3 s after the first.
        check(1.4 < connection.connect_s < 2.9, f"connect took {connection.connect_s:.3f} s")
    doze.stop()
    equal(doze.counters()["hold_syn"], 2, "SYNs held")


# --- interfaces ---


@test()
def gate_is_where_the_flags_want_it(t):
    net = t.net()
    for hook, kinds in (("tc", ("tc", "clsact")), ("xdp", ("xdp",))):
        doze = t.doze(net, f"--hook={hook}")
        doze.wait_log('msg="watching"')
        equal(net.gates(), {(link, kind) for link in ("eth0", "lo") for kind in kinds}, hook)
        doze.stop()
        equal(net.gates(), set(), "what is left of it")


@test()
def gate_is_on_the_interface_that_was_named_alone(t):
    t.needs_kernel(6, 6, "tcx")
    net = t.net()
    net.add_veth("eth1")
    doze = t.doze(net, "--interface=eth0", "--hook=tcx")
    doze.wait_asleep()
    equal(net.gates(), {("eth0", "tcx")}, "gates")
    with Http(net.path()) as connection:
        connection.get()
        was_replayed(connection, doze.wait_awake())


@test([("tcx",), ("tc",)])
def gate_of_one_doze_stays_when_another_ends(t, hook):
    needs_hook(t, hook)
    t.needs_replay()
    net = t.net()
    first = t.doze(net, f"--hook={hook}")
    first.wait_asleep()
    second = t.doze(net, f"--hook={hook}", ports=("8081",), command=("http:8081",))
    second.wait_asleep()
    first.stop()
    with Http(net.path(), 8081) as connection:
        connection.get()
        was_replayed(connection, second.wait_awake())


@test([(hook,) for hook in HOOKS])
def interface_that_appears_later_gets_a_gate(t, hook):
    needs_hook(t, hook)
    t.needs_replay()
    net = t.net()
    doze = t.doze(net, f"--hook={hook}")
    doze.wait_asleep()
    net.add_veth("eth1")
    doze.wait_log("gate attached.*interface=eth1")
    for family in (4, 6):
        with Http(net.path("eth1", family)) as connection:
            connection.get()
            was_replayed(connection, doze.wait_awake())
        doze.wait_asleep()
    netns.ip("-n", net.server, "link", "delete", "eth1")
    doze.wait_log("interface is gone.*interface=eth1")
    with Http(net.path()) as connection:
        connection.get()
        was_replayed(connection, doze.wait_awake())


@test()
def interface_that_appears_while_there_is_no_descriptor_gets_its_gate_later(t):
    net = t.net()
    doze = t.doze(net)
    doze.wait_asleep()
    limits = starve_of_descriptors(doze.pid)
    net.add_veth("eth1")
    doze.wait_log("cannot list the interfaces")
    resource.prlimit(doze.pid, resource.RLIMIT_NOFILE, limits)
    doze.wait_log("gate attached.*interface=eth1")


if __name__ == "__main__":
    main()

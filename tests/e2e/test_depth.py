#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How deep a sleep is: a throttle while a client is connected, frozen when nobody is."""
import contextlib
import signal
import socket

from client import Http
from harness import Skip, app, check, equal, main, test, wait_until
from cgroups import is_v1

ASLEEP_US = 1000  # 10m of each 100 ms
FULL_US = 50000
BURST_US = 40000
UNLIMITED_US = -1


def serve(t, *services, **options):
    """doze around an application that listens already, and the path to it."""
    net = t.net()
    doze = t.doze(net, command=services or ("http:8080",), **options)
    doze.stdout.wait_for("serving")
    return doze, net.path()


def is_throttled(cgroup):
    return cgroup.is_thawed() and cgroup.quota_us() == ASLEEP_US


# --- throttle, then freeze ---


@test()
def client_that_is_connected_is_slept_with_throttled_and_frozen_without(t):
    doze, path = serve(t)
    with Http(path) as connection:
        connection.get()
        doze.wait_asleep()
        check(is_throttled(doze.cgroup), "not throttled with a client")
        connection.get()
        doze.wait_awake()
        equal(doze.cgroup.quota_us(), UNLIMITED_US, "quota awake")
        doze.wait_asleep()
        check(is_throttled(doze.cgroup), "not throttled again")
    wait_until(doze.cgroup.is_frozen, "it is frozen when the client has gone")
    with Http(path) as connection:
        connection.get()
        equal(doze.cgroup.quota_us(), UNLIMITED_US, "quota awake")
        check(doze.cgroup.is_thawed(), "answered, but frozen")


@test()
def client_that_is_connected_and_idle_is_answered_from_a_throttle(t):
    doze, path = serve(t)
    with Http(path) as connection:
        for _ in range(5):
            connection.get()
            doze.wait_asleep()
    equal(doze.count("traffic that the gate could not tell of"), 0, "missed")


@test()
def client_that_closed_its_end_is_not_waited_for_when_it_has_its_answer(t):
    """The application has closed as well: what the kernel keeps is nobody."""
    doze, path = serve(t)
    with Http(path) as connection:
        connection.get()
        doze.wait_asleep()
        connection.sock.shutdown(socket.SHUT_WR)
        wait_until(doze.cgroup.is_frozen, "it is frozen")


# --- the application's own timers run ---


@test()
def silent_connection_is_closed_by_the_application_in_its_own_time(t):
    doze, path = serve(t, "brief:8080")
    with Http(path) as connection:
        connection.get()
        doze.wait_asleep()
        equal(connection.sock.recv(1), b"", "what came instead of a FIN")
        equal(doze.count("awake"), 0, "wakes")
        wait_until(doze.cgroup.is_frozen, "it is frozen, since nobody is connected")


@test()
def answer_dripped_more_slowly_than_the_idle_time_is_complete(t):
    doze, path = serve(t)
    with Http(path) as connection:
        connection.connection.request("GET", "/drip/7")
        body = connection.connection.getresponse().read()
        equal(body, b"." * 7, "answer")
        check(doze.count("asleep"), "it never slept in between")


@test()
def pushes_go_out_while_it_sleeps_on(t):
    doze, path = serve(t, "ticker:8080")
    with contextlib.closing(path.socket()) as sock:
        sock.settimeout(30)
        sock.connect((path.server, 8080))
        doze.wait_asleep()
        equal(b"".join(sock.recv(1) for _ in range(5)), b".....", "pushed")
        check(is_throttled(doze.cgroup), "not asleep any longer")
        equal(doze.count("awake"), 0, "wakes by what it pushed")


@test()
def work_for_a_connected_client_wakes_it(t):
    doze, path = serve(t)
    with Http(path) as connection:
        connection.connection.request("GET", "/work/20")
        doze.wait_asleep()
        equal(doze.wait_awake()["reason"], "output", "why it woke")
        equal(doze.cgroup.quota_us(), UNLIMITED_US, "quota awake")


# --- what it was before comes back ---


class Target:
    """A running application in a cgroup that has a quota."""

    def __init__(self, t):
        self.net = t.net()
        self.cgroup = t.cgroup()
        self.cgroup.set_quota_us(FULL_US)
        self.process = t.process("sh", "-c", self.cgroup.entering() + 'exec "$@"', "sh",
                                 *t.in_server(self.net, *app("http:8080")))
        wait_until(lambda: self.net.listens(8080), "the application listens")

    def doze(self, t, *flags):
        return t.doze_of(self.process.pid, *flags, cgroup=self.cgroup)


@test([(number.name,) for number in (signal.SIGTERM, signal.SIGKILL)])
def depth_is_undone_when_doze_ends(t, name):
    target = Target(t)
    doze = target.doze(t)
    with Http(target.net.path()) as connection:
        connection.get()
        doze.wait_asleep()
        check(is_throttled(target.cgroup), "not throttled")
    wait_until(target.cgroup.is_frozen, "it is frozen")
    doze.signal(signal.Signals[name])
    doze.wait()
    wait_until(lambda: target.cgroup.is_thawed() and target.cgroup.quota_us() == FULL_US,
               "thawed, with its quota")


@test([(number.name,) for number in (signal.SIGTERM, signal.SIGKILL)])
def burst_above_the_asleep_quota_is_away_until_the_wake(t, name):
    target = Target(t)
    if not target.cgroup.has_burst():
        raise Skip("this kernel has no CPU burst")
    target.cgroup.set_burst_us(BURST_US)

    def is_full():
        return (target.cgroup.quota_us(), target.cgroup.burst_us()) == (FULL_US, BURST_US)

    doze = target.doze(t, "--asleep=throttle")
    doze.wait_asleep()
    equal((target.cgroup.quota_us(), target.cgroup.burst_us()), (ASLEEP_US, 0), "asleep")
    with Http(target.net.path()) as connection:
        connection.get()
        doze.wait_awake()
        check(is_full(), "awake, but not with all it had")
        doze.wait_asleep()
    doze.signal(signal.Signals[name])
    doze.wait()
    wait_until(is_full, "it has all that it had")


@test()
def without_a_quota_it_stays_awake_while_a_client_is_connected(t):
    if not is_v1():
        raise Skip("the cpu controller of cgroup v2 cannot be taken away")
    unmount = ("unshare", "--mount", "sh", "-c", 'umount /sys/fs/cgroup/cpu; exec "$@"', "sh")
    doze, path = serve(t, wrap=unmount)
    with Http(path) as connection:
        connection.get()
        doze.wait_log('msg="idle, but busy".*reason=connected')
        equal(doze.count("asleep"), 0, "times it slept with a client")
    doze.wait_asleep()
    check(doze.cgroup.is_frozen(), "not frozen when the client has gone")
    check(doze.stderr.matching("no CPU quota here"), "the log does not say so")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""doze run --pid: a process that doze did not start, in its own namespace and cgroup."""
import signal

import client
from client import Http
from harness import app, check, equal, kill_with_watchdog, main, test, wait_until

QUOTA_US = 50000


class Target:
    """A running application as a container engine would have started it."""

    def __init__(self, t, *services):
        self.net = t.net()
        self.cgroup = t.cgroup()
        self.process = t.process("sh", "-c", self.cgroup.entering() + 'exec "$@"', "sh",
                                 *t.in_server(self.net, *app(*(services or ("http:8080",)))))
        self.pid = self.process.pid
        wait_until(lambda: self.net.listens(8080), "the application listens")

    def doze(self, t, *flags, **settings):
        return t.doze_of(self.pid, *flags, cgroup=self.cgroup, **settings)

    def is_answering(self):
        return client.get(self.net.path())["pid"] == self.pid


@test([("eth0", 4), ("eth0", 6), ("lo", 4), ("lo", 6)])
def process_in_another_namespace_sleeps_and_wakes(t, link, family):
    t.needs_replay()
    target = Target(t)
    path = target.net.path(link, family)
    doze = target.doze(t)
    for _ in range(3):
        doze.wait_asleep()
        check(target.cgroup.is_frozen(), "asleep, but not frozen")
        with Http(path) as connection:
            equal(connection.get(), {"client": path.client, "pid": target.pid}, "answer")
            equal(doze.wait_awake()["replayed"], "1", "frames replayed")
            equal(connection.info().retransmits, 0, "retransmissions")
    equal(doze.stop(), 0, "exit status")


@test([(number.name,) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)])
def process_is_awake_and_alive_when_doze_is_told_to_end(t, name):
    target = Target(t)
    doze = target.doze(t)
    doze.wait_asleep()
    doze.signal(signal.Signals[name])
    equal(doze.wait(), 0, "exit status")
    check(target.cgroup.is_thawed(), "still frozen")
    equal(target.net.gates(), set(), "gates")
    check(target.is_answering(), "the process was harmed")


@test()
def request_that_doze_carries_is_answered_before_it_ends(t):
    target = Target(t)
    doze = target.doze(t, "--probe-source=192.0.2.1")
    doze.wait_asleep()
    with Http(target.net.path()) as connection:
        connection.connection.request("GET", "/compute/1")
        equal(doze.wait_awake()["reason"], "handed_over", "why it woke")
        doze.signal(signal.SIGTERM)
        equal(connection.connection.getresponse().status, 200, "answer")
    equal(doze.wait(), 0, "exit status")


@test([("told to end",), ("killed",)])
def quota_is_restored_to_what_it_was_when_doze_is(t, how):
    target = Target(t)
    target.cgroup.set_quota_us(QUOTA_US)
    doze = target.doze(t, "--asleep=throttle", "--asleep-cpu=20m")
    doze.wait_asleep()
    equal(target.cgroup.quota_us(), 2000, "quota asleep")
    doze.signal(signal.SIGTERM if how == "told to end" else signal.SIGKILL)
    doze.wait()
    wait_until(lambda: target.cgroup.quota_us() == QUOTA_US, "the quota is restored", 5)
    check(target.is_answering(), "the process was harmed")


@test()
def killed_doze_leaves_the_process_awake(t):
    target = Target(t)
    doze = target.doze(t)
    doze.wait_asleep()
    doze.signal(signal.SIGKILL)
    doze.wait()
    wait_until(target.cgroup.is_thawed, "the watchdog thaws", 5)
    check(target.is_answering(), "the process was harmed")


@test()
def next_doze_thaws_what_was_left_when_the_watchdog_was_killed_too(t):
    """Of any target: nobody else knows of a cgroup that doze has not made."""
    target = Target(t)
    doze = target.doze(t)
    doze.wait_asleep()
    kill_with_watchdog(doze)
    check(target.cgroup.is_frozen(), "somebody was left to thaw it")
    t.sweep(target.net)
    wait_until(target.cgroup.is_thawed, "the next doze thaws")
    check(target.is_answering(), "the process was harmed")


@test()
def next_doze_restores_the_quota_when_the_watchdog_was_killed_too(t):
    target = Target(t)
    target.cgroup.set_quota_us(QUOTA_US)
    doze = target.doze(t, "--asleep=throttle", "--asleep-cpu=20m")
    doze.wait_asleep()
    kill_with_watchdog(doze)
    equal(target.cgroup.quota_us(), 2000, "quota with nobody left")
    t.sweep(target.net)
    equal(target.cgroup.quota_us(), QUOTA_US, "quota after the next doze")


@test()
def doze_ends_when_the_process_does(t):
    target = Target(t)
    doze = target.doze(t, idle="1h")
    doze.wait_log('msg="watching"')
    target.process.signal(signal.SIGKILL)
    target.process.wait()
    equal(doze.wait(), 0, "exit status")


@test()
def doze_ends_when_the_process_is_killed_in_its_sleep(t):
    """v1 delivers the signal at the thaw, which the next client brings about."""
    target = Target(t)
    doze = target.doze(t)
    doze.wait_asleep()
    target.process.signal(signal.SIGKILL)
    try:
        Http(target.net.path(), limit_s=5).sock.close()
    except OSError:
        pass  # nobody is there to answer
    equal(doze.wait(), 0, "exit status")
    equal(target.process.wait(), 128 + signal.SIGKILL, "the process's status")


# --- what doze refuses ---


def refuses(doze, *words):
    equal(doze.wait(), 1, "exit status")
    doze.wait_for_output()
    equal(len(doze.stderr.lines), 1, f"lines on stderr: {doze.stderr.lines}")
    for word in words:
        check(word in doze.stderr.lines[0], f"'{word}' is not in: {doze.stderr.lines[0]}")


@test([("freeze",), ("throttle",)])
def process_in_the_root_cgroup_is_refused(t, asleep):
    net = t.net()
    process = t.process(*t.in_server(net, *app("http:8080")))
    wait_until(lambda: net.listens(8080), "the application listens")
    # This test may itself run in a cgroup below the root: move the process out of it.
    root = t.cgroup()
    root.move_to_root(process.pid)
    refuses(t.doze_of(process.pid, f"--asleep={asleep}", cgroup=root),
            f"'{process.pid}'", "root cgroup")
    equal(client.get(net.path())["pid"], process.pid, "who answers")


@test([("freeze",), ("throttle",)])
def cgroup_of_doze_itself_is_refused(t, asleep):
    target = Target(t)
    wrap = ("sh", "-c", target.cgroup.entering() + 'exec "$@"', "sh")
    refuses(target.doze(t, f"--asleep={asleep}", wrap=wrap), f"'{target.pid}'", "doze itself")
    check(target.is_answering(), "the process was harmed")


if __name__ == "__main__":
    main()

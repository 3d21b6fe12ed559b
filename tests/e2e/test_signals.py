#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How doze ends: by a signal, with the application, or killed; nothing may stay asleep."""
import os
import signal
import time

import client
from client import Http
from harness import (app, check, equal, kill_with_watchdog, main, test, wait_until,
                     watchdog_of)

# A thaw by the watchdog needs no silence of doze when doze is gone, and 3 s of it when it hangs.
RESCUE_S = 5
QUOTA_US = 50000
ANSWER_S = 10
TRAP_STATUS = 7
TRAPPING = app("--trap", str(TRAP_STATUS), "http:8080")


def fall_asleep(doze):
    doze.wait_asleep()
    check(doze.cgroup.is_frozen(), "asleep, but not frozen")


# --- signals to doze reach the application ---


@test([(number.name, state) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
       for state in ("asleep", "awake")])
def signal_thaws_and_is_passed_on_once(t, name, state):
    net = t.net()
    number = signal.Signals[name]
    doze = t.doze(net, command=TRAPPING, idle="100ms" if state == "asleep" else "1h")
    if state == "asleep":
        fall_asleep(doze)
    else:
        wait_until(lambda: net.listens(8080), "the application listens")
    doze.signal(number)
    equal(doze.wait(), TRAP_STATUS, "exit status")
    doze.wait_for_output()
    equal(doze.stdout.matching("signal"), [f"signal {int(number)}"], "what the application got")
    equal(net.gates(), set(), "gates")


@test([(number.name,) for number in (signal.SIGTERM, signal.SIGKILL)])
def death_by_a_signal_is_128_and_its_number(t, name):
    net = t.net()
    doze = t.doze(net, idle="1h")
    pid = wait_until(lambda: listening_pid(net), "the application listens")
    os.kill(pid, signal.Signals[name])
    equal(doze.wait(), 128 + signal.Signals[name], "exit status")


def listening_pid(net):
    return client.get(net.path())["pid"] if net.listens(8080) else None


@test([(0,), (3,), (255,)])
def exit_status_of_the_command_is_that_of_doze(t, status):
    net = t.net()
    doze = t.doze(net, idle="1h")
    wait_until(lambda: net.listens(8080), "the application listens")
    client.get(net.path(), url=f"/exit/{status}")
    equal(doze.wait(), status, "exit status")


@test()
def command_that_ends_at_once_ends_doze(t):
    doze = t.doze(t.net(), command=["sh", "-c", "exit 9"])
    equal(doze.wait(), 9, "exit status")


@test([("", RESCUE_S), ("trap '' TERM; ", 9)])
def children_that_the_command_leaves_are_ended(t, prelude, limit_s):
    """SIGTERM first; SIGKILL, 5 s later, for one that ignores it."""
    net = t.net()
    doze = t.doze(net, command=["sh", "-c", f"{prelude}sleep 1000 & echo $!; exit 3"])
    child = int(doze.stdout.wait_for(r"^\d+$"))
    equal(doze.wait(limit_s), 3, "exit status")
    check(not is_running(child), "the child is still there")


def is_running(pid):
    """A zombie is not: whether anybody reaps orphans is up to this machine's init."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# --- doze is killed, or hangs ---


def end_application(net):
    """What a killed doze has left runs on, awake, and is not doze's any longer."""
    pid = client.get(net.path())["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not net.listens(8080), "the application has ended")


@test([(hook,) for hook in ("auto", "xdp")])
def killed_doze_leaves_the_application_awake_and_no_gate(t, hook):
    net = t.net()
    doze = t.doze(net, f"--hook={hook}")
    fall_asleep(doze)
    doze.signal(signal.SIGKILL)
    doze.wait()
    wait_until(lambda: not net.gates(), "the gates are gone", RESCUE_S)
    wait_until(doze.cgroup.is_thawed, "the watchdog thaws", RESCUE_S)
    with Http(net.path(), limit_s=RESCUE_S) as connection:
        connection.get()
        equal(connection.info().retransmits, 0, "retransmissions")
    end_application(net)
    t.sweep(net)


@test()
def killed_doze_leaves_the_quota_as_it_was(t):
    net = t.net()
    doze = t.doze(net, "--asleep=throttle")
    doze.wait_asleep()
    equal(doze.cgroup.quota_us(), 1000, "quota asleep")
    doze.signal(signal.SIGKILL)
    wait_until(lambda: doze.cgroup.quota_us() == -1, "the watchdog restores it", RESCUE_S)
    end_application(net)
    t.sweep(net)


@test()
def next_doze_thaws_what_nobody_was_left_to_thaw(t):
    net = t.net()
    doze = t.doze(net)
    fall_asleep(doze)
    kill_with_watchdog(doze)
    t.sweep(net)
    wait_until(doze.cgroup.is_thawed, "thawed")
    end_application(net)
    t.sweep(net)
    equal(doze.cgroup.left(), [], "cgroups that the next doze has left")


@test([("awake",), ("asleep",)])
def watchdog_that_is_killed_is_replaced(t, state):
    net = t.net()
    doze = t.doze(net, idle="100ms" if state == "asleep" else "1h")
    if state == "asleep":
        fall_asleep(doze)
    else:
        wait_until(lambda: net.listens(8080), "the application listens")
    os.kill(watchdog_of(doze), signal.SIGKILL)
    doze.wait_log('msg="another watchdog has taken its place"')
    if state == "awake":
        return
    check(doze.cgroup.is_frozen(), "it was thawed without need")
    doze.signal(signal.SIGKILL)
    doze.wait()
    wait_until(doze.cgroup.is_thawed, "the other watchdog thaws", RESCUE_S)
    end_application(net)
    t.sweep(net)


@test()
def who_kills_the_whole_cgroup_of_doze_does_not_reach_the_watchdog(t):
    """As a service manager does, or the out-of-memory killer."""
    net = t.net()
    service = t.cgroup()
    doze = t.doze(net, wrap=("sh", "-c", service.entering() + 'exec "$@"', "sh"))
    fall_asleep(doze)
    pids = service.pids()
    check(doze.pid in pids, "doze is somewhere else: the test is void")
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)  # at once, whatever the order
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    doze.wait()
    wait_until(doze.cgroup.is_thawed, "the watchdog thaws", RESCUE_S)
    end_application(net)
    t.sweep(net)


@test()
def client_is_answered_although_doze_hangs(t):
    """The heartbeat gets stale, which opens the gate, and the watchdog thaws."""
    net = t.net()
    doze = t.doze(net)
    fall_asleep(doze)
    doze.signal(signal.SIGSTOP)
    start_s = time.monotonic()
    with Http(net.path()) as connection:
        connection.get()
    check(time.monotonic() - start_s < ANSWER_S, "the answer took longer than 10 s")
    doze.signal(signal.SIGCONT)
    doze.wait_awake()
    fall_asleep(doze)
    with Http(net.path()) as connection:
        connection.get()
        equal(connection.info().retransmits, 0, "retransmissions once it goes on")


@test()
def what_the_watchdog_has_thawed_is_frozen_again_when_doze_goes_on(t):
    net = t.net()
    doze = t.doze(net)
    fall_asleep(doze)
    doze.signal(signal.SIGSTOP)
    wait_until(doze.cgroup.is_thawed, "the watchdog thaws")
    doze.signal(signal.SIGCONT)
    wait_until(doze.cgroup.is_frozen, "frozen, as doze says that it is")
    with Http(net.path()) as connection:
        connection.get()
        equal(connection.info().retransmits, 0, "retransmissions")


@test()
def thaw_of_somebody_else_is_undone_and_told_once(t):
    net = t.net()
    doze = t.doze(net)
    fall_asleep(doze)
    for _ in range(2):
        doze.cgroup.thaw()
        wait_until(doze.cgroup.is_frozen, "frozen again")
    equal(doze.count("somebody has undone the sleep: it is set again"), 1, "times that it is told")


@test()
def quota_that_somebody_writes_meanwhile_is_the_full_one_from_then_on(t):
    net = t.net()
    doze = t.doze(net, "--asleep=throttle")
    doze.wait_asleep()
    doze.cgroup.set_quota_us(QUOTA_US)
    wait_until(lambda: doze.cgroup.quota_us() == 1000, "throttled again")
    with Http(net.path()) as connection:
        connection.get()
        doze.wait_awake()
    doze.wait_asleep()
    doze.signal(signal.SIGKILL)
    wait_until(lambda: doze.cgroup.quota_us() == QUOTA_US, "the watchdog knows it", RESCUE_S)
    end_application(net)
    t.sweep(net)


@test()
def filter_of_a_killed_doze_is_replaced_by_the_next(t):
    t.needs_replay()
    net = t.net()
    first = t.doze(net, "--hook=tc")
    fall_asleep(first)
    first.signal(signal.SIGKILL)
    first.wait()
    check(("eth0", "tc") in net.gates(), "tc filters outlive their process: where is ours?")
    wait_until(first.cgroup.is_thawed, "the watchdog thaws", RESCUE_S)
    # Its heartbeat is stale after 3 s: then the filter lets everything through.
    end_application(net)

    second = t.doze(net, "--hook=tc")
    fall_asleep(second)
    equal(second.count("removed the filter of a killed doze"), 2, "filters removed, eth0 and lo")
    with Http(net.path()) as connection:
        connection.get()
        equal(connection.info().retransmits, 0, "retransmissions")
    second.stop()
    equal({kind for _, kind in net.gates()} - {"clsact"}, set(), "what is left of the filters")


if __name__ == "__main__":
    main()

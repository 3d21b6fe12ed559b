#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What `doze run` gives up once its command runs: capabilities and system calls. What the filter
allows is tested by tests/unit/test_confine.c, and that doze needs no more by every other test."""
import os
import signal

import client
from confined import capabilities, differences, documented, fields
from harness import Failure, app, equal, main, test, wait_until, watchdog_of


def started(t, *flags, **options):
    net = t.net()
    doze = t.doze(net, *flags, **options)
    doze.wait_log('msg="watching"')
    return net, doze


def child_of(doze):
    """The command."""
    with open(f"/proc/{doze.pid}/task/{doze.pid}/children") as children:
        return next(int(pid) for pid in children.read().split() if int(pid) != watchdog_of(doze))


def is_confined(doze):
    """Its watchdog, which has its name before it is confined."""
    try:
        pid = watchdog_of(doze)
        return fields(pid)["Seccomp"] == "2" and capabilities(pid) == documented("doze-watchdog")
    except Failure:
        return False


@test()
def doze_and_its_watchdog_keep_what_the_page_says(t):
    net, doze = started(t)
    equal(differences(doze.pid, "doze run"), [], "doze")
    wait_until(lambda: is_confined(doze), "the watchdog is confined")
    equal(differences(watchdog_of(doze), "doze-watchdog"), [], "watchdog")
    doze.wait_asleep()
    client.get(net.path())


@test()
def watchdog_that_takes_the_place_of_another_is_confined_as_well(t):
    """That it does its work test_signals.py shows."""
    _, doze = started(t)
    os.kill(watchdog_of(doze), signal.SIGKILL)
    doze.wait_log("another watchdog has taken its place")
    wait_until(lambda: is_confined(doze), "it is confined")
    equal(differences(watchdog_of(doze), "doze-watchdog", parent="doze run"), [], "watchdog")


@test()
def command_has_all_that_doze_was_given(t):
    _, doze = started(t)
    told = fields(child_of(doze))
    equal((told["Seccomp"], told["NoNewPrivs"]), ("0", "0"), "filter and no_new_privs")
    for kind in ("CapPrm", "CapBnd"):
        equal(capabilities(child_of(doze), kind), capabilities(os.getpid(), kind), kind)


@test()
def process_of_another_namespace_needs_the_two_capabilities_for_it(t):
    cgroup = t.cgroup()
    process = t.process("sh", "-c", cgroup.entering() + 'exec "$@"', "sh",
                        *t.in_server(t.net(), *app("http:8080")))
    process.stdout.wait_for("serving")
    doze = t.doze_of(process.pid, cgroup=cgroup)
    doze.wait_log('msg="watching"')
    equal(differences(doze.pid, "doze run --pid"), [], "doze")


@test()
def seccomp_off_filters_nothing(t):
    _, doze = started(t, "--seccomp=off")
    equal(fields(doze.pid)["Seccomp"], "0", "doze")
    equal(fields(watchdog_of(doze))["Seccomp"], "0", "watchdog")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Nothing grows with the number of sleeps: descriptors and memory are as after the first hundred.

CYCLES (400) says how many there are. 10,000 of them take about half an hour: make soak.
"""
import os
import re

import harness
from client import Http
from harness import HERE, check, equal, note, test

CYCLES = int(os.environ.get("CYCLES", "400"))
WARM = 100
LIMIT_S = 60 + CYCLES  # a cycle takes an eighth of a second
# A page is touched for the first time now and then. 10,000 times 27 bytes are more than that.
GROWTH_MAX_KIB = 256

# Not with the sanitizers, which keep what was freed for a while.
PLAIN = os.path.join(HERE, "..", "..", "doze")


def usage_of(pid):
    """(descriptors, memory in KiB)"""
    with open(f"/proc/{pid}/status") as status:
        memory = int(re.search(r"RssAnon:\s+(\d+)", status.read()).group(1))
    return len(os.listdir(f"/proc/{pid}/fd")), memory


def cycle(net, doze, times):
    for _ in range(times):
        with Http(net.path()) as connection:
            connection.get()
        doze.wait_asleep()


@test([("freeze",), ("throttle",)])
def descriptors_and_memory_are_as_after_the_first_hundred_cycles(t, depth):
    t.needs_replay()
    net = t.net()
    doze = t.doze(net, f"--asleep={depth}", binary=PLAIN)
    doze.wait_asleep()
    cycle(net, doze, WARM)
    pids = (doze.pid, harness.watchdog_of(doze))
    before = [usage_of(pid) for pid in pids]
    cycle(net, doze, CYCLES - WARM)
    after = [usage_of(pid) for pid in pids]
    for who, (fds, kib), (fds_now, kib_now) in zip(("doze", "watchdog"), before, after):
        note(f"{who}: {WARM} cycles: {fds} descriptors, {kib} KiB; "
             f"{CYCLES}: {fds_now} descriptors, {kib_now} KiB")
        equal(fds_now, fds, f"descriptors of {who}")
        check(kib_now - kib <= GROWTH_MAX_KIB, f"{who} has grown from {kib} to {kib_now} KiB")


if __name__ == "__main__":
    harness.TEST_LIMIT_S = LIMIT_S
    harness.main()

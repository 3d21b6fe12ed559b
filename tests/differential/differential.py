#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The same client's view with and without doze. Each scenario runs against a real server as it is
and against the same server under doze; any difference but latency is a failure, and latency is
one when it is more than the wake timeout.

usage: differential.py [-v] [PART-OF-A-NAME]...     such as nginx, or "half close"

Prints TAP; -v shows what the clients saw also where it was the same. scenario.py says what a
scenario is, servers/ how each server is started. All servers run side by side; the scenarios of one
with the same timeouts run one after the other, so that each begins with a server that sleeps, or
does not, as the last one left it.
"""
import collections
import itertools
import signal
import sys
import textwrap
import threading
import time
import traceback

import scenario
import servers
from stand import WAKE_TIMEOUT_S, Stand
from view import SILENCE

# After the path of stand.py.
import harness

COLUMN = 58
# So many scenarios; when there are more, several pairs of servers share them.
PER_STAND = {"short": 12, "long": 5, "never": 16}


class Report:
    """TAP, from all threads."""

    def __init__(self):
        self.lock = threading.Lock()
        self.count = self.failed = 0
        self.latest_s = 0
        self.tests = []  # of stands that are closed
        self.is_stopped = False

    def add(self, name, passed=True, remark="", notes=()):
        with self.lock:
            self.count += 1
            self.failed += not passed
            harness.note("\n".join(notes))
            print(f"{'' if passed else 'not '}ok {self.count} - {name}"
                  f"{' # ' + remark if remark else ''}", flush=True)

    def stop(self):
        """No further scenario; what runs ends, and is taken back."""
        self.is_stopped = True
        self.failed += 1

    def later(self, seconds):
        with self.lock:
            self.latest_s = max(self.latest_s, seconds)


def side_by_side(trace):
    """A step, and what the bare server's clients saw beside what the gated one's saw."""
    lines = [f"  {'bare':{COLUMN}} | gated"]
    for seen in trace:
        lines.append(f"{seen.step}")
        for (bare, gated), _ in itertools.groupby(zip(seen.bare, seen.gated)):
            mark = " " if bare == gated else "!"
            left, right = textwrap.wrap(bare, COLUMN), textwrap.wrap(gated, COLUMN)
            for row in range(max(len(left), len(right))):
                cells = [cell[row] if row < len(cell) else "" for cell in (left, right)]
                lines.append(f"{mark} {cells[0]:{COLUMN}} | {cells[1]}")
        if seen.later_s > WAKE_TIMEOUT_S:
            lines.append(f"! {'':{COLUMN}} | {seen.later_s:.1f} s later")
    return lines


def is_same(trace):
    return all(seen.bare == seen.gated and seen.later_s <= WAKE_TIMEOUT_S for seen in trace)


def is_in_vain(trace):
    """The bare server leaves a client waiting as well: such a scenario says nothing."""
    return any(SILENCE in saw for seen in trace for saw in seen.bare)


def run_scenario(stand, name, what, report, is_verbose):
    """False: nobody knows in which state the servers are now."""
    trace, trouble = [], []
    start_s = time.monotonic()
    log_start = len(stand.gated.doze.stderr.lines)
    try:
        stand.run(what, trace)
    except Exception:  # whatever it is, the scenario has failed
        trouble = traceback.format_exc().splitlines()
    if is_in_vain(trace):
        trouble.append("the bare server does not answer")
    later_s = max((seen.later_s for seen in trace), default=0)
    report.later(later_s)
    same = is_same(trace)
    passed = not trouble and (same or what.limit is not None)
    notes = side_by_side(trace) + trouble if is_verbose or not (same and passed) else []
    if is_verbose or not passed:
        notes += stand.gated.doze.stderr.lines[log_start:]
    notes.append(f"{time.monotonic() - start_s:.1f} s, gated {later_s * 1000:.0f} ms later")
    report.add(name, passed, "" if same else f"deploy/limits.md: {what.limit}" if passed else "",
               notes)
    return passed and same


def run_group(number, group, scenarios, report, is_verbose):
    """Scenarios that want the same two servers, on a new pair after each that has failed."""
    server, timeouts, flags = group
    stand = None
    while not report.is_stopped and scenarios:
        what = scenarios.popleft()
        name = f"{server.name}: {what.name} [{timeouts}]"
        try:
            stand = stand or Stand(number, server, timeouts, flags)
        except Exception:
            report.add(name, False, "", traceback.format_exc().splitlines())
            continue
        if not run_scenario(stand, name, what, report, is_verbose):
            close(stand, report)
            stand = None
    if stand:
        close(stand, report)


def close(stand, report):
    report.tests.append(stand.test)
    try:
        stand.close()
    except Exception:
        report.add("the servers end", False, "", traceback.format_exc().splitlines())


def plan(words, report):
    """{(server, timeouts, flags): scenarios}"""
    groups = collections.defaultdict(collections.deque)
    read = scenario.read_all()
    for server in servers.ALL:
        mine = [(timeouts, what) for what in read if what.suits(server)
                for timeouts in what.timeouts
                if all(word in f"{server.name}: {what.name} [{timeouts}]" for word in words)]
        why = server.why_not_here() if mine else None
        if why:
            report.add(f"{server.name}: {len(mine)} scenarios", True, f"SKIP {why}")
            continue
        if mine:
            server.prepare()
        for timeouts, what in mine:
            groups[server, timeouts, what.flags].append(what)
    return groups


def run_all(words, is_verbose, report):
    groups = plan(words, report)
    stands = [group for group, scenarios in groups.items()
              for _ in range(0, len(scenarios), PER_STAND[group[1]])]
    stands.sort(key=lambda group: group[1] == "short")  # these last the least
    threads = [threading.Thread(target=run_group,
                                args=(number, group, groups[group], report, is_verbose))
               for number, group in enumerate(stands, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    harness.note(f"the latest of all steps: {report.latest_s * 1000:.0f} ms later than bare")


def main():
    words = [word for word in sys.argv[1:] if word != "-v"]
    report = Report()
    why = harness.why_none_can_run()
    if why:
        report.add("differential", True, f"SKIP {why}")
    else:
        signal.signal(signal.SIGTERM, lambda *_: report.stop())
        signal.signal(signal.SIGINT, lambda *_: report.stop())
        run_all(words, "-v" in sys.argv[1:], report)
        left = [leak for test in report.tests for leak in harness.take_back(test)]
        report.add("nothing is left behind", not left, "", left)
    print(f"1..{report.count}")
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()

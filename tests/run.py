#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs test programs that speak TAP, shows what failed, and ends with one line of totals.

usage: tests/run.py PROGRAM... [-- PROGRAM...] [--lane PROGRAM...]

A .py file is run with this Python. Those behind a "--" run at the same time as those before it, one
after the other in each group: most of them wait most of the time. What a group does must not
disturb the others; those of a "--lane" have cgroups and a /run/doze of their own (tests/lane.sh).

What a program, or a process that it starts, makes the sanitizers report is a failure, whatever the
program says: the reports go to a directory, where a process that nobody waits for leaves its own.

A program that ends badly without a failed test, or prints fewer results than it planned, counts as
one more failure: nothing passes by crashing.
"""
import os
import re
import subprocess
import sys
import tempfile
import threading
import time

LANE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lane.sh")
LIMIT_S = 900
say = threading.Lock()  # what is said of a program is not mixed with another's
RESULT = re.compile(r"^(not )?ok \d+(.*)")
PLAN = re.compile(r"^1\.\.(\d+)")


class Totals:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def count(output):
    """Its results, and the lines of those that were skipped."""
    totals, planned, seen, skipped = Totals(), 0, 0, []
    for line in output.splitlines():
        plan, result = PLAN.match(line), RESULT.match(line)
        if plan:
            planned += int(plan.group(1))
        if not result:
            continue
        seen += 1
        if re.search(r"#\s*skip", result.group(2), re.IGNORECASE):
            totals.skipped += 1
            skipped.append("  " + line)
        elif result.group(1):
            totals.failed += 1
        else:
            totals.passed += 1
    return totals, planned, seen, skipped


def environment_of(reports):
    """reports: a directory that processes of any user may write to."""
    os.chmod(reports, 0o1777)
    log = f"log_path={reports}/report"
    return dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP", SANITIZER_REPORTS=reports,
                ASAN_OPTIONS=f"{log}:detect_leaks=1", UBSAN_OPTIONS=f"{log}:print_stacktrace=1")


def read_reports(reports):
    text = ""
    for name in sorted(os.listdir(reports)):
        with open(os.path.join(reports, name), encoding="utf-8", errors="replace") as file:
            text += file.read()
    return text


def run(program, prefix):
    with tempfile.TemporaryDirectory(prefix="doze-test-reports-") as reports:
        return run_with(program, prefix, reports)


def run_with(program, prefix, reports):
    """Its results, and what is to be shown of it."""
    command = prefix + ([sys.executable, program] if program.endswith(".py") else [program])
    environment = environment_of(reports)
    try:
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=LIMIT_S, text=True,
                              errors="replace")
        output, status = done.stdout, done.returncode
    except subprocess.TimeoutExpired as late:
        output, status = (late.stdout or b"").decode(errors="replace"), f"no end in {LIMIT_S} s"
    totals, planned, seen, shown = count(output)
    reported = read_reports(reports)
    if (status != 0 and not totals.failed) or seen != planned or not seen or reported:
        totals.failed += 1
        output += reported
        output += f"\n# {program}: status {status}, {planned} planned, {seen} seen\n"
    if totals.failed:
        shown.append(output)
    return totals, shown


def run_group(group, all_totals):
    prefix, programs = group
    for program in programs:
        start = time.monotonic()
        totals, shown = run(program, prefix)
        with say:
            all_totals.add(totals)
            print(*shown, f"{program}: {totals} ({time.monotonic() - start:.1f} s)", sep="\n",
                  flush=True)


def groups_of(arguments):
    """Each a command to run its programs with, and these."""
    groups = [([], [])]
    for argument in arguments:
        if argument == "--":
            groups.append(([], []))
        elif argument == "--lane":
            groups.append(([LANE], []))
        else:
            groups[-1][1].append(argument)
    return groups


def main():
    all_totals = Totals()
    threads = [threading.Thread(target=run_group, args=(group, all_totals))
               for group in groups_of(sys.argv[1:])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(all_totals)
    return 1 if all_totals.failed or not all_totals.passed else 0


if __name__ == "__main__":
    sys.exit(main())

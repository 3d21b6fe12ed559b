#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Clients send numbered requests to targets of `doze run`, `doze sidecar` and `doze node` which sleep
and wake as fast as they may, while a random plan lets everything go wrong. Each request must be
answered once and in time, or refused as it would have been awake.

usage: chaos.py [SECONDS [SEED [TARGET|KIND...]]]      120 s, a random seed, all targets and faults

Prints TAP, a table of requests and one of faults, and a line of totals. The same seed makes the same
plan.
"""
import collections
import json
import os
import random
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
TARGETS = ("run", "sidecar", "node")
LATER_S = 240  # so long after the last fault it may take to end


class Target:
    """One chaos_target.py, and what it says."""

    def __init__(self, name, seed, seconds, kinds, say):
        self.name, self.say = name, say
        self.claims, self.totals = [], None
        command = [sys.executable, os.path.join(HERE, "chaos_target.py"), name, seed, str(seconds),
                   *kinds]
        # pylint: disable=consider-using-with
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      stdin=subprocess.DEVNULL, text=True, errors="replace")
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        for line in self.child.stdout:
            line = line.rstrip("\n")
            if line.startswith("totals "):
                self.totals = json.loads(line.removeprefix("totals "))
            elif line.startswith(("ok - ", "not ok - ")):
                self.claims.append(line)
            else:
                self.say(line if line.startswith("# ") else "# " + line)

    def end(self, limit_s):
        try:
            status = self.child.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.child.terminate()
            status = f"no end within {limit_s} s"
        self.thread.join()
        if status != 0 or not self.totals:
            self.claims.append(f"not ok - {self.name}: it ends in order # {status}")


def table(title, rows):
    print(f"# {title}")
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))] if rows else []
    for row in rows:
        cells = [str(cell).ljust(width) for cell, width in zip(row, widths)]
        print("#   " + "  ".join(cells).rstrip())


def show_requests(targets):
    """The sum, and how many of them were accounted for."""
    rows, total = [("target", "kind", "how", "requests", "slowest")], 0
    for target in targets:
        for kind, how, count in target.totals["requests"]:
            slowest = target.totals["slowest_s"].get(kind, 0)
            rows.append((target.name, kind, how, count,
                         f"{slowest:.2f} s" if how == "answered" else ""))
            total += count
    table("requests by target, kind, and how they ended", rows)
    return total


def show_faults(targets):
    faults = collections.Counter()
    for target in targets:
        faults.update(target.totals["faults"])
    table("faults by kind", sorted(faults.items()))
    return sum(faults.values())


def main():
    arguments = sys.argv[1:]
    seconds = int(arguments[0]) if arguments else 120
    seed = "".join(arguments[1:2]) or str(random.randrange(10 ** 9))
    lock = threading.Lock()

    def say(line):
        with lock:
            print(line, flush=True)
    say(f'# make chaos SECONDS={seconds} SEED={seed} ONLY="{" ".join(arguments[2:])}"')
    names = [name for name in TARGETS if name in arguments[2:]] or TARGETS
    kinds = [kind for kind in arguments[2:] if kind not in TARGETS]
    targets = [Target(name, seed, seconds, kinds, say) for name in names]
    for target in targets:
        target.end(seconds + LATER_S)
    claims = [claim for target in targets for claim in target.claims]
    for number, claim in enumerate(claims, 1):
        print(claim.replace(" - ", f" {number} - ", 1))
    print(f"1..{len(claims)}")
    done = [target for target in targets if target.totals]
    requests, faults = show_requests(done), show_faults(done)
    losses = sum(target.totals["losses"] for target in done)
    failed = sum(claim.startswith("not ") for claim in claims)
    sleeps = sum(target.totals["sleeps"] for target in done)
    print(f"chaos: {requests} requests accounted for, {losses} lost, {faults} faults, {sleeps} sleeps, "
          f"{seconds} s, seed {seed}: {'FAILED' if failed else 'ok'}")
    sys.exit(1 if failed or not requests else 0)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Chaos with one target, for chaos.py: clients call it while a plan is carried out; then the end is
looked at.

usage: chaos_target.py TARGET SEED SECONDS [KIND...]      the kinds of faults, if not all of them

Prints "ok - ..." and "not ok - ..." for each claim, and at the end a line "totals " with JSON.
"""
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[1:1] = [os.path.join(HERE, "..", "e2e"), os.path.join(HERE, "..", "fake")]
# pylint: disable=wrong-import-position
import clients  # noqa: E402
import ends  # noqa: E402
import faults_api  # noqa: E402
import faults_network  # noqa: E402
import faults_process  # noqa: E402
import faults_resources  # noqa: E402
import plan  # noqa: E402
from harness import MARK, MARK_NAME, Failure, note, wait_until  # noqa: E402
from ledger import Ledger  # noqa: E402
from target_node import NodeTarget  # noqa: E402
from target_run import RunTarget  # noqa: E402
from target_sidecar import SidecarTarget  # noqa: E402

CLONE_NEWNS = 0x20000
TARGETS = {"run": RunTarget, "sidecar": SidecarTarget, "node": NodeTarget}
FAULTS = {**faults_process.KINDS, **faults_api.KINDS, **faults_network.KINDS,
          **faults_resources.KINDS}
QUIET_S = 60
KEEP_S, PULSE_S, LAG_S = 0.3, 0.02, 0.05
SHOWN_LOSSES, SHOWN_LINES = 5, 80


class Chaos:
    def __init__(self, name, seed, seconds, only):
        self.name, self.seed, self.seconds = name, seed, seconds
        self.plan = plan.make(seed, name, seconds, only)
        self.tide = clients.Tide()
        self.ledger = Ledger(self.show_loss)
        self.target = None
        self.failures = []  # of ours: a fault that could not be injected, or doze did not start

    # Threads

    def run_tide(self):
        for tide in self.plan["tide"]:
            self.tide.number += 1
            self.tide.flows.set()
            if self.tide.is_over.wait(tide.flow_ms / 1000):
                return
            self.tide.hang_ups += tide.hangs_up
            self.tide.flows.clear()
            if self.tide.is_over.wait(tide.lull_ms / 1000):
                return

    def run_lane(self, lane):
        for step in self.plan[lane]:
            if self.tide.is_over.wait(step.pause_ms / 1000):
                return
            try:
                FAULTS[step.kind](self.target, step)
                self.ledger.count_fault(step.kind)
                self.ledger.forget_old()
            except Exception:  # whatever it is, the rest of the plan goes on
                self.note_failure(step)

    def note_failure(self, step):
        log = "\n    ".join(self.target.logs()[-SHOWN_LINES // 2:])
        self.failures.append(f"{step}: {traceback.format_exc()}\n    {log}")
        with contextlib.suppress(Exception):  # the next step tries again
            self.target.ensure()

    def run_keeper(self):
        while not self.tide.is_over.wait(KEEP_S):
            with contextlib.suppress(Exception):  # the next fault fails, and says why
                self.target.keep()

    def run_pulse(self):
        """How late the machine is."""
        while not self.tide.is_over.is_set():
            before_s = time.monotonic()
            time.sleep(PULSE_S)
            late_s = time.monotonic() - before_s - PULSE_S
            if late_s > LAG_S:
                self.ledger.note_lag(late_s)

    # The whole

    def run(self):
        self.show_plan()
        self.target = TARGETS[self.name]()
        try:
            self.target.open(self.ledger)
            start = ends.usage_of(self.target.daemon_pid())
            self.storm()
            self.look_at_end(start)
        except Exception:  # the target is taken back all the same
            self.failures.append(traceback.format_exc())
        self.tide.end()
        sleeps = self.target.count_sleeps()
        left = self.target.close() + ends.left_on_the_machine()
        self.tell("each request is accounted for",
                  [f"{request.kind} {request.number}: {why}" for request, why in self.ledger.losses])
        self.tell("it slept", [] if sleeps else ["never"])
        self.tell("each fault was injected, and doze went on", self.failures)
        self.tell("nothing is left behind", left)
        print("totals " + json.dumps(self.totals(sleeps)), flush=True)

    def look_at_end(self, start):
        """Nobody calls any more."""
        self.target.ensure()
        pid = self.target.daemon_pid()
        with contextlib.suppress(Failure):
            wait_until(lambda: ends.is_within(ends.usage_of(pid), start), "as at the start", QUIET_S)
        now = ends.usage_of(pid)
        self.tell(f"doze has no more than {ends.MORE_DESCRIPTORS} descriptors and "
                  f"{ends.MORE_KB >> 10} MiB more than at the start",
                  [] if ends.is_within(now, start) else [f"{now}, {start} at the start"])
        self.tell("nothing sleeps, and all has its full size", self.target.settle())
        self.tell("nothing is attached", [f"{found} in {namespace}"
                                          for namespace in self.target.namespaces()
                                          for found in ends.attached(namespace)])

    def storm(self):
        lanes = [lane for lane in self.plan if lane != "tide"]
        threads = [threading.Thread(target=self.run_lane, args=(lane,)) for lane in lanes]
        for function in (self.run_tide, self.run_pulse, self.run_keeper):
            threads.append(threading.Thread(target=function))
        for thread in threads:
            thread.start()
        callers = clients.start(lambda *names: plan.dice_of(self.seed, self.name, *names),
                                self.target, self.tide, self.ledger)
        time.sleep(self.seconds)
        self.tide.end()
        for thread in threads + callers:
            thread.join(clients.LIMIT_S + 60)

    # What is told

    def show_plan(self):
        for lane, steps in self.plan.items():
            note(f"{self.name}: {lane}: {', '.join(map(str, steps))}")

    def show_loss(self, request, why):
        if len(self.ledger.losses) > SHOWN_LOSSES:
            return
        begun = time.time() - (time.monotonic() - request.start_s)
        at_s = request.start_s - self.ledger.begun_s
        note(f"{self.name}: LOST, seed {self.seed}, {at_s:.3f} s: {request.kind} {request.number} "
             f"to {request.where}: {why}; its connection is {request.start_s - request.connected_s:.3f} s older, it "
             f"ended after {request.took_s:.3f} s")
        for window in self.ledger.windows[-20:]:
            if window.end_s is None or window.end_s > request.connected_s - 2:
                end = "" if window.end_s is None else f"{window.end_s - self.ledger.begun_s:.3f}"
                note(f"    {window.start_s - self.ledger.begun_s:.3f}-{end} s {window.what} "
                     f"({window.where or 'all'}): {window.why}")
        first, last = stamp_of(begun - 1), stamp_of(begun + request.took_s + 0.3)
        lines = [line for line in self.target.logs() if first < line[:len(first)] < last]
        for line in lines[:SHOWN_LINES // 2] + ["..."] + lines[SHOWN_LINES // 2:][-SHOWN_LINES // 2:]:
            note("    " + line)

    def tell(self, claim, wrong):
        for one in wrong[:SHOWN_LOSSES]:
            note(f"{self.name}: {one}")
        print(f"{'not ' if wrong else ''}ok - {self.name}: {claim}", flush=True)

    def totals(self, sleeps):
        return {"sleeps": sleeps,
                "requests": [[*key, n] for key, n in sorted(self.ledger.counts.items())],
                "slowest_s": self.ledger.slowest_s, "faults": self.ledger.faults,
                "losses": len(self.ledger.losses)}


def stamp_of(time_s):
    """As doze's log lines begin."""
    text = time.strftime("time=%Y-%m-%dT%H:%M:%S", time.gmtime(time_s))
    return f"{text}.{int(time_s % 1 * 1000):03d}"


def hide_mounts():
    """What is mounted from here on is nobody else's."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def main():
    name, seed, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.environ[MARK_NAME] = MARK  # by which what is left behind is found
    hide_mounts()
    Chaos(name, seed, seconds, sys.argv[4:]).run()


if __name__ == "__main__":
    main()

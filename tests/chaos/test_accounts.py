#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Chaos itself: a seed makes one plan, and what a request came to is accounted for as it should be.

usage: test_accounts.py        prints TAP; exit status 1 if a test failed
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[1:1] = [os.path.join(HERE, "..", "fake"), os.path.join(HERE, "..", "e2e")]
# pylint: disable=wrong-import-position
import clients  # noqa: E402
import plan  # noqa: E402
import tap  # noqa: E402
from ledger import (APP_DOWN, LINK_DOWN, MARGIN_S, NOTE, STALL, WAKE_TIMEOUT_S, Request,  # noqa: E402
                    Window, judge)
from tap import check, equal  # noqa: E402

IN_TIME_S = WAKE_TIMEOUT_S + MARGIN_S


def test_the_same_seed_makes_the_same_plan():
    for target in plan.KINDS:
        equal(plan.make("7", target, 60), plan.make("7", target, 60), target)
        check(plan.make("7", target, 60) != plan.make("8", target, 60), target)


def test_a_plan_lasts_as_long_as_it_should():
    for lane, steps in plan.make("7", "node", 60).items():
        lengths = [step.flow_ms + step.lull_ms if lane == "tide" else step.pause_ms + step.ms
                   for step in steps]
        check(sum(lengths) >= 60000 > sum(lengths[:-1]), lane)


def test_a_plan_of_one_kind_has_no_other():
    lanes = plan.make("7", "sidecar", 60, ["doze_kill"])
    equal(sorted(lanes), ["process", "tide"])
    equal({step.kind for step in lanes["process"]}, {"doze_kill"})


def test_some_plans_spare_doze():
    kinds = [{step.kind for step in plan.make(str(seed), "node", 600)["process"]}
             for seed in range(20)]
    spared = [not found & set(plan.ENDS_DOZE) for found in kinds]
    check(any(spared) and not all(spared))


def request(outcome, took_s, where="eth0", connected_s=100.0, **fields):
    """One that began at 100 s."""
    return Request("short", "short-1", where, 100.0, connected_s, 100.0 + took_s, outcome, **fields)


def window(what, start_s, end_s, where=None):
    return Window(what, "some fault", where, start_s, end_s)


LONG = window(STALL, 100, 104)
DOWN = window(APP_DOWN, 90, 95)

# a request, what was in the way, how it is accounted for, whether it is a loss
CASES = [
    (request("answered", 0.1), [], "answered", False),
    (request("answered", IN_TIME_S + 1), [], "late", True),
    (request("answered", IN_TIME_S + 1), [LONG], "answered", False),
    (request("answered", IN_TIME_S + 1), [window(NOTE, 100, 104)], "late", True),
    (request("answered", IN_TIME_S + 9), [LONG], "late", True),
    (request("answered", IN_TIME_S + 1, least_s=2), [], "answered", False),
    (request("answered", 0.1, has_retried="idle"), [], "answered again: idle", False),
    (request("refused", 0.1), [], "refused", True),
    (request("refused", 0.1), [window(APP_DOWN, 99, 101)], f"refused: {APP_DOWN}", False),
    (request("refused", 0.1), [window(APP_DOWN, 99, None)], f"refused: {APP_DOWN}", False),
    (request("refused", 0.1), [window(APP_DOWN, 99, 101, "eth1")], "refused", True),
    (request("refused", 0.1), [DOWN], "refused", True),
    (request("refused", 0.1), [LONG], "refused", True),
    (request("reset", 0.1), [DOWN], "reset", True),
    (request("reset", 0.1, connected_s=80), [DOWN], f"reset: {APP_DOWN}", False),
    (request("no answer", 90), [LONG], "no answer", True),
    (request("unreachable", 1), [window(LINK_DOWN, 99, 101)], f"unreachable: {LINK_DOWN}", False),
    (request("datagram lost", 20), [LONG], "datagram lost", True),
    (request("datagram dropped", 20), [], "datagram dropped", False),
    (request("wrong answer", 0.1), [window(APP_DOWN, 99, 101)], "wrong answer", True),
]


def test_each_request_is_accounted_for_as_it_should_be():
    for one, windows, wanted, is_loss in CASES:
        how, why = judge(one, windows)
        equal((how, why is not None), (wanted, is_loss), f"{one} {windows}")


def test_a_slow_machine_is_no_loss():
    equal(judge(request("answered", IN_TIME_S + 1), [], [(101.0, 2.0)]), ("answered", None))


def test_an_answer_is_the_one_to_the_number_and_comes_once():
    equal(clients.wrong_in("short-1 1", "short-1"), None)
    for body in ("short-2 1", "short-1 2", ""):
        check(clients.wrong_in(body, "short-1"), body)


if __name__ == "__main__":
    tap.main(dict(globals()))

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The comparison itself: that a difference is one, where answers end, and what may vary."""
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "fake"))

import differential
import protocol
import scenario
import servers
import tap
from stand import Seen
from tap import check, equal

HTTP = b"HTTP/1.1 200 OK\r\nDate: today\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
REDIS = b"*2\r\n$5\r\nhello\r\n:1\r\n"
POSTGRESQL = b"C\0\0\0\x06x\0Z\0\0\0\x05I"


def scenario_of(text):
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "a-file.txt")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return scenario.Scenario(path)


def is_malformed(text):
    try:
        scenario_of(text)
    except scenario.Malformed:
        return True
    return False


def test_what_one_side_alone_has_seen_is_a_difference():
    same = Seen("a expect close", ["FIN"], ["FIN"], 0.1)
    check(differential.is_same([same]))
    for other in (same._replace(gated=["RST"]), same._replace(gated=["one byte, then FIN"]),
                  same._replace(later_s=differential.WAKE_TIMEOUT_S + 1)):
        check(not differential.is_same([same, other]), f"{other} is not the same")
        check(any(line.startswith("!") for line in differential.side_by_side([same, other])))


def test_a_scenario_in_which_nothing_is_answered_says_nothing():
    check(differential.is_in_vain([Seen("", [f"b'', then {differential.SILENCE}"], ["FIN"], 0)]))


def test_an_answer_ends_where_its_protocol_says():
    for what, answer in ((protocol.Http(), HTTP), (protocol.Http(), CHUNKED),
                         (protocol.Redis(), REDIS), (protocol.Postgresql(), POSTGRESQL)):
        for length in range(len(answer)):
            equal(what.answer_length(answer[:length]), None, f"{length} bytes of {answer}")
        equal(what.answer_length(answer + answer), len(answer), f"twice {answer}")


def test_what_may_vary_is_not_compared_and_all_else_is():
    http, postgresql = protocol.Http(), protocol.Postgresql()
    equal(http.normalised(HTTP), http.normalised(HTTP.replace(b"today", b"tomorrow")), "date")
    check(http.normalised(HTTP) != http.normalised(HTTP.replace(b"hello", b"Hello")))
    split = CHUNKED.replace(b"5\r\nhello", b"3\r\nhel\r\n2\r\nlo")
    equal(http.normalised(CHUNKED), http.normalised(split), "pieces")
    key = b"K\0\0\0\x0c%s" + POSTGRESQL
    equal(postgresql.normalised(key % b"pid1key1"), postgresql.normalised(key % b"pid2key2"), "key")


def test_steps_are_repeated_and_their_waits_vary():
    steps = scenario_of("timeouts: long\nrepeat 3\na connect\nwait 100ms..300ms\nend\nasleep").steps
    equal([step.verb for step in steps], ["connect", "wait"] * 3 + ["asleep"])
    equal([step.words for step in steps if step.verb == "wait"], [0.1, 0.2, 0.3])


def test_a_scenario_that_cannot_be_read_is_refused():
    check(is_malformed("timeouts: sometimes\na connect"))
    check(is_malformed("timeouts: long\nwait 3s"))
    check(is_malformed("timeouts: long\na expect a miracle"))
    check(is_malformed("timeouts: long\na jump"))
    check(is_malformed("timeouts: long\nlimit: pigs cannot fly\na connect"))


def test_every_scenario_is_for_some_server_and_has_a_remark():
    for what in scenario.read_all():
        check(any(what.suits(server) for server in servers.ALL), f"'{what.name}' is for nobody")
        with open(os.path.join(scenario.FOLDER, what.name.replace(" ", "-") + ".txt"),
                  encoding="utf-8") as file:
            check(file.readline().startswith("# "), f"'{what.name}' does not say what it tests")


if __name__ == "__main__":
    tap.main(globals())

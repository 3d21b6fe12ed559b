# SPDX-License-Identifier: MIT
"""A scenario: what some clients do, one step a line. It is a file of scenarios/; its first remark
is what it tests.

    # A request on a connection that has been silent for longer than the idle time.
    timeouts: never
    a connect
    a login
    a send request
    a expect answer
    asleep
    a send request
    a expect answer
    a close

Before the steps:

    timeouts: short|long|never...  the server's own idle timeouts: 1 s with an idle time of 2.5 s,
                                   6 s with one of 0.3 s, 60 s with one of 0.3 s; one run for each
    only: SERVER...                for these servers; not: SERVER... for all but these. Whoever does
                                   not know one of the messages is left out by itself.
    flags: FLAG...                 more flags of doze
    limit: WORDS                   a difference is allowed, since deploy/limits.md has these words

Steps of clients, such as a, or several as a,b,c, or a*50 for fifty of them:

    a connect [PORT] [ipv6] [lo] [slow]
                                     PORT: served (default), watched (doze watches it, nobody
                                     listens), or unwatched; lo: from the server's own machine;
                                     slow: with a small receive buffer
    a knock                          a SYN, and it goes away before it is answered
    a login                          what this protocol begins with, and the answer; may be nothing
    a send MESSAGE... [1/2|2/2]      messages of the server in one go, or half of them
    a expect answer                  until it is complete
    a expect message                 one message of PostgreSQL's protocol, of which answers consist
    a expect bytes N                 so many bytes of it; nothing behind them is read
    a expect until TEXT              up to the text, of an answer that goes on
    a expect close                   all until the server closes
    a half-close                     sends FIN, reads on
    a close                          tells what has come unread
    a reset                          sends RST
    a keepalive                      TCP's own keepalive, each second

and of time:

    asleep          until doze has put the server to sleep; the bare one is left alone for as long
    frozen          the same, until nobody is connected and it is frozen
    wait 1500ms     the time itself is the claim; "wait 400ms..600ms" varies within a repeat
    repeat N ... end
"""
import collections
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "scenarios")
LIMITS = os.path.join(HERE, "..", "..", "deploy", "limits.md")
TIMEOUTS = ("short", "long", "never")
VERBS = ("connect", "knock", "login", "send", "expect", "half-close", "close", "reset", "keepalive")
EXPECTED = ("answer", "message", "bytes", "until", "close")
WITHOUT_MESSAGE = re.compile(r"\d/\d$")

# clients: the letters; "" for a step of time
Step = collections.namedtuple("Step", "clients verb words text")


class Malformed(Exception):
    """The scenario's file says what nobody can do."""


def parse_ms(text):
    number = re.fullmatch(r"(\d+)ms", text)
    if not number:
        raise Malformed(f"'{text}' is not a time such as 1500ms")
    return int(number.group(1))


def clients_of(text):
    name, _, count = text.partition("*")
    return [f"{name}{number}" for number in range(int(count))] if count else text.split(",")


def parse_wait(text, part):
    """part: from 0 to 1, how far a repeat is."""
    first, _, last = text.partition("..")
    first_ms = parse_ms(first)
    return first_ms + (parse_ms(last) - first_ms) * part if last else first_ms


def step_of_clients(line, clients="", verb="", *words):
    if verb not in VERBS or (verb == "expect" and (*words, "")[0] not in EXPECTED):
        raise Malformed(f"'{line}' is no step")
    return Step(clients_of(clients), verb, words, line)


class Scenario:
    def __init__(self, path):
        self.name = os.path.basename(path).removesuffix(".txt").replace("-", " ")
        self.fields = {}
        self.steps = []
        with open(path, encoding="utf-8") as file:
            lines = [line.split("#")[0].strip() for line in file]
        self._parse([line for line in lines if line])
        self.timeouts = self.fields.get("timeouts", "").split()
        if not self.timeouts or set(self.timeouts) - set(TIMEOUTS):
            raise Malformed(f"{path}: timeouts: {self.timeouts}")
        self._check_limit(path)

    @property
    def flags(self):
        return tuple(self.fields.get("flags", "").split())

    @property
    def limit(self):
        return self.fields.get("limit")

    def _check_limit(self, path):
        with open(LIMITS, encoding="utf-8") as file:
            limits = " ".join(file.read().split())
        if self.limit and self.limit not in limits:
            raise Malformed(f"{path}: deploy/limits.md does not say '{self.limit}'")

    def _parse(self, lines):
        while lines and re.match(r"(timeouts|only|not|flags|limit):", lines[0]):
            name, _, value = lines.pop(0).partition(":")
            self.fields[name] = value.strip()
        while lines:
            line = lines.pop(0)
            if line.startswith("repeat "):
                times, end = int(line.split()[1]), lines.index("end")
                for number in range(times):
                    self._add(lines[:end], number / max(times - 1, 1))
                lines = lines[end + 1:]
            else:
                self._add([line], 0)

    def _add(self, lines, part):
        for line in lines:
            words = line.split()
            if words[0] in ("asleep", "frozen"):
                self.steps.append(Step("", words[0], [], line))
            elif words[0] == "wait":
                self.steps.append(Step("", "wait", parse_wait(words[1], part) / 1000, line))
            else:
                self.steps.append(step_of_clients(line, *words))

    def messages(self):
        return {word for step in self.steps if step.verb == "send" for word in step.words
                if not WITHOUT_MESSAGE.match(word)}

    def suits(self, server):
        if "only" in self.fields and server.name not in self.fields["only"].split():
            return False
        return server.name not in self.fields.get("not", "").split() and \
            self.messages() <= set(server.messages())


def read_all():
    return [Scenario(os.path.join(FOLDER, name)) for name in sorted(os.listdir(FOLDER))
            if name.endswith(".txt")]

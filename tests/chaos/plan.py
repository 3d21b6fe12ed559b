# SPDX-License-Identifier: MIT
"""What goes wrong, and when: the same seed makes the same plan. Pure.

A plan has lanes, which are carried out side by side; the steps of one lane follow each other. A
step is a pause, and then a fault for some time. The lane "tide" says when the clients call: for
flow_ms, and then for lull_ms nobody does, so that the target falls asleep.
"""
import dataclasses
import random

# kind: (how often, from ms, to ms). The time is how long it lasts; of a kill, until the next start.
PROCESS = {
    "doze_kill": (5, 0, 800),
    "doze_stop": (5, 50, 4500),
    "doze_restart": (2, 0, 300),
    "doze_and_watchdog_kill": (3, 0, 800),
    "app_kill": (2, 0, 500),
    "app_stop": (2, 50, 2000),
    "watchdog_kill": (3, 0, 0),
    "watchdog_stop": (3, 50, 4000),
}
KINDS = {
    "run": {"process": PROCESS},
    "sidecar": {"process": PROCESS},
    "node": {"process": PROCESS},
}
PAUSE_MS = {"process": (200, 2500)}
FLOW_MS, LULL_MS = (20, 700), (200, 1600)


@dataclasses.dataclass
class Step:
    pause_ms: int
    kind: str
    ms: int
    chance: float  # for whatever a fault has to choose

    def __str__(self):
        return f"+{self.pause_ms} {self.kind} {self.ms}"


@dataclasses.dataclass
class Tide:
    flow_ms: int
    lull_ms: int
    hangs_up: bool  # whether the clients close the connections that they keep

    def __str__(self):
        return f"{self.flow_ms}/{self.lull_ms}{'x' if self.hangs_up else ''}"


def _fill(seconds, make_step, length_of):
    steps, left_ms = [], seconds * 1000
    while left_ms > 0:
        steps.append(make_step())
        left_ms -= length_of(steps[-1])
    return steps


def _make_lane(dice, seconds, kinds, pause_ms):
    names = sorted(kinds)
    weights = [kinds[name][0] for name in names]

    def make_step():
        kind = dice.choices(names, weights)[0]
        return Step(dice.randint(*pause_ms), kind, dice.randint(*kinds[kind][1:]), dice.random())
    return _fill(seconds, make_step, lambda step: step.pause_ms + step.ms)


def _make_tides(dice, seconds):
    def make_tide():
        return Tide(dice.randint(*FLOW_MS), dice.randint(*LULL_MS), dice.random() < 0.4)
    return _fill(seconds, make_tide, lambda tide: tide.flow_ms + tide.lull_ms)


def dice_of(seed, *names):
    """Numbers that depend on the seed and the names alone."""
    return random.Random("/".join(map(str, (seed, *names))))


def make(seed, target, seconds):
    """lane → its steps, and "tide"."""
    lanes = {lane: _make_lane(dice_of(seed, target, lane), seconds, kinds, PAUSE_MS[lane])
             for lane, kinds in KINDS[target].items()}
    lanes["tide"] = _make_tides(dice_of(seed, target, "tide"), seconds)
    return lanes

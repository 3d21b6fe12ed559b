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
NETWORK = {
    "flood_syn": (2, 100, 2000),
    "flood_payload": (3, 100, 3000),
    "flood_rst": (3, 100, 3000),
    "flood_fin": (3, 100, 3000),
    "link_down": (2, 20, 1500),
    "link_cut": (2, 20, 1500),
    "link_added": (3, 20, 2000),
}
RESOURCES = {
    "descriptors": (3, 200, 5000),
    "disk_full": (3, 200, 5000),
    "memory": (3, 500, 3000),
    "clock_jump": (3, 100, 4000),
}
API_ANSWERS = ("401", "403_rbac", "403_capacity", "403_quota", "404_path", "409", "422", "429", "500",
               "503", "slow", "slow_after", "slow_body", "hang", "hang_after", "reset",
               "reset_after", "reset_headers", "reset_body", "truncated", "half_json", "garbage",
               "wrong_uid", "tls_close", "tls_untrusted", "watch_410", "watch_end",
               "watch_half_line")
API = {
    **{f"api_{answer}": (1, 100, 3000) for answer in API_ANSWERS},
    **{f"kubelet_{how}": (2, 200, 3000) for how in ("deferred", "infeasible", "never", "stuck",
                                                    "slow", "late")},
    "api_404": (1, 100, 1500),
    "api_away": (3, 100, 4000),
    "api_token_expired": (2, 100, 3000),
    "api_drops_connections": (2, 0, 0),
    "api_dead_connections": (1, 0, 0),
    "api_watches_end": (2, 0, 0),
}
POD = {"process": PROCESS, "network": NETWORK, "resources": RESOURCES, "api": API}
KINDS = {
    "run": {"process": PROCESS, "network": {**NETWORK, "link_removed": (2, 20, 1500)},
            "resources": RESOURCES},
    "sidecar": POD,
    "node": POD,
}
# In some plans one doze lives from the beginning to the end, so that it shows what it leaks.
ENDS_DOZE = ("doze_kill", "doze_restart", "doze_and_watchdog_kill", "watchdog_kill", "app_kill",
             "memory", "api_404")
SPARED = 0.25
PAUSE_MS = {"process": (200, 2500), "network": (200, 4000), "resources": (500, 5000),
            "api": (100, 2500)}
FLOW_MS, LULL_MS = (10, 400), (150, 1200)
LONG_LULL_MS, LONG_LULLS = (3000, 6000), 0.08  # long enough to freeze, and for servers' timers


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
        lull_ms = LONG_LULL_MS if dice.random() < LONG_LULLS else LULL_MS
        return Tide(dice.randint(*FLOW_MS), dice.randint(*lull_ms), dice.random() < 0.4)
    return _fill(seconds, make_tide, lambda tide: tide.flow_ms + tide.lull_ms)


def dice_of(seed, *names):
    """Numbers that depend on the seed and the names alone."""
    return random.Random("/".join(map(str, (seed, *names))))


def _kinds_of(seed, target, only):
    """lane → its kinds, those that are wanted; no lane is empty."""
    is_spared = dice_of(seed, target, "spared").random() < SPARED
    names = only or [name for kinds in KINDS[target].values() for name in kinds
                     if not (is_spared and name in ENDS_DOZE)]
    chosen = {lane: {name: kind for name, kind in kinds.items() if name in names}
              for lane, kinds in KINDS[target].items()}
    return {lane: kinds for lane, kinds in chosen.items() if kinds}


def make(seed, target, seconds, only=()):
    """lane → its steps, and "tide". only: the kinds of faults, if not all of them."""
    lanes = {lane: _make_lane(dice_of(seed, target, lane), seconds, kinds, PAUSE_MS[lane])
             for lane, kinds in _kinds_of(seed, target, only).items()}
    lanes["tide"] = _make_tides(dice_of(seed, target, "tide"), seconds)
    return lanes

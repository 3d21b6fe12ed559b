# SPDX-License-Identifier: MIT
"""Each request is accounted for: answered once, with its own number and in time, or refused because
it would have been refused awake as well. Anything else is a loss.

A Window is a time in which something of ours was in the way: it explains what a client saw. judge()
is pure.
"""
import collections
import contextlib
import dataclasses
import threading
import time

# What a client awake would see, and when.
APP_DOWN = "application down"       # killed, until it listens again
APP_STOPPED = "application stopped"  # its timers are late, as they would be awake
LINK_DOWN = "interface down"
# What must cost no request anything but time.
STALL = "stall"
# What must cost it no more than the wake timeout.
NOTE = "fault"

WAKE_TIMEOUT_S = 3
MARGIN_S = 10       # a slow machine, and the client's own pauses between two tries
EXCUSED_BY = {
    "refused": (APP_DOWN,),
    "reset": (APP_DOWN,),
    "closed": (APP_DOWN,),
    "unreachable": (LINK_DOWN,),
    "no answer": (),
    "datagram lost": (APP_DOWN, LINK_DOWN),
}
NO_LOSS = ("datagram dropped",)  # by a full buffer of the kernel's, as awake
SLOW = (APP_DOWN, APP_STOPPED, LINK_DOWN, STALL)


@dataclasses.dataclass
class Window:
    what: str
    why: str
    where: str                # a place of the target; None: all
    start_s: float
    end_s: float = None  # None: it is not over

    def concerns(self, where):
        return self.where in (None, where)

    def overlap_s(self, start_s, end_s):
        until_s = end_s if self.end_s is None else min(self.end_s, end_s)
        return until_s - max(self.start_s, start_s)


@dataclasses.dataclass
class Request:
    kind: str
    number: str
    where: str
    start_s: float
    connected_s: float        # when its connection began, which may have been long before
    end_s: float = None
    outcome: str = None       # "answered", a key of EXCUSED_BY, or what should never be
    least_s: float = 0        # how long the answer takes by itself
    note: str = ""
    has_retried: str = ""      # a pool did, whose connection had been closed while idle: why

    @property
    def took_s(self):
        return self.end_s - self.start_s


def stalled_s(request, windows, lags):
    """How much of the time was taken by what we did, and by the machine."""
    overlaps = [w.overlap_s(request.start_s, request.end_s) for w in windows
                if w.what in SLOW and w.concerns(request.where)]
    lag_s = sum(lag for at, lag in lags if request.start_s <= at <= request.end_s + 1)
    return sum(o for o in overlaps if o > 0) + lag_s


def limit_s(request, windows, lags):
    """A client that got no answer in time t tries again after as long: hence twice."""
    return WAKE_TIMEOUT_S + MARGIN_S + request.least_s + 2 * stalled_s(request, windows, lags)


def judge(request, windows, lags=()):
    """(how it is accounted for, None or why it is a loss)."""
    if request.outcome == "answered":
        limit = limit_s(request, windows, lags)
        if request.took_s > limit:
            return "late", f"answered after {request.took_s:.1f} s, more than {limit:.1f} s"
        return f"answered{request.has_retried and ' again: '}{request.has_retried}", None
    if request.outcome in NO_LOSS:
        return request.outcome, None
    for window in windows:
        if window.what in EXCUSED_BY.get(request.outcome, ()) and \
                window.concerns(request.where) and \
                window.overlap_s(request.connected_s, request.end_s) >= 0:
            return f"{request.outcome}: {window.what}", None
    return request.outcome, f"{request.outcome} {request.note}".strip()


class Ledger:
    """All requests of one target, its faults, and what was lost."""

    def __init__(self, on_loss):
        self.on_loss = on_loss
        self.begun_s = time.monotonic()
        self.lock = threading.Lock()
        self.windows, self.lags = [], collections.deque(maxlen=10000)
        self.counts = collections.Counter()  # (kind, how)
        self.slowest_s = collections.Counter()  # kind → seconds beyond what the answer takes
        self.faults = collections.Counter()
        self.losses = []

    @staticmethod
    def begin(kind, number, where, **fields):
        now_s = time.monotonic()
        return Request(kind, number, where, now_s, now_s, **fields)

    def end(self, request, outcome, note=""):
        request.end_s = time.monotonic()
        request.outcome, request.note = outcome, note
        with self.lock:
            how, loss = judge(request, self.windows, self.lags)
            self.counts[request.kind, how] += 1
            if outcome == "answered":
                self.slowest_s[request.kind] = max(self.slowest_s[request.kind],
                                                   request.took_s - request.least_s)
            if loss:
                self.losses.append((request, loss))
        if loss:
            self.on_loss(request, loss)

    @contextlib.contextmanager
    def window(self, what, why, where=None, grace_s=0):
        """grace_s: it is still felt for so long afterwards."""
        window = Window(what, why, where, time.monotonic())
        with self.lock:
            self.windows.append(window)
        try:
            yield window
        finally:
            window.end_s = time.monotonic() + grace_s

    def forget_old(self, keep_s=300):
        """No connection is older."""
        limit = time.monotonic() - keep_s
        with self.lock:
            self.windows = [w for w in self.windows if w.end_s is None or w.end_s > limit]

    def disturbance(self, where, start_s, end_s):
        """What may have let a server close a connection that had not been idle for its client: its
        timers and its requests come late. None: nothing."""
        with self.lock:
            return next((w.what for w in self.windows if w.what in SLOW and w.concerns(where) and
                         w.overlap_s(start_s, end_s) >= 0), None)

    def count_fault(self, kind):
        with self.lock:
            self.faults[kind] += 1

    def note_lag(self, lag_s):
        with self.lock:
            self.lags.append((time.monotonic(), lag_s))

# SPDX-License-Identifier: MIT
"""When the kubelet does what: a real clock with a thread, and one that a test moves by hand."""
import heapq
import itertools
import threading
import time


class Clock:
    """now() is CLOCK_MONOTONIC in seconds, so that it compares with other processes'."""

    def __init__(self):
        self._due = []
        self._order = itertools.count()
        self._wake = threading.Condition()
        self._thread = None
        self._stopping = False

    def now(self):
        return time.monotonic()

    def call_at(self, when_s, function):
        with self._wake:
            heapq.heappush(self._due, (when_s, next(self._order), function))
            self._wake.notify()

    def start(self):
        self._thread = threading.Thread(target=self._run, name="kubelet", daemon=True)
        self._thread.start()

    def stop(self):
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread:
            self._thread.join()

    def _next(self):
        """Waits until something is due; None when stopping."""
        with self._wake:
            while not self._stopping:
                left = self._due[0][0] - self.now() if self._due else None
                if left is not None and left <= 0:
                    return heapq.heappop(self._due)[2]
                self._wake.wait(left)
        return None

    def _run(self):
        while function := self._next():
            function()


class ManualClock(Clock):
    """Stands still; advance() runs what falls due, in order, in the caller's thread."""

    def __init__(self):
        super().__init__()
        self._now = 0.0

    def now(self):
        return self._now

    def start(self):
        pass

    def advance(self, ms):
        until = self._now + ms / 1000
        while True:
            with self._wake:
                if not self._due or self._due[0][0] > until + 1e-9:
                    break
                self._now, _, function = heapq.heappop(self._due)
            function()
        self._now = until

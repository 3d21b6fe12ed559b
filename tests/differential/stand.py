# SPDX-License-Identifier: MIT
"""Two servers of a kind, the same but for doze: each in a network of its own, with clients."""
import collections
import concurrent.futures
import contextlib
import os
import re
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))

from harness import Failure, Test, wait_until
from scenario import Step
from servers import server as servers_server
from view import SILENCE, View

# The server's idle timeout, and how long doze waits: one shorter than the other, by far.
TIMEOUTS = {"short": (1, "2500ms"), "long": (6, "300ms"), "never": (60, "300ms")}
WAKE_TIMEOUT_S = 30
WATCHED = ("8080", "8081")
SLEEP_LIMIT_S = 60
START_LIMIT_S = 120
PAUSE_S = 0.05  # many wait at the same time
STATE = re.compile('msg="(asleep|awake)"')  # a line of the log of doze

# What the clients of a step saw, and by how much the gated ones saw it later.
Seen = collections.namedtuple("Seen", "step bare gated later_s")

GREETING = [Step(["a"], "connect", [], ""), Step(["a"], "login", [], ""),
            Step(["a"], "send", ["request"], ""), Step(["a"], "expect", ["answer"], "")]


class Side:
    """A server, bare or under doze, and its clients' network."""

    def __init__(self, test, server, timeouts, doze_flags):
        self.server = server
        self.net = test.net()
        timeout_s, self.idle = TIMEOUTS[timeouts]
        directory = test.stack.enter_context(tempfile.TemporaryDirectory(prefix="doze-test-"))
        os.chmod(directory, 0o755)
        if server.has_upstream:
            test.process("nsenter", f"--net=/run/netns/{self.net.client}", sys.executable,
                         os.path.join(servers_server.HERE, "wsgi_app.py"),
                         *servers_server.UPSTREAM_PORTS)
        command = server.command(directory, timeout_s)
        if doze_flags is None:
            self.doze = None
            self.process = test.process(*test.in_server(self.net, *command))
        else:
            self.doze = self.process = test.doze(
                self.net, f"--wake-timeout={WAKE_TIMEOUT_S}s", *doze_flags, command=command,
                ports=WATCHED, idle=self.idle)

    def greet(self):
        """Whether the server answers, as it does when it has started."""
        view = View(self.net, self.server)
        with contextlib.closing(view):
            return all(not re.search(f"refused|RST|FIN|{SILENCE}", saw)
                       for step in GREETING for saw in view.step(step))

    def is_asleep(self):
        last = next((line for line in reversed(self.doze.stderr.lines) if STATE.search(line)), "")
        return 'msg="asleep"' in last

    def wait_asleep(self):
        wait_until(self.is_asleep, "doze puts it to sleep", SLEEP_LIMIT_S, PAUSE_S)

    def wait_frozen(self):
        wait_until(lambda: self.is_asleep() and self.doze.cgroup.is_frozen(), "it is frozen",
                   SLEEP_LIMIT_S, PAUSE_S)


# No more of them start at once than are ready within the limit.
starting = threading.Semaphore(6)


class Stand:
    """Carries out scenarios, with both sides in step."""

    def __init__(self, number, server, timeouts, flags):
        self.test = Test(number)
        self.pool = concurrent.futures.ThreadPoolExecutor(2)
        try:
            with starting:
                self._start(server, timeouts, flags)
        except BaseException:
            self.close()
            raise

    def _start(self, server, timeouts, flags):
        self.bare = Side(self.test, server, timeouts, None)
        self.gated = Side(self.test, server, timeouts, flags)
        for side in (self.bare, self.gated):
            wait_until(side.greet, f"{server.name} answers", START_LIMIT_S, PAUSE_S)

    def close(self):
        self.pool.shutdown()
        self.test.stack.close()

    def run(self, scenario, trace):
        """The steps; trace gets a Seen for each, up to the one that failed."""
        views = [View(side.net, side.server) for side in (self.bare, self.gated)]
        try:
            for step in scenario.steps:
                if step.clients:
                    (bare, bare_s), (gated, gated_s) = self.pool.map(
                        lambda view, step=step: self._timed(view, step), views)
                    trace.append(Seen(step.text, bare, gated, gated_s - bare_s))
                else:
                    trace.append(Seen(step.text, [], [], 0))
                    self._pass_time(step)
        finally:
            for view in views:
                view.close()

    @staticmethod
    def _timed(view, step):
        start_s = time.monotonic()
        return view.step(step), time.monotonic() - start_s

    def _pass_time(self, step):
        if step.verb == "wait":
            time.sleep(step.words)
        else:
            {"asleep": self.gated.wait_asleep, "frozen": self.gated.wait_frozen}[step.verb]()

# SPDX-License-Identifier: MIT
"""`doze run` as a target: a process in a namespace of its own, which doze starts, or takes up when
an earlier doze has left it."""
import os
import signal
import sys
import threading

import answerer
from harness import DOZE, Doze, Test, restless, take_back
from ledger import APP_DOWN, STALL, WAKE_TIMEOUT_S

HERE = os.path.dirname(os.path.abspath(__file__))
IDLE = "100ms"
PORTS = (f"{answerer.HTTP_PORT}", f"{answerer.PUSH_PORT}", f"{answerer.UDP_PORT}/udp")
KEPT_DOZES = 6


def is_running(pid):
    """A process that nobody has waited for yet has ended all the same."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


class RunTarget:
    name = "run"

    def __init__(self):
        self.test = Test(1)
        self.net = self.test.net()
        self.path = self.net.path()
        self.lock = threading.RLock()  # held by whoever kills or starts
        self.doze = self.app_pid = None
        self.has_adopted = False
        self.dozes = []
        self.ledger = None

    def open(self, ledger):
        self.ledger = ledger
        self.ensure()
        self.doze.wait_asleep()

    # For clients

    def socket(self, kind):
        return self.path.socket(kind)

    def address(self):
        return self.path.server

    # Processes

    def _launch(self, *arguments):
        ports = [f"--port={port}" for port in PORTS]
        command = self.test.in_server(self.net, DOZE, "run", *ports, *restless(IDLE),
                                      f"--wake-timeout={WAKE_TIMEOUT_S}s", "--log-level=debug",
                                      *arguments)
        self.doze = Doze(command)
        self.dozes.append(self.doze)
        self.test.processes.append(self.doze)

    def what_ends_with_doze(self):
        """A signal to end is passed on to a process that doze has started."""
        return STALL if self.has_adopted else APP_DOWN

    def _start_both(self):
        self.has_adopted = False
        with self.ledger.window(APP_DOWN, "started anew"):
            self._launch("--", sys.executable, "-S", os.path.join(HERE, "answerer.py"))
            self.doze.stdout.wait_for("serving")
            self.app_pid = int(self.doze.wait_log('msg="watching"')["pid"])

    def _adopt(self):
        self.has_adopted = True
        self._launch(f"--pid={self.app_pid}")
        self.doze.wait_log('msg="watching"')

    def ensure(self):
        """A doze, and an application."""
        with self.lock:
            if self.doze and self.doze.popen.poll() is None:
                return
            if self.app_pid and is_running(self.app_pid):
                self._adopt()
            else:
                self._start_both()
            self._forget_old()

    def _forget_old(self):
        """In hours there are thousands."""
        for old in self.dozes[:-KEPT_DOZES]:
            if old.popen.poll() is not None and not old.cgroup.left():
                self.dozes.remove(old)
                self.test.processes.remove(old)

    def signal_doze(self, number):
        self.doze.signal(number)

    def wait_doze(self):
        self.doze.wait()

    def logs(self):
        """The lines of all dozes that are remembered, the oldest first."""
        return [line for doze in self.dozes for line in doze.stderr.lines]

    # The end

    def close(self):
        """Ends all; what was left behind."""
        for doze in self.dozes:
            doze.end()
        if self.app_pid and is_running(self.app_pid):
            os.kill(self.app_pid, signal.SIGKILL)
        self.test.sweep(self.net)
        self.test.stack.close()
        return take_back(self.test)

# SPDX-License-Identifier: MIT
"""`doze run` as a target: a process in a namespace of its own, which doze starts, or takes up when
an earlier doze has left it."""
import contextlib
import os
import signal
import sys
import threading

import answerer
import clients
import netns
import tmpfs
from cgroups import Cgroup
from harness import (DOZE, Doze, Failure, Test, kill_with_watchdog, restless, take_back,
                     watchdog_of)
from faults_resources import clock_environment
from ledger import APP_DOWN, STALL, WAKE_TIMEOUT_S

HERE = os.path.dirname(os.path.abspath(__file__))
IDLE = "100ms"
SERVER_DIRECTORY = "/run/doze"
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
        self.net.add_veth("eth1")
        self.places = [self.place(link) for link in ("eth0", "eth1")]
        tmpfs.mount(SERVER_DIRECTORY)
        self.clock_path = os.path.join(SERVER_DIRECTORY, "clock")
        self.lock = threading.RLock()  # held by whoever kills or starts
        self.doze = self.app_pid = None
        self.has_adopted = False
        self.dozes = []
        self.slept = 0  # those that are forgotten
        self.ledger = None

    def place(self, link):
        addresses = netns.ADDRESSES[link, 4]
        return clients.Place(link, addresses.server, self.net.server, addresses.client,
                             self.net.client, (self.net.client, link), link, link)

    def open(self, ledger):
        self.ledger = ledger
        self.ensure()
        self.wait_asleep()

    def wait_asleep(self):
        self.doze.wait_asleep()

    # Processes

    def _launch(self, *arguments):
        ports = [f"--port={port}" for port in PORTS]
        command = self.test.in_server(self.net, DOZE, "run", *ports, *restless(IDLE),
                                      f"--wake-timeout={WAKE_TIMEOUT_S}s", "--log-level=debug",
                                      *arguments)
        self.doze = Doze(command, clock_environment(self.clock_path))
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
                self.slept += old.count("asleep")
                self.dozes.remove(old)
                self.test.processes.remove(old)

    def keep(self):
        pass  # it does not leave by itself

    def choose_app(self, _):
        return self

    # As an application, which doze ends with

    where = None

    def signal(self, number):
        os.kill(self.app_pid, number)

    def wait_end(self):
        self.doze.wait()

    def restart(self):
        self.ensure()

    # doze

    def kill_watchdog(self):
        """doze starts another."""
        self.signal_watchdog(signal.SIGKILL)

    def signal_watchdog(self, number):
        """Between two of them there is none for a moment."""
        with contextlib.suppress(Failure, OSError):
            os.kill(watchdog_of(self.doze), number)

    def kill_all_of_doze(self):
        """Between two watchdogs there is none for a moment."""
        try:
            kill_with_watchdog(self.doze)
        except (Failure, OSError):
            self.doze.signal(signal.SIGKILL)
            self.doze.wait()

    def signal_doze(self, number):
        self.doze.signal(number)

    def wait_daemon_end(self):
        self.doze.wait()

    def count_sleeps(self):
        return self.slept + sum(doze.count("asleep") for doze in self.dozes)

    def logs(self):
        """The lines of all dozes that are remembered, the oldest first."""
        return [line for doze in self.dozes for line in doze.stderr.lines]

    # What else may go wrong

    def tag(self):
        return netns.PREFIX.removesuffix("-")

    def state_directory(self):
        return SERVER_DIRECTORY

    def is_daemon(self, pid):
        return is_running(pid)

    def restore_routes(self, place):
        pass  # those of the addresses come back by themselves

    def remove_link(self):
        netns.ip("-n", self.net.server, "link", "delete", "eth1")

    def add_link(self):
        self.net.add_veth("eth1")

    # The end

    def daemon_pid(self):
        return self.doze.pid

    def namespaces(self):
        return [self.net.server]

    def settle(self):
        """Tells doze to end, as a user does; what is wrong then."""
        status = self.doze.stop()
        if not self.has_adopted:
            return []
        cgroup = self._cgroup_of_app()
        wrong = [] if status == 0 else [f"doze ends with {status}"]
        wrong += [] if cgroup.is_thawed() else ["it is frozen"]
        return wrong + ([] if cgroup.quota_us() == -1 else [f"its quota is {cgroup.quota_us()}"])

    def _cgroup_of_app(self):
        with open(f"/proc/{self.app_pid}/cgroup", encoding="ascii") as file:
            [path] = [line.rstrip().split(":", 2)[2] for line in file if ":freezer:" in line
                      or line.startswith("0::/doze")]
        return Cgroup(path.removeprefix("/"))

    def close(self):
        """Ends all; what was left behind."""
        for doze in self.dozes:
            doze.end()
        if self.app_pid and is_running(self.app_pid):
            os.kill(self.app_pid, signal.SIGKILL)
        self.test.sweep(self.net)
        self.test.stack.close()
        tmpfs.unmount(SERVER_DIRECTORY)
        return take_back(self.test)

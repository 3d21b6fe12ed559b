# SPDX-License-Identifier: MIT
"""What `doze sidecar` and `doze node` have in common as targets: a supervisor with a daemon, and an
API server."""
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading

import answerer
import tmpfs
from ledger import STALL
from node import LONG_MS
from pod import Failed, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
UP_S = 90  # a daemon that has died often is started after 10 s, and the API server may be away
PORTS = (("http", answerer.HTTP_PORT, "TCP"), ("push", answerer.PUSH_PORT, "TCP"),
         ("udp", answerer.UDP_PORT, "UDP"))
KEPT_DOZES = 6


def start_answerer(namespace, procs):
    """In these cgroups; until it serves."""
    # pylint: disable=consider-using-with
    child = subprocess.Popen(
        ["nsenter", f"--net=/run/netns/{namespace}", sys.executable, "-S",
         os.path.join(HERE, "answerer.py"), *procs],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    child.stdout.readline()
    child.stdout.close()
    return child


def sleeps_of(doze):
    return len(doze.lines.matching('msg="asleep"'))


class App:
    """One container of the target. begin(): starts its process anew, and tells the kubelet."""

    def __init__(self, where, begin):
        self.where, self.begin = where, begin
        self.child = None

    def signal(self, number):
        self.child.send_signal(number)

    def wait_end(self):
        self.child.wait(LONG_MS / 1000 * 6)

    def restart(self):
        self.begin(self)

    def close(self):
        if self.child and self.child.poll() is None:
            self.child.kill()
            self.child.wait()


class PodDozes:
    """host: the Pod or Node of tests/e2e, which starts doze. What both do not have in common:
    launch(), wait_asleep(), state_directory(), namespaces(), settle(), restore_routes()."""

    def __init__(self, host):
        self.host = host
        self.lock = threading.RLock()  # held by whoever kills or starts
        self.socket_path = os.path.join(host.directory, "doze.sock")
        self.places, self.apps = [], []
        self.ledger = None
        self.slept = 0  # those that are forgotten
        self.answer = b""  # the last one of doze's
        tmpfs.mount(self.state_directory())
        self.clock_path = os.path.join(host.directory, "clock")

    @property
    def doze(self):
        return self.host.doze

    def is_up(self):
        """It answers, and says that it is ready."""
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(5)
                sock.connect(self.socket_path)
                sock.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
                self.answer = sock.recv(4096)
        except OSError as error:
            self.answer = repr(error).encode()
        return b" 200 " in self.answer

    def ensure(self):
        """A supervisor, and a daemon that has begun its work."""
        with self.lock:
            try:
                wait_until(self._is_kept_up, "doze is ready", UP_S)
            except Failed as late:
                raise Failed(f"{late}; it says {self.answer!r}") from None

    def _is_kept_up(self):
        """As a kubelet does it: what has ended is started anew."""
        if not (self.doze and self.doze.is_alive):
            self.launch()
            self.slept += sum(map(sleeps_of, self.host.old_doze[:-KEPT_DOZES]))
            del self.host.old_doze[:-KEPT_DOZES]
        return self.is_up()

    def keep(self):
        """One that has left by itself, since it was told that its pod is gone, is started anew."""
        if not self.lock.acquire(blocking=False):
            return
        try:
            if not self.doze.is_alive:
                with self.ledger.window(STALL, "doze has left"):
                    self.ensure()
        finally:
            self.lock.release()

    def signal_doze(self, number):
        """The daemon; there may be none at this moment."""
        with contextlib.suppress(IndexError, OSError):
            self.doze.signal_daemon(number)

    def wait_daemon_end(self):
        wait_until(lambda: not self.is_up(), "the daemon has ended")

    def kill_all_of_doze(self):
        self.doze.kill()

    def kill_watchdog(self):
        """The daemon is told to end when its supervisor has."""
        self.doze.signal(signal.SIGKILL)
        self.doze.wait()
        wait_until(lambda: not self.is_up(), "the daemon has ended", UP_S)

    def signal_watchdog(self, number):
        self.doze.signal(number)

    @staticmethod
    def what_ends_with_doze():
        return STALL

    def choose_app(self, chance):
        return self.apps[int(chance * len(self.apps))]

    def count_sleeps(self):
        return self.slept + sum(map(sleeps_of, [*self.host.old_doze, self.doze]))

    def logs(self):
        """The lines of the dozes that are remembered, the oldest first."""
        return [line for doze in [*self.host.old_doze, self.doze] for line in doze.lines.all()]

    def open(self, ledger):
        self.ledger = ledger
        self.ensure()
        self.wait_asleep()

    def daemon_pid(self):
        self.ensure()
        return wait_until(self._daemon_pid, "a daemon", UP_S)

    def _daemon_pid(self):
        with contextlib.suppress(IndexError, OSError):
            return self.doze.daemon_pid
        return None

    def is_daemon(self, pid):
        return self._daemon_pid() == pid

    def tag(self):
        return self.host.tag

    def stop(self):
        status = self.host.stop_doze()
        return [] if status == 0 else [f"doze ends with {status}"]

    def close(self):
        for app in self.apps:
            app.close()
        self.kill_all_of_doze()
        tmpfs.unmount(self.state_directory())
        self.host.close()
        return []

# SPDX-License-Identifier: MIT
"""doze runs out of descriptors, of room for its state and of memory, and the clock jumps."""
import contextlib
import os
import resource
import struct
import time

from faults_process import pause
from harness import starve_of_descriptors, wait_until
from ledger import NOTE, STALL

HERE = os.path.dirname(os.path.abspath(__file__))
CLOCK_JUMP = os.path.join(HERE, "..", "..", "build", "tests", "chaos", "clock_jump.so")
MEMORY_ROOTS = ("/sys/fs/cgroup/memory", "/sys/fs/cgroup")
LEFT_BYTES = 16 * 4096  # until the out-of-memory killer strikes
JUMPS_S = (-86400, -3600, -1, 1, 3600, 86400)


def descriptors(target, step):
    """It keeps what it has, and gets no more than a few."""
    with target.ledger.window(NOTE, step.kind), contextlib.suppress(ProcessLookupError):
        with target.lock:  # one that has begun its work: no other can do without
            pid = target.daemon_pid()
            limits = starve_of_descriptors(pid, int(step.chance * 4))
        pause(step)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


def disk_full(target, step):
    path = os.path.join(target.state_directory(), "filler")
    with target.ledger.window(NOTE, step.kind):
        with contextlib.suppress(OSError), open(path, "wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
        pause(step)
        os.unlink(path)


class MemoryCgroup:
    """cgroup v1 or v2, for one process."""

    def __init__(self, tag):
        root = next(root for root in MEMORY_ROOTS if os.path.exists(f"{root}/cgroup.procs"))
        self.directory = f"{root}/{tag}-memory"
        self.root = root
        os.mkdir(self.directory)

    def limit(self, length):
        for name in ("memory.limit_in_bytes", "memory.max"):
            if os.path.exists(f"{self.directory}/{name}"):
                self._write(f"{self.directory}/{name}", length)

    def take(self, pid):
        self._write(f"{self.directory}/cgroup.procs", pid)

    def remove(self):
        with open(f"{self.directory}/cgroup.procs", encoding="ascii") as file:
            for pid in file.read().split():
                with contextlib.suppress(OSError):
                    self._write(f"{self.root}/cgroup.procs", pid)
        wait_until(self._is_removed, f"{self.directory} can be removed")

    def _is_removed(self):
        try:
            os.rmdir(self.directory)
        except OSError:  # who was killed is not gone yet
            return False
        return True

    @staticmethod
    def _write(path, text):
        with open(path, "w", encoding="ascii") as file:
            file.write(str(text))


def memory(target, step):
    """Whether the killer strikes is doze's: it may need none for a while."""
    with target.lock, target.ledger.window(STALL, step.kind):
        pid = target.daemon_pid()
        cgroup = MemoryCgroup(target.tag())
        cgroup.limit(LEFT_BYTES)
        cgroup.take(pid)
        until_s = time.monotonic() + step.ms / 1000
        while time.monotonic() < until_s and target.is_daemon(pid):
            time.sleep(0.01)
        if not target.is_daemon(pid):
            target.ledger.count_fault("memory: the killer struck")
        cgroup.limit(-1 if "limit" in os.listdir(cgroup.directory) else 1 << 40)
        cgroup.remove()
        target.ensure()


def clock_jump(target, step):
    with target.ledger.window(NOTE, step.kind):
        write_clock(target.clock_path, JUMPS_S[int(step.chance * len(JUMPS_S))])
        pause(step)
        write_clock(target.clock_path, 0)


def clock_environment(path):
    """What doze is started with; path: of a file that says how much the clock is off."""
    write_clock(path, 0)
    return {"LD_PRELOAD": CLOCK_JUMP, "CHAOS_CLOCK": path}


def write_clock(path, offset_s):
    """What clock_jump.c reads."""
    with open(path, "r+b" if os.path.exists(path) else "wb", buffering=0) as file:
        file.write(struct.pack("=q", offset_s))


KINDS = {kind.__name__: kind for kind in (descriptors, disk_full, memory, clock_jump)}

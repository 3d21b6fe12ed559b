# SPDX-License-Identifier: MIT
"""A cgroup as the tests see it, of v1 (a directory in each hierarchy) or of v2 (one)."""
import contextlib
import os

ROOT = "/sys/fs/cgroup"
V1_CONTROLLERS = ("freezer", "cpu", "cpuacct")


def is_v1():
    return os.path.isdir(f"{ROOT}/freezer")


def v2_root():
    """Where v2 is: alone, or beside v1 (systemd's hybrid layout)."""
    return next((root for root in (ROOT, f"{ROOT}/unified")
                 if os.path.exists(f"{root}/cgroup.controllers")), None)


class Cgroup:
    def __init__(self, name, version=None):
        self.version = version or (1 if is_v1() else 2)
        roots = [f"{ROOT}/{c}" for c in V1_CONTROLLERS] if self.version == 1 else [v2_root()]
        self.directories = [f"{root}/{name}" for root in roots]

    def _path(self, controller, file):
        index = V1_CONTROLLERS.index(controller) if self.version == 1 else 0
        return f"{self.directories[index]}/{file}"

    def _read(self, controller, file):
        with open(self._path(controller, file)) as text:
            return text.read()

    def _write(self, controller, file, text):
        with open(self._path(controller, file), "w") as out:
            out.write(text)

    def make(self):
        if self.version == 2:
            # As systemd does. Without the controller there is no quota, and a test will say so.
            with contextlib.suppress(OSError), \
                    open(f"{v2_root()}/cgroup.subtree_control", "w") as out:
                out.write("+cpu")
        for directory in self.directories:
            os.makedirs(directory)

    def left(self):
        """The directories that still exist."""
        return [directory for directory in self.directories if os.path.isdir(directory)]

    def pids(self):
        return [int(pid) for pid in self._read("freezer", "cgroup.procs").split()]

    def is_frozen(self):
        if self.version == 1:
            return self._read("freezer", "freezer.state") == "FROZEN\n"
        return "frozen 1" in self._read("freezer", "cgroup.events")

    def is_thawed(self):
        if self.version == 1:
            return self._read("freezer", "freezer.state") == "THAWED\n"
        return "frozen 0" in self._read("freezer", "cgroup.events")

    def thaw(self):
        if self.version == 1:
            self._write("freezer", "freezer.state", "THAWED")
        else:
            self._write("freezer", "cgroup.freeze", "0")

    def usage_us(self):
        if self.version == 1:
            return int(self._read("cpuacct", "cpuacct.usage")) // 1000
        return int(dict(line.split() for line in
                        self._read("cpuacct", "cpu.stat").splitlines())["usage_usec"])

    def quota_us(self):
        """Per 100 ms; -1: no limit."""
        if self.version == 1:
            return int(self._read("cpu", "cpu.cfs_quota_us"))
        quota = self._read("cpu", "cpu.max").split()[0]
        return -1 if quota == "max" else int(quota)

    def set_quota_us(self, quota_us):
        if self.version == 1:
            self._write("cpu", "cpu.cfs_quota_us", str(quota_us))
        else:
            self._write("cpu", "cpu.max", f"{quota_us} 100000")

    def _burst_file(self):
        return "cpu.cfs_burst_us" if self.version == 1 else "cpu.max.burst"

    def has_burst(self):
        return os.path.exists(self._path("cpu", self._burst_file()))

    def burst_us(self):
        return int(self._read("cpu", self._burst_file()))

    def set_burst_us(self, burst_us):
        self._write("cpu", self._burst_file(), str(burst_us))

    def entering(self):
        """Shell commands that move the shell in."""
        return "".join(f"echo 0 >{directory}/cgroup.procs; " for directory in self.directories)

    def move_to_root(self, pid):
        for directory in self.directories:
            with open(f"{os.path.dirname(directory)}/cgroup.procs", "w") as out:
                out.write(str(pid))

    def remove(self):
        for directory in self.left():
            os.rmdir(directory)

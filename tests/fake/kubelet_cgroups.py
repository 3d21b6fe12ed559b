# SPDX-License-Identifier: MIT
"""Writes a container's CPU size into its cgroup, v1 or v2, with the kubelet's numbers."""
import os

import quantity

PERIOD_US = 100000
LEAST_QUOTA_US = 1000
LEAST_SHARES, MOST_SHARES = 2, 262144


def quota_us(limit):
    """None for no limit. A zero limit is 'not set': what was there before stays."""
    thousandths = quantity.milli(limit) if limit is not None else 0
    if thousandths == 0:
        return None
    return max(thousandths * PERIOD_US // 1000, LEAST_QUOTA_US)


def shares(request):
    thousandths = quantity.milli(request) if request is not None else 0
    return min(max(thousandths * 1024 // 1000, LEAST_SHARES), MOST_SHARES)


def weight(request):
    return 1 + (shares(request) - 2) * 9999 // 262142


class Cgroup:
    """One container's directory. version: 1 (below the cpu controller), 2, or None to look."""

    def __init__(self, path, version=None):
        self.path = path
        self.version = version or (2 if os.path.exists(os.path.join(path, "cpu.max")) else 1)

    def apply(self, resources):
        request, limit = resources["requests"].get("cpu"), resources["limits"].get("cpu")
        quota = quota_us(limit)
        if self.version == 2:
            self._write("cpu.weight", weight(request))
            if quota is not None:
                self._write("cpu.max", f"{quota} {PERIOD_US}")
            return
        self._write("cpu.shares", shares(request))
        if quota is not None:
            self._write("cpu.cfs_period_us", PERIOD_US)
            self._write("cpu.cfs_quota_us", quota)

    def is_above(self, resources):
        """Whether these are more CPU than it has now."""
        quota, now = quota_us(resources["limits"].get("cpu")), self.quota()
        return quota is None or (now != -1 and quota > now)

    def quota(self):
        """In microseconds per 100 ms; -1 for none."""
        if self.version == 2:
            text = self._read("cpu.max").split()[0]
            return -1 if text == "max" else int(text)
        return int(self._read("cpu.cfs_quota_us"))

    def _write(self, name, value):
        with open(os.path.join(self.path, name), "w", encoding="ascii") as file:
            file.write(str(value))

    def _read(self, name):
        with open(os.path.join(self.path, name), encoding="ascii") as file:
            return file.read()

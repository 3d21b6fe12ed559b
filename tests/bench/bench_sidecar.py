#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How long a wake takes through the API server, and what doze sidecar costs while nothing happens.

usage: python3 tests/bench/bench_sidecar.py [WAKES]

The API server is tests/fake/, whose kubelet writes the cgroup 50 ms after a resize. The baseline of a
wake is what no sidecar can do without: the time from its patch until the cgroup has changed, and the
answer of an application that is awake.
"""
import os
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
# pylint: disable=wrong-import-position
import pod as pods_for_tests  # noqa: E402
import pods  # noqa: E402
from figures import verdict  # noqa: E402
from pod import Pod  # noqa: E402

WAKES = 30
WAKES_WITHOUT_REPLAY = 3
QUIET_S = 10
AIM_RATIO = 1.1
AIM_RESIDENT_KB = 6 * 1024
AIM_WAKEUPS = 2.0


def first_byte_ms(pod):
    answer = pod.request()
    if not answer.is_ok:
        raise SystemExit(f"bench: a request was lost: {answer}")
    return answer.elapsed_ms


def awake_ms(pod):
    return statistics.median(first_byte_ms(pod) for _ in range(20))


def wake(pod):
    """First byte, and from the patch until the cgroup had changed; both in ms."""
    pod.wait_asleep()
    seen = len(pod.server.requests.resizes("up"))
    took_ms = first_byte_ms(pod)
    pod.until_settled()
    up = pod.server.requests.resizes("up")[seen]
    pod.server.wait(lambda: up.actuated_s)
    return took_ms, (up.actuated_s - up.time_s) * 1000


def bench_wakes(name, manifest, wakes):
    with Pod(manifest) as pod:
        baseline_ms = awake_ms(pod)
        pod.start_doze()
        results = [wake(pod) for _ in range(wakes)]
        pod.stop_doze()
    took_ms = statistics.median(took for took, _ in results)
    floor_ms = statistics.median(actuated for _, actuated in results) + baseline_ms
    worst_ms = max(took for took, _ in results)
    print(f"first byte from asleep, {name}: median {took_ms:.1f} ms, worst {worst_ms:.1f} ms of "
          f"{wakes}; patch until cgroup + awake {floor_ms:.1f} ms; ratio "
          f"{took_ms / floor_ms:.2f} (aim <= {AIM_RATIO}: "
          f"{verdict(took_ms <= AIM_RATIO * floor_ms)})", flush=True)


def bench_without_replay():
    with Pod() as pod:
        pod.start_doze("--replay=off")
        results = []
        for _ in range(WAKES_WITHOUT_REPLAY):
            results.append(wake(pod)[0])
    print(f"first byte from asleep, replay off: median {statistics.median(results):.0f} ms of "
          f"{len(results)}", flush=True)


def read_status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as text:
        return dict(line.rstrip().split(":", 1) for line in text)


def switches(pid):
    return int(read_status(pid)["voluntary_ctxt_switches"])


def bench_quiet():
    with Pod() as pod:
        pod.start_doze()
        pod.wait_asleep()
        before = switches(pod.doze.daemon_pid)
        # Not to be right, but to have something to count.
        pods_for_tests.time.sleep(QUIET_S)
        per_s = (switches(pod.doze.daemon_pid) - before) / QUIET_S
        status = read_status(pod.doze.daemon_pid)
    resident_kb, private_kb = (int(status[name].split()[0]) for name in ("VmRSS", "RssAnon"))
    print(f"asleep for {QUIET_S} s: {per_s:.1f} wake-ups/s (aim <= {AIM_WAKEUPS:.0f}: "
          f"{verdict(per_s <= AIM_WAKEUPS)}); resident {resident_kb} kB, of which {private_kb} kB "
          f"private, the rest shared libraries and maps (aim <= {AIM_RESIDENT_KB} kB: "
          f"{verdict(resident_kb <= AIM_RESIDENT_KB)})", flush=True)


def main():
    wakes = int(sys.argv[1]) if len(sys.argv) > 1 else WAKES
    bench_wakes("Burstable", pods.burstable("web"), wakes)
    bench_wakes("Guaranteed", pods.guaranteed("web"), wakes)
    bench_without_replay()
    bench_quiet()


if __name__ == "__main__":
    try:
        main()
    finally:
        pods_for_tests.close_all()

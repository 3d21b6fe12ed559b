#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a probe costs while its target sleeps: the same probe, answered by the application
when it is awake, and by doze when it is not, in turn; and the CPU that doze uses for one.

usage: bench_probes.py [ROUNDS]
"""
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
# pylint: disable=wrong-import-position
import harness  # noqa: E402
from figures import shown  # noqa: E402
from probers import GrpcProbe, HttpProbe, HttpsProbe, TcpProbe  # noqa: E402

ROUNDS = 500


def cpu_s(pid):
    """User and system time, to a nanosecond where the kernel keeps it so."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0]) / 1e9


def measure(probe, rounds):
    took_ms = []
    for _ in range(rounds):
        start_s = time.perf_counter()
        probe()
        took_ms.append((time.perf_counter() - start_s) * 1000)
    return took_ms


def bench(t, rounds):
    net = t.net()
    doze = t.doze(net, "--probe-source=192.0.2.1", "--probe-port=8081", "--probe-https=8082",
                  command=("http:8080", "http:8081", "http:8082"), idle="500ms")
    doze.wait_asleep()
    path, pid = net.path(), doze.pid  # nsenter has become doze
    for probe in (HttpProbe(path, 8080, "/"), TcpProbe(path, 8080), GrpcProbe(path, 8081),
                  HttpsProbe(path, 8082)):
        before_s = cpu_s(pid)
        asleep_ms = measure(probe, rounds)
        used_us = (cpu_s(pid) - before_s) / rounds * 1e6
        print(f"{probe.kind} probe answered while asleep: {shown(asleep_ms)} of {rounds}; "
              f"{used_us:.0f} us of doze's CPU each", flush=True)
    if doze.count("awake"):
        raise SystemExit("bench: a probe woke the target")


def bench_awake(t, rounds):
    net = t.net()
    doze = t.doze(net, "--probe-source=192.0.2.1", idle="1h")
    doze.stdout.wait_for("serving")
    awake_ms = measure(HttpProbe(net.path(), 8080, "/"), rounds)
    print(f"http probe answered by the application, awake: {shown(awake_ms)} of {rounds}",
          flush=True)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    t = harness.Test(1)
    try:
        with t.stack:
            bench_awake(t, rounds)
            bench(t, rounds)
    finally:
        harness.take_back(t)


if __name__ == "__main__":
    main()

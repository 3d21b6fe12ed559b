#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures what doze costs: to a client that wakes a sleeping server, with and without the filter of
system calls, to bulk traffic and requests through an open gate, and to a single packet.

    python3 tests/bench/bench.py [--quick]          (make bench builds what it needs)

Each figure stands beside a baseline of the same run, taken in turn with it, so that a slow or busy
machine moves both. Client and server live in network namespaces of their own, joined by a veth
pair. A figure that is short of its aim is no failure; one that could not be had is (exit status 1).

Runs of their own, without doze and under it, differ in more than the gate: under `doze run` the
server has a cgroup, and so another share of a busy CPU. Where that matters, the figures of a gate
that is switched on and off in one run are the ones to trust.
"""
import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

from figures import median_interval, quantile, verdict
from rig import (CLIENT, DOZE, HTTP_PORT, LIMIT_S, SERVER_ADDRESS, TOP, Client, Doze, Network, end,
                 inside, progress)

SERVER, BENCH_GATE, GATE_SWITCH = (
    os.path.join(TOP, "build", "tests", "bench", name)
    for name in ("server", "bench_gate", "gate_switch"))
IPERF_PORT = 5201

IDLE_AFTER = "100ms"
# Before each try, asleep or awake, so that the caches and the CPU's sleep are alike for both.
PAUSE_S = 0.02
# TCP sends a SYN again after 1 s: a wake that took nearly as long was not a replayed one.
RESENT_MS = 900

# Between two switches of the gate in running traffic.
SLICE_S = 0.1

WAKE_AIM_MS = 3
FILTER_AIM_MS, FILTER_START_AIM_MS = 0.1, 10
RATIO_AIM = 0.99

FULL = {
    "wakes": (("freeze", 100, ()),
              ("throttle", 20, ("--asleep=throttle",)),
              ("freeze, replay off", 10, ("--replay=off",))),
    "filtered": 50, "starts": 10,
    "pairs": 5, "pair_s": 3, "hooks": (("tcx", 25), ("tc", 10), ("xdp", 10)), "gate_rounds": 5,
}
QUICK = {
    "wakes": (("freeze", 30, ()),
              ("throttle", 5, ("--asleep=throttle",)),
              ("freeze, replay off", 2, ("--replay=off",))),
    "filtered": 10, "starts": 3,
    "pairs": 2, "pair_s": 1, "hooks": (("tcx", 6), ("tc", 3), ("xdp", 3)), "gate_rounds": 1,
}


class Unmeasured(Exception):
    """A figure that this machine cannot give, and why."""


def on_cpu(number):
    """Client and server each stay on a CPU: where the scheduler happens to put them changes the
    throughput by half, and hides everything else. Empty where there is one CPU only."""
    cpus = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cpus[number])] if len(cpus) > 1 else []


class Bare:
    """A server with nothing in front of it."""

    def __init__(self, network, command):
        self.process = subprocess.Popen(inside(network.server, *command),
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process)


def is_listening(pid, port):
    """In the network namespace of pid."""
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/{pid}/net/{name}") as table:
                if any(re.match(rf"\s*\d+: [0-9A-F]+:{port:04X} \S+ 0A ", row) for row in table):
                    return True
        except FileNotFoundError:
            pass
    return False


def wait_until_listening(server, port):
    until = time.monotonic() + LIMIT_S
    while not is_listening(server.process.pid, port):
        if server.process.poll() is not None or time.monotonic() > until:
            raise Unmeasured("the server does not start:\n" +
                             "\n".join(getattr(server, "lines", [])))
        time.sleep(0.01)


# --- the table ---

class Table:
    HEAD = ("", "baseline", "with doze", "difference", "aim", "")

    def __init__(self):
        self.rows = []
        self.has_gaps = False

    def section(self, title):
        self.rows.append((title,))

    def row(self, *cells):
        progress("")
        self.rows.append(cells)

    def note(self, text):
        self.row("  " + text)

    def gap(self, name, why):
        self.note(f"{name}: not measured: {why}")
        self.has_gaps = True

    def latency(self, name, awake_ms, asleep_ms, aim_ms=None):
        more_ms = asleep_ms - awake_ms
        self.row(name, f"{awake_ms:.2f} ms", f"{asleep_ms:.2f} ms", f"{more_ms:+.2f} ms",
                 f"<= {aim_ms} ms" if aim_ms else "", verdict(more_ms <= aim_ms) if aim_ms else "")

    def ratio(self, name, unit, bare, gated, aim):
        """The median over the pairs: the ratio of the medians moves as well when the machine slows
        down meanwhile, by 2 % even between two series of bare slices."""
        ratios = [with_gate / without for with_gate, without in zip(gated, bare)]
        ratio = statistics.median(ratios)
        self.row(name, f"{statistics.median(bare):.5g} {unit}",
                 f"{statistics.median(gated):.5g} {unit}", f"x {ratio:.3f}", f">= {aim}",
                 verdict(ratio >= aim))
        low, high = median_interval(ratios)
        of_medians = statistics.median(gated) / statistics.median(bare)
        self.note(f"{len(ratios)} pairs, "
                  + (f"95 % sure between x {low:.3f} and x {high:.3f}" if low is not None else
                     f"from x {min(ratios):.3f} to x {max(ratios):.3f}")
                  + f"; ratio of the medians x {of_medians:.3f}")

    def print(self):
        full = [row for row in self.rows if len(row) == len(self.HEAD)]
        widths = [max(len(row[column]) for row in [self.HEAD, *full])
                  for column in range(len(self.HEAD))]
        for row in [self.HEAD, *self.rows]:
            if len(row) == 1:
                print(row[0])
                continue
            cells = [row[0].ljust(widths[0])]
            cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
            print("  ".join(cells).rstrip())


# --- wake latency ---

class Wakes:
    """One kind of sleep: a try asleep, a try awake, and again."""

    def __init__(self):
        self.asleep_ms, self.awake_ms, self.phases = [], [], []
        self.failed = 0

    def try_asleep(self, doze, client, falls):
        doze.wait_for("asleep", falls)
        time.sleep(PAUSE_S)
        rises = doze.count("awake")
        took_ms = client.try_once()
        if took_ms is None:
            self.failed += 1
            return
        doze.wait_for("awake", rises)
        self.asleep_ms.append(took_ms)
        self.phases.append(doze.fields("awake")[-1])

    def try_awake(self, doze, client):
        """Where this machine was so slow that the server fell asleep again, it does not count."""
        falls = doze.count("asleep")
        time.sleep(PAUSE_S)
        took_ms = client.try_once()
        if took_ms is None:
            self.failed += 1
        elif doze.count("asleep") == falls:
            self.awake_ms.append(took_ms)

    def measure(self, network, name, count, flags):
        with Doze(network, HTTP_PORT, [SERVER, str(HTTP_PORT)], "--idle-after", IDLE_AFTER,
                  "--min-awake=0s", f"--idle-max={IDLE_AFTER}", *flags) as doze, Client(network.client) as client:
            falls = 0
            for number in range(count):
                progress(f"wake, {name}: {number + 1} of {count}")
                self.try_asleep(doze, client, falls)
                falls = doze.count("asleep")
                self.try_awake(doze, client)
        if not self.asleep_ms or not self.awake_ms:
            raise Unmeasured("no request was answered")

    def phase_ms(self, phase):
        return statistics.median(float(fields.get(phase + "_ms", "nan")) for fields in self.phases)


def report_wakes(table, name, wakes, has_replay):
    count = len(wakes.asleep_ms)
    table.latency(f"wake, {name}: median of {count}", statistics.median(wakes.awake_ms),
                  statistics.median(wakes.asleep_ms), WAKE_AIM_MS if has_replay else None)
    table.latency(f"wake, {name}: " + ("p99" if count >= 100 else "slowest"),
                  quantile(wakes.awake_ms, 0.99), quantile(wakes.asleep_ms, 0.99))
    lost = wakes.failed
    table.row(f"wake, {name}: requests lost", "", str(lost), "", "0", verdict(lost == 0))
    if has_replay:
        resent = sum(took_ms >= RESENT_MS for took_ms in wakes.asleep_ms)
        table.row(f"wake, {name}: waited for a second SYN", "", str(resent), "", "0",
                  verdict(resent == 0))
        table.note("medians since the SYN came: " + ", ".join(
            f"{phase} {wakes.phase_ms(phase):.2f} ms"
            for phase in ("held", "resized", "ready", "replayed")))


def bench_wakes(table, network, settings):
    table.section("From asleep: connect, request, first byte (baseline: the same while awake)")
    for name, count, flags in settings["wakes"]:
        try:
            wakes = Wakes()
            wakes.measure(network, name, count, flags)
            report_wakes(table, name, wakes, "--replay=off" not in flags)
        except Unmeasured as error:
            table.gap(f"wake, {name}", error)


# --- the filter of system calls ---

RESTLESS = ("--idle-after", IDLE_AFTER, "--min-awake=0s", f"--idle-max={IDLE_AFTER}")


def start_ms(network, *flags):
    """CPU that doze uses until it watches its server. How long that takes differs by much more from
    one start to the next."""
    with Doze(network, HTTP_PORT, [SERVER, str(HTTP_PORT)], *RESTLESS, *flags) as doze:
        doze.wait_for("watching")
        with open(f"/proc/{doze.process.pid}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[0]) / 1e6


def wakes_in_turn(networks, count):
    """Two dozes, one with the filter and one without; the times of count wakes of each."""
    took_ms = ([], [])
    with Doze(networks[0], HTTP_PORT, [SERVER, str(HTTP_PORT)], *RESTLESS) as filtered, \
            Doze(networks[1], HTTP_PORT, [SERVER, str(HTTP_PORT)], *RESTLESS,
                 "--seccomp=off") as bare, \
            Client(networks[0].client) as first, Client(networks[1].client) as second:
        for number in range(count):
            progress(f"wake, filtered or not: {number + 1} of {count}")
            for doze, client, times in ((filtered, first, took_ms[0]), (bare, second, took_ms[1])):
                doze.wait_for("asleep", number)
                time.sleep(PAUSE_S)
                times.append(client.try_once())
    if None in took_ms[0] + took_ms[1]:
        raise Unmeasured("a request was not answered")
    return took_ms


def bench_filter(table, network, settings):
    table.section("The filter of system calls (baseline: --seccomp=off)")
    try:
        with Network("bench-bare") as bare_network:
            filtered, bare = wakes_in_turn((network, bare_network), settings["filtered"])
        table.latency(f"wake, freeze: median of {len(bare)}", statistics.median(bare),
                      statistics.median(filtered), FILTER_AIM_MS)
        pairs = [(start_ms(network), start_ms(network, "--seccomp=off"))
                 for _ in range(settings["starts"])]
        filtered, bare = zip(*pairs)
        table.latency(f"CPU of a start: median of {len(bare)}", statistics.median(bare),
                      statistics.median(filtered), FILTER_START_AIM_MS)
    except Unmeasured as error:
        table.gap("with the filter", error)


# --- throughput ---

def in_client(network, command):
    return subprocess.Popen(inside(network.client, *on_cpu(1), *command), stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)


class Iperf:
    name, tool, unit, port = "bulk TCP, one stream", "iperf3", "Gb/s", IPERF_PORT
    server = ["iperf3", "-s", "-p", str(IPERF_PORT)]

    @staticmethod
    def client(seconds):
        return ["iperf3", "-c", SERVER_ADDRESS, "-p", str(IPERF_PORT), "-t", str(seconds), "-J"]

    @staticmethod
    def figure(report):
        return json.loads(report)["end"]["sum_received"]["bits_per_second"] / 1e9


class Wrk:
    name, tool, unit, port = "requests, 32 connections", "wrk", "/s", HTTP_PORT
    server = [SERVER, str(HTTP_PORT)]

    @staticmethod
    def client(seconds):
        return ["wrk", "-t1", "-c32", f"-d{seconds}s", f"http://{SERVER_ADDRESS}:{HTTP_PORT}/"]

    @staticmethod
    def figure(report):
        return float(re.search(r"Requests/sec:\s*([\d.]+)", report).group(1))


def figure(load, client):
    report, _ = client.communicate(timeout=LIMIT_S)
    if client.returncode != 0:
        raise Unmeasured(f"{load.tool}: {report[-300:]}")
    return load.figure(report)


def run_load(network, load, seconds):
    client = in_client(network, load.client(seconds))
    try:
        return figure(load, client)
    finally:
        end(client)


class Pairs:
    """Runs without doze and under `doze run` in turn, the other one first each time."""

    def __init__(self, load):
        self.load = load
        self.server = [*on_cpu(0), *load.server]
        self.bare, self.gated = [], []
        self.hook = None

    def run_bare(self, network, seconds):
        with Bare(network, self.server) as server:
            wait_until_listening(server, self.load.port)
            self.bare.append(run_load(network, self.load, seconds))

    def run_gated(self, network, seconds):
        with Doze(network, self.load.port, self.server, "--idle-after=1h",
                  "--ready=none") as server:
            wait_until_listening(server, self.load.port)
            self.gated.append(run_load(network, self.load, seconds))
            self.hook = server.hook
        if not server.gated_packets():
            raise Unmeasured("the gate has not seen the traffic")

    def measure(self, network, count, seconds):
        for number in range(count):
            progress(f"{self.load.name}: pair {number + 1} of {count}")
            runs = [self.run_bare, self.run_gated]
            for run in runs if number % 2 == 0 else reversed(runs):
                run(network, seconds)


class Switch:
    """tests/bench/gate_switch.c in the server's namespace."""

    def __init__(self, network, hook, port):
        self.process = subprocess.Popen(
            inside(network.server, GATE_SWITCH, hook, "eth0", str(port)), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)
        self.packets = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """It ends with its stdin, after it has switched the gate off."""
        try:
            self.process.communicate(timeout=LIMIT_S)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            end(self.process)

    def set(self, is_on):
        try:
            self.process.stdin.write("on\n" if is_on else "off\n")
        except BrokenPipeError:
            pass  # its stderr says why
        answer = self.process.stdout.readline().split()
        if not answer:
            raise Unmeasured(self.process.stderr.read().strip())
        self.packets = int(answer[1])


def received_bytes(pid):
    """By eth0 in the network namespace of pid."""
    with open(f"/proc/{pid}/net/dev") as table:
        return int(re.search(r"eth0:\s*(\d+)", table.read()).group(1))


class Slices:
    """One run, in which the gate is switched on and off many times: no restart lies between."""

    def __init__(self, load):
        self.load = load
        self.bare, self.gated = [], []

    def slice(self, pid, switch, is_on):
        switch.set(is_on)
        start_s, start = time.monotonic(), received_bytes(pid)
        time.sleep(SLICE_S)
        rate = (received_bytes(pid) - start) / (time.monotonic() - start_s)
        (self.gated if is_on else self.bare).append(rate)

    def cut(self, pid, switch, client, seconds):
        """off on, on off, off on: what grows or shrinks meanwhile does so for both."""
        time.sleep(2 * SLICE_S)
        until = time.monotonic() + seconds - 6 * SLICE_S
        while time.monotonic() < until and client.poll() is None:
            for is_on in (False, True, True, False):
                self.slice(pid, switch, is_on)
        switch.set(False)

    def leave_out_stalls(self):
        """A switch can lose a packet (XDP resets veth's queues): TCP then waits for 200 ms, which
        says nothing about a gate that stays."""
        moving = [pair for pair in zip(self.bare, self.gated) if all(pair)]
        self.bare, self.gated = ([pair[side] for pair in moving] for side in (0, 1))

    def scale(self, total, rate):
        """Bytes on the wire become what the load's own tool has counted in all."""
        for rates in (self.bare, self.gated):
            rates[:] = [one * total / rate for one in rates]

    def measure(self, network, hook, seconds):
        with Bare(network, [*on_cpu(0), *self.load.server]) as server, \
                Switch(network, hook, self.load.port) as switch:
            wait_until_listening(server, self.load.port)
            switch.set(False)
            progress(f"{self.load.name}, hook {hook}: {seconds} s")
            client = in_client(network, self.load.client(seconds))
            start = received_bytes(server.process.pid)
            try:
                self.cut(server.process.pid, switch, client, seconds)
                total = figure(self.load, client)
            finally:
                end(client)
            self.leave_out_stalls()
            self.scale(total, (received_bytes(server.process.pid) - start) / seconds)
            if not switch.packets or not self.bare:
                raise Unmeasured("the gate has not seen the traffic")


def bench_pairs(table, network, load, settings):
    pairs = Pairs(load)
    pairs.measure(network, settings["pairs"], settings["pair_s"])
    table.ratio(f"{load.name}, doze run ({pairs.hook})", load.unit, pairs.bare, pairs.gated,
                RATIO_AIM)


def bench_slices(table, network, load, hook, seconds):
    slices = Slices(load)
    slices.measure(network, hook, seconds)
    table.ratio(f"{load.name}, gate in {hook}", load.unit, slices.bare, slices.gated, RATIO_AIM)


def bench_load(table, network, load, settings):
    tasks = [("doze run", bench_pairs, (settings,))]
    tasks += [(f"gate in {hook}", bench_slices, (hook, seconds))
              for hook, seconds in settings["hooks"]]
    for name, task, arguments in tasks:
        try:
            task(table, network, load, *arguments)
        except (Unmeasured, subprocess.TimeoutExpired) as error:
            table.gap(f"{load.name}, {name}", error)


def bench_throughput(table, network, settings):
    table.section("Through veth with the gate open: runs of their own (baseline: without doze), "
                  "and the gate switched in one run (baseline: off)")
    for load in (Iperf, Wrk):
        if shutil.which(load.tool):
            bench_load(table, network, load, settings)
        else:
            table.gap(load.name, f"{load.tool} is not installed")


# --- one packet ---

def bench_packet(table, settings):
    """Lines of bench_gate are rows of the table, with two blanks or more between the columns."""
    table.section("One packet at the open gate (baseline: an empty program); of 1 or 1000 keys")
    progress("one packet at the open gate")
    done = subprocess.run([BENCH_GATE, str(settings["gate_rounds"])], capture_output=True,
                          text=True, check=False)
    for line in done.stdout.splitlines():
        table.row(*re.split(r"\s{2,}", line.strip()))
    if done.returncode != 0:
        table.gap("one packet", done.stderr.strip())


def check_prerequisites():
    if os.geteuid() != 0:
        sys.exit("bench: needs root, for network namespaces and BPF")
    for program in (DOZE, SERVER, CLIENT, BENCH_GATE, GATE_SWITCH):
        if not os.access(program, os.X_OK):
            sys.exit(f"bench: no '{os.path.relpath(program, TOP)}': make bench builds it")


def main():
    parser = argparse.ArgumentParser(description="Measures what doze costs.")
    parser.add_argument("--quick", action="store_true", help="about a minute, coarser figures")
    settings = QUICK if parser.parse_args().quick else FULL
    check_prerequisites()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    table = Table()
    start = time.monotonic()
    with Network("bench") as network:
        bench_wakes(table, network, settings)
        bench_filter(table, network, settings)
        bench_throughput(table, network, settings)
    bench_packet(table, settings)
    progress("")
    table.print()
    print(f"bench: {time.monotonic() - start:.0f} s, load average {os.getloadavg()[0]:.1f} on "
          f"{os.cpu_count()} CPUs, Linux {os.uname().release}")
    return 1 if table.has_gaps else 0


if __name__ == "__main__":
    sys.exit(main())
